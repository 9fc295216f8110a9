//! A tool that is slow, failing or wrong: transient failures are retried, permanent ones end with code 3, and either way the
//! next sync without faults has the truth.

use std::time::Duration;

use contextcore_fakes::faults::{Fault, Reset, When};
use contextcore_fakes::jira::{Jira, Options};
use contextcore_fakes::world::{IssueId, StatusId, World};

use crate::rig::{HOUR, Installation, LIMIT, NOW, Outcome, Running, Tool};

const SEARCH: &str = "POST */search/jql";
const HISTORIES: &str = "POST */changelog/bulkfetch";

/// A tool that gives small pages, so that a run has a middle.
async fn tool() -> Tool {
    Tool::start(World::demo(NOW, 2, 7), Options { max_search_page: 40, ..Options::cloud() }).await
}

/// The outcome of a sync of that tool without faults.
async fn truth() -> Outcome {
    let tool = tool().await;
    let home = tool.home().await;
    home.sync();
    home.outcome()
}

/// A run against a tool with one fault.
struct Case {
    name: &'static str,
    tool: Tool,
    home: Installation,
    run: Running,
}

impl Case {
    async fn start(name: &'static str, calls: &str, when: When, fault: Fault) -> Self {
        let tool = tool().await;
        let home = tool.home().await;
        tool.jira.faults().on(calls, when, fault);
        let run = home.spawn(&["sync"]);
        Self { name, tool, home, run }
    }
}

/// All runs at once: most of the time they wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transient_failures_are_retried_without_loss() {
    let truth = truth().await;
    let quota = Fault::RateLimited { retry_after: None, reset: Reset::Iso(2), reason: Some("jira-burst-based".into()) };
    let mut cases = Vec::new();
    for (name, calls, when, fault) in [
        ("429 with Retry-After", SEARCH, When::Range(1..=2), Fault::rate_limited(Some(1))),
        ("429 without", SEARCH, When::Nth(2), Fault::rate_limited(None)),
        ("429 with a reset", HISTORIES, When::Nth(1), quota),
        ("500", HISTORIES, When::Nth(1), Fault::status(500, r#"{"errorMessages":["Internal server error"]}"#)),
        ("502 as a page", SEARCH, When::Nth(3), Fault::Html(502)),
        ("503 with Retry-After", "*/myself", When::Nth(1), Fault::unavailable(Some(1))),
        ("503 without", "*/sprint", When::Nth(1), Fault::unavailable(None)),
        ("no answer and a drop", SEARCH, When::Nth(2), Fault::Timeout(Duration::from_secs(1))),
        ("a reset", HISTORIES, When::Nth(1), Fault::Reset),
        ("a reset at the start", "*/myself", When::Nth(1), Fault::Reset),
        ("a truncated body", SEARCH, When::Nth(1), Fault::Truncate { bytes: 5_000, chunked: false }),
        ("a truncated stream", HISTORIES, When::Nth(1), Fault::Truncate { bytes: 5_000, chunked: true }),
        ("not JSON", SEARCH, When::Nth(2), Fault::status(200, "upstream connect error")),
    ] {
        cases.push(Case::start(name, calls, when, fault).await);
    }
    for Case { name, tool, home, run } in cases {
        let ran = run.wait(LIMIT);
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.err);
        assert!(tool.jira.faults().fired() > 0 && ran.errors().is_empty(), "{name}");
        home.outcome().assert_same(&truth);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permanent_failures_are_reported_and_the_next_sync_has_the_truth() {
    let truth = truth().await;
    let mut cases = Vec::new();
    for (name, calls, when, fault, words) in [
        ("401 in the middle", SEARCH, When::From(2), Fault::unauthorized(), ["token was refused", "make a new one"]),
        ("401 over histories", HISTORIES, When::Always, Fault::unauthorized(), ["token was refused", "make a new one"]),
        ("403 with a captcha", SEARCH, When::From(2), Fault::forbidden(), ["captcha", "browser"]),
        ("403", SEARCH, When::From(2), Fault::status(403, r#"{"message":"no"}"#), ["may not", "403"]),
        ("410", SEARCH, When::Always, Fault::status(410, "{}"), ["removed", "upgrade"]),
        ("a login page", SEARCH, When::From(2), Fault::Html(200), ["login page", "/search/jql"]),
        ("a login page that says it is JSON", HISTORIES, When::Always, Fault::NotJson, ["login page", "/bulkfetch"]),
        ("a long limit", SEARCH, When::From(2), Fault::rate_limited(Some(3_600)), ["wait", "429"]),
        ("never JSON", "*/changelog*", When::Always, Fault::status(200, "OK"), ["not JSON", "more than half"]),
        ("a repeated page token", SEARCH, When::From(2), Fault::RepeatToken, ["page token", "same"]),
        ("anonymous from the start", "*", When::Always, Fault::AnonymousEmpty, ["acme-jira", "token"]),
    ] {
        cases.push((Case::start(name, calls, when, fault).await, words));
    }
    for (Case { name, tool, home, run }, words) in cases {
        let ran = run.wait(LIMIT);
        assert_eq!(ran.code, Some(3), "{name}: {}", ran.err);
        ran.says(&words);
        tool.jira.faults().clear();
        home.sync();
        home.outcome().assert_same(&truth);
    }
}

/// Jira answers an unknown caller with an empty list. An empty list is never taken for deletion, whenever it begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_list_for_an_anonymous_caller_deletes_nothing() {
    let truth = truth().await;
    // The token expired between the login and the search.
    let tool = tool().await;
    let home = tool.home().await;
    tool.jira.faults().on(SEARCH, When::Always, Fault::AnonymousEmpty);
    tool.jira.faults().on("*/myself", When::From(2), Fault::AnonymousEmpty);
    home.run(&["sync"]).expect(3).says(&["acme-jira", "token"]);
    assert!(home.has_exported_nothing());
    tool.jira.faults().clear();
    home.sync();
    home.outcome().assert_same(&truth);
    // The same in a complete pass: nothing is taken for deleted, however often it happens.
    tool.jira.faults().on(SEARCH, When::Always, Fault::AnonymousEmpty);
    for _ in 0..3 {
        tool.pass(HOUR);
        home.run(&["sync", "--full"]).expect(3).says(&["nothing was closed", "token"]);
    }
    assert!(home.tasks().iter().all(|task| task["deleted"].is_null()));
    tool.jira.faults().clear();
    home.run(&["sync", "--full"]).expect(0);
    assert_eq!(home.outcome().tasks.len(), truth.tasks.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issues_that_move_between_pages_are_neither_missed_nor_duplicated() {
    let tool = tool().await;
    let home = tool.home().await;
    tool.jira.after(SEARCH, When::Range(1..=3), |world| {
        let ids: Vec<IssueId> = world.issues().map(|issue| issue.id).step_by(5).collect();
        let mut edit = world.edit(NOW);
        ids.into_iter().for_each(|id| edit.rename(id, "Moved to the last page"));
    });
    home.sync();
    tool.jira.faults().clear();
    let issues = tool.jira.world().issues().count();
    let renamed = home.tasks().iter().filter(|task| task["title"] == "Moved to the last page").count();
    assert_eq!((home.tasks().len(), renamed), (issues, issues.div_ceil(5)));
    home.sync();
    let clean = tool.home().await;
    clean.sync();
    home.outcome().assert_same(&clean.outcome());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_failed_in_the_middle_resumes_there() {
    let options = Options { max_search_page: 100, ..Options::cloud() };
    let tool = Tool::start(World::history(NOW, 2_500, 1, 50, 1, 1), options).await;
    let home = tool.home().await;
    tool.jira.faults().on(SEARCH, When::From(15), Fault::unauthorized());
    let failed = home.summary(3, &[]);
    assert_eq!(failed["sources"][0]["error"]["kind"], "auth");
    let kept = home.tasks().len();
    assert!(kept >= 1_000, "{kept}");
    // Half a sweep is not exported: a child may come before its parent.
    assert!(home.has_exported_nothing());
    tool.jira.faults().clear();
    tool.jira.take_requests();
    let rest = home.summary(0, &[])["sources"][0]["records"].as_u64().unwrap();
    assert!(rest < 2_000, "{rest} records were read, of which {kept} issues were known");
    assert_eq!(home.tasks().len(), 2_500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_center_under_a_path_exports_the_same_as_cloud() {
    let options = Options { prefix: "/jira".into(), ..Options::data_center() };
    let there = Tool::start(World::demo(NOW, 2, 7), options).await;
    let home = there.home().await;
    home.write(&home.config_text().replace(&format!("email: {}, ", Jira::EMAIL), ""));
    there.jira.faults().on("POST */api/2/search", When::Nth(1), Fault::Html(503));
    home.sync();
    home.outcome().assert_same(&truth().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_numbers_of_days_without_the_source_are_exported_once_it_is_back() {
    let tool = tool().await;
    let home = tool.home().await;
    home.sync();
    let open = home.tasks().into_iter().find(|task| task["status"] == "in_progress").unwrap();
    let id = tool.jira.world().find(open["id"].as_str().unwrap()).unwrap();
    tool.pass(2 * HOUR);
    tool.edit(|edit| edit.transition(id, StatusId::DONE));
    tool.jira.faults().on("*", When::Always, Fault::unauthorized());
    for _ in 0..3 {
        tool.pass(21 * HOUR);
        home.run(&["sync"]).expect(3);
    }
    tool.jira.faults().clear();
    tool.pass(HOUR);
    home.sync();
    let clean = tool.home().await;
    clean.sync();
    home.outcome().on_grid().assert_same(&clean.outcome().on_grid());
}
