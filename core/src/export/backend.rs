//! What is wrong with a signal's backend, and since when its export is behind. It is in the store, so that `/readyz`,
//! `status` and the metrics know it in every process, also after a restart.

use serde::{Deserialize, Serialize};

use super::otlp::Trouble;
use crate::config::Config;
use crate::model::error::Result;
use crate::model::signal::Signal;
use crate::model::time::{MINUTE, Millis};
use crate::store::{Store, Transaction};

/// The metadata group that holds what is wrong with each signal's backend.
const BACKEND: &str = "backend";
/// The metadata group that holds where each signal was exported last.
const EXPORTED_TO: &str = "exported-to";
/// The metadata group that holds since when a signal is behind a source.
const BEHIND: &str = "behind";
/// A backend that accepts nothing for this long, or is not asked again for this long, stalls its signal.
const STALLED: i64 = 2 * MINUTE;

/// What is wrong with a backend that accepts nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// The first failure since it last accepted something.
    pub since: Millis,
    /// Its last answer, or why there was none.
    pub reason: String,
    /// When it is asked again, if a delivery waits for it.
    pub next: Option<Millis>,
}

impl BackendStatus {
    /// Whether the export of its signal has stalled: more than a moment of trouble.
    pub fn is_stalled(&self, now: Millis) -> bool {
        now.0.saturating_sub(self.since.0) >= STALLED || self.waits_long(now)
    }

    fn waits_long(&self, now: Millis) -> bool {
        self.next.is_some_and(|next| next.0.saturating_sub(now.0) >= STALLED)
    }
}

/// What is wrong with the backend of `signal`; `None` while it accepts.
///
/// # Errors
/// Those of reading the store.
pub fn backend_status(store: &Store, signal: Signal) -> Result<Option<BackendStatus>> {
    Ok(store.metadata::<Option<BackendStatus>>(BACKEND, signal.as_str())?.flatten())
}

/// Stores what is wrong with a backend. Most failures change nothing that is stored: a backend that is down for a day costs
/// a few writes.
pub(super) fn record(
    store: &Store,
    config: &Config,
    signal: Signal,
    trouble: Option<&Trouble>,
    now: Millis,
) -> Result<()> {
    let stored = backend_status(store, signal)?;
    let status = trouble.map(|trouble| BackendStatus {
        since: stored.as_ref().map_or(trouble.since, |stored| stored.since.min(trouble.since)),
        reason: trouble.reason.clone(),
        next: trouble.next,
    });
    let is_same = match (&stored, &status) {
        (None, None) => true,
        (Some(old), Some(new)) => old.reason == new.reason && !old.waits_long(now) && !new.waits_long(now),
        _ => false,
    };
    if is_same {
        return Ok(());
    }
    let mut transaction = store.begin()?;
    if status.is_some() {
        for source in &config.sources {
            note_behind(store, &mut transaction, signal, &source.name)?;
        }
    }
    transaction.put_metadata(BACKEND, signal.as_str(), &status)?;
    transaction.commit().map(drop)
}

/// Where a signal was exported last: an address, or an empty text where it was only counted. None where nothing was accepted since
/// this is stored.
///
/// # Errors
/// Those of reading the store.
pub fn exported_to(store: &Store, signal: Signal) -> Result<Option<String>> {
    store.metadata(EXPORTED_TO, signal.as_str())
}

/// Stores where a signal is exported, if that is another place than last time.
pub(super) fn record_place(store: &Store, signal: Signal, place: &str) -> Result<()> {
    if exported_to(store, signal)?.as_deref() == Some(place) {
        return Ok(());
    }
    let mut transaction = store.begin()?;
    transaction.put_metadata(EXPORTED_TO, signal.as_str(), &place)?;
    transaction.commit().map(drop)
}

/// Since when a signal has been behind a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Behind {
    /// The position at which it is behind. At any other one, this says nothing.
    done: u64,
    /// When the oldest change that is not exported was read.
    since: Millis,
}

/// Notes since when a signal is behind a source, unless that is known. Only an export that takes long needs this: the others
/// have ended when somebody asks.
pub(super) fn note_behind(
    store: &Store,
    transaction: &mut Transaction<'_>,
    signal: Signal,
    source: &str,
) -> Result<()> {
    let done = store.position(signal, source)?.done;
    let name = format!("{signal}/{source}");
    let is_known = store.metadata::<Behind>(BEHIND, &name)?.is_some_and(|behind| behind.done == done);
    if is_known || done >= store.sealed(source)? {
        return Ok(());
    }
    match store.source_status(source)?.last_success {
        Some(since) => transaction.put_metadata(BEHIND, &name, &Behind { done, since }),
        None => Ok(()),
    }
}

/// For how many seconds the oldest change that is not exported has waited; 0 when everything was exported.
///
/// # Errors
/// Those of reading the store.
pub fn export_lag(store: &Store, config: &Config, signal: Signal, now: Millis) -> Result<f64> {
    let mut lag: f64 = 0.0;
    for source in &config.sources {
        let done = store.position(signal, &source.name)?.done;
        if done >= store.sealed(&source.name)? {
            continue;
        }
        let noted = store.metadata::<Behind>(BEHIND, &format!("{signal}/{}", source.name))?;
        let noted = noted.filter(|behind| behind.done == done).map(|behind| behind.since);
        let since = noted.or(store.source_status(&source.name)?.last_success);
        lag = lag.max(since.map_or(0.0, |since| now.seconds_since(since)));
    }
    Ok(lag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::model::TaskKey;
    use crate::store::{Item, Position, SourceStatus};

    fn setup() -> (tempfile::TempDir, Store, Config) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("data")).unwrap();
        let source = "sources: [{name: acme, kind: jira, url: 'https://example.com', auth: {token: {env: TOKEN}}}]";
        (dir, store, config::parse(source, "x.yaml", &[config::kind::unchecked("jira")]).unwrap())
    }

    /// A change of a source, read at a moment.
    fn change(store: &Store, at: Millis) {
        let mut transaction = store.begin().unwrap();
        transaction.journal("acme", &Item::Task(TaskKey::new("acme", "1"))).unwrap();
        transaction.seal("acme").unwrap();
        let status = SourceStatus { last_success: Some(at), ..SourceStatus::default() };
        transaction.put_source_status("acme", &status).unwrap();
        transaction.commit().unwrap();
    }

    fn trouble(since: i64, next: Option<i64>) -> Trouble {
        Trouble { since: Millis(since), reason: "HTTP 503".into(), next: next.map(Millis) }
    }

    #[test]
    fn the_lag_is_the_age_of_the_oldest_change_and_not_of_the_last_run() {
        let (_dir, store, config) = setup();
        let lag = |now: i64| export_lag(&store, &config, Signal::Logs, Millis(now)).unwrap();
        assert_eq!(lag(0), 0.0);
        change(&store, Millis(0));
        assert_eq!(lag(5_000), 5.0);
        record(&store, &config, Signal::Logs, Some(&trouble(1_000, None)), Millis(1_000)).unwrap();
        // The source is read on, and the backend stays down.
        change(&store, Millis(30 * MINUTE - 20_000));
        assert_eq!(lag(30 * MINUTE), 1_800.0);
        let mut transaction = store.begin().unwrap();
        let done = store.sealed("acme").unwrap();
        transaction.put_position(Signal::Logs, "acme", &Position { done, ..Position::default() }).unwrap();
        transaction.commit().unwrap();
        assert_eq!(lag(31 * MINUTE), 0.0);
        change(&store, Millis(32 * MINUTE));
        assert_eq!(lag(33 * MINUTE), 60.0, "what was noted for an earlier position is over");
    }

    #[test]
    fn trouble_that_lasts_or_will_last_stalls_a_signal() {
        let (_dir, store, config) = setup();
        let note =
            |trouble: Option<&Trouble>, now| record(&store, &config, Signal::Traces, trouble, Millis(now)).unwrap();
        let stalled =
            |now| backend_status(&store, Signal::Traces).unwrap().is_some_and(|status| status.is_stalled(Millis(now)));
        note(Some(&trouble(0, Some(1_000))), 0);
        assert!(!stalled(60_000) && stalled(2 * MINUTE));
        let writes = store.head().unwrap();
        note(Some(&trouble(0, Some(31_000))), 1_000);
        assert_eq!(store.head().unwrap(), writes, "the same again is not written");
        note(Some(&trouble(0, Some(901_000))), 1_000);
        assert!(stalled(1_001), "it is known now that it will take a quarter of an hour");
        note(None, 2_000);
        assert!(!stalled(1_000_000));
        assert_eq!(backend_status(&store, Signal::Logs).unwrap(), None);
    }
}
