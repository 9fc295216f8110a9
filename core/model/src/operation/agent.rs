//! How operations say that an agent took part in a task: an event of the task, so that every SDK can write it.

use super::{Attributes, Operation, Scalar, TaskEvent};
use crate::Artifact;
use crate::agents::{self, AgentAssisted};

/// What the names of such events begin with: `agent.assisted`, `agent.delegated` and `agent.none`.
const PREFIX: &str = "agent.";
/// The attribute that names the agent.
const AGENT: &str = "agent";

impl Operation {
    /// What shows that an agent reported this operation: an event beside those that change a task. A comment is no work on it, and an
    /// event says itself what it means.
    #[must_use]
    pub fn evidence_of(&self, agent: &str) -> Option<Self> {
        let is_said = matches!(self, Self::Comment(_) | Self::Event(_));
        let task = self.task().filter(|_| !is_said)?;
        Some(Self::Event(TaskEvent::of_agent(task, agent)))
    }

    /// The operation with what shows that an agent reported it.
    #[must_use]
    pub fn with_evidence_of(self, agent: &str) -> Vec<Self> {
        let evidence = self.evidence_of(agent);
        std::iter::once(self).chain(evidence).collect()
    }
}

impl TaskEvent {
    /// That this agent took part in a task; an empty name is that of one that is not known.
    #[must_use]
    pub fn of_agent(task: &str, agent: &str) -> Self {
        let named = (!agent.is_empty()).then(|| (AGENT.to_owned(), Some(Scalar::Text(agent.to_owned()))));
        let name = format!("{PREFIX}{}", AgentAssisted::Assisted);
        Self { task: task.to_owned(), name, attributes: Attributes(named.into_iter().collect()) }
    }

    /// The evidence of an agent that the event is, if it is one.
    #[must_use]
    pub fn agent_evidence(&self) -> Option<Artifact> {
        let assisted: AgentAssisted = self.name.strip_prefix(PREFIX)?.parse().ok()?;
        let agent = self.attributes.0.iter().find(|(name, _)| name == AGENT);
        let agent = agent.and_then(|(_, value)| value.as_ref()).map(ToString::to_string).unwrap_or_default();
        let who = if assisted == AgentAssisted::None { "" } else { agent.trim() };
        (assisted != AgentAssisted::Unknown).then(|| agents::artifact(assisted, who, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::TaskOnly;

    #[test]
    fn what_an_agent_reports_of_its_work_is_evidence() {
        let complete = Operation::Complete(TaskOnly { task: "A-1".into() });
        let Some(Operation::Event(event)) = complete.evidence_of("claude-code") else { panic!("no event") };
        assert_eq!((event.task.as_str(), event.name.as_str()), ("A-1", "agent.assisted"));
        assert_eq!(event.agent_evidence(), Some(agents::artifact(AgentAssisted::Assisted, "claude-code", "")));
    }

    #[test]
    fn whatever_changes_a_task_is_evidence_and_what_is_only_said_is_none() {
        let (task, progress) = ("A-1".to_owned(), r#"{"op":"task.progress","task":"A-1","percent":5}"#);
        for json in [
            r#"{"op":"task.start","task":"A-1"}"#,
            r#"{"op":"task.update","task":"A-1"}"#,
            r#"{"op":"task.status","task":"A-1","status":"done"}"#,
            r#"{"op":"task.block","task":"A-1"}"#,
            r#"{"op":"task.unblock","task":"A-1"}"#,
            r#"{"op":"task.cancel","task":"A-1"}"#,
            r#"{"op":"task.link","task":"A-1","kind":"pr","ref":"7"}"#,
            progress,
        ] {
            let operation: Operation = serde_json::from_str(json).unwrap();
            let evidence = Operation::Event(TaskEvent::of_agent(&task, "claude-code"));
            assert_eq!(operation.clone().with_evidence_of("claude-code"), [operation, evidence], "{json}");
        }
        for json in [
            r#"{"op":"task.comment","task":"A-1","text":"x"}"#,
            r#"{"op":"task.event","task":"A-1","name":"agent.none"}"#,
            r#"{"op":"sprint.start","id":"s"}"#,
        ] {
            let operation: Operation = serde_json::from_str(json).unwrap();
            assert_eq!(operation.evidence_of("claude-code"), None, "{json}");
        }
    }

    #[test]
    fn an_event_of_another_name_is_no_evidence() {
        for (name, want) in [
            ("agent.none", Some("none")),
            ("agent.delegated", Some("delegated")),
            ("agent.unknown", None),
            ("agent.started", None),
            ("assisted", None),
        ] {
            let event = TaskEvent { task: "A-1".into(), name: name.into(), attributes: Attributes::default() };
            assert_eq!(event.agent_evidence().map(|found| found.reference).as_deref(), want, "{name}");
        }
    }
}
