//! Numbers in lines: rounded to four decimals, and without a fraction where they have none, so that every language writes
//! the same text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Larger numbers are no exact integers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Rounded to four decimals.
pub(super) fn rounded(number: f64) -> f64 {
    let scaled = (number * 10_000.0).round() / 10_000.0;
    if scaled.is_finite() { scaled } else { number }
}

/// Writes a number as it is, without `.0`.
pub(super) fn write<S: Serializer>(number: f64, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_possible_truncation, reason = "it is integral and below 2^53")]
    if number.fract() == 0.0 && number.abs() < EXACT {
        serializer.serialize_i64(number as i64)
    } else {
        serializer.serialize_f64(number)
    }
}

/// A number that is always there.
pub(super) mod plain {
    use super::{Deserialize, Deserializer, Serializer, rounded, write};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field")]
    pub(in super::super) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        write(rounded(*number), serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        f64::deserialize(deserializer)
    }
}

/// A number that may be left out.
pub(crate) mod optional {
    use super::{Deserialize, Deserializer, Serialize, Serializer, rounded, write};

    #[expect(clippy::ref_option, reason = "serde passes the field")]
    pub(crate) fn serialize<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        match number {
            Some(number) => write(rounded(*number), serializer),
            None => number.serialize(serializer),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Option::deserialize(deserializer)
    }
}

/// A number that may be left out or `null`.
pub(super) mod given {
    use super::{Deserialize, Deserializer, Serializer, optional};

    #[expect(clippy::ref_option, clippy::option_option, reason = "serde passes the field; absent is not null")]
    pub(in super::super) fn serialize<S: Serializer>(
        number: &Option<Option<f64>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        optional::serialize(&number.flatten(), serializer)
    }

    #[expect(clippy::option_option, reason = "absent is not null")]
    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<f64>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}
