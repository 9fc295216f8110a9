//! Since when nothing new was reported in a lane: the helper ends so long after the last new line, whether that was taken or not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use contextcore_spool::Reader;
use tokio::time::Instant;

/// The files of a lane when they last grew.
pub(super) struct Quiet {
    lengths: BTreeMap<PathBuf, u64>,
    since: Instant,
}

impl Quiet {
    /// Nothing was seen yet.
    pub(super) fn new() -> Self {
        Self { lengths: BTreeMap::new(), since: Instant::now() }
    }

    /// Looks at the spool; whether something was written since the last look. One that cannot be read is as it was.
    pub(super) fn look(&mut self, reader: &Reader) -> bool {
        let Ok(lengths) = reader.lengths() else { return false };
        let grew = lengths.iter().any(|(path, length)| self.lengths.get(path).is_none_or(|known| known < length));
        if grew {
            self.since = Instant::now();
        }
        self.lengths = lengths;
        grew
    }

    /// When something was last written.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// How much of a time is left since then.
    pub(super) fn left(&self, of: Duration) -> Duration {
        of.saturating_sub(self.since.elapsed())
    }
}
