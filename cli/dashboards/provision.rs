//! Provisioning: compares what a Grafana has with what it shall have, and does what is missing.
//!
//! What a person changed in Grafana is left alone, unless `--force` is given. How that is seen: the message of a dashboard's
//! newest version is ours only if we wrote it; a data source and an alert rule carry a hash of what we wrote, which no longer
//! fits what is there once somebody changed it.

use contextcore_core::Result;
use contextcore_dashboards::alerts::{self, Place};
use contextcore_dashboards::datasources::{self, DataSource, Uids};
use contextcore_dashboards::{dashboards, model};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::grafana::{Folder, Grafana, StoredSource};
use crate::table::{Column, Table};

/// The uid of the folder we make.
const FOLDER: &str = "contextcore";
/// What the message of a version begins with that we wrote.
const MESSAGE: &str = "contextcore dashboards provision";
/// Where a data source keeps the hash of what we wrote.
const SOURCE_HASH: &str = "contextcoreHash";
/// Where an alert rule keeps it.
const RULE_HASH: &str = "contextcore_hash";

/// What somebody wants.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) folder: String,
    /// Addresses of data sources by kind.
    pub(crate) urls: Vec<(&'static str, String)>,
    /// Overwrite what people changed.
    pub(crate) force: bool,
}

/// What was done with one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    /// `folder`, `data source`, `dashboard` or `alert rule`.
    pub(crate) what: &'static str,
    pub(crate) name: String,
    pub(crate) done: Done,
    /// Why it was left, or where it is.
    pub(crate) note: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Done {
    Created,
    Updated,
    Unchanged,
    /// It is there, not ours, and used.
    Found,
    /// It should have been changed, and was not.
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

/// Everything that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Of Grafana; absent when it does not say.
    pub(crate) version: Option<String>,
    pub(crate) steps: Vec<Step>,
    /// Where to begin looking.
    pub(crate) url: String,
}

impl Report {
    pub(crate) fn left(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.done == Done::Left)
    }

    pub(crate) fn errors(&self) -> String {
        self.left().map(|step| format!("error: {} {}: {}\n", step.what, step.name, step.note)).collect()
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

const EDITED: &str = "somebody changed it in Grafana; --force overwrites that";

/// Gives a Grafana everything.
pub(crate) async fn provision(grafana: &Grafana, wish: &Wish) -> Result<Report> {
    let version = grafana.version().await?;
    let mut steps = Vec::new();
    let folder = folder(grafana, wish, &mut steps).await?;
    let uids = data_sources(grafana, wish, &mut steps).await?;
    for (_, dashboard) in dashboards() {
        let known = uids.as_ref();
        steps.push(save(grafana, wish, &folder, &dashboard, known).await?);
    }
    match &uids {
        Some(uids) => {
            let place = Place { folder: folder.uid.clone(), prometheus: uids.prometheus.clone() };
            for rule in alerts::rules() {
                steps.push(alert(grafana, wish, &rule, &place).await?);
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

async fn folder(grafana: &Grafana, wish: &Wish, steps: &mut Vec<Step>) -> Result<Folder> {
    let Some(found) = grafana.folder(&wish.folder, FOLDER).await? else {
        let made = grafana.create_folder(&wish.folder, FOLDER).await?;
        steps.push(step("folder", &wish.folder, Done::Created, ""));
        return Ok(made);
    };
    let done = if found.title == wish.folder {
        Done::Unchanged
    } else {
        grafana.rename_folder(&found, &wish.folder).await?;
        Done::Updated
    };
    steps.push(step("folder", &wish.folder, done, ""));
    Ok(found)
}

const KINDS: [&str; 3] = ["prometheus", "loki", "tempo"];

/// The data sources to ask: ours where an address was given or they are there already, else those that are there. `None` when
/// there is no Prometheus, or the token may not see it.
async fn data_sources(grafana: &Grafana, wish: &Wish, steps: &mut Vec<Step>) -> Result<Option<Uids>> {
    let there = grafana.sources().await?;
    let mut uids = Uids::default();
    let mut known = true;
    for kind in KINDS {
        let given = wish.urls.iter().any(|(of, _)| *of == kind);
        match suitable(&there, kind, uids.of(kind)).filter(|_| !given) {
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
    for (kind, url) in &wish.urls {
        steps.push(ensure_source(grafana, wish, &there, &datasources::data_source(kind, url, &uids)).await?);
    }
    Ok(known.then_some(uids))
}

/// Ours, else the default of the kind, else the first.
fn suitable<'a>(there: &'a [StoredSource], kind: &str, ours: &str) -> Option<&'a StoredSource> {
    let of_kind = || there.iter().filter(|stored| stored.source.kind == kind);
    of_kind()
        .find(|stored| stored.source.uid == ours)
        .or_else(|| of_kind().find(|stored| stored.is_default))
        .or_else(|| of_kind().next())
}

async fn ensure_source(grafana: &Grafana, wish: &Wish, there: &[StoredSource], source: &DataSource) -> Result<Step> {
    let signed = signed(source);
    let say = |done, note: &str| Ok(step("data source", &source.name, done, note));
    let Some(stored) = there.iter().find(|stored| stored.source.uid == source.uid) else {
        grafana.create_source(&signed).await?;
        return say(Done::Created, &source.url);
    };
    let (as_written, now, wanted) =
        (source_hash_kept(&stored.source), source_hash(&stored.source), source_hash(source));
    if now == wanted {
        return say(Done::Unchanged, &source.url);
    }
    if stored.read_only {
        return say(Done::Left, "it is provisioned by a file, and can only be changed there");
    }
    if as_written.as_deref() != Some(now.as_str()) && !wish.force {
        return say(Done::Left, EDITED);
    }
    grafana.update_source(&signed).await?;
    say(Done::Updated, &source.url)
}

/// The data source with the hash of itself.
fn signed(source: &DataSource) -> DataSource {
    let mut signed = source.clone();
    if let Some(data) = signed.json_data.as_object_mut() {
        data.insert(SOURCE_HASH.to_owned(), Value::from(source_hash(source)));
    }
    signed
}

fn source_hash_kept(source: &DataSource) -> Option<String> {
    source.json_data.get(SOURCE_HASH)?.as_str().map(str::to_owned)
}

fn source_hash(source: &DataSource) -> String {
    let mut data = source.json_data.clone();
    if let Some(data) = data.as_object_mut() {
        data.remove(SOURCE_HASH);
    }
    hash(&json!([source.name, source.kind, source.url, data]))
}

/// The same value gives the same hash: keys are sorted, and numbers are as large as they are.
fn hash(value: &Value) -> String {
    blake3::hash(canonical(value).to_string().as_bytes()).to_hex()[..12].to_owned()
}

/// `3` and `3.0` are one number: Grafana does not keep them apart.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), canonical(value))).collect::<Map<_, _>>().into()
        }
        plain => plain.clone(),
    }
}

async fn save(
    grafana: &Grafana,
    wish: &Wish,
    folder: &Folder,
    dashboard: &model::Dashboard,
    uids: Option<&Uids>,
) -> Result<Step> {
    let mut json = with_sources(dashboard, uids);
    let message = format!("{MESSAGE} {}", hash(&json));
    let say = |done, note: &str| Ok(step("dashboard", dashboard.title, done, note));
    let place = format!("{}/d/{}", grafana.url(), dashboard.uid);
    let Some(stored) = grafana.dashboard(dashboard.uid).await? else {
        grafana.save_dashboard(&json, &folder.uid, &message, false).await?;
        return say(Done::Created, &place);
    };
    if stored.provisioned {
        return say(Done::Left, "it is provisioned by a file, and can only be changed there");
    }
    let newest = grafana.newest_message(dashboard.uid).await?.unwrap_or_default();
    if newest == message && stored.folder == folder.uid {
        return say(Done::Unchanged, &place);
    }
    if !newest.starts_with(MESSAGE) && !wish.force {
        return say(Done::Left, EDITED);
    }
    // Over just the version that was looked at: what is saved meanwhile is a clash.
    json["version"] = json!(stored.version);
    grafana.save_dashboard(&json, &folder.uid, &message, wish.force).await?;
    say(Done::Updated, &place)
}

/// The dashboard's JSON, with these data sources chosen at first.
fn with_sources(dashboard: &model::Dashboard, uids: Option<&Uids>) -> Value {
    let mut json = json!(dashboard);
    let variables = json["templating"]["list"].as_array_mut().into_iter().flatten();
    for variable in variables.filter(|variable| variable["type"] == "datasource") {
        if let Some(uids) = uids {
            let uid = uids.of(variable["name"].as_str().unwrap_or_default()).to_owned();
            variable["current"] = json!({"selected": true, "text": uid, "value": uid});
        }
    }
    json
}

async fn alert(grafana: &Grafana, wish: &Wish, rule: &alerts::Rule, place: &Place) -> Result<Step> {
    let wanted = signed_rule(rule.grafana(place));
    let say = |done, note: &str| Ok(step("alert rule", rule.title, done, note));
    let Some(stored) = grafana.rule(rule.uid).await? else {
        grafana.create_rule(&wanted).await?;
        return say(Done::Created, "");
    };
    let (kept, now) = (stored["annotations"][RULE_HASH].as_str().map(str::to_owned), rule_hash(&stored));
    if now == rule_hash(&wanted) && stored["folderUID"] == wanted["folderUID"] {
        return say(Done::Unchanged, "");
    }
    if kept.as_deref() != Some(now.as_str()) && !wish.force {
        return say(Done::Left, EDITED);
    }
    let mut update = wanted;
    // Pausing a rule is no change of it, and stays.
    update["isPaused"] = stored["isPaused"].clone();
    grafana.update_rule(rule.uid, &update).await?;
    say(Done::Updated, "")
}

fn signed_rule(mut rule: Value) -> Value {
    let hash = rule_hash(&rule);
    rule["annotations"][RULE_HASH] = Value::from(hash);
    rule
}

/// The hash of what a rule says. Grafana adds to what it was given, so only what matters is looked at.
pub(super) fn rule_hash(rule: &Value) -> String {
    let mut annotations = rule["annotations"].clone();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove(RULE_HASH);
    }
    let queries: Vec<Value> = rule["data"].as_array().into_iter().flatten().map(what_is_asked).collect();
    let kept = ["title", "condition", "noDataState", "execErrState", "labels"].map(|key| rule[key].clone());
    hash(&json!([kept, annotations, queries, seconds(rule["for"].as_str().unwrap_or_default())]))
}

fn what_is_asked(query: &Value) -> Value {
    let model = &query["model"];
    let conditions = model["conditions"].as_array().into_iter().flatten();
    let evaluators: Vec<&Value> = conditions.map(|condition| &condition["evaluator"]).collect();
    json!([query["refId"], query["datasourceUid"], model["expr"], evaluators])
}

/// Seconds of `1h30m`, `5m0s`, `0s`.
fn seconds(text: &str) -> u64 {
    let mut total = 0;
    let mut number = 0;
    for c in text.chars() {
        match (c.to_digit(10), c) {
            (Some(digit), _) => number = number * 10 + u64::from(digit),
            (None, 'd') => total += std::mem::take(&mut number) * 86_400,
            (None, 'h') => total += std::mem::take(&mut number) * 3_600,
            (None, 'm') => total += std::mem::take(&mut number) * 60,
            (None, _) => total += std::mem::take(&mut number),
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use contextcore_core::ErrorKind;
    use contextcore_core::model::secret::Secret;

    use super::super::fake::Fake;
    use super::*;

    fn wish(force: bool) -> Wish {
        let urls =
            [("prometheus", "http://prometheus:9090"), ("loki", "http://loki:3100"), ("tempo", "http://tempo:3200")];
        let urls = urls.map(|(kind, url)| (kind, url.to_owned())).to_vec();
        Wish { folder: "ContextCore".to_owned(), urls, force }
    }

    fn grafana(fake: &Fake) -> Grafana {
        Grafana::new(&fake.url, Secret::new(Fake::TOKEN), None).unwrap()
    }

    async fn run(fake: &Fake, wish: &Wish) -> Result<Report> {
        provision(&grafana(fake), wish).await
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
            let first = run(&fake, &wish(false)).await.unwrap();
            assert_eq!(count(&first, Done::Created), everything(), "{first:?}");
            let writes = fake.writes();
            let second = run(&fake, &wish(false)).await.unwrap();
            assert_eq!(count(&second, Done::Unchanged), everything(), "{second:?}");
            assert_eq!(fake.writes(), writes);
            assert_eq!(fake.chosen_source("contextcore-project", "tempo"), "contextcore-tempo");
        }
    }

    #[tokio::test]
    async fn what_a_person_changed_stays_unless_forced() {
        let fake = Fake::start("12.0.0").await;
        run(&fake, &wish(false)).await.unwrap();
        fake.edit_dashboard("contextcore-project");
        fake.edit_rule("contextcore-data-old");
        fake.edit_source("contextcore-loki");
        let report = run(&fake, &wish(false)).await.unwrap();
        let left: Vec<&str> = report.left().map(|step| step.name.as_str()).collect();
        assert_eq!(left, ["ContextCore Loki", "Project Details", "Data older than an hour"]);
        assert!(report.errors().contains("--force"));
        let forced = run(&fake, &wish(true)).await.unwrap();
        assert_eq!((count(&forced, Done::Updated), forced.left().count()), (3, 0), "{forced:?}");
        assert_eq!(count(&run(&fake, &wish(false)).await.unwrap(), Done::Unchanged), everything());
    }

    #[tokio::test]
    async fn our_own_older_writing_is_updated_and_a_paused_rule_stays_paused() {
        let fake = Fake::start("12.0.0").await;
        run(&fake, &wish(false)).await.unwrap();
        fake.age("contextcore-portfolio", "contextcore-task-blocked");
        fake.pause("contextcore-task-blocked");
        let report = run(&fake, &wish(false)).await.unwrap();
        assert_eq!(count(&report, Done::Updated), 2, "{report:?}");
        assert!(fake.is_paused("contextcore-task-blocked"));
    }

    #[tokio::test]
    async fn data_sources_that_are_there_are_used() {
        let fake = Fake::start("12.0.0").await;
        let without = Wish { urls: vec![], ..wish(false) };
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
    async fn what_comes_from_files_is_left_alone() {
        let fake = Fake::start("12.0.0").await;
        run(&fake, &wish(false)).await.unwrap();
        fake.provision_by_file("contextcore-health", "contextcore-tempo");
        let other = Wish { urls: vec![("tempo", "http://elsewhere".to_owned())], ..wish(true) };
        let report = run(&fake, &other).await.unwrap();
        let left: Vec<&str> = report.left().map(|step| step.name.as_str()).collect();
        assert_eq!(left, ["ContextCore Tempo", "ContextCore Health"]);
    }

    #[tokio::test]
    async fn a_folder_is_found_by_its_title_or_renamed() {
        let fake = Fake::start("12.0.0").await;
        fake.add_folder("theirs", "Work");
        let work = Wish { folder: "Work".to_owned(), ..wish(false) };
        let report = run(&fake, &work).await.unwrap();
        assert_eq!(report.steps[0], step("folder", "Work", Done::Unchanged, ""));
        assert_eq!(fake.folder_of("contextcore-portfolio"), "theirs");
        fake.add_folder(FOLDER, "Old name");
        let report = run(&fake, &wish(false)).await.unwrap();
        assert_eq!(report.steps[0].done, Done::Updated);
    }

    #[tokio::test]
    async fn refusals_name_what_is_missing() {
        let fake = Fake::start("12.0.0").await;
        let wrong = Grafana::new(&fake.url, Secret::new("wrong"), None).unwrap();
        let error = provision(&wrong, &wish(false)).await.unwrap_err();
        assert!(error.to_string().contains("401") && error.kind() == ErrorKind::Export, "{error}");
        for (path, status, said) in [
            ("/api/folders", 403, "may not create the folder"),
            ("/api/dashboards/db", 412, "changed it just now"),
            ("/api/dashboards/db", 404, "not found (404)"),
            ("/api/v1/provisioning/alert-rules", 403, "may not create an alert rule"),
        ] {
            let fake = Fake::start("12.0.0").await;
            fake.refuse_writes(path, status);
            let error = run(&fake, &wish(false)).await.unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
        let old = run(&Fake::start("10.4.2").await, &wish(false)).await.unwrap_err();
        assert!(old.to_string().contains("Grafana 10.4.2 is too old"), "{old}");
    }

    #[tokio::test]
    async fn an_address_that_is_no_grafana_is_told() {
        let fake = Fake::start("12.0.0").await;
        let elsewhere = Grafana::new(&format!("{}/elsewhere", fake.url), Secret::new(Fake::TOKEN), None).unwrap();
        let error = provision(&elsewhere, &wish(false)).await.unwrap_err();
        assert!(error.to_string().contains("no Grafana at this address"), "{error}");
        let nobody = Grafana::new("http://127.0.0.1:1", Secret::new(Fake::TOKEN), None).unwrap();
        assert_eq!(provision(&nobody, &wish(false)).await.unwrap_err().kind(), ErrorKind::Export);
    }

    #[test]
    fn durations_of_both_spellings_are_one() {
        assert_eq!((seconds("5m"), seconds("5m0s"), seconds("1h30m"), seconds("0s")), (300, 300, 5_400, 0));
        assert_eq!(hash(&json!({"a": 3})), hash(&json!({"a": 3.0})));
    }
}
