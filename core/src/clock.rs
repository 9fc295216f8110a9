//! The one place that reads the system clock.

use crate::model::time::Millis;
use crate::simulated;

/// The present. `CONTEXTCORE_NOW` (RFC 3339) fixes it, so that a whole run can be repeated exactly.
pub fn now() -> Millis {
    simulated::now().unwrap_or_else(system)
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn system() -> Millis {
    let fixed = std::env::var("CONTEXTCORE_NOW").ok().and_then(|text| Millis::parse(&text));
    fixed.unwrap_or_else(|| Millis(jiff::Timestamp::now().as_millisecond()))
}
