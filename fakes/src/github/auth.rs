//! Who is calling, and what they may see: tokens of every kind, and the minting of an App's.

use super::{Site, Token, TokenKind};
use crate::graphql::Failure;
use crate::lock;
use crate::message::{Call, Reply};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use serde_json::{Value as Json, json};

const HOUR: i64 = 3_600_000;
/// Longest life of the token an App signs, in seconds.
const JWT_LIFE: i64 = 600;

/// Somebody with a valid token.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Token);

impl Caller {
    /// Who the token belongs to.
    pub(super) fn login(&self) -> String {
        if self.0.kind == TokenKind::App { "context-app[bot]".to_owned() } else { super::Github::LOGIN.to_owned() }
    }

    /// Whether the token may read this kind of thing; `field` is what it asked for.
    pub(super) fn needs(&self, permission: &str, field: &str) -> Result<(), Failure> {
        if !self.0.lacks.iter().any(|lacking| lacking == permission) {
            return Ok(());
        }
        Err(match self.0.kind {
            TokenKind::Classic if permission == "projects" => Failure::new(
                "INSUFFICIENT_SCOPES",
                format!(
                    "Your token has not been granted the required scopes to execute this query. The '{field}' field requires \
                     one of the following scopes: ['read:project'], but your token has only been granted the: ['repo'] \
                     scopes. Please modify your token's scopes at: https://github.com/settings/tokens."
                ),
            ),
            _ => self.forbidden(),
        })
    }

    pub(super) fn forbidden(&self) -> Failure {
        let by = if self.0.kind == TokenKind::App { "integration" } else { "personal access token" };
        Failure::new("FORBIDDEN", format!("Resource not accessible by {by}"))
    }

    /// Only classic tokens reach the projects of users.
    pub(super) fn reaches_user_projects(&self) -> bool {
        self.0.kind == TokenKind::Classic
    }

    /// The header that lists a classic token's scopes.
    pub(super) fn scopes(&self) -> Option<&'static str> {
        let lacks = self.0.lacks.iter().any(|lacking| lacking == "projects");
        (self.0.kind == TokenKind::Classic).then_some(if lacks { "repo" } else { "read:org, read:project, repo" })
    }
}

impl Site {
    /// Whoever the headers prove.
    ///
    /// # Errors
    /// GitHub's answer to a caller without a valid token.
    pub(super) fn caller(&self, call: &Call) -> Result<Caller, Reply> {
        let Some(shown) = call.header(AUTHORIZATION).and_then(bearer) else {
            return Err(unauthorized("Requires authentication"));
        };
        let now = self.now();
        let tokens = lock(&self.tokens);
        let known = tokens.iter().find(|token| token.text == shown && token.expires.is_none_or(|end| end > now));
        known.cloned().map(Caller).ok_or_else(|| unauthorized("Bad credentials"))
    }

    /// Gives an App installation a token for an hour.
    pub(super) fn mint(&self, call: &Call, installation: &str) -> Reply {
        let now = self.now();
        if let Some(message) = call
            .header(AUTHORIZATION)
            .and_then(bearer)
            .map_or(Some("A JSON web token could not be decoded"), |jwt| flaw(jwt, now / 1_000))
        {
            return unauthorized(message);
        }
        if installation.parse::<u64>().ok() != Some(self.options.installation) {
            return Reply::json(404, json!({"message": "Not Found", "status": "404"}).to_string());
        }
        let tokens = &mut *lock(&self.tokens);
        let token = Token { expires: Some(now + HOUR), ..Token::app(format!("ghs_minted{:04}", tokens.len())) };
        let body = json!({
            "token": token.text, "expires_at": super::view::time(now + HOUR), "repository_selection": "all",
            "permissions": {"issues": "read", "metadata": "read", "organization_projects": "read", "pull_requests": "read"},
        });
        tokens.push(token);
        Reply::json(201, body.to_string())
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")).then(|| token.trim())
}

fn unauthorized(message: &str) -> Reply {
    let body = json!({"message": message, "documentation_url": "https://docs.github.com/graphql", "status": "401"});
    Reply::json(401, body.to_string())
}

/// What is wrong with an App's token, apart from its signature, which nobody checks here; `now` in seconds.
fn flaw(jwt: &str, now: i64) -> Option<&'static str> {
    let undecodable = Some("A JSON web token could not be decoded");
    let parts: Vec<_> = jwt.split('.').collect();
    let [head, claims, signature] = parts.as_slice() else { return undecodable };
    let read = |part: &str| serde_json::from_slice::<Json>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let (Some(head), Some(claims)) = (read(head), read(claims)) else { return undecodable };
    if head["alg"] != "RS256" || signature.is_empty() || claims["iss"].is_null() {
        return undecodable;
    }
    match (claims["iat"].as_i64(), claims["exp"].as_i64()) {
        (Some(issued), _) if issued > now => {
            Some("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
        }
        (_, Some(ends)) if ends <= now => Some(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        ),
        (Some(_), Some(ends)) if ends - now > JWT_LIFE => {
            Some("'Expiration time' claim ('exp') is too far in the future")
        }
        (Some(_), Some(_)) => None,
        _ => undecodable,
    }
}
