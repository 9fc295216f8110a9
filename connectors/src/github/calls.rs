//! The calls to GitHub, one function each, and the shapes of their answers.

use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::answer::{Answer, GraphError, none};
use super::api::{ALL_TRIES, Api, One, Points, Viewer, viewer};
use super::connection::{Rows, capped};
use super::place::Place;
use super::queries;
use super::settings::{ProjectName, RepositoryName};
use super::wire::RepositoryActivity;
use crate::graphql::Operation;

/// Projects asked for at once.
const PROJECTS: usize = 50;

/// How much of the rows of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// All that is read.
    Whole,
    /// Only which they are.
    Ids,
    /// Nothing: only where the next page begins.
    Nothing,
}

impl Detail {
    const fn has_rows(self) -> bool {
        matches!(self, Self::Whole | Self::Ids)
    }

    /// What to ask for of a row that cannot be listed so.
    pub(super) const fn less(self) -> Option<Self> {
        match self {
            Self::Whole => Some(Self::Ids),
            Self::Ids => Some(Self::Nothing),
            Self::Nothing => None,
        }
    }
}

/// A page of items.
#[derive(Debug, Deserialize)]
pub(super) struct ItemsPage {
    #[serde(default)]
    pub(super) items: Rows<Box<RawValue>>,
}

/// A page of issues.
#[derive(Debug, Deserialize)]
pub(super) struct IssuesPage {
    #[serde(default)]
    pub(super) issues: Rows<Box<RawValue>>,
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
    /// The list; none where it did not come, empty for a repository without commits.
    pub(super) fn rows(self, of_commits: bool) -> Option<Rows<Box<RawValue>>> {
        let history = || match self.default_branch_ref.and_then(|branch| branch.target) {
            Some(target) => target.history,
            None => of_commits.then(Rows::default),
        };
        self.pull_requests.or(self.deployments).or_else(history)
    }
}

impl Api {
    /// Who we are, and how these projects are made now; `None` for those that are not there for us.
    pub(super) async fn reference<P: DeserializeOwned>(&self, ids: Vec<String>) -> Result<(Viewer, Vec<Option<P>>)> {
        #[derive(Deserialize)]
        #[serde(bound = "P: DeserializeOwned", rename_all = "camelCase")]
        struct Found<P> {
            viewer: Option<Viewer>,
            rate_limit: Option<Points>,
            #[serde(default = "Vec::new", deserialize_with = "capped")]
            nodes: Vec<Option<P>>,
        }
        let (mut who, mut all) = (None, Vec::new());
        let mut parts: Vec<Vec<String>> = ids.chunks(PROJECTS).map(<[String]>::to_vec).collect();
        // Even without projects this proves the credential.
        parts.extend(ids.is_empty().then(Vec::new));
        for ids in parts {
            let answer: Answer<Found<P>> = self.ask(&queries::Reference { ids }, ALL_TRIES).await?;
            self.note(answer.data.rate_limit);
            // Of a project that came, a part that failed is null, and what was known of it stays.
            let nodes = &answer.data.nodes;
            let is_null =
                |error: &GraphError| error.node().is_some_and(|(at, _)| nodes.get(at).is_none_or(Option::is_none));
            let odd = |error: &&GraphError| is_null(error) && !error.is_refusal();
            if let Some(error) = answer.errors.iter().find(odd) {
                return Err(error.clone().into_error());
            }
            all.extend(answer.data.nodes);
            who = Some(viewer(answer.data.viewer, answer.errors)?);
        }
        let who = who.ok_or_else(|| Error::new(ErrorKind::Internal, "ask for no projects at all"))?;
        Ok((who, all))
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

    /// A repository and when something last happened in it; `None` when there is no such one for us.
    pub(super) async fn find_repository(&self, name: &RepositoryName) -> Result<Option<RepositoryActivity>> {
        let variables = queries::FindRepository { owner: name.owner.clone(), name: name.name.clone() };
        let answer: Answer<One<RepositoryActivity>> = self.ask(&variables, ALL_TRIES).await?;
        let hides_files = answer.errors.iter().any(|error| error.is_in("guidance") || error.is_in("defaultBranchRef"));
        let refusal = answer.errors.into_iter().find(|error| !error.is_not_found());
        match (answer.data.node, refusal) {
            (Some(mut repository), _) => {
                repository.hides_files = hides_files;
                Ok(Some(repository))
            }
            (None, Some(error)) => Err(error.into_error().with("repository", name)),
            (None, None) => Ok(None),
        }
    }

    /// A page of the items of a project, from the end where `place` is.
    pub(super) async fn items(
        &self,
        project: &str,
        place: &Place,
        rows: u32,
        detail: Detail,
    ) -> Result<Answer<Option<ItemsPage>>> {
        let (project, after, first) = (project.to_owned(), place.after.as_deref().map(str::to_owned), i64::from(rows));
        let (nodes, looks) = (detail.has_rows(), detail == Detail::Whole);
        let sweep = queries::ItemSweep { project, after, first, direction: place.direction().to_owned(), nodes, looks };
        let Answer { data, errors } = self.ask::<_, One<ItemsPage>>(&sweep, self.tries(rows as usize)).await?;
        self.note(data.rate_limit);
        let page =
            data.node.map(|page| page.items.whole(nodes, "items").map(|items| ItemsPage { items })).transpose()?;
        Ok(Answer { data: page, errors })
    }

    /// A page of the issues of a repository that changed since then, the longest unchanged first; from the other end, the latest changed.
    pub(super) async fn repository_issues(
        &self,
        repository: &RepositoryName,
        since: Option<Millis>,
        place: &Place,
        rows: u32,
        detail: Detail,
    ) -> Result<Answer<Option<IssuesPage>>> {
        let variables = queries::RepositoryIssues {
            owner: repository.owner.clone(),
            name: repository.name.clone(),
            since: since.map(|since| since.to_string()),
            after: place.after.as_deref().map(str::to_owned),
            first: i64::from(rows),
            direction: place.direction().to_owned(),
            nodes: detail.has_rows(),
        };
        let answer: Answer<One<IssuesPage>> = self.ask(&variables, self.tries(rows as usize)).await?;
        self.note(answer.data.rate_limit);
        let whole = |page: IssuesPage| page.issues.whole(detail.has_rows(), "issues");
        let page = answer.data.node.map(whole).transpose()?.map(|issues| IssuesPage { issues });
        Ok(Answer { data: page, errors: answer.errors })
    }

    /// A page of the pull requests of a repository, by their last change in this direction.
    pub(super) async fn pull_requests(
        &self,
        name: &RepositoryName,
        (after, direction): (Option<&str>, &str),
        rows: u32,
        detail: Detail,
    ) -> Result<Answer<Work>> {
        let variables = queries::PullRequests {
            owner: name.owner.clone(),
            name: name.name.clone(),
            after: after.map(str::to_owned),
            first: i64::from(rows),
            direction: direction.to_owned(),
            nodes: detail.has_rows(),
            looks: detail == Detail::Whole,
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
        detail: Detail,
    ) -> Result<Answer<Work>> {
        let variables = queries::Commits {
            owner: name.owner.clone(),
            name: name.name.clone(),
            since: Some(since.to_string()),
            after: after.map(str::to_owned),
            first: i64::from(rows),
            nodes: detail.has_rows(),
            looks: detail == Detail::Whole,
        };
        self.work(name, &variables, rows).await
    }

    /// A page of the deployments of a repository, by their creation in this direction.
    pub(super) async fn deployments(
        &self,
        name: &RepositoryName,
        (after, direction): (Option<&str>, &str),
        rows: u32,
        detail: Detail,
    ) -> Result<Answer<Work>> {
        let variables = queries::Deployments {
            owner: name.owner.clone(),
            name: name.name.clone(),
            after: after.map(str::to_owned),
            first: i64::from(rows),
            direction: direction.to_owned(),
            nodes: detail.has_rows(),
            looks: detail == Detail::Whole,
        };
        self.work(name, &variables, rows).await
    }

    async fn work<O: Operation<Document = ()>>(
        &self,
        name: &RepositoryName,
        operation: &O,
        rows: u32,
    ) -> Result<Answer<Work>> {
        let Answer { data, errors } = self.ask::<O, One<Work>>(operation, self.tries(rows as usize)).await?;
        self.note(data.rate_limit);
        match (data.node, errors.iter().find(|error| error.is_refusal())) {
            (Some(work), _) => Ok(Answer { data: work, errors }),
            (None, Some(error)) => Err(error.clone().into_error().with("repository", name)),
            (None, None) => Err(Error::new(ErrorKind::NotFound, "the repository vanished").with("repository", name)),
        }
    }
}
