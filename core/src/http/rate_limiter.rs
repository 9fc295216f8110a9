//! When a request may be sent: rates per bucket, pauses the vendor asked for, quotas, and the number of requests in
//! flight.
//!
//! Everything uses tokio's clock, so tests can advance it.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use governor::Quota as Rate;
use governor::clock::Clock;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};

use super::config::Bucket;
use super::elapsed::{Elapsed, Limiter};
use super::quota::{Pools, Quota};
use super::stats::Meter;
use super::verdict::Scope;
use crate::model::error::{Error, ErrorKind, Result, Retry};
use crate::{backoff, lock};

/// The limits of one session. Dropping a future that waits in it releases everything.
pub(super) struct RateLimiter {
    buckets: Vec<BucketLimiter>,
    all: Pause,
    pools: Pools,
    permits: Semaphore,
    max_wait: Duration,
}

/// One bucket: its rate, and the pause it has to make.
pub(super) struct BucketLimiter {
    name: &'static str,
    limiter: Limiter,
    clock: Elapsed,
    /// Held while waiting for the limiter, because tokio's mutex is fair and governor's waiters are not.
    queue: tokio::sync::Mutex<()>,
    pause: Pause,
}

/// The end of a pause. It only ever moves later.
#[derive(Default)]
struct Pause(Mutex<Option<Instant>>);

impl Pause {
    fn extend(&self, until: Instant) {
        let mut held = lock(&self.0);
        *held = (*held).max(Some(until));
    }

    fn until(&self) -> Option<Instant> {
        let held = *lock(&self.0);
        held.filter(|until| *until > Instant::now())
    }
}

impl RateLimiter {
    /// A limiter with these buckets. A rate or a number in flight of zero would let nothing pass and is an error.
    pub(super) fn new(buckets: &[Bucket], in_flight: usize, max_wait: Duration) -> Result<Self> {
        if in_flight == 0 {
            return Err(Error::new(ErrorKind::Internal, "the number of requests in flight is zero"));
        }
        let buckets = buckets.iter().map(BucketLimiter::new).collect::<Result<_>>()?;
        Ok(Self {
            buckets,
            all: Pause::default(),
            pools: Pools::default(),
            permits: Semaphore::new(in_flight),
            max_wait,
        })
    }

    /// The bucket of this name. An unknown name is a mistake in the connector.
    pub(super) fn bucket(&self, name: &str) -> Result<&BucketLimiter> {
        let unknown = || Error::new(ErrorKind::Internal, "no such bucket").with("bucket", name);
        self.buckets.iter().find(|bucket| bucket.name == name).ok_or_else(unknown)
    }

    /// Waits until a request of this bucket and price may be sent. Hold the permit until its answer is read.
    pub(super) async fn admit(
        &self,
        bucket: &BucketLimiter,
        points: u32,
        meter: &Meter,
    ) -> Result<SemaphorePermit<'_>> {
        self.wait_for_pauses(bucket, meter).await?;
        bucket.pace(meter).await;
        self.wait_for_quota(points, meter).await?;
        loop {
            let closed = |error| Error::new(ErrorKind::Internal, "the session is closed").caused_by(error);
            let permit = self.permits.acquire().await.map_err(closed)?;
            if self.paused_until(bucket).is_none() {
                return Ok(permit);
            }
            drop(permit);
            self.wait_for_pauses(bucket, meter).await?;
        }
    }

    /// Updates the vendor's quotas from an answer.
    pub(super) fn update_quotas(&self, quotas: &[Quota]) {
        if !quotas.is_empty() {
            self.pools.update(quotas);
        }
    }

    /// Waits until the vendor's quotas allow the request. Fails at once when that takes longer than the longest wait
    /// accepted.
    async fn wait_for_quota(&self, points: u32, meter: &Meter) -> Result<()> {
        while let Err(wait) = self.pools.take(points) {
            if wait > self.max_wait {
                return Err(rate_limited(wait, self.max_wait));
            }
            meter.pacing(wait);
            sleep(wait).await;
        }
        Ok(())
    }

    /// Pauses everything in `scope` for at least `wait` from now.
    pub(super) fn pause(&self, bucket: &BucketLimiter, scope: Scope, wait: Duration) {
        let until = Instant::now() + backoff::requested(wait);
        match scope {
            Scope::All => self.all.extend(until),
            Scope::Bucket => bucket.pause.extend(until),
        }
    }

    fn paused_until(&self, bucket: &BucketLimiter) -> Option<Instant> {
        self.all.until().max(bucket.pause.until())
    }

    /// Waits for the pauses to end. Fails at once when that takes longer than the longest wait accepted.
    async fn wait_for_pauses(&self, bucket: &BucketLimiter, meter: &Meter) -> Result<()> {
        while let Some(until) = self.paused_until(bucket) {
            let left = until.saturating_duration_since(Instant::now());
            if left > self.max_wait {
                return Err(rate_limited(left, self.max_wait));
            }
            meter.waiting(left);
            sleep_until(until).await;
        }
        Ok(())
    }
}

/// The error for a wait that is longer than the limit. The caller keeps its checkpoint and retries after the wait.
pub(super) fn rate_limited(wait: Duration, limit: Duration) -> Error {
    let wait = backoff::requested(wait);
    let (wait_seconds, limit_seconds) = (wait.as_secs(), limit.as_secs());
    Error::new(ErrorKind::RateLimited, format!("rate limited: retry in {wait_seconds} s (limit {limit_seconds} s)"))
        .with_retry(Retry::After(wait))
        .with("wait_seconds", wait_seconds)
}

impl BucketLimiter {
    fn new(bucket: &Bucket) -> Result<Self> {
        let positive = |rate| {
            NonZeroU32::new(rate)
                .ok_or_else(|| Error::new(ErrorKind::Internal, "a bucket without a rate").with("bucket", bucket.name))
        };
        let quota = Rate::per_second(positive(bucket.per_second)?).allow_burst(positive(bucket.burst)?);
        let clock = Elapsed::begin();
        Ok(Self {
            name: bucket.name,
            limiter: Limiter::direct_with_clock(quota, clock),
            clock,
            queue: tokio::sync::Mutex::default(),
            pause: Pause::default(),
        })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Waits until the bucket has a token, and takes it.
    async fn pace(&self, meter: &Meter) {
        let _queue = self.queue.lock().await;
        while let Err(denied) = self.limiter.check() {
            let wait = denied.wait_time_from(self.clock.now());
            meter.pacing(wait);
            sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Bucket = Bucket { name: "fast", per_second: 1_000, burst: 1_000 };
    const OTHER: Bucket = Bucket { name: "other", per_second: 1_000, burst: 1_000 };

    fn limiter(in_flight: usize) -> RateLimiter {
        RateLimiter::new(&[FAST, OTHER], in_flight, Duration::from_secs(300)).unwrap()
    }

    /// How long a request of this bucket waits, on tokio's clock.
    async fn held(limiter: &RateLimiter, bucket: &str) -> Duration {
        let start = Instant::now();
        drop(limiter.admit(limiter.bucket(bucket).unwrap(), 0, &Meter::default()).await.unwrap());
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_back_its_bucket_or_the_whole_session() {
        let limiter = limiter(4);
        limiter.pause(limiter.bucket("fast").unwrap(), Scope::Bucket, Duration::from_secs(60));
        assert_eq!(held(&limiter, "other").await.as_secs(), 0);
        assert_eq!(held(&limiter, "fast").await.as_secs(), 60);
        limiter.pause(limiter.bucket("fast").unwrap(), Scope::All, Duration::from_secs(30));
        assert_eq!(held(&limiter, "other").await.as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_only_moves_later() {
        let limiter = limiter(4);
        let bucket = limiter.bucket("fast").unwrap();
        limiter.pause(bucket, Scope::Bucket, Duration::from_secs(60));
        limiter.pause(bucket, Scope::Bucket, Duration::from_secs(1));
        assert_eq!(held(&limiter, "fast").await.as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_starts_during_the_wait_for_a_permit_counts() {
        let limiter = limiter(1);
        let bucket = limiter.bucket("fast").unwrap();
        let first = limiter.admit(bucket, 0, &Meter::default()).await.unwrap();
        let release = async {
            sleep(Duration::from_secs(5)).await;
            limiter.pause(bucket, Scope::All, Duration::from_secs(20));
            drop(first);
        };
        let (waited, ()) = tokio::join!(held(&limiter, "fast"), release);
        assert_eq!(waited.as_secs(), 25);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_beyond_the_limit_fails_at_once_and_says_when_to_retry() {
        let limiter = limiter(4);
        let bucket = limiter.bucket("fast").unwrap();
        limiter.pause(bucket, Scope::All, Duration::MAX);
        limiter.pause(bucket, Scope::All, Duration::from_secs(3_600));
        let error = limiter.admit(bucket, 0, &Meter::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert!(matches!(error.retry(), Retry::After(wait) if wait >= backoff::LONGEST_REQUESTED));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_refills_on_the_clock_that_waits_are_measured_by() {
        const SLOW: Bucket = Bucket { name: "slow", per_second: 1, burst: 1 };
        let limiter = RateLimiter::new(&[SLOW], 1, Duration::from_secs(300)).unwrap();
        let real = std::time::Instant::now();
        for (request, seconds) in [(0, 0), (1, 1), (2, 1)] {
            assert_eq!(held(&limiter, "slow").await.as_millis().div_ceil(1_000), seconds, "request {request}");
        }
        limiter.update_quotas(&[Quota { name: "points", limit: 60, left: 1, period: Duration::from_secs(60) }]);
        sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        drop(limiter.admit(limiter.bucket("slow").unwrap(), 5, &Meter::default()).await.unwrap());
        assert!((2_000..=4_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        assert!(real.elapsed() < Duration::from_secs(1), "nobody waited for real time");
    }

    #[test]
    fn rates_of_zero_are_refused_and_an_unknown_bucket_is_named() {
        assert!(RateLimiter::new(&[FAST], 0, Duration::MAX).is_err());
        assert!(RateLimiter::new(&[Bucket { name: "no", per_second: 0, burst: 1 }], 1, Duration::MAX).is_err());
        let Err(error) = limiter(1).bucket("typo").map(|_| ()) else { panic!("an unknown bucket was found") };
        assert_eq!(error.context("bucket"), Some("typo"));
    }
}
