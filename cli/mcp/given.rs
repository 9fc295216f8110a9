//! Which insights were given to whom, until it is stored.
//!
//! To store it, a store has to be opened, which takes long where there are many insights. So it is gathered for some seconds, and
//! stored at once before the same program reports anything: who was given an insight does not confirm it by repeating it.

use std::sync::Mutex;

use contextcore_core::config::Config;
use contextcore_core::lock;
use contextcore_core::store::Copies;
use contextcore_spool::StateDir;

use crate::served;

/// Agents, and the ids of what each was given since the last time, as often as it was.
#[derive(Default)]
pub(super) struct Given(Mutex<Vec<(String, Vec<String>)>>);

impl Given {
    pub(super) fn add(&self, ids: Vec<String>, agent: &str) {
        let mut all = lock(&self.0);
        match all.iter_mut().find(|(known, _)| known == agent) {
            Some((_, known)) => known.extend(ids),
            None => all.push((agent.to_owned(), ids)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// Stores it. What cannot be stored is not counted.
    pub(super) async fn store(&self, config: Option<&Config>, state: &StateDir, copies: &Copies) {
        let all = std::mem::take(&mut *lock(&self.0));
        for (agent, ids) in all {
            served::note(config, state, copies, ids, Some(&agent)).await;
        }
    }
}
