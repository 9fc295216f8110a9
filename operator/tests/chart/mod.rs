//! The Helm chart: its generated files are fresh ([`schema`], [`readme`]), it renders what was reviewed and refuses what is wrong
//! ([`template`]), and a real API server accepts, upgrades and removes it ([`install`]).
//!
//! `UPDATE_CHART=1 cargo test -p contextcore-operator --test outside chart` writes the generated files anew.

mod helm;
mod install;
mod readme;
mod schema;
mod template;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The chart.
fn chart() -> PathBuf {
    repository().join("deploy/helm/contextcore")
}

/// Compares a generated file with what is committed, or writes it.
fn fresh(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_CHART").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    let command = "UPDATE_CHART=1 cargo test -p contextcore-operator --test outside chart";
    assert!(committed == text, "{} is stale: run `{command}` and read the diff", path.display());
}
