//! The calls to GitHub, one function each, and the reading of answers that hold errors.
//!
//! GraphQL answers 200 to nearly everything, so answers are judged here. An answer without data is an error by its type. Data
//! beside errors is used, except for what an error's path names ([`outcomes`]). A query that is too large ([`is_too_much`]) is
//! not a failure: [`Api::nodes`] asks for less.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contextcore_core::config::CommentPrivacy;
use contextcore_core::http::{Auth, Session, SessionConfig, Stats, Tries, redact};
use contextcore_core::{Error, ErrorKind, Millis, Result, Retry, Secret};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::app::{App, Minted};
use super::dialect::{BUCKETS, GRAPHQL, GitHubDialect, Scopes};
use super::queries::{self, Document};
use super::settings::{ProjectName, RepositoryName, Settings};
use super::wire::Rows;
use crate::graphql::Operation;

/// Tries of a query that can be made smaller: a second timeout says that it is too large.
const TRIES: Tries = Tries(2);
/// Tries of a query that cannot.
const ALL_TRIES: Tries = Tries(u32::MAX);
/// Below this share of the hour's points only what has begun is finished.
const LOW_PERCENT: u64 = 10;

/// GitHub, with one credential.
pub(super) struct Api {
    session: Session,
    app: Option<App>,
    minted: tokio::sync::Mutex<Option<Minted>>,
    /// The moment of the last run, and when that was by the monotonic clock.
    clock: Mutex<Option<(Millis, Instant)>>,
    points: Mutex<Option<Points>>,
    /// The server does not know the features of 2025 and 2026.
    reduced: AtomicBool,
    comments: CommentPrivacy,
    scopes: Scopes,
}

/// What is left of the hour's points.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Points {
    limit: u64,
    remaining: u64,
    reset_at: Millis,
}

impl Points {
    /// Whether so little is left that only what has begun should go on. A limit of 0 is none at all.
    fn are_low(self) -> bool {
        self.limit > 0 && self.remaining * 100 < self.limit * LOW_PERCENT
    }
}

/// An answer as it comes.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Reply<T> {
    #[serde(default = "none")]
    data: Option<T>,
    #[serde(default)]
    errors: Vec<GraphError>,
}

fn none<T>() -> Option<T> {
    None
}

/// Data, and the errors beside it.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) data: T,
    pub(super) errors: Vec<GraphError>,
}

/// One error of an answer.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct GraphError {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    path: Vec<Step>,
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Step {
    Index(usize),
    Key(String),
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Extensions {
    code: Option<String>,
    #[serde(default)]
    saml_failure: bool,
}

impl GraphError {
    fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    pub(super) fn is_forbidden(&self) -> bool {
        self.is("FORBIDDEN") || self.extensions.saml_failure
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.is("NOT_FOUND")
    }

    /// GitHub gave up, or the query was too large.
    fn is_too_much(&self) -> bool {
        let gave_up =
            self.kind.is_none() && self.message.starts_with("Something went wrong while executing your query");
        self.is("RESOURCE_LIMITS_EXCEEDED") || self.is("MAX_NODE_LIMIT_EXCEEDED") || gave_up
    }

    fn is_rate_limit(&self) -> bool {
        self.is("RATE_LIMITED") || self.is("RATE_LIMIT")
    }

    /// The document itself was refused: the server does not know a name in it.
    fn is_validation(&self) -> bool {
        let codes = ["undefinedField", "argumentNotAccepted", "undefinedType", "argumentLiteralsIncompatible"];
        let code = self.extensions.code.as_deref().unwrap_or_default();
        let unknown = ["doesn't exist on type", "No such type", "isn't a defined", "doesn't accept argument"];
        self.kind.is_none() && (codes.contains(&code) || unknown.iter().any(|text| self.message.contains(text)))
    }

    /// Which of the nodes asked for it is about, and the field within.
    fn node(&self) -> Option<(usize, Option<&str>)> {
        let [Step::Key(root), Step::Index(index), rest @ ..] = self.path.as_slice() else { return None };
        let field = rest.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        });
        (root == "nodes").then_some((*index, field))
    }

    /// Which of the items of a project it is about.
    pub(super) fn item(&self) -> Option<usize> {
        let keys = ["node", "items", "nodes"].map(|key| Step::Key(key.to_owned()));
        match self.path.strip_prefix(&keys)? {
            [Step::Index(index), ..] => Some(*index),
            _ => None,
        }
    }

    /// The text, fit to print.
    pub(super) fn text(&self) -> String {
        redact::excerpt(&self.message)
    }

    fn into_error(self) -> Error {
        let text = self.text();
        let error = |kind, said: &str| Error::new(kind, format!("{said}: {text}"));
        match self.kind.as_deref() {
            _ if self.is_too_much() => {
                Error::new(ErrorKind::Unavailable, format!("GitHub could not answer so much at once: {text}"))
                    .with_retry(Retry::Backoff)
                    .with("reason", TOO_MUCH)
            }
            _ if self.is_rate_limit() => {
                error(ErrorKind::RateLimited, "GitHub limits the rate").with_retry(Retry::Backoff)
            }
            _ if self.extensions.saml_failure => error(
                ErrorKind::Permission,
                "the organisation asks for single sign-on: authorise the token for it in its settings",
            ),
            Some("INSUFFICIENT_SCOPES") => error(
                ErrorKind::Permission,
                "the token lacks scopes, it needs read:project, repo (for private repositories) and read:org",
            ),
            Some("FORBIDDEN") => error(ErrorKind::Permission, "the credential may not read this"),
            Some("NOT_FOUND") => error(ErrorKind::NotFound, "not found, or hidden from this credential"),
            _ if self.is_validation() => {
                error(ErrorKind::Rejected, "the server does not know what was asked for").with("reason", VALIDATION)
            }
            _ => error(ErrorKind::Rejected, "the query was refused"),
        }
    }
}

const TOO_MUCH: &str = "too_much";
const VALIDATION: &str = "validation";

/// Whether a smaller question may be answered: GitHub said so, or gave up over this one twice. It gives up in many ways: with a
/// 502, by closing the connection, in the middle of the answer.
pub(super) fn is_too_much(error: &Error) -> bool {
    let cut_off = error.kind() == ErrorKind::Protocol && error.context("tries").is_some();
    error.kind() == ErrorKind::Unavailable || cut_off || error.context("reason") == Some(TOO_MUCH)
}

impl<T> Reply<T> {
    /// The data, if there is any that can be used.
    fn read(self) -> Result<Answer<T>> {
        let hopeless = |error: &&GraphError| error.is_too_much() || error.is_rate_limit();
        if let Some(error) = self.errors.iter().find(hopeless) {
            return Err(error.clone().into_error());
        }
        match self.data {
            Some(data) => Ok(Answer { data, errors: self.errors }),
            None => Err(self.errors.into_iter().next().map_or_else(
                || Error::new(ErrorKind::Protocol, "the answer holds neither data nor errors"),
                GraphError::into_error,
            )),
        }
    }
}

/// Result of fetching one node.
#[derive(Debug)]
pub(super) enum FetchOutcome {
    /// The whole node.
    Whole(Box<RawValue>),
    /// The credential may not see it.
    Hidden(String),
    /// It does not exist any more.
    Gone,
    /// It is incomplete this time.
    Torn,
}

/// Parts without which a record would be wrong. Anything else that the credential may not see is absent.
const ESSENTIAL: [&str; 5] = ["content", "fieldValues", "timelineItems", "labels", "assignees"];

/// The result for each node. A null node is gone or forbidden when its error says so; any other is torn and never taken for a
/// deletion. A node of which a part failed is torn as well, since a record is given whole or not at all. A part that is
/// forbidden stays so, and only matters where it is essential.
fn outcomes(nodes: Vec<Option<Box<RawValue>>>, errors: &[GraphError]) -> Vec<FetchOutcome> {
    let outcome = |(index, node): (usize, Option<Box<RawValue>>)| {
        let about = || {
            let mine = errors.iter().filter_map(|error| Some((error, error.node()?)));
            mine.filter(move |(_, (at, _))| *at == index).map(|(error, (_, field))| (error, field))
        };
        let node = node.filter(|node| node.get() != "null");
        let Some(node) = node else {
            return match about().next() {
                Some((error, _)) if error.is_forbidden() => FetchOutcome::Hidden(error.text()),
                Some((error, _)) if error.is_not_found() => FetchOutcome::Gone,
                _ => FetchOutcome::Torn,
            };
        };
        let harmless = |error: &GraphError, field: Option<&str>| {
            (error.is_forbidden() || error.is_not_found()) && field.is_some_and(|field| !ESSENTIAL.contains(&field))
        };
        if about().all(|(error, field)| harmless(error, field)) {
            FetchOutcome::Whole(node)
        } else {
            FetchOutcome::Torn
        }
    };
    nodes.into_iter().enumerate().map(outcome).collect()
}

/// How much one request asks for, as far as it was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sizes {
    /// Items of a page of the sweep.
    pub(super) sweep: u32,
    /// Issues with their histories.
    pub(super) issues: u32,
    /// Other items.
    pub(super) others: u32,
    /// Pull requests with what people did to them.
    pub(super) pulls: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { sweep: 100, issues: 25, others: 50, pulls: 25 }
    }
}

impl Sizes {
    /// A little more than what worked, up to the usual.
    pub(super) fn relaxed(self) -> Self {
        let most = Self::default();
        let more = |size: u32, most: u32| (size + size / 4 + 1).min(most);
        Self {
            sweep: more(self.sweep, most.sweep),
            issues: more(self.issues, most.issues),
            others: more(self.others, most.others),
            pulls: more(self.pulls, most.pulls),
        }
    }
}

/// Nodes that are requested by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Items that wrap issues.
    IssueItems,
    /// Items that wrap pull requests.
    PullRequestItems,
    /// Drafts and hidden items.
    OtherItems,
    /// Issues by themselves.
    Issues,
    /// Pull requests by themselves.
    PullRequests,
}

impl Kind {
    fn size(self, sizes: &mut Sizes) -> &mut u32 {
        match self {
            Self::IssueItems | Self::Issues => &mut sizes.issues,
            Self::PullRequestItems | Self::OtherItems => &mut sizes.others,
            Self::PullRequests => &mut sizes.pulls,
        }
    }
}

/// Nodes in the order they were asked for.
#[derive(Debug, Deserialize)]
struct Nodes {
    #[serde(default)]
    nodes: Vec<Option<Box<RawValue>>>,
}

/// One node.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned", rename_all = "camelCase")]
struct One<T> {
    rate_limit: Option<Points>,
    #[serde(default = "none", alias = "repository")]
    node: Option<T>,
}

/// Who we are, and what the server knows.
#[derive(Debug, Deserialize)]
struct Start {
    viewer: Option<Viewer>,
    #[serde(rename = "__type", default)]
    feature: Option<serde::de::IgnoredAny>,
}

/// Whom the credential belongs to.
#[derive(Debug, Deserialize)]
pub(super) struct Viewer {
    pub(super) login: String,
}

/// A page of items.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(super) struct ItemsPage<T> {
    #[serde(default = "Rows::default")]
    pub(super) items: Rows<T>,
}

/// A page of issues.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(super) struct IssuesPage<T> {
    #[serde(default = "Rows::default")]
    pub(super) issues: Rows<T>,
}

/// What people did in a repository: the one list that was requested.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Work {
    pull_requests: Option<Rows<Box<RawValue>>>,
    deployments: Option<Rows<Box<RawValue>>>,
    default_branch_ref: Option<Branch>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Branch {
    target: Option<Target>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Target {
    history: Option<Rows<Box<RawValue>>>,
}

impl Work {
    /// The list; empty for a repository without commits.
    pub(super) fn rows(self) -> Rows<Box<RawValue>> {
        let history = || self.default_branch_ref?.target?.history;
        self.pull_requests.or(self.deployments).or_else(history).unwrap_or_default()
    }
}

/// The lists of an issue that may be longer than a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Events,
    Comments,
}

/// A page of the one list that was requested.
#[derive(Debug, Deserialize)]
struct ListPage {
    #[serde(alias = "timelineItems", alias = "comments", default)]
    list: Rows<Box<RawValue>>,
}

impl Api {
    /// Sends nothing yet.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let scopes = Scopes::default();
        let session = || {
            let dialect = GitHubDialect { scopes: scopes.clone() };
            let mut config = SessionConfig::new(&settings.url, Auth::None, BUCKETS, dialect);
            config.tls_ca_file.clone_from(&settings.tls_ca_file);
            Session::new(config)
        };
        let app = |app| Ok::<_, Error>(App::new(app, &settings.url, session()?));
        Ok(Self {
            session: session()?,
            app: settings.app.as_ref().map(app).transpose()?,
            minted: tokio::sync::Mutex::default(),
            clock: Mutex::default(),
            points: Mutex::default(),
            reduced: AtomicBool::new(false),
            comments: settings.comments,
            scopes,
        })
    }

    /// Sends this token from now on; an App signs with it from now on.
    pub(super) fn authorize(&self, credential: &Secret) -> Result<()> {
        match &self.app {
            Some(app) => app.set_key(credential),
            None => self.session.authorize(&Auth::Bearer(credential.clone())),
        }
    }

    /// The scopes of a classic token; other credentials have none.
    pub(super) fn scopes(&self) -> Vec<String> {
        self.scopes.get().cloned().unwrap_or_default()
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = self.session.stats();
        stats.requests += self.app.as_ref().map_or(0, App::requests);
        stats
    }

    /// Sets the moment a run began.
    pub(super) fn set_now(&self, now: Millis) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if clock.is_none_or(|(known, _)| known != now) {
            *clock = Some((now, Instant::now()));
        }
    }

    /// The moment it is, by the run and how long ago it began.
    pub(super) fn now(&self) -> Millis {
        let clock = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((then, at)) = clock else { return Millis(0) };
        then.plus(i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    pub(super) fn is_reduced(&self) -> bool {
        self.reduced.load(Ordering::Relaxed)
    }

    pub(super) fn set_reduced(&self, reduced: bool) {
        self.reduced.store(reduced, Ordering::Relaxed);
    }

    fn note(&self, points: Option<Points>) {
        if let Some(points) = points {
            debug!(remaining = points.remaining, limit = points.limit, "points left");
            *self.points.lock().unwrap_or_else(PoisonError::into_inner) = Some(points);
        }
    }

    /// How long new work should wait, when the hour's points are nearly spent.
    pub(super) fn low_for(&self) -> Option<Duration> {
        let points = (*self.points.lock().unwrap_or_else(PoisonError::into_inner)).filter(|points| points.are_low())?;
        let left = u64::try_from(points.reset_at.0 - self.now().0).ok().filter(|left| *left > 0)?;
        Some(Duration::from_millis(left))
    }

    /// Asks in the document that the server understands, and in the smaller one from then on when it refuses the larger.
    async fn ask<O, T>(&self, operation: &O, tries: Tries) -> Result<Answer<T>>
    where
        O: Operation<Document = Document>,
        T: DeserializeOwned,
    {
        let asked = async |reduced| self.send(&operation.request(O::DOCUMENT.text(reduced)), tries).await;
        let reduced = self.is_reduced();
        match asked(reduced).await {
            Err(error) if !reduced && O::DOCUMENT.has_reduced() && error.context("reason") == Some(VALIDATION) => {
                warn!(error = error.full(), "the server is older than it said, will ask for less");
                self.set_reduced(true);
                asked(true).await
            }
            answer => answer,
        }
    }

    /// Sends one query. With an App the token is renewed before it ends, and once when it is refused.
    async fn send<T: DeserializeOwned>(&self, body: &impl Serialize, tries: Tries) -> Result<Answer<T>> {
        let minted = self.authorise(false).await?;
        let reply: Result<Reply<T>> = self.session.post_with(GRAPHQL, "graphql", body, tries).await;
        let reply = match reply {
            Err(error) if minted && error.kind() == ErrorKind::Auth => {
                info!("the App's token was refused, minting another");
                self.authorise(true).await?;
                self.session.post_with(GRAPHQL, "graphql", body, tries).await
            }
            reply => reply,
        };
        reply?.read()
    }

    /// Sees to it that an App has a token. Whether there is an App at all.
    async fn authorise(&self, anew: bool) -> Result<bool> {
        let Some(app) = &self.app else { return Ok(false) };
        let mut minted = self.minted.lock().await;
        let now = self.now();
        if anew || minted.as_ref().is_none_or(|minted| minted.is_old(now)) {
            let fresh = app.mint(now).await?;
            self.session.authorize(&Auth::Bearer(fresh.token.clone()))?;
            *minted = Some(fresh);
        }
        Ok(true)
    }

    /// Who we are; and learns whether the server knows the features of 2025 and 2026. Introspection is no part of a schema, so
    /// this query is the one that is not checked against it.
    pub(super) async fn start(&self) -> Result<Viewer> {
        let query = "query Start { viewer { login } __type(name: \"ProjectV2ItemStatusChangedEvent\") { name } }";
        let answer: Answer<Start> = self.send(&json!({"query": query, "variables": {}}), ALL_TRIES).await?;
        self.set_reduced(answer.data.feature.is_none());
        viewer(answer.data.viewer, answer.errors)
    }

    /// Who we are, and how these projects are made now.
    pub(super) async fn reference<P: DeserializeOwned>(&self, ids: Vec<String>) -> Result<(Viewer, Vec<Option<P>>)> {
        #[derive(Deserialize)]
        #[serde(bound = "P: DeserializeOwned", rename_all = "camelCase")]
        struct Found<P> {
            viewer: Option<Viewer>,
            rate_limit: Option<Points>,
            #[serde(default = "Vec::new")]
            nodes: Vec<Option<P>>,
        }
        let variables = queries::Reference { ids };
        let answer: Answer<Found<P>> = self.ask(&variables, ALL_TRIES).await?;
        self.note(answer.data.rate_limit);
        let odd = |error: &&GraphError| error.node().is_some() && !error.is_not_found() && !error.is_forbidden();
        if let Some(error) = answer.errors.iter().find(odd) {
            return Err(error.clone().into_error());
        }
        Ok((viewer(answer.data.viewer, answer.errors)?, answer.data.nodes))
    }

    /// A project by the name the configuration gives it; `None` when there is no such one for us.
    pub(super) async fn find_project<P: DeserializeOwned>(&self, name: &ProjectName) -> Result<Option<P>> {
        #[derive(Deserialize)]
        #[serde(bound = "P: DeserializeOwned", rename_all = "camelCase")]
        struct Owner<P> {
            #[serde(default = "none")]
            project_v2: Option<P>,
        }
        #[derive(Deserialize)]
        #[serde(bound = "P: DeserializeOwned")]
        struct Found<P> {
            #[serde(default = "none")]
            organization: Option<Owner<P>>,
            #[serde(default = "none")]
            user: Option<Owner<P>>,
        }
        let variables = queries::FindProject { login: name.owner.clone(), number: i64::from(name.number) };
        let answer: Answer<Found<P>> = self.ask(&variables, ALL_TRIES).await?;
        let owners = [answer.data.organization, answer.data.user];
        if let Some(project) = owners.into_iter().flatten().find_map(|owner| owner.project_v2) {
            return Ok(Some(project));
        }
        // An owner is an organisation or a user: that it is not the other says nothing.
        let refusal = answer.errors.into_iter().find(|error| !error.is_not_found());
        refusal.map_or(Ok(None), |error| Err(error.into_error().with("project", name)))
    }

    /// Every open project that the credential can see.
    pub(super) async fn visible_projects(&self) -> Result<Vec<ProjectName>> {
        #[derive(Deserialize)]
        struct Numbered {
            number: u32,
            #[serde(default)]
            closed: bool,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Owner {
            login: String,
            #[serde(default)]
            projects_v2: Rows<Numbered>,
            #[serde(default)]
            organizations: Rows<Owner>,
        }
        #[derive(Deserialize)]
        struct Found {
            viewer: Option<Owner>,
        }
        let variables = queries::VisibleProjects {};
        let answer: Answer<Found> = self.ask(&variables, ALL_TRIES).await?;
        let Some(viewer) = answer.data.viewer else {
            return Err(answer.errors.into_iter().next().unwrap_or_default().into_error());
        };
        let of = |owner: &Owner| -> Vec<ProjectName> {
            let open = owner.projects_v2.iter().filter(|project| !project.closed);
            open.map(|project| ProjectName { owner: owner.login.clone(), number: project.number }).collect()
        };
        let mut names = of(&viewer);
        names.extend(viewer.organizations.iter().flat_map(of));
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// A repository and when something last happened in it; `None` when there is no such one for us.
    pub(super) async fn find_repository<R: DeserializeOwned>(&self, name: &RepositoryName) -> Result<Option<R>> {
        let variables = queries::FindRepository { owner: name.owner.clone(), name: name.name.clone() };
        let answer: Answer<One<R>> = self.ask(&variables, ALL_TRIES).await?;
        let refusal = answer.errors.into_iter().find(|error| !error.is_not_found());
        match (answer.data.node, refusal) {
            (Some(repository), _) => Ok(Some(repository)),
            (None, Some(error)) => Err(error.into_error().with("repository", name)),
            (None, None) => Ok(None),
        }
    }

    /// A page of the items of a project.
    pub(super) async fn items<T: DeserializeOwned>(
        &self,
        project: &str,
        after: Option<&str>,
        rows: u32,
    ) -> Result<Answer<Option<ItemsPage<T>>>> {
        let (project, after, first) = (project.to_owned(), after.map(str::to_owned), i64::from(rows));
        let tries = if rows > 1 { TRIES } else { ALL_TRIES };
        let sweep = queries::ItemSweep { project, after, first };
        let Answer { data, errors } = self.ask::<_, One<ItemsPage<T>>>(&sweep, tries).await?;
        self.note(data.rate_limit);
        Ok(Answer { data: data.node, errors })
    }

    /// A page of the issues of a repository that changed since then, the longest unchanged first.
    pub(super) async fn repository_issues<T: DeserializeOwned>(
        &self,
        repository: &RepositoryName,
        since: Option<Millis>,
        after: Option<&str>,
        rows: u32,
    ) -> Result<Answer<Option<IssuesPage<T>>>> {
        let variables = queries::RepositoryIssues {
            owner: repository.owner.clone(),
            name: repository.name.clone(),
            since: since.map(|since| since.to_string()),
            after: after.map(str::to_owned),
            first: i64::from(rows),
        };
        let tries = if rows > 1 { TRIES } else { ALL_TRIES };
        let answer: Answer<One<IssuesPage<T>>> = self.ask(&variables, tries).await?;
        self.note(answer.data.rate_limit);
        Ok(Answer { data: answer.data.node, errors: answer.errors })
    }

    /// A page of the pull requests of a repository, the latest changed first.
    pub(super) async fn pull_requests(
        &self,
        name: &RepositoryName,
        after: Option<&str>,
        rows: u32,
    ) -> Result<Answer<Work>> {
        let variables = queries::PullRequests {
            owner: name.owner.clone(),
            name: name.name.clone(),
            after: after.map(str::to_owned),
            first: i64::from(rows),
        };
        self.work(name, &variables, rows).await
    }

    /// A page of the commits of a repository's default branch since then, the newest first.
    pub(super) async fn commits(
        &self,
        name: &RepositoryName,
        since: Millis,
        after: Option<&str>,
        rows: u32,
    ) -> Result<Answer<Work>> {
        let variables = queries::Commits {
            owner: name.owner.clone(),
            name: name.name.clone(),
            since: Some(since.to_string()),
            after: after.map(str::to_owned),
            first: i64::from(rows),
        };
        self.work(name, &variables, rows).await
    }

    /// A page of the deployments of a repository, the newest first.
    pub(super) async fn deployments(
        &self,
        name: &RepositoryName,
        after: Option<&str>,
        rows: u32,
    ) -> Result<Answer<Work>> {
        let variables = queries::Deployments {
            owner: name.owner.clone(),
            name: name.name.clone(),
            after: after.map(str::to_owned),
            first: i64::from(rows),
        };
        self.work(name, &variables, rows).await
    }

    async fn work<O: Operation<Document = Document>>(
        &self,
        name: &RepositoryName,
        operation: &O,
        rows: u32,
    ) -> Result<Answer<Work>> {
        let tries = if rows > 1 { TRIES } else { ALL_TRIES };
        let Answer { data, errors } = self.ask::<O, One<Work>>(operation, tries).await?;
        self.note(data.rate_limit);
        match (data.node, errors.iter().find(|error| error.is_forbidden() || error.is_not_found())) {
            (Some(work), _) => Ok(Answer { data: work, errors }),
            (None, Some(error)) => Err(error.clone().into_error().with("repository", name)),
            (None, None) => Err(Error::new(ErrorKind::NotFound, "the repository vanished").with("repository", name)),
        }
    }

    /// Nodes by their ids, in the order requested, as many at once as GitHub answers. A node that is incomplete even by itself is
    /// [`FetchOutcome::Torn`].
    ///
    /// # Errors
    /// As the session's, and when GitHub gives up even over one.
    pub(super) async fn nodes(
        &self,
        kind: Kind,
        ids: &[Box<str>],
        sizes: &mut Sizes,
    ) -> Result<Vec<(Box<str>, FetchOutcome)>> {
        let mut done = Vec::with_capacity(ids.len());
        let mut rest: Vec<Box<str>> = ids.iter().rev().cloned().collect();
        // Parts of what failed, to be asked for before the rest.
        let mut parts: Vec<Vec<Box<str>>> = Vec::new();
        loop {
            let size = usize::try_from(*kind.size(sizes)).unwrap_or(1).max(1);
            let part = match parts.pop() {
                Some(part) => part,
                None if rest.is_empty() => return Ok(done),
                None => {
                    let from = rest.len().saturating_sub(size);
                    rest.split_off(from).into_iter().rev().collect()
                }
            };
            match self.some_nodes(kind, &part).await {
                Err(error) if is_too_much(&error) && part.len() > 1 => {
                    info!(?kind, asked = part.len(), error = error.full(), "will ask for fewer at once");
                    *kind.size(sizes) = u32::try_from(part.len().div_ceil(2)).unwrap_or(1).min(*kind.size(sizes));
                    halve(part, &mut parts);
                }
                Err(error) => return Err(error),
                Ok(outcomes) => {
                    let torn = outcomes.iter().filter(|outcome| matches!(outcome, FetchOutcome::Torn)).count();
                    if torn == part.len() && torn > 1 {
                        *kind.size(sizes) = u32::try_from(torn.div_ceil(2)).unwrap_or(1).min(*kind.size(sizes));
                    }
                    let again = part.len() > 1;
                    let (torn, good): (Vec<_>, Vec<_>) = part
                        .into_iter()
                        .zip(outcomes)
                        .partition(|(_, outcome)| again && matches!(outcome, FetchOutcome::Torn));
                    done.extend(good);
                    halve(torn.into_iter().map(|(id, _)| id).collect(), &mut parts);
                }
            }
        }
    }

    async fn some_nodes(&self, kind: Kind, ids: &[Box<str>]) -> Result<Vec<FetchOutcome>> {
        let tries = if ids.len() > 1 { TRIES } else { ALL_TRIES };
        let wanted = ids.len();
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let (comments, texts) = (self.comments.is_read(), self.comments.has_texts());
        let answer: Result<Answer<Nodes>> = match kind {
            Kind::IssueItems => self.ask(&queries::Items { ids, comments, texts }, tries).await,
            Kind::Issues => self.ask(&queries::Issues { ids, comments, texts }, tries).await,
            Kind::PullRequestItems => self.ask(&queries::PullRequestItems { ids }, tries).await,
            Kind::OtherItems => self.ask(&queries::OtherItems { ids }, tries).await,
            Kind::PullRequests => self.ask(&queries::PullRequestStates { ids }, tries).await,
        };
        let Answer { data, errors } = answer?;
        if data.nodes.len() != wanted {
            let text = "the answer holds another number of nodes than was asked for";
            return Err(Error::new(ErrorKind::Protocol, text).with("asked", wanted).with("got", data.nodes.len()));
        }
        Ok(outcomes(data.nodes, &errors))
    }

    /// The rows of an issue's list after this cursor, to the end.
    pub(super) async fn rest_of(&self, list: List, id: &str, after: Box<str>) -> Result<Vec<Box<RawValue>>> {
        let (mut rows, mut after) = (Vec::new(), Some(after));
        while let Some(cursor) = after.as_deref() {
            let Answer { data, errors } = self.list_page(list, id, cursor).await?;
            let page = match (data.node, errors.into_iter().next()) {
                (Some(page), None) => page.list,
                (_, Some(error)) => return Err(error.into_error().with("issue", id)),
                (None, None) => return Err(Error::new(ErrorKind::NotFound, "the issue vanished").with("issue", id)),
            };
            rows.extend(page.nodes.into_iter().flatten());
            if page.page_info.step(&mut after, id)? {
                break;
            }
        }
        Ok(rows)
    }

    async fn list_page(&self, list: List, id: &str, after: &str) -> Result<Answer<One<ListPage>>> {
        let (id, after, texts) = (id.to_owned(), Some(after.to_owned()), self.comments.has_texts());
        match list {
            List::Events => self.ask(&queries::Timeline { id, after }, ALL_TRIES).await,
            List::Comments => self.ask(&queries::Comments { id, after, texts }, ALL_TRIES).await,
        }
    }
}

/// Both halves, the first to be taken first.
fn halve(mut part: Vec<Box<str>>, into: &mut Vec<Vec<Box<str>>>) {
    let second = part.split_off(part.len().div_ceil(2));
    into.extend([second, part].into_iter().filter(|part| !part.is_empty()));
}

fn viewer(viewer: Option<Viewer>, errors: Vec<GraphError>) -> Result<Viewer> {
    let refusal = || errors.into_iter().next().map(GraphError::into_error);
    match viewer {
        Some(viewer) => Ok(viewer),
        None => Err(refusal().unwrap_or_else(|| Error::new(ErrorKind::Auth, "the token belongs to no account"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(json: &str) -> Reply<Nodes> {
        serde_json::from_str(json).unwrap()
    }

    fn refusal(json: &str) -> Error {
        reply(json).read().map(|_| ()).unwrap_err()
    }

    /// One letter for the result of each node.
    fn outcomes_of(json: &str) -> String {
        let Answer { data, errors } = reply(json).read().unwrap();
        let letter = |outcome: FetchOutcome| match outcome {
            FetchOutcome::Whole(_) => 'w',
            FetchOutcome::Hidden(_) => 'h',
            FetchOutcome::Gone => 'g',
            FetchOutcome::Torn => 't',
        };
        outcomes(data.nodes, &errors).into_iter().map(letter).collect()
    }

    #[test]
    fn a_null_node_is_a_deletion_only_when_its_error_says_so() {
        let answer = r#"{"data":{"nodes":[{"id":"1"},null,null,null,{"id":"5"},{"id":"6"}]},"errors":[
            {"type":"NOT_FOUND","path":["nodes",1],"message":"Could not resolve to a node"},
            {"type":"FORBIDDEN","path":["nodes",2],"extensions":{"saml_failure":true},"message":"SAML"},
            {"message":"Something broke","path":["nodes",4,"content","timelineItems"]},
            {"type":"FORBIDDEN","path":["nodes",5,"content","closedByPullRequestsReferences","nodes",0],"message":"no"}]}"#;
        assert_eq!(outcomes_of(answer), "wghttw");
        for (field, outcome) in [("labels", "t"), ("parent", "w"), ("timelineItems", "t"), ("blockedBy", "w")] {
            let answer = format!(
                r#"{{"data":{{"nodes":[{{"id":"1"}}]}},"errors":[
                {{"type":"FORBIDDEN","path":["nodes",0,"content","{field}"],"message":"no"}}]}}"#
            );
            assert_eq!(outcomes_of(&answer), outcome, "{field}");
        }
    }

    #[test]
    fn too_large_queries_are_distinguished_from_refusals() {
        for json in [
            r#"{"data":{"nodes":[null]},"errors":[{"type":"RESOURCE_LIMITS_EXCEEDED","message":"Resource limits for this query exceeded."}]}"#,
            r#"{"errors":[{"type":"MAX_NODE_LIMIT_EXCEEDED","message":"up to 600,000 possible nodes"}]}"#,
            r#"{"data":null,"errors":[{"message":"Something went wrong while executing your query. Please include `1`"}]}"#,
        ] {
            assert!(is_too_much(&refusal(json)), "{json}");
        }
        let gateway = Error::new(ErrorKind::Unavailable, "the server is unwell").with("status", 502);
        let broken = Error::new(ErrorKind::Unavailable, "the connection broke");
        let torn = Error::new(ErrorKind::Protocol, "the answer ended early").with("status", 200);
        assert!(is_too_much(&gateway) && is_too_much(&broken) && is_too_much(&torn.with("tries", 2)));
        assert!(!is_too_much(&Error::new(ErrorKind::Protocol, "the answer has an unexpected shape")));
        assert!(!is_too_much(&Error::new(ErrorKind::Auth, "the token was refused").with("tries", 1)));
    }

    #[test]
    fn an_answer_without_data_is_an_error_by_its_type() {
        let table = [
            (r#"{"errors":[{"type":"INSUFFICIENT_SCOPES","message":"needs read:project"}]}"#, ErrorKind::Permission),
            (
                r#"{"data":null,"errors":[{"type":"FORBIDDEN","message":"Resource not accessible"}]}"#,
                ErrorKind::Permission,
            ),
            (r#"{"errors":[{"type":"NOT_FOUND","message":"no"}]}"#, ErrorKind::NotFound),
            (r#"{"errors":[{"type":"RATE_LIMIT","message":"slow"}]}"#, ErrorKind::RateLimited),
            (
                r#"{"errors":[{"message":"Field 'x' doesn't exist on type 'Issue'","extensions":{"code":"undefinedField"}}]}"#,
                ErrorKind::Rejected,
            ),
            ("{}", ErrorKind::Protocol),
        ];
        for (json, kind) in table {
            assert_eq!(refusal(json).kind(), kind, "{json}");
        }
        let old = refusal(r#"{"errors":[{"message":"Field 'x' doesn't exist on type 'Issue'"}]}"#);
        assert_eq!(old.context("reason"), Some(VALIDATION));
    }

    #[test]
    fn recorded_refusals_are_read() {
        let recorded: serde_json::Value =
            serde_json::from_str(include_str!("fixtures/recorded_project_not_found.json")).unwrap();
        let reply: Reply<serde_json::Value> = serde_json::from_value(recorded[0]["response"]["body"].clone()).unwrap();
        let answer = reply.read().unwrap();
        assert!(answer.errors[0].is_not_found() && answer.data["userOrOrganization"]["projectV2"].is_null());
        let partial: Reply<serde_json::Value> =
            serde_json::from_str(include_str!("fixtures/partial_forbidden.json")).unwrap();
        let answer = partial.read().unwrap();
        assert!(answer.errors.iter().all(GraphError::is_forbidden) && answer.errors[0].extensions.saml_failure);
    }

    #[test]
    fn a_server_without_limits_is_never_low() {
        let points = |limit, remaining| Points { limit, remaining, reset_at: Millis(0) };
        assert!(points(5_000, 499).are_low() && !points(5_000, 500).are_low() && !points(0, 0).are_low());
    }

    #[test]
    fn sizes_recover_slowly_up_to_the_usual() {
        let mut sizes = Sizes { sweep: 1, issues: 12, others: 50, pulls: 3 };
        sizes = sizes.relaxed();
        assert_eq!(sizes, Sizes { sweep: 2, issues: 16, others: 50, pulls: 4 });
        for _ in 0..40 {
            sizes = sizes.relaxed();
        }
        assert_eq!(sizes, Sizes::default());
    }
}
