//! What returned is in the spool, once, whatever becomes of the process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contextcore_sdk::{Error, Mode, Operation, TaskTracker};
use serde_json::Value;

fn segments(under: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(under).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = entries.flat_map(|path| if path.is_dir() { segments(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect()
}

/// The whole lines of a state directory, without headers.
fn lines(state: &Path) -> Vec<Value> {
    let texts = segments(state).into_iter().map(|path| std::fs::read_to_string(path).unwrap());
    let whole = texts.map(|text| text[..text.rfind('\n').map_or(0, |end| end + 1)].to_owned());
    let read = |line: &str| serde_json::from_str(line).unwrap();
    whole.flat_map(|text| text.lines().skip(1).map(read).collect::<Vec<_>>()).collect()
}

fn tracker(state: &Path) -> TaskTracker {
    TaskTracker::builder().project("p").state_dir(state).drain(false).build().unwrap()
}

fn is_dead(path: &Path) -> bool {
    std::fs::File::open(path).unwrap().try_lock().is_ok()
}

#[test]
fn threads_lose_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shared = tracker(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..32 {
            let tracker = shared.clone();
            scope.spawn(move || (0..100).for_each(|n| tracker.complete_task(&format!("T-{thread}-{n}"))));
        }
    });
    let found = lines(dir.path());
    let numbers: Vec<u64> = found.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=3_200).collect::<Vec<_>>());
    assert!(found.windows(2).all(|pair| pair[0]["t"].as_str() <= pair[1]["t"].as_str()));
    assert_eq!((shared.dropped(), segments(dir.path()).len()), (0, 1));
}

#[test]
fn clients_of_a_project_share_a_file_until_the_last_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (tracker(dir.path()), tracker(dir.path()));
    first.complete_task("T-1");
    second.sprints().start_sprint("S-1");
    second.emitter("claude").decision("x").emit();
    let files = segments(dir.path());
    assert_eq!((files.len(), lines(dir.path()).len()), (1, 3));
    assert!(!first.close(Duration::ZERO), "nothing drains it");
    assert!(!is_dead(&files[0]));
    drop(second);
    assert!(is_dead(&files[0]));
    tracker(dir.path()).complete_task("T-2");
    assert_eq!(segments(dir.path()).len(), 2);
}

#[test]
fn a_file_that_somebody_removed_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let tracker = tracker(dir.path());
    tracker.complete_task("T-1");
    std::fs::remove_file(&segments(dir.path())[0]).unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    tracker.complete_task("T-2");
    assert_eq!(lines(dir.path())[0]["task"], "T-2");
}

#[test]
fn what_cannot_be_written_counts_and_is_passed_on() {
    let dir = tempfile::tempdir().unwrap();
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    let builder = TaskTracker::builder().project("p").state_dir(dir.path()).drain(false);
    let tracker = builder.on_error(move |error| seen.lock().unwrap().push(error.clone())).build().unwrap();
    tracker.complete_task(" ");
    tracker.set_progress("T-1", f64::NAN);
    assert_eq!(tracker.dropped(), 2);
    tracker.set_progress("T-1", 140.0);
    assert_eq!((tracker.dropped(), lines(dir.path())[0]["percent"].as_i64()), (2, Some(100)));
    assert!(errors.lock().unwrap().iter().all(|error| matches!(error, Error::Invalid(_))));
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = TaskTracker::builder().state_dir(&file).build();
    assert!(matches!(refused, Err(Error::Spool(_))), "{refused:?}");
    assert!(matches!(TaskTracker::builder().endpoint("tempo").build(), Err(Error::Endpoint(_))));
}

#[test]
fn a_hook_changes_and_drops_and_modes_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let hook = |operation| match operation {
        Operation::Comment(_) => None,
        Operation::Start(mut fields) => {
            fields.title = Some("removed".to_owned());
            Some(Operation::Start(fields))
        }
        other => Some(other),
    };
    let builder = TaskTracker::builder().project("p").state_dir(dir.path()).drain(false);
    let tracker = builder.before_send(hook).traceparent(|| Some("00-1-2-01".to_owned())).build().unwrap();
    tracker.add_comment("T-1", "ada", "secret");
    tracker.start_task("T-1", "secret");
    let found = lines(dir.path());
    assert_eq!(
        (found.len(), &found[0]["title"], &found[0]["traceparent"]),
        (1, &"removed".into(), &"00-1-2-01".into())
    );
    let nothing = tempfile::tempdir().unwrap();
    let path = nothing.path().join("state");
    TaskTracker::builder().state_dir(&path).mode(Mode::Disabled).build().unwrap().complete_task("T-1");
    assert!(!path.exists());
}

#[test]
fn a_task_lasts_as_long_as_its_value() {
    let (tracker, operations) = contextcore_sdk::testing::memory("p");
    drop(tracker.task("A").enter());
    let cancelled = tracker.task("B").enter();
    cancelled.cancel();
    drop(cancelled);
    let failed: Result<(), std::fmt::Error> = tracker.task("C").run(|_| Err(std::fmt::Error));
    assert!(failed.is_err());
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _guard = tracker.task("D").enter();
        panic!("on purpose");
    }));
    assert!(panics.is_err());
    let ends: Vec<String> = operations.all().chunks(3).map(|each| format!("{:?}", each[2])).collect();
    let expected = ["Complete", "Cancel", r#"reason: Some("core::fmt::Error")"#, r#"reason: Some("panic")"#];
    assert!(ends.iter().zip(expected).all(|(end, part)| end.contains(part)), "{ends:?}");
    assert_eq!(tracker.active_tasks(), ["D"], "a panic ends no task");
}

/// Runs in a process of its own, until it is killed.
#[test]
#[ignore = "the process that `a_killed_process_loses_nothing` kills"]
fn report_for_ever() {
    let Some(state) = std::env::var_os("STATE_OF_THE_TEST") else { return };
    let tracker = tracker(Path::new(&state));
    for n in 0.. {
        tracker.task(&format!("T-{n}")).title("x".repeat(n % 3_000)).start();
        println!("returned {n}");
    }
}

#[test]
fn a_killed_process_loses_nothing() {
    for round in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "report_for_ever", "--ignored", "--nocapture"])
            .env("STATE_OF_THE_TEST", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut begun = String::new();
        while !begun.contains("returned") {
            assert!(output.read_line(&mut begun).unwrap() > 0, "it ended by itself");
        }
        std::thread::sleep(Duration::from_micros(round * 731 % 9_000));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        let returned = (begun + &rest).lines().filter(|line| line.contains("returned")).count();
        let found: Vec<String> =
            lines(dir.path()).iter().map(|line| line["task"].as_str().unwrap().to_owned()).collect();
        assert!(found.len() >= returned && found.len() <= returned + 1, "{} of {returned}", found.len());
        assert!(found.iter().enumerate().all(|(n, task)| *task == format!("T-{n}")));
    }
}
