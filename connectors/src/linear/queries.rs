//! The documents we send, one for each operation, and the variables. A test validates both against Linear's published schema: it
//! fails on an unknown field. Answers are read into the types of [`super::wire`].

use serde::Serialize;

use crate::graphql::operations;

/// What a list is ordered by.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "camelCase")]
pub(super) enum PaginationOrderBy {
    CreatedAt,
    UpdatedAt,
}

operations! {
    &'static str;
    include_str!("queries/whoami.graphql") =>
    /// Who we are.
    Whoami { teams: Vec<String>, count: i64, named: bool };

    include_str!("queries/reference.graphql") =>
    /// Teams, states, labels, people: what ids mean.
    Reference {
        with_teams: bool, teams: Option<String>,
        with_states: bool, states: Option<String>,
        with_labels: bool, labels: Option<String>,
        with_users: bool, users: Option<String>,
        with_cycles: bool, cycles: Option<String>, with_ends: bool,
        with_milestones: bool, milestones: Option<String>,
    };

    include_str!("queries/changed.graphql") =>
    /// Which issues changed.
    Changed {
        since: String, first: i64, after: Option<String>, order: PaginationOrderBy, with_rows: bool,
        with_sides: bool, sides: i64, links: Option<String>,
        with_comments: bool, comments: Option<String>,
    };

    include_str!("queries/changed_in_teams.graphql") =>
    /// Which issues of some teams changed.
    ChangedInTeams {
        teams: Vec<String>,
        since: String, first: i64, after: Option<String>, order: PaginationOrderBy, with_rows: bool,
        with_sides: bool, sides: i64, links: Option<String>,
        with_comments: bool, comments: Option<String>,
    };

    include_str!("queries/issues.graphql") =>
    /// Issues with their histories.
    Issues {
        ids: Vec<String>, first: i64, history: i64, spans: i64, links: i64,
        with_comments: bool, with_texts: bool, comments: i64,
    };

    concat!(include_str!("queries/plan.graphql"), include_str!("queries/plan_fragments.graphql")) =>
    /// Cycles, projects, initiatives and attachments.
    Plan {
        first: i64, with_rows: bool,
        own_teams: i64, own_initiatives: i64, own_projects: i64, their_teams: i64,
        with_cycles: bool, cycles: Option<String>, cycles_since: String,
        with_projects: bool, projects: Option<String>, projects_since: String,
        with_initiatives: bool, initiatives: Option<String>, initiatives_since: String,
        with_attachments: bool, attachments: Option<String>, attachments_since: String,
    };

    concat!(include_str!("queries/plan_rows.graphql"), include_str!("queries/plan_fragments.graphql")) =>
    /// Some of them, by their ids.
    PlanRows {
        ids: Vec<String>, first: i64,
        own_teams: i64, own_initiatives: i64, own_projects: i64, their_teams: i64,
        with_cycles: bool, with_projects: bool, with_initiatives: bool, with_attachments: bool,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::validation::{Validated, schema};

    #[test]
    fn documents_and_variables_fit_the_published_schema() {
        let schema = schema(include_str!("../../../schemas/linear.graphql"));
        for one in STRUCTS {
            Validated::new(&schema, one.name, one.document).unwrap().check([one]).unwrap();
        }
    }
}
