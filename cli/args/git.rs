//! The arguments of `contextcore git`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Git {
    /// Install hooks in the repository of the working directory; hooks that are there keep running
    Install(GitInstall),
    /// Remove the hooks, and restore what was there before
    Uninstall,
    /// Check that each commit names a known task, or is of type chore, docs, ci, build or style; exit code 3 if one does not
    Check {
        /// Commits as `git log` takes them, e.g. origin/main..HEAD
        range: String,
    },
    /// What the hooks run
    #[command(hide = true)]
    Hook(GitHook),
}

#[derive(Debug, Args)]
pub(crate) struct GitInstall {
    /// Refuse commits that name no task, here and in all worktrees of the repository
    #[arg(long)]
    pub(crate) strict: bool,
    /// Project keys to find in branches in lower case, too, e.g. eng/eng-12-checkout
    #[arg(long = "key", value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GitHook {
    /// Name of the hook
    #[arg(value_parser = ["prepare-commit-msg", "commit-msg", "post-commit"])]
    pub(crate) name: String,
    /// File with the message
    pub(crate) file: Option<PathBuf>,
    /// Where the message comes from, and a commit
    pub(crate) rest: Vec<String>,
}
