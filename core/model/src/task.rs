//! The common model: what every tool's epics, stories, tasks and sprints become.
//!
//! Read [`Event`] and [`Change`] first: a task *is* its timeline, a sorted list of dated facts, and everything else about it
//! (status, durations, estimates as of then) is folded from that list by [`crate::timeline`]. [`TaskRecord`] is what the
//! store keeps of a task, [`SprintRecord`] of a sprint. What people see of them is made in [`crate::view`].

use std::fmt;

use serde::{Deserialize, Serialize};
pub use smol_str::{SmolStr, ToSmolStr};

use crate::hash;
use crate::time::Millis;

/// A closed set of words: `as_str`, `FromStr`, `Display` and `ALL` for an enum whose variants each have one name.
#[macro_export]
macro_rules! string_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every member, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word used in files, on the command line and in telemetry.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
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
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|word| word.as_str()).collect();
                    format!("`{text}` is none of {}", known.join(", "))
                })
            }
        }
    };
}

string_enum! {
    /// What kind of work a task is.
    TaskType {
        /// A body of work that other tasks belong to.
        Epic = "epic",
        /// Something a user asked for.
        Story = "story",
        /// Work that is none of the others.
        Task = "task",
        /// A part of another task.
        Subtask = "subtask",
        /// Something that does not work as it should.
        Bug = "bug",
        /// Time-boxed research.
        Spike = "spike",
        /// Something broken in production.
        Incident = "incident",
    }
}

string_enum! {
    /// Where a task stands.
    Status {
        /// Not yet picked for doing.
        Backlog = "backlog",
        /// Picked, not begun.
        Todo = "todo",
        /// Somebody works on it.
        InProgress = "in_progress",
        /// Finished by its author, looked at by somebody else.
        InReview = "in_review",
        /// An explicit impediment lies over it.
        Blocked = "blocked",
        /// Finished.
        Done = "done",
        /// Given up.
        Cancelled = "cancelled",
    }
}

impl Status {
    /// Done or cancelled: no more work is expected.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }

    /// Of the in-progress kind: somebody works on it, or looks at what was done.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::InProgress | Self::InReview)
    }

    /// Work in progress: begun and not finished. An impediment lies over begun and waiting work alike, so what is blocked counts
    /// only if it was `started` before.
    pub const fn is_wip(self, started: bool) -> bool {
        self.is_active() || (matches!(self, Self::Blocked) && started)
    }
}

string_enum! {
    /// Whether a sprint is to come, running or over.
    SprintState {
        /// Planned.
        Future = "future",
        /// Running.
        Active = "active",
        /// Over.
        Closed = "closed",
    }
}

/// Who a task is, for ever: the source's name in the config and the tool's immutable id. Keys people say can change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// The source's `name` in the config.
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

/// A parent by the tool's id, with the key it had when this was said (its record may be outside what we can see).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentRef {
    /// The tool's immutable id of the parent.
    pub native_id: SmolStr,
    /// The key people say, if the tool told it.
    pub key: Option<SmolStr>,
}

/// Everything about a task that changes with time, at one moment. Its words are cheap to copy: a life holds them once a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The key people say, e.g. `PROJ-123`.
    pub key: SmolStr,
    /// The tool's project, e.g. `PROJ`.
    pub project: SmolStr,
    /// The common type.
    pub task_type: TaskType,
    /// The tool's own word for the type.
    pub native_type: SmolStr,
    /// The title.
    pub title: SmolStr,
    /// The workflow status, without the blocked flag laid over it (a status *named* blocked is [`Status::Blocked`]).
    pub status: Status,
    /// The tool's own word for the status.
    pub native_status: SmolStr,
    /// The blocked flag: `Some` while an impediment is raised, with its reason if one was given.
    pub flag: Option<SmolStr>,
    /// The priority: `highest`, `high`, `medium`, `low`, `lowest`, or the tool's own word in lower case.
    pub priority: Option<SmolStr>,
    /// Who it is assigned to, as people say it.
    pub assignee: Option<SmolStr>,
    /// Labels, sorted.
    pub labels: Vec<SmolStr>,
    /// Story points (or the tool's estimate).
    pub estimate: Option<f64>,
    /// The parent task.
    pub parent: Option<ParentRef>,
    /// The sprints it is in (native ids), in the tool's order; closed ones stay listed where the tool keeps them.
    pub sprints: Vec<SmolStr>,
    /// The due date, `YYYY-MM-DD`.
    pub due: Option<SmolStr>,
    /// Where links block: what it waits for, e.g. `waits for OPS-9`. Only [`Change::BlockedByLinks`] and [`Change::UnblockedByLinks`] change it, so it
    /// is never kept with the first facts.
    #[serde(skip)]
    pub blocked_by_links: Option<SmolStr>,
}

/// The identity of one dated fact: a hash of the task and the place in the tool's history it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub u64);

impl EventId {
    /// The id of the fact that `origin` (unique within the task, e.g. `10069:0`) names.
    pub fn of(key: &TaskKey, origin: &str) -> Self {
        let mut first = [0; 8];
        first.copy_from_slice(&hash::of([&*key.source, &*key.native_id, origin]).as_bytes()[..8]);
        Self(u64::from_le_bytes(first))
    }
}

/// One dated fact about a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Which fact it is; the same fact always has the same id.
    pub id: EventId,
    /// When it happened (or, if `observed`, when we saw it).
    pub at: Millis,
    /// Who did it, as people say it.
    pub actor: Option<String>,
    /// The tool keeps no history of this; we saw the change ourselves.
    pub observed: bool,
    /// What happened.
    pub change: Change,
}

/// What a dated fact says. Only the new value is kept; the old one is what the fold held before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// It came to be, with these first values. Always the first entry.
    Created(Box<Facts>),
    /// It entered this status.
    Status {
        /// The common status.
        status: Status,
        /// The tool's own word for it.
        native: SmolStr,
    },
    /// An impediment was raised, with its reason if one was given.
    Blocked(Option<SmolStr>),
    /// The impediment was lifted.
    Unblocked,
    /// It was given to somebody, or to nobody.
    Assigned(Option<SmolStr>),
    /// Its estimate is now this.
    Estimated(Option<f64>),
    /// It is now in these sprints (native ids).
    Sprints(Vec<SmolStr>),
    /// Its parent is now this.
    Parent(Option<ParentRef>),
    /// Its title is now this.
    Titled(SmolStr),
    /// Its type is now this.
    Typed {
        /// The common type.
        task_type: TaskType,
        /// The tool's own word for it.
        native: SmolStr,
    },
    /// Its priority is now this.
    Prioritised(Option<SmolStr>),
    /// Its labels are now these.
    Labelled(Vec<SmolStr>),
    /// Its due date is now this.
    Due(Option<SmolStr>),
    /// It got another key, and perhaps another project.
    Moved {
        /// The new key.
        key: SmolStr,
        /// The project it is now in.
        project: SmolStr,
    },
    /// Somebody commented; the text only when `privacy.comments` is `plain`.
    Commented(Option<String>),
    /// A link was made or removed.
    Linked {
        /// The tool's words for it, e.g. `is blocked by OPS-4`.
        text: String,
        /// The key of the other task when the link says that *it blocks this one*.
        blocker: Option<String>,
        /// Made (true) or removed (false).
        added: bool,
    },
    /// Somebody did something that names this task.
    Artifact(Artifact),
    /// It vanished from the tool (deleted, archived, or hidden from us).
    Deleted,
    /// It came back after it had vanished.
    Restored,
    /// The same as [`Change::Artifact`], of a task whose source derives status from what people do: the fold in
    /// [`crate::inference`] moves the task by it.
    StatusArtifact(Artifact),
    /// Open blockers hold it up, and its source says that this blocks it: a sentence that names them.
    BlockedByLinks(SmolStr),
    /// What it waited for is out of the way.
    UnblockedByLinks,
}

impl Change {
    /// Whether it changes any of the task's [`Facts`]; creation sets them all, and does not change them.
    pub const fn changes_facts(&self) -> bool {
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

    /// Whether it follows from the links to other tasks, where those block.
    pub const fn is_from_links(&self) -> bool {
        matches!(self, Self::BlockedByLinks(_) | Self::UnblockedByLinks)
    }

    /// Whether the task's tool said so, and it was not concluded from artifacts or links.
    pub const fn is_from_tool(&self) -> bool {
        self.artifact().is_none() && !self.is_from_links()
    }

    /// The artifact it tells of, whether or not the task's status is derived from it.
    pub const fn artifact(&self) -> Option<&Artifact> {
        match self {
            Self::Artifact(artifact) | Self::StatusArtifact(artifact) => Some(artifact),
            _ => None,
        }
    }
}

/// A commit, pull request, review, CI run or deployment that names a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// `commit`, `pull_request`, `review_requested`, `merged`, `ci_failed`, `ci_passed` or `deployment`.
    pub kind: String,
    /// What identifies it as people say it: a commit hash (of `commit`, `ci_failed` and `ci_passed`), or a pull request
    /// such as `acme/checkout#12`.
    pub reference: String,
    /// Where to look at it.
    pub url: String,
    /// What it says: the first line of a commit's message, a pull request's title, the check that failed; of
    /// `review_requested` who was asked.
    pub summary: String,
}

/// A task that blocks this one, by a link of the tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// The tool's immutable id of the blocking task, when told.
    pub native_id: Option<String>,
    /// Its key.
    pub key: String,
    /// Whether the tool said it is finished; used when its own record is outside what we can see.
    pub finished: bool,
}

/// A timeline entry as kept: the fact, and the journal number it was first written with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// The fact.
    pub event: Event,
    /// The journal number of the transaction that first held it; replay sends what is above a signal's position.
    pub seq: u64,
}

/// What the store keeps of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Where people look at it.
    pub url: String,
    /// Who asked for it.
    pub reporter: Option<String>,
    /// The tool's own time of the last change.
    pub updated: Millis,
    /// Tasks that block it, by links of the tool.
    pub blockers: Vec<Blocker>,
    /// In how many complete passes in a row it was missing.
    pub absences: u32,
    /// The dated facts, sorted by time; the first is [`Change::Created`].
    pub timeline: Vec<StoredEvent>,
}

/// What the store keeps of a sprint (GitHub iterations and Linear cycles are sprints).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SprintRecord {
    /// What the tool says of it.
    pub facts: SprintFacts,
    /// The journal number with which it was first seen started.
    pub started_seq: Option<u64>,
    /// The journal number with which it was first seen closed.
    pub closed_seq: Option<u64>,
}

/// What a tool says of a sprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SprintFacts {
    /// Its name.
    pub name: String,
    /// Its goal, if one was written.
    pub goal: Option<String>,
    /// The tool's project it belongs to, if known.
    pub project: Option<String>,
    /// To come, running or over.
    pub state: SprintState,
    /// When it started (or shall start).
    pub start: Option<Millis>,
    /// When it shall end.
    pub end: Option<Millis>,
    /// When it was closed.
    pub completed: Option<Millis>,
    /// Whether the tool keeps the history of its membership, so that its numbers are exact.
    pub exact: bool,
}
