//! Issues. An impediment of the world is the label `blocked`, a link "blocks" is a dependency, a resolution a state reason.

use std::cell::Cell;

use super::ailing::STUCK;
use super::facts::{close_reason, closes, estimate_field, issue_type, issue_updated, labels, was_closed};
use super::ids::NodeId;
use super::project::items_of;
use super::timeline;
use super::view::{View, maybe_time, time};
use crate::graphql::{Answer, Arguments, Failure, Object, Plain, Value, connection};
use crate::world::{Change, Comment, Issue, IssueId, LinkKind};
use serde_json::{Value as Json, json};

#[derive(Clone, Copy)]
pub(super) struct IssueNode<'w> {
    pub(super) view: View<'w>,
    pub(super) issue: &'w Issue,
}

impl Object for IssueNode<'_> {
    fn type_name(&self) -> &str {
        "Issue"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let (view, issue) = (self.view, self.issue);
        let fields = &issue.fields;
        Ok(match name {
            "id" => view.issue_id(issue).into(),
            "databaseId" => issue.id.0.into(),
            "fullDatabaseId" => issue.id.to_string().into(),
            "number" => fields.key.number.into(),
            "title" | "titleHTML" => fields.title.as_str().into(),
            "body" | "bodyText" | "bodyHTML" => "".into(),
            "url" => view.url(fields.key, "issues").into(),
            "resourcePath" => {
                format!("/{}/issues/{}", view.repository_name(fields.key.project), fields.key.number).into()
            }
            "state" => if self.is_closed() { "CLOSED" } else { "OPEN" }.into(),
            "closed" => self.is_closed().into(),
            "stateReason" => self.state_reason(arguments.bool("enableDuplicate").unwrap_or(false)).into(),
            "createdAt" => time(issue.created).into(),
            "updatedAt" => time(issue_updated(view.world, issue)).into(),
            "closedAt" => Value::Json(maybe_time(self.closed_at())),
            "repository" => view.repository(issue.project()).unwrap_or(Value::NULL),
            "author" => view.user(issue.reporter),
            "issueType" => Value::Json(issue_type(view.world, fields.kind)),
            "milestone" => view.world.code_host.milestone(issue.id).map_or(Value::NULL, |found| view.milestone(found)),
            "issueDependenciesSummary" => Value::Json(self.dependencies()),
            "subIssuesSummary" => Value::Json(self.sub_issues_summary()),
            "duplicateOf" => Value::NULL,
            "parent" => fields.parent.map_or(Value::NULL, |id| view.issue_value(id)),
            "timelineItems" => return timeline::page(self.view, self.issue, arguments),
            _ => return self.lists(name, arguments),
        })
    }
}

impl<'w> IssueNode<'w> {
    /// The fields that page.
    fn lists(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'w> {
        let (view, issue) = (self.view, self.issue);
        match name {
            "assignees" => view.users(issue.fields.assignee.into_iter().collect(), arguments),
            "labels" => view.labels(labels(issue), arguments),
            "blockedBy" => view.issues(self.linked(false), arguments),
            "blocking" => view.issues(self.linked(true), arguments),
            "subIssues" => view.issues(self.children(), arguments),
            "trackedIssues" | "trackedInIssues" => view.issues(vec![], arguments),
            "issueFieldValues" => self.field_values(arguments),
            "comments" => self.comments(arguments),
            "projectItems" => {
                // Projects that belong to users are not listed here.
                let found = if view.options.owner_is_user { vec![] } else { items_of(view, issue.id) };
                let key = |item: &super::project::ItemNode<'_>| item.project.id();
                let node = |item: &super::project::ItemNode<'w>| Value::object(*item);
                Ok(Value::object(connection("ProjectV2ItemConnection", found, arguments, 100, key, node)?))
            }
            "closedByPullRequestsReferences" => {
                let closed = arguments.bool("includeClosedPrs").unwrap_or(false);
                let pulls = view.world.code_host.pulls.iter().filter(|pull| pull.closes.contains(&issue.id));
                view.pulls(pulls.filter(|pull| closed || pull.closed.is_none()).collect(), arguments)
            }
            _ => Ok(Value::NULL),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        closes(self.view.world, self.issue.id, self.issue.fields.status)
    }

    fn state_reason(&self, duplicates: bool) -> Option<&'static str> {
        if self.is_closed() {
            let reason = close_reason(self.view.world, self.issue.fields.resolution);
            // For callers who do not ask for duplicates, a duplicate is work not planned.
            return Some(if reason == "DUPLICATE" && !duplicates { "NOT_PLANNED" } else { reason });
        }
        let reopened = was_closed(self.view.world, self.issue);
        reopened.then_some("REOPENED")
    }

    fn closed_at(&self) -> Option<i64> {
        if !self.is_closed() {
            return None;
        }
        let done = |status| closes(self.view.world, self.issue.id, status);
        let closed = self.issue.events().iter().rev().find(|event| match &event.change {
            Change::Status(swap) => done(swap.to) && !done(swap.from),
            _ => false,
        });
        Some(closed.map_or(self.issue.created, |event| event.at))
    }

    /// The issues that block this one, or (outward) that it blocks; the newest dependency first.
    fn linked(&self, outward: bool) -> Vec<&'w Issue> {
        let links = self.issue.fields.links.iter().rev();
        let wanted = links.filter(|link| link.kind == LinkKind::Blocks && link.outward == outward);
        wanted.filter_map(|link| self.view.issue(link.other)).collect()
    }

    fn children(&self) -> Vec<&'w Issue> {
        let view = self.view;
        view.world.children(self.issue.id).filter(|child| view.sees_issue(child)).collect()
    }

    fn dependencies(&self) -> Json {
        let open =
            |issues: &[&Issue]| issues.iter().filter(|issue| !IssueNode { view: self.view, issue }.is_closed()).count();
        let (by, blocks) = (self.linked(false), self.linked(true));
        json!({
            "blockedBy": open(&by), "totalBlockedBy": by.len(), "blocking": open(&blocks), "totalBlocking": blocks.len(),
        })
    }

    fn sub_issues_summary(&self) -> Json {
        let children = self.children();
        let total = children.len();
        let done = children.iter().filter(|issue| IssueNode { view: self.view, issue }.is_closed()).count();
        json!({"total": total, "completed": done, "percentCompleted": (done * 100).checked_div(total).unwrap_or(0)})
    }

    /// The organisation's own fields of issues: the estimate, where the options put it there.
    fn field_values(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let points = self.issue.fields.points.filter(|_| self.view.options.estimate_on_issue);
        let node = |points: &f32| {
            let fields = json!({"id": "IFV_kwDO1", "value": points, "field": estimate_field()});
            Value::object(Plain::new("IssueFieldNumberValue", fields))
        };
        let found = points.into_iter().collect();
        Ok(Value::object(connection("IssueFieldValueConnection", found, arguments, 100, f32::to_string, node)?))
    }

    /// What people wrote, oldest first.
    fn comments(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let view = self.view;
        let key = |comment: &&Comment| comment.id.to_string();
        let node = move |comment: &&Comment| {
            let (at, author) = (time(comment.at), comment.author);
            let fields = json!({
                "id": format!("IC_kwDO{}", comment.id), "createdAt": at, "updatedAt": at,
                "body": comment.text, "bodyText": comment.text,
                "author": {"__typename": "User", "login": super::people::login(view, author), "id": NodeId::User(author).to_string()},
            });
            Value::object(Plain::new("IssueComment", fields))
        };
        let found = self.issue.comments.iter().collect();
        Ok(Value::object(connection("IssueCommentConnection", found, arguments, 100, key, node)?))
    }
}

impl<'w> View<'w> {
    /// An issue as an object, hidden or not.
    pub(super) fn issue_object(self, issue: &'w Issue) -> Value<'w> {
        Value::object(IssueNode { view: self, issue })
    }

    /// An issue as a value; null when it is gone or hidden.
    pub(super) fn issue_value(self, id: IssueId) -> Value<'w> {
        self.issue(id).map_or(Value::NULL, |issue| self.issue_object(issue))
    }

    /// A page of issues.
    pub(super) fn issues(self, found: Vec<&'w Issue>, arguments: &Arguments<'_>) -> Answer<'w> {
        let is_stuck = Cell::new(false);
        let key = |issue: &&Issue| {
            let id = NodeId::Issue(issue.project(), issue.id).to_string();
            is_stuck.set(is_stuck.get() || self.stuck.contains(&id));
            issue.id.to_string()
        };
        let node = move |issue: &&'w Issue| self.issue_object(issue);
        let page = connection("IssueConnection", found, arguments, 100, key, node)?;
        if is_stuck.get() { Err(Failure::new("", STUCK)) } else { Ok(Value::object(page)) }
    }
}
