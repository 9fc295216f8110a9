//! The common model: what the epics, stories, tasks and sprints of every tool become.
//!
//! Read [`Event`] and [`Change`] first. A task is its timeline, a sorted list of dated events; everything else about it
//! (status, durations, estimates at a moment) is folded from that list by [`crate::timeline`]. The store keeps a
//! [`TaskRecord`] of each task and a [`SprintRecord`] of each sprint.

use std::fmt;

use serde::{Deserialize, Serialize};
pub use smol_str::{SmolStr, ToSmolStr};

use crate::hash;
use crate::time::Millis;

/// An enum whose variants each have one fixed name: gives it `as_str`, `FromStr`, `Display` and `ALL`.
#[macro_export]
macro_rules! string_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every member, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name used in files, on the command line and in telemetry.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|member| member.as_str() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|member| member.as_str()).collect();
                    format!("`{text}` is none of {}", known.join(", "))
                })
            }
        }
    };
}

string_enum! {
    /// The kind of work a task is.
    TaskType {
        /// A body of work that contains other tasks.
        Epic = "epic",
        /// Something a user requested.
        Story = "story",
        /// Work that is none of the others.
        Task = "task",
        /// A part of another task.
        Subtask = "subtask",
        /// A defect.
        Bug = "bug",
        /// Time-boxed research.
        Spike = "spike",
        /// Something broken in production.
        Incident = "incident",
    }
}

string_enum! {
    /// The state of a task in its workflow.
    Status {
        /// Not yet selected.
        Backlog = "backlog",
        /// Selected, not started.
        Todo = "todo",
        /// Somebody works on it.
        InProgress = "in_progress",
        /// Finished by its author, being reviewed.
        InReview = "in_review",
        /// Blocked by an explicit impediment.
        Blocked = "blocked",
        /// Finished.
        Done = "done",
        /// Abandoned.
        Cancelled = "cancelled",
    }
}

impl Status {
    /// Done or cancelled: no more work is expected.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }

    /// Being worked on or reviewed.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::InProgress | Self::InReview)
    }

    /// Work in progress: started and not finished. Both started and unstarted work can be blocked, so a blocked task
    /// counts only if it was `started` before.
    pub const fn is_wip(self, started: bool) -> bool {
        self.is_active() || (matches!(self, Self::Blocked) && started)
    }
}

string_enum! {
    /// Whether a sprint is planned, running or over.
    SprintState {
        /// Planned.
        Future = "future",
        /// Running.
        Active = "active",
        /// Over.
        Closed = "closed",
    }
}

/// The permanent identity of a task: the source's name in the configuration and the tool's immutable id. The key that
/// people read can change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// The source's `name` in the configuration.
    pub source: SmolStr,
    /// The tool's immutable id, e.g. Jira's `10042`.
    pub native_id: SmolStr,
}

impl TaskKey {
    /// The task with this id in this source.
    pub fn new(source: impl Into<SmolStr>, native_id: impl Into<SmolStr>) -> Self {
        Self { source: source.into(), native_id: native_id.into() }
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.native_id)
    }
}

/// A reference to a parent: the tool's id, and the key it had at that time (its record may be outside what the token
/// can see).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentRef {
    /// The tool's immutable id of the parent.
    pub native_id: SmolStr,
    /// The parent's key, if the tool returned it.
    pub key: Option<SmolStr>,
}

/// Everything about a task that changes with time, at one moment. Texts are cheap to clone, because a timeline's fold
/// holds them once per snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The key, e.g. `PROJ-123`.
    pub key: SmolStr,
    /// The tool's project, e.g. `PROJ`.
    pub project: SmolStr,
    /// The common type.
    pub task_type: TaskType,
    /// The tool's name of the type.
    pub native_type: SmolStr,
    /// The title.
    pub title: SmolStr,
    /// The workflow status, regardless of the blocked flag. A status that is *named* blocked is [`Status::Blocked`].
    pub status: Status,
    /// The tool's name of the status.
    pub native_status: SmolStr,
    /// The blocked flag: `Some` while an impediment is raised, with its reason if there is one.
    pub flag: Option<SmolStr>,
    /// The priority: `highest`, `high`, `medium`, `low`, `lowest`, or the tool's own name in lower case.
    pub priority: Option<SmolStr>,
    /// The assignee, by display name.
    pub assignee: Option<SmolStr>,
    /// Labels, sorted.
    pub labels: Vec<SmolStr>,
    /// Story points, or the tool's estimate.
    pub estimate: Option<f64>,
    /// The parent task.
    pub parent: Option<ParentRef>,
    /// The sprints it is in (native ids), in the tool's order. Closed ones stay listed where the tool keeps them.
    pub sprints: Vec<SmolStr>,
    /// The due date, `YYYY-MM-DD`.
    pub due: Option<SmolStr>,
    /// The tasks that block it, where links block, e.g. `waits for OPS-9`. Only [`Change::BlockedByLinks`] and
    /// [`Change::UnblockedByLinks`] change it, so it is never stored with the first facts.
    #[serde(skip)]
    pub blocked_by_links: Option<SmolStr>,
    /// How much is done, in percent, where the source reports it. Only [`Change::Progress`] changes it.
    #[serde(skip)]
    pub progress: Option<f64>,
    /// Attributes that the source reports beside these, sorted by name. Only [`Change::Attributes`] changes them.
    #[serde(skip)]
    pub attributes: Vec<(SmolStr, SmolStr)>,
}

/// The id of one event: a hash of the task and of the place in the tool's history that the event came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub u64);

impl EventId {
    /// The id of the event with this `origin`, which is unique within the task, e.g. `10069:0`.
    pub fn of(key: &TaskKey, origin: &str) -> Self {
        let mut first = [0; 8];
        first.copy_from_slice(&hash::of([&*key.source, &*key.native_id, origin]).as_bytes()[..8]);
        Self(u64::from_le_bytes(first))
    }
}

/// A dated event of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its id. The same event always has the same id.
    pub id: EventId,
    /// When it happened (or, if `observed`, when we saw it).
    pub at: Millis,
    /// The person who did it, by display name.
    pub actor: Option<String>,
    /// Whether the tool keeps no history of this and we saw the change ourselves.
    pub observed: bool,
    /// What happened.
    pub change: Change,
}

/// What an event changes. Only the new value is stored; the old one is what the fold held before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// The task was created, with these first values. Always the first event.
    Created(Box<Facts>),
    /// The task entered this status.
    Status {
        /// The common status.
        status: Status,
        /// The tool's name of it.
        native: SmolStr,
    },
    /// An impediment was raised, with its reason if there is one.
    Blocked(Option<SmolStr>),
    /// The impediment was lifted.
    Unblocked,
    /// The task was assigned to somebody, or unassigned.
    Assigned(Option<SmolStr>),
    /// The estimate is now this.
    Estimated(Option<f64>),
    /// The task is now in these sprints (native ids).
    Sprints(Vec<SmolStr>),
    /// The parent is now this.
    Parent(Option<ParentRef>),
    /// The title is now this.
    Titled(SmolStr),
    /// The type is now this.
    Typed {
        /// The common type.
        task_type: TaskType,
        /// The tool's name of it.
        native: SmolStr,
    },
    /// The priority is now this.
    Prioritised(Option<SmolStr>),
    /// The labels are now these.
    Labelled(Vec<SmolStr>),
    /// The due date is now this.
    Due(Option<SmolStr>),
    /// The task got another key, and perhaps another project.
    Moved {
        /// The new key.
        key: SmolStr,
        /// The project it is in now.
        project: SmolStr,
    },
    /// Somebody commented. The text is stored only when `privacy.comments` is `plain`.
    Commented(Option<String>),
    /// A link was added or removed.
    Linked {
        /// The tool's text for it, e.g. `is blocked by OPS-4`.
        text: String,
        /// The key of the other task, if that task blocks this one.
        blocker: Option<String>,
        /// Added (true) or removed (false).
        added: bool,
    },
    /// A commit, review, CI run or other artifact mentions the task.
    Artifact(Artifact),
    /// The task disappeared from the tool (deleted, archived or hidden from the token).
    Deleted,
    /// The task appeared again after it had disappeared.
    Restored,
    /// The same as [`Change::Artifact`], of a task whose source derives status: [`crate::inference`] moves the task by
    /// it.
    StatusArtifact(Artifact),
    /// Open blockers block the task, by links that block in its source. The text names them.
    BlockedByLinks(SmolStr),
    /// None of the linked blockers is open any more.
    UnblockedByLinks,
    /// So much is done, in percent.
    Progress(f64),
    /// These attributes have new values, or none any more.
    Attributes(Vec<(SmolStr, Option<SmolStr>)>),
}

impl Change {
    /// Whether it changes any of the task's [`Facts`]. Creation sets them all and does not count.
    pub(crate) const fn changes_facts(&self) -> bool {
        !matches!(
            self,
            Self::Created(_)
                | Self::Commented(_)
                | Self::Linked { .. }
                | Self::Artifact(_)
                | Self::StatusArtifact(_)
                | Self::Deleted
                | Self::Restored
        )
    }

    /// Whether it follows from links to other tasks.
    pub const fn is_from_links(&self) -> bool {
        matches!(self, Self::BlockedByLinks(_) | Self::UnblockedByLinks)
    }

    /// Whether the tool reported it, as opposed to derived from artifacts or links.
    pub(crate) const fn is_from_tool(&self) -> bool {
        self.artifact().is_none() && !self.is_from_links()
    }

    /// The artifact, whether or not it moves the status.
    pub const fn artifact(&self) -> Option<&Artifact> {
        match self {
            Self::Artifact(artifact) | Self::StatusArtifact(artifact) => Some(artifact),
            _ => None,
        }
    }
}

/// A commit, pull request, review, CI run or deployment that mentions a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// `commit`, `pull_request`, `review_requested`, `merged`, `ci_failed`, `ci_passed` or `deployment`.
    pub kind: String,
    /// The commit hash (of `commit`, `ci_failed` and `ci_passed`), or a pull request such as `acme/checkout#12`.
    pub reference: String,
    /// Its address.
    pub url: String,
    /// The first line of a commit's message, a pull request's title or the check that failed. Of `review_requested`:
    /// the reviewer.
    pub summary: String,
}

/// A task that blocks this one, by a link in the tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// The tool's immutable id of the blocking task, if the tool returned it.
    pub native_id: Option<String>,
    /// Its key.
    pub key: String,
    /// Whether the tool reports it as finished. Used when its own record is not in the store.
    pub finished: bool,
}

/// An event as stored: with the journal number it was first written with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// The event.
    pub event: Event,
    /// The journal number of the transaction that first stored it. The export sends what is above a signal's position.
    pub seq: u64,
}

/// What the store keeps of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The address of the task in the tool.
    pub url: String,
    /// The person who requested it, by display name.
    pub reporter: Option<String>,
    /// When it last changed, by the tool's clock.
    pub updated: Millis,
    /// Tasks that block it, by links in the tool.
    pub blockers: Vec<Blocker>,
    /// The number of consecutive complete passes in which it was missing.
    pub absences: u32,
    /// The events, sorted by time; the first is [`Change::Created`].
    pub timeline: Vec<StoredEvent>,
}

/// What the store keeps of a sprint. GitHub iterations and Linear cycles are sprints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SprintRecord {
    /// The sprint's data, as the tool reports it.
    pub facts: SprintFacts,
    /// The journal number with which it was last seen to start.
    pub started_seq: Option<u64>,
    /// The journal number with which it was last seen to close. One that is reopened before its close was exported has to be
    /// exported when it closes again. 0: another engine exported it, which stays so.
    pub closed_seq: Option<u64>,
}

impl SprintRecord {
    /// The record of a sprint that is `known` so, if at all, and that the tool reports with journal number `seq`.
    pub fn next(known: Option<&Self>, facts: SprintFacts, seq: u64) -> Self {
        let mark = |is: fn(&SprintFacts) -> bool, of: fn(&Self) -> Option<u64>| {
            let before = known.and_then(of);
            let was = known.is_some_and(|known| is(&known.facts));
            if is(&facts) && (before.is_none() || !was && before != Some(0)) { Some(seq) } else { before }
        };
        let started_seq = mark(SprintFacts::has_started, |known| known.started_seq);
        let closed_seq = mark(SprintFacts::is_over, |known| known.closed_seq);
        Self { facts, started_seq, closed_seq }
    }
}

/// A sprint as a tool reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SprintFacts {
    /// Its name.
    pub name: String,
    /// Its goal, if it has one.
    pub goal: Option<String>,
    /// The tool's project it belongs to, if known.
    pub project: Option<String>,
    /// Planned, running or over.
    pub state: SprintState,
    /// When it started, or is planned to.
    pub start: Option<Millis>,
    /// When it is planned to end.
    pub end: Option<Millis>,
    /// When it was closed.
    pub completed: Option<Millis>,
    /// Whether the tool keeps the history of its members, so that its numbers are exact.
    pub exact: bool,
}

impl SprintFacts {
    /// Whether it runs or has run.
    pub fn has_started(&self) -> bool {
        self.state != SprintState::Future && self.start.is_some()
    }

    /// Whether it has run and is closed.
    pub fn is_over(&self) -> bool {
        self.state == SprintState::Closed && self.start.is_some()
    }
}
