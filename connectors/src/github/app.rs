//! Tokens of a GitHub App: minted for its installation with the App's private key, kept for an hour at most.
//!
//! The App proves itself with a JWT it signs (RS256, ten minutes at most) and is given a token of the installation. It is
//! minted anew before it expires, and once when it is refused, which happens when an administrator changes its rights.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use contextcore_core::http::{Auth, Session};
use contextcore_core::model::time::MINUTE;
use contextcore_core::{Error, ErrorKind, Millis, Result, Secret, lock};
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::Signer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::dialect::REST;
use super::settings::AppSettings;

/// How long before its end a token is replaced: longer than any one request takes.
const EARLY: i64 = 5 * MINUTE;
/// The age a JWT is given, since GitHub refuses one from the future and clocks differ.
const BACKDATED: i64 = MINUTE;
/// How long a JWT lives; ten minutes from its date is the most GitHub takes.
const LIFE: i64 = 8 * MINUTE;

/// An App's means to mint tokens.
pub(super) struct App {
    id: String,
    path: String,
    /// Signs with the private key; there is one once the key was read.
    signer: Mutex<Option<Box<dyn Signer>>>,
    session: Session,
}

/// A token, and when it ends.
pub(super) struct Minted {
    pub(super) token: Secret,
    expires: Millis,
}

impl Minted {
    /// Whether it is to be replaced.
    pub(super) fn is_old(&self, now: Millis) -> bool {
        now.0 + EARLY >= self.expires.0
    }
}

impl App {
    /// An App without a key yet. `session` sends to the same address as the requests for GraphQL, and has no credential.
    pub(super) fn new(settings: &AppSettings, url: &str, session: Session) -> Self {
        // On Enterprise Server both APIs are under /api: REST at /api/v3, GraphQL at /api/graphql.
        let root = if url.ends_with("/api") { "v3/" } else { "" };
        let path = format!("{root}app/installations/{}/access_tokens", settings.installation);
        Self { id: settings.id.clone(), path, signer: Mutex::default(), session }
    }

    /// Signs with this key from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a private key that cannot be used.
    pub(super) fn set_key(&self, key: &Secret) -> Result<()> {
        *lock(&self.signer) = Some(signer(key)?);
        Ok(())
    }

    /// A new token.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] when the App is refused, [`ErrorKind::NotFound`] when there is no such installation.
    pub(super) async fn mint(&self, now: Millis) -> Result<Minted> {
        #[derive(Deserialize)]
        struct Answer {
            token: String,
            expires_at: Millis,
        }
        self.session.authorize(&Auth::Bearer(Secret::new(self.jwt(now)?)))?;
        let answer: Answer = self.session.post(REST, &self.path, &json!({})).await.map_err(explained)?;
        Ok(Minted { token: Secret::new(answer.token), expires: answer.expires_at })
    }

    /// Requests that were sent for tokens.
    pub(super) fn requests(&self) -> u64 {
        self.session.stats().requests
    }

    fn jwt(&self, now: Millis) -> Result<String> {
        #[derive(Serialize)]
        struct Claims<'a> {
            iat: i64,
            exp: i64,
            iss: &'a str,
        }
        let claims = Claims { iat: now.plus(-BACKDATED).as_seconds(), exp: now.plus(LIFE).as_seconds(), iss: &self.id };
        let text = serde_json::to_vec(&claims).map_err(|error| unsigned().caused_by(error))?;
        let mut jwt = format!("{}.{}", BASE64.encode(r#"{"alg":"RS256","typ":"JWT"}"#), BASE64.encode(text));
        let signer = lock(&self.signer);
        let signer = signer.as_ref().ok_or_else(unsigned)?;
        let signature = signer.sign(jwt.as_bytes()).map_err(|error| unsigned().caused_by(error))?;
        jwt.push('.');
        jwt.push_str(&BASE64.encode(signature));
        Ok(jwt)
    }
}

fn unsigned() -> Error {
    Error::new(ErrorKind::Internal, "sign the App's proof of identity")
}

fn explained(error: Error) -> Error {
    let text = match error.kind() {
        ErrorKind::Auth => "the App was refused: check auth.app.id and its private key, and this machine's clock",
        ErrorKind::NotFound => "the App has no such installation: check auth.app.installation",
        _ => return error,
    };
    Error::new(error.kind(), text).caused_by(error)
}

/// The key as GitHub gives it: RSA in PEM form. What cannot be read is not repeated.
fn signer(key: &Secret) -> Result<Box<dyn Signer>> {
    let unfit = || {
        let text = "auth.app.private_key holds no RSA key in PEM form: download one from the App's settings";
        Error::new(ErrorKind::Config, text)
    };
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| unfit())?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| unfit())?;
    key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or_else(unfit)
}

#[cfg(test)]
mod tests {
    use contextcore_core::http::SessionConfig;

    use super::super::dialect::{BUCKETS, GitHubDialect};
    use super::*;

    const KEY: &str = include_str!("fixtures/app_key.pem");

    fn app(url: &str, key: &str) -> Result<App> {
        let session = Session::new(SessionConfig::new(url, Auth::None, BUCKETS, GitHubDialect::default())).unwrap();
        let app = App::new(&AppSettings { id: "12345".into(), installation: 678 }, url, session);
        app.set_key(&Secret::new(key))?;
        Ok(app)
    }

    #[test]
    fn a_jwt_is_short_lived_and_says_who_we_are() {
        let app = app("https://api.github.com", KEY).unwrap();
        let now = Millis::parse("2026-07-20T10:00:00Z").unwrap();
        let jwt = app.jwt(now).unwrap();
        let parts: Vec<_> = jwt.split('.').map(|part| BASE64.decode(part).unwrap()).collect();
        assert_eq!(String::from_utf8(parts[0].clone()).unwrap(), r#"{"alg":"RS256","typ":"JWT"}"#);
        let claims: serde_json::Value = serde_json::from_slice(&parts[1]).unwrap();
        let seconds = now.as_seconds();
        assert_eq!(claims, json!({"iat": seconds - 60, "exp": seconds + 480, "iss": "12345"}));
        assert_eq!(parts[2].len(), 256, "a signature of the key's size");
        assert_eq!(app.jwt(now).unwrap(), jwt, "RS256 has no luck in it");
    }

    #[test]
    fn rest_has_its_own_place_on_an_enterprise_server() {
        let path = |url| app(url, KEY).unwrap().path;
        assert_eq!(path("https://api.github.com"), "app/installations/678/access_tokens");
        assert_eq!(path("https://github.acme.io/api"), "v3/app/installations/678/access_tokens");
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        for key in ["hunter2", "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----"] {
            let error = app("https://api.github.com", key).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!error.full().contains("hunter2"), "{}", error.full());
        }
    }

    #[test]
    fn a_token_is_replaced_before_it_ends() {
        let minted = Minted { token: Secret::new("t"), expires: Millis(10 * MINUTE) };
        assert!(!minted.is_old(Millis(4 * MINUTE)) && minted.is_old(Millis(6 * MINUTE)));
    }
}
