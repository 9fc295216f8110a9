//! How old the data is: the moment of a view, and the sources that were not read for too long before it.

use serde::{Deserialize, Serialize};

use super::viewer::Viewer;
use crate::model::error::Result;
use crate::model::time::{HOUR, Millis};

/// A source that was read longer ago than this is late; the dashboards' health turns red by the same.
const LATE: i64 = HOUR;

/// How old the data is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Freshness {
    /// The moment of the view.
    pub as_of: Millis,
    /// The sources that are late, in the order of the configuration.
    pub stale: Vec<Lag>,
}

/// A source that is late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// Its name in the configuration.
    pub source: String,
    /// Seconds since the start of the run that was read to its end; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<f64>,
}

impl Viewer<'_> {
    /// How old the data is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn freshness(&self) -> Result<Freshness> {
        let mut stale = Vec::new();
        for source in &self.config.sources {
            let lag = self.lag(&source.name)?;
            if lag.is_none_or(|lag| lag * 1e3 > LATE as f64) {
                stale.push(Lag { source: source.name.clone(), lag });
            }
        }
        Ok(Freshness { as_of: self.now, stale })
    }

    /// Seconds since the start of the run that the cursors of a source cover.
    pub(super) fn lag(&self, source: &str) -> Result<Option<f64>> {
        let status = self.store.source_status(source)?;
        // A run in progress has not succeeded yet, but its cursors already cover its start.
        // One that was stopped counts as no failure, and has covered nothing either.
        let is_well = status.failures == 0 && status.last_error.is_none();
        let covered = if is_well { status.last_attempt.or(status.last_success) } else { status.last_success };
        Ok(status.last_success.and(covered).map(|at| self.now.seconds_since(at)))
    }
}
