//! Provisioning: compares a Grafana with the desired state, and makes the missing changes.
//!
//! Changes made in Grafana are left alone unless `--force` is given. Something was changed there when it no longer matches the
//! [fingerprint](super::fingerprint) it carries. Dashboards of the first versions carry none: those are recognised by the
//! message of their newest version, and by [how they were created](is_created_by_older).

use contextcore_core::Result;
use contextcore_core::model::printable;
use contextcore_dashboards::alerts::{self, Place};
use contextcore_dashboards::datasources::{self, DataSource, Uids};
use contextcore_dashboards::{dashboards, model};
use serde::Serialize;
use serde_json::{Value, json};

use super::fingerprint::{
    dashboard_hash, rule_hash, sign_dashboard, sign_rule, sign_source, source_hash, stored_dashboard_hash,
    stored_rule_hash, stored_source_hash,
};
use super::grafana::{Folder, Grafana, Stored, StoredSource};
use crate::table::{Column, Table};

/// The uid of the folder that is created.
const FOLDER: &str = "contextcore";
/// How the message of a version written by this program begins.
const MESSAGE: &str = "contextcore dashboards provision";

/// What Grafana should have.
#[derive(Debug, Clone)]
pub(crate) struct DesiredState {
    pub(crate) folder: String,
    /// The addresses of data sources, by kind.
    pub(crate) urls: Vec<(&'static str, String)>,
    /// Overwrite changes made in Grafana.
    pub(crate) force: bool,
}

/// The result for one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    /// `folder`, `data source`, `dashboard` or `alert rule`.
    pub(crate) what: &'static str,
    pub(crate) name: String,
    pub(crate) done: Done,
    /// Why it was left alone, or where it is.
    pub(crate) note: String,
}

/// What was done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Done {
    Created,
    Updated,
    Unchanged,
    /// It exists, belongs to somebody else, and is used.
    Found,
    /// It should have been changed and was not.
    Left,
}

impl Done {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Found => "found",
            Self::Left => "left alone",
        }
    }
}

/// The result of provisioning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// The version of Grafana, if it says.
    pub(crate) version: Option<String>,
    pub(crate) steps: Vec<Step>,
    /// The address of the first dashboard.
    pub(crate) url: String,
}

impl Report {
    pub(crate) fn left(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.done == Done::Left)
    }

    pub(crate) fn errors(&self) -> String {
        let line = |step: &Step| {
            let (name, note) = (printable::one_line(&step.name), printable::one_line(&step.note));
            format!("error: {} {name}: {note}\n", step.what)
        };
        self.left().map(line).collect()
    }

    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let mut table =
            Table::new(&[("", Column::Left), ("", Column::Left), ("", Column::Left), ("", Column::Flexible)]);
        for step in &self.steps {
            let note = if step.done == Done::Left { String::new() } else { step.note.clone() };
            table.row([step.what.to_owned(), step.name.clone(), step.done.as_str().to_owned(), note]);
        }
        format!("{}\nLook at {}\n", table.render(width), self.url)
    }
}

fn step(what: &'static str, name: impl Into<String>, done: Done, note: impl Into<String>) -> Step {
    Step { what, name: name.into(), done, note: note.into() }
}

pub(super) const EDITED: &str = "somebody changed it in Grafana; --force overwrites that";
const FROM_FILE: &str = "it is provisioned by a file, and can only be changed there";

/// Brings a Grafana to the desired state.
pub(crate) async fn provision(grafana: &Grafana, desired: &DesiredState) -> Result<Report> {
    let version = grafana.version().await?;
    let mut steps = Vec::new();
    let folder = folder(grafana, desired, &mut steps).await?;
    let uids = data_sources(grafana, desired, &mut steps).await?;
    for (_, dashboard) in dashboards() {
        steps.push(save(grafana, desired.force, Home::In(&folder.uid), &json!(dashboard), uids.as_ref()).await?);
    }
    match &uids {
        Some(uids) => {
            let prometheus = uids.prometheus.clone();
            let place = Place { folder: folder.uid.clone(), prometheus, grafana: format!("{}/", grafana.url()) };
            for rule in alerts::rules() {
                steps.push(alert(grafana, desired, &rule, &place).await?);
            }
        }
        None => steps.push(step(
            "alert rules",
            "all",
            Done::Left,
            "no Prometheus data source is known: give --prometheus-url",
        )),
    }
    let url = format!("{}/d/{}", grafana.url(), contextcore_dashboards::PORTFOLIO);
    Ok(Report { version, steps, url })
}

async fn folder(grafana: &Grafana, desired: &DesiredState, steps: &mut Vec<Step>) -> Result<Folder> {
    let Some(found) = grafana.folder(&desired.folder, FOLDER).await? else {
        let made = grafana.create_folder(&desired.folder, FOLDER, None).await?;
        steps.push(step("folder", &desired.folder, Done::Created, ""));
        return Ok(made);
    };
    let done = if found.title == desired.folder {
        Done::Unchanged
    } else {
        grafana.rename_folder(&found, &desired.folder).await?;
        Done::Updated
    };
    steps.push(step("folder", &desired.folder, done, ""));
    Ok(found)
}

const KINDS: [&str; 3] = ["prometheus", "loki", "tempo"];

/// The data sources for the dashboards: ours where an address is given or they exist, else the existing ones. `None` when there
/// is no Prometheus, or the token may not see it.
pub(super) async fn data_sources(
    grafana: &Grafana,
    desired: &DesiredState,
    steps: &mut Vec<Step>,
) -> Result<Option<Uids>> {
    let existing = grafana.sources().await?;
    let mut uids = Uids::default();
    let mut known = true;
    for kind in KINDS {
        let given = desired.urls.iter().any(|(of, _)| *of == kind);
        match suitable(&existing, kind, uids.of(kind)).filter(|_| !given) {
            Some(found) => {
                steps.push(step("data source", &found.source.name, Done::Found, &found.source.url));
                let uid = found.source.uid.clone();
                match kind {
                    "tempo" => uids.tempo = uid,
                    "loki" => uids.loki = uid,
                    _ => uids.prometheus = uid,
                }
            }
            None if !given => {
                let note = format!("there is none: give --{kind}-url (or a token that may list data sources)");
                steps.push(step("data source", kind, Done::Left, note));
                known &= kind != "prometheus";
            }
            None => {}
        }
    }
    for (kind, url) in &desired.urls {
        steps.push(ensure_source(grafana, desired, &existing, &datasources::data_source(kind, url, &uids)).await?);
    }
    Ok(known.then_some(uids))
}

/// Ours, else the default of the kind, else the first.
fn suitable<'a>(existing: &'a [StoredSource], kind: &str, ours: &str) -> Option<&'a StoredSource> {
    let of_kind = || existing.iter().filter(|stored| stored.source.kind == kind);
    of_kind()
        .find(|stored| stored.source.uid == ours)
        .or_else(|| of_kind().find(|stored| stored.is_default))
        .or_else(|| of_kind().next())
}

async fn ensure_source(
    grafana: &Grafana,
    desired: &DesiredState,
    existing: &[StoredSource],
    source: &DataSource,
) -> Result<Step> {
    let signed = sign_source(source);
    let result = |done, note: &str| Ok(step("data source", &source.name, done, note));
    let Some(stored) = existing.iter().find(|stored| stored.source.uid == source.uid) else {
        grafana.create_source(&signed).await?;
        return result(Done::Created, &source.url);
    };
    let (as_written, now, wanted) =
        (stored_source_hash(&stored.source), source_hash(&stored.source), source_hash(source));
    if now == wanted {
        return result(Done::Unchanged, &source.url);
    }
    if stored.read_only {
        return result(Done::Left, FROM_FILE);
    }
    if as_written.as_deref() != Some(now.as_str()) && !desired.force {
        return result(Done::Left, EDITED);
    }
    grafana.update_source(&signed).await?;
    result(Done::Updated, &source.url)
}

/// Where a dashboard belongs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Home<'a> {
    /// In the folder with this uid.
    In(&'a str),
    /// In this folder, unless it is in another already: how the controller keeps them.
    #[cfg_attr(not(feature = "kubernetes"), expect(dead_code, reason = "there is no controller"))]
    FirstIn(&'a str),
}

/// Brings a dashboard to the wanted state, in a folder.
pub(super) async fn save(
    grafana: &Grafana,
    force: bool,
    home: Home<'_>,
    dashboard: &Value,
    uids: Option<&Uids>,
) -> Result<Step> {
    let mut json = sign_dashboard(with_sources(dashboard, uids));
    let message = format!("{MESSAGE} {}", stored_dashboard_hash(&json).unwrap_or_default());
    let result = |done, note: &str| Ok(step("dashboard", title(dashboard), done, note));
    let uid = dashboard["uid"].as_str().unwrap_or_default();
    let place = format!("{}/d/{uid}", grafana.url());
    let (Home::In(folder) | Home::FirstIn(folder)) = home;
    let Some(stored) = grafana.dashboard(uid).await? else {
        grafana.save_dashboard(&json, folder, &message, false).await?;
        return result(Done::Created, &place);
    };
    let folder = if matches!(home, Home::FirstIn(_)) { &stored.folder } else { folder };
    if let Some(file) = &stored.file {
        return Ok(of_file(dashboard, &stored, file, uids));
    }
    let edited = is_edited(grafana, uid, &stored).await?;
    let current = stored_dashboard_hash(&stored.json) == stored_dashboard_hash(&json);
    if !edited && current && stored.folder == folder {
        return result(Done::Unchanged, &place);
    }
    if edited && !force {
        return result(Done::Left, EDITED);
    }
    // Only over the version that was read: a concurrent change is a conflict.
    json["version"] = json!(stored.version);
    grafana.save_dashboard(&json, folder, &message, force).await?;
    result(Done::Updated, &place)
}

/// The result for a dashboard that comes from a file: whatever is saved over it, the file would overwrite again.
fn of_file(dashboard: &Value, stored: &Stored, file: &str, uids: Option<&Uids>) -> Step {
    let wanted = [None, uids].map(|uids| dashboard_hash(&with_sources(dashboard, uids)));
    let named = if file.is_empty() { String::new() } else { format!(" ({file})") };
    if wanted.contains(&dashboard_hash(&stored.json)) {
        return step("dashboard", title(dashboard), Done::Unchanged, format!("it is provisioned by a file{named}"));
    }
    let note = FROM_FILE.replacen("a file", &format!("a file{named}"), 1);
    step("dashboard", title(dashboard), Done::Left, note)
}

fn title(dashboard: &Value) -> &str {
    dashboard["title"].as_str().unwrap_or_default()
}

/// Whether somebody changed a dashboard since this program wrote it.
pub(super) async fn is_edited(grafana: &Grafana, uid: &str, stored: &Stored) -> Result<bool> {
    let hash = stored_dashboard_hash(&stored.json);
    if hash == Some(&dashboard_hash(&stored.json)) || (hash.is_none() && is_created_by_older(stored)) {
        return Ok(false);
    }
    // Grafana may also store a dashboard in another form than it was sent.
    let newest = grafana.newest_message(uid).await?.unwrap_or_default();
    Ok(!newest.starts_with(MESSAGE))
}

/// Whether a dashboard without a fingerprint is as an older version of this program created it. Grafana keeps no message for the
/// first version of a dashboard, so that shows by what only this program writes: data sources chosen by their uid, in a schema
/// older than the one that browsers write.
fn is_created_by_older(stored: &Stored) -> bool {
    let variables = stored.json["templating"]["list"].as_array().into_iter().flatten();
    let mut sources = variables.filter(|variable| variable["type"] == "datasource").peekable();
    let is_by_uid = |current: &Value| current["value"].is_string() && current["value"] == current["text"];
    stored.version == 1
        && stored.json["schemaVersion"] == model::SCHEMA_VERSION
        && sources.peek().is_some()
        && sources.all(|variable| is_by_uid(&variable["current"]))
}

/// The dashboard's JSON, with these data sources chosen at first.
fn with_sources(dashboard: &Value, uids: Option<&Uids>) -> Value {
    let mut json = dashboard.clone();
    let variables = json["templating"]["list"].as_array_mut().into_iter().flatten();
    for variable in variables.filter(|variable| variable["type"] == "datasource") {
        if let Some(uids) = uids {
            let uid = uids.of(variable["name"].as_str().unwrap_or_default()).to_owned();
            variable["current"] = json!({"selected": true, "text": uid, "value": uid});
        }
    }
    json
}

/// The rule as a file of `dashboards export` has it.
fn in_file(rule: &alerts::Rule, place: &Place) -> Value {
    rule.grafana(&Place { grafana: alerts::OWN_ADDRESS.to_owned(), ..place.clone() })
}

async fn alert(grafana: &Grafana, desired: &DesiredState, rule: &alerts::Rule, place: &Place) -> Result<Step> {
    let wanted = sign_rule(rule.grafana(place));
    let result = |done, note: &str| Ok(step("alert rule", rule.title, done, note));
    let Some(stored) = grafana.rule(rule.uid).await? else {
        grafana.create_rule(&wanted).await?;
        return result(Done::Created, "");
    };
    let (as_written, now) = (stored_rule_hash(&stored), rule_hash(&stored));
    if now == rule_hash(&wanted) && stored["folderUID"] == wanted["folderUID"] {
        return result(Done::Unchanged, "");
    }
    match stored["provenance"].as_str().unwrap_or_default() {
        "" => {}
        "file" if now == rule_hash(&in_file(rule, place)) => {
            return result(Done::Unchanged, "it is provisioned by a file");
        }
        "file" => return result(Done::Left, FROM_FILE),
        other => return result(Done::Left, &format!("it is provisioned by something else ({other}), which owns it")),
    }
    if as_written.as_deref() != Some(now.as_str()) && !desired.force {
        return result(Done::Left, EDITED);
    }
    let mut update = wanted;
    // Pausing a rule does not change it, and stays.
    update["isPaused"] = stored["isPaused"].clone();
    grafana.update_rule(rule.uid, &update).await?;
    result(Done::Updated, "")
}

#[cfg(test)]
mod tests {
    use contextcore_core::ErrorKind;
    use contextcore_core::model::secret::Secret;

    use super::super::fake::Fake;
    use super::*;

    fn desired(force: bool) -> DesiredState {
        let urls =
            [("prometheus", "http://prometheus:9090"), ("loki", "http://loki:3100"), ("tempo", "http://tempo:3200")];
        let urls = urls.map(|(kind, url)| (kind, url.to_owned())).to_vec();
        DesiredState { folder: "ContextCore".to_owned(), urls, force }
    }

    fn grafana(fake: &Fake) -> Grafana {
        Grafana::new(&fake.url, Secret::new(Fake::TOKEN), None).unwrap()
    }

    async fn run(fake: &Fake, desired: &DesiredState) -> Result<Report> {
        provision(&grafana(fake), desired).await
    }

    fn count(report: &Report, done: Done) -> usize {
        report.steps.iter().filter(|step| step.done == done).count()
    }

    /// A folder, three data sources, three dashboards, and the rules.
    fn everything() -> usize {
        1 + 3 + 3 + alerts::rules().len()
    }

    #[tokio::test]
    async fn an_empty_grafana_gets_everything_and_a_second_run_changes_nothing() {
        for version in ["11.0.0", "12.2.1"] {
            let fake = Fake::start(version).await;
            let first = run(&fake, &desired(false)).await.unwrap();
            assert_eq!(count(&first, Done::Created), everything(), "{first:?}");
            let writes = fake.writes();
            let second = run(&fake, &desired(false)).await.unwrap();
            assert_eq!(count(&second, Done::Unchanged), everything(), "{second:?}");
            assert_eq!(fake.writes(), writes);
            assert_eq!(fake.chosen_source("contextcore-project", "tempo"), "contextcore-tempo");
        }
    }

    #[tokio::test]
    async fn changes_made_in_grafana_stay_unless_forced() {
        let fake = Fake::start("12.0.0").await;
        run(&fake, &desired(false)).await.unwrap();
        fake.edit_in_browser("contextcore-project");
        fake.edit_over_api("contextcore-health");
        fake.edit_rule("contextcore-data-old");
        fake.edit_source("contextcore-loki");
        let report = run(&fake, &desired(false)).await.unwrap();
        let left: Vec<&str> = report.left().map(|step| step.name.as_str()).collect();
        assert_eq!(left, ["ContextCore Loki", "Project Details", "ContextCore Health", "Data older than an hour"]);
        assert!(report.errors().contains("--force"));
        let forced = run(&fake, &desired(true)).await.unwrap();
        assert_eq!((count(&forced, Done::Updated), forced.left().count()), (4, 0), "{forced:?}");
        assert_eq!(count(&run(&fake, &desired(false)).await.unwrap(), Done::Unchanged), everything());
    }

    #[tokio::test]
    async fn a_dashboard_of_somebody_else_with_our_uid_is_left_alone() {
        let fake = Fake::start("12.0.0").await;
        fake.add_dashboard(json!({"uid": "contextcore-project", "title": "Mine", "schemaVersion": 39, "panels": []}));
        let report = run(&fake, &desired(false)).await.unwrap();
        let left: Vec<&str> = report.left().map(|step| step.name.as_str()).collect();
        assert_eq!(left, ["Project Details"]);
    }

    #[tokio::test]
    async fn what_older_versions_wrote_is_updated_and_a_paused_rule_stays_paused() {
        let fake = Fake::start("12.0.0").await;
        run(&fake, &desired(false)).await.unwrap();
        // An older version created one, and wrote the other twice.
        fake.age("contextcore-portfolio", &[""]);
        fake.age("contextcore-project", &["", "contextcore dashboards provision 000000000000"]);
        fake.age_rule("contextcore-task-blocked");
        fake.pause("contextcore-task-blocked");
        let report = run(&fake, &desired(false)).await.unwrap();
        assert_eq!((count(&report, Done::Updated), report.left().count()), (3, 0), "{report:?}");
        assert!(fake.is_paused("contextcore-task-blocked"));
        assert_eq!(count(&run(&fake, &desired(false)).await.unwrap(), Done::Unchanged), everything());
    }

    #[tokio::test]
    async fn what_somebody_did_to_a_dashboard_of_an_older_version_stays() {
        let fake = Fake::start("12.0.0").await;
        run(&fake, &desired(false)).await.unwrap();
        fake.age("contextcore-portfolio", &[""]);
        fake.edit_in_browser("contextcore-portfolio");
        fake.age("contextcore-project", &["", ""]);
        let report = run(&fake, &desired(false)).await.unwrap();
        let left: Vec<&str> = report.left().map(|step| step.name.as_str()).collect();
        assert_eq!(left, ["Project Portfolio Overview", "Project Details"]);
    }

    #[tokio::test]
    async fn existing_data_sources_are_used() {
        let fake = Fake::start("12.0.0").await;
        let without = DesiredState { urls: vec![], ..desired(false) };
        let report = run(&fake, &without).await.unwrap();
        assert_eq!(report.left().count(), 4, "three data sources and the rules: {report:?}");
        for kind in KINDS {
            fake.add_source(kind, &format!("theirs-{kind}"));
        }
        let report = run(&fake, &without).await.unwrap();
        assert_eq!((count(&report, Done::Found), report.left().count()), (3, 0), "{report:?}");
        assert_eq!(fake.chosen_source("contextcore-health", "prometheus"), "theirs-prometheus");
        assert_eq!(fake.rule_source("contextcore-data-old"), "theirs-prometheus");
    }

    #[tokio::test]
    async fn objects_provisioned_by_files_are_left_alone_and_the_report_says_so() {
        let fake = Fake::start("12.0.0").await;
        run(&fake, &desired(false)).await.unwrap();
        fake.provision_by_file("contextcore-portfolio", "contextcore-tempo", "contextcore-scope-changed");
        let same = run(&fake, &desired(false)).await.unwrap();
        assert_eq!(same.left().count(), 0, "{same:?}");
        fake.provision_by_file("contextcore-health", "contextcore-tempo", "contextcore-data-old");
        fake.edit_over_api("contextcore-health");
        fake.edit_rule("contextcore-data-old");
        let other = DesiredState { urls: vec![("tempo", "http://elsewhere".to_owned())], ..desired(true) };
        let report = run(&fake, &other).await.unwrap();
        let left: Vec<&str> = report.left().map(|step| step.name.as_str()).collect();
        assert_eq!(left, ["ContextCore Tempo", "ContextCore Health", "Data older than an hour"]);
        assert!(report.left().all(|step| step.note.contains("provisioned by a file")), "{report:?}");
        assert!(report.errors().contains("(contextcore-health.json)"), "{}", report.errors());
    }

    #[tokio::test]
    async fn a_folder_is_found_by_its_title_or_renamed() {
        let fake = Fake::start("12.0.0").await;
        fake.add_folder("theirs", "Work");
        let work = DesiredState { folder: "Work".to_owned(), ..desired(false) };
        let report = run(&fake, &work).await.unwrap();
        assert_eq!(report.steps[0], step("folder", "Work", Done::Unchanged, ""));
        assert_eq!(fake.folder_of("contextcore-portfolio"), "theirs");
        fake.add_folder(FOLDER, "Old name");
        let report = run(&fake, &desired(false)).await.unwrap();
        assert_eq!(report.steps[0].done, Done::Updated);
    }

    #[tokio::test]
    async fn a_name_and_password_do_as_well_as_a_token() {
        let fake = Fake::start("12.0.0").await;
        let grafana = Grafana::new(&fake.url, Secret::new(Fake::LOGIN), None).unwrap();
        let report = provision(&grafana, &desired(false)).await.unwrap();
        assert!(report.steps.iter().any(|step| step.done == Done::Created), "{report:?}");
    }

    #[tokio::test]
    async fn refusals_name_the_missing_permission() {
        let fake = Fake::start("12.0.0").await;
        let wrong = Grafana::new(&fake.url, Secret::new("wrong"), None).unwrap();
        let error = provision(&wrong, &desired(false)).await.unwrap_err();
        assert!(error.to_string().contains("401") && error.kind() == ErrorKind::Export, "{error}");
        assert!(error.to_string().contains("grafana.tokenSecret"), "{error}");
        for (path, status, said) in [
            ("/api/folders", 403, "may not create the folder"),
            ("/api/dashboards/db", 412, "changed it just now"),
            ("/api/dashboards/db", 404, "not found (404)"),
            ("/api/v1/provisioning/alert-rules", 403, "may not create an alert rule"),
        ] {
            let fake = Fake::start("12.0.0").await;
            fake.refuse_writes(path, status);
            let error = run(&fake, &desired(false)).await.unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
        let old = run(&Fake::start("10.4.2").await, &desired(false)).await.unwrap_err();
        assert!(old.to_string().contains("Grafana 10.4.2 is too old"), "{old}");
    }

    #[tokio::test]
    async fn an_address_without_grafana_is_an_error() {
        let fake = Fake::start("12.0.0").await;
        let elsewhere = Grafana::new(&format!("{}/elsewhere", fake.url), Secret::new(Fake::TOKEN), None).unwrap();
        let error = provision(&elsewhere, &desired(false)).await.unwrap_err();
        assert!(error.to_string().contains("no Grafana at this address"), "{error}");
        let unreachable = Grafana::new("http://127.0.0.1:1", Secret::new(Fake::TOKEN), None).unwrap();
        assert_eq!(provision(&unreachable, &desired(false)).await.unwrap_err().kind(), ErrorKind::Export);
    }
}
