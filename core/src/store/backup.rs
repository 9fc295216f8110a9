//! Exporting and importing a store.
//!
//! An export is a text file: a header line, a line that says how much follows, one line a key with key and value in base64, and
//! a last line with the same counts and a hash of all before it. It is the backup, and the way to another machine. So an import
//! builds a store beside the one it is for, and that takes its place only when the file was complete.

use std::io::{self, BufRead, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::copy::{Counts, Destination};
use super::files;
use super::format;
use super::forms;
use super::kv::{Batch, Guard, Pair};
use super::reader::Store;
use crate::lock;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::time::Millis;

const HEADER: &str = "contextcore-store";
/// The version of the file. Version 1 had neither counts nor a hash.
const VERSION: u8 = 2;
const HOLDS: &str = "holds ";
const END: &str = "end ";
/// Keys written in one batch of an import.
const IMPORTED_AT_ONCE: usize = 1_000;

/// The last line of an export.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    #[serde(flatten)]
    counts: Counts,
    /// The hash of every byte before this line.
    blake3: String,
}

/// What an import brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// How much.
    pub counts: Counts,
    /// Whether counts and hash prove that it is complete. An export of an older version has none.
    pub verified: bool,
    /// What is wrong with the store that was exported; see [`Store::verify`].
    pub problems: Vec<String>,
}

impl Store {
    /// Writes everything as text lines, as of one moment: other writers wait. All but the key of forms, a secret of this installation.
    ///
    /// # Errors
    /// When the store cannot be read or `out` cannot be written.
    pub fn export(&self, out: &mut dyn Write) -> Result<Counts> {
        let _writer = lock(&self.writer);
        self.at_one_moment(|store| store.write_export(out))
    }

    fn write_export(&self, out: &mut dyn Write) -> Result<Counts> {
        let mut expected = Counts::default();
        self.without_secrets()?.try_for_each(|pair| pair.map(|(key, _)| expected.add(&key)))?;
        let mut out = Hashed { out, hash: blake3::Hasher::new() };
        let counts = write_lines(self, expected, &mut out)?;
        let end = to_json(&End { counts, blake3: out.hash.finalize().to_hex().to_string() })?;
        writeln!(out, "{END}{end}").and_then(|()| out.flush()).map_err(unwritten)?;
        Ok(counts)
    }

    fn without_secrets(&self) -> Result<impl Iterator<Item = Result<Pair>> + use<>> {
        let secret = forms::place();
        Ok(self.everything()?.filter(move |pair| pair.as_ref().map_or(true, |(key, _)| *key != secret)))
    }

    /// Makes a store from an export. A store that is there may hold no task and no insight, and is replaced.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the store there holds tasks or is in use, `input` is no export, or a cut or damaged one, or the
    /// store cannot be written. What was there stays as it was then.
    pub fn import(to: &Destination<'_>, input: &mut dyn BufRead) -> Result<Imported> {
        to.fill("import", 0, |fresh| {
            let (counts, verified) = fresh.fill(input)?;
            Ok(Imported { counts, verified, problems: fresh.verify()?.problems })
        })
    }

    /// Reads an export and checks that it is whole, without storing anything.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when `input` is no export, or a cut or damaged one.
    pub fn check_export(input: &mut dyn BufRead) -> Result<Counts> {
        Ok(Lines::new(input).each_pair(|_| Ok(()))?.0)
    }

    fn fill(&self, input: &mut dyn BufRead) -> Result<(Counts, bool)> {
        let mut batch = Batch::new();
        let (counts, verified) = Lines::new(input).each_pair(|(key, value)| {
            batch.push((key, Some(value)));
            if batch.len() < IMPORTED_AT_ONCE {
                return Ok(());
            }
            self.kv.check_writable()?;
            self.write(std::mem::take(&mut batch))
        })?;
        self.write(batch)?;
        if !verified {
            self.check_unverified(counts)?;
        }
        Ok((counts, verified))
    }

    /// An export of version 1 does not say how much it holds. Its indexes come before its tasks, so they show a cut.
    fn check_unverified(&self, counts: Counts) -> Result<()> {
        let has_head = self.raw(&Guard::key())?.is_some();
        let tasks = self.open_tasks(None).count() + self.ended_since(Millis(i64::MIN)).count();
        let indexed = Counts { tasks: tasks as u64, ..counts };
        if has_head && counts.tasks >= indexed.tasks { Ok(()) } else { Err(cut(counts, Some(indexed))) }
    }

    /// The store that an import or a copy replaces; none where there is none.
    pub(super) fn open_if_empty(path: &Path) -> Result<Option<Self>> {
        if !files::is_store(path) {
            let is_used = std::fs::read_dir(path).is_ok_and(|mut files| files.next().is_some());
            let text = "fill the store: it is a directory with other files; use another one";
            return if is_used {
                Err(Error::new(ErrorKind::Store, text).with("path", path.display()))
            } else {
                Ok(None)
            };
        }
        let store = Self::open(path)?;
        store.check_empty()?;
        Ok(Some(store))
    }

    /// Fails unless it holds no task and no insight.
    pub(super) fn check_empty(&self) -> Result<()> {
        if self.task_keys(None).next().is_none() && self.insight_count()? == 0 {
            return Ok(());
        }
        let text = "fill the store: it already holds tasks or insights; use an empty one";
        Err(Error::new(ErrorKind::Store, text).with("store", self.place()))
    }

    /// Writes a batch that the journal does not list. Each may move the head, because an export holds that too.
    fn write(&self, batch: Batch) -> Result<()> {
        self.kv.write_batch(batch, &Guard::at(self.head()?))
    }
}

fn write_lines(store: &Store, expected: Counts, out: &mut Hashed<'_>) -> Result<Counts> {
    let holds = to_json(&expected)?;
    write!(out, "{HEADER} {VERSION}\n{HOLDS}{holds}\n").map_err(unwritten)?;
    let mut counts = Counts::default();
    for pair in store.without_secrets()? {
        let (key, value) = pair?;
        counts.add(&key);
        writeln!(out, "{} {}", BASE64.encode(key), BASE64.encode(value)).map_err(unwritten)?;
    }
    Ok(counts)
}

/// Hashes what it passes on.
struct Hashed<'a> {
    out: &'a mut dyn Write,
    hash: blake3::Hasher,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A line of an export after the first.
enum Line {
    Pair(Pair),
    /// The last line, and the hash of those before it.
    End(End, String),
    /// A last line of which only the beginning is there, even when nothing but its end is missing.
    Torn,
    None,
}

/// The lines of an export, and the hash of those that were read.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    hash: blake3::Hasher,
    version: u8,
    number: u64,
}

impl<'a> Lines<'a> {
    fn new(input: &'a mut dyn BufRead) -> Self {
        Self { input, hash: blake3::Hasher::new(), version: 0, number: 0 }
    }

    /// The next line with its end, which is not hashed yet; empty at the end of the file.
    fn read(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        let unread = |error| Error::new(ErrorKind::Store, "read the export").caused_by(error);
        self.input.read_until(b'\n', &mut line).map_err(unread)?;
        self.number += 1;
        Ok(line)
    }

    fn read_header(&mut self) -> Result<()> {
        let line = self.read()?;
        self.hash.update(&line);
        let text = std::str::from_utf8(&line).unwrap_or_default();
        match text.strip_prefix(HEADER).and_then(|rest| rest.trim().parse::<u8>().ok()) {
            Some(0) | None => {
                Err(Error::new(ErrorKind::Store, "import: this is not an export of `contextcore store export`"))
            }
            Some(version) if version > VERSION => Err(format::newer(version)),
            Some(version) => {
                self.version = version;
                Ok(())
            }
        }
    }

    fn read_counts(&mut self) -> Result<Counts> {
        let line = self.read()?;
        self.hash.update(&line);
        let counts = line.strip_prefix(HOLDS.as_bytes()).and_then(|counts| serde_json::from_slice(counts).ok());
        counts.ok_or_else(|| cut(Counts::default(), None))
    }

    fn next_line(&mut self) -> Result<Line> {
        let line = self.read()?;
        if line.is_empty() {
            return Ok(Line::None);
        }
        if let Some(end) = line.strip_prefix(END.as_bytes()).filter(|_| self.version > 1) {
            let hash = self.hash.finalize().to_hex().to_string();
            // Its hash does not cover itself: a file that lost even its last byte is not the one that was written.
            let end = serde_json::from_slice(end).ok().filter(|_| line.ends_with(b"\n"));
            return Ok(end.map_or(Line::Torn, |end| Line::End(end, hash)));
        }
        self.hash.update(&line);
        parse_pair(&line).map(Line::Pair).ok_or_else(|| damaged(self.number))
    }

    /// Visits every pair. Returns how many there were, and whether counts and hash prove that those are all.
    fn each_pair(&mut self, mut visit: impl FnMut(Pair) -> Result<()>) -> Result<(Counts, bool)> {
        self.read_header()?;
        let expected = if self.version == 1 { None } else { Some(self.read_counts()?) };
        let mut counts = Counts::default();
        loop {
            match self.next_line()? {
                Line::Pair(pair) => {
                    counts.add(&pair.0);
                    visit(pair)?;
                }
                Line::End(end, hash) => return self.check_end(&end, &hash, counts).map(|()| (counts, true)),
                Line::None if expected.is_none() => return Ok((counts, false)),
                Line::None | Line::Torn => return Err(cut(counts, expected)),
            }
        }
    }

    /// The last line agrees with those before it, and is the last.
    fn check_end(&mut self, end: &End, hash: &str, counts: Counts) -> Result<()> {
        if end.counts != counts {
            return Err(cut(counts, Some(end.counts)));
        }
        if end.blake3 != hash {
            let text = "import: the export is damaged: its hash is not that of what was exported; nothing was imported; use \
                        another copy";
            return Err(Error::new(ErrorKind::Store, text));
        }
        if self.read()?.is_empty() { Ok(()) } else { Err(damaged(self.number)) }
    }
}

fn parse_pair(line: &[u8]) -> Option<Pair> {
    let line = std::str::from_utf8(line).ok()?;
    let (key, value) = line.strip_suffix('\n').unwrap_or(line).split_once(' ')?;
    Some((BASE64.decode(key).ok()?, BASE64.decode(value).ok()?))
}

fn damaged(line: u64) -> Error {
    let text = "import: a line of the export is cut or damaged; nothing was imported; use another copy";
    Error::new(ErrorKind::Store, text).with("line", line)
}

/// The error for an export of which only a part is there.
fn cut(found: Counts, expected: Option<Counts>) -> Error {
    let of = |found: u64, expected: Option<u64>| {
        expected.map_or_else(|| found.to_string(), |expected| format!("{found} of {expected}"))
    };
    let text =
        "import: the export is cut: part of it is missing; nothing was imported; use a whole copy, or export again";
    Error::new(ErrorKind::Store, text)
        .with("keys", of(found.keys, expected.map(|expected| expected.keys)))
        .with("tasks", of(found.tasks, expected.map(|expected| expected.tasks)))
        .with("sprints", of(found.sprints, expected.map(|expected| expected.sprints)))
}

fn unwritten(error: io::Error) -> Error {
    Error::new(ErrorKind::Store, "write the export").caused_by(error)
}

fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::new(ErrorKind::Internal, "encode a line").caused_by(error))
}
