//! Dead letters one by one: the list of `contextcore dead-letters`.

use serde::{Deserialize, Serialize};

use super::viewer::Viewer;
use crate::model::error::Result;
use crate::model::time::Millis;

/// What a backend permanently refused with one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterItem {
    /// Its id.
    pub id: String,
    /// The signal.
    pub signal: String,
    /// How many spans, log records or points were refused.
    pub items: u64,
    /// When.
    pub at: Millis,
    /// The backend's message.
    pub reason: String,
    /// What to do about it, if that is known.
    pub hint: Option<String>,
    /// Whether the request is kept, so that it can be sent again.
    pub can_retry: bool,
}

impl Viewer<'_> {
    /// Every dead letter, oldest first.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetterItem>> {
        let letters = self.store.dead_letters_by_id()?.into_iter();
        let item = |(id, letter): (_, crate::store::DeadLetter)| {
            Ok(DeadLetterItem {
                id: ToString::to_string(&id),
                signal: letter.signal,
                items: letter.items,
                at: letter.at,
                reason: letter.reason,
                hint: letter.hint,
                can_retry: self.store.has_dead_request(id)?,
            })
        };
        letters.map(item).collect()
    }
}
