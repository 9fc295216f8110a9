//! Who reads the log of the SDK may report what it reads. (Alone in its process: most messages are logged once in each.)

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

use std::sync::mpsc;
use std::time::Duration;

use contextcore_sdk::TaskTracker;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Reports each event of the log as one of a task.
struct Reports(TaskTracker);

impl Subscriber for Reports {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "contextcore"
    }

    fn event(&self, _: &Event<'_>) {
        self.0.add_event("T-1", "log.warned");
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_message_of_the_log_may_be_reported_with_the_tracker_that_wrote_it() {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let dir = tempfile::tempdir().unwrap();
        let builder = TaskTracker::builder().project("shop").state_dir(dir.path()).endpoint("http://127.0.0.1:9");
        let tracker = builder.binary("/nonexistent").drain(true).build().unwrap();
        tracing::subscriber::with_default(Reports(tracker.clone()), || {
            tracker.complete_task("T-1");
            tracker.set_progress("T-1", 140.0);
        });
        let spool = dir.path().join("lanes");
        let lane = std::fs::read_dir(spool).unwrap().next().unwrap().unwrap().path().join("spool/shop");
        let file = std::fs::read_dir(lane).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read_to_string(file).unwrap();
        done.send(text.matches("log.warned").count()).unwrap();
    });
    // The helper could not be started, and the percentage is none.
    assert_eq!(is_done.recv_timeout(Duration::from_secs(20)), Ok(2), "a call waits for the lock that it has");
}
