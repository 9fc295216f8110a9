//! Reporting sprints.

use std::time::{Duration, SystemTime};

use contextcore_model::operation::{Operation, Sprint, TaskFields};

use crate::client::{Builder, Client, Error};
use crate::value::{Moment, millis};

/// Reports sprints.
#[derive(Debug, Clone)]
pub struct SprintTracker {
    client: Client,
}

impl SprintTracker {
    /// A tracker for a project, with everything else from the environment.
    ///
    /// # Errors
    /// When the endpoint of the environment is no address, or no directory for the spool can be written.
    pub fn new(project: impl Into<String>) -> Result<Self, Error> {
        Builder::default().project(project).sprints()
    }

    pub(crate) fn with(client: Client) -> Self {
        Self { client }
    }

    /// A sprint, with facts that follow: `sprints.sprint("S-1").name("Sprint 1").start()`.
    pub fn sprint(&self, id: &str) -> SprintDraft {
        SprintDraft { client: self.client.clone(), sprint: Sprint { id: id.to_owned(), ..Sprint::default() } }
    }

    /// Begins a sprint.
    pub fn start_sprint(&self, id: &str) {
        self.sprint(id).start();
    }

    /// Ends a sprint.
    pub fn end_sprint(&self, id: &str) {
        self.sprint(id).end();
    }

    /// Puts a task into a sprint.
    pub fn add_task(&self, sprint: &str, task: &str) {
        self.assign(task, Some(sprint.to_owned()));
    }

    /// Takes a task out of its sprint.
    pub fn remove_task(&self, task: &str) {
        self.assign(task, None);
    }

    fn assign(&self, task: &str, sprint: Option<String>) {
        let fields = TaskFields { task: task.to_owned(), sprint: Some(sprint), ..TaskFields::default() };
        self.client.record(Operation::Update(fields));
    }

    /// The same tracker for what happened at another time.
    #[must_use]
    pub fn at(&self, time: SystemTime) -> Self {
        Self { client: self.client.at(Some(millis(time))) }
    }

    /// Calls that could not be written.
    pub fn dropped(&self) -> u64 {
        self.client.dropped()
    }

    /// See [`TaskTracker::flush`](crate::TaskTracker::flush).
    pub fn flush(&self, timeout: Duration) -> bool {
        self.client.flush(timeout)
    }
}

impl Builder {
    /// A tracker of sprints.
    ///
    /// # Errors
    /// When the endpoint is no address, or no directory for the spool can be written.
    pub fn sprints(self) -> Result<SprintTracker, Error> {
        Ok(SprintTracker::with(self.client()?))
    }
}

/// A sprint and the facts that are given.
#[derive(Debug)]
#[must_use = "nothing is reported before `start` or `end`"]
pub struct SprintDraft {
    client: Client,
    sprint: Sprint,
}

impl SprintDraft {
    /// Its name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.sprint.name = Some(name.into());
        self
    }

    /// Its goal.
    pub fn goal(mut self, goal: impl Into<String>) -> Self {
        self.sprint.goal = Some(goal.into());
        self
    }

    /// When it is planned to start: a day or a time.
    pub fn starts(mut self, moment: impl Into<Moment>) -> Self {
        self.sprint.start = Some(moment.into().0);
        self
    }

    /// When it is planned to end: a day or a time.
    pub fn ends(mut self, moment: impl Into<Moment>) -> Self {
        self.sprint.end = Some(moment.into().0);
        self
    }

    /// Reports that it began.
    pub fn start(self) {
        self.client.record(Operation::SprintStart(self.sprint));
    }

    /// Reports that it ended.
    pub fn end(self) {
        self.client.record(Operation::SprintEnd(self.sprint));
    }
}
