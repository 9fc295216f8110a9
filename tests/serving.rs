//! `serve`: it works, it answers, it shares its store, and it stops when asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use contextcore_fakes::otlp::{Fault, Signal};

use crate::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(30);

/// A port nobody uses just now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Status line and body of a GET.
pub(crate) fn get(port: u16, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).ok()?;
    let mut rest = String::new();
    reader.read_to_string(&mut rest).ok()?;
    Some((status.trim().to_owned(), rest.split_once("\r\n\r\n")?.1.to_owned()))
}

pub(crate) struct Serving {
    child: Child,
    pub(crate) port: u16,
}

impl Serving {
    fn start(stage: &Stage) -> Self {
        Self::start_with(stage, &stage.usual())
    }

    pub(crate) fn start_with(stage: &Stage, config: &str) -> Self {
        let port = free_port();
        stage.configure(&config.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
        Self { child: stage.start(&["serve"]), port }
    }

    fn get(&self, path: &str) -> Option<(String, String)> {
        get(self.port, path)
    }

    pub(crate) async fn until(&self, path: &str, status: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some((got, body)) = self.get(path)
                && got.contains(status)
            {
                return body;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} never answered {status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn stop(self) -> (Option<i32>, Duration, String) {
        let begun = Instant::now();
        std::process::Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        let ran = Stage::wait(self.child);
        (ran.code, begun.elapsed(), ran.stderr)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_syncs_answers_shares_the_store_and_stops() {
    let stage = Stage::new().await;
    let serving = Serving::start(&stage);
    serving.until("/healthz", "200").await;
    serving.until("/readyz", "200").await;
    assert!(stage.backend.wait(PATIENCE, |counts| counts.spans > 0 && counts.logs > 0 && counts.points > 0).await);
    let of_itself =
        |stage: &Stage| stage.backend.points().into_iter().any(|point| point.name == "contextcore.sync.last_success");
    assert!(stage.backend.wait(PATIENCE, |_| of_itself(&stage)).await);

    let tasks = stage.run(&["tasks", "--status", "open", "-o", "json"]).json();
    assert!(!tasks.as_array().unwrap().is_empty(), "read through the socket");
    let key = tasks[0]["id"].as_str().unwrap();
    assert_eq!(stage.run(&["show", key, "-o", "json"]).json()["id"], key);
    assert_eq!(stage.run(&["show", "NONE-1"]).code, Some(2));
    assert!(stage.run(&["status", "-o", "json"]).json()["sources"][0]["last_success"].is_string());
    assert!(!stage.run(&["sprints", "-o", "json"]).json().as_array().unwrap().is_empty());
    let sync = stage.run(&["sync"]);
    assert_eq!(sync.code, Some(1), "two may not write");
    assert!(sync.last_error().contains("another contextcore holds it"), "{}", sync.stderr);
    let metrics = serving.until("/metrics", "200").await;
    assert!(metrics.contains("contextcore_sync_last_success"), "{metrics}");

    let (code, took, log) = serving.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_secs(10), "{took:?}: {log}");
    assert_eq!(stage.run(&["tasks", "-o", "json"]).code, Some(0), "the store is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_down_holds_up_neither_the_others_nor_the_stop() {
    let stage = Stage::new().await;
    stage.backend.always(Signal::Traces, Some(Fault::unavailable(None)));
    let serving = Serving::start(&stage);
    assert!(stage.backend.wait(PATIENCE, |counts| counts.logs > 0 && counts.points > 0).await);
    assert_eq!(stage.backend.counts().spans, 0);
    let (code, took, log) = serving.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_secs(10), "{took:?}: {log}");
    stage.backend.always(Signal::Traces, None);
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    assert!(stage.backend.counts().spans > 0, "nothing was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_told_with_the_setting_to_change() {
    let stage = Stage::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    stage.configure(&stage.usual().replace("127.0.0.1:0", &address));
    let ran = stage.run(&["serve"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.last_error().contains("`listen`"), "{}", ran.stderr);
}
