//! A service: a poll loop for every source, an export loop for every signal, whatever else the caller adds (such as HTTP
//! endpoints), and a stop that ends within ten seconds.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::export_loop::{self, ExportLoop, OwnMetrics};
use super::webhook::PollTriggers;
use super::{Engine, poll_loop, projects_loop, replicas};
use crate::export::otlp::Signal;
use crate::model::error::{Error, ErrorKind, Result};

/// The same where another replica goes on at once: it exports the rest.
const FORCE_HANDOVER: Duration = Duration::from_millis(500);
/// How long exporting goes on after a stop was asked for; then it is cut short, which takes [`export_loop::STOP_GRACE`] at
/// most.
const FORCE_STOP: Duration = Duration::from_secs(4);
/// When the process gives up waiting: it promises to end within ten seconds.
const GIVE_UP: Duration = Duration::from_secs(9);

/// The tasks of a service.
pub struct Service {
    cancel: CancellationToken,
    force_stop: CancellationToken,
    /// How long exporting goes on after a stop was asked for.
    patience: Duration,
    tasks: JoinSet<Result<()>>,
    triggers: PollTriggers,
    /// Lives as long as the tasks on it.
    exports: ExportRuntime,
}

/// The thread on which signals are exported. To decode a large answer of a tool keeps a thread busy for as long as it takes, and a
/// few sources can do that on all threads of the main runtime at once: exports must not wait for them.
struct ExportRuntime {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl ExportRuntime {
    fn new() -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("export").enable_all().build();
        let failed = |error| Error::new(ErrorKind::Internal, "start the thread of exports").caused_by(error);
        runtime.map(|runtime| Self { handle: runtime.handle().clone(), runtime: Some(runtime) }).map_err(failed)
    }
}

impl Drop for ExportRuntime {
    /// Its tasks have ended, or were given up: nobody waits for them, which async code must not do.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Service {
    /// Starts polling and exporting.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when an exporter cannot be made. Nothing was started then.
    pub fn start(engine: &Arc<Engine>, mut own_metrics: Option<Box<dyn OwnMetrics>>) -> Result<Self> {
        let force_stop = CancellationToken::new();
        let (sender, stored) = watch::channel(0);
        let runtime = ExportRuntime::new()?;
        // A gRPC channel works on the runtime on which it was made.
        let entered = runtime.handle.enter();
        let export_loop = |signal: &Signal| {
            Ok(ExportLoop {
                signal: *signal,
                sinks: export_loop::sinks(engine, *signal, &force_stop)?,
                stored: stored.clone(),
                force_stop: force_stop.clone(),
                own_metrics: if *signal == Signal::Metrics { own_metrics.take() } else { None },
            })
        };
        let config = engine.config();
        let exports: Vec<_> =
            config.export.otlp.targets.keys().map(export_loop).collect::<Result<Vec<ExportLoop>>>()?;
        drop(entered);
        let (mut tasks, sender) = (JoinSet::new(), Arc::new(sender));
        let triggers = replicas::triggers(&config);
        if engine.store.lease().is_some() {
            tasks.spawn(replicas::run(Arc::clone(engine), triggers.clone(), Arc::clone(&sender)));
        } else {
            for source in &config.sources {
                let trigger = triggers.get(&source.name).map(Arc::clone).unwrap_or_default();
                let (stored, cancel) = (Arc::clone(&sender), engine.cancel.clone());
                tasks.spawn(poll_loop::run(Arc::clone(engine), source.clone(), trigger, stored, cancel));
            }
        }
        for export in exports {
            tasks.spawn_on(export.run(Arc::clone(engine)), &runtime.handle);
        }
        if config.projects_file.is_some() {
            tasks.spawn(projects_loop::run(Arc::clone(engine), sender));
        }
        let patience = if engine.store.is_written_by_others() { FORCE_HANDOVER } else { FORCE_STOP };
        Ok(Self { cancel: engine.cancel.clone(), force_stop, patience, tasks, triggers, exports: runtime })
    }

    /// What makes the next poll of each source come at once.
    pub fn triggers(&self) -> PollTriggers {
        self.triggers.clone()
    }

    /// Cancelled, it cuts short what is exported after the engine was cancelled.
    pub fn force_stop(&self) -> CancellationToken {
        self.force_stop.clone()
    }

    /// Adds work that ends when the engine is cancelled.
    pub fn spawn(&mut self, work: impl Future<Output = Result<()>> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Waits for the stop, or for a task to fail; then for all tasks to end.
    ///
    /// # Errors
    /// As the task that failed.
    pub async fn run(mut self) -> Result<()> {
        let failed = tokio::select! {
            () = self.cancel.cancelled() => None,
            ended = self.tasks.join_next() => ended.and_then(error),
        };
        self.cancel.cancel();
        let tasks = &mut self.tasks;
        let end = async {
            while let Some(ended) = tasks.join_next().await {
                if let Some(error) = error(ended) {
                    tracing::warn!(error = %error.full(), "a task failed while stopping");
                }
            }
        };
        let force = async {
            tokio::time::sleep(self.patience).await;
            self.force_stop.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = end => tracing::info!("stopped"),
            () = force => {}
            () = tokio::time::sleep(GIVE_UP) => tracing::warn!("stopped before every task ended; the journal keeps the rest"),
        }
        drop(self.exports);
        failed.map_or(Ok(()), Err)
    }
}

fn error(ended: std::result::Result<Result<()>, JoinError>) -> Option<Error> {
    match ended {
        Ok(done) => done.err(),
        Err(error) => Some(Error::new(ErrorKind::Internal, "a task of the service panicked").caused_by(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        let (cancel, force_stop) = (CancellationToken::new(), CancellationToken::new());
        Service {
            cancel,
            force_stop,
            patience: FORCE_STOP,
            tasks: JoinSet::new(),
            triggers: PollTriggers::new(),
            exports: ExportRuntime::new().unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_work_that_ends_in_time() {
        let mut service = service();
        let (cancel, force_stop) = (service.cancel.clone(), service.force_stop.clone());
        service.spawn(async move {
            cancel.cancelled().await;
            force_stop.cancelled().await;
            Ok(())
        });
        service.cancel.cancel();
        let begun = tokio::time::Instant::now();
        assert!(service.run().await.is_ok());
        assert_eq!(begun.elapsed(), FORCE_STOP);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_hangs_does_not_hold_up_the_stop() {
        let mut service = service();
        service.spawn(std::future::pending());
        service.cancel.cancel();
        let begun = tokio::time::Instant::now();
        assert!(service.run().await.is_ok());
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_stops_the_rest_and_is_the_result() {
        let mut service = service();
        service.spawn(async { Err(Error::new(ErrorKind::Internal, "the listener broke")) });
        let cancel = service.cancel.clone();
        service.spawn(async move {
            cancel.cancelled().await;
            Ok(())
        });
        assert_eq!(service.run().await.unwrap_err().to_string(), "the listener broke");
    }
}
