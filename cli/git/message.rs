//! What a commit says of its tasks: pure.

use std::collections::BTreeSet;

use contextcore_core::model::{activity, trailers};

/// Types of Conventional Commits that need no task.
const FREE: [&str; 5] = ["chore", "docs", "ci", "build", "style"];

/// The tasks that a branch names: keys in upper case, and those of `projects` in any case.
pub(super) fn of_branch(branch: &str, projects: &[String]) -> Vec<String> {
    let upper = branch.to_uppercase();
    let is_known = |key: &String| {
        let project = key.rsplit_once('-').map(|(project, _)| project).unwrap_or_default();
        projects.iter().any(|known| known.eq_ignore_ascii_case(project))
    };
    let written = activity::keys_in(branch).into_iter().filter(|key| is_known(key) || !is_standard(key));
    let known = activity::keys_in(&upper).into_iter().filter(is_known);
    written.chain(known).filter(|key| !key.contains('#')).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether the keys of projects that count as such matter for a branch.
pub(super) fn needs_projects(branch: &str) -> bool {
    let mut any_case = activity::keys_in(&branch.to_uppercase());
    any_case.retain(|key| !key.contains('#'));
    any_case.into_iter().ne(of_branch(branch, &[]))
}

/// What is written like the key of a task and is the name of a standard or a weakness.
const STANDARDS: [&str; 18] = [
    "AES", "CVE", "CWE", "ECMA", "GHSA", "HTTP", "IEEE", "IPV", "ISO", "JSR", "PEP", "RFC", "RSA", "SHA", "SSL", "TLS",
    "UCS", "UTF",
];

fn is_standard(key: &str) -> bool {
    key.split_once('-').is_some_and(|(project, _)| STANDARDS.contains(&project))
}

/// The tasks that a message names, in its text or its trailers.
pub(super) fn named(message: &str, repository: Option<&str>) -> BTreeSet<String> {
    let text = trailers::without_comments(message);
    let in_text = activity::keys_in(&text).into_iter();
    in_text.chain(trailers::tasks(&text, repository)).collect()
}

/// Whether a message already has a `Task:` trailer.
pub(super) fn has_task(message: &str) -> bool {
    trailers::trailers(message).iter().any(|(token, _)| token.eq_ignore_ascii_case("task"))
}

/// Whether git wrote the message of a commit that takes another one back. Nothing else in the repository says so.
pub(super) fn is_revert(message: &str) -> bool {
    let is_named = ["Revert \"", "Reapply \""].iter().any(|begin| message.trim_start().starts_with(begin));
    is_named && message.contains("This reverts commit ")
}

/// Whether nothing is left of a message but the trailers that we add. To git that would be a message.
pub(super) fn is_ours_alone(message: &str) -> bool {
    let text = trailers::without_comments(message);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    lines.peek().is_some() && lines.all(|line| line.starts_with("Task: "))
}

/// Whether a commit needs no task: by its type, also behind `fixup!` and the like.
pub(super) fn is_free(message: &str) -> bool {
    let text = trailers::without_comments(message);
    let mut subject = text.trim_start().lines().next().unwrap_or_default();
    while let Some(rest) = ["fixup! ", "squash! ", "amend! "].iter().find_map(|mark| subject.strip_prefix(mark)) {
        subject = rest;
    }
    let Some((head, _)) = subject.split_once(':') else { return false };
    let kind = head.trim_end_matches('!').split('(').next().unwrap_or_default();
    let is_whole = kind.len() == head.trim_end_matches('!').len() || head.trim_end_matches('!').ends_with(')');
    is_whole && FREE.iter().any(|free| free.eq_ignore_ascii_case(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_name_tasks_in_upper_case_or_of_known_projects() {
        let known = vec!["eng".to_owned()];
        for (branch, want) in [
            ("feature/PROJ-123-checkout", &["PROJ-123"][..]),
            ("PROJ-1_PROJ-2/x", &["PROJ-1"]),
            ("PROJ-1-and-PROJ-2", &["PROJ-1", "PROJ-2"]),
            ("ada/eng-12-pay-by-card", &["ENG-12"]),
            ("upgrade-node-18", &[]),
            ("main", &[]),
            ("fix/acme/shop#12", &[]),
            ("UTF-8-fix", &[]),
            ("fix/CVE-2024-1234", &[]),
            ("fix/CVE-2024-1234-PROJ-7", &["PROJ-7"]),
            ("SHA-256_and_ISO-8601", &[]),
        ] {
            assert_eq!(of_branch(branch, &known), want, "{branch}");
        }
        assert!(of_branch("ada/eng-12-pay", &[]).is_empty());
        assert_eq!(of_branch("RFC-12-pay", &["rfc".to_owned()]), ["RFC-12"], "whose project is called so");
        let needed = ["RFC-12-pay", "eng-12-pay"].map(needs_projects);
        assert_eq!((needed, ["PROJ-12-pay", "main"].map(needs_projects)), ([true; 2], [false; 2]));
    }

    #[test]
    fn types_that_need_no_task() {
        for message in
            ["chore: x", "docs(api): x", "ci!: x", "build(deps)!: x", "style: x", "fixup! docs: x", "# c\ndocs: x"]
        {
            assert!(is_free(message), "{message}");
        }
        for message in ["feat: x", "fix(docs): x", "docs", "chores: x", "a chore: x", "", "docs (x: y"] {
            assert!(!is_free(message), "{message}");
        }
    }

    #[test]
    fn a_message_of_our_trailers_alone_is_none() {
        assert!(is_ours_alone("\n\nTask: PROJ-1\n\n# Please enter\n"));
        assert!(!is_ours_alone("Add it\n\nTask: PROJ-1\n") && !is_ours_alone("# Please enter\n") && !is_ours_alone(""));
        assert!(has_task("Add\n\ntask: PROJ-1") && !has_task("Add PROJ-1"));
        assert_eq!(named("Add\n\nCloses: #1\n# PROJ-9", Some("a/b")).into_iter().collect::<Vec<_>>(), ["A/B#1"]);
    }
}
