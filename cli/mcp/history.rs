//! Which tasks the commits to a path name, by the repository of this directory. Nothing of it is stored.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use contextcore_core::model::trailers;
use contextcore_core::repository::Repository;

use crate::git::remote;

/// How many commits are looked at, and for how long.
const COMMITS: &str = "50";
const PATIENCE: Duration = Duration::from_millis(300);

/// The keys of tasks that the last commits to these paths name, the latest first; `None` when it takes too long. Paths are those from the
/// root of the repository.
pub(super) fn tasks(repository: &Repository, paths: &[String]) -> Option<Vec<String>> {
    // A path outside of the repository is an error of git's, which ends the search.
    let mut child = Command::new("git")
        .arg("-C")
        .arg(repository.root())
        .args(["log", "-z", "-n", COMMITS, "--format=%B", "--"])
        .args(paths)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    // A thread reads what git writes, so that it never blocks.
    let read = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        std::io::copy(&mut { stdout }, &mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
    });
    let begun = Instant::now();
    loop {
        match child.try_wait().ok()? {
            Some(status) if status.success() => {
                let text = read.join().ok()?.ok()?;
                return Some(keys(&text, remote(repository).as_deref()));
            }
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

/// The keys that messages name, in their subjects and trailers, each once.
fn keys(messages: &str, remote: Option<&str>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let of = |message: &str| {
        let subject = message.lines().next().unwrap_or_default();
        let subject = in_subject(subject).into_iter().map(|key| match (key.starts_with('#'), remote) {
            (true, Some(repository)) => format!("{repository}{key}"),
            _ => key,
        });
        subject.chain(trailers::tasks(message, remote)).collect::<Vec<String>>()
    };
    let all = messages.split('\0').flat_map(|message| of(message.trim_start_matches('\n')));
    all.filter(|key| seen.insert(key.to_lowercase())).collect()
}

/// The keys in a subject: `PROJ-123`, `#12` and `acme/shop#12`.
fn in_subject(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '[' | ']' | ':'));
    let words = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '#'));
    words.filter(|word| is_key(word)).map(str::to_owned).collect()
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
    use std::path::Path;

    use super::*;

    #[test]
    fn keys_are_found_in_subjects_and_trailers() {
        let subject = "feat(checkout): add events (PROJ-12), fix acme/shop#4, see #9: UTF-8 and v1-2";
        assert_eq!(in_subject(subject), ["PROJ-12", "acme/shop#4", "#9", "UTF-8"]);
        let messages = "Add events (PROJ-12)\n\nTask: shop-81\n\0Fix #9\n\nNot PROJ-5\n\nRefs: https://x.example/browse/SHOP-82\n\
                        Closes: #60\n\0Again\n\nTask: proj-12\n";
        let found = keys(messages, Some("acme/shop"));
        assert_eq!(
            found.iter().map(|key| key.to_lowercase()).collect::<Vec<_>>(),
            ["proj-12", "shop-81", "acme/shop#9", "acme/shop#60", "shop-82"]
        );
    }

    fn git(at: &Path, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C").arg(at).args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]).args(arguments);
        assert!(git.output().unwrap().status.success(), "{arguments:?}");
    }

    #[test]
    fn paths_are_those_from_the_root_of_the_repository() {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q"]);
        std::fs::create_dir_all(dir.path().join("src/checkout")).unwrap();
        std::fs::write(dir.path().join("src/checkout/events.py"), "x").unwrap();
        git(dir.path(), &["add", "."]);
        git(dir.path(), &["commit", "-qm", "Add events\n\nTask: shop-81"]);
        let below = Repository::around(&dir.path().join("src/checkout")).unwrap();
        assert_eq!(tasks(&below, &["src/checkout/events.py".to_owned()]), Some(vec!["SHOP-81".to_owned()]));
        assert_eq!(tasks(&below, &["elsewhere".to_owned()]), Some(Vec::new()));
    }
}
