//! The clock a fake answers by: the system's, a fixed moment, or any function.

use std::sync::Arc;

/// The time in epoch milliseconds, UTC.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::of(system_now)
    }

    /// A clock that always gives the same moment.
    pub fn fixed(at: i64) -> Self {
        Self::of(move || at)
    }

    /// A clock that asks `read`.
    pub fn of(read: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time now.
    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[expect(clippy::disallowed_methods, reason = "a fake may not depend on the core it is used to test")]
fn system_now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
