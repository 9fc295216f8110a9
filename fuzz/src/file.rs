//! One line of a `file` source is anything; the lines around it must be read as if it were not there.

use serde_json::json;

use super::source::{self, NOW, Outcome, Source};

const BEFORE: &str = r#"{"id": "ENG-1", "title": "Checkout", "status": "done", "created": "2026-11-01T08:00:00Z"}
{"id": "ENG-2", "title": "Basket", "status": "in_progress", "native_status": "Doing", "type": "story", "project": "ENG", "assignee": "Ada", "estimate": 5, "created": "2026-11-01T08:00:00Z", "timeline": [{"at": "2026-11-02T08:00:00Z", "kind": "status_changed", "from": "todo", "to": "in_progress", "actor": "Lin"}]}"#;
const AFTER: &str = r#"{"id": "42", "name": "Sprint 12", "state": "active", "start": "2026-11-01T08:00:00Z", "end": "2026-11-14T16:00:00Z"}
{"id": "ENG-4", "title": "Coupons", "status": "todo", "created": "2026-11-03T08:00:00Z", "sprints": ["42"]}"#;
/// The neighbours: tasks of both, and a sprint.
const NEIGHBOURS: [&str; 3] = ["ENG-1", "ENG-2", "ENG-4"];

/// Reads a file whose third line is `input`.
pub fn run(input: &[u8]) {
    let line: Vec<u8> = input.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
    let (whole, found) = (read(b"{}"), read(&line));
    let text = String::from_utf8_lossy(&line);
    for id in NEIGHBOURS.into_iter().filter(|id| !names(&text, id)) {
        assert!(whole.tasks.contains_key(id), "{id} is one of the lines");
        assert_eq!(found.tasks.get(id), whole.tasks.get(id), "{id} suffers from {text}");
    }
    if !names(&text, "42") {
        assert_eq!(found.sprints.get("42"), whole.sprints.get("42"), "the sprint suffers from {text}");
    }
}

/// Whether a line may speak of this id, also with escapes.
fn names(text: &str, id: &str) -> bool {
    text.contains(id) || text.contains("\\u")
}

fn read(line: &[u8]) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks.jsonl");
    std::fs::write(&path, [BEFORE.as_bytes(), b"\n", line, b"\n", AFTER.as_bytes(), b"\n"].concat()).unwrap();
    let mut config = source::config("file", "", &directory, "", &[]);
    config.settings = json!({"path": path});
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut source = Source::new(config);
    let streams: Vec<_> = source.connector.streams().iter().map(|stream| stream.name).collect();
    runtime.block_on(source.run(NOW, &streams)).expect("a run with one odd line ends without an error")
}
