//! The connectors of ContextCore: one folder a vendor, one line in the registry.
//!
//! A connector is a folder with the same file names as its siblings (`mod.rs`, `settings.rs`, `api.rs`, `normalise.rs`), a
//! `mod` line here and its line in [`ALL`]. What it must do is written on [`contextcore_core::ingest::connector::Connector`].

mod chain;
mod credential;
mod cursor;
mod file;
mod github;
mod graphql;
mod jira;
mod left_out;
mod linear;
mod reference_data;
mod refusal;
mod rewind;
mod rules;
mod scan;
pub mod sdk;
mod vocabulary;
mod webhook;

use contextcore_core::config::SourceKind;
use contextcore_core::ingest::connector::Registration;

/// Every kind of source there is.
pub static ALL: &[Registration] =
    &[jira::REGISTRATION, github::REGISTRATION, linear::REGISTRATION, file::REGISTRATION, sdk::REGISTRATION];

/// What reading a configuration needs to know of them.
pub fn kinds() -> Vec<SourceKind> {
    ALL.iter().map(Registration::source_kind).collect()
}

/// The kind of this name.
pub fn registration(kind: &str) -> Option<&'static Registration> {
    ALL.iter().find(|registration| registration.kind == kind)
}
