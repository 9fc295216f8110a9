//! Starts `contextcore drain` in the background: in a session of its own, with nothing of the caller but a few variables.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use contextcore_spool::passed_on;

/// The log of helpers is moved away at this size.
const LONGEST_LOG: u64 = 1 << 20;
/// How often a helper looks at its size.
const LOOK: Duration = Duration::from_secs(60);

/// Starts a helper for a state directory and returns at once.
///
/// # Errors
/// When this program cannot be started again, or its log cannot be written.
pub(crate) fn start(state: &Path, arguments: &[String]) -> io::Result<()> {
    let log = log(&state.join("drain.log"))?;
    let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let value = passed_on(name.to_str()?, value.to_str()?, &here)?;
        Some((name, value))
    });
    Command::new(std::env::current_exe()?)
        .args(["drain", "--detached", "-v", "--state"])
        .arg(state)
        .args(arguments)
        .env_clear()
        .envs(variables)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map(drop)
}

/// Keeps the log of helpers short while one runs. Whoever writes to it appends, so it can be emptied once it is copied.
pub(super) async fn keep_log_short(state: &Path) -> ! {
    let path = state.join("drain.log");
    loop {
        tokio::time::sleep(LOOK).await;
        let is_long = fs::metadata(&path).is_ok_and(|meta| meta.len() > LONGEST_LOG);
        if is_long && let Err(error) = empty(&path) {
            tracing::debug!(%error, "could not shorten the log");
        }
    }
}

/// Copies a log to its second file and empties it.
fn empty(path: &Path) -> io::Result<()> {
    let old = path.with_extension("log.1");
    fs::copy(path, &old)?;
    OpenOptions::new().write(true).open(path)?.set_len(0)
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_is_shortened_while_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("drain.log");
        let mut file = log(&path).unwrap();
        file.write_all(b"before\n").unwrap();
        empty(&path).unwrap();
        file.write_all(b"after\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
        assert_eq!(fs::read_to_string(dir.path().join("drain.log.1")).unwrap(), "before\n");
    }
}
