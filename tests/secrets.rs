//! No secret leaks: everything the binary prints at `-vvv`, stores and sends is searched for tokens, for their encoded forms in
//! headers, and for the headers of the backend. The fakes quote what they were sent in their errors, as some servers do.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::jira::{Credential, Jira, Options};
use contextcore_fakes::otlp::{self, Signal};
use contextcore_fakes::world::World;

use crate::rig::{Installation, LIMIT, NOW, Ran, Service, Setup, Tool};

const TOKEN: &str = "jira-t0ken-9f31c0ffee";
const HEADER: &str = "Basic b3RscDpoZWFkZXItczNjcmV0";
const VARIABLE: &str = "0tel-key-from-the-environment";
const HEADERS: &str = "headers: {Authorization: {env: OTLP_AUTHORIZATION}, X-Scope-OrgID: {file: ./tenant}}";
const TENANT: &str = "tenant-s3cret-name";

/// What must be nowhere.
fn secrets() -> Vec<String> {
    let basic = BASE64.encode(format!("{}:{TOKEN}", Jira::EMAIL));
    let header = HEADER.trim_start_matches("Basic ").to_owned();
    vec![TOKEN.to_owned(), BASE64.encode(TOKEN), basic, header, VARIABLE.to_owned(), TENANT.to_owned()]
}

#[track_caller]
fn assert_clean(what: &str, text: &str) {
    for secret in secrets() {
        let place = text.find(&secret);
        let around = place.map(|at| text[text.floor_char_boundary(at.saturating_sub(300))..at].to_owned());
        assert!(place.is_none(), "{what} shows {secret} after: {}", around.unwrap_or_default());
    }
}

#[track_caller]
fn clean(ran: Ran) -> Ran {
    assert_clean("stdout", &ran.out);
    assert_clean("stderr", &ran.err);
    ran
}

/// Everything under a directory.
fn assert_clean_files(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => assert_clean_files(&entry.path()),
            kind if kind.is_file() => {
                let bytes = std::fs::read(entry.path()).unwrap();
                assert_clean(&entry.path().display().to_string(), &String::from_utf8_lossy(&bytes));
            }
            _ => {}
        }
    }
}

fn assert_clean_telemetry(home: &Installation) {
    let collector = &home.collector;
    assert_clean("a span", &format!("{:?}", collector.spans()));
    assert_clean("a log record", &format!("{:?}", collector.logs()));
    assert_clean("a metric", &format!("{:?}", collector.points()));
}

/// An installation with secrets of every kind.
async fn installation(options: Options, http: bool) -> (Tool, Installation) {
    let tool = Tool::start(World::demo(NOW, 2, 7), options).await;
    let mut home = tool.home_with(&Setup { otlp: HEADERS, http, export: "give_up: 1s", ..Setup::default() }).await;
    home.variables = vec![
        ("JIRA_TOKEN".to_owned(), TOKEN.to_owned()),
        ("OTLP_AUTHORIZATION".to_owned(), HEADER.to_owned()),
        ("OTEL_EXPORTER_OTLP_HEADERS".to_owned(), format!("api-key={VARIABLE}")),
    ];
    std::fs::write(home.path().join("tenant"), TENANT).unwrap();
    (tool, home)
}

fn cloud() -> Options {
    let credential = Credential::Basic { user: Jira::EMAIL.to_owned(), token: TOKEN.to_owned() };
    Options { credentials: vec![credential], ..Options::cloud() }
}

fn data_center() -> Options {
    Options { credentials: vec![Credential::Bearer(TOKEN.to_owned())], ..Options::data_center() }
}

/// The secrets are used; without that, their absence would prove nothing.
fn assert_used(tool: &Tool, home: &Installation) {
    let shown = tool.jira.requests().iter().any(|request| request.headers.contains_key("authorization"));
    assert!(shown, "Jira received no credential");
    for seen in home.collector.requests() {
        for (name, value) in [("authorization", HEADER), ("x-scope-orgid", TENANT), ("api-key", VARIABLE)] {
            assert_eq!(seen.headers.get(name).and_then(|value| value.to_str().ok()), Some(value), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_shows_keeps_or_sends_a_secret() {
    for (options, http) in [(cloud(), false), (data_center(), true)] {
        let (tool, home) = installation(options.clone(), http).await;
        if options.edition != cloud().edition {
            home.write(&home.config_text().replace(&format!("email: {}, ", Jira::EMAIL), ""));
        }
        clean(home.run(&["sync", "-vvv"]).expect(0));
        assert_used(&tool, &home);
        let key = home.tasks()[0]["id"].as_str().unwrap().to_owned();
        for arguments in [
            &["check", "-vvv"][..],
            &["sync", "--full", "--dry-run", "-vvv"],
            &["status", "-vvv"],
            &["status", "-vvv", "--output", "json"],
            &["tasks", "-vvv", "--output", "json"],
            &["sprints", "-vvv"],
            &["show", &key, "-vvv"],
            &["replay", "-vvv"],
            &["store", "verify", "-vvv"],
            &["store", "export", "-", "-vvv"],
            &["schema"],
        ] {
            clean(home.run(arguments).expect(0));
        }
        std::fs::remove_file(home.path().join("tenant")).unwrap();
        assert_clean_files(home.path());
        assert_clean_telemetry(&home);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_even_the_libraries_show_a_secret_when_all_of_them_trace() {
    for http in [false, true] {
        let (tool, mut home) = installation(cloud(), http).await;
        home.variables.push(("CONTEXTCORE_LOG".to_owned(), "trace".to_owned()));
        clean(home.run(&["sync"]).expect(0));
        assert_used(&tool, &home);
        clean(home.run(&["check"]).expect(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_and_completions_show_no_value_of_the_environment() {
    let (_tool, home) = installation(cloud(), false).await;
    for command in ["", "demo", "init", "check", "sync", "serve", "tasks", "show", "status", "replay", "store"] {
        let words: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        clean(home.run(&words).expect(0));
    }
    clean(home.run(&["completions", "bash"]).expect(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_that_quote_what_was_sent_are_redacted() {
    let basic = BASE64.encode(format!("{}:{TOKEN}", Jira::EMAIL));
    let quote = format!("cannot use Authorization: Basic {basic} (token {TOKEN})");
    let body = format!(r#"{{"errorMessages":["{quote}"],"errors":{{"token":"{TOKEN}"}}}}"#);
    let page = format!("<html><head><title>{quote}</title></head></html>");
    for (calls, code, body, exit) in [
        ("*/myself", 401, body.as_str(), 3),
        ("POST */search/jql", 400, &body, 3),
        ("POST */search/jql", 403, &page, 3),
        ("POST */search/jql", 200, &page, 3),
        // Where many histories at once are refused, they are read one by one.
        ("POST */changelog/bulkfetch", 404, &body, 0),
    ] {
        let (tool, home) = installation(cloud(), false).await;
        tool.jira.faults().on(calls, When::Always, Fault::status(code, body));
        let ran = clean(home.run(&["sync", "-vvv"]).expect(exit));
        // What was read in another way is no error, and nothing is quoted.
        assert!(exit == 0 || ran.err.contains("cannot use Authorization: Basic [redacted]"), "{}", ran.err);
        clean(home.run(&["status", "--output", "json"]).expect(0));
        clean(home.run(&["check", "-vvv"]));
        assert_clean_telemetry(&home);
        std::fs::remove_file(home.path().join("tenant")).unwrap();
        assert_clean_files(home.path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_a_backend_that_quotes_its_headers_are_redacted() {
    let quote = format!("no tenant {TENANT} for {HEADER} with key {VARIABLE}");
    for http in [false, true] {
        let (_tool, home) = installation(cloud(), http).await;
        home.collector.always(Signal::Logs, Some(otlp::Fault::bad_request(&quote)));
        home.collector.always(Signal::Metrics, Some(otlp::Fault::server_error(&quote)));
        home.collector.script_for(Signal::Traces, [otlp::Fault::Partial { rejected: 1, reason: quote.clone() }]);
        clean(home.run(&["sync", "-vvv"]).expect(4));
        clean(home.run(&["status", "--output", "json"]).expect(0));
        clean(home.run(&["check", "-vvv"]));
        std::fs::remove_file(home.path().join("tenant")).unwrap();
        assert_clean_files(home.path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_cannot_be_sent_is_not_shown_either() {
    let (_tool, mut home) = installation(cloud(), false).await;
    home.variables[0].1 = format!("{TOKEN}\u{7f}\n{TOKEN}");
    clean(home.run(&["sync", "-vvv"]));
    home.variables[1].1 = format!("{HEADER}\n{HEADER}");
    clean(home.run(&["sync", "-vvv"]).expect(2));
    clean(home.run(&["check", "-vvv"]));
    // A literal is refused without being repeated.
    home.write(&home.config_text().replace("{env: JIRA_TOKEN}", TOKEN).replace("{env: OTLP_AUTHORIZATION}", HEADER));
    for command in ["sync", "check", "status"] {
        clean(home.run(&[command, "-vvv"]).expect(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_shows_no_secret_to_its_clients() {
    let (tool, home) = installation(cloud(), false).await;
    let serve = Service::start_with(&home, &["serve", "-vvv"]);
    serve.run.wait_for("sync ended", LIMIT);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_clean(path, &serve.get(path).unwrap().1);
    }
    clean(home.run(&["status", "-vvv"]).expect(0));
    clean(serve.stop());
    assert_used(&tool, &home);
    assert_clean_telemetry(&home);
}
