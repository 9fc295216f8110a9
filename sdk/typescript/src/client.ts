// What trackers and emitters share: options, the way of a call into the spool, flushing, and the end of the process.

import { type Destination, NOWHERE, resolve } from "./destination.js";
import { type Fields, fields, line, missing, moment, ORDER, plain } from "./encode.js";
import { ContextCoreError, InvalidTask, SpoolUnavailable } from "./errors.js";
import * as helper from "./helper.js";
import * as log from "./log.js";
import * as post from "./post.js";
import { traceparent } from "./span.js";
import { allSpools, type Spool, spool } from "./spool.js";
import { namedProject } from "./state.js";

/** Options of every client. */
export interface Options {
  /** The project. Default: `CONTEXTCORE_PROJECT`, else what `.contextcore/project` here or above says, else `default`. */
  projectId?: string;
  /** Where telemetry goes, e.g. `http://tempo:4317`. Default: `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  otlpEndpoint?: string;
  /** Who does what is reported. */
  actor?: string;
  /** Headers for the endpoint. They stay in memory and are never written to a file. */
  headers?: Record<string, string>;
  protocol?: "grpc" | "http/protobuf";
  /** Where the spool is. Default: `CONTEXTCORE_STATE_DIR`, else `~/.local/state/contextcore`. */
  stateDir?: string;
  /** `auto` starts the helper when it is needed, `off` never. */
  drain?: "auto" | "off";
  /** Throws `InvalidTask` and `SpoolUnavailable`; else bad values are clamped and what cannot be written counts in `dropped`. */
  strict?: boolean;
  mode?: "online" | "offline" | "disabled";
  /** Is given each operation before it is written; returns it, or null to drop it. If it throws, the operation is dropped. */
  beforeSend?: (operation: Fields) => Fields | null;
}

/** A moment: a Date, milliseconds since 1970, or RFC 3339. */
export type Moment = Date | number | string;

function modeOf(given: string | undefined): string {
  const named = (given ?? process.env["CONTEXTCORE_MODE"] ?? "").trim().toLowerCase();
  if (["online", "offline", "disabled"].includes(named)) return named;
  if (named) log.once(`mode ${named}`, `the mode ${named} is none of online, offline, disabled; online is used`);
  return process.env["OTEL_SDK_DISABLED"]?.trim().toLowerCase() === "true" ? "disabled" : "online";
}

const EXIT_WAIT_MS = 5000;

/** How long the end of the process waits for the backend: five seconds where the helper would end with it, or there is none. */
function exitWaitMs(isAlone: boolean): number {
  const named = (process.env["CONTEXTCORE_EXIT_WAIT"] ?? "").trim();
  const seconds = Number(named.replace(/s$/, ""));
  if (named && Number.isFinite(seconds)) return Math.max(seconds, 0) * 1000;
  if (named) log.once("exit wait", `CONTEXTCORE_EXIT_WAIT is ${named}, which is no number of seconds`);
  const isLast = process.pid === 1 || ["1", "true", "yes", "on"].includes((process.env["CI"] ?? "").trim().toLowerCase());
  return isAlone || isLast ? EXIT_WAIT_MS : 0;
}

/** Waits until what this process wrote was accepted. */
const waitFor = (target: Spool, timeoutMs: number): Promise<boolean> =>
  post.postsItself(target) ? post.flush(target, timeoutMs) : helper.flush(target, timeoutMs);

/** What keeps lines from being sent now is no error of the program: they are on disk. */
function notSent(target: Spool, error: unknown): void {
  log.limited("flush", `the spool ${target.path} could not be sent: ${error instanceof Error ? error.message : String(error)}`);
}

let registered = false;
function atExit(): void {
  for (const target of allSpools()) {
    if (!Object.keys(target.positions()).length) continue;
    target.sync();
    if (!target.drains || target.lane === NOWHERE || post.postsItself(target)) continue;
    try {
      helper.lookNow(target);
      helper.ensure(target);
    } catch (error) {
      notSent(target, error);
    }
  }
}

/** While the event loop can still wait, where nobody would send it after the end of the process. */
async function beforeExit(): Promise<void> {
  const left = allSpools().filter((each) => each.drains && each.lane !== NOWHERE && Object.keys(each.positions()).length);
  const wait = exitWaitMs(left.some(post.postsItself));
  const deadline = Date.now() + wait;
  for (const target of wait > 0 ? left : []) {
    target.sync();
    await waitFor(target, Math.max(deadline - Date.now(), 0)).catch((error: unknown) => notSent(target, error));
  }
}

/** The base of everything that writes operations. */
export class Client {
  readonly projectId: string;
  /** Calls that could not be written. */
  dropped = 0;
  protected readonly options: Options;
  protected readonly destination: Destination | null;
  readonly #mode: string;
  #spool: Spool | null = null;

  constructor(options: Options = {}) {
    this.options = options;
    this.projectId = plain(options.projectId ?? namedProject(process.env) ?? "").trim() || "default";
    this.#mode = modeOf(options.mode);
    this.destination = resolve(options.otlpEndpoint, options.protocol, options.headers, process.env);
    if (options.protocol === "grpc" && this.destination?.protocol === "http/protobuf") {
      this.complain("an endpoint with a path is http/protobuf, not grpc");
    }
    if (!registered) {
      registered = true;
      process.once("beforeExit", beforeExit);
      process.once("exit", atExit);
    }
  }

  /** Writes one operation. Throws only with `strict`. */
  protected record(op: string, task: unknown, at: Moment | undefined, given: Fields): boolean {
    try {
      return this.#written(op, task, at, given);
    } catch (error) {
      this.dropped += 1;
      const known = error instanceof ContextCoreError ? error : new InvalidTask(`${op}: ${(error as Error).message}`);
      if (this.options.strict) throw known;
      log.limited(known.name, `a call was dropped: ${known.message}`);
      return false;
    }
  }

  #written(op: string, task: unknown, at: Moment | undefined, given: Fields): boolean {
    if (this.#mode === "disabled") return false;
    let operation: Fields | null = this.#operation(op, task, at, given);
    if (this.options.beforeSend) operation = this.options.beforeSend(operation);
    if (operation === null) return false;
    if (typeof operation?.["op"] !== "string") throw new InvalidTask("beforeSend returned something that is no operation");
    const rest = line(operation);
    if (rest === null) throw new InvalidTask(`${op}: the values are longer than a line`);
    this.#append(rest);
    return true;
  }

  #operation(op: string, task: unknown, at: Moment | undefined, given: Fields): Fields {
    const complain = (message: string): void => this.complain(message);
    const operation: Fields = {};
    const when = at === undefined || at === null ? null : moment(at, complain);
    if (when !== null) operation["at"] = when;
    operation["op"] = op;
    const isTask = !ORDER[op]!["id"];
    if (isTask) {
      operation["task"] = task === null || task === undefined ? "" : plain(task).trim();
      if (!operation["task"]) throw new InvalidTask(`${op}: the id of the task is empty`);
    }
    Object.assign(operation, fields(op, given, complain));
    const lack = missing(operation);
    if (lack !== null) throw new InvalidTask(lack);
    if (this.options.actor) operation["actor"] = plain(this.options.actor);
    const span = traceparent();
    if (span !== null) operation["traceparent"] = span;
    return operation;
  }

  #append(rest: string): void {
    const target = this.#open();
    target.append(rest);
    if (!target.drains || Date.now() < (target.memory.get("look") ?? 0)) return;
    if (target.lane !== NOWHERE) {
      if (!post.postsItself(target)) helper.ensure(target);
      return;
    }
    target.memory.set("look", Infinity);
    log.once(
      `nowhere ${this.projectId}`,
      `no OTLP endpoint is known for project ${this.projectId}, so what is reported stays in ${target.path}; set OTEL_EXPORTER_OTLP_ENDPOINT, or run \`contextcore drain --state ${target.state} --endpoint URL\``,
    );
  }

  #open(): Spool {
    if (this.#spool === null) {
      this.#spool = spool(this.options.stateDir, this.destination, this.projectId);
      this.#spool.clients.add(this);
      const off = this.options.drain === "off" || process.env["CONTEXTCORE_DRAIN"]?.toLowerCase() === "off";
      // A test runner starts no helper.
      this.#spool.drains ||= !off && this.#mode === "online" && !process.env["NODE_TEST_CONTEXT"];
    }
    return this.#spool;
  }

  /** A bad value: thrown with `strict`, else logged once. */
  protected complain(message: string): void {
    if (this.options.strict) throw new InvalidTask(message);
    log.once(message, message);
  }

  /**
   * Makes everything durable and waits until the backend has accepted it. False if not in time; then everything is on disk and is
   * sent later.
   */
  async flush(timeoutMs = 5000): Promise<boolean> {
    const target = this.#spool;
    if (target === null || !Object.keys(target.positions()).length) return true;
    target.sync();
    const accepted = target.drains && target.lane !== NOWHERE && (await this.#sent(target, timeoutMs));
    if (!accepted) {
      const count = Object.values(target.positions()).reduce((sum, each) => sum + each, 0);
      const why = target.trouble === null ? "" : `: ${target.trouble.slice(0, 500)}; ${target.state}/drain.log has more`;
      log.warn(`${count} operations of project ${this.projectId} are on disk in ${target.path} and not yet accepted${why}`);
    }
    return accepted;
  }

  /** Whether the backend has accepted everything in time. Throws only with `strict`. */
  async #sent(target: Spool, timeoutMs: number): Promise<boolean> {
    try {
      return await waitFor(target, timeoutMs);
    } catch (error) {
      if (this.options.strict) throw error;
      notSent(target, error);
      return false;
    }
  }

  /** As `flush`, and gives up the file. A later call opens another. */
  async close(timeoutMs = 5000): Promise<boolean> {
    const accepted = await this.flush(timeoutMs);
    const target = this.#spool;
    this.#spool = null;
    target?.release(this);
    if (target && accepted && target.drains && post.postsItself(target)) {
      // What cannot be removed now is removed by whoever posts next.
      await post.sweep(target).catch((error: unknown) => log.limited("sweep", `what was posted of ${target.path} could not be removed: ${error}`));
    }
    return accepted;
  }
}

export { SpoolUnavailable };
