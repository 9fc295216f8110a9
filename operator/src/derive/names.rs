//! Names of what we record and alert on. They are fixed: whatever varies is a label, so no name has to be made from text.

/// What all our recordings begin with.
pub(crate) const OWN_METRIC_PREFIX: &str = "contextcore";

pub(crate) const PAGE: &str = "ContextCoreErrorBudgetBurn";
pub(crate) const TICKET: &str = "ContextCoreErrorBudgetBurnTicket";
pub(crate) const THROUGHPUT: &str = "ContextCoreThroughputBelow";
pub(crate) const ABSENT: &str = "ContextCoreTelemetryAbsent";

pub(crate) const TOTAL: &str = "contextcore:sli_total:rate5m";
pub(crate) const BAD: &str = "contextcore:sli_bad:rate5m";
/// Followed by the window, one of seven.
pub(crate) const RATIO: &str = "contextcore:sli_error:ratio_rate";
pub(crate) const PERIOD_RATIO: &str = "contextcore:slo_error:ratio_period";
pub(crate) const BUDGET_LEFT: &str = "contextcore:slo_error_budget_remaining:ratio";
pub(crate) const OBJECTIVE: &str = "contextcore:slo_objective:ratio";
pub(crate) const BURN_RATE: &str = "contextcore:slo_burn_rate:ratio";
pub(crate) const INFO: &str = "contextcore_slo_info";

/// One of each kind, to see whether a matcher on names finds ours.
pub(crate) const OWN_METRICS: &[&str] = &[
    TOTAL,
    BAD,
    "contextcore:sli_error:ratio_rate5m",
    "contextcore:sli_error:ratio_rate30m",
    "contextcore:sli_error:ratio_rate1h",
    "contextcore:sli_error:ratio_rate2h",
    "contextcore:sli_error:ratio_rate6h",
    "contextcore:sli_error:ratio_rate1d",
    "contextcore:sli_error:ratio_rate3d",
    PERIOD_RATIO,
    BUDGET_LEFT,
    OBJECTIVE,
    BURN_RATE,
    INFO,
];
