//! The configuration of a session: address, credential, limits and rates.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderName;

use super::redact;
use super::verdict::Dialect;
use crate::model::secret::Secret;

/// The configuration of a session. `Debug` shows no secret.
#[derive(Clone)]
pub struct SessionConfig {
    /// The base address of every request; a path in it is kept.
    pub base_url: String,
    /// The credential.
    pub auth: Auth,
    /// A PEM file with certificates to trust besides the platform's.
    pub tls_ca_file: Option<PathBuf>,
    /// The `User-Agent`.
    pub user_agent: String,
    /// The most time one try may take, body included.
    pub timeout: Duration,
    /// The largest body accepted, in bytes after decompression.
    pub body_cap: usize,
    /// How often one call is tried in total.
    pub tries: u32,
    /// The request rates to keep, by class of endpoint.
    pub buckets: &'static [Bucket],
    /// The vendor's habits.
    pub dialect: Arc<dyn Dialect>,
    /// How many requests may be in flight at once.
    pub in_flight: usize,
    /// The longest single wait accepted before a call fails with [`crate::ErrorKind::RateLimited`].
    pub max_wait: Duration,
    /// The first wait when the vendor does not ask for one. It doubles up to five minutes.
    pub backoff_base: Duration,
}

impl SessionConfig {
    /// The usual settings: 30 s per try, 64 MiB, 8 tries, 4 in flight, waits of at most 5 min, backoff from 2 s.
    pub fn new(
        base_url: impl Into<String>,
        auth: Auth,
        buckets: &'static [Bucket],
        dialect: impl Dialect + 'static,
    ) -> Self {
        Self {
            base_url: base_url.into(),
            auth,
            tls_ca_file: None,
            user_agent: concat!("contextcore/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeout: Duration::from_secs(30),
            body_cap: 64 << 20,
            tries: 8,
            buckets,
            dialect: Arc::new(dialect),
            in_flight: 4,
            max_wait: Duration::from_secs(300),
            backoff_base: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionConfig")
            .field("base_url", &redact::excerpt(&self.base_url))
            .field("auth", &self.auth)
            .field("tls_ca_file", &self.tls_ca_file)
            .field("timeout", &self.timeout)
            .field("body_cap", &self.body_cap)
            .field("tries", &self.tries)
            .field("buckets", &self.buckets)
            .field("in_flight", &self.in_flight)
            .field("max_wait", &self.max_wait)
            .field("backoff_base", &self.backoff_base)
            .finish_non_exhaustive()
    }
}

/// A credential. `Debug` shows its kind, not the secret.
#[derive(Debug, Clone)]
pub enum Auth {
    /// None: public data, or a fake.
    None,
    /// `Authorization: Basic`.
    Basic {
        /// The user, often an e-mail address.
        user: String,
        /// The password or API token.
        password: Secret,
    },
    /// `Authorization: Bearer`.
    Bearer(Secret),
    /// A header with the secret as its value.
    Header {
        /// The header's name.
        name: HeaderName,
        /// The header's value.
        value: Secret,
    },
}

impl Auth {
    /// `USER:TOKEN`, as hosted backends want it, or a bearer token, which has no colon.
    #[must_use]
    pub fn of_credential(secret: &Secret) -> Self {
        match secret.expose().split_once(':') {
            Some((user, password)) => Self::Basic { user: user.to_owned(), password: Secret::new(password) },
            None => Self::Bearer(secret.clone()),
        }
    }
}

/// A class of endpoints with its own rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The name by which calls choose it.
    pub name: &'static str,
    /// Steady requests per second.
    pub per_second: u32,
    /// Requests that may be sent at once after a pause.
    pub burst: u32,
}

/// How often one call may fail, for a caller that acts sooner than the session gives up: after three server errors a
/// smaller page may succeed. Rate limits do not count: they are waited for as often as the session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_with_a_colon_is_basic_and_any_other_is_a_bearer_token() {
        let basic = Auth::of_credential(&Secret::new("123456:glc_abc:def"));
        let Auth::Basic { user, password } = basic else { panic!("{basic:?}") };
        assert_eq!((user.as_str(), password.expose()), ("123456", "glc_abc:def"));
        let bearer = Auth::of_credential(&Secret::new("eyJ.abc"));
        assert!(matches!(bearer, Auth::Bearer(token) if token.expose() == "eyJ.abc"));
    }
}
