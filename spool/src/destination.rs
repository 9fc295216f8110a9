//! Where a lane's telemetry goes, and which lane that is. Pure.

use std::collections::BTreeMap;
use std::fmt;

use contextcore_model::percent::percent_decode;
use serde::{Deserialize, Serialize};

use crate::digest;

/// The name of the lane whose telemetry goes nowhere yet.
pub const NOWHERE: &str = "none";
/// The name of the lane into which a service puts what it receives from those who bring a token. No SDK writes there, and no helper
/// drains it.
pub const RECEIVED: &str = "received";

/// How a destination is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// OTLP over gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP over HTTP.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// The operations themselves, posted to `/v1/ops`.
    #[serde(rename = "ops")]
    Ops,
}

impl Transport {
    /// The OTLP protocol that a person or a variable names.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Grpc, Self::HttpProtobuf].into_iter().find(|known| known.as_str() == name.trim())
    }

    /// The word in files and in the lane's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
            Self::Ops => "ops",
        }
    }
}

/// Headers of every request, by name in lower case. The values may be secret and are never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub BTreeMap<String, String>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Headers {
    /// Those of a variable such as `OTEL_EXPORTER_OTLP_HEADERS`: `name=value` between commas, values percent-encoded. Pairs
    /// that cannot be read are left out.
    pub fn parse(text: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            Some((name.trim().to_lowercase(), percent_decode(value.trim())?)).filter(|(name, _)| !name.is_empty())
        };
        Self(text.split(',').filter_map(pair).collect())
    }

    /// The id of the credential that they hold; empty without any.
    fn credential(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let pairs = self.0.iter().flat_map(|(name, value)| [name.as_str(), value.trim()]);
        digest(std::iter::once("contextcore-credential-v1").chain(pairs))
    }
}

/// Where a lane goes, as `lane.json` holds it: without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The version of the file, 1.
    v: u32,
    /// The address.
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: Transport,
    /// Whether requests need headers, which are in no file.
    pub credentials: bool,
}

impl Destination {
    /// The destination of an address: `http://…` or `https://…` for OTLP, `http+ops://…` or `https+ops://…` for `/v1/ops`.
    /// `protocol` is what the caller asked for, `general` what `OTEL_EXPORTER_OTLP_PROTOCOL` says.
    ///
    /// # Errors
    /// A message when it is no such address.
    pub fn new(
        endpoint: &str,
        protocol: Option<Transport>,
        general: Option<Transport>,
        headers: &Headers,
    ) -> Result<Self, String> {
        let address = Address::parse(endpoint)?;
        let guess = if address.port == Some("4318") { Transport::HttpProtobuf } else { Transport::Grpc };
        let protocol = match protocol {
            _ if address.scheme.ends_with("+ops") => Transport::Ops,
            Some(Transport::Grpc) if address.has_path() => {
                return Err(format!("`{endpoint}` has a path, which gRPC does not know"));
            }
            Some(asked) => asked,
            None if address.has_path() => Transport::HttpProtobuf,
            None => general.unwrap_or(guess),
        };
        let (endpoint, credentials) = (address.text(), !headers.0.is_empty());
        Ok(Self { v: 1, endpoint, protocol, credentials })
    }

    /// The name of its lane.
    pub fn lane(&self, headers: &Headers) -> String {
        let credential = headers.credential();
        let mut name = digest(["contextcore-lane-v1", &self.endpoint, self.protocol.as_str(), &credential]);
        name.truncate(16);
        name
    }
}

/// The parts of an address.
struct Address<'a> {
    scheme: String,
    host: String,
    port: Option<&'a str>,
    path: &'a str,
}

impl<'a> Address<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("{why}: write it like http://host:4317"));
        let Some((scheme, rest)) = text.trim().split_once("://") else {
            return wrong("the endpoint has no scheme");
        };
        let scheme = scheme.to_lowercase();
        if !["http", "https", "http+ops", "https+ops"].contains(&scheme.as_str()) {
            return wrong("the endpoint's scheme is none of http, https, http+ops, https+ops");
        }
        if rest.contains(['?', '#']) {
            return wrong("the endpoint has a query or fragment");
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |place| rest.split_at(place));
        if authority.contains('@') {
            return wrong("the endpoint has a user in it, and credentials belong in headers");
        }
        let port_from = authority.rfind(':').filter(|place| !authority[*place..].contains(']'));
        let (host, port) = port_from.map_or((authority, None), |at| (&authority[..at], Some(&authority[at + 1..])));
        if host.is_empty() {
            return wrong("the endpoint has no host");
        }
        Ok(Self { scheme, host: host.to_lowercase(), port, path: path.trim_end_matches('/') })
    }

    fn has_path(&self) -> bool {
        !self.path.is_empty()
    }

    fn text(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}{}", self.scheme, self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(endpoint: &str, headers: &str) -> String {
        let headers = Headers::parse(headers);
        Destination::new(endpoint, None, None, &headers).unwrap().lane(&headers)
    }

    /// Other languages compute the same: the values are in docs/SPOOL.md.
    #[test]
    fn the_names_of_lanes_do_not_change() {
        assert_eq!(lane("http://tempo:4317", ""), "8c31d648c98918c8");
        assert_eq!(lane(" HTTP://Tempo:4317/ ", ""), "8c31d648c98918c8");
        let headers = "X-Scope-OrgID=team%20a, authorization=Bearer s3cret";
        let credential = Headers::parse(headers).credential();
        assert_eq!(credential, "9b04faf38fd75a4b5cf0e9157db72f5787e26d38f8bd420ecccf13ec8b5a57e7");
        assert_eq!(lane("https://gw.example/otlp", headers), "b24306a6dac7b250");
    }

    #[test]
    fn the_protocol_follows_from_the_address_unless_it_is_given() {
        let protocol = |endpoint: &str, asked, general| {
            Destination::new(endpoint, asked, general, &Headers::default()).map(|to| to.protocol)
        };
        assert_eq!(protocol("http://c:4317", None, None), Ok(Transport::Grpc));
        assert_eq!(protocol("http://c:4318", None, None), Ok(Transport::HttpProtobuf));
        assert_eq!(protocol("http://[::1]:4318", None, None), Ok(Transport::HttpProtobuf));
        assert_eq!(protocol("http://c:4317", None, Some(Transport::HttpProtobuf)), Ok(Transport::HttpProtobuf));
        assert_eq!(protocol("http://c/otlp", None, Some(Transport::Grpc)), Ok(Transport::HttpProtobuf));
        assert_eq!(protocol("https+ops://c/v1/ops", None, None), Ok(Transport::Ops));
        assert!(protocol("http://c/otlp", Some(Transport::Grpc), None).is_err());
        for wrong in ["c:4317", "ftp://c", "http://user:pass@c", "http://c?token=x", "http://"] {
            let message = protocol(wrong, None, None).unwrap_err();
            assert!(!message.contains("pass") && !message.contains("token"), "{message}");
        }
    }
}
