//! Where a query stops being PromQL. The parser says what is wrong and not where, so the longest beginning is looked for that something
//! could still follow. And what the parser takes that a Prometheus as it is installed does not.

use std::convert::Infallible;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

use super::re2;

/// Functions that Prometheus has only behind a feature flag, or not at all (3.15: `not enabled`, `unknown function`).
const NOT_ENABLED: [&str; 18] = [
    "double_exponential_smoothing",
    "end",
    "histogram_quantiles",
    "info",
    "integral",
    "mad_over_time",
    "max_of",
    "min_of",
    "range",
    "sort_by_label",
    "sort_by_label_desc",
    "start",
    "start_timestamp",
    "step",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];
/// Aggregations of which the same is true.
const NOT_ENABLED_AGGREGATIONS: [&str; 2] = ["limitk", "limit_ratio"];
/// Functions whose last argument is a regular expression.
const WITH_REGEX: &str = "label_replace";

/// # Errors
/// What in a query a Prometheus as it is installed refuses, as a fragment after the name of its field.
pub(super) fn check_enabled(expr: &Expr, query: &str) -> Result<(), String> {
    let mut found = Enabled { query, wrong: None };
    let _ = walk_expr(&mut found, expr);
    found.wrong.map_or(Ok(()), Err)
}

/// # Errors
/// What is wrong with a matcher, as a fragment.
pub(super) fn matcher(matcher: &Matcher) -> Result<(), String> {
    if matcher.name.is_empty() {
        return Err("a label has no name".to_owned());
    }
    if !matches!(matcher.op, MatchOp::Re(_) | MatchOp::NotRe(_)) {
        return Ok(());
    }
    regex(&matcher.value)
}

fn regex(text: &str) -> Result<(), String> {
    re2::check(text).map_err(|error| format!("the regular expression \"{text}\" {error}"))
}

/// The metrics that a query names; none when it finds some by a pattern.
pub(super) fn metrics(expr: &Expr) -> Vec<String> {
    let mut found = Metrics { names: Vec::new(), is_complete: true };
    let _ = walk_expr(&mut found, expr);
    if found.is_complete { found.names } else { Vec::new() }
}

fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match expr {
        Expr::VectorSelector(selector) => Some(selector),
        Expr::MatrixSelector(matrix) => Some(&matrix.vs),
        _ => None,
    }
}

struct Metrics {
    names: Vec<String>,
    is_complete: bool,
}

impl ExprVisitor for Metrics {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        if let Some(selector) = selector(expr) {
            let matchers = &selector.matchers.matchers;
            let by_label = matchers.iter().find(|matcher| matcher.name == "__name__" && matcher.op == MatchOp::Equal);
            match selector.name.clone().or_else(|| by_label.map(|matcher| matcher.value.clone())) {
                Some(name) if self.names.contains(&name) => {}
                Some(name) => self.names.push(name),
                None => self.is_complete = false,
            }
        }
        Ok(true)
    }
}

/// The first thing in a query that is not enabled.
struct Enabled<'a> {
    query: &'a str,
    wrong: Option<String>,
}

impl Enabled<'_> {
    fn of(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Call(call) if NOT_ENABLED.contains(&call.func.name) => Some(self.not_enabled(call.func.name)),
            Expr::Call(call) if call.func.name == WITH_REGEX => match call.args.args.last().map(AsRef::as_ref) {
                Some(Expr::StringLiteral(text)) => {
                    regex(&text.val).err().map(|error| format!("is not PromQL: {error}"))
                }
                _ => None,
            },
            Expr::Aggregate(aggregate) => {
                let name = aggregate.op.to_string();
                NOT_ENABLED_AGGREGATIONS.contains(&name.as_str()).then(|| self.not_enabled(&name))
            }
            Expr::Binary(binary) => {
                let fill = binary.modifier.as_ref().map(|modifier| &modifier.fill_values)?;
                let is_filled = fill.lhs.is_some() || fill.rhs.is_some();
                is_filled.then(|| self.not_enabled("fill"))
            }
            other => {
                let matchers = &selector(other)?.matchers;
                let mut all = matchers.matchers.iter().chain(matchers.or_matchers.iter().flatten());
                let wrong = all.find_map(|one| matcher(one).err());
                wrong.map(|error| format!("is not PromQL: {error}"))
            }
        }
    }

    fn not_enabled(&self, name: &str) -> String {
        let place = in_words(self.query, word(self.query, name));
        format!("uses {name}, which Prometheus has only behind a feature flag, if at all, {place}: write it without")
    }
}

impl ExprVisitor for Enabled<'_> {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        if self.wrong.is_none() {
            self.wrong = self.of(expr);
        }
        Ok(self.wrong.is_none())
    }
}

/// The byte at which a word stands, outside of texts and comments.
fn word(query: &str, word: &str) -> usize {
    let (mut quote, mut begun, mut is_escaped) = (None, None, false);
    for (at, c) in query.char_indices().chain([(query.len(), ' ')]) {
        let is_word = quote.is_none() && (c.is_alphanumeric() || c == '_' || c == ':');
        match begun {
            Some(from) if !is_word => {
                if query[from..at].eq_ignore_ascii_case(word) {
                    return from;
                }
                begun = None;
            }
            None if is_word => begun = Some(at),
            _ => {}
        }
        quote = match (quote, c) {
            (Some('#'), '\n') => None,
            (Some(open), c) if open == c && open != '#' && !is_escaped => None,
            (None, '"' | '\'' | '`' | '#') => Some(c),
            (same, _) => same,
        };
        is_escaped = c == '\\' && !is_escaped && matches!(quote, Some('"' | '\''));
    }
    0
}

/// What could follow a beginning, before its open brackets are closed.
const NEXT: [&str; 10] = ["", " x", " 1", "[5m]", " x[5m]", "(x)", "(x)(x)", " 5m", "=\"x\"", "\"x\""];

/// The place of an error in a query that is not PromQL, in words: a character, counted from 1, and what is there.
pub(super) fn place(query: &str) -> String {
    in_words(query, first_wrong(query))
}

/// The same for matchers between braces, in the text that has them: `inside` begins at this byte of it. What is parsed has other
/// characters around them.
pub(super) fn place_of_matchers(text: &str, start: usize, inside: &str) -> String {
    const BEFORE: &str = "x{";
    let at = first_wrong(&format!("{BEFORE}{inside}\n}}")).saturating_sub(BEFORE.len());
    in_words(text, start + at.min(inside.len()))
}

/// The byte at which something stands that cannot follow; the length when something is missing at the end.
fn first_wrong(query: &str) -> usize {
    let good = ends(query).into_iter().rev().find(|end| goes_on(&query[..*end])).unwrap_or(0);
    query.len() - query[good..].trim_start().len()
}

fn in_words(text: &str, at: usize) -> String {
    let rest = text[at..].trim_start();
    if rest.is_empty() {
        return "at its end".to_owned();
    }
    let at = text[..text.len() - rest.len()].chars().count() + 1;
    let token: String = rest[..ends(rest).first().copied().unwrap_or(rest.len())].chars().take(20).collect();
    format!("at character {at}, `{token}`")
}

/// Where words, numbers and signs end.
fn ends(text: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '.';
    let mut ends = Vec::new();
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        let next = text[end..].chars().next();
        if !(is_word(c) && next.is_some_and(is_word)) {
            ends.push(end);
        }
    }
    ends
}

/// Whether anything that follows would make PromQL of it.
fn goes_on(beginning: &str) -> bool {
    let Some((quote, open)) = open_brackets(beginning) else { return false };
    let close: String = open.chars().rev().collect();
    // A function may want a range of what is in braces.
    let closes = [close.clone(), close.replace('}', "}[5m]")];
    let parses =
        |next: &str| closes.iter().any(|close| parser::parse(&format!("{beginning}{quote}{next}{close}")).is_ok());
    NEXT.iter().any(|next| parses(next))
}

/// The quote that is open, and the brackets that would close those before. `None`: one closes that nothing opened.
fn open_brackets(text: &str) -> Option<(String, String)> {
    let (mut open, mut quote) = (String::new(), None);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some('"' | '\''), '\\') => drop(characters.next()),
            (Some(begun), c) if begun == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '(') => open.push(')'),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ')' | ']' | '}') if open.pop() != Some(c) => return None,
            _ => {}
        }
    }
    Some((quote.map(String::from).unwrap_or_default(), open))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_where_nothing_could_follow() {
        let mut found = Vec::new();
        for (query, wanted) in [
            ("sum(rate(x[5m])", "at its end"),
            ("sum(rate(x[5m])) +", "at its end"),
            ("rate(x{a=\"b}[5m])", "at its end"),
            ("sum(rate(x[5m])))", "at character 17, `)`"),
            ("sum(rate(x{a=b}[5m]))", "at character 14, `b`"),
            ("sum(rte(x[5m]))", "at character 8, `(`"),
            ("sum by rate(x[5m])", "at character 8, `rate`"),
            ("sum(rate(x[5m])) § 1", "at character 18, `§`"),
            ("rate(x)", "at character 7, `)`"),
            ("rate(x[5m] offset)", "at character 18, `)`"),
            ("ü(", "at character 1, `ü`"),
            ("sum(rate(x[5 m]))", "at character 14, `m`"),
            (")", "at character 1, `)`"),
        ] {
            assert!(parser::parse(query).is_err(), "{query}");
            found.push((query, place(query), wanted));
        }
        found.retain(|(_, found, wanted)| found != wanted);
        assert_eq!(found, []);
    }

    fn refused(query: &str) -> Option<String> {
        check_enabled(&parser::parse(query).unwrap(), query).err()
    }

    #[test]
    fn what_is_behind_a_flag_is_refused_where_it_stands() {
        for (query, wanted) in [
            ("mad_over_time(x[5m])", "uses mad_over_time"),
            ("sum(sort_by_label(rate(x[5m]), \"a\"))", "at character 5, `sort_by_label`"),
            ("sum(rate(x{a=\"info \\\" info\"}[5m])) # info\n + info(rate(x[5m]))", "at character 46, `info`"),
            ("LIMITK(1, rate(x[5m]))", "at character 1, `LIMITK`"),
            ("limit_ratio(0.5, rate(x[5m]))", "uses limit_ratio"),
            ("double_exponential_smoothing(x[5m], 0.5, 0.5)", "uses double_exponential_smoothing"),
            ("rate(x[5m]) + fill(0) rate(y[5m])", "at character 15, `fill`"),
            ("rate(x{a=~\"b{1001}\"}[5m])", "the regular expression \"b{1001}\" repeats"),
            ("sum(x{a!~\"\\\\u0061\"})", "write \\x{61}"),
            ("label_replace(rate(x[5m]), \"a\", \"$1\", \"b\", \"(?x)c\")", "has a flag"),
        ] {
            let found = refused(query).unwrap_or_default();
            assert!(found.contains(wanted), "{query}: {found}");
        }
        for query in
            ["rate(info[5m])", "sum by (end) (rate(x{start=\"a\"}[5m]))", "first_over_time(x[5m])", "x{a=~\"/{id}\"}"]
        {
            assert_eq!(refused(query), None, "{query}");
        }
    }

    #[test]
    fn the_metrics_of_a_query_are_those_it_names() {
        let of = |query: &str| metrics(&parser::parse(query).unwrap());
        assert_eq!(of("sum(rate(a{x=\"y\"}[5m])) + rate(b[5m]) + a"), ["a", "b"]);
        assert_eq!(of("rate({__name__=\"c.d\"}[5m])"), ["c.d"]);
        assert_eq!(of("rate(a[5m]) + rate({__name__=~\"b.*\"}[5m])"), Vec::<String>::new());
    }

    #[test]
    fn an_error_in_matchers_is_where_it_is_written() {
        let mut found = Vec::new();
        for (text, start, inside, wanted) in [
            ("{a=b}", 1, "a=b", "at character 4, `b`"),
            (" {ü=\"x\"}", 2, "ü=\"x\"", "at character 3, `ü`"),
            ("a=\"b\", c", 0, "a=\"b\", c", "at its end"),
            ("{a=\"b\", c}", 1, "a=\"b\", c", "at character 10, `}`"),
            ("{a=\"b}", 1, "a=\"b", "at character 6, `}`"),
            ("a=\"b\"} or vector(1", 0, "a=\"b\"} or vector(1", "at its end"),
        ] {
            found.push((text, place_of_matchers(text, start, inside), wanted));
        }
        found.retain(|(_, found, wanted)| found != wanted);
        assert_eq!(found, []);
    }
}
