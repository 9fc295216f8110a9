//! Reads from headers how long to wait and how many calls are left. Pure.
//!
//! The forms are those that vendors send: `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3), and reset
//! headers as ISO time, epoch seconds, epoch milliseconds or seconds from now. Which header applies to which answer is
//! decided in [`super::verdict`] and by the dialects.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::model::time::{Millis, SECOND};

/// Numbers from here on are epoch times (2001 in seconds); smaller ones are seconds from now.
const EPOCH_FROM: i64 = 1_000_000_000;
/// Epoch times from here on are in milliseconds.
const EPOCH_MILLIS_FROM: i64 = 100_000_000_000;

/// The headers that give the number of calls left.
const REMAINING: [&str; 3] = ["x-ratelimit-remaining", "ratelimit-remaining", "x-ratelimit-requests-remaining"];

/// A header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The wait that `Retry-After` asks for, from `now`. Zero counts as absent: some clients and gateways write 0 for "unknown".
pub fn retry_after(headers: &HeaderMap, now: Millis) -> Option<Duration> {
    parse_retry_after(text(headers, RETRY_AFTER.as_str())?, now)
}

/// The wait that a value of `Retry-After` asks for: seconds or an HTTP date. A number too large for a duration is the longest
/// one; how much of it is kept is for [`crate::backoff::requested`] to say.
pub(crate) fn parse_retry_after(value: &str, now: Millis) -> Option<Duration> {
    let value = value.trim();
    match value.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds > 0.0 => {
            Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)).filter(|wait| !wait.is_zero())
        }
        Ok(_) => None,
        Err(_) => until(http_date(value)?, now),
    }
}

/// The time from `now` to the reset in header `name`; `None` when it is absent, unreadable or past.
pub fn reset_after(headers: &HeaderMap, name: &str, now: Millis) -> Option<Duration> {
    until(parse_reset(text(headers, name)?, now)?, now)
}

/// Parses a reset: ISO time (also without seconds: `2026-03-26T16:00Z`), epoch seconds, epoch milliseconds, or a small
/// number of seconds from `now`.
pub fn parse_reset(value: &str, now: Millis) -> Option<Millis> {
    let value = value.trim();
    let Ok(number) = value.parse::<f64>() else { return Millis::parse(value).or_else(|| http_date(value)) };
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range; fractions of a second do not matter")]
    let number = (0.0..1e15).contains(&number).then_some(number.ceil() as i64)?;
    Some(match number {
        EPOCH_MILLIS_FROM.. => Millis(number),
        EPOCH_FROM.. => Millis(number * SECOND),
        _ => now.plus(number * SECOND),
    })
}

/// The number of calls left, if a header gives it. A server with a limit of 0 has limiting switched off and reports 0
/// left.
pub(super) fn remaining(headers: &HeaderMap) -> Option<u64> {
    let unlimited = text(headers, "x-ratelimit-limit") == Some("0");
    REMAINING.iter().filter(|_| !unlimited).find_map(|name| text(headers, name)?.parse().ok())
}

/// The other side's clock, to the second.
pub(super) fn server_time(headers: &HeaderMap) -> Option<Millis> {
    http_date(text(headers, DATE.as_str())?)
}

/// Parses an HTTP date in the form RFC 9110 requires; the two obsolete forms are not supported.
fn http_date(value: &str) -> Option<Millis> {
    jiff::fmt::rfc2822::parse(value).ok().map(|moment| Millis(moment.timestamp().as_millisecond()))
}

fn until(then: Millis, now: Millis) -> Option<Duration> {
    u64::try_from(then.0.saturating_sub(now.0)).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    const NOW: Millis = Millis(1_774_540_800_000); // 2026-03-26T16:00:00Z

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_zero_counts_as_absent() {
        let table = [
            ("7", Some(7_000)),
            ("1.5", Some(1_500)),
            ("Thu, 26 Mar 2026 16:00:30 GMT", Some(30_000)),
            ("Thu, 26 Mar 2026 15:59:30 GMT", None),
            ("0", None),
            ("-3", None),
            ("1e300", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("99999999999999999999999999", Some(u64::MAX)),
            ("-18446744073709551615", None),
            ("inf", None),
            ("NaN", None),
            ("", None),
            ("Thu, 31 Dec 2099 23:59:59 GMT", Some(2_327_903_999_000)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", None),
            ("Fri, 31 Dec 99999 23:59:59 GMT", None),
            ("soon", None),
        ];
        for (value, want) in table {
            let got = retry_after(&headers(&[("retry-after", value)]), NOW);
            let want = want.map(|ms| if ms == u64::MAX { Duration::MAX } else { Duration::from_millis(ms) });
            assert_eq!(got, want, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), NOW), None);
    }

    #[test]
    fn every_form_of_reset_is_parsed() {
        let table = [
            ("2026-03-26T16:01Z", Some(60_000)),
            ("2026-03-26T16:00:05.250Z", Some(5_250)),
            ("2026-03-26T16:00:05+0000", Some(5_000)),
            ("1774540860", Some(60_000)),
            ("1774540860000", Some(60_000)),
            ("60", Some(60_000)),
            ("1774540000", None),
            ("2026-03-26T15:59Z", None),
            ("0", None),
            ("-5", None),
            ("later", None),
        ];
        for (value, want) in table {
            let got = reset_after(&headers(&[("x-ratelimit-reset", value)]), "X-RateLimit-Reset", NOW);
            assert_eq!(got, want.map(Duration::from_millis), "{value}");
        }
    }

    #[test]
    fn remaining_is_unknown_when_the_limit_is_switched_off() {
        assert_eq!(remaining(&headers(&[("x-ratelimit-remaining", "17")])), Some(17));
        assert_eq!(remaining(&headers(&[("x-ratelimit-requests-remaining", "3")])), Some(3));
        assert_eq!(remaining(&headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-limit", "0")])), None);
        assert_eq!(remaining(&HeaderMap::new()), None);
    }
}
