//! The one place where HTTP clients are created: TLS provider, private CA, proxies.
//!
//! [`client_builder`] returns a [`reqwest::ClientBuilder`] that verifies certificates with rustls (ring) against the
//! system's roots and, if configured, one private CA. [`suited_to`] fits it to its target. Timeouts, redirects and
//! authentication are left to the callers.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Once;

use reqwest::ClientBuilder;

use crate::config::bounded;
use crate::model::error::{Error, ErrorKind, Result};

/// A bundle of every public CA is a tenth of this.
const MAX_CA_FILE: u64 = 4 << 20;

/// A client builder that trusts the system's roots and the certificates in `ca_file` (PEM, one or more).
///
/// # Errors
/// [`ErrorKind::Config`] when `ca_file` cannot be read or has no certificate.
#[expect(clippy::disallowed_methods, reason = "this is the one place that begins a client")]
pub(crate) fn client_builder(ca_file: Option<&Path>) -> Result<ClientBuilder> {
    install_provider();
    let builder = reqwest::Client::builder();
    let Some(path) = ca_file else { return Ok(builder) };
    let refused = |error: reqwest::Error| ca_error("read the certificates", path).caused_by(error);
    let certificates = reqwest::Certificate::from_pem_bundle(&ca_pem(path)?).map_err(refused)?;
    Ok(builder.tls_certs_merge(certificates))
}

/// Fits `builder` to the only target it connects to.
///
/// A loopback address is never reached through a proxy, whatever the environment says. Plain `http` loads no system
/// roots: a container without any would otherwise fail before the first request.
pub(crate) fn suited_to(builder: ClientBuilder, scheme: &str, host: Option<&str>) -> ClientBuilder {
    let builder = if host.is_some_and(is_loopback) { builder.no_proxy() } else { builder };
    if scheme == "http" { builder.tls_certs_only([]) } else { builder }
}

/// The bytes of a private CA file.
///
/// # Errors
/// [`ErrorKind::Config`] when it cannot be read or has no PEM certificate.
pub(crate) fn ca_pem(path: &Path) -> Result<Vec<u8>> {
    let pem = bounded::read(path, MAX_CA_FILE).map_err(|error| ca_error("read the CA file", path).caused_by(error))?;
    let marker = b"-----BEGIN CERTIFICATE-----";
    if pem.windows(marker.len()).any(|window| window == marker) {
        return Ok(pem);
    }
    Err(ca_error("find a PEM certificate in the CA file", path))
}

/// What a refused certificate needs, by the text of the TLS library; none for another text.
pub(crate) fn certificate_advice(text: &str) -> Option<&'static str> {
    const UNTRUSTED: &str = "the server's certificate is not trusted, `ca_file` can name its CA";
    const ADVICE: [(&str, &str); 6] = [
        (
            "CaUsedAsEndEntity",
            "the server presents a CA's certificate as its own, as `openssl req -x509` makes it by default: make one \
             with `-addext basicConstraints=critical,CA:FALSE`, which may be named as `ca_file` itself, or let a CA sign it",
        ),
        ("UnknownIssuer", UNTRUSTED),
        // A CA of the same name is trusted, and it is another one.
        ("BadSignature", UNTRUSTED),
        ("Expired", "the server's certificate has expired"),
        ("NotValidYet", "the server's certificate is not valid yet; look at the clocks"),
        ("NotValidForName", "the server's certificate is for another host; use the name that is in it"),
    ];
    ADVICE.iter().find(|(needle, _)| text.contains(needle)).map(|(_, advice)| *advice)
}

/// Makes ring the process's TLS provider, once. A provider that is already installed stays.
pub(crate) fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// Whether `host` (as in a URL, so IPv6 in brackets) is a loopback address.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn ca_error(what: &str, path: &Path) -> Error {
    Error::new(ErrorKind::Config, what).with("ca_file", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_recognised_in_every_spelling() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["example.com", "10.0.0.1", "[::2]", "localhost.example.com", "127.0.0.1.example.com"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_an_error_that_names_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "not a certificate").unwrap();
        let error = client_builder(Some(file.path())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.context("ca_file"), Some(file.path().to_str().unwrap()));
        assert_eq!(client_builder(Some(Path::new("/no/such/file"))).unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn a_refused_certificate_says_why() {
        let text = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer).to_string();
        assert!(certificate_advice(&text).unwrap().contains("ca_file"), "{text}");
        let text = "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))";
        assert!(certificate_advice(text).unwrap().contains("CA:FALSE"));
        assert_eq!(certificate_advice("connection refused"), None);
    }

    #[test]
    fn a_client_for_plain_http_needs_no_system_roots() {
        assert!(suited_to(client_builder(None).unwrap(), "http", Some("127.0.0.1")).build().is_ok());
    }
}
