//! What the store costs in PostgreSQL: `cargo bench --bench postgres`. Each row is held to its budget, and one above it fails the run.
//!
//! A first sync of 50,000 issues into a directory and into a database takes turns in one run, so that a slow machine slows both; a
//! proxy adds the round trips of a database on another machine, and counts statements. The server is a real one with its default
//! settings, started here on loopback. The sizes of three stores are held to what `docs/cost_model.py` says of them.
//!
//! `-- --issues N` is another size of the first sync, for a look while something is changed.
//!
//! With `-- --large`: lists of 202,000 tasks, and the memory of `serve` with two million tasks of ten sources, 100,000 of them open.
//! One source is synchronised, and the database copies it nine times under other names. `CONTEXTCORE_BENCH_BIN` names another binary.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on shall fail at once")]

mod installation;
mod many;
mod model;
#[path = "../rows/mod.rs"]
mod rows;
#[path = "../budgets/worlds.rs"]
mod worlds;

use std::process::ExitCode;
use std::time::Duration;

use contextcore_fakes::Clock;
use contextcore_fakes::jira::{self, Jira, JiraHandle};
use contextcore_fakes::world::World;
use contextcore_postgres::{Postgres, Proxy};
use installation::{Installation, Place, Run};
use model::Size;
use rows::Rows;
use worlds::NOW;

/// Issues of the first sync; one in twenty is open.
const FIRST: usize = 50_000;
/// Smaller ones, to hold the cost model to.
const SMALL: (usize, usize) = (950, 50);
const MIDDLE: (usize, usize) = (9_500, 500);
/// What is added to each round trip.
const FAR: Duration = Duration::from_millis(1);
const POLLS: u32 = 5;
/// One question of the journal, and a transaction of three statements. The rate that is subtracted is measured to half a statement a poll.
const STATEMENTS: f64 = 5.0;
/// How long a service is watched while nothing happens.
const QUIET: Duration = Duration::from_secs(15);

async fn beside(world: World) -> JiraHandle {
    let options = jira::Options { clock: Clock::fixed(NOW), ..jira::Options::cloud() };
    Jira::start(world, options).await.expect("a fake")
}

/// First syncs into a directory and into a database, near and far; gives the installation that has the near one.
async fn first_sync<'a>(rows: &mut Rows, tool: &JiraHandle, server: &'a Postgres) -> (Installation<'a>, Run) {
    let near = Installation::new(tool, Place::near(server, "first")).await;
    let far = Installation::new(tool, Place::far(server, Proxy::start(server.port(), FAR), "far")).await;
    let mut directory = Vec::new();
    let mut database = Vec::new();
    for installation in [&near, &far] {
        let fresh = Installation::new(tool, Place::Directory).await;
        directory.push(fresh.sync().await.seconds);
        database.push(installation.sync().await);
    }
    let statements = far.take_statements() / (tool.world().issues().count() as f64 / 1_000.0);
    let seconds: Vec<f64> = database.iter().map(|run| run.seconds).collect();
    println!("({directory:.1?} s into a directory, {seconds:.1?} s into a database, near and far)");
    rows.add("first sync, against a directory", seconds[0] / directory[0], 2.5, "times");
    rows.add("the same with 1 ms of added round trip", seconds[1] / directory[1], 4.0, "times");
    rows.add("statements of the first sync, for 1,000 issues", statements, 600.0, "");
    (near, database.swap_remove(0))
}

/// What a poll without news asks of the database, beside what `serve` asks while there is none.
async fn quiet_poll(rows: &mut Rows, tool: &JiraHandle, near: &Installation<'_>, server: &Postgres) {
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    near.export_by_polls_alone();
    let asking = near.config();
    let serving = near.serve_through(&proxy).await;
    near.poll(tool, &asking).await;
    tokio::time::sleep(QUIET).await;
    let (_, begun) = (proxy.take_statements(), std::time::Instant::now());
    tokio::time::sleep(QUIET).await;
    let a_second = proxy.take_statements() as f64 / begun.elapsed().as_secs_f64();
    let begun = std::time::Instant::now();
    for _ in 0..POLLS {
        near.poll(tool, &asking).await;
    }
    let expected = a_second * begun.elapsed().as_secs_f64();
    let all = proxy.take_statements() as f64;
    println!("({a_second:.2} statements a second without a poll, {all} in {POLLS} polls and {:.0?})", begun.elapsed());
    rows.add("statements of a poll without news", (all - expected) / f64::from(POLLS), STATEMENTS, "");
    drop(serving);
}

/// Stores of three sizes, held to the model.
async fn sizes(rows: &mut Rows, server: &Postgres, tool: &JiraHandle, (whole, run): (&Installation<'_>, &Run)) {
    // Other tasks too: 23 changes each.
    let histories = World::history(NOW, 1_000, 20, 50, 150, 1);
    for world in [worlds::grown(SMALL.0, SMALL.1), worlds::grown(MIDDLE.0, MIDDLE.1), histories] {
        let tool = beside(world).await;
        let small = Installation::new(&tool, Place::near(server, "small")).await;
        let run = small.sync().await;
        model::compare(rows, &small, &run, &Size::of(&tool)).await;
    }
    model::compare(rows, whole, run, &Size::of(tool)).await;
}

/// How many issues the first sync has.
fn issues() -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--issues").skip(1);
    arguments.next().map_or(FIRST, |number| number.parse().expect("a number after --issues"))
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut rows = Rows::default();
    let Some(server) = Postgres::start(&[]) else { return ExitCode::FAILURE };
    let asked = |name: &str| std::env::args().any(|argument| argument == name);
    if !asked("--only-large") {
        let tool = beside(worlds::grown(issues() * 19 / 20, issues() / 20)).await;
        let (near, run) = first_sync(&mut rows, &tool, &server).await;
        sizes(&mut rows, &server, &tool, (&near, &run)).await;
        quiet_poll(&mut rows, &tool, &near, &server).await;
    }
    if asked("--large") || asked("--only-large") {
        many::lists(&mut rows, &server).await;
        many::memory(&mut rows, &server).await;
    }
    rows.verdict()
}
