//! When a request may go: the buckets, the pauses we were told to make, and the number of requests in flight.
//!
//! Pauses use tokio's clock, so tests can turn it; the buckets use governor's own.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota as Rate};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};

use super::quota::{Pools, Quota};
use super::{Bucket, Scope, stats::Meter};
use crate::model::error::{Error, ErrorKind, Result, Retry};

/// The gate of one session. Dropping a future that waits in it gives everything back.
pub(super) struct RateLimiter {
    lanes: Vec<BucketLimiter>,
    all: Pause,
    pools: Pools,
    permits: Semaphore,
    max_wait: Duration,
}

/// One bucket: its limiter, and the pause it was told to make.
pub(super) struct BucketLimiter {
    name: &'static str,
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
    /// Held while waiting for the limiter, because tokio's mutex is fair and governor's waiters are not.
    turn: tokio::sync::Mutex<()>,
    pause: Pause,
}

/// A moment before which nothing may go. It only ever moves later.
#[derive(Default)]
struct Pause(Mutex<Option<Instant>>);

impl Pause {
    fn extend(&self, until: Instant) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = (*held).max(Some(until));
    }

    fn until(&self) -> Option<Instant> {
        let held = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.filter(|until| *until > Instant::now())
    }
}

impl RateLimiter {
    /// A gate with these buckets; a rate or a number in flight of zero would never let anything pass and is refused.
    pub(super) fn new(buckets: &[Bucket], in_flight: usize, max_wait: Duration) -> Result<Self> {
        if in_flight == 0 {
            return Err(Error::new(ErrorKind::Internal, "no request may be in flight"));
        }
        let lanes = buckets.iter().map(BucketLimiter::new).collect::<Result<_>>()?;
        Ok(Self { lanes, all: Pause::default(), pools: Pools::default(), permits: Semaphore::new(in_flight), max_wait })
    }

    /// The bucket of this name; an unknown one is a mistake in the connector.
    pub(super) fn lane(&self, name: &str) -> Result<&BucketLimiter> {
        let unknown = || Error::new(ErrorKind::Internal, "no such bucket").with("bucket", name);
        self.lanes.iter().find(|lane| lane.name == name).ok_or_else(unknown)
    }

    /// Waits until a request of this bucket and price may go. The permit is kept until its answer has been read.
    pub(super) async fn admit(&self, lane: &BucketLimiter, points: u32, meter: &Meter) -> Result<SemaphorePermit<'_>> {
        self.sit_out(lane, meter).await?;
        lane.pace(meter).await;
        self.afford(points, meter).await?;
        loop {
            let closed = |error| Error::new(ErrorKind::Internal, "the session is closed").caused_by(error);
            let permit = self.permits.acquire().await.map_err(closed)?;
            if self.paused_until(lane).is_none() {
                return Ok(permit);
            }
            drop(permit);
            self.sit_out(lane, meter).await?;
        }
    }

    /// Takes what an answer told of the vendor's quotas.
    pub(super) fn told(&self, quotas: &[Quota]) {
        if !quotas.is_empty() {
            self.pools.told(quotas);
        }
    }

    /// Waits until the vendor's quotas have room for a request, or fails at once when that takes longer than we have patience
    /// for.
    async fn afford(&self, points: u32, meter: &Meter) -> Result<()> {
        while let Err(wait) = self.pools.take(points) {
            if wait > self.max_wait {
                return Err(too_long(wait));
            }
            meter.pacing(wait);
            sleep(wait).await;
        }
        Ok(())
    }

    /// Holds back everything in `scope` for at least `wait` from now.
    pub(super) fn pause(&self, lane: &BucketLimiter, scope: Scope, wait: Duration) {
        let until = Instant::now() + wait.min(LONGEST_PAUSE);
        match scope {
            Scope::All => self.all.extend(until),
            Scope::Bucket => lane.pause.extend(until),
        }
    }

    fn paused_until(&self, lane: &BucketLimiter) -> Option<Instant> {
        self.all.until().max(lane.pause.until())
    }

    /// Waits for the pauses to end, or fails at once when that takes longer than we have patience for.
    async fn sit_out(&self, lane: &BucketLimiter, meter: &Meter) -> Result<()> {
        while let Some(until) = self.paused_until(lane) {
            let left = until.saturating_duration_since(Instant::now());
            if left > self.max_wait {
                return Err(too_long(left));
            }
            meter.waiting(left);
            sleep_until(until).await;
        }
        Ok(())
    }
}

/// The longest pause. Sessions live as long as the process: a wrong `Retry-After` must not stop a source for good, so the
/// vendor is asked again after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// We were told to wait longer than we are willing to: the caller keeps its checkpoint and comes back then.
pub(super) fn too_long(wait: Duration) -> Error {
    Error::new(ErrorKind::RateLimited, "told to wait longer than is worth it")
        .with_retry(Retry::After(wait))
        .with("wait_seconds", wait.as_secs())
}

impl BucketLimiter {
    fn new(bucket: &Bucket) -> Result<Self> {
        let positive = |rate| {
            NonZeroU32::new(rate)
                .ok_or_else(|| Error::new(ErrorKind::Internal, "a bucket without a rate").with("bucket", bucket.name))
        };
        let quota = Rate::per_second(positive(bucket.per_second)?).allow_burst(positive(bucket.burst)?);
        Ok(Self {
            name: bucket.name,
            limiter: DefaultDirectRateLimiter::direct(quota),
            clock: DefaultClock::default(),
            turn: tokio::sync::Mutex::default(),
            pause: Pause::default(),
        })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Waits until the bucket holds a token, and takes it.
    async fn pace(&self, meter: &Meter) {
        let _turn = self.turn.lock().await;
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

    fn gate(in_flight: usize) -> RateLimiter {
        RateLimiter::new(&[FAST, OTHER], in_flight, Duration::from_secs(300)).unwrap()
    }

    /// How long a request of this bucket is held back, on tokio's clock.
    async fn held(gate: &RateLimiter, bucket: &str) -> Duration {
        let start = Instant::now();
        drop(gate.admit(gate.lane(bucket).unwrap(), 0, &Meter::default()).await.unwrap());
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_pause_leaves_the_others_alone_and_a_session_pause_does_not() {
        let gate = gate(4);
        gate.pause(gate.lane("fast").unwrap(), Scope::Bucket, Duration::from_secs(60));
        assert_eq!(held(&gate, "other").await.as_secs(), 0);
        assert_eq!(held(&gate, "fast").await.as_secs(), 60);
        gate.pause(gate.lane("fast").unwrap(), Scope::All, Duration::from_secs(30));
        assert_eq!(held(&gate, "other").await.as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_only_moves_later() {
        let gate = gate(4);
        let lane = gate.lane("fast").unwrap();
        gate.pause(lane, Scope::Bucket, Duration::from_secs(60));
        gate.pause(lane, Scope::Bucket, Duration::from_secs(1));
        assert_eq!(held(&gate, "fast").await.as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_begins_while_waiting_for_a_permit_counts_too() {
        let gate = gate(1);
        let lane = gate.lane("fast").unwrap();
        let first = gate.admit(lane, 0, &Meter::default()).await.unwrap();
        let release = async {
            sleep(Duration::from_secs(5)).await;
            gate.pause(lane, Scope::All, Duration::from_secs(20));
            drop(first);
        };
        let (waited, ()) = tokio::join!(held(&gate, "fast"), release);
        assert_eq!(waited.as_secs(), 25);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_beyond_patience_fails_at_once_and_says_until_when() {
        let gate = gate(4);
        let lane = gate.lane("fast").unwrap();
        gate.pause(lane, Scope::All, Duration::MAX);
        gate.pause(lane, Scope::All, Duration::from_secs(3_600));
        let error = gate.admit(lane, 0, &Meter::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert!(matches!(error.retry(), Retry::After(wait) if wait <= LONGEST_PAUSE));
    }

    #[test]
    fn nonsense_is_refused_and_an_unknown_bucket_is_named() {
        assert!(RateLimiter::new(&[FAST], 0, Duration::MAX).is_err());
        assert!(RateLimiter::new(&[Bucket { name: "no", per_second: 0, burst: 1 }], 1, Duration::MAX).is_err());
        let Err(error) = gate(1).lane("typo").map(|_| ()) else { panic!("an unknown bucket was found") };
        assert_eq!(error.context("bucket"), Some("typo"));
    }
}
