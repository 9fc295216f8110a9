//! Lines as they are written, read and left for a newer program.

use super::*;

fn read(text: &str) -> Line {
    match parse(text).unwrap() {
        Parsed::Line(line) => *line,
        Parsed::Newer { .. } => panic!("left for a newer program: {text}"),
    }
}

#[test]
fn lines_are_written_as_they_were_read() {
    for text in [
        r#"{"v":1,"seq":2,"t":"2026-11-26T20:51:06.123Z","op":"task.start","task":"PROJ-123","title":"Implement checkout flow","type":"story","parent":"EPIC-42"}"#,
        r#"{"v":1,"seq":3,"t":"2026-11-26T20:51:06.124Z","at":"2026-11-26T09:00:00Z","op":"task.status","task":"PROJ-123","status":"in_progress","actor":"ada"}"#,
        r#"{"v":1,"seq":4,"t":"2026-11-26T20:51:06.124Z","at":"2026-11-26T09:00:00.250Z","op":"task.progress","task":"a","percent":62.5}"#,
        r#"{"v":1,"seq":5,"t":"2026-11-26T20:51:06.000Z","op":"task.progress","task":"a","percent":50}"#,
        r#"{"v":1,"seq":6,"t":"2026-11-26T20:51:06.000Z","op":"task.update","task":"a","parent":null,"estimate":null,"labels":[],"attributes":{"z":1,"a":null,"b":true,"c":"ü \"x\"\n"}}"#,
        r#"{"v":1,"seq":7,"t":"2026-11-26T20:51:06.000Z","op":"task.link","task":"a","kind":"pr","ref":"acme/x#1","url":"https://x","actor":"ada","traceparent":"00-00000000000000000000000000000001-0000000000000001-01"}"#,
        r#"{"v":1,"seq":9,"t":"2026-11-26T20:51:06.000Z","op":"insight.emit","id":"ins_7f3c0a9be2d14c55","type":"decision","summary":"s","confidence":0.92,"agent":"a","applies_to":["src/x.py"]}"#,
    ] {
        assert_eq!(read(text).text().unwrap(), format!("{text}\n"));
    }
}

#[test]
fn every_operation_is_known_by_its_name() {
    for name in NAMES {
        let text = format!(
            r#"{{"v":1,"seq":1,"t":"2026-11-26T20:51:06.000Z","op":"{name}","task":"a","id":"i","type":"t","summary":"s",
            "action":"a","status":"done","percent":1,"text":"x","name":"n","kind":"pr","ref":"r"}}"#
        );
        assert_eq!(read(&text).operation.name(), name);
    }
}

#[test]
fn what_a_newer_program_wrote_is_left_for_one() {
    for text in
        [r#"{"v":2,"seq":5,"what":"?","op":"task.start"}"#, r#"{"v":1,"seq":5,"t":"x","op":"task.teleport","task":{}}"#]
    {
        assert_eq!(parse(text), Ok(Parsed::Newer { seq: 5 }), "{text}");
    }
    for text in [
        "",
        "{",
        "[]",
        r#"{"v":1,"seq":1,"t":"x","op":"task.complete","task":"a"}"#,
        r#"{"v":1,"seq":1,"t":"2026-11-26T20:51:06.000Z","op":"task.complete"}"#,
        r#"{"v":1,"seq":1,"t":"2026-11-26T20:51:06.000Z","op":"task.complete","task":" "}"#,
        r#"{"v":1,"t":"2026-11-26T20:51:06.000Z","op":"task.complete","task":"a"}"#,
        r#"{"v":1,"seq":1,"t":"2026-11-26T20:51:06.000Z","op":"task.status","task":"a","status":""}"#,
        r#"{"v":1,"seq":1,"t":"2026-11-26T20:51:06.000Z","op":"task.comment","task":"a","text":" "}"#,
        r#"{"v":1,"seq":1,"t":"2026-11-26T20:51:06.000Z","op":"task.link","task":"a","kind":"pr","ref":""}"#,
        r#"{"v":1,"seq":1,"t":"2026-11-26T20:51:06.000Z","op":"task.link","task":"a","kind":"","ref":"1"}"#,
        r#"{"v":1,"seq":1,"t":"2026-11-26T20:51:06.000Z","op":"sprint.start","id":""}"#,
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_operation_counts_when_it_happened_but_not_in_the_future() {
    let at = |at: &str| {
        let text =
            format!(r#"{{"v":1,"seq":1,"t":"2026-11-26T20:00:00.000Z","at":"{at}","op":"task.complete","task":"a"}}"#);
        read(&text).counts_at().to_string()
    };
    assert_eq!(at("2026-11-26T09:00:00Z"), "2026-11-26T09:00:00.000Z");
    assert_eq!(at("2027-11-26T09:00:00Z"), "2026-11-26T20:00:00.000Z");
    assert_eq!(at("1901-11-26T09:00:00Z"), "2026-11-26T20:00:00.000Z");
}

#[test]
fn a_long_line_is_cut_where_its_texts_are_long() {
    let comment = |text: String| Line {
        v: 1,
        seq: 1,
        t: Millis(0),
        at: None,
        operation: Operation::Comment(TaskComment { task: "a".into(), text, author: None }),
        actor: None,
        traceparent: None,
    };
    let text = comment("ü".repeat(40_000)).text().unwrap();
    assert!(text.len() < 3_000 && text.contains('…'));
    assert!(comment("ü".repeat(10_000)).text().unwrap().len() > 20_000);
    let wide = Operation::Complete(TaskOnly { task: "x".repeat(MAX_LINE) });
    assert_eq!(Line { operation: wide, ..comment(String::new()) }.text(), None);
}

#[test]
fn names_of_projects_are_safe_as_names_of_files() {
    assert_eq!(percent_encode("commerce-platform_1.0~x"), "commerce-platform_1.0~x");
    assert_eq!(percent_encode("../a b/ü"), "%2E.%2Fa%20b%2F%C3%BC");
    assert_eq!(native_id("a/b", "T-1"), "a%2Fb/T-1");
}

#[test]
fn the_committed_schema_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/ops.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, json_schema()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == json_schema(), "schemas/ops.schema.json is stale: run this test with UPDATE_SCHEMA=1");
}
