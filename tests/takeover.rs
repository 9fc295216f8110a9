//! A service goes on where a helper ended: what the helper stored is not lost, and what it exported is not exported again.

use std::path::Path;

use contextcore_fakes::otlp::{Fault, Signal};
use serde_json::{Value, json};

use crate::insights::{DECISION, Machine, decision, line, of_role, text};
use crate::rig::until;

impl Machine {
    fn report(&self, arguments: &[&str]) {
        let output = self.run(&[&["task"], arguments, &["--project", "shop", "--no-drain"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn drain(&self) -> Option<i32> {
        self.run(&["drain", "--linger", "0s"]).status.code()
    }

    fn take_over(&self, more: &str) -> String {
        let output = self.sync(more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The events that were exported, each as task or insight, name and time.
    fn events(&self) -> Vec<String> {
        let subject = |log: &contextcore_fakes::otlp::Log| {
            let id =
                ["task.id", "agent.insight.id", "sprint.id"].iter().find_map(|name| log.attributes.get(*name)).cloned();
            id.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let mut events: Vec<String> =
            self.backend.logs().iter().map(|log| format!("{} {} {}", subject(log), log.event_name, log.time)).collect();
        events.sort();
        events
    }

    fn finished(&self) -> Vec<String> {
        let mut names: Vec<String> =
            of_role(&self.backend.spans(), "task").iter().map(|span| span.name.clone()).collect();
        names.sort();
        names
    }

    fn engines(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.lane())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = entries
            .filter(|name| name.starts_with("engine") && !name.contains('.') || name.contains("taken"))
            .collect();
        names.sort();
        names
    }
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_goes_on_where_a_helper_ended() {
    let machine = Machine::new().await;
    machine.report(&[
        "start",
        "OPEN",
        "--title",
        "Checkout",
        "--type",
        "story",
        "--parent",
        "EPIC-42",
        "--at",
        "2026-11-16T09:00:00Z",
    ]);
    machine.report(&["status", "OPEN", "in_progress", "--at", "2026-11-16T10:00:00Z"]);
    machine.report(&["start", "DONE", "--title", "Login", "--at", "2026-11-16T09:00:00Z"]);
    machine.report(&["complete", "DONE", "--at", "2026-11-16T11:00:00Z"]);
    machine.write("0a", 1, &[line(1, decision())]);
    assert_eq!(machine.drain(), Some(0));
    assert!(is_empty(&machine.lane().join("spool/shop")), "the helper took every line");
    let (events, insights) = (machine.events(), of_role(&machine.backend.spans(), "insight"));
    assert_eq!((machine.finished().len(), insights.len()), (1, 1));

    machine.take_over("");
    assert_eq!(machine.engines(), ["engine.taken-over.1"]);
    assert_eq!((machine.finished().len(), machine.events()), (1, events), "nothing is exported again");
    let shown = machine.run(&["--config", "contextcore.yaml", "-o", "json", "show", "OPEN"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["title"], &shown["status"]), (&json!("Checkout"), &json!("in_progress")));

    machine.report(&["complete", "OPEN", "--at", "2026-11-17T12:00:00Z"]);
    machine.write(
        "0b",
        1,
        &[line(2, json!({"op": "insight.update", "id": DECISION, "action": "confirm", "by": "ada"}))],
    );
    machine.take_over("");
    machine.take_over("");
    let spans = machine.backend.spans();
    let tasks = of_role(&spans, "task");
    let open = tasks.iter().find(|span| span.name == "OPEN Checkout").unwrap();
    assert_eq!(
        (tasks.len(), text(open, "task.type"), text(open, "task.parent_id")),
        (2, Some("story"), Some("EPIC-42"))
    );
    assert_eq!((open.end - open.start) / 1_000_000_000, 27 * 3_600);
    assert_eq!(of_role(&spans, "insight"), insights, "the same one, once");
    let logs = machine.backend.logs();
    let updated: Vec<_> = logs.iter().filter(|log| log.event_name == "insight.updated").collect();
    assert_eq!(
        (updated.len(), &updated[0].trace_id),
        (1, &insights[0].trace_id),
        "a change belongs to the span that was exported"
    );
    let completed = machine.events().iter().filter(|event| event.starts_with("OPEN task.completed")).count();
    assert_eq!(completed, 1);
    let phases = of_role(&spans, "phase");
    let mut begun: Vec<_> = phases.iter().map(|span| (text(span, "task.id").unwrap().to_owned(), span.start)).collect();
    let all = begun.len();
    begun.sort();
    begun.dedup();
    assert_eq!((all, begun.len()), (3, 3), "each phase once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_helper_could_not_send_is_sent_by_the_service() {
    let machine = Machine::new().await;
    machine.report(&["start", "T-1", "--title", "Checkout", "--at", "2026-11-16T09:00:00Z"]);
    machine.report(&["complete", "T-1", "--at", "2026-11-16T11:00:00Z"]);
    machine.write("0a", 1, &[line(1, decision())]);
    for signal in [Signal::Traces, Signal::Logs] {
        machine.backend.always(signal, Some(Fault::unavailable(None)));
    }
    let mut helper = machine.command().args(["drain", "--linger", "10m"]).spawn().unwrap();
    let spool = machine.lane().join("spool/shop");
    until("the helper stores what it cannot send", || is_empty(&spool));
    helper.kill().unwrap();
    helper.wait().unwrap();
    for signal in [Signal::Traces, Signal::Logs] {
        machine.backend.always(signal, None);
    }
    assert!(machine.finished().is_empty());
    machine.take_over("");
    assert_eq!(
        (machine.finished(), of_role(&machine.backend.spans(), "insight").len()),
        (vec!["T-1 Checkout".to_owned()], 1)
    );
    assert_eq!(
        machine.events().iter().filter(|event| event.starts_with("T-1")).count(),
        3,
        "created, completed and its status"
    );
    machine.take_over("");
    assert_eq!(machine.finished().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_a_helper_still_drains_is_taken_over_once_it_has_ended() {
    let machine = Machine::new().await;
    machine.report(&["start", "T-1", "--title", "Checkout", "--at", "2026-11-16T09:00:00Z"]);
    let mut helper = machine.command().args(["drain", "--linger", "10m"]).spawn().unwrap();
    until("the helper takes what there is", || is_empty(&machine.lane().join("spool/shop")));
    assert!(machine.take_over("").contains("is drained by a helper"));
    assert_eq!(machine.engines(), ["engine"]);
    helper.kill().unwrap();
    helper.wait().unwrap();
    machine.report(&["complete", "T-1", "--at", "2026-11-16T11:00:00Z"]);
    machine.take_over("");
    assert_eq!(
        (machine.engines(), machine.finished()),
        (vec!["engine.taken-over.1".to_owned()], vec!["T-1 Checkout".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_helper_could_not_understand_is_in_the_status_of_the_service() {
    let machine = Machine::new().await;
    machine.report(&["start", "T-1", "--title", "Checkout", "--at", "2026-11-16T09:00:00Z"]);
    machine.write("0a", 1, &[line(1, json!({"op": "task.progress", "task": "T-1"}))]);
    assert_eq!(machine.drain(), Some(0));
    machine.take_over("");
    machine.take_over("");
    assert_eq!(machine.engines(), ["engine.taken-over.1"]);
    let status = machine.run(&["--config", "contextcore.yaml", "-o", "json", "status"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["sources"][0]["coverage"]["set_aside"], 1, "{status}");
}
