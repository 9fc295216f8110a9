//! What ends the servers: a shell that reads process ids from a pipe and kills them when the pipe closes.
//!
//! A server that all tests of a binary share is held by a static, and statics are never dropped. The pipe closes however the test
//! process ends: after its last test, by a panic, by Ctrl-C, by SIGKILL.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Reads ids until the pipe closes, then kills them, and removes the folder once nobody writes into it.
const SCRIPT: &str = "trap '' INT TERM HUP
pids=
while read -r pid; do pids=\"$pids $pid\"; done
[ -z \"$pids\" ] || kill -9 $pids 2>/dev/null
sleep 0.1
rm -rf \"$1\"";

/// Watches over processes and a folder, and ends and removes them when it is dropped or this process is gone.
pub(crate) struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    pub(crate) fn over(folder: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "guard"]).arg(folder).stdin(Stdio::piped());
        // Ctrl-C goes to the group of the test alone.
        let mut shell = command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
        let pipe = shell.stdin.take();
        Self { shell, pipe }
    }

    /// Has this process killed in the end.
    pub(crate) fn watch(&mut self, id: u32) {
        writeln!(self.pipe.as_mut().unwrap(), "{id}").unwrap();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        self.shell.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_watches_ends_with_it() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut guard = Guard::over(&folder);
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        guard.watch(child.id());
        assert!(child.try_wait().unwrap().is_none());
        drop(guard);
        assert!(!child.wait().unwrap().success());
        assert!(!folder.exists());
    }
}
