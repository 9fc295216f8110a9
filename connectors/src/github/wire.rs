//! The shapes of GitHub's answers and of our records, as far as they are read.
//!
//! One type reads what either set of documents asks for, and records that were kept: whatever may be absent is optional, and
//! what is not asked for is not here. A record keeps the node as GitHub wrote it ([`Record`]); moments are RFC 3339 in UTC.

use std::collections::BTreeMap;

use contextcore_core::Millis;
use contextcore_core::config::guidance::{MAX_BYTES, PATH};
use contextcore_core::model::agents::Author;
use contextcore_core::model::guidance::forge::ForgeContent;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::by_type::{ByType, by_type, unknown};
use super::connection::Rows;

/// Anybody who acts, as GitHub names them.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Login {
    #[serde(alias = "name")]
    pub(super) login: Option<Box<str>>,
    #[serde(default, rename = "__typename")]
    pub(super) kind: Option<Box<str>>,
}

impl Login {
    pub(super) fn of(who: Option<&Self>) -> Option<String> {
        who.and_then(|who| who.login.as_deref()).map(str::to_owned)
    }

    /// The same as the author of a commit or a pull request.
    pub(super) fn author(&self) -> Author {
        let is_bot = self.kind.as_deref() == Some("Bot");
        Author { login: self.login.as_deref().map(str::to_owned), is_bot, ..Author::default() }
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

/// When something last happened in a repository, and what it says to agents.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RepositoryActivity {
    pub(super) pushed_at: Option<Millis>,
    default_branch_ref: Option<Named>,
    guidance: Option<Blob>,
    /// The token may not read files, or GitHub failed to.
    #[serde(skip)]
    pub(super) hides_files: bool,
    #[serde(default)]
    issues: Rows<Changed>,
    #[serde(default)]
    pull_requests: Rows<Changed>,
}

/// A file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    #[serde(default)]
    byte_size: usize,
    #[serde(default)]
    is_truncated: bool,
    text: Option<String>,
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

    /// What the default branch has as guidance for agents.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(super) fn guidance(&self) -> Result<ForgeContent, String> {
        let (branch, file) = match (&self.default_branch_ref, &self.guidance) {
            _ if self.hides_files => return Ok(ForgeContent::Unknown),
            (Some(branch), Some(file)) => (branch.name.to_string(), file),
            _ => return Ok(ForgeContent::Absent),
        };
        match &file.text {
            Some(text) if !file.is_truncated && file.byte_size <= MAX_BYTES => {
                Ok(ForgeContent::Text { branch, text: text.clone() })
            }
            _ => Err(format!("{PATH} is no text of at most {} KiB on {branch}", MAX_BYTES >> 10)),
        }
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
    /// Rows of other lists beyond those in the node.
    #[serde(default)]
    rest: Rest,
    /// It was archived while open: such a task is gone.
    #[serde(default)]
    pub(super) archived: bool,
}

/// Rows of lists beyond those in a node.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rest {
    assignees: Vec<Login>,
    labels: Vec<Named>,
    blocked_by: Vec<IssueRef>,
    issue_field_values: Vec<IssueFieldValue>,
    closed_by_pull_requests_references: Vec<LinkedPull>,
    field_values: Vec<FieldValue>,
}

impl Record {
    /// Moves the rows of the pages that followed into the lists of the node.
    pub(super) fn complete(&mut self) {
        let rest = &mut self.rest;
        let item = match &mut self.node {
            Node::Issue(issue) => return rest.move_to(issue),
            Node::ProjectV2Item(item) => item,
        };
        item.field_values.extend(&mut rest.field_values);
        match &mut item.content {
            Some(Content::Issue(issue)) => rest.move_to(issue),
            Some(Content::PullRequest(pull)) => {
                pull.assignees.extend(&mut rest.assignees);
                pull.labels.get_or_insert_default().extend(&mut rest.labels);
            }
            Some(Content::DraftIssue(draft)) => draft.assignees.extend(&mut rest.assignees),
            None => {}
        }
    }
}

impl Rest {
    fn move_to(&mut self, issue: &mut Issue) {
        issue.assignees.extend(&mut self.assignees);
        issue.labels.get_or_insert_default().extend(&mut self.labels);
        issue.blocked_by.extend(&mut self.blocked_by);
        issue.issue_field_values.get_or_insert_default().extend(&mut self.issue_field_values);
        let linked = &mut self.closed_by_pull_requests_references;
        issue.closed_by_pull_requests_references.get_or_insert_default().extend(linked);
    }
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
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) rest: BTreeMap<&'static str, Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) archived: bool,
}

/// What a record is about.
#[derive(Debug)]
pub(super) enum Node {
    ProjectV2Item(Item),
    Issue(Issue),
}

impl Node {
    /// The issue that it is or wraps.
    pub(super) const fn issue_mut(&mut self) -> Option<&mut Issue> {
        match self {
            Self::Issue(issue) | Self::ProjectV2Item(Item { content: Some(Content::Issue(issue)), .. }) => Some(issue),
            Self::ProjectV2Item(_) => None,
        }
    }
}

impl ByType for Node {
    fn read<'de, D: Deserializer<'de>>(kind: &str, fields: D) -> Result<Self, D::Error> {
        match kind {
            "ProjectV2Item" => Item::deserialize(fields).map(Self::ProjectV2Item),
            "Issue" => Issue::deserialize(fields).map(Self::Issue),
            _ => Err(unknown(kind)),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_type(deserializer)
    }
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
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and nearly all are issues")]
pub(super) enum Content {
    Issue(Issue),
    PullRequest(PullRequest),
    DraftIssue(Draft),
}

impl ByType for Content {
    fn read<'de, D: Deserializer<'de>>(kind: &str, fields: D) -> Result<Self, D::Error> {
        match kind {
            "Issue" => Issue::deserialize(fields).map(Self::Issue),
            "PullRequest" => PullRequest::deserialize(fields).map(Self::PullRequest),
            "DraftIssue" => Draft::deserialize(fields).map(Self::DraftIssue),
            _ => Err(unknown(kind)),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_type(deserializer)
    }
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
