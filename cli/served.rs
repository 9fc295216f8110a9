//! Counting which insights were given to those who asked: the process that holds a store counts; where none
//! runs, this one does.
//!
//! People review what is asked for often, and what nobody ever asks for expires. An agent that was given an insight does not confirm
//! it by reporting the same.

use std::path::Path;

use contextcore_core::config::{Config, PostgresConfig, Resolve, StoreConfig};
use contextcore_core::http::local::Local;
use contextcore_core::store::{Copies, Store};
use contextcore_core::{Error, clock};
use contextcore_spool::StateDir;

use crate::host::ServedRequest;
use crate::socket;

/// Counts in every store on this machine that may hold them. What cannot be counted is not.
pub(crate) async fn note(
    config: Option<&Config>,
    state: &StateDir,
    copies: &Copies,
    ids: Vec<String>,
    agent: Option<&str>,
) {
    if ids.is_empty() {
        return;
    }
    let lanes = state.lanes().unwrap_or_default().into_iter().map(|lane| lane.engine());
    let request = ServedRequest { ids, agent: agent.map(str::to_owned) };
    if let Some(StoreConfig::Postgres(database)) = config.map(|config| &config.store)
        && let Err(error) = note_in_database(database, &request)
    {
        tracing::debug!(%error, "could not count what was read");
    }
    let stores = config.and_then(|config| config.store.path()).map(Path::to_owned).into_iter().chain(lanes);
    for store in stores {
        if let Err(error) = note_in(&store, copies, &request).await {
            tracing::debug!(store = %store.display(), %error, "could not count what was read");
        }
    }
}

/// A store that another process writes to is left to it: what it is asked itself, it counts.
fn note_in_database(database: &PostgresConfig, request: &ServedRequest) -> Result<(), Error> {
    let store = Store::connect_to_write(database, &database.url.resolve()?)?;
    if !store.take_lease()? {
        return Ok(());
    }
    store.note_served(&request.ids, request.agent.as_deref(), clock::now())
}

async fn note_in(store: &Path, copies: &Copies, request: &ServedRequest) -> Result<(), Error> {
    let socket = socket::path(store);
    if socket.exists() && Local::new(&socket)?.post::<()>("/v1/insights/served", request).await.is_ok() {
        return Ok(());
    }
    copies.change(store, |store| store.note_served(&request.ids, request.agent.as_deref(), clock::now()))
}
