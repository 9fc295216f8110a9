//! Stopping on request: Ctrl-C and SIGTERM end work after its current step; a second request ends the process at once.
//!
//! Signals are received on a thread of their own, so that the second one works also while the program computes.

use std::sync::OnceLock;
use std::time::Duration;

use futures::future::Either;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::failure::{Exit, Failure};

/// The request that came, once there was one.
type Requested = watch::Receiver<Option<Exit>>;

/// How long a request to stop may take.
static LIMIT: OnceLock<Duration> = OnceLock::new();

static REQUESTED: OnceLock<Requested> = OnceLock::new();

/// How a command ends that was asked to stop; `None` when nobody asked.
pub(crate) fn requested() -> Option<Exit> {
    *REQUESTED.get()?.borrow()
}

/// Has a request to stop end the process after this time at the latest, whatever is waited for then: a service promises to end.
pub(crate) fn within(limit: Duration) {
    LIMIT.get_or_init(|| limit);
}

/// Runs `work`. On a request to stop it cancels `cancel` and waits until `work` has ended cleanly.
pub(crate) async fn stoppable<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Result<T, Failure> {
    let mut requests = listen()?;
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return Ok(done),
        Ok(_) = requests.wait_for(Option::is_some) => {}
    }
    tracing::info!("stopping after the current step; signal again to stop at once");
    cancel.cancel();
    Ok(work.await)
}

/// Runs `work` that may be left between any two of its requests, as it can be repeated: a request to stop ends it at once.
pub(crate) async fn interruptible<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let mut requests = listen()?;
    tokio::select! {
        biased;
        done = work => Ok(done),
        Ok(request) = requests.wait_for(Option::is_some) => {
            Err(Failure::new(request.unwrap_or(Exit::Interrupted), "stopped on request"))
        }
    }
}

/// Starts to receive signals, at the first call.
fn listen() -> Result<Requested, Failure> {
    if let Some(requested) = REQUESTED.get() {
        return Ok(requested.clone());
    }
    let failed = |error| Failure::new(Exit::Internal, format!("listen for signals: {error}"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (requests, requested) = watch::channel(None);
    let (ready, registered) = std::sync::mpsc::channel();
    let receive = move || runtime.block_on(receive(&requests, &ready));
    std::thread::Builder::new().name("signals".to_owned()).spawn(receive).map_err(failed)?;
    registered.recv().unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(failed)?;
    Ok(REQUESTED.get_or_init(|| requested).clone())
}

/// Passes the first request on, and ends the process at the second. What is stored survives that: it survives a kill.
async fn receive(requests: &watch::Sender<Option<Exit>>, ready: &std::sync::mpsc::Sender<std::io::Result<()>>) {
    let registered = signal(SignalKind::interrupt()).and_then(|int| Ok((int, signal(SignalKind::terminate())?)));
    let (mut interrupt, mut terminate) = match registered {
        Ok(signals) => signals,
        Err(error) => return drop(ready.send(Err(error))),
    };
    drop(ready.send(Ok(())));
    loop {
        let limit = LIMIT.get().copied().filter(|_| requests.borrow().is_some());
        let late = limit
            .map_or_else(|| Either::Left(std::future::pending()), |limit| Either::Right(tokio::time::sleep(limit)));
        let exit = tokio::select! {
            () = late => {
                eprintln!("stopped while something was waited for that does not answer; what is stored is whole");
                std::process::exit(Exit::Done.code().into());
            }
            _ = interrupt.recv() => Exit::Interrupted,
            _ = terminate.recv() => Exit::Terminated,
        };
        if requests.borrow().is_some() {
            eprintln!("\nstopped at once; the next run continues after the last stored page");
            std::process::exit(exit.code().into());
        }
        requests.send_replace(Some(exit));
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
        assert_eq!(requested(), None);
    }
}
