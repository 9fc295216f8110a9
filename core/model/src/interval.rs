//! Arithmetic with stretches of time, for the times that are unions and overlaps. Pure.

use crate::time::Millis;
use crate::timeline;
use crate::{Change, StoredEvent};

/// A stretch from its first moment up to, not with, its second.
pub type Interval = (Millis, Millis);

/// The end of what has no end yet.
pub const FOREVER: Millis = Millis(i64::MAX);

/// The same stretches sorted, without overlaps, without empty ones.
pub fn union(mut spans: Vec<Interval>) -> Vec<Interval> {
    spans.retain(|(from, to)| from < to);
    spans.sort_unstable();
    let mut merged: Vec<Interval> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// What lies in both of two unions.
pub fn overlap(a: &[Interval], b: &[Interval]) -> Vec<Interval> {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))));
    union(pairs.collect())
}

/// The length of a union in seconds.
pub fn seconds(spans: &[Interval]) -> f64 {
    // Not `sum`: that of nothing is -0.0.
    spans.iter().fold(0.0, |all, (from, to)| all + to.seconds_since(*from))
}

/// When a task was there and in no finished status.
pub fn unfinished(timeline: &[StoredEvent]) -> Vec<Interval> {
    let phases = timeline::phases(timeline);
    let open = phases.iter().filter(|phase| !phase.status.is_finished());
    union(open.map(|phase| (phase.from, phase.to.unwrap_or(FOREVER))).collect())
}

/// When a link held: `changes` are its dated makings (`true`) and removals, oldest first; `now` whether it holds now.
///
/// A link whose making nobody recorded held from `created` on. One that is gone although its removal was not recorded has
/// an end nobody knows: that last stretch is left out.
pub fn linked(created: Millis, changes: &[(Millis, bool)], now: bool) -> Vec<Interval> {
    let mut since = changes.first().is_none_or(|(_, added)| !added).then_some(created);
    let mut spans = Vec::new();
    for (at, added) in changes {
        match (since, added) {
            (None, true) => since = Some(*at),
            (Some(from), false) => {
                spans.push((from, *at));
                since = None;
            }
            _ => {}
        }
    }
    spans.extend(since.filter(|_| now).map(|from| (from, FOREVER)));
    union(spans)
}

/// The dated makings and removals of "is blocked by" links: the key of the other task, when, and whether it was made.
pub fn blocking_links(timeline: &[StoredEvent]) -> impl Iterator<Item = (&str, Millis, bool)> {
    timeline.iter().filter_map(|stored| match &stored.event.change {
        Change::Linked { blocker: Some(key), added, .. } => Some((key.as_str(), stored.event.at, *added)),
        _ => None,
    })
}

/// The keys of the tasks that blocked this one at a moment, by the links its history tells of.
pub fn blockers_at(timeline: &[StoredEvent], at: Millis) -> Vec<String> {
    let mut blockers: Vec<String> = Vec::new();
    for (blocker, _, added) in blocking_links(timeline).take_while(|(_, when, _)| *when <= at) {
        blockers.retain(|other| other != blocker);
        if added {
            blockers.push(blocker.to_owned());
        }
    }
    blockers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(pairs: &[(i64, i64)]) -> Vec<Interval> {
        pairs.iter().map(|(from, to)| (Millis(*from), Millis(*to))).collect()
    }

    #[test]
    fn overlapping_and_touching_stretches_become_one() {
        assert_eq!(union(spans(&[(5, 9), (1, 3), (3, 4), (6, 7), (8, 8)])), spans(&[(1, 4), (5, 9)]));
    }

    #[test]
    fn only_what_lies_in_both_is_overlap() {
        assert_eq!(
            overlap(&spans(&[(0, 10), (20, 30)]), &spans(&[(5, 25), (29, 40)])),
            spans(&[(5, 10), (20, 25), (29, 30)])
        );
    }

    #[test]
    fn nothing_takes_no_time_and_is_not_less_than_nothing() {
        assert!(seconds(&[]).is_sign_positive());
        assert!((seconds(&spans(&[(0, 1_500), (2_000, 2_250)])) - 1.75).abs() < 1e-9);
    }

    #[test]
    fn a_link_holds_from_its_making_or_else_from_creation() {
        let created = Millis(0);
        assert_eq!(linked(created, &[], true), vec![(created, FOREVER)]);
        assert_eq!(linked(created, &[(Millis(4), true)], true), vec![(Millis(4), FOREVER)]);
        assert_eq!(linked(created, &[(Millis(4), false)], false), spans(&[(0, 4)]));
        assert_eq!(linked(created, &[(Millis(4), true), (Millis(6), false)], false), spans(&[(4, 6)]));
        assert_eq!(linked(created, &[(Millis(4), true)], false), vec![], "removed, nobody knows when");
    }
}
