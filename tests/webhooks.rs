//! Calls of the tools: proven ones make the next poll come at once, and many make one; all others are refused.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ring::hmac;

use crate::serving::Serving;
use crate::stage::Stage;

const SECRET: &str = "what the tool signs with";
const PATIENCE: Duration = Duration::from_secs(30);

/// A service whose schedule never comes, so that only calls make it poll.
async fn serving(stage: &Stage) -> Serving {
    std::fs::write(stage.path("hook"), SECRET).unwrap();
    let source = "    schedule: '0 0 1 1 *'\n    webhook: {secret: {file: hook}}\n  - name: other\n    kind: jira\n    \
                  url: http://127.0.0.1:9\n    schedule: '0 0 1 1 *'\n    auth: {token: {env: SAMPLE_TOKEN}}\n";
    let serving = Serving::start_with(stage, &(stage.usual() + source));
    serving.until("/healthz", "200").await;
    let begun = Instant::now();
    while !stage.run(&["status", "-o", "json"]).json()["sources"][0]["last_success"].is_string() {
        assert!(begun.elapsed() < PATIENCE, "the first sync never ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.jira.take_requests();
    serving
}

type Headers<'a> = &'a [(&'a str, &'a str)];

fn sign(body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body);
    format!("sha256={}", tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// The status line of a POST.
fn post(serving: &Serving, path: &str, headers: Headers<'_>, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", serving.port)).unwrap();
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}content-length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    // A refusal may come before everything was read.
    let _cut_off = stream.write_all(body);
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

const EVENT: &[u8] = br#"{"webhookEvent": "jira:issue_updated", "issue": {"id": "10042"}}"#;

fn call(serving: &Serving, delivery: &str) -> String {
    let headers = [("X-Hub-Signature", &*sign(EVENT)), ("X-Atlassian-Webhook-Identifier", delivery)];
    post(serving, "/webhooks/acme", &headers, EVENT)
}

fn searches(stage: &Stage) -> usize {
    stage.jira.requests().iter().filter(|request| request.path().contains("/search")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proven_call_is_answered_at_once_and_many_make_one_poll() {
    let stage = Stage::new().await;
    let serving = serving(&stage).await;
    let begun = Instant::now();
    for number in 0..20 {
        assert!(call(&serving, &number.to_string()).contains("202"));
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "answered before anything was polled");
    while searches(&stage) == 0 {
        assert!(begun.elapsed() < PATIENCE, "never polled");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let one = searches(&stage);
    assert!(one <= 2, "one poll, or two when it began between the calls: {one}");
    assert!(call(&serving, "3").contains("202"), "the same delivery again");
    let ping = br#"{"webhookEvent": "user_created"}"#;
    assert!(post(&serving, "/webhooks/acme", &[("X-Hub-Signature", &*sign(ping))], ping).contains("202"));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(searches(&stage), one, "neither was news");
    let (code, took, log) = serving.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proven_is_refused_and_polls_nothing() {
    let stage = Stage::new().await;
    let serving = serving(&stage).await;
    let signature = sign(EVENT);
    let signed = [("X-Hub-Signature", &*signature)];
    let other = sign(b"another body");
    let large = vec![b' '; (1 << 20) + 1];
    let refused: [(&str, &str, Headers<'_>, &[u8]); 7] = [
        ("401", "/webhooks/acme", &[], EVENT),
        ("401", "/webhooks/acme", &[("X-Hub-Signature", &other)], EVENT),
        ("401", "/webhooks/acme", &[("X-Hub-Signature", "sha256=00")], EVENT),
        ("400", "/webhooks/acme", &[("X-Hub-Signature", &*sign(b"not JSON"))], b"not JSON"),
        ("404", "/webhooks/unknown", &signed, EVENT),
        ("403", "/webhooks/other", &signed, EVENT),
        ("413", "/webhooks/acme", &signed, &large),
    ];
    for (status, path, headers, body) in refused {
        let answer = post(&serving, path, headers, body);
        assert!(answer.contains(status), "{path} {headers:?}: {answer}");
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(searches(&stage), 0);
    let (_, _, log) = serving.stop();
    assert!(!log.contains(SECRET), "{log}");
    assert!(log.contains("refused a webhook call"), "{log}");
}
