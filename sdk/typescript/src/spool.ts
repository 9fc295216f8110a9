// The spool: one file a process, one line a call, one write a line. docs/SPOOL.md is the format. A call that returned has written
// its line, so a killed process loses nothing.

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, closeSync, fstatSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

import { type Destination, NOWHERE, onlyLane } from "./destination.js";
import { SpoolUnavailable } from "./errors.js";
import { resource } from "./resource.js";
import { describe, directoryName, enter, find, makeRoom, NEW_FILE, syncDirectory } from "./state.js";
import { VERSION } from "./version.js";

const SEGMENT_BYTES = 8 * 1024 * 1024;
const PAUSE_MS = 1000;
// Node has no flock. These lock a descriptor that they inherit, and the lock stays with the open file when they end.
const LOCKERS: [string, string[]][] = [
  ["flock", ["-n", "-x", "3"]],
  ["python3", ["-c", "import fcntl; fcntl.flock(3, fcntl.LOCK_EX | fcntl.LOCK_NB)"]],
  ["perl", ["-e", 'open(my $f, ">&=", 3) or exit 1; flock($f, 6) or exit 1']],
];

/** Locks an open file for as long as it is open: `held` by another process, or `unknown` where no program can. */
export function lock(fd: number): "locked" | "held" | "unknown" {
  for (const [program, args] of LOCKERS) {
    const done = spawnSync(program, args, { stdio: ["ignore", "ignore", "ignore", fd], timeout: 5000 });
    if (done.status === 0) return "locked";
    if (done.status !== null) return "held";
  }
  return "unknown";
}

/** One file at a time, held with a lock for life: whoever obtains the lock knows that the writer is dead. */
class Writer {
  readonly id = randomBytes(16).toString("hex");
  readonly #header: string;
  #number = 0;
  #clean = true;
  #locks = true;
  fd = -1;
  size = 0;
  seq = 0;
  /** The last number that is in the file. */
  written = 0;

  constructor(directory: string, project: string) {
    const head = { v: 1, writer: this.id, project, lang: "typescript", sdk: VERSION, host: hostname(), pid: process.pid };
    const given = resource(process.env);
    this.#header = `${JSON.stringify(Object.keys(given).length ? { ...head, resource: given } : head)}\n`;
    this.nextSegment(directory);
  }

  /** Opens another file with the header as its first line, and leaves the one before. */
  nextSegment(directory: string): void {
    if (!this.#locks) return;
    const [temporary, name] = this.#names(directory);
    const fd = openSync(temporary, NEW_FILE, 0o600);
    this.#locks = lock(fd) === "locked";
    if (!this.#locks) {
      closeSync(fd);
      unlinkSync(temporary);
      return;
    }
    try {
      writeSync(fd, this.#header);
      renameSync(temporary, name);
    } catch (error) {
      closeSync(fd);
      unlinkSync(temporary);
      throw error;
    }
    this.close();
    this.fd = fd;
    this.#number += 1;
    this.#clean = true;
    this.size = Buffer.byteLength(this.#header);
  }

  #names(directory: string): [string, string] {
    const name = `${this.id}.${this.#number + 1}`;
    return [join(directory, `.${name}.tmp`), join(directory, `${name}.jsonl`)];
  }

  /** Appends a line, or throws if it is not in the file. */
  write(line: string, directory: string): void {
    if (!this.#locks) {
      this.#alone(line, directory);
      return;
    }
    const data = Buffer.from(this.#clean ? line : `\n${line}`);
    const before = fstatSync(this.fd).size;
    this.#clean = false;
    try {
      appendFileSync(this.fd, data);
      this.#clean = true;
    } catch (error) {
      // All but the end of the line is there: the next write begins with one.
      const wrote = fstatSync(this.fd).size - before;
      if (wrote === 0) this.#clean = true;
      if (wrote !== data.length - 1) throw error;
    }
    this.size += data.length;
  }

  /** Without locks each line is a file of its own, complete when it gets its name. */
  #alone(line: string, directory: string): void {
    const [temporary, name] = this.#names(directory);
    const fd = openSync(temporary, NEW_FILE, 0o600);
    try {
      appendFileSync(fd, this.#header + line);
      renameSync(temporary, name);
      this.#number += 1;
    } catch (error) {
      unlinkSync(temporary);
      throw error;
    } finally {
      closeSync(fd);
    }
  }

  /** Whether the file is still there and has room. */
  isReady(need: number): boolean {
    if (!this.#locks) return true;
    return this.fd >= 0 && this.size + need <= SEGMENT_BYTES;
  }

  /** Whether somebody removed the file, so that what is written to it would be lost. */
  isUnlinked(): boolean {
    return this.fd >= 0 && fstatSync(this.fd).nlink === 0;
  }

  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }
}

/** The lines of one project for one destination. */
export class Spool {
  state = "";
  lane: string | null;
  /** Whether some client wants a helper to be started. */
  drains = false;
  /** What the helper's module remembers of this spool. */
  readonly memory = new Map<string, number>();
  /** The socket of the helper that got the headers. */
  delivered: string | null = null;
  /** Why the backend has not accepted everything, as the helper says. */
  trouble: string | null = null;
  readonly clients = new Set<object>();
  #writer: Writer | null = null;
  #directory: string | null = null;
  #last = 0;
  #checked = 0;
  #pausedUntil = 0;

  constructor(
    readonly given: string | undefined,
    readonly destination: Destination | null,
    readonly project: string,
  ) {
    this.lane = destination?.lane ?? null;
  }

  /** The directory of the lane. */
  get path(): string {
    return join(this.state, "lanes", this.lane ?? NOWHERE);
  }

  /** Writes one operation; `rest` is its JSON after `{"v":1,"seq":…,"t":…,`. Throws if it is not in the spool. */
  append(rest: string): void {
    try {
      this.#write(rest);
    } catch (error) {
      this.#pausedUntil = Date.now() + PAUSE_MS;
      if (error instanceof SpoolUnavailable) throw error;
      throw new SpoolUnavailable(`${this.path}: ${(error as Error).message}`);
    }
  }

  #write(rest: string): void {
    const writer = this.#ready(Buffer.byteLength(rest) + 80);
    this.#last = Math.max(this.#last, Date.now());
    const seq = writer.seq + 1;
    // A number is never used twice, also if the write fails half way.
    writer.seq = seq;
    writer.write(`{"v":1,"seq":${seq},"t":"${new Date(this.#last).toISOString()}",${rest}\n`, this.#directory!);
    writer.written = seq;
  }

  #ready(need: number): Writer {
    const now = Date.now();
    if (now - this.#checked > PAUSE_MS) {
      this.#checked = now;
      if (this.#writer?.isUnlinked()) {
        this.#writer.close();
        this.#writer = null;
        this.#directory = null;
      }
    }
    if (this.#writer?.isReady(need)) return this.#writer;
    if (now < this.#pausedUntil && !this.#writer) throw new SpoolUnavailable("the spool could not be written a moment ago");
    const directory = this.#open();
    if (this.#writer && this.#writer.fd >= 0) this.#writer.nextSegment(directory);
    else this.#writer = new Writer(directory, this.project);
    return this.#writer;
  }

  #open(): string {
    if (this.#directory === null) {
      this.state = find(this.given, process.env);
      this.lane ??= onlyLane(this.state, directoryName(this.project));
      const durable = this.destination !== null;
      enter(join(this.state, "lanes"), durable);
      describe(enter(this.path, durable), this.destination);
      enter(join(this.path, "spool"));
      this.#directory = enter(join(this.path, "spool", directoryName(this.project)));
    }
    makeRoom(join(this.path, "spool"));
    return this.#directory;
  }

  /** The last number of the writer of this process. */
  positions(): Record<string, number> {
    return this.#writer?.written ? { [this.#writer.id]: this.#writer.written } : {};
  }

  /** Makes what was written durable. False if that failed. */
  sync(): boolean {
    try {
      if (this.#writer && this.#writer.fd >= 0) fsyncSync(this.#writer.fd);
      if (this.#directory !== null) {
        syncDirectory(this.#directory);
      }
    } catch {
      return false;
    }
    return true;
  }

  /** A client is closed; the file is closed with the last one. */
  release(client: object): void {
    this.clients.delete(client);
    if (this.clients.size === 0) this.#writer?.close();
  }
}

const spools = new Map<string, Spool>();

/** The spool of this process for a project and a destination: all trackers share it, so that their calls are ordered. */
export function spool(given: string | undefined, destination: Destination | null, project: string): Spool {
  const env = process.env;
  const where = given || env["CONTEXTCORE_STATE_DIR"];
  const key = JSON.stringify([where, env["XDG_STATE_HOME"], env["HOME"], destination?.lane, project]);
  let found = spools.get(key);
  if (!found) spools.set(key, (found = new Spool(given, destination, project)));
  return found;
}

/** Every spool of this process. */
export const allSpools = (): Spool[] => [...spools.values()];
