//! A fake of GitHub, github.com and Enterprise Server: its GraphQL API over a [`World`], executed against the vendor's own
//! schema.
//!
//! Read [`Github::start`], [`Options`] and [`GithubHandle`] first. The account [`Options::owner`] owns a repository for every
//! project of the world (named by its key) and a project for every board, with its sprints as iterations. `answer` handles a
//! request, `query` the root of what it can ask, `price` what that costs; `trouble` has the faults that look like
//! GitHub's.
//!
//! Shapes, limits and refusals follow the published schema and recorded answers; where those are silent, a comment says what
//! was chosen. Times are whole seconds, as GitHub's are.
//!
//! What it leaves to others: faults at large ([`crate::faults`]) and everything about sockets (`server`).

pub mod ailing;
mod answer;
mod auth;
mod facts;
mod ids;
mod issue;
mod people;
mod price;
mod project;
mod pulls;
mod query;
mod repository;
mod schema;
mod timeline;
pub mod trouble;
mod view;

use crate::faults::Twist;
use crate::graphql::{self, Engine, Without};
use crate::message::{Call, Reply};
use crate::server::{Handle, Settings, Vendor};
use crate::world::{BoardId, Content, IssueId, PullId, World};
use crate::{Clock, lock};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Which GitHub to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// github.com, with the schema of July 2026: `POST /graphql`.
    DotCom,
    /// An older Enterprise Server, which knows nothing of 2025 and 2026: `POST /api/graphql`.
    Enterprise,
}

/// What kind of token it is. They see different things and are refused in different words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A personal access token with scopes.
    Classic,
    /// A personal access token of one owner. It does not reach projects of users.
    FineGrained,
    /// An App installation's. It does not reach projects of users.
    App,
}

/// A token that is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub kind: TokenKind,
    /// Permissions it was not given: `projects`, `issues`, `pull_requests`, `contents`, `checks`, `deployments`.
    pub lacks: Vec<String>,
    /// When it stops working, epoch milliseconds; none: never.
    pub expires: Option<i64>,
}

impl Token {
    /// A classic token with every scope it takes.
    pub fn classic(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: TokenKind::Classic, lacks: vec![], expires: None }
    }

    /// A fine-grained token with every permission it takes.
    pub fn fine_grained(text: impl Into<String>) -> Self {
        Self { kind: TokenKind::FineGrained, ..Self::classic(text) }
    }

    /// An App installation's token with every permission it takes.
    pub fn app(text: impl Into<String>) -> Self {
        Self { kind: TokenKind::App, ..Self::classic(text) }
    }

    /// The same token, not allowed to read this.
    pub fn without(mut self, permission: &str) -> Self {
        self.lacks.push(permission.to_owned());
        self
    }
}

/// How a fake is to behave.
#[derive(Clone, Debug)]
pub struct Options {
    pub edition: Edition,
    /// A path in front of everything, such as `/gh`; empty for none.
    pub prefix: String,
    /// The login of the account that owns the repositories and projects.
    pub owner: String,
    /// Whether that account is a user, not an organisation.
    pub owner_is_user: bool,
    pub tokens: Vec<Token>,
    /// The App installation that may mint tokens.
    pub installation: u64,
    /// Points an hour; 0: rate limiting is switched off, as on most Enterprise Servers.
    pub points: u32,
    /// The largest page whose entries may hold two or more connections; the nodes of a larger one are all null.
    pub heavy_page: usize,
    /// Whether estimates live in the organisation's issue fields too, which have a history.
    pub estimate_on_issue: bool,
    /// What the server does not know besides, whatever its edition.
    pub lacks: Option<Without<'static>>,
    pub clock: Clock,
    /// How long every answer takes.
    pub latency: Duration,
}

impl Options {
    /// github.com, organisation [`Github::OWNER`], classic token [`Github::TOKEN`].
    pub fn dot_com() -> Self {
        Self {
            edition: Edition::DotCom,
            prefix: String::new(),
            owner: Github::OWNER.to_owned(),
            owner_is_user: false,
            tokens: vec![Token::classic(Github::TOKEN)],
            installation: Github::INSTALLATION,
            points: 5_000,
            heavy_page: 50,
            estimate_on_issue: false,
            lacks: None,
            clock: Clock::system(),
            latency: Duration::ZERO,
        }
    }

    /// An Enterprise Server without rate limits.
    pub fn enterprise() -> Self {
        Self { edition: Edition::Enterprise, points: 0, ..Self::dot_com() }
    }

    fn is_enterprise(&self) -> bool {
        self.edition == Edition::Enterprise
    }
}

/// Starts fakes of GitHub.
pub struct Github;

impl Github {
    /// The owner's login by default.
    pub const OWNER: &str = "acme";
    /// The login of whoever the token belongs to.
    pub const LOGIN: &str = "context-bot";
    /// The token by default.
    pub const TOKEN: &str = "ghp_sample";
    /// The project fields that GitHub keeps no history of, by the names their values have here.
    pub const UNRECORDED: [&str; 4] = ["Priority", "Estimate", "Sprint", "Due"];
    /// The App installation by default.
    pub const INSTALLATION: u64 = 4_711;

    /// Starts a fake for a world on a free local port. It runs on the current runtime until the handle is dropped.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(world: World, options: Options) -> io::Result<GithubHandle> {
        let engine = if options.is_enterprise() { schema::enterprise()? } else { graphql::github()? };
        let engine = match &options.lacks {
            // Lives as long as the process, as the others do.
            Some(lacks) => Box::leak(Box::new(engine.without(lacks).map_err(io::Error::other)?)),
            None => engine,
        };
        let settings =
            Settings { prefix: options.prefix.clone(), clock: options.clock.clone(), latency: options.latency };
        let world = Arc::new(Mutex::new(world));
        let tokens = Mutex::new(options.tokens.clone());
        let heavy_page = AtomicUsize::new(options.heavy_page);
        let site = Site {
            world: Arc::clone(&world),
            engine,
            tokens,
            forbidden: Mutex::default(),
            ailing: Mutex::default(),
            iterations: AtomicUsize::new(0),
            heavy_page,
            options,
            meter: Mutex::default(),
        };
        Handle::start(site, world, settings).await
    }

    /// The node id of an issue, as long as it stays in its repository.
    pub fn issue_id(world: &World, id: IssueId) -> String {
        ids::NodeId::Issue(world.issue(id).project(), id).to_string()
    }

    /// The node id of a project.
    pub fn project_id(board: BoardId) -> String {
        ids::NodeId::Project(board).to_string()
    }

    /// The node id of an item.
    pub fn item_id(board: BoardId, content: Content) -> String {
        ids::NodeId::Item(board, content).to_string()
    }

    /// The node id of a pull request.
    pub fn pull_id(id: PullId) -> String {
        ids::NodeId::Pull(id).to_string()
    }
}

/// A running GitHub; [`trouble`] has the faults that look like GitHub's. GraphQL is at `/graphql` below its address, on
/// Enterprise Server at `/api/graphql`. Dropping it stops it.
pub type GithubHandle = Handle<Site>;

impl Handle<Site> {
    /// The address of GraphQL.
    pub fn graphql_url(&self) -> String {
        let path = if self.site.options.is_enterprise() { "/api/graphql" } else { "/graphql" };
        format!("{}{path}", self.url())
    }

    /// Points spent so far, over all hours.
    pub fn points_spent(&self) -> i64 {
        lock(&self.site.meter).spent
    }

    /// From now on only these are let in.
    pub fn set_tokens(&self, tokens: Vec<Token>) {
        *lock(&self.site.tokens) = tokens;
    }

    /// From now on single sign-on keeps exactly these nodes from everybody: null with an error of type `FORBIDDEN`.
    pub fn forbid(&self, node_ids: Vec<String>) {
        *lock(&self.site.forbidden) = node_ids;
    }

    /// From now on exactly these nodes cannot be served.
    pub fn set_ailing(&self, nodes: Vec<ailing::Ailing>) {
        *lock(&self.site.ailing) = nodes;
    }

    /// Makes all iterations anew, as editing them through the API does: they get other ids, and the values of items with them.
    pub fn remake_iterations(&self) {
        self.site.iterations.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on pages larger than this come back with null nodes, as [`Options::heavy_page`] says.
    pub fn set_heavy_page(&self, most: usize) {
        self.site.heavy_page.store(most, Ordering::Relaxed);
    }
}

/// A GitHub site: the world behind it and how it behaves. [`GithubHandle`] is the way to it.
pub struct Site {
    world: Arc<Mutex<World>>,
    engine: &'static Engine,
    tokens: Mutex<Vec<Token>>,
    forbidden: Mutex<Vec<String>>,
    ailing: Mutex<Vec<ailing::Ailing>>,
    /// How often the iterations were made anew.
    iterations: AtomicUsize,
    heavy_page: AtomicUsize,
    options: Options,
    meter: Mutex<answer::Meter>,
}

impl Site {
    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    fn now(&self) -> i64 {
        self.options.clock.now()
    }
}

impl Vendor for Site {
    fn answer(&self, call: &Call) -> Reply {
        self.respond(call)
    }

    fn twisted(&self, _: &Call, _: Twist) -> Option<Reply> {
        None
    }
}

#[cfg(test)]
mod tests;
