//! Project Portfolio Overview: which projects are on track, which are not, and what blocks them?

use contextcore_model::semconv::{self as names, Metric};
use serde_json::json;

use crate::assisted;
use crate::links;
use crate::model::{Annotations, Dashboard, SCHEMA_VERSION, Templating, TimeRange};
use crate::panel::{
    self, AT_END, DAYS, Draft, NEUTRAL, NONE_IS_GOOD, Section, TODO, areas, at_least, background, colour, coloured,
    course, decimals, folded, hidden, in_days, lines, mapping, moment, rows, section, stacked_bars, stat, table, text,
    to, unit, width, wrapped,
};
use crate::query::{HEALTH_RULE, Health, Selector, Series, TOO_OLD, label, named};
use crate::variable;
use activity::{heat_map, latest};
use flow::{created_and_completed, lead_quantiles, lead_time, predictability, velocity};
use matrix::matrix;

mod activity;
mod flow;
mod matrix;

/// Why anything may be empty, and where to look.
const NOTHING: &str = "No data within the look back: see ContextCore Health";
/// The type that contains other work.
pub(crate) const NO_EPICS: &str = "epic";

/// The dashboard.
pub(crate) fn dashboard() -> Dashboard {
    Dashboard {
        uid: links::PORTFOLIO.to_owned(),
        title: "Project Portfolio Overview".to_owned(),
        description: "Which projects are on track, which are not, and what blocks them?".to_owned(),
        tags: vec!["contextcore".to_owned()],
        timezone: "browser",
        editable: true,
        graph_tooltip: 1,
        refresh: "5m",
        schema_version: SCHEMA_VERSION,
        time: TimeRange { from: "now-30d", to: "now" },
        links: vec![links::top("Project Details", links::PROJECT), links::top("ContextCore Health", links::HEALTH)],
        annotations: Annotations { list: Vec::new() },
        templating: Templating { list: variables() },
        panels: panel::page(sections()),
    }
}

fn variables() -> Vec<crate::model::Variable> {
    let mut all = variable::data_sources();
    all.extend([
        variable::lookback(),
        variable::owner(),
        variable::criticality(),
        variable::tool(),
        variable::projects(),
    ]);
    all
}

fn sections() -> Vec<Section> {
    vec![
        section(0, "", header()),
        section(100, "Projects", vec![matrix()]),
        section(
            101,
            "Delivery",
            vec![
                course_of_work(),
                velocity(),
                predictability(),
                created_and_completed(),
                lead_time(),
                lead_quantiles(),
            ],
        ),
        section(102, "Blocked work and open work by status", vec![blocked(), statuses()]),
        section(
            105,
            "Agent-assisted work",
            vec![assisted::coverage(32, 24, &Selector::projects()).size(24, 4), assisted::of_projects(33, (24, 8))],
        ),
        section(103, "Activity", vec![heat_map(), latest()]),
        folded(104, "Business", vec![business(), about()]),
    ]
}

fn projects(metric: Metric) -> Series {
    Series::new(metric, Selector::projects())
}

/// Completions of tasks that are not epics.
fn completed() -> Series {
    Series::new(names::M_TASK_COMPLETED, Selector::projects().except(names::TASK_TYPE, NO_EPICS))
}

const PROJECT: [&str; 1] = [names::PROJECT_ID];

fn header() -> Vec<Draft> {
    let all = vec![active(), on_track(), at_risk(), blocked_now(), throughput(), stale_sources()];
    // A row higher than usual: below that, Grafana leaves the course of a number out. Narrower, titles are cut.
    let mut all: Vec<Draft> = all.into_iter().map(|tile| tile.size(6, 5)).collect();
    all.push(health_over_time());
    all
}

/// The same a week ago: an expression has no offset, a subquery has.
fn week_ago(expression: &str) -> String {
    format!("last_over_time(({expression})[1m:1m] offset 1w)")
}

/// A number of the header: now, and a week ago.
fn compared(id: u32, title: &str, expression: &str, now: &str) -> Draft {
    stat(id, title, 4)
        .empty(NOTHING)
        .decimals(0)
        .no_course()
        .field("a week ago", vec![colour("text")])
        .ask(moment("A", expression.to_owned(), now))
        .ask(moment("B", week_ago(expression), "a week ago"))
}

fn active() -> Draft {
    let busy = projects(names::M_TASK_WIP).by_project();
    let done = completed().gained("4w", &PROJECT);
    compared(1, "Active projects", &format!("count(({busy} > 0) or ({done} > 0))"), "now")
        .rule("Projects with work in progress (started and not finished, blocked or not) or with a completion in the last four weeks.")
}

const PAST_HEALTH: &str = "For the past, the age of data is known only since contextcore started to run.";

fn on_track() -> Draft {
    let health = Health::of(Selector::projects()).score();
    compared(2, "On track", &format!("sum({health} == bool 0)"), "now")
        .rule(format!("Projects that are green. {HEALTH_RULE} {PAST_HEALTH}"))
        .steps(&[("text", None), ("green", Some(1.0))])
}

fn at_risk() -> Draft {
    let health = Health::of(Selector::projects()).score();
    stat(3, "At risk", 4)
        .rule(format!("Number of red projects and of yellow projects. {HEALTH_RULE}"))
        .empty(NOTHING)
        .no_course()
        .field("red", vec![colour("red")])
        .field("yellow", vec![colour("yellow")])
        .ask(moment("A", format!("sum({health} == bool 2)"), "red"))
        .ask(moment("B", format!("sum({health} == bool 1)"), "yellow"))
}

fn blocked_now() -> Draft {
    let oldest = in_days(&format!("max({})", Health::of(Selector::projects()).oldest_block()));
    stat(4, "Blocked tasks", 4)
        .rule("Open tasks that are blocked: by their status, by a flag or label, or (where configured) by an open blocker. Oldest: age of \
the block that has lasted longest.")
        .empty("No data within the look back: see ContextCore Health")
        .steps(NONE_IS_GOOD)
        .no_course()
        .field("oldest", vec![unit(DAYS), decimals(1), colour("text")])
        .ask(moment("A", projects(names::M_TASK_BLOCKED).sum(&PROJECT), AT_END))
        .ask(moment("B", oldest, "oldest"))
        .with_course(projects(names::M_TASK_BLOCKED).sum(&PROJECT), "blocked", &["oldest"])
}

fn throughput() -> Draft {
    let week = completed().gained("1w", &[]);
    compared(5, "Throughput, 7 days", &week, AT_END).with_course(week, "now", &["a week ago"]).rule(
        "Completions in the last seven days and in the seven days before those, without epics, on the 6-hour grid of \
history. A task that is reopened and completed again counts again.",
    )
}

fn health_over_time() -> Draft {
    let health = Health::of(Selector::projects()).over_time().score();
    let now = Health::of(Selector::projects()).score();
    let of = |health: &str, score: u8| format!("sum({health} == bool {score})");
    areas(7, "Projects by health", (12, 5))
        .rule(format!("{HEALTH_RULE} {PAST_HEALTH} A lifted block may count for one look back longer."))
        .empty(NOTHING)
        .zero_based()
        .decimals(0)
        .step("1d")
        .points(60)
        .field("red", vec![colour("red")])
        .field("yellow", vec![colour("yellow")])
        .field("green", vec![colour("green")])
        .ask(course("A", of(&health, 2), "red"))
        .ask(course("B", of(&health, 1), "yellow"))
        .ask(course("C", of(&health, 0), "green"))
        .until_now_by([2, 1, 0].map(|score| of(&now, score)).to_vec())
}

fn course_of_work() -> Draft {
    lines(8, "Blocked, in progress, completed in 7 days", (24, 7))
        .rule(
            "Three lines. Blocked: tasks blocked at that time. In progress: tasks started and not finished (in progress, in review, or blocked \
after they were started). A blocked task that was started is in both lines. Completed: completions in the seven days before, without \
epics.",
        )
        .empty(NOTHING)
        .zero_based()
        .decimals(0)
        .step("1d")
        .points(60)
        .field("blocked", vec![colour("red")])
        .field("in progress", vec![colour("blue")])
        .field("completed", vec![colour("green")])
        .ask(course("A", projects(names::M_TASK_BLOCKED).sum(&PROJECT), "blocked"))
        .ask(course("B", projects(names::M_TASK_WIP).sum(&PROJECT), "in progress"))
        .ask(course("C", completed().gained("1w", &[]), "completed"))
        .until_now()
}

fn stale_sources() -> Draft {
    let sources = Series::new(names::M_SYNC_LAST_SUCCESS, Selector::all()).by(&[names::SOURCE_NAME]);
    stat(6, "Stale sources", 4)
        .rule("Sources whose last successful run ended over an hour ago, for all projects. Click to open ContextCore Health.")
        .empty("No source reported within the look back. Check that contextcore is running: see ContextCore Health")
        .steps(NONE_IS_GOOD)
        .no_course()
        .link("ContextCore Health", links::health())
        .ask(moment("A", format!("sum((time() - {sources}) > bool {TOO_OLD})"), "stale"))
}

/// Words and colours of health.
pub(crate) fn health_words() -> serde_json::Value {
    mapping(&[("0", "green", "green"), ("1", "yellow", "yellow"), ("2", "red", "red")])
}

fn blocked() -> Draft {
    let by = [
        names::PROJECT_ID,
        names::TASK_ID,
        names::TASK_TITLE,
        names::TASK_ASSIGNEE,
        names::EVENT_REASON,
        names::TASK_URL,
    ];
    let columns = [
        ("task_id", "Task"),
        ("task_title", "Title"),
        ("project_name", "Project"),
        ("Value", "Blocked for"),
        ("reason", "Reason"),
        ("task_assignee", "Assignee"),
        ("task_url", "Ticket"),
        ("project_id", "Id"),
    ];
    let mut age = coloured(&[("text", None), ("yellow", Some(1.0)), ("red", Some(3.0))]);
    age.extend([unit(DAYS), decimals(1), width(75)]);
    let ages = projects(names::M_TASK_BLOCKED_AGE).newest(&by);
    table(30, "Blocked tasks", (15, 11))
        .rule("Tasks blocked at the newest export, longest first. Blocked for: time since the task last became blocked. The key links \
to the ticket in its tool, the title to its spans in Tempo.")
        .empty("Nothing is blocked. If you expect blocked tasks, see ContextCore Health")
        .ask(rows("A", format!("sort_desc({})", named(&in_days(&ages), Selector::projects()))))
        .columns(&columns)
        .field("Task", vec![to("Ticket", links::ticket("Ticket")), width(125), wrapped()])
        .field("Title", vec![to("Spans", links::task("Task")), at_least(110), wrapped()])
        .field("Project", vec![to("Project Details", links::project("Id")), width(95), wrapped()])
        .field("Reason", vec![width(90), wrapped()])
        .field("Assignee", vec![width(102)])
        .field("Blocked for", age)
        .fields("^(Ticket|Id)$", hidden())
}

fn statuses() -> Draft {
    let open = ["backlog", "todo", "in_progress", "in_review", "blocked"];
    let of = |status: Selector| {
        let counts = Series::new(names::M_TASK_COUNT, status.except(names::TASK_TYPE, NO_EPICS));
        let counts = counts.by(&[names::PROJECT_ID, names::TASK_STATUS, names::TASK_TYPE]);
        format!("sum by ({}) ({counts})", label(names::PROJECT_ID))
    };
    let any = of(Selector::projects().like(names::TASK_STATUS, &open.join("|")));
    let letters = ["A", "B", "C", "D", "E"];
    let draft = stacked_bars(31, "Open tasks by status", (9, 11), "Project")
        .rule("Open tasks of each project by their present status, without epics. Hover a bar for its numbers.")
        .empty(NOTHING)
        .option("orientation", json!("horizontal"))
        .ask(rows("F", format!("0 * {}", named(&any, Selector::projects()))));
    let draft = letters.iter().zip(open).fold(draft, |draft, (letter, status)| {
        draft.ask(rows(letter, of(Selector::projects().equal(names::TASK_STATUS, status))))
    });
    draft
        .joined(&label(names::PROJECT_ID))
        .columns(&[
            ("project_name", "Project"),
            ("Value #A", "backlog"),
            ("Value #B", "todo"),
            ("Value #C", "in progress"),
            ("Value #D", "in review"),
            ("Value #E", "blocked"),
        ])
        .field("backlog", vec![colour(NEUTRAL)])
        .field("todo", vec![colour(TODO)])
        .field("in progress", vec![colour("blue")])
        .field("in review", vec![colour("purple")])
        .field("blocked", vec![colour("red")])
}

fn business() -> Draft {
    let by = [names::PROJECT_ID, names::BUSINESS_CRITICALITY];
    let criticality = label(names::BUSINESS_CRITICALITY);
    let info = projects(names::M_PROJECT_INFO).newest(&by);
    let of = |score: u8| {
        let health = Health::of(Selector::projects()).score();
        format!(
            "label_replace(sum by ({criticality}) (({health} == bool {score}) * on ({}) group_left ({criticality}) {info}), \
             \"{criticality}\", \"not set\", \"{criticality}\", \"\")",
            label(names::PROJECT_ID)
        )
    };
    let shown = |steps| {
        let mut properties = background(steps);
        properties.push(width(110));
        properties
    };
    table(50, "Criticality against health", (14, 7))
        .rule(format!("Number of red, yellow and green projects by criticality. {HEALTH_RULE}"))
        .empty(NOTHING)
        .ask(rows("A", of(2)))
        .ask(rows("B", of(1)))
        .ask(rows("C", of(0)))
        .joined(&criticality)
        .columns(&[
            (criticality.as_str(), "Criticality"),
            ("Value #A", "Red"),
            ("Value #B", "Yellow"),
            ("Value #C", "Green"),
        ])
        .field("Red", shown(&[("transparent", None), ("red", Some(1.0))]))
        .field("Yellow", shown(&[("transparent", None), ("yellow", Some(1.0))]))
        .field("Green", shown(&[("transparent", None), ("green", Some(1.0))]))
}

fn about() -> Draft {
    text(
        51,
        "About this dashboard",
        (10, 7),
        "The description of every panel (the **i** at its title) explains how its numbers are computed.\n\n\
         - **Owner**, **criticality** and names come from `projects:` in the configuration of contextcore, or from its projects file.\n\
         - Values are the newest within **Look back**. History has a value every 6 hours.\n\
         - If a panel is empty, **ContextCore Health** tests each assumption.",
    )
}
