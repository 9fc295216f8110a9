//! What was typed becomes an insight, or is refused.

use clap::Parser;

use super::*;
use crate::args::{Cli, Command, Insight};

const NOW: Millis = Millis(1_794_303_000_000);

fn parsed(arguments: &[&str]) -> Emit {
    let line = ["contextcore", "insight", "emit"].iter().chain(arguments);
    match Cli::try_parse_from(line).unwrap().command {
        Command::Insight(command) => match *command {
            Insight::Emit(emit) => *emit,
            _ => panic!("no emit"),
        },
        _ => panic!("no insight"),
    }
}

fn emitted(arguments: &[&str]) -> Result<Emission, String> {
    let emit = parsed(arguments);
    let speaker = emit.speaker.clone();
    emission("p", typed(emit)?, &speaker, NOW, [7; 8])
}

fn line(arguments: &[&str]) -> String {
    serde_json::to_string(&emitted(arguments).unwrap().insight).unwrap()
}

#[test]
fn flags_and_json_give_the_same_insight() {
    let by_flags = line(&[
        "decision",
        "All",
        "--confidence",
        "0.5",
        "--key",
        "k-1",
        "--expires-at",
        "2027-01-01T00:00:00Z",
        "--supersedes",
        "ins_0000000000000000",
        "--context",
        "path=src/a.py",
        "--context",
        "lines=12",
        "--evidence",
        "commit:9fceb02",
        "--evidence",
        "https://example.org/x",
        "--evidence",
        "docs/adr/1.md",
        "--severity",
        "low",
        "--audience",
        "human",
        "--tag",
        "x,y",
        "--category",
        "c",
        "--rationale",
        "r",
        "--task",
        "T-9",
        "--applies-to",
        "service:checkout",
        "--agent",
        "a",
        "--agent-name",
        "claude-code",
        "--session",
        "s-81",
        "--on-behalf-of",
        "ada",
    ]);
    let json = r#"{"insight_type":"decision","summary":"All","confidence":0.5,"key":"k-1","expires_at":"2027-01-01T00:00:00Z",
        "supersedes":"ins_0000000000000000","context":{"path":"src/a.py","lines":"12"},"evidence":[{"kind":"commit","ref":"9fceb02"},
        "https://example.org/x","docs/adr/1.md"],"severity":"low","audience":"human","tags":["x","y"],"category":"c",
        "rationale":"r","task_id":"T-9","applies_to":["service:checkout"],"agent_id":"a","agent_name":"claude-code",
        "session_id":"s-81","on_behalf_of":"ada","to":null}"#;
    let fields = read(json).unwrap().remove(0);
    let by_json = emission("p", fields, &Speaker::default(), NOW, [7; 8]).unwrap().insight;
    assert_eq!(serde_json::to_string(&by_json).unwrap(), by_flags);
    insta::assert_snapshot!(by_flags, @r#"{"id":"ins_8b6c4668ccb432e5","type":"decision","summary":"All","confidence":0.5,"agent":"a","applies_to":["service:checkout","src/a.py"],"agent_name":"claude-code","session":"s-81","on_behalf_of":"ada","task":"T-9","key":"k-1","rationale":"r","category":"c","tags":["x","y"],"audience":"human","severity":"low","evidence":[{"kind":"commit","ref":"9fceb02"},{"kind":"url","ref":"https://example.org/x"},{"kind":"doc","ref":"docs/adr/1.md"}],"context":{"lines":"12"},"supersedes":["ins_0000000000000000"],"expires_at":"2027-01-01T00:00:00Z"}"#);
}

#[test]
fn types_have_their_defaults_and_ids() {
    assert_eq!(
        line(&["question", "Which region?", "--option", "eu", "--option", "us", "--blocking"]),
        r#"{"id":"ins_0707070707070707","type":"question","summary":"Which region?","options":["eu","us"],"blocking":true,"to":"human"}"#
    );
    let same = emitted(&["--type", "lesson", "--summary", "Mock the gateway", "--applies-to", "src/"]).unwrap();
    let again = emitted(&["--type", "lesson", " mock  THE gateway ", "--scope", "path:src/"]).unwrap();
    assert_eq!(same.insight.id, again.insight.id);
    let date = emitted(&["decision", "R", "--expires-at", "2027-01-01"]).unwrap().insight.expires_at;
    let days = emitted(&["decision", "R", "--expires-at", "2d"]).unwrap().insight.expires_at;
    assert_eq!((date.as_deref(), days.as_deref()), (Some("2027-01-01"), Some("2026-11-12T09:30:00Z")));
}

#[test]
fn what_is_too_long_is_cut_and_said() {
    let (long, reason) = ("s".repeat(300), "r".repeat(2_500));
    let mut arguments = vec!["decision", long.as_str(), "--rationale", reason.as_str()];
    let scopes: Vec<String> = (0..20).map(|number| format!("src/{number}.py")).collect();
    scopes.iter().for_each(|scope| arguments.extend(["--applies-to", scope.as_str()]));
    let Emission { insight, cut } = emitted(&arguments).unwrap();
    assert_eq!((insight.summary.chars().count(), insight.applies_to.len()), (200, 16));
    assert_eq!(
        cut,
        [
            "summary: cut from 300 to 200 characters",
            "rationale: cut from 2500 to 2000 characters",
            "applies_to: cut from 20 to 16 entries"
        ]
    );
}

#[test]
fn what_is_wrong_is_refused_with_the_field() {
    let token = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    let table: [(&[&str], &str); 13] = [
        (&[], "the type is missing"),
        (&["decison", "x"], "did you mean `decision`?"),
        (&["zzz", "x"], "known: decision, lesson"),
        (&["decision"], "summary: "),
        (&["decision", " "], "summary: "),
        (&["decision", "x", "--confidence", "1.5"], "confidence: "),
        (&["decision", "x", "--evidence", "comit:1"], "did you mean `commit`?"),
        (&["decision", "x", "--supersedes", "ins_1"], "supersedes: "),
        (&["decision", "x", "--expires-at", "soon"], "expires_at: `soon`"),
        (&["handoff", "x"], "to: "),
        (&["decision", "--type", "lesson", "x", "--summary", "y"], "one argument too many"),
        (&["decision", "x", "--rationale", &token], "rationale: looks like a secret"),
        (&["decision", "x", "--context", "password=hunter2!x"], "context: looks like a secret"),
    ];
    for (arguments, want) in table {
        let error = emitted(arguments).unwrap_err();
        assert!(
            error.contains(want) && !error.contains("hunter2") && !error.contains("a1B2"),
            "{arguments:?}: {error}"
        );
    }
    for (json, want) in [
        ("", "there is no JSON object"),
        ("{", "this is no JSON"),
        ("[1]", "an insight is a JSON object"),
        (r#"{"sumary":"x"}"#, "did you mean `summary`?"),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.contains(want), "{json}: {error}");
    }
    let fields = read(r#"{"type":"decision","summary":"x","confidence":"high"}"#).unwrap().remove(0);
    let error = emission("p", fields, &Speaker::default(), NOW, [0; 8]).unwrap_err();
    assert!(error.starts_with("confidence: invalid type"), "{error}");
}

#[test]
fn changes_are_cut_and_hold_no_secret() {
    let update = |text: &str| InsightUpdate {
        id: "i".into(),
        action: "answer".into(),
        text: Some(text.into()),
        ..InsightUpdate::default()
    };
    let (cut, said) = change(update(&"x".repeat(3_000))).unwrap();
    assert_eq!((cut.text.unwrap().chars().count(), said.len()), (2_000, 1));
    assert!(change(update("use password=hunter2!x")).unwrap_err().starts_with("text: looks like a secret"));
    assert_eq!(change(update("eu")).unwrap().1, [""; 0]);
}

#[test]
fn an_answer_says_something() {
    let answer = |action: &str, text: Option<&str>| {
        let (action, text) = (action.to_owned(), text.map(str::to_owned));
        change(InsightUpdate { id: "ins_00000000000000aa".into(), action, text, ..InsightUpdate::default() })
    };
    for action in ["answer", "suggest_answer"] {
        assert!(answer(action, None).unwrap_err().contains("write it after the id"));
        assert!(answer(action, Some(" ")).is_err() && answer(action, Some("eu")).is_ok());
    }
    assert!(answer("retract", None).is_ok());
}
