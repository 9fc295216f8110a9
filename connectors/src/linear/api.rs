//! The calls to Linear, one function each: what is asked and the shapes of the answers, nothing else.
//!
//! Documents and variables are in [`super::queries`]; what they ask for is read into the shapes of [`super::wire`],
//! leniently, because rows are kept one by one and an odd one must not spoil its page. An answer may hold data *and*
//! errors: [`Answer`] says which rows are incomplete.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::http::{Auth, Session, SessionConfig, Stats, Tries};
use contextcore_core::{Error, ErrorKind, Millis, Result, Retry};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::dialect::{BUCKETS, GRAPHQL, LinearDialect, Trouble};
use super::limited;
use super::queries::{Changed, ChangedInTeams, Issues, PaginationOrderBy, Plan, PlanRows, Reference, Whoami};
use super::reference::{Cursors, ReferencePage};
use super::rows::Row;
use super::settings::Settings;
use super::sizes::{self, NARROW, Price, Width};
use super::wire::{Connection, Cycle, Initiative, IssueVersion, List, Organization, Project, Ref, User};
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

/// What a page of changes asks for.
#[derive(Debug, Clone)]
pub(super) struct ChangesRequest<'a> {
    /// Keys of teams; empty means all.
    pub(super) teams: &'a [String],
    pub(super) since: Option<Millis>,
    pub(super) first: u32,
    pub(super) after: Option<&'a str>,
    /// By creation rather than by change: such a list of everything does not move while it is read.
    pub(super) all: bool,
    /// Without the rows of issues: only where the next page begins.
    pub(super) skips: bool,
    /// The page cursor of changed links, where they are listed too.
    pub(super) links: Option<Option<&'a str>>,
    /// The page cursor of changed comments, where they are listed too.
    pub(super) comments: Option<Option<&'a str>>,
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

/// Where a list of the plan continues: since when, and after which page cursor.
pub(super) type Start = (Option<Millis>, Option<String>);

/// What a page of the plan asks for: the lists by name, without those that are not read.
#[derive(Debug, Clone, Default)]
pub(super) struct PlanRequest {
    pub(super) first: u32,
    /// Only ids and when they changed: what may be had where the rows cannot.
    pub(super) outline: bool,
    pub(super) lists: BTreeMap<&'static str, Start>,
}

/// A list of an issue that did not fit on its first page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) issue: Box<str>,
    pub(super) list: List,
    pub(super) after: Box<str>,
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
        Ok(Self { session: Session::new(config)?, texts: settings.comments.has_texts() })
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
        self.ask(&reference_variables(from), sizes::REFERENCE, tries).await
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
        let answer: Reply<T> = self.session.post_priced(GRAPHQL, PATH, body, tries, sizes::points(price)).await?;
        let errors: Vec<GraphError> = answer.errors.iter().map(GraphError::of).collect();
        let nothing = || {
            let said = errors.first().map_or("", |error| &error.text);
            Error::new(ErrorKind::Protocol, format!("the answer has neither data nor a reason: {said}"))
        };
        Ok(Answer { data: answer.data.ok_or_else(nothing)?, errors })
    }
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

/// The variables of the reference data's document.
fn reference_variables(from: &Cursors) -> Reference {
    let with = |name: &str| from.contains_key(name);
    let after = |name: &str| from.get(name).cloned().flatten();
    Reference {
        with_teams: with("teams"),
        teams: after("teams"),
        with_states: with("states"),
        states: after("states"),
        with_labels: with("labels"),
        labels: after("labels"),
        with_users: with("users"),
        users: after("users"),
        with_cycles: with("cycles"),
        cycles: after("cycles"),
        // Only where cycles are listed for their own sake.
        with_ends: from.len() == 1,
        with_milestones: with("milestones"),
        milestones: after("milestones"),
    }
}

/// The variables of a sweep's document.
fn changed_variables(request: &ChangesRequest<'_>) -> Changed {
    let text = |cursor: Option<&str>| cursor.map(str::to_owned);
    Changed {
        since: moment(request.since),
        first: i64::from(request.first),
        after: text(request.after),
        order: if request.all { PaginationOrderBy::CreatedAt } else { PaginationOrderBy::UpdatedAt },
        with_rows: !request.skips,
        with_sides: request.links.is_some(),
        sides: i64::from(sizes::SIDES),
        links: text(request.links.flatten()),
        with_comments: request.comments.is_some(),
        comments: text(request.comments.flatten()),
    }
}

/// The same for some teams only.
fn in_teams(teams: &[String], all: Changed) -> ChangedInTeams {
    let Changed { since, first, after, order, with_rows, with_sides, sides, links, with_comments, comments } = all;
    let teams = teams.to_vec();
    ChangedInTeams { teams, since, first, after, order, with_rows, with_sides, sides, links, with_comments, comments }
}

/// The variables of the issues' document.
fn issues_variables(ids: &[Box<str>], price: &Price, texts: bool) -> Issues {
    Issues {
        ids: ids.iter().map(ToString::to_string).collect(),
        first: i64::try_from(ids.len()).unwrap_or(i64::MAX),
        history: i64::from(price.history),
        spans: i64::from(price.spans),
        links: i64::from(sizes::LINKS),
        with_comments: price.comments.is_some(),
        with_texts: texts,
        comments: i64::from(price.comments.unwrap_or(1)),
    }
}

/// The variables of the plan's document.
fn plan_variables(request: &PlanRequest) -> Plan {
    let with = |name: &str| request.lists.contains_key(name);
    let after = |name: &str| request.lists.get(name).and_then(|(_, after)| after.clone());
    let since = |name: &str| moment(request.lists.get(name).and_then(|(since, _)| *since));
    Plan {
        first: i64::from(request.first),
        with_rows: !request.outline,
        own_teams: NARROW.teams.into(),
        own_initiatives: NARROW.initiatives.into(),
        own_projects: NARROW.projects.into(),
        their_teams: NARROW.project_teams.into(),
        with_cycles: with("cycles"),
        cycles: after("cycles"),
        cycles_since: since("cycles"),
        with_projects: with("projects"),
        projects: after("projects"),
        projects_since: since("projects"),
        with_initiatives: with("initiatives"),
        initiatives: after("initiatives"),
        initiatives_since: since("initiatives"),
        with_attachments: with("attachments"),
        attachments: after("attachments"),
        attachments_since: since("attachments"),
    }
}

/// The variables of the document of rows by their ids.
fn plan_rows_variables(lists: &[&str], ids: &[Box<str>], width: &Width) -> PlanRows {
    let with = |name: &str| lists.contains(&name);
    PlanRows {
        ids: ids.iter().map(ToString::to_string).collect(),
        first: i64::try_from(ids.len()).unwrap_or(i64::MAX),
        own_teams: width.teams.into(),
        own_initiatives: width.initiatives.into(),
        own_projects: width.projects.into(),
        their_teams: width.project_teams.into(),
        with_cycles: with("cycles"),
        with_projects: with("projects"),
        with_initiatives: with("initiatives"),
        with_attachments: with("attachments"),
    }
}

/// A moment as filters take it; the beginning of time for everything.
fn moment(since: Option<Millis>) -> String {
    since.unwrap_or_default().to_string()
}

/// A request for the rest of some lists.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RestBody {
    query: String,
    operation_name: &'static str,
    variables: BTreeMap<String, serde_json::Value>,
}

impl RestBody {
    fn new(rests: &[Rest], first: u32, texts: bool) -> Self {
        let mut variables = BTreeMap::from([("first".to_owned(), first.into())]);
        let (mut head, mut fields) = ("$first: Int!".to_owned(), String::new());
        for (n, rest) in rests.iter().enumerate() {
            let (field, fixed, fragment) = field(rest.list);
            head.push_str(&format!(", $i{n}: ID!, $a{n}: String!"));
            fields.push_str(&format!(
                "  r{n}: issues(first: 1, includeArchived: true, filter: {{ id: {{ eq: $i{n} }} }}) {{ nodes {{ \
                 list: {field}(first: $first, after: $a{n}{fixed}) {{ ...{fragment} }} }} }}\n"
            ));
            variables.insert(format!("i{n}"), (*rest.issue).into());
            variables.insert(format!("a{n}"), (*rest.after).into());
        }
        if rests.iter().any(|rest| rest.list == List::Comments) {
            head.push_str(", $withTexts: Boolean!");
            variables.insert("withTexts".to_owned(), texts.into());
        }
        let used: BTreeSet<_> = rests.iter().map(|rest| field(rest.list).2).collect();
        let fragments: String = used.into_iter().map(fragment).collect();
        Self { query: format!("query Rests({head}) {{\n{fields}}}\n{fragments}"), operation_name: "Rests", variables }
    }
}

fn whoami_variables(teams: &[&str]) -> Whoami {
    let count = i64::try_from(teams.len().max(1)).unwrap_or(1);
    Whoami { teams: teams.iter().map(ToString::to_string).collect(), count, named: !teams.is_empty() }
}

/// The field of a list, its fixed arguments, and the fragment of `issues.graphql` that says what is requested of it.
const fn field(list: List) -> (&'static str, &'static str, &'static str) {
    match list {
        List::History => ("history", ", includeArchived: true", "Acts"),
        List::Spans => ("stateHistory", "", "Spans"),
        List::Links => ("inverseRelations", ", includeArchived: true", "Links"),
        List::Comments => ("comments", "", "Comments"),
    }
}

/// The text of a fragment of `issues.graphql`.
fn fragment(name: &str) -> &'static str {
    let text = Issues::DOCUMENT;
    let start = text.find(&format!("fragment {name} on ")).unwrap_or(text.len());
    let end = text[start..].find("\n}\n").map_or(text.len(), |end| start + end + 3);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::super::sizes::WIDE;
    use super::*;

    #[test]
    fn the_rests_of_several_lists_are_requested_at_once() {
        let rest = |issue: &str, list, after: &str| Rest { issue: issue.into(), list, after: after.into() };
        let body = RestBody::new(&[rest("a", List::History, "x"), rest("b", List::Spans, "y")], 10, false);
        insta::assert_snapshot!(format!("{}\n{:?}", body.query, body.variables));
    }

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

    /// What the vendor charges for a query, as the fake counts it.
    fn charged(body: &impl Serialize) -> f64 {
        contextcore_fakes::linear::Linear::price(&serde_json::to_value(body).unwrap()).expect("it fits the schema")
    }

    fn body<O: Operation<Document = &'static str>>(operation: &O) -> serde_json::Value {
        serde_json::to_value(operation.request(O::DOCUMENT)).unwrap()
    }

    #[track_caller]
    fn assert_close(reckoned: f64, body: &impl Serialize) {
        let charged = charged(body);
        let most = charged * 1.06 + 5.0;
        assert!((charged..=most).contains(&reckoned), "reckoned {reckoned}, charged {charged}");
    }

    #[test]
    fn prices_are_those_the_vendor_charges() {
        for teams in [&[][..], &["t1", "t2"]] {
            assert_close(sizes::whoami(teams.len()), &body(&whoami_variables(teams)));
        }
        let from = super::super::reference::Reference::from_start();
        assert_close(sizes::REFERENCE, &body(&reference_variables(&from)));
        for comments in [false, true] {
            let price = sizes::Sizes::default().price(comments);
            let ids = vec![Box::from("id"); price.most()];
            assert_close(price.of(ids.len()), &body(&issues_variables(&ids, &price, true)));
        }
        let sides = Some(None);
        let (teams, first) = (vec!["ENG".to_owned()], sizes::IDS);
        let request = ChangesRequest {
            teams: &teams,
            since: None,
            first,
            after: None,
            all: false,
            skips: false,
            links: sides,
            comments: sides,
        };
        assert_close(sizes::changed(first), &body(&changed_variables(&request)));
        let variables = in_teams(&teams, changed_variables(&request));
        assert_close(sizes::changed(first), &body(&variables));
        let names = ["cycles", "projects", "initiatives", "attachments"];
        let lists = names.map(|name| (name, (None, None))).into();
        let request = PlanRequest { first: sizes::PLAN, outline: false, lists };
        assert_close(sizes::plan(sizes::PLAN), &body(&plan_variables(&request)));
        let ids = vec![Box::from("id"); 50];
        assert_close(sizes::plan(50), &body(&plan_rows_variables(&names, &ids, &NARROW)));
        for list in ["projects", "initiatives"] {
            let ids = vec![Box::from("id"); WIDE.most(list)];
            let charged = charged(&body(&plan_rows_variables(&[list], &ids, &WIDE)));
            assert!(charged <= WIDE.price(list, ids.len()) && charged < 9_000.0, "{list} {charged}");
        }
        for list in [List::History, List::Spans, List::Links, List::Comments] {
            let rests = vec![Rest { issue: "id".into(), list, after: "x".into() }; 3];
            assert_close(3.0 * sizes::rest(list, 10), &RestBody::new(&rests, 10, true));
        }
    }
}
