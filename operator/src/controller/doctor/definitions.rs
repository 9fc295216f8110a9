//! The doctor on definitions: ours, and those of the operators whose objects we write.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, Error};

use super::super::guard::DEFINITION;
use super::super::kinds::Kind;
use super::super::trouble::refusal;
use super::finding::{Finding, good, note, wrong};
use super::scope::Scope;
use crate::crd;
use crate::settings::{CollectorMode, GrafanaMode, Settings};

/// Our definition, and those of the operators whose objects we write.
pub(super) async fn definitions(scope: &Scope<'_>) -> Result<Vec<Finding>, String> {
    let mut findings = vec![match installed(scope.client, DEFINITION, "contextcore.io/v1").await? {
        Installed::No => wrong(format!(
            "{DEFINITION} is not installed: `contextcore controller crd | kubectl apply --server-side --force-conflicts -f -`"
        )),
        Installed::Seen(annotations) => same_schema(annotations.get(crd::HASH_ANNOTATION)),
        Installed::Served => note(format!(
            "{DEFINITION} is installed; whether with the schema of this program is not known without the right to get definitions"
        )),
    }];
    for kind in needed(scope.settings) {
        let Some(name) = kind.definition() else { continue };
        let version = kind.resource().api_version;
        findings.push(match installed(scope.client, &name, &version).await? {
            Installed::No => {
                wrong(format!("{name} is not installed: install the {}; it is noticed at once", kind.operator()))
            }
            Installed::Seen(_) | Installed::Served => good(format!("{name} is installed")),
        });
    }
    Ok(findings)
}

/// Whether a definition is installed.
enum Installed {
    No,
    /// With these annotations.
    Seen(BTreeMap<String, String>),
    /// It is served, and more may not be asked.
    Served,
}

/// Asks for a definition, and where that is not allowed, whether its resource is served: everybody may ask that.
async fn installed(client: &Client, name: &str, api_version: &str) -> Result<Installed, String> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    match api.get_metadata_opt(name).await {
        Ok(None) => Ok(Installed::No),
        Ok(Some(found)) => Ok(Installed::Seen(found.metadata.annotations.unwrap_or_default())),
        Err(Error::Api(status)) if status.code == 403 => {
            let plural = name.split('.').next().unwrap_or_default();
            match client.list_api_group_resources(api_version).await {
                Ok(list) if list.resources.iter().any(|resource| resource.name == plural) => Ok(Installed::Served),
                Ok(_) => Ok(Installed::No),
                Err(Error::Api(status)) if status.code == 404 => Ok(Installed::No),
                Err(error) => Err(refusal(&error)),
            }
        }
        Err(error) => Err(refusal(&error)),
    }
}

fn same_schema(served: Option<&String>) -> Finding {
    let own = crd::schema_hash();
    match served {
        Some(served) if served == own => good(format!("{DEFINITION} is installed, with the schema of this program")),
        _ => wrong(format!(
            "{DEFINITION} is installed with another schema than that of this program: `contextcore controller crd | kubectl \
             apply --server-side --force-conflicts -f -`"
        )),
    }
}

fn needed(settings: &Settings) -> Vec<Kind> {
    let mut kinds = vec![Kind::PrometheusRule, Kind::ServiceMonitor];
    if !settings.channels.is_empty() {
        kinds.push(Kind::AlertmanagerConfig);
    }
    if settings.grafana.mode() == Some(GrafanaMode::GrafanaOperator) {
        kinds.extend([Kind::GrafanaFolder, Kind::GrafanaDashboard]);
    }
    if settings.collector.mode != CollectorMode::ConfigMap {
        kinds.push(Kind::OpenTelemetryCollector);
    }
    kinds
}
