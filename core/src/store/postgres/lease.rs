//! The lease: which process may write to the store now.
//!
//! A lease has a token, which grows with every owner, and a nonce, which nobody can guess and which changes whenever its owner does
//! not know what became of a write. Every write names both. It ends by the clock of the database; its owner stops earlier, by its
//! own monotonic clock, counted from before it asked for more time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::client::{Client, Connections, Value};
use super::failure::Failure;
use super::sql::{Sql, WRITER};
use crate::lock;
use crate::model::error::{Error, ErrorKind, Result};

/// A lease is renewed this often within its length.
const RENEWALS: u32 = 3;
/// How soon a renewal that failed is tried again, at the latest, and how often within the length of a lease at least.
const RETRY: Duration = Duration::from_secs(1);
const RETRIES: u32 = 9;
/// How long giving it back may take. It ends by itself otherwise.
const RELEASE: Duration = Duration::from_secs(2);

/// The right to write to a store that several processes have open.
pub struct Lease {
    client: Arc<Client>,
    state: Arc<State>,
}

struct State {
    sql: Arc<Sql>,
    connections: Arc<Connections>,
    owner: String,
    length: Duration,
    held: Mutex<Option<Held>>,
    /// Whether it is held, for those who wait for its end.
    is_held: watch::Sender<bool>,
    /// The newest journal head that this process has committed or read: what the `head` file is beside a directory.
    head: AtomicU64,
}

/// What proves that a lease is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) token: i64,
    pub(super) nonce: i64,
    /// The nonce that may have taken its place already.
    next: Option<i64>,
    until: Instant,
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Grows with every owner.
    pub token: u64,
    /// The process, such as `host (pid 7)`; empty when nobody holds it.
    pub owner: String,
    /// How long it holds it unless it asks for more time.
    pub left: Duration,
    /// Whether that is this process.
    pub is_ours: bool,
}

impl Lease {
    pub(super) fn new(client: &Arc<Client>, sql: &Arc<Sql>, length: Duration) -> Self {
        let state = State {
            sql: Arc::clone(sql),
            connections: client.lease(),
            owner: owner(),
            length,
            held: Mutex::default(),
            is_held: watch::Sender::new(false),
            head: AtomicU64::new(0),
        };
        Self { client: Arc::clone(client), state: Arc::new(state) }
    }

    /// Takes the lease, unless another process holds it. From then on it is renewed.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer, or asks for a newer program.
    pub fn acquire(&self) -> Result<bool> {
        if self.state.current().is_some() {
            return Ok(true);
        }
        let state = Arc::clone(&self.state);
        let taken = self.client.wait(async move { state.take().await })?;
        let is_taken =
            taken.map_err(|failure| failure.into_error("take the lease of the store", self.client.place()))?;
        if is_taken && let Some(handle) = self.client.handle() {
            handle.spawn(renew(Arc::downgrade(&self.state), self.proof()?.token));
        }
        Ok(is_taken)
    }

    /// Gives the lease back, so that another process need not wait for its end.
    pub fn release(&self) {
        let Some(held) = self.state.current() else { return };
        self.state.lose(held);
        let state = Arc::clone(&self.state);
        let released = self.client.wait(async move {
            let values = held.values();
            tokio::time::timeout(RELEASE, state.connections.query(&state.sql.release, &values)).await.is_ok()
        });
        tracing::debug!(?released, "gave the lease of the store back");
    }

    /// Waits until it is no longer held.
    pub async fn lost(&self) {
        let mut is_held = self.state.is_held.subscribe();
        // The sender lives as long as this.
        drop(is_held.wait_for(|is_held| !is_held).await);
    }

    /// Whether this process holds it.
    pub fn is_held(&self) -> bool {
        self.state.current().is_some()
    }

    /// Who holds it.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn holder(&self) -> Result<Holder> {
        let rows = self.client.read(&self.state.sql.lease, Vec::new())?;
        let row = rows.first().ok_or_else(|| Error::new(ErrorKind::Store, "the lease row of the store is missing"))?;
        check_writer(row.get(4))?;
        let (token, left) = (row.get::<_, i64>(0), row.get::<_, i64>(2));
        let left = Duration::from_millis(left.unsigned_abs());
        let owner = if left.is_zero() { String::new() } else { row.get(1) };
        let is_ours = self.state.current().is_some_and(|held| held.token == token);
        Ok(Holder { token: token.unsigned_abs(), owner, left, is_ours })
    }

    /// Asks the process that has the lease to read a source soon.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn wake(&self, source: &str) -> Result<()> {
        self.client.read(&self.state.sql.wake, vec![(Box::new(source.to_owned()), Type::TEXT)]).map(drop)
    }

    /// The sources that other processes asked to be read since the last time.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn woken(&self) -> Result<Vec<String>> {
        let woken = self.client.once(&self.state.sql.woken, Vec::new());
        let woken = woken.map_err(|failure| failure.into_error("read the store", self.client.place()))?;
        Ok(woken.iter().map(|row| row.get(0)).collect())
    }

    /// Which of these sources nobody has been woken for yet.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn unheeded(&self, sources: &[String]) -> Result<Vec<String>> {
        let rows = self.client.read(&self.state.sql.unheeded, vec![(Box::new(sources.to_vec()), Type::TEXT_ARRAY)])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Asks no longer for these sources.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn withdraw(&self, sources: &[String]) -> Result<()> {
        let sources: Vec<Value> = vec![(Box::new(sources.to_vec()), Type::TEXT_ARRAY)];
        self.client.read(&self.state.sql.withdraw, sources).map(drop)
    }

    /// What a write has to name.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] with the context `standby` when the lease is not held.
    pub(super) fn proof(&self) -> Result<Held> {
        self.state.current().ok_or_else(not_held)
    }

    /// What a write has to name from now on: whatever was sent with another nonce changes nothing any more.
    pub(super) fn rotate(&self) -> Result<Held> {
        let held = self.state.with_next_nonce().ok_or_else(not_held)?;
        let state = Arc::clone(&self.state);
        let rotated =
            self.client.wait(async move { state.connections.read(&state.sql.rotate, &held.values()).await })?;
        match rotated {
            Ok(rows) if rows.is_empty() => {
                self.state.lose(held);
                Err(not_held())
            }
            Ok(_) => self.state.rotated().ok_or_else(not_held),
            Err(failure) => Err(failure.into_error("find out whether the last write was stored", self.client.place())),
        }
    }

    /// Another process has taken over what this proved.
    pub(super) fn was_lost(&self, held: Held) -> Error {
        self.state.lose(held);
        not_held()
    }

    /// Notes a commit of this process.
    pub(super) fn committed(&self, head: u64) {
        self.state.head.fetch_max(head, Ordering::Relaxed);
    }

    /// Compares the journal head of the database with the newest that this process has committed or read. A database that is behind
    /// was replaced by a standby that lagged, or recovered to an earlier moment: the lease is given back, so that whoever takes it
    /// reads everything again.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] with the context `standby` when commits are missing.
    pub(in super::super) fn check_kept(&self, head: u64) -> Result<()> {
        let last = self.state.head.load(Ordering::Relaxed);
        if head >= last {
            return Ok(());
        }
        self.release();
        Err(lost_commits(head, last))
    }

    #[cfg(test)]
    pub(super) fn last_seen(&self) -> u64 {
        self.state.head.load(Ordering::Relaxed)
    }

    /// The same for a process that has just taken the lease, or stands by: says what is missing, and goes on from what there is.
    pub(in super::super) fn accept(&self, head: u64) {
        let last = self.state.head.swap(head, Ordering::Relaxed);
        if head < last {
            tracing::error!("{}", lost_commits(head, last).full());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.release();
    }
}

impl State {
    fn current(&self) -> Option<Held> {
        lock(&self.held).filter(|held| Instant::now() < held.until)
    }

    /// Forgets a lease, unless another one was taken since.
    fn lose(&self, lost: Held) {
        let mut held = lock(&self.held);
        if held.is_some_and(|held| held.token == lost.token) {
            *held = None;
            self.is_held.send_replace(false);
        }
    }

    async fn take(&self) -> Result<bool, Failure> {
        let (nonce, asked): (i64, _) = (rand::random(), Instant::now());
        let values: Vec<Value> = vec![
            (Box::new(nonce), Type::INT8),
            (Box::new(self.owner.clone()), Type::TEXT),
            (Box::new(self.milliseconds()), Type::INT8),
            (Box::new(WRITER), Type::INT4),
        ];
        let rows = self.connections.query(&self.sql.acquire, &values).await?;
        let Some(token) = rows.first().map(|row: &Row| row.get(0)) else { return Ok(false) };
        *lock(&self.held) = Some(Held { token, nonce, next: None, until: asked + self.length });
        self.is_held.send_replace(true);
        Ok(true)
    }

    /// Asks for more time; whether the lease is still held.
    async fn extend(&self, held: Held) -> Result<bool, Failure> {
        let asked = Instant::now();
        let mut values = held.values();
        values
            .extend([(Box::new(self.milliseconds()) as Box<_>, Type::INT8), (Box::new(WRITER) as Box<_>, Type::INT4)]);
        let is_held = !self.connections.query(&self.sql.renew, &values).await?.is_empty();
        if let Some(now) = lock(&self.held).as_mut().filter(|now| is_held && now.token == held.token) {
            now.until = asked + self.length;
        }
        Ok(is_held)
    }

    /// Asks for more time, as long as there is some left; `None` when there was not enough.
    async fn renewal(&self, held: Held) -> Option<Result<bool, Failure>> {
        let left = held.until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        tokio::time::timeout(left, self.extend(held)).await.ok()
    }

    /// Whether another nonce is in use by now.
    fn has_changed(&self, held: Held) -> bool {
        lock(&self.held).is_some_and(|now| (now.nonce, now.next) != (held.nonce, held.next))
    }

    fn with_next_nonce(&self) -> Option<Held> {
        let mut held = lock(&self.held);
        let held = held.as_mut()?;
        held.next.get_or_insert_with(rand::random);
        Some(*held)
    }

    fn rotated(&self) -> Option<Held> {
        let mut held = lock(&self.held);
        let held = held.as_mut()?;
        if let Some(next) = held.next.take() {
            held.nonce = next;
        }
        Some(*held)
    }

    fn milliseconds(&self) -> i64 {
        i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Held {
    /// Token and nonce, and the one that may have taken its place.
    fn values(&self) -> Vec<Value> {
        let next = self.next.unwrap_or(self.nonce);
        vec![(Box::new(self.token), Type::INT8), (Box::new(self.nonce), Type::INT8), (Box::new(next), Type::INT8)]
    }
}

/// Renews a lease until it is lost, given back or forgotten.
async fn renew(lease: Weak<State>, token: i64) {
    let mut is_failing = false;
    loop {
        let Some(length) = lease.upgrade().map(|state| state.length) else { return };
        tokio::time::sleep(if is_failing { RETRY.min(length / RETRIES) } else { length / RENEWALS }).await;
        let Some(state) = lease.upgrade() else { return };
        let Some(held) = lock(&state.held).filter(|held| held.token == token) else { return };
        match state.renewal(held).await {
            Some(Ok(true)) => is_failing = false,
            // The nonce changed meanwhile, which is no loss.
            Some(Ok(false)) if state.has_changed(held) => is_failing = true,
            Some(Err(failure)) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(?failure, "could not renew the lease of the store; trying again");
                }
            }
            Some(Ok(false)) | None => {
                state.lose(held);
                return tracing::warn!("the lease of the store was lost; another process may write to it now");
            }
        }
    }
}

/// Fails when the tables ask for a newer program.
pub(super) fn check_writer(least: i32) -> Result<()> {
    if least <= WRITER {
        return Ok(());
    }
    let text = "open the store: a newer version of this program changed its tables; upgrade this one";
    Err(Error::new(ErrorKind::Store, text).with("min_writer", least).with("supported", WRITER))
}

fn not_held() -> Error {
    let text = "write to the store: another contextcore has its lease, or this one could not renew it; it goes on from what is \
                stored (nothing was lost)";
    Error::new(ErrorKind::Store, text).tagged("standby", "true").tagged("conflict", "true")
}

fn lost_commits(head: u64, last: u64) -> Error {
    let text =
        "the database lost commits that it had confirmed; what they held is read and exported again from what it has";
    Error::new(ErrorKind::Store, text).tagged("standby", "true").with("head", head).with("last", last)
}

/// The name of this process.
fn owner() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host} (pid {})", std::process::id())
}
