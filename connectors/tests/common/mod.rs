//! One whole installation in a test: a scripted tool, its connector, a store, and a collector that keeps what it is told.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test harness: each test binary uses its own part"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::MutexGuard;

use contextcore_connectors::ALL;
use contextcore_core::Millis;
use contextcore_core::config::Config;
use contextcore_core::progress::Quiet;
use contextcore_core::replay::{DrainReport, Present, Replayer, Sinks};
use contextcore_core::sink::RetryPolicy;
use contextcore_core::store::Store;
use contextcore_core::sync::{Options, Source, SourceReport, sync_source};
use contextcore_standins::Clock;
use contextcore_standins::jira::{self, Jira, JiraHandle};
use contextcore_standins::linear::{self, Linear, LinearHandle};
use contextcore_standins::otlp::{Collector, Handle};
use contextcore_standins::world::World;
use tokio_util::sync::CancellationToken;

/// A scripted tool of any vendor.
pub enum Tool {
    Jira(JiraHandle),
    Linear(LinearHandle),
}

impl Tool {
    /// Every kind there is, by its word in the configuration.
    pub const KINDS: [&str; 2] = ["jira", "linear"];

    /// A tool of this kind over a world.
    pub async fn start(kind: &str, world: World, clock: Clock) -> Self {
        match kind {
            "jira" => {
                let options = jira::Options { clock, ..jira::Options::cloud() };
                Self::Jira(Jira::start(world, options).await.unwrap())
            }
            _ => {
                // A bin that is never emptied: what was in it before the first run cannot be known to it.
                let options = linear::Options { clock, retention: i64::MAX, ..linear::Options::default() };
                Self::Linear(Linear::start(world, options).await.unwrap())
            }
        }
    }

    /// Its world.
    pub fn world(&self) -> MutexGuard<'_, World> {
        match self {
            Self::Jira(jira) => jira.world(),
            Self::Linear(linear) => linear.world(),
        }
    }

    /// An empty installation that reads it.
    pub async fn rig(&self) -> Rig {
        match self {
            Self::Jira(jira) => Rig::new(jira).await,
            Self::Linear(linear) => Rig::of("linear", linear.url(), None, Linear::KEY).await,
        }
    }
}

/// The installation.
pub struct Rig {
    pub config: Config,
    pub store: Store,
    pub source: Source,
    pub collector: Handle,
    pub sinks: Sinks,
    pub stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Rig {
    /// An empty installation that reads `jira`.
    pub async fn new(jira: &JiraHandle) -> Self {
        Self::of("jira", jira.url(), Some(Jira::EMAIL), Jira::TOKEN).await
    }

    /// An empty installation that reads the tool of this kind at `url`.
    pub async fn of(kind: &str, url: &str, email: Option<&str>, token: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let collector = Collector::start(contextcore_standins::otlp::Options::default()).await.unwrap();
        let config = config(dir.path(), (kind, url), email, token, &collector);
        let store = Store::open(&config.store.path).unwrap();
        let source = source(&config);
        let stop = CancellationToken::new();
        let sinks = Sinks::connect(&config.export.otlp, &stop, &RetryPolicy::default()).unwrap();
        Self { config, store, source, collector, sinks, stop, _dir: dir }
    }

    /// One `sync` at a moment: poll, then drain.
    pub async fn sync(&self, now: i64) -> (SourceReport, DrainReport) {
        self.sync_with(now, false).await
    }

    /// One `sync`, reading everything again when `full`.
    pub async fn sync_with(&self, now: i64, full: bool) -> (SourceReport, DrainReport) {
        let options = Options { full, dry_run: false, now: Some(Millis(now)) };
        let report = sync_source(&self.store, &self.source, &options, &Quiet, &self.stop).await;
        let drained = self.replayer().drain(Millis(now), Present::ALL).await;
        (report, drained)
    }

    pub fn replayer(&self) -> Replayer<'_> {
        Replayer::new(&self.store, &self.config, &self.sinks, &Quiet, &self.stop, false)
    }
}

fn config(dir: &Path, (kind, url): (&str, &str), email: Option<&str>, token: &str, collector: &Handle) -> Config {
    let file = dir.join("token");
    std::fs::write(&file, token).unwrap();
    let email = email.map(|email| format!("email: {email}, ")).unwrap_or_default();
    let text = format!(
        "store: {{path: {store}}}\nexport: {{history: all, give_up: 5s, otlp: {{endpoint: '{otlp}'}}}}\n\
         sources:\n  - name: acme-{kind}\n    kind: {kind}\n    url: {url}\n    auth: {{{email}token: {{file: {file}}}}}\n",
        store = dir.join("data").display(),
        otlp = collector.grpc_url(),
        file = file.display(),
    );
    Config::from_str(&text, "test.yaml", &Tool::KINDS).unwrap()
}

fn source(config: &Config) -> Source {
    let settings = config.sources[0].clone();
    let registration = ALL.iter().find(|registration| registration.kind == settings.kind).unwrap();
    let connector = (registration.build)(&settings, &config.privacy).unwrap();
    Source { config: settings, connector }
}

/// Everything kept of each task, without the journal numbers that depend on when it was heard.
pub fn facts(store: &Store) -> BTreeMap<String, String> {
    let tasks = store.tasks(None).map(|item| {
        let (key, record) = item.unwrap();
        let entries: Vec<_> = record.timeline.iter().map(|kept| &kept.entry).collect();
        (key.to_string(), format!("{entries:#?}"))
    });
    tasks.collect()
}
