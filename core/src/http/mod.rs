//! The HTTP client for vendors: one [`Session`] per source, with authentication, timeouts, a body limit, retries that
//! obey the vendor, and rate limits. No text it produces contains a secret.
//!
//! Read [`SessionConfig`], [`Session`] and [`Dialect`] first. The decisions are pure and have files of their own:
//! [`verdict`] (what an answer means), [`limits`] (how long to wait), [`redact`] (what may be printed). Core names no
//! vendor: each connector describes its vendor's habits in a [`Dialect`]. The meaning of the data, and paging, are left
//! to the connectors.
//!
//! - Every call only reads, so a POST is retried like a GET.
//! - Dropping a call's future stops the call; nothing runs in the background.
//! - An error says what the caller should do: [`crate::Retry::After`] when the vendor asks for a longer wait than
//!   [`SessionConfig::max_wait`], `Backoff` when the tries are used up, `Never` when a person has to act.

mod client;
pub mod limits;
pub mod local;
mod quota;
mod rate_limiter;
pub mod redact;
pub mod service;
mod stats;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
mod transfer;
pub mod verdict;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::HeaderName;
use reqwest::{Client, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{debug, info};

pub use quota::{POINTS, Quota, REQUESTS};
pub use stats::Stats;
pub use verdict::{Answer, Dialect, PlainDialect, Scope, Verdict, default_verdict};

use crate::model::error::{Error, Result, Retry};
use crate::model::secret::Secret;
use crate::{backoff, lock};
use client::Credential;
use rate_limiter::{BucketLimiter, RateLimiter};
use stats::Meter;
use transfer::{AttemptError, Call};

/// How often a truncated or unreadable answer is requested before it is accepted as such.
const TORN_TRIES: u32 = 3;
/// The longest wait between two tries when the vendor does not ask for one.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// How often an address that never answered is tried: it is more likely wrong than its server restarting.
const UNREACHED_TRIES: u32 = 3;

/// The configuration of a session. `Debug` shows no secret.
#[derive(Clone)]
pub struct SessionConfig {
    /// The base address of every request; a path in it is kept.
    pub base_url: String,
    /// The credential.
    pub auth: Auth,
    /// A PEM file with certificates to trust besides the platform's.
    pub tls_ca_file: Option<PathBuf>,
    /// The `User-Agent`.
    pub user_agent: String,
    /// The most time one try may take, body included.
    pub timeout: Duration,
    /// The largest body accepted, in bytes after decompression.
    pub body_cap: usize,
    /// How often one call is tried in total.
    pub tries: u32,
    /// The request rates to keep, by class of endpoint.
    pub buckets: &'static [Bucket],
    /// The vendor's habits.
    pub dialect: Arc<dyn Dialect>,
    /// How many requests may be in flight at once.
    pub in_flight: usize,
    /// The longest single wait accepted before a call fails with [`crate::ErrorKind::RateLimited`].
    pub max_wait: Duration,
    /// The first wait when the vendor does not ask for one. It doubles up to five minutes.
    pub backoff_base: Duration,
}

impl SessionConfig {
    /// The usual settings: 30 s per try, 64 MiB, 8 tries, 4 in flight, waits of at most 5 min, backoff from 2 s.
    pub fn new(
        base_url: impl Into<String>,
        auth: Auth,
        buckets: &'static [Bucket],
        dialect: impl Dialect + 'static,
    ) -> Self {
        Self {
            base_url: base_url.into(),
            auth,
            tls_ca_file: None,
            user_agent: concat!("contextcore/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeout: Duration::from_secs(30),
            body_cap: 64 << 20,
            tries: 8,
            buckets,
            dialect: Arc::new(dialect),
            in_flight: 4,
            max_wait: Duration::from_secs(300),
            backoff_base: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionConfig")
            .field("base_url", &redact::excerpt(&self.base_url))
            .field("auth", &self.auth)
            .field("tls_ca_file", &self.tls_ca_file)
            .field("timeout", &self.timeout)
            .field("body_cap", &self.body_cap)
            .field("tries", &self.tries)
            .field("buckets", &self.buckets)
            .field("in_flight", &self.in_flight)
            .field("max_wait", &self.max_wait)
            .field("backoff_base", &self.backoff_base)
            .finish_non_exhaustive()
    }
}

/// A credential. `Debug` shows its kind, not the secret.
#[derive(Debug, Clone)]
pub enum Auth {
    /// None: public data, or a fake.
    None,
    /// `Authorization: Basic`.
    Basic {
        /// The user, often an e-mail address.
        user: String,
        /// The password or API token.
        password: Secret,
    },
    /// `Authorization: Bearer`.
    Bearer(Secret),
    /// A header with the secret as its value.
    Header {
        /// The header's name.
        name: HeaderName,
        /// The header's value.
        value: Secret,
    },
}

/// A class of endpoints with its own rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The name by which calls choose it.
    pub name: &'static str,
    /// Steady requests per second.
    pub per_second: u32,
    /// Requests that may be sent at once after a pause.
    pub burst: u32,
}

/// How often one call may be tried in total, for a caller that acts sooner than the session gives up: after three
/// server errors a smaller page may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries(pub u32);

/// A connection to one vendor with one credential. Share it by reference: up to [`SessionConfig::in_flight`] calls run
/// concurrently.
pub struct Session {
    client: Client,
    base: Url,
    dialect: Arc<dyn Dialect>,
    credential: Mutex<Arc<Credential>>,
    limiter: RateLimiter,
    meter: Meter,
    /// Whether the server ever answered.
    reached: AtomicBool,
    body_cap: usize,
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
            client: client::build(&config, &base)?,
            base,
            credential: Mutex::new(Arc::new(Credential::new(&config.auth)?)),
            limiter: RateLimiter::new(config.buckets, config.in_flight, config.max_wait)?,
            meter: Meter::default(),
            reached: AtomicBool::new(false),
            dialect: config.dialect,
            body_cap: config.body_cap,
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
        let fresh = Arc::new(Credential::new(auth)?);
        *lock(&self.credential) = fresh;
        Ok(())
    }

    fn credential(&self) -> Arc<Credential> {
        lock(&self.credential).clone()
    }

    /// Reads JSON from `path` under the base address.
    ///
    /// # Errors
    /// By the status ([`default_verdict`]) and the dialect. The context holds `path`, `status` (when there was an
    /// answer) and `tries` (when they are used up).
    pub async fn get<T: DeserializeOwned>(
        &self,
        bucket: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T> {
        self.run(bucket, &Call::get(&self.base, path, query)?, self.tries).await
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
    /// vendor's answers ([`Dialect::quotas`]) has enough left.
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

    /// What the session has done so far.
    pub fn stats(&self) -> Stats {
        self.meter.stats()
    }

    async fn run<T: DeserializeOwned>(&self, bucket: &'static str, call: &Call, tries: u32) -> Result<T> {
        let bucket = self.limiter.bucket(bucket)?;
        let mut failures = Failures::default();
        loop {
            let failure = match self.attempt(bucket, call).await {
                Ok(value) => return Ok(value),
                Err(AttemptError::Final(error)) => return Err(call.about(error)),
                Err(AttemptError::Again(failure)) => failure,
            };
            let plan = failures.plan(failure, tries, self);
            plan.hold(&self.limiter, bucket);
            match plan.next {
                Next::GiveUp(error) => return Err(call.about(error)),
                Next::Wait(wait) => self.wait(call, wait, plan.pause.is_none()).await,
            }
        }
    }

    /// Waits for the next try. A pause of the bucket or the session is waited for in the limiter, where it applies to
    /// all calls.
    async fn wait(&self, call: &Call, wait: Duration, here: bool) {
        debug!(path = call.path(), wait_ms = wait.as_millis(), "retrying");
        self.meter.retry();
        if here {
            self.meter.waiting(wait);
            tokio::time::sleep(wait).await;
        }
    }
}

/// The failures of one call so far.
#[derive(Default)]
struct Failures {
    all: u32,
    torn: u32,
}

/// What to do after a failure.
struct Plan {
    /// Which requests to hold back, and for how long.
    pause: Option<(Scope, Duration)>,
    next: Next,
}

enum Next {
    Wait(Duration),
    GiveUp(Error),
}

impl Failures {
    /// Counts one more failure and decides what comes next.
    fn plan(&mut self, failure: transfer::Again, tries: u32, session: &Session) -> Plan {
        self.all += 1;
        self.torn += u32::from(failure.torn);
        let random = rand::random::<f64>();
        let wait = match failure.after {
            Some(asked) => backoff::with_jitter(asked, random).min(asked.max(session.max_wait)),
            None => backoff::delay(session.backoff_base, BACKOFF_MAX, self.all, random).min(session.max_wait),
        };
        let unreached = failure.unreached && !session.reached.load(Ordering::Relaxed);
        let tries = if unreached { tries.min(UNREACHED_TRIES) } else { tries };
        let pause = failure.scope.map(|scope| (scope, wait));
        let next = match failure.after {
            Some(asked) if asked > session.max_wait => Next::GiveUp(failure.beyond_max_wait(asked, session.max_wait)),
            asked if self.all >= tries || self.torn >= TORN_TRIES => {
                let retry = asked.map_or(Retry::Backoff, Retry::After);
                Next::GiveUp(failure.error.with_retry(retry).with("tries", self.all))
            }
            _ => Next::Wait(wait),
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
