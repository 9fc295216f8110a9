//! Numbers and times as text for people.

use contextcore_core::Millis;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A length of time in its two largest units: `3d 4h`, `12m`, `45s`.
#[expect(clippy::cast_possible_truncation, reason = "durations of work are far below 2^63 seconds")]
pub(crate) fn duration(seconds: f64) -> String {
    let seconds = (seconds.max(0.0).round()) as i64;
    let two = |large: i64, unit: &str, small: i64, below: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit} {small}{below}"),
    };
    match seconds {
        DAY.. => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
        HOUR.. => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "m"),
        MINUTE.. => two(seconds / MINUTE, "m", seconds % MINUTE, "s"),
        _ => format!("{seconds}s"),
    }
}

/// A moment to the second: `2026-11-10 09:30:00Z`.
pub(crate) fn moment(at: Millis) -> String {
    at.timestamp().strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A moment and how long ago it was.
pub(crate) fn ago(at: Millis, now: Millis) -> String {
    let seconds = now.seconds_since(at);
    if seconds < 0.0 {
        return format!("{} (in {})", moment(at), duration(-seconds));
    }
    format!("{} ({} ago)", moment(at), duration(seconds))
}

/// A whole number in groups of three: `1,204`.
pub(crate) fn count(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// Points without superfluous decimals: `5`, `2.5`.
pub(crate) fn points(points: f64) -> String {
    let rounded = (points * 100.0).round() / 100.0;
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

/// Bytes in a unit that keeps the number short: `12.3 MiB`.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(crate) fn bytes(number: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut place = 0;
    while value >= 1024.0 && place < units.len() - 1 {
        value /= 1024.0;
        place += 1;
    }
    if place == 0 { format!("{number} B") } else { format!("{value:.1} {}", units[place]) }
}

/// `1 record`, `2 records`.
pub(crate) fn plural(number: u64, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {one}{s}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_two_units() {
        let shown = [0.4, 59.0, 61.0, 3_600.0, 3.0 * 86_400.0 + 4.0 * 3_600.0 + 59.0].map(duration);
        assert_eq!(shown, ["0s", "59s", "1m 1s", "1h", "3d 4h"]);
    }

    #[test]
    fn numbers_are_grouped_and_points_are_short() {
        assert_eq!([count(7), count(1_204), count(1_000_000), count(-45_678)], ["7", "1,204", "1,000,000", "-45,678"]);
        assert_eq!([points(5.0), points(2.5), points(1.0 / 3.0), points(-0.0)], ["5", "2.5", "0.33", "0"]);
        assert_eq!([bytes(512), bytes(12_897_485)], ["512 B", "12.3 MiB"]);
    }

    #[test]
    fn a_future_moment_is_not_ago() {
        assert_eq!(ago(Millis(0), Millis(90_000)), "1970-01-01 00:00:00Z (1m 30s ago)");
        assert_eq!(ago(Millis(90_000), Millis(0)), "1970-01-01 00:01:30Z (in 1m 30s)");
    }
}
