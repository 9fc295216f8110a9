//! The connectors of ContextCore: one folder a vendor, one line in the registry.
//!
//! A connector is a folder with the same file names as its siblings (`mod.rs`, `settings.rs`, `api.rs`, `normalise.rs`), a
//! `mod` line here and its line in [`ALL`]. What it must do is written on [`contextcore_core::connector::Connector`].

mod jira;
mod linear;
mod words;

use contextcore_core::connector::Registration;

/// Every kind of source there is.
pub static ALL: &[Registration] = &[jira::REGISTRATION, linear::REGISTRATION];
