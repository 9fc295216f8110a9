//! A disk that outlives processes: it fills up, and processes die between any two of its writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use contextcore_core::store::{Batch, Guard, KeyRange, Kv, MemoryKv, Pair};
use contextcore_core::{Error, ErrorKind, Result, lock};
use tokio_util::sync::CancellationToken;

/// What is on the disk.
#[derive(Default)]
pub(crate) struct Disk {
    kv: MemoryKv,
    /// Writes that fail, beginning with the next, because the disk is full.
    full_for: Mutex<u32>,
}

impl Disk {
    /// The disk is full for so many writes.
    pub(crate) fn fill(&self, writes: u32) {
        *lock(&self.full_for) = writes;
    }

    /// A process that uses the disk.
    pub(crate) fn process(self: &Arc<Self>) -> Arc<Process> {
        Arc::new(Process {
            disk: Arc::clone(self),
            is_dead: AtomicBool::new(false),
            dying: CancellationToken::new(),
            death: Mutex::new(None),
        })
    }
}

/// When a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// In the middle of this write, counted from 1: nothing of it is on the disk.
    BeforeWrite(u32),
    /// Right after this write: it is on the disk, and the process never knew.
    AfterWrite(u32),
    /// While it waits for the answer to this request, counted from 1.
    Request(u32),
}

/// One life of the program. After its death no call reaches the disk.
pub(crate) struct Process {
    disk: Arc<Disk>,
    is_dead: AtomicBool,
    /// Cancelled at the moment of death.
    pub(crate) dying: CancellationToken,
    death: Mutex<Option<Death>>,
}

impl Process {
    pub(crate) fn dies(&self, death: Option<Death>) {
        *lock(&self.death) = death;
    }

    pub(crate) fn kill(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
        self.dying.cancel();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    /// Counts a request. Returns whether the process dies waiting for its answer.
    pub(crate) fn request(&self) -> bool {
        let mut death = lock(&self.death);
        let Some(Death::Request(left)) = death.as_mut() else { return self.is_dead() };
        *left -= 1;
        if *left == 0 {
            drop(death);
            self.kill();
        }
        self.is_dead()
    }

    fn alive(&self) -> Result<&MemoryKv> {
        if self.is_dead() {
            return Err(Error::new(ErrorKind::Store, "this process is dead"));
        }
        Ok(&self.disk.kv)
    }

    /// Counts a write. Returns how the process dies with it, if it does.
    fn death_of_write(&self) -> Option<Death> {
        let mut death = lock(&self.death);
        let Some(Death::BeforeWrite(left) | Death::AfterWrite(left)) = death.as_mut() else { return None };
        *left -= 1;
        if *left == 0 { death.take() } else { None }
    }

    fn write(&self, batch: Batch, guard: &Guard) -> Result<()> {
        let mut full_for = lock(&self.disk.full_for);
        if *full_for > 0 {
            *full_for -= 1;
            return Err(Error::new(ErrorKind::Store, "write to the store: no space left on device"));
        }
        self.disk.kv.write_batch(batch, guard)
    }
}

impl Kv for Process {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.alive()?.get(key)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        self.alive()?.get_many(keys)
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<Pair>> {
        self.alive()?.range(range, limit)
    }

    fn range_many(&self, ranges: &[KeyRange]) -> Result<Vec<Vec<Pair>>> {
        self.alive()?.range_many(ranges)
    }

    fn write_batch(&self, batch: Batch, guard: &Guard) -> Result<()> {
        self.alive()?;
        let death = self.death_of_write();
        if let Some(Death::BeforeWrite(_)) = death {
            self.kill();
            return self.alive().map(drop);
        }
        let written = self.write(batch, guard);
        if death.is_some() {
            self.kill();
            return self.alive().map(drop);
        }
        written
    }

    fn size(&self) -> Result<u64> {
        self.alive()?.size()
    }
}
