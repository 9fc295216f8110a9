//! Beside a running `serve`: whoever asks sees what the store holds, runs never pile up, health tells the truth, and neither
//! a stop nor a kill loses anything.

use std::time::{Duration, Instant};

use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::jira::Options;
use contextcore_fakes::otlp::{self, Signal};
use contextcore_fakes::world::World;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::rig::{Home, LIMIT, NOW, Running, Setup, Tool};
use crate::serving::{free_port, get};

const SEARCH: &str = "POST */search/jql";

/// An installation that can serve, and its port.
async fn home(tool: &Tool, source: &str) -> (Home, u16) {
    let port = free_port();
    let rest = format!("listen: 127.0.0.1:{port}");
    (tool.home_with(&Setup { rest: &rest, source, ..Setup::default() }).await, port)
}

/// Waits until a page answers with this status; gives its text.
fn until(serve: &mut Running, port: u16, path: &str, status: &str) -> String {
    let begun = Instant::now();
    loop {
        match get(port, path) {
            Some((got, text)) if got.contains(status) => return text,
            got => assert!(begun.elapsed() < LIMIT && serve.is_running(), "{path} is not {status}: {got:?}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Stops it, which must go well and within ten seconds.
fn stop(serve: Running) -> String {
    let begun = Instant::now();
    serve.signal("TERM");
    let ran = serve.wait(LIMIT).expect(0);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}: {}", begun.elapsed(), ran.err);
    ran.err
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_beside_a_service_sees_what_the_store_holds() {
    let tool = Tool::sample().await;
    let (home, port) = home(&tool, "").await;
    let mut serve = home.spawn(&["serve"]);
    until(&mut serve, port, "/readyz", "200");
    serve.wait_for("sync ended", LIMIT);
    let key = home.tasks()[3]["id"].as_str().unwrap().to_owned();
    let commands: [&[&str]; 6] = [
        &["tasks", "--output", "json"],
        &["tasks", "--status", "open", "--project", "SHOP", "--type", "story", "--output", "csv"],
        &["tasks", "--assignee", "nobody"],
        &["sprints", "--output", "json"],
        &["show", &key],
        &["show", &key, "--output", "json"],
    ];
    let look = || commands.map(|arguments| home.run(arguments).expect(0).out);
    let beside = look();
    home.run(&["show", "NOPE-1"]).expect(2).says(&["NOPE-1"]);
    home.run(&["sync"]).expect(1).says(&["another contextcore holds it"]);
    home.run(&["replay"]).expect(1).says(&["another contextcore holds it"]);
    stop(serve);
    for ((arguments, there), here) in commands.iter().zip(&beside).zip(&look()) {
        let differing = there.lines().zip(here.lines()).find(|(there, here)| there != here);
        assert!(there == here, "{arguments:?} says something else: {differing:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_take_longer_than_their_schedule_never_pile_up() {
    let tool = Tool::sample().await;
    // The clock stands a second before the minute, so that after each run the next is due in a second.
    tool.pass(19_000);
    tool.jira.faults().on(SEARCH, When::Always, Fault::Delay(Duration::from_secs(2)));
    let (home, port) = home(&tool, "schedule: '* * * * *'").await;
    let mut serve = home.spawn(&["serve"]);
    let logins = || tool.jira.requests().iter().filter(|request| request.path().ends_with("/myself")).count();
    while logins() < 3 {
        assert!(serve.is_running());
        until(&mut serve, port, "/healthz", "200");
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = stop(serve);
    let steps: Vec<bool> =
        log.lines().filter(|line| line.contains(" sync ")).map(|line| line.contains("sync begins")).collect();
    assert!(steps.len() >= 5, "{log}");
    for pair in steps.windows(2) {
        assert_ne!(pair[0], pair[1], "a run began before the last one ended:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_the_truth() {
    let tool = Tool::sample().await;
    tool.pass(19_300);
    let (home, port) = home(&tool, "schedule: '* * * * *'").await;
    tool.jira.faults().on("*/myself", When::Range(2..=5), Fault::unauthorized());
    let mut serve = home.spawn(&["serve"]);
    until(&mut serve, port, "/readyz", "200");
    let reason = until(&mut serve, port, "/readyz", "503");
    assert!(reason.contains("acme-jira") && reason.contains("token was refused"), "{reason}");
    until(&mut serve, port, "/healthz", "200");
    let metrics = until(&mut serve, port, "/metrics", "200");
    for name in ["contextcore_sync_errors", "contextcore_sync_last_success", "task_count", "sprint_remaining_points"] {
        assert!(metrics.contains(name), "{name}");
    }
    until(&mut serve, port, "/readyz", "200");
    assert!(get(port, "/nothing").unwrap().0.contains("404"));
    stop(serve);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_stops_in_time_whoever_keeps_it_waiting() {
    let tool = Tool::sample().await;
    let clean = tool.home().await;
    clean.sync();
    let truth = clean.told();
    let home = home(&tool, "").await.0;
    // The tool does.
    tool.jira.faults().on(SEARCH, When::Always, Fault::Delay(LIMIT));
    tool.jira.take_requests();
    let mut serve = home.spawn(&["serve"]);
    while !tool.jira.requests().iter().any(|request| request.path().ends_with("/jql")) {
        assert!(serve.is_running());
        std::thread::sleep(Duration::from_millis(5));
    }
    stop(serve);
    tool.jira.faults().clear();
    // A backend does.
    home.collector.always(Signal::Traces, Some(otlp::Fault::Slow(LIMIT)));
    let serve = home.spawn(&["serve"]);
    assert!(home.collector.wait(LIMIT, |counts| counts.spans > 0 && counts.logs > 0 && counts.points > 0).await);
    stop(serve);
    home.collector.always(Signal::Traces, None);
    home.sync();
    home.told().assert_same(&truth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_again_and_again_loses_nothing() {
    let options = Options { latency: Duration::from_millis(10), max_search_page: 40, ..Options::cloud() };
    let tool = Tool::start(World::demo(NOW, 2, 7), options).await;
    let clean = tool.home().await;
    let whole = clean.sync().took;
    let truth = clean.told();
    let home = home(&tool, "").await.0;
    let mut chance = StdRng::seed_from_u64(3);
    for round in 0..8 {
        let fault = if round % 2 == 0 { otlp::Fault::Slow } else { otlp::Fault::Late };
        Signal::ALL.iter().for_each(|signal| home.collector.always(*signal, Some(fault(Duration::from_millis(40)))));
        let mut serve = home.spawn(&["serve"]);
        std::thread::sleep(whole.mul_f64(chance.random_range(0.0..1.0)));
        serve.kill();
        assert_eq!(serve.wait(LIMIT).code, None);
    }
    // The socket of the killed one is in nobody's way.
    home.run(&["tasks"]).expect(0);
    home.sync();
    home.told().assert_same(&truth);
}
