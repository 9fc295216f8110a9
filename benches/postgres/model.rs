//! What was measured against what the cost model says of the same store.

use std::process::Command;

use contextcore_fakes::jira::JiraHandle;
use contextcore_fakes::world::StatusId;
use serde_json::Value;

use crate::installation::{Installation, Run};
use crate::rows::Rows;
use crate::worlds::NOW;

/// How far the model may be from what was measured, either way.
const NEAR: f64 = 1.3;
/// A project in which nothing changed has a snapshot once an hour.
const HOUR: i64 = 3_600_000;

/// What a tool has.
pub(crate) struct Size {
    tasks: f64,
    open: f64,
    changes_a_task: f64,
}

impl Size {
    pub(crate) fn of(tool: &JiraHandle) -> Self {
        let world = tool.world();
        let tasks = world.issues().count() as f64;
        let open = world.issues().filter(|issue| issue.fields.status != StatusId::DONE).count() as f64;
        Self { tasks, open, changes_a_task: world.history_entries() as f64 / tasks }
    }
}

/// Holds a store after its first sync, and a poll an hour later, to the model.
pub(crate) async fn compare(rows: &mut Rows, installation: &Installation<'_>, first: &Run, size: &Size) {
    let bytes = installation.stored_bytes();
    installation.now.set(NOW + HOUR);
    let later = installation.sync().await;
    installation.now.set(NOW);
    let expected = expected(size);
    let of = |name: &str| expected.pointer(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let Size { tasks, open, changes_a_task } = size;
    println!(
        "({tasks} tasks, {open} open, {changes_a_task:.1} changes each; {} points at first; an hour later {:.2} s and {:.2} s of CPU)",
        first.number("/export/points"),
        later.seconds,
        later.number("/process/cpu_seconds"),
    );
    for (what, measured, modelled) in [
        ("requests of the first sync", first.number("/sources/0/requests"), of("/first_sync/jira_requests")),
        ("spans of the first sync", first.number("/export/spans"), of("/first_sync/spans")),
        ("log records of the first sync", first.number("/export/logs"), of("/first_sync/log_records")),
        ("CPU of the first sync", first.number("/process/cpu_seconds"), of("/first_sync/cpu_seconds")),
        ("bytes of the database", bytes, of("/database/bytes")),
        ("requests of a poll", later.number("/sources/0/requests"), of("/a_poll/jira_requests")),
        ("spans of a snapshot", later.number("/export/spans"), of("/a_snapshot/spans")),
        ("samples of a moment", later.number("/export/points"), of("/a_moment/samples")),
    ] {
        println!("({what}: {measured} measured, {modelled:.0} in the model)");
        // CPU is the machine's.
        let near = if what.starts_with("CPU") { f64::INFINITY } else { NEAR };
        let apart = (measured / modelled).max(modelled / measured);
        rows.add(format!("{tasks} tasks: {what}, from the model"), apart, near, "times");
    }
}

/// What the model says.
fn expected(size: &Size) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cost_model.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["--output", "json", "--jira", "1", "--projects", "1"]);
    for (name, value) in [("--tasks", size.tasks), ("--open", size.open), ("--changes-a-task", size.changes_a_task)] {
        command.args([name, &value.to_string()]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
