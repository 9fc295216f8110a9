//! Spoils one JSON value, as the input says.
//!
//! The result is never so broken that nobody could see where it ends: its brackets and quotes are balanced.

use serde_json::{Map, Value, json};

/// The text of a placeholder, which is replaced by bytes that no JSON value can hold.
const PLACEHOLDER: &str = "\u{e000}spoiled\u{e000}";
/// Changes made by one input.
const EDITS: usize = 4;
/// How deep a value is nested to trouble a reader.
const DEEP: usize = 200;

/// Reads numbers from the input; zero when it has ended.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// A number below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (usize::from(self.byte()) << 8 | usize::from(self.byte())) % end
    }

    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// `row` with some of its values replaced, as bytes.
pub(crate) fn spoil(row: &Value, input: &mut Input<'_>) -> Vec<u8> {
    let (mut row, mut raw) = (row.clone(), Vec::new());
    for _ in 0..EDITS {
        if input.0.is_empty() {
            break;
        }
        edit(&mut row, input, &mut raw);
    }
    let mut text = row.to_string().into_bytes();
    let placeholder = json!(PLACEHOLDER).to_string().into_bytes();
    while let Some(at) = text.windows(placeholder.len()).position(|window| window == placeholder) {
        text.splice(at..at + placeholder.len(), raw.pop().unwrap_or_else(|| b"NaN".to_vec()));
    }
    text
}

fn edit(row: &mut Value, input: &mut Input<'_>, raw: &mut Vec<Vec<u8>>) {
    let mut paths = Vec::new();
    list("", row, &mut paths);
    let path = &paths[input.below(paths.len())];
    if input.byte().is_multiple_of(8) {
        return remove(row, path);
    }
    let other = row.pointer(&paths[input.below(paths.len())]).cloned().unwrap_or_default();
    let value = value(input, other, raw);
    if let Some(place) = row.pointer_mut(path) {
        *place = value;
    }
}

/// The paths of everything in a value.
fn list(path: &str, value: &Value, paths: &mut Vec<String>) {
    paths.push(path.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            list(&format!("{path}/{name}"), value, paths);
        }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| list(&format!("{path}/{n}"), value, paths));
        }
        _ => {}
    }
}

fn remove(row: &mut Value, path: &str) {
    let Some((parent, name)) = path.rsplit_once('/') else { return };
    match row.pointer_mut(parent) {
        Some(Value::Object(members)) => drop(members.remove(&name.replace("~1", "/").replace("~0", "~"))),
        Some(Value::Array(items)) => drop(items.remove(name.parse().unwrap())),
        _ => {}
    }
}

fn value(input: &mut Input<'_>, other: Value, raw: &mut Vec<Vec<u8>>) -> Value {
    match input.byte() % 12 {
        0 => Value::Null,
        1 => json!(input.byte().is_multiple_of(2)),
        2 => json!(i64::from_le_bytes(eight(input))),
        3 => json!(f64::from_le_bytes(eight(input))),
        4 => json!([]),
        5 => json!({}),
        6 => json!([other, null, other]),
        7 => (0..DEEP).fold(Value::Null, |value, _| json!([value])),
        8 => json!(["2262-04-11T23:47:17Z", "0000-00-00", "-1", "9999-12-31T23:59:60.999Z"][input.below(4)]),
        9 => {
            let length = usize::from(input.byte());
            json!(String::from_utf8_lossy(input.take(length)))
        }
        10 => {
            raw.push(quoted(input));
            json!(PLACEHOLDER)
        }
        _ => other,
    }
}

fn eight(input: &mut Input<'_>) -> [u8; 8] {
    let mut bytes = [0; 8];
    let taken = input.take(8);
    bytes[..taken.len()].copy_from_slice(taken);
    bytes
}

/// A string of any bytes, which ends where it seems to end; or one of the words that are no JSON.
fn quoted(input: &mut Input<'_>) -> Vec<u8> {
    let length = usize::from(input.byte());
    if length < 3 {
        return [&b"NaN"[..], b"-Infinity", b"1e999"][length].to_vec();
    }
    let mut bytes: Vec<u8> = input.take(length).iter().copied().filter(|byte| *byte != b'"').collect();
    while bytes.last() == Some(&b'\\') {
        bytes.pop();
    }
    [b"\"", bytes.as_slice(), b"\""].concat()
}

/// Whether these bytes are one object whose end can be found: strings end, and brackets are in pairs.
pub(crate) fn is_delimited(text: &[u8]) -> bool {
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' => open.push(b'}'),
            b'[' => open.push(b']'),
            b'}' | b']' if open.pop() != Some(*byte) => return false,
            _ => {}
        }
        if open.is_empty() && at + 1 < text.len() {
            return false;
        }
    }
    open.is_empty() && !in_string
}

/// `answer` in which these bytes stand in place of the value at a path.
pub(crate) fn replace(answer: &Value, path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut answer = answer.clone();
    *answer.pointer_mut(path).unwrap() = Value::from(PLACEHOLDER);
    let text = answer.to_string();
    let (before, after) = text.split_once(&json!(PLACEHOLDER).to_string()).unwrap();
    [before.as_bytes(), bytes, after.as_bytes()].concat()
}

/// Visits every object that is an element of an array, with its path.
pub(crate) fn each_row(path: &str, value: &Value, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| each_row(&format!("{path}/{name}"), value, visit));
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| {
            let path = format!("{path}/{n}");
            if let Value::Object(row) = item {
                visit(&path, row);
            }
            each_row(&path, item, visit);
        }),
        _ => {}
    }
}
