//! Operations in memory instead of a spool.

use std::sync::{Arc, Mutex, PoisonError};

use contextcore_model::operation::Operation;

/// Keeps what was reported.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Operation>>>);

impl Recorder {
    /// Everything so far, in order.
    pub fn all(&self) -> Vec<Operation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn record(&self, operation: Operation) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }
}
