//! The rules beyond shape: from the file as written to the types the program runs on.
//!
//! Every rule takes its part of [`super::raw`] and the key path of that part, notes what is wrong, and goes on with a
//! placeholder so that the rest is checked too. Callers of [`config`] must therefore look at the problems first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::env::Env;
use super::kind::{KeyProblems, SourceKind};
use super::otlp;
use super::problems::{Problems, hint, nearest_known};
use super::raw::{
    RawConfig, RawExport, RawInclude, RawInsights, RawMcp, RawMcpToken, RawOps, RawOpsToken, RawProject, RawPrometheus,
    RawScope, RawSource, RawWebhook, RawWebhooks,
};
use super::values::{http_url, optional_path, required};
use crate::model::config::{
    AgentsConfig, Config, ExportConfig, InsightsConfig, McpConfig, McpToken, OpsConfig, OpsToken, ProjectsFile,
    PrometheusConfig, Schedule, SecretRef, SourceConfig, WebhooksConfig, WrittenProject, duration,
};
use crate::model::insight::InsightType;

/// Applies every rule.
///
/// `settings` are the keys of the sources' kinds, one object for each source.
pub(super) fn config(
    raw: RawConfig,
    settings: Vec<Value>,
    kinds: &[SourceKind],
    env: &Env,
    problems: &mut Problems,
) -> Option<Config> {
    let store = super::store::config(raw.store, problems);
    let listen = address("listen", &raw.listen, problems);
    let webhooks = webhooks(raw.webhooks, listen, problems);
    let ops = ops(raw.ops, problems);
    let mcp = mcp(raw.mcp, listen, problems);
    let prometheus = prometheus(raw.prometheus, problems);
    let insights = insights(&raw.insights, problems);
    let export = export(raw.export, env, problems);
    let sources = sources(raw.sources, settings, kinds, problems);
    let projects_file = optional_path(raw.projects_file);
    let written_projects = projects(raw.projects, &sources, projects_file.is_some(), problems);
    let agents = agents(raw.agents, problems);
    let sources: Vec<SourceConfig> =
        sources.into_iter().flatten().map(|source| SourceConfig { agents: agents.clone(), ..source }).collect();
    Some(Config {
        store,
        export,
        listen: listen?,
        webhooks,
        ops,
        mcp,
        prometheus,
        guidance: raw.guidance,
        git: raw.git,
        insights,
        semconv: raw.semconv,
        privacy: raw.privacy,
        projects: super::projects::written(&written_projects, &sources),
        written_projects,
        projects_file: projects_file.map(ProjectsFile::new),
        sources,
    })
}

fn webhooks(raw: RawWebhooks, shared: Option<SocketAddr>, problems: &mut Problems) -> WebhooksConfig {
    let listen = raw.listen.and_then(|text| address("webhooks.listen", &text, problems));
    if listen.is_some() && listen == shared {
        problems.add("webhooks.listen", "is the address of `listen`: leave it out, or name another port");
    }
    WebhooksConfig { listen }
}

/// The name of the token that has none.
const ONLY_TOKEN: &str = "ops";

/// The agents that are named besides the known ones, sorted, so that their order changes nothing.
fn agents(raw: AgentsConfig, problems: &mut Problems) -> Vec<String> {
    for (place, name) in raw.names.iter().enumerate().filter(|(_, name)| name.trim().is_empty()) {
        problems.add(
            &format!("agents.names[{place}]"),
            format!("`{name}` names no agent: write its name, account or address"),
        );
    }
    let names: BTreeSet<String> = raw.names.into_iter().map(|name| name.trim().to_owned()).collect();
    names.into_iter().collect()
}

fn ops(raw: RawOps, problems: &mut Problems) -> Option<OpsConfig> {
    let named = !raw.projects.is_empty();
    let mut tokens = Vec::new();
    match raw.token {
        Some(token) if named => {
            tokens.push(OpsToken { name: ONLY_TOKEN.to_owned(), token, projects: raw.projects, human: false });
        }
        Some(_) => problems.add("ops.projects", "is missing: name the projects that the token may report for, or `*`"),
        None if named => problems.add("ops.token", "is missing: add `token: {file: PATH}`"),
        None => {}
    }
    for (place, token) in raw.tokens.into_iter().enumerate() {
        tokens.extend(ops_token(&format!("ops.tokens[{place}]"), token, problems));
    }
    (!tokens.is_empty()).then_some(OpsConfig { tokens })
}

fn ops_token(at: &str, raw: RawOpsToken, problems: &mut Problems) -> Option<OpsToken> {
    let RawOpsToken { name, token, projects, scope } = raw;
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    if name.is_none() {
        problems.add(&format!("{at}.name"), "is missing: insights say by it where a report came from");
    }
    if token.is_none() {
        problems.add(&format!("{at}.token"), "is missing: add `token: {file: PATH}`");
    }
    if projects.is_empty() {
        problems.add(&format!("{at}.projects"), "is missing: name the projects that the token may report for, or `*`");
    }
    Some(OpsToken { name: name?, token: token?, projects, human: scope == RawScope::Human })
}

fn insights(raw: &RawInsights, problems: &mut Problems) -> InsightsConfig {
    if raw.max == 0 {
        problems.add("insights.max", "is 0: write how many insights are kept, such as 100000");
    }
    let keep = BTreeMap::from([
        (InsightType::Progress, interval("insights.keep.progress", &raw.keep.progress, problems)),
        (InsightType::Analysis, interval("insights.keep.analysis", &raw.keep.analysis, problems)),
    ]);
    InsightsConfig { keep, max: raw.max }
}

fn mcp(raw: RawMcp, listen: Option<SocketAddr>, problems: &mut Problems) -> Option<McpConfig> {
    let mut names = BTreeSet::new();
    let tokens = raw.tokens.into_iter().enumerate();
    let tokens: Vec<McpToken> = tokens
        .filter_map(|(place, token)| mcp_token(&format!("mcp.tokens[{place}]"), token, &mut names, problems))
        .collect();
    if raw.enabled && tokens.is_empty() && listen.is_some_and(|listen| !listen.ip().is_loopback()) {
        problems.add("mcp.tokens", "is missing: others can reach `listen`; name who may ask, or listen on 127.0.0.1");
    }
    raw.enabled.then_some(McpConfig { hosts: raw.hosts, tokens })
}

fn prometheus(raw: RawPrometheus, problems: &mut Problems) -> Option<PrometheusConfig> {
    let Some(url) = raw.url.filter(|url| !url.trim().is_empty()) else {
        if raw.token.is_some() {
            problems.add("prometheus.url", "is missing: a token needs an address");
        }
        return None;
    };
    match http_url(&url) {
        Ok(_) => Some(PrometheusConfig { url: url.trim().to_owned(), token: raw.token }),
        Err(problem) => {
            problems.add("prometheus.url", problem);
            None
        }
    }
}

fn mcp_token(at: &str, raw: RawMcpToken, names: &mut BTreeSet<String>, problems: &mut Problems) -> Option<McpToken> {
    let RawMcpToken { name, token, projects, write, agent } = raw;
    if name.is_none() {
        problems.add(&format!("{at}.name"), "is missing: the log names the token by it");
    }
    if name.as_ref().is_some_and(|name| !names.insert(name.clone())) {
        problems.add(&format!("{at}.name"), "is that of another token");
    }
    if token.is_none() {
        problems.add(&format!("{at}.token"), "is missing: add `token: {file: PATH}`");
    }
    if projects.is_empty() {
        problems.add(&format!("{at}.projects"), "is missing: name the projects that the token sees, or `*`");
    }
    let name = name?;
    Some(McpToken { agent: agent.unwrap_or_else(|| name.clone()), token: token?, name, projects, write })
}

fn address(path: &str, text: &str, problems: &mut Problems) -> Option<SocketAddr> {
    // `localhost` is spelled out rather than looked up: a name could mean another address at the next start.
    let spelled = text.trim().replace("localhost:", "127.0.0.1:");
    let refuse = |_| {
        let message = format!("`{text}` is not IP:PORT: write 127.0.0.1:9464, or 0.0.0.0:9464 for all interfaces");
        problems.add(path, message);
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
fn sources(
    raw: Vec<RawSource>,
    settings: Vec<Value>,
    kinds: &[SourceKind],
    problems: &mut Problems,
) -> Vec<Option<SourceConfig>> {
    let mut names = BTreeMap::new();
    let mut sources = Vec::new();
    for (index, (raw, settings)) in raw.into_iter().zip(settings).enumerate() {
        let path = format!("sources[{index}]");
        if let Some(first) = first_use(&mut names, raw.name.as_deref(), index) {
            let message =
                format!("is the name of sources[{first}] already: names become part of ids, so each needs its own");
            problems.add(&format!("{path}.name"), message);
        }
        sources.push(source(raw, settings, kinds, &path, problems));
    }
    sources
}

/// Where a value that must be unique was used before, if it was.
fn first_use(uses: &mut BTreeMap<String, usize>, value: Option<&str>, index: usize) -> Option<usize> {
    let first = *uses.entry(value?.to_owned()).or_insert(index);
    (first != index).then_some(first)
}

fn source(
    raw: RawSource,
    settings: Value,
    kinds: &[SourceKind],
    path: &str,
    problems: &mut Problems,
) -> Option<SourceConfig> {
    let at = |key: &str| format!("{path}.{key}");
    let name = source_name(raw.name, &at("name"), problems);
    let kind = known_kind(raw.kind, kinds, &at("kind"), problems);
    // What a source of no known kind lacks is found by the rules of the first.
    let rules = kind.or(kinds.first()).map(|kind| kind.keys)?;
    let url = if rules.has_url { base_url(raw.url, &at("url"), problems) } else { Some(String::new()) };
    let webhook = raw.webhook.and_then(|raw| webhook(raw, &at("webhook.secret"), problems));
    let schedule = schedule(&raw.schedule, &at("schedule"), problems);
    let stale_after = interval(&at("stale_after"), &raw.stale_after, problems);
    let complete = name.is_some() && kind.is_some() && url.is_some() && schedule.is_some();
    let mut source = SourceConfig {
        name: name.unwrap_or_default(),
        kind: kind.map(|kind| kind.name.to_owned()).unwrap_or_default(),
        url: url.unwrap_or_default(),
        location: None,
        settings,
        webhook,
        tls_ca_file: optional_path(raw.tls.ca_file),
        projects: raw.projects,
        extra_scopes: Vec::new(),
        schedule: schedule.or_else(|| RawSource::default().schedule.parse().ok())?,
        fields: raw.fields,
        blocked: raw.blocked,
        derive_status: raw.derive_status,
        stale_after,
        statuses: raw.statuses,
        types: raw.types,
        agents: Vec::new(),
    };
    (rules.read)(&mut source, &mut KeyProblems { source: path, problems });
    complete.then_some(source)
}

fn source_name(name: Option<String>, path: &str, problems: &mut Problems) -> Option<String> {
    let name = required(name, path, "name: my-tracker", problems)?;
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Some(name);
    }
    problems.add(path, format!("`{name}` cannot become part of ids: use letters, digits, `.`, `_` and `-` only"));
    None
}

fn known_kind<'a>(
    kind: Option<String>,
    kinds: &'a [SourceKind],
    path: &str,
    problems: &mut Problems,
) -> Option<&'a SourceKind> {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
    let kind = required(kind, path, &format!("kind: {}", names.join(" | ")), problems)?;
    let known = kinds.iter().find(|known| known.name == kind);
    if known.is_none() {
        let near = nearest_known(&kind, &names).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
        problems.add(path, format!("`{kind}` is none of {}{near}", names.join(", ")));
    }
    known
}

fn webhook(raw: RawWebhook, path: &str, problems: &mut Problems) -> Option<SecretRef> {
    if raw.secret.is_none() {
        problems.add(path, "is missing: add `webhook: {secret: {env: NAME}}`, or {file: PATH}");
    }
    raw.secret
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

/// The portfolio. A native project belongs to at most one project, or its tasks would have two ids to report.
fn projects(
    raw: Vec<RawProject>,
    sources: &[Option<SourceConfig>],
    has_file: bool,
    problems: &mut Problems,
) -> Vec<WrittenProject> {
    let mut ids = BTreeMap::new();
    let mut seen = BTreeMap::new();
    let mut projects = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let path = format!("projects[{index}]");
        if let Some(first) = first_use(&mut ids, raw.id.as_deref(), index) {
            problems.add(&format!("{path}.id"), format!("is the id of projects[{first}] already: give it another"));
        }
        let lacks_include = raw.include.as_ref().is_none_or(Vec::is_empty) && !has_file;
        projects.extend(project(raw, sources, &mut seen, &path, problems));
        if lacks_include {
            let message = "is missing: add `include: [{source: NAME, project: NATIVE_PROJECT}]`";
            problems.add(&format!("{path}.include"), message);
        }
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
) -> Option<WrittenProject> {
    let id = required(raw.id, &format!("{path}.id"), "id: my-project", problems);
    let mut each =
        |(index, raw): (usize, RawInclude)| included(raw, sources, seen, &format!("{path}.include[{index}]"), problems);
    let listed = raw.include.filter(|listed| !listed.is_empty());
    let include = listed.map(|listed| listed.into_iter().enumerate().filter_map(&mut each).collect());
    let RawProject { name, owner, criticality, value, .. } = raw;
    Some(WrittenProject { id: id?, name, owner, criticality, value, include })
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

/// A project that its source does not poll would stay empty without an error.
fn polled(source: &SourceConfig, project: &str, path: &str, problems: &mut Problems) {
    let known: Vec<&str> = source.scopes().map(String::as_str).collect();
    if !source.projects.is_empty() && !known.contains(&project) {
        problems.add(path, format!("{} does not poll `{project}`: {}", source.name, hint(project, &known)));
    }
}
