//! Reporting tasks.

mod draft;
mod task;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use contextcore_model::operation::{
    Attributes, Operation, TaskBlock, TaskComment, TaskEvent, TaskFields, TaskLink, TaskOnly, TaskProgress, TaskReason,
    TaskStatus,
};

use crate::agent::InsightEmitter;
use crate::client::{Builder, Client, Error};
use crate::sprint::SprintTracker;
use crate::tidy::word;
use crate::value::{Value, millis};

pub use self::draft::{Clears, TaskDraft};
pub use self::task::{Task, TaskGuard};

/// Reports tasks. Each call appends one line to a file and returns: there is no queue to lose, no thread, and nothing to wait for.
///
/// A task belongs to its id and not to this value: another process can complete, a day later, what this one starts. Clones are the
/// same tracker, and share its file. Calls do not fail: what cannot be written counts in [`Self::dropped`] and goes to
/// [`Builder::on_error`]. When the last clone is dropped, everything is made durable and somebody is seen to who sends it.
#[derive(Debug, Clone)]
pub struct TaskTracker {
    client: Client,
    active: Arc<Mutex<BTreeSet<String>>>,
}

impl TaskTracker {
    /// A tracker for a project, with everything else from the environment.
    ///
    /// # Errors
    /// When the endpoint of the environment is no address, or no directory for the spool can be written.
    pub fn new(project: impl Into<String>) -> Result<Self, Error> {
        Self::builder().project(project).build()
    }

    /// The options of a tracker.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn with(client: Client) -> Self {
        Self { client, active: Arc::default() }
    }

    /// A task, with fields that follow: `tracker.task("PROJ-1").title("Checkout").start()`.
    pub fn task(&self, id: &str) -> TaskDraft {
        TaskDraft::new(self, id)
    }

    /// Creates a task. If it exists, its title is updated, and its creation stays the earliest.
    pub fn start_task(&self, id: &str, title: &str) -> Task {
        self.task(id).title(title).start()
    }

    /// Moves a task to another status: `backlog`, `todo`, `in_progress`, `in_review`, `done`, `cancelled`, or any word of yours.
    pub fn update_status(&self, id: &str, status: &str) {
        self.enter(id, status, None);
    }

    /// As [`Self::update_status`], and says why.
    pub fn update_status_because(&self, id: &str, status: &str, reason: &str) {
        self.enter(id, status, Some(reason.to_owned()));
    }

    fn enter(&self, id: &str, status: &str, reason: Option<String>) {
        let operation = Operation::Status(TaskStatus { task: id.to_owned(), status: status.to_owned(), reason });
        if self.record(operation) {
            self.note(id, Some(status));
        }
    }

    /// Says that a task cannot go on, and why. Its status stays what it is underneath.
    pub fn block_task(&self, id: &str, reason: &str) {
        self.block(id, reason, None);
    }

    /// As [`Self::block_task`], and names the task it waits for.
    pub fn block_task_by(&self, id: &str, reason: &str, blocked_by: &str) {
        self.block(id, reason, Some(blocked_by.to_owned()));
    }

    fn block(&self, id: &str, reason: &str, blocked_by: Option<String>) {
        let (task, reason) = (id.to_owned(), Some(reason.to_owned()));
        self.record(Operation::Block(TaskBlock { task, reason, blocked_by }));
    }

    /// Says that a task can go on, in the status it had.
    pub fn unblock_task(&self, id: &str) {
        self.record(Operation::Unblock(only(id)));
    }

    /// Says that a task can go on, and moves it to a status.
    pub fn unblock_task_into(&self, id: &str, status: &str) {
        self.unblock_task(id);
        self.update_status(id, status);
    }

    /// Finishes a task. The process that started it need not be this one.
    pub fn complete_task(&self, id: &str) {
        if self.record(Operation::Complete(only(id))) {
            self.note(id, Some("done"));
        }
    }

    /// Gives a task up.
    pub fn cancel_task(&self, id: &str) {
        self.cancel(id, None);
    }

    /// As [`Self::cancel_task`], and says why.
    pub fn cancel_task_because(&self, id: &str, reason: &str) {
        self.cancel(id, Some(reason.to_owned()));
    }

    fn cancel(&self, id: &str, reason: Option<String>) {
        if self.record(Operation::Cancel(TaskReason { task: id.to_owned(), reason })) {
            self.note(id, Some("cancelled"));
        }
    }

    /// Opens a finished task again.
    pub fn reopen_task(&self, id: &str) {
        if self.record(Operation::Reopen(only(id))) {
            self.note(id, None);
        }
    }

    /// Gives a task to somebody; to nobody if `assignee` is empty.
    pub fn assign_task(&self, id: &str, assignee: &str) {
        let assignee = Some((!assignee.is_empty()).then(|| assignee.to_owned()));
        self.record(Operation::Update(TaskFields { task: id.to_owned(), assignee, ..TaskFields::default() }));
    }

    /// Reports how much of a task is done, 0 to 100. Sub-tasks count more than this where there are any.
    pub fn set_progress(&self, id: &str, percent: f64) {
        self.record(Operation::Progress(TaskProgress { task: id.to_owned(), percent }));
    }

    /// Adds a comment. What of it leaves the service is set by `privacy.comments`.
    pub fn add_comment(&self, id: &str, author: &str, text: &str) {
        let (task, text, author) = (id.to_owned(), text.to_owned(), Some(author.to_owned()));
        self.record(Operation::Comment(TaskComment { task, text, author }));
    }

    /// Records that something happened to a task: a name like `tests.passed`.
    pub fn add_event(&self, id: &str, name: &str) {
        self.add_event_with::<&str, &str>(id, name, []);
    }

    /// As [`Self::add_event`], with up to 16 attributes.
    pub fn add_event_with<N: Into<String>, V: Into<Value>>(
        &self,
        id: &str,
        name: &str,
        attributes: impl IntoIterator<Item = (N, V)>,
    ) {
        let pairs = attributes.into_iter().map(|(name, value)| (name.into(), Some(value.into().0)));
        let attributes = Attributes(pairs.collect());
        self.record(Operation::Event(TaskEvent { task: id.to_owned(), name: name.to_owned(), attributes }));
    }

    /// Connects a task with a `commit`, `pr`, `build`, `deployment`, `trace` or `url`.
    pub fn link(&self, id: &str, kind: &str, reference: &str) {
        self.connect(id, kind, reference, None);
    }

    /// As [`Self::link`], with the address where people find it.
    pub fn link_with_url(&self, id: &str, kind: &str, reference: &str, url: &str) {
        self.connect(id, kind, reference, Some(url.to_owned()));
    }

    fn connect(&self, id: &str, kind: &str, reference: &str, url: Option<String>) {
        let (task, kind, reference) = (id.to_owned(), kind.to_owned(), reference.to_owned());
        self.record(Operation::Link(TaskLink { task, kind, reference, url }));
    }

    /// The same tracker for what happened at another time: `tracker.at(time).complete_task("T-1")`.
    #[must_use]
    pub fn at(&self, time: SystemTime) -> Self {
        let client = self.client.at(Some(millis(time)));
        Self { client, active: Arc::clone(&self.active) }
    }

    /// The same tracker for what happens now.
    pub(crate) fn now(&self) -> Self {
        Self { client: self.client.at(None), active: Arc::clone(&self.active) }
    }

    /// Reports the sprints of the same project, to the same destination.
    pub fn sprints(&self) -> SprintTracker {
        SprintTracker::with(self.client.clone())
    }

    /// Reports what an agent finds and decides in the same project, to the same destination.
    pub fn emitter(&self, agent: &str) -> InsightEmitter {
        InsightEmitter::with(self.client.clone(), agent)
    }

    /// A layer for subscribers of `tracing`, which links tasks with the traces of the spans that name them: see [`crate::layer`].
    #[cfg(feature = "tracing-layer")]
    pub fn layer(&self) -> crate::layer::TaskLinks {
        crate::layer::TaskLinks::new(self.client.at(None))
    }

    /// Ids of the tasks that this tracker started and has not finished.
    pub fn active_tasks(&self) -> Vec<String> {
        self.own().iter().cloned().collect()
    }

    pub(crate) fn is_active(&self, id: &str) -> bool {
        word(id).is_some_and(|id| self.own().contains(&id))
    }

    /// Remembers which tasks are active.
    pub(crate) fn note(&self, id: &str, status: Option<&str>) {
        let Some(id) = word(id) else { return };
        if matches!(status.map(str::trim), Some("done" | "cancelled")) {
            self.own().remove(&id);
        } else {
            self.own().insert(id);
        }
    }

    fn own(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self, operation: Operation) -> bool {
        self.client.record(operation)
    }

    /// The project.
    pub fn project(&self) -> &str {
        self.client.project()
    }

    /// Calls that could not be written.
    pub fn dropped(&self) -> u64 {
        self.client.dropped()
    }

    /// Makes everything durable and waits until the backend has accepted it. False if not in time, or if nothing drains the spool;
    /// then everything is on disk and is sent later.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.client.flush(timeout)
    }

    /// As [`Self::flush`], and gives up the file, unless another client of this process has it.
    #[expect(clippy::must_use_candidate, reason = "a program that ends need not know")]
    pub fn close(self, timeout: Duration) -> bool {
        self.client.flush(timeout)
    }
}

impl Builder {
    /// A tracker of tasks.
    ///
    /// # Errors
    /// When the endpoint is no address, or no directory for the spool can be written.
    pub fn build(self) -> Result<TaskTracker, Error> {
        Ok(TaskTracker::with(self.client()?))
    }
}

fn only(id: &str) -> TaskOnly {
    TaskOnly { task: id.to_owned() }
}
