//! How work flows: through statuses, in which time, and how much of it a week.

use contextcore_model::semconv::{self as names, Metric};
use serde_json::json;

use super::board::chosen;
use super::{NOTHING, SPAN_START, project};
use crate::panel::{
    self, DAYS, Draft, NEUTRAL, TODO, areas, bar_gauge, colour, course, dashed, in_days, lines, rows, spans, statuses,
    value_mapping, weeks,
};
use crate::portfolio::NO_EPICS;
use crate::query::{self, Selector, Series, quantile, span, spans_of};

/// Numbers of tasks of the chosen types, without epics.
fn of_types(metric: Metric) -> Series {
    let chosen = Selector::project().like(names::TASK_TYPE, "$type").except(names::TASK_TYPE, NO_EPICS);
    Series::new(metric, chosen)
}

pub(super) fn cumulative_flow() -> Draft {
    let counts = |status: &str| {
        let chosen = Selector::project().like(names::TASK_TYPE, "$type").except(names::TASK_TYPE, NO_EPICS);
        Series::new(names::M_TASK_COUNT, chosen.equal(names::TASK_STATUS, status)).sum(&[names::TASK_TYPE])
    };
    // In stacking order: finished work at the bottom.
    let bands = [
        ("A", "done", "done", "green"),
        ("B", "in_review", "in review", "purple"),
        ("C", "in_progress", "in progress", "blue"),
        ("D", "blocked", "blocked", "red"),
        ("E", "todo", "todo", TODO),
        ("F", "backlog", "backlog", NEUTRAL),
    ];
    let draft = areas(50, "Cumulative flow", (12, 9))
        .rule("Tasks of the chosen types by status over time, without epics and cancelled tasks. Work piles up where a band grows \
wider.")
        .empty(NOTHING)
        .zero_based()
        .decimals(0)
        .step("6h");
    let draft = bands.into_iter().fold(draft, |draft, (letter, status, shown, color)| {
        draft.field(shown, vec![colour(color)]).ask(course(letter, counts(status), shown))
    });
    draft.until_now()
}

/// When completions of this time happened, in TraceQL: the range alone is by trace, not by span.
fn completed_in_range() -> [String; 2] {
    [
        span(names::TASK_COMPLETED_AT, ">=", "${__from:date:seconds}"),
        span(names::TASK_COMPLETED_AT, "<=", "${__to:date:seconds}"),
    ]
}

/// What the points of the scatter are called.
const CYCLE: &str = "cycle time";

pub(super) fn cycle_scatter() -> Draft {
    let [from, to] = completed_in_range();
    let conditions = [chosen(names::TASK_TYPE, "type"), span(names::TASK_CYCLE_TIME, ">", "0.0"), from, to];
    let completions =
        format!("{} | by(span:id){}", spans_of("completion", &conditions), query::select(&[names::TASK_CYCLE_TIME]));
    let line = |share| {
        let chosen = Selector::project().like(names::TASK_TYPE, "$type").except(names::TASK_TYPE, NO_EPICS);
        in_days(&quantile(share, names::M_TASK_CYCLE_TIME, chosen, "30d", &[]))
    };
    lines(51, "Cycle time of each completion", (12, 9))
        .rule("Each point is a completion: its time, and the days since work on it started. Lines: the time that 50, 85 and 95 % of the \
completions of the 30 days before did not exceed, at the precision of a histogram bucket, without epics.")
        .empty("Nothing was completed in this time range, or Tempo does not serve it yet (up to 10 minutes after a sync)")
        .unit(DAYS)
        .zero_based()
        .step("1d")
        .field(CYCLE, vec![panel::points_only(), colour("blue")])
        .field("p50", vec![colour("green"), dashed()])
        .field("p85", vec![colour("orange"), dashed()])
        .field("p95", vec![colour("red"), dashed()])
        .ask(spans("A", completions, 2_000))
        .ask(course("B", line("0.5"), "p50"))
        .ask(course("C", line("0.85"), "p85"))
        .ask(course("D", line("0.95"), "p95"))
        .then(
            "filterFieldsByName",
            json!({"include": {"names": [SPAN_START, names::TASK_CYCLE_TIME, "Time", "Value", "p50", "p85", "p95"]}}),
        )
        .numbers(&[names::TASK_CYCLE_TIME])
        .days(names::TASK_CYCLE_TIME, CYCLE)
        .then(
            "filterFieldsByName",
            json!({"include": {"names": [SPAN_START, CYCLE, "Time", "Value", "p50", "p85", "p95"]}}),
        )
        .then("sortBy", json!({"fields": {}, "sort": [{"field": SPAN_START, "desc": false}]}))
}

pub(super) fn status_time() -> Draft {
    let part = |part| Series::part(names::M_TASK_STATUS_TIME, part, Selector::project());
    let by = [names::TASK_STATUS];
    let mean = format!("{} / ({} > 0)", part("_sum").gained("$__range", &by), part("_count").gained("$__range", &by));
    bar_gauge(52, "Mean time in a status", (8, 8), true)
        .rule("Mean time that tasks spent in each status, for the stays that ended in this time range.")
        .empty("No task changed its status in this time range")
        .unit(DAYS)
        .decimals(1)
        .zero_based()
        .ask(rows("A", format!("sort_desc({})", in_days(&mean))))
        .columns(&[("task_status", "Status"), ("Value", "Value")])
        .named_by_column("Status")
        .field("Status", vec![value_mapping(&statuses())])
}

pub(super) fn wip_age() -> Draft {
    let age = |quantile: &str| {
        let of = Series::new(names::M_TASK_WIP_AGE, Selector::project().equal(names::QUANTILE, quantile));
        in_days(&of.by_project())
    };
    let usual =
        quantile("0.85", names::M_TASK_CYCLE_TIME, Selector::project().except(names::TASK_TYPE, NO_EPICS), "30d", &[]);
    lines(53, "Age of work in progress", (8, 8))
        .rule("Time since work in progress (in progress, in review, or blocked after it was started) was started: p50, p85 and the oldest. \
Dashed: the cycle time that 85 % of the completions of the 30 days before did not exceed. Check work that is older than the dashed line.")
        .empty("Nothing was in progress in this time range")
        .unit(DAYS)
        .zero_based()
        .step("6h")
        .field("oldest", vec![colour("red")])
        .field("p85", vec![colour("orange")])
        .field("p50", vec![colour("green")])
        .field("p85 of completed", vec![colour("text"), dashed()])
        .ask(course("A", age("0.5"), "p50"))
        .ask(course("B", age("0.85"), "p85"))
        .ask(course("C", age("1"), "oldest"))
        .ask(course("D", in_days(&usual), "p85 of completed"))
        .until_now()
}

pub(super) fn weekly() -> Draft {
    let completed = of_types(names::M_TASK_COMPLETED).gained("1w", &[]);
    let created = of_types(names::M_TASK_CREATED).gained("1w", &[]);
    weeks(54, "Throughput by week", (8, 8))
        .rule("Tasks of the chosen types created and completed in the seven days before each bar, without epics.")
        .empty(NOTHING)
        .field("created", vec![colour("orange")])
        .field("completed", vec![colour("green")])
        .ask(course("A", created, "created"))
        .ask(course("B", completed, "completed"))
}

pub(super) fn flow_efficiency() -> Draft {
    lines(56, "Flow efficiency", (10, 6))
        .rule("Share of the cycle time that tasks spent in progress or in review, for tasks completed in the 30 days before each point. \
The rest is waiting time.")
        .empty("Nothing was completed in the last 30 days")
        .unit("percent")
        .zero_based()
        .up_to(100.0)
        .step("6h")
        .ask(course("A", project(names::M_PROJECT_FLOW).by_project(), "active"))
        .until_now()
}
