// The helper, `contextcore drain`: whether it runs, how it is started and asked. PATH is never searched: another project owns the
// command name. The binary is named by CONTEXTCORE_BIN.

import { spawn } from "node:child_process";
import { closeSync, openSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { isAbsolute, join, resolve } from "node:path";
import { createInterface } from "node:readline";

import { NOWHERE } from "./destination.js";
import * as log from "./log.js";
import type { Spool } from "./spool.js";

const PASSED = /^(PATH|HOME|TMPDIR|TZ|LANG|XDG_STATE_HOME|SSL_CERT_FILE|SSL_CERT_DIR|https?_proxy|no_proxy|HTTPS?_PROXY|NO_PROXY|OTEL_.*|CONTEXTCORE_.*)$/;
// Variables whose values are paths: the helper works in another directory.
const PATHS = /^(CONTEXTCORE_(CONFIG|STATE_DIR|BIN)|HOME|TMPDIR|SSL_CERT_(FILE|DIR)|OTEL_EXPORTER_OTLP_((TRACES|LOGS|METRICS)_)?(CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE))$/;
const LOOK_MS = 1000;
const BACKOFF_MS = 60_000;
const START_MS = 2000;
const SOCKET_PATH_BYTES = 100;

/** What the helper needs of the environment; files by their whole paths. */
export function environment(of: NodeJS.ProcessEnv, spool: Pick<Spool, "destination">): NodeJS.ProcessEnv {
  const kept: NodeJS.ProcessEnv = Object.fromEntries(Object.entries(of).filter(([name]) => PASSED.test(name)));
  if (!isAbsolute(kept["XDG_STATE_HOME"] ?? "/")) delete kept["XDG_STATE_HOME"];
  for (const [name, value] of Object.entries(kept)) {
    const isList = name === "SSL_CERT_DIR" && value?.includes(":");
    if (value?.trim() && PATHS.test(name) && !isList) kept[name] = resolve(value);
  }
  // Those of the caller and of the environment together: the helper finds the lane by them.
  const pairs = Object.entries(spool.destination?.headers ?? {}).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  if (pairs.length) kept["OTEL_EXPORTER_OTLP_HEADERS"] = pairs.join(",");
  return kept;
}

function start(spool: Spool): boolean {
  const program = process.env["CONTEXTCORE_BIN"];
  if (!program) {
    log.once(
      "no binary",
      `CONTEXTCORE_BIN does not name the binary of ContextCore, so what is reported stays in the spool; \`contextcore drain --state ${spool.state}\` sends it`,
    );
    return false;
  }
  // It finds out by itself whether another one holds the lane, and ends then.
  const args = ["drain", "--state", spool.state, "--detach"];
  const child = spawn(resolve(program), args, { detached: true, stdio: "ignore", cwd: "/", env: environment(process.env, spool) });
  child.on("error", (error) => log.once("start", `the helper ${program} could not be started: ${error.message}`));
  child.unref();
  return true;
}

/** The socket of the helper that listens now: each makes its own anew. */
function listener(spool: Spool): string | null {
  const found = statSync(join(spool.path, "engine.sock"), { throwIfNoEntry: false, bigint: true });
  return found ? `${found.ino}.${found.ctimeNs}` : null;
}

/** Whether a helper has left a socket. Without `flock` no more can be known; the helper's own lock decides. */
const hasSocket = (spool: Spool): boolean => listener(spool) !== null;

/** Gives the helper the headers that its backend needs, once to each that listens; they are never written to a file. */
async function deliverHeaders(spool: Spool): Promise<void> {
  const headers = spool.destination?.headers ?? {};
  const socket = listener(spool);
  if (!Object.keys(headers).length || socket === null || socket === spool.delivered) return;
  await ask(spool.path, { v: 1, cmd: "headers", headers }, 500);
  spool.delivered = socket;
}

/**
 * Starts the helper with the first call, and later when its socket is missing, and now and then in case it was killed; one that
 * finds the lane held ends at once. Looks at most once a second.
 */
export function ensure(spool: Spool): boolean {
  const now = Date.now();
  if (now < (spool.memory.get("look") ?? 0)) return true;
  spool.memory.set("look", now + LOOK_MS);
  if (spool.lane === NOWHERE || !spool.state) return false;
  // Nobody waits for it: a helper that is not there any more is started with its headers.
  deliverHeaders(spool).catch(() => {});
  const started = spool.memory.get("started");
  const wait = hasSocket(spool) ? BACKOFF_MS : Math.min(LOOK_MS * 2 ** (spool.memory.get("tries") ?? 0), BACKOFF_MS);
  if (started !== undefined && now - started < wait) return true;
  spool.memory.set("tries", hasSocket(spool) ? 0 : (spool.memory.get("tries") ?? 0) + 1);
  spool.memory.set("started", now);
  return start(spool);
}

/** Makes the next `ensure` look, unless a helper was started so recently that it may not hold the lane yet. */
export function lookNow(spool: Spool): void {
  if (Date.now() - (spool.memory.get("started") ?? -Infinity) >= START_MS) spool.memory.set("look", 0);
}

/** One question to the helper's socket in a lane's directory. Rejects if nobody answers in time. */
export async function ask(lane: string, request: object, timeoutMs: number): Promise<Record<string, unknown>> {
  let path = join(lane, "engine.sock");
  let directory = -1;
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES) {
    directory = openSync(lane, "r");
    path = `/proc/self/fd/${directory}/engine.sock`;
  }
  try {
    return JSON.parse(await answer(path, `${JSON.stringify(request)}\n`, timeoutMs)) as Record<string, unknown>;
  } finally {
    if (directory >= 0) closeSync(directory);
  }
}

function answer(path: string, request: string, timeoutMs: number): Promise<string> {
  return new Promise((done, failed) => {
    const socket: Socket = connect(path);
    const lines = createInterface({ input: socket, crlfDelay: Infinity });
    const finish = (act: () => void): void => {
      socket.destroy();
      lines.close();
      act();
    };
    socket.setTimeout(timeoutMs, () => finish(() => failed(new Error("no answer in time"))));
    socket.once("error", (error) => finish(() => failed(error)));
    lines.on("error", () => {});
    lines.once("line", (line) => finish(() => done(line)));
    socket.once("close", () => finish(() => failed(new Error("the helper closed the connection"))));
    socket.write(request);
  });
}

async function askFlush(spool: Spool, leftMs: number): Promise<boolean> {
  await deliverHeaders(spool);
  const request = { v: 1, cmd: "flush", writers: spool.positions(), timeout_ms: Math.max(Math.floor(leftMs), 0) };
  const { ok, error } = await ask(spool.path, request, leftMs + 1000);
  spool.trouble = ok !== true && typeof error === "string" ? error : null;
  return ok === true;
}

/** Waits until the backend has accepted what this process wrote, for at most so long. */
export async function flush(spool: Spool, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  lookNow(spool);
  for (;;) {
    if (!ensure(spool)) return false;
    try {
      if (await askFlush(spool, deadline - Date.now())) return true;
    } catch {
      // It is not there yet, or not any more.
    }
    if (Date.now() >= deadline) return false;
    await new Promise((done) => setTimeout(done, 50));
  }
}
