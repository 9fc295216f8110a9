//! The alert rules as Grafana manages them: through its API, and as a file of its own provisioning.

use serde_json::{Map, Value, json};

use super::{GROUP, INTERVAL, Rule, Side, rules};
use crate::links;

/// Where Grafana's rules go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder's uid.
    pub folder: String,
    /// The uid of the data source.
    pub prometheus: String,
    /// The address of the Grafana, with a slash at its end.
    pub grafana: String,
}

/// The rules as a file of Grafana's own provisioning (`provisioning/alerting/`), which says folder and group once for all.
pub fn grafana_file(folder: &str, prometheus: &str) -> Value {
    let place = Place { folder: folder.to_owned(), prometheus: prometheus.to_owned(), grafana: OWN_ADDRESS.to_owned() };
    let rules: Vec<Value> = rules().iter().map(|rule| without_place(rule.grafana(&place))).collect();
    let group =
        json!({"orgId": 1, "name": GROUP, "folder": folder, "interval": format!("{INTERVAL}s"), "rules": rules});
    json!({"apiVersion": 1, "groups": [group]})
}

/// For this, Grafana fills in its own address.
pub const OWN_ADDRESS: &str = "{{ externalURL }}";

/// A text for Grafana. Its `$value` is a sentence about every step of the evaluation, and there is none when the evaluation failed.
/// Nothing has a `$`: in a file, Grafana takes it for a variable of the environment in labels, but not in annotations.
fn in_grafana((name, text): (&'static str, String)) -> (&'static str, String) {
    let text = text.replace("{{ $value }}", "{{ with .Values.A }}{{ .Value }}{{ else }}Some{{ end }}");
    (name, text.replace("{{ with $labels.", "{{ with .Labels."))
}

fn without_place(mut rule: Value) -> Value {
    if let Some(fields) = rule.as_object_mut() {
        fields.retain(|name, _| !["folderUID", "ruleGroup", "orgID"].contains(&name.as_str()));
    }
    rule
}

impl Rule {
    /// The rule as Grafana's provisioning API takes it (`/api/v1/provisioning/alert-rules`).
    pub fn grafana(&self, place: &Place) -> Value {
        let object = |pairs: Vec<(&'static str, String)>| -> Value {
            pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>().into()
        };
        let (dashboard, panel) = self.panel;
        let mut annotations: Vec<_> = self.annotations(&place.grafana).into_iter().map(in_grafana).collect();
        annotations.extend([
            ("runbook_url", format!("{}d/{}?viewPanel={}", place.grafana, links::HEALTH, links::RUNBOOKS)),
            ("__dashboardUid__", dashboard.to_owned()),
            ("__panelId__", panel.to_string()),
        ]);
        json!({
            "uid": self.uid,
            "title": self.title,
            "folderUID": place.folder,
            "ruleGroup": GROUP,
            "orgID": 1,
            "condition": "B",
            "data": [self.grafana_query(place), self.grafana_condition()],
            "for": self.lasting,
            "noDataState": "OK",
            "execErrState": "Error",
            "isPaused": false,
            "labels": object(self.labels().into_iter().map(in_grafana).collect()),
            "annotations": object(annotations),
        })
    }

    fn grafana_query(&self, place: &Place) -> Value {
        json!({
            "refId": "A",
            "relativeTimeRange": {"from": 600, "to": 0},
            "datasourceUid": place.prometheus,
            "model": {
                "refId": "A",
                "expr": self.expression,
                "instant": true,
                "range": false,
                "intervalMs": 60_000,
                "maxDataPoints": 43_200,
                "datasource": {"type": "prometheus", "uid": place.prometheus},
            },
        })
    }

    fn grafana_condition(&self) -> Value {
        let kind = if self.side == Side::Above { "gt" } else { "lt" };
        json!({
            "refId": "B",
            "relativeTimeRange": {"from": 0, "to": 0},
            "datasourceUid": "__expr__",
            "model": {
                "refId": "B",
                "type": "threshold",
                "expression": "A",
                "conditions": [{"evaluator": {"type": kind, "params": [self.threshold]}}],
                "datasource": {"type": "__expr__", "uid": "__expr__"},
            },
        })
    }
}
