//! What happens at a code host: [`Edit`] for commits, pull requests, checks, deployments, milestones and cards.

use super::code_host::{
    CardMismatch, Check, Commit, Content, Deployment, Milestone, Note, Pull, PullDraft, Review, Verdict,
};
use super::code_host::{CommitId, DeploymentId, MilestoneId, NoteId, PullId};
use super::{BoardId, Edit, IssueId, ProjectId, StatusId, UserId};

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
