//! Verifying, exporting and importing a store.
//!
//! An export is a text file: a header line, then one line a key, with key and value in base64. It is the backup, and the way
//! to another machine.

use std::io::{BufRead, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::footprint::Footprint;
use super::format;
use super::key::{self, Kind};
use super::kv::{Batch, Guard, KeyRange};
use super::reader::Store;
use super::records::Item;
use crate::lock;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::timeline;
use crate::model::{SprintRecord, TaskRecord};

const HEADER: &str = "contextcore-store";
/// Keys written in one batch of an import.
const IMPORTED_AT_ONCE: usize = 1_000;

/// The result of a verification.
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
    /// Reads everything. Checks that timelines are sorted and that every task is in all its indexes.
    ///
    /// # Errors
    /// When the store cannot be read. A damaged value is a problem in the result.
    pub fn verify(&self) -> Result<Verified> {
        let mut found = Verified::default();
        for pair in self.pages(KeyRange::all()) {
            let (key, bytes) = pair?;
            match key.first() {
                Some(kind) if *kind == Kind::Task as u8 => self.verify_task(&key, &bytes, &mut found)?,
                Some(kind) if *kind == Kind::Sprint as u8 => {
                    found.sprints += 1;
                    report(&mut found, &key, format::decode::<SprintRecord>(&bytes).err());
                }
                Some(kind) if *kind == Kind::Journal as u8 => {
                    found.journal += 1;
                    report(&mut found, &key, format::decode::<Item>(&bytes).err());
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
                report(found, key, Some(error));
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
        let indexes: Vec<Vec<u8>> = Footprint::of(&task, Some(&record)).keys.into_iter().collect();
        let missing = self.kv.get_many(&indexes)?.into_iter().filter(Option::is_none);
        found.problems.extend(missing.map(|_| format!("{task}: missing from an index")));
        Ok(())
    }

    /// Writes everything as text lines. Returns the number of keys.
    ///
    /// # Errors
    /// When the store cannot be read or `out` cannot be written.
    pub fn export(&self, out: &mut dyn Write) -> Result<u64> {
        let failed = |error: std::io::Error| Error::new(ErrorKind::Store, "write the export").caused_by(error);
        writeln!(out, "{HEADER} {}", format::VERSION).map_err(failed)?;
        let mut keys = 0;
        for pair in self.pages(KeyRange::all()) {
            let (key, value) = pair?;
            writeln!(out, "{} {}", BASE64.encode(key), BASE64.encode(value)).map_err(failed)?;
            keys += 1;
        }
        out.flush().map_err(failed)?;
        Ok(keys)
    }

    /// Reads an export into this store, which must hold no task yet. Returns the number of keys.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the store holds tasks, `input` is no export or a damaged one, or the store cannot be written.
    pub fn import(&self, input: &mut dyn BufRead) -> Result<u64> {
        if self.task_keys(None).next().is_some() {
            return Err(Error::new(
                ErrorKind::Store,
                "import: this store already holds tasks; use an empty store.path",
            ));
        }
        let _writer = lock(&self.writer);
        let mut lines = input.lines();
        check_header(lines.next().transpose().map_err(unreadable)?.as_deref().unwrap_or_default())?;
        let mut batch = Vec::new();
        let mut keys = 0;
        for line in lines {
            let (key, value) = parse_line(&line.map_err(unreadable)?)?;
            batch.push((key, Some(value)));
            keys += 1;
            if batch.len() == IMPORTED_AT_ONCE {
                self.write(std::mem::take(&mut batch))?;
            }
        }
        self.write(batch)?;
        Ok(keys)
    }

    /// Writes a batch that the journal does not list. Each may move the head, because an export holds that too.
    fn write(&self, batch: Batch) -> Result<()> {
        self.kv.write_batch(batch, &Guard::at(self.head()?))
    }
}

fn report(found: &mut Verified, key: &[u8], error: Option<Error>) {
    if let Some(error) = error {
        found.problems.push(format!("{}: {}", key::texts(key, 1).join("/"), error.full()));
    }
}

fn unreadable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Store, "read the export").caused_by(error)
}

fn check_header(line: &str) -> Result<()> {
    let version = line.strip_prefix(HEADER).and_then(|rest| rest.trim_start().parse::<u8>().ok());
    match version {
        Some(version) if version <= format::VERSION => Ok(()),
        Some(version) => Err(format::newer(version)),
        None => Err(Error::new(ErrorKind::Store, "import: this is not an export of `contextcore store export`")),
    }
}

fn parse_line(line: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let damaged =
        || Error::new(ErrorKind::Store, "import: a line of the export is damaged; the lines before it were imported");
    let (key, value) = line.split_once(' ').ok_or_else(damaged)?;
    let decode = |text: &str| BASE64.decode(text).map_err(|error| damaged().caused_by(error));
    Ok((decode(key)?, decode(value)?))
}
