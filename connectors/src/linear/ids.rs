//! The `ids` stream: the ids of everything there is, so that absence means something, and a second look at what is open.
//!
//! Trashed issues are listed by Linear for a month and then gone without a trace. Not everything that concerns an issue counts
//! as a change of it (a state renamed, a cycle rolled over), so this pass, once a day, reads the open issues again.

use std::sync::Arc;

use contextcore_core::ingest::connector::{Cursor, Page, Run};
use contextcore_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::api::{ChangedPage, PlanPage, PlanWish, Sweep, Told};
use super::histories::{self, record};
use super::plan::wants;
use super::session::{IDS, Linear, SiteContext};
use super::sizes;
use super::wire::{PageInfo, Sight};

/// What a pass lists, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    #[default]
    Issues,
    Projects,
    Initiatives,
}

impl Phase {
    const fn next(self) -> Option<Self> {
        match self {
            Self::Issues => Some(Self::Projects),
            Self::Projects => Some(Self::Initiatives),
            Self::Initiatives => None,
        }
    }
}

/// Where a pass stands. A finished pass leaves none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    phase: Phase,
    after: Option<Box<str>>,
}

/// Fetches the next page of ids; after the last one, the first of a new pass.
///
/// # Errors
/// As the session's; an answer with errors beside its data is one too, since a list with holes would look like deletions.
pub(super) async fn poll(linear: &Linear, live: Arc<SiteContext>, cursor: Option<&Cursor>, run: &Run) -> Result<Page> {
    // Where no configured team is left, the list of all teams would be the wrong one.
    linear.teams_warning(&live)?;
    let kept = cursor.and_then(|cursor| serde_json::from_value::<Position>(cursor.0.clone()).ok());
    let position = kept.unwrap_or_default();
    let (mut page, next) = match position.phase {
        Phase::Issues => issues(linear, live, &position, run).await?,
        Phase::Projects | Phase::Initiatives => surroundings(linear, &live, &position, run).await?,
    };
    let next = match next.next() {
        Some(after) if Some(after) == position.after.as_deref() => {
            return Err(Error::new(ErrorKind::Protocol, "the list of all ids gave the same page cursor again"));
        }
        Some(after) => Some(Position { after: Some(after.into()), ..position }),
        None => position.phase.next().map(|phase| Position { phase, after: None }),
    };
    page.more = next.is_some();
    let cursor = serde_json::to_value(next.unwrap_or_default()).map(Cursor);
    page.cursor =
        cursor.map_err(|error| Error::new(ErrorKind::Internal, "write the cursor of ids").caused_by(error))?;
    Ok(page)
}

fn blank() -> Page {
    let cursor = Cursor(serde_json::Value::Null);
    Page { records: Vec::new(), seen: Vec::new(), cursor, more: false, total: None, warnings: Vec::new() }
}

async fn issues(linear: &Linear, live: Arc<SiteContext>, position: &Position, run: &Run) -> Result<(Page, PageInfo)> {
    let sweep = Sweep {
        teams: &live.teams,
        since: None,
        first: sizes::IDS,
        after: position.after.as_deref(),
        all: true,
        links: None,
        comments: None,
    };
    let told: Told<ChangedPage> = believed(linear.api.changed(&sweep).await?)?;
    let list = told.data.issues.ok_or_else(|| no_list("issues"))?;
    let open: Vec<Box<str>> =
        list.nodes.iter().filter(|sight| sight.is_open()).map(|sight: &Sight| sight.id.clone()).collect();
    let gathered = histories::read(linear, &open).await?;
    let live = linear.explain(&live, gathered.names(), run).await?;
    if !gathered.left.is_empty() {
        // The pass goes on here when there is quota again.
        let text = "the quota was spent before all open issues were read again";
        return Err(Error::new(ErrorKind::RateLimited, text).with_retry(contextcore_core::Retry::Backoff));
    }
    let warnings = gathered.warnings.clone();
    let records = gathered.records(linear, &live, IDS)?;
    let seen = list.nodes.into_iter().map(|sight| sight.id.into()).collect();
    Ok((Page { records, seen, warnings, ..blank() }, list.page_info))
}

/// Projects or initiatives, each with its record.
async fn surroundings(
    linear: &Linear,
    live: &Arc<SiteContext>,
    position: &Position,
    run: &Run,
) -> Result<(Page, PageInfo)> {
    let name = if position.phase == Phase::Projects { "projects" } else { "initiatives" };
    let from = (None, position.after.clone().map(Into::into));
    let wish = PlanWish { first: sizes::PLAN, feeds: [(name, from)].into() };
    let told = match linear.api.plan(&wish).await {
        // What may not be read has no tasks here that could be missing.
        Err(error) if error.kind() == ErrorKind::Permission => return Ok((blank(), PageInfo::default())),
        told => believed(told?)?,
    };
    let PlanPage { projects, initiatives, .. } = told.data;
    let mut page = blank();
    let page_info = if position.phase == Phase::Projects {
        let list = projects.ok_or_else(|| no_list(name))?;
        for project in &list.nodes {
            let teams = project.teams.iter().flat_map(|teams| &teams.nodes);
            if wants(linear, live, teams) {
                page.seen.push(project.id.to_string());
                page.records.push(record(IDS, &project.id, "project", project)?);
            }
        }
        list.page_info
    } else {
        let list = initiatives.ok_or_else(|| no_list(name))?;
        for initiative in list.nodes.iter().filter(|initiative| wants(linear, live, initiative.teams())) {
            page.seen.push(initiative.id.to_string());
            page.records.push(record(IDS, &initiative.id, "initiative", initiative)?);
        }
        list.page_info
    };
    linear.explain(live, Default::default(), run).await?;
    Ok((page, page_info))
}

fn believed<T>(told: Told<T>) -> Result<Told<T>> {
    match told.troubles.first() {
        None => Ok(told),
        Some(flaw) => {
            let text = format!("the list of all ids has holes: {}", flaw.text);
            Err(Error::new(ErrorKind::Unavailable, text).with_retry(contextcore_core::Retry::Backoff))
        }
    }
}

fn no_list(name: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, "the answer lacks the list that was asked for").with("list", name)
}
