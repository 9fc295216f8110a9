//! The store in memory: for tests and simulations. Nothing outlives the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;

use super::kv::{Batch, Guard, KeyRange, Kv, Pair};
use crate::lock;
use crate::model::error::Result;

/// A [`Kv`] in memory.
#[derive(Debug, Default)]
pub struct MemoryKv {
    pairs: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// The pairs of a range, `limit` at most.
fn within(pairs: &BTreeMap<Vec<u8>, Vec<u8>>, range: &KeyRange, limit: usize) -> Vec<Pair> {
    if range.is_empty() {
        return Vec::new();
    }
    let to = range.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let found = pairs.range::<[u8], _>((Bound::Included(range.from.as_slice()), to));
    found.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl Kv for MemoryKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(lock(&self.pairs).get(key).cloned())
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let pairs = lock(&self.pairs);
        Ok(keys.iter().map(|key| pairs.get(key).cloned()).collect())
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<Pair>> {
        Ok(within(&lock(&self.pairs), range, limit))
    }

    fn range_many(&self, ranges: &[KeyRange]) -> Result<Vec<Vec<Pair>>> {
        let pairs = lock(&self.pairs);
        Ok(ranges.iter().map(|range| within(&pairs, range, usize::MAX)).collect())
    }

    fn write_batch(&self, batch: Batch, guard: &Guard) -> Result<()> {
        let mut pairs = lock(&self.pairs);
        guard.check(pairs.get(&Guard::key()).map(Vec::as_slice))?;
        for (key, value) in batch {
            match value {
                Some(value) => pairs.insert(key, value),
                None => pairs.remove(&key),
            };
        }
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(lock(&self.pairs).iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}
