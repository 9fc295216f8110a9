//! The commands one by one: what they print, how they end, and that failures say what to do.

use std::collections::BTreeSet;
use std::time::Duration;

use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::otlp::{self, Signal};

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_tells_everything_once_and_the_next_one_nothing_new() {
    let stage = Stage::new().await;
    let first = stage.run(&["sync", "--output", "json"]).json();
    let source = &first["sources"][0];
    assert_eq!(source["name"], "acme");
    let issues = stage.jira.world().issues().count();
    assert!(source["records"].as_u64().unwrap() >= issues as u64, "{source}");
    let counts = stage.backend.counts();
    assert_eq!(first["export"]["spans"], counts.spans);
    assert_eq!(first["export"]["logs"], counts.logs);
    let points = stage.backend.points();
    let told = points.iter().filter(|point| !point.name.starts_with("contextcore.")).count();
    assert_eq!(first["export"]["points"], told);
    assert!(counts.spans > 0 && counts.logs > 0 && told > 0);

    let second = stage.run(&["sync", "-o", "json"]).json();
    assert_eq!(second["sources"][0]["changes"], 0);
    assert_eq!((stage.backend.counts().logs, &second["export"]["logs"]), (counts.logs, &0.into()));
    let text = stage.run(&["sync"]);
    assert!(text.stdout.starts_with("acme: "), "one line a source: {}", text.stdout);
    assert_eq!(text.stdout.lines().count(), 1);
}

/// Every point of this metric.
fn points_of(stage: &Stage, name: &str) -> Vec<otlp::Point> {
    let points = stage.backend.points();
    points.into_iter().filter(|point| point.name == name).collect()
}

/// The configuration with another way to the backend.
fn by(stage: &Stage, otlp: &str) -> String {
    let usual = stage.usual();
    let begin = usual.find("otlp: {").unwrap();
    let end = begin + usual[begin..].find('}').unwrap() + 1;
    usual[..begin].to_owned() + otlp + &usual[end..]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_tells_of_itself_by_either_protocol_and_its_counters_go_on() {
    let stage = Stage::new().await;
    let headers = "headers: {X-Scope-OrgID: team-a, X-Key: {env: SAMPLE_TOKEN}}";
    let mut before = 0.0;
    for (url, protocol) in [(stage.backend.grpc_url(), "grpc"), (stage.backend.http_url(), "http/protobuf")] {
        stage.configure(&by(&stage, &format!("otlp: {{endpoint: '{url}', protocol: {protocol}, {headers}}}")));
        stage.backend.clear();
        let mut command = stage.command(&["sync"]);
        // The file comes before the variable, for our own metrics too.
        command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-scope-orgid=team-b").env("OTEL_SERVICE_NAME", "other");
        let ran = Stage::end(command);
        assert_eq!((ran.code, ran.stderr.contains("WARN")), (Some(0), false), "{}", ran.stderr);
        let last = stage.backend.requests().pop().unwrap();
        assert_eq!((last.signal, last.headers["x-scope-orgid"].to_str().unwrap()), (Signal::Metrics, "team-a"));
        assert_eq!(last.headers.get_all("x-key").iter().count(), 1);

        let requests = points_of(&stage, "contextcore.sync.requests");
        assert_eq!(requests.len(), 1, "once a run");
        assert_eq!(requests[0].kind, otlp::PointKind::Sum { monotonic: true, cumulative: true });
        assert_eq!(requests[0].attributes["source.name"], "acme");
        assert_eq!(requests[0].resource["service.name"], "contextcore");
        assert!(requests[0].value.as_f64() > before, "{requests:?}");
        before = requests[0].value.as_f64();
        let success = points_of(&stage, "contextcore.sync.last_success").remove(0);
        assert_eq!((success.kind, success.unit.as_str()), (otlp::PointKind::Gauge, "s"));
        assert!(points_of(&stage, "contextcore.store.size").remove(0).value.as_f64() > 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_metrics_among_the_signals_a_sync_does_not_tell_of_itself() {
    let stage = Stage::new().await;
    let url = stage.backend.grpc_url();
    stage.configure(&by(&stage, &format!("otlp: {{endpoint: '{url}', signals: [logs]}}")));
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    assert!(stage.backend.requests().iter().all(|seen| seen.signal == Signal::Logs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_leaves_nothing_behind() {
    let stage = Stage::new().await;
    let report = stage.run(&["sync", "--dry-run", "--output", "json"]).json();
    assert!(report["sources"][0]["records"].as_u64().unwrap() > 0);
    assert!(report["dry_run"].as_bool().unwrap());
    assert!(!stage.path("data").exists());
    assert!(stage.backend.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_synced_can_be_read_in_every_form() {
    let stage = Stage::new().await;
    stage.run(&["sync", "-o", "json"]).json();
    let all = stage.run(&["tasks", "-o", "json"]).json();
    let all = all.as_array().unwrap();
    let csv = stage.run(&["tasks", "--output", "csv"]);
    assert_eq!(csv.stdout.matches("\r\n").count(), all.len() + 1);
    let open = stage.run(&["--output", "json", "tasks", "--status", "open", "--project", "commerce"]).json();
    let finished = |status: &str| status == "done" || status == "cancelled";
    assert!(!open.as_array().unwrap().is_empty());
    for task in open.as_array().unwrap() {
        assert!(!finished(task["status"].as_str().unwrap()) && task["project"] == "SHOP", "{task}");
    }
    let key = all[0]["id"].as_str().unwrap();
    let shown = stage.run(&["show", key, "-o", "json"]).json();
    assert_eq!(shown["trace_id"], all[0]["trace_id"]);
    let table = stage.run(&["tasks"]);
    assert_eq!(table.stdout.lines().count(), all.len() + 1);
    let status = stage.run(&["status", "-o", "json"]).json();
    let source = &status["sources"][0];
    assert_eq!(source["coverage"]["live"], all.len());
    assert_eq!(source["backlog"]["traces"], 0);
    assert!(source["last_error"].is_null() && source["next_run"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_read_do_not_get_in_each_others_way() {
    let stage = Stage::new().await;
    stage.run(&["sync", "-o", "json"]).json();
    // Nobody reads what they print until all have printed: a full pipe must not hold the store.
    let all: Vec<_> = (0..5).map(|_| stage.start(&["tasks", "-o", "json"])).collect();
    assert!(stage.run(&["sprints"]).code == Some(0));
    for child in all {
        assert!(!Stage::wait(child).json().as_array().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_fails_the_source_and_says_so() {
    let stage = Stage::new().await;
    stage.jira.set_credentials(vec![]);
    let ran = stage.run(&["sync"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.last_error().starts_with("error: acme: "), "{}", ran.stderr);
    assert_eq!(stage.run(&["check"]).code, Some(3));
    let status = stage.run(&["status", "-o", "json"]).json();
    assert_eq!(status["sources"][0]["last_error_kind"], "auth");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_source_that_fails_does_not_hold_up_the_others() {
    let stage = Stage::new().await;
    let broken =
        format!("  - {{name: broken, kind: jira, url: {}, auth: {{token: {{file: wrong}}}}}}\n", stage.jira.url());
    stage.configure(&(stage.usual() + &broken));
    std::fs::write(stage.path("wrong"), "not-the-token").unwrap();
    let both = stage.run(&["sync"]);
    assert_eq!(both.code, Some(3), "{}", both.stderr);
    assert!(both.last_error().starts_with("error: broken: "), "{}", both.stderr);
    assert!(stage.backend.counts().spans > 0, "the other was synced and told");
    let one = stage.run(&["sync", "acme", "-o", "json"]).json();
    assert_eq!(one["sources"].as_array().unwrap().len(), 1, "only the named one: {one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_token_is_a_matter_of_configuration_and_named() {
    let stage = Stage::new().await;
    let mut command = stage.command(&["sync"]);
    command.env_remove("SAMPLE_TOKEN");
    let ran = Stage::end(command);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.last_error().contains("SAMPLE_TOKEN"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_down_gives_code_4_and_loses_nothing() {
    let stage = Stage::new().await;
    stage.backend.always(Signal::Logs, Some(otlp::Fault::unavailable(None)));
    let ran = stage.run(&["sync"]);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(ran.last_error().starts_with("error: logs: "), "{}", ran.stderr);
    assert!(stage.backend.counts().spans > 0, "the others were told");
    let backlog = &stage.run(&["status", "-o", "json"]).json()["sources"][0]["backlog"];
    assert!(backlog["logs"].as_u64().unwrap() > 0 && backlog["traces"] == 0, "{backlog}");
    stage.backend.always(Signal::Logs, None);
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    assert!(stage.backend.counts().logs > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_sends_the_same_ids_again() {
    let stage = Stage::new().await;
    stage.run(&["sync", "-o", "json"]).json();
    let finals = |spans: Vec<otlp::Span>| {
        let of = |span: &otlp::Span| (span.trace_id.clone(), span.span_id.clone());
        let history =
            spans.iter().filter(|span| span.attributes.get("contextcore.role").is_some_and(|role| *role == "task"));
        history.map(of).collect::<std::collections::BTreeSet<_>>()
    };
    let before = finals(stage.backend.spans());
    stage.backend.clear();
    stage.run(&["replay", "-o", "json"]).json();
    assert!(!before.is_empty());
    assert_eq!(finals(stage.backend.spans()), before);
    stage.backend.clear();
    stage.run(&["replay", "--project", "commerce", "--since", "7d", "-o", "json"]).json();
    let some = finals(stage.backend.spans());
    assert!(some.len() < before.len() && some.is_subset(&before));
    let wrong = stage.run(&["replay", "--source", "acm"]);
    assert_eq!((wrong.code, wrong.last_error()), (Some(2), "error: there is no source `acm`; did you mean `acme`?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_say_which_open_task_waits_for_which() {
    let stage = Stage::new().await;
    stage.run(&["sync", "-o", "json"]).json();
    let tasks = stage.run(&["tasks", "-o", "json"]).json();
    let open = |id: &str| {
        let task = tasks.as_array().unwrap().iter().find(|task| task["id"] == id);
        task.is_some_and(|task| !["done", "cancelled"].contains(&task["status"].as_str().unwrap_or("done")))
    };
    let mut expected = BTreeSet::new();
    for task in tasks.as_array().unwrap().iter().filter(|task| open(task["id"].as_str().unwrap())) {
        let blockers = task["blocked_by"].as_array().unwrap().iter().filter_map(|key| key.as_str());
        expected.extend(
            blockers.filter(|key| open(key)).map(|key| (task["id"].as_str().unwrap().to_owned(), key.to_owned())),
        );
    }
    assert!(!expected.is_empty(), "nobody waits in this world");
    let (mut waits, mut holds) = (BTreeSet::new(), BTreeSet::new());
    for span in stage.backend.spans() {
        let text =
            |name: &str| span.attributes.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        if text("contextcore.role") != "snapshot" {
            continue;
        }
        let named =
            |name: &str| text(name).split(", ").filter(|key| !key.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        waits.extend(named("task.waits_for").into_iter().map(|key| (text("task.id"), key)));
        holds.extend(named("task.holds_up").into_iter().map(|key| (key, text("task.id"))));
        let blocked = text("task.status") == "blocked";
        let both = ["task.waits_for", "task.holds_up"].iter().all(|name| span.attributes.contains_key(*name));
        assert!(both || !blocked, "{}: what is blocked says so even when nothing blocks it", text("task.id"));
    }
    assert_eq!(waits, expected);
    assert_eq!(holds, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_proves_token_mapping_and_backend() {
    let stage = Stage::new().await;
    let good = stage.run(&["check", "--output", "json"]).json();
    assert_eq!(good["sources"][0]["report"]["projects"].as_array().unwrap().len(), 3);
    assert!(good["backends"].as_array().unwrap().iter().all(|backend| backend["error"].is_null()));
    assert!(!stage.path("data").exists(), "a check writes nothing");
    assert_eq!(stage.backend.requests().len(), 3, "one ping a signal");
    stage.backend.always(Signal::Traces, Some(otlp::Fault::unauthenticated()));
    let bad = stage.run(&["check"]);
    assert_eq!(bad.code, Some(4), "{}", bad.stderr);
    assert!(bad.last_error().starts_with("error: traces: "), "{}", bad.stderr);
    assert_eq!(stage.run(&["check", "nobody"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_what_sync_can_run_on_and_never_a_token() {
    let stage = Stage::new().await;
    let (jira, backend) = (stage.jira.url().to_owned(), stage.backend.grpc_url());
    let flags = ["--kind", "jira", "--url", &jira, "--email", "bot@example.com", "--endpoint", &backend];
    let rest = ["--token-env", "SAMPLE_TOKEN", "--project", "SHOP"];
    let init = |more: &[&str]| stage.run(&[&["init"], &flags[..], &rest[..], more].concat());
    let refused = init(&[]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.last_error().contains("--force"), "{}", refused.stderr);
    let made = init(&["--force"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("SHOP"), "init runs the check: {}", made.stdout);
    assert!(!std::fs::read_to_string(stage.path("contextcore.yaml")).unwrap().contains("sample-token"));
    assert_eq!(stage.run(&["sync", "-o", "json"]).json()["sources"][0]["error"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_names_line_and_key() {
    let stage = Stage::new().await;
    stage.configure(&stage.usual().replace("give_up", "giveup"));
    let ran = stage.run(&["tasks"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.last_error().contains("contextcore.yaml:5: export.giveup"), "{}", ran.stderr);
    assert!(ran.last_error().contains("give_up"), "{}", ran.stderr);
    assert_eq!(stage.run(&["tasks", "--status", "doing"]).code, Some(2));
    assert_eq!(stage.run(&["sync", "--output", "csv"]).code, Some(2));
    assert_eq!(stage.run(&["show", "NONE-1", "--config", "none.yaml"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_can_be_carried_to_another_place() {
    let stage = Stage::new().await;
    stage.run(&["sync", "-o", "json"]).json();
    let before = stage.run(&["tasks", "-o", "json"]).stdout;
    assert_eq!(stage.run(&["store", "export", "all.txt"]).code, Some(0));
    assert_eq!(stage.run(&["store", "compact"]).code, Some(0));
    assert_eq!(stage.run(&["tasks", "-o", "json"]).stdout, before);
    stage.configure(&stage.usual().replace("path: data", "path: other"));
    assert_eq!(stage.run(&["store", "verify"]).code, Some(2), "there is none yet");
    assert_eq!(stage.run(&["store", "import", "all.txt"]).code, Some(0));
    assert_eq!(stage.run(&["store", "verify", "-o", "json"]).json()["problems"], serde_json::json!([]));
    assert_eq!(stage.run(&["tasks", "-o", "json"]).stdout, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_is_stopped_goes_on_where_it_was() {
    let stage = Stage::new().await;
    stage.jira.faults().on("*", When::From(6), Fault::Delay(Duration::from_secs(30)));
    let child = stage.start(&["sync", "-v"]);
    let id = child.id().to_string();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap();
    let ran = Stage::wait(child);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.last_error().contains("stopped on request"), "{}", ran.stderr);
    stage.jira.faults().clear();
    assert_eq!(stage.run(&["sync"]).code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_needs_nothing_and_can_be_looked_at_afterwards() {
    let stage = Stage::new().await;
    let ran = stage.run(&["demo", "--months", "2", "--store", "kept"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("Where to look next"), "{}", ran.stdout);
    assert!(stage.backend.requests().is_empty());
    let config = stage.path("kept/demo.yaml");
    let kept = stage.run(&["tasks", "--config", config.to_str().unwrap(), "--status", "blocked", "-o", "json"]).json();
    assert!(!kept.as_array().unwrap().is_empty());
    assert_eq!(stage.run(&["demo", "--store", "kept"]).code, Some(2), "an older demo is not overwritten");
    let sent =
        stage.run(&["demo", "--months", "2", "--endpoint", &stage.backend.http_url(), "--protocol", "http/protobuf"]);
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    assert!(stage.backend.counts().spans > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_closes_the_pipe_is_no_error() {
    let stage = Stage::new().await;
    stage.run(&["sync", "-o", "json"]).json();
    let mut child = stage.start(&["tasks", "-o", "json"]);
    drop(child.stdout.take());
    let ran = Stage::wait(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}
