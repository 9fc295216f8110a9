//! Dead letters: what a backend permanently refused, each with the request it was in, so that it can be sent again.

use std::fmt;
use std::str::FromStr;

use super::format;
use super::key::{Key, Kind};
use super::reader::Store;
use super::records::DeadLetter;
use crate::model::error::Result;
use crate::model::printable;

/// Identifies a dead letter: the journal number of the transaction that stored it, and its place in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadId(u64, u64);

impl fmt::Display for DeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for DeadId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('-').and_then(|(seq, place)| Some(Self(seq.parse().ok()?, place.parse().ok()?)));
        parsed.ok_or_else(|| format!("`{}` is not the id of a dead letter, such as 4711-0", printable::one_line(text)))
    }
}

impl DeadId {
    pub(super) fn new(seq: u64, place: u64) -> Self {
        Self(seq, place)
    }

    pub(super) fn key(self, kind: Kind) -> Key {
        Key::new(kind).number(self.0).number(self.1)
    }

    fn of_key(key: &[u8]) -> Option<Self> {
        let number = |from: usize| Some(u64::from_be_bytes(key.get(from..from + 8)?.try_into().ok()?));
        Some(Self(number(1)?, number(9)?))
    }
}

impl Store {
    /// Everything that backends permanently refused, oldest first, each with its id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn dead_letters_by_id(&self) -> Result<Vec<(DeadId, DeadLetter)>> {
        let mut letters = Vec::new();
        for item in self.scan(Key::new(Kind::DeadLetter)) {
            let (key, value) = item?;
            letters
                .extend(DeadId::of_key(&key).map(|id| format::decode(&value).map(|letter| (id, letter))).transpose()?);
        }
        Ok(letters)
    }

    /// The request of a dead letter; `None` when it is not kept (any more), as of letters that an older version stored.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn dead_request(&self, id: DeadId) -> Result<Option<Vec<u8>>> {
        self.kv.get(&id.key(Kind::DeadRequest).build())?.map(|bytes| format::decode(&bytes)).transpose()
    }

    /// Whether the request of a dead letter is kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_dead_request(&self, id: DeadId) -> Result<bool> {
        Ok(self.kv.get(&id.key(Kind::DeadRequest).build())?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Millis;

    fn letter(items: u64) -> DeadLetter {
        DeadLetter { signal: "logs".into(), reason: "HTTP 400".into(), hint: None, items, at: Millis(7) }
    }

    #[test]
    fn a_letter_keeps_its_request_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut transaction = store.begin().unwrap();
        transaction.put_dead(&letter(1), b"first").unwrap();
        transaction.put_dead(&letter(2), b"second").unwrap();
        transaction.commit().unwrap();
        let letters = store.dead_letters_by_id().unwrap();
        assert_eq!(letters.iter().map(|(_, letter)| letter.items).collect::<Vec<_>>(), [1, 2]);
        let ids: Vec<DeadId> = letters.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids[0].to_string().parse(), Ok(ids[0]));
        assert!("x".parse::<DeadId>().is_err());
        assert_eq!(store.dead_request(ids[1]).unwrap(), Some(b"second".to_vec()));
        let mut transaction = store.begin().unwrap();
        transaction.remove_dead(ids[0]);
        transaction.commit().unwrap();
        assert_eq!(store.dead_letters().unwrap(), [letter(2)]);
        assert_eq!((store.has_dead_request(ids[0]).unwrap(), store.has_dead_request(ids[1]).unwrap()), (false, true));
    }

    #[test]
    fn only_the_newest_letters_keep_their_requests() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for items in 0..260 {
            let mut transaction = store.begin().unwrap();
            transaction.put_dead(&letter(items), b"request").unwrap();
            transaction.commit().unwrap();
        }
        let letters = store.dead_letters_by_id().unwrap();
        let kept = letters.iter().filter(|(id, _)| store.has_dead_request(*id).unwrap());
        assert_eq!((letters.len(), kept.count()), (260, 250));
        assert!(!store.has_dead_request(letters[9].0).unwrap() && store.has_dead_request(letters[10].0).unwrap());
    }
}
