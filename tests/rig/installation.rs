//! An installation of the product: its directory, its configuration, and the backend it exports to.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use contextcore_fakes::jira::Jira;
use contextcore_fakes::otlp::{self, Collector, Handle, Point};
use serde_json::Value;

use super::outcome::{self, Outcome};
use super::{LIMIT, Ran, Running, SOURCE};

/// What a test changes of the usual configuration: YAML for the inside of each part.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    /// A key of `export`, for example `give_up: 2s`.
    pub(crate) export: &'a str,
    /// Keys of `export.otlp`; the endpoint is gRPC unless `http` is set.
    pub(crate) otlp: &'a str,
    pub(crate) http: bool,
    /// A key of the source.
    pub(crate) source: &'a str,
    /// Further keys of the file, whole lines.
    pub(crate) rest: &'a str,
    /// How the backend behaves.
    pub(crate) backend: otlp::Options,
}

/// A directory with a configuration and a store, and the backend it exports to.
pub(crate) struct Installation {
    dir: tempfile::TempDir,
    pub(crate) collector: Handle,
    url: String,
    now: Arc<AtomicI64>,
    /// The environment of the binary, beside the clock.
    pub(crate) variables: Vec<(String, String)>,
}

impl Installation {
    pub(super) fn new(url: &str, now: &Arc<AtomicI64>, collector: Handle, (name, secret): (&str, &str)) -> Self {
        let variables = vec![(name.to_owned(), secret.to_owned())];
        Self { dir: tempfile::tempdir().unwrap(), collector, url: url.to_owned(), now: Arc::clone(now), variables }
    }

    /// An installation beside any tool, with a backend of its own. `source` is the inside of its source in the configuration,
    /// where `{url}` stands for the address.
    pub(crate) async fn beside(url: &str, now: &Arc<AtomicI64>, source: &str, secret: (&str, &str)) -> Self {
        let home = Self::new(url, now, Collector::start(otlp::Options::default()).await.unwrap(), secret);
        let source = format!("  - {{{}}}\n", source.replace("{url}", url));
        home.write(&home.config(&Setup::default(), &source));
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Writes the configuration for the Jira of a [`super::Tool`].
    pub(crate) fn configure(&self, setup: &Setup<'_>) {
        let own = if setup.source.is_empty() { String::new() } else { format!("    {}\n", setup.source) };
        let source = format!(
            "  - name: {SOURCE}\n    kind: jira\n    url: {}\n    auth: {{email: {}, token: {{env: JIRA_TOKEN}}}}\n{own}",
            self.url,
            Jira::EMAIL,
        );
        self.write(&self.config(setup, &source));
    }

    /// The whole configuration. Sources come last, so that a test can add to them.
    fn config(&self, setup: &Setup<'_>, sources: &str) -> String {
        let endpoint = if setup.http { self.collector.http_url() } else { self.collector.grpc_url() };
        let protocol = if setup.http { "http/protobuf" } else { "grpc" };
        let otlp = if setup.otlp.is_empty() { String::new() } else { format!(", {}", setup.otlp) };
        let export = if setup.export.is_empty() { String::new() } else { format!("  {}\n", setup.export) };
        format!(
            "store: {{path: ./data}}\n\
             export:\n  history: all\n  metrics: {{history_step: 48h}}\n  \
             otlp: {{endpoint: '{endpoint}', protocol: {protocol}{otlp}}}\n{export}{}\
             sources:\n{sources}",
            setup.rest,
        )
    }

    /// Writes a whole configuration file.
    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.path().join("contextcore.yaml"), text).unwrap();
    }

    pub(crate) fn config_text(&self) -> String {
        std::fs::read_to_string(self.path().join("contextcore.yaml")).unwrap()
    }

    /// The binary in this installation, with nothing of the test's own environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.prepare(Command::new(env!("CARGO_BIN_EXE_contextcore")), arguments)
    }

    /// Any program in this installation's directory and environment.
    pub(crate) fn prepare(&self, mut command: Command, arguments: &[&str]) -> Command {
        let now = jiff::Timestamp::from_millisecond(self.now.load(Ordering::Relaxed)).unwrap();
        command.args(arguments).current_dir(self.path()).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CONTEXTCORE_NOW", now.to_string());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        Running::spawn(self.command(arguments))
    }

    /// Starts the binary with pipes that nobody reads yet.
    pub(crate) fn spawn_unread(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.spawn(arguments).wait(LIMIT)
    }

    /// Runs a script with the binary as `$0`.
    pub(crate) fn shell(&self, script: &str, arguments: &[&str]) -> Ran {
        let binary = env!("CARGO_BIN_EXE_contextcore");
        let command = self.prepare(Command::new("sh"), &[&["-c", script, binary], arguments].concat());
        Running::spawn(command).wait(LIMIT)
    }

    /// The same where mounts are its own and vanish with it; none, said loudly, where that is not permitted.
    pub(crate) fn in_namespace(&self, script: &str, arguments: &[&str]) -> Option<Ran> {
        let user_namespace = ["-m", "-rm"].into_iter().find(|flags| {
            let probe = ["unshare", flags, "sh", "-c", "mount -t tmpfs none /mnt"];
            let probe = Command::new(probe[0]).args(&probe[1..]).output();
            probe.is_ok_and(|output| output.status.success())
        });
        let Some(flags) = user_namespace else {
            eprintln!("SKIPPED: this user may not mount anything, so a disk of a chosen size is not possible");
            return None;
        };
        let binary = env!("CARGO_BIN_EXE_contextcore");
        let arguments = [&[flags, "sh", "-c", script, binary], arguments].concat();
        Some(Running::spawn(self.prepare(Command::new("unshare"), &arguments)).wait(LIMIT))
    }

    /// A sync that must succeed.
    pub(crate) fn sync(&self) -> Ran {
        self.run(&["sync"]).expect(0)
    }

    /// The summary of a sync that must end with `code`.
    pub(crate) fn summary(&self, code: i32, arguments: &[&str]) -> Value {
        self.run(&[&["sync", "--output", "json"], arguments].concat()).expect(code).json()
    }

    /// The tasks that `tasks` prints.
    pub(crate) fn tasks(&self) -> Vec<Value> {
        let Value::Array(tasks) = self.run(&["tasks", "--output", "json"]).expect(0).json() else { panic!("no list") };
        tasks
    }

    /// The task of this key.
    pub(crate) fn task(&self, key: &str) -> Value {
        let tasks = self.tasks();
        tasks.into_iter().find(|task| task["id"] == key).unwrap_or_else(|| panic!("{key} is not in the list"))
    }

    /// What it knows and has exported.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::of(&self.tasks(), &self.collector, &self.url)
    }

    /// The metric points about the work, without the program's own metrics.
    pub(crate) fn points(&self) -> Vec<Point> {
        outcome::points(&self.collector)
    }

    /// Whether nothing about the work was exported.
    pub(crate) fn has_exported_nothing(&self) -> bool {
        self.collector.spans().is_empty() && self.collector.logs().is_empty() && self.points().is_empty()
    }
}
