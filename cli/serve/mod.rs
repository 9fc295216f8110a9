//! `contextcore serve`: every source on its schedule, backends told as it comes, and somebody to ask.
//!
//! [`poll`] runs one source for ever, [`tell`] the sending, [`http`] answers health checks, scrapes and the commands that read,
//! [`webhook`] the tools' calls.
//! All of them end when the engine's token is cancelled; what is under way then has [`HURRY`] to come to an end.

mod http;
mod poll;
mod tell;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use contextcore_core::export::otlp::Signal;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{self, Context};
use crate::engine::Engine;
use crate::failure::{Exit, Failure, Outcome};
use crate::{progress, stop};

/// After a stop was asked for, sending goes on this long; then it is cut short, which takes [`tell::STOP_GRACE`] at most.
const HURRY: Duration = Duration::from_secs(4);
/// When everything should long have ended: we promised to be gone within ten seconds.
const GIVE_UP: Duration = Duration::from_secs(9);

pub(crate) async fn run(context: &Context) -> Outcome {
    let config = context.config()?;
    app::chosen(&config, &[])?;
    let listener = listen(&config.listen).await?;
    let store = app::open_store(&config).await?;
    let engine = Arc::new(Engine::new(config, store, progress::lines()));
    let hurry = CancellationToken::new();
    let sinks = |signal: &Signal| Ok((*signal, tell::sinks(&engine, *signal, &hurry)?));
    let sinks: Vec<_> = engine.config.export.otlp.targets.keys().map(sinks).collect::<Result<_, Failure>>()?;
    let socket = http::Socket::bind(engine.store.path());
    let (news, hear) = watch::channel(0);
    let news = Arc::new(news);

    let mut work = JoinSet::new();
    let mut bells = webhook::Bells::new();
    for source in &engine.config.sources {
        let bell = Arc::clone(bells.entry(source.name.clone()).or_default());
        work.spawn(poll::run(Arc::clone(&engine), source.clone(), bell, Arc::clone(&news)));
    }
    for (signal, sinks) in sinks {
        work.spawn(tell::run(Arc::clone(&engine), signal, sinks, hear.clone(), hurry.clone()));
    }
    work.spawn(http::run(Arc::clone(&engine), bells, listener));
    if let Some(socket) = socket {
        work.spawn(http::run_socket(Arc::clone(&engine), socket));
    }
    tracing::info!(listen = %engine.config.listen, sources = engine.config.sources.len(), "serving");
    stop::stoppable(&engine.cancel, attend(work, &engine.cancel, &hurry)).await?
}

async fn listen(address: &std::net::SocketAddr) -> Result<TcpListener, Failure> {
    let failed = |error| Failure::usage(format!("listen on {address}: {error}; set `listen` to a free address"));
    TcpListener::bind(address).await.map_err(failed)
}

/// Waits for the stop, or for a part of the work to fail; then for everything to end.
async fn attend(
    mut work: JoinSet<Result<(), Failure>>,
    cancel: &CancellationToken,
    hurry: &CancellationToken,
) -> Outcome {
    let broken = tokio::select! {
        () = cancel.cancelled() => None,
        ended = work.join_next() => ended.and_then(failure),
    };
    cancel.cancel();
    let end = async {
        while let Some(ended) = work.join_next().await {
            if let Some(failure) = failure(ended) {
                tracing::warn!(reason = %failure, "a part of the work ended badly");
            }
        }
    };
    let hurry = async {
        tokio::time::sleep(HURRY).await;
        hurry.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = end => tracing::info!("stopped"),
        () = hurry => {}
        () = tokio::time::sleep(GIVE_UP) => tracing::warn!("stopped before everything had ended; the journal keeps the rest"),
    }
    broken.map_or(Ok(Exit::Done), Err)
}

fn failure(ended: Result<Result<(), Failure>, tokio::task::JoinError>) -> Option<Failure> {
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(error) => Some(Failure::new(Exit::Internal, format!("a part of the service broke: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_work_that_ends_in_time() {
        let (cancel, hurry) = (CancellationToken::new(), CancellationToken::new());
        let mut work = JoinSet::new();
        let (stopping, hurried) = (cancel.clone(), hurry.clone());
        work.spawn(async move {
            stopping.cancelled().await;
            hurried.cancelled().await;
            Ok(())
        });
        cancel.cancel();
        let begun = tokio::time::Instant::now();
        assert_eq!(attend(work, &cancel, &hurry).await, Ok(Exit::Done));
        assert_eq!(begun.elapsed(), HURRY);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_hangs_does_not_hold_up_the_stop() {
        let (cancel, hurry) = (CancellationToken::new(), CancellationToken::new());
        let mut work = JoinSet::new();
        work.spawn(std::future::pending());
        cancel.cancel();
        let begun = tokio::time::Instant::now();
        assert_eq!(attend(work, &cancel, &hurry).await, Ok(Exit::Done));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_breaks_stops_the_rest_and_fails() {
        let (cancel, hurry) = (CancellationToken::new(), CancellationToken::new());
        let mut work = JoinSet::new();
        work.spawn(async { Err(Failure::new(Exit::Internal, "the listener broke")) });
        let stopping = cancel.clone();
        work.spawn(async move {
            stopping.cancelled().await;
            Ok(())
        });
        assert_eq!(attend(work, &cancel, &hurry).await.unwrap_err().lines, ["the listener broke"]);
    }
}
