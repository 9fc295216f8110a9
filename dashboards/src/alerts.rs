//! The alert rules: one list, written in two forms: a rule file for Prometheus and rules that Grafana manages itself.
//!
//! Read [`rules`]. A rule is an expression, a threshold and texts. Both forms are generated from it, so they cannot differ. The
//! rule file is tested with made-up series by `promtool test rules` (`dashboards/alerts/contextcore.rules.test.yaml`).

mod grafana;

use contextcore_model::semconv::{self as names, Metric};
use serde_json::Value;

use crate::links;
use crate::query::{
    BLOCKED_TOO_LONG, EXPORT_STALLED, Health, SPRINT, SPRINT_NAMED, Selector, Series, TOO_OLD, label, running,
};

pub use grafana::{OWN_ADDRESS, Place, grafana_file};

/// How far back a value may lie: the grid of history.
const LOOKBACK: &str = "6h";
/// The group of all rules, and what Grafana calls it.
pub const GROUP: &str = "contextcore";
/// How often the rules are evaluated, in seconds.
pub const INTERVAL: u32 = 60;

/// The rule with a runbook of its own.
const MISSING: &str = "ContextCoreTasksMissing";

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Somebody should act now.
    Critical,
    /// Somebody should look.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// As the label `severity` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// On which side of the threshold it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Above.
    Above,
    /// Below.
    Below,
}

/// An alert rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Its uid in Grafana.
    pub uid: &'static str,
    /// The value it watches, in PromQL.
    pub expression: String,
    /// On which side of the threshold it fires.
    pub side: Side,
    /// The threshold.
    pub threshold: f64,
    /// For how long before it fires.
    pub lasting: &'static str,
    /// How loud it is.
    pub severity: Severity,
    /// Whether it is about a project, and carries its owner and criticality.
    pub of_project: bool,
    /// One line.
    pub summary: &'static str,
    /// What it means, and what to do first.
    pub description: &'static str,
    /// The dashboard, and the panel in it, that shows more.
    pub panel: (&'static str, u32),
}

fn series(metric: Metric) -> Series {
    Series::new(metric, Selector::all()).within(LOOKBACK)
}

/// Adds the owner, the criticality and the name of its project to every series of an expression.
fn with_project(expression: &str) -> String {
    let about = [names::PROJECT_ID, names::PROJECT_NAME, names::BUSINESS_OWNER, names::BUSINESS_CRITICALITY];
    let brought = about[1..].iter().map(|attribute| label(attribute)).collect::<Vec<_>>().join(", ");
    let info = series(names::M_PROJECT_INFO).newest(&about);
    format!("({expression}) * on ({}) group_left ({brought}) {info}", label(names::PROJECT_ID))
}

/// All rules: those about projects, the most urgent first, then those about contextcore itself.
pub fn rules() -> Vec<Rule> {
    vec![
        task_blocked(),
        task_newly_blocked(),
        sprint_behind(),
        scope_changed(),
        project_quiet(),
        tasks_overdue(),
        question_open(),
        source_failing(),
        data_old(),
        tasks_missing(),
        journal_growing(),
        export_stalled(),
    ]
}

fn blocked_ages() -> String {
    let by = [names::PROJECT_ID, names::TASK_ID, names::TASK_TITLE, names::TASK_ASSIGNEE, names::EVENT_REASON];
    with_project(&series(names::M_TASK_BLOCKED_AGE).newest(&by))
}

fn task_blocked() -> Rule {
    Rule {
        name: "ContextCoreTaskBlockedTooLong",
        title: "Task blocked for over 3 days",
        uid: "contextcore-task-blocked",
        expression: blocked_ages(),
        side: Side::Above,
        threshold: f64::from(BLOCKED_TOO_LONG),
        lasting: "0s",
        severity: Severity::Critical,
        of_project: true,
        summary: "{{ $labels.task_id }} has been blocked for over 3 days: {{ $labels.reason }}",
        description: "{{ $labels.task_title }} ({{ $labels.task_assignee }}). Escalate it: the project is red from now on.",
        panel: (links::PROJECT, 30),
    }
}

fn task_newly_blocked() -> Rule {
    Rule {
        name: "ContextCoreTaskBlocked",
        title: "Task newly blocked",
        uid: "contextcore-task-newly-blocked",
        expression: blocked_ages(),
        side: Side::Below,
        threshold: 3_600.0,
        lasting: "0s",
        severity: Severity::Info,
        of_project: true,
        summary: "{{ $labels.task_id }} is blocked: {{ $labels.reason }}",
        description: "{{ $labels.task_title }} ({{ $labels.task_assignee }}) was blocked within the last hour.",
        panel: (links::PROJECT, 30),
    }
}

/// Running sprints of which half or less of the ideal line is left, and how far behind it they are.
fn sprint_behind() -> Rule {
    let of = |metric| series(metric).by(&SPRINT_NAMED);
    let on = SPRINT.map(label).join(", ");
    let (remaining, ideal, scope, planned) = (
        of(names::M_SPRINT_REMAINING),
        of(names::M_SPRINT_IDEAL),
        of(names::M_SPRINT_SCOPE),
        of(names::M_SPRINT_PLANNED),
    );
    let behind = format!("({remaining} - {ideal}) / ({scope} > 0) and on ({on}) {ideal} <= 0.5 * {planned}");
    Rule {
        name: "ContextCoreSprintBehind",
        title: "Sprint behind past half time",
        uid: "contextcore-sprint-behind",
        expression: with_project(&running(&behind, &Selector::all(), LOOKBACK)),
        side: Side::Above,
        threshold: 0.25,
        lasting: "30m",
        severity: Severity::Warning,
        of_project: true,
        summary: "{{ $labels.sprint_name }} is behind its ideal line by over 25 % of its scope, past half time",
        description: "Check the burndown: was work added, or is work not finishing? Agree on what to leave out.",
        panel: (links::PROJECT, 10),
    }
}

fn scope_changed() -> Rule {
    Rule {
        name: "ContextCoreScopeChanged",
        title: "Scope of a running sprint changed",
        uid: "contextcore-scope-changed",
        expression: with_project(&Health::of(Selector::all()).within(LOOKBACK).scope_change()),
        side: Side::Above,
        threshold: 0.25,
        lasting: "0s",
        severity: Severity::Warning,
        of_project: true,
        summary: "Over 25 % of the committed points were added or removed in a running sprint of {{ $labels.project_name }}",
        description: "The burndown marks each addition and removal and who made it.",
        panel: (links::PROJECT, 10),
    }
}

/// What happened in seven days, of projects that have work in progress: tasks created, and statuses left. A project that was not
/// there seven days ago is new: its counters begin with what was created first, and have not moved since.
fn project_quiet() -> Rule {
    let by = [names::PROJECT_ID];
    let created = series(names::M_TASK_CREATED).gained("1w", &by);
    let left = Series::part(names::M_TASK_STATUS_TIME, "_count", Selector::all()).within(LOOKBACK).gained("1w", &by);
    let wip = series(names::M_TASK_WIP).by(&by);
    let then = series(names::M_TASK_WIP).before("1w", &by);
    let on = format!("and on ({})", label(by[0]));
    let happened = format!("(({created} + {left}) or {created} or 0 * {wip}) {on} {wip} > 0 {on} {then}");
    Rule {
        name: "ContextCoreProjectQuiet",
        title: "No activity in a project for 7 days",
        uid: "contextcore-project-quiet",
        expression: with_project(&happened),
        side: Side::Below,
        threshold: 1.0,
        lasting: "1h",
        severity: Severity::Warning,
        of_project: true,
        summary: "No task was created or moved in {{ $labels.project_name }} for 7 days, although work is in progress",
        description: "Check whether the project is paused or its tasks are not kept up to date.",
        panel: (links::PROJECT, 80),
    }
}

fn tasks_overdue() -> Rule {
    Rule {
        name: "ContextCoreTasksOverdue",
        title: "Open tasks past their due date",
        uid: "contextcore-tasks-overdue",
        expression: with_project(&series(names::M_TASK_OVERDUE).by(&[names::PROJECT_ID])),
        side: Side::Above,
        threshold: 0.0,
        lasting: "0s",
        severity: Severity::Warning,
        of_project: true,
        summary: "{{ $value }} open tasks of {{ $labels.project_name }} are past their due date",
        description: "`contextcore tasks --status open --project {{ $labels.project_id }} --output json` lists them with their due dates.",
        panel: (links::PROJECT, 40),
    }
}

/// How long the oldest question that a task waits for has had no answer of a person. Projects that only agents report to have no
/// `project.info`, so nothing is joined.
fn question_open() -> Rule {
    let ages = Series::new(names::M_QUESTION_AGE, Selector::all().equal(names::BLOCKING, "true")).within(LOOKBACK);
    Rule {
        name: "ContextCoreQuestionOpen",
        title: "Blocking question open for 4 hours",
        uid: "contextcore-question-open",
        expression: ages.by(&[names::PROJECT_ID]),
        side: Side::Above,
        threshold: 4.0 * 3_600.0,
        lasting: "0s",
        severity: Severity::Warning,
        of_project: true,
        summary: "A question that a task of {{ $labels.project_id }} waits for has been open for over 4 hours",
        description: "`contextcore questions --project {{ $labels.project_id }}` lists it; `contextcore answer ID TEXT` answers it.",
        panel: (links::PROJECT, 90),
    }
}

/// Failures within the hour of sources without a successful run in it.
fn source_failing() -> Rule {
    let by = [names::SOURCE_NAME];
    let failed = series(names::M_SYNC_ERRORS).gained("1h", &by);
    let good = crate::query::prometheus_name(names::M_SYNC_LAST_SUCCESS);
    let source = label(by[0]);
    Rule {
        name: "ContextCoreSourceFailing",
        title: "Source failing for 3 runs",
        uid: "contextcore-source-failing",
        expression: format!("{failed} unless on ({source}) max by ({source}) (changes({good}[1h])) > 0"),
        side: Side::Above,
        threshold: 2.0,
        lasting: "0s",
        severity: Severity::Critical,
        of_project: false,
        summary: "{{ $labels.source_name }} failed {{ $value }} times within the last hour, and no run succeeded",
        description: "`contextcore status` shows the error. `contextcore check {{ $labels.source_name }}` shows how to fix it.",
        panel: (links::HEALTH, 22),
    }
}

fn data_old() -> Rule {
    let last_success = series(names::M_SYNC_LAST_SUCCESS).by(&[names::SOURCE_NAME]);
    Rule {
        name: "ContextCoreDataOld",
        title: "Data older than an hour",
        uid: "contextcore-data-old",
        expression: format!("time() - {last_success}"),
        side: Side::Above,
        threshold: f64::from(TOO_OLD),
        lasting: "5m",
        severity: Severity::Warning,
        of_project: false,
        summary: "{{ $labels.source_name }} was last read over an hour ago",
        description: "Check that contextcore is running. `contextcore status` shows the last error and when the source is read next.",
        panel: (links::HEALTH, 21),
    }
}

fn tasks_missing() -> Rule {
    Rule {
        name: MISSING,
        title: "Tasks that the tool lists are missing",
        uid: "contextcore-tasks-missing",
        expression: series(names::M_SYNC_MISSING).by(&[names::SOURCE_NAME]),
        side: Side::Above,
        threshold: 0.0,
        lasting: "0s",
        severity: Severity::Critical,
        of_project: false,
        summary: "{{ $value }} tasks that {{ $labels.source_name }} lists are missing",
        description: "The numbers of this source are too low. Run `contextcore sync --full {{ $labels.source_name }}`; if the tasks stay \
missing, `contextcore check {{ $labels.source_name }}` shows what the token cannot see. More is in docs/OPERATIONS.md.",
        panel: (links::HEALTH, 17),
    }
}

/// How much an export backlog grew within half an hour, if it was never empty in that time.
fn journal_growing() -> Rule {
    let by = [names::SOURCE_NAME, names::SIGNAL].map(label).join(", ");
    let backlog = crate::query::prometheus_name(names::M_JOURNAL_BACKLOG);
    let grew = format!(
        "max by ({by}) ({backlog}) - max by ({by}) ({backlog} offset 30m) and max by ({by}) (min_over_time({backlog}[30m])) > 0"
    );
    Rule {
        name: "ContextCoreJournalGrowing",
        title: "Export backlog growing for 30 minutes",
        uid: "contextcore-journal-growing",
        expression: grew,
        side: Side::Above,
        threshold: 0.0,
        lasting: "0s",
        severity: Severity::Critical,
        of_project: false,
        summary: "The export backlog of {{ $labels.signal }} has been growing for 30 minutes",
        description: "Nothing is lost: the changes wait in the journal. Check that the backend is up: `contextcore check` tests it.",
        panel: (links::HEALTH, 30),
    }
}

/// For how long a backend has accepted nothing, or a change has waited for it.
fn export_stalled() -> Rule {
    let of = |metric| series(metric).by(&[names::SIGNAL]);
    let (failing, lag) = (of(names::M_EXPORT_FAILING), of(names::M_EXPORT_LAG));
    Rule {
        name: "ContextCoreExportStalled",
        title: "Export stalled for 15 minutes",
        uid: "contextcore-export-stalled",
        expression: format!("{failing} > {lag} or {lag} or {failing}"),
        side: Side::Above,
        threshold: f64::from(EXPORT_STALLED),
        lasting: "0s",
        severity: Severity::Critical,
        of_project: false,
        summary: "No {{ $labels.signal }} were exported for over 15 minutes",
        description: "Nothing is lost: the changes wait in the journal. `/readyz` has the backend's last answer, and `contextcore check` tests it.",
        panel: (links::HEALTH, 32),
    }
}

impl Rule {
    /// `expression > threshold`.
    pub fn promql(&self) -> String {
        let operator = if self.side == Side::Above { '>' } else { '<' };
        format!("({}) {operator} {}", self.expression, self.threshold)
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        let mut labels = vec![("severity", self.severity.as_str().to_owned())];
        // A label without a value is none; Grafana would write "[no value]" into it.
        let of = |label: &str| format!("{{{{ with $labels.{label} }}}}{{{{ . }}}}{{{{ end }}}}");
        if self.of_project {
            labels.extend([
                ("project", of("project_id")),
                ("owner", of("business_owner")),
                ("criticality", of("business_criticality")),
            ]);
        }
        labels
    }

    /// `grafana` is the address of the Grafana with the dashboards, with a slash at its end; nothing where it is not known.
    fn annotations(&self, grafana: &str) -> Vec<(&'static str, String)> {
        let (uid, panel) = self.panel;
        let variable = if self.of_project { "{{ with $labels.project_id }}&var-project={{ . }}{{ end }}" } else { "" };
        vec![
            ("summary", with_fallbacks(self.summary)),
            ("description", with_fallbacks(self.description)),
            ("dashboard", format!("{grafana}d/{uid}?viewPanel={panel}{variable}")),
        ]
    }

    /// What to do, in the documentation.
    fn runbook(&self) -> String {
        match self.name {
            MISSING => "docs/OPERATIONS.md#tasks-that-the-tool-lists-are-missing".to_owned(),
            name => format!("docs/ALERTS.md#{}", name.to_lowercase()),
        }
    }
}

/// What stands where an alert has no such label: a task may have no assignee, and an alert about an error has none at all.
const FALLBACKS: [(&str, &str); 9] = [
    ("task_id", "a task"),
    ("task_title", "no title"),
    ("task_assignee", "nobody"),
    ("reason", "no reason given"),
    ("project_id", "PROJECT"),
    ("project_name", "a project"),
    ("sprint_name", "a sprint"),
    ("source_name", "a source"),
    ("signal", "a signal"),
];

/// A text in which every label that it names may be missing.
fn with_fallbacks(template: &str) -> String {
    FALLBACKS.iter().fold(template.to_owned(), |text, (label, fallback)| {
        let place = format!("{{{{ $labels.{label} }}}}");
        text.replace(&place, &format!("{{{{ with $labels.{label} }}}}{{{{ . }}}}{{{{ else }}}}{fallback}{{{{ end }}}}"))
    })
}

/// What to do about each alert, in Markdown.
pub(crate) fn runbooks() -> String {
    let of = |rule: &Rule| format!("**{}** ({}): {}\n\n", rule.title, rule.severity.as_str(), plain(rule.description));
    rules().iter().map(of).collect()
}

/// A text with words for the places that an alert fills in, e.g. `TASK_TITLE`. Angle brackets would be taken for HTML.
pub(crate) fn plain(template: &str) -> String {
    let mut parts = template.split("{{ $labels.");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| match part.split_once(" }}") {
        Some((label, rest)) => text + &label.to_uppercase() + rest,
        None => text + part,
    })
}

/// The rule file of Prometheus (and of Mimir's ruler).
pub fn prometheus_rules() -> String {
    let mut text = format!(
        "# Alert rules of ContextCore, generated by `UPDATE_DASHBOARDS=1 cargo test -p contextcore-dashboards`.\n\
         # In prometheus.yml:  rule_files: [contextcore.rules.yaml]\n\
         groups:\n  - name: {GROUP}\n    interval: {INTERVAL}s\n    rules:\n"
    );
    for rule in rules() {
        text.push_str(&format!("      - alert: {}\n        expr: >-\n          {}\n", rule.name, rule.promql()));
        text.push_str(&format!("        for: {}\n        labels:\n", rule.lasting));
        text.extend(rule.labels().iter().map(|(name, value)| line(name, value)));
        text.push_str("        annotations:\n");
        let mut annotations = rule.annotations("/");
        // Prometheus knows no Grafana; its own page of the alert has the description, which says what to do.
        annotations.push(("runbook_url", format!("{{{{ $externalURL }}}}/alerts?search={}", rule.name)));
        annotations.push(("runbook", rule.runbook()));
        text.extend(annotations.iter().map(|(name, value)| line(name, value)));
    }
    text
}

/// A JSON string is also a YAML string.
fn line(name: &str, value: &str) -> String {
    format!("          {name}: {}\n", Value::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_fit_grafana_and_occur_once() {
        let uids: std::collections::BTreeSet<_> = rules().iter().map(|rule| rule.uid).collect();
        assert_eq!(uids.len(), rules().len());
        assert!(uids.iter().all(|uid| uid.len() <= 40));
    }

    #[test]
    fn texts_are_readable_without_any_label_and_links_lead_somewhere() {
        let place = Place {
            folder: "f".to_owned(),
            prometheus: "p".to_owned(),
            grafana: "https://grafana.example/".to_owned(),
        };
        for rule in rules() {
            let grafana = rule.grafana(&place);
            let annotations = &grafana["annotations"];
            for name in ["summary", "description"] {
                let text = annotations[name].as_str().unwrap();
                assert!(!text.contains("{{ $"), "{}: {text}", rule.name);
            }
            assert!(!grafana["labels"].to_string().contains("{{ $labels"), "{}", rule.name);
            for name in ["runbook_url", "dashboard"] {
                assert!(annotations[name].as_str().unwrap().starts_with("https://grafana.example/d/"), "{annotations}");
            }
        }
        assert!(
            prometheus_rules().matches("runbook_url: \"{{ $externalURL }}/alerts?search=").count() == rules().len()
        );
    }

    #[test]
    fn runbooks_are_in_the_health_dashboard() {
        let (_, health) = &crate::dashboards()[2];
        let panel = health.all_panels().find(|panel| panel.id == links::RUNBOOKS).unwrap();
        let text = panel.options["content"].as_str().unwrap();
        assert!(rules().iter().all(|rule| text.contains(rule.title)), "{text}");
    }

    #[test]
    fn runbooks_are_headings_of_the_documentation() {
        for rule in rules() {
            let (file, anchor) =
                rule.runbook().split_once('#').map(|(file, anchor)| (file.to_owned(), anchor.to_owned())).unwrap();
            let text = std::fs::read_to_string(format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
            let headings = text.lines().filter(|line| line.starts_with('#'));
            let mut anchors = headings.map(|line| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-"));
            assert!(anchors.any(|heading| heading == anchor), "{file} has no {anchor}");
        }
    }

    #[test]
    fn rules_point_to_panels_that_exist() {
        for rule in rules() {
            let (uid, panel) = rule.panel;
            let dashboards = crate::dashboards();
            let (_, dashboard) = dashboards.iter().find(|(_, dashboard)| dashboard.uid == uid).unwrap();
            assert!(dashboard.all_panels().any(|other| other.id == panel), "{}", rule.name);
        }
    }
}
