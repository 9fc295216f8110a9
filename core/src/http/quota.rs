//! The vendor's own quotas, as its answers tell them: so many requests an hour, so many points an hour.
//!
//! [`Quota`] is what a [`super::Dialect`] reads out of an answer; [`Pools`] holds one leaky bucket for each, sized anew by every
//! answer, from which each request takes its price before it goes. Other programs drink from the same pools, so what the
//! answer says is left always goes before what we reckoned ourselves.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota as Rate, RateLimiter};

use crate::lock;

/// The quota of which every request takes one.
pub const REQUESTS: &str = "requests";
/// The quota of which a request takes the points it was priced at.
pub const POINTS: &str = "points";

/// A quota, as an answer told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// [`REQUESTS`] or [`POINTS`].
    pub name: &'static str,
    /// How much there is in a full pool.
    pub limit: u32,
    /// How much is left now.
    pub left: u32,
    /// How long an empty pool takes to fill.
    pub period: Duration,
}

/// The pools of one session. Empty until the first answer that tells of one.
#[derive(Default)]
pub(super) struct Pools(Mutex<BTreeMap<&'static str, Pool>>);

struct Pool {
    limiter: DefaultDirectRateLimiter,
    limit: u32,
}

impl Pools {
    /// Takes what an answer told.
    pub(super) fn update(&self, quotas: &[Quota]) {
        let mut pools = lock(&self.0);
        pools.extend(quotas.iter().filter_map(|quota| Some((quota.name, Pool::of(quota)?))));
    }

    /// Takes the price of one request out of every pool, or says how long until it could be.
    pub(super) fn take(&self, points: u32) -> Result<(), Duration> {
        let pools = lock(&self.0);
        for (name, pool) in &*pools {
            pool.take(if *name == POINTS { points } else { 1 })?;
        }
        Ok(())
    }
}

impl Pool {
    /// A pool with so much in it. None for a quota of nothing, which means that it is switched off.
    fn of(quota: &Quota) -> Option<Self> {
        let burst = NonZeroU32::new(quota.limit)?;
        let rate = Rate::with_period(quota.period / quota.limit)?.allow_burst(burst);
        let pool = Self { limiter: RateLimiter::direct(rate), limit: quota.limit };
        if let Some(spent) = NonZeroU32::new(quota.limit.saturating_sub(quota.left)) {
            // At most as much as a full pool holds: always granted.
            drop(pool.limiter.check_n(spent));
        }
        Some(pool)
    }

    /// A price above what the pool ever holds is the vendor's to refuse: it takes all there is.
    fn take(&self, price: u32) -> Result<(), Duration> {
        let Some(price) = NonZeroU32::new(price.min(self.limit)) else { return Ok(()) };
        match self.limiter.check_n(price) {
            Ok(Err(denied)) => Err(denied.wait_time_from(DefaultClock::default().now())),
            Ok(Ok(())) | Err(_) => Ok(()),
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
    fn nothing_is_held_back_before_a_quota_is_told_of() {
        let pools = Pools::default();
        assert_eq!(pools.take(1_000_000), Ok(()));
        pools.update(&[quota(POINTS, 0, 0)]);
        assert_eq!(pools.take(1_000_000), Ok(()), "a limit of nothing is none");
    }

    #[test]
    fn a_request_waits_for_as_many_points_as_it_costs() {
        let pools = Pools::default();
        pools.update(&[quota(REQUESTS, 3_600, 3_600), quota(POINTS, 3_600, 100)]);
        assert_eq!(pools.take(60), Ok(()));
        let wait = pools.take(90).unwrap_err();
        assert!((45..=50).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(pools.take(30), Ok(()), "a cheaper one may go");
    }

    #[test]
    fn the_last_answer_goes_before_what_was_reckoned() {
        let pools = Pools::default();
        pools.update(&[quota(REQUESTS, 3_600, 0)]);
        assert!(pools.take(0).is_err());
        pools.update(&[quota(REQUESTS, 7_200, 5)]);
        assert_eq!(pools.take(0), Ok(()));
    }

    #[test]
    fn what_no_pool_can_hold_is_left_to_the_vendor() {
        let pools = Pools::default();
        pools.update(&[quota(POINTS, 100, 100)]);
        assert_eq!(pools.take(5_000), Ok(()));
    }
}
