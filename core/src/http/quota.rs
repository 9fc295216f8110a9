//! The vendor's quotas as its answers give them: requests per hour, points per hour.
//!
//! [`Quota`] is what a [`Dialect`](super::Dialect) reads from an answer. [`Pools`] holds one leaky bucket per quota,
//! resized by every answer, from which each request takes its price before it is sent. Other programs use the same
//! quotas, so the numbers of an answer always replace our own count.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use governor::Quota as Rate;
use governor::clock::Clock;
use tokio::time::Instant;

use super::elapsed::{Elapsed, Limiter};
use crate::{backoff, lock};

/// The quota from which every request takes one.
pub const REQUESTS: &str = "requests";
/// The quota from which a request takes its price in points.
pub const POINTS: &str = "points";

/// A quota, as an answer gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// [`REQUESTS`] or [`POINTS`].
    pub name: &'static str,
    /// The size of a full quota.
    pub limit: u32,
    /// What is left of it.
    pub left: u32,
    /// How long an empty quota takes to refill.
    pub period: Duration,
}

/// The quotas of one session. Empty until an answer gives one.
#[derive(Default)]
pub(super) struct Pools(Mutex<BTreeMap<&'static str, Pool>>);

struct Pool {
    limiter: Limiter,
    clock: Elapsed,
    limit: u32,
    /// When an answer last confirmed it.
    since: Instant,
}

impl Pools {
    /// Replaces quotas by those of an answer.
    pub(super) fn update(&self, quotas: &[Quota]) {
        let mut pools = lock(&self.0);
        pools.extend(quotas.iter().filter_map(|quota| Some((quota.name, Pool::of(quota)?))));
    }

    /// Takes the price of one request from every quota, or returns how long until that is possible.
    pub(super) fn take(&self, points: u32) -> Result<(), Duration> {
        let pools = lock(&self.0);
        for (name, pool) in &*pools {
            pool.take(if *name == POINTS { points } else { 1 })?;
        }
        Ok(())
    }
}

impl Pool {
    /// A pool with this quota left; `None` for a limit of zero, which means that the quota is switched off.
    fn of(quota: &Quota) -> Option<Self> {
        let burst = NonZeroU32::new(quota.limit)?;
        let rate = Rate::with_period(backoff::requested(quota.period / quota.limit))?.allow_burst(burst);
        let clock = Elapsed::begin();
        let limiter = Limiter::direct_with_clock(rate, clock);
        let pool = Self { limiter, clock, limit: quota.limit, since: Instant::now() };
        if let Some(spent) = NonZeroU32::new(quota.limit.saturating_sub(quota.left)) {
            // At most as much as a full pool holds, so it is always granted.
            drop(pool.limiter.check_n(spent));
        }
        Some(pool)
    }

    /// A price above the limit takes the whole pool; rejecting it is left to the vendor. A quota is a request to wait like any
    /// other: what the vendor said longer ago than that is not believed, and it is asked again.
    fn take(&self, price: u32) -> Result<(), Duration> {
        let Some(price) = NonZeroU32::new(price.min(self.limit)) else { return Ok(()) };
        let believed = backoff::LONGEST_REQUESTED.saturating_sub(self.since.elapsed());
        match self.limiter.check_n(price) {
            Ok(Err(denied)) if !believed.is_zero() => Err(denied.wait_time_from(self.clock.now()).min(believed)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn quota(name: &'static str, limit: u32, left: u32) -> Quota {
        Quota { name, limit, left, period: HOUR }
    }

    #[test]
    fn nothing_waits_before_an_answer_gives_a_quota() {
        let pools = Pools::default();
        assert_eq!(pools.take(1_000_000), Ok(()));
        pools.update(&[quota(POINTS, 0, 0)]);
        assert_eq!(pools.take(1_000_000), Ok(()), "a limit of zero is no limit");
    }

    #[test]
    fn a_request_waits_for_as_many_points_as_it_costs() {
        let pools = Pools::default();
        pools.update(&[quota(REQUESTS, 3_600, 3_600), quota(POINTS, 3_600, 100)]);
        assert_eq!(pools.take(60), Ok(()));
        let wait = pools.take(90).unwrap_err();
        assert!((45..=50).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(pools.take(30), Ok(()), "a cheaper one need not wait");
    }

    #[test]
    fn the_last_answer_replaces_our_own_count() {
        let pools = Pools::default();
        pools.update(&[quota(REQUESTS, 3_600, 0)]);
        assert!(pools.take(0).is_err());
        pools.update(&[quota(REQUESTS, 7_200, 5)]);
        assert_eq!(pools.take(0), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_absurd_quota_is_believed_for_a_quarter_of_an_hour() {
        let pools = Pools::default();
        for period in [Duration::MAX, Duration::from_secs(u64::MAX), 10_000 * HOUR] {
            pools.update(&[Quota { period, ..quota(POINTS, 1_000, 0) }]);
            let wait = pools.take(1_000).unwrap_err();
            assert_eq!(wait, backoff::LONGEST_REQUESTED, "{period:?}");
            tokio::time::advance(wait).await;
            assert_eq!(pools.take(1_000), Ok(()), "the vendor is asked again");
        }
    }

    #[test]
    fn a_price_above_the_limit_is_left_to_the_vendor() {
        let pools = Pools::default();
        pools.update(&[quota(POINTS, 100, 100)]);
        assert_eq!(pools.take(5_000), Ok(()));
    }
}
