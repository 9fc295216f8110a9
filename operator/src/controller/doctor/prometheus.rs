//! The doctor on Prometheus: whether it selects our rules, and keeps data for the periods of the objectives.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::kinds::Kind;
use super::super::listing::place;
use super::finding::{Finding, good, note, wrong};
use super::labels::{labels, mismatch};
use super::scope::Scope;
use crate::derive::{MANAGED_BY, MANAGER};
use crate::units;

/// Whether Prometheus selects our rules and monitors, and keeps data for the periods of the objectives.
pub(super) async fn prometheus(scope: &Scope<'_>) -> Vec<Finding> {
    let servers = match scope.of_others("monitoring.coreos.com", "Prometheus", &scope.monitoring()).await {
        Ok(Some(servers)) if !servers.is_empty() => servers,
        Ok(_) => {
            return vec![note(
                "no Prometheus of the Prometheus operator was found: rules are not compared with selectors",
            )];
        }
        Err(message) => return vec![note(message)],
    };
    let labels = labels(scope.settings);
    let mut findings: Vec<Finding> = servers.iter().flat_map(|server| selection(server, &labels)).collect();
    let longest = match scope.contexts().await {
        Ok(contexts) => contexts.unwrap_or_default().iter().filter_map(window_days).max(),
        Err(_) => None,
    };
    findings.extend(servers.iter().filter_map(|server| retention(server, longest?)));
    match scope.of_kind(Kind::PrometheusRule, &format!("{MANAGED_BY}={MANAGER}")).await {
        Ok(rules) => findings.extend(bound(&rules)),
        Err(message) => findings.push(note(message)),
    }
    findings
}

/// Compares the selectors of a Prometheus with our labels.
fn selection(server: &Value, labels: &BTreeMap<String, String>) -> Vec<Finding> {
    let fields = [("ruleSelector", "PrometheusRules"), ("serviceMonitorSelector", "ServiceMonitors")];
    let finding = |(field, what): (&str, &str)| {
        let selector = &server["spec"][field];
        match mismatch(selector, labels) {
            None => good(format!("Prometheus {} selects our {what}", place(server))),
            Some(why) => wrong(format!(
                "Prometheus {} does not select our {what}: its {field} {why}: add the label to `objectLabels` of the settings, or \
                 widen the selector",
                place(server)
            )),
        }
    };
    fields.into_iter().map(finding).collect()
}

/// The period of the objectives of a context, in days.
fn window_days(context: &Value) -> Option<u64> {
    let required = &context["spec"]["requirements"];
    let window = required["window"].as_str().unwrap_or("30d");
    (!required.is_null()).then(|| window.trim_end_matches('d').parse().ok()).flatten()
}

/// Whether a Prometheus keeps data for the longest period.
fn retention(server: &Value, days: u64) -> Option<Finding> {
    let said = server["spec"]["retention"].as_str().unwrap_or("24h");
    let kept = units::retention(said)?;
    (kept < days * 86_400).then(|| {
        wrong(format!(
            "Prometheus {} keeps data for {said}, and objectives are over {days} days: raise spec.retention, or the rest of a budget \
             is of a shorter time",
            place(server)
        ))
    })
}

/// Whether rules are accepted, where the Prometheus operator says so.
fn bound(rules: &[Value]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in rules {
        for binding in rule["status"]["bindings"].as_array().into_iter().flatten() {
            let conditions = binding["conditions"].as_array().into_iter().flatten();
            for refused in conditions.filter(|it| it["type"] == "Accepted" && it["status"] == "False") {
                findings.push(wrong(format!(
                    "PrometheusRule {} was refused by {}/{}: {}",
                    place(rule),
                    binding["namespace"].as_str().unwrap_or_default(),
                    binding["name"].as_str().unwrap_or_default(),
                    refused["message"].as_str().unwrap_or_default()
                )));
            }
        }
    }
    let says = rules.iter().any(|rule| !rule["status"]["bindings"].is_null());
    if findings.is_empty() && says {
        findings.push(good("all rules are accepted"));
    }
    if !says && !rules.is_empty() {
        let line = "the Prometheus operator does not say whether it took the rules (it does from 0.93 on, with \
                    StatusForConfigurationResources)";
        findings.push(note(line));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn data_must_be_kept_for_the_longest_period() {
        let server = |retention: &str| json!({"metadata": {}, "spec": {"retention": retention}});
        assert_eq!(retention(&server("35d"), 30), None);
        assert_eq!(retention(&server("1y"), 30), None);
        assert!(retention(&server("15d"), 30).unwrap().line.contains("objectives are over 30 days"));
        assert!(retention(&json!({"metadata": {}, "spec": {}}), 7).is_some());
        assert_eq!(window_days(&json!({"spec": {"requirements": {"availability": "99"}}})), Some(30));
        assert_eq!(window_days(&json!({"spec": {}})), None);
    }

    #[test]
    fn a_refused_rule_is_found() {
        let rule = json!({"metadata": {"namespace": "shop", "name": "r"}, "status": {"bindings": [
            {"namespace": "monitoring", "name": "k8s", "conditions": [{"type": "Accepted", "status": "False", "message": "bad"}]},
        ]}});
        assert_eq!(bound(&[rule])[0].line, "PrometheusRule shop/r was refused by monitoring/k8s: bad");
        assert_eq!(bound(&[json!({"metadata": {}})])[0].level, Level::Note);
    }
}
