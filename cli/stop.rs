//! Stopping on request: Ctrl-C and SIGTERM end work after its current step; a second request ends it at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Exit, Failure};

/// The signals that request a stop.
struct Requests {
    interrupt: Signal,
    terminate: Signal,
}

impl Requests {
    fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::new(Exit::Internal, format!("listen for signals: {error}"));
        let on = |kind| signal(kind).map_err(failed);
        Ok(Self { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Runs `work`. On a request to stop it cancels `cancel` and waits until `work` has ended cleanly.
pub(crate) async fn stoppable<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Result<T, Failure> {
    let mut requests = Requests::listen()?;
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return Ok(done),
        () = requests.next() => {}
    }
    tracing::info!("stopping after the current step; signal again to stop at once");
    cancel.cancel();
    tokio::select! {
        biased;
        done = &mut work => Ok(done),
        () = requests.next() => Err(Failure::new(Exit::Internal, "stopped at once; the next run continues after the last stored page")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_completes_is_not_cancelled() {
        let cancel = CancellationToken::new();
        assert_eq!(stoppable(&cancel, async { 7 }).await.unwrap(), 7);
        assert!(!cancel.is_cancelled());
    }
}
