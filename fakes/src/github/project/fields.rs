//! The fields of a project: their options, and the iterations.

use serde_json::{Value as Json, json};

use super::super::ids::NodeId;
use super::super::view::{View, date, time};
use super::ProjectNode;
use crate::graphql::{Plain, Value};
use crate::world::{Board, Change, DAY, PriorityId, Sprint, SprintId, StatusId, World};

/// A field of a project, as its number: their order is the one of [`FIELDS`].
pub(super) type FieldNumber = u32;

pub(super) const STATUS: FieldNumber = 3;

pub(super) const PRIORITY: FieldNumber = 11;

pub(super) const ESTIMATE: FieldNumber = 12;

pub(super) const ITERATION: FieldNumber = 13;

pub(super) const DUE: FieldNumber = 14;

/// Name and kind of every field, from number 1.
pub(super) const FIELDS: [(&str, &str); 14] = [
    ("Title", "TITLE"),
    ("Assignees", "ASSIGNEES"),
    ("Status", "SINGLE_SELECT"),
    ("Labels", "LABELS"),
    ("Linked pull requests", "LINKED_PULL_REQUESTS"),
    ("Milestone", "MILESTONE"),
    ("Repository", "REPOSITORY"),
    ("Reviewers", "REVIEWERS"),
    ("Parent issue", "PARENT_ISSUE"),
    ("Sub-issues progress", "SUB_ISSUES_PROGRESS"),
    ("Priority", "SINGLE_SELECT"),
    ("Estimate", "NUMBER"),
    ("Sprint", "ITERATION"),
    ("Due", "DATE"),
];

const COLORS: [&str; 6] = ["GRAY", "BLUE", "PURPLE", "YELLOW", "ORANGE", "GREEN"];

/// A field's configuration; none when the project has no such field.
pub(in super::super) fn field<'w>(project: ProjectNode<'w>, number: FieldNumber) -> Option<Value<'w>> {
    let view = project.view;
    let (name, kind) = FIELDS[project.fields().into_iter().find(|known| *known == number)? as usize - 1];
    let mut fields = json!({
        "id": field_id(project.board, number), "name": name, "dataType": kind, "databaseId": number,
        "createdAt": time(project.created()), "updatedAt": time(project.created()),
    });
    let type_name = match kind {
        "SINGLE_SELECT" => {
            fields["options"] =
                if number == STATUS { status_options(view.world) } else { priority_options(view.world) };
            "ProjectV2SingleSelectField"
        }
        "ITERATION" => {
            fields["configuration"] = configuration(view, project.board);
            "ProjectV2IterationField"
        }
        _ => "ProjectV2Field",
    };
    Some(Value::object(Plain::new(type_name, fields)))
}

fn field_id(board: &Board, number: FieldNumber) -> String {
    NodeId::Field(board.id, number).to_string()
}

fn status_options(world: &World) -> Json {
    let options = world.statuses.iter().enumerate();
    options.map(|(at, status)| option(&status_option(StatusId(at as u8)), &status.name, at)).collect()
}

fn priority_options(world: &World) -> Json {
    let options = world.priorities.iter().enumerate();
    options.map(|(at, step)| option(&priority_option(PriorityId(at as u8)), &step.name, at)).collect()
}

fn option(id: &str, name: &str, at: usize) -> Json {
    let color = COLORS[at % COLORS.len()];
    json!({"id": id, "name": name, "nameHTML": name, "color": color, "description": "", "descriptionHTML": ""})
}

/// Eight hexadecimal digits, as GitHub's options have.
pub(super) fn status_option(id: StatusId) -> String {
    format!("f75ad8{:02x}", id.0)
}

pub(super) fn priority_option(id: PriorityId) -> String {
    format!("79628d{:02x}", id.0)
}

/// The iterations of a board: those whose end has passed are completed, whatever people did.
fn configuration(view: View<'_>, board: &Board) -> Json {
    let (completed, coming): (Vec<_>, Vec<_>) =
        iterations(view.world, board).into_iter().partition(|span| span.end() * DAY <= view.now);
    let list = |spans: Vec<Span<'_>>| spans.iter().map(|span| span.json(view.iterations)).collect::<Json>();
    // The newest come first among the completed, as GitHub lists them.
    json!({
        "duration": 14, "startDay": 1, "iterations": list(coming),
        "completedIterations": list(completed.into_iter().rev().collect()),
    })
}

/// An iteration in whole days, as a day number and a length.
pub(super) struct Span<'w> {
    pub(super) sprint: &'w Sprint,
    pub(super) first: i64,
    pub(super) days: i64,
}

impl Span<'_> {
    /// The day after the last.
    pub(super) fn end(&self) -> i64 {
        self.first + self.days
    }

    /// `made` is how often the iterations were made anew.
    pub(super) fn json(&self, made: usize) -> Json {
        let title = &self.sprint.name;
        json!({
            "id": iteration_id(self.sprint.id, made), "title": title, "titleHTML": title, "startDate": date(self.first * DAY),
            "duration": self.days,
        })
    }
}

fn iteration_id(id: SprintId, made: usize) -> String {
    format!("cfc1{:02x}{:02x}", 0x6e + made, id.0)
}

/// A board's sprints as iterations. One without dates follows the one before it, for two weeks.
pub(super) fn iterations<'w>(world: &'w World, board: &Board) -> Vec<Span<'w>> {
    let mut spans: Vec<Span<'w>> = vec![];
    for sprint in world.sprints.iter().filter(|sprint| sprint.board == board.id) {
        let next = spans.last().map_or(sprint.created.div_euclid(DAY), Span::end);
        let first = sprint.start.map_or(next, |start| start.div_euclid(DAY));
        let days = sprint.start.zip(sprint.end).map_or(14, |(start, end)| (end - start + DAY / 2) / DAY);
        spans.push(Span { sprint, first, days: days.max(1) });
    }
    spans
}

/// The project field that a change of an issue changes.
pub(super) fn field_of(change: &Change) -> Option<FieldNumber> {
    Some(match change {
        Change::Status(_) => STATUS,
        Change::Priority(_) => PRIORITY,
        Change::Points(_) => ESTIMATE,
        Change::Sprints(_) => ITERATION,
        Change::Due(_) => DUE,
        _ => return None,
    })
}
