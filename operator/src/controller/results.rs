//! What became of the objects that the controller sent: what is in force, what failed and when it is tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::backoff;
use super::child::Child;
use super::kinds::{Key, Kind, Place};
use crate::resource::Condition;

/// How an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObjectState {
    /// As it should be.
    Applied,
    /// Nobody installed its kind.
    NotInstalled(String),
    /// Somebody else's object has the name.
    Taken(String),
    /// It could not be written.
    Failed(String),
    /// It is not known yet.
    Pending,
}

/// What is known of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) state: ObjectState,
    /// Hash of what was sent last.
    pub(crate) hash: String,
    /// Digest of the owners of its fields after that.
    pub(crate) fields: Option<String>,
    version: String,
    /// How often it was sent in a row because it failed, or because somebody else changes it.
    attempts: u32,
    /// When it may be sent again, on the clock of the process.
    pub(crate) not_before: Duration,
}

/// Everything that became of what was sent.
#[derive(Debug, Default)]
pub(crate) struct Results {
    records: BTreeMap<Key, Record>,
    /// Objects that nobody wants, and how many passes saw them so.
    suspects: BTreeMap<Key, u32>,
    /// What the contexts want, and what they want together.
    pub(crate) own: BTreeMap<Place, BTreeSet<Key>>,
    pub(crate) shared: BTreeSet<Key>,
    /// The generation of each context that the shared outputs hold.
    pub(crate) covered: BTreeMap<Place, i64>,
    /// The generation of each context that a collector which restarts for a change has.
    pub(crate) rolled: BTreeMap<Place, i64>,
    /// What the shared outputs came to.
    pub(crate) conditions: SharedConditions,
    /// `RoutingReady` by namespace, where each has its own routes.
    pub(crate) routes: BTreeMap<String, Verdict>,
}

/// Conditions that all accepted contexts have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SharedConditions {
    /// `SamplingReady`.
    pub(crate) sampling: Option<Verdict>,
    /// `RoutingReady`, where routing is on.
    pub(crate) routing: Option<Verdict>,
    /// `DashboardReady`.
    pub(crate) dashboard: Option<Verdict>,
}

/// Status, reason and message of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Verdict {
    pub(crate) fn new(status: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }

    /// A change of a collector waits, because it restarts it.
    pub(crate) fn rolling() -> Self {
        Self::new("Unknown", "Pending", "the collector changed less than a minute ago: this change follows")
    }

    /// As a condition.
    pub(crate) fn into_condition(self, kind: &str, generation: Option<i64>) -> Condition {
        Condition {
            kind: kind.to_owned(),
            status: self.status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message,
            observed_generation: generation,
            last_transition_time: None,
        }
    }
}

impl Results {
    pub(crate) fn record(&self, key: &Key) -> Option<&Record> {
        self.records.get(key)
    }

    pub(crate) fn state(&self, key: &Key) -> ObjectState {
        self.records.get(key).map_or(ObjectState::Pending, |record| record.state.clone())
    }

    /// Whether the child is what we wrote last.
    pub(crate) fn wrote(&self, key: &Key, child: &Child) -> bool {
        self.records.get(key).is_some_and(|record| !child.version.is_empty() && record.version == child.version)
    }

    /// It is as it should be without a word from us.
    pub(crate) fn unchanged(&mut self, key: &Key, hash: &str, child: &Child, now: Duration) {
        let settled = self.records.get(key).is_some_and(|record| {
            record.state == ObjectState::Applied && record.fields.as_ref() == Some(&child.fields)
        });
        if settled {
            // What stays quiet for long enough begins with short pauses again.
            if let Some(record) = self.records.get_mut(key)
                && now > record.not_before.saturating_add(backoff::LONGEST)
            {
                record.attempts = 0;
            }
            return;
        }
        self.is_applied(key, hash, child, 0, Duration::ZERO);
    }

    /// It was sent, and this is what the API server has now.
    pub(crate) fn applied(&mut self, key: &Key, hash: &str, child: &Child, now: Duration) {
        let before = self.records.get(key);
        // The same thing sent again is a dispute with somebody who changes it back: it slows down.
        let again = before.filter(|record| record.hash == hash).map_or(0, |record| record.attempts + 1);
        let not_before = if again == 0 { Duration::ZERO } else { now + backoff::delay(again) };
        self.is_applied(key, hash, child, again, not_before);
    }

    fn is_applied(&mut self, key: &Key, hash: &str, child: &Child, attempts: u32, not_before: Duration) {
        let (hash, fields, version) = (hash.to_owned(), Some(child.fields.clone()), child.version.clone());
        let record = Record { state: ObjectState::Applied, hash, fields, version, attempts, not_before };
        self.records.insert(key.clone(), record);
    }

    /// It could not be sent. A watch says when its kind is installed; everything else is tried again, also where somebody else has
    /// the name: objects without our label are not watched.
    pub(crate) fn failed(&mut self, key: &Key, hash: &str, state: ObjectState, now: Duration) {
        let attempts = self.records.get(key).filter(|record| record.hash == hash).map_or(0, |record| record.attempts);
        let attempts = if matches!(state, ObjectState::NotInstalled(_)) { 0 } else { attempts + 1 };
        let not_before = if attempts == 0 { Duration::ZERO } else { now + backoff::delay(attempts) };
        self.has_failed(key, hash, state, attempts, not_before);
    }

    /// There is no use in sending it. What would change that is watched.
    pub(crate) fn reported(&mut self, key: &Key, hash: &str, state: ObjectState, now: Duration) {
        if matches!(state, ObjectState::Failed(_)) {
            self.failed(key, hash, state, now);
        } else {
            self.has_failed(key, hash, state, 0, Duration::ZERO);
        }
    }

    fn has_failed(&mut self, key: &Key, hash: &str, state: ObjectState, attempts: u32, not_before: Duration) {
        let record =
            Record { state, hash: hash.to_owned(), fields: None, version: String::new(), attempts, not_before };
        self.records.insert(key.clone(), record);
    }

    /// The watch of a kind works again: its objects that failed are tried at once, and begin with short pauses again.
    pub(crate) fn hasten(&mut self, kind: Kind) {
        let of_kind = self.records.iter_mut().filter(|(key, _)| key.kind == kind);
        for (_, record) in of_kind.filter(|(_, record)| matches!(record.state, ObjectState::Failed(_))) {
            (record.attempts, record.not_before) = (0, Duration::ZERO);
        }
    }

    /// When the next failed object is tried again.
    pub(crate) fn next_retry(&self, now: Duration) -> Option<Duration> {
        let is_open = |state: &ObjectState| matches!(state, ObjectState::Failed(_) | ObjectState::Taken(_));
        let failed = self.records.values().filter(|record| is_open(&record.state) || record.not_before > now);
        failed.map(|record| record.not_before).filter(|at| *at > Duration::ZERO).min()
    }

    pub(crate) fn forget(&mut self, key: &Key) {
        self.records.remove(key);
    }

    pub(crate) fn forget_kind(&mut self, kind: Kind) {
        self.records.retain(|key, _| key.kind != kind);
    }

    pub(crate) fn forget_context(&mut self, place: &Place) {
        self.own.remove(place);
        self.covered.remove(place);
    }

    /// Whether the contexts or the shared outputs want an object.
    pub(crate) fn is_wanted(&self, key: &Key) -> bool {
        self.shared.contains(key) || self.own.values().any(|keys| keys.contains(key))
    }

    /// Remembers objects that nobody wants, and returns those that were so twice.
    pub(crate) fn orphans(&mut self, found: Vec<Key>) -> Vec<Key> {
        let seen = std::mem::take(&mut self.suspects);
        self.suspects =
            found.into_iter().map(|key| (key.clone(), seen.get(&key).map_or(1, |times| times + 1))).collect();
        self.suspects.iter().filter(|(_, times)| **times >= 2).map(|(key, _)| key.clone()).collect()
    }

    /// Whether something waits for a second look.
    pub(crate) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// How many objects of each kind are how.
    pub(crate) fn counts(&self) -> BTreeMap<(Kind, &'static str), i64> {
        let mut counts = BTreeMap::new();
        for (key, record) in &self.records {
            let state = match record.state {
                ObjectState::Applied => "applied",
                ObjectState::NotInstalled(_) => "not_installed",
                ObjectState::Taken(_) => "taken",
                ObjectState::Failed(_) => "failed",
                ObjectState::Pending => "pending",
            };
            *counts.entry((key.kind, state)).or_insert(0) += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key { kind: Kind::ConfigMap, namespace: "a".into(), name: "b".into() }
    }

    fn child(version: &str, fields: &str) -> Child {
        Child { version: version.into(), fields: fields.into(), ..Child::default() }
    }

    #[test]
    fn an_orphan_is_removed_after_two_passes_and_a_gap_of_one_pass_begins_anew() {
        let mut results = Results::default();
        assert!(results.orphans(vec![key()]).is_empty());
        assert!(results.has_suspects());
        assert!(results.orphans(Vec::new()).is_empty());
        assert!(results.orphans(vec![key()]).is_empty());
        assert_eq!(results.orphans(vec![key()]), [key()]);
    }

    #[test]
    fn a_failure_is_tried_later_each_time_and_a_change_begins_anew() {
        let mut results = Results::default();
        let failed = || ObjectState::Failed("no".into());
        let now = Duration::from_secs(100);
        let wait = |results: &Results| results.record(&key()).unwrap().not_before.saturating_sub(now);
        results.failed(&key(), "h", failed(), now);
        let first = wait(&results);
        assert!(first >= Duration::from_millis(800) && first <= Duration::from_millis(1200), "{first:?}");
        for _ in 0..12 {
            results.failed(&key(), "h", failed(), now);
        }
        assert!(wait(&results) >= Duration::from_secs(240) && wait(&results) <= backoff::LONGEST);
        results.failed(&key(), "other", failed(), now);
        assert!(wait(&results) <= Duration::from_millis(1200));
        assert_eq!(results.next_retry(now), Some(results.record(&key()).unwrap().not_before));
        results.applied(&key(), "other", &child("1", "f"), now);
        assert_eq!(results.state(&key()), ObjectState::Applied);
    }

    #[test]
    fn what_has_the_name_of_ours_is_looked_at_again_unless_it_is_watched() {
        let mut results = Results::default();
        let now = Duration::from_secs(100);
        let taken = || ObjectState::Taken("theirs".into());
        results.reported(&key(), "h", taken(), now);
        assert_eq!(results.next_retry(now), None);
        results.failed(&key(), "h", taken(), now);
        assert!(results.next_retry(now).is_some_and(|at| at > now && at < now + Duration::from_secs(2)));
        results.failed(&key(), "h", ObjectState::NotInstalled("no".into()), now);
        assert_eq!(results.next_retry(now), None);
    }

    #[test]
    fn a_dispute_over_an_object_slows_down() {
        let mut results = Results::default();
        let mut waits = Vec::new();
        for turn in 0..6_u64 {
            let now = Duration::from_secs(1000 * turn);
            results.applied(&key(), "h", &child(&turn.to_string(), "f"), now);
            waits.push(results.record(&key()).unwrap().not_before.saturating_sub(now));
        }
        assert_eq!(waits[0], Duration::ZERO);
        assert!(waits[5] > waits[2] * 2, "{waits:?}");
    }

    #[test]
    fn our_own_write_is_recognized() {
        let mut results = Results::default();
        results.applied(&key(), "h", &child("7", "f"), Duration::ZERO);
        assert!(results.wrote(&key(), &child("7", "f")));
        assert!(!results.wrote(&key(), &child("8", "f")));
    }
}
