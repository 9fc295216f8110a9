//! Lengths of time as people write them: `15m`, `400d`, `1h30m`, `500ms`.

use std::time::Duration;

/// What [`parse`] accepts, for the JSON Schema.
pub const PATTERN: &str = r"^([0-9]+(ms|s|m|h|d|w))+$";

/// Milliseconds of each unit. Months and years are left out on purpose: they have no fixed length.
const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// About 292 years: what still fits signed nanoseconds.
const LONGEST: u64 = 9_223_372_036_854;

/// Reads one or more numbers with their units.
///
/// # Errors
/// A fragment that says how to write it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("is empty: write a length of time such as 15m or 400d".to_owned());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
        let (Ok(number), Some(scale)) = (number.parse::<u64>(), scale) else { return Err(malformed(text)) };
        total = number.checked_mul(scale).and_then(|part| total.checked_add(part)).unwrap_or(u64::MAX);
        rest = tail;
    }
    if total > LONGEST { Err(format!("`{text}` is longer than 292 years")) } else { Ok(Duration::from_millis(total)) }
}

fn malformed(text: &str) -> String {
    format!("`{text}` is not a length of time: write a whole number and ms, s, m, h, d or w, such as 15m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("60s", 60_000),
            ("2m", 120_000),
            ("6h", 21_600_000),
            ("400d", 34_560_000_000),
            ("1w", 604_800_000),
            ("1h30m", 5_400_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_number_with_a_unit() {
        for text in ["", "15", "m", "15 m", "-1d", "1.5h", "1y", "15M", "1h30", "9999999999999999999999s", "٣s"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("300000w"), Err("`300000w` is longer than 292 years".to_owned()));
    }
}
