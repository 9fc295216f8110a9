//! Values that calls take: attributes, and points in time.

use std::time::{SystemTime, UNIX_EPOCH};

use contextcore_model::Millis;
use contextcore_model::operation::Scalar;

/// The value of an attribute: a text, a number or a boolean.
#[derive(Debug, Clone, PartialEq)]
pub struct Value(pub(crate) Scalar);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self(Scalar::Text(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self(Scalar::Text(text))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self(Scalar::Flag(flag))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self(Scalar::Number(number))
    }
}

impl From<f32> for Value {
    fn from(number: f32) -> Self {
        Self(Scalar::Number(f64::from(number)))
    }
}

/// Numbers up to here are exact in JSON.
const EXACT: i64 = 1 << 53;

impl From<i64> for Value {
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 nothing is lost, and greater numbers become texts")]
    fn from(number: i64) -> Self {
        let exact = (-EXACT..=EXACT).contains(&number);
        Self(if exact { Scalar::Number(number as f64) } else { Scalar::Text(number.to_string()) })
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self(Scalar::Number(f64::from(number)))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self(Scalar::Number(f64::from(number)))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or_else(|_| Self(Scalar::Text(number.to_string())), Self::from)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

/// A day (`2026-11-26`) or a point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment(pub(crate) String);

impl From<&str> for Moment {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Moment {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        Self(millis(time).to_string())
    }
}

/// A time in milliseconds; before 1970 they are negative.
pub(crate) fn millis(time: SystemTime) -> Millis {
    let whole = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Millis(match time.duration_since(UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => -whole(before.duration()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers_that_json_cannot_hold_exactly_become_texts() {
        assert_eq!(Value::from(9_007_199_254_740_992_i64).0, Scalar::Number(9_007_199_254_740_992.0));
        assert_eq!(Value::from(9_007_199_254_740_993_i64).0, Scalar::Text("9007199254740993".into()));
        assert_eq!(Value::from(u64::MAX).0, Scalar::Text("18446744073709551615".into()));
    }

    #[test]
    fn times_are_read_to_the_millisecond() {
        assert_eq!(millis(UNIX_EPOCH + Duration::from_micros(1_500_900)), Millis(1_500));
        assert_eq!(millis(UNIX_EPOCH - Duration::from_secs(2)), Millis(-2_000));
    }
}
