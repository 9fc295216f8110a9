//! The log of `serve` while a hostile tool answers its polls, and strangers call its webhooks and routes with hostile words.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contextcore_fakes::faults::{Fault, When};
use ring::hmac;
use serde_json::json;

use super::{BAD, Stage, fault};
use crate::rig::{LIMIT, Service};

const SECRET: &str = "signs";

fn signature(body: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body.as_bytes());
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "X-Hub-Signature: sha256={digits}\r\nX-Hub-Signature-256: sha256={digits}\r\nLinear-Signature: {digits}\r\n"
    )
}

/// What a header can hold of a hostile text: no control of ASCII.
fn header() -> String {
    BAD.chars().filter(|c| !c.is_ascii_control()).collect()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Sources that are called, with tokens for reports and agents.
fn configure(stage: &Stage) {
    let home = stage.home.path();
    fs::write(home.join("hook"), SECRET).unwrap();
    fs::write(home.join("token"), "token-of-one\n").unwrap();
    let webhook = "    webhook: {secret: {file: hook}}\n";
    let token = "{name: one, token: {file: token}, projects: ['*']}";
    let config = stage
        .home
        .config_text()
        .replace("token: {env: JIRA_TOKEN}}\n", &format!("token: {{env: JIRA_TOKEN}}}}\n{webhook}"));
    let sources = format!(
        "  - {{name: forge, kind: github, projects: [acme/1], url: '{0}', auth: {{token: {{env: GRAFANA_TOKEN}}}}, webhook: {{secret: {{file: hook}}}}}}\n  \
           - {{name: lines, kind: linear, url: '{0}', auth: {{token: {{env: GRAFANA_TOKEN}}}}, webhook: {{secret: {{file: hook}}}}}}\n  \
           - {{name: agents, kind: sdk, path: state}}\n",
        stage.server
    );
    stage.home.write(&format!(
        "ops: {{tokens: [{token}]}}\nmcp: {{enabled: true, hosts: [x], tokens: [{token}]}}\n{config}{sources}"
    ));
}

/// Calls everything that listens; returns what is wrong with pages for people.
fn call(service: &Service) -> Vec<String> {
    let named = |name: &str| format!("{name}: {}\r\n", header());
    let body = json!({"webhookEvent": BAD, "action": BAD, "type": BAD, "issue": {"id": BAD, "key": BAD}, "user": BAD, BAD: [BAD]}).to_string();
    let known = json!({"webhookEvent": "jira:issue_updated", "issue": {"id": BAD, "key": BAD}}).to_string();
    let headers: String = [
        "X-Atlassian-Webhook-Identifier",
        "X-GitHub-Delivery",
        "X-GitHub-Event",
        "Linear-Delivery",
        "Linear-Event",
        "User-Agent",
        "X-Forwarded-For",
        "traceparent",
    ]
    .iter()
    .map(|name| named(name))
    .collect();
    for source in ["acme-jira", "forge", "lines", "other", &encoded(BAD)] {
        let path = format!("/webhooks/{source}");
        for body in [&body, &known, BAD, ""] {
            for signed in [signature(body), String::new(), named("X-Hub-Signature") + &named("X-Hub-Signature-256")] {
                service.request("POST", &path, &format!("{headers}{signed}"), body.as_bytes());
            }
        }
    }
    let bearer = "authorization: Bearer token-of-one\r\n";
    let line = json!({"v": 1, "seq": 1, "t": "2026-11-26T20:51:06.123Z", "op": "task.start", "task": BAD, "title": BAD, BAD: BAD});
    let bodies = [
        json!({"writer": BAD, "project": BAD, "lines": [line]}).to_string(),
        format!("{}\n{line}\n{BAD}\n", json!({"v": 1, "writer": "0".repeat(32), "project": BAD, "lang": BAD, "host": BAD})),
        json!({"jsonrpc": "2.0", "id": BAD, "method": BAD, "params": {"name": BAD, "clientInfo": {"name": BAD, "version": BAD}}}).to_string(),
    ];
    for path in ["/v1/ops", "/mcp", &format!("/{}", encoded(BAD)), "/metrics", "/webhooks"] {
        for body in &bodies {
            let typed = "accept: application/json, text/event-stream\r\ncontent-type: application/json\r\nmcp-protocol-version: 2026-07-28\r\n";
            service.request("POST", path, &format!("{bearer}{typed}{headers}"), body.as_bytes());
            service.request("POST", path, &format!("{}{headers}", named("authorization")), body.as_bytes());
        }
        service.request(&header(), path, &headers, b"");
    }
    // Not `/metrics`: the values of labels are names, which Prometheus must read as they are.
    let pages = ["/healthz", "/readyz", &format!("/{}", encoded(BAD))];
    let page = |path: &str| {
        service.get(path).and_then(|(_, text)| fault(&text, false, false)).map(|what| format!("{path} has {what}"))
    };
    pages.into_iter().filter_map(page).collect()
}

/// How a tool refuses: with texts in its body, in its headers, and as a page.
fn refusals() -> [Fault; 3] {
    let body = json!({"errorMessages": [BAD], "errors": {BAD: BAD}}).to_string();
    let fault = |code, headers: &[(&str, String)], body: &str| Fault::Status {
        code,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        body: body.to_owned(),
    };
    [
        fault(400, &[("x-seraph-loginreason", header()), ("content-type", header())], &body),
        fault(429, &[("retry-after", header()), ("x-ratelimit-reset", header())], BAD),
        fault(301, &[("location", format!("http://127.0.0.1:9/{}", header()))], &format!("<html>{BAD}</html>")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_service_acts_on_no_terminal() {
    let stage = Stage::new().await;
    configure(&stage);
    let mut found = Vec::new();
    for (arguments, refusal) in
        [(&["serve", "-vvv"][..], 0), (&["serve", "-v", "--color", "always"], 1), (&["serve", "-vv"], 2)]
    {
        stage.tool.jira.faults().clear();
        if refusal > 0 {
            let named = json!(format!("In Progress{BAD}")).to_string();
            let rename = move |body: &str| body.replace("\"In Progress\"", &named);
            stage.tool.jira.faults().on("GET *", When::Always, Fault::Rewrite(Arc::new(rename)));
        }
        stage.tool.jira.faults().on("POST *", When::Always, refusals()[refusal].clone());
        let mut service = Service::start_with(&stage.home, arguments);
        service.until("/healthz", "200");
        found.extend(call(&service));
        // Polled since it started: what is refused has such texts.
        let begun = Instant::now();
        while stage.tool.jira.take_requests().iter().all(|request| !request.path().contains("/search")) {
            assert!(begun.elapsed() < LIMIT, "it never polled");
            std::thread::sleep(Duration::from_millis(50));
        }
        service.run.wait_for("202e", LIMIT);
        found.extend(call(&service));
        let ran = service.stop();
        let has_colours = arguments.contains(&"always");
        assert!(ran.err.contains("acme-jira") && ran.err.contains("refused a webhook"), "{}", ran.err);
        found.extend(fault(&ran.err, has_colours, false).map(|what| format!("{arguments:?}: the log has {what}")));
        found.extend(fault(&ran.out, has_colours, false).map(|what| format!("{arguments:?}: stdout has {what}")));
    }
    assert!(found.is_empty(), "{} faults:\n\n{}", found.len(), found.join("\n\n"));
}
