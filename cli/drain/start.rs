//! Starts `contextcore drain` in the background: in a session of its own, with nothing of the caller but a few variables.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use contextcore_spool::is_passed_on;

/// The log of helpers is moved away at this size.
const LONGEST_LOG: u64 = 1 << 20;

/// Starts a helper for a state directory and returns at once.
///
/// # Errors
/// When this program cannot be started again, or its log cannot be written.
pub(crate) fn start(state: &Path, arguments: &[String]) -> io::Result<()> {
    let log = log(&state.join("drain.log"))?;
    let passed_on = std::env::vars_os().filter(|(name, _)| is_passed_on(&name.to_string_lossy()));
    Command::new(std::env::current_exe()?)
        .args(["drain", "--detached", "-v", "--state"])
        .arg(state)
        .args(arguments)
        .env_clear()
        .envs(passed_on)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map(drop)
}

fn log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > LONGEST_LOG) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Closes what the caller had open beyond the standard three: whoever reads such a pipe to its end, as test runners do, would wait for
/// this process. Nothing may have been opened here yet.
pub(crate) fn close_inherited() {
    let listed = fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let open: Vec<RawFd> = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for file in open.into_iter().filter(|file| *file > 2) {
        // That of the list is among them, and closed already.
        let _closed = nix::unistd::close(file);
    }
}

/// Leaves the session of whoever started this process, so that the end of it ends nothing here.
pub(super) fn leave_session() {
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "stays in the session of its caller");
    }
}
