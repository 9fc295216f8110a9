//! The common model, store, sync and replay of ContextCore: everything that names no vendor.

pub mod config;
pub mod error;
pub mod model;
pub mod secret;
pub mod time;

pub use error::{Error, ErrorKind, Result, Retry};
pub use secret::Secret;
pub use time::Millis;
