//! The `ids` stream: the ids of all issues there are, so that absence means something. Jira does not list deletions.

use contextcore_core::ingest::connector::{Cursor, Page};
use contextcore_core::{ErrorKind, Result};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::api::{Found, Outline, Site};
use super::search::{self, Order, PageRequest, Search};
use super::session::{IDS, Jira, SiteContext};
use crate::cursor;

/// Rows requested of Cloud, which sends so many when only ids are requested.
const ROWS: u64 = 5_000;
/// Data Center's usual cap.
const SERVER_ROWS: u64 = 1_000;

/// How far a pass has come. A finished pass leaves none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct IdCursor {
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<Pass>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pass {
    /// The projects of the configuration when it began.
    projects: Vec<String>,
    #[serde(rename = "walk")]
    search: Search,
    total: Option<u64>,
}

/// Fetches the next page of ids; after the last one, the first of a new pass.
///
/// # Errors
/// As the session's; [`contextcore_core::ErrorKind::Protocol`] for a search that does not end;
/// [`contextcore_core::ErrorKind::Rejected`] when none of the configured projects exists.
pub(super) async fn poll(jira: &Jira, live: &SiteContext, stored: Option<&Cursor>) -> Result<Page> {
    let cursor: IdCursor = cursor::read(stored, IDS);
    let mut pass = match cursor.pass.filter(|pass| pass.projects == jira.settings.projects) {
        Some(pass) => pass,
        None => begin(jira, live).await,
    };
    let (found, warnings) = request(jira, live, &mut pass).await?;
    let seen = found.issues.iter().filter_map(|json| Outline::of(json.get()).id).map(Into::into).collect();
    let last = match live.site {
        Site::Cloud => pass.search.step(&found)?,
        Site::DataCenter => {
            pass.total = found.total.or(pass.total);
            pass.search.step_rows(&found, None, None)?
        }
    };
    let total = pass.total;
    let cursor = cursor::write(&IdCursor { pass: (!last).then_some(pass) }, IDS)?;
    Ok(Page { seen, cursor, more: !last, total, warnings, ..Page::default() })
}

/// A new pass, with Jira's own count where it gives one.
async fn begin(jira: &Jira, live: &SiteContext) -> Pass {
    let projects = jira.settings.projects.clone();
    let search = Search::new(Order::All, projects.clone(), None);
    let total = match live.site {
        Site::Cloud => jira.api.count(&search.jql).await.ok(),
        Site::DataCenter => None,
    };
    Pass { projects, search, total }
}

async fn request(jira: &Jira, live: &SiteContext, pass: &mut Pass) -> Result<(Found, Vec<String>)> {
    let rows = if live.site == Site::Cloud { ROWS } else { SERVER_ROWS };
    let mut request = PageRequest::new(["id"].into(), rows);
    let mut warnings = Vec::new();
    loop {
        match search::page(&jira.api, live.site, &pass.search, &mut request).await {
            Ok(answer) => return Ok((answer.found, warnings)),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                let answer = search::patiently(&jira.api, live.site, &pass.search, &request, error).await?;
                return Ok((answer.found, warnings));
            }
            Err(error) => {
                warn!(error = error.full(), "the pass over all ids starts again");
                warnings.extend(pass.search.recover(error)?);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<IdCursor>(include_str!("fixtures/cursors.json"), "ids");
    }
}
