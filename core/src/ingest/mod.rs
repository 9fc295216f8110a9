//! From a tool to the store: the contract of a connector, and the loop that polls one and stores what is new.

pub mod connector;
pub mod sync;
