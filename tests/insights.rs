//! Insights that programs write to a spool: stored once, exported once, found through every door, whatever else is in the spool.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use contextcore_fakes::otlp::{Collector, Fault, Handle, Options, Signal, Span};
use serde_json::{Value, json};
use tonic::Code;

use crate::rig::until;

pub(crate) const DECISION: &str = "ins_00000000000000d1";
const QUESTION: &str = "ins_00000000000000f1";

/// A machine on which programs report insights, and a backend.
pub(crate) struct Machine {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) backend: Handle,
}

impl Machine {
    pub(crate) async fn new() -> Self {
        let backend = Collector::start(Options::default()).await.unwrap();
        Self { dir: tempfile::tempdir().unwrap(), backend }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
        command
            .env_clear()
            .current_dir(self.dir.path())
            .env("CONTEXTCORE_STATE_DIR", self.dir.path().join("state"))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", self.backend.grpc_url());
        command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Makes the lane, and a task in it.
    fn task(&self, arguments: &[&str]) {
        let mut command = self.command();
        let output = command.arg("task").args(arguments).args(["--project", "shop", "--no-drain"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn lane(&self) -> PathBuf {
        let lanes = std::fs::read_dir(self.dir.path().join("state/lanes")).unwrap();
        lanes.map(|lane| lane.unwrap().path()).next().unwrap()
    }

    /// Writes lines of a writer that has ended: `number` is that of its segment.
    pub(crate) fn write(&self, writer: &str, number: u32, lines: &[Value]) {
        let writer = writer.repeat(16);
        let directory = self.lane().join("spool/shop");
        std::fs::create_dir_all(&directory).unwrap();
        let header =
            json!({"v": 1, "writer": writer, "project": "shop", "lang": "x", "sdk": "1", "host": "h", "pid": 1});
        let all = std::iter::once(&header).chain(lines).map(|line| format!("{line}\n"));
        std::fs::write(directory.join(format!("{writer}.{number}.jsonl")), all.collect::<String>()).unwrap();
    }

    /// Reads the spool with `sync`, as a service does.
    pub(crate) fn sync(&self, more: &str) -> Output {
        let config = self.config(more);
        self.run(&["--config", config.to_str().unwrap(), "sync"])
    }

    pub(crate) fn config(&self, more: &str) -> PathBuf {
        let path = self.dir.path().join("contextcore.yaml");
        let text = format!(
            "store: {{path: data}}\nexport: {{otlp: {{endpoint: '{}', protocol: grpc}}}}\n\
             sources: [{{name: work, kind: sdk, path: state}}]\n{more}\n",
            self.backend.grpc_url()
        );
        std::fs::write(&path, text).unwrap();
        path
    }
}

pub(crate) fn line(seq: u64, fields: Value) -> Value {
    let mut line = json!({"v": 1, "seq": seq, "t": format!("2026-11-20T10:00:{seq:02}.000Z")});
    line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    line
}

pub(crate) fn decision() -> Value {
    json!({"op": "insight.emit", "id": DECISION, "type": "decision", "summary": "Selected events", "confidence": 0.92,
        "rationale": "Decouples payment", "category": "architecture", "severity": "high", "agent": "claude", "session": "s-81", "on_behalf_of": "ada",
        "applies_to": ["src/checkout/**", "task:T-1"], "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
}

fn question() -> Value {
    json!({"op": "insight.emit", "id": QUESTION, "type": "question", "summary": "Which region?", "agent": "claude",
        "blocking": true, "to": "human", "task": "T-1"})
}

fn update(id: &str, action: &str, who: Value) -> Value {
    let mut line = json!({"op": "insight.update", "id": id, "action": action, "text": "eu, for latency"});
    line.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
    line
}

pub(crate) fn text<'s>(span: &'s Span, name: &str) -> Option<&'s str> {
    span.attributes.get(name).and_then(Value::as_str)
}

pub(crate) fn of_role(spans: &[Span], role: &str) -> Vec<Span> {
    spans.iter().filter(|span| text(span, "contextcore.role") == Some(role)).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insight_is_one_final_span_and_each_change_a_log_record() {
    let machine = Machine::new().await;
    machine.task(&["start", "T-1", "--title", "Checkout"]);
    assert!(machine.sync("").status.success());
    machine.write("0a", 1, &[line(1, decision()), line(2, question())]);
    assert!(machine.sync("").status.success());
    let spans = of_role(&machine.backend.spans(), "insight");
    assert_eq!(spans.len(), 2);
    let span = spans.iter().find(|span| text(span, "agent.insight.id") == Some(DECISION)).unwrap();
    assert_eq!(
        (&*span.name, span.start, span.end),
        ("decision: Selected events", 1_795_168_801_000_000_000, span.start)
    );
    for (name, value) in [
        ("agent.id", "claude"),
        ("gen_ai.agent.id", "claude"),
        ("gen_ai.conversation.id", "s-81"),
        ("agent.on_behalf_of", "ada"),
        ("agent.insight.type", "decision"),
        ("agent.insight.rationale", "Decouples payment"),
        ("task.id", "T-1"),
    ] {
        assert_eq!(text(span, name), Some(value), "{name}");
    }
    assert_eq!(span.attributes["agent.insight.confidence"], 0.92);
    assert!(!span.attributes.contains_key("agent.insight.status"), "what is exported is final");
    let kinds: Vec<&str> = span.links.iter().map(|link| link.attributes["link.type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["task", "runtime"]);
    assert_eq!(span.links[1].trace_id, "0af7651916cd43dd8448eb211c80319c");
    let waiting = of_role(&machine.backend.spans(), "insight_snapshot");
    assert_eq!(waiting.iter().filter_map(|span| text(span, "agent.insight.status")).collect::<Vec<_>>(), ["open"]);
    let tasks = of_role(&machine.backend.spans(), "snapshot");
    let asked = format!("question {QUESTION}");
    assert_eq!(tasks.iter().map(|span| text(span, "task.waits_for")).collect::<Vec<_>>(), [None, Some(&*asked)]);
    // Said again, answered, and answered once more: one record each, and no second span.
    let ada = json!({"by": "ada"});
    machine.write(
        "0b",
        1,
        &[
            line(3, decision()),
            line(4, update(QUESTION, "answer", ada.clone())),
            line(5, update(QUESTION, "answer", ada)),
        ],
    );
    assert!(machine.sync("").status.success());
    assert_eq!(of_role(&machine.backend.spans(), "insight").len(), 2);
    let logs = machine.backend.logs();
    let changes: Vec<_> = logs.iter().filter(|log| log.event_name == "insight.updated").collect();
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].attributes["agent.insight.status"], "answered");
    assert!(changes[1].attributes["agent.insight.refused"].as_str().unwrap().contains("this one is answered"));
    assert_eq!(
        changes[0].trace_id,
        spans.iter().find(|span| text(span, "agent.insight.id") == Some(QUESTION)).unwrap().trace_id
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_have_no_texts_and_privacy_keeps_texts_here() {
    let machine = Machine::new().await;
    machine.task(&["start", "T-1"]);
    machine.write(
        "0a",
        1,
        &[
            line(1, decision()),
            line(2, question()),
            line(3, update(QUESTION, "suggest_answer", json!({"agent": "other"}))),
        ],
    );
    assert!(machine.sync("privacy: {insights: omit, assignee: hash}").status.success());
    let sent = format!("{:?}{:?}{:?}", machine.backend.spans(), machine.backend.logs(), machine.backend.points());
    for secret in ["Selected", "Decouples", "architecture", "\"high\"", "Which region", "latency", "\"ada\""] {
        assert!(!sent.contains(secret), "{secret}");
    }
    let points = machine.backend.points();
    let of = |name: &str| points.iter().filter(|point| point.name == name).cloned().collect::<Vec<_>>();
    let counts = of("insight.count");
    assert_eq!(counts.len(), 2);
    assert!(counts.iter().any(|point| point.attributes["agent.insight.status"] == "suggested"));
    let ages = of("insight.question.age");
    assert_eq!(ages.iter().filter(|point| point.attributes["blocking"] == "true").count(), 1);
    assert_eq!(of("agent.active").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_are_set_aside_and_the_same_line_twice_counts_once() {
    let machine = Machine::new().await;
    machine.task(&["start", "T-1"]);
    let bad = json!({"op": "insight.emit", "id": DECISION, "type": "rumour", "summary": "x"});
    let nameless = json!({"op": "insight.update", "id": "7", "action": "retract"});
    let lines = [line(1, decision()), line(2, bad), line(3, nameless), line(4, question())];
    machine.write("0a", 1, &lines);
    // The same lines, received a second time from another machine.
    machine.write("0a", 2, &lines);
    assert!(machine.sync("").status.success());
    assert_eq!(of_role(&machine.backend.spans(), "insight").len(), 2);
    let export = machine.run(&["store", "export", "--output", "json"]);
    assert!(export.status.success() || !export.stderr.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_stores_insights_answers_questions_and_says_that_all_has_arrived() {
    let machine = Machine::new().await;
    let refusal = || Fault::refuse(404, Code::Unimplemented, "unknown service", None);
    machine.backend.always(Signal::Logs, Some(refusal()));
    machine.task(&["start", "T-1"]);
    machine.write(
        "0a",
        1,
        &[line(1, decision()), line(2, question()), line(3, update(DECISION, "retract", json!({"agent": "claude"})))],
    );
    // The writer is alive.
    let segment = machine.lane().join(format!("spool/shop/{}.1.jsonl", "0a".repeat(16)));
    let alive = std::fs::File::open(segment).unwrap();
    alive.lock().unwrap();
    let mut helper = machine.command().args(["drain", "--linger", "30s"]).spawn().unwrap();
    let socket = machine.lane().join("engine.sock");
    until("the helper listens", || UnixStream::connect(&socket).is_ok());
    let mut stream = BufReader::new(UnixStream::connect(&socket).unwrap());
    let mut ask = |request: Value| {
        stream.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let writers = serde_json::Map::from_iter([("0a".repeat(16), 3.into())]);
    let flushed = ask(json!({"cmd": "flush", "writers": writers, "timeout_ms": 15_000}));
    assert_eq!(flushed, json!({"ok": true}));
    let found = ask(
        json!({"cmd": "insight.query", "query": {"project": "shop", "type": "question", "limit": 20, "since": "9999d"}}),
    );
    assert_eq!(
        (&found["ok"], &found["total"], &found["insights"][0]["id"]),
        (&json!(true), &json!(1), &json!(QUESTION))
    );
    let all = ask(json!({"cmd": "insight.query", "query": {"status": "all", "path": "src/checkout/a.py"}}));
    assert_eq!(all["insights"][0]["status"], "retracted");
    let shown = ask(json!({"cmd": "insight.show", "query": {"id": "ins_00000000000000d"}}));
    assert_eq!(shown["entries"].as_array().unwrap().len(), 2);
    assert_eq!(ask(json!({"cmd": "insight.show", "query": {"id": "ins_ff"}}))["ok"], false);
    assert_eq!(ask(json!({"cmd": "stop"}))["ok"], true);
    helper.wait().unwrap();
    assert_eq!(of_role(&machine.backend.spans(), "insight").len(), 2);
    assert!(machine.backend.logs().is_empty(), "what takes only traces gets only traces");
}

#[tokio::test(flavor = "multi_thread")]
async fn insights_of_two_writers_survive_kills() {
    let machine = Machine::new().await;
    machine.task(&["start", "T-1"]);
    for round in 0..10_u64 {
        let emit = |writer: u64| {
            let id = format!("ins_{:016x}", round * 16 + writer);
            line(
                1,
                json!({"op": "insight.emit", "id": id, "type": "lesson", "summary": format!("Lesson {round}"), "agent": "a"}),
            )
        };
        // Both also say the first one again.
        let again = line(
            2,
            json!({"op": "insight.emit", "id": DECISION, "type": "decision", "summary": "Selected", "agent": "a"}),
        );
        machine.write(&format!("{:02x}", round * 2), 1, &[emit(0), again.clone()]);
        machine.write(&format!("{:02x}", round * 2 + 1), 1, &[emit(1), again]);
        let mut helper = machine.command().args(["drain", "--linger", "0s"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(round * 37 % 190));
        helper.kill().unwrap();
        helper.wait().unwrap();
    }
    assert!(machine.run(&["drain", "--linger", "0s"]).status.success());
    let spans = of_role(&machine.backend.spans(), "insight");
    let mut by_id = std::collections::BTreeMap::new();
    for span in &spans {
        let known = by_id.entry(&span.span_id).or_insert(span);
        assert_eq!((known.start, &known.name, &known.attributes), (span.start, &span.name, &span.attributes));
    }
    assert_eq!(by_id.len(), 21);
    let config = machine.dir.path().join("lane.yaml");
    std::fs::write(&config, format!("store: {{path: '{}'}}", machine.lane().join("engine").display())).unwrap();
    let verified = machine.run(&["--config", config.to_str().unwrap(), "store", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}
