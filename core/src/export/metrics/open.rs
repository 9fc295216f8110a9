//! The series of open tasks: the info of each, and the progress of an open epic.
//!
//! Their parents and sums are read a page at a time: a thousand epics are a few calls of the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::points::{Points, Values};
use crate::export::context::ExportContext;
use crate::export::lineage::TimelineCache;
use crate::export::message::Attributes;
use crate::model::error::Result;
use crate::model::semconv as names;
use crate::model::time::Millis;
use crate::model::{Facts, SmolStr, TaskKey, TaskType};
use crate::store::TASKS_AT_ONCE;

/// Gathers open tasks, and makes their series.
pub(super) struct OpenTasks<'a> {
    cache: &'a TimelineCache<'a>,
    context: &'a ExportContext<'a>,
    now: Millis,
    with_info: bool,
    /// Those whose series are not made yet.
    page: Vec<OpenTask>,
    by_project: BTreeMap<String, Vec<Points>>,
}

struct OpenTask {
    key: TaskKey,
    url: String,
    facts: Arc<Facts>,
}

impl<'a> OpenTasks<'a> {
    pub(super) const fn new(
        cache: &'a TimelineCache<'a>,
        context: &'a ExportContext<'a>,
        now: Millis,
        with_info: bool,
    ) -> Self {
        Self { cache, context, now, with_info, page: Vec::new(), by_project: BTreeMap::new() }
    }

    /// Adds a task.
    pub(super) fn add(&mut self, key: &TaskKey, url: &str, facts: &Arc<Facts>) -> Result<()> {
        self.page.push(OpenTask { key: key.clone(), url: url.to_owned(), facts: Arc::clone(facts) });
        if self.page.len() < TASKS_AT_ONCE { Ok(()) } else { self.next_page() }
    }

    /// The series, by project.
    pub(super) fn finish(mut self) -> Result<BTreeMap<String, Vec<Points>>> {
        self.next_page()?;
        Ok(self.by_project)
    }

    fn next_page(&mut self) -> Result<()> {
        let page = std::mem::take(&mut self.page);
        let parent = |task: &OpenTask| Some(TaskKey::new(&*task.key.source, &*task.facts.parent.as_ref()?.native_id));
        if self.with_info {
            let mut parents: Vec<TaskKey> = page.iter().filter_map(parent).collect();
            parents.sort_unstable();
            parents.dedup();
            self.cache.read_ahead(&parents)?;
        }
        let epics = page.iter().filter(|task| task.facts.task_type == TaskType::Epic);
        self.cache.read_rollups_ahead(&epics.map(|task| task.key.clone()).collect::<Vec<_>>())?;
        for task in &page {
            let project = self.context.project_id(&task.key.source, &task.facts.project);
            let series = self.of(task, &project)?;
            self.by_project.entry(project).or_default().extend(series);
        }
        Ok(())
    }

    fn of(&self, OpenTask { key, url, facts }: &OpenTask, project_id: &str) -> Result<Vec<Points>> {
        let one = |metric, attributes: Attributes, value| Points {
            metric,
            attributes,
            values: Values::Numbers(vec![(self.now, value)]),
        };
        let own = || Attributes::new().text(names::PROJECT_ID, project_id);
        let title = self.context.title(&facts.title);
        let mut series = Vec::new();
        if self.with_info {
            let parent = self.cache.parent_key(key, facts, self.now)?;
            let attributes = own()
                .text(names::TASK_ID, &facts.key)
                .maybe(names::TASK_TITLE, title)
                .text(names::TASK_TYPE, facts.task_type.as_str())
                .text(names::TASK_STATUS, facts.effective_status().as_str())
                .maybe(names::TASK_ASSIGNEE, self.context.person(facts.assignee.as_deref()).as_deref())
                .maybe(names::TASK_PARENT_ID, parent.as_deref())
                .maybe(names::SPRINT_ID, facts.sprints.last().map(SmolStr::as_str))
                .text(names::TASK_URL, url);
            series.push(one(names::M_TASK_INFO, attributes, 1.0));
        }
        if facts.task_type == TaskType::Epic {
            let percent = self.cache.rollup(key)?.percent_complete().unwrap_or(0.0);
            let attributes = own().text(names::EPIC_ID, &facts.key).maybe(names::EPIC_TITLE, title);
            series.push(one(names::M_EPIC_PERCENT, attributes, percent));
        }
        Ok(series)
    }
}
