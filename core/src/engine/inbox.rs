//! What was reported to any replica: it waits in the database until the replica that has its source has stored it.
//!
//! A run first hands everything that waits to the connector, and forgets it only after it has read and stored all of it. A replica that
//! dies in between leaves it to the next one; what is stored twice is known by its writer and number. What waits is listed by its
//! own id, never as what follows a number: a delivery that is committed late is listed all the same.

use super::Engine;
use crate::ingest::sync::{Source, SourceReport};
use crate::model::error::Result;

/// Deliveries that one run takes. Each is at most as large as a request.
const AT_ONCE: i64 = 200;

impl Engine {
    /// Hands the source what was delivered for it. Returns the ids.
    ///
    /// # Errors
    /// When the store cannot be read, or the spool cannot be written.
    pub(super) fn take_delivered(&self, source: &Source) -> Result<Vec<String>> {
        let Some(lease) = self.store.lease().filter(|_| source.config.takes_reports()) else { return Ok(Vec::new()) };
        let (ids, bodies): (Vec<String>, Vec<String>) =
            lease.delivered(&source.config.name, AT_ONCE)?.into_iter().unzip();
        source.connector.receive(&bodies)?;
        Ok(ids)
    }

    /// Forgets what a run has stored. What could not be forgotten is stored again, which changes nothing.
    pub(super) fn forget_delivered(&self, ids: Vec<String>, report: &SourceReport) {
        let Some(lease) = self.store.lease().filter(|_| !ids.is_empty() && report.error.is_none()) else { return };
        let is_rest = i64::try_from(ids.len()).is_ok_and(|taken| taken >= AT_ONCE);
        let forgotten = lease.taken_in(ids).and_then(|()| if is_rest { lease.wake(&report.name) } else { Ok(()) });
        if let Err(error) = forgotten {
            tracing::warn!(source = report.name, error = %error.full(), "could not forget what was delivered");
        }
    }
}
