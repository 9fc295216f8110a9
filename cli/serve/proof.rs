//! Proving what a request brings, away from the thread that answers `/healthz`.

use axum::http::StatusCode;
use contextcore_core::config::{Config, Resolve as _};

/// Why a request is not answered.
pub(super) type Refusal = (StatusCode, &'static str);

/// Proves what a request brings on a thread that may wait: secrets are files, and this thread answers `/healthz`.
pub(super) async fn prove<T: Send + 'static>(
    proof: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let failed = (StatusCode::INTERNAL_SERVER_ERROR, "this request could not be proven");
    tokio::task::spawn_blocking(proof).await.unwrap_or(Err(failed))
}

/// Says which tokens cannot be read: until they can, whoever brings them is turned away.
pub(super) fn warn_of_unreadable(config: &Config) {
    unreadable(config).iter().for_each(|warning| tracing::warn!("{warning}"));
}

fn unreadable(config: &Config) -> Vec<String> {
    let ops = config.ops.iter().flat_map(|ops| &ops.tokens).map(|token| ("ops", &token.name, &token.token));
    let mcp = config.mcp.iter().flat_map(|mcp| &mcp.tokens).map(|token| ("mcp", &token.name, &token.token));
    let unread = ops.chain(mcp).filter_map(|(place, name, token)| {
        let why = token.resolve().err()?.full();
        Some(format!("the token `{name}` of `{place}` cannot be read, so whoever brings it is refused: {why}"))
    });
    unread.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_cannot_be_read_is_named() {
        let text = "ops: {tokens: [{name: laptop, token: {env: CONTEXTCORE_NO_SUCH_TOKEN}, projects: ['*']}]}\n\
                    mcp: {enabled: true, tokens: [{name: ci, token: {file: /nowhere/token}, projects: [shop], agent: bot}]}";
        let config = contextcore_core::config::parse(text, "x.yaml", &crate::app::kinds()).unwrap();
        let warnings = unreadable(&config);
        let names = |part: &str, why: &str| warnings.iter().any(|line| line.contains(part) && line.contains(why));
        assert!(names("`laptop` of `ops`", "CONTEXTCORE_NO_SUCH_TOKEN"), "{warnings:?}");
        assert!(names("`ci` of `mcp`", "/nowhere/token"), "{warnings:?}");
    }
}
