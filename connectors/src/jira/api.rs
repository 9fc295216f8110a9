//! The calls to Jira, one function each: addresses, parameters and the shapes of the answers, nothing else.
//!
//! Cloud uses REST v3 and page tokens, Data Center REST v2 and `startAt`; boards and sprints are the same on both. Facts are from Atlassian's published OpenAPI documents of both products (platform v3, Jira Software).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use contextcore_core::http::{Auth, Session, SessionConfig, Stats, Tries};
use contextcore_core::{ErrorKind, Millis, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::boards::{BoardAnswer, BoardConfiguration};
use super::comments::Comments;
use super::dialect::{AGILE, BUCKETS, HISTORY, JiraDialect, META, SEARCH};
use super::fields::FieldAnswer;
use super::history::History;
use super::lenient::{self, Entries, List, given};
use super::listed::Listed;
use super::settings::Settings;
use super::wire::{IssueType, LinkKind, Sprint, StatusValue};
use crate::refusal;

/// Ids that one call for histories takes.
pub(super) const IDS_PER_CALL: usize = 1_000;
/// Histories that one page holds at most.
const HISTORIES_PER_PAGE: u32 = 10_000;
/// Rows of the pages that Jira Software and the older lists give.
const ROWS: u64 = 50;
/// Rows of a page of one issue's history or comments.
const ISSUE_ROWS: u64 = 100;
/// Tries of a call that nothing goes on without: as many as the session allows.
const PATIENT: Tries = Tries(u32::MAX);

/// Which of the two products answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    Cloud,
    DataCenter,
}

impl Site {
    const fn root(self) -> &'static str {
        match self {
            Self::Cloud => "rest/api/3",
            Self::DataCenter => "rest/api/2",
        }
    }
}

/// Jira, with one credential.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) session: Session,
    /// The server failed over a call of this run.
    failing: AtomicBool,
    /// A refusal was confirmed in this run: the next one is believed.
    refusing: AtomicBool,
}

/// Whose credential it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Myself {
    account_id: Option<String>,
    key: Option<String>,
    name: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) email_address: Option<String>,
    pub(super) time_zone: Option<String>,
}

impl Changelog {
    /// Whether it is as long as it says.
    pub(super) fn is_whole(&self) -> bool {
        self.histories.as_ref().is_some_and(|histories| histories.count() >= self.total)
    }
}

impl Myself {
    /// The account's id. Without one, the answer is that for an anonymous caller.
    pub(super) fn id(&self, site: Site) -> Option<&str> {
        let id = match site {
            Site::Cloud => self.account_id.as_deref(),
            Site::DataCenter => self.key.as_deref().or(self.name.as_deref()),
        };
        id.filter(|id| !id.is_empty())
    }
}

/// What the site is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerInfo {
    pub(super) base_url: Option<String>,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    deployment_type: String,
}

impl ServerInfo {
    /// Data Center answers `Server`; very old versions leave it out.
    pub(super) fn site(&self) -> Site {
        if self.deployment_type.eq_ignore_ascii_case("cloud") { Site::Cloud } else { Site::DataCenter }
    }
}

/// The body of Cloud's search.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchBody<'a> {
    pub(super) jql: &'a str,
    pub(super) fields: &'a BTreeSet<&'a str>,
    pub(super) max_results: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_page_token: Option<&'a str>,
}

/// The body of Data Center's search.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerSearchBody<'a> {
    pub(super) jql: &'a str,
    pub(super) fields: &'a BTreeSet<&'a str>,
    pub(super) max_results: u64,
    pub(super) start_at: u64,
    pub(super) expand: &'a [&'a str],
}

/// An answer of either search. Issues are read one by one, so that an odd one does not spoil the page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    #[serde(deserialize_with = "lenient::listed")]
    pub(super) issues: Vec<Box<RawValue>>,
    pub(super) next_page_token: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient::known_flag")]
    pub(super) is_last: Option<bool>,
    /// All issues of the query; Data Center only.
    #[serde(default, deserialize_with = "lenient::whole")]
    pub(super) total: Option<u64>,
    /// Why the answer is incomplete; Cloud only.
    #[serde(default, deserialize_with = "lenient::rows")]
    pub(super) warnings: Vec<Box<RawValue>>,
}

/// Histories of many issues.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Histories {
    /// None where they did not come.
    #[serde(default)]
    pub(super) issue_change_logs: Option<Entries<IssueHistories>>,
    pub(super) next_page_token: Option<Box<str>>,
}

/// Some histories of one issue; the rest may be on the next page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IssueHistories {
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) issue_id: Option<Box<str>>,
    /// None where they did not come.
    #[serde(default)]
    pub(super) change_histories: Option<Entries<History>>,
}

/// The history that Data Center writes into the issue.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Inline {
    /// Absent when the server did not write it.
    pub(super) changelog: Option<Changelog>,
}

/// An issue's history, and how long it is.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Changelog {
    #[serde(default, deserialize_with = "lenient::count")]
    pub(super) total: usize,
    /// None where they did not come.
    #[serde(default)]
    pub(super) histories: Option<Entries<History>>,
}

/// A project.
#[derive(Debug, Deserialize)]
pub(super) struct ProjectAnswer {
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) name: String,
}

impl Api {
    /// A client under these settings. Sends nothing.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let mut config = SessionConfig::new(&settings.url, Auth::None, BUCKETS, JiraDialect);
        config.tls_ca_file.clone_from(&settings.tls_ca_file);
        Ok(Self { session: Session::new(config)?, failing: AtomicBool::new(false), refusing: AtomicBool::new(false) })
    }

    /// Begins a run: calls have second tries again.
    pub(super) fn begin(&self) {
        self.failing.store(false, Ordering::Relaxed);
        self.refusing.store(false, Ordering::Relaxed);
    }

    /// How often a call is tried that the run can do without, or can make smaller: the time that a lasting failure costs is
    /// spent once a run.
    pub(super) fn tries(&self) -> Tries {
        if self.failing.load(Ordering::Relaxed) { Tries(1) } else { Tries(2) }
    }

    /// Remembers that the server failed over a call.
    pub(super) fn note<T>(&self, result: Result<T>) -> Result<T> {
        let failed =
            |error: &contextcore_core::Error| matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Protocol);
        if result.as_ref().is_err_and(failed) {
            self.failing.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Reads what a run can do without.
    async fn side<T: DeserializeOwned>(&self, bucket: &'static str, path: &str, query: &[(&str, &str)]) -> Result<T> {
        let ask = || self.session.get_mended(bucket, path, query, self.tries());
        self.note(self.confirmed(ask).await)
    }

    /// Reads a list that comes in one answer.
    async fn whole<T: DeserializeOwned>(&self, path: &str) -> Result<Listed<T>> {
        let answer = self.confirmed(|| self.session.get_mended(META, path, &[], PATIENT)).await?;
        Ok(Listed::at_once(given(answer, path)?))
    }

    /// Asks for something that the run goes on without: a refusal of it has to be confirmed, once a run for all that is refused.
    pub(super) async fn confirmed<T, A: Future<Output = Result<T>>>(&self, ask: impl Fn() -> A) -> Result<T> {
        if self.refusing.load(Ordering::Relaxed) {
            return ask().await;
        }
        let answer = refusal::confirmed(ask, || async { self.server_info().await.map(drop) }).await;
        let is_refused = answer.as_ref().is_err_and(refusal::is_refused);
        self.refusing.fetch_or(is_refused, Ordering::Relaxed);
        answer
    }

    /// Sends this credential from now on.
    pub(super) fn authorize(&self, auth: &Auth) -> Result<()> {
        self.session.authorize(auth)
    }

    pub(super) fn stats(&self) -> Stats {
        self.session.stats()
    }

    /// Answers on both products.
    pub(super) async fn server_info(&self) -> Result<ServerInfo> {
        self.session.get_mended(META, "rest/api/2/serverInfo", &[], PATIENT).await
    }

    pub(super) async fn myself(&self, site: Site) -> Result<Myself> {
        self.session.get_mended(META, &format!("{}/myself", site.root()), &[], PATIENT).await
    }

    pub(super) async fn fields(&self, site: Site) -> Result<Listed<FieldAnswer>> {
        self.whole(&format!("{}/field", site.root())).await
    }

    pub(super) async fn statuses(&self, site: Site) -> Result<Listed<StatusValue>> {
        let statuses: Listed<StatusValue> = self.whole(&format!("{}/status", site.root())).await?;
        Ok(statuses.only(|status| status.id.is_some()))
    }

    pub(super) async fn issue_types(&self, site: Site) -> Result<Listed<IssueType>> {
        let path = format!("{}/issuetype", site.root());
        let types: Listed<IssueType> = Listed::at_once(given(self.side(META, &path, &[]).await?, &path)?);
        Ok(types.only(|kind| kind.id.is_some()))
    }

    /// The types of links; 404 where linking is switched off.
    pub(super) async fn link_types(&self, site: Site) -> Result<Listed<LinkKind>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Types {
            issue_link_types: Option<List<LinkKind>>,
        }
        let path = format!("{}/issueLinkType", site.root());
        let types: Types = self.side(META, &path, &[]).await?;
        Ok(Listed::at_once(given(types.issue_link_types, &path)?))
    }

    /// Projects the credential can see. Data Center gives them in one list.
    pub(super) async fn projects(&self, site: Site) -> Result<Listed<ProjectAnswer>> {
        match site {
            Site::Cloud => self.rows(META, "rest/api/3/project/search", &[], ROWS).await,
            Site::DataCenter => self.whole("rest/api/2/project").await,
        }
    }

    /// Boards that show this project, or all.
    pub(super) async fn boards(&self, project: Option<&str>) -> Result<Listed<BoardAnswer>> {
        let query: Vec<(&str, &str)> = project.into_iter().map(|key| ("projectKeyOrId", key)).collect();
        self.rows(AGILE, "rest/agile/1.0/board", &query, ROWS).await
    }

    /// Needs a right to administer the board in some set-ups.
    pub(super) async fn board_configuration(&self, board: u64) -> Result<BoardConfiguration> {
        self.side(AGILE, &format!("rest/agile/1.0/board/{board}/configuration"), &[]).await
    }

    /// Sprints of a board in one of these states (comma-separated), or all.
    pub(super) async fn sprints(&self, board: u64, states: Option<&str>) -> Result<Listed<Sprint>> {
        let query: Vec<(&str, &str)> = states.into_iter().map(|states| ("state", states)).collect();
        self.rows(AGILE, &format!("rest/agile/1.0/board/{board}/sprint"), &query, ROWS).await
    }

    pub(super) async fn sprint(&self, id: u64) -> Result<Sprint> {
        self.side(AGILE, &format!("rest/agile/1.0/sprint/{id}"), &[]).await
    }

    /// A page of a search, `body` being a [`SearchBody`] or, on Data Center, a [`ServerSearchBody`]. Of one that is `mended` only
    /// ids and times are used: a value that is no JSON is nothing to it.
    pub(super) async fn search(&self, site: Site, body: &impl Serialize, mended: bool, tries: Tries) -> Result<Found> {
        let path = match site {
            Site::Cloud => "rest/api/3/search/jql",
            Site::DataCenter => "rest/api/2/search",
        };
        let found = match mended {
            true => self.confirmed(|| self.session.post_mended(SEARCH, path, body, tries, 0)).await,
            false => self.confirmed(|| self.session.post_with(SEARCH, path, body, tries)).await,
        };
        self.note(found)
    }

    /// About how many issues a query finds.
    pub(super) async fn count(&self, jql: &str) -> Result<u64> {
        #[derive(Serialize)]
        struct Body<'a> {
            jql: &'a str,
        }
        #[derive(Deserialize)]
        struct Count {
            count: u64,
        }
        let count: Count = self.session.post(SEARCH, "rest/api/3/search/approximate-count", &Body { jql }).await?;
        Ok(count.count)
    }

    /// A page of the histories of up to [`IDS_PER_CALL`] issues, oldest first.
    pub(super) async fn histories(&self, ids: &[&str], token: Option<&str>, tries: Tries) -> Result<Histories> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            issue_ids_or_keys: &'a [&'a str],
            max_results: u32,
            #[serde(skip_serializing_if = "Option::is_none")]
            next_page_token: Option<&'a str>,
        }
        let body = Body { issue_ids_or_keys: ids, max_results: HISTORIES_PER_PAGE, next_page_token: token };
        let ask = || self.session.post_with(HISTORY, "rest/api/3/changelog/bulkfetch", &body, tries);
        self.note(self.confirmed(ask).await)
    }

    /// The whole history of one issue of Cloud, page by page.
    pub(super) async fn history(&self, id: &str, tries: Tries) -> Result<Entries<History>> {
        let path = format!("rest/api/3/issue/{id}/changelog");
        let listed = self.confirmed(|| self.rows_with(HISTORY, &path, &[], ISSUE_ROWS, tries)).await?;
        listed.into_entries(&path)
    }

    /// The history of one issue of Data Center, if the server writes it.
    pub(super) async fn server_history(&self, id: &str, tries: Tries) -> Result<Option<Changelog>> {
        let query = [("expand", "changelog"), ("fields", "id")];
        let path = format!("rest/api/2/issue/{id}");
        let ask = || self.session.get_with(HISTORY, &path, &query, tries);
        let inline: Inline = self.note(self.confirmed(ask).await)?;
        Ok(inline.changelog)
    }

    /// One issue by its id, with its history where the product writes that into the issue.
    pub(super) async fn issue(&self, site: Site, id: &str, fields: &BTreeSet<&str>) -> Result<Box<RawValue>> {
        let fields = fields.iter().copied().collect::<Vec<_>>().join(",");
        let mut query = vec![("fields", fields.as_str())];
        if site == Site::DataCenter {
            query.push(("expand", "changelog"));
        }
        let path = format!("{}/issue/{id}", site.root());
        self.note(self.confirmed(|| self.session.get_with(HISTORY, &path, &query, self.tries())).await)
    }

    /// The comments of an issue from this one on.
    pub(super) async fn comments(&self, site: Site, id: &str, from: usize) -> Result<Comments> {
        let (from, rows) = (from.to_string(), ISSUE_ROWS.to_string());
        let query = [("startAt", from.as_str()), ("maxResults", rows.as_str()), ("orderBy", "created")];
        self.side(HISTORY, &format!("{}/issue/{id}/comment", site.root()), &query).await
    }
}

/// Whether an error means that the credential may not see something or that it does not exist. Then it is left out, where a
/// sync can do without it.
pub(super) fn is_refusal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Auth | ErrorKind::Permission | ErrorKind::NotFound | ErrorKind::Rejected | ErrorKind::Gone
    )
}

/// Whether an error is about what was asked for and not about us: then it costs that, and the rest goes on.
pub(super) fn is_about_the_object(kind: ErrorKind) -> bool {
    use ErrorKind::{Gone, NotFound, Permission, Protocol, Rejected, Unavailable};
    matches!(kind, Unavailable | Rejected | NotFound | Permission | Protocol | Gone)
}

/// Whether a side list can be done without after this error. A scope that the token lacks is such a case; a token that is
/// refused altogether fails the search as well.
pub(super) fn is_bearable(kind: ErrorKind) -> bool {
    kind == ErrorKind::Auth || is_about_the_object(kind)
}

/// The id and last change of an issue, as far as they can be read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Outline {
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) id: Option<Box<str>>,
    #[serde(default)]
    fields: OutlineFields,
}

#[derive(Debug, Default, Deserialize)]
struct OutlineFields {
    #[serde(default, deserialize_with = "lenient::stamp")]
    updated: Option<Millis>,
}

impl Outline {
    /// What can be read of an issue of any shape.
    pub(super) fn of(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    pub(super) fn updated(&self) -> Option<Millis> {
        self.fields.updated
    }
}
