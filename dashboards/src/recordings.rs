//! Names of what the rules of a `ProjectContext` record, and its labels. The rules are made by `contextcore-operator`, and the
//! dashboard of a service reads them. They are fixed: whatever varies is a label, so no name has to be made from text.

/// Requests that count, per second.
pub const TOTAL: &str = "contextcore:sli_total:rate5m";
/// Bad requests, per second.
pub const BAD: &str = "contextcore:sli_bad:rate5m";
/// Share of bad requests; followed by the window, one of seven.
pub const RATIO: &str = "contextcore:sli_error:ratio_rate";
/// Share of bad requests over the period of the objective.
pub const PERIOD_RATIO: &str = "contextcore:slo_error:ratio_period";
/// Share of the error budget that is left.
pub const BUDGET_LEFT: &str = "contextcore:slo_error_budget_remaining:ratio";
/// The objective.
pub const OBJECTIVE: &str = "contextcore:slo_objective:ratio";
/// How many times as fast as allowed the budget burns, by window.
pub const BURN_RATE: &str = "contextcore:slo_burn_rate:ratio";
/// 1 for each objective, with what is known of it as labels.
pub const INFO: &str = "contextcore_slo_info";

/// Labels of all recordings.
pub const LABELS: [&str; 4] = ["project", "namespace", "service", "slo"];
/// The window of a burn rate, or the period of an objective.
pub const WINDOW: &str = "window";
