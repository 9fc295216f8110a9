//! `contextcore sync`: one pass over the sources, then export of the journal.

use std::sync::Arc;
use std::time::Instant;

use contextcore_core::config::{Config, SourceConfig};
use contextcore_core::engine::Engine;
use contextcore_core::export::{Destinations, DrainReport, Present};
use contextcore_core::ingest::sync::Options;
use contextcore_core::store::Store;
use contextcore_core::{Error, ErrorKind, clock};
use tempfile::TempDir;

use crate::app::{self, Context};
use crate::args;
use crate::failure::{Failure, Outcome};
use crate::report::RunReport;
use crate::{ask, host, output, progress, self_metrics, stop};

pub(crate) async fn run(context: &Context, arguments: &args::Sync) -> Outcome {
    let json = context.is_json("sync")?;
    let config = context.config_for_network()?;
    let chosen: Vec<SourceConfig> = app::chosen(&config, &arguments.sources)?.into_iter().cloned().collect();
    let (store, _scratch) = match store_for(&config, arguments.dry_run).await {
        Ok(opened) => opened,
        Err(error) => return ask::to_poll(&config, &chosen, arguments, json, error).await,
    };
    let options = Options { full: arguments.full, dry_run: arguments.dry_run, now: None };
    let engine = Arc::new(app::engine(config, store, progress::watcher(&context.bars)));
    let sinks = engine.sinks()?;
    let work = async {
        let report = pass(&engine, &chosen, options, &sinks).await?;
        self_metrics::push_after(&engine, &report).await;
        Ok::<_, Error>(report)
    };
    // A dry run works on a copy, so another process may hold the store and listen there.
    let work = async { if arguments.dry_run { work.await } else { host::beside(&engine, work).await } };
    let report = stop::stoppable(&engine.cancel, work).await??;
    progress::end(&context.bars);
    print(&report, json)?;
    Ok(report.exit())
}

/// Reads the sources and exports the journal.
pub(crate) async fn pass(
    engine: &Arc<Engine>,
    sources: &[SourceConfig],
    options: Options,
    sinks: &Destinations,
) -> Result<RunReport, Error> {
    let (begun, config) = (Instant::now(), engine.config());
    let read = engine.sync(sources, options).await;
    // A store that failed once fails the export too, and one error is enough.
    let broken = read.iter().filter_map(|report| report.error.as_ref()).any(|error| error.kind() == ErrorKind::Store);
    // What was stopped exports in the next run.
    let sent = match options.dry_run || broken || engine.cancel.is_cancelled() {
        true => DrainReport::default(),
        false => engine.replayer(&config, sinks, false).drain(clock::now(), Present::ALL).await,
    };
    Ok(RunReport::new(read, sent, &engine.owners()?, options.dry_run, begun.elapsed().as_secs_f64()))
}

/// The store of a run. A dry run changes nothing, so it has a copy, or an empty store where there is none.
async fn store_for(config: &Config, dry_run: bool) -> Result<(Store, Option<TempDir>), Error> {
    if !dry_run {
        return Ok((app::open_store(config).await?, None));
    }
    match app::open_copy(config).await {
        Err(error) if error.context("missing").is_some() => {
            let scratch = scratch()?;
            Ok((Store::open(scratch.path())?, Some(scratch)))
        }
        opened => Ok((opened?, None)),
    }
}

/// A directory that is removed when the guard is dropped.
pub(crate) fn scratch() -> Result<TempDir, Error> {
    let named = tempfile::Builder::new().prefix("contextcore-").tempdir();
    named.map_err(|error| Error::new(ErrorKind::Internal, "make a temporary directory").caused_by(error))
}

/// Prints the report on stdout, and its problems on stderr.
pub(crate) fn print(report: &RunReport, json: bool) -> Result<(), Failure> {
    output::print_compact(json, report, RunReport::lines)?;
    eprint!("{}", report.problems());
    Ok(())
}
