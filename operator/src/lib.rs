//! The `ProjectContext` resource of Kubernetes, and everything that is derived from it.
//!
//! A team says once how much a service matters to the business; its sampling, metrics interval, alerts and their routing follow.
//! Read [`resource`] for what can be written and [`mod@derive`] for what follows. One pure function carries everything:
//! [`derive::derive`] takes all contexts and the [`settings`] and returns objects. It knows no client, no clock and no cluster, so
//! that a review, a test and a cluster see the same.
//!
//! [`controller`] alone does I/O: it brings those objects into a cluster and keeps them there.
//!
//! [`mod@validate`] checks files as the API server would, and says on which line what is wrong. [`mod@import`] reads the objectives
//! of others as contexts.

pub mod controller;
pub mod crd;
pub mod derive;
mod escape;
pub mod explain;
pub mod grafana;
pub mod import;
mod labels;
mod nearest;
pub mod resource;
mod schema;
pub mod settings;
mod units;
pub mod validate;

pub use contextcore_model::yaml;
