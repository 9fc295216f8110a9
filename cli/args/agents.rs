//! The arguments of `contextcore agents`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Agents {
    /// Write the marked block of AGENTS.md: blocking constraints, reviewed decisions and lessons, open questions
    Export(AgentsExport),
    /// Show how work flowed with and without agents in the last 90 days: by type and size, groups of at least 20 tasks of 5 people
    Flow(AgentsFlow),
}

#[derive(Debug, Args)]
pub(crate) struct AgentsFlow {
    /// Only this project
    #[arg(long, short = 'p', value_name = "PROJECT")]
    pub(crate) project: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AgentsExport {
    /// File to write the block into; a CLAUDE.md gets one line that imports AGENTS.md
    #[arg(long, value_name = "FILE", default_value = "AGENTS.md")]
    pub(crate) file: PathBuf,
    /// Project [default: $CONTEXTCORE_PROJECT, else .contextcore/project, else all]
    #[arg(long, short = 'p', value_name = "PROJECT")]
    pub(crate) project: Option<String>,
    /// Only what holds in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// Most tokens of the block
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = clap::value_parser!(u32).range(200..=20_000))]
    pub(crate) max_tokens: u32,
    /// Write nothing; exit code 3 if the block is missing, or was changed by hand
    #[arg(long)]
    pub(crate) check: bool,
}
