//! What agents ask and say, over the Model Context Protocol: ten tools, four kinds of resources, three prompts.
//!
//! [`Server`] speaks the protocol; every answer comes from a [`Backend`], which reads with the queries that the command line uses
//! and writes to the spool as `contextcore task` does. Between the two, each tool has a file in [`tools`]. All that leaves goes
//! through [`clean`] (nothing hidden, nothing that acts), [`budget`] (no longer than the caller wants to read) and [`audit`] (a log
//! record a call). Read [`tools`] first. Nothing here knows a store, a socket or a clock.

mod answer;
mod arguments;
#[cfg(test)]
mod attacks;
mod audit;
pub mod backend;
#[cfg(test)]
mod behaviour;
mod budget;
mod caller;
mod clean;
mod deadline;
mod definitions;
#[cfg(test)]
mod fake;
mod fence;
mod http;
mod limits;
mod prompts;
mod resources;
mod scoped;
mod server;
mod tools;
#[cfg(test)]
mod usefulness;

pub use backend::{Backend, BudgetLeft, Reads, Written};
pub use caller::Caller;
pub use deadline::PATIENCE;
pub use http::http_config;
pub use server::{Options, Server};
