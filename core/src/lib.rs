//! Everything of ContextCore that names no vendor: configuration, ingest, store, export, queries and the engine.
//!
//! The domain itself, which does no I/O, is [`model`], a crate of its own.

mod backoff;
pub mod clock;
pub mod config;
pub mod engine;
pub mod export;
pub mod http;
pub mod ingest;
mod lock;
pub mod progress;
pub mod query;
pub mod repository;
pub mod simulated;
pub mod store;

pub use contextcore_model as model;
pub use contextcore_model::{Error, ErrorKind, Millis, Result, Retry, Secret};
pub use lock::lock;
