//! GitHub's habits in answering, as the HTTP session asks for them: limits that come in a 200, and what a 403 means.
//!
//! - The hourly limit is an error in the body of a 200 (`RATE_LIMITED`, lately `RATE_LIMIT`), sometimes of a 403. That
//!   `x-ratelimit-remaining` says 0 is no sign of it: the last good answer says so too.
//! - The secondary limit is a 403 or 429 whose text says so, with `Retry-After` or without; then a minute is asked for.
//! - A spent per-query budget and a timeout are answered with smaller pages, not with patience: they are left to
//!   [`super::api`].

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use contextcore_core::http::{Answer, Bucket, Dialect, Scope, Verdict, limits};
use contextcore_core::{Error, ErrorKind};
use http::StatusCode;

/// Every query.
pub(super) const GRAPHQL: &str = "graphql";
/// Minting tokens.
pub(super) const REST: &str = "rest";

/// A user has 5,000 points an hour for all tokens together; a request costs one to three. This leaves people their part, and
/// lets one sync of a thousand issues go at once.
pub(super) const BUCKETS: &[Bucket] =
    &[Bucket { name: GRAPHQL, per_second: 1, burst: 200 }, Bucket { name: REST, per_second: 1, burst: 5 }];

/// The wait where a secondary limit does not say how long, as the vendor's documentation asks for.
const A_MINUTE: Duration = Duration::from_secs(60);

/// How GitHub says "slow down", "who are you" and "log in first".
#[derive(Debug, Clone, Default)]
pub(super) struct GitHubDialect {
    /// Noted from the first answer, since only a header holds it.
    pub(super) scopes: Scopes,
}

/// The scopes of a classic token, once an answer had them.
pub(super) type Scopes = Arc<OnceLock<Vec<String>>>;

impl Dialect for GitHubDialect {
    fn verdict(&self, answer: &Answer<'_>) -> Option<Verdict> {
        if let Some(scopes) = answer.header("x-oauth-scopes") {
            self.scopes.get_or_init(|| scopes.split(',').map(|scope| scope.trim().to_owned()).collect());
        }
        match answer.status {
            StatusCode::OK => limited(answer).then(|| wait(answer)),
            StatusCode::UNAUTHORIZED => Some(Verdict::Fail(refused(answer))),
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => forbidden(answer),
            _ => None,
        }
    }
}

/// Whether the body is the error of a spent hour. Data beside it would be worth keeping, so there must be none.
fn limited(answer: &Answer<'_>) -> bool {
    let named_in_body = || answer.mentions("RATE_LIMIT") || answer.mentions("graphql_rate_limit");
    let Some(body) = Some(()).filter(|()| named_in_body()).and_then(|()| answer.json()) else { return false };
    let named = |error: &serde_json::Value| {
        matches!(error["type"].as_str(), Some("RATE_LIMITED" | "RATE_LIMIT"))
            || error["extensions"]["code"] == "graphql_rate_limit"
            || error["code"] == "graphql_rate_limit"
    };
    body["data"].as_object().is_none_or(|data| data.values().all(serde_json::Value::is_null))
        && body["errors"].as_array().is_some_and(|errors| errors.iter().any(named))
}

fn forbidden(answer: &Answer<'_>) -> Option<Verdict> {
    if let Some(sso) = answer.header("x-github-sso").filter(|sso| sso.starts_with("required")) {
        let url = sso.split_once("url=").map(|(_, url)| url.trim().to_owned()).unwrap_or_default();
        let text = "the organisation asks for single sign-on: open the address and authorise the token for it";
        return Some(Verdict::Fail(Error::new(ErrorKind::Permission, text).with("url", url)));
    }
    let said = answer.message().unwrap_or_default().to_lowercase();
    let secondary = said.contains("secondary rate limit") || said.contains("rate limit already exceeded");
    let spent = answer.header("x-ratelimit-remaining") == Some("0") && answer.header("x-ratelimit-limit") != Some("0");
    let limit = secondary || spent || said.contains("rate limit") || answer.status == StatusCode::TOO_MANY_REQUESTS;
    limit.then(|| if secondary { pause(answer) } else { wait(answer) })
}

/// A secondary limit: the hour's reset says nothing about it.
fn pause(answer: &Answer<'_>) -> Verdict {
    let after = limits::retry_after(answer.headers, answer.now).unwrap_or(A_MINUTE);
    Verdict::Retry { after: Some(after), scope: Scope::All }
}

/// The hour is spent: until its reset.
fn wait(answer: &Answer<'_>) -> Verdict {
    let reset = || limits::reset_after(answer.headers, "x-ratelimit-reset", answer.now);
    let after = limits::retry_after(answer.headers, answer.now).or_else(reset).unwrap_or(A_MINUTE);
    Verdict::Retry { after: Some(after), scope: Scope::All }
}

fn refused(answer: &Answer<'_>) -> Error {
    let said = answer.message().map(|message| format!(" (GitHub says: {message})")).unwrap_or_default();
    let text = format!("the token was refused, it may be wrong, expired or revoked: make a new one{said}");
    Error::new(ErrorKind::Auth, text)
}

#[cfg(test)]
mod tests {
    use contextcore_core::Millis;
    use http::{HeaderMap, HeaderName};

    use super::*;

    fn verdict(status: u16, headers: &[(&'static str, &str)], body: &str) -> Option<Verdict> {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        let now = Millis::parse("2026-07-20T10:00:00Z").unwrap();
        GitHubDialect::default().verdict(&Answer::new(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
            now,
        ))
    }

    fn waits(verdict: Option<Verdict>) -> u64 {
        let Some(Verdict::Retry { after: Some(after), scope: Scope::All }) = verdict else { panic!("{verdict:?}") };
        after.as_secs()
    }

    #[test]
    fn a_spent_hour_is_known_by_the_body_alone() {
        let spent = ("x-ratelimit-remaining", "0");
        let reset = ("x-ratelimit-reset", "1784541900"); // 2026-07-20T10:05:00Z
        for body in [
            r#"{"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded for user ID 1."}]}"#,
            r#"{"data":null,"errors":[{"type":"RATE_LIMIT","code":"graphql_rate_limit","message":"…"}]}"#,
        ] {
            assert_eq!(waits(verdict(200, &[spent, reset], body)), 300, "{body}");
        }
        assert!(verdict(200, &[spent, reset], r#"{"data":{"viewer":{"login":"ada"}}}"#).is_none());
        assert!(verdict(200, &[], r#"{"data":{"node":{"title":"RATE_LIMITED"}}}"#).is_none());
    }

    #[test]
    fn a_secondary_limit_waits_as_stated_or_a_minute_and_not_for_the_hour() {
        let body = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        let reset = ("x-ratelimit-reset", "1784541900");
        assert_eq!(waits(verdict(403, &[("retry-after", "7"), reset], body)), 7);
        assert_eq!(waits(verdict(429, &[reset], body)), 60);
        let other = r#"{"message":"API rate limit already exceeded for user ID 1."}"#;
        assert_eq!(waits(verdict(403, &[reset, ("x-ratelimit-remaining", "4000")], other)), 60);
        assert_eq!(waits(verdict(403, &[reset, ("x-ratelimit-remaining", "0")], "{}")), 300);
    }

    #[test]
    fn single_sign_on_shows_its_address_and_other_refusals_are_left_alone() {
        let sso = [("x-github-sso", "required; url=https://github.com/orgs/acme/sso?authorization_request=A1")];
        let Some(Verdict::Fail(error)) = verdict(403, &sso, "") else { panic!("403 is final") };
        assert_eq!(error.kind(), ErrorKind::Permission);
        assert_eq!(error.context("url"), Some("https://github.com/orgs/acme/sso?authorization_request=A1"));
        assert!(verdict(403, &[], r#"{"message":"Your IP address is not on the allow list"}"#).is_none());
        let limit_off = [("x-ratelimit-limit", "0"), ("x-ratelimit-remaining", "0")];
        assert!(verdict(403, &limit_off, r#"{"message":"Forbidden"}"#).is_none());
    }

    #[test]
    fn a_refused_token_says_what_to_do() {
        let Some(Verdict::Fail(error)) = verdict(401, &[], r#"{"message":"Bad credentials"}"#) else { panic!() };
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(error.to_string().ends_with("make a new one (GitHub says: Bad credentials)"), "{error}");
    }
}
