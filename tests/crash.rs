//! `kill -9` at any hop, again and again: after the next sync that runs to its end, an installation knows and has exported
//! exactly what one has that was never killed.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::github::{self, Github};
use contextcore_fakes::jira::Options;
use contextcore_fakes::linear::{self, Linear};
use contextcore_fakes::otlp::{self, Signal};
use contextcore_fakes::world::{GithubDemo, World};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::rig::{HOUR, Installation, LIMIT, MINUTE, NOW, Ran, Running, Tool};

/// Answers of the tool take this long, so that a run has a beginning, a middle and an end to be killed in.
const LATENCY: Duration = Duration::from_millis(15);
/// Acknowledgements take this long.
const ACKNOWLEDGEMENT: Duration = Duration::from_millis(40);

/// A tool that answers slowly, in small pages.
async fn slow_tool() -> Tool {
    let options = Options { latency: LATENCY, max_search_page: 40, ..Options::cloud() };
    Tool::start(World::demo(NOW, 2, 7), options).await
}

/// Lets the backend store before its pause (a kill then comes after the storing) or after it.
fn slow_down(home: &Installation, before: bool) {
    let fault = if before { otlp::Fault::Slow } else { otlp::Fault::Late };
    Signal::ALL.into_iter().for_each(|signal| home.collector.always(signal, Some(fault(ACKNOWLEDGEMENT))));
}

async fn slow_home(tool: &Tool) -> Installation {
    let home = tool.home().await;
    slow_down(&home, true);
    home
}

/// Kills a run after this time, unless it ends before.
fn kill_after(mut run: Running, life: Duration) -> Ran {
    let until = Instant::now() + life;
    while run.is_running() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1).min(until.saturating_duration_since(Instant::now())));
    }
    run.kill();
    run.wait(LIMIT)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_sync_killed_at_any_hop_loses_nothing() {
    let tool = slow_tool().await;
    killed_again_and_again(|| tool.home(), 18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_kills_while_work_goes_on_lose_nothing() {
    let tool = slow_tool().await;
    let home = slow_home(&tool).await;
    let mut whole = home.sync().took;
    let mut chance = StdRng::seed_from_u64(2);
    let mut killed = 0;
    for round in 0..30 {
        for _ in 0..5 {
            tool.pass(47 * MINUTE);
            let now = tool.now();
            tool.jira.world().tick(now);
        }
        slow_down(&home, round % 2 == 0);
        let arguments: &[&str] = if round % 10 == 9 { &["sync", "--full"] } else { &["sync"] };
        let ran = kill_after(home.spawn(arguments), whole.mul_f64(chance.random_range(0.0..0.7)));
        killed += usize::from(ran.code.is_none());
        whole = if ran.code.is_some() { whole.min(ran.took) } else { whole };
    }
    tool.pass(HOUR);
    home.sync();
    let never_killed = slow_home(&tool).await;
    never_killed.sync();
    home.outcome().at(tool.now()).assert_same(&never_killed.outcome().at(tool.now()));
    assert!(killed >= 10, "only {killed} runs were killed before their end");
}

/// Kills first syncs of `home`s again and again, until so many were killed; each must end as one that never was.
async fn killed_again_and_again<F: Future<Output = Installation>>(home: impl Fn() -> F, kills: usize) {
    let clean = home().await;
    slow_down(&clean, true);
    let mut whole = clean.sync().took;
    let truth = clean.outcome();
    let mut chance = StdRng::seed_from_u64(3);
    let mut killed = 0;
    for round in 0..kills + 4 {
        let home = home().await;
        slow_down(&home, round % 2 == 0);
        // Five kills at most, fewer when a run gets through.
        for _ in 0..5 {
            let ran = kill_after(home.spawn(&["sync"]), whole.mul_f64(chance.random_range(0.0..0.8)));
            if ran.code.is_some() {
                whole = whole.min(ran.took);
                break;
            }
            killed += 1;
        }
        home.sync();
        home.outcome().assert_same(&truth);
        if killed >= kills {
            return;
        }
    }
    panic!("only {killed} runs were killed before their end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_sync_of_github_killed_at_any_hop_loses_nothing() {
    let now = Arc::new(AtomicI64::new(NOW));
    let world = GithubDemo::new(NOW, 2, 7).build();
    let options = github::Options { clock: Clock::fixed(NOW), latency: LATENCY, ..github::Options::dot_com() };
    let github = Github::start(world, options).await.unwrap();
    let source =
        "name: acme-github, kind: github, url: '{url}', auth: {token: {env: GITHUB_TOKEN}}, projects: [acme/1]";
    killed_again_and_again(|| Installation::beside(github.url(), &now, source, ("GITHUB_TOKEN", Github::TOKEN)), 8)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_sync_of_linear_killed_at_any_hop_loses_nothing() {
    let now = Arc::new(AtomicI64::new(NOW));
    let options = linear::Options { clock: Clock::fixed(NOW), latency: LATENCY, ..linear::Options::default() };
    let linear = Linear::start(World::demo(NOW, 2, 7), options).await.unwrap();
    let source =
        "name: acme-linear, kind: linear, url: '{url}', auth: {token: {env: LINEAR_API_KEY}}, projects: [SHOP, PLAT]";
    killed_again_and_again(|| Installation::beside(linear.url(), &now, source, ("LINEAR_API_KEY", Linear::KEY)), 8)
        .await;
}

/// The loops above kill at random moments; this kills at each hop by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_each_hop_by_name_loses_nothing() {
    let tool = Tool::start(World::demo(NOW, 2, 7), Options { max_search_page: 40, ..Options::cloud() }).await;
    let clean = tool.home().await;
    clean.sync();
    let truth = clean.outcome();
    let home = tool.home().await;

    // Killed while the tool has not answered yet.
    for (call, number) in [("myself", 1), ("field", 1), ("sprint", 1), ("jql", 1), ("bulkfetch", 1), ("jql", 2)] {
        tool.jira.take_requests();
        tool.jira.faults().on(&format!("*/{call}"), When::From(number), Fault::Delay(LIMIT));
        let mut run = home.spawn(&["sync"]);
        let asked = || tool.jira.requests().iter().filter(|request| request.path().ends_with(call)).count();
        while asked() < number {
            assert!(run.is_running(), "the run ended without {call} {number}");
            std::thread::sleep(Duration::from_millis(2));
        }
        run.kill();
        assert_eq!(run.wait(LIMIT).code, None, "{call}");
        tool.jira.faults().clear();
    }
    // Killed while a backend has refused a batch, and while one has stored it and not acknowledged it.
    for fault in [otlp::Fault::unavailable(None), otlp::Fault::Slow(LIMIT)] {
        Signal::ALL.into_iter().for_each(|signal| home.collector.always(signal, Some(fault.clone())));
        for signal in Signal::ALL {
            let sent = || home.collector.requests().iter().filter(|seen| seen.signal == signal).count();
            let before = sent();
            let mut run = home.spawn(&["sync"]);
            while sent() == before {
                assert!(run.is_running(), "the run ended without {signal:?}");
                std::thread::sleep(Duration::from_millis(2));
            }
            run.kill();
            assert_eq!(run.wait(LIMIT).code, None, "{signal:?}");
        }
    }
    Signal::ALL.into_iter().for_each(|signal| home.collector.always(signal, None));
    home.sync();
    home.outcome().assert_same(&truth);
}
