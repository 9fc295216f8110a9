//! Leases: which process may write what in the store now.
//!
//! A process either has the lease of the whole store, or has joined those that share it and holds the lease of each unit that it works
//! on. A lease has a token, which grows with every owner, and a nonce, which nobody can guess and which changes whenever its owner does
//! not know what became of a write. Every write names both. It ends by the clock of the database; its owner stops earlier, by its
//! own monotonic clock, counted from before it asked for more time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_postgres::Row;

use super::super::unit::Unit;
use super::client::{Client, Value, text};
use super::failure::Failure;
use super::held::{Held, Proof, State, WHOLE, renew};
use super::remembered::{Remembered, Tenure};
use super::sql::{Sql, WRITER};
use crate::lock;
use crate::model::error::{Error, ErrorKind, Result};

/// What a process says that finds another database than the last one found.
const RECOVERED: &str = "the database was recovered, failed over or moved since a process last took a lease in it; if that lost commits \
                         that it had confirmed, what they held is read and exported again, but not changes that a tool has no history of";
/// How long giving it back may take. It ends by itself otherwise.
const RELEASE: Duration = Duration::from_secs(2);

/// The right to write to a store that several processes have open.
pub struct Lease {
    pub(super) client: Arc<Client>,
    pub(super) state: Arc<State>,
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
    /// The replica that somebody wants to have the unit, or why a replica could not write last; empty when there is nothing to say.
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
            remembered: Remembered::default(),
            trouble: Mutex::default(),
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

    /// Joins those that share the store, to work on some of these units, unless a process has all of it. One that has joined already
    /// says that it knows these units from now on.
    ///
    /// # Errors
    /// As [`Lease::acquire`].
    pub fn join(&self, units: &[Unit]) -> Result<bool> {
        let (state, units) = (Arc::clone(&self.state), units.iter().map(Unit::lease).collect());
        match self.state.current() {
            None => self.begin(async move { state.join(units).await }),
            Some(_) if self.is_exclusive() => Ok(true),
            Some(held) => {
                let described = self.client.wait(async move { state.describe(&held, units).await })?;
                self.noted(described, "say which sources it reads")
            }
        }
    }

    fn begin(&self, taking: impl Future<Output = Result<bool, Failure>> + Send + 'static) -> Result<bool> {
        let taken = self.client.wait(taking)?;
        let is_taken = self.noted(taken, "take the lease of the store")?;
        if is_taken && let (Some(handle), Some(held)) = (self.client.handle(), self.state.current()) {
            handle.spawn(renew(Arc::downgrade(&self.state), held));
        }
        Ok(is_taken)
    }

    /// Notes whether the database did what it was asked.
    fn noted<T>(&self, done: Result<T, Failure>, doing: &str) -> Result<T> {
        let done = done.map_err(|failure| failure.into_error(doing, self.client.place()));
        self.state.note(done.as_ref());
        done
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
            state.connections.query_until(Instant::now() + RELEASE, &state.sql.release, &values).await.is_ok()
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

    /// What this proved does not hold any more: another process has taken over, or the database has an older commit than the last one.
    pub(super) fn was_lost(&self, proof: &Proof, committed: Option<i64>) -> Error {
        let last = proof.committed.iter().max().copied().unwrap_or_default();
        match committed.filter(|committed| !proof.committed.contains(committed)) {
            Some(committed) => {
                self.release();
                lost_commits(committed.cast_unsigned(), last.cast_unsigned())
            }
            None => {
                self.state.lose_one(&proof.name, proof.token);
                not_held()
            }
        }
    }

    /// Notes a commit of this process.
    pub(super) fn committed(&self, proof: &Proof, head: u64) {
        self.state.head.fetch_max(head, Ordering::Relaxed);
        self.note_commit(proof, |known| *known = vec![head.cast_signed()]);
    }

    /// Notes that there may have been one: the answer was lost.
    pub(super) fn may_have_committed(&self, proof: &Proof, head: u64) {
        self.note_commit(proof, |known| known.push(head.cast_signed()));
    }

    fn note_commit(&self, proof: &Proof, note: impl FnOnce(&mut Vec<i64>)) {
        let mut held = lock(&self.state.held);
        if let Some(held) = held.as_mut().filter(|held| held.tokens.get(&proof.name) == Some(&proof.token)) {
            note(held.committed.entry(proof.name.clone()).or_default());
        }
    }

    /// The time in which this process alone holds a unit, if it does.
    pub(super) fn tenure(&self, unit: &Unit) -> Option<Tenure> {
        self.state.current()?.tenure(unit)
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

    /// Says when the database was recovered, promoted or moved since a process last looked: one that has just started has no commit of its
    /// own to compare with. A volume that was put back as it once was looks like one that never changed.
    pub(in super::super) fn recognise(&self) {
        let is_fresh = self.state.head.load(Ordering::Relaxed) == 0;
        match self.client.once(&self.state.sql.line, Vec::new()) {
            Ok(rows) => {
                let lines = rows.first().map(|row| (row.get::<_, Option<String>>(0), row.get::<_, String>(1)));
                if let Some((Some(before), now)) = lines.filter(|_| is_fresh) {
                    tracing::warn!(before, now, "{RECOVERED}");
                }
            }
            Err(failure) => tracing::debug!(?failure, "the database does not say which one it is"),
        }
    }

    /// Compares the head for a process that has just taken the lease, or stands by: says what is missing, and goes on from what there is.
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
