//! What is remembered of each item between two polls: sixteen bytes, since it is stored with every page.
//!
//! GitHub cannot be asked which items changed, so every poll lists all of them and compares. [`Fingerprints`] holds for each
//! item, by a hash of its id, what it wrapped, a hash of how it looked when it was given last, and the sweep that last saw it.
//! Two items whose hashes collide are given again at each poll: that costs a request and loses nothing. A changed item keeps
//! its hash once in 2^40 changes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of a hash.
const HASH: usize = 5;
/// Bytes of an entry: three hashes and the number of a sweep.
const ENTRY: usize = 3 * HASH + 1;

/// The first bytes of a hash; all zero means "nothing". Its debug form is stored in the cursor of sprints.
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

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Short {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = BASE64.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)?;
        bytes.try_into().map(Self).map_err(|_| serde::de::Error::custom("a hash has another length"))
    }
}

/// What is remembered of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// The id of what it wraps.
    pub(super) content: Short,
    /// How it looked when it was given last; [`Short::NONE`] when it was not.
    pub(super) look: Short,
    /// The sweep that last saw it, modulo 256.
    pub(super) sweep: u8,
}

/// What is remembered of the items of one project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fingerprints(BTreeMap<Short, Fingerprint>);

impl Fingerprints {
    pub(super) fn get(&self, item: &Short) -> Option<&Fingerprint> {
        self.0.get(item)
    }

    pub(super) fn set(&mut self, item: Short, fingerprint: Fingerprint) {
        self.0.insert(item, fingerprint);
    }

    /// What the remembered items wrap.
    pub(super) fn contents(&self) -> impl Iterator<Item = Short> {
        self.0.values().map(|fingerprint| fingerprint.content).filter(|content| *content != Short::NONE)
    }

    /// Items seen in this sweep.
    pub(super) fn seen(&self, sweep: u8) -> usize {
        self.0.values().filter(|fingerprint| fingerprint.sweep == sweep).count()
    }

    /// Forgets how items looked, so that all are given again; what was put away stays so.
    pub(super) fn forget_looks(&mut self) {
        let shown = self.0.values_mut().filter(|fingerprint| fingerprint.content != Short::NONE);
        shown.for_each(|fingerprint| fingerprint.look = Short::NONE);
    }

    /// Forgets items that neither this sweep nor the one before it saw. Paging by position can skip an item that somebody moves
    /// meanwhile, so one absence proves nothing.
    pub(super) fn forget_absent(&mut self, sweep: u8) {
        self.0.retain(|_, fingerprint| fingerprint.sweep == sweep || fingerprint.sweep == sweep.wrapping_sub(1));
    }
}

impl Serialize for Fingerprints {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * ENTRY);
        for (item, fingerprint) in &self.0 {
            bytes.extend(item.0);
            bytes.extend(fingerprint.content.0);
            bytes.extend(fingerprint.look.0);
            bytes.push(fingerprint.sweep);
        }
        serializer.serialize_str(&BASE64.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Fingerprints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text).map_err(serde::de::Error::custom)?;
        let (entries, rest) = bytes.as_chunks::<ENTRY>();
        if !rest.is_empty() {
            return Err(serde::de::Error::custom("the fingerprints end in the middle of an entry"));
        }
        Ok(Self(entries.iter().map(entry).collect()))
    }
}

fn entry(bytes: &[u8; ENTRY]) -> (Short, Fingerprint) {
    let part = |n: usize| {
        let mut hash = [0; HASH];
        hash.copy_from_slice(&bytes[n * HASH..(n + 1) * HASH]);
        Short(hash)
    };
    (part(0), Fingerprint { content: part(1), look: part(2), sweep: bytes[ENTRY - 1] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(n: u32, sweep: u8) -> (Short, Fingerprint) {
        let of = |what: &str| Short::of(&[what, &n.to_string()]);
        (of("item"), Fingerprint { content: of("content"), look: of("look"), sweep })
    }

    #[test]
    fn ten_thousand_items_fit_in_a_quarter_of_a_megabyte() {
        let fingerprints = Fingerprints((0..10_000).map(|n| fingerprint(n, 7)).collect());
        let text = serde_json::to_string(&fingerprints).unwrap();
        assert!(text.len() < 220_000, "{} bytes", text.len());
        assert_eq!(serde_json::from_str::<Fingerprints>(&text).unwrap(), fingerprints);
        assert!(serde_json::from_str::<Fingerprints>("\"AAAA\"").is_err());
    }

    #[test]
    fn an_item_is_forgotten_after_two_sweeps_without_it() {
        for (first, second, third) in [(1, 2, 3), (254, 255, 0), (255, 0, 1)] {
            let mut fingerprints = Fingerprints([fingerprint(1, first), fingerprint(2, first)].into());
            fingerprints.set(fingerprint(1, 0).0, fingerprint(1, second).1);
            fingerprints.forget_absent(second);
            assert_eq!((fingerprints.seen(second), fingerprints.0.len()), (1, 2), "one absence proves nothing");
            fingerprints.set(fingerprint(1, 0).0, fingerprint(1, third).1);
            fingerprints.forget_absent(third);
            assert_eq!(fingerprints.0.len(), 1);
        }
    }

    #[test]
    fn the_parts_of_a_hash_are_separated() {
        assert_ne!(Short::of(&["a", "b"]), Short::of(&["ab", ""]));
        assert_ne!(Short::of(&[""]), Short::NONE);
    }
}
