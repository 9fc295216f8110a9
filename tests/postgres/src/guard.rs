//! What ends the server: a shell that reads process ids from a pipe and stops them when the pipe closes.
//!
//! A server that all tests of a binary share is held by a static, and statics are never dropped. The pipe closes however the test
//! process ends. SIGQUIT lets the server end its processes and remove its shared memory, which SIGKILL would leave behind.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Reads ids until the pipe closes, then stops those that still run, and removes the folder.
const SCRIPT: &str = "trap '' INT TERM HUP
pids=
while read -r pid; do pids=\"$pids $pid\"; done
[ -z \"$pids\" ] || kill -QUIT $pids 2>/dev/null
tries=0
for pid in $pids; do
  while kill -0 \"$pid\" 2>/dev/null && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
  kill -9 \"$pid\" 2>/dev/null
done
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

    /// Has this process stopped in the end.
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
