//! Black-box tests: the real binary as a child process, between stand-ins of the tools and of the backends on this machine.
//!
//! Nothing here calls into the product. [`rig`] runs the binary and compares what installations know and told; each other
//! file shows one promise: that every command does what it says ([`commands`], [`serving`], [`webhooks`], [`filing`]) and tells the truth about the
//! sample world ([`truth`]), what a sync makes of a world that changes ([`sync`]), that a kill loses nothing ([`crash`]),
//! that faults on either side are sat out ([`vendor`], [`backend`], [`patience`]), that bad input is answered in one line
//! ([`input`]), that no secret leaks ([`secrets`]), not to nor from the backends that the doctor asks ([`doctor`]), that reading works beside a running service ([`reading`]).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod backend;
mod commands;
mod crash;
mod doctor;
mod filing;
mod golden;
mod input;
mod licences;
mod patience;
mod reading;
mod rig;
mod secrets;
mod serving;
mod stage;
mod sync;
mod truth;
mod vendor;
mod webhooks;
