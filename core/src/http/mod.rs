//! The HTTP client for vendors: one [`Session`] per source, with authentication, timeouts, a body limit, retries that
//! obey the vendor, and rate limits. No text it produces contains a secret.
//!
//! Read [`SessionConfig`], [`Session`] and [`Dialect`] first. The decisions are pure and have files of their own:
//! [`verdict`] (what an answer means), [`limits`] (how long to wait), [`redact`] (what may be printed), `mend` (broken JSON). Core names no
//! vendor: each connector describes its vendor's habits in a [`Dialect`]. The meaning of the data, and paging, are left
//! to the connectors.
//!
//! - Every call only reads, so a POST is retried like a GET.
//! - Dropping a call's future stops the call; nothing runs in the background.
//! - An error says what the caller should do: [`crate::Retry::After`] when the vendor asks for a longer wait than
//!   [`SessionConfig::max_wait`], `Backoff` when the tries are used up, `Never` when a person has to act.

mod clear;
mod client;
mod config;
mod elapsed;
pub mod limits;
pub mod local;
mod mend;
pub(crate) mod observer;
mod quota;
mod rate_limiter;
pub mod redact;
pub mod service;
mod session;
mod stats;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
mod transfer;
pub mod verdict;

pub use clear::{address_in_the_clear, in_the_clear};
pub use config::{Auth, Bucket, SessionConfig, Tries};
pub use observer::{Retrying, observed};
pub use quota::{POINTS, Quota, REQUESTS};
pub use session::Session;
pub use stats::Stats;
pub use verdict::{Answer, Dialect, PlainDialect, Scope, Verdict, default_verdict};
