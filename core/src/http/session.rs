//! A session with one vendor: calls, their retries, and the pauses that its answers ask for.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::info;

use super::client;
use super::config::{Auth, SessionConfig, Tries};
use super::observer::{self, Retrying};
use super::rate_limiter::{BucketLimiter, RateLimiter};
use super::stats::Stats;
use super::transfer::{Again, AttemptError, Call, Transfer};
use super::verdict::Scope;
use crate::backoff;
use crate::model::error::{Error, ErrorKind, Result, Retry};

/// How often a truncated or unreadable answer is requested before it is accepted as such.
const TORN_TRIES: u32 = 3;

/// The longest wait between two tries when the vendor does not ask for one.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// How often a call is tried that the server fails over while it serves others.
const ALONE_TRIES: u32 = 5;

/// For so long before its first failure another call may have been served.
const ALONE_WITHIN: Duration = Duration::from_secs(60);

/// How often an address that never answered is tried: it is more likely wrong than its server restarting.
const UNREACHED_TRIES: u32 = 3;

/// A connection to one vendor with one credential. Share it by reference: up to [`SessionConfig::in_flight`] calls run
/// concurrently.
pub struct Session {
    base: Url,
    transfer: Transfer,
    tries: u32,
    max_wait: Duration,
    backoff_base: Duration,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("base", &self.base.as_str())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session. Sends nothing yet.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for an unusable address, CA file or secret; [`crate::ErrorKind::Internal`] for a
    /// bucket without a rate.
    pub fn new(config: SessionConfig) -> Result<Self> {
        let base = client::base(&config.base_url)?;
        Ok(Self {
            transfer: Transfer::new(&config, &base)?,
            base,
            tries: config.tries,
            max_wait: config.max_wait,
            backoff_base: config.backoff_base,
        })
    }

    /// Replaces the credential, for those that expire within hours. Calls in flight keep the one they started with.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for a secret that cannot be a header value.
    pub fn authorize(&self, auth: &Auth) -> Result<()> {
        self.transfer.authorize(auth)
    }

    /// Reads JSON from `path` under the base address.
    ///
    /// # Errors
    /// By the status ([`default_verdict`](super::default_verdict)) and the dialect. The context holds `path`, `status` (when there was an
    /// answer) and `tries` (when they are used up).
    pub async fn get<T: DeserializeOwned>(
        &self,
        bucket: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T> {
        self.run(bucket, &Call::get(&self.base, path, query)?, self.tries).await
    }

    /// As [`Session::get`] with fewer tries (never more than the session's).
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn get_with<T: DeserializeOwned>(
        &self,
        bucket: &'static str,
        path: &str,
        query: &[(&str, &str)],
        tries: Tries,
    ) -> Result<T> {
        self.run(bucket, &Call::get(&self.base, path, query)?, tries.0.min(self.tries)).await
    }

    /// As [`Session::get_with`], for a list that cannot be asked for in smaller parts: values that are no JSON (`NaN`, a raw
    /// control character) are read as nothing, instead of costing the whole list.
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn get_mended<T: DeserializeOwned>(
        &self,
        bucket: &'static str,
        path: &str,
        query: &[(&str, &str)],
        tries: Tries,
    ) -> Result<T> {
        self.run(bucket, &Call::get(&self.base, path, query)?.mended(), tries.0.min(self.tries)).await
    }

    /// Sends `body` as JSON and reads JSON, for searches and GraphQL.
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        bucket: &'static str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        self.run(bucket, &Call::post(&self.base, path, body)?, self.tries).await
    }

    /// As [`Session::post`] with fewer tries (never more than the session's), for a caller that requests a smaller page
    /// on [`crate::ErrorKind::Unavailable`].
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn post_with<T: DeserializeOwned>(
        &self,
        bucket: &'static str,
        path: &str,
        body: &impl Serialize,
        tries: Tries,
    ) -> Result<T> {
        self.run(bucket, &Call::post(&self.base, path, body)?, tries.0.min(self.tries)).await
    }

    /// As [`Session::post_with`], for a vendor that charges points: the request waits until the quota of points in the
    /// vendor's answers ([`Dialect::quotas`](super::Dialect::quotas)) has enough left.
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn post_priced<T: DeserializeOwned>(
        &self,
        bucket: &'static str,
        path: &str,
        body: &impl Serialize,
        tries: Tries,
        points: u32,
    ) -> Result<T> {
        let call = Call::post(&self.base, path, body)?.priced(points);
        self.run(bucket, &call, tries.0.min(self.tries)).await
    }

    /// As [`Session::post_priced`], for a list that cannot be asked for in smaller parts ([`Session::get_mended`]).
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn post_mended<T: DeserializeOwned>(
        &self,
        bucket: &'static str,
        path: &str,
        body: &impl Serialize,
        tries: Tries,
        points: u32,
    ) -> Result<T> {
        let call = Call::post(&self.base, path, body)?.priced(points).mended();
        self.run(bucket, &call, tries.0.min(self.tries)).await
    }

    /// What the session has done so far.
    pub fn stats(&self) -> Stats {
        self.transfer.meter.stats()
    }

    async fn run<T: DeserializeOwned>(&self, bucket: &'static str, call: &Call, tries: u32) -> Result<T> {
        let bucket = self.transfer.limiter.bucket(bucket)?;
        let mut failures = Failures::default();
        loop {
            let failure = match self.transfer.attempt(bucket, call).await {
                Ok(value) => return Ok(value),
                Err(AttemptError::Final(error)) => return Err(call.about(error)),
                Err(AttemptError::Again(failure)) => failure,
            };
            let plan = failures.plan(failure, tries, self);
            plan.hold(&self.transfer.limiter, bucket);
            match plan.next {
                Next::GiveUp(error) => return Err(call.about(error)),
                Next::Wait(retrying) => self.wait(call, &retrying, plan.pause.is_none()).await,
            }
        }
    }

    /// How often a call is tried that fails so: less often where waiting is of little use.
    fn tries_for(&self, failure: &Again, since: Instant) -> u32 {
        let answered = failure.error.context("status").is_some() && failure.error.kind() == ErrorKind::Unavailable;
        if failure.unreached && !self.transfer.is_reached() {
            return UNREACHED_TRIES;
        }
        match answered && failure.after.is_none() && self.transfer.has_served_since(since.checked_sub(ALONE_WITHIN)) {
            true => ALONE_TRIES,
            false => u32::MAX,
        }
    }

    /// Waits for the next try. A pause of the bucket or the session is waited for in the limiter, where it applies to
    /// all calls.
    async fn wait(&self, call: &Call, retrying: &Retrying, here: bool) {
        info!(path = call.path(), "{retrying}");
        observer::report(retrying);
        self.transfer.meter.retry();
        if here {
            self.transfer.meter.waiting(retrying.wait);
            tokio::time::sleep(retrying.wait).await;
        }
    }
}

/// The failures of one call so far.
#[derive(Default)]
struct Failures {
    all: u32,
    /// Those that are no rate limit: a caller that asks for few tries does not mean those.
    failed: u32,
    torn: u32,
    since: Option<Instant>,
}

/// What to do after a failure.
struct Plan {
    /// Which requests to hold back, and for how long.
    pause: Option<(Scope, Duration)>,
    next: Next,
}

enum Next {
    Wait(Retrying),
    GiveUp(Error),
}

impl Failures {
    /// Counts one more failure and decides what comes next.
    fn plan(&mut self, failure: Again, tries: u32, session: &Session) -> Plan {
        self.all += 1;
        self.failed += u32::from(failure.error.kind() != ErrorKind::RateLimited);
        self.torn += u32::from(failure.torn);
        let since = *self.since.get_or_insert_with(Instant::now);
        let random = rand::random::<f64>();
        let wait = match failure.after {
            Some(asked) => backoff::requested(backoff::with_jitter(asked, random).min(asked.max(session.max_wait))),
            None => backoff::delay(session.backoff_base, BACKOFF_MAX, self.all, random).min(session.max_wait),
        };
        let tries = tries.min(session.tries_for(&failure, since));
        let pause = failure.scope.map(|scope| (scope, wait));
        let next = match failure.after {
            Some(asked) if asked > session.max_wait => Next::GiveUp(failure.beyond_max_wait(asked, session.max_wait)),
            asked if self.all >= session.tries || self.failed >= tries || self.torn >= TORN_TRIES => {
                let retry = asked.map_or(Retry::Backoff, Retry::After);
                Next::GiveUp(failure.error.with_retry(retry).with("tries", self.all))
            }
            _ => Next::Wait(Retrying {
                reason: failure.reason(),
                kind: failure.error.kind(),
                retry: self.all,
                of: tries.saturating_sub(1),
                wait,
            }),
        };
        Plan { pause, next }
    }
}

impl Plan {
    fn hold(&self, limiter: &RateLimiter, bucket: &BucketLimiter) {
        if let Some((scope, wait)) = self.pause {
            info!(bucket = bucket.name(), ?scope, wait_ms = wait.as_millis(), "rate limited");
            limiter.pause(bucket, scope, wait);
        }
    }
}
