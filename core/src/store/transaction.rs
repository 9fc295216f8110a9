//! Writing: changes gather in memory and become durable as one atomic batch.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::footprint::Footprint;
use super::key::{self, Key, Kind};
use super::{DeadLetter, Guard, Item, Position, Quarantined, SourceStatus, Store, format, store_error, witness};
use crate::export::otlp::Signal;
use crate::ingest::connector::Cursor;
use crate::model::activity::StoredActivity;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::time::Millis;
use crate::model::totals::{Rollup, Totals};
use crate::model::{SmolStr, SprintRecord, TaskKey, TaskRecord};

/// No real hierarchy is deeper; a loop of parents must end.
const MAX_DEPTH: usize = 64;
/// Set-aside records keep at most this much of their JSON.
const ASIDE_BYTES: usize = 16 << 10;
/// Journal entries cut in one transaction.
const PRUNED_AT_ONCE: usize = 4_096;
/// DeadLetter letters kept; the oldest go first.
const DEAD_LETTERS: usize = 1_000;

/// A set of changes that becomes durable as a whole, or not at all.
pub struct Transaction<'a> {
    store: &'a Store,
    _writer: Guard<'a>,
    seq: u64,
    items: u32,
    writes: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// Keys among the writes that are found by how they begin: names, what waits under them, and who waits for a task.
    fresh: BTreeSet<Vec<u8>>,
    totals: BTreeMap<(SmolStr, SmolStr), Totals>,
    /// Native projects in which a task changed: source, project.
    changed: BTreeSet<(SmolStr, SmolStr)>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(store: &'a Store, writer: Guard<'a>) -> Result<Self> {
        let seq = store.head()? + 1;
        Ok(Self {
            store,
            _writer: writer,
            seq,
            items: 0,
            writes: HashMap::new(),
            fresh: BTreeSet::new(),
            totals: BTreeMap::new(),
            changed: BTreeSet::new(),
        })
    }

    /// The journal number of everything in this transaction.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>> {
        match self.writes.get(key) {
            Some(bytes) => bytes.as_deref().map(format::decode).transpose(),
            None => self.store.value(key),
        }
    }

    fn put<T: Serialize>(&mut self, key: Key, value: &T) -> Result<()> {
        self.writes.insert(key.build(), Some(format::encode(value)?));
        Ok(())
    }

    fn put_json<T: Serialize>(&mut self, key: Key, value: &T) -> Result<()> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| Error::new(ErrorKind::Internal, "encode a value").caused_by(error))?;
        self.writes.insert(key.build(), Some(bytes));
        Ok(())
    }

    /// A task, with what this transaction already changed.
    pub fn task(&self, key: &TaskKey) -> Result<Option<TaskRecord>> {
        self.get(&Key::new(Kind::Task).task(key).build())
    }

    /// Keeps a task in place of `old`; with `journal`, as something the backends are to be told.
    pub fn put_task(&mut self, key: &TaskKey, old: Option<&TaskRecord>, new: &TaskRecord, journal: bool) -> Result<()> {
        let (before, after) = (Footprint::of(key, old), Footprint::of(key, Some(new)));
        for gone in before.keys.difference(&after.keys) {
            self.writes.insert(gone.clone(), None);
        }
        for fresh in after.keys.difference(&before.keys) {
            if [Kind::Name as u8, Kind::Waiter as u8].iter().any(|kind| fresh.first() == Some(kind)) {
                self.fresh.insert(fresh.clone());
            }
            self.writes.insert(fresh.clone(), Some(Vec::new()));
        }
        for project in before.project.iter().chain(&after.project) {
            self.changed.insert((key.source.clone(), project.clone()));
        }
        self.move_totals(&key.source, &before.totals, -1);
        self.move_totals(&key.source, &after.totals, 1);
        if (&before.parent, &before.own) != (&after.parent, &after.own) {
            self.move_rollups(key, &before, -1)?;
            self.put(Key::new(Kind::Task).task(key), new)?;
            self.move_rollups(key, &after, 1)?;
        } else {
            self.put(Key::new(Kind::Task).task(key), new)?;
        }
        if journal {
            self.journal(&key.source, &Item::Task(key.clone()))?;
        }
        Ok(())
    }

    fn move_totals(&mut self, source: &str, by: &BTreeMap<SmolStr, Totals>, sign: i64) {
        for (project, totals) in by {
            self.totals.entry((source.into(), project.clone())).or_default().add(totals, sign);
        }
    }

    /// Adds (or takes away) what a task and all below it weigh to (from) all its ancestors.
    fn move_rollups(&mut self, key: &TaskKey, footprint: &Footprint, sign: i64) -> Result<()> {
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
    fn ancestors(&self, from: TaskKey, stop: &TaskKey) -> Result<Vec<TaskKey>> {
        let mut chain = Vec::new();
        let mut next = Some(from);
        while let Some(key) = next.filter(|key| key != stop && !chain.contains(key) && chain.len() < MAX_DEPTH) {
            let state = self.task(&key)?.and_then(|record| crate::model::timeline::last(&record.timeline));
            next = state
                .and_then(|state| state.facts.parent.clone())
                .map(|parent| TaskKey::new(&*key.source, parent.native_id));
            chain.push(key);
        }
        Ok(chain)
    }

    /// The tasks that are, or ever were, called `name` (in upper case), with what this transaction already changed.
    pub fn named(&self, name: &str) -> Result<BTreeSet<TaskKey>> {
        let keys = self.beginning(Key::new(Kind::Name).text(name).build())?;
        Ok(keys.iter().filter_map(|key| key::task_of(key, 1)).collect())
    }

    /// The tasks of a source that wait, or once waited, for the one with this id or key.
    pub fn waiters(&self, source: &str, blocker: &str) -> Result<BTreeSet<TaskKey>> {
        let by = |blocker: &str| self.beginning(Key::new(Kind::Waiter).text(source).text(blocker).build());
        let keys = by(blocker)?.into_iter().chain(by(&blocker.to_uppercase())?);
        Ok(keys.filter_map(|key| Some(TaskKey::new(source, key::texts(&key, 1).pop()?))).collect())
    }

    /// Keeps a deed under a name it mentions, for tasks of that name that come later.
    pub fn put_waiting(&mut self, name: &str, activity: &StoredActivity) -> Result<()> {
        let key = Key::new(Kind::Waiting).text(name).text(&activity.source).text(&activity.native_id);
        let bytes = key.build();
        if self.get::<StoredActivity>(&bytes)?.as_ref() != Some(activity) {
            self.fresh.insert(bytes.clone());
            self.writes.insert(bytes, Some(format::encode(activity)?));
        }
        Ok(())
    }

    /// What waits for a task of this name, in the order of sources and ids.
    pub fn waiting(&self, name: &str) -> Result<Vec<StoredActivity>> {
        let keys = self.beginning(Key::new(Kind::Waiting).text(name).build())?;
        keys.iter().filter_map(|key| self.get(key).transpose()).collect()
    }

    /// Forgets what waited since before `oldest`. Returns how many deeds that were.
    pub fn forget_waiting(&mut self, oldest: Millis) -> Result<u64> {
        let mut forgotten = 0;
        for item in self.store.scan(Key::new(Kind::Waiting).build()) {
            let (key, bytes) = item?;
            if format::decode::<StoredActivity>(&bytes)?.at < oldest {
                self.writes.insert(key.to_vec(), None);
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// The keys that begin so, in the store and among what this transaction wrote.
    fn beginning(&self, prefix: Vec<u8>) -> Result<BTreeSet<Vec<u8>>> {
        let fresh = self.fresh.range(prefix.clone()..).take_while(|key| key.starts_with(&prefix)).cloned();
        let mut keys: BTreeSet<Vec<u8>> = fresh.collect();
        for item in self.store.scan(prefix) {
            keys.insert(item?.0.to_vec());
        }
        Ok(keys)
    }

    /// Notes something the backends are to be told.
    pub fn journal(&mut self, source: &str, item: &Item) -> Result<()> {
        let key = Key::new(Kind::Journal).text(source).number(self.seq).number(self.items.into());
        self.items += 1;
        self.put(key, item)
    }

    /// A sprint, with what this transaction already changed.
    pub fn sprint(&self, key: &TaskKey) -> Result<Option<SprintRecord>> {
        self.get(&Key::new(Kind::Sprint).task(key).build())
    }

    /// Keeps a sprint; with `journal`, as something the backends are to be told.
    pub fn put_sprint(&mut self, key: &TaskKey, record: &SprintRecord, journal: bool) -> Result<()> {
        self.put(Key::new(Kind::Sprint).task(key), record)?;
        if journal { self.journal(&key.source, &Item::Sprint(key.clone())) } else { Ok(()) }
    }

    /// Moves a stream to where these changes leave it; `None` forgets where it stood.
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

    /// Keeps what is remembered of a source's runs.
    pub fn put_source_status(&mut self, source: &str, status: &SourceStatus) -> Result<()> {
        self.put_json(Key::new(Kind::Meta).text("source").text(source), status)
    }

    /// Declares a source's sweep complete up to here: the backends may be told.
    pub fn seal(&mut self, source: &str) -> Result<()> {
        let seq = if self.writes.is_empty() { self.seq - 1 } else { self.seq };
        self.put(Key::new(Kind::Meta).text("sealed").text(source), &seq)
    }

    /// Keeps a small named value.
    pub fn put_metadata<T: Serialize>(&mut self, group: &str, name: &str, value: &T) -> Result<()> {
        self.put_json(Key::new(Kind::Meta).text("note").text(group).text(name), value)
    }

    /// Moves how far a signal's backend has been told of a source.
    pub fn put_position(&mut self, signal: Signal, source: &str, position: &Position) -> Result<()> {
        self.put(Key::new(Kind::Position).text(signal.as_str()).text(source), position)
    }

    pub(crate) fn put_part<T: Serialize>(&mut self, root: &TaskKey, part: &T) -> Result<()> {
        self.put(Key::new(Kind::Part).task(root), part)
    }

    /// Cuts the journal of a source up to a number, that included: some thousand entries of it, because a large batch costs many
    /// times its size in memory. Says whether there was more; what a crash leaves goes with the next cut.
    pub fn prune(&mut self, source: &str, upto: u64) -> Result<bool> {
        let prefix = Key::new(Kind::Journal).text(source).build();
        let end = Key::new(Kind::Journal).text(source).number(upto.saturating_add(1)).build();
        let mut items = self.store.db.range(prefix..end);
        for item in items.by_ref().take(PRUNED_AT_ONCE) {
            let (key, _) = item.map_err(|error| store_error("read the store", error))?;
            self.writes.insert(key.to_vec(), None);
        }
        self.put(Key::new(Kind::Meta).text("pruned").text(source), &upto)?;
        Ok(items.next().is_some())
    }

    /// Sets a record aside, or (with `None`) clears it: it was understood since.
    pub fn put_quarantined(&mut self, source: &str, native_id: &str, quarantined: Option<Quarantined>) -> Result<()> {
        let key = Key::new(Kind::Quarantined).text(source).text(native_id);
        match quarantined {
            Some(mut quarantined) => {
                let cut = quarantined.json.floor_char_boundary(ASIDE_BYTES);
                quarantined.json.truncate(cut);
                self.put(key, &quarantined)
            }
            None => {
                let key = key.build();
                if self.store.raw(&key)?.is_some() {
                    self.writes.insert(key, None);
                }
                Ok(())
            }
        }
    }

    /// Keeps a dead letter; beyond [`DEAD_LETTERS`] the oldest goes.
    pub fn put_dead(&mut self, dead: &DeadLetter) -> Result<()> {
        let stored: Vec<_> = self
            .store
            .scan(Key::new(Kind::DeadLetter).build())
            .map(|item| item.map(|(key, _)| key))
            .collect::<Result<_>>()?;
        for old in stored.iter().take(stored.len().saturating_sub(DEAD_LETTERS - 1)) {
            self.writes.insert(old.to_vec(), None);
        }
        let key = Key::new(Kind::DeadLetter).number(self.seq).number(self.items.into());
        self.items += 1;
        self.put(key, dead)
    }

    /// Marks an id as seen in a complete pass.
    pub fn put_seen(&mut self, key: &TaskKey, pass: u64) -> Result<()> {
        self.put(Key::new(Kind::Seen).task(key), &pass)
    }

    /// The complete pass that last saw an id.
    pub fn seen(&self, key: &TaskKey) -> Result<Option<u64>> {
        self.get(&Key::new(Kind::Seen).task(key).build())
    }

    /// Whether anything would be written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.totals.is_empty()
    }

    /// Makes it durable: one atomic batch, then an fsync. Returns its journal number.
    pub fn commit(mut self) -> Result<u64> {
        if self.is_empty() {
            return Ok(self.seq - 1);
        }
        for ((source, project), by) in std::mem::take(&mut self.totals) {
            let key = Key::new(Kind::Totals).text(&source).text(&project);
            let mut totals: Totals =
                self.store.value(&Key::new(Kind::Totals).text(&source).text(&project).build())?.unwrap_or_default();
            totals.add(&by, 1);
            self.put(key, &totals)?;
        }
        let seq = self.seq;
        for (source, project) in std::mem::take(&mut self.changed) {
            self.put(Key::new(Kind::Changed).text(&source).text(&project), &seq)?;
        }
        self.put(Key::new(Kind::Meta).text("head"), &seq)?;
        let mut batch = sled::Batch::default();
        for (key, value) in self.writes.drain() {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.store.db.apply_batch(batch).map_err(|error| store_error("write to the store", error))?;
        self.store.db.flush().map_err(|error| store_error("flush the store", error))?;
        witness::record(&self.store.path, seq);
        Ok(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_journal_is_cut_bit_by_bit_and_wholly() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("data")).unwrap();
        let mut transaction = store.begin().unwrap();
        for n in 0..2 * PRUNED_AT_ONCE + 1 {
            let key = TaskKey::new("jira", n.to_string());
            transaction.journal("jira", &Item::Task(key)).unwrap();
        }
        transaction.journal("other", &Item::Task(TaskKey::new("other", "1"))).unwrap();
        let upto = transaction.seq();
        transaction.commit().unwrap();
        let left = |source| store.journal(source, 0, u64::MAX).count();
        let mut cuts = 0;
        let mut more = true;
        while more {
            let mut transaction = store.begin().unwrap();
            more = transaction.prune("jira", upto).unwrap();
            transaction.commit().unwrap();
            cuts += 1;
            assert_eq!(store.pruned("jira").unwrap(), upto, "from the first cut on it cannot be told from the journal");
        }
        assert_eq!((cuts, left("jira"), left("other")), (3, 0, 1));
    }
}
