//! Any webhook request: without our signature none is believed, and with it any body is an event or a refusal.

use contextcore_connectors::ALL;
use contextcore_core::Millis;
use contextcore_core::ingest::connector::{Registration, WebhookCall, WebhookError, WebhookProof};
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

use super::edit::Input;
use super::source::NOW;

const SECRET: &[u8] = b"a test secret";
/// The header of each vendor's signature, and what is before it.
const SIGNATURES: [(&str, &str, &str); 3] = [
    ("jira", "x-hub-signature", "sha256="),
    ("github", "x-hub-signature-256", "sha256="),
    ("linear", "linear-signature", ""),
];
const OTHERS: [&str; 4] = ["x-github-event", "x-github-delivery", "x-atlassian-webhook-identifier", "linear-delivery"];

/// Sends a request of a vendor, with headers and a body out of `input`.
pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let (kind, name, prefix) = SIGNATURES[input.below(SIGNATURES.len())];
    let proof = ALL.iter().find(|one| one.kind == kind).and_then(|one: &Registration| one.webhook).unwrap();
    let mut headers = HeaderMap::new();
    for other in OTHERS {
        let length = usize::from(input.byte() % 32);
        if let Ok(value) = HeaderValue::from_bytes(input.take(length)) {
            headers.insert(HeaderName::from_static(other), value);
        }
    }
    let length = usize::from(input.byte() % 80);
    let forged = HeaderValue::from_bytes(input.take(length));
    let body = input.0;
    assert_eq!(prove(proof, &headers, body), Err(WebhookError::Unsigned));
    if let Ok(forged) = forged {
        headers.insert(HeaderName::from_static(name), forged);
        let refused = prove(proof, &headers, body);
        assert!(matches!(refused, Err(WebhookError::WrongSignature | WebhookError::Unsigned)), "{refused:?}");
    }
    let signed = format!("{prefix}{}", signature(body));
    headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&signed).unwrap());
    let read = prove(proof, &headers, body);
    let is_judged = matches!(read, Ok(()) | Err(WebhookError::Malformed | WebhookError::Stale));
    assert!(is_judged, "{read:?}");
    let other = [body, b" "].concat();
    assert_eq!(prove(proof, &headers, &other), Err(WebhookError::WrongSignature), "the signature of another body");
}

fn prove(proof: WebhookProof, headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookError> {
    proof(&WebhookCall { headers, body, now: Millis(NOW) }, SECRET).map(drop)
}

fn signature(body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), body);
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
