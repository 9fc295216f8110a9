//! The configuration with all kinds of sources: the reference, the examples, the schema, and what each kind refuses.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use contextcore_connectors::kinds;
use contextcore_core::Millis;
use contextcore_core::config::{self, Config, Criticality, DEFAULT_YAML, Privacy};
use contextcore_core::model::{Status, TaskType};
use serde_json::{Value, json};

fn read(text: &str) -> Result<Config, String> {
    config::parse(text, "contextcore.yaml", &kinds()).map_err(|errors| errors.to_string())
}

fn schema() -> String {
    config::json_schema(&kinds())
}

fn config_dir() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

/// The reference with its examples made live: a commented line whose text starts with a key or deeper indentation is an
/// example, one with a single space is prose.
fn reference_with_examples() -> String {
    let live = DEFAULT_YAML
        .lines()
        .filter(|line| !line.ends_with(": []") || line.contains('#'))
        .filter(|line| !line.ends_with(": {}"))
        // The store is in a directory or in a database.
        .filter(|line| *line != "  path: ./data");
    let uncommented = live.map(|line| match line.trim_start().strip_prefix('#') {
        Some(text) if !text.starts_with(' ') || text.starts_with("  ") => line.replacen('#', "", 1),
        _ => line.to_owned(),
    });
    uncommented.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_examples_in_the_reference_are_right_and_state_the_defaults_they_claim() {
    let config = read(&reference_with_examples()).unwrap();
    let source = &config.sources[0];
    let minimal = read("sources: [{name: a, kind: jira, url: 'http://a', auth: {token: {env: T}}}]").unwrap();
    assert_eq!(source.schedule.to_string(), minimal.sources[0].schedule.to_string());
    assert_eq!(source.stale_after, minimal.sources[0].stale_after);
    assert_eq!(source.derive_status, minimal.sources[0].derive_status);
    assert_eq!(source.blocked.links, minimal.sources[0].blocked.links);
}

#[test]
fn the_reference_has_every_key() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let reference = reference_with_examples();
    let mut keys = 0;
    for definition in schema["$defs"].as_object().unwrap().values().chain([&schema]) {
        for key in definition["properties"].as_object().into_iter().flat_map(|properties| properties.keys()) {
            assert!(reference.contains(&format!("{key}:")), "config/default.yaml does not name `{key}`");
            keys += 1;
        }
    }
    assert!(keys > 50, "only {keys} keys found in the schema");
}

#[test]
fn the_committed_schema_is_fresh() {
    let path = config_dir().join("schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, schema()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == schema(), "config/schema.json is stale: run this test with UPDATE_SCHEMA=1");
}

#[test]
fn every_key_in_the_schema_is_described() {
    fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            if property["description"].is_null() {
                found.push(format!("{path}.{key}"));
            }
        }
    }
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let mut found = Vec::new();
    undescribed(&schema, "", &mut found);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        undescribed(definition, name, &mut found);
    }
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_examples_are_right() {
    let mut names = Vec::new();
    for entry in fs::read_dir(config_dir().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let config = read(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(!config.sources.is_empty(), "{}", path.display());
        names.push(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(names, ["all-three-tools", "jira-cloud", "jira-data-center"]);
}

/// The configurations that the Helm chart renders, from the goldens of its tests.
#[test]
fn what_the_chart_renders_is_a_configuration() {
    let folder = config_dir().join("../operator/tests/chart/golden");
    let mut sources = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let (_, rest) = text.split_once("\n  contextcore.yaml: |\n").unwrap();
        let lines = rest.lines().take_while(|line| line.starts_with("    "));
        let config: String = lines.map(|line| format!("{}\n", &line[4..])).collect();
        match read(&config) {
            Ok(config) => sources += config.sources.len(),
            // The chart starts nothing before there are sources.
            Err(error) => assert!(error.contains("no source") && !error.contains('\n'), "{config}: {error}"),
        }
    }
    assert_eq!(sources, 5);
}

#[test]
fn a_file_with_everything_is_read_as_written() {
    let config = read(&reference_with_examples()).unwrap();
    let source = config.source("acme-jira").unwrap();
    assert_eq!(source.url, "https://acme.atlassian.net");
    assert_eq!(source.settings, json!({"auth": {"email": "bot@acme.io", "token": {"env": "JIRA_TOKEN"}}}));
    let github = config.source("acme-github").unwrap();
    assert_eq!(github.extra_scopes, ["acme/checkout"]);
    assert_eq!(config.source("tracker").unwrap().place(), "/var/lib/tracker/tasks.jsonl");
    assert_eq!(source.projects, ["PROJ", "OPS"]);
    assert_eq!(source.statuses["Awaiting QA"], Status::InReview);
    assert_eq!(source.types["Tech Debt"], TaskType::Task);
    assert_eq!(source.blocked.statuses.as_deref(), Some(&["Blocked".to_owned(), "On Hold".to_owned()][..]));
    assert_eq!(source.schedule.next_after(Millis(0)), Some(Millis(300_000)));
    assert_eq!(config.project_of("acme-jira", "PROJ").unwrap().criticality, Some(Criticality::Critical));
    assert!(config.project_of("acme-jira", "OPS").is_none());
    assert_eq!(config.export.history, Some(34_560_000_000));
    assert_eq!(config.export.give_up, Duration::from_secs(120));
}

#[test]
fn an_app_takes_the_place_of_a_token() {
    let with = |auth: &str| format!("sources: [{{name: a, kind: github, url: 'https://a', auth: {auth}}}]");
    for (id, want) in [("12345", "12345"), ("Iv23liAbc", "Iv23liAbc")] {
        let auth = format!("{{app: {{id: {id}, installation: 678, private_key: {{file: /run/key.pem}}}}}}");
        let source = read(&with(&auth)).unwrap().sources.remove(0);
        let app = &source.settings["auth"]["app"];
        assert_eq!((app["id"].to_string().trim_matches('"'), &app["installation"]), (want, &json!(678)));
        assert!(
            contextcore_connectors::registration("github").is_some_and(|kind| (kind.build)(
                &source,
                &Privacy::default()
            )
            .is_ok())
        );
    }
    let table = [
        ("{app: {id: 1, installation: 2}}", "auth.app.private_key: is missing"),
        ("{app: {id: 1, private_key: {env: KEY}}}", "auth.app.installation: is missing"),
        ("{app: {id: 1, installation: 2, private_key: {env: K}}, token: {env: T}}", "auth: has both `token` and `app`"),
        ("{app: {id: 1, installation: 2, private_key: hunter2}}", "auth.app.private_key: is a literal secret"),
    ];
    for (auth, want) in table {
        let messages = read(&with(auth)).unwrap_err();
        assert!(messages.contains(want) && !messages.contains("hunter2"), "{auth}: {messages}");
    }
}

#[test]
fn what_a_kind_refuses_is_named_with_its_line() {
    let text = r"sources:
  - {name: a, kind: jira, url: 'https://a', auth: {email: a@b.c}, fields: {points: x}}
  - name: b
    kind: github
    url: https://b
    auth: {token: {env: T}}
    projects: [acme/1, acme]
    repositories: [acme/web, web]
    fields: {size: Size}
  - {name: c, kind: linear, url: 'https://c', auth: {token: {env: T}, app: {id: 1}}, fields: {x: y}}
  - {name: d, kind: linear, url: 'https://d', auth: {token: {env: T}}, repositories: [acme/web]}
  - {name: e, kind: file, url: 'https://e', path: x.jsonl, repositories: []}
  - {name: f, kind: file}
";
    insta::assert_snapshot!(read(text).unwrap_err(), @"
    contextcore.yaml:2: sources[0].auth.token: is missing: add `auth: {token: {env: NAME}}`, or {file: PATH}
    contextcore.yaml:2: sources[0].fields.points: `points` is none of story_points, sprint, epic_link, parent_link, flagged
    contextcore.yaml:7: sources[1].projects[1]: `acme` is not OWNER/NUMBER, as in github.com/orgs/OWNER/projects/NUMBER
    contextcore.yaml:8: sources[1].repositories[1]: `web` is not OWNER/NAME
    contextcore.yaml:9: sources[1].fields.size: `size` is none of status, estimate, iteration, priority, type, due
    contextcore.yaml:10: sources[2].auth: has an unknown key: known here: token
    contextcore.yaml:10: sources[2].fields.x: means nothing here: Linear has no fields to choose from
    contextcore.yaml:11: sources[3].repositories: is a key of github, not of linear: take it out, or correct `kind`
    contextcore.yaml:12: sources[4].url: is a key of jira, github, linear, not of file: take it out, or correct `kind`
    contextcore.yaml:13: sources[5].path: is missing: add `path: FILE`
    ");
}
