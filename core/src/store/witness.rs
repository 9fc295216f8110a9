//! A second record of the journal head and the log's length, in a file beside the engine's own.
//!
//! The engine takes damage in its log for a write that a crash cut short, and drops everything after it without an error: a
//! store with one flipped bit opens as an older one, or as an empty one. Every commit therefore also writes its journal
//! number here, after the fsync. A number that is ahead of the store means that something durable is missing. The file itself
//! is not synced: one that is behind, or lost, only means less protection.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::model::error::{Error, ErrorKind, Result};

/// The file, inside the store's directory.
pub(super) const FILE: &str = "head";

/// What to do about a damaged store. What was only observed is in no tool, so nothing may be deleted.
pub(super) const DAMAGED: &str = "its data is damaged; move the directory aside and keep it, then `contextcore store import` the \
                                  last export; without one sync again: the tools give back their history, with the same ids, but \
                                  not what was only observed";

/// The error for a store that has lost something.
pub(super) fn damaged() -> Error {
    Error::new(ErrorKind::Store, format!("open the store: {DAMAGED}"))
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// The journal number of a commit that is durable.
    pub(super) head: u64,
    /// The length of the engine's log then. Older versions did not write it.
    pub(super) length: Option<u64>,
}

/// Compares the file with the store's newest journal number.
///
/// # Errors
/// [`ErrorKind::Store`] when the store is behind the file.
pub(super) fn check(store: &Path, head: u64) -> Result<()> {
    match read(store) {
        Some(seen) if seen.head > head => {
            Err(damaged().with("path", store.display()).with("newest", seen.head).with("found", head))
        }
        _ => Ok(()),
    }
}

pub(super) fn read(store: &Path) -> Option<Seen> {
    let text = std::fs::read_to_string(store.join(FILE)).ok()?;
    let mut lines = text.lines();
    let head = lines.next()?.parse().ok()?;
    Some(Seen { head, length: lines.next().and_then(|length| length.parse().ok()) })
}

/// Records the journal number of a commit that is durable, and the length of the log.
pub(super) fn record(store: &Path, head: u64, length: u64) {
    if let Err(error) = write(store, head, length) {
        tracing::warn!(%error, "could not record the journal head beside the store");
    }
}

/// In place and always of the same length, so that neither a kill nor a full disk leaves half a number.
fn write(store: &Path, head: u64, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(store.join(FILE))?;
    file.write_all_at(format!("{head:020}\n{length:020}\n").as_bytes(), 0)
}
