//! The GitHub connector against the fake, over real sockets: compared with the requests that the fake received and charged, and
//! with the truth of its world. [`Source`] does what the engine does between two polls, as plainly as possible.

#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

#[path = "../common/comments.rs"]
mod comments;
#[path = "../common/source.rs"]
mod source;

mod changes;
mod server;
mod unserved;

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
            let held = outcome.records.iter().any(|record| record.json().unwrap().contains(text));
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
