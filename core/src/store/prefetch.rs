//! Reading ahead: what the work on a page of records will need is read at once, not one by one.
//!
//! Reading ahead is never needed for a right answer: what was not loaded is read when it is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::format;
use super::key::{self, Key, Kind};
use super::kv::KeyRange;
use super::rollups::MAX_DEPTH;
use super::transaction::Transaction;
use crate::model::TaskKey;
use crate::model::error::Result;

/// What to read ahead.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    tasks: BTreeSet<TaskKey>,
    keys: BTreeSet<Vec<u8>>,
    prefixes: BTreeSet<Vec<u8>>,
}

impl Wanted {
    /// A task and the sums over its descendants.
    pub(crate) fn task(&mut self, key: TaskKey) {
        self.keys.insert(Key::new(Kind::Rollup).task(&key).build());
        self.tasks.insert(key);
    }

    /// A sprint.
    pub(crate) fn sprint(&mut self, key: &TaskKey) {
        self.keys.insert(Key::new(Kind::Sprint).task(key).build());
    }

    /// A quarantined record.
    pub(crate) fn quarantined(&mut self, source: &str, native_id: &str) {
        self.keys.insert(key::quarantined(source, native_id));
    }

    /// What was reported of a task or, with `sprint`, of a sprint.
    pub(crate) fn reported(&mut self, sprint: bool, key: &TaskKey) {
        self.keys.insert(key::reported(sprint, key));
    }

    /// A small named value.
    pub(crate) fn metadata(&mut self, group: &str, name: &str) {
        self.keys.insert(key::metadata(group, name));
    }

    /// One activity stored under a name.
    pub(crate) fn pending_activity(&mut self, name: &str, source: &str, native_id: &str) {
        self.keys.insert(key::pending(name, source, native_id));
    }

    /// All activities stored under a name.
    pub(crate) fn pending(&mut self, name: &str) {
        self.prefixes.insert(Key::new(Kind::Pending).text(name).build());
    }

    /// The tasks of a name (in upper case).
    pub(crate) fn named(&mut self, name: &str) {
        self.prefixes.insert(Key::new(Kind::Name).text(name).build());
    }

    /// The tasks that the one with this id or key blocks, or once blocked.
    pub(crate) fn dependents(&mut self, source: &str, blocker: &str) {
        for blocker in [blocker, &blocker.to_uppercase()] {
            self.prefixes.insert(Key::new(Kind::Dependent).text(source).text(blocker).build());
        }
    }
}

impl Transaction<'_> {
    /// Reads what is wanted and not known yet, in at most two calls of the engine.
    pub(crate) fn load(&mut self, wanted: Wanted) -> Result<()> {
        let Wanted { mut tasks, mut keys, mut prefixes } = wanted;
        tasks.retain(|key| !self.tasks.contains_key(key) && !self.writes.contains_key(&task_key(key)));
        keys.retain(|key| !self.values.contains_key(key) && !self.writes.contains_key(key));
        prefixes.retain(|prefix| !self.listed.contains_key(prefix));
        self.load_values(tasks, keys)?;
        self.load_ranges(prefixes)
    }

    fn load_values(&mut self, tasks: BTreeSet<TaskKey>, keys: BTreeSet<Vec<u8>>) -> Result<()> {
        let all: Vec<Vec<u8>> = tasks.iter().map(task_key).chain(keys).collect();
        if all.is_empty() {
            return Ok(());
        }
        let mut values = self.store.kv.get_many(&all)?;
        let others = values.split_off(tasks.len());
        self.values.extend(all.into_iter().skip(tasks.len()).zip(others));
        for (task, bytes) in tasks.into_iter().zip(values) {
            let record = bytes.map(|bytes| format::decode(&bytes)).transpose()?;
            self.tasks.insert(task, record.map(Arc::new));
        }
        Ok(())
    }

    fn load_ranges(&mut self, prefixes: BTreeSet<Vec<u8>>) -> Result<()> {
        if prefixes.is_empty() {
            return Ok(());
        }
        let ranges: Vec<KeyRange> = prefixes.iter().cloned().map(KeyRange::prefix).collect();
        for (prefix, pairs) in prefixes.into_iter().zip(self.store.kv.range_many(&ranges)?) {
            self.listed.insert(prefix, pairs.iter().map(|(key, _)| key.clone()).collect());
            self.values.extend(pairs.into_iter().map(|(key, value)| (key, Some(value))));
        }
        Ok(())
    }

    /// Reads these tasks, all their ancestors, and the sums of each, with one call of the engine for every level. Moving the
    /// sums of a changed task needs them.
    pub(crate) fn load_lineage(&mut self, tasks: BTreeSet<TaskKey>) -> Result<()> {
        let mut known = BTreeSet::new();
        let mut level = tasks;
        for _ in 0..MAX_DEPTH {
            level.retain(|key| !known.contains(key));
            if level.is_empty() {
                break;
            }
            let mut wanted = Wanted::default();
            level.iter().cloned().for_each(|key| wanted.task(key));
            self.load(wanted)?;
            let mut parents = BTreeSet::new();
            for key in &level {
                parents.extend(self.parent(key)?);
            }
            known.append(&mut level);
            level = parents;
        }
        Ok(())
    }
}

fn task_key(key: &TaskKey) -> Vec<u8> {
    Key::new(Kind::Task).task(key).build()
}
