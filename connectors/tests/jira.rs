//! The Jira connector against the fake, over real sockets: compared with the requests that the fake received and with the truth
//! of its world. [`Source`] does what the engine does between two polls, as plainly as possible.

#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

#[path = "common/comments.rs"]
mod comments;
#[path = "common/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};

use comments::assert_comments;
use contextcore_core::config::CommentPrivacy;
use contextcore_core::ingest::connector::Run;
use contextcore_core::model::Status::{Done, Todo};
use contextcore_core::model::diff;
use contextcore_core::model::observation::TaskObservation;
use contextcore_core::model::time::{DAY, MINUTE};
use contextcore_core::model::timeline;
use contextcore_core::model::{Change, SprintState, StoredEvent};
use contextcore_core::{ErrorKind, Millis, Result};
use contextcore_fakes::faults::{Fault, Reset, When};
use contextcore_fakes::jira::{BulkOrder, BulkTime, Edition, Jira, JiraHandle, Options};
use contextcore_fakes::world::{Category, Edit, IssueId, SprintId, Stage, Status, StatusId, TypeId, Visibility, World};
use contextcore_fakes::{Clock, Request};
use source::{NOW, Outcome, Source, config, rig_of_source};

/// A source and what the engine would keep of it.
struct Rig {
    jira: JiraHandle,
    edition: Edition,
    source: Source,
    now: i64,
    _token: tempfile::TempDir,
}

fn cloud() -> Options {
    Options { clock: Clock::fixed(NOW), ..Options::cloud() }
}

fn data_center() -> Options {
    Options { clock: Clock::fixed(NOW), ..Options::data_center() }
}

rig_of_source!(Rig);

impl Rig {
    async fn start(world: World, options: Options, projects: &[&str]) -> Self {
        let (token, edition) = (tempfile::tempdir().unwrap(), options.edition);
        let jira = Jira::start(world, options).await.unwrap();
        let mut config = config("jira", jira.url(), &token, Jira::TOKEN, projects);
        if edition == Edition::Cloud {
            config.settings["auth"]["email"] = Jira::EMAIL.into();
        }
        Self { jira, edition, source: Source::new(config), now: NOW, _token: token }
    }

    /// A new process with other rules for comments.
    fn with_comments(mut self, comments: CommentPrivacy) -> Self {
        self.restart(comments);
        self
    }

    async fn demo(options: Options) -> Self {
        Self::start(World::demo(NOW, 3, 7), options, &["SHOP", "PLAT", "OPS"]).await
    }

    /// One run over these streams, every page stored.
    async fn run(&mut self, streams: &[&'static str]) -> Result<Outcome> {
        self.source.run(self.now, streams).await
    }

    /// A run like the engine's, without the complete pass.
    async fn sync(&mut self) -> Outcome {
        self.run(&["sprints", "issues"]).await.unwrap()
    }

    fn edit(&self, at: i64, change: impl FnOnce(&mut Edit<'_>)) {
        change(&mut self.jira.world().edit(at));
    }

    fn find(&self, key: &str) -> IssueId {
        self.jira.world().find(key).unwrap()
    }

    /// The search call of this edition.
    fn search(&self) -> &'static str {
        if self.edition == Edition::Cloud { "POST */search/jql" } else { "POST */api/2/search" }
    }
}

/// Dated events beside the creations.
fn events(outcome: &Outcome) -> usize {
    outcome.tasks.values().map(|task| task.history.len() - 1).sum()
}

fn task(outcome: &Outcome, id: IssueId) -> &TaskObservation {
    &outcome.tasks[&id.0.to_string()]
}

/// Requests by what they ask for, those that only find out about the site apart.
fn kinds(requests: &[Request]) -> BTreeMap<&str, usize> {
    let mut kinds = BTreeMap::new();
    for request in requests {
        let path = request.path();
        let kind = match path.rsplit('/').next().unwrap_or_default() {
            _ if path.contains("/agile/") => "agile",
            "field" | "status" | "issuetype" | "serverInfo" => "discovery",
            "jql" | "search" => "search",
            other => other,
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// Holds every task against what is true of the world.
fn assert_true(world: &World, tasks: &BTreeMap<String, TaskObservation>, at: i64) {
    let truth = world.truth(at);
    let mut checked = 0;
    for issue in truth.issues() {
        let id = issue.id;
        let key = world.key_of(id);
        let task = tasks.get(&id.0.to_string()).unwrap_or_else(|| panic!("{key} is missing"));
        let timeline: Vec<StoredEvent> =
            task.history.iter().map(|entry| StoredEvent { event: entry.clone(), seq: 1 }).collect();
        let summary = timeline::summary(&timeline, Millis(at)).unwrap();
        assert_eq!(task.present.key, key);
        assert_eq!(summary.status.as_str(), truth.status(id).as_str(), "{key}");
        assert_eq!(summary.started, truth.started(id).map(Millis), "started {key}");
        assert_eq!(summary.completed, truth.completed(id).map(Millis), "completed {key}");
        let last = std::sync::Arc::unwrap_or_clone(timeline::last(&timeline).unwrap().facts);
        assert_eq!(diff::changes(&last, &task.present), [], "{key}");
        let fields = truth.fields(id);
        assert_eq!(last.estimate, fields.points.map(f64::from), "points of {key}");
        assert_eq!(
            last.parent.map(|parent| parent.native_id.to_string()),
            fields.parent.map(|id| id.0.to_string()),
            "{key}"
        );
        let sprints: BTreeSet<String> = fields.sprints.iter().map(|sprint| sprint.0.to_string()).collect();
        assert_eq!(last.sprints.into_iter().map(String::from).collect::<BTreeSet<_>>(), sprints, "sprints of {key}");
        let waits: BTreeSet<String> = truth.waiting_on(id).iter().map(|id| id.0.to_string()).collect();
        let open = task.blockers.iter().filter(|blocker| !blocker.finished);
        assert_eq!(open.filter_map(|blocker| blocker.native_id.clone()).collect::<BTreeSet<_>>(), waits, "{key}");
        assert_comments(task, &issue.comments, CommentPrivacy::Count, 1);
        checked += 1;
    }
    assert_eq!(checked, tasks.len());
}

#[tokio::test]
async fn a_thousand_issues_with_all_their_history_take_fifteen_requests() {
    let mut world = World::history(NOW, 1_000, 20, 50, 150, 1);
    assert_eq!(world.history_entries(), 22_600);
    let ids: Vec<IssueId> = world.issues().map(|issue| issue.id).collect();
    ids.into_iter().for_each(|id| world.edit(NOW - 1).comment(id));
    let mut rig = Rig::start(world, cloud(), &[]).await;
    let outcome = rig.sync().await;
    assert_eq!((outcome.tasks.len(), outcome.failures.len()), (1_000, 0));
    assert_eq!(outcome.total, Some(1_000));
    assert_true(&rig.jira.world(), &outcome.tasks, NOW);
    assert!(events(&outcome) > 20_000, "{}", events(&outcome));
    let requests = rig.jira.requests();
    let asked = kinds(&requests);
    assert_eq!((asked["myself"], asked["search"], asked["bulkfetch"]), (1, 10, 3), "{asked:?}");
    assert!(requests.iter().filter(|request| !request.path().contains("/agile/")).count() <= 17, "{asked:?}");
    assert!(requests.iter().all(|request| request.status == 200 || request.path().contains("/agile/")));
}

#[tokio::test]
async fn histories_are_read_in_every_form_they_come_in() {
    let mut known = None;
    for (bulk_time, bulk_order) in [(BulkTime::Millis, BulkOrder::Date), (BulkTime::Iso, BulkOrder::Issue)] {
        let mut rig = Rig::demo(Options { bulk_time, bulk_order, ..cloud() }).await;
        let outcome = rig.sync().await;
        assert_true(&rig.jira.world(), &outcome.tasks, NOW);
        let histories: Vec<_> = outcome.tasks.into_values().map(|task| task.history).collect();
        assert_eq!(known.get_or_insert_with(|| histories.clone()), &histories);
    }
    let mut rig = Rig::demo(Options { bulk_time: BulkTime::Seconds, ..cloud() }).await;
    let outcome = rig.sync().await;
    let cut = |at: Millis| at.0 - at.0.rem_euclid(1_000);
    let known: Vec<i64> = known.iter().flatten().flat_map(|history| &history[1..]).map(|entry| cut(entry.at)).collect();
    let seconds = outcome.tasks.values().flat_map(|task| &task.history[1..]).map(|entry| cut(entry.at));
    assert_eq!(seconds.collect::<Vec<_>>(), known);
}

#[tokio::test]
async fn comments_and_their_texts_are_given_as_far_as_privacy_allows() {
    for options in [cloud(), data_center()] {
        for comments in [CommentPrivacy::Omit, CommentPrivacy::Count, CommentPrivacy::Plain] {
            let mut rig = Rig::demo(options.clone()).await.with_comments(comments);
            let outcome = rig.sync().await;
            assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
            let world = rig.jira.world();
            let mut texts = BTreeSet::new();
            for issue in world.truth(NOW).issues() {
                assert_comments(task(&outcome, issue.id), &issue.comments, comments, 1);
                texts.extend(issue.comments.iter().map(|comment| comment.text));
            }
            let holds = |text: &str| outcome.records.iter().any(|record| record.json().unwrap().contains(text));
            assert!(!texts.is_empty());
            assert!(texts.iter().all(|text| holds(text) == (comments == CommentPrivacy::Plain)), "{comments:?}");
            assert!(!kinds(&rig.jira.requests()).contains_key("comment"), "all of them came with their issues");
        }
    }
}

#[tokio::test]
async fn comments_that_search_leaves_out_are_asked_for() {
    let mut rig = Rig::demo(Options { inline_comments: 5, ..cloud() }).await.with_comments(CommentPrivacy::Plain);
    let (few, many) = (rig.find("SHOP-1"), rig.find("SHOP-2"));
    for (id, count) in [(few, 4), (many, 230)] {
        for n in 0..count {
            rig.jira.world().edit(NOW - 1_000 + n).comment(id);
        }
    }
    let asked = |rig: &Rig, id: IssueId| {
        let path = format!("/issue/{id}/comment");
        rig.jira.take_requests().iter().filter(|request| request.path().ends_with(&path)).count()
    };
    let outcome = rig.sync().await;
    let written = |rig: &Rig, id: IssueId| rig.jira.world().issue(id).comments.clone();
    assert_comments(task(&outcome, many), &written(&rig, many), CommentPrivacy::Plain, 1);
    assert_comments(task(&outcome, few), &written(&rig, few), CommentPrivacy::Plain, 1);
    assert_eq!(asked(&rig, many), 3, "the oldest 225 or so in pages of a hundred");
    rig.jira.world().edit(NOW + 1_000).take_back_comment(many);
    rig.now += 5 * MINUTE;
    let outcome = rig.sync().await;
    assert_comments(task(&outcome, many), &written(&rig, many), CommentPrivacy::Plain, 1);
}

#[tokio::test]
async fn an_issue_whose_further_comments_are_refused_keeps_those_that_came() {
    let mut rig = Rig::demo(Options { inline_comments: 5, ..cloud() }).await;
    let id = rig.find("SHOP-2");
    (0..9).for_each(|n| rig.jira.world().edit(NOW - 1_000 + n).comment(id));
    rig.jira.faults().on("GET */comment", When::Always, Fault::forbidden());
    let outcome = rig.sync().await;
    assert!(outcome.failures.is_empty());
    let written = rig.jira.world().issue(id).comments.clone();
    assert_comments(task(&outcome, id), &written[written.len() - 5..], CommentPrivacy::Count, 1);
}

#[tokio::test]
async fn a_poll_without_changes_costs_one_search() {
    for options in [cloud(), data_center()] {
        let mut rig = Rig::demo(options).await;
        let first = rig.sync().await;
        assert_true(&rig.jira.world(), &first.tasks, NOW);
        rig.jira.take_requests();
        for _ in 0..2 {
            rig.now += 5 * MINUTE;
            let again = rig.sync().await;
            assert_eq!((again.tasks.len(), again.failures.len()), (0, 0));
            let requests = rig.jira.take_requests();
            let asked = kinds(&requests);
            let boards: BTreeSet<&str> =
                requests.iter().map(Request::path).filter(|path| path.contains("agile")).collect();
            assert_eq!((asked["myself"], asked["search"], asked["agile"]), (1, 1, boards.len()), "{asked:?}");
            assert_eq!(asked.len(), 3, "{asked:?}");
        }
    }
}

#[tokio::test]
async fn only_what_changed_is_given_again() {
    let mut rig = Rig::demo(cloud()).await;
    rig.sync().await;
    let id = rig.find("SHOP-3");
    rig.edit(NOW + MINUTE, |edit| edit.rename(id, "Renamed"));
    rig.now += 5 * MINUTE;
    let outcome = rig.sync().await;
    assert_eq!(outcome.tasks.len(), 1);
    assert_eq!(task(&outcome, id).present.title, "Renamed");
}

#[tokio::test]
async fn what_changes_while_we_page_is_never_missed() {
    for options in [cloud(), data_center()] {
        let world = World::history(NOW, 350, 5, 50, 20, 1);
        let mut rig = Rig::start(world, Options { max_search_page: 100, ..options }, &[]).await;
        let changed = NOW - 1;
        rig.jira.after(rig.search(), When::Range(1..=2), move |world| {
            let ids: Vec<IssueId> = world.issues().map(|issue| issue.id).take(60).collect();
            let mut edit = world.edit(changed);
            ids.into_iter().for_each(|id| edit.rename(id, "Renamed"));
        });
        let outcome = rig.run(&["issues"]).await.unwrap();
        assert_eq!(outcome.tasks.len(), 350);
        let renamed = outcome.tasks.values().filter(|task| task.present.title == "Renamed").count();
        assert_eq!(renamed, 60, "{:?}", rig.edition);
    }
}

#[tokio::test]
async fn an_issue_that_vanishes_while_we_page_hides_no_other() {
    for options in [cloud(), data_center()] {
        let world = World::history(NOW, 350, 2, 50, 2, 1);
        let mut rig = Rig::start(world, Options { max_search_page: 100, ..options }, &[]).await;
        rig.jira.after(rig.search(), When::Nth(1), |world| {
            let first = world.issues().min_by_key(|issue| issue.updated).unwrap().id;
            world.edit(NOW).delete(first);
        });
        let outcome = rig.run(&["issues"]).await.unwrap();
        let there: BTreeSet<String> = rig.jira.world().issues().map(|issue| issue.id.0.to_string()).collect();
        assert!(there.iter().all(|id| outcome.tasks.contains_key(id)), "{:?}", rig.edition);
    }
}

#[tokio::test]
async fn changes_are_found_in_every_time_zone() {
    for zone in ["Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati", "Pacific/Niue"] {
        for options in [cloud(), data_center()] {
            let mut rig = Rig::demo(Options { time_zone: zone.into(), ..options }).await;
            let first = rig.sync().await;
            assert_true(&rig.jira.world(), &first.tasks, NOW);
            let id = rig.find("PLAT-2");
            rig.edit(NOW + 1_000, |edit| edit.rename(id, "Renamed"));
            rig.now += 5 * MINUTE;
            assert_eq!(rig.sync().await.tasks.len(), 1, "{zone}");
        }
    }
}

#[tokio::test]
async fn data_center_gives_the_same_as_cloud() {
    let mut here = Rig::demo(cloud()).await;
    let mut there = Rig::demo(Options { prefix: "/jira".into(), ..data_center() }).await;
    let (here_outcome, there_outcome) = (here.sync().await, there.sync().await);
    assert_true(&there.jira.world(), &there_outcome.tasks, NOW);
    assert_eq!(here_outcome.tasks.len(), there_outcome.tasks.len());
    for (id, task) in &here_outcome.tasks {
        let other = &there_outcome.tasks[id];
        assert_eq!((&task.present, &task.history), (&other.present, &other.history));
    }
    assert_eq!(here_outcome.sprints, there_outcome.sprints);
    assert!(there.jira.requests().iter().all(|request| request.path().starts_with("/jira/rest/")));
    assert!(there_outcome.tasks.values().all(|task| task.url.contains("/jira/browse/")));
}

#[tokio::test]
async fn the_complete_pass_sees_every_issue_and_counts_them() {
    for options in [cloud(), data_center()] {
        let mut rig = Rig::demo(Options { max_search_page: 100, ..options }).await;
        let id = rig.find("OPS-2");
        for deleted in [false, true] {
            if deleted {
                rig.edit(NOW, |edit| edit.delete(id));
            }
            let outcome = rig.run(&["ids"]).await.unwrap();
            let there: BTreeSet<String> = rig.jira.world().issues().map(|issue| issue.id.0.to_string()).collect();
            assert_eq!(outcome.seen, there);
            assert_eq!(outcome.total, Some(there.len() as u64));
        }
    }
}

#[tokio::test]
async fn an_unknown_project_is_left_out_and_named() {
    let mut rig = Rig::start(World::demo(NOW, 3, 7), cloud(), &["SHOP", "NOPE"]).await;
    let outcome = rig.sync().await;
    assert!(outcome.warnings.iter().any(|warning| warning.contains("NOPE")), "{:?}", outcome.warnings);
    assert!(!outcome.tasks.is_empty() && outcome.tasks.values().all(|task| task.present.project == "SHOP"));

    let mut rig = Rig::start(World::demo(NOW, 3, 7), cloud(), &["NOPE", "NADA"]).await;
    let error = rig.run(&["issues"]).await.err().unwrap();
    assert_eq!((error.kind(), error.context("projects")), (ErrorKind::Rejected, Some("NOPE, NADA")));
}

#[tokio::test]
async fn the_past_of_a_project_that_turns_up_later_is_read_too() {
    for options in [cloud(), data_center()] {
        let mut world = World::demo(NOW, 3, 7);
        let ops = usize::from(world.find_project("OPS").unwrap().0);
        world.projects[ops].visibility = Visibility::Hidden;
        let mut rig = Rig::start(world, options, &["SHOP", "OPS"]).await;
        let of = |outcome: &Outcome, project: &str| {
            outcome.tasks.values().filter(|task| task.present.project == project).count()
        };
        let first = rig.sync().await;
        assert!(of(&first, "SHOP") > 0 && of(&first, "OPS") == 0);
        rig.now += 5 * MINUTE;
        rig.jira.take_requests();
        assert!(rig.sync().await.tasks.is_empty());
        assert_eq!(kinds(&rig.jira.take_requests())["search"], 2, "one is refused");
        rig.jira.world().projects[ops].visibility = Visibility::Open;
        rig.now += 5 * MINUTE;
        let third = rig.sync().await;
        let there = rig.jira.world().issues().filter(|issue| usize::from(issue.project().0) == ops).count();
        assert_eq!(of(&third, "OPS"), there);
        rig.now += 5 * MINUTE;
        assert!(rig.sync().await.tasks.is_empty());
    }
}

#[tokio::test]
async fn an_account_that_is_nobody_is_an_error_and_not_an_empty_site() {
    let mut rig = Rig::demo(Options { anonymous: true, ..cloud() }).await;
    rig.sync().await;
    rig.jira.set_credentials(Vec::new());
    let error = rig.run(&["issues"]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.to_string().contains("make a new one"), "{error}");

    let mut rig = Rig::demo(cloud()).await;
    rig.jira.faults().on("*/myself", When::Always, Fault::forbidden());
    assert_eq!(rig.run(&["issues"]).await.err().unwrap().kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn transient_failures_are_retried_without_loss() {
    let mut rig = Rig::demo(cloud()).await;
    let quota = Fault::RateLimited {
        retry_after: Some(1),
        reset: Reset::IsoMinutes(60),
        reason: Some("jira-quota-tenant-based".into()),
    };
    rig.jira.faults().on("*/search/jql", When::Nth(1), quota);
    rig.jira.faults().on("*/changelog/bulkfetch", When::Nth(1), Fault::unavailable(Some(1)));
    rig.jira.faults().on("*/board/*/sprint", When::Nth(1), Fault::Truncate { bytes: 40, chunked: false });
    let outcome = rig.sync().await;
    assert_eq!(rig.jira.faults().fired(), 3);
    assert_true(&rig.jira.world(), &outcome.tasks, NOW);
}

#[tokio::test]
async fn a_server_that_fails_over_a_page_is_asked_for_a_smaller_one() {
    let mut rig = Rig::demo(cloud()).await;
    rig.jira.faults().on("*/search/jql", When::Range(2..=3), Fault::unavailable(Some(1)));
    let outcome = rig.sync().await;
    assert_true(&rig.jira.world(), &outcome.tasks, NOW);
    let sizes: Vec<_> = rig
        .jira
        .requests()
        .iter()
        .filter(|request| request.path().ends_with("jql"))
        .map(|request| request.json()["maxResults"].as_u64())
        .collect();
    assert_eq!(sizes[..4], [Some(1_000), Some(1_000), Some(1_000), Some(50)]);
}

#[tokio::test]
async fn a_repeated_page_token_stops_the_run_and_moves_no_cursor() {
    let mut rig = Rig::start(World::history(NOW, 250, 2, 50, 2, 1), cloud(), &[]).await;
    rig.jira.faults().on("*/search/jql", When::From(2), Fault::RepeatToken);
    let error = rig.run(&["issues"]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(!rig.cursors.contains_key("issues"));
    rig.jira.faults().clear();
    assert_eq!(rig.run(&["issues"]).await.unwrap().tasks.len(), 250);

    let mut rig = Rig::start(World::history(NOW, 200, 80, 50, 80, 1), cloud(), &[]).await;
    rig.jira.faults().on("*/changelog/bulkfetch", When::From(2), Fault::RepeatToken);
    let outcome = rig.run(&["issues"]).await.unwrap();
    assert_eq!((outcome.tasks.len(), outcome.unreadable.len()), (200, 0), "fewer issues need no second page");
    assert!(outcome.tasks.values().all(|task| task.history.len() > 50));
}

#[tokio::test]
async fn a_refused_page_token_restarts_the_sweep() {
    let mut rig = Rig::start(World::history(NOW, 250, 2, 50, 2, 1), cloud(), &[]).await;
    let refusal = r#"{"errorMessages":["The provided nextPageToken is invalid or expired."],"errors":{}}"#;
    rig.jira.faults().on("*/search/jql", When::Nth(2), Fault::status(400, refusal));
    let outcome = rig.run(&["issues"]).await.unwrap();
    assert_eq!((outcome.tasks.len(), outcome.records.len(), outcome.warnings.len()), (250, 250, 1));
}

#[tokio::test]
async fn a_long_sweep_goes_on_where_a_process_ended() {
    let world = World::history(NOW, 2_500, 1, 50, 1, 1);
    let mut rig = Rig::start(world, cloud(), &[]).await;
    rig.jira.faults().on("*/search/jql", When::From(15), Fault::unauthorized());
    assert_eq!(rig.run(&["issues"]).await.err().unwrap().kind(), ErrorKind::Auth);
    rig.jira.faults().clear();
    rig.jira.take_requests();
    let rest = rig.run(&["issues"]).await.unwrap();
    assert_eq!(rest.tasks.len(), 1_500);
    assert_eq!(kinds(&rig.jira.take_requests())["search"], 15);
    assert_eq!(rest.total, Some(2_500));
}

#[tokio::test]
async fn an_incomplete_answer_is_read_but_moves_nothing() {
    let mut rig = Rig::demo(cloud()).await;
    rig.sync().await;
    let body = r#"{"issues":[{"id":"77","key":"SHOP-77","fields":{"created":"2026-11-19T10:00:00.000+0000",
        "updated":"2026-11-19T10:00:00.000+0000"}}],"isLast":true,"warnings":[{"type":"JQL_FUNCTION_LIMIT_EXCEEDED"}]}"#;
    rig.jira.faults().on("*/search/jql", When::Nth(1), Fault::status(200, body));
    rig.jira.take_requests();
    rig.now += DAY - MINUTE;
    let outcome = rig.sync().await;
    assert!(outcome.tasks.contains_key("77"));
    assert!(outcome.warnings[0].contains("JQL_FUNCTION_LIMIT_EXCEEDED"), "{:?}", outcome.warnings);
    rig.sync().await;
    let requests = rig.jira.take_requests();
    let searches = requests.iter().filter(|request| request.path().ends_with("jql"));
    let asked: BTreeSet<String> = searches.map(|request| request.json()["jql"].to_string()).collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
}

#[tokio::test]
async fn issue_types_are_listed_only_when_one_does_not_explain_itself() {
    let types =
        |rig: &Rig| rig.jira.take_requests().iter().filter(|request| request.path().ends_with("issuetype")).count();
    let mut rig = Rig::demo(cloud()).await;
    rig.sync().await;
    assert_eq!(types(&rig), 0);

    let mut world = World::demo(NOW, 3, 7);
    world.types[3].name = "Aufgabe".into();
    let mut rig = Rig::start(world, cloud(), &[]).await;
    rig.sync().await;
    assert_eq!(types(&rig), 1);
    rig.now += 5 * MINUTE;
    rig.sync().await;
    assert_eq!(types(&rig), 0);
    rig.now += DAY;
    rig.sync().await;
    assert_eq!(types(&rig), 1);
}

/// An issue went through statuses that came to the site after it was learned, and rests in a known one.
#[tokio::test]
async fn statuses_that_only_histories_name_are_looked_up_before_they_are_given() {
    for options in [cloud(), data_center()] {
        let mut rig = Rig::demo(options).await;
        rig.sync().await;
        let issue = {
            let mut world = rig.jira.world();
            for (id, name, category, stage) in
                [(20_001, "Parked", Category::New, Stage::Todo), (20_002, "Shipped", Category::Done, Stage::Done)]
            {
                world.statuses.push(Status { id, name: name.into(), category, stage });
            }
            let open =
                |id: &IssueId| world.truth(NOW).started(*id).is_none() && !world.truth(NOW).status(*id).is_finished();
            let ids: Vec<IssueId> = world.issues().map(|issue| issue.id).collect();
            ids.into_iter().find(open).unwrap()
        };
        rig.edit(NOW + MINUTE, |edit| edit.transition(issue, StatusId(6)));
        rig.edit(NOW + 2 * MINUTE, |edit| edit.transition(issue, StatusId(7)));
        rig.edit(NOW + 3 * MINUTE, |edit| edit.transition(issue, StatusId::TO_DO));
        rig.jira.take_requests();
        rig.now += 5 * MINUTE;
        let outcome = rig.sync().await;
        let events = task(&outcome, issue).history.iter().filter(|entry| entry.at > Millis(NOW));
        let changes: Vec<_> = events.map(|entry| entry.change.clone()).collect();
        let status = |status, native: &str| Change::Status { status, native: native.into() };
        let expected = [status(Todo, "Parked"), status(Done, "Shipped"), status(Todo, "To Do")];
        assert_eq!(changes, expected);
        let listed =
            |rig: &Rig| rig.jira.take_requests().iter().filter(|request| request.path().ends_with("/status")).count();
        assert_eq!(listed(&rig), 1);
    }
}

/// An issue enters a new status of this name, and leaves it.
fn pass_through(rig: &Rig, issue: IssueId, name: &str) {
    let (category, stage) = (Category::Done, Stage::Done);
    rig.jira.world().statuses.push(Status { id: 20_001, name: name.into(), category, stage });
    rig.edit(NOW + MINUTE, |edit| edit.transition(issue, StatusId(6)));
    rig.edit(NOW + 2 * MINUTE, |edit| edit.transition(issue, StatusId::IN_PROGRESS));
}

/// The site lists one status of all that there were.
fn forget_statuses(rig: &Rig) {
    let list = r#"[{"id":"3","name":"In Progress","statusCategory":{"key":"indeterminate"}}]"#;
    rig.jira.faults().on("*/status", When::Always, Fault::status(200, list));
}

#[tokio::test]
async fn a_status_that_the_site_forgot_outlives_a_change_of_settings() {
    let mut rig = Rig::demo(cloud()).await;
    let issue = rig.jira.world().issues().map(|issue| issue.id).next().unwrap();
    pass_through(&rig, issue, "Whatever");
    rig.now += 5 * MINUTE;
    let entered = |outcome: &Outcome| {
        let changes = task(outcome, issue).history.iter().map(|entry| entry.change.clone());
        changes.filter(|change| *change == Change::Status { status: Done, native: "Whatever".into() }).count()
    };
    assert_eq!(entered(&rig.sync().await), 1);
    forget_statuses(&rig);
    rig.reconfigure();
    assert_eq!(entered(&rig.sync().await), 1);
}

/// What the site has no word for any more is asked for once, not every time an issue with it changes.
#[tokio::test]
async fn a_status_that_was_deleted_is_looked_up_once() {
    let mut rig = Rig::demo(cloud()).await;
    rig.sync().await;
    let issue = rig.jira.world().issues().map(|issue| issue.id).next().unwrap();
    let listed =
        |rig: &Rig| rig.jira.take_requests().iter().filter(|request| request.path().ends_with("/status")).count();
    forget_statuses(&rig);
    pass_through(&rig, issue, "Gone");
    rig.jira.take_requests();
    for expected in [1, 0] {
        rig.edit(rig.now + 4 * MINUTE, |edit| edit.rename(issue, format!("again {expected}")));
        rig.now += 5 * MINUTE;
        // Each run of `sync` is a process of its own: nothing but the state and the cursors is kept.
        rig.restart(CommentPrivacy::default());
        rig.sync().await;
        assert_eq!(listed(&rig), expected);
    }
}

#[tokio::test]
async fn a_translated_type_that_only_histories_name_is_looked_up() {
    let mut world = World::demo(NOW, 3, 7);
    world.types[usize::from(TypeId::BUG.0)].name = "Kuriosum".into();
    let issue = world.issues().find(|issue| issue.fields.kind == TypeId::BUG).unwrap().id;
    world.edit(NOW - MINUTE).set_type(issue, TypeId::TASK);
    for other in
        world.issues().filter(|issue| issue.fields.kind == TypeId::BUG).map(|issue| issue.id).collect::<Vec<_>>()
    {
        world.edit(NOW - MINUTE).delete(other);
    }
    let mut rig = Rig::start(world, cloud(), &["SHOP", "PLAT", "OPS"]).await;
    rig.sync().await;
    let asked = rig.jira.take_requests();
    assert_eq!(asked.iter().filter(|request| request.path().ends_with("issuetype")).count(), 1);
}

#[tokio::test]
async fn a_configured_estimate_goes_before_what_boards_estimate_in() {
    let mut rig = Rig::demo(cloud()).await;
    let mut config = rig.config.clone();
    config.fields.insert("story_points".into(), "customfield_99999".into());
    rig.connector = source::connect(&config, CommentPrivacy::default());
    let outcome = rig.sync().await;
    assert!(outcome.tasks.values().all(|task| task.present.estimate.is_none()));
}

#[tokio::test]
async fn a_site_that_lists_no_statuses_is_not_learned() {
    let mut rig = Rig::demo(cloud()).await;
    rig.jira.faults().on("*/status", When::Always, Fault::status(200, "[]"));
    let error = rig.run(&["issues"]).await.err().unwrap();
    assert!(error.to_string().contains("no statuses"), "{error}");
}

#[tokio::test]
async fn histories_are_asked_for_one_by_one_where_the_bulk_call_is_refused() {
    let mut rig = Rig::demo(cloud()).await;
    rig.jira.faults().on("*/changelog/bulkfetch", When::Always, Fault::status(405, "{}"));
    let outcome = rig.sync().await;
    assert_true(&rig.jira.world(), &outcome.tasks, NOW);
    assert_eq!(kinds(&rig.jira.requests())["bulkfetch"], 1);
}

#[tokio::test]
async fn a_bulk_call_that_always_fails_is_given_up_after_a_few_issues() {
    for status in [400, 403, 500] {
        let mut rig = Rig::demo(cloud()).await;
        rig.jira.faults().on("*/changelog/bulkfetch", When::Always, Fault::status(status, "{}"));
        let outcome = rig.sync().await;
        assert_true(&rig.jira.world(), &outcome.tasks, NOW);
        let asked = kinds(&rig.jira.take_requests())["bulkfetch"];
        assert!(asked < 30, "HTTP {status}: {asked} calls");
        // The session remembers it.
        rig.now += 5 * MINUTE;
        let issue = rig.jira.world().issues().next().unwrap().id;
        rig.edit(rig.now - MINUTE, |edit| edit.transition(issue, StatusId::IN_PROGRESS));
        rig.sync().await;
        assert!(!kinds(&rig.jira.take_requests()).contains_key("bulkfetch"), "HTTP {status}");
    }
}

#[tokio::test]
async fn histories_are_asked_for_in_smaller_numbers_where_a_request_is_too_large() {
    let mut rig = Rig::demo(cloud()).await;
    rig.jira.faults().on("*/changelog/bulkfetch", When::Nth(1), Fault::status(413, "{}"));
    let outcome = rig.sync().await;
    assert_true(&rig.jira.world(), &outcome.tasks, NOW);
    let asked = rig
        .jira
        .requests()
        .iter()
        .filter(|request| request.path().ends_with("bulkfetch"))
        .map(|request| request.json()["issueIdsOrKeys"].as_array().unwrap().len())
        .collect::<Vec<_>>();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(asked[0], asked[1] + asked[2]);
}

#[tokio::test]
async fn boards_that_cannot_be_read_are_skipped_once_and_their_sprints_come_with_the_issues() {
    let mut world = World::demo(NOW, 3, 7);
    let trouble = world.sprints[0].board;
    world.boards.iter_mut().filter(|board| board.id == trouble).for_each(|board| board.trouble = Some(422));
    let expected: BTreeSet<String> =
        world.issues().flat_map(|issue| &issue.fields.sprints).map(|id| id.0.to_string()).collect();
    let mut rig = Rig::start(world, cloud(), &[]).await;
    let first = rig.sync().await;
    assert_eq!(first.warnings.len(), 1, "{:?}", first.warnings);
    assert!(expected.iter().all(|id| first.sprints.contains_key(id)));
    rig.jira.take_requests();
    rig.now += 5 * MINUTE;
    assert!(rig.sync().await.warnings.is_empty());
    assert!(rig.jira.take_requests().iter().all(|request| request.status == 200));
}

#[tokio::test]
async fn a_sprint_closed_since_the_last_run_is_given_as_closed() {
    let mut rig = Rig::demo(cloud()).await;
    let first = rig.sync().await;
    let (id, _) = first.sprints.iter().find(|(_, sprint)| sprint.state == SprintState::Active).unwrap();
    let sprint = SprintId(id.parse().unwrap());
    rig.edit(NOW + MINUTE, |edit| edit.close_sprint(sprint, None));
    rig.now += 5 * MINUTE;
    let second = rig.sync().await;
    let closed = &second.sprints[id];
    assert_eq!((closed.state, closed.completed), (SprintState::Closed, Some(Millis(NOW + MINUTE))));
    assert!(closed.project.is_some());
}

#[tokio::test]
async fn once_a_day_a_sweep_looks_back_a_day_and_the_site_is_learned_anew() {
    let mut rig = Rig::demo(cloud()).await;
    rig.sync().await;
    rig.jira.take_requests();
    rig.now += DAY;
    rig.sync().await;
    let requests = rig.jira.take_requests();
    assert!(requests.iter().any(|request| request.path().ends_with("/field")));
    let asked = requests.iter().find(|request| request.path().ends_with("/jql")).unwrap().json()["jql"].to_string();
    let newest = rig.jira.world().issues().map(|issue| issue.updated).max().unwrap();
    let day_before = Millis(newest - DAY).timestamp().strftime("%Y-%m-%d %H:%M").to_string();
    assert!(asked.contains(&day_before), "{asked} {day_before}");
}

#[tokio::test]
async fn check_shows_what_a_sync_would_do() {
    let mut world = World::demo(NOW, 3, 7);
    let hidden = world.find_project("OPS").unwrap();
    world.projects[usize::from(hidden.0)].visibility = Visibility::Hidden;
    let rig = Rig::start(world, cloud(), &["SHOP", "OPS"]).await;
    let report = rig.connector.open(None, &Run { now: Millis(NOW), full: false }).await.unwrap().check().await.unwrap();
    assert_eq!(report.product, "Jira Cloud");
    assert_eq!(report.projects.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["SHOP"]);
    assert!(report.problems.iter().any(|problem| problem.starts_with("project OPS ")), "{:?}", report.problems);
    let meanings: BTreeSet<&str> = report.fields.iter().map(|(meaning, ..)| meaning.as_str()).collect();
    assert!(["story_points", "sprint", "flagged"].iter().all(|meaning| meanings.contains(meaning)), "{meanings:?}");
    assert!(report.statuses.iter().any(|(name, status, _)| name.starts_with("In Review") && status == "in_review"));
}
