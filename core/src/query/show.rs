//! One task with its neighbourhood: the object of `contextcore show`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::events::{EventKind, EventView};
use super::task::TaskView;
use super::viewer::Viewer;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::{Status, TaskKey, TaskType};

/// Selects one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSelector {
    /// The key people use, or the tool's own id.
    pub key: String,
    /// Its source, when several have a task with this key.
    pub source: Option<String>,
    /// Its project, native or of the portfolio, when several have a task with this key.
    #[serde(default)]
    pub project: Option<String>,
}

impl TaskSelector {
    /// The task with this key, wherever it is.
    pub fn of(key: impl Into<String>) -> Self {
        Self { key: key.into(), source: None, project: None }
    }

    /// The same in a project.
    #[must_use]
    pub fn in_project(self, project: impl Into<String>) -> Self {
        Self { project: Some(project.into()), ..self }
    }
}

/// A task, its children and its links.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShowView {
    /// The task, as `tasks` lists it.
    #[serde(flatten)]
    pub task: TaskView,
    /// Its direct children.
    pub children: Vec<ChildView>,
    /// Its current links, in the tool's wording.
    pub links: Vec<String>,
    /// The names of the sprints it is or was in, by native id.
    #[serde(default)]
    pub sprint_names: BTreeMap<String, String>,
}

/// A child in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildView {
    /// The key people use.
    pub id: String,
    /// The common type.
    #[serde(rename = "type")]
    pub task_type: TaskType,
    /// The effective status.
    pub status: Status,
    /// Who it is assigned to.
    pub assignee: Option<String>,
    /// How much of its descendants is done; 0 or 100 for a leaf.
    pub percent_complete: f64,
    /// The title.
    pub title: String,
}

impl From<TaskView> for ChildView {
    fn from(task: TaskView) -> Self {
        let TaskView { id, task_type, status, assignee, percent_complete, title, .. } = task;
        Self { id, task_type, status, assignee, percent_complete, title }
    }
}

impl Viewer<'_> {
    /// The selected task with its children and links. One that is there comes before those of its name that were deleted.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Config`] when several sources or projects have one or there is no such
    /// source or project, [`ErrorKind::Store`] when the store cannot be read.
    pub fn show(&self, selector: &TaskSelector) -> Result<ShowView> {
        let TaskSelector { key, source, project } = selector;
        self.check_source(source.as_deref())?;
        let mut found = self.find(key, source.as_deref(), project.as_deref())?;
        if found.iter().any(|task| task.deleted.is_none()) {
            found.retain(|task| task.deleted.is_none());
        }
        if found.len() > 1 {
            return Err(Error::new(ErrorKind::Config, several(key, &found)));
        }
        let Some(task) = found.pop() else {
            self.check_project(project.as_deref())?;
            let place = project.as_ref().map(|project| format!(" of the project `{project}`")).unwrap_or_default();
            let message =
                format!("there is no task `{key}`{place} in the store; `contextcore sync` fetches what is new");
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let children = self.children(&TaskKey::new(&*task.source, &*task.native_id))?;
        let children = children.into_iter().map(ChildView::from).collect();
        Ok(ShowView { links: links(&task.timeline), children, sprint_names: self.sprint_names(&task)?, task })
    }

    fn sprint_names(&self, task: &TaskView) -> Result<BTreeMap<String, String>> {
        let changes = task.timeline.iter().filter(|event| event.kind == EventKind::SprintChanged);
        let lists = changes.flat_map(|event| [&event.from, &event.to]).filter_map(|side| side.as_array());
        let past = lists.flatten().filter_map(|id| id.as_str());
        let mut names = BTreeMap::new();
        for id in task.sprints.iter().map(String::as_str).chain(past) {
            if let Some(record) = self.sprint_record(&TaskKey::new(&*task.source, id))? {
                names.insert(id.to_owned(), record.facts.name.clone());
            }
        }
        Ok(names)
    }
}

/// Says how to choose one of the tasks that have a key: by what differs between them.
fn several(key: &str, found: &[TaskView]) -> String {
    let distinct = |of: fn(&TaskView) -> &str| {
        let names: BTreeSet<&str> = found.iter().map(of).collect();
        (names.len() == found.len()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
    };
    if let Some(sources) = distinct(|task| &task.source) {
        return format!("`{key}` is a task in each of {sources}: choose one with --source");
    }
    if let Some(projects) = distinct(|task| &task.project_id) {
        return format!("`{key}` is a task of each of the projects {projects}: choose one with --project");
    }
    let places: BTreeSet<String> = found.iter().map(|task| format!("{} of {}", task.project, task.source)).collect();
    let (places, number) = (places.into_iter().collect::<Vec<_>>().join(", "), found.len());
    format!(
        "`{key}` is the key of {number} tasks, in {places}: choose one with --source and --project, or by its own id"
    )
}

/// The links that were made and not removed since.
fn links(timeline: &[EventView]) -> Vec<String> {
    let mut links: Vec<String> = Vec::new();
    for event in timeline.iter().filter(|event| event.kind == EventKind::Linked) {
        if let Some(removed) = event.from.as_str() {
            links.retain(|link| link != removed);
        }
        links.extend(event.to.as_str().filter(|made| !links.iter().any(|link| link == made)).map(str::to_owned));
    }
    links
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::Millis;

    #[test]
    fn removed_links_are_left_out() {
        let event = |from: Value, to: Value| EventView {
            at: Millis(0),
            kind: EventKind::Linked,
            from,
            to,
            actor: None,
            observed: false,
            derived: None,
        };
        let made = |text: &str| event(Value::Null, text.into());
        let removed = |text: &str| event(text.into(), Value::Null);
        assert_eq!(links(&[made("blocks A"), made("clones B"), removed("blocks A"), made("clones B")]), ["clones B"]);
    }
}
