//! The sdk connector: operations that code and agents wrote to a spool, of this machine.
//!
//! [`Sdk`] reads every lane of a state directory and holds the lanes' locks, so that no helper drains them meanwhile; a helper
//! reads the one lane that it holds itself ([`LANE`]). [`mod@line`] says what a line means. Reports have no present that they
//! could be compared with: the engine merges them. Nothing lists every task there is, so that absence means nothing here.

mod line;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use contextcore_core::config::kind::{self, KeyProblems, KindSettings};
use contextcore_core::config::{KindKeys, Privacy, SourceConfig};
use contextcore_core::http::Stats;
use contextcore_core::ingest::connector::{
    CheckReport, Connector, Cursor, InitHints, InitQuestion, Page, RawRecord, Registration, Run, SourceSession, Stream,
};
use contextcore_core::model::observation::Observation;
use contextcore_core::{Error, ErrorKind, Result};
use contextcore_spool::{self as spool, Chunk, Delivery, LaneDir, Lock, Reader, SpoolLine, StateDir};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use line::Reading;

/// Its line in the registry.
pub(crate) const REGISTRATION: Registration = Registration {
    kind: "sdk",
    about: "work that code and agents report with the SDK, on this machine",
    keys: KindKeys::of::<SdkKeys>(),
    init: InitHints {
        questions: &[InitQuestion {
            key: "path",
            flag: "--path",
            question: "State directory of the SDK",
            default: None,
            optional: false,
        }],
        token_page: None,
    },
    webhook: None,
    build,
};

/// The same for a helper: `path` is one lane, whose lock the helper holds.
pub const LANE: Registration = Registration { build: build_for_lane, ..REGISTRATION };

/// The keys that only sdk sources have.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "SdkKeys", extend("required" = ["path"]))]
struct SdkKeys {
    /// The state directory of the SDK, such as `~/.local/state/contextcore`, with the operations to read.
    #[schemars(required)]
    path: Option<PathBuf>,
}

impl KindSettings for SdkKeys {
    const HAS_URL: bool = false;

    fn check(&self, _source: &SourceConfig, problems: &mut KeyProblems<'_>) {
        if self.path.as_ref().is_none_or(|path| path.to_string_lossy().trim().is_empty()) {
            problems.add("path", "is missing: add `path: DIR`");
        }
    }

    fn location(&self) -> Option<String> {
        self.path.as_ref().map(|path| path.display().to_string())
    }
}

/// Lines that were not read yet.
pub const OPERATIONS: &str = "operations";

const STREAMS: &[Stream] = &[Stream { name: OPERATIONS, complete: false }];

/// Lines on a page. Their tasks are in memory together: with 2,000 a drain peaks at 10 MB more.
const PAGE: usize = 500;

fn build(config: &SourceConfig, privacy: &Privacy) -> Result<Box<dyn Connector>> {
    connector(config, privacy, |path| Place::State { state: StateDir::at(path), locks: Arc::default() })
}

fn build_for_lane(config: &SourceConfig, privacy: &Privacy) -> Result<Box<dyn Connector>> {
    connector(config, privacy, |path| Place::Lane(LaneDir::at(path)))
}

fn connector(
    config: &SourceConfig,
    privacy: &Privacy,
    place: impl FnOnce(PathBuf) -> Place,
) -> Result<Box<dyn Connector>> {
    let missing = || Error::new(ErrorKind::Config, "add `path: DIR`").with("source", &config.name);
    let path = kind::settings::<SdkKeys>(config)?.path.ok_or_else(missing)?;
    let reading = Reading {
        projects: config.projects.clone(),
        statuses: config.statuses.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
        types: config.types.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
        comments: privacy.comments,
    };
    Ok(Box::new(Sdk { path: path.clone(), place: place(path), reading: Arc::new(reading) }))
}

/// What is read.
#[derive(Clone)]
enum Place {
    /// A state directory. The locks of its lanes are held for the life of the connector.
    State { state: StateDir, locks: Arc<Mutex<BTreeMap<String, Lock>>> },
    /// One lane, whose lock is held by the caller.
    Lane(LaneDir),
}

impl Place {
    fn is_there(&self) -> bool {
        match self {
            Self::State { state, .. } => state.exists(),
            Self::Lane(lane) => lane.path().is_dir(),
        }
    }

    /// Makes a state directory that is not there yet: nobody on this machine has reported anything.
    fn make(&self) -> io::Result<()> {
        match self {
            Self::State { state, .. } => StateDir::open(state.path()).map(drop),
            Self::Lane(_) => Ok(()),
        }
    }

    /// The spools that can be read now, and the lanes that a helper drains.
    fn spools(&self) -> io::Result<(Vec<PathBuf>, Vec<String>)> {
        let (state, locks) = match self {
            Self::Lane(lane) => return Ok((vec![lane.spool()], Vec::new())),
            Self::State { state, locks } => (state, locks),
        };
        let mut locks = locks.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut spools, mut drained) = (Vec::new(), Vec::new());
        for lane in state.lanes()? {
            let name = lane.name();
            if !locks.contains_key(&name)
                && let Some(lock) = lane.lock()?
            {
                locks.insert(name.clone(), lock);
            }
            if locks.contains_key(&name) { spools.push(lane.spool()) } else { drained.push(name) }
        }
        Ok((spools, drained))
    }
}

/// The lanes whose locks are held by this connector, which no helper can drain any more.
fn held(state: &StateDir, locks: &Mutex<BTreeMap<String, Lock>>) -> Vec<LaneDir> {
    let locks = locks.lock().unwrap_or_else(PoisonError::into_inner);
    locks.keys().map(|name| state.lane(name)).collect()
}

/// Work that is reported on this machine.
struct Sdk {
    path: PathBuf,
    place: Place,
    reading: Arc<Reading>,
}

/// One run over it.
struct Session {
    path: PathBuf,
    reader: Reader,
    reading: Arc<Reading>,
    /// Lanes that a helper drains.
    drained: Vec<String>,
    /// The first cursor of a run is that of the store: what it is behind is not needed any more.
    is_first: Mutex<bool>,
}

fn failed(path: &std::path::Path) -> impl Fn(io::Error) -> Error {
    move |error| {
        let (kind, text) = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                (ErrorKind::Permission, "read the spool: let this user read and write it")
            }
            io::ErrorKind::NotFound => {
                (ErrorKind::NotFound, "read the spool: it was there and is no longer; correct `path`")
            }
            _ => (ErrorKind::Unavailable, "read the spool"),
        };
        Error::new(kind, text).with("path", path.display()).caused_by(error)
    }
}

#[async_trait]
impl Connector for Sdk {
    fn streams(&self) -> &'static [Stream] {
        STREAMS
    }

    async fn open(&self, state: Option<serde_json::Value>, _run: &Run) -> Result<Box<dyn SourceSession>> {
        let failed = failed(&self.path);
        if !self.place.is_there() {
            if state.is_some() {
                return Err(failed(io::Error::from(io::ErrorKind::NotFound)));
            }
            self.place.make().map_err(&failed)?;
        }
        let (spools, drained) = self.place.spools().map_err(&failed)?;
        let (path, reading) = (self.path.clone(), Arc::clone(&self.reading));
        let reader = Reader::new(spools, PAGE);
        Ok(Box::new(Session { path, reader, reading, drained, is_first: Mutex::new(true) }))
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }

    fn former_stores(&self) -> Result<Vec<PathBuf>> {
        let Place::State { state, locks } = &self.place else { return Ok(Vec::new()) };
        if !state.exists() {
            return Ok(Vec::new());
        }
        self.place.spools().map_err(failed(&self.path))?;
        let stores = held(state, locks).into_iter().map(|lane| lane.engine());
        Ok(stores.filter(|store| store.is_dir()).collect())
    }

    fn receive(&self, bodies: &[String]) -> Result<()> {
        let Place::State { state, .. } = &self.place else { return Ok(()) };
        let write = || {
            // Also with nothing to write: this replica may never have had the source.
            let lane = StateDir::open(state.path())?.received()?;
            bodies.iter().try_for_each(|body| Delivery::parse(body)?.write(&lane).map(drop))
        };
        write().map_err(failed(&self.path))
    }

    fn retire(&self, store: &Path) -> Result<()> {
        let lane = LaneDir::at(store.parent().unwrap_or(store));
        let retired = lane.retire_engine().map_err(failed(&self.path))?;
        tracing::info!(store = %retired.display(), "what a helper had stored is in the store of this service now");
        Ok(())
    }
}

impl Session {
    fn page(&self, cursor: Option<&Cursor>) -> Result<Page> {
        let failed = failed(&self.path);
        // A cursor that cannot be read is none: everything is read again, and what is known is recognised.
        let from = cursor.and_then(|cursor| serde_json::from_value::<spool::Cursor>(cursor.0.clone()).ok());
        let is_first = std::mem::take(&mut *self.is_first.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(durable) = from.as_ref().filter(|_| is_first) {
            self.reader.finish(durable).map_err(&failed)?;
        }
        let chunk = self.reader.read(&from.unwrap_or_default()).map_err(&failed)?;
        let mut warnings = if is_first { self.warnings() } else { Vec::new() };
        warnings.extend(newer(&chunk));
        warnings.extend(chunk.warnings);
        let cursor = serde_json::to_value(&chunk.cursor);
        let cursor = cursor.map_err(|error| Error::new(ErrorKind::Internal, "write a cursor").caused_by(error))?;
        let records = chunk.lines.iter().map(record).collect();
        Ok(Page { records, cursor: Cursor(cursor), more: chunk.more, warnings, ..Page::default() })
    }

    fn warnings(&self) -> Vec<String> {
        let drained = self.drained.iter();
        drained.map(|lane| format!("lane {lane} is drained by a helper, and is read once that has ended")).collect()
    }
}

fn newer(chunk: &Chunk) -> Option<String> {
    let text =
        format!("{} operations are of a kind that this program does not store; they stay in the spool", chunk.newer);
    (chunk.newer > 0).then_some(text)
}

/// A line as a record.
fn record(line: &SpoolLine) -> RawRecord {
    let SpoolLine { writer, project, origin, resource, text, .. } = line;
    let place = if origin.is_none() && resource.is_empty() {
        json!(project)
    } else {
        json!({"project": project, "origin": origin, "resource": **resource})
    };
    let json = format!("{writer}\t{place}\t{text}");
    RawRecord::new(OPERATIONS, line.name(), json)
}

#[async_trait]
impl SourceSession for Session {
    fn state(&self) -> Result<serde_json::Value> {
        Ok(json!({"path": self.path}))
    }

    async fn check(&self) -> Result<CheckReport> {
        let mut warnings = self.warnings();
        let (mut cursor, mut lines, mut projects) = (spool::Cursor::new(), 0, std::collections::BTreeSet::new());
        loop {
            let chunk = self.reader.read(&cursor).map_err(failed(&self.path))?;
            lines += chunk.lines.len();
            projects.extend(chunk.lines.into_iter().map(|line| line.project));
            cursor = chunk.cursor;
            if !chunk.more {
                break;
            }
        }
        if lines == 0 {
            warnings.push("nothing is reported here now; what was read before is in the store".to_owned());
        }
        Ok(CheckReport {
            identity: self.path.display().to_string(),
            product: format!("spool of the SDK, {lines} operations"),
            projects: projects.into_iter().map(|project| (project.clone(), project)).collect(),
            warnings,
            ..CheckReport::default()
        })
    }

    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>) -> Result<Page> {
        match stream {
            OPERATIONS => self.page(cursor),
            other => {
                Err(Error::new(ErrorKind::Internal, "poll a stream that a spool does not have").with("stream", other))
            }
        }
    }

    /// A segment goes once it was read. While its writer lives it is there, with the whole of a long line.
    fn kept(&self, native_id: &str, json: &str) -> Option<RawRecord> {
        let there = self.reader.line_at(native_id).ok().flatten();
        let kept = || RawRecord::new(OPERATIONS, native_id, json);
        Some(there.as_ref().map_or_else(kept, record))
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        line::observations(&self.reading, &record.json()?)
    }
}
