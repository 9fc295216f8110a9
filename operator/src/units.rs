//! Texts of the resource as numbers, and numbers as Prometheus and people write them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A percentage such as `99.95`.
#[must_use]
pub(crate) fn percent(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value| (0.0..100.0).contains(value) && *value > 0.0)
}

/// A duration such as `200ms` or `1.5s`, in seconds.
#[must_use]
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let value: f64 = match text.strip_suffix("ms") {
        Some(number) => number.parse::<f64>().ok()? / 1000.0,
        None => text.strip_suffix('s')?.parse().ok()?,
    };
    Some(value).filter(|value| *value > 0.0 && value.is_finite())
}

/// An interval such as `30s` or `2m`, in seconds.
#[must_use]
pub(crate) fn interval(text: &str) -> Option<u64> {
    let (number, factor) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s')?, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|value| *value > 0)
}

/// How long Prometheus keeps data, such as `15d`, `1y` or `1d12h`, in seconds.
#[must_use]
pub(crate) fn retention(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 6] =
        [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800), ("y", 31_536_000)];
    let (mut rest, mut sum) = (text, 0_u64);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(end);
        let (unit, seconds) = UNITS.into_iter().find(|(unit, _)| tail.starts_with(unit))?;
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds)?)?;
        rest = &tail[unit.len()..];
    }
    Some(sum).filter(|seconds| *seconds > 0)
}

/// A traffic such as `100rps` or `30rpm`, in requests per second.
#[must_use]
pub(crate) fn per_second(text: &str) -> Option<f64> {
    let value: f64 = match text.strip_suffix("rpm") {
        Some(number) => number.parse::<f64>().ok()? / 60.0,
        None => text.strip_suffix("rps")?.parse().ok()?,
    };
    Some(value).filter(|value| *value > 0.0 && value.is_finite())
}

/// A day or a point in time in UTC, in seconds since 1970. A day counts to its end.
#[must_use]
pub(crate) fn until(text: &str) -> Option<i64> {
    if text.contains('T') {
        return text.parse::<Timestamp>().ok().map(Timestamp::as_second);
    }
    let day: Date = text.parse().ok()?;
    day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_second())
}

/// A number without what binary fractions add to it: `0.0072`, not `0.007200000000000001`.
#[must_use]
pub(crate) fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.8e}").parse().unwrap_or(value);
    rounded.to_string()
}

/// A number for people, with at most three digits that matter.
#[must_use]
pub(crate) fn brief(value: f64) -> String {
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    rounded.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_may_have_several_parts() {
        assert_eq!(retention("15d"), Some(15 * 86_400));
        assert_eq!(retention("1d12h"), Some(36 * 3600));
        for wrong in ["", "d", "15", "0d", "1.5d", "15d6", "1mo", "99999999999999999999y", "999999999999y"] {
            assert_eq!(retention(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn texts_are_read_and_nonsense_is_not() {
        assert_eq!((percent("99.95"), percent("0"), percent("100"), percent("x")), (Some(99.95), None, None, None));
        assert_eq!(
            (seconds("200ms"), seconds("1.5s"), seconds("0s"), seconds("2")),
            (Some(0.2), Some(1.5), None, None)
        );
        assert_eq!(
            (interval("10s"), interval("2m"), interval("0s"), interval("1h")),
            (Some(10), Some(120), None, None)
        );
        assert_eq!((per_second("30rpm"), per_second("5rps"), per_second("0rps")), (Some(0.5), Some(5.0), None));
    }

    #[test]
    fn a_day_ends_with_it() {
        assert_eq!(until("2027-01-31"), Some(1_801_440_000));
        assert_eq!(until("2027-01-31T06:00:00Z"), Some(1_801_375_200));
        assert_eq!((until("2027-02-30"), until("soon")), (None, None));
    }

    #[test]
    fn numbers_have_no_noise() {
        assert_eq!(number(14.4 * 0.0005), "0.0072");
        assert_eq!(number(99.95 / 100.0), "0.9995");
        assert_eq!(number((100.0 - 99.95) / 100.0 * 14.4), "0.0072");
        assert_eq!(number(0.000_001_44), "0.00000144");
        assert_eq!((brief(10.714_285), brief(2.0), brief(13.44)), ("10.7".into(), "2".into(), "13.4".into()));
    }
}
