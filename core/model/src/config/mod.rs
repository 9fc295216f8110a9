//! The configuration as the program runs on it: types, schedules and lengths of time, and references to secrets.
//!
//! Nothing here reads a file or the environment; that is done where the configuration is loaded.

pub mod duration;
pub mod project;
mod schedule;
mod secret_ref;
mod types;

pub use project::{Criticality, ProjectConfig, ServiceContext};
pub use schedule::Schedule;
pub use secret_ref::{HeaderValue, SecretRef};
pub use types::*;
