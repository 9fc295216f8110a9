// Posts the spool to the `/v1/ops` of a service where no helper can: neither a shared disk nor the binary is there. `flush`, `close`
// and the end of the process take the lane as a helper would, post what is on disk, and give it up. How far a lane was posted is in
// `posted.json`, as `contextcore drain --to` writes it; what was posted twice counts once, because each line keeps its number.
// A line leaves the spool only when the answer names it (`settle.ts`).

import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, fsyncSync, openSync, readFileSync, readdirSync, renameSync, statSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";

import type { Destination } from "./destination.js";
import * as log from "./log.js";
import { Line, settle } from "./settle.js";
import { lock, type Spool } from "./spool.js";
import { NEW_FILE } from "./state.js";

// The other side takes 1 MiB.
const BODY_BYTES = 900 * 1024;
const POSTED = "posted.json";
const SHORTEST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5000;
const REQUEST_MS = 10_000;

interface Place {
  segment: number;
  offset: number;
  seq: number;
  ended?: boolean;
}
type Places = Record<string, Place>;
interface Batch {
  lines: Line<Place>[];
  places: Places;
}
interface Segment {
  writer: string;
  number: number;
  path: string;
}

/** Nothing was taken; `waitMs` is null if it never will be. */
class Refused extends Error {
  constructor(
    message: string,
    readonly waitMs: number | null,
    readonly tooLarge = false,
  ) {
    super(message);
  }
}

/** Whether what goes to a service is posted by this process, because there is no helper that could. */
export const postsItself = (spool: Spool): boolean => spool.destination?.protocol === "ops" && !process.env["CONTEXTCORE_BIN"];

/** Posts the lane, for at most so long. True if everything that this process wrote was taken. */
export async function flush(spool: Spool, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  const lane = new Lane(spool.path);
  try {
    if (!(await lane.take(deadline))) return false;
    await postAll(lane, spool.destination!, deadline);
    // The service may withhold the lines of another process, of a project that the token does not know.
    return !Object.keys(spool.positions()).some((writer) => lane.withheld.has(writer));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const where = spool.destination!.endpoint;
    log.limited(`post ${where}`, `${where} takes no reports: ${error.message}; they stay in the spool`);
    return false;
  } finally {
    lane.release();
  }
}

/** Removes what was posted and is not written any more. */
export async function sweep(spool: Spool): Promise<void> {
  const lane = new Lane(spool.path);
  try {
    if (await lane.take(Date.now())) lane.removePosted();
  } finally {
    lane.release();
  }
}

async function postAll(lane: Lane, to: Destination, deadline: number): Promise<void> {
  for (let wait = SHORTEST_WAIT_MS; ; ) {
    const batch = lane.nextBatch();
    try {
      if (batch.lines.length) await postBatch(batch, to, deadline);
    } catch (error) {
      lane.store(batch);
      if (!(error instanceof Refused) || error.waitMs === null) throw error;
      const pause = Math.max(wait, error.waitMs);
      if (Date.now() + pause >= deadline) throw error;
      await new Promise((done) => setTimeout(done, pause));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
      continue;
    }
    lane.store(batch);
    wait = SHORTEST_WAIT_MS;
    if (!batch.lines.length) {
      lane.removePosted();
      return;
    }
  }
}

/** Posts a batch; one that is too large for the other side in halves. */
async function postBatch(batch: Batch, to: Destination, deadline: number): Promise<void> {
  const waiting = [batch.lines];
  for (let lines = waiting.pop(); lines; lines = waiting.pop()) {
    let answer: string;
    try {
      answer = await request(to, body(lines), Math.min(Math.max(deadline - Date.now(), 100), REQUEST_MS));
    } catch (error) {
      if (!(error instanceof Refused) || !error.tooLarge || lines.length === 1) throw error;
      const middle = Math.floor(lines.length / 2);
      waiting.push(lines.slice(middle), lines.slice(0, middle));
      continue;
    }
    settle(answer, lines, to.endpoint);
    if (lines.every((line) => line.isSettled || line.isWithheld)) continue;
    const shown = JSON.stringify(answer.slice(0, 100));
    throw new Refused(`it answered ${shown}, which does not acknowledge what was posted: this is not ContextCore's /v1/ops`, 0);
  }
}

/** When it is sent, and each writer's header before its lines. */
function body(lines: Batch["lines"]): string {
  const rows = [JSON.stringify({ v: 1, sent: new Date().toISOString() })];
  let last = "";
  for (const { header, text } of lines) {
    if (header !== last) rows.push(header);
    last = header;
    rows.push(text);
  }
  return `${rows.join("\n")}\n`;
}

async function request(to: Destination, text: string, timeoutMs: number): Promise<string> {
  const url = to.endpoint.replace("+ops://", "://");
  const headers = { "content-type": "application/x-ndjson", ...to.headers };
  let response: Response;
  let answer: string;
  try {
    // A token goes to the address that was given, and no other.
    response = await fetch(url, { method: "POST", headers, body: text, redirect: "manual", signal: AbortSignal.timeout(timeoutMs) });
    answer = await response.text();
  } catch (error) {
    const cause = (error as Error & { cause?: Error }).cause;
    throw new Refused(cause?.message || (error as Error).message, 0);
  }
  if (response.status === 200) return answer;
  const later = [408, 425, 429].includes(response.status) || response.status >= 500;
  const asked = Number(response.headers.get("retry-after"));
  const waitMs = Number.isFinite(asked) ? Math.max(asked, 0) * 1000 : 0;
  const reason = `HTTP ${response.status} ${answer.slice(0, 300).trim().split("\n")[0] ?? ""}`.trim();
  throw new Refused(reason, later ? waitMs : null, response.status === 413);
}

/** The directory of a destination, while it is held as a helper holds it. */
class Lane {
  #lock = -1;
  #cursor: { writers?: Places } & Record<string, unknown> = {};
  /** Writers whose lines the service does not take now. They keep no other waiting. */
  readonly withheld = new Set<string>();

  constructor(private readonly path: string) {}

  /** Locks the lane. False if another process has it until then. Where no program can lock, it goes on without. */
  async take(deadline: number): Promise<boolean> {
    this.#lock = openSync(join(this.path, "engine.lock"), "a+", 0o600);
    while (lock(this.#lock) === "held") {
      if (Date.now() >= deadline) return false;
      await new Promise((done) => setTimeout(done, 20));
    }
    try {
      this.#cursor = JSON.parse(readFileSync(join(this.path, POSTED), "utf8"));
    } catch {
      this.#cursor = {};
    }
    return true;
  }

  release(): void {
    if (this.#lock >= 0) closeSync(this.#lock);
  }

  get #places(): Places {
    return this.#cursor.writers ?? {};
  }

  /** Segments by writer and number, each with whether another one of its writer follows. */
  #segments(): (Segment & { last: boolean })[] {
    const names = readdirSync(join(this.path, "spool"), { recursive: true, encoding: "utf8" });
    const found = names.flatMap((name): Segment[] => {
      const match = /(?:^|\/)([0-9a-f]{32})\.(\d+)\.jsonl$/.exec(name);
      return match ? [{ writer: match[1]!, number: Number(match[2]), path: join(this.path, "spool", name) }] : [];
    });
    found.sort((a, b) => (a.writer === b.writer ? a.number - b.number : a.writer < b.writer ? -1 : 1));
    return found.map((each, index) => ({ ...each, last: found[index + 1]?.writer !== each.writer }));
  }

  /** The whole lines that follow, in one body. */
  nextBatch(): Batch {
    const batch: Batch = { lines: [], places: structuredClone(this.#places) };
    let size = 0;
    for (const { writer, number, path, last } of this.#segments().filter((each) => !this.withheld.has(each.writer))) {
      const place = (batch.places[writer] ??= { segment: number, offset: 0, seq: 0 });
      if (number < place.segment || place.ended) continue;
      if (number > place.segment) Object.assign(place, { segment: number, offset: 0 });
      const data = readFileSync(path);
      const headerEnd = data.indexOf(10) + 1;
      if (headerEnd === 0) continue;
      const header = data.toString("utf8", 0, headerEnd - 1);
      place.offset = Math.max(place.offset, headerEnd);
      while (place.offset < data.length) {
        const at = data.indexOf(10, place.offset);
        const end = at < 0 ? data.length : at + 1;
        const line = data.toString("utf8", place.offset, end).trim();
        const seq = numberOf(line);
        // Only its end is missing, which the next line would have brought, or there is more to come.
        if (at < 0 && !(seq && (!last || isDead(path)))) break;
        size += end - place.offset + header.length;
        if (size > BODY_BYTES && batch.lines.length) return batch;
        const before = { ...place };
        place.offset = end;
        if (!seq) continue;
        place.seq = Math.max(place.seq, seq);
        batch.lines.push(new Line(header, line, writer, seq, before));
      }
    }
    return batch;
  }

  /** Makes it durable how far the lane was posted, before anything behind it is removed. */
  store(batch: Batch): void {
    // Each writer is behind its lines up to the first that is not settled.
    const settled = { ...batch.places };
    for (const line of [...batch.lines].reverse()) {
      if (!line.isSettled) settled[line.writer] = line.before;
      if (line.isWithheld) this.withheld.add(line.writer);
    }
    if (JSON.stringify(settled) === JSON.stringify(this.#places)) return;
    this.#cursor = { ...this.#cursor, writers: settled };
    const temporary = join(this.path, `.${POSTED}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
    const fd = openSync(temporary, NEW_FILE, 0o600);
    try {
      writeSync(fd, JSON.stringify(this.#cursor));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, join(this.path, POSTED));
  }

  /** Removes the segments that were posted whole and are not written any more. */
  removePosted(): void {
    for (const { writer, number, path, last } of this.#segments()) {
      const place = this.#places[writer];
      if (!place || number > place.segment || (last && !isDead(path))) continue;
      const size = statSync(path, { throwIfNoEntry: false })?.size ?? Infinity;
      if (number < place.segment || place.offset >= size) unlinkSync(path);
    }
  }
}

/** Whether nobody writes a segment any more: its writer holds a lock for life, or wrote the file at once. */
function isDead(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return false;
  }
  try {
    return fstatSync(fd).nlink > 0 && lock(fd) !== "held";
  } finally {
    closeSync(fd);
  }
}

/** The number of a line; 0 if it is no operation. */
function numberOf(line: string): number {
  try {
    const found = JSON.parse(line) as { op?: unknown; seq?: unknown };
    return typeof found.seq === "number" && found.op !== undefined ? found.seq : 0;
  } catch {
    return 0;
  }
}
