//! What a process remembers of what nobody else writes: the small values of the sources whose leases it holds.
//!
//! How far a source was read and exported, and what its connector keeps, is written under the lease of the source alone. So what was
//! read or written under a lease is what is stored for as long as that lease is held, and a poll in which nothing changed reads next
//! to nothing. Each value is remembered with the [`Tenure`] in which it was read, which ends with the lease, and whenever the nonce
//! changes; a write that failed makes everything forgotten. What is written all the same from a value that is stale is refused: the
//! write names the lease, and the last commit under it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::super::key;
use super::super::kv::{Batch, KeyRange, Pair};
use crate::lock;

/// Values and lists that are larger are read each time.
const LARGEST: usize = 256 << 10;
/// Bytes that are remembered of one source at most, and those that each value takes beside its own.
const OF_A_SOURCE: usize = 1 << 20;
const OF_A_VALUE: usize = 128;

/// The time in which this process holds one lease and knows what became of all it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tenure {
    pub(super) token: i64,
    pub(super) nonce: i64,
}

/// What is remembered, by source.
#[derive(Default)]
pub(super) struct Remembered(Mutex<All>);

#[derive(Default)]
struct All {
    /// Changes whenever something is written or forgotten: what was read meanwhile may be older.
    version: u64,
    /// Writes that are under way.
    writes: u32,
    sources: BTreeMap<String, OfSource>,
}

#[derive(Default)]
struct OfSource {
    tenure: Option<Tenure>,
    bytes: usize,
    values: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// All pairs that begin with a prefix.
    lists: HashMap<Vec<u8>, Vec<Pair>>,
}

impl OfSource {
    /// What is remembered of this tenure. Of any other one nothing is left.
    fn of(&mut self, tenure: Tenure, more: usize) -> &mut Self {
        if self.tenure != Some(tenure) || self.bytes + more > OF_A_SOURCE {
            *self = Self { tenure: Some(tenure), ..Self::default() };
        }
        self.bytes += more;
        self
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(value) = self.values.remove(key) {
            self.bytes = self.bytes.saturating_sub(size(key, value.as_deref()));
        }
        self.lists.retain(|prefix, _| !key.starts_with(prefix));
    }
}

fn size(key: &[u8], value: Option<&[u8]>) -> usize {
    OF_A_VALUE + key.len() + value.map_or(0, <[u8]>::len)
}

impl All {
    fn known(&self, source: &str, tenure: Option<Tenure>) -> Option<&OfSource> {
        self.sources.get(source).filter(|known| tenure.is_some() && known.tenure == tenure)
    }

    fn put(&mut self, source: String, tenure: Tenure, key: Vec<u8>, value: Option<Vec<u8>>) {
        let bytes = size(&key, value.as_deref());
        if bytes <= LARGEST {
            self.sources.entry(source).or_default().of(tenure, bytes).values.insert(key, value);
        }
    }
}

impl Remembered {
    /// Forgets everything.
    pub(super) fn forget(&self) {
        let mut all = lock(&self.0);
        all.version += 1;
        all.sources.clear();
    }

    /// Forgets what a batch is about to change. What is read while it is written is not remembered.
    pub(super) fn before(&self, batch: &Batch) {
        let mut all = lock(&self.0);
        all.version += 1;
        all.writes += 1;
        for (key, _) in batch {
            let known = key::owner(key).and_then(|source| all.sources.get_mut(&source));
            if let Some(known) = known {
                known.forget(key);
            }
        }
    }

    /// Remembers what was written. After a failure everything is forgotten.
    pub(super) fn after(&self, batch: &Batch, is_written: bool, tenure_of: impl Fn(&str) -> Option<Tenure>) {
        let own = batch.iter().filter_map(|(key, value)| Some((key::owner(key)?, key, value)));
        let mut own: Vec<_> = if is_written { own.collect() } else { Vec::new() };
        let tenures: BTreeMap<String, Option<Tenure>> =
            own.iter().map(|(source, ..)| (source.clone(), tenure_of(source))).collect();
        let mut all = lock(&self.0);
        all.version += 1;
        all.writes -= 1;
        if !is_written {
            all.sources.clear();
        }
        for (source, key, value) in own.drain(..) {
            if let Some(Some(tenure)) = tenures.get(&source) {
                all.put(source, *tenure, key.clone(), value.clone());
            }
        }
    }
}

/// One call that reads: what it need not ask for, and what it may remember.
pub(super) struct Reading<'a, T> {
    remembered: &'a Remembered,
    /// The tenure of a source, if this process has it now.
    tenure_of: T,
    version: u64,
    /// The tenures at its beginning, of the sources it is about.
    tenures: BTreeMap<String, Option<Tenure>>,
}

impl<'a, T: Fn(&str) -> Option<Tenure>> Reading<'a, T> {
    pub(super) fn new(remembered: &'a Remembered, tenure_of: T) -> Self {
        let version = lock(&remembered.0).version;
        Self { remembered, tenure_of, version, tenures: BTreeMap::new() }
    }

    fn tenure(&mut self, source: &str) -> Option<Tenure> {
        if let Some(tenure) = self.tenures.get(source) {
            return *tenure;
        }
        let tenure = (self.tenure_of)(source);
        self.tenures.insert(source.to_owned(), tenure);
        tenure
    }

    /// The value of a key, if it is remembered.
    pub(super) fn value(&mut self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let source = key::owner(key)?;
        let tenure = self.tenure(&source);
        lock(&self.remembered.0).known(&source, tenure)?.values.get(key).cloned()
    }

    /// The first pairs of a range, if all of it is remembered.
    pub(super) fn list(&mut self, range: &KeyRange, limit: usize) -> Option<Vec<Pair>> {
        let source = owner_of_range(range)?;
        let tenure = self.tenure(&source);
        let all = lock(&self.remembered.0);
        let list = all.known(&source, tenure)?.lists.get(&range.from)?;
        Some(list.iter().take(limit).cloned().collect())
    }

    /// Remembers what was read, unless something was written or a lease ended meanwhile.
    pub(super) fn remember<'k>(&mut self, values: impl IntoIterator<Item = (&'k Vec<u8>, Option<&'k Vec<u8>>)>) {
        let values = values.into_iter().filter_map(|(key, value)| Some((key::owner(key)?, key, value)));
        let held: Vec<_> =
            values.filter_map(|(source, key, value)| Some((self.still(&source)?, source, key, value))).collect();
        let Some(mut all) = self.unchanged() else { return };
        for (tenure, source, key, value) in held {
            all.put(source, tenure, key.clone(), value.cloned());
        }
    }

    /// The same for all pairs of a range.
    pub(super) fn remember_list(&mut self, range: &KeyRange, pairs: &[Pair]) {
        let Some(source) = owner_of_range(range) else { return };
        let bytes: usize = pairs.iter().map(|(key, value)| size(key, Some(value))).sum();
        let Some(tenure) = self.still(&source).filter(|_| bytes <= LARGEST) else { return };
        let Some(mut all) = self.unchanged() else { return };
        let known = all.sources.entry(source).or_default().of(tenure, bytes);
        known.lists.insert(range.from.clone(), pairs.to_vec());
    }

    /// The tenure that a source has had since this call began.
    fn still(&mut self, source: &str) -> Option<Tenure> {
        let now = (self.tenure_of)(source)?;
        self.tenure(source).filter(|then| *then == now)
    }

    fn unchanged(&self) -> Option<std::sync::MutexGuard<'a, All>> {
        let all = lock(&self.remembered.0);
        (all.version == self.version && all.writes == 0).then_some(all)
    }
}

fn owner_of_range(range: &KeyRange) -> Option<String> {
    let source = key::owner_of_all(&range.from)?;
    (KeyRange::prefix(range.from.clone()) == *range).then_some(source)
}
