//! The arguments of the commands that report insights: what agents and people decided, learned, ask and hand over.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use contextcore_core::model::insight::{InsightAction, InsightType};

use super::find::{Export, Find, ShowInsight, types};
use super::work::{Place, number, pair, percent};

/// What can be done with insights.
#[derive(Debug, Subcommand)]
pub(crate) enum Insight {
    /// Record a decision, lesson, question, risk or another insight, and print its id
    Emit(Box<Emit>),
    /// Find insights, the best first
    Query(Find),
    /// Show one insight, and what became of it
    Show(ShowInsight),
    /// Answer a question
    Answer(Answer),
    /// Take an insight back
    Retract(Change),
    /// Report what became of an insight: confirmed, contradicted, resolved and so on
    Update(Update),
    /// List what waits for a person's review, or review it
    Review(Review),
    /// Take back all that an agent recorded
    Revert(Revert),
    /// Write insights as JSON lines or Markdown
    Export(Export),
}

/// Who says it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Speaker {
    /// Id of the agent that says it [default: $CONTEXTCORE_AGENT; without one, a person says it]
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// Program that the agent is, e.g. claude-code
    #[arg(long, value_name = "NAME")]
    pub(crate) agent_name: Option<String>,
    /// Session of the agent
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Person for whom the agent works
    #[arg(long, value_name = "NAME")]
    pub(crate) on_behalf_of: Option<String>,
}

/// A new insight.
#[derive(Debug, Args)]
#[command(
    override_usage = "contextcore insight emit [OPTIONS] TYPE SUMMARY\n       contextcore insight emit [OPTIONS] --json FILE"
)]
pub(crate) struct Emit {
    /// Type and summary: decision, lesson, question, blocker, risk, recommendation, discovery, analysis, progress or handoff, and a
    /// sentence of at most 200 characters
    #[arg(value_name = "TYPE SUMMARY", num_args = 0..=2)]
    pub(crate) words: Vec<String>,
    /// Type, in place of the first argument
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) insight_type: Option<String>,
    /// Summary, in place of the argument
    #[arg(long, value_name = "TEXT")]
    pub(crate) summary: Option<String>,
    /// Fields as a JSON object, or several, from this file (`-` for stdin); flags come before them
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) fields: Fields,
    #[command(flatten, next_help_heading = "Who and where")]
    pub(crate) speaker: Speaker,
    #[command(flatten, next_help_heading = "Who and where")]
    pub(crate) place: Place,
}

/// The fields of an insight besides its type and summary.
#[derive(Debug, Default, Args)]
pub(crate) struct Fields {
    /// How sure, 0 to 1
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) confidence: Option<f64>,
    /// Why, in at most 2,000 characters
    #[arg(long, value_name = "TEXT")]
    pub(crate) rationale: Option<String>,
    /// Category, a word of your own
    #[arg(long, value_name = "WORD")]
    pub(crate) category: Option<String>,
    /// For whom
    #[arg(long, value_name = "WHO", value_parser = ["agent", "human", "both"])]
    pub(crate) audience: Option<String>,
    /// How bad, for risks and blockers
    #[arg(long, value_name = "WORD")]
    pub(crate) severity: Option<String>,
    /// What it is about (repeatable): a path or pattern, task:KEY, service:NAME, epic:KEY, label:NAME [default: the whole project]
    #[arg(long, alias = "scope", value_name = "SCOPE")]
    pub(crate) applies_to: Vec<String>,
    /// Tag (repeatable)
    #[arg(long = "tag", alias = "tags", value_name = "WORD", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
    /// What supports it (repeatable), e.g. commit:9fceb02, pr:acme/shop#7, task:PROJ-1, an address, or a document
    #[arg(long, value_name = "KIND:REF")]
    pub(crate) evidence: Vec<String>,
    /// Another fact (repeatable, at most 16); file=PATH says what it is about
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) context: Vec<(String, String)>,
    /// Insight that this one replaces (repeatable)
    #[arg(long, value_name = "ID")]
    pub(crate) supersedes: Vec<String>,
    /// When it stops to hold: a date, a time, or a time span such as 30d
    #[arg(long = "expires-at", alias = "expires", value_name = "TIME")]
    pub(crate) expires_at: Option<String>,
    /// Task that it came up in
    #[arg(long, value_name = "KEY")]
    pub(crate) task: Option<String>,
    /// Makes insights with this key the same one, whatever they say
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Answer that a question allows (repeatable)
    #[arg(long = "option", alias = "options", value_name = "TEXT")]
    pub(crate) options: Vec<String>,
    /// The task waits for the answer
    #[arg(long)]
    pub(crate) blocking: bool,
    /// Who is asked, or takes over: an agent's id, human or any
    #[arg(long, value_name = "WHO")]
    pub(crate) to: Option<String>,
    /// What the one who takes over needs (repeatable)
    #[arg(long = "input", alias = "inputs", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) inputs: Vec<(String, String)>,
    /// What is done already (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub(crate) done: Vec<String>,
    /// What is left to do (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub(crate) remaining: Vec<String>,
    /// How much is done, in percent
    #[arg(long, value_name = "N", value_parser = percent)]
    pub(crate) percent: Option<f64>,
}

/// An answer to a question.
#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// Question, or the beginning of its id
    pub(crate) id: String,
    /// Answer
    pub(crate) text: String,
    /// Who answers [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    #[command(flatten, next_help_heading = "Who and where")]
    pub(crate) speaker: Speaker,
    #[command(flatten, next_help_heading = "Who and where")]
    pub(crate) place: Place,
}

/// A change of an insight, with its reason.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// Its id, or the beginning of it
    pub(crate) id: String,
    /// Why
    #[arg(value_name = "REASON")]
    pub(crate) words: Option<String>,
    /// Why, in place of the argument
    #[arg(long, alias = "text", value_name = "TEXT", conflicts_with = "words")]
    pub(crate) reason: Option<String>,
    /// Who does it [default: the user of the operating system, unless an agent does]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// What supports it (repeatable), as for `emit`
    #[arg(long, value_name = "KIND:REF")]
    pub(crate) evidence: Vec<String>,
    #[command(flatten, next_help_heading = "Who and where")]
    pub(crate) speaker: Speaker,
    #[command(flatten, next_help_heading = "Who and where")]
    pub(crate) place: Place,
}

/// What became of an insight.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// What happened
    #[arg(value_parser = PossibleValuesParser::new(InsightAction::ALL.iter().map(|each| each.as_str())))]
    pub(crate) action: String,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// A review by a person.
#[derive(Debug, Args)]
pub(crate) struct Review {
    /// Insights to review, or the beginnings of their ids [default: ask for each on a terminal, else list them]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// They hold (the default when ids are given)
    #[arg(long, conflicts_with_all = ["contradict", "retract"])]
    pub(crate) confirm: bool,
    /// They do not hold
    #[arg(long, conflicts_with = "retract", requires = "ids")]
    pub(crate) contradict: bool,
    /// Take them back
    #[arg(long, requires = "ids")]
    pub(crate) retract: bool,
    /// Why
    #[arg(long, value_name = "TEXT", requires = "ids")]
    pub(crate) reason: Option<String>,
    /// Who reviews [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// Those of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = types())]
    pub(crate) insight_type: Option<InsightType>,
    /// Also those that were given to somebody less than three times
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten, next_help_heading = "Where")]
    pub(crate) place: Place,
}

/// Undoes an agent.
#[derive(Debug, Args)]
pub(crate) struct Revert {
    /// Id of the agent
    #[arg(long, value_name = "ID")]
    pub(crate) agent: String,
    /// Only what it recorded since: a date, a time, or an age such as 30d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Who does it [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// Only say what would be taken back
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten, next_help_heading = "Where")]
    pub(crate) place: Place,
}

/// What can be done with handoffs.
#[derive(Debug, Subcommand)]
pub(crate) enum Handoff {
    /// Offer work to another agent, to human or to any, and print its id
    #[command(visible_alias = "offer")]
    Create(Box<Offer>),
    /// Take over what was offered
    Accept(Change),
    /// Report that what was taken over is done
    Complete(Change),
    /// Decline it
    Reject(Change),
}

/// Work that is offered.
#[derive(Debug, Args)]
#[command(override_usage = "contextcore handoff create [OPTIONS] TO SUMMARY")]
pub(crate) struct Offer {
    /// Who takes over (an agent's id, human or any), and a sentence of at most 200 characters
    #[arg(value_name = "TO SUMMARY", num_args = 0..=2)]
    pub(crate) words: Vec<String>,
    /// Who takes over, in place of the first argument
    #[arg(long, value_name = "WHO")]
    pub(crate) to: Option<String>,
    /// Summary, in place of the argument
    #[arg(long, value_name = "TEXT")]
    pub(crate) summary: Option<String>,
    /// Task that is handed over
    #[arg(long, value_name = "KEY")]
    pub(crate) task: Option<String>,
    /// What is done already (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub(crate) done: Vec<String>,
    /// What is left to do (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub(crate) remaining: Vec<String>,
    /// What the one who takes over needs (repeatable, at most 4 kB in all)
    #[arg(long = "input", alias = "inputs", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) inputs: Vec<(String, String)>,
    /// Why, in at most 2,000 characters
    #[arg(long, value_name = "TEXT")]
    pub(crate) rationale: Option<String>,
    /// What it is about (repeatable), as for `insight emit`
    #[arg(long, alias = "scope", value_name = "SCOPE")]
    pub(crate) applies_to: Vec<String>,
    /// Until when it is offered: a date, a time, or a time span such as 2d [default: 7d]
    #[arg(long = "expires-at", alias = "expires", value_name = "TIME")]
    pub(crate) expires_at: Option<String>,
    /// Makes handoffs with this key the same one
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    #[command(flatten, next_help_heading = "Who and where")]
    pub(crate) speaker: Speaker,
    #[command(flatten, next_help_heading = "Who and where")]
    pub(crate) place: Place,
}

impl Offer {
    /// The same as a new insight.
    pub(crate) fn emit(self) -> Emit {
        let mut words = self.words.into_iter();
        let to = self.to.or_else(|| words.next());
        let fields = Fields {
            to,
            task: self.task,
            done: self.done,
            remaining: self.remaining,
            inputs: self.inputs,
            rationale: self.rationale,
            applies_to: self.applies_to,
            expires_at: self.expires_at,
            key: self.key,
            ..Fields::default()
        };
        Emit {
            words: words.collect(),
            insight_type: Some(InsightType::Handoff.to_string()),
            summary: self.summary,
            json: None,
            fields,
            speaker: self.speaker,
            place: self.place,
        }
    }
}
