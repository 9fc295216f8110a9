//! What runs sources and exporters: [`Engine`] for one run, [`serve`] for a service with its poll and export loops, and the
//! [metrics](telemetry) of the program itself.

pub mod export_loop;
mod inbox;
mod inherit;
pub mod placement;
pub mod poll_loop;
mod projects_loop;
pub mod replicas;
pub mod serve;
pub mod telemetry;
pub mod webhook;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::inbox::Taken;
use crate::clock;
use crate::config::{Config, Privacy, SourceConfig};
use crate::export::otlp::RetryPolicy;
use crate::export::{Destinations, Exporter};
use crate::ingest::connector::{Connector, Registration};
use crate::ingest::sync::{self, Options, Source, SourceReport};
use crate::lock;
use crate::model::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::store::{Store, Unit};

/// Everything a run needs; shared by its tasks. It makes one connector for each source, when the source runs first, and keeps
/// it: rate limits, tokens and what was learned of a tool live as long as the engine.
pub struct Engine {
    /// The configuration; what the projects file says is replaced while the engine runs.
    config: Mutex<Arc<Config>>,
    /// The store.
    pub store: Arc<Store>,
    /// Who watches.
    pub progress: Arc<dyn Progress>,
    /// Ends all work after its current step.
    pub cancel: CancellationToken,
    registrations: &'static [Registration],
    sources: Mutex<BTreeMap<String, Arc<Source>>>,
}

impl Engine {
    /// An engine for sources of these kinds.
    pub fn new(
        config: Config,
        store: Store,
        progress: Box<dyn Progress>,
        registrations: &'static [Registration],
    ) -> Self {
        let (store, progress) = (Arc::new(store), Arc::from(progress));
        let config = Mutex::new(Arc::new(config));
        Self { config, store, progress, cancel: CancellationToken::new(), registrations, sources: Mutex::default() }
    }

    /// The configuration of now. Work that began with an earlier one ends with it.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&lock(&self.config))
    }

    /// Replaces what is known of projects. Everything else of the configuration must be the same.
    fn replace_projects(&self, config: Config) {
        *lock(&self.config) = Arc::new(config);
    }

    /// An engine for a new configuration of the same store, to run once this one has ended. Connectors whose settings did not
    /// change stay, with what they have learned.
    #[must_use]
    pub fn reloaded(&self, config: Config) -> Self {
        let is_same = |source: &Source| {
            let now = config.source(&source.config.name);
            // The text holds every setting, and secrets as references.
            now.is_some_and(|now| format!("{now:?}") == format!("{:?}", source.config))
        };
        let mut sources = lock(&self.sources).clone();
        sources.retain(|_, source| config.privacy == self.config().privacy && is_same(source));
        Self {
            store: Arc::clone(&self.store),
            progress: Arc::clone(&self.progress),
            cancel: CancellationToken::new(),
            registrations: self.registrations,
            sources: Mutex::new(sources),
            config: Mutex::new(Arc::new(config)),
        }
    }

    /// Runs these sources, all at once. One that fails does not hold up the others.
    pub async fn sync(self: &Arc<Self>, sources: &[SourceConfig], options: Options) -> Vec<SourceReport> {
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
    pub async fn sync_one(&self, source: &SourceConfig, options: Options) -> SourceReport {
        self.sync_until(source, options, &self.cancel).await
    }

    /// The same; `cancel` ends it after its current step.
    pub async fn sync_until(
        &self,
        source: &SourceConfig,
        options: Options,
        cancel: &CancellationToken,
    ) -> SourceReport {
        let store = self.store.of(Unit::source(&source.name));
        match self.source(source) {
            Ok(source) => {
                lock(&source.portfolio).clone_from(&self.config().projects);
                lock(&source.insights).clone_from(&self.config().insights);
                let mut warnings = if options.dry_run { Vec::new() } else { self.inherit(&source).await };
                let delivered = if options.dry_run { Ok(Taken::Ids(Vec::new())) } else { self.take_delivered(&source) };
                let mut report = sync::sync_source(&store, &source, &options, &*self.progress, cancel).await;
                match delivered {
                    Ok(taken) => self.forget_delivered(taken, &report),
                    Err(error) => warnings.push(error.full()),
                }
                report.warnings.append(&mut warnings);
                report
            }
            Err(error) => {
                if !options.dry_run {
                    self.record_failure(&source.name, &error);
                }
                SourceReport { name: source.name.clone(), error: Some(error), ..SourceReport::default() }
            }
        }
    }

    /// A source with its connector. A connector that cannot be made is tried again by the next run.
    fn source(&self, config: &SourceConfig) -> Result<Arc<Source>> {
        let mut sources = lock(&self.sources);
        if let Some(source) = sources.get(&config.name) {
            return Ok(Arc::clone(source));
        }
        let connector = connect(self.registrations, config, &self.config().privacy)?;
        let (portfolio, insights) = (Mutex::default(), Mutex::default());
        let source = Arc::new(Source { config: config.clone(), connector, portfolio, insights });
        sources.insert(config.name.clone(), Arc::clone(&source));
        Ok(source)
    }

    /// Forgets the connector of a source that another process reads from now on, with the locks it holds.
    fn forget(&self, source: &str) {
        lock(&self.sources).remove(source);
    }

    /// The registration of a kind.
    pub fn registration(&self, kind: &str) -> Option<&'static Registration> {
        self.registrations.iter().find(|registration| registration.kind == kind)
    }

    /// Stores for `status` that a source has no connector, such as for a CA file that cannot be read.
    fn record_failure(&self, name: &str, error: &Error) {
        let stored = self.store.source_status(name).and_then(|mut status| {
            status.last_attempt = Some(clock::now());
            status.failures += 1;
            status.last_error = Some(error.full());
            status.last_error_kind = Some(error.kind());
            let store = self.store.of(Unit::source(name));
            let mut transaction = store.begin()?;
            transaction.put_source_status(name, &status)?;
            transaction.commit().map(drop)
        });
        if let Err(error) = stored {
            tracing::warn!(source = name, error = %error.full(), "could not store the failure of a source");
        }
    }

    /// The exporters of the configuration. Sends nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an address, header or certificate that cannot be used.
    pub fn sinks(&self) -> Result<Destinations> {
        Destinations::connect(&self.config().export.otlp, &self.cancel, &RetryPolicy::default())
    }

    /// What exports to these sinks with a configuration of this engine. It gives up on a backend that accepts nothing for `export.give_up`, or (`endless`) never.
    pub fn replayer<'a>(&'a self, config: &'a Config, sinks: &'a Destinations, endless: bool) -> Exporter<'a> {
        Exporter::new(&self.store, config, sinks, &*self.progress, &self.cancel, endless)
    }

    /// Which source a project's own telemetry is counted with: the first that has anything in it.
    ///
    /// # Errors
    /// As the store's.
    pub fn owners(&self) -> Result<BTreeMap<String, String>> {
        let (mut owners, config) = (BTreeMap::new(), self.config());
        for (source, project, _) in self.store.totals()? {
            let id = config.project_of(&source, &project).map_or_else(|| project.to_string(), |known| known.id.clone());
            owners.entry(id).or_insert_with(|| source.to_string());
        }
        Ok(owners)
    }
}

/// Makes the connector of a source. Reads no secret and sends nothing.
///
/// # Errors
/// [`ErrorKind::Config`] for a kind that is not registered, and for settings that cannot be used.
pub fn connect(registrations: &[Registration], source: &SourceConfig, privacy: &Privacy) -> Result<Box<dyn Connector>> {
    // A configuration that was read with these kinds has no other.
    let unknown =
        || Error::new(ErrorKind::Config, "there is no connector for the source's kind").with("kind", &source.kind);
    let registration = registrations.iter().find(|known| known.kind == source.kind).ok_or_else(unknown)?;
    (registration.build)(source, privacy)
}
