//! The calls to Linear, one function each: what is asked and the shapes of the answers, nothing else.
//!
//! Documents are in [`super::queries`], their variables in [`super::requests`]; what they ask for is read into the shapes of [`super::wire`],
//! leniently, because rows are kept one by one and an odd one must not spoil its page. An answer may hold data *and*
//! errors: [`Answer`] says which rows are incomplete.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use contextcore_core::http::{Auth, Session, SessionConfig, Stats, Tries};
use contextcore_core::{Error, ErrorKind, Millis, Result, Retry, lock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::info;

use super::dialect::{BUCKETS, GRAPHQL, LinearDialect, REASON, SCHEMA, Trouble};
use super::features::Missing;
use super::limited;
use super::queries::Reference;
use super::reference::{Cursors, ReferencePage};
use super::requests::{
    ChangesRequest, PLAN_LISTS, PlanRequest, Rest, RestBody, changed_variables, in_teams, issues_variables,
    plan_rows_variables, plan_variables, reference_variables, whoami_variables,
};
use super::rows::Row;
use super::settings::Settings;
use super::sizes::{self, Price, Width};
use super::wire::{Connection, Cycle, Initiative, IssueVersion, Organization, Project, Ref, User};
use crate::graphql::Operation;

/// The one address.
const PATH: &str = "graphql";
/// Requests under way at once.
const IN_FLIGHT: usize = 2;
/// Tries of a call that can be asked in smaller parts: their failures are distinguished from those of the tool by a
/// [probe](Api::whoami), which waits as long as it takes.
pub(super) const FEW_TRIES: Tries = Tries(2);
/// Tries of a part of what failed.
pub(super) const ONCE: Tries = Tries(1);
/// Tries of every other call.
pub(super) const ALL_TRIES: Tries = Tries(u32::MAX);

/// Linear, with one credential.
#[derive(Debug)]
pub(super) struct Api {
    session: Session,
    /// Whether comments are asked for with their texts.
    texts: bool,
    /// What this Linear does not know, as its refusals say.
    missing: Mutex<Missing>,
}

/// An answer's data, and the errors beside it.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) data: T,
    pub(super) errors: Vec<GraphError>,
}

/// An error beside data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GraphError {
    /// In Linear's words.
    pub(super) text: String,
    /// The root it is under, as named in the answer.
    pub(super) root: Option<String>,
    /// The row of that root, when it is about one.
    pub(super) row: Option<usize>,
}

/// An answer as it is sent.
#[derive(Deserialize)]
struct Reply<T> {
    #[serde(default = "Option::default")]
    data: Option<T>,
    #[serde(default, deserialize_with = "limited::errors")]
    errors: Vec<serde_json::Value>,
}

/// Who the credential is, and where.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Identity {
    pub(super) viewer: User,
    pub(super) organization: Organization,
    /// Those of the teams asked about that it may see.
    pub(super) teams: Option<Connection<Ref>>,
}

/// A page of changed issues, and of what changed beside them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangedPage {
    pub(super) issues: Option<Connection<Row<IssueVersion>>>,
    pub(super) issue_relations: Option<Connection<Row<LinkVersion>>>,
    pub(super) comments: Option<Connection<Row<CommentVersion>>>,
}

/// A link that changed: the issue it blocks is worth reading again.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LinkVersion {
    pub(super) id: Box<str>,
    pub(super) updated_at: Millis,
    pub(super) related_issue: Option<Ref>,
}

/// A comment that changed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommentVersion {
    pub(super) id: Box<str>,
    pub(super) updated_at: Millis,
    pub(super) issue: Option<Ref>,
}

/// Issues as they come, row by row.
#[derive(Debug, Deserialize)]
pub(super) struct IssuesPage {
    pub(super) issues: Option<Connection<Option<Box<RawValue>>>>,
}

/// A page of each connection of what surrounds the issues.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PlanPage {
    pub(super) cycles: Option<Connection<Row<Cycle>>>,
    pub(super) projects: Option<Connection<Row<Project>>>,
    pub(super) initiatives: Option<Connection<Row<Initiative>>>,
    pub(super) attachments: Option<Connection<Row<super::wire::Attachment>>>,
}

/// The next page of each list asked for: `None` for an issue that is gone.
pub(super) type RestPage = BTreeMap<String, Option<Connection<Option<RestOf>>>>;

/// An issue with the one list that was asked for.
#[derive(Debug, Deserialize)]
pub(super) struct RestOf {
    pub(super) list: Connection<Box<RawValue>>,
}

impl Api {
    /// A client under these settings. Sends nothing.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let mut config = SessionConfig::new(&settings.url, Auth::None, BUCKETS, LinearDialect);
        config.tls_ca_file.clone_from(&settings.tls_ca_file);
        config.in_flight = IN_FLIGHT;
        Ok(Self { session: Session::new(config)?, texts: settings.comments.has_texts(), missing: Mutex::default() })
    }

    /// Sends this credential from now on.
    ///
    /// # Errors
    /// As [`Session::authorize`].
    pub(super) fn authorize(&self, auth: &Auth) -> Result<()> {
        self.session.authorize(auth)
    }

    /// What was requested so far.
    pub(super) fn stats(&self) -> Stats {
        self.session.stats()
    }

    /// Who the token is.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] for a refused token; else as the session's.
    pub(super) async fn whoami(&self, teams: &[&str]) -> Result<Identity> {
        self.complete(&whoami_variables(teams), sizes::whoami(teams.len())).await
    }

    /// A page of the reference data: of those connections that are named.
    ///
    /// # Errors
    /// As the session's.
    pub(super) async fn reference(&self, from: &Cursors, tries: Tries) -> Result<Answer<ReferencePage>> {
        let variables = reference_variables(from);
        let (body, price) = (variables.request(Reference::DOCUMENT), sizes::points(sizes::REFERENCE));
        answer(self.post(&body, price, tries, true).await?)
    }

    /// A page of a request.
    ///
    /// # Errors
    /// As the session's.
    pub(super) async fn changed(&self, request: &ChangesRequest<'_>, tries: Tries) -> Result<Answer<ChangedPage>> {
        let price = sizes::changed(request.first);
        let variables = changed_variables(request);
        if request.teams.is_empty() {
            return self.ask(&variables, price, tries).await;
        }
        self.ask(&in_teams(request.teams, variables), price, tries).await
    }

    /// These issues with the first page of each of their lists.
    ///
    /// # Errors
    /// As the session's; [`ErrorKind::Unavailable`] soon, so that fewer can be asked for.
    pub(super) async fn issues(&self, ids: &[Box<str>], price: &Price, tries: Tries) -> Result<Answer<IssuesPage>> {
        self.ask(&issues_variables(ids, price, self.texts), price.of(ids.len()), tries).await
    }

    /// The next `first` of each of these lists, in one request. The document is put together from the fragments of
    /// `issues.graphql`, since every list goes on from a place of its own.
    ///
    /// # Errors
    /// As the session's; [`ErrorKind::Unavailable`] soon, so that fewer can be asked for.
    pub(super) async fn rests(&self, rests: &[Rest], first: u32, tries: Tries) -> Result<Answer<RestPage>> {
        let price = rests.iter().map(|rest| sizes::rest(rest.list, first)).sum();
        let body = RestBody::new(rests, first, self.texts);
        self.send(&body, price, tries).await
    }

    /// A page of what surrounds the issues.
    ///
    /// # Errors
    /// As the session's.
    pub(super) async fn plan(&self, request: &PlanRequest, tries: Tries) -> Result<Answer<PlanPage>> {
        self.ask(&plan_variables(request), sizes::plan(request.first), tries).await
    }

    /// Those of these rows of some lists of the plan that there are.
    ///
    /// # Errors
    /// As the session's.
    pub(super) async fn plan_rows(&self, list: &str, ids: &[Box<str>], width: &Width) -> Result<Answer<PlanPage>> {
        self.ask(&plan_rows_variables(&[list], ids, width), width.price(list, ids.len()), ONCE).await
    }

    /// Sends a query whose answer is of use only when it is complete.
    async fn complete<O, T>(&self, operation: &O, price: f64) -> Result<T>
    where
        O: Operation<Document = &'static str>,
        T: DeserializeOwned,
    {
        let answer: Answer<T> = self.ask(operation, price, ALL_TRIES).await?;
        if answer.errors.is_empty() { Ok(answer.data) } else { Err(answer.refusal()) }
    }

    async fn ask<O, T>(&self, operation: &O, price: f64, tries: Tries) -> Result<Answer<T>>
    where
        O: Operation<Document = &'static str>,
        T: DeserializeOwned,
    {
        self.send(&operation.request(O::DOCUMENT), price, tries).await
    }

    async fn send<T: DeserializeOwned>(&self, body: &impl Serialize, price: f64, tries: Tries) -> Result<Answer<T>> {
        answer(self.post(body, sizes::points(price), tries, false).await?)
    }

    /// Asks for nothing in every document, so that refusals say what is missing. Other failures say nothing here.
    pub(super) async fn learn(&self) {
        let ids = [Box::from("00000000-0000-0000-0000-000000000000")];
        let price = sizes::Sizes::default().price(true);
        drop(self.issues(&ids, &price, ONCE).await);
        for list in PLAN_LISTS {
            drop(self.plan_rows(list, &ids, &sizes::NARROW).await);
        }
    }

    /// What this Linear does not know, and what is lost by it.
    pub(super) fn lacks(&self) -> BTreeSet<String> {
        lock(&self.missing).sentences()
    }

    /// Asks for everything again: Linear may have learnt it.
    pub(super) fn forget_missing(&self) {
        *lock(&self.missing) = Missing::default();
    }

    /// Sends a request, without what is known to be missing, again when the refusal names something else that can be left out. A
    /// list that cannot be asked for in smaller parts is mended.
    async fn post<T: DeserializeOwned>(
        &self,
        body: &impl Serialize,
        price: u32,
        tries: Tries,
        mended: bool,
    ) -> Result<T> {
        let unwritable = |error| Error::new(ErrorKind::Internal, "write a query").caused_by(error);
        let whole = serde_json::to_value(body).map_err(unwritable)?;
        loop {
            let less = self.without_missing(&whole);
            let answer = match mended {
                true => self.session.post_mended(GRAPHQL, PATH, &less, tries, price).await,
                false => self.session.post_priced(GRAPHQL, PATH, &less, tries, price).await,
            };
            match answer {
                Err(error) if self.learns_from(&error) => {
                    info!(error = error.full(), "will ask without what Linear does not know");
                }
                answer => return answer,
            }
        }
    }

    fn without_missing(&self, body: &Value) -> Value {
        let (missing, mut less) = (lock(&self.missing), body.clone());
        if let Some(query) = body["query"].as_str().filter(|_| !missing.is_empty()) {
            less["query"] = missing.cut(query).into();
        }
        less
    }

    /// Whether a refusal names something new that can be left out.
    fn learns_from(&self, refusal: &Error) -> bool {
        refusal.context(REASON) == Some(SCHEMA) && lock(&self.missing).learn(&refusal.full())
    }
}

/// The data of an answer, with the errors beside it.
fn answer<T>(reply: Reply<T>) -> Result<Answer<T>> {
    let errors: Vec<GraphError> = reply.errors.iter().map(GraphError::of).collect();
    let nothing = || {
        let said = errors.first().map_or("", |error| &error.text);
        Error::new(ErrorKind::Protocol, format!("the answer has neither data nor a reason: {said}"))
    };
    Ok(Answer { data: reply.data.ok_or_else(nothing)?, errors })
}

impl GraphError {
    fn of(error: &serde_json::Value) -> Self {
        let path = error["path"].as_array().map_or(&[][..], Vec::as_slice);
        let row = path.iter().find_map(|part| usize::try_from(part.as_u64()?).ok());
        let root = path.first().and_then(|part| part.as_str()).map(str::to_owned);
        let kind = Trouble::of(error).kind();
        let said = contextcore_core::http::redact::excerpt(error["message"].as_str().unwrap_or_default());
        Self { text: format!("{said} ({})", kind.as_str()), root, row }
    }
}

impl<T> Answer<T> {
    /// Whether this root, as named in the answer, is incomplete as a whole.
    pub(super) fn is_incomplete(&self, root: &str) -> bool {
        let hits = |error: &&GraphError| error.root.as_deref().is_none_or(|name| name == root);
        self.errors.iter().filter(hits).any(|error| error.row.is_none())
    }

    /// Whether any error is about this root, or about the whole answer.
    pub(super) fn touches(&self, root: &str) -> bool {
        self.errors.iter().any(|error| error.root.as_deref().is_none_or(|name| name == root))
    }

    /// The first error beside the data, as an error.
    pub(super) fn refusal(&self) -> Error {
        let text = self.errors.first().map_or("the answer lacks what was asked for", |error| &error.text);
        Error::new(ErrorKind::Unavailable, text).with_retry(Retry::Backoff)
    }

    /// The rows of this root that are incomplete.
    pub(super) fn incomplete_rows(&self, root: &str) -> BTreeSet<usize> {
        let hits = |error: &&GraphError| error.root.as_deref() == Some(root);
        self.errors.iter().filter(hits).filter_map(|error| error.row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_beside_data_name_the_incomplete_rows() {
        let errors = serde_json::json!([
            {"message": "no", "path": ["issues", "nodes", 3, "assignee"]},
            {"message": "oops", "path": ["comments"], "extensions": {"type": "internal error"}},
        ]);
        let answer = Answer { data: (), errors: errors.as_array().unwrap().iter().map(GraphError::of).collect() };
        assert_eq!(answer.incomplete_rows("issues"), [3].into());
        assert!(!answer.is_incomplete("issues") && answer.is_incomplete("comments"));
        assert_eq!(answer.errors[1].text, "oops (unavailable)");
    }
}
