// Drives every tool, resource and prompt with the official TypeScript client, over stdio or HTTP, in one of both lifecycles.
//
// usage: node drive.mjs stdio COMMAND ARG... | node drive.mjs http URL
//
// The variable MODE is `legacy` (initialize, 2025-11-25) or `auto` (server/discover, 2026-07-28). Fails at the first answer that is
// not as it should be; prints one line when all are.

import assert from "node:assert/strict";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [kind, ...rest] = process.argv.slice(2);
const mode = process.env.MODE ?? "auto";
const run = `ts-${mode}-${process.pid}`;
const project = "shop";

const transport =
  kind === "http"
    ? new StreamableHTTPClientTransport(new URL(rest[0]))
    : new StdioClientTransport({ command: rest[0], args: rest.slice(1), env: process.env, stderr: "ignore" });
const client = new Client(
  { name: "drive", version: "1.0.0" },
  { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode } },
);
client.setRequestHandler("elicitation/create", async () => ({ action: "accept", content: { answer: "eu-west-1" } }));

async function call(name, args) {
  const result = await client.callTool({ name, arguments: args });
  const text = result.content[0].text;
  assert.ok(!result.isError, `${name}: ${text}`);
  assert.deepEqual(JSON.parse(text), result.structuredContent, name);
  return result.structuredContent;
}

async function until(ask, what) {
  for (let tries = 0; tries < 40; tries++) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof assert.AssertionError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
  throw new Error(`${what} did not appear`);
}

await client.connect(transport);
const { tools } = await client.listTools();
assert.equal(tools.length, 10);

const key = `SHOP-${run}`;
assert.equal((await call("report_task", { key, op: "start", title: "Show the basket", project })).accepted, true);
await until(async () => assert.equal((await call("find_tasks", { text: run, project })).total, 1), "the task");
assert.equal((await call("get_task", { key, include: ["timeline"] })).task.title, "Show the basket");
assert.equal((await call("get_project", { project })).project.id, project);

const summary = `Always mock the payment gateway ${run}`;
const lesson = await call("record_insight", { type: "lesson", summary, applies_to: [`path:src/${run}/`], project });
await until(async () => assert.equal((await call("find_insights", { text: run, type: ["lesson"], project })).total, 1), "the lesson");
const context = await call("get_context", { paths: [`src/${run}/pay.ts`], project });
assert.ok(context.lessons.some((known) => known.id === lesson.id));
await call("update_insight", { id: lesson.id, action: "retract" });
const asked = await call("ask_human", { question: `Which currency ${run}?`, options: ["EUR", "USD"], project });
assert.equal(asked.status, "open");
const offer = await call("hand_off", { to: "any", summary: `Finish it ${run}`, project });
await until(async () => assert.equal((await call("find_insights", { id: offer.id })).insight.to, "any"), "the handoff");
assert.ok(["accepted", "pending"].includes((await call("hand_off", { id: offer.id, action: "accept" })).status));
await until(async () => assert.equal((await call("find_insights", { id: offer.id })).insight.status, "accepted"), "the acceptance");

assert.equal((await client.listPrompts()).prompts.length, 3);
assert.ok((await client.listResources()).resources.length >= 2);
const read = await client.readResource({ uri: `contextcore://task/${encodeURIComponent(key)}` });
assert.ok(read.contents[0].text.includes("Show the basket"));
const version = client.getNegotiatedProtocolVersion?.() ?? mode;
console.log(`typescript ${kind} ${version}: every tool, resource and prompt answers`);
await client.close();
