//! JSON values as YAML for people: block style, texts in quotes, long texts as they are.

use serde_json::Value;

/// The YAML of a value.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    out
}

fn block(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&format!("{indent}{}:", name(key)));
                below(out, value, depth);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut text = String::new();
                block(&mut text, item, depth + 1);
                let own = "  ".repeat(depth + 1);
                out.push_str(&format!("{indent}- {}", text.strip_prefix(&own).unwrap_or(&text)));
            }
        }
        plain => out.push_str(&format!("{indent}{plain}\n")),
    }
}

/// What follows a key.
fn below(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(out, value, depth + 1);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, depth + 1);
        }
        Value::String(text) if text.contains('\n') => literal(out, text, depth + 1),
        plain => out.push_str(&format!(" {plain}\n")),
    }
}

/// A text of several lines, each as it is. One without a newline at its end keeps having none.
fn literal(out: &mut String, text: &str, depth: usize) {
    out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
    let indent = "  ".repeat(depth);
    for line in text.lines() {
        out.push_str(&format!("{indent}{line}\n"));
    }
}

/// Keys are quoted unless they are plain words.
fn name(key: &str) -> String {
    let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !key.is_empty();
    let number = key.starts_with(|c: char| c.is_ascii_digit());
    if plain && !number { key.to_owned() } else { Value::from(key).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_blocks() {
        let value = json!({"a": [{"b": 1, "c": "x: y"}, "z"], "d.e": {}, "f": "one\ntwo\n", "g": []});
        let text = "a:\n  - b: 1\n    c: \"x: y\"\n  - \"z\"\n\"d.e\": {}\nf: |\n  one\n  two\ng: []\n";
        assert_eq!(to_yaml(&value), text);
    }
}
