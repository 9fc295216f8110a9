//! Intervals of time: unions and overlaps. Pure.

use crate::time::Millis;
use crate::timeline;
use crate::{Change, StoredEvent};

/// An interval, from its start up to and without its end.
pub type Interval = (Millis, Millis);

/// The end of an interval that has not ended.
pub const FOREVER: Millis = Millis(i64::MAX);

/// The same intervals sorted, without overlaps and empty ones.
pub(crate) fn union(mut spans: Vec<Interval>) -> Vec<Interval> {
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

/// The times that lie in both unions.
pub fn overlap(a: &[Interval], b: &[Interval]) -> Vec<Interval> {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))));
    union(pairs.collect())
}

/// The length of a union in seconds.
pub fn seconds(spans: &[Interval]) -> f64 {
    // Not `sum`: the sum of nothing is -0.0.
    spans.iter().fold(0.0, |all, (from, to)| all + to.seconds_since(*from))
}

/// When a task existed and was in no finished status.
pub fn unfinished(timeline: &[StoredEvent]) -> Vec<Interval> {
    let phases = timeline::phase_intervals(timeline).into_iter();
    let open = phases.filter(|(_, _, status)| !status.is_finished());
    union(open.map(|(from, to, _)| (from, to.unwrap_or(FOREVER))).collect())
}

/// When a link existed. `changes` are the dates on which it was added (`true`) or removed, oldest first; `now` is
/// whether it exists now.
///
/// A link without a recorded addition existed from `created` on. A link that is gone without a recorded removal has no
/// known end, so its last interval is left out.
pub(crate) fn linked(created: Millis, changes: &[(Millis, bool)], now: bool) -> Vec<Interval> {
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

/// The dated changes of "is blocked by" links: the key of the other task, when, and whether the link was added.
pub fn blocking_links(timeline: &[StoredEvent]) -> impl Iterator<Item = (&str, Millis, bool)> {
    timeline.iter().filter_map(|stored| match &stored.event.change {
        Change::Linked { blocker: Some(key), added, .. } => Some((key.as_str(), stored.event.at, *added)),
        _ => None,
    })
}

/// The keys of the tasks that blocked this one at a moment, by the history of its links.
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
    fn overlapping_and_touching_intervals_become_one() {
        assert_eq!(union(spans(&[(5, 9), (1, 3), (3, 4), (6, 7), (8, 8)])), spans(&[(1, 4), (5, 9)]));
    }

    #[test]
    fn an_overlap_holds_what_lies_in_both() {
        assert_eq!(
            overlap(&spans(&[(0, 10), (20, 30)]), &spans(&[(5, 25), (29, 40)])),
            spans(&[(5, 10), (20, 25), (29, 30)])
        );
    }

    #[test]
    fn the_length_of_nothing_is_positive_zero() {
        assert!(seconds(&[]).is_sign_positive());
        assert!((seconds(&spans(&[(0, 1_500), (2_000, 2_250)])) - 1.75).abs() < 1e-9);
    }

    #[test]
    fn a_link_exists_from_its_addition_or_else_from_creation() {
        let created = Millis(0);
        assert_eq!(linked(created, &[], true), vec![(created, FOREVER)]);
        assert_eq!(linked(created, &[(Millis(4), true)], true), vec![(Millis(4), FOREVER)]);
        assert_eq!(linked(created, &[(Millis(4), false)], false), spans(&[(0, 4)]));
        assert_eq!(linked(created, &[(Millis(4), true), (Millis(6), false)], false), spans(&[(4, 6)]));
        assert_eq!(linked(created, &[(Millis(4), true)], false), vec![], "the removal is not dated");
    }
}
