//! The shapes of GitHub's answers and of our records, as far as they are read.
//!
//! One type reads what either set of documents asks for, and records that were kept: whatever may be absent is optional, and
//! what is not asked for is not here. A record keeps the node as GitHub wrote it ([`Record`]); moments are RFC 3339 in UTC.

use contextcore_core::Millis;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cursor::PageInfo;

/// A list as GraphQL connections give it. Null nodes are things hidden from the token.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: Deserialize<'de>")]
pub(super) struct Rows<T> {
    pub(super) total_count: Option<u64>,
    #[serde(default)]
    pub(super) page_info: PageInfo,
    #[serde(default = "Vec::new")]
    pub(super) nodes: Vec<Option<T>>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { total_count: None, page_info: PageInfo::default(), nodes: Vec::new() }
    }
}

impl<T> Rows<T> {
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.nodes.iter().flatten()
    }
}

/// Anybody who acts, as GitHub names them.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Login {
    #[serde(alias = "name")]
    pub(super) login: Option<Box<str>>,
}

impl Login {
    pub(super) fn of(who: Option<&Self>) -> Option<String> {
        who.and_then(|who| who.login.as_deref()).map(str::to_owned)
    }
}

/// A thing of which only the name is read.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Named {
    #[serde(default)]
    pub(super) name: Box<str>,
}

/// A thing of which only the id is read.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Identified {
    pub(super) id: Box<str>,
}

/// A milestone.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Milestone {
    #[serde(default)]
    pub(super) title: Box<str>,
}

/// A repository by its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RepositoryName {
    #[serde(default)]
    pub(super) name_with_owner: Box<str>,
}

/// Another issue (or pull request), as a reference names it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct IssueRef {
    pub(super) id: Option<Box<str>>,
    pub(super) number: Option<u64>,
    pub(super) state: Option<Box<str>>,
    pub(super) repository: Option<RepositoryName>,
    pub(super) parent: Option<Identified>,
}

impl IssueRef {
    /// `owner/repo#number`, when both are known.
    pub(super) fn key(&self) -> Option<String> {
        Some(format!("{}#{}", self.repository.as_ref()?.name_with_owner, self.number?))
    }
}

/// When something last happened in a repository.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RepositoryActivity {
    pub(super) pushed_at: Option<Millis>,
    #[serde(default)]
    issues: Rows<Changed>,
    #[serde(default)]
    pull_requests: Rows<Changed>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    updated_at: Option<Millis>,
}

impl RepositoryActivity {
    /// When an issue changed last.
    pub(super) fn issues(&self) -> Option<Millis> {
        self.issues.iter().find_map(|issue| issue.updated_at)
    }

    /// How many of its issues are in none of our projects.
    pub(super) fn outside(&self, inside: usize) -> Option<u64> {
        self.issues.total_count.map(|all| all.saturating_sub(inside as u64))
    }

    /// When a pull request changed last.
    pub(super) fn pull_requests(&self) -> Option<Millis> {
        self.pull_requests.iter().find_map(|pull| pull.updated_at)
    }
}

// --- records ---

/// A record of the streams of tasks.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    /// The node id of the project it was read through; none for an issue outside our projects.
    pub(super) project: Option<Box<str>>,
    /// An item, or an issue.
    pub(super) node: Node,
    /// Events beyond those in the node.
    #[serde(default)]
    pub(super) events: Vec<TimelineItem>,
    /// Comments beyond those in the node.
    #[serde(default)]
    pub(super) comments: Vec<Comment>,
}

/// A record as it is written: the node's text is GitHub's own.
#[derive(Debug, Serialize)]
pub(super) struct RecordText<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) project: Option<&'a str>,
    pub(super) node: &'a RawValue,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) events: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) comments: &'a [Box<RawValue>],
}

/// What a record is about.
#[derive(Debug, Deserialize)]
#[serde(tag = "__typename")]
pub(super) enum Node {
    ProjectV2Item(Item),
    Issue(Issue),
}

/// An item of a project.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    pub(super) id: Box<str>,
    #[serde(default, deserialize_with = "text")]
    pub(super) full_database_id: Option<Box<str>>,
    pub(super) created_at: Option<Millis>,
    pub(super) updated_at: Option<Millis>,
    /// Null when it is hidden from the token.
    pub(super) content: Option<Content>,
    #[serde(default)]
    pub(super) field_values: Rows<FieldValue>,
}

/// What an item wraps.
#[derive(Debug, Deserialize)]
#[serde(tag = "__typename")]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and nearly all are issues")]
pub(super) enum Content {
    Issue(Issue),
    PullRequest(PullRequest),
    DraftIssue(Draft),
}

/// An issue with its history.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Issue {
    pub(super) id: Box<str>,
    pub(super) number: u64,
    #[serde(default)]
    pub(super) title: Box<str>,
    #[serde(default)]
    pub(super) url: Box<str>,
    #[serde(default)]
    pub(super) state: Box<str>,
    pub(super) state_reason: Option<Box<str>>,
    pub(super) created_at: Option<Millis>,
    pub(super) updated_at: Option<Millis>,
    pub(super) closed_at: Option<Millis>,
    pub(super) repository: RepositoryName,
    pub(super) author: Option<Login>,
    pub(super) issue_type: Option<Named>,
    pub(super) parent: Option<IssueRef>,
    #[serde(default)]
    pub(super) sub_issues: Rows<Child>,
    pub(super) milestone: Option<Milestone>,
    #[serde(default)]
    pub(super) assignees: Rows<Login>,
    pub(super) labels: Option<Rows<Named>>,
    #[serde(default)]
    pub(super) blocked_by: Rows<IssueRef>,
    pub(super) issue_field_values: Option<Rows<IssueFieldValue>>,
    pub(super) closed_by_pull_requests_references: Option<Rows<LinkedPull>>,
    #[serde(default)]
    pub(super) comments: Rows<Comment>,
    #[serde(default)]
    pub(super) timeline_items: Rows<TimelineItem>,
}

/// A sub-issue: whether it has some itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Child {
    #[serde(default)]
    pub(super) sub_issues_summary: Summary,
}

/// How many sub-issues there are.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Summary {
    #[serde(default)]
    pub(super) total: u64,
}

/// A pull request that is an item of a project.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PullRequest {
    pub(super) id: Box<str>,
    pub(super) number: u64,
    #[serde(default)]
    pub(super) title: Box<str>,
    #[serde(default)]
    pub(super) url: Box<str>,
    #[serde(default)]
    pub(super) state: Box<str>,
    #[serde(default)]
    pub(super) is_draft: bool,
    pub(super) created_at: Option<Millis>,
    pub(super) updated_at: Option<Millis>,
    pub(super) merged_at: Option<Millis>,
    pub(super) closed_at: Option<Millis>,
    pub(super) repository: RepositoryName,
    pub(super) author: Option<Login>,
    pub(super) milestone: Option<Milestone>,
    #[serde(default)]
    pub(super) assignees: Rows<Login>,
    pub(super) labels: Option<Rows<Named>>,
    pub(super) closing_issues_references: Option<Rows<Identified>>,
}

/// A draft: a note of a project that is no issue yet.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Draft {
    pub(super) id: Box<str>,
    #[serde(default)]
    pub(super) title: Box<str>,
    pub(super) created_at: Option<Millis>,
    pub(super) updated_at: Option<Millis>,
    pub(super) creator: Option<Login>,
    #[serde(default)]
    pub(super) assignees: Rows<Login>,
}

/// The value of a field of an item. Which of the last ones is there depends on the kind of the field.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FieldValue {
    pub(super) updated_at: Option<Millis>,
    pub(super) field: Option<FieldRef>,
    /// Of a single select.
    pub(super) name: Option<Box<str>>,
    pub(super) iteration_id: Option<Box<str>>,
    pub(super) number: Option<f64>,
    pub(super) date: Option<Box<str>>,
}

/// The field of a value. Empty for those that are only derived.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct FieldRef {
    pub(super) id: Option<Box<str>>,
}

/// The value of a field that the organisation gives all its issues.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct IssueFieldValue {
    pub(super) field: Option<Named>,
    pub(super) selected: Option<Box<str>>,
    pub(super) number: Option<f64>,
    pub(super) date: Option<Box<str>>,
}

/// A comment.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Comment {
    pub(super) id: Box<str>,
    pub(super) created_at: Millis,
    pub(super) body_text: Option<String>,
    pub(super) author: Option<Login>,
}

/// An event of an issue's history, of any kind: what a kind does not have is absent.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TimelineItem {
    #[serde(rename = "__typename", default)]
    pub(super) kind: Box<str>,
    pub(super) id: Option<Box<str>>,
    pub(super) created_at: Option<Millis>,
    pub(super) actor: Option<Login>,
    pub(super) state_reason: Option<Box<str>>,
    pub(super) assignee: Option<Login>,
    pub(super) label: Option<Named>,
    pub(super) milestone_title: Option<Box<str>>,
    pub(super) previous_title: Option<Box<str>>,
    pub(super) current_title: Option<Box<str>>,
    pub(super) from_repository: Option<RepositoryName>,
    pub(super) project: Option<Identified>,
    pub(super) previous_status: Option<Box<str>>,
    pub(super) status: Option<Box<str>>,
    pub(super) parent: Option<IssueRef>,
    pub(super) blocking_issue: Option<IssueRef>,
    pub(super) issue_type: Option<Named>,
    pub(super) prev_issue_type: Option<Named>,
    pub(super) issue_field: Option<Named>,
    pub(super) value: Option<Box<str>>,
    pub(super) previous_value: Option<Box<str>>,
    pub(super) new_value: Option<Box<str>>,
    pub(super) source: Option<IssueRef>,
    pub(super) subject: Option<IssueRef>,
}

/// A pull request that closes an issue.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LinkedPull {
    pub(super) id: Box<str>,
    pub(super) number: u64,
    #[serde(default)]
    pub(super) title: Box<str>,
    #[serde(default)]
    pub(super) url: Box<str>,
    #[serde(default)]
    pub(super) head_ref_name: Box<str>,
    pub(super) created_at: Millis,
    pub(super) merged_at: Option<Millis>,
    pub(super) repository: RepositoryName,
    pub(super) author: Option<Login>,
}

/// Reads an id that may be a number or a text.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<str>>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Some(text.into()),
        serde_json::Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    })
}
