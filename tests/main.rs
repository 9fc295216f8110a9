//! Black-box tests: the real binary as a child process, between stand-ins of the tools and of the backends on this machine.
//!
//! Nothing here calls into the product. [`rig`] runs the binary and compares what installations know and told; each other
//! file shows one promise: what a sync does, that a kill loses nothing, that faults on either side are sat out, that bad
//! input is answered in one line, that no secret leaks, that reading works beside a running service.

mod backend;
mod crash;
mod input;
mod reading;
mod rig;
mod secrets;
mod sync;
mod vendor;
