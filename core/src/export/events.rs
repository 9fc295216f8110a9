//! Exported events: what happened to a task, named, for span events and log records alike. Pure.
//!
//! Besides the stored events there are those that follow from them: a task was completed, cancelled or reopened, or a
//! status blocked or unblocked it.

use std::borrow::Cow;
use std::fmt;

use contextcore_model::ToSmolStr;

use super::context::ExportContext;
use super::message::Attributes;
use crate::model::inference;
use crate::model::interval;
use crate::model::semconv as names;
use crate::model::time::Millis;
use crate::model::timeline::State;
use crate::model::transitions::{StatusTracker, StatusTransition};
use crate::model::{Change, Event, EventId, Facts, SmolStr, StoredEvent};

/// An event of a task, as it is exported.
#[derive(Debug)]
pub(crate) struct ExportedEvent<'a> {
    /// When.
    pub(crate) at: Millis,
    /// The id of the stored event it comes from.
    pub(crate) id: EventId,
    /// Its place among the exported events of the same stored event.
    pub(crate) place: u8,
    /// Its name in [`names::EVENTS`].
    pub(crate) name: &'static str,
    /// The person who did it, by display name.
    pub(crate) actor: Option<&'a str>,
    /// Whether it is dated when we saw it.
    pub(crate) observed: bool,
    /// The value before.
    pub(crate) from: Option<SmolStr>,
    /// The value after.
    pub(crate) to: Option<SmolStr>,
    /// The artifact it was derived from, when the tool did not report it itself.
    pub(crate) derived_from: Option<String>,
    /// The sprints of the task before, if the event changes them.
    pub(crate) sprints_before: Vec<SmolStr>,
    /// Of [`names::TASK_BLOCKED`]: the keys of the tasks that blocked it then, by links in the tool.
    pub(crate) blocked_by: Vec<String>,
    /// The facts in force after it.
    pub(crate) facts: &'a Facts,
}

impl ExportedEvent<'_> {
    /// Whether privacy allows exporting it. A suppressed event still has a place, so that changing the setting moves no
    /// other event.
    pub(crate) fn is_allowed(&self, context: &ExportContext<'_>) -> bool {
        self.name != names::TASK_COMMENTED || context.config.privacy.comments.is_read()
    }
}

/// Calls `visit` with the exported events of a timeline, oldest first, for the stored events that `wanted` selects.
pub(crate) fn each(
    timeline: &[StoredEvent],
    wanted: impl Fn(&StoredEvent) -> bool,
    mut visit: impl FnMut(&ExportedEvent<'_>),
) {
    let Some(mut state) = State::first(timeline) else { return };
    let mut visit = |event: &mut ExportedEvent<'_>| {
        let blocked = event.name == names::TASK_BLOCKED;
        event.blocked_by = if blocked { interval::blockers_at(timeline, event.at) } else { Vec::new() };
        visit(event);
    };
    let mut tracker = StatusTracker::default();
    for (number, stored) in timeline.iter().enumerate() {
        let change = &stored.event.change;
        let described = wanted(stored).then(|| (describe(&state.facts, change), sprints_before(&state.facts, change)));
        // A clone of the facts makes the next change copy them, so they are kept only where they are needed.
        let before = matches!(change, Change::StatusArtifact(_)).then(|| state.facts.clone());
        let step = state.apply(&stored.event);
        let transitions = tracker.transitions(timeline, number, &state.facts);
        let Some((description, sprints_before)) = described else { continue };
        let mut event = ExportedEvent { sprints_before, ..base_event(stored, description, &state.facts) };
        visit(&mut event);
        if let Some((step, before)) = step.zip(before) {
            event = derived(&before, &step, change, event);
            visit(&mut event);
        }
        for transition in transitions {
            event = transitioned(transition, event);
            visit(&mut event);
        }
    }
}

/// The sprints of the task, if the change replaces them.
fn sprints_before(facts: &Facts, change: &Change) -> Vec<SmolStr> {
    if matches!(change, Change::Sprints(_)) { facts.sprints.clone() } else { Vec::new() }
}

/// The exported event of the stored event itself.
fn base_event<'a>(stored: &'a StoredEvent, (name, from, to): Description, facts: &'a Facts) -> ExportedEvent<'a> {
    let Event { id, at, observed, .. } = stored.event;
    ExportedEvent {
        at,
        id,
        place: 0,
        name,
        actor: stored.event.actor.as_deref(),
        observed,
        from,
        to,
        derived_from: None,
        sprints_before: Vec::new(),
        blocked_by: Vec::new(),
        facts,
    }
}

/// The event for the change that an artifact made. It follows the artifact's own event.
fn derived<'a>(before: &Facts, step: &Change, evidence: &Change, artifact: ExportedEvent<'a>) -> ExportedEvent<'a> {
    let (name, from, to) = describe(before, step);
    let derived_from = evidence.artifact().map(inference::label);
    ExportedEvent { name, from, to, derived_from, place: artifact.place + 1, ..artifact }
}

/// The event for a status transition. It follows the event that caused it.
fn transitioned(transition: StatusTransition, change: ExportedEvent<'_>) -> ExportedEvent<'_> {
    let (name, from, to) = match transition {
        StatusTransition::Unblocked(native) => (names::TASK_UNBLOCKED, Some(native), None),
        StatusTransition::Completed => (names::TASK_COMPLETED, None, None),
        StatusTransition::Cancelled => (names::TASK_CANCELLED, None, None),
        StatusTransition::Reopened => (names::TASK_REOPENED, None, None),
        StatusTransition::Flagged(reason) | StatusTransition::Blocked(reason) => {
            (names::TASK_BLOCKED, None, Some(reason))
        }
    };
    ExportedEvent { name, from, to, place: change.place + 1, sprints_before: Vec::new(), ..change }
}

/// The time, stored id, place and journal number of every event that [`each`] visits, without describing them.
pub(crate) fn places(timeline: &[StoredEvent]) -> Vec<(Millis, EventId, u8, u64)> {
    let Some(mut state) = State::first(timeline) else { return Vec::new() };
    let mut places = Vec::with_capacity(timeline.len() + 2);
    let mut tracker = StatusTracker::default();
    for (number, stored) in timeline.iter().enumerate() {
        let derived = usize::from(state.apply(&stored.event).is_some());
        let transitions = tracker.transitions(timeline, number, &state.facts).count();
        let of_event = (0..=u8::MAX).take(1 + derived + transitions);
        places.extend(of_event.map(|place| (stored.event.at, stored.event.id, place, stored.seq)));
    }
    places
}

/// The name of an event and its values before and after.
type Description = (&'static str, Option<SmolStr>, Option<SmolStr>);

/// Describes a change: the event's name, and its values before and after, as people read them.
fn describe(before: &Facts, change: &Change) -> Description {
    let number = |value: Option<f64>| value.map(|value| value.to_smolstr());
    let word = |value: &'static str| Some(SmolStr::new_static(value));
    let list = |values: &[SmolStr]| (!values.is_empty()).then(|| values.join(", ").into());
    let parent = |facts: &Option<crate::model::ParentRef>| {
        facts.as_ref().map(|parent| parent.key.clone().unwrap_or_else(|| parent.native_id.clone()))
    };
    match change {
        Change::Created(facts) => (names::TASK_CREATED, None, word(facts.status.as_str())),
        Change::Status { status, .. } => {
            (names::TASK_STATUS_CHANGED, word(before.status.as_str()), word(status.as_str()))
        }
        Change::Blocked(reason) => (names::TASK_BLOCKED, None, reason.clone()),
        Change::BlockedByLinks(reason) => (names::TASK_BLOCKED, None, Some(reason.clone())),
        Change::UnblockedByLinks => (names::TASK_UNBLOCKED, before.blocked_by_links.clone(), None),
        Change::Unblocked => (names::TASK_UNBLOCKED, before.flag.clone().filter(|text| !text.is_empty()), None),
        Change::Assigned(to) => (names::TASK_ASSIGNED, before.assignee.clone(), to.clone()),
        Change::Estimated(to) => (names::TASK_ESTIMATE_CHANGED, number(before.estimate), number(*to)),
        Change::Sprints(to) => (names::TASK_SPRINT_CHANGED, list(&before.sprints), list(to)),
        Change::Parent(to) => (names::TASK_PARENT_CHANGED, parent(&before.parent), parent(to)),
        Change::Titled(to) => (names::TASK_RENAMED, Some(before.title.clone()), Some(to.clone())),
        Change::Typed { task_type, .. } => {
            (names::TASK_RETYPED, word(before.task_type.as_str()), word(task_type.as_str()))
        }
        Change::Prioritised(to) => (names::TASK_REPRIORITISED, before.priority.clone(), to.clone()),
        Change::Labelled(to) => (names::TASK_RELABELLED, list(&before.labels), list(to)),
        Change::Due(to) => (names::TASK_DUE_CHANGED, before.due.clone(), to.clone()),
        Change::Moved { key, project } => {
            let (from, to) = before.moved(key, project);
            (names::TASK_MOVED, Some(from.clone()), Some(to.clone()))
        }
        Change::Commented(text) => (names::TASK_COMMENTED, None, text.as_deref().map(SmolStr::new)),
        Change::Linked { text, added, .. } => {
            let text = Some(SmolStr::new(text));
            if *added { (names::TASK_LINKED, None, text) } else { (names::TASK_LINKED, text, None) }
        }
        Change::Artifact(artifact) | Change::StatusArtifact(artifact) => {
            (names::TASK_ARTIFACT, Some(inference::label(artifact).into()), Some(SmolStr::new(&artifact.summary)))
        }
        Change::Progress(to) => (names::TASK_PROGRESS_UPDATED, number(before.progress), number(Some(*to))),
        Change::Attributes(to) => (names::TASK_ATTRIBUTES_CHANGED, None, Some(assigned(to))),
        Change::Deleted => (names::TASK_DELETED, None, None),
        Change::Restored => (names::TASK_REOPENED, None, None),
    }
}

/// Attributes and their new values: `team=web, host=`.
fn assigned(attributes: &[(SmolStr, Option<SmolStr>)]) -> SmolStr {
    let one = |(name, value): &(SmolStr, Option<SmolStr>)| format!("{name}={}", value.as_deref().unwrap_or_default());
    attributes.iter().map(one).collect::<Vec<_>>().join(", ").into()
}

/// The attributes of an event, as privacy allows.
pub(crate) fn attributes(event: &ExportedEvent<'_>, context: &ExportContext<'_>) -> Attributes {
    let mut attributes = Attributes::new().maybe(names::EVENT_ACTOR, context.person(event.actor).as_deref());
    if event.observed {
        attributes = attributes.flag(names::EVENT_OBSERVED, true);
    }
    let (from, to) = (event.from.as_deref(), event.to.as_deref());
    match event.name {
        names::TASK_STATUS_CHANGED => attributes
            .maybe(names::TASK_STATUS, to)
            .maybe(names::TASK_STATUS_OLD, from)
            .maybe(names::EVENT_REASON, event.derived_from.as_deref()),
        names::TASK_BLOCKED => attributes
            .text(names::EVENT_REASON, to.unwrap_or("flagged"))
            .texts(names::EVENT_BLOCKED_BY, &event.blocked_by),
        names::TASK_ASSIGNED => attributes
            .maybe(names::EVENT_FROM, context.person(from).as_deref())
            .maybe(names::EVENT_TO, context.person(to).as_deref()),
        names::TASK_ARTIFACT => {
            attributes.maybe(names::EVENT_TO, from).maybe(names::EVENT_TEXT, summary(event, context).as_deref())
        }
        names::TASK_UNBLOCKED if event.derived_from.is_some() => {
            attributes.maybe(names::EVENT_FROM, from).maybe(names::EVENT_REASON, event.derived_from.as_deref())
        }
        names::TASK_RENAMED => attributes
            .maybe(names::EVENT_FROM, from.and_then(|title| context.title(title)))
            .maybe(names::EVENT_TO, to.and_then(|title| context.title(title))),
        names::TASK_COMMENTED if !context.config.privacy.comments.has_texts() => attributes,
        names::TASK_COMMENTED => attributes.maybe(names::EVENT_TEXT, to),
        _ => attributes.maybe(names::EVENT_FROM, from).maybe(names::EVENT_TO, to),
    }
}

/// An artifact's summary, as privacy allows: of a review request it is a person, else a title.
fn summary<'e>(event: &'e ExportedEvent<'_>, context: &ExportContext<'_>) -> Option<Cow<'e, str>> {
    let asked = event.from.as_deref().is_some_and(|said| said.starts_with("review requested"));
    let summary = event.to.as_deref().filter(|text| !text.is_empty());
    if asked { context.person(summary) } else { summary.and_then(|text| context.title(text)).map(Cow::Borrowed) }
}

/// The event as a sentence: `PROJ-123 in_progress → in_review by Ada`. `sprints` are the names of the sprints before
/// and after, if they changed, because the event only has their ids.
pub(crate) fn sentence(
    event: &ExportedEvent<'_>,
    context: &ExportContext<'_>,
    sprints: (Option<String>, Option<String>),
) -> String {
    let key = &event.facts.key;
    let actor = context.person(event.actor);
    let by = ByWhom(actor.as_deref());
    let word = Spaced(event.name.strip_prefix("task.").unwrap_or(event.name));
    let (from, to) = match event.name {
        names::TASK_ASSIGNED => (context.person(event.from.as_deref()), context.person(event.to.as_deref())),
        names::TASK_RENAMED if context.title("").is_none() => (None, None),
        names::TASK_COMMENTED if !context.config.privacy.comments.has_texts() => (None, None),
        names::TASK_SPRINT_CHANGED => (sprints.0.map(Cow::Owned), sprints.1.map(Cow::Owned)),
        _ => (event.from.as_deref().map(Cow::Borrowed), event.to.as_deref().map(Cow::Borrowed)),
    };
    match (event.name, from, to) {
        (names::TASK_ARTIFACT, Some(change), _) => match summary(event, context) {
            Some(summary) => format!("{key} {change}{by}: {summary}"),
            None => format!("{key} {change}{by}"),
        },
        (names::TASK_STATUS_CHANGED, Some(from), Some(to)) if event.derived_from.is_some() => {
            format!("{key} {from} → {to}, by {}", event.derived_from.as_deref().unwrap_or_default())
        }
        // The tool distinguishes more statuses than the common model: only its own name shows the change.
        (names::TASK_STATUS_CHANGED, Some(from), Some(to)) if from == to => {
            format!("{key} {to}, now “{}”{by}", event.facts.native_status)
        }
        (names::TASK_STATUS_CHANGED, Some(from), Some(to)) => format!("{key} {from} → {to}{by}"),
        (names::TASK_CREATED, _, _) => match context.title(&event.facts.title) {
            Some(title) => format!("{key} created{by}: {title}"),
            None => format!("{key} created{by}"),
        },
        (_, Some(from), Some(to)) => format!("{key} {word}: {from} → {to}{by}"),
        (_, None, Some(to)) => format!("{key} {word}: {to}{by}"),
        (_, Some(from), None) => format!("{key} {word}: no longer {from}{by}"),
        (_, None, None) => format!("{key} {word}{by}"),
    }
}

/// ` by Ada`, or nothing.
struct ByWhom<'a>(Option<&'a str>);

impl fmt::Display for ByWhom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |actor| write!(f, " by {actor}"))
    }
}

/// `sprint_changed` with spaces.
struct Spaced<'a>(&'a str);

impl fmt::Display for Spaced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.0.split('_');
        f.write_str(words.next().unwrap_or_default())?;
        words.try_for_each(|word| write!(f, " {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::model::Status;
    use crate::model::samples::artifact;
    use crate::model::samples::{facts, stored, to};

    fn timeline() -> Vec<StoredEvent> {
        let evidence = |at, kind, reference| stored(at, Change::StatusArtifact(artifact(kind, reference)));
        vec![
            stored(0, Change::Created(Box::new(facts(Status::Todo)))),
            evidence(10, inference::COMMIT, "a1"),
            evidence(20, inference::COMMIT, "b2"),
            evidence(30, inference::CI_FAILED, "b2"),
            evidence(40, inference::CI_PASSED, "b2"),
            evidence(50, inference::MERGED, "acme/checkout#12"),
            stored(60, to(Status::Todo)),
        ]
    }

    #[test]
    fn an_artifact_is_followed_by_the_change_it_made() {
        let mut events = Vec::new();
        each(&timeline(), |_| true, |event| events.push((event.at.0, event.place, event.name)));
        let expected = [
            (0, 0, names::TASK_CREATED),
            (10, 0, names::TASK_ARTIFACT),
            (10, 1, names::TASK_STATUS_CHANGED),
            (20, 0, names::TASK_ARTIFACT),
            (30, 0, names::TASK_ARTIFACT),
            (30, 1, names::TASK_BLOCKED),
            (40, 0, names::TASK_ARTIFACT),
            (40, 1, names::TASK_UNBLOCKED),
            (50, 0, names::TASK_ARTIFACT),
            (50, 1, names::TASK_STATUS_CHANGED),
            (50, 2, names::TASK_COMPLETED),
            (60, 0, names::TASK_STATUS_CHANGED),
            (60, 1, names::TASK_REOPENED),
        ];
        assert_eq!(events, expected);
        let of_marks: Vec<_> = places(&timeline()).iter().map(|(at, _, place, _)| (at.0, *place)).collect();
        assert_eq!(of_marks, expected.map(|(at, place, _)| (at, place)), "`places` and `each` agree");
    }

    #[test]
    fn sentences_name_the_artifact_behind_a_derived_status() {
        let source = "sources: [{name: jira, kind: jira, url: 'https://example.com', auth: {token: {env: TOKEN}}}]";
        let config = config::parse(source, "test.yaml", &[config::kind::unchecked("jira")]).unwrap();
        let context = ExportContext::new(&config);
        let mut said = Vec::new();
        each(&timeline(), |_| true, |event| said.push(sentence(event, &context, (None, None))));
        assert_eq!(said[1], "PROJ-1 commit a1: build");
        assert_eq!(said[2], "PROJ-1 todo → in_progress, by commit a1");
        assert_eq!(said[5], "PROJ-1 blocked: ci failed b2: build");
    }

    #[test]
    fn comments_are_exported_as_far_as_privacy_allows() {
        let source = "sources: [{name: jira, kind: jira, url: 'https://example.com', auth: {token: {env: TOKEN}}}]";
        let mut comment = stored(10, Change::Commented(Some("Why?".into())));
        comment.event.actor = Some("Ada".into());
        let timeline = [stored(0, Change::Created(Box::new(facts(Status::Todo)))), comment];
        let said = |privacy: &str| {
            let config =
                config::parse(&format!("{source}\n{privacy}"), "test.yaml", &[config::kind::unchecked("jira")])
                    .unwrap();
            let context = ExportContext::new(&config);
            let mut said = Vec::new();
            each(
                &timeline,
                |stored| stored.event.at > Millis(0),
                |event| {
                    if event.is_allowed(&context) {
                        let bare = Attributes::new().maybe(names::EVENT_ACTOR, event.actor);
                        said.push((sentence(event, &context, (None, None)), attributes(event, &context) != bare));
                    }
                },
            );
            said
        };
        assert_eq!(said(""), [("PROJ-1 commented by Ada".to_owned(), false)], "the default");
        assert_eq!(said("privacy: {comments: count}"), said(""));
        assert_eq!(said("privacy: {comments: omit}"), []);
        assert_eq!(said("privacy: {comments: plain}"), [("PROJ-1 commented: Why? by Ada".to_owned(), true)]);
    }

    #[test]
    fn sentences_name_sprints_and_native_statuses() {
        let source = "sources: [{name: jira, kind: jira, url: 'https://example.com', auth: {token: {env: TOKEN}}}]";
        let config = config::parse(source, "test.yaml", &[config::kind::unchecked("jira")]).unwrap();
        let context = ExportContext::new(&config);
        let timeline = vec![
            stored(0, Change::Created(Box::new(facts(Status::Todo)))),
            stored(10, Change::Sprints(vec!["4".into()])),
            stored(20, Change::Status { status: Status::Todo, native: "Ready".into() }),
        ];
        let named = |event: &ExportedEvent<'_>| {
            let of = |ids: &[SmolStr]| ids.first().map(|id| format!("Sprint {id}"));
            (of(&event.sprints_before), of(&event.facts.sprints))
        };
        let mut said = Vec::new();
        each(&timeline, |_| true, |event| said.push(sentence(event, &context, named(event))));
        assert_eq!(said[1..], ["PROJ-1 sprint changed: Sprint 4", "PROJ-1 todo, now “Ready”"]);
    }

    #[test]
    fn a_status_that_blocks_is_an_impediment_with_its_blockers() {
        let source = "sources: [{name: jira, kind: jira, url: 'https://example.com', auth: {token: {env: TOKEN}}}]";
        let config = config::parse(source, "test.yaml", &[config::kind::unchecked("jira")]).unwrap();
        let context = ExportContext::new(&config);
        let on_hold = || Change::Status { status: Status::Blocked, native: "On Hold".into() };
        let link = Change::Linked { text: "is blocked by OPS-4".into(), blocker: Some("OPS-4".into()), added: true };
        let timeline = vec![
            stored(0, Change::Created(Box::new(facts(Status::Todo)))),
            stored(5, link),
            stored(10, on_hold()),
            stored(20, to(Status::Done)),
            stored(30, on_hold()),
        ];
        let mut events = Vec::new();
        each(
            &timeline,
            |stored| stored.event.at > Millis(5),
            |event| {
                events.push((event.place, sentence(event, &context, (None, None)), event.blocked_by.clone()));
            },
        );
        let say = |place, text: &str| (place, format!("PROJ-1 {text}"), Vec::<String>::new());
        let blocked = |place| (place, "PROJ-1 blocked: On Hold".to_owned(), vec!["OPS-4".to_owned()]);
        let expected = [
            say(0, "todo → blocked"),
            blocked(1),
            say(0, "blocked → done"),
            say(1, "unblocked: no longer On Hold"),
            say(2, "completed"),
            say(0, "done → blocked"),
            say(1, "reopened"),
            blocked(2),
        ];
        assert_eq!(events, expected);
        assert_eq!(places(&timeline).len(), 2 + events.len(), "`places` and `each` agree");
    }
}
