//! The small tables every world starts with: statuses, issue types, priorities, resolutions. Tests may add to them.

use super::{PriorityId, ResolutionId, StatusId, TypeId};

/// The three kinds of status that a tool itself distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    New,
    Indeterminate,
    Done,
}

/// The status of a task in the common model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Backlog,
    Todo,
    InProgress,
    InReview,
    Blocked,
    Done,
    Cancelled,
}

impl Stage {
    /// Its name: `in_progress`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backlog => "backlog",
            Self::Todo => "todo",
            Self::InProgress => "in_progress",
            Self::InReview => "in_review",
            Self::Blocked => "blocked",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// Done or cancelled.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

/// A workflow status.
#[derive(Clone, Debug)]
pub struct Status {
    pub id: u32,
    pub name: String,
    pub category: Category,
    /// What it truly means, flags and resolutions aside.
    pub stage: Stage,
}

/// A kind of issue.
#[derive(Clone, Debug)]
pub struct IssueType {
    pub id: u32,
    pub name: String,
    pub description: String,
    /// −1 sub-task, 0 ordinary, 1 epic, 2 and more above.
    pub level: i8,
}

/// A step of priority.
#[derive(Clone, Debug)]
pub struct Priority {
    pub id: u32,
    pub name: String,
}

/// Why an issue was finished.
#[derive(Clone, Debug)]
pub struct Resolution {
    pub id: u32,
    pub name: String,
    pub description: String,
    /// The work was given up, not done.
    pub cancels: bool,
}

impl StatusId {
    pub const BACKLOG: Self = Self(0);
    pub const TO_DO: Self = Self(1);
    pub const SELECTED: Self = Self(2);
    pub const IN_PROGRESS: Self = Self(3);
    pub const IN_REVIEW: Self = Self(4);
    pub const DONE: Self = Self(5);
}

impl TypeId {
    pub const INITIATIVE: Self = Self(0);
    pub const EPIC: Self = Self(1);
    pub const STORY: Self = Self(2);
    pub const TASK: Self = Self(3);
    pub const BUG: Self = Self(4);
    pub const SPIKE: Self = Self(5);
    pub const SUBTASK: Self = Self(6);
    pub const INCIDENT: Self = Self(7);
}

impl PriorityId {
    pub const HIGHEST: Self = Self(0);
    pub const HIGH: Self = Self(1);
    pub const MEDIUM: Self = Self(2);
    pub const LOW: Self = Self(3);
    pub const LOWEST: Self = Self(4);
}

impl ResolutionId {
    pub const DONE: Self = Self(0);
    pub const WONT_DO: Self = Self(1);
    pub const DUPLICATE: Self = Self(2);
    pub const CANNOT_REPRODUCE: Self = Self(3);
}

pub(super) fn statuses() -> Vec<Status> {
    [
        (10_000, "Backlog", Category::New, Stage::Backlog),
        (10_001, "To Do", Category::New, Stage::Todo),
        (10_004, "Selected for Development", Category::New, Stage::Todo),
        (3, "In Progress", Category::Indeterminate, Stage::InProgress),
        (10_003, "In Review", Category::Indeterminate, Stage::InReview),
        (10_002, "Done", Category::Done, Stage::Done),
    ]
    .into_iter()
    .map(|(id, name, category, stage)| Status { id, name: name.to_owned(), category, stage })
    .collect()
}

pub(super) fn types() -> Vec<IssueType> {
    [
        (10_100, "Initiative", "A large goal that several epics serve.", 2),
        (10_000, "Epic", "A big user story that needs to be broken down.", 1),
        (10_101, "Story", "Functionality or a feature expressed as a user goal.", 0),
        (10_102, "Task", "A small, distinct piece of work.", 0),
        (10_104, "Bug", "A problem or error.", 0),
        (10_105, "Spike", "Research that ends with an answer, not a feature.", 0),
        (10_103, "Sub-task", "A small piece of work that's part of a larger task.", -1),
        (10_106, "Incident", "Something is broken for people right now.", 0),
    ]
    .into_iter()
    .map(|(id, name, description, level)| IssueType {
        id,
        name: name.to_owned(),
        description: description.to_owned(),
        level,
    })
    .collect()
}

pub(super) fn priorities() -> Vec<Priority> {
    ["Highest", "High", "Medium", "Low", "Lowest"]
        .into_iter()
        .zip(1..)
        .map(|(name, id)| Priority { id, name: name.to_owned() })
        .collect()
}

pub(super) fn resolutions() -> Vec<Resolution> {
    [
        (10_000, "Done", "Work has been completed on this issue.", false),
        (10_001, "Won't Do", "This issue won't be actioned.", true),
        (10_002, "Duplicate", "The problem is a duplicate of an existing issue.", true),
        (10_003, "Cannot Reproduce", "All attempts at reproducing this issue failed.", true),
    ]
    .into_iter()
    .map(|(id, name, description, cancels)| Resolution {
        id,
        name: name.to_owned(),
        description: description.to_owned(),
        cancels,
    })
    .collect()
}
