// What an answer of `/v1/ops` settles. A line leaves the spool only when the answer names it: as stored, or as one that can never be.
// Whatever else answers there (a proxy, a login page) settles nothing.

import * as log from "./log.js";

/** A line with the header of its segment, where its writer stands if it is not taken, and what became of it. */
export class Line<Place> {
  isSettled = false;
  isWithheld = false;

  constructor(
    readonly header: string,
    readonly text: string,
    readonly writer: string,
    readonly number: number,
    readonly before: Place,
  ) {}
}

interface Rejected {
  writer?: unknown;
  seq?: unknown;
  reason?: unknown;
  kind?: unknown;
}

// Why older services, whose answers have no kinds, refuse a line that can never be stored.
const INVALID = [
  "it is no operation",
  "it is longer than 64 KiB",
  "its writer is not 32 hex digits, or its project is empty",
  "no header comes before it",
];

/** Marks what an answer settles, and what the service withholds; the others were not answered. */
export function settle(answer: string, lines: Line<unknown>[], endpoint: string): void {
  const { acked, rejected } = read(answer);
  for (const line of lines) {
    const isAcked = line.number <= (acked.get(line.writer) ?? 0);
    const own = rejected.filter((each) => each.writer === line.writer);
    let refusal = own.find((each) => each.seq === line.number);
    if (!refusal && !isAcked) {
      // One that the service could not read has no number there; each of those stands for one line.
      refusal = own.find((each) => each.seq === null || each.seq === undefined);
      if (refusal) rejected.splice(rejected.indexOf(refusal), 1);
    }
    if (!refusal) {
      line.isSettled = isAcked;
    } else if (refusal.kind === "invalid" || (refusal.kind === undefined && INVALID.includes(String(refusal.reason)))) {
      line.isSettled = true;
      log.limited("rejected", `${endpoint} rejected an operation for good: ${JSON.stringify(refusal).slice(0, 300)}`);
    } else {
      line.isWithheld = true;
      const project = projectOf(line.header);
      const reason = String(refusal.reason).slice(0, 300);
      log.once(`withheld ${endpoint} ${project}`, `${endpoint} takes no reports of project ${project}: ${reason}; they stay in the spool`);
    }
  }
}

/** The greatest number that is stored of each writer, and the lines that are not; nothing if it is another's answer. */
function read(answer: string): { acked: Map<string, number>; rejected: Rejected[] } {
  const nothing = { acked: new Map<string, number>(), rejected: [] };
  let found: { acked?: unknown; rejected?: unknown } | null;
  try {
    found = JSON.parse(answer);
  } catch {
    return nothing;
  }
  const acked = found?.acked;
  if (typeof acked !== "object" || acked === null || Array.isArray(acked)) return nothing;
  const numbers = Object.entries(acked).filter((entry): entry is [string, number] => typeof entry[1] === "number");
  const rejected = Array.isArray(found?.rejected) ? found.rejected.filter((each) => typeof each === "object" && each !== null) : [];
  return { acked: new Map(numbers), rejected };
}

function projectOf(header: string): string {
  try {
    return String((JSON.parse(header) as { project?: unknown }).project);
  } catch {
    return "?";
  }
}
