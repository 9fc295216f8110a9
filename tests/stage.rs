//! Where the binary performs: a directory, a stand-in of Jira, a stand-in of the backend, and a configuration that names them.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use contextcore_fakes::Clock;
use contextcore_fakes::jira::{self, Jira, JiraHandle};
use contextcore_fakes::otlp::{self, Collector};
use contextcore_fakes::world::World;
use serde_json::Value;
use tempfile::TempDir;

/// 2026-11-10 09:30 UTC, a Tuesday. Everything happens then.
pub(crate) const NOW: i64 = 1_794_303_000_000;
const NOW_TEXT: &str = "2026-11-10T09:30:00Z";

pub(crate) struct Stage {
    pub(crate) jira: JiraHandle,
    pub(crate) backend: otlp::Handle,
    directory: TempDir,
}

/// What a run of the binary left.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The JSON on stdout, after a run that went well.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The last line on stderr.
    pub(crate) fn last_error(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

impl Stage {
    /// A small sample world.
    pub(crate) async fn new() -> Self {
        Self::with(World::demo(NOW, 2, 7)).await
    }

    pub(crate) async fn with(world: World) -> Self {
        let options = jira::Options { clock: Clock::fixed(NOW), ..jira::Options::cloud() };
        let jira = Jira::start(world, options).await.unwrap();
        let backend = Collector::start(otlp::Options::default()).await.unwrap();
        let stage = Self { jira, backend, directory: tempfile::tempdir().unwrap() };
        stage.configure(&stage.usual());
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration most tests want.
    pub(crate) fn usual(&self) -> String {
        format!(
            "
store: {{path: data}}
listen: 127.0.0.1:0
export:
  give_up: 1s
  history: 90d
  otlp: {{endpoint: '{}', protocol: grpc}}
projects:
  - {{id: commerce, include: [{{source: acme, project: SHOP}}]}}
sources:
  - name: acme
    kind: jira
    url: {}
    auth: {{email: {}, token: {{env: SAMPLE_TOKEN}}}}
",
            self.backend.grpc_url(),
            self.jira.url(),
            Jira::EMAIL
        )
    }

    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(self.path("contextcore.yaml"), text).unwrap();
    }

    /// The binary with these arguments, in our directory and with nothing of the caller's settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env_clear().env("SAMPLE_TOKEN", Jira::TOKEN).env("CONTEXTCORE_NOW", NOW_TEXT);
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Self::end(self.command(arguments))
    }

    pub(crate) fn end(mut command: Command) -> Ran {
        tokio::task::block_in_place(|| Ran::of(command.output().unwrap()))
    }

    /// Starts it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits for a started one.
    pub(crate) fn wait(child: Child) -> Ran {
        tokio::task::block_in_place(|| Ran::of(child.wait_with_output().unwrap()))
    }
}
