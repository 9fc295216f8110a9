//! Moments on the command line: RFC 3339, a date (its first moment, UTC), or a distance from now such as `30d`.

use contextcore_core::Millis;
use contextcore_core::model::time::{DAY, HOUR, MINUTE};

use crate::failure::Failure;

/// A moment that is past: a distance is an age.
pub(crate) fn past(text: &str, now: Millis) -> Result<Millis, Failure> {
    moment(text, now, -1)
}

/// A moment that is to come.
pub(crate) fn future(text: &str, now: Millis) -> Result<Millis, Failure> {
    moment(text, now, 1)
}

fn moment(text: &str, now: Millis, sign: i64) -> Result<Millis, Failure> {
    let date = || Millis::parse(&format!("{text}T00:00:00Z"));
    let distance = || distance(text).map(|distance| now.plus(sign * distance));
    Millis::parse(text).or_else(date).or_else(distance).ok_or_else(|| {
        let message =
            format!("`{text}` is not a time: write 2026-11-10, 2026-11-10T09:30:00Z, or a time span such as 30d");
        Failure::usage(message)
    })
}

/// A length of time in milliseconds.
fn distance(text: &str) -> Option<i64> {
    let place = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(place);
    let unit = match unit {
        "w" => 7 * DAY,
        "d" => DAY,
        "h" => HOUR,
        "m" => MINUTE,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_time_can_be_written_in_three_ways() {
        let now = fixture::NOW;
        let read = |text| past(text, now).map(|at| at.to_string());
        assert_eq!(read("2026-11-10T09:30:00Z").unwrap(), "2026-11-10T09:30:00.000Z");
        assert_eq!(read("2026-11-10").unwrap(), "2026-11-10T00:00:00.000Z");
        assert_eq!(read("36h").unwrap(), now.plus(-36 * 3_600_000).to_string());
        for wrong in ["yesterday", "30", "d", "-3d", "99999999999999999d"] {
            assert!(read(wrong).unwrap_err().lines[0].contains("30d"), "{wrong}");
        }
        assert_eq!(future("36h", now).unwrap(), now.plus(36 * HOUR));
    }
}
