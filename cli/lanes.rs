//! Where reported work goes: the state directory, the lane, and the helper that drains it.

use std::path::Path;

use contextcore_spool::{Destination, Headers, LaneDir, StateDir, Transport};

use crate::failure::{Exit, Failure};

/// A variable of the environment; an empty one counts as absent.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// The state directory: this one, or the first that can be written.
pub(crate) fn state_dir(given: Option<&Path>) -> Result<StateDir, Failure> {
    let opened = match given {
        Some(path) => std::path::absolute(path).and_then(StateDir::open),
        None => StateDir::find(variable),
    };
    opened.map_err(|error| {
        let text = format!("there is no state directory that can be written: {error}; name one with --state DIR");
        Failure::new(Exit::Internal, text)
    })
}

/// The state directory as it is, to read it: makes nothing. Where there is none, it holds nothing.
pub(crate) fn state_dir_to_read(given: Option<&Path>) -> StateDir {
    let found = || StateDir::find(variable).unwrap_or_else(|_| StateDir::at("/nonexistent"));
    given.map_or_else(found, |path| StateDir::at(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())))
}

/// The headers that the environment gives every OTLP request.
pub(crate) fn headers() -> Headers {
    Headers::parse(&variable("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default())
}

/// A protocol by its name.
fn transport(name: Option<String>) -> Option<Transport> {
    match name?.trim() {
        "grpc" => Some(Transport::Grpc),
        "http/protobuf" => Some(Transport::HttpProtobuf),
        _ => None,
    }
}

/// The destination of an address.
pub(crate) fn destination(endpoint: &str, protocol: Option<&str>, headers: &Headers) -> Result<Destination, Failure> {
    let general = transport(variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    let asked = transport(protocol.map(str::to_owned));
    Destination::new(endpoint, asked, general, headers).map_err(Failure::usage)
}

/// The lane that a project's work goes to: that of the address, else of the environment, else the project's only one, else the one
/// that goes nowhere yet.
pub(crate) fn lane(
    state: &StateDir,
    project: &str,
    endpoint: Option<&str>,
    protocol: Option<&str>,
) -> Result<LaneDir, Failure> {
    let failed = |error| Failure::new(Exit::Internal, format!("make a lane in {}: {error}", state.path().display()));
    let (endpoint, headers) = match endpoint.map(str::to_owned).or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT")) {
        Some(endpoint) => (Some(endpoint), headers()),
        None => of_traces(),
    };
    match endpoint {
        Some(endpoint) => {
            let to = destination(&endpoint, protocol, &headers)?;
            state.lane_to(Some((&to, &headers))).map_err(failed)
        }
        None => match state.only_lane_of(project).map_err(failed)? {
            Some(lane) => Ok(lane),
            None => state.lane_to(None).map_err(failed),
        },
    }
}

/// The address that the environment gives for traces alone, and its headers.
fn of_traces() -> (Option<String>, Headers) {
    let endpoint = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let endpoint = endpoint.map(|text| text.trim_end_matches('/').trim_end_matches("/v1/traces").to_owned());
    let mut all = headers();
    all.0.extend(Headers::parse(&variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS").unwrap_or_default()).0);
    (endpoint, all)
}
