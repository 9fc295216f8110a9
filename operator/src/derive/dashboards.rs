//! The Service dashboard of each context, in the form that the installation takes: as a `GrafanaDashboard`, as a ConfigMap for the
//! sidecar of Grafana's chart, or as it is, to be sent to a Grafana. The dashboards that are shipped go the same way.

use contextcore_dashboards::model::Dashboard;
use contextcore_dashboards::service::{self, Folder, Service};
use contextcore_model::config::project::{Criticality as ModelCriticality, ServiceContext};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::annotations;
use super::object::Object;
use super::plan::Plan;
use super::portfolio::Portfolio;
use crate::grafana::ServiceDashboard;
use crate::resource::{Criticality, Placement};
use crate::settings::{GrafanaMode, Settings};

const API: &str = "grafana.integreatly.org/v1beta1";
/// The title of the folder of all our dashboards.
const FOLDER: &str = "ContextCore";
/// What the sidecar of Grafana's chart looks for.
const SIDECAR_LABEL: &str = "grafana_dashboard";
const SIDECAR_FOLDER: &str = "grafana_folder";

/// The dashboard of a context. `entry` is what the sync service reads of it.
pub(crate) fn of(plan: &Plan, portfolio: &Portfolio, entry: &Value, settings: &Settings) -> ServiceDashboard {
    let (subject, whole) = (&plan.subject, portfolio.of(plan));
    let folder = folder(plan.policy.derived.dashboard_placement);
    let runbook = annotations::runbook(plan, settings);
    let dashboard = service::dashboard(&Service {
        namespace: subject.namespace,
        name: subject.name,
        project: subject.project(),
        project_name: whole.name.as_deref(),
        criticality: criticality(plan.policy.criticality),
        owner: subject.owner().or(whole.owner.as_deref()),
        value: subject.value().or(whole.value.as_deref()),
        rules: subject.service(),
        runbook: runbook.as_deref(),
        context: &context(entry),
    });
    ServiceDashboard {
        namespace: subject.namespace.to_owned(),
        name: subject.name.to_owned(),
        uid: dashboard.uid.clone(),
        folder_uid: folder.uid(&settings.grafana.folder_uid),
        folder_title: folder.title().to_owned(),
        json: json!(dashboard),
    }
}

/// What the sync service would read.
fn context(entry: &Value) -> ServiceContext {
    fn part<T: DeserializeOwned + Default>(entry: &Value, key: &str) -> T {
        serde_json::from_value(entry[key].clone()).unwrap_or_default()
    }
    ServiceContext {
        origin: None,
        targets: part(entry, "targets"),
        requirements: part(entry, "requirements"),
        slos: part(entry, "slos"),
        risks: part(entry, "risks"),
        design: part(entry, "design"),
        guidance: part(entry, "guidance"),
    }
}

fn folder(placement: Placement) -> Folder {
    match placement {
        Placement::Featured => Folder::Featured,
        Placement::Standard => Folder::Services,
        Placement::Archived => Folder::Archive,
    }
}

fn criticality(criticality: Criticality) -> ModelCriticality {
    match criticality {
        Criticality::Critical => ModelCriticality::Critical,
        Criticality::High => ModelCriticality::High,
        Criticality::Medium => ModelCriticality::Medium,
        Criticality::Low => ModelCriticality::Low,
    }
}

/// The object of one context, where the Grafana operator makes dashboards.
pub(crate) fn own(plan: &Plan, dashboard: &ServiceDashboard, settings: &Settings) -> Option<Object> {
    if settings.grafana.mode()? != GrafanaMode::GrafanaOperator {
        return None;
    }
    let name = format!("contextcore-{}", plan.subject.name);
    let object = Object::new(API, "GrafanaDashboard", plan.subject.namespace, &name);
    Some(object.with("spec", dashboard_spec(&dashboard.json, &dashboard.folder_uid, settings)))
}

fn dashboard_spec(dashboard: &Value, folder: &str, settings: &Settings) -> Value {
    json!({
        "allowCrossNamespaceImport": true,
        "folderUID": folder,
        "instanceSelector": settings.grafana.instance_selector,
        "json": dashboard.to_string(),
    })
}

/// Objects that no single context has: folders, the dashboards that are shipped, and everything for the sidecar, whose ConfigMaps
/// are in our own namespace because we write none elsewhere.
pub(crate) fn shared(dashboards: &[ServiceDashboard], settings: &Settings) -> Vec<Object> {
    match settings.grafana.mode() {
        Some(GrafanaMode::GrafanaOperator) => folders(settings).into_iter().chain(shipped(settings)).collect(),
        Some(GrafanaMode::Sidecar) => {
            let of_service = |dashboard: &ServiceDashboard| {
                let folder = format!("{FOLDER}/{}", dashboard.folder_title);
                let name = dashboard.uid.trim_start_matches("cc-svc-");
                config_map(name, &dashboard.uid, &dashboard.json, &folder, settings)
            };
            let of_ours = |(name, dashboard): &(&str, Dashboard)| {
                config_map(name, &dashboard.uid, &json!(dashboard), FOLDER, settings)
            };
            let ours = contextcore_dashboards::dashboards();
            dashboards.iter().map(of_service).chain(ours.iter().map(of_ours)).collect()
        }
        Some(GrafanaMode::Url | GrafanaMode::None) | None => Vec::new(),
    }
}

fn folders(settings: &Settings) -> Vec<Object> {
    let (parent, selector) = (&settings.grafana.folder_uid, &settings.grafana.instance_selector);
    let object =
        |name: &str, spec: Value| Object::new(API, "GrafanaFolder", &settings.namespace, name).with("spec", spec);
    let spec = |uid: &str, title: &str| json!({"allowCrossNamespaceImport": true, "instanceSelector": selector, "title": title, "uid": uid});
    let mut all = vec![object("contextcore", spec(parent, FOLDER))];
    all.extend(Folder::ALL.map(|folder| {
        let mut spec = spec(&folder.uid(parent), folder.title());
        spec["parentFolderUID"] = parent.as_str().into();
        object(&folder.uid("contextcore"), spec)
    }));
    all
}

fn shipped(settings: &Settings) -> Vec<Object> {
    let object = |(name, dashboard): (&str, Dashboard)| {
        let spec = dashboard_spec(&json!(dashboard), &settings.grafana.folder_uid, settings);
        Object::new(API, "GrafanaDashboard", &settings.namespace, &format!("contextcore-dashboard-{name}"))
            .with("spec", spec)
    };
    contextcore_dashboards::dashboards().into_iter().map(object).collect()
}

fn config_map(name: &str, uid: &str, dashboard: &Value, folder: &str, settings: &Settings) -> Object {
    let mut data = Map::new();
    data.insert(format!("{uid}.json"), Value::String(dashboard.to_string()));
    Object::config_map(&settings.namespace, &format!("contextcore-dashboard-{name}"), data)
        .label(SIDECAR_LABEL, "1")
        .annotation(SIDECAR_FOLDER, folder)
}
