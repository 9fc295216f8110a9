//! Sampling that several collectors decide alike without seeing the same spans: by the trace id, in a pipeline for each rate.
//!
//! The probability of each span that is kept is in its `tracestate` (`ot=th:…`), so that counts can be corrected. A connector sends
//! spans into the pipeline of their service's rate; another brings what is kept together again, so a pipeline of somebody else never
//! changes when a rate comes or goes. Failed spans and audited requests are all kept, but without the rest of their traces: nobody
//! waits for a trace to end.

use serde_json::{Map, Value, json};

use super::{AUDITED, MARKER, OTHERS, RATE, percentage, rates, transform};
use crate::derive::plan::Plan;
use crate::escape;
use crate::settings::Settings;

/// Where a pipeline of traces ends.
pub(crate) const ROUTING: &str = "routing/contextcore";
/// Where the one after it begins.
pub(crate) const FORWARD: &str = "forward/contextcore";
/// The pipeline of failed spans and audited requests. It is always there: a connector that leads nowhere stops a collector.
const ALWAYS: &str = "always";
/// What applications say that would change the decision: OpenTracing's priority, and a randomness of their own.
const CLAIMS: [&str; 2] = [
    "delete_key(span.attributes, \"sampling.priority\")",
    "replace_pattern(span.trace_state, \"(^|[, \\t])ot=[^,]*rv:[^,]*\", \"${1}ot=th:0\")",
];
/// A smaller percentage stops the sampler of a collector: its thresholds have 56 bits.
const SMALLEST: f64 = 1e-14;

/// A rate: what it is called, and its percentage.
type Rate = (String, f64);

/// Everything but the transformation: the processors, connectors and pipelines of a collector.
pub(super) struct Parts {
    pub(super) processors: Map<String, Value>,
    pub(super) connectors: Value,
    pub(super) pipelines: Map<String, Value>,
}

pub(super) fn parts(plans: &[&Plan], settings: &Settings) -> Parts {
    let rates = all_rates(plans, settings.sampling.others);
    let connectors = connectors(&rates);
    let claims = claims_name(plans, &connectors, settings);
    let mut processors = Map::from_iter([(claims.clone(), claims_of_spans())]);
    let mut pipelines = Map::new();
    for (name, percent) in &rates {
        let sampler = format!("probabilistic_sampler/contextcore-{name}");
        let parts = json!({"receivers": [ROUTING], "processors": [claims, sampler], "exporters": [FORWARD]});
        processors.insert(sampler, json!({"mode": "equalizing", "sampling_percentage": percentage(*percent)}));
        pipelines.insert(pipeline(name), parts);
    }
    Parts { processors, connectors, pipelines }
}

/// All rates that keep something.
fn all_rates(plans: &[&Plan], others: f64) -> Vec<Rate> {
    let mut all = vec![(ALWAYS.to_owned(), 100.0)];
    all.extend(rates(plans).into_iter().map(|(percent, name)| (name, percent)));
    all.push((OTHERS.to_owned(), others * 100.0));
    all.retain(|(_, percent)| *percent >= SMALLEST);
    all
}

fn pipeline(rate: &str) -> String {
    format!("traces/contextcore-{rate}")
}

/// What matches no row is kept by nobody.
fn connectors(rates: &[Rate]) -> Value {
    let always = format!("status.code == STATUS_CODE_ERROR or ({AUDITED})").replace("span.attributes", "attributes");
    let mut table =
        vec![json!({"context": "span", "condition": escape::collector(&always), "pipelines": [pipeline(ALWAYS)]})];
    table.extend(rates.iter().filter(|(name, _)| name != ALWAYS).map(|(name, _)| {
        let condition = format!("attributes[{}] == {}", escape::ottl(RATE), escape::ottl(name));
        json!({"context": "resource", "condition": condition, "pipelines": [pipeline(name)]})
    }));
    json!({ROUTING: {"error_mode": "ignore", "table": table}, FORWARD: {}})
}

fn claims_of_spans() -> Value {
    let statements = CLAIMS.map(escape::collector);
    json!({"error_mode": "ignore", "trace_statements": statements})
}

/// The processor that every kept span passes. Where its name can be read in the collector's own metrics, it says which fragment is
/// loaded.
fn claims_name(plans: &[&Plan], connectors: &Value, settings: &Settings) -> String {
    if settings.prometheus.url.is_none() {
        return "transform/contextcore-claims".to_owned();
    }
    let hash = blake3::hash(format!("{}{connectors}", transform(plans)).as_bytes()).to_hex();
    format!("transform/{MARKER}{}", &hash.as_str()[..8])
}
