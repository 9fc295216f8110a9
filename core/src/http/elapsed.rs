//! The clock of the rate limits: tokio's, the same that all waits are measured by. Where it is paused, as in tests and simulations,
//! a limit refills when time is moved on; on a clock of its own it would be asked without end until real time has passed.

use std::time::Duration;

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use tokio::time::Instant;

/// A limiter on this clock.
pub(super) type Limiter = RateLimiter<NotKeyed, InMemoryState, Elapsed, NoOpMiddleware<Duration>>;

/// Time since it was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elapsed(Instant);

impl Elapsed {
    /// A clock that begins now.
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Elapsed {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
