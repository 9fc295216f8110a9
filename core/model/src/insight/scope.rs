//! What an insight applies to, and how well that fits what somebody is about to touch.
//!
//! A scope is a word: `path:src/**`, `task:PROJ-123`, `service:checkout`, `epic:PROJ-7`, `label:frontend`. In a path, `**` is
//! any number of directories, `*` any part of a name, `?` one character; a path without these is a file, or everything below a
//! directory.

use serde::{Deserialize, Serialize};

use crate::path_glob::PathGlob;

/// The kinds of scopes, with the colon.
pub const KINDS: [&str; 5] = ["path:", "task:", "service:", "epic:", "label:"];
const PATH: &str = "path:";

/// How well a scope fits, in thousandths.
pub const EXACT: u64 = 3_000;
const GLOB: u64 = 2_000;
const PER_LEVEL: u64 = 100;
/// A deeper prefix says no more: a directory never fits better than the file itself.
const LEVELS: u64 = 9;
const RELATED: u64 = 1_500;
/// An insight about the whole project.
pub const PROJECT: u64 = 1_000;

/// A scope with its kind: what names none is a path.
pub fn word(text: &str) -> String {
    if KINDS.iter().any(|kind| text.starts_with(kind)) { text.to_owned() } else { format!("{PATH}{text}") }
}

/// Other words for a kind, which would make a path that nothing has.
const MEANT: [(&str, &str); 13] = [
    ("file", "path:"),
    ("files", "path:"),
    ("dir", "path:"),
    ("directory", "path:"),
    ("folder", "path:"),
    ("glob", "path:"),
    ("issue", "task:"),
    ("ticket", "task:"),
    ("story", "task:"),
    ("component", "service:"),
    ("svc", "service:"),
    ("app", "service:"),
    ("tag", "label:"),
];

/// Checks a scope before it is written. What is before the first colon is a kind when it is a word of letters that is one, nearly is
/// one or means one; everything else is a path, also `src/a:b.rs`, `C:\\src` and `https://…`.
///
/// # Errors
/// When it names nothing, or its kind is misspelt: it would be a path that nothing has, and the insight would never be found.
pub fn check(text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a scope is empty".to_owned());
    }
    if let Some(kind) = KINDS.iter().find(|kind| text.starts_with(**kind)) {
        let is_empty = text[kind.len()..].trim().is_empty();
        return if is_empty { Err(format!("`{text}` names nothing")) } else { Ok(()) };
    }
    let Some((word, rest)) = text.split_once(':') else { return Ok(()) };
    let is_word = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_alphabetic()) && !rest.starts_with("//");
    match meant(&word.to_ascii_lowercase()).filter(|_| is_word) {
        Some(kind) => Err(format!(
            "there is no kind `{word}:` of scopes; did you mean `{kind}`? A path is written `path:{word}:…`"
        )),
        None => Ok(()),
    }
}

/// The kind that a word in small letters is, nearly is or means.
fn meant(word: &str) -> Option<&'static str> {
    let by_name = MEANT.iter().find(|(other, _)| *other == word).map(|(_, kind)| *kind);
    KINDS.into_iter().find(|kind| is_near(word, kind.trim_end_matches(':'))).or(by_name)
}

/// Whether two words are the same but for one letter, or two that changed places.
fn is_near(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[same..], &other[same..]);
    let tail = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&one[..one.len() - tail], &other[..other.len() - tail]) {
        ([a, b], [c, d]) => (a, b) == (d, c),
        (one, other) => one.len() <= 1 && other.len() <= 1,
    }
}

/// What somebody is about to touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Files and directories, relative to the repository.
    pub paths: Vec<String>,
    /// Keys of tasks.
    pub tasks: Vec<String>,
    /// Services.
    pub services: Vec<String>,
    /// Keys of the epics above the tasks.
    pub epics: Vec<String>,
    /// Labels of the tasks.
    pub labels: Vec<String>,
}

impl Target {
    /// Whether nothing is named, so that everything fits.
    pub fn is_empty(&self) -> bool {
        [&self.paths, &self.tasks, &self.services, &self.epics, &self.labels].iter().all(|list| list.is_empty())
    }

    /// How well an insight fits which came up in `task`, in thousandths, by how well each of its scopes fits; 0 when it is about
    /// something else.
    pub(super) fn best_of(&self, fits: impl IntoIterator<Item = u64>, task: Option<&str>) -> u64 {
        if self.is_empty() {
            return PROJECT;
        }
        let came_up = task.filter(|task| names(&self.tasks, task)).map_or(0, |_| EXACT);
        // Without a scope, it is about the whole project.
        fits.into_iter().max().unwrap_or(PROJECT).max(came_up)
    }

    /// How well one scope fits.
    pub(super) fn fit_of(&self, scope: &str) -> u64 {
        match scope.split_once(':') {
            Some(("path", pattern)) => self.paths.iter().map(|path| fit_of_path(pattern, path)).max().unwrap_or(0),
            Some(("task", key)) if names(&self.tasks, key) => EXACT,
            Some(("service", name)) if names(&self.services, name) => RELATED,
            Some(("epic", key)) if names(&self.epics, key) || names(&self.tasks, key) => RELATED,
            Some(("label", name)) if names(&self.labels, name) => RELATED,
            _ => 0,
        }
    }
}

fn names(list: &[String], name: &str) -> bool {
    list.iter().any(|one| one.trim().eq_ignore_ascii_case(name.trim()))
}

/// How well the scope `pattern` fits `path`.
fn fit_of_path(pattern: &str, path: &str) -> u64 {
    let text = pattern;
    let (pattern, path) = (parts(pattern), parts(path));
    let fixed = pattern.iter().take_while(|part| !is_glob(part)).count();
    // Most scopes are about another directory, which shows without a glob.
    let goes_up = pattern.iter().chain(&path).any(|part| *part == "..");
    if !goes_up && pattern[..fixed].iter().zip(&path).any(|(fixed, part)| fixed != part) {
        return 0;
    }
    if fixed == pattern.len() && pattern == path {
        return EXACT;
    }
    let level = |depth: usize| GLOB + PER_LEVEL * (depth as u64).min(LEVELS);
    if PathGlob::new(text).matches(&path.join("/")) {
        return level(fixed);
    }
    // A directory is touched that holds what the insight is about.
    if !path.is_empty() && pattern.len() > path.len() && pattern[..fixed].starts_with(&path) {
        return level(path.len());
    }
    0
}

fn is_glob(part: &str) -> bool {
    part.contains(['*', '?'])
}

/// The parts of a path, without `./` and doubled slashes.
fn parts(path: &str) -> Vec<&str> {
    path.trim().split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit<const N: usize>(target: &Target, scopes: [&str; N], task: Option<&str>) -> u64 {
        target.best_of(scopes.map(|scope| target.fit_of(scope)), task)
    }

    fn of_path(pattern: &str, path: &str) -> u64 {
        let target = Target { paths: vec![path.into()], ..Target::default() };
        fit(&target, [word(pattern).as_str()], None)
    }

    #[test]
    fn paths_fit_exactly_by_pattern_or_by_directory() {
        for (pattern, path, fit) in [
            ("src/a.rs", "src/a.rs", 3_000),
            ("src/a.rs", "./src//a.rs", 3_000),
            ("src/checkout/", "src/checkout/events.py", 2_200),
            ("src/checkout", "src/checkout/deep/events.py", 2_200),
            ("src/checkout/**", "src/checkout/deep/events.py", 2_200),
            ("**", "src/a.rs", 2_000),
            ("**/tests/*.rs", "core/src/tests/a.rs", 2_000),
            ("src/*.rs", "src/a.rs", 2_100),
            ("src/?.rs", "src/é.rs", 2_100),
            ("src/**/a.rs", "src/a.rs", 2_100),
            ("a/b/c/d/e/f/g/h/i/j/k/**", "a/b/c/d/e/f/g/h/i/j/k/l", 2_900),
            ("src/checkout/events.py", "src/checkout/", 2_200),
            ("src/*.rs", "src/deep/a.rs", 0),
            ("src/check", "src/checkout/events.py", 0),
            ("src/*.rs", "src/a.py", 0),
            ("other/**", "src/a.rs", 0),
        ] {
            assert_eq!(of_path(pattern, path), fit, "{pattern} {path}");
        }
    }

    #[test]
    fn the_best_scope_counts_and_none_means_the_project() {
        let target = Target {
            tasks: vec!["PROJ-1".into()],
            services: vec!["checkout".into()],
            epics: vec!["PROJ-7".into()],
            labels: vec!["web".into()],
            ..Target::default()
        };
        assert_eq!(fit(&target, ["service:checkout", "task:proj-1"], None), 3_000);
        assert_eq!(fit(&target, ["service:Checkout"], None), 1_500);
        assert_eq!(fit(&target, ["epic:PROJ-7"], None), 1_500);
        assert_eq!(fit(&target, ["label:web"], None), 1_500);
        assert_eq!(fit(&target, ["task:PROJ-2", "path:src"], None), 0);
        assert_eq!(fit(&target, ["path:src"], Some("PROJ-1")), 3_000);
        assert_eq!((fit(&target, [], None), fit(&Target::default(), ["path:src"], None)), (1_000, 1_000));
    }

    #[test]
    fn a_misspelt_kind_is_no_path() {
        for (text, near) in [
            ("taks:T-1", "task:"),
            ("servce:pay", "service:"),
            ("Task:T-1", "task:"),
            ("paths:src/**", "path:"),
            ("file:src/a.rs", "path:"),
            ("lable:web", "label:"),
            ("epics:PROJ-7", "epic:"),
            ("ticket:PROJ-7", "task:"),
        ] {
            let found = check(text);
            assert!(
                found.as_ref().is_err_and(|why| why.contains(&format!("did you mean `{near}`?"))),
                "{text} {found:?}"
            );
        }
        for text in ["task:", "path: ", "label:\t", "", "  "] {
            assert!(check(text).is_err(), "{text:?}");
        }
        let paths =
            ["src/a:b.rs", "C:\\src\\a.rs", "c:/src", "https://x.example/a", "src/**", "Makefile", "std::fs", "a b:c"];
        for text in paths.into_iter().chain(["task:T-1", "path:taks:x", "service:pay", "path:src/", "mask/a"]) {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_matched_in_time() {
        let name = "a".repeat(300);
        assert_eq!(of_path(&format!("{}b", "a*".repeat(100)), &name), 0);
    }
}
