//! What the hooks run. Each ends in a few milliseconds: it reads `HEAD` itself, and asks git once.
//!
//! Merges, squashes, rebases, reverts and picks are left alone: their messages are other commits'.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use contextcore_core::config::{self, Config};
use contextcore_core::model::agents::{self, KnownAgents};
use contextcore_core::model::operation::{Operation, TaskEvent, TaskLink};
use contextcore_core::model::trailers;
use contextcore_core::repository::Repository;

use super::{message, remote, repository};
use crate::app::Context;
use crate::args::{GitHook, Place};
use crate::failure::{Exit, Failure, Outcome};
use crate::guide::found::{self, configuration};
use crate::record::record_quietly;
use crate::{lanes, project};

/// Files and directories in git's directory that say what is going on.
const BUSY: [&str; 6] = ["MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "SQUASH_MSG"];

pub(super) fn run(context: &Context, arguments: &GitHook) -> Outcome {
    let repository = repository()?;
    let directory = git_directory(&repository);
    if BUSY.iter().any(|name| directory.join(name).exists()) {
        return Ok(Exit::Done);
    }
    let file = arguments.file.as_deref();
    match (arguments.name.as_str(), file) {
        ("prepare-commit-msg", Some(file)) => {
            prepare(&repository, &directory, file, arguments.rest.first().map(String::as_str))
        }
        ("commit-msg", Some(file)) => check(context, &repository, file),
        ("post-commit", _) => link(context, &repository),
        (name, _) => Err(Failure::usage(format!("{name} needs the file with the message"))),
    }
}

/// The directory of git for this worktree. Hooks have it in a variable.
fn git_directory(repository: &Repository) -> PathBuf {
    if let Some(given) = std::env::var_os("GIT_DIR").filter(|given| !given.is_empty()) {
        return std::path::absolute(&given).unwrap_or_else(|_| given.into());
    }
    let path = repository.root().join(".git");
    let linked = fs::read_to_string(&path).ok();
    let linked = linked.and_then(|text| Some(text.strip_prefix("gitdir:")?.trim().to_owned()));
    linked.map_or(path, |linked| repository.root().join(linked))
}

/// Adds the tasks that the branch names.
fn prepare(repository: &Repository, directory: &Path, file: &Path, source: Option<&str>) -> Outcome {
    if matches!(source, Some("merge" | "squash")) {
        return Ok(Exit::Done);
    }
    let Some(branch) = branch(repository, directory) else { return Ok(Exit::Done) };
    let keys = repository_keys(repository, &branch);
    let tasks = message::of_branch(&branch, &keys);
    let text = read(file)?;
    if tasks.is_empty() || message::has_task(&text) || message::is_revert(&text) {
        return Ok(Exit::Done);
    }
    let mut git = Command::new("git");
    git.args(["interpret-trailers", "--in-place", "--if-exists", "addIfDifferent"]);
    git.args(tasks.iter().flat_map(|task| ["--trailer".to_owned(), format!("Task: {task}")]));
    let status = git.arg(file).stdin(Stdio::null()).status()?;
    if status.success() {
        Ok(Exit::Done)
    } else {
        Err(Failure::new(Exit::Internal, "git could not add a trailer".to_owned()))
    }
}

/// The branch that is checked out, if one is.
fn branch(repository: &Repository, directory: &Path) -> Option<String> {
    let head = fs::read_to_string(directory.join("HEAD")).ok()?;
    let name = head.trim().strip_prefix("ref: refs/heads/")?;
    if name == ".invalid" {
        // Another storage of refs, where only git knows.
        return repository.git(&["symbolic-ref", "--short", "--quiet", "HEAD"]).map(|name| name.trim().to_owned());
    }
    Some(name.to_owned())
}

/// The project keys that count in lower case, too. Git is only asked where one could.
fn repository_keys(repository: &Repository, branch: &str) -> Vec<String> {
    if !message::needs_projects(branch) {
        return Vec::new();
    }
    let set = repository.git(&["config", "--get", "contextcore.keys"]).unwrap_or_default();
    set.split([' ', ',', '\n']).filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// Says when a commit names no task, and refuses it if the repository is strict.
fn check(context: &Context, repository: &Repository, file: &Path) -> Outcome {
    let text = read(file)?;
    if message::is_ours_alone(&without_own_comments(repository, &text)) {
        // Whoever leaves a message empty wants no commit.
        fs::write(file, "")?;
        return Ok(Exit::Done);
    }
    let is_empty = trailers::without_comments(&text).trim().is_empty();
    if is_empty || message::is_free(&text) || !message::named(&text, Some("this/repository")).is_empty() {
        return Ok(Exit::Done);
    }
    let strict = is_strict(context, repository);
    let what = if strict { "refused: this commit" } else { "this commit" };
    eprintln!(
        "contextcore: {what} names no task; add a line `Task: KEY` at its end, or begin it with chore, docs, ci, build or style"
    );
    Ok(if strict { Exit::Found } else { Exit::Done })
}

/// Whether commits are refused. A configuration that cannot be used refuses none.
fn is_strict(context: &Context, repository: &Repository) -> bool {
    let set = repository.git(&["config", "--type=bool", "--get", "contextcore.strict"]);
    if let Some(set) = set {
        return set.trim() == "true";
    }
    let here = repository.root().join(config::FILE_NAME);
    let named = context.global.config.clone().or_else(|| here.exists().then_some(here));
    let path = config::locate(named.as_deref()).ok();
    path.and_then(|path| config::load_alone(&path, &crate::app::kinds()).ok()).is_some_and(|config| config.git.strict)
}

/// Reports that the new commit belongs to the tasks that its trailers name.
fn link(context: &Context, repository: &Repository) -> Outcome {
    let shown = repository.git(&["log", "-1", "--format=%H%n%P%n%an%n%B", "HEAD"]).unwrap_or_default();
    let mut lines = shown.splitn(4, '\n');
    let (commit, parents, author) = (lines.next(), lines.next().unwrap_or_default(), lines.next());
    let (Some(commit), Some(text)) = (commit, lines.next()) else { return Ok(Exit::Done) };
    let tasks = linked(text, || remote(repository));
    if parents.contains(' ') || tasks.is_empty() {
        return Ok(Exit::Done);
    }
    let place =
        Place { project: None, actor: None, at: None, state: None, endpoint: None, protocol: None, no_drain: false };
    let config = configuration(context).ok().flatten();
    let named = found::project_of(&place, config.as_ref(), Some(repository));
    let state = lanes::state_dir(None)?;
    let project = project::find(context, named.as_deref(), &state)?;
    let agent = agents::named(text, &known_agents(config.as_ref()));
    let links = tasks.into_iter().flat_map(|task| {
        let evidence = agent.as_deref().map(|agent| Operation::Event(TaskEvent::of_agent(&task, agent)));
        let link = TaskLink { task, kind: "commit".to_owned(), reference: commit.to_owned(), url: None };
        std::iter::once(Operation::Link(link)).chain(evidence).map(|operation| (operation, author.map(str::to_owned)))
    });
    record_quietly(&state, &project, &place, links.collect())?;
    Ok(Exit::Done)
}

/// The tasks that trailers name. Git is only asked for the repository where one names a bare number, as `Closes: #60`.
fn linked(text: &str, remote: impl FnOnce() -> Option<String>) -> BTreeSet<String> {
    let has_number = trailers::tasks(text, Some("this/repository")) != trailers::tasks(text, None);
    let remote = if has_number { remote() } else { None };
    trailers::tasks(text, remote.as_deref())
}

/// The agents that everybody knows, and those that the configuration names.
fn known_agents(config: Option<&Config>) -> KnownAgents {
    let sources = config.into_iter().flat_map(|config| &config.sources);
    let names: Vec<String> = sources.flat_map(|source| source.agents.iter().cloned()).collect();
    KnownAgents::with(&names)
}

/// A message without its comments, where the repository marks them otherwise than by `#`. Git is only asked where it matters.
fn without_own_comments(repository: &Repository, text: &str) -> String {
    let may_be_empty = text.trim_start().starts_with("Task: ");
    let key = |name: &str| repository.git(&["config", "--get", name]);
    let mark = may_be_empty.then(|| key("core.commentString").or_else(|| key("core.commentChar"))).flatten();
    let Some(mark) = mark.map(|mark| mark.trim_end_matches('\n').to_owned()).filter(|mark| !mark.is_empty()) else {
        return text.to_owned();
    };
    text.lines().filter(|line| !line.starts_with(&mark)).map(|line| format!("{line}\n")).collect()
}

/// A message. Not all are UTF-8; what is not is left as it is by git.
fn read(file: &Path) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&fs::read(file)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_a_task_of_the_repository() {
        let tasks = |text: &str, remote: Option<&str>| -> Vec<String> {
            linked(text, || remote.map(str::to_owned)).into_iter().collect()
        };
        let text = "Fix it\n\nCloses: #60\nTask: PROJ-1\n";
        let known = tasks(text, Some("acme/shop"));
        assert!(known.iter().any(|key| key.eq_ignore_ascii_case("acme/shop#60")), "{known:?}");
        assert_eq!(tasks(text, None), ["PROJ-1"]);
        let asked = linked("Fix it\n\nTask: PROJ-1\n", || panic!("nothing needs the repository"));
        assert_eq!(asked.len(), 1);
    }

    #[test]
    fn the_agents_that_the_configuration_names_are_agents() {
        let text = "store: {path: x}\nagents: {names: [Codexine]}\nsources: [{name: a, kind: sdk, path: state}]\n";
        let config = config::parse(text, "x.yaml", &crate::app::kinds()).unwrap();
        let message = "Fix it\n\nCo-authored-by: Codexine <bot@codexine.example>\n";
        assert!(agents::named(message, &known_agents(Some(&config))).is_some());
        assert!(agents::named(message, &known_agents(None)).is_none());
    }
}
