//! The state of each source, backend and of the store: the object of `contextcore status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::viewer::Viewer;
use crate::config::{SignalTarget, SourceConfig};
use crate::export::otlp::Signal;
use crate::export::{backend_status, exported_to};
use crate::model::error::{ErrorKind, Result};
use crate::model::time::Millis;
use crate::store::{Holder, LeaseRow, Listed, Quarantined, SourceStatus, Store, Unit};

/// The state of everything at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// The moment.
    pub now: Millis,
    /// What a person should act on; empty when all is well.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// The sources, in the order of the configuration.
    pub sources: Vec<SourceView>,
    /// Where each signal is exported to.
    #[serde(default)]
    pub backends: Vec<BackendView>,
    /// What backends refused permanently, by signal and reason.
    pub dead_letters: Vec<DeadLetterView>,
    /// The store.
    pub store: StoreView,
}

/// The state of one source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceView {
    /// Its name in the configuration.
    pub name: String,
    /// The kind of tool.
    pub tool: String,
    /// When its last run began.
    pub last_attempt: Option<Millis>,
    /// When its last successful run began.
    pub last_success: Option<Millis>,
    /// Seconds since the start of the run that the cursors cover.
    pub cursor_age: Option<f64>,
    /// When `serve` runs it next.
    pub next_run: Option<Millis>,
    /// The message of the error that ended its last run.
    pub last_error: Option<String>,
    /// The kind of that error.
    pub last_error_kind: Option<String>,
    /// How many runs failed in a row.
    pub failures: u64,
    /// Journal items that are not exported yet, by signal.
    pub backlog: BTreeMap<String, u64>,
    /// How much of it the store holds.
    pub coverage: Coverage,
    /// Records that could not be normalised.
    pub set_aside: Vec<QuarantinedView>,
    /// Records that the tool lists and could not serve.
    #[serde(default)]
    pub unreadable: Vec<QuarantinedView>,
    /// What the last run warned of, such as what the tool does not know and what is lost by it.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Which replica has it, where several share the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseView>,
}

/// How much of a source the store holds, in tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// All of them, deleted ones included.
    pub held: u64,
    /// Those neither finished nor deleted.
    pub open: u64,
    /// Those not deleted.
    pub live: u64,
    /// The tool's own count, from the last time it was asked.
    pub tool_count: Option<u64>,
    /// Whether the history of every record that was read is complete.
    pub histories_complete: bool,
    /// How many records could not be normalised.
    #[serde(default)]
    pub set_aside: u64,
    /// How many records the tool lists and could not serve.
    #[serde(default)]
    pub unreadable: u64,
    /// What became of the ids that the last complete pass listed.
    #[serde(default)]
    pub listed: Option<Listed>,
}

/// A record that could not be normalised, or that the tool could not serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedView {
    /// The tool's id of the record.
    pub native_id: String,
    /// Why.
    pub reason: String,
    /// When this happened.
    pub at: Millis,
}

/// What a problem is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemPart {
    /// What the configuration names cannot be used.
    Configuration,
    /// A source is not read, or not all of it.
    Source,
    /// A backend does not accept.
    Backend,
}

/// Something that a person should act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is in.
    pub part: ProblemPart,
    /// What is wrong, e.g. `acme-jira not read for 3 h`.
    pub what: String,
    /// What to do about it.
    pub next: String,
}

/// The backend of one signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendView {
    /// The signal.
    pub signal: String,
    /// Its address.
    pub url: String,
    /// No backend is configured: this is the address where one would be on this machine.
    #[serde(default)]
    pub is_default: bool,
    /// Nothing was ever accepted at this address: what was exported went elsewhere, or was only counted.
    #[serde(default)]
    pub is_new: bool,
    /// Journal items of all sources that it does not have yet.
    pub backlog: u64,
    /// Why it does not accept; null while it does.
    pub last_error: Option<String>,
    /// Since when it does not.
    pub failing_since: Option<Millis>,
    /// When it is asked again.
    pub next_try: Option<Millis>,
}

/// What a backend refused permanently for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterView {
    /// The signal.
    pub signal: String,
    /// What to do about it, if that is known.
    pub hint: Option<String>,
    /// The backend's latest message.
    pub reason: String,
    /// Spans, records or points.
    pub items: u64,
    /// When this happened last.
    pub last: Millis,
    /// Whether every request of it is kept, so that it can be sent again by itself.
    #[serde(default)]
    pub can_retry: bool,
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreView {
    /// Its directory, or its database and schema.
    pub path: String,
    /// Its size on disk.
    pub bytes: u64,
    /// Which process writes to it, where several may have it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseView>,
    /// The processes that share it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaView>,
    /// Reports that were acknowledged and wait for the process that has their source.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waiting: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The right to write to a store in a database, or to work on one source in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// The process that has it; null when none has.
    pub owner: Option<String>,
    /// Grows with every owner.
    pub token: u64,
    /// Seconds for which it has it unless it renews it.
    pub seconds_left: u64,
    /// Whether the process that answers has it.
    pub is_ours: bool,
    /// The replica that was chosen for the source with `sources move`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
}

/// A process that works on a store together with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaView {
    /// Its name, such as `host (pid 7)`.
    pub name: String,
    /// How many sources it has.
    pub sources: usize,
    /// Seconds for which it counts as alive unless it says so again.
    pub seconds_left: u64,
    /// Why it could not write to the store last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Viewer<'_> {
    /// The state of every source, of the backends and of the store; what is wrong is not yet found.
    pub(super) fn state(&self) -> Result<StatusView> {
        let rows = self.store.lease().map(|lease| lease.survey()).transpose()?.unwrap_or_default();
        let sources = self.config.sources.iter().map(|source| self.source_view(source, &rows));
        let sources = sources.collect::<Result<Vec<_>>>()?;
        Ok(StatusView {
            now: self.now,
            problems: Vec::new(),
            backends: self.backends(&sources)?,
            sources,
            dead_letters: dead_letters(self.store)?,
            store: self.store_view(&rows)?,
        })
    }

    fn store_view(&self, rows: &[LeaseRow]) -> Result<StoreView> {
        let view = |Holder { token, owner, left, is_ours }| LeaseView {
            owner: Some(owner).filter(|owner| !owner.is_empty()),
            token,
            seconds_left: left.as_secs(),
            is_ours,
            wanted: None,
        };
        let lease = self.store.lease().map(|lease| lease.holder()).transpose()?.map(view);
        let (path, bytes, waiting) = (self.store.place(), self.store.size_on_disk()?, self.store.waiting_deliveries()?);
        Ok(StoreView { path, bytes, lease, replicas: replicas(rows), waiting })
    }

    fn backends(&self, sources: &[SourceView]) -> Result<Vec<BackendView>> {
        let view = |(signal, target): (&Signal, &SignalTarget)| {
            let failing = backend_status(self.store, *signal)?;
            let backlog = sources.iter().filter_map(|source| source.backlog.get(signal.as_str())).sum();
            Ok(BackendView {
                signal: signal.as_str().to_owned(),
                url: target.url.clone(),
                is_default: target.is_default,
                is_new: exported_to(self.store, *signal)?.is_some_and(|place| place != target.url),
                backlog,
                last_error: failing.as_ref().map(|failing| failing.reason.clone()),
                failing_since: failing.as_ref().map(|failing| failing.since),
                next_try: failing.and_then(|failing| failing.next),
            })
        };
        self.config.export.otlp.targets.iter().map(view).collect()
    }

    fn source_view(&self, source: &SourceConfig, rows: &[LeaseRow]) -> Result<SourceView> {
        let name = source.name.as_str();
        let mut status = self.store.source_status(name)?;
        if let Some(trouble) = trouble(name, rows) {
            status.last_error = Some(trouble.to_owned());
            status.last_error_kind = Some(ErrorKind::Store);
        }
        let backlog = |signal: &Signal| Ok((signal.as_str().to_owned(), self.store.backlog(*signal, name)?));
        let quarantined = self.store.quarantined_records(Some(name))?;
        let coverage = coverage(self.store, name, &status, &quarantined)?;
        let (unreadable, set_aside): (Vec<_>, Vec<_>) = quarantined.into_iter().partition(Quarantined::is_unreadable);
        Ok(SourceView {
            name: name.to_owned(),
            tool: source.kind.clone(),
            last_attempt: status.last_attempt,
            last_success: status.last_success,
            cursor_age: self.lag(name)?,
            next_run: source.schedule.next_after(self.now),
            backlog: Signal::ALL.iter().map(backlog).collect::<Result<_>>()?,
            coverage,
            failures: status.failures,
            last_error: status.last_error,
            last_error_kind: status.last_error_kind.map(|kind| kind.as_str().to_owned()),
            set_aside: set_aside.into_iter().map(QuarantinedView::from).collect(),
            unreadable: unreadable.into_iter().map(QuarantinedView::from).collect(),
            warnings: status.warnings,
            lease: self.lease_of(name, rows),
        })
    }
}

impl Viewer<'_> {
    /// Which replica has a source.
    fn lease_of(&self, source: &str, rows: &[LeaseRow]) -> Option<LeaseView> {
        let unit = Some(Unit::source(source));
        let row = rows.iter().find(|row| row.unit == unit)?;
        let name = self.store.lease().map(|lease| lease.name()).unwrap_or_default();
        Some(LeaseView {
            owner: said(&row.owner),
            token: row.token,
            seconds_left: row.left.as_secs(),
            is_ours: !row.owner.is_empty() && row.owner == name,
            wanted: said(&row.wanted),
        })
    }
}

fn said(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// Why the replica that has a source cannot write what it reads: the state of the source in the store is as old as its last success.
fn trouble<'a>(source: &str, rows: &'a [LeaseRow]) -> Option<&'a str> {
    let unit = Some(Unit::source(source));
    let owner = &rows.iter().find(|row| row.unit == unit)?.owner;
    let replica = rows.iter().find(|row| row.is_live_replica() && row.owner == *owner)?;
    Some(replica.wanted.as_str()).filter(|text| !text.is_empty())
}

/// The processes that share a store.
fn replicas(rows: &[LeaseRow]) -> Vec<ReplicaView> {
    let has =
        |owner: &str| rows.iter().filter(|row| matches!(row.unit, Some(Unit::Source(_))) && row.owner == owner).count();
    let live = rows.iter().filter(|row| row.is_live_replica());
    live.map(|row| ReplicaView {
        name: row.owner.clone(),
        sources: has(&row.owner),
        seconds_left: row.left.as_secs(),
        trouble: said(&row.wanted),
    })
    .collect()
}

impl From<Quarantined> for QuarantinedView {
    fn from(record: Quarantined) -> Self {
        Self { native_id: record.native_id, reason: record.reason, at: record.at }
    }
}

/// How much of `source` the store holds. Finished tasks come from the running totals, open ones from their index, so no task is
/// read.
///
/// # Errors
/// [`crate::ErrorKind::Store`] when the store cannot be read.
pub fn coverage(store: &Store, source: &str, status: &SourceStatus, quarantined: &[Quarantined]) -> Result<Coverage> {
    let (mut finished, mut created) = (0_i64, 0_i64);
    for (_, _, totals) in store.totals()?.into_iter().filter(|(of, ..)| of == source) {
        finished += totals.finished.values().map(|weight| weight.tasks).sum::<i64>();
        created += totals.created.values().sum::<i64>();
    }
    let open = store.open_tasks(Some(source)).try_fold(0, |open, key| key.map(|_| open + 1))?;
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let unreadable = quarantined.iter().filter(|record| record.is_unreadable()).count();
    Ok(Coverage {
        held: unsigned(created),
        open,
        live: open + unsigned(finished),
        tool_count: status.tool_count,
        histories_complete: histories_complete(status, quarantined),
        set_aside: (quarantined.len() - unreadable) as u64,
        unreadable: unreadable as u64,
        listed: status.listed,
    })
}

/// Whether the history of every record that was read is complete: the first run reached its end, and no record is quarantined.
/// A record whose history cannot be read is quarantined as a whole.
pub fn histories_complete(status: &SourceStatus, quarantined: &[Quarantined]) -> bool {
    status.last_success.is_some() && quarantined.is_empty()
}

/// Dead letters, grouped by signal and by hint, or by reason where there is no hint.
fn dead_letters(store: &Store) -> Result<Vec<DeadLetterView>> {
    let mut groups: BTreeMap<(String, String), DeadLetterView> = BTreeMap::new();
    for (id, letter) in store.dead_letters_by_id()? {
        let kind = letter.hint.clone().unwrap_or_else(|| letter.reason.clone());
        let group = groups.entry((letter.signal.clone(), kind)).or_insert_with(|| DeadLetterView {
            signal: letter.signal,
            hint: letter.hint,
            reason: String::new(),
            items: 0,
            last: letter.at,
            can_retry: true,
        });
        group.can_retry &= store.has_dead_request(id)?;
        group.items += letter.items;
        group.last = group.last.max(letter.at);
        group.reason = letter.reason;
    }
    Ok(groups.into_values().collect())
}
