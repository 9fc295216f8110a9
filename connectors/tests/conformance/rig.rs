//! An installation that reads a fake: a store, one connector that lives as long as the rig, and runs of the engine at given
//! times.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use contextcore_core::config::{self, SourceConfig};
use contextcore_core::http::Stats;
use contextcore_core::ingest::connector::{
    CheckReport, Connector, Cursor, Page, RawRecord, Run, SourceSession, Stream,
};
use contextcore_core::ingest::sync::{Options, Source, SourceReport, sync_source};
use contextcore_core::model::Change;
use contextcore_core::model::observation::Observation;
use contextcore_core::model::timeline::{self, State};
use contextcore_core::progress::Quiet;
use contextcore_core::store::Store;
use contextcore_core::{Millis, Result};
use tokio_util::sync::CancellationToken;

use super::Titles;

pub(super) struct Rig {
    store: Store,
    source: Source,
    pages: Arc<AtomicU64>,
    _dir: tempfile::TempDir,
}

/// A connector whose pages with records are counted.
struct Counted {
    inner: Box<dyn Connector>,
    pages: Arc<AtomicU64>,
}

/// A session of it.
struct CountedSession {
    inner: Box<dyn SourceSession>,
    pages: Arc<AtomicU64>,
}

impl Rig {
    /// An empty installation with one source of a kind; `keys` are its own keys of the configuration.
    pub(super) fn new(kind: &str, keys: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("sources: [{{name: acme, kind: {kind}, {keys}}}]");
        let config = config::parse(&text, "test.yaml", &contextcore_connectors::kinds()).unwrap();
        let registration = contextcore_connectors::registration(kind).unwrap();
        let inner = (registration.build)(&config.sources[0], &config.privacy).unwrap();
        let pages = Arc::new(AtomicU64::new(0));
        let connector = Box::new(Counted { inner, pages: pages.clone() });
        let config: SourceConfig = config.sources[0].clone();
        let store = Store::open(&dir.path().join("data")).unwrap();
        Self {
            store,
            source: Source { config, connector, portfolio: std::sync::Mutex::default(), insights: Default::default() },
            pages,
            _dir: dir,
        }
    }

    /// A run like those of a schedule.
    pub(super) async fn sync(&self, now: i64) -> SourceReport {
        self.run(now, false).await
    }

    /// A run that reads everything again and looks for what is gone.
    pub(super) async fn full(&self, now: i64) -> SourceReport {
        self.run(now, true).await
    }

    async fn run(&self, now: i64, full: bool) -> SourceReport {
        let options = Options { full, dry_run: false, now: Some(Millis(now)) };
        sync_source(&self.store, &self.source, &options, &Quiet, &CancellationToken::new()).await
    }

    fn states(&self) -> Vec<(String, State)> {
        let states = self.store.tasks(None).map(|item| item.unwrap());
        states
            .filter_map(|(key, record)| Some((key.native_id.to_string(), timeline::last(&record.timeline)?)))
            .collect()
    }

    /// The tasks that are there.
    pub(super) fn titles(&self) -> Titles {
        let there = self.states().into_iter().filter(|(_, state)| state.deleted.is_none());
        there.map(|(id, state)| (id, state.facts.title.to_string())).collect()
    }

    /// How many tasks vanished.
    pub(super) fn gone(&self) -> usize {
        self.states().iter().filter(|(_, state)| state.deleted.is_some()).count()
    }

    /// How many creations all timelines hold.
    pub(super) fn creations(&self) -> usize {
        let entries = self.store.tasks(None).flat_map(|item| item.unwrap().1.timeline);
        entries.filter(|stored| matches!(stored.event.change, Change::Created(_))).count()
    }

    /// How many pages with records came.
    pub(super) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// How often the tool asked to wait.
    pub(super) fn waits(&self) -> u64 {
        self.source.connector.stats().waits
    }
}

#[async_trait]
impl Connector for Counted {
    fn streams(&self) -> &'static [Stream] {
        self.inner.streams()
    }

    async fn open(&self, state: Option<serde_json::Value>, run: &Run) -> Result<Box<dyn SourceSession>> {
        Ok(Box::new(CountedSession { inner: self.inner.open(state, run).await?, pages: Arc::clone(&self.pages) }))
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

#[async_trait]
impl SourceSession for CountedSession {
    fn state(&self) -> Result<serde_json::Value> {
        self.inner.state()
    }

    async fn check(&self) -> Result<CheckReport> {
        self.inner.check().await
    }

    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>) -> Result<Page> {
        let page = self.inner.poll(stream, cursor).await?;
        self.pages.fetch_add(u64::from(!page.records.is_empty()), Ordering::Relaxed);
        Ok(page)
    }

    async fn read_again(&self, ids: &[String]) -> Result<Page> {
        self.inner.read_again(ids).await
    }

    fn restart(&self, stream: &'static str, cursor: &Cursor) -> Option<Cursor> {
        self.inner.restart(stream, cursor)
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        self.inner.normalise(record)
    }

    fn lost(&self) -> Vec<String> {
        self.inner.lost()
    }
}
