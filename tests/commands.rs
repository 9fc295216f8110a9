//! The commands one by one: output, exit code, and errors that say what to do.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::otlp::{self, Signal};
use serde_json::Value;

use crate::rig::{Installation, LIMIT, Running, Setup, sample};

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_exports_everything_once_and_the_next_one_nothing_new() {
    let (tool, home) = sample().await;
    let first = home.run(&["sync", "--output", "json"]).json();
    let source = &first["sources"][0];
    assert_eq!(source["name"], "acme-jira");
    let issues = tool.jira.world().issues().count();
    assert!(source["records"].as_u64().unwrap() >= issues as u64, "{source}");
    let counts = home.collector.counts();
    assert_eq!(first["export"]["spans"], counts.spans);
    assert_eq!(first["export"]["logs"], counts.logs);
    let points = home.collector.points();
    let exported = points.iter().filter(|point| !point.name.starts_with("contextcore.")).count();
    assert_eq!(first["export"]["points"], exported);
    assert!(counts.spans > 0 && counts.logs > 0 && exported > 0);

    let second = home.run(&["sync", "-o", "json"]).json();
    assert_eq!(second["sources"][0]["changes"], 0);
    assert_eq!((home.collector.counts().logs, &second["export"]["logs"]), (counts.logs, &0.into()));
    let text = home.run(&["sync"]);
    assert!(text.out.starts_with("acme-jira: "), "one line a source: {}", text.out);
    assert_eq!(text.out.lines().count(), 1);
}

/// Every point of this metric.
fn points_of(home: &Installation, name: &str) -> Vec<otlp::Point> {
    let points = home.collector.points();
    points.into_iter().filter(|point| point.name == name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_exports_its_own_metrics_by_either_protocol_and_its_counters_continue() {
    let (_tool, home) = sample().await;
    let headers = "headers: {X-Scope-OrgID: team-a, X-Key: {env: JIRA_TOKEN}}";
    let mut before = 0.0;
    for http in [false, true] {
        home.configure(&Setup { otlp: headers, http, ..Setup::default() });
        home.collector.clear();
        let mut command = home.command(&["sync"]);
        // The file comes before the variable, for our own metrics too.
        command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-scope-orgid=team-b").env("OTEL_SERVICE_NAME", "other");
        let ran = Running::spawn(command).wait(LIMIT);
        assert_eq!((ran.code, ran.err.contains("WARN")), (Some(0), false), "{}", ran.err);
        let last = home.collector.requests().pop().unwrap();
        assert_eq!((last.signal, last.headers["x-scope-orgid"].to_str().unwrap()), (Signal::Metrics, "team-a"));
        assert_eq!(last.headers.get_all("x-key").iter().count(), 1);

        let requests = points_of(&home, "contextcore.sync.requests");
        assert_eq!(requests.len(), 1, "once a run");
        assert_eq!(requests[0].kind, otlp::PointKind::Sum { monotonic: true, cumulative: true });
        assert_eq!(requests[0].attributes["source.name"], "acme-jira");
        assert_eq!(requests[0].resource["service.name"], "contextcore");
        assert!(requests[0].value.as_f64() > before, "{requests:?}");
        before = requests[0].value.as_f64();
        let success = points_of(&home, "contextcore.sync.last_success").remove(0);
        assert_eq!((success.kind, success.unit.as_str()), (otlp::PointKind::Gauge, "s"));
        assert!(points_of(&home, "contextcore.store.size").remove(0).value.as_f64() > 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_metrics_among_the_signals_a_sync_exports_no_metrics_of_its_own() {
    let (_tool, home) = sample().await;
    home.configure(&Setup { otlp: "signals: [logs]", ..Setup::default() });
    assert_eq!(home.run(&["sync"]).code, Some(0));
    assert!(home.collector.requests().iter().all(|seen| seen.signal == Signal::Logs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_and_exports_nothing() {
    let (_tool, home) = sample().await;
    let report = home.run(&["sync", "--dry-run", "--output", "json"]).json();
    assert!(report["sources"][0]["records"].as_u64().unwrap() > 0);
    assert!(report["dry_run"].as_bool().unwrap());
    assert!(!home.path().join("data").exists());
    assert!(home.collector.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_synced_can_be_read_in_every_form() {
    let (_tool, home) = sample().await;
    home.run(&["sync", "-o", "json"]).json();
    let all = home.run(&["tasks", "-o", "json"]).json();
    let all = all.as_array().unwrap();
    let csv = home.run(&["tasks", "--output", "csv"]);
    assert_eq!(csv.out.matches("\r\n").count(), all.len() + 1);
    let open = home.run(&["--output", "json", "tasks", "--status", "open", "--project", "commerce"]).json();
    let finished = |status: &str| status == "done" || status == "cancelled";
    assert!(!open.as_array().unwrap().is_empty());
    for task in open.as_array().unwrap() {
        assert!(!finished(task["status"].as_str().unwrap()) && task["project"] == "SHOP", "{task}");
    }
    let key = all[0]["id"].as_str().unwrap();
    let shown = home.run(&["show", key, "-o", "json"]).json();
    assert_eq!(shown["trace_id"], all[0]["trace_id"]);
    let table = home.run(&["tasks"]);
    assert_eq!(table.out.lines().count(), all.len() + 1);
    let status = home.run(&["status", "-o", "json"]).json();
    let source = &status["sources"][0];
    assert_eq!(source["coverage"]["live"], all.len());
    assert_eq!(source["backlog"]["traces"], 0);
    assert!(source["last_error"].is_null() && source["next_run"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_read_run_at_once() {
    let (_tool, home) = sample().await;
    home.run(&["sync", "-o", "json"]).json();
    // Their pipes are read only after all have printed: a full pipe must not hold the store.
    let all: Vec<_> = (0..5).map(|_| home.spawn_unread(&["tasks", "-o", "json"])).collect();
    assert!(home.run(&["sprints"]).code == Some(0));
    for child in all {
        let printed = child.wait_with_output().unwrap().stdout;
        assert!(serde_json::from_slice::<Value>(&printed).unwrap().as_array().is_some_and(|tasks| !tasks.is_empty()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_fails_the_source() {
    let (tool, home) = sample().await;
    tool.jira.set_credentials(vec![]);
    let ran = home.run(&["sync"]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.last_error().starts_with("error: acme-jira: "), "{}", ran.err);
    assert_eq!(home.run(&["check"]).code, Some(3));
    let status = home.run(&["status", "-o", "json"]).json();
    assert_eq!(status["sources"][0]["last_error_kind"], "auth");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_sources_are_synced_when_one_fails() {
    let (tool, home) = sample().await;
    let broken =
        format!("  - {{name: broken, kind: jira, url: {}, auth: {{token: {{file: wrong}}}}}}\n", tool.jira.url());
    home.write(&(home.config_text() + &broken));
    std::fs::write(home.path().join("wrong"), "not-the-token").unwrap();
    let both = home.run(&["sync"]);
    assert_eq!(both.code, Some(3), "{}", both.err);
    assert!(both.last_error().starts_with("error: broken: "), "{}", both.err);
    assert!(home.collector.counts().spans > 0, "the other was synced and exported");
    let one = home.run(&["sync", "acme-jira", "-o", "json"]).json();
    assert_eq!(one["sources"].as_array().unwrap().len(), 1, "only the named one: {one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_token_is_a_configuration_error_that_names_it() {
    let (_tool, home) = sample().await;
    let mut command = home.command(&["sync"]);
    command.env_remove("JIRA_TOKEN");
    let ran = Running::spawn(command).wait(LIMIT);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.last_error().contains("JIRA_TOKEN"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_down_gives_code_4_and_loses_nothing() {
    let (_tool, home) = sample().await;
    home.collector.always(Signal::Logs, Some(otlp::Fault::unavailable(None)));
    let ran = home.run(&["sync"]);
    assert_eq!(ran.code, Some(4), "{}", ran.err);
    assert!(ran.last_error().starts_with("error: logs: "), "{}", ran.err);
    assert!(home.collector.counts().spans > 0, "the others were exported");
    let backlog = &home.run(&["status", "-o", "json"]).json()["sources"][0]["backlog"];
    assert!(backlog["logs"].as_u64().unwrap() > 0 && backlog["traces"] == 0, "{backlog}");
    home.collector.always(Signal::Logs, None);
    assert_eq!(home.run(&["sync"]).code, Some(0));
    assert!(home.collector.counts().logs > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_sends_the_same_ids_again() {
    let (_tool, home) = sample().await;
    home.run(&["sync", "-o", "json"]).json();
    let finals = |spans: Vec<otlp::Span>| {
        let of = |span: &otlp::Span| (span.trace_id.clone(), span.span_id.clone());
        let history =
            spans.iter().filter(|span| span.attributes.get("contextcore.role").is_some_and(|role| *role == "task"));
        history.map(of).collect::<std::collections::BTreeSet<_>>()
    };
    let before = finals(home.collector.spans());
    home.collector.clear();
    home.run(&["replay", "-o", "json"]).json();
    assert!(!before.is_empty());
    assert_eq!(finals(home.collector.spans()), before);
    home.collector.clear();
    home.run(&["replay", "--project", "commerce", "--since", "7d", "-o", "json"]).json();
    let some = finals(home.collector.spans());
    assert!(some.len() < before.len() && some.is_subset(&before));
    let wrong = home.run(&["replay", "--source", "acme-jir"]);
    assert_eq!(
        (wrong.code, wrong.last_error()),
        (Some(2), "error: there is no source `acme-jir`; did you mean `acme-jira`?")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_say_which_open_task_waits_for_which() {
    let (_tool, home) = sample().await;
    home.run(&["sync", "-o", "json"]).json();
    let tasks = home.run(&["tasks", "-o", "json"]).json();
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
    assert!(!expected.is_empty(), "no task waits in this world");
    let (mut waits, mut holds) = (BTreeSet::new(), BTreeSet::new());
    for span in home.collector.spans() {
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
    let (_tool, home) = sample().await;
    let good = home.run(&["check", "--output", "json"]).json();
    assert_eq!(good["sources"][0]["report"]["projects"].as_array().unwrap().len(), 3);
    assert!(good["backends"].as_array().unwrap().iter().all(|backend| backend["error"].is_null()));
    assert!(!home.path().join("data").exists(), "a check writes nothing");
    assert_eq!(home.collector.requests().len(), 3, "one ping a signal");
    home.collector.always(Signal::Traces, Some(otlp::Fault::unauthenticated()));
    let bad = home.run(&["check"]);
    assert_eq!(bad.code, Some(4), "{}", bad.err);
    assert!(bad.last_error().starts_with("error: traces: "), "{}", bad.err);
    assert_eq!(home.run(&["check", "nobody"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_what_sync_can_run_on_and_never_a_token() {
    let (tool, home) = sample().await;
    let (jira, backend) = (tool.jira.url().to_owned(), home.collector.grpc_url());
    let flags = ["--kind", "jira", "--url", &jira, "--email", "bot@example.com", "--endpoint", &backend];
    let rest = ["--token-env", "JIRA_TOKEN", "--project", "SHOP"];
    let init = |more: &[&str]| home.run(&[&["init"], &flags[..], &rest[..], more].concat());
    let refused = init(&[]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.last_error().contains("--force"), "{}", refused.err);
    let made = init(&["--force"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert!(made.out.contains("SHOP"), "init runs the check: {}", made.out);
    assert!(!std::fs::read_to_string(home.path().join("contextcore.yaml")).unwrap().contains("sample-token"));
    assert_eq!(home.run(&["sync", "-o", "json"]).json()["sources"][0]["error"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_names_line_and_key() {
    let (_tool, home) = sample().await;
    home.write(&home.config_text().replace("give_up", "giveup"));
    let ran = home.run(&["tasks"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.last_error().contains("contextcore.yaml:6: export.giveup"), "{}", ran.err);
    assert!(ran.last_error().contains("give_up"), "{}", ran.err);
    assert_eq!(home.run(&["tasks", "--status", "doing"]).code, Some(2));
    assert_eq!(home.run(&["sync", "--output", "csv"]).code, Some(2));
    assert_eq!(home.run(&["show", "NONE-1", "--config", "none.yaml"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_can_be_moved() {
    let (_tool, home) = sample().await;
    home.run(&["sync", "-o", "json"]).json();
    let before = home.run(&["tasks", "-o", "json"]).out;
    assert_eq!(home.run(&["store", "export", "all.txt"]).code, Some(0));
    assert_eq!(home.run(&["store", "compact"]).code, Some(0));
    assert_eq!(home.run(&["tasks", "-o", "json"]).out, before);
    home.write(&home.config_text().replace("path: ./data", "path: ./other"));
    assert_eq!(home.run(&["store", "verify"]).code, Some(2), "there is none yet");
    assert_eq!(home.run(&["store", "import", "all.txt"]).code, Some(0));
    assert_eq!(home.run(&["store", "verify", "-o", "json"]).json()["problems"], serde_json::json!([]));
    assert_eq!(home.run(&["tasks", "-o", "json"]).out, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_sync_resumes_where_it_was() {
    let (tool, home) = sample().await;
    tool.jira.faults().on("*", When::From(6), Fault::Delay(Duration::from_secs(30)));
    let begun = Instant::now();
    let run = home.spawn(&["sync", "-v"]);
    while tool.jira.requests().len() < 6 {
        assert!(begun.elapsed() < LIMIT, "it never came to the sixth request");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    run.signal("TERM");
    let ran = run.wait(LIMIT);
    assert_eq!(ran.code, Some(143), "{}", ran.err);
    assert!(ran.last_error().contains("stopped on request"), "{}", ran.err);
    tool.jira.faults().clear();
    assert_eq!(home.run(&["sync"]).code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_stopped_while_it_starts_leaves_nothing_behind() {
    let (_tool, mut home) = sample().await;
    let temporary = tempfile::tempdir().unwrap();
    home.variables.push(("TMPDIR".to_owned(), temporary.path().display().to_string()));
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let run = home.spawn(&["demo"]);
        run.wait_for("Starting fakes", LIMIT);
        run.signal(signal);
        run.wait(LIMIT).expect(code);
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_fails_does_not_look_hung_and_a_stop_repeats_its_last_answer() {
    let (tool, home) = sample().await;
    tool.jira.faults().on("*", When::Always, Fault::status(500, "{}"));
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let run = home.spawn(&["sync", "-v"]);
        run.wait_for("HTTP 500, retry 2 of", LIMIT);
        run.signal(signal);
        let ran = run.wait(Duration::from_secs(10)).expect(code);
        let ran = ran.says(&["stopped on request", "HTTP 500"]);
        assert_eq!(ran.err.matches("stopped on request").count(), 1, "{}", ran.err);
    }
    let check = home.spawn(&["check"]);
    check.wait_for("acme-jira: HTTP 500, retry 1 of", LIMIT);
    check.signal("INT");
    // Its waits between attempts grow far beyond this.
    check.wait(LIMIT).expect(130).says(&["stopped on request"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_exist_is_an_error_and_not_an_empty_list() {
    let (_tool, home) = sample().await;
    home.sync();
    for arguments in [
        ["tasks", "--source", "acme-jra"],
        ["tasks", "--project", "SHOPP"],
        ["tasks", "--assignee", "nobody"],
        ["tasks", "--sprint", "no such sprint"],
        ["sprints", "--source", "acme-jra"],
        ["sprints", "--project", "SHOPP"],
    ] {
        home.run(&arguments).expect(2).says(&["there is no", arguments[2]]);
        home.run(&[&arguments[..], &["-o", "json"]].concat()).expect(2);
    }
    home.run(&["show", "SHOP-1", "--source", "acme-jra"]).expect(2).says(&["did you mean `acme-jira`?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_begins_with_a_verdict_and_can_be_an_exit_code() {
    let (tool, home) = sample().await;
    let first = |code: i32| {
        let ran = home.run(&["status", "--exit-code"]).expect(code);
        ran.out.lines().next().unwrap_or_default().to_owned()
    };
    tool.jira.faults().on("*", When::Always, Fault::unauthorized());
    home.run(&["sync"]).expect(3);
    assert!(first(3).starts_with("1 problem: acme-jira was never read ("), "{}", first(3));
    tool.jira.faults().clear();
    home.sync();
    assert_eq!(first(0), "all is well: 1 source read, everything is exported");
    tool.jira.faults().on("*", When::Always, Fault::unauthorized());
    home.run(&["sync"]).expect(3);
    assert!(first(3).starts_with("1 problem: acme-jira not read for"), "{}", first(3));
    home.run(&["status"]).expect(0);
    let problems = home.run(&["status", "-o", "json"]).json();
    assert_eq!(problems["problems"][0]["part"], "source", "{problems}");
}

#[cfg(feature = "demo")]
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_needs_nothing_and_its_store_can_be_read_afterwards() {
    let (_tool, home) = sample().await;
    let ran = home.run(&["demo", "--months", "2", "--store", "kept"]);
    assert!(!ran.err.contains("WARN"), "a newcomer sees no warning: {}", ran.err);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("Where to look next"), "{}", ran.out);
    assert!(home.collector.requests().is_empty());
    let config = home.path().join("kept/demo.yaml");
    let kept = home.run(&["tasks", "--config", config.to_str().unwrap(), "--status", "blocked", "-o", "json"]).json();
    assert!(!kept.as_array().unwrap().is_empty());
    assert_eq!(home.run(&["demo", "--store", "kept"]).code, Some(2), "an older demo is not overwritten");
    let sent =
        home.run(&["demo", "--months", "2", "--endpoint", &home.collector.http_url(), "--protocol", "http/protobuf"]);
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    assert!(home.collector.counts().spans > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_no_error() {
    let (_tool, home) = sample().await;
    home.run(&["sync", "-o", "json"]).json();
    let mut child = home.spawn_unread(&["tasks", "-o", "json"]);
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}
