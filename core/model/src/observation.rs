//! What a connector reports: tasks, sprints and activities in the common model, before [`crate::diff`] compares them
//! with the store.

use crate::guidance::stored::GuidanceReport;
use crate::insight::InsightReport;
use crate::report::{Report, Reported, SprintReport};
use crate::time::Millis;
use crate::{Artifact, Blocker, Event, Facts, SprintFacts};

/// What a raw record contains, in the common model.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// A task as it is now, with the history the tool keeps.
    Task(Box<TaskObservation>),
    /// A sprint as it is now.
    Sprint {
        /// The tool's immutable id.
        native_id: String,
        /// The sprint's data.
        facts: SprintFacts,
    },
    /// The tool deleted this sprint.
    SprintGone {
        /// The tool's immutable id.
        native_id: String,
    },
    /// Something people did around the work: a commit, a review, a CI run.
    Activity(Box<Activity>),
    /// The tool reports that this task no longer exists, and nothing else about it (a draft that became an issue, a
    /// pull request that now closes one). Absence from a list is not deletion: only a stream that is `complete` decides
    /// about tasks it does not list.
    Gone {
        /// The tool's immutable id.
        native_id: String,
    },
    /// What writers reported of a task. It is merged into the stored timeline and never compared with a present.
    Operations(Box<Operations<Report>>),
    /// What writers reported of a sprint.
    SprintOperations(Box<Operations<SprintReport>>),
    /// What a writer reported of guidance for agents.
    Guidance(Box<GuidanceReport>),
    /// What was reported of an insight.
    Insight(Box<InsightReported>),
}

/// A report of one insight.
#[derive(Debug, Clone, PartialEq)]
pub struct InsightReported {
    /// The project in which it was reported.
    pub project: String,
    /// The id of the insight.
    pub id: String,
    /// The report.
    pub report: InsightReport,
}

/// Reports of one task, or of one sprint.
#[derive(Debug, Clone, PartialEq)]
pub struct Operations<T> {
    /// The project in which they were reported.
    pub project: String,
    /// The id that people see, unique within the project.
    pub id: String,
    /// The reports, in any order.
    pub reports: Vec<Reported<T>>,
}

/// Something people did that may belong to tasks of any source. The engine finds them by id and by the keys that the
/// texts mention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Its permanent id within the source, e.g. `commit:6dcb09b5` or `pull:PR_kwDO:merged`.
    pub native_id: String,
    /// When it happened.
    pub at: Millis,
    /// The person who did it, by display name.
    pub actor: Option<String>,
    /// The commit, review, run or other artifact.
    pub artifact: Artifact,
    /// Native ids of tasks of the same source that it belongs to (closing references, links).
    pub tasks: Vec<String>,
    /// Texts that may mention tasks of any source by key: branch, title, body, commit message. The last one is its own text.
    pub mentions: Vec<String>,
    /// Who made a commit or a pull request, for [`crate::agents`].
    pub author: Option<Author>,
}

/// Who made a commit or a pull request, as far as the tool says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    /// The display name.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The name of the account.
    pub login: Option<String>,
    /// Whether the account is a program.
    pub is_bot: bool,
}

/// A task as a tool shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskObservation {
    /// The tool's immutable id.
    pub native_id: String,
    /// The address of the task in the tool.
    pub url: String,
    /// The person who requested it, by display name.
    pub reporter: Option<String>,
    /// When it last changed, by the tool's clock.
    pub updated: Millis,
    /// Dated events, oldest first; the first is [`crate::Change::Created`]. Complete for the fields whose history the
    /// tool keeps: if the history cannot be read, the connector returns an error for the record instead.
    pub history: Vec<Event>,
    /// The values now. Where they differ from what the history leads to, an observed change is recorded.
    pub present: Facts,
    /// Tasks that block it now.
    pub blockers: Vec<Blocker>,
}
