//! What one installation prints another one reads: the tasks and sprints of a Jira, as lines of a file, are the same work.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod common;

use std::io::Write;

use common::Rig;
use contextcore_core::Millis;
use contextcore_core::config::{self};
use contextcore_core::ingest::sync::{Options, Source, sync_source};
use contextcore_core::progress::Quiet;
use contextcore_core::query::{SprintFilter, TaskFilter, TaskView, Viewer};
use contextcore_core::store::Store;
use contextcore_fakes::Clock;
use contextcore_fakes::jira::{Jira, Options as JiraOptions};
use contextcore_fakes::world::World;

/// 2026-11-18.
const NOW: i64 = 1_795_000_000_000;

/// What must be the same of a task: everything but who it is to the store.
fn essence(mut task: TaskView) -> TaskView {
    for text in [&mut task.source, &mut task.native_id, &mut task.trace_id, &mut task.span_id] {
        text.clear();
    }
    task.tool = None;
    // Words of the tool's own for former statuses, and links (which lines hold as texts), are not in a line.
    task.timeline.retain(|entry| entry.kind.as_str() != "moved");
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_what_is_read() {
    let options = JiraOptions { clock: Clock::fixed(NOW), ..JiraOptions::cloud() };
    let jira = Jira::start(World::demo(NOW, 2, 7), options).await.unwrap();
    let rig = Rig::new(&jira).await;
    rig.sync(NOW).await;
    let viewer = Viewer::new(&rig.store, &rig.config, Millis(NOW));
    let tasks = viewer.tasks(&TaskFilter::default()).unwrap();
    let sprints = viewer.sprints(&SprintFilter::default()).unwrap();
    assert!(tasks.len() > 20 && !sprints.is_empty());

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("work.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    for sprint in &sprints {
        writeln!(file, "{}", serde_json::to_string(sprint).unwrap()).unwrap();
    }
    for task in &tasks {
        writeln!(file, "{}", serde_json::to_string(task).unwrap()).unwrap();
    }
    let text = format!("sources: [{{name: acme, kind: file, path: {}}}]", path.display());
    let config = config::parse(&text, "test.yaml", &contextcore_connectors::kinds()).unwrap();
    let store = Store::open(&dir.path().join("data")).unwrap();
    let registration = contextcore_connectors::registration("file").unwrap();
    let connector = (registration.build)(&config.sources[0], &config.privacy).unwrap();
    let source = Source {
        config: config.sources[0].clone(),
        connector,
        portfolio: std::sync::Mutex::default(),
        insights: std::sync::Mutex::default(),
    };
    let options = Options { now: Some(Millis(NOW)), ..Options::default() };
    let report = sync_source(&store, &source, &options, &Quiet, &rig.stop).await;
    assert!(report.error.is_none() && report.set_aside == 0, "{report:?} {:?}", store.quarantined_records(None));

    let again = Viewer::new(&store, &config, Millis(NOW));
    let read = again.tasks(&TaskFilter::default()).unwrap();
    assert_eq!(read.len(), tasks.len());
    for (was, is) in tasks.into_iter().zip(read) {
        let id = was.id.clone();
        assert_eq!(essence(is), essence(was), "{id}");
    }
    for (was, is) in sprints.into_iter().zip(again.sprints(&SprintFilter::default()).unwrap()) {
        assert_eq!(
            (is.committed, is.completed_points, is.burndown),
            (was.committed, was.completed_points, was.burndown)
        );
    }
    let unchanged = sync_source(&store, &source, &options, &Quiet, &rig.stop).await;
    assert_eq!((unchanged.records, unchanged.changes), (0, 0));
}
