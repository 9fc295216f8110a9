//! The sums that a transaction keeps: totals of a project, and rollups of every ancestor of a task that changes.

use std::collections::BTreeMap;

use super::footprint::{self, Footprint};
use super::format;
use super::key::{Key, Kind};
use super::transaction::Transaction;
use crate::model::error::Result;
use crate::model::totals::{Rollup, Totals};
use crate::model::{SmolStr, TaskKey};

/// No real hierarchy is deeper. A loop of parents must end.
pub(super) const MAX_DEPTH: usize = 64;

impl Transaction<'_> {
    pub(super) fn move_totals(&mut self, source: &str, by: &BTreeMap<SmolStr, Totals>, sign: i64) {
        for (project, totals) in by {
            self.totals.entry((source.into(), project.clone())).or_default().add(totals, sign);
        }
    }

    /// Adds what a task and its descendants sum up to (or, with a `sign` of -1, subtracts it) in all its ancestors.
    pub(super) fn move_rollups(&mut self, key: &TaskKey, footprint: &Footprint, sign: i64) -> Result<()> {
        let Some(parent) = &footprint.parent else { return Ok(()) };
        let mut weight = self.rollup(key)?;
        weight.add_descendants(&footprint.own, 1);
        for (level, ancestor) in
            self.ancestors(TaskKey::new(&*key.source, parent.as_str()), key)?.into_iter().enumerate()
        {
            let mut rollup = self.rollup(&ancestor)?;
            rollup.add_descendants(&weight, sign);
            if level == 0 {
                rollup.children += sign * footprint.own.all.tasks;
                rollup.children_done += sign * footprint.own.done.tasks;
            }
            self.put(Key::new(Kind::Rollup).task(&ancestor), &rollup)?;
        }
        Ok(())
    }

    fn rollup(&self, key: &TaskKey) -> Result<Rollup> {
        Ok(self.get(&Key::new(Kind::Rollup).task(key).build())?.unwrap_or_default())
    }

    /// `from` and its ancestors as this transaction knows them, ending at the top, at `stop`, or at a loop.
    fn ancestors(&mut self, from: TaskKey, stop: &TaskKey) -> Result<Vec<TaskKey>> {
        let mut chain = Vec::new();
        let mut next = Some(from);
        while let Some(key) = next.filter(|key| key != stop && !chain.contains(key) && chain.len() < MAX_DEPTH) {
            next = self.parent(&key)?;
            chain.push(key);
        }
        Ok(chain)
    }

    pub(super) fn parent(&mut self, key: &TaskKey) -> Result<Option<TaskKey>> {
        let parent = match self.parents.get(key) {
            Some(parent) => parent.clone(),
            None => {
                let parent = self.task(key)?.and_then(|record| footprint::parent_of(&record));
                self.parents.insert(key.clone(), parent.clone());
                parent
            }
        };
        Ok(parent.map(|parent| TaskKey::new(&*key.source, parent)))
    }

    pub(super) fn write_totals(&mut self) -> Result<()> {
        let added = std::mem::take(&mut self.totals);
        if added.is_empty() {
            return Ok(());
        }
        let key = |(source, project): &(SmolStr, SmolStr)| Key::new(Kind::Totals).text(source).text(project).build();
        let keys: Vec<Vec<u8>> = added.keys().map(key).collect();
        let stored = self.store.kv.get_many(&keys)?;
        for ((key, stored), by) in keys.into_iter().zip(stored).zip(added.values()) {
            let mut totals: Totals = stored.map(|bytes| format::decode(&bytes)).transpose()?.unwrap_or_default();
            totals.add(by, 1);
            self.writes.insert(key, Some(format::encode(&totals)?));
        }
        Ok(())
    }
}
