// Where neither a disk is shared nor the binary is there, the SDK posts its lines to a service: a fake, and the real one.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createSocket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import { Line, settle } from "../src/settle.js";

const source = join(dirname(fileURLToPath(import.meta.url)), "..", "src", "index.js");
const BINARY = process.env["CONTEXTCORE_TEST_BIN"] ?? join(process.cwd(), "..", "..", "target", "debug", "contextcore");

interface Service {
  url: string;
  /** Statuses of the next answers, before 200. */
  answers: (number | string | ((body: string) => number))[];
  /** Projects for which the token may not report. */
  forbidden: string[];
  bodies: string[];
  tokens: (string | undefined)[];
}

async function service(context: TestContext): Promise<Service> {
  const found: Service = { url: "", answers: [], forbidden: [], bodies: [], tokens: [] };
  const server: Server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (data) => (body += data));
    request.on("end", () => {
      const next = found.answers[0];
      found.tokens.push(request.headers.authorization);
      if (typeof next === "string") return response.end(next);
      const status = typeof next === "function" ? next(body) : (found.answers.shift() as number | undefined) ?? 200;
      if (status === 200) found.bodies.push(body);
      const answer = status === 200 ? acknowledged(body, found.forbidden) : "refused";
      return response.writeHead(status, status === 307 ? { location: "http://127.0.0.1:9/" } : {}).end(answer);
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  context.after(() => server.close());
  found.url = `http+ops://127.0.0.1:${(server.address() as AddressInfo).port}/v1/ops`;
  return found;
}

/** As the service says what it has stored. */
function acknowledged(body: string, forbidden: string[]): string {
  const acked: Record<string, number> = {};
  const rejected: object[] = [];
  let header = { writer: "", project: "" };
  for (const each of body.trim().split("\n").slice(1).map((line) => JSON.parse(line))) {
    const { writer, project } = header;
    if (each.writer) header = each;
    else if (forbidden.includes(project)) rejected.push({ writer, seq: each.seq, reason: "the token may not report for this project" });
    else acked[writer] = each.seq;
  }
  return JSON.stringify({ acked, rejected });
}

/** Operations by writer and number, and how many came twice. */
function taken({ bodies }: Service): { found: Map<string, any>; repeated: number } {
  const found = new Map<string, any>();
  let repeated = 0;
  for (const body of bodies) {
    let writer = "";
    for (const line of body.trim().split("\n").slice(1)) {
      const each = JSON.parse(line);
      if (each.writer) writer = each.writer;
      else {
        repeated += Number(found.has(`${writer} ${each.seq}`));
        found.set(`${writer} ${each.seq}`, each);
      }
    }
  }
  return { found, repeated };
}

function state(context: TestContext): string {
  const place = mkdtempSync(join(tmpdir(), "contextcore-"));
  context.after(() => rmSync(place, { recursive: true, force: true }));
  return join(place, "state");
}

const segments = (place: string): string[] =>
  readdirSync(place, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".jsonl"));

/** Runs a program with a tracker `t` in a process of its own. */
async function run(url: string, place: string, program: string): Promise<{ stdout: string; stderr: string }> {
  const options = JSON.stringify({ projectId: "shop", otlpEndpoint: url, headers: { authorization: "Bearer s3cret" } });
  const code = `import { TaskTracker } from ${JSON.stringify(source)};\nconst t = new TaskTracker(${options});\n${program}`;
  const kept = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CONTEXTCORE_|OTEL_|NODE_)/.test(name)));
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], { env: { ...kept, CONTEXTCORE_STATE_DIR: place } });
  const done = { stdout: "", stderr: "" };
  child.stdout.on("data", (data) => (done.stdout += data));
  child.stderr.on("data", (data) => (done.stderr += data));
  await new Promise((ended) => child.once("close", ended));
  return done;
}

test("close posts what was written and removes it", async (context) => {
  const [there, place] = [await service(context), state(context)];
  const done = await run(there.url, place, "t.startTask('T-1', 'Checkout'); t.completeTask('T-1'); console.log(await t.close())");
  assert.deepEqual(done, { stdout: "true\n", stderr: "" });
  assert.deepEqual([...taken(there).found.values()].map((each) => each.op), ["task.start", "task.complete"]);
  assert.deepEqual(there.tokens, ["Bearer s3cret"]);
  assert.deepEqual(segments(place), []);
});

test("a program that ends without close posts at its end", async (context) => {
  const there = await service(context);
  await run(there.url, state(context), "t.completeTask('T-1')");
  assert.equal(taken(there).found.size, 1);
});

test("flush posts only what is new", async (context) => {
  const there = await service(context);
  const done = await run(there.url, state(context), "for (const n of [1, 2, 3]) { t.completeTask(`T-${n}`); console.log(await t.flush()); }");
  assert.equal(done.stdout, "true\ntrue\ntrue\n");
  assert.deepEqual([taken(there).found.size, taken(there).repeated], [3, 0]);
});

test("a service that is down or refuses gets everything later", async (context) => {
  const [there, place] = [await service(context), state(context)];
  there.answers = [() => 503];
  assert.equal((await run(there.url, place, "t.completeTask('T-1'); console.log(await t.close(300)); process.exit()")).stdout, "false\n");
  for (const status of [401, 307]) {
    there.answers = [() => status];
    const done = await run(there.url, place, "t.completeTask('T-1'); console.log(await t.close())");
    assert.equal(done.stdout, "false\n");
    assert.match(done.stderr, new RegExp(`HTTP ${status}`));
  }
  there.answers = [];
  assert.equal((await run(there.url, place, "t.completeTask('T-2'); console.log(await t.close())")).stdout, "true\n");
  assert.deepEqual([taken(there).found.size, taken(there).repeated, segments(place)], [4, 0, []]);
});

test("an answer that acknowledges nothing settles nothing", async (context) => {
  const [there, place] = [await service(context), state(context)];
  for (const answer of ["", "{}", "<html>", '"ok"', '{"acked":{}}', "[]", "null", '{"acked":{"V":9}}', '{"acked":{"W":true}}', '{"acked":[1]}']) {
    const line = new Line("{}", "{}", "W", 1, {});
    settle(answer, [line], "here");
    assert.deepEqual([line.isSettled, line.isWithheld], [false, false], answer);
  }
  there.answers = ["<html>"];
  const done = await run(there.url, place, "t.completeTask('T-1'); console.log(await t.close(3000))");
  assert.equal(done.stdout, "false\n");
  assert.match(done.stderr, /<html>.*not ContextCore's \/v1\/ops/);
  there.answers = [];
  assert.equal((await run(there.url, place, "t.completeTask('T-2'); console.log(await t.close())")).stdout, "true\n");
  assert.deepEqual([taken(there).found.size, segments(place)], [2, []]);
});

test("what the token may not report stays, and keeps no other waiting", async (context) => {
  const [there, place] = [await service(context), state(context)];
  there.forbidden = ["shop"];
  const other = `new TaskTracker({ projectId: "shed", otlpEndpoint: ${JSON.stringify(there.url)}, headers: { authorization: "Bearer s3cret" } })`;
  const done = await run(there.url, place, `t.completeTask('T-1'); ${other}.completeTask('T-2'); console.log(await t.close(20000), t.dropped)`);
  assert.equal(done.stdout, "false 0\n");
  assert.equal(done.stderr.match(/takes no reports of project shop: the token may not/g)?.length, 1);
  assert.ok([...taken(there).found.values()].some((each) => each.task === "T-2"));
  assert.ok(segments(place).length > 0);
  there.forbidden = [];
  assert.equal((await run(there.url, place, "t.completeTask('T-3'); console.log(await t.close())")).stdout, "true\n");
  assert.deepEqual(new Set([...taken(there).found.values()].map((each) => each.task)), new Set(["T-1", "T-2", "T-3"]));
  assert.deepEqual(segments(place), []);
});

test("only a refusal for good, or what is acknowledged, settles a line", () => {
  const outcome = (acked: object, refusal: object): [boolean, boolean] => {
    const line = new Line("{}", "{}", "W", 1, {});
    settle(JSON.stringify({ acked, rejected: [{ writer: "W", seq: 1, ...refusal }] }), [line], "here");
    return [line.isSettled, line.isWithheld];
  };
  assert.deepEqual(outcome({}, { reason: "newer", kind: "invalid" }), [true, false]);
  assert.deepEqual(outcome({ W: 9 }, { reason: "it is no operation", kind: "forbidden" }), [false, true]);
  assert.deepEqual(outcome({}, { seq: null, reason: "it is no operation" }), [true, false]);
  assert.deepEqual(outcome({ W: 1 }, { writer: "V", reason: "no" }), [true, false]);
});

test("a lane that cannot be taken is no error of the program", async (context) => {
  const [there, place] = [await service(context), state(context)];
  const block = `import("node:fs").then(({ mkdirSync, readdirSync }) => { const lanes = ${JSON.stringify(place)} + "/lanes";
    mkdirSync(lanes + "/" + readdirSync(lanes)[0] + "/engine.lock"); })`;
  for (const end of ["console.log(await t.close())", ""]) {
    const done = await run(there.url, place, `t.completeTask('T-1'); await ${block}.catch(() => {}); ${end}`);
    assert.match(done.stderr, /could not be sent/);
    assert.equal(done.stdout, end && "false\n");
    assert.doesNotMatch(done.stderr, /at .*post/);
  }
  assert.equal(there.bodies.length, 0);
});

test("more than a body holds, and a body that is too large", async (context) => {
  const there = await service(context);
  there.answers = [(body) => (body.length > 200_000 ? 413 : 200)];
  const done = await run(there.url, state(context), "for (let n = 0; n < 2000; n++) t.addComment('T-1', 'ada', `${n} ` + 'x'.repeat(900)); console.log(await t.close(30000))");
  assert.equal(done.stdout, "true\n");
  assert.deepEqual([taken(there).found.size, taken(there).repeated], [2000, 0]);
});

test("the real service takes it", { skip: !existsSync(BINARY) }, async (context) => {
  const place = state(context);
  const home = dirname(place);
  const free = createSocket();
  await new Promise<void>((listening) => free.listen(0, "127.0.0.1", listening));
  const port = (free.address() as AddressInfo).port;
  await new Promise((closed) => free.close(closed));
  writeFileSync(join(home, "token"), "s3cret\n");
  writeFileSync(
    join(home, "contextcore.yaml"),
    `listen: 127.0.0.1:${port}\nstore: {path: ${home}/store}\nops: {token: {file: ${home}/token}, projects: ['*']}\nexport: {otlp: {endpoint: 'http://127.0.0.1:9'}}\nsources: [{name: sdk, kind: sdk, path: ${home}/there}]\n`,
  );
  const kept = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CONTEXTCORE_|OTEL_)/.test(name)));
  const running = spawn(BINARY, ["--config", join(home, "contextcore.yaml"), "serve"], { env: kept, stdio: "ignore" });
  const ended = new Promise((done) => running.once("close", done));
  try {
    const listens = (): Promise<boolean> => fetch(`http://127.0.0.1:${port}/healthz`).then(() => true, () => false);
    for (let n = 0; n < 300 && !(await listens()); n++) await new Promise((wait) => setTimeout(wait, 100));
    const done = await run(`http+ops://127.0.0.1:${port}/v1/ops`, place, "t.startTask('T-1', 'Checkout'); console.log(await t.close(20000))");
    assert.deepEqual(done, { stdout: "true\n", stderr: "" });
    assert.deepEqual(segments(place), []);
  } finally {
    running.kill();
    await ended;
  }
});
