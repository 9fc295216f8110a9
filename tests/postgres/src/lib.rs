//! A real PostgreSQL server for tests: on a free loopback port, in a folder of its own, as an ordinary user.
//!
//! ```ignore
//! #[test]
//! fn a_batch_is_durable() {
//!     let Some(server) = Postgres::shared() else { return };
//!     let (url, schema) = (server.url(), server.schema("durable"));
//! }
//! ```
//!
//! One server is shared by the tests of a binary, each of which works in a [schema](Postgres::schema) of its own; a test that stops
//! its server, or wants other settings, [starts](Postgres::start) another. A [`Proxy`] in front of it adds round-trip time, counts
//! statements and cuts connections; a [standby](Postgres::standby) follows it and takes its place, and a
//! [`Bouncer`] pools connections to it. Without the binaries tests say loudly that they were skipped, or fail where
//! `CONTEXTCORE_REQUIRE_POSTGRES=1` is set.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod bouncer;
mod programs;
mod proxy;
mod replication;
mod server;

pub use bouncer::Bouncer;
pub use proxy::Proxy;
pub use replication::Backup;
pub use server::{Postgres, Session};
