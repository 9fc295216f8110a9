//! How Jira answers, for the HTTP session: which limit a 429 means, and what people should do about a 401.
//!
//! Cloud has two kinds of limit side by side. A spent quota (`RateLimit-Reason: jira-quota-…`) holds for everything the
//! account asks; a burst limit only for the endpoint that met it. Data Center names no reason. Both say when to come back in
//! `Retry-After`, or in `X-RateLimit-Reset`, an ISO time that may lack its seconds.

use contextcore_core::http::{Answer, Bucket, Dialect, Scope, Verdict, limits};
use contextcore_core::{Error, ErrorKind};
use http::StatusCode;

/// Searching issues.
pub(super) const SEARCH: &str = "search";
/// Histories, comments and single issues.
pub(super) const HISTORY: &str = "history";
/// Boards and sprints.
pub(super) const AGILE: &str = "agile";
/// Everything else.
pub(super) const META: &str = "meta";

/// The rates we keep to. Cloud lets a tenant do about 100 requests a second per endpoint; a fifth of that leaves room for the
/// people of the site, and is far more than one poller that asks page after page can use.
pub(super) const BUCKETS: &[Bucket] = &[
    Bucket { name: SEARCH, per_second: 20, burst: 40 },
    Bucket { name: HISTORY, per_second: 20, burst: 40 },
    Bucket { name: AGILE, per_second: 20, burst: 40 },
    Bucket { name: META, per_second: 20, burst: 40 },
];

/// How Jira says "slow down" and "who are you".
#[derive(Debug, Clone, Copy)]
pub(super) struct JiraDialect;

impl Dialect for JiraDialect {
    fn verdict(&self, answer: &Answer<'_>) -> Option<Verdict> {
        match answer.status {
            StatusCode::TOO_MANY_REQUESTS => Some(slow_down(answer)),
            StatusCode::UNAUTHORIZED => Some(Verdict::Fail(refused(answer))),
            _ => None,
        }
    }
}

fn slow_down(answer: &Answer<'_>) -> Verdict {
    let reset = || limits::reset_after(answer.headers, "x-ratelimit-reset", answer.now);
    let quota = answer.header("ratelimit-reason").is_some_and(|reason| reason.contains("quota"));
    Verdict::Retry {
        after: limits::retry_after(answer.headers, answer.now).or_else(reset),
        scope: if quota { Scope::All } else { Scope::Bucket },
    }
}

/// API tokens of Cloud live a year at most, which is the usual reason.
fn refused(answer: &Answer<'_>) -> Error {
    let said = answer.message().map(|message| format!(" (Jira says: {message})")).unwrap_or_default();
    let text =
        format!("the token was refused, it may be wrong, expired or without the scopes needed: make a new one{said}");
    Error::new(ErrorKind::Auth, text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contextcore_core::Millis;
    use http::{HeaderMap, HeaderName};

    use super::*;

    fn verdict(status: u16, headers: &[(&'static str, &str)], body: &str) -> Option<Verdict> {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        let now = Millis::parse("2026-03-26T15:59:30Z").unwrap();
        JiraDialect.verdict(&Answer::new(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), now))
    }

    #[test]
    fn a_spent_quota_holds_for_everything_and_a_burst_for_its_endpoint() {
        let table = [
            (&[("retry-after", "7"), ("ratelimit-reason", "jira-quota-tenant-based")][..], Some(7), Scope::All),
            (&[("retry-after", "7"), ("ratelimit-reason", "jira-burst-based")], Some(7), Scope::Bucket),
            (&[("x-ratelimit-reset", "2026-03-26T16:00Z"), ("x-ratelimit-remaining", "5")], Some(30), Scope::Bucket),
            (&[], None, Scope::Bucket),
        ];
        for (headers, seconds, want) in table {
            let Some(Verdict::Retry { after, scope }) = verdict(429, headers, "") else { panic!("{headers:?}") };
            assert_eq!((after, scope), (seconds.map(Duration::from_secs), want), "{headers:?}");
        }
    }

    #[test]
    fn a_refused_token_says_what_to_do() {
        let Some(Verdict::Fail(error)) = verdict(401, &[], r#"{"message":"Client must be authenticated"}"#) else {
            panic!("401 is final")
        };
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(error.to_string().ends_with("make a new one (Jira says: Client must be authenticated)"), "{error}");
        assert!(verdict(500, &[], "").is_none());
    }
}
