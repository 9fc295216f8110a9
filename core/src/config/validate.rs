//! The rules beyond shape: from the file as written to the types the program runs on.
//!
//! Every rule takes its part of [`super::raw`] and the key path of that part, notes what is wrong, and goes on with some
//! stand-in value so that the rest is checked too. Whoever calls [`config`] must therefore look at the problems first.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::Env;
use super::problems::{Problems, hint};
use super::raw::{RawConfig, RawExport, RawInclude, RawProject, RawSecret, RawSource};
use super::schedule::Schedule;
use super::secret_ref::SecretRef;
use super::types::{Config, ExportConfig, ProjectConfig, SourceConfig, StoreConfig};
use super::{duration, otlp};

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
    text.parse()
        .map_err(|_| {
            problems.add(
                "listen",
                format!("`{text}` is not IP:PORT: write e.g. 127.0.0.1:9464, or 0.0.0.0:9464 for all interfaces"),
            )
        })
        .ok()
}

fn export(raw: RawExport, env: &Env, problems: &mut Problems) -> ExportConfig {
    let history = (raw.history.trim() != "all").then(|| length("export.history", &raw.history, problems));
    ExportConfig {
        history: history.map(|length| i64::try_from(length.as_millis()).unwrap_or(i64::MAX)),
        snapshot_interval: interval("export.snapshot.interval", &raw.snapshot.interval, problems),
        metrics_interval: interval("export.metrics.interval", &raw.metrics.interval, problems),
        history_step: interval("export.metrics.history_step", &raw.metrics.history_step, problems),
        task_info_limit: usize::try_from(raw.metrics.task_info_limit).unwrap_or(usize::MAX),
        give_up: interval("export.give_up", &raw.give_up, problems),
        otlp: otlp::build(raw.otlp, env, problems),
    }
}

fn length(path: &str, text: &str, problems: &mut Problems) -> Duration {
    duration::parse(text).unwrap_or_else(|message| {
        problems.add(path, message);
        Duration::ZERO
    })
}

fn interval(path: &str, text: &str, problems: &mut Problems) -> Duration {
    let length = length(path, text, problems);
    if length.is_zero() {
        problems.add(path, "must be longer than zero");
    }
    length
}

/// The sources; one with a problem is `None`, but keeps its place.
fn sources(raw: Vec<RawSource>, kinds: &[&str], problems: &mut Problems) -> Vec<Option<SourceConfig>> {
    let mut first_use = BTreeMap::new();
    let mut sources = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let path = format!("sources[{index}]");
        if let Some(name) = raw.name.clone() {
            if let Some(first) = first_use.get(&name) {
                problems.add(&format!("{path}.name"), format!("`{name}` is already the name of sources[{first}]: names become part of ids, so each needs its own"));
            }
            first_use.entry(name).or_insert(index);
        }
        sources.push(source(raw, kinds, &path, problems));
    }
    sources
}

fn source(raw: RawSource, kinds: &[&str], path: &str, problems: &mut Problems) -> Option<SourceConfig> {
    let at = |key: &str| format!("{path}.{key}");
    let name = required(raw.name, &at("name"), "name: my-tracker", problems)
        .filter(|name| source_name(name, &at("name"), problems));
    let kind = required(raw.kind, &at("kind"), &format!("kind: {}", kinds.join(" | ")), problems)
        .filter(|kind| known_kind(kind, kinds, &at("kind"), problems));
    let url = required(raw.url, &at("url"), "url: https://HOST", problems)
        .and_then(|url| base_url(&url, &at("url"), problems));
    let auth = raw.auth.unwrap_or_default();
    let token = match auth.token {
        Some(token) => secret_ref(token, &at("auth.token"), problems),
        None => required(None, &at("auth.token"), "auth: {token: {env: NAME}}", problems).and(None),
    };
    let schedule = raw
        .schedule
        .parse::<Schedule>()
        .map_err(|why| problems.add(&at("schedule"), cron_message(&raw.schedule, &why)))
        .ok();
    let stale_after = interval(&at("stale_after"), &raw.stale_after, problems);
    Some(SourceConfig {
        name: name?,
        kind: kind?,
        url: url?,
        email: auth.email.filter(|email| !email.trim().is_empty()),
        token: token?,
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

fn source_name(name: &str, path: &str, problems: &mut Problems) -> bool {
    let good = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !good {
        problems.add(path, format!("`{name}` cannot become part of ids: use letters, digits, `.`, `_` and `-` only"));
    }
    good
}

fn known_kind(kind: &str, kinds: &[&str], path: &str, problems: &mut Problems) -> bool {
    let known = kinds.contains(&kind);
    if !known {
        let near =
            super::nearest_known(kind, kinds).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
        problems.add(path, format!("`{kind}` is none of {}{near}", kinds.join(", ")));
    }
    known
}

fn cron_message(line: &str, why: &str) -> String {
    format!(
        "`{line}` is not a cron line ({why}): write minute, hour, day, month and weekday in UTC, such as \"*/5 * * * *\""
    )
}

/// A source's address without a trailing slash, so that paths can be appended to it.
fn base_url(text: &str, path: &str, problems: &mut Problems) -> Option<String> {
    let url = http_url(text).and_then(|url| match (url.query(), url.fragment()) {
        (None, None) => Ok(url),
        _ => Err("has a `?` or `#` part: give the base address only".to_owned()),
    });
    url.map(|url| url.as_str().trim_end_matches('/').to_owned()).map_err(|message| problems.add(path, message)).ok()
}

/// Parses an `http` or `https` address. Messages do not repeat it, since people paste credentials into addresses.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let example = "write it like https://host:port/path";
    let url = Url::parse(text.trim()).map_err(|error| format!("is not an address ({error}): {example}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("does not start with http:// or https://: {example}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password in it, which would be a literal secret: take it out and use {env: NAME} or {file: PATH}".to_owned());
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
            problems.add(path, "names no environment variable (it looks more like the secret itself): write {env: NAME} and export NAME");
            None
        }
        (None, Some(file)) if !file.trim().is_empty() => Some(SecretRef::File(PathBuf::from(file))),
        _ => {
            problems.add(path, "needs exactly one of {env: NAME} and {file: PATH}");
            None
        }
    }
}

/// Whether a text can be the name of a variable and does not look like a token, many of which could be one: those are long
/// and mix small letters with digits.
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
    let mut owners = BTreeMap::new();
    let mut projects = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let path = format!("projects[{index}]");
        let Some(project) = project(raw, sources, &path, problems) else { continue };
        if let Some(first) = ids.insert(project.id.clone(), index) {
            problems.add(&format!("{path}.id"), format!("`{}` is already the id of projects[{first}]", project.id));
        }
        for (position, pair) in project.include.iter().enumerate() {
            if let Some(owner) = owners.insert(pair.clone(), project.id.clone()) {
                let message = format!("`{}` of {} already belongs to `{owner}`: name it once", pair.1, pair.0);
                problems.add(&format!("{path}.include[{position}]"), message);
            }
        }
        projects.push(project);
    }
    projects
}

fn project(
    raw: RawProject,
    sources: &[Option<SourceConfig>],
    path: &str,
    problems: &mut Problems,
) -> Option<ProjectConfig> {
    let include_path = format!("{path}.include");
    let include = raw.include.unwrap_or_default();
    if include.is_empty() {
        problems.add(&include_path, "is missing: add `include: [{source: NAME, project: NATIVE_PROJECT}]`");
    }
    let include = include
        .into_iter()
        .enumerate()
        .filter_map(|(index, raw)| included(raw, sources, &format!("{include_path}[{index}]"), problems))
        .collect();
    let id = required(raw.id, &format!("{path}.id"), "id: my-project", problems)?;
    Some(ProjectConfig {
        name: raw.name.unwrap_or_else(|| id.clone()),
        id,
        owner: raw.owner,
        criticality: raw.criticality,
        value: raw.value,
        include,
    })
}

fn included(
    raw: RawInclude,
    sources: &[Option<SourceConfig>],
    path: &str,
    problems: &mut Problems,
) -> Option<(String, String)> {
    let name = required(raw.source, &format!("{path}.source"), "source: NAME", problems);
    let project = required(raw.project, &format!("{path}.project"), "project: NATIVE_PROJECT", problems);
    let (name, project) = (name?, project?);
    let known: Vec<&str> = sources.iter().flatten().map(|source| source.name.as_str()).collect();
    match sources.iter().flatten().find(|source| source.name == name) {
        Some(source) => polled(source, &project, &format!("{path}.project"), problems),
        // It may name one that was left out for its own problems.
        None if sources.iter().any(Option::is_none) => {}
        None if known.is_empty() => {
            problems.add(&format!("{path}.source"), format!("there is no source `{name}`: add it under `sources`"))
        }
        None => {
            problems.add(&format!("{path}.source"), format!("there is no source `{name}`: {}", hint(&name, &known)))
        }
    }
    Some((name, project))
}

/// A project that its source does not poll would stay empty without a word.
fn polled(source: &SourceConfig, project: &str, path: &str, problems: &mut Problems) {
    let known: Vec<&str> = source.projects.iter().chain(&source.repositories).map(String::as_str).collect();
    if !source.projects.is_empty() && !known.contains(&project) {
        problems.add(path, format!("{} does not poll `{project}`: {}", source.name, hint(project, &known)));
    }
}
