//! What `sync`, `serve`, `replay` and `demo` have in common: running sources and draining the journal.

use std::sync::Arc;

use contextcore_core::config::{Config, SourceConfig};
use contextcore_core::progress::Progress;
use contextcore_core::store::Store;
use contextcore_core::sync::{self, Options, SourceReport};
use contextcore_core::{Error, Millis, Result};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use self::stub::{DrainReport, Replayer, Selection, Sent, Sinks, SnapshotMode};
use crate::app;

/// Everything a run needs; shared by its tasks.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) progress: Box<dyn Progress>,
    pub(crate) cancel: CancellationToken,
}

impl Engine {
    /// Runs these sources, all at once. One that fails does not hold up the others.
    pub(crate) async fn sync(self: &Arc<Self>, sources: &[SourceConfig], options: Options) -> Vec<SourceReport> {
        let mut runs = JoinSet::new();
        for (place, source) in sources.iter().cloned().enumerate() {
            let engine = Arc::clone(self);
            runs.spawn(async move { (place, engine.sync_one(&source, options).await) });
        }
        let mut reports = runs.join_all().await;
        reports.sort_by_key(|(place, _)| *place);
        reports.into_iter().map(|(_, report)| report).collect()
    }

    /// Runs one source.
    pub(crate) async fn sync_one(&self, source: &SourceConfig, options: Options) -> SourceReport {
        match app::source(&self.config, source) {
            Ok(source) => sync::sync_source(&self.store, &source, &options, &*self.progress, &self.cancel).await,
            Err(error) => {
                if !options.dry_run {
                    self.remember_failure(&source.name, &error);
                }
                SourceReport { name: source.name.clone(), error: Some(error), ..SourceReport::default() }
            }
        }
    }

    /// Keeps for `status` that a source could not even begin, because its token is missing most often.
    fn remember_failure(&self, name: &str, error: &Error) {
        let kept = self.store.source_status(name).and_then(|mut status| {
            status.last_attempt = Some(Millis::now());
            status.failures += 1;
            status.last_error = Some(error.full());
            status.last_error_kind = Some(error.kind());
            let mut transaction = self.store.begin()?;
            transaction.put_source_status(name, &status)?;
            transaction.commit().map(drop)
        });
        if let Err(error) = kept {
            tracing::warn!(source = name, error = %error.full(), "could not note the failure of a source");
        }
    }

    /// Tells the backends what they have not been told.
    pub(crate) async fn drain(&self, sinks: &Sinks, snapshot: SnapshotMode) -> DrainReport {
        self.replayer(sinks).drain(Millis::now(), snapshot).await
    }

    pub(crate) fn replayer<'a>(&'a self, sinks: &'a Sinks) -> Replayer<'a> {
        Replayer { store: &self.store, config: &self.config, sinks, progress: &*self.progress, cancel: &self.cancel }
    }

    /// The way to the backend.
    pub(crate) fn sinks(&self) -> Result<Sinks> {
        Sinks::connect(&self.config.export.otlp)
    }
}

/// Stands in for `contextcore_core::replay` until it is there.
mod stub {
    use std::collections::BTreeMap;

    use super::*;
    use contextcore_core::config::OtlpConfig;
    use contextcore_core::sink::Signal;

    pub(crate) struct Sinks;
    impl Sinks {
        pub(crate) fn connect(_: &OtlpConfig) -> Result<Self> {
            Ok(Self)
        }
        pub(crate) fn counting() -> Self {
            Self
        }
    }
    #[derive(Clone, Copy)]
    pub(crate) enum SnapshotMode {
        Now,
        Due,
    }
    #[derive(Default, Clone, Copy)]
    pub(crate) struct Sent {
        pub(crate) spans: u64,
        pub(crate) logs: u64,
        pub(crate) points: u64,
    }
    #[derive(Default)]
    pub(crate) struct DrainReport {
        pub(crate) by_source: BTreeMap<String, Sent>,
        pub(crate) rejected: u64,
        pub(crate) retries: u64,
        pub(crate) dead: u64,
        pub(crate) errors: Vec<(Signal, Error)>,
    }
    pub(crate) struct Selection {
        pub(crate) since: Option<Millis>,
        pub(crate) source: Option<String>,
        pub(crate) project: Option<String>,
    }
    pub(crate) struct Replayer<'a> {
        pub(crate) store: &'a Store,
        pub(crate) config: &'a Config,
        pub(crate) sinks: &'a Sinks,
        pub(crate) progress: &'a dyn Progress,
        pub(crate) cancel: &'a CancellationToken,
    }
    impl Replayer<'_> {
        pub(crate) async fn drain(&self, _: Millis, _: SnapshotMode) -> DrainReport {
            DrainReport::default()
        }
        pub(crate) async fn replay(&self, _: &Selection) -> DrainReport {
            DrainReport::default()
        }
    }
}
