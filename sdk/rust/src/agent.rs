//! Insights of agents: reporting them, and asking what was reported before.

mod draft;
mod handoff;

use std::time::{Duration, SystemTime};

use contextcore_model::insight::InsightType;
use contextcore_model::operation::{InsightUpdate, Operation, Support};

use crate::client::{Builder, Client, Error};
use crate::environment::variable;
use crate::value::millis;

pub use self::draft::InsightDraft;
pub use self::handoff::HandoffManager;
pub use crate::query::{GuidanceReader, InsightQuerier, Query};
pub use contextcore_model::insight::Insight;

/// What supports an insight: a kind (`commit`, `pr`, `task`, `trace`, `log`, `file`, `adr`, `doc`, `url` or `agent_trace`) and which one.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference(Support);

impl Reference {
    /// A reference of a kind.
    pub fn new(kind: &str, reference: &str) -> Self {
        Self(Support { kind: kind.to_owned(), reference: reference.to_owned(), description: None })
    }

    /// What it shows.
    #[must_use]
    pub fn described(mut self, description: &str) -> Self {
        self.0.description = Some(description.to_owned());
        self
    }
}

impl From<&str> for Reference {
    /// An address, or a document.
    fn from(reference: &str) -> Self {
        Self::new(if reference.contains("://") { "url" } else { "doc" }, reference)
    }
}

/// Reports what an agent decides, learns, asks and hands over. Like a [`TaskTracker`](crate::TaskTracker), each call appends one line
/// to a file and returns. The insight is kept by the service for as long as it holds, also when traces have expired.
#[derive(Debug, Clone)]
pub struct InsightEmitter {
    client: Client,
    agent: Option<String>,
    agent_name: Option<String>,
    session: Option<String>,
    on_behalf_of: Option<String>,
    task: Option<String>,
}

impl InsightEmitter {
    /// An emitter for an agent in a project, with everything else from the environment.
    ///
    /// # Errors
    /// When the endpoint of the environment is no address, or no directory for the spool can be written.
    pub fn new(project: impl Into<String>, agent: &str) -> Result<Self, Error> {
        Builder::default().project(project).emitter(agent)
    }

    pub(crate) fn with(client: Client, agent: &str) -> Self {
        let agent = Some(agent.to_owned()).filter(|agent| !agent.is_empty()).or_else(|| variable("CONTEXTCORE_AGENT"));
        Self { client, agent, agent_name: None, session: None, on_behalf_of: None, task: None }
    }

    /// The program that the agent is, such as `claude-code`.
    #[must_use]
    pub fn agent_name(mut self, name: impl Into<String>) -> Self {
        self.agent_name = Some(name.into());
        self
    }

    /// The conversation or run.
    #[must_use]
    pub fn session(mut self, session: impl Into<String>) -> Self {
        self.session = Some(session.into());
        self
    }

    /// The person for whom the agent works.
    #[must_use]
    pub fn on_behalf_of(mut self, person: impl Into<String>) -> Self {
        self.on_behalf_of = Some(person.into());
        self
    }

    /// The task that all insights of this emitter belong to.
    #[must_use]
    pub fn for_task(mut self, task: impl Into<String>) -> Self {
        self.task = Some(task.into());
        self
    }

    /// The same emitter for what happened at another time.
    #[must_use]
    pub fn at(&self, time: SystemTime) -> Self {
        Self { client: self.client.at(Some(millis(time))), ..self.clone() }
    }

    /// An insight of any type, with fields that follow. Nothing is reported before [`InsightDraft::emit`].
    pub fn insight(&self, insight_type: &str, summary: &str) -> InsightDraft {
        InsightDraft::new(self, insight_type, summary)
    }

    fn of(&self, insight_type: InsightType, summary: &str) -> InsightDraft {
        self.insight(insight_type.as_str(), summary)
    }

    /// A choice that others should know of and keep to.
    pub fn decision(&self, summary: &str) -> InsightDraft {
        self.of(InsightType::Decision, summary)
    }

    /// What should be done.
    pub fn recommendation(&self, summary: &str) -> InsightDraft {
        self.of(InsightType::Recommendation, summary)
    }

    /// What was learned the hard way.
    pub fn lesson(&self, summary: &str) -> InsightDraft {
        self.of(InsightType::Lesson, summary).confidence(0.9)
    }

    /// Something that a person (or whom [`InsightDraft::to`] names) must answer.
    pub fn question(&self, summary: &str) -> InsightDraft {
        self.of(InsightType::Question, summary).to("human")
    }

    /// What stops the work.
    pub fn blocker(&self, summary: &str) -> InsightDraft {
        self.of(InsightType::Blocker, summary).confidence(1.0)
    }

    /// A fact that was not known.
    pub fn discovery(&self, summary: &str) -> InsightDraft {
        self.of(InsightType::Discovery, summary)
    }

    /// What may go wrong, and how bad it would be.
    pub fn risk(&self, summary: &str, severity: &str) -> InsightDraft {
        self.of(InsightType::Risk, summary).severity(severity)
    }

    /// How far the work is.
    pub fn progress(&self, summary: &str) -> InsightDraft {
        self.of(InsightType::Progress, summary)
    }

    /// What was found by looking into something.
    pub fn analysis(&self, summary: &str) -> InsightDraft {
        self.of(InsightType::Analysis, summary)
    }

    /// Offers work to another agent, to `human` or to `any`.
    pub fn handoff(&self, to: &str, summary: &str) -> InsightDraft {
        self.of(InsightType::Handoff, summary).to(to)
    }

    /// Answers a question; `by` is empty where the agent itself does. An agent's answer is a suggestion until a person confirms it.
    pub fn answer(&self, question: &str, text: &str, by: &str) {
        self.change(InsightUpdate { by: Some(by.to_owned()), ..update(question, "answer", text) });
    }

    /// Takes an insight back. The reason may be empty, here and below.
    pub fn retract(&self, insight: &str, reason: &str) {
        self.change(update(insight, "retract", reason));
    }

    /// Takes over the work that was offered.
    pub fn accept_handoff(&self, handoff: &str, text: &str) {
        self.change(update(handoff, "accept", text));
    }

    /// Finishes the work that was taken over.
    pub fn complete_handoff(&self, handoff: &str, text: &str) {
        self.change(update(handoff, "complete", text));
    }

    /// Declines the work that was offered.
    pub fn reject_handoff(&self, handoff: &str, reason: &str) {
        self.change(update(handoff, "reject", reason));
    }

    /// Says that an insight held in this agent's own work.
    pub fn confirm(&self, insight: &str, evidence: impl IntoIterator<Item = Reference>) {
        self.change(with(update(insight, "confirm", ""), evidence));
    }

    /// Says that an insight did not hold.
    pub fn contradict(&self, insight: &str, reason: &str, evidence: impl IntoIterator<Item = Reference>) {
        self.change(with(update(insight, "contradict", reason), evidence));
    }

    /// Says that a blocker or a risk is over.
    pub fn resolve(&self, insight: &str, text: &str) {
        self.change(update(insight, "resolve", text));
    }

    fn change(&self, update: InsightUpdate) {
        let update = InsightUpdate { agent: self.agent.clone(), session: self.session.clone(), ..update };
        self.client.record(Operation::InsightUpdate(Box::new(update)));
    }

    /// The project.
    pub fn project(&self) -> &str {
        self.client.project()
    }

    /// The agent.
    pub fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    /// Asks what was reported in the same project.
    pub fn querier(&self) -> InsightQuerier {
        InsightQuerier::of(self.project(), self.client.state(), self.agent())
    }

    /// Hands work over and takes it over, as this agent.
    pub fn handoffs(&self) -> HandoffManager {
        HandoffManager::new(self.clone())
    }

    /// Calls that could not be written.
    pub fn dropped(&self) -> u64 {
        self.client.dropped()
    }

    /// See [`TaskTracker::flush`](crate::TaskTracker::flush).
    pub fn flush(&self, timeout: Duration) -> bool {
        self.client.flush(timeout)
    }
}

impl Builder {
    /// An emitter of insights, for an agent. An empty `agent` is `CONTEXTCORE_AGENT`.
    ///
    /// # Errors
    /// When the endpoint is no address, or no directory for the spool can be written.
    pub fn emitter(self, agent: &str) -> Result<InsightEmitter, Error> {
        Ok(InsightEmitter::with(self.client()?, agent))
    }
}

fn update(insight: &str, action: &str, text: &str) -> InsightUpdate {
    let (id, action, text) = (insight.to_owned(), action.to_owned(), Some(text.to_owned()));
    InsightUpdate { id, action, text, ..InsightUpdate::default() }
}

fn with(update: InsightUpdate, evidence: impl IntoIterator<Item = Reference>) -> InsightUpdate {
    InsightUpdate { evidence: evidence.into_iter().map(|reference| reference.0).collect(), ..update }
}
