//! The `activity` stream: what people did in the configured repositories (pull requests, commits, reviews, checks,
//! deployments), for the engine to find the tasks it belongs to.
//!
//! The run knows when something was last pushed and when a pull request changed last, so that a quiet repository is not asked
//! at all. Lists come newest first and are read back to the watermark less an overlap. The end of a check changes neither time,
//! so pull requests whose checks were not done are read again by themselves.

use std::collections::BTreeMap;

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord, Unreadable};
use contextcore_core::model::Artifact;
use contextcore_core::model::observation::{Activity, Observation};
use contextcore_core::model::time::{DAY, MINUTE};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::{info, warn};

use super::answer::{Answer, FetchOutcome, GraphError, is_divisible};
use super::api::{Api, Detail, Work};
use super::batch::{Kind, Sizes};
use super::lists::continuations;
use super::records::{costs_the_record, unreadable};
use super::rows::Attempt;
use super::session::{ACTIVITY, GitHub, MOMENT, Repository, SiteContext};
use super::settings::RepositoryName;
use super::wire::{Identified, Login, Named, RepositoryName as NameWithOwner, Rows};
use crate::{cursor, rewind, scan};

/// How far back the first sweep goes: as far as the export's usual history.
const PAST: i64 = 400 * DAY;
/// How far before the watermark pull requests are read again.
const OVERLAP: i64 = 2 * MINUTE;
/// The same for commits, which are dated when they were made, not when they were pushed.
const COMMIT_OVERLAP: i64 = 7 * DAY;
/// The same for deployments, which take their time.
const DEPLOYMENT_OVERLAP: i64 = DAY;
/// Pages of one page of records.
const PAGES: usize = 20;
/// Pull requests that are read again, at most.
const WATCHED: usize = 100;

/// How far the stream has been read, by repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct ActivityCursor {
    repositories: BTreeMap<String, RepositoryCursor>,
    sizes: Sizes,
}

/// How far one repository has been read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct RepositoryCursor {
    pull_requests: ListCursor,
    commits: ListCursor,
    deployments: ListCursor,
    /// Pull requests whose checks were not done, or had failed.
    watched: Vec<Box<str>>,
}

/// How far one list has been read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct ListCursor {
    /// What changed before this has been read.
    #[serde(rename = "read")]
    watermark: Option<Millis>,
    /// The last activity of the repository that was read for.
    #[serde(rename = "pulse")]
    activity: Option<Millis>,
    /// The credential might not see it. It is asked for all the same, since permission may return.
    refused: bool,
    #[serde(rename = "going", skip_serializing_if = "Option::is_none")]
    sweep: Option<ListSweep>,
}

/// A sweep under way: from the newest row back to `until`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct ListSweep {
    after: Option<Box<str>>,
    until: Millis,
    newest: Option<Millis>,
}

/// The lists of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActivityList {
    PullRequests,
    Commits,
    Deployments,
}

impl ActivityList {
    /// Its word in records.
    const fn record(self) -> &'static str {
        match self {
            Self::PullRequests => "pull_request",
            Self::Commits => "commit",
            Self::Deployments => "deployment",
        }
    }

    /// What people call it.
    const fn name(self) -> &'static str {
        match self {
            Self::PullRequests => "pull requests",
            Self::Commits => "commits",
            Self::Deployments => "deployments",
        }
    }

    const fn overlap(self) -> i64 {
        match self {
            Self::PullRequests => OVERLAP,
            Self::Commits => COMMIT_OVERLAP,
            Self::Deployments => DEPLOYMENT_OVERLAP,
        }
    }
}

impl ListCursor {
    /// Whether something happened since it was last read.
    fn is_due(&self, activity: Option<Millis>) -> bool {
        self.sweep.is_some() || (activity.is_some() && activity != self.activity)
    }

    fn begin(&mut self, list: ActivityList, now: Millis) -> ListSweep {
        let past = now.plus(-PAST);
        let until = self.watermark.map_or(past, |watermark| watermark.plus(-list.overlap()).max(past));
        self.sweep.take().unwrap_or(ListSweep { until, ..ListSweep::default() })
    }

    fn settle(&mut self, sweep: &ListSweep, activity: Option<Millis>, now: Millis) {
        self.watermark = scan::advance(self.watermark, sweep.newest, now);
        self.activity = activity.filter(|activity| activity.plus(MOMENT) < now);
    }
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's, except for lists that GitHub refuses or cannot serve: those are left out with a warning.
pub(super) async fn poll(github: &GitHub, live: &SiteContext, stored: Option<&Cursor>, now: Millis) -> Result<Page> {
    let cursor = cursor::read(stored, ACTIVITY);
    let mut poll = Poll { github, now, cursor, records: Vec::new(), unreadable: Vec::new(), warnings: Vec::new() };
    let mut more = false;
    if github.api.low_for().is_some() {
        poll.warnings.push("few points are left of this hour: a later run reads what people did".to_owned());
    } else {
        for repository in &live.repositories {
            more = more || poll.repository(repository).await?;
        }
    }
    let Poll { cursor, records, unreadable, warnings, .. } = poll;
    Ok(Page { records, unreadable, cursor: cursor::write(&cursor, ACTIVITY)?, more, warnings, ..Page::default() })
}

/// One poll of the stream.
struct Poll<'a> {
    github: &'a GitHub,
    now: Millis,
    cursor: ActivityCursor,
    records: Vec<RawRecord>,
    unreadable: Vec<Unreadable>,
    warnings: Vec<String>,
}

impl Poll<'_> {
    /// Reads the next pages of a repository. Whether there is more.
    async fn repository(&mut self, repository: &Repository) -> Result<bool> {
        let name = repository.name.to_string();
        let mut cursor = self.cursor.repositories.remove(&name).unwrap_or_default();
        let (pulls, pushed) = (repository.activity.pull_requests(), repository.activity.pushed_at);
        let mut more = false;
        if !cursor.pull_requests.is_due(pulls) && !cursor.watched.is_empty() {
            self.read_watched(&mut cursor).await?;
        }
        for (list, activity) in
            [(ActivityList::PullRequests, pulls), (ActivityList::Commits, pushed), (ActivityList::Deployments, pushed)]
        {
            more = more || self.list(&repository.name, list, activity, &mut cursor).await?;
        }
        self.cursor.repositories.insert(name, cursor);
        Ok(more)
    }

    /// Reads the next pages of one list. Whether there is more.
    async fn list(
        &mut self,
        name: &RepositoryName,
        list: ActivityList,
        activity: Option<Millis>,
        cursor: &mut RepositoryCursor,
    ) -> Result<bool> {
        let read = match list {
            ActivityList::PullRequests => &mut cursor.pull_requests,
            ActivityList::Commits => &mut cursor.commits,
            ActivityList::Deployments => &mut cursor.deployments,
        };
        if !read.is_due(activity) {
            return Ok(false);
        }
        let mut sweep = read.begin(list, self.now);
        for _ in 0..PAGES {
            let begin = sweep.after.clone();
            let page = match self.page(name, list, &mut sweep).await {
                Err(error) if costs_the_record(&error) => {
                    self.left_out(name, list, &error, read);
                    read.sweep = Some(ListSweep { after: begin, ..sweep }).filter(|_| !read.refused);
                    return Ok(false);
                }
                page => page?,
            };
            read.refused = false;
            let outlines: Vec<Outline> = page.iter().map(|node| Outline::of(node)).collect();
            sweep.newest = sweep.newest.max(outlines.iter().filter_map(Outline::at).max());
            if list == ActivityList::PullRequests {
                watch(&mut cursor.watched, &outlines);
            }
            let oldest = outlines.iter().filter_map(Outline::at).min();
            for node in page.iter() {
                self.give(list, node).await?;
            }
            if !page.page_info.has_next_page || oldest.is_some_and(|oldest| oldest < sweep.until) {
                read.settle(&sweep, activity, self.github.api.limit(self.now));
                return Ok(false);
            }
        }
        read.sweep = Some(sweep);
        Ok(true)
    }

    /// Notes that a list is left out in this run. A refusal is said once; it is likely to last.
    fn left_out(&mut self, name: &RepositoryName, list: ActivityList, error: &Error, read: &mut ListCursor) {
        let is_refusal = matches!(error.kind(), ErrorKind::Permission | ErrorKind::NotFound);
        if !is_refusal {
            self.warnings.push(format!("{} of {name} are left out, GitHub cannot serve them: {error}", list.name()));
        } else if !read.refused {
            self.warnings.push(format!("{} of {name} are left out, the token may not see them: {error}", list.name()));
        }
        read.refused = is_refusal;
    }

    /// Gives a node with all rows of its lists.
    async fn give(&mut self, list: ActivityList, node: &RawValue) -> Result<()> {
        match complete(&self.github.api, list, node, self.now).await? {
            Ok(record) => self.records.push(record),
            Err(unreadable) => self.unreadable.push(unreadable),
        }
        Ok(())
    }

    /// A page of a list, as large as GitHub answers. A pull request that cannot be listed is stepped over.
    async fn page(
        &mut self,
        name: &RepositoryName,
        list: ActivityList,
        sweep: &mut ListSweep,
    ) -> Result<Rows<Box<RawValue>>> {
        let api = &self.github.api;
        let size = match list {
            ActivityList::PullRequests => &mut self.cursor.sizes.pulls,
            ActivityList::Commits | ActivityList::Deployments => &mut self.cursor.sizes.sweep,
        };
        let (mut rows, mut attempt, usual) = (*size, Attempt::default(), *size);
        loop {
            let after = sweep.after.as_deref();
            let answer: Result<Answer<Work>> = match list {
                ActivityList::PullRequests => api.pull_requests(name, after, rows, attempt.detail).await,
                ActivityList::Commits => api.commits(name, sweep.until, after, rows).await,
                ActivityList::Deployments => api.deployments(name, after, rows).await,
            };
            match answer.and_then(whole_rows) {
                Err(error) if is_divisible(&error) && rows > 1 => {
                    api.note_failure(&error);
                    rows = rows.div_ceil(2);
                    info!(?list, rows, error = error.full(), "asking for fewer at once");
                }
                Err(error) if is_divisible(&error) => {
                    api.answers_still(&error).await?;
                    attempt = attempt.next(error)?;
                    if attempt.detail != Detail::Whole && list != ActivityList::PullRequests {
                        return Err(Error::new(ErrorKind::Unavailable, attempt.reason().to_owned()));
                    }
                }
                Err(error) => return Err(error),
                Ok(mut page) => {
                    page.page_info.step(&mut sweep.after, &name.to_string())?;
                    if attempt.detail == Detail::Whole {
                        *size = rows;
                        return Ok(page);
                    }
                    *size = usual;
                    let id = page.nodes.drain(..).flatten().find_map(|node| Outline::of(&node).id);
                    match id {
                        Some(id) => self.unreadable.push(unreadable(&id, attempt.reason())),
                        None => self
                            .warnings
                            .push(format!("a pull request of {name} cannot be listed: {}", attempt.reason())),
                    }
                    return Ok(page);
                }
            }
        }
    }

    /// Reads pull requests again whose checks were not done.
    async fn read_watched(&mut self, cursor: &mut RepositoryCursor) -> Result<()> {
        let watched = std::mem::take(&mut cursor.watched);
        for (id, outcome) in self.github.api.nodes(Kind::PullRequests, &watched, &mut self.cursor.sizes).await? {
            match outcome {
                FetchOutcome::Whole(node) => {
                    if Outline::of(&node).is_unsettled() {
                        cursor.watched.push(id);
                    }
                    self.give(ActivityList::PullRequests, &node).await?;
                }
                FetchOutcome::Torn(reason) => self.unreadable.push(unreadable(&id, &reason)),
                FetchOutcome::Gone | FetchOutcome::Hidden(_) => warn!(%id, "a pull request cannot be read any more"),
            }
        }
        Ok(())
    }
}

/// The rows of a page, unless one is null for another reason than permission.
fn whole_rows(Answer { data, errors }: Answer<Work>) -> Result<Rows<Box<RawValue>>> {
    let rows = data.rows();
    let refused =
        |index: usize| errors.iter().any(|error| error.is_refusal() && error.row().is_none_or(|row| row == index));
    let is_torn = |(index, row): (usize, &Option<Box<RawValue>>)| row.is_none() && !refused(index);
    let failed = |error: &&GraphError| !error.is_refusal() && error.row().is_some();
    if rows.nodes.iter().enumerate().any(is_torn) || errors.iter().any(|error| failed(&error)) {
        let text = errors.iter().find(failed).map_or_else(|| "an empty row".to_owned(), GraphError::text);
        return Err(Error::new(ErrorKind::Protocol, format!("a row of the page failed: {text}")));
    }
    Ok(rows)
}

/// Notes which pull requests are to be read again by themselves.
fn watch(watched: &mut Vec<Box<str>>, listed: &[Outline]) {
    watched.retain(|id| !listed.iter().any(|outline| outline.id.as_ref() == Some(id)));
    watched.extend(listed.iter().filter(|outline| outline.is_unsettled()).filter_map(|outline| outline.id.clone()));
    watched.truncate(WATCHED);
}

/// What the sweep itself needs of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Outline {
    id: Option<Box<str>>,
    oid: Option<Box<str>>,
    state: Option<Box<str>>,
    updated_at: Option<Millis>,
    committed_date: Option<Millis>,
    created_at: Option<Millis>,
    head: Rows<CommitNode>,
}

impl Outline {
    fn of(node: &RawValue) -> Self {
        serde_json::from_str(node.get()).unwrap_or_default()
    }

    fn at(&self) -> Option<Millis> {
        self.updated_at.or(self.committed_date).or(self.created_at)
    }

    /// Open, with checks that are not done or might be done again.
    fn is_unsettled(&self) -> bool {
        let checks = self.head.iter().filter_map(|node| node.commit.status_check_rollup.as_ref());
        let open = self.state.as_deref() == Some("OPEN");
        open && checks.into_iter().any(|checks| &*checks.state != "SUCCESS")
    }
}

/// A record: which list it is of, the node as GitHub wrote it, what follows in its lists, and when.
#[derive(Debug, Serialize)]
struct RecordText<'a> {
    #[serde(rename = "of")]
    what: &'static str,
    node: &'a RawValue,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rest: BTreeMap<&'static str, Vec<Box<RawValue>>>,
    /// When it was read.
    seen: Millis,
}

/// A record with all rows of its lists, or why GitHub cannot serve it.
///
/// # Errors
/// As the session's.
pub(super) async fn complete(
    api: &Api,
    list: ActivityList,
    node: &RawValue,
    seen: Millis,
) -> Result<Result<RawRecord, Unreadable>> {
    let outline = Outline::of(node);
    let native_id: String = outline.id.or(outline.oid).unwrap_or_default().into();
    let mut rest: BTreeMap<&'static str, Vec<Box<RawValue>>> = BTreeMap::new();
    let lists = if list == ActivityList::PullRequests { continuations(node, true) } else { Vec::new() };
    for from in lists {
        match api.rest_of(&from).await {
            Ok(rows) => drop(rest.insert(from.list.key(), rows)),
            Err(error) if costs_the_record(&error) => return Ok(Err(unreadable(&native_id, &error.to_string()))),
            Err(error) => return Err(error),
        }
    }
    let json = serde_json::to_string(&RecordText { what: list.record(), node, rest, seen });
    let json = json.map_err(|error| Error::new(ErrorKind::Internal, "write a record").caused_by(error))?;
    Ok(Ok(RawRecord { stream: ACTIVITY, native_id, json }))
}

// --- reading records: pure ---

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
struct CommitNode {
    commit: Commit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Commit {
    oid: Box<str>,
    url: Box<str>,
    message_headline: Box<str>,
    message: Box<str>,
    committed_date: Option<Millis>,
    author: Option<Author>,
    status_check_rollup: Option<Checks>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Author {
    name: Option<Box<str>>,
    user: Option<Login>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Checks {
    state: Box<str>,
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
/// [`ErrorKind::Protocol`] when it is not such a record.
pub(super) fn read(json: &str) -> Result<Vec<Observation>> {
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
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<ActivityCursor>(include_str!("fixtures/cursors.json"), "activity");
    }

    const PULL: &str = r#"{"of":"pull_request","node":{
        "id":"PR_1","number":7,"title":"Pay by card","bodyText":"Closes #3, see OPS-9","url":"https://github.com/acme/web/pull/7",
        "headRefName":"feature/PROJ-12-card","state":"OPEN","createdAt":"2026-03-01T10:00:00Z","updatedAt":"2026-03-03T10:00:00Z",
        "mergedAt":"2026-03-03T10:00:00Z","repository":{"nameWithOwner":"acme/web"},"author":{"login":"ada"},
        "mergedBy":{"login":"lin"},"closingIssuesReferences":{"nodes":[{"id":"I_3"}]},
        "timelineItems":{"nodes":[{"__typename":"ReviewRequestedEvent","id":"RRE_1","createdAt":"2026-03-02T09:00:00Z",
            "actor":{"login":"ada"},"requestedReviewer":{"__typename":"Team","name":"payments"}},{"__typename":"ReadyForReviewEvent"},
            {"__typename":"PullRequestReview","id":"PRR_1","submittedAt":"2026-03-02T11:00:00Z","state":"CHANGES_REQUESTED",
            "url":"r","author":{"login":"lin"}},{"__typename":"PullRequestReview","id":"PRR_2","submittedAt":null,
            "state":"PENDING","author":{"login":"ada"}}]},
        "commits":{"nodes":[{"commit":{"oid":"abc","url":"u","messageHeadline":"Add it","message":"Add it\n\nfor SHOP-1",
            "committedDate":"2026-03-01T09:00:00Z","author":{"name":"Ada","user":null}}}]},
        "head":{"nodes":[{"commit":{"oid":"abc","statusCheckRollup":{"state":"FAILURE","contexts":{"nodes":[
            {"__typename":"CheckRun","name":"build","conclusion":"SUCCESS","completedAt":"2026-03-01T09:05:00Z"},
            {"__typename":"CheckRun","name":"test","conclusion":"FAILURE","completedAt":"2026-03-01T09:07:00Z"},
            {"__typename":"StatusContext","context":"lint","state":"ERROR","createdAt":"2026-03-01T09:06:00Z"}]}}}}]}}}"#;

    fn activities(json: &str) -> Vec<Activity> {
        let of = |observation| match observation {
            Observation::Activity(activity) => *activity,
            other => panic!("{other:?}"),
        };
        read(json).unwrap().into_iter().map(of).collect()
    }

    #[test]
    fn a_pull_request_gives_an_activity_for_each_thing_people_did() {
        let found = activities(PULL);
        let shown: Vec<_> = found
            .iter()
            .map(|activity| {
                let artifact = &activity.artifact;
                (
                    artifact.kind.as_str(),
                    artifact.reference.as_str(),
                    activity.actor.as_deref(),
                    artifact.summary.as_str(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("pull_request", "acme/web#7", Some("ada"), "Pay by card"),
                ("review_requested", "acme/web#7", Some("ada"), "payments"),
                ("review", "acme/web#7", Some("lin"), "changes requested"),
                ("merged", "acme/web#7", Some("lin"), "Pay by card"),
                ("commit", "abc", Some("Ada"), "Add it"),
                ("ci_failed", "abc", None, "lint"),
            ]
        );
        assert!(found.iter().all(|activity| activity.tasks == ["I_3"] && activity.mentions[0].contains("PROJ-12")));
        assert_eq!(found[5].at, Millis::parse("2026-03-01T09:06:00Z").unwrap());
    }

    #[test]
    fn unfinished_checks_give_no_activity_and_are_watched() {
        let pending = PULL.replace(r#""state":"FAILURE","contexts""#, r#""state":"PENDING","contexts""#);
        assert!(activities(&pending).iter().all(|activity| !activity.artifact.kind.starts_with("ci_")));
        let node: serde_json::Value = serde_json::from_str(&pending).unwrap();
        let outline: Outline = serde_json::from_value(node["node"].clone()).unwrap();
        assert!(outline.is_unsettled());
    }

    #[test]
    fn a_branch_in_lower_case_names_tasks() {
        let pull = PULL.replace("feature/PROJ-12-card", "ada/eng-12-card");
        let found = activities(&pull);
        assert!(
            found.iter().all(|activity| contextcore_core::model::activity::names("gh", activity).contains("ENG-12"))
        );
    }

    #[test]
    fn a_failure_without_a_listed_check_is_dated_when_it_was_seen() {
        let nodes = PULL.find(r#"{"__typename":"CheckRun""#).unwrap();
        let end = PULL.find("]}}}}]}}}").unwrap();
        let of = |state: &str| {
            let pull = format!("{}{}", &PULL[..nodes], &PULL[end..]).replace("OPEN", state);
            format!(r#"{},"seen":"2026-03-01T21:20:00Z"}}"#, &pull[..pull.len() - 1])
        };
        let found = activities(&of("OPEN"));
        let failed = found.last().unwrap();
        assert_eq!(
            (&*failed.artifact.kind, &*failed.native_id, failed.at),
            ("ci_failed", "ci_failed:abc", Millis::parse("2026-03-01T21:20:00Z").unwrap())
        );
        assert!(activities(&of("MERGED")).iter().all(|activity| activity.artifact.kind != "ci_failed"));
    }

    #[test]
    fn a_deployment_counts_once_it_succeeded() {
        let of = |state: &str| {
            format!(
                r#"{{"of":"deployment","node":{{"id":"D1","environment":"production","commitOid":"abc","ref":{{"name":"main"}},
                "commit":{{"message":"PROJ-1: go"}},"latestStatus":{{"state":"{state}","createdAt":"2026-03-01T09:00:00Z"}}}}}}"#
            )
        };
        assert!(activities(&of("IN_PROGRESS")).is_empty());
        let found = activities(&of("SUCCESS"));
        assert_eq!(
            (found[0].artifact.kind.as_str(), found[0].artifact.summary.as_str()),
            ("deployment", "to production")
        );
        assert_eq!(found[0].mentions, ["MAIN", "PROJ-1: go"]);
    }
}
