//! The doctor on what is switched off: objects from before that nobody may remove any more, since the chart takes a right together with
//! its setting.

use serde_json::Value;

use super::super::kinds::Kind;
use super::super::listing::{self, place};
use super::finding::{Finding, note, wrong};
use super::scope::Scope;
use crate::derive::{INSTANCE, MANAGED_BY, MANAGER};
use crate::settings::{GrafanaMode, Settings};

/// A kind that the settings do not ask for, and which setting would.
struct Off {
    kind: Kind,
    setting: &'static str,
    /// What the objects go on doing.
    effect: &'static str,
}

fn switched_off(settings: &Settings) -> Vec<Off> {
    let mut off = Vec::new();
    if settings.channels.is_empty() {
        off.push(Off {
            kind: Kind::AlertmanagerConfig,
            setting: "`channels`",
            effect: "alerts are still routed by them",
        });
    }
    if !settings.env.enabled {
        off.push(Off { kind: Kind::ConfigMap, setting: "`env.enabled`", effect: "workloads still read them" });
    }
    if settings.grafana.mode() != Some(GrafanaMode::GrafanaOperator) {
        let (setting, effect) = ("`grafana.mode: grafana-operator`", "Grafana still shows them");
        off.push(Off { kind: Kind::GrafanaDashboard, setting, effect });
    }
    off
}

/// Objects of this installation of kinds that its settings do not ask for.
pub(super) async fn leftovers(scope: &Scope<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for off in switched_off(scope.settings) {
        findings.extend(of(scope, &off).await);
    }
    findings
}

async fn of(scope: &Scope<'_>, off: &Off) -> Option<Finding> {
    let labels = format!("{MANAGED_BY}={MANAGER},{INSTANCE}={}", scope.settings.instance);
    let mut left = Vec::new();
    for within in scope.monitoring() {
        match listing::within(scope.client, &off.kind.resource(), within, &labels).await {
            Ok(found) => left.extend(found.unwrap_or_default()),
            // Who may not write the kind may not list it either: that is as it should be, and says nothing.
            Err(message) => return Some(unknown(off, &message)),
        }
    }
    left.retain(|object| off.kind != Kind::ConfigMap || object["metadata"]["namespace"] != scope.settings.namespace);
    found(off, &left)
}

fn unknown(off: &Off, message: &str) -> Finding {
    let Off { kind, setting, .. } = off;
    note(format!(
        "whether {} are left from when the settings had {setting} is not known: {message}, or ask as yourself, without --as",
        kind.plural()
    ))
}

fn found(off: &Off, left: &[Value]) -> Option<Finding> {
    let first = left.first()?;
    let Off { kind, setting, effect } = off;
    let (text, count) = (|field: &str| first["metadata"][field].as_str().unwrap_or_default().to_owned(), left.len());
    let resource = kind.definition().unwrap_or_else(|| kind.plural().to_owned());
    Some(wrong(format!(
        "{count} {} of this installation, such as {}, are left from when the settings had {setting}, and {effect}: if they stay, the \
         controller may not remove them; delete each as `kubectl delete {resource} --namespace {} {}`",
        kind.plural(),
        place(first),
        text("namespace"),
        text("name"),
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn what_is_left_of_a_setting_is_named_with_the_command_that_removes_it() {
        let settings = |text: &str| Settings::parse("s.yaml", text).unwrap();
        let off = switched_off(&settings(""));
        assert_eq!(off.len(), 3);
        let on =
            "channels: {a: {webhookConfigs: [{url: x}]}}\nenv: {enabled: true}\ngrafana: {mode: grafana-operator}\n";
        assert!(switched_off(&settings(on)).is_empty());
        assert_eq!(found(&off[0], &[]), None);
        let left = json!({"metadata": {"namespace": "monitoring", "name": "contextcore"}});
        let line = found(&off[0], &[left]).unwrap().line;
        assert!(
            line.contains("monitoring/contextcore")
                && line.contains(
                    "kubectl delete alertmanagerconfigs.monitoring.coreos.com --namespace monitoring contextcore"
                ),
            "{line}"
        );
        assert_eq!(unknown(&off[1], "forbidden").level, Level::Note);
    }
}
