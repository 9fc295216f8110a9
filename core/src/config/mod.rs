//! The configuration file: read, checked, and turned into types the program can run on.

mod env;
mod schedule;
mod secret_ref;
mod types;

pub(crate) use env::Env;
pub use schedule::Schedule;
pub use secret_ref::{HeaderValue, SecretRef};
pub use types::*;

pub use crate::sink::{Protocol, Signal};
