//! How long to wait: after a failure 1 s to 5 min, and 10 min between looks without a reason. Both vary, so that what failed
//! together is not tried together.

use std::time::Duration;

use rand::Rng as _;

const SHORTEST: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
pub(crate) const LONGEST: Duration = Duration::from_secs(300);
const REGULAR: Duration = Duration::from_secs(600);

/// How long to wait after this many failures in a row.
pub(crate) fn delay(attempts: u32) -> Duration {
    let doubled = SHORTEST.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX).max(1));
    varied(doubled.min(LONGEST), 0.2).min(LONGEST)
}

/// How long to wait for the next look at everything.
pub(crate) fn regular() -> Duration {
    varied(REGULAR, 0.1)
}

fn varied(mean: Duration, share: f64) -> Duration {
    mean.mul_f64(rand::rng().random_range(1.0 - share..=1.0 + share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        for (attempts, seconds) in [(1, 1.0), (2, 2.0), (5, 16.0), (9, 256.0), (10, 300.0), (40, 300.0)] {
            let found = delay(attempts).as_secs_f64();
            assert!(found >= seconds * 0.79 && found <= (seconds * 1.21_f64).min(300.0), "{attempts}: {found}");
        }
        let regular = regular().as_secs();
        assert!((540..=660).contains(&regular), "{regular}");
    }
}
