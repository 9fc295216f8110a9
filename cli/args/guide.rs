//! The arguments of `contextcore guide`.

use clap::{Args, Subcommand};
use contextcore_core::config::guidance::is_slug;
use contextcore_core::model::guidance::until;

use super::Place;

/// Guidance that people give to agents.
#[derive(Debug, Args)]
pub(crate) struct Guide {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: GuideCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GuideCommand {
    /// Add guidance; replaces what has the same id
    Add(GuideAdd),
    /// List the guidance that holds, the strictest first
    List {
        /// Only what holds for these paths
        #[arg(value_name = "PATH")]
        paths: Vec<String>,
        /// The same, as the SDKs ask
        #[arg(long = "path", value_name = "PATH", hide = true)]
        more_paths: Vec<String>,
        /// Also what has ended
        #[arg(long)]
        all: bool,
    },
    /// Show everything with an id
    Show {
        /// Id, as `list` prints it or without its source
        id: String,
    },
    /// End guidance that was added here
    End {
        /// Id, as `list` prints it or without its source
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Say what holds for paths; exit code 3 if a blocking constraint does
    Check {
        /// Paths; `-` reads them from stdin, one a line or as git prints them (-z too)
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<String>,
        /// The repository that the paths are in [default: that of the working directory, by its remotes]
        #[arg(long, value_name = "OWNER/NAME")]
        repo: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GuideAdd {
    /// What kind it is
    #[arg(value_parser = ["constraint", "preference", "focus", "context"])]
    pub(crate) kind: String,
    /// What it says, in a sentence
    pub(crate) text: String,
    /// The paths it holds for, e.g. 'src/checkout/**' [default: all]
    #[arg(long, value_name = "GLOB")]
    pub(crate) scope: Option<String>,
    /// How binding it is; what is added here is never more than a warning
    #[arg(long, value_parser = ["blocking", "warning", "advisory"])]
    pub(crate) severity: Option<String>,
    /// Until when, e.g. 2027-01-31
    #[arg(long, value_name = "DATE", value_parser = end)]
    pub(crate) until: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// A short id [default: made from the text]
    #[arg(long, value_parser = slug)]
    pub(crate) id: Option<String>,
}

fn end(text: &str) -> Result<String, String> {
    match until(text) {
        Some(_) => Ok(text.trim().to_owned()),
        None => Err("write it like 2027-01-31 or 2027-01-31T12:00:00Z".to_owned()),
    }
}

fn slug(text: &str) -> Result<String, String> {
    if is_slug(text) {
        Ok(text.to_owned())
    } else {
        Err("use a-z, 0-9 and hyphens, such as no-breaking-api".to_owned())
    }
}
