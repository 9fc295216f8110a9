//! What a process holds of a store that several share, and how it takes, renews and gives back leases. [`super::lease`] is what others
//! see of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::format;
use super::super::kv::Guard;
use super::super::unit::Unit;
use super::client::{Connections, Value, text, texts};
use super::failure::Failure;
use super::remembered::{Remembered, Tenure};
use super::sql::{Sql, WRITER};
use crate::lock;
use crate::model::error::Error;

/// A lease is renewed this often within its length.
const RENEWALS: u32 = 3;
/// How soon a renewal that failed is tried again, at the latest, and how often within the length of a lease at least.
const RETRY: Duration = Duration::from_secs(1);
const RETRIES: u32 = 9;
/// The name of the lease of the whole store.
pub(super) const WHOLE: &str = "";
/// What the names of the leases of replicas begin with.
const REPLICA: &str = "replica/";
/// How many processes of one name may share a store. In containers the process has the same number on every host.
const NAMESAKES: usize = 9;

/// The part of a lease that lives as long as it is renewed.
pub(super) struct State {
    pub(super) sql: Arc<Sql>,
    pub(super) connections: Arc<Connections>,
    pub(super) length: Duration,
    pub(super) held: Mutex<Option<Held>>,
    /// Whether anything is held, for those who wait for its end.
    pub(super) is_held: watch::Sender<bool>,
    /// Units that are about to be given back, and how many work on each unit.
    pub(super) leaving: Mutex<BTreeSet<Unit>>,
    pub(super) working: watch::Sender<BTreeMap<Unit, usize>>,
    /// The newest journal head that this process has committed or read: what the `head` file is beside a directory.
    pub(super) head: AtomicU64,
    /// What nobody else writes while it is held.
    pub(super) remembered: Remembered,
    /// Why the last attempt to write or to take part failed, if the database is why.
    pub(super) trouble: Mutex<Option<String>>,
}

/// What this process holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// What others call it.
    pub(super) owner: String,
    pub(super) nonce: i64,
    /// The nonce that may have taken its place already.
    pub(super) next: Option<i64>,
    pub(super) until: Instant,
    /// The token of each lease, by name.
    pub(super) tokens: BTreeMap<String, i64>,
    /// The number that the database has of the last commit under each of them: one of these, where an answer was lost.
    pub(super) committed: BTreeMap<String, Vec<i64>>,
}

/// What proves that a lease is held.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub(super) name: String,
    pub(super) token: i64,
    pub(super) nonce: i64,
    /// What the last commit under it was.
    pub(super) committed: Vec<i64>,
}

impl State {
    /// Notes whether the database accepted a write or the request to take part. Another owner of a lease is no trouble of it.
    pub(super) fn note<T>(&self, done: Result<&T, &Error>) {
        *lock(&self.trouble) = done.err().filter(|error| !is_of_others(error)).map(Error::full);
    }

    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    pub(super) fn current(&self) -> Option<Held> {
        lock(&self.held).clone().filter(|held| Instant::now() < held.until)
    }

    /// Forgets what is held, unless it was taken again since.
    pub(super) fn lose(&self, lost: &Held) {
        self.remembered.forget();
        let mut held = lock(&self.held);
        if held.as_ref().is_some_and(|held| held.is_of(lost)) {
            *held = None;
            lock(&self.leaving).clear();
            self.is_held.send_replace(false);
        }
    }

    /// Forgets one lease. Without that of the store or of the replica there is nothing left.
    pub(super) fn lose_one(&self, name: &str, token: i64) {
        self.remembered.forget();
        let mut held = lock(&self.held);
        let Some(known) = held.as_mut().filter(|held| held.tokens.get(name) == Some(&token)) else { return };
        known.tokens.remove(name);
        if !known.is_anything() {
            *held = None;
            self.is_held.send_replace(false);
        }
    }

    /// Forgets some leases. Returns what was held.
    pub(super) fn forget(&self, names: &[String]) -> Option<Held> {
        self.remembered.forget();
        let mut held = lock(&self.held);
        let known = held.as_mut()?;
        let before = known.clone();
        known.tokens.retain(|name, _| !names.contains(name));
        Some(before)
    }

    pub(super) async fn take_whole(&self) -> Result<bool, Failure> {
        let (nonce, asked, owner): (i64, _, _) = (rand::random(), Instant::now(), owner());
        let values = self.taking(nonce, &owner);
        let rows = self.connections.query(&self.sql.acquire, &values).await?;
        let Some(token) = rows.first().map(token_of) else { return Ok(false) };
        let held = self.fresh(owner, nonce, asked, (WHOLE.to_owned(), token));
        // Another may have joined in the same moment. Whoever looks last sees the other.
        self.kept_if(&self.sql.is_alone, held).await
    }

    pub(super) async fn join(&self, units: Vec<String>) -> Result<bool, Failure> {
        let head: Vec<Value> = vec![(Box::new(Guard::key()), Type::BYTEA), (Box::new(first_head()), Type::BYTEA)];
        for namesake in 0..NAMESAKES {
            let (nonce, asked): (i64, _) = (rand::random(), Instant::now());
            let owner = if namesake == 0 { owner() } else { format!("{} #{}", owner(), namesake + 1) };
            let name = format!("{REPLICA}{owner}");
            let mut values = self.taking(nonce, &owner);
            values.extend([text(name.clone()), texts(units.clone())]);
            let rows = self.connections.query(&self.sql.join, &values).await?;
            let Some(token) = rows.first().map(token_of) else { continue };
            // Two writers would not meet at a head that is not there.
            self.connections.query(&self.sql.make_head, &head).await?;
            let held = self.fresh(owner, nonce, asked, (name, token));
            return self.kept_if(&self.sql.has_no_owner, held).await;
        }
        Ok(false)
    }

    /// Notes in the lease of this replica which units it knows; false when it is not held any more.
    pub(super) async fn describe(&self, held: &Held, units: Vec<String>) -> Result<bool, Failure> {
        let mut values = self.values(held, vec![format!("{REPLICA}{}", held.owner)]);
        values.push(texts(units));
        Ok(!self.connections.query(&self.sql.describe, &values).await?.is_empty())
    }

    /// Keeps what was taken if a statement says that nobody else has it.
    pub(super) async fn kept_if(&self, sql: &str, held: Held) -> Result<bool, Failure> {
        let is_ours = self.connections.read(sql, &[]).await?.first().is_some_and(|row| row.get(0));
        if !is_ours {
            let names = held.tokens.keys().cloned().collect();
            self.connections.query(&self.sql.release, &self.values(&held, names)).await?;
            return Ok(false);
        }
        lock(&self.leaving).clear();
        *lock(&self.held) = Some(held);
        self.is_held.send_replace(true);
        Ok(true)
    }

    pub(super) fn fresh(&self, owner: String, nonce: i64, asked: Instant, first: (String, (i64, i64))) -> Held {
        let (name, (token, committed)) = first;
        let (tokens, committed) = (BTreeMap::from([(name.clone(), token)]), BTreeMap::from([(name, vec![committed])]));
        Held { owner, nonce, next: None, until: asked + self.length, tokens, committed }
    }

    pub(super) async fn take(&self, names: Vec<String>) -> Result<(), Failure> {
        let Some(held) = self.current() else { return Ok(()) };
        let mut values = self.taking(held.nonce, &held.owner);
        values.extend([text(format!("{REPLICA}{}", held.owner)), texts(names)]);
        let taken = self.connections.query(&self.sql.take, &values).await?;
        self.remembered.forget();
        for row in taken {
            // The nonce may have changed meanwhile: then nobody renews it, and it ends.
            if let Some(now) = lock(&self.held).as_mut().filter(|now| (now.nonce, now.next) == (held.nonce, None)) {
                let (name, (token, committed)) = (row.get::<_, String>(2), token_of(&row));
                now.tokens.insert(name.clone(), token);
                now.committed.insert(name, vec![committed]);
            }
        }
        Ok(())
    }

    /// Asks for more time. Returns the leases that are still held.
    pub(super) async fn extend(&self, held: &Held) -> Result<BTreeSet<String>, Failure> {
        let asked = Instant::now();
        let mut values = self.values(held, held.tokens.keys().cloned().collect());
        values.push(text(self.trouble().unwrap_or_default()));
        let rows = self.connections.query_until(held.until.into(), &self.sql.renew, &values).await?;
        let kept: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let is_whole = kept.iter().any(|name| is_first(name));
        if let Some(now) = lock(&self.held).as_mut().filter(|now| is_whole && now.is_of(held)) {
            now.until = asked + self.length;
        }
        Ok(kept)
    }

    /// Asks for more time, as long as there is some left; `None` when there was not enough.
    pub(super) async fn renewal(&self, held: &Held) -> Option<Result<BTreeSet<String>, Failure>> {
        let extended = self.extend(held).await;
        (extended.is_ok() || Instant::now() < held.until).then_some(extended)
    }

    /// After the database refused a write, tries whether it takes one again: this process may have nothing to write for long.
    pub(super) async fn try_to_write(&self) {
        let until = || (Instant::now() + self.length / RETRIES).into();
        if self.trouble().is_some() && self.connections.query_until(until(), &self.sql.try_to_write, &[]).await.is_ok()
        {
            *lock(&self.trouble) = None;
            drop(self.connections.query_until(until(), &self.sql.tried_to_write, &[]).await);
        }
    }

    /// Whether another nonce is in use by now.
    pub(super) fn has_changed(&self, held: &Held) -> bool {
        lock(&self.held).as_ref().is_some_and(|now| (now.nonce, now.next) != (held.nonce, held.next))
    }

    pub(super) fn with_next_nonce(&self) -> Option<Held> {
        let mut held = lock(&self.held);
        let held = held.as_mut()?;
        held.next.get_or_insert_with(rand::random);
        Some(held.clone())
    }

    pub(super) fn rotated(&self) -> Option<()> {
        self.remembered.forget();
        let mut held = lock(&self.held);
        let held = held.as_mut()?;
        if let Some(next) = held.next.take() {
            held.nonce = next;
        }
        Some(())
    }

    /// What statements that take something name first.
    pub(super) fn taking(&self, nonce: i64, owner: &str) -> Vec<Value> {
        vec![
            (Box::new(nonce), Type::INT8),
            text(owner.to_owned()),
            (Box::new(self.milliseconds()), Type::INT8),
            (Box::new(WRITER), Type::INT4),
        ]
    }

    /// What statements about what is held name: its nonce, the one that may have taken its place, the time that is asked for, and which
    /// leases.
    pub(super) fn values(&self, held: &Held, names: Vec<String>) -> Vec<Value> {
        let next = held.next.unwrap_or(held.nonce);
        vec![
            (Box::new(held.nonce), Type::INT8),
            (Box::new(next), Type::INT8),
            (Box::new(self.milliseconds()), Type::INT8),
            (Box::new(WRITER), Type::INT4),
            texts(names),
        ]
    }

    pub(super) fn milliseconds(&self) -> i64 {
        i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Held {
    pub(super) fn proof(&self, unit: Option<&Unit>) -> Option<Proof> {
        let whole = || self.tokens.keys().find(|name| is_first(name)).cloned();
        let name = match unit {
            Some(unit) if !self.tokens.contains_key(WHOLE) => Some(unit.lease()),
            _ => whole(),
        }?;
        let token = *self.tokens.get(&name)?;
        let committed = self.committed.get(&name).cloned().unwrap_or_default();
        Some(Proof { name, token, nonce: self.nonce, committed })
    }

    /// The time in which this unit alone is held, and the outcome of all writes is known.
    pub(super) fn tenure(&self, unit: &Unit) -> Option<Tenure> {
        let token = *self.tokens.get(&unit.lease()).filter(|_| self.next.is_none())?;
        Some(Tenure { token, nonce: self.nonce })
    }

    /// Whether the lease of the store or of the replica is among what is held.
    pub(super) fn is_anything(&self) -> bool {
        self.tokens.keys().any(|name| is_first(name))
    }

    /// Whether both were taken at the same time.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        let first = |held: &Self| {
            held.tokens.iter().find(|(name, _)| is_first(name)).map(|(name, token)| (name.clone(), *token))
        };
        first(self) == first(other)
    }
}

/// Whether a write failed because of what other processes do.
fn is_of_others(error: &Error) -> bool {
    ["conflict", "standby"].iter().any(|key| error.context(key).is_some())
}

/// The token of a lease that was just taken, and the number of the last commit under it.
fn token_of(row: &Row) -> (i64, i64) {
    (row.get(0), row.get(1))
}

/// Whether a lease is of the whole store or of a replica.
fn is_first(name: &str) -> bool {
    name == WHOLE || name.starts_with(REPLICA)
}

/// Renews what is held until it is lost, given back or forgotten.
pub(super) async fn renew(lease: Weak<State>, begun: Held) {
    let mut is_failing = false;
    loop {
        let Some(length) = lease.upgrade().map(|state| state.length) else { return };
        tokio::time::sleep(if is_failing { RETRY.min(length / RETRIES) } else { length / RENEWALS }).await;
        let Some(state) = lease.upgrade() else { return };
        let Some(held) = lock(&state.held).clone().filter(|held| held.is_of(&begun)) else { return };
        match state.renewal(&held).await {
            Some(Ok(kept)) if kept.iter().any(|name| is_first(name)) => {
                if std::mem::replace(&mut is_failing, false) {
                    // It may be another one now. Who goes on compares its commits, so there is nothing to say.
                    drop(state.connections.query(&state.sql.line, &[]).await);
                }
                if state.has_changed(&held) {
                    continue;
                }
                for (name, token) in held.tokens.iter().filter(|(name, _)| !kept.contains(*name)) {
                    state.lose_one(name, *token);
                }
                state.try_to_write().await;
            }
            // The nonce changed meanwhile, which is no loss.
            Some(Ok(_)) if state.has_changed(&held) => is_failing = true,
            Some(Err(failure)) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(?failure, "could not renew the lease of the store; trying again");
                }
            }
            Some(Ok(_)) | None => {
                state.lose(&held);
                return tracing::warn!("the lease of the store was lost; another process may write to it now");
            }
        }
    }
}

/// The head of a store in which nothing was written.
fn first_head() -> Vec<u8> {
    format::encode(&0_u64).unwrap_or_default()
}

/// The name of this process.
fn owner() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host} (pid {})", std::process::id())
}
