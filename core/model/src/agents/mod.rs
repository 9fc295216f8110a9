//! Agent-assisted work: whether an agent took part in a task, as far as evidence shows. Pure.
//!
//! Evidence is a trailer of a commit or a pull request, its author, a delegate in the tool, or a report of the SDK. It is stored
//! as an [`Artifact`] of kind [`AGENT`] in the task's timeline, and [`assistance`] folds it. The strongest evidence counts, so
//! the order in which it arrives means nothing. Missing evidence is [`AgentAssisted::Unknown`] and never
//! [`AgentAssisted::None`]: a squash merge loses trailers, and many agents leave none.

mod known;

use std::collections::BTreeSet;

pub use known::KnownAgents;
use serde::{Deserialize, Serialize};

use crate::inference::COMMIT;
use crate::observation::Activity;
pub use crate::observation::Author;
use crate::time::Millis;
use crate::trailers::trailers;
use crate::{Artifact, StoredEvent, string_enum};

/// The kind of artifacts that are evidence of agents. The reference is one of [`AgentAssisted`], and the summary who it was;
/// where a commit declares that there was none, the summary is the commit.
pub const AGENT: &str = "agent";
/// The kind of artifacts whose author may be an agent, beside commits.
const PULL_REQUEST: &str = "pull_request";

string_enum! {
    /// Whether an agent took part in a task. What comes later overrules what comes before.
    #[derive(Default)]
    AgentAssisted {
        /// There is no evidence of anything.
        #[default]
        Unknown = "unknown",
        /// Somebody declared that no agent took part.
        None = "none",
        /// An agent took part in work of people.
        Assisted = "assisted",
        /// The work was given to an agent: it is the delegate, or wrote the pull request or a commit.
        Delegated = "delegated",
    }
}

/// What one text or person shows: how an agent took part, and which.
type Shown = (AgentAssisted, String);

/// The evidence of an agent that an artifact holds.
#[must_use]
pub fn artifact(assisted: AgentAssisted, who: &str, url: &str) -> Artifact {
    let (kind, reference) = (AGENT.to_owned(), assisted.as_str().to_owned());
    Artifact { kind, reference, url: url.to_owned(), summary: who.to_owned() }
}

/// The evidence in an activity, as an activity of its own that belongs to the same tasks. Only commits and pull requests have
/// any: their author, and the trailers of their own text, which is the last of the texts that may mention tasks.
#[must_use]
pub fn evidence(activity: &Activity, agents: &KnownAgents) -> Option<Activity> {
    if ![COMMIT, PULL_REQUEST].contains(&activity.artifact.kind.as_str()) {
        return None;
    }
    let text = activity.mentions.last().map(String::as_str).unwrap_or_default();
    let by_author = activity.author.as_ref().and_then(|author| agents.author(author));
    let (assisted, who) = by_author.into_iter().chain(by_trailers(text, agents)).max()?;
    let is_of_commit = assisted == AgentAssisted::None && activity.artifact.kind == COMMIT;
    let who = if is_of_commit { &activity.artifact.reference } else { &who };
    Some(Activity {
        native_id: format!("{AGENT}:{}", activity.native_id),
        artifact: artifact(assisted, who, &activity.artifact.url),
        author: None,
        ..activity.clone()
    })
}

/// The agent that the trailers of a text name, if they name one.
#[must_use]
pub fn named(text: &str, agents: &KnownAgents) -> Option<String> {
    by_trailers(text, agents).filter(|(assisted, _)| *assisted > AgentAssisted::None).map(|(_, who)| who)
}

/// The strongest evidence among the trailers of a text.
fn by_trailers(text: &str, agents: &KnownAgents) -> Option<Shown> {
    // Most messages have none of them, and reading trailers costs more than looking for the words.
    if !text.as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"-by:")) {
        return None;
    }
    let shown = trailers(text).into_iter().filter_map(|(token, value)| match token.to_lowercase().as_str() {
        "co-authored-by" | "co-developed-by" => Some((AgentAssisted::Assisted, agents.person(&value)?)),
        "assisted-by" | "generated-by" if is_nobody(&value) => Some((AgentAssisted::None, String::new())),
        "assisted-by" | "generated-by" => Some((AgentAssisted::Assisted, agents.helper(&value)?)),
        _ => None,
    });
    shown.max()
}

/// Whether a trailer declares that there was no agent.
fn is_nobody(value: &str) -> bool {
    ["none", "nobody"].iter().any(|word| value.trim().trim_end_matches('.').eq_ignore_ascii_case(word))
}

/// Whether an agent took part, by the events up to a moment. That no agent did holds when it was declared of the whole task, or
/// of every commit.
#[must_use]
pub fn assistance(timeline: &[StoredEvent], upto: Millis) -> AgentAssisted {
    let (mut strongest, mut declared, mut commits) = (AgentAssisted::Unknown, BTreeSet::new(), BTreeSet::new());
    let past = timeline.iter().take_while(|stored| stored.event.at <= upto);
    for artifact in past.filter_map(|stored| stored.event.change.artifact()) {
        match (artifact.kind.as_str(), artifact.reference.parse()) {
            (COMMIT, _) => drop(commits.insert(artifact.reference.as_str())),
            (AGENT, Ok(AgentAssisted::None)) if !artifact.summary.is_empty() => {
                declared.insert(artifact.summary.as_str());
            }
            (AGENT, Ok(assisted)) => strongest = strongest.max(assisted),
            _ => {}
        }
    }
    let all_declared = !declared.is_empty() && commits.is_subset(&declared);
    strongest.max(if all_declared { AgentAssisted::None } else { AgentAssisted::Unknown })
}

#[cfg(test)]
mod tests;
