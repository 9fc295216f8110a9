//! A storage engine that counts the calls it gets. For tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::kv::{Batch, Guard, KeyRange, Kv, Pair};
use crate::model::error::Result;

/// Passes every call on, and counts it.
pub(crate) struct CountingKv {
    inner: Arc<dyn Kv>,
    calls: AtomicU64,
}

impl CountingKv {
    pub(crate) fn over(inner: Arc<dyn Kv>) -> Self {
        Self { inner, calls: AtomicU64::new(0) }
    }

    /// The calls since the last time, by which an engine behind a network would have made a round trip.
    pub(crate) fn take(&self) -> u64 {
        self.calls.swap(0, Ordering::Relaxed)
    }

    fn count(&self) -> &dyn Kv {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &*self.inner
    }
}

impl Kv for CountingKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.count().get(key)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        self.count().get_many(keys)
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<Pair>> {
        self.count().range(range, limit)
    }

    fn range_many(&self, ranges: &[KeyRange]) -> Result<Vec<Vec<Pair>>> {
        self.count().range_many(ranges)
    }

    fn write_batch(&self, batch: Batch, guard: &Guard) -> Result<()> {
        self.count().write_batch(batch, guard)
    }

    fn size(&self) -> Result<u64> {
        self.count().size()
    }
}
