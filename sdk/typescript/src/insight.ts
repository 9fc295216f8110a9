// Insights: what they are, and how their ids follow from what they say. Pure.

import { randomBytes } from "node:crypto";

import { sha } from "./destination.js";
import { plain } from "./encode.js";

// White space by one list, because every language has its own idea of it.
const SPACE = /[\t\n\v\f\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;
const SCOPES = ["path:", "task:", "service:", "epic:", "label:"];
// The same words about the same things are the same insight of these types.
const BY_CONTENT = ["decision", "lesson", "recommendation", "discovery", "risk"];
const FILES = ["file", "path", "files"];

/** A reference that supports an insight. */
export interface Evidence {
  /** commit, pr, task, trace, log, file, adr, doc, url or agent_trace. */
  kind: string;
  ref: string;
  description?: string;
}

/** Something an agent or a person found out, decided, asked or handed over. */
export interface Insight {
  id: string;
  type: string;
  project: string;
  summary: string;
  confidence?: number | undefined;
  appliesTo: string[];
  /** The status it begins with. */
  status: string;
}

/** A summary without differences of case, white space and Unicode form. */
export function normalised(summary: string): string {
  const folded = summary.normalize("NFC").toUpperCase().toLowerCase().normalize("NFC");
  return folded.replace(SPACE, " ").replace(/^ | $/g, "");
}

/** The scopes of an insight in the form that is hashed. */
export function scope(appliesTo: string[]): string[] {
  const words = new Set(appliesTo.map((each) => (SCOPES.some((start) => each.startsWith(start)) ? each : `path:${each}`)));
  return [...words].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** The id: from the content for what is said once, random for what happens each time anew. */
export function insightId(project: string, type: string, summary: string, appliesTo: string[] = [], key?: string): string {
  if (!key && !BY_CONTENT.includes(type)) return `ins_${randomBytes(8).toString("hex")}`;
  const what = key ? `key:${key}` : `summary:${normalised(summary)}`;
  return `ins_${sha("contextcore-insight-v1", project, type, what, ...scope(appliesTo)).slice(0, 16)}`;
}

/** Files of a context are what the insight applies to; the rest stays context. */
export function splitContext(given: Record<string, unknown>, appliesTo: string[]): [string[], Record<string, unknown>] {
  const scopes = [...appliesTo];
  const rest: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (!FILES.includes(name)) {
      rest[name] = value;
      continue;
    }
    for (const each of Array.isArray(value) ? value.map(plain) : [plain(value)]) {
      if (!scopes.includes(each)) scopes.push(each);
    }
  }
  return [scopes, rest];
}
