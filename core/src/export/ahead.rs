//! What a [`TimelineCache`] reads for many tasks at once, for those who ask for them next.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::exported::Exported;
use super::lineage::{self, RECORDS, SMALL_VALUES, TimelineCache};
use super::parts::Part;
use crate::lock;
use crate::model::error::Result;
use crate::model::time::Millis;
use crate::model::totals::Rollup;
use crate::model::{TaskKey, TaskRecord};
use crate::store::TASKS_AT_ONCE;

impl TimelineCache<'_> {
    /// The sums over a task's descendants.
    ///
    /// # Errors
    /// Those of reading the store.
    pub(crate) fn rollup(&self, key: &TaskKey) -> Result<Rollup> {
        if let Some(rollup) = lock(&self.rollups).get(key) {
            return Ok(*rollup);
        }
        self.store.rollup(key)
    }

    /// Reads these tasks at once, for those who ask for them next. They are [`TASKS_AT_ONCE`] at most, or would displace each other.
    ///
    /// # Errors
    /// Those of reading the store.
    pub(crate) fn read_ahead(&self, keys: &[TaskKey]) -> Result<()> {
        let unknown: Vec<TaskKey> = {
            let mut records = lock(&self.records);
            if records.len() + keys.len() > RECORDS {
                records.clear();
            }
            keys.iter().filter(|key| !records.contains_key(*key)).cloned().collect()
        };
        let stored = self.store.tasks_at(&unknown)?.into_iter().map(|record| record.map(Arc::new));
        lock(&self.records).extend(unknown.into_iter().zip(stored));
        Ok(())
    }

    /// The same of their sums.
    ///
    /// # Errors
    /// Those of reading the store.
    pub(crate) fn read_rollups_ahead(&self, keys: &[TaskKey]) -> Result<()> {
        let stored = self.store.rollups_of(keys)?;
        *lock(&self.rollups) = keys.iter().cloned().zip(stored).collect();
        Ok(())
    }

    /// The same of what was exported of them.
    ///
    /// # Errors
    /// Those of reading the store.
    pub(crate) fn read_exported_ahead(&self, keys: &[TaskKey]) -> Result<()> {
        let unknown: Vec<TaskKey> = {
            let mut exported = lock(&self.exported);
            if exported.len() + keys.len() > SMALL_VALUES {
                exported.clear();
            }
            // What is known already may be newer.
            keys.iter().filter(|key| !exported.contains_key(*key)).cloned().collect()
        };
        let stored = self.store.exported_of::<Exported>(&unknown)?.into_iter();
        lock(&self.exported).extend(unknown.into_iter().zip(stored.map(|stored| Arc::new(stored.unwrap_or_default()))));
        Ok(())
    }

    /// The same of the parts that their history traces are in. Mostly many tasks have few roots.
    ///
    /// # Errors
    /// Those of reading the store.
    pub(crate) fn read_parts_ahead(&self, keys: &[TaskKey]) -> Result<()> {
        let mut roots = BTreeSet::new();
        for key in keys {
            roots.extend(lineage::anchor(self, key, Millis(i64::MAX))?.map(|anchor| anchor.root));
        }
        let unknown: Vec<TaskKey> = {
            let mut parts = lock(&self.parts);
            if parts.len() + roots.len() > SMALL_VALUES {
                parts.clear();
            }
            roots.into_iter().filter(|root| !parts.contains_key(root)).collect()
        };
        let stored = self.store.parts_of::<Part>(&unknown)?.into_iter().map(|part| part.unwrap_or_default().number);
        lock(&self.parts).extend(unknown.into_iter().zip(stored));
        Ok(())
    }

    /// The number of the part being filled for a root.
    ///
    /// # Errors
    /// Those of reading the store.
    pub(crate) fn part(&self, root: &TaskKey) -> Result<u32> {
        if let Some(part) = lock(&self.parts).get(root) {
            return Ok(*part);
        }
        Ok(self.store.part::<Part>(root)?.unwrap_or_default().number)
    }

    /// Visits the tasks of these keys that are stored.
    ///
    /// # Errors
    /// Those of reading the store, and of the visit.
    pub(crate) fn each_record(
        &self,
        mut keys: impl Iterator<Item = Result<TaskKey>>,
        visit: &mut dyn FnMut(TaskKey, &TaskRecord) -> Result<()>,
    ) -> Result<()> {
        loop {
            let page = keys.by_ref().take(TASKS_AT_ONCE).collect::<Result<Vec<TaskKey>>>()?;
            if page.is_empty() {
                return Ok(());
            }
            self.read_ahead(&page)?;
            for key in page {
                if let Some(record) = self.record(&key)? {
                    visit(key, &record)?;
                }
            }
        }
    }
}
