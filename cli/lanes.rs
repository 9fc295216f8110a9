//! Where reported work goes: the state directory, the lane, and the helper that drains it.

use std::path::Path;
use std::time::Duration;

use contextcore_spool::{Headers, LaneDir, StateDir, Target, Transport};

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

/// The headers with which this process can send: none, and those of the environment.
pub(crate) fn headers() -> Vec<Headers> {
    contextcore_spool::header_sets(variable)
}

/// The destination of an address, with the headers of the environment.
pub(crate) fn target(endpoint: &str) -> Result<Target, Failure> {
    let found = Target::find(Some(endpoint), None, &Headers::default(), variable).map_err(Failure::usage)?;
    found.ok_or_else(|| Failure::usage("the endpoint is empty"))
}

/// The lane that a project's work goes to: that of the address, else of the environment, else the project's only one, else the one
/// that goes nowhere yet.
pub(crate) fn lane(
    state: &StateDir,
    project: &str,
    endpoint: Option<&str>,
    protocol: Option<&str>,
) -> Result<LaneDir, Failure> {
    lane_with(state, project, (endpoint, protocol), variable)
}

fn lane_with(
    state: &StateDir,
    project: &str,
    (endpoint, protocol): (Option<&str>, Option<&str>),
    variable: impl Fn(&str) -> Option<String>,
) -> Result<LaneDir, Failure> {
    let failed = |error| Failure::new(Exit::Internal, format!("make a lane in {}: {error}", state.path().display()));
    let asked = protocol.and_then(Transport::named);
    if let Some(Target { to, headers }) =
        Target::find(endpoint, asked, &Headers::default(), variable).map_err(Failure::usage)?
    {
        return state.lane_to(Some((&to, &headers))).map_err(failed);
    }
    match state.only_lane_of(project).map_err(failed)? {
        Some(lane) => Ok(lane),
        None => state.lane_to(None).map_err(failed),
    }
}

/// Gives a helper that drains a lane already the headers for it, which it may lack. What it says does not matter here: a helper that has
/// them, or nobody who listens, is no failure.
pub(crate) fn deliver(lane: &LaneDir) {
    let Ok(Some(to)) = lane.destination() else { return };
    let Some(headers) = headers().into_iter().skip(1).find(|headers| to.lane(headers) == lane.name()) else { return };
    if to.credentials
        && let Err(error) = lane.deliver(&headers, PATIENCE)
    {
        tracing::debug!(lane = lane.name(), %error, "could not give the helper its headers");
    }
}

/// How long a helper may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    /// As the SDKs find them: `sdk/conformance`. A shell has no headers of its own.
    #[test]
    fn a_shell_finds_the_lanes_of_the_sdks() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/conformance/identity.json");
        let facts: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut seen = 0;
        for fact in facts["lanes"].as_array().unwrap().iter().filter(|fact| fact["headers"].is_null()) {
            let dir = tempfile::tempdir().unwrap();
            let state = StateDir::open(dir.path()).unwrap();
            let variable = |name: &str| fact["environment"][name].as_str().map(str::to_owned);
            let asked = (fact["endpoint"].as_str(), fact["protocol"].as_str());
            let found = lane_with(&state, "p", asked, variable);
            // What cannot be used is an error in a shell.
            let Ok(lane) = found else {
                assert!(fact["gives"].is_null() || asked.1 == Some("grpc"), "{fact}");
                continue;
            };
            assert_eq!(lane.name(), fact["gives"]["lane"].as_str().unwrap_or("none"), "{fact}");
            let to = lane.destination().unwrap().map(|to| (to.endpoint, to.protocol.as_str().to_owned()));
            let text = |name: &str| fact["gives"][name].as_str().map(str::to_owned);
            assert_eq!(to, text("endpoint").zip(text("protocol")), "{fact}");
            seen += 1;
        }
        assert!(seen > 10);
    }
}
