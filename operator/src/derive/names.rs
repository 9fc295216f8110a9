//! Names of what we record and alert on. They are fixed: whatever varies is a label, so no name has to be made from text.

pub(crate) use contextcore_dashboards::recordings::{
    BAD, BUDGET_LEFT, BURN_RATE, INFO, OBJECTIVE, PERIOD_RATIO, RATIO, TOTAL,
};

/// What all our recordings begin with.
pub(crate) const OWN_METRIC_PREFIX: &str = "contextcore";

pub(crate) const PAGE: &str = "ContextCoreErrorBudgetBurn";
pub(crate) const TICKET: &str = "ContextCoreErrorBudgetBurnTicket";
pub(crate) const THROUGHPUT: &str = "ContextCoreThroughputBelow";
pub(crate) const ABSENT: &str = "ContextCoreTelemetryAbsent";

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
