//! The connectors of ContextCore: one folder a vendor, one line in the registry.
//!
//! A connector is a folder with the same file names as its siblings (`mod.rs`, `settings.rs`, `api.rs`, `normalise.rs`), a
//! `mod` line here and its line in [`ALL`]. What it must do is written on [`contextcore_core::ingest::connector::Connector`].

mod cursor;
mod file;
mod github;
mod jira;
mod linear;
mod rewind;
mod rules;
mod scan;
mod vocabulary;
mod webhook;

use contextcore_core::ingest::connector::{Registration, Webhook};

/// Every kind of source there is.
pub static ALL: &[Registration] = &[jira::REGISTRATION, github::REGISTRATION, linear::REGISTRATION, file::REGISTRATION];

/// How calls of a kind's tool are proven; `None` for a kind whose tool does not call.
pub fn webhook(kind: &str) -> Option<Webhook> {
    match kind {
        "github" => Some(webhook::github),
        "jira" => Some(webhook::jira),
        "linear" => Some(webhook::linear),
        _ => None,
    }
}
