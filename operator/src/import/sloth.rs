//! Sloth: `version: prometheus/v1`, and its resource `PrometheusServiceLevel`, which spells the same fields in camel case.

use serde_json::Value;

use super::{Objective, Read, Source, owner, query};

/// Sloth's own period; a specification has no field for it.
const WINDOW: &str = "30d";

pub(super) fn read(source: &Source) -> Read {
    let mut read = Read::default();
    let (root, body) = match &source.value {
        value if value["apiVersion"].is_string() => ("spec.", &value["spec"]),
        value => ("", value),
    };
    let Some(service) = body["service"].as_str() else {
        read.problems.push(source.line(&format!("{root}service"), "is missing: name the service"));
        return read;
    };
    let slos = body["slos"].as_array().cloned().unwrap_or_default();
    if slos.is_empty() {
        read.problems.push(source.line(&format!("{root}slos"), "is empty: nothing can be imported"));
    }
    for (index, slo) in slos.iter().enumerate() {
        let path = format!("{root}slos[{index}]");
        read.notes.extend(left_out(source, &path, slo));
        match objective(source, body, service, slo) {
            Ok(objective) => {
                read.objectives.push(Objective { line: source.lines.of(&path), ..objective });
            }
            Err((field, message)) => read.problems.push(source.line(&format!("{path}.{field}"), &message)),
        }
    }
    read
}

/// A field by either spelling.
fn field<'a>(value: &'a Value, snake: &str, camel: &str) -> &'a Value {
    if value[snake].is_null() { &value[camel] } else { &value[snake] }
}

fn objective(source: &Source, body: &Value, service: &str, slo: &Value) -> Result<Objective, (&'static str, String)> {
    let name = slo["name"].as_str().ok_or(("name", "is missing: name the objective".to_owned()))?;
    let percent = slo["objective"].as_f64().ok_or(("objective", "is missing: write it in percent".to_owned()))?;
    let sli = &slo["sli"];
    if !sli["raw"].is_null() {
        let message =
            "is a ratio alone, and alerts need to know how many events were bad: write `events` with both queries";
        return Err(("sli.raw", message.to_owned()));
    }
    if !sli["plugin"].is_null() {
        return Err(("sli.plugin", "runs in Sloth only: write the queries that it makes as `events`".to_owned()));
    }
    let events = &sli["events"];
    let text = |snake: &str, camel: &str| {
        let text = field(events, snake, camel).as_str();
        text.ok_or_else(|| ("sli.events", format!("needs `{snake}`")))
    };
    let within = |message| ("sli.events", message);
    let annotations = &slo["alerting"]["annotations"];
    let runbook = ["runbook", "runbook_url"].iter().find_map(|name| annotations[*name].as_str());
    Ok(Objective {
        file: source.file.clone(),
        line: None,
        namespace: source.value["metadata"]["namespace"].as_str().map(str::to_owned),
        service: service.to_owned(),
        title: None,
        name: name.to_owned(),
        owner: owner(&slo["labels"]).or_else(|| owner(&body["labels"])),
        percent,
        window: WINDOW,
        errors: query::over_window(text("error_query", "errorQuery")?, false).map_err(within)?,
        total: query::over_window(text("total_query", "totalQuery")?, false).map_err(within)?,
        runbook: runbook.filter(|url| url.starts_with("http")).map(str::to_owned),
    })
}

/// What a context decides otherwise: who is alerted, and how urgent it is.
fn left_out(source: &Source, path: &str, slo: &Value) -> Vec<String> {
    let alerting = &slo["alerting"];
    let disabled = |snake: &str, camel: &str| field(alerting, snake, camel)["disable"] == true;
    let mut notes = Vec::new();
    if disabled("page_alert", "pageAlert") || disabled("ticket_alert", "ticketAlert") {
        let message = "disabled alerts are not imported: criticality low has no pages, and observability.disableAlerts silences all";
        notes.push(source.line(&format!("{path}.alerting"), message));
    }
    let labelled = |alert: &Value| alert["labels"].is_object();
    if labelled(alerting) || labelled(field(alerting, "page_alert", "pageAlert")) {
        let message =
            "labels of alerts are not imported: business.owner and observability.alertChannels say who is alerted";
        notes.push(source.line(&format!("{path}.alerting"), message));
    }
    notes
}
