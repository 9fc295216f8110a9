//! The domain of ContextCore, without I/O: what tasks, sprints and activities are, how they are folded, compared and
//! identified, what names telemetry has, and what the configuration says.
//!
//! Everything here is a pure function or a plain type. Nothing reads a clock, a file, the environment or the network, so
//! that a controller or an SDK can depend on it alone. Read [`task`] first, then [`timeline`].

#![warn(missing_docs)]

pub mod activity;
pub mod agent_flow;
pub mod agents;
pub mod blocking;
pub mod config;
pub mod diff;
pub mod error;
pub mod git_paths;
pub mod guidance;
pub mod hash;
pub mod health;
pub mod ids;
pub mod inference;
pub mod insight;
pub mod interval;
pub mod leak;
pub mod link;
pub mod observation;
pub mod operation;
pub mod path_glob;
pub mod percent;
pub mod printable;
pub mod project_file;
pub mod report;
pub mod reported;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
pub mod secret;
pub mod semconv;
pub mod signal;
pub mod sprint;
pub mod task;
pub mod time;
pub mod timeline;
pub mod tokens;
pub mod totals;
pub mod trailers;
pub mod transitions;
#[cfg(any(test, feature = "yaml"))]
pub mod yaml;

pub use error::{Error, ErrorKind, Result, Retry};
pub use secret::Secret;
pub use task::*;
pub use time::Millis;
