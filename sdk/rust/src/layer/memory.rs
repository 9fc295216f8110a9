//! What was linked lately, in bounded memory.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::mem::take;

/// So many are remembered at least; at most twice as many.
const REMEMBERED: usize = 4_096;

/// The last things that were seen, as hashes: the newest, and those before them. What is seen again is as if it were new.
#[derive(Debug, Default)]
pub(super) struct Recent {
    keys: RandomState,
    newest: HashSet<u64>,
    older: HashSet<u64>,
}

impl Recent {
    /// Whether this was not seen lately. It is seen from now on.
    pub(super) fn is_new(&mut self, thing: &impl Hash) -> bool {
        let hash = self.keys.hash_one(thing);
        if self.newest.contains(&hash) {
            return false;
        }
        if self.newest.len() >= REMEMBERED {
            self.older = take(&mut self.newest);
        }
        self.newest.insert(hash);
        !self.older.contains(&hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_again_and_again_stays_while_others_are_forgotten() {
        let mut recent = Recent::default();
        assert!(recent.is_new(&"kept") && !recent.is_new(&"kept"));
        for number in 0..10 * REMEMBERED {
            assert!(recent.is_new(&number));
            assert!(!recent.is_new(&"kept"));
        }
        assert!(!recent.is_new(&(10 * REMEMBERED - REMEMBERED)), "the last ones are remembered");
        assert!(recent.is_new(&0), "the first ones are not");
        assert!(recent.newest.len() + recent.older.len() <= 2 * REMEMBERED);
    }
}
