//! Leases: which process may write what in the store now.
//!
//! A process either has the lease of the whole store, or has joined those that share it and holds the lease of each unit that it works
//! on. A lease has a token, which grows with every owner, and a nonce, which nobody can guess and which changes whenever its owner does
//! not know what became of a write. Every write names both. It ends by the clock of the database; its owner stops earlier, by its
//! own monotonic clock, counted from before it asked for more time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::format;
use super::super::kv::Guard;
use super::super::unit::Unit;
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
/// The name of the lease of the whole store.
const WHOLE: &str = "";
/// What the names of the leases of replicas begin with.
const REPLICA: &str = "replica/";
/// How many processes of one name may share a store. In containers the process has the same number on every host.
const NAMESAKES: usize = 9;

/// The right to write to a store that several processes have open.
pub struct Lease {
    client: Arc<Client>,
    state: Arc<State>,
}

struct State {
    sql: Arc<Sql>,
    connections: Arc<Connections>,
    length: Duration,
    held: Mutex<Option<Held>>,
    /// Whether anything is held, for those who wait for its end.
    is_held: watch::Sender<bool>,
    /// Units that are about to be given back, and how many work on each unit.
    leaving: Mutex<BTreeSet<Unit>>,
    working: watch::Sender<BTreeMap<Unit, usize>>,
    /// The journal head of the last commit of this process.
    head: AtomicU64,
}

/// What this process holds.
#[derive(Debug, Clone)]
struct Held {
    /// What others call it.
    owner: String,
    nonce: i64,
    /// The nonce that may have taken its place already.
    next: Option<i64>,
    until: Instant,
    /// The token of each lease, by name.
    tokens: BTreeMap<String, i64>,
}

/// What proves that a lease is held.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub(super) name: String,
    pub(super) token: i64,
    pub(super) nonce: i64,
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Grows with every owner.
    pub token: u64,
    /// The process, such as `host (pid 7)`, or all that share the store; empty when nobody holds it.
    pub owner: String,
    /// How long it holds it unless it asks for more time.
    pub left: Duration,
    /// Whether that is this process.
    pub is_ours: bool,
}

/// The lease of a unit, or of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// The unit; `None` for the lease by which a replica shows that it lives.
    pub unit: Option<Unit>,
    /// Grows with every owner.
    pub token: u64,
    /// The replica that holds it, or that it is about; empty when nobody holds it.
    pub owner: String,
    /// How long it holds it unless it asks for more time.
    pub left: Duration,
    /// The units that a replica knows.
    pub units: BTreeSet<Unit>,
    /// The replica that somebody wants to have the unit; empty when nobody said.
    pub wanted: String,
}

/// Somebody works on a unit, which is not given back before this is dropped.
pub struct Working(Option<(Arc<State>, Unit)>);

impl Working {
    /// Work on a store that belongs to this process alone.
    pub(in super::super) const fn alone() -> Self {
        Self(None)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some((state, unit)) = &self.0 {
            state.working.send_modify(|working| {
                if let Some(number) = working.get_mut(unit) {
                    *number = number.saturating_sub(1);
                }
            });
        }
    }
}

impl Lease {
    pub(super) fn new(client: &Arc<Client>, sql: &Arc<Sql>, length: Duration) -> Self {
        let state = State {
            sql: Arc::clone(sql),
            connections: client.lease(),
            length,
            held: Mutex::default(),
            is_held: watch::Sender::new(false),
            leaving: Mutex::default(),
            working: watch::Sender::default(),
            head: AtomicU64::new(0),
        };
        Self { client: Arc::clone(client), state: Arc::new(state) }
    }

    /// Takes the lease of the whole store, unless other processes hold it or share it. From then on it is renewed.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer, or asks for a newer program.
    pub fn acquire(&self) -> Result<bool> {
        if self.is_exclusive() {
            return Ok(true);
        }
        let state = Arc::clone(&self.state);
        self.begin(async move { state.take_whole().await })
    }

    /// Joins those that share the store, to work on some of these units, unless a process has all of it.
    ///
    /// # Errors
    /// As [`Lease::acquire`].
    pub fn join(&self, units: &[Unit]) -> Result<bool> {
        if self.state.current().is_some() {
            return Ok(true);
        }
        let (state, units) = (Arc::clone(&self.state), units.iter().map(Unit::lease).collect());
        self.begin(async move { state.join(units).await })
    }

    fn begin(&self, taking: impl Future<Output = Result<bool, Failure>> + Send + 'static) -> Result<bool> {
        let taken = self.client.wait(taking)?;
        let is_taken =
            taken.map_err(|failure| failure.into_error("take the lease of the store", self.client.place()))?;
        if is_taken && let (Some(handle), Some(held)) = (self.client.handle(), self.state.current()) {
            handle.spawn(renew(Arc::downgrade(&self.state), held));
        }
        Ok(is_taken)
    }

    /// Takes the leases of those of these units that nobody holds.
    ///
    /// # Errors
    /// As [`Lease::acquire`].
    pub fn take(&self, units: &[Unit]) -> Result<()> {
        if units.is_empty() {
            return Ok(());
        }
        let (state, names) = (Arc::clone(&self.state), units.iter().map(Unit::lease).collect::<Vec<_>>());
        let taken = self.client.wait(async move { state.take(names).await })?;
        taken.map_err(|failure| failure.into_error("take leases", self.client.place()))
    }

    /// From now on nobody here begins to work on a unit.
    pub fn leave(&self, unit: &Unit) {
        lock(&self.state.leaving).insert(unit.clone());
    }

    /// Waits until nobody here works on a unit any more.
    pub async fn left(&self, unit: &Unit) {
        let mut working = self.state.working.subscribe();
        drop(working.wait_for(|working| working.get(unit).is_none_or(|number| *number == 0)).await);
    }

    /// Gives these units back, so that another replica can take them.
    pub fn give_back(&self, units: &[Unit]) {
        let names: Vec<String> = units.iter().map(Unit::lease).collect();
        let Some(held) = self.state.forget(&names) else { return };
        self.send_release(held, names);
        lock(&self.state.leaving).retain(|unit| !units.contains(unit));
    }

    /// Gives everything back, so that another process need not wait for its end.
    pub fn release(&self) {
        let Some(held) = self.state.current() else { return };
        self.state.lose(&held);
        let names = held.tokens.keys().cloned().collect();
        self.send_release(held, names);
    }

    fn send_release(&self, held: Held, names: Vec<String>) {
        let state = Arc::clone(&self.state);
        let released = self.client.wait(async move {
            let values = state.values(&held, names);
            tokio::time::timeout(RELEASE, state.connections.query(&state.sql.release, &values)).await.is_ok()
        });
        tracing::debug!(?released, "gave leases back");
    }

    /// Waits until nothing is held any more.
    pub async fn lost(&self) {
        let mut is_held = self.state.is_held.subscribe();
        // The sender lives as long as this.
        drop(is_held.wait_for(|is_held| !is_held).await);
    }

    /// How long leases last unless they are renewed.
    pub fn length(&self) -> Duration {
        self.state.length
    }

    /// Whether this process may write.
    pub fn is_held(&self) -> bool {
        self.state.current().is_some()
    }

    /// Whether this process may write everything.
    pub fn is_exclusive(&self) -> bool {
        self.state.current().is_some_and(|held| held.tokens.contains_key(WHOLE))
    }

    /// Whether this process may work on a unit.
    pub fn owns(&self, unit: &Unit) -> bool {
        let is_held = self
            .state
            .current()
            .is_some_and(|held| held.tokens.contains_key(WHOLE) || held.tokens.contains_key(&unit.lease()));
        is_held && !lock(&self.state.leaving).contains(unit)
    }

    /// The units that this process holds.
    pub fn units(&self) -> BTreeSet<Unit> {
        let held = self.state.current().map(|held| held.tokens).unwrap_or_default();
        held.keys().filter_map(|name| Unit::of_lease(name)).collect()
    }

    /// What other replicas call this one; empty when it has not joined.
    pub fn name(&self) -> String {
        self.state.current().map(|held| held.owner).unwrap_or_default()
    }

    /// Begins to work on a unit, if this process may.
    pub fn enter(&self, unit: &Unit) -> Option<Working> {
        self.state.working.send_modify(|working| *working.entry(unit.clone()).or_default() += 1);
        let working = Working(Some((Arc::clone(&self.state), unit.clone())));
        self.owns(unit).then_some(working)
    }

    /// Who holds the store, or shares it.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn holder(&self) -> Result<Holder> {
        let rows = self.client.read(&self.state.sql.lease, Vec::new())?;
        let row = rows.first().ok_or_else(|| Error::new(ErrorKind::Store, "the lease row of the store is missing"))?;
        check_writer(row.get(4))?;
        let left = Duration::from_millis(row.get::<_, i64>(2).unsigned_abs());
        let token = row.get::<_, i64>(0).unsigned_abs();
        if !left.is_zero() {
            return Ok(Holder { token, owner: row.get(1), left, is_ours: self.is_exclusive() });
        }
        let live: Vec<LeaseRow> = self.survey()?.into_iter().filter(LeaseRow::is_live_replica).collect();
        let owner = live.iter().map(|row| row.owner.as_str()).collect::<Vec<_>>().join(", ");
        let left = live.iter().map(|row| row.left).max().unwrap_or_default();
        let name = self.name();
        Ok(Holder { token, owner, left, is_ours: live.iter().any(|row| row.owner == name) })
    }

    /// The leases of all units and replicas.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn survey(&self) -> Result<Vec<LeaseRow>> {
        Ok(self.client.read(&self.state.sql.survey, Vec::new())?.iter().map(LeaseRow::of).collect())
    }

    /// Says which replica shall have a unit as long as it lives.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer or refuses.
    pub fn want(&self, unit: &Unit, replica: &str) -> Result<()> {
        let values: Vec<Value> = vec![text(unit.lease()), text(replica.to_owned())];
        self.client.read(&self.state.sql.want, values).map(drop)
    }

    /// Asks the replica that has a source to read it soon.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn wake(&self, source: &str) -> Result<()> {
        self.client.read(&self.state.sql.wake, vec![text(format!("poll/{source}"))]).map(drop)
    }

    /// Asks the replica that has a source to export what was stored of it.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn wake_export(&self, source: &str) -> Result<()> {
        self.client.read(&self.state.sql.wake, vec![text(format!("export/{source}"))]).map(drop)
    }

    /// Which of these sources other processes asked to be read since the last time, and whether any is to be exported.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn woken(&self, sources: &[String]) -> Result<(Vec<String>, bool)> {
        let both = sources.iter().flat_map(|source| [format!("poll/{source}"), format!("export/{source}")]);
        let woken = self.client.once(&self.state.sql.woken, vec![texts(both.collect())]);
        let woken = woken.map_err(|failure| failure.into_error("read the store", self.client.place()))?;
        let woken: Vec<String> = woken.iter().map(|row| row.get(0)).collect();
        let polls = woken.iter().filter_map(|name| name.strip_prefix("poll/")).map(str::to_owned).collect();
        Ok((polls, woken.iter().any(|name| name.starts_with("export/"))))
    }

    /// Keeps what was reported to any replica until the one that has the source has stored it. `id` is a UUID: what is delivered
    /// twice is kept once.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer or refuses. It may have been kept all the same.
    pub fn deliver(&self, id: &str, source: &str, body: &str) -> Result<()> {
        let values = vec![text(id.to_owned()), text(source.to_owned()), text(body.to_owned())];
        self.client.read(&self.state.sql.deliver, values).map(drop)
    }

    /// The oldest of what was delivered for a source, each with its id.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn delivered(&self, source: &str, limit: i64) -> Result<Vec<(String, String)>> {
        let values: Vec<Value> = vec![text(source.to_owned()), (Box::new(limit), Type::INT8)];
        let rows = self.client.read(&self.state.sql.delivered, values)?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Whether what was delivered under this id has been stored.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn is_taken_in(&self, id: &str) -> Result<bool> {
        let rows = self.client.read(&self.state.sql.is_delivered, vec![text(id.to_owned())])?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// Forgets what was delivered, once it is stored.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer.
    pub fn taken_in(&self, ids: Vec<String>) -> Result<()> {
        self.client.read(&self.state.sql.taken_in, vec![texts(ids)]).map(drop)
    }

    /// What a write has to name: the lease of its unit or, for what belongs to none, that of this replica.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] with the context `standby` when the lease is not held.
    pub(super) fn proof(&self, unit: Option<&Unit>) -> Result<Proof> {
        self.state.current().and_then(|held| held.proof(unit)).ok_or_else(not_held)
    }

    /// What a write has to name from now on: whatever was sent with another nonce changes nothing any more.
    pub(super) fn rotate(&self) -> Result<()> {
        let held = self.state.with_next_nonce().ok_or_else(not_held)?;
        let (state, lost) = (Arc::clone(&self.state), held.clone());
        let rotated = self.client.wait(async move {
            let names = held.tokens.keys().cloned().collect();
            state.connections.read(&state.sql.rotate, &state.values(&held, names)).await
        })?;
        match rotated {
            Ok(rows) if rows.is_empty() => {
                self.state.lose(&lost);
                Err(not_held())
            }
            Ok(_) => self.state.rotated().ok_or_else(not_held),
            Err(failure) => Err(failure.into_error("find out whether the last write was stored", self.client.place())),
        }
    }

    /// The number of the last commit under a lease.
    pub(super) fn last_number(&self, name: &str) -> Result<u64> {
        let rows = self.client.read(&self.state.sql.committed, vec![text(name.to_owned())])?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }

    /// Another process has taken over what this proved.
    pub(super) fn was_lost(&self, proof: &Proof) -> Error {
        self.state.lose_one(&proof.name, proof.token);
        not_held()
    }

    /// Notes a commit of this process.
    pub(super) fn committed(&self, head: u64) {
        self.state.head.store(head, Ordering::Relaxed);
    }

    /// The journal head of the last commit of this process; zero before the first.
    pub(in super::super) fn last_commit(&self) -> u64 {
        self.state.head.load(Ordering::Relaxed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.release();
    }
}

impl LeaseRow {
    fn of(row: &Row) -> Self {
        let (name, left): (String, i64) = (row.get(0), row.get(3));
        let units: Vec<String> = row.get(4);
        Self {
            unit: Unit::of_lease(&name),
            token: row.get::<_, i64>(1).unsigned_abs(),
            owner: if left == 0 { String::new() } else { row.get(2) },
            left: Duration::from_millis(left.unsigned_abs()),
            units: units.iter().filter_map(|name| Unit::of_lease(name)).collect(),
            wanted: row.get(5),
        }
    }

    /// Whether this is a replica that lives.
    pub fn is_live_replica(&self) -> bool {
        self.unit.is_none() && !self.owner.is_empty()
    }
}

impl State {
    fn current(&self) -> Option<Held> {
        lock(&self.held).clone().filter(|held| Instant::now() < held.until)
    }

    /// Forgets what is held, unless it was taken again since.
    fn lose(&self, lost: &Held) {
        let mut held = lock(&self.held);
        if held.as_ref().is_some_and(|held| held.is_of(lost)) {
            *held = None;
            lock(&self.leaving).clear();
            self.is_held.send_replace(false);
        }
    }

    /// Forgets one lease. Without that of the store or of the replica there is nothing left.
    fn lose_one(&self, name: &str, token: i64) {
        let mut held = lock(&self.held);
        let Some(known) = held.as_mut().filter(|held| held.tokens.get(name) == Some(&token)) else { return };
        known.tokens.remove(name);
        if !known.is_anything() {
            *held = None;
            self.is_held.send_replace(false);
        }
    }

    /// Forgets some leases. Returns what was held.
    fn forget(&self, names: &[String]) -> Option<Held> {
        let mut held = lock(&self.held);
        let known = held.as_mut()?;
        let before = known.clone();
        known.tokens.retain(|name, _| !names.contains(name));
        Some(before)
    }

    async fn take_whole(&self) -> Result<bool, Failure> {
        let (nonce, asked, owner): (i64, _, _) = (rand::random(), Instant::now(), owner());
        let values = self.taking(nonce, &owner);
        let rows = self.connections.query(&self.sql.acquire, &values).await?;
        let Some(token) = rows.first().map(|row: &Row| row.get(0)) else { return Ok(false) };
        let held = self.fresh(owner, nonce, asked, (WHOLE.to_owned(), token));
        // Another may have joined in the same moment. Whoever looks last sees the other.
        self.kept_if(&self.sql.is_alone, held).await
    }

    async fn join(&self, units: Vec<String>) -> Result<bool, Failure> {
        let head: Vec<Value> = vec![(Box::new(Guard::key()), Type::BYTEA), (Box::new(first_head()), Type::BYTEA)];
        for namesake in 0..NAMESAKES {
            let (nonce, asked): (i64, _) = (rand::random(), Instant::now());
            let owner = if namesake == 0 { owner() } else { format!("{} #{}", owner(), namesake + 1) };
            let name = format!("{REPLICA}{owner}");
            let mut values = self.taking(nonce, &owner);
            values.extend([text(name.clone()), texts(units.clone())]);
            let rows = self.connections.query(&self.sql.join, &values).await?;
            let Some(token) = rows.first().map(|row: &Row| row.get(0)) else { continue };
            // Two writers would not meet at a head that is not there.
            self.connections.query(&self.sql.make_head, &head).await?;
            let held = self.fresh(owner, nonce, asked, (name, token));
            return self.kept_if(&self.sql.has_no_owner, held).await;
        }
        Ok(false)
    }

    /// Keeps what was taken if a statement says that nobody else has it.
    async fn kept_if(&self, sql: &str, held: Held) -> Result<bool, Failure> {
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

    fn fresh(&self, owner: String, nonce: i64, asked: Instant, first: (String, i64)) -> Held {
        Held { owner, nonce, next: None, until: asked + self.length, tokens: BTreeMap::from([first]) }
    }

    async fn take(&self, names: Vec<String>) -> Result<(), Failure> {
        let Some(held) = self.current() else { return Ok(()) };
        let mut values = self.taking(held.nonce, &held.owner);
        values.extend([text(format!("{REPLICA}{}", held.owner)), texts(names)]);
        for row in self.connections.query(&self.sql.take, &values).await? {
            // The nonce may have changed meanwhile: then nobody renews it, and it ends.
            if let Some(now) = lock(&self.held).as_mut().filter(|now| (now.nonce, now.next) == (held.nonce, None)) {
                now.tokens.insert(row.get(0), row.get(1));
            }
        }
        Ok(())
    }

    /// Asks for more time. Returns the leases that are still held.
    async fn extend(&self, held: &Held) -> Result<BTreeSet<String>, Failure> {
        let asked = Instant::now();
        let values = self.values(held, held.tokens.keys().cloned().collect());
        let rows = self.connections.query(&self.sql.renew, &values).await?;
        let kept: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let is_whole = kept.iter().any(|name| is_first(name));
        if let Some(now) = lock(&self.held).as_mut().filter(|now| is_whole && now.is_of(held)) {
            now.until = asked + self.length;
        }
        Ok(kept)
    }

    /// Asks for more time, as long as there is some left; `None` when there was not enough.
    async fn renewal(&self, held: &Held) -> Option<Result<BTreeSet<String>, Failure>> {
        let left = held.until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        tokio::time::timeout(left, self.extend(held)).await.ok()
    }

    /// Whether another nonce is in use by now.
    fn has_changed(&self, held: &Held) -> bool {
        lock(&self.held).as_ref().is_some_and(|now| (now.nonce, now.next) != (held.nonce, held.next))
    }

    fn with_next_nonce(&self) -> Option<Held> {
        let mut held = lock(&self.held);
        let held = held.as_mut()?;
        held.next.get_or_insert_with(rand::random);
        Some(held.clone())
    }

    fn rotated(&self) -> Option<()> {
        let mut held = lock(&self.held);
        let held = held.as_mut()?;
        if let Some(next) = held.next.take() {
            held.nonce = next;
        }
        Some(())
    }

    /// What statements that take something name first.
    fn taking(&self, nonce: i64, owner: &str) -> Vec<Value> {
        vec![
            (Box::new(nonce), Type::INT8),
            text(owner.to_owned()),
            (Box::new(self.milliseconds()), Type::INT8),
            (Box::new(WRITER), Type::INT4),
        ]
    }

    /// What statements about what is held name: its nonce, the one that may have taken its place, the time that is asked for, and which
    /// leases.
    fn values(&self, held: &Held, names: Vec<String>) -> Vec<Value> {
        let next = held.next.unwrap_or(held.nonce);
        vec![
            (Box::new(held.nonce), Type::INT8),
            (Box::new(next), Type::INT8),
            (Box::new(self.milliseconds()), Type::INT8),
            (Box::new(WRITER), Type::INT4),
            texts(names),
        ]
    }

    fn milliseconds(&self) -> i64 {
        i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Held {
    fn proof(&self, unit: Option<&Unit>) -> Option<Proof> {
        let whole = || self.tokens.keys().find(|name| is_first(name)).cloned();
        let name = match unit {
            Some(unit) if !self.tokens.contains_key(WHOLE) => Some(unit.lease()),
            _ => whole(),
        }?;
        let token = *self.tokens.get(&name)?;
        Some(Proof { name, token, nonce: self.nonce })
    }

    /// Whether the lease of the store or of the replica is among what is held.
    fn is_anything(&self) -> bool {
        self.tokens.keys().any(|name| is_first(name))
    }

    /// Whether both were taken at the same time.
    fn is_of(&self, other: &Self) -> bool {
        let first = |held: &Self| {
            held.tokens.iter().find(|(name, _)| is_first(name)).map(|(name, token)| (name.clone(), *token))
        };
        first(self) == first(other)
    }
}

/// Whether a lease is of the whole store or of a replica.
fn is_first(name: &str) -> bool {
    name == WHOLE || name.starts_with(REPLICA)
}

/// Renews what is held until it is lost, given back or forgotten.
async fn renew(lease: Weak<State>, begun: Held) {
    let mut is_failing = false;
    loop {
        let Some(length) = lease.upgrade().map(|state| state.length) else { return };
        tokio::time::sleep(if is_failing { RETRY.min(length / RETRIES) } else { length / RENEWALS }).await;
        let Some(state) = lease.upgrade() else { return };
        let Some(held) = lock(&state.held).clone().filter(|held| held.is_of(&begun)) else { return };
        match state.renewal(&held).await {
            Some(Ok(kept)) if kept.iter().any(|name| is_first(name)) => {
                is_failing = false;
                if state.has_changed(&held) {
                    continue;
                }
                for (name, token) in held.tokens.iter().filter(|(name, _)| !kept.contains(*name)) {
                    state.lose_one(name, *token);
                }
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

fn text(value: String) -> Value {
    (Box::new(value), Type::TEXT)
}

fn texts(values: Vec<String>) -> Value {
    (Box::new(values), Type::TEXT_ARRAY)
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

/// The head of a store in which nothing was written.
fn first_head() -> Vec<u8> {
    format::encode(&0_u64).unwrap_or_default()
}

/// The name of this process.
fn owner() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host} (pid {})", std::process::id())
}
