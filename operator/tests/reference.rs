//! The reference of ProjectContext, made from its definition: `docs/reference/projectcontext.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use contextcore_operator::crd;
use serde_json::Value;

const HEAD: &str = "# ProjectContext v1\n\nGenerated from the types of `operator/src/resource.rs`; `kubectl explain projectcontext.spec` \
                    says the same. What follows from the fields is in [KUBERNETES.md](../KUBERNETES.md).\n";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/projectcontext.md")
}

fn reference() -> String {
    let schema = crd::schema();
    let mut text = HEAD.to_owned();
    for (part, about) in [("spec", "What a team writes."), ("status", "What the controller answers.")] {
        write!(text, "\n## {part}\n\n{about}\n\n| field | type | rules | what |\n| --- | --- | --- | --- |\n").unwrap();
        fields(&schema["properties"][part], part, &mut text);
    }
    text.push_str("\n## Rules between fields\n\n");
    rules(&schema["properties"]["spec"], "spec", &mut text);
    text
}

fn fields(schema: &Value, path: &str, text: &mut String) {
    let required = schema["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let (kind, below) = kind(field);
        let mut notes: Vec<String> = is_required(name).then(|| "required".to_owned()).into_iter().collect();
        notes.extend(limits(field));
        let about = cell(field["description"].as_str().unwrap_or_default());
        let end = if below.is_some() && field["type"] == "array" { "[]" } else { "" };
        writeln!(text, "| `{path}{end}` | {kind} | {} | {about} |", cell(&notes.join("; "))).unwrap();
        if let Some(below) = below {
            fields(below, &format!("{path}{end}"), text);
        }
    }
}

/// The words for a type, and the schema with fields of its own.
fn kind(field: &Value) -> (String, Option<&Value>) {
    let name = field["type"].as_str().unwrap_or_default();
    match name {
        "array" if field["items"]["properties"].is_object() => ("list of objects".to_owned(), Some(&field["items"])),
        "array" => (format!("list of {}", field["items"]["type"].as_str().unwrap_or_default()), None),
        "object" if field["properties"].is_object() => (name.to_owned(), Some(field)),
        "object" => ("map of strings".to_owned(), None),
        _ => (name.to_owned(), None),
    }
}

fn limits(field: &Value) -> Vec<String> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut notes = Vec::new();
    let items = &field["items"];
    let one_of = [field, items].into_iter().find_map(|schema| schema["enum"].as_array());
    if let Some(values) = one_of {
        notes.push(format!(
            "one of {}",
            values.iter().map(|value| format!("`{}`", plain(value))).collect::<Vec<_>>().join(", ")
        ));
    }
    let pattern = [field, items].into_iter().find_map(|schema| schema["pattern"].as_str());
    notes.extend(pattern.map(|pattern| format!("`{pattern}`")));
    for (key, words) in [
        ("default", "default"),
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("maxLength", "characters at most"),
        ("maxItems", "items at most"),
        ("maxProperties", "keys at most"),
    ] {
        if !field[key].is_null() {
            notes.push(format!("{words} {}", plain(&field[key])));
        }
    }
    notes
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "\\<")
}

fn rules(schema: &Value, path: &str, text: &mut String) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        writeln!(text, "- `{path}`: {}", rule["message"].as_str().unwrap_or_default()).unwrap();
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        rules(field, &format!("{path}.{name}"), text);
        rules(&field["items"], &format!("{path}.{name}[]"), text);
    }
}

#[test]
fn the_reference_is_fresh() {
    let wanted = reference();
    if std::env::var_os("UPDATE_CRD").is_some() {
        fs::create_dir_all(path().parent().unwrap()).unwrap();
        fs::write(path(), &wanted).unwrap();
    }
    let found = fs::read_to_string(path()).unwrap_or_default();
    assert!(found == wanted, "run `UPDATE_CRD=1 cargo test -p contextcore-operator the_reference_is_fresh`");
}

#[test]
fn every_field_is_in_it() {
    let text = reference();
    for field in [
        "spec.project.id",
        "spec.targets[].selector.matchLabels",
        "spec.observability.disableAlerts.until",
        "status.conditions[].lastTransitionTime",
    ] {
        assert!(text.contains(&format!("| `{field}` |")), "{field}");
    }
}
