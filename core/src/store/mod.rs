//! The store: where every source stands, what is known of its tasks, and what the backends have not received yet.
//!
//! [`Store`] reads, [`Transaction`] writes. A transaction gathers changed tasks, their journal items, indexes, sums and the
//! cursor that covers them, and becomes durable as one atomic batch: progress never moves without its data. A *cursor* is how
//! far a source has been read; a *position*, how far it has been exported.
//!
//! Below it is [`Kv`], an ordered map of bytes, with engines on disk, in PostgreSQL ([`postgres`]) and in memory ([`MemoryKv`]). Keys are made in
//! [`key`], bytes in [`mod@format`], indexes in [`footprint`]; [`prefetch`] reads for a whole page of records at once, [`paged`] many tasks.

mod backup;
mod copies;
mod copy;
#[cfg(test)]
pub(crate) mod counting;
mod database;
mod dead;
mod delivered;
mod directory;
mod files;
pub(crate) mod footprint;
mod format;
mod forms;
mod insight_totals;
mod insights;
pub(crate) mod key;
mod kv;
mod maintenance;
mod memory;
mod paged;
mod postgres;
pub(crate) mod prefetch;
mod reader;
mod records;
mod rollups;
mod sled;
mod transaction;
mod unit;
mod witness;

pub use self::backup::Imported;
pub use self::copies::Copies;
pub use self::copy::{Counts, Destination};
pub use self::dead::DeadId;
#[cfg(test)]
pub(crate) use self::directory::on_disk;
pub(crate) use self::insight_totals::ACTIVE_FOR;
pub use self::insight_totals::InsightTotals;
pub(crate) use self::key::own;
pub use self::kv::{Batch, Delivered, Guard, KeyRange, Kv, Pair, WriteTurn};
pub use self::maintenance::Verified;
pub use self::memory::MemoryKv;
pub(crate) use self::paged::TASKS_AT_ONCE;
pub use self::postgres::{Holder, Lease, LeaseRow, Working};
pub(crate) use self::reader::GUIDANCE;
pub use self::reader::Store;
pub use self::records::{Counters, Cursor, DeadLetter, Item, Listed, Position, Quarantined, SourceStatus};
pub use self::transaction::Transaction;
pub use self::unit::Unit;

#[cfg(test)]
pub(crate) use self::postgres::tests::{engine as in_postgres, engine_at as in_postgres_at};

#[cfg(test)]
mod backup_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod reopen;
#[cfg(test)]
mod tests;
