//! Reports: what writers say of a task or sprint, in the words of the model. [`crate::reported`] folds them.

use serde::{Deserialize, Serialize};

use crate::inference;
use crate::time::Millis;
use crate::{Artifact, SmolStr, Status, TaskType};

/// One report, with its identity: the writer and the number within it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reported<T> {
    /// Who wrote it: a process, not a person.
    pub writer: SmolStr,
    /// Its number within the writer.
    pub seq: u64,
    /// When it counts.
    pub at: Millis,
    /// Who did it, by display name.
    pub actor: Option<String>,
    /// What is reported.
    pub report: T,
}

impl<T> Reported<T> {
    /// The order in which reports count.
    pub(crate) fn order(&self) -> (Millis, &str, u64) {
        (self.at, &self.writer, self.seq)
    }

    /// The origin of the event for one part of it.
    pub(crate) fn origin(&self, part: &str) -> String {
        format!("op:{}:{}:{part}", self.writer, self.seq)
    }
}

/// What is reported of a task, in our words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// It exists, with these fields.
    Started(Box<Fields>),
    /// These fields changed.
    Updated(Box<Fields>),
    /// It entered a status. Without one of ours only the name changes.
    Status {
        /// The common status, if the name means one.
        status: Option<Status>,
        /// The name that was given.
        native: SmolStr,
        /// Why, where comments are kept.
        reason: Option<String>,
    },
    /// An impediment was raised.
    Blocked {
        /// Why.
        reason: Option<SmolStr>,
        /// The task that blocks it, or any words.
        by: Option<SmolStr>,
    },
    /// It was lifted.
    Unblocked,
    /// Work on the finished task goes on.
    Reopened,
    /// How much is done, in percent.
    Progress(f64),
    /// Somebody commented; the text where comments are kept.
    Commented(Option<String>),
    /// Something happened around it or belongs to it.
    Artifact(Artifact),
}

/// The fields of a task, those that are given. `Some(None)` clears one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fields {
    /// The title.
    pub title: Option<SmolStr>,
    /// The common type, and the word that was given.
    pub task_type: Option<(TaskType, SmolStr)>,
    /// The common status, if the word means one, and the word.
    pub status: Option<(Option<Status>, SmolStr)>,
    /// The id of the parent in the same project.
    pub parent: Option<Option<SmolStr>>,
    /// The priority.
    pub priority: Option<Option<SmolStr>>,
    /// The assignee, by display name.
    pub assignee: Option<Option<SmolStr>>,
    /// The estimate.
    pub estimate: Option<Option<f64>>,
    /// Labels.
    pub labels: Option<Vec<SmolStr>>,
    /// The id of the sprint in the same project.
    pub sprint: Option<Option<SmolStr>>,
    /// The due date, `YYYY-MM-DD`.
    pub due: Option<Option<SmolStr>>,
    /// The address.
    pub url: Option<Option<String>>,
    /// The ids of the tasks that it needs, in the same project.
    pub depends_on: Option<Vec<SmolStr>>,
    /// Attributes of the caller's own.
    pub attributes: Vec<(SmolStr, Option<SmolStr>)>,
}

impl Report {
    /// The report as an artifact of a task that another source holds.
    pub fn artifact(&self) -> Artifact {
        let (reference, summary) = match self {
            Self::Artifact(artifact) => return artifact.clone(),
            Self::Started(_) => ("started".to_owned(), ""),
            Self::Updated(_) => ("updated".to_owned(), ""),
            Self::Status { status, native, .. } => {
                (status.map_or_else(|| native.to_string(), |status| status.to_string()), "")
            }
            Self::Blocked { reason, .. } => ("blocked".to_owned(), reason.as_deref().unwrap_or_default()),
            Self::Unblocked => ("unblocked".to_owned(), ""),
            Self::Reopened => ("reopened".to_owned(), ""),
            Self::Progress(percent) => (format!("{percent}%"), ""),
            Self::Commented(text) => ("commented".to_owned(), text.as_deref().unwrap_or_default()),
        };
        let kind = inference::REPORTED.to_owned();
        Artifact { kind, reference, url: String::new(), summary: summary.to_owned() }
    }
}

/// What is reported of a sprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SprintReport {
    /// Whether it ended; else it began.
    pub ended: bool,
    /// Its name.
    pub name: Option<String>,
    /// Its goal.
    pub goal: Option<String>,
    /// When it starts.
    pub start: Option<Millis>,
    /// When it ends.
    pub end: Option<Millis>,
}
