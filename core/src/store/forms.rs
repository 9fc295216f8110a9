//! What services that share a store know together of the forms that they send to clients of the Model Context Protocol: the key that
//! seals them, so that a form may come back to any of them, and which came back already.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Store;
use crate::model::error::Result;
use crate::model::time::Millis;

/// The metadata that it is in.
const GROUP: &str = "forms";
/// A write is tried again so often when another process wrote meanwhile.
const TRIES: usize = 8;

/// What is known of forms.
#[derive(Default, Serialize, Deserialize)]
struct Forms {
    /// Empty until a form is sent.
    key: Vec<u8>,
    /// Those that came back, with when they would have ended.
    used: BTreeMap<String, Millis>,
}

/// The row of it.
pub(super) fn place() -> Vec<u8> {
    super::key::metadata(GROUP, "")
}

impl Store {
    /// The key that forms are sealed with. The first that asks makes it; it is the same in every process, as long as there is the store.
    ///
    /// # Errors
    /// When it can be neither read nor written.
    pub fn form_key(&self) -> Result<[u8; 32]> {
        let known = self.metadata::<Forms>(GROUP, "")?.unwrap_or_default();
        if let Ok(key) = known.key.try_into() {
            return Ok(key);
        }
        self.change_forms(|forms| {
            let key: [u8; 32] = forms.key.as_slice().try_into().unwrap_or_else(|_| rand::random());
            forms.key = key.to_vec();
            key
        })
    }

    /// Notes that the form `id` came back, which ends at `until`. False when it did before, to whatever process.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn use_form(&self, id: &str, now: Millis, until: Millis) -> Result<bool> {
        self.change_forms(|forms| {
            forms.used.retain(|_, until| *until > now);
            forms.used.insert(id.to_owned(), until).is_none()
        })
    }

    fn change_forms<T>(&self, change: impl Fn(&mut Forms) -> T) -> Result<T> {
        let mut tries = 0;
        loop {
            let done = self.changed_forms(&change);
            tries += 1;
            match done {
                Err(error) if tries < TRIES && error.context("conflict").is_some() => {}
                done => return done,
            }
        }
    }

    fn changed_forms<T>(&self, change: impl Fn(&mut Forms) -> T) -> Result<T> {
        let mut transaction = self.begin()?;
        let mut forms = transaction.metadata::<Forms>(GROUP, "")?.unwrap_or_default();
        let changed = change(&mut forms);
        transaction.put_metadata(GROUP, "", &forms)?;
        transaction.commit().map(|_| changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::reopen::opened;

    #[test]
    fn a_form_comes_back_once_and_its_key_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let open = || opened(&dir.path().join("store")).unwrap();
        let store = open();
        let key = store.form_key().unwrap();
        assert_eq!(store.form_key().unwrap(), key);
        assert!(store.use_form("ins_1", Millis(0), Millis(900)).unwrap());
        assert!(store.use_form("ins_2", Millis(0), Millis(900)).unwrap());
        drop(store);
        let store = open();
        assert_eq!(store.form_key().unwrap(), key);
        assert!(!store.use_form("ins_1", Millis(800), Millis(900)).unwrap());
        assert!(store.use_form("ins_3", Millis(901), Millis(1_800)).unwrap());
        let kept = store.metadata::<Forms>(GROUP, "").unwrap().unwrap();
        assert_eq!(kept.used.into_keys().collect::<Vec<_>>(), ["ins_3"], "those that ended are forgotten");
    }
}
