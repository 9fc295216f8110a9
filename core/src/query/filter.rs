//! Filters for tasks and sprints, and how they find their matches through the narrowest index of the store.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::list::{List, Place};
use super::natural;
use super::sprint::SprintView;
use super::task::TaskView;
use super::viewer::Viewer;
use crate::export::lineage::Lineage;
use crate::model::error::Result;
use crate::model::time::Millis;
use crate::model::timeline::{self, State};
use crate::model::{SmolStr, SprintRecord, SprintState, Status, TaskKey, TaskRecord, TaskType, interval, string_enum};

/// A status, or `open` for every task that is neither finished nor deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum StatusFilter {
    /// Neither finished nor deleted.
    Open,
    /// In this effective status, and not deleted.
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

/// Several values of which any may match; written with commas between them. None means no condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[serde(bound(serialize = "T: Clone + fmt::Display", deserialize = "T: FromStr<Err = String>"))]
pub struct AnyOf<T>(pub Vec<T>);

impl<T> Default for AnyOf<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> AnyOf<T> {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: fmt::Display> From<AnyOf<T>> for String {
    fn from(any: AnyOf<T>) -> Self {
        any.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl<T: FromStr<Err = String>> TryFrom<String> for AnyOf<T> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

string_enum! {
    /// What a task is like beside its status.
    Condition {
        /// An impediment holds it up.
        Blocked = "blocked",
        /// It can be taken: open, not blocked, assigned to nobody, and every task that blocks it is finished.
        Ready = "ready",
        /// Open, and nothing happened to it for longer than the source's `stale_after`.
        Stale = "stale",
    }
}

string_enum! {
    /// The order of a list of tasks. Tasks of equal rank follow each other by source and key.
    #[derive(Default)]
    TaskSort {
        /// By source and key.
        #[default]
        Key = "key",
        /// What changed last comes first.
        Updated = "updated",
        /// The newest comes first.
        Created = "created",
        /// The largest estimate comes first.
        Points = "points",
    }
}

/// Which tasks: those that match every given condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskFilter {
    /// A portfolio project or a native one; case does not matter.
    pub project: Option<String>,
    /// Its effective status, or `open`.
    pub status: Option<StatusFilter>,
    /// The common type.
    #[serde(rename = "type")]
    pub task_type: Option<TaskType>,
    /// A sprint it is in now, by native id or name; case does not matter.
    pub sprint: Option<String>,
    /// Its assignee; case does not matter.
    pub assignee: Option<String>,
    /// The source.
    pub source: Option<String>,
    /// Any of these statuses.
    #[serde(skip_serializing_if = "AnyOf::is_empty")]
    pub statuses: AnyOf<StatusFilter>,
    /// Any of these types.
    #[serde(skip_serializing_if = "AnyOf::is_empty")]
    pub types: AnyOf<TaskType>,
    /// A task that it is below, by key; case does not matter.
    pub epic: Option<String>,
    /// Words, each of which its key, title or labels contain; case does not matter.
    pub text: Option<String>,
    /// All of these.
    #[serde(skip_serializing_if = "AnyOf::is_empty")]
    pub is: AnyOf<Condition>,
    /// Changed at this time or later.
    pub updated_since: Option<Millis>,
    /// The order.
    #[serde(skip_serializing_if = "TaskSort::is_by_key")]
    pub sort: TaskSort,
}

impl TaskSort {
    fn is_by_key(&self) -> bool {
        *self == Self::Key
    }
}

/// Which sprints: those that match every given condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SprintFilter {
    /// A portfolio project or a native one; case does not matter.
    pub project: Option<String>,
    /// Future, active or closed.
    pub state: Option<SprintState>,
    /// Native id or name; case does not matter.
    pub sprint: Option<String>,
    /// The source.
    pub source: Option<String>,
}

/// Whether two names are equal when case does not matter.
pub(super) fn is_same(typed: &str, name: &str) -> bool {
    typed.to_lowercase() == name.to_lowercase()
}

fn names_sprint(typed: &str, key: &TaskKey, record: &SprintRecord) -> bool {
    typed == key.native_id || is_same(typed, &record.facts.name)
}

/// Where a task stands in a list: by its rank, then by source, then by the key people use, then by native id.
#[derive(Debug, Serialize, Deserialize)]
pub struct TaskPlace {
    #[serde(default, skip_serializing_if = "is_zero")]
    rank: i64,
    key: TaskKey,
    id: SmolStr,
}

fn is_zero(rank: &i64) -> bool {
    *rank == 0
}

impl Place for TaskPlace {
    fn order(&self, other: &Self) -> Ordering {
        let by_source = self.rank.cmp(&other.rank).then_with(|| self.key.source.cmp(&other.key.source));
        let by_id = by_source.then_with(|| natural::compare(&self.id, &other.id));
        by_id.then_with(|| natural::compare(&self.key.native_id, &other.key.native_id))
    }
}

impl TaskFilter {
    /// Whether only tasks match that are neither finished nor deleted.
    fn wants_open(&self) -> bool {
        let is_open = |status: &StatusFilter| match status {
            StatusFilter::Open => true,
            StatusFilter::Is(status) => !status.is_finished(),
        };
        !self.is.is_empty() || (!self.statuses.is_empty() && self.statuses.0.iter().all(is_open))
    }
}

fn has_status(state: &State, wanted: StatusFilter) -> bool {
    match wanted {
        _ if state.deleted.is_some() => false,
        StatusFilter::Open => !state.facts.status.is_finished(),
        StatusFilter::Is(wanted) => state.facts.effective_status() == wanted,
    }
}

/// Whether the key, title or labels contain each of the words.
fn mentions(state: &State, words: &str) -> bool {
    let facts = &state.facts;
    let labels = facts.labels.iter().map(SmolStr::as_str);
    let text = [facts.key.as_str(), facts.title.as_str()].into_iter().chain(labels).collect::<Vec<_>>().join("\n");
    let text = text.to_lowercase();
    words.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

/// The rank of a task in an order: the lowest comes first.
fn rank(sort: TaskSort, record: &TaskRecord, state: &State) -> i64 {
    match sort {
        TaskSort::Key => 0,
        TaskSort::Updated => -record.updated.0,
        TaskSort::Created => record.timeline.first().map_or(0, |first| -first.event.at.0),
        TaskSort::Points => -crate::model::totals::milli(state.facts.estimate),
    }
}

impl List for TaskFilter {
    type View = TaskView;
    type Place = TaskPlace;
    const NAME: &'static str = "tasks";

    fn places(&self, viewer: &Viewer<'_>) -> Result<Vec<TaskPlace>> {
        let sprints = viewer.sprints_named(self)?;
        let mut found = Vec::new();
        viewer.each_candidate(self, sprints.as_ref(), &mut |key, record| {
            if let Some(state) = viewer.matching_state(&key, record, self, sprints.as_ref())? {
                found.push(TaskPlace { rank: rank(self.sort, record, &state), key, id: state.facts.key.clone() });
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn check_names(&self, viewer: &Viewer<'_>) -> Result<()> {
        viewer.check_task_names(self)
    }

    fn read_ahead(viewer: &Viewer<'_>, places: &[TaskPlace]) -> Result<()> {
        viewer.read_ahead(&places.iter().map(|place| place.key.clone()).collect::<Vec<_>>())
    }

    fn view(viewer: &Viewer<'_>, place: &TaskPlace) -> Result<Option<TaskView>> {
        viewer.task(&place.key)
    }
}

/// Where a sprint stands in a list: by source, then by start (those without one last), then by native id.
#[derive(Debug, Serialize, Deserialize)]
pub struct SprintPlace {
    key: TaskKey,
    start: Option<Millis>,
}

impl Place for SprintPlace {
    fn order(&self, other: &Self) -> Ordering {
        let start = |place: &Self| place.start.unwrap_or(Millis(i64::MAX));
        let by_start = self.key.source.cmp(&other.key.source).then_with(|| start(self).cmp(&start(other)));
        by_start.then_with(|| natural::compare(&self.key.native_id, &other.key.native_id))
    }
}

impl List for SprintFilter {
    type View = SprintView;
    type Place = SprintPlace;
    const NAME: &'static str = "sprints";

    fn places(&self, viewer: &Viewer<'_>) -> Result<Vec<SprintPlace>> {
        let mut found = viewer.store.sprints(self.source.as_deref())?;
        let deleted = viewer.deleted_sprints()?;
        found.retain(|(key, record)| {
            if deleted.contains(key) {
                return false;
            }
            let facts = &record.facts;
            let in_project = |typed: &String| {
                facts.project.as_ref().is_some_and(|project| viewer.is_in_project(typed, &key.source, project))
            };
            self.state.is_none_or(|state| state == facts.state)
                && self.sprint.as_ref().is_none_or(|typed| names_sprint(typed, key, record))
                && self.project.as_ref().is_none_or(in_project)
        });
        Ok(found.into_iter().map(|(key, record)| SprintPlace { key, start: record.facts.start }).collect())
    }

    fn check_names(&self, viewer: &Viewer<'_>) -> Result<()> {
        viewer.check_sprint_names(self)
    }

    fn view(viewer: &Viewer<'_>, place: &SprintPlace) -> Result<Option<SprintView>> {
        let record = viewer.sprint_record(&place.key)?;
        record.map(|record| viewer.sprint(&place.key, &record)).transpose()
    }
}

impl Viewer<'_> {
    /// The sprints that are not listed because their tool deleted them.
    fn deleted_sprints(&self) -> Result<BTreeSet<TaskKey>> {
        let mut all = BTreeSet::new();
        for source in &self.config.sources {
            let deleted = self.store.deleted_sprints(&source.name)?;
            all.extend(deleted.into_iter().map(|id| TaskKey::new(&*source.name, id)));
        }
        Ok(all)
    }

    /// The tasks that match, sorted by source, then by the key people use.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskView>> {
        self.all(filter)
    }

    /// The sprints that match, sorted by source, then by start (those without one last), then by id.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn sprints(&self, filter: &SprintFilter) -> Result<Vec<SprintView>> {
        self.all(filter)
    }

    fn sprints_named(&self, filter: &TaskFilter) -> Result<Option<BTreeSet<TaskKey>>> {
        let Some(typed) = &filter.sprint else { return Ok(None) };
        let all = self.store.sprints(filter.source.as_deref())?;
        Ok(Some(all.into_iter().filter(|(key, record)| names_sprint(typed, key, record)).map(|(key, _)| key).collect()))
    }

    /// Visits every task that can match, through the narrowest index there is.
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
            (None, None) if filter.wants_open() => Box::new(self.store.open_tasks(source)),
            (None, None) => {
                return self.store.tasks(source).try_for_each(|item| {
                    let (key, record) = item?;
                    visit(key, &record)
                });
            }
        };
        self.cache.each_record(keys, visit)
    }

    /// The state of a task that matches; `None` for one that does not.
    fn matching_state(
        &self,
        key: &TaskKey,
        record: &TaskRecord,
        filter: &TaskFilter,
        sprints: Option<&BTreeSet<TaskKey>>,
    ) -> Result<Option<State>> {
        let Some(state) = timeline::last(&record.timeline) else { return Ok(None) };
        let facts = &state.facts;
        let in_one_of = |sprints: &BTreeSet<TaskKey>| {
            facts.sprints.iter().any(|id| sprints.contains(&TaskKey::new(&*key.source, id.as_str())))
        };
        let matches = filter.source.as_ref().is_none_or(|source| *source == key.source)
            && filter.task_type.is_none_or(|wanted| wanted == facts.task_type)
            && filter.project.as_ref().is_none_or(|typed| self.is_in_project(typed, &key.source, &facts.project))
            && filter
                .assignee
                .as_ref()
                .is_none_or(|typed| facts.assignee.as_ref().is_some_and(|who| is_same(typed, who)))
            && sprints.is_none_or(in_one_of);
        let matches = matches
            && filter.status.is_none_or(|wanted| has_status(&state, wanted))
            && (filter.statuses.is_empty() || filter.statuses.0.iter().any(|wanted| has_status(&state, *wanted)))
            && (filter.types.is_empty() || filter.types.0.contains(&facts.task_type))
            && filter.updated_since.is_none_or(|since| record.updated >= since)
            && filter.text.as_ref().is_none_or(|words| mentions(&state, words));
        let matches = matches && self.meets(key, record, &state, &filter.is)?;
        let matches = matches && self.is_below(key, filter.epic.as_deref())?;
        Ok(matches.then_some(state))
    }

    /// Whether a task meets all of these.
    fn meets(&self, key: &TaskKey, record: &TaskRecord, state: &State, all: &AnyOf<Condition>) -> Result<bool> {
        let facts = &state.facts;
        let is_open = state.deleted.is_none() && !facts.status.is_finished();
        for condition in &all.0 {
            let met = match condition {
                Condition::Blocked => is_open && facts.effective_status() == Status::Blocked,
                Condition::Stale => is_open && self.is_stale(&key.source, record),
                Condition::Ready => {
                    // Nobody takes an epic: its parts finish it.
                    let is_work = is_open && facts.task_type != TaskType::Epic;
                    let free = is_work && facts.effective_status() != Status::Blocked && facts.assignee.is_none();
                    free && !self.waits(key, record)?
                }
            };
            if !met {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_stale(&self, source: &str, record: &TaskRecord) -> bool {
        let Some(after) = self.config.source(source).map(|source| source.stale_after) else { return false };
        let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        record.timeline.last().is_some_and(|last| last.event.at.plus(after) < self.now)
    }

    /// Whether a task is below the one with this key.
    fn is_below(&self, key: &TaskKey, ancestor: Option<&str>) -> Result<bool> {
        let Some(typed) = ancestor else { return Ok(true) };
        if is_same(typed, &self.root_id(key)?) && !self.is_called(key, typed)? {
            return Ok(true);
        }
        for above in Lineage::at(&self.cache, key, interval::FOREVER)?.chain {
            if above != *key && self.is_called(&above, typed)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_in_project(&self, typed: &str, source: &str, project: &str) -> bool {
        is_same(typed, project) || is_same(typed, &self.project_id(source, project))
    }

    /// The direct children of a task that are not deleted, sorted by the key people use.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn children(&self, key: &TaskKey) -> Result<Vec<TaskView>> {
        let mut views = Vec::new();
        for child in self.store.children(key) {
            views.extend(self.task(&child?)?.filter(|view| view.deleted.is_none()));
        }
        views.sort_by(|a, b| natural::compare(&a.id, &b.id));
        Ok(views)
    }

    /// The tasks with this key (case does not matter) or native id, in a source and a project if they are given. Two projects of one
    /// source may have the same key. A task that has the key now comes before one that had it once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn find(&self, name: &str, source: Option<&str>, project: Option<&str>) -> Result<Vec<TaskView>> {
        let mut keys = self.store.named(name)?;
        if keys.is_empty() {
            keys = self.config.sources.iter().map(|source| TaskKey::new(&*source.name, name)).collect();
        }
        keys.retain(|key| source.is_none_or(|source| source == key.source));
        let mut views = keys.iter().filter_map(|key| self.task(key).transpose()).collect::<Result<Vec<_>>>()?;
        views.retain(|view| project.is_none_or(|typed| self.is_in_project(typed, &view.source, &view.project)));
        if views.iter().any(|view| is_same(name, &view.id)) {
            views.retain(|view| is_same(name, &view.id));
        }
        Ok(views)
    }
}
