//! [`Store`]: everything that is read from the store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use serde::de::DeserializeOwned;

use super::format;
use super::key::own::{DELETED_SPRINTS, EXPORTED_SPRINTS, GUIDANCE_FILES};
use super::key::{self, Key, Kind};
use super::kv::{self, Guard, KeyRange, Kv, Pages, Pair};
use super::postgres::Database;
use super::records::{Cursor, DeadLetter, Item, Position, Quarantined, SourceStatus};
use super::unit::Unit;
use crate::model::error::Result;
use crate::model::guidance::forge::StoredFiles;
use crate::model::guidance::stored::AllGuidance;
use crate::model::insight::search::Index;
use crate::model::report::Reported;
use crate::model::signal::Signal;
use crate::model::time::Millis;
use crate::model::timeline;
use crate::model::totals::{Rollup, Totals};
use crate::model::{SmolStr, SprintRecord, TaskKey, TaskRecord};

/// The metadata in which the guidance that was reported is.
pub(crate) const GUIDANCE: &str = "guidance";

/// The store of one installation. Cheap to share by reference. One process at a time opens a directory.
///
/// Iterators read page by page, not from a snapshot: they may or may not see what is written while they run.
pub struct Store {
    pub(super) kv: Arc<dyn Kv>,
    /// The directory; empty when the engine has none.
    pub(super) path: PathBuf,
    /// Held by the one transaction under way.
    pub(super) writer: Arc<Mutex<()>>,
    /// What a search for insights needs, once somebody has searched.
    pub(super) insights: Arc<RwLock<Option<Index>>>,
    /// What it has beside its keys when it is in a database.
    pub(super) database: Option<Arc<Database>>,
    /// The unit whose lease its writes need, where several processes share it.
    pub(super) unit: Option<Unit>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Store {
    /// A store over any engine.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the engine fails or a newer version of the program wrote to it.
    pub fn over(kv: Arc<dyn Kv>) -> Result<Self> {
        Self::at(PathBuf::new(), kv)
    }

    pub(super) fn at(path: PathBuf, kv: Arc<dyn Kv>) -> Result<Self> {
        let store = Self::unchecked(path, kv);
        store.make_format()?;
        Ok(store)
    }

    /// A store whose format was not looked at yet.
    pub(super) fn unchecked(path: PathBuf, kv: Arc<dyn Kv>) -> Self {
        Self { kv, path, writer: Arc::default(), insights: Arc::default(), database: None, unit: None }
    }

    /// Fails for a store of a newer version; whether it has a version at all.
    pub(super) fn check_format(&self) -> Result<bool> {
        match self.raw(&format_key())?.as_deref() {
            Some([version, ..]) if *version > format::VERSION => Err(format::newer(*version)),
            stored => Ok(stored.is_some()),
        }
    }

    /// The same, and gives a version to a store that has none yet.
    pub(super) fn make_format(&self) -> Result<()> {
        if self.check_format()? {
            return Ok(());
        }
        self.kv.write_batch(vec![(format_key(), Some(vec![format::VERSION]))], &Guard::at(self.head()?))
    }

    /// The same store, for writes of this unit.
    #[must_use]
    pub fn of(&self, unit: Unit) -> Self {
        Self {
            kv: Arc::clone(&self.kv),
            path: self.path.clone(),
            writer: Arc::clone(&self.writer),
            insights: Arc::clone(&self.insights),
            database: self.database.clone(),
            unit: Some(unit),
        }
    }

    /// The directory it is in; empty for a store without one.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes it takes on disk.
    ///
    /// # Errors
    /// When the engine cannot be measured.
    pub fn size_on_disk(&self) -> Result<u64> {
        self.kv.size()
    }

    /// Whether a transaction could begin now. Does not wait for the one under way.
    ///
    /// # Errors
    /// When the disk is nearly full.
    pub fn check_writable(&self) -> Result<()> {
        self.kv.check_writable()
    }

    /// Why a database refused the last write of this process, or its last request to take part; `None` when it did not.
    pub fn trouble(&self) -> Option<String> {
        self.kv.trouble()
    }

    pub(super) fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.kv.get(key)
    }

    pub(super) fn value<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>> {
        self.raw(key)?.map(|bytes| format::decode(&bytes)).transpose()
    }

    fn json<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>> {
        self.raw(key)?.map(|bytes| format::from_json(&bytes)).transpose()
    }

    pub(super) fn pages(&self, range: KeyRange) -> Pages {
        Pages::new(&self.kv, range)
    }

    pub(super) fn scan(&self, prefix: Key) -> impl Iterator<Item = Result<Pair>> + use<> {
        self.pages(KeyRange::prefix(prefix.build()))
    }

    fn scan_tasks(&self, prefix: Key) -> impl Iterator<Item = Result<TaskKey>> + use<> {
        self.scan(prefix).filter_map(|item| item.map(|(key, _)| key::task_of(&key, 1)).transpose())
    }

    /// A task.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn task(&self, key: &TaskKey) -> Result<Option<TaskRecord>> {
        self.value(&Key::new(Kind::Task).task(key).build())
    }

    /// Every value of a kind whose keys end in a source and an id, of one source or of all.
    fn all<T: DeserializeOwned>(
        &self,
        kind: Kind,
        source: Option<&str>,
    ) -> impl Iterator<Item = Result<(TaskKey, T)>> + use<T> {
        self.scan(source.into_iter().fold(Key::new(kind), Key::text)).filter_map(|item| match item {
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

    /// The keys of all tasks of one source, or of all. Does not decode the tasks.
    pub fn task_keys(&self, source: Option<&str>) -> impl Iterator<Item = Result<TaskKey>> + use<> {
        self.scan_tasks(source.into_iter().fold(Key::new(Kind::Task), Key::text))
    }

    /// The keys of tasks that are neither finished nor deleted.
    pub fn open_tasks(&self, source: Option<&str>) -> impl Iterator<Item = Result<TaskKey>> + use<> {
        self.scan_tasks(source.into_iter().fold(Key::new(Kind::Open), Key::text))
    }

    /// The keys of tasks that were finished or deleted at `since` or later, oldest first.
    pub fn ended_since(&self, since: Millis) -> impl Iterator<Item = Result<TaskKey>> + use<> {
        let from = Key::new(Kind::Ended).time(since).build();
        let range = KeyRange::between(from, vec![Kind::Ended as u8 + 1]);
        self.pages(range).filter_map(|item| item.map(|(key, _)| key::task_of(&key, 9)).transpose())
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
        self.scan(prefix).filter_map(|item| item.map(|(key, _)| key::texts(&key, 1).pop()).transpose())
    }

    /// The tasks whose key is, or ever was, `name` (`PROJ-123`, in any case). Two sources may have the same key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn named(&self, name: &str) -> Result<Vec<TaskKey>> {
        self.scan_tasks(Key::new(Kind::Name).text(&name.to_uppercase())).collect()
    }

    /// The sums over a task's descendants.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rollup(&self, key: &TaskKey) -> Result<Rollup> {
        Ok(self.value(&Key::new(Kind::Rollup).task(key).build())?.unwrap_or_default())
    }

    /// The running totals of every native project: source, project, totals.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn totals(&self) -> Result<Vec<(SmolStr, SmolStr, Totals)>> {
        self.all(Kind::Totals, None).map(|item| item.map(|(at, totals)| (at.source, at.native_id, totals))).collect()
    }

    /// The newest journal number of a change in every native project: source, project, number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn changed(&self) -> Result<Vec<(SmolStr, SmolStr, u64)>> {
        self.all(Kind::Changed, None).map(|item| item.map(|(at, seq)| (at.source, at.native_id, seq))).collect()
    }

    /// A sprint.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sprint(&self, key: &TaskKey) -> Result<Option<SprintRecord>> {
        self.value(&Key::new(Kind::Sprint).task(key).build())
    }

    /// These sprints, in their order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn sprints_of(&self, keys: &[TaskKey]) -> Result<Vec<Option<SprintRecord>>> {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| Key::new(Kind::Sprint).task(key).build()).collect();
        self.kv.get_many(&keys)?.iter().map(|bytes| bytes.as_deref().map(format::decode).transpose()).collect()
    }

    /// All sprints of one source, or of all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sprints(&self, source: Option<&str>) -> Result<Vec<(TaskKey, SprintRecord)>> {
        self.all(Kind::Sprint, source).collect()
    }

    /// Which of these tasks are stored, in their order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_tasks(&self, keys: &[TaskKey]) -> Result<Vec<bool>> {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| Key::new(Kind::Task).task(key).build()).collect();
        Ok(self.kv.get_many(&keys)?.iter().map(Option::is_some).collect())
    }

    /// The sprints of a source that its tool deleted after they had started. They are kept for what was exported of them, and
    /// not listed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn deleted_sprints(&self, source: &str) -> Result<BTreeSet<String>> {
        Ok(self.metadata(DELETED_SPRINTS, source)?.unwrap_or_default())
    }

    /// The sprints of a source whose spans were exported, which is final; `None` until its spans are first exported.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn exported_sprints(&self, source: &str) -> Result<Option<BTreeSet<String>>> {
        self.metadata(EXPORTED_SPRINTS, source)
    }

    /// The guidance that was reported.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn guidance(&self) -> Result<AllGuidance> {
        Ok(self.metadata(GUIDANCE, "")?.unwrap_or_default())
    }

    /// The guidance files that a source read from its forge.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn guidance_files(&self, source: &str) -> Result<StoredFiles> {
        Ok(self.metadata(GUIDANCE_FILES, source)?.unwrap_or_default())
    }

    /// The cursor of a stream.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn cursor(&self, source: &str, stream: &str) -> Result<Option<Cursor>> {
        self.json(&Key::new(Kind::Cursor).text(source).text(stream).build())
    }

    /// The state of a source's runs; the default for a source that never ran.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn source_status(&self, source: &str) -> Result<SourceStatus> {
        Ok(self.json(&Key::new(Kind::Meta).text("source").text(source).build())?.unwrap_or_default())
    }

    /// The journal number up to which a source's sweeps are complete. Nothing above it is exported yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sealed(&self, source: &str) -> Result<u64> {
        Ok(self.value(&Key::new(Kind::Meta).text("sealed").text(source).build())?.unwrap_or(0))
    }

    /// The journal number up to which a source's journal was cut, because every signal had been exported that far.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pruned(&self, source: &str) -> Result<u64> {
        Ok(self.value(&Key::new(Kind::Meta).text("pruned").text(source).build())?.unwrap_or(0))
    }

    /// The newest journal number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn head(&self) -> Result<u64> {
        kv::head(self.raw(&Guard::key())?.as_deref())
    }

    /// A small named value, e.g. when a project's last snapshot was sent.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn metadata<T: DeserializeOwned>(&self, group: &str, name: &str) -> Result<Option<T>> {
        self.json(&key::metadata(group, name))
    }

    /// The same for several names at once, in their order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn metadata_of<T: DeserializeOwned>(&self, group: &str, names: &[&String]) -> Result<Vec<Option<T>>> {
        let keys: Vec<Vec<u8>> = names.iter().map(|name| key::metadata(group, name)).collect();
        self.kv.get_many(&keys)?.iter().map(|bytes| bytes.as_deref().map(format::from_json).transpose()).collect()
    }

    /// The journal of a source after number `after`, up to and including `upto`.
    pub fn journal(&self, source: &str, after: u64, upto: u64) -> impl Iterator<Item = Result<(u64, Item)>> + use<> {
        let at = Key::new(Kind::Journal).text(source).build().len();
        let from = Key::new(Kind::Journal).text(source).number(after.saturating_add(1)).build();
        let end = Key::new(Kind::Journal).text(source).number(upto.saturating_add(1)).build();
        self.pages(KeyRange::between(from, end)).map(move |item| {
            let (key, bytes) = item?;
            Ok((key::number_of(&key, at).unwrap_or(0), format::decode(&bytes)?))
        })
    }

    /// Whether the journal of a source has anything after number `after`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_journal_after(&self, source: &str, after: u64) -> Result<bool> {
        let from = Key::new(Kind::Journal).text(source).number(after.saturating_add(1)).build();
        let to = KeyRange::prefix(Key::new(Kind::Journal).text(source).build()).to;
        Ok(!self.kv.range(&KeyRange { from, to }, 1)?.is_empty())
    }

    /// How many journal items of a source are not exported to a signal's backend yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn backlog(&self, signal: Signal, source: &str) -> Result<u64> {
        let position = self.position(signal, source)?;
        Ok(self.journal(source, position.done, u64::MAX - 1).count() as u64)
    }

    /// How much of a source has been exported to a signal's backend.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn position(&self, signal: Signal, source: &str) -> Result<Position> {
        let key = Key::new(Kind::Position).text(signal.as_str()).text(source).build();
        Ok(self.value(&key)?.unwrap_or_default())
    }

    /// The part of a root's history trace that is being filled.
    pub(crate) fn part<T: DeserializeOwned>(&self, root: &TaskKey) -> Result<Option<T>> {
        self.value(&Key::new(Kind::Part).task(root).build())
    }

    /// What was exported of a task.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn exported<T: DeserializeOwned>(&self, task: &TaskKey) -> Result<Option<T>> {
        self.kv.get(&Key::new(Kind::Exported).task(task).build())?.map(|bytes| format::decode(&bytes)).transpose()
    }

    /// The complete pass that last saw each id of a source, in the order of [`Store::tasks`].
    pub(crate) fn seen(&self, source: &str) -> impl Iterator<Item = Result<(TaskKey, u64)>> + use<> {
        self.all(Kind::Seen, Some(source))
    }

    /// What was exported of every task.
    pub(crate) fn all_exported<T: DeserializeOwned>(&self) -> impl Iterator<Item = Result<(TaskKey, T)>> + use<T> {
        self.all(Kind::Exported, None)
    }

    /// Everything that was reported of every task or, with `sprint`, of every sprint.
    pub(crate) fn all_reported<T: DeserializeOwned>(
        &self,
        sprint: bool,
    ) -> impl Iterator<Item = Result<(TaskKey, Vec<Reported<T>>)>> + use<T> {
        self.scan(Key::new(Kind::Reported).text(if sprint { "sprint" } else { "task" })).filter_map(|item| match item {
            Ok((key, bytes)) => {
                let at = key::task_of(&key, 1)?;
                Some(format::decode(&bytes).map(|reports| (at, reports)))
            }
            Err(error) => Some(Err(error)),
        })
    }

    /// The quarantined records of one source, or of all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn quarantined_records(&self, source: Option<&str>) -> Result<Vec<Quarantined>> {
        let prefix = source.into_iter().fold(Key::new(Kind::Quarantined), Key::text);
        self.scan(prefix).map(|item| format::decode(&item?.1)).collect()
    }

    /// Everything that backends permanently refused, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        self.scan(Key::new(Kind::DeadLetter)).map(|item| format::decode(&item?.1)).collect()
    }

    /// How many tasks of a source are stored, and how many of them are not deleted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count(&self, source: &str) -> Result<(u64, u64)> {
        let (mut all, mut deleted) = (0, 0);
        for item in self.tasks(Some(source)) {
            let (_, record) = item?;
            all += 1;
            deleted += u64::from(timeline::last(&record.timeline).is_none_or(|state| state.deleted.is_some()));
        }
        Ok((all, all - deleted))
    }
}

/// Under which the version of the format is.
fn format_key() -> Vec<u8> {
    Key::new(Kind::Meta).text("format").build()
}
