//! Limits the number of traces sent in a window of time.
//!
//! Tempo keeps every trace it receives in memory for up to 30 s, and silently drops what exceeds `max_traces_per_user`
//! (10,000) while answering "ok" (measured). So we stay at half of that and count ourselves, because no answer reports
//! it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::batch::TraceId;
use crate::model::time::Millis;

/// The most distinct traces sent in any [`TRACE_WINDOW`].
pub const MAX_LIVE_TRACES: usize = 5_000;
/// How long a trace counts after it was sent.
pub const TRACE_WINDOW: Duration = Duration::from_secs(30);

/// Whether traces may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// They may, and they are counted from now on.
    Go,
    /// Not yet: ask again after this long. Nothing was counted.
    Wait(Duration),
}

/// At most [`MAX_LIVE_TRACES`] distinct traces in any [`TRACE_WINDOW`]. Pure: ids and the time are passed in.
#[derive(Debug, Default)]
pub struct TraceBudget {
    touched: HashMap<TraceId, Millis>,
}

impl TraceBudget {
    /// Whether a batch with the traces `ids` may be sent at `now`. If so, they are counted.
    ///
    /// A batch that alone exceeds the budget waits for an empty window and is then sent, because refusing it would stop
    /// the export.
    pub fn admit(&mut self, ids: &HashSet<TraceId>, now: Millis) -> Admission {
        self.forget(now);
        let excess = (self.touched.len() + self.fresh(ids)).saturating_sub(MAX_LIVE_TRACES);
        if let Some(pause) = self.until_expired(excess, ids, now) {
            return Admission::Wait(pause);
        }
        self.touched.extend(ids.iter().map(|id| (*id, now)));
        Admission::Go
    }

    /// How many of `ids` are not counted yet.
    fn fresh(&self, ids: &HashSet<TraceId>) -> usize {
        ids.iter().filter(|id| !self.touched.contains_key(*id)).count()
    }

    /// Removes traces outside the window. A clock that went back makes an entry new again, so that it still expires.
    fn forget(&mut self, now: Millis) {
        self.touched.retain(|_, at| {
            *at = (*at).min(now);
            now.0 - at.0 < window_ms()
        });
    }

    /// How long until `count` of the counted traces that are not among `ids` have expired, or all of them if there are
    /// fewer.
    fn until_expired(&self, count: usize, ids: &HashSet<TraceId>, now: Millis) -> Option<Duration> {
        let others = self.touched.iter().filter(|(id, _)| !ids.contains(*id));
        let mut others: Vec<i64> = others.map(|(_, at)| at.0).collect();
        others.sort_unstable();
        let last_needed = others.get(count.checked_sub(1)?).or(others.last())?;
        u64::try_from(last_needed + window_ms() - now.0).ok().map(Duration::from_millis)
    }
}

fn window_ms() -> i64 {
    i64::try_from(TRACE_WINDOW.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(range: std::ops::Range<u128>) -> HashSet<TraceId> {
        range.map(|n| (n + 1).to_be_bytes()).collect()
    }

    #[test]
    fn traces_above_the_budget_wait_until_just_enough_have_expired() {
        let mut budget = TraceBudget::default();
        assert_eq!(budget.admit(&ids(0..3_000), Millis(0)), Admission::Go);
        assert_eq!(budget.admit(&ids(3_000..5_000), Millis(10_000)), Admission::Go);
        assert_eq!(budget.admit(&ids(5_000..6_000), Millis(12_000)), Admission::Wait(Duration::from_secs(18)));
        assert_eq!(budget.admit(&ids(5_000..9_000), Millis(12_000)), Admission::Wait(Duration::from_secs(28)));
        assert_eq!(budget.admit(&ids(5_000..6_000), Millis(30_000)), Admission::Go);
    }

    #[test]
    fn a_trace_sent_again_costs_nothing_and_counts_longer() {
        let mut budget = TraceBudget::default();
        budget.admit(&ids(0..5_000), Millis(0));
        assert_eq!(budget.admit(&ids(0..2_000), Millis(20_000)), Admission::Go);
        // 3,000 expire at 30 s; the other 2,000 at 50 s.
        assert_eq!(budget.admit(&ids(5_000..8_000), Millis(30_000)), Admission::Go);
        assert_eq!(budget.admit(&ids(8_000..8_001), Millis(30_001)), Admission::Wait(Duration::from_millis(19_999)));
    }

    #[test]
    fn no_window_exceeds_the_budget_when_waits_are_kept() {
        let mut budget = TraceBudget::default();
        let (mut now, mut sent) = (Millis(0), Vec::new());
        for n in 0..20u128 {
            let batch = ids(n * 1_700..n * 1_700 + 2_000);
            while let Admission::Wait(pause) = budget.admit(&batch, now) {
                now = now.plus(i64::try_from(pause.as_millis()).unwrap());
            }
            sent.push((now, batch));
            let live: HashSet<_> = sent.iter().filter(|(at, _)| now.0 - at.0 < 30_000).flat_map(|(_, b)| b).collect();
            assert!(live.len() <= MAX_LIVE_TRACES, "{} at {now:?}", live.len());
        }
        assert!(now < Millis(30_000 * 20), "waited longer than needed: {now:?}");
    }

    #[test]
    fn a_batch_above_the_budget_is_sent_alone() {
        let mut budget = TraceBudget::default();
        budget.admit(&ids(0..1), Millis(0));
        let huge = ids(10..7_000);
        assert_eq!(budget.admit(&huge, Millis(0)), Admission::Wait(TRACE_WINDOW));
        assert_eq!(budget.admit(&huge, Millis(30_000)), Admission::Go);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_stop_the_export() {
        let mut budget = TraceBudget::default();
        budget.admit(&ids(0..5_000), Millis(3_600_000));
        assert_eq!(budget.admit(&ids(5_000..5_001), Millis(0)), Admission::Wait(TRACE_WINDOW));
        assert_eq!(budget.admit(&ids(5_000..5_001), Millis(30_000)), Admission::Go);
    }
}
