//! Every TraceQL and LogQL query in this repository against the grammars that Grafana publishes (`@grafana/lezer-traceql`,
//! `@grafana/lezer-logql`): those of dashboards, their links and data sources, of the documentation, of the doctor, and of the
//! questions that the tests put to real servers.
//!
//! [`everywhere`] gathers them, [`broken`] has them parsed by `grammar/check.mjs`. That a query is sound does not say that it
//! finds the right thing: that is tested on the reference backends ([`crate::questions`]).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::extract::{Query as Parameters, State};
use axum::response::IntoResponse;
use contextcore_fakes::otlp::{self, Collector};
use contextcore_fakes::world::World;
use regex::{Captures, Regex};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::ask::text;
use crate::product::Product;
use crate::servers::{self, repository};

const SKIPPED: &str = "
**********************************************************************************************
*  SKIPPED: no TraceQL or LogQL query was held against its grammar. That wants node, and the *
*  grammars that tests/stack/build.sh installs into $CONTEXTCORE_STACK or target/stack with  *
*  npm. With CONTEXTCORE_REQUIRE_STACK=1 this is a failure.                                  *
**********************************************************************************************
";

/// What Tempo answers to and the grammar, at the version that is pinned, does not know; and what stands for it here.
const GAPS: &[(&str, &str)] = &[("nestedSetParent", "duration")];

/// A language that a query is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Language {
    TraceQl,
    LogQl,
}

impl Language {
    /// As code blocks and `check.mjs` name it.
    fn as_str(self) -> &'static str {
        match self {
            Self::TraceQl => "traceql",
            Self::LogQl => "logql",
        }
    }

    /// The language of a type of data source.
    fn of_source(kind: &str) -> Option<Self> {
        match kind {
            "tempo" => Some(Self::TraceQl),
            "loki" => Some(Self::LogQl),
            _ => None,
        }
    }
}

/// A query, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    language: Language,
    place: String,
    text: String,
}

impl Found {
    fn new(language: Language, place: &str, text: &str) -> Self {
        Self { language, place: place.to_owned(), text: text.trim().to_owned() }
    }
}

#[test]
fn every_query_is_in_its_published_grammar() {
    let Some(grammars) = installed() else { return };
    let all = everywhere().expect("the queries can be gathered");
    let wrong = broken(&grammars, &all).expect("the grammars can be asked");
    assert!(wrong.is_empty(), "{} of {} queries:\n{}", wrong.len(), all.len(), wrong.join("\n"));
    println!("{} queries are sound", all.len());
}

#[test]
fn what_is_no_query_is_refused() {
    let Some(grammars) = installed() else { return };
    let none = [
        (Language::TraceQl, "{ span.task.id = }"),
        (Language::TraceQl, "{ span.task.id = \"PROJ-1\" } | select("),
        (Language::TraceQl, "{ span.task.id = \"PROJ-1\" } | sum_over_tme(duration) by (span.task.id)"),
        (Language::TraceQl, "{ span.task.id == \"PROJ-1\" && }"),
        (Language::TraceQl, "{service_name=\"contextcore\"} | task_id=\"PROJ-1\""),
        (Language::LogQl, "{service_name=\"contextcore\" | task_id=\"PROJ-1\""),
        (Language::LogQl, "{service_name=\"contextcore\"} | event_name="),
        (Language::LogQl, "sum by (event_name) (count_over_time({service_name=\"contextcore\"}[1h])"),
        (Language::LogQl, "{ span.contextcore.role = \"snapshot\" } | select(span.task.id)"),
    ];
    let none: Vec<Found> = none.iter().map(|(language, text)| Found::new(*language, "here", text)).collect();
    let wrong = broken(&grammars, &none).expect("the grammars can be asked");
    assert_eq!(wrong.len(), none.len(), "refused were only:\n{}", wrong.join("\n"));
}

/// Where the grammars are, if they are installed and there is a `node`; else says that they are not.
fn installed() -> Option<PathBuf> {
    let folder = servers::folder().join("grammar");
    let node = Command::new("node").arg("--version").output().is_ok_and(|ran| ran.status.success());
    if node && folder.join("node_modules").is_dir() {
        return Some(folder);
    }
    assert!(!crate::is_required(), "{SKIPPED}");
    crate::skip(SKIPPED);
    None
}

/// Has queries parsed; gives a line for each that is not sound.
fn broken(grammars: &Path, queries: &[Found]) -> Result<Vec<String>> {
    let as_json = queries.iter().map(|found| {
        let text = GAPS.iter().fold(found.text.clone(), |text, (gap, known)| text.replace(gap, known));
        json!({"language": found.language.as_str(), "query": text})
    });
    let asked = Value::from_iter(as_json).to_string();
    let script = repository().join("tests/stack/grammar/check.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(grammars).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut node = node.spawn()?;
    node.stdin.take().context("node has no input")?.write_all(asked.as_bytes())?;
    let ran = node.wait_with_output()?;
    ensure!(ran.status.success(), "check.mjs failed: {}", String::from_utf8_lossy(&ran.stderr));
    let errors: Vec<Vec<[usize; 2]>> = serde_json::from_slice(&ran.stdout)?;
    ensure!(errors.len() == queries.len(), "{} answers to {} queries", errors.len(), queries.len());
    let wrong = queries.iter().zip(errors).filter(|(_, errors)| !errors.is_empty());
    Ok(wrong.map(|(Found { place, text, .. }, errors)| format!("{place}: {text}\n  at {errors:?}")).collect())
}

/// Every query there is. Each place must have some: a search that finds nothing would prove nothing.
fn everywhere() -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for (place, mut found, least) in [
        ("the dashboards", in_dashboards()?, 15),
        ("the data sources", in_data_sources()?, 1),
        ("the documentation", in_documentation()?, 14),
        ("the doctor", asked_by_the_doctor()?, 5),
        ("the tests", in_tests()?, 15),
    ] {
        found.sort();
        found.dedup();
        let both = [Language::TraceQl, Language::LogQl];
        let both = both.iter().all(|language| found.iter().any(|one| one.language == *language));
        ensure!(found.len() >= least, "only {} queries were found in {place}: {found:#?}", found.len());
        ensure!(both || place == "the data sources", "{place} are not in both languages: {found:#?}");
        println!("{} queries of {place}", found.len());
        all.extend(found);
    }
    Ok(all)
}

fn in_dashboards() -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for file in files_below("dashboards", "json")? {
        let json: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
        let place = name_of(&file);
        gather(&json, &place, &mut found)?;
    }
    Ok(found)
}

/// Whatever has a data source and a text, wherever it stands, and links to Explore.
fn gather(value: &Value, place: &str, found: &mut Vec<Found>) -> Result<()> {
    match value {
        Value::Array(all) => all.iter().try_for_each(|one| gather(one, place, found))?,
        Value::Object(fields) => {
            let language = Language::of_source(value["datasource"]["type"].as_str().unwrap_or_default());
            let query = ["expr", "query"].iter().find_map(|name| value[name].as_str()).filter(|text| !text.is_empty());
            if let Some((language, query)) = language.zip(query) {
                found.push(Found::new(language, place, &filled(query)));
            }
            fields.values().try_for_each(|one| gather(one, place, found))?;
        }
        Value::String(text) if text.contains("/explore?") => found.extend(in_link(text, place)?),
        _ => {}
    }
    Ok(())
}

/// The queries of a link to Explore. One that is a variable alone is the id of a trace.
fn in_link(link: &str, place: &str) -> Result<Vec<Found>> {
    let url = reqwest::Url::parse("http://grafana")?.join(&link.replace("${", "$%7B"))?;
    let panes = url.query_pairs().find(|(name, _)| name == "panes").context("a link to Explore without panes")?;
    let panes: Value = serde_json::from_str(&panes.1)?;
    let panes = panes.as_object().context("panes are no object")?.values();
    let queries = panes.flat_map(|pane| crate::ask::items(&pane["queries"]));
    let queries = queries.filter(|query| query["queryType"] == "traceql").map(|query| text(&query["query"]));
    let queries = queries.filter(|query| !query.starts_with('$'));
    Ok(queries.map(|query| Found::new(Language::TraceQl, &format!("{place}, a link"), &filled(&query))).collect())
}

/// The query by which Grafana goes from a span to its log records.
fn in_data_sources() -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let quoted = Regex::new(r#"(?m)^\s+query: "(\{service_name.*)"$"#)?;
    for file in files_below("deploy/grafana/provisioning/datasources", "yaml")? {
        let yaml = std::fs::read_to_string(&file)?;
        let queries = quoted.captures_iter(&yaml).map(|line| line[1].replace("\\\"", "\"").replace("$$", "$"));
        found.extend(queries.map(|query| Found::new(Language::LogQl, &name_of(&file), &filled(&query))));
    }
    Ok(found)
}

/// Code blocks that name their language, and code within a line that looks like a query.
fn in_documentation() -> Result<Vec<Found>> {
    let block = Regex::new(r"(?s)\n```(traceql|logql)\n(.*?)\n```")?;
    let inline = Regex::new(r"`([^`\n]+)`")?;
    let mut found = Vec::new();
    for file in files_below("", "md")? {
        let page = std::fs::read_to_string(&file)?;
        let place = name_of(&file);
        for block in block.captures_iter(&page) {
            let language = if &block[1] == "traceql" { Language::TraceQl } else { Language::LogQl };
            found.push(Found::new(language, &place, &block[2]));
        }
        // In a table a bar is written with a backslash.
        let inline = inline.captures_iter(&page).map(|code| code[1].replace("\\|", "|"));
        found.extend(inline.filter_map(|code| Some(Found::new(language_of(&code)?, &place, &code))));
    }
    Ok(found)
}

/// The language of a text, if it is a query that selects spans or records.
fn language_of(text: &str) -> Option<Language> {
    let selects = |names: &[&str]| names.iter().any(|name| text.contains(name));
    match () {
        () if text.starts_with('{') && selects(&["span.", "resource.", "event:", "link:", "by(", "over_time()"]) => {
            Some(Language::TraceQl)
        }
        () if selects(&["{service_name=", "{source_name=", "{project_id=", "{replay="])
            && (text.starts_with('{') || text.contains("count_over_time(")) =>
        {
            Some(Language::LogQl)
        }
        () => None,
    }
}

/// What the doctor asks when it is sent to a Tempo and a Loki.
fn asked_by_the_doctor() -> Result<Vec<Found>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let jira = crate::jira(World::demo(contextcore_core::clock::now().0, 1, 7)).await?;
        let taken = Collector::start(otlp::Options::default()).await?;
        let product = Product::over_grpc("doctor", jira.url(), &taken.grpc_url())?;
        let asked = Asked::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = Router::new().fallback(answer).with_state(asked.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await });
        product.consult(&["--tempo-url", &url, "--loki-url", &url]).await?;
        let asked = asked.lock().map_err(|_| anyhow::anyhow!("a request failed"))?;
        Ok(asked.iter().map(|(language, query)| Found::new(*language, "the doctor", query)).collect())
    })
}

/// The queries that were asked so far.
type Asked = Arc<Mutex<Vec<(Language, String)>>>;

/// Writes a query down. A record is not found under its project until it was looked for everywhere, so that the doctor does that.
async fn answer(
    State(asked): State<Asked>,
    uri: axum::http::Uri,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> impl IntoResponse {
    let parameter = |name: &str| parameters.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
    let logql = parameter("query").filter(|_| uri.path().starts_with("/loki/")).map(|query| (Language::LogQl, query));
    let found = parameter("q").map(|query| (Language::TraceQl, query)).or(logql);
    let mut result = json!([{}]);
    if let (Some(found), Ok(mut asked)) = (found, asked.lock()) {
        let everywhere = asked.iter().any(|(_, query)| query.contains("service_name=~"));
        if found.1.contains("project_id") && !everywhere {
            result = json!([]);
        }
        asked.push(found);
    }
    axum::Json(json!({"data": {"result": result}, "traces": [{}]}))
}

/// The queries that tests make with `format!`, with something sound in each hole.
fn in_tests() -> Result<Vec<Found>> {
    let literal = Regex::new(r#""((?:[^"\\]|\\(?s:.))*)""#)?;
    let continued = Regex::new(r"\\\n\s*")?;
    let mut found = Vec::new();
    for file in files_below("tests/stack", "rs")? {
        let place = name_of(&file);
        if place.ends_with("grammar.rs") {
            continue;
        }
        let code = std::fs::read_to_string(&file)?;
        for literal in literal.captures_iter(&code) {
            let template = continued.replace_all(&literal[1], "").replace("\\\"", "\"");
            let Some(language) = language_of(&template.replace("{{", "{")).filter(|_| template.contains("{{")) else {
                continue;
            };
            let filled = without_holes(&template).with_context(|| format!("{place}: {template}"))?;
            found.push(Found::new(language, &place, &filled));
        }
    }
    Ok(found)
}

/// A template with its holes filled by what may stand there: a text between quotes, a number after an operator, a condition
/// where one is due, and nothing after a closing bracket, where a pipeline may follow.
fn without_holes(template: &str) -> Result<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let bracket = &rest[at..=at];
        if rest[at + 1..].starts_with(bracket) {
            filled.push_str(bracket);
            rest = &rest[at + 2..];
            continue;
        }
        let end = rest[at..].find('}').context("a hole without an end")?;
        filled.push_str(filling(&filled)?);
        rest = &rest[at + end + 1..];
    }
    Ok(filled + rest)
}

fn filling(before: &str) -> Result<&'static str> {
    if before.matches('"').count() % 2 == 1 {
        return Ok("x");
    }
    Ok(match before.trim_end().chars().last() {
        Some('=' | '<' | '>') => "1",
        Some('{' | '(' | '&' | '|') => "span.x = 1",
        Some('}' | ')') | None => "",
        Some('[') => "1h",
        Some(other) => bail!("what may stand after {other:?}?"),
    })
}

/// A query of a dashboard with something sound for each variable.
fn filled(query: &str) -> String {
    let variable = Regex::new(r"\$\{(\w+)[^}]*\}|\$(\w+)").expect("a sound pattern");
    let fill = |found: &Captures<'_>| match found.get(1).or(found.get(2)).map_or("", |name| name.as_str()) {
        "__from" | "__to" => "1700000000",
        "__range" | "__interval" | "__auto" => "1h",
        _ => "x",
    };
    variable.replace_all(query, fill).into_owned()
}

/// Committed files of a kind below a folder of the repository.
fn files_below(folder: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![repository().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let (entry, hidden) =
                entry.map(|entry| (entry.path(), entry.file_name().to_string_lossy().starts_with('.')))?;
            let built = entry == repository().join("target") || entry.ends_with("node_modules");
            match entry.is_dir() {
                true if !hidden && !built => open.push(entry),
                false if entry.extension().is_some_and(|ending| ending == extension) => found.push(entry),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

fn name_of(file: &Path) -> String {
    file.strip_prefix(repository()).unwrap_or(file).display().to_string()
}
