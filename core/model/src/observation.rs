//! What a connector makes of a tool's record: tasks, sprints and activities in the words of the common model, before
//! [`crate::diff`] compares them with what is known.

use crate::time::Millis;
use crate::{Artifact, Blocker, Event, Facts, SprintFacts};

/// What a raw record says, in the words of the common model.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// A task as it is now, with the history the tool tells.
    Task(Box<TaskObservation>),
    /// A sprint as it is now.
    Sprint {
        /// The tool's immutable id.
        native_id: String,
        /// What the tool says of it.
        facts: SprintFacts,
    },
    /// Something people did around the work: a commit, a review, a run of CI.
    Activity(Box<Activity>),
    /// The tool says that this task is no more, and nothing else of it (a draft that became an issue, a pull request that closes one now). Silence is no such word: of
    /// what is merely not listed, a stream that is `complete` decides.
    Gone {
        /// The tool's immutable id.
        native_id: String,
    },
}

/// Something people did that may belong to tasks of any source: the engine finds them by id and by the keys it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// What identifies it within the source, for ever, e.g. `commit:6dcb09b5` or `pull:PR_kwDO:merged`.
    pub native_id: String,
    /// When it happened.
    pub at: Millis,
    /// Who did it, as people say it.
    pub actor: Option<String>,
    /// What it was.
    pub artifact: Artifact,
    /// Native ids of tasks of this same source that it belongs to (closing references, links).
    pub tasks: Vec<String>,
    /// Texts that may name tasks of any source by key: branch, title, body, commit message.
    pub mentions: Vec<String>,
}

/// A task as a tool shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskObservation {
    /// The tool's immutable id.
    pub native_id: String,
    /// Where people look at it.
    pub url: String,
    /// Who asked for it.
    pub reporter: Option<String>,
    /// The tool's time of the last change.
    pub updated: Millis,
    /// Dated facts, oldest first, the first being [`crate::Change::Created`]. Complete for the fields the tool keeps
    /// a history of; a record whose history could not be had must be an error instead.
    pub history: Vec<Event>,
    /// The values now. Where they differ from what the history leads to, the engine notes an observed change.
    pub present: Facts,
    /// Tasks that block it now.
    pub blockers: Vec<Blocker>,
}
