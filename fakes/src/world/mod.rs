//! A world of projects, people, boards, sprints and issues, each issue with its whole history.
//!
//! Read [`World`] first, then [`Issue`], [`Fields`] and [`Change`]; [`Edit`] is the only way to make history. No vendor's
//! shapes are here: a fake renders them. The world is event-sourced: an issue holds its present [`Fields`] and every
//! [`Event`] that led there, so any past moment can be restored ([`Issue::fields_at`]), and [`Truth`] answers questions
//! about it without asking the product under test.
//!
//! Times are epoch milliseconds, UTC.

mod activity;
mod code_edit;
mod code_host;
mod demo;
mod edit;
mod github_demo;
mod history;
mod issue;
mod live;
mod sample_text;
mod tables;
mod truth;

pub use activity::{Act, Activity, Derived, derive};
pub(crate) use code_host::{Card, CardMismatch};
pub use code_host::{
    Check, CodeHost, Commit, CommitId, Content, Deployment, DeploymentId, Milestone, MilestoneId, Note, NoteId, Pull,
    PullDraft, PullId, Review, Verdict,
};
pub use demo::Demo;
pub use edit::{Draft, Edit};
pub use github_demo::{Foreign, GithubDemo};
pub use issue::{Change, Comment, Event, Fields, Issue, Link, LinkKind, Swap};
pub use tables::{Category, IssueType, Priority, Resolution, Stage, Status};
pub use truth::{Burn, SprintTruth, Truth};

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Milliseconds in a second, a minute, an hour and a day.
pub(crate) const SECOND: i64 = 1_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// An issue's immutable number, the native id a tool shows; the first is [`IssueId::FIRST`].
    IssueId(u32);
    /// A sprint's number, from 1.
    SprintId(u32);
    /// A board's number, from 1.
    BoardId(u32);
    /// A user, as the index into [`World::users`].
    UserId(u16);
    /// A project, as the index into [`World::projects`].
    ProjectId(u16);
    /// A status, as the index into [`World::statuses`].
    StatusId(u8);
    /// An issue type, as the index into [`World::types`].
    TypeId(u8);
    /// A priority, as the index into [`World::priorities`].
    PriorityId(u8);
    /// A resolution, as the index into [`World::resolutions`].
    ResolutionId(u8);
}

impl IssueId {
    /// The id of the first issue of every world.
    pub const FIRST: Self = Self(10_001);
}

/// Somebody who works in the world.
#[derive(Clone, Debug)]
pub struct User {
    /// First name, as shown.
    pub name: String,
    /// Opaque account id.
    pub account: String,
    /// A program, not a person.
    pub is_bot: bool,
}

/// Who may see a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody with an account.
    Open,
    /// The account lost its permission: the project and its issues look as if they did not exist.
    Hidden,
    /// Archived: the project can be found, its issues vanish from search.
    Archived,
}

/// A project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Native id, stable.
    pub id: u32,
    /// The key people say (`SHOP`), at most 10 capital letters and digits.
    pub key: String,
    pub name: String,
    pub visibility: Visibility,
    /// The number of the newest issue; deleted ones leave holes.
    pub last_number: u32,
    /// The status that new issues get.
    pub initial: StatusId,
}

/// An issue's key: project and number. It changes when the issue moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub project: ProjectId,
    pub number: u32,
}

/// Keys in the order tools sort them: by project key, then number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyOrder([u8; 12], u32);

/// What a board shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardKind {
    Scrum,
    Kanban,
    /// A team-managed project's board.
    Simple,
}

/// A board over one project.
#[derive(Clone, Debug)]
pub struct Board {
    pub id: BoardId,
    pub name: String,
    pub kind: BoardKind,
    pub project: ProjectId,
    /// Projects it shows beside that one.
    pub also_shows: Vec<ProjectId>,
    /// When set, calls about this board are answered with this HTTP status (404 private, 422 no columns, 403 no licence).
    pub trouble: Option<u16>,
}

impl Board {
    /// Whether a project's issues are on it.
    pub fn shows(&self, project: ProjectId) -> bool {
        self.project == project || self.also_shows.contains(&project)
    }
}

/// Where a sprint is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SprintState {
    Closed,
    Active,
    Future,
}

/// A sprint.
#[derive(Clone, Debug)]
pub struct Sprint {
    pub id: SprintId,
    pub board: BoardId,
    /// Other boards that list it too.
    pub also_on: Vec<BoardId>,
    pub name: String,
    pub goal: String,
    pub state: SprintState,
    pub created: i64,
    /// Planned or real start; none for a future sprint without dates.
    pub start: Option<i64>,
    /// Planned end.
    pub end: Option<i64>,
    /// When it was closed.
    pub completed: Option<i64>,
}

/// Everything there is, and all that happened to it.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub users: Vec<User>,
    pub statuses: Vec<Status>,
    pub types: Vec<IssueType>,
    pub priorities: Vec<Priority>,
    pub resolutions: Vec<Resolution>,
    pub projects: Vec<Project>,
    pub boards: Vec<Board>,
    pub sprints: Vec<Sprint>,
    /// What only a code host has.
    pub code_host: CodeHost,
    issues: Vec<Issue>,
    by_updated: BTreeMap<(i64, KeyOrder), IssueId>,
    by_key: BTreeMap<KeyOrder, IssueId>,
    former_keys: HashMap<KeyOrder, IssueId>,
    by_parent: BTreeSet<(IssueId, IssueId)>,
    /// Parent and child, those that parted since included.
    ever_parent: BTreeSet<(IssueId, IssueId)>,
    revision: u64,
    last_history: u32,
    last_link: u32,
    /// While set, `by_updated` is not kept; [`World::reindex`] restores it.
    unindexed: bool,
}

impl World {
    /// A world with the usual users, statuses, types, priorities and resolutions, and nothing to do yet.
    pub fn empty() -> Self {
        Self {
            users: sample_text::users(),
            statuses: tables::statuses(),
            types: tables::types(),
            priorities: tables::priorities(),
            resolutions: tables::resolutions(),
            last_history: 10_100,
            last_link: 10_200,
            ..Self::default()
        }
    }

    /// The demo's world: `months` of work that end at `now`, the same for the same seed. Up to half a year has two closed
    /// sprints, one active and one future; more has one closed sprint for every two weeks. [`Demo`] offers the choice.
    pub fn demo(now: i64, months: u32, seed: u64) -> Self {
        Demo::new(now, months, seed).build()
    }

    /// A world of plain issues with a given amount of history: `entries_each` entries an issue, `heavy_entries` on every
    /// `heavy_every`-th. The last entry lies shortly before `now`.
    ///
    /// `World::history(now, 1_000, 20, 50, 150, seed)` has 22,600 entries.
    pub fn history(
        now: i64,
        issues: usize,
        entries_each: usize,
        heavy_every: usize,
        heavy_entries: usize,
        seed: u64,
    ) -> Self {
        history::build(now, issues, entries_each, heavy_every, heavy_entries, seed)
    }

    /// Adds a project whose issues start in `initial`.
    pub fn add_project(&mut self, key: &str, name: &str, initial: StatusId) -> ProjectId {
        let id = ProjectId(self.projects.len() as u16);
        self.projects.push(Project {
            id: 10_000 + u32::from(id.0),
            key: key.to_owned(),
            name: name.to_owned(),
            visibility: Visibility::Open,
            last_number: 0,
            initial,
        });
        id
    }

    /// Gives a project another key and name, which its issues then have too. Nothing when there is none of that key.
    pub fn rename_project(&mut self, key: &str, new_key: &str, name: &str) {
        if let Some(project) = self.projects.iter_mut().find(|project| project.key == key) {
            new_key.clone_into(&mut project.key);
            name.clone_into(&mut project.name);
        }
    }

    /// Adds a board over a project.
    pub fn add_board(&mut self, name: &str, kind: BoardKind, project: ProjectId) -> BoardId {
        let id = BoardId(self.boards.len() as u32 + 1);
        self.boards.push(Board { id, name: name.to_owned(), kind, project, also_shows: vec![], trouble: None });
        id
    }

    /// Adds a future sprint without dates.
    pub fn add_sprint(&mut self, board: BoardId, name: &str, goal: &str, created: i64) -> SprintId {
        let id = SprintId(self.sprints.len() as u32 + 1);
        let (name, goal) = (name.to_owned(), goal.to_owned());
        let state = SprintState::Future;
        let sprint =
            Sprint { id, board, also_on: vec![], name, goal, state, created, start: None, end: None, completed: None };
        self.sprints.push(sprint);
        id
    }

    /// Starts a change at `at`, made by the first user unless [`Edit::by`] says otherwise.
    pub fn edit(&mut self, at: i64) -> Edit<'_> {
        Edit::new(self, at)
    }

    /// An issue of this world, deleted ones too.
    ///
    /// # Panics
    /// When the id is not of this world.
    pub fn issue(&self, id: IssueId) -> &Issue {
        &self.issues[(id.0 - IssueId::FIRST.0) as usize]
    }

    /// Whether there is, or was, an issue of this id.
    pub fn get(&self, id: IssueId) -> Option<&Issue> {
        self.issues.get(id.0.checked_sub(IssueId::FIRST.0)? as usize)
    }

    /// The issues that are not deleted, by id.
    pub fn issues(&self) -> impl DoubleEndedIterator<Item = &Issue> {
        self.issues.iter().filter(|issue| issue.deleted.is_none())
    }

    /// Finds a live issue by its key, present or former, in any letter case.
    pub fn find(&self, key: &str) -> Option<IssueId> {
        let order = KeyOrder::parse(key)?;
        let id = self.by_key.get(&order).or_else(|| self.former_keys.get(&order))?;
        self.issue(*id).deleted.is_none().then_some(*id)
    }

    /// The key as people say it.
    pub fn key_text(&self, key: Key) -> String {
        format!("{}-{}", self.project(key.project).key, key.number)
    }

    /// The present key of an issue, as people say it.
    pub fn key_of(&self, id: IssueId) -> String {
        self.key_text(self.issue(id).fields.key)
    }

    pub fn project(&self, id: ProjectId) -> &Project {
        &self.projects[usize::from(id.0)]
    }

    /// Finds a project by key.
    pub fn find_project(&self, key: &str) -> Option<ProjectId> {
        self.projects.iter().position(|project| project.key.eq_ignore_ascii_case(key)).map(|at| ProjectId(at as u16))
    }

    pub fn status(&self, id: StatusId) -> &Status {
        &self.statuses[usize::from(id.0)]
    }

    pub fn issue_type(&self, id: TypeId) -> &IssueType {
        &self.types[usize::from(id.0)]
    }

    pub fn sprint(&self, id: SprintId) -> &Sprint {
        &self.sprints[id.0 as usize - 1]
    }

    pub fn board(&self, id: BoardId) -> &Board {
        &self.boards[id.0 as usize - 1]
    }

    /// The children of an issue now, by id.
    pub fn children(&self, parent: IssueId) -> impl Iterator<Item = &Issue> {
        let range = (parent, IssueId(0))..=(parent, IssueId(u32::MAX));
        self.by_parent.range(range).map(|(_, child)| self.issue(*child)).filter(|issue| issue.deleted.is_none())
    }

    /// Everything that is or ever was a child of an issue, by id, deleted ones too.
    pub(crate) fn ever_children(&self, parent: IssueId) -> impl Iterator<Item = &Issue> {
        let range = (parent, IssueId(0))..=(parent, IssueId(u32::MAX));
        self.ever_parent.range(range).map(|(_, child)| self.issue(*child))
    }

    /// Grows with every change of an issue.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// How many history entries all live issues have together.
    pub fn history_entries(&self) -> usize {
        self.issues().map(|issue| issue.entries().count()).sum()
    }

    /// What is true of this world at `at`.
    pub fn truth(&self, at: i64) -> Truth<'_> {
        Truth::new(self, at)
    }

    /// Live issues in the order of (`updated`, key), from `after` (exclusive) or from `since` (inclusive) on.
    pub(crate) fn updated_since(
        &self,
        since: i64,
        after: Option<(i64, KeyOrder)>,
    ) -> impl Iterator<Item = ((i64, KeyOrder), &Issue)> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let lowest = Included((since, KeyOrder::default()));
        let from = after.filter(|(at, _)| *at >= since).map_or(lowest, Excluded);
        self.by_updated.range((from, Unbounded)).map(|(place, id)| (*place, self.issue(*id)))
    }

    /// Live issues in the order of their keys, after `after`.
    pub(crate) fn by_key(&self, after: Option<KeyOrder>) -> impl Iterator<Item = (KeyOrder, &Issue)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.by_key.range((from, Unbounded)).map(|(key, id)| (*key, self.issue(*id)))
    }

    pub(crate) fn key_order(&self, key: Key) -> KeyOrder {
        KeyOrder::new(&self.project(key.project).key, key.number)
    }

    fn issue_mut(&mut self, id: IssueId) -> &mut Issue {
        &mut self.issues[(id.0 - IssueId::FIRST.0) as usize]
    }

    fn reindex(&mut self) {
        self.unindexed = false;
        self.by_updated = self.issues().map(|issue| (self.place(issue), issue.id)).collect();
    }

    fn place(&self, issue: &Issue) -> (i64, KeyOrder) {
        (issue.updated, self.key_order(issue.fields.key))
    }
}

impl KeyOrder {
    pub(crate) fn new(project: &str, number: u32) -> Self {
        let mut padded = [0; 12];
        for (slot, byte) in padded.iter_mut().zip(project.bytes()) {
            *slot = byte.to_ascii_uppercase();
        }
        Self(padded, number)
    }

    pub(crate) fn project(self) -> String {
        self.0.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect()
    }

    pub(crate) fn number(self) -> u32 {
        self.1
    }

    /// Reads `SHOP-12`.
    fn parse(key: &str) -> Option<Self> {
        let (project, number) = key.rsplit_once('-')?;
        Some(Self::new(project, number.parse().ok()?))
    }
}

/// The instant as jiff knows it; the epoch when out of its range.
pub(crate) fn timestamp(at: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at).unwrap_or_default()
}

#[cfg(test)]
mod tests;
