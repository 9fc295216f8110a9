//! Text from outside, made safe to print: no character of it moves the cursor, changes the order in which the rest is read,
//! or hides. Pure.
//!
//! A title such as `\u{1b}[2J` clears a terminal, and `\u{202e}` turns what follows around. Such characters are written as
//! their escapes instead, so that a person sees that they are there.

use std::borrow::Cow;

/// Whether a character acts instead of being seen: controls, marks of direction, and what has no width.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether a character is not seen, or acts on those around it. More than what [`one_line`] replaces: private use and marks of
/// scripts that have no picture count too.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
        || matches!(u32::from(c) & 0xffff, 0xfffe | 0xffff)
        || matches!(c, '\u{fdd0}'..='\u{fdef}')
}

/// Joiners have no width either, but Persian, the languages of India and emoji are written with them.
fn joins(before: Option<char>, c: char, after: Option<&char>) -> bool {
    // What is no character at all is an escape in YAML, which joins nothing.
    let is_none = |side: char| matches!(side, '\u{fffe}' | '\u{ffff}');
    let is_joined = |side: Option<char>| side.is_some_and(|side| !side.is_ascii() && !acts(side) && !is_none(side));
    matches!(c, '\u{200c}' | '\u{200d}') && is_joined(before) && is_joined(after.copied())
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..0x7f).contains(&byte))
}

/// Replaces each character that acts by what `replace` writes for it.
fn replaced(text: &str, replace: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if is_plain(text) || !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let (mut before, mut rest) = (None, text.chars().peekable());
    while let Some(c) = rest.next() {
        if acts(c) && !joins(before, c, rest.peek()) {
            replace(c, &mut out);
        } else {
            out.push(c);
        }
        before = Some(c);
    }
    Cow::Owned(out)
}

/// The text on one line: a line break or tab is a space, any other character that acts is its escape (`\u{1b}`).
pub fn one_line(text: &str) -> Cow<'_, str> {
    replaced(text, |c, out| match c {
        '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push(' '),
        _ => out.extend(c.escape_unicode()),
    })
}

/// The text with its line feeds and tabs, any other character that acts as its escape.
pub fn lines(text: &str) -> Cow<'_, str> {
    with_marks(text, |c, out| out.extend(c.escape_unicode()))
}

/// The text with its line feeds and tabs, and for any other character that acts what `replace` writes.
pub(crate) fn with_marks(text: &str, replace: impl Fn(char, &mut String)) -> Cow<'_, str> {
    replaced(text, |c, out| match c {
        '\n' | '\t' => out.push(c),
        _ => replace(c, out),
    })
}

/// The same JSON: what acts inside its strings is an escape of JSON. JSON itself requires that only below U+0020.
pub fn json(text: &str) -> Cow<'_, str> {
    replaced(text, |c, out| match c {
        // Outside of strings, which hold none.
        '\n' | '\r' | '\t' => out.push(c),
        _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_becomes_visible_and_the_rest_stays() {
        let table = [
            ("Checkout flow", "Checkout flow"),
            ("\u{1b}[2J\u{1b}]0;gone\u{7}", "\\u{1b}[2J\\u{1b}]0;gone\\u{7}"),
            ("a\u{9b}31mb\u{7f}\u{8}", "a\\u{9b}31mb\\u{7f}\\u{8}"),
            ("invoice\u{202e}fdp.exe", "invoice\\u{202e}fdp.exe"),
            ("\u{2066}a\u{2069}\u{200f}", "\\u{2066}a\\u{2069}\\u{200f}"),
            ("pay\u{200b}pal \u{feff}x\u{200d}y\u{ad}", "pay\\u{200b}pal \\u{feff}x\\u{200d}y\\u{ad}"),
            ("two\r\nlines\tand\u{2028}more", "two  lines and more"),
            (
                "見積もり naïve ❤\u{fe0f} 👩\u{200d}💻 می\u{200c}خواهم",
                "見積もり naïve ❤\u{fe0f} 👩\u{200d}💻 می\u{200c}خواهم",
            ),
            ("hidden\u{e0041}", "hidden\\u{e0041}"),
            ("👩\u{200c}\u{fffe}", "👩\\u{200c}\u{fffe}"),
        ];
        for (text, want) in table {
            assert_eq!(one_line(text), want, "{text:?}");
        }
        assert_eq!(lines("a\n\tb\rc"), "a\n\tb\\u{d}c");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = "{\"title\": \"a\u{9b}b\u{202e}c\u{e0041}d\u{7f}é\"}\n";
        let safe = json(text);
        assert_eq!(safe, "{\"title\": \"a\\u009bb\\u202ec\\udb40\\udc41d\\u007fé\"}\n");
    }
}
