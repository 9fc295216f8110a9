//! What ends the servers of tests: a shell that reads process ids from a pipe and stops them when the pipe closes.
//!
//! A server that all tests of a binary share is held by a static, and statics are never dropped. The pipe closes however the test
//! process ends: after its last test, by a panic, by Ctrl-C, by SIGKILL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Reads ids until the pipe closes, stops those that still run with a signal, kills those that take longer than ten seconds, and
/// removes the folder once nobody writes into it. One that has ended and that nobody has waited for yet does not run.
const SCRIPT: &str = "trap '' INT TERM HUP
runs() { kill -0 \"$1\" 2>/dev/null && ! grep -q '^State:.*Z' \"/proc/$1/status\" 2>/dev/null; }
pids=
while read -r pid; do pids=\"$pids $pid\"; done
[ -z \"$pids\" ] || kill -\"$2\" $pids 2>/dev/null
tries=0
for pid in $pids; do
  while runs \"$pid\" && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
  kill -9 \"$pid\" 2>/dev/null
done
rm -rf \"$1\"";

/// How servers are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// SIGKILL, for those that leave nothing behind.
    Kill,
    /// SIGQUIT, which lets a server end its own processes and remove its shared memory. What still runs then is killed.
    Quit,
}

/// Watches over processes and a folder, and ends and removes them when it is dropped or this process is gone.
pub struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Watches over a folder, and over no process yet.
    ///
    /// # Panics
    /// When no shell can be started.
    #[must_use]
    pub fn over(folder: &Path, ending: Ending) -> Self {
        let signal = match ending {
            Ending::Kill => "KILL",
            Ending::Quit => "QUIT",
        };
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "guard"]).arg(folder).arg(signal).stdin(Stdio::piped());
        // Ctrl-C goes to the group of the test alone.
        let mut shell = command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
        let pipe = shell.stdin.take();
        Self { shell, pipe }
    }

    /// Has this process stopped in the end.
    ///
    /// # Panics
    /// When the shell is gone.
    pub fn watch(&mut self, id: u32) {
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
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    /// Starts a program that says when it treats signals as it is to.
    fn ready(program: &str, arguments: &[&str]) -> Child {
        let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        child
    }

    #[test]
    fn what_it_watches_ends_with_it() {
        for (ending, signal) in [(Ending::Kill, 9), (Ending::Quit, 3)] {
            let folder = tempfile::tempdir().unwrap().keep();
            let mut guard = Guard::over(&folder, ending);
            // What a shell runs in the background ignores SIGQUIT, and so does all that it starts.
            let mut child = ready("env", &["--default-signal=QUIT", "sh", "-c", "echo ready; exec sleep 600"]);
            guard.watch(child.id());
            assert!(child.try_wait().unwrap().is_none());
            drop(guard);
            assert_eq!(child.wait().unwrap().signal(), Some(signal), "{ending:?}");
            assert!(!folder.exists());
        }
    }

    #[test]
    fn what_does_not_stop_is_killed() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut guard = Guard::over(&folder, Ending::Quit);
        let mut child = ready("sh", &["-c", "trap '' QUIT; echo ready; while true; do sleep 0.1; done"]);
        guard.watch(child.id());
        drop(guard);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
