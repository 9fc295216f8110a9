//! The history of epics and stories.

use contextcore_model::semconv::{self as names};
use serde_json::{Value, json};

use super::board::{AGE, LATELY, of_epics, status_cells};
use super::{SPAN_START, TRACE};
use crate::links;
use crate::panel::{
    self, DAYS, Draft, at_least, decimals, hidden, of_panel, spans, states, statuses, table, to, unit, width, wrapped,
};
use crate::query::{self, quoted, span, spans_matching, spans_of, spans_of_any};

/// What it calls the length of a span, in nanoseconds.
const SPAN_LENGTH: &str = "Duration";

/// The panel that asks for the open epics and stories; the timeline takes its answer.
const OPEN_EPICS: u32 = 72;

/// TraceQL: epics and stories that the variable lets through.
fn large() -> [String; 2] {
    [span(names::TASK_TYPE, "=~", &quoted("epic|story")), of_epics()]
}

/// TraceQL: how epics and stories came along. One query, because without streaming Grafana asks Tempo for the first of a panel alone.
/// All completions, not only those of this time: what was done before must not seem to be in review for ever.
fn went() -> String {
    let of = |role: &str| span(names::ROLE, "=", &quoted(role));
    let given_up = [of("task"), span(names::TASK_STATUS, "=", &quoted("cancelled")), span(names::TASK_CYCLE, "=", "1")];
    let roles = [of("phase"), of("completion"), format!("({})", given_up.join(" && "))];
    let select = query::select(&[names::TASK_ID, names::TASK_STATUS, names::TASK_CYCLE]);
    format!("{} | by(span:id){select}", spans_of_any(&roles, &large()))
}

/// A column out of two others.
fn computed(alias: &str, left: &str, operator: &str, right: &str) -> Value {
    let binary = json!({"left": left, "operator": operator, "right": right});
    json!({"mode": "binary", "alias": alias, "binary": binary, "replaceFields": false})
}

pub(super) fn timeline() -> Draft {
    let merged = states(70, "Epics and stories", (24, 14))
        .rule("Status history of each epic and story, from its phase and completion spans in Tempo. The present status and its start \
come from the newest snapshot. Open and recently changed work is first. Filtered by epic.")
        .empty("No epic or story changed its status in this time range, or Tempo does not serve it yet (up to 10 minutes after a sync)")
        .value_mapping(statuses())
        .named_by_label(names::TASK_ID)
        .ask(spans("A", went(), 3_000))
        .ask(of_panel("B", OPEN_EPICS))
        .then("merge", json!({}))
        .then(
            "filterFieldsByName",
            json!({"include": {"names": [
                SPAN_START, SPAN_LENGTH, names::TASK_ID, names::TASK_STATUS, names::TASK_STATUS_AGE, names::TASK_CYCLE,
            ]}}),
        )
        .then("sortBy", json!({"fields": {}, "sort": [{"field": SPAN_START, "desc": true}]}));
    since(merged).then(
        "partitionByValues",
        json!({"fields": [names::TASK_ID], "keepFields": false, "naming": {"asLabels": true}}),
    )
}

/// Since when each span says that its task is in its status. A snapshot says for how long it has been so, and what was given up is so
/// from the end of its span on (only that has both a length and a cycle, which is 1); a phase and a completion begin when they begin.
fn since(draft: Draft) -> Draft {
    const AGE_MS: &str = "age_ms";
    const BEGAN: &str = "began";
    const LIVED: &str = "lived";
    const LIVED_MS: &str = "lived_ms";
    const SINCE: &str = "since";
    let time = json!({"conversions": [{"targetField": SINCE, "destinationType": "time"}], "fields": {}});
    draft
        // Grafana reads the length of a span that has none as not a number, which would spread; read again, it is nothing.
        .numbers(&[names::TASK_STATUS_AGE, names::TASK_CYCLE, SPAN_LENGTH])
        .then("calculateField", computed(AGE_MS, names::TASK_STATUS_AGE, "*", "1000"))
        .then("calculateField", computed(LIVED, SPAN_LENGTH, "*", names::TASK_CYCLE))
        .then("calculateField", computed(LIVED_MS, LIVED, "/", "1000000"))
        .then("calculateField", computed(BEGAN, SPAN_START, "-", AGE_MS))
        .then("calculateField", computed(SINCE, BEGAN, "+", LIVED_MS))
        .then("convertFieldType", time)
        .then("filterFieldsByName", json!({"include": {"names": [SINCE, names::TASK_ID, names::TASK_STATUS]}}))
}

/// The open epics and stories, whatever type and assignee are chosen for the board.
pub(super) fn open_epics() -> Draft {
    let shown = [names::TASK_ID, names::TASK_TITLE, names::TASK_STATUS, names::TASK_STATUS_AGE, names::TASK_ASSIGNEE];
    let select = query::select(&[&shown[..], &[names::TASK_URL]].concat());
    let now = format!("{}{select} with (most_recent=true)", spans_of("snapshot", &large()));
    table(OPEN_EPICS, "Open epics and stories", (24, 7))
        .rule("Epics and stories of the newest snapshot in Tempo that are open, longest in their status first. Age: days in this status. \
Filtered by epic.")
        .empty("No epic or story is open, or there is no snapshot within two hours: see ContextCore Health")
        .lately(LATELY)
        .ask(spans("A", now, 1))
        .numbers(&[names::TASK_STATUS_AGE])
        .days(names::TASK_STATUS_AGE, AGE)
        .columns(&[
            (names::TASK_ID, "Task"),
            (names::TASK_TITLE, "Title"),
            (names::TASK_STATUS, "Status"),
            (AGE, "Age"),
            (names::TASK_ASSIGNEE, "Assignee"),
            (names::TASK_URL, "Ticket"),
        ])
        .sorted("Age", true)
        .field("Task", vec![to("Ticket", links::ticket("Ticket")), width(125), wrapped()])
        .field("Title", vec![to("Spans", links::task("Task")), at_least(100), wrapped()])
        .field("Status", status_cells())
        .field("Age", vec![unit(DAYS), decimals(0), width(75)])
        .field("Assignee", vec![width(140)])
        .field("Ticket", hidden())
}

pub(super) fn epic_traces() -> Draft {
    // An anchor has the type a task was created with; a phase, the one it had then.
    let epics = [span(names::TASK_TYPE, "=", &quoted("epic"))];
    let query = spans_matching("anchor|phase", &epics);
    let query = format!("{query} | by(span:id){}", query::select(&[names::TASK_ID, names::TASK_TITLE]));
    let trace = format!("{TRACE} (last)");
    table(71, "Traces of epics", (24, 6))
        .rule("The history of each epic that changed in this time range is one trace: all work below it, at the times it happened. Click \
a trace to open it.")
        .empty("No epic changed in this time range, or Tempo does not serve it yet (up to 10 minutes after a sync)")
        .ask(spans("A", query, 500))
        .then(
            "groupBy",
            json!({"fields": {
                names::TASK_ID: {"operation": "groupby", "aggregations": []},
                names::TASK_TITLE: {"operation": "aggregate", "aggregations": ["last"]},
                TRACE: {"operation": "aggregate", "aggregations": ["last"]},
            }}),
        )
        .columns(&[
            (names::TASK_ID, "Epic"),
            ("task.title (last)", "Title"),
            (trace.as_str(), "Trace"),
        ])
        .field("Epic", vec![width(130), wrapped()])
        .field("Trace", panel::trace_cells())
}
