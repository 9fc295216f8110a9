// Insights of agents: decisions, lessons, questions, handoffs.

import { Client, type Moment, type Options } from "./client.js";
import { plain, texts } from "./encode.js";
import { type Evidence, type Insight, insightId, splitContext } from "./insight.js";
import { INSIGHT_TYPES } from "./names.js";

export type { Evidence, Insight } from "./insight.js";
export { type Answer, HandoffManager, InsightQuerier, type Question } from "./query.js";

const FIRST: Record<string, string> = {
  question: "open", blocker: "open", risk: "open", handoff: "offered", progress: "noted", analysis: "noted",
};

/** Who reports. */
export interface EmitterOptions extends Options {
  /** Default: `CONTEXTCORE_AGENT`. */
  agentId?: string;
  agentName?: string;
  sessionId?: string;
  onBehalfOf?: string;
  /** The task that all insights of this emitter belong to. */
  taskId?: string;
}

/** What else an insight says. */
export interface InsightFields {
  confidence?: number;
  rationale?: string;
  category?: string;
  audience?: "human" | "agent" | "both";
  severity?: string;
  /** `path:src/**` (or a path alone), `task:KEY`, `service:NAME`, `epic:KEY`, `label:NAME`. */
  appliesTo?: string | string[];
  tags?: string[];
  evidence?: (Evidence | string)[];
  /** `file`, `path` and `files` are added to `appliesTo`. */
  context?: Record<string, unknown>;
  supersedes?: string | string[];
  expiresAt?: Moment;
  taskId?: string;
  key?: string;
  options?: string[];
  blocking?: boolean;
  to?: string;
  inputs?: Record<string, unknown>;
  /** What is done already. */
  done?: string[];
  remaining?: string[];
  percent?: number;
}

/** Reports what an agent decides, learns, asks and hands over. */
export class InsightEmitter extends Client {
  readonly #who: EmitterOptions;

  constructor(options: EmitterOptions = {}) {
    super(options);
    const agentId = options.agentId ?? process.env["CONTEXTCORE_AGENT"];
    this.#who = agentId ? { ...options, agentId } : options;
  }

  /** Who reports, if that is known. */
  get agentId(): string | undefined {
    return this.#who.agentId;
  }

  /** Reports an insight of any type, and returns it with its id. A type that is not ours is an analysis, of that category. */
  emit(type: string, summary: string, more: InsightFields = {}): Insight {
    const kind = plain(type).trim();
    if (kind && !(INSIGHT_TYPES as readonly string[]).includes(kind)) {
      this.complain(`the insight type ${kind} is none of ${INSIGHT_TYPES.join(", ")}; it is an analysis of that category`);
      return this.emit("analysis", summary, { ...more, category: more.category ?? kind });
    }
    const known = more.appliesTo === undefined ? [] : (texts(more.appliesTo, () => {}) as string[]);
    const [appliesTo, rest] = splitContext(more.context ?? {}, known);
    const id = insightId(this.projectId, type, plain(summary), appliesTo, more.key);
    const who = this.#who;
    this.record("insight.emit", undefined, undefined, {
      id, type, summary, confidence: more.confidence, agent: who.agentId, applies_to: appliesTo.length ? appliesTo : undefined,
      agent_name: who.agentName, session: who.sessionId, on_behalf_of: who.onBehalfOf, task: more.taskId ?? who.taskId,
      key: more.key, rationale: more.rationale, category: more.category, tags: more.tags,
      audience: more.audience === "both" ? undefined : more.audience, severity: more.severity, evidence: more.evidence,
      context: Object.keys(rest).length ? rest : undefined, supersedes: more.supersedes, expires_at: more.expiresAt,
      options: more.options, blocking: more.blocking, to: more.to, inputs: more.inputs, done: more.done,
      remaining: more.remaining, percent: more.percent,
    });
    const status = FIRST[type] ?? "active";
    return { id, type, project: this.projectId, summary, confidence: more.confidence, appliesTo, status };
  }

  /** A choice that others should know of and keep to. */
  emitDecision(summary: string, more: InsightFields = {}): Insight { return this.emit("decision", summary, more); }
  /** What should be done. */
  emitRecommendation(summary: string, more: InsightFields = {}): Insight { return this.emit("recommendation", summary, more); }
  /** What was learned the hard way. */
  emitLesson(summary: string, more: InsightFields = {}): Insight { return this.emit("lesson", summary, { confidence: 0.9, ...more }); }
  /** Something that a person (or another agent) must answer. */
  emitQuestion(summary: string, more: InsightFields = {}): Insight { return this.emit("question", summary, { to: "human", ...more }); }
  /** What stops the work. */
  emitBlocker(summary: string, more: InsightFields = {}): Insight { return this.emit("blocker", summary, { confidence: 1, ...more }); }
  /** A fact that was not known. */
  emitDiscovery(summary: string, more: InsightFields = {}): Insight { return this.emit("discovery", summary, more); }
  /** What may go wrong, and how bad it would be. */
  emitRisk(summary: string, severity: string, more: InsightFields = {}): Insight { return this.emit("risk", summary, { ...more, severity }); }
  /** How far the work is. */
  emitProgress(summary: string, more: InsightFields = {}): Insight { return this.emit("progress", summary, more); }
  /** What was found by looking into something. */
  emitAnalysis(summary: string, more: InsightFields = {}): Insight { return this.emit("analysis", summary, more); }
  /** Offers work to another agent, to `human` or to `any`. */
  emitHandoff(toAgent: string, summary: string, more: InsightFields = {}): Insight { return this.emit("handoff", summary, { ...more, to: toAgent }); }

  /** Answers a question. An agent's answer is a suggestion until a person confirms it. */
  answer(questionId: string, text: string, { by }: { by?: string } = {}): void { this.#change(questionId, "answer", text, { by }); }
  /** Takes an insight back. */
  retract(id: string, { reason }: { reason?: string } = {}): void { this.#change(id, "retract", reason); }
  /** Takes over the work that was offered. */
  acceptHandoff(id: string, { text }: { text?: string } = {}): void { this.#change(id, "accept", text); }
  /** Finishes the work that was taken over. */
  completeHandoff(id: string, { text }: { text?: string } = {}): void { this.#change(id, "complete", text); }
  /** Declines the work that was offered. */
  rejectHandoff(id: string, { reason }: { reason?: string } = {}): void { this.#change(id, "reject", reason); }
  /** Says that an insight held in this agent's own work. */
  confirm(id: string, { evidence }: { evidence?: (Evidence | string)[] } = {}): void { this.#change(id, "confirm", undefined, { evidence }); }
  /** Says that an insight did not hold. */
  contradict(id: string, reason: string, { evidence }: { evidence?: (Evidence | string)[] } = {}): void { this.#change(id, "contradict", reason, { evidence }); }
  /** Says that a blocker or a risk is over. */
  resolve(id: string, { text }: { text?: string } = {}): void { this.#change(id, "resolve", text); }

  #change(id: string, action: string, text: string | undefined, more: { by?: string | undefined; evidence?: unknown } = {}): void {
    const given = { id, action, text, ...more, agent: this.#who.agentId, session: this.#who.sessionId };
    this.record("insight.update", undefined, undefined, given);
  }
}
