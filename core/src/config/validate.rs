//! The rules beyond shape: from the file as written to the types the program runs on.
//!
//! Every rule takes its part of [`super::raw`] and the key path of that part, notes what is wrong, and goes on with
//! some stand-in value so that the rest is checked too. Whoever calls [`config`] must therefore look at the problems
//! first.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::Env;
use super::SecretRef;
use super::problems::{Problems, hint, nearest_known};
use super::raw::{RawAppId, RawAuth, RawConfig, RawExport, RawInclude, RawProject, RawSecret, RawSource, RawWebhook};
use super::{duration, otlp};
use crate::model::config::Schedule;
use crate::model::config::{AppConfig, Config, ExportConfig, ProjectConfig, SourceConfig, StoreConfig};

/// Applies every rule.
pub(super) fn config(raw: RawConfig, kinds: &[&str], env: &Env, problems: &mut Problems) -> Option<Config> {
    if raw.store.path.trim().is_empty() {
        problems.add("store.path", "is empty: name a directory");
    }
    let listen = listen(&raw.listen, problems);
    let export = export(raw.export, env, problems);
    let sources = sources(raw.sources, kinds, problems);
    let projects = projects(raw.projects, &sources, problems);
    let sources = sources.into_iter().flatten().collect();
    let store = StoreConfig { path: PathBuf::from(raw.store.path) };
    Some(Config { store, export, listen: listen?, privacy: raw.privacy, projects, sources })
}

fn listen(text: &str, problems: &mut Problems) -> Option<SocketAddr> {
    // `localhost` is spelled out rather than looked up: a name could mean another address at the next start.
    let spelled = text.trim().replace("localhost:", "127.0.0.1:");
    let refuse = |_| {
        let message = format!("`{text}` is not IP:PORT: write 127.0.0.1:9464, or 0.0.0.0:9464 for all interfaces");
        problems.add("listen", message);
    };
    spelled.parse().map_err(refuse).ok()
}

fn export(raw: RawExport, env: &Env, problems: &mut Problems) -> ExportConfig {
    ExportConfig {
        history: history(&raw.history, problems),
        snapshot_interval: interval("export.snapshot.interval", &raw.snapshot.interval, problems),
        metrics_interval: interval("export.metrics.interval", &raw.metrics.interval, problems),
        history_step: interval("export.metrics.history_step", &raw.metrics.history_step, problems),
        task_info_limit: usize::try_from(raw.metrics.task_info_limit).unwrap_or(usize::MAX),
        give_up: interval("export.give_up", &raw.give_up, problems),
        otlp: otlp::build(raw.otlp, env, problems),
    }
}

/// How far back, in milliseconds; `None` is all.
fn history(text: &str, problems: &mut Problems) -> Option<i64> {
    if text.trim() == "all" {
        return None;
    }
    let length =
        duration::parse(text).map_err(|message| problems.add("export.history", format!("{message}, or `all`")));
    length.ok().and_then(|length| i64::try_from(length.as_millis()).ok())
}

/// A length of time above zero.
fn interval(path: &str, text: &str, problems: &mut Problems) -> Duration {
    let length = duration::parse(text).and_then(|length| match length {
        Duration::ZERO => Err("must be longer than zero".to_owned()),
        _ => Ok(length),
    });
    length.unwrap_or_else(|message| {
        problems.add(path, message);
        Duration::ZERO
    })
}

/// The sources; one with a problem is `None`, but keeps its place.
fn sources(raw: Vec<RawSource>, kinds: &[&str], problems: &mut Problems) -> Vec<Option<SourceConfig>> {
    let mut names = BTreeMap::new();
    let mut sources = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let path = format!("sources[{index}]");
        if let Some(first) = first_use(&mut names, raw.name.as_deref(), index) {
            let message =
                format!("is the name of sources[{first}] already: names become part of ids, so each needs its own");
            problems.add(&format!("{path}.name"), message);
        }
        sources.push(source(raw, kinds, &path, problems));
    }
    sources
}

/// Where a value that must be unique was used before, if it was.
fn first_use(uses: &mut BTreeMap<String, usize>, value: Option<&str>, index: usize) -> Option<usize> {
    let first = *uses.entry(value?.to_owned()).or_insert(index);
    (first != index).then_some(first)
}

fn source(raw: RawSource, kinds: &[&str], path: &str, problems: &mut Problems) -> Option<SourceConfig> {
    let at = |key: &str| format!("{path}.{key}");
    let name = source_name(raw.name, &at("name"), problems);
    let kind = known_kind(raw.kind, kinds, &at("kind"), problems);
    let file = optional_path(raw.path);
    let url = match (raw.url, &file) {
        (None, Some(_)) => Some(String::new()),
        (url, _) => base_url(url, &at("url"), problems),
    };
    let auth = raw.auth.unwrap_or_default();
    let email = auth.email.clone();
    let bare = auth.token.is_none() && auth.app.is_none();
    let (token, app) = match &file {
        Some(_) if bare => (Some(SecretRef::Nowhere), None),
        _ => credential(auth, &at("auth"), problems),
    };
    let webhook = raw.webhook.and_then(|raw| webhook(raw, &at("webhook.secret"), problems));
    let schedule = schedule(&raw.schedule, &at("schedule"), problems);
    let stale_after = interval(&at("stale_after"), &raw.stale_after, problems);
    Some(SourceConfig {
        name: name?,
        kind: kind?,
        url: url?,
        path: file,
        webhook,
        email: email.filter(|email| !email.trim().is_empty()),
        token: token?,
        app,
        tls_ca_file: optional_path(raw.tls.ca_file),
        projects: raw.projects,
        repositories: raw.repositories,
        schedule: schedule?,
        fields: raw.fields,
        blocked: raw.blocked,
        derive_status: raw.derive_status,
        stale_after,
        statuses: raw.statuses,
        types: raw.types,
    })
}

fn source_name(name: Option<String>, path: &str, problems: &mut Problems) -> Option<String> {
    let name = required(name, path, "name: my-tracker", problems)?;
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Some(name);
    }
    problems.add(path, format!("`{name}` cannot become part of ids: use letters, digits, `.`, `_` and `-` only"));
    None
}

fn known_kind(kind: Option<String>, kinds: &[&str], path: &str, problems: &mut Problems) -> Option<String> {
    let kind = required(kind, path, &format!("kind: {}", kinds.join(" | ")), problems)?;
    if kinds.contains(&kind.as_str()) {
        return Some(kind);
    }
    let near = nearest_known(&kind, kinds).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
    problems.add(path, format!("`{kind}` is none of {}{near}", kinds.join(", ")));
    None
}

/// A token, or an App with its private key.
fn credential(raw: RawAuth, path: &str, problems: &mut Problems) -> (Option<SecretRef>, Option<AppConfig>) {
    let Some(app) = raw.app else { return (token(raw.token, &format!("{path}.token"), problems), None) };
    let at = |key: &str| format!("{path}.app.{key}");
    if raw.token.is_some() {
        problems.add(path, "has both `token` and `app`: keep one of them");
    }
    let id = app.id.map(|id| match id {
        RawAppId::Number(number) => number.to_string(),
        RawAppId::Text(text) => text,
    });
    let id = required(id, &at("id"), "id: NUMBER", problems);
    if app.installation.is_none() {
        problems
            .add(&at("installation"), "is missing: add `installation: NUMBER`, the end of the installation's address");
    }
    let key = app.private_key.and_then(|key| secret_ref(key, &at("private_key"), problems));
    if key.is_none() {
        problems.add(&at("private_key"), "is missing: add `private_key: {file: PATH}`, or {env: NAME}");
    }
    let app = id.zip(app.installation).map(|(id, installation)| AppConfig { id, installation });
    (key, app)
}

fn token(raw: Option<RawSecret>, path: &str, problems: &mut Problems) -> Option<SecretRef> {
    if raw.is_none() {
        problems.add(path, "is missing: add `auth: {token: {env: NAME}}`, or {file: PATH}");
    }
    secret_ref(raw?, path, problems)
}

fn webhook(raw: RawWebhook, path: &str, problems: &mut Problems) -> Option<SecretRef> {
    if raw.secret.is_none() {
        problems.add(path, "is missing: add `webhook: {secret: {env: NAME}}`, or {file: PATH}");
    }
    secret_ref(raw.secret?, path, problems)
}

fn schedule(line: &str, path: &str, problems: &mut Problems) -> Option<Schedule> {
    let refuse = |why| {
        let how = "write minute, hour, day, month and weekday in UTC, such as \"*/5 * * * *\"";
        problems.add(path, format!("`{line}` is not a cron line ({why}): {how}"));
    };
    line.parse().map_err(refuse).ok()
}

/// A source's address without a trailing slash, so that paths can be appended to it.
fn base_url(text: Option<String>, path: &str, problems: &mut Problems) -> Option<String> {
    let text = required(text, path, "url: https://HOST", problems)?;
    let url = http_url(&text).and_then(|url| match (url.query(), url.fragment()) {
        (None, None) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        _ => Err("has a `?` or `#` part: give the base address only".to_owned()),
    });
    url.map_err(|message| problems.add(path, message)).ok()
}

/// Parses an `http` or `https` address. Messages do not repeat it, since people paste credentials into addresses.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let example = "write it like https://host:port/path";
    let url = Url::parse(text.trim()).map_err(|error| format!("is not an address ({error}): {example}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("does not start with http:// or https://: {example}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password in it: take it out, since secrets stay out of the file".to_owned());
    }
    Ok(url)
}

/// The value of a key that must be there; `example` shows how to write it.
pub(super) fn required(value: Option<String>, path: &str, example: &str, problems: &mut Problems) -> Option<String> {
    let value = value.filter(|text| !text.trim().is_empty());
    if value.is_none() {
        problems.add(path, format!("is missing: add `{example}`"));
    }
    value
}

/// A reference of the right shape, provided that it is not itself the secret by mistake.
pub(super) fn secret_ref(raw: RawSecret, path: &str, problems: &mut Problems) -> Option<SecretRef> {
    match (raw.env, raw.file) {
        (Some(name), None) if is_variable_name(&name) => Some(SecretRef::Env(name)),
        (Some(_), None) => {
            let message =
                "names no environment variable, and may be the secret itself: write {env: NAME} and export NAME";
            problems.add(path, message);
            None
        }
        (None, Some(file)) if !file.trim().is_empty() => Some(SecretRef::File(PathBuf::from(file))),
        _ => {
            problems.add(path, "needs exactly one of {env: NAME} and {file: PATH}");
            None
        }
    }
}

/// Whether a text can be the name of a variable and does not look like a token, many of which could be one: those are
/// long and mix small letters with digits.
fn is_variable_name(text: &str) -> bool {
    let spelled = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit());
    let like_token =
        text.len() >= 20 && text.bytes().any(|b| b.is_ascii_lowercase()) && text.bytes().any(|b| b.is_ascii_digit());
    !text.is_empty() && spelled && !like_token
}

pub(super) fn optional_path(text: Option<String>) -> Option<PathBuf> {
    text.filter(|text| !text.trim().is_empty()).map(PathBuf::from)
}

/// The portfolio. A native project belongs to at most one project, or its tasks would have two ids to report.
fn projects(raw: Vec<RawProject>, sources: &[Option<SourceConfig>], problems: &mut Problems) -> Vec<ProjectConfig> {
    let mut ids = BTreeMap::new();
    let mut seen = BTreeMap::new();
    let mut projects = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let path = format!("projects[{index}]");
        if let Some(first) = first_use(&mut ids, raw.id.as_deref(), index) {
            problems.add(&format!("{path}.id"), format!("is the id of projects[{first}] already: give it another"));
        }
        projects.extend(project(raw, sources, &mut seen, &path, problems));
    }
    projects
}

/// Native projects (with their source) and the key path that first included each.
type Seen = BTreeMap<(String, String), String>;

fn project(
    raw: RawProject,
    sources: &[Option<SourceConfig>],
    seen: &mut Seen,
    path: &str,
    problems: &mut Problems,
) -> Option<ProjectConfig> {
    let id = required(raw.id, &format!("{path}.id"), "id: my-project", problems);
    let listed = raw.include.unwrap_or_default();
    if listed.is_empty() {
        let message = "is missing: add `include: [{source: NAME, project: NATIVE_PROJECT}]`";
        problems.add(&format!("{path}.include"), message);
    }
    let mut include = Vec::new();
    for (index, raw) in listed.into_iter().enumerate() {
        include.extend(included(raw, sources, seen, &format!("{path}.include[{index}]"), problems));
    }
    let id = id?;
    let name = raw.name.unwrap_or_else(|| id.clone());
    Some(ProjectConfig { id, name, owner: raw.owner, criticality: raw.criticality, value: raw.value, include })
}

fn included(
    raw: RawInclude,
    sources: &[Option<SourceConfig>],
    seen: &mut Seen,
    path: &str,
    problems: &mut Problems,
) -> Option<(String, String)> {
    let name = required(raw.source, &format!("{path}.source"), "source: NAME", problems);
    let project = required(raw.project, &format!("{path}.project"), "project: NATIVE_PROJECT", problems);
    let pair = (name?, project?);
    match sources.iter().flatten().find(|source| source.name == pair.0) {
        Some(source) => polled(source, &pair.1, &format!("{path}.project"), problems),
        // It may name one that was left out for its own problems.
        None if sources.iter().any(Option::is_none) => {}
        None => {
            let known: Vec<&str> = sources.iter().flatten().map(|source| source.name.as_str()).collect();
            let hint = if known.is_empty() { "add it under `sources`".to_owned() } else { hint(&pair.0, &known) };
            problems.add(&format!("{path}.source"), format!("there is no source `{}`: {hint}", pair.0));
        }
    }
    if let Some(first) = seen.get(&pair) {
        problems.add(path, format!("`{}` of {} is already in {first}: name it once", pair.1, pair.0));
    }
    seen.entry(pair.clone()).or_insert_with(|| path.to_owned());
    Some(pair)
}

/// A project that its source does not poll would stay empty without a word.
fn polled(source: &SourceConfig, project: &str, path: &str, problems: &mut Problems) {
    let known: Vec<&str> = source.projects.iter().chain(&source.repositories).map(String::as_str).collect();
    if !source.projects.is_empty() && !known.contains(&project) {
        problems.add(path, format!("{} does not poll `{project}`: {}", source.name, hint(project, &known)));
    }
}
