//! The engine that the endpoints of `serve` answer from. They outlive it: a new configuration replaces it.

use std::sync::{Arc, Mutex};

use axum::extract::FromRef;
use contextcore_core::engine::Engine;
use contextcore_core::engine::webhook::{PollTriggers, WebhookState};
use contextcore_core::lock;

/// What the endpoints answer from. A new configuration replaces it.
#[derive(Clone)]
pub(super) struct Current(Arc<Mutex<(Arc<Engine>, Arc<WebhookState>)>>);

impl Current {
    pub(super) fn new(engine: Arc<Engine>, triggers: PollTriggers) -> Self {
        let webhooks = WebhookState::new(Arc::clone(&engine), triggers);
        Self(Arc::new(Mutex::new((engine, Arc::new(webhooks)))))
    }

    pub(super) fn replace(&self, engine: Arc<Engine>, triggers: PollTriggers) {
        let webhooks = WebhookState::new(Arc::clone(&engine), triggers);
        *lock(&self.0) = (engine, Arc::new(webhooks));
    }

    /// The triggers of the sources.
    pub(super) fn triggers(&self) -> PollTriggers {
        self.webhooks().triggers()
    }

    pub(super) fn engine(&self) -> Arc<Engine> {
        Arc::clone(&lock(&self.0).0)
    }

    pub(super) fn webhooks(&self) -> Arc<WebhookState> {
        Arc::clone(&lock(&self.0).1)
    }
}

impl FromRef<Current> for Arc<Engine> {
    fn from_ref(current: &Current) -> Self {
        current.engine()
    }
}
