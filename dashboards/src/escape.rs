//! Escaping, by destination: texts that people wrote, on their way into a dashboard. Grafana puts variables into queries, panels
//! and addresses wherever it sees `$name`, `${name}` or `[[name]]`, and knows no way to write a `$` that means itself. So each
//! destination's own notation is used, in which neither `$` nor `[` occurs.

/// Inside double quotes in PromQL, LogQL or TraceQL, which read them as Go does.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str(r"\\"),
            '"' => out.push_str(r#"\""#),
            '$' | '[' => out.push_str(&format!(r"\x{:02x}", u32::from(c))),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!(r"\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// A text within Markdown, on one line: no mark-up, no HTML, no link, no variable. What has a meaning in Markdown becomes a
/// character reference, which never begins any. Characters that turn the direction of text around are left out.
#[must_use]
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    for (place, word) in words.enumerate() {
        if place > 0 {
            out.push(' ');
        }
        for c in word.chars().filter(|c| !turns_direction(*c)) {
            if c.is_ascii_punctuation() {
                out.push_str(&format!("&#{};", u32::from(c)));
            } else {
                out.push(c);
            }
        }
    }
    out
}

fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A web address as the target of a link, in Markdown or of a panel; `None` when it is no web address. Whatever ends a target,
/// begins a variable or a character reference is percent-encoded, and so is what no address has.
#[must_use]
pub fn url(text: &str) -> Option<String> {
    let scheme = text.get(..8).filter(|start| start.eq_ignore_ascii_case("https://")).map(str::len);
    let scheme =
        scheme.or_else(|| text.get(..7).filter(|start| start.eq_ignore_ascii_case("http://")).map(str::len))?;
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate().skip(scheme) {
        let is_encoded = byte == b'%'
            && text.as_bytes().get(at + 1..at + 3).is_some_and(|next| next.iter().all(u8::is_ascii_hexdigit));
        if byte.is_ascii_alphanumeric() || b"-._~:/?#@!&*+,=".contains(&byte) || is_encoded {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Some(format!("{}{out}", text[..scheme].to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use promql_parser::parser::{self, Expr};
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag};

    use super::*;

    /// Texts with all that means something to one of the destinations.
    fn hostile() -> impl Strategy<Value = String> {
        let parts = prop_oneof![
            "[a-z0-9 ]{0,4}",
            prop::sample::select(vec![
                "\"",
                "\\",
                "`",
                "'",
                "\n",
                "\r\u{0}",
                "$project",
                "${__from}",
                "[[project]]",
                "[x](https://evil.example)",
                "![i](x)",
                "<script>alert(1)</script>",
                "<img src=x onerror=y>",
                "&lt;",
                "&#36;",
                "# ",
                "- ",
                "1. ",
                "> ",
                "    ",
                "***",
                "~~~",
                "| a | b |",
                "https://evil.example",
                "www.evil.example",
                "a@b.example",
                "\" or true or \"",
                "\u{202e}",
                "\u{2028}",
                "é漢",
                "){}",
                "%24",
                "%",
                ";",
                "(",
                ")",
            ])
            .prop_map(str::to_owned),
            any::<char>().prop_map(String::from),
        ];
        proptest::collection::vec(parts, 0..8).prop_map(|parts| parts.concat())
    }

    /// Whether Grafana would put a variable in.
    fn has_variable(text: &str) -> bool {
        text.contains('$') || text.contains("[[")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn a_quoted_text_stays_one_and_names_no_variable(text in hostile()) {
            let query = format!("up{{a=\"{}\",b=\"c\"}}", quoted(&text));
            prop_assert!(!has_variable(&query), "{}", query);
            let Ok(Expr::VectorSelector(selector)) = parser::parse(&query) else { panic!("{query}") };
            prop_assert_eq!(selector.matchers.matchers.len(), 2);
            let value = &selector.matchers.matchers.iter().find(|matcher| matcher.name == "a").unwrap().value;
            prop_assert_eq!(value, &text);
        }

        #[test]
        fn markdown_shows_the_text_and_does_nothing_else(text in hostile()) {
            let escaped = markdown(&text);
            prop_assert!(!has_variable(&escaped) && !escaped.contains('<'), "{}", escaped);
            let (mut shown, mut paragraphs) = (String::new(), 0);
            for event in Parser::new_ext(&escaped, Options::all()) {
                match event {
                    Event::Text(part) => shown.push_str(&part),
                    Event::Start(Tag::Paragraph) => paragraphs += 1,
                    Event::End(_) => {}
                    other => panic!("{escaped:?}: {other:?}"),
                }
            }
            let split = |c: char| c.is_whitespace() || c.is_control();
            let words: Vec<&str> = text.split(split).filter(|word| !word.is_empty()).collect();
            let plain: String = words.join(" ").chars().filter(|c| !turns_direction(*c)).collect();
            prop_assert!(paragraphs <= 1);
            prop_assert_eq!(shown.trim(), plain.trim());
        }

        #[test]
        fn a_link_leads_where_its_address_says(text in hostile()) {
            let Some(target) = url(&format!("https://docs.example/{text}")) else { panic!("{text}") };
            prop_assert!(!has_variable(&target), "{}", target);
            let markdown = format!("[label]({target})");
            let events: Vec<Event<'_>> = Parser::new_ext(&markdown, Options::all()).collect();
            let links: Vec<&str> = events.iter().filter_map(|event| match event {
                Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.as_ref()),
                _ => None,
            }).collect();
            prop_assert_eq!(links, vec![target.as_str()]);
            prop_assert_eq!(events.len(), 5, "{:?}", events);
        }
    }

    #[test]
    fn only_web_addresses_become_links() {
        for text in ["javascript:alert(1)", "docs/adr/1.md", "data:text/html,x", "//evil.example", "http:/x", ""] {
            assert_eq!(url(text), None, "{text}");
        }
        assert_eq!(url("HTTPS://a.example/x y?q=1&r=%2F#z").unwrap(), "https://a.example/x%20y?q=1&r=%2F#z");
    }
}
