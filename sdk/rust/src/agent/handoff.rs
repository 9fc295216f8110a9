//! Work that goes from one agent to another.

use std::io;

use contextcore_model::insight::Insight;

use super::{InsightDraft, InsightEmitter, InsightQuerier, Query};

/// Handoffs of all agents that are asked for at once: the usual limit is too low.
const PENDING: usize = 1_000;

/// Offers work and takes it over, as one agent. Each change is reported like every insight; pending work is asked for.
#[derive(Debug, Clone)]
pub struct HandoffManager {
    emitter: InsightEmitter,
    querier: InsightQuerier,
}

impl HandoffManager {
    /// As the agent of an emitter.
    pub fn new(emitter: InsightEmitter) -> Self {
        Self { querier: emitter.querier(), emitter }
    }

    /// Offers work. See [`InsightEmitter::handoff`].
    pub fn offer(&self, to: &str, summary: &str) -> InsightDraft {
        self.emitter.handoff(to, summary)
    }

    /// Takes work over.
    pub fn accept(&self, handoff: &str, text: &str) {
        self.emitter.accept_handoff(handoff, text);
    }

    /// Finishes work that was taken over.
    pub fn complete(&self, handoff: &str, text: &str) {
        self.emitter.complete_handoff(handoff, text);
    }

    /// Declines work.
    pub fn reject(&self, handoff: &str, reason: &str) {
        self.emitter.reject_handoff(handoff, reason);
    }

    /// Work that is offered to this agent, or to any.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn pending(&self) -> io::Result<Vec<Insight>> {
        let offered = Query {
            insight_type: Some("handoff".to_owned()),
            status: Some("offered".to_owned()),
            limit: PENDING,
            ..Query::default()
        };
        let mut found = self.querier.query(&offered)?;
        found.retain(|each| each.to.as_deref().is_some_and(|to| to == "any" || Some(to) == self.emitter.agent()));
        Ok(found)
    }
}
