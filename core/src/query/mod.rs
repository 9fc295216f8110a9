//! The read API: tasks, sprints, one task with its neighbourhood, status and portfolio, each as a view that serialises to JSON.
//!
//! The command line, the socket of `serve` and every other reader call the same functions of [`Viewer`], so all of them show
//! the same numbers. Read [`Viewer`] first, then [`list`] for filters, pages and fields. Numbers come from timelines through
//! [`crate::model::timeline`], [`crate::model::sprint`] and [`crate::model::totals`]; a view adds the neighbourhood of a task:
//! parents, blockers, sprints, children. Nothing here writes, and rendering is left to the caller.

mod agents;
mod dead;
mod events;
mod filter;
mod freshness;
mod guidance;
mod insights;
pub mod list;
mod names;
mod natural;
mod portfolio;
mod problems;
mod project;
mod show;
mod sprint;
mod status;
mod task;
#[cfg(test)]
mod tests;
mod viewer;

pub use agents::{AgentFlowQuery, AgentFlowView, AgentGroupView, Quantiles};
pub use dead::DeadLetterItem;
pub use events::{EventKind, EventView};
pub use filter::{AnyOf, Condition, SprintFilter, StatusFilter, TaskFilter, TaskSort};
pub use freshness::{Freshness, Lag};
pub use guidance::{GuidanceFound, Repositories, guidance};
pub use insights::{Found, FoundInsight, InsightQuery, InsightSelector, InsightView};
pub use list::{Cursor, Fields, List, ListLine, ListOptions, ListQuery, PageEnd, fields_of};
pub use portfolio::{BlockedView, EpicView, PortfolioView, ProjectSprint, ProjectView, blocked};
pub use project::{
    BlockedCount, FlowView, ForecastView, HealthState, HealthView, ProgressView, ProjectQuery, ProjectReport, Spread,
    SprintReport, WipView,
};
pub use show::{ChildView, ShowView, TaskSelector};
pub use sprint::{DayView, SprintView};
pub use status::histories_complete;
pub use status::{
    BackendView, Coverage, DeadLetterView, LeaseView, Problem, ProblemPart, QuarantinedView, ReplicaView, SourceView,
    StatusView, StoreView, coverage,
};
pub use task::{Subtasks, TaskView};
pub use viewer::Viewer;
