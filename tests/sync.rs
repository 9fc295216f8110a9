//! `sync` without faults, and in a world that changes: deletions, moves, lost permissions.

use contextcore_fakes::otlp::{Signal, Span};
use contextcore_fakes::world::{IssueId, Stage, TypeId, Visibility};
use serde_json::Value;

use crate::rig::{HOUR, Installation, MINUTE, NOW, SOURCE, Tool, nanos};

/// How many requests of one signal came in.
fn requests(home: &Installation, signal: Signal) -> usize {
    home.collector.requests().iter().filter(|seen| seen.signal == signal).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_summary_matches_the_counts_of_tool_and_backend() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    let summary = home.summary(0, &[]);
    let counts = home.collector.counts();
    let source = &summary["sources"][0];
    assert_eq!(source["name"], SOURCE);
    assert_eq!(source["requests"], tool.jira.requests().len());
    assert_eq!(summary["export"]["spans"], counts.spans);
    assert_eq!(summary["export"]["logs"], counts.logs);
    assert_eq!(summary["export"]["points"], home.points().len());
    assert_eq!((&source["spans"], &source["logs"]), (&summary["export"]["spans"], &summary["export"]["logs"]));
    assert_eq!((&summary["dry_run"], &source["error"]), (&Value::Bool(false), &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sync_without_changes_sends_no_history_and_asks_little() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    let first = home.outcome();
    tool.jira.take_requests();
    home.collector.clear();
    tool.pass(5 * MINUTE);
    let summary = home.summary(0, &[]);
    assert_eq!((&summary["sources"][0]["changes"], &summary["sources"][0]["logs"]), (&0.into(), &0.into()));
    let boards = tool.jira.world().boards.len();
    let asked = tool.jira.take_requests();
    assert!(asked.len() <= 3 + boards, "{:?}", asked.iter().map(|request| &request.target).collect::<Vec<_>>());
    let again = home.outcome();
    assert!(again.history.is_empty() && again.lines.is_empty());
    assert_eq!(again.tasks.keys().collect::<Vec<_>>(), first.tasks.keys().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_leaves_no_trace() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    let summary = home.summary(0, &["--dry-run"]);
    assert_eq!((&summary["dry_run"], &summary["export"]["spans"]), (&Value::Bool(true), &0.into()));
    assert!(summary["sources"][0]["changes"].as_u64() > Some(500), "{summary}");
    assert!(!home.store().exists());
    assert_eq!(home.collector.counts().requests, 0);

    home.sync();
    tool.pass(HOUR);
    tool.edit(|edit| edit.rename(IssueId::FIRST, "Renamed"));
    let (before, counts) = (home.outcome(), home.collector.counts());
    let summary = home.summary(0, &["--dry-run"]);
    assert_eq!(summary["sources"][0]["changes"], 1);
    assert_eq!(home.collector.counts(), counts);
    assert_eq!(home.outcome().history, before.history);
    assert_eq!(home.tasks().iter().filter(|task| task["title"] == "Renamed").count(), 0);
    // A dry run marks nothing as seen.
    assert_eq!(home.summary(0, &[])["sources"][0]["changes"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_issue_is_deleted_after_two_complete_passes() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    let gone = home.tasks().into_iter().find(|task| task["status"] == "in_progress").unwrap();
    let key = gone["id"].as_str().unwrap();
    let id = tool.jira.world().find(key).unwrap();
    tool.edit(|edit| edit.delete(id));
    let open = |home: &Installation| home.run(&["tasks", "--status", "open", "--output", "json"]).expect(0).json();
    let before = open(&home).as_array().unwrap().len();
    for (pass, deleted) in [(1, false), (2, true)] {
        tool.pass(HOUR);
        home.run(&["sync", "--full"]).expect(0);
        assert_eq!(!home.task(key)["deleted"].is_null(), deleted, "pass {pass}");
        assert_eq!(open(&home).as_array().unwrap().len(), before - usize::from(deleted), "pass {pass}");
    }
    assert!(home.collector.logs().iter().any(|log| log.event_name == "task.deleted"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_issue_stays_the_same_task() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    let before = home.tasks().into_iter().find(|task| task["project"] == "OPS" && task["type"] != "epic").unwrap();
    let old = before["id"].as_str().unwrap();
    tool.pass(HOUR);
    let new = {
        let mut world = tool.jira.world();
        let (id, to) = (world.find(old).unwrap(), world.find_project("PLAT").unwrap());
        world.edit(tool.now()).move_project(id, to);
        world.key_of(id)
    };
    home.sync();
    let after = home.task(&new);
    for name in ["native_id", "trace_id", "span_id", "created"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert_eq!(after["project"], "PLAT");
    assert!(home.tasks().iter().all(|task| task["id"] != old));
    // The old key still finds it.
    let shown = home.run(&["show", old, "--output", "json"]).expect(0);
    assert!(shown.out.contains(&new), "{}", shown.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_a_completion_points_to_its_span_when_the_task_got_another_epic_later() {
    let tool = Tool::sample().await;
    let key = {
        let mut world = tool.jira.world();
        let is_epic = |id: IssueId| world.issue(id).fields.kind == TypeId::EPIC;
        let truth = world.truth(NOW);
        let is_done = |id: IssueId| truth.status(id) == Stage::Done && !is_epic(id);
        let (id, parent) = world
            .issues()
            .find_map(|issue| Some((issue.id, issue.fields.parent.filter(|_| is_done(issue.id))?)))
            .unwrap();
        let other = world.issues().find(|issue| is_epic(issue.id) && issue.id != parent).unwrap().id;
        world.edit(NOW - HOUR).set_parent(id, Some(other));
        world.key_of(id)
    };
    let home = tool.home().await;
    home.sync();
    let (spans, logs) = (home.collector.spans(), home.collector.logs());
    let mut completions = logs.iter().filter(|log| log.event_name == "task.completed");
    assert!(completions.any(|log| log.attributes["task.id"] == key.as_str()), "{key} was not completed");
    for log in logs.iter().filter(|log| log.event_name == "task.completed") {
        let there = |span: &Span| span.trace_id == log.trace_id && span.span_id == log.span_id && span.end == log.time;
        assert!(spans.iter().any(there), "{log:?} points to no span");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_without_permission_closes_nothing_and_is_an_error() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    let before = home.tasks();
    let hidden = tool.jira.world().find_project("OPS").unwrap();
    let set = |visibility| tool.jira.world().projects[usize::from(hidden.0)].visibility = visibility;
    set(Visibility::Hidden);
    for _ in 0..3 {
        tool.pass(HOUR);
        home.run(&["sync", "--full"]).expect(3).says(&["OPS", "nothing was closed", "token"]);
    }
    // Everything else goes on, exporting included.
    tool.edit(|edit| edit.rename(IssueId::FIRST, "Renamed meanwhile"));
    home.run(&["sync", "--full"]).expect(3);
    assert!(home.collector.logs().iter().any(|log| log.event_name == "task.renamed" && log.time == nanos(tool.now())));
    let after = home.tasks();
    assert_eq!(after.len(), before.len());
    assert!(after.iter().all(|task| task["deleted"].is_null()));
    let status = home.run(&["status"]).expect(0);
    assert!(status.out.contains("OPS"), "{}", status.out);
    set(Visibility::Open);
    tool.pass(HOUR);
    home.run(&["sync", "--full"]).expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_reaches_back_to_the_first_issue_and_all_three_signals_are_exported() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    for signal in Signal::ALL {
        assert!(requests(&home, signal) > 0, "{signal:?}");
    }
    let first = tool.jira.world().issues().map(|issue| issue.created).min().unwrap();
    let oldest = home.collector.spans().iter().map(|span| span.start).min().unwrap();
    assert_eq!(oldest, nanos(first));
}
