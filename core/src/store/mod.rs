//! The store: where we are, what is known, and what the backends have not been told yet. One sled tree, one writer.
//!
//! [`Store`] reads; [`Transaction`] writes. A transaction gathers changed tasks, their journal items, indexes, sums and the
//! cursor that covers them, and becomes durable as one atomic batch followed by an fsync: progress never moves without its
//! data. *Cursor* means how far we have heard from a tool; *position*, how far a backend has been told. Keys are made in
//! [`key`], bytes in [`mod@format`], indexes in [`footprint`].

pub(crate) mod footprint;
mod format;
pub(crate) mod key;
mod maintenance;
mod transaction;
mod witness;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::maintenance::Verified;
pub use self::transaction::Transaction;

use self::key::{Key, Kind};
use crate::export::otlp::Signal;
use crate::ingest::connector::Cursor;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::time::Millis;
use crate::model::totals::{Rollup, Totals};
use crate::model::{SmolStr, SprintRecord, TaskKey, TaskRecord};

/// We refuse to write when less is free: sled must never meet a full disk half-way.
const FREE_SPACE_FLOOR: u64 = 32 << 20;
/// Memory sled may use for pages.
const CACHE_BYTES: u64 = 8 << 20;

/// One thing that changed, as the journal lists it. What exactly is in the record, under the same journal number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Item {
    /// A task has new facts.
    Task(TaskKey),
    /// A sprint started or closed.
    Sprint(TaskKey),
}

/// How far one signal's backend has been told of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Everything up to this journal number was acknowledged.
    pub done: u64,
    /// The journal number the work under way goes up to; its order is fixed, so that it can go on where it stopped.
    pub upto: Option<u64>,
    /// How much of that work was acknowledged, in the work's own order.
    pub after: Option<Vec<u8>>,
}

/// A record that could not be understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The source.
    pub source: String,
    /// The tool's id, as far as it could be read.
    pub native_id: String,
    /// Why.
    pub reason: String,
    /// When it was last seen.
    pub at: Millis,
    /// The record, cut at 16 KiB.
    pub json: String,
}

/// Something a backend refused for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Which signal.
    pub signal: String,
    /// The backend's words.
    pub reason: String,
    /// What to do about it, if we know.
    pub hint: Option<String>,
    /// How many spans, records or points.
    pub items: u64,
    /// When.
    pub at: Millis,
}

/// What is remembered of a source's runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// When a run last began.
    pub last_attempt: Option<Millis>,
    /// When a run last ended well.
    pub last_success: Option<Millis>,
    /// Everything that happened until then was heard: when the last run that read its changes to the end began.
    #[serde(default)]
    pub heard: Option<Millis>,
    /// When a complete pass (which finds deletions) last ended well.
    pub last_complete: Option<Millis>,
    /// The last error, cleared by the next success.
    pub last_error: Option<String>,
    /// Its kind.
    pub last_error_kind: Option<ErrorKind>,
    /// Runs failed in a row.
    pub failures: u64,
    /// How long the last run took, in seconds.
    #[serde(default)]
    pub last_duration: Option<f64>,
    /// Requests left by the tool's own count, when it tells.
    #[serde(default)]
    pub rate_limit_remaining: Option<u64>,
    /// How many tasks the tool itself counted when last asked.
    pub tool_count: Option<u64>,
    /// Hash of the settings the cursors were made with; other settings read everything again.
    pub settings: u64,
    /// The number of the newest complete pass.
    pub pass: u64,
    /// Totals over all runs, for the counters of our own metrics.
    pub counters: Counters,
}

/// Running totals of a source's runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Requests sent.
    pub requests: u64,
    /// Records read.
    pub records: u64,
    /// Facts that were new.
    pub changes: u64,
    /// BlockedByLinks for a rate limit.
    pub waits: u64,
    /// Errors by kind.
    pub errors: std::collections::BTreeMap<String, u64>,
}

/// The store of one installation. Cheap to share by reference; one process at a time.
pub struct Store {
    db: sled::Db,
    path: PathBuf,
    writer: Mutex<()>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store, making it if it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when another process holds it (context `locked`), the disk is read-only or full, the data is
    /// damaged, or a newer version wrote it. Each says what to do.
    pub fn open(path: &Path) -> Result<Self> {
        maintenance::take_back(path)?;
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let db = config.open().map_err(|error| open_error(path, error))?;
        let store = Self { db, path: path.to_owned(), writer: Mutex::new(()) };
        witness::check(path, store.head()?)?;
        store.check_format()?;
        Ok(store)
    }

    fn check_format(&self) -> Result<()> {
        let key = Key::new(Kind::Meta).text("format").build();
        match self.raw(&key)?.as_deref() {
            Some([version, ..]) if *version > format::VERSION => Err(format::newer(*version)),
            Some(_) => Ok(()),
            None => {
                self.db.insert(key, &[format::VERSION]).map_err(|error| store_error("write to the store", error))?;
                Ok(())
            }
        }
    }

    /// The directory it lives in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes it takes on disk.
    pub fn size_on_disk(&self) -> Result<u64> {
        self.db.size_on_disk().map_err(|error| store_error("measure the store", error))
    }

    /// Starts a transaction; the next one waits until this is committed or dropped.
    ///
    /// # Errors
    /// When the disk is nearly full: nothing is begun that could not be finished.
    pub fn begin(&self) -> Result<Transaction<'_>> {
        self.check_space()?;
        let guard = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Transaction::new(self, guard)
    }

    /// Whether a transaction could be begun now; waits for nobody.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub fn check_writable(&self) -> Result<()> {
        self.check_space()
    }

    fn check_space(&self) -> Result<()> {
        match free_space(&self.path) {
            Some(free) if free < FREE_SPACE_FLOOR => Err(Error::new(
                ErrorKind::Store,
                "write to the store: the disk is nearly full; free some space (nothing was lost, the next run goes on)",
            )
            .with("path", self.path.display())
            .with("free_bytes", free)
            .with("needed_bytes", FREE_SPACE_FLOOR)),
            _ => Ok(()),
        }
    }

    fn raw(&self, key: &[u8]) -> Result<Option<sled::IVec>> {
        self.db.get(key).map_err(|error| store_error("read the store", error))
    }

    fn value<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>> {
        self.raw(key)?.map(|bytes| format::decode(&bytes)).transpose()
    }

    fn json<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>> {
        let parse = |bytes: sled::IVec| {
            serde_json::from_slice(&bytes)
                .map_err(|error| Error::new(ErrorKind::Store, "read the store: a value is damaged").caused_by(error))
        };
        self.raw(key)?.map(parse).transpose()
    }

    fn scan(&self, prefix: Vec<u8>) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec)>> + use<> {
        readable(self.db.scan_prefix(prefix))
    }

    fn scan_tasks(&self, prefix: Key) -> impl Iterator<Item = Result<TaskKey>> + use<> {
        self.scan(prefix.build()).filter_map(|item| item.map(|(key, _)| key::task_of(&key, 1)).transpose())
    }

    /// A task.
    pub fn task(&self, key: &TaskKey) -> Result<Option<TaskRecord>> {
        self.value(&Key::new(Kind::Task).task(key).build())
    }

    /// Every value of a kind that is kept per task-like key, of one source or of all.
    fn all<T: DeserializeOwned>(
        &self,
        kind: Kind,
        source: Option<&str>,
    ) -> impl Iterator<Item = Result<(TaskKey, T)>> + use<T> {
        let prefix = source.into_iter().fold(Key::new(kind), Key::text).build();
        self.scan(prefix).filter_map(|item| match item {
            Ok((key, bytes)) => {
                let at = key::task_of(&key, 1)?;
                Some(format::decode(&bytes).map(|value| (at, value)))
            }
            Err(error) => Some(Err(error)),
        })
    }

    /// All tasks of one source, or of all.
    pub fn tasks(&self, source: Option<&str>) -> impl Iterator<Item = Result<(TaskKey, TaskRecord)>> + use<> {
        self.all(Kind::Task, source)
    }

    /// The keys of all tasks of a source, without reading them.
    pub fn task_keys(&self, source: Option<&str>) -> impl Iterator<Item = Result<TaskKey>> + use<> {
        self.scan_tasks(source.into_iter().fold(Key::new(Kind::Task), Key::text))
    }

    /// The keys of tasks neither finished nor vanished.
    pub fn open_tasks(&self, source: Option<&str>) -> impl Iterator<Item = Result<TaskKey>> + use<> {
        self.scan_tasks(source.into_iter().fold(Key::new(Kind::Open), Key::text))
    }

    /// The keys of tasks that were finished or vanished at `since` or later, oldest first.
    pub fn ended_since(&self, since: Millis) -> impl Iterator<Item = Result<TaskKey>> + use<> {
        let from = Key::new(Kind::Ended).time(since).build();
        let upto = vec![Kind::Ended as u8 + 1];
        readable(self.db.range(from..upto)).filter_map(|item| item.map(|(key, _)| key::task_of(&key, 9)).transpose())
    }

    /// The direct children of a task.
    pub fn children(&self, key: &TaskKey) -> impl Iterator<Item = Result<TaskKey>> + use<> {
        let source = key.source.clone();
        self.last_parts(Key::new(Kind::Child).task(key)).map(move |native| Ok(TaskKey::new(&*source, native?)))
    }

    /// The tasks that were ever in a sprint.
    pub fn members(&self, sprint: &TaskKey) -> impl Iterator<Item = Result<TaskKey>> + use<> {
        let source = sprint.source.clone();
        self.last_parts(Key::new(Kind::Member).task(sprint)).map(move |native| Ok(TaskKey::new(&*source, native?)))
    }

    fn last_parts(&self, prefix: Key) -> impl Iterator<Item = Result<String>> + use<> {
        self.scan(prefix.build()).filter_map(|item| item.map(|(key, _)| key::texts(&key, 1).pop()).transpose())
    }

    /// The tasks that are, or ever were, called `name` (`PROJ-123`, any case). Two sources may hold the same key.
    pub fn named(&self, name: &str) -> Result<Vec<TaskKey>> {
        let prefix = Key::new(Kind::Name).text(&name.to_uppercase());
        self.scan_tasks(prefix).collect()
    }

    /// The sums over a task's descendants.
    pub fn rollup(&self, key: &TaskKey) -> Result<Rollup> {
        Ok(self.value(&Key::new(Kind::Rollup).task(key).build())?.unwrap_or_default())
    }

    /// The running totals of every native project: source, project, totals.
    pub fn totals(&self) -> Result<Vec<(SmolStr, SmolStr, Totals)>> {
        self.all(Kind::Totals, None).map(|item| item.map(|(at, totals)| (at.source, at.native_id, totals))).collect()
    }

    /// The newest journal number of a change in every native project: source, project, number.
    pub fn changed(&self) -> Result<Vec<(SmolStr, SmolStr, u64)>> {
        self.all(Kind::Changed, None).map(|item| item.map(|(at, seq)| (at.source, at.native_id, seq))).collect()
    }

    /// A sprint.
    pub fn sprint(&self, key: &TaskKey) -> Result<Option<SprintRecord>> {
        self.value(&Key::new(Kind::Sprint).task(key).build())
    }

    /// All sprints of one source, or of all.
    pub fn sprints(&self, source: Option<&str>) -> Result<Vec<(TaskKey, SprintRecord)>> {
        self.all(Kind::Sprint, source).collect()
    }

    /// Where a stream stands.
    pub fn cursor(&self, source: &str, stream: &str) -> Result<Option<Cursor>> {
        self.json(&Key::new(Kind::Cursor).text(source).text(stream).build())
    }

    /// What is remembered of a source's runs.
    pub fn source_status(&self, source: &str) -> Result<SourceStatus> {
        Ok(self.json(&Key::new(Kind::Meta).text("source").text(source).build())?.unwrap_or_default())
    }

    /// The journal number up to which a source's sweeps are complete: nothing above is shown to a backend yet.
    pub fn sealed(&self, source: &str) -> Result<u64> {
        Ok(self.value(&Key::new(Kind::Meta).text("sealed").text(source).build())?.unwrap_or(0))
    }

    /// The journal number up to which a source's journal was cut because every backend had been told.
    pub fn pruned(&self, source: &str) -> Result<u64> {
        Ok(self.value(&Key::new(Kind::Meta).text("pruned").text(source).build())?.unwrap_or(0))
    }

    /// The newest journal number.
    pub fn head(&self) -> Result<u64> {
        Ok(self.value(&Key::new(Kind::Meta).text("head").build())?.unwrap_or(0))
    }

    /// A small named value, e.g. when a project's last snapshot was sent.
    pub fn metadata<T: DeserializeOwned>(&self, group: &str, name: &str) -> Result<Option<T>> {
        self.json(&Key::new(Kind::Meta).text("note").text(group).text(name).build())
    }

    /// The journal of a source after number `after`, up to and with `upto`.
    pub fn journal(&self, source: &str, after: u64, upto: u64) -> impl Iterator<Item = Result<(u64, Item)>> + use<> {
        let prefix = Key::new(Kind::Journal).text(source).build();
        let at = prefix.len();
        let from = Key::new(Kind::Journal).text(source).number(after.saturating_add(1)).build();
        let end = Key::new(Kind::Journal).text(source).number(upto.saturating_add(1)).build();
        readable(self.db.range(from..end)).map(move |item| {
            let (key, bytes) = item?;
            Ok((key::number_of(&key, at).unwrap_or(0), format::decode(&bytes)?))
        })
    }

    /// How many journal items of a source a signal's backend has not been told.
    pub fn backlog(&self, signal: Signal, source: &str) -> Result<u64> {
        let position = self.position(signal, source)?;
        Ok(self.journal(source, position.done, u64::MAX - 1).count() as u64)
    }

    /// How far a signal's backend has been told of a source.
    pub fn position(&self, signal: Signal, source: &str) -> Result<Position> {
        let key = Key::new(Kind::Position).text(signal.as_str()).text(source).build();
        Ok(self.value(&key)?.unwrap_or_default())
    }

    /// Which part of a root's history trace is being filled.
    pub(crate) fn part<T: DeserializeOwned>(&self, root: &TaskKey) -> Result<Option<T>> {
        self.value(&Key::new(Kind::Part).task(root).build())
    }

    /// Records set aside, of one source or of all.
    pub fn quarantined_records(&self, source: Option<&str>) -> Result<Vec<Quarantined>> {
        let prefix = source.into_iter().fold(Key::new(Kind::Quarantined), Key::text).build();
        self.scan(prefix).map(|item| format::decode(&item?.1)).collect()
    }

    /// Everything backends refused for good, oldest first.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        self.scan(Key::new(Kind::DeadLetter).build()).map(|item| format::decode(&item?.1)).collect()
    }

    /// How many tasks of a source are held, and how many of them are still there.
    pub fn count(&self, source: &str) -> Result<(u64, u64)> {
        let mut all = 0;
        let mut gone = 0;
        for item in self.tasks(Some(source)) {
            let (_, record) = item?;
            all += 1;
            gone +=
                u64::from(crate::model::timeline::last(&record.timeline).is_none_or(|state| state.deleted.is_some()));
        }
        Ok((all, all - gone))
    }
}

/// The items of a scan up to the first error, which is the last item: sled would repeat it for ever.
fn readable(iterator: sled::Iter) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec)>> {
    let mut failed = false;
    iterator.map_while(move |item| {
        (!failed)
            .then(|| item.map_err(|error| store_error("read the store", error)))
            .inspect(|item| failed = item.is_err())
    })
}

/// Free bytes where the store lives, if the system tells.
fn free_space(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

pub(crate) fn store_error(doing: &str, error: sled::Error) -> Error {
    let message = match &error {
        sled::Error::Io(_) => {
            format!("{doing}: the disk is full or failing; see to it (nothing was lost, the next run goes on)")
        }
        sled::Error::Corruption { .. } => format!("{doing}: {ASIDE}"),
        _ => doing.to_owned(),
    };
    Error::new(ErrorKind::Store, message).caused_by(error)
}

/// Says what to do about a store that cannot be opened.
fn open_error(path: &Path, error: sled::Error) -> Error {
    let text = error.to_string();
    let (message, locked) = match &error {
        _ if text.contains("could not acquire lock") => {
            ("open the store: another contextcore holds it; stop it, or ask it through its socket", true)
        }
        sled::Error::Io(io) => match io.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                ("open the store: the directory cannot be written; make it writable or set store.path", false)
            }
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => (
                "open the store: the disk is full or failing; see to it (nothing was lost, the next run goes on)",
                false,
            ),
            std::io::ErrorKind::WouldBlock => ("open the store: another contextcore holds it; stop it", true),
            _ => ("open the store: check that store.path is a directory this user can write", false),
        },
        _ => return damaged().with("path", path.display()).caused_by(error),
    };
    let error = Error::new(ErrorKind::Store, message).with("path", path.display()).caused_by(error);
    if locked { error.with("locked", "true") } else { error }
}

/// What to do about a damaged store.
const ASIDE: &str = "its data is damaged; move the directory aside and sync again (the tools hold the truth, and ids stay \
                     the same)";

/// What is said of a store that has lost something.
fn damaged() -> Error {
    Error::new(ErrorKind::Store, format!("open the store: {ASIDE}"))
}

type Guard<'a> = MutexGuard<'a, ()>;
