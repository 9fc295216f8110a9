//! Calls of the tools to our webhooks: proven by their signature, then read as far as to know whether a poll would see news.
//!
//! Each vendor has a function over headers and body; none does I/O. All three sign the raw body with HMAC-SHA256, so the
//! proof is over bytes, in constant time (`ring::hmac::verify`), and before anything is parsed. A call never changes what
//! is kept: it only makes the next poll come sooner, so a lost, doubled or reordered one does no harm.

use contextcore_core::ingest::connector::{Call, Called, Unproven};
use ring::hmac;
use serde::Deserialize;

/// Linear asks to refuse calls that are older; a clock may be as much ahead.
const FRESH_MS: i64 = 60_000;

/// Jira Cloud: `X-Hub-Signature: sha256=…` (a webhook with a secret; WebSub's form). The body's `webhookEvent` names what
/// happened, `X-Atlassian-Webhook-Identifier` stays the same over retries.
pub(crate) fn jira(call: &Call<'_>, secret: &[u8]) -> Result<Called, Unproven> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        webhook_event: String,
    }
    prove(call, secret, hub_signature(call, "x-hub-signature")?)?;
    let body: Body = parse(call)?;
    let event = body.webhook_event;
    let kinds = ["jira:issue", "comment", "issuelink", "sprint", "board", "project", "worklog", "attachment"];
    let relevant = kinds.iter().any(|kind| event.starts_with(kind));
    Ok(Called { delivery: text(call, "x-atlassian-webhook-identifier"), relevant, event })
}

/// GitHub: `X-Hub-Signature-256: sha256=…`, the event in `X-GitHub-Event`, the delivery in `X-GitHub-Delivery`.
pub(crate) fn github(call: &Call<'_>, secret: &[u8]) -> Result<Called, Unproven> {
    #[derive(Deserialize)]
    struct Body {
        action: Option<String>,
    }
    prove(call, secret, hub_signature(call, "x-hub-signature-256")?)?;
    let event = text(call, "x-github-event").ok_or(Unproven::Unreadable)?;
    let body: Body = parse(call)?;
    let relevant = GITHUB_EVENTS.contains(&event.as_str());
    let event = body.action.map_or_else(|| event.clone(), |action| format!("{event}.{action}"));
    Ok(Called { delivery: text(call, "x-github-delivery"), relevant, event })
}

/// What a poll of GitHub sees: projects, issues, and the work around them.
const GITHUB_EVENTS: [&str; 20] = [
    "check_run",
    "check_suite",
    "create",
    "delete",
    "deployment",
    "deployment_status",
    "issue_comment",
    "issue_dependencies",
    "issues",
    "label",
    "milestone",
    "projects_v2",
    "projects_v2_item",
    "projects_v2_status_update",
    "pull_request",
    "pull_request_review",
    "push",
    "repository",
    "status",
    "sub_issues",
];

/// Linear: `Linear-Signature` is the bare hex; `webhookTimestamp` in the body (which is signed) bounds a replay.
pub(crate) fn linear(call: &Call<'_>, secret: &[u8]) -> Result<Called, Unproven> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        action: String,
        r#type: String,
        webhook_timestamp: i64,
    }
    let signature = text(call, "linear-signature").ok_or(Unproven::Unsigned)?;
    prove(call, secret, &unhex(&signature)?)?;
    let body: Body = parse(call)?;
    if (call.now.0 - body.webhook_timestamp).abs() > FRESH_MS {
        return Err(Unproven::Stale);
    }
    // An application of the workspace also hears of its own installation.
    let relevant = !matches!(body.r#type.as_str(), "OAuthApp" | "AppUserNotification" | "PermissionChange");
    let event = format!("{}.{}", body.r#type, body.action);
    Ok(Called { delivery: text(call, "linear-delivery"), relevant, event })
}

/// The bytes of `sha256=…` in a header.
fn hub_signature(call: &Call<'_>, header: &str) -> Result<Vec<u8>, Unproven> {
    let value = text(call, header).ok_or(Unproven::Unsigned)?;
    unhex(value.strip_prefix("sha256=").ok_or(Unproven::Wrong)?)
}

fn prove(call: &Call<'_>, secret: &[u8], signature: impl AsRef<[u8]>) -> Result<(), Unproven> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::verify(&key, call.body, signature.as_ref()).map_err(|_| Unproven::Wrong)
}

fn text(call: &Call<'_>, header: &str) -> Option<String> {
    call.headers.get(header)?.to_str().ok().map(str::to_owned)
}

fn parse<'a, T: Deserialize<'a>>(call: &Call<'a>) -> Result<T, Unproven> {
    serde_json::from_slice(call.body).map_err(|_| Unproven::Unreadable)
}

/// The bytes of a SHA-256 in hex.
fn unhex(text: &str) -> Result<Vec<u8>, Unproven> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>().ok_or(Unproven::Wrong)
}

#[cfg(test)]
mod tests {
    use contextcore_core::Millis;
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    const SECRET: &[u8] = b"a test secret";

    fn hex(body: &[u8]) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), body);
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    type Outcome = Result<Called, Unproven>;

    fn ask(
        vendor: contextcore_core::ingest::connector::Webhook,
        pairs: &[(&'static str, &str)],
        body: &[u8],
        now: i64,
    ) -> Outcome {
        vendor(&Call { headers: &headers(pairs), body, now: Millis(now) }, SECRET)
    }

    #[test]
    fn the_documented_example_of_github_is_proven() {
        // docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries: their secret, payload and signature.
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = headers(&[("x-hub-signature-256", signature), ("x-github-event", "ping")]);
        let call = Call { headers: &headers, body: b"Hello, World!", now: Millis(0) };
        assert_eq!(github(&call, b"It's a Secret to Everybody"), Err(Unproven::Unreadable), "proven, then not JSON");
        assert_eq!(github(&call, b"another secret"), Err(Unproven::Wrong));
    }

    #[test]
    fn samples_of_github_are_proven_and_routed() {
        for (event, body) in [
            ("issues", include_str!("webhook/fixtures/github_issues_labeled.json")),
            ("projects_v2_item", include_str!("webhook/fixtures/github_projects_v2_item_edited.json")),
            ("pull_request", include_str!("webhook/fixtures/github_pull_request_opened.json")),
            ("check_suite", include_str!("webhook/fixtures/github_check_suite_completed.json")),
        ] {
            let signature = format!("sha256={}", hex(body.as_bytes()));
            let pairs =
                [("x-hub-signature-256", signature.as_str()), ("x-github-event", event), ("x-github-delivery", "d-1")];
            let called = ask(github, &pairs, body.as_bytes(), 0).unwrap();
            assert!(called.relevant && called.event.starts_with(&format!("{event}.")), "{called:?}");
            assert_eq!(called.delivery.as_deref(), Some("d-1"));
            let changed = format!("{body} ");
            assert_eq!(ask(github, &pairs, changed.as_bytes(), 0), Err(Unproven::Wrong));
        }
        let signature = format!("sha256={}", hex(b"{}"));
        let ping = [("x-hub-signature-256", signature.as_str()), ("x-github-event", "ping")];
        assert!(!ask(github, &ping, b"{}", 0).unwrap().relevant);
    }

    #[test]
    fn samples_of_linear_are_proven_while_they_are_fresh() {
        for (event, body) in [
            ("Issue.update", include_str!("webhook/fixtures/linear_issue_update.json")),
            ("Issue.create", include_str!("webhook/fixtures/linear_sub_issue_create.json")),
            ("Project.update", include_str!("webhook/fixtures/linear_project_update_status.json")),
        ] {
            let sent: serde_json::Value = serde_json::from_str(body).unwrap();
            let sent = sent["webhookTimestamp"].as_i64().unwrap();
            let signature = hex(body.as_bytes());
            let pairs = [("linear-signature", signature.as_str()), ("linear-delivery", "d-2")];
            let called = ask(linear, &pairs, body.as_bytes(), sent + FRESH_MS).unwrap();
            assert_eq!((called.event.as_str(), called.relevant), (event, true));
            assert_eq!(ask(linear, &pairs, body.as_bytes(), sent + FRESH_MS + 1), Err(Unproven::Stale));
            assert_eq!(ask(linear, &[], body.as_bytes(), sent), Err(Unproven::Unsigned));
        }
    }

    #[test]
    fn a_call_of_jira_is_proven_by_the_form_of_websub() {
        let body = br#"{"timestamp": 1, "webhookEvent": "jira:issue_updated", "issue": {"id": "10042"}}"#;
        let signature = format!("sha256={}", hex(body));
        let pairs = [("x-hub-signature", signature.as_str()), ("x-atlassian-webhook-identifier", "w-1")];
        let called = ask(jira, &pairs, body, 0).unwrap();
        assert_eq!((called.event.as_str(), called.relevant), ("jira:issue_updated", true));
        let user = br#"{"webhookEvent": "user_created"}"#;
        let signature = format!("sha256={}", hex(user));
        assert!(!ask(jira, &[("x-hub-signature", signature.as_str())], user, 0).unwrap().relevant);
    }

    #[test]
    fn a_signature_that_is_cut_odd_or_not_hex_is_wrong() {
        let whole = hex(b"{}");
        for signature in
            ["", "sha256=", "sha256=zz", "sha1=00", &format!("sha256={}", &whole[..63]), &format!("sha256={whole}00")]
        {
            let pairs = [("x-hub-signature-256", signature), ("x-github-event", "issues")];
            assert_eq!(ask(github, &pairs, b"{}", 0), Err(Unproven::Wrong), "{signature}");
        }
    }
}
