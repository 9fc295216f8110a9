//! The handle on one task, and a task that lasts as long as a value.

use std::ops::Deref;
use std::time::SystemTime;

use super::TaskTracker;
use crate::value::Value;

/// A task of a tracker: the same calls without the id.
#[derive(Debug, Clone)]
pub struct Task {
    pub(super) tracker: TaskTracker,
    pub(super) id: String,
}

impl Task {
    pub(crate) fn new(tracker: &TaskTracker, id: &str) -> Self {
        Self { tracker: tracker.clone(), id: id.to_owned() }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// See [`TaskTracker::update_status`].
    pub fn update_status(&self, status: &str) {
        self.tracker.update_status(&self.id, status);
    }

    /// See [`TaskTracker::block_task`].
    pub fn block(&self, reason: &str) {
        self.tracker.block_task(&self.id, reason);
    }

    /// See [`TaskTracker::unblock_task`].
    pub fn unblock(&self) {
        self.tracker.unblock_task(&self.id);
    }

    /// See [`TaskTracker::complete_task`].
    pub fn complete(&self) {
        self.tracker.complete_task(&self.id);
    }

    /// See [`TaskTracker::cancel_task`].
    pub fn cancel(&self) {
        self.tracker.cancel_task(&self.id);
    }

    /// See [`TaskTracker::reopen_task`].
    pub fn reopen(&self) {
        self.tracker.reopen_task(&self.id);
    }

    /// See [`TaskTracker::assign_task`].
    pub fn assign(&self, assignee: &str) {
        self.tracker.assign_task(&self.id, assignee);
    }

    /// See [`TaskTracker::set_progress`].
    pub fn set_progress(&self, percent: f64) {
        self.tracker.set_progress(&self.id, percent);
    }

    /// See [`TaskTracker::add_comment`].
    pub fn add_comment(&self, author: &str, text: &str) {
        self.tracker.add_comment(&self.id, author, text);
    }

    /// See [`TaskTracker::add_event`].
    pub fn add_event(&self, name: &str) {
        self.tracker.add_event(&self.id, name);
    }

    /// See [`TaskTracker::add_event_with`].
    pub fn add_event_with<N: Into<String>, V: Into<Value>>(
        &self,
        name: &str,
        attributes: impl IntoIterator<Item = (N, V)>,
    ) {
        self.tracker.add_event_with(&self.id, name, attributes);
    }

    /// See [`TaskTracker::link`].
    pub fn link(&self, kind: &str, reference: &str) {
        self.tracker.link(&self.id, kind, reference);
    }

    /// The same task for what happened at another time.
    #[must_use]
    pub fn at(&self, time: SystemTime) -> Self {
        Self { tracker: self.tracker.at(time), id: self.id.clone() }
    }
}

/// A task that is in progress until this is dropped; see [`TaskDraft::enter`](super::TaskDraft::enter).
#[derive(Debug)]
#[must_use = "the task is done when this is dropped"]
pub struct TaskGuard {
    task: Task,
    /// The process that entered: a child after a fork also drops this, and the task ends once.
    process: u32,
}

impl TaskGuard {
    pub(crate) fn enter(task: Task) -> Self {
        task.update_status("in_progress");
        // Also if nothing could be written: the end may be written all the same.
        task.tracker.note(&task.id, None);
        Self { task, process: std::process::id() }
    }

    /// Ends the task as blocked, for this reason, until it is entered again.
    pub fn fail(self, reason: &str) {
        self.blocked(reason);
        self.task.tracker.note(&self.task.id, Some("done"));
    }

    /// As a status, which the next entry ends; unless the task was completed or cancelled meanwhile.
    fn blocked(&self, reason: &str) {
        let task = &self.task;
        if task.tracker.is_active(&task.id) {
            task.tracker.update_status_because(&task.id, "blocked", reason);
        }
    }
}

impl Deref for TaskGuard {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        let task = &self.task;
        if self.process != std::process::id() {
            return;
        }
        if std::thread::panicking() {
            self.blocked("panic");
        } else if task.tracker.is_active(&task.id) {
            // Otherwise the task was completed, cancelled or blocked meanwhile.
            task.complete();
        }
    }
}
