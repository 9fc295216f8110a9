//! What follows from the contexts: one pure function, [`fn@derive`].
//!
//! It takes all contexts at once, because some outputs are shared and some questions are between contexts: who claimed a workload
//! first, and what a project is that several contexts describe. The same input gives the same output, whatever its order.
//!
//! - `policy` fills in what a context leaves open, from [`TABLE`], and holds it to the limits of its namespace.
//! - `claims` finds workloads that two contexts claim; `portfolio` says what a project is.
//! - `sli` and `slo` (`promql` where a query is wrong) turn requirements into queries and objectives, `tiers`, `rules` and `annotations` into a `PrometheusRule`.
//! - `names` lists what our recordings and alerts are called.
//! - `probe` asks whether the numbers are there.
//! - `collector`, `metrics`, `routing`, `projects` and `dashboards` make the other objects; `object` is what they have in common.

mod annotations;
mod claims;
mod collector;
mod conditions;
mod dashboards;
mod metrics;
mod names;
mod object;
mod plan;
mod policy;
mod portfolio;
mod probe;
mod projects;
mod promql;
mod re2;
mod refusal;
mod routing;
mod rules;
mod sli;
mod slo;
mod subject;
mod tiers;

use serde_json::Value;

use crate::grafana::ServiceDashboard;
use crate::resource::{Criticality, Placement, Priority, ProjectContext, ProjectContextStatus};
use crate::settings::{GrafanaMode, Settings};
use claims::Claims;
use plan::Plan;
use portfolio::Portfolio;
use refusal::Refusal;
use subject::Subject;

pub(crate) use collector::{FORWARD, FRAGMENT, GATEWAY, ROUTING, SAMPLING, TRANSFORM, marker_of};
pub(crate) use object::{HASH_ANNOTATION, INSTANCE, MANAGED_BY, MANAGER};
#[cfg(test)]
pub(crate) use probe::Limit;
pub(crate) use probe::Probe;
pub(crate) use sli::Sli;

/// A row of the table of criticalities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// For contexts of this criticality.
    pub criticality: Criticality,
    /// Share of traces kept.
    pub trace_sampling: f64,
    /// Interval of metrics.
    pub metrics_interval: &'static str,
    /// Label `priority` of alerts.
    pub alert_priority: Priority,
    /// Label `severity` of alerts that somebody must look at now; `None`: there are none.
    pub page_severity: Option<&'static str>,
    /// Label `severity` of alerts that can wait for the morning.
    pub ticket_severity: &'static str,
    /// Folder of the dashboard.
    pub placement: Placement,
}

/// What follows from criticality. The settings can replace values of it (`derivation`), and a field of a context always does.
pub const TABLE: [Row; 4] = [
    Row {
        criticality: Criticality::Critical,
        trace_sampling: 1.0,
        metrics_interval: "10s",
        alert_priority: Priority::P1,
        page_severity: Some("critical"),
        ticket_severity: "warning",
        placement: Placement::Featured,
    },
    Row {
        criticality: Criticality::High,
        trace_sampling: 0.5,
        metrics_interval: "30s",
        alert_priority: Priority::P2,
        page_severity: Some("critical"),
        ticket_severity: "warning",
        placement: Placement::Standard,
    },
    Row {
        criticality: Criticality::Medium,
        trace_sampling: 0.1,
        metrics_interval: "60s",
        alert_priority: Priority::P3,
        page_severity: Some("warning"),
        ticket_severity: "info",
        placement: Placement::Standard,
    },
    Row {
        criticality: Criticality::Low,
        trace_sampling: 0.01,
        metrics_interval: "120s",
        alert_priority: Priority::P4,
        page_severity: None,
        ticket_severity: "info",
        placement: Placement::Archived,
    },
];

/// What follows from all contexts.
#[derive(Clone, Debug, PartialEq)]
pub struct Derivation {
    /// Kubernetes objects, those of each context first and the shared ones last.
    pub objects: Vec<Value>,
    /// What became of each context, by namespace and name.
    pub outcomes: Vec<Outcome>,
    /// The `projects` of the sync service, one entry for each accepted context.
    pub projects: Vec<Value>,
    /// Dashboards to send to Grafana, one for each accepted context; none unless its address is set.
    pub dashboards: Vec<ServiceDashboard>,
}

/// What became of a context.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its criticality after the limits.
    pub criticality: Criticality,
    /// What `derive` can know of its status. Who applies the objects adds the rest and the times.
    pub status: ProjectContextStatus,
    /// What a person should know, besides what the conditions say.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Whether anything is derived from it.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.status.conditions.iter().any(|condition| condition.kind == "Accepted" && condition.status == "True")
    }
}

/// Derives everything from all contexts. An invalid context stops no other.
#[must_use]
pub fn derive(contexts: &[ProjectContext], settings: &Settings) -> Derivation {
    let judged = Judged::new(contexts, settings);
    let own: Vec<Vec<Value>> = (0..judged.len()).map(|index| judged.own(index)).collect();
    let outcomes = own.iter().enumerate().map(|(index, own)| judged.outcome(index, own)).collect();
    let projects = judged.projects().into_iter().map(|entry| entry.value).collect();
    let mut objects: Vec<Value> = own.into_iter().flatten().collect();
    objects.extend(judged.shared());
    Derivation { objects, outcomes, projects, dashboards: judged.to_send() }
}

/// All contexts with what was decided about each, by namespace and name. Objects are made one context at a time: those of
/// hundreds of contexts together are large.
pub(crate) struct Judged<'a> {
    all: Vec<(Subject<'a>, Result<Plan<'a>, Refusal>)>,
    portfolio: Portfolio,
    settings: &'a Settings,
}

impl<'a> Judged<'a> {
    /// Decides about all contexts.
    pub(crate) fn new(contexts: impl IntoIterator<Item = &'a ProjectContext>, settings: &'a Settings) -> Self {
        let mut by_age: Vec<Subject> = contexts.into_iter().map(Subject::new).collect();
        by_age.sort_by(Subject::compare_age);
        let mut claims = Claims::default();
        let mut all: Vec<(Subject, Result<Plan, Refusal>)> = Vec::new();
        for subject in by_age {
            let plan = Plan::new(&subject, settings).and_then(|plan| claims.claim(&subject).map(|()| plan));
            all.push((subject, plan));
        }
        let portfolio = Portfolio::new(all.iter().filter_map(|(_, plan)| plan.as_ref().ok()));
        all.sort_by(|(a, _), (b, _)| a.place().cmp(&b.place()));
        Self { all, portfolio, settings }
    }

    /// How many contexts there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// A context.
    pub(crate) fn context(&self, index: usize) -> &'a ProjectContext {
        self.all[index].0.context
    }

    /// Why nothing is derived from it: the reason, if that is so.
    pub(crate) fn refusal(&self, index: usize) -> Option<&'static str> {
        self.all[index].1.as_ref().err().map(|refusal| refusal.reason)
    }

    /// What to ask of Prometheus about it; `None`: it was refused, or requires nothing.
    pub(crate) fn probe(&self, index: usize) -> Option<Probe> {
        self.all[index].1.as_ref().ok().and_then(probe::of)
    }

    /// The objects for it alone; none when it was refused.
    pub(crate) fn own(&self, index: usize) -> Vec<Value> {
        let Ok(plan) = &self.all[index].1 else { return Vec::new() };
        let is_own = self.settings.grafana.mode() == Some(GrafanaMode::GrafanaOperator);
        own_objects(plan, is_own.then(|| self.dashboard(plan)).as_ref(), self.settings)
    }

    /// What became of it, with the objects for it alone.
    pub(crate) fn outcome(&self, index: usize, own: &[Value]) -> Outcome {
        let (subject, plan) = &self.all[index];
        conditions::outcome(subject, plan, &self.portfolio, self.settings, own)
    }

    /// The objects for all contexts together.
    pub(crate) fn shared(&self) -> Vec<Value> {
        let is_shared = self.settings.grafana.mode() == Some(GrafanaMode::Sidecar);
        let dashboards = if is_shared { self.dashboards() } else { Vec::new() };
        shared_objects(&self.accepted(), &self.projects(), &dashboards, self.settings)
    }

    fn accepted(&self) -> Vec<&Plan<'a>> {
        self.all.iter().filter_map(|(_, plan)| plan.as_ref().ok()).collect()
    }

    fn projects(&self) -> Vec<projects::ProjectEntry> {
        self.accepted().into_iter().map(|plan| projects::entry(plan, &self.portfolio)).collect()
    }

    /// The dashboards to send to Grafana; none unless its address is set.
    pub(crate) fn to_send(&self) -> Vec<ServiceDashboard> {
        if self.settings.grafana.mode() == Some(GrafanaMode::Url) { self.dashboards() } else { Vec::new() }
    }

    fn dashboards(&self) -> Vec<ServiceDashboard> {
        self.accepted().into_iter().map(|plan| self.dashboard(plan)).collect()
    }

    fn dashboard(&self, plan: &Plan) -> ServiceDashboard {
        let entry = projects::entry(plan, &self.portfolio);
        dashboards::of(plan, &self.portfolio, &entry.value, self.settings)
    }
}

fn own_objects(plan: &Plan, dashboard: Option<&ServiceDashboard>, settings: &Settings) -> Vec<Value> {
    let made = [
        rules::object(plan, settings),
        metrics::service_monitor(plan, settings),
        metrics::env(plan, settings),
        dashboard.and_then(|dashboard| dashboards::own(plan, dashboard, settings)),
    ];
    made.into_iter().flatten().map(|object| object.owned_by(&plan.subject).finish(settings)).collect()
}

fn shared_objects(
    accepted: &[&Plan],
    projects: &[projects::ProjectEntry],
    dashboards: &[ServiceDashboard],
    settings: &Settings,
) -> Vec<Value> {
    let mut made = vec![collector::object(accepted, settings)];
    made.extend(routing::objects(accepted, settings));
    made.extend(projects::objects(projects, settings));
    made.extend(dashboards::shared(dashboards, settings));
    made.into_iter().map(|object| object.finish(settings)).collect()
}
