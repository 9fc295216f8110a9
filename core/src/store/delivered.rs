//! What was reported and acknowledged, and is not stored yet: in the inbox of a database, and in copies and exports of one.
//!
//! A copy or an export has it as keys after all others. In a database they become an inbox again; in a directory the process that
//! has the source takes them from there.

use super::format;
use super::key::{Key, Kind};
use super::kv::{Delivered, KeyRange, Pair};
use super::reader::Store;
use super::transaction::Transaction;
use crate::model::error::{Error, ErrorKind, Result};

impl Delivered {
    fn key(&self, place: usize) -> Vec<u8> {
        Key::new(Kind::Delivered).number(place as u64).text(&self.id).build()
    }

    fn pair(&self, place: usize) -> Result<Pair> {
        let failed = |error| Error::new(ErrorKind::Internal, "write what was delivered").caused_by(error);
        Ok((self.key(place), serde_json::to_vec(self).map_err(failed)?))
    }

    fn of(value: &[u8]) -> Result<Self> {
        format::from_json(value)
    }
}

impl Store {
    /// Every key and value in the order of keys, also of what waits in the inbox of a database.
    pub(super) fn everything(&self) -> Result<impl Iterator<Item = Result<Pair>> + use<>> {
        let before = self.pages(KeyRange::between(Vec::new(), Key::new(Kind::Delivered).build()));
        let mut waiting = self.brought()?.into_iter().map(|(_, delivered)| delivered).collect::<Vec<_>>();
        waiting.extend(self.kv.inbox()?);
        let pairs = waiting.into_iter().enumerate().map(|(place, delivered)| delivered.pair(place));
        Ok(before.chain(pairs))
    }

    /// What a copy or an import brought into a directory and nobody has stored yet, each with its key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn brought(&self) -> Result<Vec<(Vec<u8>, Delivered)>> {
        self.scan(Key::new(Kind::Delivered))
            .map(|pair| pair.and_then(|(key, value)| Ok((key, Delivered::of(&value)?))))
            .collect()
    }

    /// How many deliveries wait for the process that has their source.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn waiting_deliveries(&self) -> Result<u64> {
        match self.lease() {
            Some(lease) => lease.waiting(),
            None => Ok(self.scan(Key::new(Kind::Delivered)).count() as u64),
        }
    }
}

impl Transaction<'_> {
    /// Forgets what a copy or an import brought, once it is stored.
    pub fn remove_brought(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{MemoryKv, tests};

    #[test]
    fn what_an_import_brought_is_listed_in_its_order_until_it_is_forgotten() {
        let store = tests::filled(&(Arc::new(MemoryKv::default()) as _));
        assert_eq!((store.waiting_deliveries().unwrap(), store.brought().unwrap()), (0, vec![]));
        let delivered = |id: &str| Delivered { id: id.into(), source: "agents".into(), body: format!("{id}\n") };
        let mut transaction = store.begin().unwrap();
        for (place, id) in ["b", "a"].into_iter().enumerate() {
            let (key, value) = delivered(id).pair(place).unwrap();
            transaction.writes.insert(key, Some(value));
        }
        transaction.commit().unwrap();
        let found = store.brought().unwrap();
        assert_eq!(found.iter().map(|(_, found)| found.clone()).collect::<Vec<_>>(), ["b", "a"].map(delivered));
        let whole: Vec<Pair> = store.everything().unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(
            whole,
            store.pages(KeyRange::all()).collect::<Result<Vec<_>>>().unwrap(),
            "it is the last of everything"
        );
        let mut transaction = store.begin().unwrap();
        found.into_iter().for_each(|(key, _)| transaction.remove_brought(key));
        transaction.commit().unwrap();
        assert_eq!(store.waiting_deliveries().unwrap(), 0);
    }
}
