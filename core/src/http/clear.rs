//! Addresses of a configuration that are spoken to in the clear.

use std::collections::BTreeSet;

use reqwest::Url;

use super::tls;
use crate::config::Config;

/// A line for each `http://` address on another host: whoever is on the way can read what is sent there, tokens included.
pub fn in_the_clear(config: &Config) -> BTreeSet<String> {
    let sources = config.sources.iter().map(|source| (format!("source {}", source.name), &source.url));
    let backends = config.export.otlp.targets.values().map(|target| ("export.otlp".to_owned(), &target.url));
    sources.chain(backends).filter_map(|(what, url)| address_in_the_clear(&what, url)).collect()
}

/// The same for one address, of the setting or flag `what`.
pub fn address_in_the_clear(what: &str, url: &str) -> Option<String> {
    let host = remote_http(url)?;
    Some(format!(
        "{what}: http://{host} is not encrypted: tokens and data can be read on the way; use https if the server can"
    ))
}

/// The host of an `http://` address, unless it is this machine.
fn remote_http(url: &str) -> Option<String> {
    // `http+ops://` is the address of a service that takes reports.
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "http+ops"))?;
    url.host_str().filter(|host| !tls::is_loopback(host)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_to_another_host_is_in_the_clear() {
        assert_eq!(remote_http("http://tempo:4317").as_deref(), Some("tempo"));
        assert_eq!(remote_http("http://10.0.0.7/jira").as_deref(), Some("10.0.0.7"));
        assert_eq!(remote_http("http+ops://contextcore:8080").as_deref(), Some("contextcore"));
        for safe in ["https://tempo:4317", "http://127.0.0.1:4317", "http://localhost:1", "http://[::1]:9", "", "x"] {
            assert_eq!(remote_http(safe), None, "{safe}");
        }
    }
}
