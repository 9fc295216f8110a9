//! Access to the backends that the doctor queries: address, credential and tenant, all from the command line, which holds no
//! secret; and what to do when a backend refuses access.
//!
//! Some backends hide their configuration. [`Access::peek`] takes that as an answer; [`Access::get`] takes it as an error.

use std::path::Path;

use contextcore_core::config::Resolve;
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

/// How a backend is named on the command line.
struct Flags {
    backend: Backend,
    name: &'static str,
    url: &'static str,
    file: &'static str,
    variable: &'static str,
    /// The scope that a token of Grafana Cloud needs.
    scope: &'static str,
}

const TEMPO: Flags = Flags {
    backend: Backend::Tempo,
    name: "Tempo",
    url: "--tempo-url",
    file: "--tempo-token-file",
    variable: "TEMPO_TOKEN",
    scope: "traces:read",
};

const LOKI: Flags = Flags {
    backend: Backend::Loki,
    name: "Loki",
    url: "--loki-url",
    file: "--loki-token-file",
    variable: "LOKI_TOKEN",
    scope: "logs:read",
};

const PROMETHEUS: Flags = Flags {
    backend: Backend::Prometheus,
    name: "Prometheus",
    url: "--prometheus-url",
    file: "--prometheus-token-file",
    variable: "PROMETHEUS_TOKEN",
    scope: "metrics:read",
};

/// A backend that can be queried.
pub(super) struct Access {
    flags: &'static Flags,
    service: Service,
    /// Where its credential comes from, if there is one.
    credential: Option<String>,
}

/// The backends to examine. Opening them sends nothing.
pub(crate) struct Backends {
    pub(super) prometheus: Option<Access>,
    pub(super) loki: Option<Access>,
    pub(super) tempo: Option<Access>,
}

impl Backends {
    /// # Errors
    /// A usage error that names the wrong flag: an address that is invalid or holds a credential, or a file that cannot be read.
    pub(crate) fn open(config: &Config, doctor: &Doctor) -> Result<Self, Failure> {
        if doctor.grafana_url.as_deref().is_some_and(has_user) {
            return Err(literal("--grafana-url", "a service account's token", "--token-file", "GRAFANA_TOKEN"));
        }
        let open = |flags, url: &Option<String>, file: &Option<std::path::PathBuf>| {
            let url = url.as_deref();
            url.map(|url| Access::open(flags, url, file.as_deref(), config, doctor)).transpose()
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
        flags: &'static Flags,
        url: &str,
        file: Option<&Path>,
        config: &Config,
        doctor: &Doctor,
    ) -> Result<Self, Failure> {
        if has_user(url) {
            return Err(literal(flags.url, "USER:TOKEN", flags.file, flags.variable));
        }
        let named = |flag: &str, error: &Error| Failure::usage(format!("{flag}: {}", error.full()));
        let secret = match file {
            Some(file) => Some(SecretRef::File(file.to_owned()).resolve().map_err(|error| named(flags.file, &error))?),
            None => SecretRef::Env(flags.variable.to_owned()).resolve().ok(),
        };
        let origin = if file.is_some() { flags.file } else { flags.variable };
        let credential = secret.as_ref().map(|_| origin.to_owned());
        let ca_file = doctor.ca_file.as_deref().or(config.export.otlp.ca_file.as_deref());
        let auth = secret.map_or(Auth::None, |secret| Auth::of_credential(&secret));
        let service = Service::new(flags.name, url, auth, ca_file).map_err(|error| named(flags.url, &error))?;
        let service = match tenant(config, doctor.org_id.as_deref()) {
            Some(tenant) => service.with_header(TENANT, &tenant).map_err(|error| named("--org-id", &error))?,
            None => service,
        };
        Ok(Self { flags, service, credential })
    }

    /// Which one it is.
    pub(super) fn backend(&self) -> Backend {
        self.flags.backend
    }

    /// Reads what the dashboards query, so access is required.
    ///
    /// # Errors
    /// As [`Service::get`]; [`ErrorKind::Auth`] and [`ErrorKind::Permission`] say which flag to use.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Reply> {
        let reply = self.service.get(path, query).await?;
        match refusal(self.flags, self.credential.as_deref(), &reply) {
            Some(refusal) => Err(refusal),
            None => Ok(reply),
        }
    }

    /// Reads what a hosted backend may hide. A refusal is an answer like any other.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub(super) async fn peek(&self, path: &str) -> Result<Reply> {
        self.service.get(path, &[]).await
    }
}

/// The named tenant, else the one that telemetry, and so the canary, is exported to.
fn tenant(config: &Config, named: Option<&str>) -> Option<HeaderValue> {
    let sent = || config.export.otlp.headers.iter().find(|(name, _)| TENANT == name.as_str());
    named.map(|tenant| HeaderValue::Given(Secret::new(tenant))).or_else(|| sent().map(|(_, value)| value.clone()))
}

/// Whether an address has a user, with or without a password.
fn has_user(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

fn literal(url: &str, what: &str, file: &str, variable: &str) -> Failure {
    Failure::usage(format!(
        "{url} has a user or password, which everybody on this machine can read: put {what} into a file and name it with \
         {file}, or into the variable {variable}"
    ))
}

/// What to do when an answer refuses access; `None` for any other answer.
fn refusal(flags: &Flags, credential: Option<&str>, reply: &Reply) -> Option<Error> {
    let Flags { file, variable, scope, .. } = flags;
    let message = reply.message();
    let advice = match (reply.status, credential) {
        (401, _) if message.contains("no org id") => {
            "it has tenants and the query names none (401): name yours with --org-id".to_owned()
        }
        (401, None) => format!(
            "it needs a credential (401): name a file with USER:TOKEN, or a bearer token, with {file}, or set {variable}"
        ),
        (401, Some(origin)) => format!("it refused the credential of {origin} (401): {message}"),
        (403, None) => {
            format!("it cannot be read without a credential (403): name one with {file}, or set {variable}")
        }
        (403, Some(origin)) => format!(
            "the credential of {origin} may not read here (403): give it that right (in Grafana Cloud the scope {scope}), or \
             name the tenant with --org-id: {message}"
        ),
        _ => return None,
    };
    let kind = if reply.status == 401 { ErrorKind::Auth } else { ErrorKind::Permission };
    Some(Error::new(kind, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_in_an_address_is_found() {
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
    fn a_refusal_names_the_flag_that_fixes_it() {
        let text = |status, body: &str, credential| {
            let reply = Reply { status, body: body.to_owned(), location: None };
            refusal(&LOKI, credential, &reply).map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(text(401, "", None).contains("--loki-token-file"));
        assert!(text(401, "no org id\n", None).contains("--org-id"));
        assert!(text(401, "bad", Some("LOKI_TOKEN")).contains("LOKI_TOKEN"));
        assert!(text(403, "", None).contains("--loki-token-file"));
        assert!(text(403, "", Some("--loki-token-file")).contains("logs:read"));
        for status in [200, 302, 404, 500] {
            assert_eq!(text(status, "", None), "", "{status}");
        }
        assert!(!text(401, "a\nb", Some("x")).contains('\n'), "it is one line");
    }
}
