//! A fake Grafana in memory, with the part of the API that provisioning and the doctor use.
//!
//! As the real one (seen in 12.2) it keeps no message for the first version of a dashboard, writes `id`, `uid` and `version` into
//! its JSON, has no health check for Tempo, refuses to write what a file provisioned, and keeps a rule as its file has it: where the
//! API would write Grafana's address, with the word that Grafana fills in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contextcore_core::lock;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Its state.
#[derive(Default)]
struct World {
    version: String,
    folders: BTreeMap<String, Value>,
    sources: BTreeMap<String, Value>,
    dashboards: BTreeMap<String, Dashboard>,
    rules: BTreeMap<String, Value>,
    /// Data sources behind whose address there is no Tempo.
    wrong: Vec<String>,
    /// Writes under this path get this status.
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

/// What Grafana says of the first version of a dashboard.
const FIRST: &str = "Initial save";

pub(crate) struct Fake {
    pub(crate) url: String,
    world: Shared,
    _serving: JoinSet<()>,
}

impl Fake {
    pub(crate) const TOKEN: &str = "glsa_test";
    /// The administrator's name and password.
    pub(super) const LOGIN: &str = "admin:pass:word";

    pub(crate) async fn start(version: &str) -> Self {
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

    /// Saves a change as a browser does: in its own schema, without the fields it does not know.
    pub(super) fn edit_in_browser(&self, uid: &str) {
        let mut world = lock(&self.world);
        let dashboard = world.dashboards.get_mut(uid).unwrap();
        dashboard.json.as_object_mut().unwrap().retain(|name, _| name != "contextcoreHash");
        dashboard.json["schemaVersion"] = json!(42);
        dashboard.messages.push(String::new());
    }

    /// Saves a change as a script does: all fields as they were read, but for one.
    pub(super) fn edit_over_api(&self, uid: &str) {
        let mut world = lock(&self.world);
        let dashboard = world.dashboards.get_mut(uid).unwrap();
        dashboard.json["panels"][0]["title"] = json!("Mine");
        dashboard.messages.push(String::new());
    }

    pub(super) fn add_dashboard(&self, json: Value) {
        let uid = json["uid"].as_str().unwrap().to_owned();
        let dashboard = Dashboard { json, messages: vec![String::new()], ..Dashboard::default() };
        lock(&self.world).dashboards.insert(uid, dashboard);
    }

    pub(super) fn edit_rule(&self, uid: &str) {
        lock(&self.world).rules.get_mut(uid).unwrap()["for"] = json!("42m");
    }

    pub(super) fn edit_source(&self, uid: &str) {
        lock(&self.world).sources.get_mut(uid).unwrap()["url"] = json!("http://mine");
    }

    /// Makes a dashboard look as if an older version of this program had saved it, with these messages.
    pub(super) fn age(&self, uid: &str, messages: &[&str]) {
        let mut world = lock(&self.world);
        let dashboard = world.dashboards.get_mut(uid).unwrap();
        dashboard.json.as_object_mut().unwrap().retain(|name, _| name != "contextcoreHash");
        dashboard.json["title"] = json!("Older");
        dashboard.messages = messages.iter().map(|message| (*message).to_owned()).collect();
    }

    /// Makes a rule look as if an older version of this program had written it.
    pub(super) fn age_rule(&self, uid: &str) {
        let mut world = lock(&self.world);
        let rule = world.rules.get_mut(uid).unwrap();
        rule["title"] = json!("Older");
        let hash = super::fingerprint::rule_hash(rule);
        rule["annotations"]["contextcore_hash"] = json!(hash);
    }

    pub(super) fn pause(&self, rule: &str) {
        lock(&self.world).rules.get_mut(rule).unwrap()["isPaused"] = json!(true);
    }

    pub(super) fn is_paused(&self, rule: &str) -> bool {
        lock(&self.world).rules[rule]["isPaused"] == json!(true)
    }

    pub(crate) fn add_source(&self, kind: &str, uid: &str) {
        let source =
            json!({"uid": uid, "name": uid, "type": kind, "access": "proxy", "url": "http://x", "jsonData": {}});
        lock(&self.world).sources.insert(uid.to_owned(), source);
    }

    pub(super) fn add_folder(&self, uid: &str, title: &str) {
        lock(&self.world).folders.insert(uid.to_owned(), json!({"uid": uid, "title": title, "version": 1}));
    }

    pub(super) fn provision_by_file(&self, dashboard: &str, source: &str, rule: &str) {
        let mut world = lock(&self.world);
        world.dashboards.get_mut(dashboard).unwrap().provisioned = true;
        world.sources.get_mut(source).unwrap()["readOnly"] = json!(true);
        let rule = world.rules.get_mut(rule).unwrap();
        rule["provenance"] = json!("file");
        let annotations = rule["annotations"].as_object_mut().unwrap();
        annotations.remove("contextcore_hash");
        for text in annotations.values_mut() {
            *text = json!(text.as_str().unwrap().replace(&format!("{}/", self.url), "{{ externalURL }}"));
        }
    }

    /// Lets the address of a data source lead to something that is no Tempo.
    pub(crate) fn mislead(&self, source: &str) {
        lock(&self.world).wrong.push(source.to_owned());
    }

    #[cfg(feature = "kubernetes")]
    pub(super) fn parent_of(&self, folder: &str) -> Option<String> {
        lock(&self.world).folders.get(folder)?["parentUid"].as_str().map(str::to_owned)
    }

    #[cfg(feature = "kubernetes")]
    pub(super) fn delete(&self, dashboard: &str) {
        lock(&self.world).dashboards.remove(dashboard);
    }

    #[cfg(feature = "kubernetes")]
    pub(super) fn uids(&self) -> Vec<String> {
        lock(&self.world).dashboards.keys().cloned().collect()
    }

    pub(super) fn folder_of(&self, dashboard: &str) -> String {
        lock(&self.world).dashboards[dashboard].folder.clone()
    }

    pub(super) fn rule_source(&self, rule: &str) -> String {
        lock(&self.world).rules[rule]["data"][0]["datasourceUid"].as_str().unwrap().to_owned()
    }

    /// The default data source of a variable of a dashboard.
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
    let login = headers.get("authorization").and_then(|value| value.to_str().ok());
    if path == "/api/health" {
        return (StatusCode::OK, axum::Json(json!({"database": "ok", "version": world.version}))).into_response();
    }
    let known = [format!("Bearer {}", Fake::TOKEN), format!("Basic {}", STANDARD.encode(Fake::LOGIN))];
    if !known.iter().any(|known| login == Some(known)) {
        return message(401, "Invalid API key");
    }
    if method != Method::GET {
        if let Some((refused, status)) = world.refusal.clone().filter(|(refused, _)| path.starts_with(refused)) {
            return message(status, &format!("refused: {refused}"));
        }
        world.writes += 1;
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if path == "/api/search" {
        return world.search(uri.query().unwrap_or_default());
    }
    world.route(&method, path, &body)
}

fn message(status: u16, message: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(json!({"message": message}))).into_response()
}

fn found(value: Option<&Value>) -> Response {
    value.map_or_else(|| message(404, "not found"), |value| axum::Json(value).into_response())
}

impl World {
    fn route(&mut self, method: &Method, path: &str, body: &Value) -> Response {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            // Only those at the top, unless a parent is named.
            ("GET", ["api", "folders"]) => {
                let top = self.folders.values().filter(|folder| folder["parentUid"].is_null());
                axum::Json(top.cloned().collect::<Vec<_>>()).into_response()
            }
            ("GET", ["api", "folders", uid]) => found(self.folders.get(*uid)),
            ("POST", ["api", "folders"]) => {
                let parent = body["parentUid"].as_str();
                if parent.is_some_and(|parent| !self.folders.contains_key(parent)) {
                    return message(404, "parent folder not found");
                }
                let mut folder = body.clone();
                folder["version"] = json!(1);
                keep(&mut self.folders, body["uid"].as_str().unwrap(), folder)
            }
            ("PUT", ["api", "folders", uid]) => {
                let folder = self.folders.get_mut(*uid).unwrap();
                if folder["version"] != body["version"] {
                    return message(412, "the folder has been changed by someone else");
                }
                folder["title"] = body["title"].clone();
                found(self.folders.get(*uid))
            }
            ("GET", ["api", "datasources"]) => {
                axum::Json(self.sources.values().cloned().collect::<Vec<_>>()).into_response()
            }
            ("POST", ["api", "datasources"]) => keep(&mut self.sources, body["uid"].as_str().unwrap(), body.clone()),
            ("PUT", ["api", "datasources", "uid", uid]) => {
                if self.sources[*uid]["readOnly"] == json!(true) {
                    return message(403, "Cannot update read-only data source");
                }
                keep(&mut self.sources, uid, body.clone())
            }
            ("GET", ["api", "datasources", "uid", uid, "health"]) => match self.sources[*uid]["type"].as_str() {
                Some("tempo") => message(404, "Method not implemented"),
                _ => message(200, "Successfully queried the API."),
            },
            ("GET", ["api", "datasources", "proxy", "uid", uid, "api", "echo"]) => self.echo(uid),
            ("GET", ["api", "dashboards", "uid", uid]) => self.dashboard(uid),
            ("GET", ["api", "dashboards", "uid", uid, "versions"]) => self.versions(uid),
            ("POST", ["api", "dashboards", "db"]) => self.save(body),
            ("DELETE", ["api", "dashboards", "uid", uid]) => match self.dashboards.remove(*uid) {
                Some(_) => message(200, "deleted"),
                None => message(404, "Dashboard not found"),
            },
            ("GET", ["api", "v1", "provisioning", "alert-rules", uid]) => found(self.rules.get(*uid)),
            ("POST", ["api", "v1", "provisioning", "alert-rules"]) => {
                keep(&mut self.rules, body["uid"].as_str().unwrap(), body.clone())
            }
            ("PUT", ["api", "v1", "provisioning", "alert-rules", uid]) => {
                if self.rules[*uid]["provenance"].is_string() {
                    return message(500, "cannot change provenance from 'file' to ''");
                }
                keep(&mut self.rules, uid, body.clone())
            }
            _ => message(404, "not found"),
        }
    }

    /// Dashboards that have all tags that are asked for, a page of them.
    fn search(&self, query: &str) -> Response {
        let of = |key: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .filter(|(name, _)| *name == key)
                .map(|(_, value)| value.replace("%3A", ":"))
                .collect::<Vec<_>>()
        };
        let number = |key: &str, default: usize| of(key).first().and_then(|text| text.parse().ok()).unwrap_or(default);
        let (tags, limit, page) = (of("tag"), number("limit", 1_000), number("page", 1));
        let has = |dashboard: &Dashboard, tag: &String| {
            dashboard.json["tags"].as_array().into_iter().flatten().any(|one| one == tag.as_str())
        };
        let fitting = self.dashboards.iter().filter(|(_, dashboard)| tags.iter().all(|tag| has(dashboard, tag)));
        let found = fitting.skip((page - 1) * limit).take(limit);
        let found: Vec<Value> = found.map(|(uid, _)| json!({"uid": uid, "type": "dash-db"})).collect();
        axum::Json(found).into_response()
    }

    /// What is behind the proxy of a data source.
    fn echo(&self, uid: &str) -> Response {
        let tempo = self.sources[uid]["type"] == json!("tempo") && !self.wrong.iter().any(|wrong| wrong == uid);
        if tempo { "echo".into_response() } else { (StatusCode::NOT_FOUND, "404 page not found\n").into_response() }
    }

    fn dashboard(&self, uid: &str) -> Response {
        let found_one = self.dashboards.get(uid).map(|dashboard| {
            let mut json = dashboard.json.clone();
            json["id"] = json!(42);
            json["uid"] = json!(uid);
            json["version"] = json!(dashboard.messages.len());
            let file = if dashboard.provisioned { format!("{uid}.json") } else { String::new() };
            let meta = json!({"folderUid": dashboard.folder, "provisioned": dashboard.provisioned, "provisionedExternalId": file});
            json!({"dashboard": json, "meta": meta})
        });
        found(found_one.as_ref())
    }

    /// A list up to Grafana 11, an object since.
    fn versions(&self, uid: &str) -> Response {
        let messages = self.dashboards[uid].messages.iter().enumerate().rev();
        let shown = |place: usize, message: &str| if place == 0 { FIRST.to_owned() } else { message.to_owned() };
        let list: Vec<Value> =
            messages.map(|(place, message)| json!({"version": place + 1, "message": shown(place, message)})).collect();
        let old = self.version.starts_with("11.");
        axum::Json(if old { json!(list) } else { json!({"versions": list, "continueToken": ""}) }).into_response()
    }

    fn save(&mut self, body: &Value) -> Response {
        let uid = body["dashboard"]["uid"].as_str().unwrap().to_owned();
        let version = body["dashboard"]["version"].as_u64().unwrap_or(0);
        let known = self.dashboards.entry(uid).or_default();
        let clash = !known.messages.is_empty() && version != known.messages.len() as u64;
        if known.provisioned {
            return message(400, "Cannot save provisioned dashboard");
        }
        if clash && body["overwrite"] != json!(true) {
            return message(412, "The dashboard has been changed by someone else");
        }
        known.json = body["dashboard"].clone();
        known.json.as_object_mut().unwrap().retain(|name, _| !["id", "uid", "version"].contains(&name.as_str()));
        known.folder = body["folderUid"].as_str().unwrap().to_owned();
        known.messages.push(body["message"].as_str().unwrap().to_owned());
        message(200, "saved")
    }
}

fn keep(all: &mut BTreeMap<String, Value>, uid: &str, value: Value) -> Response {
    all.insert(uid.to_owned(), value);
    found(all.get(uid))
}
