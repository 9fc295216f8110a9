//! The store on disk: sled as its engine, in one tree, because sled makes only a batch on one tree atomic.
//!
//! What sled needs beside the calls of [`Kv`] is here too: it must never meet a full disk half-way through a write, it does
//! not notice every damage to its files (see [`witness`]), and its errors do not say what to do.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ::sled::{Config, Db, IVec};

use super::kv::{self, Batch, Guard, KeyRange, Kv, Pair};
use super::witness;
use crate::lock;
use crate::model::error::{Error, ErrorKind, Result};

/// Nothing is written when fewer bytes are free.
const FREE_SPACE_FLOOR: u64 = 32 << 20;
/// Bytes of memory that sled may use for pages.
const CACHE_BYTES: u64 = 8 << 20;

/// A [`Kv`] in a directory, which one process at a time may open.
pub(super) struct SledKv {
    db: Db,
    path: PathBuf,
    /// Held from the check of a guard until its batch is durable.
    writing: Mutex<()>,
}

impl SledKv {
    /// Opens the directory, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let config = Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let db = config.open().map_err(|error| open_error(path, error))?;
        let engine = Self { db, path: path.to_owned(), writing: Mutex::new(()) };
        witness::check(path, kv::head(engine.raw(&Guard::key())?.as_deref())?)?;
        Ok(engine)
    }

    fn raw(&self, key: &[u8]) -> Result<Option<IVec>> {
        self.db.get(key).map_err(read_error)
    }

    /// Bytes free where the directory is, if the system can say.
    fn free_space(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.path).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl Kv for SledKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.raw(key)?.map(|value| value.to_vec()))
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<Pair>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let to = range.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.db.range::<&[u8], _>((Bound::Included(range.from.as_slice()), to));
        // Collecting ends at the first error, which sled would otherwise repeat without end.
        found
            .take(limit)
            .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(read_error))
            .collect()
    }

    fn range_many(&self, ranges: &[KeyRange]) -> Result<Vec<Vec<Pair>>> {
        ranges.iter().map(|range| self.range(range, usize::MAX)).collect()
    }

    fn write_batch(&self, batch: Batch, guard: &Guard) -> Result<()> {
        let _writing = lock(&self.writing);
        guard.check(self.raw(&Guard::key())?.as_deref())?;
        let mut writes = ::sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        self.db.apply_batch(writes).map_err(|error| engine_error("write to the store", error))?;
        self.db.flush().map_err(|error| engine_error("flush the store", error))?;
        witness::record(&self.path, guard.next());
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        self.db.size_on_disk().map_err(|error| engine_error("measure the store", error))
    }

    fn check_writable(&self) -> Result<()> {
        match self.free_space() {
            Some(free) if free < FREE_SPACE_FLOOR => Err(Error::new(
                ErrorKind::Store,
                "write to the store: the disk is nearly full; free some space (nothing was lost, the next run continues)",
            )
            .with("path", self.path.display())
            .with("free_bytes", free)
            .with("needed_bytes", FREE_SPACE_FLOOR)),
            _ => Ok(()),
        }
    }
}

fn read_error(error: ::sled::Error) -> Error {
    engine_error("read the store", error)
}

fn engine_error(doing: &str, error: ::sled::Error) -> Error {
    let message = match &error {
        ::sled::Error::Io(_) => {
            format!("{doing}: the disk is full or failing; check it (nothing was lost, the next run continues)")
        }
        ::sled::Error::Corruption { .. } => format!("{doing}: {}", witness::DAMAGED),
        _ => doing.to_owned(),
    };
    Error::new(ErrorKind::Store, message).caused_by(error)
}

/// Says what to do about a store that cannot be opened.
fn open_error(path: &Path, error: ::sled::Error) -> Error {
    let text = error.to_string();
    let (message, locked) = match &error {
        _ if text.contains("could not acquire lock") => {
            ("open the store: another contextcore holds it; stop it, or query it through its socket", true)
        }
        ::sled::Error::Io(io) => match io.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                ("open the store: the directory cannot be written; make it writable or set store.path", false)
            }
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => (
                "open the store: the disk is full or failing; check it (nothing was lost, the next run continues)",
                false,
            ),
            std::io::ErrorKind::WouldBlock => ("open the store: another contextcore holds it; stop it", true),
            _ => ("open the store: check that store.path is a directory this user can write", false),
        },
        _ => return witness::damaged().with("path", path.display()).caused_by(error),
    };
    let error = Error::new(ErrorKind::Store, message).with("path", path.display()).caused_by(error);
    if locked { error.with("locked", "true") } else { error }
}
