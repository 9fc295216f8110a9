//! A living sample world and local fakes that speak the vendors' real APIs over HTTP, for the demo and for tests.
//!
//! Read [`world::World`] first: projects, people, sprints and tasks with their whole history, and the truth about them
//! ([`world::Truth`]) computed from that history alone. [`jira::Jira`] answers for such a world the way Jira does,
//! [`github::Github`] the way GitHub does and [`linear::Linear`] the way Linear does (both execute real queries: [`graphql`]);
//! [`faults::Faults`] makes any fake misbehave on request. [`otlp`] is the other side: it receives what the product sends.
//!
//! Invariant: nothing here knows the product's connectors or its core. Shapes and refusals come from the vendors'
//! documentation, so that a test against a fake can fail.

mod clock;
pub mod faults;
pub mod github;
pub mod graphql;
pub mod jira;
pub mod linear;
mod message;
pub mod otlp;
mod server;
#[cfg(test)]
mod wire;
pub mod world;

pub use clock::Clock;
pub use message::Request;
pub use server::Handle;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what no panic can leave half-done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
