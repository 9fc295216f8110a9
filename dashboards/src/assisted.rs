//! Agent-assisted work, on both dashboards: how much is known, and how groups of similar tasks flowed.
//!
//! Panels show groups as the metrics have them: none is small enough to show a person's work, and no panel compares people or
//! says what a difference comes from.

use contextcore_model::semconv::{self as names, Metric};
use serde_json::json;

use crate::links;
use crate::panel::{
    DAYS, Draft, decimals, gauge, hidden, in_days, moment, rows, stat, table, to, unit, width, wrapped,
};
use crate::query::{Selector, Series, named};

/// What the groups are and are not, in every description.
const GROUPS: &str = "Tasks completed in the 90 days before, without epics, in groups of one type and size. Small: at most 2 points, \
medium: at most 5. Agents: `delegated` (an agent was the delegate, or wrote the pull request or a commit), `assisted` (trailers of commits or \
reports name one), `none` (declared), `unknown` (no evidence, which does not mean none). Groups of fewer than 20 tasks or 5 people are \
hidden. Agents and people are given different work: a difference between groups does not say what it comes from.";
const NOTHING: &str = "No group has 20 tasks of 5 people within 90 days, so that none is shown";
const GROUP: [&str; 3] = [names::TASK_TYPE, names::TASK_SIZE, names::TASK_AGENT_ASSISTED];

/// How much is known, of the projects that a selector selects.
pub(crate) fn coverage(id: u32, width: u32, selector: &Selector) -> Draft {
    let of = |metric: Metric| format!("sum({})", Series::new(metric, selector.clone()).newest(&[names::PROJECT_ID]));
    let known = Series::new(names::M_AGENT_COVERAGE, selector.clone()).newest(&[names::PROJECT_ID]);
    let completed = Series::new(names::M_AGENT_COMPLETED, selector.clone()).newest(&[names::PROJECT_ID]);
    stat(id, "Coverage of evidence", width)
        .rule(
            "Share of the tasks completed in the 90 days before of which it is known whether agents took part, their number, and how many \
of them are in groups too small to be shown. What is not known has no evidence: squash merges lose trailers, and many agents leave none.",
        )
        .empty("Nothing was completed within 90 days")
        .decimals(0)
        .no_course()
        .field("known", vec![unit("percent")])
        .ask(moment("A", format!("sum({known} * {completed}) / sum({completed} > 0)"), "known"))
        .ask(moment("B", of(names::M_AGENT_COMPLETED), "tasks"))
        .ask(moment("C", of(names::M_AGENT_HIDDEN), "in hidden groups"))
}

/// The groups of the project chosen.
pub(crate) fn of_project(id: u32, size: (u32, u32)) -> Draft {
    groups(id, size, &Selector::project(), &GROUP, &|expression| expression)
        .columns(&columns(&[]))
        .field("Type", vec![width(160)])
}

/// The groups of the projects chosen, project by project.
pub(crate) fn of_projects(id: u32, size: (u32, u32)) -> Draft {
    let by: Vec<&str> = std::iter::once(names::PROJECT_ID).chain(GROUP).collect();
    groups(id, size, &Selector::projects(), &by, &|expression| named(&expression, Selector::projects()))
        .columns(&columns(&[("project_name", "Project"), ("project_id", "Id")]))
        .field("Project", vec![to("Project Details", links::project("Id")), width(150), wrapped()])
        .field("Type", vec![width(85)])
        .field("Id", hidden())
}

fn columns<'a>(first: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [
        ("task_type", "Type"),
        ("task_size", "Size"),
        ("task_agent_assisted", "Agents"),
        ("Value #A", "Tasks"),
        ("Value #B", "Cycle p50"),
        ("Value #C", "Cycle p85"),
        ("Value #D", "Blocked p50"),
        ("Value #E", "Blocked p85"),
        ("Value #F", "Reworked"),
    ];
    first.iter().copied().chain(own).collect()
}

/// A row for each group by these labels.
fn groups(id: u32, size: (u32, u32), selector: &Selector, by: &[&str], finish: &dyn Fn(String) -> String) -> Draft {
    let of = |metric, selector: Selector| Series::new(metric, selector).newest(by);
    let days = |metric, quantile: &str| in_days(&of(metric, selector.clone().equal(names::QUANTILE, quantile)));
    let long = || vec![unit(DAYS), decimals(1), width(85)];
    let mut share = gauge(100.0);
    share.extend([unit("percent"), decimals(0), width(110)]);
    table(id, "Flow by whether agents took part", size)
        .rule(format!(
            "{GROUPS} Cycle: days from start to completion that 50 and 85 % of the tasks did not exceed. Blocked: the same of the days \
blocked. Reworked: share that was reopened or sent back from review."
        ))
        .empty(NOTHING)
        .ask(rows("A", finish(of(names::M_AGENT_TASKS, selector.clone()))))
        .ask(rows("B", finish(days(names::M_AGENT_CYCLE_TIME, "0.5"))))
        .ask(rows("C", finish(days(names::M_AGENT_CYCLE_TIME, "0.85"))))
        .ask(rows("D", finish(days(names::M_AGENT_BLOCKED_TIME, "0.5"))))
        .ask(rows("E", finish(days(names::M_AGENT_BLOCKED_TIME, "0.85"))))
        .ask(rows("F", finish(of(names::M_AGENT_REWORK, selector.clone()))))
        .then("merge", json!({}))
        .field("Size", vec![width(100)])
        .field("Agents", vec![width(95)])
        .field("Tasks", vec![decimals(0), width(65)])
        .field("Cycle p50", long())
        .field("Cycle p85", long())
        .field("Blocked p50", long())
        .field("Blocked p85", long())
        .field("Reworked", share)
}
