//! Which project a command reports to, and how it was found: the flag, else the variable, else the file `.contextcore/project`
//! in this directory or one above it.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use contextcore_core::config::{self, nearest_known};
use contextcore_core::model::{printable, project_file};
use contextcore_core::repository;
use contextcore_spool::StateDir;

use crate::app::{self, Context};
use crate::failure::Failure;
use crate::lanes;

const VARIABLE: &str = "CONTEXTCORE_PROJECT";
const FILE: &str = project_file::PLACE;
/// How many known projects a message names.
const SHOWN: usize = 10;

/// A project, and who named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    pub(crate) name: String,
    pub(crate) by: NamedBy,
}

/// Who named a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// `--project`.
    Flag,
    /// The variable.
    Variable,
    /// A file.
    File(PathBuf),
    /// What it is about is in this project.
    Subject,
}

impl fmt::Display for NamedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("--project"),
            Self::Variable => f.write_str(VARIABLE),
            Self::File(path) => path.display().fmt(f),
            Self::Subject => f.write_str("the insight"),
        }
    }
}

impl Project {
    /// The name, and who named it unless the caller just did.
    pub(crate) fn described(&self) -> String {
        match &self.by {
            NamedBy::Flag | NamedBy::Subject => printable::one_line(&self.name).into_owned(),
            by => format!("{}, from {by}", printable::one_line(&self.name)),
        }
    }
}

/// The project that is named somewhere, if one is.
pub(crate) fn named(flag: Option<&str>) -> Result<Option<Project>, Failure> {
    let directory = std::env::current_dir().unwrap_or_default();
    named_in(flag, lanes::variable(VARIABLE), &directory)
}

/// The project to report to. One that is new here and nearly has the name of another is reported to, with a warning.
pub(crate) fn find(context: &Context, flag: Option<&str>, state: &StateDir) -> Result<Project, Failure> {
    let Some(project) = named(flag)? else { return Err(none(&known(context, state))) };
    let reported = state.projects().unwrap_or_default();
    if !reported.is_empty() && !reported.contains(&project.name) {
        warn_of_slip(&project.name, &known(context, state));
    }
    Ok(project)
}

/// The names of the projects that have reported here or that the configuration has.
pub(crate) fn known(context: &Context, state: &StateDir) -> BTreeSet<String> {
    let mut known = state.projects().unwrap_or_default();
    let path = config::locate(context.global.config.as_deref());
    let configured = path.ok().and_then(|path| config::load_alone(&path, &app::kinds()).ok());
    known.extend(configured.into_iter().flat_map(|config| config.projects).map(|project| project.id));
    known
}

fn warn_of_slip(name: &str, known: &BTreeSet<String>) {
    if known.contains(name) {
        return;
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    if let Some(near) = nearest_known(name, &known) {
        tracing::warn!("the project `{name}` is new here; did you mean `{near}`?");
    }
}

fn named_in(flag: Option<&str>, variable: Option<String>, directory: &Path) -> Result<Option<Project>, Failure> {
    let (name, by) = match (flag, variable) {
        (Some(name), _) => (name.to_owned(), NamedBy::Flag),
        (None, Some(name)) => (name, NamedBy::Variable),
        (None, None) => match in_file(directory)? {
            Some((name, path)) => (name, NamedBy::File(path)),
            None => return Ok(None),
        },
    };
    let name = name.trim().to_owned();
    if name.is_empty() {
        return Err(Failure::usage(format!("the project's name is empty: {by}")));
    }
    Ok(Some(Project { name, by }))
}

/// What the nearest file says, with its path.
fn in_file(directory: &Path) -> Result<Option<(String, PathBuf)>, Failure> {
    let failed = |(path, error): (PathBuf, io::Error)| Failure::usage(format!("read {}: {error}", path.display()));
    repository::named_project(directory).map_err(failed)
}

fn none(known: &BTreeSet<String>) -> Failure {
    let shown: Vec<&str> = known.iter().map(String::as_str).take(SHOWN).collect();
    let more = known.len().saturating_sub(SHOWN);
    let known = match (shown.as_slice(), more) {
        ([], _) => String::new(),
        (shown, 0) => format!("; known here: {}", shown.join(", ")),
        (shown, more) => format!("; known here: {} and {more} more", shown.join(", ")),
    };
    Failure::usage(format!("no project is named: use --project, set {VARIABLE}, or write its name into {FILE}{known}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn the_flag_comes_before_the_variable_and_that_before_the_nearest_file() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        std::fs::create_dir_all(dir.path().join(".contextcore")).unwrap();
        std::fs::create_dir_all(&deep).unwrap();
        let file = dir.path().join(FILE);
        std::fs::write(&file, "# the project of this repository\n\n shop \n").unwrap();
        let found = |flag: Option<&str>, variable: Option<&str>| {
            named_in(flag, variable.map(str::to_owned), &deep).unwrap().unwrap()
        };
        assert_eq!(found(Some("a"), Some("b")), Project { name: "a".into(), by: NamedBy::Flag });
        assert_eq!(found(None, Some(" b ")), Project { name: "b".into(), by: NamedBy::Variable });
        assert_eq!(found(None, None), Project { name: "shop".into(), by: NamedBy::File(file.clone()) });
        assert!(found(None, None).described().ends_with("project"));
        assert_eq!(named_in(Some(" "), None, &deep).unwrap_err().exit, Exit::Usage);
        std::fs::write(&file, "\n").unwrap();
        assert!(named_in(None, None, &deep).unwrap_err().lines[0].contains(FILE));
    }

    #[test]
    fn without_a_project_the_known_ones_are_named() {
        let line = |names: &[&str]| none(&names.iter().map(|name| (*name).to_owned()).collect()).lines.remove(0);
        assert!(line(&[]).ends_with(".contextcore/project"));
        assert!(line(&["shop", "blog"]).ends_with("; known here: blog, shop"));
        let many: Vec<String> = (10..22).map(|number| format!("p{number}")).collect();
        assert!(line(&many.iter().map(String::as_str).collect::<Vec<_>>()).ends_with("p19 and 2 more"));
    }
}
