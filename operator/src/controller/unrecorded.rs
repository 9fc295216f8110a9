//! Records of changed contexts that the backend does not have yet. The status of a context keeps them with all that is sent, so a
//! controller that is killed leaves them to the next one, which sends the same bytes. Pure: statuses and answers of the backend go
//! in; what a status keeps, and what to send, comes out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::changes::{ContextChange, RecordId};
use super::kinds::Place;
use crate::resource::{MOST_UNRECORDED, UnrecordedChange};

/// What a status keeps of them is at most this long, in bytes of JSON.
const MOST_BYTES: usize = 256 * 1024;
/// With them an object is at most about this long. etcd refuses one of 1.5 MiB.
const LARGEST_OBJECT: usize = 1024 * 1024;
/// So many records of a context are known, with those that the backend has: a status that is seen late must not bring them back.
const MOST_KNOWN: usize = 2 * MOST_UNRECORDED;
/// So many are on their way at a time. The others are in the statuses meanwhile.
const MOST_SENT: usize = 1000;
/// What the backend has is taken from the statuses this much later, all together, and with what else changes in them.
const GATHER: Duration = Duration::from_secs(2);

/// The records of all contexts.
#[derive(Debug, Default)]
pub(crate) struct Unrecorded {
    /// By the UID of the context, oldest first.
    contexts: BTreeMap<String, Vec<KeptRecord>>,
    /// Of contexts that are gone.
    left: Vec<ContextChange>,
    /// When statuses have to be written.
    clear: Option<Duration>,
    lost: u64,
}

#[derive(Debug)]
struct KeptRecord {
    change: ContextChange,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is in the status only.
    Waits,
    /// It is on its way to the backend.
    Sent,
    /// The backend has it, or refused it for good.
    Settled,
}

impl Unrecorded {
    /// Takes note of what the status of a context keeps.
    pub(crate) fn see(&mut self, place: &Place, uid: &str, kept: &[UnrecordedChange]) {
        let entries = self.contexts.entry(uid.to_owned()).or_default();
        for change in kept.iter().filter_map(|kept| ContextChange::of_kept(place, uid, kept)) {
            if !entries.iter().any(|entry| entry.change.id() == change.id()) {
                entries.push(KeptRecord { change, state: State::Waits });
            }
        }
    }

    /// What the status of a context has to keep, with the newest change: as many of the newest as there is room for beside
    /// the rest of the object, which has so many bytes.
    pub(crate) fn keep(
        &self,
        uid: &str,
        newest: Option<&ContextChange>,
        object: impl FnOnce() -> usize,
    ) -> Vec<UnrecordedChange> {
        let known = self.contexts.get(uid).into_iter().flatten().filter(|entry| entry.state != State::Settled);
        let all: Vec<UnrecordedChange> =
            known.map(|entry| &entry.change).chain(newest).map(ContextChange::to_kept).collect();
        if all.is_empty() { all } else { fitting(all, MOST_BYTES.min(LARGEST_OBJECT.saturating_sub(object()))) }
    }

    /// A status was written that keeps this one.
    pub(crate) fn wrote(&mut self, change: ContextChange) {
        let entries = self.contexts.entry(change.uid.clone()).or_default();
        entries.push(KeptRecord { change, state: State::Waits });
        while entries.len() > MOST_KNOWN {
            let first = |state| entries.iter().position(|entry| entry.state == state);
            let at = first(State::Settled).or_else(|| first(State::Sent));
            self.lost += u64::from(at.is_none());
            entries.remove(at.unwrap_or_default());
        }
    }

    /// What to send now, oldest first.
    pub(crate) fn take_waiting(&mut self) -> Vec<ContextChange> {
        let under_way = self.contexts.values().flatten().filter(|entry| entry.state == State::Sent).count();
        let waiting = self.contexts.values_mut().flatten().filter(|entry| entry.state == State::Waits);
        let mut waiting: Vec<&mut KeptRecord> = waiting.collect();
        waiting.sort_by_key(|entry| entry.change.at);
        waiting.truncate(MOST_SENT.saturating_sub(under_way));
        let mut changes = std::mem::take(&mut self.left);
        for entry in waiting {
            entry.state = State::Sent;
            changes.push(entry.change.clone());
        }
        changes
    }

    /// The backend has these, or refused them for good.
    pub(crate) fn settle(&mut self, ids: &[RecordId], now: Duration) {
        let mut by_context: BTreeMap<&str, Vec<&RecordId>> = BTreeMap::new();
        for id in ids {
            by_context.entry(&id.uid).or_default().push(id);
        }
        for (uid, ids) in by_context {
            for entry in self.contexts.get_mut(uid).into_iter().flatten() {
                if ids.contains(&&entry.change.id()) {
                    entry.state = State::Settled;
                    entry.change.values = None;
                    self.clear.get_or_insert(now + GATHER);
                }
            }
        }
    }

    /// A pass begins, which writes the statuses.
    pub(crate) fn begin(&mut self) {
        self.clear = None;
    }

    /// When a pass has to take from the statuses what the backend has.
    pub(crate) const fn next_clear(&self) -> Option<Duration> {
        self.clear
    }

    /// A context is gone: what its status kept is kept here only.
    pub(crate) fn forget(&mut self, uid: &str) {
        let entries = self.contexts.remove(uid).unwrap_or_default();
        let waiting = entries.into_iter().filter(|entry| entry.state == State::Waits);
        self.left.extend(waiting.map(|entry| ContextChange { is_kept: false, ..entry.change }));
    }

    /// Records that found no room since the last call.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

/// The newest of them for which there is room.
fn fitting(all: Vec<UnrecordedChange>, mut room: usize) -> Vec<UnrecordedChange> {
    let mut fits = |change: &UnrecordedChange| {
        let size = serde_json::to_string(change).map_or(usize::MAX, |text| text.len());
        let rest = room.checked_sub(size);
        room = rest.unwrap_or_default();
        rest.is_some()
    };
    let mut kept: Vec<UnrecordedChange> =
        all.into_iter().rev().take(MOST_UNRECORDED).take_while(|change| fits(change)).collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::resource::ChangedValues;

    fn place() -> Place {
        Place { namespace: "shop".into(), name: "a".into() }
    }

    fn change(uid: &str, second: i64) -> ContextChange {
        ContextChange {
            at: Timestamp::from_second(second).unwrap(),
            uid: uid.into(),
            is_kept: true,
            namespace: "shop".into(),
            name: "a".into(),
            project: "p".into(),
            generation: Some(second),
            manager: Some("kubectl".into()),
            paths: vec!["spec.risks".into()],
            before: Some("1".into()),
            after: Some("2".into()),
            values: None,
        }
    }

    fn with_values(second: i64, bytes: usize) -> ContextChange {
        let values = ChangedValues { before: "null".into(), after: "x".repeat(bytes) };
        ContextChange { values: Some(values), ..change("u", second) }
    }

    fn seconds(kept: &[UnrecordedChange]) -> Vec<i64> {
        kept.iter().map(|kept| kept.generation.unwrap()).collect()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_status_keeps_a_record_until_the_backend_has_it() {
        let mut unrecorded = Unrecorded::default();
        let (first, second) = (change("u", 1), change("u", 2));
        let kept = unrecorded.keep("u", Some(&first), || 0);
        assert_eq!(kept, [first.to_kept()]);
        unrecorded.wrote(first.clone());
        assert_eq!(unrecorded.take_waiting(), std::slice::from_ref(&first));
        assert_eq!(unrecorded.take_waiting(), [], "once");
        unrecorded.wrote(second.clone());
        assert_eq!(seconds(&unrecorded.keep("u", None, || 0)), [1, 2]);
        assert_eq!(unrecorded.next_clear(), None);
        unrecorded.settle(&[first.id()], at(10));
        assert_eq!(unrecorded.next_clear(), Some(at(12)));
        unrecorded.settle(&[change("other", 1).id()], at(11));
        assert_eq!(unrecorded.next_clear(), Some(at(12)), "all together");
        assert_eq!(seconds(&unrecorded.keep("u", None, || 0)), [2]);
        unrecorded.begin();
        assert_eq!(unrecorded.next_clear(), None);
        // A status that is seen late brings nothing back.
        unrecorded.see(&place(), "u", &[first.to_kept(), second.to_kept()]);
        assert_eq!(unrecorded.take_waiting(), std::slice::from_ref(&second));
        unrecorded.settle(&[second.id()], at(20));
        assert_eq!(unrecorded.keep("u", None, || 0), []);
    }

    #[test]
    fn the_next_controller_sends_what_the_statuses_keep_as_it_was() {
        let (first, second) = (with_values(5, 10), change("v", 4));
        let mut next = Unrecorded::default();
        next.see(&place(), "u", &[first.to_kept()]);
        next.see(&place(), "v", &[second.to_kept()]);
        next.see(&place(), "v", &[second.to_kept()]);
        assert_eq!(next.take_waiting(), [second, first], "oldest first");
        let broken = UnrecordedChange { at: "yesterday".into(), ..change("u", 9).to_kept() };
        next.see(&place(), "u", &[broken]);
        assert_eq!(next.take_waiting(), [], "somebody else wrote it");
    }

    #[test]
    fn a_status_keeps_the_newest_for_which_there_is_room() {
        let mut unrecorded = Unrecorded::default();
        (0..40).for_each(|second| unrecorded.wrote(change("u", second)));
        let kept = unrecorded.keep("u", Some(&change("u", 40)), || 0);
        assert_eq!(seconds(&kept), (9..=40).collect::<Vec<_>>());
        assert_eq!(unrecorded.take_waiting().len(), 40, "the others are sent all the same");
        let mut unrecorded = Unrecorded::default();
        (0..3).for_each(|second| unrecorded.wrote(with_values(second, 100 * 1024)));
        assert_eq!(seconds(&unrecorded.keep("u", None, || 0)), [1, 2]);
        assert_eq!(seconds(&unrecorded.keep("u", None, || LARGEST_OBJECT - 150 * 1024)), [2]);
        assert_eq!(unrecorded.keep("u", None, || 2 * LARGEST_OBJECT), []);
    }

    #[test]
    fn what_is_known_of_a_context_is_bounded_and_a_loss_is_counted() {
        let mut unrecorded = Unrecorded::default();
        for second in 0..200 {
            unrecorded.wrote(change("u", second));
            let sent = unrecorded.take_waiting();
            unrecorded.settle(&[sent[0].id()], at(0));
        }
        assert_eq!((unrecorded.contexts["u"].len(), unrecorded.take_lost()), (MOST_KNOWN, 0));
        let mut unrecorded = Unrecorded::default();
        (0..70).for_each(|second| unrecorded.wrote(change("u", second)));
        assert_eq!(
            (unrecorded.take_waiting().len(), unrecorded.take_lost(), unrecorded.take_lost()),
            (MOST_KNOWN, 6, 0)
        );
    }

    #[test]
    fn what_is_too_much_to_be_on_its_way_waits_in_the_statuses() {
        let mut next = Unrecorded::default();
        for context in 0..60 {
            let kept: Vec<_> = (0..20).map(|second| change("", context * 100 + second).to_kept()).collect();
            next.see(&place(), &format!("u{context}"), &kept);
        }
        let sent = next.take_waiting();
        assert_eq!((sent.len(), next.take_waiting().len()), (MOST_SENT, 0));
        let ids: Vec<RecordId> = sent.iter().take(150).map(ContextChange::id).collect();
        next.settle(&ids, at(0));
        assert_eq!((next.take_waiting().len(), next.keep("u59", None, || 0).len()), (150, 20));
    }

    #[test]
    fn records_of_a_context_that_is_gone_are_sent_from_memory() {
        let mut unrecorded = Unrecorded::default();
        unrecorded.wrote(change("u", 1));
        unrecorded.take_waiting();
        unrecorded.wrote(change("u", 2));
        unrecorded.forget("u");
        assert_eq!(unrecorded.take_waiting(), [ContextChange { is_kept: false, ..change("u", 2) }]);
        assert_eq!((unrecorded.take_waiting().len(), unrecorded.keep("u", None, || 0).len()), (0, 0));
    }
}
