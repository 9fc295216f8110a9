//! The Linear connector against the fake, over real sockets and with queries executed against the vendor's schema: compared with
//! the requests that the fake received and charged, and with the truth of its world. [`Source`] does what the engine does between
//! two polls, as plainly as possible.

#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

#[path = "common/comments.rs"]
mod comments;
#[path = "common/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use comments::assert_comments;
use contextcore_core::config::CommentPrivacy;
use contextcore_core::ingest::connector::Run;
use contextcore_core::model::diff;
use contextcore_core::model::observation::TaskObservation;
use contextcore_core::model::time::{DAY, HOUR, MINUTE};
use contextcore_core::model::timeline;
use contextcore_core::model::{Change, SprintState, Status, StoredEvent, TaskType};
use contextcore_core::{ErrorKind, Millis, Result, Retry};
use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::linear::{Credential, Linear, LinearHandle, Options};
use contextcore_fakes::world::{Draft, Edit, IssueId, ProjectId, SprintId, StatusId, TypeId, Visibility, World};
use source::{NOW, Outcome, Source, config, rig_of_source};

/// A source and what the engine would keep of it.
struct Rig {
    linear: LinearHandle,
    source: Source,
    clock: Arc<AtomicI64>,
    _token: tempfile::TempDir,
}

rig_of_source!(Rig);

impl Rig {
    async fn start(world: World, options: Options, teams: &[&str]) -> Self {
        Self::with_secret(world, options, Linear::KEY, teams).await
    }

    async fn with_secret(world: World, options: Options, secret: &str, teams: &[&str]) -> Self {
        let clock = Arc::new(AtomicI64::new(NOW));
        let ticking = clock.clone();
        let options = Options { clock: Clock::of(move || ticking.load(Ordering::Relaxed)), ..options };
        let token = tempfile::tempdir().unwrap();
        let linear = Linear::start(world, options).await.unwrap();
        let source = Source::new(config("linear", linear.url(), &token, secret, teams));
        Self { linear, source, clock, _token: token }
    }

    async fn demo() -> Self {
        Self::start(World::demo(NOW, 3, 7), Options::default(), &[]).await
    }

    /// A new process with other rules for comments.
    fn with_comments(mut self, comments: CommentPrivacy) -> Self {
        self.restart(comments);
        self
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn pass(&self, time: i64) {
        self.clock.fetch_add(time, Ordering::Relaxed);
    }

    /// One run over these streams, every page stored.
    async fn run(&mut self, streams: &[&'static str]) -> Result<Outcome> {
        let now = self.now();
        self.source.run(now, streams).await
    }

    /// A run over the issues that stores every page it got, as the engine does. Whether it reached its end.
    async fn sync_into(&mut self, tasks: &mut BTreeMap<String, TaskObservation>) -> bool {
        let run = Run { now: Millis(self.now()), full: false };
        if self.open(&run).await.is_err() {
            return false;
        }
        let mut outcome = Outcome::default();
        let done = self.drain("issues", &mut outcome).await;
        tasks.extend(outcome.tasks);
        done.is_ok()
    }

    /// A run like the engine's, without the complete pass.
    async fn sync(&mut self) -> Outcome {
        self.run(&["plan", "issues"]).await.unwrap()
    }

    /// Reads these again by their ids, in a run of its own.
    async fn read_again(&mut self, ids: &[&str]) -> Outcome {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let now = self.clock.load(Ordering::Relaxed);
        self.source.read_again(now, &ids).await.unwrap()
    }

    fn edit(&self, at: i64, change: impl FnOnce(&mut Edit<'_>)) {
        change(&mut self.linear.world().edit(at));
    }

    fn add(&self, at: i64, draft: Draft) -> IssueId {
        self.linear.world().edit(at).add_issue(draft)
    }

    fn find(&self, key: &str) -> IssueId {
        self.linear.world().find(key).unwrap()
    }
}

fn task(outcome: &Outcome, id: IssueId) -> &TaskObservation {
    &outcome.tasks[&Linear::id(id)]
}

fn kept(task: &TaskObservation) -> Vec<StoredEvent> {
    task.history.iter().map(|entry| StoredEvent { event: entry.clone(), seq: 1 }).collect()
}

/// Holds every task against what is true of the world. Of projects and initiatives Linear has no history.
fn assert_true(world: &World, tasks: &BTreeMap<String, TaskObservation>, at: i64) {
    let truth = world.truth(at);
    let mut checked = 0;
    for issue in truth.issues() {
        let id = issue.id;
        let key = world.key_of(id);
        let task = tasks.get(&Linear::id(id)).unwrap_or_else(|| panic!("{key} is missing"));
        let timeline = kept(task);
        let summary = timeline::summary(&timeline, Millis(at)).unwrap();
        let fields = truth.fields(id);
        let parent = task.present.parent.as_ref().map(|parent| parent.native_id.clone());
        assert_eq!(parent, fields.parent.map(|id| Linear::id(id).into()), "{key}");
        checked += 1;
        if world.issue_type(issue.fields.kind).level > 0 {
            assert_eq!(task.present.task_type, TaskType::Epic, "{key}");
            continue;
        }
        assert_eq!(task.present.key, key);
        assert_eq!(summary.status.as_str(), truth.status(id).as_str(), "{key}");
        assert_eq!(summary.started, truth.started(id).map(Millis), "started {key}");
        assert_eq!(summary.completed, truth.completed(id).map(Millis), "completed {key}");
        assert_eq!(summary.cancelled, truth.cancelled(id).map(Millis), "cancelled {key}");
        let last = Arc::unwrap_or_clone(timeline::last(&timeline).unwrap().facts);
        assert_eq!(diff::changes(&last, &task.present), [], "{key}");
        assert_eq!(last.estimate, fields.points.map(f64::from), "points of {key}");
        let cycle: Vec<String> = fields.sprints.last().map(|sprint| Linear::cycle_id(*sprint)).into_iter().collect();
        assert_eq!(last.sprints, cycle, "cycle of {key}");
        let waits: BTreeSet<String> = truth.waiting_on(id).into_iter().map(Linear::id).collect();
        let open = task.blockers.iter().filter(|blocker| !blocker.finished);
        assert_eq!(open.filter_map(|blocker| blocker.native_id.clone()).collect::<BTreeSet<_>>(), waits, "{key}");
        assert_comments(task, &issue.comments, CommentPrivacy::Count, 1);
        let first = issue.initial();
        let Change::Created(created) = &task.history[0].change else {
            panic!("{key} begins with {:?}", task.history[0])
        };
        assert_eq!(created.title, first.title, "first title of {key}");
        assert_eq!(created.estimate, first.points.map(f64::from), "first points of {key}");
        assert_eq!(task.history[0].at, Millis(issue.created), "{key}");
    }
    assert!(checked > 50, "only {checked} issues");
}

#[tokio::test]
async fn everything_is_read_and_agrees_with_the_world() {
    let mut rig = Rig::demo().await;
    let outcome = rig.sync().await;
    assert!(
        outcome.failures.is_empty() && outcome.warnings.is_empty(),
        "{:?} {:?}",
        outcome.failures,
        outcome.warnings
    );
    assert_true(&rig.linear.world(), &outcome.tasks, NOW);
    let world = rig.linear.world();
    assert_eq!(outcome.sprints.len(), world.sprints.len());
    for sprint in &world.sprints {
        let facts = &outcome.sprints[&Linear::cycle_id(sprint.id)];
        assert_eq!(format!("{:?}", facts.state), format!("{:?}", sprint.state), "{}", sprint.name);
        assert_eq!((facts.name.as_str(), facts.completed), (sprint.name.as_str(), sprint.completed.map(Millis)));
        assert!(facts.exact && (facts.state == SprintState::Future || facts.start == sprint.start.map(Millis)));
    }
}

#[tokio::test]
async fn comments_are_given_as_far_as_privacy_allows_and_long_lists_to_their_end() {
    for comments in [CommentPrivacy::Omit, CommentPrivacy::Count, CommentPrivacy::Plain] {
        let mut rig = Rig::demo().await.with_comments(comments);
        let many = rig.find("PLAT-4");
        (0..130).for_each(|n| rig.linear.world().edit(NOW - 1_000 + n).comment(many));
        let outcome = rig.sync().await;
        assert!(outcome.failures.is_empty() && outcome.warnings.is_empty(), "{:?}", outcome.warnings);
        let world = rig.linear.world();
        let tasks = world.truth(NOW).issues().filter(|issue| world.issue_type(issue.fields.kind).level <= 0);
        for issue in tasks {
            assert_comments(task(&outcome, issue.id), &issue.comments, comments, 1);
        }
        let text = world.issue(many).comments[0].text;
        let held = outcome.records.iter().any(|record| record.json().unwrap().contains(text));
        assert_eq!(held, comments == CommentPrivacy::Plain);
    }
}

#[tokio::test]
async fn a_new_comment_is_given_with_the_next_poll() {
    let mut rig = Rig::demo().await;
    rig.sync().await;
    let id = rig.find("PLAT-4");
    rig.pass(5 * MINUTE);
    rig.linear.world().edit(rig.now()).comment(id);
    rig.pass(MINUTE);
    let outcome = rig.sync().await;
    assert_comments(task(&outcome, id), &rig.linear.world().issue(id).comments, CommentPrivacy::Count, 1);
}

#[tokio::test]
async fn a_poll_without_changes_is_three_requests_and_gives_nothing() {
    let mut rig = Rig::demo().await;
    rig.sync().await;
    for _ in 0..3 {
        rig.pass(5 * MINUTE);
        rig.linear.take_requests();
        let before = rig.linear.charged();
        let outcome = rig.sync().await;
        assert!(outcome.tasks.is_empty(), "{:?}", outcome.tasks.keys());
        let requests = rig.linear.take_requests().len();
        let charged = rig.linear.charged() - before;
        assert!(requests <= 3 && charged < 1_500.0, "{requests} requests, {charged} points");
    }
}

#[tokio::test]
async fn a_thousand_issues_with_their_histories_stay_within_the_budget() {
    for (each, heavy_every, heavy, comments) in [(20, 0, 0, 0), (20, 50, 150, 0), (6, 0, 0, 0), (20, 0, 0, 4)] {
        let mut world = World::history(NOW, 1_000, each, heavy_every, heavy, 11);
        let ids: Vec<IssueId> = world.issues().map(|issue| issue.id).collect();
        // From none to twice as many as on average.
        for (id, count) in ids.into_iter().zip((0..=2 * comments).cycle()) {
            (0..count).for_each(|n| world.edit(NOW - 1_000 + n).comment(id));
        }
        let mut rig = Rig::start(world, Options::default(), &[]).await;
        let outcome = rig.sync().await;
        let (requests, charged) = (rig.linear.requests().len(), rig.linear.charged());
        println!(
            "{each} acts, {comments} comments each, {heavy} on every {heavy_every}th: {requests} requests, {charged:.0} points"
        );
        assert_true(&rig.linear.world(), &outcome.tasks, NOW);
        assert!(requests <= 45, "{requests} requests");
        assert!(charged <= 250_000.0, "{charged} points");
    }
}

#[tokio::test]
async fn only_what_changed_is_given_again() {
    let mut rig = Rig::demo().await;
    rig.sync().await;
    let id = rig.find("PLAT-4");
    rig.edit(NOW + MINUTE, |edit| edit.rename(id, "Renamed"));
    rig.pass(5 * MINUTE);
    let outcome = rig.sync().await;
    let parent = rig.linear.world().issue(id).fields.parent;
    let given: BTreeSet<String> = outcome.tasks.keys().cloned().collect();
    assert!(given.contains(&Linear::id(id)) && given.len() <= 1 + usize::from(parent.is_some()), "{given:?}");
    assert_eq!(task(&outcome, id).present.title, "Renamed");
}

#[tokio::test]
async fn what_changes_while_we_page_is_in_the_next_sweep() {
    let world = World::history(NOW, 700, 3, 0, 0, 1);
    let mut rig = Rig::start(world, Options::default(), &[]).await;
    // Somebody renames sixty issues of the last page just after the first was read.
    rig.linear.after("POST /graphql", When::Range(2..=2), |world| {
        let ids: Vec<IssueId> = world.issues().map(|issue| issue.id).take(60).collect();
        let mut edit = world.edit(NOW + 1);
        ids.into_iter().for_each(|id| edit.rename(id, "Renamed"));
    });
    let mut outcome = rig.run(&["issues"]).await.unwrap();
    rig.pass(5 * MINUTE);
    outcome.tasks.extend(rig.run(&["issues"]).await.unwrap().tasks);
    assert_eq!(outcome.tasks.len(), 700);
    assert_eq!(outcome.tasks.values().filter(|task| task.present.title == "Renamed").count(), 60);
}

#[tokio::test]
async fn ties_at_the_watermark_are_neither_lost_nor_repeated() {
    let mut world = World::empty();
    let team = world.add_project("ENG", "Engineering", StatusId::TO_DO);
    for n in 0..3 {
        world.edit(NOW - 1_000).add_issue(Draft::new(team, TypeId::TASK, format!("Early {n}")));
    }
    let mut rig = Rig::start(world, Options::default(), &[]).await;
    assert_eq!(rig.sync().await.tasks.len(), 3);
    rig.add(NOW - 1_000, Draft::new(team, TypeId::TASK, "In the same moment"));
    rig.pass(MINUTE);
    let late = rig.sync().await;
    let titles: Vec<_> = late.tasks.values().map(|task| task.present.title.as_str()).collect();
    assert_eq!(titles, ["In the same moment"]);
    rig.pass(MINUTE);
    assert!(rig.sync().await.tasks.is_empty());
}

#[tokio::test]
async fn the_right_header_for_each_kind_of_credential() {
    let token = || vec![Credential::Token("lin_oauth_sample".to_owned())];
    let options = Options { credentials: token(), ..Options::default() };
    let mut rig = Rig::with_secret(World::demo(NOW, 2, 7), options, "lin_oauth_sample", &[]).await;
    assert!(!rig.sync().await.tasks.is_empty());
    let mut rig = Rig::demo().await;
    rig.linear.set_credentials(token());
    let error = rig.run(&["plan"]).await.err().unwrap();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Auth, Retry::Never), "{error}");
    assert!(!error.full().contains(Linear::KEY), "{error}");
}

#[tokio::test]
async fn a_token_that_is_revoked_moves_nothing() {
    let mut rig = Rig::demo().await;
    rig.run(&["plan"]).await.unwrap();
    rig.linear.set_credentials(Vec::new());
    assert_eq!(rig.run(&["issues"]).await.err().unwrap().kind(), ErrorKind::Auth);
    rig.linear.set_credentials(vec![Credential::Key(Linear::KEY.to_owned())]);
    let outcome = rig.sync().await;
    let epics = rig.linear.world().issues().filter(|issue| issue.fields.kind == TypeId::EPIC).count();
    assert!(outcome.tasks.len() + epics >= rig.linear.world().issues().count() - 1, "{}", outcome.tasks.len());
}

#[tokio::test]
async fn a_spent_quota_is_waited_for_or_reported_with_its_length() {
    let mut rig = Rig::demo().await;
    rig.linear.faults().on("POST /graphql", When::Nth(2), Linear::rate_limited(NOW + 150));
    let outcome = rig.sync().await;
    assert!(outcome.failures.is_empty() && rig.connector.stats().retries == 1);
    let mut rig = Rig::demo().await;
    rig.linear.faults().on("POST /graphql", When::From(2), Linear::rate_limited(NOW + HOUR));
    let error = rig.run(&["plan"]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(
        matches!(error.retry(), Retry::After(wait) if wait.as_secs() == 900),
        "an hour is asked after each quarter: {error}"
    );
}

#[tokio::test]
async fn an_hourly_quota_too_small_for_everything_holds_us_back_before_it_is_spent() {
    // Short histories, so that what is lacking in the end is much more than five minutes bring.
    let world = World::history(NOW, 300, 2, 0, 0, 1);
    let mut rig = Rig::start(world, Options { points: 20_000.0, ..Options::default() }, &[]).await;
    let mut tasks = BTreeMap::new();
    let mut hours = 0;
    while !rig.sync_into(&mut tasks).await {
        assert!(rig.linear.requests().iter().all(|request| request.status == 200), "nothing was ever refused");
        rig.pass(HOUR);
        hours += 1;
        assert!(hours < 10, "{} issues in {hours} hours", tasks.len());
    }
    assert!(tasks.len() == 300 && hours > 0, "{} issues in {hours} hours", tasks.len());
}

#[tokio::test]
async fn a_query_too_complex_is_halved_at_once_and_for_ever() {
    let world = World::history(NOW, 200, 20, 0, 0, 1);
    let mut rig = Rig::start(world, Options { most: 5_200.0, ..Options::default() }, &[]).await;
    let outcome = rig.run(&["issues"]).await.unwrap();
    assert_eq!(outcome.tasks.len(), 200);
    let refused = rig.linear.requests().iter().filter(|request| request.status == 400).count();
    assert_eq!(refused, 1, "asked for too much once and never again");
    assert!(rig.connector.stats().waits == 0, "halving needs no wait");
}

#[tokio::test]
async fn trouble_on_the_other_side_is_outlived() {
    for fault in [
        Fault::unavailable(None),
        Fault::Reset,
        Fault::Truncate { bytes: 400, chunked: false },
        Fault::Truncate { bytes: 400, chunked: true },
        Fault::status(400, r#"{"errors":[{"message":"x","extensions":{"type":"lock timeout"}}]}"#),
        Fault::status(200, r#"{"data":null,"errors":[{"message":"x","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}"#),
    ] {
        let shown = format!("{fault:?}");
        let mut rig = Rig::demo().await;
        rig.linear.faults().on("POST /graphql", When::Nth(4), fault);
        let outcome = rig.sync().await;
        assert_true(&rig.linear.world(), &outcome.tasks, NOW);
        assert_eq!(rig.linear.faults().fired(), 1, "{shown}");
    }
}

#[tokio::test]
async fn a_login_page_is_not_an_answer() {
    let mut rig = Rig::demo().await;
    rig.linear.faults().on("POST /graphql", When::Nth(2), Fault::NotJson);
    assert_eq!(rig.run(&["plan"]).await.err().unwrap().kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn a_schema_that_changed_stops_the_stream_and_says_so() {
    let mut rig = Rig::demo().await;
    let gone =
        r#"{"errors":[{"message":"Cannot query field \"x\"","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}"#;
    rig.linear.faults().on("POST /graphql", When::From(2), Fault::status(400, gone));
    let error = rig.run(&["plan"]).await.err().unwrap();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Rejected, Retry::Never));
    assert!(error.to_string().contains("schema"), "{error}");
}

#[tokio::test]
async fn of_a_partial_answer_only_whole_issues_are_given_and_the_rest_is_read_again() {
    let mut rig = Rig::demo().await;
    let id = rig.find("PLAT-4");
    for field in ["assignee", "history"] {
        rig.linear.spoil(Some((id, field)));
        rig.cursors.clear();
        // A field that may not be null takes everything around it along: then there is no data at all.
        let outcome = rig.run(&["issues"]).await.unwrap();
        assert_eq!(outcome.unreadable.keys().collect::<Vec<_>>(), [&Linear::id(id)], "{field}");
        assert!(!outcome.tasks.contains_key(&Linear::id(id)) && outcome.tasks.len() > 50, "{field}");
        rig.linear.spoil(None);
        rig.run(&["issues"]).await.unwrap();
        let again = rig.read_again(&[&Linear::id(id)]).await;
        assert!(again.tasks.contains_key(&Linear::id(id)), "{field}: {:?}", again.tasks.keys());
    }
}

#[tokio::test]
async fn teams_are_chosen_by_key_in_any_case() {
    let mut rig = Rig::start(World::demo(NOW, 3, 7), Options::default(), &["plat", "NOPE"]).await;
    let outcome = rig.run(&["plan", "issues", "ids"]).await.unwrap();
    assert!(outcome.tasks.values().all(|task| task.present.project == "PLAT"));
    assert!(outcome.sprints.values().all(|sprint| sprint.project.as_deref() == Some("PLAT")));
    assert!(outcome.warnings.iter().any(|warning| warning.starts_with("team NOPE ")), "{:?}", outcome.warnings);
    let there = {
        let world = rig.linear.world();
        world.issues().filter(|issue| world.project(issue.project()).key == "PLAT").count()
    };
    assert_eq!((outcome.tasks.len(), outcome.seen.len()), (there, there));
    let mut none = Rig::start(World::demo(NOW, 2, 7), Options::default(), &["NOPE"]).await;
    for stream in ["issues", "ids"] {
        assert_eq!(none.run(&[stream]).await.err().unwrap().kind(), ErrorKind::Rejected, "{stream}");
    }
}

#[tokio::test]
async fn the_complete_pass_lists_everything_and_reads_what_is_open_again() {
    let mut rig = Rig::demo().await;
    rig.sync().await;
    rig.pass(DAY);
    let outcome = rig.run(&["plan", "issues", "ids"]).await.unwrap();
    let world = rig.linear.world();
    let all: BTreeSet<String> = world.issues().map(|issue| Linear::id(issue.id)).collect();
    assert_eq!(all.difference(&outcome.seen).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(outcome.seen.len() <= all.len() + 1, "beside them only what is in the bin");
    let truth = world.truth(rig.now());
    for issue in truth.issues().filter(|issue| !truth.status(issue.id).is_finished()) {
        assert!(outcome.tasks.contains_key(&Linear::id(issue.id)), "{}", world.key_of(issue.id));
    }
}

#[tokio::test]
async fn what_is_trashed_is_deleted_at_that_moment_and_what_is_archived_is_not() {
    let mut rig = Rig::demo().await;
    let first = rig.sync().await;
    let binned = |task: &&TaskObservation| task.history.iter().any(|entry| entry.change == Change::Deleted);
    for task in first.tasks.values().filter(binned) {
        let key = &task.present.key;
        assert!(rig.linear.world().find(key).is_none(), "{key} is archived, and no more");
    }
    let id = rig.find("PLAT-4");
    rig.edit(NOW + MINUTE, |edit| edit.delete(id));
    rig.pass(5 * MINUTE);
    let outcome = rig.sync().await;
    let last = task(&outcome, id).history.last().unwrap();
    assert_eq!((&last.change, last.at), (&Change::Deleted, Millis(NOW + MINUTE)));
    rig.pass(40 * DAY);
    let outcome = rig.run(&["plan", "issues", "ids"]).await.unwrap();
    assert!(!outcome.seen.contains(&Linear::id(id)), "the bin was emptied");
}

#[tokio::test]
async fn a_lost_team_is_absent_and_says_nothing_else() {
    let mut rig = Rig::demo().await;
    rig.sync().await;
    rig.linear.world().projects[0].visibility = Visibility::Hidden;
    rig.pass(DAY);
    let outcome = rig.run(&["plan", "issues", "ids"]).await.unwrap();
    let world = rig.linear.world();
    let lost = world.projects[0].key.clone();
    assert!(outcome.tasks.values().all(|task| task.present.project != lost), "nothing of it is given, deleted or else");
    assert!(!outcome.seen.is_empty());
}

#[tokio::test]
async fn a_hidden_team_is_reported_at_once_and_read_whole_when_it_is_visible_again() {
    let mut world = World::empty();
    let team = world.add_project("ENG", "Engineering", StatusId::TO_DO);
    let other = world.add_project("OPS", "Operations", StatusId::TO_DO);
    let mut edit = world.edit(NOW - DAY);
    let [hidden, open] = [team, other].map(|team| edit.add_issue(Draft::new(team, TypeId::TASK, "Something")));
    let mut rig = Rig::start(world, Options::default(), &["ENG", "OPS"]).await;
    let first = rig.sync().await;
    assert!(first.tasks.len() == 2 && first.lost.is_empty());
    let show = |rig: &Rig, visibility| rig.linear.world().projects[usize::from(team.0)].visibility = visibility;
    show(&rig, Visibility::Hidden);
    rig.edit(NOW + MINUTE, |edit| edit.transition(hidden, StatusId::DONE));
    rig.edit(NOW + 8 * MINUTE, |edit| edit.rename(open, "Something else"));
    rig.pass(10 * MINUTE);
    let without = rig.sync().await;
    assert_eq!((without.tasks.len(), without.lost), (1, vec!["ENG".to_owned()]));
    show(&rig, Visibility::Open);
    rig.pass(MINUTE);
    let back = rig.sync().await;
    assert_eq!(task(&back, hidden).present.status, Status::Done, "what was done while it was hidden is read");
    assert!(rig.session().lost().is_empty());
}

#[tokio::test]
async fn moves_links_and_parts_reach_the_other_issue_too() {
    let mut world = World::empty();
    let team = world.add_project("ENG", "Engineering", StatusId::TO_DO);
    let other = world.add_project("OPS", "Operations", StatusId::TO_DO);
    let mut edit = world.edit(NOW - DAY);
    let add = |edit: &mut Edit<'_>, team: ProjectId| edit.add_issue(Draft::new(team, TypeId::TASK, "Something"));
    let (one, two, three) = (add(&mut edit, team), add(&mut edit, team), add(&mut edit, team));
    let mut rig = Rig::start(world, Options::default(), &[]).await;
    assert_eq!(rig.sync().await.tasks.len(), 3);
    rig.edit(NOW + 1, |edit| edit.link(one, two));
    rig.edit(NOW + 2, |edit| edit.move_project(three, other));
    rig.pass(5 * MINUTE);
    let outcome = rig.sync().await;
    let blockers: Vec<_> = task(&outcome, two).blockers.iter().map(|other| other.key.as_str()).collect();
    assert_eq!(blockers, ["ENG-1"]);
    let linked = task(&outcome, two)
        .history
        .iter()
        .any(|entry| matches!(&entry.change, Change::Linked { blocker: Some(key), added: true, .. } if key == "ENG-1"));
    assert!(linked, "{:?}", task(&outcome, two).history);
    assert_eq!((task(&outcome, three).present.key.as_str(), task(&outcome, three).history.len()), ("OPS-1", 2));
    // A part makes a story of a task that was not touched itself.
    let part = Draft { parent: Some(one), ..Draft::new(team, TypeId::SUBTASK, "A part") };
    rig.add(NOW + 6 * MINUTE, part);
    rig.pass(5 * MINUTE);
    let outcome = rig.sync().await;
    assert_eq!(task(&outcome, one).present.task_type, TaskType::Story);
    assert_eq!(outcome.tasks.len(), 2);
}

#[tokio::test]
async fn new_labels_people_and_cycles_are_known_by_their_names_at_once() {
    let mut rig = Rig::demo().await;
    rig.sync().await;
    let id = rig.find("PLAT-4");
    rig.edit(NOW + MINUTE, |edit| edit.set_labels(id, &["brand-new", "milestone:Beta"]));
    rig.pass(5 * MINUTE);
    let outcome = rig.sync().await;
    let labels = &task(&outcome, id).present.labels;
    assert!(labels.contains(&"brand-new".into()) && labels.contains(&"milestone:Beta".into()), "{labels:?}");
}

#[tokio::test]
async fn a_full_run_learns_what_states_and_labels_are_called_now() {
    let mut rig = Rig::demo().await;
    rig.sync().await;
    let fetched = |state: &serde_json::Value| state["fetched_at"].as_str().unwrap().to_owned();
    let before = fetched(rig.state.as_ref().unwrap());
    rig.pass(MINUTE);
    let run = |full| Run { now: Millis(NOW + MINUTE), full };
    let plain = rig.connector.open(rig.state.clone(), &run(false)).await.unwrap().state().unwrap();
    assert_eq!(fetched(&plain), before);
    let full = rig.connector.open(rig.state.clone(), &run(true)).await.unwrap().state().unwrap();
    assert_eq!(fetched(&full), Millis(NOW + MINUTE).to_string());
}

#[tokio::test]
async fn cycles_roll_over_and_start_without_being_changed() {
    let mut rig = Rig::demo().await;
    rig.sync().await;
    let (active, next) = {
        let world = rig.linear.world();
        let active = world.sprints.iter().find(|sprint| format!("{:?}", sprint.state) == "Active").unwrap();
        let next = world.sprints.iter().find(|other| other.board == active.board && other.id > active.id).unwrap();
        (active.id, next.id)
    };
    rig.edit(NOW + MINUTE, |edit| edit.close_sprint(active, Some(next)));
    rig.edit(NOW + 2 * MINUTE, |edit| edit.start_sprint(next, NOW + 14 * DAY));
    rig.pass(5 * MINUTE);
    let outcome = rig.sync().await;
    let state = |id: SprintId| outcome.sprints[&Linear::cycle_id(id)].state;
    assert_eq!((state(active), state(next)), (SprintState::Closed, SprintState::Active));
    let rolled = outcome.tasks.values().flat_map(|task| &task.history).filter(|entry| {
        entry.change == Change::Sprints(vec![Linear::cycle_id(next).into()]) && entry.actor.as_deref() == Some("Linear")
    });
    assert!(rolled.count() > 0);
}

#[tokio::test]
async fn a_sub_teams_copy_of_a_cycle_is_its_original() {
    let options = || Options { sub_team: Some("OPS"), ..Options::default() };
    let mut rig = Rig::start(World::demo(NOW, 3, 7), options(), &[]).await;
    let outcome = rig.sync().await;
    let world_of = |rig: &Rig| rig.linear.world().sprints.len();
    assert_eq!(outcome.sprints.len(), world_of(&rig));
    assert!(outcome.sprints.values().all(|sprint| sprint.project.as_deref() != Some("OPS")));
    // Where only the sub-team is read, its copies stand for the originals, under their ids.
    let mut rig = Rig::start(World::demo(NOW, 3, 7), options(), &["OPS"]).await;
    let outcome = rig.sync().await;
    assert_eq!(outcome.sprints.len(), world_of(&rig));
    assert!(outcome.sprints.values().all(|sprint| sprint.project.as_deref() == Some("OPS")));
    assert!(outcome.sprints.contains_key(&Linear::cycle_id(SprintId(1))));
}

#[tokio::test]
async fn delegates_are_agents_of_the_moment_at_which_they_were_seen_or_of_the_end() {
    let mut rig = Rig::demo().await;
    rig.sync().await;
    let project = rig.linear.world().issues().next().unwrap().project();
    let [open, done] =
        ["Pay by card", "Pay by bill"].map(|title| rig.add(NOW + HOUR, Draft::new(project, TypeId::STORY, title)));
    let mut agent = None;
    rig.edit(NOW + 2 * HOUR, |edit| agent = Some(edit.add_bot("Cursor")));
    rig.edit(NOW + 3 * HOUR, |edit| [open, done].into_iter().for_each(|id| edit.delegate(id, agent)));
    rig.edit(NOW + 4 * HOUR, |edit| edit.transition(done, StatusId::DONE));
    rig.edit(NOW + 5 * HOUR, |edit| edit.comment(done));
    rig.pass(6 * HOUR);
    let mut found: Vec<_> = rig.sync().await.activities;
    found.retain(|activity| activity.artifact.kind == "agent");
    let found: BTreeMap<String, (i64, String, String)> = found
        .into_iter()
        .map(|activity| {
            let artifact = activity.artifact;
            (activity.tasks.concat(), (activity.at.0, artifact.reference, artifact.summary))
        })
        .collect();
    let of = |at: i64| (at, "delegated".to_owned(), "Cursor".to_owned());
    let want = [(open, NOW + 3 * HOUR), (done, NOW + 4 * HOUR)];
    assert_eq!(found, want.into_iter().map(|(id, at)| (Linear::id(id), of(at))).collect());
}

#[tokio::test]
async fn attachments_that_lead_to_code_are_given_once() {
    let mut rig = Rig::demo().await;
    let id = rig.find("PLAT-4");
    rig.linear.attach(id, "https://github.com/acme/checkout/pull/42", "Pay by card", NOW - HOUR);
    rig.linear.attach(id, "https://acme.slack.com/archives/C1", "A conversation", NOW - HOUR);
    let outcome = rig.sync().await;
    let found: Vec<_> =
        outcome.activities.iter().map(|activity| (activity.artifact.reference.as_str(), &activity.tasks)).collect();
    assert_eq!(found, [("42", &vec![Linear::id(id)])]);
    rig.pass(5 * MINUTE);
    assert!(rig.sync().await.activities.is_empty());
}

#[tokio::test]
async fn what_is_not_paid_for_is_left_out_and_said_once() {
    let options = Options { unpaid: vec!["initiatives"], ..Options::default() };
    let mut rig = Rig::start(World::demo(NOW, 2, 7), options, &[]).await;
    let outcome = rig.sync().await;
    assert_eq!(outcome.warnings.len(), 1, "{:?}", outcome.warnings);
    assert!(!outcome.sprints.is_empty() && outcome.tasks.values().any(|task| task.present.native_type == "Project"));
    for _ in 0..3 {
        rig.pass(5 * MINUTE);
        rig.linear.take_requests();
        assert!(rig.sync().await.warnings.is_empty());
    }
    assert_eq!(rig.linear.take_requests().len(), 3, "it is not asked for on every run");
    rig.pass(DAY);
    let seen = rig.run(&["plan", "issues", "ids"]).await.unwrap().seen;
    assert!(seen.len() > 20, "the complete pass does without them too");
}

#[tokio::test]
async fn check_shows_what_a_sync_would_do() {
    let rig = Rig::start(World::demo(NOW, 2, 7), Options::default(), &["PLAT", "NOPE"]).await;
    let report = rig.connector.open(None, &Run { now: Millis(NOW), full: false }).await.unwrap().check().await.unwrap();
    assert!(report.identity.contains('@') && report.product == "Linear (Acme)", "{report:?}");
    assert_eq!(report.projects.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["PLAT"]);
    let review = report.statuses.iter().find(|(name, ..)| name == "In Review (PLAT)").unwrap();
    assert_eq!(review.1, "in_review");
    assert_eq!((report.warnings.len(), report.problems.len()), (0, 1), "{report:?}");
    assert_eq!(
        rig.linear.requests().len(),
        6,
        "one for what is there, five that ask whether this Linear knows what a sync asks for"
    );
}

#[tokio::test]
async fn a_run_that_dies_goes_on_and_misses_nothing() {
    let world = World::history(NOW, 1_200, 4, 0, 0, 5);
    let mut rig = Rig::start(world, Options::default(), &[]).await;
    let mut tasks = BTreeMap::new();
    for _ in 0..20 {
        // The twelfth request of each run fails for good.
        rig.linear.faults().clear();
        rig.linear.faults().on("POST /graphql", When::Nth(12), Fault::status(403, r#"{"message":"no"}"#));
        if rig.sync_into(&mut tasks).await {
            break;
        }
    }
    assert_eq!(tasks.len(), 1_200);
}
