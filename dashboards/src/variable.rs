//! The variables of the dashboards: which data sources to query, which projects to show, and how old a value may be.

use contextcore_model::semconv as names;
use serde_json::{Value, json};

use crate::model::{DataSource, PROMETHEUS, Variable, choice};
use crate::query::{Selector, Series, label, prometheus_name};

/// What `All` stands for where it is a pattern.
const ANYTHING: &str = ".*";

fn variable(name: &'static str, label: &'static str, kind: &'static str, query: Value) -> Variable {
    Variable {
        name,
        label,
        description: "",
        kind,
        datasource: None,
        query,
        definition: String::new(),
        regex: String::new(),
        refresh: 2,
        sort: 1,
        multi: false,
        include_all: false,
        all_value: None,
        current: json!({}),
        options: Vec::new(),
        hide: 0,
        skip_url_sync: false,
    }
}

/// Which data source of a kind.
fn data_source(name: &'static str, label: &'static str) -> Variable {
    let description = "Data source to query";
    Variable { description, refresh: 1, ..variable(name, label, "datasource", json!(name)) }
}

/// The three data sources.
pub(crate) fn data_sources() -> Vec<Variable> {
    vec![data_source("prometheus", "Prometheus"), data_source("tempo", "Tempo"), data_source("loki", "Loki")]
}

/// How Grafana numbers the kinds of Prometheus variable queries.
const LABEL_VALUES: u8 = 1;
const QUERY_RESULT: u8 = 3;

fn prometheus(name: &'static str, label: &'static str, kind: u8, query: String) -> Variable {
    let object = json!({"qryType": kind, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"});
    let datasource: Option<DataSource> = Some(PROMETHEUS);
    Variable { datasource, definition: query, ..variable(name, label, "query", object) }
}

/// Any of what a query gives, several at once, `All` at first.
fn any(variable: Variable) -> Variable {
    let current = json!({"text": ["All"], "value": ["$__all"], "selected": true});
    Variable { multi: true, include_all: true, current, ..variable }
}

/// The values of a label of a metric; `All` also stands for having none.
fn label_of(name: &'static str, title: &'static str, series: &str, attribute: &str) -> Variable {
    let query = format!("label_values({series}, {})", label(attribute));
    any(Variable { all_value: Some(ANYTHING), ..prometheus(name, title, LABEL_VALUES, query) })
}

pub(crate) fn owner() -> Variable {
    let description = "Owners from `projects:` in the configuration, or the projects file";
    Variable {
        description,
        ..label_of("owner", "Owner", &prometheus_name(names::M_PROJECT_INFO), names::BUSINESS_OWNER)
    }
}

pub(crate) fn criticality() -> Variable {
    let description = "Criticalities from `projects:` in the configuration, or the projects file";
    let series = prometheus_name(names::M_PROJECT_INFO);
    Variable { description, ..label_of("criticality", "Criticality", &series, names::BUSINESS_CRITICALITY) }
}

pub(crate) fn tool() -> Variable {
    let description = "The tools that have data about a project";
    let series = prometheus_name(names::M_PROJECT_LAST_SUCCESS);
    Variable { description, ..label_of("tool", "Tool", &series, names::SOURCE_TOOL) }
}

pub(crate) fn source() -> Variable {
    let description = "Sources from the configuration";
    let series = prometheus_name(names::M_SYNC_REQUESTS);
    Variable { description, ..label_of("source", "Source", &series, names::SOURCE_NAME) }
}

/// Names and ids of projects out of `query_result(…)`.
const PROJECT_NAMED: &str = r#"/project_id="(?<value>[^"]*)".*project_name="(?<text>[^"]*)"/"#;

/// The projects that match owner, criticality and tool. `All` stands for exactly those.
pub(crate) fn projects() -> Variable {
    let chosen =
        Selector::all().like(names::BUSINESS_OWNER, "$owner").like(names::BUSINESS_CRITICALITY, "$criticality");
    let info = Series::new(names::M_PROJECT_INFO, chosen).by(&[names::PROJECT_ID, names::PROJECT_NAME]);
    let tools = Selector::all().like(names::SOURCE_TOOL, "$tool");
    let last_success = Series::new(names::M_PROJECT_LAST_SUCCESS, tools).last();
    let query = format!("query_result({info} and on ({}) {last_success})", label(names::PROJECT_ID));
    let description = "Projects of these owners, criticalities and tools";
    let regex = PROJECT_NAMED.to_owned();
    any(Variable { description, regex, ..prometheus("project", "Project", QUERY_RESULT, query) })
}

/// One project.
pub(crate) fn project() -> Variable {
    let info = Series::new(names::M_PROJECT_INFO, Selector::all()).by(&[names::PROJECT_ID, names::PROJECT_NAME]);
    let regex = PROJECT_NAMED.to_owned();
    let description = "The project; the list has the projects exported within the look back";
    Variable { description, regex, ..prometheus("project", "Project", QUERY_RESULT, format!("query_result({info})")) }
}

/// A sprint of the project: running ones first, of them the one that began last, as the command line has it; then the newest.
pub(crate) fn sprint() -> Variable {
    let (id, both) = (label(names::SPRINT_ID), [names::SPRINT_ID, names::SPRINT_NAME].map(label).join(", "));
    let running = Selector::project().equal(names::SPRINT_STATE, "active");
    let running = Series::new(names::M_SPRINT_INFO, running).newest(&[names::SPRINT_ID, names::SPRINT_NAME]);
    let scope = format!("{}{}", prometheus_name(names::M_SPRINT_SCOPE), Selector::project().text());
    // One that is not on the grid of history yet began within the last hours.
    let began = format!(
        "(min by ({id}) (min_over_time(timestamp({scope})[60d:6h])) or on ({id}) time() * max by ({id}) ({running}))"
    );
    let past = format!("max by ({both}) (max_over_time(timestamp({scope})[$__range:6h]))");
    let query =
        format!("query_result(sort_desc(1e12 * {running} + on ({id}) group_left () {began} or on ({id}) {past}))");
    let regex = r#"/sprint_id="(?<value>[^"]*)".*sprint_name="(?<text>[^"]*)"/"#.to_owned();
    let description =
        "The sprint; the running one that began last first, then those that ran within the time range, newest first";
    Variable { description, regex, sort: 0, ..prometheus("sprint", "Sprint", QUERY_RESULT, query) }
}

pub(crate) fn task_type() -> Variable {
    let description = "Types of tasks";
    let series = format!("{}{}", prometheus_name(names::M_TASK_COUNT), Selector::project().text());
    Variable { description, ..label_of("type", "Type", &series, names::TASK_TYPE) }
}

pub(crate) fn assignee() -> Variable {
    let description = "Assignees of open tasks. Empty when more than `task_info_limit` tasks are open";
    let series = format!("{}{}", prometheus_name(names::M_TASK_INFO), Selector::project().text());
    Variable { description, ..label_of("assignee", "Assignee", &series, names::TASK_ASSIGNEE) }
}

pub(crate) fn epic() -> Variable {
    let epics = Series::new(names::M_EPIC_PERCENT, Selector::project());
    let query = format!("query_result({})", epics.newest(&[names::EPIC_ID, names::EPIC_TITLE]));
    let regex = r#"/epic_id="(?<value>[^"]*)"(?:.*epic_title="(?<text>[^"]*)")?/"#.to_owned();
    let description = "Open epics";
    let all_value = Some(ANYTHING);
    any(Variable { description, regex, all_value, ..prometheus("epic", "Epic", QUERY_RESULT, query) })
}

/// How old the newest value may be.
pub(crate) fn lookback() -> Variable {
    let ranges = ["6h", "12h", "1d", "2d", "7d"];
    Variable {
        description: "How old the newest value may be. History has a value every 6 h; choose a longer time when `sync` runs less \
often than that",
        options: ranges.iter().map(|range| choice(range, range)).collect(),
        current: choice("6h", "6h"),
        refresh: 0,
        sort: 0,
        ..variable("lookback", "Look back", "custom", json!(ranges.join(",")))
    }
}
