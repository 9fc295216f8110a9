//! What a task contributes to the indexes: a pure function of its record. When a task changes, the indexes change by the
//! difference.

use std::collections::{BTreeMap, BTreeSet};

use super::key::{Key, Kind};
use crate::model::interval;
use crate::model::timeline::{self, State, TaskHistory};
use crate::model::totals::{self, Rollup, Totals};
use crate::model::{Change, SmolStr, TaskKey, TaskRecord};

/// Everything the indexes hold because of one task.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Footprint {
    /// Index keys that exist because of it.
    pub(crate) keys: BTreeSet<Vec<u8>>,
    /// Its parent's native id.
    pub(crate) parent: Option<SmolStr>,
    /// The native project it is in.
    pub(crate) project: Option<SmolStr>,
    /// What it adds to each ancestor by itself.
    pub(crate) own: Rollup,
    /// What it adds to the totals of each native project.
    pub(crate) totals: BTreeMap<SmolStr, Totals>,
}

impl Footprint {
    /// The footprint of a record. A task that is not stored has an empty one.
    pub(crate) fn of(key: &TaskKey, record: Option<&TaskRecord>) -> Self {
        let Some((record, life)) = record.and_then(|record| Some((record, TaskHistory::new(&record.timeline)?))) else {
            return Self::default();
        };
        let state = &life.last().state;
        Self {
            keys: index_keys(key, record, &life),
            parent: state.facts.parent.as_ref().map(|parent| parent.native_id.clone()),
            project: Some(state.facts.project.clone()),
            own: Rollup::own(state),
            totals: totals::contribution(&life),
        }
    }
}

fn index_keys(key: &TaskKey, record: &TaskRecord, life: &TaskHistory) -> BTreeSet<Vec<u8>> {
    let State { facts, deleted, .. } = &life.last().state;
    let finished = || life.finishes().pop().filter(|_| facts.status.is_finished()).map(|finish| finish.at);
    let index = match deleted.or_else(finished) {
        None => Key::new(Kind::Open).task(key),
        Some(at) => Key::new(Kind::Ended).time(at).task(key),
    };
    let child = facts
        .parent
        .as_ref()
        .map(|parent| Key::new(Kind::Child).text(&key.source).text(&parent.native_id).text(&key.native_id));
    let members = sprints_ever(record)
        .into_iter()
        .map(|sprint| Key::new(Kind::Member).text(&key.source).text(sprint).text(&key.native_id));
    let names = names_ever(record).into_iter().map(|name| Key::new(Kind::Name).text(&name.to_uppercase()).task(key));
    let dependent = |blocker: &str| Key::new(Kind::Dependent).text(&key.source).text(blocker).text(&key.native_id);
    let dependents = blockers_ever(record).into_iter().map(|blocker| dependent(&blocker));
    std::iter::once(index).chain(child).chain(members).chain(names).chain(dependents).map(Key::build).collect()
}

/// Every sprint the task was ever in.
fn sprints_ever(record: &TaskRecord) -> BTreeSet<&str> {
    let lists = record.timeline.iter().filter_map(|stored| match &stored.event.change {
        Change::Created(facts) => Some(&facts.sprints),
        Change::Sprints(sprints) => Some(sprints),
        _ => None,
    });
    lists.flatten().map(SmolStr::as_str).collect()
}

/// Every task that ever blocked it: by the tool's id where that is known, and by the key in upper case.
fn blockers_ever(record: &TaskRecord) -> BTreeSet<String> {
    let now = record
        .blockers
        .iter()
        .flat_map(|blocker| blocker.native_id.clone().into_iter().chain(std::iter::once(blocker.key.to_uppercase())));
    now.chain(interval::blocking_links(&record.timeline).map(|(key, ..)| key.to_uppercase())).collect()
}

/// A task's parent: the same as the one in its [`Footprint`], without folding the whole timeline.
pub(crate) fn parent_of(record: &TaskRecord) -> Option<SmolStr> {
    let (first, _) = timeline::first(&record.timeline)?;
    let last = record.timeline.iter().rev().find_map(|stored| match &stored.event.change {
        Change::Parent(parent) => Some(parent.as_ref()),
        _ => None,
    });
    last.unwrap_or(first.parent.as_ref()).map(|parent| parent.native_id.clone())
}

/// Every key it has or ever had: an old one still finds a moved task.
pub(crate) fn names_ever(record: &TaskRecord) -> BTreeSet<&str> {
    let names = record.timeline.iter().filter_map(|stored| match &stored.event.change {
        Change::Created(facts) => Some(facts.key.as_str()),
        Change::Moved { key, .. } => Some(key.as_str()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::{facts, record, stored};
    use crate::model::{ParentRef, Status};

    #[test]
    fn the_parent_found_without_folding_is_the_one_of_the_footprint() {
        let parent = |id: &str| Some(ParentRef { native_id: id.into(), key: None });
        let mut first = facts(Status::Todo);
        first.parent = parent("1");
        let mut timeline = vec![stored(1, Change::Created(Box::new(first)))];
        let changes = [Change::Parent(parent("2")), Change::Deleted, Change::Parent(None), Change::Parent(parent("3"))];
        for (at, change) in (2..).zip([Change::Unblocked].into_iter().chain(changes)) {
            timeline.push(stored(at, change));
            let record = record(timeline.clone());
            assert_eq!(parent_of(&record), Footprint::of(&TaskKey::new("jira", "9"), Some(&record)).parent, "at {at}");
        }
        assert_eq!(timeline.len(), 6);
    }
}
