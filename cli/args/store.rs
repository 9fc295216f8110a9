//! The arguments of the commands that fill and export the store, and of those that maintain it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use contextcore_core::store::DeadId;

#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// Sync only these sources
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Read everything again, not only changes
    #[arg(long)]
    pub(crate) full: bool,
    /// Read and report, but write and export nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Sources {
    #[command(subcommand)]
    pub(crate) command: Option<SourcesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SourcesCommand {
    /// Hand a source over to another replica, which keeps it as long as it lives
    Move(MoveSource),
}

#[derive(Debug, Args)]
pub(crate) struct MoveSource {
    /// The source
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// The replica, as `sources` prints it, or its host [default: the next one in line]
    #[arg(long, value_name = "REPLICA")]
    pub(crate) to: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Only events since this date, time (RFC 3339) or age such as 30d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only this source
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// Only this project: one of the portfolio, or the tool's own
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// List them, with the backend's reason and what to do
    List,
    /// Send them again, each once; those that are accepted are removed
    Retry(ChosenLetters),
    /// Remove them without sending; `replay` can still export their history
    Drop(ChosenLetters),
}

#[derive(Debug, Args)]
pub(crate) struct ChosenLetters {
    /// Ids as `list` prints them [default: all]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<DeadId>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Rewrite it to reclaim unused space
    Compact,
    /// Write all of it to a file, with a hash (`-` for stdout)
    Export {
        /// The file
        file: PathBuf,
    },
    /// Make the store from a whole export (`-` for stdin)
    Import {
        /// The file
        file: PathBuf,
    },
    /// Copy all of it into another one, which is empty, and read the copy back; nothing may write to either meanwhile
    Copy {
        /// A directory, or a configuration file, whose store is meant [default: the store of the configuration]
        #[arg(long, value_name = "DIR|FILE")]
        from: Option<PathBuf>,
        /// The same
        #[arg(long, value_name = "DIR|FILE")]
        to: PathBuf,
    },
    /// Read all of it and check that it is consistent
    Verify,
}
