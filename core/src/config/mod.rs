//! The configuration file: read, checked, and turned into types the program can run on.
//!
//! Read [`Config`] first: that is what the program uses. On the way to it a file becomes a tree with line numbers
//! (`yaml` of the model), is checked against the JSON Schema of its types (`raw`, `shape`), and then against the rules that a schema
//! cannot express (`validate`, `otlp`). All problems are found in one go, and no message repeats a secret.
//!
//! A source has keys that every kind has, and keys of its kind, which come in as [`SourceKind`]s: this module knows no tool.
//! `config/default.yaml`, embedded as [`DEFAULT_YAML`], is the reference of all keys; tests compare the two. Relative paths
//! are taken from the working directory, but `store.path` and `projects_file` from the directory of the file.

pub(crate) mod bounded;
mod env;
pub mod guidance;
mod json_schema;
pub mod kind;
mod otlp;
mod problems;
pub mod projects;
mod raw;
mod secret_ref;
mod shape;
mod store;
mod validate;
mod values;

use std::path::{Path, PathBuf};

use serde::Deserialize as _;

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::yaml;

pub use contextcore_model::config::*;
pub(crate) use env::Env;
pub use kind::{KeyProblems, KindKeys, KindSettings, SourceKind};
pub use problems::{ConfigErrors, Place, Problem, nearest_known};
pub use secret_ref::Resolve;

pub use crate::model::signal::{Protocol, Signal};

/// The reference: every key with its default and what it is for.
pub const DEFAULT_YAML: &str = include_str!("../../../config/default.yaml");

/// The file that is looked for when none is named.
pub const FILE_NAME: &str = "contextcore.yaml";

/// Which file to read: the one named on the command line, else by `CONTEXTCORE_CONFIG`, else [`FILE_NAME`] in the
/// working directory.
///
/// # Errors
/// [`ErrorKind::Config`] when none is named and there is none here. A named file may still be missing.
pub fn locate(cli: Option<&Path>) -> Result<PathBuf> {
    locate_in(cli, &Env::process())
}

fn locate_in(cli: Option<&Path>, env: &Env) -> Result<PathBuf> {
    let named = cli.map(Path::to_owned).or_else(|| env.get("CONTEXTCORE_CONFIG").map(PathBuf::from));
    let usual = || Some(PathBuf::from(FILE_NAME)).filter(|path| path.exists());
    named.or_else(usual).ok_or_else(|| {
        let todo = "write one with `contextcore init`, or name one with --config or CONTEXTCORE_CONFIG";
        Error::new(ErrorKind::Config, format!("no {FILE_NAME} in this directory: {todo}"))
    })
}

/// Reads and checks a file with sources of these kinds, and its projects file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path, kinds: &[SourceKind]) -> Result<Config, ConfigErrors> {
    let config = load_alone(path, kinds)?;
    let Some(file) = &config.projects_file else { return Ok(config) };
    let texts = projects::read(&file.path)?;
    projects::apply(config, &texts)
}

/// The same without what the projects file says.
///
/// # Errors
/// Everything that is wrong with the file itself.
pub fn load_alone(path: &Path, kinds: &[SourceKind]) -> Result<Config, ConfigErrors> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "does not exist: write it with `contextcore init`, or name another".to_owned()
            }
            _ => format!("cannot be read: {error}"),
        };
        ConfigErrors::whole_file(&origin, None, message)
    })?;
    let mut config = parse(&text, &origin, kinds)?;
    if let StoreConfig::Directory(store) = &mut config.store {
        *store = store_beside(path, store).map_err(|text| ConfigErrors::whole_file(&origin, None, text))?;
    }
    if let Some(file) = &mut config.projects_file {
        file.path = path.parent().unwrap_or(Path::new("")).join(&file.path);
    }
    Ok(config)
}

/// The store's directory: a relative one is taken from where the file is, so that it is the same one whatever the working
/// directory. Earlier versions took it from the working directory; a store that is still there is never left behind silently.
fn store_beside(file: &Path, store: &Path) -> Result<PathBuf, String> {
    let place: PathBuf = file.parent().unwrap_or(Path::new("")).join(store).components().collect();
    if place == store || place.exists() || !store.join("db").exists() {
        return Ok(place);
    }
    let known = std::path::absolute(store).unwrap_or_else(|_| store.to_owned());
    Err(format!(
        "`store.path` is relative to this file, so the store belongs at {}; there is one at {}: move it there, or set \
         `store.path` to where it is",
        place.display(),
        known.display()
    ))
}

/// Checks the text of a file; `origin` is what messages call it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, origin: &str, kinds: &[SourceKind]) -> Result<Config, ConfigErrors> {
    parse_in(text, origin, kinds, &Env::process())
}

/// The same for a text that says everything: variables of the environment mean nothing to it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_alone(text: &str, origin: &str, kinds: &[SourceKind]) -> Result<Config, ConfigErrors> {
    parse_in(text, origin, kinds, &Env::none())
}

fn parse_in(text: &str, origin: &str, kinds: &[SourceKind], env: &Env) -> Result<Config, ConfigErrors> {
    let (mut document, lines) =
        yaml::document(text).map_err(|(line, message)| ConfigErrors::whole_file(origin, line, message))?;
    let mut problems = problems::Problems::new(lines);
    shape::check(&json_schema::schema(kinds), &mut document, &mut problems);
    let settings = raw::take_settings(&mut document);
    let config = match raw::RawConfig::deserialize(document) {
        Ok(raw) => validate::config(raw, settings, kinds, env, &mut problems),
        Err(_) => None,
    };
    // The second problem cannot be while `shape` and `raw` agree; a file must not pass if they ever do not.
    let unfit = || ConfigErrors::whole_file(origin, None, "does not fit the schema (see `contextcore schema`)");
    problems.into_result(origin, config)?.ok_or_else(unfit)
}

/// The JSON Schema of the file, as `config/schema.json` holds it and `contextcore schema` prints it.
pub fn json_schema(kinds: &[SourceKind]) -> String {
    format!("{:#}\n", json_schema::schema(kinds))
}

#[cfg(test)]
mod tests;
