//! Where clicks lead: portfolio → project → trace → ticket. Time range and data sources go along.

use contextcore_model::semconv as names;
use serde_json::json;

use crate::model::DashboardLink;

/// The portfolio's uid.
pub const PORTFOLIO: &str = "contextcore-portfolio";
/// The project dashboard's uid.
pub const PROJECT: &str = "contextcore-project";
/// The health dashboard's uid.
pub const HEALTH: &str = "contextcore-health";

/// The panel of the health dashboard that says what to do about each alert.
pub(crate) const RUNBOOKS: u32 = 110;

/// The data sources as they are chosen, for an address.
const SOURCES: &str = "${prometheus:queryparam}&${tempo:queryparam}&${loki:queryparam}";

/// Project Details of the project whose id a column holds.
pub(crate) fn project(column: &str) -> String {
    format!("/d/{PROJECT}?var-project=${{__data.fields.{column}:percentencode}}&{SOURCES}&${{__url_time_range}}")
}

/// Project Details of the project that is looked at, with the sprint whose id a column holds, over the time that two others
/// say in milliseconds.
pub(crate) fn sprint(id: &str, from: &str, to: &str) -> String {
    format!(
        "/d/{PROJECT}?${{project:queryparam}}&var-sprint=${{__data.fields.{id}:percentencode}}&{SOURCES}&${{lookback:queryparam}}\
         &from=${{__data.fields.{from}.numeric}}&to=${{__data.fields.{to}.numeric}}"
    )
}

/// ContextCore Health.
pub(crate) fn health() -> String {
    format!("/d/{HEALTH}?{SOURCES}&${{__url_time_range}}")
}

/// The address that a column holds: the ticket in its tool.
pub(crate) fn ticket(column: &str) -> String {
    format!("${{__data.fields.{column}}}")
}

/// How far back Explore looks. The range of the panel is no guide: that of a board is two hours.
const HISTORY: &str = "now-1y";

/// Everything that history and snapshots say of the task whose key a column holds.
pub(crate) fn task(column: &str) -> String {
    explore(&format!("{{ span.{} = \"${{__data.fields.{column}:percentencode}}\" }}", names::TASK_ID))
}

/// The trace whose id the cell itself holds, whatever it shows.
pub(crate) fn trace() -> String {
    explore("${__value.raw}")
}

/// Explore, with a TraceQL query over all history.
fn explore(query: &str) -> String {
    let panes = json!({"cc": {
        "datasource": "${tempo}",
        "queries": [{"refId": "A", "queryType": "traceql", "query": query, "limit": 500, "spss": 100, "tableType": "spans"}],
        "range": {"from": HISTORY, "to": "now"},
    }});
    format!("/explore?schemaVersion=1&panes={}", encoded(&panes.to_string()))
}

/// Percent-encodes an address, but for what Grafana fills in.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let end = rest[start..].find('}').map_or(rest.len(), |end| start + end + 1);
        out.extend(rest[..start].chars().map(one));
        out.push_str(&rest[start..end]);
        rest = &rest[end..];
    }
    out.extend(rest.chars().map(one));
    out
}

/// Percent-encodes a text whole: nothing in it is filled in.
fn percent(text: &str) -> String {
    text.chars().map(one).collect()
}

fn one(c: char) -> String {
    if c.is_ascii_alphanumeric() || "-_.~".contains(c) {
        return c.to_string();
    }
    c.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Project Details of a project that is known beforehand.
pub(crate) fn of_project(id: &str) -> String {
    format!("/d/{PROJECT}?var-project={}&{SOURCES}&${{__url_time_range}}", percent(id))
}

/// The same, as a link at the top.
pub(crate) fn to_project(id: &str) -> DashboardLink {
    let url = format!("/d/{PROJECT}?var-project={}&{SOURCES}", percent(id));
    DashboardLink { url, ..top("Project Details", PROJECT) }
}

/// A link at the top that leaves Grafana.
pub(crate) fn outside(title: &'static str, url: String) -> DashboardLink {
    DashboardLink { url, icon: "external link", keep_time: false, target_blank: true, ..top(title, "") }
}

/// A link at the top of a dashboard.
pub(crate) fn top(title: &'static str, uid: &str) -> DashboardLink {
    DashboardLink {
        title,
        kind: "link",
        url: format!("/d/{uid}?{SOURCES}"),
        icon: "dashboard",
        keep_time: true,
        include_vars: false,
        target_blank: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_encoded_but_for_what_grafana_fills_in() {
        assert_eq!(encoded("{\"a\": \"${tempo}\"}"), "%7B%22a%22%3A%20%22${tempo}%22%7D");
        let link = task("Task");
        assert!(link.contains("${__data.fields.Task:percentencode}") && link.contains("%5C%22"), "{link}");
        assert!(link.contains("now-1y") && !link.contains("${__from}"), "a board's own range is two hours: {link}");
    }
}
