//! An issue: what it is now, and every event that made it so.

use super::{IssueId, Key, PriorityId, ProjectId, ResolutionId, SprintId, StatusId, TypeId, UserId};
use jiff::civil::Date;

/// One issue. Its fields are read-only here; [`super::Edit`] changes them and writes the history.
#[derive(Clone, Debug)]
pub struct Issue {
    pub id: IssueId,
    pub created: i64,
    pub creator: UserId,
    pub reporter: UserId,
    /// When a tool would say it was last updated.
    pub updated: i64,
    /// The present values.
    pub fields: Fields,
    /// What people wrote about it and did not take back, oldest first.
    pub comments: Vec<Comment>,
    /// Not visible to the account (a security level), though it exists.
    pub hidden: bool,
    /// When it was deleted. A deleted issue looks as if it had never been.
    pub deleted: Option<i64>,
    /// Oldest first. Events that share an id are one history entry.
    pub(super) history: Vec<Event>,
}

/// What somebody wrote about an issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Grows with every comment of the world.
    pub id: u32,
    pub at: i64,
    pub author: UserId,
    pub text: &'static str,
}

/// What can change about an issue.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields {
    pub key: Key,
    pub title: String,
    pub kind: TypeId,
    pub status: StatusId,
    pub resolution: Option<ResolutionId>,
    pub priority: PriorityId,
    pub assignee: Option<UserId>,
    pub labels: Vec<String>,
    pub points: Option<f32>,
    /// Original time estimate in seconds.
    pub time_estimate: Option<u32>,
    /// All sprints it is and was in that it did not leave before their end.
    pub sprints: Vec<SprintId>,
    pub parent: Option<IssueId>,
    pub due: Option<Date>,
    pub flagged: bool,
    pub links: Vec<Link>,
}

/// A link as one of its two ends sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub id: u32,
    pub kind: LinkKind,
    pub other: IssueId,
    /// This end is the subject: it blocks (or relates to) the other.
    pub outward: bool,
}

/// What a link means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    Blocks,
    Relates,
}

/// Something that happened to an issue.
#[derive(Clone, Debug)]
pub struct Event {
    pub at: i64,
    /// The history entry it belongs to; grows with time over the whole world.
    pub id: u32,
    pub author: UserId,
    pub change: Change,
}

/// An old and a new value.
#[derive(Clone, Debug, PartialEq)]
pub struct Swap<T> {
    pub from: T,
    pub to: T,
}

/// One field's change. The larger ones are boxed: worlds with a million events must fit in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Status(Swap<StatusId>),
    Resolution(Swap<Option<ResolutionId>>),
    /// The impediment flag; the value is the new one.
    Flagged(bool),
    Points(Swap<Option<f32>>),
    Sprints(Box<Swap<Vec<SprintId>>>),
    Parent(Swap<Option<IssueId>>),
    Title(Box<Swap<String>>),
    Assignee(Swap<Option<UserId>>),
    Priority(Swap<PriorityId>),
    Labels(Box<Swap<Vec<String>>>),
    Due(Swap<Option<Date>>),
    Kind(Swap<TypeId>),
    /// Moved to another project; the key changes with it.
    Moved(Swap<Key>),
    Linked(Box<Link>),
    Unlinked(Box<Link>),
    /// Dragged up or down a list: noise.
    Ranked,
}

impl Change {
    /// Makes the change.
    pub(super) fn apply(&self, fields: &mut Fields) {
        match self {
            Self::Status(swap) => fields.status = swap.to,
            Self::Resolution(swap) => fields.resolution = swap.to,
            Self::Flagged(to) => fields.flagged = *to,
            Self::Points(swap) => fields.points = swap.to,
            Self::Sprints(swap) => fields.sprints.clone_from(&swap.to),
            Self::Parent(swap) => fields.parent = swap.to,
            Self::Title(swap) => fields.title.clone_from(&swap.to),
            Self::Assignee(swap) => fields.assignee = swap.to,
            Self::Priority(swap) => fields.priority = swap.to,
            Self::Labels(swap) => fields.labels.clone_from(&swap.to),
            Self::Due(swap) => fields.due = swap.to,
            Self::Kind(swap) => fields.kind = swap.to,
            Self::Moved(swap) => fields.key = swap.to,
            Self::Linked(link) => fields.links.push(**link),
            Self::Unlinked(link) => fields.links.retain(|held| held.id != link.id),
            Self::Ranked => {}
        }
    }

    /// Takes the change back.
    pub(crate) fn undo(&self, fields: &mut Fields) {
        match self {
            Self::Status(swap) => fields.status = swap.from,
            Self::Resolution(swap) => fields.resolution = swap.from,
            Self::Flagged(to) => fields.flagged = !to,
            Self::Points(swap) => fields.points = swap.from,
            Self::Sprints(swap) => fields.sprints.clone_from(&swap.from),
            Self::Parent(swap) => fields.parent = swap.from,
            Self::Title(swap) => fields.title.clone_from(&swap.from),
            Self::Assignee(swap) => fields.assignee = swap.from,
            Self::Priority(swap) => fields.priority = swap.from,
            Self::Labels(swap) => fields.labels.clone_from(&swap.from),
            Self::Due(swap) => fields.due = swap.from,
            Self::Kind(swap) => fields.kind = swap.from,
            Self::Moved(swap) => fields.key = swap.from,
            Self::Linked(link) => fields.links.retain(|held| held.id != link.id),
            Self::Unlinked(link) => fields.links.push(**link),
            Self::Ranked => {}
        }
    }
}

impl Issue {
    /// Every event, oldest first.
    pub fn events(&self) -> &[Event] {
        &self.history
    }

    /// The history entries, oldest first: the events of one act.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &[Event]> {
        self.history.chunk_by(|one, next| one.id == next.id)
    }

    /// The fields as they were at `at`, what happened at that very instant included.
    pub fn fields_at(&self, at: i64) -> Fields {
        let mut fields = self.fields.clone();
        for event in self.history.iter().rev().take_while(|event| event.at > at) {
            event.change.undo(&mut fields);
        }
        fields
    }

    /// The key it had at `at`.
    pub fn key_at(&self, at: i64) -> Key {
        let later = self.history.iter().filter(|event| event.at > at);
        let moved = later.filter_map(|event| match &event.change {
            Change::Moved(swap) => Some(swap.from),
            _ => None,
        });
        moved.into_iter().next().unwrap_or(self.fields.key)
    }

    /// The fields at creation.
    pub fn initial(&self) -> Fields {
        self.fields_at(i64::MIN)
    }

    /// The project it is in now.
    pub fn project(&self) -> ProjectId {
        self.fields.key.project
    }

    /// The time of its last event, or of its creation.
    pub fn last_event(&self) -> i64 {
        self.history.last().map_or(self.created, |event| event.at)
    }

    pub(super) fn push(&mut self, event: Event) {
        event.change.apply(&mut self.fields);
        self.history.push(event);
    }
}
