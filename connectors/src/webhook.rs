//! Proving webhook requests that are signed with HMAC-SHA256 over the raw body, as all our vendors sign theirs.
//!
//! Each vendor's own `webhook.rs` says in which header the signature is and what the body means. The proof is over bytes, in
//! constant time (`ring::hmac::verify`), and before anything is parsed. A request never changes what is stored: it only makes
//! the next poll come sooner, so a lost, doubled or reordered one does no harm.

use contextcore_core::ingest::connector::{WebhookCall, WebhookError};
use ring::hmac;
use serde::Deserialize;

/// Checks a signature of the body.
pub(crate) fn verify(call: &WebhookCall<'_>, secret: &[u8], signature: &[u8]) -> Result<(), WebhookError> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::verify(&key, call.body, signature).map_err(|_| WebhookError::WrongSignature)
}

/// The bytes of `sha256=…` in a header, the form of WebSub.
pub(crate) fn websub_signature(call: &WebhookCall<'_>, header: &str) -> Result<Vec<u8>, WebhookError> {
    let value = text(call, header).ok_or(WebhookError::Unsigned)?;
    from_hex(value.strip_prefix("sha256=").ok_or(WebhookError::WrongSignature)?)
}

/// The text of a header.
pub(crate) fn text(call: &WebhookCall<'_>, header: &str) -> Option<String> {
    call.headers.get(header)?.to_str().ok().map(str::to_owned)
}

/// The body as JSON.
pub(crate) fn parse<'a, T: Deserialize<'a>>(call: &WebhookCall<'a>) -> Result<T, WebhookError> {
    serde_json::from_slice(call.body).map_err(|_| WebhookError::Malformed)
}

/// The bytes of a SHA-256 in hex.
pub(crate) fn from_hex(text: &str) -> Result<Vec<u8>, WebhookError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>().ok_or(WebhookError::WrongSignature)
}

/// What the tests of the vendors' proofs sign and send.
#[cfg(test)]
pub(crate) mod tests {
    use contextcore_core::Millis;
    use contextcore_core::ingest::connector::{WebhookEvent, WebhookProof};
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    const SECRET: &[u8] = b"a test secret";

    /// The signature of a body in hex.
    pub(crate) fn signature(body: &[u8]) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), body);
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    /// What a proof says of a request at a moment.
    pub(crate) fn prove(
        proof: WebhookProof,
        pairs: &[(&'static str, &str)],
        body: &[u8],
        now: i64,
    ) -> Result<WebhookEvent, WebhookError> {
        proof(&WebhookCall { headers: &headers(pairs), body, now: Millis(now) }, SECRET)
    }

    #[test]
    fn a_signature_that_is_cut_odd_or_not_hex_is_wrong() {
        let whole = signature(b"{}");
        for signature in
            ["", "sha256=", "sha256=zz", "sha1=00", &format!("sha256={}", &whole[..63]), &format!("sha256={whole}00")]
        {
            let headers = headers(&[("x-hub-signature-256", signature)]);
            let call = WebhookCall { headers: &headers, body: b"{}", now: Millis(0) };
            let proven = websub_signature(&call, "x-hub-signature-256").and_then(|tag| verify(&call, SECRET, &tag));
            assert_eq!(proven, Err(WebhookError::WrongSignature), "{signature}");
        }
    }
}
