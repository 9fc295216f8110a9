//! Which moments of an [`Outcome`] are compared.

use super::Outcome;

impl Outcome {
    /// The values on the history grid only (`export.metrics.history_step` is two days here): they do not depend on
    /// when a sync ran.
    pub(crate) fn on_grid(mut self) -> Self {
        let time = |name: &str| name.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap();
        self.values.retain(|name, _| time(name) % nanos(48 * super::HOUR) == 0);
        assert!(!self.values.is_empty(), "no value is on the grid");
        self
    }

    /// The values at one moment only: those between depend on when a sync ran.
    pub(crate) fn at(mut self, moment: i64) -> Self {
        let stamp = format!("{} ", nanos(moment));
        self.values.retain(|name, _| name.starts_with(&stamp));
        assert!(!self.values.is_empty(), "no value is at {moment}");
        self
    }
}

/// Epoch nanoseconds, as in OTLP.
pub(crate) fn nanos(moment: i64) -> u64 {
    u64::try_from(moment).unwrap() * 1_000_000
}
