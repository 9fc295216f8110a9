//! Escaping, by destination. Whatever a person wrote passes through here exactly once on its way into another language, so that
//! no name, risk or channel can become part of a query, a collector's configuration or a template.

/// Inside double quotes in PromQL.
#[must_use]
pub(crate) fn promql(text: &str) -> String {
    quoted(text)
}

/// The name of a label in PromQL, which Prometheus 3 takes in quotes where it is no plain word.
#[must_use]
pub(crate) fn label_name(name: &str) -> String {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_plain = name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit());
    if is_plain { name.to_owned() } else { format!("\"{}\"", promql(name)) }
}

/// A text that a regular expression (RE2) shall match literally. It still has to be quoted.
#[must_use]
pub(crate) fn regex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A text literal of OTTL, quotes included, as it stands in the configuration of a collector: there `$` begins a reference to an
/// environment variable.
#[must_use]
pub(crate) fn ottl(text: &str) -> String {
    collector(&format!("\"{}\"", quoted(text)))
}

/// Text in the configuration of a collector.
#[must_use]
pub(crate) fn collector(text: &str) -> String {
    text.replace('$', "$$")
}

/// Text in a template of Prometheus (annotations and labels of alerts), which begins an action at `{{`.
#[must_use]
pub(crate) fn template(text: &str) -> String {
    text.replace("{{", r#"{{"{{"}}"#)
}

/// The replacement of a relabelling, where `$1` is a group.
#[must_use]
pub(crate) fn replacement(text: &str) -> String {
    text.replace('$', "$$")
}

/// A part of a web address, or a value in `OTEL_RESOURCE_ATTRIBUTES`: everything else is percent-encoded.
#[must_use]
pub(crate) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What Go reads as this text between double quotes, which is how PromQL and OTTL read theirs.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str(r"\\"),
            '"' => out.push_str(r#"\""#),
            '\n' => out.push_str(r"\n"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!(r"\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use promql_parser::parser::{self, Expr};
    use proptest::prelude::*;

    use super::*;

    /// Texts with all that means something to one of the destinations.
    fn hostile() -> impl Strategy<Value = String> {
        let parts = prop_oneof![
            "[a-z]{0,3}",
            Just("\"".to_owned()),
            Just("\\".to_owned()),
            Just("'".to_owned()),
            Just("`".to_owned()),
            Just("\n".to_owned()),
            Just("\r\u{0}\u{7f}".to_owned()),
            Just("${env:HOME}".to_owned()),
            Just("$1".to_owned()),
            Just("{{ query `up` }}".to_owned()),
            Just("{{{".to_owned()),
            Just("}}".to_owned()),
            Just("\" or true or \"a\" == \"a".to_owned()),
            Just(",a=b".to_owned()),
            Just(".*|(x)[y]{2}^$+?".to_owned()),
            Just("\u{85}\u{2028}é漢".to_owned()),
            any::<char>().prop_map(String::from),
        ];
        proptest::collection::vec(parts, 0..8).prop_map(|parts| parts.concat())
    }

    /// As `strconv.Unquote` of Go reads the inside of a quoted text.
    fn go_unquote(text: &str) -> Option<String> {
        let (mut out, mut chars) = (String::new(), text.chars());
        while let Some(c) = chars.next() {
            match c {
                '"' | '\n' => return None,
                '\\' => match chars.next()? {
                    '\\' => out.push('\\'),
                    '"' => out.push('"'),
                    'n' => out.push('\n'),
                    'u' => {
                        let digits: String = chars.by_ref().take(4).collect();
                        out.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                    }
                    _ => return None,
                },
                c => out.push(c),
            }
        }
        Some(out)
    }

    /// As the collector reads `$$` and refuses or expands every other `$`.
    fn collector_expand(text: &str) -> Option<String> {
        let (mut out, mut chars) = (String::new(), text.chars());
        while let Some(c) = chars.next() {
            if c == '$' && chars.next()? != '$' {
                return None;
            }
            out.push(c);
        }
        Some(out)
    }

    /// As Go's `text/template` reads a text whose only action may be the constant `"{{"`.
    fn template_expand(text: &str) -> Option<String> {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(at) = rest.find("{{") {
            out.push_str(&rest[..at]);
            rest = rest[at..].strip_prefix("{{\"{{\"}}")?;
            out.push_str("{{");
        }
        Some(out + rest)
    }

    fn percent_decode(text: &str) -> Option<String> {
        let (mut out, mut bytes) = (Vec::new(), text.bytes());
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                out.push(byte);
                continue;
            }
            let pair = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        }
        String::from_utf8(out).ok()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn promql_reads_the_same_text_and_nothing_else(text in hostile()) {
            prop_assert_eq!(go_unquote(&promql(&text)), Some(text.clone()));
            let parsed = parser::parse(&format!("up{{a=\"{}\",b=\"c\"}}", promql(&text)));
            let Ok(Expr::VectorSelector(selector)) = parsed else { panic!("{text:?}: {parsed:?}") };
            prop_assert_eq!(selector.matchers.matchers.len(), 2);
        }

        #[test]
        fn a_regex_matches_the_text_and_only_it(text in hostile(), other in hostile()) {
            let regex = ::regex::Regex::new(&format!("(?s)^(?:{})$", regex(&text))).unwrap();
            prop_assert!(regex.is_match(&text));
            prop_assert_eq!(regex.is_match(&other), text == other);
        }

        #[test]
        fn ottl_reads_the_same_text_after_the_collector_did(text in hostile()) {
            let expanded = collector_expand(&ottl(&text)).unwrap();
            let inside = expanded.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            prop_assert_eq!(go_unquote(inside), Some(text));
        }

        #[test]
        fn the_collector_expands_nothing(text in hostile()) {
            prop_assert_eq!(collector_expand(&collector(&text)), Some(text));
        }

        #[test]
        fn a_template_has_no_action_of_the_writer(text in hostile()) {
            prop_assert_eq!(template_expand(&template(&text)), Some(text));
        }

        #[test]
        fn a_replacement_names_no_group(text in hostile()) {
            prop_assert_eq!(collector_expand(&replacement(&text)), Some(text));
        }

        #[test]
        fn percent_encoding_leaves_only_what_separates_nothing(text in hostile()) {
            let encoded = percent(&text);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
            prop_assert_eq!(percent_decode(&encoded), Some(text));
        }
    }
}
