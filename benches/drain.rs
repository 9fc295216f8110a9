//! What reported work costs: `cargo bench --bench drain`. Each row is held to its budget, and one above it fails the run.
//!
//! 100,000 operations of 20,000 tasks under 500 epics are written by the SDK, and drained by the built binary into a local collector
//! (with more than 5,000 traces in 30 seconds it would wait, because Tempo drops what is beyond). Then one call is followed to the
//! backend, and the helper is watched while nothing happens. Time by the clock is held to its budget only where no more processes
//! run than there are cores. `CONTEXTCORE_BENCH_BIN` names another binary.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on shall fail at once")]

mod rows;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use contextcore_fakes::otlp::{Collector, Handle, Options};
use contextcore_sdk::TaskTracker;
use rows::Rows;

const TASKS: usize = 20_000;
const EPICS: usize = 500;
const OPERATIONS: usize = 5 * TASKS + EPICS;
/// The helper is watched for so long, once it has been quiet for longer than it looks often.
const QUIET: Duration = Duration::from_secs(15);
const WATCHED: Duration = Duration::from_secs(20);

fn binary() -> PathBuf {
    std::env::var_os("CONTEXTCORE_BENCH_BIN").map_or_else(|| env!("CARGO_BIN_EXE_contextcore").into(), PathBuf::from)
}

fn drain(state: &Path, linger: &str) -> Child {
    let mut command = Command::new(binary());
    command.env_clear().args(["drain", "--linger", linger, "--state"]).arg(state);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn tracker(state: &Path, backend: &Handle) -> TaskTracker {
    TaskTracker::builder().project("bench").endpoint(backend.grpc_url()).state_dir(state).drain(false).build().unwrap()
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure()).verdict()
}

async fn measure() -> Rows {
    let backend = Collector::start(Options { keep: false, ..Options::default() }).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let tracker = tracker(dir.path(), &backend);
    let mut rows = Rows::default();
    rows.add("a call, on average", write(&tracker) * 1e6, 50.0, "us");
    drop(tracker);
    let (clock, cpu, megabytes) = whole(dir.path()).await;
    let clock_budget = if is_busy() { f64::INFINITY } else { 20.0 };
    rows.add("draining 100,000 operations, by the clock", clock, clock_budget, "s");
    rows.add("draining 100,000 operations, CPU", cpu, 20.0, "s");
    rows.add("memory of the helper at its peak", megabytes, 80.0, "MB");
    let (first, idle) = one(&backend).await;
    rows.add("from a call to its span at the backend", first, 3.0, "s");
    rows.add("CPU of an idle helper", idle, 0.5, "%");
    rows
}

/// Writes the operations. Returns the seconds of a call.
fn write(tracker: &TaskTracker) -> f64 {
    let begun = Instant::now();
    for n in 0..EPICS {
        tracker.task(&format!("E-{n}")).title("Checkout").task_type("epic").start();
    }
    for n in 0..TASKS {
        let task =
            tracker.task(&format!("T-{n}")).title("Implement checkout flow").parent(format!("E-{}", n % EPICS)).start();
        task.update_status("in_progress");
        task.add_event_with("tests.passed", [("count", 12)]);
        task.set_progress(50.0);
        task.complete();
    }
    begun.elapsed().as_secs_f64() / f64::from(u32::try_from(OPERATIONS).unwrap())
}

/// Drains everything. Returns seconds by the clock and of CPU, and the peak of memory in megabytes.
async fn whole(state: &Path) -> (f64, f64, f64) {
    let begun = Instant::now();
    let mut helper = drain(state, "0s");
    let (mut peak, mut used) = (0.0_f64, 0.0_f64);
    let status = loop {
        peak = peak.max(status_of(helper.id(), "VmHWM:"));
        used = used.max(ticks(helper.id()));
        if let Some(status) = helper.try_wait().unwrap() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "the helper ended with {status}");
    // A tick is 10 ms.
    (begun.elapsed().as_secs_f64(), used / 100.0, peak / 1024.0)
}

/// Whether more processes run than there are cores.
fn is_busy() -> bool {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or_default();
    load > std::thread::available_parallelism().map_or(1.0, |cores| f64::from(u32::try_from(cores.get()).unwrap_or(1)))
}

/// A line of `/proc/PID/status`, in kB.
fn status_of(process: u32, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Ticks of CPU that a process has used: fields 14 and 15 of `/proc/PID/stat`, behind the name.
fn ticks(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}

/// One call with a new helper. Returns the seconds until its span is there, and the helper's CPU in percent once it is quiet.
async fn one(backend: &Handle) -> (f64, f64) {
    let dir = tempfile::tempdir().unwrap();
    let before = backend.counts().spans;
    let begun = Instant::now();
    tracker(dir.path(), backend).start_task("T-1", "Checkout").complete();
    let mut helper = drain(dir.path(), "10m");
    assert!(backend.wait(Duration::from_secs(30), |counts| counts.spans > before).await, "no span came");
    let first = begun.elapsed().as_secs_f64();
    tokio::time::sleep(QUIET).await;
    let used = ticks(helper.id());
    tokio::time::sleep(WATCHED).await;
    let idle = ticks(helper.id()) - used;
    helper.kill().unwrap();
    helper.wait().unwrap();
    // A tick is 10 ms.
    (first, idle / WATCHED.as_secs_f64())
}
