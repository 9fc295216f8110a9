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
use crate::failure::{Exit, Failure, Outcome};
use crate::report::RunReport;
use crate::{output, progress, self_metrics, stop};

pub(crate) async fn run(context: &Context, arguments: &args::Sync) -> Outcome {
    let json = context.is_json("sync")?;
    let config = context.config()?;
    let chosen: Vec<SourceConfig> = app::chosen(&config, &arguments.sources)?.into_iter().cloned().collect();
    let (store, _scratch) = store_for(&config, arguments.dry_run).await?;
    let options = Options { full: arguments.full, dry_run: arguments.dry_run, now: None };
    let engine = Arc::new(app::engine(config, store, progress::watcher(&context.bars)));
    let sinks = engine.sinks()?;
    let work = async {
        let report = pass(&engine, &chosen, options, &sinks).await?;
        self_metrics::push_after(&engine, &report).await;
        Ok::<_, Error>(report)
    };
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
    let begun = Instant::now();
    let read = engine.sync(sources, options).await;
    // A store that failed once fails the export too, and one error is enough.
    let broken = read.iter().filter_map(|report| report.error.as_ref()).any(|error| error.kind() == ErrorKind::Store);
    // What was stopped exports in the next run.
    let sent = match options.dry_run || broken || engine.cancel.is_cancelled() {
        true => DrainReport::default(),
        false => engine.replayer(sinks, false).drain(clock::now(), Present::ALL).await,
    };
    Ok(RunReport::new(read, sent, &engine.owners()?, options.dry_run, begun.elapsed().as_secs_f64()))
}

/// The store of a run. A dry run leaves nothing behind, not even an empty store.
async fn store_for(config: &Config, dry_run: bool) -> Result<(Store, Option<TempDir>), Failure> {
    if dry_run && !config.store.path.exists() {
        let scratch = scratch()?;
        return Ok((Store::open(scratch.path())?, Some(scratch)));
    }
    Ok((app::open_store(config).await?, None))
}

/// A directory that is removed when the guard is dropped.
pub(crate) fn scratch() -> Result<TempDir, Failure> {
    let named = tempfile::Builder::new().prefix("contextcore-").tempdir();
    named.map_err(|error| Failure::new(Exit::Internal, format!("make a temporary directory: {error}")))
}

/// Prints the report on stdout, and its problems on stderr.
pub(crate) fn print(report: &RunReport, json: bool) -> Result<(), Failure> {
    output::print_compact(json, report, RunReport::lines)?;
    eprint!("{}", report.problems());
    Ok(())
}
