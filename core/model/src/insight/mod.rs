//! Insights: what agents and people decided, learned, ask and hand over, and what became of it.
//!
//! Reports ([`InsightReport`]) are kept with each insight in an [`InsightRecord`]; [`fold()`] makes the [`Insight`] and its
//! [`InsightEvent`]s of them, whatever order they arrive in. [`lifecycle`] says which change is allowed, [`reading`] what time does to
//! an insight, [`mod@scope`] what it applies to, [`search`] finds and ranks. Read [`record`] first.

mod asked;
mod fit;
pub mod fold;
pub mod identity;
pub mod lifecycle;
pub mod limits;
mod names;
mod rank;
pub mod reading;
pub mod record;
pub mod scope;
pub mod search;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod tests;
mod tokens;
mod wanted;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use fold::{Folded, fold};
pub use lifecycle::InsightAction;
pub use record::{InsightRecord, InsightReport, Said, Served};

use crate::SmolStr;
use crate::operation::{Attributes, Support, number};
use crate::string_enum;
use crate::time::Millis;

string_enum! {
    /// What an insight is.
    InsightType {
        /// A choice that others keep to.
        Decision = "decision",
        /// What was learned.
        Lesson = "lesson",
        /// What somebody must answer.
        Question = "question",
        /// What stops the work.
        Blocker = "blocker",
        /// What may go wrong.
        Risk = "risk",
        /// Work that goes to somebody else.
        Handoff = "handoff",
        /// A choice that others should make.
        Recommendation = "recommendation",
        /// A fact that was not known.
        Discovery = "discovery",
        /// What was found by looking into something.
        Analysis = "analysis",
        /// How far the work is.
        Progress = "progress",
    }
}

string_enum! {
    /// The state of an insight. Which type can have which: [`lifecycle`].
    InsightStatus {
        /// It holds.
        Active = "active",
        /// Another one replaced it.
        Superseded = "superseded",
        /// It was taken back.
        Retracted = "retracted",
        /// Its time is over.
        Expired = "expired",
        /// Nobody has dealt with it.
        Open = "open",
        /// An agent answered; no person has.
        Suggested = "suggested",
        /// A person answered.
        Answered = "answered",
        /// The answer is not needed any more.
        Withdrawn = "withdrawn",
        /// It is over.
        Resolved = "resolved",
        /// Something was done about the risk.
        Mitigated = "mitigated",
        /// The handoff was taken over, or the risk is lived with.
        Accepted = "accepted",
        /// What might go wrong did.
        Occurred = "occurred",
        /// Nobody has taken the handoff over.
        Offered = "offered",
        /// The work that was handed over is done.
        Completed = "completed",
        /// The handoff was declined.
        Rejected = "rejected",
        /// It is on record; nothing becomes of it.
        Noted = "noted",
    }
}

string_enum! {
    /// How far others stand behind an insight.
    Review {
        /// Nobody else has said anything.
        Unreviewed = "unreviewed",
        /// Another proven principal confirmed it from work of its own.
        Corroborated = "corroborated",
        /// A person who proved it confirmed it.
        Confirmed = "confirmed",
    }
}

string_enum! {
    /// Who says something.
    AuthorKind {
        /// A program.
        Agent = "agent",
        /// A person.
        Human = "human",
    }
}

/// Who reported an insight first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Author {
    /// A program, or a person.
    pub kind: AuthorKind,
    /// The agent's id, or the person's name.
    pub id: Option<String>,
    /// The name of the agent.
    pub name: Option<String>,
    /// The agent's session.
    pub session: Option<String>,
    /// The person for whom the agent works.
    pub on_behalf_of: Option<String>,
}

/// An answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// What it says.
    pub text: String,
    /// Who gave it.
    pub by: Option<String>,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Millis,
    /// How it was collected, if not from who gave it: `client`, when a person was asked in the window of an agent, which proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Whether an agent suggested it that rests on text anybody may have written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_untrusted: bool,
}

/// What the session of an update begins with that brings an answer which a client collected.
pub const ANSWERED_VIA: &str = "answered_via: ";

/// An insight as it is read: what was reported, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Insight {
    /// `ins_` and 16 hex digits.
    pub id: String,
    /// What it is.
    #[serde(rename = "type")]
    pub insight_type: InsightType,
    /// The project in which it was reported.
    pub project: String,
    /// What it says, in a sentence.
    pub summary: String,
    /// Why.
    pub rationale: Option<String>,
    /// How sure, 0 to 1; for lessons and discoveries with what others found.
    #[serde(with = "number::optional")]
    #[schemars(with = "Option<f64>")]
    pub confidence: Option<f64>,
    /// A word of the author's.
    pub category: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What it applies to: `path:`, `task:`, `service:`, `epic:`, `label:`. Empty: the whole project.
    pub applies_to: Vec<String>,
    /// What supports it.
    pub evidence: Vec<Support>,
    /// Who reported it first.
    pub author: Author,
    /// For whom: `agent`, `human` or `both`.
    pub audience: String,
    /// Its state.
    pub status: InsightStatus,
    /// How far others stand behind it.
    pub review: Review,
    /// The insights that it replaces.
    pub supersedes: Vec<String>,
    /// The insight that replaced it.
    pub superseded_by: Option<String>,
    /// When it stops to hold.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub expires_at: Option<Millis>,
    /// When it was first reported.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created: Millis,
    /// When something was last reported of it.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub updated: Millis,
    /// How often it was reported.
    pub seen: u64,
    /// How many others said that it held, one vote each.
    pub confirmed: u64,
    /// How many said that it did not.
    pub contradicted: u64,
    /// How often it was given to somebody who asked; absent where nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<u64>,
    /// The trace of its span.
    pub trace_id: String,
    /// Its span.
    pub span_id: String,
    /// What makes it the same insight, in place of its summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The task that it came up in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// How bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// The answers that a question allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Whether the task waits for the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocking: bool,
    /// The newest answer to a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Who is asked, or who takes over: an agent's id, `human` or `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What the one who takes over needs.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub inputs: Attributes,
    /// What is done already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<String>,
    /// What is left to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remaining: Vec<String>,
    /// How much is done, in percent.
    #[serde(default, with = "number::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>")]
    pub percent: Option<f64>,
    /// Other facts.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub context: Attributes,
    /// Whether it rests on a ticket or an address, which anybody may have written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_untrusted: bool,
}

/// One thing that happened to an insight: who, when and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InsightEvent {
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Millis,
    /// What was done: `emit`, `supersede`, or an action of [`InsightAction`].
    pub action: String,
    /// Who did it: the person's name, else the agent's id.
    pub by: Option<String>,
    /// A program, or a person.
    pub kind: AuthorKind,
    /// The reason, or the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What supports it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Support>,
    /// The state of the insight afterwards.
    pub status: InsightStatus,
    /// Why it changed nothing, if it was not allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Who proved to be it: the name of a token. Without one it came from this machine, and `by` is a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The journal number under which it was stored, and the source, if that is not the insight's.
    #[serde(skip)]
    pub journal: (u64, Option<SmolStr>),
}
