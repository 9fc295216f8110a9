//! A source that is a file: configured, checked, synced, followed as it grows, and told like any other.

use std::io::Write;

use crate::stage::Stage;

fn line(id: &str, status: &str) -> String {
    format!(
        "{{\"id\": \"{id}\", \"title\": \"Task {id}\", \"status\": \"{status}\", \"created\": \"2026-11-01T08:00:00Z\"}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_a_source_like_any_other() {
    let stage = Stage::new().await;
    std::fs::write(stage.path("work.jsonl"), line("ENG-1", "todo") + "not JSON\n" + &line("ENG-2", "done")).unwrap();
    let config = stage.usual();
    let head = config.split("projects:").next().unwrap();
    stage.configure(&format!("{head}sources:\n  - {{name: other, kind: file, path: work.jsonl}}\n"));

    let check = stage.run(&["check"]);
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
    assert!(check.stdout.contains("other (file) at work.jsonl"), "{}", check.stdout);
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    let tasks = stage.run(&["tasks", "-o", "json"]).json();
    let ids: Vec<_> = tasks.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["ENG-1", "ENG-2"]);
    let status = stage.run(&["status", "-o", "json"]).stdout;
    assert!(status.contains("line 2"), "the bad line is named: {status}");

    let mut file = std::fs::File::options().append(true).open(stage.path("work.jsonl")).unwrap();
    file.write_all(line("ENG-1", "in_progress").trim_end().as_bytes()).unwrap();
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    assert_eq!(stage.run(&["show", "ENG-1", "-o", "json"]).json()["status"], "todo", "a torn line waits");
    file.write_all(b"\n").unwrap();
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    let task = stage.run(&["show", "ENG-1", "-o", "json"]).json();
    assert_eq!((task["status"].as_str(), task["timeline"][1]["observed"].as_bool()), (Some("in_progress"), Some(true)));
    assert!(stage.backend.spans().iter().any(|span| span.name == "todo"), "and its phase is told");
}
