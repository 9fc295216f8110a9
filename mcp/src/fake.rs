//! A backend in memory for tests: the queries are those of the program, on a store that nobody else has.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use contextcore_core::config::{self, Config};
use contextcore_core::export::calls::Call;
use contextcore_core::lock;
use contextcore_core::model::config::ProjectConfig;
use contextcore_core::model::guidance::GuidanceItem;
use contextcore_core::model::insight::{Insight, InsightRecord, InsightReport, Said, fold};
use contextcore_core::model::operation::{InsightEmit, Operation};
use contextcore_core::model::time::DAY;
use contextcore_core::model::{Change, Facts, Status, StoredEvent, TaskKey};
use contextcore_core::query::{
    Found, Freshness, InsightQuery, InsightSelector, InsightView, ListQuery, ProjectQuery, ProjectReport, ShowView,
    TaskFilter, TaskSelector, Viewer,
};
use contextcore_core::store::{MemoryKv, Store};
use contextcore_core::{Millis, Result};
use contextcore_model::samples;

use crate::backend::{Backend, BudgetLeft, Reads, TaskPage, Written};

/// The moment of every question.
pub(crate) const NOW: Millis = Millis(20_000 * DAY);

pub(crate) struct Fake {
    store: Store,
    config: Config,
    last: AtomicU64,
    records: Mutex<BTreeMap<String, InsightRecord>>,
    pub(crate) guidance: Mutex<Vec<GuidanceItem>>,
    /// Projects beside those of the store.
    pub(crate) projects: Mutex<Vec<String>>,
    /// Whether what is written is not stored yet.
    pub(crate) is_late: AtomicBool,
    /// Whether tasks are of a tool, and what is reported of them is taken in.
    pub(crate) is_tool: AtomicBool,
    /// What was given to whom, and what was called.
    pub(crate) given: Mutex<Vec<(String, String)>>,
    pub(crate) calls: Mutex<Vec<Call>>,
}

impl Default for Fake {
    fn default() -> Self {
        let store = Store::over(Arc::new(MemoryKv::default())).unwrap();
        let config = config::parse("{}", "fake.yaml", &[]).unwrap();
        Self {
            store,
            config,
            last: AtomicU64::new(0),
            records: Mutex::default(),
            guidance: Mutex::default(),
            projects: Mutex::default(),
            is_late: AtomicBool::new(false),
            is_tool: AtomicBool::new(false),
            given: Mutex::default(),
            calls: Mutex::default(),
        }
    }
}

impl Fake {
    /// Stores insights as if somebody had just reported them.
    pub(crate) fn emit(&self, project: &str, emits: impl IntoIterator<Item = InsightEmit>) {
        let mut transaction = self.store.begin().unwrap();
        for emit in emits {
            let mut record = InsightRecord::new("agents", project, &emit.id);
            record.add([self.report(Said::Emit(Box::new(emit)))]);
            transaction.put_insight(None, &record).unwrap();
            lock(&self.records).insert(record.id.clone(), record);
        }
        transaction.commit().unwrap();
    }

    fn report(&self, said: Said) -> InsightReport {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        InsightReport::new("0f", number, NOW, None, said)
    }

    /// Stores what is said of an insight.
    pub(crate) fn say(&self, project: &str, id: &str, said: Said) {
        let mut records = lock(&self.records);
        let record = records.entry(id.to_owned()).or_insert_with(|| InsightRecord::new("agents", project, id));
        let before = fold(record);
        record.add([self.report(said)]);
        let mut transaction = self.store.begin().unwrap();
        transaction.put_insight(before.as_ref(), record).unwrap();
        transaction.commit().unwrap();
    }

    /// The insights that are stored.
    pub(crate) fn stored(&self) -> Vec<Insight> {
        lock(&self.records).values().filter_map(fold).map(|folded| folded.insight).collect()
    }

    /// Stores a task.
    pub(crate) fn task(&self, key: &str, title: &str, more: Vec<StoredEvent>) {
        self.task_of("shop", (key, key), title, more);
    }

    /// Stores a task of a project, by its own id and its key.
    pub(crate) fn task_of(&self, project: &str, (id, key): (&str, &str), title: &str, more: Vec<StoredEvent>) {
        let facts = Facts {
            key: key.into(),
            project: project.into(),
            title: title.into(),
            ..samples::facts(Status::InProgress)
        };
        let timeline = std::iter::once(samples::stored(1, Change::Created(Box::new(facts)))).chain(more).collect();
        let mut transaction = self.store.begin().unwrap();
        transaction.put_task(&TaskKey::new("agents", id), None, &samples::record(timeline), false).unwrap();
        transaction.commit().unwrap();
    }

    fn viewer(&self) -> Viewer<'_> {
        Viewer::new(&self.store, &self.config, NOW)
    }
}

impl Backend for Fake {
    fn open(&self) -> Result<Box<dyn Reads + '_>> {
        Ok(Box::new(Open(self)))
    }

    fn write(&self, project: &str, operation: Operation, _: &str) -> Result<Written> {
        let is_visible = !self.is_late.load(Ordering::Relaxed);
        match operation {
            Operation::InsightEmit(emit) if is_visible => self.say(project, &emit.id.clone(), Said::Emit(emit)),
            Operation::InsightUpdate(update) if is_visible => {
                self.say(project, &update.id.clone(), Said::Update(update))
            }
            _ => return Ok(Written { is_visible: self.is_tool.load(Ordering::Relaxed) }),
        }
        Ok(Written { is_visible })
    }

    fn served(&self, ids: Vec<String>, agent: &str) {
        lock(&self.given).extend(ids.into_iter().map(|id| (agent.to_owned(), id)));
    }

    fn called(&self, call: Call) {
        lock(&self.calls).push(call);
    }

    fn tasks_near(&self, _: &[String]) -> Option<Vec<String>> {
        None
    }

    fn now(&self) -> Millis {
        NOW
    }
}

struct Open<'a>(&'a Fake);

impl Reads for Open<'_> {
    fn tasks(&self, query: &ListQuery<TaskFilter>) -> Result<TaskPage> {
        let mut tasks = Vec::new();
        let end = self.0.viewer().each_json(query, |item| {
            tasks.push(serde_json::from_str(item.get()).unwrap());
            Ok::<(), contextcore_core::Error>(())
        })?;
        Ok(TaskPage { tasks, next: end.next.map(|next| next.to_string()), total: end.total })
    }

    fn sprint_names(&self) -> Result<BTreeMap<(String, String), String>> {
        Ok(BTreeMap::new())
    }

    fn task(&self, selector: &TaskSelector) -> Result<ShowView> {
        self.0.viewer().show(selector)
    }

    fn is_reported(&self, _: &str) -> bool {
        !self.0.is_tool.load(Ordering::Relaxed)
    }

    fn project(&self, query: &ProjectQuery) -> Result<ProjectReport> {
        self.0.viewer().project(query)
    }

    fn projects(&self) -> Result<Vec<ProjectReport>> {
        let mut all = self.0.viewer().projects()?;
        if let Some(first) = all.first().cloned() {
            let named = |id: &String| ProjectReport { id: id.clone(), name: id.clone(), ..first.clone() };
            all.extend(lock(&self.0.projects).iter().map(named));
        }
        Ok(all)
    }

    fn freshness(&self) -> Result<Freshness> {
        self.0.viewer().freshness()
    }

    fn insights(&self, query: &InsightQuery) -> Result<Found> {
        self.0.viewer().find_insights(query)
    }

    fn insight(&self, selector: &InsightSelector) -> Result<InsightView> {
        self.0.viewer().insight(selector)
    }

    fn relative(&self, path: &str) -> String {
        path.to_owned()
    }

    fn project_config(&self, _: &str) -> Option<ProjectConfig> {
        None
    }

    fn budgets_left(&self, _: &str) -> Vec<BudgetLeft> {
        Vec::new()
    }

    fn guidance(&self, _: &str) -> Result<Vec<GuidanceItem>> {
        Ok(lock(&self.0.guidance).clone())
    }
}
