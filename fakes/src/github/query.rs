//! The root of every query.

use super::ids::NodeId;
use super::people::Person;
use super::project::field;
use super::pulls::{CommitNode, DeploymentNode};
use super::view::{View, time};
use crate::graphql::{Answer, Arguments, Failure, Object, Value};
use serde_json::{Value as Json, json};

/// The most ids that `nodes` takes.
const MAX_IDS: usize = 100;

pub(super) struct Root<'w>(pub(super) View<'w>);

impl Object for Root<'_> {
    fn type_name(&self) -> &str {
        "Query"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let view = self.0;
        let login = arguments.text("login").unwrap_or_default();
        let is_owner = login.eq_ignore_ascii_case(&view.options.owner);
        Ok(match name {
            "viewer" => Value::object(Person::Viewer { view }),
            "rateLimit" => self.rate_limit(),
            "organization" if is_owner && !view.options.owner_is_user => Value::object(Person::Owner { view }),
            "organization" => {
                return Err(missing(&format!("an Organization with the login of '{login}'.")));
            }
            "user" if is_owner && view.options.owner_is_user => Value::object(Person::Owner { view }),
            "user" => {
                let found = view.world.users.iter().position(|user| user.name.eq_ignore_ascii_case(login));
                let Some(found) = found else { return Err(missing(&format!("a User with the login of '{login}'."))) };
                view.user(crate::world::UserId(found as u16))
            }
            "repositoryOwner" => Value::maybe(is_owner.then_some(Person::Owner { view })),
            "repository" => {
                let [owner, name] = ["owner", "name"].map(|name| arguments.text(name).unwrap_or_default());
                return view.find_repository(owner, name);
            }
            "node" => return view.node(arguments.text("id").unwrap_or_default()),
            "nodes" => return self.nodes(&arguments.texts("ids").unwrap_or_default()),
            "id" => "Q_kwDO".into(),
            "relay" => Value::object(Root(view)),
            _ => Value::NULL,
        })
    }
}

impl<'w> Root<'w> {
    fn rate_limit(&self) -> Value<'w> {
        let View { price, budget, .. } = self.0;
        Value::Json(json!({
            "cost": price.points, "nodeCount": price.nodes, "limit": budget.limit, "used": budget.used,
            "remaining": budget.remaining, "resetAt": time(budget.reset),
        }))
    }

    /// Several nodes at once. What is not there is null with an error of its own; the others arrive.
    fn nodes(&self, ids: &[&str]) -> Answer<'w> {
        if ids.len() > MAX_IDS {
            let message = format!("You may not provide more than {MAX_IDS} node ids; you provided {}.", ids.len());
            return Err(Failure::new("ARGUMENT_LIMIT", message));
        }
        Ok(Value::List(ids.iter().map(|id| self.0.node(id).unwrap_or_else(Value::Failed)).collect()))
    }
}

fn missing(what: &str) -> Failure {
    Failure::new("NOT_FOUND", format!("Could not resolve to {what}"))
}

/// An object that is not there, or not for the caller.
fn not_found(id: &str) -> Failure {
    Failure::new("NOT_FOUND", format!("Could not resolve to a node with the global id of '{id}'"))
}

impl<'w> View<'w> {
    /// The object of an id.
    pub(super) fn node(self, text: &str) -> Answer<'w> {
        let missing = || not_found(text);
        self.allowed(text)?;
        let id = NodeId::parse(text).ok_or_else(missing)?;
        let code_host = &self.world.code_host;
        let value = match id {
            NodeId::Owner => Some(Value::object(Person::Owner { view: self })),
            NodeId::User(id) => self.world.users.get(usize::from(id.0)).map(|_| self.user(id)),
            NodeId::Repository(id) => self.world.projects.get(usize::from(id.0)).and_then(|_| self.repository(id)),
            NodeId::Issue(_, id) => {
                self.caller.needs("issues", "Issue")?;
                self.issue(id).map(|issue| self.issue_object(issue))
            }
            NodeId::Pull(id) => {
                self.caller.needs("pull_requests", "PullRequest")?;
                code_host.pulls.get(id.0 as usize - 1).map(|pull| self.pull_value(pull))
            }
            NodeId::Note(id) => code_host.notes.get(id.0 as usize - 1).map(|note| self.note(note)),
            NodeId::Commit(id) => {
                let commit = code_host.commits.get(id.0 as usize - 1);
                commit.map(|commit| Value::object(CommitNode { view: self, commit }))
            }
            NodeId::Deployment(id) => {
                let deployment = code_host.deployments.get(id.0 as usize - 1);
                deployment.map(|deployment| Value::object(DeploymentNode { view: self, deployment }))
            }
            NodeId::Milestone(id) => code_host.milestones.get(id.0 as usize - 1).map(|found| self.milestone(found)),
            NodeId::Project(id) => self.board(id.0).map(|board| self.project_value(board)).transpose()?,
            NodeId::Field(board, number) => self.board(board.0).and_then(|board| field(self.project(board), number)),
            NodeId::Item(board, content) => self.item(board.0, content)?,
        };
        value.filter(|value| !matches!(value, Value::Json(Json::Null))).ok_or_else(missing)
    }
}
