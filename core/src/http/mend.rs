//! JSON as some servers write it, made readable: for lists that cannot be asked for in smaller parts, where one broken value would
//! cost all of them. Pure.
//!
//! | what stands there | what is read |
//! | --- | --- |
//! | `NaN`, `-Infinity`, `01`, `1e999` and whatever else is no value | `null` |
//! | bytes that are no UTF-8, half a surrogate pair | U+FFFD |
//! | a raw control character in a text | the same, escaped |
//! | an escape that does not exist | its characters |
//!
//! An answer that breaks off stays broken.

use std::borrow::Cow;

/// The text with everything replaced that no JSON parser reads.
pub(super) fn mended(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest: &str = &text;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => string(rest, &mut out),
            first if is_of_value(first) => value(rest, &mut out),
            first => {
                out.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[end..];
    }
    out
}

/// Whether a character can be part of a number or a word outside of texts.
fn is_of_value(one: char) -> bool {
    one.is_alphanumeric() || matches!(one, '+' | '-' | '.' | '_' | '#')
}

/// Copies a number or a word; null for what is neither. Returns its length.
fn value(text: &str, out: &mut String) -> usize {
    let end = text.find(|one| !is_of_value(one)).unwrap_or(text.len());
    let word = &text[..end];
    let is_read = serde_json::from_str::<serde_json::Value>(word).is_ok();
    out.push_str(if is_read { word } else { "null" });
    end
}

/// Copies a text with its quotes. Returns its length.
fn string(text: &str, out: &mut String) -> usize {
    out.push('"');
    let mut at = 1;
    while let Some(one) = text[at..].chars().next() {
        at += one.len_utf8();
        match one {
            '"' => {
                out.push('"');
                return at;
            }
            '\\' => at += escape(&text[at..], out),
            one if one < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(one))),
            one => out.push(one),
        }
    }
    at
}

/// Copies what follows a backslash. Returns its length.
fn escape(text: &str, out: &mut String) -> usize {
    let first = text.chars().next();
    match first {
        Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {
            out.push('\\');
            out.push_str(&text[..1]);
            1
        }
        Some('u') => unicode(text, out),
        _ => {
            out.push_str("\\\\");
            0
        }
    }
}

/// Copies an escape with four digits, or a pair of them. Returns its length.
fn unicode(text: &str, out: &mut String) -> usize {
    let pair = text.get(..11).filter(|pair| pair.get(5..7) == Some("\\u"));
    for candidate in [pair, text.get(..5)].into_iter().flatten() {
        let quoted = format!("\"\\{candidate}\"");
        if serde_json::from_str::<Cow<'_, str>>(&quoted).is_ok() {
            out.push_str(&quoted[1..quoted.len() - 1]);
            return candidate.len();
        }
    }
    let digits = text[1..].bytes().take(4).take_while(u8::is_ascii_hexdigit).count();
    out.push('\u{fffd}');
    1 + digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_broken_value_costs_itself() {
        let list = |broken: &[u8]| [b"[{\"id\": \"1\", \"x\": ", broken, b"}, {\"id\": \"2\"}]"].concat();
        let cases: [(&[u8], Value); 14] = [
            (b"NaN", json!(null)),
            (b"-Infinity", json!(null)),
            (b"1e999", json!(null)),
            (b"01", json!(null)),
            (b"+1.", json!(null)),
            (b".5", json!(null)),
            (b"1.#QNAN", json!(null)),
            (b"-7.5e3", json!(-7_500.0)),
            (b"\"a\x01\tb\"", json!("a\u{1}\tb")),
            (b"\"a\xffb\"", json!("a\u{fffd}b")),
            (b"\"C:\\dir \\q\"", json!("C:\\dir \\q")),
            (b"\"\\ud800x \\u00zz\"", json!("\u{fffd}x \u{fffd}zz")),
            (b"\"\\ud83d\\ude00 \\u00e9 \\\"NaN\\\"\"", json!("\u{1f600} é \"NaN\"")),
            (b"[NaN, {\"y\": Infinity}, true]", json!([null, {"y": null}, true])),
        ];
        for (broken, expected) in cases {
            let read: Value = serde_json::from_str(&mended(&list(broken))).unwrap();
            assert_eq!(read, json!([{"id": "1", "x": expected}, {"id": "2"}]), "{}", broken.escape_ascii());
        }
    }

    #[test]
    fn what_breaks_off_stays_broken() {
        for torn in ["[{\"id\": \"1", "[{\"id\": 1}, ", "{\"a\": \"\\", "{\"a\": \"\\u12", "<html></html>", ""] {
            assert!(serde_json::from_str::<Value>(&mended(torn.as_bytes())).is_err(), "{torn}");
        }
    }

    proptest! {
        #[test]
        fn what_can_be_read_stays_as_it_is(texts in proptest::collection::vec(any::<String>(), 0..4), number in any::<f64>()) {
            let json = json!({"texts": texts, "number": number, "deep": [{"a": null, "b": true}]}).to_string();
            prop_assert_eq!(mended(json.as_bytes()), json);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            mended(&bytes);
        }
    }
}
