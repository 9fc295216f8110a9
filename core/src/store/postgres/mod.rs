//! The store in PostgreSQL: one table of keys and values, which several processes read and write.
//!
//! [`sql`] has the statements and tables, [`client`] the connections and their thread, [`hosts`] how they are made, [`lease`] and [`held`] who may write what, [`mail`] what replicas ask of each other, [`remembered`] what a replica
//! need not read again, [`failure`] what an error means. Each call of [`Kv`] is one statement, and a write is one transaction without a pause in it.
//!
//! A write whose answer got lost may have taken effect, and may even do so later. So before anything else the nonce of the lease
//! changes, which makes it harmless, and then the journal head shows what became of it.

mod client;
mod failure;
mod held;
mod hosts;
mod lease;
mod mail;
mod remembered;
mod sql;
mod url;

#[cfg(test)]
mod share_tests;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use self::client::{Client, Value};
use self::failure::Failure;
use self::held::Proof;
use self::lease::check_writer;
pub use self::lease::{Holder, Lease, LeaseRow, Working};
use self::remembered::{Reading, Tenure};
use self::sql::{FORMAT, INBOX, Sql, WRITER};
use super::format;
use super::kv::{self, Batch, Delivered, Guard, KeyRange, Kv, Pair, WriteTurn};
use super::unit::Unit;
use crate::model::error::{Error, ErrorKind, Result};

/// How often a write whose answer got lost is tried.
const TRIES: u32 = 3;

/// A [`Kv`] in a schema of a database.
pub(super) struct PgKv {
    client: Arc<Client>,
    sql: Arc<Sql>,
    lease: Arc<Lease>,
    /// What became of the last write is unknown.
    is_unsure: AtomicBool,
    /// Whether this is the table that is filled to take the place of the store's.
    is_beside: bool,
    /// Opened to be read, so that a dry run may begin what it never commits.
    is_read: bool,
    /// The moment as of which it reads, if that is one.
    moment: Option<String>,
}

/// What a store in a database has beside its keys.
pub(super) struct Database {
    pub(super) kv: Arc<PgKv>,
    pub(super) lease: Arc<Lease>,
    pub(super) schema: String,
}

/// What the database said about a batch.
enum Written {
    Done,
    /// Another process has the lease, or this is the last commit under it that the database has.
    NotHeld(Option<i64>),
    /// The journal head is another one.
    Head(Option<Vec<u8>>),
}

impl PgKv {
    /// Opens a schema to read it, or to write to it once the lease is held. Nothing in the database changes.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer or lets nobody in, there is no store (context `missing`), or it is
    /// of a newer program; [`ErrorKind::Config`] when the address cannot be understood.
    pub(super) fn open(url: &str, schema: &str, length: Duration) -> Result<Self> {
        let mut opened = Self::connect(url, schema, length)?;
        opened.is_read = true;
        match opened.version()? {
            Some(_) => Ok(opened),
            None => {
                let text =
                    "there is no store in this schema; run `contextcore sync` to make one, or correct `store.postgres`";
                Err(Error::new(ErrorKind::Store, text).with("schema", schema).with("missing", "true"))
            }
        }
    }

    /// The same, but makes the tables where there are none, and brings those of an older version up to date.
    ///
    /// # Errors
    /// As [`PgKv::open`], and when the user may not make tables.
    pub(super) fn prepare(url: &str, schema: &str, length: Duration) -> Result<Self> {
        let opened = Self::connect(url, schema, length)?;
        for _ in 0..TRIES {
            let from = opened.version()?.unwrap_or(0);
            if from >= FORMAT {
                return Ok(opened);
            }
            if from == 0 {
                opened.check_encoding()?;
            }
            let has_schema = from > 0 || opened.has_schema()?;
            match opened.client.script(opened.sql.migrate(from, has_schema)) {
                // Another process may have done it at the same time.
                Err(failure) if opened.version().is_ok_and(|version| version.unwrap_or(0) <= from) => {
                    return Err(opened.failed(failure, "make the tables of the store"));
                }
                _ => {}
            }
        }
        Ok(opened)
    }

    fn connect(url: &str, schema: &str, length: Duration) -> Result<Self> {
        let (client, sql) = (Arc::new(Client::new(url, length)?), Arc::new(Sql::new(schema, false)));
        let lease = Arc::new(Lease::new(&client, &sql, length));
        Ok(Self {
            client,
            sql,
            lease,
            is_unsure: AtomicBool::default(),
            is_beside: false,
            is_read: false,
            moment: None,
        })
    }

    /// The version of the tables; `None` when there are none.
    fn version(&self) -> Result<Option<i32>> {
        let name: Value = (Box::new(self.sql.lease_table()), Type::TEXT);
        let exists = self.client.read(&self.sql.exists, vec![name])?.first().is_some_and(|row: &Row| row.get(0));
        if !exists {
            return Ok(None);
        }
        let rows = self.client.read(&self.sql.lease, Vec::new())?;
        let Some((format, writer)) = rows.first().map(|row| (row.get::<_, i32>(3), row.get::<_, i32>(4))) else {
            return Ok(None);
        };
        check_writer(writer)?;
        Ok(Some(format))
    }

    /// What people write is in every language.
    fn check_encoding(&self) -> Result<()> {
        let rows = self.client.read(self.sql.encoding, Vec::new())?;
        let encoding: String = rows.first().map(|row| row.get(0)).unwrap_or_default();
        if encoding == "UTF8" {
            return Ok(());
        }
        let text = "make the tables of the store: the encoding of the database is not UTF8; use another database, made with \
                    CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0";
        Err(Error::new(ErrorKind::Store, text).with("encoding", encoding).with("database", self.place()))
    }

    fn has_schema(&self) -> Result<bool> {
        let name: Value = (Box::new(self.sql.schema()), Type::TEXT);
        Ok(self.client.read(self.sql.has_schema, vec![name])?.first().is_some_and(|row: &Row| row.get(0)))
    }

    /// Who may write.
    pub(super) fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.lease)
    }

    /// Where it is, for people.
    pub(super) fn place(&self) -> &str {
        self.client.place()
    }

    /// An empty table that [`PgKv::replace`] puts in the place of this one.
    ///
    /// # Errors
    /// When it cannot be made, or the lease is not held.
    pub(super) fn beside(&self, schema: &str) -> Result<Self> {
        self.lease.proof(None)?;
        let run = |script| self.client.script(script).map_err(|failure| self.failed(failure, "make a table"));
        run(self.sql.make_beside())?;
        let alike = self.client.read(&self.sql.alike(), Vec::new())?;
        run(alike.first().map(|row| row.get(0)).unwrap_or_default())?;
        let sql = Arc::new(Sql::new(schema, true));
        let (client, lease) = (Arc::clone(&self.client), Arc::clone(&self.lease));
        Ok(Self { client, sql, lease, is_unsure: AtomicBool::default(), is_beside: true, is_read: false, moment: None })
    }

    /// The same as of one moment, whoever writes meanwhile. What was read counts if [`PgKv::check_whole`] succeeds afterwards.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) fn frozen(&self) -> Result<Self> {
        let client = Arc::new(self.client.frozen().map_err(|failure| self.failed(failure, "read the store"))?);
        let (sql, lease, is_unsure) = (Arc::clone(&self.sql), Arc::clone(&self.lease), AtomicBool::default());
        let mut frozen = Self { client, sql, lease, is_unsure, is_beside: false, is_read: true, moment: None };
        frozen.moment = Some(frozen.now()?);
        Ok(frozen)
    }

    /// Whether it was read as of one moment to the end: its connection may have been replaced.
    ///
    /// # Errors
    /// When it was not.
    pub(super) fn check_whole(&self) -> Result<()> {
        if self.moment == Some(self.now()?) {
            return Ok(());
        }
        let text = "read the store: its connection broke while other processes wrote to it; run it again";
        Err(Error::new(ErrorKind::Store, text))
    }

    /// The moment as of which statements read.
    fn now(&self) -> Result<String> {
        Ok(self.client.read(self.sql.snapshot, Vec::new())?.first().map(|row| row.get(0)).unwrap_or_default())
    }

    /// Puts this table in the place of the store's, as one step.
    ///
    /// # Errors
    /// When the lease is not held, or the database refuses. The store is as it was then.
    pub(super) fn replace(&self) -> Result<()> {
        let Proof { token, nonce, .. } = self.lease.proof(None)?;
        let script = self.sql.replace(token, nonce);
        self.client.script(script).map_err(|failure| self.failed(failure, "put the new table in place"))
    }

    /// Removes this table, if it is one that was to take the place of the store's.
    pub(super) fn discard(&self) {
        if self.is_beside
            && let Err(failure) = self.client.script(self.sql.drop_beside())
        {
            tracing::warn!(?failure, "could not remove an incomplete table");
        }
    }

    fn failed(&self, failure: Failure, doing: &str) -> Error {
        failure.into_error(doing, self.client.place())
    }

    fn pairs(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Pair>> {
        Ok(self.client.read(sql, values)?.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    fn send(&self, batch: &Batch, (proof, next): (&Proof, u64), head: Option<&[u8]>) -> Result<Written, Failure> {
        let rows = self.client.once(&self.sql.write, batch_values(batch, (proof, next), head))?;
        let Some(row) = rows.first() else { return Ok(Written::NotHeld(None)) };
        let (is_held, found) = (row.get::<_, bool>(0), row.get::<_, Option<Vec<u8>>>(1));
        Ok(match is_held {
            false => Written::NotHeld(row.get(2)),
            true if found.as_deref() == head => Written::Done,
            true => Written::Head(found),
        })
    }

    /// After a write whose answer got lost: makes sure that it takes no effect any more if it has taken none, and reads the head.
    fn settle(&self) -> Result<Option<Vec<u8>>> {
        self.is_unsure.store(true, Ordering::Relaxed);
        self.lease.rotate()?;
        let head = self.get(&Guard::key())?;
        self.is_unsure.store(false, Ordering::Relaxed);
        Ok(head)
    }

    /// What this call may leave unread, where that is known: not as of one moment, nor while the outcome of a write is unknown.
    fn reading(&self) -> Option<Reading<'_, impl Fn(&str) -> Option<Tenure>>> {
        let may = !self.is_read && !self.is_beside && self.moment.is_none() && !self.is_unsure.load(Ordering::Relaxed);
        may.then(|| {
            let tenure_of = |source: &str| self.lease.tenure(&Unit::source(source));
            Reading::new(&self.lease.state.remembered, tenure_of)
        })
    }

    fn values(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let found = self.pairs(&self.sql.get_many, vec![(Box::new(keys.to_vec()), Type::BYTEA_ARRAY)])?;
        let found: HashMap<Vec<u8>, Vec<u8>> = found.into_iter().collect();
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    fn first_pairs(&self, range: &KeyRange, limit: usize) -> Result<Vec<Pair>> {
        let limit: Value = (Box::new(i64::try_from(limit).unwrap_or(i64::MAX)), Type::INT8);
        let from: Value = (Box::new(range.from.clone()), Type::BYTEA);
        match &range.to {
            Some(to) => self.pairs(&self.sql.range, vec![from, (Box::new(to.clone()), Type::BYTEA), limit]),
            None => self.pairs(&self.sql.range_to_the_end, vec![from, limit]),
        }
    }

    /// Writes a batch, again if it must be.
    fn write(&self, batch: &Batch, guard: &Guard) -> Result<()> {
        const DOING: &str = "write to the store";
        let mut expected = Self::first_head(guard)?;
        let mut tries = 0;
        loop {
            let proof = self.lease.proof(guard.unit())?;
            tries += 1;
            match self.send(batch, (&proof, guard.next()), expected.as_deref()) {
                Ok(Written::Done) => {
                    self.lease.committed(&proof, guard.next());
                    return Ok(());
                }
                Ok(Written::NotHeld(committed)) => return Err(self.lease.was_lost(&proof, committed)),
                Ok(Written::Head(found)) => {
                    self.lease.check_kept(kv::head(found.as_deref())?)?;
                    guard.check(found.as_deref())?;
                    expected = found;
                }
                Err(Failure::Unknown(reason)) => {
                    self.lease.may_have_committed(&proof, guard.next());
                    let lost = self.failed(Failure::Unknown(reason), DOING);
                    tracing::warn!("{}; looking whether it was stored", lost.full());
                    let head = self.settle()?;
                    let is_past = guard.next() != guard.expected() && kv::head(head.as_deref())? >= guard.next();
                    if is_past && self.lease.last_number(&proof.name)? == guard.next() {
                        self.lease.committed(&proof, guard.next());
                        return Ok(());
                    }
                    self.lease.check_kept(kv::head(head.as_deref())?)?;
                    guard.check(head.as_deref())?;
                    if tries >= TRIES {
                        return Err(lost);
                    }
                }
                Err(failure) => return Err(self.failed(failure, DOING)),
            }
        }
    }

    /// The head to write from. An older program may have stored it in other bytes.
    fn first_head(guard: &Guard) -> Result<Option<Vec<u8>>> {
        if guard.expected() == 0 { Ok(None) } else { format::encode(&guard.expected()).map(Some) }
    }
}

fn batch_values(batch: &Batch, (proof, next): (&Proof, u64), head: Option<&[u8]>) -> Vec<Value> {
    // In the order of keys, in which two writers cannot wait for each other.
    let mut sorted: Vec<_> = batch.iter().collect();
    sorted.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let put = || sorted.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    let keys: Vec<Vec<u8>> = put().map(|(key, _)| key.clone()).collect();
    let values: Vec<Vec<u8>> = put().map(|(_, value)| value.clone()).collect();
    let removed: Vec<Vec<u8>> =
        sorted.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.clone()).collect();
    vec![
        (Box::new(proof.token), Type::INT8),
        (Box::new(proof.nonce), Type::INT8),
        (Box::new(WRITER), Type::INT4),
        (Box::new(Guard::key()), Type::BYTEA),
        (Box::new(head.map(<[u8]>::to_vec)), Type::BYTEA),
        (Box::new(keys), Type::BYTEA_ARRAY),
        (Box::new(values), Type::BYTEA_ARRAY),
        (Box::new(removed), Type::BYTEA_ARRAY),
        (Box::new(proof.name.clone()), Type::TEXT),
        (Box::new(next.cast_signed()), Type::INT8),
        (Box::new(proof.committed.clone()), Type::INT8_ARRAY),
    ]
}

/// Bytes that the database wrote as hex digits.
fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| text.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    (0..text.len()).step_by(2).map_while(digits).collect()
}

impl Kv for PgKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.get_many(&[key.to_vec()])?.pop().flatten())
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let Some(mut reading) = self.reading() else { return self.values(keys) };
        let mut values: Vec<Option<Option<Vec<u8>>>> = keys.iter().map(|key| reading.value(key)).collect();
        let unknown: Vec<Vec<u8>> =
            keys.iter().zip(&values).filter(|(_, value)| value.is_none()).map(|(key, _)| key.clone()).collect();
        if unknown.is_empty() {
            return Ok(values.into_iter().map(Option::flatten).collect());
        }
        let found = self.values(&unknown)?;
        reading.remember(unknown.iter().zip(found.iter().map(Option::as_ref)));
        let unknown = values.iter_mut().filter(|value| value.is_none());
        unknown.zip(found).for_each(|(value, found)| *value = Some(found));
        Ok(values.into_iter().map(Option::flatten).collect())
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<Pair>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let Some(mut reading) = self.reading() else { return self.first_pairs(range, limit) };
        if let Some(pairs) = reading.list(range, limit) {
            return Ok(pairs);
        }
        let pairs = self.first_pairs(range, limit)?;
        if pairs.len() < limit {
            reading.remember_list(range, &pairs);
        }
        Ok(pairs)
    }

    fn range_many(&self, ranges: &[KeyRange]) -> Result<Vec<Vec<Pair>>> {
        let mut found: Vec<Vec<Pair>> = vec![Vec::new(); ranges.len()];
        let bounded =
            || ranges.iter().enumerate().filter_map(|(at, range)| Some((at, &range.from, range.to.as_ref()?)));
        let places: Vec<usize> = bounded().map(|(at, _, _)| at).collect();
        if !places.is_empty() {
            let low: Vec<Vec<u8>> = bounded().map(|(_, from, _)| from.clone()).collect();
            let high: Vec<Vec<u8>> = bounded().map(|(_, _, to)| to.clone()).collect();
            let values: Vec<Value> = vec![(Box::new(low), Type::BYTEA_ARRAY), (Box::new(high), Type::BYTEA_ARRAY)];
            for row in self.client.read(&self.sql.range_many, values)? {
                let place =
                    usize::try_from(row.get::<_, i64>(0)).ok().and_then(|place| places.get(place.checked_sub(1)?));
                if let Some(pairs) = place.and_then(|place| found.get_mut(*place)) {
                    pairs.push((row.get(1), row.get(2)));
                }
            }
        }
        for (range, pairs) in ranges.iter().zip(&mut found).filter(|(range, _)| range.to.is_none()) {
            *pairs = self.range(range, usize::MAX)?;
        }
        Ok(found)
    }

    fn write_batch(&self, batch: Batch, guard: &Guard) -> Result<()> {
        if self.is_beside {
            return self.write(&batch, guard);
        }
        let remembered = &self.lease.state.remembered;
        remembered.before(&batch);
        let written = self.write(&batch, guard);
        self.lease.state.note(written.as_ref());
        remembered.after(&batch, written.is_ok(), |source| self.lease.tenure(&Unit::source(source)));
        written
    }

    fn turn(&self) -> Result<WriteTurn> {
        if !self.lease.is_held() || self.lease.is_exclusive() {
            return Ok(WriteTurn { head: kv::head(self.get(&Guard::key())?.as_deref())?, _end: None });
        }
        let begun = self.client.transaction(&self.sql.turn);
        let (head, open) = begun.map_err(|failure| self.failed(failure, "wait for the turn to write"))?;
        let head = kv::head(head.map(|text| unhex(&text)).as_deref())?;
        Ok(WriteTurn { head, _end: Some(Box::new(open)) })
    }

    fn size(&self) -> Result<u64> {
        let rows = self.client.read(&self.sql.size, Vec::new())?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }

    fn inbox(&self) -> Result<Vec<Delivered>> {
        // The tables of the first version have none, and what is filled is to be read back as it was written.
        if self.is_beside || self.version()?.is_none_or(|version| version < INBOX) {
            return Ok(Vec::new());
        }
        let rows = self.client.read(&self.sql.inbox, Vec::new())?;
        Ok(rows.iter().map(|row| Delivered { id: row.get(0), source: row.get(1), body: row.get(2) }).collect())
    }

    fn trouble(&self) -> Option<String> {
        self.lease.state.trouble()
    }

    fn check_writable(&self) -> Result<()> {
        if self.is_read {
            return Ok(());
        }
        self.lease.proof(None)?;
        if self.is_unsure.load(Ordering::Relaxed) {
            self.settle()?;
        }
        Ok(())
    }
}

impl Drop for PgKv {
    fn drop(&mut self) {
        self.discard();
    }
}
