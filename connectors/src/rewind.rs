//! Rewinding history from the present: how a tool that keeps changes, but no first values, becomes a timeline. Pure.
//!
//! Every tool shows a task as it is now and lists what changed, each change with the value before it. So the present is taken
//! back change by change, the newest first, until the first values remain ([`Rewind::replay`]); then the changes are made again,
//! the oldest first, and each becomes a dated [`Event`] in a [`Timeline`].
//!
//! | the history | the first values | the replay ends with |
//! | --- | --- | --- |
//! | leads to the present | those before the first change | the present |
//! | is empty | the present | the present |
//! | lacks the last change of a field | those before the first change | the field's last known value |
//! | contradicts itself | those before the first change | the last value it names |
//!
//! Where the replay does not end with the present, the engine's diff adds the difference as an event marked `observed`.
//!
//! A connector says what its changes mean ([`Rewind`]) and which text names each event (the *origin*, from which its id is
//! hashed). An origin must never change: a backend would hold the same event twice.

use std::collections::BTreeSet;

use contextcore_core::config::CommentPrivacy;
use contextcore_core::model::diff;
use contextcore_core::model::{Change, Event, EventId, Facts, SmolStr, TaskKey};
use contextcore_core::{Error, ErrorKind, Millis, Result};

/// A side of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// What the changes of one task mean.
pub(crate) trait Rewind {
    /// The task at one moment, with whatever its facts follow from.
    type State: Clone;
    /// A dated change.
    type Step;

    /// The facts of a state.
    fn facts(&self, state: &Self::State) -> Facts;

    /// Takes a change back.
    fn undo(&mut self, state: &mut Self::State, step: &Self::Step);

    /// Makes a change, and writes down what it changed.
    fn redo(&mut self, state: &mut Self::State, step: &Self::Step, timeline: &mut Timeline);

    /// Rewinds `present` over the steps, which come oldest first, and makes them again. Writes the creation and every change
    /// into the timeline. Returns the state the steps lead to.
    fn replay(
        &mut self,
        present: &Self::State,
        steps: &[Self::Step],
        creator: Option<String>,
        timeline: &mut Timeline,
    ) -> Self::State {
        let mut state = present.clone();
        for step in steps.iter().rev() {
            self.undo(&mut state, step);
        }
        timeline.create(creator, self.facts(&state));
        for step in steps {
            self.redo(&mut state, step, timeline);
        }
        state
    }
}

/// When something happened, and who did it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occasion<'a> {
    pub(crate) at: Millis,
    pub(crate) actor: Option<&'a str>,
    /// The tool keeps no history of it: the time is that of the value now.
    pub(crate) observed: bool,
}

/// The dated events of one task.
#[derive(Debug)]
pub(crate) struct Timeline {
    pub(crate) key: TaskKey,
    pub(crate) created: Millis,
    events: Vec<Event>,
}

impl Timeline {
    /// An empty timeline of a task.
    pub(crate) fn new(key: TaskKey, created: Millis) -> Self {
        Self { key, created, events: Vec::new() }
    }

    /// Adds the creation, with the first values.
    pub(crate) fn create(&mut self, creator: Option<String>, facts: Facts) {
        self.push("created", self.created, creator, Change::Created(Box::new(facts)));
    }

    /// The same with a first status that the tool does not know and that is assumed: where another was seen first, that counts.
    pub(crate) fn assume(&mut self, creator: Option<String>, facts: Facts) {
        let occasion = Occasion { at: self.created, actor: creator.as_deref(), observed: true };
        self.push_on(occasion, "created", Change::Created(Box::new(facts)));
    }

    /// Adds an event that `origin` names within the task.
    pub(crate) fn push(&mut self, origin: &str, at: Millis, actor: Option<String>, change: Change) {
        let occasion = Occasion { at, actor: actor.as_deref(), observed: false };
        self.push_on(occasion, origin, change);
    }

    /// The same with everything that is known of the occasion. Nothing happens to a task before it exists.
    pub(crate) fn push_on(&mut self, occasion: Occasion<'_>, origin: &str, change: Change) {
        let Occasion { at, actor, observed } = occasion;
        let (id, at, actor) = (EventId::of(&self.key, origin), at.max(self.created), actor.map(str::to_owned));
        self.events.push(Event { id, at, actor, observed, change });
    }

    /// Adds an event for each fact that differs, under the origin that `origin` makes of the change.
    pub(crate) fn push_changes(
        &mut self,
        occasion: Occasion<'_>,
        before: &Facts,
        after: &Facts,
        origin: impl Fn(&Change) -> String,
    ) {
        for change in diff::changes(before, after) {
            self.push_on(occasion, &origin(&change), change);
        }
    }

    /// Adds a comment, with its text only where that may be kept.
    pub(crate) fn comment(
        &mut self,
        privacy: CommentPrivacy,
        id: &str,
        at: Millis,
        actor: Option<String>,
        text: impl FnOnce() -> Option<String>,
    ) {
        if privacy.is_read() {
            let text = if privacy.has_texts() { text() } else { None };
            self.push(&format!("comment:{id}"), at, actor, Change::Commented(text));
        }
    }

    /// The events, oldest first.
    pub(crate) fn into_events(mut self) -> Vec<Event> {
        self.events.sort_by_key(|event| event.at);
        self.events
    }
}

/// The entries of a history that has ids and dates, oldest first, each once (the earliest of those with one id). `what` names an
/// entry in errors. Entries of one
/// moment keep their order.
///
/// # Errors
/// [`ErrorKind::Protocol`] when an entry lacks its id or its date.
pub(crate) fn in_order<'a, T>(
    entries: impl Iterator<Item = &'a T>,
    what: &'static str,
    id: impl Fn(&'a T) -> Option<&'a str>,
    at: impl Fn(&'a T) -> Option<Millis>,
) -> Result<Vec<(Millis, &'a T)>> {
    let mut dated = Vec::new();
    for entry in entries {
        let id = id(entry).ok_or_else(|| lacks(&format!("{what} id")))?;
        dated.push((at(entry).ok_or_else(|| lacks(&format!("{what} date")).with(what, id))?, entry));
    }
    dated.sort_by_key(|(at, _)| *at);
    let mut seen = BTreeSet::new();
    dated.retain(|(_, entry)| seen.insert(id(entry)));
    Ok(dated)
}

/// The error of a record that lacks something it needs.
pub(crate) fn lacks(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, format!("the record lacks a readable {what}"))
}

/// The error of a record that cannot be parsed.
pub(crate) fn unreadable(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Protocol, format!("the record has an unexpected shape: {error}"))
}

/// The error of a record that cannot be written as JSON.
pub(crate) fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "write a record").caused_by(error)
}

/// The facts of a task of which only the key is known; without a project, the key's prefix is the project.
pub(crate) fn blank(key: &str, project: Option<&str>) -> Facts {
    Facts::unknown(key, project.unwrap_or_else(|| project_of(key)))
}

/// `PROJ` of `PROJ-123`.
pub(crate) fn project_of(key: &str) -> &str {
    key.rsplit_once('-').map_or(key, |(project, _)| project)
}

/// The date a text begins with, `YYYY-MM-DD`.
pub(crate) fn date(text: &str) -> Option<SmolStr> {
    let date = text.get(..10)?;
    date.parse::<jiff::civil::Date>().ok().map(|_| date.into())
}

/// A finite number.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use contextcore_core::model::diff::diff;
    use contextcore_core::model::observation::TaskObservation;
    use contextcore_core::model::timeline;
    use proptest::prelude::*;

    use super::*;
    use contextcore_core::model::Status;

    const CREATED: Millis = Millis(1_795_000_000_000);

    /// A change of a tool: one field, what it was and what it became.
    #[derive(Debug, Clone)]
    struct Step {
        at: Millis,
        id: usize,
        field: usize,
        before: u8,
        after: u8,
    }

    /// A tool whose tasks have a title, an estimate and a status.
    struct Tool;

    fn set(facts: &mut Facts, field: usize, value: u8) {
        match field {
            0 => facts.title = value.to_string().into(),
            1 => facts.estimate = (value > 0).then(|| value.into()),
            _ => {
                facts.native_status = value.to_string().into();
                facts.status = if value > 2 { Status::Done } else { Status::Todo };
            }
        }
    }

    impl Rewind for Tool {
        type State = Facts;
        type Step = Step;

        fn facts(&self, state: &Facts) -> Facts {
            state.clone()
        }

        fn undo(&mut self, state: &mut Facts, step: &Step) {
            set(state, step.field, step.before);
        }

        fn redo(&mut self, state: &mut Facts, step: &Step, timeline: &mut Timeline) {
            let before = state.clone();
            set(state, step.field, step.after);
            let occasion = Occasion { at: step.at, actor: Some("ada"), observed: false };
            timeline.push_changes(occasion, &before, state, |_| format!("step:{}", step.id));
        }
    }

    fn key() -> TaskKey {
        TaskKey::new("acme", "1")
    }

    fn first(values: [u8; 3]) -> Facts {
        let mut facts = blank("A-1", None);
        values.iter().enumerate().for_each(|(field, value)| set(&mut facts, field, *value));
        facts
    }

    /// A history that leads from the first values to the last, and the facts it leads to.
    fn true_history(values: [u8; 3], changes: &[(usize, u8, i64)]) -> (Vec<Step>, Facts) {
        let (mut now, mut at, mut steps) = (values, CREATED, Vec::new());
        for (id, (field, after, pass)) in changes.iter().enumerate() {
            at = at.plus(*pass);
            steps.push(Step { at, id, field: *field, before: now[*field], after: *after });
            now[*field] = *after;
        }
        (steps, first(now))
    }

    fn replayed(present: &Facts, steps: &[Step]) -> (Vec<Event>, Facts) {
        let mut timeline = Timeline::new(key(), CREATED);
        let end = Tool.replay(present, steps, None, &mut timeline);
        (timeline.into_events(), end)
    }

    /// The facts a history leads to, and the number of observed events in it.
    fn folded(history: Vec<Event>, present: &Facts) -> (Facts, usize) {
        let seen = TaskObservation {
            native_id: "1".into(),
            url: String::new(),
            reporter: None,
            updated: CREATED,
            history,
            present: present.clone(),
            blockers: Vec::new(),
        };
        let now = CREATED.plus(1_000_000);
        let record = diff(&key(), None, seen, false, 1, now).unwrap().record;
        let observed = record.timeline.iter().filter(|stored| stored.event.observed).count();
        ((*timeline::last(&record.timeline).unwrap().facts).clone(), observed)
    }

    fn values() -> impl Strategy<Value = [u8; 3]> {
        prop::array::uniform3(0..5_u8)
    }

    fn changes() -> impl Strategy<Value = Vec<(usize, u8, i64)>> {
        prop::collection::vec((0..3_usize, 0..5_u8, 0..3_i64), 0..20)
    }

    proptest! {
        #[test]
        fn rewinding_finds_the_first_values_and_replaying_gives_the_present(values in values(), changes in changes()) {
            let (steps, present) = true_history(values, &changes);
            let (events, end) = replayed(&present, &steps);
            prop_assert_eq!(&events[0].change, &Change::Created(Box::new(first(values))));
            prop_assert_eq!(&end, &present);
            prop_assert_eq!(folded(events, &present), (present, 0));
        }

        #[test]
        fn a_history_that_does_not_lead_to_the_present_is_marked(
            values in values(),
            changes in changes(),
            other in values(),
        ) {
            let (steps, led_to) = true_history(values, &changes);
            let present = first(other);
            let (events, end) = replayed(&present, &steps);
            let differs = diff::changes(&end, &present).len();
            let (last, observed) = folded(events, &present);
            prop_assert_eq!((last, observed), (present.clone(), differs));
            let changed: BTreeSet<usize> = steps.iter().map(|step| step.field).collect();
            let all = changed.len() == 3;
            prop_assert!(!all || diff::changes(&end, &led_to).is_empty(), "every field ends as its history says");
        }

        #[test]
        fn ids_are_the_same_whatever_the_present_and_no_event_precedes_creation(
            values in values(),
            changes in changes(),
            early in 0..9_i64,
        ) {
            let (mut steps, present) = true_history(values, &changes);
            let ids = |events: &[Event]| events.iter().map(|event| event.id).collect::<Vec<_>>();
            let before = ids(&replayed(&present, &steps).0);
            steps.iter_mut().for_each(|step| step.at = step.at.plus(-early));
            let (events, _) = replayed(&present, &steps);
            prop_assert_eq!(ids(&events), before);
            prop_assert!(events.iter().all(|event| event.at >= CREATED));
        }
    }

    #[test]
    fn entries_come_in_order_each_once_or_name_what_they_lack() {
        let entries = [("b", Some(2)), ("a", Some(1)), ("b", Some(2)), ("c", Some(1))];
        let sorted = |entries: &[(&'static str, Option<i64>)]| {
            let order = in_order(entries.iter(), "history", |entry| Some(entry.0), |entry| entry.1.map(Millis));
            order.map(|order| order.into_iter().map(|(_, entry)| entry.0).collect::<Vec<_>>())
        };
        assert_eq!(sorted(&entries).unwrap(), ["a", "c", "b"]);
        let error = sorted(&[("d", None)]).unwrap_err();
        assert_eq!(error.to_string(), "the record lacks a readable history date (history=d)");
    }

    #[test]
    fn texts_are_read_as_dates_and_numbers() {
        assert_eq!(date("2026-11-10T09:30:00Z").as_deref(), Some("2026-11-10"));
        assert_eq!((date("2026-13-10"), date("soon"), number("NaN"), number(" 3.5 ")), (None, None, None, Some(3.5)));
        assert_eq!((project_of("SHOP-7"), project_of("7")), ("SHOP", "7"));
    }
}
