//! Webhook requests of GitHub: `X-Hub-Signature-256: sha256=…`, the event in `X-GitHub-Event`, the delivery in
//! `X-GitHub-Delivery`.

use contextcore_core::ingest::connector::{WebhookCall, WebhookError, WebhookEvent};
use serde::Deserialize;

use crate::webhook::{parse, text, verify, websub_signature};

/// What a poll of GitHub sees: projects, issues, and the work around them.
const EVENTS: [&str; 20] = [
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

pub(super) fn prove(call: &WebhookCall<'_>, secret: &[u8]) -> Result<WebhookEvent, WebhookError> {
    #[derive(Deserialize)]
    struct Body {
        action: Option<String>,
    }
    verify(call, secret, &websub_signature(call, "x-hub-signature-256")?)?;
    let event = text(call, "x-github-event").ok_or(WebhookError::Malformed)?;
    let body: Body = parse(call)?;
    let relevant = EVENTS.contains(&event.as_str());
    let event = body.action.map_or_else(|| event.clone(), |action| format!("{event}.{action}"));
    Ok(WebhookEvent { delivery: text(call, "x-github-delivery"), relevant, event })
}

#[cfg(test)]
mod tests {
    use contextcore_core::Millis;

    use super::*;
    use crate::webhook::tests::{headers, prove as proven, signature};

    #[test]
    fn the_documented_example_is_proven() {
        // docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries: their secret, payload and signature.
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = headers(&[("x-hub-signature-256", signature), ("x-github-event", "ping")]);
        let call = WebhookCall { headers: &headers, body: b"Hello, World!", now: Millis(0) };
        assert_eq!(prove(&call, b"It's a Secret to Everybody"), Err(WebhookError::Malformed), "proven, then not JSON");
        assert_eq!(prove(&call, b"another secret"), Err(WebhookError::WrongSignature));
    }

    #[test]
    fn samples_are_proven_and_read() {
        for (event, body) in [
            ("issues", include_str!("fixtures/webhook/issues_labeled.json")),
            ("projects_v2_item", include_str!("fixtures/webhook/projects_v2_item_edited.json")),
            ("pull_request", include_str!("fixtures/webhook/pull_request_opened.json")),
            ("check_suite", include_str!("fixtures/webhook/check_suite_completed.json")),
        ] {
            let tag = format!("sha256={}", signature(body.as_bytes()));
            let pairs =
                [("x-hub-signature-256", tag.as_str()), ("x-github-event", event), ("x-github-delivery", "d-1")];
            let read = proven(prove, &pairs, body.as_bytes(), 0).unwrap();
            assert!(read.relevant && read.event.starts_with(&format!("{event}.")), "{read:?}");
            assert_eq!(read.delivery.as_deref(), Some("d-1"));
            let changed = format!("{body} ");
            assert_eq!(proven(prove, &pairs, changed.as_bytes(), 0), Err(WebhookError::WrongSignature));
        }
        let tag = format!("sha256={}", signature(b"{}"));
        let ping = [("x-hub-signature-256", tag.as_str()), ("x-github-event", "ping")];
        assert!(!proven(prove, &ping, b"{}", 0).unwrap().relevant);
    }
}
