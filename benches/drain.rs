//! What reported work costs: `cargo bench --bench drain`. Each row is held to its budget, and one above it fails the run.
//!
//! 100,000 operations of 20,000 tasks under 500 epics are written by the SDK, and drained by the built binary into a local collector
//! (with more than 5,000 traces in 30 seconds it would wait, because Tempo drops what is beyond). Then one call is followed to the
//! backend, the helper is watched while nothing happens, and calls from a shell are made beside it. Time by the clock is held to
//! its budget only where no more processes run than there are cores. `CONTEXTCORE_BENCH_BIN` names another binary.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on shall fail at once")]

mod rows;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use contextcore_fakes::otlp::{Collector, Handle, Options};
use contextcore_sdk::TaskTracker;
use contextcore_sdk::agent::InsightEmitter;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rows::Rows;

const TASKS: usize = 20_000;
const EPICS: usize = 500;
const OPERATIONS: usize = 5 * TASKS + EPICS;
/// The helper is watched for so long, once it has been quiet for longer than it looks often.
const QUIET: Duration = Duration::from_secs(15);
const WATCHED: Duration = Duration::from_secs(20);
/// Decisions of a run, and runs: the best run is what the call costs, the others are what else the machine did.
const DECISIONS: usize = 1_000;
const RUNS: usize = 10;
const SHELL_CALLS: usize = 21;

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
    rows.add("a decision, 99 of 100", decisions(&backend) * 1e6, by_clock(50.0), "us");
    let (clock, cpu, megabytes) = whole(dir.path()).await;
    rows.add("draining 100,000 operations, by the clock", clock, by_clock(20.0), "s");
    rows.add("draining 100,000 operations, CPU", cpu, 20.0, "s");
    rows.add("memory of the helper at its peak", megabytes, 80.0, "MB");
    let One { first, idle, shell } = one(&backend).await;
    rows.add("from a call to its span at the backend", first, 3.0, "s");
    rows.add("CPU of an idle helper", idle, 0.5, "%");
    rows.add("a call from a shell, by the clock", shell.0 * 1e3, by_clock(30.0), "ms");
    rows.add("a call from a shell, CPU", shell.1 * 1e3, 30.0, "ms");
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

/// The seconds within which 99 of 100 decisions are reported.
fn decisions(backend: &Handle) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let agent = tracker(dir.path(), backend).emitter("bench");
    let run = |run: usize| {
        let mut taken: Vec<f64> = (0..DECISIONS).map(|n| decide(&agent, run * DECISIONS + n)).collect();
        taken.sort_by(f64::total_cmp);
        taken[DECISIONS * 99 / 100]
    };
    (0..RUNS).map(run).min_by(f64::total_cmp).unwrap()
}

fn decide(agent: &InsightEmitter, number: usize) -> f64 {
    let begun = Instant::now();
    agent.decision(&format!("Decision {number}")).confidence(0.9).applies_to(["src/a.rs"]).emit();
    begun.elapsed().as_secs_f64()
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

/// A budget of time by the clock; none while the machine has more to do than it can.
fn by_clock(budget: f64) -> f64 {
    if is_busy() { f64::INFINITY } else { budget }
}

/// What one helper and the calls to it cost.
struct One {
    /// Seconds from a call until its span is at the backend.
    first: f64,
    /// CPU of the helper in percent once it is quiet.
    idle: f64,
    /// Seconds of a call from a shell, by the clock and of CPU.
    shell: (f64, f64),
}

/// One call with a new helper, which is then watched while it is quiet.
async fn one(backend: &Handle) -> One {
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
    let shell = shell(dir.path(), backend);
    helper.kill().unwrap();
    helper.wait().unwrap();
    // A tick is 10 ms.
    One { first, idle: idle / WATCHED.as_secs_f64(), shell }
}

/// What a call from a shell takes while a helper is there: the median by the clock, and of CPU.
fn shell(state: &Path, backend: &Handle) -> (f64, f64) {
    let calls = (0..SHELL_CALLS).map(|number| shell_call(state, backend, number));
    let (mut clock, mut cpu): (Vec<f64>, Vec<f64>) = calls.unzip();
    clock.sort_by(f64::total_cmp);
    cpu.sort_by(f64::total_cmp);
    (clock[SHELL_CALLS / 2], cpu[SHELL_CALLS / 2])
}

fn shell_call(state: &Path, backend: &Handle, number: usize) -> (f64, f64) {
    let mut command = Command::new(binary());
    command.env_clear().args(["task", "start", &format!("S-{number}"), "--title", "Checkout", "--project", "bench"]);
    command.args(["--endpoint", &backend.grpc_url(), "--state"]).arg(state);
    let (begun, before) = (Instant::now(), children());
    let output = command.output().unwrap();
    let used = (begun.elapsed().as_secs_f64(), children() - before);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    used
}

/// The CPU time, in seconds, of all processes that this one has waited for.
fn children() -> f64 {
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    (used.user_time() + used.system_time()).num_microseconds() as f64 / 1e6
}
