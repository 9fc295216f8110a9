// Holds our count of tokens against a real tokenizer, on what every reading tool answers about the sample world.
//
// usage: node tokens.mjs COMMAND ARG...
//
// COMMAND is `contextcore … mcp` with a store of the demo, logging its calls (`-v`). Our count is the `tokens` of each record `mcp.call`:
// what budgets are kept with, too. It must never be below the tokens of `o200k_base`, and not far above, or answers would be
// shorter than they need to be. The ranks are in the package; nothing is fetched.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";

const [command, ...args] = process.argv.slice(2);
const server = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
const waiting = { answers: [], counts: [] };
const take = (kind) => new Promise((resolve, reject) => {
  waiting[kind].push(resolve);
  server.once("exit", () => reject(new Error("the server ended")));
});
server.setMaxListeners(0);
createInterface({ input: server.stdout }).on("line", (line) => waiting.answers.shift()?.(JSON.parse(line)));
createInterface({ input: server.stderr }).on("line", (line) => {
  const found = line.includes("mcp.call") && /\btokens"?[=:] ?(\d+)/.exec(line.replace(/\x1b\[[\d;]*m/g, ""));
  if (found) waiting.counts.shift()?.(Number(found[1]));
});

let id = 0;
const all = { ours: 0, real: 0, answers: 0, closest: Infinity };

/** Calls a tool, and compares the counts of its answer. */
async function call(name, given) {
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: "tokens", version: "1" },
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const message = { jsonrpc: "2.0", id: ++id, method: "tools/call", params: { name, arguments: given, _meta } };
  const [answered, counted] = [take("answers"), take("counts")];
  server.stdin.write(`${JSON.stringify(message)}\n`);
  const { result, error } = await answered;
  assert.ok(result, JSON.stringify(error));
  const text = result.content[0].text;
  assert.ok(!result.isError, `${name} ${JSON.stringify(given)}: ${text}`);
  const [ours, real] = [await counted, countTokens(text)];
  assert.ok(ours >= real, `${name} ${JSON.stringify(given)}: counted ${ours} tokens of ${real}:\n${text}`);
  all.ours += ours;
  all.real += real;
  all.answers += 1;
  all.closest = Math.min(all.closest, ours / real);
  return result.structuredContent;
}

const { projects } = await call("get_project", {});
assert.ok(projects.length >= 3);
const parts = ["timeline", "children", "blockers", "artifacts", "insights", "text"];
for (const { id: project } of projects) {
  await call("get_project", { project });
  await call("find_insights", { project, text: "payment", status: "all" });
  let cursor;
  for (let page = 0; page < 8; page++) {
    const found = await call("find_tasks", { project, limit: 50, budget: [600, 1500, 6000][page % 3], ...(cursor && { cursor }) });
    for (const { key } of found.tasks.filter((_, place) => place % 2 === 0)) {
      await call("get_task", { key, include: parts, budget: 6000 });
      await call("get_context", { project, task: key, question: "what is blocked" });
    }
    cursor = found.next;
    if (!cursor) break;
  }
}
server.stdin.end();
const factor = all.ours / all.real;
assert.ok(factor < 1.7, `counted ${all.ours} tokens of ${all.real}: ${factor.toFixed(2)} times as many`);
console.log(`tokens: ${all.answers} answers, ${factor.toFixed(2)} times those of o200k_base, never below ${all.closest.toFixed(2)} times`);
