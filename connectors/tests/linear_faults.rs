//! The Linear connector against a fake that is out of order in one place: whatever it is, everything else is read. Requests are
//! counted, and so is the time that is lost.

#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

#[path = "common/source.rs"]
mod source;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use contextcore_core::ingest::connector::Run;
use contextcore_core::model::time::{DAY, MINUTE};
use contextcore_core::model::{SprintState, Status};
use contextcore_core::{ErrorKind, Millis};
use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::linear::{Linear, LinearHandle, Options};
use contextcore_fakes::world::{Draft, IssueId, StatusId, TypeId, World};
use serde_json::{Value as Json, json};
use source::{NOW, Outcome, Source, config, rig_of_source};

/// The most that one bad thing may cost a run.
const LOST: Duration = Duration::from_secs(10);

struct Rig {
    linear: LinearHandle,
    source: Source,
    clock: Arc<AtomicI64>,
    _token: tempfile::TempDir,
}

rig_of_source!(Rig);

impl Rig {
    async fn start(world: World) -> Self {
        let clock = Arc::new(AtomicI64::new(NOW));
        let ticking = clock.clone();
        let options = Options { clock: Clock::of(move || ticking.load(Ordering::Relaxed)), ..Options::default() };
        let token = tempfile::tempdir().unwrap();
        let linear = Linear::start(world, options).await.unwrap();
        let source = Source::new(config("linear", linear.url(), &token, Linear::KEY, &[]));
        Self { linear, source, clock, _token: token }
    }

    /// A workspace with one team and so many issues.
    async fn of(issues: usize) -> (Self, Vec<String>) {
        let mut world = World::empty();
        let team = world.add_project("ENG", "Engineering", StatusId::TO_DO);
        let add = |n: usize| {
            let at = NOW - DAY + i64::try_from(n).unwrap() * MINUTE;
            Linear::id(world.edit(at).add_issue(Draft::new(team, TypeId::TASK, format!("Issue {n}"))))
        };
        let ids = (0..issues).map(add).collect();
        (Self::start(world).await, ids)
    }

    async fn demo() -> Self {
        Self::start(World::demo(NOW, 3, 7)).await
    }

    async fn sync(&mut self) -> Outcome {
        self.try_sync(&["plan", "issues"]).await.unwrap()
    }

    /// Reads these again by their ids, in a run of its own.
    async fn read_again(&mut self, ids: &[&str]) -> Outcome {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let now = self.clock.load(Ordering::Relaxed);
        self.source.read_again(now, &ids).await.unwrap()
    }

    /// What is lost to a failure are the waits between tries.
    fn assert_little_was_lost(&self, what: &str) {
        let waited = self.connector.stats().waited;
        assert!(waited < LOST, "{what}: {waited:?}");
    }

    async fn try_sync(&mut self, streams: &[&'static str]) -> contextcore_core::Result<Outcome> {
        let now = self.clock.fetch_add(5 * MINUTE, Ordering::Relaxed);
        self.source.run(now, streams).await
    }
}

/// What a server answers that failed.
fn internal() -> Json {
    json!({"data": null, "errors": [{"message": "Internal server error", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]})
}

/// What was asked of the workspace by name, since the last time.
fn operations(rig: &Rig) -> Vec<String> {
    let name = |body: &str| serde_json::from_str::<Json>(body).unwrap()["operationName"].as_str().unwrap().to_owned();
    rig.linear.take_requests().iter().map(|request| name(&request.body)).collect()
}

/// Answers of these operations that hold this text fail so.
fn poison(rig: &Rig, names: &'static [&'static str], text: &str, status: u16, answer: Json) {
    let text = text.to_owned();
    rig.linear.distort(move |name, body| {
        if names.contains(&name) && body.to_string().contains(&text) {
            *body = answer.clone();
            return status;
        }
        200
    });
}

#[tokio::test]
async fn an_issue_that_cannot_be_served_costs_itself_and_comes_back_by_itself() {
    let refused = |extensions: Json| json!({"data": null, "errors": [{"message": "Entity not found: Team", "path": ["issues", "nodes", 1, "team"], "extensions": extensions}]});
    let cases = [
        (500, internal()),
        (200, internal()),
        (200, refused(json!({"type": "invalid input", "code": "INPUT_ERROR", "userError": true}))),
        (400, refused(json!({"code": "FORBIDDEN"}))),
        (200, refused(json!("odd"))),
        (200, json!({"data": null, "errors": "no"})),
        (200, json!({"data": {"issues": 7}})),
        (404, json!({})),
    ];
    for (status, answer) in cases {
        let shown = format!("{status} {answer}");
        let (mut rig, ids) = Rig::of(40).await;
        let bad = ids[13].clone();
        poison(&rig, &["Issues"], &bad, status, answer);
        let outcome = rig.sync().await;
        rig.assert_little_was_lost(&shown);
        assert_eq!(outcome.tasks.len(), 39, "{shown}");
        assert!(!outcome.tasks.contains_key(&bad) && outcome.failures.is_empty(), "{shown}");
        assert_eq!(outcome.unreadable.keys().collect::<Vec<_>>(), [&bad], "{shown}");
        operations(&rig);
        // The cursor has passed it, so a quiet run is as cheap as ever; it is read by its id.
        assert!(rig.sync().await.tasks.is_empty());
        assert_eq!(operations(&rig).len(), 3, "{shown}");
        let again = rig.read_again(&[&bad]).await;
        assert_eq!((again.tasks.len(), again.unreadable.len()), (0, 1), "{shown}");
        assert!(operations(&rig).len() <= 7, "{shown}");
        rig.linear.mend();
        rig.sync().await;
        let again = rig.read_again(&[&bad, "00000001-0000-4000-8000-00000000ffff"]).await;
        assert!(again.tasks.contains_key(&bad) && again.tasks.len() == 1 && again.unreadable.is_empty(), "{shown}");
    }
}

#[tokio::test]
async fn several_bad_issues_cost_themselves_and_all_of_them_are_nobodys_fault() {
    let (mut rig, ids) = Rig::of(40).await;
    let bad = [ids[0].clone(), ids[1].clone(), ids[39].clone()];
    let texts = bad.clone();
    rig.linear.distort(move |name, body| {
        let hit = name == "Issues" && texts.iter().any(|text| body.to_string().contains(text));
        if hit {
            *body = internal();
        }
        if hit { 500 } else { 200 }
    });
    let outcome = rig.sync().await;
    assert_eq!((outcome.tasks.len(), outcome.unreadable.len()), (37, 3));
    rig.cursors.clear();
    poison(&rig, &["Issues"], "identifier", 500, internal());
    operations(&rig);
    let error = rig.try_sync(&["issues"]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(operations(&rig).len() < 50);
}

#[tokio::test]
async fn rows_that_are_null_odd_or_too_many_cost_themselves() {
    let (mut rig, ids) = Rig::of(6).await;
    let (null, odd) = (ids[1].clone(), ids[2].clone());
    let (is_null, is_odd) = (null.clone(), odd.clone());
    rig.linear.distort(move |name, body| {
        if let ("Issues", Some(rows)) = (name, body.pointer_mut("/data/issues/nodes").and_then(Json::as_array_mut)) {
            rows.iter_mut().filter(|row| row["id"] == *is_null).for_each(|row| *row = Json::Null);
            rows.iter_mut().filter(|row| row["id"] == *is_odd).for_each(|row| row["title"] = json!({"no": "text"}));
            rows.push(json!({"id": "nobody asked for this", "identifier": "X-1"}));
        }
        200
    });
    let outcome = rig.sync().await;
    assert_eq!(outcome.tasks.len(), 4);
    assert_eq!(outcome.unreadable.keys().collect::<Vec<_>>(), [&null]);
    assert_eq!(outcome.failures.len(), 1, "the odd one is quarantined: {:?}", outcome.failures);
    assert!(outcome.failures[0].full().contains(&odd) || outcome.failures[0].context("record") == Some(&*odd));
}

#[tokio::test]
async fn an_entry_of_a_history_that_cannot_be_read_costs_itself() {
    let mut rig = Rig::demo().await;
    let id = rig.linear.world().find("PLAT-4").unwrap();
    let wanted = Linear::id(id);
    let whole = rig.sync().await;
    let before = whole.tasks[&wanted].clone();
    for entry in [
        json!(null),
        json!({"id": 7}),
        json!({"id": "x"}),
        json!({"id": "x", "createdAt": "+292277026-12-04T00:00:00Z"}),
    ] {
        let (text, odd) = (wanted.clone(), entry.clone());
        rig.linear.distort(move |name, body| {
            let rows = body.pointer_mut("/data/issues/nodes").and_then(Json::as_array_mut);
            for row in rows.into_iter().flatten().filter(|row| name == "Issues" && row["id"] == *text) {
                row["history"]["nodes"].as_array_mut().unwrap().insert(0, odd.clone());
            }
            200
        });
        rig.cursors.clear();
        let outcome = rig.sync().await;
        assert_eq!(outcome.tasks.len(), whole.tasks.len(), "{entry}");
        assert_eq!(outcome.tasks[&wanted].history, before.history, "{entry}");
        assert!(outcome.failures.is_empty() && outcome.unreadable.is_empty());
        assert!(outcome.warnings.iter().any(|text| text.contains("left out")), "{entry}: {:?}", outcome.warnings);
    }
}

#[tokio::test]
async fn a_long_list_that_cannot_be_served_costs_its_issue() {
    let world = World::history(NOW, 12, 60, 0, 0, 3);
    let ids: Vec<String> = world.issues().map(|issue| Linear::id(issue.id)).collect();
    let mut rig = Rig::start(world).await;
    // The server fails whenever the history of one of them is read to its end.
    let bad = ids[5].clone();
    poison(&rig, &["Rests"], &first_act(&rig, &bad), 500, internal());
    let outcome = rig.sync().await;
    rig.assert_little_was_lost("a long list");
    assert_eq!(outcome.tasks.len(), ids.len() - 1);
    assert_eq!(outcome.unreadable.keys().collect::<Vec<_>>(), [&bad]);
}

/// The id of the oldest act in the history of an issue, which comes on its last page.
fn first_act(rig: &Rig, issue: &str) -> String {
    let world = rig.linear.world();
    let issue = world.issues().find(|one| Linear::id(one.id) == issue).unwrap();
    let id = issue.events().iter().find(|event| event.at > issue.created).unwrap().id;
    format!("00000007-0000-4000-8000-{id:012x}")
}

#[tokio::test]
async fn a_list_around_the_issues_that_fails_costs_its_own_rows() {
    for list in ["cycles", "projects", "initiatives", "attachments"] {
        for (status, answer) in [(500, internal()), (200, internal()), (400, json!({"errors": [{"message": "no"}]}))] {
            let mut rig = Rig::demo().await;
            let given = answer.clone();
            rig.linear.distort(move |name, body| {
                let hit = matches!(name, "Plan" | "PlanRows") && body["data"][list].is_object();
                if hit {
                    *body = given.clone();
                }
                if hit { status } else { 200 }
            });
            let outcome = rig.sync().await;
            rig.assert_little_was_lost(list);
            assert!(
                outcome.warnings.iter().any(|text| text.starts_with(list)),
                "{list} {answer}: {:?}",
                outcome.warnings
            );
            let projects = outcome.tasks.values().any(|task| task.present.native_type == "Project");
            assert_eq!(
                (projects, outcome.sprints.is_empty()),
                (list != "projects", list == "cycles"),
                "{list} {answer}"
            );
            assert!(outcome.tasks.len() > 50 && outcome.failures.is_empty());
            // What was missed comes once the list can be read again.
            rig.linear.mend();
            let later = rig.sync().await;
            let projects = later.tasks.values().any(|task| task.present.native_type == "Project");
            assert_eq!((projects, later.sprints.len() > 3), (list == "projects", list == "cycles"), "{list} {answer}");
        }
    }
}

#[tokio::test]
async fn a_project_or_cycle_that_cannot_be_served_costs_itself() {
    let first = Rig::demo().await.sync().await;
    let project = first.tasks.iter().find(|(_, task)| task.present.native_type == "Project").unwrap().0.clone();
    let cycle = first.sprints.keys().next().unwrap().clone();
    for bad in [project, cycle] {
        let mut rig = Rig::demo().await;
        let (text, count) = (format!("{{\"id\":\"{bad}\",\"updatedAt\""), first.tasks.len() + first.sprints.len());
        let is_bad = move |body: &Json| {
            let rows = ["projects", "cycles"].into_iter().filter_map(|list| body["data"][list]["nodes"].as_array());
            rows.flatten().any(|row| row["id"] == *bad && row.get("url").or(row.get("startsAt")).is_some())
        };
        rig.linear.distort(move |name, body| {
            let hit = matches!(name, "Plan" | "PlanRows") && is_bad(body);
            if hit {
                *body = internal();
            }
            if hit { 500 } else { 200 }
        });
        let outcome = rig.try_sync(&["plan", "issues", "ids"]).await.unwrap();
        assert_eq!(outcome.tasks.len() + outcome.sprints.len(), count - 1, "{text}");
        let id = outcome.unreadable.keys().next().unwrap().clone();
        assert!(outcome.unreadable.len() == 1 && text.contains(&id));
        let is_task = first.tasks.contains_key(&id);
        assert_eq!(outcome.seen.contains(&id), is_task, "the complete pass lists it all the same");
        rig.linear.mend();
        rig.sync().await;
        let again = rig.read_again(&[&id]).await;
        assert!(again.tasks.contains_key(&id) || again.sprints.contains_key(&id));
        assert!(again.unreadable.is_empty());
    }
}

#[tokio::test]
async fn odd_rows_of_the_lists_are_set_aside_alone() {
    let mut rig = Rig::demo().await;
    rig.linear.distort(|name, body| {
        let rows = |list: &str| format!("/data/{list}/nodes");
        for list in ["cycles", "projects", "workflowStates", "users"] {
            let Some(rows) = body.pointer_mut(&rows(list)).and_then(Json::as_array_mut) else { continue };
            rows.insert(0, Json::Null);
            if name == "Plan" {
                rows.push(json!({"id": format!("odd {list}"), "updatedAt": "+292277026-12-04T00:00:00Z"}));
            }
        }
        200
    });
    let outcome = rig.sync().await;
    assert!(outcome.tasks.len() > 50 && outcome.sprints.len() > 3);
    let odd: Vec<&str> =
        outcome.records.iter().map(|record| &*record.native_id).filter(|id| id.starts_with("odd")).collect();
    assert_eq!(odd, ["odd cycles", "odd projects"]);
    assert_eq!(outcome.failures.len(), 2, "{:?}", outcome.failures);
}

#[tokio::test]
async fn reference_data_of_which_a_list_fails_is_taken_as_far_as_it_goes() {
    let mut rig = Rig::demo().await;
    poison(&rig, &["Reference"], "\"users\":", 500, internal());
    let outcome = rig.sync().await;
    assert!(outcome.tasks.len() > 50 && outcome.warnings.iter().any(|text| text.contains("list of users")));
    operations(&rig);
    rig.sync().await;
    assert_eq!(operations(&rig).len(), 3, "it is not asked for again at every turn");
    // Nothing can be understood without the states: their own are asked for, not guessed.
    let mut rig = Rig::demo().await;
    poison(&rig, &["Reference"], "\"workflowStates\":", 500, internal());
    assert_eq!(rig.try_sync(&["issues"]).await.err().unwrap().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_list_of_changes_that_fails_is_asked_for_in_smaller_parts() {
    let (mut rig, ids) = Rig::of(40).await;
    rig.linear.distort(|name, body| {
        let rows = body.pointer("/data/issues/nodes").and_then(Json::as_array).map_or(0, Vec::len);
        let hit = name == "Changed" && rows > 10;
        if hit {
            *body = internal();
        }
        if hit { 500 } else { 200 }
    });
    assert_eq!(rig.sync().await.tasks.len(), 40);
    // One that cannot be listed at all is passed over, and said.
    let (mut rig, _) = Rig::of(40).await;
    poison(&rig, &["Changed"], &ids[20], 500, internal());
    let outcome = rig.sync().await;
    assert_eq!(outcome.tasks.len(), 39);
    assert!(outcome.warnings.iter().any(|text| text.contains("cannot be listed")), "{:?}", outcome.warnings);
    // Links that cannot be listed cost themselves.
    let (mut rig, _) = Rig::of(40).await;
    poison(&rig, &["Changed"], "\"issueRelations\":", 500, internal());
    assert_eq!(rig.sync().await.tasks.len(), 40);
}

#[tokio::test]
async fn a_change_dated_in_the_future_hides_nothing() {
    let (mut rig, ids) = Rig::of(5).await;
    let future = rig.linear.world().find("ENG-3").unwrap();
    rig.linear.world().edit(NOW + 200 * DAY).rename(future, "From the future");
    assert_eq!(rig.sync().await.tasks.len(), 5);
    let other = rig.linear.world().find("ENG-1").unwrap();
    rig.linear.world().edit(NOW + 6 * MINUTE).rename(other, "Renamed");
    rig.clock.store(NOW + 10 * MINUTE, Ordering::Relaxed);
    let outcome = rig.sync().await;
    assert_eq!(outcome.tasks.keys().collect::<Vec<_>>(), [&ids[0]], "the changed one, and only that");
    assert!(rig.sync().await.tasks.is_empty());
}

#[tokio::test]
async fn a_time_outside_the_calendar_costs_its_issue() {
    let (mut rig, ids) = Rig::of(5).await;
    let bad = ids[2].clone();
    rig.linear.distort(move |_, body| {
        let rows = body.pointer_mut("/data/issues/nodes").and_then(Json::as_array_mut);
        for row in rows.into_iter().flatten().filter(|row| row["id"] == *bad) {
            row["updatedAt"] = "+292277026-12-04T00:00:00Z".into();
        }
        200
    });
    let outcome = rig.try_sync(&["plan", "issues", "ids"]).await.unwrap();
    assert_eq!((outcome.tasks.len(), outcome.seen.len()), (4, 5));
    assert!(!outcome.failures.is_empty());
}

#[tokio::test]
async fn an_answer_of_more_rows_than_any_page_holds_is_not_read() {
    let (mut rig, _) = Rig::of(5).await;
    rig.linear.distort(|name, body| {
        if name == "Changed" {
            body["data"]["issues"]["nodes"] = vec![json!({}); 100_000].into();
        }
        200
    });
    let error = rig.try_sync(&["issues"]).await.err().unwrap();
    assert!(error.kind() == ErrorKind::Protocol && error.full().contains("more than 250 rows"), "{}", error.full());
}

#[tokio::test]
async fn cycles_that_were_deleted_are_missed_by_the_complete_pass() {
    let mut rig = Rig::demo().await;
    let first = rig.sync().await;
    let of = |wanted: SprintState| {
        let world = rig.linear.world();
        let ids: Vec<_> = world.sprints.iter().map(|sprint| sprint.id).collect();
        ids.into_iter().filter(|id| first.sprints[&Linear::cycle_id(*id)].state == wanted).collect::<Vec<_>>()
    };
    let (active, future) = (of(SprintState::Active), of(SprintState::Future));
    rig.linear.delete_cycle(future[0]);
    let outcome = rig.try_sync(&["plan", "issues", "ids"]).await.unwrap();
    let listed = outcome.open_sprints.unwrap();
    assert!(listed.contains(&Linear::cycle_id(active[0])) && !listed.contains(&Linear::cycle_id(future[0])));
    assert_eq!(listed.len(), first.sprints.len() - 1);
    // Where they cannot be listed, nothing is said of them.
    poison(&rig, &["Reference"], "\"cycles\":", 500, internal());
    let outcome = rig.try_sync(&["plan", "issues", "ids"]).await.unwrap();
    assert!(outcome.open_sprints.is_none() && outcome.warnings.iter().any(|text| text.contains("list of cycles")));
}

#[tokio::test]
async fn a_project_of_many_teams_is_that_of_the_last_of_them_too() {
    let (world, ours) = (World::demo(NOW, 3, 7), "the team that is read");
    let mut rig = Rig::start(world).await;
    // Six teams work on every project, of which the list shows five.
    rig.linear.distort(move |name, body| {
        let shown = if name == "Plan" { 5 } else { 6 };
        let rows = body.pointer_mut("/data/projects/nodes").and_then(Json::as_array_mut);
        for row in rows.into_iter().flatten().filter(|row| row.get("teams").is_some()) {
            let teams = ["a", "b", "c", "d", "e", ours].into_iter().take(shown);
            row["teams"]["nodes"] = teams.map(|id| json!({"id": id})).collect();
        }
        200
    });
    let outcome = rig.sync().await;
    let projects = outcome.records.iter().filter(|record| record.json().unwrap().starts_with("{\"project\""));
    let all: Vec<bool> = projects.map(|record| record.json().unwrap().contains(ours)).collect();
    assert!(!all.is_empty() && all.iter().all(|whole| *whole), "{all:?}");
    operations(&rig);
    rig.sync().await;
    assert_eq!(operations(&rig).len(), 3, "what was read whole is not read again");
}

#[tokio::test]
async fn a_full_run_reads_every_issue_once() {
    let (mut rig, ids) = Rig::of(120).await;
    rig.sync().await;
    operations(&rig);
    rig.cursors.clear();
    let run = Run { now: Millis(rig.clock.load(Ordering::Relaxed)), full: true };
    rig.source.open(&run).await.unwrap();
    let mut outcome = Outcome::default();
    for stream in ["plan", "issues", "ids"] {
        rig.source.drain(stream, &mut outcome).await.unwrap();
    }
    assert_eq!((outcome.tasks.len(), outcome.seen.len()), (120, 120));
    let asked = operations(&rig);
    let reads = asked.iter().filter(|name| *name == "Issues").count();
    assert!(reads <= 5, "{reads} of {asked:?}");
    assert_eq!(ids.len(), 120);
}

#[tokio::test]
async fn transitions_within_one_millisecond_are_all_there_in_order() {
    let mut world = World::empty();
    let team = world.add_project("ENG", "Engineering", StatusId::TO_DO);
    let id: IssueId = world.edit(NOW - DAY).add_issue(Draft::new(team, TypeId::TASK, "Quick"));
    for to in [StatusId::IN_PROGRESS, StatusId::TO_DO, StatusId::IN_PROGRESS, StatusId::DONE] {
        world.edit(NOW - MINUTE).transition(id, to);
    }
    let statuses = |outcome: &Outcome| {
        let history = &outcome.tasks[&Linear::id(id)].history;
        let status = |change: &contextcore_core::model::Change| match change {
            contextcore_core::model::Change::Status { status, .. } => Some(*status),
            _ => None,
        };
        history.iter().filter_map(|event| status(&event.change)).collect::<Vec<_>>()
    };
    let want = [Status::InProgress, Status::Todo, Status::InProgress, Status::Done];
    let mut rig = Rig::start(world).await;
    assert_eq!(statuses(&rig.sync().await), want);
    // The lists come in another order, with other ids, or without the spans that have no length.
    for drops in [false, true] {
        rig.linear.distort(move |_, body| {
            let rows = body.pointer_mut("/data/issues/nodes").and_then(Json::as_array_mut);
            for row in rows.into_iter().flatten() {
                if let Some(acts) = row.pointer_mut("/history/nodes").and_then(Json::as_array_mut) {
                    acts.rotate_left(1);
                }
                if let Some(spans) = row.pointer_mut("/stateHistory/nodes").and_then(Json::as_array_mut) {
                    spans.rotate_left(2);
                    let ids: Vec<Json> = (0..spans.len()).map(|n| json!(format!("{n}"))).collect();
                    spans.iter_mut().zip(ids).for_each(|(span, id)| span["id"] = id);
                    spans.retain(|span| !drops || span["endedAt"] != span["startedAt"]);
                }
            }
            200
        });
        rig.cursors.clear();
        let outcome = rig.sync().await;
        assert_eq!(statuses(&outcome), want, "drops {drops}");
        assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
    }
}

#[tokio::test]
async fn a_broken_value_in_the_reference_data_costs_itself_also_in_the_first_run() {
    let clean = Rig::demo().await.sync().await;
    for broken in ["NaN", "-Infinity", "1e999", "\"a\u{1}b\"", "\"\\x \\ud800\""] {
        let mut rig = Rig::demo().await;
        let spoil = move |body: &str| match body.contains("\"workflowStates\"") {
            true => body.replace("{\"id\"", &format!("{{\"odd\":{broken},\"id\"")),
            false => body.to_owned(),
        };
        rig.linear.faults().on("POST */graphql", When::Always, Fault::rewrite(spoil));
        let outcome = rig.sync().await;
        assert!(outcome.warnings.is_empty() && outcome.failures.is_empty(), "{broken}: {:?}", outcome.warnings);
        assert_eq!(outcome.sprints, clean.sprints, "{broken}");
        let present = |outcome: &Outcome| outcome.tasks.values().map(|task| task.present.clone()).collect::<Vec<_>>();
        assert_eq!(present(&outcome), present(&clean), "{broken}");
    }
}

#[tokio::test]
async fn an_answer_without_the_list_that_was_asked_for_loses_nothing() {
    let null = json!({"issues": {"nodes": null}});
    for (operation, data) in
        [("Changed", json!({})), ("Issues", json!({})), ("Changed", null.clone()), ("Issues", null)]
    {
        let (mut rig, ids) = Rig::of(5).await;
        rig.linear.distort(move |name, body| {
            if name == operation {
                body["data"] = data.clone();
            }
            200
        });
        let outcome = rig.try_sync(&["plan", "issues"]).await.unwrap();
        assert!(outcome.tasks.is_empty());
        let unreadable: Vec<String> = outcome.unreadable.keys().cloned().collect();
        assert!(!outcome.warnings.is_empty() || unreadable.len() == ids.len(), "{operation}: {:?}", outcome.warnings);
        rig.linear.mend();
        let again: Vec<&str> = unreadable.iter().map(String::as_str).collect();
        let read = rig.read_again(&again).await.tasks.len() + rig.sync().await.tasks.len();
        assert_eq!(read, ids.len(), "{operation}");
    }
}

#[tokio::test]
async fn a_list_that_is_null_is_not_an_empty_one() {
    let lists = ["cycles", "projects", "issueLabels", "users"];
    // The same workspace four days later, of which nothing was lost on the way.
    let mut later = Rig::demo().await;
    later.clock.fetch_add(4 * DAY, Ordering::Relaxed);
    let later = later.sync().await;
    for (n, list) in lists.into_iter().enumerate() {
        let nodes = n % 2 == 0;
        let mut rig = Rig::demo().await;
        rig.sync().await;
        let open_sprints = rig.try_sync(&["ids"]).await.unwrap().open_sprints;
        let pointer = format!("/data/{list}{}", if nodes { "/nodes" } else { "" });
        rig.linear.distort(move |_, body| {
            body.pointer_mut(&pointer).into_iter().for_each(|list| *list = Json::Null);
            200
        });
        rig.cursors.clear();
        rig.clock.fetch_add(2 * DAY, Ordering::Relaxed);
        let torn = rig.try_sync(&["plan", "issues"]).await.unwrap();
        assert!(!torn.warnings.is_empty() || !torn.unreadable.is_empty(), "{list}");
        let pass = rig.try_sync(&["ids"]).await;
        let open = pass.as_ref().ok().and_then(|pass| pass.open_sprints.clone());
        assert!(open.is_none() || open == open_sprints, "{list}: {open:?}");
        rig.linear.mend();
        rig.cursors.clear();
        rig.clock.fetch_add(2 * DAY, Ordering::Relaxed);
        let healed = rig.sync().await;
        assert_eq!(healed.tasks.keys().collect::<Vec<_>>(), later.tasks.keys().collect::<Vec<_>>(), "{list}");
        let labels =
            |outcome: &Outcome| outcome.tasks.values().map(|task| task.present.labels.clone()).collect::<Vec<_>>();
        assert_eq!(labels(&healed), labels(&later), "{list}");
    }
}

#[tokio::test]
async fn names_that_the_schema_lacks_are_left_out_and_said() {
    let older = vec![("Issue", "delegate"), ("IssueHistory", "relationChanges"), ("Initiative", "leadTeam")];
    let clock = Clock::fixed(NOW);
    let token = tempfile::tempdir().unwrap();
    let linear = Linear::start(World::demo(NOW, 3, 7), Options { clock, older, ..Options::default() }).await.unwrap();
    let mut source = Source::new(config("linear", linear.url(), &token, Linear::KEY, &[]));
    let outcome = source.run(NOW, &["plan", "issues", "ids"]).await.unwrap();
    let whole = Rig::demo().await.sync().await;
    assert_eq!(outcome.tasks.keys().collect::<Vec<_>>(), whole.tasks.keys().collect::<Vec<_>>());
    assert!(outcome.failures.is_empty() && outcome.unreadable.is_empty());
    for name in ["delegates", "history of links", "leading teams"] {
        let said = outcome.warnings.iter().filter(|text| text.contains(name)).count();
        assert_eq!(said, 1, "{name}: {:?}", outcome.warnings);
    }
    let again = source.run(NOW + MINUTE, &["plan", "issues"]).await.unwrap();
    assert_eq!((again.requests, again.warnings.len()), (3, 3), "it is learnt once, and said on every run");
    source.restart(contextcore_core::config::CommentPrivacy::default());
    source.open(&Run { now: Millis(NOW), full: false }).await.unwrap();
    assert_eq!(source.session().check().await.unwrap().warnings.len(), 3);
}

#[tokio::test]
async fn an_odd_actor_costs_nothing_but_the_actor() {
    let mut rig = Rig::demo().await;
    let wanted = Linear::id(rig.linear.world().find("PLAT-4").unwrap());
    let whole = rig.sync().await.tasks[&wanted].clone();
    let text = wanted.clone();
    rig.linear.distort(move |name, body| {
        let rows = body.pointer_mut("/data/issues/nodes").and_then(Json::as_array_mut);
        for row in rows.into_iter().flatten().filter(|row| name == "Issues" && row["id"] == *text) {
            row["history"]["nodes"][0]["actorId"] = json!({"odd": 7});
        }
        200
    });
    rig.cursors.clear();
    let outcome = rig.sync().await;
    let (odd, all) = (&outcome.tasks[&wanted].history, &whole.history);
    let changes = |history: &[contextcore_core::model::Event]| {
        history.iter().map(|event| (event.id, event.at, event.change.clone())).collect::<Vec<_>>()
    };
    assert_eq!(changes(odd), changes(all));
    assert!(
        odd.iter().filter(|event| event.actor.is_none()).count()
            > all.iter().filter(|event| event.actor.is_none()).count()
    );
    assert!(!outcome.warnings.iter().any(|text| text.contains("left out")), "{:?}", outcome.warnings);
}

#[tokio::test]
async fn a_cycle_with_a_hole_in_its_numbers_is_a_sprint_all_the_same() {
    let clean = Rig::demo().await.sync().await;
    let mut rig = Rig::demo().await;
    rig.linear.distort(|_, body| {
        let rows = body.pointer_mut("/data/cycles/nodes").and_then(Json::as_array_mut);
        for row in rows.into_iter().flatten().filter(|row| row.get("startsAt").is_some()) {
            row["scopeHistory"] = json!([3, null, "many"]);
            row["completedScopeHistory"] = Json::Null;
        }
        200
    });
    let outcome = rig.sync().await;
    assert_eq!((outcome.sprints, outcome.failures.len()), (clean.sprints, 0));
}
