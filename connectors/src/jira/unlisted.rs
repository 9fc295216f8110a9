//! A row that a search cannot list in any form, not even its id. Every page that would hold it fails, and no page begins behind
//! it: so the minute is looked for in which it changed, and the search goes on after that.
//!
//! What else changed in that minute is read from its other end. The row has no id that we could know, so it is named by its minute
//! ([`name`]), and that minute is searched again on every run ([`again`]). What a complete pass does not list may be that row, so
//! it is asked for by its id before it counts as deleted.

use contextcore_core::ingest::connector::Unreadable;
use contextcore_core::model::time::MINUTE;
use contextcore_core::{Error, Millis, Result};
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use super::api::{Api, Found, Site, is_about_the_object};
use super::jql;
use super::search::{self, Order, PageRequest, Search};

/// What the name of such a row begins with.
const NAME: &str = "changed:";
/// Rows of that minute that are asked for at once at first.
const ROWS: u64 = 64;

/// What lies around such a row.
pub(super) struct Around {
    /// What else changed in its minute, as far as that can be listed from the other end.
    pub(super) issues: Vec<Box<RawValue>>,
    /// The row, by its minute.
    pub(super) unreadable: Unreadable,
}

/// The name of a row that changed in this minute: no issue has such an id.
fn name(minute: Millis) -> String {
    format!("{NAME}{minute}")
}

/// The minute in such a name.
pub(super) fn minute_of(name: &str) -> Option<Millis> {
    Millis::parse(name.strip_prefix(NAME)?)
}

/// Searches a minute again in which a row could not be listed. Returns all that changed in it, now that every row can be listed.
///
/// # Errors
/// As the session's, also when the row fails still.
pub(super) async fn again(
    api: &Api,
    site: Site,
    projects: &[String],
    [from, to]: [&str; 2],
    request: &PageRequest<'_>,
) -> Result<Vec<Box<RawValue>>> {
    let mut search = Search::backwards(projects, from, to);
    let mut all = Vec::new();
    loop {
        let found = search::ask(api, site, &search, request, api.tries()).await?;
        let last = step(site, &mut search, &found)?;
        all.extend(found.issues);
        if last {
            return Ok(all);
        }
    }
}

/// The bounds of a minute, as JQL reads them.
pub(super) fn bounds(minute: Millis, zone: &TimeZone) -> [String; 2] {
    [minute, minute.plus(MINUTE)].map(|at| jql::minute(at, Some(zone)))
}

fn step(site: Site, search: &mut Search, found: &Found) -> Result<bool> {
    match site {
        Site::Cloud => search.step(found),
        Site::DataCenter => search.step_rows(found, None, None),
    }
}

/// A search that failed over its next row.
pub(super) struct Stuck<'a> {
    pub(super) api: &'a Api,
    pub(super) site: Site,
    /// In which the account's JQL is read. In an unknown one no minute can be found.
    pub(super) zone: &'a TimeZone,
    /// When the last row changed that was listed, or whatever the search began with.
    pub(super) listed: Millis,
    pub(super) now: Millis,
}

impl Stuck<'_> {
    /// Moves the search behind the row. None when it is not a row that fails, but the search.
    ///
    /// # Errors
    /// As the session's, when it is about us.
    pub(super) async fn pass(
        &self,
        search: &mut Search,
        request: &PageRequest<'_>,
        error: &Error,
    ) -> Result<Option<Around>> {
        let Some(minute) = self.minute(search).await? else { return Ok(None) };
        let [from, to] = bounds(minute, self.zone);
        let issues = self.rest(&search.projects, &from, &to, request).await?;
        search.seek(Some(to));
        let reason = format!("an issue that changed at {from} cannot be listed, not even its id: {}", error.full());
        Ok(Some(Around { issues, unreadable: Unreadable { native_id: name(minute), reason } }))
    }

    /// The minute in which the row changed: the last from which a search fails at once.
    async fn minute(&self, search: &Search) -> Result<Option<Millis>> {
        let floor = |at: Millis| at.plus(-at.0.rem_euclid(MINUTE));
        let (mut fails, mut works) = (floor(self.listed), floor(self.now).plus(MINUTE));
        if fails >= works || self.fails(search, works).await? {
            return Ok(None);
        }
        if !self.fails(search, fails).await? {
            let next = fails.plus(MINUTE);
            if !self.fails(search, next).await? {
                // It changed in the minute of the last row that was listed.
                return Ok(Some(fails));
            }
            fails = next;
        }
        while works.0 - fails.0 > MINUTE {
            let middle = floor(Millis(i64::midpoint(fails.0, works.0)));
            let bound = if self.fails(search, middle).await? { &mut fails } else { &mut works };
            *bound = middle;
        }
        Ok(Some(fails))
    }

    /// Whether a search that begins with this minute fails over its first row.
    async fn fails(&self, search: &Search, from: Millis) -> Result<bool> {
        let from = jql::minute(from, Some(self.zone));
        let search = Search::new(Order::Changed, search.projects.clone(), Some(from));
        match search::whole(self.api, self.site, &search, ["id"].into(), 1).await {
            Ok(_) => Ok(false),
            Err(error) if is_about_the_object(error.kind()) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// What changed in this minute, the last first, until a single row fails.
    async fn rest(
        &self,
        projects: &[String],
        from: &str,
        to: &str,
        request: &PageRequest<'_>,
    ) -> Result<Vec<Box<RawValue>>> {
        let mut search = Search::backwards(projects, from, to);
        let (mut all, mut rows) = (Vec::new(), ROWS);
        while rows > 0 {
            let page = request.of_rows(rows);
            match search::ask(self.api, self.site, &search, &page, self.api.tries()).await {
                Ok(found) => {
                    let last = step(self.site, &mut search, &found)?;
                    all.extend(found.issues);
                    if last {
                        break;
                    }
                }
                Err(error) if is_about_the_object(error.kind()) => rows /= 2,
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}
