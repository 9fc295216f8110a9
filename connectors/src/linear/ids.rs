//! The `ids` stream: the ids of everything there is, so that absence means something, and the open issues once more.
//!
//! Linear lists trashed issues for a month, then they are gone. Not everything that concerns an issue counts as a change of it
//! (a renamed state, a cycle that rolls over), so this pass, once a day, reads the open issues again.

use std::sync::Arc;

use contextcore_core::ingest::connector::{Cursor, Page, Run};
use contextcore_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::api::{Answer, ChangedPage, ChangesRequest, PlanPage, PlanRequest};
use super::histories::{self, record};
use super::plan::wants;
use super::session::{IDS, Linear, SiteContext};
use super::sizes;
use super::wire::IssueVersion;
use crate::cursor::{self, PageInfo};

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

/// How far a pass has come. A finished pass leaves none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct IdCursor {
    phase: Phase,
    after: Option<Box<str>>,
}

/// Fetches the next page of ids; after the last one, the first of a new pass.
///
/// # Errors
/// As the session's; an answer with errors beside its data is one too, since an incomplete list would look like deletions.
pub(super) async fn poll(linear: &Linear, live: Arc<SiteContext>, stored: Option<&Cursor>, run: &Run) -> Result<Page> {
    // Where no configured team is left, the list of all teams would be the wrong one.
    linear.teams_warning(&live)?;
    let position: IdCursor = cursor::read(stored, IDS);
    let (mut page, next) = match position.phase {
        Phase::Issues => issues(linear, live, &position, run).await?,
        Phase::Projects | Phase::Initiatives => surroundings(linear, &live, &position, run).await?,
    };
    let IdCursor { phase, mut after } = position;
    let next = match next.step(&mut after, "ids")? {
        false => Some(IdCursor { phase, after }),
        true => phase.next().map(|phase| IdCursor { phase, after: None }),
    };
    page.more = next.is_some();
    page.cursor = cursor::write(&next.unwrap_or_default(), IDS)?;
    Ok(page)
}

async fn issues(linear: &Linear, live: Arc<SiteContext>, position: &IdCursor, run: &Run) -> Result<(Page, PageInfo)> {
    let request = ChangesRequest {
        teams: &live.teams,
        since: None,
        first: sizes::IDS,
        after: position.after.as_deref(),
        all: true,
        links: None,
        comments: None,
    };
    let answer: Answer<ChangedPage> = complete(linear.api.changed(&request).await?)?;
    let list = answer.data.issues.ok_or_else(|| no_list("issues"))?;
    let open: Vec<Box<str>> =
        list.nodes.iter().filter(|issue| issue.is_open()).map(|issue: &IssueVersion| issue.id.clone()).collect();
    let fetched = histories::read(linear, &open).await?;
    let live = linear.explain(&live, fetched.names(), run).await?;
    if !fetched.postponed.is_empty() {
        // The next run continues here, when there is quota again.
        let text = "the quota was spent before all open issues were read again";
        return Err(Error::new(ErrorKind::RateLimited, text).with_retry(contextcore_core::Retry::Backoff));
    }
    let warnings = fetched.warnings.clone();
    let records = fetched.records(linear, &live, IDS)?;
    let seen = list.nodes.into_iter().map(|issue| issue.id.into()).collect();
    Ok((Page { records, seen, warnings, ..Page::default() }, list.page_info))
}

/// Projects or initiatives, each with its record.
async fn surroundings(
    linear: &Linear,
    live: &Arc<SiteContext>,
    position: &IdCursor,
    run: &Run,
) -> Result<(Page, PageInfo)> {
    let name = if position.phase == Phase::Projects { "projects" } else { "initiatives" };
    let from = (None, position.after.clone().map(Into::into));
    let request = PlanRequest { first: sizes::PLAN, lists: [(name, from)].into() };
    let answer = match linear.api.plan(&request).await {
        // What may not be read has no tasks here that could be missing.
        Err(error) if error.kind() == ErrorKind::Permission => return Ok((Page::default(), PageInfo::default())),
        answer => complete(answer?)?,
    };
    let PlanPage { projects, initiatives, .. } = answer.data;
    let mut page = Page::default();
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

/// Refuses an answer with errors beside its data.
fn complete<T>(answer: Answer<T>) -> Result<Answer<T>> {
    match answer.errors.first() {
        None => Ok(answer),
        Some(error) => {
            let text = format!("the list of all ids is incomplete: {}", error.text);
            Err(Error::new(ErrorKind::Unavailable, text).with_retry(contextcore_core::Retry::Backoff))
        }
    }
}

fn no_list(name: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, "the answer lacks the list that was requested").with("list", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<IdCursor>(include_str!("fixtures/cursors.json"), "ids");
    }
}
