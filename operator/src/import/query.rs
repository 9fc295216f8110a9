//! Queries of others, so that each window can be put into them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use promql_parser::parser::{self, Expr};
use regex::Regex;

/// What a window is called in a context.
const WINDOW: &str = "{{window}}";
/// What it is called by Sloth and in OpenSLO.
static PLACEHOLDER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{\{\s*\.?\s*window\s*\}\}").ok());

/// A query over `{{window}}`. A query with one fixed range gets it in its place, and the selector of a counter becomes a rate.
///
/// # Errors
/// What to write instead.
pub(super) fn over_window(text: &str, is_counter: bool) -> Result<String, String> {
    let text = text.trim();
    let named = PLACEHOLDER.as_ref().map_or_else(|| text.into(), |found| found.replace_all(text, WINDOW));
    if named.contains(WINDOW) {
        return Ok(named.into_owned());
    }
    let ranges = ranges(text);
    let lengths: BTreeSet<&str> = ranges.iter().map(|(start, end)| text[*start..*end].trim()).collect();
    if lengths.len() == 1 && !lengths.iter().any(|length| length.contains(':')) {
        return Ok(with_window(text, &ranges));
    }
    if ranges.is_empty()
        && is_counter
        && let Some(rate) = rate(text)
    {
        return Ok(rate);
    }
    Err("must be over a window: write it as in sum(rate(requests_total[{{.window}}]))".to_owned())
}

/// What is left of `total` without `good`. Where nothing good was ever seen, everything is bad.
pub(super) fn remainder(total: &str, good: &str) -> String {
    format!("clamp_min((\nsum(\n{total}\n)\n) - (\nsum(\n{good}\n) or 0 * sum(\n{total}\n)\n), 0)")
}

/// Where ranges are written, without their brackets. Brackets in texts and comments are none.
fn ranges(text: &str) -> Vec<(usize, usize)> {
    let (mut found, mut start, mut quote, mut escaped, mut comment) = (Vec::new(), None, None, false, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if comment => comment = c != '\n',
            (Some(_), _) if escaped => escaped = false,
            (Some(open), '\\') => escaped = open != '`',
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '#') => comment = true,
            (None, '[') => start = Some(at + 1),
            (None, ']') => found.extend(start.take().map(|start| (start, at))),
            (None, _) => {}
        }
    }
    found
}

fn with_window(text: &str, ranges: &[(usize, usize)]) -> String {
    let (mut result, mut from) = (String::new(), 0);
    for (start, end) in ranges {
        result.push_str(&text[from..*start]);
        result.push_str(WINDOW);
        from = *end;
    }
    result + &text[from..]
}

/// The rate of a counter that is selected, or of a sum of it.
fn rate(text: &str) -> Option<String> {
    let mut expression = parser::parse(text).ok()?;
    loop {
        expression = match expression {
            Expr::Paren(inner) => *inner.expr,
            Expr::Aggregate(sum) if sum.op.to_string() == "sum" => *sum.expr,
            Expr::VectorSelector(selector) => return Some(format!("sum(rate({selector}[{WINDOW}]))")),
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_others_become_ours() {
        for (theirs, ours) in [
            ("sum(rate(x[{{.window}}]))", "sum(rate(x[{{window}}]))"),
            (
                "sum(rate(x[{{ .window }}])) + sum(rate(y[{{window}}]))",
                "sum(rate(x[{{window}}])) + sum(rate(y[{{window}}]))",
            ),
            ("sum(rate(x{a=\"[5m]\"}[5m]))", "sum(rate(x{a=\"[5m]\"}[{{window}}]))"),
            ("sum(rate(x[5m])) / sum(rate(y[ 5m ]))", "sum(rate(x[{{window}}])) / sum(rate(y[{{window}}]))"),
            ("rate(x[5m]) # as in [1h]", "rate(x[{{window}}]) # as in [1h]"),
        ] {
            assert_eq!(over_window(theirs, false).unwrap(), ours, "{theirs}");
        }
    }

    #[test]
    fn a_counter_becomes_a_rate_and_what_has_no_window_is_refused() {
        assert_eq!(over_window("x_total{a=\"b\"}", true).unwrap(), "sum(rate(x_total{a=\"b\"}[{{window}}]))");
        assert_eq!(over_window("(sum(x_total))", true).unwrap(), "sum(rate(x_total[{{window}}]))");
        for bad in ["rate(x[5m]) + rate(y[1h])", "max_over_time(x[1h:5m])", "avg(x)", "sum(", ""] {
            assert!(over_window(bad, true).unwrap_err().contains("{{.window}}"), "{bad}");
        }
        assert!(over_window("x_total", false).is_err());
    }
}
