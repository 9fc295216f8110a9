//! Counting which insights were given to those who asked: the process that holds a store counts; where none
//! runs, this one does.
//!
//! People review what is asked for often, and what nobody ever asks for expires. An agent that was given an insight does not confirm
//! it by reporting the same.

use std::path::Path;

use contextcore_core::config::Config;
use contextcore_core::http::local::Local;
use contextcore_core::store::Store;
use contextcore_core::{Error, clock};
use contextcore_spool::StateDir;

use crate::host::ServedRequest;
use crate::socket;

/// Counts in every store on this machine that may hold them. What cannot be counted is not.
pub(crate) async fn note(config: Option<&Config>, state: &StateDir, ids: Vec<String>, agent: Option<&str>) {
    if ids.is_empty() {
        return;
    }
    let lanes = state.lanes().unwrap_or_default().into_iter().map(|lane| lane.engine());
    let stores = config.map(|config| config.store.path.clone()).into_iter().chain(lanes);
    let request = ServedRequest { ids, agent: agent.map(str::to_owned) };
    for store in stores.filter(|store| store.is_dir()) {
        if let Err(error) = note_in(&store, &request).await {
            tracing::debug!(store = %store.display(), %error, "could not count what was read");
        }
    }
}

async fn note_in(store: &Path, request: &ServedRequest) -> Result<(), Error> {
    let socket = socket::path(store);
    if socket.exists() && Local::new(&socket)?.post::<()>("/v1/insights/served", request).await.is_ok() {
        return Ok(());
    }
    Store::open(store)?.note_served(&request.ids, request.agent.as_deref(), clock::now())
}
