//! How long to wait before the next attempt. Pure: the caller passes the random number in.

use std::time::Duration;

/// The most that is added to a wait, as a part of it, so that several clients do not retry at the same instant.
const MAX_JITTER: f64 = 0.2;

/// The longest wait that another program can ask of us. After it we ask again, so that a wrong `Retry-After` stops nothing for
/// good.
pub(crate) const LONGEST_REQUESTED: Duration = Duration::from_secs(15 * 60);

/// How long to wait when a vendor or a backend asks for `asked`.
pub(crate) fn requested(asked: Duration) -> Duration {
    asked.min(LONGEST_REQUESTED)
}

/// The wait after failure number `failures` (from 1): `first`, doubled after each failure, at most `longest`, with jitter.
pub(crate) fn delay(first: Duration, longest: Duration, failures: u32, random: f64) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    with_jitter(first.saturating_mul(factor).min(longest), random)
}

/// `wait` and up to a fifth of it: never less than what the other side asked for. `random` is between 0 and 1.
pub(crate) fn with_jitter(wait: Duration, random: f64) -> Duration {
    wait.saturating_add(wait.mul_f64(MAX_JITTER * random.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_jitter_adds_a_fifth_at_most() {
        let (first, longest) = (Duration::from_secs(2), Duration::from_secs(300));
        let waits: Vec<u64> = (1..=9).map(|failures| delay(first, longest, failures, 0.0).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(delay(first, longest, 1, 1.0), Duration::from_millis(2_400));
        assert_eq!(delay(first, longest, 1, 7.0), Duration::from_millis(2_400));
    }

    #[test]
    fn huge_values_saturate() {
        let longest = Duration::from_secs(300);
        assert_eq!(delay(Duration::from_secs(1), longest, u32::MAX, 0.0), longest);
        assert_eq!(delay(Duration::MAX, Duration::MAX, u32::MAX, 1.0), Duration::MAX);
        assert_eq!(with_jitter(Duration::MAX, 1.0), Duration::MAX);
    }

    #[test]
    fn another_program_can_ask_for_a_quarter_of_an_hour_at_most() {
        for asked in [Duration::from_secs(901), Duration::from_secs(u64::MAX), Duration::MAX] {
            assert_eq!(requested(asked), LONGEST_REQUESTED);
        }
        assert_eq!(requested(Duration::from_secs(899)), Duration::from_secs(899));
    }
}
