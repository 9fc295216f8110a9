//! The messages when a file is wrong. The reference, the examples and the schema are tested with the kinds of sources, in the
//! connectors.

use crate::config;
use std::path::Path;

use super::*;

/// The keys of a tool as these tests use it.
#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["auth"]))]
struct Tool {
    /// The credential.
    auth: Auth,
}

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Auth {
    #[serde(rename = "email")]
    _email: Option<String>,
    token: Option<SecretRef>,
}

impl KindSettings for Tool {
    fn check(&self, _: &SourceConfig, problems: &mut KeyProblems<'_>) {
        if self.auth.token.is_none() {
            problems.add("auth.token", "is missing: add `auth: {token: {env: NAME}}`, or {file: PATH}");
        }
    }
}

/// The keys of a kind that reads a file and lists.
#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Reader {
    path: Option<String>,
    lists: Vec<String>,
}

impl KindSettings for Reader {
    const HAS_URL: bool = false;

    fn check(&self, source: &SourceConfig, problems: &mut KeyProblems<'_>) {
        if source.projects.len() > 1 {
            problems.add("projects[1]", "one project is enough for a file");
        }
    }

    fn extra_scopes(&self) -> Vec<String> {
        self.lists.clone()
    }

    fn location(&self) -> Option<String> {
        self.path.clone()
    }
}

const fn tool(name: &'static str) -> SourceKind {
    SourceKind { name, keys: KindKeys::of::<Tool>() }
}

const KINDS: &[SourceKind] = &[tool("jira"), tool("github"), tool("linear")];

fn read(text: &str) -> Result<Config, String> {
    parse_in(text, "contextcore.yaml", KINDS, &Env::fixed([])).map_err(|errors| errors.to_string())
}

/// The messages about a file that is wrong.
fn messages(text: &str) -> String {
    read(text).unwrap_err()
}

/// The messages about a source that is wrong in some keys; what is not given is right.
fn source_messages(keys: &str) -> String {
    let right = [("name", "a"), ("kind", "jira"), ("url", "https://a"), ("auth", "{token: {env: T}}")];
    let rest = right
        .iter()
        .filter(|(key, _)| !keys.contains(&format!("{key}:")))
        .map(|(key, value)| format!(", {key}: {value}"));
    messages(&format!("sources: [{{{keys}{}}}]", rest.collect::<String>()))
}

#[test]
fn the_reference_gives_what_an_empty_file_gives() {
    let empty = read("").unwrap();
    let mut reference = read(DEFAULT_YAML).unwrap();
    // All but that somebody wrote the address down.
    reference.export.otlp.targets.values_mut().for_each(|target| target.is_default = true);
    assert_eq!(format!("{reference:?}"), format!("{empty:?}"));
    insta::assert_debug_snapshot!(empty);
}

#[test]
fn history_may_be_everything_or_nothing() {
    assert_eq!(read("export: {history: all}").unwrap().export.history, None);
    assert_eq!(read("export: {history: 0d}").unwrap().export.history, Some(0));
}

#[test]
fn keys_without_a_value_count_as_absent() {
    let config = read("store:\n  path:\nsources:\nexport:\n  otlp:\n    headers:\n").unwrap();
    assert_eq!(config.store.path(), Some(Path::new("./data")));
}

#[test]
fn a_store_is_in_a_directory_or_in_a_database() {
    let store = |text: &str| read(&format!("store: {text}")).map(|config| config.store);
    let database = |schema: &str, seconds| {
        let (url, lease_ttl) = (SecretRef::Env("DB".into()), std::time::Duration::from_secs(seconds));
        StoreConfig::Postgres(PostgresConfig { url, schema: schema.into(), lease_ttl })
    };
    assert_eq!(store("{postgres: {url: {env: DB}}}").unwrap(), database("contextcore", 25));
    assert_eq!(store("{postgres: {url: {env: DB}, schema: tasks, lease_ttl: 3s}}").unwrap(), database("tasks", 3));
    let refused = [
        ("{path: ./data, postgres: {url: {env: DB}}}", "store.postgres: cannot be beside `store.path`"),
        ("{postgres: {schema: x}}", "store.postgres.url"),
        ("{postgres: {url: 'postgres://u:hunter2@h/d'}}", "store.postgres.url"),
        ("{postgres: {url: {env: DB}, schema: 'x; drop'}}", "store.postgres.schema"),
        ("{postgres: {url: {env: DB}, lease_ttl: 1s}}", "store.postgres.lease_ttl: must be between 2s and 10m"),
    ];
    for (text, expected) in refused {
        let problems = store(text).unwrap_err().to_string();
        assert!(problems.contains(expected) && !problems.contains("hunter2"), "{text}: {problems}");
    }
}

#[test]
fn a_url_keeps_its_path_and_loses_its_trailing_slash() {
    let url = |url: &str| {
        let text = format!("sources: [{{name: a, kind: jira, url: '{url}', auth: {{token: {{env: T}}}}}}]");
        read(&text).unwrap().sources[0].url.clone()
    };
    assert_eq!(url("http://127.0.0.1:8080/prefix/jira/"), "http://127.0.0.1:8080/prefix/jira");
    assert_eq!(url("https://acme.atlassian.net"), "https://acme.atlassian.net");
}

#[test]
fn unknown_keys_are_named_with_line_and_nearest() {
    let text = r"store:
  pth: ./data
export:
  otlp:
    endpont: http://x:1
log: {}
listn:
sorces:
  - name: a
";
    insta::assert_snapshot!(messages(text), @r"
contextcore.yaml:2: store.pth: unknown key `pth`: did you mean `path`?
contextcore.yaml:5: export.otlp.endpont: unknown key `endpont`: did you mean `endpoint`?
contextcore.yaml:6: log: unknown key `log`: known here: agents, export, git, guidance, insights, listen, mcp, ops, privacy, projects, projects_file, prometheus, semconv, sources, store, webhooks
contextcore.yaml:7: listn: unknown key `listn`: did you mean `listen`?
contextcore.yaml:8: sorces: unknown key `sorces`: did you mean `sources`?
");
}

#[test]
fn an_unknown_key_hides_that_the_meant_one_is_missing() {
    insta::assert_snapshot!(source_messages("auth: {tokn: {env: T}}"), @r"
contextcore.yaml:1: sources[0].auth.tokn: unknown key `tokn`: did you mean `token`?
");
}

/// The one message that all these values of `auth` get.
fn auth_message(values: &[&str]) -> String {
    let mut messages: Vec<String> = values.iter().map(|auth| source_messages(&format!("auth: {auth}"))).collect();
    messages.dedup();
    messages.join("\n")
}

#[test]
fn literal_secrets_are_refused_and_not_repeated() {
    let message = auth_message(&["{token: hunter2}", "{token: [hunter2]}", "{token: 4711471147114711}"]);
    insta::assert_snapshot!(message, @r"
contextcore.yaml:1: sources[0].auth.token: is a literal secret, and a configuration file gets copied and committed: write {env: NAME} or {file: PATH} instead
");
}

#[test]
fn malformed_references_are_refused_and_not_repeated() {
    let message = auth_message(&[
        "{token: {hunter2}}",
        "{token: {hunter2: x}}",
        "{token: {env: T, file: hunter2}}",
        "{token: {}}",
        "{token: {env: [hunter2]}}",
    ]);
    insta::assert_snapshot!(message, @r"
contextcore.yaml:1: sources[0].auth.token: needs exactly one of {env: NAME} and {file: PATH}
");
    let message =
        auth_message(&["{token: {env: abcd1234efgh5678ijkl}}", "{token: {env: not-a-name}}", "{token: {env: 4NAME}}"]);
    insta::assert_snapshot!(message, @r"
contextcore.yaml:1: sources[0].auth.token: names no environment variable, and may be the secret itself: write {env: NAME} and export NAME
");
}

#[test]
fn no_message_and_no_debug_output_holds_a_secret() {
    let places = [
        "sources: [{auth: {token: hunter2}}]",
        "sources: [{auth: hunter2}]",
        "sources: [{auth: [hunter2]}]",
        "sources: [{auth: {password: hunter2}}]",
        "sources: [{auth: {hunter2}}]",
        "sources: [{auth: {hunter2: x}}]",
        "sources: [{url: 'https://me:hunter2@host'}]",
        "sources: [{url: 'me:hunter2@host'}]",
        "sources: [{url: 'https://me:hunter2@host:port'}]",
        "export: {otlp: {endpoint: 'http://hunter2@collector:1'}}",
        "export: {otlp: {endpoints: {logs: 'http://x:hunter2@collector:99999'}}}",
        "export: {otlp: {headers: {authorization: Bearer hunter2}}}",
        "export: {otlp: {headers: {X-Api-Key: hunter2}}}",
        "export: {otlp: {headers: {x: \"hunter2\\n\"}}}",
        "export: {otlp: {headers: [hunter2]}}",
        "export: {otlp: {headers: {api_token: {hunter2}}}}",
        "sources: [{auth: {token: hunter2}",
        "sources: [{auth: {token: hunter2: x}}]",
        "hunter2",
    ];
    for text in places {
        let errors = parse_in(text, "f", KINDS, &Env::fixed([])).unwrap_err();
        assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{text}: {errors}");
    }
    let config = read("export: {otlp: {headers: {x-team: hunter2}}}").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn wrong_shapes_say_what_is_wanted() {
    let text = r"store: ./data
export:
  history: 400
  metrics: {task_info_limit: -1}
  otlp:
    signals: traces
    endpoints: {logs: [x]}
listen: 9464
privacy: {assignee: hashed, title: 1}
projects: {}
";
    insta::assert_snapshot!(messages(text), @r"
contextcore.yaml:1: store: needs a mapping (`key: value`), not text
contextcore.yaml:3: export.history: needs a unit, such as 15m or 400d
contextcore.yaml:4: export.metrics.task_info_limit: needs a whole number from 0 to 4294967295
contextcore.yaml:6: export.otlp.signals: needs a list, not text: put it in brackets, [...]
contextcore.yaml:7: export.otlp.endpoints.logs: needs text, not a list
contextcore.yaml:8: listen: needs text, not a number: put it in quotes
contextcore.yaml:9: privacy.assignee: `hashed` is none of plain, hash, omit
contextcore.yaml:9: privacy.title: needs one of plain, omit, not a number
contextcore.yaml:10: projects: needs a list, not a mapping (`key: value`)
");
}

#[test]
fn a_file_that_is_no_mapping_says_so() {
    insta::assert_snapshot!(messages("- a\n- b\n"), @r"
contextcore.yaml: needs a mapping (`key: value`), not a list
");
    insta::assert_snapshot!(messages("a: 1\nb: [c\n"), @r"
contextcore.yaml:2: is not valid YAML here: look for a missing colon, an unclosed quote or bracket, or a tab in the indentation
");
}

#[test]
fn wrong_values_say_how_to_write_them() {
    let text = r"store: {path: ''}
export:
  history: forever
  snapshot: {interval: 0s}
  metrics: {interval: 1.5h, history_step: 6 h}
  give_up: ''
  otlp:
    endpoint: collector:4317
    protocol: http/json
    signals: [trace]
listen: localhost
";
    insta::assert_snapshot!(messages(text), @r"
contextcore.yaml:1: store.path: is empty: name a directory
contextcore.yaml:3: export.history: `forever` is not a length of time: write a whole number and ms, s, m, h, d or w, such as 15m, or `all`
contextcore.yaml:4: export.snapshot.interval: must be longer than zero
contextcore.yaml:5: export.metrics.interval: `1.5h` is not a length of time: write a whole number and ms, s, m, h, d or w, such as 15m
contextcore.yaml:5: export.metrics.history_step: `6 h` is not a length of time: write a whole number and ms, s, m, h, d or w, such as 15m
contextcore.yaml:6: export.give_up: is empty: write a length of time such as 15m or 400d
contextcore.yaml:8: export.otlp.endpoint: does not start with http:// or https://: write it like https://host:port/path
contextcore.yaml:9: export.otlp.protocol: `http/json` is none of grpc, http/protobuf
contextcore.yaml:10: export.otlp.signals[0]: `trace` is none of traces, logs, metrics
contextcore.yaml:11: listen: `localhost` is not IP:PORT: write 127.0.0.1:9464, or 0.0.0.0:9464 for all interfaces
");
}

#[test]
fn a_source_without_anything_says_what_it_needs() {
    insta::assert_snapshot!(messages("sources:\n  - {}\n"), @r"
contextcore.yaml:2: sources[0].name: is missing: add `name: my-tracker`
contextcore.yaml:2: sources[0].kind: is missing: add `kind: jira | github | linear`
contextcore.yaml:2: sources[0].url: is missing: add `url: https://HOST`
contextcore.yaml:2: sources[0].auth.token: is missing: add `auth: {token: {env: NAME}}`, or {file: PATH}
");
}

#[test]
fn wrong_sources_say_what_to_do() {
    let keys = "name: 'acme jira', kind: jiira, url: acme.atlassian.net, schedule: '*/5 * * *', stale_after: 0d";
    insta::assert_snapshot!(source_messages(keys), @r#"
contextcore.yaml:1: sources[0].name: `acme jira` cannot become part of ids: use letters, digits, `.`, `_` and `-` only
contextcore.yaml:1: sources[0].kind: `jiira` is none of jira, github, linear (did you mean `jira`?)
contextcore.yaml:1: sources[0].url: is not an address (relative URL without a base): write it like https://host:port/path
contextcore.yaml:1: sources[0].schedule: `*/5 * * *` is not a cron line (it has 4 fields instead of five): write minute, hour, day, month and weekday in UTC, such as "*/5 * * * *"
contextcore.yaml:1: sources[0].stale_after: must be longer than zero
"#);
    let keys = "url: 'https://a/?x', statuses: {QA: in_reveiw}, types: {Chore: chore}, projects: [1], \
                blocked: {links: maybe}";
    insta::assert_snapshot!(source_messages(keys), @r"
contextcore.yaml:1: sources[0].blocked.links: needs true or false, not text
contextcore.yaml:1: sources[0].projects[0]: needs text, not a number: put it in quotes
contextcore.yaml:1: sources[0].statuses.QA: `in_reveiw` is none of backlog, todo, in_progress, in_review, blocked, done, cancelled
contextcore.yaml:1: sources[0].types.Chore: `chore` is none of epic, story, task, subtask, bug, spike, incident
contextcore.yaml:1: sources[0].url: has a `?` or `#` part: give the base address only
");
    let text = r"sources:
  - {name: a, kind: trello, url: 'http://a', auth: {token: {env: T}}}
  - {name: a, kind: jira, url: 'http://a', auth: {token: {env: T}}}
";
    insta::assert_snapshot!(messages(text), @r"
contextcore.yaml:2: sources[0].kind: `trello` is none of jira, github, linear
contextcore.yaml:3: sources[1].name: is the name of sources[0] already: names become part of ids, so each needs its own
");
}

#[test]
fn wrong_projects_say_what_to_do() {
    insta::assert_snapshot!(messages("\
projects:
  - id: shop
    include:
      - {source: acme-jra, project: PROJ}
      - {source: acme-jira, project: PRJ}
      - {source: acme-jira, project: OPS}
      - {source: acme-jira}
  - id: shop
    criticality: huge
    include: [{source: acme-jira, project: OPS}]
  - name: nothing
sources:
  - {name: acme-jira, kind: jira, url: 'https://a', auth: {token: {env: T}}, projects: [PROJ, OPS]}
"), @r"
contextcore.yaml:4: projects[0].include[0].source: there is no source `acme-jra`: did you mean `acme-jira`?
contextcore.yaml:5: projects[0].include[1].project: acme-jira does not poll `PRJ`: did you mean `PROJ`?
contextcore.yaml:7: projects[0].include[3].project: is missing: add `project: NATIVE_PROJECT`
contextcore.yaml:8: projects[1].id: is the id of projects[0] already: give it another
contextcore.yaml:9: projects[1].criticality: `huge` is none of critical, high, medium, low
contextcore.yaml:10: projects[1].include[0]: `OPS` of acme-jira is already in projects[0].include[2]: name it once
contextcore.yaml:11: projects[2].id: is missing: add `id: my-project`
contextcore.yaml:11: projects[2].include: is missing: add `include: [{source: NAME, project: NATIVE_PROJECT}]`
");
}

#[test]
fn problems_come_in_file_order_and_become_one_error() {
    let errors =
        parse_in("listen: x\nstore: {pth: a}\nexport: {give_up: x}\n", "f.yaml", KINDS, &Env::fixed([])).unwrap_err();
    let lines: Vec<_> = errors.problems.iter().map(|problem| problem.place.clone()).collect();
    assert!(matches!(
        lines[..],
        [Place::Key { line: Some(1), .. }, Place::Key { line: Some(2), .. }, Place::Key { line: Some(3), .. }]
    ));
    let error = Error::from(errors);
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.to_string().lines().count(), 3);
}

#[test]
fn the_file_is_looked_for_in_three_places() {
    let env = Env::fixed([("CONTEXTCORE_CONFIG", "/env.yaml")]);
    assert_eq!(locate_in(Some(Path::new("/cli.yaml")), &env).unwrap(), Path::new("/cli.yaml"));
    assert_eq!(locate_in(None, &env).unwrap(), Path::new("/env.yaml"));
    let error = locate_in(None, &Env::fixed([])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    insta::assert_snapshot!(error, @r"
no contextcore.yaml in this directory: write one with `contextcore init`, or name one with --config or CONTEXTCORE_CONFIG
");
}

#[test]
fn a_named_file_that_is_not_there_says_so() {
    insta::assert_snapshot!(config::load(Path::new("no/such.yaml"), KINDS).unwrap_err(), @r"
no/such.yaml: does not exist: write it with `contextcore init`, or name another
");
}

/// What a file says when its sources may also be of the kind `file`.
fn read_with_files(text: &str) -> Result<Config, String> {
    let kinds = [tool("jira"), SourceKind { name: "file", keys: KindKeys::of::<Reader>() }];
    parse_in(text, "f.yaml", &kinds, &Env::fixed([])).map_err(|errors| errors.to_string())
}

#[test]
fn each_kind_has_keys_of_its_own() {
    let file =
        read_with_files("sources: [{name: a, kind: file, path: x.jsonl, lists: [one]}]").unwrap().sources.remove(0);
    assert_eq!(
        (file.place().as_str(), file.url.as_str(), file.extra_scopes.as_slice()),
        ("x.jsonl", "", &["one".to_owned()][..])
    );
    let text = "sources:
  - {name: a, kind: jira, url: 'https://a', auth: {token: {env: T}}, path: x.jsonl, lists: []}
  - {name: b, kind: file, pth: x.jsonl, projects: [A, B]}
  - {name: c, kind: file, url: 'https://a', auth: hunter2}
  - {name: d, kind: fiel, path: x.jsonl}
";
    insta::assert_snapshot!(read_with_files(text).unwrap_err(), @r"
f.yaml:2: sources[0].path: is a key of file, not of jira: take it out, or correct `kind`
f.yaml:3: sources[1].pth: unknown key `pth`: did you mean `path`?
f.yaml:3: sources[1].projects[1]: one project is enough for a file
f.yaml:4: sources[2].auth: is a key of jira, not of file: take it out, or correct `kind`
f.yaml:4: sources[2].url: is a key of jira, not of file: take it out, or correct `kind`
f.yaml:5: sources[3].kind: `fiel` is none of jira, file (did you mean `file`?)
f.yaml:5: sources[3].url: is missing: add `url: https://HOST`
");
}

#[test]
fn the_schema_has_a_definition_for_each_kind() {
    let kinds = [tool("jira"), SourceKind { name: "file", keys: KindKeys::of::<Reader>() }];
    let schema: serde_json::Value = serde_json::from_str(&json_schema(&kinds)).unwrap();
    let definitions = &schema["$defs"];
    assert_eq!(schema["properties"]["sources"]["items"]["oneOf"][1]["$ref"], "#/$defs/FileSource");
    assert_eq!(definitions["JiraSource"]["required"], serde_json::json!(["name", "kind", "url", "auth"]));
    assert_eq!(definitions["FileSource"]["required"], serde_json::json!(["name", "kind"]));
    assert_eq!(definitions["FileSource"]["properties"]["kind"]["const"], "file");
    assert!(definitions["FileSource"]["properties"]["url"].is_null());
    assert!(definitions["Tool"].is_null() && definitions["Source"].is_null(), "only whole sources are published");
}

#[test]
fn the_store_is_beside_the_file_and_one_in_the_working_directory_is_not_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("contextcore.yaml");
    std::fs::write(&file, "store: {path: ./data}").unwrap();
    assert_eq!(load(&file, &[]).unwrap().store.path(), Some(&*dir.path().join("data")));
    std::fs::write(&file, "{store: {path: /var/lib/x}}").unwrap();
    assert_eq!(load(&file, &[]).unwrap().store.path(), Some(Path::new("/var/lib/x")));

    let known = |store: &Path| store_beside(&file, store);
    assert_eq!(store_beside(Path::new("contextcore.yaml"), Path::new("./data")), Ok("./data".into()));
    assert_eq!(store_beside(Path::new("./x/c.yaml"), Path::new("data")), Ok("./x/data".into()));
    // The tests run in the crate's directory.
    let here = tempfile::tempdir_in(".").unwrap();
    let relative = Path::new(".").join(here.path().file_name().unwrap());
    assert!(known(&relative).is_ok(), "no store is there");
    std::fs::write(relative.join("db"), "").unwrap();
    let message = known(&relative).unwrap_err();
    assert!(message.contains("move it there") && message.contains(&dir.path().display().to_string()), "{message}");
    std::fs::create_dir(dir.path().join(&relative)).unwrap();
    assert!(known(&relative).is_ok(), "what is beside the file is used");
}

#[test]
fn the_conventions_for_genai_can_be_left_out() {
    let is_written = |text: &str| read(text).map(|config| config.semconv.gen_ai.is_written());
    assert_eq!(is_written(""), Ok(true));
    assert_eq!(is_written("semconv: {gen_ai: off}"), Ok(false));
    assert_eq!(is_written("semconv: {gen_ai: '2026-11-26'}"), Ok(true));
    let message = is_written("semconv: {gen_ai: latest}").unwrap_err();
    assert!(message.contains("2026-11-26") && message.contains("off"), "{message}");
}
