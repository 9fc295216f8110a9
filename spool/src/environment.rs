//! What a helper gets of the environment of the process that starts it: the command line and the SDK for Rust pass the same on.
//! A helper works in another directory, so files are passed on by their whole paths.

use std::path::Path;

const NAMES: [&str; 14] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "LANG",
    "XDG_STATE_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
const PREFIXES: [&str; 2] = ["OTEL_", "CONTEXTCORE_"];

/// Whether a helper gets this variable.
#[must_use]
pub fn is_passed_on(name: &str) -> bool {
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Variables whose values are paths.
const PATHS: [&str; 7] = [
    "CONTEXTCORE_CONFIG",
    "CONTEXTCORE_STATE_DIR",
    "CONTEXTCORE_BIN",
    "HOME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// How the names of those begin and end that OpenTelemetry has for all signals, and for each.
const OTLP: &str = "OTEL_EXPORTER_OTLP_";
const OTLP_FILES: [&str; 3] = ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"];

fn is_path(name: &str) -> bool {
    let of_signal = |rest: &str| {
        let file = ["TRACES_", "LOGS_", "METRICS_"].iter().find_map(|signal| rest.strip_prefix(signal)).unwrap_or(rest);
        OTLP_FILES.contains(&file)
    };
    PATHS.contains(&name) || name.strip_prefix(OTLP).is_some_and(of_signal)
}

/// A variable as a helper gets it from a process that works in the directory `at`; `None` for one that it does not get.
#[must_use]
pub fn passed_on(name: &str, value: &str, at: &Path) -> Option<String> {
    if !is_passed_on(name) {
        return None;
    }
    let is_relative = !value.is_empty() && Path::new(value).is_relative();
    match name {
        // The specification of these directories says that a relative one is not used.
        "XDG_STATE_HOME" if is_relative => None,
        // A list of directories stays as it is.
        "SSL_CERT_DIR" if value.contains(':') => Some(value.to_owned()),
        _ if is_path(name) && is_relative => Some(at.join(value.trim()).to_str()?.to_owned()),
        _ => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{is_passed_on, passed_on};

    #[test]
    fn a_helper_finds_the_files_of_its_caller() {
        let given = |name: &str, value: &str| passed_on(name, value, Path::new("/home/ada"));
        for name in ["CONTEXTCORE_CONFIG", "CONTEXTCORE_STATE_DIR", "OTEL_EXPORTER_OTLP_CERTIFICATE"] {
            assert_eq!(given(name, "a/b").as_deref(), Some("/home/ada/a/b"), "{name}");
            assert_eq!(given(name, "/a/b").as_deref(), Some("/a/b"), "{name}");
            assert_eq!(given(name, "").as_deref(), Some(""), "{name}");
        }
        for name in ["OTEL_EXPORTER_OTLP_CLIENT_KEY", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "SSL_CERT_FILE"] {
            assert_eq!(given(name, "./a").as_deref(), Some("/home/ada/./a"), "{name}");
        }
        assert_eq!(given("XDG_STATE_HOME", "state"), None);
        assert_eq!(given("XDG_STATE_HOME", "/state").as_deref(), Some("/state"));
        assert_eq!(given("OTEL_EXPORTER_OTLP_ENDPOINT", "tempo:4317").as_deref(), Some("tempo:4317"));
        assert_eq!(given("JIRA_TOKEN", "a"), None);
    }

    #[test]
    fn a_helper_gets_no_secrets_of_its_caller() {
        assert!(
            is_passed_on("PATH") && is_passed_on("OTEL_EXPORTER_OTLP_ENDPOINT") && is_passed_on("CONTEXTCORE_PROJECT")
        );
        assert!(!is_passed_on("JIRA_TOKEN") && !is_passed_on("PATHS") && !is_passed_on("MY_OTEL_TOKEN"));
    }
}
