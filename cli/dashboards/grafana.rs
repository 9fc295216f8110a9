//! The client for the part of Grafana's HTTP API that provisioning needs. It works with Grafana 11 and 12, by a service
//! account's token or a user's password.
//!
//! Every call returns what it found, or an error that says what to do. A 404 is no error where the object may be missing.

#[cfg(feature = "kubernetes")]
use std::collections::BTreeSet;
use std::path::Path;

use contextcore_core::http::Auth;
use contextcore_core::http::service::{Reply, Service};
use contextcore_core::model::secret::Secret;
use contextcore_core::{Error, ErrorKind, Result};
use contextcore_dashboards::datasources::DataSource;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

/// The oldest major version that can read the dashboards.
const OLDEST: u32 = 11;

/// Dashboards on a page of a search.
#[cfg(feature = "kubernetes")]
const PAGE: usize = 1_000;
/// Under this name an error has the status that Grafana answered with.
pub(super) const STATUS: &str = "status";

/// A Grafana.
pub(crate) struct Grafana {
    service: Service,
}

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) uid: String,
    pub(crate) title: String,
    /// The version, which an update must name.
    pub(crate) version: i64,
}

/// An existing dashboard.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stored {
    pub(crate) json: Value,
    pub(crate) version: i64,
    pub(crate) folder: String,
    /// The file it comes from, which would overwrite whatever is written here; empty when Grafana does not name it.
    pub(crate) file: Option<String>,
}

/// An existing data source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredSource {
    pub(crate) source: DataSource,
    pub(crate) read_only: bool,
    pub(crate) is_default: bool,
}

impl Grafana {
    /// A client with a service account's token, or with `USER:PASSWORD`.
    pub(crate) fn new(url: &str, credential: Secret, ca_file: Option<&Path>) -> Result<Self> {
        Ok(Self { service: Service::new("Grafana", url, Auth::of_credential(&credential), ca_file)? })
    }

    pub(crate) fn url(&self) -> &str {
        self.service.url()
    }

    async fn get(&self, path: &str, query: &[(&str, &str)], doing: &str) -> Result<Option<Value>> {
        let reply = self.service.get(path, query).await.map_err(unreachable)?;
        if reply.status == 404 {
            return Ok(None);
        }
        done(&reply, doing).map(Some)
    }

    async fn send(&self, method: Method, path: &str, body: &Value, doing: &str) -> Result<Value> {
        let mut headers = HeaderMap::new();
        // Without it, what the API provisions is locked in Grafana, and rules cannot be paused there.
        headers.insert("x-disable-provenance", HeaderValue::from_static("true"));
        let reply = self.service.send(method, path, headers, body).await.map_err(unreachable)?;
        done(&reply, doing)
    }

    /// Its version, which must be new enough; `None` when Grafana does not show it. This also proves the token.
    pub(crate) async fn version(&self) -> Result<Option<String>> {
        let health = self.get("/api/health", &[], "ask for its version").await?;
        let Some(version) = health.filter(|health| health.get("database").is_some()) else {
            let text = "there is no Grafana at this address: give its root, with the path it is served under";
            return Err(Error::new(ErrorKind::Export, text).with("url", self.url()));
        };
        self.get("/api/folders", &[("limit", "1")], "log in").await?;
        let Some(version) = version.get("version").and_then(Value::as_str).map(str::to_owned) else { return Ok(None) };
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major < OLDEST) {
            let text = format!("Grafana {version} is too old: the dashboards need Grafana {OLDEST} or newer");
            return Err(Error::new(ErrorKind::Export, text).with("url", self.url()));
        }
        Ok(Some(version))
    }

    /// The folder with this title, else the one with this uid.
    pub(crate) async fn folder(&self, title: &str, uid: &str) -> Result<Option<Folder>> {
        let all = self.get("/api/folders", &[("limit", "1000")], "list folders").await?.unwrap_or_default();
        let named = all.as_array().into_iter().flatten().find(|folder| text(folder, "title") == title);
        let uid = named.map_or(uid, |folder| folder.get("uid").and_then(Value::as_str).unwrap_or(uid));
        let found = self.get(&format!("/api/folders/{uid}"), &[], "read the folder").await?;
        Ok(found.map(|folder| Folder {
            uid: text(&folder, "uid"),
            title: text(&folder, "title"),
            version: folder.get("version").and_then(Value::as_i64).unwrap_or(0),
        }))
    }

    /// The folder with this uid.
    #[cfg(feature = "kubernetes")]
    pub(crate) async fn has_folder(&self, uid: &str) -> Result<bool> {
        Ok(self.get(&format!("/api/folders/{uid}"), &[], "read the folder").await?.is_some())
    }

    /// Makes a folder, within another if one is named.
    pub(crate) async fn create_folder(&self, title: &str, uid: &str, parent: Option<&str>) -> Result<Folder> {
        let mut body = json!({"uid": uid, "title": title});
        if let Some(parent) = parent {
            body["parentUid"] = parent.into();
        }
        let made = self.send(Method::POST, "/api/folders", &body, "create the folder").await?;
        Ok(Folder { uid: text(&made, "uid"), title: text(&made, "title"), version: 1 })
    }

    pub(crate) async fn rename_folder(&self, folder: &Folder, title: &str) -> Result<()> {
        let body = json!({"title": title, "version": folder.version});
        self.send(Method::PUT, &format!("/api/folders/{}", folder.uid), &body, "rename the folder").await.map(drop)
    }

    /// Every data source; none when the token may not list them.
    pub(crate) async fn sources(&self) -> Result<Vec<StoredSource>> {
        let reply = self.service.get("/api/datasources", &[]).await.map_err(unreachable)?;
        if reply.status == 403 {
            return Ok(Vec::new());
        }
        let all = done(&reply, "list data sources")?;
        Ok(all.as_array().into_iter().flatten().filter_map(stored_source).collect())
    }

    pub(crate) async fn create_source(&self, source: &DataSource) -> Result<()> {
        self.send(Method::POST, "/api/datasources", &json!(source), "create a data source").await.map(drop)
    }

    pub(crate) async fn update_source(&self, source: &DataSource) -> Result<()> {
        let path = format!("/api/datasources/uid/{}", source.uid);
        self.send(Method::PUT, &path, &json!(source), "update a data source").await.map(drop)
    }

    pub(crate) async fn dashboard(&self, uid: &str) -> Result<Option<Stored>> {
        let found = self.get(&format!("/api/dashboards/uid/{uid}"), &[], "read a dashboard").await?;
        Ok(found.map(stored_dashboard))
    }

    /// The message of the newest version of a dashboard. For the first version it is always Grafana's own "Initial save".
    /// Grafana 11 returns a list, later versions an object.
    pub(crate) async fn newest_message(&self, uid: &str) -> Result<Option<String>> {
        let path = format!("/api/dashboards/uid/{uid}/versions");
        let found = self.get(&path, &[("limit", "10")], "read a dashboard's history").await?.unwrap_or_default();
        let list = found.get("versions").unwrap_or(&found).as_array().cloned().unwrap_or_default();
        let newest = list.into_iter().max_by_key(|version| version["version"].as_i64());
        Ok(newest.map(|version| text(&version, "message")))
    }

    /// The uids of all dashboards that have these tags.
    #[cfg(feature = "kubernetes")]
    pub(crate) async fn tagged(&self, tags: [&str; 2]) -> Result<BTreeSet<String>> {
        let mut uids = BTreeSet::new();
        for page in 1.. {
            let (limit, page) = (PAGE.to_string(), page.to_string());
            let [one, other] = tags;
            let query = [("type", "dash-db"), ("tag", one), ("tag", other), ("limit", &limit), ("page", &page)];
            let found = self.get("/api/search", &query, "search for dashboards").await?.unwrap_or_default();
            let found: Vec<String> = found.as_array().into_iter().flatten().map(|one| text(one, "uid")).collect();
            let is_last = found.len() < PAGE;
            uids.extend(found);
            if is_last {
                break;
            }
        }
        Ok(uids)
    }

    #[cfg(feature = "kubernetes")]
    pub(crate) async fn delete_dashboard(&self, uid: &str) -> Result<()> {
        let path = format!("/api/dashboards/uid/{uid}");
        self.send(Method::DELETE, &path, &json!({}), "delete a dashboard").await.map(drop)
    }

    /// Saves a dashboard over the version that it names, or over any with `overwrite`.
    pub(crate) async fn save_dashboard(
        &self,
        dashboard: &Value,
        folder: &str,
        message: &str,
        overwrite: bool,
    ) -> Result<()> {
        let body = json!({"dashboard": dashboard, "folderUid": folder, "message": message, "overwrite": overwrite});
        self.send(Method::POST, "/api/dashboards/db", &body, "save a dashboard").await.map(drop)
    }

    pub(crate) async fn rule(&self, uid: &str) -> Result<Option<Value>> {
        self.get(&format!("/api/v1/provisioning/alert-rules/{uid}"), &[], "read an alert rule").await
    }

    pub(crate) async fn create_rule(&self, rule: &Value) -> Result<()> {
        self.send(Method::POST, "/api/v1/provisioning/alert-rules", rule, "create an alert rule").await.map(drop)
    }

    pub(crate) async fn update_rule(&self, uid: &str, rule: &Value) -> Result<()> {
        let path = format!("/api/v1/provisioning/alert-rules/{uid}");
        self.send(Method::PUT, &path, rule, "update an alert rule").await.map(drop)
    }

    /// Runs the health check of a data source in Grafana. 404 where its plug-in has none.
    pub(crate) async fn source_health(&self, uid: &str) -> Result<Reply> {
        let path = format!("/api/datasources/uid/{uid}/health");
        self.service.get(&path, &[]).await.map_err(unreachable)
    }

    /// Reads a path of the backend behind a data source, through Grafana.
    pub(crate) async fn through_source(&self, uid: &str, path: &str) -> Result<Reply> {
        let path = format!("/api/datasources/proxy/uid/{uid}{path}");
        self.service.get(&path, &[]).await.map_err(unreachable)
    }
}

fn stored_dashboard(found: Value) -> Stored {
    let Value::Object(mut found) = found else { return Stored::default() };
    let mut part = |name: &str| found.remove(name).unwrap_or_default();
    let (json, meta) = (part("dashboard"), part("meta"));
    let file = text(&meta, "provisionedExternalId");
    let from_file = meta["provisioned"].as_bool().unwrap_or(false) || !file.is_empty();
    Stored {
        version: json["version"].as_i64().or(meta["version"].as_i64()).unwrap_or(0),
        folder: text(&meta, "folderUid"),
        file: from_file.then_some(file),
        json,
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn stored_source(value: &Value) -> Option<StoredSource> {
    let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
    let source = serde_json::from_value(value.clone()).ok()?;
    Some(StoredSource { source, read_only: flag("readOnly"), is_default: flag("isDefault") })
}

/// For the exit code, no answer is a failure of the backend.
fn unreachable(error: Error) -> Error {
    if error.kind() == ErrorKind::Unavailable { Error::new(ErrorKind::Export, error.full()) } else { error }
}

/// The answer as JSON, or an error that says what to do.
pub(crate) fn done(reply: &Reply, doing: &str) -> Result<Value> {
    if reply.is_success() {
        return Ok(reply.json());
    }
    let message = reply.message();
    let text = match reply.status {
        401 => format!(
            "log in to Grafana: the credential was refused (401): {message}; make a token for a service account (its secret is \
             grafana.tokenSecret in the Helm chart)"
        ),
        403 => format!(
            "the token may not {doing} (403): {message}; give its service account the role Editor, and for data sources Admin"
        ),
        404 => format!("{doing}: not found (404): {message}"),
        409 | 412 => format!(
            "{doing}: it conflicts with what exists, or somebody changed it just now ({}): {message}; look at it, then run \
             this again",
            reply.status
        ),
        300..=399 => format!(
            "{doing}: redirected to {}; give the address of Grafana itself, with the path it is served under",
            reply.location.as_deref().unwrap_or("nowhere")
        ),
        status => format!("{doing}: Grafana answered {status}: {message}"),
    };
    Err(Error::new(ErrorKind::Export, text).tagged(STATUS, reply.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        let reply = |status, body: &str| Reply { status, body: body.to_owned(), location: Some("/login".to_owned()) };
        let text = |status| {
            let reply = reply(status, r#"{"message":"Permissions needed: folders:create"}"#);
            done(&reply, "create the folder").unwrap_err().to_string()
        };
        assert!(text(401).contains("service account"));
        assert!(text(403).contains("may not create the folder") && text(403).contains("folders:create"));
        assert!(text(412).contains("run this again"));
        assert!(text(302).contains("/login"));
        assert!(text(500).contains("answered 500"));
    }
}
