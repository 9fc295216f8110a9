//! The conformance suite of the SDKs (`sdk/conformance`), from a shell: the commands write the lines that the libraries write.

use std::path::Path;

use regex::Regex;
use serde_json::{Map, Value, json};

use crate::insight_commands::Machine;

/// The cases of the SDKs' conformance suite, called from a shell: each gives the same line, but for its number, because each call is a
/// process.
#[test]
fn a_shell_writes_the_lines_of_the_sdks() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/conformance/calls.json");
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases: Vec<&Value> = cases.iter().filter(|case| case["client"] == "emitter").collect();
    // A call that an SDK drops is an error in a shell.
    let length = |list: &Value| list.as_array().map(Vec::len);
    let cases: Vec<&Value> =
        cases.into_iter().filter(|case| length(&case["calls"]) == length(&case["lines"])).collect();
    assert!(cases.len() >= 12);
    for case in cases {
        for (call, want) in case["calls"].as_array().unwrap().iter().zip(case["lines"].as_array().unwrap()) {
            let machine = Machine::alone();
            let (arguments, input) = shell_call(&case["options"], call);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            machine.with_input(&arguments, &input).good();
            let lines = machine.lines("p");
            assert_eq!(
                redacted(&lines[0], want.as_str().unwrap()),
                expanded(want.as_str().unwrap()),
                "{}",
                case["name"]
            );
        }
    }
}

/// A call as arguments and stdin.
fn shell_call(speaker: &Value, call: &Value) -> (Vec<String>, String) {
    let method = call["method"].as_str().unwrap();
    let args: Vec<String> =
        call["args"].as_array().unwrap().iter().map(|value| plain(value).as_str().unwrap().to_owned()).collect();
    let options = plain(&call["options"]);
    let mut line: Vec<String> = match (method, method.strip_suffix("_handoff")) {
        ("answer", _) => vec!["insight".into(), "answer".into()],
        ("retract", _) => vec!["insight".into(), "retract".into()],
        ("confirm" | "contradict" | "resolve", _) => vec!["insight".into(), "update".into(), method.into()],
        (_, Some(action @ ("accept" | "complete" | "reject"))) => vec!["handoff".into(), action.into()],
        _ => vec!["insight".into(), "emit".into(), "--json".into(), "-".into()],
    };
    let flag =
        |line: &mut Vec<String>, name: &str, value: &Value| line.push(format!("--{name}={}", value.as_str().unwrap()));
    let names = [
        ("agent_id", "agent"),
        ("agent_name", "agent-name"),
        ("session_id", "session"),
        ("on_behalf_of", "on-behalf-of"),
    ];
    for (name, as_flag) in names {
        speaker.get(name).into_iter().for_each(|value| flag(&mut line, as_flag, value));
    }
    line.push("--project=p".into());
    if line[1] == "emit" {
        return (line, emitted(method, &args, options).to_string());
    }
    for (name, value) in options.as_object().into_iter().flatten() {
        match name.as_str() {
            "evidence" => value.as_array().unwrap().iter().for_each(|each| flag(&mut line, "evidence", each)),
            "text" | "reason" => flag(&mut line, "reason", value),
            name => flag(&mut line, name, value),
        }
    }
    line.extend(args);
    (line, String::new())
}

/// The fields of an insight that a method of an SDK records, with the defaults of that method.
fn emitted(method: &str, args: &[String], options: Value) -> Value {
    let of = |name: &str, value: Value| Map::from_iter([(name.to_owned(), value)]);
    let (kind, summary, defaults) = match (method, args) {
        ("emit", [kind, summary]) => (kind.as_str(), summary, Map::new()),
        ("emit_risk", [summary, severity]) => ("risk", summary, of("severity", json!(severity))),
        ("emit_handoff", [to, summary]) => ("handoff", summary, of("to", json!(to))),
        ("emit_lesson", [summary]) => ("lesson", summary, of("confidence", json!(0.9))),
        ("emit_blocker", [summary]) => ("blocker", summary, of("confidence", json!(1))),
        (method, [summary]) => (method.strip_prefix("emit_").unwrap(), summary, Map::new()),
        other => panic!("{other:?}"),
    };
    let mut fields = Map::from_iter([("type".to_owned(), json!(kind)), ("summary".to_owned(), json!(summary))]);
    fields.extend(defaults);
    fields.extend(options.as_object().cloned().unwrap_or_default());
    // A library clamps what is out of range; a command refuses it.
    if fields.get("confidence").and_then(Value::as_f64).is_some_and(|sure| sure > 1.0) {
        fields.insert("confidence".to_owned(), json!(1));
    }
    Value::Object(fields)
}

/// A value without the forms that JSON lacks.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) if map.contains_key("$time") => map["$time"].clone(),
        Value::Object(map) if map.contains_key("$repeat") => {
            let times = usize::try_from(map["$repeat"][1].as_u64().unwrap()).unwrap();
            json!(map["$repeat"][0].as_str().unwrap().repeat(times))
        }
        Value::Object(map) => Value::Object(map.iter().map(|(name, value)| (name.clone(), plain(value))).collect()),
        Value::Array(list) => Value::Array(list.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// A line with the number and the placeholders of the expected one.
fn redacted(line: &str, want: &str) -> String {
    let time = Regex::new(r#""t":"[^"]+""#).unwrap().replace(line, r#""t":"<t>""#).into_owned();
    let number = Regex::new(r#""seq":\d+"#).unwrap();
    let line = number.replace(&time, number.find(want).unwrap().as_str()).into_owned();
    match want.contains(r#""id":"<id>""#) {
        true => Regex::new(r#""id":"ins_[0-9a-f]{16}""#).unwrap().replace(&line, r#""id":"<id>""#).into_owned(),
        false => line,
    }
}

/// An expected line with its long texts written out.
fn expanded(want: &str) -> String {
    let run = Regex::new(r"<(\d+) (.)>").unwrap();
    run.replace_all(want, |found: &regex::Captures<'_>| found[2].repeat(found[1].parse().unwrap())).into_owned()
}
