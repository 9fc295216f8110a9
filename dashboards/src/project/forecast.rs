//! When the open work will be done, if the coming weeks are like the last twelve.

use contextcore_model::semconv::{self as names};

use super::counted;
use crate::panel::{Draft, decimals, rows, table, unit};
use crate::portfolio::NO_EPICS;
use crate::query::{Selector, Series, label};

/// Open tasks, without epics.
fn remaining() -> String {
    let chosen = Selector::project().unlike(names::TASK_STATUS, "done|cancelled").except(names::TASK_TYPE, NO_EPICS);
    counted(chosen)
}

/// Mean and spread of what was completed a week, over twelve weeks.
fn weekly_throughput(function: &str) -> String {
    let done = Series::new(names::M_TASK_COMPLETED, Selector::project().except(names::TASK_TYPE, NO_EPICS));
    format!("{function}({}[12w:1w])", done.gained("1w", &[names::PROJECT_ID]))
}

/// How many weeks until what remains is done, by the share `z` (as a normal quantile) of all simulated futures. What a
/// Monte-Carlo draw of weeks comes to when many are drawn: `W` weeks complete `mean·W − z·spread·√W` at least.
pub(super) fn weeks_left(z: &str) -> String {
    let (mean, spread) = (weekly_throughput("avg_over_time"), weekly_throughput("stddev_over_time"));
    let root = format!("sqrt(({z} * {spread}) ^ 2 + 4 * ({mean} > 0) * scalar({}))", remaining());
    format!("(({z} * {spread} + {root}) / (2 * ({mean} > 0))) ^ 2")
}

pub(super) const FORECAST_RULE: &str = "When all work that is open now (without epics) will be done if the coming weeks are like the last twelve. \
The chance to be done is 50 % by p50 and 85 % by p85. The dates are the limit of a Monte-Carlo simulation of weeks, computed from the mean \
and the standard deviation of weekly completions. New work is not included.";

/// The quantile of the normal distribution at 85 %.
pub(super) const P85: &str = "1.0364";

/// The same at 95 %.
const P95: &str = "1.6449";

pub(super) fn forecast_table() -> Draft {
    let date = |z: &str| format!("1000 * (time() + 604800 * {})", weeks_left(z));
    let when = || vec![unit("time:YYYY-MM-DD")];
    table(55, "Forecast of the open work", (14, 6))
        .rule(FORECAST_RULE)
        .empty("No forecast: nothing was completed in the last twelve weeks")
        .decimals(1)
        .ask(rows("A", weekly_throughput("avg_over_time")))
        .ask(rows("B", weekly_throughput("stddev_over_time")))
        .ask(rows("C", format!("{} * 0 + scalar({})", weekly_throughput("avg_over_time"), remaining())))
        .ask(rows("D", date("0")))
        .ask(rows("E", date(P85)))
        .ask(rows("F", date(P95)))
        .joined(&label(names::PROJECT_ID))
        .columns(&[
            ("Value #C", "Open tasks"),
            ("Value #A", "Mean week"),
            ("Value #B", "Spread"),
            ("Value #D", "p50"),
            ("Value #E", "p85"),
            ("Value #F", "p95"),
        ])
        .field("Open tasks", vec![decimals(0)])
        .field("p50", when())
        .field("p85", when())
        .field("p95", when())
}
