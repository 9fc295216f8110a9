//! Pull requests, commits and their checks, deployments.

use super::ailing::STUCK;
use super::ids::NodeId;
use super::people::{is_bot, login};
use super::view::{View, maybe_time, time};
use crate::graphql::{Answer, Arguments, Failure, Object, Plain, Value, connection};
use crate::world::{Commit, CommitId, Deployment, ProjectId, Pull, Review, UserId, Verdict};
use serde_json::{Value as Json, json};
use std::cell::Cell;

pub(super) struct PullNode<'w> {
    pub(super) view: View<'w>,
    pub(super) pull: &'w Pull,
}

/// `OPEN`, `CLOSED` or `MERGED`.
pub(super) fn state(pull: &Pull) -> &'static str {
    match (pull.merged, pull.closed) {
        (Some(_), _) => "MERGED",
        (None, Some(_)) => "CLOSED",
        (None, None) => "OPEN",
    }
}

/// When a pull request was last updated. A finished check does not count, as at GitHub.
pub(super) fn updated(_: View<'_>, pull: &Pull) -> i64 {
    pull.updated
}

impl Object for PullNode<'_> {
    fn type_name(&self) -> &str {
        "PullRequest"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let (view, pull) = (self.view, self.pull);
        Ok(match name {
            "id" => NodeId::Pull(pull.id).to_string().into(),
            "databaseId" => pull.id.0.into(),
            "fullDatabaseId" => pull.id.0.to_string().into(),
            "number" => pull.key.number.into(),
            "title" | "titleHTML" => pull.title.as_str().into(),
            "body" | "bodyText" | "bodyHTML" => pull.body.as_str().into(),
            "url" | "permalink" => view.url(pull.key, "pull").into(),
            "resourcePath" => format!("/{}/pull/{}", view.repository_name(pull.key.project), pull.key.number).into(),
            "state" => state(pull).into(),
            "isDraft" => (pull.ready.is_none() && pull.closed.is_none()).into(),
            "merged" => pull.merged.is_some().into(),
            "closed" => pull.closed.is_some().into(),
            "createdAt" => time(pull.created).into(),
            "updatedAt" => time(updated(view, pull)).into(),
            "mergedAt" => Value::Json(maybe_time(pull.merged.map(|(at, _)| at))),
            "closedAt" => Value::Json(maybe_time(pull.closed)),
            "mergedBy" => pull.merged.map_or(Value::NULL, |(_, by)| view.user(by)),
            "author" => view.user(pull.author),
            "headRefName" => pull.branch.as_str().into(),
            "baseRefName" => "main".into(),
            "headRefOid" => self.head().map_or_else(|| "0".repeat(40), |head| head.oid.clone()).into(),
            "repository" | "baseRepository" | "headRepository" => {
                view.repository(pull.key.project).unwrap_or(Value::NULL)
            }
            "isCrossRepository" => false.into(),
            "reviewDecision" => decision(pull).into(),
            "statusCheckRollup" => return self.rollup(),
            "mergeCommit" => {
                let merged = self.head().filter(|_| pull.merged.is_some());
                Value::maybe(merged.map(|commit| CommitNode { view, commit }))
            }
            _ => return self.lists(name, arguments),
        })
    }
}

impl<'w> PullNode<'w> {
    fn lists(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'w> {
        let (view, pull) = (self.view, self.pull);
        match name {
            "labels" => view.labels(vec![], arguments),
            "assignees" => view.users(vec![pull.author], arguments),
            "latestReviews" => self.reviews(latest(pull, false), arguments),
            "latestOpinionatedReviews" => self.reviews(latest(pull, true), arguments),
            "reviews" => {
                let states = arguments.texts("states");
                let fits = |review: &Review| states.as_ref().is_none_or(|states| states.contains(&verdict(*review)));
                self.reviews(pull.reviews.iter().copied().filter(fits).collect(), arguments)
            }
            "closingIssuesReferences" => {
                view.issues(pull.closes.iter().filter_map(|id| view.issue(*id)).collect(), arguments)
            }
            "commits" => {
                let key = |id: &CommitId| id.0.to_string();
                let pull = pull.id;
                let node = move |id: &CommitId| Value::object(PullCommitNode { view, pull, id: *id });
                let found = self.pull.commits.clone();
                Ok(Value::object(connection("PullRequestCommitConnection", found, arguments, 100, key, node)?))
            }
            "timelineItems" => self.timeline(arguments),
            _ => Ok(Value::NULL),
        }
    }

    fn head(&self) -> Option<&'w Commit> {
        self.pull.commits.last().map(|id| self.view.world.code_host.commit(*id))
    }

    fn rollup(&self) -> Answer<'w> {
        self.head().map_or(Ok(Value::NULL), |commit| CommitNode { view: self.view, commit }.rollup())
    }

    fn reviews(&self, found: Vec<Review>, arguments: &Arguments<'_>) -> Answer<'w> {
        let (view, pull) = (self.view, self.pull);
        let key = |review: &Review| format!("{}.{}", review.at, review.by);
        let node =
            move |review: &Review| Value::object(Plain::new("PullRequestReview", review_json(view, pull, *review)));
        Ok(Value::object(connection("PullRequestReviewConnection", found, arguments, 100, key, node)?))
    }

    /// The events of the work: ready, review requested, reviewed, merged, closed.
    fn timeline(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let (view, pull) = (self.view, self.pull);
        let mut all = events(view, pull);
        all.sort_by_key(|(at, _)| *at);
        let last = all.last().map_or(pull.created, |(at, _)| *at);
        let types = arguments.texts("itemTypes");
        let since = arguments.text("since").and_then(|since| since.parse::<jiff::Timestamp>().ok());
        all.retain(|(at, event)| {
            let kind = super::timeline::item_type(event["__typename"].as_str().unwrap_or_default());
            types.as_ref().is_none_or(|types| types.contains(&kind.as_str()))
                && since.is_none_or(|since| at.div_euclid(1_000) >= since.as_second())
        });
        let total = all.len();
        let key = |(_, event): &(i64, Json)| event["id"].to_string();
        let node = |(_, event): &(i64, Json)| Value::Json(event.clone());
        let page = connection("PullRequestTimelineItemsConnection", all, arguments, 100, key, node)?;
        let count = page.len();
        Ok(Value::object(page.with("updatedAt", time(last)).with("filteredCount", total).with("pageCount", count)))
    }
}

/// The newest review of each reviewer; of the opinionated ones only those that decide.
fn latest(pull: &Pull, opinionated: bool) -> Vec<Review> {
    let counts = |review: &&Review| !opinionated || review.verdict != Verdict::Commented;
    let reviews: Vec<_> = pull.reviews.iter().filter(counts).copied().collect();
    let newer = |at: usize| reviews[at + 1..].iter().any(|later| later.by == reviews[at].by);
    (0..reviews.len()).filter(|at| !newer(*at)).map(|at| reviews[at]).collect()
}

fn decision(pull: &Pull) -> &'static str {
    let latest = latest(pull, true);
    if latest.iter().any(|review| review.verdict == Verdict::ChangesRequested) {
        "CHANGES_REQUESTED"
    } else if latest.is_empty() {
        "REVIEW_REQUIRED"
    } else {
        "APPROVED"
    }
}

fn verdict(review: Review) -> &'static str {
    match review.verdict {
        Verdict::Approved => "APPROVED",
        Verdict::ChangesRequested => "CHANGES_REQUESTED",
        Verdict::Commented => "COMMENTED",
    }
}

/// A person as plain fields.
fn person(view: View<'_>, id: UserId) -> Json {
    let kind = if is_bot(view, id) { "Bot" } else { "User" };
    json!({"__typename": kind, "id": NodeId::User(id).to_string(), "login": login(view, id),
        "name": view.world.users[usize::from(id.0)].name})
}

fn review_json(view: View<'_>, pull: &Pull, review: Review) -> Json {
    let at = time(review.at);
    json!({
        "__typename": "PullRequestReview", "id": format!("PRR_kwDO{}n{}n{}", pull.id.0, review.by, review.at),
        "state": verdict(review), "submittedAt": at, "createdAt": at, "publishedAt": at, "updatedAt": at, "body": "",
        "bodyText": "", "author": person(view, review.by), "url": view.url(pull.key, "pull"),
    })
}

fn events(view: View<'_>, pull: &Pull) -> Vec<(i64, Json)> {
    let event = |kind: &str, at: i64, by: UserId, number: usize| {
        let id = format!("{kind}_{}n{number}", NodeId::Pull(pull.id));
        json!({"__typename": kind, "id": id, "createdAt": time(at), "actor": person(view, by), "url": view.url(pull.key, "pull")})
    };
    let mut events = vec![];
    if let Some(at) = pull.ready.filter(|at| *at > pull.created) {
        events.push((at, event("ReadyForReviewEvent", at, pull.author, 0)));
    }
    for (number, (at, by, of)) in pull.requests.iter().enumerate() {
        let mut asked = event("ReviewRequestedEvent", *at, *by, number);
        asked["requestedReviewer"] = person(view, *of);
        events.push((*at, asked));
    }
    events.extend(pull.reviews.iter().map(|review| (review.at, review_json(view, pull, *review))));
    if let Some((at, by)) = pull.merged {
        let mut merged = event("MergedEvent", at, by, 0);
        merged["mergeRefName"] = "main".into();
        events.push((at, merged));
    }
    if let Some(at) = pull.closed {
        let by = pull.merged.map_or(pull.author, |(_, by)| by);
        events.push((at, event("ClosedEvent", at, by, 0)));
    }
    events
}

struct PullCommitNode<'w> {
    view: View<'w>,
    pull: crate::world::PullId,
    id: CommitId,
}

impl Object for PullCommitNode<'_> {
    fn type_name(&self) -> &str {
        "PullRequestCommit"
    }

    fn field(&self, name: &str, _: &Arguments<'_>) -> Answer<'_> {
        let code_host = &self.view.world.code_host;
        Ok(match name {
            "id" => format!("PURC_kwDO{}n{}", self.pull.0, self.id.0).into(),
            "commit" => Value::object(CommitNode { view: self.view, commit: code_host.commit(self.id) }),
            "pullRequest" => self.view.pull_value(code_host.pull(self.pull)),
            _ => Value::NULL,
        })
    }
}

pub(super) struct CommitNode<'w> {
    pub(super) view: View<'w>,
    pub(super) commit: &'w Commit,
}

impl Object for CommitNode<'_> {
    fn type_name(&self) -> &str {
        "Commit"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let (view, commit) = (self.view, self.commit);
        let url = || format!("{}/{}/commit/{}", view.site(), view.repository_name(commit.project), commit.oid);
        Ok(match name {
            "id" => NodeId::Commit(commit.id).to_string().into(),
            "oid" => commit.oid.as_str().into(),
            "abbreviatedOid" => commit.oid[..7].into(),
            "message" => commit.message.as_str().into(),
            "messageHeadline" => commit.message.lines().next().unwrap_or_default().into(),
            "messageBody" => commit.message.split_once("\n\n").map_or("", |(_, body)| body).into(),
            "committedDate" | "authoredDate" => time(commit.at).into(),
            "url" | "commitUrl" => url().into(),
            "author" | "committer" => {
                let (login, name) = (login(view, commit.by), &view.world.users[usize::from(commit.by.0)].name);
                // An App is no user, and GitHub shows it by its address alone.
                let (name, email, user) = match is_bot(view, commit.by) {
                    true => {
                        let email = format!("{}+{login}[bot]@users.noreply.github.com", 4711 + u32::from(commit.by.0));
                        (format!("{login}[bot]"), email, serde_json::Value::Null)
                    }
                    false => (name.clone(), format!("{login}@example.com"), person(view, commit.by)),
                };
                Value::Json(json!({"name": name, "email": email, "date": time(commit.at), "user": user}))
            }
            "repository" => view.repository(commit.project).unwrap_or(Value::NULL),
            "statusCheckRollup" => return self.rollup(),
            "associatedPullRequests" => {
                let pulls = view.world.code_host.pulls.iter().filter(|pull| pull.commits.contains(&commit.id));
                return view.pulls(pulls.collect(), arguments);
            }
            "history" => return self.history(arguments),
            _ => Value::NULL,
        })
    }
}

impl<'w> CommitNode<'w> {
    /// All checks together. Null when there are none.
    fn rollup(&self) -> Answer<'w> {
        self.view.caller.needs("checks", "statusCheckRollup")?;
        let node = RollupNode { view: self.view, commit: self.commit };
        Ok(Value::maybe((!self.commit.checks.is_empty()).then_some(node)))
    }

    /// This commit and those before it, the newest first.
    fn history(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let view = self.view;
        let bound = |name| arguments.text(name).and_then(|at| at.parse::<jiff::Timestamp>().ok());
        let (since, until) = (bound("since"), bound("until"));
        let mut found = history(view, self.commit.project);
        let after = |commit: &&Commit| (commit.on_default, commit.id) > (self.commit.on_default, self.commit.id);
        found.retain(|commit| {
            let at = commit.at.div_euclid(1_000);
            !after(commit)
                && since.is_none_or(|since| at >= since.as_second())
                && until.is_none_or(|until| at <= until.as_second())
        });
        let key = |commit: &&Commit| commit.oid.clone();
        let node = move |commit: &&'w Commit| Value::object(CommitNode { view, commit });
        Ok(Value::object(connection("CommitHistoryConnection", found, arguments, 100, key, node)?))
    }
}

struct RollupNode<'w> {
    view: View<'w>,
    commit: &'w Commit,
}

impl Object for RollupNode<'_> {
    fn type_name(&self) -> &str {
        "StatusCheckRollup"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let commit = self.commit;
        let passed = commit.latest_checks().all(|check| check.passed);
        Ok(match name {
            "id" => format!("SCR_kwDO{}", commit.id.0).into(),
            "state" => if passed { "SUCCESS" } else { "FAILURE" }.into(),
            "commit" => Value::object(CommitNode { view: self.view, commit }),
            "contexts" => {
                let id = commit.id.0;
                let found: Vec<_> = commit.latest_checks().cloned().collect();
                let total = found.len();
                let node = move |check: &crate::world::Check| {
                    let at = time(check.at);
                    Value::Json(json!({
                        "__typename": "CheckRun", "id": format!("CR_kwDO{id}n{}", check.name), "name": check.name,
                        "status": "COMPLETED", "conclusion": if check.passed { "SUCCESS" } else { "FAILURE" },
                        "startedAt": at, "completedAt": at, "detailsUrl": null,
                    }))
                };
                let key = |check: &crate::world::Check| check.name.clone();
                let kind = "StatusCheckRollupContextConnection";
                let page = connection(kind, found, arguments, 100, key, node)?;
                Value::object(page.with("checkRunCount", total).with("statusContextCount", 0))
            }
            _ => Value::NULL,
        })
    }
}

pub(super) struct DeploymentNode<'w> {
    pub(super) view: View<'w>,
    pub(super) deployment: &'w Deployment,
}

impl Object for DeploymentNode<'_> {
    fn type_name(&self) -> &str {
        "Deployment"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let (view, deployment) = (self.view, self.deployment);
        let commit = view.world.code_host.commit(deployment.commit);
        let updated = deployment.ended.map_or(deployment.at, |(at, _)| at);
        Ok(match name {
            "id" => NodeId::Deployment(deployment.id).to_string().into(),
            "databaseId" => deployment.id.0.into(),
            "commit" => Value::object(CommitNode { view, commit }),
            "commitOid" => commit.oid.as_str().into(),
            "createdAt" => time(deployment.at).into(),
            "updatedAt" => time(updated).into(),
            "creator" => view.user(deployment.by),
            "description" => format!("Deploy to {}", deployment.environment).into(),
            "environment" | "originalEnvironment" | "latestEnvironment" => deployment.environment.as_str().into(),
            "ref" => Value::Json(json!({"name": "main", "prefix": "refs/heads/", "id": "REF_kwDO"})),
            "repository" => view.repository(deployment.project).unwrap_or(Value::NULL),
            "state" => match deployment.ended {
                None => "IN_PROGRESS",
                Some((_, true)) => "ACTIVE",
                Some((_, false)) => "FAILURE",
            }
            .into(),
            "latestStatus" => self.statuses().pop().map_or(Value::NULL, Value::Json),
            "statuses" => {
                let key = |status: &Json| status["id"].to_string();
                let node = |status: &Json| Value::Json(status.clone());
                let found = self.statuses();
                Value::object(connection("DeploymentStatusConnection", found, arguments, 100, key, node)?)
            }
            _ => Value::NULL,
        })
    }
}

impl DeploymentNode<'_> {
    fn statuses(&self) -> Vec<Json> {
        let deployment = self.deployment;
        let status = |number: u8, at: i64, state: &str| {
            json!({"id": format!("DS_kwDO{}n{number}", deployment.id.0), "state": state, "createdAt": time(at),
                "updatedAt": time(at), "environment": deployment.environment, "environmentUrl": null,
                "creator": person(self.view, deployment.by)})
        };
        let ended = deployment.ended.map(|(at, worked)| status(1, at, if worked { "SUCCESS" } else { "FAILURE" }));
        [Some(status(0, deployment.at, "IN_PROGRESS")), ended].into_iter().flatten().collect()
    }
}

/// The commits on the default branch, the newest first.
pub(super) fn history(view: View<'_>, id: ProjectId) -> Vec<&Commit> {
    let mine = view.world.code_host.commits.iter().filter(|commit| commit.project == id);
    let mut found: Vec<_> = mine.filter(|commit| commit.on_default.is_some()).collect();
    found.sort_by_key(|commit| std::cmp::Reverse((commit.on_default, commit.id)));
    found
}

impl<'w> View<'w> {
    /// A pull request as an object, hidden or not.
    pub(super) fn pull_object(self, pull: &'w Pull) -> Value<'w> {
        Value::object(PullNode { view: self, pull })
    }

    /// A pull request as a value; null when its repository is hidden.
    pub(super) fn pull_value(self, pull: &'w Pull) -> Value<'w> {
        if self.sees_project(pull.key.project) { self.pull_object(pull) } else { Value::NULL }
    }

    pub(super) fn pulls(self, found: Vec<&'w Pull>, arguments: &Arguments<'_>) -> Answer<'w> {
        let is_stuck = Cell::new(false);
        let key = |pull: &&Pull| {
            is_stuck.set(is_stuck.get() || self.stuck.contains(&NodeId::Pull(pull.id).to_string()));
            pull.id.0.to_string()
        };
        let node = move |pull: &&'w Pull| self.pull_object(pull);
        let page = connection("PullRequestConnection", found, arguments, 100, key, node)?;
        if is_stuck.get() { Err(Failure::new("", STUCK)) } else { Ok(Value::object(page)) }
    }
}
