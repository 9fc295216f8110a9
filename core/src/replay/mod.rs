//! Replay.

pub mod ids;
pub mod lineage;
mod parts;
