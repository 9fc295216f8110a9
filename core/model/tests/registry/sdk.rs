//! The names that the SDKs need, in their languages.

use contextcore_model::semconv::{PROJECT_ID, TASK_ID};
use contextcore_model::task::{Status, TaskType};

/// `agents.md` of the design names them; the operations take any word, so that a newer SDK can write a new one.
const INSIGHT_TYPES: &[&str] = &[
    "decision",
    "lesson",
    "question",
    "blocker",
    "risk",
    "handoff",
    "recommendation",
    "discovery",
    "analysis",
    "progress",
];

/// The names of the lists, and what is in them.
fn lists() -> [(&'static str, Vec<&'static str>); 3] {
    [
        ("TASK_TYPES", TaskType::ALL.iter().map(|each| each.as_str()).collect()),
        ("STATUSES", Status::ALL.iter().map(|each| each.as_str()).collect()),
        ("INSIGHT_TYPES", INSIGHT_TYPES.to_vec()),
    ]
}

/// Names of single attributes.
const ATTRIBUTES: [(&str, &str); 2] = [("PROJECT_ID", PROJECT_ID), ("TASK_ID", TASK_ID)];

fn rows(items: &[&str]) -> String {
    items.iter().map(|item| format!("    \"{item}\",\n")).collect()
}

pub(crate) fn python() -> String {
    let mut text =
        "\"\"\"Names of the registry. Generated from `core/model/src/semconv.rs`; do not edit.\"\"\"\n\n".to_owned();
    for (name, value) in ATTRIBUTES {
        text.push_str(&format!("{name} = \"{value}\"\n"));
    }
    for (name, items) in lists() {
        text.push_str(&format!("{name} = (\n{})\n", rows(&items)));
    }
    text
}

pub(crate) fn typescript() -> String {
    let mut text = "// Names of the registry. Generated from core/model/src/semconv.rs; do not edit.\n\n".to_owned();
    for (name, value) in ATTRIBUTES {
        text.push_str(&format!("export const {name} = \"{value}\";\n"));
    }
    for (name, items) in lists() {
        let rows = rows(&items).replace("    \"", "  \"");
        text.push_str(&format!("export const {name} = [\n{rows}] as const;\n"));
    }
    text
}

pub(crate) fn go() -> String {
    let mut text = "// Code generated from core/model/src/semconv.rs; DO NOT EDIT.\n\npackage contextcore\n".to_owned();
    for (name, doc, value) in [
        ("ProjectID", "is the attribute, and the entry of the baggage, that names a project.", PROJECT_ID),
        ("TaskID", "is the attribute, and the entry of the baggage, that names a task.", TASK_ID),
    ] {
        text.push_str(&format!("\n// {name} {doc}\nconst {name} = \"{value}\"\n"));
    }
    let names = [
        ("TaskTypes", "are the kinds of work that a task can be. Other words are passed on as they are."),
        ("Statuses", "are the states of a task. Other words are kept, and mapped by the service's `statuses:`."),
        ("InsightTypes", "are the types of insights."),
    ];
    for ((name, doc), (_, items)) in names.into_iter().zip(lists()) {
        let rows = rows(&items).replace("    \"", "\t\"");
        text.push_str(&format!("\n// {name} {doc}\nvar {name} = []string{{\n{rows}}}\n"));
    }
    text
}
