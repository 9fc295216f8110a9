//! `contextcore store`: verify and export, which also work while another process holds the store; import, copy and compact, for which
//! no other process may hold it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use contextcore_core::config::{self, StoreConfig};
use contextcore_core::model::printable;
use contextcore_core::store::{Copies, Counts, Destination, Imported, Store, Verified};
use serde_json::json;

use crate::app::{self, Access, Context};
use crate::args;
use crate::failure::{Exit, Failure, Outcome};
use crate::humanize;
use crate::reader::unanswered;

/// Problems shown without `-v`.
const FIRST_FEW: usize = 20;

pub(crate) async fn run(context: &Context, command: &args::Store) -> Outcome {
    let json = context.is_json("store")?;
    // A copy of one named store to another needs no other configuration.
    let ours = || Ok::<_, Failure>(context.config()?.store);
    match command {
        args::Store::Copy { from, to } => {
            let from = from.as_deref().map_or_else(ours, place)?;
            copy(&from, &place(to)?, json).await
        }
        args::Store::Compact => compact(&ours()?, json).await,
        args::Store::Import { file } => import(&ours()?, file, json).await,
        args::Store::Export { file } => {
            let config = context.config()?;
            export(&app::read_store(&config, &Copies::default()).await?, file, json).await
        }
        args::Store::Verify => {
            let found = match app::read_store(&context.config()?, &Copies::default()).await? {
                Access::Store(store) => store.verify()?,
                Access::Held(local) => local.get("/v1/verify", &()).await.map_err(unanswered)?,
            };
            verify(&found, json, context.global.verbose > 0)
        }
    }
}

async fn compact(at: &StoreConfig, json: bool) -> Outcome {
    if at.path().is_none() {
        let reason = "PostgreSQL reclaims unused space by itself (autovacuum); there is nothing to compact";
        return Err(Failure::usage(reason));
    }
    let (before, after) = app::open_existing(at).await?.compact()?;
    let text = format!("compacted: {} before, {} after", humanize::bytes(before), humanize::bytes(after));
    print(json, &json!({"bytes_before": before, "bytes_after": after}), &text)
}

async fn export(from: &Access, file: &Path, json: bool) -> Outcome {
    if is_standard(file) {
        let mut out = BufWriter::new(io::stdout().lock());
        write_export(from, &mut out).await?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    if fs::metadata(file).is_ok_and(|found| !found.is_file()) {
        // A pipe or a device: there is nothing to write beside.
        let mut out =
            BufWriter::new(File::options().write(true).open(file).map_err(|error| failed("write", file, &error))?);
        write_export(from, &mut out).await?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    let counts = export_to(from, file).await?;
    let text = format!("exported {} to {} ({})", humanize::plural(counts.keys, "key"), file.display(), held(counts));
    print(json, &json!(counts), &text)
}

/// Writes beside the file and takes its place only once all of it was read back, so that an older export is never lost to a
/// newer one that fails.
async fn export_to(from: &Access, file: &Path) -> Result<Counts, Failure> {
    let place = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let directory = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Files of this kind are for their owner only, and are removed when they are dropped.
    let named = tempfile::Builder::new().prefix(".contextcore-export-").tempfile_in(directory);
    let mut part = named.map_err(|error| failed("write", file, &error))?;
    let mut out = BufWriter::new(part.as_file_mut());
    write_export(from, &mut out).await?;
    let written = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|part| part.sync_all());
    written.map_err(|error| failed("write", file, &error))?;
    let counts = Store::check_export(&mut open(part.path())?)?;
    part.persist(&place).map_err(|error| failed("write", file, &error.error))?;
    // So that a crash does not undo it. Not every file system can.
    drop(File::open(directory).and_then(|directory| directory.sync_all()));
    Ok(counts)
}

async fn write_export(from: &Access, out: &mut impl Write) -> Result<(), Failure> {
    match from {
        Access::Store(store) => drop(store.export(out)?),
        Access::Held(local) => {
            local
                .bytes("/v1/export", |bytes| Ok::<_, Stop>(out.write_all(bytes)?))
                .await
                .map_err(|Stop(failure)| failure)?;
        }
    }
    Ok(())
}

/// Why an export ended early.
struct Stop(Failure);

impl From<contextcore_core::Error> for Stop {
    fn from(error: contextcore_core::Error) -> Self {
        Self(unanswered(error).into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self(error.into())
    }
}

/// The store that an argument means: a directory, or that of a configuration file.
fn place(argument: &Path) -> Result<StoreConfig, Failure> {
    let is_config = argument.is_file() || argument.extension().is_some_and(|end| end == "yaml" || end == "yml");
    match is_config {
        true => Ok(config::load_alone(argument, &app::kinds())?.store),
        false => Ok(StoreConfig::Directory(argument.to_owned())),
    }
}

async fn copy(from: &StoreConfig, to: &StoreConfig, json: bool) -> Outcome {
    if from == to {
        return Err(Failure::usage("`--from` and `--to` are the same store"));
    }
    // Opened to write, so that nothing else does.
    let source = app::open_existing(from).await?;
    let counts = match to {
        StoreConfig::Directory(path) => source.copy(&Destination::Directory(path))?,
        StoreConfig::Postgres(_) => source.copy(&Destination::Database(&app::open_at(to).await?))?,
    };
    let text = format!("copied {} and read them back ({})", humanize::plural(counts.keys, "key"), held(counts));
    print(json, &json!(counts), &text)
}

async fn import(to: &StoreConfig, file: &Path, json: bool) -> Outcome {
    let mut input: Box<dyn BufRead> =
        if is_standard(file) { Box::new(BufReader::new(io::stdin())) } else { Box::new(open(file)?) };
    let Imported { counts, verified, problems } = match to {
        StoreConfig::Directory(path) => Store::import(&Destination::Directory(path), &mut *input)?,
        StoreConfig::Postgres(_) => Store::import(&Destination::Database(&app::open_at(to).await?), &mut *input)?,
    };
    if !verified {
        eprintln!(
            "warning: this export is of an older version, which wrote neither counts nor a hash: that it is whole cannot be verified"
        );
    }
    if !problems.is_empty() {
        let number = humanize::plural(problems.len() as u64, "problem");
        eprintln!("warning: the store that was exported has {number}: `contextcore store verify` lists them");
    }
    let text = format!("imported {} ({})", humanize::plural(counts.keys, "key"), held(counts));
    let mut report = json!(counts);
    report["verified"] = verified.into();
    print(json, &report, &text)
}

fn held(counts: Counts) -> String {
    let (tasks, sprints) = (humanize::plural(counts.tasks, "task"), humanize::plural(counts.sprints, "sprint"));
    format!("{tasks}, {sprints}{}", insights(counts.insights))
}

/// How many insights, where there are some.
fn insights(number: u64) -> String {
    if number > 0 { format!(", {}", humanize::plural(number, "insight")) } else { String::new() }
}

fn open(file: &Path) -> Result<BufReader<File>, Failure> {
    Ok(BufReader::new(File::open(file).map_err(|error| failed("read", file, &error))?))
}

fn verify(found: &Verified, json: bool, all: bool) -> Outcome {
    print(json, &json!(found), &verified(found))?;
    let shown = if all { found.problems.len() } else { FIRST_FEW };
    found.problems.iter().take(shown).for_each(|problem| eprintln!("error: {}", printable::one_line(problem)));
    match found.problems.len() {
        0 => Ok(Exit::Done),
        number => Err(Failure::new(
            Exit::Internal,
            format!(
                "{} found: import the last export into another store.path; without one move the store aside, keep it, and sync \
                 again: the tools give back their history, with the same ids, but not what was only observed",
                humanize::plural(number as u64, "problem")
            ),
        )),
    }
}

fn verified(found: &Verified) -> String {
    format!(
        "read {}, {} timeline events, {}{}, {}",
        humanize::plural(found.tasks, "task"),
        humanize::count(found.events),
        humanize::plural(found.sprints, "sprint"),
        insights(found.insights),
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
    use std::os::unix::fs::PermissionsExt;

    use contextcore_core::http::local::Local;

    use super::*;
    use crate::fixture;

    #[tokio::test]
    async fn an_export_imports_into_another_store() {
        let (store, _, _dir) = fixture::world();
        let truth = store.verify().unwrap();
        let other_dir = tempfile::tempdir().unwrap();
        let (file, path) = (other_dir.path().join("export"), other_dir.path().join("data"));
        export(&Access::Store(store.into()), &file, true).await.unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let to = StoreConfig::Directory(path.clone());
        import(&to, &file, true).await.unwrap();
        let settings = format!("store: {{path: '{}'}}", path.display());
        let config = contextcore_core::config::parse(&settings, "x.yaml", &[]).unwrap();
        assert_eq!(crate::app::open_store(&config).await.unwrap().verify().unwrap(), truth);
        assert_eq!(import(&to, &file, true).await.unwrap_err().exit, Exit::Internal, "only into an empty store");
    }

    #[tokio::test]
    async fn an_export_that_fails_leaves_the_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("export");
        fs::write(&file, "older").unwrap();
        let nobody = Access::Held(Local::new(&dir.path().join("none.sock")).unwrap());
        let failure = export(&nobody, &file, true).await.unwrap_err();
        assert!(failure.lines[0].contains("does not answer"), "{failure}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "older");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn an_export_goes_where_a_link_leads_and_into_devices() {
        let (store, _, _dir) = fixture::world();
        let (from, dir) = (Access::Store(store.into()), tempfile::tempdir().unwrap());
        let (file, link) = (dir.path().join("export"), dir.path().join("link"));
        fs::write(&file, "older").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        export(&from, &link, true).await.unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&file).unwrap().starts_with("contextcore-store"));
        export(&from, Path::new("/dev/null"), true).await.unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_consistent_store_passes() {
        let (store, _, _dir) = fixture::world();
        let found = store.verify().unwrap();
        assert_eq!(verify(&found, true, false), Ok(Exit::Done));
        assert_eq!(verified(&found), "read 4 tasks, 11 timeline events, 2 sprints, 0 journal items");
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let to = StoreConfig::Directory(dir.path().join("data"));
        let failure = import(&to, Path::new("/no/such/file"), false).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.lines[0].contains("/no/such/file"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
