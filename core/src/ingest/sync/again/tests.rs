//! Records that a tool can serve, cannot serve, or serves in a form nobody understands: what a run makes of each,
//! and of the same records later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::config::kind::unchecked;
use crate::config::{self, Config};
use crate::http::Stats;
use crate::ingest::connector::{
    CheckReport, Connector, Cursor, Page, RawRecord, Run, SourceSession, Stream, Unreadable,
};
use crate::ingest::sync::{Options, Source, SourceReport, sync_source};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::observation::{Observation, TaskObservation};
use crate::model::samples::facts;
use crate::model::time::{DAY, Millis};
use crate::model::{Change, Event, EventId, SprintFacts, SprintState, Status, TaskKey};
use crate::progress::Quiet;
use crate::store::{Listed, MemoryKv, Store};

/// What the tool does with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Served,
    Odd,
    Unserved,
    /// Listed by a complete pass, given by no other stream, and served by its id.
    OnlyById,
    /// Listed by a complete pass and unknown by its id.
    Foreign,
    /// Listed by a complete pass; its record holds no task.
    Empty,
    /// Not listed, and served by its id.
    Unlisted,
    /// Served, as gone.
    Archived,
}

/// A tool whose tool a test changes between runs. Its changes are given once, unless asked for again.
#[derive(Clone, Default)]
struct Tool {
    rows: Arc<Mutex<BTreeMap<String, Row>>>,
    open_sprints: Arc<Mutex<Option<Vec<String>>>>,
    sprints: Arc<Mutex<Vec<(String, SprintFacts)>>>,
    asked: Arc<Mutex<Vec<String>>>,
    refuses: Arc<Mutex<bool>>,
    withheld: Arc<Mutex<Vec<String>>>,
    warnings: Arc<Mutex<Vec<String>>>,
    is_down: Arc<Mutex<bool>>,
    /// A row of the complete pass has no id.
    nameless: Arc<Mutex<bool>>,
}

impl Tool {
    fn put(&self, rows: &[(&str, Row)]) {
        *self.rows.lock().unwrap() = rows.iter().map(|(id, row)| ((*id).to_owned(), *row)).collect();
    }

    fn record(id: &str, row: Row) -> RawRecord {
        RawRecord::new("changes", id, format!("{row:?}"))
    }

    fn page(&self, wanted: impl Fn(&String, Row) -> Option<Row>) -> Page {
        let mut page = Page::default();
        for (id, row) in self.rows.lock().unwrap().iter() {
            match wanted(id, *row) {
                None | Some(Row::Foreign) => {}
                Some(Row::Unserved) => {
                    page.unreadable.push(Unreadable { native_id: id.clone(), reason: "HTTP 500".to_owned() });
                }
                Some(row) => page.records.push(Self::record(id, row)),
            }
        }
        page
    }
}

#[async_trait]
impl Connector for Tool {
    fn streams(&self) -> &'static [Stream] {
        &[Stream { name: "changes", complete: false }, Stream { name: "ids", complete: true }]
    }

    async fn open(&self, _: Option<serde_json::Value>, _: &Run) -> Result<Box<dyn SourceSession>> {
        match *self.is_down.lock().unwrap() {
            true => Err(Error::new(ErrorKind::Unavailable, "the tool cannot be reached")),
            false => Ok(Box::new(self.clone())),
        }
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }
}

#[async_trait]
impl SourceSession for Tool {
    fn state(&self) -> Result<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }

    async fn check(&self) -> Result<CheckReport> {
        Ok(CheckReport::default())
    }

    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>) -> Result<Page> {
        if stream == "ids" {
            let nameless = *self.nameless.lock().unwrap();
            // What stands for a row without an id is named by the complete pass as by the stream of changes.
            let page = self.page(|_, row| Some(row).filter(|row| nameless && *row == Row::Unserved));
            let rows = self.rows.lock().unwrap();
            let seen = rows.iter().filter(|(_, row)| **row != Row::Unlisted).map(|(id, _)| id.clone()).collect();
            return Ok(Page { seen, nameless, ..page });
        }
        let given_once = cursor.is_some();
        let mut page =
            self.page(|_, row| Some(row).filter(|row| !given_once && !matches!(row, Row::OnlyById | Row::Unlisted)));
        let sprints = self.sprints.lock().unwrap();
        page.records.extend(sprints.iter().map(|(id, _)| Self::record(id, Row::Served)));
        page.open_sprints.clone_from(&self.open_sprints.lock().unwrap());
        page.withheld.clone_from(&self.withheld.lock().unwrap());
        page.warnings.clone_from(&self.warnings.lock().unwrap());
        page.cursor = Cursor(true.into());
        Ok(page)
    }

    async fn read_again(&self, ids: &[String]) -> Result<Page> {
        self.asked.lock().unwrap().extend_from_slice(ids);
        if *self.refuses.lock().unwrap() {
            return Err(Error::new(ErrorKind::Unavailable, "the tool cannot be reached"));
        }
        Ok(self.page(|id, row| ids.contains(id).then_some(row)))
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        if let Some((native_id, facts)) = self.sprints.lock().unwrap().iter().find(|(id, _)| *id == record.native_id) {
            return Ok(vec![Observation::Sprint { native_id: native_id.clone(), facts: facts.clone() }]);
        }
        match &*record.json()? {
            "Odd" => Err(Error::new(ErrorKind::Protocol, "a time outside the calendar")),
            "Empty" => Ok(Vec::new()),
            "Archived" => Ok(vec![task(&record.native_id), Observation::Gone { native_id: record.native_id.clone() }]),
            _ => Ok(vec![task(&record.native_id)]),
        }
    }
}

fn task(id: &str) -> Observation {
    let (key, present) = (TaskKey::new("acme", id), facts(Status::Todo));
    let change = Change::Created(Box::new(present.clone()));
    let created = Event { id: EventId::of(&key, "created"), at: Millis(1_000), actor: None, observed: false, change };
    Observation::Task(Box::new(TaskObservation {
        native_id: id.into(),
        url: String::new(),
        reporter: None,
        updated: Millis(1_000),
        history: vec![created],
        present,
        blockers: Vec::new(),
    }))
}

struct Rig {
    store: Store,
    config: Config,
    tool: Tool,
    now: Millis,
}

impl Rig {
    fn new(rows: &[(&str, Row)]) -> Self {
        let text = "sources: [{name: acme, kind: jira, url: 'https://example.com', auth: {token: {env: TOKEN}}}]";
        let config = config::parse(text, "test.yaml", &[unchecked("jira")]).unwrap();
        let tool = Tool::default();
        tool.put(rows);
        Self { store: Store::over(Arc::new(MemoryKv::default())).unwrap(), config, tool, now: Millis(100 * DAY) }
    }

    /// One run, `later` milliseconds after the one before.
    async fn run(&mut self, later: i64) -> SourceReport {
        self.now = self.now.plus(later);
        let source = Source {
            config: self.config.sources[0].clone(),
            connector: Box::new(self.tool.clone()),
            portfolio: std::sync::Mutex::default(),
            insights: std::sync::Mutex::default(),
        };
        let options = Options { now: Some(self.now), ..Options::default() };
        self.tool.asked.lock().unwrap().clear();
        sync_source(&self.store, &source, &options, &Quiet, &CancellationToken::new()).await
    }

    fn tasks(&self) -> Vec<String> {
        self.store.tasks(None).map(|item| item.unwrap().0.native_id.to_string()).collect()
    }

    fn quarantined(&self) -> Vec<(String, bool)> {
        let all = self.store.quarantined_records(None).unwrap();
        all.into_iter().map(|record| (record.native_id.clone(), record.is_unreadable())).collect()
    }

    fn listed(&self) -> Listed {
        self.store.source_status("acme").unwrap().listed.unwrap()
    }

    /// Journal items that may be exported.
    fn sealed(&self) -> usize {
        self.store.journal("acme", 0, self.store.sealed("acme").unwrap()).count()
    }

    fn asked(&self) -> Vec<String> {
        self.tool.asked.lock().unwrap().clone()
    }
}

const MINUTE: i64 = 60_000;

#[tokio::test]
async fn what_cannot_be_served_costs_itself_and_is_read_again_on_the_next_run() {
    let mut rig = Rig::new(&[("1", Row::Served), ("2", Row::Unserved), ("3", Row::Served)]);
    let report = rig.run(0).await;
    assert!(report.error.is_none(), "{:?}", report.error);
    assert_eq!((report.unreadable, report.set_aside), (1, 0));
    assert_eq!((rig.tasks(), rig.quarantined()), (vec!["1".into(), "3".into()], vec![("2".into(), true)]));
    assert_eq!(rig.sealed(), 2, "what was read can be exported");
    assert_eq!(rig.asked(), [""; 0], "what this run has found is not asked for twice");
    // Also by a clock that stands still.
    rig.run(0).await;
    assert_eq!((rig.asked(), rig.tasks().len()), (vec!["2".to_owned()], 2));
    rig.tool.put(&[("1", Row::Served), ("2", Row::Served), ("3", Row::Served)]);
    rig.run(MINUTE).await;
    assert_eq!((rig.tasks().len(), rig.quarantined()), (3, vec![]));
}

#[tokio::test]
async fn what_was_not_understood_is_read_again_on_a_complete_pass_and_after_an_upgrade() {
    let mut rig = Rig::new(&[("1", Row::Served), ("2", Row::Odd)]);
    rig.run(0).await;
    rig.run(MINUTE).await;
    assert_eq!(rig.asked(), [""; 0]);
    rig.run(DAY).await;
    assert_eq!(rig.asked(), ["2"]);
    let mut status = rig.store.source_status("acme").unwrap();
    status.reread_by = "0.0.1".to_owned();
    let mut transaction = rig.store.begin().unwrap();
    transaction.put_source_status("acme", &status).unwrap();
    transaction.commit().unwrap();
    rig.tool.put(&[("1", Row::Served), ("2", Row::Served)]);
    rig.run(MINUTE).await;
    assert_eq!((rig.asked(), rig.tasks().len(), rig.quarantined()), (vec!["2".to_owned()], 2, vec![]));
}

#[tokio::test]
async fn what_is_shown_as_gone_is_deleted_once_however_often_it_is_read() {
    let mut rig = Rig::new(&[("1", Row::Archived)]);
    let mut seen = Vec::new();
    for row in [Row::Archived, Row::Archived, Row::Served, Row::Archived] {
        rig.tool.put(&[("1", row)]);
        rig.run(MINUTE).await;
        let task = rig.store.task(&TaskKey::new("acme", "1")).unwrap().unwrap();
        seen.push(task.timeline[1..].iter().map(|stored| stored.event.change.clone()).collect::<Vec<_>>());
        let mut transaction = rig.store.begin().unwrap();
        transaction.put_cursor("acme", "changes", None).unwrap();
        transaction.commit().unwrap();
    }
    let all = [Change::Deleted, Change::Restored, Change::Deleted];
    assert_eq!(seen, [&all[..1], &all[..1], &all[..2], &all]);
}

#[tokio::test]
async fn what_does_not_exist_any_more_is_forgotten() {
    let mut rig = Rig::new(&[("1", Row::Served), ("2", Row::Unserved)]);
    rig.run(0).await;
    rig.tool.put(&[("1", Row::Served)]);
    rig.run(MINUTE).await;
    assert_eq!(rig.quarantined(), []);
}

#[tokio::test]
async fn a_failure_to_read_again_is_a_warning() {
    let mut rig = Rig::new(&[("1", Row::Served), ("2", Row::Unserved)]);
    rig.run(0).await;
    *rig.tool.refuses.lock().unwrap() = true;
    let report = rig.run(MINUTE).await;
    assert!(report.error.is_none(), "{:?}", report.error);
    assert!(report.warnings[0].contains("cannot be reached"), "{:?}", report.warnings);
    assert_eq!(rig.quarantined(), [("2".to_owned(), true)]);
}

#[tokio::test]
async fn a_complete_pass_reads_what_it_lists_and_the_store_lacks() {
    let mut rig = Rig::new(&[
        ("1", Row::Served),
        ("2", Row::Unserved),
        ("3", Row::Odd),
        ("4", Row::OnlyById),
        ("5", Row::Foreign),
        ("6", Row::Served),
    ]);
    rig.run(0).await;
    assert_eq!(rig.tasks(), ["1", "6"]);
    let report = rig.run(DAY).await;
    assert!(report.error.is_none(), "{:?}", report.error);
    assert_eq!(rig.tasks(), ["1", "4", "6"]);
    let all = Listed { listed: 6, held: 3, set_aside: 1, unreadable: 1, out_of_scope: 1, missing: 0 };
    assert_eq!(rig.listed(), all);
}

#[tokio::test]
async fn a_listed_task_that_is_nowhere_is_an_error_after_everything_else() {
    let mut rig = Rig::new(&[("1", Row::Served), ("2", Row::Empty)]);
    rig.run(0).await;
    let report = rig.run(DAY).await;
    let error = report.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Coverage);
    assert!(error.full().contains("first=2"), "{}", error.full());
    assert_eq!((rig.listed().held, rig.listed().missing), (1, 1));
    assert_eq!(rig.store.source_status("acme").unwrap().last_complete, Some(rig.now), "the pass itself ended");
}

#[tokio::test]
async fn a_row_without_an_id_may_be_any_task_that_is_not_listed() {
    let mut rig = Rig::new(&[("1", Row::Served), ("2", Row::Served), ("3", Row::Served)]);
    rig.run(0).await;
    let live = |rig: &Rig| {
        let tasks = rig.store.tasks(None).map(|item| item.unwrap());
        let live = tasks.filter(|(_, task)| crate::model::timeline::last(&task.timeline).unwrap().deleted.is_none());
        live.map(|(key, _)| key.native_id.to_string()).collect::<Vec<_>>()
    };
    *rig.tool.nameless.lock().unwrap() = true;
    rig.tool.put(&[("1", Row::Served), ("2", Row::Unlisted), ("changed:1", Row::Unserved)]);
    for expected in [&["1", "2", "3"][..], &["1", "2"], &["1", "2"]] {
        let report = rig.run(DAY).await;
        assert!(report.error.is_none(), "{report:?}");
        assert_eq!((report.unreadable, live(&rig)), (1, expected.iter().map(ToString::to_string).collect()));
        assert_eq!((rig.listed().held, rig.listed().unreadable, rig.listed().missing), (1, 1, 0));
    }
}

#[tokio::test]
async fn most_of_a_page_lost_is_an_error_after_the_rest_was_stored_and_exports_a_run_later() {
    let mut rig = Rig::new(&[("1", Row::Served), ("2", Row::Odd), ("3", Row::Unserved)]);
    let report = rig.run(0).await;
    assert_eq!(report.error.unwrap().kind(), ErrorKind::Coverage);
    assert_eq!((rig.tasks(), rig.quarantined().len()), (vec!["1".to_owned()], 2));
    assert_eq!(rig.sealed(), 0, "sums without the rest would be final");
    assert!(rig.run(MINUTE).await.error.is_none());
    assert_eq!(rig.sealed(), 1, "what stays unreadable holds nothing up");
    for rows in [[("1", Row::Odd), ("2", Row::Served)], [("1", Row::Served), ("2", Row::Unserved)]] {
        assert!(Rig::new(&rows).run(0).await.error.is_none(), "one bad record says nothing about the others");
    }
}

#[tokio::test]
async fn a_list_that_is_refused_and_was_there_before_holds_back_what_the_run_stored() {
    let mut rig = Rig::new(&[("1", Row::Served)]);
    rig.tool.withheld.lock().unwrap().push("cycles cannot be read any more".to_owned());
    for _ in 0..2 {
        let error = rig.run(MINUTE).await.error.unwrap();
        assert_eq!(
            (error.kind(), error.context("first")),
            (ErrorKind::Permission, Some("cycles cannot be read any more"))
        );
        assert_eq!((rig.tasks().len(), rig.sealed()), (1, 0));
    }
    rig.tool.withheld.lock().unwrap().clear();
    assert!(rig.run(MINUTE).await.error.is_none());
    assert_eq!(rig.sealed(), 1);
}

#[tokio::test]
async fn what_a_run_warned_of_is_kept_until_a_run_says_otherwise() {
    let mut rig = Rig::new(&[("1", Row::Served)]);
    let kept = |rig: &Rig| rig.store.source_status("acme").unwrap().warnings;
    *rig.tool.warnings.lock().unwrap() = ["no dependencies", "no dependencies", "no types"].map(String::from).into();
    rig.run(0).await;
    assert_eq!(kept(&rig), ["no dependencies", "no types"]);
    rig.tool.warnings.lock().unwrap().clear();
    *rig.tool.is_down.lock().unwrap() = true;
    assert!(rig.run(MINUTE).await.error.is_some());
    assert_eq!(kept(&rig).len(), 2, "it read nothing");
    *rig.tool.is_down.lock().unwrap() = false;
    rig.run(MINUTE).await;
    assert_eq!(kept(&rig), [""; 0]);
}

#[tokio::test]
async fn a_deleted_sprint_ends_if_it_had_started_and_is_forgotten_if_not() {
    let mut rig = Rig::new(&[("1", Row::Served)]);
    let sprint = |id: &str, state, completed| {
        let (start, end) = (Some(Millis(90 * DAY)), Some(Millis(110 * DAY)));
        let facts =
            SprintFacts { name: id.to_owned(), goal: None, project: None, state, start, end, completed, exact: true };
        (id.to_owned(), facts)
    };
    let past = Some(Millis(95 * DAY));
    let all = [
        sprint("past", SprintState::Closed, past),
        sprint("now", SprintState::Active, None),
        sprint("soon", SprintState::Future, None),
    ];
    *rig.tool.sprints.lock().unwrap() = all.to_vec();
    rig.run(0).await;
    rig.tool.sprints.lock().unwrap().clear();
    rig.run(MINUTE).await;
    assert_eq!(rig.store.sprints(None).unwrap().len(), 3, "a page that does not list all sprints ends none");
    *rig.tool.open_sprints.lock().unwrap() = Some(Vec::new());
    rig.run(MINUTE).await;
    let sprints: BTreeMap<String, SprintFacts> = rig
        .store
        .sprints(None)
        .unwrap()
        .into_iter()
        .map(|(key, sprint)| (key.native_id.into(), sprint.facts))
        .collect();
    assert_eq!(sprints.keys().collect::<Vec<_>>(), ["now", "past"]);
    assert_eq!((sprints["now"].state, sprints["now"].completed), (SprintState::Closed, Some(rig.now)));
    assert_eq!(sprints["past"].completed, past);
    assert_eq!(rig.store.deleted_sprints("acme").unwrap().into_iter().collect::<Vec<_>>(), ["now"]);
    // The tool shows it again: it is listed as what it is.
    *rig.tool.sprints.lock().unwrap() = all.to_vec();
    *rig.tool.open_sprints.lock().unwrap() = Some(vec!["now".to_owned(), "soon".to_owned()]);
    rig.run(MINUTE).await;
    assert_eq!(rig.store.deleted_sprints("acme").unwrap().len(), 0);
    assert_eq!(rig.store.sprints(None).unwrap().len(), 3);
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = prop_oneof![
        4 => Just(Row::Served),
        1 => Just(Row::Odd),
        1 => Just(Row::Unserved),
        1 => Just(Row::OnlyById),
        1 => Just(Row::Foreign),
    ];
    proptest::collection::vec(row, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the tool does with each record, and however that changes, a complete pass accounts for every id, and what can
    /// be served and understood is held.
    #[test]
    fn every_listed_id_is_accounted_for(tools in proptest::collection::vec(rows(), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut rig = Rig::new(&[]);
        for rows in tools {
            let names: Vec<String> = (0..rows.len()).map(|n| n.to_string()).collect();
            rig.tool.put(&names.iter().map(String::as_str).zip(rows.iter().copied()).collect::<Vec<_>>());
            // The first successful run needs no complete pass.
            for later in [MINUTE, MINUTE, DAY] {
                runtime.block_on(rig.run(later));
            }
            let listed = rig.listed();
            prop_assert_eq!(listed.listed, rows.len() as u64);
            prop_assert_eq!(listed.held + listed.set_aside + listed.unreadable + listed.out_of_scope, listed.listed);
            prop_assert_eq!(listed.missing, 0);
            let held = rig.tasks();
            for (name, row) in names.iter().zip(&rows) {
                prop_assert!(!matches!(row, Row::Served | Row::OnlyById) || held.contains(name), "{} of {:?}", name, rows);
            }
        }
    }
}
