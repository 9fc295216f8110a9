//! What every object of an answer holds: the world, the caller and the options, and the small helpers all of them need.

use super::auth::Caller;
use super::ids::NodeId;
use super::issue::IssueNode;
use super::people::Person;
use super::project::{ItemNode, ProjectNode};
use super::pulls::{CommitNode, DeploymentNode, PullNode};
use super::repository::{RepositoryNode, milestone};
use super::{Options, price::Price};
use crate::graphql::{Answer, Arguments, Failure, Plain, Value, connection};
use crate::world::{Board, Content, Issue, IssueId, Key, ProjectId, Pull, UserId, Visibility, World};
use serde_json::{Value as Json, json};

/// One answer's view of the world.
#[derive(Clone, Copy)]
pub(super) struct View<'w> {
    pub(super) world: &'w World,
    pub(super) options: &'w Options,
    pub(super) caller: &'w Caller,
    /// Node ids that single sign-on keeps from the caller.
    pub(super) forbidden: &'w [String],
    pub(super) now: i64,
    pub(super) price: Price,
    pub(super) budget: Budget,
}

/// The caller's points after this call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    pub(super) limit: i64,
    pub(super) used: i64,
    pub(super) remaining: i64,
    /// Epoch milliseconds.
    pub(super) reset: i64,
}

/// A time as GitHub writes it: whole seconds, UTC.
pub(super) fn time(at: i64) -> String {
    crate::world::timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) fn maybe_time(at: Option<i64>) -> Json {
    at.map_or(Json::Null, |at| time(at).into())
}

pub(super) fn date(at: i64) -> String {
    crate::world::timestamp(at).strftime("%Y-%m-%d").to_string()
}

/// An object that is not there, or not for the caller.
pub(super) fn not_found(id: &str) -> Failure {
    Failure::new("NOT_FOUND", format!("Could not resolve to a node with the global id of '{id}'"))
}

impl<'w> View<'w> {
    /// `owner/name`.
    pub(super) fn repository_name(self, project: ProjectId) -> String {
        format!("{}/{}", self.options.owner, self.world.project(project).key.to_lowercase())
    }

    pub(super) fn site(self) -> &'static str {
        if self.options.is_enterprise() { "https://github.example.com" } else { "https://github.com" }
    }

    pub(super) fn url(self, key: Key, kind: &str) -> String {
        format!("{}/{}/{kind}/{}", self.site(), self.repository_name(key.project), key.number)
    }

    pub(super) fn issue_id(self, issue: &Issue) -> String {
        NodeId::Issue(issue.project(), issue.id).to_string()
    }

    pub(super) fn issue(self, id: IssueId) -> Option<&'w Issue> {
        let issue = self.world.get(id)?;
        (issue.deleted.is_none() && self.sees_issue(issue)).then_some(issue)
    }

    /// An issue as a value; null when it is gone or hidden.
    pub(super) fn issue_value(self, id: IssueId) -> Value<'w> {
        Value::maybe(self.issue(id).map(|issue| IssueNode { view: self, issue }))
    }

    pub(super) fn sees_issue(self, issue: &Issue) -> bool {
        !issue.hidden && self.sees_project(issue.project())
    }

    pub(super) fn sees_project(self, project: ProjectId) -> bool {
        self.world.project(project).visibility != Visibility::Hidden
    }

    pub(super) fn user(self, id: UserId) -> Value<'w> {
        Value::object(Person::User { view: self, id })
    }

    pub(super) fn pull_value(self, pull: &'w Pull) -> Value<'w> {
        if self.sees_project(pull.key.project) { Value::object(PullNode { view: self, pull }) } else { Value::NULL }
    }

    pub(super) fn project(self, board: &'w Board) -> ProjectNode<'w> {
        ProjectNode { view: self, board }
    }

    /// A page of issues.
    pub(super) fn issues(self, found: Vec<&'w Issue>, arguments: &Arguments<'_>) -> Answer<'w> {
        let key = |issue: &&Issue| issue.id.to_string();
        let node = move |issue: &&'w Issue| Value::object(IssueNode { view: self, issue });
        Ok(Value::object(connection("IssueConnection", found, arguments, 100, key, node)?))
    }

    pub(super) fn pulls(self, found: Vec<&'w Pull>, arguments: &Arguments<'_>) -> Answer<'w> {
        let key = |pull: &&Pull| pull.id.0.to_string();
        let node = move |pull: &&'w Pull| Value::object(PullNode { view: self, pull });
        Ok(Value::object(connection("PullRequestConnection", found, arguments, 100, key, node)?))
    }

    pub(super) fn users(self, found: Vec<UserId>, arguments: &Arguments<'_>) -> Answer<'w> {
        let key = |user: &UserId| user.to_string();
        Ok(Value::object(connection("UserConnection", found, arguments, 100, key, move |user| self.user(*user))?))
    }

    pub(super) fn labels(self, found: Vec<String>, arguments: &Arguments<'_>) -> Answer<'w> {
        let node = move |label: &String| Value::object(Plain::new("Label", self.label(label)));
        Ok(Value::object(connection("LabelConnection", found, arguments, 100, String::clone, node)?))
    }

    pub(super) fn label(self, name: &str) -> Json {
        json!({"__typename": "Label", "id": format!("LA_kwDO{name}"), "name": name, "color": "ededed", "isDefault": false})
    }

    /// Whether single sign-on lets the caller have a node.
    pub(super) fn allowed(self, id: &str) -> Result<(), Failure> {
        if !self.forbidden.iter().any(|forbidden| forbidden == id) {
            return Ok(());
        }
        let told = "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this \
                    organization.";
        Err(Failure::new("FORBIDDEN", told).with("saml_failure", true))
    }

    /// The object of an id.
    pub(super) fn node(self, text: &str) -> Answer<'w> {
        let missing = || not_found(text);
        self.allowed(text)?;
        let id = NodeId::parse(text).ok_or_else(missing)?;
        let hub = &self.world.hub;
        let value = match id {
            NodeId::Owner => Some(Value::object(Person::Owner { view: self })),
            NodeId::User(id) => self.world.users.get(usize::from(id.0)).map(|_| self.user(id)),
            NodeId::Repository(id) => self.world.projects.get(usize::from(id.0)).and_then(|_| self.repository(id)),
            NodeId::Issue(_, id) => {
                self.caller.needs("issues", "Issue")?;
                self.issue(id).map(|issue| Value::object(IssueNode { view: self, issue }))
            }
            NodeId::Pull(id) => {
                self.caller.needs("pull_requests", "PullRequest")?;
                hub.pulls.get(id.0 as usize - 1).map(|pull| self.pull_value(pull))
            }
            NodeId::Note(id) => hub.notes.get(id.0 as usize - 1).map(|note| super::project::note(self, note)),
            NodeId::Commit(id) => {
                let commit = hub.commits.get(id.0 as usize - 1);
                commit.map(|commit| Value::object(CommitNode { view: self, commit }))
            }
            NodeId::Deployment(id) => {
                let deployment = hub.deployments.get(id.0 as usize - 1);
                deployment.map(|deployment| Value::object(DeploymentNode { view: self, deployment }))
            }
            NodeId::Milestone(id) => hub.milestones.get(id.0 as usize - 1).map(|found| milestone(self, found)),
            NodeId::Project(id) => self.board(id.0).map(|board| self.project_value(board)).transpose()?,
            NodeId::Field(board, number) => {
                self.board(board.0).and_then(|board| super::project::field(self.project(board), number))
            }
            NodeId::Item(board, content) => self.item(board.0, content)?,
        };
        value.filter(|value| !matches!(value, Value::Json(Json::Null))).ok_or_else(missing)
    }

    pub(super) fn board(self, number: u32) -> Option<&'w Board> {
        self.world.boards.iter().find(|board| board.id.0 == number && board.trouble != Some(404))
    }

    /// A project, if the token may read projects at all.
    pub(super) fn project_value(self, board: &'w Board) -> Answer<'w> {
        self.caller.needs("projects", "ProjectV2")?;
        match board.trouble {
            None => Ok(Value::object(self.project(board))),
            Some(_) => Err(self.caller.forbidden()),
        }
    }

    fn item(self, board: u32, content: Content) -> Result<Option<Value<'w>>, Failure> {
        let Some(board) = self.board(board) else { return Ok(None) };
        self.caller.needs("projects", "ProjectV2Item")?;
        let project = self.project(board);
        Ok(project.holds(content).then(|| Value::object(ItemNode { project, content })))
    }

    pub(super) fn repository(self, id: ProjectId) -> Option<Value<'w>> {
        self.sees_project(id).then(|| Value::object(RepositoryNode { view: self, id }))
    }
}
