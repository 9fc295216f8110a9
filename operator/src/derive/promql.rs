//! Where a query stops being PromQL. The parser says what is wrong and not where, so the longest beginning is looked for that something
//! could still follow.

use promql_parser::parser;

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
