//! Where telemetry goes: file keys, the `OTEL_EXPORTER_OTLP_*` variables and defaults brought together.
//!
//! Each key by itself is taken from the file, else from its variable, else from its default; then a key of one signal goes
//! before the key of all. The variables mean what the specification says
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>): `…_ENDPOINT` is a base, to which HTTP adds
//! `/v1/<signal>`, while `…_<SIGNAL>_ENDPOINT` is used as it is. Addresses in the file are bases all of them, because
//! people copy them from the manuals of backends (`http://loki:3100/otlp`); one that already ends in `/v1/<signal>` is
//! left alone.
//!
//! An address with a path cannot be gRPC, so unless a protocol is written right beside it, it means HTTP.

use std::collections::BTreeMap;

use reqwest::Url;

use super::env::Env;
use super::problems::Problems;
use super::raw::{RawEndpoint, RawHeader, RawOtlp};
use super::shape::LITERAL_SECRET;
use super::values::{http_url, optional_path, required};
use crate::model::config::{HeaderValue, OtlpConfig, SignalTarget};
use crate::model::percent::percent_decode;
use crate::model::secret::Secret;
use crate::model::signal::{Protocol, Signal};

const PATH: &str = "export.otlp";

/// Brings the three together; what is wrong is noted, and then the answer is of no use.
pub(super) fn build(raw: RawOtlp, env: &Env, problems: &mut Problems) -> OtlpConfig {
    if raw.signals.is_empty() {
        problems
            .add(&format!("{PATH}.signals"), "names no signal, so nothing would be sent: name traces, logs or metrics");
    }
    let mut endpoints = raw.endpoints;
    let mut own = [endpoints.traces.take(), endpoints.logs.take(), endpoints.metrics.take()];
    let protocol = raw.protocol.or_else(|| protocol_variable("OTEL_EXPORTER_OTLP_PROTOCOL", env, problems));
    let common = common_base(raw.endpoint, protocol, env, problems);
    let mut targets = BTreeMap::new();
    for (signal, own) in Signal::ALL.into_iter().zip(&mut own) {
        let target = match own.take() {
            Some(endpoint) => from_file(endpoint, signal, protocol, problems),
            None => from_variable(signal, protocol, env, problems)
                .or_else(|| common.as_ref().map(|base| base.target(signal))),
        };
        if let Some(target) = target.filter(|_| raw.signals.contains(&signal)) {
            targets.insert(signal, target);
        }
    }
    OtlpConfig {
        targets,
        headers: headers(raw.headers, env, problems),
        ca_file: optional_path(raw.tls.ca_file).or_else(|| optional_path(env.get("OTEL_EXPORTER_OTLP_CERTIFICATE"))),
    }
}

/// An address under which signals have their own.
struct Base {
    url: Url,
    protocol: Protocol,
    /// Nobody named it.
    is_default: bool,
}

impl Base {
    /// Settles the protocol.
    ///
    /// # Errors
    /// A message when gRPC was asked for at an address that has a path.
    fn new(url: Url, beside: Option<Protocol>, general: Option<Protocol>) -> Result<Self, String> {
        let has_path = url.path() != "/";
        if has_path && beside == Some(Protocol::Grpc) {
            return Err(
                "has a path, which gRPC does not know: drop the path, or set `protocol: http/protobuf`".to_owned()
            );
        }
        let guess = if has_path || url.port() == Some(4318) { Protocol::HttpProtobuf } else { Protocol::Grpc };
        let general = general.filter(|_| !has_path);
        Ok(Self { url, protocol: beside.or(general).unwrap_or(guess), is_default: false })
    }

    fn target(&self, signal: Signal) -> SignalTarget {
        let url = match self.protocol {
            Protocol::Grpc => self.url.origin().ascii_serialization(),
            Protocol::HttpProtobuf => with_signal_path(self.url.clone(), signal),
        };
        SignalTarget { url, protocol: self.protocol, is_default: self.is_default }
    }

    /// The same for an address that is used as it is.
    fn exact_target(self) -> SignalTarget {
        let url = match self.protocol {
            Protocol::Grpc => self.url.origin().ascii_serialization(),
            Protocol::HttpProtobuf => self.url.to_string(),
        };
        SignalTarget { url, protocol: self.protocol, is_default: self.is_default }
    }
}

fn with_signal_path(mut url: Url, signal: Signal) -> String {
    let suffix = format!("/v1/{signal}");
    let base = url.path().trim_end_matches('/');
    let path = if base.ends_with(&suffix) { base.to_owned() } else { format!("{base}{suffix}") };
    url.set_path(&path);
    url.to_string()
}

fn common_base(
    endpoint: Option<String>,
    protocol: Option<Protocol>,
    env: &Env,
    problems: &mut Problems,
) -> Option<Base> {
    const VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let base = |text: &str| {
        let url = http_url(text)?;
        match Signal::ALL.iter().find(|signal| url.path().trim_end_matches('/').ends_with(&format!("/v1/{signal}"))) {
            Some(signal) => {
                Err(format!("is the address of one signal: drop `/v1/{signal}`, which is added where needed"))
            }
            None => Base::new(url, protocol, None),
        }
    };
    if let Some(text) = endpoint {
        base(&text).map_err(|message| problems.add(&format!("{PATH}.endpoint"), message)).ok()
    } else if let Some(text) = env.get(VARIABLE) {
        base(&text).map_err(|message| problems.add_variable(VARIABLE, message)).ok()
    } else {
        let port = if protocol == Some(Protocol::HttpProtobuf) { 4318 } else { 4317 };
        base(&format!("http://127.0.0.1:{port}")).ok().map(|base| Base { is_default: true, ..base })
    }
}

fn from_file(
    endpoint: RawEndpoint,
    signal: Signal,
    general: Option<Protocol>,
    problems: &mut Problems,
) -> Option<SignalTarget> {
    let path = format!("{PATH}.endpoints.{signal}");
    let (url, beside, path) = match endpoint {
        RawEndpoint::Url(url) => (url, None, path),
        RawEndpoint::Target(target) => (
            required(target.url, &format!("{path}.url"), "url: http://HOST:PORT", problems)?,
            target.protocol,
            format!("{path}.url"),
        ),
    };
    let base = http_url(&url).and_then(|url| Base::new(url, beside, general));
    base.map(|base| base.target(signal)).map_err(|message| problems.add(&path, message)).ok()
}

fn from_variable(
    signal: Signal,
    general: Option<Protocol>,
    env: &Env,
    problems: &mut Problems,
) -> Option<SignalTarget> {
    let prefix = format!("OTEL_EXPORTER_OTLP_{}", signal.as_str().to_uppercase());
    let variable = format!("{prefix}_ENDPOINT");
    let text = env.get(&variable)?;
    let beside = protocol_variable(&format!("{prefix}_PROTOCOL"), env, problems);
    let base = http_url(&text).and_then(|url| Base::new(url, beside, general));
    base.map(Base::exact_target).map_err(|message| problems.add_variable(&variable, message)).ok()
}

fn protocol_variable(name: &str, env: &Env, problems: &mut Problems) -> Option<Protocol> {
    match env.get(name)?.trim() {
        "grpc" => Some(Protocol::Grpc),
        "http/protobuf" => Some(Protocol::HttpProtobuf),
        other => {
            problems.add_variable(name, format!("`{other}` is none of grpc, http/protobuf"));
            None
        }
    }
}

/// Headers of the file, and those of `OTEL_EXPORTER_OTLP_HEADERS` whose names the file does not give.
fn headers(raw: BTreeMap<String, RawHeader>, env: &Env, problems: &mut Problems) -> Vec<(String, HeaderValue)> {
    let mut headers: BTreeMap<String, HeaderValue> = variable_headers(env, problems);
    for (name, value) in raw {
        let path = format!("{PATH}.headers.{name}");
        match file_header(&name, value, &path, problems) {
            Some(value) => drop(headers.insert(name.to_lowercase(), value)),
            None => drop(headers.remove(&name.to_lowercase())),
        }
    }
    headers.into_iter().collect()
}

fn file_header(name: &str, value: RawHeader, path: &str, problems: &mut Problems) -> Option<HeaderValue> {
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        problems.add(path, "is not a header name: use letters, digits and hyphens");
        return None;
    }
    match value {
        RawHeader::Secret(reference) => Some(HeaderValue::Ref(reference)),
        RawHeader::Plain(_) if is_sensitive(name) => {
            problems.add(path, LITERAL_SECRET);
            None
        }
        RawHeader::Plain(text) if http::HeaderValue::from_str(&text).is_err() => {
            problems.add(path, "has a character that headers cannot carry");
            None
        }
        RawHeader::Plain(text) => Some(HeaderValue::Given(Secret::new(text))),
    }
}

/// Whether a header of this name most likely carries a credential.
fn is_sensitive(name: &str) -> bool {
    let name = name.to_lowercase().replace(['-', '_'], "");
    ["authorization", "token", "apikey", "secret", "password"].iter().any(|word| name.contains(word))
}

/// `name=value` pairs between commas, values percent-encoded, as W3C Baggage writes them.
fn variable_headers(env: &Env, problems: &mut Problems) -> BTreeMap<String, HeaderValue> {
    const VARIABLE: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    let text = env.get(VARIABLE).unwrap_or_default();
    let mut headers = BTreeMap::new();
    for (index, pair) in text.split(',').enumerate().filter(|(_, pair)| !pair.trim().is_empty()) {
        match variable_header(pair) {
            Some((name, value)) => drop(headers.insert(name, value)),
            None => problems.add_variable(
                VARIABLE,
                format!("entry {} is not `name=value` with a percent-encoded value", index + 1),
            ),
        }
    }
    headers
}

fn variable_header(pair: &str) -> Option<(String, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let name = http::HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    let value = percent_decode(value.trim())?;
    http::HeaderValue::from_str(&value).ok()?;
    Some((name.as_str().to_owned(), HeaderValue::Given(Secret::new(value))))
}

#[cfg(test)]
mod tests {
    use super::super::{SecretRef, parse_in};
    use super::*;

    fn otlp<const N: usize>(file: &str, variables: [(&str, &str); N]) -> Result<OtlpConfig, String> {
        let text = format!("export: {{otlp: {{{file}}}}}");
        parse_in(&text, "f.yaml", &[], &Env::fixed(variables))
            .map(|config| config.export.otlp)
            .map_err(|errors| errors.to_string())
    }

    /// The targets as `traces logs metrics`, each with a sign of its protocol.
    fn targets<const N: usize>(file: &str, variables: [(&str, &str); N]) -> Vec<String> {
        let otlp = otlp(file, variables).unwrap();
        let sign = |protocol| if protocol == Protocol::Grpc { "grpc" } else { "http" };
        otlp.targets.values().map(|target| format!("{} {}", sign(target.protocol), target.url)).collect()
    }

    #[test]
    fn by_default_everything_goes_to_a_local_collector() {
        assert_eq!(targets("", []), ["grpc http://127.0.0.1:4317"; 3]);
        assert_eq!(targets("protocol: http/protobuf, signals: [logs]", []), ["http http://127.0.0.1:4318/v1/logs"]);
    }

    #[test]
    fn a_key_beats_its_variable_and_the_variable_beats_the_default() {
        let variables =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://env:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
        assert_eq!(targets("signals: [traces]", variables), ["http https://env:4317/v1/traces"]);
        assert_eq!(
            targets("signals: [traces], endpoint: 'http://file:1', protocol: grpc", variables),
            ["grpc http://file:1"]
        );
    }

    #[test]
    fn the_address_of_one_signal_beats_the_common_one() {
        let got = targets(
            "endpoint: 'http://collector:4317', protocol: grpc, endpoints: {traces: 'http://tempo:4317', \
             logs: 'http://loki:3100/otlp', metrics: 'http://prometheus:9090/api/v1/otlp/'}",
            [("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://elsewhere:1/x")],
        );
        assert_eq!(
            got,
            [
                "grpc http://tempo:4317",
                "http http://loki:3100/otlp/v1/logs",
                "http http://prometheus:9090/api/v1/otlp/v1/metrics"
            ]
        );
    }

    #[test]
    fn a_signals_variable_is_used_as_it_is() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://tempo:4318/custom"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://loki:4317"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://mimir:1"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
        ];
        let want = ["http http://tempo:4318/custom", "grpc http://loki:4317", "http http://mimir:1/"];
        assert_eq!(targets("endpoint: 'http://file:1'", variables), want);
    }

    #[test]
    fn a_path_or_the_http_port_means_http_and_a_full_address_is_left_alone() {
        let one = |file: &str| targets(&format!("signals: [logs], {file}"), []).remove(0);
        assert_eq!(one("endpoint: 'https://gateway/otlp'"), "http https://gateway/otlp/v1/logs");
        assert_eq!(one("endpoint: 'http://c:4318'"), "http http://c:4318/v1/logs");
        assert_eq!(one("endpoint: 'http://c:4318', protocol: grpc"), "grpc http://c:4318");
        assert_eq!(one("endpoints: {logs: 'http://c:4318/v1/logs'}"), "http http://c:4318/v1/logs");
        assert_eq!(one("endpoints: {logs: {url: 'http://c:1', protocol: http/protobuf}}"), "http http://c:1/v1/logs");
    }

    #[test]
    fn headers_of_file_and_environment_are_brought_together() {
        let got = otlp(
            "headers: {X-Scope-OrgID: file, Authorization: {env: AUTH}}",
            [("OTEL_EXPORTER_OTLP_HEADERS", "x-scope-orgid=env, api-key=a%20b%3D,")],
        );
        let got = got.unwrap();
        let value = |name: &str| got.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        assert_eq!(got.headers.len(), 3);
        assert_eq!(value("x-scope-orgid"), Some(HeaderValue::Given(Secret::new("file"))));
        assert_eq!(value("api-key"), Some(HeaderValue::Given(Secret::new("a b="))));
        assert_eq!(value("authorization"), Some(HeaderValue::Ref(SecretRef::Env("AUTH".into()))));
        assert!(!format!("{got:?}").contains("a b="));
    }

    #[test]
    fn the_certificate_comes_from_file_or_environment() {
        let variables = [("OTEL_EXPORTER_OTLP_CERTIFICATE", "/env.pem")];
        let ca = |file| otlp(file, variables).unwrap().ca_file.unwrap();
        assert_eq!(ca("").to_str(), Some("/env.pem"));
        assert_eq!(ca("tls: {ca_file: /file.pem}").to_str(), Some("/file.pem"));
    }

    #[test]
    fn wrong_variables_are_named() {
        let error = otlp(
            "",
            [
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:hunter2@tempo"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,hunter2"),
            ],
        );
        insta::assert_snapshot!(error.unwrap_err(), @r"
environment variable OTEL_EXPORTER_OTLP_PROTOCOL: `http/json` is none of grpc, http/protobuf
environment variable OTEL_EXPORTER_OTLP_ENDPOINT: does not start with http:// or https://: write it like https://host:port/path
environment variable OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: has a user or password in it: take it out, since secrets stay out of the file
environment variable OTEL_EXPORTER_OTLP_HEADERS: entry 2 is not `name=value` with a percent-encoded value
");
    }

    #[test]
    fn wrong_keys_are_named() {
        let error = otlp(
            "endpoint: 'http://c:4318/v1/traces', signals: [], headers: {X-Api-Key: hunter2, 'a b': c, d: \"e\\nf\"}, \
             endpoints: {traces: {protocol: grpc}, logs: {url: 'http://loki:3100/otlp', protocol: grpc}, metrics: 'x y'}",
            [],
        );
        insta::assert_snapshot!(error.unwrap_err(), @r"
f.yaml:1: export.otlp.signals: names no signal, so nothing would be sent: name traces, logs or metrics
f.yaml:1: export.otlp.endpoint: is the address of one signal: drop `/v1/traces`, which is added where needed
f.yaml:1: export.otlp.endpoints.traces.url: is missing: add `url: http://HOST:PORT`
f.yaml:1: export.otlp.endpoints.logs.url: has a path, which gRPC does not know: drop the path, or set `protocol: http/protobuf`
f.yaml:1: export.otlp.endpoints.metrics: is not an address (relative URL without a base): write it like https://host:port/path
f.yaml:1: export.otlp.headers.X-Api-Key: is a literal secret, and a configuration file gets copied and committed: write {env: NAME} or {file: PATH} instead
f.yaml:1: export.otlp.headers.a b: is not a header name: use letters, digits and hyphens
f.yaml:1: export.otlp.headers.d: has a character that headers cannot carry
");
    }
}
