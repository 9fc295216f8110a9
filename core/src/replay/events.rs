//! Events: a timeline told as named happenings, for span events and log records alike. Pure.
//!
//! Besides the facts kept, events say what follows from them: that a task was completed, cancelled or reopened.

use super::otlp::{Attributes, Setting};
use super::semconv as names;
use crate::config::CommentPrivacy;
use crate::model::{Entry, EntryId, Facts, Kept, Status, TaskKey, What};
use crate::time::Millis;
use crate::timeline;

/// Something that happened to a task.
#[derive(Debug)]
pub(crate) struct Happened<'a> {
    /// When.
    pub(crate) at: Millis,
    /// The fact it comes from.
    pub(crate) id: EntryId,
    /// Its place among those that come from the same fact.
    pub(crate) place: u8,
    /// Its name in [`names::EVENTS`].
    pub(crate) name: &'static str,
    /// Who did it.
    pub(crate) actor: Option<&'a str>,
    /// Dated when we saw it.
    pub(crate) observed: bool,
    /// The value before.
    pub(crate) from: Option<String>,
    /// The value after.
    pub(crate) to: Option<String>,
    /// The sprints it was in before, when those changed.
    pub(crate) sprints_before: Vec<String>,
    /// The facts in force after it.
    pub(crate) facts: &'a Facts,
}

/// Tells a timeline as events, oldest first; only of the facts that are `wanted`.
pub(crate) fn each(timeline: &[Kept], wanted: impl Fn(&Kept) -> bool, mut visit: impl FnMut(&Happened<'_>)) {
    let Some((first, _)) = timeline::first(timeline) else { return };
    let mut facts = first.clone();
    for (number, kept) in timeline.iter().enumerate() {
        let (what, was) = (&kept.entry.what, (number > 0).then_some(facts.status));
        let told = wanted(kept).then(|| {
            let sprints = if matches!(what, What::Sprints(_)) { facts.sprints.clone() } else { Vec::new() };
            (tell(&facts, what), sprints)
        });
        if what.changes_facts() {
            facts.apply(what);
        }
        let Some(((name, from, to), sprints_before)) = told else { continue };
        let Entry { id, at, observed, .. } = kept.entry;
        let actor = kept.entry.actor.as_deref();
        visit(&Happened { at, id, place: 0, name, actor, observed, from, to, sprints_before, facts: &facts });
        if let Some(name) = turning(was, facts.status) {
            let (from, to, sprints_before) = (None, None, Vec::new());
            visit(&Happened { at, id, place: 1, name, actor, observed, from, to, sprints_before, facts: &facts });
        }
    }
}

/// When, from which fact, in which place and with which journal number each event of a timeline is: [`each`] without the
/// words.
pub(crate) fn marks(timeline: &[Kept]) -> Vec<(Millis, EntryId, u8, u64)> {
    let mut marks = Vec::with_capacity(timeline.len() + 2);
    let mut was = None;
    for kept in timeline {
        marks.push((kept.entry.at, kept.entry.id, 0, kept.seq));
        let is = match &kept.entry.what {
            What::Created(facts) => facts.status,
            What::Status { status, .. } => *status,
            _ => continue,
        };
        if turning(was, is).is_some() {
            marks.push((kept.entry.at, kept.entry.id, 1, kept.seq));
        }
        was = Some(is);
    }
    marks
}

/// What a change of workflow status means besides itself.
pub(crate) fn turning(was: Option<Status>, is: Status) -> Option<&'static str> {
    match (was, is) {
        (was, Status::Done) if was != Some(Status::Done) => Some(names::TASK_COMPLETED),
        (was, Status::Cancelled) if was != Some(Status::Cancelled) => Some(names::TASK_CANCELLED),
        (Some(was), is) if was.is_finished() && !is.is_finished() => Some(names::TASK_REOPENED),
        _ => None,
    }
}

/// The name of a fact, and its values before and after, as people read them.
fn tell(before: &Facts, what: &What) -> (&'static str, Option<String>, Option<String>) {
    let number = |value: Option<f64>| value.map(|value| value.to_string());
    let list = |values: &[String]| (!values.is_empty()).then(|| values.join(", "));
    let parent = |facts: &Option<crate::model::ParentRef>| {
        facts.as_ref().map(|parent| parent.key.clone().unwrap_or_else(|| parent.native_id.clone()))
    };
    match what {
        What::Created(facts) => (names::TASK_CREATED, None, Some(facts.status.to_string())),
        What::Status { status, .. } => {
            (names::TASK_STATUS_CHANGED, Some(before.status.to_string()), Some(status.to_string()))
        }
        What::Blocked(reason) => (names::TASK_BLOCKED, None, reason.clone()),
        What::Unblocked => (names::TASK_UNBLOCKED, before.flag.clone().filter(|text| !text.is_empty()), None),
        What::Assigned(to) => (names::TASK_ASSIGNED, before.assignee.clone(), to.clone()),
        What::Estimated(to) => (names::TASK_ESTIMATE_CHANGED, number(before.estimate), number(*to)),
        What::Sprints(to) => (names::TASK_SPRINT_CHANGED, list(&before.sprints), list(to)),
        What::Parent(to) => (names::TASK_PARENT_CHANGED, parent(&before.parent), parent(to)),
        What::Titled(to) => (names::TASK_RENAMED, Some(before.title.clone()), Some(to.clone())),
        What::Typed { task_type, .. } => {
            (names::TASK_RETYPED, Some(before.task_type.to_string()), Some(task_type.to_string()))
        }
        What::Prioritised(to) => (names::TASK_REPRIORITISED, before.priority.clone(), to.clone()),
        What::Labelled(to) => (names::TASK_RELABELLED, list(&before.labels), list(to)),
        What::Due(to) => (names::TASK_DUE_CHANGED, before.due.clone(), to.clone()),
        What::Moved { key, .. } => (names::TASK_MOVED, Some(before.key.clone()), Some(key.clone())),
        What::Commented(text) => (names::TASK_COMMENTED, None, text.clone()),
        What::Linked { text, added, .. } => {
            let text = Some(text.clone());
            if *added { (names::TASK_LINKED, None, text) } else { (names::TASK_LINKED, text, None) }
        }
        What::Artifact(artifact) => (names::TASK_ARTIFACT, None, Some(artifact.summary.clone())),
        What::Deleted => (names::TASK_DELETED, None, None),
        What::Restored => (names::TASK_REOPENED, None, None),
    }
}

/// The attributes of an event, as privacy allows.
pub(crate) fn attributes(event: &Happened<'_>, setting: &Setting<'_>, _key: &TaskKey) -> Attributes {
    let mut attributes = Attributes::new().maybe(names::EVENT_ACTOR, setting.person(event.actor).as_deref());
    if event.observed {
        attributes = attributes.flag(names::EVENT_OBSERVED, true);
    }
    let (from, to) = (event.from.as_deref(), event.to.as_deref());
    match event.name {
        names::TASK_STATUS_CHANGED => attributes.maybe(names::TASK_STATUS, to).maybe(names::TASK_STATUS_OLD, from),
        names::TASK_BLOCKED => attributes.text(names::EVENT_REASON, to.unwrap_or("flagged")),
        names::TASK_ASSIGNED => attributes
            .maybe(names::EVENT_FROM, setting.person(from).as_deref())
            .maybe(names::EVENT_TO, setting.person(to).as_deref()),
        names::TASK_RENAMED => attributes
            .maybe(names::EVENT_FROM, from.and_then(|title| setting.title(title)))
            .maybe(names::EVENT_TO, to.and_then(|title| setting.title(title))),
        names::TASK_COMMENTED if setting.config.privacy.comments != CommentPrivacy::Plain => attributes,
        names::TASK_COMMENTED => attributes.maybe(names::EVENT_TEXT, to),
        _ => attributes.maybe(names::EVENT_FROM, from).maybe(names::EVENT_TO, to),
    }
}

/// What a person reads: `PROJ-123 in_progress → in_review by Ada`.
pub(crate) fn sentence(event: &Happened<'_>, setting: &Setting<'_>) -> String {
    let key = &event.facts.key;
    let by = setting.person(event.actor).map(|actor| format!(" by {actor}")).unwrap_or_default();
    let word = event.name.strip_prefix("task.").unwrap_or(event.name).replace('_', " ");
    let (from, to) = match event.name {
        names::TASK_ASSIGNED => (setting.person(event.from.as_deref()), setting.person(event.to.as_deref())),
        names::TASK_RENAMED if setting.title("").is_none() => (None, None),
        names::TASK_COMMENTED if setting.config.privacy.comments != CommentPrivacy::Plain => (None, None),
        _ => (event.from.clone(), event.to.clone()),
    };
    match (event.name, from, to) {
        (names::TASK_STATUS_CHANGED, Some(from), Some(to)) => format!("{key} {from} → {to}{by}"),
        (names::TASK_CREATED, _, _) => match setting.title(&event.facts.title) {
            Some(title) => format!("{key} created{by}: {title}"),
            None => format!("{key} created{by}"),
        },
        (_, Some(from), Some(to)) => format!("{key} {word}: {from} → {to}{by}"),
        (_, None, Some(to)) => format!("{key} {word}: {to}{by}"),
        (_, Some(from), None) => format!("{key} {word}: no longer {from}{by}"),
        (_, None, None) => format!("{key} {word}{by}"),
    }
}
