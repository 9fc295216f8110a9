//! Writing what another machine sent: durable before it is acknowledged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;

use crate::lane::LaneDir;
use crate::layout::{make_private, project_directory};
use crate::segment::{self, Header};

/// Writes lines of one writer, without their ends, as a segment of their own. They keep the writer and the numbers that they
/// have, so that the same lines sent twice count once.
///
/// # Errors
/// When they cannot be written or made durable. Nothing is left then.
pub fn receive(lane: &LaneDir, header: &Header, lines: &[String]) -> io::Result<()> {
    let directory = lane.spool().join(project_directory(&header.project));
    make_private(&directory)?;
    let name = segment::file_name(&format!("{:032x}", rand::random::<u128>()), 1);
    let draft = directory.join(format!(".{name}.tmp"));
    let text =
        serde_json::to_string(header)? + "\n" + &lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let written = write(&draft, text.as_bytes()).and_then(|()| fs::rename(&draft, directory.join(name)));
    if let Err(error) = written {
        let _may_not_be_there = fs::remove_file(&draft);
        return Err(error);
    }
    File::open(&directory)?.sync_all()
}

fn write(path: &std::path::Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
