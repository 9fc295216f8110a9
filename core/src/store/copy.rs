//! Copying a store into another one, of whatever engine: all of it or nothing, and read back before it counts as done.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::directory::Fresh;
use super::key::Kind;
use super::kv::{Batch, Guard, KeyRange, Pair};
use super::reader::Store;
use crate::lock;
use crate::model::error::{Error, ErrorKind, Result};

/// Keys and bytes written in one batch.
const KEYS_AT_ONCE: usize = 1_024;
const BYTES_AT_ONCE: usize = 4 << 20;

/// How much a store holds, or an export of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Keys of every kind.
    pub keys: u64,
    /// Tasks.
    pub tasks: u64,
    /// Sprints.
    pub sprints: u64,
    /// Insights. An export of an older version has none.
    #[serde(default)]
    pub insights: u64,
}

impl Counts {
    pub(super) fn add(&mut self, key: &[u8]) {
        self.keys += 1;
        self.tasks += u64::from(key.first() == Some(&(Kind::Task as u8)));
        self.insights += u64::from(key.first() == Some(&(Kind::Insight as u8)));
        self.sprints += u64::from(key.first() == Some(&(Kind::Sprint as u8)));
    }
}

/// Where a copy or an import goes. Either must be empty.
pub enum Destination<'a> {
    /// A directory, in which nothing need be.
    Directory(&'a Path),
    /// A store in a database, of which this process has the lease.
    Database(&'a Store),
}

impl Destination<'_> {
    /// Fills it as one step.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when something is there, or it cannot be written. It is as it was then.
    pub(super) fn fill<T>(&self, suffix: &str, bytes: u64, fill: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
        match self {
            Self::Database(store) => store.filled(fill),
            Self::Directory(path) => {
                let replaced = Store::open_if_empty(path)?;
                let fresh = Fresh::beside(path, suffix, bytes)?;
                let done = fill(&fresh.store)?;
                fresh.replace(path, replaced)?;
                Ok(done)
            }
        }
    }
}

impl Store {
    /// Copies everything, reads it back, and only then lets it count. Returns how much it was. Writers of this store wait.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the destination is not empty or cannot be written, when this store cannot be read, or when what
    /// was read back differs. The destination is as it was then.
    pub fn copy(&self, to: &Destination<'_>) -> Result<Counts> {
        let _writer = lock(&self.writer);
        to.fill("copy", self.size_on_disk()?, |fresh| {
            self.copy_to(fresh)?;
            let (counts, hash) = summed(self.everything()?)?;
            if summed(fresh.pages(KeyRange::all()))? != (counts, hash) {
                return Err(Error::new(
                    ErrorKind::Store,
                    "copy the store: what was read back differs; nothing was copied",
                ));
            }
            Ok(counts)
        })
    }

    /// Writes every key of this store into another, which is empty.
    pub(super) fn copy_to(&self, fresh: &Self) -> Result<()> {
        let (mut batch, mut bytes) = (Batch::new(), 0);
        for pair in self.everything()? {
            let (key, value) = pair?;
            bytes += key.len() + value.len();
            batch.push((key, Some(value)));
            if batch.len() >= KEYS_AT_ONCE || bytes >= BYTES_AT_ONCE {
                fresh.check_writable()?;
                fresh.kv.write_batch(std::mem::take(&mut batch), &Guard::at(fresh.head()?))?;
                bytes = 0;
            }
        }
        fresh.kv.write_batch(batch, &Guard::at(fresh.head()?))
    }
}

/// How much these are, and a hash of all of them.
fn summed(pairs: impl Iterator<Item = Result<Pair>>) -> Result<(Counts, blake3::Hash)> {
    let (mut counts, mut hash) = (Counts::default(), blake3::Hasher::new());
    for pair in pairs {
        let (key, value) = pair?;
        counts.add(&key);
        for part in [key, value] {
            hash.update(&(part.len() as u64).to_be_bytes()).update(&part);
        }
    }
    Ok((counts, hash.finalize()))
}
