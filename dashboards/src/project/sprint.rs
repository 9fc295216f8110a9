//! One sprint over its days, and all sprints of the time range side by side.

use contextcore_model::semconv::{self as names, Metric};
use serde_json::json;

use super::project;
use crate::links;
use crate::panel::{
    self, Draft, NEUTRAL, bar_chart, colour, course, dashed, hidden, lines, rows, table, to, unit, width, wrapped,
};
use crate::query::{self, SPRINT, SPRINT_NAMED, Selector, Series, label};

pub(super) const NO_SPRINT: &str = "No sprint chosen, or it has no estimates";

/// The panels that have marks where scope changed.
pub(super) const BURNDOWN: u32 = 10;

pub(super) const BURNUP: u32 = 11;

pub(super) fn sprint(metric: Metric) -> Series {
    Series::new(metric, Selector::project().equal(names::SPRINT_ID, "$sprint"))
}

/// One number of the sprint.
fn of_sprint(metric: Metric) -> String {
    sprint(metric).sum(&[names::SPRINT_ID])
}

/// One number of the sprint, and its last one within the range when it was closed before the end of the range.
pub(super) fn of_sprint_ever(metric: Metric) -> String {
    let ever = sprint(metric).within("$__range").sum(&[names::SPRINT_ID]);
    format!("{} or {ever}", of_sprint(metric))
}

pub(super) fn burndown() -> Draft {
    lines(BURNDOWN, "Burndown", (12, 9))
        .rule("Remaining: points in the sprint that are not finished. Ideal: a straight line from the points committed at the start to \
zero at the end. Scope: all points in the sprint. Marks: work added or removed; hover a mark to see which.")
        .empty(NO_SPRINT)
        .zero_based()
        .step("1h")
        .field("remaining", vec![colour("blue")])
        .field("ideal", vec![colour("text"), dashed(), panel::straight()])
        .field("scope", vec![colour("orange")])
        .ask(course("A", of_sprint(names::M_SPRINT_REMAINING), "remaining"))
        .ask(course("B", of_sprint(names::M_SPRINT_IDEAL), "ideal"))
        .ask(course("C", of_sprint(names::M_SPRINT_SCOPE), "scope"))
        .until_now()
}

pub(super) fn burnup() -> Draft {
    lines(BURNUP, "Burn-up", (12, 9))
        .rule("Points done in the sprint, all points in it (scope) and the points committed at its start. The sprint is finished when \
done meets scope. Scope rises when work is added.")
        .empty(NO_SPRINT)
        .zero_based()
        .step("1h")
        .field("done", vec![colour("green")])
        .field("scope", vec![colour("orange")])
        .field("committed", vec![colour("text"), dashed()])
        .ask(course("A", of_sprint(names::M_SPRINT_COMPLETED), "done"))
        .ask(course("B", of_sprint(names::M_SPRINT_SCOPE), "scope"))
        .ask(course("C", of_sprint(names::M_SPRINT_PLANNED), "committed"))
        .until_now()
}

/// A metric of the sprints in this time range, with their names.
fn sprints_named(metric: Metric) -> String {
    project(metric).within("$__range").by(&SPRINT_NAMED)
}

/// The same by id alone, for joins: sprints of two boards may have the same name.
fn sprints(metric: Metric) -> String {
    project(metric).within("$__range").by(&SPRINT)
}

/// The first or last time at which sprints of this time range were exported, in milliseconds.
fn export_time(function: &str, pick: &str) -> String {
    let scope = format!("{}{}", query::prometheus_name(names::M_SPRINT_SCOPE), Selector::project().text());
    let by = SPRINT.map(label).join(", ");
    let moments = format!("1000 * {pick} by ({by}) ({function}(timestamp({scope})[60d:6h]))");
    format!("{moments} and on ({by}) {}", sprints(names::M_SPRINT_SCOPE))
}

fn began() -> String {
    export_time("min_over_time", "min")
}

/// One day later, so that the last day of the burndown is visible.
fn ended() -> String {
    format!("({}) + 86400000", export_time("max_over_time", "max"))
}

pub(super) fn sprint_table() -> Draft {
    table(12, "Sprints in this time range", (14, 8))
        .rule("Points committed at the start, added and removed later, done, and (for closed sprints) carried over. Say / do: points done as \
a share of points committed. A new estimate changes scope but counts neither as added nor as removed. Click a sprint to show it above, \
over its own days. The sprint chosen above may be outside this time range.")
        .empty("No sprint ran in this time range")
        .decimals(0)
        .ask(rows("A", sprints_named(names::M_SPRINT_PLANNED)))
        .ask(rows("B", sprints(names::M_SPRINT_ADDED)))
        .ask(rows("C", sprints(names::M_SPRINT_REMOVED)))
        .ask(rows("D", sprints(names::M_SPRINT_COMPLETED)))
        .ask(rows("E", sprints(names::M_SPRINT_CARRIED)))
        .ask(rows("F", sprints(names::M_SPRINT_PREDICTABILITY)))
        .ask(rows("G", began()))
        .ask(rows("H", ended()))
        .joined(&label(names::SPRINT_ID))
        .then("sortBy", json!({"fields": {}, "sort": [{"field": "Value #G", "desc": true}]}))
        .columns(&[
            ("sprint_name", "Sprint"),
            ("Value #A", "Committed"),
            ("Value #B", "Added"),
            ("Value #C", "Removed"),
            ("Value #D", "Done"),
            ("Value #E", "Carried"),
            ("Value #F", "Say / do"),
            ("sprint_id", "Id"),
            ("Value #G", "From"),
            ("Value #H", "To"),
        ])
        .field("Sprint", vec![to("This sprint, over its own days", links::sprint("Id", "From", "To")), width(120), wrapped()])
        .field("Committed", vec![width(94)])
        .field("Removed", vec![width(84)])
        .field("Say / do", vec![unit("percent")])
        .fields("^(Id|From|To)$", hidden())
}

pub(super) fn velocity() -> Draft {
    let closed = sprints(names::M_SPRINT_VELOCITY);
    let planned = format!("{} and on ({}) {closed}", sprints_named(names::M_SPRINT_PLANNED), label(names::SPRINT_ID));
    bar_chart(13, "Velocity", (10, 8), "Sprint")
        .rule("Points committed and points done of each sprint closed in this time range, oldest first.")
        .empty("No sprint was closed in this time range, or none has estimates")
        .zero_based()
        .decimals(0)
        // Straight names of sprints are cut at the edge.
        .option("xTickLabelRotation", json!(-20))
        .field("planned", vec![colour(NEUTRAL)])
        .field("completed", vec![colour("green")])
        .ask(rows("A", planned))
        .ask(rows("B", closed.clone()))
        .ask(rows("C", format!("{} and on ({}) {closed}", began(), label(names::SPRINT_ID))))
        .joined(&label(names::SPRINT_ID))
        .then("sortBy", json!({"fields": {}, "sort": [{"field": "Value #C", "desc": false}]}))
        .columns(&[("sprint_name", "Sprint"), ("Value #A", "planned"), ("Value #B", "completed")])
}
