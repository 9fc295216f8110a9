//! Where log records of a lane go: to the lane's backend, unless the environment that names it names another for them
//! (`OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`).

use contextcore_core::config::{Protocol, SignalTarget};
use contextcore_spool::{Destination, Headers, Target, Transport};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";

/// The backend for log records, if it is not that of the lane. `variable` reads a variable.
///
/// # Errors
/// Why the one that is named is not used: a warning.
pub(super) fn target(
    lane: (&Destination, &Headers),
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<SignalTarget>, String> {
    let (to, headers) = lane;
    let Some(named) = variable(ENDPOINT) else { return Ok(None) };
    // Another lane may be drained with the same environment, which says nothing of that one.
    let of_environment = Target::find(None, None, &Headers::default(), &variable)?;
    if of_environment.is_none_or(|target| target.to.endpoint != to.endpoint) {
        return Ok(None);
    }
    let protocol = |name: &str| variable(name).and_then(|name| Transport::named(&name));
    let (own, general) = (protocol("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL"), protocol("OTEL_EXPORTER_OTLP_PROTOCOL"));
    let logs = Destination::new(&named, own, general, headers).map_err(|error| format!("{ENDPOINT}: {error}"))?;
    if !headers.0.is_empty() && origin(&logs.endpoint) != origin(&to.endpoint) {
        return Err(format!(
            "{ENDPOINT} is not used: the headers of {} would go to {}; log records go to {0}",
            to.endpoint, logs.endpoint
        ));
    }
    let protocol = match logs.protocol {
        Transport::Grpc => Protocol::Grpc,
        Transport::HttpProtobuf => Protocol::HttpProtobuf,
        Transport::Ops => return Err(format!("{ENDPOINT} is not used: log records go to no /v1/ops")),
    };
    let url = if protocol == Protocol::Grpc { origin(&logs.endpoint).to_owned() } else { logs.endpoint };
    Ok(Some(SignalTarget { url, protocol, is_default: false }))
}

/// Scheme, host and port of an address.
pub(super) fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[host..].find('/').map_or(url.len(), |path| host + path);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], headers: &Headers) -> Result<Option<(String, Protocol)>, String> {
        let to = Destination::new("http://tempo:4318", None, None, headers).unwrap();
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        target((&to, headers), variable).map(|target| target.map(|target| (target.url, target.protocol)))
    }

    #[test]
    fn log_records_go_where_the_environment_says() {
        let tempo = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://tempo:4318/v1/traces");
        let loki = |url| (ENDPOINT, url);
        let none = Headers::default();
        let http = |url: &str| Ok(Some((url.to_owned(), Protocol::HttpProtobuf)));
        let url = "http://loki:3100/otlp/v1/logs";
        assert_eq!(found(&[tempo, loki(url)], &none), http(url));
        let grpc = Ok(Some(("http://loki:4317".to_owned(), Protocol::Grpc)));
        assert_eq!(found(&[tempo, loki("http://loki:4317")], &none), grpc);
        assert_eq!(found(&[tempo], &none), Ok(None));
        let other = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:4318");
        assert_eq!(found(&[other, loki(url)], &none), Ok(None), "it is not the environment of this lane");
    }

    #[test]
    fn headers_go_to_no_other_backend() {
        let variables =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://tempo:4318"), (ENDPOINT, "http://loki:3100/otlp/v1/logs")];
        let headers = Headers([("authorization".to_owned(), "s3cret".to_owned())].into());
        let error = found(&variables, &headers).unwrap_err();
        assert!(error.contains("is not used") && !error.contains("s3cret"), "{error}");
        let same = [variables[0], (ENDPOINT, "http://tempo:4318/logs")];
        assert_eq!(found(&same, &headers).unwrap().unwrap().0, "http://tempo:4318/logs");
    }
}
