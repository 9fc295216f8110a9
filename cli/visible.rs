//! Text for a terminal, on which nothing acts but the program's own colours. Whatever is printed for people goes through here, so that a
//! command which forgets it prints an escape of somebody else as text all the same.

use contextcore_core::model::printable;

/// What a colour begins with.
const BEGIN: &str = "\u{1b}[";

/// One line. With `colours`, those in it keep their meaning.
pub(crate) fn line(text: &str, colours: bool) -> String {
    screened(text, colours, |part| printable::one_line(part).into_owned())
}

/// The same with its line feeds and tabs.
pub(crate) fn lines(text: &str, colours: bool) -> String {
    screened(text, colours, |part| printable::lines(part).into_owned())
}

fn screened(text: &str, colours: bool, screen: impl Fn(&str) -> String) -> String {
    if !colours {
        return screen(text);
    }
    let mut parts = text.split(BEGIN);
    let mut out = screen(parts.next().unwrap_or_default());
    for part in parts {
        let (colour, rest) = colour(part);
        out.push_str(if colour.is_empty() { "\\u{1b}[" } else { BEGIN });
        out.push_str(colour);
        out.push_str(&screen(rest));
    }
    out
}

/// The rest of a colour after its beginning, and what follows it; nothing of any other sequence, and of one that conceals.
fn colour(part: &str) -> (&str, &str) {
    let digits = part.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(part.len());
    let conceals = part[..digits].split(';').any(|code| code.trim_start_matches('0') == "8");
    match part[digits..].strip_prefix('m').filter(|_| !conceals) {
        Some(rest) => (&part[..=digits], rest),
        None => ("", part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_colours_and_nothing_else_that_acts() {
        let table = [
            ("\u{1b}[32m INFO\u{1b}[0m sync ended", "\u{1b}[32m INFO\u{1b}[0m sync ended"),
            ("title=\u{1b}[2Jx\u{1b}]0;y\u{7}", "title=\\u{1b}[2Jx\\u{1b}]0;y\\u{7}"),
            ("a\u{202e}b\nINFO forged", "a\\u{202e}b INFO forged"),
            ("\u{1b}[1;31", "\\u{1b}[1;31"),
            ("\u{1b}[8mgone\u{1b}[0;08m", "\\u{1b}[8mgone\\u{1b}[0;08m"),
        ];
        for (text, want) in table {
            assert_eq!(line(text, true), want, "{text:?}");
        }
        assert_eq!(line("\u{1b}[32mgreen", false), "\\u{1b}[32mgreen", "without colours none of them is ours");
        assert_eq!(lines("a\n\tb\u{9b}", true), "a\n\tb\\u{9b}");
    }
}
