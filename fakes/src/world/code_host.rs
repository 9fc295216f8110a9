//! What a code host knows beside its issues: pull requests, commits, checks, deployments, milestones, and the cards of its
//! project boards.
//!
//! Read [`CodeHost`] first. A repository is a [`super::Project`] of the world; its issues and pull requests share their numbers.
//! [`Edit`](super::Edit) makes everything here happen, as it makes the rest of history. A world that never touches it has an
//! empty [`CodeHost`].

use super::{BoardId, IssueId, Key, ProjectId, StatusId, UserId, World};
use std::collections::BTreeMap;

/// A pull request's number in the world, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PullId(pub u32);

/// A commit's number in the world, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u32);

/// A deployment's number in the world, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentId(pub u32);

/// A note's number in the world, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteId(pub u32);

/// A milestone's number in the world, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilestoneId(pub u32);

/// Everything of the code host.
#[derive(Clone, Debug, Default)]
pub struct CodeHost {
    pub pulls: Vec<Pull>,
    pub commits: Vec<Commit>,
    pub deployments: Vec<Deployment>,
    pub notes: Vec<Note>,
    pub milestones: Vec<Milestone>,
    /// Files on the default branch, by their path.
    pub files: BTreeMap<(ProjectId, String), String>,
    /// When an issue was given a milestone or lost it, and by whom; oldest first.
    pub(crate) milestoned: BTreeMap<IssueId, Vec<(i64, UserId, Option<MilestoneId>)>>,
    /// The agents that an issue was delegated to (none: taken back), when and by whom; oldest first.
    pub(crate) delegated: BTreeMap<IssueId, Vec<(i64, UserId, Option<UserId>)>>,
    pub(super) cards: BTreeMap<(BoardId, Content), Card>,
    /// The pull request that closed an issue at an instant.
    pub(super) closers: BTreeMap<(IssueId, i64), PullId>,
    /// Issues whose card and state do not agree.
    pub(super) card_mismatch: BTreeMap<IssueId, CardMismatch>,
    /// Cards dragged to a place on their board, in the order it was done.
    pub(super) dragged: Vec<(BoardId, Content, usize)>,
    /// Former names of statuses: until when, which, what; oldest first.
    pub(super) renamed: Vec<(i64, StatusId, String)>,
    /// Comments written so far, those of all issues.
    pub(super) written: u32,
    /// When somebody last commented an issue, or took a comment back.
    pub(crate) commented: BTreeMap<IssueId, i64>,
}

/// How the card of a finished issue and the issue itself disagree. The world, and its truth, count it as finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CardMismatch {
    /// The card went to a finished status, the issue was not closed.
    StaysOpen,
    /// The issue was closed, its card stays in this status.
    CardStays(StatusId),
}

/// What a card of a board shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    Issue(IssueId),
    Pull(PullId),
    Note(NoteId),
}

/// What happened to a card beyond its content. Issues are on their board without any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Card {
    pub(crate) archived: bool,
    /// Taken off the board (false) and put back (true), when and by whom.
    pub(crate) moves: Vec<(i64, UserId, bool)>,
    pub(crate) touched: i64,
}

impl Card {
    pub(crate) fn is_on_board(&self) -> bool {
        self.moves.last().is_none_or(|(_, _, on)| *on)
    }
}

/// A pull request.
#[derive(Clone, Debug)]
pub struct Pull {
    pub id: PullId,
    pub key: Key,
    pub title: String,
    pub body: String,
    pub branch: String,
    pub author: UserId,
    pub created: i64,
    pub updated: i64,
    /// Since when it is no draft; none while it is one.
    pub ready: Option<i64>,
    /// Asked for a review: when, by whom, whom.
    pub requests: Vec<(i64, UserId, UserId)>,
    pub reviews: Vec<Review>,
    pub commits: Vec<CommitId>,
    pub merged: Option<(i64, UserId)>,
    /// Closed, merged or not.
    pub closed: Option<i64>,
    /// Issues of this world that merging it closes.
    pub closes: Vec<IssueId>,
}

/// A pull request about to be opened. Start with [`PullDraft::new`], set what differs.
#[derive(Clone, Debug)]
pub struct PullDraft {
    pub project: ProjectId,
    pub title: String,
    pub body: String,
    pub branch: String,
    pub draft: bool,
    pub closes: Vec<IssueId>,
}

impl PullDraft {
    /// A pull request that is ready for review and closes nothing.
    pub fn new(project: ProjectId, branch: impl Into<String>, title: impl Into<String>) -> Self {
        let (title, branch) = (title.into(), branch.into());
        Self { project, title, body: String::new(), branch, draft: false, closes: vec![] }
    }
}

/// A review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Review {
    pub at: i64,
    pub by: UserId,
    pub verdict: Verdict,
}

/// What a reviewer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Approved,
    ChangesRequested,
    Commented,
}

/// A commit.
#[derive(Clone, Debug)]
pub struct Commit {
    pub id: CommitId,
    pub project: ProjectId,
    /// 40 hexadecimal digits.
    pub oid: String,
    pub message: String,
    pub by: UserId,
    pub at: i64,
    /// Since when it is on the default branch.
    pub on_default: Option<i64>,
    /// Finished runs of CI, oldest first; a later run of a name replaces the earlier.
    pub checks: Vec<Check>,
}

/// A finished run of CI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub at: i64,
    pub passed: bool,
}

impl Commit {
    /// The newest run of every name.
    pub fn latest_checks(&self) -> impl Iterator<Item = &Check> {
        let newer = |at: usize| self.checks[at + 1..].iter().any(|later| later.name == self.checks[at].name);
        (0..self.checks.len()).filter(move |at| !newer(*at)).map(|at| &self.checks[at])
    }
}

/// A deployment of a commit.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub id: DeploymentId,
    pub project: ProjectId,
    pub commit: CommitId,
    pub environment: String,
    pub by: UserId,
    pub at: i64,
    /// When it ended and whether it worked.
    pub ended: Option<(i64, bool)>,
}

/// A draft: a card without an issue behind it.
#[derive(Clone, Debug)]
pub struct Note {
    pub id: NoteId,
    pub board: BoardId,
    pub title: String,
    pub by: UserId,
    pub created: i64,
    pub updated: i64,
    /// The issue made of it, and when.
    pub converted: Option<(i64, IssueId)>,
}

/// A milestone of a repository.
#[derive(Clone, Debug)]
pub struct Milestone {
    pub id: MilestoneId,
    pub project: ProjectId,
    pub title: String,
    pub created: i64,
    pub due: Option<i64>,
    pub closed: Option<i64>,
}

impl CodeHost {
    /// A pull request.
    ///
    /// # Panics
    /// When the id is not of this world.
    pub fn pull(&self, id: PullId) -> &Pull {
        &self.pulls[id.0 as usize - 1]
    }

    /// A commit.
    ///
    /// # Panics
    /// When the id is not of this world.
    pub fn commit(&self, id: CommitId) -> &Commit {
        &self.commits[id.0 as usize - 1]
    }

    /// The pull request that closed an issue at that instant.
    pub fn closer(&self, issue: IssueId, at: i64) -> Option<PullId> {
        self.closers.get(&(issue, at)).copied()
    }

    /// The milestone an issue has now.
    pub fn milestone(&self, issue: IssueId) -> Option<&Milestone> {
        let (_, _, id) = self.milestoned.get(&issue)?.last()?;
        self.milestones.get((*id)?.0 as usize - 1)
    }

    /// The card of a content, when anything ever happened to it.
    pub(crate) fn card(&self, board: BoardId, content: Content) -> Option<&Card> {
        self.cards.get(&(board, content))
    }

    /// How an issue's card and state disagree, if they do.
    pub(crate) fn card_mismatch(&self, issue: IssueId) -> Option<CardMismatch> {
        self.card_mismatch.get(&issue).copied()
    }

    /// What was dragged where on a board.
    pub(crate) fn dragged(&self, board: BoardId) -> impl Iterator<Item = (Content, usize)> {
        self.dragged.iter().filter(move |(on, ..)| *on == board).map(|(_, content, place)| (*content, *place))
    }

    /// The note an issue was made of.
    pub(crate) fn origin(&self, issue: IssueId) -> Option<&Note> {
        self.notes.iter().find(|note| note.converted.is_some_and(|(_, made)| made == issue))
    }
}

impl World {
    /// The name a status had at an instant.
    pub(crate) fn status_name(&self, id: StatusId, at: i64) -> &str {
        let former = self.code_host.renamed.iter().find(|(until, of, _)| *of == id && at < *until);
        former.map_or(&self.status(id).name, |(_, _, name)| name)
    }

    /// The boards that show a project's issues.
    pub fn boards_of(&self, project: ProjectId) -> impl Iterator<Item = &super::Board> {
        self.boards.iter().filter(move |board| board.shows(project))
    }
}
