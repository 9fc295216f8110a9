//! What replicas that share a store ask of each other: which sources to read or to export soon, and what was reported to them.

use tokio_postgres::types::Type;

use super::client::{Value, text, texts};
use super::lease::Lease;
use crate::model::error::Result;

impl Lease {
    /// Asks the replica that has a source to read it soon.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the database does not answer.
    pub fn wake(&self, source: &str) -> Result<()> {
        self.client.read(&self.state.sql.wake, vec![text(source.to_owned())]).map(drop)
    }

    /// Asks the replica that has a source to export what was stored of it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the database does not answer.
    pub fn wake_export(&self, source: &str) -> Result<()> {
        self.client.read(&self.state.sql.wake, vec![text(format!("export/{source}"))]).map(drop)
    }

    /// Which of these sources other processes asked to be read since the last time, and whether any is to be exported.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the database does not answer.
    pub fn woken(&self, sources: &[String]) -> Result<(Vec<String>, bool)> {
        let both = sources.iter().flat_map(|source| [source.clone(), format!("export/{source}")]);
        let woken = self.client.once(&self.state.sql.woken, vec![texts(both.collect())]);
        let woken = woken.map_err(|failure| failure.into_error("read the store", self.client.place()))?;
        let woken: Vec<String> = woken.iter().map(|row| row.get(0)).collect();
        let (polls, exports): (Vec<String>, Vec<String>) = woken.into_iter().partition(|name| sources.contains(name));
        Ok((polls, !exports.is_empty()))
    }

    /// Which of these sources nobody has been woken for yet.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the database does not answer.
    pub fn unheeded(&self, sources: &[String]) -> Result<Vec<String>> {
        let rows = self.client.read(&self.state.sql.unheeded, vec![texts(sources.to_vec())])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Asks no longer for these sources.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the database does not answer.
    pub fn withdraw(&self, sources: &[String]) -> Result<()> {
        self.client.read(&self.state.sql.withdraw, vec![texts(sources.to_vec())]).map(drop)
    }

    /// Keeps what was reported to any replica until the one that has the source has stored it. `id` is a UUID: what is delivered
    /// twice is kept once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the database does not answer or refuses. It may have been kept all the same.
    pub fn deliver(&self, id: &str, source: &str, body: &str) -> Result<()> {
        let values = vec![text(id.to_owned()), text(source.to_owned()), text(body.to_owned())];
        self.client.read(&self.state.sql.deliver, values).map(drop)
    }

    /// The oldest of what was delivered for a source, each with its id.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the database does not answer.
    pub fn delivered(&self, source: &str, limit: i64) -> Result<Vec<(String, String)>> {
        let values: Vec<Value> = vec![text(source.to_owned()), (Box::new(limit), Type::INT8)];
        let rows = self.client.read(&self.state.sql.delivered, values)?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// How many deliveries wait for the replicas that have their sources.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the database does not answer.
    pub fn waiting(&self) -> Result<u64> {
        let rows = self.client.read(&self.state.sql.waiting, Vec::new())?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }

    /// Whether what was delivered under this id has been stored.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the database does not answer.
    pub fn is_taken_in(&self, id: &str) -> Result<bool> {
        let rows = self.client.read(&self.state.sql.is_delivered, vec![text(id.to_owned())])?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// Forgets what was delivered, once it is stored.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the database does not answer.
    pub fn taken_in(&self, ids: Vec<String>) -> Result<()> {
        self.client.read(&self.state.sql.taken_in, vec![texts(ids)]).map(drop)
    }
}
