// What is reported leads to the span in which the program works.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { TaskTracker } from "../src/index.js";
import { traceparent } from "../src/span.js";

// A name that the compiler does not look up: nothing of the package is needed but what it registers.
const name: string = "@opentelemetry/api";

const files = (state: string): string[] =>
  readdirSync(state, { recursive: true, encoding: "utf8" }).filter((each) => each.endsWith(".jsonl"));

test("the current span of OpenTelemetry is on each line", async (context) => {
  assert.equal(traceparent(), null, "the program does not use it yet");
  const { context: contexts, ROOT_CONTEXT, trace, TraceFlags, INVALID_SPAN_CONTEXT } = await import(name);
  let active = ROOT_CONTEXT;
  const manager: any = { active: () => active, with: () => undefined, bind: (_: unknown, each: unknown) => each, enable: () => manager, disable: () => manager };
  assert.ok(contexts.setGlobalContextManager(manager));
  const within = (spanContext: object): void => {
    active = trace.setSpan(ROOT_CONTEXT, trace.wrapSpanContext(spanContext));
  };
  const state = mkdtempSync(join(tmpdir(), "contextcore-"));
  context.after(() => rmSync(state, { recursive: true }));
  const tracker = new TaskTracker({ projectId: "p", stateDir: state, drain: "off", actor: "ada" });
  tracker.completeTask("T-1");
  within({ traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", traceFlags: TraceFlags.SAMPLED });
  tracker.completeTask("T-2");
  within(INVALID_SPAN_CONTEXT);
  tracker.completeTask("T-3");
  manager.active = () => {
    throw new Error("not now");
  };
  tracker.completeTask("T-4");
  await tracker.close(0);
  const lines = readFileSync(join(state, files(state)[0]!), "utf8").trim().split("\n").slice(1).map((line) => JSON.parse(line));
  const given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  assert.deepEqual(lines.map((line) => line.traceparent), [undefined, given, undefined, undefined]);
  assert.deepEqual(Object.keys(lines[1]).slice(-2), ["actor", "traceparent"]);
});
