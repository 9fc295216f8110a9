//! Who is calling.

use super::{Credential, Site, refuse};
use crate::lock;
use crate::message::{Call, Reply};
use http::header::AUTHORIZATION;

impl Site {
    /// Lets a caller in who shows one of the credentials in the form that its kind wants.
    pub(super) fn let_in(&self, call: &Call) -> Result<(), Reply> {
        let shown = call.header(AUTHORIZATION).map(read);
        if shown.is_some_and(|shown| lock(&self.credentials).contains(&shown)) {
            return Ok(());
        }
        let message = "Authentication required, not authenticated";
        Err(refuse(401, message, "AUTHENTICATION_ERROR", "authentication error"))
    }
}

/// With "Bearer" in front it is an access token, whatever it looks like.
fn read(header: &str) -> Credential {
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Credential::Token(token.trim().to_owned()),
        _ => Credential::Key(header.to_owned()),
    }
}
