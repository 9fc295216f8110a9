//! What is wrong with a configuration, collected so that a person can mend all of it in one go.

use std::fmt;

use crate::model::error::{Error, ErrorKind};
use crate::model::yaml::Lines;

/// One thing that is wrong, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong and what to do, as a fragment. Never contains a secret.
    pub message: String,
}

/// Where a problem is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file.
    Key {
        /// The line, from 1; `None` when the key and all that encloses it are absent.
        line: Option<u64>,
        /// The key path such as `sources[0].auth.token`; empty for the file as a whole.
        path: String,
    },
    /// In a file that this one names.
    OtherFile {
        /// The file.
        file: String,
        /// The line, from 1.
        line: Option<u64>,
        /// The key path; empty for the file as a whole.
        path: String,
    },
    /// In an environment variable of this name.
    Variable(String),
}

impl Place {
    /// What problems are sorted by: the file from top to bottom, then the environment.
    fn rank(&self) -> (bool, Option<u64>) {
        match self {
            Self::Key { line, .. } | Self::OtherFile { line, .. } => (false, *line),
            Self::Variable(_) => (true, None),
        }
    }
}

/// Everything that is wrong with a configuration: prints as one line each, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file, as the person named it.
    pub origin: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigErrors {
    /// One problem with the file as a whole.
    pub(super) fn whole_file(origin: &str, line: Option<u64>, message: impl Into<String>) -> Self {
        let place = Place::Key { line, path: String::new() };
        Self { origin: origin.to_owned(), problems: vec![Problem { place, message: message.into() }] }
    }

    /// One line for each problem, without line ends: for printers that prefix lines.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.problems.iter().map(|Problem { place, message }| match place {
            Place::Variable(name) => format!("environment variable {name}: {message}"),
            Place::Key { line, path } => in_file(&self.origin, *line, path, message),
            Place::OtherFile { file, line, path } => in_file(file, *line, path, message),
        })
    }
}

fn in_file(file: &str, line: Option<u64>, path: &str, message: &str) -> String {
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    let path = if path.is_empty() { String::new() } else { format!(" {path}:") };
    format!("{file}{line}:{path} {message}")
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigErrors> for Error {
    /// One [`ErrorKind::Config`] error; its message keeps one line for each problem.
    fn from(errors: ConfigErrors) -> Self {
        Self::new(ErrorKind::Config, errors.to_string())
    }
}

/// Problems on their way to [`ConfigErrors`].
#[derive(Debug, Default)]
pub(super) struct Problems {
    lines: Lines,
    found: Vec<Problem>,
    /// Paths about which nothing more needs saying.
    settled: Vec<String>,
}

impl Problems {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines, ..Self::default() }
    }

    /// Notes a problem with a key. A second one at or under a key that already has one is left out: it is most often
    /// only a consequence (a value that was refused counts as missing from then on).
    pub(super) fn add(&mut self, path: &str, message: impl Into<String>) {
        if !self.settled.iter().any(|known| covers(known, path)) {
            let place = Place::Key { line: self.lines.of(path), path: path.to_owned() };
            self.found.push(Problem { place, message: message.into() });
            self.settle(path);
        }
    }

    /// Reports nothing more about a key: another problem names the cause.
    pub(super) fn settle(&mut self, path: &str) {
        self.settled.push(path.to_owned());
    }

    /// Notes a problem with an environment variable.
    pub(super) fn add_variable(&mut self, name: &str, message: impl Into<String>) {
        self.found.push(Problem { place: Place::Variable(name.to_owned()), message: message.into() });
    }

    /// Takes out what was found under a key, one line each, such as of an entry that is left out.
    pub(super) fn take_under(&mut self, origin: &str, path: &str) -> Vec<String> {
        let is_under =
            |problem: &mut Problem| matches!(&problem.place, Place::Key { path: at, .. } if covers(path, at));
        let mut problems: Vec<Problem> = self.found.extract_if(.., is_under).collect();
        problems.sort_by_key(|problem| problem.place.rank());
        let found = ConfigErrors { origin: origin.to_owned(), problems };
        found.lines().collect()
    }

    /// The collected problems in file order, or `value` if there were none.
    pub(super) fn into_result<T>(mut self, origin: &str, value: T) -> Result<T, ConfigErrors> {
        if self.found.is_empty() {
            return Ok(value);
        }
        self.found.sort_by_key(|problem| problem.place.rank());
        Err(ConfigErrors { origin: origin.to_owned(), problems: self.found })
    }
}

/// Whether `path` is `known` or lies under it.
fn covers(known: &str, path: &str) -> bool {
    path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The known word that `word` was most likely meant to be, if any is near enough.
pub fn nearest_known<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
    let near = known.iter().map(|candidate| (distance(candidate), *candidate)).min_by_key(|(distance, _)| *distance);
    let contained = || {
        known.iter().copied().find(|candidate| {
            word.len() > 3 && !candidate.trim().is_empty() && (candidate.contains(&word) || word.contains(candidate))
        })
    };
    match near {
        Some((distance, candidate)) if distance <= candidate.chars().count().max(3) / 3 => Some(candidate),
        _ => contained(),
    }
}

/// The tail of a message about an unknown word: the nearest known one, or else all of them.
pub(super) fn hint(word: &str, known: &[&str]) -> String {
    match nearest_known(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["schedule", "sources", "statuses", "stale_after", "url"];
        for (word, near) in [
            ("scheduel", Some("schedule")),
            ("Source", Some("sources")),
            ("stale-after", Some("stale_after")),
            ("stale", Some("stale_after")),
            ("uri", Some("url")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest_known(word, &known), near, "{word}");
        }
    }

    #[test]
    fn consequences_of_a_known_problem_are_left_out() {
        let mut problems = Problems::default();
        problems.add("sources[0].auth", "first");
        problems.add("sources[0].auth.token", "its consequence");
        problems.add("sources[0].authors", "another");
        let messages: Vec<_> = problems.found.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, ["first", "another"]);
    }
}
