//! A Grafana for tests: as much of its API as provisioning uses, with what it keeps in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// What it keeps.
#[derive(Default)]
struct World {
    version: String,
    folders: BTreeMap<String, Value>,
    sources: BTreeMap<String, Value>,
    dashboards: BTreeMap<String, Dashboard>,
    rules: BTreeMap<String, Value>,
    /// Writes under this path are answered with this status.
    refusal: Option<(String, u16)>,
    writes: usize,
}

#[derive(Default, Clone)]
struct Dashboard {
    json: Value,
    folder: String,
    provisioned: bool,
    messages: Vec<String>,
}

type Shared = Arc<Mutex<World>>;

pub(super) struct Fake {
    pub(super) url: String,
    world: Shared,
    _serving: JoinSet<()>,
}

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fake {
    pub(super) const TOKEN: &str = "glsa_test";

    pub(super) async fn start(version: &str) -> Self {
        let world: Shared = Arc::default();
        lock(&world).version = version.to_owned();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&world));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, world, _serving: serving }
    }

    pub(super) fn writes(&self) -> usize {
        lock(&self.world).writes
    }

    pub(super) fn refuse_writes(&self, path: &str, status: u16) {
        lock(&self.world).refusal = Some((path.to_owned(), status));
    }

    pub(super) fn edit_dashboard(&self, uid: &str) {
        lock(&self.world).dashboards.get_mut(uid).unwrap().messages.push(String::new());
    }

    pub(super) fn edit_rule(&self, uid: &str) {
        lock(&self.world).rules.get_mut(uid).unwrap()["for"] = json!("42m");
    }

    pub(super) fn edit_source(&self, uid: &str) {
        lock(&self.world).sources.get_mut(uid).unwrap()["url"] = json!("http://mine");
    }

    /// As if an older version of ours had written them.
    pub(super) fn age(&self, dashboard: &str, rule: &str) {
        let mut world = lock(&self.world);
        let messages = &mut world.dashboards.get_mut(dashboard).unwrap().messages;
        messages.push("contextcore dashboards provision 000000000000".to_owned());
        let rule = world.rules.get_mut(rule).unwrap();
        rule["title"] = json!("Older");
        let hash = super::provision::rule_hash(rule);
        rule["annotations"]["contextcore_hash"] = json!(hash);
    }

    pub(super) fn pause(&self, rule: &str) {
        lock(&self.world).rules.get_mut(rule).unwrap()["isPaused"] = json!(true);
    }

    pub(super) fn is_paused(&self, rule: &str) -> bool {
        lock(&self.world).rules[rule]["isPaused"] == json!(true)
    }

    pub(super) fn add_source(&self, kind: &str, uid: &str) {
        let source =
            json!({"uid": uid, "name": uid, "type": kind, "access": "proxy", "url": "http://x", "jsonData": {}});
        lock(&self.world).sources.insert(uid.to_owned(), source);
    }

    pub(super) fn add_folder(&self, uid: &str, title: &str) {
        lock(&self.world).folders.insert(uid.to_owned(), json!({"uid": uid, "title": title, "version": 1}));
    }

    pub(super) fn provision_by_file(&self, dashboard: &str, source: &str) {
        let mut world = lock(&self.world);
        world.dashboards.get_mut(dashboard).unwrap().provisioned = true;
        world.sources.get_mut(source).unwrap()["readOnly"] = json!(true);
    }

    pub(super) fn folder_of(&self, dashboard: &str) -> String {
        lock(&self.world).dashboards[dashboard].folder.clone()
    }

    pub(super) fn rule_source(&self, rule: &str) -> String {
        lock(&self.world).rules[rule]["data"][0]["datasourceUid"].as_str().unwrap().to_owned()
    }

    /// The data source that a variable of a dashboard has at first.
    pub(super) fn chosen_source(&self, dashboard: &str, variable: &str) -> String {
        let world = lock(&self.world);
        let list = world.dashboards[dashboard].json["templating"]["list"].as_array().unwrap();
        let variable = list.iter().find(|one| one["name"] == variable).unwrap();
        variable["current"]["value"].as_str().unwrap().to_owned()
    }
}

async fn answer(State(world): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut world = lock(&world);
    let path = uri.path();
    let token = headers.get("authorization").and_then(|value| value.to_str().ok());
    if path == "/api/health" {
        return (StatusCode::OK, axum::Json(json!({"database": "ok", "version": world.version}))).into_response();
    }
    if token != Some(&format!("Bearer {}", Fake::TOKEN)) {
        return said(401, "Invalid API key");
    }
    if method != Method::GET {
        if let Some((refused, status)) = world.refusal.clone().filter(|(refused, _)| path.starts_with(refused)) {
            return said(status, &format!("refused: {refused}"));
        }
        world.writes += 1;
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    world.route(&method, path, &body)
}

fn said(status: u16, message: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(json!({"message": message}))).into_response()
}

fn found(value: Option<&Value>) -> Response {
    value.map_or_else(|| said(404, "not found"), |value| axum::Json(value).into_response())
}

impl World {
    fn route(&mut self, method: &Method, path: &str, body: &Value) -> Response {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["api", "folders"]) => {
                axum::Json(self.folders.values().cloned().collect::<Vec<_>>()).into_response()
            }
            ("GET", ["api", "folders", uid]) => found(self.folders.get(*uid)),
            ("POST", ["api", "folders"]) => {
                let mut folder = body.clone();
                folder["version"] = json!(1);
                keep(&mut self.folders, body["uid"].as_str().unwrap(), folder)
            }
            ("PUT", ["api", "folders", uid]) => {
                let folder = self.folders.get_mut(*uid).unwrap();
                if folder["version"] != body["version"] {
                    return said(412, "the folder has been changed by someone else");
                }
                folder["title"] = body["title"].clone();
                found(self.folders.get(*uid))
            }
            ("GET", ["api", "datasources"]) => {
                axum::Json(self.sources.values().cloned().collect::<Vec<_>>()).into_response()
            }
            ("POST", ["api", "datasources"]) => keep(&mut self.sources, body["uid"].as_str().unwrap(), body.clone()),
            ("PUT", ["api", "datasources", "uid", uid]) => keep(&mut self.sources, uid, body.clone()),
            ("GET", ["api", "dashboards", "uid", uid]) => self.dashboard(uid),
            ("GET", ["api", "dashboards", "uid", uid, "versions"]) => self.versions(uid),
            ("POST", ["api", "dashboards", "db"]) => self.save(body),
            ("GET", ["api", "v1", "provisioning", "alert-rules", uid]) => found(self.rules.get(*uid)),
            ("POST", ["api", "v1", "provisioning", "alert-rules"]) => {
                keep(&mut self.rules, body["uid"].as_str().unwrap(), body.clone())
            }
            ("PUT", ["api", "v1", "provisioning", "alert-rules", uid]) => keep(&mut self.rules, uid, body.clone()),
            _ => said(404, "not found"),
        }
    }

    fn dashboard(&self, uid: &str) -> Response {
        let found_one = self.dashboards.get(uid).map(|dashboard| {
            let mut json = dashboard.json.clone();
            json["version"] = json!(dashboard.messages.len());
            json!({"dashboard": json, "meta": {"folderUid": dashboard.folder, "provisioned": dashboard.provisioned}})
        });
        found(found_one.as_ref())
    }

    /// A list up to Grafana 11, an object since.
    fn versions(&self, uid: &str) -> Response {
        let messages = self.dashboards[uid].messages.iter().enumerate().rev();
        let list: Vec<Value> =
            messages.map(|(place, message)| json!({"version": place + 1, "message": message})).collect();
        let old = self.version.starts_with("11.");
        axum::Json(if old { json!(list) } else { json!({"versions": list, "continueToken": ""}) }).into_response()
    }

    fn save(&mut self, body: &Value) -> Response {
        let uid = body["dashboard"]["uid"].as_str().unwrap().to_owned();
        let version = body["dashboard"]["version"].as_u64().unwrap_or(0);
        let known = self.dashboards.entry(uid).or_default();
        let clash = !known.messages.is_empty() && version != known.messages.len() as u64;
        if clash && body["overwrite"] != json!(true) {
            return said(412, "The dashboard has been changed by someone else");
        }
        known.json = body["dashboard"].clone();
        known.folder = body["folderUid"].as_str().unwrap().to_owned();
        known.messages.push(body["message"].as_str().unwrap().to_owned());
        said(200, "saved")
    }
}

fn keep(all: &mut BTreeMap<String, Value>, uid: &str, value: Value) -> Response {
    all.insert(uid.to_owned(), value);
    found(all.get(uid))
}
