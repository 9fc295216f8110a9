// Questions to whoever holds the insights: the socket of a running helper or service, else the command line.

import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import type { InsightEmitter } from "./agent.js";
import { ContextCoreError } from "./errors.js";
import { ask } from "./helper.js";
import * as log from "./log.js";
import { candidates, namedProject } from "./state.js";

/** An insight (or a line of guidance) as the service gives it. */
export type Answer = Record<string, unknown> & { id: string };

/** What to look for. */
export interface Question {
  projectId?: string;
  insightType?: string;
  /** Words to look for. */
  text?: string;
  /** A file; insights that apply to it come first. */
  path?: string;
  taskId?: string;
  agentId?: string;
  audience?: "human" | "agent";
  minConfidence?: number;
  /** How far back, e.g. `90d`. */
  since?: string;
  /** `open` (what still holds), `all`, or one status. */
  status?: string;
  limit?: number;
}

const run = promisify(execFile);
const MAX_BYTES = 16 * 1024 * 1024;

function rows(answer: unknown, field: string): Answer[] {
  const found = Array.isArray(answer) ? answer : (answer as Record<string, unknown> | null)?.[field];
  if (!Array.isArray(found)) throw new ContextCoreError(`the answer has no list of ${field}`);
  return found as Answer[];
}

/** The rows of several lanes, each once, in the order in which each lane has them: the best first, as the command has them. */
function merged(found: Answer[]): Answer[] {
  const text = (each: Answer, name: string): string => String(each[name] ?? "");
  const score = (each: Answer): number => Number(each["score"]) || 0;
  const compared = (one: string, other: string): number => (one < other ? -1 : Number(one > other));
  const order = (one: Answer, other: Answer): number =>
    score(other) - score(one) ||
    compared(text(other, "updated"), text(one, "updated")) ||
    compared(text(one, "id"), text(other, "id")) ||
    compared(text(one, "project"), text(other, "project"));
  // Guidance has no score, and the order of its source.
  const sorted = found.some((each) => "score" in each) ? [...found].sort(order) : found;
  const seen = new Set<string>();
  return sorted.filter((each) => !seen.has(each.id) && seen.add(each.id));
}

/** Who asks, and where. */
export interface QuerierOptions {
  projectId?: string;
  stateDir?: string;
  strict?: boolean;
  timeoutMs?: number;
  /**
   * Id of the agent that asks. Default: `CONTEXTCORE_AGENT`. What it is given is noted: an agent does not corroborate what it was given,
   * and handoffs to it come first.
   */
  reader?: string;
}

/** Asks what was reported. Answers are empty, with one warning, where nobody can be asked (`strict` throws). */
export class InsightQuerier {
  readonly #options: QuerierOptions;

  constructor(options: QuerierOptions = {}) {
    const projectId = options.projectId ?? namedProject(process.env);
    const reader = options.reader ?? process.env["CONTEXTCORE_AGENT"];
    this.#options = { ...options, ...(projectId ? { projectId } : {}), ...(reader ? { reader } : {}) };
  }

  /** Insights, best first. */
  query(asked: Question = {}): Promise<Answer[]> {
    const wanted = {
      project: asked.projectId ?? this.#options.projectId, type: asked.insightType, text: asked.text, path: asked.path,
      task: asked.taskId, agent: asked.agentId, audience: asked.audience, min_confidence: asked.minConfidence,
      since: asked.since ?? "90d", status: asked.status ?? "open", limit: asked.limit ?? 20,
    };
    return this.#answer("insight.query", wanted, "insights", ["insight", "query"]);
  }

  /** What stops work at present. */
  getBlockers(asked: Question = {}): Promise<Answer[]> { return this.query({ ...asked, insightType: "blocker" }); }
  /** Decisions that hold. */
  getRecentDecisions(asked: Question = {}): Promise<Answer[]> { return this.query({ ...asked, insightType: "decision" }); }
  /** Lessons, for a path if one is given. */
  getLessons(appliesTo?: string, asked: Question = {}): Promise<Answer[]> {
    return this.query({ ...asked, insightType: "lesson", ...(appliesTo === undefined ? {} : { path: appliesTo }) });
  }
  /** Questions without an answer. */
  getOpenQuestions(asked: Question = {}): Promise<Answer[]> { return this.query({ ...asked, insightType: "question" }); }
  /** Guidance from people, for a path if one is given. It binds. */
  getGuidance(path?: string): Promise<Answer[]> {
    return this.#answer("guidance.query", { project: this.#options.projectId, path }, "guidance", ["guide", "list"]);
  }

  async #answer(cmd: string, wanted: Record<string, unknown>, field: string, command: string[]): Promise<Answer[]> {
    const query = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
    const reader = this.#options.reader;
    const found = await this.#bySocket({ v: 1, cmd, query: reader ? { ...query, reader } : query }, field);
    if (found !== null) return found.slice(0, (query["limit"] as number | undefined) ?? found.length);
    try {
      return rows(await this.#byCommand(command, query), field);
    } catch (error) {
      if (this.#options.strict) throw new ContextCoreError((error as Error).message);
      log.once(`query ${cmd}`, `\`contextcore ${command.join(" ")}\` gave no answer, so none is used: ${(error as Error).message}`);
      return [];
    }
  }

  /** The state directory that would be used, without making anything. */
  get #state(): string {
    const places = [...candidates(this.#options.stateDir, process.env)];
    return places.find((place) => existsSync(place)) ?? places[0]!;
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? 10_000;
  }

  /** What the helpers of all lanes answer, or null if none knows the question. */
  async #bySocket(request: object, field: string): Promise<Answer[] | null> {
    const lanes = join(this.#state, "lanes");
    let found: Answer[] | null = null;
    for (const lane of existsSync(lanes) ? readdirSync(lanes).sort() : []) {
      try {
        const answer = await ask(join(lanes, lane), request, this.#timeoutMs);
        if (answer["ok"] !== true) continue;
        found = [...(found ?? []), ...rows(answer, field)];
      } catch {
        // Nobody is there.
      }
    }
    return found === null ? null : merged(found);
  }

  async #byCommand(command: string[], query: Record<string, unknown>): Promise<unknown> {
    const program = process.env["CONTEXTCORE_BIN"];
    if (!program) throw new ContextCoreError("CONTEXTCORE_BIN does not name the binary of ContextCore");
    const options = Object.entries(query).map(([name, value]) => `--${name.replaceAll("_", "-")}=${String(value)}`);
    const args = [...command, "--output", "json", "--state", this.#state, ...options];
    const reader = this.#options.reader;
    const env = reader ? { ...process.env, CONTEXTCORE_AGENT: reader } : process.env;
    const { stdout } = await run(program, args, { timeout: this.#timeoutMs, maxBuffer: MAX_BYTES, env });
    return JSON.parse(stdout);
  }
}

// Handoffs of all agents that are asked for at once: the usual limit is too low.
const PENDING = 1000;

/** Work that goes from one agent to another. */
export class HandoffManager {
  readonly #emitter: InsightEmitter;
  readonly #querier: InsightQuerier;

  constructor(emitter: InsightEmitter, querier?: InsightQuerier) {
    this.#emitter = emitter;
    const reader = emitter.agentId;
    this.#querier = querier ?? new InsightQuerier({ projectId: emitter.projectId, ...(reader ? { reader } : {}) });
  }

  /** Offers work. See `InsightEmitter.emitHandoff`. */
  offer(...args: Parameters<InsightEmitter["emitHandoff"]>): ReturnType<InsightEmitter["emitHandoff"]> { return this.#emitter.emitHandoff(...args); }
  /** Takes work over. */
  accept(...args: Parameters<InsightEmitter["acceptHandoff"]>): void { this.#emitter.acceptHandoff(...args); }
  /** Finishes work that was taken over. */
  complete(...args: Parameters<InsightEmitter["completeHandoff"]>): void { this.#emitter.completeHandoff(...args); }
  /** Declines work. */
  reject(...args: Parameters<InsightEmitter["rejectHandoff"]>): void { this.#emitter.rejectHandoff(...args); }
  /** Work that is offered to an agent, or to any. */
  async getPending(agentId: string): Promise<Answer[]> {
    const offered = await this.#querier.query({ insightType: "handoff", status: "offered", limit: PENDING });
    return offered.filter((each) => each["to"] === agentId || each["to"] === "any");
  }
}
