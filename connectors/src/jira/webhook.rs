//! Webhook requests of Jira Cloud: `X-Hub-Signature: sha256=…` for a webhook with a secret (WebSub's form). The body's
//! `webhookEvent` names what happened; `X-Atlassian-Webhook-Identifier` stays the same over retries.

use contextcore_core::ingest::connector::{WebhookCall, WebhookError, WebhookEvent};
use serde::Deserialize;

use crate::webhook::{parse, text, verify, websub_signature};

/// What a poll of Jira sees, by how the event begins.
const EVENTS: [&str; 8] = ["jira:issue", "comment", "issuelink", "sprint", "board", "project", "worklog", "attachment"];

pub(super) fn prove(call: &WebhookCall<'_>, secret: &[u8]) -> Result<WebhookEvent, WebhookError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        webhook_event: String,
    }
    verify(call, secret, &websub_signature(call, "x-hub-signature")?)?;
    let event = parse::<Body>(call)?.webhook_event;
    let relevant = EVENTS.iter().any(|prefix| event.starts_with(prefix));
    Ok(WebhookEvent { delivery: text(call, "x-atlassian-webhook-identifier"), relevant, event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::tests::{prove as proven, signature};

    #[test]
    fn a_signed_request_is_proven_and_read() {
        let body = br#"{"timestamp": 1, "webhookEvent": "jira:issue_updated", "issue": {"id": "10042"}}"#;
        let tag = format!("sha256={}", signature(body));
        let pairs = [("x-hub-signature", tag.as_str()), ("x-atlassian-webhook-identifier", "w-1")];
        let event = proven(prove, &pairs, body, 0).unwrap();
        assert_eq!((event.event.as_str(), event.relevant), ("jira:issue_updated", true));
        assert_eq!(event.delivery.as_deref(), Some("w-1"));
        let user = br#"{"webhookEvent": "user_created"}"#;
        let tag = format!("sha256={}", signature(user));
        assert!(!proven(prove, &[("x-hub-signature", tag.as_str())], user, 0).unwrap().relevant);
        assert_eq!(proven(prove, &[], user, 0), Err(WebhookError::Unsigned));
    }
}
