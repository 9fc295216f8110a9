//! Blocked by links: when open blockers blocked a task. Pure.
//!
//! [`blocker_histories`] collects what is known of each blocker from its present link and from the history of links;
//! [`blocked_intervals`] unites them. For a source with `blocked: {links: true}`, [`events`] turns the intervals into
//! ordinary events of the task, so that spans, log records and metrics need not know about links. [`recompute`]
//! replaces those events whenever the task or one of its blockers changes, so that the result does not depend on which
//! was read first.

use crate::error::Result;
use crate::interval::{self, FOREVER, Interval};
use crate::time::Millis;
use crate::timeline;
use crate::{Change, Event, EventId, SmolStr, StoredEvent, TaskKey, TaskRecord};

/// What is known of one blocker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockerHistory {
    /// The blocker's key.
    pub name: SmolStr,
    /// Whether the link holds now.
    pub now: bool,
    /// When the link was added (`true`) or removed, oldest first.
    changes: Vec<(Millis, bool)>,
    /// When the blocker existed and was unfinished.
    unfinished: Vec<Interval>,
}

/// The task a link leads to: its key, and when it was unfinished.
pub type LinkedTask = (SmolStr, Vec<Interval>);

impl BlockerHistory {
    /// Whether it blocks the task now.
    pub fn is_open(&self) -> bool {
        self.now && self.unfinished.last().is_some_and(|(_, to)| *to == FOREVER)
    }

    fn intervals(&self, created: Millis) -> Vec<Interval> {
        interval::overlap(&interval::linked(created, &self.changes, self.now), &self.unfinished)
    }
}

/// The blockers of a task, those that are linked now first. `find` looks a task up by the tool's id where that is
/// known, else by its key.
///
/// # Errors
/// Those of `find`.
pub fn blocker_histories(
    record: &TaskRecord,
    now: Millis,
    mut find: impl FnMut(Option<&str>, &str) -> Result<Option<LinkedTask>>,
) -> Result<Vec<BlockerHistory>> {
    let mut all: Vec<BlockerHistory> = Vec::new();
    for blocker in &record.blockers {
        let unknown_blocker = || (blocker.key.as_str().into(), unknown_blocker(record, blocker.finished, now));
        let (name, unfinished) = find(blocker.native_id.as_deref(), &blocker.key)?.unwrap_or_else(unknown_blocker);
        all.push(BlockerHistory { name, now: true, changes: Vec::new(), unfinished });
    }
    for (key, at, added) in interval::blocking_links(&record.timeline) {
        let unknown_blocker = || (key.into(), unknown_blocker(record, false, now));
        let (name, unfinished) = find(None, key)?.unwrap_or_else(unknown_blocker);
        match all.iter_mut().find(|blocking| blocking.name == name) {
            Some(known) => known.changes.push((at, added)),
            None => all.push(BlockerHistory { name, now: false, changes: vec![(at, added)], unfinished }),
        }
    }
    Ok(all)
}

/// When a blocker outside the store was unfinished. The tool does not report when it was finished, so the moment we
/// first saw that counts.
fn unknown_blocker(record: &TaskRecord, finished: bool, now: Millis) -> Vec<Interval> {
    let until = match record.timeline.iter().rev().find(|stored| stored.event.change.is_from_links()) {
        _ if !finished => Some(FOREVER),
        Some(StoredEvent { event: Event { at, change: Change::UnblockedByLinks, .. }, .. }) => Some(*at),
        Some(_) => Some(now),
        None => None,
    };
    until.map(|until| (Millis(i64::MIN), until)).into_iter().collect()
}

/// When any blocker blocked the task, from the task's creation on.
pub fn blocked_intervals(created: Millis, all: &[BlockerHistory]) -> Vec<Interval> {
    let any = interval::union(all.iter().flat_map(|blocking| blocking.intervals(created)).collect());
    interval::overlap(&any, &[(created, FOREVER)])
}

/// The events that represent the blocked intervals, for a source whose links block.
pub fn events(key: &TaskKey, created: Millis, all: &[BlockerHistory]) -> Vec<Event> {
    let event = |origin: &str, at: Millis, change| Event {
        id: EventId::of(key, &format!("{origin}:{}", at.0)),
        at,
        actor: None,
        observed: false,
        change,
    };
    let mut events = Vec::new();
    for (from, to) in blocked_intervals(created, all) {
        let holds =
            |blocking: &&BlockerHistory| blocking.intervals(created).iter().any(|held| held.0 <= from && from < held.1);
        let names: Vec<&str> = all.iter().filter(holds).map(|blocking| blocking.name.as_str()).collect();
        events.push(event("waits", from, Change::BlockedByLinks(format!("waits for {}", names.join(", ")).into())));
        if to != FOREVER {
            events.push(event("free", to, Change::UnblockedByLinks));
        }
    }
    events
}

/// Replaces the events that follow from links by `events`. An event that stays keeps its journal number. Returns how
/// many are new.
pub fn recompute(timeline: &mut Vec<StoredEvent>, events: Vec<Event>, seq: u64) -> u64 {
    let before: Vec<StoredEvent> = timeline.extract_if(.., |stored| stored.event.change.is_from_links()).collect();
    let mut new = 0;
    for event in events {
        let known = before.iter().find(|stored| stored.event.id == event.id).map(|stored| stored.seq);
        new += u64::from(known.is_none());
        timeline::insert(timeline, StoredEvent { event, seq: known.unwrap_or(seq) });
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{facts, stored};
    use crate::{Blocker, Status};

    const CREATED: Millis = Millis(100);

    fn record(timeline: Vec<StoredEvent>, finished: bool) -> TaskRecord {
        let blockers = vec![Blocker { native_id: None, key: "OPS-9".to_owned(), finished }];
        TaskRecord { url: String::new(), reporter: None, updated: CREATED, blockers, absences: 0, timeline }
    }

    /// A timeline with its blocked intervals as of `now`, when a blocker outside the store is open or `finished`.
    fn with_blocked_intervals(mut timeline: Vec<StoredEvent>, finished: bool, now: i64) -> Vec<StoredEvent> {
        let record = record(timeline.clone(), finished);
        let all = blocker_histories(&record, Millis(now), |_, _| Ok(None)).unwrap();
        recompute(&mut timeline, events(&TaskKey::new("jira", "1"), CREATED, &all), 9);
        timeline
    }

    fn blocked_changes(timeline: &[StoredEvent]) -> Vec<(i64, Change)> {
        let waiting = timeline.iter().filter(|stored| stored.event.change.is_from_links());
        waiting.map(|stored| (stored.event.at.0, stored.event.change.clone())).collect()
    }

    #[test]
    fn a_blocker_outside_the_store_blocks_until_it_is_seen_finished() {
        let created = stored(CREATED.0, Change::Created(Box::new(facts(Status::Todo))));
        let open = with_blocked_intervals(vec![created], false, 200);
        let begun = (100, Change::BlockedByLinks("waits for OPS-9".into()));
        assert_eq!(blocked_changes(&open), std::slice::from_ref(&begun));
        let over = with_blocked_intervals(open, true, 300);
        assert_eq!(blocked_changes(&over), [begun.clone(), (300, Change::UnblockedByLinks)]);
        assert_eq!(blocked_changes(&with_blocked_intervals(over, true, 400)), [begun, (300, Change::UnblockedByLinks)]);
    }

    #[test]
    fn overlapping_blockers_are_one_interval_named_after_the_first() {
        let of = |name: &str, from: i64, to: Millis| BlockerHistory {
            name: name.into(),
            now: true,
            changes: vec![(Millis(from), true)],
            unfinished: vec![(Millis(0), to)],
        };
        let all = [of("OPS-8", 200, Millis(400)), of("OPS-9", 300, Millis(500)), of("OPS-7", 50, Millis(80))];
        let blocked = super::events(&TaskKey::new("jira", "1"), CREATED, &all);
        let events: Vec<_> = blocked.iter().map(|event| (event.at.0, event.change.clone())).collect();
        assert_eq!(events, [(200, Change::BlockedByLinks("waits for OPS-8".into())), (500, Change::UnblockedByLinks)]);
    }

    #[test]
    fn an_event_that_stays_keeps_its_journal_number() {
        let created = stored(CREATED.0, Change::Created(Box::new(facts(Status::Todo))));
        let mut timeline = with_blocked_intervals(vec![created], false, 200);
        let again: Vec<Event> = timeline[1..].iter().map(|stored| stored.event.clone()).collect();
        assert_eq!((recompute(&mut timeline, again, 10), timeline[1].seq), (0, 9));
        assert_eq!((recompute(&mut timeline, Vec::new(), 11), timeline.len()), (0, 1));
    }
}
