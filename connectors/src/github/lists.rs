//! The rows of lists that are longer than the page that comes with a node: a record is given with all of them.
//!
//! A page that GitHub does not answer is asked for in smaller ones, down to a single row.

use contextcore_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::debug;

use super::answer::{Answer, is_divisible, none};
use super::api::Api;
use super::connection::Rows;
use super::queries;
use crate::cursor::PageInfo;

/// Rows of the pages of long lists, from what is tried first.
const ROWS: [i64; 3] = [100, 10, 1];

/// A list that may be longer than a page, of whatever has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Events,
    Comments,
    Assignees,
    Labels,
    Blockers,
    IssueFields,
    Linked,
    Values,
    Closing,
    Commits,
    Reviews,
}

impl List {
    /// The lists of an issue, of an item and of what it wraps.
    const OF_ITEMS: [Self; 8] = [
        Self::Events,
        Self::Comments,
        Self::Assignees,
        Self::Labels,
        Self::Blockers,
        Self::IssueFields,
        Self::Linked,
        Self::Values,
    ];
    /// The lists of a pull request that show what people did.
    pub(super) const OF_PULLS: [Self; 3] = [Self::Closing, Self::Commits, Self::Reviews];

    /// Its name in a node, and in the record.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Events | Self::Reviews => "timelineItems",
            Self::Comments => "comments",
            Self::Assignees => "assignees",
            Self::Labels => "labels",
            Self::Blockers => "blockedBy",
            Self::IssueFields => "issueFieldValues",
            Self::Linked => "closedByPullRequestsReferences",
            Self::Values => "fieldValues",
            Self::Closing => "closingIssuesReferences",
            Self::Commits => "commits",
        }
    }

    /// The query for what follows in it.
    fn rest(self, id: String, after: Option<String>) -> queries::Rest {
        queries::Rest {
            id,
            after,
            assignees: self == Self::Assignees,
            labels: self == Self::Labels,
            blockers: self == Self::Blockers,
            issue_fields: self == Self::IssueFields,
            linked: self == Self::Linked,
            values: self == Self::Values,
            closing: self == Self::Closing,
            commits: self == Self::Commits,
            reviews: self == Self::Reviews,
        }
    }
}

/// Where a list goes on.
#[derive(Debug)]
pub(super) struct Continuation {
    pub(super) list: List,
    /// Whose list it is.
    pub(super) node: String,
    pub(super) after: Box<str>,
}

/// Where the lists of a node end. Everything else in it is passed over: nodes are large, and few lists go on.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ends {
    id: Option<Box<str>>,
    content: Option<Box<Self>>,
    timeline_items: Option<End>,
    comments: Option<End>,
    assignees: Option<End>,
    labels: Option<End>,
    blocked_by: Option<End>,
    issue_field_values: Option<End>,
    closed_by_pull_requests_references: Option<End>,
    field_values: Option<End>,
    closing_issues_references: Option<End>,
    commits: Option<End>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct End {
    page_info: PageInfo,
}

impl Ends {
    /// Reads them; of an odd node, those that can be read.
    fn of(node: &str) -> Self {
        serde_json::from_str(node).unwrap_or_else(|_| {
            let Ok(Value::Object(mut parts)) = serde_json::from_str(node) else { return Self::default() };
            parts.retain(|_, part| part.is_object() || part.is_string());
            serde_json::from_value(Value::Object(parts)).unwrap_or_default()
        })
    }

    fn of_list(&self, list: List) -> Option<&End> {
        match list {
            List::Events | List::Reviews => self.timeline_items.as_ref(),
            List::Comments => self.comments.as_ref(),
            List::Assignees => self.assignees.as_ref(),
            List::Labels => self.labels.as_ref(),
            List::Blockers => self.blocked_by.as_ref(),
            List::IssueFields => self.issue_field_values.as_ref(),
            List::Linked => self.closed_by_pull_requests_references.as_ref(),
            List::Values => self.field_values.as_ref(),
            List::Closing => self.closing_issues_references.as_ref(),
            List::Commits => self.commits.as_ref(),
        }
    }
}

/// The lists of a node that go on after what it holds, of an item those of its content as well.
pub(super) fn continuations(node: &RawValue, of_pulls: bool) -> Vec<Continuation> {
    let lists: &[List] = if of_pulls { &List::OF_PULLS } else { &List::OF_ITEMS };
    let node = Ends::of(node.get());
    let mut found = Vec::new();
    for part in [Some(&node), node.content.as_deref()].into_iter().flatten() {
        for list in lists {
            if let Some(after) = part.of_list(*list).and_then(|end| end.page_info.next()) {
                let id = part.id.as_deref().unwrap_or_default().to_owned();
                found.push(Continuation { list: *list, node: id, after: after.into() });
            }
        }
    }
    found
}

/// A page of the one list that was requested.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListPage {
    #[serde(
        alias = "timelineItems",
        alias = "comments",
        alias = "assignees",
        alias = "labels",
        alias = "blockedBy",
        alias = "issueFieldValues",
        alias = "closedByPullRequestsReferences",
        alias = "fieldValues",
        alias = "closingIssuesReferences",
        alias = "commits"
    )]
    list: Rows<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Found {
    #[serde(default = "none")]
    node: Option<ListPage>,
}

impl Api {
    /// The rows of a list from here to its end.
    ///
    /// # Errors
    /// As the session's, and when a page cannot be served even row by row.
    pub(super) async fn rest_of(&self, from: &Continuation) -> Result<Vec<Box<RawValue>>> {
        let (mut rows, mut after) = (Vec::new(), Some(from.after.clone()));
        let mut sizes = ROWS.into_iter();
        let mut size = sizes.next().unwrap_or(1);
        loop {
            match self.list_page(from, after.as_deref(), size).await {
                Err(error) if is_divisible(&error) => {
                    self.answers_still(&error).await?;
                    debug!(
                        node = from.node,
                        list = from.list.key(),
                        size,
                        error = error.full(),
                        "asking for fewer rows"
                    );
                    size = sizes.next().ok_or(error)?;
                }
                page => {
                    let page = page?;
                    rows.extend(page.nodes.into_iter().flatten());
                    if page.page_info.step(&mut after, &from.node)? {
                        return Ok(rows);
                    }
                }
            }
        }
    }

    async fn list_page(&self, from: &Continuation, after: Option<&str>, rows: i64) -> Result<Rows<Box<RawValue>>> {
        let (id, after, texts) = (from.node.clone(), after.map(str::to_owned), self.comments().has_texts());
        let tries = self.tries(2);
        let Answer { data, errors }: Answer<Found> = match from.list {
            List::Events => self.ask(&queries::Timeline { id, after, rows }, tries).await?,
            List::Comments => self.ask(&queries::Comments { id, after, rows, texts }, tries).await?,
            list => self.ask(&list.rest(id, after), tries).await?,
        };
        match (data.node, errors.into_iter().next()) {
            (Some(page), None) => {
                page.list.whole(true, from.list.key()).map_err(|error| error.with("node", &from.node))
            }
            (_, Some(error)) => Err(error.into_error().with("node", &from.node)),
            (None, None) => Err(Error::new(ErrorKind::NotFound, "it vanished").with("node", &from.node)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str, of_pulls: bool) -> Vec<(&'static str, String, String)> {
        let node = RawValue::from_string(json.to_owned()).unwrap();
        let shown = |one: Continuation| (one.list.key(), one.node, one.after.to_string());
        continuations(&node, of_pulls).into_iter().map(shown).collect()
    }

    #[test]
    fn the_lists_that_go_on_are_found_in_an_item_and_in_what_it_wraps() {
        let more = |cursor: &str| format!(r#"{{"pageInfo":{{"hasNextPage":true,"endCursor":"{cursor}"}}}}"#);
        let item = format!(
            r#"{{"id":"PVTI","fieldValues":{},"content":{{"id":"I","labels":{},"timelineItems":{},
            "comments":{{"pageInfo":{{"hasNextPage":false,"endCursor":"z"}}}}}}}}"#,
            more("a"),
            more("b"),
            more("c")
        );
        let of = |key: &'static str, node: &str, after: &str| (key, node.to_owned(), after.to_owned());
        assert_eq!(
            found(&item, false),
            [of("fieldValues", "PVTI", "a"), of("timelineItems", "I", "c"), of("labels", "I", "b")]
        );
        let pull = format!(r#"{{"id":"PR","commits":{},"labels":{}}}"#, more("a"), more("b"));
        assert_eq!(found(&pull, true), [of("commits", "PR", "a")]);
        assert!(found("[]", false).is_empty());
    }
}
