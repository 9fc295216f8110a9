//! Compares an observation of a task with what is stored, and returns what is new. Pure.
//!
//! A dated event from the tool's history is new if its id is new. Where the present differs from what the history leads
//! to, the tool keeps no history of that field (or hides it from us): such a change is dated when we saw it and marked
//! `observed`. The present is compared with what the tool itself reported, without what was derived from artifacts and
//! links.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem;

use crate::activity;
use crate::observation::TaskObservation;
use crate::time::Millis;
use crate::timeline;
use crate::{Change, Event, EventId, Facts, SmolStr, Status, StoredEvent, TaskKey, TaskRecord};

/// What an observation changes.
#[derive(Debug, PartialEq)]
pub struct Delta {
    /// The new record of the task.
    pub record: TaskRecord,
    /// The number of new events.
    pub added: usize,
    /// The number of events dated before the creation, which were moved to it.
    pub repaired: usize,
}

/// Compares an observation with the stored record. New events get the journal number `seq`. `None` when nothing
/// changed. `derives` is true if the task's source derives status from artifacts.
pub fn diff(
    key: &TaskKey,
    known: Option<&TaskRecord>,
    observation: TaskObservation,
    derives: bool,
    seq: u64,
    now: Millis,
) -> Option<Delta> {
    let mut history = observation.history;
    let repaired = repair(&mut history);
    let gone = reports_deletion(&history);
    let (mut timeline, mut added) =
        merge(known.map(|known| known.timeline.as_slice()).unwrap_or_default(), history, seq);
    set_derivation(&mut timeline, derives);
    for event in observed(key, &timeline, &observation.present, gone, now) {
        timeline::insert(&mut timeline, StoredEvent { event, seq });
        added += 1;
    }
    let record = TaskRecord {
        url: observation.url,
        reporter: observation.reporter,
        updated: observation.updated,
        blockers: observation.blockers,
        absences: 0,
        timeline,
    };
    (known != Some(&record)).then_some(Delta { record, added, repaired })
}

/// Makes artifacts move the status, or stops them from doing so: `derive_status` may have changed since they were
/// attached.
fn set_derivation(timeline: &mut [StoredEvent], derives: bool) {
    for stored in timeline {
        if let Some(artifact) = stored.event.change.artifact() {
            stored.event.change = activity::change(artifact.clone(), derives);
        }
    }
}

/// Moves events dated before the task's creation to it. Returns how many there were.
fn repair(history: &mut [Event]) -> usize {
    let Some(created) = history.first().map(|first| first.at) else { return 0 };
    let early = history.iter_mut().filter(|event| event.at < created);
    early.map(|event| event.at = created).count()
}

/// Merges the tool's history into the stored timeline. An event already stored keeps its journal number and takes the
/// tool's newest values (a mapping may have changed). An event that the tool no longer lists stays, because it
/// happened.
fn merge(known: &[StoredEvent], history: Vec<Event>, seq: u64) -> (Vec<StoredEvent>, usize) {
    let mut timeline = known.to_vec();
    let mut history = history;
    keep_ids(known, &mut history);
    let mut added = 0;
    let kinds: HashSet<_> = history.iter().map(|event| mem::discriminant(&event.change)).collect();
    for mut event in history {
        match timeline.iter_mut().find(|stored| stored.event.id == event.id) {
            Some(stored) => {
                if let (Change::Created(old), Change::Created(new)) = (&stored.event.change, &mut event.change) {
                    keep_first_values(old, new, &known_changes(&kinds, event.observed));
                    event.observed = stored.event.observed;
                }
                stored.event = event;
            }
            None => {
                timeline::insert(&mut timeline, StoredEvent { event, seq });
                added += 1;
            }
        }
    }
    timeline.sort_by_key(timeline::order);
    (timeline, added)
}

/// The fields whose first values the tool's history knows. Those of a creation that is `observed` begin with a status that the
/// connector assumes: the one that was seen first counts.
fn known_changes(kinds: &HashSet<mem::Discriminant<Change>>, is_assumed: bool) -> HashSet<mem::Discriminant<Change>> {
    let status = mem::discriminant(&Change::Status { status: Status::Backlog, native: SmolStr::default() });
    kinds.iter().copied().filter(|kind| !is_assumed || *kind != status).collect()
}

/// Gives events the ids that they are stored under. Some tools name a change by its place among others of the same moment, and
/// give these in another order the next time: two events whose stored ids name each other's changes swap them.
fn keep_ids(known: &[StoredEvent], history: &mut [Event]) {
    let stored: HashMap<EventId, &Event> = known.iter().map(|stored| (stored.event.id, &stored.event)).collect();
    let agrees = |event: &Event| stored.get(&event.id).is_some_and(|stored| stored.change == event.change);
    let moments: HashSet<Millis> = history.iter().filter(|event| !agrees(event)).map(|event| event.at).collect();
    let of_moments = known.iter().filter(|stored| moments.contains(&stored.event.at));
    let candidates: Vec<&Event> = of_moments.map(|stored| &stored.event).collect();
    for place in 0..history.len() {
        if agrees(&history[place]) || candidates.is_empty() {
            continue;
        }
        let event = &history[place];
        let same = |stored: &&&Event| {
            stored.at == event.at && stored.change == event.change && stored.observed == event.observed
        };
        let Some(id) = candidates
            .iter()
            .filter(same)
            .map(|stored| stored.id)
            .find(|id| !history.iter().any(|other| other.id == *id && agrees(other)))
        else {
            continue;
        };
        let old = history[place].id;
        if let Some(other) = history.iter_mut().find(|other| other.id == id) {
            other.id = old;
        }
        history[place].id = id;
    }
}

/// A tool that keeps no history of a field shows today's value as its first one. So the first value we saw stays,
/// unless the tool's history has a change of that field (whose "from" is then right). Values that follow from the
/// mapping alone (common status, common type) are always taken anew.
fn keep_first_values(old: &Facts, new: &mut Facts, changed: &HashSet<mem::Discriminant<Change>>) {
    let has_history = |change: Change| changed.contains(&mem::discriminant(&change));
    let renamed = has_history(Change::Moved { key: SmolStr::default(), project: SmolStr::default() });
    if !renamed {
        new.key.clone_from(&old.key);
        new.project.clone_from(&old.project);
    }
    if !has_history(Change::Titled(SmolStr::default())) {
        new.title.clone_from(&old.title);
    }
    if !has_history(Change::Typed { task_type: old.task_type, native: SmolStr::default() })
        && new.native_type != old.native_type
    {
        new.task_type = old.task_type;
        new.native_type.clone_from(&old.native_type);
    }
    if !has_history(Change::Status { status: old.status, native: SmolStr::default() })
        && new.native_status != old.native_status
    {
        new.status = old.status;
        new.native_status.clone_from(&old.native_status);
    }
    if !has_history(Change::Blocked(None)) && !has_history(Change::Unblocked) {
        new.flag.clone_from(&old.flag);
    }
    if !has_history(Change::Assigned(None)) {
        new.assignee.clone_from(&old.assignee);
    }
    if !has_history(Change::Prioritised(None)) {
        new.priority.clone_from(&old.priority);
    }
    if !has_history(Change::Labelled(vec![])) {
        new.labels.clone_from(&old.labels);
    }
    if !has_history(Change::Estimated(None)) {
        new.estimate = old.estimate;
    }
    if !has_history(Change::Parent(None)) {
        new.parent.clone_from(&old.parent);
    }
    if !has_history(Change::Sprints(vec![])) {
        new.sprints.clone_from(&old.sprints);
    }
    if !has_history(Change::Due(None)) {
        new.due.clone_from(&old.due);
    }
}

/// Whether the tool's own history ends with a deletion: some tools go on listing what is in their bin.
fn reports_deletion(history: &[Event]) -> bool {
    let last = history.iter().rev().find(|event| matches!(event.change, Change::Deleted | Change::Restored));
    last.is_some_and(|event| event.change == Change::Deleted)
}

/// The changes that lead from the end of the timeline to what is seen now. A task that is seen again is restored,
/// unless the tool reports it as `gone`.
fn observed(key: &TaskKey, timeline: &[StoredEvent], present: &Facts, gone: bool, now: Millis) -> Vec<Event> {
    let Some(state) = timeline::reported(timeline) else { return Vec::new() };
    let last = timeline.iter().rfind(|stored| stored.event.change.is_from_tool());
    let at = last.map_or(now, |stored| stored.event.at.max(now));
    let restored = state.deleted.filter(|_| !gone).map(|_| Change::Restored);
    restored
        .into_iter()
        .chain(changes(&state.facts, present))
        .map(|change| {
            let id = EventId::of(key, &format!("observed:{}:{change:?}", at.0));
            Event { id, at, actor: None, observed: true, change }
        })
        .collect()
}

/// The changes that turn `old` into `new`: applied to `old`, they give `new`.
pub fn changes(old: &Facts, new: &Facts) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut push_if = |differs: bool, change: &dyn Fn() -> Change| {
        if differs {
            changes.push(change());
        }
    };
    push_if(old.key != new.key || old.project != new.project, &|| Change::Moved {
        key: new.key.clone(),
        project: new.project.clone(),
    });
    push_if(old.title != new.title, &|| Change::Titled(new.title.clone()));
    push_if(old.task_type != new.task_type || old.native_type != new.native_type, &|| Change::Typed {
        task_type: new.task_type,
        native: new.native_type.clone(),
    });
    push_if(old.assignee != new.assignee, &|| Change::Assigned(new.assignee.clone()));
    push_if(old.priority != new.priority, &|| Change::Prioritised(new.priority.clone()));
    push_if(set(&old.labels) != set(&new.labels), &|| Change::Labelled(new.labels.clone()));
    push_if(old.estimate != new.estimate, &|| Change::Estimated(new.estimate));
    push_if(is_other_parent(old, new), &|| Change::Parent(new.parent.clone()));
    push_if(set(&old.sprints) != set(&new.sprints), &|| Change::Sprints(new.sprints.clone()));
    push_if(old.due != new.due, &|| Change::Due(new.due.clone()));
    push_if(old.status != new.status || old.native_status != new.native_status, &|| Change::Status {
        status: new.status,
        native: new.native_status.clone(),
    });
    push_if(old.flag.is_none() && new.flag.is_some(), &|| {
        Change::Blocked(new.flag.clone().filter(|text| !text.is_empty()))
    });
    push_if(old.flag.is_some() && new.flag.is_none(), &|| Change::Unblocked);
    changes
}

/// The order in which tools list labels and sprints has no meaning.
fn set(words: &[SmolStr]) -> BTreeSet<&str> {
    words.iter().map(SmolStr::as_str).collect()
}

/// Whether the parents differ. One of which only the key is known now, because it is hidden from us, is the one that had this key.
fn is_other_parent(old: &Facts, new: &Facts) -> bool {
    match (&old.parent, &new.parent) {
        (Some(old), Some(new)) if new.key.as_ref() == Some(&new.native_id) && old.key == new.key => false,
        (old, new) => old.as_ref().map(|parent| &parent.native_id) != new.as_ref().map(|parent| &parent.native_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{facts, stored, to};

    fn key() -> TaskKey {
        TaskKey::new("jira", "1")
    }

    fn seen(history: Vec<StoredEvent>, present: Facts) -> TaskObservation {
        TaskObservation {
            native_id: "1".into(),
            url: "https://example.com/1".into(),
            reporter: None,
            updated: Millis(9),
            history: history.into_iter().map(|stored| stored.event).collect(),
            present,
            blockers: vec![],
        }
    }

    fn created(status: Status) -> StoredEvent {
        stored(1_000, Change::Created(Box::new(facts(status))))
    }

    #[test]
    fn the_same_observation_twice_changes_nothing() {
        let history = || vec![created(Status::Todo), stored(2_000, to(Status::Done))];
        let first = diff(&key(), None, seen(history(), facts(Status::Done)), false, 1, Millis(5_000)).unwrap();
        assert_eq!(first.added, 2);
        assert_eq!(
            diff(&key(), Some(&first.record), seen(history(), facts(Status::Done)), false, 2, Millis(6_000)),
            None
        );
    }

    #[test]
    fn new_events_get_the_new_journal_number_and_old_ones_keep_theirs() {
        let first = diff(&key(), None, seen(vec![created(Status::Todo)], facts(Status::Todo)), false, 1, Millis(5_000))
            .unwrap();
        let history = vec![created(Status::Todo), stored(2_000, to(Status::Done))];
        let next =
            diff(&key(), Some(&first.record), seen(history, facts(Status::Done)), false, 2, Millis(6_000)).unwrap();
        assert_eq!(next.record.timeline.iter().map(|stored| stored.seq).collect::<Vec<_>>(), vec![1, 2]);
    }

    #[test]
    fn a_field_without_history_is_observed_once_and_keeps_its_first_value() {
        let with = |estimate| Facts { estimate: Some(estimate), ..facts(Status::Todo) };
        let history = |estimate| vec![stored(1_000, Change::Created(Box::new(with(estimate))))];
        let first = diff(&key(), None, seen(history(3.0), with(3.0)), false, 1, Millis(5_000)).unwrap();
        let next = diff(&key(), Some(&first.record), seen(history(5.0), with(5.0)), false, 2, Millis(6_000)).unwrap();
        let last = next.record.timeline.last().unwrap();
        assert_eq!(
            (&last.event.change, last.event.at, last.event.observed),
            (&Change::Estimated(Some(5.0)), Millis(6_000), true)
        );
        assert_eq!(timeline::at(&next.record.timeline, Millis(5_500)).unwrap().facts.estimate, Some(3.0));
        assert_eq!(diff(&key(), Some(&next.record), seen(history(5.0), with(5.0)), false, 3, Millis(7_000)), None);
    }

    #[test]
    fn events_of_one_moment_keep_their_ids_in_whatever_order_they_are_listed() {
        let listed = |changes: [Change; 2]| {
            let events = changes.into_iter().enumerate().map(|(place, change)| {
                let id = EventId::of(&key(), &format!("7:{place}"));
                StoredEvent { event: Event { id, ..stored(2_000, change).event }, seq: 1 }
            });
            std::iter::once(created(Status::Todo)).chain(events).collect::<Vec<_>>()
        };
        let assigned = || Change::Assigned(Some("Ada".into()));
        let present = Facts { assignee: Some("Ada".into()), ..facts(Status::Done) };
        let first = seen(listed([to(Status::Done), assigned()]), present.clone());
        let first = diff(&key(), None, first, false, 1, Millis(5_000)).unwrap();
        let again = seen(listed([assigned(), to(Status::Done)]), present.clone());
        assert_eq!(diff(&key(), Some(&first.record), again, false, 2, Millis(6_000)), None);
        // A third one that comes in between takes the id that is free.
        let mut more = listed([assigned(), Change::Estimated(Some(3.0))]);
        let id = EventId::of(&key(), "7:2");
        more.push(StoredEvent { event: Event { id, ..stored(2_000, to(Status::Done)).event }, seq: 1 });
        let present = Facts { estimate: Some(3.0), ..present };
        let third = diff(&key(), Some(&first.record), seen(more, present), false, 3, Millis(7_000)).unwrap();
        assert_eq!((third.added, third.record.timeline.len()), (1, 4));
        assert_eq!(third.record.timeline[..3], first.record.timeline[..]);
    }

    #[test]
    fn an_event_before_the_creation_moves_to_it_and_is_counted() {
        let history = vec![created(Status::Todo), stored(500, to(Status::Done))];
        let delta = diff(&key(), None, seen(history, facts(Status::Done)), false, 1, Millis(5_000)).unwrap();
        assert_eq!((delta.repaired, delta.record.timeline[1].event.at), (1, Millis(1_000)));
    }

    #[test]
    fn a_task_that_is_seen_again_is_restored() {
        let mut first =
            diff(&key(), None, seen(vec![created(Status::Todo)], facts(Status::Todo)), false, 1, Millis(5_000))
                .unwrap();
        first.record.timeline.push(stored(6_000, Change::Deleted));
        let back = diff(
            &key(),
            Some(&first.record),
            seen(vec![created(Status::Todo)], facts(Status::Todo)),
            false,
            2,
            Millis(7_000),
        );
        assert_eq!(back.unwrap().record.timeline.last().unwrap().event.change, Change::Restored);
    }

    #[test]
    fn a_task_that_the_tool_lists_in_its_bin_stays_deleted() {
        let binned = || vec![created(Status::Todo), stored(6_000, Change::Deleted)];
        let first = diff(&key(), None, seen(binned(), facts(Status::Todo)), false, 1, Millis(7_000)).unwrap();
        assert_eq!(first.record.timeline.last().unwrap().event.change, Change::Deleted);
        assert_eq!(
            diff(&key(), Some(&first.record), seen(binned(), facts(Status::Todo)), false, 2, Millis(8_000)),
            None
        );
        let back = seen(vec![created(Status::Todo)], facts(Status::Todo));
        let back = diff(&key(), Some(&first.record), back, false, 3, Millis(9_000)).unwrap();
        assert_eq!(back.record.timeline.last().unwrap().event.change, Change::Restored);
    }

    #[test]
    fn a_parent_of_which_only_the_key_is_known_now_is_the_one_that_had_it() {
        let under = |id: &str, key: &str| {
            let parent = Some(crate::ParentRef { native_id: id.into(), key: Some(key.into()) });
            Facts { parent, ..facts(Status::Todo) }
        };
        let differs = |old: &Facts, new: &Facts| !changes(old, new).is_empty();
        assert!(!differs(&under("10009", "P-9"), &under("P-9", "P-9")), "it is hidden now");
        assert!(differs(&under("P-9", "P-9"), &under("10009", "P-9")), "its id is known at last");
        assert!(differs(&under("10009", "P-9"), &under("P-8", "P-8")));
        assert!(differs(&under("10009", "P-9"), &under("10010", "P-9")));
        assert!(differs(&under("10009", "P-9"), &facts(Status::Todo)));
    }

    /// Where every field has a value, and where none has.
    fn full_and_bare() -> (Facts, Facts) {
        let bare = facts(Status::Todo);
        let full = Facts {
            key: "OPS-1".into(),
            project: "OPS".into(),
            task_type: crate::TaskType::Bug,
            native_type: "Bug".into(),
            title: "Check\"out".into(),
            flag: Some("vendor".into()),
            priority: Some("high".into()),
            assignee: Some("Ada".into()),
            labels: vec!["frontend".into(), "web".into()],
            estimate: Some(5.0),
            parent: Some(crate::ParentRef { native_id: "7".into(), key: Some("PROJ-7".into()) }),
            sprints: vec!["41".into(), "42".into()],
            due: Some("2026-12-01".into()),
            ..facts(Status::InProgress)
        };
        (full, bare)
    }

    /// The texts that the ids of observed events are hashed from.
    const OBSERVED: &[&str] = &[
        "Restored",
        r#"Moved { key: "OPS-1", project: "OPS" }"#,
        r#"Titled("Check\"out")"#,
        r#"Typed { task_type: Bug, native: "Bug" }"#,
        r#"Assigned(Some("Ada"))"#,
        r#"Prioritised(Some("high"))"#,
        r#"Labelled(["frontend", "web"])"#,
        "Estimated(Some(5.0))",
        r#"Parent(Some(ParentRef { native_id: "7", key: Some("PROJ-7") }))"#,
        r#"Sprints(["41", "42"])"#,
        r#"Due(Some("2026-12-01"))"#,
        r#"Status { status: InProgress, native: "in_progress" }"#,
        r#"Blocked(Some("vendor"))"#,
    ];
    const OBSERVED_BACK: &[&str] = &[
        r#"Moved { key: "PROJ-1", project: "PROJ" }"#,
        r#"Titled("Checkout")"#,
        r#"Typed { task_type: Story, native: "Story" }"#,
        "Assigned(None)",
        "Prioritised(None)",
        "Labelled([])",
        "Estimated(None)",
        "Parent(None)",
        "Sprints([])",
        "Due(None)",
        r#"Status { status: Todo, native: "todo" }"#,
        "Unblocked",
    ];

    #[test]
    fn the_ids_of_observed_events_do_not_change_with_the_names_in_the_code() {
        let (full, bare) = full_and_bare();
        let begun = |facts: &Facts| stored(1_000, Change::Created(Box::new(facts.clone())));
        let deleted = stored(2_000, Change::Deleted);
        let runs = [(vec![begun(&bare), deleted], &full, OBSERVED), (vec![begun(&full)], &bare, OBSERVED_BACK)];
        for (timeline, present, texts) in runs {
            let ids: Vec<EventId> =
                observed(&key(), &timeline, present, false, Millis(5_000)).iter().map(|event| event.id).collect();
            let expected = texts.iter().map(|text| EventId::of(&key(), &format!("observed:5000:{text}")));
            assert_eq!(ids, expected.collect::<Vec<_>>());
        }
        assert_eq!(EventId::of(&key(), "observed:5000:Restored"), EventId(13_800_359_394_097_609_984));
        // The names of these are in the texts.
        assert_eq!(format!("{:?}", Status::ALL), "[Backlog, Todo, InProgress, InReview, Blocked, Done, Cancelled]");
        assert_eq!(format!("{:?}", crate::TaskType::ALL), "[Epic, Story, Task, Subtask, Bug, Spike, Incident]");
    }

    #[test]
    fn a_first_status_that_is_assumed_gives_way_to_the_one_that_was_seen() {
        let status = |at, status| stored(at, Change::Status { status, native: format!("{status:?}").into() });
        let named = |status: Status| Facts { native_status: format!("{status:?}").into(), ..facts(status) };
        let begun = |of: Status| stored(1_000, Change::Created(Box::new(named(of))));
        let known = vec![begun(Status::Todo)];
        for (assumed, first) in [(true, Status::Todo), (false, Status::Backlog)] {
            let mut history = vec![begun(Status::Backlog).event, status(2_000, Status::InProgress).event];
            history[0].observed = assumed;
            let (timeline, added) = merge(&known, history, 2);
            let Change::Created(facts) = &timeline[0].event.change else { panic!("{timeline:?}") };
            assert_eq!((facts.status, timeline[0].event.observed, added), (first, false, 1));
        }
    }

    /// A blocked flag without a reason.
    #[test]
    fn a_flag_without_a_reason_is_observed_without_one() {
        let present = Facts { flag: Some("".into()), ..facts(Status::Todo) };
        assert_eq!(format!("{:?}", changes(&facts(Status::Todo), &present)), "[Blocked(None)]");
    }
}
