//! Replicas on one database through what happens to the database: a failover to a standby that has everything, and to one that lagged,
//! and a recovery to an earlier moment. In the end, what is known and exported is what one process with a directory knows and exports.

use std::time::{Duration, Instant};

use contextcore_fakes::jira::Options;
use contextcore_fakes::world::World;
use contextcore_postgres::Postgres;

use crate::database::{LONG, PATIENCE, SHORT, lease, move_in, replica};
use crate::rig::{Installation, NOW, Outcome, Service, Setup, Tool, until};

/// Answers of the tools take this long, so that a first sync has a beginning, a middle and an end.
const LATENCY: Duration = Duration::from_millis(15);
const LOST: &str = "the database lost commits that it had confirmed";

async fn slow_tool() -> (Tool, Outcome) {
    let options = Options { latency: LATENCY, max_search_page: 20, ..Options::cloud() };
    let tool = Tool::start(World::demo(NOW, 2, 7), options).await;
    let truth = tool.home().await;
    truth.sync();
    let truth = truth.outcome();
    (tool, truth)
}

/// How many tasks a store has so far; none without a store.
fn tasks(server: &Postgres, schema: &str) -> u64 {
    let kv = format!("{schema}.kv");
    if server.sql(&format!("SELECT to_regclass('{kv}') IS NULL")) == "t" {
        return 0;
    }
    server.sql(&format!("SELECT count(*) FROM {kv} WHERE key >= 't' AND key < 'u'")).parse().unwrap()
}

/// Asks whoever polls for a poll, as a webhook does that reaches a replica which stands by.
fn wake(server: &Postgres, schema: &str) {
    let request = format!("INSERT INTO {schema}.wakes (source) VALUES ('acme-jira') ON CONFLICT DO NOTHING");
    assert!(server.sql(&request).is_empty());
}

/// A primary and a standby, which has every commit that the primary has confirmed: the standby takes over while a first sync goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_to_a_synchronous_standby_loses_nothing() {
    let Some(primary) = Postgres::start(&[]) else { return };
    let standby = primary.standby("second");
    primary.commit_on("second");
    let (tool, truth) = slow_tool().await;
    let mut home = tool.home().await;
    move_in(&mut home, &primary.url_with(&standby), "failover", SHORT);
    let service = replica(&home);
    until("some tasks are stored", || tasks(&primary, "failover") >= 20);
    primary.stop();
    standby.promote();
    let found = tasks(&standby, "failover");
    assert!(found >= 20, "{found}");
    finish(&home, service, &standby, "failover", truth.tasks.len());
    home.write(&home.config_text().replace(SHORT, LONG));
    let last = home.run(&["sync"]).expect(0);
    assert!(!last.err.contains(LOST), "{}", last.err);
    home.outcome().assert_same(&truth);
    home.run(&["store", "verify"]).expect(0);
}

/// Waits until a service has stored everything, and stops it. Nothing may have been lost.
fn finish(home: &Installation, mut service: Service, server: &Postgres, schema: &str, all: usize) {
    let begun = Instant::now();
    while tasks(server, schema) < all as u64 {
        assert!(begun.elapsed() < PATIENCE && service.run.is_running(), "{:?}", lease(home));
        std::thread::sleep(Duration::from_millis(100));
    }
    let stopped = service.stop();
    assert!(!stopped.err.contains(LOST), "{}", stopped.err);
}

/// Where a test has the database go back to.
enum Earlier {
    Standby(Box<Postgres>),
    Backup(contextcore_postgres::Backup),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lagging_standby_does_not_have_is_said_and_read_again() {
    let Some(primary) = Postgres::start(&[]) else { return };
    let standby = primary.standby("second");
    let url = primary.url_with(&standby);
    goes_back(&primary, &url, || {
        standby.detach();
        Earlier::Standby(Box::new(standby))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_recovery_to_an_earlier_moment_took_away_is_said_and_read_again() {
    let Some(server) = Postgres::start(&[]) else { return };
    goes_back(&server, &server.url(), || Earlier::Backup(server.backup())).await;
}

/// A service works on, and exports, after the moment to which its database goes back.
async fn goes_back(server: &Postgres, url: &str, at_this_moment: impl FnOnce() -> Earlier) {
    const SCHEMA: &str = "back";
    let tool = Tool::sample().await;
    // The clock stands still, so metrics before and after the loss would be two values of one moment.
    let setup = Setup { otlp: "signals: [traces, logs]", ..Setup::default() };
    let (truth, mut home) = (tool.home_with(&setup).await, tool.home_with(&setup).await);
    move_in(&mut home, url, SCHEMA, LONG);
    let mut service = replica(&home);
    service.until("/readyz", "200");
    truth.sync();
    let logs = truth.collector.counts().logs;
    until("the first sync is exported", || home.collector.counts().logs >= logs);
    // A moment at which an export is under way would be one more thing that comes twice.
    until("it is stored that it was", || backlog(&home) == 0);
    let earlier = at_this_moment();
    let some: Vec<_> = tool.jira.world().issues().take(5).map(|issue| issue.id).collect();
    tool.edit(|edit| some.iter().for_each(|id| edit.set_points(*id, Some(13.0))));
    wake(server, SCHEMA);
    truth.sync();
    let logs = truth.collector.counts().logs;
    until("the changes are exported", || home.collector.counts().logs >= logs);
    let now = match &earlier {
        Earlier::Standby(standby) => {
            server.stop();
            standby.promote();
            standby
        }
        Earlier::Backup(_) => server,
    };
    if let Earlier::Backup(backup) = &earlier {
        server.restore(backup);
    }
    wake(now, SCHEMA);
    service.run.wait_for(LOST, PATIENCE);
    until("the service has the lease again", || lease(&home)["owner"].is_string());
    // What it lost it has to read again, and to send again.
    wake(now, SCHEMA);
    let changed = || home.collector.counts().logs > logs;
    until("the changes are exported again", changed);
    service.stop();
    home.sync();
    home.outcome().assert_same(&truth.outcome());
    home.run(&["store", "verify"]).expect(0);
}

/// What one source still has to export of log records.
fn backlog(home: &Installation) -> u64 {
    let status = home.run(&["status", "--output", "json"]).expect(0).json();
    status["sources"][0]["backlog"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum()
}

/// A process that has just started has no number to compare with. The database knows that it is not the one that it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_starts_after_a_recovery_says_that_commits_may_be_missing() {
    const RECOVERED: &str = "the database was recovered, failed over or moved";
    let Some(primary) = Postgres::start(&[]) else { return };
    let standby = primary.standby("second");
    let tool = Tool::sample().await;
    let setup = Setup { otlp: "signals: [traces, logs]", ..Setup::default() };
    let (truth, mut home) = (tool.home_with(&setup).await, tool.home_with(&setup).await);
    move_in(&mut home, &primary.url_with(&standby), "fresh", LONG);
    [&truth, &home].into_iter().for_each(|home| assert!(!home.sync().err.contains(RECOVERED)));
    standby.detach();
    let some: Vec<_> = tool.jira.world().issues().take(5).map(|issue| issue.id).collect();
    tool.edit(|edit| some.iter().for_each(|id| edit.set_points(*id, Some(13.0))));
    [&truth, &home].into_iter().for_each(|home| assert!(!home.sync().err.contains(RECOVERED)));
    primary.stop();
    standby.promote();
    let first = home.sync();
    assert!(first.err.contains(RECOVERED), "{}", first.err);
    assert!(!home.sync().err.contains(RECOVERED), "once");
    home.outcome().assert_same(&truth.outcome());
    home.run(&["store", "verify"]).expect(0);
}
