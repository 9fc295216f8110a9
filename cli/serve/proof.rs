//! Proving what a request brings, away from the thread that answers `/healthz`.

use axum::http::StatusCode;

/// Why a request is not answered.
pub(super) type Refusal = (StatusCode, &'static str);

/// Proves what a request brings on a thread that may wait: secrets are files, and this thread answers `/healthz`.
pub(super) async fn prove<T: Send + 'static>(
    proof: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let failed = (StatusCode::INTERNAL_SERVER_ERROR, "this request could not be proven");
    tokio::task::spawn_blocking(proof).await.unwrap_or(Err(failed))
}
