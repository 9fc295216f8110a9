#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! [`TaskTracker`] and [`SprintTracker`] report work, [`agent`] what agents find and decide, [`testing`] keeps reports in memory. With
//! the feature `tracing-layer`, the module `layer` links tasks with the traces of their work.
//! Reports are written by the crate `contextcore-spool` and read by `contextcore drain`.

#![warn(missing_docs)]

pub mod agent;
mod client;
mod environment;
#[cfg(feature = "tracing-layer")]
pub mod layer;
mod query;
mod recorder;
mod spool;
mod sprint;
pub mod testing;
mod tidy;
mod tracker;
mod value;

pub use client::{Builder, Error};
pub use contextcore_model::operation::Operation;
pub use environment::Mode;
pub use sprint::{SprintDraft, SprintTracker};
pub use tracker::{Clears, Task, TaskDraft, TaskGuard, TaskTracker};
pub use value::{Moment, Value};
