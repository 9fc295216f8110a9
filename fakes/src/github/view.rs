//! What every object of an answer holds: the world, the caller and the options, and the small helpers all of them need.
//!
//! The objects refer to each other in circles, their files do not: each file adds to [`View`] the methods that make its
//! objects (`view.issue_value`, `view.pulls`).

use super::auth::Caller;
use super::ids::NodeId;
use super::{Options, price::Price};
use crate::graphql::{Answer, Arguments, Failure, Plain, Value, connection};
use crate::world::{Board, Issue, IssueId, Key, ProjectId, Visibility, World};
use serde_json::{Value as Json, json};

/// One answer's view of the world.
#[derive(Clone, Copy)]
pub(super) struct View<'w> {
    pub(super) world: &'w World,
    pub(super) options: &'w Options,
    pub(super) caller: &'w Caller,
    /// Node ids that single sign-on keeps from the caller.
    pub(super) forbidden: &'w [String],
    /// Node ids that no page can hold.
    pub(super) stuck: &'w [String],
    /// How often the iterations were made anew.
    pub(super) iterations: usize,
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

    pub(super) fn sees_issue(self, issue: &Issue) -> bool {
        !issue.hidden && self.sees_project(issue.project())
    }

    pub(super) fn sees_project(self, project: ProjectId) -> bool {
        self.world.project(project).visibility != Visibility::Hidden
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
        let message = "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this \
                    organization.";
        Err(Failure::new("FORBIDDEN", message).with("saml_failure", true))
    }

    pub(super) fn board(self, number: u32) -> Option<&'w Board> {
        self.world.boards.iter().find(|board| board.id.0 == number && board.trouble != Some(404))
    }
}
