//! Who reported an insight, what that proves, who was given it, and how many are kept.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Output};

use serde_json::{Value, json};

use crate::insights::{DECISION, Machine, decision, line};
use crate::rig::until;

const LESSON: &str = "ins_00000000000000c1";

/// A service that takes operations from a person and two programs.
struct Service<'m> {
    machine: &'m Machine,
    port: u16,
    process: Child,
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

impl<'m> Service<'m> {
    fn start(machine: &'m Machine) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let token = |name: &str, more: &str| {
            let file = machine.dir.path().join(format!("{name}.token"));
            std::fs::write(&file, format!("secret-of-{name}\n")).unwrap();
            format!("{{name: {name}, token: {{file: '{}'}}, projects: [shop]{more}}}", file.display())
        };
        let tokens = [token("one", ""), token("two", ""), token("ada", ", scope: human")].join(", ");
        let config = machine.config(&format!("listen: 127.0.0.1:{port}\nops: {{tokens: [{tokens}]}}\n"));
        let process = machine.command().arg("--config").arg(config).arg("serve").spawn().unwrap();
        let service = Self { machine, port, process };
        until("the service answers", || service.post("nobody", &[]).contains("401"));
        service
    }

    /// Posts lines with a token. Each body has a writer of its own.
    fn post(&self, token: &str, lines: &[Value]) -> String {
        let header = json!({"v": 1, "writer": format!("{:032x}", rand::random::<u128>()), "project": "shop"});
        let body: String = std::iter::once(&header).chain(lines).map(|line| format!("{line}\n")).collect();
        let request = format!(
            "POST /v1/ops HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer secret-of-{token}\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut answer = String::new();
        let sent = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| {
            stream.write_all(request.as_bytes())?;
            stream.read_to_string(&mut answer)
        });
        sent.map_or_else(|error| error.to_string(), |_| answer)
    }

    fn show(&self, id: &str) -> Value {
        serde_json::from_slice(&insight(self.machine, &["show", id]).stdout).unwrap_or_default()
    }

    fn until(&self, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until(what, || holds(&self.show(id)));
        self.show(id)
    }
}

/// `contextcore insight …` of the project, in JSON.
fn insight(machine: &Machine, arguments: &[&str]) -> Output {
    machine
        .run(&[&["--config", "contextcore.yaml", "-o", "json", "insight"], arguments, &["--project", "shop"]].concat())
}

fn lesson(agent: &str) -> Value {
    json!({"op": "insight.emit", "id": LESSON, "type": "lesson", "summary": "Mock the gateway", "confidence": 0.9, "agent": agent})
}

fn confirm(id: &str, who: Value) -> Value {
    let mut line = json!({"op": "insight.update", "id": id, "action": "confirm"});
    line.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_proves_who_reports_and_only_that_of_a_person_confirms() {
    let machine = Machine::new().await;
    let service = Service::start(&machine);
    assert!(service.post("one", &[line(1, lesson("a"))]).contains("200 OK"));
    let stored = service.until(LESSON, "it is stored", |shown| shown["id"] == LESSON);
    assert_eq!((&stored["review"], &stored["author"]["id"]), (&json!("unreviewed"), &json!("a")));
    // The same words by somebody who proves to be another.
    service.post("two", &[line(2, lesson("b"))]);
    let agreed = service.until(LESSON, "it is corroborated", |shown| shown["review"] == "corroborated");
    assert_eq!((&agreed["confirmed"], &agreed["seen"]), (&json!(1), &json!(2)));
    // A program that says it is a person is none.
    service.post("two", &[line(3, confirm(LESSON, json!({"by": "Ada"})))]);
    let claimed =
        service.until(LESSON, "the claim is on record", |shown| shown["entries"].as_array().map(Vec::len) == Some(2));
    assert_eq!((&claimed["review"], &claimed["entries"][1]["origin"]), (&json!("corroborated"), &json!("two")));
    service.post("ada", &[line(4, confirm(LESSON, json!({})))]);
    let confirmed = service.until(LESSON, "a person confirms", |shown| shown["review"] == "confirmed");
    assert_eq!((&confirmed["entries"][2]["by"], &confirmed["entries"][2]["kind"]), (&json!("ada"), &json!("human")));
    assert!(service.post("ada", &[]).contains("200 OK") && service.post("eve", &[]).contains("401"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_machine_says_proves_nothing_whatever_its_files_say() {
    let machine = Machine::new().await;
    let service = Service::start(&machine);
    let made = machine.run(&["task", "start", "T-1", "--project", "shop", "--no-drain"]);
    assert!(made.status.success());
    let lanes = std::fs::read_dir(machine.dir.path().join("state/lanes")).unwrap().map(|lane| lane.unwrap().path());
    let lane = lanes.into_iter().find(|lane| !lane.ends_with("received")).unwrap();
    let (writer, spool) = ("0c".repeat(16), lane.join("spool/shop"));
    let header = json!({"v": 1, "writer": writer, "project": "shop", "origin": {"who": "ada", "human": true}});
    let lines = [header, line(1, decision()), line(2, confirm(DECISION, json!({"by": "Ada"})))];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(spool.join(format!("{writer}.1.jsonl")), text).unwrap();
    // What comes in makes the service look at its spools at once.
    service.post("one", &[line(1, lesson("a"))]);
    let stored = service.until(DECISION, "it is stored", |shown| shown["confirmed"] == 1);
    assert_eq!((&stored["review"], &stored["entries"][1]["origin"]), (&json!("unreviewed"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_confirms_from_a_shell_with_a_token() {
    let machine = Machine::new().await;
    let service = Service::start(&machine);
    service.post("one", &[line(1, lesson("a"))]);
    service.until(LESSON, "it is stored", |shown| shown["id"] == LESSON);
    let endpoint = format!("http+ops://127.0.0.1:{}/v1/ops", service.port);
    // Another machine: no configuration, no store.
    let laptop = machine.dir.path().join("laptop");
    std::fs::create_dir(&laptop).unwrap();
    let review = |id: &str, more: &[&str]| {
        let mut review = machine.command();
        review.current_dir(&laptop).env("CONTEXTCORE_STATE_DIR", &laptop);
        review.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret-of-ada");
        review.args(["insight", "review", id, "--endpoint", &endpoint]).args(more).output().unwrap()
    };
    for (id, more) in [(&LESSON[..8], &["--project", "shop"][..]), (LESSON, &[])] {
        let refused = review(id, more);
        let err = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && err.contains("its whole id") && err.contains("--project"), "{err}");
    }
    let done = review(LESSON, &["--project", "shop"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    service.until(LESSON, "the helper has posted it", |shown| shown["review"] == "confirmed");
    let mut drain = machine.command();
    drain.env("CONTEXTCORE_STATE_DIR", machine.dir.path().join("laptop"));
    drain.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret-of-ada");
    drop(drain.args(["drain", "--linger", "0s"]).output().unwrap());
}

/// What holds for a path, and whether it is blocked.
fn checked(service: &Service<'_>) -> (Option<i32>, Vec<String>) {
    let arguments = ["--config", "contextcore.yaml", "guide", "check", "src/api.rs", "--project", "shop"];
    let output = service.machine.run(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text.lines().map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn guidance_that_a_person_sends_with_a_token_binds_and_no_other_token_touches_it() {
    let machine = Machine::new().await;
    let service = Service::start(&machine);
    let add = |text: &str| json!({"op": "guidance.add", "id": "api", "kind": "constraint", "text": text, "severity": "blocking"});
    let end = json!({"op": "guidance.end", "id": "api"});
    service.post("one", &[line(1, add("Break it"))]);
    until("what a program says is a warning", || {
        checked(&service).1.contains(&"src/api.rs: warning of store:api: Break it (local)".to_owned())
    });
    assert_eq!(checked(&service).0, Some(0));
    service.post("ada", &[line(1, add("Keep it"))]);
    until("what a person says blocks", || checked(&service).0 == Some(3));
    let blocked = "src/api.rs: blocked by person:api: Keep it (token of ada)".to_owned();
    assert!(checked(&service).1.contains(&blocked), "{:?}", checked(&service));
    service.post("one", &[line(2, end.clone())]);
    until("a program ends its own", || !checked(&service).1.iter().any(|line| line.contains("store:api")));
    assert_eq!((checked(&service).0, checked(&service).1.contains(&blocked)), (Some(3), true));
    service.post("ada", &[line(2, end)]);
    until("a person ends it", || checked(&service).0 == Some(0));
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_review_what_is_asked_for() {
    let machine = Machine::new().await;
    assert!(machine.run(&["task", "start", "T-1", "--project", "shop", "--no-drain"]).status.success());
    machine.write("0a", 1, &[line(1, decision())]);
    assert!(machine.sync("").status.success());
    let run = |arguments: &[&str]| insight(&machine, arguments);
    assert_eq!(json_of(&run(&["review"])), json!([]));
    assert!(String::from_utf8_lossy(&run(&["review"]).stderr).contains("1 insight asked for less than 3 times"));
    assert_eq!(json_of(&run(&["review", "--all"]))[0]["id"], DECISION);
    for _ in 0..3 {
        json_of(&run(&["query"]));
    }
    let waiting = json_of(&run(&["review"]));
    assert_eq!((&waiting[0]["id"], &waiting[0]["served"]), (&json!(DECISION), &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_insights_are_kept_and_what_nobody_asks_for_goes_first() {
    let machine = Machine::new().await;
    assert!(machine.run(&["task", "start", "T-1", "--project", "shop", "--no-drain"]).status.success());
    let limits = "insights: {max: 3}";
    let numbered = |seq: u64| {
        let id = format!("ins_{seq:016x}");
        line(
            seq,
            json!({"op": "insight.emit", "id": id, "type": "lesson", "summary": format!("Lesson {seq}"), "agent": "a"}),
        )
    };
    let ids = || {
        let found = json_of(&insight(&machine, &["query"]));
        let mut ids: Vec<String> =
            found.as_array().unwrap().iter().map(|one| one["summary"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    machine.write("0a", 1, &[numbered(1), numbered(2), numbered(3)]);
    assert!(machine.sync(limits).status.success());
    machine.write("0b", 1, &[numbered(4)]);
    assert!(machine.sync(limits).status.success());
    assert_eq!(ids(), ["Lesson 2", "Lesson 3", "Lesson 4"], "the oldest that nobody asked for made room");
    // By now all three were asked for: there is no room for another one.
    machine.write("0c", 1, &[numbered(5)]);
    machine.sync(limits);
    assert_eq!(ids(), ["Lesson 2", "Lesson 3", "Lesson 4"]);
    let status = json_of(&machine.run(&["--config", "contextcore.yaml", "-o", "json", "status"])).to_string();
    assert!(status.contains("insights.max"), "the reason is kept: {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_are_kept_as_long_as_is_configured() {
    let machine = Machine::new().await;
    assert!(machine.run(&["task", "start", "T-1", "--project", "shop", "--no-drain"]).status.success());
    let note = |seq: u64, kind: &str| {
        let id = format!("ins_{seq:016x}");
        line(seq, json!({"op": "insight.emit", "id": id, "type": kind, "summary": kind, "agent": "a", "key": kind}))
    };
    machine.write("0a", 1, &[note(1, "progress"), note(2, "analysis"), note(3, "decision")]);
    for _ in 0..2 {
        // The notes are from 2026-11-20.
        assert!(machine.sync("insights: {keep: {progress: 1d, analysis: 36500d}}").status.success());
    }
    let found = json_of(&insight(&machine, &["query", "--status", "all"]));
    let mut kinds: Vec<&str> = found.as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    kinds.sort();
    assert_eq!(kinds, ["analysis", "decision"]);
}
