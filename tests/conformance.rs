//! Lines of a spool, and exactly what `contextcore drain` makes of them: `sdk/conformance/otlp.json`.
//!
//! Times of the present and versions are left out. `UPDATE_CONFORMANCE=1 cargo test --test binary conformance` writes the file anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use contextcore_fakes::otlp::{Attributes, Collector, Handle, Log, Options, Span, SpanStatus};
use contextcore_spool::{Destination, Headers, Resource, StateDir};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Lines, and the OTLP that they give.
#[derive(Debug, Serialize, Deserialize)]
struct Case {
    name: String,
    /// By writer.
    writers: BTreeMap<String, Segment>,
    otlp: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Segment {
    project: String,
    /// What the process says of itself.
    #[serde(default, skip_serializing_if = "Resource::is_empty")]
    resource: Resource,
    lines: Vec<String>,
}

/// The machine that every case runs on: its name is part of ids.
const MACHINE: &str = "conformance1";
/// Attributes whose values differ from version to version, or from machine to machine.
const REDACTED: [&str; 4] = ["service.version", "service.instance.id", "host.name", "telemetry.sdk.version"];

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/conformance/otlp.json")
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_give_this_otlp() {
    let text = std::fs::read_to_string(file()).unwrap();
    let mut cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    let is_update = std::env::var_os("UPDATE_CONFORMANCE").is_some();
    let mut wrong = Vec::new();
    for case in &mut cases {
        let found = drained(case).await;
        if is_update {
            case.otlp = found;
        } else if found != case.otlp {
            wrong.push(format!("{}:\n{found:#}", case.name));
        }
    }
    if is_update {
        std::fs::write(file(), serde_json::to_string_pretty(&cases).unwrap() + "\n").unwrap();
    }
    assert!(wrong.is_empty(), "{} cases give something else:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases.len() >= 17);
}

/// What a helper sends of a case.
async fn drained(case: &Case) -> Value {
    let backend = Collector::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path().join("state")).unwrap();
    let headers = Headers::default();
    let to = Destination::new(&backend.grpc_url(), None, None, &headers).unwrap();
    let lane = state.lane_to(Some((&to, &headers))).unwrap();
    std::fs::write(state.path().join("machine-id"), MACHINE).unwrap();
    for (writer, Segment { project, resource, lines }) in &case.writers {
        let directory = lane.spool().join(contextcore_spool::layout::project_directory(project));
        contextcore_spool::layout::make_private(&directory).unwrap();
        let mut header =
            json!({"v": 1, "writer": writer, "project": project, "lang": "test", "sdk": "", "host": "", "pid": 1});
        if !resource.is_empty() {
            header["resource"] = json!(resource);
        }
        let text = format!("{header}\n{}\n", lines.join("\n"));
        std::fs::write(directory.join(format!("{writer}.1.jsonl")), text).unwrap();
    }
    let mut drain = Command::new(env!("CARGO_BIN_EXE_contextcore"));
    drain.env_clear().args(["drain", "--linger", "0s", "--state"]).arg(state.path()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || drain.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}: {}", case.name, String::from_utf8_lossy(&output.stderr));
    otlp(&backend)
}

/// What came in, as OTLP has it in JSON: final spans and log records, with the one resource of each project.
fn otlp(backend: &Handle) -> Value {
    let spans = backend.spans();
    // Snapshots and anchors of open work say how things are now.
    let is_final = |span: &&Span| {
        let role = span.attributes.get("contextcore.role").and_then(Value::as_str);
        !matches!(role, Some("snapshot" | "anchor"))
    };
    let logs = backend.logs();
    let resources = spans.iter().map(|span| &span.resource).chain(logs.iter().map(|log| &log.resource));
    let resources: BTreeMap<String, Value> =
        resources.map(|resource| attributes(resource)).map(|resource| (resource.to_string(), resource)).collect();
    let by_id: BTreeMap<_, _> = spans
        .iter()
        .filter(is_final)
        .map(|span| ((span.start, &span.trace_id, &span.span_id), as_span(span)))
        .collect();
    let records: BTreeMap<_, _> =
        logs.iter().map(|log| ((log.time, &log.event_name, as_log(log).to_string()), as_log(log))).collect();
    json!({
        "resources": resources.into_values().collect::<Vec<_>>(),
        "spans": by_id.into_values().collect::<Vec<_>>(),
        "logRecords": records.into_values().collect::<Vec<_>>(),
    })
}

fn as_span(span: &Span) -> Value {
    let events = span.events.iter().map(|event| {
        json!({"timeUnixNano": event.time.to_string(), "name": event.name, "attributes": attributes(&event.attributes)})
    });
    let links = span.links.iter().map(
        |link| json!({"traceId": link.trace_id, "spanId": link.span_id, "attributes": attributes(&link.attributes)}),
    );
    let status = match &span.status {
        SpanStatus::Unset => json!({}),
        SpanStatus::Ok => json!({"code": 1}),
        SpanStatus::Error(message) => json!({"code": 2, "message": message}),
    };
    json!({
        "traceId": span.trace_id, "spanId": span.span_id, "parentSpanId": span.parent_span_id, "name": span.name,
        "kind": span.kind, "startTimeUnixNano": span.start.to_string(), "endTimeUnixNano": span.end.to_string(),
        "attributes": attributes(&span.attributes), "events": events.collect::<Vec<_>>(), "links": links.collect::<Vec<_>>(),
        "status": status,
    })
}

fn as_log(log: &Log) -> Value {
    json!({
        "timeUnixNano": log.time.to_string(), "severityNumber": log.severity, "eventName": log.event_name,
        "body": value(&log.body), "attributes": attributes(&log.attributes), "traceId": log.trace_id, "spanId": log.span_id,
    })
}

fn attributes(attributes: &Attributes) -> Value {
    let given = attributes.iter().map(|(key, each)| {
        let shown = if REDACTED.contains(&key.as_str()) { json!({"stringValue": "<redacted>"}) } else { value(each) };
        json!({"key": key, "value": shown})
    });
    given.collect()
}

fn value(given: &Value) -> Value {
    match given {
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::Array(values) => json!({"arrayValue": {"values": values.iter().map(value).collect::<Vec<_>>()}}),
        Value::String(text) => json!({"stringValue": text}),
        other => json!({"stringValue": other.to_string()}),
    }
}
