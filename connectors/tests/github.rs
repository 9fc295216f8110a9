//! The GitHub connector against the stand-in: over real sockets, judged by what the stand-in heard and charged, and by what is
//! true of its world. What the engine does between two polls is done here by [`Rig`], as plainly as possible.

#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use contextcore_connectors::ALL;
use contextcore_core::config::{BlockedConfig, Privacy, SecretRef, SourceConfig};
use contextcore_core::connector::{Activity, Connector, Cursor, Observation, RawRecord, Run, TaskObservation};
use contextcore_core::model::{SprintFacts, SprintState, Status, What};
use contextcore_core::{Error, ErrorKind, Millis, Result, diff};
use contextcore_standins::faults::{Fault, When};
use contextcore_standins::github::{Edition, Github, GithubHandle, Options, Token, trouble};
use contextcore_standins::world::{BoardId, BoardKind, Content, Draft, Edit, IssueId, PullDraft, StatusId, TypeId, UserId, World};
use contextcore_standins::Clock;

/// 2026-11-18.
const NOW: i64 = 1_795_000_000_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const SHOP: BoardId = BoardId(1);

/// A source and what the engine would keep of it.
struct Rig {
    github: GithubHandle,
    connector: Box<dyn Connector>,
    config: SourceConfig,
    state: Option<serde_json::Value>,
    cursors: HashMap<&'static str, Cursor>,
    now: i64,
    _token: tempfile::TempDir,
}

/// What one run gave.
#[derive(Default)]
struct Outcome {
    records: Vec<RawRecord>,
    tasks: BTreeMap<String, TaskObservation>,
    sprints: BTreeMap<String, SprintFacts>,
    activities: Vec<Activity>,
    failures: Vec<Error>,
    seen: BTreeSet<String>,
    warnings: Vec<String>,
    requests: u64,
    points: i64,
}

fn dot_com() -> Options {
    Options { clock: Clock::fixed(NOW), ..Options::dot_com() }
}

fn config(github: &GithubHandle, edition: Edition, token: &tempfile::TempDir) -> SourceConfig {
    let file = token.path().join("token");
    std::fs::write(&file, Github::TOKEN).unwrap();
    let root = if edition == Edition::Enterprise { "/api" } else { "" };
    SourceConfig {
        name: "acme-github".into(),
        kind: "github".into(),
        url: format!("{}{root}", github.url()),
        email: None,
        token: SecretRef::File(file),
        app: None,
        tls_ca_file: None,
        projects: vec!["acme/1".into()],
        repositories: Vec::new(),
        schedule: "*/5 * * * *".parse().unwrap(),
        fields: BTreeMap::new(),
        blocked: BlockedConfig::default(),
        derive_status: false,
        stale_after: Duration::from_secs(86_400),
        statuses: BTreeMap::new(),
        types: BTreeMap::new(),
    }
}

fn connect(config: &SourceConfig) -> Box<dyn Connector> {
    let registration = ALL.iter().find(|registration| registration.kind == "github").unwrap();
    (registration.build)(config, &Privacy::default()).unwrap()
}

impl Rig {
    async fn start(world: World, options: Options, set: impl FnOnce(&mut SourceConfig)) -> Self {
        let (token, edition) = (tempfile::tempdir().unwrap(), options.edition);
        let github = Github::start(world, options).await.unwrap();
        let mut config = config(&github, edition, &token);
        set(&mut config);
        let connector = connect(&config);
        Self { github, connector, config, state: None, cursors: HashMap::new(), now: NOW, _token: token }
    }

    async fn shop(world: World) -> Self {
        Self::start(world, dot_com(), |_| {}).await
    }

    /// A new process that knows what was kept.
    fn restart(&mut self) {
        self.connector = connect(&self.config);
    }

    async fn run(&mut self, streams: &[&'static str]) -> Result<Outcome> {
        let run = Run { now: Millis(self.now), full: false };
        let (requests, points) = (self.connector.stats().requests, self.github.points_spent());
        self.state = Some(self.connector.begin(self.state.clone(), &run).await?);
        let mut outcome = Outcome::default();
        for stream in streams {
            while self.step(stream, &run, &mut outcome).await? {}
        }
        outcome.requests = self.connector.stats().requests - requests;
        outcome.points = self.github.points_spent() - points;
        Ok(outcome)
    }

    /// One page. Whether there is more.
    async fn step(&mut self, stream: &'static str, run: &Run, outcome: &mut Outcome) -> Result<bool> {
        let page = self.connector.poll(stream, self.cursors.get(stream), run).await?;
        // What is kept is text.
        let text = serde_json::to_string(&page.cursor).unwrap();
        self.cursors.insert(stream, serde_json::from_str(&text).unwrap());
        outcome.seen.extend(page.seen);
        outcome.warnings.extend(page.warnings);
        for record in &page.records {
            outcome.take(self.connector.normalise(record));
        }
        outcome.records.extend(page.records);
        Ok(page.more)
    }

    /// A run like the engine's, without the complete pass.
    async fn sync(&mut self) -> Outcome {
        self.run(&["sprints", "items", "repositories", "activity"]).await.unwrap()
    }

    async fn ids(&mut self) -> BTreeSet<String> {
        self.run(&["ids"]).await.unwrap().seen
    }

    fn edit(&self, at: i64, change: impl FnOnce(&mut Edit<'_>)) {
        change(&mut self.github.world().edit(at));
    }

    fn id(&self, issue: IssueId) -> String {
        Github::issue_id(&self.github.world(), issue)
    }
}

impl Outcome {
    fn take(&mut self, observed: Result<Vec<Observation>>) {
        match observed {
            Err(error) => self.failures.push(error),
            Ok(all) => all.into_iter().for_each(|observation| match observation {
                Observation::Task(task) => drop(self.tasks.insert(task.native_id.clone(), *task)),
                Observation::Sprint { native_id, facts } => drop(self.sprints.insert(native_id, facts)),
                Observation::Activity(activity) => self.activities.push(*activity),
            }),
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.tasks.values().map(|task| task.present.key.as_str()).collect()
    }
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
    let What::Created(first) = &task.history[0].what else { panic!("{:?}", task.history[0]) };
    let mut facts = (**first).clone();
    task.history[1..].iter().for_each(|entry| facts.apply(&entry.what));
    assert_eq!(diff::changes(&facts, &task.present), [], "{}", task.present.key);
    let ids: BTreeSet<_> = task.history.iter().map(|entry| entry.id).collect();
    assert_eq!(ids.len(), task.history.len(), "{}: every fact has its own id", task.present.key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_issues_cost_what_was_promised_and_a_quiet_poll_next_to_nothing() {
    let mut rig = Rig::shop(World::history(NOW, 1_000, 20, 4, 40, 1)).await;
    let first = rig.sync().await;
    assert_eq!((first.tasks.len(), first.failures.len()), (1_000, 0), "{:?}", first.warnings);
    println!("first sync: {} requests, {} points, cursor {} bytes", first.requests, first.points,
        rig.cursors["items"].0.to_string().len());
    assert!(first.requests <= 130 && first.points <= 150, "{} requests, {} points", first.requests, first.points);
    let quiet = rig.sync().await;
    println!("quiet poll: {} requests, {} points", quiet.requests, quiet.points);
    assert_eq!(quiet.records.len(), 0);
    assert!(quiet.requests <= 12 && quiet.points <= 12, "{} requests, {} points", quiet.requests, quiet.points);
    let id = rig.github.world().issues().nth(500).unwrap().id;
    rig.edit(NOW + HOUR, |edit| edit.rename(id, "Changed"));
    let changed = rig.sync().await;
    assert_eq!(changed.tasks.values().map(|task| task.present.title.as_str()).collect::<Vec<_>>(), ["Changed"]);
    assert!(changed.requests <= 13);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_heard_is_true() {
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
            .map(|entry| contextcore_core::model::Kept { entry: entry.clone(), seq: 1 })
            .collect();
        let summary = contextcore_core::timeline::summary(&kept, Millis(NOW)).unwrap();
        assert_eq!(summary.completed.map(|at| at.0), truth.completed(issue.id).map(second), "{}", task.present.key);
        assert_eq!(summary.cancelled.map(|at| at.0), truth.cancelled(issue.id).map(second), "{}", task.present.key);
        assert_eq!(summary.started.map(|at| at.0), truth.started(issue.id).map(second), "{}", task.present.key);
        let blocked = truth.blocked().contains(&issue.id);
        assert_eq!(task.present.effective_status() == Status::Blocked, blocked, "{}", task.present.key);
    }
    assert!(compared > 100, "only {compared} compared");
    let states: BTreeSet<_> = outcome.sprints.values().map(|sprint| sprint.state.as_str()).collect();
    assert!(states.contains(SprintState::Active.as_str()) && states.contains(SprintState::Closed.as_str()));
    assert!(outcome.sprints.values().all(|sprint| !sprint.exact));
}
