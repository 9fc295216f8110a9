//! Fields of an insight, one call each, until it is emitted.

use contextcore_model::insight::{InsightType, identity};
use contextcore_model::operation::{InsightEmit, Operation};

use super::{InsightEmitter, Reference};
use crate::client::Client;
use crate::value::{Moment, Value};

/// Values of a context that say what the insight is about.
const FILES: [&str; 3] = ["file", "path", "files"];

/// An insight and the fields that are given; see [`InsightEmitter::insight`].
#[derive(Debug)]
#[must_use = "nothing is reported before `emit`"]
pub struct InsightDraft {
    client: Client,
    fields: InsightEmit,
}

impl InsightDraft {
    pub(super) fn new(emitter: &InsightEmitter, insight_type: &str, summary: &str) -> Self {
        let fields = InsightEmit {
            insight_type: insight_type.trim().to_owned(),
            summary: summary.to_owned(),
            agent: emitter.agent.clone(),
            agent_name: emitter.agent_name.clone(),
            session: emitter.session.clone(),
            on_behalf_of: emitter.on_behalf_of.clone(),
            task: emitter.task.clone(),
            ..InsightEmit::default()
        };
        Self { client: emitter.client.clone(), fields }
    }

    /// How sure the agent is, 0 to 1.
    pub fn confidence(mut self, confidence: f64) -> Self {
        self.fields.confidence = Some(confidence);
        self
    }

    /// Why, in at most 2,000 characters.
    pub fn rationale(mut self, rationale: impl Into<String>) -> Self {
        self.fields.rationale = Some(rationale.into());
        self
    }

    /// A word of your own, such as `architecture`.
    pub fn category(mut self, category: impl Into<String>) -> Self {
        self.fields.category = Some(category.into());
        self
    }

    /// For whom: `human`, `agent` or `both`.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.fields.audience = Some(audience.into());
        self
    }

    /// How bad, for risks and blockers.
    pub fn severity(mut self, severity: impl Into<String>) -> Self {
        self.fields.severity = Some(severity.into());
        self
    }

    /// What it is about: `path:src/**` (or a path alone), `task:KEY`, `service:NAME`, `epic:KEY`, `label:NAME`.
    pub fn applies_to<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.fields.applies_to.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Words to find it by.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.fields.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// What supports it: an address or a document, or a [`Reference`].
    pub fn evidence(mut self, reference: impl Into<Reference>) -> Self {
        self.fields.evidence.push(reference.into().0);
        self
    }

    /// What else is known. `file`, `path` and `files` say what it is about.
    pub fn context(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let (name, value) = (name.into(), value.into().0);
        if FILES.contains(&&*name) {
            let file = value.to_string();
            if !self.fields.applies_to.contains(&file) {
                self.fields.applies_to.push(file);
            }
        } else {
            self.fields.context.0.push((name, Some(value)));
        }
        self
    }

    /// The insight that this one replaces.
    pub fn supersedes(mut self, insight: impl Into<String>) -> Self {
        self.fields.supersedes.push(insight.into());
        self
    }

    /// When it stops to hold.
    pub fn expires(mut self, moment: impl Into<Moment>) -> Self {
        self.fields.expires_at = Some(moment.into().0);
        self
    }

    /// The task it belongs to.
    pub fn task(mut self, task: impl Into<String>) -> Self {
        self.fields.task = Some(task.into());
        self
    }

    /// Makes insights with the same key the same one, whatever they say.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.fields.key = Some(key.into());
        self
    }

    /// The answers that a question allows.
    pub fn options<T: Into<String>>(mut self, options: impl IntoIterator<Item = T>) -> Self {
        self.fields.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// The task waits for the answer.
    pub fn blocking(mut self) -> Self {
        self.fields.blocking = true;
        self
    }

    /// Who is asked, or who takes over: an agent's id, `human` or `any`.
    pub fn to(mut self, to: impl Into<String>) -> Self {
        self.fields.to = Some(to.into());
        self
    }

    /// What the one who takes over needs.
    pub fn input(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.inputs.0.push((name.into(), Some(value.into().0)));
        self
    }

    /// What is done already.
    pub fn done<T: Into<String>>(mut self, steps: impl IntoIterator<Item = T>) -> Self {
        self.fields.done.extend(steps.into_iter().map(Into::into));
        self
    }

    /// What is left to do.
    pub fn remaining<T: Into<String>>(mut self, steps: impl IntoIterator<Item = T>) -> Self {
        self.fields.remaining.extend(steps.into_iter().map(Into::into));
        self
    }

    /// How much is done, 0 to 100.
    pub fn percent(mut self, percent: f64) -> Self {
        self.fields.percent = Some(percent);
        self
    }

    /// Reports it, and returns its id. For decisions, lessons, recommendations, discoveries and risks the id follows from what is
    /// said, so that saying it again is no second insight.
    #[expect(clippy::must_use_candidate, reason = "it is reported, whether or not its id is needed")]
    pub fn emit(mut self) -> String {
        let fields = &self.fields;
        let known = fields.insight_type.parse::<InsightType>().ok();
        let by_content = known.and_then(|known| {
            identity::id(self.client.project(), known, &fields.summary, &fields.applies_to, fields.key.as_deref())
        });
        self.fields.id = by_content.unwrap_or_else(|| identity::random_id(rand::random()));
        let id = self.fields.id.clone();
        self.client.record(Operation::InsightEmit(Box::new(self.fields)));
        id
    }
}
