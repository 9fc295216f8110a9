//! How long connectors live.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::*;
use crate::config::kind::unchecked;
use crate::config::{self};
use crate::http::Stats;
use crate::ingest::connector::{CheckReport, Cursor, InitHints, Page, RawRecord, Run, SourceSession, Stream};
use crate::model::observation::Observation;
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
