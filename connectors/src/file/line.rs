//! What a line says: an object as `contextcore tasks --output json` or `contextcore sprints --output json` prints it, into
//! facts. Pure.
//!
//! A task needs `id`, `title`, `status` and `created` (or `updated`); everything else may be absent. Its `id` is its identity:
//! that is how lines name parents and blockers. The values at the top are those of now; the `timeline` says how they came
//! about, else `started`, `completed` and `cancelled` do; what neither says is recorded when it is seen to change. What follows from other entries (`completed`, or a
//! status that was derived from an artifact) is left out: it will follow again.

use std::collections::{BTreeMap, HashMap};

use contextcore_core::config::CommentPrivacy;
use contextcore_core::model::observation::{Activity, Observation, TaskObservation};
use contextcore_core::model::{
    Artifact, Blocker, Change, Event, EventId, Facts, ParentRef, SmolStr, SprintFacts, SprintState, Status, TaskKey,
    TaskType,
};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::Deserialize;
use serde_json::Value;

use super::mended;
use crate::vocabulary;

/// How lines are to be read.
#[derive(Debug)]
pub(super) struct Reading {
    /// The source's name, part of every id.
    pub(super) source: String,
    /// Projects wanted; empty means all.
    pub(super) projects: Vec<String>,
    /// Configured statuses by name in lower case.
    pub(super) statuses: BTreeMap<String, Status>,
    /// Configured types by name in lower case.
    pub(super) types: BTreeMap<String, TaskType>,
    /// What is kept of comments.
    pub(super) comments: CommentPrivacy,
}

impl Reading {
    /// Whether tasks of a project are wanted.
    pub(super) fn wants(&self, project: Option<&str>) -> bool {
        self.projects.is_empty() || project.is_some_and(|project| self.projects.iter().any(|wanted| wanted == project))
    }

    /// The common status for a word of ours or of another tool; the configuration's say goes first.
    pub(super) fn status(&self, native: Option<&str>, word: &str) -> Option<Status> {
        let configured = |name: &str| self.statuses.get(&name.to_lowercase()).copied();
        native.and_then(configured).or_else(|| configured(word)).or_else(|| vocabulary::ours(word))
    }

    fn task_type(&self, native: Option<&str>, word: Option<&str>) -> Option<TaskType> {
        let configured = |name: &str| self.types.get(&name.to_lowercase()).copied();
        let word = word.unwrap_or("task");
        native.and_then(configured).or_else(|| configured(word)).or_else(|| vocabulary::ours(word))
    }
}

/// The part of a line that says which task it is of.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Glimpse {
    pub(super) id: String,
    pub(super) project: Option<String>,
    pub(super) status: Option<String>,
    pub(super) native_status: Option<String>,
    /// Only sprints have one.
    state: Option<SprintState>,
    deleted: Option<Millis>,
}

impl Glimpse {
    /// Whether it is a task that is there.
    pub(super) fn is_task(&self) -> bool {
        self.state.is_none() && self.deleted.is_none()
    }
}

/// Reads the part of a line that says which task it is of.
pub(super) fn glimpse(text: &str) -> serde_json::Result<Glimpse> {
    serde_json::from_str(text)
}

/// The name that a line goes by until it is understood: the id it gives, else its number.
pub(super) fn name(number: u64, text: &str) -> String {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    let id = serde_json::from_str(text).ok().map(|Id { id }| id).filter(|id| !id.trim().is_empty());
    id.unwrap_or_else(|| format!("{BY_NUMBER}{number}"))
}

/// The number of the line that goes by this name, if it gave no id.
pub(super) fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(BY_NUMBER)?.parse().ok()
}

/// What the names of lines without an id begin with: part of stored names, never to be changed.
const BY_NUMBER: &str = "line ";

/// A line with its number, as it is kept until it is understood.
pub(super) fn numbered(number: u64, text: &str) -> String {
    format!("{number}:{text}")
}

/// A task's line.
#[derive(Debug, Deserialize)]
struct TaskLine {
    id: SmolStr,
    title: SmolStr,
    status: SmolStr,
    native_status: Option<SmolStr>,
    url: Option<String>,
    project: Option<SmolStr>,
    #[serde(rename = "type")]
    task_type: Option<SmolStr>,
    native_type: Option<SmolStr>,
    priority: Option<SmolStr>,
    assignee: Option<SmolStr>,
    reporter: Option<String>,
    #[serde(default)]
    labels: Vec<SmolStr>,
    estimate: Option<f64>,
    parent: Option<SmolStr>,
    #[serde(default)]
    sprints: Vec<SmolStr>,
    due: Option<SmolStr>,
    created: Option<Millis>,
    started: Option<Millis>,
    completed: Option<Millis>,
    cancelled: Option<Millis>,
    updated: Option<Millis>,
    deleted: Option<Millis>,
    #[serde(default)]
    blocked_by: Vec<String>,
    waiting_on: Option<Vec<String>>,
    #[serde(default)]
    timeline: Vec<TimelineEvent>,
}

/// An entry of a timeline.
#[derive(Debug, Deserialize)]
struct TimelineEvent {
    at: Millis,
    kind: String,
    #[serde(default)]
    from: Value,
    #[serde(default)]
    to: Value,
    /// One of an odd shape is nobody.
    #[serde(default)]
    actor: Value,
    #[serde(default)]
    observed: bool,
    derived: Option<String>,
}

/// Whether an entry of a timeline has the shape of one.
pub(super) fn is_event(entry: &Value) -> bool {
    TimelineEvent::deserialize(entry).is_ok()
}

impl TimelineEvent {
    fn actor(&self) -> Option<String> {
        self.actor.as_str().map(str::to_owned)
    }
}

/// A sprint's line.
#[derive(Debug, Deserialize)]
struct SprintLine {
    id: String,
    name: String,
    goal: Option<String>,
    project: Option<String>,
    state: SprintState,
    start: Option<Millis>,
    end: Option<Millis>,
    completed: Option<Millis>,
    #[serde(default)]
    exact: bool,
}

/// What a numbered line says, and how many of its entries were left out; nothing for a task of a project that is not wanted.
///
/// # Errors
/// [`ErrorKind::Protocol`], with the line's number, when it cannot be understood.
pub(super) fn observations(reading: &Reading, numbered: &str) -> Result<(Vec<Observation>, usize)> {
    let (number, text) = numbered.split_once(':').unwrap_or_default();
    let bad = |error: serde_json::Error| Error::new(ErrorKind::Protocol, "understand a line").caused_by(error);
    let read = || {
        if glimpse(text).map_err(bad)?.state.is_some() {
            return Ok((vec![sprint(serde_json::from_str(text).map_err(bad)?)], 0));
        }
        let mut line: Value = serde_json::from_str(text).map_err(bad)?;
        let left_out = mended::mend_line(&mut line, is_event, |word| reading.status(None, word).is_some());
        Ok((task(reading, serde_json::from_value(line).map_err(bad)?)?, left_out))
    };
    read().map_err(|error: Error| error.with("line", number))
}

fn sprint(line: SprintLine) -> Observation {
    let SprintLine { id, name, goal, project, state, start, end, completed, exact } = line;
    Observation::Sprint {
        native_id: id,
        facts: SprintFacts { name, goal, project, state, start, end, completed, exact },
    }
}

fn task(reading: &Reading, line: TaskLine) -> Result<Vec<Observation>> {
    if !reading.wants(line.project.as_deref()) {
        return Ok(Vec::new());
    }
    let Some(created) = line.created.or(line.updated) else {
        return Err(Error::new(ErrorKind::Protocol, "understand a line: a task needs `created` or `updated`"));
    };
    let mut present = present(reading, &line)?;
    let key = TaskKey::new(&*reading.source, &*line.id);
    let (mut history, first) = changes(reading, &key, &line)?;
    let steps = steps(&key, &line, &present, &history);
    let creation = line.timeline.iter().find(|given| given.kind == "created");
    let status = creation.and_then(|given| given.to.as_str()).and_then(|word| reading.status(None, word));
    let begun = first.facts(&present, status.or_else(|| (!steps.is_empty()).then_some(Status::Todo)));
    history.extend(steps);
    history.extend(deletion(&key, &line, &history));
    history.sort_by_key(|entry| entry.at);
    agree(&mut history, &begun, &mut present);
    let id = EventId::of(&key, "created");
    let actor = creation.and_then(|given| given.actor());
    history.insert(0, Event { id, at: created, actor, observed: false, change: Change::Created(Box::new(begun)) });
    let artifacts = line.timeline.iter().filter(|given| given.kind == "artifact");
    let activities: Vec<Observation> = artifacts.filter_map(|given| activity(&line.id, given)).collect();
    let task = TaskObservation {
        blockers: blockers(&line),
        native_id: line.id.to_string(),
        url: line.url.unwrap_or_default(),
        reporter: line.reporter,
        updated: line.updated.unwrap_or(created),
        history,
        present,
    };
    Ok(std::iter::once(Observation::Task(Box::new(task))).chain(activities).collect())
}

/// The changes that a line's timeline holds, and what it says of the values before them.
fn changes(reading: &Reading, key: &TaskKey, line: &TaskLine) -> Result<(Vec<Event>, First)> {
    let (mut history, mut first, mut ordinals) = (Vec::new(), First::default(), HashMap::new());
    for given in line.timeline.iter().filter(|given| given.derived.is_none() && given.kind != "created") {
        let Some(change) = what(reading, given)? else { continue };
        first.learn(given, &change);
        let ordinal: &mut u32 = ordinals.entry((given.at, given.kind.as_str())).or_default();
        let id = EventId::of(key, &format!("{}:{}:{ordinal}", given.at.0, given.kind));
        *ordinal += 1;
        history.push(Event { id, at: given.at, actor: given.actor(), observed: given.observed, change });
    }
    Ok((history, first))
}

fn blockers(line: &TaskLine) -> Vec<Blocker> {
    let is_finished = |blocker: &String| line.waiting_on.as_ref().is_some_and(|open| !open.contains(blocker));
    let one = |key: &String| Blocker { native_id: Some(key.clone()), key: key.clone(), finished: is_finished(key) };
    line.blocked_by.iter().map(one).collect()
}

/// The changes of status that follow from the times at the top, for a line whose timeline holds none.
fn steps(key: &TaskKey, line: &TaskLine, present: &Facts, history: &[Event]) -> Vec<Event> {
    if history.iter().any(|entry| matches!(entry.change, Change::Status { .. })) {
        return Vec::new();
    }
    let ended = line.completed.map(|at| (at, Status::Done)).or(line.cancelled.map(|at| (at, Status::Cancelled)));
    let ended = ended.filter(|(_, status)| *status == present.status);
    let steps = line.started.map(|at| (at, Status::InProgress)).into_iter().chain(ended);
    steps
        .map(|(at, status)| Event {
            id: EventId::of(key, &format!("{status}:{}", at.0)),
            at,
            actor: None,
            observed: false,
            change: Change::Status { status, native: status.as_str().into() },
        })
        .collect()
}

/// That the task is gone, when the line says so at its top and its timeline does not.
fn deletion(key: &TaskKey, line: &TaskLine, history: &[Event]) -> Option<Event> {
    let at = line.deleted?;
    let known = history.iter().any(|entry| entry.change == Change::Deleted && entry.at == at);
    let id = EventId::of(key, &format!("deleted:{}", at.0));
    (!known).then_some(Event { id, at, actor: None, observed: false, change: Change::Deleted })
}

/// The values at the top of a line.
fn present(reading: &Reading, line: &TaskLine) -> Result<Facts> {
    let unknown = |what: &str, word: &str, key: &str| {
        let text = format!("understand a line: `{word}` is no {what} of ours; say what it means in `{key}`");
        Error::new(ErrorKind::Protocol, text)
    };
    let status = reading.status(line.native_status.as_deref(), &line.status);
    let task_type = reading.task_type(line.native_type.as_deref(), line.task_type.as_deref());
    let word = || line.task_type.clone().unwrap_or_default();
    let mut labels = line.labels.clone();
    labels.sort();
    Ok(Facts {
        key: line.id.clone(),
        project: line.project.clone().unwrap_or_default(),
        task_type: task_type.ok_or_else(|| unknown("type", &word(), "types"))?,
        native_type: line.native_type.clone().or_else(|| line.task_type.clone()).unwrap_or_else(|| "task".into()),
        title: line.title.clone(),
        status: status.ok_or_else(|| unknown("status", &line.status, "statuses"))?,
        native_status: line.native_status.clone().unwrap_or_else(|| line.status.clone()),
        flag: None,
        priority: line.priority.clone(),
        assignee: line.assignee.clone(),
        labels,
        estimate: line.estimate,
        parent: line.parent.as_deref().map(parent),
        sprints: line.sprints.clone(),
        due: line.due.clone(),
        blocked_by_links: None,
        progress: None,
        attributes: Vec::new(),
    })
}

fn parent(id: &str) -> ParentRef {
    ParentRef { native_id: id.into(), key: Some(id.into()) }
}

fn text(value: &Value) -> Option<SmolStr> {
    value.as_str().map(SmolStr::new)
}

fn texts(value: &Value) -> Vec<SmolStr> {
    value.as_array().into_iter().flatten().filter_map(text).collect()
}

/// The change that an event of a line means; `None` for one that only follows from others, and for artifacts, which are activities.
fn what(reading: &Reading, given: &TimelineEvent) -> Result<Option<Change>> {
    let status = |word: &str| {
        let known = reading.status(None, word);
        known.ok_or_else(|| {
            Error::new(ErrorKind::Protocol, format!("understand a line: `{word}` is not one of our statuses"))
        })
    };
    let to = &given.to;
    Ok(Some(match given.kind.as_str() {
        "status_changed" => {
            let word = to.as_str().unwrap_or_default();
            Change::Status { status: status(word)?, native: word.into() }
        }
        "blocked" => Change::Blocked(text(to)),
        "unblocked" => Change::Unblocked,
        "assigned" => Change::Assigned(text(to)),
        "estimate_changed" => Change::Estimated(to.as_f64()),
        "sprint_changed" => Change::Sprints(texts(to)),
        "parent_changed" => Change::Parent(to.as_str().map(parent)),
        "title_changed" => Change::Titled(text(to).unwrap_or_default()),
        "type_changed" => {
            let word = to.as_str().unwrap_or_default();
            let Some(task_type) = reading.task_type(None, Some(word)) else { return Ok(None) };
            Change::Typed { task_type, native: word.into() }
        }
        "priority_changed" => Change::Prioritised(text(to)),
        "labels_changed" => Change::Labelled(texts(to)),
        "due_changed" => Change::Due(text(to)),
        "commented" if !reading.comments.is_read() => return Ok(None),
        "commented" => Change::Commented(text(to).filter(|_| reading.comments.has_texts()).map(Into::into)),
        "linked" => {
            let words = text(to).or_else(|| text(&given.from)).unwrap_or_default();
            let blocker = words.strip_prefix("is blocked by ").map(str::to_owned);
            Change::Linked { text: words.to_string(), blocker, added: to.is_string() }
        }
        "progress_updated" => match to.as_f64() {
            Some(percent) => Change::Progress(percent),
            None => return Ok(None),
        },
        "attributes_changed" => {
            Change::Attributes(to.as_object().into_iter().flatten().map(|(name, to)| (name.into(), text(to))).collect())
        }
        "deleted" => Change::Deleted,
        "restored" => Change::Restored,
        _ => return Ok(None),
    }))
}

/// The first values: what the first change of a field says was there before.
#[derive(Default)]
struct First(Vec<Change>);

impl First {
    fn learn(&mut self, given: &TimelineEvent, what: &Change) {
        let known = self.0.iter().any(|other| std::mem::discriminant(other) == std::mem::discriminant(what));
        let flag = |what: &Change| matches!(what, Change::Blocked(_) | Change::Unblocked);
        if known || (flag(what) && self.0.iter().any(flag)) {
            return;
        }
        let from = &given.from;
        self.0.push(match what {
            Change::Status { status, .. } => {
                let word = from.as_str().unwrap_or_default();
                Change::Status { status: word.parse().unwrap_or(*status), native: word.into() }
            }
            Change::Blocked(_) => Change::Unblocked,
            Change::Unblocked => Change::Blocked(text(from)),
            Change::Assigned(_) => Change::Assigned(text(from)),
            Change::Estimated(_) => Change::Estimated(from.as_f64()),
            Change::Sprints(_) => Change::Sprints(texts(from)),
            Change::Parent(_) => Change::Parent(from.as_str().map(parent)),
            Change::Titled(_) => Change::Titled(text(from).unwrap_or_default()),
            Change::Typed { task_type, .. } => {
                let word = from.as_str().unwrap_or_default();
                Change::Typed { task_type: word.parse().unwrap_or(*task_type), native: word.into() }
            }
            Change::Prioritised(_) => Change::Prioritised(text(from)),
            Change::Labelled(_) => Change::Labelled(texts(from)),
            Change::Due(_) => Change::Due(text(from)),
            _ => return,
        });
    }

    /// Today's values with what is known to have been other.
    fn facts(self, present: &Facts, status: Option<Status>) -> Facts {
        let mut facts = present.clone();
        self.0.iter().for_each(|what| facts.apply(what));
        if let Some(status) = status.filter(|status| *status != facts.status) {
            facts.status = status;
            facts.native_status = status.as_str().into();
        }
        facts
    }
}

/// Makes history and present agree where a line says the same in two ways: `status: blocked` at the top is the flag of the
/// timeline, and the tool's own words stand at the top only.
fn agree(history: &mut [Event], begun: &Facts, present: &mut Facts) {
    let fold = |history: &[Event]| {
        let mut facts = begun.clone();
        history.iter().for_each(|entry| facts.apply(&entry.change));
        facts
    };
    let now = fold(history);
    present.flag.clone_from(&now.flag);
    if present.status == Status::Blocked && now.flag.is_some() {
        present.status = now.status;
    }
    let last = history.iter_mut().rev().find_map(|entry| match &mut entry.change {
        Change::Status { status, native } => Some((status, native)),
        _ => None,
    });
    if let Some((status, native)) = last
        && *status == present.status
    {
        native.clone_from(&present.native_status);
    }
    let last = history.iter_mut().rev().find_map(|entry| match &mut entry.change {
        Change::Typed { task_type, native } => Some((task_type, native)),
        _ => None,
    });
    if let Some((task_type, native)) = last
        && *task_type == present.task_type
    {
        native.clone_from(&present.native_type);
    }
}

/// An artifact of a timeline, as what it was, so that a status can be derived from it.
fn activity(id: &str, given: &TimelineEvent) -> Option<Observation> {
    let part = |name: &str| given.to.get(name).and_then(Value::as_str).map(str::to_owned);
    let (kind, reference) = (part("kind")?, part("reference")?);
    Some(Observation::Activity(Box::new(Activity {
        native_id: format!("{kind}:{reference}:{}", given.at.0),
        at: given.at,
        actor: given.actor(),
        artifact: Artifact {
            kind,
            reference,
            url: part("url").unwrap_or_default(),
            summary: part("summary").unwrap_or_default(),
        },
        tasks: vec![id.to_owned()],
        mentions: Vec::new(),
        author: None,
    })))
}
