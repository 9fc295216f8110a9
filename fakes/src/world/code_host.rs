//! What a code host knows beside its issues: pull requests, commits, checks, deployments, milestones, and the cards of its
//! project boards.
//!
//! Read [`CodeHost`] first. A repository is a [`super::Project`] of the world; its issues and pull requests share their numbers.
//! [`Edit`] makes everything here happen, as it makes the rest of history. A world that never touches it has an empty [`CodeHost`].

use super::{BoardId, Edit, IssueId, Key, ProjectId, StatusId, UserId, World};
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
    cards: BTreeMap<(BoardId, Content), Card>,
    /// The pull request that closed an issue at an instant.
    closers: BTreeMap<(IssueId, i64), PullId>,
    /// Issues whose card and state do not agree.
    card_mismatch: BTreeMap<IssueId, CardMismatch>,
    /// Cards dragged to a place on their board, in the order it was done.
    dragged: Vec<(BoardId, Content, usize)>,
    /// Former names of statuses: until when, which, what; oldest first.
    renamed: Vec<(i64, StatusId, String)>,
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

impl Edit<'_> {
    /// Commits to the default branch.
    pub fn commit(&mut self, project: ProjectId, message: impl Into<String>) -> CommitId {
        let id = self.add_commit(project, message.into());
        self.code_host().commits[id.0 as usize - 1].on_default = Some(self.at);
        id
    }

    /// Commits a file to the default branch.
    pub fn commit_file(&mut self, project: ProjectId, path: &str, text: impl Into<String>) {
        self.code_host().files.insert((project, path.to_owned()), text.into());
        self.commit(project, format!("docs: write {path}"));
    }

    fn add_commit(&mut self, project: ProjectId, message: String) -> CommitId {
        let (at, by) = (self.at, self.by);
        let code_host = self.code_host();
        let id = CommitId(code_host.commits.len() as u32 + 1);
        code_host.commits.push(Commit { id, project, oid: oid(id), message, by, at, on_default: None, checks: vec![] });
        self.changed();
        id
    }

    /// Opens a pull request. It has no commits yet: [`Edit::push`] brings them.
    pub fn open_pull(&mut self, draft: PullDraft) -> PullId {
        let (at, author) = (self.at, self.by);
        let key = self.next_key(draft.project);
        let code_host = self.code_host();
        let id = PullId(code_host.pulls.len() as u32 + 1);
        code_host.pulls.push(Pull {
            id,
            key,
            title: draft.title,
            body: draft.body,
            branch: draft.branch,
            author,
            created: at,
            updated: at,
            ready: (!draft.draft).then_some(at),
            requests: vec![],
            reviews: vec![],
            commits: vec![],
            merged: None,
            closed: None,
            closes: draft.closes,
        });
        self.changed();
        id
    }

    /// Says in a pull request that it closes an issue.
    pub fn close_with(&mut self, pull: PullId, issue: IssueId) {
        self.with_pull(pull, |pull| pull.closes.push(issue));
    }

    /// Adds a commit to a pull request.
    pub fn push(&mut self, pull: PullId, message: impl Into<String>) -> CommitId {
        let project = self.code_host().pull(pull).key.project;
        let commit = self.add_commit(project, message.into());
        self.with_pull(pull, |pull| pull.commits.push(commit));
        commit
    }

    /// A run of CI on a commit ends.
    pub fn check(&mut self, commit: CommitId, name: &str, passed: bool) {
        let check = Check { name: name.to_owned(), at: self.at, passed };
        self.code_host().commits[commit.0 as usize - 1].checks.push(check);
        self.changed();
    }

    /// A draft becomes ready for review.
    pub fn ready(&mut self, pull: PullId) {
        let at = self.at;
        self.with_pull(pull, |pull| pull.ready = pull.ready.or(Some(at)));
    }

    /// Asks somebody for a review.
    pub fn request_review(&mut self, pull: PullId, of: UserId) {
        let (at, by) = (self.at, self.by);
        self.with_pull(pull, |pull| pull.requests.push((at, by, of)));
    }

    /// Reviews.
    pub fn review(&mut self, pull: PullId, verdict: Verdict) {
        let (at, by) = (self.at, self.by);
        self.with_pull(pull, |pull| pull.reviews.push(Review { at, by, verdict }));
    }

    /// Merges: its commits are on the default branch then, and the issues it closes are done.
    pub fn merge(&mut self, pull: PullId) {
        let (at, by) = (self.at, self.by);
        self.with_pull(pull, |pull| (pull.merged, pull.closed) = (Some((at, by)), Some(at)));
        let merged = self.code_host().pull(pull).clone();
        for commit in &merged.commits {
            self.code_host().commits[commit.0 as usize - 1].on_default = Some(at);
        }
        for issue in merged.closes {
            self.code_host().closers.insert((issue, at), pull);
            self.transition(issue, StatusId::DONE);
        }
    }

    /// Closes a pull request without merging it.
    pub fn close_pull(&mut self, pull: PullId) {
        let at = self.at;
        self.with_pull(pull, |pull| pull.closed = Some(at));
    }

    /// Starts a deployment.
    pub fn deploy(&mut self, commit: CommitId, environment: &str) -> DeploymentId {
        let (at, by) = (self.at, self.by);
        let code_host = self.code_host();
        let id = DeploymentId(code_host.deployments.len() as u32 + 1);
        let (project, environment) = (code_host.commit(commit).project, environment.to_owned());
        code_host.deployments.push(Deployment { id, project, commit, environment, by, at, ended: None });
        self.changed();
        id
    }

    /// A deployment ends.
    pub fn deployed(&mut self, deployment: DeploymentId, worked: bool) {
        let at = self.at;
        self.code_host().deployments[deployment.0 as usize - 1].ended = Some((at, worked));
        self.changed();
    }

    /// Writes a draft onto a board.
    pub fn note(&mut self, board: BoardId, title: impl Into<String>) -> NoteId {
        let (at, by, title) = (self.at, self.by, title.into());
        let code_host = self.code_host();
        let id = NoteId(code_host.notes.len() as u32 + 1);
        code_host.notes.push(Note { id, board, title, by, created: at, updated: at, converted: None });
        self.changed();
        id
    }

    /// Makes an issue of a draft; its card stays the same card.
    pub fn convert_note(&mut self, note: NoteId, project: ProjectId, kind: super::TypeId) -> IssueId {
        let title = self.code_host().notes[note.0 as usize - 1].title.clone();
        let issue = self.add_issue(super::Draft::new(project, kind, title));
        let at = self.at;
        self.code_host().notes[note.0 as usize - 1].converted = Some((at, issue));
        issue
    }

    /// Adds a milestone to a repository.
    pub fn add_milestone(&mut self, project: ProjectId, title: &str, due: Option<i64>) -> MilestoneId {
        let (created, title) = (self.at, title.to_owned());
        let code_host = self.code_host();
        let id = MilestoneId(code_host.milestones.len() as u32 + 1);
        code_host.milestones.push(Milestone { id, project, title, created, due, closed: None });
        id
    }

    /// Gives an issue a milestone, or takes it away.
    pub fn set_milestone(&mut self, issue: IssueId, to: Option<MilestoneId>) {
        let (at, by) = (self.at, self.by);
        let moves = self.code_host().milestoned.entry(issue).or_default();
        if moves.last().and_then(|(_, _, held)| *held) != to {
            moves.push((at, by, to));
            self.touched(issue);
        }
    }

    /// Delegates an issue to an agent, or takes it back.
    pub fn delegate(&mut self, issue: IssueId, to: Option<UserId>) {
        let (at, by) = (self.at, self.by);
        self.code_host().delegated.entry(issue).or_default().push((at, by, to));
        self.touched(issue);
    }

    /// Gives a status another name. What happened before keeps the old one.
    pub fn rename_status(&mut self, id: StatusId, to: &str) {
        let at = self.at;
        let former = std::mem::replace(self.status_name_mut(id), to.to_owned());
        self.code_host().renamed.push((at, id, former));
        self.changed();
    }

    /// Archives a card on its board, or restores it.
    pub fn archive_card(&mut self, board: BoardId, content: Content, archived: bool) {
        let at = self.at;
        let card = self.code_host().cards.entry((board, content)).or_default();
        (card.archived, card.touched) = (archived, at);
        self.changed();
    }

    /// Takes a card off a board (false) or puts it on one (true). Issues are on theirs from the start, pull requests are not.
    pub fn place_card(&mut self, board: BoardId, content: Content, on: bool) {
        let (at, by) = (self.at, self.by);
        let card = self.code_host().cards.entry((board, content)).or_default();
        card.moves.push((at, by, on));
        card.touched = at;
        self.changed();
    }

    /// Moves the card to done and forgets to close the issue.
    pub fn finish_card_only(&mut self, issue: IssueId) {
        self.code_host().card_mismatch.insert(issue, CardMismatch::StaysOpen);
        self.transition(issue, StatusId::DONE);
    }

    /// Closes the issue; no workflow moves its card.
    pub fn finish_issue_only(&mut self, issue: IssueId) {
        let left = self.status_of(issue);
        self.code_host().card_mismatch.insert(issue, CardMismatch::CardStays(left));
        self.transition(issue, StatusId::DONE);
    }

    /// Drags a card to a place on its board, counted from 0. Nothing counts as updated.
    pub fn drag_card(&mut self, board: BoardId, content: Content, place: usize) {
        self.code_host().dragged.push((board, content, place));
        self.changed();
    }

    fn with_pull(&mut self, id: PullId, change: impl FnOnce(&mut Pull)) {
        let at = self.at;
        let pull = &mut self.code_host().pulls[id.0 as usize - 1];
        change(pull);
        pull.updated = pull.updated.max(at);
        self.changed();
    }
}

/// A plausible hash: the bits of the number, well mixed.
fn oid(id: CommitId) -> String {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let number = u64::from(id.0);
    format!("{:016x}{:016x}{:08x}", mix(number), mix(number + (1 << 40)), mix(number + (1 << 41)) as u32)
}
