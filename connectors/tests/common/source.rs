//! A source in a test: a connector, and what the engine would store of it between two runs.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test harness: each test binary uses its own part"
)]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use contextcore_connectors::ALL;
use contextcore_core::config::{BlockedConfig, CommentPrivacy, Privacy, SourceConfig};
use contextcore_core::ingest::connector::{Connector, Cursor, Page, RawRecord, Run, SourceSession};
use contextcore_core::model::SprintFacts;
use contextcore_core::model::observation::{Activity, Observation, TaskObservation};
use contextcore_core::{Error, Millis, Result};
use serde_json::json;

/// 2026-11-18, when nothing special is going on with any clock.
pub const NOW: i64 = 1_795_000_000_000;

/// A source of a kind that answers at `url`, with its token in a file of `dir`.
pub fn config(kind: &str, url: &str, dir: &tempfile::TempDir, token: &str, projects: &[&str]) -> SourceConfig {
    let file = dir.path().join("token");
    std::fs::write(&file, token).unwrap();
    SourceConfig {
        agents: vec![],
        name: format!("acme-{kind}"),
        kind: kind.into(),
        url: url.into(),
        location: None,
        settings: json!({"auth": {"token": {"file": file}}}),
        webhook: None,
        tls_ca_file: None,
        projects: projects.iter().map(ToString::to_string).collect(),
        extra_scopes: Vec::new(),
        schedule: "*/5 * * * *".parse().unwrap(),
        fields: BTreeMap::new(),
        blocked: BlockedConfig::default(),
        derive_status: false,
        stale_after: Duration::from_secs(86_400),
        statuses: BTreeMap::new(),
        types: BTreeMap::new(),
    }
}

/// A connector of a source, with this much of comments.
pub fn connect(config: &SourceConfig, comments: CommentPrivacy) -> Box<dyn Connector> {
    let registration = ALL.iter().find(|registration| registration.kind == config.kind).unwrap();
    (registration.build)(config, &Privacy { comments, ..Privacy::default() }).unwrap()
}

/// A connector that lives across runs, with the state and the cursors that the engine would store.
pub struct Source {
    pub config: SourceConfig,
    pub connector: Box<dyn Connector>,
    session: Option<Box<dyn SourceSession>>,
    pub state: Option<serde_json::Value>,
    pub cursors: HashMap<&'static str, Cursor>,
}

/// What one run gave.
#[derive(Default)]
pub struct Outcome {
    pub records: Vec<RawRecord>,
    pub tasks: BTreeMap<String, TaskObservation>,
    pub gone: BTreeSet<String>,
    pub sprints: BTreeMap<String, SprintFacts>,
    /// Sprints that were deleted.
    pub gone_sprints: BTreeSet<String>,
    pub activities: Vec<Activity>,
    pub failures: Vec<Error>,
    pub seen: BTreeSet<String>,
    /// A complete pass met a row whose id nobody knows.
    pub nameless: bool,
    /// What the tool could not serve, with the reason.
    pub unreadable: BTreeMap<String, String>,
    /// The sprints that are not closed, where a page listed them.
    pub open_sprints: Option<BTreeSet<String>>,
    pub warnings: Vec<String>,
    /// Lists that were there before and are refused.
    pub withheld: Vec<String>,
    /// Projects that were read before and are hidden now.
    pub lost: Vec<String>,
    /// The last count of tasks that was given.
    pub total: Option<u64>,
    pub requests: u64,
    pub points: i64,
}

impl Source {
    pub fn new(config: SourceConfig) -> Self {
        let connector = connect(&config, CommentPrivacy::default());
        Self { config, connector, session: None, state: None, cursors: HashMap::new() }
    }

    /// A new process over what was stored.
    pub fn restart(&mut self, comments: CommentPrivacy) {
        self.connector = connect(&self.config, comments);
        self.session = None;
    }

    /// The same under another configuration, as the engine goes on with it.
    pub fn reconfigure(&mut self) {
        self.restart(CommentPrivacy::default());
        self.state = self.state.take().and_then(|state| self.connector.outlives(state));
        self.cursors.clear();
    }

    /// One run over these streams, every page stored.
    pub async fn run(&mut self, now: i64, streams: &[&'static str]) -> Result<Outcome> {
        let run = Run { now: Millis(now), full: false };
        let requests = self.connector.stats().requests;
        self.open(&run).await?;
        let mut outcome = Outcome { lost: self.session().lost(), ..Outcome::default() };
        for stream in streams {
            self.drain(stream, &mut outcome).await?;
        }
        self.state = Some(self.session().state()?);
        outcome.requests = self.connector.stats().requests - requests;
        Ok(outcome)
    }

    pub async fn open(&mut self, run: &Run) -> Result<()> {
        let session = self.connector.open(self.state.clone(), run).await?;
        self.state = Some(session.state()?);
        self.session = Some(session);
        Ok(())
    }

    /// What the last `open` gave.
    pub fn session(&self) -> &dyn SourceSession {
        self.session.as_deref().unwrap()
    }

    /// Every page of a stream.
    pub async fn drain(&mut self, stream: &'static str, outcome: &mut Outcome) -> Result<()> {
        while self.step(stream, outcome).await? {}
        Ok(())
    }

    /// One page. Whether there is more.
    pub async fn step(&mut self, stream: &'static str, outcome: &mut Outcome) -> Result<bool> {
        let page = self.session().poll(stream, self.cursors.get(stream)).await?;
        // A cursor is stored as text.
        let text = serde_json::to_string(&page.cursor).unwrap();
        self.cursors.insert(stream, serde_json::from_str(&text).unwrap());
        let more = page.more;
        outcome.page(self.session(), page);
        Ok(more)
    }

    /// Reads records by their ids.
    pub async fn read_again(&mut self, now: i64, ids: &[String]) -> Result<Outcome> {
        self.open(&Run { now: Millis(now), full: false }).await?;
        let mut outcome = Outcome::default();
        outcome.page(self.session(), self.session().read_again(ids).await?);
        Ok(outcome)
    }
}

/// A record that was parsed while it was fetched means what its text means, which is all that is kept of one in quarantine.
fn says_the_same_as_text(session: &dyn SourceSession, record: &RawRecord) {
    let Cow::Owned(json) = record.json().unwrap() else { return };
    let text = RawRecord::new(record.stream, record.native_id.clone(), json);
    let said = |record| session.normalise(record).map_err(|error| error.full());
    assert_eq!(said(record), said(&text), "{}", text.json().unwrap());
    session.remarks();
}

impl Outcome {
    fn page(&mut self, session: &dyn SourceSession, page: Page) {
        self.seen.extend(page.seen);
        self.nameless |= page.nameless;
        self.total = page.total.or(self.total);
        self.warnings.extend(page.warnings);
        self.withheld.extend(page.withheld);
        self.unreadable.extend(page.unreadable.into_iter().map(|one| (one.native_id, one.reason)));
        self.open_sprints = page.open_sprints.map(|open| open.into_iter().collect()).or(self.open_sprints.take());
        for record in &page.records {
            self.take(session.normalise(record));
        }
        self.warnings.extend(session.remarks());
        page.records.iter().for_each(|record| says_the_same_as_text(session, record));
        self.records.extend(page.records);
    }

    fn take(&mut self, observed: Result<Vec<Observation>>) {
        match observed {
            Err(error) => self.failures.push(error),
            Ok(observations) => observations.into_iter().for_each(|observation| match observation {
                Observation::Task(task) => drop(self.tasks.insert(task.native_id.clone(), *task)),
                Observation::Sprint { native_id, facts } => drop(self.sprints.insert(native_id, facts)),
                Observation::SprintGone { native_id } => {
                    self.sprints.remove(&native_id);
                    self.gone_sprints.insert(native_id);
                }
                Observation::Activity(activity) => self.activities.push(*activity),
                Observation::Gone { native_id } => drop(self.gone.insert(native_id)),
                Observation::Operations(_)
                | Observation::SprintOperations(_)
                | Observation::Insight(_)
                | Observation::Guidance(_) => {
                    unreachable!("no tool reports operations")
                }
            }),
        }
    }
}

/// Lets a rig be used as the [`Source`] in its field `source`.
macro_rules! rig_of_source {
    ($rig:ty) => {
        impl std::ops::Deref for $rig {
            type Target = Source;

            fn deref(&self) -> &Source {
                &self.source
            }
        }

        impl std::ops::DerefMut for $rig {
            fn deref_mut(&mut self) -> &mut Source {
                &mut self.source
            }
        }
    };
}
pub(crate) use rig_of_source;
