//! What is remembered of each item between two polls: sixteen bytes, since it is kept with every page.
//!
//! GitHub cannot be asked which items changed, so every poll lists all of them and compares. [`Marks`] says for each item, by a
//! hash of its id, what it wrapped, how it looked when it was given last, and in which sweep it was seen last. Two items
//! whose hashes collide are given again at each poll: that costs a request and loses nothing. That a changed item looks like
//! before happens once in 2^40 changes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of a hash.
const HASH: usize = 5;
/// Bytes of an entry: three hashes and the number of a sweep.
const ENTRY: usize = 3 * HASH + 1;

/// The first bytes of a hash; all zero means "nothing".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Short([u8; HASH]);

impl Short {
    /// Nothing: hidden content, or an item that was not given.
    pub(super) const NONE: Self = Self([0; HASH]);

    /// The hash of these texts.
    pub(super) fn of(parts: &[&str]) -> Self {
        let mut hash = blake3::Hasher::new();
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let mut first = [0; HASH];
        first.copy_from_slice(&hash.finalize().as_bytes()[..HASH]);
        Self(first)
    }
}

/// What is remembered of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The id of what it wraps.
    pub(super) content: Short,
    /// How it looked when it was given last; [`Short::NONE`] when it was not.
    pub(super) look: Short,
    /// The sweep it was seen in last, counted round the clock of a byte.
    pub(super) sweep: u8,
}

/// What is remembered of the items of one project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marks(BTreeMap<Short, Mark>);

impl Marks {
    pub(super) fn get(&self, item: &Short) -> Option<&Mark> {
        self.0.get(item)
    }

    pub(super) fn set(&mut self, item: Short, mark: Mark) {
        self.0.insert(item, mark);
    }

    /// What the remembered items wrap.
    pub(super) fn contents(&self) -> impl Iterator<Item = Short> {
        self.0.values().map(|mark| mark.content).filter(|content| *content != Short::NONE)
    }

    /// Items seen in this sweep.
    pub(super) fn seen(&self, sweep: u8) -> usize {
        self.0.values().filter(|mark| mark.sweep == sweep).count()
    }

    /// Forgets what neither this sweep nor the one before it saw. Paging by position can skip an item that somebody moves
    /// meanwhile, so one absence says nothing.
    pub(super) fn forget_absent(&mut self, sweep: u8) {
        self.0.retain(|_, mark| mark.sweep == sweep || mark.sweep == sweep.wrapping_sub(1));
    }
}

impl Serialize for Marks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * ENTRY);
        for (item, mark) in &self.0 {
            bytes.extend(item.0);
            bytes.extend(mark.content.0);
            bytes.extend(mark.look.0);
            bytes.push(mark.sweep);
        }
        serializer.serialize_str(&BASE64.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Marks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text).map_err(serde::de::Error::custom)?;
        let (entries, rest) = bytes.as_chunks::<ENTRY>();
        if !rest.is_empty() {
            return Err(serde::de::Error::custom("the marks end in the middle of one"));
        }
        Ok(Self(entries.iter().map(entry).collect()))
    }
}

fn entry(bytes: &[u8; ENTRY]) -> (Short, Mark) {
    let part = |n: usize| {
        let mut hash = [0; HASH];
        hash.copy_from_slice(&bytes[n * HASH..(n + 1) * HASH]);
        Short(hash)
    };
    (part(0), Mark { content: part(1), look: part(2), sweep: bytes[ENTRY - 1] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(n: u32, sweep: u8) -> (Short, Mark) {
        let of = |what: &str| Short::of(&[what, &n.to_string()]);
        (of("item"), Mark { content: of("content"), look: of("look"), sweep })
    }

    #[test]
    fn ten_thousand_items_are_kept_in_a_quarter_of_a_megabyte_and_read_back() {
        let marks = Marks((0..10_000).map(|n| mark(n, 7)).collect());
        let text = serde_json::to_string(&marks).unwrap();
        assert!(text.len() < 220_000, "{} bytes", text.len());
        assert_eq!(serde_json::from_str::<Marks>(&text).unwrap(), marks);
        assert!(serde_json::from_str::<Marks>("\"AAAA\"").is_err());
    }

    #[test]
    fn an_item_is_forgotten_after_two_sweeps_without_it_round_the_clock() {
        for (first, second, third) in [(1, 2, 3), (254, 255, 0), (255, 0, 1)] {
            let mut marks = Marks([mark(1, first), mark(2, first)].into());
            marks.set(mark(1, 0).0, mark(1, second).1);
            marks.forget_absent(second);
            assert_eq!((marks.seen(second), marks.0.len()), (1, 2), "one absence says nothing");
            marks.set(mark(1, 0).0, mark(1, third).1);
            marks.forget_absent(third);
            assert_eq!(marks.0.len(), 1);
        }
    }

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(Short::of(&["a", "b"]), Short::of(&["ab", ""]));
        assert_ne!(Short::of(&[""]), Short::NONE);
    }
}
