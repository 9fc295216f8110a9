//! The Linear connector against the stand-in: over real sockets, with queries executed against the vendor's schema, judged by what
//! the stand-in heard and charged and by what is true of its world. What the engine does between two polls is done here by
//! [`Rig`], as plainly as possible.

#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use contextcore_connectors::ALL;
use contextcore_core::config::{BlockedConfig, Privacy, SecretRef, SourceConfig};
use contextcore_core::connector::{Activity, Connector, Cursor, Observation, RawRecord, Run, TaskObservation};
use contextcore_core::model::{Kept, SprintFacts, SprintState, TaskType, What};
use contextcore_core::time::{DAY, HOUR, MINUTE};
use contextcore_core::{Error, ErrorKind, Millis, Result, Retry, diff, timeline};
use contextcore_standins::Clock;
use contextcore_standins::faults::{Fault, When};
use contextcore_standins::linear::{Credential, Linear, LinearHandle, Options};
use contextcore_standins::world::{Draft, Edit, IssueId, ProjectId, SprintId, StatusId, TypeId, Visibility, World};

/// 2026-11-18, when nothing special is going on with any clock.
const NOW: i64 = 1_795_000_000_000;

/// A source and what the engine would keep of it.
struct Rig {
    linear: LinearHandle,
    connector: Box<dyn Connector>,
    state: Option<serde_json::Value>,
    cursors: HashMap<&'static str, Cursor>,
    clock: Arc<AtomicI64>,
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
}

fn config(linear: &LinearHandle, token: &tempfile::TempDir, secret: &str, teams: &[&str]) -> SourceConfig {
    let file = token.path().join("token");
    std::fs::write(&file, secret).unwrap();
    SourceConfig {
        name: "acme-linear".into(),
        kind: "linear".into(),
        url: linear.url().into(),
        email: None,
        app: None,
        path: None,
        webhook: None,
        token: SecretRef::File(file),
        tls_ca_file: None,
        projects: teams.iter().map(ToString::to_string).collect(),
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

fn connector(config: &SourceConfig) -> Box<dyn Connector> {
    let registration = ALL.iter().find(|registration| registration.kind == "linear").unwrap();
    (registration.build)(config, &Privacy::default()).unwrap()
}

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
        let connector = connector(&config(&linear, &token, secret, teams));
        Self { linear, connector, state: None, cursors: HashMap::new(), clock, _token: token }
    }

    async fn demo() -> Self {
        Self::start(World::demo(NOW, 3, 7), Options::default(), &[]).await
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn pass(&self, time: i64) {
        self.clock.fetch_add(time, Ordering::Relaxed);
    }

    /// One run over these streams, every page kept.
    async fn run(&mut self, streams: &[&'static str]) -> Result<Outcome> {
        let run = Run { now: Millis(self.now()), full: false };
        self.state = Some(self.connector.begin(self.state.clone(), &run).await?);
        let mut outcome = Outcome::default();
        for stream in streams {
            self.drain(stream, &run, &mut outcome).await?;
        }
        Ok(outcome)
    }

    async fn drain(&mut self, stream: &'static str, run: &Run, outcome: &mut Outcome) -> Result<()> {
        loop {
            let page = self.connector.poll(stream, self.cursors.get(stream), run).await?;
            self.cursors.insert(stream, page.cursor);
            outcome.seen.extend(page.seen);
            outcome.warnings.extend(page.warnings);
            for record in &page.records {
                outcome.take(self.connector.normalise(record));
            }
            outcome.records.extend(page.records);
            if !page.more {
                return Ok(());
            }
        }
    }

    /// A run like the engine's, without the complete pass.
    async fn sync(&mut self) -> Outcome {
        self.run(&["plan", "issues"]).await.unwrap()
    }

    fn edit(&self, at: i64, change: impl FnOnce(&mut Edit<'_>)) {
        change(&mut self.linear.world().edit(at));
    }

    fn find(&self, key: &str) -> IssueId {
        self.linear.world().find(key).unwrap()
    }
}

impl Outcome {
    fn take(&mut self, observed: Result<Vec<Observation>>) {
        match observed {
            Err(error) => self.failures.push(error),
            Ok(observations) => observations.into_iter().for_each(|observation| match observation {
                Observation::Task(task) => drop(self.tasks.insert(task.native_id.clone(), *task)),
                Observation::Sprint { native_id, facts } => drop(self.sprints.insert(native_id, facts)),
                Observation::Activity(activity) => self.activities.push(*activity),
            }),
        }
    }

    fn task(&self, id: IssueId) -> &TaskObservation {
        &self.tasks[&Linear::id(id)]
    }
}

fn kept(task: &TaskObservation) -> Vec<Kept> {
    task.history.iter().map(|entry| Kept { entry: entry.clone(), seq: 1 }).collect()
}

/// Holds every task against what is true of the world. Of projects and initiatives Linear tells no history.
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
        assert_eq!(parent, fields.parent.map(Linear::id), "{key}");
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
        let first = issue.initial();
        let What::Created(created) = &task.history[0].what else { panic!("{key} begins with {:?}", task.history[0]) };
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
async fn a_poll_without_changes_is_three_requests_and_tells_nothing() {
    let mut rig = Rig::demo().await;
    rig.sync().await;
    for _ in 0..3 {
        rig.pass(5 * MINUTE);
        rig.linear.take_requests();
        let before = rig.linear.charged();
        let outcome = rig.sync().await;
        assert!(outcome.tasks.is_empty(), "{:?}", outcome.tasks.keys());
        let heard = rig.linear.take_requests().len();
        let charged = rig.linear.charged() - before;
        assert!(heard <= 3 && charged < 1_500.0, "{heard} requests, {charged} points");
    }
}

#[tokio::test]
async fn a_thousand_issues_with_their_histories_stay_within_the_budget() {
    for (each, heavy_every, heavy) in [(20, 0, 0), (20, 50, 150), (6, 0, 0)] {
        let world = World::history(NOW, 1_000, each, heavy_every, heavy, 11);
        let mut rig = Rig::start(world, Options::default(), &[]).await;
        let outcome = rig.sync().await;
        let (heard, charged) = (rig.linear.requests().len(), rig.linear.charged());
        println!("{each} acts each, {heavy} on every {heavy_every}th: {heard} requests, {charged:.0} points");
        assert_true(&rig.linear.world(), &outcome.tasks, NOW);
        assert!(heard <= 45, "{heard} requests");
        assert!(charged <= 250_000.0, "{charged} points");
    }
}
