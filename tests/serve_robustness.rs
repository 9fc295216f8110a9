//! A running `serve`: commands beside it see what the store holds, runs never overlap, health checks are right, and neither a
//! stop nor a kill loses anything.

use std::time::Duration;

use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::jira::Options;
use contextcore_fakes::otlp::{self, Signal};
use contextcore_fakes::world::World;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::rig::{Installation, LIMIT, NOW, Service, Setup, Tool};

const SEARCH: &str = "POST */search/jql";

/// An installation whose source has this key too.
async fn with_source(tool: &Tool, source: &str) -> Installation {
    tool.home_with(&Setup { source, ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_beside_a_service_see_what_the_store_holds() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    let mut serve = Service::start(&home);
    serve.until("/readyz", "200");
    serve.run.wait_for("sync ended", LIMIT);
    let key = home.tasks()[3]["id"].as_str().unwrap().to_owned();
    let commands: [&[&str]; 6] = [
        &["tasks", "--output", "json"],
        &["tasks", "--status", "open", "--project", "SHOP", "--type", "story", "--output", "csv"],
        &["tasks", "--status", "cancelled", "--type", "incident"],
        &["sprints", "--output", "json"],
        &["show", &key],
        &["show", &key, "--output", "json"],
    ];
    let query = || commands.map(|arguments| home.run(arguments).expect(0).out);
    let beside = query();
    home.run(&["show", "NOPE-1"]).expect(2).says(&["NOPE-1"]);
    home.run(&["store", "compact"]).expect(1).says(&["another contextcore holds it"]);
    home.run(&["replay"]).expect(1).says(&["another contextcore holds it"]);
    serve.stop();
    for ((arguments, there), here) in commands.iter().zip(&beside).zip(&query()) {
        let differing = there.lines().zip(here.lines()).find(|(there, here)| there != here);
        assert!(there == here, "{arguments:?} prints something else: {differing:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_reloads_the_configuration_and_an_invalid_one_changes_nothing() {
    let tool = Tool::sample().await;
    let home = with_source(&tool, "schedule: '0 0 1 1 *'").await;
    let mut serve = Service::start(&home);
    serve.until("/readyz", "200");
    serve.run.wait_for("sync ended", LIMIT);
    let valid = home.config_text();
    home.write(&format!("{valid}nonsense: true\n"));
    serve.run.signal("HUP");
    serve.run.wait_for("the old one stays", LIMIT);
    serve.until("/healthz", "200");
    home.write(&valid.replace("path: ./data", "path: ./elsewhere"));
    serve.run.signal("HUP");
    serve.run.wait_for("`store` cannot change", LIMIT);
    let second = valid[valid.find("  - name:").unwrap()..].replace("acme-jira", "second");
    home.write(&format!("{valid}{second}"));
    serve.run.signal("HUP");
    serve.run.wait_for("reloaded the configuration", LIMIT);
    serve.until("/healthz", "200");
    serve.run.wait_for("source=\"second\"", LIMIT);
    let status = home.run(&["status", "-o", "json"]).json();
    assert_eq!(status["sources"][1]["name"], "second", "{status}");
    let log = serve.stop().err;
    assert_eq!(log.matches("reloaded the configuration").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connections_starve_neither_health_checks_nor_polls() {
    let tool = Tool::sample().await;
    tool.pass(19_000);
    let home = with_source(&tool, "schedule: '* * * * *'").await;
    let mut command = home.prepare(std::process::Command::new("sh"), &["-c"]);
    command.arg("ulimit -n 256; exec \"$0\" serve").arg(env!("CARGO_BIN_EXE_contextcore"));
    let mut serve = Service::start_by(&home, |_| command);
    serve.until("/readyz", "200");
    let half_open: Vec<_> = (0..500).map_while(|_| serve.connect()).collect();
    assert!(half_open.len() > 250, "{}", half_open.len());
    let logins = || tool.jira.requests().iter().filter(|request| request.path().ends_with("/myself")).count();
    let before = logins();
    while logins() < before + 2 {
        assert!(serve.run.is_running());
        serve.until("/healthz", "200");
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = serve.stop().err;
    assert!(!log.contains("Too many open files"), "{log}");
    drop(half_open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_take_longer_than_their_schedule_never_overlap() {
    let tool = Tool::sample().await;
    // The clock is a second before the minute, so that after each run the next is due in a second.
    tool.pass(19_000);
    tool.jira.faults().on(SEARCH, When::Always, Fault::Delay(Duration::from_secs(2)));
    let home = with_source(&tool, "schedule: '* * * * *'").await;
    let mut serve = Service::start(&home);
    let logins = || tool.jira.requests().iter().filter(|request| request.path().ends_with("/myself")).count();
    while logins() < 3 {
        assert!(serve.run.is_running());
        serve.until("/healthz", "200");
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = serve.stop().err;
    let steps: Vec<bool> =
        log.lines().filter(|line| line.contains(" sync ")).map(|line| line.contains("sync begins")).collect();
    assert!(steps.len() >= 5, "{log}");
    for pair in steps.windows(2) {
        assert_ne!(pair[0], pair[1], "a run began before the last one ended:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_follows_the_last_sync() {
    let tool = Tool::sample().await;
    tool.pass(19_300);
    let home = with_source(&tool, "schedule: '* * * * *'").await;
    tool.jira.faults().on("*/myself", When::Range(2..=5), Fault::unauthorized());
    let mut serve = Service::start(&home);
    serve.until("/readyz", "200");
    let reason = serve.until("/readyz", "503");
    assert!(reason.contains("acme-jira") && reason.contains("token was refused"), "{reason}");
    serve.until("/healthz", "200");
    let metrics = serve.until("/metrics", "200");
    for name in ["contextcore_sync_errors", "contextcore_sync_last_success", "task_count", "sprint_remaining_points"] {
        assert!(metrics.contains(name), "{name}");
    }
    serve.until("/readyz", "200");
    assert!(serve.get("/nothing").unwrap().0.contains("404"));
    serve.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_stops_in_time_while_the_tool_or_the_backend_hangs() {
    let tool = Tool::sample().await;
    let clean = tool.home().await;
    clean.sync();
    let truth = clean.outcome();
    let home = tool.home().await;
    // The tool hangs.
    tool.jira.faults().on(SEARCH, When::Always, Fault::Delay(LIMIT));
    tool.jira.take_requests();
    let mut serve = Service::start(&home);
    while !tool.jira.requests().iter().any(|request| request.path().ends_with("/jql")) {
        assert!(serve.run.is_running());
        std::thread::sleep(Duration::from_millis(5));
    }
    serve.stop();
    tool.jira.faults().clear();
    // A backend hangs.
    home.collector.always(Signal::Traces, Some(otlp::Fault::Slow(LIMIT)));
    let serve = Service::start(&home);
    assert!(home.collector.wait(LIMIT, |counts| counts.spans > 0 && counts.logs > 0 && counts.points > 0).await);
    serve.stop();
    home.collector.always(Signal::Traces, None);
    home.sync();
    home.outcome().assert_same(&truth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_again_and_again_loses_nothing() {
    let options = Options { latency: Duration::from_millis(10), max_search_page: 40, ..Options::cloud() };
    let tool = Tool::start(World::demo(NOW, 2, 7), options).await;
    let clean = tool.home().await;
    let whole = clean.sync().took;
    let truth = clean.outcome();
    let home = tool.home().await;
    let mut chance = StdRng::seed_from_u64(3);
    for round in 0..8 {
        let fault = if round % 2 == 0 { otlp::Fault::Slow } else { otlp::Fault::Late };
        Signal::ALL.iter().for_each(|signal| home.collector.always(*signal, Some(fault(Duration::from_millis(40)))));
        let mut serve = Service::start(&home);
        std::thread::sleep(whole.mul_f64(chance.random_range(0.0..1.0)));
        serve.run.kill();
        assert_eq!(serve.run.wait(LIMIT).code, None);
    }
    // The socket of the killed process does not block readers.
    home.run(&["tasks"]).expect(0);
    home.sync();
    home.outcome().assert_same(&truth);
}
