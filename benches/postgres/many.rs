//! Stores with many tasks: how long a list takes, and how much memory a service needs.

use contextcore_fakes::Clock;
use contextcore_fakes::jira::{self, Jira, JiraHandle};
use contextcore_postgres::Postgres;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::installation::{Installation, Place, until};
use crate::rows::Rows;
use crate::worlds::{self, NOW};

const LISTS: usize = 5;
/// Sources, and what each has: closed tasks and open ones.
const SOURCES: usize = 10;
const CLOSED: usize = 186_000;
const OPEN: usize = 10_000;
const DAY: i64 = 86_400_000;
/// A service has nothing to do when it has sent nothing for so long.
const IDLE: Duration = Duration::from_secs(20);

/// `tasks --status open` of a store with 202,000 tasks.
pub(crate) async fn lists(rows: &mut Rows, server: &Postgres) {
    let options = jira::Options { clock: Clock::fixed(NOW), ..jira::Options::cloud() };
    let tool = Jira::start(worlds::grown(200_000, 2_000), options).await.unwrap();
    let installation = Installation::new(&tool, Place::near(server, "lists")).await;
    let first = installation.sync().await;
    println!("(first sync of 202,000 issues: {:.0} s)", first.seconds);
    rows.add("202,000 tasks: bytes of database a task", installation.stored_bytes() / 202_000.0, 6_000.0, "B");
    for (what, arguments) in [
        ("tasks --status open", &["tasks", "--status", "open", "--output", "json"][..]),
        ("show of one task", &["show", "LOAD-1"]),
    ] {
        let mut seconds = Vec::with_capacity(LISTS);
        for _ in 0..LISTS {
            seconds.push(installation.run(arguments, &installation.config()).await.seconds);
        }
        seconds.sort_by(f64::total_cmp);
        rows.add(format!("202,000 tasks: {what}"), seconds[LISTS / 2], 0.5, "s");
    }
}

/// The peak of a service's memory over polls of all sources, a complete pass, metrics and snapshots.
pub(crate) async fn memory(rows: &mut Rows, server: &Postgres) {
    let now = Arc::new(AtomicI64::new(NOW));
    let shared = Arc::clone(&now);
    let options = jira::Options { clock: Clock::of(move || shared.load(Ordering::Relaxed)), ..jira::Options::cloud() };
    let tool = Jira::start(worlds::grown(CLOSED, OPEN), options).await.unwrap();
    let installation = Installation::new(&tool, Place::near(server, "memory")).await;
    installation.sync().await;
    let (tasks, open) = copy(&installation);
    installation.configure(SOURCES);
    // Past the interval of complete passes.
    now.fetch_add(2 * DAY, Ordering::Relaxed);
    installation.now.set(NOW + 2 * DAY);
    let service = installation.serve().await;
    idle(&tool, &installation).await;
    let megabytes = peak(service.id());
    println!("({tasks} tasks in the database, {open} of them open)");
    rows.add("memory of a service with two million tasks", megabytes, 300.0, "MB");
}

/// Copies the one source under other names. Returns how many tasks there are, and how many are open.
fn copy(installation: &Installation<'_>) -> (String, String) {
    let (server, schema) = installation.database();
    for n in 1..SOURCES {
        let place = "position('bench0'::bytea in key)";
        let made = server.sql(&format!(
            "INSERT INTO {schema}.kv SELECT '', substring(key FROM 1 FOR {place} - 1) || 'bench{n}'::bytea
                || substring(key FROM {place} + 6), value FROM {schema}.kv WHERE source = '' AND {place} > 0"
        ));
        assert!(made.is_empty(), "{made}");
    }
    assert!(server.sql(&format!("VACUUM ANALYZE {schema}.kv")).is_empty());
    let count = |from: &str, to: &str| {
        server.sql(&format!("SELECT count(*) FROM {schema}.kv WHERE source = '' AND key >= '{from}' AND key < '{to}'"))
    };
    (count("t", "u"), count("o", "p"))
}

/// Waits until every source was polled and nothing goes out any more.
async fn idle(tool: &JiraHandle, installation: &Installation<'_>) {
    let done =
        || (tool.requests().len(), installation.collector.counts().spans, installation.collector.counts().points);
    until("nothing was exported", || done().0 > 0 && done().1 > 0).await;
    let (mut seen, mut since) = (done(), Instant::now());
    until("it never ends", || {
        if done() != seen {
            (seen, since) = (done(), Instant::now());
        }
        since.elapsed() > IDLE
    })
    .await;
}

/// The most memory that a process has had, in megabytes.
fn peak(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1_024.0
}
