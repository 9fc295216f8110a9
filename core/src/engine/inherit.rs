//! Taking over the stores of engines that a source replaces: `serve` goes on where a helper ended, and exports nothing twice.

use std::path::Path;
use std::sync::Arc;

use super::Engine;
use crate::export;
use crate::ingest::sync::{self, Source};
use crate::model::error::{Error, Result};
use crate::store::{Store, Unit};

impl Engine {
    /// Takes over what other engines stored of a source's work. Returns what a person should know; what could not be taken over now is
    /// tried again before the next run.
    pub(super) async fn inherit(&self, source: &Arc<Source>) -> Vec<String> {
        let (store, source) = (self.store.of(Unit::source(&source.config.name)), Arc::clone(source));
        let taken = tokio::task::spawn_blocking(move || inherit_all(&store, &source)).await;
        taken.unwrap_or_else(|error| vec![format!("taking over the stores of helpers failed: {error}")])
    }
}

fn inherit_all(store: &Store, source: &Source) -> Vec<String> {
    let former = match source.connector.former_stores() {
        Ok(former) => former,
        Err(error) => return vec![error.full()],
    };
    let warning = |path: &Path, error: &Error| {
        format!(
            "the store of a helper in {} was not taken over: {}; the next run tries again",
            path.display(),
            error.full()
        )
    };
    let taken = former.iter().filter_map(|path| match inherit(store, source, path) {
        Ok(warning) => warning,
        Err(error) => Some(warning(path, &error)),
    });
    taken.collect()
}

/// Takes over one store. What was exported comes first, so that nothing of it can be exported again meanwhile.
fn inherit(store: &Store, source: &Source, path: &Path) -> Result<Option<String>> {
    let from = match Store::open_to_read(path) {
        Err(error) if error.context("missing").is_some() => return Ok(None),
        opened => opened?,
    };
    export::inherit(store, &source.config.name, &from)?;
    let changes = sync::inherit(store, source, &from)?;
    let refused = from.dead_letters()?.len();
    drop(from);
    source.connector.retire(path)?;
    tracing::info!(source = source.config.name, changes, "took over what a helper had stored");
    let warning = || format!("a helper left {refused} dead letters in {}", path.display());
    Ok((refused > 0).then(warning))
}
