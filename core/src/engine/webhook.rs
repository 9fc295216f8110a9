//! Webhook requests of the tools: proven by the source's kind, they trigger the next poll of the source. Nothing of a request
//! is stored: polling stays the source of truth, so a lost request costs only time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::Engine;
use crate::clock;
use crate::config::{Resolve, SourceConfig};
use crate::ingest::connector::{WebhookCall, WebhookError, WebhookProof};
use crate::lock;

/// Requests remembered per source, at 32 bytes each.
const REMEMBERED: usize = 4_096;

/// What a request was, by what its signature covers. The number of a delivery is in a header that is not signed: whoever has
/// seen one request could send it again and again under other numbers.
type Digest = [u8; 32];

/// Makes the next poll of one source come at once.
#[derive(Debug, Default)]
pub struct PollTrigger {
    notify: Notify,
    seen: Mutex<VecDeque<Digest>>,
}

impl PollTrigger {
    /// Waits for a trigger since the last time this returned. However many there were, it returns once.
    pub async fn wait(&self) {
        self.notify.notified().await;
    }

    /// Triggers a poll at the request of this user.
    pub fn now(&self) {
        self.notify.notify_one();
    }

    /// Triggers a poll, unless a request with this signed body already did; returns whether it is new.
    pub fn trigger(&self, signed: &[u8]) -> bool {
        let digest = *blake3::hash(signed).as_bytes();
        let mut seen = lock(&self.seen);
        if seen.contains(&digest) {
            return false;
        }
        seen.push_back(digest);
        if seen.len() > REMEMBERED {
            seen.pop_front();
        }
        self.notify.notify_one();
        true
    }
}

/// The triggers of all sources.
pub type PollTriggers = BTreeMap<String, Arc<PollTrigger>>;

/// What answering webhook requests needs.
pub struct WebhookState {
    engine: Arc<Engine>,
    triggers: PollTriggers,
}

impl WebhookState {
    /// Makes the next poll of a source come soon.
    pub fn poll(&self, source: &str) {
        if let Some(trigger) = self.triggers.get(source) {
            trigger.now();
        }
    }
}

/// Where the webhook requests of one source go.
pub struct Endpoint<'a> {
    source: SourceConfig,
    trigger: &'a PollTrigger,
    proof: WebhookProof,
}

/// What a proven request led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is about nothing that a poll would see.
    Irrelevant,
    /// The source is polled soon.
    Triggered,
    /// The same request came before: the tool repeats it, or somebody else does.
    Repeated,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no source of this name.
    UnknownSource,
    /// The kind of the source has no webhooks.
    Unsupported,
    /// The source has no secret configured.
    NotConfigured,
    /// The secret cannot be read.
    SecretUnreadable,
    /// It is not proven to come from the tool.
    Unproven(WebhookError),
}

impl WebhookState {
    /// Webhooks for the sources of these triggers.
    pub fn new(engine: Arc<Engine>, triggers: PollTriggers) -> Self {
        Self { engine, triggers }
    }

    /// The triggers.
    pub fn triggers(&self) -> PollTriggers {
        self.triggers.clone()
    }

    /// Where requests for a source go.
    ///
    /// # Errors
    /// [`Refused::UnknownSource`] and [`Refused::Unsupported`].
    pub fn endpoint(&self, name: &str) -> Result<Endpoint<'_>, Refused> {
        let found = self.engine.config().source(name).cloned().zip(self.triggers.get(name));
        let (source, trigger) = found.ok_or(Refused::UnknownSource)?;
        let proof = self.engine.registration(&source.kind).and_then(|registration| registration.webhook);
        Ok(Endpoint { source, trigger, proof: proof.ok_or(Refused::Unsupported)? })
    }
}

impl Endpoint<'_> {
    /// Proves a request and triggers the poll it is for.
    ///
    /// # Errors
    /// [`Refused`]; the log has details that the sender must not see.
    pub fn accept(&self, headers: &http::HeaderMap, body: &[u8]) -> Result<Accepted, Refused> {
        let source = &self.source.name;
        let secret = self.source.webhook.as_ref().ok_or(Refused::NotConfigured)?.resolve().map_err(|error| {
            tracing::error!(source, error = %error.full(), "cannot prove a webhook request");
            Refused::SecretUnreadable
        })?;
        let call = WebhookCall { headers, body, now: clock::now() };
        let event = (self.proof)(&call, secret.expose().as_bytes()).map_err(|error| {
            tracing::warn!(source, reason = ?error, "refused a webhook request");
            Refused::Unproven(error)
        })?;
        tracing::debug!(source, event = event.event, delivery = event.delivery, "webhook request");
        Ok(match event.relevant {
            false => Accepted::Irrelevant,
            true if self.trigger.trigger(body) => Accepted::Triggered,
            true => Accepted::Repeated,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_triggers_cause_one_poll_and_a_signed_body_triggers_once() {
        let trigger = PollTrigger::default();
        assert!(trigger.trigger(b"a") && trigger.trigger(b"b"));
        assert!(!trigger.trigger(b"a"));
        trigger.wait().await;
        let again = tokio::time::timeout(Duration::from_secs(1), trigger.wait()).await;
        assert!(again.is_err(), "it returned twice");
    }

    #[test]
    fn old_requests_are_forgotten_so_that_memory_stays_bounded() {
        let trigger = PollTrigger::default();
        for number in 0..=REMEMBERED {
            assert!(trigger.trigger(number.to_string().as_bytes()));
        }
        assert!(trigger.trigger(b"0"), "forgotten");
        assert_eq!(trigger.seen.lock().unwrap().len(), REMEMBERED);
    }
}
