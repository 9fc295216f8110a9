//! [`Transaction`]: changes gather in memory and become durable as one atomic batch.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, MutexGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::dead::DeadId;
use super::footprint::Footprint;
use super::format;
use super::insight_totals::InsightTotals;
use super::key::{self, Key, Kind};
use super::kv::{Guard, KeyRange, WriteTurn};
use super::reader::Store;
use super::records::{Cursor, DeadLetter, Item, Position, Quarantined, SourceStatus};
use crate::lock;
use crate::model::activity::StoredActivity;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::insight::Folded;
use crate::model::report::Reported;
use crate::model::signal::Signal;
use crate::model::time::Millis;
use crate::model::totals::Totals;
use crate::model::{SmolStr, SprintRecord, TaskKey, TaskRecord};

/// Bytes that a quarantined record keeps of its JSON.
const QUARANTINED_BYTES: usize = 16 << 10;
/// Quarantined records of a source that keep as much. More of them keep only their id, the reason and a beginning.
const QUARANTINED_TEXTS: usize = 1_000;
const FEWER_BYTES: usize = 64;
/// Journal entries cut in one transaction.
pub(super) const PRUNED_AT_ONCE: usize = 4_096;
/// Dead letters kept; the oldest are removed first.
const DEAD_LETTERS: usize = 1_000;
/// Dead letters that keep their request, of up to 3 MiB each.
const DEAD_REQUESTS: usize = 250;

/// A set of changes that becomes durable as a whole, or not at all.
///
/// It reads what it wrote itself first, then what [`Transaction::load`] read ahead, and then the store.
pub struct Transaction<'a> {
    pub(super) store: &'a Store,
    _writer: MutexGuard<'a, ()>,
    _turn: WriteTurn,
    seq: u64,
    items: u32,
    pub(super) writes: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// Keys among the writes that are looked up by prefix: names, pending activities, dependents.
    fresh: BTreeSet<Vec<u8>>,
    pub(super) totals: BTreeMap<(SmolStr, SmolStr), Totals>,
    /// Insights that changed, by key; `None` for those that are forgotten.
    pub(super) insights: BTreeMap<Vec<u8>, Option<Folded>>,
    /// What the changes add to the totals of each project.
    pub(super) insight_totals: BTreeMap<String, InsightTotals>,
    /// Native projects in which a task changed: source, project.
    pub(super) changed: BTreeSet<(SmolStr, SmolStr)>,
    /// Tasks read ahead, as the store holds them.
    pub(super) tasks: HashMap<TaskKey, Option<Arc<TaskRecord>>>,
    /// The parent of every task that was looked up for it or written.
    pub(super) parents: HashMap<TaskKey, Option<SmolStr>>,
    /// Other values read ahead.
    pub(super) values: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// The keys under each prefix read ahead.
    pub(super) listed: HashMap<Vec<u8>, Vec<Vec<u8>>>,
}

impl Store {
    /// Begins a transaction. The next one waits until this one is committed or dropped.
    ///
    /// # Errors
    /// When the disk is nearly full: nothing begins that could not be finished.
    pub fn begin(&self) -> Result<Transaction<'_>> {
        self.check_writable()?;
        let writer = lock(&self.writer);
        let turn = self.kv.turn()?;
        self.check_kept(turn.head)?;
        Ok(Transaction {
            store: self,
            _writer: writer,
            seq: turn.head + 1,
            _turn: turn,
            items: 0,
            writes: HashMap::new(),
            fresh: BTreeSet::new(),
            totals: BTreeMap::new(),
            insights: BTreeMap::new(),
            insight_totals: BTreeMap::new(),
            changed: BTreeSet::new(),
            tasks: HashMap::new(),
            parents: HashMap::new(),
            values: HashMap::new(),
            listed: HashMap::new(),
        })
    }
}

impl Transaction<'_> {
    /// The journal number of everything in this transaction.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn raw(&self, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>> {
        match self.writes.get(key).or_else(|| self.values.get(key)) {
            Some(bytes) => Ok(bytes.as_deref().map(Cow::Borrowed)),
            None => Ok(self.store.raw(key)?.map(Cow::Owned)),
        }
    }

    pub(super) fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>> {
        self.raw(key)?.map(|bytes| format::decode(&bytes)).transpose()
    }

    pub(super) fn put<T: Serialize>(&mut self, key: Key, value: &T) -> Result<()> {
        self.writes.insert(key.build(), Some(format::encode(value)?));
        Ok(())
    }

    fn put_json<T: Serialize>(&mut self, key: Key, value: &T) -> Result<()> {
        self.writes.insert(key.build(), Some(to_json(value)?));
        Ok(())
    }

    /// A task, with what this transaction already changed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn task(&self, key: &TaskKey) -> Result<Option<Arc<TaskRecord>>> {
        match self.tasks.get(key) {
            Some(known) => Ok(known.clone()),
            None => Ok(self.get(&Key::new(Kind::Task).task(key).build())?.map(Arc::new)),
        }
    }

    /// Stores a task in place of `old`; with `journal`, as something to export.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn put_task(&mut self, key: &TaskKey, old: Option<&TaskRecord>, new: &TaskRecord, journal: bool) -> Result<()> {
        let (before, after) = (Footprint::of(key, old), Footprint::of(key, Some(new)));
        for gone in before.keys.difference(&after.keys) {
            self.writes.insert(gone.clone(), None);
        }
        for fresh in after.keys.difference(&before.keys) {
            if [Kind::Name as u8, Kind::Dependent as u8].iter().any(|kind| fresh.first() == Some(kind)) {
                self.fresh.insert(fresh.clone());
            }
            self.writes.insert(fresh.clone(), Some(Vec::new()));
        }
        for project in before.project.iter().chain(&after.project) {
            self.changed.insert((key.source.clone(), project.clone()));
        }
        self.move_totals(&key.source, &before.totals, -1);
        self.move_totals(&key.source, &after.totals, 1);
        let moved = (&before.parent, &before.own) != (&after.parent, &after.own);
        if moved {
            self.move_rollups(key, &before, -1)?;
        }
        self.put(Key::new(Kind::Task).task(key), new)?;
        self.tasks.remove(key);
        self.parents.insert(key.clone(), after.parent.clone());
        if moved {
            self.move_rollups(key, &after, 1)?;
        }
        if journal { self.journal(&key.source, &Item::Task(key.clone())) } else { Ok(()) }
    }

    /// The tasks whose key is, or ever was, `name` (in upper case), with what this transaction already changed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn named(&self, name: &str) -> Result<BTreeSet<TaskKey>> {
        let keys = self.keys_with(Key::new(Kind::Name).text(name).build())?;
        Ok(keys.iter().filter_map(|key| key::task_of(key, 1)).collect())
    }

    /// The tasks of a source that the task with this id or key blocks, or once blocked.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn dependents(&self, source: &str, blocker: &str) -> Result<BTreeSet<TaskKey>> {
        let by = |blocker: &str| self.keys_with(Key::new(Kind::Dependent).text(source).text(blocker).build());
        let keys = by(blocker)?.into_iter().chain(by(&blocker.to_uppercase())?);
        Ok(keys.filter_map(|key| Some(TaskKey::new(source, key::texts(&key, 1).pop()?))).collect())
    }

    /// Stores an activity under a name it mentions, so that a task of that name that appears later picks it up.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn put_pending(&mut self, name: &str, activity: &StoredActivity) -> Result<()> {
        let key = key::pending(name, &activity.source, &activity.native_id);
        if self.get::<StoredActivity>(&key)?.as_ref() != Some(activity) {
            self.fresh.insert(key.clone());
            self.writes.insert(key, Some(format::encode(activity)?));
        }
        Ok(())
    }

    /// The activities stored under a name, in the order of sources and ids.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pending(&self, name: &str) -> Result<Vec<StoredActivity>> {
        let keys = self.keys_with(Key::new(Kind::Pending).text(name).build())?;
        keys.iter().filter_map(|key| self.get(key).transpose()).collect()
    }

    /// Removes the pending activities from before `oldest`. Returns how many those were.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn expire_pending(&mut self, oldest: Millis) -> Result<u64> {
        let mut expired = 0;
        for item in self.store.scan(Key::new(Kind::Pending)) {
            let (key, bytes) = item?;
            if format::decode::<StoredActivity>(&bytes)?.at < oldest {
                self.writes.insert(key, None);
                expired += 1;
            }
        }
        Ok(expired)
    }

    /// The keys that begin with a prefix, in the store and among the writes of this transaction.
    fn keys_with(&self, prefix: Vec<u8>) -> Result<BTreeSet<Vec<u8>>> {
        let fresh = self.fresh.range(prefix.clone()..).take_while(|key| key.starts_with(&prefix)).cloned();
        let mut keys: BTreeSet<Vec<u8>> = fresh.collect();
        match self.listed.get(&prefix) {
            Some(listed) => keys.extend(listed.iter().cloned()),
            None => {
                for item in self.store.pages(KeyRange::prefix(prefix)) {
                    keys.insert(item?.0);
                }
            }
        }
        Ok(keys)
    }

    /// A small named value, with what this transaction already changed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn metadata<T: DeserializeOwned>(&self, group: &str, name: &str) -> Result<Option<T>> {
        self.raw(&key::metadata(group, name))?.map(|bytes| format::from_json(&bytes)).transpose()
    }

    /// Adds something to export to the journal.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn journal(&mut self, source: &str, item: &Item) -> Result<()> {
        let key = Key::new(Kind::Journal).text(source).number(self.seq).number(self.items.into());
        self.items += 1;
        self.put(key, item)
    }

    /// A sprint, with what this transaction already changed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sprint(&self, key: &TaskKey) -> Result<Option<SprintRecord>> {
        self.get(&Key::new(Kind::Sprint).task(key).build())
    }

    /// Stores a sprint; with `journal`, as something to export.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn put_sprint(&mut self, key: &TaskKey, record: &SprintRecord, journal: bool) -> Result<()> {
        self.put(Key::new(Kind::Sprint).task(key), record)?;
        if journal { self.journal(&key.source, &Item::Sprint(key.clone())) } else { Ok(()) }
    }

    /// Everything that was reported of a task or, with `sprint`, of a sprint, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn reported<T: DeserializeOwned>(&self, sprint: bool, key: &TaskKey) -> Result<Vec<Reported<T>>> {
        Ok(self.get(&key::reported(sprint, key))?.unwrap_or_default())
    }

    /// Stores everything that was reported of a task or sprint.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub(crate) fn put_reported<T: Serialize>(
        &mut self,
        sprint: bool,
        key: &TaskKey,
        reports: &[Reported<T>],
    ) -> Result<()> {
        self.writes.insert(key::reported(sprint, key), Some(format::encode(&reports)?));
        Ok(())
    }

    /// Stores the cursor of a stream; `None` removes it.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn put_cursor(&mut self, source: &str, stream: &str, cursor: Option<&Cursor>) -> Result<()> {
        let key = Key::new(Kind::Cursor).text(source).text(stream);
        match cursor {
            Some(cursor) => self.put_json(key, cursor),
            None => {
                self.writes.insert(key.build(), None);
                Ok(())
            }
        }
    }

    /// The state of a source's runs, with what this transaction already changed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn source_status(&self, source: &str) -> Result<SourceStatus> {
        let stored = self.raw(&Key::new(Kind::Meta).text("source").text(source).build())?;
        Ok(stored.map(|bytes| format::from_json(&bytes)).transpose()?.unwrap_or_default())
    }

    /// Stores the state of a source's runs.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn put_source_status(&mut self, source: &str, status: &SourceStatus) -> Result<()> {
        self.put_json(Key::new(Kind::Meta).text("source").text(source), status)
    }

    /// Declares a source's sweep complete up to here, so that it is exported.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn seal(&mut self, source: &str) -> Result<()> {
        let seq = if self.writes.is_empty() { self.seq - 1 } else { self.seq };
        self.put(Key::new(Kind::Meta).text("sealed").text(source), &seq)
    }

    /// Stores a small named value.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn put_metadata<T: Serialize>(&mut self, group: &str, name: &str, value: &T) -> Result<()> {
        self.writes.insert(key::metadata(group, name), Some(to_json(value)?));
        Ok(())
    }

    /// Stores how much of a source has been exported to a signal's backend.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn put_position(&mut self, signal: Signal, source: &str, position: &Position) -> Result<()> {
        self.put(Key::new(Kind::Position).text(signal.as_str()).text(source), position)
    }

    pub(crate) fn put_part<T: Serialize>(&mut self, root: &TaskKey, part: &T) -> Result<()> {
        self.put(Key::new(Kind::Part).task(root), part)
    }

    /// Stores what was exported of a task.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub(crate) fn put_exported<T: Serialize>(&mut self, task: &TaskKey, exported: &T) -> Result<()> {
        self.put(Key::new(Kind::Exported).task(task), exported)
    }

    /// Cuts the journal of a source up to and including a number. Cuts at most some thousand entries, because a large batch
    /// costs many times its size in memory, and returns whether there are more. What a crash leaves is cut the next time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn prune(&mut self, source: &str, upto: u64) -> Result<bool> {
        let from = Key::new(Kind::Journal).text(source).build();
        let to = Key::new(Kind::Journal).text(source).number(upto.saturating_add(1)).build();
        let mut items = self.store.kv.range(&KeyRange::between(from, to), PRUNED_AT_ONCE + 1)?;
        let more = items.len() > PRUNED_AT_ONCE;
        items.truncate(PRUNED_AT_ONCE);
        self.writes.extend(items.into_iter().map(|(key, _)| (key, None)));
        self.put(Key::new(Kind::Meta).text("pruned").text(source), &upto)?;
        Ok(more)
    }

    /// Forgets a sprint of which nothing was exported.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn remove_sprint(&mut self, key: &TaskKey) -> Result<()> {
        self.writes.insert(Key::new(Kind::Sprint).task(key).build(), None);
        Ok(())
    }

    /// Quarantines a record or, with `None`, clears it, because it was understood since.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn put_quarantined(&mut self, source: &str, native_id: &str, quarantined: Option<Quarantined>) -> Result<()> {
        let key = key::quarantined(source, native_id);
        match quarantined {
            Some(mut quarantined) => {
                let most = if self.has_many_quarantined(source)? { FEWER_BYTES } else { QUARANTINED_BYTES };
                let cut = quarantined.json.floor_char_boundary(most);
                quarantined.json.truncate(cut);
                self.writes.insert(key, Some(format::encode(&quarantined)?));
            }
            None if self.raw(&key)?.is_some() => drop(self.writes.insert(key, None)),
            None => {}
        }
        Ok(())
    }

    /// Whether so many records of a source are quarantined that no more of their texts are worth keeping.
    fn has_many_quarantined(&self, source: &str) -> Result<bool> {
        let all = KeyRange::prefix(Key::new(Kind::Quarantined).text(source).build());
        Ok(self.store.kv.range(&all, QUARANTINED_TEXTS)?.len() == QUARANTINED_TEXTS)
    }

    /// Stores a dead letter and the request it was in. Beyond [`DEAD_LETTERS`] the oldest is removed, and beyond
    /// [`DEAD_REQUESTS`] its request.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn put_dead(&mut self, letter: &DeadLetter, request: &[u8]) -> Result<()> {
        let stored: Vec<_> = self.store.dead_letters_by_id()?.into_iter().map(|(id, _)| id).collect();
        let surplus = |kept: usize| stored.len().saturating_sub(kept - 1);
        stored.iter().take(surplus(DEAD_LETTERS)).for_each(|id| self.remove_dead(*id));
        for id in stored.iter().take(surplus(DEAD_REQUESTS)) {
            self.writes.insert(id.key(Kind::DeadRequest).build(), None);
        }
        let id = DeadId::new(self.seq, self.items.into());
        self.items += 1;
        self.writes.insert(id.key(Kind::DeadRequest).build(), Some(format::encode(&request)?));
        self.writes.insert(id.key(Kind::DeadLetter).build(), Some(format::encode(letter)?));
        Ok(())
    }

    /// Removes a dead letter with its request.
    pub fn remove_dead(&mut self, id: DeadId) {
        for kind in [Kind::DeadLetter, Kind::DeadRequest] {
            self.writes.insert(id.key(kind).build(), None);
        }
    }

    /// Marks an id as seen in a complete pass.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn put_seen(&mut self, key: &TaskKey, pass: u64) -> Result<()> {
        self.put(Key::new(Kind::Seen).task(key), &pass)
    }

    /// Whether a commit would write nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.totals.is_empty()
    }

    /// Makes the changes durable in one atomic batch. Returns their journal number.
    ///
    /// # Errors
    /// When the store cannot be written, or another process wrote to it meanwhile. Nothing was changed then.
    pub fn commit(mut self) -> Result<u64> {
        if self.is_empty() {
            return Ok(self.seq - 1);
        }
        self.write_totals()?;
        self.write_insight_totals()?;
        let seq = self.seq;
        for (source, project) in std::mem::take(&mut self.changed) {
            self.put(Key::new(Kind::Changed).text(&source).text(&project), &seq)?;
        }
        self.writes.insert(Guard::key(), Some(format::encode(&seq)?));
        let guard = Guard::moving(seq - 1, seq).of(self.store.unit.clone());
        let written = self.store.kv.write_batch(self.writes.drain().collect(), &guard);
        written.inspect_err(|_| self.store.forget_insights())?;
        self.store.index_insights(&self.insights);
        Ok(seq)
    }
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(ErrorKind::Internal, "encode a value").caused_by(error))
}
