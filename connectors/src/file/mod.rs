//! The file connector: JSON lines of the common model, from whatever writes them. Also the smallest connector there is, and
//! so the one to copy.
//!
//! [`File`] is the [`Connector`] and, since a file has no reference data, its own [`SourceSession`]; [`tail`] reads lines and
//! keeps the position, [`mod@line`] says what a line means. The tool is a file that holds every task there is: a line is a
//! task's (or sprint's) whole present and history, the newest line of an id counts, and a task without lines is deleted.

mod line;
mod mended;
mod tail;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use contextcore_core::config::kind::{self, KeyProblems, KindSettings};
use contextcore_core::config::{KindKeys, Privacy, SourceConfig};
use contextcore_core::http::Stats;
use contextcore_core::ingest::connector::{
    CheckReport, Connector, Cursor, InitHints, InitQuestion, Page, RawRecord, Registration, Run, SourceSession, Stream,
};
use contextcore_core::model::observation::Observation;
use contextcore_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::left_out::LeftOut;
use line::{Glimpse, Reading};
use tail::Place;

/// Its line in the registry.
pub(crate) const REGISTRATION: Registration = Registration {
    kind: "file",
    about: "JSON lines of the common model, from another tool",
    keys: KindKeys::of::<FileKeys>(),
    init: InitHints {
        questions: &[InitQuestion {
            key: "path",
            flag: "--path",
            question: "File of JSON lines",
            default: None,
            optional: false,
        }],
        token_page: None,
    },
    webhook: None,
    build,
};

/// The keys that only file sources have.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "FileKeys", extend("required" = ["path"]))]
struct FileKeys {
    /// The file to read: JSON lines of the common model.
    #[schemars(required)]
    path: Option<PathBuf>,
}

impl KindSettings for FileKeys {
    const HAS_URL: bool = false;

    fn check(&self, _source: &SourceConfig, problems: &mut KeyProblems<'_>) {
        if self.path.as_ref().is_none_or(|path| path.to_string_lossy().trim().is_empty()) {
            problems.add("path", "is missing: add `path: FILE`");
        }
    }

    fn location(&self) -> Option<String> {
        self.path.as_ref().map(|path| path.display().to_string())
    }
}

/// New lines.
const LINES: &str = "lines";
/// The ids of all tasks in the file.
const IDS: &str = "ids";

const STREAMS: &[Stream] = &[Stream { name: LINES, complete: false }, Stream { name: IDS, complete: true }];

fn build(config: &SourceConfig, privacy: &Privacy) -> Result<Box<dyn Connector>> {
    let missing = || Error::new(ErrorKind::Config, "add `path: FILE`").with("source", &config.name);
    let path = kind::settings::<FileKeys>(config)?.path.ok_or_else(missing)?;
    let reading = Reading {
        source: config.name.clone(),
        projects: config.projects.clone(),
        statuses: config.statuses.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
        types: config.types.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
        comments: privacy.comments,
    };
    Ok(Box::new(File { path, reading: Arc::new(reading), reads: Arc::default(), left_out: Arc::default() }))
}

/// A file that another tool writes.
#[derive(Clone)]
struct File {
    path: PathBuf,
    reading: Arc<Reading>,
    /// How often it was opened: what a request is to other connectors.
    reads: Arc<AtomicU64>,
    /// Entries that cannot be read, by task.
    left_out: Arc<LeftOut>,
}

impl File {
    fn tail(&self) -> Result<tail::Tail> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        tail::Tail::open(&self.path)
    }

    fn lines(&self, cursor: Option<&Cursor>) -> Result<Page> {
        let mut tail = self.tail()?;
        // A cursor that cannot be read is none: everything is read again, and what is known is recognised.
        let place = cursor.and_then(|cursor| serde_json::from_value::<Place>(cursor.0.clone()).ok());
        let chunk = tail.chunk(place)?;
        Ok(Page {
            records: chunk.lines.iter().map(|(number, text)| record(*number, text)).collect(),
            cursor: cursor_of(&chunk.place)?,
            more: chunk.more,
            warnings: chunk
                .began_anew
                .then(|| "the file is another one than before: reading all of it".to_owned())
                .into_iter()
                .collect(),
            ..Page::default()
        })
    }

    /// Every line of the file.
    fn each_line(&self, mut take: impl FnMut(u64, &str)) -> Result<()> {
        let (mut tail, mut place) = (self.tail()?, None);
        loop {
            let chunk = tail.chunk(place)?;
            chunk.lines.iter().for_each(|(number, text)| take(*number, text));
            if !chunk.more {
                return Ok(());
            }
            place = Some(chunk.place);
        }
    }

    /// Every task by its newest line. Ids are few bytes each, so they fit where the lines would not.
    fn census(&self) -> Result<BTreeMap<String, Glimpse>> {
        let mut tasks = BTreeMap::new();
        self.each_line(|_, text| {
            if let Ok(seen) = line::glimpse(text) {
                tasks.insert(seen.id.clone(), seen);
            }
        })?;
        tasks.retain(|_, seen| seen.is_task() && self.reading.wants(seen.project.as_deref()));
        Ok(tasks)
    }

    /// The newest line of each of these names.
    fn again(&self, names: &[String]) -> Result<Page> {
        let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let numbers: BTreeSet<u64> = names.iter().filter_map(|name| line::number_of(name)).collect();
        let mut found = BTreeMap::new();
        self.each_line(|number, text| {
            let record = record(number, text);
            if wanted.contains(record.native_id.as_str()) || numbers.contains(&number) {
                found.insert(record.native_id.clone(), record);
            }
        })?;
        Ok(Page { records: found.into_values().collect(), ..Page::default() })
    }

    fn ids(&self) -> Result<Page> {
        let seen: Vec<String> = self.census()?.into_keys().collect();
        let total = Some(seen.len() as u64);
        Ok(Page { seen, total, ..Page::default() })
    }
}

/// A line as a record.
fn record(number: u64, text: &str) -> RawRecord {
    RawRecord::new(LINES, line::name(number, text), line::numbered(number, text))
}

fn cursor_of(place: &Place) -> Result<Cursor> {
    let value = serde_json::to_value(place);
    value.map(Cursor).map_err(|error| Error::new(ErrorKind::Internal, "write a cursor").caused_by(error))
}

#[async_trait]
impl Connector for File {
    fn streams(&self) -> &'static [Stream] {
        STREAMS
    }

    async fn open(&self, _state: Option<serde_json::Value>, _run: &Run) -> Result<Box<dyn SourceSession>> {
        // The credential of a file is that it can be read.
        self.tail()?;
        Ok(Box::new(self.clone()))
    }

    fn stats(&self) -> Stats {
        Stats { requests: self.reads.load(Ordering::Relaxed), ..Stats::default() }
    }
}

#[async_trait]
impl SourceSession for File {
    fn state(&self) -> Result<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }

    async fn check(&self) -> Result<CheckReport> {
        let tasks = self.census()?;
        let projects = tasks.values().filter_map(|task| task.project.clone());
        let projects: std::collections::BTreeSet<String> = projects.collect();
        let statuses = tasks.values().filter_map(|task| task.native_status.clone().or(task.status.clone()));
        let statuses: std::collections::BTreeSet<String> = statuses.collect();
        let mapped = |name: String| match self.reading.status(None, &name) {
            Some(status) => (name, status.to_string(), "by its name, or by `statuses`".to_owned()),
            None => (name, "as each line says".to_owned(), "by the line's `status`".to_owned()),
        };
        Ok(CheckReport {
            identity: self.path.display().to_string(),
            product: format!("JSON lines, {} tasks", tasks.len()),
            projects: projects.into_iter().map(|project| (project.clone(), project)).collect(),
            statuses: statuses.into_iter().map(mapped).collect(),
            ..CheckReport::default()
        })
    }

    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>) -> Result<Page> {
        match stream {
            LINES => self.lines(cursor),
            IDS => self.ids(),
            other => {
                Err(Error::new(ErrorKind::Internal, "poll a stream that a file does not have").with("stream", other))
            }
        }
    }

    async fn read_again(&self, ids: &[String]) -> Result<Page> {
        self.again(ids)
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        let (observations, left_out) = line::observations(&self.reading, &record.json()?)?;
        self.left_out.note(&record.native_id, left_out);
        Ok(observations)
    }

    fn remarks(&self) -> Vec<String> {
        self.left_out.take().into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
