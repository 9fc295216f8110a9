//! For tests of programs that report: operations in memory instead of a spool.
//!
//! ```
//! # fn import(tracker: &contextcore_sdk::TaskTracker) { tracker.task("T-1").title("Import").start().complete(); }
//! let (tracker, operations) = contextcore_sdk::testing::memory("shop");
//! import(&tracker);
//! let names: Vec<&str> = operations.all().iter().map(|operation| operation.name()).collect();
//! assert_eq!(names, ["task.start", "task.complete"]);
//! ```

use crate::client::Builder;
pub use crate::recorder::Recorder;
use crate::tracker::TaskTracker;

/// A tracker that writes nothing, and what it was given.
///
/// # Panics
/// When `OTEL_EXPORTER_OTLP_ENDPOINT` is no address.
pub fn memory(project: &str) -> (TaskTracker, Recorder) {
    let recorder = Recorder::default();
    let tracker = Builder::default().project(project).memory(&recorder).build();
    (tracker.expect("the endpoint of the environment is an address"), recorder)
}
