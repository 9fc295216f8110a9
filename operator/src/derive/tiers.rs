//! The pairs of windows on which alerts look at an error budget, as in the SRE workbook.

use crate::resource::Window;

/// How often the rules of an objective are evaluated. It is also what counts bad requests from rates.
pub(crate) const GROUP_INTERVAL_SECONDS: u32 = 30;

/// A pair of windows, and how much of the budget may burn in the long one before somebody is alerted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tier {
    pub(crate) is_page: bool,
    pub(crate) long: &'static str,
    pub(crate) long_hours: u32,
    pub(crate) short: &'static str,
    budget: f64,
    pub(crate) hold: &'static str,
    pub(crate) keep: &'static str,
}

const PAGE_QUICK: Tier =
    Tier { is_page: true, long: "1h", long_hours: 1, short: "5m", budget: 0.02, hold: "1m", keep: "5m" };
const PAGE_SLOW: Tier =
    Tier { is_page: true, long: "6h", long_hours: 6, short: "30m", budget: 0.05, hold: "5m", keep: "10m" };
const TICKET_QUICK: Tier =
    Tier { is_page: false, long: "1d", long_hours: 24, short: "2h", budget: 0.10, hold: "15m", keep: "30m" };
const TICKET_SLOW: Tier =
    Tier { is_page: false, long: "3d", long_hours: 72, short: "6h", budget: 0.10, hold: "1h", keep: "2h" };
/// Three days are too much of a week: its slow ticket looks at one.
const TICKET_SLOW_WEEK: Tier = Tier { long: "1d", long_hours: 24, short: "2h", ..TICKET_SLOW };

/// The pairs of a period.
pub(crate) fn tiers(window: Window) -> &'static [Tier] {
    match window {
        Window::Week => &[PAGE_QUICK, PAGE_SLOW, TICKET_SLOW_WEEK],
        Window::FourWeeks | Window::Month => &[PAGE_QUICK, PAGE_SLOW, TICKET_QUICK, TICKET_SLOW],
    }
}

impl Tier {
    /// How many times faster than allowed the budget burns. Never below 1: that would alert a service that meets its objective.
    pub(crate) fn factor(self, window: Window) -> f64 {
        (self.budget * f64::from(window.hours()) / f64::from(self.long_hours)).max(1.0)
    }
}
