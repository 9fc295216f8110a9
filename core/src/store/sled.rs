//! The store on disk: sled as its engine, in one tree, because sled makes only a batch on one tree atomic.
//!
//! What sled needs beside the calls of [`Kv`] is here too: it must never meet a full disk half-way through a write, it does
//! not notice every damage to its files (see [`witness`]), it panics over some (see `guarded` below), and its errors do not say
//! what to do.

use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, mpsc};
use std::time::Duration;

use ::sled::{Config, Db, IVec};
use tempfile::TempDir;

use super::kv::{self, Batch, Guard, KeyRange, Kv, Pair};
use super::{files, witness};
use crate::lock;
use crate::model::error::{Error, ErrorKind, Result};

/// Bytes of memory that sled may use for pages, as they are in the log; unpacked they take some four times as much.
const CACHE_BYTES: u64 = 8 << 20;
/// The same for a copy, of which each part is mostly read once.
const COPY_CACHE_BYTES: u64 = 2 << 20;

/// A [`Kv`] in a directory, which one process at a time may open.
pub(super) struct SledKv {
    /// There until it is dropped.
    db: Option<Db>,
    path: PathBuf,
    /// Held from the check of a guard until its batch is durable.
    writing: Mutex<()>,
    /// It panicked once, so what it holds in memory is not to be trusted.
    broken: AtomicBool,
    /// The directory of a copy whose files are still needed.
    scratch: Option<TempDir>,
}

impl SledKv {
    /// Opens the directory, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        files::make(path)?;
        files::check_room(path, 0)?;
        let lock = files::lock(path)?;
        files::check(path)?;
        files::remove_unfinished(path)?;
        if files::is_shorter(path) {
            // The engine would clear what it cannot read. A copy shows whether it can.
            Self::copied(path)?;
        }
        drop(lock);
        let engine = Self::at(path, path).or_else(|error| Self::without_snapshots(path, error))?;
        files::protect(path);
        Ok(engine)
    }

    /// Opens a store that cannot be opened, if that is because of its snapshots: they repeat what the log has.
    fn without_snapshots(path: &Path, error: Error) -> Result<Self> {
        if error.context("locked").is_some() || !Self::copy_at(path, false).is_ok_and(|copy| copy.is_readable()) {
            return Err(error);
        }
        tracing::warn!(path = %path.display(), "the store's snapshot is damaged; making it again from the log");
        files::remove_snapshots(path)?;
        Self::at(path, path)
    }

    /// Whether every value can be read.
    fn is_readable(&self) -> bool {
        self.guarded(READ, |db| db.iter().try_for_each(|pair| pair.map(drop))).is_ok()
    }

    /// Opens a copy of the directory, so that nothing in it changes: the engine writes whenever it opens. Where there is no
    /// room for a copy, opens the directory itself.
    pub(super) fn open_to_read(path: &Path) -> Result<Self> {
        let lock = files::lock(path)?;
        files::check(path)?;
        match Self::copied(path) {
            Err(error) if error.context(NO_ROOM).is_some() => {
                tracing::debug!(error = %error.full(), "no room for a copy of the store; reading it in place");
                drop(lock);
                Self::open(path)
            }
            opened => opened,
        }
    }

    /// Opens a copy of a directory whose lock the caller holds.
    fn copied(path: &Path) -> Result<Self> {
        Self::copy_at(path, true).or_else(|error| match error.context(NO_ROOM) {
            Some(_) => Err(error),
            None => Self::copy_at(path, false).ok().filter(Self::is_readable).ok_or(error),
        })
    }

    fn copy_at(path: &Path, snapshots: bool) -> Result<Self> {
        let scratch = scratch(path)?;
        if !snapshots {
            files::remove_snapshots(scratch.path())?;
        }
        let mut engine = Self::at(scratch.path(), path)?;
        // Opening made a snapshot of what the log has. One that was made earlier and knows more saw what was lost since. Where there
        // is a witness, it has been asked already, and knows better.
        let is_older = || files::newest_snapshot(scratch.path()) < files::newest_snapshot(path);
        if !snapshots && witness::read(path).is_none() && is_older() {
            return Err(witness::damaged().with("path", path.display()).with("found", "a log older than its snapshot"));
        }
        // An open file outlives its directory, so a process that is killed leaves no copy behind. Blobs are opened later.
        engine.scratch = files::has_blobs(scratch.path()).then_some(scratch);
        Ok(engine)
    }

    /// Opens the files at `place`; `path` is the store that they are, or were copied from.
    fn at(place: &Path, path: &Path) -> Result<Self> {
        let was_used = files::was_used(path);
        let cache = if place == path { CACHE_BYTES } else { COPY_CACHE_BYTES };
        let config = Config::new().path(place).cache_capacity(cache).flush_every_ms(None);
        let opened = caught(|| config.open()).map_err(|panicked| panicked.into_error(path, "open the store"))?;
        let db = opened.map_err(|error| open_error(path, error))?;
        let engine = Self {
            db: Some(db),
            path: path.to_owned(),
            writing: Mutex::default(),
            broken: AtomicBool::default(),
            scratch: None,
        };
        if was_used && engine.guarded(READ, |db| Ok(db.is_empty()))? {
            return Err(witness::damaged().with("path", path.display()).with("found", "an empty log"));
        }
        let head = kv::head(engine.raw(&Guard::key())?.as_deref());
        witness::check(path, head.map_err(|error| witness::damaged().with("path", path.display()).caused_by(error))?)?;
        Ok(engine)
    }

    /// Calls the engine. A panic of it becomes an error, now and in every later call.
    fn guarded<T>(&self, doing: &'static str, work: impl FnOnce(&Db) -> ::sled::Result<T>) -> Result<T> {
        let Some(db) = self.db.as_ref().filter(|_| !self.broken.load(Ordering::Relaxed)) else {
            return Err(Panicked.into_error(&self.path, doing));
        };
        match caught(|| work(db)) {
            Ok(done) => done.map_err(|error| engine_error(doing, error)),
            Err(panicked) => {
                self.broken.store(true, Ordering::Relaxed);
                Err(panicked.into_error(&self.path, doing))
            }
        }
    }

    fn raw(&self, key: &[u8]) -> Result<Option<IVec>> {
        self.guarded(READ, |db| db.get(key))
    }
}

impl Drop for SledKv {
    /// Closing writes what is left, and so can panic as well.
    fn drop(&mut self) {
        let db = self.db.take();
        if caught(|| drop(db)).is_err() {
            tracing::warn!(path = %self.path.display(), "the store was not closed cleanly");
        }
    }
}

const READ: &str = "read the store";

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
        // Collecting ends at the first error, which sled would otherwise repeat without end.
        self.guarded(READ, |db| {
            let found = db.range::<&[u8], _>((Bound::Included(range.from.as_slice()), to));
            found.take(limit).map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
        })
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
        self.guarded("write to the store", |db| db.apply_batch(writes))?;
        self.guarded("flush the store", flushed)?;
        witness::record(&self.path, guard.next(), files::log_length(&self.path));
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        files::size(&self.path).map_err(|error| Error::new(ErrorKind::Store, "measure the store").caused_by(error))
    }

    fn check_writable(&self) -> Result<()> {
        files::check_room(&self.path, 0)
    }
}

/// Marks the error of a copy for which there is no room.
const NO_ROOM: &str = "no_room";

/// A copy of a store in a directory for temporary files that has room for it: in memory where that is, because the engine syncs
/// what it opens.
fn scratch(path: &Path) -> Result<TempDir> {
    let failed = |error: io::Error| {
        Error::new(ErrorKind::Store, "copy the store to read it").with(NO_ROOM, "true").caused_by(error)
    };
    let bytes = files::size(path).map_err(failed)?;
    let mut last = io::Error::from(io::ErrorKind::StorageFull);
    for place in [PathBuf::from("/dev/shm"), std::env::temp_dir()] {
        if files::free_space(&place).is_none_or(|free| free / 2 < bytes) {
            continue;
        }
        let made = tempfile::Builder::new().prefix("contextcore-").tempdir_in(place);
        match made.and_then(|scratch| files::copy(path, scratch.path()).map(|()| scratch)) {
            Ok(scratch) => return Ok(scratch),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// The engine panicked.
struct Panicked;

impl Panicked {
    fn into_error(self, path: &Path, doing: &str) -> Error {
        // A write that fails for want of space can panic as well.
        if let Err(full) = files::check_room(path, 0) {
            return full;
        }
        Error::new(ErrorKind::Store, format!("{doing}: {}", witness::DAMAGED)).with("path", path.display())
    }
}

/// Runs the engine's code, which panics over some damage. Its panics are not printed: the error says what a person can do.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            match panic.location().is_some_and(|location| location.file().contains("/sled-")) {
                true => tracing::debug!("the storage engine: {panic}"),
                false => print(panic),
            }
        }));
    });
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// How long a flush may take before another one asks why.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often that is asked, after twice the time each.
const QUESTIONS: u32 = 6;

/// Flushes. After a write that failed, the engine can wait without end for what will never be on disk, while a second flush gets
/// the error at once and wakes the first. So flushes run in threads of their own; on a slow disk the first of them is waited for.
fn flushed(db: &Db) -> ::sled::Result<usize> {
    let (sender, done) = mpsc::channel();
    for question in 0..=QUESTIONS {
        let (tree, sender) = (::sled::Tree::clone(db), sender.clone());
        std::thread::spawn(move || sender.send(caught(|| tree.flush())));
        match done.recv_timeout(PATIENCE * 2_u32.pow(question)) {
            Ok(Ok(flushed)) => return flushed,
            Ok(Err(_)) => std::panic::resume_unwind(Box::new("a flush panicked")),
            Err(_) => {}
        }
    }
    Err(::sled::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the disk does not confirm what was written")))
}

fn engine_error(doing: &str, error: ::sled::Error) -> Error {
    let message = match &error {
        ::sled::Error::Io(io) if !is_torn(io) => format!("{doing}: {}", files::FULL),
        ::sled::Error::Io(_) | ::sled::Error::Corruption { .. } => format!("{doing}: {}", witness::DAMAGED),
        _ => doing.to_owned(),
    };
    Error::new(ErrorKind::Store, message).caused_by(error)
}

/// Whether a read failed because of what is, or is not, in the file.
fn is_torn(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, NotFound, Other, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | InvalidData | InvalidInput | NotFound | Other)
}

/// Says what to do about a store that cannot be opened.
fn open_error(path: &Path, error: ::sled::Error) -> Error {
    match error {
        ::sled::Error::Io(io) if io.to_string().contains("could not acquire lock") => files::locked(path),
        ::sled::Error::Io(io) if !is_torn(&io) => files::unusable(path, io),
        error => witness::damaged().with("path", path.display()).caused_by(error),
    }
}
