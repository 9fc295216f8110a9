//! One whole installation in a test: a fake tool, its connector (one for the life of the rig, as in `serve`), a store, and a
//! collector that keeps what it receives.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test harness: each test binary uses its own part"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::MutexGuard;

use contextcore_core::Millis;
use contextcore_core::config::{self, Config};
use contextcore_core::export::otlp::RetryPolicy;
use contextcore_core::export::{Destinations, DrainReport, Exporter, Present};
use contextcore_core::ingest::sync::{Options, Source, SourceReport, sync_source};
use contextcore_core::model::Change;
use contextcore_core::progress::Quiet;
use contextcore_core::store::Store;
use contextcore_fakes::Clock;
use contextcore_fakes::github::{Github, GithubHandle};
use contextcore_fakes::jira::{self, Jira, JiraHandle};
use contextcore_fakes::linear::{self, Linear, LinearHandle};
use contextcore_fakes::otlp::{Collector, Handle};
use contextcore_fakes::world::World;
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
            Self::Linear(linear) => Rig::linear(linear).await,
        }
    }
}

/// The installation.
pub struct Rig {
    pub config: Config,
    pub store: Store,
    pub source: Source,
    pub collector: Handle,
    pub sinks: Destinations,
    pub stop: CancellationToken,
    dir: tempfile::TempDir,
}

impl Rig {
    /// An empty installation that reads `jira`.
    pub async fn new(jira: &JiraHandle) -> Self {
        let source = format!(
            "name: acme-jira, kind: jira, url: '{}', auth: {{email: {}, token: TOKEN}}",
            jira.url(),
            Jira::EMAIL
        );
        Self::of(&source, Jira::TOKEN).await
    }

    /// An empty installation that reads `linear`.
    pub async fn linear(linear: &LinearHandle) -> Self {
        let source = format!("name: acme-linear, kind: linear, url: '{}', auth: {{token: TOKEN}}", linear.url());
        Self::of(&source, Linear::KEY).await
    }

    /// An empty installation that reads the organisation's first projects and repositories of `github`.
    pub async fn github(github: &GithubHandle) -> Self {
        let source = format!(
            "name: acme-github, kind: github, url: '{}', auth: {{token: TOKEN}}, projects: [acme/1, acme/2], \
             repositories: [acme/shop, acme/plat, acme/ops]",
            github.url()
        );
        Self::of(&source, Github::TOKEN).await
    }

    /// An empty installation with one source, in whose text `TOKEN` stands for this token.
    async fn of(text: &str, token: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let collector = Collector::start(contextcore_fakes::otlp::Options::default()).await.unwrap();
        let config = config(dir.path(), text, token, &collector);
        let store = Store::open(config.store.path().unwrap()).unwrap();
        let source = source(&config);
        let stop = CancellationToken::new();
        let sinks = Destinations::connect(&config.export.otlp, &stop, &RetryPolicy::default()).unwrap();
        Self { config, store, source, collector, sinks, stop, dir }
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

    /// Reads everything again and stores nothing.
    pub async fn dry_run(&self, now: i64) -> SourceReport {
        let options = Options { full: true, dry_run: true, now: Some(Millis(now)) };
        sync_source(&self.store, &self.source, &options, &Quiet, &self.stop).await
    }

    /// Puts another token into the file that the configuration names.
    pub fn rotate_token(&self, token: &str) {
        std::fs::write(self.dir.path().join("token"), token).unwrap();
    }

    pub fn replayer(&self) -> Exporter<'_> {
        Exporter::new(&self.store, &self.config, &self.sinks, &Quiet, &self.stop, false)
    }
}

fn config(dir: &Path, source: &str, token: &str, collector: &Handle) -> Config {
    let file = dir.join("token");
    std::fs::write(&file, token).unwrap();
    let text = format!(
        "store: {{path: {store}}}\nexport: {{history: all, give_up: 5s, otlp: {{endpoint: '{otlp}'}}}}\nsources: [{{{source}}}]\n",
        store = dir.join("data").display(),
        otlp = collector.grpc_url(),
        source = source.replace("TOKEN", &format!("{{file: '{}'}}", file.display())),
    );
    config::parse(&text, "test.yaml", &contextcore_connectors::kinds()).unwrap()
}

fn source(config: &Config) -> Source {
    let settings = config.sources[0].clone();
    let registration = contextcore_connectors::registration(&settings.kind).unwrap();
    let connector = (registration.build)(&settings, &config.privacy).unwrap();
    Source { config: settings, connector, portfolio: std::sync::Mutex::default(), insights: Default::default() }
}

/// Everything stored of each task, without the journal numbers, which depend on when it was polled.
pub fn facts(store: &Store) -> BTreeMap<String, String> {
    let tasks = store.tasks(None).map(|item| {
        let (key, record) = item.unwrap();
        let entries: Vec<_> = record.timeline.iter().map(|stored| &stored.event).collect();
        (key.to_string(), format!("{entries:#?}"))
    });
    tasks.collect()
}

/// What GitHub itself keeps a history of. Fields of a project have none: of those a later reader knows only the last change.
pub fn events_from_github(store: &Store) -> BTreeMap<String, Vec<String>> {
    let tasks = store.tasks(None).map(|item| {
        let (key, record) = item.unwrap();
        let events = record
            .timeline
            .iter()
            .map(|stored| &stored.event)
            .filter(|entry| !entry.observed && !matches!(entry.change, Change::Created(_)));
        (key.to_string(), events.map(|entry| format!("{entry:?}")).collect())
    });
    tasks.collect()
}
