//! Queries that ask whether the numbers of a context are there at all.

use super::plan::Plan;
use super::slo::Bad;

/// What to ask of Prometheus about one context.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Probe {
    /// How many series there are.
    pub(crate) series: String,
    /// What else must be there, with what it is for.
    pub(crate) further: Vec<(&'static str, String)>,
    /// The failures of a query that a person wrote, and all series of the metrics that it names.
    pub(crate) failures: Option<(String, Option<String>)>,
    /// What series of the same metric there are, by this label. `None`: a person wrote the queries.
    pub(crate) others: Option<(&'static str, String)>,
    /// The boundaries of the histograms, as label `le`. `None`: they have none.
    pub(crate) boundaries: Option<String>,
    /// The times that must lie within the boundaries.
    pub(crate) limits: Vec<Limit>,
}

/// A time that divides fast from slow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limit {
    /// Name of the objective.
    pub(crate) slo: &'static str,
    /// As the person wrote it.
    pub(crate) text: String,
    /// In the units of the histogram.
    pub(crate) at: f64,
}

/// The probe of a context; `None`: it requires nothing.
pub(crate) fn of(plan: &Plan) -> Option<Probe> {
    let sli = plan.objectives.sli.as_ref()?;
    let limits = plan.objectives.slos.iter().filter_map(|slo| match &slo.bad {
        Bad::Failed => None,
        Bad::Slow { limit, threshold } => Some(Limit { slo: slo.name, text: limit.clone(), at: sli.at(threshold) }),
    });
    let limits: Vec<Limit> = limits.collect();
    let boundaries = sli.boundaries().filter(|_| !limits.is_empty());
    let further = sli.further(!limits.is_empty());
    let requires_success = plan.objectives.slos.iter().any(|slo| slo.bad == Bad::Failed);
    let failures = sli.failures().filter(|_| requires_success);
    Some(Probe { series: sli.series(), further, failures, others: sli.others(), boundaries, limits })
}
