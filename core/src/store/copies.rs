//! Copies of stores, kept open between questions. A process that answers many questions would otherwise copy and read a whole store
//! for each.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::files;
use super::reader::Store;
use super::witness;
use crate::lock;
use crate::model::error::Result;

/// The copies that are open. Each is used for as long as nothing changes in its directory.
#[derive(Default)]
pub struct Copies(Mutex<BTreeMap<PathBuf, OpenCopy>>);

struct OpenCopy {
    /// What the directory looked like, and the journal head of the store in it.
    files: Files,
    head: u64,
    store: Arc<Store>,
}

/// What the files of a directory look like from outside: name, inode, length, and when they were changed, in nanoseconds.
type Files = Vec<(OsString, u64, u64, (i64, i64))>;

impl Copies {
    /// The store in a directory, to read it: the copy that is open, unless something has changed.
    ///
    /// # Errors
    /// As [`Store::open_to_read`].
    pub fn open(&self, path: &Path) -> Result<Arc<Store>> {
        let held = files::lock(path);
        let mut kept = lock(&self.0);
        if let Err(error) = held {
            // Whoever holds it changes it.
            kept.remove(path);
            return Err(error);
        }
        let before = seen(path);
        if let Some(known) = kept.get(path).filter(|known| known.files == before) {
            return Ok(Arc::clone(&known.store));
        }
        kept.remove(path);
        drop(held);
        let store = Arc::new(Store::open_to_read(path)?);
        // Without room for a copy it is the store itself, which nobody else could open as long as it is kept.
        if files::lock(path).is_ok() {
            let head = store.head()?;
            kept.insert(path.to_owned(), OpenCopy { files: before, head, store: Arc::clone(&store) });
        }
        Ok(store)
    }

    /// Changes in the store of a directory, if there is one, what its readers need not see. The copy that is open stays open, unless
    /// somebody else has changed the store.
    ///
    /// # Errors
    /// As [`Store::open`], and when it cannot be changed.
    pub fn change(&self, path: &Path, change: impl FnOnce(&Store) -> Result<()>) -> Result<()> {
        if !files::is_store(path) {
            return Ok(());
        }
        let mut kept = lock(&self.0);
        let store = Store::open(path)?;
        let before = store.head()?;
        let changed = change(&store);
        let after = store.head()?;
        drop(store);
        // With the lock nobody changes it further; the head says whether somebody has since it was closed.
        let held = files::lock(path);
        let is_known = held.is_ok() && witness::read(path).is_some_and(|seen| seen.head == after);
        match kept.get_mut(path) {
            Some(known) if is_known && known.head == before => {
                known.head = after;
                known.files = seen(path);
            }
            _ => drop(kept.remove(path)),
        }
        changed
    }
}

fn seen(path: &Path) -> Files {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let look = |entry: fs::DirEntry| {
        let data = entry.metadata().ok()?;
        Some((entry.file_name(), data.ino(), data.len(), (data.mtime(), data.mtime_nsec())))
    };
    let mut all: Files = entries.filter_map(look).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::super::reopen::{opened, patiently};
    use super::*;

    fn write(path: &Path, value: u64) {
        let store = opened(path).unwrap();
        let mut transaction = store.begin().unwrap();
        transaction.put_metadata("test", "value", &value).unwrap();
        transaction.commit().unwrap();
    }

    fn read(copies: &Copies, path: &Path) -> (Arc<Store>, Option<u64>) {
        let store = patiently(|| copies.open(path)).unwrap();
        let value = store.metadata("test", "value").unwrap();
        (store, value)
    }

    #[test]
    fn a_copy_is_kept_until_the_store_changes_and_locks_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        write(&path, 1);
        let copies = Copies::default();
        // A lock that is held for a moment costs a copy.
        let is_kept = || {
            let (first, again) = (read(&copies, &path), read(&copies, &path));
            assert_eq!((first.1, again.1), (Some(1), Some(1)));
            Arc::ptr_eq(&first.0, &again.0)
        };
        assert!((0..10).any(|_| is_kept()));
        write(&path, 2);
        assert_eq!(read(&copies, &path).1, Some(2));
        let _held = opened(&path).unwrap();
        assert!(copies.open(&path).is_err_and(|error| error.context("locked").is_some()));
    }

    #[test]
    fn a_change_that_readers_need_not_see_costs_no_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        write(&path, 1);
        let copies = Copies::default();
        let change = |value: u64| {
            patiently(|| {
                copies.change(&path, |store| {
                    let mut transaction = store.begin()?;
                    transaction.put_metadata("test", "value", &value)?;
                    transaction.commit().map(drop)
                })
            })
        };
        // A lock that is held for a moment costs a copy.
        let is_kept = |value: u64| {
            let first = read(&copies, &path);
            change(value).unwrap();
            Arc::ptr_eq(&first.0, &read(&copies, &path).0)
        };
        assert!((2..12).any(is_kept));
        write(&path, 20);
        change(21).unwrap();
        assert_eq!(read(&copies, &path).1, Some(21), "somebody else has changed it, too");
    }

    #[test]
    fn without_a_store_there_is_nothing_to_keep() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Copies::default().open(&dir.path().join("none"));
        assert!(missing.is_err_and(|error| error.context("missing").is_some()));
        Copies::default().change(dir.path(), |_| panic!("there is no store to change")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
