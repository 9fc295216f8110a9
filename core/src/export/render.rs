//! Renders history: what is final about a task or sprint, as spans. Pure, except that it reads other tasks from the
//! [`TimelineCache`].
//!
//! A span is final when the event that ends it is known: a phase when its status was left, a task when it was finished,
//! a sprint when it was closed. A [`FinalSpan`] has no trace yet, because its part of the root's history is chosen in
//! the order of ends (see [`super::parts`]).

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::context::{ExportContext, ResourceKey};
use super::events::{self, ExportedEvent};
use super::exported::next_cycle;
use super::lineage::{self, Lineage, TimelineCache};
use super::message::{Attributes, Events, Link, Outcome, Span};
use crate::model::activity;
use crate::model::agents;
use crate::model::error::Result;
use crate::model::ids::{self, Role, SpanId};
use crate::model::inference;
use crate::model::interval;
use crate::model::link;
use crate::model::reported;
use crate::model::semconv as names;
use crate::model::sprint::SprintHistory;
use crate::model::time::Millis;
use crate::model::timeline::{self, Finish, Phase, Summary, TaskHistory};
use crate::model::totals::points;
use crate::model::{Change, Facts, SmolStr, SprintFacts, Status, StoredEvent, TaskKey, TaskRecord};

/// A final span that is not in a trace yet.
#[derive(Debug, Clone)]
pub(crate) struct FinalSpan {
    /// The task it is about.
    pub(crate) key: TaskKey,
    /// When it became final. Orders the export, and selects the lineage.
    pub(crate) end: Millis,
    /// The resource it belongs to.
    pub(crate) resource: ResourceKey,
    /// What must not be exported again.
    pub(crate) ends: Ends,
    /// The span.
    pub(crate) span: Span,
}

/// What a final span ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// The phase that began then.
    Phase(Millis),
    /// The completion with this ordinal, at this moment.
    Task(u32, Millis),
    /// Nothing that its task's span does not end.
    Completion,
}

/// Enough bytes for the attributes of a span.
const ATTRIBUTES_CAPACITY: usize = 1_024;

/// What to render: spans ended by events with journal numbers in `seqs`, at `horizon` or later.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) seqs: RangeInclusive<u64>,
    pub(crate) horizon: Millis,
    /// Whether history is sent again, so that what was exported does not matter.
    pub(crate) again: bool,
}

impl Window {
    /// The window for one task. What ended before its creation was stored has no span yet: nobody had reported its start.
    fn of(&self, record: &TaskRecord) -> Self {
        let mut created = record.timeline.iter().filter(|stored| matches!(stored.event.change, Change::Created(_)));
        let is_new = created.next().is_some_and(|created| self.seqs.contains(&created.seq));
        let from = if is_new { 0 } else { *self.seqs.start() };
        Self { seqs: from..=*self.seqs.end(), ..self.clone() }
    }

    fn holds(&self, seq: u64, end: Millis) -> bool {
        self.seqs.contains(&seq) && end >= self.horizon
    }
}

/// What was already exported of a task. An event that arrives late can cut a phase that was exported whole. The new
/// phase would have the same id with other contents, or lie inside the exported one, so it is not exported: what is
/// exported is final.
#[derive(Default)]
struct AlreadyExported {
    phases: Vec<(Millis, Millis)>,
    finishes: HashSet<u32>,
}

impl AlreadyExported {
    /// What the events below journal number `seq` gave; nothing when no later event lies among them.
    fn before(seq: u64, timeline: &[StoredEvent]) -> Self {
        let newest = timeline.iter().rev().find(|stored| stored.seq < seq).map(|stored| stored.event.at);
        if !newest.is_some_and(|newest| timeline.iter().any(|stored| stored.seq >= seq && stored.event.at <= newest)) {
            return Self::default();
        }
        let then: Vec<StoredEvent> = timeline.iter().filter(|stored| stored.seq < seq).cloned().collect();
        let Some(history) = TaskHistory::new(&then) else { return Self::default() };
        Self {
            phases: history.phases().iter().filter_map(|phase| Some((phase.from, phase.to?))).collect(),
            finishes: history.finishes().into_iter().map(|finish| finish.cycle).collect(),
        }
    }

    fn phase(&self, from: Millis, to: Millis) -> bool {
        self.phases.iter().any(|(start, end)| *start == from || (*start <= from && to <= *end))
    }

    fn finish(&self, cycle: u32) -> bool {
        self.finishes.contains(&cycle)
    }
}

/// Renders, with the cache and the configuration at hand.
pub(crate) struct RenderContext<'a> {
    pub(crate) cache: &'a TimelineCache<'a>,
    pub(crate) context: &'a ExportContext<'a>,
}

impl RenderContext<'_> {
    /// Every span of a task that became final in the window.
    pub(crate) fn finals(&self, key: &TaskKey, record: &TaskRecord, window: &Window) -> Result<Vec<FinalSpan>> {
        let mut finals = Vec::new();
        if reported::unstarted_creation(key, record).is_some() {
            return Ok(finals);
        }
        let window = &window.of(record);
        let Some(history) = self.cache.task_history(key)? else { return Ok(finals) };
        let exported = AlreadyExported::before(*window.seqs.start(), &record.timeline);
        let noted = if window.again { Arc::default() } else { self.cache.exported(key)? };
        for (seq, phase) in history.phases().iter().enumerate() {
            if let (Some(to), Some(by)) = (phase.to, phase.ended_by)
                && window.holds(by, to)
                && !exported.phase(phase.from, to)
                && !noted.phases.contains(&phase.from)
            {
                finals.push(self.phase(key, record, seq, phase, to)?);
            }
        }
        let mut counted = noted.newest_finish();
        for finish in history.finishes() {
            if window.holds(finish.seq, finish.at)
                && !exported.finish(finish.cycle)
                && let Some(cycle) = next_cycle(counted, finish.cycle, finish.at)
            {
                counted = Some((cycle, finish.at));
                let finish = Finish { cycle, ..finish };
                let summary = history.until(finish.at).summary(finish.at);
                finals.push(self.task(key, record, &finish, &summary)?);
                if finish.status == Status::Done {
                    finals.push(self.completion(key, record, &finish, &summary)?);
                }
            }
        }
        Ok(finals)
    }

    /// Puts a span under its task's anchor.
    fn under_anchor(&self, key: &TaskKey, facts: &Facts, ends: Ends, span: Span) -> Result<FinalSpan> {
        let parent = lineage::anchor(self.cache, key, span.end)?.map(|anchor| anchor.span);
        let resource = self.context.resource_key(&key.source, &facts.project);
        Ok(FinalSpan { key: key.clone(), end: span.end, resource, ends, span: Span { parent, ..span } })
    }

    fn phase(&self, key: &TaskKey, record: &TaskRecord, seq: usize, phase: &Phase, to: Millis) -> Result<FinalSpan> {
        let attributes = self
            .identity(Role::Phase, key, &phase.facts, phase.status, to)?
            .text(names::PHASE_STATUS, phase.status.as_str())
            .int(names::PHASE_SEQ, i64::try_from(seq).unwrap_or(i64::MAX))
            .maybe(names::PHASE_NEXT, phase.next)
            .maybe(names::TASK_BLOCKED_REASON, phase.reason.as_deref());
        let blocked = phase.status == Status::Blocked;
        let blockers = if blocked { interval::blockers_at(&record.timeline, to) } else { Vec::new() };
        let span = Span {
            attributes: attributes.texts(names::TASK_BLOCKED_BY, &blockers),
            links: self.blocker_links(key, &blockers, to)?,
            outcome: blocked.then(|| Outcome::Blocked(phase.reason.clone().unwrap_or_default())),
            ..Span::new(phase_span(key, phase.from), phase.status.as_str(), phase.from, to)
        };
        self.under_anchor(key, &phase.facts, Ends::Phase(phase.from), span)
    }

    fn task(&self, key: &TaskKey, record: &TaskRecord, finish: &Finish, summary: &Summary) -> Result<FinalSpan> {
        let created = timeline::first(&record.timeline).map_or(finish.at, |(_, created)| created);
        let upto = record.timeline.partition_point(|stored| stored.event.at <= finish.at);
        let past = &record.timeline[..upto];
        let blockers = interval::blockers_at(past, finish.at);
        let attributes = self
            .finished(Role::Task, key, record, finish, summary)?
            .maybe(names::TASK_URL, Some(record.url.as_str()))
            .texts(names::TASK_BLOCKED_BY, &blockers);
        let id = ids::span(key, Role::Task, finish.cycle.into());
        let name = self.context.label(&finish.facts.key, &finish.facts.title);
        let span = Span {
            attributes,
            events: self.span_events(past),
            links: self.blocker_links(key, &blockers, finish.at)?,
            outcome: (finish.status == Status::Done).then_some(Outcome::Done),
            ..Span::new(id, name, created, finish.at)
        };
        self.under_anchor(key, &finish.facts, Ends::Task(finish.cycle, finish.at), span)
    }

    fn completion(&self, key: &TaskKey, record: &TaskRecord, finish: &Finish, summary: &Summary) -> Result<FinalSpan> {
        let id = ids::span(key, Role::Completion, finish.cycle.into());
        let span = Span {
            attributes: self.finished(Role::Completion, key, record, finish, summary)?,
            outcome: Some(Outcome::Done),
            ..Span::new(id, format!("{} done", finish.facts.key), finish.at, finish.at)
        };
        self.under_anchor(key, &finish.facts, Ends::Completion, span)
    }

    /// The attributes that `task` and `completion` spans of a finished task share.
    fn finished(
        &self,
        role: Role,
        key: &TaskKey,
        record: &TaskRecord,
        finish: &Finish,
        summary: &Summary,
    ) -> Result<Attributes> {
        let facts = &finish.facts;
        let attributes = self
            .identity(role, key, facts, finish.status, finish.at)?
            .text(names::TASK_NATIVE_TYPE, &facts.native_type)
            .maybe(names::TASK_REPORTER, self.context.person(record.reporter.as_deref()).as_deref())
            .texts(names::TASK_LABELS, &facts.labels)
            .maybe(names::TASK_DUE_DATE, facts.due.as_deref())
            .own(facts)
            .int(names::TASK_CYCLE, finish.cycle.into());
        Ok(self
            .work(attributes, record, finish.at)
            .moment(names::TASK_CREATED_AT, Some(summary.created))
            .moment(names::TASK_STARTED_AT, summary.started)
            .moment(names::TASK_COMPLETED_AT, summary.completed)
            .maybe_double(names::TASK_LEAD_TIME, summary.lead_time())
            .maybe_double(names::TASK_CYCLE_TIME, summary.cycle_time())
            .double(names::TASK_BLOCKED_TIME, summary.blocked_time))
    }

    /// The newest commit, the reviewer, and whether agents took part, up to a moment.
    pub(crate) fn work(&self, attributes: Attributes, record: &TaskRecord, upto: Millis) -> Attributes {
        let last = |kind| activity::last_of(&record.timeline, kind, upto);
        let reviewer = last(inference::REVIEW_REQUESTED).map(|review| review.summary.as_str());
        attributes
            .maybe(names::TASK_LAST_COMMIT_SHA, last(inference::COMMIT).map(|commit| commit.reference.as_str()))
            .maybe(names::TASK_REVIEWER, self.context.person(reviewer).as_deref())
            .text(names::TASK_AGENT_ASSISTED, agents::assistance(&record.timeline, upto).as_str())
    }

    /// The attributes that every span of a task has, so that one span answers a question alone. The facts are those of
    /// that moment.
    pub(crate) fn identity(
        &self,
        role: Role,
        key: &TaskKey,
        facts: &Facts,
        status: Status,
        at: Millis,
    ) -> Result<Attributes> {
        let lineage = Lineage::at(self.cache, key, at)?;
        let name_of = |key: &TaskKey| -> Result<Option<SmolStr>> {
            Ok(self.cache.facts(key, at)?.map(|facts| facts.key.clone()))
        };
        let parent_id = || facts.parent.as_ref().map(|parent| parent.native_id.clone());
        let parent = self.cache.parent_key(key, facts, at)?.or_else(parent_id);
        let epic = match lineage.epic(self.cache, at)? {
            Some(epic) => name_of(epic)?,
            None => None,
        };
        let root = name_of(lineage.root())?.or_else(|| parent.clone()).unwrap_or_else(|| facts.key.clone());
        let sprint = self.sprint_at(key, facts, at)?;
        Ok(Attributes::with_room(ATTRIBUTES_CAPACITY)
            .text(names::ROLE, role.as_str())
            .text(names::TASK_ID, &facts.key)
            .text(names::TASK_NATIVE_ID, &key.native_id)
            .text(names::TASK_TYPE, facts.task_type.as_str())
            .maybe(names::TASK_TITLE, self.context.title(&facts.title))
            .text(names::TASK_STATUS, status.as_str())
            .text(names::TASK_NATIVE_STATUS, &facts.native_status)
            .maybe(names::TASK_PRIORITY, facts.priority.as_deref())
            .maybe(names::TASK_ASSIGNEE, self.context.person(facts.assignee.as_deref()).as_deref())
            .maybe_double(names::TASK_STORY_POINTS, facts.estimate)
            .maybe(names::TASK_PARENT_ID, parent.as_deref())
            .text(names::TASK_ROOT_ID, &root)
            .maybe(names::TASK_EPIC, epic.as_deref())
            .maybe(names::SPRINT_ID, sprint.as_ref().map(|(id, _)| id.as_str()))
            .maybe(names::SPRINT_NAME, sprint.as_ref().and_then(|(_, name)| name.as_deref())))
    }

    /// The sprint of a task at a moment: the one running then, else the last it was put into.
    fn sprint_at(&self, key: &TaskKey, facts: &Facts, at: Millis) -> Result<Option<(SmolStr, Option<String>)>> {
        let mut best = None;
        for id in &facts.sprints {
            let sprint = self.cache.sprint(&TaskKey::new(key.source.as_str(), id.as_str()))?;
            let running = sprint.as_ref().is_some_and(|sprint| runs_at(&sprint.facts, at));
            best = Some((id.clone(), sprint.map(|sprint| sprint.facts.name.clone())));
            if running {
                break;
            }
        }
        Ok(best)
    }

    fn span_events(&self, past: &[StoredEvent]) -> Events {
        let mut events = Events::default();
        let push = |event: &ExportedEvent<'_>| {
            if event.is_allowed(self.context) {
                events.push(event.at, event.name, &events::attributes(event, self.context));
            }
        };
        events::each(past, |_| true, push);
        events
    }

    /// Links to the anchors of the blocking tasks at a moment.
    pub(crate) fn blocker_links(&self, key: &TaskKey, blockers: &[String], at: Millis) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        for blocker in blockers {
            let named = || self.cache.store().named(blocker);
            let anchor = |other: TaskKey| lineage::anchor(self.cache, &other, at);
            if let Some(anchor) = link::target(&key.source, None, named, anchor)? {
                links.push(Link { trace: anchor.trace(1), span: anchor.span, kind: "blocked_by" });
            }
        }
        Ok(links)
    }

    /// The span of a closed sprint, in a trace of its own.
    pub(crate) fn sprint(
        &self,
        key: &TaskKey,
        facts: &SprintFacts,
        sprint_history: &SprintHistory,
    ) -> Option<(ResourceKey, Span)> {
        let (start, finish) = (sprint_history.start?, sprint_history.finish?.max(sprint_history.start?));
        let tally = sprint_history.at(finish);
        let mut events = Events::default();
        for (at, by) in sprint_history.scope_changes() {
            let attributes = Attributes::new().double(names::SPRINT_SCOPE_CHANGE, points(by));
            events.push(at, names::SPRINT_SCOPE_CHANGED, &attributes);
        }
        let attributes = Attributes::new()
            .text(names::ROLE, Role::Sprint.as_str())
            .text(names::SPRINT_ID, &key.native_id)
            .text(names::SPRINT_NAME, &facts.name)
            .maybe(names::SPRINT_GOAL, facts.goal.as_deref())
            .text(names::SPRINT_STATE, facts.state.as_str())
            .text(names::SPRINT_START_DATE, &start.to_string())
            .maybe(names::SPRINT_END_DATE, facts.end.map(|end| end.to_string()).as_deref())
            .double(names::SPRINT_PLANNED_POINTS, points(tally.committed))
            .double(names::SPRINT_COMPLETED_POINTS, points(tally.completed))
            .double(names::SPRINT_VELOCITY, points(tally.completed));
        let id = ids::span(key, Role::Sprint, 1);
        let span = Span { attributes, events, ..Span::new(id, facts.name.as_str(), start, finish) };
        let project = facts.project.as_deref().unwrap_or(&key.source);
        Some((self.context.resource_key(&key.source, project), span))
    }
}

/// The id of a phase, from its start: the phase's number would shift when an older event arrives later.
pub(crate) fn phase_span(key: &TaskKey, from: Millis) -> SpanId {
    ids::span(key, Role::Phase, from.0.cast_unsigned())
}

fn runs_at(sprint: &SprintFacts, at: Millis) -> bool {
    let over = sprint.completed.or(sprint.end);
    sprint.start.is_some_and(|start| start <= at) && over.is_none_or(|over| at <= over)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::model::samples::artifact;
    use crate::model::samples::{facts, record, stored, to};
    use crate::model::{Artifact, Change};
    use crate::store::Store;

    fn evidence(at: i64, seq: u64, artifact: Artifact) -> StoredEvent {
        StoredEvent { seq, ..stored(at, Change::StatusArtifact(artifact)) }
    }

    /// The names of the spans that become final with journal numbers `from` and above.
    fn finals(timeline: &[StoredEvent], from: u64) -> Vec<(String, i64)> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("data")).unwrap();
        let source = "sources: [{name: jira, kind: jira, url: 'https://example.com', auth: {token: {env: TOKEN}}}]";
        let config = config::parse(source, "test.yaml", &[config::kind::unchecked("jira")]).unwrap();
        let key = TaskKey::new("jira", "1");
        let record = record(timeline.to_vec());
        let mut transaction = store.begin().unwrap();
        transaction.put_task(&key, None, &record, true).unwrap();
        transaction.commit().unwrap();
        let (cache, context) = (TimelineCache::new(&store), ExportContext::new(&config));
        let window = Window { seqs: from..=u64::MAX, horizon: Millis(i64::MIN), again: false };
        let finals = RenderContext { cache: &cache, context: &context }.finals(&key, &record, &window).unwrap();
        finals.iter().map(|last| (last.span.name.clone(), last.span.start.0)).collect()
    }

    fn finished() -> Vec<StoredEvent> {
        vec![stored(0, Change::Created(Box::new(facts(Status::Todo)))), stored(100, to(Status::Done))]
    }

    #[test]
    fn artifacts_that_arrive_late_change_nothing_already_exported() {
        let mut timeline = finished();
        assert_eq!(finals(&timeline, 1).len(), 3, "a phase, the task, its completion");
        timeline.insert(1, evidence(50, 2, artifact("commit", "a1")));
        timeline.insert(2, evidence(60, 2, artifact("merged", "acme/x#1")));
        assert_eq!(finals(&timeline, 2), []);
        timeline.push(StoredEvent { seq: 3, ..stored(200, to(Status::Todo)) });
        assert_eq!(finals(&timeline, 3), [("done".to_owned(), 60)]);
    }

    #[test]
    fn a_late_event_of_the_tool_does_not_export_a_phase_again() {
        let mut timeline = vec![finished().remove(0), evidence(50, 2, artifact("commit", "a1"))];
        assert_eq!(finals(&timeline, 2), [("todo".to_owned(), 0)]);
        timeline.insert(1, StoredEvent { seq: 3, ..stored(40, to(Status::InProgress)) });
        assert_eq!(finals(&timeline, 3), []);
        timeline.push(StoredEvent { seq: 4, ..stored(90, to(Status::InReview)) });
        assert_eq!(finals(&timeline, 4), [("in_progress".to_owned(), 40)]);
    }
}
