//! The address of a database: what it says about TLS, and what is set unless it says otherwise.
//!
//! It is read as libpq does, but for one thing: a certificate is always verified, also with `sslmode=require`. Without `sslmode`,
//! TLS is required of every host but this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::http::tls::is_loopback;
use crate::model::error::{Error, ErrorKind, Result};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long what was sent may stay unconfirmed before the connection counts as broken.
const UNCONFIRMED: Duration = Duration::from_secs(15);
/// Idle connections are probed this often, so that one that a firewall forgot is noticed.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// A database, and how to connect to it.
pub(super) struct Target {
    pub(super) config: Config,
    /// The certificates to trust in place of the system's.
    roots: Option<PathBuf>,
    /// Its hosts, for messages.
    pub(super) place: String,
}

impl Target {
    /// Reads a URL. No message repeats it: it holds the password.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when it cannot be understood.
    pub(super) fn parse(url: &str) -> Result<Self> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong("it must begin with postgres://"));
        }
        check_unambiguous(url)?;
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("sslmode", value)) => mode = Some(ssl_mode(value)?),
                Some(("sslrootcert", "system")) => roots = None,
                Some(("sslrootcert", path)) => {
                    roots = Some(PathBuf::from(&*percent_decode_str(path).decode_utf8_lossy()))
                }
                _ => rest.push(part),
            }
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config = url.parse().map_err(|error| wrong("it cannot be read").caused_by(cause(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(wrong("it names no host"));
        }
        let local = config.get_hosts().iter().all(is_local);
        config.ssl_mode(mode.unwrap_or(if local { SslMode::Disable } else { SslMode::Require }));
        with_defaults(&mut config);
        let place = place(&config);
        Ok(Self { config, roots, place })
    }

    /// What makes TLS connections.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the certificates cannot be read.
    pub(super) fn tls(&self) -> Result<MakeRustlsConnect> {
        let mut trusted = RootCertStore::empty();
        if self.config.get_ssl_mode() != SslMode::Disable {
            match &self.roots {
                Some(path) => add_file(&mut trusted, path)?,
                None => drop(trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let failed = |error| Error::new(ErrorKind::Internal, "set up TLS").caused_by(error);
        let config = builder.map_err(failed)?.with_root_certificates(trusted).with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }
}

/// A password may hold characters that mean something in a URL. Read wrongly, a part of it would be the name of a host, and be printed.
fn check_unambiguous(url: &str) -> Result<()> {
    let at = url.find('@');
    let is_later = at.is_some_and(|at| url[at + 1..].contains('@'));
    if is_later || at.zip(url.find('?')).is_some_and(|(at, question)| question < at) {
        return Err(wrong("write `@` as %40 and `?` as %3F in the user, the password and the options"));
    }
    Ok(())
}

fn ssl_mode(value: &str) -> Result<SslMode> {
    match value {
        "disable" => Ok(SslMode::Disable),
        "allow" | "prefer" => Ok(SslMode::Prefer),
        "require" | "verify-ca" | "verify-full" => Ok(SslMode::Require),
        _ => Err(wrong("its sslmode must be disable, prefer, require or verify-full")),
    }
}

fn with_defaults(config: &mut Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_application_name().is_none() {
        config.application_name("contextcore");
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNCONFIRMED);
    }
    config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).keepalives_retries(3);
}

fn add_file(trusted: &mut RootCertStore, path: &Path) -> Result<()> {
    let failed =
        || Error::new(ErrorKind::Config, "read the certificates of `sslrootcert`").with("path", path.display());
    let read = CertificateDer::pem_file_iter(path).map_err(|error| failed().caused_by(error))?;
    let certificates = read.collect::<Result<Vec<_>, _>>().map_err(|error| failed().caused_by(error))?;
    match trusted.add_parsable_certificates(certificates) {
        (0, _) => Err(failed().with("found", "no certificate")),
        _ => Ok(()),
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => is_loopback(name),
        Host::Unix(_) => true,
    }
}

/// Hosts, ports and the database, without user and password.
fn place(config: &Config) -> String {
    let ports = config.get_ports();
    let named = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => path.display().to_string(),
        }
    });
    let hosts = named.collect::<Vec<_>>().join(",");
    format!("postgres://{hosts}/{}", config.get_dbname().or(config.get_user()).unwrap_or_default())
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("`store.postgres.url`: {what}; as in postgres://USER:PASSWORD@HOST/DATABASE"))
}

/// The reason without its parts that may quote the address.
fn cause(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    let names =
        |text: &String| ["unknown option", "invalid value for option"].iter().any(|start| text.starts_with(start));
    error.source().map(ToString::to_string).filter(names).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> SslMode {
        Target::parse(url).unwrap().config.get_ssl_mode()
    }

    #[test]
    fn tls_is_required_of_other_hosts_unless_the_address_says_otherwise() {
        assert_eq!(mode("postgres://u:p@db.example.com/x"), SslMode::Require);
        assert_eq!(mode("postgresql://u:p@127.0.0.1,db.example.com/x"), SslMode::Require);
        assert_eq!(mode("postgres://u:p@db.example.com/x?sslmode=verify-full&application_name=a"), SslMode::Require);
        assert_eq!(mode("postgres://u:p@db.example.com/x?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://u:p@localhost/x"), SslMode::Disable);
        assert_eq!(mode("postgres://u:p@localhost/x?sslmode=prefer"), SslMode::Prefer);
        assert_eq!(mode("postgres://u@%2Fvar%2Frun%2Fpostgresql/x"), SslMode::Disable);
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_without_the_address() {
        let wrong = [
            ("mysql://u:hunter2@h/x", "must begin with postgres://"),
            ("postgres://u:hunter2@h/x?sslmode=maybe", "its sslmode must be"),
            ("postgres://u:hunter2@h/x?colour=hunter2", "unknown option `colour`"),
            ("postgres://u:hunter2@h:hunter2/x", "cannot be read"),
            ("postgres://", "names no host"),
            ("postgres://u:p@hunter2@h/x", "write `@` as %40"),
            ("postgres://u:p@hunter2@127.0.0.1:1/x?sslmode=disable", "write `@` as %40"),
            ("postgres://u:5432?hunter2@h/x", "`?` as %3F"),
            ("postgres://h/x?user=u&password=p@hunter2", "write `@` as %40"),
            ("postgres://u:p@hunter2?a=1@h/x", "write `@` as %40"),
            ("postgres://u:hunter2@h/x?target_session_attrs=hunter2", "target_session_attrs"),
            ("postgres://u:hunter2@h/x?connect_timeout=soon", "connect_timeout"),
        ];
        for (url, expected) in wrong {
            let error = Target::parse(url).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.full().contains(expected), "{url}: {}", error.full());
            assert!(!error.full().contains("hunter2"), "{}", error.full());
        }
    }

    /// What other characters a password has stays in it.
    #[test]
    fn a_password_may_hold_other_characters_of_a_url() {
        for (written, meant) in
            [("a/b", "a/b"), ("a#b", "a#b"), ("a:b", "a:b"), ("a%40b%3Fc", "a@b?c"), ("a&b=c", "a&b=c")]
        {
            let target = Target::parse(&format!("postgres://u:{written}@h/x?application_name=a%40b")).unwrap();
            assert_eq!(target.config.get_password(), Some(meant.as_bytes()));
            assert_eq!(target.place, "postgres://h:5432/x");
        }
    }

    #[test]
    fn the_place_has_neither_user_nor_password() {
        let target =
            Target::parse("postgres://me:hunter2@db.example.com,other:5433/tasks?sslrootcert=%2Fa%2Fb.pem").unwrap();
        assert_eq!(target.place, "postgres://db.example.com:5432,other:5433/tasks");
        assert_eq!(target.roots.as_deref(), Some(Path::new("/a/b.pem")));
        assert!(target.tls().err().unwrap().full().contains("/a/b.pem"));
    }
}
