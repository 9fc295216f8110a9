//! Segments: the files of one writer, by name and first line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use contextcore_model::operation::VERSION;
use serde::{Deserialize, Serialize};

use crate::resource::Resource;

/// A segment is at most this long.
pub(crate) const LONGEST: u64 = 8 << 20;

/// The first line of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub v: u32,
    /// The writer, 32 hex digits.
    pub writer: String,
    /// The project of all its operations.
    pub project: String,
    /// The language of the library that wrote it.
    #[serde(default)]
    pub lang: String,
    /// The version of that library.
    #[serde(default)]
    pub sdk: String,
    /// The host.
    #[serde(default)]
    pub host: String,
    /// The process.
    #[serde(default)]
    pub pid: u32,
    /// What the process says of itself by the environment of OpenTelemetry.
    #[serde(default, skip_serializing_if = "Resource::is_empty")]
    pub resource: Resource,
    /// Who proved to have sent it, in the lane of what services receive. Anywhere else it is a claim, and nobody reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Header {
    /// The header of a new writer of this process. `host` is for people.
    pub(crate) fn new(project: &str, lang: &str, host: &str) -> Self {
        Self {
            v: VERSION,
            writer: format!("{:032x}", rand::random::<u128>()),
            project: project.to_owned(),
            lang: lang.to_owned(),
            sdk: env!("CARGO_PKG_VERSION").to_owned(),
            host: host.to_owned(),
            pid: std::process::id(),
            resource: Resource::new(),
            origin: None,
        }
    }
}

/// Who sent operations, proven by a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Whom the token stands for.
    pub who: String,
    /// Whether that is a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub human: bool,
}

/// A segment that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Segment {
    pub(crate) writer: String,
    /// Its number within the writer, from 1.
    pub(crate) number: u32,
    pub(crate) path: PathBuf,
}

/// The name of a segment's file.
pub(crate) fn file_name(writer: &str, number: u32) -> String {
    format!("{writer}.{number}.jsonl")
}

/// The writer and number in the name of a segment's file.
fn parse(name: &str) -> Option<(&str, u32)> {
    let (writer, number) = name.strip_suffix(".jsonl")?.split_once('.')?;
    let is_writer = writer.len() == 32 && writer.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_writer.then_some((writer, number.parse().ok()?))
}

/// What is in a spool.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Open segments, by writer and number.
    pub(crate) open: Vec<Segment>,
    /// Those that were taken.
    pub(crate) done: Vec<PathBuf>,
}

/// Lists a spool. Directories and files that vanish meanwhile are left out.
pub(crate) fn list(spool: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for project in entries(spool)? {
        if !project.is_dir() {
            continue;
        }
        for path in entries(&project)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if let Some((writer, number)) = parse(name) {
                listing.open.push(Segment { writer: writer.to_owned(), number, path });
            } else if name.ends_with(".jsonl.done") {
                listing.done.push(path);
            }
        }
    }
    listing.open.sort();
    Ok(listing)
}

fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
