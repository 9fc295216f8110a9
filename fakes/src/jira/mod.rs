//! A fake of Jira, Cloud and Data Center: the reading half of its REST API over a [`World`].
//!
//! Read [`Jira::start`], [`Options`] and [`JiraHandle`] first. Shapes, limits and refusals follow the vendor's
//! OpenAPI files and recorded answers; where those are silent, a comment says what was chosen. `routes` maps paths to
//! answers, `jql` and `search` find issues, `render` and `changelog` write them, `reference` and `agile` the rest.
//!
//! What it leaves to others: faults ([`crate::faults`]) and everything about sockets (`server`).

mod agile;
mod auth;
mod changelog;
mod fields;
mod jql;
mod json;
mod names;
mod reference;
mod render;
mod routes;
mod search;
mod spoiled;

use crate::faults::Twist;
use crate::message::{Call, Reply};
use crate::server::{Handle, Settings, Vendor};
use crate::world::World;
use crate::{Clock, lock};
use jiff::tz::TimeZone;
pub use spoiled::Trouble;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Which Jira to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    Cloud,
    DataCenter,
}

/// What a caller may show to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// An API token of Cloud, or a password of Data Center.
    Basic { user: String, token: String },
    /// An OAuth access token of Cloud, or a personal access token of Data Center.
    Bearer(String),
}

/// The form of `created` in the bulk changelog. The specification and live answers disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkTime {
    Millis,
    Seconds,
    Iso,
}

/// How the bulk changelog is sorted over several issues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkOrder {
    /// By date, then issue, as documented: any issue may be on any page.
    Date,
    /// Issue by issue: only one issue is split between two pages.
    Issue,
}

/// How a fake is to behave.
#[derive(Clone, Debug)]
pub struct Options {
    pub edition: Edition,
    /// A context path such as `/jira`; empty for none.
    pub prefix: String,
    /// The zone in the account's profile: JQL is read in it and times are written in it.
    pub time_zone: String,
    pub credentials: Vec<Credential>,
    /// Whether callers without a valid credential are let in, to see nothing.
    pub anonymous: bool,
    /// Most issues on a search page that shows fields.
    pub max_search_page: usize,
    /// Most comments that come with an issue; Data Center gives all.
    pub inline_comments: usize,
    pub bulk_time: BulkTime,
    pub bulk_order: BulkOrder,
    /// Whether issue linking is switched on.
    pub linking: bool,
    pub clock: Clock,
    /// How long every answer takes.
    pub latency: Duration,
}

impl Options {
    /// Cloud, as [`Jira::EMAIL`] with [`Jira::TOKEN`].
    pub fn cloud() -> Self {
        let credential = Credential::Basic { user: Jira::EMAIL.to_owned(), token: Jira::TOKEN.to_owned() };
        Self {
            edition: Edition::Cloud,
            prefix: String::new(),
            time_zone: "Etc/UTC".to_owned(),
            credentials: vec![credential],
            anonymous: false,
            max_search_page: 100,
            inline_comments: 100,
            bulk_time: BulkTime::Millis,
            bulk_order: BulkOrder::Date,
            linking: true,
            clock: Clock::system(),
            latency: Duration::ZERO,
        }
    }

    /// Data Center, with the personal access token [`Jira::TOKEN`].
    pub fn data_center() -> Self {
        let credentials = vec![Credential::Bearer(Jira::TOKEN.to_owned())];
        // The vendor's default of `jira.search.views.default.max`.
        Self { edition: Edition::DataCenter, credentials, max_search_page: 1_000, ..Self::cloud() }
    }
}

/// Starts fakes of Jira.
pub struct Jira;

impl Jira {
    /// The account's e-mail address by default.
    pub const EMAIL: &str = "bot@example.com";
    /// The account's token by default.
    pub const TOKEN: &str = "sample-token";

    /// Starts a fake for a world on a free local port. It runs on the current runtime until the handle is dropped.
    ///
    /// # Errors
    /// When no port can be bound, or the time zone is unknown.
    pub async fn start(world: World, options: Options) -> io::Result<JiraHandle> {
        let zone = TimeZone::get(&options.time_zone).map_err(io::Error::other)?;
        let settings =
            Settings { prefix: options.prefix.clone(), clock: options.clock.clone(), latency: options.latency };
        let world = Arc::new(Mutex::new(world));
        let credentials = Mutex::new(options.credentials.clone());
        let site = Site {
            world: Arc::clone(&world),
            zone,
            credentials,
            options,
            totals: Mutex::default(),
            spoiled: Mutex::default(),
            names: Mutex::default(),
        };
        Handle::start(site, world, settings).await
    }
}

/// A running Jira. Dropping it stops it.
pub type JiraHandle = Handle<Site>;

impl Handle<Site> {
    /// From now on only these are let in.
    pub fn set_credentials(&self, credentials: Vec<Credential>) {
        *lock(&self.site.credentials) = credentials;
    }
}

/// A Jira site: the world behind it and how it behaves. [`JiraHandle`] is the way to it.
pub struct Site {
    world: Arc<Mutex<World>>,
    zone: TimeZone,
    credentials: Mutex<Vec<Credential>>,
    options: Options,
    totals: Mutex<search::Totals>,
    spoiled: Mutex<Vec<spoiled::Spoiled>>,
    names: Mutex<names::Names>,
}

impl Site {
    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    fn is_cloud(&self) -> bool {
        self.options.edition == Edition::Cloud
    }

    fn now(&self) -> i64 {
        self.options.clock.now()
    }

    /// The version of the platform API that links point to.
    fn version(&self) -> u8 {
        if self.is_cloud() { 3 } else { 2 }
    }

    /// A time as Jira writes it: in the account's zone, milliseconds, no colon in the offset.
    fn time(&self, at: i64) -> String {
        let zoned = crate::world::timestamp(at).to_zoned(self.zone.clone());
        zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f%z").to_string()
    }
}

impl Vendor for Site {
    fn answer(&self, call: &Call) -> Reply {
        let caller = self.caller(call);
        self.unless_spoiled(call, self.respond(call, caller))
    }

    fn twisted(&self, call: &Call, twist: Twist) -> Option<Reply> {
        match twist {
            Twist::AnonymousEmpty => Some(self.respond(call, auth::Caller::Anonymous)),
            Twist::RepeatToken => search::repeat_token(call, &self.answer(call)),
        }
    }
}

/// A time as the agile API writes it: UTC.
fn agile_time(at: i64) -> String {
    crate::world::timestamp(at).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// An error in Jira's words.
fn refuse(status: u16, message: &str) -> Reply {
    refuse_all(status, &[message.to_owned()])
}

fn refuse_all(status: u16, messages: &[String]) -> Reply {
    let body = json::object(|json| {
        json.name("errorMessages").array(|json| messages.iter().for_each(|message| json.text(message)));
        json.name("errors").object(|_| {});
    });
    Reply::json(status, body)
}

#[cfg(test)]
mod tests;
