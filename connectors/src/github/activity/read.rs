//! From records of what people did to activities: pure.

use contextcore_core::model::observation::{Activity, Observation};
use contextcore_core::model::{Artifact, agents};
use contextcore_core::{Millis, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::connection::Rows;
use super::super::wire::{Identified, Login, Named, RepositoryName as NameWithOwner};
use crate::rewind;

#[derive(Debug, Deserialize)]
struct Record<'a> {
    of: Role,
    #[serde(borrow)]
    node: &'a RawValue,
    #[serde(default)]
    rest: Rest,
    seen: Option<Millis>,
}

/// Rows of a pull request's lists beyond those in its node.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rest {
    closing_issues_references: Vec<Identified>,
    commits: Vec<CommitNode>,
    timeline_items: Vec<Review>,
}

/// What the node of a record is.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    PullRequest,
    Commit,
    Deployment,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullRequest {
    id: Box<str>,
    number: u64,
    #[serde(default)]
    state: Box<str>,
    #[serde(default)]
    title: Box<str>,
    #[serde(default)]
    body_text: Box<str>,
    #[serde(default)]
    url: Box<str>,
    #[serde(default)]
    head_ref_name: Box<str>,
    created_at: Millis,
    merged_at: Option<Millis>,
    repository: NameWithOwner,
    author: Option<Login>,
    merged_by: Option<Login>,
    closing_issues_references: Option<Rows<Identified>>,
    #[serde(default)]
    timeline_items: Rows<Review>,
    #[serde(default)]
    commits: Rows<CommitNode>,
    #[serde(default)]
    head: Rows<CommitNode>,
}

/// A review that was asked for, or one that was given; other events are neither.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    id: Option<Box<str>>,
    created_at: Option<Millis>,
    actor: Option<Login>,
    requested_reviewer: Option<Login>,
    /// Null while it is not submitted.
    submitted_at: Option<Millis>,
    state: Option<Box<str>>,
    url: Option<Box<str>>,
    author: Option<Login>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CommitNode {
    pub(super) commit: Commit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Commit {
    pub(super) oid: Box<str>,
    pub(super) url: Box<str>,
    pub(super) message_headline: Box<str>,
    pub(super) message: Box<str>,
    pub(super) committed_date: Option<Millis>,
    author: Option<Author>,
    pub(super) status_check_rollup: Option<Checks>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Author {
    name: Option<Box<str>>,
    email: Option<Box<str>>,
    user: Option<Login>,
}

impl Author {
    fn of_commit(&self) -> agents::Author {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let account = self.user.as_ref().map(Login::author).unwrap_or_default();
        agents::Author { name: text(&self.name), email: text(&self.email), ..account }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Checks {
    pub(super) state: Box<str>,
    contexts: Rows<Check>,
}

/// A check run, or a status of the older kind.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Check {
    #[serde(alias = "context")]
    name: Box<str>,
    #[serde(alias = "state")]
    conclusion: Option<Box<str>>,
    #[serde(alias = "createdAt")]
    completed_at: Option<Millis>,
}

impl Check {
    fn failed(&self) -> bool {
        let bad = ["FAILURE", "ERROR", "TIMED_OUT", "STARTUP_FAILURE", "CANCELLED", "ACTION_REQUIRED"];
        self.conclusion.as_deref().is_some_and(|conclusion| bad.contains(&conclusion))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deployment {
    id: Box<str>,
    environment: Option<Box<str>>,
    description: Option<Box<str>>,
    #[serde(default)]
    commit_oid: Box<str>,
    creator: Option<Login>,
    #[serde(rename = "ref", default)]
    branch: Option<Named>,
    commit: Option<Commit>,
    latest_status: Option<DeploymentStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeploymentStatus {
    #[serde(default)]
    state: Box<str>,
    created_at: Option<Millis>,
    environment_url: Option<Box<str>>,
}

/// Reads a record of the `activity` stream.
///
/// # Errors
/// `ErrorKind::Protocol` when it is not such a record.
pub(in super::super) fn read(json: &str) -> Result<Vec<Observation>> {
    let mut record: Record<'_> = parsed(json)?;
    let node = record.node.get();
    let activities = match record.of {
        Role::PullRequest => {
            let mut pull: PullRequest = parsed(node)?;
            pull.complete(&mut record.rest);
            of_pull_request(&pull, record.seen)
        }
        Role::Commit => of_commit(&parsed(node)?, &Belongs::default()).into_iter().collect(),
        Role::Deployment => of_deployment(&parsed(node)?).into_iter().collect(),
    };
    Ok(activities.into_iter().map(|activity| Observation::Activity(Box::new(activity))).collect())
}

fn parsed<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| rewind::unreadable(&error))
}

/// A branch as a text that may name tasks. Branches are often in lower case (Linear proposes `ada/eng-12-checkout`), while keys
/// are only recognised in upper case.
fn in_branch(name: &str) -> String {
    name.to_uppercase()
}

/// What everything about a pull request belongs to.
#[derive(Debug, Clone, Default)]
struct Belongs {
    tasks: Vec<String>,
    mentions: Vec<String>,
}

impl Review {
    /// When it was submitted and what the reviewer said, for people; none for a review that was only asked for or begun.
    fn verdict(&self) -> Option<(Millis, String)> {
        let state = self.state.as_deref().filter(|state| *state != "PENDING")?;
        Some((self.submitted_at.or(self.created_at)?, state.to_lowercase().replace('_', " ")))
    }
}

impl PullRequest {
    /// Moves the rows of the pages that followed into its lists.
    fn complete(&mut self, rest: &mut Rest) {
        self.closing_issues_references.get_or_insert_default().extend(&mut rest.closing_issues_references);
        self.commits.extend(&mut rest.commits);
        self.timeline_items.extend(&mut rest.timeline_items);
    }
}

fn of_pull_request(pull: &PullRequest, seen: Option<Millis>) -> Vec<Activity> {
    let closes = pull.closing_issues_references.iter().flat_map(|issues| issues.iter());
    let belongs = Belongs {
        tasks: closes.map(|issue| issue.id.to_string()).collect(),
        mentions: vec![in_branch(&pull.head_ref_name), pull.title.to_string(), pull.body_text.to_string()],
    };
    let key = format!("{}#{}", pull.repository.name_with_owner, pull.number);
    let about = |native_id: String, at: Millis, kind: &str, actor: Option<String>, summary: &str| Activity {
        native_id,
        at,
        actor,
        artifact: Artifact {
            kind: kind.to_owned(),
            reference: key.clone(),
            url: pull.url.to_string(),
            summary: summary.to_owned(),
        },
        tasks: belongs.tasks.clone(),
        mentions: belongs.mentions.clone(),
        author: pull.author.as_ref().map(Login::author),
    };
    let author = Login::of(pull.author.as_ref());
    let id = &pull.id;
    let mut all = vec![about(format!("pull:{id}"), pull.created_at, "pull_request", author.clone(), &pull.title)];
    all.extend(pull.timeline_items.iter().filter_map(|review| {
        let origin = format!("review:{}", review.id.as_deref()?);
        if let Some((at, verdict)) = review.verdict() {
            let mut given = about(origin, at, "review", Login::of(review.author.as_ref()), &verdict);
            given.artifact.url = review.url.as_deref().unwrap_or(&pull.url).to_owned();
            return Some(given);
        }
        let reviewer = Login::of(review.requested_reviewer.as_ref())?;
        // The summary is who is asked to review.
        Some(about(origin, review.created_at?, "review_requested", Login::of(review.actor.as_ref()), &reviewer))
    }));
    let merger = Login::of(pull.merged_by.as_ref()).or(author);
    all.extend(pull.merged_at.map(|at| about(format!("pull:{id}:merged"), at, "merged", merger, &pull.title)));
    all.extend(pull.commits.iter().filter_map(|node| of_commit(&node.commit, &belongs)));
    // The checks of a closed pull request count only when they have a date: their end was not observed.
    let seen = seen.filter(|_| &*pull.state == "OPEN");
    all.extend(pull.head.iter().filter_map(|node| of_checks(&node.commit, &belongs, &pull.url, seen)));
    all
}

fn of_commit(commit: &Commit, belongs: &Belongs) -> Option<Activity> {
    let author = commit.author.as_ref();
    let login = author.and_then(|author| Login::of(author.user.as_ref()));
    let name = || author.and_then(|author| author.name.as_deref()).map(str::to_owned);
    let mut belongs = belongs.clone();
    belongs.mentions.push(commit.message.to_string());
    Some(Activity {
        native_id: format!("commit:{}", commit.oid),
        at: commit.committed_date?,
        actor: login.or_else(name),
        artifact: Artifact {
            kind: "commit".to_owned(),
            reference: commit.oid.to_string(),
            url: commit.url.to_string(),
            summary: commit.message_headline.to_string(),
        },
        tasks: belongs.tasks,
        mentions: belongs.mentions,
        author: author.map(Author::of_commit),
    })
}

/// The result of a head commit's checks: failed as soon as the first did, passed when the last has. Of many checks only the
/// last are listed; where those do not say when, it is when we saw it.
fn of_checks(commit: &Commit, belongs: &Belongs, url: &str, seen: Option<Millis>) -> Option<Activity> {
    let checks = commit.status_check_rollup.as_ref()?;
    let ends = |failed: bool| checks.contexts.iter().filter(move |check| check.failed() == failed || !failed);
    let (kind, at, summary) = match &*checks.state {
        "SUCCESS" => ("ci_passed", ends(false).filter_map(|check| check.completed_at).max(), String::new()),
        "FAILURE" | "ERROR" => {
            let first = ends(true).filter(|check| check.completed_at.is_some()).min_by_key(|check| check.completed_at);
            let name = first.map(|check| check.name.to_string()).unwrap_or_default();
            ("ci_failed", first.and_then(|check| check.completed_at), name)
        }
        _ => return None,
    };
    let time = at.map(|at| format!(":{}", at.0)).unwrap_or_default();
    Some(Activity {
        native_id: format!("{kind}:{}{time}", commit.oid),
        at: at.or(seen)?,
        actor: None,
        artifact: Artifact { kind: kind.to_owned(), reference: commit.oid.to_string(), url: url.to_owned(), summary },
        tasks: belongs.tasks.clone(),
        mentions: belongs.mentions.clone(),
        author: None,
    })
}

fn of_deployment(deployment: &Deployment) -> Option<Activity> {
    let status = deployment.latest_status.as_ref().filter(|status| matches!(&*status.state, "SUCCESS" | "INACTIVE"))?;
    let commit = deployment.commit.as_ref();
    let place = deployment.environment.as_deref().unwrap_or("somewhere");
    let said = [
        deployment.branch.as_ref().map(|branch| in_branch(&branch.name)),
        deployment.description.as_deref().map(str::to_owned),
        commit.map(|commit| commit.message.to_string()),
    ];
    let commit_url = || commit.map(|commit| commit.url.to_string());
    Some(Activity {
        native_id: format!("deployment:{}", deployment.id),
        at: status.created_at?,
        actor: Login::of(deployment.creator.as_ref()),
        artifact: Artifact {
            kind: "deployment".to_owned(),
            reference: deployment.commit_oid.to_string(),
            url: status.environment_url.as_deref().map(str::to_owned).or_else(commit_url).unwrap_or_default(),
            summary: format!("to {place}"),
        },
        tasks: Vec::new(),
        mentions: said.into_iter().flatten().collect(),
        author: None,
    })
}
