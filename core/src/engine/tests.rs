//! How long connectors live, and what a service does while its sources are busy.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use contextcore_fakes::otlp::{self, Collector};

use super::serve::Service;
use super::*;
use crate::config::kind::unchecked;
use crate::config::{self};
use crate::http::Stats;
use crate::ingest::connector::{CheckReport, Cursor, InitHints, Page, RawRecord, Run, SourceSession, Stream};
use crate::model::observation::{Observation, TaskObservation};
use crate::model::samples::facts;
use crate::model::time::HOUR;
use crate::model::{Change, Event, EventId, Status, TaskKey};
use crate::progress::Quiet;

/// Counts how often it is opened; every request it counts is one since it was made.
struct Counting(AtomicU64);

struct Opened;

#[async_trait]
impl Connector for Counting {
    fn streams(&self) -> &'static [Stream] {
        &[]
    }

    async fn open(&self, _: Option<serde_json::Value>, _: &Run) -> Result<Box<dyn SourceSession>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Opened))
    }

    fn stats(&self) -> Stats {
        Stats { requests: self.0.load(Ordering::Relaxed), ..Stats::default() }
    }
}

#[async_trait]
impl SourceSession for Opened {
    fn state(&self) -> Result<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }

    async fn check(&self) -> Result<CheckReport> {
        Ok(CheckReport::default())
    }

    async fn poll(&self, _: &'static str, _: Option<&Cursor>) -> Result<Page> {
        Err(Error::new(ErrorKind::Internal, "there is no stream"))
    }

    fn normalise(&self, _: &RawRecord) -> Result<Vec<Observation>> {
        Ok(Vec::new())
    }
}

static BUILT: AtomicU64 = AtomicU64::new(0);

static KINDS: [Registration; 1] = [Registration {
    kind: "counting",
    about: "counts",
    keys: unchecked("counting").keys,
    init: InitHints { questions: &[], token_page: None },
    webhook: None,
    build: |config, _| {
        BUILT.fetch_add(1, Ordering::Relaxed);
        // A file that appears later, as a CA bundle may.
        match config.tls_ca_file.as_ref().is_none_or(|path| path.exists()) {
            true => Ok(Box::new(Counting(AtomicU64::new(0)))),
            false => Err(Error::new(ErrorKind::Config, "read the CA file")),
        }
    },
}];

#[tokio::test]
async fn a_connector_is_made_once_and_serves_every_run() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let text = format!(
        "sources: [{{name: acme, kind: counting, url: 'https://a.example', tls: {{ca_file: '{}'}}}}]",
        ca.display()
    );
    let config = config::parse(&text, "x.yaml", &[KINDS[0].source_kind()]).unwrap();
    let store = Store::open(&dir.path().join("data")).unwrap();
    let engine = Arc::new(Engine::new(config, store, Box::new(Quiet), &KINDS));
    let sync = || async { engine.sync(&engine.config().sources, Options::default()).await.remove(0) };

    assert_eq!(sync().await.error.unwrap().kind(), ErrorKind::Config);
    let status = engine.store.source_status("acme").unwrap();
    assert_eq!((status.failures, status.last_attempt.is_some()), (1, true));
    std::fs::write(&ca, "").unwrap();
    for _ in 0..3 {
        let report = sync().await;
        assert!(report.error.is_none(), "{:?}", report.error);
        assert_eq!(report.requests, 1, "what earlier runs did is not counted again");
    }
    assert_eq!(BUILT.load(Ordering::Relaxed), 2, "once in vain, then once for three runs");
}

#[tokio::test]
async fn a_new_configuration_keeps_the_connectors_that_it_does_not_change() {
    static KEPT: AtomicU64 = AtomicU64::new(0);
    static KEPT_KINDS: [Registration; 1] = [Registration {
        build: |_, _| {
            KEPT.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Counting(AtomicU64::new(0))))
        },
        ..KINDS[0]
    }];
    let dir = tempfile::tempdir().unwrap();
    let config = |stale: &str| {
        let source =
            |name: &str, rest: &str| format!("{{name: {name}, kind: counting, url: 'https://a.example'{rest}}}");
        let text = format!("sources: [{}, {}]", source("one", ""), source("two", stale));
        config::parse(&text, "x.yaml", &[KINDS[0].source_kind()]).unwrap()
    };
    let store = Store::open(&dir.path().join("data")).unwrap();
    let engine = Arc::new(Engine::new(config(""), store, Box::new(Quiet), &KEPT_KINDS));
    engine.sync(&engine.config().sources, Options::default()).await;
    assert_eq!(KEPT.load(Ordering::Relaxed), 2);
    let next = Arc::new(engine.reloaded(config(", stale_after: 3d")));
    next.sync(&next.config().sources, Options::default()).await;
    assert_eq!(KEPT.load(Ordering::Relaxed), 3, "only the source that changed has a new connector");
    assert!(!next.cancel.is_cancelled());
}

/// Whether the answers of slow tools may be decoded by now.
static DECODED: AtomicBool = AtomicBool::new(false);
/// What takes longer never comes.
const LIMIT: Duration = Duration::from_secs(60);

/// Keeps this thread busy until something is so, or has not become so in time.
fn wait_until(is_so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() && began.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A tool with one task, or (named `slow…`) one whose answers keep a thread busy.
struct Tool {
    is_slow: bool,
}

#[async_trait]
impl Connector for Tool {
    fn streams(&self) -> &'static [Stream] {
        &[Stream { name: "all", complete: false }]
    }

    async fn open(&self, _: Option<serde_json::Value>, _: &Run) -> Result<Box<dyn SourceSession>> {
        Ok(Box::new(Self { is_slow: self.is_slow }))
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }
}

#[async_trait]
impl SourceSession for Tool {
    fn state(&self) -> Result<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }

    async fn check(&self) -> Result<CheckReport> {
        Ok(CheckReport::default())
    }

    async fn poll(&self, stream: &'static str, _: Option<&Cursor>) -> Result<Page> {
        if self.is_slow {
            wait_until(|| DECODED.load(Ordering::Relaxed));
        }
        let records = vec![RawRecord::new(stream, "1", "{}")];
        Ok(Page { records, ..Page::default() })
    }

    fn normalise(&self, _: &RawRecord) -> Result<Vec<Observation>> {
        let (key, present) = (TaskKey::new("quick", "1"), facts(Status::Todo));
        let created = Event {
            id: EventId::of(&key, "created"),
            at: clock::now().plus(-HOUR),
            actor: None,
            observed: false,
            change: Change::Created(Box::new(present.clone())),
        };
        Ok(vec![Observation::Task(Box::new(TaskObservation {
            native_id: "1".into(),
            url: String::new(),
            reporter: None,
            updated: created.at,
            history: vec![created],
            present,
            blockers: Vec::new(),
        }))])
    }
}

static TOOLS: [Registration; 1] = [Registration {
    kind: "tool",
    keys: unchecked("tool").keys,
    build: |config, _| Ok(Box::new(Tool { is_slow: config.name.starts_with("slow") })),
    ..KINDS[0]
}];

/// A runtime that lives on while its threads are busy, unlike that of the test.
fn runtime(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}

#[test]
fn exports_do_not_wait_for_answers_that_take_long_to_decode() {
    let (outside, inside) = (runtime(1), runtime(2));
    let collector = outside.block_on(Collector::start(otlp::Options::default())).unwrap();
    let sources =
        ["quick", "slow-1", "slow-2"].map(|name| format!("{{name: {name}, kind: tool, url: 'https://a.example'}}"));
    let text = format!("export: {{otlp: {{endpoint: '{}'}}}}\nsources: [{}]", collector.grpc_url(), sources.join(", "));
    let config = config::parse(&text, "x.yaml", &[TOOLS[0].source_kind()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("data")).unwrap();
    let engine = Arc::new(Engine::new(config, store, Box::new(Quiet), &TOOLS));
    let quick = inside.block_on(engine.sync(&engine.config().sources[..1], Options::default())).remove(0);
    assert!(quick.error.is_none(), "{:?}", quick.error);

    let entered = inside.enter();
    let service = Service::start(&engine, None).unwrap();
    drop(entered);
    let running = inside.spawn(service.run());
    wait_until(|| !collector.spans().is_empty());
    let has_come = !collector.spans().is_empty();
    DECODED.store(true, Ordering::Relaxed);
    engine.cancel.cancel();
    inside.block_on(running).unwrap().unwrap();
    assert!(has_come, "exports wait for the polls of others");
}
