//! A disk that fails under the real binary and its store: it is full from some system call on, the power fails and what was
//! not synced is gone, or it hangs. `disk_faults.c` makes the calls fail, below sled.
//!
//! Afterwards, with space and power, everything is complete and nothing is doubled; or the store says that it is damaged, and what
//! to do. Nothing panics.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use contextcore_fakes::jira::Options;
use contextcore_fakes::world::World;

use crate::rig::{Installation, LIMIT, NOW, Ran, Running, Service, Setup, Tool, until};

/// Calls that fail, spread over a whole sync, for each way to fail.
const SAMPLES: u32 = 6;

/// The library, built once with the C compiler that the crates with C parts need anyway.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(build)
}

fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/disk_faults.c");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disk_faults.so");
    let built = Command::new("cc")
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .args(["-ldl", "-lpthread"])
        .status();
    assert!(built.unwrap().success(), "cc builds {}", source.display());
    library
}

/// A sync of which a call fails. Also returns how many calls there were.
fn sync_with(home: &Installation, library: &Path, mode: &str, at: u32) -> (Ran, u32) {
    let count = home.path().join("count");
    let mut command = home.command(&["sync"]);
    command.env("LD_PRELOAD", library).env("DISK_UNDER", home.store()).env("DISK_COUNT", &count);
    command.env("DISK_MODE", mode).env("DISK_AT", at.to_string());
    let ran = Running::spawn(command).wait(LIMIT);
    let calls = std::fs::read_to_string(count).ok().and_then(|text| text.parse().ok());
    (ran, calls.unwrap_or_default())
}

fn assert_no_panic(ran: &Ran, what: &str) {
    assert!(ran.code != Some(101) && !ran.err.contains("panicked"), "{what}: {}", ran.err);
}

/// Runs until a sync succeeds. Whether it did; else the store said that it is damaged, and what to do.
fn recovers(home: &Installation, what: &str) -> bool {
    let mut last = String::new();
    for _ in 0..3 {
        let ran = home.run(&["sync"]);
        assert_no_panic(&ran, what);
        if ran.code == Some(0) {
            return true;
        }
        last = ran.err;
    }
    assert!(last.contains("damaged") && last.contains("import"), "{what}: {last}");
    false
}

async fn fails_everywhere(mode: &str, ends: impl Fn(&Ran) -> bool) {
    let library = library();
    let tool = Tool::start(World::demo(NOW, 1, 7), Options::cloud()).await;
    let clean = tool.home().await;
    let (ran, calls) = sync_with(&clean, library, mode, 0);
    ran.expect(0);
    assert!(calls > 10 * SAMPLES, "only {calls} calls were seen");
    let (truth, mut failed) = (clean.outcome(), 0);
    for sample in 0..SAMPLES {
        let at = 1 + calls * sample / SAMPLES;
        let (home, what) = (tool.home().await, format!("{mode} at call {at} of {calls}"));
        let (ran, _) = sync_with(&home, library, mode, at);
        assert_no_panic(&ran, &what);
        failed += u32::from(ends(&ran));
        if recovers(&home, &what) {
            home.outcome().assert_same(&truth);
        }
    }
    assert!(failed > SAMPLES / 2, "{mode}: only {failed} runs were hit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_from_any_call_on_loses_nothing() {
    fails_everywhere("full", |ran| ran.code != Some(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_synced_when_the_power_failed_comes_again() {
    fails_everywhere("lost", |ran| ran.code == Some(137)).await;
}

/// What waits for the disk waits on threads of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_holds_up_no_health_check() {
    let tool = Tool::start(World::demo(NOW, 1, 7), Options::cloud()).await;
    // The clock is a second before the minute, so that after each run the next is due in a second.
    tool.pass(19_000);
    let home = tool.home_with(&Setup { source: "schedule: '* * * * *'", ..Setup::default() }).await;
    let held = home.path().join("held");
    let mut serve = Service::start_by(&home, |home| {
        let mut command = home.command(&["serve"]);
        command.env("LD_PRELOAD", library()).env("DISK_UNDER", home.store()).env("DISK_HELD", &held);
        command
    });
    serve.run.wait_for("sync ended", LIMIT);
    std::fs::write(&held, "").unwrap();
    until("the disk hangs", || held.with_extension("hangs").exists());
    // An export waits for the disk as well.
    let export = home.spawn(&["store", "export", home.path().join("export").to_str().unwrap()]);
    for _ in 0..20 {
        serve.until("/healthz", "200");
        serve.request("POST", "/webhooks/acme-jira", "", b"{}").unwrap();
    }
    std::fs::remove_file(&held).unwrap();
    export.wait(LIMIT).expect(0);
    serve.until("/readyz", "200");
    serve.stop();
}
