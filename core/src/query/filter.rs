//! Which tasks and sprints are asked for, and finding them without reading more of the store than the question needs.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{SprintView, TaskView, Viewer, natural};
use crate::model::error::Result;
use crate::model::time::Millis;
use crate::model::timeline;
use crate::model::{SmolStr, SprintRecord, SprintState, Status, TaskKey, TaskRecord, TaskType};

/// A status, or the word `open` for all that are neither finished nor vanished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum StatusFilter {
    /// Neither finished nor vanished.
    Open,
    /// In this effective status, and not vanished.
    Is(Status),
}

impl fmt::Display for StatusFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.pad("open"),
            Self::Is(status) => status.fmt(f),
        }
    }
}

impl FromStr for StatusFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self::Open),
            _ => text.parse().map(Self::Is).map_err(|error: String| format!("{error}, open")),
        }
    }
}

impl From<StatusFilter> for String {
    fn from(filter: StatusFilter) -> Self {
        filter.to_string()
    }
}

impl TryFrom<String> for StatusFilter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Which tasks: all that fit everything given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskFilter {
    /// A project of the portfolio or a native one, in any case.
    pub project: Option<String>,
    /// Where it stands.
    pub status: Option<StatusFilter>,
    /// The common type.
    #[serde(rename = "type")]
    pub task_type: Option<TaskType>,
    /// A sprint it is in now: native id, or name in any case.
    pub sprint: Option<String>,
    /// Who it is assigned to, in any case.
    pub assignee: Option<String>,
    /// The source.
    pub source: Option<String>,
}

/// Which sprints: all that fit everything given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SprintFilter {
    /// A project of the portfolio or a native one, in any case.
    pub project: Option<String>,
    /// To come, running or over.
    pub state: Option<SprintState>,
    /// Native id, or name in any case.
    pub sprint: Option<String>,
    /// The source.
    pub source: Option<String>,
}

/// Whether a word a person typed means this one.
fn means(typed: &str, word: &str) -> bool {
    typed.to_lowercase() == word.to_lowercase()
}

fn names_sprint(typed: &str, key: &TaskKey, record: &SprintRecord) -> bool {
    typed == key.native_id || means(typed, &record.facts.name)
}

impl Viewer<'_> {
    /// The tasks that fit, sorted by source, then by the key people say.
    pub fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskView>> {
        let mut views = Vec::new();
        for key in self.keys(filter)? {
            views.extend(self.task(&key)?);
        }
        Ok(views)
    }

    /// The tasks that fit, in the order of [`Viewer::tasks`], without what is to be seen of them: for lists too long to hold.
    pub fn keys(&self, filter: &TaskFilter) -> Result<Vec<TaskKey>> {
        let sprints = self.sprints_named(filter)?;
        let mut found = Vec::new();
        self.each_candidate(filter, sprints.as_ref(), &mut |key, record| {
            if let Some(id) = self.fits(&key, record, filter, sprints.as_ref())? {
                found.push((id, key));
            }
            Ok(())
        })?;
        found.sort_by(|(a_id, a), (b_id, b)| in_order((a, a_id), (b, b_id)));
        Ok(found.into_iter().map(|(_, key)| key).collect())
    }

    fn sprints_named(&self, filter: &TaskFilter) -> Result<Option<BTreeSet<TaskKey>>> {
        let Some(typed) = &filter.sprint else { return Ok(None) };
        let all = self.store.sprints(filter.source.as_deref())?;
        Ok(Some(all.into_iter().filter(|(key, record)| names_sprint(typed, key, record)).map(|(key, _)| key).collect()))
    }

    /// Visits every task that can fit, by the narrowest index there is.
    fn each_candidate(
        &self,
        filter: &TaskFilter,
        sprints: Option<&BTreeSet<TaskKey>>,
        visit: &mut dyn FnMut(TaskKey, &TaskRecord) -> Result<()>,
    ) -> Result<()> {
        let source = filter.source.as_deref();
        let keys: Box<dyn Iterator<Item = Result<TaskKey>>> = match (sprints, filter.status) {
            (Some(sprints), _) => {
                let members = sprints.iter().flat_map(|sprint| self.store.members(sprint));
                Box::new(members.collect::<Result<BTreeSet<_>>>()?.into_iter().map(Ok))
            }
            (None, Some(StatusFilter::Is(status))) if status.is_finished() => {
                Box::new(self.store.ended_since(Millis(i64::MIN)))
            }
            (None, Some(_)) => Box::new(self.store.open_tasks(source)),
            (None, None) => {
                return self.store.tasks(source).try_for_each(|item| {
                    let (key, record) = item?;
                    visit(key, &record)
                });
            }
        };
        for key in keys {
            let key = key?;
            if let Some(record) = self.cache.record(&key)? {
                visit(key, &record)?;
            }
        }
        Ok(())
    }

    /// The key people say for a task that fits; `None` when it does not.
    fn fits(
        &self,
        key: &TaskKey,
        record: &TaskRecord,
        filter: &TaskFilter,
        sprints: Option<&BTreeSet<TaskKey>>,
    ) -> Result<Option<SmolStr>> {
        let Some(state) = timeline::last(&record.timeline) else { return Ok(None) };
        let facts = &state.facts;
        let in_one_of = |sprints: &BTreeSet<TaskKey>| {
            facts.sprints.iter().any(|id| sprints.contains(&TaskKey::new(&*key.source, id.as_str())))
        };
        let plain = filter.source.as_ref().is_none_or(|source| *source == key.source)
            && filter.task_type.is_none_or(|wanted| wanted == facts.task_type)
            && filter.project.as_ref().is_none_or(|typed| self.is_in_project(typed, &key.source, &facts.project))
            && filter
                .assignee
                .as_ref()
                .is_none_or(|typed| facts.assignee.as_ref().is_some_and(|who| means(typed, who)))
            && sprints.is_none_or(in_one_of);
        let fits = plain
            && match filter.status {
                None => true,
                Some(_) if state.deleted.is_some() => false,
                Some(StatusFilter::Open) => !facts.status.is_finished(),
                Some(StatusFilter::Is(wanted)) => facts.effective_status() == wanted,
            };
        Ok(fits.then(|| state.facts.key.clone()))
    }

    fn is_in_project(&self, typed: &str, source: &str, project: &str) -> bool {
        means(typed, project) || means(typed, &self.project_id(source, project))
    }

    /// The direct children of a task that are still there, sorted by the key people say.
    pub fn children(&self, key: &TaskKey) -> Result<Vec<TaskView>> {
        let mut views = Vec::new();
        for child in self.store.children(key) {
            views.extend(self.task(&child?)?.filter(|view| view.deleted.is_none()));
        }
        views.sort_by(|a, b| natural::compare(&a.id, &b.id));
        Ok(views)
    }

    /// The tasks that people mean by `name`: a key (in any case) or a native id. A task that is called so now is meant
    /// before those that were called so once; one of each source may be.
    pub fn find(&self, name: &str, source: Option<&str>) -> Result<Vec<TaskView>> {
        let mut keys = self.store.named(name)?;
        if keys.is_empty() {
            keys = self.config.sources.iter().map(|source| TaskKey::new(&*source.name, name)).collect();
        }
        keys.retain(|key| source.is_none_or(|source| source == key.source));
        let mut views = keys.iter().filter_map(|key| self.task(key).transpose()).collect::<Result<Vec<_>>>()?;
        if views.iter().any(|view| means(name, &view.id)) {
            views.retain(|view| means(name, &view.id));
        }
        Ok(views)
    }

    /// The sprints that fit, sorted by source, then by their start (those without one last), then by id.
    pub fn sprints(&self, filter: &SprintFilter) -> Result<Vec<SprintView>> {
        let mut found = self.store.sprints(filter.source.as_deref())?;
        found.retain(|(key, record)| {
            let facts = &record.facts;
            let in_project = |typed: &String| {
                facts.project.as_ref().is_some_and(|project| self.is_in_project(typed, &key.source, project))
            };
            filter.state.is_none_or(|state| state == facts.state)
                && filter.sprint.as_ref().is_none_or(|typed| names_sprint(typed, key, record))
                && filter.project.as_ref().is_none_or(in_project)
        });
        found.sort_by(|(a_key, a), (b_key, b)| {
            let start = |record: &SprintRecord| record.facts.start.unwrap_or(Millis(i64::MAX));
            let by_start = a_key.source.cmp(&b_key.source).then(start(a).cmp(&start(b)));
            by_start.then_with(|| natural::compare(&a_key.native_id, &b_key.native_id))
        });
        found.iter().map(|(key, record)| self.sprint(key, record)).collect()
    }
}

/// The order tasks are listed in: source, key people say, native id.
fn in_order((a, a_id): (&TaskKey, &str), (b, b_id): (&TaskKey, &str)) -> Ordering {
    let by_name = a.source.cmp(&b.source).then_with(|| natural::compare(a_id, b_id));
    by_name.then_with(|| natural::compare(&a.native_id, &b.native_id))
}
