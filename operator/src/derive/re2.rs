//! Regular expressions as Prometheus reads them (RE2, by Go), of which the parser knows only what Rust reads. An expression that the
//! two would read differently is refused, too: nobody would see which requests count.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassSet, ClassSetItem, ClassUnicodeKind, Flag, Flags, FlagsItemKind, GroupKind,
    HexLiteralKind, LiteralKind, RepetitionKind, RepetitionRange,
};

/// As often may a part be repeated, with the repetitions around it.
const MOST_REPEATS: u32 = 1000;
/// Classes of Unicode that both know by these names.
const CLASSES: [&str; 52] = [
    "L",
    "Lu",
    "Ll",
    "Lt",
    "Lm",
    "Lo",
    "M",
    "Mn",
    "Mc",
    "Me",
    "N",
    "Nd",
    "Nl",
    "No",
    "P",
    "Pc",
    "Pd",
    "Ps",
    "Pe",
    "Pi",
    "Pf",
    "Po",
    "S",
    "Sm",
    "Sc",
    "Sk",
    "So",
    "Z",
    "Zs",
    "Zl",
    "Zp",
    "C",
    "Cc",
    "Cf",
    "Co",
    "Arabic",
    "Armenian",
    "Bengali",
    "Cyrillic",
    "Devanagari",
    "Georgian",
    "Greek",
    "Han",
    "Hangul",
    "Hebrew",
    "Hiragana",
    "Katakana",
    "Latin",
    "Tamil",
    "Telugu",
    "Thai",
    "Tibetan",
];

/// # Errors
/// What Prometheus does not read, as a fragment.
pub(super) fn check(text: &str) -> Result<(), String> {
    let ast = Parser::new().parse(&with_literal_braces(text)).map_err(|error| error.kind().to_string())?;
    part(&ast, 1)
}

/// A brace that begins no repetition is a character to Go and an error, or a repetition, to Rust.
fn with_literal_braces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '\\' => escape(rest),
            '{' => counted(rest).unwrap_or_else(|| {
                out.push('\\');
                1
            }),
            other => other.len_utf8(),
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// The length of an escape, such as `\{` or `\x{61}`.
fn escape(text: &str) -> usize {
    let Some(kind) = text[1..].chars().next() else { return 1 };
    let length = 1 + kind.len_utf8();
    match text[length..].find('}') {
        Some(end) if "xpPuU".contains(kind) && text[length..].starts_with('{') => length + end + 1,
        _ => length,
    }
}

/// The length of `{2}`, `{2,}` or `{2,3}`.
fn counted(text: &str) -> Option<usize> {
    let inside = &text[1..text.find('}')?];
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!least.is_empty() && is_number(least) && is_number(most)).then(|| inside.len() + 2)
}

/// A part that is repeated so often by what is around it.
fn part(ast: &Ast, times: u32) -> Result<(), String> {
    match ast {
        Ast::Empty(_) | Ast::Dot(_) | Ast::ClassPerl(_) => Ok(()),
        Ast::Flags(set) => flags(&set.flags),
        Ast::Literal(one) => literal(&one.kind, one.c),
        Ast::Assertion(assertion) => match assertion.kind {
            AssertionKind::StartLine
            | AssertionKind::EndLine
            | AssertionKind::StartText
            | AssertionKind::EndText
            | AssertionKind::WordBoundary
            | AssertionKind::NotWordBoundary => Ok(()),
            _ => Err("has an assertion that RE2 does not have".to_owned()),
        },
        Ast::ClassUnicode(class) => unicode(&class.kind),
        Ast::ClassBracketed(class) => set(&class.kind),
        Ast::Repetition(repetition) => {
            if matches!(*repetition.ast, Ast::Repetition(_)) {
                return Err("repeats a repetition: put the inner one into (?:…)".to_owned());
            }
            let times = times.saturating_mul(most(&repetition.op.kind).max(1));
            if times > MOST_REPEATS {
                return Err(format!("repeats something more than {MOST_REPEATS} times"));
            }
            part(&repetition.ast, times)
        }
        Ast::Group(group) => {
            match &group.kind {
                GroupKind::CaptureName { name, .. } if !is_word(&name.name) => {
                    return Err(format!("has a group called {}: write letters, digits and _", name.name));
                }
                GroupKind::NonCapturing(own) => flags(own)?,
                _ => {}
            }
            part(&group.ast, times)
        }
        Ast::Alternation(all) => all.asts.iter().try_for_each(|one| part(one, times)),
        Ast::Concat(all) => all.asts.iter().try_for_each(|one| part(one, times)),
    }
}

fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn most(kind: &RepetitionKind) -> u32 {
    match kind {
        RepetitionKind::Range(
            RepetitionRange::Exactly(times) | RepetitionRange::AtLeast(times) | RepetitionRange::Bounded(_, times),
        ) => *times,
        _ => 1,
    }
}

fn flags(flags: &Flags) -> Result<(), String> {
    let is_known = |kind: &FlagsItemKind| match kind {
        FlagsItemKind::Negation => true,
        FlagsItemKind::Flag(flag) => {
            matches!(flag, Flag::CaseInsensitive | Flag::MultiLine | Flag::DotMatchesNewLine | Flag::SwapGreed)
        }
    };
    if flags.items.iter().all(|item| is_known(&item.kind)) {
        return Ok(());
    }
    Err("has a flag that RE2 does not have: it has i, m, s and U".to_owned())
}

fn literal(kind: &LiteralKind, c: char) -> Result<(), String> {
    match kind {
        LiteralKind::HexFixed(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
        | LiteralKind::HexBrace(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong) => {
            Err(format!("has an escape that RE2 does not have: write \\x{{{:x}}}", u32::from(c)))
        }
        LiteralKind::Meta | LiteralKind::Superfluous if !c.is_ascii() => {
            Err(format!("has an escape that RE2 does not have: write {c} without \\"))
        }
        _ => Ok(()),
    }
}

fn unicode(kind: &ClassUnicodeKind) -> Result<(), String> {
    let name = match kind {
        ClassUnicodeKind::OneLetter(letter) => letter.to_string(),
        ClassUnicodeKind::Named(name) => name.clone(),
        ClassUnicodeKind::NamedValue { name, value, .. } => format!("{name}={value}"),
    };
    if CLASSES.contains(&name.as_str()) {
        return Ok(());
    }
    Err(format!("has the class \\p{{{name}}}, which RE2 may not know: write its characters as ranges"))
}

fn set(set: &ClassSet) -> Result<(), String> {
    let ClassSet::Item(item) = set else {
        return Err("has &&, -- or ~~ in a class, which RE2 reads as characters: escape them with \\".to_owned());
    };
    match item {
        ClassSetItem::Empty(_) | ClassSetItem::Ascii(_) | ClassSetItem::Perl(_) => Ok(()),
        ClassSetItem::Literal(one) => literal(&one.kind, one.c),
        ClassSetItem::Range(range) => {
            literal(&range.start.kind, range.start.c)?;
            literal(&range.end.kind, range.end.c)
        }
        ClassSetItem::Unicode(class) => unicode(&class.kind),
        ClassSetItem::Bracketed(_) => {
            Err("has a class within a class, which RE2 reads as characters: escape [ with \\".to_owned())
        }
        ClassSetItem::Union(union) => union.items.iter().try_for_each(|item| self::set(&ClassSet::Item(item.clone()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What promtool 3.15 takes.
    #[test]
    fn what_prometheus_reads_is_taken() {
        for text in [
            "",
            "a|b.*",
            "5..",
            "(?i)get|POST",
            "/users/{id}",
            "{,5}",
            "a{ 5 }",
            "a{2,5}?",
            "(a{20}){50}",
            r"\x{61}\x61",
            r"\pL\p{Greek}\P{Lu}",
            "[[:alpha:]_-]",
            "[^a-z{}]",
            r"\!\-\{",
            "(?P<n>a)(?<m>b)",
            "]",
            r"^\Aa\b\z$",
            r"\d\s\W",
            "a.b-c",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    /// What it refuses, or reads as something else.
    #[test]
    fn what_it_does_not_read_is_refused() {
        for text in [
            "b{1001}",
            r"\u0061",
            r"\u{61}",
            r"\U00000061",
            "a**",
            "a{2}{3}",
            "(a{100}){100}",
            "(?x)a",
            "(?u:a)",
            r"\p{Emoji}",
            r"\p{Script=Greek}",
            r"\p{greek}",
            r"\<a",
            "(?P<n.b>a)",
            "[a&&b]",
            "[a[b]]",
            "(",
            "[z-a]",
            r"a\",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
