//! How GitHub is asked: with which token, how often, for what the server knows, and how many points are left. [`super::calls`] has
//! the questions, [`super::answer`] reads the answers, [`super::batch`] fetches nodes by their ids, and [`super::lists`] what follows
//! in long lists.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contextcore_core::clock;
use contextcore_core::config::CommentPrivacy;
use contextcore_core::http::{Auth, Session, SessionConfig, Stats, Tries};
use contextcore_core::model::time::SECOND;
use contextcore_core::{Error, ErrorKind, Millis, Result, Secret, lock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::answer::{Answer, GraphError, Reply, gave_up, none};
use super::app::{App, Minted};
use super::dialect::{BUCKETS, GRAPHQL, GitHubDialect, Scopes};
use super::features::{INTROSPECTION, Known, Missing, WHO};
use super::queries::Documents;
use super::settings::Settings;
use crate::graphql::Operation;

/// Tries of a query that can be made smaller: a second timeout says that it is too large.
const TRIES: Tries = Tries(2);
/// The same once a query has failed for good in this run: patience was shown, and what fails is probably the same again.
const ONE_TRY: Tries = Tries(1);
/// Tries of a query that cannot.
pub(super) const ALL_TRIES: Tries = Tries(u32::MAX);
/// Waits before a query is asked again that GitHub gave up on in a complete answer, and that cannot be made smaller.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// How far clocks may differ without meaning anything: a `Date` is a whole second, and an answer takes its time.
const CLOCKS: i64 = 5 * SECOND;
/// Below this share of the hour's points only what has begun is finished.
const LOW_PERCENT: u64 = 10;

/// GitHub, with one credential.
pub(super) struct Api {
    session: Session,
    app: Option<App>,
    minted: tokio::sync::Mutex<Option<Minted>>,
    /// The moment of the last run, and when that was by the monotonic clock.
    clock: Mutex<Option<(Millis, Instant)>>,
    points: Mutex<Option<Points>>,
    /// What the server does not know.
    missing: Mutex<Missing>,
    documents: Mutex<Documents>,
    /// A query failed for good in this run.
    has_failed: AtomicBool,
    comments: CommentPrivacy,
    scopes: Scopes,
}

/// What is left of the hour's points.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Points {
    limit: u64,
    remaining: u64,
    reset_at: Millis,
}

impl Points {
    /// Whether so little is left that only what has begun should go on. A limit of 0 is none at all.
    fn are_low(self) -> bool {
        self.limit > 0 && self.remaining * 100 < self.limit * LOW_PERCENT
    }
}

/// One node.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned", rename_all = "camelCase")]
pub(super) struct One<T> {
    pub(super) rate_limit: Option<Points>,
    #[serde(default = "none", alias = "repository")]
    pub(super) node: Option<T>,
}

/// Who we are, and what the server knows.
#[derive(Debug, Deserialize)]
struct Start {
    viewer: Option<Viewer>,
    #[serde(flatten)]
    known: Known,
}

/// Whom the credential belongs to.
#[derive(Debug, Deserialize)]
pub(super) struct Viewer {
    pub(super) login: String,
}

impl Api {
    /// Sends nothing yet.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let scopes = Scopes::default();
        let session = || {
            let dialect = GitHubDialect { scopes: scopes.clone() };
            let mut config = SessionConfig::new(&settings.url, Auth::None, BUCKETS, dialect);
            config.tls_ca_file.clone_from(&settings.tls_ca_file);
            Session::new(config)
        };
        let app = |app| Ok::<_, Error>(App::new(app, &settings.url, session()?));
        Ok(Self {
            session: session()?,
            app: settings.app.as_ref().map(app).transpose()?,
            minted: tokio::sync::Mutex::default(),
            clock: Mutex::default(),
            points: Mutex::default(),
            missing: Mutex::default(),
            documents: Mutex::default(),
            has_failed: AtomicBool::new(false),
            comments: settings.comments,
            scopes,
        })
    }

    /// Sends this token from now on; an App signs with it from now on.
    pub(super) fn authorize(&self, credential: &Secret) -> Result<()> {
        match &self.app {
            Some(app) => app.set_key(credential),
            None => self.session.authorize(&Auth::Bearer(credential.clone())),
        }
    }

    /// The scopes of a classic token; other credentials have none.
    pub(super) fn scopes(&self) -> Vec<String> {
        self.scopes.get().cloned().unwrap_or_default()
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = self.session.stats();
        stats.requests += self.app.as_ref().map_or(0, App::requests);
        stats
    }

    /// Sets the moment a run began.
    pub(super) fn set_now(&self, now: Millis) {
        let mut clock = lock(&self.clock);
        if clock.is_none_or(|(known, _)| known != now) {
            *clock = Some((now, Instant::now()));
            self.has_failed.store(false, Ordering::Relaxed);
        }
    }

    /// The moment it is, by the run and how long ago it began.
    pub(super) fn now(&self) -> Millis {
        let clock = *lock(&self.clock);
        let Some((then, at)) = clock else { return Millis(0) };
        then.plus(i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// What the server does not know.
    pub(super) fn missing(&self) -> Missing {
        lock(&self.missing).clone()
    }

    /// Adds what was learnt in earlier runs of what the server does not know.
    pub(super) fn know(&self, earlier: Missing) {
        lock(&self.missing).add(earlier);
    }

    pub(super) const fn comments(&self) -> CommentPrivacy {
        self.comments
    }

    /// The latest moment that a cursor may move to: now, by the slower of our clock and the vendor's.
    pub(super) fn limit(&self, now: Millis) -> Millis {
        let theirs = self.session.stats().clock_skew_ms.map(|ahead| clock::now().plus(ahead));
        theirs.filter(|theirs| theirs.plus(CLOCKS) < now).unwrap_or(now)
    }

    /// Tries of a query for so many rows.
    pub(super) fn tries(&self, rows: usize) -> Tries {
        if rows > 1 && !self.has_failed.load(Ordering::Relaxed) { TRIES } else { ONE_TRY }
    }

    /// Notes a failure that was not overcome by trying again.
    pub(super) fn note_failure(&self, error: &Error) {
        if error.kind() == ErrorKind::Unavailable && !gave_up(error) {
            self.has_failed.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn note(&self, points: Option<Points>) {
        if let Some(points) = points {
            debug!(remaining = points.remaining, limit = points.limit, "points left");
            *lock(&self.points) = Some(points);
        }
    }

    /// How long new work should wait, when the hour's points are nearly spent.
    pub(super) fn low_for(&self) -> Option<Duration> {
        let points = (*lock(&self.points)).filter(|points| points.are_low())?;
        let left = u64::try_from(points.reset_at.0 - self.now().0).ok().filter(|left| *left > 0)?;
        Some(Duration::from_millis(left))
    }

    /// Asks for what the server knows, and for less once its refusal says what it does not. A query that cannot be made smaller
    /// is asked again when GitHub gives up over it.
    pub(super) async fn ask<O, T>(&self, operation: &O, tries: Tries) -> Result<Answer<T>>
    where
        O: Operation<Document = ()>,
        T: DeserializeOwned,
    {
        for pause in PAUSES.iter().filter(|_| tries == ALL_TRIES) {
            match self.ask_once(operation, tries).await {
                Err(error) if gave_up(&error) => tokio::time::sleep(*pause).await,
                answer => return answer,
            }
        }
        self.ask_once(operation, tries).await
    }

    async fn ask_once<O, T>(&self, operation: &O, tries: Tries) -> Result<Answer<T>>
    where
        O: Operation<Document = ()>,
        T: DeserializeOwned,
    {
        loop {
            let missing = self.missing();
            let query = lock(&self.documents).get(O::NAME, &missing);
            let body = json!({"query": &*query, "variables": operation, "operationName": O::NAME});
            let reply: Reply<T> = self.send(&body, tries).await?;
            if !self.learn(missing, &reply.refusals()) {
                return reply.read();
            }
        }
    }

    /// Learns from refusals what the server does not know. Whether that was news.
    fn learn(&self, mut missing: Missing, refusals: &[String]) -> bool {
        let is_news = missing.learn(refusals.iter().map(String::as_str));
        if is_news {
            warn!(refusal = refusals.first(), "the server knows less than it said, asking for less");
            lock(&self.missing).add(missing);
        }
        is_news
    }

    /// Sends one query. With an App the token is renewed before it ends, and once when it is refused.
    async fn send<T: DeserializeOwned>(&self, body: &impl Serialize, tries: Tries) -> Result<T> {
        let minted = self.authorise(false).await?;
        match self.session.post_with(GRAPHQL, "graphql", body, tries).await {
            Err(error) if minted && error.kind() == ErrorKind::Auth => {
                info!("the App's token was refused, minting another");
                self.authorise(true).await?;
                self.session.post_with(GRAPHQL, "graphql", body, tries).await
            }
            reply => reply,
        }
    }

    /// Sees to it that an App has a token. Whether there is an App at all.
    async fn authorise(&self, anew: bool) -> Result<bool> {
        let Some(app) = &self.app else { return Ok(false) };
        let mut minted = self.minted.lock().await;
        let now = self.now();
        if anew || minted.as_ref().is_none_or(|minted| minted.is_old(now)) {
            let fresh = app.mint(now).await?;
            self.session.authorize(&Auth::Bearer(fresh.token.clone()))?;
            *minted = Some(fresh);
        }
        Ok(true)
    }

    /// Who we are; and learns what the server knows. One that does not say it is asked for everything: its refusals say what it
    /// lacks.
    pub(super) async fn start(&self) -> Result<Viewer> {
        let (answer, missing) = match self.begin(INTROSPECTION).await {
            Err(error) if error.kind() == ErrorKind::Rejected => (self.begin(WHO).await?, Missing::default()),
            answer => answer.map(|answer| {
                let missing = answer.data.known.missing();
                (answer, missing)
            })?,
        };
        *lock(&self.missing) = missing;
        viewer(answer.data.viewer, answer.errors)
    }

    async fn begin(&self, query: &str) -> Result<Answer<Start>> {
        let body = json!({"query": query, "variables": {}, "operationName": "Start"});
        let mut pauses = PAUSES.iter();
        loop {
            let answer = self.send::<Reply<Start>>(&body, ALL_TRIES).await?.read();
            match (answer, pauses.next()) {
                (Err(error), Some(pause)) if gave_up(&error) => tokio::time::sleep(*pause).await,
                (answer, _) => return answer,
            }
        }
    }
}

pub(super) fn viewer(viewer: Option<Viewer>, errors: Vec<GraphError>) -> Result<Viewer> {
    let refusal = || errors.into_iter().next().map(GraphError::into_error);
    match viewer {
        Some(viewer) => Ok(viewer),
        None => Err(refusal().unwrap_or_else(|| Error::new(ErrorKind::Auth, "the token belongs to no account"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_limits_is_never_low() {
        let points = |limit, remaining| Points { limit, remaining, reset_at: Millis(0) };
        assert!(points(5_000, 499).are_low() && !points(5_000, 500).are_low() && !points(0, 0).are_low());
    }
}
