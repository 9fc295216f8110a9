//! `POST /webhooks/{source}`: reads the request of a tool and hands it to the engine, which proves it and polls the source.
//!
//! Whoever can reach the address can send requests. So a body is bounded, read within a time limit and by a few at once, and never
//! parsed before its signature is proven.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use contextcore_core::engine::webhook::{Accepted, Refused};
use contextcore_core::ingest::connector::WebhookError;
use tokio::sync::Semaphore;

use super::current::Current;
use super::proof::prove;

/// Requests that say what to poll are not larger (GitHub's own limit is 25 MB; what is refused here is polled later).
const MAX_BODY: usize = 1 << 20;
/// A request that is not complete by then is cut off. GitHub waits for 10 s, Linear for 5.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// Requests read at once; a tool sends a refused one again, or the next poll finds what it was about.
const CONCURRENT: usize = 16;

/// Where webhook requests come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On `listen`, unless `webhooks.listen` names another address.
    Shared,
    /// On `webhooks.listen`.
    Own,
}

struct Webhooks {
    current: Current,
    place: Place,
    readers: Semaphore,
}

/// The route for the webhooks of all sources.
pub(super) fn route<S: Clone + Send + Sync + 'static>(current: Current, place: Place) -> MethodRouter<S> {
    post(receive).with_state(Arc::new(Webhooks { current, place, readers: Semaphore::new(CONCURRENT) }))
}

/// What is answered on `webhooks.listen`.
pub(super) fn router(current: Current) -> Router {
    Router::new().route("/webhooks/{source}", route(current, Place::Own))
}

async fn receive(State(webhooks): State<Arc<Webhooks>>, Path(name): Path<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match answer(&webhooks, &name, &head.headers, body).await {
        Ok(text) => (StatusCode::ACCEPTED, text).into_response(),
        Err((status, text)) => (status, format!("{text}\n")).into_response(),
    }
}

type Answer<T> = Result<T, (StatusCode, &'static str)>;

async fn answer(webhooks: &Webhooks, name: &str, headers: &HeaderMap, body: Body) -> Answer<&'static str> {
    let state = webhooks.current.webhooks();
    if webhooks.place == Place::Shared && webhooks.current.engine().config().webhooks.listen.is_some() {
        return Err((StatusCode::NOT_FOUND, "webhooks have an address of their own: `webhooks.listen`"));
    }
    state.endpoint(name).map_err(refusal)?;
    let busy = (StatusCode::SERVICE_UNAVAILABLE, "too many requests at once");
    let _reading = webhooks.readers.try_acquire().map_err(|_| busy)?;
    let body = read(body).await?;
    let (name, headers) = (name.to_owned(), headers.clone());
    let accepted = prove(move || {
        let endpoint = state.endpoint(&name);
        endpoint.and_then(|endpoint| endpoint.accept(&headers, &body)).map_err(refusal)
    });
    Ok(match accepted.await? {
        Accepted::Irrelevant => "nothing to poll for\n",
        Accepted::Triggered => "polling soon\n",
        Accepted::Repeated => "known\n",
    })
}

async fn read(body: Body) -> Answer<Bytes> {
    match tokio::time::timeout(READ_LIMIT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB, or broke off")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

fn refusal(refused: Refused) -> (StatusCode, &'static str) {
    match refused {
        Refused::UnknownSource => (StatusCode::NOT_FOUND, "there is no source of this name"),
        Refused::Unsupported => (StatusCode::NOT_FOUND, "sources of this kind have no webhooks"),
        Refused::NotConfigured => (
            StatusCode::FORBIDDEN,
            "this source accepts no webhook requests: set `webhook: {secret: {env: NAME}}` in its configuration, and the \
             same secret in the tool",
        ),
        Refused::SecretUnreadable => {
            (StatusCode::INTERNAL_SERVER_ERROR, "the secret cannot be read; the log has the reason")
        }
        Refused::Unproven(WebhookError::Malformed) => (StatusCode::BAD_REQUEST, "signed, but not what the tool sends"),
        Refused::Unproven(WebhookError::Unsigned) => {
            (StatusCode::UNAUTHORIZED, "not signed: set the secret in the tool")
        }
        Refused::Unproven(WebhookError::WrongSignature) => (StatusCode::UNAUTHORIZED, "the signature is wrong"),
        Refused::Unproven(WebhookError::Stale) => (StatusCode::UNAUTHORIZED, "sent too long ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_bounded() {
        assert_eq!(read(Body::from(vec![0; MAX_BODY])).await.unwrap().len(), MAX_BODY);
        assert_eq!(read(Body::from(vec![0; MAX_BODY + 1])).await.unwrap_err().0, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
