//! The Grafana dashboards and alert rules, generated: nothing under `dashboards/` is written by hand.
//!
//! Start with [`dashboards`]. [`model`] is Grafana's JSON as types; the three dashboards are [`portfolio`], [`project`] and
//! [`health`], put together with [`panel`], [`query`] (the pieces of PromQL, LogQL and TraceQL, with names out of the
//! registry) and [`variable`]. [`alerts`] are the rules, [`datasources`] what the dashboards ask, [`files`] all of it as
//! files, [`docs`] the pages about it.
//! [`service`] is the dashboard of one service, made from its `ProjectContext`.
//! [`knowledge`] is what can be wrong with a backend. Giving them to a Grafana is the program's
//! matter (`contextcore dashboards`).

pub mod alerts;
mod assisted;
mod context;
pub mod datasources;
pub mod docs;
pub mod escape;
pub mod files;
mod health;
pub mod knowledge;
mod links;
pub mod model;
mod panel;
mod portfolio;
mod project;
mod query;
pub mod recordings;
pub mod service;
mod variable;

pub use links::{HEALTH, PORTFOLIO, PROJECT};

use model::Dashboard;

/// The dashboards with the names of their files, the first being the one to start with.
pub fn dashboards() -> [(&'static str, Dashboard); 3] {
    [("portfolio", portfolio::dashboard()), ("project", project::dashboard()), ("health", health::dashboard())]
}
