//! Which tasks the commits to a path name, by the repository of this directory. Nothing of it is stored.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many commits are looked at, and for how long.
const COMMITS: &str = "50";
const PATIENCE: Duration = Duration::from_millis(300);

/// The keys of tasks that the last commits to these paths name, the latest first; `None` outside of a repository, or when it takes too
/// long.
pub(super) fn tasks(directory: &Path, paths: &[String]) -> Option<Vec<String>> {
    // A path outside of the repository is an error of git's, which ends the search.
    let mut child = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args([
            "log",
            "-n",
            COMMITS,
            "--format=%s%n%(trailers:key=Task,key=Refs,key=Closes,key=Part-of,valueonly)",
            "--",
        ])
        .args(paths)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    // What git writes fits a pipe in all but the rarest cases; a thread reads it so that it never blocks.
    let read = std::thread::spawn(move || std::io::read_to_string(stdout).unwrap_or_default());
    let begun = Instant::now();
    loop {
        match child.try_wait().ok()? {
            Some(status) if status.success() => return read.join().ok().map(|text| keys(&text)),
            Some(_) => return None,
            None if begun.elapsed() >= PATIENCE => {
                child.kill().ok()?;
                child.wait().ok()?;
                return None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The keys in a text: `PROJ-123`, `#12` and `acme/shop#12`.
fn keys(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '[' | ']' | ':'));
    let words = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '#'));
    words.filter(|word| is_key(word)).map(str::to_owned).filter(|key| seen.insert(key.clone())).collect()
}

fn is_key(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_project = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let jira = word.rsplit_once('-').is_some_and(|(project, number)| is_project(project) && digits(number));
    jira || word
        .rsplit_once('#')
        .is_some_and(|(repository, number)| digits(number) && (repository.is_empty() || repository.contains('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_subjects_and_trailers() {
        let text = "feat(checkout): add events (PROJ-12)\nPROJ-7\n\nFix acme/shop#4, see #9: UTF-8 and v1-2\nPROJ-12\n";
        assert_eq!(keys(text), ["PROJ-12", "PROJ-7", "acme/shop#4", "#9", "UTF-8"]);
    }

    #[test]
    fn a_path_of_no_repository_has_no_history() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(tasks(dir.path(), &["src".to_owned()]), None);
    }
}
