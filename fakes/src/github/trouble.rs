//! Faults as GitHub has them, for [`crate::faults::Faults::on`]. Sources: recorded answers and the issues of other connectors.

use super::answer::exceeded;
use crate::faults::Fault;
use serde_json::json;

fn fault(code: u16, headers: &[(&str, String)], body: &serde_json::Value) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Fault::Status { code, headers, body: body.to_string() }
}

/// 401: the token is wrong, expired or revoked. There is no `errors` array.
pub fn bad_credentials() -> Fault {
    let url = "https://docs.github.com/graphql";
    fault(401, &[], &json!({"message": "Bad credentials", "documentation_url": url, "status": "401"}))
}

/// 200 `RATE_LIMITED`: the hour's points are spent; they come back at `reset`, in epoch seconds.
pub fn rate_limited(reset: i64) -> Fault {
    let headers = [
        ("x-ratelimit-limit", "5000".to_owned()),
        ("x-ratelimit-remaining", "0".to_owned()),
        ("x-ratelimit-used", "5000".to_owned()),
        ("x-ratelimit-reset", reset.to_string()),
        ("x-ratelimit-resource", "graphql".to_owned()),
    ];
    fault(200, &headers, &exceeded())
}

/// The secondary limit: 403 or 429, with or without `Retry-After` in seconds.
pub fn secondary(code: u16, retry_after: Option<u64>) -> Fault {
    let headers: Vec<_> = retry_after.map(|seconds| ("retry-after", seconds.to_string())).into_iter().collect();
    let message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    fault(code, &headers, &json!({"message": message, "documentation_url": "https://docs.github.com/graphql"}))
}

/// 502 with a GraphQL body: the query took longer than ten seconds.
pub fn too_slow() -> Fault {
    let message = "Something went wrong while executing your query. This may be the result of a timeout, or it could be a GitHub \
                bug. Please include `C0DE:1` when reporting this issue.";
    fault(502, &[], &json!({"data": null, "errors": [{"message": message}]}))
}

/// 403 of an organisation that wants the token to be let in by single sign-on.
pub fn single_sign_on() -> Fault {
    let url = "required; url=https://github.com/orgs/acme/sso?authorization_request=A1";
    let message = "Resource protected by organization SAML enforcement. You must grant your Personal Access token access to this \
                organization.";
    fault(403, &[("x-github-sso", url.to_owned())], &json!({"message": message}))
}
