//! Project Portfolio Overview: which projects are on track, which are not, and what blocks them?

use contextcore_model::semconv::{self as names, Metric};
use serde_json::json;

use crate::assisted;
use crate::links;
use crate::model::{Annotations, Dashboard, Property, SCHEMA_VERSION, Templating, TimeRange};
use crate::panel::{
    self, AT_END, DAYS, Draft, NEUTRAL, NONE_IS_GOOD, Section, TODO, areas, at_least, background, bar_gauge, buckets,
    colour, coloured, counts, course, decimals, events, events_table, folded, gauge, hidden, in_days, lines, mapping,
    moment, rows, section, stacked_bars, stat, table, text, to, unit, weeks, width, words, wrapped,
};
use crate::query::{
    BLOCKED_TOO_LONG, HEALTH_RULE, Health, SPRINT, SPRINT_NAMED, Selector, Series, TOO_OLD, label, named, quantile,
    quantile_before, with_line,
};
use crate::variable;

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

fn matrix() -> Draft {
    let health = Health::of(Selector::projects());
    let info = projects(names::M_PROJECT_INFO);
    let about = [names::PROJECT_ID, names::PROJECT_NAME, names::BUSINESS_OWNER, names::BUSINESS_CRITICALITY];
    let cycle = |share| quantile(share, names::M_TASK_CYCLE_TIME, Selector::projects(), "30d", &PROJECT);
    let cycle_before = quantile_before("0.85", names::M_TASK_CYCLE_TIME, Selector::projects(), 30, &PROJECT);
    let week = completed().gained("1w", &PROJECT);
    let month = completed().gained("4w", &PROJECT);
    let draft = table(10, "Health matrix", (24, 9))
        .ask(rows("A", info.newest(&about)))
        .ask(rows("B", health.score()))
        .ask(rows("C", projects(names::M_PROJECT_PERCENT).by_project()))
        .ask(rows("D", health.blocked()))
        .ask(rows("E", in_days(&health.oldest_block())))
        .ask(rows("F", projects(names::M_TASK_WIP).by_project()))
        .ask(rows("G", health.crowding()))
        .ask(rows("H", in_days(&cycle("0.5"))))
        .ask(rows("I", in_days(&cycle("0.85"))))
        .ask(rows("J", format!("100 * ({} / ({cycle_before} > 0) - 1)", cycle("0.85"))))
        .ask(rows("K", week.clone()))
        .ask(rows("L", format!("100 * (4 * {week} / ({month} > 0) - 1)")))
        .ask(rows("M", format!("100 * {}", health.behind())))
        .ask(rows("N", format!("100 * {}", health.scope_change())))
        .ask(rows("O", projects(names::M_TASK_STALE).by_project()))
        .ask(rows("P", health.data_age()));
    matrix_columns(matrix_rule(draft).joined(&label(names::PROJECT_ID)))
}

fn matrix_rule(draft: Draft) -> Draft {
    draft
        .rule(format!(
            "One row per project; click it to open Project Details. {HEALTH_RULE} Done: completed share of all work that is not cancelled, by \
points where everything is estimated, otherwise by number of tasks. WIP: tasks started and not finished (in progress, in review, or \
blocked after they were started), with epics. WIP ×: WIP as a multiple of its 4-week mean. Cycle: days from start to completion of tasks \
completed in the last 30 days, at the precision of a histogram bucket. p85 ±: change of the p85 against the 30 days before. 7 d: completions in the last \
seven days. Trend: those against the mean week of the last four. Behind: how far the worst running sprint is behind its ideal line, as a \
share of its scope. Scope ±: points added and removed, as a share of the commitment. Stale: open tasks without activity for longer than \
`stale_after`. Data age: time since the least fresh source of the project was read."
        ))
        .empty("No project matches the filters within the look back: see ContextCore Health")
        .sorted("Health", true)
        .frozen(1)
}

fn matrix_columns(draft: Draft) -> Draft {
    // Ages come first: what does not fit on a narrow screen is scrolled.
    let columns = [
        ("project_name", "Project"),
        ("Value #B", "Health"),
        ("Value #P", "Data age"),
        ("Value #E", "Oldest block"),
        ("Value #D", "Blocked"),
        ("Value #C", "Done"),
        ("Value #F", "WIP"),
        ("Value #G", "WIP ×"),
        ("Value #H", "Cycle p50"),
        ("Value #I", "Cycle p85"),
        ("Value #J", "p85 ±"),
        ("Value #K", "7 d"),
        ("Value #L", "Trend"),
        ("Value #M", "Behind"),
        ("Value #N", "Scope ±"),
        ("Value #O", "Stale"),
        ("business_owner", "Owner"),
        ("business_criticality", "Criticality"),
        ("project_id", "Id"),
    ];
    let change = || vec![unit("percent"), decimals(0), width(70)];
    let days = || vec![unit(DAYS), decimals(1), width(75)];
    let mut health = background(&[("transparent", None)]);
    health.extend([words(&health_words()), width(85)]);
    let with = |mut properties: Vec<_>, more: Vec<_>| {
        properties.extend(more);
        properties
    };
    let long = f64::from(BLOCKED_TOO_LONG) / 86_400.0;
    draft
        .columns(&columns)
        .field("Project", vec![to("Project Details", links::project("Id")), width(150), wrapped()])
        .field("Health", health)
        .field("Done", with(gauge(100.0), vec![unit("percent"), decimals(0), width(110)]))
        .field("Blocked", with(coloured(NONE_IS_GOOD), vec![width(75)]))
        .field("Oldest block", with(coloured(&[("text", None), ("red", Some(long))]), days()))
        .field("WIP", vec![width(55)])
        .field("WIP ×", with(coloured(&[("text", None), ("yellow", Some(1.5))]), vec![decimals(1), width(65)]))
        .field("Cycle p50", days())
        .field("Cycle p85", days())
        .field("p85 ±", change())
        .field("7 d", vec![width(50)])
        .field("Trend", change())
        .field("Behind", with(coloured(&[("text", None), ("red", Some(25.0))]), change()))
        .field("Scope ±", with(coloured(&[("text", None), ("yellow", Some(20.0))]), change()))
        .field("Stale", vec![width(60)])
        .field(
            "Data age",
            with(coloured(&[("text", None), ("red", Some(3_600.0))]), vec![unit("s"), decimals(0), width(85)]),
        )
        .field("Owner", vec![width(130)])
        .field("Criticality", vec![width(110)])
        .field("Id", with(hidden(), Vec::new()))
}

/// What of sprints that were closed in the week before: a velocity is there now and was not a week ago.
fn closed_this_week(metric: Metric) -> String {
    let on = SPRINT.map(label).join(", ");
    let velocity = Series::new(names::M_SPRINT_VELOCITY, Selector::projects()).within("1w");
    let before = velocity.last().replace("[1w])", "[1w] offset 1w)");
    let of = Series::new(metric, Selector::projects()).within("1w");
    format!("sum({} and on ({on}) ({} unless on ({on}) {before}))", of.by(&SPRINT), velocity.by(&SPRINT))
}

fn velocity() -> Draft {
    weeks(20, "Velocity of sprints closed, by week", (12, 8))
        .rule("Points committed at the start and points done at the end, of all sprints closed in the seven days before each bar. \
Choose an owner above to see one team's velocity. Project Details shows each sprint.")
        .empty("No sprint was closed in this time range, or none has estimates")
        .field("planned", vec![colour(NEUTRAL)])
        .field("completed", vec![colour("green")])
        .ask(course("A", closed_this_week(names::M_SPRINT_PLANNED), "planned"))
        .ask(course("B", closed_this_week(names::M_SPRINT_VELOCITY), "completed"))
}

fn predictability() -> Draft {
    let kept = Series::new(names::M_SPRINT_PREDICTABILITY, Selector::projects()).within("$__range");
    table(21, "Say / do of closed sprints", (12, 8))
        .rule("Points done as a share of points committed, for each sprint closed in this time range. 100 % means the commitment was \
met. A sprint without committed points is left out.")
        .empty("No sprint was closed in this time range, or none has estimates")
        .ask(rows("A", format!("sort_desc({})", named(&kept.by(&SPRINT_NAMED), Selector::projects()))))
        .columns(&[
            ("project_name", "Project"),
            ("sprint_name", "Sprint"),
            ("Value", "Done of committed"),
            ("project_id", "Id"),
        ])
        .field("Project", vec![to("Project Details", links::project("Id")), wrapped()])
        .field("Sprint", vec![width(150), wrapped()])
        .field("Id", hidden())
        .field("Done of committed", {
            let mut bar = gauge(150.0);
            bar.extend([unit("percent"), decimals(0)]);
            bar
        })
}

fn created_and_completed() -> Draft {
    let created = Series::new(names::M_TASK_CREATED, Selector::projects().except(names::TASK_TYPE, NO_EPICS));
    weeks(22, "Created against completed, by week", (12, 9))
        .rule(
            "Tasks created and tasks completed in the seven days before each bar, without epics. When more tasks \
are created than completed week after week, the backlog grows.",
        )
        .empty(NOTHING)
        .field("created", vec![colour("orange")])
        .field("completed", vec![colour("green")])
        .ask(course("A", created.gained("1w", &[]), "created"))
        .ask(course("B", completed().gained("1w", &[]), "completed"))
}

/// The buckets of lead times that are shown, in words; shorter ones are within the first, longer ones in the last.
const BUCKETS: [(&str, &str); 10] = [
    ("86400", "≤ 1 d"),
    ("172800", "≤ 2 d"),
    ("259200", "≤ 3 d"),
    ("432000", "≤ 5 d"),
    ("604800", "≤ 7 d"),
    ("1209600", "≤ 14 d"),
    ("2592000", "≤ 30 d"),
    ("5184000", "≤ 60 d"),
    ("7776000", "≤ 90 d"),
    ("[+]Inf", "> 90 d"),
];

fn lead_time() -> Draft {
    let bounds = BUCKETS.map(|(bound, _)| format!("{bound}([.]0)?")).join("|");
    let chosen = Selector::projects().except(names::TASK_TYPE, NO_EPICS).like("le", &bounds);
    let of = Series::part(names::M_TASK_LEAD_TIME, "_bucket", chosen);
    let draft = bar_gauge(23, "Lead time of completed tasks", (8, 9), false)
        .rule(
            "Tasks completed in this time range, without epics, by time from creation to completion. Each bar is one \
bucket: `≤ 5 d` counts tasks that took over 3 and up to 5 days.",
        )
        .empty("Nothing was completed in this time range")
        .decimals(0)
        .zero_based()
        .ask(buckets("A", of.gained("$__range", &["le"])));
    BUCKETS.iter().fold(draft, |draft, (bound, words)| {
        let name = panel::display_name(words);
        draft.fields(&format!("^{bound}([.]0)?$"), vec![name])
    })
}

fn lead_quantiles() -> Draft {
    let chosen = || Selector::projects().except(names::TASK_TYPE, NO_EPICS);
    let of = |share| in_days(&quantile(share, names::M_TASK_LEAD_TIME, chosen(), "$__range", &[]));
    stat(24, "Lead time", 4)
        .size(4, 9)
        .option("orientation", json!("horizontal"))
        .rule("Time from creation to completion that 50, 85 and 95 % of the tasks completed in this time range did not exceed, at the \
precision of a histogram bucket, without epics.")
        .empty("Nothing was completed in this time range")
        .unit(DAYS)
        .decimals(1)
        .no_course()
        .ask(moment("A", of("0.5"), "p50"))
        .ask(moment("B", of("0.85"), "p85"))
        .ask(moment("C", of("0.95"), "p95"))
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

/// What happened in the projects chosen.
fn happened() -> String {
    Selector::all().equal(names::SERVICE_NAME, "contextcore").like(names::PROJECT_ID, "$project").text()
}

/// A weekday that sorts, in LogQL.
const WEEKDAY: &str = r#"{{ __timestamp__ | date "Mon" | replace "Mon" "1 Mon" | replace "Tue" "2 Tue" | replace "Wed" "3 Wed" | replace "Thu" "4 Thu" | replace "Fri" "5 Fri" | replace "Sat" "6 Sat" | replace "Sun" "7 Sun" }}"#;

fn heat_map() -> Draft {
    let expr = format!(
        "sum by (weekday, hour) (count_over_time({} | label_format weekday=`{WEEKDAY}`, hour=`{{{{ __timestamp__ | date \"15\" }}}}` \
         [$__range]))",
        happened()
    );
    let hours: Vec<String> = (0..24).map(|hour| format!("{hour:02}")).collect();
    let mut columns = vec![("weekday\\hour".to_owned(), "Day".to_owned())];
    columns.extend(hours.into_iter().map(|hour| (hour.clone(), hour)));
    let columns: Vec<(&str, &str)> = columns.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let heat = vec![
        Property { id: "color", value: json!({"mode": "continuous-blues"}) },
        Property { id: "custom.cellOptions", value: json!({"type": "color-background", "mode": "basic"}) },
        Property { id: "custom.align", value: json!("center") },
        at_least(39),
    ];
    let days = [("1 Mon", "Mon"), ("2 Tue", "Tue"), ("3 Wed", "Wed"), ("4 Thu", "Thu"), ("5 Fri", "Fri")];
    let days = days.into_iter().chain([("6 Sat", "Sat"), ("7 Sun", "Sun")]);
    let weekdays = mapping(&days.map(|(sorted, shown)| (sorted, shown, "text")).collect::<Vec<_>>());
    table(40, "Activity by weekday and hour (UTC)", (24, 9))
        .rule("Events of this time range by the weekday and hour (UTC) at which they happened: changes of status, assignment, estimate, \
sprint and so on. A darker cell has more events.")
        .empty("No event in this time range. Check that Loki has the history: see ContextCore Health")
        .ask(counts("A", expr))
        .then("labelsToFields", json!({"mode": "columns"}))
        .then("merge", json!({}))
        .then("groupingToMatrix", json!({"columnField": "hour", "rowField": "weekday", "valueField": "Value #A", "emptyValue": "zero"}))
        .columns(&columns)
        .then("sortBy", json!({"fields": {}, "sort": [{"field": "Day", "desc": false}]}))
        .fields("^[0-2][0-9]$", heat)
        .field("Day", vec![words(&weekdays), width(64)])
        .frozen(1)
}

fn latest() -> Draft {
    let columns = [("project_name", "Project"), ("task_id", "Task")];
    events_table(41, "The latest 50 events", (24, 10), &columns)
        .rule("The newest events of these projects. The key links to the task's spans, the trace to the history it is part of.")
        .empty("No event in this time range. Check that Loki has the history: see ContextCore Health")
        .ask(events("A", with_line(&happened()), 50))
        .field("Project", vec![width(150), wrapped()])
        .field("Task", vec![to("Spans", links::task("Task")), width(130), wrapped()])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_in_words_are_among_those_of_the_histograms() {
        let bounds: Vec<String> =
            contextcore_model::totals::BOUNDS.iter().map(|bound| (bound / 1_000).to_string()).collect();
        let (last, named) = BUCKETS.split_last().unwrap();
        assert!(named.iter().all(|(bound, _)| bounds.iter().any(|known| known == bound)), "{named:?} among {bounds:?}");
        assert_eq!(last.0, "[+]Inf");
    }
}
