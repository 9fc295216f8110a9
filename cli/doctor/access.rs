//! Access to the backends that the doctor asks: the address, the credential, the tenant, all said on the command line, of which
//! no secret is; and what to do when a backend refuses it.
//!
//! [`Access`] is a backend as it can be asked. What a hosted one keeps to itself (its configuration) is [peeked](Access::peek) at,
//! everything else must be [readable](Access::get).

use contextcore_core::config::Resolve;
use std::path::Path;

use contextcore_core::config::{Config, HeaderValue, SecretRef};
use contextcore_core::http::Auth;
use contextcore_core::http::service::{Reply, Service};
use contextcore_core::model::secret::Secret;
use contextcore_core::{Error, ErrorKind, Result};
use contextcore_dashboards::knowledge::Backend;
use http::HeaderName;

use crate::args::Doctor;
use crate::failure::Failure;

/// The header that names a tenant of Tempo, Loki and Mimir.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// How a backend is given on the command line.
struct Words {
    backend: Backend,
    name: &'static str,
    url: &'static str,
    file: &'static str,
    variable: &'static str,
    /// What a token of Grafana Cloud needs to read it.
    scope: &'static str,
}

const TEMPO: Words = Words {
    backend: Backend::Tempo,
    name: "Tempo",
    url: "--tempo-url",
    file: "--tempo-token-file",
    variable: "TEMPO_TOKEN",
    scope: "traces:read",
};

const LOKI: Words = Words {
    backend: Backend::Loki,
    name: "Loki",
    url: "--loki-url",
    file: "--loki-token-file",
    variable: "LOKI_TOKEN",
    scope: "logs:read",
};

const PROMETHEUS: Words = Words {
    backend: Backend::Prometheus,
    name: "Prometheus",
    url: "--prometheus-url",
    file: "--prometheus-token-file",
    variable: "PROMETHEUS_TOKEN",
    scope: "metrics:read",
};

/// A backend that can be asked.
pub(super) struct Access {
    words: &'static Words,
    service: Service,
    /// Where its credential came from, if there is one.
    credential: Option<String>,
}

/// Everything that is to be asked, none of which was asked yet.
pub(crate) struct Backends {
    pub(super) prometheus: Option<Access>,
    pub(super) loki: Option<Access>,
    pub(super) tempo: Option<Access>,
}

impl Backends {
    /// # Errors
    /// Usage, with the flag that is wrong: an address that is none or holds a credential, a file that cannot be read.
    pub(crate) fn open(config: &Config, doctor: &Doctor) -> Result<Self, Failure> {
        if doctor.grafana_url.as_deref().is_some_and(has_user) {
            return Err(literal("--grafana-url", "a service account's token", "--token-file", "GRAFANA_TOKEN"));
        }
        let open = |words, url: &Option<String>, file: &Option<std::path::PathBuf>| {
            let url = url.as_deref();
            url.map(|url| Access::open(words, url, file.as_deref(), config, doctor)).transpose()
        };
        Ok(Self {
            prometheus: open(&PROMETHEUS, &doctor.prometheus_url, &doctor.prometheus_token_file)?,
            loki: open(&LOKI, &doctor.loki_url, &doctor.loki_token_file)?,
            tempo: open(&TEMPO, &doctor.tempo_url, &doctor.tempo_token_file)?,
        })
    }
}

impl Access {
    fn open(
        words: &'static Words,
        url: &str,
        file: Option<&Path>,
        config: &Config,
        doctor: &Doctor,
    ) -> Result<Self, Failure> {
        if has_user(url) {
            return Err(literal(words.url, "USER:TOKEN", words.file, words.variable));
        }
        let named = |flag: &str, error: &Error| Failure::usage(format!("{flag}: {}", error.full()));
        let secret = match file {
            Some(file) => Some(SecretRef::File(file.to_owned()).resolve().map_err(|error| named(words.file, &error))?),
            None => SecretRef::Env(words.variable.to_owned()).resolve().ok(),
        };
        let origin = if file.is_some() { words.file } else { words.variable };
        let credential = secret.as_ref().map(|_| origin.to_owned());
        let ca_file = doctor.ca_file.as_deref().or(config.export.otlp.ca_file.as_deref());
        let auth = secret.map_or(Auth::None, |secret| auth(&secret));
        let service = Service::new(words.name, url, auth, ca_file).map_err(|error| named(words.url, &error))?;
        let service = match tenant(config, doctor.org_id.as_deref()) {
            Some(tenant) => service.with_header(TENANT, &tenant).map_err(|error| named("--org-id", &error))?,
            None => service,
        };
        Ok(Self { words, service, credential })
    }

    /// Which one it is.
    pub(super) fn backend(&self) -> Backend {
        self.words.backend
    }

    /// Reads what whoever looks at dashboards must be able to read.
    ///
    /// # Errors
    /// As [`Service::get`]; [`ErrorKind::Auth`] and [`ErrorKind::Permission`] say which flag to use.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Reply> {
        let reply = self.service.get(path, query).await?;
        match refusal(self.words, self.credential.as_deref(), &reply) {
            Some(refusal) => Err(refusal),
            None => Ok(reply),
        }
    }

    /// Reads what a hosted backend may keep to itself: a refusal is an answer like another.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub(super) async fn peek(&self, path: &str) -> Result<Reply> {
        self.service.get(path, &[]).await
    }
}

/// `USER:TOKEN`, as hosted backends want it, or a bearer token, which holds no colon.
fn auth(secret: &Secret) -> Auth {
    match secret.expose().split_once(':') {
        Some((user, password)) => Auth::Basic { user: user.to_owned(), password: Secret::new(password) },
        None => Auth::Bearer(secret.clone()),
    }
}

/// The tenant that was named, else the one that telemetry is sent to: a canary is nowhere else.
fn tenant(config: &Config, named: Option<&str>) -> Option<HeaderValue> {
    let sent = || config.export.otlp.headers.iter().find(|(name, _)| TENANT == name.as_str());
    named.map(|tenant| HeaderValue::Given(Secret::new(tenant))).or_else(|| sent().map(|(_, value)| value.clone()))
}

/// Whether an address holds a user, with or without a password.
fn has_user(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

fn literal(url: &str, what: &str, file: &str, variable: &str) -> Failure {
    Failure::usage(format!(
        "{url} holds a user or password, which everybody on this machine can read: put {what} into a file and name it with \
         {file}, or into the variable {variable}"
    ))
}

/// What to do when an answer is a refusal of who asks.
fn refusal(words: &Words, credential: Option<&str>, reply: &Reply) -> Option<Error> {
    let Words { file, variable, scope, .. } = words;
    let told = reply.message();
    let text = match (reply.status, credential) {
        (401, _) if told.contains("no org id") => {
            "it has tenants and was asked for none (401): name yours with --org-id".to_owned()
        }
        (401, None) => format!(
            "it asks for a credential (401): name a file that holds USER:TOKEN, or a bearer token, with {file}, or set {variable}"
        ),
        (401, Some(origin)) => format!("it refused the credential of {origin} (401): {told}"),
        (403, None) => {
            format!("it lets nobody read without a credential (403): name one with {file}, or set {variable}")
        }
        (403, Some(origin)) => format!(
            "the credential of {origin} may not read here (403): give it that right (in Grafana Cloud the scope {scope}), or \
             name the tenant with --org-id: {told}"
        ),
        _ => return None,
    };
    let kind = if reply.status == 401 { ErrorKind::Auth } else { ErrorKind::Permission };
    Some(Error::new(kind, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_with_a_colon_is_basic_and_any_other_a_bearer_token() {
        let basic = auth(&Secret::new("123456:glc_abc:def"));
        let Auth::Basic { user, password } = basic else { panic!("{basic:?}") };
        assert_eq!((user.as_str(), password.expose()), ("123456", "glc_abc:def"));
        assert!(matches!(auth(&Secret::new("eyJ.abc")), Auth::Bearer(token) if token.expose() == "eyJ.abc"));
    }

    #[test]
    fn a_user_in_an_address_is_seen_wherever_it_stands() {
        for (url, want) in [
            ("https://1:s3cret@tempo.example/tempo", true),
            ("https://user@tempo.example", true),
            ("1:s3cret@tempo.example", true),
            ("https://tempo.example/x@y?z=@", false),
            ("http://127.0.0.1:3200", false),
        ] {
            assert_eq!(has_user(url), want, "{url}");
        }
    }

    #[test]
    fn a_refusal_names_the_flag_that_mends_it() {
        let said = |status, body: &str, credential| {
            let reply = Reply { status, body: body.to_owned(), location: None };
            refusal(&LOKI, credential, &reply).map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(said(401, "", None).contains("--loki-token-file"));
        assert!(said(401, "no org id\n", None).contains("--org-id"));
        assert!(said(401, "bad", Some("LOKI_TOKEN")).contains("LOKI_TOKEN"));
        assert!(said(403, "", None).contains("--loki-token-file"));
        assert!(said(403, "", Some("--loki-token-file")).contains("logs:read"));
        for status in [200, 302, 404, 500] {
            assert_eq!(said(status, "", None), "", "{status}");
        }
        assert!(!said(401, "a\nb", Some("x")).contains('\n'), "it is one line");
    }
}
