//! A search over many pages, on either product: how far it is, and how it takes the next step.
//!
//! [`Search`] is pure and is stored in cursors; [`page`] asks. Cloud gives a page token that belongs to the exact text of the
//! query, so the text is rendered once and stored beside the token. Data Center counts rows: an issue that changes while we
//! read moves to the end and shifts the others. So there the search moves on by the minute of the last row ("everything
//! changed since") and counts rows only inside one minute.

use std::collections::BTreeSet;

use contextcore_core::http::Tries;
use contextcore_core::{Error, ErrorKind, Millis, Result};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::api::{Api, Found, SearchBody, ServerSearchBody, Site, is_about_the_object};
use super::jql;

/// Pages after which a search counts as endless.
const MAX_PAGES: u32 = 50_000;
/// Tries of a page when no smaller one is served either.
const PATIENT: Tries = Tries(5);
/// The page size of a server that has not sent a page yet.
const USUAL_PAGE: u64 = 100;
/// Rows that are requested again where rows are counted: a row that vanishes shifts the others towards the start.
const OVERLAP_ROWS: u64 = 5;

/// Which issues are searched, in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Changed issues, the oldest change first.
    Changed,
    /// All issues by key.
    All,
}

/// A search under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Search {
    pub(super) order: Order,
    /// The projects that are searched; empty means all.
    pub(super) projects: Vec<String>,
    /// The minute from which changes are searched, as first requested.
    from: Option<String>,
    /// The minute of the current query. On Data Center it moves on.
    since: Option<String>,
    /// The query, byte for byte.
    pub(super) jql: String,
    /// Cloud's page token.
    token: Option<Box<str>>,
    /// Data Center's row number.
    start_at: u64,
    pages: u32,
    /// A token was refused once, and the search started again.
    restarted: bool,
}

impl Search {
    /// A search from its start.
    pub(super) fn new(order: Order, projects: Vec<String>, from: Option<String>) -> Self {
        let mut search = Self {
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
        search.rewind();
        search
    }

    /// A search for these keys.
    pub(super) fn of_keys(keys: &[&str]) -> Self {
        Self { jql: jql::keys("key", keys), ..Self::new(Order::All, Vec::new(), None) }
    }

    /// A search for the children of these keys.
    pub(super) fn of_children(keys: &[&str]) -> Self {
        Self { jql: jql::keys("parent", keys), ..Self::new(Order::All, Vec::new(), None) }
    }

    /// A search for issues with a value in the custom field of this number.
    pub(super) fn with_value(field: u64) -> Self {
        Self { jql: jql::with_value(field), ..Self::new(Order::All, Vec::new(), None) }
    }

    /// A search for what changed between two minutes, the last first.
    pub(super) fn backwards(projects: &[String], from: &str, to: &str) -> Self {
        Self { jql: jql::changed_between(projects, from, to), ..Self::new(Order::All, projects.to_vec(), None) }
    }

    /// Back to the start.
    fn rewind(&mut self) {
        self.pages = 0;
        self.seek(self.from.clone());
    }

    /// To the start of this minute.
    pub(super) fn seek(&mut self, since: Option<String>) {
        self.token = None;
        self.jql = match self.order {
            Order::Changed => jql::changed(&self.projects, since.as_deref()),
            Order::All => jql::all(&self.projects),
        };
        self.since = since;
        self.start_at = 0;
    }

    /// Recovers from a refused search: starts again without the projects that do not exist (the warnings name them), or once
    /// without the page token.
    ///
    /// # Errors
    /// The refusal, when starting again would not help.
    pub(super) fn recover(&mut self, refusal: Error) -> Result<Vec<String>> {
        if refusal.kind() != ErrorKind::Rejected {
            return Err(refusal);
        }
        let unknown = jql::unknown_projects(&self.projects, &refusal.to_string());
        if !unknown.is_empty() {
            return self.leave_out(unknown, refusal);
        }
        if self.is_about_the_token(&refusal) && !self.restarted {
            self.restarted = true;
            self.rewind();
            return Ok(vec!["Jira refused the page token, the search started again".to_owned()]);
        }
        Err(refusal)
    }

    /// Whether a refusal is about the query, so that a smaller page is refused as well.
    pub(super) fn explains(&self, refusal: &Error) -> bool {
        let projects = || !jql::unknown_projects(&self.projects, &refusal.to_string()).is_empty();
        refusal.kind() == ErrorKind::Rejected && (self.is_about_the_token(refusal) || projects())
    }

    fn is_about_the_token(&self, refusal: &Error) -> bool {
        self.token.is_some() && refusal.to_string().to_lowercase().contains("token")
    }

    /// Starts again from this minute.
    pub(super) fn restart_from(&mut self, minute: Option<String>) {
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

    /// Moves past a page of Cloud. Whether it was the last one.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for a repeated token, for a page that is neither the last nor has a token, and for too many.
    pub(super) fn step(&mut self, found: &Found) -> Result<bool> {
        self.count_page()?;
        match (&found.next_page_token, found.is_last) {
            (_, Some(true)) => Ok(true),
            (None, None) if found.issues.is_empty() => Ok(true),
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

    /// Moves past a page of Data Center whose last row changed at `last`. Whether it was the last page.
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

/// What is requested of a search page beside the query.
#[derive(Debug)]
pub(super) struct PageRequest<'a> {
    pub(super) fields: BTreeSet<&'a str>,
    /// Data Center writes histories into the issues.
    pub(super) histories: bool,
    /// Rows requested. The server may send fewer.
    pub(super) rows: u64,
    /// Rows the server sent last.
    given: Option<u64>,
    /// Rows to request again once the row is passed that the server cannot serve.
    whole: u64,
    /// Values that are no JSON are read as nothing.
    mended: bool,
}

/// A page of a search.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) found: Found,
    /// Why the only row of this page cannot be served: `found` has no more than its id.
    pub(super) refused: Option<Error>,
}

impl<'a> PageRequest<'a> {
    pub(super) fn new(fields: BTreeSet<&'a str>, rows: u64) -> Self {
        Self { fields, histories: false, rows, given: None, whole: rows, mended: false }
    }

    /// The same for so many rows.
    pub(super) fn of_rows(&self, rows: u64) -> Self {
        Self { fields: self.fields.clone(), histories: self.histories, ..Self::new(BTreeSet::new(), rows) }
    }
}

/// Requests the next page of a search.
///
/// A page that fails is requested in halves, down to one row. What that row is, a request for hardly any field says; it is
/// passed, and the search goes on with whole pages.
///
/// # Errors
/// As the session's, also when not even that is answered: then it may be the row that fails, or the search ([`patiently`]).
pub(super) async fn page(api: &Api, site: Site, search: &Search, request: &mut PageRequest<'_>) -> Result<Answer> {
    let found = |found| Answer { found, refused: None };
    loop {
        let error = match ask(api, site, search, request, api.tries()).await {
            Ok(answer) => {
                if request.rows == request.whole && !answer.issues.is_empty() {
                    request.given = Some(answer.issues.len() as u64);
                }
                return Ok(found(answer));
            }
            Err(error) if !is_about_the_object(error.kind()) || search.explains(&error) => return Err(error),
            Err(error) => error,
        };
        if smaller(request) {
            warn!(error = error.full(), rows = request.rows, "search failed, a smaller page is requested");
            continue;
        }
        request.rows = request.whole;
        return match outline(api, site, search).await {
            Some(outline) => Ok(Answer { found: outline, refused: Some(error) }),
            None => Err(error),
        };
    }
}

/// Requests a page with patience, after it failed in every smaller form.
///
/// # Errors
/// As the session's; the failure itself when waiting is of no use.
pub(super) async fn patiently(
    api: &Api,
    site: Site,
    search: &Search,
    request: &PageRequest<'_>,
    error: Error,
) -> Result<Answer> {
    if error.kind() != ErrorKind::Unavailable {
        return Err(error);
    }
    let found = ask(api, site, search, request, PATIENT).await?;
    Ok(Answer { found, refused: None })
}

/// Requests one page as it is, without a smaller one when it fails.
///
/// # Errors
/// As the session's.
pub(super) async fn whole(api: &Api, site: Site, search: &Search, fields: BTreeSet<&str>, rows: u64) -> Result<Found> {
    ask(api, site, search, &PageRequest::new(fields, rows), api.tries()).await
}

/// The next row with hardly any field, for a server that cannot serve it whole. A server that writes it in broken JSON may do so
/// in every form.
async fn outline(api: &Api, site: Site, search: &Search) -> Option<Found> {
    for field in ["updated", "id"] {
        let request = PageRequest { mended: true, ..PageRequest::new([field].into(), 1) };
        if let Ok(found) = ask(api, site, search, &request, api.tries()).await {
            return Some(found).filter(|found| found.issues.len() == 1);
        }
    }
    None
}

/// Requests a page as it is.
///
/// # Errors
/// As the session's.
pub(super) async fn ask(
    api: &Api,
    site: Site,
    search: &Search,
    request: &PageRequest<'_>,
    tries: Tries,
) -> Result<Found> {
    let PageRequest { fields, rows, .. } = request;
    match site {
        Site::Cloud => {
            let token = search.token.as_deref();
            let body = SearchBody { jql: &search.jql, fields, max_results: *rows, next_page_token: token };
            api.search(site, &body, request.mended, tries).await
        }
        Site::DataCenter => {
            let expand: &[&str] = if request.histories { &["changelog"] } else { &[] };
            let body =
                ServerSearchBody { jql: &search.jql, fields, max_results: *rows, start_at: search.start_at, expand };
            api.search(site, &body, request.mended, tries).await
        }
    }
}

/// Halves the page. A server that fails over `rows` may send fewer rows than that anyway, so those are halved.
fn smaller(request: &mut PageRequest<'_>) -> bool {
    if request.rows < 2 {
        return false;
    }
    let sent = request.given.filter(|_| request.rows == request.whole).unwrap_or(USUAL_PAGE);
    request.rows = (request.rows.min(sent) / 2).max(1);
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

    fn search() -> Search {
        Search::new(Order::Changed, vec!["A".into(), "B".into()], Some("2026-11-10 09:30".into()))
    }

    #[test]
    fn a_repeated_or_missing_token_is_an_error() {
        let mut search = search();
        assert!(!search.step(&found(0, Some("t1"), None, None)).unwrap());
        assert!(!search.step(&found(3, Some("t2"), Some(false), None)).unwrap());
        let again = search.clone().step(&found(3, Some("t2"), Some(false), None)).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Protocol);
        let lost = search.clone().step(&found(3, None, Some(false), None)).unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Protocol);
        assert!(search.step(&found(3, None, Some(true), None)).unwrap());
    }

    #[test]
    fn a_refused_token_restarts_the_search_once() {
        let refusal =
            || Error::new(ErrorKind::Rejected, "the request was refused: The provided next page token is invalid");
        let mut search = search();
        let start = search.jql.clone();
        assert!(search.recover(refusal()).is_err(), "no token was sent");
        search.step(&found(3, Some("t1"), None, None)).unwrap();
        assert_eq!(search.recover(refusal()).unwrap().len(), 1);
        assert_eq!((search.token.as_deref(), &search.jql), (None, &start));
        search.step(&found(3, Some("t1"), None, None)).unwrap();
        assert!(search.recover(refusal()).is_err());
    }

    #[test]
    fn unknown_projects_are_left_out_until_none_remains() {
        let refusal = |project: &str| {
            let text = format!("refused: The value '{project}' does not exist for the field 'project'.");
            Error::new(ErrorKind::Rejected, text)
        };
        let mut search = search();
        let warnings = search.recover(refusal("A")).unwrap();
        assert!(warnings[0].starts_with("project A "), "{warnings:?}");
        assert_eq!(search.jql, r#"project in ("B") AND updated >= "2026-11-10 09:30" ORDER BY updated ASC, key ASC"#);
        let error = search.recover(refusal("B")).unwrap_err();
        assert_eq!((error.kind(), error.context("projects")), (ErrorKind::Rejected, Some("B")));
    }

    #[test]
    fn rows_are_counted_only_inside_one_minute() {
        let at = |text: &str| Millis::parse(text);
        let mut search = search();
        let utc = TimeZone::UTC;
        assert!(!search.step_rows(&found(100, None, None, Some(300)), at("2026-11-10T09:30:59Z"), Some(&utc)).unwrap());
        assert_eq!((search.start_at, search.since.as_deref()), (95, Some("2026-11-10 09:30")));
        assert!(!search.step_rows(&found(100, None, None, Some(300)), at("2026-11-10T09:44:10Z"), Some(&utc)).unwrap());
        assert_eq!((search.start_at, search.since.as_deref()), (0, Some("2026-11-10 09:44")));
        assert!(search.jql.contains("updated >= \"2026-11-10 09:44\""));
        assert!(search.step_rows(&found(60, None, None, Some(60)), at("2026-11-10T10:00:00Z"), Some(&utc)).unwrap());
    }
}
