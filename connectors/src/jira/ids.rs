//! The `ids` stream: the ids of all issues there are, so that absence means something. Jira does not list deletions.
//!
//! Where a row cannot be listed in any form, the pass goes on in the order of changes, in which such a row can be passed
//! ([`super::unlisted`]); it is listed by its minute, and the page says that a row has no id.

use contextcore_core::ingest::connector::{Cursor, Page};
use contextcore_core::{Error, Millis, Result};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::api::{Outline, Site, is_about_the_object};
use super::issues::UNLISTED;
use super::search::{self, Order, PageRequest, Search};
use super::session::{IDS, Jira, SiteContext};
use super::unlisted::Stuck;
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
    /// When the last row changed, in the order of changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed: Option<Millis>,
    /// Rows that could not be listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    unlisted: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
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
    let mut page = Page::default();
    let last = pass.page(jira, live, &mut page).await?;
    (page.more, page.total, page.nameless) = (!last, pass.total, pass.unlisted > 0);
    page.cursor = cursor::write(&IdCursor { pass: (!last).then_some(pass) }, IDS)?;
    Ok(page)
}

/// A new pass, with Jira's own count where it gives one.
async fn begin(jira: &Jira, live: &SiteContext) -> Pass {
    let projects = jira.settings.projects.clone();
    let search = Search::new(Order::All, projects.clone(), None);
    let total = match live.site {
        Site::Cloud => jira.api.count(&search.jql).await.ok(),
        Site::DataCenter => None,
    };
    Pass { projects, search, total, changed: None, unlisted: 0 }
}

impl Pass {
    /// Adds the ids of the next page of the search. Whether it was the last one.
    async fn page(&mut self, jira: &Jira, live: &SiteContext, page: &mut Page) -> Result<bool> {
        let rows = if live.site == Site::Cloud { ROWS } else { SERVER_ROWS };
        loop {
            let fields = if self.search.order == Order::All { &["id"][..] } else { &["id", "updated"] };
            let mut request = PageRequest::new(fields.iter().copied().collect(), rows);
            let found = match search::page(&jira.api, live.site, &self.search, &mut request).await {
                Ok(answer) => answer.found,
                Err(error) if !is_about_the_object(error.kind()) || self.search.explains(&error) => {
                    warn!(error = error.full(), "the pass over all ids starts again");
                    page.warnings.extend(self.search.recover(error)?);
                    continue;
                }
                Err(error) if self.pass_unlisted(jira, live, &error, &request, page).await? => continue,
                Err(error) => search::patiently(&jira.api, live.site, &self.search, &request, error).await?.found,
            };
            let outlines = found.issues.iter().map(|json| Outline::of(json.get()));
            for outline in outlines {
                self.changed = outline.updated().or(self.changed);
                page.seen.extend(outline.id.map(Into::into));
            }
            return match live.site {
                Site::Cloud => self.search.step(&found),
                Site::DataCenter => {
                    self.total = self.total.or(found.total);
                    self.search.step_rows(&found, self.changed, live.zone())
                }
            };
        }
    }

    /// Goes on where a row cannot be listed: in the order of changes, and there behind the row. Whether it goes on.
    async fn pass_unlisted(
        &mut self,
        jira: &Jira,
        live: &SiteContext,
        error: &Error,
        request: &PageRequest<'_>,
        page: &mut Page,
    ) -> Result<bool> {
        let (Some(zone), true) = (live.zone(), self.unlisted < UNLISTED) else { return Ok(false) };
        if self.search.order == Order::All {
            self.search = Search::new(Order::Changed, self.search.projects.clone(), None);
            return Ok(true);
        }
        let listed = self.changed.unwrap_or_default();
        let stuck = Stuck { api: &jira.api, site: live.site, zone, listed, now: jira.run.now };
        let Some(around) = stuck.pass(&mut self.search, request, error).await? else { return Ok(false) };
        self.unlisted += 1;
        page.seen.extend(around.issues.iter().filter_map(|json| Outline::of(json.get()).id).map(Into::into));
        page.seen.push(around.unreadable.native_id.clone());
        page.unreadable.push(around.unreadable);
        Ok(true)
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
