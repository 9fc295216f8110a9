//! The GitHub connector against the fake, over real sockets: compared with the requests that the fake received and charged, and
//! with the truth of its world. [`Source`] does what the engine does between two polls, as plainly as possible.

#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

#[path = "common/comments.rs"]
mod comments;
#[path = "common/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};

use comments::assert_comments;
use contextcore_core::config::{CommentPrivacy, SourceConfig};
use contextcore_core::ingest::connector::Run;
use contextcore_core::model::diff;
use contextcore_core::model::observation::TaskObservation;
use contextcore_core::model::{Change, SprintState, Status};
use contextcore_core::{ErrorKind, Millis, Result};
use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::github::ailing::{Ailing, Part, Sign};
use contextcore_fakes::github::{Edition, Github, GithubHandle, Options, Token, trouble};
use contextcore_fakes::graphql::Without;
use contextcore_fakes::world::{
    BoardId, BoardKind, Content, Draft, Edit, GithubDemo, IssueId, PullDraft, StatusId, TypeId, UserId, Verdict, World,
};
use serde_json::json;
use source::{NOW, Outcome, Source, config, rig_of_source};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const SHOP: BoardId = BoardId(1);

/// A source and what the engine would keep of it.
struct Rig {
    github: GithubHandle,
    source: Source,
    now: i64,
    _token: tempfile::TempDir,
}

fn dot_com() -> Options {
    Options { clock: Clock::fixed(NOW), ..Options::dot_com() }
}

rig_of_source!(Rig);

fn set_repositories(config: &mut SourceConfig, repositories: &[String]) {
    config.settings["repositories"] = json!(repositories);
    config.extra_scopes = repositories.to_vec();
}

impl Rig {
    async fn start(world: World, options: Options, set: impl FnOnce(&mut SourceConfig)) -> Self {
        let (token, edition) = (tempfile::tempdir().unwrap(), options.edition);
        let github = Github::start(world, options).await.unwrap();
        let root = if edition == Edition::Enterprise { "/api" } else { "" };
        let url = format!("{}{root}", github.url());
        let mut config = config("github", &url, &token, Github::TOKEN, &["acme/1"]);
        set(&mut config);
        Self { github, source: Source::new(config), now: NOW, _token: token }
    }

    async fn shop(world: World) -> Self {
        Self::start(world, dot_com(), |_| {}).await
    }

    async fn run(&mut self, streams: &[&'static str]) -> Result<Outcome> {
        let points = self.github.points_spent();
        let mut outcome = self.source.run(self.now, streams).await?;
        outcome.points = self.github.points_spent() - points;
        Ok(outcome)
    }

    /// A run like the engine's, without the complete pass.
    async fn sync(&mut self) -> Outcome {
        self.run(&["sprints", "items", "repositories", "activity"]).await.unwrap()
    }

    async fn ids(&mut self) -> BTreeSet<String> {
        self.run(&["ids"]).await.unwrap().seen
    }

    /// Reads records by their ids.
    async fn read_again(&mut self, ids: &[&str]) -> Outcome {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.source.read_again(self.now, &ids).await.unwrap()
    }

    fn edit(&self, at: i64, change: impl FnOnce(&mut Edit<'_>)) {
        change(&mut self.github.world().edit(at));
    }

    fn id(&self, issue: IssueId) -> String {
        Github::issue_id(&self.github.world(), issue)
    }
}

fn keys(outcome: &Outcome) -> Vec<&str> {
    outcome.tasks.values().map(|task| task.present.key.as_str()).collect()
}

/// One repository `acme/shop` with one scrum project.
fn small() -> World {
    let mut world = World::empty();
    let shop = world.add_project("SHOP", "Shop", StatusId::TO_DO);
    world.add_board("Shop", BoardKind::Scrum, shop);
    world
}

fn add(world: &mut World, title: &str, at: i64) -> IssueId {
    let project = world.find_project("SHOP").unwrap();
    world.edit(at).add_issue(Draft::new(project, TypeId::STORY, title))
}

/// A history that is folded must lead to the present, else the engine would note changes that never were.
fn leads_to_present(task: &TaskObservation) {
    let Change::Created(first) = &task.history[0].change else { panic!("{:?}", task.history[0]) };
    let mut facts = (**first).clone();
    task.history[1..].iter().for_each(|entry| facts.apply(&entry.change));
    assert_eq!(diff::changes(&facts, &task.present), [], "{}", task.present.key);
    let ids: BTreeSet<_> = task.history.iter().map(|entry| entry.id).collect();
    assert_eq!(ids.len(), task.history.len(), "{}: every fact has its own id", task.present.key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_issues_cost_what_was_promised_and_a_quiet_poll_next_to_nothing() {
    let mut rig = Rig::shop(World::history(NOW, 1_000, 20, 4, 40, 1)).await;
    let first = rig.sync().await;
    assert_eq!((first.tasks.len(), first.failures.len()), (1_000, 0), "{:?}", first.warnings);
    assert!(first.requests <= 130 && first.points <= 150, "{} requests, {} points", first.requests, first.points);
    let quiet = rig.sync().await;
    assert_eq!(quiet.records.len(), 0);
    assert!(quiet.requests <= 12 && quiet.points <= 12, "{} requests, {} points", quiet.requests, quiet.points);
    let id = rig.github.world().issues().nth(500).unwrap().id;
    rig.edit(NOW + HOUR, |edit| edit.rename(id, "Changed"));
    let changed = rig.sync().await;
    assert_eq!(changed.tasks.values().map(|task| task.present.title.as_str()).collect::<Vec<_>>(), ["Changed"]);
    assert!(changed.requests <= 13);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_are_given_as_far_as_privacy_allows_and_long_lists_to_their_end() {
    for options in [dot_com(), Options { clock: Clock::fixed(NOW), ..Options::enterprise() }] {
        for comments in [CommentPrivacy::Omit, CommentPrivacy::Count, CommentPrivacy::Plain] {
            let mut world = small();
            let (few, many) = (add(&mut world, "Few", NOW - HOUR), add(&mut world, "Many", NOW - HOUR));
            world.edit(NOW - HOUR).comment(few);
            (0..250).for_each(|n| world.edit(NOW - HOUR + n * 1_000).comment(many));
            let mut rig = Rig::start(world, options.clone(), |_| {}).await;
            rig.restart(comments);
            let outcome = rig.sync().await;
            assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
            let world = rig.github.world();
            for id in [few, many] {
                let task = &outcome.tasks[&Github::issue_id(&world, id)];
                assert_comments(task, &world.issue(id).comments, comments, 1_000);
            }
            let text = world.issue(many).comments[200].text;
            let held = outcome.records.iter().any(|record| record.json.contains(text));
            assert_eq!(held, comments == CommentPrivacy::Plain);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_agrees_with_the_world() {
    let mut rig = Rig::start(World::demo(NOW, 6, 1), dot_com(), |config| {
        config.projects = vec!["acme/1".into(), "acme/2".into(), "acme/3".into()];
    })
    .await;
    let outcome = rig.sync().await;
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    let world = rig.github.world();
    let truth = world.truth(NOW);
    let second = |at: i64| at - at.rem_euclid(1_000);
    let mut compared = 0;
    for issue in truth.issues() {
        let Some(task) = outcome.tasks.get(&Github::issue_id(&world, issue.id)) else { continue };
        compared += 1;
        leads_to_present(task);
        let fields = truth.fields(issue.id);
        assert_eq!(task.present.title, fields.title);
        assert_eq!(task.present.estimate, fields.points.map(f64::from), "{}", task.present.key);
        assert_eq!(task.history[0].at.0, second(issue.created), "{}", task.present.key);
        let kept: Vec<_> = task
            .history
            .iter()
            .map(|entry| contextcore_core::model::StoredEvent { event: entry.clone(), seq: 1 })
            .collect();
        let summary = contextcore_core::model::timeline::summary(&kept, Millis(NOW)).unwrap();
        assert_eq!(summary.completed.map(|at| at.0), truth.completed(issue.id).map(second), "{}", task.present.key);
        assert_eq!(summary.cancelled.map(|at| at.0), truth.cancelled(issue.id).map(second), "{}", task.present.key);
        assert_eq!(summary.started.map(|at| at.0), truth.started(issue.id).map(second), "{}", task.present.key);
        assert_comments(task, &issue.comments, CommentPrivacy::Count, 1_000);
        let blocked = truth.blocked().contains(&issue.id);
        assert_eq!(task.present.effective_status() == Status::Blocked, blocked, "{}", task.present.key);
    }
    assert!(compared > 100, "only {compared} compared");
    let states: BTreeSet<_> = outcome.sprints.values().map(|sprint| sprint.state.as_str()).collect();
    assert!(states.contains(SprintState::Active.as_str()) && states.contains(SprintState::Closed.as_str()));
    assert!(outcome.sprints.values().all(|sprint| !sprint.exact));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transient_failures_are_retried_without_loss() {
    let world = || World::history(NOW, 150, 6, 10, 130, 3);
    let calm = Rig::shop(world()).await.sync().await;
    let faults = [
        trouble::rate_limited(NOW / 1_000 + 1),
        trouble::secondary(403, Some(1)),
        trouble::too_slow(),
        Fault::Reset,
        Fault::Truncate { bytes: 40, chunked: false },
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let mut rig = Rig::shop(world()).await;
        rig.github.faults().on("POST */graphql", When::Nth(3 + n), fault.clone());
        let outcome = rig.sync().await;
        assert_eq!(rig.github.faults().fired(), 1, "{n}");
        assert!(outcome.failures.is_empty() && outcome.tasks == calm.tasks, "fault {n} lost something");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_too_heavy_is_halved_and_its_size_remembered() {
    let options = Options { heavy_page: 10, ..dot_com() };
    let mut rig = Rig::start(World::history(NOW, 120, 6, 0, 0, 3), options, |_| {}).await;
    let first = rig.sync().await;
    assert_eq!(first.tasks.len(), 120, "{:?}", first.warnings);
    assert!(first.requests < 30, "{} requests", first.requests);
    let ids: Vec<IssueId> = rig.github.world().issues().map(|issue| issue.id).collect();
    ids.iter().for_each(|id| rig.edit(NOW, |edit| edit.rename(*id, "Again")));
    rig.restart(CommentPrivacy::default());
    let next = rig.sync().await;
    assert_eq!(next.tasks.len(), 120);
    assert!(next.requests < first.requests + 3, "{} requests after {}", next.requests, first.requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_halve_the_page_after_the_second() {
    let mut rig = Rig::shop(World::history(NOW, 60, 6, 0, 0, 3)).await;
    rig.github.faults().on("POST */graphql", When::Range(4..=5), trouble::too_slow());
    assert_eq!(rig.sync().await.tasks.len(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_name_what_to_do() {
    let table: [(Fault, ErrorKind, &str); 2] = [
        (trouble::bad_credentials(), ErrorKind::Auth, "make a new one"),
        (trouble::single_sign_on(), ErrorKind::Permission, "orgs/acme/sso"),
    ];
    for (fault, kind, text) in table {
        let mut rig = Rig::shop(small()).await;
        rig.github.faults().on("POST */graphql", When::Always, fault);
        let error = rig.run(&[]).await.err().unwrap();
        assert_eq!(error.kind(), kind);
        assert!(error.full().contains(text), "{}", error.full());
    }
    for (token, kind) in [
        (Token::classic(Github::TOKEN).without("projects"), ErrorKind::Permission),
        (Token::fine_grained(Github::TOKEN).without("projects"), ErrorKind::Permission),
        (Token::classic("another"), ErrorKind::Auth),
    ] {
        let mut rig = Rig::start(small(), Options { tokens: vec![token], ..dot_com() }, |_| {}).await;
        assert_eq!(rig.run(&[]).await.err().unwrap().kind(), kind);
    }
    let mut rig = Rig::start(small(), dot_com(), |config| config.projects = vec!["acme/99".into()]).await;
    let error = rig.run(&[]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.full().contains("acme/99"), "{}", error.full());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_of_a_user_is_found_and_one_that_is_missing_is_left_out() {
    let mut world = small();
    add(&mut world, "One", NOW - HOUR);
    let options = Options { owner_is_user: true, ..dot_com() };
    let mut rig = Rig::start(world, options, |config| config.projects.push("acme/99".into())).await;
    let outcome = rig.sync().await;
    assert_eq!(outcome.tasks.len(), 1);
    assert!(outcome.warnings.iter().any(|warning| warning.contains("acme/99")), "{:?}", outcome.warnings);
    let mut rig = Rig::start(small(), dot_com(), |config| config.projects.clear()).await;
    rig.edit(NOW - HOUR, |_| {});
    assert!(rig.run(&["items"]).await.is_ok(), "nothing configured means all that is visible");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_mints_its_token_keeps_it_and_mints_another_when_it_is_refused() {
    let mut world = small();
    add(&mut world, "One", NOW - HOUR);
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/src/github/fixtures/app_key.pem");
    let app = |installation| {
        move |config: &mut SourceConfig| {
            let app = json!({"id": 1, "installation": installation, "private_key": {"file": key}});
            config.settings = json!({"auth": {"app": app}});
        }
    };
    let options = Options { tokens: vec![], ..dot_com() };
    let installation = u32::try_from(Github::INSTALLATION).unwrap();
    let mut rig = Rig::start(world, options.clone(), app(installation)).await;
    assert_eq!(rig.sync().await.tasks.len(), 1);
    let minted = |rig: &Rig| {
        rig.github.take_requests().iter().filter(|request| request.path().ends_with("access_tokens")).count()
    };
    assert_eq!(minted(&rig), 1);
    rig.sync().await;
    assert_eq!(minted(&rig), 0, "it is kept");
    rig.github.set_tokens(vec![]);
    rig.sync().await;
    assert_eq!(minted(&rig), 1, "it was revoked");
    let mut wrong = Rig::start(small(), options, app(1)).await;
    let error = wrong.run(&[]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.full().contains("auth.app.installation"), "{}", error.full());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_enterprise_server_is_asked_for_less() {
    let options = Options { clock: Clock::fixed(NOW), ..Options::enterprise() };
    let mut world = small();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    world.edit(NOW - 8 * HOUR).transition(id, StatusId::IN_PROGRESS);
    world.edit(NOW - 7 * HOUR).note(SHOP, "Ideas");
    let mut rig = Rig::start(world, options, |config| set_repositories(config, &["acme/shop".into()])).await;
    let outcome = rig.sync().await;
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(outcome.tasks.len(), 2, "{:?} {:?}", outcome.tasks, outcome.warnings);
    let task = &outcome.tasks[&rig.id(id)];
    leads_to_present(task);
    assert_eq!(task.present.status, Status::InProgress);
    let moved = task.history.last().unwrap();
    assert!(moved.observed && moved.at.0 == NOW - 8 * HOUR, "the value says since when: {moved:?}");
    rig.restart(CommentPrivacy::default());
    assert_eq!(rig.sync().await.records.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_anywhere_in_a_sweep_loses_nothing() {
    let world = || World::history(NOW, 330, 4, 50, 120, 5);
    let whole = Rig::shop(world()).await.sync().await;
    let mut rig = Rig::shop(world()).await;
    let run = Run { now: Millis(NOW), full: false };
    let mut outcome = Outcome::default();
    for _ in 0..20 {
        rig.restart(CommentPrivacy::default());
        rig.open(&run).await.unwrap();
        // A page whose cursor was never kept, then one that is.
        rig.session().poll("items", rig.cursors.get("items")).await.unwrap();
        if !rig.step("items", &mut outcome).await.unwrap() {
            break;
        }
    }
    assert_eq!(outcome.tasks, whole.tasks);
    assert_eq!(rig.sync().await.tasks.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_between_two_pages_are_read_now_or_by_the_next_run() {
    let mut rig = Rig::shop(World::history(NOW, 250, 4, 0, 0, 5)).await;
    for n in 1..6 {
        rig.github.after("POST */graphql", When::Nth(n + 1), move |world| {
            let ids: Vec<IssueId> = world.issues().map(|issue| issue.id).collect();
            let mut edit = world.edit(NOW - HOUR);
            edit.rank(ids[n * 7]);
            edit.rename(ids[n * 40], "While you read");
        });
    }
    let mut titles = BTreeMap::new();
    for _ in 0..2 {
        for task in rig.sync().await.tasks.into_values() {
            titles.insert(task.native_id, task.present.title);
        }
    }
    assert_eq!(titles.len(), 250);
    assert_eq!(titles.values().filter(|title| *title == "While you read").count(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_change_within_one_second_is_read() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - HOUR);
    let mut rig = Rig::start(world, dot_com(), |config| set_repositories(config, &["acme/shop".into()])).await;
    rig.sync().await;
    for title in ["Two", "Three"] {
        rig.edit(NOW, |edit| edit.rename(id, title));
        let outcome = rig.sync().await;
        assert_eq!(outcome.tasks.values().map(|task| task.present.title.as_str()).collect::<Vec<_>>(), [title]);
    }
    rig.now = NOW + 5_000;
    rig.sync().await;
    assert_eq!(rig.sync().await.records.len(), 0, "then it is settled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_away_hidden_or_deleted_is_missing_from_a_complete_pass() {
    let mut world = small();
    let [open, done, gone, hidden, kept] =
        ["Open", "Done", "Gone", "Hidden", "Kept"].map(|title| add(&mut world, title, NOW - 9 * HOUR));
    world.edit(NOW - 8 * HOUR).transition(done, StatusId::DONE);
    let mut rig = Rig::shop(world).await;
    assert_eq!(rig.sync().await.tasks.len(), 5);
    let id = |issue| Github::issue_id(&rig.github.world(), issue);
    let ids = [open, done, gone, hidden, kept].map(id);
    assert_eq!(rig.ids().await, ids.iter().cloned().collect());
    rig.edit(NOW - HOUR, |edit| {
        edit.archive_card(SHOP, Content::Issue(open), true);
        edit.archive_card(SHOP, Content::Issue(done), true);
        edit.delete(gone);
        edit.hide(hidden, true);
    });
    let after = rig.sync().await;
    assert!(after.failures.is_empty(), "{:?}", after.failures);
    assert_eq!(after.gone, [ids[0].clone()].into(), "put away while open");
    assert!(!after.tasks.contains_key(&ids[3]), "{:?}", keys(&after));
    let seen = rig.ids().await;
    assert!(!seen.contains(&ids[0]) && !seen.contains(&ids[2]) && !seen.contains(&ids[3]));
    assert!(
        seen.contains(&ids[1]) && seen.contains(&ids[4]),
        "what was finished is only tidied away: {seen:?} of {ids:?}"
    );
    rig.edit(NOW, |edit| edit.archive_card(SHOP, Content::Issue(open), false));
    assert_eq!(keys(&rig.sync().await), ["acme/shop#1"], "and is back when it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_out_of_sight_closes_nothing() {
    let mut world = small();
    add(&mut world, "One", NOW - 9 * HOUR);
    let mut rig = Rig::shop(world).await;
    assert_eq!(rig.sync().await.tasks.len(), 1);
    rig.github.world().projects[0].visibility = contextcore_fakes::world::Visibility::Hidden;
    let after = rig.sync().await;
    assert!(after.tasks.is_empty() && after.failures.is_empty(), "its task stays as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drafts_become_issues_and_pull_requests_are_tasks_when_they_close_none() {
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    let issue = add(&mut world, "One", NOW - 9 * HOUR);
    let note = world.edit(NOW - 9 * HOUR).note(SHOP, "Ideas");
    let mut edit = world.edit(NOW - 8 * HOUR);
    let closing = edit.open_pull(PullDraft { closes: vec![issue], ..PullDraft::new(shop, "one", "One") });
    let free = edit.open_pull(PullDraft::new(shop, "tidy", "Tidy"));
    edit.place_card(SHOP, Content::Pull(closing), true);
    edit.place_card(SHOP, Content::Pull(free), true);
    let mut rig = Rig::shop(world).await;
    let first = rig.sync().await;
    assert!(first.failures.is_empty(), "{:?}", first.failures);
    let kinds: BTreeSet<_> = first.tasks.values().map(|task| task.present.native_type.as_str()).collect();
    assert_eq!(kinds, ["Draft issue", "Pull request", "Story"].into());
    assert!(
        first.activities.iter().any(|activity| activity.tasks == [rig.id(issue)]),
        "the linked pull request is given"
    );
    let draft = |task: &&TaskObservation| task.present.native_type == "Draft issue";
    let draft = first.tasks.values().find(draft).unwrap().native_id.clone();
    let mut became = None;
    rig.edit(NOW - HOUR, |edit| became = Some(edit.convert_note(note, shop, TypeId::TASK)));
    let next = rig.sync().await;
    assert_eq!(next.gone, [draft].into(), "the draft is no more, and need not be missed first");
    assert!(rig.sync().await.gone.is_empty(), "that is said once");
    let task = &next.tasks[&rig.id(became.unwrap())];
    leads_to_present(task);
    assert_eq!((task.present.title.as_str(), task.history[0].at.0), ("Ideas", NOW - 9 * HOUR), "it began as a draft");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repositories_give_issues_outside_projects_and_what_people_did() {
    let mut world = World::empty();
    let shop = world.add_project("SHOP", "Shop", StatusId::TO_DO);
    let tools = world.add_project("TOOLS", "Tools", StatusId::TO_DO);
    world.add_board("Shop", BoardKind::Scrum, shop);
    let inside = world.edit(NOW - 9 * HOUR).add_issue(Draft::new(shop, TypeId::STORY, "Inside"));
    let outside = world.edit(NOW - 9 * HOUR).add_issue(Draft::new(tools, TypeId::BUG, "Outside"));
    let mut edit = world.edit(NOW - 8 * HOUR);
    let pull = edit.open_pull(PullDraft { closes: vec![inside], ..PullDraft::new(shop, "PROJ-7-card", "Card") });
    let commit = edit.push(pull, "PROJ-7: card");
    edit.check(commit, "test", false);
    edit.request_review(pull, UserId(2));
    let mut rig = Rig::start(world, dot_com(), |config| {
        set_repositories(config, &["acme/shop".into(), "acme/tools".into()]);
    })
    .await;
    let first = rig.sync().await;
    assert!(first.failures.is_empty(), "{:?}", first.failures);
    let projects: BTreeMap<_, _> =
        first.tasks.values().map(|task| (task.present.title.as_str(), task.present.project.as_str())).collect();
    assert_eq!(projects, [("Inside", "acme/1"), ("Outside", "acme/tools")].into());
    let kinds: BTreeSet<_> = first.activities.iter().map(|activity| activity.artifact.kind.as_str()).collect();
    assert_eq!(kinds, ["ci_failed", "commit", "pull_request", "review_requested"].into());
    assert!(first.activities.iter().all(|activity| activity.tasks == [rig.id(inside)]));
    let quiet = rig.sync().await;
    // The checks had failed, and may be run again.
    assert!(quiet.tasks.is_empty() && quiet.requests <= 5, "{} requests", quiet.requests);
    rig.edit(NOW - HOUR, |edit| edit.check(commit, "test", true));
    let mended = rig.sync().await;
    assert!(mended.activities.iter().any(|activity| activity.artifact.kind == "ci_passed"));
    rig.edit(NOW - HOUR / 2, |edit| edit.rename(outside, "Out there"));
    rig.edit(NOW - HOUR / 2, |edit| edit.merge(pull));
    let next = rig.sync().await;
    assert!(next.tasks.contains_key(&rig.id(outside)));
    assert!(next.activities.iter().any(|activity| activity.artifact.kind == "merged"));
    // What leaves the project moves back, however much else changed since and though it may not look changed itself.
    let board = BoardId(1);
    rig.edit(NOW - HOUR / 4, |edit| edit.place_card(board, Content::Issue(inside), false));
    assert!(!rig.sync().await.tasks.contains_key(&rig.id(inside)), "one absence says nothing");
    rig.edit(NOW, |edit| edit.rename(outside, "Far out"));
    let home = rig.sync().await;
    assert_eq!(home.tasks[&rig.id(inside)].present.project, "acme/shop");
    let seen = rig.ids().await;
    assert!([inside, outside].iter().all(|issue| seen.contains(&rig.id(*issue))));
    assert!(rig.session().lost().is_empty());
    rig.github.world().projects[usize::from(tools.0)].visibility = contextcore_fakes::world::Visibility::Hidden;
    assert!(rig.sync().await.tasks.is_empty());
    assert_eq!(rig.session().lost(), ["acme/tools"], "a hidden repository is reported");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_away_in_a_project_comes_home_once() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    let mut rig = Rig::start(world, dot_com(), |config| set_repositories(config, &["acme/shop".into()])).await;
    assert_eq!(rig.sync().await.tasks[&rig.id(id)].present.project, "acme/1");
    let quiet = rig.sync().await.requests;
    rig.edit(NOW - 3 * HOUR, |edit| edit.archive_card(SHOP, Content::Issue(id), true));
    assert_eq!(rig.sync().await.tasks[&rig.id(id)].present.project, "acme/shop");
    let after = rig.sync().await;
    assert_eq!((after.tasks.len(), after.requests), (0, quiet), "and is not asked for again");
    rig.edit(NOW - HOUR, |edit| edit.archive_card(SHOP, Content::Issue(id), false));
    assert_eq!(rig.sync().await.tasks[&rig.id(id)].present.project, "acme/1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_in_two_projects_is_one_task_of_the_first() {
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    let other = world.add_board("All", BoardKind::Kanban, shop);
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    let number = |board: BoardId| format!("acme/{}", board.0);
    let mut rig = Rig::start(world, dot_com(), |config| config.projects = vec![number(other), number(SHOP)]).await;
    let run = rig.sync().await;
    assert_eq!((run.tasks.len(), run.records.len()), (1, 1));
    assert_eq!(run.tasks[&rig.id(id)].present.project, number(other));
    assert_eq!(rig.sync().await.records.len(), 0);
    rig.edit(NOW - HOUR, |edit| edit.place_card(other, Content::Issue(id), false));
    // One absence says nothing; after the second it is the other project's.
    assert_eq!(rig.sync().await.records.len(), 0);
    let moved = rig.sync().await;
    assert_eq!(moved.tasks.values().map(|task| task.present.project.clone()).collect::<Vec<_>>(), [number(SHOP)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iterations_are_given_when_they_change_and_old_names_of_a_status_are_understood() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 20 * DAY);
    world.edit(NOW - 19 * DAY).transition(id, StatusId::IN_PROGRESS);
    let sprint = world.add_sprint(SHOP, "First", "", NOW - 20 * DAY);
    world.edit(NOW - 18 * DAY).start_sprint(sprint, NOW + DAY);
    world.edit(NOW - 18 * DAY).set_sprint(id, Some(sprint));
    let mut rig = Rig::shop(world).await;
    let first = rig.sync().await;
    let (native, facts) = first.sprints.iter().next().unwrap();
    assert_eq!((facts.name.as_str(), facts.state, facts.exact), ("First", SprintState::Active, false));
    assert_eq!(first.tasks[&rig.id(id)].present.sprints, std::slice::from_ref(native));
    assert!(rig.sync().await.sprints.is_empty(), "nothing new");
    rig.now = NOW + 2 * DAY;
    let later = rig.sync().await;
    assert_eq!(later.sprints[native].state, SprintState::Closed);
    rig.edit(NOW + DAY, |edit| edit.rename_status(StatusId::IN_PROGRESS, "Doing"));
    rig.edit(NOW + DAY, |edit| edit.rename(id, "Renamed"));
    let task = rig.sync().await.tasks.remove(&rig.id(id)).unwrap();
    leads_to_present(&task);
    let entered: Vec<_> = task
        .history
        .iter()
        .filter_map(|entry| match &entry.change {
            Change::Status { status, native } => Some((*status, native.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(entered.last(), Some(&(Status::InProgress, "Doing")), "the old name stands for the option: {entered:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_who_what_and_how() {
    let mut world = small();
    add(&mut world, "One", NOW - HOUR);
    let rig = Rig::start(world, dot_com(), |config| config.projects.push("acme/99".into())).await;
    let report = rig.connector.open(None, &Run { now: Millis(NOW), full: false }).await.unwrap().check().await.unwrap();
    assert_eq!((report.identity.as_str(), report.product.as_str()), (Github::LOGIN, "GitHub"));
    assert_eq!(report.scopes, ["read:org", "read:project", "repo"]);
    assert_eq!(report.projects, [("acme/1".to_owned(), "Shop".to_owned())]);
    let meanings: BTreeSet<_> = report.fields.iter().map(|(meaning, _, _)| meaning.as_str()).collect();
    assert!(meanings.is_superset(&["status", "estimate", "iteration"].into()), "{meanings:?}");
    assert!(report.statuses.iter().any(|(name, to, _)| name.starts_with("In Review") && to == "in_review"));
    assert!(report.problems.iter().any(|problem| problem.contains("acme/99")), "{:?}", report.problems);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_counts_the_tasks_that_there_are() {
    let hub = || GithubDemo::new(NOW, 6, 7).build();
    let repositories = || vec!["acme/web".to_owned(), "acme/api".to_owned()];
    for (projects, repositories) in
        [(vec!["acme/1".to_owned()], vec![]), (vec!["acme/1".to_owned()], repositories()), (vec![], repositories())]
    {
        let named = format!("{projects:?} {repositories:?}");
        let mut rig = Rig::start(hub(), dot_com(), |config| {
            config.projects = projects;
            set_repositories(config, &repositories);
        })
        .await;
        for restarted in [false, true] {
            let mut run = rig.sync().await;
            let held = rig.ids().await;
            assert!(run.failures.is_empty() && !held.is_empty(), "{named}: {:?}", run.failures);
            run.tasks.retain(|id, _| !held.contains(id));
            assert!(run.tasks.is_empty(), "{named}: what is held is listed");
            assert_eq!(run.total, Some(held.len() as u64), "{named}, restarted: {restarted}");
            rig.restart(CommentPrivacy::default());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_github_counts_and_is_no_task_is_not_counted_and_what_is_missing_is() {
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    let other = world.add_board("All", BoardKind::Kanban, shop);
    let [one, two, hidden] = ["One", "Two", "Hidden"].map(|title| add(&mut world, title, NOW - 9 * HOUR));
    let mut edit = world.edit(NOW - 8 * HOUR);
    let tidy = edit.open_pull(PullDraft::new(shop, "tidy", "Tidy"));
    edit.place_card(SHOP, Content::Pull(tidy), true);
    let mut rig = Rig::start(world, dot_com(), |config| {
        config.projects = [SHOP, other].map(|board| format!("acme/{}", board.0)).into()
    })
    .await;
    let first = rig.sync().await;
    assert_eq!((first.tasks.len(), first.total), (4, Some(4)), "what is in both projects is one task");
    let pull = first.tasks.values().find(|task| task.present.native_type == "Pull request").unwrap().native_id.clone();

    rig.edit(NOW - HOUR, |edit| {
        edit.archive_card(SHOP, Content::Issue(one), true);
        edit.archive_card(other, Content::Issue(one), true);
        edit.close_with(tidy, two);
    });
    let put_away = rig.sync().await;
    assert_eq!(put_away.total, Some(2), "neither what was put away while open nor an issue's own pull request");
    assert_eq!(put_away.gone, [pull, rig.id(one)].into(), "the pull request was a task until it closed one");
    assert_eq!(rig.ids().await, [rig.id(two), rig.id(hidden)].into());

    rig.edit(NOW, |edit| edit.hide(hidden, true));
    assert_eq!(rig.sync().await.total, Some(2), "that one of them cannot be read does not take it away");
    assert!(!rig.ids().await.contains(&rig.id(hidden)));
}

/// A node that the fake cannot serve.
fn ailing(id: String, part: Part, sign: Sign) -> Ailing {
    Ailing { id, part, sign }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_item_costs_itself_and_little_time_and_is_read_again() {
    for (part, sign) in [
        (Part::Timeline, Sign::Gateway),
        (Part::Timeline, Sign::GaveUp),
        (Part::Timeline, Sign::EmptyRow),
        (Part::Look, Sign::Gateway),
        (Part::Look, Sign::GaveUp),
        (Part::Look, Sign::EmptyRow),
        (Part::Look, Sign::OddRow),
    ] {
        let named = format!("{part:?} {sign:?}");
        let mut world = small();
        let ids: Vec<IssueId> = (1..=30).map(|n| add(&mut world, &n.to_string(), NOW - 9 * HOUR)).collect();
        let mut rig = Rig::shop(world).await;
        let bad = rig.id(ids[20]);
        rig.github.set_ailing(vec![ailing(bad.clone(), part, sign)]);
        let begin = std::time::Instant::now();
        let first = rig.sync().await;
        assert_eq!(first.tasks.len(), 29, "{named}: {:?}", first.failures);
        assert!(!first.tasks.contains_key(&bad), "{named}");
        assert_eq!(first.unreadable.keys().collect::<Vec<_>>(), [&bad], "{named}: {:?}", first.warnings);
        assert!(rig.ids().await.contains(&bad), "{named}: it is listed all the same");
        assert!(begin.elapsed().as_secs() < 10, "{named}: {:?}", begin.elapsed());
        assert!(first.requests < 40, "{named}: {} requests", first.requests);
        let again = rig.read_again(&[&bad]).await;
        assert_eq!((again.tasks.len(), again.unreadable.len()), (0, 1), "{named}: {:?}", again.unreadable);
        rig.github.set_ailing(vec![]);
        let healed = rig.read_again(&[&bad]).await;
        assert_eq!((healed.tasks.contains_key(&bad), healed.unreadable.len()), (true, 0), "{named}");
        assert!(rig.sync().await.unreadable.is_empty(), "{named}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_node_does_not_make_the_next_requests_small() {
    let mut world = small();
    let ids: Vec<IssueId> = (1..=120).map(|n| add(&mut world, &n.to_string(), NOW - 9 * HOUR)).collect();
    let mut calm = Rig::shop(world.clone()).await;
    let usual = calm.sync().await.requests;
    let mut rig = Rig::shop(world).await;
    let bad = rig.id(ids[60]);
    rig.github.set_ailing(vec![ailing(bad, Part::Look, Sign::GaveUp)]);
    let first = rig.sync().await;
    assert_eq!((first.tasks.len(), first.unreadable.len()), (119, 1));
    assert!(first.requests < usual + 40, "{} requests, usually {usual}", first.requests);
    ids.iter().for_each(|id| rig.edit(NOW, |edit| edit.rename(*id, "Again")));
    rig.github.set_ailing(vec![]);
    let next = rig.sync().await;
    assert!(next.tasks.len() == 120 && next.requests <= usual + 1, "{} requests", next.requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_that_cannot_be_served_cost_themselves() {
    for sign in [Sign::Gateway, Sign::GaveUp] {
        let mut world = small();
        let (good, bad) = (add(&mut world, "Good", NOW - HOUR), add(&mut world, "Bad", NOW - HOUR));
        world.edit(NOW - HOUR).comment(bad);
        let mut rig = Rig::shop(world).await;
        rig.github.set_ailing(vec![ailing(rig.id(bad), Part::Comments, sign)]);
        let outcome = rig.sync().await;
        assert_eq!(outcome.tasks.keys().cloned().collect::<BTreeSet<_>>(), [good, bad].map(|id| rig.id(id)).into());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_issue_of_a_repository_and_a_bad_pull_request_cost_themselves() {
    for sign in [Sign::Gateway, Sign::GaveUp, Sign::EmptyRow] {
        let mut world = small();
        let shop = world.find_project("SHOP").unwrap();
        let tools = world.add_project("TOOLS", "Tools", StatusId::TO_DO);
        let issues: Vec<IssueId> = (1..=9)
            .map(|n| world.edit(NOW - 9 * HOUR).add_issue(Draft::new(tools, TypeId::TASK, n.to_string())))
            .collect();
        let pulls: Vec<_> = (1..=9)
            .map(|n| world.edit(NOW - 8 * HOUR + n).open_pull(PullDraft::new(shop, format!("b-{n}"), format!("P{n}"))))
            .collect();
        let set = |config: &mut SourceConfig| set_repositories(config, &["acme/shop".into(), "acme/tools".into()]);
        let mut rig = Rig::start(world, dot_com(), set).await;
        let bad = rig.id(issues[4]);
        let pull = Github::pull_id(pulls[4]);
        rig.github
            .set_ailing(vec![ailing(bad.clone(), Part::Timeline, sign), ailing(pull.clone(), Part::Timeline, sign)]);
        let first = rig.sync().await;
        assert_eq!((first.tasks.len(), first.activities.len()), (8, 8), "{sign:?}: {:?}", first.warnings);
        let wanted: BTreeSet<&String> = [&bad, &pull].into();
        assert_eq!(first.unreadable.keys().collect::<BTreeSet<_>>(), wanted, "{sign:?}");
        assert_eq!(rig.read_again(&[&bad, &pull]).await.unreadable.len(), 2, "{sign:?}");
        rig.github.set_ailing(vec![]);
        let healed = rig.read_again(&[&bad, &pull]).await;
        assert_eq!((healed.tasks.len(), healed.activities.len(), healed.unreadable.len()), (1, 1, 0), "{sign:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exists_no_more_is_not_mentioned_when_it_is_read_again() {
    let mut world = small();
    let (kept, gone) = (add(&mut world, "Kept", NOW - HOUR), add(&mut world, "Gone", NOW - HOUR));
    let mut rig = Rig::start(world, dot_com(), |config| set_repositories(config, &["acme/shop".into()])).await;
    rig.sync().await;
    let ids = [kept, gone].map(|id| rig.id(id));
    rig.edit(NOW, |edit| edit.delete(gone));
    let again = rig.read_again(&[&ids[0], &ids[1], "I_kwDO0000z0000FFFF", "F1:nothing"]).await;
    assert_eq!((again.tasks.keys().collect::<Vec<_>>(), again.unreadable.len()), (vec![&ids[0]], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_no_bad_node() {
    let mut world = small();
    add(&mut world, "One", NOW - HOUR);
    let mut rig = Rig::shop(world).await;
    // The requests of the opening and of the listing go through, then nothing does.
    rig.github.faults().on(
        "POST */graphql",
        When::From(4),
        Fault::Status { code: 404, headers: vec![], body: String::new() },
    );
    let error = rig.run(&["items"]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    rig.github.faults().clear();
    rig.github.faults().on("POST */graphql", When::Range(3..=5), trouble::too_slow());
    let outcome = rig.sync().await;
    assert_eq!((outcome.tasks.len(), outcome.unreadable.len()), (1, 0), "{:?}", outcome.unreadable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missing_feature_costs_itself() {
    let lacks = |what: Without<'static>| Options { lacks: Some(what), ..dot_com() };
    let world = || {
        let mut world = small();
        let (parent, child) = (add(&mut world, "Parent", NOW - 9 * HOUR), add(&mut world, "Child", NOW - 9 * HOUR));
        world.edit(NOW - 8 * HOUR).set_parent(child, Some(parent));
        world.edit(NOW - 7 * HOUR).transition(child, StatusId::IN_PROGRESS);
        world.edit(NOW - 6 * HOUR).link(parent, child);
        (world, child)
    };
    let states = Without { arguments: &[("ProjectV2", "items", "archivedStates")], ..Without::default() };
    let dependencies = Without { fields: &[("Issue", "blockedBy")], ..Without::default() };
    let parents = Without { fields: &[("Issue", "parent")], ..Without::default() };
    for (what, word, has_parent, has_blocker) in [
        (states, "archived", true, true),
        (dependencies, "dependencies", true, false),
        (parents, "sub-issues", false, true),
    ] {
        let (world, child) = world();
        let mut rig = Rig::start(world, lacks(what), |_| {}).await;
        let first = rig.sync().await;
        assert!(first.warnings.iter().any(|warning| warning.contains(word)), "{word}: {:?}", first.warnings);
        let task = &first.tasks[&rig.id(child)];
        assert_eq!(task.present.parent.is_some(), has_parent, "{word}");
        assert_eq!(!task.blockers.is_empty(), has_blocker, "{word}");
        let started = task
            .history
            .iter()
            .find(|entry| matches!(&entry.change, Change::Status { status: Status::InProgress, .. }));
        assert_eq!(started.map(|entry| (entry.at.0, entry.observed)), Some((NOW - 7 * HOUR, false)), "{word}");
        let run = Run { now: Millis(NOW), full: false };
        let report = rig.connector.open(None, &run).await.unwrap().check().await.unwrap();
        assert!(report.warnings.iter().any(|warning| warning.contains(word)), "{word}: {:?}", report.warnings);
        let quiet = rig.sync().await;
        assert!(quiet.requests <= 3, "{word}: {} requests", quiet.requests);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_learns_something_is_read_again_within_a_day() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    world.edit(NOW - 8 * HOUR).transition(id, StatusId::IN_PROGRESS);
    let old = Options { clock: Clock::fixed(NOW), ..Options::enterprise() };
    let set = |config: &mut SourceConfig| set_repositories(config, &["acme/shop".into()]);
    let mut rig = Rig::start(world.clone(), old, set).await;
    let history =
        |outcome: &Outcome, id: &str| outcome.tasks[id].history.iter().filter(|entry| !entry.observed).count();
    let first = rig.sync().await;
    let key = rig.id(id);
    assert_eq!(history(&first, &key), 1, "its status has no history there");
    // The same server after an upgrade.
    let mut upgraded = Rig::start(world, dot_com(), set).await;
    (upgraded.source.state, upgraded.source.cursors) = (rig.source.state.clone(), rig.source.cursors.clone());
    assert!(upgraded.sync().await.tasks.is_empty(), "it is not asked on every run");
    upgraded.now = NOW + DAY;
    assert!(history(&upgraded.sync().await, &key) > 1, "nothing looks changed, and there is more to know");
    assert!(upgraded.sync().await.tasks.is_empty(), "that is said once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_archived_while_open_is_the_same_after_one_run_as_after_many() {
    let world = || {
        let mut world = small();
        let [open, done] = ["Open", "Done"].map(|title| add(&mut world, title, NOW - 9 * HOUR));
        world.edit(NOW - 8 * HOUR).transition(done, StatusId::DONE);
        (world, open, done)
    };
    let archive = |world: &mut World, open, done| {
        let mut edit = world.edit(NOW - HOUR);
        edit.archive_card(SHOP, Content::Issue(open), true);
        edit.archive_card(SHOP, Content::Issue(done), true);
    };
    let (mut late, open, done) = world();
    archive(&mut late, open, done);
    let mut once = Rig::shop(late).await;
    let first = once.sync().await;
    let (mut early, ..) = world();
    let mut often = Rig::shop(early.clone()).await;
    assert!(often.sync().await.gone.is_empty());
    archive(&mut often.github.world(), open, done);
    archive(&mut early, open, done);
    let last = often.sync().await;
    let id = once.id(open);
    assert_eq!((&first.gone, &last.gone), (&[id.clone()].into(), &[id.clone()].into()));
    assert_eq!(first.tasks[&id], last.tasks[&id]);
    assert!(first.tasks.contains_key(&once.id(done)), "what is finished is only put away");
    often.edit(NOW, |edit| edit.rename(open, "Later"));
    let after = often.sync().await;
    assert!(after.gone.is_empty() && !after.tasks.contains_key(&id), "it is gone once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iterations_made_anew_go_on_and_those_that_are_deleted_end() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 20 * DAY);
    let [first, second] = ["First", "Second"].map(|name| world.add_sprint(SHOP, name, "", NOW - 20 * DAY));
    world.edit(NOW - 8 * DAY).start_sprint(first, NOW + 6 * DAY);
    world.edit(NOW - 8 * DAY).set_sprint(id, Some(first));
    let _ = second;
    let mut rig = Rig::shop(world).await;
    let before = rig.sync().await;
    assert_eq!(before.sprints.len(), 2);
    rig.github.remake_iterations();
    rig.edit(NOW, |edit| edit.rename(id, "Renamed"));
    let after = rig.sync().await;
    assert!(after.sprints.keys().all(|id| before.sprints.contains_key(id)), "{:?}", after.sprints);
    assert_eq!(after.tasks[&rig.id(id)].present.sprints, before.tasks[&rig.id(id)].present.sprints);
    assert_eq!(after.open_sprints.as_ref().map(BTreeSet::len), Some(2));
    rig.github.world().sprints.pop();
    let last = rig.sync().await;
    let open = last.open_sprints.unwrap();
    assert_eq!(open.len(), 1);
    assert!(open.iter().all(|id| before.sprints[id].name == "First"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_longer_than_a_page_are_read_to_their_end() {
    let mut world = small();
    let id = add(&mut world, "Many", NOW - 9 * HOUR);
    let labels: Vec<String> = (0..230).map(|n| format!("area/{n:03}")).collect();
    let names: Vec<&str> = labels.iter().map(String::as_str).collect();
    world.edit(NOW - 8 * HOUR).set_labels(id, &names);
    let shop = world.find_project("SHOP").unwrap();
    let pull =
        world.edit(NOW - 8 * HOUR).open_pull(PullDraft { closes: vec![id], ..PullDraft::new(shop, "b", "Pull") });
    for n in 0..130 {
        world.edit(NOW - 7 * HOUR + n).push(pull, format!("commit {n}"));
    }
    let blockers: Vec<IssueId> = (0..120).map(|n| add(&mut world, &n.to_string(), NOW - 9 * HOUR)).collect();
    blockers.iter().for_each(|blocker| world.edit(NOW - 6 * HOUR).link(*blocker, id));
    let mut rig = Rig::start(world, dot_com(), |config| set_repositories(config, &["acme/shop".into()])).await;
    let outcome = rig.sync().await;
    let task = &outcome.tasks[&rig.id(id)];
    assert_eq!((task.present.labels.len(), task.blockers.len()), (230, 120));
    leads_to_present(task);
    let commits: BTreeSet<_> =
        outcome.activities.iter().filter(|one| one.artifact.kind == "commit").map(|one| &one.native_id).collect();
    assert_eq!(commits.len(), 130);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_refused_is_read_once_permission_returns() {
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    let commit = world.edit(NOW - 9 * HOUR).commit(shop, "SHOP-1: go");
    let deployment = world.edit(NOW - 8 * HOUR).deploy(commit, "production");
    world.edit(NOW - 7 * HOUR).deployed(deployment, true);
    let without = Token::fine_grained(Github::TOKEN).without("deployments");
    let options = Options { tokens: vec![without], ..dot_com() };
    let mut rig = Rig::start(world, options, |config| set_repositories(config, &["acme/shop".into()])).await;
    let first = rig.sync().await;
    let deployed = |outcome: &Outcome| outcome.activities.iter().any(|activity| activity.artifact.kind == "deployment");
    assert!(!deployed(&first) && first.warnings.iter().any(|warning| warning.contains("deployments")));
    let second = rig.sync().await;
    assert!(!deployed(&second) && second.warnings.is_empty(), "said once: {:?}", second.warnings);
    rig.github.set_tokens(vec![Token::fine_grained(Github::TOKEN)]);
    assert!(deployed(&rig.sync().await), "though nothing happened in the repository since");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reviews_that_were_given_are_activities() {
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    let pull =
        world.edit(NOW - 8 * HOUR).open_pull(PullDraft { closes: vec![id], ..PullDraft::new(shop, "b", "Pull") });
    let verdicts = [Verdict::Commented, Verdict::ChangesRequested, Verdict::Approved];
    for (n, verdict) in verdicts.into_iter().enumerate() {
        world.edit(NOW - 7 * HOUR + n as i64 * HOUR).by(UserId(2)).review(pull, verdict);
    }
    let mut rig = Rig::start(world, dot_com(), |config| set_repositories(config, &["acme/shop".into()])).await;
    let outcome = rig.sync().await;
    let given: Vec<_> = outcome
        .activities
        .iter()
        .filter(|activity| activity.artifact.kind == "review")
        .map(|activity| (activity.at.0, activity.artifact.summary.as_str()))
        .collect();
    assert_eq!(
        given,
        [(NOW - 7 * HOUR, "commented"), (NOW - 6 * HOUR, "changes requested"), (NOW - 5 * HOUR, "approved")]
    );
    assert!(outcome.activities.iter().all(|activity| activity.tasks == [rig.id(id)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_date_ahead_of_the_clock_hides_nothing() {
    let mut world = small();
    let tools = world.add_project("TOOLS", "Tools", StatusId::TO_DO);
    let early = world.edit(NOW + 300 * DAY).add_issue(Draft::new(tools, TypeId::TASK, "From the future"));
    let mut rig = Rig::start(world, dot_com(), |config| set_repositories(config, &["acme/tools".into()])).await;
    assert!(rig.sync().await.tasks.contains_key(&rig.id(early)));
    rig.now = NOW + HOUR;
    let mut later = None;
    rig.edit(NOW + HOUR - 60_000, |edit| later = Some(edit.add_issue(Draft::new(tools, TypeId::TASK, "Today"))));
    assert!(rig.sync().await.tasks.contains_key(&rig.id(later.unwrap())));
}
