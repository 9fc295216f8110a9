//! What the commands say of the sample world against what is true of it, task by task and sprint by sprint.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_fakes::otlp::Span;
use contextcore_fakes::world::{IssueId, Stage as Standing, World};
use serde_json::Value;

use crate::stage::{NOW, Stage};

fn word(stage: Standing) -> &'static str {
    match stage {
        Standing::Backlog => "backlog",
        Standing::Todo => "todo",
        Standing::InProgress => "in_progress",
        Standing::InReview => "in_review",
        Standing::Blocked => "blocked",
        Standing::Done => "done",
        Standing::Cancelled => "cancelled",
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
    assert_eq!(task["status"], word(truth.status(id)), "{key}");
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
    let mut told: Vec<&str> = task["waiting_on"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    told.sort_unstable();
    assert_eq!(told, waiting, "{key}");
    for (stage, millis) in truth.status_times(id) {
        if !matches!(stage, Standing::Done | Standing::Cancelled) && millis > 0 {
            let told = &task["status_time"][word(stage)];
            assert!(same(told, millis), "{key} {stage:?}: {told} {millis}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_stand_on_the_timeline_with_author_and_time_and_without_their_text() {
    let stage = Stage::new().await;
    stage.run(&["sync", "-o", "json"]).json();
    let world = stage.jira.world();
    let mut talked: Vec<_> = world.truth(NOW).issues().filter(|issue| !issue.comments.is_empty()).collect();
    talked.sort_by_key(|issue| std::cmp::Reverse(issue.comments.len()));
    assert!(talked.len() > 20, "only {} issues have comments", talked.len());
    for issue in talked.into_iter().take(5) {
        let told = stage.run(&["show", &world.key_of(issue.id), "-o", "json"]).json();
        let told: Vec<&Value> =
            told["timeline"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "commented").collect();
        assert_eq!(told.len(), issue.comments.len());
        for (told, written) in told.into_iter().zip(&issue.comments) {
            assert!(same_time(&told["at"], Some(written.at)), "{told}");
            assert_eq!(told["actor"], world.users[usize::from(written.author.0)].name.as_str());
            assert!(told["to"].is_null() && told["from"].is_null(), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_is_told_as_it_is() {
    let stage = Stage::new().await;
    stage.run(&["sync", "-o", "json"]).json();
    let tasks = stage.run(&["tasks", "-o", "json"]).json();
    let by_key: BTreeMap<&str, &Value> =
        tasks.as_array().unwrap().iter().map(|task| (task["id"].as_str().unwrap(), task)).collect();
    let world = stage.jira.world();
    let truth = world.truth(NOW);
    assert_eq!(by_key.len(), truth.issues().count());
    for issue in truth.issues() {
        check_task(&world, issue.id, by_key[world.key_of(issue.id).as_str()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sprint_has_its_true_numbers() {
    let stage = Stage::new().await;
    stage.run(&["sync", "-o", "json"]).json();
    let sprints = stage.run(&["sprints", "-o", "json"]).json();
    let world = stage.jira.world();
    let truth = world.truth(NOW);
    assert_eq!(sprints.as_array().unwrap().len(), world.sprints.len());
    for sprint in &world.sprints {
        let told = sprints.as_array().unwrap().iter().find(|told| told["name"] == sprint.name.as_str()).unwrap();
        let want = truth.sprint(sprint.id);
        let points =
            ["committed", "added", "removed", "reestimated", "scope", "completed_points", "carried_over", "remaining"]
                .map(|name| told[name].as_f64().unwrap());
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
        let burndown: Vec<(&str, f64, f64, f64)> = told["burndown"]
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
    let stage = Stage::new().await;
    stage.configure(&stage.usual().replace("    kind: jira\n", "    kind: jira\n    blocked: {links: true}\n"));
    stage.run(&["sync", "-o", "json"]).json();
    let tasks = stage.run(&["tasks", "-o", "json"]).json();
    let tasks = tasks.as_array().unwrap();
    let text = |task: &Value, name: &str| task[name].as_str().unwrap_or_default().to_owned();
    let open = |task: &&Value| !["done", "cancelled"].contains(&task["status"].as_str().unwrap());
    let waits = tasks.iter().filter(open).filter(|task| !task["waiting_on"].as_array().unwrap().is_empty());
    let waits: Vec<&Value> = waits.collect();
    assert!(!waits.is_empty(), "the sample world has tasks that wait");
    assert!(waits.iter().all(|task| task["status"] == "blocked" && task["waiting_time"] == 0.0), "{waits:?}");
    let blocked: BTreeSet<String> =
        tasks.iter().filter(|task| task["status"] == "blocked").map(|task| text(task, "id")).collect();

    let spans = stage.backend.spans();
    let said =
        |span: &Span, name: &str| span.attributes.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of_role = |role: &'static str| spans.iter().filter(move |span| said(span, "contextcore.role") == role);
    let snapshot = of_role("snapshot").filter(|span| said(span, "task.status") == "blocked");
    assert_eq!(snapshot.map(|span| said(span, "task.id")).collect::<BTreeSet<_>>(), blocked);
    let points = stage.backend.points();
    let newest = points.iter().filter(|point| point.name == "task.blocked").map(|point| point.time).max().unwrap();
    let now = |name: &'static str| points.iter().filter(move |point| point.time == newest && point.name == name);
    assert_eq!(now("task.blocked").map(|point| point.value.as_f64()).sum::<f64>(), blocked.len() as f64);
    assert_eq!(now("task.blocked_age").count(), blocked.len());

    let waited = spans.iter().filter(|span| said(span, "task.blocked_reason").starts_with("waits for "));
    assert!(waited.count() > 0, "phases say for what was waited");
    for task in tasks.iter().filter(|task| task["status"] == "done") {
        let phases = of_role("phase").filter(|span| said(span, "task.id") == text(task, "id"));
        let blocked = phases.filter(|span| span.name == "blocked").map(|span| (span.end - span.start) / 1_000_000);
        assert!(same(&task["blocked_time"], blocked.sum::<u64>() as i64), "{}", task["id"]);
    }
}
