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

/// What was handed to a source: ids of an inbox, or keys of what an import brought into a directory.
pub(super) enum Taken {
    Ids(Vec<String>),
    Keys(Vec<Vec<u8>>),
}

impl Engine {
    /// Hands the source what was delivered for it.
    ///
    /// # Errors
    /// When the store cannot be read, or the spool cannot be written.
    pub(super) fn take_delivered(&self, source: &Source) -> Result<Taken> {
        if !source.config.takes_reports() {
            return Ok(Taken::Ids(Vec::new()));
        }
        let Some(lease) = self.store.lease() else { return self.take_brought(source) };
        let (ids, bodies): (Vec<String>, Vec<String>) =
            lease.delivered(&source.config.name, AT_ONCE)?.into_iter().unzip();
        source.connector.receive(&bodies)?;
        Ok(Taken::Ids(ids))
    }

    fn take_brought(&self, source: &Source) -> Result<Taken> {
        let brought = self.store.brought()?.into_iter().filter(|(_, brought)| brought.source == source.config.name);
        let (keys, bodies): (Vec<Vec<u8>>, Vec<String>) = brought.map(|(key, brought)| (key, brought.body)).unzip();
        if !bodies.is_empty() {
            source.connector.receive(&bodies)?;
        }
        Ok(Taken::Keys(keys))
    }

    /// Forgets what a run has stored. What could not be forgotten is stored again, which changes nothing.
    pub(super) fn forget_delivered(&self, taken: Taken, report: &SourceReport) {
        if report.error.is_some() {
            return;
        }
        let forgotten = match (taken, self.store.lease()) {
            (Taken::Ids(ids), Some(lease)) if !ids.is_empty() => {
                let is_rest = i64::try_from(ids.len()).is_ok_and(|taken| taken >= AT_ONCE);
                lease.taken_in(ids).and_then(|()| if is_rest { lease.wake(&report.name) } else { Ok(()) })
            }
            (Taken::Keys(keys), _) if !keys.is_empty() => self.forget_brought(keys),
            _ => Ok(()),
        };
        if let Err(error) = forgotten {
            tracing::warn!(source = report.name, error = %error.full(), "could not forget what was delivered");
        }
    }

    fn forget_brought(&self, keys: Vec<Vec<u8>>) -> Result<()> {
        let mut transaction = self.store.begin()?;
        keys.into_iter().for_each(|key| transaction.remove_brought(key));
        transaction.commit().map(drop)
    }
}
