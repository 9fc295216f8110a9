//! What the SDK takes from outside: the clock and the variables of the environment.

use std::path::Path;
use std::time::SystemTime;

use contextcore_model::{Millis, project_file};
use contextcore_spool::{Destination, Headers, Transport};

use crate::value::millis;

/// Whether and how operations are written and sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Written, and sent by a helper.
    #[default]
    Online,
    /// Written; nothing is started.
    Offline,
    /// Nothing at all.
    Disabled,
}

/// A variable; an empty one counts as absent.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// The project that the nearest file names, from the working directory upwards. A file that cannot be read names none.
pub(crate) fn named_project() -> Option<String> {
    named_above(&std::env::current_dir().ok()?)
}

fn named_above(directory: &Path) -> Option<String> {
    let nearest = directory.ancestors().map(|above| above.join(project_file::PLACE)).find(|path| path.exists())?;
    project_file::name(&std::fs::read_to_string(nearest).ok()?).map(str::to_owned)
}

/// The current time.
#[expect(clippy::disallowed_methods, reason = "programs that use the SDK have no clock of ours")]
pub(crate) fn now() -> Millis {
    millis(SystemTime::now())
}

/// The mode that was asked for, else that of the environment.
pub(crate) fn mode(given: Option<Mode>) -> Mode {
    let is = |name: &str, value: &str| variable(name).is_some_and(|found| found.trim().eq_ignore_ascii_case(value));
    match given {
        Some(mode) => mode,
        None if is("CONTEXTCORE_MODE", "offline") => Mode::Offline,
        None if is("CONTEXTCORE_MODE", "disabled") || is("OTEL_SDK_DISABLED", "true") => Mode::Disabled,
        None => Mode::Online,
    }
}

/// Where operations go, with the headers of requests.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) to: Destination,
    pub(crate) headers: Headers,
    /// Some header came from the caller, so that a helper cannot know it from the environment.
    pub(crate) given: bool,
}

/// The destination that the caller or the environment names; `None` if neither does. `variable` reads a variable.
///
/// # Errors
/// A message when it is no address.
pub(crate) fn target(
    endpoint: Option<&str>,
    protocol: Option<Transport>,
    own: &Headers,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Target>, String> {
    let given = |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let named = endpoint.map(str::to_owned).or_else(|| given("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let of_traces = || {
        let text = given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")?;
        Some(text.trim_end_matches('/').trim_end_matches("/v1/traces").to_owned())
    };
    let is_of_traces = named.is_none();
    let Some(endpoint) = named.or_else(of_traces) else { return Ok(None) };
    let (mut headers, mut general) = (
        Headers::parse(&given("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default()),
        given("OTEL_EXPORTER_OTLP_PROTOCOL"),
    );
    if is_of_traces {
        headers.0.extend(Headers::parse(&given("OTEL_EXPORTER_OTLP_TRACES_HEADERS").unwrap_or_default()).0);
        general = given("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or(general);
    }
    headers.0.extend(own.0.clone());
    let general = match general.as_deref() {
        Some("grpc") => Some(Transport::Grpc),
        Some("http/protobuf") => Some(Transport::HttpProtobuf),
        _ => None,
    };
    // An address with a path is never gRPC, whatever was asked for.
    let to = Destination::new(&endpoint, protocol, general, &headers)
        .or_else(|_| Destination::new(&endpoint, None, general, &headers))?;
    Ok(Some(Target { to, headers, given: !own.0.is_empty() }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[test]
    fn the_nearest_file_names_the_project() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir(dir.path().join(".contextcore")).unwrap();
        std::fs::write(dir.path().join(".contextcore/project"), "# ours\n\n commerce platform \nother\n").unwrap();
        assert_eq!(named_above(&deep).as_deref(), Some("commerce platform"));
        std::fs::create_dir(dir.path().join("a/.contextcore")).unwrap();
        std::fs::write(dir.path().join("a/.contextcore/project"), "nearer").unwrap();
        assert_eq!(named_above(&deep).as_deref(), Some("nearer"));
    }

    #[derive(Deserialize)]
    struct Facts {
        lanes: Vec<Fact>,
    }

    #[derive(Deserialize)]
    struct Fact {
        endpoint: Option<String>,
        protocol: Option<Transport>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        environment: BTreeMap<String, String>,
        gives: Option<serde_json::Value>,
    }

    /// As the other languages find them: `sdk/conformance`.
    #[test]
    fn lanes_follow_from_arguments_and_environment() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/identity.json");
        let facts: Facts = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for fact in facts.lanes {
            let own = fact.headers.iter().map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()));
            let variable = |name: &str| fact.environment.get(name).cloned();
            let found = target(fact.endpoint.as_deref(), fact.protocol, &Headers(own.collect()), variable);
            // An endpoint that cannot be used is an error here, and none in languages whose calls do not fail.
            let given = found.ok().flatten().map(|Target { to, headers, .. }| {
                serde_json::json!({"endpoint": to.endpoint, "protocol": to.protocol, "lane": to.lane(&headers)})
            });
            assert_eq!(given, fact.gives, "{:?} {:?}", fact.endpoint, fact.environment);
        }
    }
}
