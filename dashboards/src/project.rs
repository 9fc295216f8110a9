//! Project Details: will this sprint and this project make it, what is stuck, and where did the time go?

use contextcore_model::semconv::{self as names, Metric};

use crate::assisted;
use crate::context;
use crate::links;
use crate::model::{Annotation, AnnotationFilter, Annotations, Dashboard, LOKI, SCHEMA_VERSION, Templating, TimeRange};
use crate::panel::{
    self, DAYS, Draft, Section, decimals, events, events_table, folded, rows, section, spans, table, text, to, unit,
    width, wrapped,
};
use crate::query::{self, Selector, Series, label, spans_matching, spans_of};
use crate::variable;
use blockers::{blockers, pareto, waiting};
use board::{AGE, LATELY, board, breakdown, epics, team};
use flow::{cumulative_flow, cycle_scatter, flow_efficiency, status_time, weekly, wip_age};
use forecast::forecast_table;
use header::header;
use sprint::{BURNDOWN, BURNUP, burndown, burnup, sprint_table, velocity};
use timeline::{epic_traces, open_epics, timeline};

mod blockers;
mod board;
mod flow;
mod forecast;
mod header;
mod sprint;
mod timeline;

const NOTHING: &str = "No data within the look back: see ContextCore Health";
/// What Grafana calls the start of a span in a table.
const SPAN_START: &str = "Start time";
/// What Grafana calls the trace of a span in a table.
const TRACE: &str = "traceIdHidden";

/// The dashboard.
pub(crate) fn dashboard() -> Dashboard {
    Dashboard {
        uid: links::PROJECT.to_owned(),
        title: "Project Details".to_owned(),
        description: "Will this sprint and this project make it, what is stuck, and where did the time go?".to_owned(),
        tags: vec!["contextcore".to_owned()],
        timezone: "browser",
        editable: true,
        graph_tooltip: 1,
        refresh: "5m",
        schema_version: SCHEMA_VERSION,
        time: TimeRange { from: "now-30d", to: "now" },
        links: vec![
            links::top("Project Portfolio Overview", links::PORTFOLIO),
            links::top("ContextCore Health", links::HEALTH),
        ],
        annotations: Annotations { list: vec![scope_changes()] },
        templating: Templating { list: variables() },
        panels: panel::page(sections()),
    }
}

fn variables() -> Vec<crate::model::Variable> {
    let mut all = variable::data_sources();
    all.extend([
        variable::lookback(),
        variable::project(),
        variable::sprint(),
        variable::task_type(),
        variable::assignee(),
        variable::epic(),
    ]);
    all
}

/// Marks where scope was added or removed.
fn scope_changes() -> Annotation {
    let stream = query::events(&happened_here(), &[names::SPRINT_SCOPE_CHANGED]);
    let expr = format!("{stream} | {}=\"$sprint\"", label(names::SPRINT_ID));
    Annotation {
        name: "Scope changes",
        datasource: LOKI,
        enable: true,
        hide: false,
        icon_color: "orange",
        expr,
        filter: AnnotationFilter { exclude: false, ids: vec![BURNDOWN, BURNUP] },
        title_format: "Scope changed",
        text_format: "",
    }
}

fn happened_here() -> Selector {
    Selector::all().equal(names::SERVICE_NAME, "contextcore").equal(names::PROJECT_ID, "$project")
}

fn sections() -> Vec<Section> {
    vec![
        section(0, "", header()),
        section(100, "Sprint ${sprint:text}", vec![burndown(), burnup(), sprint_table(), velocity()]),
        section(101, "Board", board()),
        section(102, "Blockers", vec![blockers(), waiting(), pareto()]),
        section(103, "Work breakdown", vec![epics(), breakdown()]),
        section(
            104,
            "Flow",
            vec![
                cumulative_flow(),
                cycle_scatter(),
                status_time(),
                wip_age(),
                weekly(),
                forecast_table(),
                flow_efficiency(),
            ],
        ),
        section(
            109,
            "Agent-assisted work",
            vec![assisted::coverage(58, 24, &Selector::project()).size(24, 4), assisted::of_project(59, (24, 8))],
        ),
        section(105, "Team", vec![team()]),
        section(106, "Timeline", vec![timeline(), open_epics(), epic_traces()]),
        section(107, "Activity", vec![activity()]),
        folded(108, "Agents and context", agents_and_context()),
    ]
}

fn agents_and_context() -> Vec<Draft> {
    let mut all = vec![waiting_insights(), agents(), insight_counts()];
    all.extend(context::panels());
    all.push(about());
    all
}

fn project(metric: Metric) -> Series {
    Series::new(metric, Selector::project())
}

fn counted(chosen: Selector) -> String {
    Series::new(names::M_TASK_COUNT, chosen).sum(&[names::TASK_STATUS, names::TASK_TYPE])
}

fn activity() -> Draft {
    let stream = format!("{} | {}=~\"($type)?\"", happened_here().text(), label(names::TASK_TYPE));
    let columns = [("task_id", "Task"), ("task_title", "Title"), ("actor", "By")];
    events_table(80, "Events", (24, 10), &columns)
        .rule("Events of the project in this time range, newest first, filtered by type. The key links to the task's spans, the trace to \
the history it is part of.")
        .empty("No event in this time range. Check that Loki has the history: see ContextCore Health")
        .ask(events("A", query::with_line(&stream), 500))
        .field("Task", vec![to("Spans", links::task("Task")), width(130), wrapped()])
        .field("Title", vec![width(180), wrapped()])
        .field("By", vec![width(110)])
}

/// What the newest snapshot has, so that what was answered since is gone. Snapshots of tasks are asked for too: one that has no
/// insight must be found before an older one that has.
fn waiting_insights() -> Draft {
    let shown = [
        names::INSIGHT_TYPE,
        names::INSIGHT_STATUS,
        names::INSIGHT_BLOCKING,
        names::INSIGHT_TO,
        names::TASK_ID,
        names::AGENT_ID,
        names::INSIGHT_AGE,
        names::INSIGHT_ID,
    ];
    let newest = spans_matching("snapshot|insight_snapshot", &[]);
    table(98, "Agents: open questions, blockers, risks and handoffs", (24, 6))
        .rule("Insights that wait for somebody in the newest snapshot in Tempo: questions without an answer of a person, blockers, risks, \
handoffs that were offered or accepted. Answer with `contextcore answer ID TEXT`. A snapshot is sent after every change and at least hourly; a \
project without open tasks has none once nothing waits, and its last one is shown for up to two hours.")
        .empty("Nothing waits for somebody, or there is no snapshot within two hours: see ContextCore Health")
        .ask(spans("A", format!("{newest}{} with (most_recent=true)", query::select(&shown)), 1))
        .lately(LATELY)
        .having(names::INSIGHT_STATUS)
        .numbers(&[names::INSIGHT_AGE])
        .days(names::INSIGHT_AGE, AGE)
        .columns(&[
            (names::INSIGHT_TYPE, "Type"),
            ("Name", "Insight"),
            (names::INSIGHT_STATUS, "State"),
            (names::INSIGHT_BLOCKING, "Task waits"),
            (names::INSIGHT_TO, "For"),
            (names::TASK_ID, "Task"),
            (names::AGENT_ID, "Agent"),
            (AGE, "Age"),
            (names::INSIGHT_ID, "ID"),
        ])
        .sorted("Age", true)
        .field("Type", vec![width(160)])
        .field("Age", vec![unit(DAYS), decimals(1), width(90)])
        .field("Task", vec![to("Spans", links::task("Task")), width(130), wrapped()])
}

fn agents() -> Draft {
    let insights = spans_of("insight", &[]);
    table(90, "Agents: decisions, lessons and what else was reported", (24, 6))
        .rule("Insights that were reported in this time range, as final spans of role `insight`: also those that were answered, settled or \
retracted since. What became of one is in the log records `insight.updated`, and `contextcore insight query` finds them all.")
        .empty("No insight about this project was reported in this time range")
        .ask(spans("A", insights, 200))
        .columns(&[("Start time", "Time"), ("Name", "Insight"), (TRACE, "Trace")])
        .field("Time", vec![width(174)])
        .field("Trace", panel::trace_cells())
}

fn insight_counts() -> Draft {
    let by = [names::INSIGHT_TYPE, names::INSIGHT_STATUS];
    table(97, "Agents: insights by type and state", (24, 6))
        .rule("How many insights about this project are kept, by type and state, as `insight.count` says. Open questions, blockers and \
offered handoffs wait for somebody: `contextcore questions` and `contextcore handoffs` list them.")
        .empty("No insight about this project is kept within the look back")
        .ask(rows("A", project(names::M_INSIGHT_COUNT).sum(&by)))
        .columns(&[("agent_insight_type", "Type"), ("agent_insight_status", "State"), ("Value", "Insights")])
        .sorted("Type", false)
}

fn about() -> Draft {
    text(
        92,
        "About this dashboard",
        (24, 4),
        "The description of every panel explains how its numbers are computed. The board and the breakdown come from the newest \
snapshot in Tempo, values over time from Prometheus, and events from Loki. *Agents* is empty until an insight about this project is reported.",
    )
}
