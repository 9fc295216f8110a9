//! An issue as Linear shows it.

use super::view::View;
use super::workspace::{Workspace, due, kind_of_link, label_id, milestone_id};
use super::{Kind, history, time, uuid};
use crate::graphql::{Answer, Arguments, Failure, Object};
use crate::lock;
use crate::world::{Change, Comment, Issue};
use serde_json::{Value as Json, json};

/// An issue of the graph.
pub(super) struct IssueNode<'w> {
    pub(super) root: Workspace<'w>,
    pub(super) issue: &'w Issue,
}

impl Object for IssueNode<'_> {
    fn type_name(&self) -> &str {
        "Issue"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        if *lock(&self.root.site.spoilt) == Some((self.issue.id, one_of(name))) {
            return Err(Failure::new("INTERNAL_SERVER_ERROR", "something went wrong with this field"));
        }
        match name {
            "history" => self.root.rows("IssueHistoryConnection", history::acts(&self.root, self.issue), arguments),
            "stateHistory" => self.spans(arguments),
            "inverseRelations" => self.links(false, arguments),
            "relations" => self.links(true, arguments),
            "children" => self.children(arguments),
            "comments" => self.root.rows("CommentConnection", newest_comments(self.issue), arguments),
            "attachments" => self.root.rows("AttachmentConnection", Vec::new(), arguments),
            _ => Ok(self.plain(name).into()),
        }
    }
}

impl IssueNode<'_> {
    fn plain(&self, name: &str) -> Json {
        let (root, issue, world) = (&self.root, self.issue, self.root.world);
        let view = || View::of(world, &issue.fields);
        let reference = |kind, id: Option<u32>| id.map(|id| json!({"id": uuid(kind, id)})).into();
        match name {
            "id" => uuid(Kind::Issue, issue.id.0).into(),
            "identifier" => world.key_of(issue.id).into(),
            "number" => issue.fields.key.number.into(),
            "previousIdentifiers" => self.former_keys().into(),
            "title" => issue.fields.title.clone().into(),
            "url" => format!("https://linear.app/acme/issue/{}", world.key_of(issue.id)).into(),
            "branchName" => world.key_of(issue.id).to_lowercase().into(),
            "priority" => view().priority.into(),
            "estimate" => issue.fields.points.map(f64::from).into(),
            "createdAt" => time(issue.created).into(),
            "updatedAt" => time(root.updated(issue)).into(),
            "archivedAt" => root.archived(issue).map(time).into(),
            "trashed" => issue.deleted.map(|_| true).into(),
            "dueDate" => due(issue.fields.due),
            "labelIds" => view().labels.iter().map(|label| label_id(label)).collect(),
            "state" => json!({"id": view().state}),
            "team" => reference(Kind::Team, Some(u32::from(view().team.0))),
            "cycle" => reference(Kind::Cycle, view().cycle.map(|id| id.0)),
            "project" => reference(Kind::Issue, view().project.map(|id| id.0)),
            "projectMilestone" => view().milestone.map(|name| json!({"id": milestone_id(&name), "name": name})).into(),
            "parent" => {
                view().parent.map(|id| json!({"id": uuid(Kind::Issue, id.0), "identifier": world.key_of(id)})).into()
            }
            "assignee" => issue.fields.assignee.map(|id| root.user(id)).into(),
            "delegate" => history::delegate(root, issue),
            "creator" => root.user(issue.creator),
            "startedAt" | "completedAt" | "canceledAt" => self.milestone_time(name),
            _ => Json::Null,
        }
    }

    /// When the issue was started, completed or cancelled, by the truth of the world.
    fn milestone_time(&self, name: &str) -> Json {
        let truth = self.root.world.truth(self.root.now);
        let at = match name {
            "startedAt" => truth.started(self.issue.id),
            "completedAt" => truth.completed(self.issue.id),
            _ => truth.cancelled(self.issue.id),
        };
        at.map(time).into()
    }

    /// The keys it had before, oldest first.
    fn former_keys(&self) -> Vec<String> {
        let moved = self.issue.events().iter().filter_map(|event| match &event.change {
            Change::Moved(swap) => Some(self.root.world.key_text(swap.from)),
            _ => None,
        });
        moved.collect()
    }

    fn spans(&self, arguments: &Arguments<'_>) -> Answer<'_> {
        let rows = history::spans(&self.root, self.issue);
        self.root.rows("IssueStateSpanConnection", rows, arguments)
    }

    /// The links that start from here, or those that lead here.
    fn links(&self, outward: bool, arguments: &Arguments<'_>) -> Answer<'_> {
        let world = self.root.world;
        let held = self.issue.fields.links.iter().filter(|link| link.outward == outward);
        let rows = held.map(|link| {
            let other = world.issue(link.other);
            let state = View::of(world, &other.fields).state;
            let other = json!({"id": uuid(Kind::Issue, other.id.0), "identifier": world.key_of(other.id), "state": {"id": state}});
            let here = json!({"id": uuid(Kind::Issue, self.issue.id.0)});
            let (issue, related) = if outward { (here, other) } else { (other, here) };
            json!({"id": uuid(Kind::Link, link.id), "type": kind_of_link(link.kind), "archivedAt": null, "issue": issue,
                "relatedIssue": related})
        });
        self.root.rows("IssueRelationConnection", rows.collect(), arguments)
    }

    fn children(&self, arguments: &Arguments<'_>) -> Answer<'_> {
        let children = self.root.world.children(self.issue.id);
        let rows = children.map(|child| json!({"id": uuid(Kind::Issue, child.id.0), "archivedAt": null}));
        self.root.rows("IssueConnection", rows.collect(), arguments)
    }
}

/// What people wrote about an issue, the newest first, as Linear gives lists.
fn newest_comments(issue: &Issue) -> Vec<Json> {
    issue.comments.iter().rev().map(|comment| comment_row(issue, comment)).collect()
}

/// A comment, from wherever it is reached.
pub(super) fn comment_row(issue: &Issue, comment: &Comment) -> Json {
    json!({"id": uuid(Kind::Comment, comment.id), "createdAt": time(comment.at), "updatedAt": time(comment.at),
        "archivedAt": null, "body": comment.text, "user": {"id": uuid(Kind::User, u32::from(comment.author.0))},
        "issue": {"id": uuid(Kind::Issue, issue.id.0)}})
}

/// The name as a constant, so that it can be compared with what is spoilt.
fn one_of(name: &str) -> &'static str {
    const NAMES: [&str; 5] = ["assignee", "cycle", "project", "estimate", "history"];
    NAMES.into_iter().find(|known| *known == name).unwrap_or_default()
}
