//! Reading records again by the ids of their tasks: what GitHub could not serve, or what could not be understood.
//!
//! Nothing leads from an issue to its items (`projectItems` is empty for projects of users), so the projects are listed until all
//! are found. What is in no project is an issue of a configured repository, or what somebody did there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contextcore_core::ingest::connector::{Page, Unreadable};
use contextcore_core::{Error, ErrorKind, Result, Retry};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::activity::{self, ActivityList};
use super::answer::FetchOutcome;
use super::api::Api;
use super::batch::{Kind, Sizes};
use super::place::Place;
use super::records::{About, complete, unreadable};
use super::rows;
use super::session::{GitHub, ITEMS, REPOSITORIES, SiteContext};
use super::sprints;
use super::transfers::Transfers;
use super::wire::RepositoryName;
use contextcore_core::Millis;

/// An id that was found in a project.
struct Found {
    id: String,
    item: Box<str>,
    project: Box<str>,
    kind: Kind,
}

/// What is read, and what is still to be found.
struct Reading<'a> {
    api: &'a Api,
    context: &'a SiteContext,
    now: Millis,
    sizes: Sizes,
    wanted: BTreeSet<&'a str>,
    transfers: Arc<Transfers>,
    page: Page,
}

/// Reads these records.
///
/// # Errors
/// As the session's.
pub(super) async fn read(github: &GitHub, context: &SiteContext, ids: &[String]) -> Result<Page> {
    if let Some(left) = github.api.low_for() {
        let text = "few points are left of this hour, what could not be read waits for the next";
        return Err(Error::new(ErrorKind::RateLimited, text).with_retry(Retry::After(left)));
    }
    let wanted = ids.iter().map(String::as_str).collect();
    let (api, now) = (&*github.api, github.run.now);
    let (sizes, transfers, page) = (Sizes::default(), github.transfers(), Page::default());
    let mut reading = Reading { api, context, now, sizes, wanted, transfers, page };
    reading.sprints()?;
    reading.commits();
    let found = reading.find().await?;
    reading.items(found).await?;
    reading.others().await?;
    Ok(reading.page)
}

impl Reading<'_> {
    /// Iterations are reference data.
    fn sprints(&mut self) -> Result<()> {
        for record in sprints::records(self.context, self.now)? {
            if self.wanted.remove(record.native_id.as_str()) {
                self.page.records.push(record);
            }
        }
        self.wanted.retain(|id| !id.contains(':'));
        Ok(())
    }

    /// Commits are known by their hashes, which are no ids of nodes.
    fn commits(&mut self) {
        let is_hash = |id: &str| id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hashes: Vec<&str> = self.wanted.iter().copied().filter(|id| is_hash(id)).collect();
        for id in hashes {
            self.wanted.remove(id);
            let reason = "GitHub could not list this commit, and none is read by its id: `sync --full` lists it again"
                .to_owned();
            self.page.unreadable.push(Unreadable { native_id: id.to_owned(), reason });
        }
    }

    /// Finds ids among the items of our projects, the first project first.
    async fn find(&mut self) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for project in &self.context.reference.projects {
            let (mut place, mut more) = (Place::default(), true);
            while more && !self.wanted.is_empty() {
                let listed = rows::page(self.api, &project.id, &mut place, &mut self.sizes).await?;
                more = listed.more;
                for row in listed.rows.iter().filter(|row| !row.is_no_task()) {
                    for id in [self.transfers.first(row.native_id()), &row.id] {
                        if self.wanted.remove(id) {
                            let (item, project, kind) = (row.id.clone(), project.id.clone(), row.kind());
                            found.push(Found { id: id.to_owned(), item, project, kind });
                        }
                    }
                }
                for bad in listed.bad.iter().filter_map(rows::BadRow::unreadable) {
                    if self.wanted.remove(bad.native_id.as_str()) {
                        self.page.unreadable.push(bad);
                    }
                }
            }
        }
        Ok(found)
    }

    async fn items(&mut self, found: Vec<Found>) -> Result<()> {
        for kind in [Kind::IssueItems, Kind::PullRequestItems, Kind::OtherItems] {
            let by_item: BTreeMap<&str, &Found> =
                found.iter().filter(|one| one.kind == kind).map(|one| (&*one.item, one)).collect();
            for (item, outcome) in self.fetch(kind, by_item.keys().copied()).await? {
                let Some(one) = by_item.get(&*item) else { continue };
                let native_id = content_id(&outcome).unwrap_or_else(|| one.id.clone());
                let about =
                    About { stream: ITEMS, native_id: &native_id, project: Some(&one.project), archived: false };
                self.take(about, &one.id, outcome).await?;
            }
        }
        Ok(())
    }

    /// What is in none of our projects.
    async fn others(&mut self) -> Result<()> {
        if self.context.repositories.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = self.wanted.iter().copied().collect();
        let (mut pulls, mut deployments) = (Vec::new(), Vec::new());
        for (id, outcome) in self.fetch(Kind::Issues, ids.into_iter()).await? {
            let outline = outline(&outcome);
            match outline.kind.as_str() {
                "PullRequest" => pulls.push(id),
                "Deployment" => deployments.push(id),
                // An id that leads to another issue is that of one that was transferred: it goes on under the other.
                "Issue" if outline.id != *id || !self.is_ours(&outline) => {}
                _ => {
                    let about = About { stream: REPOSITORIES, native_id: &id, project: None, archived: false };
                    self.take(about, &id, outcome).await?;
                }
            }
        }
        for (kind, list, ids) in [
            (Kind::PullRequests, ActivityList::PullRequests, pulls),
            (Kind::Deployments, ActivityList::Deployments, deployments),
        ] {
            for (id, outcome) in self.fetch(kind, ids.iter().map(|id| &**id)).await? {
                self.activity(list, &id, outcome).await?;
            }
        }
        Ok(())
    }

    async fn fetch(&mut self, kind: Kind, ids: impl Iterator<Item = &str>) -> Result<Vec<(Box<str>, FetchOutcome)>> {
        let ids: Vec<Box<str>> = ids.map(Box::from).collect();
        self.api.nodes(kind, &ids, &mut self.sizes).await
    }

    fn is_ours(&self, outline: &Outline) -> bool {
        let name = outline.repository.as_ref().map(|repository| &*repository.name_with_owner).unwrap_or_default();
        self.context.repositories.iter().any(|ours| ours.name.to_string().eq_ignore_ascii_case(name))
    }

    /// Takes a record of a task. What does not exist any more is not mentioned.
    async fn take(&mut self, about: About<'_>, id: &str, outcome: FetchOutcome) -> Result<()> {
        match outcome {
            FetchOutcome::Whole(node) => {
                let (record, unreadable) = complete(self.api, about, &node).await?.parts();
                self.page.records.extend(record);
                self.page.unreadable.extend(unreadable);
            }
            FetchOutcome::Torn(reason) | FetchOutcome::Hidden(reason) => {
                self.page.unreadable.push(unreadable(id, &reason));
            }
            FetchOutcome::Gone => {}
        }
        Ok(())
    }

    async fn activity(&mut self, list: ActivityList, id: &str, outcome: FetchOutcome) -> Result<()> {
        match outcome {
            FetchOutcome::Whole(node) => match activity::complete(self.api, list, &node, self.now).await? {
                Ok(record) => self.page.records.push(record),
                Err(unreadable) => self.page.unreadable.push(unreadable),
            },
            FetchOutcome::Torn(reason) | FetchOutcome::Hidden(reason) => {
                self.page.unreadable.push(unreadable(id, &reason));
            }
            FetchOutcome::Gone => {}
        }
        Ok(())
    }
}

/// What a node is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outline {
    #[serde(rename = "__typename")]
    kind: String,
    id: String,
    repository: Option<RepositoryName>,
    content: Option<Identified>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Identified {
    id: Option<String>,
}

fn outline(outcome: &FetchOutcome) -> Outline {
    let node: Option<&RawValue> = match outcome {
        FetchOutcome::Whole(node) => Some(&**node),
        _ => None,
    };
    node.and_then(|node| serde_json::from_str(node.get()).ok()).unwrap_or_default()
}

/// The id of what an item wraps: that of its task.
fn content_id(outcome: &FetchOutcome) -> Option<String> {
    outline(outcome).content?.id
}
