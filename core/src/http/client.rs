//! The parts of a session's requests: the reqwest client, the address, the authorization header.
//!
//! This is the only place that builds a client for vendors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect};

use super::config::{Auth, SessionConfig};
use super::redact::KnownSecrets;
use super::tls;
use crate::model::error::{Error, ErrorKind, Result};

/// A client for one vendor. It follows no redirect: a redirect would send the credential elsewhere, and usually leads
/// to a login page.
pub(super) fn build(config: &SessionConfig, base: &Url) -> Result<Client> {
    let refused =
        |error: reqwest::Error| Error::new(ErrorKind::Config, "set up the HTTP client").caused_by(error.without_url());
    let builder = tls::client_builder(config.tls_ca_file.as_deref())?
        .user_agent(&config.user_agent)
        .timeout(config.timeout)
        .redirect(redirect::Policy::none())
        .default_headers(HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]));
    tls::suited_to(builder, base.scheme(), base.host_str()).build().map_err(refused)
}

/// The header to send, and the secrets in it to mask.
pub(super) struct Credential {
    /// Kept apart from the client, because it can be renewed.
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    pub(super) known: KnownSecrets,
}

impl Credential {
    pub(super) fn new(auth: &Auth) -> Result<Self> {
        let unfit = |_| Error::new(ErrorKind::Config, "the secret holds a character that no HTTP header may hold");
        let header = match authorization(auth) {
            None => None,
            Some((name, value)) => {
                let mut value = HeaderValue::from_str(&value).map_err(unfit)?;
                value.set_sensitive(true);
                Some((name, value))
            }
        };
        Ok(Self { header, known: known_secrets(auth) })
    }
}

fn authorization(auth: &Auth) -> Option<(HeaderName, String)> {
    match auth {
        Auth::None => None,
        Auth::Basic { user, password } => Some((AUTHORIZATION, format!("Basic {}", basic(user, password.expose())))),
        Auth::Bearer(token) => Some((AUTHORIZATION, format!("Bearer {}", token.expose()))),
        Auth::Header { name, value } => Some((name.clone(), value.expose().to_owned())),
    }
}

fn basic(user: &str, password: &str) -> String {
    BASE64.encode(format!("{user}:{password}"))
}

/// The secrets of this credential in every form in which an answer could repeat them.
fn known_secrets(auth: &Auth) -> KnownSecrets {
    KnownSecrets::new(match auth {
        Auth::None => vec![],
        Auth::Basic { user, password } => vec![basic(user, password.expose()), password.expose().to_owned()],
        Auth::Bearer(secret) | Auth::Header { value: secret, .. } => vec![secret.expose().to_owned()],
    })
}

/// The base address of every request. A user, a query or a fragment in it is an error; as it may be a secret, the
/// message does not repeat the address.
pub(super) fn base(text: &str) -> Result<Url> {
    let wrong = |text: &str| Error::new(ErrorKind::Config, text);
    let url = Url::parse(text.trim()).map_err(|error| wrong("the url is not an absolute URL").caused_by(error))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("the url must begin with https:// or http:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("the url holds a user or password, which belong in the credential"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("the url must not hold a query or a fragment"));
    }
    Ok(url)
}

/// The address of one request under the prefix of `base`. A path that would leave the prefix (`..` in an id) is an
/// error.
pub(super) fn address(base: &Url, path: &str, query: &[(&str, &str)]) -> Result<Url> {
    let prefix = base.path().trim_end_matches('/');
    let mut url = base.clone();
    url.set_path(&format!("{prefix}/{}", path.trim_start_matches('/')));
    let under = url.path().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    if !under || path.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(Error::new(ErrorKind::Internal, "a path that leaves the base address").with("path", path));
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;

    #[test]
    fn requests_stay_under_the_prefix() {
        let table = [
            ("https://a.example", "/rest/api/3/myself", "https://a.example/rest/api/3/myself"),
            ("https://a.example/", "rest", "https://a.example/rest"),
            ("http://127.0.0.1:9/jira/", "/rest/x", "http://127.0.0.1:9/jira/rest/x"),
            ("http://127.0.0.1:9/jira", "/issue/A?b#c", "http://127.0.0.1:9/jira/issue/A%3Fb%23c"),
        ];
        for (root, path, want) in table {
            assert_eq!(address(&base(root).unwrap(), path, &[]).unwrap().as_str(), want);
        }
        let root = base("https://a.example/ex/jira/1").unwrap();
        for path in ["/../2/x", "/issue/../../../2", "/./x", "/%2e%2e/%2E%2e/x"] {
            assert!(address(&root, path, &[]).is_err(), "{path}");
        }
    }

    #[test]
    fn query_values_are_escaped() {
        let url = address(&base("https://a.example").unwrap(), "/s", &[("q", "a b&c=d"), ("n", "1")]).unwrap();
        assert_eq!(url.query(), Some("q=a+b%26c%3Dd&n=1"));
    }

    #[test]
    fn a_base_with_more_than_an_address_is_refused_without_repeating_it() {
        for text in
            ["a.example", "ftp://a.example", "https://u:s3cret@a.example", "https://a.example?token=s3cret", "https://"]
        {
            let error = base(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(!error.full().contains("s3cret"), "{}", error.full());
        }
    }

    #[test]
    fn credentials_become_sensitive_headers() {
        let secret = || Secret::new("s3cret");
        let header = HeaderName::from_static("x-api-key");
        let table = [
            (
                Auth::Basic { user: "ada@a.example".to_owned(), password: secret() },
                "authorization",
                "Basic YWRhQGEuZXhhbXBsZTpzM2NyZXQ=",
            ),
            (Auth::Bearer(secret()), "authorization", "Bearer s3cret"),
            (Auth::Header { name: header, value: secret() }, "x-api-key", "s3cret"),
        ];
        for (auth, name, want) in table {
            let (sent, value) = Credential::new(&auth).unwrap().header.unwrap();
            assert_eq!((sent.as_str(), &value), (name, &HeaderValue::from_static(want)));
            assert!(value.is_sensitive());
            assert!(!known_secrets(&auth).mask(want).contains("s3cret"));
        }
        let error = Credential::new(&Auth::Bearer(Secret::new("s3cret\n"))).err().unwrap();
        assert!(error.kind() == ErrorKind::Config && !error.full().contains("s3cret"), "{}", error.full());
    }
}
