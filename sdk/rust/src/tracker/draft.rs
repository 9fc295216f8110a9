//! Fields of a task, one call each, until it is started or updated.

use std::time::SystemTime;

use contextcore_model::operation::{Attributes, Operation, TaskFields};

use super::TaskTracker;
use super::task::{Task, TaskGuard};
use crate::value::Value;

/// A field that an update can clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clears {
    /// The parent task.
    Parent,
    /// The priority.
    Priority,
    /// Who works on it.
    Assignee,
    /// The estimate.
    StoryPoints,
    /// The labels.
    Labels,
    /// The sprint.
    Sprint,
    /// The due date.
    Due,
    /// The address.
    Url,
    /// The tasks that it needs.
    DependsOn,
}

/// A task and the fields that are given; see [`TaskTracker::task`].
#[derive(Debug)]
#[must_use = "nothing is reported before `start`, `update`, `enter` or `run`"]
pub struct TaskDraft {
    tracker: TaskTracker,
    fields: TaskFields,
}

impl TaskDraft {
    pub(crate) fn new(tracker: &TaskTracker, id: &str) -> Self {
        Self { tracker: tracker.clone(), fields: TaskFields { task: id.to_owned(), ..TaskFields::default() } }
    }

    /// What it is about.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.fields.title = Some(title.into());
        self
    }

    /// `epic`, `story`, `task`, `subtask`, `bug`, `spike` or `incident`; other words are passed on.
    pub fn task_type(mut self, task_type: impl Into<String>) -> Self {
        self.fields.task_type = Some(task_type.into());
        self
    }

    /// The status it begins with; on a finished task it reopens it. By an update it enters it.
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.fields.status = Some(status.into());
        self
    }

    /// `highest` to `lowest`, or a word of your own.
    pub fn priority(mut self, priority: impl Into<String>) -> Self {
        self.fields.priority = Some(Some(priority.into()));
        self
    }

    /// Who works on it.
    pub fn assignee(mut self, assignee: impl Into<String>) -> Self {
        self.fields.assignee = Some(Some(assignee.into()));
        self
    }

    /// Its estimate.
    pub fn story_points(mut self, points: f64) -> Self {
        self.fields.estimate = Some(Some(points));
        self
    }

    /// Its labels.
    pub fn labels<T: Into<String>>(mut self, labels: impl IntoIterator<Item = T>) -> Self {
        self.fields.labels = Some(Some(labels.into_iter().map(Into::into).collect()));
        self
    }

    /// The task above it, in the same project.
    pub fn parent(mut self, parent: impl Into<String>) -> Self {
        self.fields.parent = Some(Some(parent.into()));
        self
    }

    /// Tasks that must be done first.
    pub fn depends_on<T: Into<String>>(mut self, tasks: impl IntoIterator<Item = T>) -> Self {
        self.fields.depends_on = Some(Some(tasks.into_iter().map(Into::into).collect()));
        self
    }

    /// Where people find it.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.fields.url = Some(Some(url.into()));
        self
    }

    /// When it is due, `2026-12-24`.
    pub fn due(mut self, day: impl Into<String>) -> Self {
        self.fields.due = Some(Some(day.into()));
        self
    }

    /// The sprint it is in.
    pub fn sprint(mut self, sprint: impl Into<String>) -> Self {
        self.fields.sprint = Some(Some(sprint.into()));
        self
    }

    /// An attribute of your own. It becomes `task.attr.NAME`.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        set(&mut self.fields.attributes, name.into(), Some(value.into()));
        self
    }

    /// Clears an attribute of your own, in an update.
    pub fn clear_attribute(mut self, name: impl Into<String>) -> Self {
        set(&mut self.fields.attributes, name.into(), None);
        self
    }

    /// Clears a field, in an update.
    pub fn clear(mut self, field: Clears) -> Self {
        let fields = &mut self.fields;
        match field {
            Clears::Parent => fields.parent = Some(None),
            Clears::Priority => fields.priority = Some(None),
            Clears::Assignee => fields.assignee = Some(None),
            Clears::StoryPoints => fields.estimate = Some(None),
            Clears::Labels => fields.labels = Some(None),
            Clears::Sprint => fields.sprint = Some(None),
            Clears::Due => fields.due = Some(None),
            Clears::Url => fields.url = Some(None),
            Clears::DependsOn => fields.depends_on = Some(None),
        }
        self
    }

    /// When it happened, if not now.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.tracker = self.tracker.at(time);
        self
    }

    /// Creates the task. If it exists, what is given is updated, and its creation stays the earliest.
    pub fn start(self) -> Task {
        let Self { tracker, fields } = self;
        let (id, status) = (fields.task.clone(), fields.status.clone());
        if tracker.record(Operation::Start(fields)) {
            tracker.note(&id, status.as_deref());
        }
        Task::new(&tracker.now(), &id)
    }

    /// Changes the fields that are given.
    pub fn update(self) {
        let Self { tracker, fields } = self;
        tracker.record(Operation::Update(fields));
    }

    /// Starts the task and moves it to in progress, until what is returned is dropped: then it is done, or blocked if the thread
    /// panics.
    pub fn enter(self) -> TaskGuard {
        TaskGuard::enter(self.start())
    }

    /// Runs a function as the task: in progress while it runs, done when it returns `Ok`, blocked with the error's type when it
    /// returns `Err`.
    ///
    /// # Errors
    /// That of the function.
    pub fn run<T, E>(self, work: impl FnOnce(&Task) -> Result<T, E>) -> Result<T, E> {
        let guard = self.enter();
        let outcome = work(&guard);
        match &outcome {
            Ok(_) => drop(guard),
            Err(_) => guard.fail(std::any::type_name::<E>()),
        }
        outcome
    }
}

impl Task {
    /// Fields of the task, to change with [`TaskDraft::update`].
    pub fn fields(&self) -> TaskDraft {
        self.tracker.task(&self.id)
    }
}

fn set(attributes: &mut Attributes, name: String, value: Option<Value>) {
    attributes.0.retain(|(known, _)| *known != name);
    attributes.0.push((name, value.map(|value| value.0)));
}
