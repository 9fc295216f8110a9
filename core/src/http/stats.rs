//! The counters of a session, for metrics and for the clock skew. [`Stats`] is a copy of the session's atomics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::model::time::{Millis, SECOND};

/// What a session has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests sent, each try counted.
    pub requests: u64,
    /// Tries after the first.
    pub retries: u64,
    /// How often a request was held back because the vendor asked for it or failed.
    pub waits: u64,
    /// The total time of those waits.
    pub waited: Duration,
    /// The total time requests waited for our own rates.
    pub paced: Duration,
    /// Calls left, by the last answer that gave the number.
    pub rate_limit_remaining: Option<u64>,
    /// Bytes of bodies read, after decompression.
    pub bytes: u64,
    /// How far the vendor's clock is ahead of ours, in ms, by its last `Date` header; exact to about a second.
    pub clock_skew_ms: Option<i64>,
    /// The vendor's time at its last answer with a `Date` header.
    pub vendor_time: Option<Millis>,
}

/// "Unknown" in the atomics: neither number occurs.
const UNKNOWN_COUNT: u64 = u64::MAX;
const UNKNOWN_SKEW: i64 = i64::MIN;

/// The counters behind [`Stats`].
#[derive(Debug)]
pub(super) struct Meter {
    requests: AtomicU64,
    retries: AtomicU64,
    waits: AtomicU64,
    waited_ms: AtomicU64,
    paced_ms: AtomicU64,
    remaining: AtomicU64,
    bytes: AtomicU64,
    skew_ms: AtomicI64,
    vendor_ms: AtomicI64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            waited_ms: AtomicU64::new(0),
            paced_ms: AtomicU64::new(0),
            remaining: AtomicU64::new(UNKNOWN_COUNT),
            bytes: AtomicU64::new(0),
            skew_ms: AtomicI64::new(UNKNOWN_SKEW),
            vendor_ms: AtomicI64::new(UNKNOWN_SKEW),
        }
    }
}

impl Meter {
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn waiting(&self, wait: Duration) {
        self.waits.fetch_add(1, Relaxed);
        self.waited_ms.fetch_add(millis(wait), Relaxed);
    }

    pub(super) fn pacing(&self, wait: Duration) {
        self.paced_ms.fetch_add(millis(wait), Relaxed);
    }

    pub(super) fn read(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn remaining(&self, remaining: Option<u64>) {
        if let Some(remaining) = remaining {
            self.remaining.store(remaining.min(UNKNOWN_COUNT - 1), Relaxed);
        }
    }

    /// A `Date` header is cut to the second, so the moment it means is on average half a second later.
    pub(super) fn clocks(&self, theirs: Millis, ours: Millis) {
        self.vendor_ms.store(theirs.0, Relaxed);
        self.skew_ms.store(theirs.plus(SECOND / 2).0.saturating_sub(ours.0).max(UNKNOWN_SKEW + 1), Relaxed);
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            requests: self.requests.load(Relaxed),
            retries: self.retries.load(Relaxed),
            waits: self.waits.load(Relaxed),
            waited: Duration::from_millis(self.waited_ms.load(Relaxed)),
            paced: Duration::from_millis(self.paced_ms.load(Relaxed)),
            rate_limit_remaining: Some(self.remaining.load(Relaxed)).filter(|count| *count != UNKNOWN_COUNT),
            bytes: self.bytes.load(Relaxed),
            clock_skew_ms: Some(self.skew_ms.load(Relaxed)).filter(|skew| *skew != UNKNOWN_SKEW),
            vendor_time: Some(self.vendor_ms.load(Relaxed)).filter(|at| *at != UNKNOWN_SKEW).map(Millis),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        let meter = Meter::default();
        assert_eq!(meter.stats(), Stats::default());
        meter.clocks(Millis(10_000), Millis(4_000));
        meter.remaining(Some(0));
        meter.remaining(None);
        assert_eq!((meter.stats().clock_skew_ms, meter.stats().rate_limit_remaining), (Some(6_500), Some(0)));
    }
}
