//! Reading what belongs to many tasks a page at a time: on an engine behind a network each read is a round trip, and a hundred
//! thousand of them take longer than the interval at which metrics go out.

use std::vec::IntoIter;

use serde::de::DeserializeOwned;

use super::format;
use super::key::{Key, Kind};
use super::reader::Store;
use crate::model::error::Result;
use crate::model::totals::Rollup;
use crate::model::{TaskKey, TaskRecord};

/// Tasks that are read at once. Undecoded, they are some hundred kilobytes.
pub(crate) const TASKS_AT_ONCE: usize = 128;

impl Store {
    /// The tasks of these keys, in their order; those that are not stored are left out.
    pub fn tasks_of<K: Iterator<Item = Result<TaskKey>>>(
        &self,
        keys: K,
    ) -> impl Iterator<Item = Result<(TaskKey, TaskRecord)>> {
        TasksOf { store: self, keys, page: Vec::new().into_iter() }
    }

    /// Each of these tasks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn tasks_at(&self, tasks: &[TaskKey]) -> Result<Vec<Option<TaskRecord>>> {
        self.values_of(Kind::Task, tasks)
    }

    /// The sums over the descendants of each of these tasks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn rollups_of(&self, tasks: &[TaskKey]) -> Result<Vec<Rollup>> {
        Ok(self.values_of(Kind::Rollup, tasks)?.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// What was exported of each of these tasks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn exported_of<T: DeserializeOwned>(&self, tasks: &[TaskKey]) -> Result<Vec<Option<T>>> {
        self.values_of(Kind::Exported, tasks)
    }

    /// The part of the history trace of each of these root tasks that is being filled.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn parts_of<T: DeserializeOwned>(&self, roots: &[TaskKey]) -> Result<Vec<Option<T>>> {
        self.values_of(Kind::Part, roots)
    }

    fn values_of<T: DeserializeOwned>(&self, kind: Kind, tasks: &[TaskKey]) -> Result<Vec<Option<T>>> {
        self.kv.get_many(&keys_of(kind, tasks))?.iter().map(|bytes| decoded(bytes.as_deref())).collect()
    }
}

fn keys_of(kind: Kind, tasks: &[TaskKey]) -> Vec<Vec<u8>> {
    tasks.iter().map(|task| Key::new(kind).task(task).build()).collect()
}

fn decoded<T: DeserializeOwned>(bytes: Option<&[u8]>) -> Result<Option<T>> {
    bytes.map(format::decode).transpose()
}

/// See [`Store::tasks_of`]. A page is kept undecoded, which is a fraction of its tasks.
struct TasksOf<'a, K> {
    store: &'a Store,
    keys: K,
    page: IntoIter<(TaskKey, Vec<u8>)>,
}

impl<K: Iterator<Item = Result<TaskKey>>> TasksOf<'_, K> {
    /// Whether there was another page.
    fn next_page(&mut self) -> Result<bool> {
        let tasks = self.keys.by_ref().take(TASKS_AT_ONCE).collect::<Result<Vec<TaskKey>>>()?;
        if tasks.is_empty() {
            return Ok(false);
        }
        let found = self.store.kv.get_many(&keys_of(Kind::Task, &tasks))?;
        let found: Vec<_> = tasks.into_iter().zip(found).filter_map(|(task, bytes)| Some((task, bytes?))).collect();
        self.page = found.into_iter();
        Ok(true)
    }
}

impl<K: Iterator<Item = Result<TaskKey>>> Iterator for TasksOf<'_, K> {
    type Item = Result<(TaskKey, TaskRecord)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((task, bytes)) = self.page.next() {
                return Some(format::decode(&bytes).map(|record| (task, record)));
            }
            match self.next_page() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
