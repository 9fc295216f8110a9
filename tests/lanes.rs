//! A helper and its lanes: one that cannot be read stops no other, one whose headers are not known waits for a process that has them,
//! and the helper ends in time whatever its backend does.

use std::time::{Duration, Instant};

use contextcore_fakes::otlp::{Handle, Signal};

use crate::spool::{Shell, collector, files, named, text};

/// Drains with these arguments; the exit code.
fn drain(shell: &Shell, arguments: &[&str]) -> i32 {
    shell.command().arg("drain").args(arguments).output().unwrap().status.code().unwrap()
}

const HEADERS: &str = "authorization=Bearer%20hunter2hunter2";

/// The keys of tasks whose snapshots came.
fn seen(backend: &Handle) -> Vec<String> {
    let spans = backend.spans();
    let mut keys: Vec<String> =
        named(&spans, "snapshot").into_iter().map(|span| text(span, "task.id").unwrap().to_owned()).collect();
    keys.sort();
    keys.dedup();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_cannot_be_read_stops_no_other() {
    let (one, two) = (collector().await, collector().await);
    let mut shell = Shell::new(&one.grpc_url());
    shell.task(&["start", "ONE"], false);
    let broken = shell.lane();
    shell.endpoint = two.grpc_url();
    shell.task(&["start", "TWO"], false);
    let lanes = shell.state().join("lanes");
    std::fs::create_dir(lanes.join("0000000000000000")).unwrap();
    std::fs::create_dir_all(lanes.join("0000000000000001/spool/shop")).unwrap();
    std::fs::write(broken.join("lane.json"), "").unwrap();
    assert_eq!(shell.drain(&[]), 0);
    assert_eq!((seen(&one), seen(&two)), (vec![], vec!["TWO".to_owned()]));
    // A lane that is asked for by name has to be readable.
    assert_eq!(shell.drain(&["--lane", "0000000000000000"]), 1);
    // The next call says again where it goes.
    shell.endpoint = one.grpc_url();
    shell.task(&["complete", "OTHER"], false);
    assert_eq!(shell.drain(&[]), 0);
    assert_eq!(seen(&one), ["ONE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_whose_headers_are_not_known_waits_for_a_process_that_has_them() {
    let backend = collector().await;
    let mut shell = Shell::new(&backend.grpc_url());
    shell.headers = Some(HEADERS);
    shell.task(&["start", "T-1"], false);
    shell.headers = None;
    let begun = Instant::now();
    let lane = shell.lane().file_name().unwrap().to_str().unwrap().to_owned();
    let mut helper = shell.command().args(["drain", "--linger", "30s"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    shell.headers = Some(HEADERS);
    assert_eq!(shell.drain(&[]), 0, "nobody holds the lane");
    assert_eq!(seen(&backend), ["T-1"]);
    assert_eq!(helper.wait().unwrap().code(), Some(4), "it has nothing that it could drain");
    // One that is asked for waits for its headers, and ends.
    shell.task(&["start", "T-2"], false);
    shell.headers = None;
    assert_eq!(drain(&shell, &["--lane", &lane, "--linger", "1s"]), 4);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // A shell brings them to a helper that has the lane.
    let mut helper = shell.command().args(["drain", "--linger", "2s", "--lane", &lane]).spawn().unwrap();
    let socket = shell.lane().join("engine.sock");
    crate::rig::until("the helper listens", || socket.exists());
    shell.headers = Some(HEADERS);
    shell.task(&["start", "T-3"], true);
    assert_eq!(helper.wait().unwrap().code(), Some(0));
    assert_eq!(seen(&backend), ["T-1", "T-2", "T-3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_ends_although_a_service_takes_nothing() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shell = Shell::new(&format!("http+ops://127.0.0.1:{port}/v1/ops"));
    shell.task(&["start", "T-1"], false);
    let begun = Instant::now();
    assert_eq!(drain(&shell, &["--linger", "1s"]), 4);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(files(&shell.lane().join("spool")).len(), 1, "it stays in the spool");
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_that_the_lane_does_not_need_refuse_nothing() {
    let backend = collector().await;
    let shell = Shell::new(&backend.http_url());
    for (number, (name, value)) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,hunter2"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "nonsense"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "nonsense"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("T-{number}");
        let endpoint = backend.http_url();
        shell.task(&["start", &key, "--endpoint", &endpoint, "--protocol", "http/protobuf"], false);
        let output = shell.command().env(name, value).args(["drain", "--linger", "0s"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(seen(&backend).contains(&key), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_nobody_can_read_keep_no_others_back() {
    let backend = collector().await;
    let shell = Shell::new(&backend.grpc_url());
    shell.task(&["start", "T-1"], false);
    let segment = files(&shell.lane().join("spool")).pop().unwrap();
    let mut text = std::fs::read_to_string(&segment).unwrap();
    for seq in 2..8 {
        text += &format!(
            "{{\"v\":1,\"seq\":{seq},\"t\":\"2026-11-26T20:51:06.123Z\",\"op\":\"task.status\",\"task\":\"T-1\"}}\n"
        );
    }
    std::fs::write(&segment, text).unwrap();
    let mut helper = shell.command().args(["drain", "--linger", "60s"]).spawn().unwrap();
    crate::rig::until("the good line was exported", || seen(&backend) == ["T-1"]);
    helper.kill().unwrap();
    helper.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_traces_is_that_of_all_signals_too() {
    let backend = collector().await;
    let shell = Shell::new(&format!("{}/v1/traces", backend.http_url()));
    shell.task(&["start", "T-1"], false);
    assert_eq!(shell.drain(&[]), 0);
    assert_eq!(seen(&backend), ["T-1"]);
    assert!(backend.requests().iter().any(|seen| seen.signal == Signal::Logs), "log records, too");
    assert!(!backend.logs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_traces_alone_is_where_work_goes() {
    let (all, traces) = (collector().await, collector().await);
    let shell = Shell::new(&all.grpc_url());
    let of_traces = |arguments: &[&str]| {
        let mut command = shell.command();
        command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/v1/traces", traces.http_url()));
        command.env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");
        command.env("OTEL_EXPORTER_OTLP_TRACES_HEADERS", HEADERS);
        command.args(arguments).output().unwrap().status.code()
    };
    assert_eq!(of_traces(&["task", "start", "T-1", "--project", "shop", "--no-drain"]), Some(0));
    assert_eq!(of_traces(&["drain", "--linger", "0s"]), Some(0));
    assert_eq!((seen(&all).len(), seen(&traces)), (0, vec!["T-1".to_owned()]));
}

fn drained(shell: &Shell) -> (i32, String) {
    let output = shell.command().args(["drain", "--linger", "0s"]).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_go_nowhere_are_said_to_be_left() {
    let backend = collector().await;
    let shell = Shell::new("");
    assert_eq!(drained(&shell), (0, String::new()));
    shell.task(&["start", "T-1"], false);
    let (code, said) = drained(&shell);
    assert!(code == 4 && said.contains("--endpoint URL"), "{code}: {said}");
    assert_eq!(shell.drain(&["--endpoint", &backend.grpc_url()]), 0);
    assert_eq!(seen(&backend), ["T-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_lane_is_asked_to_send_what_is_there() {
    let backend = collector().await;
    let shell = Shell::new(&backend.grpc_url());
    shell.task(&["start", "T-1"], false);
    let mut helper = shell.command().args(["drain", "--linger", "60s"]).spawn().unwrap();
    let socket = shell.lane().join("engine.sock");
    crate::rig::until("the helper listens", || socket.exists());
    shell.task(&["start", "T-2"], false);
    assert_eq!(drained(&shell), (0, String::new()));
    assert_eq!(backend.logs().len(), 2, "both were sent before it ended");
    helper.kill().unwrap();
    helper.wait().unwrap();
    // A process that answers nothing has it.
    shell.task(&["start", "T-3"], false);
    let lock = std::fs::File::options().write(true).open(shell.lane().join("engine.lock")).unwrap();
    lock.lock().unwrap();
    let (code, said) = drained(&shell);
    assert!(code == 4 && said.contains("another process") && said.contains("lines are left"), "{code}: {said}");
}

/// Answers every request with this text, whatever it is.
fn foreign(answer: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http+ops://{}/v1/ops", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 65_536];
            let _read = std::io::Read::read(&mut stream, &mut buffer);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
            let _sent = std::io::Write::write_all(&mut stream, format!("{head}{answer}").as_bytes());
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_says_ok_takes_no_reports() {
    let shell = Shell::new(&foreign("<html>log in</html>"));
    shell.task(&["start", "T-1"], false);
    let output = shell.command().args(["drain", "--linger", "1s"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(4) && said.contains("not ContextCore's /v1/ops"), "{said}");
    assert_eq!(said.matches("not ContextCore's").count(), 1, "{said}");
    assert_eq!(files(&shell.lane().join("spool")).len(), 1, "it stays in the spool");
}
