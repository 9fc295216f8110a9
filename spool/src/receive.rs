//! Writing what another machine sent: durable before it is acknowledged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use contextcore_model::Millis;
use contextcore_model::operation::{Line, Operation, VERSION};
use serde::{Deserialize, Serialize};

use crate::lane::LaneDir;
use crate::layout::{make_private, project_directory};
use crate::segment::{self, Header, Origin};

/// Writes lines of one writer, without their ends, as a segment of their own. They keep the writer and the numbers that they
/// have, so that the same lines sent twice count once.
///
/// Returns the file, which is there until it has been read.
///
/// # Errors
/// When they cannot be written or made durable. Nothing is left then.
pub fn receive(lane: &LaneDir, header: &Header, lines: &[String]) -> io::Result<PathBuf> {
    let directory = lane.spool().join(project_directory(&header.project));
    make_private(&directory)?;
    let name = segment::file_name(&format!("{:032x}", rand::random::<u128>()), 1);
    let draft = directory.join(format!(".{name}.tmp"));
    let text =
        serde_json::to_string(header)? + "\n" + &lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let path = directory.join(name);
    let written = write(&draft, text.as_bytes()).and_then(|()| fs::rename(&draft, &path));
    if let Err(error) = written {
        let _may_not_be_there = fs::remove_file(&draft);
        return Err(error);
    }
    File::open(&directory)?.sync_all()?;
    Ok(path)
}

/// Lines of one writer on their way to a spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The header of the writer.
    pub header: Header,
    /// Its lines, without their ends.
    pub lines: Vec<String>,
}

impl Delivery {
    /// Operations of a project, in this order. `origin` is who proved to have reported them.
    ///
    /// # Errors
    /// When one is longer than a line may be.
    pub fn of(
        (project, lang): (&str, &str),
        origin: Option<Origin>,
        (now, operations, actor): (Millis, Vec<Operation>, Option<String>),
    ) -> io::Result<Self> {
        let header = Header { origin, ..Header::new(project, lang, "") };
        let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "the operation is longer than 64 KiB");
        let text = |(seq, operation)| -> io::Result<String> {
            let actor = actor.clone();
            let line = Line { v: VERSION, seq, t: now, at: None, operation, actor, traceparent: None };
            Ok(line.text().ok_or_else(too_long)?.trim_end().to_owned())
        };
        Ok(Self { header, lines: (1..).zip(operations).map(text).collect::<io::Result<_>>()? })
    }

    /// As text.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn text(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads what [`Delivery::text`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> io::Result<Self> {
        Ok(serde_json::from_str(text)?)
    }

    /// Writes it into a lane, durably. Returns the file.
    ///
    /// # Errors
    /// As [`receive`].
    pub fn write(&self, lane: &LaneDir) -> io::Result<PathBuf> {
        receive(lane, &self.header, &self.lines)
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
