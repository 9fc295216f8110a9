//! What is derived from one context before any object is made.

use super::policy::{self, Policy};
use super::refusal::Refusal;
use super::slo::{self, Objectives};
use super::subject::Subject;
use crate::settings::Settings;

/// An accepted context with all values in force.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) subject: Subject<'a>,
    pub(crate) policy: Policy,
    pub(crate) objectives: Objectives,
}

impl<'a> Plan<'a> {
    /// # Errors
    /// The refusal when the context claims what it may not, or its requirements cannot be measured.
    pub(crate) fn new(subject: &Subject<'a>, settings: &Settings) -> Result<Self, Refusal> {
        let policy = policy::resolve(subject, settings)?;
        let objectives = slo::objectives(subject, settings)?;
        Ok(Self { subject: subject.clone(), policy, objectives })
    }

    /// Notes for a person, from all that was decided.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.policy.notes.iter().chain(&self.objectives.notes).cloned().collect()
    }
}
