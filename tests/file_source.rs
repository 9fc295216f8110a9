//! A file as a source: configured, checked, synced, followed as it grows, and exported like any other.

use std::io::Write;

use crate::rig::sample;

fn line(id: &str, status: &str) -> String {
    format!(
        "{{\"id\": \"{id}\", \"title\": \"Task {id}\", \"status\": \"{status}\", \"created\": \"2026-11-01T08:00:00Z\"}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_a_source_like_any_other() {
    let (_tool, home) = sample().await;
    std::fs::write(home.path().join("work.jsonl"), line("ENG-1", "todo") + "not JSON\n" + &line("ENG-2", "done"))
        .unwrap();
    let config = home.config_text();
    let head = config.split("projects:").next().unwrap();
    home.write(&format!("{head}sources:\n  - {{name: other, kind: file, path: work.jsonl}}\n"));

    let check = home.run(&["check"]);
    assert_eq!(check.code, Some(0), "{}{}", check.out, check.err);
    assert!(check.out.contains("other (file) at work.jsonl"), "{}", check.out);
    assert_eq!(home.run(&["sync"]).code, Some(0));
    let tasks = home.run(&["tasks", "-o", "json"]).json();
    let ids: Vec<_> = tasks.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["ENG-1", "ENG-2"]);
    let status = home.run(&["status", "-o", "json"]).out;
    assert!(status.contains("line 2"), "the bad line is named: {status}");

    let mut file = std::fs::File::options().append(true).open(home.path().join("work.jsonl")).unwrap();
    file.write_all(line("ENG-1", "in_progress").trim_end().as_bytes()).unwrap();
    assert_eq!(home.run(&["sync"]).code, Some(0));
    assert_eq!(
        home.run(&["show", "ENG-1", "-o", "json"]).json()["status"],
        "todo",
        "an unfinished line is not read yet"
    );
    file.write_all(b"\n").unwrap();
    assert_eq!(home.run(&["sync"]).code, Some(0));
    let task = home.run(&["show", "ENG-1", "-o", "json"]).json();
    assert_eq!((task["status"].as_str(), task["timeline"][1]["observed"].as_bool()), (Some("in_progress"), Some(true)));
    assert!(home.collector.spans().iter().any(|span| span.name == "todo"), "and its phase is exported");
}
