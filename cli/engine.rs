//! What `sync`, `serve`, `replay` and `demo` have in common: running sources and draining the journal.

use contextcore_core::clock;
use std::collections::BTreeMap;
use std::sync::Arc;

use contextcore_core::config::{Config, SourceConfig};
use contextcore_core::export::otlp::RetryPolicy;
use contextcore_core::export::{Destinations, Exporter};
use contextcore_core::ingest::sync::{self, Options, SourceReport};
use contextcore_core::progress::Progress;
use contextcore_core::store::Store;
use contextcore_core::{Error, Result};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app;

/// Everything a run needs; shared by its tasks.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) progress: Box<dyn Progress>,
    pub(crate) cancel: CancellationToken,
}

impl Engine {
    pub(crate) fn new(config: Config, store: Store, progress: Box<dyn Progress>) -> Self {
        Self { config, store, progress, cancel: CancellationToken::new() }
    }

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
            status.last_attempt = Some(clock::now());
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

    /// The way to the backend of the configuration. Contacts nothing yet.
    pub(crate) fn sinks(&self) -> Result<Destinations> {
        Destinations::connect(&self.config.export.otlp, &self.cancel, &RetryPolicy::default())
    }

    /// What tells the backends. It gives up on one that takes nothing for `export.give_up`, or (`endless`) never.
    pub(crate) fn replayer<'a>(&'a self, sinks: &'a Destinations, endless: bool) -> Exporter<'a> {
        Exporter::new(&self.store, &self.config, sinks, &*self.progress, &self.cancel, endless)
    }

    /// Which source a project's own telemetry is counted with: the first that has anything in it.
    pub(crate) fn owners(&self) -> Result<BTreeMap<String, String>> {
        let mut owners = BTreeMap::new();
        for (source, project, _) in self.store.totals()? {
            let id =
                self.config.project_of(&source, &project).map_or_else(|| project.to_string(), |known| known.id.clone());
            owners.entry(id).or_insert_with(|| source.to_string());
        }
        Ok(owners)
    }
}
