//! What a connector keeps from one run to the next, and what it reads again: one connector, many polls, as in `serve`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod common;

use std::collections::BTreeMap;

use common::{Rig, Tool};
use contextcore_core::ErrorKind;
use contextcore_core::model::{Change, SprintState, TaskRecord};
use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::github::{self, Github, Token};
use contextcore_fakes::jira::{self, Jira};
use contextcore_fakes::world::World;

/// 2026-11-18.
const NOW: i64 = 1_795_000_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_works_without_a_restart() {
    let options = github::Options { clock: Clock::fixed(NOW), ..github::Options::dot_com() };
    let github = Github::start(World::demo(NOW, 1, 7), options).await.unwrap();
    let rig = Rig::github(&github).await;
    assert!(rig.sync(NOW).await.0.error.is_none());
    github.set_tokens(vec![Token::classic("ghp_the_next_one")]);
    let refused = rig.sync(NOW + MINUTE).await.0.error.unwrap();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{}", refused.full());
    rig.rotate_token("ghp_the_next_one");
    let report = rig.sync(NOW + 2 * MINUTE).await.0;
    assert!(report.error.is_none(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_token_is_an_error_of_the_run_and_the_next_run_reads_it() {
    let tool = Tool::start("linear", World::demo(NOW, 1, 7), Clock::fixed(NOW)).await;
    let rig = tool.rig().await;
    rig.rotate_token("");
    let report = rig.sync(NOW).await.0;
    assert_eq!(report.error.map(|error| error.kind()), Some(ErrorKind::Config));
    assert_eq!(report.requests, 0, "nothing is sent without a token");
    let status = rig.store.source_status("acme-linear").unwrap();
    assert_eq!((status.failures, status.last_attempt.is_some()), (1, true));
    rig.rotate_token(contextcore_fakes::linear::Linear::KEY);
    assert!(rig.sync(NOW + MINUTE).await.0.error.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_holds_over_the_end_of_a_run() {
    let options = jira::Options { clock: Clock::fixed(NOW), ..jira::Options::cloud() };
    let jira = Jira::start(World::demo(NOW, 1, 7), options).await.unwrap();
    let rig = Rig::new(&jira).await;
    assert!(rig.sync(NOW).await.0.error.is_none());
    jira.faults().on("*", When::Nth(1), Fault::rate_limited(Some(3_600)));
    let limited = rig.sync(NOW + MINUTE).await.0.error.unwrap();
    assert_eq!(limited.kind(), ErrorKind::RateLimited, "{}", limited.full());
    jira.take_requests();
    let report = rig.sync(NOW + 2 * MINUTE).await.0;
    assert_eq!(report.error.map(|error| error.kind()), Some(ErrorKind::RateLimited));
    assert_eq!(jira.take_requests().len(), 0, "the tool asked to be left alone for an hour");
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_data_is_fetched_once_for_many_runs() {
    for kind in Tool::KINDS {
        let tool = Tool::start(kind, World::demo(NOW, 1, 7), Clock::fixed(NOW)).await;
        let rig = tool.rig().await;
        let first = rig.sync(NOW).await.0;
        let later = rig.sync(NOW + MINUTE).await.0;
        assert!(first.error.is_none() && later.error.is_none(), "{first:?} {later:?}");
        assert!(later.requests * 2 <= first.requests, "{kind}: {} after {}", later.requests, first.requests);
    }
}

/// The names of the sprints that are stored and not closed.
fn open_sprints(rig: &Rig) -> Vec<String> {
    let all = rig.store.sprints(None).unwrap();
    let open = all.into_iter().filter(|(_, sprint)| sprint.facts.state != SprintState::Closed);
    open.map(|(_, sprint)| sprint.facts.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sprint_that_was_deleted_just_before_everything_is_read_again_ends() {
    for kind in Tool::KINDS {
        for listed in [true, false] {
            let tool = Tool::start(kind, World::demo(NOW, 3, 7), Clock::fixed(NOW)).await;
            let (board, issue) = {
                let mut world = tool.world();
                let (board, issue) = (world.sprints[0].board, world.issues().last().unwrap().id);
                let sprint = world.add_sprint(board, "Soon gone", "", NOW - HOUR);
                world.edit(NOW - HOUR).start_sprint(sprint, NOW + HOUR);
                world.edit(NOW - MINUTE).set_sprint(issue, Some(sprint));
                (board, issue)
            };
            // Of a board that is not listed, sprints are known from their issues.
            let hide = |tool: &Tool| match tool {
                Tool::Jira(jira) if !listed => {
                    let path = format!("/board/{board}/sprint");
                    jira.faults().on(
                        "*/agile/1.0/board",
                        When::Always,
                        Fault::status(200, r#"{"values":[],"isLast":true}"#),
                    );
                    jira.faults().on(&format!("*{path}"), When::Always, Fault::status(404, "{}"));
                }
                _ => {}
            };
            hide(&tool);
            let rig = tool.rig().await;
            let first = rig.sync(NOW).await.0;
            assert!(first.error.is_none(), "{kind}: {first:?}");
            // Once more, so that one known from issues was had by itself.
            rig.sync(NOW + MINUTE).await;
            assert!(open_sprints(&rig).contains(&"Soon gone".to_owned()), "{kind} {listed}: {:?}", open_sprints(&rig));
            let kept = open_sprints(&rig).len() - 1;
            match &tool {
                Tool::Jira(jira) => {
                    let mut world = jira.world();
                    world.edit(NOW + MINUTE).set_sprint(issue, None);
                    world.sprints.pop();
                }
                Tool::Linear(linear) => {
                    let last = linear.world().sprints.last().unwrap().id;
                    linear.world().edit(NOW + MINUTE).set_sprint(issue, None);
                    linear.delete_cycle(last);
                }
            }
            let dry = rig.dry_run(NOW + 2 * MINUTE).await;
            assert!(dry.error.is_none(), "{kind}: {dry:?}");
            let full = rig.sync_with(NOW + 2 * MINUTE, true).await.0;
            assert!(full.error.is_none(), "{kind}: {full:?}");
            assert!(!open_sprints(&rig).contains(&"Soon gone".to_owned()), "{kind} {listed}: {:?}", open_sprints(&rig));
            assert_eq!(open_sprints(&rig).len(), kept, "{kind} {listed}: the others stay");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_was_first_seen_planned_keeps_its_first_status() {
    let tool = Tool::start("linear", World::demo(NOW, 3, 7), Clock::fixed(NOW)).await;
    let Tool::Linear(linear) = &tool else { panic!("not Linear") };
    linear.distort(|_, body| {
        let rows = body.pointer_mut("/data/projects/nodes").and_then(serde_json::Value::as_array_mut);
        for row in rows.into_iter().flatten().filter(|row| row.get("status").is_some()) {
            row["status"] = serde_json::json!({"name": "Planned", "type": "planned"});
            for moment in ["startedAt", "completedAt", "canceledAt"] {
                row[moment] = serde_json::Value::Null;
            }
        }
        200
    });
    let rig = tool.rig().await;
    let firsts = |rig: &Rig| -> BTreeMap<String, (String, bool)> {
        let tasks = rig.store.tasks(None).map(Result::unwrap);
        let first = |record: &TaskRecord| match &record.timeline[0].event.change {
            Change::Created(facts) => (facts.native_status.to_string(), facts.native_type == "Project"),
            other => panic!("{other:?}"),
        };
        let all = tasks.map(|(key, record)| (key.to_string(), first(&record)));
        all.filter(|(_, (_, is_project))| *is_project).collect()
    };
    assert!(rig.sync(NOW).await.0.error.is_none());
    let planned = firsts(&rig);
    assert!(!planned.is_empty() && planned.values().all(|(status, _)| status == "Planned"), "{planned:?}");
    linear.mend();
    assert!(rig.sync_with(NOW + MINUTE, true).await.0.error.is_none());
    assert_eq!(firsts(&rig), planned);
    // And what is read in one run begins on the backlog where it was ever started.
    let late = tool.rig().await;
    assert!(late.sync(NOW + MINUTE).await.0.error.is_none());
    assert!(firsts(&late).values().any(|(status, _)| status == "Backlog"));
}
