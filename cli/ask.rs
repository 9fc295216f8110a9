//! `contextcore sync` beside a `serve` that writes to the store: it is asked to poll. On this machine it answers on its socket; where the
//! store is in a database, the request is stored there, and whoever has the lease takes it.

use std::path::Path;
use std::time::{Duration, Instant};

use contextcore_core::Error;
use contextcore_core::config::{Config, SourceConfig};
use contextcore_core::http::local::Local;
use serde_json::json;

use crate::app;
use crate::args;
use crate::failure::{Exit, Failure, Outcome};
use crate::host::PollRequest;
use crate::{output, reader, socket};

/// How long a `serve` may take to see a request: it looks once a second, on a busy machine later. A `sync` or `replay` never looks.
const TAKEN: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);

/// Asks whoever writes to the store to poll these sources now, if that is why it could not be opened.
pub(crate) async fn to_poll(
    config: &Config,
    chosen: &[SourceConfig],
    arguments: &args::Sync,
    json: bool,
    refused: Error,
) -> Outcome {
    let owner = refused.context("owner").map(str::to_owned);
    if owner.is_none() && refused.context("locked").is_none() {
        return Err(refused.into());
    }
    if arguments.full || arguments.dry_run {
        let text = "a running contextcore holds the store, and polls as usual only; stop it first, or leave `--full` and `--dry-run` out";
        return Err(Failure::new(Exit::Internal, text));
    }
    let names: Vec<String> = chosen.iter().map(|source| source.name.clone()).collect();
    let (polled, by) = match owner {
        Some(owner) => (through_database(config, names, refused).await?, format!("`serve` of {owner}")),
        None => (through_socket(config, names).await?, "running `serve`".to_owned()),
    };
    let text = format!("asked the {by} to poll {} now; `contextcore status` shows the result\n", polled.join(", "));
    output::print_compact(json, &json!({"polled_by_serve": polled}), |_| text)?;
    Ok(Exit::Done)
}

async fn through_socket(config: &Config, sources: Vec<String>) -> Result<Vec<String>, Error> {
    let local = Local::new(&socket::path(config.store.path().unwrap_or(Path::new(""))))?;
    let polled: Result<PollRequest, Error> = local.post("/v1/poll", &PollRequest { sources }).await;
    Ok(polled.map_err(reader::unanswered)?.sources)
}

/// Stores the request and waits until it was taken. One that is not is withdrawn: the process that writes is no `serve`.
async fn through_database(config: &Config, sources: Vec<String>, refused: Error) -> Result<Vec<String>, Error> {
    let store = app::open_shared(config).await?;
    let Some(lease) = store.lease() else { return Err(refused) };
    sources.iter().try_for_each(|source| lease.wake(source))?;
    let begun = Instant::now();
    loop {
        let left = lease.unheeded(&sources)?;
        if left.is_empty() {
            return Ok(sources);
        }
        if begun.elapsed() > TAKEN {
            lease.withdraw(&left)?;
            return Err(refused);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
