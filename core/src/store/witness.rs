//! A second note of how far the store has come, in a file beside sled's own.
//!
//! sled takes damage in its log for a write that a crash cut short, and forgets all that came after it without a word: a
//! store with one flipped bit opens as an older one, or as an empty one. Every commit therefore also leaves its journal
//! number here, after the fsync. A note that is ahead of the store tells that something durable is missing. The note itself is
//! not synced: one that is behind, or lost, only means less protection.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::damaged;
use crate::model::error::Result;

/// The file, inside the store's directory.
const FILE: &str = "head";

/// Compares the note with the store's newest journal number.
///
/// # Errors
/// [`crate::ErrorKind::Store`] when the store is behind its own note.
pub(super) fn check(store: &Path, head: u64) -> Result<()> {
    match read(store) {
        Some(noted) if noted > head => {
            Err(damaged().with("path", store.display()).with("newest", noted).with("found", head))
        }
        _ => Ok(()),
    }
}

fn read(store: &Path) -> Option<u64> {
    std::fs::read_to_string(store.join(FILE)).ok()?.trim().parse().ok()
}

/// Notes the journal number of a commit that is durable.
pub(super) fn record(store: &Path, head: u64) {
    if let Err(error) = write(store, head) {
        tracing::warn!(%error, "could not note how far the store has come");
    }
}

/// In place and always as long, so that neither a kill nor a full disk leaves half a number.
fn write(store: &Path, head: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(store.join(FILE))?;
    file.write_all_at(format!("{head:020}\n").as_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    /// A store with so many commits behind it.
    fn store(path: &Path, commits: u64) {
        // Sled's own threads let go of the file a moment after a store is closed.
        let begun = std::time::Instant::now();
        let store = loop {
            match Store::open(path) {
                Err(error) if error.context("locked").is_some() && begun.elapsed().as_secs() < 10 => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                opened => break opened.unwrap(),
            }
        };
        for number in 0..commits {
            let mut transaction = store.begin().unwrap();
            transaction.put_metadata("test", &format!("{number}"), &"x".repeat(100)).unwrap();
            transaction.commit().unwrap();
        }
    }

    #[test]
    fn a_damaged_store_is_refused_or_whole_but_never_quietly_shorter() {
        let dir = tempfile::tempdir().unwrap();
        let (good, bad) = (dir.path().join("good"), dir.path().join("bad"));
        store(&good, 50);
        let bytes = std::fs::read(good.join("db")).unwrap();
        let mut found = 0;
        for place in (0..bytes.len()).step_by(997) {
            std::fs::create_dir_all(&bad).unwrap();
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x40;
            std::fs::write(bad.join("db"), bytes).unwrap();
            for name in ["conf", FILE] {
                std::fs::copy(good.join(name), bad.join(name)).unwrap();
            }
            match Store::open(&bad) {
                Ok(store) => assert_eq!(store.head().unwrap(), 50, "byte {place}"),
                Err(error) => {
                    assert!(error.to_string().contains("move the directory aside"), "byte {place}: {error}");
                    found += 1;
                }
            }
            std::fs::remove_dir_all(&bad).unwrap();
        }
        assert!(found > 10, "{found}");
    }

    #[test]
    fn a_note_that_is_lost_or_behind_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path(), 3);
        for text in ["", "torn", "00000000000000000001\n"] {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            store(dir.path(), 1);
        }
        assert_eq!(read(dir.path()), Some(6));
    }
}
