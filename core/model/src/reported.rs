//! Folds what many writers reported of a task into one timeline. Pure.
//!
//! A synced tool has a present, and [`crate::diff`] compares with it. Reported work has none: a process that only completes
//! a task says nothing about its title. So the store keeps every report, and the timeline is always folded from all of them
//! in the order of (time, writer, number): whatever order they arrive in and however often, the same reports make the same
//! timeline. What was derived from activities and links stays where it is.

use std::collections::{HashMap, HashSet};

use crate::activity;
use crate::operation::native_id;
use crate::report::{Fields, Report, Reported, SprintReport};
use crate::time::Millis;
use crate::timeline;
use crate::{
    Blocker, Change, Event, EventId, Facts, ParentRef, SmolStr, SprintFacts, SprintState, Status, StoredEvent, TaskKey,
    TaskRecord,
};

/// Adds reports to those that are known; each counts once. Returns whether any was new.
pub fn add<T>(known: &mut Vec<Reported<T>>, more: Vec<Reported<T>>) -> bool {
    let ids: HashSet<(SmolStr, u64)> = known.iter().map(|report| (report.writer.clone(), report.seq)).collect();
    let before = known.len();
    let mut fresh = HashSet::new();
    known.extend(more.into_iter().filter(|report| {
        let id = (report.writer.clone(), report.seq);
        !ids.contains(&id) && fresh.insert(id)
    }));
    known.sort_by(|one, other| one.order().cmp(&other.order()));
    known.len() > before
}

/// What reports come to.
#[derive(Debug, PartialEq)]
pub struct Merged {
    /// The new record of the task.
    pub record: TaskRecord,
    /// The number of events that were not stored before.
    pub added: usize,
}

/// The task that people see as `name` in `project`, after all `reports`, which are in order (see [`add`]). Events that are
/// new get the journal number `seq`; `derives` is true if the source derives status from artifacts. `None` without reports.
pub fn merge(
    key: &TaskKey,
    (project, name): (&str, &str),
    known: Option<&TaskRecord>,
    reports: &[Reported<Report>],
    derives: bool,
    seq: u64,
) -> Option<Merged> {
    let first = reports.first()?;
    let mut fold = Fold::begin(key, project, name, first, derives);
    if !reports.iter().any(|reported| matches!(reported.report, Report::Started(_))) {
        fold.events[0].id = unstarted(key);
    }
    reports.iter().enumerate().for_each(|(place, report)| fold.step(report, place == 0));
    let stored = known.map(|known| known.timeline.as_slice()).unwrap_or_default();
    let seqs: HashMap<EventId, u64> = stored.iter().map(|stored| (stored.event.id, stored.seq)).collect();
    let own: HashSet<EventId> = fold.events.iter().map(|event| event.id).collect();
    let derived = stored.iter().filter(|stored| !is_folded(&stored.event.change) && !own.contains(&stored.event.id));
    let added = own.iter().filter(|id| !seqs.contains_key(id)).count();
    let events =
        fold.events.into_iter().map(|event| StoredEvent { seq: seqs.get(&event.id).copied().unwrap_or(seq), event });
    let mut timeline: Vec<StoredEvent> = events.chain(derived.cloned()).collect();
    timeline.sort_by_key(timeline::order);
    let record = TaskRecord {
        url: fold.url,
        reporter: fold.reporter,
        updated: reports.iter().map(|report| report.at).max().unwrap_or_default(),
        blockers: fold.needs.iter().chain(&fold.blocked_by).map(|id| blocker(project, id)).collect(),
        absences: 0,
        timeline,
    };
    Some(Merged { record, added })
}

/// Whether a change comes from reports, rather than from activities, links, or a tool that has the same task.
const fn is_folded(change: &Change) -> bool {
    change.is_from_tool() && !matches!(change, Change::Deleted | Change::Restored)
}

/// The id of the creation of a task whose start nobody reported. Once somebody does, the creation has another one.
fn unstarted(key: &TaskKey) -> EventId {
    EventId::of(key, "unstarted")
}

/// The creation of a task of which everything was reported but its start: what it is called, where it belongs and when it began
/// is not known yet, so that no span of it can be final.
#[must_use]
pub fn unstarted_creation<'a>(key: &TaskKey, record: &'a TaskRecord) -> Option<&'a StoredEvent> {
    let id = unstarted(key);
    record.timeline.iter().find(|stored| stored.event.id == id)
}

fn blocker(project: &str, id: &SmolStr) -> Blocker {
    Blocker { native_id: Some(native_id(project, id)), key: id.to_string(), finished: false }
}

/// The fold: the state so far, and the events that led to it.
struct Fold<'a> {
    key: &'a TaskKey,
    project: &'a str,
    derives: bool,
    facts: Facts,
    events: Vec<Event>,
    url: String,
    reporter: Option<String>,
    /// Ids of the tasks that it needs.
    needs: Vec<SmolStr>,
    /// The id of the task that blocks it, while one does.
    blocked_by: Option<SmolStr>,
    /// The impediment is why it entered a blocked status, and ends when it leaves that.
    ends_with_status: bool,
    /// The status that it had before a blocked one.
    before: Option<(Status, SmolStr)>,
}

impl<'a> Fold<'a> {
    fn begin(key: &'a TaskKey, project: &'a str, name: &str, first: &Reported<Report>, derives: bool) -> Self {
        let mut facts = unknown(project, name);
        if let Report::Started(fields) = &first.report {
            begin_with(&mut facts, project, fields);
        }
        let created = Event {
            id: EventId::of(key, "created"),
            at: first.at,
            actor: first.actor.clone(),
            observed: false,
            change: Change::Created(Box::new(facts.clone())),
        };
        let (events, url, needs) = (vec![created], String::new(), Vec::new());
        Self {
            key,
            project,
            derives,
            facts,
            events,
            url,
            reporter: None,
            needs,
            blocked_by: None,
            ends_with_status: false,
            before: None,
        }
    }

    fn step(&mut self, reported: &Reported<Report>, first: bool) {
        match &reported.report {
            Report::Started(fields) => {
                self.reporter = self.reporter.take().or_else(|| reported.actor.clone());
                if !first && self.facts.status.is_finished() {
                    let (status, native) = fields.status.clone().unwrap_or((Some(Status::Todo), "todo".into()));
                    self.enter(reported, status, native);
                }
                self.update(reported, fields);
            }
            Report::Updated(fields) => {
                if let Some((status, native)) = fields.status.clone() {
                    self.enter(reported, status, native);
                }
                self.update(reported, fields);
            }
            Report::Status { status, native, reason } => {
                self.enter(reported, *status, native.clone());
                match reason {
                    Some(reason) if *status == Some(Status::Blocked) => {
                        let reason = SmolStr::from(reason.as_str());
                        self.push(reported, "blocked", Change::Blocked(impediment(Some(&reason), None)));
                        self.ends_with_status = true;
                    }
                    Some(_) => self.push(reported, "reason", Change::Commented(reason.clone())),
                    None => {}
                }
            }
            Report::Blocked { reason, by } => {
                self.blocked_by.clone_from(by);
                self.ends_with_status = false;
                self.push(reported, "blocked", Change::Blocked(impediment(reason.as_ref(), by.as_ref())));
            }
            Report::Unblocked => {
                self.blocked_by = None;
                let before = self.before.take().filter(|_| self.facts.status == Status::Blocked);
                if let Some((status, native)) = before {
                    self.enter(reported, Some(status), native);
                }
                self.push(reported, "unblocked", Change::Unblocked);
            }
            Report::Reopened if self.facts.status.is_finished() => {
                self.enter(reported, Some(Status::Todo), "todo".into())
            }
            Report::Reopened => {}
            Report::Progress(percent) => self.push(reported, "progress", Change::Progress(*percent)),
            Report::Commented(text) => self.push(reported, "comment", Change::Commented(text.clone())),
            Report::Artifact(artifact) => {
                self.push(reported, "artifact", activity::change(artifact.clone(), self.derives));
            }
        }
    }

    fn enter(&mut self, reported: &Reported<Report>, status: Option<Status>, native: SmolStr) {
        let status = status.unwrap_or(self.facts.status);
        if status == Status::Blocked && self.facts.status != status {
            self.before = Some((self.facts.status, self.facts.native_status.clone()));
        }
        if status != Status::Blocked && std::mem::take(&mut self.ends_with_status) {
            self.push(reported, "unblocked", Change::Unblocked);
        }
        self.push(reported, "status", Change::Status { status, native });
    }

    /// Adds an event, unless it changes nothing.
    fn push(&mut self, reported: &Reported<Report>, part: &str, change: Change) {
        if change.changes_facts() {
            let mut after = self.facts.clone();
            after.apply(&change);
            if after == self.facts {
                return;
            }
            self.facts = after;
        }
        let id = EventId::of(self.key, &reported.origin(part));
        self.events.push(Event { id, at: reported.at, actor: reported.actor.clone(), observed: false, change });
    }

    /// The fields that are given, but for the status.
    fn update(&mut self, reported: &Reported<Report>, fields: &Fields) {
        let fields = fields.clone();
        if let Some(url) = fields.url {
            self.url = url.unwrap_or_default();
        }
        let changes = [
            ("title", fields.title.map(Change::Titled)),
            ("type", fields.task_type.map(|(task_type, native)| Change::Typed { task_type, native })),
            ("assignee", fields.assignee.map(Change::Assigned)),
            ("priority", fields.priority.map(Change::Prioritised)),
            ("labels", fields.labels.map(|labels| Change::Labelled(sorted(labels)))),
            ("estimate", fields.estimate.map(Change::Estimated)),
            ("parent", fields.parent.map(|id| Change::Parent(id.map(|id| parent(self.project, id))))),
            ("sprint", fields.sprint.map(|id| Change::Sprints(sprints(self.project, id)))),
            ("due", fields.due.map(Change::Due)),
            ("attributes", (!fields.attributes.is_empty()).then_some(Change::Attributes(fields.attributes))),
        ];
        for (part, change) in changes {
            if let Some(change) = change {
                self.push(reported, part, change);
            }
        }
        if let Some(needs) = fields.depends_on {
            self.depend(reported, needs);
        }
    }

    /// The tasks that it needs from now on.
    fn depend(&mut self, reported: &Reported<Report>, needs: Vec<SmolStr>) {
        let before = std::mem::replace(&mut self.needs, needs);
        let now = self.needs.clone();
        let gone = before.iter().filter(|id| !now.contains(id)).map(|id| (id, false));
        let new = now.iter().filter(|id| !before.contains(id)).map(|id| (id, true));
        for (id, added) in gone.chain(new) {
            let change = Change::Linked { text: format!("depends on {id}"), blocker: Some(id.to_string()), added };
            self.push(reported, &format!("needs:{id}"), change);
        }
    }
}

/// A task of which nothing but its name is known.
fn unknown(project: &str, name: &str) -> Facts {
    Facts {
        native_type: "task".into(),
        title: name.into(),
        native_status: "todo".into(),
        ..Facts::unknown(name, project)
    }
}

/// The first facts of a task that begins with these fields.
fn begin_with(facts: &mut Facts, project: &str, fields: &Fields) {
    let fields = fields.clone();
    if let Some(title) = fields.title {
        facts.title = title;
    }
    if let Some((task_type, native)) = fields.task_type {
        (facts.task_type, facts.native_type) = (task_type, native);
    }
    if let Some((status, native)) = fields.status {
        (facts.status, facts.native_status) = (status.unwrap_or(facts.status), native);
    }
    facts.priority = fields.priority.flatten();
    facts.assignee = fields.assignee.flatten();
    facts.labels = sorted(fields.labels.unwrap_or_default());
    facts.estimate = fields.estimate.flatten();
    facts.parent = fields.parent.flatten().map(|id| parent(project, id));
    facts.sprints = sprints(project, fields.sprint.flatten());
    facts.due = fields.due.flatten();
}

fn sorted(mut labels: Vec<SmolStr>) -> Vec<SmolStr> {
    labels.sort();
    labels.dedup();
    labels
}

fn parent(project: &str, id: SmolStr) -> ParentRef {
    ParentRef { native_id: native_id(project, &id).into(), key: Some(id) }
}

fn sprints(project: &str, id: Option<SmolStr>) -> Vec<SmolStr> {
    id.into_iter().map(|id| native_id(project, &id).into()).collect()
}

/// Why a task is blocked, in words.
fn impediment(reason: Option<&SmolStr>, by: Option<&SmolStr>) -> Option<SmolStr> {
    match (reason, by) {
        (Some(reason), Some(by)) => Some(format!("{reason} (blocked by {by})").into()),
        (None, Some(by)) => Some(format!("blocked by {by}").into()),
        (reason, None) => reason.cloned(),
    }
}

/// The sprint that people see as `name` in `project`, after all `reports`, which are in order. It has begun when a report
/// says so or its start is known, and is closed when a report says so after the newest that it began.
pub fn sprint(project: &str, name: &str, reports: &[Reported<SprintReport>]) -> SprintFacts {
    let newest = |field: fn(&SprintReport) -> Option<String>| reports.iter().rev().find_map(|one| field(&one.report));
    let began = reports.iter().find(|one| !one.report.ended);
    let time = |field: fn(&SprintReport) -> Option<Millis>| reports.iter().rev().find_map(|one| field(&one.report));
    let closed = reports.last().filter(|one| one.report.ended);
    let planned = reports.iter().rev().filter(|one| !one.report.ended).find_map(|one| one.report.end);
    SprintFacts {
        name: newest(|report| report.name.clone()).unwrap_or_else(|| name.to_owned()),
        goal: newest(|report| report.goal.clone()),
        project: Some(project.to_owned()),
        state: if closed.is_some() { SprintState::Closed } else { SprintState::Active },
        start: time(|report| report.start).or(began.map(|one| one.at)).or(reports.first().map(|one| one.at)),
        end: planned.or_else(|| time(|report| report.end)),
        completed: closed.map(|one| one.report.end.map_or(one.at, |end| end.min(one.at))),
        exact: true,
    }
}

#[cfg(test)]
mod tests;
