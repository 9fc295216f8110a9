//! Who is calling.

use super::{Credential, Site};
use crate::lock;
use crate::message::{Call, Reply};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;

/// Who a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// The account.
    Known,
    /// An anonymous caller, on a site that lets them in: sees nothing.
    Anonymous,
    /// A caller without a valid credential, who is refused.
    Denied,
}

impl Site {
    /// Whoever the headers prove. A wrong credential counts as none.
    pub(super) fn caller(&self, call: &Call) -> Caller {
        let shown = call.header(AUTHORIZATION).and_then(read);
        let known = shown.is_some_and(|shown| lock(&self.credentials).contains(&shown));
        match (known, self.options.anonymous) {
            (true, _) => Caller::Known,
            (false, true) => Caller::Anonymous,
            (false, false) => Caller::Denied,
        }
    }

    /// The answer to a caller who is not let in.
    pub(super) fn denied(&self) -> Reply {
        if self.is_cloud() {
            let body = r#"{"message":"Client must be authenticated to access this resource.","status-code":401}"#;
            Reply::json(401, body).with_header("WWW-Authenticate", r#"OAuth realm="http%3A%2F%2F127.0.0.1""#)
        } else {
            let title = "Unauthorized (401)";
            let page = format!(
                "<html><head><title>{title}</title></head><body><h1>{title}</h1><p>Encountered a \
                 <code>\"401 - Unauthorized\"</code> error while loading this page.</p></body></html>"
            );
            Reply::html(401, &page).with_header("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
        }
    }
}

fn read(header: &str) -> Option<Credential> {
    let (scheme, value) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credential::Bearer(value.trim().to_owned()));
    }
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(value.trim()).ok())??;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, token) = decoded.split_once(':')?;
    Some(Credential::Basic { user: user.to_owned(), token: token.to_owned() })
}
