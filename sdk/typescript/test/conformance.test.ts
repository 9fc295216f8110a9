// The same calls give the same lines in every language: sdk/conformance.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { InsightEmitter } from "../src/agent.js";
import { resolve } from "../src/destination.js";
import { SprintTracker, TaskTracker } from "../src/index.js";
import { insightId } from "../src/insight.js";
import { resource } from "../src/resource.js";
import { directoryName } from "../src/state.js";

interface Case {
  name: string;
  client: "tracker" | "sprints" | "emitter";
  options: Record<string, unknown>;
  calls: { method: string; args: unknown[]; options?: Record<string, unknown> }[];
  lines: string[];
}

const data = process.env["CONTEXTCORE_CONFORMANCE"] ?? join(process.cwd(), "..", "conformance");
const cases = JSON.parse(readFileSync(join(data, "calls.json"), "utf8")) as Case[];
const facts = JSON.parse(readFileSync(join(data, "identity.json"), "utf8"));
const clients = { tracker: TaskTracker, sprints: SprintTracker, emitter: InsightEmitter };
// Their names are the caller's.
const OWN = ["attributes", "context", "inputs"];

const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** A value of the file; `$` marks what JSON cannot say. */
function value(given: any): any {
  if (Array.isArray(given)) return given.map(value);
  if (typeof given !== "object" || given === null) return given;
  if ("$time" in given) return new Date(given.$time);
  if ("$number" in given) return Number(given.$number);
  if ("$repeat" in given) return given.$repeat[0].repeat(given.$repeat[1]);
  if ("$repeat_list" in given) return Array(given.$repeat_list[1]).fill(given.$repeat_list[0]);
  if ("$units" in given) return String.fromCharCode(...given.$units);
  return Object.fromEntries(Object.entries(given).map(([name, each]) => [name, value(each)]));
}

const named = (given: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(value(given)).map(([name, each]) => [OWN.includes(name) ? name : camel(name), each]));

/** A line without what differs from run to run: its time, and ids that are random. */
function redacted(line: string): string {
  let found = line.replace(/("seq":\d+,"t":)"[^"]*"/, '$1"<t>"');
  const operation = JSON.parse(found);
  const random = ["question", "handoff", "blocker", "progress", "analysis"].includes(operation.type) && !operation.key;
  if (operation.op === "insight.emit" && random) found = found.replace(operation.id, "<id>");
  return found.replace(/(\p{L})\1{99,}/gu, (run, letter: string) => `<${Array.from(run).length} ${letter}>`);
}

export function files(state: string): string[] {
  return readdirSync(state, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".jsonl")).sort();
}

/** A function as a task, which fails or not. */
async function run(tracker: TaskTracker, [taskId, title, outcome]: string[]): Promise<void> {
  const work = (): void => {
    if (outcome === "fails") throw Object.assign(new Error("hunter2"), { name: "Refused" });
  };
  await tracker.task(taskId!, title!, work).catch(() => {});
}

for (const each of cases) {
  test(each.name, async () => {
    const state = mkdtempSync(join(tmpdir(), "contextcore-"));
    try {
      const client: any = new clients[each.client]({ projectId: "p", stateDir: state, drain: "off", ...named(each.options) });
      for (const call of each.calls) {
        if (call.method === "run") await run(client, value(call.args));
        else client[camel(call.method)](...value(call.args), named(call.options ?? {}));
      }
      await client.close();
      const lines = files(state).flatMap((name) => readFileSync(join(state, name), "utf8").split("\n").slice(1));
      assert.deepEqual(lines.filter(Boolean).map(redacted), each.lines);
    } finally {
      rmSync(state, { recursive: true });
    }
  });
}

test("ids of insights", () => {
  for (const fact of facts.insights) {
    assert.equal(insightId(fact.project, fact.type, fact.summary, fact.applies_to, fact.key), fact.id, fact.summary);
  }
});

test("lanes", () => {
  for (const fact of facts.lanes) {
    const found = resolve(fact.endpoint, fact.protocol, fact.headers, fact.environment ?? {});
    const given = found && { endpoint: found.endpoint, protocol: found.protocol, lane: found.lane };
    assert.deepEqual(given, fact.gives, JSON.stringify(fact));
  }
});

test("directories of projects", () => {
  for (const fact of facts.directories) assert.equal(directoryName(fact.project), fact.name);
});

test("resources of the environment", () => {
  for (const fact of facts.resources) {
    assert.equal(JSON.stringify(resource(fact.environment)), JSON.stringify(fact.gives), JSON.stringify(fact));
  }
});
