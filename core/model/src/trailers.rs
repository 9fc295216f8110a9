//! Trailers of commit messages and of bodies of pull requests: which tasks `Task:`, `Refs:`, `Closes:` and `Part-of:` name. Pure.
//!
//! Trailers are the lines `Token: value` at the end, as `git interpret-trailers` reads them. In them a task is named on purpose, so
//! more counts as a name than in running text: lower case, `#12` of the same repository, and addresses.

use std::collections::BTreeSet;

/// Those that name tasks, in lower case.
const NAMING: [&str; 4] = ["task", "refs", "closes", "part-of"];
/// The longest name of a task.
const LONGEST: usize = 128;

/// The trailers of a text, in their order: the lines at its end that are one or continue one. Empty lines between them are skipped,
/// since forges add a paragraph of their own, and none is needed before them, since forges drop it. Comments, and what
/// `git commit --verbose` adds, are no part of a message.
#[must_use]
pub fn trailers(text: &str) -> Vec<(String, String)> {
    let text = without_comments(text);
    let (mut found, mut rest): (Vec<(String, String)>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in text.lines().rev().filter(|line| !line.is_empty()) {
        if line.starts_with([' ', '\t']) {
            rest.push(line.trim());
            continue;
        }
        let Some((token, mut value)) = trailer(line) else { break };
        for more in rest.drain(..).rev() {
            value.push(' ');
            value.push_str(more);
        }
        found.push((token, value));
    }
    found.reverse();
    found
}

/// The message that git would make of a file of `git commit`.
#[must_use]
pub fn without_comments(message: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in message.lines() {
        if line.starts_with("# ------------------------ >8 ------------------------") {
            break;
        }
        if !line.starts_with('#') {
            lines.push(line.trim_end());
        }
    }
    // Several empty lines are one to git.
    lines.dedup_by(|next, line| next.is_empty() && line.is_empty());
    lines.join("\n")
}

fn trailer(line: &str) -> Option<(String, String)> {
    let (token, value) = line.split_once(':')?;
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // An address is no trailer.
    let is_value = !value.starts_with("//") && !value.trim().is_empty();
    (is_token && is_value).then(|| (token.to_owned(), value.trim().to_owned()))
}

/// The tasks that the trailers of a message name, in upper case. `repository` is `owner/name`, for `#12`.
#[must_use]
pub fn tasks(message: &str, repository: Option<&str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (token, value) in trailers(message) {
        let token = token.to_lowercase();
        if !NAMING.contains(&&*token) {
            continue;
        }
        for item in value.split(',').map(str::trim) {
            let words: Vec<&str> = item.split_whitespace().collect();
            let is_ours = token == "task" && words.len() == 1;
            found.extend(words.iter().filter_map(|word| named(word, repository, is_ours)));
        }
    }
    found
}

/// The task that a word of a trailer names.
fn named(word: &str, repository: Option<&str>, any: bool) -> Option<String> {
    let word = word.trim_end_matches(['.', ';', ')', ']']).trim_start_matches(['(', '[']);
    let word = of_address(word).unwrap_or_else(|| word.to_owned());
    if let Some(number) = word.strip_prefix('#').filter(|number| is_number(number)) {
        return repository.map(|repository| format!("{repository}#{number}").to_uppercase());
    }
    let name = word.to_uppercase();
    let is_key = is_dashed(&name) || is_numbered(&name);
    let is_word = any && (1..=LONGEST).contains(&name.len()) && !name.contains(['/', ':', '#']);
    (is_key || is_word).then_some(name)
}

/// What an address of a task names: `OWNER/NAME#12` of an issue of a forge, or the key at its end.
fn of_address(word: &str) -> Option<String> {
    let path = word.strip_prefix("https://").or_else(|| word.strip_prefix("http://"))?;
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').skip(1).filter(|part| !part.is_empty() && *part != "-").collect();
    if let [.., owner, name, "issues" | "pull", number] = parts[..]
        && is_number(number)
    {
        return Some(format!("{owner}/{name}#{number}"));
    }
    // Linear puts words of the title behind the key.
    let key = parts.iter().rev().find(|part| is_dashed(&part.to_uppercase()))?;
    Some((*key).to_owned())
}

/// `PROJ-123`.
fn is_dashed(name: &str) -> bool {
    let Some((project, number)) = name.rsplit_once('-') else { return false };
    let plain = project.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain && project.bytes().next().is_some_and(|first| first.is_ascii_alphabetic()) && is_number(number)
}

/// `OWNER/NAME#12`.
fn is_numbered(name: &str) -> bool {
    let Some((repository, number)) = name.split_once('#') else { return false };
    let mut parts = repository.split('/');
    let good = |part: Option<&str>| part.is_some_and(|part| !part.is_empty());
    good(parts.next()) && good(parts.next()) && parts.next().is_none() && is_number(number)
}

fn is_number(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The repository that an address of a commit, a pull request or a run belongs to, as `owner/name`.
#[must_use]
pub fn repository(url: &str) -> Option<String> {
    let (_, path) = url.split_once("://")?;
    let mut parts = path.split('/').skip(1);
    let (owner, name, what) = (parts.next()?, parts.next()?, parts.next()?);
    let known = matches!(what, "commit" | "commits" | "pull" | "issues" | "actions" | "runs" | "-");
    (known && !owner.is_empty() && !name.is_empty()).then(|| format!("{owner}/{name}"))
}

/// The repository that the address of a remote means, as `owner/name`.
#[must_use]
pub fn repository_of_remote(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        // `git@github.com:acme/shop.git`
        None => url.split_once(':')?.1,
    };
    let path = path.trim_matches('/');
    let (owner, name) = path.strip_suffix(".git").unwrap_or(path).rsplit_once('/')?;
    (!owner.is_empty() && !name.is_empty()).then(|| format!("{owner}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(message: &str) -> Vec<String> {
        tasks(message, Some("acme/shop")).into_iter().collect()
    }

    #[test]
    fn tasks_are_named_by_trailers() {
        for (trailer, want) in [
            ("Task: PROJ-123", &["PROJ-123"][..]),
            ("task: proj-123", &["PROJ-123"]),
            ("Task: T-1\nTask: T-2", &["T-1", "T-2"]),
            ("Task: checkout_flow", &["CHECKOUT_FLOW"]),
            ("Refs: PROJ-1, PROJ-2 OPS-3", &["OPS-3", "PROJ-1", "PROJ-2"]),
            ("Closes: #12", &["ACME/SHOP#12"]),
            ("Closes: other/repo#7.", &["OTHER/REPO#7"]),
            ("Part-of: EPIC-42\nSigned-off-by: Ada <ada@example.com>", &["EPIC-42"]),
            ("Refs: https://acme.atlassian.net/browse/PROJ-9", &["PROJ-9"]),
            ("Refs: https://github.com/acme/app/issues/4#issuecomment-1", &["ACME/APP#4"]),
            ("Refs: https://linear.app/acme/issue/ENG-5/pay-by-card", &["ENG-5"]),
            ("Task: A-1\n\nCo-authored-by: Bob <bob@example.com>", &["A-1"]),
            ("Refs:\tPROJ-1,\n  PROJ-2", &["PROJ-1", "PROJ-2"]),
        ] {
            assert_eq!(found(&format!("Add it\n\nWhy it is.\n\n{trailer}\n")), want, "{trailer}");
            assert_eq!(
                found(&format!("Why it is.\n{trailer}")),
                want,
                "as the plain text of a pull request: {trailer}"
            );
            assert_eq!(found(trailer), want, "as the whole body: {trailer}");
        }
    }

    #[test]
    fn what_is_no_trailer_names_nothing() {
        for message in [
            "Add it\n\nTask: PROJ-1 is what\nthis is about",
            "Add it\n\nTask: PROJ-1\n\nMore words.",
            "Add it\n\nTask: fix the door",
            "Add it\n\nRefs: the docs",
            "Add it\n\nReviewed-by: PROJ-1",
            "Add it\n\n# Task: PROJ-1",
            "Add it\n\nTask:",
            "",
        ] {
            assert!(found(message).is_empty(), "{message}");
        }
        assert!(tasks("x\n\nCloses: #12", None).is_empty());
    }

    #[test]
    fn comments_and_the_diff_are_no_part_of_a_message() {
        let message = "Add it\n\nTask: A-1\n\n# Please enter\n# ------------------------ >8 ------------------------\ndiff\n\nTask: B-2\n";
        assert_eq!(found(message), ["A-1"]);
    }

    #[test]
    fn addresses_name_their_repository() {
        for (url, want) in [
            ("https://github.com/acme/shop/commit/9fceb02", Some("acme/shop")),
            ("https://gitlab.com/acme/shop/-/merge_requests/1", Some("acme/shop")),
            ("https://github.com/acme/shop", None),
            ("", None),
        ] {
            assert_eq!(repository(url).as_deref(), want, "{url}");
        }
        for url in ["git@github.com:acme/shop.git", "https://github.com/acme/shop", "ssh://git@host:22/acme/shop.git/"]
        {
            assert_eq!(repository_of_remote(url).as_deref(), Some("acme/shop"), "{url}");
        }
        assert_eq!(repository_of_remote("/srv/git/shop"), None);
    }
}
