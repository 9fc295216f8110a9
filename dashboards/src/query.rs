//! The parts of PromQL, LogQL and TraceQL that panels and alerts are built from, with names from the registry.
//!
//! Three facts about the data shape them. History is a sample every six hours, so every value is the newest within
//! `$lookback` ([`Series::last`]). A series may come twice for a while (a renamed project, a push and a scrape), so every
//! value is first merged by its own labels ([`Series::by`]). And a series that is no longer exported, such as a task that
//! is no longer blocked, stays visible for `$lookback`: [`Series::newest`] drops it.

use contextcore_model::health::{BEHIND_TOO_FAR, CROWDED, SCOPE_MOVED};
pub(crate) use contextcore_model::health::{BLOCKED_TOO_LONG, TOO_OLD};
use contextcore_model::semconv::exposition_name;
use contextcore_model::semconv::{self as names, Instrument, Metric};

/// How far back the newest value may lie.
pub(crate) const LOOKBACK: &str = "$lookback";

/// The grid of the metrics' history.
const GRID: &str = "6h";

/// An attribute as Prometheus and Loki spell it.
pub(crate) fn label(attribute: &str) -> String {
    attribute.replace('.', "_")
}

/// A metric as Prometheus spells it.
pub(crate) fn prometheus_name(metric: Metric) -> String {
    exposition_name(metric.name, metric.unit, metric.instrument == Instrument::Counter)
}

/// A selector: `{a="x",b=~"y"}` under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector(Vec<String>);

impl Selector {
    /// Everything.
    pub(crate) fn all() -> Self {
        Self::default()
    }

    /// The projects chosen in the portfolio.
    pub(crate) fn projects() -> Self {
        Self::all().like(names::PROJECT_ID, "$project")
    }

    /// The project chosen.
    pub(crate) fn project() -> Self {
        Self::all().equal(names::PROJECT_ID, "$project")
    }

    fn with(mut self, attribute: &str, operator: &str, value: &str) -> Self {
        self.0.push(format!("{}{operator}\"{value}\"", label(attribute)));
        self
    }

    /// Equal to a value.
    pub(crate) fn equal(self, attribute: &str, value: &str) -> Self {
        self.with(attribute, "=", value)
    }

    /// Not equal to a value.
    pub(crate) fn except(self, attribute: &str, value: &str) -> Self {
        self.with(attribute, "!=", value)
    }

    /// Matching a pattern.
    pub(crate) fn like(self, attribute: &str, pattern: &str) -> Self {
        self.with(attribute, "=~", pattern)
    }

    /// Not matching a pattern.
    pub(crate) fn unlike(self, attribute: &str, pattern: &str) -> Self {
        self.with(attribute, "!~", pattern)
    }

    /// The selector itself.
    pub(crate) fn text(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!("{{{}}}", self.0.join(",")) }
    }
}

/// Series of one metric, and how far back their newest value may lie.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    name: String,
    selector: Selector,
    lookback: &'static str,
    /// The step in which the past is searched for a first value.
    grid: &'static str,
}

impl Series {
    /// The series of a metric that a selector selects.
    pub(crate) fn new(metric: Metric, selector: Selector) -> Self {
        Self { name: prometheus_name(metric), selector, lookback: LOOKBACK, grid: GRID }
    }

    /// The buckets, count or sum of a histogram: `_bucket`, `_count`, `_sum`. They are many, so that their first values are
    /// looked for by the day.
    pub(crate) fn part(metric: Metric, part: &str, selector: Selector) -> Self {
        let name = format!("{}{part}", prometheus_name(metric));
        Self { name, selector, lookback: LOOKBACK, grid: "1d" }
    }

    /// The same with a fixed lookback, for rules, which have no variables.
    pub(crate) fn within(self, lookback: &'static str) -> Self {
        Self { lookback, ..self }
    }

    fn plain(&self) -> String {
        format!("{}{}", self.name, self.selector.text())
    }

    /// The newest value of each series.
    pub(crate) fn last(&self) -> String {
        format!("last_over_time({}[{}])", self.plain(), self.lookback)
    }

    /// The newest value by these labels.
    pub(crate) fn by(&self, labels: &[&str]) -> String {
        format!("max by ({}) ({})", list(labels), self.last())
    }

    /// The newest value some time ago, by these labels.
    pub(crate) fn before(&self, ago: &str, labels: &[&str]) -> String {
        format!("max by ({}) (last_over_time({}[{}] offset {ago}))", list(labels), self.plain(), self.lookback)
    }

    /// The newest value a project.
    pub(crate) fn by_project(&self) -> String {
        self.by(&[names::PROJECT_ID])
    }

    /// The sum over everything of the newest values by these labels.
    pub(crate) fn sum(&self, labels: &[&str]) -> String {
        format!("sum({})", self.by(labels))
    }

    /// As [`Series::by`], but only series exported together with their project's newest values. Every export of a project
    /// includes `task.wip`, so its timestamp is the time of the newest export.
    pub(crate) fn newest(&self, labels: &[&str]) -> String {
        // The first half serves a service that exports every minute. The second half looks back when nothing was exported for
        // five minutes; in steps of five minutes it costs a fifth of looking at every minute.
        let moment =
            |plain: &str| format!("(timestamp({plain}) or max_over_time(timestamp({plain})[{}:5m]))", self.lookback);
        let wip = format!("{}{}", prometheus_name(names::M_TASK_WIP), self.scope());
        let project = label(names::PROJECT_ID);
        format!(
            "max by ({}) ({} and ({} == on ({project}) group_left () max by ({project}) ({})))",
            list(labels),
            self.last(),
            moment(&self.plain()),
            moment(&wip),
        )
    }

    /// The part of the selector that says which projects.
    fn scope(&self) -> String {
        let project = label(names::PROJECT_ID);
        let scope = self.selector.0.iter().filter(|condition| condition.starts_with(&project)).cloned();
        Selector(scope.collect()).text()
    }

    /// By how much counters grew in a window, by these labels. Where a counter is younger than the window, since its first value.
    pub(crate) fn gained(&self, window: &str, labels: &[&str]) -> String {
        let (plain, by, last) = (self.plain(), list(labels), self.last());
        let before = format!("last_over_time({plain}[{}] offset {window})", self.lookback);
        format!("sum by ({by}) ({last} - ({before} or {}))", self.first(window))
    }

    /// Where a counter begins within a window. Histories are looked through by their grid, which stays cheap however often the
    /// present is exported. The counters about contextcore itself have no history and begin at zero.
    fn first(&self, window: &str) -> String {
        match self.name.starts_with("contextcore_") {
            true => format!("0 * {}", self.last()),
            false => format!("min_over_time({}[{window}:{}])", self.plain(), self.grid),
        }
    }

    /// The same in the window before: the one that began two windows ago, in days.
    pub(crate) fn gained_before(&self, days: u32, labels: &[&str]) -> String {
        let (plain, by, lookback) = (self.plain(), list(labels), self.lookback);
        let at = |offset: u32| format!("last_over_time({plain}[{lookback}] offset {offset}d)");
        let first = format!("min_over_time({plain}[{days}d:{}] offset {days}d)", self.grid);
        format!("sum by ({by}) ({} - ({} or {first}))", at(days), at(2 * days))
    }

    /// The highest value in a window, by these labels.
    pub(crate) fn highest(&self, window: &str, labels: &[&str]) -> String {
        format!("max by ({}) (max_over_time({}[{window}]))", list(labels), self.plain())
    }

    /// The mean over four weeks, a value a grid step: what is pushed every minute would outweigh all history.
    pub(crate) fn four_week_mean(&self) -> String {
        let project = label(names::PROJECT_ID);
        format!("max by ({project}) (avg_over_time({}[28d:{GRID}]))", self.plain())
    }
}

/// `a, b`, as Prometheus spells attributes.
fn list(labels: &[&str]) -> String {
    labels.iter().map(|attribute| label(attribute)).collect::<Vec<_>>().join(", ")
}

/// A quantile of what a histogram gained in a window, by these labels.
pub(crate) fn quantile(quantile: &str, metric: Metric, selector: Selector, window: &str, labels: &[&str]) -> String {
    let mut by = labels.to_vec();
    by.push("le");
    format!("histogram_quantile({quantile}, {})", Series::part(metric, "_bucket", selector).gained(window, &by))
}

/// The same in the window before.
pub(crate) fn quantile_before(
    quantile: &str,
    metric: Metric,
    selector: Selector,
    days: u32,
    labels: &[&str],
) -> String {
    let mut by = labels.to_vec();
    by.push("le");
    format!("histogram_quantile({quantile}, {})", Series::part(metric, "_bucket", selector).gained_before(days, &by))
}

/// The numbers that decide a project's health, in one place so that matrix, counts and alerts agree.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    selector: Selector,
    lookback: &'static str,
    over_time: bool,
}

/// A backend that has accepted nothing for this many seconds has stalled, and so has a change that waits as long.
pub(crate) const EXPORT_STALLED: u32 = 900;

/// The rule as text; every panel that shows health has it in its description.
pub(crate) const HEALTH_RULE: &str = "Red: a task is blocked for over 3 days, a running sprint is behind its ideal line by over \
25 % of its scope, or the data is older than 1 h. Yellow: a task is blocked, the scope of a running sprint changed by over 20 % of the \
commitment, or work in progress is over 1.5 times its 4-week mean. Green: none of these.";

impl Health {
    /// Of the projects a selector selects.
    pub(crate) fn of(selector: Selector) -> Self {
        Self { selector, lookback: LOOKBACK, over_time: false }
    }

    /// For a course over time: a lifted block may count for `$lookback` longer, but the query costs a fraction.
    pub(crate) fn over_time(self) -> Self {
        Self { over_time: true, ..self }
    }

    /// With a fixed lookback, for rules, which have no variables.
    pub(crate) fn within(self, lookback: &'static str) -> Self {
        Self { lookback, ..self }
    }

    fn series(&self, metric: Metric) -> Series {
        Series::new(metric, self.selector.clone()).within(self.lookback)
    }

    /// How long the oldest blocked task has been blocked.
    pub(crate) fn oldest_block(&self) -> String {
        let ages = self.series(names::M_TASK_BLOCKED_AGE);
        if self.over_time { ages.by_project() } else { ages.newest(&[names::PROJECT_ID]) }
    }

    /// Tasks blocked.
    pub(crate) fn blocked(&self) -> String {
        self.series(names::M_TASK_BLOCKED).by_project()
    }

    /// Work in progress as a multiple of its mean.
    pub(crate) fn crowding(&self) -> String {
        let wip = self.series(names::M_TASK_WIP);
        format!("{} / ({} > 0)", wip.by_project(), wip.four_week_mean())
    }

    /// How long ago the least fresh of a project's sources was read.
    pub(crate) fn data_age(&self) -> String {
        let last_success = self.series(names::M_PROJECT_LAST_SUCCESS).by(&[names::PROJECT_ID, names::SOURCE_NAME]);
        format!("time() - min by ({}) ({last_success})", label(names::PROJECT_ID))
    }

    /// How far running sprints are behind their ideal line, as a share of their scope: the worst of a project.
    pub(crate) fn behind(&self) -> String {
        let of = |metric| self.series(metric).by(&SPRINT);
        let behind = format!(
            "({} - {}) / ({} > 0)",
            of(names::M_SPRINT_REMAINING),
            of(names::M_SPRINT_IDEAL),
            of(names::M_SPRINT_SCOPE)
        );
        format!("max by ({}) ({})", label(names::PROJECT_ID), running(&behind, &self.selector, self.lookback))
    }

    /// Points added and removed in running sprints, as a share of the commitment: the worst of a project.
    pub(crate) fn scope_change(&self) -> String {
        let of = |metric| self.series(metric).by(&SPRINT);
        let change = format!(
            "({} + {}) / ({} > 0)",
            of(names::M_SPRINT_ADDED),
            of(names::M_SPRINT_REMOVED),
            of(names::M_SPRINT_PLANNED)
        );
        format!("max by ({}) ({})", label(names::PROJECT_ID), running(&change, &self.selector, self.lookback))
    }

    /// 0 green, 1 yellow, 2 red, a project.
    pub(crate) fn score(&self) -> String {
        let rules = [
            ("blocked_long", format!("2 * ({} > bool {BLOCKED_TOO_LONG})", self.oldest_block())),
            ("sprint_behind", format!("2 * ({} > bool {BEHIND_TOO_FAR})", self.behind())),
            ("data_old", format!("2 * ({} > bool {TOO_OLD})", self.data_age())),
            ("blocked", format!("({} > bool 0)", self.blocked())),
            ("scope_changed", format!("({} > bool {SCOPE_MOVED})", self.scope_change())),
            ("wip_high", format!("({} > bool {CROWDED})", self.crowding())),
            ("known", format!("0 * {}", self.series(names::M_TASK_WIP).by_project())),
        ];
        let rules: Vec<String> = rules
            .iter()
            .map(|(rule, value)| format!("label_replace({value}, \"rule\", \"{rule}\", \"\", \"\")"))
            .collect();
        format!("max by ({}) ({})", label(names::PROJECT_ID), rules.join(" or "))
    }
}

/// The labels that identify a sprint. The source is there only where two sources of a project give the same id: without it their
/// sprints would be mixed.
pub(crate) const SPRINT: [&str; 3] = [names::PROJECT_ID, names::SPRINT_ID, names::SOURCE_NAME];
/// The same with the name for people.
pub(crate) const SPRINT_NAMED: [&str; 4] =
    [names::PROJECT_ID, names::SPRINT_ID, names::SOURCE_NAME, names::SPRINT_NAME];

/// Only running sprints: a velocity is exported only for closed sprints.
pub(crate) fn running(expression: &str, selector: &Selector, lookback: &'static str) -> String {
    let closed = Series::new(names::M_SPRINT_VELOCITY, selector.clone()).within(lookback);
    let on = SPRINT.map(label).join(", ");
    format!("({expression}) unless on ({on}) {}", closed.last())
}

/// A TraceQL condition on a span's attribute.
pub(crate) fn span(attribute: &str, operator: &str, value: &str) -> String {
    format!("span.{attribute} {operator} {value}")
}

/// Text in quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// TraceQL: spans of a role in the project chosen that hold everything else.
pub(crate) fn spans_of(role: &str, conditions: &[String]) -> String {
    in_project(span(names::ROLE, "=", &quoted(role)), conditions)
}

/// The same of spans that meet one of several conditions.
pub(crate) fn spans_of_any(any: &[String], conditions: &[String]) -> String {
    in_project(format!("({})", any.join(" || ")), conditions)
}

/// The same of several roles, as a pattern.
pub(crate) fn spans_matching(roles: &str, conditions: &[String]) -> String {
    in_project(span(names::ROLE, "=~", &quoted(roles)), conditions)
}

fn in_project(role: String, conditions: &[String]) -> String {
    let mut all = vec![format!("resource.{} = \"$project\"", names::PROJECT_ID), role];
    all.extend_from_slice(conditions);
    format!("{{ {} }}", all.join(" && "))
}

/// ` | select(…)` of spans' attributes.
pub(crate) fn select(attributes: &[&str]) -> String {
    let all: Vec<String> = attributes.iter().map(|attribute| format!("span.{attribute}")).collect();
    format!(" | select({})", all.join(", "))
}

/// LogQL: the events of a selector, of these names.
pub(crate) fn events(selector: &Selector, of: &[&str]) -> String {
    let stream = selector.text();
    if of.is_empty() {
        return stream;
    }
    let names = of.iter().map(|name| name.replace('.', "[.]")).collect::<Vec<_>>().join("|");
    format!("{stream} | {}=~\"{names}\"", label(names::EVENT_NAME))
}

/// The time of an event, and its line, as labels.
pub(crate) const EVENT_AT: &str = "at";
pub(crate) const EVENT_LINE: &str = "line";

/// LogQL: the time and the line of each event as labels too, so that a table has them and an empty answer has no column.
pub(crate) fn with_line(stream: &str) -> String {
    format!(
        "{stream} | label_format {EVENT_AT}=`{{{{ __timestamp__ | date \"2006-01-02T15:04:05.000Z07:00\" }}}}`, \
         {EVENT_LINE}=`{{{{ __line__ }}}}`"
    )
}

/// PromQL: adds the name of its project to every series of an expression, and its id where the name is not known. `projects` says
/// which projects to look among.
pub(crate) fn named(expression: &str, projects: Selector) -> String {
    let (id, name) = (label(names::PROJECT_ID), label(names::PROJECT_NAME));
    let info = Series::new(names::M_PROJECT_INFO, projects).newest(&[names::PROJECT_ID, names::PROJECT_NAME]);
    format!(
        "({expression}) * on ({id}) group_left ({name}) {info} or \
         label_join(({expression}) unless on ({id}) {info}, \"{name}\", \"\", \"{id}\")"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_read_as_prometheus_spells_them() {
        let blocked = Series::new(names::M_TASK_BLOCKED_AGE, Selector::project());
        assert_eq!(
            blocked.by_project(),
            "max by (project_id) (last_over_time(task_blocked_age_seconds{project_id=\"$project\"}[$lookback]))"
        );
        let created = Series::new(names::M_TASK_CREATED, Selector::all());
        assert!(created.gained("1w", &[]).starts_with("sum by () (last_over_time(task_created_total[$lookback]) - ("));
    }

    #[test]
    fn the_newest_export_is_searched_in_the_same_projects() {
        let selector = Selector::projects().equal(names::TASK_ID, "A-1");
        let text = Series::new(names::M_TASK_INFO, selector).newest(&[names::TASK_ID]);
        assert!(text.contains("timestamp(task_wip{project_id=~\"$project\"})"), "{text}");
    }
}
