//! A fake of Linear: its GraphQL API over a [`World`], executed against the vendor's own schema.
//!
//! Read [`Linear::start`], [`Options`] and [`LinearHandle`] first. A team is a project of the world, a project one of its
//! epics, an initiative what lies above those, a cycle a sprint; what Linear has no field for (types, the impediment flag) it has
//! labels for, as people there do. `graph` answers the roots of a `workspace`, `issue` and `history` write issues and
//! what happened to them, `plan` what surrounds them, `price` charges and `auth` lets in. Shapes come from the schema; prices, limits and refusals from
//! the vendor's documentation, and where that is silent a comment says what was chosen.
//!
//! What it leaves to others: faults ([`crate::faults`]) and everything about sockets (`server`).

mod auth;
mod graph;
mod history;
mod issue;
mod plan;
mod price;
mod view;
mod workspace;

use crate::faults::{Fault, Twist};
use crate::graphql::{self, Engine, Query, Refusal, Without};
use crate::message::{Call, Reply};
use crate::server::{Handle, Settings, Vendor};
use crate::world::{IssueId, SprintId, UserId, World};
use crate::{Clock, lock};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a caller may show to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A personal API key (`lin_api_…`): the whole header, with no scheme before it.
    Key(String),
    /// An OAuth access token, sent as a bearer.
    Token(String),
}

/// How a fake is to behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// A path before `/graphql`; empty for none.
    pub prefix: String,
    pub credentials: Vec<Credential>,
    /// Requests an hour.
    pub requests: f64,
    /// Complexity points an hour.
    pub points: f64,
    /// What one query may cost.
    pub most: f64,
    /// Finished issues are archived after so many milliseconds; none: never.
    pub archive_after: Option<i64>,
    /// How long the bin keeps what is in it, in milliseconds.
    pub retention: i64,
    /// Roots that this workspace has not paid for.
    pub unpaid: Vec<&'static str>,
    /// Types and fields of them that its schema does not have.
    pub older: Vec<(&'static str, &'static str)>,
    /// The team of this key is a sub-team of all others: it has a copy of each of their cycles.
    pub sub_team: Option<&'static str>,
    pub clock: Clock,
    /// How long every answer takes.
    pub latency: Duration,
}

impl Default for Options {
    /// With the personal key [`Linear::KEY`], the limits of such a key in 2026, archiving after 90 days and a bin of 30.
    fn default() -> Self {
        Self {
            prefix: String::new(),
            credentials: vec![Credential::Key(Linear::KEY.to_owned())],
            requests: 2_500.0,
            points: 3_000_000.0,
            most: 10_000.0,
            archive_after: Some(90 * 24 * 3_600_000),
            retention: 30 * 24 * 3_600_000,
            unpaid: vec![],
            older: vec![],
            sub_team: None,
            clock: Clock::system(),
            latency: Duration::ZERO,
        }
    }
}

/// Starts fakes of Linear.
pub struct Linear;

impl Linear {
    /// The account's personal API key by default.
    pub const KEY: &str = "lin_api_sample";

    /// Starts a fake for a world on a free local port. It runs on the current runtime until the handle is dropped.
    ///
    /// # Errors
    /// When no port can be bound, or the schema does not parse.
    pub async fn start(world: World, options: Options) -> io::Result<LinearHandle> {
        let settings =
            Settings { prefix: options.prefix.clone(), clock: options.clock.clone(), latency: options.latency };
        let site = Site::new(world, options)?;
        let world = Arc::clone(&site.world);
        Handle::start(site, world, settings).await
    }

    /// The id of an issue of the world, whatever it is in Linear: an issue, a project or an initiative.
    pub fn id(issue: IssueId) -> String {
        uuid(Kind::Issue, issue.0)
    }

    /// The id of a sprint of the world as a cycle.
    pub fn cycle_id(sprint: SprintId) -> String {
        uuid(Kind::Cycle, sprint.0)
    }

    /// The id of a user of the world.
    pub fn user_id(user: UserId) -> String {
        uuid(Kind::User, u32::from(user.0))
    }

    /// What a request body would be charged; none when it does not fit the schema.
    pub fn price(body: &Json) -> Option<f64> {
        let query: Query = serde_json::from_value(body.clone()).ok()?;
        let prepared = graphql::linear().ok()?.prepare(&query).ok()?;
        Some(price::of(&prepared.plan()))
    }

    /// A refusal because of a spent quota, as Linear words it: HTTP 400. `reset` is epoch milliseconds.
    pub fn rate_limited(reset: i64) -> Fault {
        let headers = [
            ("X-RateLimit-Requests-Limit", "2500".to_owned()),
            ("X-RateLimit-Requests-Remaining", "0".to_owned()),
            ("X-RateLimit-Requests-Reset", reset.to_string()),
        ];
        let body = errors("Rate limit exceeded", "RATELIMITED", "ratelimited", 429).to_string();
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Fault::Status { code: 400, headers, body }
    }
}

/// A running Linear. The API is at `/graphql` below its address. Dropping it stops it.
pub type LinearHandle = Handle<Site>;

impl Handle<Site> {
    /// From now on only these are let in.
    pub fn set_credentials(&self, credentials: Vec<Credential>) {
        *lock(&self.site.credentials) = credentials;
    }

    /// What was charged so far, in points: the sum over all queries that were executed.
    pub fn charged(&self) -> f64 {
        lock(&self.site.pools).charged
    }

    /// Attaches something to an issue.
    pub fn attach(&self, issue: IssueId, url: &str, title: &str, at: i64) {
        let mut attachments = lock(&self.site.attachments);
        let number = attachments.len() as u32 + 1;
        let (url, title) = (url.to_owned(), title.to_owned());
        attachments.push(Attachment { number, issue, url, title, at });
    }

    /// From now on this changes the body of every answer, given the name of the operation, and says its status. What a proxy or
    /// a server that is out of order might do.
    pub fn distort(&self, change: impl Fn(&str, &mut Json) -> u16 + Send + Sync + 'static) {
        *lock(&self.site.distortion) = Some(Box::new(change));
    }

    /// Answers are as they should be again.
    pub fn mend(&self) {
        *lock(&self.site.distortion) = None;
    }

    /// Deletes a cycle: it is listed nowhere any more.
    pub fn delete_cycle(&self, sprint: SprintId) {
        lock(&self.site.deleted_cycles).insert(Linear::cycle_id(sprint));
    }

    /// From now on this field of this issue fails: null, and an error beside the data. `None` ends that.
    pub fn spoil(&self, what: Option<(IssueId, &'static str)>) {
        *lock(&self.site.spoilt) = what;
    }
}

/// An attachment of an issue.
#[derive(Clone, Debug)]
struct Attachment {
    number: u32,
    issue: IssueId,
    url: String,
    title: String,
    at: i64,
}

/// A Linear workspace: the world behind it and how it behaves. [`LinearHandle`] is the way to it.
pub struct Site {
    engine: &'static Engine,
    world: Arc<Mutex<World>>,
    credentials: Mutex<Vec<Credential>>,
    options: Options,
    pools: Mutex<price::Pools>,
    attachments: Mutex<Vec<Attachment>>,
    spoilt: Mutex<Option<(IssueId, &'static str)>>,
    distortion: Mutex<Option<Box<Distortion>>>,
    deleted_cycles: Mutex<BTreeSet<String>>,
}

/// What changes the body of an answer to an operation of this name, and says its status.
type Distortion = dyn Fn(&str, &mut Json) -> u16 + Send + Sync;

impl Vendor for Site {
    fn answer(&self, call: &Call) -> Reply {
        if call.path != "/graphql" {
            return Reply::json(404, r#"{"message":"Not Found"}"#);
        }
        if call.method != http::Method::POST {
            return Reply::json(405, r#"{"message":"Method Not Allowed"}"#);
        }
        let now = self.options.clock.now();
        if let Err(reply) = self.let_in(call) {
            return reply;
        }
        let mut pools = lock(&self.pools);
        pools.refill(now);
        let reply = self.query(call, &mut pools, now).unwrap_or_else(|refusal| refusal);
        pools.headers(reply, now)
    }

    fn twisted(&self, _: &Call, _: Twist) -> Option<Reply> {
        None
    }
}

/// The schema without these fields. One that lacks some lives as long as the process.
fn engine(older: &[(&str, &str)]) -> io::Result<&'static Engine> {
    let whole = graphql::linear()?;
    if older.is_empty() {
        return Ok(whole);
    }
    let less = whole.without(&Without { fields: older, ..Without::default() }).map_err(io::Error::other)?;
    Ok(Box::leak(Box::new(less)))
}

impl Site {
    fn new(world: World, options: Options) -> io::Result<Self> {
        Ok(Self {
            engine: engine(&options.older)?,
            world: Arc::new(Mutex::new(world)),
            credentials: Mutex::new(options.credentials.clone()),
            pools: Mutex::new(price::Pools::new(&options)),
            options,
            attachments: Mutex::default(),
            spoilt: Mutex::default(),
            distortion: Mutex::default(),
            deleted_cycles: Mutex::default(),
        })
    }

    /// Checks, charges and executes.
    fn query(&self, call: &Call, pools: &mut price::Pools, now: i64) -> Result<Reply, Reply> {
        let query: Query = serde_json::from_slice(&call.body)
            .map_err(|_| refuse(400, "Malformed JSON body", "GRAPHQL_PARSE_FAILED", "graphql error"))?;
        let prepared = self.engine.prepare(&query).map_err(|refusals| invalid(&refusals))?;
        let price = price::of(&prepared.plan());
        pools.charge(price, &self.options)?;
        let world = lock(&self.world);
        let root = workspace::Workspace::new(self, &world, now);
        let outcome = prepared.execute(&root);
        let errors: Vec<Json> = outcome.errors.iter().map(field_error).collect();
        // Nothing but an error: Linear answers such a request with a bad status.
        let mut status = if outcome.data.is_none() && !errors.is_empty() { 400 } else { 200 };
        let mut body = json!({"data": outcome.data.unwrap_or_default()});
        if !errors.is_empty() {
            body["errors"] = Json::Array(errors);
        }
        if let Some(distortion) = &*lock(&self.distortion) {
            status = distortion(query.operation_name.as_deref().unwrap_or_default(), &mut body);
        }
        let body = serde_json::to_vec(&body).unwrap_or_default();
        Ok(Reply::json(status, body).with_header("X-Complexity", format!("{price:.1}")))
    }
}

fn field_error(error: &graphql::FieldError) -> Json {
    let kind = match error.failure.kind.as_str() {
        "INPUT_ERROR" => "invalid input",
        "FORBIDDEN" => "forbidden",
        _ => "internal error",
    };
    json!({
        "message": error.failure.message,
        "path": error.path,
        "locations": error.places,
        "extensions": {"code": error.failure.kind, "type": kind, "userError": kind == "invalid input"},
    })
}

/// The refusal of a document that does not fit the schema.
fn invalid(refusals: &[Refusal]) -> Reply {
    let errors = refusals.iter().map(|refusal| {
        json!({
            "message": refusal.message,
            "locations": refusal.place,
            "extensions": {"code": "GRAPHQL_VALIDATION_FAILED", "type": "graphql error", "http": {"status": 400}},
        })
    });
    let body = json!({"errors": errors.collect::<Vec<_>>()});
    Reply::json(400, body.to_string())
}

/// An error in Linear's words.
fn errors(message: &str, code: &str, kind: &str, status: u16) -> Json {
    json!({"errors": [{"message": message, "extensions": {
        "type": kind, "code": code, "statusCode": status, "userError": true, "userPresentableMessage": message,
        "http": {"status": 400},
    }}]})
}

fn refuse(status: u16, message: &str, code: &str, kind: &str) -> Reply {
    Reply::json(status, errors(message, code, kind, status).to_string())
}

/// What an id is of. The numbers are part of ids: never to be changed.
#[derive(Clone, Copy)]
enum Kind {
    Issue = 1,
    Team = 2,
    State = 3,
    Label = 4,
    User = 5,
    Cycle = 6,
    Act = 7,
    Span = 8,
    Link = 9,
    Milestone = 10,
    Attachment = 11,
    Workspace = 12,
    Copy = 13,
    Comment = 14,
}

/// An id in the form of all of Linear's.
fn uuid(kind: Kind, number: u32) -> String {
    format!("{:08x}-0000-4000-8000-{number:012x}", kind as u32)
}

/// A number for a name, the same in every run.
fn number_of(name: &str) -> u32 {
    name.bytes().fold(2_166_136_261, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

/// A time as Linear writes it.
fn time(at: i64) -> String {
    crate::world::timestamp(at).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn date(date: jiff::civil::Date) -> String {
    date.to_string()
}

#[cfg(test)]
mod tests;
