//! Opening a store that this process closed a moment ago.
//!
//! Another test may start a program at that moment. Until the child runs it, the child holds every open file of this process,
//! and so the lock of the store too.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::Store;
use crate::model::error::Result;

/// Opens a store as [`Store::open`] does, and waits for its lock.
pub(super) fn opened(path: &Path) -> Result<Store> {
    patiently(|| Store::open(path))
}

/// Repeats this while the store is locked, for at most ten seconds.
pub(super) fn patiently<T>(open: impl Fn() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(error) if error.context("locked").is_some() && begun.elapsed() < Duration::from_secs(10) => {
                thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}
