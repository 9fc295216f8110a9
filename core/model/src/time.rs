//! Points in time.
//!
//! Times are UTC milliseconds: no tool has a finer resolution, they sort as numbers, and they print as RFC 3339 with
//! milliseconds.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01 UTC. Prints and serialises (in JSON) as RFC 3339, e.g. `2026-11-10T09:30:00.000Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub i64);

/// One second, in the unit of [`Millis`].
pub const SECOND: i64 = 1_000;
/// One minute, in the unit of [`Millis`].
pub const MINUTE: i64 = 60 * SECOND;
/// One hour, in the unit of [`Millis`].
pub const HOUR: i64 = 60 * MINUTE;
/// One day, in the unit of [`Millis`].
pub const DAY: i64 = 24 * HOUR;

impl Millis {
    /// Parses the forms that tools use: RFC 3339, and ISO 8601 with a zone without a colon (`+0800`, as Jira writes
    /// it).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
            return Some(Self(stamp.as_millisecond()));
        }
        ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z"]
            .iter()
            .find_map(|format| jiff::Timestamp::strptime(format, text).ok())
            .or_else(|| jiff::Timestamp::strptime("%Y-%m-%dT%H:%M%z", text.replace('Z', "+0000")).ok())
            .map(|stamp| Self(stamp.as_millisecond()))
    }

    /// A date (its begin in UTC) or a time.
    pub fn parse_date_or_time(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| Self::parse(&format!("{}T00:00:00Z", text.trim())))
    }

    /// Nanoseconds since 1970, as in OTLP. Times before 1970 become 1 ns, because zero means "absent" there.
    pub fn as_nanos(self) -> u64 {
        u64::try_from(self.0).ok().and_then(|ms| ms.checked_mul(1_000_000)).unwrap_or(1).max(1)
    }

    /// Whole seconds since 1970.
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(SECOND)
    }

    /// Seconds from `earlier` to this moment; negative when `earlier` is later.
    #[expect(clippy::cast_precision_loss, reason = "durations in milliseconds are far below 2^53")]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 1_000.0
    }

    /// This moment plus `ms` milliseconds.
    #[must_use]
    pub fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The UTC date it falls on, e.g. `2026-11-10`.
    pub fn date(self) -> String {
        self.timestamp().strftime("%Y-%m-%d").to_string()
    }

    /// This moment as a [`jiff::Timestamp`], clamped to what jiff can represent.
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

impl fmt::Debug for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("not a time: {text}")))
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_tools_write_are_parsed() {
        let want = Millis(1_675_325_926_199);
        for text in ["2023-02-02T16:18:46.199+0800", "2023-02-02T08:18:46.199Z", "2023-02-02T16:18:46.199+08:00"] {
            assert_eq!(Millis::parse(text), Some(want), "{text}");
        }
        assert_eq!(
            Millis::parse("2026-03-26T16:00Z").map(|t| t.to_string()).as_deref(),
            Some("2026-03-26T16:00:00.000Z")
        );
        assert_eq!(Millis::parse("yesterday"), None);
    }

    #[test]
    fn times_print_with_milliseconds() {
        assert_eq!(Millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(serde_json::to_string(&Millis(1_500)).ok().as_deref(), Some("\"1970-01-01T00:00:01.500Z\""));
    }
}
