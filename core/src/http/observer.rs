//! What a person may see of a call that has to be tried again: without it, a server that fails looks like a program that hangs.
//!
//! The observer belongs to the task that makes the calls, so that connectors need not pass it on.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::model::error::ErrorKind;

/// A call that failed and will be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrying {
    /// Why it failed: `HTTP 500`, or that there was no answer.
    pub reason: String,
    /// The kind of the failure.
    pub kind: ErrorKind,
    /// Which retry comes, from 1.
    pub retry: u32,
    /// How many there are at most.
    pub of: u32,
    /// How long until then.
    pub wait: Duration,
}

impl fmt::Display for Retrying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, retry, of, wait, .. } = self;
        // A wait is never shown as none.
        let seconds = (wait.as_millis().div_ceil(1_000)).max(1);
        write!(f, "{reason}, retry {retry} of {of} in {seconds} s")
    }
}

tokio::task_local! {
    static OBSERVER: UnboundedSender<Retrying>;
}

/// Runs `work`; `on_retry` gets every retry of a call within it, at once.
pub async fn observed<F: Future>(work: F, mut on_retry: impl FnMut(Retrying)) -> F::Output {
    let (sender, mut retries) = unbounded_channel();
    let mut work = pin!(OBSERVER.scope(sender, work));
    loop {
        tokio::select! {
            biased;
            Some(retry) = retries.recv() => on_retry(retry),
            done = &mut work => return done,
        }
    }
}

/// Reports a retry to the observer of this task, if it has one.
pub(crate) fn report(retrying: &Retrying) {
    // An observer that is gone, or never was, misses nothing.
    let sent = OBSERVER.try_with(|observer| observer.send(retrying.clone()).is_ok());
    if sent.is_err() {
        tracing::trace!("nobody observes this call");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn retries_reach_the_observer_of_the_task() {
        let retrying = Retrying {
            reason: "HTTP 500".into(),
            kind: ErrorKind::Unavailable,
            retry: 3,
            of: 8,
            wait: Duration::from_millis(15_400),
        };
        report(&retrying);
        let mut seen = Vec::new();
        let work = async {
            report(&retrying);
            tokio::task::yield_now().await;
        };
        observed(work, |retry| seen.push(retry.to_string())).await;
        assert_eq!(seen, ["HTTP 500, retry 3 of 8 in 16 s"], "the report outside of the scope has no observer");
    }
}
