//! Brings the dashboards of services to Grafana, for the controller: with the same client and the same care as `dashboards
//! provision`. What somebody changed in Grafana is left alone.
//!
//! A dashboard that was sent and is still there is not read again: with some hundred services, reading each of them every ten
//! minutes would be most of what the controller does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use contextcore_core::model::secret::Secret;
use contextcore_core::{Error, Result, lock};
use contextcore_dashboards::datasources::Uids;
use contextcore_dashboards::{dashboards, service};
use contextcore_operator::grafana::{Left, ProvisionError, Provisioner, ServiceDashboard};
use contextcore_operator::settings::{GrafanaMode, Settings};
use serde_json::{Value, json};

use super::credential;
use super::grafana::{Grafana, STATUS};
use super::provision::{DesiredState, Done, EDITED, Home, data_sources, is_edited, save};

/// The title of the folder of all our dashboards.
const FOLDER: &str = "ContextCore";

/// Sends dashboards to a Grafana.
struct Services {
    url: String,
    /// File with the credential. Absent: it is in the environment.
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    /// Uid of the folder of all our dashboards.
    folder: String,
    /// Tag of the dashboards of this installation.
    tag: String,
    /// What was done with each dashboard.
    known: Mutex<BTreeMap<String, Known>>,
}

/// What was done with a dashboard.
#[derive(Clone)]
struct Known {
    /// What it was to be like, and where.
    wanted: String,
    /// Why it was left alone instead.
    left: Option<String>,
}

/// What sends dashboards to the Grafana of the settings; `None` when they say another way, or none.
///
/// # Errors
/// [`contextcore_core::ErrorKind::Config`] for an address or CA file that cannot be used.
pub(crate) fn provisioner(settings: &Settings) -> Result<Option<Box<dyn Provisioner>>> {
    let grafana = &settings.grafana;
    let Some(url) = grafana.address().filter(|_| grafana.mode() == Some(GrafanaMode::Url)) else { return Ok(None) };
    let services = Services {
        url: url.to_owned(),
        token_file: grafana.token_file.as_ref().map(PathBuf::from),
        ca_file: grafana.ca_file.as_ref().map(PathBuf::from),
        folder: grafana.folder_uid.clone(),
        tag: tag(settings),
        known: Mutex::default(),
    };
    services.client(Secret::new("none yet"))?;
    Ok(Some(Box::new(services)))
}

#[async_trait]
impl Provisioner for Services {
    async fn provision(&self, wanted: &[ServiceDashboard]) -> std::result::Result<Vec<Left>, ProvisionError> {
        let credential = credential(self.token_file.as_deref())
            .map_err(|error| ProvisionError { reason: "Unauthorized", message: error.full() })?;
        let done = async { self.bring(&self.client(credential)?, wanted).await };
        done.await.map_err(|error: Error| ProvisionError { reason: reason(&error), message: error.full() })
    }
}

/// The reason of the condition that an error leads to.
fn reason(error: &Error) -> &'static str {
    match error.context(STATUS) {
        Some("401" | "403") => "Unauthorized",
        _ => "GrafanaUnreachable",
    }
}

impl Services {
    fn client(&self, credential: Secret) -> Result<Grafana> {
        Grafana::new(&self.url, credential, self.ca_file.as_deref())
    }

    async fn bring(&self, grafana: &Grafana, wanted: &[ServiceDashboard]) -> Result<Vec<Left>> {
        grafana.version().await?;
        let folder = self.make_folders(grafana, wanted).await?;
        let desired = DesiredState { folder: FOLDER.to_owned(), urls: Vec::new(), force: false };
        let uids = data_sources(grafana, &desired, &mut Vec::new()).await?;
        let there = grafana.tagged([service::TAG, &self.tag]).await?;
        lock(&self.known).retain(|uid, _| !uid.starts_with("cc-svc-") || there.contains(uid));
        let mut left = Vec::new();
        for (_, dashboard) in dashboards() {
            // `dashboards provision` may have put them into a folder that was chosen for them.
            left.extend(self.one(grafana, &json!(dashboard), Home::FirstIn(&folder), uids.as_ref()).await?);
        }
        for dashboard in wanted {
            let json = tagged(&dashboard.json, &self.tag);
            left.extend(self.one(grafana, &json, Home::In(&dashboard.folder_uid), uids.as_ref()).await?);
        }
        left.extend(remove(grafana, &there, wanted).await?);
        Ok(left)
    }

    /// Makes the folders that are missing, and returns the uid of the one that all are in.
    async fn make_folders(&self, grafana: &Grafana, wanted: &[ServiceDashboard]) -> Result<String> {
        let parent = self.make_folder(grafana).await?;
        let folders: BTreeSet<_> =
            wanted.iter().map(|dashboard| (&*dashboard.folder_uid, &*dashboard.folder_title)).collect();
        for (uid, title) in folders {
            if !grafana.has_folder(uid).await? {
                grafana.create_folder(title, uid, Some(&parent)).await?;
            }
        }
        Ok(parent)
    }

    /// The folder of all dashboards: by its uid, else the one that `dashboards provision` would find by its title.
    async fn make_folder(&self, grafana: &Grafana) -> Result<String> {
        if grafana.has_folder(&self.folder).await? {
            return Ok(self.folder.clone());
        }
        match grafana.folder(FOLDER, &self.folder).await? {
            Some(found) => Ok(found.uid),
            None => Ok(grafana.create_folder(FOLDER, &self.folder, None).await?.uid),
        }
    }

    /// Brings one dashboard to its state, unless it is known to be there.
    async fn one(
        &self,
        grafana: &Grafana,
        dashboard: &Value,
        home: Home<'_>,
        uids: Option<&Uids>,
    ) -> Result<Option<Left>> {
        let uid = dashboard["uid"].as_str().unwrap_or_default().to_owned();
        let wanted = blake3::hash(format!("{home:?} {uids:?} {dashboard}").as_bytes()).to_hex().to_string();
        let known = lock(&self.known).get(&uid).filter(|known| known.wanted == wanted).cloned();
        let known = match known {
            Some(known) => known,
            None => {
                let step = save(grafana, false, home, dashboard, uids).await?;
                Known { wanted, left: (step.done == Done::Left).then_some(step.note) }
            }
        };
        lock(&self.known).insert(uid.clone(), known.clone());
        Ok(known.left.map(|why| Left { uid, why }))
    }
}

/// What is sent for dashboards, without what depends on the Grafana: data sources, versions and the signature.
pub(crate) fn bodies(wanted: &[ServiceDashboard], settings: &Settings) -> Vec<Value> {
    let body = |dashboard: &ServiceDashboard| {
        json!({
            "folderUid": dashboard.folder_uid,
            "folderTitle": dashboard.folder_title,
            "dashboard": tagged(&dashboard.json, &tag(settings)),
        })
    };
    wanted.iter().map(body).collect()
}

/// Tag of the dashboards of an installation.
fn tag(settings: &Settings) -> String {
    format!("instance:{}", settings.instance)
}

fn tagged(dashboard: &Value, tag: &str) -> Value {
    let mut dashboard = dashboard.clone();
    if let Some(tags) = dashboard["tags"].as_array_mut() {
        tags.push(tag.into());
    }
    dashboard
}

/// Deletes the dashboards whose contexts are gone. One that somebody changed is theirs.
async fn remove(grafana: &Grafana, there: &BTreeSet<String>, wanted: &[ServiceDashboard]) -> Result<Vec<Left>> {
    let mut left = Vec::new();
    let is_wanted = |uid: &String| wanted.iter().any(|dashboard| dashboard.uid == *uid);
    for uid in there.iter().filter(|uid| uid.starts_with("cc-svc-") && !is_wanted(uid)) {
        let Some(stored) = grafana.dashboard(uid).await? else { continue };
        if is_edited(grafana, uid, &stored).await? {
            left.push(Left { uid: uid.clone(), why: format!("its context is gone, but {}", EDITED) });
        } else {
            grafana.delete_dashboard(uid).await?;
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::super::provision::provision;
    use super::*;

    fn dashboard(name: &str, folder: &str, title: &str) -> ServiceDashboard {
        let uid = service::uid("shop", name);
        let json =
            json!({"uid": uid, "title": title, "tags": [service::TAG], "schemaVersion": 39, "panels": [{"id": 1}]});
        ServiceDashboard {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            uid,
            folder_uid: format!("contextcore-{folder}"),
            folder_title: folder.to_owned(),
            json,
        }
    }

    fn services(url: &str, token: &str) -> (Box<dyn Provisioner>, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), token).unwrap();
        let text = format!("grafana: {{url: '{url}', tokenFile: '{}'}}", file.path().display());
        (provisioner(&Settings::parse("s.yaml", &text).unwrap()).unwrap().unwrap(), file)
    }

    #[tokio::test]
    async fn dashboards_are_made_kept_moved_and_deleted() {
        let fake = Fake::start("12.0.0").await;
        let (services, _token) = services(&fake.url, Fake::TOKEN);
        let (cart, search) = (dashboard("cart", "services", "Cart"), dashboard("search", "featured", "Search"));
        services.provision(&[cart.clone(), search.clone()]).await.unwrap();
        assert_eq!(fake.uids().len(), 3 + 2);
        assert_eq!(fake.folder_of(&cart.uid), "contextcore-services");
        assert_eq!(fake.parent_of("contextcore-services").as_deref(), Some("contextcore"));
        assert_eq!(fake.folder_of("contextcore-portfolio"), "contextcore");
        let writes = fake.writes();
        assert_eq!(services.provision(&[cart.clone(), search.clone()]).await, Ok(vec![]));
        assert_eq!(fake.writes(), writes, "nothing changed, so nothing is sent");
        // Another process knows nothing of it, and finds it as it should be.
        let (other, _token) = self::services(&fake.url, Fake::TOKEN);
        assert_eq!(other.provision(&[cart.clone(), search.clone()]).await, Ok(vec![]));
        assert_eq!(fake.writes(), writes);
        let moved = ServiceDashboard { folder_uid: search.folder_uid, ..cart };
        services.provision(std::slice::from_ref(&moved)).await.unwrap();
        assert_eq!(fake.folder_of(&moved.uid), "contextcore-featured");
        assert_eq!(fake.uids().iter().filter(|uid| uid.starts_with("cc-svc-")).count(), 1, "the other is gone");
    }

    #[tokio::test]
    async fn dashboards_that_were_provisioned_into_another_folder_stay_there() {
        let fake = Fake::start("12.0.0").await;
        fake.add_folder("theirs", "Work");
        let work = DesiredState { folder: "Work".to_owned(), urls: Vec::new(), force: false };
        let grafana = Grafana::new(&fake.url, Secret::new(Fake::TOKEN), None).unwrap();
        provision(&grafana, &work).await.unwrap();
        let (services, _token) = services(&fake.url, Fake::TOKEN);
        let cart = dashboard("cart", "services", "Cart");
        services.provision(std::slice::from_ref(&cart)).await.unwrap();
        assert_eq!(fake.folder_of("contextcore-portfolio"), "theirs");
        assert_eq!(fake.folder_of(&cart.uid), "contextcore-services");
        let writes = fake.writes();
        provision(&grafana, &work).await.unwrap();
        services.provision(std::slice::from_ref(&cart)).await.unwrap();
        assert_eq!(fake.writes(), writes, "neither undoes what the other did");
    }

    #[tokio::test]
    async fn a_folder_of_our_title_is_used() {
        let fake = Fake::start("12.0.0").await;
        fake.add_folder("theirs", FOLDER);
        let (services, _token) = services(&fake.url, Fake::TOKEN);
        services.provision(&[dashboard("cart", "services", "Cart")]).await.unwrap();
        assert_eq!(fake.folder_of("contextcore-portfolio"), "theirs");
        assert_eq!(fake.parent_of("contextcore-services").as_deref(), Some("theirs"));
    }

    #[tokio::test]
    async fn what_somebody_changed_is_left_alone_and_what_they_deleted_comes_back() {
        let fake = Fake::start("12.0.0").await;
        let (services, _token) = services(&fake.url, Fake::TOKEN);
        let cart = dashboard("cart", "services", "Cart");
        services.provision(std::slice::from_ref(&cart)).await.unwrap();
        fake.edit_over_api(&cart.uid);
        let changed = ServiceDashboard { json: dashboard("cart", "services", "Basket").json, ..cart.clone() };
        for _ in 0..2 {
            let left = services.provision(std::slice::from_ref(&changed)).await.unwrap();
            assert!(left.len() == 1 && left[0].uid == cart.uid && left[0].why.contains("somebody changed"), "{left:?}");
        }
        let left = services.provision(&[]).await.unwrap();
        assert!(left[0].why.contains("its context is gone"), "{left:?}");
        fake.delete(&cart.uid);
        services.provision(std::slice::from_ref(&cart)).await.unwrap();
        assert!(fake.uids().contains(&cart.uid));
    }

    #[tokio::test]
    async fn what_went_wrong_is_a_reason_of_the_condition() {
        let fake = Fake::start("12.0.0").await;
        let failed = async |url: &str, token: &str| {
            let (services, _token) = services(url, token);
            services.provision(&[]).await.unwrap_err()
        };
        let refused = failed(&fake.url, "wrong").await;
        assert!(refused.reason == "Unauthorized" && refused.message.contains("401"), "{refused:?}");
        let unreachable = failed("http://127.0.0.1:1", Fake::TOKEN).await;
        assert_eq!(unreachable.reason, "GrafanaUnreachable", "{unreachable:?}");
        let nothing = failed(&fake.url, "").await;
        assert_eq!(nothing.reason, "Unauthorized", "{nothing:?}");
        fake.refuse_writes("/api/folders", 403);
        assert_eq!(failed(&fake.url, Fake::TOKEN).await.reason, "Unauthorized");
    }

    #[test]
    fn other_modes_send_nothing() {
        for text in ["", "grafana: {mode: sidecar}", "grafana: {mode: none, url: 'https://grafana.example'}"] {
            assert!(provisioner(&Settings::parse("s.yaml", text).unwrap()).unwrap().is_none(), "{text}");
        }
    }
}
