//! Making history: every change goes through [`Edit`], which writes the events and bumps `updated` where a tool would.

use super::sample_text::remark;
use super::{
    BoardId, Change, Comment, Event, Fields, Issue, IssueId, Key, Link, LinkKind, PriorityId, ProjectId, ResolutionId,
    SprintId, SprintState, StatusId, Swap, TypeId, UserId, World,
};
use jiff::civil::Date;

/// Changes at one moment by one person. Every method is one act: one history entry, even when it touches two fields.
///
/// History only grows: an act dated before the issue's last event is taken to happen right at it.
pub struct Edit<'w> {
    world: &'w mut World,
    pub(super) at: i64,
    pub(super) by: UserId,
}

/// An issue about to be created. Start with [`Draft::new`], set what differs.
#[derive(Clone, Debug)]
pub struct Draft {
    pub project: ProjectId,
    pub kind: TypeId,
    pub title: String,
    /// None: the project's initial status.
    pub status: Option<StatusId>,
    pub priority: PriorityId,
    pub assignee: Option<UserId>,
    pub labels: Vec<String>,
    pub points: Option<f32>,
    pub time_estimate: Option<u32>,
    pub sprint: Option<SprintId>,
    pub parent: Option<IssueId>,
    pub due: Option<Date>,
}

impl Draft {
    /// An unestimated, unassigned issue of medium priority.
    pub fn new(project: ProjectId, kind: TypeId, title: impl Into<String>) -> Self {
        Self {
            project,
            kind,
            title: title.into(),
            status: None,
            priority: PriorityId::MEDIUM,
            assignee: None,
            labels: vec![],
            points: None,
            time_estimate: None,
            sprint: None,
            parent: None,
            due: None,
        }
    }
}

impl<'w> Edit<'w> {
    pub(super) fn new(world: &'w mut World, at: i64) -> Self {
        Self { world, at, by: UserId(0) }
    }

    /// Says who makes the changes.
    pub fn by(mut self, user: UserId) -> Self {
        self.by = user;
        self
    }

    /// Creates an issue. Creation leaves no history entry, as in Jira.
    pub fn add_issue(&mut self, draft: Draft) -> IssueId {
        let id = IssueId(IssueId::FIRST.0 + self.world.issues.len() as u32);
        let fields = self.first_fields(draft);
        let key = self.world.key_order(fields.key);
        self.world.issues.push(Issue {
            id,
            created: self.at,
            creator: self.by,
            reporter: self.by,
            updated: self.at,
            fields,
            comments: vec![],
            hidden: false,
            deleted: None,
            history: vec![],
        });
        self.world.by_key.insert(key, id);
        self.world.revision += 1;
        if let Some(parent) = self.world.issue(id).fields.parent {
            self.world.by_parent.insert((parent, id));
            self.world.ever_parent.insert((parent, id));
        }
        if !self.world.unindexed {
            self.world.by_updated.insert((self.at, key), id);
        }
        id
    }

    fn first_fields(&mut self, draft: Draft) -> Fields {
        let initial = self.world.project(draft.project).initial;
        Fields {
            key: self.next_key(draft.project),
            title: draft.title,
            kind: draft.kind,
            status: draft.status.unwrap_or(initial),
            resolution: None,
            priority: draft.priority,
            assignee: draft.assignee,
            labels: draft.labels,
            points: draft.points,
            time_estimate: draft.time_estimate,
            sprints: draft.sprint.into_iter().collect(),
            parent: draft.parent,
            due: draft.due,
            flagged: false,
            links: vec![],
        }
    }

    pub(super) fn next_key(&mut self, project: ProjectId) -> Key {
        let held = &mut self.world.projects[usize::from(project.0)];
        held.last_number += 1;
        Key { project, number: held.last_number }
    }

    /// Moves to a status. Entering a done status resolves as Done, leaving one clears the resolution.
    pub fn transition(&mut self, id: IssueId, to: StatusId) {
        let done = self.world.status(to).category == super::Category::Done;
        self.transition_as(id, to, done.then_some(ResolutionId::DONE));
    }

    /// Finishes as given up.
    pub fn cancel(&mut self, id: IssueId) {
        self.transition_as(id, StatusId::DONE, Some(ResolutionId::WONT_DO));
    }

    /// Moves to a status with a given resolution.
    pub fn transition_as(&mut self, id: IssueId, to: StatusId, resolution: Option<ResolutionId>) {
        let fields = self.fields(id);
        let status = swap(fields.status, to).map(Change::Status);
        let resolution = swap(fields.resolution, resolution).map(Change::Resolution);
        self.record(id, resolution.into_iter().chain(status));
    }

    /// Raises the impediment flag.
    pub fn flag(&mut self, id: IssueId) {
        let change = (!self.fields(id).flagged).then_some(Change::Flagged(true));
        self.record(id, change);
    }

    /// Takes the impediment flag down.
    pub fn unflag(&mut self, id: IssueId) {
        let change = self.fields(id).flagged.then_some(Change::Flagged(false));
        self.record(id, change);
    }

    /// Estimates in story points.
    pub fn set_points(&mut self, id: IssueId, to: Option<f32>) {
        let change = swap(self.fields(id).points, to).map(Change::Points);
        self.record(id, change);
    }

    /// Puts into a sprint, out of every other that is not closed; none puts it back on the backlog.
    pub fn set_sprint(&mut self, id: IssueId, to: Option<SprintId>) {
        let closed = |sprint: &SprintId| self.world.sprint(*sprint).state == SprintState::Closed;
        let mut sprints: Vec<_> = self.fields(id).sprints.iter().copied().filter(closed).collect();
        sprints.extend(to.filter(|to| !sprints.contains(to)));
        let change = swap(self.fields(id).sprints.clone(), sprints).map(|swap| Change::Sprints(Box::new(swap)));
        self.record(id, change);
    }

    /// Hangs below another issue, or below none.
    pub fn set_parent(&mut self, id: IssueId, to: Option<IssueId>) {
        let from = self.fields(id).parent;
        self.record(id, swap(from, to).map(Change::Parent));
        from.map(|from| self.world.by_parent.remove(&(from, id)));
        to.map(|to| self.world.by_parent.insert((to, id)));
        to.map(|to| self.world.ever_parent.insert((to, id)));
    }

    /// Changes the title.
    pub fn rename(&mut self, id: IssueId, to: impl Into<String>) {
        let change = swap(self.fields(id).title.clone(), to.into()).map(|swap| Change::Title(Box::new(swap)));
        self.record(id, change);
    }

    pub fn assign(&mut self, id: IssueId, to: Option<UserId>) {
        let change = swap(self.fields(id).assignee, to).map(Change::Assignee);
        self.record(id, change);
    }

    pub fn set_priority(&mut self, id: IssueId, to: PriorityId) {
        let change = swap(self.fields(id).priority, to).map(Change::Priority);
        self.record(id, change);
    }

    pub fn set_labels(&mut self, id: IssueId, to: &[&str]) {
        let to = to.iter().map(|label| (*label).to_owned()).collect();
        let change = swap(self.fields(id).labels.clone(), to).map(|swap| Change::Labels(Box::new(swap)));
        self.record(id, change);
    }

    pub fn set_due(&mut self, id: IssueId, to: Option<Date>) {
        let change = swap(self.fields(id).due, to).map(Change::Due);
        self.record(id, change);
    }

    pub fn set_type(&mut self, id: IssueId, to: TypeId) {
        let change = swap(self.fields(id).kind, to).map(Change::Kind);
        self.record(id, change);
    }

    /// Drags up or down a list: an entry that means nothing to us.
    pub fn rank(&mut self, id: IssueId) {
        self.record(id, [Change::Ranked]);
    }

    /// Comments: no history, but the issue counts as updated.
    pub fn comment(&mut self, id: IssueId) {
        let code_host = &mut self.world.code_host;
        code_host.written += 1;
        code_host.commented.insert(id, self.at);
        let comment = Comment { id: code_host.written, at: self.at, author: self.by, text: remark(code_host.written) };
        self.world.issue_mut(id).comments.push(comment);
        self.touch(id, |_| {});
    }

    /// Takes the oldest comment back. It leaves no trace but that the issue counts as updated.
    pub fn take_back_comment(&mut self, id: IssueId) {
        let comments = &mut self.world.issue_mut(id).comments;
        if !comments.is_empty() {
            comments.remove(0);
            self.world.code_host.commented.insert(id, self.at);
            self.touch(id, |_| {});
        }
    }

    /// Moves to another project: same id, new key. The old key still finds it.
    pub fn move_project(&mut self, id: IssueId, to: ProjectId) {
        let from = self.fields(id).key;
        let to = self.next_key(to);
        let old = self.world.key_order(from);
        self.record(id, [Change::Moved(Swap { from, to })]);
        self.world.by_key.remove(&old);
        self.world.former_keys.insert(old, id);
        self.world.by_key.insert(self.world.key_order(to), id);
    }

    /// Deletes: from now on nothing finds it.
    pub fn delete(&mut self, id: IssueId) {
        let place = self.world.place(self.world.issue(id));
        self.world.by_updated.remove(&place);
        self.world.by_key.remove(&place.1);
        self.world.revision += 1;
        self.world.issue_mut(id).deleted = Some(self.at);
        let links: Vec<_> = self.fields(id).links.clone();
        for link in links {
            self.world.issue_mut(link.other).fields.links.retain(|held| held.id != link.id);
        }
    }

    /// Hides it from the account, or shows it again; no trace in the history, `updated` stays.
    pub fn hide(&mut self, id: IssueId, hidden: bool) {
        self.world.revision += 1;
        self.world.issue_mut(id).hidden = hidden;
    }

    /// Says that `blocker` blocks `blocked`. Both get an entry.
    pub fn link(&mut self, blocker: IssueId, blocked: IssueId) {
        self.link_as(LinkKind::Blocks, blocker, blocked);
    }

    /// Links two issues; the first is the subject.
    pub fn link_as(&mut self, kind: LinkKind, subject: IssueId, object: IssueId) {
        if [subject, object].iter().any(|id| self.world.issue(*id).deleted.is_some()) {
            return;
        }
        self.world.last_link += 1;
        let id = self.world.last_link;
        self.record(subject, [Change::Linked(Box::new(Link { id, kind, other: object, outward: true }))]);
        self.record(object, [Change::Linked(Box::new(Link { id, kind, other: subject, outward: false }))]);
    }

    /// Takes every link between two issues away.
    pub fn unlink(&mut self, one: IssueId, other: IssueId) {
        for (here, there) in [(one, other), (other, one)] {
            let links: Vec<_> = self.fields(here).links.iter().copied().filter(|link| link.other == there).collect();
            for link in links {
                self.record(here, [Change::Unlinked(Box::new(link))]);
            }
        }
    }

    /// Starts a sprint now; it is planned to end at `end`. No issue is touched.
    pub fn start_sprint(&mut self, id: SprintId, end: i64) {
        let at = self.at;
        let sprint = self.sprint_mut(id);
        sprint.state = SprintState::Active;
        sprint.start = Some(at);
        sprint.end = Some(end);
    }

    /// Closes a sprint now and puts its unfinished issues (not sub-tasks) into `carry_to`, if any.
    pub fn close_sprint(&mut self, id: SprintId, carry_to: Option<SprintId>) {
        let at = self.at;
        let sprint = self.sprint_mut(id);
        sprint.state = SprintState::Closed;
        sprint.completed = Some(at);
        let open: Vec<_> = self.open_members(id);
        for issue in open.into_iter().filter(|_| carry_to.is_some()) {
            self.set_sprint(issue, carry_to);
        }
    }

    /// Renames a sprint. No issue is touched.
    pub fn rename_sprint(&mut self, id: SprintId, to: impl Into<String>) {
        self.sprint_mut(id).name = to.into();
    }

    /// Plans a new, future sprint.
    pub fn add_sprint(&mut self, board: BoardId, name: &str, goal: &str) -> SprintId {
        self.world.add_sprint(board, name, goal, self.at)
    }

    pub(super) fn code_host(&mut self) -> &mut super::CodeHost {
        &mut self.world.code_host
    }

    pub(super) fn status_name_mut(&mut self, id: StatusId) -> &mut String {
        &mut self.world.statuses[usize::from(id.0)].name
    }

    /// Adds a program that acts like a person: an App of GitHub, an agent of Linear.
    pub fn add_bot(&mut self, name: &str) -> UserId {
        let id = UserId(self.world.users.len() as u16);
        let account = format!("app-{}", id.0);
        self.world.users.push(super::User { name: name.to_owned(), account, is_bot: true });
        self.changed();
        id
    }

    pub(super) fn status_of(&self, id: IssueId) -> StatusId {
        self.fields(id).status
    }

    /// Counts a change that no issue shows.
    pub(super) fn changed(&mut self) {
        self.world.revision += 1;
    }

    /// An issue counts as updated, though its history is kept elsewhere.
    pub(super) fn touched(&mut self, id: IssueId) {
        self.touch(id, |_| {});
    }

    fn open_members(&self, sprint: SprintId) -> Vec<IssueId> {
        let open = |issue: &&Issue| self.world.status(issue.fields.status).category != super::Category::Done;
        let inside = |issue: &&Issue| issue.fields.sprints.contains(&sprint);
        self.world.issues().filter(inside).filter(open).map(|issue| issue.id).collect()
    }

    fn sprint_mut(&mut self, id: SprintId) -> &mut super::Sprint {
        &mut self.world.sprints[id.0 as usize - 1]
    }

    fn fields(&self, id: IssueId) -> &Fields {
        &self.world.issue(id).fields
    }

    /// Writes one history entry of these changes; none of no changes.
    fn record(&mut self, id: IssueId, changes: impl IntoIterator<Item = Change>) {
        let mut changes = changes.into_iter().peekable();
        if changes.peek().is_none() || self.world.issue(id).deleted.is_some() {
            return;
        }
        self.world.last_history += 1;
        let (entry, author) = (self.world.last_history, self.by);
        let at = self.at.max(self.world.issue(id).last_event());
        self.touch(id, |issue| {
            for change in changes {
                issue.push(Event { at, id: entry, author, change });
            }
        });
    }

    /// Changes an issue, bumps `updated` and keeps the order by it.
    fn touch(&mut self, id: IssueId, change: impl FnOnce(&mut Issue)) {
        let world = &mut *self.world;
        let before = world.place(world.issue(id));
        let issue = world.issue_mut(id);
        change(issue);
        world.revision += 1;
        let issue = world.issue_mut(id);
        issue.updated = issue.updated.max(self.at);
        if !world.unindexed && world.issue(id).deleted.is_none() {
            let after = world.place(world.issue(id));
            world.by_updated.remove(&before);
            world.by_updated.insert(after, id);
        }
    }
}

/// The change from one value to another, unless they are equal.
fn swap<T: PartialEq>(from: T, to: T) -> Option<Swap<T>> {
    (from != to).then_some(Swap { from, to })
}
