//! `serve`: it syncs, answers, shares its store, and stops on request.

use std::net::TcpListener;
use std::time::Duration;

use contextcore_fakes::otlp::{Fault, Signal};

use crate::rig::{Installation, LIMIT, Service, sample};

#[tokio::test(flavor = "multi_thread")]
async fn it_syncs_answers_shares_the_store_and_stops() {
    let (_tool, home) = sample().await;
    let mut service = Service::start(&home);
    service.until("/healthz", "200");
    service.until("/readyz", "200");
    assert!(home.collector.wait(LIMIT, |counts| counts.spans > 0 && counts.logs > 0 && counts.points > 0).await);
    let of_itself = |home: &Installation| {
        home.collector.points().into_iter().any(|point| point.name == "contextcore.sync.last_success")
    };
    assert!(home.collector.wait(LIMIT, |_| of_itself(&home)).await);

    let tasks = home.run(&["tasks", "--status", "open", "-o", "json"]).json();
    assert!(!tasks.as_array().unwrap().is_empty(), "read through the socket");
    let key = tasks[0]["id"].as_str().unwrap();
    assert_eq!(home.run(&["show", key, "-o", "json"]).json()["id"], key);
    assert_eq!(home.run(&["show", "NONE-1"]).code, Some(2));
    assert!(home.run(&["status", "-o", "json"]).json()["sources"][0]["last_success"].is_string());
    assert!(!home.run(&["sprints", "-o", "json"]).json().as_array().unwrap().is_empty());
    let sync = home.run(&["sync"]);
    assert_eq!(sync.code, Some(0), "the service polls for it: {}", sync.err);
    let replay = home.run(&["replay"]);
    assert_eq!(replay.code, Some(1), "two processes may not write");
    assert!(replay.last_error().contains("another contextcore holds it"), "{}", replay.err);
    let metrics = service.until("/metrics", "200");
    assert!(metrics.contains("contextcore_sync_last_success"), "{metrics}");

    service.stop();
    assert_eq!(home.run(&["tasks", "-o", "json"]).code, Some(0), "the store is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_backend_delays_neither_the_other_signals_nor_the_stop() {
    let (_tool, home) = sample().await;
    home.collector.always(Signal::Traces, Some(Fault::unavailable(None)));
    let service = Service::start(&home);
    assert!(home.collector.wait(LIMIT, |counts| counts.logs > 0 && counts.points > 0).await);
    assert_eq!(home.collector.counts().spans, 0);
    service.stop();
    home.collector.always(Signal::Traces, None);
    assert_eq!(home.run(&["sync"]).code, Some(0));
    assert!(home.collector.counts().spans > 0, "nothing was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_asks_for_an_absurd_wait_stalls_its_signal_and_says_so() {
    let (_tool, home) = sample().await;
    let for_ever = Duration::from_secs(u64::MAX);
    home.collector.always(Signal::Logs, Some(Fault::unavailable(Some(for_ever))));
    let mut service = Service::start(&home);
    let reasons = service.until("/readyz", "503");
    assert!(reasons.contains("logs: http://") && reasons.contains("upstream is starting"), "{reasons}");
    assert!(reasons.contains("asked again in 15m"), "{reasons}");
    service.until("/healthz", "200");
    assert!(service.until("/metrics", "200").contains("contextcore_export_failing_seconds{signal=\"logs\"}"));
    service.stop();
    home.collector.always(Signal::Logs, None);
    assert_eq!(home.run(&["sync"]).code, Some(0));
    assert!(home.collector.counts().logs > 0, "nothing was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_an_error_that_names_the_setting() {
    let (_tool, home) = sample().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    home.write(&format!("listen: {address}\n{}", home.config_text()));
    let ran = home.run(&["serve"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.last_error().contains("`listen`"), "{}", ran.err);
}
