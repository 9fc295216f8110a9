//! The documents we send, checked against GitHub's published schema when this is compiled: an unknown field does not build.
//!
//! There are two sets of those that read issues: [`full`] for github.com, [`reduced`] for an Enterprise Server without the
//! features of 2025 and 2026, since a server refuses a whole document over one unknown name. The names are the same in both.
//! Answers are read into the types of [`super::wire`], which fit either set and the records that were kept.

use graphql_client::GraphQLQuery;

/// The scalars of the schema by their own names, as the generated code refers to them.
#[expect(clippy::upper_case_acronyms, reason = "the schema's spelling")]
mod scalars {
    pub(super) type BigInt = String;
    pub(super) type Date = String;
    pub(super) type DateTime = String;
    pub(super) type GitObjectID = String;
    pub(super) type GitTimestamp = String;
    pub(super) type URI = String;
}

macro_rules! documents {
    ($file:tt: $($name:ident),+) => {
        use super::{GraphQLQuery, scalars::*};
        $(
            #[derive(Debug, Clone, Copy, GraphQLQuery)]
            #[graphql(schema_path = "../schemas/github.graphql", query_path = $file, response_derives = "Debug")]
            pub(in super::super) struct $name;
        )+
    };
}

pub(super) mod common {
    documents!("src/github/common.graphql": FindProject, VisibleProjects, FindRepository, Reference, PullRequestItems,
            RepositoryIssues, PullRequests, PullRequestStates, Commits, Deployments);
}

pub(super) mod full {
    documents!("src/github/full.graphql": ItemSweep, Items, OtherItems, Issues, Timeline, Comments);
}

pub(super) mod reduced {
    documents!("src/github/reduced.graphql": ItemSweep, Items, OtherItems, Issues, Timeline, Comments);
}
