//! Black-box tests: the real binary as a child process, between fakes of the tools and of the backends on this machine.
//!
//! Nothing here calls into the product. [`rig`] runs the binary and compares what installations know and export. Each other file
//! shows one promise: every command does what it says ([`commands`], [`serve`], [`webhooks`], [`file_source`], [`projects_file`]) and prints the
//! truth about the sample world ([`truth`]); a sync follows a world that changes ([`sync`]); a kill loses nothing ([`crash`]);
//! faults of either side are retried ([`tool_faults`], [`backend_faults`], [`timeouts`]); bad input gives one error line
//! ([`input`]); no secret leaks ([`secrets`]), not through the doctor either ([`doctor`]); a service works on beside other commands
//! and through kills ([`serve_robustness`]); work that a shell reports is sent by a helper ([`spool`]), whatever a lane lacks ([`lanes`]), and insights are recorded,
//! found and changed ([`insight_commands`]) in the lines that the SDKs write ([`shell_conformance`]); a service goes on where a helper ended ([`takeover`]), and knows what a token proves of who reports ([`provenance`]); guidance, hooks and checks in a
//! repository ([`checkout`]); a store is protected, and
//! damage is said ([`store`]); a disk that fails below it loses nothing ([`disk_faults`]); one is in a [`database`], through its failover ([`replicas`]), its sources are shared ([`shares`]), and replicas go through everything at once ([`misfortunes`]); [`controller`] checks and renders files for
//! Kubernetes, `cluster_controller`, `cluster_audit` and `cluster_sampling` run in a cluster. [`licences`] and [`features`] check the manifests, [`cost_model`] what docs/SCALE.md says of costs, [`image`] what the image is
//! made of.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod backend_faults;
mod checkout;
#[cfg(feature = "kubernetes")]
mod cluster_audit;
#[cfg(feature = "kubernetes")]
mod cluster_controller;
#[cfg(feature = "kubernetes")]
mod cluster_sampling;
mod commands;
mod conformance;
mod controller;
mod cost_model;
mod crash;
mod database;
mod disk_faults;
mod doctor;
mod features;
mod file_source;
mod golden;
mod hostile;
mod image;
mod input;
mod insight_commands;
mod insights;
mod lanes;
mod licences;
#[cfg(feature = "mcp")]
mod mcp;
#[cfg(feature = "mcp")]
mod mcp_http;
mod misfortunes;
mod projects_file;
mod provenance;
mod replicas;
mod rig;
mod secrets;
mod serve;
mod serve_robustness;
mod shares;
mod shell_conformance;
mod spool;
mod store;
mod sync;
mod takeover;
mod timeouts;
mod tool_faults;
mod truth;
mod webhooks;
