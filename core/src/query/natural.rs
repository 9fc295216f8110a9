//! The order people expect of keys: `PROJ-9` before `PROJ-10`.

use std::cmp::Ordering;

/// Compares texts with runs of digits taken as numbers. Texts that differ only in leading zeros keep the order of their bytes.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    let (mut a, mut b) = (left, right);
    while !a.is_empty() && !b.is_empty() {
        let (part_a, rest_a) = next_part(a);
        let (part_b, rest_b) = next_part(b);
        let order = compare_parts(part_a, part_b);
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    a.len().cmp(&b.len()).then_with(|| left.cmp(right))
}

/// The leading run of digits, or of anything else.
fn next_part(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

fn compare_parts(a: &str, b: &str) -> Ordering {
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if is_number(a) && is_number(b) {
        let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
        return a.len().cmp(&b.len()).then_with(|| a.cmp(b));
    }
    a.cmp(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_inside_keys_sort_as_numbers() {
        let mut keys = vec!["PROJ-10", "OPS-2", "PROJ-9", "PROJ-9a", "acme/shop#100", "acme/shop#99", "PROJ-009"];
        keys.sort_by(|a, b| compare(a, b));
        assert_eq!(keys, ["OPS-2", "PROJ-009", "PROJ-9", "PROJ-9a", "PROJ-10", "acme/shop#99", "acme/shop#100"]);
    }

    #[test]
    fn numbers_too_long_for_any_integer_still_compare() {
        assert_eq!(compare("A-99999999999999999999999", "A-100000000000000000000000"), Ordering::Less);
    }
}
