//! The common model, store, sync and replay of ContextCore: everything that names no vendor.

pub mod error;
pub mod sink;
pub mod time;
pub(crate) mod tls;

pub use error::{Error, ErrorKind, Result, Retry};
pub use time::Millis;
