//! The common model, store, sync and replay of ContextCore: everything that names no vendor.

pub mod activity;
pub mod config;
pub mod connector;
pub mod derive;
pub mod diff;
pub mod error;
mod hash;
pub mod http;
mod link;
pub mod model;
pub mod progress;
pub mod replay;
pub mod secret;
pub mod sink;
pub mod sprint;
pub mod store;
mod stretch;
pub mod sync;
pub mod telemetry;
pub mod time;
pub mod timeline;
mod tls;
pub mod totals;
mod turns;
pub mod view;
mod waits;
mod wire;

pub use error::{Error, ErrorKind, Result, Retry};
pub use secret::Secret;
pub use time::Millis;
