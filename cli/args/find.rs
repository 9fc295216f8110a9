//! The arguments of the commands that find insights.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use contextcore_core::model::insight::{Insight, InsightType};
use contextcore_core::query::fields_of;

use super::{Output, one_of};

/// Where insights are read.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ReadPlace {
    /// Only this project [default: $CONTEXTCORE_PROJECT, else the file .contextcore/project here or above, else all]
    #[arg(long, short = 'p', value_name = "PROJECT")]
    pub(crate) project: Option<String>,
    /// Insights of all projects
    #[arg(long, conflicts_with = "project")]
    pub(crate) all_projects: bool,
    /// State directory of the SDK [default: $CONTEXTCORE_STATE_DIR, else ~/.local/state/contextcore]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

/// What insights are asked for.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Filter {
    /// What it is: decision, lesson, question, blocker, risk, handoff, recommendation, discovery, analysis, progress (repeatable)
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', hide_possible_values = true, value_parser = types())]
    pub(crate) types: Vec<InsightType>,
    /// About this file or directory (repeatable)
    #[arg(long = "path", value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// About this task, or came up in it
    #[arg(long, value_name = "KEY")]
    pub(crate) task: Option<String>,
    /// About this service
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// With this tag (repeatable: with all of them)
    #[arg(long = "tag", alias = "tags", value_name = "WORD", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
    /// Recorded by this agent or person
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// For agents or for people
    #[arg(long, value_name = "WHO", value_parser = ["agent", "human", "both"])]
    pub(crate) audience: Option<String>,
    /// In this state: open (what holds or waits), all, or active, superseded, retracted, answered and so on, with commas
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// Reported since: a date, a time (RFC 3339), or an age such as 30d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// At least as sure as this, 0 to 1
    #[arg(long, value_name = "N")]
    pub(crate) min_confidence: Option<f64>,
}

/// The types as values.
pub(super) fn types() -> impl TypedValueParser<Value = InsightType> {
    PossibleValuesParser::new(InsightType::ALL.iter().map(|each| each.as_str()))
        .try_map(|name| name.parse::<InsightType>())
}

/// A search.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// Words to look for [default: everything that the other options leave]
    #[arg(value_name = "TEXT", conflicts_with = "text")]
    pub(crate) words: Option<String>,
    /// The same as an option
    #[arg(long, value_name = "TEXT", hide = true)]
    pub(crate) text: Option<String>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Print at most this many; stderr then has the cursor of the next page
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) limit: NonZeroUsize,
    /// Continue where an earlier page ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
    /// Print only these fields, in this order, e.g. id,type,summary: the names are those of the JSON output
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',', hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(fields_of::<Insight>()))]
    pub(crate) fields: Vec<String>,
    #[command(flatten)]
    pub(crate) place: ReadPlace,
}

/// One insight.
#[derive(Debug, Args)]
pub(crate) struct ShowInsight {
    /// Its id, or the beginning of it
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) place: ReadPlace,
}

/// Everything that a filter leaves.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// How to write them; it takes the place of the global option
    #[arg(
        id = "output",
        long = "format",
        alias = "output",
        short = 'o',
        value_name = "FORMAT",
        default_value = "jsonl"
    )]
    #[arg(value_parser = one_of(Output::EXPORTED))]
    pub(crate) format: Output,
    /// The file [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    #[command(flatten)]
    pub(crate) place: ReadPlace,
}

/// Questions.
#[derive(Debug, Args)]
pub(crate) struct Questions {
    /// Also those that are answered, withdrawn or expired
    #[arg(long)]
    pub(crate) all: bool,
    /// Only those that a task waits for
    #[arg(long)]
    pub(crate) blocking: bool,
    #[command(flatten)]
    pub(crate) place: ReadPlace,
}

/// Handoffs.
#[derive(Debug, Args)]
pub(crate) struct Handoffs {
    /// Also those that are completed, rejected or expired
    #[arg(long)]
    pub(crate) all: bool,
    /// Offered to this agent, to human or to any
    #[arg(long, value_name = "WHO")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) place: ReadPlace,
}
