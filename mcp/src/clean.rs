//! Text from outside, made safe to hand to a model: nothing in it is invisible, changes the order of reading, draws an image or looks
//! like the end of a fence. Pure.
//!
//! [`answer`] walks a whole answer, so that no tool can forget a string.

use contextcore_core::model::printable::is_hidden;
use serde_json::{Map, Value};

/// The longest texts, by the key that they stand under.
const TITLE: usize = 200;
const REASON: usize = 300;
const LONG: usize = 2_000;
/// What a handoff brings along, which is as long as it may be together.
const INPUTS: &str = "inputs";
const INPUT: usize = 4_096;
/// How many times its length of a text is looked at: cleaning makes it shorter, and nobody reads what is behind that.
const LOOKED_AT: usize = 8;

/// Keys whose text may have several lines.
fn has_lines(key: &str) -> bool {
    matches!(key, "text" | "rationale" | "answer" | "markdown")
}

/// How long the text under a key may be, in characters.
fn longest(key: &str) -> usize {
    match key {
        "title" | "summary" | "name" | "key" | "id" | "parent" | "epic" => TITLE,
        "reason" | "blocked" | "why" | "because" => REASON,
        "next" | "cursor" | "url" => LONG,
        INPUTS => INPUT,
        key if has_lines(key) => LONG + 100,
        _ => 600,
    }
}

/// Cleans every string of an answer, and leaves out nulls, empty texts, lists and objects. Returns how many strings were changed.
pub(crate) fn answer(value: &mut Value) -> usize {
    let mut changed = 0;
    walk("", value, &mut changed);
    changed
}

fn walk(key: &str, value: &mut Value, changed: &mut usize) {
    match value {
        Value::String(text) => {
            let most = longest(key);
            let (looked_at, is_longer) = beginning(text, LOOKED_AT * most);
            let mut clean = if has_lines(key) { lines(looked_at) } else { one_line(looked_at) };
            *changed += usize::from(clean != looked_at);
            if is_longer {
                clean.push('…');
            }
            *text = cut(&clean, most);
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| walk(key, item, changed));
            items.retain(|item| !is_empty(item));
        }
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (name, mut field) in std::mem::take(fields) {
                // What a handoff brings along has names of its own.
                walk(if key == INPUTS { INPUTS } else { &name }, &mut field, changed);
                if !is_empty(&field) {
                    kept.insert(cut(&one_line(&name), TITLE), field);
                }
            }
            *fields = kept;
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// The text on one line.
pub(crate) fn one_line(text: &str) -> String {
    let visible = visible(text, false);
    // What a mark is replaced by may leave spaces, too.
    single_spaced(&inert(&single_spaced(&visible)))
}

fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text with its line breaks.
pub(crate) fn lines(text: &str) -> String {
    inert(visible(text, true).trim())
}

/// The text, or its beginning and `…`.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some(_) => text.chars().take(longest.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// At most so many characters of the text, and whether there are more.
fn beginning(text: &str, most: usize) -> (&str, bool) {
    text.char_indices().nth(most).map_or((text, false), |(place, _)| (&text[..place], true))
}

/// The text without what is not seen: controls, marks of direction, what has no width, tags, private use.
fn visible(text: &str, keep_lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push(if keep_lines { '\n' } else { ' ' }),
            '\t' | '\u{b}' | '\u{c}' => out.push(' '),
            '\u{200d}' if joins_emoji(out.chars().next_back(), rest.peek().copied()) => out.push(c),
            '\u{fe0f}' if out.chars().next_back().is_some_and(takes_emoji_style) => out.push(c),
            c if is_hidden(c) => {}
            c => out.push(c),
        }
    }
    // A joiner whose emoji was hidden joins nothing.
    out.trim_end_matches(['\u{200d}']).to_owned()
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{1f000}'..='\u{1faff}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}')
}

fn joins_emoji(before: Option<char>, after: Option<char>) -> bool {
    before.is_some_and(|c| is_emoji(c) || c == '\u{fe0f}') && after.is_some_and(is_emoji)
}

fn takes_emoji_style(c: char) -> bool {
    is_emoji(c)
        || c.is_ascii_digit()
        || matches!(
            c,
            '#' | '*'
                | '\u{a9}'
                | '\u{ae}'
                | '\u{203c}'
                | '\u{2049}'
                | '\u{2122}'
                | '\u{2139}'
                | '\u{3030}'
                | '\u{303d}'
        )
}

/// The text with nothing that a client draws or fetches, and no mark of a fence.
fn inert(text: &str) -> String {
    let mut text = text.to_owned();
    // A link can hold an image, and what is left of one can make another.
    for _ in 0..4 {
        let next = without_links(&text);
        if next == text {
            break;
        }
        text = next;
    }
    for (mark, instead) in MARKS {
        while text.contains(mark) {
            text = text.replace(mark, instead);
        }
    }
    without_tags(&text)
}

/// What begins a link, an image or a fence, and what is written for it.
const MARKS: [(&str, &str); 10] = [
    ("![", "!("),
    ("](", "] ("),
    ("][", "] ["),
    ("]:", "] :"),
    ("<<<", "‹‹‹"),
    (">>>", "›››"),
    ("\u{ff1c}\u{ff1c}", "‹‹"),
    ("\u{ff1e}\u{ff1e}", "››"),
    ("\u{fe64}\u{fe64}", "‹‹"),
    ("\u{fe65}\u{fe65}", "››"),
];

/// `![alt](url)` is `alt`, and `[text](url)` is `text (url)`.
fn without_links(text: &str) -> String {
    let Some(middle) = text.find("](") else { return text.to_owned() };
    let before = &text[..middle];
    let Some(open) = before.rfind('[') else { return text.replacen("](", "] (", 1) };
    let Some(close) = text[middle..].find(')').map(|place| middle + place) else {
        return text.replacen("](", "] (", 1);
    };
    let (words, target) = (&text[open + 1..middle], &text[middle + 2..close]);
    let is_image = text[..open].ends_with('!');
    let start = if is_image { open - 1 } else { open };
    let shown = if is_image || words == target { words.to_owned() } else { format!("{words} ({target})") };
    format!("{}{shown}{}", &text[..start], &text[close + 1..])
}

/// HTML that a client would draw or fetch, and addresses in angle brackets, which are links.
const TAGS: [&str; 25] = [
    "img", "a", "iframe", "script", "svg", "video", "audio", "object", "embed", "link", "style", "base", "form",
    "input", "meta", "picture", "source", "image", "math", "details", "template", "http", "https", "mailto", "ftp",
];

/// The longest name of [`TAGS`], and one letter more.
const TAG_LETTERS: usize = 9;

fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('<') {
        let (before, after) = (&rest[..place], &rest[place + 1..]);
        out.push_str(before);
        out.push(if is_tag(after) { '‹' } else { '<' });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Whether what follows a `<` makes it a tag.
fn is_tag(after: &str) -> bool {
    let after = after.trim_start_matches('/');
    let name = after.bytes().take(TAG_LETTERS).take_while(u8::is_ascii_alphabetic).count();
    after.starts_with(['!', '?']) || TAGS.contains(&after[..name].to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn links_and_images_become_text() {
        let table = [
            ("see [docs](https://x.example)", "see docs (https://x.example)"),
            ("![pixel](https://evil.example/?q=1) hi", "pixel hi"),
            ("[![alt](http://a)](http://b)", "alt (http://b)"),
            ("![a][b]", "!(a] [b]"),
            ("Vec<T> and a < b", "Vec<T> and a < b"),
            ("<IMG src=x>", "‹IMG src=x>"),
            ("a[0](1", "a[0] (1"),
        ];
        for (text, want) in table {
            assert_eq!(one_line(text), want, "{text}");
        }
    }

    #[test]
    fn a_long_word_takes_no_longer_than_its_length() {
        for unit in ["a", "<", "<a", "[", "![", "](", "<<<", "👩\u{200d}"] {
            // Quadratic work would take many minutes for this.
            let text = unit.repeat(200_000 / unit.len());
            assert!(one_line(&text).len() >= 60_000 && lines(&text).len() >= 60_000, "{unit}");
            let text = unit.repeat(1_000_000 / unit.len());
            let mut value = json!({"summary": &text, "text": &text, "other": [&text]});
            answer(&mut value);
            assert_eq!(value["summary"].as_str().map(|text| text.chars().count()), Some(200), "{unit}");
        }
    }

    #[test]
    fn what_is_cut_before_it_is_cleaned_says_so() {
        let mut value = json!({"summary": format!("{}end", "\u{200b}".repeat(5_000))});
        answer(&mut value);
        assert_eq!(value, json!({"summary": "…"}));
    }

    #[test]
    fn emoji_keep_their_joiners_and_words_lose_them() {
        assert_eq!(one_line("👩\u{200d}💻 ❤\u{fe0f}\u{200d}🔥"), "👩\u{200d}💻 ❤\u{fe0f}\u{200d}🔥");
        assert_eq!(one_line("pay\u{200b}\u{200d}ment\u{e0041}\u{202e}x"), "paymentx");
    }

    #[test]
    fn an_answer_has_no_empty_fields() {
        let mut value = json!({"a": null, "b": [], "c": {"d": ""}, "title": "x\ny", "n": 0, "f": false});
        assert_eq!(answer(&mut value), 1);
        assert_eq!(value, json!({"title": "x y", "n": 0, "f": false}));
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in "\\PC*|[\\u{200b}-\\u{2070}\\u{e0000}-\\u{e007f}a-z<>!\\[\\]()\\n👩💻]{0,60}") {
            for clean in [one_line(&text), lines(&text)] {
                let mut before = None;
                let mut chars = clean.chars().peekable();
                while let Some(c) = chars.next() {
                    let joins = c == '\u{200d}' && joins_emoji(before, chars.peek().copied());
                    let styles = c == '\u{fe0f}' && before.is_some_and(takes_emoji_style);
                    prop_assert!(!is_hidden(c) || c == '\n' || joins || styles, "{:?} in {:?}", c, clean);
                    before = Some(c);
                }
                prop_assert!(MARKS.iter().all(|(mark, _)| !clean.contains(mark)), "{}", clean);
            }
            prop_assert!(!one_line(&text).contains('\n'));
            let once = one_line(&text);
            prop_assert_eq!(one_line(&once), once);
        }
    }
}
