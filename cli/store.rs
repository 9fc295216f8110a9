//! `contextcore store`: verify, export, import, compact. No other process may hold the store meanwhile.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use contextcore_core::store::{Store, Verified};
use serde_json::json;

use crate::app::{self, Context};
use crate::args;
use crate::failure::{Exit, Failure, Outcome};
use crate::humanize;

/// Problems shown without `-v`.
const FIRST_FEW: usize = 20;

pub(crate) async fn run(context: &Context, command: &args::Store) -> Outcome {
    let json = context.is_json("store")?;
    let config = context.config()?;
    if matches!(command, args::Store::Import { .. }) {
        // Only an import can begin without a store.
    } else if !config.store.path.exists() {
        let path = config.store.path.display();
        return Err(Failure::usage(format!("there is no store at {path}: `contextcore sync` creates one")));
    }
    let store = app::open_store(&config).await?;
    match command {
        args::Store::Compact => compact(store, json),
        args::Store::Export { file } => export(&store, file, json),
        args::Store::Import { file } => import(&store, file, json),
        args::Store::Verify => verify(&store, json, context.global.verbose > 0),
    }
}

fn compact(store: Store, json: bool) -> Outcome {
    let (before, after) = store.compact()?;
    let text = format!("compacted: {} before, {} after", humanize::bytes(before), humanize::bytes(after));
    print(json, &json!({"bytes_before": before, "bytes_after": after}), &text)
}

fn export(store: &Store, file: &Path, json: bool) -> Outcome {
    if is_standard(file) {
        store.export(&mut BufWriter::new(io::stdout().lock()))?;
        return Ok(Exit::Done);
    }
    let mut out = BufWriter::new(File::create(file).map_err(|error| failed("write", file, &error))?);
    let keys = store.export(&mut out)?;
    let synced = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
    synced.map_err(|error| failed("write", file, &error))?;
    print(json, &json!({"keys": keys}), &format!("exported {} to {}", humanize::plural(keys, "key"), file.display()))
}

fn import(store: &Store, file: &Path, json: bool) -> Outcome {
    let mut input: Box<dyn BufRead> = if is_standard(file) {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(file).map_err(|error| failed("read", file, &error))?))
    };
    let keys = store.import(&mut *input)?;
    print(json, &json!({"keys": keys}), &format!("imported {}", humanize::plural(keys, "key")))
}

fn verify(store: &Store, json: bool, all: bool) -> Outcome {
    let found = store.verify()?;
    print(json, &json!(found), &verified(&found))?;
    let shown = if all { found.problems.len() } else { FIRST_FEW };
    found.problems.iter().take(shown).for_each(|problem| eprintln!("error: {problem}"));
    match found.problems.len() {
        0 => Ok(Exit::Done),
        number => Err(Failure::new(
            Exit::Internal,
            format!(
                "{} found: move the store aside and sync again: the tools still have all data, and ids stay the same",
                humanize::plural(number as u64, "problem")
            ),
        )),
    }
}

fn verified(found: &Verified) -> String {
    format!(
        "read {}, {} timeline events, {}, {}",
        humanize::plural(found.tasks, "task"),
        humanize::count(found.events),
        humanize::plural(found.sprints, "sprint"),
        humanize::plural(found.journal, "journal item")
    )
}

fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

fn failed(action: &str, file: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{action} {}: {error}", file.display()))
}

fn print(json: bool, value: &serde_json::Value, text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{value}")?
    } else {
        writeln!(out, "{text}")?
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn an_export_imports_into_another_store() {
        let (store, _, _dir) = fixture::world();
        let other_dir = tempfile::tempdir().unwrap();
        let file = other_dir.path().join("export");
        export(&store, &file, true).unwrap();
        let other = Store::open(&other_dir.path().join("data")).unwrap();
        import(&other, &file, true).unwrap();
        assert_eq!(other.verify().unwrap(), store.verify().unwrap());
        assert_eq!(import(&other, &file, true).unwrap_err().exit, Exit::Internal, "only into an empty store");
    }

    #[test]
    fn a_consistent_store_passes() {
        let (store, _, _dir) = fixture::world();
        assert_eq!(verify(&store, true, false), Ok(Exit::Done));
        assert_eq!(verified(&store.verify().unwrap()), "read 4 tasks, 11 timeline events, 2 sprints, 0 journal items");
    }

    #[test]
    fn a_missing_file_is_named() {
        let (store, _, _dir) = fixture::world();
        let failure = import(&store, Path::new("/no/such/file"), false).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.lines[0].contains("/no/such/file"));
    }
}
