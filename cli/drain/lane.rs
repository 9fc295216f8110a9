//! Draining one lane: an ordinary engine with one source, until nothing new has come for a while.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contextcore_connectors::sdk;
use contextcore_core::config::{self, Config, HeaderValue, Privacy, SignalTarget, SourceConfig};
use contextcore_core::engine::Engine;
use contextcore_core::export::otlp::Signal;
use contextcore_core::ingest::connector::Registration;
use contextcore_core::ingest::sync::{Options, SourceReport};
use contextcore_core::store::Store;
use contextcore_core::{Error, ErrorKind, Secret, lock};
use contextcore_spool::{self as spool, Destination, Headers, LaneDir, Lock, Reader, Transport};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer;
use super::export::{self, Ended, SignalLoop};
use super::logs;
use super::post::{Post, Shown};
use super::quiet::Quiet;
use super::shared::{Shared, Trouble};
use crate::failure::{Exit, Failure};
use crate::{app, host, lanes, progress};

/// How often a spool is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often one that has been quiet for long is looked at.
const LOOK_IDLE: Duration = Duration::from_secs(1);
/// How often what was written is made durable.
const SYNC: Duration = Duration::from_secs(1);
/// How long after a failure of the store or the spool it is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// With `--linger 0s`: how long it is tried again.
const LEAST_TRIES: Duration = Duration::from_secs(6);
/// With `--linger 0s`: how long a backend that accepts nothing is waited for. Longer than the pause that many traces need.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long the last export may take, and how long after a request to stop.
const LAST_EXPORT: Duration = Duration::from_secs(10);
const LAST_EXPORT_STOPPED: Duration = Duration::from_secs(3);

/// The kinds of sources that a helper knows.
static KINDS: [Registration; 1] = [sdk::LANE];

/// What is in trouble where lines cannot be stored.
const SPOOL: &str = "spool";

/// The group of metadata that names the signals which a lane's backend does not know.
const UNKNOWN_SIGNALS: &str = "unknown_signals";

/// A lane to drain.
pub(super) struct Draining {
    pub(super) lane: LaneDir,
    /// Where it goes. Without headers nobody has said yet which.
    pub(super) to: (Destination, Option<Headers>),
    pub(super) linger: Duration,
    pub(super) privacy: Privacy,
    /// The name of this machine.
    pub(super) machine: String,
    pub(super) cancel: CancellationToken,
}

impl Draining {
    /// Drains until nothing new has come for the linger.
    ///
    /// # Errors
    /// When the lane's store cannot be used.
    pub(super) async fn run(self, lock: Lock) -> Result<Exit, Failure> {
        let (mut lock, mut quiet) = (lock, Quiet::new());
        loop {
            let (exit, is_asked_to_stop) = self.drain(&mut quiet).await?;
            drop(lock);
            // Whoever wrote a line since, and saw the lock held, relies on this look. What was there before and was not taken
            // waits for the next helper.
            let more = !is_asked_to_stop && quiet.look(&self.reader());
            match self.lane.lock() {
                Ok(Some(again)) if more => lock = again,
                _ => return Ok(exit),
            }
        }
    }

    fn reader(&self) -> Reader {
        Reader::new(vec![self.lane.spool()], 1)
    }

    /// One life of the engine. Returns how it ended, and whether somebody asked it to stop.
    async fn drain(&self, quiet: &mut Quiet) -> Result<(Exit, bool), Failure> {
        let (to, headers) = self.to.clone();
        let shared = Arc::new(Shared {
            lane: self.lane.clone(),
            to,
            headers: watch::Sender::new(headers),
            nudge: Notify::new(),
            stored: Mutex::default(),
            engine: Mutex::default(),
            trouble: Trouble::default(),
            cancel: self.cancel.child_token(),
        });
        let socket = answer::Socket::bind(&self.lane);
        let mut answers = JoinSet::new();
        if let Some(listener) = socket.as_ref().and_then(answer::Socket::listener) {
            answers.spawn(answer::run(Arc::clone(&shared), listener));
        }
        let ended = self.with_headers(&shared, quiet).await;
        answers.shutdown().await;
        drop(socket);
        *lock(&shared.engine) = None;
        Ok((ended?, shared.cancel.is_cancelled()))
    }

    /// Waits for the headers, if the backend needs some, and drains.
    async fn with_headers(&self, shared: &Arc<Shared>, quiet: &mut Quiet) -> Result<Exit, Failure> {
        quiet.look(&self.reader());
        let mut headers = shared.headers.subscribe();
        let wait = headers.wait_for(Option::is_some);
        let known = tokio::select! {
            () = shared.cancel.cancelled() => None,
            known = tokio::time::timeout(quiet.left(self.linger).max(LOOK), wait) => known.ok().and_then(Result::ok).and_then(|known| known.clone()),
        };
        let Some(headers) = known else {
            tracing::warn!(
                lane = self.lane.name(),
                "nobody brought the headers that its backend needs; it stays as it is"
            );
            return Ok(Exit::Backend);
        };
        if shared.to.protocol == Transport::Ops {
            let post = Post::of_lane(&shared.to, &headers)?;
            let shown = Shown { nudge: &shared.nudge, posted: &shared.stored, trouble: &shared.trouble };
            return post.run(&self.lane, self.linger, &shared.cancel, shown, quiet).await;
        }
        spool::layout::make_private(&self.lane.engine())
            .map_err(|error| Failure::new(Exit::Internal, format!("make {}: {error}", self.lane.engine().display())))?;
        let logs = logs::target((&self.to.0, &headers), lanes::variable).unwrap_or_else(|warning| {
            tracing::warn!(lane = self.lane.name(), "{warning}");
            None
        });
        // A command that reads the store has it for moments.
        let store = app::open_store(&self.config(&headers, &[], logs.as_ref())?).await?;
        let config = self.config(&headers, &unknown_signals(&store)?, logs.as_ref())?;
        let mut engine = Arc::new(Engine::new(config, store, progress::lines(), &KINDS));
        *lock(&shared.stored) = cursor(&engine)?;
        loop {
            *lock(&shared.engine) = Some(Arc::clone(&engine));
            match host::beside(&engine, self.serve(shared, &engine, quiet)).await? {
                Ended::Unknown(signal) => {
                    let left = remember_unknown(&engine.store, signal)?;
                    let to = &shared.to.endpoint;
                    tracing::warn!("{to} takes no {signal}: it gets no more of them, and none are kept for it");
                    engine = Arc::new(engine.reloaded(self.config(&headers, &left, logs.as_ref())?));
                }
                Ended::Done => return Ok(if export::is_done(&engine)? { Exit::Done } else { Exit::Backend }),
            }
        }
    }

    /// The configuration of a lane's engine: without the signals that its backend does not know, and with another backend for log
    /// records if there is one.
    fn config(&self, headers: &Headers, unknown: &[String], logs: Option<&SignalTarget>) -> Result<Config, Failure> {
        let target = json!({"url": base_of(&self.to.0.endpoint), "protocol": self.to.0.protocol.as_str()});
        // What the lane's backend does not know may go to another.
        let is_unknown =
            |signal: &str| unknown.iter().any(|other| other == signal) && (signal != "logs" || logs.is_none());
        let signals = ["traces", "logs"].into_iter().filter(|signal| !is_unknown(signal));
        let text = json!({
            "store": {"path": self.lane.engine()},
            // What is reported now is wanted, however long ago it happened.
            "export": {"history": "all", "otlp": {
                "signals": signals.collect::<Vec<_>>(),
                "endpoints": {"traces": target, "logs": target},
                "tls": {"ca_file": ca_file()},
            }},
            "sources": [{"name": self.source(), "kind": "sdk", "path": self.lane.path()}],
        });
        let mut config = config::parse_alone(&text.to_string(), "the lane", &app::kinds())?;
        config.export.otlp.targets.extend(logs.map(|target| (Signal::Logs, target.clone())));
        let given = headers.0.iter();
        config.export.otlp.headers =
            given.map(|(name, value)| (name.clone(), HeaderValue::Given(Secret::new(value.clone())))).collect();
        config.privacy = self.privacy;
        Ok(config)
    }

    fn source(&self) -> String {
        format!("sdk-{}", self.machine)
    }

    /// Polls and exports until the linger is over, or until the backend turns out not to know a signal.
    async fn serve(&self, shared: &Arc<Shared>, engine: &Arc<Engine>, quiet: &mut Quiet) -> Result<Ended, Failure> {
        let (stored, closing, force_stop) =
            (watch::Sender::new(0_u64), CancellationToken::new(), CancellationToken::new());
        let mut exports = JoinSet::new();
        for signal in engine.config().export.otlp.targets.keys() {
            exports.spawn(SignalLoop::new((engine, shared), *signal, stored.subscribe(), &closing, &force_stop)?.run());
        }
        let ended = tokio::select! {
            ended = self.poll(shared, engine, &stored, quiet) => ended.map(|()| Ended::Done),
            Some(ended) = exports.join_next() => ended.unwrap_or(Ok(Ended::Done)).map_err(Failure::from),
        };
        closing.cancel();
        let rest = async { while exports.join_next().await.is_some() {} };
        let patience = if shared.cancel.is_cancelled() { LAST_EXPORT_STOPPED } else { LAST_EXPORT };
        if tokio::time::timeout(patience, rest).await.is_err() {
            force_stop.cancel();
            while exports.join_next().await.is_some() {}
        }
        ended
    }

    /// Stores what is new, until nothing has come for the linger.
    async fn poll(
        &self,
        shared: &Shared,
        engine: &Arc<Engine>,
        stored: &watch::Sender<u64>,
        quiet: &mut Quiet,
    ) -> Result<(), Failure> {
        let source = engine.config().sources[0].clone();
        let reader = self.reader();
        let (mut synced, mut last_sync) = (BTreeMap::new(), None);
        let mut progress = (Vec::new(), Instant::now());
        loop {
            let positions = export::positions(engine)?;
            if progress.0 != positions {
                progress = (positions, Instant::now());
            }
            if last_sync.is_none_or(|last: Instant| last.elapsed() >= SYNC) {
                (synced, last_sync) = (self.sync(synced).await, Some(Instant::now()));
            }
            let known = lock(&shared.stored).clone();
            quiet.look(&reader);
            let mut pause = if quiet.since().elapsed() < LOOK_IDLE * 10 { LOOK } else { LOOK_IDLE };
            match reader.has_work(&known) {
                Ok(true) => {
                    let report = store(shared, engine, &source).await?;
                    if report.records > 0 {
                        stored.send_modify(|runs| *runs += 1);
                    }
                    pause = if report.error.is_some() { RETRY } else { Duration::ZERO };
                }
                Ok(false) if self.is_over(engine, quiet, progress.1)? => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(lane = self.lane.name(), %error, "could not read the spool");
                    pause = RETRY;
                }
            }
            if pause == RETRY && quiet.left(if self.linger.is_zero() { LEAST_TRIES } else { self.linger }).is_zero() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = shared.cancel.cancelled() => return Ok(()),
                () = shared.nudge.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Makes durable what was written since `synced`: the helper does each second what would cost every call of the SDK.
    async fn sync(&self, mut synced: BTreeMap<PathBuf, u64>) -> BTreeMap<PathBuf, u64> {
        let reader = self.reader();
        let done = tokio::task::spawn_blocking(move || reader.sync(&mut synced).map(|()| synced)).await;
        done.map_err(std::io::Error::from).flatten().unwrap_or_else(|error| {
            tracing::warn!(lane = self.lane.name(), %error, "could not sync the spool");
            BTreeMap::new()
        })
    }

    /// Whether it is time to end.
    fn is_over(&self, engine: &Engine, quiet: &Quiet, last_progress: Instant) -> Result<bool, Failure> {
        if self.linger.is_zero() {
            return Ok(export::is_done(engine)? || quiet.since().max(last_progress).elapsed() >= PATIENCE);
        }
        Ok(quiet.left(self.linger).is_zero())
    }
}

/// An address to which each signal adds its path. What was given may be that of one signal.
fn base_of(endpoint: &str) -> &str {
    let ends = ["/v1/traces", "/v1/logs", "/v1/metrics"];
    ends.iter().find_map(|end| endpoint.strip_suffix(end)).unwrap_or(endpoint)
}

/// The file of certificates that the environment names. One that cannot be used stops nothing: what is sent without it may fail, and
/// says so then.
fn ca_file() -> Option<String> {
    let named = lanes::variable("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE");
    let path = named.or_else(|| lanes::variable("OTEL_EXPORTER_OTLP_CERTIFICATE"))?;
    let is_usable = std::fs::read(&path).is_ok_and(|pem| pem.windows(PEM.len()).any(|part| part == PEM));
    if !is_usable {
        tracing::warn!("{path}, which the environment names as the file of certificates, has none; it is left out");
    }
    is_usable.then_some(path)
}

/// How a certificate begins.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Runs the source once.
async fn store(shared: &Shared, engine: &Arc<Engine>, source: &SourceConfig) -> Result<SourceReport, Failure> {
    let mut report = engine.sync_one(source, Options::default()).await;
    // Lines that nobody can read say nothing about the others: those were stored, and the next run lets them be exported.
    if report.error.as_ref().is_some_and(|error| error.kind() == ErrorKind::Coverage) {
        let again = engine.sync_one(source, Options::default()).await;
        report.records += again.records;
        report.error = again.error;
    }
    match &report.error {
        Some(error) => {
            let _is_logged_below = shared.trouble.set(SPOOL, &error.full());
        }
        None => shared.trouble.clear(SPOOL),
    }
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(error) = &report.error {
        tracing::error!(kind = error.kind().as_str(), "{}", error.full());
    }
    *lock(&shared.stored) = cursor(engine)?;
    Ok(report)
}

/// How far the store has read the spool.
fn cursor(engine: &Engine) -> Result<spool::Cursor, Error> {
    let stored = engine.store.cursor(&engine.config().sources[0].name, sdk::OPERATIONS)?;
    Ok(stored.and_then(|cursor| serde_json::from_value(cursor.0).ok()).unwrap_or_default())
}

fn unknown_signals(store: &Store) -> Result<Vec<String>, Error> {
    Ok(store.metadata(UNKNOWN_SIGNALS, "")?.unwrap_or_default())
}

fn remember_unknown(store: &Store, signal: Signal) -> Result<Vec<String>, Error> {
    let mut unknown = unknown_signals(store)?;
    unknown.push(signal.to_string());
    let mut transaction = store.begin()?;
    transaction.put_metadata(UNKNOWN_SIGNALS, "", &unknown)?;
    transaction.commit()?;
    Ok(unknown)
}
