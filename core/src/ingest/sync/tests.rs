//! A scripted connector: the same events result from the same observations, in whatever order they are polled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::config::kind::unchecked;
use crate::config::{self, Config};
use crate::http::observer;
use crate::ingest::connector::Run;
use crate::ingest::connector::{CheckReport, Connector, Cursor, Page, RawRecord};
use crate::model::observation::{Activity, Observation, TaskObservation};
use crate::model::samples::{artifact, facts, to};
use crate::model::timeline;
use crate::model::{
    Blocker, Change, Event, EventId, Facts, ParentRef, SprintFacts, SprintState, Status, StoredEvent, TaskKey,
};
use crate::progress::Quiet;
use crate::store::counting::CountingKv;
use crate::store::{Item, Kv, MemoryKv};

const NOW: Millis = Millis(1_000_000);

/// Makes of each function a test on disk, one in memory and one in PostgreSQL.
macro_rules! on_each_engine {
    ($($test:ident),+ $(,)?) => {
        mod on_disk {
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test(super::Engine::Disk).await; })+
        }
        mod in_postgres {
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() {
                if contextcore_postgres::Postgres::shared().is_some() {
                    super::$test(super::Engine::Postgres).await;
                }
            })+
        }
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test(super::Engine::Memory).await; })+
        }
    };
}

on_each_engine! {
    a_task_that_the_tool_reports_as_deleted_is_deleted_at_once_and_once,
    a_lost_project_is_an_error_after_everything_else_was_stored_and_sealed,
    an_activity_of_another_source_moves_a_task_and_is_sealed_with_its_source_once,
    an_activity_is_picked_up_by_a_task_that_appears_later_or_moves_to_its_name,
    a_source_that_does_not_derive_keeps_its_status_and_shows_the_artifact,
    half_a_sweep_of_the_tasks_source_stays_unsealed,
    where_links_block_a_task_is_blocked_while_its_blocker_is_open_and_journaled_when_that_ends,
    where_links_no_longer_block_their_events_are_removed,
    where_links_do_not_block_they_add_no_event,
}

#[derive(Debug, Clone, Copy)]
enum Engine {
    Disk,
    Memory,
    Postgres,
}

/// Returns what it is given: all of it on pages of equal size and, in a complete pass, the ids of its tasks.
#[derive(Clone, Default)]
struct Script {
    observations: Arc<Mutex<Vec<Observation>>>,
    /// Records on a page; 0 for all on one.
    page: usize,
    /// What a complete pass sees; `None` without such a stream.
    seen: Option<Vec<String>>,
    lost: Vec<String>,
}

impl Script {
    fn of(observations: Vec<Observation>) -> Self {
        Self { observations: Arc::new(Mutex::new(observations)), ..Self::default() }
    }
}

#[async_trait]
impl Connector for Script {
    fn streams(&self) -> &'static [Stream] {
        const ALL: &[Stream] = &[Stream { name: "all", complete: false }, Stream { name: "ids", complete: true }];
        if self.seen.is_some() { ALL } else { &ALL[..1] }
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

    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>) -> Result<Page> {
        let count = if stream == "ids" { 0 } else { self.observations.lock().unwrap().len() };
        let from = cursor.and_then(|cursor| cursor.0.as_u64()).unwrap_or(0) as usize;
        let upto = if self.page == 0 { count } else { count.min(from + self.page) };
        let record = |n: usize| RawRecord::new(stream, n.to_string(), n.to_string());
        Ok(Page {
            records: (from..upto).map(record).collect(),
            seen: self.seen.clone().filter(|_| stream == "ids").unwrap_or_default(),
            // At the end of a run it starts again.
            cursor: Cursor(if upto < count { upto.into() } else { serde_json::Value::Null }),
            more: upto < count,
            total: Some(count as u64),
            ..Page::default()
        })
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        let place: usize = record.json()?.parse().unwrap();
        Ok(vec![self.observations.lock().unwrap()[place].clone()])
    }

    fn lost(&self) -> Vec<String> {
        self.lost.clone()
    }
}

struct Bench {
    store: Store,
    calls: Arc<CountingKv>,
    config: Config,
    _dir: Option<tempfile::TempDir>,
}

impl Bench {
    fn new(engine: Engine, derive: bool) -> Self {
        Self::with(engine, &format!("derive_status: {derive}"))
    }

    /// Two sources with a setting.
    fn with(engine: Engine, setting: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kv: Arc<dyn Kv> = match engine {
            Engine::Disk => crate::store::on_disk(dir.path()).unwrap(),
            Engine::Memory => Arc::new(MemoryKv::default()),
            Engine::Postgres => crate::store::in_postgres("sync").unwrap(),
        };
        Self { _dir: Some(dir), ..Self::over(kv, setting) }
    }

    fn over(kv: Arc<dyn Kv>, setting: &str) -> Self {
        let source = |name: &str| {
            format!(
                "  - {{name: {name}, kind: jira, url: 'https://example.com', auth: {{token: {{env: TOKEN}}}}, {setting}}}\n"
            )
        };
        let text = format!("sources:\n{}{}", source("jira"), source("github"));
        let config = config::parse(&text, "test.yaml", &[unchecked("jira")]).unwrap();
        let calls = Arc::new(CountingKv::over(kv));
        Self { store: Store::over(calls.clone()).unwrap(), calls, config, _dir: None }
    }

    /// One run of a source that returns these observations, on one page.
    async fn sync(&self, name: &str, observations: Vec<Observation>) -> SourceReport {
        let report = self.run(name, Script::of(observations), false).await;
        assert!(report.error.is_none(), "{:?}", report.error);
        report
    }

    async fn run(&self, name: &str, script: Script, full: bool) -> SourceReport {
        let config = self.config.sources.iter().find(|source| source.name == name).unwrap().clone();
        let source = Source {
            config,
            connector: Box::new(script),
            portfolio: std::sync::Mutex::default(),
            insights: std::sync::Mutex::default(),
        };
        let options = Options { now: Some(NOW), full, ..Options::default() };
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

    /// The journal items that may be exported.
    fn sealed(&self, source: &str) -> Vec<Item> {
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
        author: None,
    }))
}

async fn a_task_that_the_tool_reports_as_deleted_is_deleted_at_once_and_once(engine: Engine) {
    let bench = Bench::new(engine, false);
    bench.sync("jira", vec![task("1", &[])]).await;
    let gone = |id: &str| Observation::Gone { native_id: id.into() };
    let report = bench.sync("jira", vec![gone("1"), gone("unknown")]).await;
    let record = bench.store.task(&TaskKey::new("jira", "1")).unwrap().unwrap();
    assert_eq!((report.changes, timeline::last(&record.timeline).unwrap().deleted), (1, Some(NOW)));
    assert_eq!(bench.sync("jira", vec![gone("1")]).await.changes, 0);
}

async fn a_lost_project_is_an_error_after_everything_else_was_stored_and_sealed(engine: Engine) {
    let bench = Bench::new(engine, false);
    let script = Script { lost: vec!["OPS".into()], ..Script::of(vec![task("1", &[])]) };
    let error = bench.run("jira", script, false).await.error.unwrap();
    assert_eq!((error.kind(), error.context("missing")), (ErrorKind::Coverage, Some("OPS")));
    assert!(!bench.sealed("jira").is_empty());
}

async fn an_activity_of_another_source_moves_a_task_and_is_sealed_with_its_source_once(engine: Engine) {
    let bench = Bench::new(engine, true);
    bench.sync("jira", vec![task("1", &[])]).await;
    let before = bench.sealed("jira").len();
    let report = bench.sync("github", vec![activity(2_000, "commit", "a1", "PROJ-1 begin")]).await;
    assert_eq!((report.changes, bench.status("1")), (1, Status::InProgress));
    assert_eq!(bench.sealed("jira").len(), before + 1, "the source of the task is sealed again");
    let again = bench.sync("github", vec![activity(2_000, "commit", "a1", "PROJ-1 begin")]).await;
    let unchanged = bench.sync("jira", vec![task("1", &[])]).await;
    assert_eq!((again.changes, unchanged.changes, bench.status("1")), (0, 0, Status::InProgress));
    assert_eq!(bench.sealed("jira").len(), before + 1);
}

async fn an_activity_is_picked_up_by_a_task_that_appears_later_or_moves_to_its_name(engine: Engine) {
    let bench = Bench::new(engine, true);
    bench
        .sync("github", vec![activity(2_000, "commit", "a1", "OPS-7"), activity(3_000, "merged", "acme/x#1", "PROJ-1")])
        .await;
    let moved = Change::Moved { key: "OPS-7".into(), project: "OPS".into() };
    bench.sync("jira", vec![task("1", &[])]).await;
    assert_eq!(bench.status("1"), Status::Done);
    bench.sync("jira", vec![task("1", &[(1_500, moved)])]).await;
    assert_eq!(bench.timelines()[&TaskKey::new("jira", "1")].len(), 4);
    bench.sync("github", vec![activity(4_000, "deployment", "v1", "the former PROJ-1")]).await;
    assert_eq!(bench.timelines()[&TaskKey::new("jira", "1")].len(), 5);
}

async fn a_source_that_does_not_derive_keeps_its_status_and_shows_the_artifact(engine: Engine) {
    let bench = Bench::new(engine, false);
    bench.sync("jira", vec![task("1", &[])]).await;
    bench.sync("github", vec![activity(2_000, "merged", "acme/x#1", "PROJ-1")]).await;
    let timeline = &bench.timelines()[&TaskKey::new("jira", "1")];
    assert!(matches!(timeline[1].change, Change::Artifact(_)));
    assert_eq!(bench.status("1"), Status::Todo);
}

async fn half_a_sweep_of_the_tasks_source_stays_unsealed(engine: Engine) {
    let bench = Bench::new(engine, true);
    bench.sync("jira", vec![task("1", &[])]).await;
    let mut half = bench.store.begin().unwrap();
    half.put_metadata("open", "jira", &true).unwrap();
    half.commit().unwrap();
    let before = bench.store.sealed("jira").unwrap();
    bench.sync("github", vec![activity(2_000, "commit", "a1", "PROJ-1")]).await;
    assert_eq!(bench.store.sealed("jira").unwrap(), before);
    bench.sync("jira", vec![]).await;
    assert!(bench.store.sealed("jira").unwrap() > before);
}

/// Task 1, blocked by task 2 from 2,000 on until the link was removed, with the first `upto` events of its history.
fn blocked(upto: usize) -> Observation {
    let link = |added| Change::Linked { text: "is blocked by PROJ-2".into(), blocker: Some("PROJ-2".into()), added };
    let history = [(2_000, link(true)), (2_500, to(Status::InProgress)), (9_000, link(false))];
    let Observation::Task(mut seen) = task("1", &history[..upto]) else { panic!("a task") };
    let link = Blocker { native_id: Some("2".into()), key: "PROJ-2".into(), finished: false };
    seen.blockers = (1..=2).contains(&upto).then_some(link).into_iter().collect();
    Observation::Task(seen)
}

/// Task 2: done, opened again, done again.
fn blocker(upto: usize) -> Observation {
    task("2", &[(4_000, to(Status::Done)), (6_000, to(Status::Todo)), (8_000, to(Status::Done))][..upto])
}

fn blocked_events(timeline: &[Event]) -> Vec<(i64, Change)> {
    let events = timeline.iter().filter(|event| event.change.is_from_links());
    events.map(|event| (event.at.0, event.change.clone())).collect()
}

async fn where_links_block_a_task_is_blocked_while_its_blocker_is_open_and_journaled_when_that_ends(engine: Engine) {
    let bench = Bench::with(engine, "blocked: {links: true}");
    bench.sync("jira", vec![blocked(2), blocker(0)]).await;
    assert_eq!(bench.status("1"), Status::Blocked);
    let before = bench.sealed("jira").len();
    let report = bench.sync("jira", vec![blocker(1)]).await;
    assert_eq!(
        (bench.status("1"), report.changes),
        (Status::InProgress, 2),
        "of the blocker, and of the task that it blocked"
    );
    assert_eq!(bench.sealed("jira").len(), before + 2);
    assert_eq!(bench.sync("jira", vec![blocked(2), blocker(1)]).await.changes, 0);
    bench.sync("jira", vec![blocked(3), blocker(3)]).await;
    let blocked_from =
        |from, to| [(from, Change::BlockedByLinks("waits for PROJ-2".into())), (to, Change::UnblockedByLinks)];
    let timeline = &bench.timelines()[&TaskKey::new("jira", "1")];
    assert_eq!(blocked_events(timeline), [blocked_from(2_000, 4_000), blocked_from(6_000, 8_000)].concat());
}

async fn where_links_no_longer_block_their_events_are_removed(engine: Engine) {
    let mut bench = Bench::with(engine, "blocked: {links: true}");
    bench.sync("jira", vec![blocked(2), blocker(0)]).await;
    bench.config = Bench::new(engine, false).config;
    bench.sync("jira", vec![blocked(2), blocker(0)]).await;
    assert_eq!(
        (bench.status("1"), blocked_events(&bench.timelines()[&TaskKey::new("jira", "1")])),
        (Status::InProgress, vec![])
    );
}

async fn where_links_do_not_block_they_add_no_event(engine: Engine) {
    let bench = Bench::new(engine, false);
    bench.sync("jira", vec![blocked(2), blocker(0)]).await;
    assert_eq!(
        (bench.status("1"), blocked_events(&bench.timelines()[&TaskKey::new("jira", "1")])),
        (Status::InProgress, vec![])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn blocked_time_does_not_depend_on_the_order_of_polling(
        steps in proptest::collection::vec((0_usize..=3, 0_usize..=3, any::<bool>()), 0..5),
        blocker_first: bool,
        in_memory: bool,
    ) {
        let engine = if in_memory { Engine::Memory } else { Engine::Disk };
        let (mut most, mut runs) = ((0, 0), Vec::new());
        for (one, two, both) in steps {
            most = (most.0.max(one), most.1.max(two));
            let mut run = vec![blocked(most.0)];
            if both {
                run.push(blocker(most.1));
            }
            runs.push(run);
        }
        runs.push(if blocker_first { vec![blocker(3), blocked(3)] } else { vec![blocked(3), blocker(3)] });
        let all = |runs: Vec<Vec<Observation>>| async {
            let bench = Bench::with(engine, "blocked: {links: true}");
            for run in runs {
                bench.sync("jira", run).await;
            }
            bench.timelines()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (many, once) =
            runtime.block_on(async { (all(runs).await, all(vec![vec![blocked(3), blocker(3)]]).await) });
        prop_assert_eq!(many, once);
    }
}

/// One run: how much of each task's history it returns, or which of the activities.
#[derive(Debug, Clone)]
enum Step {
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

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let jira = (0..=5_usize).prop_map(|upto| Step::Jira { upto });
    let github = (0..7_usize, 0..=7_usize).prop_map(|(a, b)| Step::Github { from: a.min(b), upto: a.max(b) });
    proptest::collection::vec(prop_oneof![jira, github], 0..6)
}

async fn run_all(engine: Engine, order: &[Step]) -> BTreeMap<TaskKey, Vec<Event>> {
    let (history, github) = world();
    let bench = Bench::new(engine, true);
    for step in order {
        match step {
            Step::Jira { upto } => {
                bench.sync("jira", vec![task("1", &history[..*upto]), task("2", &history[..*upto / 2])]).await;
            }
            Step::Github { from, upto } => drop(bench.sync("github", github[*from..*upto].to_vec()).await),
        }
    }
    bench.timelines()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_interleaving_of_tool_and_activities_gives_the_same_events(order in steps(), jira_last: bool, in_memory: bool) {
        let engine = if in_memory { Engine::Memory } else { Engine::Disk };
        // A tool never returns less of its history than before.
        let mut order = order;
        let mut most = 0;
        for step in &mut order {
            if let Step::Jira { upto } = step {
                most = most.max(*upto);
                *upto = most;
            }
        }
        let ends = [Step::Github { from: 0, upto: 7 }, Step::Jira { upto: 5 }];
        order.extend(if jira_last { ends.to_vec() } else { ends.iter().rev().cloned().collect() });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (many, once) = runtime.block_on(async {
            (run_all(engine, &order).await, run_all(engine, &[Step::Jira { upto: 5 }, Step::Github { from: 0, upto: 7 }]).await)
        });
        prop_assert_eq!(&many, &once);
        let one: Vec<StoredEvent> = many[&TaskKey::new("jira", "1")].iter().map(|event| StoredEvent { event: event.clone(), seq: 1 }).collect();
        prop_assert_eq!(timeline::last(&one).unwrap().facts.status, Status::InReview);
    }
}

/// Some tasks of every kind of work: below an epic and above a subtask, blocked by the one before, and with an activity.
fn team(size: usize, moved: bool) -> Vec<Observation> {
    let with = |id: String, parent: Option<String>, blocker: Option<Blocker>| {
        let history = [(2_000, to(if moved { Status::Done } else { Status::InProgress }))];
        let Observation::Task(mut seen) = task(&id, &history) else { panic!("a task") };
        let parent = parent.map(|id| ParentRef { native_id: id.into(), key: None });
        let Change::Created(first) = &mut seen.history[0].change else { panic!("a creation") };
        first.parent.clone_from(&parent);
        seen.present.parent = parent;
        seen.blockers.extend(blocker);
        Observation::Task(seen)
    };
    let of = |n: usize| {
        let id = n.is_multiple_of(2).then(|| format!("1{}", n + 1));
        let blocker = Blocker { native_id: id, key: format!("PROJ-1{}", n + 1), finished: false };
        let story = with(format!("1{n}"), Some(format!("9{}", n % 3)), Some(blocker));
        [
            with(format!("2{n}"), Some(format!("1{n}")), None),
            story,
            activity(3_000, "commit", &format!("c{n}"), &format!("PROJ-1{n} and PROJ-2{}", n + 1)),
        ]
    };
    let epics = (0..3).map(|n| with(format!("9{n}"), None, None));
    (0..size).flat_map(of).chain(epics).collect()
}

/// The calls of the store by runs over a team of this size: the first, an unchanged one, one in which everything moved, a
/// complete pass that sees all, and one that misses some.
async fn calls(size: usize, pages: usize) -> [u64; 5] {
    let bench = Bench::with(Engine::Memory, LINKED);
    counted(&bench, size, pages, &|| bench.calls.take()).await
}

const LINKED: &str = "derive_status: true, blocked: {links: true}";

/// The same as whatever `count` counts since the last time.
async fn counted(bench: &Bench, size: usize, pages: usize, count_now: &(dyn Fn() -> u64 + Sync)) -> [u64; 5] {
    count_now();
    let mut counts = [0; 5];
    let ids: Vec<String> = bench_ids(size);
    let runs =
        [(false, false, None), (false, false, None), (true, false, None), (true, true, Some(0)), (true, true, Some(3))];
    for (count, (moved, full, missing)) in counts.iter_mut().zip(runs) {
        let observations = team(size, moved);
        let page = observations.len().div_ceil(pages);
        let seen = missing.map(|missing| ids[missing..].to_vec());
        let script = Script { page, seen, ..Script::of(observations) };
        let report = bench.run("jira", script, full).await;
        assert!(report.error.is_none(), "{:?}", report.error);
        *count = count_now();
    }
    counts
}

/// The ids of the tasks of [`team`].
fn bench_ids(size: usize) -> Vec<String> {
    let tasks = team(size, false).into_iter().filter_map(|observation| match observation {
        Observation::Task(seen) => Some(seen.native_id.to_string()),
        _ => None,
    });
    tasks.collect()
}

fn running(name: &str, state: SprintState) -> Observation {
    let facts = SprintFacts {
        name: name.to_owned(),
        goal: None,
        project: None,
        state,
        start: Some(Millis(1_000)),
        end: None,
        completed: None,
        exact: true,
    };
    Observation::Sprint { native_id: "7".into(), facts }
}

/// What a tool lists on every poll is no news, so it is not stored again and nothing is exported.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_news_stores_its_result_and_has_nothing_to_export() {
    let bench = Bench::new(Engine::Memory, true);
    let sprint = |name: &str, state| vec![running(name, state)];
    assert!(bench.sync("jira", sprint("Sprint 1", SprintState::Active)).await.sealed);
    let (head, sealed) = (bench.store.head().unwrap(), bench.store.sealed("jira").unwrap());
    bench.calls.take();
    let report = bench.sync("jira", sprint("Sprint 1", SprintState::Active)).await;
    assert_eq!((report.records, report.changes, report.sealed), (1, 0, false));
    assert_eq!((bench.store.head().unwrap(), bench.store.sealed("jira").unwrap()), (head + 1, sealed), "one commit");
    let status = bench.store.source_status("jira").unwrap();
    assert_eq!((status.last_attempt, status.tool_count), (Some(NOW), Some(1)));
    for (name, state) in [("Sprint 1", SprintState::Closed), ("Sprint 1, late", SprintState::Closed)] {
        let report = bench.sync("jira", sprint(name, state)).await;
        assert_eq!((report.changes, report.sealed), (1, true), "{name}");
    }
    assert_eq!(bench.sealed("jira").len(), 2, "it started and closed");
}

/// What a source has not sealed is sealed by its next run, also when that brings nothing itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_the_journal_is_sealed_by_a_run_without_news() {
    let bench = Bench::new(Engine::Memory, true);
    for _ in 0..2 {
        bench.sync("jira", vec![]).await;
    }
    assert!(!bench.sync("jira", vec![]).await.sealed);
    let mut other = bench.store.begin().unwrap();
    other.journal("jira", &Item::Task(TaskKey::new("jira", "1"))).unwrap();
    let seq = other.commit().unwrap();
    assert!(bench.sync("jira", vec![]).await.sealed);
    assert!(bench.store.sealed("jira").unwrap() >= seq);
    assert!(!bench.sync("jira", vec![]).await.sealed, "it was not exported yet, and is sealed");
}

/// On a network that adds a millisecond, too: what is not sent at once would show here.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_costs_postgresql_twenty_statements_at_most() {
    let Some(server) = contextcore_postgres::Postgres::shared() else { return };
    for delay in [0, 1] {
        let proxy = contextcore_postgres::Proxy::start(server.port(), std::time::Duration::from_millis(delay));
        let runs = async |pages| {
            let bench = Bench::over(crate::store::in_postgres_at(server, proxy.port(), "page"), LINKED);
            counted(&bench, 60, pages, &|| proxy.take_statements()).await
        };
        let (one, three) = (runs(1).await, runs(3).await);
        let a_page = std::array::from_fn::<u64, 5, _>(|run| (three[run] - one[run]).div_ceil(2));
        assert!(a_page.iter().all(|statements| (1..=20).contains(statements)), "{a_page:?} a page, {one:?} a run");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_the_store_do_not_grow_with_the_tasks_on_a_page() {
    let (few, many) = (calls(6, 1).await, calls(60, 1).await);
    assert_eq!(few, many);
    let more_pages = calls(60, 3).await;
    let a_page = std::array::from_fn::<u64, 5, _>(|run| (more_pages[run] - many[run]).div_ceil(2));
    assert!(a_page.iter().all(|calls| *calls <= 20), "{a_page:?} a page, {many:?} a run with one page");
}

/// A tool that refuses the token, or that is tried again and again in vain until somebody stops the run.
struct Unwell {
    refuses: bool,
    stop: CancellationToken,
}

#[async_trait]
impl Connector for Unwell {
    fn streams(&self) -> &'static [Stream] {
        &[]
    }

    async fn open(&self, _: Option<serde_json::Value>, _: &Run) -> Result<Box<dyn SourceSession>> {
        if self.refuses {
            return Err(Error::new(ErrorKind::Auth, "log in: the token was refused"));
        }
        let (reason, kind) = ("HTTP 500".to_owned(), ErrorKind::Unavailable);
        observer::report(&Retrying { reason, kind, retry: 1, of: 8, wait: std::time::Duration::from_secs(2) });
        self.stop.cancel();
        std::future::pending().await
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }
}

impl Bench {
    /// The status of a source after a run that failed, or was stopped.
    async fn unwell(&self, refuses: bool) -> SourceStatus {
        let stop = CancellationToken::new();
        let source = Source {
            config: self.config.sources[0].clone(),
            connector: Box::new(Unwell { refuses, stop: stop.clone() }),
            portfolio: std::sync::Mutex::default(),
            insights: std::sync::Mutex::default(),
        };
        let options = Options { now: Some(NOW), ..Options::default() };
        let report = sync_source(&self.store, &source, &options, &Quiet, &stop).await;
        let kind = if refuses { ErrorKind::Auth } else { ErrorKind::Cancelled };
        assert_eq!(report.error.unwrap().kind(), kind);
        self.store.source_status("jira").unwrap()
    }
}

#[tokio::test]
async fn a_stopped_run_keeps_what_was_wrong_before_and_is_no_failure() {
    let bench = Bench::new(Engine::Memory, false);
    for _ in 0..3 {
        bench.unwell(true).await;
    }
    let status = bench.unwell(false).await;
    assert_eq!((status.failures, status.last_error_kind), (3, Some(ErrorKind::Auth)));
    assert_eq!(status.last_error.as_deref(), Some("log in: the token was refused"));
    assert_eq!(status.counters.errors, BTreeMap::from([("auth".to_owned(), 3)]));
}

#[tokio::test]
async fn a_run_stopped_in_vain_tries_names_the_last_answer() {
    let bench = Bench::new(Engine::Memory, false);
    bench.sync("jira", vec![task("1", &[])]).await;
    for _ in 0..3 {
        let status = bench.unwell(false).await;
        assert_eq!((status.failures, status.last_error_kind), (0, Some(ErrorKind::Unavailable)));
        assert_eq!(status.last_error.as_deref(), Some("HTTP 500, still tried when the run was stopped"));
        assert!(status.counters.errors.is_empty());
    }
    bench.sync("jira", vec![task("1", &[])]).await;
    assert_eq!(bench.store.source_status("jira").unwrap().last_error, None);
}
