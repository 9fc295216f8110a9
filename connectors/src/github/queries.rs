//! The requests we send: the document, cut down to one operation and to what the server knows, and the variables of each
//! operation.
//!
//! One file holds everything that is asked for. [`compose`] takes an operation out of it, with the fragments it needs and without
//! what belongs to a missing [`Feature`]. So an operation that a server refuses never costs another one. Tests validate every
//! operation against GitHub's published schema, and against that schema without each feature.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::features::{Feature, Missing};
use crate::graphql::operations;

/// Everything we ask of GitHub.
const DOCUMENT: &str = include_str!("github.graphql");

/// The text of an operation for a server that lacks some features.
pub(super) fn compose(operation: &str, missing: &Missing) -> String {
    let definitions: Vec<(&str, Vec<&str>)> =
        definitions().map(|(name, lines)| (name, known_lines(&lines, missing))).collect();
    let mut wanted = vec![operation];
    let mut taken = BTreeSet::new();
    let mut text = String::new();
    while let Some(name) = wanted.pop() {
        let found = definitions.iter().find(|(other, _)| *other == name).filter(|_| taken.insert(name));
        for line in found.into_iter().flat_map(|(_, lines)| lines) {
            wanted.extend(spread(line));
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The texts of operations, each composed once for what a server knows.
#[derive(Default)]
pub(super) struct Documents {
    missing: Missing,
    texts: BTreeMap<&'static str, Arc<str>>,
}

impl Documents {
    /// The text of an operation for a server that lacks some features.
    pub(super) fn get(&mut self, operation: &'static str, missing: &Missing) -> Arc<str> {
        if self.missing != *missing {
            *self = Self { missing: missing.clone(), texts: BTreeMap::new() };
        }
        let text = self.texts.entry(operation).or_insert_with(|| compose(operation, missing).into());
        Arc::clone(text)
    }
}

/// The operations and fragments by name, each with its lines.
fn definitions() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let mut lines = DOCUMENT.lines();
    std::iter::from_fn(move || {
        let begin = lines.find(|line| line.starts_with("query ") || line.starts_with("fragment "))?;
        let name = begin.split([' ', '(']).nth(1)?;
        let mut all = vec![begin];
        all.extend(lines.by_ref().take_while(|line| *line != "}"));
        all.push("}");
        Some((name, all))
    })
}

/// The lines without those of missing features, and without their marks.
fn known_lines<'t>(lines: &[&'t str], missing: &Missing) -> Vec<&'t str> {
    let mut kept = Vec::with_capacity(lines.len());
    // The indentation of a block that is left out.
    let mut left_out: Option<usize> = None;
    for line in lines {
        let indentation = line.len() - line.trim_start().len();
        if let Some(at) = left_out {
            left_out = Some(at).filter(|at| !(indentation == *at && line.trim_start().starts_with('}')));
            continue;
        }
        let (text, mark) = line.split_once(" # ").unwrap_or((line, ""));
        if is_known(mark, missing) {
            kept.push(text.trim_start());
        } else if text.ends_with('{') {
            left_out = Some(indentation);
        }
    }
    kept
}

fn is_known(mark: &str, missing: &Missing) -> bool {
    let lacks = |word: &str| Feature::ALL.into_iter().any(|feature| feature.word() == word && missing.has(feature));
    match mark.split_once(' ') {
        Some(("if", word)) => !lacks(word),
        Some(("unless", word)) => lacks(word),
        _ => true,
    }
}

/// The fragment that a line spreads.
fn spread(line: &str) -> Option<&str> {
    let name = line.strip_prefix("...")?.split(' ').next()?;
    (!name.is_empty()).then_some(name)
}

operations! {
    ();
    () =>
    /// A project by its owner and number.
    FindProject { login: String, number: i64 },
    /// Every project that the token can see.
    VisibleProjects { projects: Option<String>, organizations: Option<String> },
    /// Projects of an organisation that has more than a page of them.
    OwnerProjects { login: String, after: Option<String> },
    /// When something last happened in a repository.
    FindRepository { owner: String, name: String },
    /// Who we are, and how these projects are made.
    Reference { ids: Vec<String> },
    /// The items of a project, without their contents.
    ItemSweep {
        project: String, after: Option<String>, first: i64, direction: String, nodes: bool, looks: bool,
    },
    /// Issues behind items, with this many rows of their long lists.
    Items { ids: Vec<String>, comments: bool, texts: bool, rows: i64, after: Option<String> },
    /// Drafts, and items whose content is hidden from the token.
    OtherItems { ids: Vec<String> },
    /// Pull requests behind items.
    PullRequestItems { ids: Vec<String> },
    /// Changed issues of a repository; all of them without `since`.
    RepositoryIssues {
        owner: String, name: String, since: Option<String>, after: Option<String>, first: i64, direction: String,
        nodes: bool,
    },
    /// Issues with their histories, with this many rows of their long lists.
    Issues { ids: Vec<String>, comments: bool, texts: bool, rows: i64, after: Option<String> },
    /// What follows in an issue's timeline.
    Timeline { id: String, after: Option<String>, rows: i64 },
    /// What follows in an issue's comments.
    Comments { id: String, after: Option<String>, rows: i64, texts: bool },
    /// Pull requests of a repository, by their last change.
    PullRequests {
        owner: String, name: String, after: Option<String>, first: i64, direction: String, nodes: bool, looks: bool,
    },
    /// Pull requests by themselves.
    PullRequestStates { ids: Vec<String> },
    /// Commits of a repository's default branch, the newest first.
    Commits {
        owner: String, name: String, since: Option<String>, after: Option<String>, first: i64, nodes: bool, looks: bool,
    },
    /// Deployments of a repository, by their creation.
    Deployments {
        owner: String, name: String, after: Option<String>, first: i64, direction: String, nodes: bool, looks: bool,
    },
    /// Deployments by themselves.
    DeploymentStates { ids: Vec<String> },
    /// What follows in one of these lists.
    Rest {
        id: String, after: Option<String>, assignees: bool, labels: bool, blockers: bool, issue_fields: bool, linked: bool,
        values: bool, closing: bool, commits: bool, reviews: bool,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::validation::{Validated, schema};

    const SCHEMA: &str = include_str!("../../../schemas/github.graphql");

    #[test]
    fn operations_and_variables_fit_the_published_schema() {
        let schema = schema(SCHEMA);
        for one in STRUCTS {
            let text = compose(one.name, &Missing::default());
            let validated = Validated::new(&schema, one.name, &text).unwrap_or_else(|error| panic!("{error}"));
            validated.check([one]).unwrap();
        }
    }

    #[test]
    fn every_operation_is_valid_without_any_feature_and_holds_no_name_of_it() {
        let schema = schema(SCHEMA);
        for feature in Feature::ALL {
            let missing = serde_json::from_value(serde_json::json!([feature])).unwrap();
            for one in STRUCTS {
                let text = compose(one.name, &missing);
                Validated::new(&schema, one.name, &text).unwrap_or_else(|error| panic!("{feature:?}: {error}"));
            }
            let used = STRUCTS.iter().any(|one| compose(one.name, &missing) != compose(one.name, &Missing::default()));
            assert!(used, "{feature:?} is marked nowhere");
        }
    }

    #[test]
    fn marks_are_of_known_features() {
        let words: BTreeSet<&str> = Feature::ALL.into_iter().map(Feature::word).collect();
        for line in DOCUMENT.lines().filter(|line| !line.starts_with('#')) {
            let Some((_, mark)) = line.split_once(" # ") else { continue };
            let (condition, word) = mark.split_once(' ').unwrap();
            assert!(["if", "unless"].contains(&condition) && words.contains(word), "{line}");
        }
    }

    #[test]
    fn a_request_holds_what_it_needs_and_nothing_else() {
        let text = compose("Deployments", &Missing::default());
        assert!(text.starts_with("query Deployments(") && text.contains("fragment Who on Actor"), "{text}");
        assert!(!text.contains("ItemSweep") && !text.contains("timelineItems"), "{text}");
        let issue = compose("Items", &Missing::all());
        for name in ["archivedStates", "blockedBy", "ISSUE_FIELD_ADDED_EVENT", "enableDuplicate", "parent"] {
            assert!(!issue.contains(name), "{name}");
        }
        assert!(issue.contains("stateReason\n") && issue.contains("CLOSED_EVENT"), "{issue}");
    }
}
