//! The poll loop: polls a connector stream by stream and stores each page in one transaction with the cursor that covers it.
//!
//! [`sync_source`] is the loop. [`page`] stores one page, [`prefetch`] reads ahead for it, [`attach`] brings activities to the
//! tasks they belong to (of whatever source), [`blocking`] derives blocked time from links, [`sprints`] ends those that were
//! deleted, [`reports`] merges what many writers reported, [`twins`] finds the task of a tool
//! that they reported of, [`mod@inherit`] takes over what a helper stored of that, [`quiet`] passes over what is no news, [`pass`] decides what absence from a complete pass means, and [`again`] reads what could not be read before. A run that dies anywhere continues from the last page it stored. Only when all streams of a
//! source were read to their end is the source *sealed*: half a sweep is never exported, because in it a child may come before
//! its parent.

mod again;
mod attach;
mod blocking;
mod inherit;
mod insights;
mod job;
mod page;
mod pass;
mod prefetch;
mod quiet;
mod reports;
mod sprints;
mod twins;

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;

pub use self::inherit::inherit;
use self::job::Job;
pub use self::job::{Source, SourceReport};
use crate::clock;
use crate::config::SourceConfig;
use crate::http::{Retrying, Stats, observed};
use crate::ingest::connector::{Cursor, SourceSession, Stream};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::guidance::forge::{self, ForgeFile};
use crate::model::time::{DAY, Millis};
use crate::progress::{Progress, Update};
use crate::store::own::{DERIVES, GUIDANCE_FILES, STATE};
use crate::store::{SourceStatus, Store};

/// How a run is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Read everything again.
    pub full: bool,
    /// Poll and report, but store nothing.
    pub dry_run: bool,
    /// The current time; `None` reads the clock. For tests that set it.
    pub now: Option<Millis>,
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
    let mut job = Job::new(store, source, options, progress, cancel);
    let (outcome, unanswered) = watched(job.run(), source, progress).await;
    let now = options.now.unwrap_or_else(clock::now);
    let read_until = job.changes_read.then_some(job.run.now);
    let moved = std::mem::take(&mut job.moved);
    let mut report = job.report;
    let stats = source.connector.stats();
    report.requests = stats.requests - before.requests;
    report.seconds = clock.elapsed().as_secs_f64();
    report.error = outcome.err().map(|error| match &unanswered {
        Some(Retrying { reason, .. }) if error.kind() == ErrorKind::Cancelled => {
            error.caused_by(format!("the last answer of the tool was {reason}"))
        }
        _ => error,
    });
    let (began, waits) = (job.run.now, stats.waits - before.waits);
    let result = RunResult { report: &report, began, read_until, moved, waits, unanswered };
    if !options.dry_run
        && let Err(error) = record_run(store, result, &stats, now)
    {
        report.error.get_or_insert(error);
    }
    progress.event(name, Update::Done);
    report
}

/// A run, and the call that it was still trying when it ended. Its retries go to who watches.
async fn watched(
    run: impl Future<Output = Result<()>>,
    source: &Source,
    progress: &dyn Progress,
) -> (Result<()>, Option<Retrying>) {
    let requests = || source.connector.stats().requests;
    let mut last = None;
    let outcome = observed(run, |retry| {
        progress.event(&source.config.name, Update::Retrying(retry.clone()));
        last = Some((requests(), retry));
    })
    .await;
    // More than the one request that repeats the call means that the tool has answered since.
    let unanswered = last.filter(|(before, _)| requests() <= before + 1).map(|(_, retry)| retry);
    (outcome, unanswered)
}

/// Warnings of a run that are kept.
const WARNINGS: usize = 100;

/// What is stored of a run once it has ended.
struct RunResult<'a> {
    report: &'a SourceReport,
    began: Millis,
    read_until: Option<Millis>,
    /// The cursors of streams that had nothing new.
    moved: BTreeMap<&'static str, Cursor>,
    waits: u64,
    /// The call that was still being tried when the run ended.
    unanswered: Option<Retrying>,
}

/// Stores the result of a run, for `status` and for our own metrics.
fn record_run(store: &Store, result: RunResult<'_>, stats: &Stats, now: Millis) -> Result<()> {
    let RunResult { report, began, read_until, moved, waits, unanswered } = result;
    let mut status = store.source_status(&report.name)?;
    status.last_attempt = Some(began);
    status.read_until = read_until.or(status.read_until);
    status.last_duration = Some(report.seconds);
    status.rate_limit_remaining = stats.rate_limit_remaining;
    // A run that failed at once has nothing to say of what it did not read.
    if report.error.is_none() || !report.warnings.is_empty() {
        status.warnings = report.warnings.iter().take(WARNINGS).cloned().collect();
        status.warnings.dedup();
    }
    let counters = &mut status.counters;
    counters.requests += report.requests;
    counters.records += report.records;
    counters.changes += report.changes;
    counters.waits += waits;
    match &report.error {
        Some(error) if error.kind() == ErrorKind::Cancelled => record_stop(&mut status, error, unanswered),
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
    for (stream, cursor) in &moved {
        transaction.put_cursor(&report.name, stream, Some(cursor))?;
    }
    transaction.commit().map(drop)
}

/// A run that was stopped says nothing of its source: what was wrong before stays wrong, and nothing counts as a failure.
/// Only where nothing was known to be wrong, the call that was being tried in vain is the error.
fn record_stop(status: &mut SourceStatus, error: &Error, unanswered: Option<Retrying>) {
    if status.last_error_kind.is_some_and(|kind| kind != ErrorKind::Cancelled) {
        return;
    }
    let (text, kind) = match unanswered {
        Some(Retrying { reason, kind, .. }) => (format!("{reason}, still tried when the run was stopped"), kind),
        None => (error.full(), ErrorKind::Cancelled),
    };
    (status.last_error, status.last_error_kind) = (Some(text), Some(kind));
}

impl Job<'_> {
    async fn run(&mut self) -> Result<()> {
        let mut status = self.store.source_status(self.name())?;
        let settings = settings_hash(&self.source.config);
        let changed = status.settings != settings;
        let first = status.last_success.is_none() || changed;
        let stored: Option<serde_json::Value> = self.store.metadata(STATE, self.name())?;
        let connector = &self.source.connector;
        let known_state = if changed { stored.and_then(|state| connector.outlives(state)) } else { stored };
        let session = self.or_cancelled(connector.open(known_state.clone(), &self.run)).await?;
        let (session, state) = (&*session, session.state()?);
        if self.run.full || changed {
            self.forget_cursors(session)?;
        }
        self.read_anew(session, &mut status)?;
        status.settings = settings;
        status.last_attempt = Some(self.run.now);
        self.record_start(&status, (known_state.as_ref() != Some(&state)).then_some(&state))?;
        self.record_guidance(session.guidance())?;
        for stream in self.source.connector.streams().iter().filter(|stream| !stream.complete) {
            self.sweep(session, stream).await?;
        }
        self.record_state(&session.state()?, &state)?;
        self.read_quarantined_again(session, self.pass_is_due(&status, first)).await?;
        self.changes_read = true;
        // Even when the complete pass fails: all changes were read, and can be exported.
        let passed = self.pass(session, &status, first).await;
        // What is exported is final: with most of a page missing, sums of sprints and parents would be wrong for good.
        if self.doubtful.is_none() {
            self.finish(first)?;
        }
        passed?;
        pass::nothing_lost(session.lost())?;
        self.doubtful.take().map_or(Ok(()), Err)
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
            () = self.cancel.cancelled() => Err(Error::new(ErrorKind::Cancelled, "stopped on request; the next run continues")),
            done = work => done,
        }
    }

    /// A complete pass runs daily and on `--full`. The first sweep sees everything anyway.
    fn pass_is_due(&self, status: &SourceStatus, first: bool) -> bool {
        let age = status.last_complete.map(|last| self.run.now.0 - last.0);
        self.run.full || (!first && age.is_none_or(|age| age >= DAY))
    }

    /// Has every stream read everything again.
    fn forget_cursors(&self, session: &dyn SourceSession) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        let mut transaction = self.store.begin()?;
        for stream in self.source.connector.streams() {
            let cursor = self.restarted(session, stream)?;
            transaction.put_cursor(self.name(), stream.name, cursor.as_ref())?;
        }
        transaction.commit().map(drop)
    }

    /// Has the streams read everything again of which the connector reads more than when they were read. Notes the readings.
    fn read_anew(&self, session: &dyn SourceSession, status: &mut SourceStatus) -> Result<()> {
        for (name, reading) in self.source.connector.readings() {
            let known = status.readings.insert((*name).to_owned(), *reading).unwrap_or_default();
            let stream = self.source.connector.streams().iter().find(|stream| stream.name == *name);
            let Some(stream) = stream.filter(|_| known < *reading && !self.dry_run) else { continue };
            let cursor = self.restarted(session, stream)?;
            let mut transaction = self.store.begin()?;
            transaction.put_cursor(self.name(), stream.name, cursor.as_ref())?;
            transaction.commit()?;
        }
        Ok(())
    }

    /// The cursor with which a stream reads everything again.
    fn restarted(&self, session: &dyn SourceSession, stream: &Stream) -> Result<Option<Cursor>> {
        let cursor = self.store.cursor(self.name(), stream.name)?;
        Ok(cursor.and_then(|cursor| session.restart(stream.name, &cursor)))
    }

    /// Stores what a run begins with, if that is something new. When it began is stored with the first page that is.
    fn record_start(&mut self, status: &SourceStatus, state: Option<&serde_json::Value>) -> Result<()> {
        let known = self.store.source_status(self.name())?;
        let derives = self.store.metadata(DERIVES, self.name())? == Some(self.source.config.derive_status);
        let is_known = SourceStatus { last_attempt: status.last_attempt, ..known } == *status;
        if self.dry_run || is_known && derives && state.is_none() {
            return Ok(());
        }
        self.is_noted = true;
        let mut transaction = self.store.begin()?;
        transaction.put_source_status(self.name(), status)?;
        self.put_derives(&mut transaction)?;
        if let Some(state) = state {
            transaction.put_metadata(STATE, self.name(), state)?;
        }
        transaction.commit().map(drop)
    }

    /// Stores what repositories say to agents.
    fn record_guidance(&self, found: Vec<ForgeFile>) -> Result<()> {
        let known = self.store.guidance_files(self.name())?;
        let files = forge::stored(&known, found);
        if self.dry_run || files == known {
            return Ok(());
        }
        let mut transaction = self.store.begin()?;
        transaction.put_metadata(GUIDANCE_FILES, self.name(), &files)?;
        transaction.commit().map(drop)
    }

    /// Stores what a connector learnt while it read.
    fn record_state(&self, state: &serde_json::Value, known: &serde_json::Value) -> Result<()> {
        if self.dry_run || state == known {
            return Ok(());
        }
        let mut transaction = self.store.begin()?;
        transaction.put_metadata(STATE, self.name(), state)?;
        transaction.commit().map(drop)
    }

    async fn sweep(&mut self, session: &dyn SourceSession, stream: &Stream) -> Result<()> {
        let forgotten = self.dry_run && self.run.full;
        let mut cursor = match forgotten {
            true => self.restarted(session, stream)?,
            false => self.store.cursor(self.name(), stream.name)?,
        };
        loop {
            let page = self.or_cancelled(session.poll(stream.name, cursor.as_ref())).await?;
            let (more, next) = (page.more, page.cursor.clone());
            allow_blocking(|| self.store_page(session, stream, page))?;
            if !more {
                break;
            }
            cursor = Some(next);
        }
        if !stream.complete || self.dry_run {
            return Ok(());
        }
        let accounted = self.account(session).await;
        let gone = self.gone_by_id(session).await?;
        allow_blocking(|| self.close_pass(gone.as_ref()))?;
        accounted
    }

    /// All streams were read to their end: what was stored can be exported.
    fn finish(&mut self, first: bool) -> Result<()> {
        if self.dry_run || !first && self.has_nothing_to_finish()? {
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
        self.seal_other_sources(&mut transaction)?;
        transaction.commit()?;
        self.report.sealed = true;
        std::mem::take(&mut self.other_sources).iter().for_each(|source| self.store.wake_export(source));
        Ok(())
    }
}

/// Runs blocking work (the store's fsync). Where the runtime has further threads, they continue meanwhile.
fn allow_blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// A hash of every setting that changes how a source is read or understood. When it changes, everything is read again.
fn settings_hash(config: &SourceConfig) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(settings_text(config).as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// What [`settings_hash`] is the hash of. Its hash is stored: another text for the same configuration would read everything
/// again after an upgrade.
fn settings_text(config: &SourceConfig) -> String {
    let SourceConfig {
        kind, url, projects, extra_scopes, fields, blocked, statuses, types, derive_status, agents, ..
    } = config;
    let (labels, names, links) = (&blocked.labels, &blocked.statuses, blocked.links);
    let location = config.location.as_deref().unwrap_or_default();
    let agents = if agents.is_empty() { String::new() } else { format!("{agents:?}") };
    format!(
        "{kind:?}{url:?}{projects:?}{extra_scopes:?}{fields:?}{labels:?}{names:?}{links}{statuses:?}{types:?}{derive_status}{location}{agents}"
    )
}

#[cfg(test)]
mod tests;
