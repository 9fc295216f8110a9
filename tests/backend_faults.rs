//! A backend that refuses, throttles, accepts a part, or drops the connection after storing: in the end it holds everything
//! once, the exit code says what happened, and what is permanently refused is not retried.

use std::collections::BTreeMap;
use std::time::Duration;

use contextcore_fakes::otlp::{self, Fault, Point, Signal};
use contextcore_fakes::world::IssueId;

use crate::rig::{HOUR, Installation, LIMIT, Outcome, Setup, Tool, assert_same};

/// A sample world, and its outcome with a backend without faults.
async fn truth() -> (Tool, Outcome) {
    let tool = Tool::sample().await;
    let clean = tool.home().await;
    clean.sync();
    let truth = clean.outcome();
    (tool, truth)
}

fn second() -> Option<Duration> {
    Some(Duration::from_secs(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_closed_for_a_while_is_retried() {
    let (tool, truth) = truth().await;
    let home = tool.home().await;
    home.collector.refuse_for(Duration::from_secs(2)).await;
    let summary = home.summary(0, &[]);
    assert!(summary["export"]["retries"].as_u64() > Some(0), "{summary}");
    home.outcome().assert_same(&truth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_backend_gives_code_4_soon_and_the_journal_keeps_everything() {
    let (tool, truth) = truth().await;
    let home = tool.home_with(&Setup { export: "give_up: 1s", ..Setup::default() }).await;
    let url = home.collector.grpc_url();
    home.write(&home.config_text().replace(&url, "http://127.0.0.1:1"));
    let ran = home.run(&["sync"]).expect(4);
    assert!(ran.took < Duration::from_secs(20), "{:?}", ran.took);
    assert_eq!(ran.errors().len(), 1, "all signals fail alike: {}", ran.err);
    for error in ran.errors() {
        assert!(error.contains("http://127.0.0.1:1") && error.contains("stays in the journal"), "{error}");
    }
    let backlog = home.run(&["status", "--output", "json"]).expect(0).json()["sources"][0]["backlog"].clone();
    assert!(backlog["traces"].as_u64() > Some(100) && backlog["logs"].as_u64() > Some(100), "{backlog}");
    home.write(&home.config_text().replace("http://127.0.0.1:1", &url));
    home.sync();
    home.outcome().assert_same(&truth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate_limits_are_respected_over_both_protocols() {
    let (tool, truth) = truth().await;
    let mut runs = Vec::new();
    for http in [false, true] {
        let home = tool.home_with(&Setup { http, ..Setup::default() }).await;
        for signal in Signal::ALL {
            let script = [Fault::rate_limited(second()), Fault::unavailable(second()), Fault::unavailable(None)];
            home.collector.script_for(signal, script);
        }
        let run = home.spawn(&["sync", "--output", "json"]);
        runs.push((home, run));
    }
    for (home, run) in runs {
        let ran = run.wait(LIMIT).expect(0);
        assert!(ran.took >= Duration::from_secs(2), "rate limited twice for a second: {:?}", ran.took);
        assert_eq!((&ran.json()["export"]["retries"], &ran.json()["export"]["rejected"]), (&9.into(), &0.into()));
        home.outcome().assert_same(&truth);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_fit_the_message_limit_of_the_backend() {
    let (tool, truth) = truth().await;
    let backend = otlp::Options { max_message: 30_000, ..otlp::Options::default() };
    let home = tool.home_with(&Setup { backend, ..Setup::default() }).await;
    assert_eq!(home.summary(0, &[])["export"]["rejected"], 0);
    home.outcome().assert_same(&truth);
}

/// The newest values of `contextcore.export.rejected`, by signal: all of it for being too old.
fn refused(home: &Installation) -> BTreeMap<String, f64> {
    let text = |point: &Point, key: &str| point.attributes[key].as_str().unwrap().to_owned();
    let rejected = home.collector.points().into_iter().filter(|point| point.name == "contextcore.export.rejected");
    let mut newest = BTreeMap::new();
    for point in rejected {
        let (reason, value) = (text(&point, "error.type"), point.value.as_f64());
        assert!(reason == "too_old" || value == 0.0, "{point:?}");
        if reason == "too_old" {
            newest.insert(text(&point, "signal"), value);
        }
    }
    newest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partial_success_is_counted_kept_as_dead_letters_and_not_retried() {
    let (tool, truth) = truth().await;
    let home = tool.home().await;
    // A backfill of metrics begins with a single sample of the present.
    for (signal, rejected) in Signal::ALL.into_iter().zip([2, 3, 1]) {
        let reason = format!("{} of the past are too old", signal.as_str());
        home.collector.script_for(signal, [Fault::Partial { rejected, reason }]);
    }
    let ran = home.run(&["sync"]).expect(4).says(&["permanently refused 6 items", "contextcore status"]);
    for words in ["traces of the past", "logs of the past", "metrics of the past"] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    let status = home.run(&["status"]).expect(0);
    assert!(status.out.contains("of the past"), "{}", status.out);
    let before = home.collector.counts();
    home.sync();
    assert_eq!(home.collector.counts().logs, before.logs, "never retried");
    assert_eq!(
        refused(&home),
        [("logs", 3.0), ("metrics", 1.0), ("traces", 2.0)].map(|(of, n)| (of.to_owned(), n)).into()
    );
    let outcome = home.outcome();
    assert_eq!(outcome.lines.len() + 3, truth.lines.len());
    assert!(outcome.lines.iter().all(|(line, content)| truth.lines.get(line) == Some(content)));
    // Once the backend accepts everything, a replay completes it, with the same ids.
    home.run(&["replay"]).expect(0);
    let whole = home.outcome();
    assert_same("history spans", &whole.history, &truth.history);
    assert_same("log records", &whole.lines, &truth.lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_before_or_after_storing_loses_nothing() {
    let (tool, truth) = truth().await;
    let mut runs = Vec::new();
    for http in [false, true] {
        let home = tool.home_with(&Setup { http, ..Setup::default() }).await;
        for signal in [Signal::Logs, Signal::Metrics] {
            home.collector.script_for(signal, [Fault::StoreThenDrop, Fault::Drop]);
        }
        let run = home.spawn(&["sync", "--output", "json"]);
        runs.push((home, run));
    }
    for (home, run) in runs {
        assert_eq!(run.wait(LIMIT).expect(0).json()["export"]["retries"], 4);
        let logs = home.collector.logs().len();
        assert!(logs > truth.lines.len(), "{logs} records were stored, some twice");
        home.outcome().assert_same(&truth);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_error_is_retried_a_few_times_and_then_a_dead_letter() {
    let (tool, truth) = truth().await;
    let home = tool.home_with(&Setup { http: true, ..Setup::default() }).await;
    home.collector.script_for(Signal::Metrics, [Fault::server_error("overloaded")]);
    home.collector.script_for(Signal::Logs, [Fault::bad_request("entry too far behind")]);
    let stubborn = tool.home_with(&Setup { http: true, ..Setup::default() }).await;
    let too_old = || Fault::server_error("out of bounds: sample too old");
    stubborn.collector.script_for(Signal::Metrics, std::iter::repeat_with(too_old).take(4));
    let (run, stubborn_run) = (home.spawn(&["sync"]), stubborn.spawn(&["sync"]));
    run.wait(LIMIT).expect(4).says(&["permanently refused"]);
    let outcome = home.outcome();
    assert!(outcome.values == truth.values, "one server error is transient");
    assert!(outcome.lines.len() < truth.lines.len() && outcome.history == truth.history);
    let letters = home.run(&["status", "--output", "json"]).expect(0).out;
    assert!(letters.contains("entry too far behind") && !letters.contains("overloaded"), "{letters}");

    stubborn_run.wait(LIMIT).expect(4).says(&["permanently refused"]);
    let letters = stubborn.run(&["status", "--output", "json"]).expect(0).out;
    assert!(letters.contains("sample too old") && letters.contains("out_of_order"), "{letters}");
    stubborn.sync();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_credential_stops_that_signal_and_loses_nothing() {
    let (tool, truth) = truth().await;
    let home = tool.home().await;
    home.collector.always(Signal::Logs, Some(Fault::unauthenticated()));
    let ran = home.run(&["sync"]).expect(4).says(&["logs", "no org id", "headers"]);
    assert!(ran.took < Duration::from_secs(20), "a person must act, so there is no retry: {:?}", ran.took);
    assert!(home.outcome().history == truth.history && home.outcome().lines.is_empty(), "the other signals went on");
    home.collector.always(Signal::Logs, None);
    home.sync();
    home.outcome().assert_same(&truth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_signal_catches_up_from_its_own_position() {
    let (tool, _) = truth().await;
    let home = tool.home_with(&Setup { export: "give_up: 1s", ..Setup::default() }).await;
    let rename = |home: &Installation, title: &str| {
        tool.pass(HOUR);
        tool.edit(|edit| edit.rename(IssueId::FIRST, title));
        home.run(&["sync"])
    };
    home.sync();
    for (round, down) in Signal::ALL.into_iter().enumerate() {
        home.collector.always(down, Some(Fault::unavailable(None)));
        rename(&home, &format!("Round {round}")).expect(4).says(&[down.as_str(), "stays in the journal"]);
        home.collector.always(down, None);
    }
    rename(&home, "At last").expect(0);
    let clean = tool.home().await;
    clean.sync();
    home.outcome().at(tool.now()).assert_same(&clean.outcome().at(tool.now()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_exports_the_same_again() {
    let (tool, truth) = truth().await;
    let home = tool.home().await;
    home.sync();
    home.collector.clear();
    tool.pass(HOUR);
    home.run(&["replay"]).expect(0);
    let again = home.outcome();
    assert_same("history spans", &again.history, &truth.history);
    assert_same("log records", &again.lines, &truth.lines);
    // It moves no position: the next sync exports nothing of the past.
    home.collector.clear();
    home.sync();
    assert!(home.outcome().history.is_empty() && home.outcome().lines.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_sent_again_once_and_dropped() {
    let (tool, truth) = truth().await;
    let home = tool.home().await;
    home.collector.script_for(Signal::Logs, [Fault::bad_request("entry too far behind")]);
    home.run(&["sync"]).expect(4).says(&["permanently refused"]);
    let before = home.outcome();
    let letters = home.run(&["dead-letters", "list", "--format", "json"]).expect(0).json();
    let letter = &letters[0];
    let missing = truth.lines.len() - before.lines.len();
    assert_eq!((letters.as_array().unwrap().len(), letter["items"].as_u64()), (1, Some(missing as u64)), "{letters}");
    assert!(letter["reason"].as_str().unwrap().contains("too far behind") && letter["can_retry"] == true, "{letters}");

    let already = home.collector.logs().len();
    let id = letter["id"].as_str().unwrap();
    let retried = home.run(&["dead-letters", "retry", id, "--format", "json"]).expect(0).json();
    assert_eq!((&retried["accepted"], &retried["refused"]), (&missing.into(), &0.into()), "{retried}");
    assert_eq!(home.collector.logs().len(), already + missing, "those records and no others");
    home.outcome().assert_same(&truth);
    assert_eq!(home.run(&["dead-letters", "list", "--format", "json"]).expect(0).json(), serde_json::json!([]));
    home.run(&["dead-letters", "retry", id]).expect(2).says(&["no dead letter"]);

    let again = tool.home().await;
    again.collector.script_for(Signal::Logs, [Fault::bad_request("entry too far behind")]);
    again.run(&["sync"]).expect(4);
    again.run(&["dead-letters", "drop"]).expect(0);
    assert!(again.run(&["dead-letters", "list"]).expect(0).out.contains("no dead letters"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_partial_rejection_a_retry_finds_what_is_refused_and_resends_that_alone() {
    let (tool, _) = truth().await;
    let home = tool.home().await;
    let refuse = |rejected| Fault::Partial { rejected, reason: "too old".to_owned() };
    home.collector.script_for(Signal::Logs, [refuse(3)]);
    home.run(&["sync"]).expect(4);
    let letters = || home.run(&["dead-letters", "list", "--format", "json"]).expect(0).json();
    let retry = |letter: &serde_json::Value| {
        home.run(&["dead-letters", "retry", letter["id"].as_str().unwrap(), "--format", "json"]).json()
    };
    // Nobody said which three they were: each is sent alone, and two are refused still.
    home.collector.script_for(Signal::Logs, [refuse(1), refuse(1)]);
    let retried = retry(&letters()[0]);
    assert_eq!((retried["letters"].as_u64(), retried["refused"].as_u64()), (Some(1), Some(2)), "{retried}");
    let left = letters();
    assert_eq!((left.as_array().unwrap().len(), left[0]["items"].as_u64()), (1, Some(2)), "{left}");
    let before = home.collector.logs().len();
    let retried = retry(&left[0]);
    assert_eq!((retried["accepted"].as_u64(), retried["refused"].as_u64()), (Some(2), Some(0)), "{retried}");
    assert_eq!(home.collector.logs().len(), before + 2, "what was refused, and nothing else");
    assert_eq!(letters(), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_page_in_front_of_a_backend_is_no_acceptance() {
    let (tool, truth) = truth().await;
    let home = tool.home_with(&Setup { http: true, ..Setup::default() }).await;
    Signal::ALL.into_iter().for_each(|signal| home.collector.always(signal, Some(Fault::login_page())));
    let ran = home.run(&["sync"]).expect(4);
    assert_eq!(ran.errors().len(), 3, "{}", ran.err);
    assert!(ran.errors().iter().all(|error| error.contains("web page") && error.contains("stays in the journal")));
    Signal::ALL.into_iter().for_each(|signal| home.collector.always(signal, None));
    home.sync();
    home.outcome().assert_same(&truth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_protocol_on_a_port_is_named_by_check_and_sync() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    let (grpc, http) = (home.collector.grpc_url(), home.collector.http_url());
    home.write(&home.config_text().replace(&grpc, &http));
    for command in ["check", "sync"] {
        let ran = home.run(&[command]).expect(4);
        assert_eq!(ran.errors().len(), 1, "{}", ran.err);
        let hint = "this port speaks HTTP: set `protocol: http/protobuf`";
        assert!(ran.errors().iter().all(|error| error.contains(hint)), "{}", ran.err);
        assert!(!ran.err.contains("verdict=") && !ran.err.contains("ambiguous="), "{}", ran.err);
    }
}
