//! Which states of insights are asked for.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::InsightStatus;

/// Which states are asked for: `open` (what holds or waits, the default), `all`, or names of states, with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    open: bool,
    all: bool,
    exact: BTreeSet<InsightStatus>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { open: true, all: false, exact: BTreeSet::new() }
    }
}

impl Wanted {
    /// Every state.
    pub fn all() -> Self {
        Self { open: false, all: true, exact: BTreeSet::new() }
    }

    pub(super) fn includes(&self, is_open: bool, status: InsightStatus) -> bool {
        self.all || (self.open && is_open) || self.exact.contains(&status)
    }
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut wanted = Self { open: false, all: false, exact: BTreeSet::new() };
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "open" => wanted.open = true,
                "all" => wanted.all = true,
                word => drop(wanted.exact.insert(word.parse().map_err(|error| format!("{error}, all"))?)),
            }
        }
        Ok(if wanted.exact.is_empty() && !wanted.all { Self::default() } else { wanted })
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = self.open.then_some("open").into_iter().chain(self.all.then_some("all"));
        let words: Vec<&str> = words.chain(self.exact.iter().map(|status| status.as_str())).collect();
        f.write_str(&words.join(","))
    }
}

impl Serialize for Wanted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
