//! The documents we send and the variables of their operations. A test validates both against GitHub's published schema: it fails
//! on an unknown field.
//!
//! There are two sets of those that read issues: one for github.com, a reduced one for an Enterprise Server without the features
//! of 2025 and 2026, since a server refuses a whole document over one unknown name. Operations have the same names and variables
//! in both. Answers are read into the types of [`super::wire`], which fit either set and the records that were kept.

use crate::graphql::operations;

/// Which document an operation is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Document {
    /// What every server understands.
    Common,
    /// What reads issues, by what the server knows.
    Issues,
}

impl Document {
    /// Its text, for a server with the features of 2025 and 2026 or without (`reduced`).
    pub(super) const fn text(self, reduced: bool) -> &'static str {
        match (self, reduced) {
            (Self::Common, _) => include_str!("common.graphql"),
            (Self::Issues, false) => include_str!("full.graphql"),
            (Self::Issues, true) => include_str!("reduced.graphql"),
        }
    }

    /// Whether a server that refuses it may know the reduced one.
    pub(super) fn has_reduced(self) -> bool {
        self == Self::Issues
    }
}

operations! {
    Document;
    Document::Common =>
    /// A project by its owner and number.
    FindProject { login: String, number: i64 },
    /// Every project that the token can see.
    VisibleProjects {},
    /// When something last happened in a repository.
    FindRepository { owner: String, name: String },
    /// Who we are, and how these projects are made.
    Reference { ids: Vec<String> },
    /// Pull requests behind items.
    PullRequestItems { ids: Vec<String> },
    /// Changed issues of a repository; all of them without `since`.
    RepositoryIssues { owner: String, name: String, since: Option<String>, after: Option<String>, first: i64 },
    /// Pull requests of a repository, the latest changed first.
    PullRequests { owner: String, name: String, after: Option<String>, first: i64 },
    /// Pull requests whose checks were not yet done.
    PullRequestStates { ids: Vec<String> },
    /// Commits of a repository's default branch, the newest first.
    Commits { owner: String, name: String, since: Option<String>, after: Option<String>, first: i64 },
    /// Deployments of a repository, the newest first.
    Deployments { owner: String, name: String, after: Option<String>, first: i64 };

    Document::Issues =>
    /// The items of a project, without their contents.
    ItemSweep { project: String, after: Option<String>, first: i64 },
    /// Issues behind items.
    Items { ids: Vec<String>, comments: bool, texts: bool },
    /// Drafts, and items whose content is hidden from the token.
    OtherItems { ids: Vec<String> },
    /// Issues with their histories.
    Issues { ids: Vec<String>, comments: bool, texts: bool },
    /// What follows in an issue's timeline.
    Timeline { id: String, after: Option<String> },
    /// What follows in an issue's comments.
    Comments { id: String, after: Option<String>, texts: bool };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::validation::{Validated, schema};

    #[test]
    fn documents_and_variables_fit_the_published_schema() {
        let schema = schema(include_str!("../../../schemas/github.graphql"));
        for (document, reduced) in [(Document::Common, false), (Document::Issues, false), (Document::Issues, true)] {
            let file = format!("{document:?}, reduced: {reduced}");
            let validated = Validated::new(&schema, &file, document.text(reduced)).unwrap();
            validated.check(STRUCTS.iter().filter(|one| one.document == document)).unwrap();
        }
    }
}
