//! The spool: files of operations that code and agents report of their own work. `docs/SPOOL.md` describes them.
//!
//! [`layout`] says where everything is, [`destination`] which lane goes where, [`Writer`] appends operations, and [`Reader`]
//! gives them to whoever stores them. What an operation is says [`contextcore_model::operation`]. Nothing here reads a clock,
//! the environment or the network: the caller passes the time and the variables.

#![warn(missing_docs)]

pub mod destination;
mod environment;
mod guidance;
mod lane;
pub mod layout;
mod reader;
mod receive;
mod resource;
mod segment;
mod target;
mod writer;

pub use contextcore_model::hash::sha256 as digest;
pub use destination::{Destination, Headers, Transport};
pub use environment::{is_passed_on, passed_on};
pub use guidance::add_guidance;
pub use lane::{LaneDir, Lock};
pub use layout::StateDir;
pub use reader::{Chunk, Cursor, Place, Reader, SpoolLine};
pub use receive::{Delivery, receive};
pub use resource::{Resource, resource};
pub use segment::{Header, Origin};
pub use target::{Target, header_sets};
pub use writer::{Appended, Writer};
