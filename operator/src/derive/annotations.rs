//! What an alert says to the person who reads it. Texts of people are escaped: annotations are templates.

use serde_json::{Map, Value};

use super::plan::Plan;
use super::slo::{Bad, Slo};
use super::tiers::Tier;
use crate::escape;
use crate::resource::{Priority, Window};
use crate::settings::Settings;
use crate::units;

const DASHBOARD: &str = "contextcore-project";
/// The budget that is left, asked of Prometheus when the alert is sent. The labels are quoted by `printf`.
const BUDGET_LEFT: &str = "{{ with printf \"contextcore:slo_error_budget_remaining:ratio{project=%q,namespace=%q,service=%q,\
                           slo=%q}\" $labels.project $labels.namespace $labels.service $labels.slo | query }}{{ . | first | \
                           value | humanizePercentage }}{{ else }}not known yet{{ end }}";

pub(super) fn of_burn(plan: &Plan, slo: &Slo, tier: Tier, settings: &Settings) -> Value {
    let window = plan.objectives.window;
    let factor = tier.factor(window);
    let burnt = factor * f64::from(tier.long_hours) / f64::from(window.hours()) * 100.0;
    let (amount, unit) = tier.long.split_at(tier.long.len() - 1);
    let summary = format!(
        "{}: {} budget burns {}× ({} % in {amount} {unit})",
        plan.subject.service(),
        slo.name,
        units::brief(factor),
        units::brief(burnt)
    );
    let bad = match &slo.bad {
        Bad::Failed => String::new(),
        Bad::Slow { limit, .. } => format!(" within {limit}"),
    };
    let kept =
        shorter(settings, window).map(|kept| format!(" of the {kept} that Prometheus keeps")).unwrap_or_default();
    let objective = format!("Objective: {} %{bad} over {window}. Budget left{kept}: ", slo.objective);
    let description = format!("{}{BUDGET_LEFT}. {}", escape::template(&objective), escape::template(&context(plan)));
    common(plan, settings, &summary, description)
}

/// How long Prometheus keeps data, if that is shorter than the period of the objectives: what is left of a budget is of this time.
fn shorter(settings: &Settings, window: Window) -> Option<&str> {
    let kept = settings.prometheus.retention.as_deref()?;
    (units::retention(kept)? < u64::from(window.hours()) * 3600).then_some(kept)
}

pub(super) fn of_throughput(plan: &Plan, expected: f64, settings: &Settings) -> Value {
    let expected = units::brief(expected);
    let summary = format!("{}: less than half of the expected traffic", plan.subject.service());
    let description = format!("Expected: {expected} requests per second. Now: {{{{ $value | humanize }}}}. ");
    common(plan, settings, &summary, description + &escape::template(&context(plan)))
}

pub(super) fn of_absence(plan: &Plan, window: &str, settings: &Settings) -> Value {
    let summary = format!("{}: no telemetry for {window}", plan.subject.service());
    common(plan, settings, &summary, escape::template(&context(plan)))
}

/// Owner, value, and the risks that matter most.
fn context(plan: &Plan) -> String {
    let subject = &plan.subject;
    let mut parts = vec![format!("Criticality: {}.", plan.policy.criticality)];
    parts.extend(subject.owner().map(|owner| format!("Owner: {owner}.")));
    parts.extend(subject.value().map(|value| format!("Value: {value}.")));
    for risk in subject.spec().risks.iter().filter(|risk| risk.priority <= Priority::P2) {
        let mitigation = risk.mitigation.as_ref().map(|text| format!("; mitigation: {text}")).unwrap_or_default();
        parts.push(format!("Risk {}: {}{mitigation}.", risk.priority, risk.risk));
    }
    parts.join(" ")
}

fn common(plan: &Plan, settings: &Settings, summary: &str, description: String) -> Value {
    let subject = &plan.subject;
    let design = subject.spec().design.clone().unwrap_or_default();
    let adrs: Vec<String> = design.adr.into_iter().chain(design.adrs).collect();
    let project = escape::percent(subject.project());
    let dashboard = settings
        .grafana
        .url
        .as_ref()
        .map(|url| format!("{}/d/{DASHBOARD}?var-project={project}", url.trim_end_matches('/')));
    let texts = [
        ("summary", Some(escape::template(summary))),
        ("description", Some(description)),
        ("runbook_url", runbook(plan, settings).map(|url| escape::template(&url))),
        ("tasks_url", dashboard.as_ref().map(|url| escape::template(&format!("{url}&from=now-1d&to=now")))),
        ("dashboard_url", dashboard.map(|url| escape::template(&url))),
        ("design_doc", design.doc.map(|url| escape::template(&url))),
        ("adr", (!adrs.is_empty()).then(|| escape::template(&adrs.join(", ")))),
    ];
    let given = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?))));
    Value::Object(given.collect::<Map<_, _>>())
}

pub(super) fn runbook(plan: &Plan, settings: &Settings) -> Option<String> {
    let subject = &plan.subject;
    let said = subject.spec().observability.as_ref().and_then(|said| said.runbook.clone());
    let base = settings.runbook_base_url.as_ref().map(|url| url.trim_end_matches('/'));
    said.or_else(|| base.map(|base| format!("{base}/{}/{}", subject.namespace, subject.name)))
}
