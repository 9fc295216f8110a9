//! Linear's habits in answering, as the HTTP session asks for them: refusals and limits come as GraphQL errors, mostly in a 400,
//! and what is left of the two quotas comes in headers.
//!
//! Errors are distinguished by `extensions.code`, then `extensions.type`, then the HTTP status; texts change. Resets are epoch
//! milliseconds. An answer that holds data is accepted whatever its errors: which part of it to believe is [`super::api`]'s
//! to say. (Linear's developer documentation on errors and rate limiting; recorded answers in `fixtures/`.)

use std::time::Duration;

use contextcore_core::http::{Answer, Bucket, Dialect, POINTS, Quota, REQUESTS, Scope, Verdict, limits};
use contextcore_core::{Error, ErrorKind};
use serde_json::Value;

/// Every request: there is one address.
pub(super) const GRAPHQL: &str = "graphql";
/// The context of a refusal that says which kind it is.
pub(super) const REASON: &str = "reason";
/// Because of a query's price, which asking for less mends.
pub(super) const TOO_COMPLEX: &str = "complexity";
/// Because the document does not fit the schema any more, which nothing mends.
pub(super) const SCHEMA: &str = "schema";

/// The rate we keep to beside the hourly quotas that the answers report.
pub(super) const BUCKETS: &[Bucket] = &[Bucket { name: GRAPHQL, per_second: 10, burst: 20 }];

/// The wait where an answer does not say for how long.
const DEFAULT_WAIT: Duration = Duration::from_secs(60);
/// Both quotas are for an hour.
const PERIOD: Duration = Duration::from_secs(3_600);

/// How Linear says "slow down", "who are you" and "too much at once".
#[derive(Debug, Clone, Copy)]
pub(super) struct LinearDialect;

impl Dialect for LinearDialect {
    fn verdict(&self, answer: &Answer<'_>) -> Option<Verdict> {
        let body = errors_of(answer)?;
        let has_data = body.get("data").is_some_and(|data| !data.is_null());
        if has_data && answer.status.is_success() {
            return None;
        }
        Some(judge(answer, &body["errors"][0]))
    }

    fn quotas(&self, answer: &Answer<'_>) -> Vec<Quota> {
        let number = |name: &str| answer.header(name)?.parse::<f64>().ok().map(whole);
        let quota =
            |name, limit, left| Some(Quota { name, limit: number(limit)?, left: number(left)?, period: PERIOD });
        let requests = quota(REQUESTS, "x-ratelimit-requests-limit", "x-ratelimit-requests-remaining");
        let points = quota(POINTS, "x-ratelimit-complexity-limit", "x-ratelimit-complexity-remaining");
        requests.into_iter().chain(points).collect()
    }
}

/// The body, if it holds errors. Good answers are large, and are not parsed twice.
fn errors_of(answer: &Answer<'_>) -> Option<Value> {
    let mentioned = !answer.status.is_success() || answer.mentions("\"errors\"");
    let body = mentioned.then(|| answer.json()).flatten()?;
    body["errors"].get(0).is_some().then_some(body)
}

/// What kind of trouble an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Auth,
    Forbidden,
    RateLimited,
    TooComplex,
    /// The document does not fit the schema any more.
    Invalid,
    NotFound,
    /// The other side is unwell.
    Unwell,
    Other,
}

impl Trouble {
    /// By what the error's `extensions` say.
    pub(super) fn of(error: &Value) -> Self {
        let extensions = &error["extensions"];
        let word = |key: &str| extensions[key].as_str().unwrap_or_default().to_ascii_lowercase().replace(' ', "_");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_ascii_lowercase();
        let says = |part: &str| text(&error["message"]).contains(part);
        match (word("code").as_str(), word("type").as_str()) {
            ("ratelimited", _) | (_, "ratelimited") => Self::RateLimited,
            ("authentication_error", _) | (_, "authentication_error") => Self::Auth,
            ("forbidden" | "feature_not_accessible", _) | (_, "forbidden" | "feature_not_accessible") => {
                Self::Forbidden
            }
            ("graphql_validation_failed" | "graphql_parse_failed", _) | (_, "graphql_error") => Self::Invalid,
            ("not_found", _) => Self::NotFound,
            _ if says("complex") || text(&extensions["userPresentableMessage"]).contains("complexity") => {
                Self::TooComplex
            }
            _ if says("not found") => Self::NotFound,
            ("internal_server_error", _)
            | (_, "lock_timeout" | "internal_error" | "network_error" | "bootstrap_error") => Self::Unwell,
            _ => Self::Other,
        }
    }

    /// The kind under which it is reported.
    pub(super) fn kind(self) -> ErrorKind {
        match self {
            Self::Auth => ErrorKind::Auth,
            Self::Forbidden => ErrorKind::Permission,
            Self::RateLimited => ErrorKind::RateLimited,
            Self::NotFound => ErrorKind::NotFound,
            Self::Unwell => ErrorKind::Unavailable,
            Self::TooComplex | Self::Invalid | Self::Other => ErrorKind::Rejected,
        }
    }
}

fn judge(answer: &Answer<'_>, error: &Value) -> Verdict {
    let said = answer.message().unwrap_or_default();
    let refused = |trouble: Trouble, text: &str| Verdict::Fail(Error::new(trouble.kind(), format!("{text}: {said}")));
    match Trouble::of(error) {
        Trouble::RateLimited => Verdict::Retry { after: Some(stated_wait(answer, error)), scope: Scope::All },
        trouble @ Trouble::Auth => {
            refused(trouble, "the token was refused, it may be wrong, revoked or expired: make a new one (Linear says)")
        }
        trouble @ Trouble::Forbidden => refused(trouble, "the token may not see this"),
        Trouble::TooComplex => {
            let text = format!("the query costs too much at once: {said}");
            Verdict::Fail(Error::new(ErrorKind::Rejected, text).with(REASON, TOO_COMPLEX))
        }
        trouble @ Trouble::Invalid => {
            let text = format!("the query does not fit the schema, an upgrade may be needed: {said}");
            Verdict::Fail(Error::new(trouble.kind(), text).with(REASON, SCHEMA))
        }
        trouble @ Trouble::NotFound => refused(trouble, "not found, or hidden from this token"),
        Trouble::Unwell => Verdict::Retry { after: None, scope: Scope::Bucket },
        Trouble::Other if answer.status.is_server_error() => Verdict::Retry { after: None, scope: Scope::Bucket },
        Trouble::Other if answer.status.as_u16() == 401 => refused(Trouble::Auth, "the token was refused"),
        trouble @ Trouble::Other => refused(trouble, "the request was refused"),
    }
}

/// Until the reset of whichever bucket is empty; else what the answer says in some other way.
fn stated_wait(answer: &Answer<'_>, error: &Value) -> Duration {
    let buckets = ["requests", "complexity", "endpoint-requests"];
    let empty = buckets.iter().filter(|bucket| {
        let left = answer.header(&format!("x-ratelimit-{bucket}-remaining"));
        left.and_then(|left| left.parse::<f64>().ok()).is_some_and(|left| left < 1.0)
    });
    let reset = |bucket| limits::reset_after(answer.headers, &format!("x-ratelimit-{bucket}-reset"), answer.now);
    let stated = || {
        let milliseconds = error["extensions"]["meta"]["rateLimitResult"]["duration"].as_f64();
        milliseconds.map(|ms| Duration::from_millis(u64::from(whole(ms)))).filter(|wait| !wait.is_zero())
    };
    let resets = empty.filter_map(reset).max();
    resets.or_else(|| limits::retry_after(answer.headers, answer.now)).or_else(stated).unwrap_or(DEFAULT_WAIT)
}

/// A count that may come with a fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
fn whole(number: f64) -> u32 {
    number.clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use contextcore_core::Millis;
    use http::{HeaderMap, HeaderName, StatusCode};
    use serde_json::json;

    use super::*;

    const NOW: &str = "2024-12-04T08:54:20.000Z";

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    fn verdict(status: u16, pairs: &[(&str, &str)], body: &Value) -> Option<Verdict> {
        let (headers, body) = (headers(pairs), body.to_string());
        let status = StatusCode::from_u16(status).unwrap();
        LinearDialect.verdict(&Answer::new(status, &headers, body.as_bytes(), Millis::parse(NOW).unwrap()))
    }

    fn error(code: &str, message: &str) -> Value {
        json!({"errors": [{"message": message, "extensions": {"code": code}}]})
    }

    #[test]
    fn a_recorded_refusal_waits_for_the_bucket_that_is_empty() {
        let recorded: Value = serde_json::from_str(include_str!("fixtures/recorded_ratelimited.json")).unwrap();
        let response = &recorded[0]["response"];
        let pairs: Vec<(&str, &str)> = response["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let Some(Verdict::Retry { after, scope }) = verdict(400, &pairs, &response["body"]) else { panic!() };
        let reset = Millis(1_733_302_464_386);
        let left = u64::try_from(reset.0 - Millis::parse(NOW).unwrap().0).unwrap();
        assert_eq!((after, scope), (Some(Duration::from_millis(left)), Scope::All));
    }

    #[test]
    fn without_headers_the_wait_is_in_the_error_or_a_minute() {
        let limited = |extra: Value| {
            let mut body = error("RATELIMITED", "Rate limit exceeded");
            body["errors"][0]["extensions"]["meta"] = extra;
            let Some(Verdict::Retry { after, .. }) = verdict(400, &[("retry-after", "0")], &body) else { panic!() };
            after.unwrap()
        };
        assert_eq!(limited(json!({"rateLimitResult": {"duration": 1500}})), Duration::from_millis(1_500));
        assert_eq!(limited(json!(null)), DEFAULT_WAIT);
    }

    #[test]
    fn refusals_go_by_their_code_whatever_the_status() {
        let table = [
            (400, "AUTHENTICATION_ERROR", "You need to authenticate", ErrorKind::Auth),
            (401, "AUTHENTICATION_ERROR", "You need to authenticate", ErrorKind::Auth),
            (200, "FORBIDDEN", "no", ErrorKind::Permission),
            (400, "FEATURE_NOT_ACCESSIBLE", "paid", ErrorKind::Permission),
            (400, "GRAPHQL_VALIDATION_FAILED", "Cannot query field", ErrorKind::Rejected),
            (400, "INPUT_ERROR", "Entity not found", ErrorKind::NotFound),
            (400, "NOT_FOUND", "Issue not found: TEST-999", ErrorKind::NotFound),
            (400, "SOMETHING_NEW", "?", ErrorKind::Rejected),
            (401, "", "?", ErrorKind::Auth),
        ];
        for (status, code, message, kind) in table {
            let Some(Verdict::Fail(refusal)) = verdict(status, &[], &error(code, message)) else { panic!("{code}") };
            assert_eq!(refusal.kind(), kind, "{code}");
        }
    }

    #[test]
    fn a_query_that_costs_too_much_says_so() {
        let body = json!({"errors": [{"message": "Query too complex", "extensions": {"type": "invalid input",
            "code": "INPUT_ERROR", "userPresentableMessage": "Maximum allowed complexity: 10000."}}]});
        let Some(Verdict::Fail(refusal)) = verdict(400, &[], &body) else { panic!() };
        assert_eq!(refusal.context(REASON), Some(TOO_COMPLEX));
    }

    #[test]
    fn trouble_of_theirs_is_asked_again_and_data_is_taken_with_its_errors() {
        for (status, code) in [(200, "INTERNAL_SERVER_ERROR"), (400, "LOCK_TIMEOUT"), (503, "")] {
            let mut body = error(code, "oops");
            body["errors"][0]["extensions"]["type"] = json!("lock timeout");
            assert!(matches!(verdict(status, &[], &body), Some(Verdict::Retry { after: None, .. })), "{status} {code}");
        }
        let mut partial = error("INTERNAL_SERVER_ERROR", "oops");
        partial["data"] = json!({"issues": null});
        assert!(verdict(200, &[], &partial).is_none());
        assert!(verdict(200, &[], &json!({"data": {"viewer": {}}})).is_none());
    }

    #[test]
    fn quotas_are_read_from_every_answer() {
        let headers = headers(&[
            ("X-RateLimit-Requests-Limit", "2500"),
            ("X-RateLimit-Requests-Remaining", "2499"),
            ("X-RateLimit-Complexity-Limit", "3000000"),
            ("X-RateLimit-Complexity-Remaining", "2998690.5"),
        ]);
        let answer = Answer::new(StatusCode::OK, &headers, b"{}", Millis(0));
        let quotas = LinearDialect.quotas(&answer);
        let read: Vec<_> = quotas.iter().map(|quota| (quota.name, quota.limit, quota.left)).collect();
        assert_eq!(read, [(REQUESTS, 2_500, 2_499), (POINTS, 3_000_000, 2_998_690)]);
    }
}
