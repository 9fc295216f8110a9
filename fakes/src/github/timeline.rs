//! The timeline of an issue. A field without an event here has no history at GitHub.
//!
//! [`events`] makes the whole timeline from the world's history, oldest first; [`page`] filters and pages it.

use super::facts::{BLOCKED, close_reason, closes, estimate_field, issue_type};
use super::ids::NodeId;
use super::people::Person;
use super::view::{View, time};
use crate::graphql::{Answer, Arguments, Failure, Object, Value, connection};
use crate::world::{
    BoardId, CardMismatch, Change, Content, Event, Issue, IssueId, LinkKind, ProjectId, PullId, StatusId, TypeId,
    UserId,
};
use serde_json::Value as Json;

/// One event.
#[derive(Clone)]
pub(super) struct TimelineEvent {
    pub(super) at: i64,
    /// Identifies it within the timeline; never changes.
    tag: String,
    kind: &'static str,
    /// None: a workflow did it.
    by: Option<UserId>,
    fields: Vec<(&'static str, EventField)>,
}

/// A field of an event.
#[derive(Clone)]
enum EventField {
    Json(Json),
    Issue(IssueId),
    User(UserId),
    Project(BoardId),
    Repository(ProjectId),
    Pull(PullId),
    Closer(Option<PullId>),
}

/// A page of an issue's timeline.
pub(super) fn page<'w>(view: View<'w>, issue: &'w Issue, arguments: &Arguments<'_>) -> Answer<'w> {
    let all = events(view, issue);
    let updated = all.last().map_or(issue.created, |event| event.at);
    let types = arguments.texts("itemTypes");
    let since = arguments.text("since").map(instant).transpose()?;
    let wanted = |event: &TimelineEvent| {
        types.as_ref().is_none_or(|types| types.contains(&item_type(event.kind).as_str()))
            // GitHub's times are whole seconds.
            && since.is_none_or(|since| event.at.div_euclid(1_000) * 1_000 >= since)
    };
    let found: Vec<_> = all.into_iter().filter(wanted).collect();
    let total = found.len();
    let key = |event: &TimelineEvent| event.tag.clone();
    let draw = move |event: &TimelineEvent| Value::object(EventNode { view, issue, event: event.clone() });
    let page = connection("IssueTimelineItemsConnection", found, arguments, 100, key, draw)?;
    let count = page.len();
    Ok(Value::object(page.with("updatedAt", time(updated)).with("filteredCount", total).with("pageCount", count)))
}

fn instant(text: &str) -> Result<i64, Failure> {
    let read = text.parse::<jiff::Timestamp>();
    read.map(|at| at.as_millisecond()).map_err(|_| Failure::new("INVALID", format!("'{text}' is not a DateTime")))
}

/// `ProjectV2ItemStatusChangedEvent` as the enum of types has it: `PROJECT_V2_ITEM_STATUS_CHANGED_EVENT`.
pub(super) fn item_type(kind: &str) -> String {
    let mut text = String::new();
    let mut last = None;
    for letter in kind.chars() {
        let starts =
            letter.is_uppercase() && last.is_some_and(|last: char| last.is_lowercase() || last.is_ascii_digit());
        // The digit of `V2` belongs to the word.
        if starts {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
        last = Some(letter);
    }
    text
}

/// The whole timeline, oldest first.
pub(super) fn events(view: View<'_>, issue: &Issue) -> Vec<TimelineEvent> {
    let mut timeline = Timeline { view, issue, events: vec![] };
    timeline.creation();
    for event in issue.events() {
        timeline.event(event);
    }
    timeline.cards();
    timeline.milestones();
    timeline.children();
    timeline.pulls();
    let mut events = timeline.events;
    // Stable: events of one moment stay in the order they were added in.
    events.sort_by_key(|event| event.at);
    events
}

struct Timeline<'w> {
    view: View<'w>,
    issue: &'w Issue,
    events: Vec<TimelineEvent>,
}

impl Timeline<'_> {
    fn add(
        &mut self,
        kind: &'static str,
        (at, by): (i64, Option<UserId>),
        tag: impl std::fmt::Display,
        fields: Vec<(&'static str, EventField)>,
    ) {
        self.events.push(TimelineEvent { at, tag: format!("{tag}-{kind}"), kind, by, fields });
    }

    /// The issue as it was created: changes from nothing.
    fn creation(&mut self) {
        let (first, when) = (self.issue.initial(), (self.issue.created, Some(self.issue.creator)));
        for label in &first.labels {
            self.add("LabeledEvent", when, format!("0{label}"), vec![self.label(label)]);
        }
        if let Some(user) = first.assignee {
            self.add("AssignedEvent", when, 0, assignee(user));
        }
        let kind = vec![("issueType", EventField::Json(issue_type(self.view.world, first.kind)))];
        self.add("IssueTypeAddedEvent", when, 0, kind);
        if let Some(parent) = first.parent {
            self.add("ParentIssueAddedEvent", when, 0, vec![("parent", EventField::Issue(parent))]);
        }
        for board in self.boards_showing(first.key.project) {
            self.joins(board, self.issue.created, first.status, 0);
        }
        if let Some(points) = first.points.filter(|_| self.view.options.estimate_on_issue) {
            let fields = vec![estimate(), ("value", EventField::Json(points.to_string().into()))];
            self.add("IssueFieldAddedEvent", when, 0, fields);
        }
    }

    /// Comes onto a board, by a workflow that gives it a status at once; a converted draft was there before.
    fn joins(&mut self, board: BoardId, at: i64, status: StatusId, tag: u32) {
        let automated = ("wasAutomated", EventField::Json(true.into()));
        let project = ("project", EventField::Project(board));
        let origin = self.view.world.code_host.origin(self.issue.id).filter(|note| note.board == board);
        match origin.filter(|_| tag == 0) {
            Some(note) => {
                let fields = vec![project.clone(), manual()];
                self.add("ConvertedFromDraftEvent", (at, Some(note.by)), format!("{tag}p{board}"), fields);
            }
            None => {
                let fields = vec![project.clone(), automated.clone()];
                self.add("AddedToProjectV2Event", (at, None), format!("{tag}p{board}"), fields);
            }
        }
        let status = self.view.world.status_name(status, at);
        let names = [("previousStatus", EventField::Json("".into())), ("status", EventField::Json(status.into()))];
        let fields = [project, automated].into_iter().chain(names).collect();
        self.add("ProjectV2ItemStatusChangedEvent", (at, None), format!("{tag}p{board}"), fields);
    }

    fn boards_showing(&self, project: ProjectId) -> Vec<BoardId> {
        self.view.world.boards_of(project).map(|board| board.id).collect()
    }

    /// A transfer takes it off the boards that do not show its new repository, and onto those that do.
    fn changed_boards(&mut self, event: &Event, from: ProjectId, to: ProjectId) {
        let (before, after) = (self.boards_showing(from), self.boards_showing(to));
        for board in before.iter().filter(|board| !after.contains(board)) {
            let fields = vec![("project", EventField::Project(*board)), manual()];
            let tag = format!("{}p{board}", event.id);
            self.add("RemovedFromProjectV2Event", (event.at, Some(event.author)), tag, fields);
        }
        let status = self.issue.fields_at(event.at).status;
        for board in after.iter().filter(|board| !before.contains(board)) {
            self.joins(*board, event.at, status, event.id);
        }
    }

    fn event(&mut self, event: &Event) {
        let when = (event.at, Some(event.author));
        let tag = event.id;
        match &event.change {
            Change::Status(swap) => self.status(event, swap.from, swap.to),
            Change::Flagged(to) => {
                let kind = if *to { "LabeledEvent" } else { "UnlabeledEvent" };
                self.add(kind, when, tag, vec![self.label(BLOCKED)]);
            }
            Change::Labels(swap) => self.labels(event, &swap.from, &swap.to),
            Change::Assignee(swap) => {
                if let Some(user) = swap.from {
                    self.add("UnassignedEvent", when, tag, assignee(user));
                }
                if let Some(user) = swap.to {
                    self.add("AssignedEvent", when, tag, assignee(user));
                }
            }
            Change::Title(swap) => {
                let text = |text: &str| EventField::Json(text.into());
                let fields = vec![("previousTitle", text(&swap.from)), ("currentTitle", text(&swap.to))];
                self.add("RenamedTitleEvent", when, tag, fields);
            }
            Change::Parent(swap) => {
                if let Some(parent) = swap.from {
                    self.add("ParentIssueRemovedEvent", when, tag, vec![("parent", EventField::Issue(parent))]);
                }
                if let Some(parent) = swap.to {
                    self.add("ParentIssueAddedEvent", when, tag, vec![("parent", EventField::Issue(parent))]);
                }
            }
            Change::Kind(swap) => self.kind(event, swap.from, swap.to),
            Change::Moved(swap) => {
                let fields = vec![("fromRepository", EventField::Repository(swap.from.project))];
                self.add("TransferredEvent", when, tag, fields);
                self.changed_boards(event, swap.from.project, swap.to.project);
            }
            Change::Linked(link) if link.kind == LinkKind::Blocks => self.link(event, link.other, link.outward, true),
            Change::Unlinked(link) if link.kind == LinkKind::Blocks => {
                self.link(event, link.other, link.outward, false)
            }
            Change::Points(swap) if self.view.options.estimate_on_issue => self.points(event, swap.from, swap.to),
            // No history: estimate, iteration, priority, due date, position.
            _ => {}
        }
    }

    /// A move on the board. Into a finished status it is a closing, which moves the card; out of one a reopening.
    fn status(&mut self, event: &Event, from: StatusId, to: StatusId) {
        let world = self.view.world;
        let [was_done, done] = [from, to].map(|status| closes(world, self.issue.id, status));
        let when = (event.at, Some(event.author));
        if done && !was_done {
            let reason = close_reason(world, self.issue.fields_at(event.at).resolution);
            let closer = world.code_host.closer(self.issue.id, event.at);
            let fields = vec![("stateReason", EventField::Json(reason.into())), ("closer", EventField::Closer(closer))];
            self.add("ClosedEvent", when, event.id, fields);
        } else if was_done && !done {
            self.add("ReopenedEvent", when, event.id, vec![("stateReason", EventField::Json("REOPENED".into()))]);
        }
        if done && matches!(world.code_host.card_mismatch(self.issue.id), Some(CardMismatch::CardStays(_))) {
            return;
        }
        let automated = done != was_done;
        for board in self.boards_at(event.at) {
            let name = |id| EventField::Json(world.status_name(id, event.at).into());
            let fields = vec![
                ("project", EventField::Project(board)),
                ("previousStatus", name(from)),
                ("status", name(to)),
                ("wasAutomated", EventField::Json(automated.into())),
            ];
            let when = (event.at, (!automated).then_some(event.author));
            self.add("ProjectV2ItemStatusChangedEvent", when, format!("{}p{board}", event.id), fields);
        }
    }

    /// The boards the issue was on at an instant.
    fn boards_at(&self, at: i64) -> Vec<BoardId> {
        let code_host = &self.view.world.code_host;
        let boards = self.view.world.boards_of(self.issue.key_at(at).project);
        let on = |board: BoardId| {
            let card = code_host.card(board, Content::Issue(self.issue.id));
            let moves = card.map_or(&[][..], |card| card.moves.as_slice());
            moves.iter().rev().find(|(moved, ..)| *moved <= at).is_none_or(|(_, _, on)| *on)
        };
        boards.map(|board| board.id).filter(|board| on(*board)).collect()
    }

    fn labels(&mut self, event: &Event, from: &[String], to: &[String]) {
        let when = (event.at, Some(event.author));
        for label in from.iter().filter(|label| !to.contains(label)) {
            self.add("UnlabeledEvent", when, format!("{}{label}", event.id), vec![self.label(label)]);
        }
        for label in to.iter().filter(|label| !from.contains(label)) {
            self.add("LabeledEvent", when, format!("{}{label}", event.id), vec![self.label(label)]);
        }
    }

    fn kind(&mut self, event: &Event, from: TypeId, to: TypeId) {
        let kind = |id| EventField::Json(issue_type(self.view.world, id));
        let fields = vec![("issueType", kind(to)), ("prevIssueType", kind(from))];
        self.add("IssueTypeChangedEvent", (event.at, Some(event.author)), event.id, fields);
    }

    fn link(&mut self, event: &Event, other: IssueId, outward: bool, added: bool) {
        let (kind, field) = match (outward, added) {
            (false, true) => ("BlockedByAddedEvent", "blockingIssue"),
            (false, false) => ("BlockedByRemovedEvent", "blockingIssue"),
            (true, true) => ("BlockingAddedEvent", "blockedIssue"),
            (true, false) => ("BlockingRemovedEvent", "blockedIssue"),
        };
        self.add(kind, (event.at, Some(event.author)), event.id, vec![(field, EventField::Issue(other))]);
    }

    fn points(&mut self, event: &Event, from: Option<f32>, to: Option<f32>) {
        let text = |points: f32| EventField::Json(points.to_string().into());
        let when = (event.at, Some(event.author));
        match (from, to) {
            (None, Some(to)) => self.add("IssueFieldAddedEvent", when, event.id, vec![estimate(), ("value", text(to))]),
            (Some(from), Some(to)) => {
                let fields = vec![estimate(), ("previousValue", text(from)), ("newValue", text(to))];
                self.add("IssueFieldChangedEvent", when, event.id, fields);
            }
            (_, None) => self.add("IssueFieldRemovedEvent", when, event.id, vec![estimate()]),
        }
    }

    /// Taken off boards and put back.
    fn cards(&mut self) {
        let boards: Vec<_> = self.view.world.boards.iter().map(|board| board.id).collect();
        for board in boards {
            let Some(card) = self.view.world.code_host.card(board, Content::Issue(self.issue.id)) else { continue };
            for (at, by, on) in card.moves.clone() {
                let kind = if on { "AddedToProjectV2Event" } else { "RemovedFromProjectV2Event" };
                let fields = vec![("project", EventField::Project(board)), manual()];
                self.add(kind, (at, Some(by)), format!("{board}m{at}"), fields);
            }
        }
    }

    fn milestones(&mut self) {
        let code_host = &self.view.world.code_host;
        let mut held: Option<String> = None;
        for (at, by, to) in code_host.milestoned.get(&self.issue.id).into_iter().flatten() {
            let title = |title: String| vec![("milestoneTitle", EventField::Json(title.into()))];
            if let Some(old) = held.take() {
                self.add("DemilestonedEvent", (*at, Some(*by)), at, title(old));
            }
            held = to.and_then(|to| code_host.milestones.get(to.0 as usize - 1)).map(|found| found.title.clone());
            if let Some(new) = held.clone() {
                self.add("MilestonedEvent", (*at, Some(*by)), at, title(new));
            }
        }
    }

    /// Children that came and went.
    fn children(&mut self) {
        let id = self.issue.id;
        let children: Vec<_> = self.view.world.ever_children(id).filter(|child| child.deleted.is_none()).collect();
        for child in children {
            let field = || vec![("subIssue", EventField::Issue(child.id))];
            if child.initial().parent == Some(id) {
                self.add("SubIssueAddedEvent", (child.created, Some(child.creator)), child.id, field());
            }
            for event in child.events() {
                let Change::Parent(swap) = &event.change else { continue };
                let when = (event.at, Some(event.author));
                if swap.from == Some(id) {
                    self.add("SubIssueRemovedEvent", when, event.id, field());
                }
                if swap.to == Some(id) {
                    self.add("SubIssueAddedEvent", when, event.id, field());
                }
            }
        }
    }

    /// Pull requests that mean to close it.
    fn pulls(&mut self) {
        let code_host = &self.view.world.code_host;
        for pull in code_host.pulls.iter().filter(|pull| pull.closes.contains(&self.issue.id)) {
            let cross = pull.key.project != self.issue.project();
            let fields = vec![
                ("source", EventField::Pull(pull.id)),
                ("target", EventField::Issue(self.issue.id)),
                ("willCloseTarget", EventField::Json(true.into())),
                ("isCrossRepository", EventField::Json(cross.into())),
                ("referencedAt", EventField::Json(time(pull.created).into())),
            ];
            self.add("CrossReferencedEvent", (pull.created, Some(pull.author)), pull.id.0, fields);
        }
    }

    fn label(&self, name: &str) -> (&'static str, EventField) {
        ("label", EventField::Json(self.view.label(name)))
    }
}

fn assignee(user: UserId) -> Vec<(&'static str, EventField)> {
    vec![("assignee", EventField::User(user)), ("user", EventField::User(user))]
}

fn manual() -> (&'static str, EventField) {
    ("wasAutomated", EventField::Json(false.into()))
}

fn estimate() -> (&'static str, EventField) {
    ("issueField", EventField::Json(estimate_field()))
}

struct EventNode<'w> {
    view: View<'w>,
    issue: &'w Issue,
    event: TimelineEvent,
}

impl Object for EventNode<'_> {
    fn type_name(&self) -> &str {
        self.event.kind
    }

    fn field(&self, name: &str, _: &Arguments<'_>) -> Answer<'_> {
        let view = self.view;
        Ok(match name {
            "id" => format!("EV_{}_{}", NodeId::Issue(ProjectId(0), self.issue.id), self.event.tag).into(),
            "createdAt" => time(self.event.at).into(),
            "actor" => self.event.by.map_or_else(|| Value::object(Person::Workflow { view }), |by| view.user(by)),
            "closable" | "assignable" | "labelable" | "subject" | "issue" => view.issue_object(self.issue),
            "url" => view.url(self.issue.fields.key, "issues").into(),
            "resourcePath" => "/".into(),
            _ => self
                .event
                .fields
                .iter()
                .find(|(field, _)| *field == name)
                .map_or(Value::NULL, |(_, held)| held.value(view)),
        })
    }
}

impl EventField {
    fn value<'w>(&self, view: View<'w>) -> Value<'w> {
        let world = view.world;
        match self {
            Self::Json(json) => Value::Json(json.clone()),
            Self::Issue(id) => view.issue_value(*id),
            Self::User(id) => view.user(*id),
            Self::Project(id) => Value::object(view.project(world.board(*id))),
            Self::Repository(id) => view.repository(*id).unwrap_or(Value::NULL),
            Self::Pull(id) => view.pull_value(world.code_host.pull(*id)),
            Self::Closer(id) => id.map_or(Value::NULL, |id| view.pull_value(world.code_host.pull(id))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_spelt_as_the_enum_has_it() {
        assert_eq!(item_type("ProjectV2ItemStatusChangedEvent"), "PROJECT_V2_ITEM_STATUS_CHANGED_EVENT");
        assert_eq!(item_type("AddedToProjectV2Event"), "ADDED_TO_PROJECT_V2_EVENT");
        assert_eq!(item_type("SubIssueAddedEvent"), "SUB_ISSUE_ADDED_EVENT");
    }
}
