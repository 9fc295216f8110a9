//! Stopping when asked: Ctrl-C and SIGTERM end work after its current step; asked twice, at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Exit, Failure};

/// The signals that ask us to stop.
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

/// Does `work` to its end; when asked to stop, cancels `cancel` and waits until `work` has come to a clean end.
pub(crate) async fn stoppable<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Result<T, Failure> {
    let mut requests = Requests::listen()?;
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return Ok(done),
        () = requests.next() => {}
    }
    tracing::info!("stopping after the current step; ask again to stop at once");
    cancel.cancel();
    tokio::select! {
        biased;
        done = &mut work => Ok(done),
        () = requests.next() => Err(Failure::new(Exit::Internal, "stopped at once; the next run goes on with the last page kept")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_ends_by_itself_is_not_cancelled() {
        let cancel = CancellationToken::new();
        assert_eq!(stoppable(&cancel, async { 7 }).await.unwrap(), 7);
        assert!(!cancel.is_cancelled());
    }
}
