//! README.md of the chart: its table of values is made from values.yaml.

use std::fs;

use serde_json::Value;

use super::values::{ChartValue, entries};
use super::{chart, fresh};

const BEGIN: &str = "<!-- values: made from values.yaml, do not edit -->\n";
const END: &str = "<!-- end of values -->\n";

/// A row for each key, in the order of the file.
fn table() -> String {
    let mut rows = String::from("| key | default | what |\n| --- | --- | --- |\n");
    entries().iter().for_each(|entry| add(entry, &mut rows));
    rows
}

fn add(entry: &ChartValue, rows: &mut String) {
    let default = if entry.children.is_empty() { format!("`{}`", shown(&entry.default)) } else { String::new() };
    let cells = [format!("`{}`", entry.name()), default, entry.comment.replace('|', "\\|")];
    rows.push_str(&format!("| {} |\n", cells.join(" | ")));
    entry.children.iter().for_each(|child| add(child, rows));
}

/// A value as one writes it in YAML on one line.
fn shown(value: &Value) -> String {
    let list = |parts: Vec<String>, open: &str, close: &str| format!("{open}{}{close}", parts.join(", "));
    match value {
        Value::Object(map) => {
            list(map.iter().map(|(key, value)| format!("{key}: {}", shown(value))).collect(), "{", "}")
        }
        Value::Array(items) => list(items.iter().map(shown).collect(), "[", "]"),
        Value::String(text) if !text.is_empty() => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn the_table_of_values_is_fresh() {
    let path = chart().join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    fresh(&path, &format!("{head}{BEGIN}\n{}\n{END}{tail}", table()));
}
