//! Calls of the tools: `POST /webhooks/{source}` proves who calls and rings that source's [`Bell`], which makes its next poll
//! come at once. Nothing of a call is kept: polling stays the source of truth, so a lost call costs only time.
//!
//! Whoever can reach `listen` can call. So a body is bounded, read within a time limit and by a few at once, and never parsed
//! before its signature is proven.

use contextcore_core::clock;
use contextcore_core::config::Resolve;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use contextcore_core::config::SourceConfig;
use contextcore_core::ingest::connector::{Call, Called, Unproven, Webhook};
use tokio::sync::{Notify, Semaphore};

use crate::engine::Engine;

/// No tool's call that says what to poll is larger (GitHub's own limit is 25 MB; what is refused here is polled later).
const MAX_BODY: usize = 1 << 20;
/// A call that is not through by then is cut off. GitHub waits for 10 s, Linear for 5.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// Calls read at once; a tool sends a refused one again, or the next poll finds what it was about.
const AT_ONCE: usize = 16;
/// Deliveries remembered per source: tools repeat the last few, not the last thousand.
const REMEMBERED: usize = 256;

/// What a call sets off: the next poll of one source.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Notify,
    seen: Mutex<VecDeque<String>>,
}

impl Bell {
    /// Waits until somebody rang since the last time this returned. However often it was rung, it returns once.
    pub(super) async fn heard(&self) {
        self.rung.notified().await;
    }

    /// Rings, unless this very delivery did before. Says whether it was news.
    fn ring(&self, delivery: Option<String>) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(delivery) = delivery {
            if seen.contains(&delivery) {
                return false;
            }
            seen.push_back(delivery);
            if seen.len() > REMEMBERED {
                seen.pop_front();
            }
        }
        self.rung.notify_one();
        true
    }
}

/// The bells of all sources.
pub(super) type Bells = BTreeMap<String, Arc<Bell>>;

/// What answering a call needs.
pub(super) struct Door {
    engine: Arc<Engine>,
    bells: Bells,
    readers: Semaphore,
}

impl Door {
    /// The door to the sources whose bells these are.
    pub(super) fn new(engine: Arc<Engine>, bells: Bells) -> Arc<Self> {
        Arc::new(Self { engine, bells, readers: Semaphore::new(AT_ONCE) })
    }
}

/// Answers one call.
pub(super) async fn called(State(door): State<Arc<Door>>, Path(name): Path<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match answer(&door, &name, &head.headers, body).await {
        Ok(said) => (StatusCode::ACCEPTED, said).into_response(),
        Err((status, why)) => (status, why).into_response(),
    }
}

type Refused = (StatusCode, String);

async fn answer(door: &Door, name: &str, headers: &HeaderMap, body: Body) -> Result<&'static str, Refused> {
    let (source, bell, webhook) = find(door, name)?;
    let _reading =
        door.readers.try_acquire().map_err(|_| refused(StatusCode::SERVICE_UNAVAILABLE, "too many calls at once"))?;
    let body = read(body).await?;
    let called = prove(source, webhook, headers, &body)?;
    tracing::debug!(source = name, event = called.event, delivery = called.delivery, "called");
    Ok(if !called.relevant {
        "nothing to poll for\n"
    } else if bell.ring(called.delivery) {
        "polling soon\n"
    } else {
        "known\n"
    })
}

fn refused(status: StatusCode, why: impl Into<String>) -> Refused {
    (status, why.into() + "\n")
}

/// The source of a name, and how its tool's calls are proven.
fn find<'a>(door: &'a Door, name: &str) -> Result<(&'a SourceConfig, &'a Bell, Webhook), Refused> {
    let found = door.engine.config.source(name).zip(door.bells.get(name));
    let (source, bell) = found.ok_or_else(|| refused(StatusCode::NOT_FOUND, "there is no source of this name"))?;
    let webhook = contextcore_connectors::webhook(&source.kind);
    let webhook = webhook.ok_or_else(|| refused(StatusCode::NOT_FOUND, "sources of this kind are not called"))?;
    Ok((source, bell, webhook))
}

async fn read(body: Body) -> Result<Bytes, Refused> {
    match tokio::time::timeout(READ_LIMIT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB, or broke off")),
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

fn prove(source: &SourceConfig, webhook: Webhook, headers: &HeaderMap, body: &[u8]) -> Result<Called, Refused> {
    let Some(secret) = &source.webhook else {
        let why = "this source takes no calls: set `webhook: {secret: {env: NAME}}` in its configuration, and the same secret \
                   in the tool";
        return Err(refused(StatusCode::FORBIDDEN, why));
    };
    let secret = secret.resolve().map_err(|error| {
        tracing::error!(source = source.name, reason = %error.full(), "cannot prove a webhook call");
        refused(StatusCode::INTERNAL_SERVER_ERROR, "the secret cannot be read; the log says why")
    })?;
    let call = Call { headers, body, now: clock::now() };
    webhook(&call, secret.expose().as_bytes()).map_err(|unproven| {
        tracing::warn!(source = source.name, why = ?unproven, "refused a webhook call");
        match unproven {
            Unproven::Unreadable => refused(StatusCode::BAD_REQUEST, "signed, but not what the tool sends"),
            Unproven::Unsigned => refused(StatusCode::UNAUTHORIZED, "not signed: set the secret in the tool"),
            Unproven::Wrong => refused(StatusCode::UNAUTHORIZED, "the signature is wrong"),
            Unproven::Stale => refused(StatusCode::UNAUTHORIZED, "sent too long ago"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_rings_are_heard_once_and_a_delivery_rings_once() {
        let bell = Bell::default();
        assert!(bell.ring(Some("a".into())) && bell.ring(Some("b".into())) && bell.ring(None));
        assert!(!bell.ring(Some("a".into())));
        bell.heard().await;
        let again = tokio::time::timeout(Duration::from_secs(1), bell.heard()).await;
        assert!(again.is_err(), "heard once");
    }

    #[test]
    fn old_deliveries_are_forgotten_so_that_memory_stays_bounded() {
        let bell = Bell::default();
        for number in 0..=REMEMBERED {
            assert!(bell.ring(Some(number.to_string())));
        }
        assert!(bell.ring(Some("0".into())), "forgotten");
        assert_eq!(bell.seen.lock().unwrap().len(), REMEMBERED);
    }

    #[tokio::test]
    async fn a_body_is_bounded() {
        assert_eq!(read(Body::from(vec![0; MAX_BODY])).await.unwrap().len(), MAX_BODY);
        assert_eq!(read(Body::from(vec![0; MAX_BODY + 1])).await.unwrap_err().0, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
