//! Puts hooks into a repository, where git looks for them: `core.hooksPath`, or the directory that all worktrees share. A hook that
//! is there is moved aside and runs first, with the arguments it would have had.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use contextcore_core::repository::Repository;
use serde_json::json;

use super::repository;
use crate::app::Context;
use crate::args::GitInstall;
use crate::failure::{Exit, Failure, Outcome};
use crate::guide::found::configuration;
use crate::output;

/// The hooks.
const HOOKS: [&str; 3] = ["prepare-commit-msg", "commit-msg", "post-commit"];
/// The line by which a hook is ours.
const MARK: &str = "# contextcore git install";
/// What the name of a hook that was there ends in.
const BEFORE: &str = ".before-contextcore";
/// A shell script goes on thinking that it has its old name, since many find what to do by it.
const TEMPLATE: &str = r#"#!/bin/sh
# contextcore git install
# Links commits to tasks. `contextcore git uninstall` removes this file and restores what was here before.
before="$0.before-contextcore"
if [ -x "$before" ]; then
  IFS= read -r first < "$before" || :
  case "$first" in
    '#!/bin/sh'|'#!/usr/bin/env sh'|'#!/usr/bin/sh') before="$before" sh -c '. "$before"' "$0" "$@" || exit ;;
    '#!/bin/bash'|'#!/usr/bin/env bash'|'#!/usr/bin/bash') before="$before" bash -c '. "$before"' "$0" "$@" || exit ;;
    *) "$before" "$@" || exit ;;
  esac
fi
program=PROGRAM
[ -x "$program" ] || program=contextcore
"$program" git hook NAME "$@"
code=$?
[ "$code" -eq 0 ] && exit 0
[ "$code" -eq 3 ] && exit 1
[ "$(git config --type=bool --get contextcore.strict)" = true ] || exit 0
echo "contextcore: the hook failed, and contextcore.strict is set" >&2
exit 1
"#;

pub(super) fn install(context: &Context, arguments: &GitInstall) -> Outcome {
    let json = context.is_json("git install")?;
    let repository = repository()?;
    let directory = hooks(&repository)?;
    let program = std::env::current_exe()?;
    fs::create_dir_all(&directory).map_err(|error| failed(&directory, &error))?;
    // All or none.
    HOOKS.iter().try_for_each(|name| check(&directory.join(name)))?;
    let mut moved = Vec::new();
    for name in HOOKS {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() && !is_ours(&path) {
            fs::rename(&path, before(&path)).map_err(|error| failed(&path, &error))?;
            moved.push(name);
        }
        write(&path, &text(&program, name)).map_err(|error| failed(&path, &error))?;
    }
    let is_strict = arguments.strict || configuration(context)?.is_some_and(|config| config.git.strict);
    if is_strict {
        set(&repository, "contextcore.strict", "true")?;
    }
    if !arguments.keys.is_empty() {
        set(&repository, "contextcore.keys", &arguments.keys.join(" "))?;
    }
    let view = json!({"hooks": directory, "chained": moved, "strict": is_strict});
    output::print_compact(json, &view, |_| {
        let chained = if moved.is_empty() { String::new() } else { format!(", before them: {}", moved.join(", ")) };
        format!("installed {} in {}{chained}\n", HOOKS.join(", "), directory.display())
    })?;
    Ok(Exit::Done)
}

pub(super) fn uninstall(context: &Context) -> Outcome {
    let json = context.is_json("git uninstall")?;
    let repository = repository()?;
    let directory = hooks(&repository)?;
    let (mut removed, mut restored) = (Vec::new(), Vec::new());
    for name in HOOKS {
        let path = directory.join(name);
        if !is_ours(&path) {
            if path.symlink_metadata().is_ok() {
                tracing::warn!("{} was changed since, so it stays", path.display());
            }
            continue;
        }
        fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
        removed.push(name);
        if before(&path).symlink_metadata().is_ok() {
            fs::rename(before(&path), &path).map_err(|error| failed(&path, &error))?;
            restored.push(name);
        }
    }
    for key in ["contextcore.strict", "contextcore.keys"] {
        // Fails where there is none.
        let _unset = repository.git(&["config", "--local", "--unset-all", key]);
    }
    let view = json!({"hooks": directory, "removed": removed, "restored": restored});
    output::print_compact(json, &view, |_| match removed.is_empty() {
        true => format!("no hook of contextcore in {}\n", directory.display()),
        false => format!("removed {} from {}\n", removed.join(", "), directory.display()),
    })?;
    Ok(Exit::Done)
}

/// Where git looks for hooks.
fn hooks(repository: &Repository) -> Result<PathBuf, Failure> {
    let path = repository.git(&["rev-parse", "--git-path", "hooks"]);
    let path = path.ok_or_else(|| Failure::new(Exit::Internal, "git does not say where its hooks are".to_owned()))?;
    Ok(repository.root().join(path.trim_end_matches('\n')))
}

fn set(repository: &Repository, key: &str, value: &str) -> Result<(), Failure> {
    let done = repository.git(&["config", "--local", key, value]);
    done.map(drop).ok_or_else(|| Failure::new(Exit::Internal, format!("git could not set {key}")))
}

/// Whether the place of a hook can be ours: a second hook that came later must not replace the one that was moved aside.
fn check(path: &Path) -> Result<(), Failure> {
    let before = before(path);
    if path.symlink_metadata().is_err() || is_ours(path) || before.symlink_metadata().is_err() {
        return Ok(());
    }
    let text =
        format!("both {} and {} are there: remove the one that you do not need", path.display(), before.display());
    Err(Failure::usage(text))
}

fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(BEFORE);
    name.into()
}

fn is_ours(path: &Path) -> bool {
    let is_link = path.symlink_metadata().is_ok_and(|data| data.is_symlink());
    !is_link && fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).lines().any(|line| line == MARK))
}

fn text(program: &Path, name: &str) -> String {
    let quoted = format!("'{}'", program.display().to_string().replace('\'', r"'\''"));
    TEMPLATE.replace("PROGRAM", &quoted).replace("NAME", name)
}

/// Written beside and renamed: a commit that runs meanwhile finds the one or the other.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(draft.path(), text)?;
    fs::set_permissions(draft.path(), fs::Permissions::from_mode(0o755))?;
    draft.persist(path).map(drop).map_err(|error| error.error)
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Internal, format!("write {}: {error}", path.display()))
}
