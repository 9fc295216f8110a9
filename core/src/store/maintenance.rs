//! Looking after the store: verify, export, import, compact.
//!
//! An export is a text file: a header line, then one line a key with key and value in base64. It is the backup, the way to
//! another machine, and what compaction copies through.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::footprint::Footprint;
use super::key::{self, Kind};
use super::{Store, format, store_error};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::timeline;
use crate::model::{SprintRecord, TaskRecord};

const HEADER: &str = "contextcore-store";
/// Keys written per batch while importing.
const IMPORT_BATCH: usize = 1_000;

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// Tasks read.
    pub tasks: u64,
    /// Timeline events read.
    pub events: u64,
    /// Sprints read.
    pub sprints: u64,
    /// Journal items read.
    pub journal: u64,
    /// What is wrong; empty when all is well.
    pub problems: Vec<String>,
}

impl Store {
    /// Reads everything, and checks that timelines are sorted and that every index entry a task should have is there.
    pub fn verify(&self) -> Result<Verified> {
        let mut found = Verified::default();
        for item in self.db.iter() {
            let (key, bytes) = item.map_err(|error| store_error("read the store", error))?;
            match key.first() {
                Some(kind) if *kind == Kind::Task as u8 => self.verify_task(&key, &bytes, &mut found)?,
                Some(kind) if *kind == Kind::Sprint as u8 => {
                    found.sprints += 1;
                    record(&mut found, &key, format::decode::<SprintRecord>(&bytes).err());
                }
                Some(kind) if *kind == Kind::Journal as u8 => {
                    found.journal += 1;
                    record(&mut found, &key, format::decode::<super::Item>(&bytes).err());
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn verify_task(&self, key: &[u8], bytes: &[u8], found: &mut Verified) -> Result<()> {
        found.tasks += 1;
        let record: TaskRecord = match format::decode(bytes) {
            Ok(record) => record,
            Err(error) => {
                record(found, key, Some(error));
                return Ok(());
            }
        };
        found.events += record.timeline.len() as u64;
        let Some(task) = key::task_of(key, 1) else { return Ok(()) };
        if timeline::first(&record.timeline).is_none() {
            found.problems.push(format!("{task}: the timeline does not begin with its creation"));
        }
        if !record.timeline.is_sorted_by_key(|stored| stored.event.at) {
            found.problems.push(format!("{task}: the timeline is not sorted"));
        }
        for index in Footprint::of(&task, Some(&record)).keys {
            if self.raw(&index)?.is_none() {
                found.problems.push(format!("{task}: missing from an index"));
            }
        }
        Ok(())
    }

    /// Writes everything as text lines. Returns the number of keys.
    pub fn export(&self, out: &mut dyn Write) -> Result<u64> {
        let failed = |error: std::io::Error| Error::new(ErrorKind::Store, "write the export").caused_by(error);
        writeln!(out, "{HEADER} {}", format::VERSION).map_err(failed)?;
        let mut keys = 0;
        for item in self.db.iter() {
            let (key, value) = item.map_err(|error| store_error("read the store", error))?;
            writeln!(out, "{} {}", BASE64.encode(key), BASE64.encode(value)).map_err(failed)?;
            keys += 1;
        }
        out.flush().map_err(failed)?;
        Ok(keys)
    }

    /// Reads an export into this store, which must hold no task yet. Returns the number of keys.
    pub fn import(&self, input: &mut dyn BufRead) -> Result<u64> {
        if self.task_keys(None).next().is_some() {
            return Err(Error::new(
                ErrorKind::Store,
                "import: this store already holds tasks; use an empty store.path",
            ));
        }
        let mut lines = input.lines();
        check_header(lines.next().transpose().map_err(unreadable)?.as_deref().unwrap_or_default())?;
        let mut batch = sled::Batch::default();
        let mut keys = 0;
        for line in lines {
            let (key, value) = parse_line(&line.map_err(unreadable)?)?;
            batch.insert(key, value);
            keys += 1;
            if keys % IMPORT_BATCH as u64 == 0 {
                self.apply(std::mem::take(&mut batch))?;
            }
        }
        self.apply(batch)?;
        self.db.flush().map_err(|error| store_error("flush the store", error))?;
        Ok(keys)
    }

    fn apply(&self, batch: sled::Batch) -> Result<()> {
        self.db.apply_batch(batch).map_err(|error| store_error("write to the store", error))
    }

    /// Copies everything live into a fresh directory and puts it in place of this one. Returns bytes before and after.
    ///
    /// The old directory is only removed once the new one is complete and in place. A crash while they change places leaves
    /// the old one with the suffix `.old`, from where the next [`Store::open`] takes it back.
    pub fn compact(self) -> Result<(u64, u64)> {
        let (path, before) = (self.path.clone(), self.size_on_disk()?);
        let (fresh_path, old_path) = (beside(&path, "compact"), beside(&path, "old"));
        let moved =
            |error: std::io::Error| Error::new(ErrorKind::Store, "put the compacted store in place").caused_by(error);
        // What a compaction that was killed left behind: this store is open, so it is the whole one.
        for left in [&fresh_path, &old_path].into_iter().filter(|left| left.exists()) {
            std::fs::remove_dir_all(left).map_err(moved)?;
        }
        let fresh = Self::open(&fresh_path)?;
        let mut batch = sled::Batch::default();
        for (number, item) in self.db.iter().enumerate() {
            let (key, value) = item.map_err(|error| store_error("read the store", error))?;
            batch.insert(key, value);
            if number % IMPORT_BATCH == 0 {
                fresh.apply(std::mem::take(&mut batch))?;
            }
        }
        fresh.apply(batch)?;
        fresh.db.flush().map_err(|error| store_error("flush the store", error))?;
        let after = fresh.size_on_disk()?;
        drop((fresh, self));
        std::fs::rename(&path, &old_path).map_err(moved)?;
        std::fs::rename(&fresh_path, &path).map_err(moved)?;
        std::fs::remove_dir_all(&old_path).map_err(moved)?;
        Ok((before, after))
    }
}

/// Takes back a store that a compaction had moved out of the way when it was killed.
pub(super) fn take_back(path: &Path) -> Result<()> {
    let old = beside(path, "old");
    if path.exists() || !old.exists() {
        return Ok(());
    }
    tracing::warn!(store = %path.display(), "a compaction was interrupted: going on with the store as it was before");
    std::fs::rename(&old, path)
        .map_err(|error| Error::new(ErrorKind::Store, "take back the store from before a compaction").caused_by(error))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn record(found: &mut Verified, key: &[u8], error: Option<Error>) {
    if let Some(error) = error {
        found.problems.push(format!("{}: {}", key::texts(key, 1).join("/"), error.full()));
    }
}

fn unreadable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Store, "read the export").caused_by(error)
}

fn check_header(line: &str) -> Result<()> {
    match line.split_once(' ') {
        Some((HEADER, version)) => match version.parse::<u8>() {
            Ok(version) if version <= format::VERSION => Ok(()),
            Ok(version) => Err(format::newer(version)),
            Err(_) => Err(Error::new(ErrorKind::Store, "import: this is not an export of `contextcore store export`")),
        },
        _ => Err(Error::new(ErrorKind::Store, "import: this is not an export of `contextcore store export`")),
    }
}

fn parse_line(line: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let damaged =
        || Error::new(ErrorKind::Store, "import: a line of the export is damaged; nothing was left out before it");
    let (key, value) = line.split_once(' ').ok_or_else(damaged)?;
    let decode = |text: &str| BASE64.decode(text).map_err(|error| damaged().caused_by(error));
    Ok((decode(key)?, decode(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(path: &Path) -> Option<u32> {
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
    fn a_compaction_killed_at_any_step_leaves_the_store_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        drop(store(&path));
        // While the copy is being made.
        drop(store(&beside(&path, "compact")));
        assert_eq!(noted(&path), Some(42));
        // While the two change places.
        std::fs::rename(&path, beside(&path, "old")).unwrap();
        assert_eq!(noted(&path), Some(42));
        // Before the old one is removed.
        drop(store(&beside(&path, "old")));
        assert_eq!(noted(&path), Some(42));
        Store::open(&path).unwrap().compact().unwrap();
        assert_eq!(noted(&path), Some(42));
        assert!(!beside(&path, "old").exists() && !beside(&path, "compact").exists());
    }
}
