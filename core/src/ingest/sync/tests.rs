//! A scripted connector: what activities come to, whatever is heard first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::config::kind::unchecked;
use crate::config::{self, Config};
use crate::ingest::connector::CheckReport;
use crate::model::observation::{Activity, TaskObservation};
use crate::model::samples::artifact;
use crate::model::samples::{facts, to};
use crate::model::timeline;
use crate::model::{Change, Event, EventId, Facts, Status, StoredEvent};
use crate::progress::Quiet;
use crate::store::Item;

const NOW: Millis = Millis(1_000_000);

/// Gives these observations on every run.
#[derive(Clone, Default)]
struct Script {
    told: Arc<Mutex<Vec<Observation>>>,
    lost: Vec<String>,
}

#[async_trait]
impl Connector for Script {
    fn streams(&self) -> &'static [Stream] {
        &[Stream { name: "all", complete: false }]
    }

    async fn open(&self, _: Option<serde_json::Value>, _: &Run) -> Result<Box<dyn SourceSession>> {
        Ok(Box::new(self.clone()))
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }
}

#[async_trait]
impl SourceSession for Script {
    fn state(&self) -> Result<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }

    async fn check(&self) -> Result<CheckReport> {
        Ok(CheckReport::default())
    }

    async fn poll(&self, stream: &'static str, _: Option<&Cursor>) -> Result<Page> {
        let count = self.told.lock().unwrap().len();
        let record = |n: usize| RawRecord { stream, native_id: n.to_string(), json: n.to_string() };
        Ok(Page {
            records: (0..count).map(record).collect(),
            seen: vec![],
            cursor: Cursor(serde_json::Value::Null),
            more: false,
            total: None,
            warnings: vec![],
        })
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        let place: usize = record.json.parse().unwrap();
        Ok(vec![self.told.lock().unwrap()[place].clone()])
    }

    fn lost(&self) -> Vec<String> {
        self.lost.clone()
    }
}

struct Bench {
    store: Store,
    config: Config,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(derive: bool) -> Self {
        Self::with(&format!("derive_status: {derive}"))
    }

    /// Two sources with a setting.
    fn with(setting: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = |name: &str| {
            format!(
                "  - {{name: {name}, kind: jira, url: 'https://example.com', auth: {{token: {{env: TOKEN}}}}, {setting}}}\n"
            )
        };
        let text = format!("sources:\n{}{}", source("jira"), source("github"));
        let config = config::parse(&text, "test.yaml", &[unchecked("jira")]).unwrap();
        Self { store: Store::open(&dir.path().join("data")).unwrap(), config, _dir: dir }
    }

    /// One run of a source that tells this.
    async fn hear(&self, name: &str, observations: Vec<Observation>) -> SourceReport {
        let report = self.run(name, Script { told: Arc::new(Mutex::new(observations)), lost: vec![] }).await;
        assert!(report.error.is_none(), "{:?}", report.error);
        report
    }

    async fn run(&self, name: &str, script: Script) -> SourceReport {
        let config = self.config.sources.iter().find(|source| source.name == name).unwrap().clone();
        let source = Source { config, connector: Box::new(script) };
        let options = Options { now: Some(NOW), ..Options::default() };
        sync_source(&self.store, &source, &options, &Quiet, &CancellationToken::new()).await
    }

    fn timelines(&self) -> BTreeMap<TaskKey, Vec<Event>> {
        let tasks = self.store.tasks(None).map(|item| item.unwrap());
        tasks.map(|(key, record)| (key, record.timeline.into_iter().map(|stored| stored.event).collect())).collect()
    }

    fn status(&self, id: &str) -> Status {
        let record = self.store.task(&TaskKey::new("jira", id)).unwrap().unwrap();
        timeline::last(&record.timeline).unwrap().facts.effective_status()
    }

    fn told(&self, source: &str) -> Vec<Item> {
        let sealed = self.store.sealed(source).unwrap();
        self.store.journal(source, 0, sealed).map(|item| item.unwrap().1).collect()
    }
}

/// A task of Jira called `PROJ-{id}` with the first `upto` facts of its history.
fn task(id: &str, history: &[(i64, Change)]) -> Observation {
    let key = TaskKey::new("jira", id);
    let first = Facts { key: format!("PROJ-{id}").into(), ..facts(Status::Todo) };
    let created = (1_000, Change::Created(Box::new(first.clone())));
    let events = std::iter::once(&created).chain(history).enumerate();
    let history: Vec<Event> = events
        .map(|(n, (at, change))| Event {
            id: EventId::of(&key, &format!("{n}")),
            at: Millis(*at),
            actor: None,
            observed: false,
            change: change.clone(),
        })
        .collect();
    let mut present = first;
    history.iter().for_each(|event| present.apply(&event.change));
    Observation::Task(Box::new(TaskObservation {
        native_id: id.into(),
        url: String::new(),
        reporter: None,
        updated: Millis(0),
        history,
        present,
        blockers: vec![],
    }))
}

fn activity(at: i64, kind: &str, reference: &str, mentions: &str) -> Observation {
    Observation::Activity(Box::new(Activity {
        native_id: format!("{kind}:{reference}:{at}"),
        at: Millis(at),
        actor: Some("Ada".into()),
        artifact: artifact(kind, reference),
        tasks: vec![],
        mentions: vec![mentions.into()],
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_tool_says_is_no_more_is_gone_at_once_and_once() {
    let bench = Bench::new(false);
    bench.hear("jira", vec![task("1", &[])]).await;
    let gone = |id: &str| Observation::Gone { native_id: id.into() };
    let report = bench.hear("jira", vec![gone("1"), gone("unknown")]).await;
    let record = bench.store.task(&TaskKey::new("jira", "1")).unwrap().unwrap();
    assert_eq!((report.changes, timeline::last(&record.timeline).unwrap().deleted), (1, Some(NOW)));
    assert_eq!(bench.hear("jira", vec![gone("1")]).await.changes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_out_of_sight_is_an_error_after_everything_else_was_kept_and_told() {
    let bench = Bench::new(false);
    let script = Script { told: Arc::new(Mutex::new(vec![task("1", &[])])), lost: vec!["OPS".into()] };
    let error = bench.run("jira", script).await.error.unwrap();
    assert_eq!((error.kind(), error.context("missing")), (ErrorKind::Coverage, Some("OPS")));
    assert!(!bench.told("jira").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_elsewhere_moves_a_task_and_is_told_with_its_source_once() {
    let bench = Bench::new(true);
    bench.hear("jira", vec![task("1", &[])]).await;
    let before = bench.told("jira").len();
    let report = bench.hear("github", vec![activity(2_000, "commit", "a1", "PROJ-1 begin")]).await;
    assert_eq!((report.changes, bench.status("1")), (1, Status::InProgress));
    assert_eq!(bench.told("jira").len(), before + 1, "the source of the task is sealed again");
    let again = bench.hear("github", vec![activity(2_000, "commit", "a1", "PROJ-1 begin")]).await;
    let unchanged = bench.hear("jira", vec![task("1", &[])]).await;
    assert_eq!((again.changes, unchanged.changes, bench.status("1")), (0, 0, Status::InProgress));
    assert_eq!(bench.told("jira").len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_has_yet_waits_for_its_task_also_after_a_move() {
    let bench = Bench::new(true);
    bench
        .hear("github", vec![activity(2_000, "commit", "a1", "OPS-7"), activity(3_000, "merged", "acme/x#1", "PROJ-1")])
        .await;
    let moved = Change::Moved { key: "OPS-7".into(), project: "OPS".into() };
    bench.hear("jira", vec![task("1", &[])]).await;
    assert_eq!(bench.status("1"), Status::Done);
    bench.hear("jira", vec![task("1", &[(1_500, moved)])]).await;
    assert_eq!(bench.timelines()[&TaskKey::new("jira", "1")].len(), 4);
    bench.hear("github", vec![activity(4_000, "deployment", "v1", "the former PROJ-1")]).await;
    assert_eq!(bench.timelines()[&TaskKey::new("jira", "1")].len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_derive_keeps_its_status_and_shows_the_artifact() {
    let bench = Bench::new(false);
    bench.hear("jira", vec![task("1", &[])]).await;
    bench.hear("github", vec![activity(2_000, "merged", "acme/x#1", "PROJ-1")]).await;
    let timeline = &bench.timelines()[&TaskKey::new("jira", "1")];
    assert!(matches!(timeline[1].change, Change::Artifact(_)));
    assert_eq!(bench.status("1"), Status::Todo);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_sweep_of_the_tasks_source_stays_unsealed() {
    let bench = Bench::new(true);
    bench.hear("jira", vec![task("1", &[])]).await;
    let mut half = bench.store.begin().unwrap();
    half.put_metadata("open", "jira", &true).unwrap();
    half.commit().unwrap();
    let before = bench.store.sealed("jira").unwrap();
    bench.hear("github", vec![activity(2_000, "commit", "a1", "PROJ-1")]).await;
    assert_eq!(bench.store.sealed("jira").unwrap(), before);
    bench.hear("jira", vec![]).await;
    assert!(bench.store.sealed("jira").unwrap() > before);
}

/// Task 1, blocked by task 2 from 2,000 on until the link was removed, as far as `upto` of its history was told.
fn waiting(upto: usize) -> Observation {
    let link = |added| Change::Linked { text: "is blocked by PROJ-2".into(), blocker: Some("PROJ-2".into()), added };
    let history = [(2_000, link(true)), (2_500, to(Status::InProgress)), (9_000, link(false))];
    let Observation::Task(mut seen) = task("1", &history[..upto]) else { panic!("a task") };
    let blocker = crate::model::Blocker { native_id: Some("2".into()), key: "PROJ-2".into(), finished: false };
    seen.blockers = (1..=2).contains(&upto).then_some(blocker).into_iter().collect();
    Observation::Task(seen)
}

/// Task 2: done, opened again, done again.
fn blocking(upto: usize) -> Observation {
    task("2", &[(4_000, to(Status::Done)), (6_000, to(Status::Todo)), (8_000, to(Status::Done))][..upto])
}

fn waits_of(timeline: &[Event]) -> Vec<(i64, Change)> {
    let waits = timeline.iter().filter(|event| event.change.is_from_links());
    waits.map(|event| (event.at.0, event.change.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_links_block_a_task_is_blocked_while_its_blocker_is_open_and_told_when_that_ends() {
    let bench = Bench::with("blocked: {links: true}");
    bench.hear("jira", vec![waiting(2), blocking(0)]).await;
    assert_eq!(bench.status("1"), Status::Blocked);
    let before = bench.told("jira").len();
    let report = bench.hear("jira", vec![blocking(1)]).await;
    assert_eq!((bench.status("1"), report.changes), (Status::InProgress, 2), "of the blocker, and of who waited");
    assert_eq!(bench.told("jira").len(), before + 2);
    assert_eq!(bench.hear("jira", vec![waiting(2), blocking(1)]).await.changes, 0);
    bench.hear("jira", vec![waiting(3), blocking(3)]).await;
    let waited = |from, to| [(from, Change::BlockedByLinks("waits for PROJ-2".into())), (to, Change::UnblockedByLinks)];
    let timeline = &bench.timelines()[&TaskKey::new("jira", "1")];
    assert_eq!(waits_of(timeline), [waited(2_000, 4_000), waited(6_000, 8_000)].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_links_block_no_more_what_they_left_is_taken_away() {
    let mut bench = Bench::with("blocked: {links: true}");
    bench.hear("jira", vec![waiting(2), blocking(0)]).await;
    bench.config = Bench::new(false).config;
    bench.hear("jira", vec![waiting(2), blocking(0)]).await;
    assert_eq!(
        (bench.status("1"), waits_of(&bench.timelines()[&TaskKey::new("jira", "1")])),
        (Status::InProgress, vec![])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_links_do_not_block_they_leave_no_fact() {
    let bench = Bench::new(false);
    bench.hear("jira", vec![waiting(2), blocking(0)]).await;
    assert_eq!(
        (bench.status("1"), waits_of(&bench.timelines()[&TaskKey::new("jira", "1")])),
        (Status::InProgress, vec![])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_task_waited_when_it_did_whatever_was_heard_first(
        steps in proptest::collection::vec((0_usize..=3, 0_usize..=3, any::<bool>()), 0..5),
        blocker_first: bool,
    ) {
        let (mut most, mut runs) = ((0, 0), Vec::new());
        for (one, two, both) in steps {
            most = (most.0.max(one), most.1.max(two));
            let mut run = vec![waiting(most.0)];
            if both {
                run.push(blocking(most.1));
            }
            runs.push(run);
        }
        runs.push(if blocker_first { vec![blocking(3), waiting(3)] } else { vec![waiting(3), blocking(3)] });
        let all = |runs: Vec<Vec<Observation>>| async {
            let bench = Bench::with("blocked: {links: true}");
            for run in runs {
                bench.hear("jira", run).await;
            }
            bench.timelines()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (many, once) =
            runtime.block_on(async { (all(runs).await, all(vec![vec![waiting(3), blocking(3)]]).await) });
        prop_assert_eq!(many, once);
    }
}

/// What one run tells: how much of each task's history, or some of the activities.
#[derive(Debug, Clone)]
enum Heard {
    Jira { upto: usize },
    Github { from: usize, upto: usize },
}

fn world() -> (Vec<(i64, Change)>, Vec<Observation>) {
    let history = vec![
        (2_000, to(Status::InProgress)),
        (3_000, Change::Blocked(Some("vendor".into()))),
        (4_000, Change::Unblocked),
        (5_000, to(Status::InReview)),
        (6_000, to(Status::Todo)),
    ];
    let github = vec![
        activity(1_500, "commit", "a1", "PROJ-1, PROJ-2"),
        activity(2_000, "ci_failed", "a1", "PROJ-1"),
        activity(2_000, "commit", "b2", "PROJ-1"),
        activity(3_500, "ci_passed", "b2", "PROJ-1"),
        activity(4_500, "merged", "acme/x#1", "PROJ-1"),
        activity(5_500, "merged", "acme/x#1", "PROJ-2"),
        activity(7_000, "review_requested", "acme/x#2", "PROJ-1"),
    ];
    (history, github)
}

fn heard() -> impl Strategy<Value = Vec<Heard>> {
    let jira = (0..=5_usize).prop_map(|upto| Heard::Jira { upto });
    let github = (0..7_usize, 0..=7_usize).prop_map(|(a, b)| Heard::Github { from: a.min(b), upto: a.max(b) });
    proptest::collection::vec(prop_oneof![jira, github], 0..6)
}

async fn run_all(order: &[Heard]) -> BTreeMap<TaskKey, Vec<Event>> {
    let (history, github) = world();
    let bench = Bench::new(true);
    for heard in order {
        match heard {
            Heard::Jira { upto } => {
                bench.hear("jira", vec![task("1", &history[..*upto]), task("2", &history[..*upto / 2])]).await;
            }
            Heard::Github { from, upto } => drop(bench.hear("github", github[*from..*upto].to_vec()).await),
        }
    }
    bench.timelines()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_interleaving_of_the_tool_and_of_what_people_did_gives_the_same_facts(order in heard(), jira_last: bool) {
        // What a tool tells only grows: it never shows less of its history than before.
        let mut order = order;
        let mut most = 0;
        for heard in &mut order {
            if let Heard::Jira { upto } = heard {
                most = most.max(*upto);
                *upto = most;
            }
        }
        let ends = [Heard::Github { from: 0, upto: 7 }, Heard::Jira { upto: 5 }];
        order.extend(if jira_last { ends.to_vec() } else { ends.iter().rev().cloned().collect() });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (many, once) = runtime.block_on(async {
            (run_all(&order).await, run_all(&[Heard::Jira { upto: 5 }, Heard::Github { from: 0, upto: 7 }]).await)
        });
        prop_assert_eq!(&many, &once);
        let one: Vec<StoredEvent> = many[&TaskKey::new("jira", "1")].iter().map(|event| StoredEvent { event: event.clone(), seq: 1 }).collect();
        prop_assert_eq!(timeline::last(&one).unwrap().facts.status, Status::InReview);
    }
}

/// The hash of the settings is stored. These texts are those of the first release, when `repositories` and `path` were fields of
/// every source.
#[test]
fn the_settings_of_existing_configurations_keep_their_hash() {
    let keys =
        "schedule: '@daily', blocked: {labels: [stuck], links: true}, statuses: {QA: in_review}, types: {Debt: task}";
    let jira = Bench::with(keys).config.sources[0].clone();
    let blocked = r#"Some(["stuck"])Nonetrue{"QA": InReview}{"Debt": Task}false"#;
    assert_eq!(settings_text(&jira), format!(r#""jira""https://example.com"[][]{{}}{blocked}"#));
    let scopes = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let github = SourceConfig {
        kind: "github".into(),
        projects: scopes(&["acme/1"]),
        extra_scopes: scopes(&["acme/web", "acme/api"]),
        ..jira.clone()
    };
    let lists = r#"["acme/1"]["acme/web", "acme/api"]{}"#;
    assert_eq!(settings_text(&github), format!(r#""github""https://example.com"{lists}{blocked}"#));
    let file = SourceConfig { kind: "file".into(), url: String::new(), location: Some("/var/x.jsonl".into()), ..jira };
    assert_eq!(settings_text(&file), format!(r#""file"""[][]{{}}{blocked}/var/x.jsonl"#));
    assert_eq!(settings_hash(&file), settings_hash(&file.clone()));
    assert_ne!(settings_hash(&file), settings_hash(&github));
}
