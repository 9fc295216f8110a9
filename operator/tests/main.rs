//! The tests of the crate from outside, in one binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod admission;
mod alerts;
mod cel;
mod chart;
mod choices;
mod consistent;
mod controller;
mod derive;
mod import;
mod promtool;
mod property;
mod reference;
mod rig;
mod sampling;
mod server;
mod tenants;
mod validate;
mod vouched;
