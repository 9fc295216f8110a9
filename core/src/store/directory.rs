//! A store in a directory: opening it, and compacting it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::kv::{Guard, KeyRange, Kv, PAGE};
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

    /// Copies everything into a fresh directory and puts it in place of this one. Returns bytes before and after.
    ///
    /// The old directory is only removed once the new one is complete and in place. A crash while they change places leaves
    /// the old one with the suffix `.old`, and the next [`Store::open`] moves it back.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the store is in no directory, or the copy cannot be written or put in place.
    pub fn compact(self) -> Result<(u64, u64)> {
        if self.path.as_os_str().is_empty() {
            return Err(Error::new(ErrorKind::Store, "compact: this store is not in a directory; nothing to do"));
        }
        let (path, before) = (self.path.clone(), self.size_on_disk()?);
        let (fresh_path, old_path) = (beside(&path, "compact"), beside(&path, "old"));
        // Left behind by a compaction that was killed. This store is open, so it is the complete one.
        for left in [&fresh_path, &old_path].into_iter().filter(|left| left.exists()) {
            std::fs::remove_dir_all(left).map_err(not_moved)?;
        }
        let fresh = Self::open(&fresh_path)?;
        self.copy_to(&fresh)?;
        let after = fresh.size_on_disk()?;
        drop((fresh, self));
        std::fs::rename(&path, &old_path).map_err(not_moved)?;
        std::fs::rename(&fresh_path, &path).map_err(not_moved)?;
        std::fs::remove_dir_all(&old_path).map_err(not_moved)?;
        Ok((before, after))
    }

    fn copy_to(&self, fresh: &Self) -> Result<()> {
        let mut batch = Vec::new();
        for pair in self.pages(KeyRange::all()) {
            let (key, value) = pair?;
            batch.push((key, Some(value)));
            if batch.len() == COPIED_AT_ONCE {
                fresh.kv.write_batch(std::mem::take(&mut batch), &Guard::at(fresh.head()?))?;
            }
        }
        fresh.kv.write_batch(batch, &Guard::at(fresh.head()?))
    }
}

/// The engine on disk.
pub(crate) fn on_disk(path: &Path) -> Result<Arc<dyn Kv>> {
    Ok(Arc::new(SledKv::open(path)?))
}

/// Keys copied in one batch.
const COPIED_AT_ONCE: usize = 4 * PAGE;

fn not_moved(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Store, "put the compacted store in place").caused_by(error)
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

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(path: &Path) -> Option<u32> {
        Store::open(path).unwrap().metadata("test", "answer").unwrap()
    }

    fn store(path: &Path) -> Store {
        let store = Store::open(path).unwrap();
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
        Store::open(&path).unwrap().compact().unwrap();
        assert_eq!(answer(&path), Some(42));
        assert!(!beside(&path, "old").exists() && !beside(&path, "compact").exists());
    }
}
