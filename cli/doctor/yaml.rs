//! The configurations that Tempo, Loki and Prometheus show of themselves: YAML as Go writes it, one `key: value` a line,
//! indented by depth. Enough of it to look single values up by their path.

use std::collections::BTreeMap;

/// Every single value by its path, e.g. `storage.trace.backend`. Lists are left out.
pub(super) fn flat(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        if key.starts_with(['-', '#']) || key.is_empty() {
            continue;
        }
        path.retain(|(above, _)| *above < depth);
        path.push((depth, key.trim_matches('"').to_owned()));
        let value = value.trim().trim_matches('"');
        if !value.is_empty() {
            let path: Vec<&str> = path.iter().map(|(_, key)| key.as_str()).collect();
            values.insert(path.join("."), value.to_owned());
        }
    }
    values
}

/// Seconds of a duration as Go and Prometheus write it: `87600h0m0s`, `5y`, `15d`, `0s`; `None` for anything else.
pub(super) fn duration(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut number = String::new();
    let mut rest = text.trim().chars().peekable();
    while let Some(c) = rest.next() {
        if c.is_ascii_digit() || c == '.' {
            number.push(c);
            continue;
        }
        let is_milli = c == 'm' && rest.peek() == Some(&'s');
        let unit = match c {
            'm' if is_milli => 0,
            'y' => 31_536_000,
            'w' => 604_800,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        if is_milli {
            rest.next();
        }
        total += std::mem::take(&mut number).split('.').next()?.parse::<u64>().ok()? * unit;
    }
    match number.as_str() {
        "" => Some(total),
        plain => (total == 0).then(|| plain.parse().ok())?,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_path() {
        let text = "storage:\n    trace:\n        wal:\n            slack: 2m0s\n        backend: local\n    list:\n        - a: 1\nother: \"x\"\n";
        let values = flat(text);
        assert_eq!(values["storage.trace.wal.slack"], "2m0s");
        assert_eq!(values["storage.trace.backend"], "local");
        assert_eq!(values["other"], "x");
        assert_eq!(values.len(), 3);
    }

    #[test]
    fn durations_are_read_as_go_and_prometheus_write_them() {
        let table =
            [("87600h0m0s", 315_360_000), ("2m0s", 120), ("0s", 0), ("5y", 157_680_000), ("15d", 1_296_000), ("0", 0)];
        for (text, seconds) in table {
            assert_eq!(duration(text), Some(seconds), "{text}");
        }
        assert_eq!(duration("100ms"), Some(0));
        assert_eq!(duration("soon"), None);
    }
}
