//! The diff: what is known of a task, and what was observed, give what is new. Pure.
//!
//! Dated facts from the tool's history are new when their id is. Where the present differs from what the history leads to,
//! the tool keeps no history of that field (or hid it from us): the change is dated when we saw it and marked `observed`.
//! The present is the tool's word, so it is compared with what the tool told: what was derived from artifacts lies over it.

use std::collections::{BTreeSet, HashSet};
use std::mem;

use crate::activity;
use crate::observation::TaskObservation;
use crate::time::Millis;
use crate::timeline;
use crate::{Entry, EntryId, Facts, Kept, SmolStr, TaskKey, TaskRecord, What};

/// What an observation changes.
#[derive(Debug, PartialEq)]
pub struct Delta {
    /// The task as it is to be kept.
    pub record: TaskRecord,
    /// How many facts are new.
    pub added: usize,
    /// How many facts had a time that cannot be (before creation) and were moved to the nearest sound one.
    pub repaired: usize,
}

/// Compares an observation with what is known. New facts carry `seq`. `None` when nothing changed at all. `derives` says
/// whether the task's source derives status from artifacts.
pub fn diff(
    key: &TaskKey,
    known: Option<&TaskRecord>,
    seen: TaskObservation,
    derives: bool,
    seq: u64,
    now: Millis,
) -> Option<Delta> {
    let mut history = seen.history;
    let repaired = repair(&mut history);
    let gone = tells_deletion(&history);
    let (mut timeline, mut added) =
        merge(known.map(|known| known.timeline.as_slice()).unwrap_or_default(), history, seq);
    weigh(&mut timeline, derives);
    for entry in observed(key, &timeline, &seen.present, gone, now) {
        timeline::insert(&mut timeline, Kept { entry, seq });
        added += 1;
    }
    let record = TaskRecord {
        url: seen.url,
        reporter: seen.reporter,
        updated: seen.updated,
        blockers: seen.blockers,
        absences: 0,
        timeline,
    };
    (known != Some(&record)).then_some(Delta { record, added, repaired })
}

/// Makes artifacts evidence, or takes that from them: the setting may have changed since they were attached.
fn weigh(timeline: &mut [Kept], derives: bool) {
    for kept in timeline {
        if let Some(artifact) = kept.entry.what.artifact() {
            kept.entry.what = activity::what(artifact.clone(), derives);
        }
    }
}

/// Nothing happens to a task before it exists: earlier facts move to its creation.
fn repair(history: &mut [Entry]) -> usize {
    let Some(created) = history.first().map(|first| first.at) else { return 0 };
    let early = history.iter_mut().filter(|entry| entry.at < created);
    early.map(|entry| entry.at = created).count()
}

/// Unites what is kept with the tool's history. A fact we hold keeps its journal number and takes the tool's newest
/// wording (a mapping may have changed); what the tool no longer tells stays, because it happened.
fn merge(known: &[Kept], history: Vec<Entry>, seq: u64) -> (Vec<Kept>, usize) {
    let mut timeline = known.to_vec();
    let mut added = 0;
    let kinds: HashSet<_> = history.iter().map(|entry| mem::discriminant(&entry.what)).collect();
    for mut entry in history {
        match timeline.iter_mut().find(|kept| kept.entry.id == entry.id) {
            Some(kept) => {
                if let (What::Created(old), What::Created(new)) = (&kept.entry.what, &mut entry.what) {
                    keep_first_values(old, new, &kinds);
                }
                kept.entry = entry;
            }
            None => {
                timeline::insert(&mut timeline, Kept { entry, seq });
                added += 1;
            }
        }
    }
    timeline.sort_by_key(timeline::order);
    (timeline, added)
}

/// A tool that keeps no history of a field shows today's value as its first one. So the first value we saw ourselves
/// stays, unless the tool's history holds a change of that field (whose "from" is the truth). Words that only follow from
/// the mapping (common status, common type) are always taken anew.
fn keep_first_values(old: &Facts, new: &mut Facts, changed: &HashSet<mem::Discriminant<What>>) {
    let told = |what: What| changed.contains(&mem::discriminant(&what));
    let renamed = told(What::Moved { key: SmolStr::default(), project: SmolStr::default() });
    if !renamed {
        new.key.clone_from(&old.key);
        new.project.clone_from(&old.project);
    }
    if !told(What::Titled(SmolStr::default())) {
        new.title.clone_from(&old.title);
    }
    if !told(What::Typed { task_type: old.task_type, native: SmolStr::default() }) && new.native_type != old.native_type
    {
        new.task_type = old.task_type;
        new.native_type.clone_from(&old.native_type);
    }
    if !told(What::Status { status: old.status, native: SmolStr::default() }) && new.native_status != old.native_status
    {
        new.status = old.status;
        new.native_status.clone_from(&old.native_status);
    }
    if !told(What::Blocked(None)) && !told(What::Unblocked) {
        new.flag.clone_from(&old.flag);
    }
    if !told(What::Assigned(None)) {
        new.assignee.clone_from(&old.assignee);
    }
    if !told(What::Prioritised(None)) {
        new.priority.clone_from(&old.priority);
    }
    if !told(What::Labelled(vec![])) {
        new.labels.clone_from(&old.labels);
    }
    if !told(What::Estimated(None)) {
        new.estimate = old.estimate;
    }
    if !told(What::Parent(None)) {
        new.parent.clone_from(&old.parent);
    }
    if !told(What::Sprints(vec![])) {
        new.sprints.clone_from(&old.sprints);
    }
    if !told(What::Due(None)) {
        new.due.clone_from(&old.due);
    }
}

/// Whether the tool itself tells that the task is gone: some keep showing what lies in their bin.
fn tells_deletion(history: &[Entry]) -> bool {
    let fate = history.iter().rev().find(|entry| matches!(entry.what, What::Deleted | What::Restored));
    fate.is_some_and(|entry| entry.what == What::Deleted)
}

/// The changes that lead from where the timeline ends to what is seen now. What is seen again has come back, unless the tool
/// says it is `gone`.
fn observed(key: &TaskKey, timeline: &[Kept], present: &Facts, gone: bool, now: Millis) -> Vec<Entry> {
    let Some(state) = timeline::told(timeline) else { return Vec::new() };
    let last = timeline.iter().rfind(|kept| kept.entry.what.is_told());
    let at = last.map_or(now, |kept| kept.entry.at.max(now));
    let restored = state.deleted.filter(|_| !gone).map(|_| What::Restored);
    restored
        .into_iter()
        .chain(changes(&state.facts, present))
        .map(|what| {
            let id = EntryId::of(key, &format!("observed:{}:{what:?}", at.0));
            Entry { id, at, actor: None, observed: true, what }
        })
        .collect()
}

/// The facts that turn `old` into `new`: applied to `old`, they give `new`.
pub fn changes(old: &Facts, new: &Facts) -> Vec<What> {
    let mut changes = Vec::new();
    let mut note = |differs: bool, what: &dyn Fn() -> What| {
        if differs {
            changes.push(what());
        }
    };
    note(old.key != new.key || old.project != new.project, &|| What::Moved {
        key: new.key.clone(),
        project: new.project.clone(),
    });
    note(old.title != new.title, &|| What::Titled(new.title.clone()));
    note(old.task_type != new.task_type || old.native_type != new.native_type, &|| What::Typed {
        task_type: new.task_type,
        native: new.native_type.clone(),
    });
    note(old.assignee != new.assignee, &|| What::Assigned(new.assignee.clone()));
    note(old.priority != new.priority, &|| What::Prioritised(new.priority.clone()));
    note(set(&old.labels) != set(&new.labels), &|| What::Labelled(new.labels.clone()));
    note(old.estimate != new.estimate, &|| What::Estimated(new.estimate));
    note(parent_id(old) != parent_id(new), &|| What::Parent(new.parent.clone()));
    note(set(&old.sprints) != set(&new.sprints), &|| What::Sprints(new.sprints.clone()));
    note(old.due != new.due, &|| What::Due(new.due.clone()));
    note(old.status != new.status || old.native_status != new.native_status, &|| What::Status {
        status: new.status,
        native: new.native_status.clone(),
    });
    note(old.flag.is_none() && new.flag.is_some(), &|| What::Blocked(new.flag.clone().filter(|text| !text.is_empty())));
    note(old.flag.is_some() && new.flag.is_none(), &|| What::Unblocked);
    changes
}

/// Tools list labels and sprints in an order that means nothing.
fn set(words: &[SmolStr]) -> BTreeSet<&str> {
    words.iter().map(SmolStr::as_str).collect()
}

fn parent_id(facts: &Facts) -> Option<&str> {
    facts.parent.as_ref().map(|parent| parent.native_id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;
    use crate::samples::{facts, kept, to};

    fn key() -> TaskKey {
        TaskKey::new("jira", "1")
    }

    fn seen(history: Vec<Kept>, present: Facts) -> TaskObservation {
        TaskObservation {
            native_id: "1".into(),
            url: "https://example.com/1".into(),
            reporter: None,
            updated: Millis(9),
            history: history.into_iter().map(|kept| kept.entry).collect(),
            present,
            blockers: vec![],
        }
    }

    fn created(status: Status) -> Kept {
        kept(1_000, What::Created(Box::new(facts(status))))
    }

    #[test]
    fn the_same_observation_twice_changes_nothing() {
        let history = || vec![created(Status::Todo), kept(2_000, to(Status::Done))];
        let first = diff(&key(), None, seen(history(), facts(Status::Done)), false, 1, Millis(5_000)).unwrap();
        assert_eq!(first.added, 2);
        assert_eq!(
            diff(&key(), Some(&first.record), seen(history(), facts(Status::Done)), false, 2, Millis(6_000)),
            None
        );
    }

    #[test]
    fn a_new_fact_carries_the_new_number_and_old_ones_keep_theirs() {
        let first = diff(&key(), None, seen(vec![created(Status::Todo)], facts(Status::Todo)), false, 1, Millis(5_000))
            .unwrap();
        let history = vec![created(Status::Todo), kept(2_000, to(Status::Done))];
        let next =
            diff(&key(), Some(&first.record), seen(history, facts(Status::Done)), false, 2, Millis(6_000)).unwrap();
        assert_eq!(next.record.timeline.iter().map(|kept| kept.seq).collect::<Vec<_>>(), vec![1, 2]);
    }

    #[test]
    fn a_field_without_history_is_observed_once_and_its_first_value_stays() {
        let with = |estimate| Facts { estimate: Some(estimate), ..facts(Status::Todo) };
        let history = |estimate| vec![kept(1_000, What::Created(Box::new(with(estimate))))];
        let first = diff(&key(), None, seen(history(3.0), with(3.0)), false, 1, Millis(5_000)).unwrap();
        let next = diff(&key(), Some(&first.record), seen(history(5.0), with(5.0)), false, 2, Millis(6_000)).unwrap();
        let last = next.record.timeline.last().unwrap();
        assert_eq!(
            (&last.entry.what, last.entry.at, last.entry.observed),
            (&What::Estimated(Some(5.0)), Millis(6_000), true)
        );
        assert_eq!(timeline::at(&next.record.timeline, Millis(5_500)).unwrap().facts.estimate, Some(3.0));
        assert_eq!(diff(&key(), Some(&next.record), seen(history(5.0), with(5.0)), false, 3, Millis(7_000)), None);
    }

    #[test]
    fn a_fact_from_before_creation_moves_to_it_and_is_counted() {
        let history = vec![created(Status::Todo), kept(500, to(Status::Done))];
        let delta = diff(&key(), None, seen(history, facts(Status::Done)), false, 1, Millis(5_000)).unwrap();
        assert_eq!((delta.repaired, delta.record.timeline[1].entry.at), (1, Millis(1_000)));
    }

    #[test]
    fn a_task_that_comes_back_is_restored() {
        let mut first =
            diff(&key(), None, seen(vec![created(Status::Todo)], facts(Status::Todo)), false, 1, Millis(5_000))
                .unwrap();
        first.record.timeline.push(kept(6_000, What::Deleted));
        let back = diff(
            &key(),
            Some(&first.record),
            seen(vec![created(Status::Todo)], facts(Status::Todo)),
            false,
            2,
            Millis(7_000),
        );
        assert_eq!(back.unwrap().record.timeline.last().unwrap().entry.what, What::Restored);
    }

    #[test]
    fn what_the_tool_shows_in_its_bin_stays_deleted() {
        let binned = || vec![created(Status::Todo), kept(6_000, What::Deleted)];
        let first = diff(&key(), None, seen(binned(), facts(Status::Todo)), false, 1, Millis(7_000)).unwrap();
        assert_eq!(first.record.timeline.last().unwrap().entry.what, What::Deleted);
        assert_eq!(
            diff(&key(), Some(&first.record), seen(binned(), facts(Status::Todo)), false, 2, Millis(8_000)),
            None
        );
        let back = seen(vec![created(Status::Todo)], facts(Status::Todo));
        let back = diff(&key(), Some(&first.record), back, false, 3, Millis(9_000)).unwrap();
        assert_eq!(back.record.timeline.last().unwrap().entry.what, What::Restored);
    }
}
