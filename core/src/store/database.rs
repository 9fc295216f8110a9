//! A store in a database, which several processes may have open: opening it, taking the right to write, and filling it from another
//! store.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::kv::Kv;
use super::postgres::{Database, Lease, PgKv, Working};
use super::reader::Store;
use super::unit::Unit;
use crate::model::config::PostgresConfig;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::secret::Secret;

impl Store {
    /// Opens the store in a database to read it; `url` is what the reference in `config` leads to. Changes nothing there.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the database does not answer or lets nobody in, there is no store (context `missing`), or a newer
    /// version of the program wrote it; [`ErrorKind::Config`] for an address that cannot be understood. The error says what to do.
    pub fn connect(config: &PostgresConfig, url: &Secret) -> Result<Self> {
        let kv = PgKv::open(url.expose(), &config.schema, config.lease_ttl)?;
        Self::in_database(kv, config)
    }

    /// The same, for a process that will write: makes the tables where there are none. It may write once it has the
    /// [lease](Store::take_lease).
    ///
    /// # Errors
    /// As [`Store::connect`], and when the user may not make tables.
    pub fn connect_to_write(config: &PostgresConfig, url: &Secret) -> Result<Self> {
        let kv = PgKv::prepare(url.expose(), &config.schema, config.lease_ttl)?;
        Self::in_database(kv, config)
    }

    fn in_database(kv: PgKv, config: &PostgresConfig) -> Result<Self> {
        let kv = Arc::new(kv);
        let database = Database { lease: kv.lease(), kv: Arc::clone(&kv), schema: config.schema.clone() };
        let store = Self { database: Some(Arc::new(database)), ..Self::unchecked(PathBuf::new(), kv) };
        store.check_format()?;
        Ok(store)
    }

    /// Who may write, where several processes have the store open; `None` for a store that belongs to this process alone.
    pub fn lease(&self) -> Option<&Arc<Lease>> {
        self.database.as_ref().map(|database| &database.lease)
    }

    /// Takes the right to write everything; whether this process has it now. A store that belongs to it alone needs none.
    ///
    /// # Errors
    /// As the store's, when it cannot be reached or was written by a newer version of the program.
    pub fn take_lease(&self) -> Result<bool> {
        let Some(database) = &self.database else { return Ok(true) };
        if !database.lease.acquire()? {
            // So that this process notices when the database has less later.
            database.lease.accept(self.head()?);
            return Ok(false);
        }
        self.begin_to_write(database).map(|()| true)
    }

    /// Joins the processes that share the store, to work on some of these units; whether it has, or need not.
    ///
    /// # Errors
    /// As [`Store::take_lease`].
    pub fn join(&self, units: &[Unit]) -> Result<bool> {
        let Some(database) = &self.database else { return Ok(true) };
        if !database.lease.join(units)? {
            return Ok(false);
        }
        self.begin_to_write(database).map(|()| true)
    }

    fn begin_to_write(&self, database: &Database) -> Result<()> {
        // Another process may have written since.
        self.forget_insights();
        self.make_format()?;
        database.lease.recognise();
        database.lease.accept(self.head()?);
        Ok(())
    }

    /// Fails when the store is behind what this process has seen of it.
    pub(super) fn check_kept(&self, head: u64) -> Result<()> {
        self.database.as_ref().map_or(Ok(()), |database| database.lease.check_kept(head))
    }

    /// Whether this process works on a unit, or has the whole store.
    pub fn owns(&self, unit: &Unit) -> bool {
        self.database.as_ref().is_none_or(|database| database.lease.owns(unit))
    }

    /// Begins to work on a unit, if this process may.
    pub fn enter(&self, unit: &Unit) -> Option<Working> {
        self.database.as_ref().map_or_else(|| Some(Working::alone()), |database| database.lease.enter(unit))
    }

    /// Whether other processes may write to it now.
    pub fn is_written_by_others(&self) -> bool {
        self.database.as_ref().is_some_and(|database| !database.lease.is_exclusive())
    }

    /// Has the replica that works on a source export it. What cannot be said now is exported with the next change.
    pub fn wake_export(&self, source: &str) {
        if self.is_written_by_others()
            && let Some(Err(error)) = self.lease().map(|lease| lease.wake_export(source))
        {
            tracing::debug!(source, error = %error.full(), "could not say that a source is to be exported");
        }
    }

    /// Whether this process may not write to it now, and another one may.
    pub fn is_standby(&self) -> bool {
        self.database.as_ref().is_some_and(|database| !database.lease.is_held())
    }

    /// Forgets the index of insights, which no longer fits what is stored, or may not.
    pub(super) fn forget_insights(&self) {
        *self.insights.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Reads it as of one moment, also while other processes write to it. In this process, writers wait by themselves.
    pub(super) fn at_one_moment<T>(&self, read: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let Some(database) = &self.database else { return read(self) };
        let frozen = Arc::new(database.kv.frozen()?);
        let done = read(&Self::unchecked(PathBuf::new(), Arc::clone(&frozen) as Arc<dyn Kv>))?;
        frozen.check_whole()?;
        Ok(done)
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        match &self.database {
            Some(database) => format!("{}, schema {}", database.kv.place(), database.schema),
            None => self.path.display().to_string(),
        }
    }

    /// Fills this store, which must be empty, as one step: what `fill` wrote takes its place only once that succeeds.
    pub(super) fn filled<T>(&self, fill: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let Some(database) = &self.database else {
            return Err(Error::new(ErrorKind::Internal, "fill a store that is in no database"));
        };
        self.check_empty()?;
        let beside = Arc::new(database.kv.beside(&database.schema)?);
        let fresh = Self::unchecked(PathBuf::new(), Arc::clone(&beside) as Arc<dyn Kv>);
        let done = fill(&fresh)?;
        beside.replace()?;
        self.forget_insights();
        Ok(done)
    }
}
