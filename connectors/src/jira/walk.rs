//! A search that goes on over many pages, on either product: where it stands, and how it takes the next step.
//!
//! [`Walk`] is pure and is kept in cursors; [`page`] asks. Cloud gives a token that belongs to the exact text of the query, so
//! the text is rendered once and kept beside it. Data Center counts rows: an issue that changes while we read moves to the end
//! and shifts the others, so there we step on by the minute of the last row ("everything changed since") and count rows
//! only inside one minute.

use std::collections::BTreeSet;

use contextcore_core::http::Tries;
use contextcore_core::{Error, ErrorKind, Millis, Result};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::api::{Api, Found, Search, ServerSearch, Site};
use super::jql;

/// Pages after which a search is taken to be endless.
const MAX_PAGES: u32 = 50_000;
/// Tries with each page size before a smaller one is asked for.
const TRIES: Tries = Tries(3);
/// The page size a server gives that was asked for more, when it has not shown yet.
const USUAL_PAGE: u64 = 100;
/// How often a page is halved.
const HALVINGS: u32 = 2;
/// Rows that are asked for again when rows are counted, because one that vanished shifts the others towards us.
const OVERLAP_ROWS: u64 = 5;

/// What is searched, in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Changed issues, the longest unchanged first.
    Changed,
    /// All issues by key.
    All,
}

/// A search under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Walk {
    pub(super) order: Order,
    /// The projects that are searched; empty means all.
    pub(super) projects: Vec<String>,
    /// The minute changes are searched from, as first asked for.
    from: Option<String>,
    /// The minute of the present query; on Data Center it moves on.
    since: Option<String>,
    /// The query, byte for byte.
    pub(super) jql: String,
    /// Cloud's place in it.
    token: Option<Box<str>>,
    /// Data Center's place in it.
    start_at: u64,
    pages: u32,
    /// A token was refused once and the search began anew.
    restarted: bool,
}

impl Walk {
    /// A search from its start.
    pub(super) fn new(order: Order, projects: Vec<String>, from: Option<String>) -> Self {
        let mut walk = Self {
            order,
            projects,
            from,
            since: None,
            jql: String::new(),
            token: None,
            start_at: 0,
            pages: 0,
            restarted: false,
        };
        walk.rewind();
        walk
    }

    /// A search for these keys: one page.
    pub(super) fn of_keys(keys: &[&str]) -> Self {
        let jql = jql::keys(keys.iter().copied());
        Self { jql, ..Self::new(Order::All, Vec::new(), None) }
    }

    /// Back to the start.
    fn rewind(&mut self) {
        self.token = None;
        self.pages = 0;
        self.seek(self.from.clone());
    }

    /// To the start of this minute.
    fn seek(&mut self, since: Option<String>) {
        self.jql = match self.order {
            Order::Changed => jql::changed(&self.projects, since.as_deref()),
            Order::All => jql::all(&self.projects),
        };
        self.since = since;
        self.start_at = 0;
    }

    /// What to do about a refused search: begin anew without the projects that do not exist (the warnings name them), or once
    /// with a new token.
    ///
    /// # Errors
    /// The refusal, when beginning anew would not help.
    pub(super) fn recover(&mut self, refusal: Error) -> Result<Vec<String>> {
        if refusal.kind() != ErrorKind::Rejected {
            return Err(refusal);
        }
        let unknown = jql::unknown_projects(&self.projects, &refusal.to_string());
        if !unknown.is_empty() {
            return self.leave_out(unknown, refusal);
        }
        let about_token = self.token.is_some() && refusal.to_string().to_lowercase().contains("token");
        if about_token && !self.restarted {
            self.restarted = true;
            self.rewind();
            return Ok(vec!["Jira refused the page token, the search began anew".to_owned()]);
        }
        Err(refusal)
    }

    /// Begins anew from this minute.
    pub(super) fn begin_from(&mut self, minute: Option<String>) {
        self.from = minute;
        self.rewind();
    }

    fn leave_out(&mut self, unknown: Vec<String>, refusal: Error) -> Result<Vec<String>> {
        self.projects.retain(|project| !unknown.contains(project));
        if self.projects.is_empty() {
            let text = "none of the configured projects exists for this token";
            let names = unknown.join(", ");
            return Err(Error::new(ErrorKind::Rejected, text).with("projects", names).caused_by(refusal));
        }
        self.rewind();
        let warn = |project| format!("project {project} does not exist or is hidden from this token: it is left out");
        Ok(unknown.into_iter().map(warn).collect())
    }

    /// Steps over a page of Cloud. Whether it was the last.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for a repeated token, for a page that is neither the last nor has a token, and for too many.
    pub(super) fn step(&mut self, found: &Found) -> Result<bool> {
        self.count_page()?;
        match (&found.next_page_token, found.is_last) {
            (_, Some(true)) => Ok(true),
            (None, _) => Err(Error::new(
                ErrorKind::Protocol,
                "a search page has neither a next page token nor says that it is the last",
            )),
            (token, _) if *token == self.token => {
                Err(Error::new(ErrorKind::Protocol, "the search gave the same page token again"))
            }
            (Some(token), _) => {
                self.token = Some(token.clone());
                Ok(false)
            }
        }
    }

    /// Steps over a page of Data Center whose last row was changed at this moment. Whether it was the last.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for too many pages.
    pub(super) fn step_rows(&mut self, found: &Found, last: Option<Millis>, zone: Option<&TimeZone>) -> Result<bool> {
        self.count_page()?;
        let rows = found.issues.len() as u64;
        if rows == 0 || found.total.is_some_and(|total| self.start_at + rows >= total) {
            return Ok(true);
        }
        let minute = last.filter(|_| self.order == Order::Changed).map(|last| jql::minute(last, zone));
        match minute {
            Some(minute) if self.since.as_ref().is_none_or(|since| minute > *since) => self.seek(Some(minute)),
            _ => self.start_at += if rows > OVERLAP_ROWS { rows - OVERLAP_ROWS } else { rows },
        }
        Ok(false)
    }

    fn count_page(&mut self) -> Result<()> {
        self.pages += 1;
        if self.pages > MAX_PAGES {
            return Err(Error::new(ErrorKind::Protocol, "the search does not end").with("pages", self.pages));
        }
        Ok(())
    }
}

/// What is asked of a search beside the query.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    pub(super) fields: BTreeSet<&'a str>,
    /// Data Center writes histories into the issues.
    pub(super) histories: bool,
    /// Rows wished for; the server may give fewer.
    pub(super) rows: u64,
    /// Rows the server gave last.
    given: Option<u64>,
    /// How often the page was halved.
    halved: u32,
}

impl<'a> Wish<'a> {
    pub(super) fn new(fields: BTreeSet<&'a str>, rows: u64) -> Self {
        Self { fields, histories: false, rows, given: None, halved: 0 }
    }
}

/// Asks for the page where the walk stands. A server that fails over it is asked for smaller pages before we give up.
///
/// # Errors
/// As the session's.
pub(super) async fn page(api: &Api, site: Site, walk: &Walk, wish: &mut Wish<'_>) -> Result<Found> {
    loop {
        match ask(api, site, walk, wish).await {
            Err(error) if error.kind() == ErrorKind::Unavailable && smaller(wish) => {
                warn!(error = error.full(), rows = wish.rows, "search failed, will ask for a smaller page");
            }
            Ok(found) => {
                wish.given = Some(found.issues.len() as u64).filter(|rows| *rows > 0).or(wish.given);
                return Ok(found);
            }
            Err(error) => return Err(error),
        }
    }
}

async fn ask(api: &Api, site: Site, walk: &Walk, wish: &Wish<'_>) -> Result<Found> {
    let Wish { fields, rows, .. } = wish;
    match site {
        Site::Cloud => {
            let token = walk.token.as_deref();
            api.search(&Search { jql: &walk.jql, fields, max_results: *rows, next_page_token: token }, TRIES).await
        }
        Site::DataCenter => {
            let expand: &[&str] = if wish.histories { &["changelog"] } else { &[] };
            let jql = &walk.jql;
            let search = ServerSearch { jql, fields, max_results: *rows, start_at: walk.start_at, expand };
            api.server_search(&search, TRIES).await
        }
    }
}

/// Halves the page, twice at most: the server gave up on `rows` although it would have sent fewer of its own accord.
fn smaller(wish: &mut Wish<'_>) -> bool {
    let real = wish.rows.min(wish.given.unwrap_or(USUAL_PAGE));
    if wish.halved == HALVINGS || real < 2 {
        return false;
    }
    wish.halved += 1;
    wish.rows = real / 2;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rows: usize, token: Option<&str>, is_last: Option<bool>, total: Option<u64>) -> Found {
        let row = || serde_json::value::RawValue::from_string("{}".into()).unwrap();
        Found {
            issues: (0..rows).map(|_| row()).collect(),
            next_page_token: token.map(Into::into),
            is_last,
            total,
            warnings: Vec::new(),
        }
    }

    fn walk() -> Walk {
        Walk::new(Order::Changed, vec!["A".into(), "B".into()], Some("2026-11-10 09:30".into()))
    }

    #[test]
    fn tokens_lead_to_the_end_and_never_in_circles() {
        let mut walk = walk();
        assert!(!walk.step(&found(0, Some("t1"), None, None)).unwrap());
        assert!(!walk.step(&found(3, Some("t2"), Some(false), None)).unwrap());
        let again = walk.clone().step(&found(3, Some("t2"), Some(false), None)).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Protocol);
        let lost = walk.clone().step(&found(3, None, Some(false), None)).unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Protocol);
        assert!(walk.step(&found(3, None, Some(true), None)).unwrap());
    }

    #[test]
    fn a_refused_token_is_forgiven_once() {
        let refusal =
            || Error::new(ErrorKind::Rejected, "the request was refused: The provided next page token is invalid");
        let mut walk = walk();
        let start = walk.jql.clone();
        assert!(walk.recover(refusal()).is_err(), "no token was sent");
        walk.step(&found(3, Some("t1"), None, None)).unwrap();
        assert_eq!(walk.recover(refusal()).unwrap().len(), 1);
        assert_eq!((walk.token.as_deref(), &walk.jql), (None, &start));
        walk.step(&found(3, Some("t1"), None, None)).unwrap();
        assert!(walk.recover(refusal()).is_err());
    }

    #[test]
    fn unknown_projects_are_left_out_until_none_is_left() {
        let refusal = |project: &str| {
            let text = format!("refused: The value '{project}' does not exist for the field 'project'.");
            Error::new(ErrorKind::Rejected, text)
        };
        let mut walk = walk();
        let warnings = walk.recover(refusal("A")).unwrap();
        assert!(warnings[0].starts_with("project A "), "{warnings:?}");
        assert_eq!(walk.jql, r#"project in ("B") AND updated >= "2026-11-10 09:30" ORDER BY updated ASC, key ASC"#);
        let error = walk.recover(refusal("B")).unwrap_err();
        assert_eq!((error.kind(), error.context("projects")), (ErrorKind::Rejected, Some("B")));
    }

    #[test]
    fn rows_are_counted_only_inside_one_minute() {
        let at = |text: &str| Millis::parse(text);
        let mut walk = walk();
        let utc = TimeZone::UTC;
        assert!(!walk.step_rows(&found(100, None, None, Some(300)), at("2026-11-10T09:30:59Z"), Some(&utc)).unwrap());
        assert_eq!((walk.start_at, walk.since.as_deref()), (95, Some("2026-11-10 09:30")));
        assert!(!walk.step_rows(&found(100, None, None, Some(300)), at("2026-11-10T09:44:10Z"), Some(&utc)).unwrap());
        assert_eq!((walk.start_at, walk.since.as_deref()), (0, Some("2026-11-10 09:44")));
        assert!(walk.jql.contains("updated >= \"2026-11-10 09:44\""));
        assert!(walk.step_rows(&found(60, None, None, Some(60)), at("2026-11-10T10:00:00Z"), Some(&utc)).unwrap());
    }
}
