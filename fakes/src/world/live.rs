//! Continues a world: one small, plausible change at a time, for a demo that runs for a while.

use super::sample_text::{SHOP, pick};
use super::{
    Category, DAY, Draft, Issue, IssueId, ProjectId, PullDraft, PullId, Sprint, SprintId, SprintState, StatusId,
    TypeId, UserId, Verdict, World,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

impl World {
    /// Makes one change at `at`: an issue moves on, is flagged, commented or reported; a sprint whose time is up is
    /// closed and the next one started. The same world does the same. Gives the issue it happened to; none when a sprint
    /// ended, or there is nothing to do.
    pub fn tick(&mut self, at: i64) -> Option<IssueId> {
        if self.finish_sprint(at) {
            return None;
        }
        let mut rng = StdRng::seed_from_u64(self.revision());
        if rng.random_bool(0.1) {
            return self.report(at, &mut rng);
        }
        let open: Vec<_> = self.issues().filter(|issue| self.is_under_way(issue)).map(|issue| issue.id).collect();
        let id = (!open.is_empty()).then(|| pick(&open, &mut rng))?;
        self.move_on(id, at, &mut rng);
        Some(id)
    }

    /// Makes one change around the code at `at`: a pull request is opened for work in progress, or an open one moves on: a commit,
    /// a check, a request for review, a review, the merge. The same world does the same. Gives the pull request; none when
    /// there is nothing to do.
    pub fn tick_code(&mut self, at: i64) -> Option<PullId> {
        let mut rng = StdRng::seed_from_u64(self.revision() ^ 0xC0DE);
        let open: Vec<_> =
            self.code_host.pulls.iter().filter(|pull| pull.closed.is_none()).map(|pull| pull.id).collect();
        let fresh = self.work_without_code();
        if !fresh.is_empty() && (open.is_empty() || rng.random_bool(0.3)) {
            return Some(self.open_for(pick(&fresh, &mut rng), at));
        }
        let id = (!open.is_empty()).then(|| pick(&open, &mut rng))?;
        self.move_pull(id, at, &mut rng);
        Some(id)
    }

    /// Issues in progress that no open pull request closes.
    fn work_without_code(&self) -> Vec<IssueId> {
        let covered = |issue: &Issue| {
            let mut open = self.code_host.pulls.iter().filter(|pull| pull.closed.is_none());
            open.any(|pull| pull.closes.contains(&issue.id))
        };
        let working = self.issues().filter(|issue| issue.fields.status == StatusId::IN_PROGRESS);
        let plain = working.filter(|issue| self.issue_type(issue.fields.kind).level < 1);
        plain.filter(|issue| !covered(issue)).map(|issue| issue.id).collect()
    }

    fn open_for(&mut self, id: IssueId, at: i64) -> PullId {
        let issue = self.issue(id);
        let (project, title, by) = (issue.project(), issue.fields.title.clone(), issue.fields.assignee);
        let branch = format!("work/{}", self.key_of(id).to_lowercase());
        let draft = PullDraft { closes: vec![id], ..PullDraft::new(project, branch, &title) };
        let mut edit = self.edit(at).by(by.unwrap_or_default());
        let pull = edit.open_pull(draft);
        edit.push(pull, title);
        pull
    }

    fn move_pull(&mut self, id: PullId, at: i64, rng: &mut StdRng) {
        let pull = self.code_host.pull(id).clone();
        let head = pull.commits.last().map(|commit| self.code_host.commit(*commit).clone());
        let reviewer = UserId((pull.author.0 + 1) % self.users.len() as u16);
        let approved = pull.reviews.last().is_some_and(|review| review.verdict == Verdict::Approved);
        let mut edit = self.edit(at).by(pull.author);
        match head.map(|head| (head.id, head.checks.last().map(|check| check.passed))) {
            None | Some((_, Some(false))) => {
                edit.push(id, format!("Mend: {}", pull.title));
            }
            Some((head, None)) => edit.check(head, "build", rng.random_bool(0.8)),
            Some(_) if pull.ready.is_none() => edit.ready(id),
            Some(_) if pull.requests.is_empty() => edit.request_review(id, reviewer),
            Some(_) if !approved => edit.by(reviewer).review(id, Verdict::Approved),
            Some(_) => edit.by(reviewer).merge(id),
        }
    }

    /// Work that somebody has taken up: not an epic, not on the backlog, not finished.
    fn is_under_way(&self, issue: &Issue) -> bool {
        let status = self.status(issue.fields.status);
        let selected = issue.fields.status == StatusId::SELECTED;
        self.issue_type(issue.fields.kind).level < 1 && (status.category == Category::Indeterminate || selected)
    }

    fn move_on(&mut self, id: IssueId, at: i64, rng: &mut StdRng) {
        let fields = self.issue(id).fields.clone();
        let user = fields.assignee.unwrap_or(UserId(rng.random_range(0..self.users.len() as u16)));
        let mut edit = self.edit(at).by(user);
        match fields.status {
            _ if fields.flagged => edit.unflag(id),
            _ if rng.random_bool(0.15) => edit.comment(id),
            StatusId::SELECTED => edit.transition(id, StatusId::IN_PROGRESS),
            StatusId::IN_PROGRESS if rng.random_bool(0.2) => edit.flag(id),
            StatusId::IN_PROGRESS => edit.transition(id, StatusId::IN_REVIEW),
            StatusId::IN_REVIEW if rng.random_bool(0.15) => edit.transition(id, StatusId::IN_PROGRESS),
            _ => edit.transition(id, StatusId::DONE),
        }
    }

    /// A bug comes in, straight into the running sprint.
    fn report(&mut self, at: i64, rng: &mut StdRng) -> Option<IssueId> {
        let active = self.sprints.iter().find(|sprint| sprint.state == SprintState::Active);
        let (project, sprint) = match active {
            Some(sprint) => (self.board(sprint.board).project, Some(sprint.id)),
            None => (ProjectId(0), None),
        };
        if self.projects.is_empty() {
            return None;
        }
        let mut draft = Draft::new(project, TypeId::BUG, SHOP.title(TypeId::BUG, rng));
        (draft.sprint, draft.status, draft.points) = (sprint, Some(StatusId::SELECTED), Some(2.0));
        Some(self.edit(at).by(UserId(1)).add_issue(draft))
    }

    /// Closes a sprint that is over, starts the one after it and plans another.
    fn finish_sprint(&mut self, at: i64) -> bool {
        let over = |sprint: &&Sprint| sprint.state == SprintState::Active && sprint.end.is_some_and(|end| end <= at);
        let Some(old) = self.sprints.iter().find(over).map(|sprint| (sprint.id, sprint.board)) else { return false };
        let (id, board) = old;
        let waiting = |sprint: &&Sprint| sprint.state == SprintState::Future && sprint.board == board;
        let next = self.sprints.iter().find(waiting).map(|sprint| sprint.id);
        let next = next.unwrap_or_else(|| self.plan_after(id, at));
        self.edit(at).close_sprint(id, Some(next));
        self.edit(at + 1).start_sprint(next, at + 14 * DAY);
        self.plan_after(next, at);
        true
    }

    /// Plans the sprint after another, with the next number in its name.
    fn plan_after(&mut self, id: SprintId, at: i64) -> SprintId {
        let (board, name) = (self.sprint(id).board, &self.sprint(id).name);
        let (words, number) = name.rsplit_once(' ').unwrap_or((name, "0"));
        let name = format!("{words} {}", number.parse::<u32>().unwrap_or(0) + 1);
        self.add_sprint(board, &name, "", at)
    }
}
