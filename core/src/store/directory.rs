//! A store in a directory: opening it to write or to read, compacting it, and putting another in its place.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::files;
use super::kv::Kv;
use super::reader::Store;
use super::sled::SledKv;
use crate::model::error::{Error, ErrorKind, Result};

impl Store {
    /// Opens the store in a directory, or makes it.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when another process holds it (context `locked`), the disk is read-only or full, the data is
    /// damaged, or a newer version of the program wrote it. The error says what to do.
    pub fn open(path: &Path) -> Result<Self> {
        restore_after_compaction(path)?;
        Self::at(path.to_owned(), on_disk(path)?)
    }

    /// Opens the store in a directory to read it. Nothing in the directory changes, also when the disk is full or read-only.
    ///
    /// # Errors
    /// As [`Store::open`]; and when there is no store (context `missing`).
    pub fn open_to_read(path: &Path) -> Result<Self> {
        let place = [path.to_owned(), beside(path, "old")].into_iter().find(|place| files::is_store(place));
        let Some(place) = place else {
            if let Err(error) = std::fs::read_dir(path)
                && error.kind() == io::ErrorKind::PermissionDenied
            {
                return Err(files::unusable(path, error));
            }
            let text = "there is no store here; run `contextcore sync` to make one, or correct store.path";
            return Err(Error::new(ErrorKind::Store, text).with("path", path.display()).with("missing", "true"));
        };
        Self::at(path.to_owned(), Arc::new(SledKv::open_to_read(&place)?))
    }

    /// Copies everything into a fresh directory and puts it in place of this one. Returns bytes before and after.
    ///
    /// The old directory is only removed once the new one is complete and in place.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the store is in no directory, there is no room for a copy, or it cannot be written or put in
    /// place. The store is as it was then.
    pub fn compact(self) -> Result<(u64, u64)> {
        if self.path.as_os_str().is_empty() {
            return Err(Error::new(ErrorKind::Store, "compact: this store is not in a directory; nothing to do"));
        }
        let before = self.size_on_disk()?;
        let fresh = Fresh::beside(&self.path, "compact", before)?;
        self.copy_to(&fresh.store)?;
        let after = fresh.store.size_on_disk()?;
        fresh.replace(&self.path.clone(), Some(self))?;
        Ok((before, after))
    }
}

/// A store that is filled beside another, to take its place. What is not complete is removed.
pub(super) struct Fresh {
    pub(super) store: Store,
    path: PathBuf,
}

impl Fresh {
    /// An empty store beside the one at `path`, if there is room for this many bytes.
    pub(super) fn beside(path: &Path, suffix: &str, bytes: u64) -> Result<Self> {
        if let Some(parent) = path.parent().filter(|parent| parent.exists()) {
            files::check_room(parent, bytes)?;
        }
        // Left behind by a process that was killed. The caller holds the store, so that is the complete one.
        for left in [beside(path, suffix), beside(path, "old")].iter().filter(|left| files::is_store(left)) {
            files::remove(left).map_err(not_in_place)?;
        }
        let fresh = beside(path, suffix);
        Ok(Self { store: Store::open(&fresh)?, path: fresh })
    }

    /// Puts it in the place of another, which is removed then. Both stay open until they changed places, so that no other
    /// process can open either meanwhile.
    pub(super) fn replace(mut self, path: &Path, replaced: Option<Store>) -> Result<()> {
        let fresh = std::mem::take(&mut self.path);
        let left = if path.exists() { exchange(&fresh, path) } else { std::fs::rename(&fresh, path).map(|()| None) };
        let left = left.map_err(not_in_place)?;
        if let Some(parent) = path.parent() {
            // So that a crash does not undo it. Not every file system can.
            drop(File::open(parent).and_then(|parent| parent.sync_all()));
        }
        drop(replaced);
        left.map_or(Ok(()), |left| files::remove(&left)).map_err(not_in_place)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty()
            && let Err(error) = files::remove(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "could not remove an incomplete store");
        }
    }
}

/// Lets two directories change places, in one step where the system can. Returns where the one that was at `path` is now.
fn exchange(fresh: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    if renameat_with(CWD, fresh, CWD, path, RenameFlags::EXCHANGE).is_ok() {
        return Ok(Some(fresh.to_owned()));
    }
    let old = beside(path, "old");
    std::fs::rename(path, &old)?;
    match std::fs::rename(fresh, path) {
        Ok(()) => Ok(Some(old)),
        Err(error) => std::fs::rename(&old, path).and(Err(error)),
    }
}

/// The engine on disk.
pub(crate) fn on_disk(path: &Path) -> Result<Arc<dyn Kv>> {
    Ok(Arc::new(SledKv::open(path)?))
}

fn not_in_place(error: io::Error) -> Error {
    let text = "put the new store in place; store.path must be a directory inside a volume, not the volume itself";
    Error::new(ErrorKind::Store, text).caused_by(error)
}

/// Moves a store back that a compaction had moved out of the way when it was killed.
fn restore_after_compaction(path: &Path) -> Result<()> {
    let old = beside(path, "old");
    if path.exists() || !old.exists() {
        return Ok(());
    }
    tracing::warn!(store = %path.display(), "a compaction was interrupted: using the store as it was before");
    let failed = |error| Error::new(ErrorKind::Store, "move back the store from before a compaction").caused_by(error);
    std::fs::rename(&old, path).map_err(failed)
}

/// The directory of this suffix beside a store. A name that ends in a slash names the same directory.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.components().collect::<PathBuf>().into_os_string();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::super::reopen::opened;
    use super::*;

    fn answer(path: &Path) -> Option<u32> {
        opened(path).unwrap().metadata("test", "answer").unwrap()
    }

    fn store(path: &Path) -> Store {
        let store = opened(path).unwrap();
        let mut transaction = store.begin().unwrap();
        transaction.put_metadata("test", "answer", &42).unwrap();
        transaction.commit().unwrap();
        store
    }

    #[test]
    fn a_compaction_killed_at_any_step_leaves_the_store_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        drop(store(&path));
        // While the copy is being made.
        drop(store(&beside(&path, "compact")));
        assert_eq!(answer(&path), Some(42));
        // While the two change places.
        std::fs::rename(&path, beside(&path, "old")).unwrap();
        assert_eq!(answer(&path), Some(42));
        // Before the old one is removed.
        drop(store(&beside(&path, "old")));
        assert_eq!(answer(&path), Some(42));
        opened(&path).unwrap().compact().unwrap();
        assert_eq!(answer(&path), Some(42));
        assert!(!beside(&path, "old").exists() && !beside(&path, "compact").exists());
    }
}
