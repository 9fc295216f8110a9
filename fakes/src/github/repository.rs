//! Repositories: a project of the world each, with its issues, pull requests, commits and deployments.

use super::ailing::STUCK;
use super::facts::{closes, issue_updated, labels};
use super::ids::NodeId;
use super::people::Person;
use super::pulls::{self, CommitNode, DeploymentNode};
use super::view::{View, maybe_time, time};
use crate::graphql::{Answer, Arguments, Failure, Object, Plain, Value, connection};
use crate::world::{Commit, Deployment, Issue, Milestone, ProjectId, Pull, Visibility};
use serde_json::{Value as Json, json};
use std::cell::Cell;

/// Bytes of a file's text.
const MOST_TEXT: usize = 512 << 10;

pub(super) struct RepositoryNode<'w> {
    pub(super) view: View<'w>,
    pub(super) id: ProjectId,
}

impl Object for RepositoryNode<'_> {
    fn type_name(&self) -> &str {
        "Repository"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let (view, id) = (self.view, self.id);
        let full = view.repository_name(id);
        let project = view.world.project(id);
        Ok(match name {
            "id" => NodeId::Repository(id).to_string().into(),
            "databaseId" => project.id.into(),
            "name" => project.key.to_lowercase().into(),
            "nameWithOwner" => full.into(),
            "description" => project.name.as_str().into(),
            "url" => format!("{}/{full}", view.site()).into(),
            "resourcePath" => format!("/{full}").into(),
            "owner" => Value::object(Person::Owner { view }),
            "isArchived" => (project.visibility == Visibility::Archived).into(),
            "isPrivate" | "hasIssuesEnabled" => true.into(),
            "isFork" | "isDisabled" | "isEmpty" | "isLocked" | "isTemplate" | "isMirror" => false.into(),
            "createdAt" => time(self.moments().min().unwrap_or(view.now)).into(),
            "updatedAt" => time(self.moments().max().unwrap_or(view.now)).into(),
            "pushedAt" => Value::Json(maybe_time(self.pushed())),
            "defaultBranchRef" => self.branch(),
            "object" => self.object(arguments),
            _ => return self.lists(name, arguments),
        })
    }
}

impl<'w> RepositoryNode<'w> {
    fn lists(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'w> {
        let (view, id) = (self.view, self.id);
        let number = arguments.int("number").unwrap_or_default();
        match name {
            "issues" => self.issues(arguments),
            "pullRequests" => self.pulls(arguments),
            "deployments" => self.deployments(arguments),
            "milestones" => {
                let found = view.world.code_host.milestones.iter().filter(|found| found.project == id).collect();
                let key = |found: &&Milestone| found.id.0.to_string();
                let node = move |found: &&'w Milestone| view.milestone(found);
                Ok(Value::object(connection("MilestoneConnection", found, arguments, 100, key, node)?))
            }
            "projectsV2" => view.projects(view.world.boards_of(id).collect(), arguments),
            "issue" => {
                let mut issues = view.world.issues().filter(|issue| issue.project() == id && view.sees_issue(issue));
                let found = issues.find(|issue| i64::from(issue.fields.key.number) == number);
                found.map(|issue| view.issue_value(issue.id)).ok_or_else(|| {
                    Failure::new("NOT_FOUND", format!("Could not resolve to an Issue with the number of {number}."))
                })
            }
            "pullRequest" => {
                let mut pulls = view.world.code_host.pulls.iter().filter(|pull| pull.key.project == id);
                let found = pulls.find(|pull| i64::from(pull.key.number) == number);
                found.map(|pull| view.pull_value(pull)).ok_or_else(|| {
                    Failure::new(
                        "NOT_FOUND",
                        format!("Could not resolve to a PullRequest with the number of {number}."),
                    )
                })
            }
            _ => Ok(Value::NULL),
        }
    }

    fn pushed(&self) -> Option<i64> {
        let commits = self.view.world.code_host.commits.iter().filter(|commit| commit.project == self.id);
        commits.map(|commit| commit.on_default.map_or(commit.at, |on_default| on_default.max(commit.at))).max()
    }

    fn moments(&self) -> impl Iterator<Item = i64> {
        let mine = self.view.world.issues().filter(|issue| issue.project() == self.id);
        mine.map(|issue| issue.created).chain(self.pushed())
    }

    fn issues(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let view = self.view;
        view.caller.needs("issues", "issues")?;
        let filter = arguments.json("filterBy");
        let states = list(&filter["states"]).or_else(|| owned(arguments.texts("states")));
        let since = filter["since"].as_str().and_then(|since| since.parse::<jiff::Timestamp>().ok());
        let since = since.map(|since| since.as_millisecond());
        let wanted_labels = list(&filter["labels"]).or_else(|| owned(arguments.texts("labels")));
        let fits = |issue: &&Issue| {
            let closed = closes(view.world, issue.id, issue.fields.status);
            let state = if closed { "CLOSED" } else { "OPEN" };
            let held = labels(issue);
            states.as_ref().is_none_or(|states| states.iter().any(|wanted| wanted == state))
                && since.is_none_or(|since| issue_updated(view.world, issue).div_euclid(1_000) * 1_000 >= since)
                && wanted_labels.as_ref().is_none_or(|labels| labels.iter().any(|label| held.contains(label)))
        };
        let mine = view.world.issues().filter(|issue| issue.project() == self.id && view.sees_issue(issue));
        let mut found: Vec<_> = mine.filter(fits).collect();
        sort(&mut found, &arguments.json("orderBy"), |issue| (issue.created, issue_updated(view.world, issue)));
        view.issues(found, arguments)
    }

    fn pulls(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let view = self.view;
        view.caller.needs("pull_requests", "pullRequests")?;
        let states = arguments.texts("states");
        let branch = arguments.text("headRefName");
        let fits = |pull: &&Pull| {
            states.as_ref().is_none_or(|states| states.contains(&pulls::state(pull)))
                && branch.is_none_or(|branch| pull.branch == branch)
        };
        let mine = view.world.code_host.pulls.iter().filter(|pull| pull.key.project == self.id);
        let mut found: Vec<_> = mine.filter(fits).collect();
        sort(&mut found, &arguments.json("orderBy"), |pull| (pull.created, pulls::updated(view, pull)));
        view.pulls(found, arguments)
    }

    fn deployments(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let view = self.view;
        view.caller.needs("deployments", "deployments")?;
        let wanted = arguments.texts("environments");
        let fits = |found: &&Deployment| {
            found.project == self.id
                && wanted.as_ref().is_none_or(|wanted| wanted.contains(&found.environment.as_str()))
        };
        let mut found: Vec<_> = view.world.code_host.deployments.iter().filter(fits).collect();
        sort(&mut found, &arguments.json("orderBy"), |found| (found.at, found.at));
        let is_stuck = Cell::new(false);
        let key = |found: &&Deployment| {
            is_stuck.set(is_stuck.get() || view.stuck.contains(&NodeId::Deployment(found.id).to_string()));
            found.id.0.to_string()
        };
        let node = move |found: &&'w Deployment| Value::object(DeploymentNode { view, deployment: found });
        let page = connection("DeploymentConnection", found, arguments, 100, key, node)?;
        if is_stuck.get() { Err(Failure::new("", STUCK)) } else { Ok(Value::object(page)) }
    }

    /// The default branch; none while nothing was committed.
    fn branch(&self) -> Value<'w> {
        if self.view.caller.needs("contents", "defaultBranchRef").is_err() {
            return Value::Failed(self.view.caller.forbidden());
        }
        let newest = self.history().into_iter().next();
        Value::maybe(newest.map(|head| BranchNode { view: self.view, head }))
    }

    /// What `HEAD:PATH` names: a file of the default branch, or nothing.
    fn object(&self, arguments: &Arguments<'_>) -> Value<'w> {
        if self.view.caller.needs("contents", "object").is_err() {
            return Value::Failed(self.view.caller.forbidden());
        }
        let path = arguments.text("expression").and_then(|expression| expression.strip_prefix("HEAD:"));
        let files = &self.view.world.code_host.files;
        let text = path.filter(|_| !self.history().is_empty()).and_then(|path| files.get(&(self.id, path.to_owned())));
        let Some(text) = text else { return Value::NULL };
        // GitHub gives at most half a megabyte of text.
        let end = text.floor_char_boundary(MOST_TEXT);
        let fields =
            json!({"byteSize": text.len(), "isTruncated": end < text.len(), "isBinary": false, "text": text[..end]});
        Value::object(Plain::new("Blob", fields))
    }

    fn history(&self) -> Vec<&'w Commit> {
        pulls::history(self.view, self.id)
    }
}

struct BranchNode<'w> {
    view: View<'w>,
    head: &'w Commit,
}

impl Object for BranchNode<'_> {
    fn type_name(&self) -> &str {
        "Ref"
    }

    fn field(&self, name: &str, _: &Arguments<'_>) -> Answer<'_> {
        Ok(match name {
            "id" => format!("REF_kwDO{}", self.head.project).into(),
            "name" => "main".into(),
            "prefix" => "refs/heads/".into(),
            "target" => Value::object(CommitNode { view: self.view, commit: self.head }),
            _ => Value::NULL,
        })
    }
}

fn owned(texts: Option<Vec<&str>>) -> Option<Vec<String>> {
    texts.map(|texts| texts.into_iter().map(str::to_owned).collect())
}

fn list(json: &Json) -> Option<Vec<String>> {
    Some(json.as_array()?.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect())
}

/// Sorts by `orderBy`; without one by creation. `times` gives creation and update.
fn sort<T>(found: &mut [T], order: &Json, times: impl Fn(&T) -> (i64, i64)) {
    let updated = order["field"] == "UPDATED_AT";
    found.sort_by_key(|one| if updated { times(one).1 } else { times(one).0 });
    if order["direction"] == "DESC" {
        found.reverse();
    }
}

impl<'w> View<'w> {
    pub(super) fn repository(self, id: ProjectId) -> Option<Value<'w>> {
        self.sees_project(id).then(|| Value::object(RepositoryNode { view: self, id }))
    }

    /// The repository of a name.
    pub(super) fn find_repository(self, owner: &str, name: &str) -> Answer<'w> {
        let found = self.world.find_project(name).filter(|_| owner.eq_ignore_ascii_case(&self.options.owner));
        found.and_then(|id| self.repository(id)).ok_or_else(|| {
            Failure::new("NOT_FOUND", format!("Could not resolve to a Repository with the name '{owner}/{name}'."))
        })
    }

    /// A milestone as plain fields.
    pub(super) fn milestone(self, found: &Milestone) -> Value<'w> {
        let number = found.id.0;
        let url = format!("{}/{}/milestone/{number}", self.site(), self.repository_name(found.project));
        let fields = json!({
            "id": NodeId::Milestone(found.id).to_string(), "number": number, "title": found.title, "description": null,
            "state": if found.closed.is_some() { "CLOSED" } else { "OPEN" }, "closed": found.closed.is_some(),
            "dueOn": maybe_time(found.due), "closedAt": maybe_time(found.closed), "createdAt": time(found.created),
            "updatedAt": time(found.closed.unwrap_or(found.created)), "url": url,
        });
        Value::object(Plain::new("Milestone", fields))
    }
}
