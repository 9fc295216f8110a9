//! How the protocol goes over HTTP. Who may ask is decided before a request gets here.

use rmcp::transport::streamable_http_server::StreamableHttpServerConfig;

/// A body is not larger, in bytes.
const MAX_BODY: usize = 1 << 20;

/// The transport of `/mcp`: an answer is one JSON object, and no session is kept. Hosts and origins are those of the configuration in
/// force, which whoever serves checks.
#[must_use]
pub fn http_config() -> StreamableHttpServerConfig {
    StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_BODY)
        .disable_allowed_hosts()
        .disable_allowed_origins()
}
