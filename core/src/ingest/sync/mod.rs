//! The poll loop: asks a connector stream by stream, and keeps each page in one transaction with the cursor that covers it.
//!
//! [`sync_source`] is the loop; [`pass`] decides what a complete pass means for tasks it did not see, [`attach`] brings what
//! people did to the tasks it belongs to, of whatever source. A run that dies
//! anywhere goes on from the last page kept. Only when all streams of a source came to their end is the source *sealed*: the
//! backends are never shown half a sweep, in which a child may come before its parent.

mod attach;
mod blocking;
mod pass;

use crate::clock;
use crate::model::observation::Observation;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;

use crate::config::SourceConfig;
use crate::http::Stats;
use crate::ingest::connector::{Connector, Cursor, Page, RawRecord, Run, SourceSession, Stream};
use crate::model::activity::StoredActivity;
use crate::model::diff;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::time::{DAY, Millis};
use crate::model::{SmolStr, SprintFacts, SprintRecord, SprintState, TaskKey};
use crate::progress::{Progress, Update};
use crate::store::{Quarantined, SourceStatus, Store, Transaction};

/// A source and the connector that reads it.
pub struct Source {
    /// Its configuration.
    pub config: SourceConfig,
    /// What reads it.
    pub connector: Box<dyn Connector>,
}

/// How a run is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Read everything again.
    pub full: bool,
    /// Poll and report, but keep nothing.
    pub dry_run: bool,
    /// The moment it is; `None` reads the clock. For tests that let it move.
    pub now: Option<Millis>,
}

/// What a run of one source came to.
#[derive(Debug, Default)]
pub struct SourceReport {
    /// The source.
    pub name: String,
    /// Records read.
    pub records: u64,
    /// Facts that were new.
    pub changes: u64,
    /// Records that could not be understood.
    pub set_aside: u64,
    /// Facts whose time cannot be and was moved to the nearest sound one.
    pub repaired: u64,
    /// Requests sent, every try counted.
    pub requests: u64,
    /// How long it took.
    pub seconds: f64,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why it stopped early, if it did. What was kept until then stays.
    pub error: Option<Error>,
}

/// Runs a source once: every stream to its end, or to the first error.
pub async fn sync_source(
    store: &Store,
    source: &Source,
    options: &Options,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> SourceReport {
    let name = &source.config.name;
    let (clock, before) = (Instant::now(), source.connector.stats());
    progress.event(name, Update::Began { total: None });
    let mut job = Job {
        store,
        source,
        progress,
        cancel,
        dry_run: options.dry_run,
        run: Run { now: options.now.unwrap_or_else(clock::now), full: options.full },
        report: SourceReport { name: name.clone(), ..SourceReport::default() },
        heard: false,
        activities: BTreeMap::new(),
        told: BTreeSet::new(),
        touched: BTreeSet::new(),
    };
    let outcome = job.run().await;
    let now = options.now.unwrap_or_else(clock::now);
    let heard = job.heard.then_some(job.run.now);
    let mut report = job.report;
    let stats = source.connector.stats();
    report.requests = stats.requests - before.requests;
    report.seconds = clock.elapsed().as_secs_f64();
    report.error = outcome.err();
    if !options.dry_run
        && let Err(error) = remember(store, &report, heard, &stats, stats.waits - before.waits, now)
    {
        report.error.get_or_insert(error);
    }
    progress.event(name, Update::Done);
    report
}

/// Keeps what a run came to for `status` and for our own metrics.
fn remember(
    store: &Store,
    report: &SourceReport,
    heard: Option<Millis>,
    stats: &Stats,
    waits: u64,
    now: Millis,
) -> Result<()> {
    let mut status = store.source_status(&report.name)?;
    status.heard = heard.or(status.heard);
    status.last_duration = Some(report.seconds);
    status.rate_limit_remaining = stats.rate_limit_remaining;
    let counters = &mut status.counters;
    counters.requests += report.requests;
    counters.records += report.records;
    counters.changes += report.changes;
    counters.waits += waits;
    match &report.error {
        Some(error) => {
            *counters.errors.entry(error.kind().as_str().to_owned()).or_default() += 1;
            status.failures += 1;
            status.last_attempt = Some(now);
            status.last_error = Some(error.full());
            status.last_error_kind = Some(error.kind());
        }
        None => {
            status.failures = 0;
            status.last_error = None;
            status.last_error_kind = None;
            status.last_success = Some(now);
        }
    }
    let mut transaction = store.begin()?;
    transaction.put_source_status(&report.name, &status)?;
    transaction.commit().map(drop)
}

/// The group of notes that holds connector states.
const STATE: &str = "state";

struct Job<'a> {
    store: &'a Store,
    source: &'a Source,
    progress: &'a dyn Progress,
    cancel: &'a CancellationToken,
    dry_run: bool,
    run: Run,
    report: SourceReport,
    /// Every stream of changes was read to its end.
    heard: bool,
    /// What people did, by the tasks it belongs to, until the end of the page that told it.
    activities: BTreeMap<TaskKey, Vec<StoredActivity>>,
    /// The tasks that the page told of and whose waiting may change by it, until its end.
    told: BTreeSet<TaskKey>,
    /// Other sources whose tasks got new facts.
    touched: BTreeSet<SmolStr>,
}

impl Job<'_> {
    fn name(&self) -> &str {
        &self.source.config.name
    }

    async fn run(&mut self) -> Result<()> {
        let mut status = self.store.source_status(self.name())?;
        let settings = settings_hash(&self.source.config);
        let changed = status.settings != settings;
        let first = status.last_success.is_none() || changed;
        let state = if changed { None } else { self.store.metadata(STATE, self.name())? };
        let known_state: Option<serde_json::Value> = state;
        let session = self.or_cancelled(self.source.connector.open(known_state.clone(), &self.run)).await?;
        let (session, state) = (&*session, session.state()?);
        if self.run.full || changed {
            self.forget_cursors()?;
        }
        status.settings = settings;
        status.last_attempt = Some(self.run.now);
        self.keep_start(&status, (known_state.as_ref() != Some(&state)).then_some(&state))?;
        for stream in self.source.connector.streams().iter().filter(|stream| !stream.complete) {
            self.sweep(session, stream).await?;
        }
        self.heard = true;
        // Whatever becomes of a complete pass: what changed was heard to its end, and can be told.
        let passed = self.pass(session, &status, first).await;
        self.finish(first)?;
        passed.and_then(|()| pass::nothing_lost(session.lost()))
    }

    async fn pass(&mut self, session: &dyn SourceSession, status: &SourceStatus, first: bool) -> Result<()> {
        for stream in self.source.connector.streams().iter().filter(|stream| stream.complete) {
            if self.pass_is_due(status, first) {
                self.sweep(session, stream).await?;
            }
        }
        Ok(())
    }

    async fn or_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::new(ErrorKind::Cancelled, "stopped on request; the next run goes on")),
            done = work => done,
        }
    }

    /// A complete pass runs daily and on `--full`. The first sweep sees everything anyway.
    fn pass_is_due(&self, status: &SourceStatus, first: bool) -> bool {
        let age = status.last_complete.map(|last| self.run.now.0 - last.0);
        self.run.full || (!first && age.is_none_or(|age| age >= DAY))
    }

    fn forget_cursors(&self) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        let mut transaction = self.store.begin()?;
        for stream in self.source.connector.streams() {
            transaction.put_cursor(self.name(), stream.name, None)?;
        }
        transaction.commit().map(drop)
    }

    fn keep_start(&self, status: &SourceStatus, state: Option<&serde_json::Value>) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        let mut transaction = self.store.begin()?;
        transaction.put_source_status(self.name(), status)?;
        self.note_derives(&mut transaction)?;
        if let Some(state) = state {
            transaction.put_metadata(STATE, self.name(), state)?;
        }
        transaction.commit().map(drop)
    }

    async fn sweep(&mut self, session: &dyn SourceSession, stream: &Stream) -> Result<()> {
        let forgotten = self.dry_run && self.run.full;
        let mut cursor = if forgotten { None } else { self.store.cursor(self.name(), stream.name)? };
        loop {
            let page = self.or_cancelled(session.poll(stream.name, cursor.as_ref())).await?;
            let (more, next) = (page.more, page.cursor.clone());
            blocking(|| self.keep(session, stream, page))?;
            if !more {
                break;
            }
            cursor = Some(next);
        }
        if stream.complete && !self.dry_run {
            blocking(|| self.close_pass())?;
        }
        Ok(())
    }

    /// Keeps one page: new facts, records set aside, ids seen, and the cursor that covers them, as one transaction.
    fn keep(&mut self, session: &dyn SourceSession, stream: &Stream, page: Page) -> Result<()> {
        self.report.warnings.extend(page.warnings);
        if let Some(total) = page.total {
            self.progress.event(self.name(), Update::Total(total));
            self.note_total(total)?;
        }
        let records = page.records.len() as u64;
        let before = self.report.changes;
        let mut transaction = self.store.begin()?;
        for record in page.records {
            match session.normalise(&record) {
                Ok(observations) => self.take(&mut transaction, &record, observations)?,
                Err(error) => self.set_aside(&mut transaction, record, &error)?,
            }
        }
        self.attach_deeds(&mut transaction)?;
        self.lay_waits(&mut transaction)?;
        self.note_open(&mut transaction, self.report.changes > before)?;
        let pass = self.store.source_status(self.name())?.pass + 1;
        for id in &page.seen {
            transaction.put_seen(&TaskKey::new(self.name(), id.as_str()), pass)?;
        }
        // A finished pass starts anew next time; any other stream goes on from here.
        let cursor: Option<&Cursor> = (page.more || !stream.complete).then_some(&page.cursor);
        transaction.put_cursor(self.name(), stream.name, cursor)?;
        if !self.dry_run {
            transaction.commit()?;
        }
        self.report.records += records;
        self.progress.event(self.name(), Update::Page { records, changes: self.report.changes - before });
        Ok(())
    }

    fn note_total(&self, total: u64) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        let mut status = self.store.source_status(self.name())?;
        status.tool_count = Some(total);
        let mut transaction = self.store.begin()?;
        transaction.put_source_status(self.name(), &status)?;
        transaction.commit().map(drop)
    }

    fn take(&mut self, to: &mut Transaction<'_>, record: &RawRecord, observations: Vec<Observation>) -> Result<()> {
        for observation in observations {
            match observation {
                Observation::Task(seen) => {
                    let key = TaskKey::new(self.name(), seen.native_id.as_str());
                    let known = to.task(&key)?;
                    self.note_told(&key, known.as_ref());
                    let derives = self.source.config.derive_status;
                    if let Some(mut delta) = diff::diff(&key, known.as_ref(), *seen, derives, to.seq(), self.run.now) {
                        self.report.changes += delta.added as u64;
                        self.report.repaired += delta.repaired as u64;
                        self.attach_waiting(to, &key, known.as_ref(), &mut delta.record)?;
                        to.put_task(&key, known.as_ref(), &delta.record, true)?;
                    }
                }
                Observation::Sprint { native_id, facts } => self.take_sprint(to, &native_id, facts)?,
                Observation::Activity(activity) => self.take_activity(to, &activity)?,
                Observation::Gone { native_id } => self.take_gone(to, &native_id)?,
            }
        }
        to.put_quarantined(self.name(), &record.native_id, None)
    }

    fn take_sprint(&mut self, to: &mut Transaction<'_>, native_id: &str, facts: SprintFacts) -> Result<()> {
        let key = TaskKey::new(self.name(), native_id);
        let known = to.sprint(&key)?;
        let (next, news) = next_sprint(known.as_ref(), facts, to.seq());
        if known.as_ref() != Some(&next) {
            self.report.changes += 1;
            to.put_sprint(&key, &next, news)?;
        }
        Ok(())
    }

    fn set_aside(&mut self, to: &mut Transaction<'_>, record: RawRecord, error: &Error) -> Result<()> {
        tracing::warn!(source = self.name(), record = %record.native_id, reason = %error, "set a record aside");
        self.report.set_aside += 1;
        let quarantined = Quarantined {
            source: self.name().to_owned(),
            native_id: record.native_id.clone(),
            reason: error.full(),
            at: self.run.now,
            json: record.json,
        };
        to.put_quarantined(self.name(), &record.native_id, Some(quarantined))
    }

    /// All streams came to their end: the backends may be told.
    fn finish(&mut self, first: bool) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        let mut status = self.store.source_status(self.name())?;
        let mut transaction = self.store.begin()?;
        if first {
            status.last_complete = Some(self.run.now);
            transaction.put_source_status(self.name(), &status)?;
        }
        if self.store.sealed(self.name())? < self.store.head()? {
            transaction.seal(self.name())?;
        }
        self.seal_touched(&mut transaction)?;
        transaction.commit().map(drop)
    }
}

/// Does what blocks (the store's fsync); where there are further threads, they go on meanwhile.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// The sprint as it is to be kept, and whether the backends are to be told: when it started, when it closed.
fn next_sprint(known: Option<&SprintRecord>, facts: SprintFacts, seq: u64) -> (SprintRecord, bool) {
    let begun = facts.state != SprintState::Future && facts.start.is_some();
    let closed = facts.state == SprintState::Closed && begun;
    let (old_start, old_close) = known.map_or((None, None), |known| (known.started_seq, known.closed_seq));
    let started_seq = old_start.or(begun.then_some(seq));
    let closed_seq = old_close.or(closed.then_some(seq));
    let news = (started_seq, closed_seq) != (old_start, old_close);
    (SprintRecord { facts, started_seq, closed_seq }, news)
}

/// Whatever changes how a source is read or understood changes this number, and everything is read again.
fn settings_hash(config: &SourceConfig) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(settings_text(config).as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// What [`settings_hash`] is the hash of. Its hash is stored: another text for the same configuration would read everything
/// again after an upgrade.
fn settings_text(config: &SourceConfig) -> String {
    let SourceConfig { kind, url, projects, extra_scopes, fields, blocked, statuses, types, derive_status, .. } =
        config;
    let (labels, names, links) = (&blocked.labels, &blocked.statuses, blocked.links);
    let location = config.location.as_deref().unwrap_or_default();
    format!(
        "{kind:?}{url:?}{projects:?}{extra_scopes:?}{fields:?}{labels:?}{names:?}{links}{statuses:?}{types:?}{derive_status}{location}"
    )
}

#[cfg(test)]
mod tests;
