//! The projects file: what is said about projects outside of the configuration, such as by the `ProjectContext`s of Kubernetes.
//!
//! It is a file, or a directory with files, that hold `projects:` with more keys than the configuration has ([`entry`]). What they
//! say is united with the configuration, whose own keys win ([`mod@merge`]). [`Texts`] is what was read: a service notices a change by
//! it, not by times of files, which a mounted ConfigMap does not have.

mod entry;
mod merge;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::problems::{ConfigErrors, Place, Problem};
use crate::model::config::{Config, ProjectsFile, SourceConfig, WrittenProject};
use entry::{Parsed, ProjectEntry, UnusableEntry};

pub(super) use merge::merge;

/// All files together may have as many bytes. Some thousand contexts with long guidances have fewer.
const MAX_BYTES: u64 = 64 << 20;

/// What the projects file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(Vec<Text>);

/// One of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text {
    file: String,
    text: String,
}

/// Reads a file, or every `*.yaml` and `*.yml` of a directory in the order of their names. Those that begin with a dot are left
/// out: Kubernetes keeps the former state of a mounted ConfigMap under such names.
///
/// # Errors
/// When something cannot be read, or there is too much of it.
pub fn read(path: &Path) -> Result<Texts, ConfigErrors> {
    let refuse = |file: &Path, error: &io::Error| {
        let message = match error.kind() {
            io::ErrorKind::NotFound => "does not exist: `projects_file` of the configuration names it".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        ConfigErrors::whole_file(&file.display().to_string(), None, message)
    };
    let files = files(path).map_err(|error| refuse(path, &error))?;
    let mut texts = Vec::new();
    let mut left = MAX_BYTES;
    for file in files {
        let size = fs::metadata(&file).map_err(|error| refuse(&file, &error))?.len();
        left = left.checked_sub(size).ok_or_else(|| {
            let message = format!("holds more than {} MiB: take out what no project needs", MAX_BYTES >> 20);
            ConfigErrors::whole_file(&path.display().to_string(), None, message)
        })?;
        let text = fs::read_to_string(&file).map_err(|error| refuse(&file, &error))?;
        texts.push(Text { file: file.display().to_string(), text });
    }
    Ok(Texts(texts))
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let is_hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_yaml = file.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if is_yaml && !is_hidden && fs::metadata(&file)?.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The entries that were in force last, by file and by what messages call them.
#[derive(Debug, Default)]
pub struct LastGood(BTreeMap<(String, String), ProjectEntry>);

/// The configuration with what these texts say about projects, in place of what earlier ones said. An entry that cannot be used is
/// left out with a note, and stops no other.
///
/// # Errors
/// Everything that is wrong with them besides their entries.
pub fn apply(config: Config, texts: &Texts) -> Result<Config, ConfigErrors> {
    apply_over(config, texts, &mut LastGood::default())
}

/// The same; of an entry that cannot be used, the last good state stays in force where there is one.
///
/// # Errors
/// As [`apply`]; then the last good state is unchanged.
pub fn apply_over(config: Config, texts: &Texts, last: &mut LastGood) -> Result<Config, ConfigErrors> {
    let Some(ProjectsFile { path, .. }) = config.projects_file else { return Ok(config) };
    let (entries, unusable) = in_force(parse(&path, texts)?, last);
    let (projects, disagreements) = merge(&config.written_projects, &entries, &config.sources);
    let notes = unusable.iter().cloned().chain(disagreements).collect();
    let file = ProjectsFile { path, failing_since: None, unusable, notes };
    Ok(Config { projects, projects_file: Some(file), ..config })
}

/// The entries that count, and what is wrong with the others.
fn in_force(parsed: Parsed, last: &mut LastGood) -> (Vec<ProjectEntry>, Vec<String>) {
    let Parsed { mut entries, unusable } = parsed;
    let mut notes = Vec::new();
    for UnusableEntry { file, place, lines } in unusable {
        let kept = place.and_then(|place| last.0.get(&(file, place)));
        let outcome = if kept.is_some() { "its last good state stays in force" } else { "the entry is left out" };
        notes.extend(lines.into_iter().map(|line| format!("{line} ({outcome})")));
        entries.extend(kept.cloned());
    }
    let by_place = entries.iter().map(|entry| ((entry.file.clone(), entry.name_in_file()), entry.clone()));
    last.0 = by_place.collect();
    (entries, notes)
}

fn parse(path: &Path, texts: &Texts) -> Result<Parsed, ConfigErrors> {
    let (mut all, mut problems) = (Parsed::default(), Vec::new());
    for Text { file, text } in &texts.0 {
        match entry::parse(file, text) {
            Ok(found) => {
                all.entries.extend(found.entries);
                all.unusable.extend(found.unusable);
            }
            Err(errors) => problems.extend(errors.problems.into_iter().map(|problem| in_file(file, problem))),
        }
    }
    if problems.is_empty() {
        return Ok(all);
    }
    Err(ConfigErrors { origin: path.display().to_string(), problems })
}

fn in_file(file: &str, problem: Problem) -> Problem {
    let place = match problem.place {
        Place::Key { line, path } => Place::OtherFile { file: file.to_owned(), line, path },
        other => other,
    };
    Problem { place, ..problem }
}

/// The projects as the configuration alone has them.
pub(super) fn written(written: &[WrittenProject], sources: &[SourceConfig]) -> Vec<crate::config::ProjectConfig> {
    merge(written, &[], sources).0
}

/// The JSON Schema of the projects file, as `config/projects.schema.json` holds it and `contextcore schema --projects` prints it.
pub fn json_schema() -> String {
    format!("{:#}\n", entry::schema())
}

#[cfg(test)]
mod tests;
