//! What a task leaves in the indexes: a pure function of its record. A changed task moves the indexes by the difference.

use std::collections::{BTreeMap, BTreeSet};

use super::key::{Key, Kind};
use crate::model::interval;
use crate::model::timeline::{State, TaskHistory};
use crate::model::totals::{self, Rollup, Totals};
use crate::model::{Change, SmolStr, TaskKey, TaskRecord};

/// Everything the indexes know of one task.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Footprint {
    /// Index keys that exist because of it.
    pub(crate) keys: BTreeSet<Vec<u8>>,
    /// Its parent's native id, while it is there.
    pub(crate) parent: Option<SmolStr>,
    /// The native project it is in.
    pub(crate) project: Option<SmolStr>,
    /// What it adds to each ancestor by itself.
    pub(crate) own: Rollup,
    /// What it adds to the totals of each native project.
    pub(crate) totals: BTreeMap<SmolStr, Totals>,
}

impl Footprint {
    /// The footprint of a record; that of a task that is not known is empty.
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
    let waiter = |blocker: &str| Key::new(Kind::Waiter).text(&key.source).text(blocker).text(&key.native_id);
    let waiters = blockers_ever(record).into_iter().map(|blocker| waiter(&blocker));
    std::iter::once(index).chain(child).chain(members).chain(names).chain(waiters).map(Key::build).collect()
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

/// Every task it ever waited for: by the tool's id where that is known, and by the key in upper case.
fn blockers_ever(record: &TaskRecord) -> BTreeSet<String> {
    let now = record
        .blockers
        .iter()
        .flat_map(|blocker| blocker.native_id.clone().into_iter().chain(std::iter::once(blocker.key.to_uppercase())));
    now.chain(interval::blocking_links(&record.timeline).map(|(key, ..)| key.to_uppercase())).collect()
}

/// Every key people ever said for it: an old one still finds a moved task.
pub(crate) fn names_ever(record: &TaskRecord) -> BTreeSet<&str> {
    let names = record.timeline.iter().filter_map(|stored| match &stored.event.change {
        Change::Created(facts) => Some(facts.key.as_str()),
        Change::Moved { key, .. } => Some(key.as_str()),
        _ => None,
    });
    names.collect()
}
