//! Webhook requests of Linear: `Linear-Signature` is the bare hex; `webhookTimestamp` in the body (which is signed) bounds a
//! replay.

use contextcore_core::ingest::connector::{WebhookCall, WebhookError, WebhookEvent};
use serde::Deserialize;

use crate::webhook::{from_hex, parse, text, verify};

/// Linear asks to refuse requests that are older; a clock may be as much ahead.
const FRESH_MS: i64 = 60_000;

pub(super) fn prove(call: &WebhookCall<'_>, secret: &[u8]) -> Result<WebhookEvent, WebhookError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        action: String,
        r#type: String,
        webhook_timestamp: i64,
    }
    let signature = text(call, "linear-signature").ok_or(WebhookError::Unsigned)?;
    verify(call, secret, &from_hex(&signature)?)?;
    let body: Body = parse(call)?;
    if call.now.0.abs_diff(body.webhook_timestamp) > FRESH_MS.unsigned_abs() {
        return Err(WebhookError::Stale);
    }
    // An application of the workspace also receives what happens to its own installation.
    let relevant = !matches!(body.r#type.as_str(), "OAuthApp" | "AppUserNotification" | "PermissionChange");
    let event = format!("{}.{}", body.r#type, body.action);
    Ok(WebhookEvent { delivery: text(call, "linear-delivery"), relevant, event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::tests::{prove as proven, signature};

    #[test]
    fn samples_are_proven_while_they_are_fresh() {
        for (event, body) in [
            ("Issue.update", include_str!("fixtures/webhook/issue_update.json")),
            ("Issue.create", include_str!("fixtures/webhook/sub_issue_create.json")),
            ("Project.update", include_str!("fixtures/webhook/project_update_status.json")),
        ] {
            let sent: serde_json::Value = serde_json::from_str(body).unwrap();
            let sent = sent["webhookTimestamp"].as_i64().unwrap();
            let tag = signature(body.as_bytes());
            let pairs = [("linear-signature", tag.as_str()), ("linear-delivery", "d-2")];
            let read = proven(prove, &pairs, body.as_bytes(), sent + FRESH_MS).unwrap();
            assert_eq!((read.event.as_str(), read.relevant), (event, true));
            let late = proven(prove, &pairs, body.as_bytes(), sent + FRESH_MS + 1);
            assert_eq!(late, Err(WebhookError::Stale));
            assert_eq!(proven(prove, &[], body.as_bytes(), sent), Err(WebhookError::Unsigned));
        }
    }

    #[test]
    fn a_timestamp_at_the_end_of_the_range_is_stale() {
        let body = format!(r#"{{"action": "a", "type": "Issue", "webhookTimestamp": {}}}"#, i64::MIN);
        let tag = signature(body.as_bytes());
        let pairs = [("linear-signature", tag.as_str())];
        assert_eq!(proven(prove, &pairs, body.as_bytes(), 1), Err(WebhookError::Stale));
    }
}
