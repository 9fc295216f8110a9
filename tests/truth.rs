//! What the commands print of the sample world, compared with the truth about it, task by task and sprint by sprint.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_fakes::otlp::Span;
use contextcore_fakes::world::{IssueId, Stage, World};
use serde_json::Value;

use crate::rig::{NOW, Setup, sample};

fn status_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Backlog => "backlog",
        Stage::Todo => "todo",
        Stage::InProgress => "in_progress",
        Stage::InReview => "in_review",
        Stage::Blocked => "blocked",
        Stage::Done => "done",
        Stage::Cancelled => "cancelled",
    }
}

/// Seconds, and a JSON number.
fn same(value: &Value, millis: i64) -> bool {
    value.as_f64().is_some_and(|seconds| (seconds - millis as f64 / 1_000.0).abs() < 0.002)
}

fn same_time(value: &Value, millis: Option<i64>) -> bool {
    let at = value.as_str().map(|text| text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    at == millis
}

fn check_task(world: &World, id: IssueId, task: &Value) {
    let truth = world.truth(NOW);
    let key = world.key_of(id);
    assert_eq!(task["id"], key.as_str());
    assert_eq!(task["status"], status_name(truth.status(id)), "{key}");
    assert!(
        same_time(&task["started"], truth.started(id)),
        "{key}: started {} {:?}",
        task["started"],
        truth.started(id)
    );
    assert!(same_time(&task["completed"], truth.completed(id)), "{key}: completed {}", task["completed"]);
    assert!(same_time(&task["cancelled"], truth.cancelled(id)), "{key}: cancelled {}", task["cancelled"]);
    assert!(same(&task["blocked_time"], truth.blocked_time(id)), "{key}: blocked {}", task["blocked_time"]);
    let mut waiting: Vec<String> = truth.waiting_on(id).into_iter().map(|other| world.key_of(other)).collect();
    waiting.sort();
    let mut printed: Vec<&str> = task["waiting_on"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    printed.sort_unstable();
    assert_eq!(printed, waiting, "{key}");
    for (stage, millis) in truth.status_times(id) {
        if !matches!(stage, Stage::Done | Stage::Cancelled) && millis > 0 {
            let printed = &task["status_time"][status_name(stage)];
            assert!(same(printed, millis), "{key} {stage:?}: {printed} {millis}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_are_on_the_timeline_with_author_and_time_and_without_their_text() {
    let (tool, home) = sample().await;
    home.run(&["sync", "-o", "json"]).json();
    let world = tool.jira.world();
    let mut talked: Vec<_> = world.truth(NOW).issues().filter(|issue| !issue.comments.is_empty()).collect();
    talked.sort_by_key(|issue| std::cmp::Reverse(issue.comments.len()));
    assert!(talked.len() > 20, "only {} issues have comments", talked.len());
    for issue in talked.into_iter().take(5) {
        let task = home.run(&["show", &world.key_of(issue.id), "-o", "json"]).json();
        let comments: Vec<&Value> =
            task["timeline"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "commented").collect();
        assert_eq!(comments.len(), issue.comments.len());
        for (comment, written) in comments.into_iter().zip(&issue.comments) {
            assert!(same_time(&comment["at"], Some(written.at)), "{comment}");
            assert_eq!(comment["actor"], world.users[usize::from(written.author.0)].name.as_str());
            assert!(comment["to"].is_null() && comment["from"].is_null(), "{comment}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_matches_the_world() {
    let (tool, home) = sample().await;
    home.run(&["sync", "-o", "json"]).json();
    let tasks = home.run(&["tasks", "-o", "json"]).json();
    let by_key: BTreeMap<&str, &Value> =
        tasks.as_array().unwrap().iter().map(|task| (task["id"].as_str().unwrap(), task)).collect();
    let world = tool.jira.world();
    let truth = world.truth(NOW);
    assert_eq!(by_key.len(), truth.issues().count());
    for issue in truth.issues() {
        check_task(&world, issue.id, by_key[world.key_of(issue.id).as_str()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sprint_matches_the_world() {
    let (tool, home) = sample().await;
    home.run(&["sync", "-o", "json"]).json();
    let sprints = home.run(&["sprints", "-o", "json"]).json();
    let world = tool.jira.world();
    let truth = world.truth(NOW);
    assert_eq!(sprints.as_array().unwrap().len(), world.sprints.len());
    for sprint in &world.sprints {
        let printed = sprints.as_array().unwrap().iter().find(|row| row["name"] == sprint.name.as_str()).unwrap();
        let want = truth.sprint(sprint.id);
        let points =
            ["committed", "added", "removed", "reestimated", "scope", "completed_points", "carried_over", "remaining"]
                .map(|name| printed[name].as_f64().unwrap());
        let wanted = [
            want.committed,
            want.added,
            want.removed,
            want.reestimated,
            want.scope,
            want.completed_points,
            want.carried_over,
            want.remaining,
        ];
        assert_eq!(points, wanted, "{}", sprint.name);
        let burndown: Vec<(&str, f64, f64, f64)> = printed["burndown"]
            .as_array()
            .unwrap()
            .iter()
            .map(|day| {
                let number = |name: &str| day[name].as_f64().unwrap();
                (day["date"].as_str().unwrap(), number("remaining"), number("scope"), number("completed"))
            })
            .collect();
        let days = truth.burndown(sprint.id);
        let days: Vec<(String, f64, f64, f64)> =
            days.iter().map(|day| (day.date.to_string(), day.remaining, day.scope, day.completed)).collect();
        let days: Vec<(&str, f64, f64, f64)> = days.iter().map(|day| (day.0.as_str(), day.1, day.2, day.3)).collect();
        assert_eq!(burndown, days, "{}", sprint.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_links_block_every_signal_says_blocked_while_a_blocker_is_open() {
    let (_tool, home) = sample().await;
    home.configure(&Setup { source: "blocked: {links: true}", ..Setup::default() });
    home.run(&["sync", "-o", "json"]).json();
    let tasks = home.run(&["tasks", "-o", "json"]).json();
    let tasks = tasks.as_array().unwrap();
    let text = |task: &Value, name: &str| task[name].as_str().unwrap_or_default().to_owned();
    let open = |task: &&Value| !["done", "cancelled"].contains(&task["status"].as_str().unwrap());
    let waits = tasks.iter().filter(open).filter(|task| !task["waiting_on"].as_array().unwrap().is_empty());
    let waits: Vec<&Value> = waits.collect();
    assert!(!waits.is_empty(), "the sample world has tasks that wait");
    assert!(waits.iter().all(|task| task["status"] == "blocked" && task["waiting_time"] == 0.0), "{waits:?}");
    let blocked: BTreeSet<String> =
        tasks.iter().filter(|task| task["status"] == "blocked").map(|task| text(task, "id")).collect();

    let spans = home.collector.spans();
    let said =
        |span: &Span, name: &str| span.attributes.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of_role = |role: &'static str| spans.iter().filter(move |span| said(span, "contextcore.role") == role);
    let snapshot = of_role("snapshot").filter(|span| said(span, "task.status") == "blocked");
    assert_eq!(snapshot.map(|span| said(span, "task.id")).collect::<BTreeSet<_>>(), blocked);
    let points = home.collector.points();
    let newest = points.iter().filter(|point| point.name == "task.blocked").map(|point| point.time).max().unwrap();
    let now = |name: &'static str| points.iter().filter(move |point| point.time == newest && point.name == name);
    assert_eq!(now("task.blocked").map(|point| point.value.as_f64()).sum::<f64>(), blocked.len() as f64);
    assert_eq!(now("task.blocked_age").count(), blocked.len());

    let waited = spans.iter().filter(|span| said(span, "task.blocked_reason").starts_with("waits for "));
    assert!(waited.count() > 0, "phases name what they waited for");
    for task in tasks.iter().filter(|task| task["status"] == "done") {
        let phases = of_role("phase").filter(|span| said(span, "task.id") == text(task, "id"));
        let blocked = phases.filter(|span| span.name == "blocked").map(|span| (span.end - span.start) / 1_000_000);
        assert!(same(&task["blocked_time"], blocked.sum::<u64>() as i64), "{}", task["id"]);
    }
}
