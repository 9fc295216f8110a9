//! Durations as Go and Prometheus write them.

/// Seconds of `87600h0m0s`, `5y`, `15d`, `1h30m` or `0s`; a bare number is seconds, and an empty text is zero. `None` for
/// anything else.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let whole: u64 = number.split('.').next()?.parse().ok()?;
        let unit = match unit {
            "y" => 31_536_000,
            "w" => 604_800,
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            "s" => 1,
            "ms" => 0,
            "" if total == 0 => 1,
            _ => return None,
        };
        total = total.checked_add(whole.checked_mul(unit)?)?;
        rest = after;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_and_prometheus_are_read() {
        let table = [
            ("87600h0m0s", 315_360_000),
            ("2m0s", 120),
            ("1h30m", 5_400),
            ("1.5h", 3_600),
            ("5m", 300),
            ("5m0s", 300),
            ("0s", 0),
            ("5y", 157_680_000),
            ("15d", 1_296_000),
            ("100ms", 0),
            ("0", 0),
            ("", 0),
        ];
        for (text, want) in table {
            assert_eq!(seconds(text), Some(want), "{text}");
        }
        for wrong in ["soon", "5x", "h", "5m3", "99999999999999999999y"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
