//! Commands to the server, and their answers.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whether its exit code was 0.
    pub ok: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// What it printed.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "often only whether it succeeded matters")]
    pub fn succeeds(self) -> String {
        assert!(self.ok, "{}\n{}", self.err, self.out);
        self.out
    }

    /// Its complaint.
    ///
    /// # Panics
    /// When it did not fail.
    #[track_caller]
    #[must_use]
    pub fn fails(self) -> String {
        assert!(!self.ok, "not refused: {}", self.out);
        self.err
    }
}

/// Runs a command with this standard input.
pub(crate) fn run(mut command: Command, input: &str) -> Answer {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut pipe, input) = (child.stdin.take().unwrap(), input.to_owned());
    // On a thread of its own: it may answer before it has read all. What it does not want to read is not our concern.
    let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()).ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A command with nothing of the user's: no kubeconfig, no preferences, no cache outside of the folder.
pub(crate) fn command(program: &Path, kubeconfig: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("KUBECONFIG", kubeconfig).env("KUBECACHEDIR", folder.join("cache")).env("KUBERC", "off");
    command.env("HOME", folder);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(name);
    }
    command
}

/// Several objects as one document that kubectl reads.
pub(crate) fn list(objects: &[Value]) -> String {
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}
