//! The controller: brings what [`fn@crate::derive::derive`] returns into a cluster, and keeps it there.
//!
//! It is level-triggered. Watches write what they see into one `World`; whatever changes there starts a pass, and a pass decides
//! everything anew from all contexts. So a missed message heals by itself, and the order of messages does not matter.
//!
//! - `run` is the loop: watches, passes, the Lease, signals. `schedule` says when which pass is due.
//! - `world` is what is known; `watch`, `follow` and `guard` fill it. `means` is what passes work with.
//! - `passes` brings each context into force, `shared` what all share; `plan` decides about one object, `status` about a status.
//! - `apply` writes. `results` and `backoff` remember what became of it, `trouble` has words for errors.
//! - `unrecorded` is what the audit's backend does not have yet, and `audit` what statuses keep of it.
//! - `look` asks Prometheus; `sli`, `bindings`, `annotate`, `changes` and `events` are what a context gets besides its objects.
//! - `lease`, `http` and `metrics` are what any controller has.
//! - [`outside`] is what it asks of others than the API server.
//! - [`prune`], [`doctor`] and [`diff`] are commands of their own; they look once, at a `listing`.

mod annotate;
mod apply;
mod audit;
mod backoff;
mod bindings;
mod changes;
mod child;
pub mod connect;
pub mod diff;
pub mod doctor;
mod events;
mod follow;
mod guard;
mod http;
mod kinds;
mod later;
pub mod lease;
mod listing;
mod look;
mod means;
mod metrics;
mod options;
pub mod outside;
mod passes;
mod plan;
pub mod prune;
mod results;
mod run;
mod schedule;
mod shared;
mod sli;
mod status;
mod trouble;
mod unrecorded;
mod watch;
mod workload;
mod world;

pub use changes::{ContextChange, RecordId};
pub use options::Options;
pub use run::{End, SettingsUpdates, run};
pub use watch::SETTINGS_KEY;
