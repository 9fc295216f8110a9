//! Black-box tests: the real binary as a child process, between fakes of the tools and of the backends on this machine.
//!
//! Nothing here calls into the product. [`rig`] runs the binary and compares what installations know and export. Each other file
//! shows one promise: every command does what it says ([`commands`], [`serve`], [`webhooks`], [`file_source`]) and prints the
//! truth about the sample world ([`truth`]); a sync follows a world that changes ([`sync`]); a kill loses nothing ([`crash`]);
//! faults of either side are retried ([`tool_faults`], [`backend_faults`], [`timeouts`]); bad input gives one error line
//! ([`input`]); no secret leaks ([`secrets`]), not through the doctor either ([`doctor`]); a service works on beside other commands
//! and through kills ([`serve_robustness`]); a store is protected, and damage is said ([`store`]); [`controller`] checks and renders
//! files for Kubernetes; a disk that fails below the store loses nothing ([`disk_faults`]). [`licences`] and [`features`] check the manifests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod backend_faults;
mod commands;
mod controller;
mod crash;
mod disk_faults;
mod doctor;
mod features;
mod file_source;
mod golden;
mod input;
mod licences;
mod rig;
mod secrets;
mod serve;
mod serve_robustness;
mod store;
mod sync;
mod timeouts;
mod tool_faults;
mod truth;
mod webhooks;
