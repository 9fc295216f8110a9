//! A living sample world and local stand-ins that speak the vendors' real APIs over HTTP, for the demo and for tests.
//!
//! Read [`world::World`] first: projects, people, sprints and tasks with their whole history, and the truth about them
//! ([`world::Truth`]) computed from that history alone. [`jira::Jira`] answers for such a world the way Jira does,
//! [`github::Github`] the way GitHub does and [`linear::Linear`] the way Linear does (both execute real queries: [`graphql`]);
//! [`faults::Faults`] makes any stand-in misbehave on request. [`otlp`] is the other side: it catches what the product sends.
//!
//! Invariant: nothing here knows the product's connectors or its core. Shapes and refusals come from the vendors'
//! documentation, so that a test against a stand-in can fail.

mod clock;
pub mod faults;
pub mod github;
pub mod graphql;
pub mod jira;
pub mod linear;
pub mod otlp;
mod server;
pub mod world;

pub use clock::Clock;
pub use server::Request;
