//! What happened to an issue, as its timeline tells: what has no event here has no history at all.
//!
//! [`events`] makes the whole timeline from the world's history, oldest first; [`page`] filters and pages it.

use super::ids::NodeId;
use super::issue::{BLOCKED, IssueNode, close_reason, closes, issue_type};
use super::people::Person;
use super::view::{View, time};
use crate::graphql::{Answer, Arguments, Failure, Object, Value, connection};
use crate::world::{
    Astray, BoardId, Change, Content, Event, Issue, IssueId, LinkKind, ProjectId, PullId, StatusId, TypeId, UserId,
    World,
};
use serde_json::{Value as Json, json};

/// One event.
#[derive(Clone)]
pub(super) struct Happening {
    pub(super) at: i64,
    /// Identifies it within the timeline, for ever.
    tag: String,
    kind: &'static str,
    /// None: a workflow did it.
    by: Option<UserId>,
    fields: Vec<(&'static str, Held)>,
}

/// A field of an event.
#[derive(Clone)]
enum Held {
    Json(Json),
    Issue(IssueId),
    User(UserId),
    Project(BoardId),
    Repository(ProjectId),
    Pull(PullId),
    Closer(Option<PullId>),
}

/// A page of an issue's timeline.
pub(super) fn page<'w>(node: IssueNode<'w>, arguments: &Arguments<'_>) -> Answer<'w> {
    let all = events(node.view, node.issue);
    let updated = all.last().map_or(node.issue.created, |event| event.at);
    let types = arguments.texts("itemTypes");
    let since = arguments.text("since").map(instant).transpose()?;
    let wanted = |event: &Happening| {
        types.as_ref().is_none_or(|types| types.contains(&item_type(event.kind).as_str()))
            // Times are told in whole seconds.
            && since.is_none_or(|since| event.at.div_euclid(1_000) * 1_000 >= since)
    };
    let found: Vec<_> = all.into_iter().filter(wanted).collect();
    let total = found.len();
    let key = |event: &Happening| event.tag.clone();
    let draw = move |event: &Happening| Value::object(EventNode { node, event: event.clone() });
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

/// Whether an issue was closed before.
pub(super) fn was_closed(world: &World, issue: &Issue) -> bool {
    let done = |status| closes(world, issue.id, status);
    issue.events().iter().any(|event| matches!(&event.change, Change::Status(swap) if done(swap.to)))
}

/// The whole timeline, oldest first.
pub(super) fn events(view: View<'_>, issue: &Issue) -> Vec<Happening> {
    let mut teller = Teller { view, issue, told: vec![] };
    teller.birth();
    for event in issue.events() {
        teller.event(event);
    }
    teller.cards();
    teller.milestones();
    teller.children();
    teller.pulls();
    let mut told = teller.told;
    // Stable: what happened at one moment stays in the order it was told.
    told.sort_by_key(|event| event.at);
    told
}

struct Teller<'w> {
    view: View<'w>,
    issue: &'w Issue,
    told: Vec<Happening>,
}

impl Teller<'_> {
    fn tell(
        &mut self,
        kind: &'static str,
        (at, by): (i64, Option<UserId>),
        tag: impl std::fmt::Display,
        fields: Vec<(&'static str, Held)>,
    ) {
        self.told.push(Happening { at, tag: format!("{tag}-{kind}"), kind, by, fields });
    }

    /// The issue as it was created, told as changes from nothing.
    fn birth(&mut self) {
        let (first, when) = (self.issue.initial(), (self.issue.created, Some(self.issue.creator)));
        for label in &first.labels {
            self.tell("LabeledEvent", when, format!("0{label}"), vec![self.label(label)]);
        }
        if let Some(user) = first.assignee {
            self.tell("AssignedEvent", when, 0, assignee(user));
        }
        let kind = vec![("issueType", Held::Json(issue_type(self.view.world, first.kind)))];
        self.tell("IssueTypeAddedEvent", when, 0, kind);
        if let Some(parent) = first.parent {
            self.tell("ParentIssueAddedEvent", when, 0, vec![("parent", Held::Issue(parent))]);
        }
        for board in self.boards_showing(first.key.project) {
            self.joins(board, self.issue.created, first.status, 0);
        }
        if let Some(points) = first.points.filter(|_| self.view.options.estimate_on_issue) {
            let fields = vec![estimate(), ("value", Held::Json(points.to_string().into()))];
            self.tell("IssueFieldAddedEvent", when, 0, fields);
        }
    }

    /// Comes onto a board, by a workflow that gives it a status at once; a converted draft was there before.
    fn joins(&mut self, board: BoardId, at: i64, status: StatusId, tag: u32) {
        let automated = ("wasAutomated", Held::Json(true.into()));
        let project = ("project", Held::Project(board));
        let origin = self.view.world.hub.origin(self.issue.id).filter(|note| note.board == board);
        match origin.filter(|_| tag == 0) {
            Some(note) => {
                let fields = vec![project.clone(), manual()];
                self.tell("ConvertedFromDraftEvent", (at, Some(note.by)), format!("{tag}p{board}"), fields);
            }
            None => {
                let fields = vec![project.clone(), automated.clone()];
                self.tell("AddedToProjectV2Event", (at, None), format!("{tag}p{board}"), fields);
            }
        }
        let status = self.view.world.status_name(status, at);
        let names = [("previousStatus", Held::Json("".into())), ("status", Held::Json(status.into()))];
        let fields = [project, automated].into_iter().chain(names).collect();
        self.tell("ProjectV2ItemStatusChangedEvent", (at, None), format!("{tag}p{board}"), fields);
    }

    fn boards_showing(&self, project: ProjectId) -> Vec<BoardId> {
        self.view.world.boards_of(project).map(|board| board.id).collect()
    }

    /// A transfer takes it off the boards that do not show its new repository, and onto those that do.
    fn changed_boards(&mut self, event: &Event, from: ProjectId, to: ProjectId) {
        let (before, after) = (self.boards_showing(from), self.boards_showing(to));
        for board in before.iter().filter(|board| !after.contains(board)) {
            let fields = vec![("project", Held::Project(*board)), manual()];
            let tag = format!("{}p{board}", event.id);
            self.tell("RemovedFromProjectV2Event", (event.at, Some(event.author)), tag, fields);
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
                self.tell(kind, when, tag, vec![self.label(BLOCKED)]);
            }
            Change::Labels(swap) => self.labels(event, &swap.from, &swap.to),
            Change::Assignee(swap) => {
                if let Some(user) = swap.from {
                    self.tell("UnassignedEvent", when, tag, assignee(user));
                }
                if let Some(user) = swap.to {
                    self.tell("AssignedEvent", when, tag, assignee(user));
                }
            }
            Change::Title(swap) => {
                let text = |text: &str| Held::Json(text.into());
                let fields = vec![("previousTitle", text(&swap.from)), ("currentTitle", text(&swap.to))];
                self.tell("RenamedTitleEvent", when, tag, fields);
            }
            Change::Parent(swap) => {
                if let Some(parent) = swap.from {
                    self.tell("ParentIssueRemovedEvent", when, tag, vec![("parent", Held::Issue(parent))]);
                }
                if let Some(parent) = swap.to {
                    self.tell("ParentIssueAddedEvent", when, tag, vec![("parent", Held::Issue(parent))]);
                }
            }
            Change::Kind(swap) => self.kind(event, swap.from, swap.to),
            Change::Moved(swap) => {
                let fields = vec![("fromRepository", Held::Repository(swap.from.project))];
                self.tell("TransferredEvent", when, tag, fields);
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
            let closer = world.hub.closer(self.issue.id, event.at);
            let fields = vec![("stateReason", Held::Json(reason.into())), ("closer", Held::Closer(closer))];
            self.tell("ClosedEvent", when, event.id, fields);
        } else if was_done && !done {
            self.tell("ReopenedEvent", when, event.id, vec![("stateReason", Held::Json("REOPENED".into()))]);
        }
        if done && matches!(world.hub.astray(self.issue.id), Some(Astray::CardStays(_))) {
            return;
        }
        let automated = done != was_done;
        for board in self.boards_at(event.at) {
            let name = |id| Held::Json(world.status_name(id, event.at).into());
            let fields = vec![
                ("project", Held::Project(board)),
                ("previousStatus", name(from)),
                ("status", name(to)),
                ("wasAutomated", Held::Json(automated.into())),
            ];
            let when = (event.at, (!automated).then_some(event.author));
            self.tell("ProjectV2ItemStatusChangedEvent", when, format!("{}p{board}", event.id), fields);
        }
    }

    /// The boards the issue was on at an instant.
    fn boards_at(&self, at: i64) -> Vec<BoardId> {
        let hub = &self.view.world.hub;
        let boards = self.view.world.boards_of(self.issue.key_at(at).project);
        let on = |board: BoardId| {
            let card = hub.card(board, Content::Issue(self.issue.id));
            let moves = card.map_or(&[][..], |card| card.moves.as_slice());
            moves.iter().rev().find(|(moved, ..)| *moved <= at).is_none_or(|(_, _, on)| *on)
        };
        boards.map(|board| board.id).filter(|board| on(*board)).collect()
    }

    fn labels(&mut self, event: &Event, from: &[String], to: &[String]) {
        let when = (event.at, Some(event.author));
        for label in from.iter().filter(|label| !to.contains(label)) {
            self.tell("UnlabeledEvent", when, format!("{}{label}", event.id), vec![self.label(label)]);
        }
        for label in to.iter().filter(|label| !from.contains(label)) {
            self.tell("LabeledEvent", when, format!("{}{label}", event.id), vec![self.label(label)]);
        }
    }

    fn kind(&mut self, event: &Event, from: TypeId, to: TypeId) {
        let kind = |id| Held::Json(issue_type(self.view.world, id));
        let fields = vec![("issueType", kind(to)), ("prevIssueType", kind(from))];
        self.tell("IssueTypeChangedEvent", (event.at, Some(event.author)), event.id, fields);
    }

    fn link(&mut self, event: &Event, other: IssueId, outward: bool, added: bool) {
        let (kind, field) = match (outward, added) {
            (false, true) => ("BlockedByAddedEvent", "blockingIssue"),
            (false, false) => ("BlockedByRemovedEvent", "blockingIssue"),
            (true, true) => ("BlockingAddedEvent", "blockedIssue"),
            (true, false) => ("BlockingRemovedEvent", "blockedIssue"),
        };
        self.tell(kind, (event.at, Some(event.author)), event.id, vec![(field, Held::Issue(other))]);
    }

    fn points(&mut self, event: &Event, from: Option<f32>, to: Option<f32>) {
        let text = |points: f32| Held::Json(points.to_string().into());
        let when = (event.at, Some(event.author));
        match (from, to) {
            (None, Some(to)) => {
                self.tell("IssueFieldAddedEvent", when, event.id, vec![estimate(), ("value", text(to))])
            }
            (Some(from), Some(to)) => {
                let fields = vec![estimate(), ("previousValue", text(from)), ("newValue", text(to))];
                self.tell("IssueFieldChangedEvent", when, event.id, fields);
            }
            (_, None) => self.tell("IssueFieldRemovedEvent", when, event.id, vec![estimate()]),
        }
    }

    /// Taken off boards and put back.
    fn cards(&mut self) {
        let boards: Vec<_> = self.view.world.boards.iter().map(|board| board.id).collect();
        for board in boards {
            let Some(card) = self.view.world.hub.card(board, Content::Issue(self.issue.id)) else { continue };
            for (at, by, on) in card.moves.clone() {
                let kind = if on { "AddedToProjectV2Event" } else { "RemovedFromProjectV2Event" };
                let fields = vec![("project", Held::Project(board)), manual()];
                self.tell(kind, (at, Some(by)), format!("{board}m{at}"), fields);
            }
        }
    }

    fn milestones(&mut self) {
        let hub = &self.view.world.hub;
        let mut held: Option<String> = None;
        for (at, by, to) in hub.milestoned.get(&self.issue.id).into_iter().flatten() {
            let title = |title: String| vec![("milestoneTitle", Held::Json(title.into()))];
            if let Some(old) = held.take() {
                self.tell("DemilestonedEvent", (*at, Some(*by)), at, title(old));
            }
            held = to.and_then(|to| hub.milestones.get(to.0 as usize - 1)).map(|found| found.title.clone());
            if let Some(new) = held.clone() {
                self.tell("MilestonedEvent", (*at, Some(*by)), at, title(new));
            }
        }
    }

    /// Children that came and went.
    fn children(&mut self) {
        let id = self.issue.id;
        let children: Vec<_> = self.view.world.ever_children(id).filter(|child| child.deleted.is_none()).collect();
        for child in children {
            let field = || vec![("subIssue", Held::Issue(child.id))];
            if child.initial().parent == Some(id) {
                self.tell("SubIssueAddedEvent", (child.created, Some(child.creator)), child.id, field());
            }
            for event in child.events() {
                let Change::Parent(swap) = &event.change else { continue };
                let when = (event.at, Some(event.author));
                if swap.from == Some(id) {
                    self.tell("SubIssueRemovedEvent", when, event.id, field());
                }
                if swap.to == Some(id) {
                    self.tell("SubIssueAddedEvent", when, event.id, field());
                }
            }
        }
    }

    /// Pull requests that mean to close it.
    fn pulls(&mut self) {
        let hub = &self.view.world.hub;
        for pull in hub.pulls.iter().filter(|pull| pull.closes.contains(&self.issue.id)) {
            let cross = pull.key.project != self.issue.project();
            let fields = vec![
                ("source", Held::Pull(pull.id)),
                ("target", Held::Issue(self.issue.id)),
                ("willCloseTarget", Held::Json(true.into())),
                ("isCrossRepository", Held::Json(cross.into())),
                ("referencedAt", Held::Json(time(pull.created).into())),
            ];
            self.tell("CrossReferencedEvent", (pull.created, Some(pull.author)), pull.id.0, fields);
        }
    }

    fn label(&self, name: &str) -> (&'static str, Held) {
        ("label", Held::Json(self.view.label(name)))
    }
}

fn assignee(user: UserId) -> Vec<(&'static str, Held)> {
    vec![("assignee", Held::User(user)), ("user", Held::User(user))]
}

fn manual() -> (&'static str, Held) {
    ("wasAutomated", Held::Json(false.into()))
}

fn estimate() -> (&'static str, Held) {
    ("issueField", Held::Json(estimate_field()))
}

/// The organisation's field for estimates.
pub(super) fn estimate_field() -> Json {
    json!({"__typename": "IssueFieldNumber", "id": "IFN_kwDO1", "name": "Estimate", "dataType": "NUMBER"})
}

struct EventNode<'w> {
    node: IssueNode<'w>,
    event: Happening,
}

impl Object for EventNode<'_> {
    fn type_name(&self) -> &str {
        self.event.kind
    }

    fn field(&self, name: &str, _: &Arguments<'_>) -> Answer<'_> {
        let view = self.node.view;
        Ok(match name {
            "id" => format!("EV_{}_{}", NodeId::Issue(ProjectId(0), self.node.issue.id), self.event.tag).into(),
            "createdAt" => time(self.event.at).into(),
            "actor" => self.event.by.map_or_else(|| Value::object(Person::Workflow { view }), |by| view.user(by)),
            "closable" | "assignable" | "labelable" | "subject" | "issue" => Value::object(self.node),
            "url" => view.url(self.node.issue.fields.key, "issues").into(),
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

impl Held {
    fn value<'w>(&self, view: View<'w>) -> Value<'w> {
        let world = view.world;
        match self {
            Self::Json(json) => Value::Json(json.clone()),
            Self::Issue(id) => view.issue_value(*id),
            Self::User(id) => view.user(*id),
            Self::Project(id) => Value::object(view.project(world.board(*id))),
            Self::Repository(id) => view.repository(*id).unwrap_or(Value::NULL),
            Self::Pull(id) => view.pull_value(world.hub.pull(*id)),
            Self::Closer(id) => id.map_or(Value::NULL, |id| view.pull_value(world.hub.pull(id))),
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
