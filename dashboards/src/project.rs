//! Project Details: will this sprint and this project make it, what is stuck, and where did the time go?

use contextcore_model::semconv::{self as names, Metric};
use serde_json::{Value, json};

use crate::context;
use crate::links;
use crate::model::{
    Annotation, AnnotationFilter, Annotations, Dashboard, LOKI, Property, SCHEMA_VERSION, Target, Templating, TimeRange,
};
use crate::panel::{
    self, DAYS, Draft, NEUTRAL, NONE_IS_GOOD, Section, TODO, areas, at_least, background, bar_chart, bar_gauge, colour,
    coloured, course, dashed, decimals, events, events_table, folded, gauge, hidden, in_days, lines, moment, nothing,
    of_panel, rows, section, spans, stat, states, statuses, table, text, to, unit, weeks, width, words, wrapped,
};
use crate::portfolio::{NO_EPICS, health_words};
use crate::query::{
    self, BLOCKED_TOO_LONG, HEALTH_RULE, Health, SPRINT, SPRINT_NAMED, Selector, Series, label, quantile, quoted, span,
    spans_matching, spans_of, spans_of_any,
};
use crate::variable;

const NOTHING: &str = "No data within the look back: see ContextCore Health";
const NO_SPRINT: &str = "No sprint chosen, or it has no estimates";
const NO_SNAPSHOT: &str =
    "No snapshot of the last two hours has a matching task. Check that a sync ran: see ContextCore Health";
/// Queries about the present look this far back and take the newest snapshot.
const LATELY: &str = "2h";
/// What Grafana calls the start of a span in a table.
const SPAN_START: &str = "Start time";
/// What it calls the length of a span, in nanoseconds.
const SPAN_LENGTH: &str = "Duration";
/// What Grafana calls the trace of a span in a table.
const TRACE: &str = "traceIdHidden";
/// The panels that have marks where scope changed.
const BURNDOWN: u32 = 10;
const BURNUP: u32 = 11;
/// The panel that asks for the open epics and stories; the timeline takes its answer.
const OPEN_EPICS: u32 = 72;
/// The panel that asks for the newest snapshot; the others of the board take its answer.
const SNAPSHOT: u32 = 20;

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
        section(105, "Team", vec![team()]),
        section(106, "Timeline", vec![timeline(), open_epics(), epic_traces()]),
        section(107, "Activity", vec![activity()]),
        folded(108, "Agents and context", agents_and_context()),
    ]
}

fn agents_and_context() -> Vec<Draft> {
    let mut all = vec![agents()];
    all.extend(context::panels());
    all.push(about());
    all
}

fn project(metric: Metric) -> Series {
    Series::new(metric, Selector::project())
}

fn sprint(metric: Metric) -> Series {
    Series::new(metric, Selector::project().equal(names::SPRINT_ID, "$sprint"))
}

/// One number of the sprint.
fn of_sprint(metric: Metric) -> String {
    sprint(metric).sum(&[names::SPRINT_ID])
}

/// One number of the sprint, and its last one within the range when it was closed before the end of the range.
fn of_sprint_ever(metric: Metric) -> String {
    let ever = sprint(metric).within("$__range").sum(&[names::SPRINT_ID]);
    format!("{} or {ever}", of_sprint(metric))
}

fn counted(chosen: Selector) -> String {
    Series::new(names::M_TASK_COUNT, chosen).sum(&[names::TASK_STATUS, names::TASK_TYPE])
}

fn header() -> Vec<Draft> {
    vec![health(), progress(), blocked(), done_of_all(), sprint_points(), days_left(), forecast()]
}

fn health() -> Draft {
    stat(1, "Health", 4)
        .rule(HEALTH_RULE)
        .empty(NOTHING)
        .no_course()
        .option("colorMode", json!("background"))
        .words(health_words())
        .ask(moment("A", Health::of(Selector::project()).score(), "health"))
}

fn progress() -> Draft {
    stat(2, "Progress", 4)
        .rule("Completed share of all work that is not cancelled, without epics: by points where everything is estimated, otherwise by \
number of tasks.")
        .empty("This project has no work: see ContextCore Health")
        .unit("percent")
        .decimals(0)
        .no_course()
        .ask(moment("A", project(names::M_PROJECT_PERCENT).sum(&[names::PROJECT_ID]), "done"))
}

fn done_of_all() -> Draft {
    let of = |done: bool, kind: &str| {
        let chosen = Selector::project().like(names::TASK_TYPE, kind);
        let chosen = if done {
            chosen.equal(names::TASK_STATUS, "done")
        } else {
            chosen.except(names::TASK_STATUS, "cancelled")
        };
        counted(chosen)
    };
    let (story, task) = ("story", "task|subtask|bug|spike|incident");
    stat(3, "Done / all", 12)
        .rule("Stories done and all stories; tasks of every other type except epics done and all of them. Cancelled work is not counted.")
        .empty("This project has no tasks: see ContextCore Health")
        .decimals(0)
        .no_course()
        .ask(moment("A", of(true, story), "stories done"))
        .ask(moment("B", of(false, story), "of all"))
        .ask(moment("C", of(true, task), "tasks done"))
        .ask(moment("D", of(false, task), "of all "))
}

fn blocked() -> Draft {
    stat(4, "Blocked", 4)
        .rule("Open tasks that are blocked now. The Blockers table lists them.")
        .empty("No data about this project: see ContextCore Health")
        .steps(NONE_IS_GOOD)
        .no_course()
        .ask(moment("A", project(names::M_TASK_BLOCKED).sum(&[names::PROJECT_ID]), "blocked"))
}

fn sprint_points() -> Draft {
    stat(5, "Sprint points", 8)
        .rule("Points done in the sprint, and points committed at its start. For a closed sprint, the points done at its end are its \
velocity.")
        .blank("No sprint points", NO_SPRINT)
        .decimals(0)
        .no_course()
        .ask(moment("A", of_sprint_ever(names::M_SPRINT_COMPLETED), "done"))
        .ask(moment("B", of_sprint_ever(names::M_SPRINT_PLANNED), "committed"))
}

fn days_left() -> Draft {
    let end = label(names::SPRINT_END_DATE);
    let info = sprint(names::M_SPRINT_INFO).newest(&[names::SPRINT_END_DATE]);
    // What was closed before the end of the range is described no more; its last value is of the moment at which it ended.
    let scope = Selector::project().equal(names::SPRINT_ID, "$sprint").text();
    let scope = format!("{}{scope}", query::prometheus_name(names::M_SPRINT_SCOPE));
    let last = format!("1000 * max(max_over_time(timestamp({scope})[$__range:5m])) unless on () {info}");
    stat(6, "Sprint ends", 6)
        .rule("Planned end of the sprint, from the tool. For a sprint that was closed before the end of this time range: when it ended.")
        .blank("No end date", "No sprint chosen, or it has no end date")
        .unit("dateTimeFromNow")
        .no_course()
        .option("textMode", json!("value"))
        .option("reduceOptions", json!({"calcs": ["lastNotNull"], "fields": "/.*/", "values": false}))
        .ask(rows("A", info))
        .ask(moment("B", last, "ended"))
        .then("filterFieldsByName", json!({"include": {"names": [end, "ended"]}}))
        .then(
            "convertFieldType",
            json!({"conversions": [{"targetField": end, "destinationType": "time"}], "fields": {}}),
        )
}

/// Open tasks, without epics.
fn remaining() -> String {
    let chosen = Selector::project().unlike(names::TASK_STATUS, "done|cancelled").except(names::TASK_TYPE, NO_EPICS);
    counted(chosen)
}

/// Mean and spread of what was completed a week, over twelve weeks.
fn weekly_throughput(function: &str) -> String {
    let done = Series::new(names::M_TASK_COMPLETED, Selector::project().except(names::TASK_TYPE, NO_EPICS));
    format!("{function}({}[12w:1w])", done.gained("1w", &[names::PROJECT_ID]))
}

/// How many weeks until what remains is done, by the share `z` (as a normal quantile) of all simulated futures. What a
/// Monte-Carlo draw of weeks comes to when many are drawn: `W` weeks complete `mean·W − z·spread·√W` at least.
fn weeks_left(z: &str) -> String {
    let (mean, spread) = (weekly_throughput("avg_over_time"), weekly_throughput("stddev_over_time"));
    let root = format!("sqrt(({z} * {spread}) ^ 2 + 4 * ({mean} > 0) * scalar({}))", remaining());
    format!("(({z} * {spread} + {root}) / (2 * ({mean} > 0))) ^ 2")
}

const FORECAST_RULE: &str = "When all work that is open now (without epics) will be done if the coming weeks are like the last twelve. \
The chance to be done is 50 % by p50 and 85 % by p85. The dates are the limit of a Monte-Carlo simulation of weeks, computed from the mean \
and the standard deviation of weekly completions. New work is not included.";
/// The quantile of the normal distribution at 85 %.
const P85: &str = "1.0364";
/// The same at 95 %.
const P95: &str = "1.6449";

fn forecast() -> Draft {
    let date = |z: &str| format!("1000 * (time() + 604800 * {})", weeks_left(z));
    stat(7, "All open work done by", 10)
        .rule(FORECAST_RULE)
        .empty("No forecast: nothing was completed in the last twelve weeks")
        .unit("time:YYYY-MM-DD")
        .no_course()
        .ask(moment("A", date("0"), "p50"))
        .ask(moment("B", date(P85), "p85"))
}

fn burndown() -> Draft {
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

fn burnup() -> Draft {
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

fn sprint_table() -> Draft {
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

fn velocity() -> Draft {
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

/// TraceQL: holds when an attribute matches a variable, or when `All` is chosen: an attribute that is not there matches nothing,
/// but the role is always there, and only `.*` matches it.
fn chosen(attribute: &str, variable: &str) -> String {
    format!("(span.{attribute} =~ \"${variable}\" || span.{} =~ \"${variable}\")", names::ROLE)
}

/// TraceQL: an epic that is chosen, or what is below one.
fn of_epics() -> String {
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
const AGE: &str = "age_d";

/// The newest snapshot: every open task that type, assignee and epic let through.
fn snapshot() -> String {
    let conditions = [chosen(names::TASK_TYPE, "type"), chosen(names::TASK_ASSIGNEE, "assignee"), of_epics()];
    format!("{}{} with (most_recent=true)", spans_of("snapshot", &conditions), query::select(&CARD))
}

const BOARD_RULE: &str = "Open tasks of the newest snapshot in Tempo, filtered by type, assignee and epic. A snapshot is sent after \
every change and at least hourly. Epics are not shown. Age: days in this status. The key links to the ticket, the title to its spans. If no \
task of the newest snapshot matches the filters, the panel shows the newest snapshot of the last two hours that has a match.";

fn board() -> Vec<Draft> {
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

fn blockers() -> Draft {
    let by = [names::TASK_ID, names::TASK_TITLE, names::TASK_ASSIGNEE, names::EVENT_REASON, names::TASK_URL];
    let chosen = Selector::project().like(names::TASK_ASSIGNEE, "$assignee");
    let ages = Series::new(names::M_TASK_BLOCKED_AGE, chosen);
    let mut age = coloured(&[("text", None), ("yellow", Some(1.0)), ("red", Some(3.0))]);
    age.extend([unit(DAYS), decimals(1), width(95)]);
    let waiting = [names::TASK_ID, names::TASK_WAITS_FOR, names::TASK_HOLDS_UP];
    let waiting = format!("{}{} with (most_recent=true)", spans_of("snapshot", &[]), query::select(&waiting));
    let key = label(names::TASK_ID);
    table(30, "Blockers", (24, 9))
        .rule(
            "Tasks blocked at the newest export, longest first, filtered by assignee. Blocked by: the unfinished tasks it waits for. \
Holds up: the open tasks that wait for it. Both come from the tool's links, through the newest snapshot in Tempo. What to do depends on \
the age: on the first day ask who can lift it, until the third day raise it in the team, then escalate it (from then on the project \
is red). The key links to the ticket, the title to its spans.",
        )
        .empty("Nothing is blocked. If you expect blocked tasks, see ContextCore Health")
        .ask(rows("A", format!("sort_desc({})", in_days(&ages.newest(&by)))))
        .ask(rows("B", in_days(&ages.newest(&[names::TASK_ID]))))
        .ask(spans("C", waiting, 1))
        .lately(LATELY)
        .then("renameByRegex", json!({"regex": format!("^{}$", names::TASK_ID.replace('.', "[.]")), "renamePattern": key}))
        .joined(&key)
        .having("Value #A")
        .columns(&[
            (key.as_str(), "Task"),
            ("task_title", "Title"),
            ("Value #A", "Blocked for"),
            ("reason", "Reason"),
            (names::TASK_WAITS_FOR, "Blocked by"),
            (names::TASK_HOLDS_UP, "Holds up"),
            ("Value #B", "What to do"),
            ("task_assignee", "Assignee"),
            ("task_url", "Ticket"),
        ])
        .sorted("Blocked for", true)
        .field("Task", vec![to("Ticket", links::ticket("Ticket")), width(125), wrapped()])
        .field("Title", vec![to("Spans", links::task("Task")), at_least(100), wrapped()])
        .field("Blocked for", age)
        .field("Reason", vec![width(125), wrapped()])
        .field("Blocked by", vec![width(140), wrapped()])
        .field("Holds up", vec![width(140), wrapped()])
        .field("What to do", {
            let words = Property { id: "mappings", value: json!(actions()) };
            vec![words, Property { id: "custom.align", value: json!("left") }, width(155)]
        })
        .field("Assignee", vec![width(102)])
        .field("Ticket", hidden())
}

/// What to do about a block, by how many days it has lasted.
fn actions() -> Vec<Value> {
    let one = |place: u32, from: u32, to: Option<u32>, text: &str| json!({"type": "range", "options": {"from": from, "to": to, "result": {"text": text, "index": place}}});
    vec![
        one(0, 0, Some(1), "ask who can lift it"),
        one(1, 1, Some(BLOCKED_TOO_LONG / 86_400), "raise it in the team"),
        one(2, BLOCKED_TOO_LONG / 86_400, None, "escalate it"),
    ]
}

fn waiting() -> Draft {
    table(32, "Waiting for unfinished tasks", (14, 7))
        .rule(
            "Open tasks of any status that link to an unfinished task that blocks them. They may be blocked next. From \
the newest snapshot, filtered by type, assignee and epic.",
        )
        .empty("No open task waits for another one, or there is no snapshot within two hours: see ContextCore Health")
        .lately(LATELY)
        .ask(of_panel("A", SNAPSHOT))
        .having(names::TASK_WAITS_FOR)
        .columns(&[
            (names::TASK_ID, "Task"),
            (names::TASK_TITLE, "Title"),
            (names::TASK_STATUS, "Status"),
            (names::TASK_WAITS_FOR, "Blocked by"),
            (names::TASK_ASSIGNEE, "Assignee"),
            (names::TASK_URL, "Ticket"),
        ])
        .field("Task", vec![to("Ticket", links::ticket("Ticket")), width(125), wrapped()])
        .field("Title", vec![to("Spans", links::task("Task")), at_least(100), wrapped()])
        .field("Status", status_cells())
        .field("Blocked by", vec![width(130)])
        .field("Assignee", vec![width(102)])
        .field("Ticket", hidden())
}

fn pareto() -> Draft {
    let of = Series::new(names::M_TASK_BLOCKED_AGE, Selector::project())
        .highest("$__range", &[names::TASK_ID, names::EVENT_REASON]);
    bar_gauge(31, "Hours blocked, by reason", (10, 7), true)
        .rule("Hours that tasks were blocked in this time range, summed by reason, longest first. Each block counts with its greatest age \
in this time range, on the 6-hour grid of history. A task blocked twice for the same reason counts with the longer block.")
        .empty("Nothing was blocked in this time range")
        .option("namePlacement", json!("top"))
        .unit("suffix:h")
        .decimals(0)
        .zero_based()
        .ask(rows("A", format!("sort_desc(sum by ({}) ({of}) / 3600)", label(names::EVENT_REASON))))
        .columns(&[("reason", "Reason"), ("Value", "Value")])
        .named_by_column("Reason")
}

fn breakdown() -> Draft {
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
fn status_cells() -> Vec<Property> {
    let mut cells = coloured(&[("text", None)]);
    cells.extend([words(&statuses()), width(105)]);
    cells
}

fn epics() -> Draft {
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

/// Numbers of tasks of the chosen types, without epics.
fn of_types(metric: Metric) -> Series {
    let chosen = Selector::project().like(names::TASK_TYPE, "$type").except(names::TASK_TYPE, NO_EPICS);
    Series::new(metric, chosen)
}

fn cumulative_flow() -> Draft {
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

fn cycle_scatter() -> Draft {
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

fn status_time() -> Draft {
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
        .field("Status", vec![words(&statuses())])
}

fn wip_age() -> Draft {
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

fn weekly() -> Draft {
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

fn forecast_table() -> Draft {
    let date = |z: &str| format!("1000 * (time() + 604800 * {})", weeks_left(z));
    let when = || vec![unit("time:YYYY-MM-DD")];
    table(55, "Forecast of the open work", (14, 6))
        .rule(FORECAST_RULE)
        .empty("No forecast: nothing was completed in the last twelve weeks")
        .decimals(1)
        .ask(rows("A", weekly_throughput("avg_over_time")))
        .ask(rows("B", weekly_throughput("stddev_over_time")))
        .ask(rows("C", format!("{} * 0 + scalar({})", weekly_throughput("avg_over_time"), remaining())))
        .ask(rows("D", date("0")))
        .ask(rows("E", date(P85)))
        .ask(rows("F", date(P95)))
        .joined(&label(names::PROJECT_ID))
        .columns(&[
            ("Value #C", "Open tasks"),
            ("Value #A", "Mean week"),
            ("Value #B", "Spread"),
            ("Value #D", "p50"),
            ("Value #E", "p85"),
            ("Value #F", "p95"),
        ])
        .field("Open tasks", vec![decimals(0)])
        .field("p50", when())
        .field("p85", when())
        .field("p95", when())
}

fn flow_efficiency() -> Draft {
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

fn team() -> Draft {
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

fn timeline() -> Draft {
    let merged = states(70, "Epics and stories", (24, 14))
        .rule("Status history of each epic and story, from its phase and completion spans in Tempo. The present status and its start \
come from the newest snapshot. Open and recently changed work is first. Filtered by epic.")
        .empty("No epic or story changed its status in this time range, or Tempo does not serve it yet (up to 10 minutes after a sync)")
        .words(statuses())
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
fn open_epics() -> Draft {
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

fn epic_traces() -> Draft {
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

fn agents() -> Draft {
    let insights = spans_of("insight", &[]);
    table(90, "Agents: decisions, lessons, open questions", (24, 6))
        .rule("Insights that were reported in this time range, as final spans of role `insight`. What became of one since is in the log \
records `insight.updated`, and `contextcore insight query` finds them all.")
        .empty("No insight about this project was reported in this time range")
        .ask(spans("A", insights, 200))
        .columns(&[("Start time", "Time"), ("Name", "Insight"), (TRACE, "Trace")])
        .field("Time", vec![width(174)])
        .field("Trace", panel::trace_cells())
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
