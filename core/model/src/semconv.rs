//! The registry of every name we emit: attributes, events, metrics. A name never changes its type.
//!
//! The renderers take names from here, the documentation is generated from here, and dashboards are checked against it.
//! A name that is not in this module is not emitted.

/// The instrumentation scope of everything exported.
pub const SCOPE: &str = "contextcore";

/// The type of an attribute's value. Backends index by type, so it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Text.
    Text,
    /// A list of texts.
    Texts,
    /// A whole number.
    Int,
    /// A floating-point number, also when it is whole: TraceQL requires `3.0` for it.
    Double,
    /// True or false.
    Bool,
}

/// Where an attribute occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// On the resource.
    Resource,
    /// On spans (and log records).
    Span,
    /// On events and log records.
    Event,
    /// On links between spans.
    Link,
    /// On metric points only.
    Point,
}

/// An attribute we emit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Type,
    /// Where it occurs.
    pub on: On,
    /// What it means.
    pub about: &'static str,
}

macro_rules! attributes {
    ($($const:ident = $name:literal, $kind:ident, $on:ident, $about:literal;)+) => {
        $(#[doc = $about] pub const $const: &str = $name;)+
        /// Every attribute we emit.
        pub const ATTRIBUTES: &[Attribute] =
            &[$(Attribute { name: $name, kind: Type::$kind, on: On::$on, about: $about }),+];
    };
}

attributes! {
    SERVICE_NAME = "service.name", Text, Resource, "always `contextcore`";
    SERVICE_NAMESPACE = "service.namespace", Text, Resource, "the project's id";
    PROJECT_ID = "project.id", Text, Resource, "the portfolio project's id, or the native project";
    PROJECT_NAME = "project.name", Text, Resource, "its name";
    BUSINESS_CRITICALITY = "business.criticality", Text, Resource, "`critical`, `high`, `medium` or `low`";
    BUSINESS_OWNER = "business.owner", Text, Resource, "who owns it";
    BUSINESS_VALUE = "business.value", Text, Resource, "what it is worth";
    REQUIREMENT_AVAILABILITY = "requirement.availability", Double, Resource, "share of requests that must succeed, in percent; the strictest of the project's services";
    REQUIREMENT_LATENCY_P50 = "requirement.latency_p50", Double, Resource, "seconds within which half of the requests must be answered; the shortest of the project's services";
    REQUIREMENT_LATENCY_P90 = "requirement.latency_p90", Double, Resource, "the same for 90 % of the requests";
    REQUIREMENT_LATENCY_P95 = "requirement.latency_p95", Double, Resource, "the same for 95 % of the requests";
    REQUIREMENT_LATENCY_P99 = "requirement.latency_p99", Double, Resource, "the same for 99 % of the requests";
    RISK_PRIORITY = "risk.priority", Text, Resource, "the highest priority of the project's risks, `P1` to `P4`";
    RISK_TYPE = "risk.type", Texts, Resource, "the types of the project's risks";
    DESIGN_ADR = "design.adr", Texts, Resource, "paths or addresses of decision records, ten at most";
    DESIGN_DOC = "design.doc", Text, Resource, "address of the design document";
    GUIDANCE_CONSTRAINTS = "guidance.constraints", Texts, Resource, "ids of what agents must not do in the project, fifty at most";
    SOURCE_NAME = "source.name", Text, Resource, "the source's name in the configuration";
    SOURCE_TOOL = "source.tool", Text, Resource, "`jira`, `github`, `linear`, …";
    REPLAY = "replay", Text, Resource, "`backfill` on log records that are older than an hour when sent; they form a stream of their own";
    SDK_NAME = "telemetry.sdk.name", Text, Resource, "always `contextcore`";
    SDK_LANGUAGE = "telemetry.sdk.language", Text, Resource, "always `rust`";
    SDK_VERSION = "telemetry.sdk.version", Text, Resource, "the program's version";

    ROLE = "contextcore.role", Text, Span, "`anchor`, `phase`, `task`, `completion`, `sprint`, `snapshot`, `insight` or `insight_snapshot`; `canary` on test data of `check`";
    TASK_ID = "task.id", Text, Span, "the key, e.g. `PROJ-123`";
    TASK_NATIVE_ID = "task.key_native_id", Text, Span, "the tool's immutable id";
    TASK_TYPE = "task.type", Text, Span, "`epic`, `story`, `task`, `subtask`, `bug`, `spike` or `incident`";
    TASK_NATIVE_TYPE = "task.native_type", Text, Span, "the tool's name of the type";
    TASK_TITLE = "task.title", Text, Span, "the title";
    TASK_STATUS = "task.status", Text, Span, "`backlog`, `todo`, `in_progress`, `in_review`, `blocked`, `done` or `cancelled`";
    TASK_STATUS_OLD = "task.status.old", Text, Event, "the status before";
    TASK_NATIVE_STATUS = "task.native_status", Text, Span, "the tool's name of the status";
    TASK_PRIORITY = "task.priority", Text, Span, "`highest` to `lowest`, or the tool's own name";
    TASK_ASSIGNEE = "task.assignee", Text, Span, "who it is assigned to";
    TASK_REPORTER = "task.reporter", Text, Span, "who requested it";
    TASK_LABELS = "task.labels", Texts, Span, "its labels";
    TASK_STORY_POINTS = "task.story_points", Double, Span, "its estimate";
    TASK_PARENT_ID = "task.parent_id", Text, Span, "its parent's key";
    TASK_ROOT_ID = "task.root_id", Text, Span, "its root's key";
    TASK_EPIC = "task.epic", Text, Span, "the key of the epic above it";
    TASK_URL = "task.url", Text, Span, "its address in the tool";
    TASK_DUE_DATE = "task.due_date", Text, Span, "when it is due, `YYYY-MM-DD`";
    TASK_BLOCKED_BY = "task.blocked_by", Texts, Span, "keys of tasks that block it";
    TASK_WAITS_FOR = "task.waits_for", Text, Span, "keys of the unfinished tasks that block it, and ids of the open questions that do, as one text, because Grafana's tables omit lists (snapshots; empty when blocked by neither)";
    TASK_HOLDS_UP = "task.holds_up", Text, Span, "keys of the open tasks that it blocks, as one text (snapshots; empty when it is blocked and blocks none)";
    TASK_BLOCKED_REASON = "task.blocked_reason", Text, Span, "why it is blocked";
    TASK_PERCENT_COMPLETE = "task.percent_complete", Double, Span, "done descendants, in percent; of a task without any, what was reported (SDK)";
    TASK_ATTR = "task.attr", Text, Span, "what the caller of the SDK gave beside the others, each as `task.attr.<name>`";
    TASK_SUBTASK_COUNT = "task.subtask_count", Int, Span, "direct children";
    TASK_SUBTASK_COMPLETED = "task.subtask_completed", Int, Span, "direct children done";
    TASK_CREATED_AT = "task.created_at", Int, Span, "when it was created, epoch seconds";
    TASK_STARTED_AT = "task.started_at", Int, Span, "when work on it started, epoch seconds";
    TASK_COMPLETED_AT = "task.completed_at", Int, Span, "when it was completed, epoch seconds";
    TASK_LEAD_TIME = "task.lead_time_s", Double, Span, "completed − created, seconds";
    TASK_CYCLE_TIME = "task.cycle_time_s", Double, Span, "completed − started, seconds";
    TASK_BLOCKED_TIME = "task.blocked_time_s", Double, Span, "blocked while not finished, seconds";
    TASK_STATUS_AGE = "task.status_age_s", Double, Span, "time in its present status, seconds (snapshots)";
    TASK_CYCLE = "task.cycle", Int, Span, "1 for the first completion, 2 after it was reopened, …";
    TASK_STALE = "task.stale", Bool, Span, "no activity for longer than `stale_after`";
    TASK_LAST_COMMIT_SHA = "task.last_commit_sha", Text, Span, "the last commit that mentions it";
    TASK_REVIEWER = "task.reviewer", Text, Span, "the person asked to review";
    TASK_AGENT_ASSISTED = "task.agent_assisted", Text, Span, "whether an agent took part, as far as is known then: `delegated`, `assisted`, `none` (declared) or `unknown` (no evidence)";
    PHASE_STATUS = "phase.status", Text, Span, "the status of this phase";
    PHASE_SEQ = "phase.seq", Int, Span, "the number of the phase within the task, from 0";
    PHASE_NEXT = "phase.next", Text, Span, "the status that followed";
    SPRINT_ID = "sprint.id", Text, Span, "the tool's id of the sprint";
    SPRINT_NAME = "sprint.name", Text, Span, "its name";
    SPRINT_GOAL = "sprint.goal", Text, Span, "its goal";
    SPRINT_STATE = "sprint.state", Text, Span, "`future`, `active` or `closed`";
    SPRINT_START_DATE = "sprint.start_date", Text, Span, "when it started, RFC 3339";
    SPRINT_END_DATE = "sprint.end_date", Text, Span, "when it is planned to end, RFC 3339";
    SPRINT_PLANNED_POINTS = "sprint.planned_points", Double, Span, "points committed at its start";
    SPRINT_COMPLETED_POINTS = "sprint.completed_points", Double, Span, "points done at its end";
    SPRINT_VELOCITY = "sprint.velocity", Double, Span, "the same, under the name that charts use";
    SPRINT_SCOPE_CHANGE = "sprint.scope_change_points", Double, Event, "points added (negative: removed)";

    AGENT_ID = "agent.id", Text, Span, "the agent that reported an insight";
    AGENT_NAME = "agent.name", Text, Span, "the program that the agent is, e.g. `claude-code`";
    AGENT_SESSION_ID = "agent.session.id", Text, Span, "its conversation or run";
    AGENT_ON_BEHALF_OF = "agent.on_behalf_of", Text, Span, "the person for whom it works";
    INSIGHT_ID = "agent.insight.id", Text, Span, "the insight's id, `ins_` and 16 hex digits";
    INSIGHT_TYPE = "agent.insight.type", Text, Span, "`decision`, `lesson`, `question`, `blocker`, `risk`, `handoff`, `recommendation`, `discovery`, `analysis` or `progress`";
    INSIGHT_STATUS = "agent.insight.status", Text, Span, "its state, e.g. `open` (snapshots, log records, metrics; never on final spans)";
    INSIGHT_SUMMARY = "agent.insight.summary", Text, Span, "what it says, 200 characters at most";
    INSIGHT_RATIONALE = "agent.insight.rationale", Text, Span, "why";
    INSIGHT_CONFIDENCE = "agent.insight.confidence", Double, Span, "how sure, 0 to 1; on final spans as it was reported first";
    INSIGHT_CATEGORY = "agent.insight.category", Text, Span, "a word of the author's";
    INSIGHT_APPLIES_TO = "agent.insight.applies_to", Texts, Span, "what it is about: `path:`, `task:`, `service:`, `epic:` and `label:`";
    INSIGHT_SUPERSEDES = "agent.insight.supersedes", Texts, Span, "ids of the insights that it replaces";
    INSIGHT_SEVERITY = "agent.insight.severity", Text, Span, "how bad";
    INSIGHT_TO = "agent.insight.to", Text, Span, "who is asked or takes over: an agent's id, `human` or `any`";
    INSIGHT_BLOCKING = "agent.insight.blocking", Bool, Span, "whether its task waits for the answer";
    INSIGHT_AUTHOR = "agent.insight.author", Text, Span, "the person that reported it, where no agent did";
    INSIGHT_AGE = "agent.insight.age_s", Double, Span, "time since it was reported, seconds (snapshots)";
    INSIGHT_CONTEXT = "agent.insight.context", Text, Span, "what its author gave beside the others, each as `agent.insight.context.<name>`";
    INSIGHT_ACTION = "agent.insight.action", Text, Event, "what was done with it: `emit`, `supersede`, `answer`, `retract`, …";
    INSIGHT_REFUSED = "agent.insight.refused", Text, Event, "why a change was not allowed";
    GEN_AI_AGENT_ID = "gen_ai.agent.id", Text, Span, "`agent.id`, under the name of the conventions for GenAI";
    GEN_AI_AGENT_NAME = "gen_ai.agent.name", Text, Span, "`agent.name`, under that name";
    GEN_AI_CONVERSATION_ID = "gen_ai.conversation.id", Text, Span, "`agent.session.id`, under that name";

    EVENT_NAME = "event.name", Text, Event, "the event's name; Loki drops the field of that name but keeps the attribute";
    EVENT_REASON = "reason", Text, Event, "the impediment, or the artifact that a derived status follows from";
    EVENT_BLOCKED_BY = "blocked_by", Texts, Event, "keys of tasks that block it";
    EVENT_FROM = "from", Text, Event, "the value before";
    EVENT_TO = "to", Text, Event, "the value after";
    EVENT_ACTOR = "actor", Text, Event, "who did it";
    EVENT_OBSERVED = "observed", Bool, Event, "true if the tool keeps no history of this, so that it is dated when we saw it";
    EVENT_TEXT = "text", Text, Event, "a comment (when `privacy.comments` is `plain`) or the title of an artifact";

    K8S_NAMESPACE = "k8s.namespace.name", Text, Event, "the namespace of a ProjectContext";
    CONTEXT_NAME = "context.name", Text, Event, "its name";
    CONTEXT_ACTION = "context.action", Text, Event, "`created`, `changed` or `deleted`";
    CONTEXT_GENERATION = "context.generation", Int, Event, "the generation of its spec; absent once it is deleted";
    CONTEXT_CHANGED_PATHS = "context.changed_paths", Texts, Event, "key paths of the spec that differ";
    CONTEXT_FIELD_MANAGER = "context.field_manager", Text, Event, "the program that sent the change, as the API server names it; not the person";
    CONTEXT_DIGEST_BEFORE = "context.digest.before", Text, Event, "digest of the spec before; absent: there was none";
    CONTEXT_DIGEST_AFTER = "context.digest.after", Text, Event, "digest of the spec; absent: it was deleted";
    CONTEXT_SPEC_BEFORE = "context.spec.before", Text, Event, "the spec before as JSON, under extended auditing only";
    CONTEXT_SPEC_AFTER = "context.spec.after", Text, Event, "the spec as JSON, under extended auditing only";

    LINK_TYPE = "link.type", Text, Link, "`blocked_by`, `history`, `moved_from`, `continues`, `parent`, `task` or `runtime`";

    SERVICE_INSTANCE_ID = "service.instance.id", Text, Resource, "which process it was (calls of agents only)";
    MCP_METHOD_NAME = "mcp.method.name", Text, Span, "the method of the Model Context Protocol, such as `tools/call` (calls of agents only)";
    GEN_AI_TOOL_NAME = "gen_ai.tool.name", Text, Span, "the tool that was called";
    GEN_AI_OPERATION_NAME = "gen_ai.operation.name", Text, Span, "`execute_tool` where a tool was called";
    GEN_AI_MEMORY_STORE_ID = "gen_ai.memory.store.id", Text, Span, "`contextcore` where insights were read";
    GEN_AI_MEMORY_RECORD_COUNT = "gen_ai.memory.record.count", Int, Span, "how many insights the answer has, where insights were read";
    NETWORK_TRANSPORT = "network.transport", Text, Span, "`pipe` (stdio) or `tcp` (HTTP)";
    MCP_CALL_BYTES = "mcp.call.bytes", Int, Span, "length of the answer";
    MCP_CALL_TOKENS = "mcp.call.tokens", Int, Span, "the same in tokens, counted from above";
    MCP_CALL_OUTCOME = "mcp.call.outcome", Text, Event, "`ok`, or the kind of problem";
    MCP_CALL_DURATION = "mcp.call.ms", Int, Event, "how long the call took, in milliseconds";

    BLOCKING = "blocking", Text, Point, "`true` for what a task waits for, else `false`";
    TASK_SIZE = "task.size", Text, Point, "`small` (at most 2 points), `medium` (at most 5), `large` or `unestimated`";
    EPIC_ID = "epic.id", Text, Point, "the epic's key";
    EPIC_TITLE = "epic.title", Text, Point, "the epic's title";
    QUANTILE = "quantile", Text, Point, "`0.5`, `0.85` or `1`; of a required latency `0.5`, `0.9`, `0.95` or `0.99`";
    CONTEXT = "context", Text, Point, "the ProjectContext that says so, `namespace/name`; absent where no Kubernetes is involved";
    PRIORITY = "priority", Text, Point, "the priority of risks, `P1` to `P4`";
    TYPE = "type", Text, Point, "the type of risks, such as `security`; absent where none is given";
    RISK_ID = "risk.id", Text, Point, "the risk's id";
    RISK_TITLE = "risk.title", Text, Point, "what could go wrong";
    RISK_OWNER = "risk.owner", Text, Point, "who watches it";
    RISK_MITIGATION = "risk.mitigation", Text, Point, "what is done against it";
    DESIGN_KIND = "design.kind", Text, Point, "`adr`, `doc` or `api_contract`";
    DESIGN_PLACE = "design.place", Text, Point, "its path or address";
    GUIDANCE_KIND = "guidance.kind", Text, Point, "`constraint`, `focus`, `preference` or `question`";
    GUIDANCE_ID = "guidance.id", Text, Point, "its id";
    GUIDANCE_TEXT = "guidance.text", Text, Point, "what it says, 200 characters at most";
    ERROR_TYPE = "error.type", Text, Point, "the kind of error, or why a backend rejected something; a small closed set";
    RESULT = "result", Text, Point, "`ok` or `error`";
    KIND = "kind", Text, Point, "the kind of a Kubernetes object";
    STATE = "state", Text, Point, "`applied`, `pending`, `failed`, `taken` or `not_installed`";
    SIGNAL = "signal", Text, Point, "`traces`, `logs` or `metrics`";
}

/// An event we emit, as span event and as log record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventName {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
}

macro_rules! events {
    ($($const:ident = $name:literal, $about:literal;)+) => {
        $(#[doc = $about] pub const $const: &str = $name;)+
        /// Every event we emit.
        pub const EVENTS: &[EventName] = &[$(EventName { name: $name, about: $about }),+];
    };
}

events! {
    TASK_CREATED = "task.created", "a task was created";
    TASK_STATUS_CHANGED = "task.status_changed", "it entered another status";
    TASK_BLOCKED = "task.blocked", "an impediment was raised, a status named blocked was entered or, where links block, a blocker was open";
    TASK_UNBLOCKED = "task.unblocked", "the impediment was lifted, the status was left, or no blocker is open any more";
    TASK_ASSIGNED = "task.assigned", "it was assigned to somebody, or unassigned";
    TASK_ESTIMATE_CHANGED = "task.estimate_changed", "its estimate changed";
    TASK_SPRINT_CHANGED = "task.sprint_changed", "it entered or left a sprint";
    TASK_PARENT_CHANGED = "task.parent_changed", "it got another parent";
    TASK_RENAMED = "task.renamed", "its title changed";
    TASK_RETYPED = "task.retyped", "its type changed";
    TASK_REPRIORITISED = "task.reprioritised", "its priority changed";
    TASK_RELABELLED = "task.relabelled", "its labels changed";
    TASK_DUE_CHANGED = "task.due_changed", "its due date changed";
    TASK_MOVED = "task.moved", "it got another key, and perhaps another project";
    TASK_COMMENTED = "task.commented", "somebody commented";
    TASK_LINKED = "task.linked", "a link was added or removed";
    TASK_ARTIFACT = "task.artifact", "a commit, pull request, review, CI run or deployment mentioned it";
    TASK_COMPLETED = "task.completed", "it was finished";
    TASK_CANCELLED = "task.cancelled", "it was cancelled";
    TASK_REOPENED = "task.reopened", "it was finished and is open again";
    TASK_DELETED = "task.deleted", "it disappeared from the tool";
    TASK_ATTRIBUTES_CHANGED = "task.attributes_changed", "attributes of its own changed (SDK)";
    TASK_PROGRESS_UPDATED = "task.progress_updated", "somebody reported progress (SDK)";
    SPRINT_STARTED = "sprint.started", "a sprint started";
    SPRINT_SCOPE_CHANGED = "sprint.scope_changed", "work entered or left a running sprint";
    SPRINT_CLOSED = "sprint.closed", "a sprint was closed";
    INSIGHT_UPDATED = "insight.updated", "something became of an insight after it was reported";
    CONTEXT_CHANGED = "project.context_changed", "the spec of a ProjectContext was created, changed or deleted (the controller; log records only)";
    MCP_CALL = "mcp.call", "an agent called a tool, or read a resource or prompt, over the Model Context Protocol; what it asked is not recorded (log records only)";
    CANARY = "contextcore.canary", "test data of `check`, which sends it and reads it back";
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instrument {
    /// A value that goes up and down.
    Gauge,
    /// A running total that never falls.
    Counter,
    /// A distribution.
    Histogram,
}

/// A metric we emit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its OTel name.
    pub name: &'static str,
    /// Its unit in UCUM.
    pub unit: &'static str,
    /// How it behaves.
    pub instrument: Instrument,
    /// Its attributes besides `project.id` (self metrics: all of them).
    pub attributes: &'static [&'static str],
    /// What it measures.
    pub about: &'static str,
}

macro_rules! metrics {
    ($($const:ident = $name:literal, $unit:literal, $instrument:ident, [$($attribute:ident),*], $about:literal;)+) => {
        $(#[doc = $about] pub const $const: Metric = Metric {
            name: $name, unit: $unit, instrument: Instrument::$instrument, attributes: &[$($attribute),*], about: $about,
        };)+
        /// Every metric we emit.
        pub const METRICS: &[Metric] = &[$($const),+];
    };
}

metrics! {
    M_TASK_COUNT = "task.count", "{task}", Gauge, [TASK_STATUS, TASK_TYPE], "existing tasks, by status and type";
    M_TASK_POINTS = "task.points", "{point}", Gauge, [TASK_STATUS, TASK_TYPE], "their points";
    M_TASK_WIP = "task.wip", "{task}", Gauge, [], "work in progress, started and not finished: of `tasks` those in_progress, in_review, and blocked with a `started`; blocked tasks that were never started do not count (with epics)";
    M_TASK_BLOCKED = "task.blocked", "{task}", Gauge, [], "blocked tasks";
    M_TASK_STALE = "task.stale", "{task}", Gauge, [], "open tasks without activity for longer than `stale_after`";
    M_TASK_UNESTIMATED = "task.unestimated", "{task}", Gauge, [], "open tasks without an estimate (without epics and sub-tasks)";
    M_TASK_OVERDUE = "task.overdue", "{task}", Gauge, [], "open tasks past their due date";
    M_TASK_BLOCKED_AGE = "task.blocked_age", "s", Gauge, [TASK_ID, TASK_TITLE, TASK_ASSIGNEE, EVENT_REASON, TASK_URL], "how long a task has been blocked, one series per blocked task";
    M_TASK_INFO = "task.info", "", Gauge, [TASK_ID, TASK_TITLE, TASK_TYPE, TASK_STATUS, TASK_ASSIGNEE, TASK_PARENT_ID, SPRINT_ID, TASK_URL], "1 per open task; off above `task_info_limit`";
    M_TASK_CREATED = "task.created", "{task}", Counter, [TASK_TYPE], "tasks created";
    M_TASK_COMPLETED = "task.completed", "{task}", Counter, [TASK_TYPE], "completions";
    M_TASK_COMPLETED_POINTS = "task.completed_points", "{point}", Counter, [TASK_TYPE], "points of completions";
    M_TASK_LEAD_TIME = "task.lead_time", "s", Histogram, [TASK_TYPE], "created to completed, at completion";
    M_TASK_CYCLE_TIME = "task.cycle_time", "s", Histogram, [TASK_TYPE], "started to completed, at completion";
    M_TASK_BLOCKED_TIME = "task.blocked_time", "s", Histogram, [TASK_TYPE], "blocked until completed, at completion";
    M_TASK_STATUS_TIME = "task.status_time", "s", Histogram, [TASK_STATUS], "length of a phase, at its end";
    M_TASK_WIP_AGE = "task.wip_age", "s", Gauge, [QUANTILE], "how long ago each task that `task.wip` counts was started (without epics)";
    M_PROJECT_INFO = "project.info", "", Gauge, [PROJECT_NAME, BUSINESS_OWNER, BUSINESS_CRITICALITY, BUSINESS_VALUE], "1 per project";
    M_REQUIREMENT_AVAILABILITY = "requirement.availability", "%", Gauge, [CONTEXT], "share of requests that must succeed, by service";
    M_REQUIREMENT_LATENCY = "requirement.latency", "s", Gauge, [CONTEXT, QUANTILE], "time within which this share of requests must be answered, by service";
    M_RISK_COUNT = "risk.count", "{risk}", Gauge, [PRIORITY, TYPE], "risks of the project's services";
    M_RISK_INFO = "risk.info", "", Gauge, [CONTEXT, RISK_ID, RISK_TITLE, PRIORITY, TYPE, RISK_OWNER, RISK_MITIGATION], "1 per risk";
    M_DESIGN_INFO = "design.info", "", Gauge, [CONTEXT, DESIGN_KIND, DESIGN_PLACE], "1 per design document";
    M_GUIDANCE_INFO = "guidance.info", "", Gauge, [CONTEXT, GUIDANCE_KIND, GUIDANCE_ID, GUIDANCE_TEXT], "1 per line of guidance for agents, 20 per service at most, constraints first";
    M_PROJECT_PERCENT = "project.percent_complete", "%", Gauge, [], "done work as part of all work that is not cancelled (without epics)";
    M_EPIC_PERCENT = "epic.percent_complete", "%", Gauge, [EPIC_ID, EPIC_TITLE], "done descendants of an open epic";
    M_PROJECT_FLOW = "project.flow_efficiency", "%", Gauge, [], "active share of the cycle time of what was completed in the last 30 days";
    M_SPRINT_INFO = "sprint.info", "", Gauge, [SPRINT_ID, SPRINT_NAME, SPRINT_STATE, SPRINT_START_DATE, SPRINT_END_DATE, SOURCE_NAME], "1 per sprint; series of sprints have the source where two sources of a project give the same id";
    M_SPRINT_PLANNED = "sprint.planned_points", "{point}", Gauge, [SPRINT_ID, SPRINT_NAME, SOURCE_NAME], "points committed at the start";
    M_SPRINT_SCOPE = "sprint.scope_points", "{point}", Gauge, [SPRINT_ID, SPRINT_NAME, SOURCE_NAME], "points in it";
    M_SPRINT_ADDED = "sprint.added_points", "{point}", Gauge, [SPRINT_ID, SPRINT_NAME, SOURCE_NAME], "points added after the start";
    M_SPRINT_REMOVED = "sprint.removed_points", "{point}", Gauge, [SPRINT_ID, SPRINT_NAME, SOURCE_NAME], "points removed after the start";
    M_SPRINT_COMPLETED = "sprint.completed_points", "{point}", Gauge, [SPRINT_ID, SPRINT_NAME, SOURCE_NAME], "points in it and done";
    M_SPRINT_REMAINING = "sprint.remaining_points", "{point}", Gauge, [SPRINT_ID, SPRINT_NAME, SOURCE_NAME], "points in it and not finished";
    M_SPRINT_IDEAL = "sprint.ideal_points", "{point}", Gauge, [SPRINT_ID, SPRINT_NAME, SOURCE_NAME], "points that would remain on a straight line";
    M_SPRINT_CARRIED = "sprint.carried_over_points", "{point}", Gauge, [SPRINT_ID, SPRINT_NAME, SOURCE_NAME], "points not finished when it was closed";
    M_SPRINT_VELOCITY = "sprint.velocity", "{point}", Gauge, [SPRINT_ID, SPRINT_NAME, SOURCE_NAME], "points done when it was closed";
    M_SPRINT_PREDICTABILITY = "sprint.predictability", "%", Gauge, [SPRINT_ID, SPRINT_NAME, SOURCE_NAME], "done points in percent of committed points, when it was closed";
    M_INSIGHT_COUNT = "insight.count", "{insight}", Gauge, [INSIGHT_TYPE, INSIGHT_STATUS], "insights by type and state";
    M_QUESTION_AGE = "insight.question.age", "s", Gauge, [BLOCKING], "how long the oldest question without a person's answer has waited; 0 without one";
    M_AGENT_ACTIVE = "agent.active", "{agent}", Gauge, [], "agents that reported an insight, or what became of one, in the last 24 hours";
    M_MCP_DURATION = "mcp.server.operation.duration", "s", Histogram, [MCP_METHOD_NAME, GEN_AI_TOOL_NAME, NETWORK_TRANSPORT, ERROR_TYPE], "how long calls of agents took";
    M_AGENT_COVERAGE = "agent_assisted.coverage", "%", Gauge, [], "share of the tasks completed in the last 90 days of which it is known whether agents took part (without epics)";
    M_AGENT_COMPLETED = "agent_assisted.completed", "{task}", Gauge, [], "tasks completed in the last 90 days (without epics)";
    M_AGENT_HIDDEN = "agent_assisted.hidden", "{task}", Gauge, [], "those in groups of fewer than 20 tasks or 5 people, of which nothing else is said";
    M_AGENT_TASKS = "agent_assisted.tasks", "{task}", Gauge, [TASK_AGENT_ASSISTED, TASK_TYPE, TASK_SIZE], "those in each group that is large enough: tasks of one type and size, by whether agents took part";
    M_AGENT_CYCLE_TIME = "agent_assisted.cycle_time", "s", Gauge, [TASK_AGENT_ASSISTED, TASK_TYPE, TASK_SIZE, QUANTILE], "started to completed, of the tasks in a group";
    M_AGENT_BLOCKED_TIME = "agent_assisted.blocked_time", "s", Gauge, [TASK_AGENT_ASSISTED, TASK_TYPE, TASK_SIZE, QUANTILE], "blocked until completed, of the tasks in a group";
    M_AGENT_REWORK = "agent_assisted.rework", "%", Gauge, [TASK_AGENT_ASSISTED, TASK_TYPE, TASK_SIZE], "share of the tasks in a group that were reopened or sent back from review";
    M_SYNC_LAST_SUCCESS = "contextcore.sync.last_success", "s", Gauge, [SOURCE_NAME], "when a run last succeeded, epoch seconds";
    M_SYNC_LAG = "contextcore.sync.lag", "s", Gauge, [SOURCE_NAME], "seconds since then";
    M_PROJECT_LAST_SUCCESS = "contextcore.project.last_success", "s", Gauge, [PROJECT_ID, SOURCE_NAME, SOURCE_TOOL], "when a run of a source of the project last succeeded, epoch seconds";
    M_SYNC_DURATION = "contextcore.sync.duration", "s", Gauge, [SOURCE_NAME], "how long the last run took";
    M_SYNC_REQUESTS = "contextcore.sync.requests", "{request}", Counter, [SOURCE_NAME], "requests sent to the tool";
    M_SYNC_ERRORS = "contextcore.sync.errors", "{error}", Counter, [SOURCE_NAME, ERROR_TYPE], "runs that failed";
    M_SYNC_RECORDS = "contextcore.sync.records", "{record}", Counter, [SOURCE_NAME], "records read";
    M_SYNC_CHANGES = "contextcore.sync.changes", "{change}", Counter, [SOURCE_NAME], "new events";
    M_SYNC_SET_ASIDE = "contextcore.sync.set_aside", "{record}", Gauge, [SOURCE_NAME], "records that could not be understood; they are read again on every complete pass";
    M_SYNC_UNREADABLE = "contextcore.sync.unreadable", "{record}", Gauge, [SOURCE_NAME], "records that the tool lists and could not serve; they are read again on every run";
    M_SYNC_LISTED = "contextcore.sync.listed", "{task}", Gauge, [SOURCE_NAME], "ids that the tool listed in the last complete pass: held, quarantined, unreadable, out of scope or missing";
    M_SYNC_OUT_OF_SCOPE = "contextcore.sync.out_of_scope", "{task}", Gauge, [SOURCE_NAME], "ids among them that are no tasks of this source";
    M_SYNC_MISSING = "contextcore.sync.missing", "{task}", Gauge, [SOURCE_NAME], "ids among them that are nowhere, although they were asked for again: always 0";
    M_SYNC_HISTORIES = "contextcore.sync.histories_complete", "", Gauge, [SOURCE_NAME], "1 when the history of every record read is complete in the store: a run succeeded and no record is quarantined or unreadable; else 0";
    M_SYNC_TASKS = "contextcore.sync.tasks", "{task}", Gauge, [SOURCE_NAME], "tasks in the store";
    M_SYNC_TOOL_TASKS = "contextcore.sync.tool_tasks", "{task}", Gauge, [SOURCE_NAME], "tasks by the tool's own count";
    M_RATE_REMAINING = "contextcore.sync.rate_limit.remaining", "{request}", Gauge, [SOURCE_NAME], "requests left by the tool's own count";
    M_RATE_WAITS = "contextcore.sync.rate_limit.waits", "{wait}", Counter, [SOURCE_NAME], "waits that the tool requested";
    M_JOURNAL_BACKLOG = "contextcore.journal.backlog", "{change}", Gauge, [SOURCE_NAME, SIGNAL], "changes not yet exported to a backend";
    M_PROJECTS_FAILING = "contextcore.projects.failing", "s", Gauge, [], "for how long the projects file could not be used, so that an earlier state of it is in force; 0 while it can; absent without a projects file";
    M_STORE_SIZE = "contextcore.store.size", "By", Gauge, [], "bytes of the store on disk";
    M_EXPORT_SENT = "contextcore.export.sent", "{item}", Counter, [SIGNAL], "spans, records and points accepted by the backend";
    M_EXPORT_REJECTED = "contextcore.export.rejected", "{item}", Counter, [SIGNAL, ERROR_TYPE], "permanently rejected by the backend, by reason: too_old, out_of_order, too_new, too_large, rate_limited, limit_reached, duplicate, invalid, other; without a reason where an older version counted";
    M_EXPORT_RETRIES = "contextcore.export.retries", "{retry}", Counter, [SIGNAL], "batches sent again";
    M_CANARY = "contextcore.canary", "", Gauge, [], "test data of `check`, which sends it and reads it back";
    M_EXPORT_LAG = "contextcore.export.lag", "s", Gauge, [SIGNAL], "age of the oldest change not yet exported to the backend";
    M_EXPORT_FAILING = "contextcore.export.failing", "s", Gauge, [SIGNAL], "for how long the backend has accepted nothing although something was sent; 0 while it accepts";
    M_CONTROLLER_DURATION = "contextcore.controller.reconcile.duration", "s", Histogram, [RESULT], "how long it took to bring a context, or what all share, into force";
    M_CONTROLLER_ERRORS = "contextcore.controller.errors", "{error}", Counter, [ERROR_TYPE], "writes that the API server refused";
    M_CONTROLLER_OBJECTS = "contextcore.controller.objects", "{object}", Gauge, [KIND, STATE], "Kubernetes objects of the controller";
    M_CONTROLLER_QUEUE = "contextcore.controller.queue", "{context}", Gauge, [], "ProjectContexts that wait";
    M_CONTROLLER_LEADER = "contextcore.controller.leader", "", Gauge, [], "1 while this process holds the Lease and writes, else 0";
}

/// The name that Prometheus gives to an OTLP metric. `task.blocked_age` in `s` becomes `task_blocked_age_seconds`; a
/// counter ends in `_total`; `{task}` is not a unit. A unit that is part of the name already is not repeated:
/// `project.percent_complete` in `%` becomes `project_percent_complete`.
#[must_use]
pub fn exposition_name(name: &str, unit: &str, is_counter: bool) -> String {
    let mut full: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    let suffix = match unit {
        "s" => "seconds",
        "ms" => "milliseconds",
        "By" => "bytes",
        "%" => "percent",
        _ => "",
    };
    if !suffix.is_empty() && full.split('_').all(|word| word != suffix) {
        full = format!("{full}_{suffix}");
    }
    if is_counter && !full.ends_with("_total") {
        full.push_str("_total");
    }
    full
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_metrics_use_known_attributes() {
        let names: HashSet<_> = ATTRIBUTES.iter().map(|attribute| attribute.name).collect();
        assert_eq!(names.len(), ATTRIBUTES.len());
        assert_eq!(METRICS.iter().map(|metric| metric.name).collect::<HashSet<_>>().len(), METRICS.len());
        assert_eq!(EVENTS.iter().map(|event| event.name).collect::<HashSet<_>>().len(), EVENTS.len());
        for metric in METRICS {
            assert!(metric.attributes.iter().all(|attribute| names.contains(attribute)), "{}", metric.name);
        }
    }

    #[test]
    fn names_follow_the_compatibility_rules() {
        assert_eq!(exposition_name("task.blocked_age", "s", false), "task_blocked_age_seconds");
        assert_eq!(exposition_name("task.created", "{task}", true), "task_created_total");
        assert_eq!(exposition_name("project.percent_complete", "%", false), "project_percent_complete");
        assert_eq!(exposition_name("project.flow_efficiency", "%", false), "project_flow_efficiency_percent");
        assert_eq!(exposition_name("contextcore.store.size", "By", false), "contextcore_store_size_bytes");
    }
}
