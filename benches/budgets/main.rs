//! The budgets of the product, measured on the built binary against fakes of the tools and a local collector:
//! `cargo bench --bench budgets` (add `-- --large` for the worlds with 50,000 and 202,000 issues).
//!
//! Each row says what was measured and the budget; one above its budget fails the run.
//!
//! Memory, requests, points and bytes are the same on every machine, and absolute. Seconds are not: a busy machine makes the same
//! binary need half as much CPU again. So CPU and clock time are multiples of a floor ([`floor`]) that runs in turns with the
//! product: a bare client with the same requests and the same bytes of OTLP. What a machine does to one it does to both.
//!
//! Commands that ask the tool for little or nothing have no floor of their own. Their measure is the floor of Jira's first sync of
//! 1,000 issues, run in turns with them: it is work of the same kind, long enough to be measured, where a start-up
//! (`contextcore --version`, two milliseconds) would be all noise. They are held to CPU and not to the clock, since what they
//! wait for is the disk.
//!
//! The goal is 2 floors for reading alone and 3 for a whole sync. Neither is reached. The budgets are what holds today
//! with some room, so that it gets no worse; whoever makes the product faster lowers them.

mod floor;
mod installation;
#[path = "../rows/mod.rs"]
mod rows;
mod worlds;

use std::path::Path;
use std::process::ExitCode;

use contextcore_fakes::Clock;
use contextcore_fakes::github::{self, Github};
use contextcore_fakes::jira::{self, Jira, JiraHandle};
use contextcore_fakes::linear::{self, Linear};
use contextcore_fakes::world::World;

use installation::{Installation, TURNS, Tool};
use rows::Rows;
use worlds::NOW;

const SYNC: &[&str] = &["sync", "--output", "json"];
const READ: &[&str] = &["sync", "--full", "--dry-run", "--output", "json"];

/// What is allowed for the first sync of 1,000 issues of a tool.
struct Budget {
    tool: &'static str,
    requests: f64,
    points: Option<f64>,
    /// CPU of the whole first sync, export included, over the floor's.
    whole: f64,
    /// CPU of reading everything without exporting, over the floor's.
    reading: f64,
    /// A poll that finds nothing new.
    quiet: Quiet,
}

enum Quiet {
    Requests(f64),
    Points(f64),
}

/// Measures the first sync of 1,000 issues, reading alone, and a poll without news.
async fn thousand<T: Tool>(rows: &mut Rows, installation: &Installation<T>, budget: &Budget) {
    let tool = budget.tool;
    let charged = installation.tool.points();
    let first = installation.sync().await;
    let requests = first.requests.iter().filter(|request| !is_discovery(request.path())).count();
    rows.add(format!("{tool}, 1,000 issues: requests"), requests as f64, budget.requests, "");
    if let Some(points) = budget.points {
        rows.add(format!("{tool}, 1,000 issues: points"), installation.tool.points() - charged, points, "");
    }
    rows.add(format!("{tool}, 1,000 issues: peak memory"), first.peak_megabytes(), 60.0, "MB");
    let charged = installation.tool.points();
    let poll = installation.sync().await;
    let what = |unit: &str| format!("{tool}, a poll with no change: {unit}");
    match budget.quiet {
        Quiet::Requests(most) => rows.add(what("requests"), poll.requests.len() as f64, most, ""),
        Quiet::Points(most) => rows.add(what("points"), installation.tool.points() - charged, most, ""),
    }
    let reading = installation.compare(TURNS, READ, |_| ()).await;
    reading.print(&format!("{tool}, reading alone"));
    rows.add(format!("{tool}, 1,000 issues: CPU of reading alone"), reading.cpu(), budget.reading, "floors");
    let whole = installation.compare(TURNS, SYNC, Installation::forget).await;
    whole.print(&format!("{tool}, whole sync"));
    rows.add(format!("{tool}, 1,000 issues: CPU of the whole sync"), whole.cpu(), budget.whole, "floors");
    rows.add(format!("{tool}, 1,000 issues: clock time of the whole sync"), whole.wall(), 3.0, "floors");
}

/// Requests to Jira that learn what the site is like; their number does not grow with the issues.
fn is_discovery(path: &str) -> bool {
    let parts = [
        "/field",
        "/status",
        "/issuetype",
        "/issueLinkType",
        "/resolution",
        "/priority",
        "/project",
        "/agile/",
        "/serverInfo",
    ];
    parts.iter().any(|part| path.contains(part))
}

async fn jira(world: World) -> Installation<JiraHandle> {
    let options = jira::Options { clock: Clock::fixed(NOW), ..jira::Options::cloud() };
    Installation::beside(Jira::start(world, options).await.expect("a fake")).await
}

/// 1,000 issues with 20 entries of history each, every fiftieth with 150.
fn histories() -> World {
    World::history(NOW, 1_000, 20, 50, 150, 1)
}

async fn github(rows: &mut Rows) {
    let options = github::Options { clock: Clock::fixed(NOW), ..github::Options::dot_com() };
    let world = World::history(NOW, 1_000, 20, 4, 40, 1);
    let installation = Installation::beside(Github::start(world, options).await.expect("a fake")).await;
    let budget = Budget {
        tool: "GitHub",
        requests: 130.0,
        points: Some(150.0),
        whole: 8.0,
        reading: 5.2,
        quiet: Quiet::Points(12.0),
    };
    thousand(rows, &installation, &budget).await;
}

async fn linear(rows: &mut Rows) {
    // A fake with a clock that stands still never refills its quota, and the turns of one bench need the quota of ten hours.
    let usual = linear::Options::default();
    let options = linear::Options { clock: Clock::fixed(NOW), points: 10.0 * usual.points, ..usual };
    let installation = Installation::beside(Linear::start(histories(), options).await.expect("a fake")).await;
    let budget = Budget {
        tool: "Linear",
        requests: 45.0,
        points: Some(250_000.0),
        whole: 7.8,
        reading: 4.4,
        quiet: Quiet::Requests(3.0),
    };
    thousand(rows, &installation, &budget).await;
}

async fn fifty_thousand(rows: &mut Rows) {
    let world = worlds::grown(47_500, 2_500);
    let entries = world.history_entries();
    let installation = jira(world).await;
    let first = installation.compare(1, SYNC, |_| ()).await;
    let [spans, logs, points] =
        ["/export/spans", "/export/logs", "/export/points"].map(|pointer| first.run.number(pointer));
    println!("(50,000 issues, {entries} entries: {spans} spans, {logs} log records, {points} points)");
    first.print("50,000 issues");
    rows.add("50,000 issues: peak memory", first.run.peak_megabytes(), 200.0, "MB");
    rows.add("50,000 issues: CPU of the whole sync", first.cpu(), 15.0, "floors");
    rows.add("50,000 issues: bytes of store a task", installation.store_bytes() as f64 / 50_000.0, 3_072.0, "B");
    let again = installation.compare(3, &["replay", "--output", "json"], |_| ()).await;
    again.print("50,000 issues replayed");
    rows.add("50,000 issues: CPU of exporting it all again", again.cpu(), 26.0, "floors");
}

/// A store of 202,000 tasks. What is asked of it makes few requests or none, so the floor of the same run says nothing: the
/// measure is the floor of another, the first sync of 1,000 issues in `measure`, run in turns with what is measured.
async fn grown_store(rows: &mut Rows, measure: &Installation<JiraHandle>) {
    let installation = jira(worlds::grown(200_000, 2_000)).await;
    let first = installation.sync().await;
    println!("(first sync of 202,000 issues: {:.0} s of CPU)", first.used.cpu_seconds);
    rows.add("202,000 issues: bytes of store a task", installation.store_bytes() as f64 / 202_000.0, 3_072.0, "B");
    installation.keep();
    let ten = |installation: &Installation<JiraHandle>| {
        // A second poll of the same moment would find its snapshot and metrics exported.
        installation.restore();
        change_ten(installation);
    };
    let poll = installation.compare_with(measure, SYNC, ten).await;
    poll.print("a poll with ten changes");
    rows.add("202,000 in the store: CPU of a poll with ten changes", poll.cpu(), 3.8, "floors");
    for (what, arguments, budget) in [
        ("tasks --status open", &["tasks", "--status", "open", "--output", "json"][..], 1.5),
        ("start-up and one task", &["show", "LOAD-1"], 1.0),
    ] {
        let look = installation.compare_with(measure, arguments, |_| ()).await;
        look.print(what);
        rows.add(format!("202,000 in the store: CPU of {what}"), look.cpu(), budget, "floors");
    }
}

/// Gives the ten newest issues another estimate, within the minute before the poll.
fn change_ten(installation: &Installation<JiraHandle>) {
    let mut world = installation.tool.world();
    let newest: Vec<_> = world.issues().rev().take(10).map(|issue| (issue.id, issue.fields.points)).collect();
    let last = world.issues().rev().take(10).map(|issue| issue.updated).max().unwrap_or_default();
    for (n, (id, points)) in newest.into_iter().enumerate() {
        let at = last.max(NOW - 60_000) + (n as i64 + 1) * 1_000;
        world.edit(at).set_points(id, Some(points.unwrap_or_default() + 1.0));
    }
}

#[tokio::main]
async fn measure() -> ExitCode {
    let mut rows = Rows::default();
    let installation = jira(histories()).await;
    let budget =
        Budget { tool: "Jira", requests: 15.0, points: None, whole: 5.8, reading: 2.3, quiet: Quiet::Requests(3.0) };
    thousand(&mut rows, &installation, &budget).await;
    github(&mut rows).await;
    linear(&mut rows).await;
    if std::env::args().any(|argument| argument == "--large") {
        fifty_thousand(&mut rows).await;
        grown_store(&mut rows, &installation).await;
    }
    rows.verdict()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [what, plan] if what == floor::ARGUMENT => floor::main(Path::new(plan)),
        _ => measure(),
    }
}
