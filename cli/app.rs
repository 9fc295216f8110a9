//! What most commands begin with: the configuration, the store, the engine.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contextcore_connectors::ALL;
use contextcore_core::config::{self, Config, Resolve, SourceConfig, SourceKind, StoreConfig, nearest_known};
use contextcore_core::engine::Engine;
use contextcore_core::http::local::Local;
use contextcore_core::http::{address_in_the_clear, in_the_clear};
use contextcore_core::progress::Progress;
use contextcore_core::store::{Copies, Store};
use contextcore_core::{Error, ErrorKind};
use indicatif::MultiProgress;

use crate::args::{Global, Output};
use crate::failure::Failure;
use crate::socket;

/// What `main` hands to every command.
pub(crate) struct Context {
    pub(crate) global: Global,
    /// Where progress is drawn; logs know of it.
    pub(crate) bars: MultiProgress,
}

impl Context {
    /// The configuration, found and checked, for commands that only read. They do without a projects file that cannot be used.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let path = config::locate(self.global.config.as_deref())?;
        config::load(&path, &kinds()).or_else(|errors| {
            let config = config::load_alone(&path, &kinds())?;
            let problems = errors.lines().collect::<Vec<_>>().join("; ");
            tracing::warn!("going on without the projects file: {problems}");
            Ok(config)
        })
    }

    /// The configuration for commands that export: what they say of projects is final.
    pub(crate) fn config_to_export(&self) -> Result<Config, Failure> {
        let path = config::locate(self.global.config.as_deref())?;
        Ok(config::load(&path, &kinds())?)
    }

    /// The same, for commands that talk to other hosts: warns of what others could read.
    pub(crate) fn config_for_network(&self) -> Result<Config, Failure> {
        let config = self.config_to_export()?;
        warn_in_the_clear(&config);
        // Read only when a tool calls, so nobody would be warned of its file before.
        config.sources.iter().filter_map(|source| source.webhook.as_ref()).for_each(|secret| drop(secret.resolve()));
        Ok(config)
    }

    /// The output format, for commands without CSV.
    pub(crate) fn is_json(&self, command: &str) -> Result<bool, Failure> {
        match self.global.output {
            Output::Table => Ok(false),
            Output::Json => Ok(true),
            _ => Err(Failure::usage(format!("`{command}` has no CSV: use `--output json` or leave it out"))),
        }
    }
}

/// Warns of addresses of the configuration that others could read.
pub(crate) fn warn_in_the_clear(config: &Config) {
    in_the_clear(config).iter().for_each(|warning| tracing::warn!("{warning}"));
}

/// The same for addresses in flags.
pub(crate) fn warn_of_flags<'a>(flags: impl IntoIterator<Item = (&'a str, Option<&'a String>)>) {
    let given = flags.into_iter().filter_map(|(flag, url)| address_in_the_clear(flag, url?));
    given.for_each(|warning| tracing::warn!("{warning}"));
}

/// The kinds of sources.
pub(crate) fn kinds() -> Vec<SourceKind> {
    contextcore_connectors::kinds()
}

/// An engine with all connectors. Says when the projects file and the configuration do not fit.
pub(crate) fn engine(config: Config, store: Store, progress: Box<dyn Progress>) -> Engine {
    let notes = config.projects_file.as_ref().map(|file| file.notes.as_slice()).unwrap_or_default();
    if let Some(first) = notes.first() {
        tracing::warn!(notes = notes.len(), "the projects file: {first}; `contextcore check` lists all of it");
    }
    Engine::new(config, store, progress, ALL)
}

/// How long to wait for a store that another process holds: commands that only read have it for moments.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// How often a lease that another process has is asked for.
const LEASE_RETRY: Duration = Duration::from_millis(250);
/// How often it is tried meanwhile.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// The store, to write to it. One that a process holds which answers is not waited for.
pub(crate) async fn open_store(config: &Config) -> Result<Store, Error> {
    open_at(&config.store).await
}

/// The store at a place, to write to it.
pub(crate) async fn open_at(place: &StoreConfig) -> Result<Store, Error> {
    match place {
        StoreConfig::Directory(path) => patiently(path, Store::open).await,
        StoreConfig::Postgres(database) => {
            let store = Store::connect_to_write(database, &database.url.resolve()?)?;
            until_leased(&store).await?;
            Ok(store)
        }
    }
}

/// The same, but makes none.
pub(crate) async fn open_existing(place: &StoreConfig) -> Result<Store, Failure> {
    if !place.may_exist() {
        return Err(no_store(place));
    }
    if let StoreConfig::Postgres(database) = place
        && let Err(error) = Store::connect(database, &database.url.resolve()?)
    {
        return Err(if error.context("missing").is_some() { no_store(place) } else { error.into() });
    }
    Ok(open_at(place).await?)
}

/// The store of a service, which stands by until it may write to it.
pub(crate) async fn open_shared(config: &Config) -> Result<Store, Error> {
    match &config.store {
        StoreConfig::Directory(_) => open_store(config).await,
        StoreConfig::Postgres(database) => Store::connect_to_write(database, &database.url.resolve()?),
    }
}

/// The store, to read it. Makes none, and changes nothing in it.
pub(crate) async fn open_copy(config: &Config) -> Result<Store, Error> {
    match &config.store {
        StoreConfig::Directory(path) => patiently(path, Store::open_to_read).await,
        StoreConfig::Postgres(database) => Store::connect(database, &database.url.resolve()?),
    }
}

/// Waits for the right to write to a store in a database: a process that died still has it for a while. One that lives has renewed
/// it meanwhile, and is not waited for.
async fn until_leased(store: &Store) -> Result<(), Error> {
    let Some(lease) = store.lease() else { return Ok(()) };
    let mut least = Duration::MAX;
    while !store.take_lease()? {
        let holder = lease.holder()?;
        if holder.left > least {
            let text = "open the store: another contextcore writes to it; a `serve` polls by itself, stop any other, or wait for it";
            return Err(Error::new(ErrorKind::Store, text).with("owner", holder.owner));
        }
        least = holder.left;
        tokio::time::sleep(LEASE_RETRY.min(holder.left)).await;
    }
    Ok(())
}

async fn patiently<T>(path: &Path, open: impl Fn(&Path) -> Result<T, Error>) -> Result<T, Error> {
    let begun = Instant::now();
    loop {
        match open(path) {
            Err(error) if error.context("locked").is_some() => {
                let for_good = UnixStream::connect(socket::path(path)).is_ok();
                if for_good || begun.elapsed() >= LOCK_PATIENCE {
                    return Err(error);
                }
                tokio::time::sleep(LOCK_RETRY).await;
            }
            opened => return opened,
        }
    }
}

/// What reads the store: this process, or the one that holds it.
pub(crate) enum Access {
    /// Nobody holds it.
    Store(Arc<Store>),
    /// Another process does, and answers.
    Held(Local),
}

/// Opens the store to read it, or connects to the process that holds it.
pub(crate) async fn read_store(config: &Config, copies: &Copies) -> Result<Access, Failure> {
    read_store_if_any(config, copies).await?.ok_or_else(|| no_store(&config.store))
}

/// The same, or nothing where there is no store. A process that makes one is seen before it has: then there is none yet.
pub(crate) async fn read_store_if_any(config: &Config, copies: &Copies) -> Result<Option<Access>, Error> {
    let opened = match &config.store {
        StoreConfig::Directory(path) => match patiently(path, |path| copies.open(path)).await {
            Err(error) if error.context("locked").is_some() => {
                return Ok(Some(Access::Held(Local::new(&socket::path(path))?)));
            }
            opened => opened,
        },
        StoreConfig::Postgres(_) => open_copy(config).await.map(Arc::new),
    };
    match opened {
        Err(error) if error.context("missing").is_some() => Ok(None),
        opened => Ok(Some(Access::Store(opened?))),
    }
}

/// The failure of a command that needs a store where there is none. Only `sync`, `serve` and an import make one.
pub(crate) fn no_store(place: &StoreConfig) -> Failure {
    let (place, key) = match place {
        StoreConfig::Directory(path) => (path.display().to_string(), "store.path"),
        StoreConfig::Postgres(database) => (format!("schema {}", database.schema), "store.postgres"),
    };
    Failure::usage(format!("there is no store at {place}: `contextcore sync` creates one; `{key}` says where it is"))
}

/// The sources of these names, in the order of the file; all of them when none is named.
pub(crate) fn chosen<'a>(config: &'a Config, names: &[String]) -> Result<Vec<&'a SourceConfig>, Failure> {
    let known: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    if known.is_empty() {
        return Err(Failure::usage(
            "the configuration names no source: add one under `sources`, or run `contextcore init`",
        ));
    }
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let hint = nearest_known(name, &known).map(|near| format!("did you mean `{near}`?"));
        let hint = hint.unwrap_or_else(|| format!("known: {}", known.join(", ")));
        return Err(Failure::usage(format!("there is no source `{name}`; {hint}")));
    }
    Ok(config.sources.iter().filter(|source| names.is_empty() || names.contains(&source.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "
sources:
  - {name: acme, kind: jira, url: 'http://127.0.0.1:1', auth: {token: {env: T}}}
  - {name: other, kind: jira, url: 'http://127.0.0.1:1', auth: {token: {env: T}}}
";

    #[test]
    fn sources_are_chosen_by_name_and_a_slip_is_answered() {
        let config = config::parse(YAML, "x.yaml", &kinds()).unwrap();
        let names =
            |chosen: Vec<&SourceConfig>| chosen.into_iter().map(|source| source.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(chosen(&config, &[]).unwrap()), ["acme", "other"]);
        assert_eq!(names(chosen(&config, &["other".into()]).unwrap()), ["other"]);
        let failure = chosen(&config, &["acmee".into()]).unwrap_err();
        assert_eq!(failure.lines, ["there is no source `acmee`; did you mean `acme`?"]);
    }

    #[tokio::test]
    async fn a_store_that_is_held_for_a_moment_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let config = config::parse(&format!("store: {{path: '{}'}}", dir.path().display()), "x.yaml", &[]).unwrap();
        let held = Store::open(dir.path()).unwrap();
        let free = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            drop(held);
        };
        let (opened, ()) = tokio::join!(open_store(&config), free);
        assert!(opened.is_ok());
    }

    #[test]
    fn a_configuration_without_sources_says_what_to_do() {
        let config = config::parse("{}", "x.yaml", &kinds()).unwrap();
        assert!(chosen(&config, &[]).unwrap_err().lines[0].contains("contextcore init"));
    }
}
