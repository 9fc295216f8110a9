//! Tokens of a GitHub App: minted for its installation with the App's private key, kept for an hour at most.
//!
//! The App proves itself with a JWT it signs (RS256, ten minutes at most) and is given a token of the installation. It is
//! minted anew before it expires, and once when it is refused, which happens when an administrator changes its rights.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use contextcore_core::config::AppConfig;
use contextcore_core::http::{Auth, Session};
use contextcore_core::time::MINUTE;
use contextcore_core::{Error, ErrorKind, Millis, Result, Secret};
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::Signer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::dialect::REST;

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
    signer: Box<dyn Signer>,
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
    /// `session` speaks to the address at which GraphQL is asked as well, and has no credential yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a private key that cannot be used.
    pub(super) fn new(config: &AppConfig, url: &str, key: &Secret, session: Session) -> Result<Self> {
        // On Enterprise Server both APIs are under /api: REST at /api/v3, GraphQL at /api/graphql.
        let root = if url.ends_with("/api") { "v3/" } else { "" };
        let path = format!("{root}app/installations/{}/access_tokens", config.installation);
        Ok(Self { id: config.id.clone(), path, signer: signer(key)?, session })
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
        let signature = self.signer.sign(jwt.as_bytes()).map_err(|error| unsigned().caused_by(error))?;
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
