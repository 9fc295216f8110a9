//! A backend in memory for tests: the queries are those of the program, on a store that nobody else has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contextcore_core::config::{self, Config};
use contextcore_core::model::config::ProjectConfig;
use contextcore_core::model::guidance::GuidanceItem;
use contextcore_core::model::insight::{InsightRecord, InsightReport, Said};
use contextcore_core::model::operation::{InsightEmit, Operation};
use contextcore_core::model::time::DAY;
use contextcore_core::query::{
    Found, Freshness, InsightQuery, InsightSelector, InsightView, ListQuery, ProjectQuery, ProjectReport, ShowView,
    TaskFilter, TaskSelector, Viewer,
};
use contextcore_core::store::{MemoryKv, Store};
use contextcore_core::{Millis, Result};

use crate::backend::{Backend, BudgetLeft, Reads, TaskPage, Written};

/// The moment of every question.
pub(crate) const NOW: Millis = Millis(20_000 * DAY);

pub(crate) struct Fake {
    store: Store,
    config: Config,
    last: AtomicU64,
}

impl Default for Fake {
    fn default() -> Self {
        let store = Store::over(Arc::new(MemoryKv::default())).unwrap();
        Self { store, config: config::parse("{}", "fake.yaml", &[]).unwrap(), last: AtomicU64::new(0) }
    }
}

impl Fake {
    /// Stores insights as if somebody had just reported them.
    pub(crate) fn emit(&self, project: &str, emits: impl IntoIterator<Item = InsightEmit>) {
        let mut transaction = self.store.begin().unwrap();
        for emit in emits {
            let number = self.last.fetch_add(1, Ordering::Relaxed);
            let mut record = InsightRecord::new("agents", project, &emit.id);
            record.add([InsightReport::new("0f", number, NOW, None, Said::Emit(Box::new(emit)))]);
            transaction.put_insight(None, &record).unwrap();
        }
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

    fn write(&self, _: &str, _: Operation, _: &str) -> Result<Written> {
        Ok(Written { is_visible: false })
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

    fn project(&self, query: &ProjectQuery) -> Result<ProjectReport> {
        self.0.viewer().project(query)
    }

    fn projects(&self) -> Result<Vec<ProjectReport>> {
        self.0.viewer().projects()
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
        Ok(Vec::new())
    }
}
