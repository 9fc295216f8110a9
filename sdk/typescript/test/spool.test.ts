// What returned is in the spool, once, whatever becomes of the process.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import { InsightEmitter } from "../src/agent.js";
import { environment } from "../src/helper.js";
import { candidates } from "../src/state.js";
import { InvalidTask, SpoolUnavailable, TaskTracker } from "../src/index.js";

const KILLS = Number(process.env["CONTEXTCORE_KILLS"] ?? 30);
const source = join(dirname(fileURLToPath(import.meta.url)), "..", "src", "index.js");

function state(context: TestContext): string {
  const place = mkdtempSync(join(tmpdir(), "contextcore-"));
  context.after(() => rmSync(place, { recursive: true, force: true }));
  return join(place, "state");
}

const segments = (place: string): string[] =>
  readdirSync(place, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".jsonl")).map((name) => join(place, name));

function operations(place: string): any[] {
  return segments(place).flatMap((path) => {
    const text = readFileSync(path, "utf8");
    const whole = text.slice(0, text.lastIndexOf("\n") + 1).split("\n").slice(1);
    return whole.filter(Boolean).map((line) => JSON.parse(line));
  });
}

/** Runs a program with the SDK in a process of its own. */
function run(program: string, place: string, env: Record<string, string> = {}): { stderr: string; stdout: string; status: number | null } {
  const code = `import { TaskTracker } from ${JSON.stringify(source)};\n${program}`;
  const kept = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CI$|CONTEXTCORE_|OTEL_|NODE_)/.test(name)));
  const options = { env: { ...kept, CONTEXTCORE_STATE_DIR: place, ...env }, encoding: "utf8" as const };
  return spawnSync(process.execPath, ["--input-type=module", "-e", code], options);
}

const isDead = (path: string): boolean => spawnSync("flock", ["-n", path, "true"]).status === 0;

test("a task over two processes", (context) => {
  const place = state(context);
  assert.equal(run("new TaskTracker({projectId: 'p'}).startTask('T-1', 'Long work')", place).status, 0);
  assert.equal(run("new TaskTracker({projectId: 'p'}).completeTask('T-1')", place).status, 0);
  assert.deepEqual(operations(place).map((each) => each.op).sort(), ["task.complete", "task.start"]);
  assert.equal(segments(place).length, 2);
});

test("the nearest file names the project", (context) => {
  const place = state(context);
  const deep = join(dirname(place), "a", "b");
  mkdirSync(deep, { recursive: true });
  mkdirSync(join(dirname(place), ".contextcore"));
  writeFileSync(join(dirname(place), ".contextcore", "project"), "# ours\n\n commerce platform \nother\n");
  const program = `process.chdir(${JSON.stringify(deep)}); console.log(new TaskTracker().projectId)`;
  assert.equal(run(program, place).stdout.trim(), "commerce platform");
  assert.equal(run(program, place, { CONTEXTCORE_PROJECT: "shop" }).stdout.trim(), "shop");
});

test("the lock is held for life and given up by close", async (context) => {
  const place = state(context);
  const tracker = new TaskTracker({ projectId: "p", stateDir: place, drain: "off" });
  tracker.completeTask("T-1");
  assert.equal(isDead(segments(place)[0]!), false);
  assert.equal(await tracker.close(), false);
  assert.equal(isDead(segments(place)[0]!), true);
  tracker.completeTask("T-2");
  assert.equal(operations(place).length, 2);
});

test("without a program that locks, each line is a complete file", (context) => {
  const place = state(context);
  assert.equal(run("const t = new TaskTracker({projectId: 'p'}); for (let n = 0; n < 5; n++) t.completeTask(`T-${n}`)", place, { PATH: "/nowhere" }).status, 0);
  assert.equal(segments(place).length, 5);
  assert.deepEqual(operations(place).map((each) => each.seq).sort(), [1, 2, 3, 4, 5]);
  assert.equal(new Set(segments(place).map((path) => path.split("/").at(-1)!.split(".")[0])).size, 1);
});

test(`${KILLS} kills`, async (context) => {
  for (let n = 0; n < KILLS; n++) {
    const place = state(context);
    const program = `import { TaskTracker } from ${JSON.stringify(source)}; import { writeSync } from "node:fs";
      const t = new TaskTracker({projectId: "p", drain: "off"});
      for (let n = 0; ; n++) { t.startTask("T-" + n, "x".repeat(n % 3000)); writeSync(1, n + "\\n"); }`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], { env: { ...process.env, CONTEXTCORE_STATE_DIR: place } });
    let returned = "";
    child.stdout.on("data", (data) => (returned += data));
    await new Promise((done) => child.stdout.once("data", done));
    await new Promise((done) => setTimeout(done, Math.random() * 10));
    child.kill("SIGKILL");
    await new Promise((done) => child.once("close", done));
    const count = returned.split("\n").length - 1;
    const found = operations(place).map((each) => each.task);
    assert.deepEqual(found.slice(0, count), Array.from({ length: count }, (_, index) => `T-${index}`));
    assert.ok(found.length <= count + 1);
  }
});

test("segments end at 8 MiB", (context) => {
  const place = state(context);
  const tracker = new TaskTracker({ projectId: "p", stateDir: place, drain: "off" });
  const text = "x".repeat(60_000);
  for (let n = 0; n < 300; n++) tracker.addComment("T-1", "ada", text);
  assert.equal(operations(place).length, 300);
  assert.ok(segments(place).length > 2);
  assert.ok(segments(place).every((path) => statSync(path).size <= 8 * 1024 * 1024));
});

test("private modes, and links are not followed", (context) => {
  const place = state(context);
  new TaskTracker({ projectId: "p", stateDir: place, drain: "off" }).completeTask("T-1");
  for (const name of readdirSync(place, { recursive: true, encoding: "utf8" })) {
    const found = lstatSync(join(place, name));
    assert.equal(found.mode & 0o777, found.isDirectory() ? 0o700 : 0o600, name);
  }
  const other = state(context);
  mkdirSync(join(other, "..", "elsewhere"), { recursive: true });
  mkdirSync(other);
  symlinkSync(join(other, "..", "elsewhere"), join(other, "lanes"));
  const tracker = new TaskTracker({ projectId: "p", stateDir: other, drain: "off" });
  tracker.completeTask("T-1");
  assert.equal(tracker.dropped, 1);
  assert.deepEqual(readdirSync(join(other, "..", "elsewhere")), []);
});

test("what cannot be written is counted, and thrown with strict", (context) => {
  const place = state(context);
  writeFileSync(place, "no directory");
  const tracker = new TaskTracker({ projectId: "p", stateDir: join(place, "x") });
  tracker.completeTask("T-1");
  tracker.completeTask("T-1");
  assert.equal(tracker.dropped, 2);
  assert.throws(() => new TaskTracker({ projectId: "p", stateDir: join(place, "x"), strict: true }).completeTask("T"), SpoolUnavailable);
});

test("nothing that is given throws, except with strict", (context) => {
  const options = { projectId: "p", stateDir: state(context), drain: "off" as const };
  const tracker: any = new TaskTracker(options);
  const emitter: any = new InsightEmitter({ ...options, agentId: "a" });
  const hostile = { toString: () => { throw new Error("no text"); } };
  for (const value of [null, undefined, "", 0, NaN, [], {}, Symbol("x"), 10n ** 400n, "\ud800", hostile, new Date(NaN)]) {
    tracker.startTask(value, value, { taskType: value, storyPoints: value, labels: value, dueDate: value, at: value, attributes: value });
    tracker.setProgress(value, value);
    tracker.addEvent(value, value, { attributes: value });
  }
  assert.ok(tracker.dropped > 0);
  emitter.emitDecision("x", { evidence: [null, {}, 3], confidence: "high" });
  assert.throws(() => new TaskTracker({ ...options, strict: true }).setProgress("T-1", 140), InvalidTask);
});

test("beforeSend changes and drops; modes", (context) => {
  const place = state(context);
  const hook = (operation: any): any => (operation.op === "task.comment" ? null : { ...operation, title: "removed" });
  const tracker = new TaskTracker({ projectId: "p", stateDir: place, drain: "off", beforeSend: hook });
  tracker.addComment("T-1", "ada", "secret");
  tracker.startTask("T-1", "secret");
  assert.deepEqual(operations(place).map((each) => each.title), ["removed"]);
  const nothing = state(context);
  new TaskTracker({ projectId: "p", stateDir: nothing, mode: "disabled" }).completeTask("T-1");
  assert.equal(existsSync(nothing), false);
});

test("a function as a task", async (context) => {
  const place = state(context);
  const tracker = new TaskTracker({ projectId: "p", stateDir: place, drain: "off" });
  assert.equal(await tracker.task("T-1", "x", async (task) => { task.setProgress(50); return 7; }), 7);
  await assert.rejects(tracker.task("T-2", "x", () => { throw new TypeError("secret"); }), TypeError);
  const found = operations(place);
  assert.deepEqual(found.filter((each) => each.task === "T-1").map((each) => each.op), ["task.start", "task.status", "task.progress", "task.complete"]);
  assert.equal(found.at(-1).reason, "TypeError");
  assert.deepEqual(tracker.getActiveTasks(), ["T-2"]);
});

test("warnings: one without an endpoint, one without a binary", (context) => {
  const calls = "t.completeTask('T-1'); t.completeTask('T-2')";
  const place = state(context);
  const warnings = (text: string): number => text.split("ContextCoreWarning").length - 1;
  assert.equal(warnings(run(`const t = new TaskTracker({projectId: 'p'}); ${calls}`, place).stderr), 1);
  const done = run(`const t = new TaskTracker({projectId: 'q', otlpEndpoint: 'http://tempo:4317'}); ${calls}`, place);
  assert.equal(warnings(done.stderr), 1);
  assert.match(done.stderr, /contextcore drain/);
});

test("the helper is started with what it needs, and close asks it", async (context) => {
  const place = state(context);
  mkdirSync(place, { recursive: true });
  const started = join(place, "..", "started");
  const binary = join(place, "..", "fake");
  writeFileSync(binary, `#!/bin/sh\necho "$@" "$SECRET" "$OTEL_SERVICE_NAME" >> ${started}\n`, { mode: 0o755 });
  const program = "const t = new TaskTracker({projectId: 'p', otlpEndpoint: 'http://tempo:4317'}); t.completeTask('T-1'); console.log(await t.close(300))";
  const done = run(program, place, { CONTEXTCORE_BIN: binary, SECRET: "x", OTEL_SERVICE_NAME: "shop" });
  assert.equal(done.stdout, "false\n");
  for (let n = 0; n < 100 && !existsSync(started); n++) await new Promise((wait) => setTimeout(wait, 20));
  assert.equal(readFileSync(started, "utf8"), `drain --state ${place} --detach  shop\n`);

  // A helper that answers.
  const asked: any[] = [];
  const server = createServer((socket) => socket.on("data", (data) => { asked.push(JSON.parse(String(data))); socket.write('{"ok":true}\n'); }));
  await new Promise<void>((listening) => server.listen(join(place, "lanes/8c31d648c98918c8/engine.sock"), listening));
  context.after(() => server.close());
  const code = `import { TaskTracker } from ${JSON.stringify(source)};\n${program}`;
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], { env: { ...env, CONTEXTCORE_STATE_DIR: place, CONTEXTCORE_BIN: binary } });
  let out = "";
  child.stdout.on("data", (data) => (out += data));
  await new Promise((ended) => child.once("close", ended));
  assert.equal(out, "true\n");
  assert.equal(asked[0].cmd, "flush");
  assert.deepEqual(Object.values(asked[0].writers), [1]);
});

test("the end of a process waits for the backend where the helper would end with it", (context) => {
  const place = state(context);
  mkdirSync(place, { recursive: true });
  const binary = join(place, "..", "fake");
  writeFileSync(binary, "#!/bin/sh\n", { mode: 0o755 });
  const program = "const t = new TaskTracker({projectId: 'p', otlpEndpoint: 'http://tempo:4317'}); t.completeTask('T-1')";
  const seconds = (env: Record<string, string>): number => {
    const begin = Date.now();
    assert.equal(run(program, place, { CONTEXTCORE_BIN: binary, ...env }).status, 0);
    return (Date.now() - begin) / 1000;
  };
  const atOnce = seconds({});
  assert.ok(seconds({ CI: "true" }) > 5 && seconds({ CONTEXTCORE_EXIT_WAIT: "6s" }) > 6);
  assert.ok(atOnce < 5 && seconds({ CI: "true", CONTEXTCORE_EXIT_WAIT: "0" }) < 5);
});

test("the first line of a file says what the process says of itself", (context) => {
  const place = state(context);
  run("const t = new TaskTracker({projectId: 'p'}); t.completeTask('T-1')", place, {
    OTEL_SERVICE_NAME: "shop", OTEL_RESOURCE_ATTRIBUTES: "service.namespace=commerce,service.name=other",
  });
  const [file] = readdirSync(place, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".jsonl"));
  const header = JSON.parse(readFileSync(join(place, file!), "utf8").split("\n")[0]!);
  assert.deepEqual(header.resource, { "service.name": "shop", "service.namespace": "commerce" });
});

test("a helper that works elsewhere gets whole paths", () => {
  const relative = { CONTEXTCORE_CONFIG: "cc.yaml", OTEL_EXPORTER_OTLP_CERTIFICATE: "./ca.pem", OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY: "key.pem" };
  const rest = { OTEL_EXPORTER_OTLP_ENDPOINT: "tempo:4317", SSL_CERT_FILE: "", SSL_CERT_DIR: "a:b" };
  const whole = Object.fromEntries(Object.entries(relative).map(([name, value]) => [name, join(process.cwd(), value)]));
  assert.deepEqual(environment({ ...relative, ...rest, XDG_STATE_HOME: "xdg", JIRA_TOKEN: "x" }, { destination: null }), { ...whole, ...rest });
  assert.deepEqual([...candidates(undefined, { XDG_STATE_HOME: "xdg", HOME: "/home/a", TMPDIR: "t" })], [
    "/home/a/.local/state/contextcore",
    join(process.cwd(), "t", `contextcore-${process.getuid!()}`),
  ]);
});
