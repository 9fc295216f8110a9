//! The open work as the newest snapshot shows it: by status, by epic, and by person.

use contextcore_model::semconv::{self as names};
use serde_json::json;

use crate::links;
use crate::model::{Property, Target};
use crate::panel::{
    DAYS, Draft, at_least, background, bar_gauge, coloured, decimals, gauge, hidden, nothing, of_panel, rows, spans,
    statuses, table, to, unit, value_mapping, width, wrapped,
};
use crate::portfolio::NO_EPICS;
use crate::query::{self, Selector, Series, spans_of};

const NO_SNAPSHOT: &str =
    "No snapshot of the last two hours has a matching task. Check that a sync ran: see ContextCore Health";

/// Queries about the present look this far back and take the newest snapshot.
pub(super) const LATELY: &str = "2h";

/// The panel that asks for the newest snapshot; the others of the board take its answer.
pub(super) const SNAPSHOT: u32 = 20;

/// TraceQL: holds when an attribute matches a variable, or when `All` is chosen: an attribute that is not there matches nothing,
/// but the role is always there, and only `.*` matches it.
pub(super) fn chosen(attribute: &str, variable: &str) -> String {
    format!("(span.{attribute} =~ \"${variable}\" || span.{} =~ \"${variable}\")", names::ROLE)
}

/// TraceQL: an epic that is chosen, or what is below one.
pub(super) fn of_epics() -> String {
    let parts =
        [names::TASK_EPIC, names::TASK_ID, names::ROLE].map(|attribute| format!("span.{attribute} =~ \"$epic\""));
    format!("({})", parts.join(" || "))
}

/// What a card on the board, and a row of the breakdown, shows.
const CARD: [&str; 18] = [
    names::TASK_ID,
    names::TASK_TITLE,
    names::TASK_TYPE,
    names::TASK_STATUS,
    names::TASK_ASSIGNEE,
    names::TASK_STORY_POINTS,
    names::TASK_STATUS_AGE,
    names::TASK_PARENT_ID,
    names::TASK_EPIC,
    names::TASK_PERCENT_COMPLETE,
    names::TASK_BLOCKED_REASON,
    names::TASK_WAITS_FOR,
    names::TASK_HOLDS_UP,
    names::TASK_SUBTASK_COUNT,
    names::TASK_SUBTASK_COMPLETED,
    names::TASK_STALE,
    names::SPRINT_NAME,
    names::TASK_URL,
];

/// The column for a task's age on the board: in days, which Tempo does not provide.
pub(super) const AGE: &str = "age_d";

/// The newest snapshot: every open task that type, assignee and epic let through.
fn snapshot() -> String {
    let conditions = [chosen(names::TASK_TYPE, "type"), chosen(names::TASK_ASSIGNEE, "assignee"), of_epics()];
    format!("{}{} with (most_recent=true)", spans_of("snapshot", &conditions), query::select(&CARD))
}

const BOARD_RULE: &str = "Open tasks of the newest snapshot in Tempo, filtered by type, assignee and epic. A snapshot is sent after \
every change and at least hourly. Epics are not shown. Age: days in this status. The key links to the ticket, the title to its spans. If no \
task of the newest snapshot matches the filters, the panel shows the newest snapshot of the last two hours that has a match.";

pub(super) fn board() -> Vec<Draft> {
    let first = column(SNAPSHOT, "To do", &["backlog", "todo"], spans("A", snapshot(), 1));
    let others = [(21, "In progress", "in_progress"), (22, "In review", "in_review"), (23, "Blocked", "blocked")];
    let others = others.map(|(id, title, status)| column(id, title, &[status], of_panel("A", SNAPSHOT)));
    std::iter::once(first).chain(others).collect()
}

/// A column of the board.
fn column(id: u32, title: &str, statuses: &[&str], target: Target) -> Draft {
    // Only started work is coloured by age; work that is not started may wait.
    let begun = !statuses.contains(&"todo");
    let columns = [
        (names::TASK_ID, "Task"),
        (names::TASK_TITLE, "Title"),
        (names::TASK_ASSIGNEE, "Assignee"),
        (names::TASK_STORY_POINTS, "Points"),
        (AGE, "Age"),
        (names::TASK_URL, "Ticket"),
    ];
    table(id, title, (12, 8))
        .rule(BOARD_RULE)
        .empty(NO_SNAPSHOT)
        .lately(LATELY)
        .ask(target)
        .only(names::TASK_STATUS, statuses)
        .without(names::TASK_TYPE, &[NO_EPICS])
        .numbers(&[names::TASK_STORY_POINTS, names::TASK_STATUS_AGE])
        .days(names::TASK_STATUS_AGE, AGE)
        .columns(&columns)
        .sorted("Age", true)
        .field("Task", vec![to("Ticket", links::ticket("Ticket")), width(125), wrapped()])
        .field("Title", vec![to("Spans", links::task("Task")), at_least(100), wrapped()])
        .field("Assignee", vec![width(102)])
        .field("Points", vec![width(60), decimals(0)])
        .field("Age", aged(begun))
        .field("Ticket", hidden())
}

/// How the age in a status looks.
fn aged(begun: bool) -> Vec<Property> {
    let old = background(&[("transparent", None), ("yellow", Some(3.0)), ("red", Some(7.0))]);
    let mut age = if begun { old } else { Vec::new() };
    age.extend([unit(DAYS), decimals(0), width(70)]);
    age
}

pub(super) fn breakdown() -> Draft {
    let columns = [
        (names::TASK_EPIC, "Epic"),
        (names::TASK_PARENT_ID, "Parent"),
        (names::TASK_ID, "Task"),
        (names::TASK_TYPE, "Type"),
        (names::TASK_TITLE, "Title"),
        (names::TASK_STATUS, "Status"),
        (names::TASK_PERCENT_COMPLETE, "Done"),
        (names::TASK_STORY_POINTS, "Points"),
        (names::TASK_ASSIGNEE, "Assignee"),
        (names::TASK_URL, "Ticket"),
    ];
    let mut done = gauge(100.0);
    done.extend([unit("percent"), decimals(0), width(110)]);
    table(40, "Open work: epic, story, task, sub-task", (24, 12))
        .rule("Open tasks of the newest snapshot, sorted by epic, parent and key, so that children follow their parents. Done: \
completed share of the work below it. Click the funnel of a column to filter.")
        .empty(NO_SNAPSHOT)
        .lately(LATELY)
        .ask(of_panel("A", SNAPSHOT))
        .numbers(&[names::TASK_STORY_POINTS, names::TASK_PERCENT_COMPLETE])
        .then("sortBy", json!({"fields": {}, "sort": [{"field": names::TASK_ID, "desc": false}]}))
        .then("sortBy", json!({"fields": {}, "sort": [{"field": names::TASK_PARENT_ID, "desc": false}]}))
        .then("sortBy", json!({"fields": {}, "sort": [{"field": names::TASK_EPIC, "desc": false}]}))
        .columns(&columns)
        .field("Epic", vec![width(125), wrapped()])
        .field("Parent", vec![width(125), wrapped()])
        .field("Task", vec![to("Ticket", links::ticket("Ticket")), width(125), wrapped()])
        .field("Type", vec![width(85)])
        .field("Assignee", vec![width(102)])
        .field("Title", vec![to("Spans", links::task("Task")), at_least(100), wrapped()])
        .field("Status", status_cells())
        .field("Done", done)
        .field("Points", vec![width(60), decimals(0)])
        .field("Ticket", hidden())
}

/// How a status looks in a table.
pub(super) fn status_cells() -> Vec<Property> {
    let mut cells = coloured(&[("text", None)]);
    cells.extend([value_mapping(&statuses()), width(105)]);
    cells
}

pub(super) fn epics() -> Draft {
    let done = Series::new(names::M_EPIC_PERCENT, Selector::project().like(names::EPIC_ID, "$epic"));
    bar_gauge(41, "Open epics", (24, 7), true)
        .rule("Completed share of the work below each open epic: by points where everything is estimated, otherwise by number of tasks.")
        .empty("No open epic matches the filter")
        .option("namePlacement", json!("top"))
        .unit("percent")
        .decimals(0)
        .zero_based()
        .up_to(100.0)
        .ask(rows("A", format!("sort_desc({})", done.newest(&[names::EPIC_ID, names::EPIC_TITLE]))))
        .columns(&[("epic_title", "Epic"), ("Value", "Value")])
        .named_by_column("Epic")
}

pub(super) fn team() -> Draft {
    let calculations = json!({
        names::TASK_ASSIGNEE: {"operation": "groupby", "aggregations": []},
        names::TASK_STORY_POINTS: {"operation": "aggregate", "aggregations": ["sum"]},
        names::TASK_ID: {"operation": "aggregate", "aggregations": ["count"]},
    });
    let points = format!("{} (sum)", names::TASK_STORY_POINTS);
    let tasks = format!("{} (count)", names::TASK_ID);
    table(60, "Open work by assignee", (24, 8))
        .rule("Points and number of open tasks of each assignee, from the newest snapshot. Tasks without an estimate have no points. \
Tasks without an assignee are listed as nobody. Epics are not counted.")
        .empty(NO_SNAPSHOT)
        .lately(LATELY)
        .ask(of_panel("A", SNAPSHOT))
        .without(names::TASK_TYPE, &[NO_EPICS])
        .numbers(&[names::TASK_STORY_POINTS])
        .then("groupBy", json!({"fields": calculations}))
        .columns(&[(names::TASK_ASSIGNEE, "Assignee"), (points.as_str(), "Open points"), (tasks.as_str(), "Open tasks")])
        .sorted("Open points", true)
        .field("Assignee", vec![nothing("nobody"), width(160)])
        .field("Open points", gauge_up())
        .field("Open tasks", vec![width(110)])
}

/// A bar as long as the value is large among the others.
fn gauge_up() -> Vec<Property> {
    gauge(100.0).into_iter().filter(|property| property.id != "max").collect()
}
