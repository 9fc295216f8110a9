//! What a helper gets of the environment of the process that starts it: the command line and the SDK for Rust pass the same on.

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

#[cfg(test)]
mod tests {
    use super::is_passed_on;

    #[test]
    fn a_helper_gets_no_secrets_of_its_caller() {
        assert!(
            is_passed_on("PATH") && is_passed_on("OTEL_EXPORTER_OTLP_ENDPOINT") && is_passed_on("CONTEXTCORE_PROJECT")
        );
        assert!(!is_passed_on("JIRA_TOKEN") && !is_passed_on("PATHS") && !is_passed_on("MY_OTEL_TOKEN"));
    }
}
