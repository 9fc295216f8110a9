// Questions go to the socket of a helper, else to the command.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { HandoffManager, InsightEmitter, InsightQuerier } from "../src/agent.js";
import { ContextCoreError } from "../src/index.js";

const place = mkdtempSync(join(tmpdir(), "contextcore-"));
test.after(() => rmSync(place, { recursive: true }));

test("the socket is asked, whatever the length of its path", async (context) => {
  const state = join(place, "d".repeat(120));
  const lane = join(state, "lanes", "0123456789abcdef");
  mkdirSync(lane, { recursive: true });
  const asked: any[] = [];
  const server = createServer((socket) =>
    socket.on("data", (data) => {
      asked.push(JSON.parse(String(data)));
      socket.write(`${JSON.stringify({ ok: true, insights: [{ id: "ins_1", to: "me" }, { id: "ins_2", to: "you" }] })}\n`);
    }),
  );
  const cwd = process.cwd();
  process.chdir(lane);
  await new Promise<void>((listening) => server.listen("engine.sock", listening));
  process.chdir(cwd);
  context.after(() => server.close());
  const querier = new InsightQuerier({ projectId: "p", stateDir: state, reader: "me" });
  assert.deepEqual((await querier.getLessons("src/", { limit: 1 })).map((each) => each.id), ["ins_1"]);
  assert.deepEqual(asked[0].query, { project: "p", type: "lesson", path: "src/", since: "90d", status: "open", limit: 1, reader: "me" });
  const handoffs = new HandoffManager(new InsightEmitter({ projectId: "p", agentId: "me", stateDir: state, drain: "off" }), querier);
  assert.deepEqual((await handoffs.getPending("me")).map((each) => each.id), ["ins_1"]);
});

test("the best of all lanes come first, and each once", async (context) => {
  const state = join(place, "lanes-of-two");
  const row = (id: string, score: number, day: string): object => ({ id, score, updated: `2026-11-${day}T00:00:00.000Z` });
  const lanes = { "00": [row("b", 3, "02"), row("a", 1, "01")], "01": [row("c", 9, "01"), row("d", 3, "03"), row("a", 1, "01")] };
  for (const [name, insights] of Object.entries(lanes)) {
    const lane = join(state, "lanes", name);
    mkdirSync(lane, { recursive: true });
    const answer = { ok: true, insights, guidance: [{ id: `z${name}` }, { id: "a" }] };
    const server = createServer((socket) => socket.on("data", () => socket.write(`${JSON.stringify(answer)}\n`)));
    await new Promise<void>((listening) => server.listen(join(lane, "engine.sock"), listening));
    context.after(() => server.close());
  }
  const querier = new InsightQuerier({ projectId: "p", stateDir: state, strict: true });
  assert.deepEqual((await querier.query()).map((each) => each.id), ["c", "d", "b", "a"]);
  assert.deepEqual((await querier.query({ limit: 2 })).map((each) => each.id), ["c", "d"]);
  assert.deepEqual((await querier.getGuidance()).map((each) => each.id), ["z00", "a", "z01"]);
});

test("the command is asked where nobody listens", async () => {
  const command = join(place, "command");
  writeFileSync(command, `#!/bin/sh\necho "$@" "$CONTEXTCORE_AGENT" > ${join(place, "args")}\necho '[{"id": "ins_3"}]'\n`, { mode: 0o755 });
  process.env["CONTEXTCORE_BIN"] = command;
  try {
    const found = await new InsightQuerier({ projectId: "q", stateDir: join(place, "none"), reader: "me" }).getBlockers({ minConfidence: 0.5 });
    assert.deepEqual(found, [{ id: "ins_3" }]);
    assert.match(readFileSync(join(place, "args"), "utf8"), /^insight query --output json --state .*none --project=q --type=blocker --min-confidence=0.5 .* me\n$/);
  } finally {
    delete process.env["CONTEXTCORE_BIN"];
  }
});

test("nobody to ask gives nothing, or throws with strict", async () => {
  assert.deepEqual(await new InsightQuerier({ stateDir: join(place, "none") }).getOpenQuestions(), []);
  await assert.rejects(new InsightQuerier({ stateDir: join(place, "none"), strict: true }).getGuidance("src/"), ContextCoreError);
});
