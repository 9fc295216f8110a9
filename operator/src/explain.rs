//! What was derived and why, for a person.

use crate::derive::{Derivation, Outcome, TABLE};
use crate::resource::{Derived, Source};

/// All contexts with their values, where each comes from, and the table of criticalities.
#[must_use]
pub fn explain(derivation: &Derivation) -> String {
    let mut out = String::new();
    for outcome in &derivation.outcomes {
        context(&mut out, outcome);
        out.push('\n');
    }
    table(&mut out);
    out
}

fn context(out: &mut String, outcome: &Outcome) {
    line(out, format!("{}/{}", outcome.namespace, outcome.name));
    row(out, "criticality", outcome.criticality.as_str(), None);
    if let Some(derived) = &outcome.status.derived {
        values(out, derived);
    }
    for slo in &outcome.status.slos {
        line(out, format!("  slo {:<17} {} % over {}, numbers from {}", slo.name, slo.objective, slo.window, slo.sli));
    }
    for resource in &outcome.status.resources {
        line(out, format!("  object {:<14} {}/{}", resource.kind, resource.namespace, resource.name));
    }
    for condition in outcome.status.conditions.iter().filter(|condition| condition.kind != "Ready") {
        let message = if condition.message.is_empty() { String::new() } else { format!(": {}", condition.message) };
        line(out, format!("  {:<21} {} {}{message}", condition.kind, condition.status, condition.reason));
    }
}

fn values(out: &mut String, derived: &Derived) {
    let sources = &derived.sources;
    let channels =
        if derived.alert_channels.is_empty() { "none".to_owned() } else { derived.alert_channels.join(", ") };
    row(out, "traceSampling", &derived.trace_sampling.to_string(), Some(sources.trace_sampling));
    row(out, "metricsInterval", &derived.metrics_interval, Some(sources.metrics_interval));
    row(out, "alertPriority", derived.alert_priority.as_str(), Some(sources.alert_priority));
    row(out, "alertChannels", &channels, Some(sources.alert_channels));
    row(out, "dashboardPlacement", derived.dashboard_placement.as_str(), Some(sources.dashboard_placement));
    row(out, "auditLogging", derived.audit_logging.as_str(), Some(sources.audit_logging));
}

fn row(out: &mut String, name: &str, value: &str, source: Option<Source>) {
    let source = source.map(|source| format!(" (from {source})")).unwrap_or_default();
    line(out, format!("  {name:<21} {value}{source}"));
}

fn line(out: &mut String, text: String) {
    out.push_str(text.trim_end());
    out.push('\n');
}

fn table(out: &mut String) {
    line(out, "What follows from criticality, where neither the settings nor the context say otherwise:".to_owned());
    line(
        out,
        format!(
            "  {:<12}{:<10}{:<10}{:<10}{:<10}{:<10}placement",
            "", "sampling", "interval", "priority", "page", "ticket"
        ),
    );
    for row in &TABLE {
        let page = row.page_severity.unwrap_or("none");
        line(
            out,
            format!(
                "  {:<12}{:<10}{:<10}{:<10}{:<10}{:<10}{}",
                row.criticality.as_str(),
                row.trace_sampling,
                row.metrics_interval,
                row.alert_priority.as_str(),
                page,
                row.ticket_severity,
                row.placement
            ),
        );
    }
}
