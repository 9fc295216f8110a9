//! Webhooks of the tools: a verified call triggers a poll at once, many trigger one; all others are refused.

use std::time::{Duration, Instant};

use ring::hmac;

use crate::rig::{Installation, LIMIT, Service, Setup, Tool};

pub(crate) const SECRET: &str = "what the tool signs with";

/// A service whose schedule never comes, so that only calls make it poll.
async fn service(tool: &Tool) -> (Installation, Service) {
    service_of(tool, tool.home().await).await
}

async fn service_of(tool: &Tool, home: Installation) -> (Installation, Service) {
    std::fs::write(home.path().join("hook"), SECRET).unwrap();
    let source = "    schedule: '0 0 1 1 *'\n    webhook: {secret: {file: hook}}\n  - name: other\n    kind: jira\n    \
                  url: http://127.0.0.1:9\n    schedule: '0 0 1 1 *'\n    auth: {token: {env: JIRA_TOKEN}}\n";
    home.write(&(home.config_text() + source));
    let mut service = Service::start(&home);
    service.until("/healthz", "200");
    let begun = Instant::now();
    while !home.run(&["status", "-o", "json"]).json()["sources"][0]["last_success"].is_string() {
        assert!(begun.elapsed() < LIMIT, "the first sync never ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tool.jira.take_requests();
    (home, service)
}

type Headers<'a> = &'a [(&'a str, &'a str)];

pub(crate) fn sign(body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body);
    format!("sha256={}", tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// The status line of a POST.
fn post(service: &Service, path: &str, headers: Headers<'_>, body: &[u8]) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    service.request("POST", path, &lines, body).map(|(status, _)| status).unwrap_or_default()
}

pub(crate) const EVENT: &[u8] = br#"{"webhookEvent": "jira:issue_updated", "issue": {"id": "10042"}}"#;

fn call(service: &Service, delivery: &str) -> String {
    let headers = [("X-Hub-Signature", &*sign(EVENT)), ("X-Atlassian-Webhook-Identifier", delivery)];
    post(service, "/webhooks/acme-jira", &headers, EVENT)
}

fn searches(tool: &Tool) -> usize {
    tool.jira.requests().iter().filter(|request| request.path().contains("/search")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_call_is_answered_at_once_and_many_trigger_one_poll() {
    let tool = Tool::sample().await;
    let (_home, service) = service(&tool).await;
    let begun = Instant::now();
    assert!(call(&service, "0").contains("202"));
    assert_eq!(searches(&tool), 0, "answered before anything was polled");
    for number in 1..20 {
        assert!(call(&service, &number.to_string()).contains("202"));
    }
    while searches(&tool) == 0 {
        assert!(begun.elapsed() < LIMIT, "never polled");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let one = searches(&tool);
    assert!(one <= 2, "one poll, or two when it began between the calls: {one}");
    assert!(call(&service, "3").contains("202"), "the same delivery again");
    let ping = br#"{"webhookEvent": "user_created"}"#;
    assert!(post(&service, "/webhooks/acme-jira", &[("X-Hub-Signature", &*sign(ping))], ping).contains("202"));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(searches(&tool), one, "neither triggered a poll");
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_call_is_refused_and_triggers_no_poll() {
    let tool = Tool::sample().await;
    let (_home, service) = service(&tool).await;
    let signature = sign(EVENT);
    let signed = [("X-Hub-Signature", &*signature)];
    let other = sign(b"another body");
    let large = vec![b' '; (1 << 20) + 1];
    let refused: [(&str, &str, Headers<'_>, &[u8]); 7] = [
        ("401", "/webhooks/acme-jira", &[], EVENT),
        ("401", "/webhooks/acme-jira", &[("X-Hub-Signature", &other)], EVENT),
        ("401", "/webhooks/acme-jira", &[("X-Hub-Signature", "sha256=00")], EVENT),
        ("400", "/webhooks/acme-jira", &[("X-Hub-Signature", &*sign(b"not JSON"))], b"not JSON"),
        ("404", "/webhooks/unknown", &signed, EVENT),
        ("403", "/webhooks/other", &signed, EVENT),
        ("413", "/webhooks/acme-jira", &signed, &large),
    ];
    for (status, path, headers, body) in refused {
        let answer = post(&service, path, headers, body);
        assert!(answer.contains(status), "{path} {headers:?}: {answer}");
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(searches(&tool), 0);
    let log = service.stop().err;
    assert!(!log.contains(SECRET), "{log}");
    assert!(log.contains("refused a webhook request"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_can_have_an_address_of_their_own_and_a_replay_under_another_number_polls_nothing() {
    let tool = Tool::sample().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rest = format!("webhooks: {{listen: '127.0.0.1:{port}'}}\n");
    let home = tool.home_with(&Setup { rest: &rest, ..Setup::default() }).await;
    let (_home, service) = service_of(&tool, home).await;
    assert!(call(&service, "1").contains("404"), "no longer on `listen`");
    let headers =
        |number: &str| format!("X-Hub-Signature: {}\r\nX-Atlassian-Webhook-Identifier: {number}\r\n", sign(EVENT));
    let at = |method: &str, path: &str, headers: &str, body: &[u8]| {
        Service::request_at(port, method, path, headers, body).map(|(status, _)| status).unwrap_or_default()
    };
    for path in ["/healthz", "/metrics", "/readyz"] {
        assert!(at("GET", path, "", b"").contains("404"), "{path} is for `listen` only");
    }
    assert!(at("POST", "/webhooks/acme-jira", &headers("1"), EVENT).contains("202"));
    let begun = Instant::now();
    while searches(&tool) == 0 {
        assert!(begun.elapsed() < LIMIT, "never polled");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let one = searches(&tool);
    assert!(at("POST", "/webhooks/acme-jira", &headers("2"), EVENT).contains("202"));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(searches(&tool), one, "the number of a delivery is not signed");
    service.stop();
}
