//! Reference data as it is stored between two runs.

use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::warn;

/// What was stored after the last run. What cannot be read counts as absent, and is fetched again.
pub(crate) fn read<T: DeserializeOwned>(state: Option<Value>) -> Option<T> {
    let read = serde_json::from_value(state?);
    read.inspect_err(|error| warn!(%error, "stored reference data cannot be read, and is fetched again")).ok()
}

/// What was stored, unless this process has learned more since.
pub(crate) fn newest<T: Clone + Default>(stored: Option<T>, last: Option<&T>, fetched_at: impl Fn(&T) -> Millis) -> T {
    let Some(stored) = stored else { return T::default() };
    let learned = last.filter(|last| fetched_at(last) >= fetched_at(&stored));
    learned.cloned().unwrap_or(stored)
}

/// What outlives a change of the configuration: the `past` of what was stored.
pub(crate) fn outlives<T: DeserializeOwned + Serialize>(state: Value, past: impl Fn(T) -> T) -> Option<Value> {
    write(&past(read(Some(state))?)).ok()
}

/// What to store after this run.
pub(crate) fn write(reference: &impl Serialize) -> Result<Value> {
    let value = serde_json::to_value(reference);
    value.map_err(|error| Error::new(ErrorKind::Internal, "write the reference data").caused_by(error))
}
