//! `contextcore git`: links commits to tasks. [`install`] puts hooks into a repository, [`hook`] is what they run, [`check`] is for
//! CI, and [`message`] says what a commit names (pure).
//!
//! A hook never blocks a commit, unless the repository is strict: `git config contextcore.strict true`, or `git.strict` of the
//! configuration.

mod check;
mod hook;
mod install;
mod message;

use contextcore_core::model::trailers;
use contextcore_core::repository::Repository;

use crate::app::Context;
use crate::args;
use crate::failure::{Failure, Outcome};

pub(crate) async fn run(context: &Context, command: args::Git) -> Outcome {
    match command {
        args::Git::Install(arguments) => install::install(context, &arguments),
        args::Git::Uninstall => install::uninstall(context),
        args::Git::Check { range } => check::run(context, &range).await,
        args::Git::Hook(arguments) => hook::run(context, &arguments),
    }
}

/// The repository around the working directory.
fn repository() -> Result<Repository, Failure> {
    let here = std::env::current_dir()?;
    let found = Repository::around(&here);
    found.ok_or_else(|| Failure::usage(format!("{} is in no git repository", here.display())))
}

/// The repository that `origin` means, as `owner/name`.
pub(crate) fn remote(repository: &Repository) -> Option<String> {
    let url = repository.git(&["config", "--get", "remote.origin.url"])?;
    trailers::repository_of_remote(url.trim())
}
