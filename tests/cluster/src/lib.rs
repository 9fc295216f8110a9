//! A real Kubernetes API server for tests: etcd and kube-apiserver on free loopback ports, and kubectl to talk to them.
//!
//! ```ignore
//! #[test]
//! fn a_context_is_admitted() {
//!     let Some(cluster) = Cluster::shared() else { return };
//!     cluster.install(Definitions::ContextCore);
//!     let namespace = cluster.namespace("admitted");
//!     cluster.apply(&namespace, &[context]).succeeds();
//! }
//! ```
//!
//! One server is shared by the tests of a binary, each of which works in a [namespace](Cluster::namespace) of its own; a test that
//! wants a server with other definitions, or stops it, [starts](Cluster::start) another. There is no controller manager, no
//! scheduler and no kubelet: nothing collects garbage, aggregates roles, makes service accounts or runs pods.
//!
//! The servers end with the process that started them, however that ends ([`contextcore_guard`]). Without binaries [`Suite::program`] says loudly
//! that the test was skipped, or fails where they are required.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod cluster;
mod http;
mod kubectl;
mod process;
mod suite;

pub use cluster::{Cluster, Definitions};
pub use http::{Reply, Webhook, get, post};
pub use kubectl::Answer;
pub use process::{Server, free_ports};
pub use suite::Suite;
