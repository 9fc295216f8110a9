//! Finds issues: the enhanced search of Cloud with its tokens, the offset search of Data Center.
//!
//! A token holds the query's hash, when it was given out and the place of the last issue shown, in the order of the query.
//! So an issue that changes while a caller pages moves to the end of `ORDER BY updated`, and is seen again, never missed;
//! with offsets the others move up, and one is missed: as in the real thing.

use super::auth::Caller;
use super::fields::Selection;
use super::jql::{self, Field, Filter, Order, OrderField, Query, Reading, TimeField};
use super::render::{Changelog, Page};
use super::{Site, json, refuse, refuse_all, routes};
use crate::lock;
use crate::message::{Call, Reply};
use crate::world::{Category, Issue, IssueId, KeyOrder, Visibility, World};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Most issues on a page of ids.
const MAX_IDS: usize = 5_000;
const DEFAULT_PAGE: usize = 50;
/// Most histories that `expand=changelog` shows on Cloud.
const EXPANDED_HISTORIES: usize = 40;
/// How long a token is valid, in milliseconds.
const TOKEN_LIFE: i64 = 7 * 24 * 60 * 60 * 1_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct SearchBody {
    jql: Option<String>,
    fields: Option<Vec<String>>,
    expand: Option<String>,
    max_results: Option<i64>,
    next_page_token: Option<String>,
    #[serde(rename = "fieldsByKeys")]
    _fields_by_keys: Option<bool>,
    #[serde(rename = "properties")]
    _properties: Option<Vec<String>>,
    reconcile_issues: Option<Vec<i64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CountBody {
    jql: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct OffsetBody {
    jql: Option<String>,
    start_at: Option<i64>,
    max_results: Option<i64>,
    fields: Option<Vec<String>>,
    expand: Option<Vec<String>>,
    #[serde(rename = "validateQuery")]
    _validate_query: Option<serde_json::Value>,
    #[serde(rename = "fieldsByKeys")]
    _fields_by_keys: Option<bool>,
}

/// How many issues a query matched, remembered until the world changes: Data Center shows it on every page.
#[derive(Default)]
pub(super) struct Totals(HashMap<String, (u64, usize)>);

impl Site {
    /// `GET` and `POST /rest/api/3/search/jql`.
    pub(super) fn search_jql(&self, call: &Call, caller: Caller) -> Reply {
        let body = if call.method == http::Method::GET { query_body(call) } else { routes::body(call) };
        match body {
            Ok(body) => self.enhanced_search(call, body, caller).unwrap_or_else(|reply| reply),
            Err(reply) => reply,
        }
    }

    fn enhanced_search(&self, call: &Call, body: SearchBody, caller: Caller) -> Result<Reply, Reply> {
        let text = body.jql.unwrap_or_default();
        let query = self.parse(&text)?;
        if query.filter.is_none() {
            let message = "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.";
            return Err(refuse(400, message));
        }
        if body.reconcile_issues.is_some_and(|ids| ids.len() > 50) {
            return Err(refuse(400, "reconcileIssues accepts at most 50 issue IDs."));
        }
        let token = self.token(body.next_page_token.as_deref(), &text)?;
        let names = body.fields.unwrap_or_else(|| vec!["id".to_owned()]);
        let selection = Selection::of(&names, self.options.edition);
        let size = self.page_size(body.max_results, &selection)?;
        if caller == Caller::Anonymous {
            return Ok(Reply::json(200, r#"{"issues":[],"isLast":true}"#));
        }
        let expanded = body.expand.unwrap_or_default().split(',').any(|part| part.trim() == "changelog");
        let changelog = if expanded { Changelog::Newest(EXPANDED_HISTORIES) } else { Changelog::None };
        let world = self.world();
        check(&world, query.filter.as_ref())?;
        let found = find(&world, &query, token.as_ref(), size + 1);
        let next = (found.len() > size).then(|| found[size - 1].0.token(Token::new(&text, self.now())));
        let page = Page::new(self, &world, &call.base);
        let body = json::object(|json| {
            json.name("issues").array(|json| {
                found.iter().take(size).for_each(|(_, issue)| page.issue(issue, &selection, changelog, json));
            });
            json.name("isLast").plain(next.is_none());
            if let Some(next) = next {
                json.name("nextPageToken").text(&next.write());
            }
        });
        Ok(Reply::json(200, body))
    }

    /// `POST /rest/api/3/search/approximate-count`.
    pub(super) fn approximate_count(&self, call: &Call, caller: Caller) -> Reply {
        let count = || -> Result<usize, Reply> {
            let CountBody { jql } = routes::body(call)?;
            let query = self.parse(&jql)?;
            if query.filter.is_none() {
                let message =
                    "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.";
                return Err(refuse(400, message));
            }
            if caller == Caller::Anonymous {
                return Ok(0);
            }
            let world = self.world();
            check(&world, query.filter.as_ref())?;
            Ok(matching(&world, &query, None).count())
        };
        count().map_or_else(|reply| reply, |count| Reply::json(200, format!(r#"{{"count":{count}}}"#)))
    }

    /// `GET` and `POST /rest/api/2/search` of Data Center.
    pub(super) fn offset_search(&self, call: &Call, caller: Caller) -> Reply {
        let body = if call.method == http::Method::GET { offset_body(call) } else { routes::body(call) };
        body.and_then(|body| self.search_page(call, body, caller)).unwrap_or_else(|reply| reply)
    }

    fn search_page(&self, call: &Call, body: OffsetBody, caller: Caller) -> Result<Reply, Reply> {
        let text = body.jql.unwrap_or_default();
        let query = self.parse(&text)?;
        let names = body.fields.unwrap_or_else(|| vec!["*navigable".to_owned()]);
        let selection = Selection::of(&names, self.options.edition);
        let size = body.max_results.map_or(DEFAULT_PAGE, |most| most.max(0) as usize).min(self.options.max_search_page);
        let start = body.start_at.map_or(0, |start| start.max(0) as usize);
        let expanded = body.expand.unwrap_or_default().iter().any(|part| part == "changelog");
        let changelog = if expanded { Changelog::Complete } else { Changelog::None };
        let world = self.world();
        let known = caller == Caller::Known;
        if known {
            check(&world, query.filter.as_ref())?;
        }
        let total = if known { self.total(&world, &query, &text) } else { 0 };
        let found = if known { skip(&world, &query, start, size) } else { vec![] };
        let page = Page::new(self, &world, &call.base);
        let body = json::object(|json| {
            json.name("expand").text("schema,names");
            json.name("startAt").plain(start);
            json.name("maxResults").plain(size);
            json.name("total").plain(total);
            json.name("issues").array(|json| {
                found.iter().for_each(|issue| page.issue(issue, &selection, changelog, json));
            });
        });
        Ok(Reply::json(200, body))
    }

    fn total(&self, world: &World, query: &Query, text: &str) -> usize {
        let totals = &mut lock(&self.totals).0;
        match totals.get(text) {
            Some((revision, total)) if *revision == world.revision() => *total,
            _ => {
                let total = matching(world, query, None).count();
                totals.clear();
                totals.insert(text.to_owned(), (world.revision(), total));
                total
            }
        }
    }

    fn parse(&self, text: &str) -> Result<Query, Reply> {
        let reading = Reading { zone: self.zone.clone(), now: self.now() };
        jql::parse(text, &reading).map_err(|message| refuse(400, &message))
    }

    fn token(&self, text: Option<&str>, query: &str) -> Result<Option<Token>, Reply> {
        let Some(text) = text else { return Ok(None) };
        let token = Token::read(text, query, self.now());
        token.map(Some).ok_or_else(|| refuse(400, "The provided nextPageToken is invalid or expired."))
    }

    fn page_size(&self, asked: Option<i64>, selection: &Selection) -> Result<usize, Reply> {
        let most = if selection.ids_only { MAX_IDS } else { self.options.max_search_page };
        match asked {
            None => Ok(DEFAULT_PAGE.min(most)),
            Some(asked) if asked < 1 => Err(refuse(400, "maxResults must be at least 1.")),
            // More than 5,000 is not refused but cut, as any number above what a page holds.
            Some(asked) => Ok((asked as usize).min(most)),
        }
    }
}

/// A query string as the body it is equal to.
fn query_body(call: &Call) -> Result<SearchBody, Reply> {
    let known = [
        "jql",
        "nextPageToken",
        "maxResults",
        "fields",
        "expand",
        "properties",
        "fieldsByKeys",
        "failFast",
        "reconcileIssues",
    ];
    if let Some((name, _)) = call.query.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(refuse(400, &format!("Unknown query parameter '{name}'.")));
    }
    Ok(SearchBody {
        jql: call.param("jql").map(str::to_owned),
        fields: listed(call, "fields"),
        expand: call.param("expand").map(str::to_owned),
        max_results: number(call, "maxResults")?,
        next_page_token: call.param("nextPageToken").map(str::to_owned),
        ..SearchBody::default()
    })
}

fn offset_body(call: &Call) -> Result<OffsetBody, Reply> {
    Ok(OffsetBody {
        jql: call.param("jql").map(str::to_owned),
        start_at: number(call, "startAt")?,
        max_results: number(call, "maxResults")?,
        fields: listed(call, "fields"),
        expand: listed(call, "expand"),
        ..OffsetBody::default()
    })
}

/// All values of a parameter that may be repeated and comma separated.
fn listed(call: &Call, name: &str) -> Option<Vec<String>> {
    let values = call.query.iter().filter(|(key, _)| key == name).flat_map(|(_, value)| value.split(','));
    let values: Vec<_> = values.map(|value| value.trim().to_owned()).collect();
    (!values.is_empty()).then_some(values)
}

fn number(call: &Call, name: &str) -> Result<Option<i64>, Reply> {
    let parse = |text: &str| text.parse().map_err(|_| refuse(400, &format!("Parameter '{name}' must be a number.")));
    call.param(name).map(parse).transpose()
}

/// Refuses values that do not exist, in Jira's words.
fn check(world: &World, filter: Option<&Filter>) -> Result<(), Reply> {
    let Some(filter) = filter else { return Ok(()) };
    let unknown = |field: Field, name: &'static str, known: &dyn Fn(&str) -> bool| {
        let values = filter.values_of(field);
        let unknown = values.into_iter().filter(|value| !known(value));
        unknown.map(|value| format!("The value '{value}' does not exist for the field '{name}'.")).collect::<Vec<_>>()
    };
    let mut errors = unknown(Field::Project, "project", &|value| project(world, value));
    errors.extend(unknown(Field::Status, "status", &|value| {
        world.statuses.iter().any(|status| names(value, &status.name, status.id))
    }));
    errors.extend(unknown(Field::Type, "issuetype", &|value| {
        world.types.iter().any(|kind| names(value, &kind.name, kind.id))
    }));
    errors.extend(unknown(Field::StatusCategory, "statusCategory", &|value| category(value).is_some()));
    let lost = filter.values_of(Field::Key).into_iter().filter(|key| world.find(key).is_none());
    errors.extend(lost.map(|key| format!("An issue with key '{key}' does not exist for field 'key'.")));
    let gone = filter.values_of(Field::Id).into_iter().filter(|id| by_id(world, id).is_none());
    errors.extend(gone.map(|id| format!("A value with ID '{id}' does not exist for the field 'id'.")));
    if errors.is_empty() { Ok(()) } else { Err(refuse_all(400, &errors)) }
}

/// Whether a project of this key, id or name can be named in a query. An archived one can; its issues do not show.
fn project(world: &World, value: &str) -> bool {
    let visible = world.projects.iter().filter(|project| project.visibility != Visibility::Hidden);
    visible.into_iter().any(|project| project_is(project, value))
}

fn project_is(project: &crate::world::Project, value: &str) -> bool {
    project.key.eq_ignore_ascii_case(value)
        || project.name.eq_ignore_ascii_case(value)
        || value.parse() == Ok(project.id)
}

fn by_id(world: &World, id: &str) -> Option<IssueId> {
    let issue = world.get(IssueId(id.parse().ok()?))?;
    issue.deleted.is_none().then_some(issue.id)
}

fn names(value: &str, name: &str, id: u32) -> bool {
    value.eq_ignore_ascii_case(name) || value.parse() == Ok(id)
}

fn category(value: &str) -> Option<Category> {
    match value.to_ascii_lowercase().as_str() {
        "to do" | "new" | "2" => Some(Category::New),
        "in progress" | "indeterminate" | "4" => Some(Category::Indeterminate),
        "done" | "3" => Some(Category::Done),
        _ => None,
    }
}

/// The place of an issue in the order of a query.
#[derive(Clone, Copy, Debug)]
enum Place {
    Updated(i64, KeyOrder),
    Key(KeyOrder),
    Id(IssueId),
    Offset(usize),
}

impl Place {
    fn token(self, blank: Token) -> Token {
        match self {
            Self::Updated(at, key) => Token { at, project: key.project(), number: key.number(), ..blank },
            Self::Key(key) => Token { project: key.project(), number: key.number(), ..blank },
            Self::Id(id) => Token { number: id.0, ..blank },
            Self::Offset(offset) => Token { at: offset as i64, ..blank },
        }
    }
}

/// The order in which the issues of a query are found.
#[derive(Clone, Copy)]
enum SearchOrder {
    /// By `updated`; ties by key, whatever comes second in the query.
    Updated,
    Key,
    Id,
    /// Any other way: sorted as a whole, paged by offset.
    Sorted,
}

fn search_order(order: &[Order]) -> SearchOrder {
    let ascending = order.iter().all(|order| !order.descending);
    let fields: Vec<_> = order.iter().map(|order| order.field).collect();
    match fields.as_slice() {
        [] => SearchOrder::Key,
        [OrderField::Updated] | [OrderField::Updated, OrderField::Key | OrderField::Id] if ascending => {
            SearchOrder::Updated
        }
        [OrderField::Key] if ascending => SearchOrder::Key,
        [OrderField::Id] if ascending => SearchOrder::Id,
        _ => SearchOrder::Sorted,
    }
}

/// The matching issues after a token, up to `most`, with their places.
fn find<'w>(world: &'w World, query: &Query, token: Option<&Token>, most: usize) -> Vec<(Place, &'w Issue)> {
    match search_order(&query.order) {
        SearchOrder::Sorted => {
            let offset = token.map_or(0, |token| token.at as usize);
            let sorted = sorted(world, query).into_iter().enumerate().skip(offset).take(most);
            sorted.map(|(at, issue)| (Place::Offset(at + 1), issue)).collect()
        }
        _ => matching(world, query, token).take(most).collect(),
    }
}

/// Matching issues by offset.
fn skip<'w>(world: &'w World, query: &Query, start: usize, size: usize) -> Vec<&'w Issue> {
    match search_order(&query.order) {
        SearchOrder::Sorted => sorted(world, query).into_iter().skip(start).take(size).collect(),
        _ => matching(world, query, None).skip(start).take(size).map(|(_, issue)| issue).collect(),
    }
}

/// The matching issues after a token, in the order of the query.
fn matching<'w>(
    world: &'w World,
    query: &Query,
    token: Option<&Token>,
) -> Box<dyn Iterator<Item = (Place, &'w Issue)> + 'w> {
    let filter = query.filter.clone();
    let fits = move |issue: &Issue| shows(world, issue) && filter.as_ref().is_none_or(|f| f.holds(world, issue));
    let after = token.map(|token| KeyOrder::new(&token.project, token.number));
    match search_order(&query.order) {
        SearchOrder::Updated => {
            let since = query.filter.as_ref().map_or(i64::MIN, Filter::updated_from);
            let after = after.zip(token).map(|(key, token)| (token.at, key));
            let found = world.updated_since(since, after).filter(move |(_, issue)| fits(issue));
            Box::new(found.map(|((at, key), issue)| (Place::Updated(at, key), issue)))
        }
        SearchOrder::Id => {
            let after = token.map_or(0, |token| token.number);
            let found = world.issues().filter(move |issue| issue.id.0 > after && fits(issue));
            Box::new(found.map(|issue| (Place::Id(issue.id), issue)))
        }
        SearchOrder::Key | SearchOrder::Sorted => {
            let found = world.by_key(after).filter(move |(_, issue)| fits(issue));
            Box::new(found.map(|(key, issue)| (Place::Key(key), issue)))
        }
    }
}

fn sorted<'w>(world: &'w World, query: &Query) -> Vec<&'w Issue> {
    let unordered = Query { filter: query.filter.clone(), order: vec![] };
    let mut found: Vec<_> = matching(world, &unordered, None).map(|(_, issue)| issue).collect();
    // Stable, so sorting by the last field first gives the order of all.
    for order in query.order.iter().rev() {
        found.sort_by(|one, other| {
            let ordering = match order.field {
                OrderField::Created => one.created.cmp(&other.created),
                OrderField::Updated => one.updated.cmp(&other.updated),
                OrderField::Key => world.key_order(one.fields.key).cmp(&world.key_order(other.fields.key)),
                OrderField::Id => one.id.cmp(&other.id),
            };
            if order.descending { ordering.reverse() } else { ordering }
        });
    }
    found
}

/// Whether search shows an issue to the account at all.
fn shows(world: &World, issue: &Issue) -> bool {
    !issue.hidden && world.project(issue.project()).visibility == Visibility::Open
}

impl Filter {
    fn holds(&self, world: &World, issue: &Issue) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.holds(world, issue)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(world, issue)),
            Self::Not(part) => !part.holds(world, issue),
            Self::Time { field, compare, at } => {
                let time = if *field == TimeField::Created { issue.created } else { issue.updated };
                compare.holds(time, *at)
            }
            Self::Is { field, values } => values.iter().any(|value| is(world, issue, *field, value)),
            Self::Empty(field) => is_empty(issue, *field),
        }
    }
}

fn is(world: &World, issue: &Issue, field: Field, value: &str) -> bool {
    let fields = &issue.fields;
    match field {
        Field::Project => project_is(world.project(fields.key.project), value),
        Field::Key => world.find(value) == Some(issue.id),
        Field::Id => value.parse() == Ok(issue.id.0),
        Field::Status => names(value, &world.status(fields.status).name, world.status(fields.status).id),
        Field::StatusCategory => category(value) == Some(world.status(fields.status).category),
        Field::Type => names(value, &world.issue_type(fields.kind).name, world.issue_type(fields.kind).id),
        Field::Labels => fields.labels.iter().any(|label| label == value),
        Field::Assignee => fields.assignee.is_some_and(|id| world.users[usize::from(id.0)].account == value),
        Field::Sprint => fields.sprints.iter().any(|id| names(value, &world.sprint(*id).name, id.0)),
        Field::Parent => fields.parent.is_some_and(|id| world.find(value) == Some(id) || value.parse() == Ok(id.0)),
        Field::Resolution => fields.resolution.is_some_and(|id| {
            let resolution = &world.resolutions[usize::from(id.0)];
            names(value, &resolution.name, resolution.id)
        }),
        Field::Custom(_) => false,
    }
}

fn is_empty(issue: &Issue, field: Field) -> bool {
    let fields = &issue.fields;
    match field {
        Field::Labels => fields.labels.is_empty(),
        Field::Assignee => fields.assignee.is_none(),
        Field::Sprint => fields.sprints.is_empty(),
        Field::Parent => fields.parent.is_none(),
        Field::Resolution => fields.resolution.is_none(),
        Field::Custom(number) => match super::fields::numbered(number) {
            Some(super::fields::Field::Sprint) => fields.sprints.is_empty(),
            Some(super::fields::Field::StoryPoints) => fields.points.is_none(),
            Some(super::fields::Field::Flagged) => !fields.flagged,
            _ => true,
        },
        _ => false,
    }
}

/// What a page token says. It is bound to the query it was given out for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    query: u64,
    issued: i64,
    pub(super) at: i64,
    project: String,
    pub(super) number: u32,
}

impl Token {
    pub(super) fn new(query: &str, now: i64) -> Self {
        Self { query: hash(query), issued: now, at: 0, project: String::new(), number: 0 }
    }

    /// The same, after this place.
    pub(super) fn after(self, at: i64, number: u32) -> Self {
        Self { at, number, ..self }
    }

    pub(super) fn write(&self) -> String {
        let Self { query, issued, at, project, number } = self;
        URL_SAFE_NO_PAD.encode(format!("{query:016x}.{issued}.{at}.{project}.{number}"))
    }

    /// Reads a token given out for this very query within the last seven days.
    pub(super) fn read(text: &str, query: &str, now: i64) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.split('.');
        let token = Self {
            query: u64::from_str_radix(parts.next()?, 16).ok()?,
            issued: parts.next()?.parse().ok()?,
            at: parts.next()?.parse().ok()?,
            project: parts.next()?.to_owned(),
            number: parts.next()?.parse().ok()?,
        };
        (token.query == hash(query) && now - token.issued < TOKEN_LIFE).then_some(token)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The fault of a token that comes again: the answer carries the token of its own request, and says it is not the last.
pub(super) fn repeat_token(call: &Call, reply: &Reply) -> Option<Reply> {
    let asked: serde_json::Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let token = asked.get("nextPageToken").and_then(|token| token.as_str()).or_else(|| call.param("nextPageToken"))?;
    let mut body: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
    let fields = body.as_object_mut()?;
    fields.insert("nextPageToken".to_owned(), token.into());
    if let Some(last) = fields.get_mut("isLast") {
        *last = false.into();
    }
    Some(Reply { body: body.to_string().into(), ..reply.clone() })
}
