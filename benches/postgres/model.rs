//! What was measured against what the cost model says of the same store.

use std::process::Command;

use serde_json::Value;

use crate::installation::{Installation, Run};
use crate::rows::Rows;
use crate::worlds::NOW;

/// How far the model may be from what was measured, either way.
const NEAR: f64 = 1.3;
const QUARTER: i64 = 900_000;
/// How often a task of these worlds changes.
const CHANGES: f64 = 5.0;

/// Holds a store after its first sync, and a poll a quarter of an hour later, to the model.
pub(crate) async fn compare(
    rows: &mut Rows,
    installation: &Installation<'_>,
    first: &Run,
    (closed, open): (usize, usize),
) {
    let bytes = installation.stored_bytes();
    installation.now.set(NOW + QUARTER);
    let later = installation.sync().await;
    installation.now.set(NOW);
    let tasks = (closed + open + closed.div_ceil(50) + open.div_ceil(50)) as f64;
    let expected = expected(tasks, open as f64);
    let of = |name: &str| expected.pointer(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let changes = CHANGES * tasks;
    println!(
        "({tasks} tasks: first sync {} requests, {} spans, {} logs, {} points, {bytes} bytes; later {} requests, {} spans, {} points)",
        first.number("/sources/0/requests"),
        first.number("/export/spans"),
        first.number("/export/logs"),
        first.number("/export/points"),
        later.number("/sources/0/requests"),
        later.number("/export/spans"),
        later.number("/export/points"),
    );
    for (what, measured, modelled) in [
        ("requests of the first sync", first.number("/sources/0/requests"), of("/first_sync/jira_requests")),
        ("spans of the first sync", first.number("/export/spans"), of("/first_sync/spans")),
        ("log records of the first sync", first.number("/export/logs"), of("/first_sync/log_records")),
        ("bytes of the database", bytes, of("/database/bytes")),
        ("requests of a poll", later.number("/sources/0/requests"), of("/a_poll/jira_requests")),
        ("spans of a snapshot", later.number("/export/spans"), of("/a_snapshot/spans")),
        ("samples of a moment", later.number("/export/points"), of("/a_moment/samples")),
    ] {
        println!("({what}: {measured} measured, {modelled:.0} in the model, {:.2} a change)", measured / changes);
        let apart = (measured / modelled).max(modelled / measured);
        rows.add(format!("{tasks} tasks: {what}, from the model"), apart, NEAR, "times");
    }
}

/// What the model says.
fn expected(tasks: f64, open: f64) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cost_model.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["--output", "json", "--jira", "1", "--projects", "1"]);
    command.args([
        "--tasks",
        &tasks.to_string(),
        "--open",
        &open.to_string(),
        "--changes-a-task",
        &CHANGES.to_string(),
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
