//! What keeps a call from writing after its client read that it took too long: the client would ask for the same again, and a
//! question or a handoff would be there twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::answer::Problem;

/// How long a call may take, from its first step to its last.
pub const PATIENCE: Duration = Duration::from_secs(10);

const OPEN: u8 = 0;
const WRITING: u8 = 1;
const CLOSED: u8 = 2;

/// Whether a call may write. Clones are of the same call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deadline(Arc<AtomicU8>);

impl Deadline {
    /// Passes, right before something is written.
    ///
    /// # Errors
    /// When nobody waits for the call any more.
    pub(crate) fn pass(&self) -> Result<(), Problem> {
        match self.0.compare_exchange(OPEN, WRITING, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) | Err(WRITING) => Ok(()),
            Err(_) => Err(nothing_written()),
        }
    }

    /// Says to a client that it waited too long for a call that writes. Nothing is written after that.
    pub(crate) fn close(&self) -> Problem {
        match self.0.compare_exchange(OPEN, CLOSED, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) | Err(CLOSED) => nothing_written(),
            Err(_) => Problem::refused(
                "the call took longer than 10 s and had begun to write: look whether it is stored before you say it again",
            ),
        }
    }
}

/// Waits as long as a call may take. What blocks goes on: it cannot be stopped, so what writes passes a [`Deadline`].
pub(crate) async fn in_time<T>(
    work: impl Future<Output = Result<T, Problem>>,
    late: impl FnOnce() -> Problem,
) -> Result<T, Problem> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(late()))
}

/// What is said about a call that reads for too long.
pub(crate) fn too_long() -> Problem {
    Problem::refused("the call took longer than 10 s; ask for less")
}

fn nothing_written() -> Problem {
    Problem::refused("the call took longer than 10 s; nothing was written, so it can be tried again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_about_a_late_call_stays_true() {
        let late = Deadline::default();
        assert!(late.close().to_string().contains("nothing was written"));
        assert!(late.clone().pass().is_err(), "it was said that nothing is written");
        let writing = Deadline::default();
        assert!(writing.pass().is_ok() && writing.pass().is_ok());
        assert!(writing.close().to_string().contains("look whether it is stored"));
    }
}
