//! The budgets of the product, measured on the real binary against stand-ins of the tools and a local collector:
//! `cargo bench --bench budgets` (add `-- --large` for the worlds with 50,000 and 202,000 issues).
//!
//! Each row says what was measured, the budget, and their ratio; a ratio above 1 fails the run. CPU and memory are what the
//! binary itself reports about its process, so the stand-ins' work is not in them. The floor row is the same data fetched
//! by a client that does nothing with it: what remains when everything of ours is taken away.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use contextcore_fakes::Clock;
use contextcore_fakes::github::{self, Github, GithubHandle};
use contextcore_fakes::jira::{Jira, JiraHandle, Options};
use contextcore_fakes::linear::{self, Linear};
use contextcore_fakes::otlp::{Collector, Handle};
use contextcore_fakes::world::{BoardKind, Draft, StatusId, TypeId, World};

const NOW: i64 = 1_795_000_000_000;
const DAY: i64 = 86_400_000;

/// A row of the result.
struct Row {
    what: String,
    measured: f64,
    budget: f64,
    unit: &'static str,
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn add(&mut self, what: impl Into<String>, measured: f64, budget: f64, unit: &'static str) {
        let row = Row { what: what.into(), measured, budget, unit };
        println!(
            "{:<58} {:>10.3} {:<4} of {:>9.3}   ratio {:.2}",
            row.what,
            row.measured,
            unit,
            budget,
            measured / budget
        );
        self.0.push(row);
    }

    fn verdict(&self) -> ExitCode {
        let over: Vec<_> = self.0.iter().filter(|row| row.measured > row.budget).collect();
        for row in &over {
            println!("OVER BUDGET: {} ({:.3} {})", row.what, row.measured, row.unit);
        }
        println!("{} passed, {} failed", self.0.len() - over.len(), over.len());
        if over.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// An installation of the binary beside the stand-in of a tool.
struct Installation<T> {
    dir: tempfile::TempDir,
    tool: T,
    _collector: Handle,
}

impl Installation<JiraHandle> {
    async fn jira(world: World) -> Self {
        let options = Options { clock: Clock::fixed(NOW), ..Options::cloud() };
        let jira = Jira::start(world, options).await.expect("a stand-in");
        let source = format!("kind: jira, url: '{}', auth: {{email: {}, token: TOKEN}}", jira.url(), Jira::EMAIL);
        Self::beside(jira, &format!("{source}, projects: [LOAD]")).await
    }

    async fn sync(&self) -> (serde_json::Value, f64) {
        self.tool.take_requests();
        self.summary().await
    }
}

impl<T> Installation<T> {
    /// `source` is the inside of its source in the configuration, where `TOKEN` stands for the token.
    async fn beside(tool: T, source: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = contextcore_fakes::otlp::Options { keep: false, ..Default::default() };
        let collector = Collector::start(options).await.expect("a collector");
        let config = format!(
            "store: {{path: {}}}\nexport: {{otlp: {{endpoint: '{}'}}}}\nsources:\n  - {{name: bench, {}}}\n",
            dir.path().join("data").display(),
            collector.grpc_url(),
            source.replace("TOKEN", "{env: BENCH_TOKEN}"),
        );
        std::fs::write(dir.path().join("contextcore.yaml"), config).expect("a configuration");
        Self { dir, tool, _collector: collector }
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("contextcore.yaml")
    }

    /// Runs the binary to its end; gives its stdout and the wall-clock seconds.
    async fn run(&self, arguments: &[&str]) -> (String, f64) {
        let config = self.config();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        // The stand-ins live in this process: the child must not hold up their threads.
        let work = tokio::task::spawn_blocking(move || run(&config, &arguments));
        work.await.expect("the binary's run")
    }

    async fn summary(&self) -> (serde_json::Value, f64) {
        let (out, seconds) = self.run(&["sync", "--output", "json"]).await;
        (serde_json::from_str(&out).expect("the summary as JSON"), seconds)
    }

    fn size(&self) -> u64 {
        fn walk(path: &Path) -> u64 {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries
                .map(
                    |entry| {
                        if entry.path().is_dir() {
                            walk(&entry.path())
                        } else {
                            entry.metadata().map_or(0, |m| m.len())
                        }
                    },
                )
                .sum()
        }
        walk(&self.dir.path().join("data"))
    }
}

fn run(config: &Path, arguments: &[String]) -> (String, f64) {
    let clock = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_contextcore"))
        .args(arguments)
        .arg("--config")
        .arg(config)
        .env("BENCH_TOKEN", token(config))
        .env("CONTEXTCORE_NOW", "2026-11-18T12:26:40Z")
        .output()
        .expect("the binary");
    let seconds = clock.elapsed().as_secs_f64();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8_lossy(&output.stdout).into_owned(), seconds)
}

/// The token of the stand-in that a configuration names.
fn token(config: &Path) -> &'static str {
    let text = std::fs::read_to_string(config).expect("the configuration");
    let is = |kind: &str| text.contains(&format!("kind: {kind}"));
    if is("github") {
        Github::TOKEN
    } else if is("linear") {
        Linear::KEY
    } else {
        Jira::TOKEN
    }
}

fn number(value: &serde_json::Value, path: &str) -> f64 {
    value.pointer(path).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN)
}

const MB: f64 = 1024.0 * 1024.0;

/// 1,000 issues carrying 22,600 history entries.
async fn complete_history(rows: &mut Rows) {
    let world = World::history(NOW, 1_000, 20, 50, 150, 1);
    let entries = world.history_entries() as f64;
    let bench = Installation::jira(world).await;
    let (report, wall) = bench.sync().await;
    let discovery = |path: &str| {
        [
            "/field",
            "/status",
            "/issuetype",
            "/issueLinkType",
            "/resolution",
            "/priority",
            "/project",
            "/agile/",
            "/serverInfo",
        ]
        .iter()
        .any(|part| path.contains(part))
    };
    let requests = bench.tool.requests().iter().filter(|request| !discovery(request.path())).count();
    rows.add(format!("1,000 issues, {entries} entries: requests"), requests as f64, 15.0, "");
    rows.add("1,000 issues: CPU of the whole sync", number(&report, "/process/cpu_seconds"), 0.5, "s");
    rows.add("1,000 issues: peak memory", number(&report, "/process/peak_memory_bytes") / MB, 60.0, "MB");
    rows.add("1,000 issues: wall clock", wall, 10.0, "s");
    let (dry, _) = dry(&bench).await;
    rows.add("1,000 issues: CPU of reading and understanding alone", number(&dry, "/process/cpu_seconds"), 0.5, "s");
    bench.sync().await;
    rows.add("a poll with no change: requests", bench.tool.requests().len() as f64, 3.0, "");
}

async fn dry(bench: &Installation<JiraHandle>) -> (serde_json::Value, f64) {
    let (out, seconds) = bench.run(&["sync", "--full", "--dry-run", "--output", "json"]).await;
    (serde_json::from_str(&out).expect("the summary as JSON"), seconds)
}

/// 1,000 issues with 20 events each in a GitHub project.
async fn github(rows: &mut Rows) {
    let options = github::Options { clock: Clock::fixed(NOW), ..github::Options::dot_com() };
    let github = Github::start(World::history(NOW, 1_000, 20, 4, 40, 1), options).await.expect("a stand-in");
    let source = format!("kind: github, url: '{}', auth: {{token: TOKEN}}, projects: [acme/1]", github.url());
    let bench = Installation::beside(github, &source).await;
    let (report, _) = bench.summary().await;
    let requests = |bench: &Installation<GithubHandle>| bench.tool.take_requests().len() as f64;
    rows.add("GitHub, 1,000 issues: requests", requests(&bench), 130.0, "");
    let first = bench.tool.points_spent();
    rows.add("GitHub, 1,000 issues: points", first as f64, 150.0, "");
    rows.add("GitHub, 1,000 issues: peak memory", number(&report, "/process/peak_memory_bytes") / MB, 60.0, "MB");
    println!("(GitHub, 1,000 issues: {:.2} s of CPU for the whole sync)", number(&report, "/process/cpu_seconds"));
    bench.summary().await;
    rows.add("GitHub, a poll with no change: points", (bench.tool.points_spent() - first) as f64, 12.0, "");
}

/// 1,000 issues with 20 acts each, every fiftieth with 150, in Linear teams.
async fn linear(rows: &mut Rows) {
    let options = linear::Options { clock: Clock::fixed(NOW), ..linear::Options::default() };
    let linear = Linear::start(World::history(NOW, 1_000, 20, 50, 150, 1), options).await.expect("a stand-in");
    let source = format!("kind: linear, url: '{}', auth: {{token: TOKEN}}", linear.url());
    let bench = Installation::beside(linear, &source).await;
    let (report, _) = bench.summary().await;
    rows.add("Linear, 1,000 issues: requests", bench.tool.take_requests().len() as f64, 45.0, "");
    rows.add("Linear, 1,000 issues: complexity points", bench.tool.charged(), 250_000.0, "");
    rows.add("Linear, 1,000 issues: peak memory", number(&report, "/process/peak_memory_bytes") / MB, 60.0, "MB");
    println!("(Linear, 1,000 issues: {:.2} s of CPU for the whole sync)", number(&report, "/process/cpu_seconds"));
    bench.summary().await;
    rows.add("Linear, a poll with no change: requests", bench.tool.take_requests().len() as f64, 3.0, "");
}

async fn fifty_thousand(rows: &mut Rows) {
    let world = grown(47_500, 2_500);
    let entries = world.history_entries() as f64;
    let bench = Installation::jira(world).await;
    let (report, wall) = bench.sync().await;
    let [cpu, spans, logs, points] =
        ["/process/cpu_seconds", "/export/spans", "/export/logs", "/export/points"].map(|path| number(&report, path));
    println!("(50,000 issues, {entries} entries: {wall:.0} s, {spans} spans, {logs} log records, {points} points)");
    rows.add("50,000 issues: peak memory", number(&report, "/process/peak_memory_bytes") / MB, 200.0, "MB");
    rows.add("50,000 issues: CPU per 1,000", cpu / 50.0, 0.5, "s");
    rows.add("50,000 issues: bytes of store a task", bench.size() as f64 / 50_000.0, 3_072.0, "B");
    let (out, seconds) = bench.run(&["replay", "--output", "json"]).await;
    let replayed: serde_json::Value = serde_json::from_str(&out).expect("the summary as JSON");
    let spans = number(&replayed, "/export/spans");
    rows.add("50,000 issues: seconds to deliver 20,000 spans again", seconds * 20_000.0 / spans, 1.0, "s");
}

/// Closed tasks long done, and open ones in a running sprint, fifty under an epic; epics of closed work are closed too.
fn grown(closed: usize, open: usize) -> World {
    let mut world = World::empty();
    let project = world.add_project("LOAD", "Load", StatusId::TO_DO);
    let board = world.add_board("Load", BoardKind::Scrum, project);
    let sprint = world.add_sprint(board, "Load Sprint 1", "", NOW - 8 * DAY);
    world.edit(NOW - 7 * DAY).start_sprint(sprint, NOW + 7 * DAY);
    let way = [StatusId::SELECTED, StatusId::IN_PROGRESS, StatusId::IN_REVIEW, StatusId::DONE];
    let mut epic = None;
    for n in 0..closed {
        let created = NOW - 380 * DAY + (n as i64 * 300 * DAY) / closed as i64;
        if n % 50 == 0 {
            let id = world.edit(created).add_issue(Draft::new(project, TypeId::EPIC, format!("Closed epic {n}")));
            world.edit(created + 20 * DAY).transition(id, StatusId::DONE);
            epic = Some(id);
        }
        let draft = Draft { parent: epic, ..Draft::new(project, TypeId::STORY, format!("Closed work {n}")) };
        let id = world.edit(created).add_issue(draft);
        world.edit(created + DAY / 2).set_points(id, Some([1.0, 2.0, 3.0, 5.0, 8.0][n % 5]));
        if n % 10 == 0 {
            world.edit(created + 2 * DAY + DAY / 4).flag(id);
            world.edit(created + 2 * DAY + DAY / 2).unflag(id);
        }
        for (step, status) in way.iter().enumerate() {
            world.edit(created + (step as i64 + 1) * DAY).transition(id, *status);
        }
    }
    for n in 0..open {
        let created = NOW - 40 * DAY + n as i64 * 60_000;
        if n % 50 == 0 {
            epic = Some(world.edit(created).add_issue(Draft::new(project, TypeId::EPIC, format!("Open epic {n}"))));
        }
        let draft = Draft { parent: epic, ..Draft::new(project, TypeId::STORY, format!("Open work {n}")) };
        let id = world.edit(created).add_issue(draft);
        world.edit(created + DAY).transition(id, way[n % 3]);
        if n % 20 == 0 {
            world.edit(NOW - 8 * DAY).set_sprint(id, Some(sprint));
        }
    }
    world
}

async fn grown_store(rows: &mut Rows) {
    let bench = Installation::jira(grown(200_000, 2_000)).await;
    let (report, wall) = bench.sync().await;
    println!("(first sync of 202,000 issues: {wall:.0} s, {:.0} s of CPU)", number(&report, "/process/cpu_seconds"));
    rows.add("202,000 issues: bytes of store a task", bench.size() as f64 / 202_000.0, 3_072.0, "B");
    {
        let mut world = bench.tool.world();
        let open: Vec<_> = world.issues().rev().take(10).map(|issue| issue.id).collect();
        for (n, id) in open.into_iter().enumerate() {
            world.edit(NOW - 60_000 + n as i64 * 1_000).set_points(id, Some(8.0));
        }
    }
    let (report, wall) = bench.sync().await;
    rows.add("202,000 in the store: CPU of a poll with ten changes", number(&report, "/process/cpu_seconds"), 0.5, "s");
    println!("(the same poll: {wall:.2} s of wall clock)");
    let (_, seconds) = bench.run(&["tasks", "--status", "open", "--output", "json"]).await;
    rows.add("202,000 in the store: tasks --status open", seconds, 0.3, "s");
    let (_, seconds) = bench.run(&["show", "LOAD-1"]).await;
    rows.add("202,000 in the store: start-up and one task", seconds, 1.0, "s");
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut rows = Rows::default();
    complete_history(&mut rows).await;
    github(&mut rows).await;
    linear(&mut rows).await;
    if std::env::args().any(|argument| argument == "--large") {
        fifty_thousand(&mut rows).await;
        grown_store(&mut rows).await;
    }
    rows.verdict()
}
