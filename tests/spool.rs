//! Work that a shell reports: written down at once, sent by a helper, final and counted once, whatever is killed meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use contextcore_fakes::otlp::{Collector, Fault, Handle, Options, Signal, Span};
use contextcore_sdk::TaskTracker;
use serde_json::Value;
use tonic::Code;

use crate::rig::until;

pub(crate) struct Shell {
    pub(crate) dir: tempfile::TempDir,
    /// Where `task` sends to.
    pub(crate) endpoint: String,
    pub(crate) headers: Option<&'static str>,
}

impl Shell {
    pub(crate) fn new(endpoint: &str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), endpoint: endpoint.to_owned(), headers: None }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
        command
            .env_clear()
            .env("CONTEXTCORE_STATE_DIR", self.state())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint);
        command.envs(self.headers.map(|headers| ("OTEL_EXPORTER_OTLP_HEADERS", headers)));
        command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    pub(crate) fn task(&self, arguments: &[&str], drain: bool) -> Value {
        let mut command = self.command();
        command.args(["-o", "json", "task"]).args(arguments).args(["--project", "shop"]);
        if !drain {
            command.arg("--no-drain");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn drain(&self, more: &[&str]) -> i32 {
        let output = self.command().args(["drain", "--linger", "0s"]).args(more).output().unwrap();
        output.status.code().unwrap()
    }

    pub(crate) fn lane(&self) -> PathBuf {
        let lanes = std::fs::read_dir(self.state().join("lanes")).unwrap();
        lanes.map(|lane| lane.unwrap().path()).next().unwrap()
    }
}

pub(crate) fn text<'s>(span: &'s Span, name: &str) -> Option<&'s str> {
    span.attributes.get(name).and_then(Value::as_str)
}

pub(crate) fn named<'s>(spans: &'s [Span], role: &str) -> Vec<&'s Span> {
    spans.iter().filter(|span| text(span, "contextcore.role") == Some(role)).collect()
}

pub(crate) async fn collector() -> Handle {
    Collector::start(Options::default()).await.unwrap()
}

/// Every file under a directory.
pub(crate) fn files(under: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(under).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_two_days_report_is_one_final_span_with_true_times() {
    let backend = collector().await;
    let shell = Shell::new(&backend.grpc_url());
    shell.task(&["start", "T-1", "--title", "Checkout", "--type", "story", "--at", "2026-11-16T09:00:00Z"], false);
    shell.task(&["status", "T-1", "in_progress", "--at", "2026-11-16T10:00:00Z"], false);
    assert_eq!(shell.drain(&[]), 0);
    assert!(named(&backend.spans(), "task").is_empty(), "it is open");
    assert_eq!(named(&backend.spans(), "snapshot").len(), 1, "and seen at once");
    assert!(files(&shell.lane().join("spool")).is_empty(), "nothing is left behind");
    shell.task(&["complete", "T-1", "--at", "2026-11-17T12:00:00Z"], false);
    shell.task(&["complete", "T-1", "--at", "2026-11-17T12:00:01Z"], false);
    assert_eq!(shell.drain(&[]), 0);
    let spans = backend.spans();
    let tasks = named(&spans, "task");
    assert_eq!((tasks.len(), named(&spans, "completion").len()), (1, 1));
    assert_eq!((&*tasks[0].name, text(tasks[0], "task.type")), ("T-1 Checkout", Some("story")));
    assert_eq!((tasks[0].end - tasks[0].start) / 1_000_000_000, 27 * 3_600);
    assert!(!backend.logs().is_empty() && backend.points().is_empty(), "logs, and no metrics of a project");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_start_nobody_reported_is_logs_only_until_somebody_does() {
    let backend = collector().await;
    let shell = Shell::new(&backend.grpc_url());
    shell.task(&["status", "T-1", "in_progress", "--at", "2026-11-16T10:00:00Z"], false);
    shell.task(&["complete", "T-1", "--at", "2026-11-17T12:00:00Z"], false);
    shell.task(&["comment", "T-2", "is anybody on it?"], false);
    assert_eq!(shell.drain(&[]), 0);
    assert!(backend.spans().is_empty(), "neither final spans nor snapshots: {:?}", backend.spans());
    let names = || {
        let mut names: Vec<String> = backend.logs().iter().map(|log| log.event_name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["task.commented", "task.completed", "task.status_changed", "task.status_changed"]);
    // A laptop that was offline comes back with the start.
    shell.task(&["start", "T-1", "--title", "Checkout", "--type", "story", "--at", "2026-11-16T09:00:00Z"], false);
    assert_eq!(shell.drain(&[]), 0);
    let spans = backend.spans();
    assert_eq!((named(&spans, "task").len(), named(&spans, "phase").len()), (1, 2));
    let task = named(&spans, "task")[0];
    assert_eq!((&*task.name, text(task, "task.type")), ("T-1 Checkout", Some("story")));
    assert_eq!((task.end - task.start) / 1_000_000_000, 27 * 3_600);
    let all = ["task.commented", "task.completed", "task.created", "task.status_changed", "task.status_changed"];
    assert_eq!(names(), all, "nothing twice");
    assert_eq!(shell.drain(&[]), 0);
    assert_eq!(named(&backend.spans(), "task").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_to_one_backend_reaches_no_other_and_no_token_is_on_disk() {
    let (one, two) = (collector().await, collector().await);
    let mut shell = Shell::new(&one.grpc_url());
    shell.headers = Some("authorization=Bearer%20hunter2hunter2");
    let first = shell.task(&["start", "ONE", "--no-drain"], true);
    shell.endpoint = two.grpc_url();
    let second = shell.task(&["start", "TWO", "--no-drain"], true);
    assert_ne!(first["lane"], second["lane"]);
    assert_eq!(shell.drain(&[]), 0);
    let ids = |backend: &Handle| {
        let spans = backend.spans();
        spans
            .iter()
            .map(|span| text(span, "task.id").unwrap_or_default().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!((ids(&one).len(), ids(&two).len()), (1, 1));
    assert!(ids(&one).contains("ONE") && ids(&two).contains("TWO"));
    for file in files(&shell.state()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"hunter2"), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_knows_only_traces_gets_only_traces() {
    let backend = collector().await;
    let refusal = || Fault::refuse(404, Code::Unimplemented, "unknown service", None);
    backend.always(Signal::Logs, Some(refusal()));
    let shell = Shell::new(&backend.grpc_url());
    shell.task(&["start", "T-1"], false);
    shell.task(&["complete", "T-1"], false);
    assert_eq!(shell.drain(&[]), 0, "nothing waits for ever");
    assert_eq!(named(&backend.spans(), "task").len(), 1);
    let asked = |backend: &Handle| backend.requests().iter().filter(|seen| seen.signal == Signal::Logs).count();
    let before = asked(&backend);
    shell.task(&["start", "T-2"], false);
    assert_eq!((shell.drain(&[]), asked(&backend)), (0, before), "it is not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_starts_by_itself_answers_on_its_socket_and_ends() {
    let backend = collector().await;
    let shell = Shell::new(&backend.grpc_url());
    let reported = shell.task(&["start", "T-1", "--title", "Checkout"], true);
    until("the first span came", || !backend.spans().is_empty());
    let socket = shell.lane().join("engine.sock");
    let mut stream = BufReader::new(UnixStream::connect(&socket).unwrap());
    let mut ask = |request: &str| {
        stream.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let pid = ask(r#"{"v":1,"cmd":"ping"}"#)["pid"].as_u64().unwrap();
    assert_eq!(ask(r#"{"v":1,"cmd":"dance"}"#)["ok"], false);
    assert_eq!(ask(r#"{"v":1,"cmd":"headers","headers":{"authorization":"x"}}"#)["ok"], false);
    assert_eq!(ask(r#"{"v":1,"cmd":"flush","writers":{"00":1},"timeout_ms":50}"#)["ok"], false, "no such writer");
    assert_eq!(reported["seq"], 1);
    // A second helper finds the lane taken and ends.
    assert_eq!(shell.drain(&[]), 0);
    assert_eq!(ask(r#"{"v":1,"cmd":"stop"}"#)["ok"], true);
    until("the helper ended", || !Path::new(&format!("/proc/{pid}/exe")).exists());
    assert!(!socket.exists());
}

/// Test runners read a pipe of their own to its end, and a shell hands it on.
#[tokio::test(flavor = "multi_thread")]
async fn a_helper_holds_no_file_of_its_caller_open() {
    let backend = collector().await;
    let shell = Shell::new(&backend.grpc_url());
    let report = r#"exec 3>&1; "$0" task start T-1 --project shop >/dev/null 2>&1"#;
    let mut child = Command::new("/bin/sh")
        .args(["-c", report, env!("CARGO_BIN_EXE_contextcore")])
        .env_clear()
        .envs(shell.command().get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(pipe.read_to_end(&mut Vec::new())));
    assert!(child.wait().unwrap().success());
    ended.recv_timeout(Duration::from_secs(5)).expect("nobody has the pipe any more").unwrap();
    until("the first span came", || !backend.spans().is_empty());
    let mut helper = UnixStream::connect(shell.lane().join("engine.sock")).expect("the helper lingers");
    helper.write_all(b"{\"v\":1,\"cmd\":\"stop\"}\n").unwrap();
}

/// How many processes are killed, if somebody says so.
#[expect(clippy::disallowed_methods, reason = "a knob of this test, no setting of the product")]
fn kills_or(few: u64) -> u64 {
    std::env::var("CONTEXTCORE_KILLS").map_or(few, |kills| kills.parse().unwrap())
}

/// Runs in a process of its own, until it is killed.
#[test]
#[ignore = "the process that `nothing_that_returned_is_lost_or_doubled_when_a_thousand_writers_are_killed` kills"]
fn report_until_killed() {
    let Some(name) = std::env::var_os("WRITER_OF_THE_TEST") else { return };
    let tracker = TaskTracker::builder().project("shop").drain(false).build().unwrap();
    for n in 0.. {
        let key = format!("{}-{n}", name.to_str().unwrap());
        tracker.start_task(&key, &"Checkout ".repeat(n % 50)).complete();
        println!("returned {key}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Kills a writer of these names after a moment. Returns the tasks whose completion returned.
fn killed(state: &Path, endpoint: &str, writer: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "spool::report_until_killed", "--ignored", "--nocapture"])
        .env("CONTEXTCORE_STATE_DIR", state)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("WRITER_OF_THE_TEST", format!("W{writer}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("returned") {
        assert!(output.read_line(&mut text).unwrap() > 0, "it ended by itself");
    }
    std::thread::sleep(Duration::from_micros(writer * 37 % 2_000));
    child.kill().unwrap();
    child.wait().unwrap();
    output.read_to_string(&mut text).unwrap();
    text.lines().filter_map(|line| Some(line.split_once("returned ")?.1.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_returned_is_lost_or_doubled_when_a_thousand_writers_are_killed() {
    let backend = collector().await;
    let shell = Shell::new(&backend.grpc_url());
    let returned: Vec<String> =
        (0..kills_or(1_000)).flat_map(|writer| killed(&shell.state(), &shell.endpoint, writer)).collect();
    assert_eq!(shell.drain(&[]), 0);
    let spans = backend.spans();
    let mut finished: Vec<&str> = named(&spans, "task").iter().map(|span| text(span, "task.id").unwrap()).collect();
    let all = finished.len();
    finished.sort_unstable();
    finished.dedup();
    assert_eq!(finished.len(), all, "every span came once");
    let lost: Vec<&String> = returned.iter().filter(|key| finished.binary_search(&key.as_str()).is_err()).collect();
    assert!(lost.is_empty(), "{} of {}: {lost:?}", lost.len(), returned.len());
    assert!(all as u64 <= returned.len() as u64 + kills_or(1_000), "at most what was not answered came beside that");
    assert!(files(&shell.lane().join("spool")).is_empty());
}

/// Each kill waits for a helper, so that a thousand (`CONTEXTCORE_KILLS=1000`) take minutes.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_helpers_are_killed() {
    let wanted = kills_or(100);
    let backend = collector().await;
    let shell = Shell::new(&backend.grpc_url());
    let (mut kills, mut rounds) = (0, 0);
    while kills < wanted {
        let key = format!("T-{rounds}");
        let tracker = TaskTracker::builder().project("shop").endpoint(backend.grpc_url()).state_dir(shell.state());
        tracker.drain(false).build().unwrap().start_task(&key, "Checkout").complete();
        let mut helper = shell.command().args(["drain", "--linger", "0s"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rounds * 23 % 170));
        kills += u64::from(helper.try_wait().unwrap().is_none());
        rounds += 1;
        helper.kill().unwrap();
        helper.wait().unwrap();
    }
    println!("{kills} helpers were killed in {rounds} rounds");
    assert_eq!(shell.drain(&[]), 0);
    let spans = backend.spans();
    let mut finished: Vec<&str> = named(&spans, "task").iter().map(|span| text(span, "task.id").unwrap()).collect();
    finished.sort_unstable();
    finished.dedup();
    assert_eq!(finished.len() as u64, rounds, "every task has its span");
    // What was sent twice after a kill has the same id and the same contents.
    let mut by_id = std::collections::BTreeMap::new();
    for span in named(&spans, "task") {
        let known = by_id.entry(span.span_id.clone()).or_insert(span);
        assert_eq!((known.start, known.end, &known.name), (span.start, span.end, &span.name));
    }
    assert_eq!(by_id.len() as u64, rounds);
    assert!(files(&shell.lane().join("spool")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn work_without_an_endpoint_waits_for_one() {
    let backend = collector().await;
    let mut shell = Shell::new("");
    let reported = shell.task(&["start", "T-1"], true);
    assert_eq!(reported["lane"], "none");
    assert_eq!(shell.drain(&[]), 4, "what waits is not sent");
    shell.endpoint = backend.grpc_url();
    let endpoint = shell.endpoint.clone();
    assert_eq!(shell.drain(&["--endpoint", &endpoint]), 0);
    assert_eq!(named(&backend.spans(), "snapshot").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_in_rust_starts_the_helper_and_knows_when_everything_has_arrived() {
    let backend = collector().await;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let tracker = TaskTracker::builder()
        .project("shop")
        .endpoint(backend.grpc_url())
        .state_dir(&state)
        .binary(env!("CARGO_BIN_EXE_contextcore"))
        .drain(true)
        .build()
        .unwrap();
    tracker.task("T-1").title("Checkout").task_type("story").start().complete();
    let lane = files(&state).into_iter().find(|file| file.ends_with("lane.json")).unwrap();
    let is_accepted = tokio::task::spawn_blocking(move || tracker.close(Duration::from_secs(20))).await.unwrap();
    assert!(is_accepted);
    let spans = backend.spans();
    assert_eq!(named(&spans, "task")[0].name, "T-1 Checkout");
    let socket = lane.with_file_name("engine.sock");
    UnixStream::connect(&socket).unwrap().write_all(b"{\"v\":1,\"cmd\":\"stop\"}\n").unwrap();
    until("the helper ended", || !socket.exists());
}
