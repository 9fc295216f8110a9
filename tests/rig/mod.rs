//! The rig of these tests: a scripted Jira ([`Tool`]), installations of the product beside a tool ([`Installation`]), the real
//! binary in them ([`Running`], [`Ran`]; [`Service`] while it serves), and what an installation knows and has exported
//! ([`Outcome`]).
//!
//! Tests run on a runtime of several threads: a test blocks on a child while the fakes answer it.

mod installation;
mod moments;
mod outcome;
mod process;
mod service;
mod tool;

pub(crate) use installation::{Installation, Setup};
pub(crate) use moments::nanos;
pub(crate) use outcome::{Outcome, assert_same, role};
pub(crate) use process::{Ran, Running};
pub(crate) use service::Service;
pub(crate) use tool::Tool;

use std::time::{Duration, Instant};

/// The sample world's tool and an installation beside it, with a project of its own and little patience with the backend.
pub(crate) async fn sample() -> (Tool, Installation) {
    let tool = Tool::sample().await;
    let projects = format!("projects:\n  - {{id: commerce, include: [{{source: {SOURCE}, project: SHOP}}]}}\n");
    let home = tool.home_with(&Setup { export: "give_up: 1s", rest: &projects, ..Setup::default() }).await;
    (tool, home)
}

/// Waits until something is done; fails after [`LIMIT`].
pub(crate) fn until(what: &str, mut is_done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_done() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// 2026-11-18, when nothing special is going on with any clock.
pub(crate) const NOW: i64 = 1_795_000_000_000;
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// The longest a child may run unless a test says otherwise.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The name of the one source.
pub(crate) const SOURCE: &str = "acme-jira";
