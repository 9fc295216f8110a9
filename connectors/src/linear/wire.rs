//! The shapes of Linear's answers and of our records: what is read of them, leniently.
//!
//! [`Record`] is what a raw record holds. Nearly every field may be absent: a row that lacks what it needs is quarantined by
//! [`super::normalise`] with a reason, and nothing else suffers. Field names are those of the published schema.

use contextcore_core::Millis;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::limited;
use crate::cursor::{Came, PageInfo};

/// A page of rows.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", from = "Answered<T>", bound(deserialize = "T: Deserialize<'de>"))]
pub(super) struct Connection<T> {
    pub(super) page_info: PageInfo,
    pub(super) nodes: Vec<T>,
    #[serde(skip)]
    came: Came,
}

/// A page of rows as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: Deserialize<'de>")]
struct Answered<T> {
    #[serde(default)]
    page_info: PageInfo,
    #[serde(default = "Nodes::not_asked")]
    nodes: Nodes<T>,
}

/// Rows, and whether they came.
struct Nodes<T>(Vec<T>, Came);

impl<T> Nodes<T> {
    const fn not_asked() -> Self {
        Self(Vec::new(), Came::NotAsked)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nodes<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows = limited::limited(deserializer)?;
        let came = if rows.is_some() { Came::Listed } else { Came::Null };
        Ok(Self(rows.unwrap_or_default(), came))
    }
}

impl<T> From<Answered<T>> for Connection<T> {
    fn from(Answered { page_info, nodes: Nodes(nodes, came) }: Answered<T>) -> Self {
        Self { page_info, nodes, came }
    }
}

impl<T> Default for Connection<T> {
    fn default() -> Self {
        Self { page_info: PageInfo::default(), nodes: Vec::new(), came: Came::NotAsked }
    }
}

impl<T> Connection<T> {
    /// Whether there is null instead of its rows.
    pub(super) fn is_null(&self) -> bool {
        self.came == Came::Null
    }

    /// The same list of rows that were read in another way.
    pub(super) fn map<U>(self, read: impl FnMut(T) -> U) -> Connection<U> {
        let Self { page_info, nodes, came } = self;
        Connection { page_info, nodes: nodes.into_iter().map(read).collect(), came }
    }
}

/// Whether a list that was asked for did not come: that is not an empty list.
pub(super) fn is_absent<T>(list: Option<&Connection<T>>) -> bool {
    list.is_none_or(Connection::is_null)
}

/// Something by its id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Ref {
    pub(super) id: Box<str>,
}

/// Something by its id and name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Named {
    pub(super) id: Box<str>,
    #[serde(default)]
    pub(super) name: Box<str>,
}

/// A person, where one is shown with a name.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(super) struct User {
    pub(super) id: Option<Box<str>>,
    pub(super) name: Option<Box<str>>,
    pub(super) email: Option<Box<str>>,
}

/// A workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Organization {
    pub(super) name: Box<str>,
    pub(super) url_key: Box<str>,
}

/// A version of an issue, as a list of changes shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IssueVersion {
    pub(super) id: Box<str>,
    pub(super) updated_at: Millis,
    pub(super) completed_at: Option<Millis>,
    pub(super) canceled_at: Option<Millis>,
}

impl IssueVersion {
    /// Neither completed nor cancelled.
    pub(super) fn is_open(&self) -> bool {
        self.completed_at.is_none() && self.canceled_at.is_none()
    }
}

/// The lists of an issue that may be long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    History,
    Spans,
    Links,
    Comments,
}

impl List {
    /// Whether it is learned how long this list is wont to be.
    pub(super) const fn is_measured(self) -> bool {
        !matches!(self, Self::Links)
    }
}

/// What a raw record holds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Record {
    /// An issue, and the rests of its long lists.
    Issue(Box<IssueRecord>),
    Cycle(Cycle),
    Project(Box<Project>),
    Initiative(Box<Initiative>),
    Attachment(Attachment),
}

/// An issue with all pages of its lists.
#[derive(Debug, Deserialize)]
pub(super) struct IssueRecord {
    pub(super) issue: Issue,
    #[serde(default)]
    pub(super) history: Vec<Act>,
    #[serde(default)]
    pub(super) spans: Vec<Span>,
    #[serde(default)]
    pub(super) links: Vec<Link>,
    #[serde(default)]
    pub(super) comments: Vec<Comment>,
}

/// An issue on its way into a record: as it came, and the rows that did not come with it.
#[derive(Debug, Serialize)]
pub(super) struct Whole {
    pub(super) issue: Box<RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) history: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) spans: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) links: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) comments: Vec<Box<RawValue>>,
}

impl Whole {
    /// About how many bytes it has as JSON.
    pub(super) fn size(&self) -> usize {
        let Self { issue, history, spans, links, comments } = self;
        let rows = [history, spans, links, comments].into_iter().flatten();
        issue.get().len() + rows.map(|row| row.get().len() + 1).sum::<usize>() + 128
    }
}

/// An issue.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Issue {
    pub(super) id: Option<Box<str>>,
    pub(super) identifier: Option<Box<str>>,
    pub(super) previous_identifiers: Option<Vec<Box<str>>>,
    pub(super) title: Option<Box<str>>,
    pub(super) url: Option<Box<str>>,
    pub(super) priority: Option<f64>,
    pub(super) estimate: Option<f64>,
    pub(super) created_at: Option<Millis>,
    pub(super) updated_at: Option<Millis>,
    pub(super) trashed: Option<bool>,
    pub(super) archived_at: Option<Millis>,
    pub(super) due_date: Option<Box<str>>,
    pub(super) label_ids: Option<Vec<Box<str>>>,
    /// Only where somebody asked for the labels themselves.
    pub(super) labels: Option<Connection<Named>>,
    pub(super) state: Option<StateValue>,
    pub(super) team: Option<Ref>,
    pub(super) cycle: Option<Ref>,
    pub(super) project: Option<Ref>,
    pub(super) project_milestone: Option<Ref>,
    pub(super) parent: Option<Parent>,
    pub(super) assignee: Option<Ref>,
    /// The agent that works on it.
    pub(super) delegate: Option<Named>,
    pub(super) creator: Option<Ref>,
    pub(super) children: Option<Connection<Ref>>,
    pub(super) history: Option<Connection<Act>>,
    pub(super) state_history: Option<Connection<Span>>,
    pub(super) inverse_relations: Option<Connection<Link>>,
    pub(super) comments: Option<Connection<Comment>>,
}

/// A state: its id, and where somebody asked for it, the rest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct StateValue {
    pub(super) id: Option<Box<str>>,
    pub(super) name: Option<Box<str>>,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<Box<str>>,
}

/// A parent, with the key people say.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Parent {
    pub(super) id: Box<str>,
    pub(super) identifier: Option<Box<str>>,
}

/// One act of an issue's history: everything one person changed at once.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Act {
    pub(super) id: Option<Box<str>>,
    pub(super) created_at: Option<Millis>,
    pub(super) actor_id: Option<Box<str>>,
    /// Only where somebody asked for the person.
    pub(super) actor: Option<Ref>,
    pub(super) bot_actor: Option<Bot>,
    pub(super) from_state_id: Option<Box<str>>,
    pub(super) to_state_id: Option<Box<str>>,
    /// Only where somebody asked for the states.
    pub(super) from_state: Option<StateValue>,
    pub(super) to_state: Option<StateValue>,
    pub(super) from_assignee_id: Option<Box<str>>,
    pub(super) to_assignee_id: Option<Box<str>>,
    pub(super) from_cycle_id: Option<Box<str>>,
    pub(super) to_cycle_id: Option<Box<str>>,
    pub(super) from_estimate: Option<f64>,
    pub(super) to_estimate: Option<f64>,
    pub(super) from_priority: Option<f64>,
    pub(super) to_priority: Option<f64>,
    pub(super) from_parent_id: Option<Box<str>>,
    pub(super) to_parent_id: Option<Box<str>>,
    pub(super) from_project_id: Option<Box<str>>,
    pub(super) to_project_id: Option<Box<str>>,
    pub(super) from_project_milestone: Option<Ref>,
    pub(super) to_project_milestone: Option<Ref>,
    pub(super) from_team_id: Option<Box<str>>,
    pub(super) to_team_id: Option<Box<str>>,
    pub(super) from_title: Option<Box<str>>,
    pub(super) to_title: Option<Box<str>>,
    pub(super) from_due_date: Option<Box<str>>,
    pub(super) to_due_date: Option<Box<str>>,
    pub(super) added_label_ids: Option<Vec<Box<str>>>,
    pub(super) removed_label_ids: Option<Vec<Box<str>>>,
    pub(super) trashed: Option<bool>,
    pub(super) to_converted_project_id: Option<Box<str>>,
    pub(super) relation_changes: Option<Vec<RelationChange>>,
}

impl Act {
    /// Whether it has what every act needs: an id and a moment.
    pub(super) fn is_dated(&self) -> bool {
        self.id.is_some() && self.created_at.is_some()
    }
}

/// An integration or an automation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Bot {
    pub(super) name: Option<Box<str>>,
}

/// A link that was made or removed, by an undocumented code.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct RelationChange {
    #[serde(default)]
    pub(super) identifier: Box<str>,
    #[serde(default, rename = "type")]
    pub(super) code: Box<str>,
}

/// An interval in one state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span {
    pub(super) id: Box<str>,
    pub(super) state_id: Box<str>,
    pub(super) started_at: Millis,
}

/// A link by which another issue says something of this one.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Link {
    #[serde(default, rename = "type")]
    pub(super) kind: Box<str>,
    pub(super) archived_at: Option<Millis>,
    pub(super) issue: Option<LinkedIssue>,
}

/// The other end of a link.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct LinkedIssue {
    pub(super) id: Box<str>,
    #[serde(default)]
    pub(super) identifier: Box<str>,
    pub(super) state: Option<StateValue>,
}

/// A comment.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Comment {
    pub(super) id: Box<str>,
    pub(super) created_at: Millis,
    pub(super) body: Option<Box<str>>,
    pub(super) user: Option<Ref>,
}

/// A cycle. The arrays have one number for each day, taken at its end; they are kept in the record and not read, since the
/// histories of the issues hold the same and more.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cycle {
    pub(super) id: Box<str>,
    #[serde(default)]
    pub(super) number: f64,
    pub(super) name: Option<Box<str>>,
    pub(super) description: Option<Box<str>>,
    pub(super) starts_at: Option<Millis>,
    pub(super) ends_at: Option<Millis>,
    pub(super) completed_at: Option<Millis>,
    #[serde(default)]
    pub(super) is_active: bool,
    #[serde(default)]
    pub(super) is_future: bool,
    pub(super) updated_at: Millis,
    #[serde(default)]
    pub(super) scope_history: Value,
    #[serde(default)]
    pub(super) completed_scope_history: Value,
    #[serde(default)]
    pub(super) issue_count_history: Value,
    #[serde(default)]
    pub(super) completed_issue_count_history: Value,
    pub(super) team: Option<Ref>,
    pub(super) inherited_from: Option<Inherited>,
}

/// The cycle that a sub-team's cycle is a copy of.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct Inherited {
    pub(super) id: Box<str>,
    pub(super) team: Option<Ref>,
}

/// A project.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Project {
    pub(super) id: Box<str>,
    #[serde(default)]
    pub(super) name: Box<str>,
    #[serde(default)]
    pub(super) slug_id: Box<str>,
    #[serde(default)]
    pub(super) url: Box<str>,
    pub(super) priority: Option<f64>,
    pub(super) target_date: Option<Box<str>>,
    pub(super) started_at: Option<Millis>,
    pub(super) completed_at: Option<Millis>,
    pub(super) canceled_at: Option<Millis>,
    pub(super) created_at: Option<Millis>,
    pub(super) updated_at: Millis,
    pub(super) trashed: Option<bool>,
    pub(super) archived_at: Option<Millis>,
    pub(super) status: Option<ProjectStatus>,
    pub(super) lead: Option<OneOf>,
    pub(super) creator: Option<OneOf>,
    pub(super) teams: Option<Connection<TeamRef>>,
    pub(super) initiatives: Option<Connection<Ref>>,
}

/// Somebody by an id, or by a name where only that was asked for.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct OneOf {
    pub(super) id: Option<Box<str>>,
    pub(super) name: Option<Box<str>>,
}

/// A team by its id, or by its key where only that was asked for.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct TeamRef {
    pub(super) id: Option<Box<str>>,
    pub(super) key: Option<Box<str>>,
}

/// A project's status.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct ProjectStatus {
    #[serde(default)]
    pub(super) name: Box<str>,
    #[serde(default, rename = "type")]
    pub(super) kind: Box<str>,
}

/// An initiative.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Initiative {
    pub(super) id: Box<str>,
    pub(super) identifier: Option<Box<str>>,
    #[serde(default)]
    pub(super) name: Box<str>,
    #[serde(default)]
    pub(super) slug_id: Box<str>,
    #[serde(default)]
    pub(super) url: Box<str>,
    #[serde(default)]
    pub(super) status: Box<str>,
    pub(super) target_date: Option<Box<str>>,
    pub(super) started_at: Option<Millis>,
    pub(super) completed_at: Option<Millis>,
    pub(super) canceled_at: Option<Millis>,
    pub(super) created_at: Option<Millis>,
    pub(super) updated_at: Millis,
    pub(super) trashed: Option<bool>,
    pub(super) archived_at: Option<Millis>,
    pub(super) owner: Option<OneOf>,
    pub(super) creator: Option<OneOf>,
    pub(super) parent_initiative: Option<Ref>,
    pub(super) lead_team: Option<TeamRef>,
    pub(super) projects: Option<Connection<ProjectTeams>>,
}

impl Initiative {
    /// The teams that work on it, as far as they are known: the leading one first.
    pub(super) fn teams(&self) -> impl Iterator<Item = &TeamRef> {
        let projects = self.projects.iter().flat_map(|projects| &projects.nodes);
        let teams = projects.filter_map(|project| project.teams.as_ref()).flat_map(|teams| &teams.nodes);
        self.lead_team.iter().chain(teams)
    }
}

/// The teams of a project.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct ProjectTeams {
    pub(super) teams: Option<Connection<TeamRef>>,
}

/// Something hung on an issue: a pull request, a conversation.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attachment {
    pub(super) id: Box<str>,
    #[serde(default)]
    pub(super) url: Box<str>,
    #[serde(default)]
    pub(super) title: Box<str>,
    pub(super) source_type: Option<Box<str>>,
    pub(super) created_at: Option<Millis>,
    pub(super) updated_at: Millis,
    pub(super) creator: Option<OneOf>,
    pub(super) issue: Option<Ref>,
}
