// From a call's arguments to the fields of an operation. Pure. A value that cannot be written as it is comes back clamped, as
// text, or not at all, together with a complaint that the client logs once or throws (`strict`).

import { INSIGHT_TYPES, TASK_TYPES } from "./names.js";

export type Complain = (message: string) => void;
export type Fields = Record<string, unknown>;
type Write = (value: unknown, complain: Complain) => unknown;

export const LINE_BYTES = 65_536;
/** The longest `v`, `seq` and `t` are shorter than this. */
const HEAD_BYTES = 80;
const EVENT_ATTRIBUTES = 16;
const EVENT_BYTES = 2000;
const LINKS = ["commit", "pr", "build", "deployment", "trace", "url"];

const wellFormed = (text: string): string => (text as unknown as { toWellFormed(): string }).toWellFormed();

/** Any value as text; half a surrogate pair becomes U+FFFD. */
export const plain = (value: unknown): string => wellFormed(typeof value === "string" ? value : String(value));
// White space as Python's `strip` knows it.
const trimmed = (value: unknown): string =>
  plain(value).replace(/^[\s\u0085\x1c-\x1f]+|[\s\u0085\x1c-\x1f]+$/gu, "");

const text: Write = (value) => plain(value) || null;
const word: Write = (value) => trimmed(value) || null;

const taskType: Write = (value, complain) => {
  const name = trimmed(value);
  if (name && !(TASK_TYPES as readonly string[]).includes(name)) {
    complain(`the task type ${name} is none of ${TASK_TYPES.join(", ")}`);
  }
  return name || null;
};

const insightType: Write = (value, complain) => {
  const name = trimmed(value);
  if (!(INSIGHT_TYPES as readonly string[]).includes(name)) {
    complain(`the insight type ${name} is none of ${INSIGHT_TYPES.join(", ")}`);
  }
  return name || null;
};

/** Four decimals: the same text in every language. */
export function rounded(value: number): number {
  return Math.abs(value) < 1e11 ? Math.floor(value * 10_000 + 0.5) / 10_000 : value;
}

function number(value: unknown, complain: Complain): number | null {
  const found = typeof value === "string" && !value.trim() ? NaN : Number(value);
  if (!Number.isFinite(found)) {
    complain(`${plain(value).slice(0, 50)} is no number`);
    return null;
  }
  return rounded(found);
}

const between =
  (low: number, high: number): Write =>
  (value, complain) => {
    const found = number(value, complain);
    if (found === null || (found >= low && found <= high)) return found;
    complain(`${found} is not between ${low} and ${high}`);
    return Math.min(Math.max(found, low), high);
  };

/** A list of texts; one text alone is a list of one. */
export const texts: Write = (value) => {
  const list = Array.isArray(value) ? value : value instanceof Set ? [...value] : [value];
  return list.filter((each) => each !== null && each !== undefined).map(plain).filter(Boolean);
};

const two = (value: number): string => String(value).padStart(2, "0");

// The last time of the calendar that reads the lines, which has room for a zone of any offset.
const LATEST = Date.UTC(9999, 11, 30, 22, 0, 0, 999);

const day: Write = (value, complain) => {
  if (value instanceof Date && value.getTime() <= LATEST) {
    return `${value.getFullYear()}-${two(value.getMonth() + 1)}-${two(value.getDate())}`;
  }
  const found = trimmed(value).slice(0, 10);
  const date = new Date(`${found}T00:00:00Z`);
  if (/^\d{4}-\d\d-\d\d$/.test(found) && date.getTime() <= LATEST && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(found)) return found;
  complain(`${plain(value).slice(0, 50)} is no date like 2026-11-26`);
  return null;
};

/** A time in UTC. A Date is an instant; a text without a zone is local time. */
export const moment: Write = (value, complain) => {
  const given = typeof value === "string" && /^\d{4}-\d\d-\d\d$/.test(value.trim()) ? `${value.trim()}T00:00:00` : value;
  const found = given instanceof Date ? given : new Date(typeof given === "number" ? given : plain(given));
  if (Number.isNaN(found.getTime()) || found.getTime() > LATEST || found.getUTCFullYear() < 1) {
    complain(`${plain(value).slice(0, 50)} is no time like 2026-11-26T20:51:06Z`);
    return null;
  }
  return found.toISOString().replace(".000Z", "Z");
};

const dayOrMoment: Write = (value, complain) =>
  typeof value === "string" && value.trim().length === 10 ? day(value, complain) : moment(value, complain);

const isPlain = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value));

/** A list or an object inside an attribute, which becomes JSON; what JSON does not know is text. */
function inner(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inner);
  if (value instanceof Set) return [...value].map(inner).sort();
  if (isPlain(value)) return Object.fromEntries(Object.entries(value).map(([name, each]) => [plain(name), inner(each)]));
  return scalar(value);
}

/** An attribute's value: text, number or boolean; lists and objects as JSON, others as text. */
function scalar(value: unknown): unknown {
  if (value === null || value === undefined || typeof value === "boolean") return value ?? null;
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (Array.isArray(value) || value instanceof Set || isPlain(value)) return JSON.stringify(inner(value));
  return plain(value);
}

const mapped =
  (keepNull: boolean): Write =>
  (value, complain) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      complain("attributes are an object of names and values");
      return null;
    }
    const pairs = Object.entries(value).map(([name, each]) => [plain(name), scalar(each), each === null] as const);
    const kept = pairs.filter(([name, each, cleared]) => name && (each !== null || (cleared && keepNull)));
    return kept.length ? Object.fromEntries(kept.map(([name, each]) => [name, each])) : null;
  };

const attributes = mapped(false);

const eventAttributes: Write = (value, complain) => {
  const found = Object.entries((attributes(value, complain) ?? {}) as Fields);
  const kept = found.slice(0, EVENT_ATTRIBUTES);
  while (kept.length && Buffer.byteLength(JSON.stringify(Object.fromEntries(kept))) > EVENT_BYTES) kept.pop();
  if (kept.length < found.length) {
    complain(`an event has at most ${EVENT_ATTRIBUTES} attributes and ${EVENT_BYTES} bytes of them; the last were cut`);
  }
  return kept.length ? Object.fromEntries(kept) : null;
};

const context: Write = (value, complain) => {
  const found = Object.entries((attributes(value, complain) ?? {}) as Fields);
  if (found.length > EVENT_ATTRIBUTES) complain(`an insight has at most ${EVENT_ATTRIBUTES} values of context`);
  return found.length ? Object.fromEntries(found.slice(0, EVENT_ATTRIBUTES)) : null;
};

const eventName: Write = (value, complain) => {
  const name = trimmed(value);
  if (!name) return null;
  if (/^[a-z][a-z0-9_.]{0,63}$/.test(name)) return name;
  complain(`the event name ${name.slice(0, 70)} does not match ^[a-z][a-z0-9_.]{0,63}$`);
  const kept = Array.from(name.toLowerCase(), (c) => (/[a-z0-9_.]/.test(c) ? c : "_")).join("");
  return (/^[a-z]/.test(kept) ? kept : `event_${kept}`).slice(0, 64);
};

const linkKind: Write = (value, complain) => {
  const kind = trimmed(value);
  if (LINKS.includes(kind)) return kind;
  complain(`the kind of link ${kind} is none of ${LINKS.join(", ")}`);
  return "url";
};

/** Cuts a text to so many characters (not UTF-16 units). */
function shortened(whole: string, limit: number): string {
  if (whole.length <= limit) return whole;
  const characters = Array.from(whole);
  return characters.length > limit ? `${characters.slice(0, limit - 1).join("")}…` : whole;
}

const cut =
  (limit: number): Write =>
  (value, complain) => {
    const whole = plain(value);
    const short = shortened(whole, limit);
    if (short !== whole) complain(`a text was cut to ${limit} characters`);
    return short || null;
  };

const atMost =
  (limit: number): Write =>
  (value, complain) => {
    const found = texts(value, complain) as string[];
    if (found.length > limit) complain(`a list was cut to ${limit} entries`);
    return found.length ? found.slice(0, limit) : null;
  };

const evidence: Write = (value, complain) => {
  const found: Fields[] = [];
  for (const each of Array.isArray(value) ? value : [value]) {
    const given: Fields = typeof each === "string" ? { kind: each.includes("://") ? "url" : "doc", ref: each } : { ...each };
    if (!given["ref"]) {
      complain("evidence needs a `ref`");
      continue;
    }
    const known = ["kind", "ref", "description"].filter((name) => given[name]);
    found.push(Object.fromEntries(known.map((name) => [name, trimmed(given[name])])));
  }
  if (found.length > 16) complain("a list was cut to 16 entries");
  return found.length ? found.slice(0, 16) : null;
};

const flag: Write = (value) => (value ? true : null);
const percent = between(0, 100);

const TASK: Record<string, Write> = {
  title: text, type: taskType, status: word, parent: word, priority: word, assignee: text, estimate: number, labels: texts,
  sprint: word, due: day, url: text, depends_on: texts,
};
const SPRINT: Record<string, Write> = { id: word, name: text, goal: text, start: dayOrMoment, end: dayOrMoment };

/** The fields of each operation after `op` and `task`, in the order in which they are written. */
export const ORDER: Record<string, Record<string, Write>> = {
  "task.start": { ...TASK, attributes },
  "task.update": { ...TASK, attributes: mapped(true) },
  "task.status": { status: word, reason: text },
  "task.block": { reason: text, blocked_by: word },
  "task.unblock": {},
  "task.complete": {},
  "task.cancel": { reason: text },
  "task.reopen": {},
  "task.progress": { percent },
  "task.comment": { text, author: text },
  "task.event": { name: eventName, attributes: eventAttributes },
  "task.link": { kind: linkKind, ref: word, url: text },
  "sprint.start": SPRINT,
  "sprint.end": SPRINT,
  "insight.emit": {
    id: word, type: insightType, summary: cut(200), confidence: between(0, 1), agent: word, applies_to: atMost(16),
    agent_name: text, session: word, on_behalf_of: text, task: word, key: word, rationale: cut(2000), category: text,
    tags: texts, audience: word, severity: word, evidence, context, supersedes: texts, expires_at: moment, options: texts,
    blocking: flag, to: word, inputs: attributes, done: texts, remaining: texts, percent,
  },
  "insight.update": { id: word, action: word, text: cut(2000), by: text, agent: word, session: word, evidence },
};
// What an operation cannot be without, besides the id of its task: no reader takes it.
const REQUIRED: Record<string, string[]> = {
  "task.status": ["status"], "task.progress": ["percent"], "task.comment": ["text"], "task.event": ["name"],
  "task.link": ["kind", "ref"], "sprint.start": ["id"], "sprint.end": ["id"], "insight.emit": ["id", "type", "summary"],
  "insight.update": ["id", "action"],
};

/** Why no reader would take an operation; null if nothing is missing. */
export function missing(operation: Fields): string | null {
  const op = operation["op"] as string;
  const lacks = (REQUIRED[op] ?? []).find((name) => !trimmed(operation[name] ?? ""));
  if (lacks) return `${op}: the ${lacks} is empty`;
  const id = String(operation["id"]);
  const isWrong = op.startsWith("insight.") && !/^ins_[0-9a-f]{16}$/.test(id);
  return isWrong ? `${op}: ${id.slice(0, 50)} is not the id of an insight` : null;
}

const NOT_CLEARED = ["title", "type", "status"];
// Texts that give way, in this order, when a line is too long.
const LONG = ["text", "rationale", "reason", "summary", "title", "attributes", "context", "inputs"];

/** The fields of an operation in their order; what was not given (undefined) is left out. */
export function fields(op: string, given: Fields, complain: Complain): Fields {
  const found: Fields = {};
  const clears = op === "task.update";
  for (const [name, write] of Object.entries(ORDER[op]!)) {
    const value = given[name];
    if (value === undefined) continue;
    if (value === null) {
      if (clears && !NOT_CLEARED.includes(name)) found[name] = null;
      continue;
    }
    const written = write(value, complain);
    const isEmpty = Array.isArray(written) && written.length === 0 && !clears;
    if (written !== null && !isEmpty) found[name] = written;
  }
  return found;
}

/** The part of a line after its number and time; null if it is too long even when its texts are cut. */
export function line(operation: Fields): string | null {
  const fits = (text: string): boolean => Buffer.byteLength(text) + HEAD_BYTES - 1 <= LINE_BYTES;
  let found = JSON.stringify(operation);
  if (fits(found)) return found.slice(1);
  const short = { ...operation };
  for (const name of LONG.filter((each) => each in short)) {
    short[name] = shorten(short[name]);
    found = JSON.stringify(short);
    if (fits(found)) return found.slice(1);
  }
  return null;
}

function shorten(value: unknown): unknown {
  if (typeof value === "string") return shortened(value, 1000);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, shorten(each)]));
}
