//! Which destination a caller and the environment name. Pure: the caller passes the variables. The SDKs of other languages find the same,
//! which `sdk/conformance/identity.json` holds them to.

use crate::destination::{Destination, Headers, Transport};

/// Where operations go, with the headers of requests.
#[derive(Debug, Clone)]
pub struct Target {
    /// The destination.
    pub to: Destination,
    /// The headers of every request.
    pub headers: Headers,
}

impl Target {
    /// The destination that a caller names (`endpoint`, `protocol`, `own` headers), or else the environment; `None` if neither does.
    /// `variable` reads a variable. For an endpoint of the environment the variables of traces go before those of all signals, each
    /// by itself.
    ///
    /// # Errors
    /// A message when it is no address, or was asked to be spoken to in a way that it cannot be.
    pub fn find(
        endpoint: Option<&str>,
        protocol: Option<Transport>,
        own: &Headers,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        let given = |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let of_environment = || given(&of_traces("ENDPOINT")).map(base).or_else(|| given(&of_all("ENDPOINT")));
        let Some(address) = endpoint.map(str::to_owned).or_else(of_environment) else { return Ok(None) };
        let mut sets = header_sets(&variable);
        // The last has those of traces.
        let mut headers = if endpoint.is_some() { sets.swap_remove(1) } else { sets.pop().unwrap_or_default() };
        headers.0.extend(own.0.clone());
        let known = |name: String| given(&name).and_then(|text| Transport::named(&text));
        let general = known(of_traces("PROTOCOL")).filter(|_| endpoint.is_none()).or_else(|| known(of_all("PROTOCOL")));
        let to = Destination::new(&address, protocol, general, &headers)?;
        Ok(Some(Self { to, headers }))
    }
}

/// The headers that the environment gives: none, those of all signals, and those with what is for traces. A process can drain the lanes of each.
pub fn header_sets(variable: impl Fn(&str) -> Option<String>) -> Vec<Headers> {
    let of = |name: String| Headers::parse(&variable(&name).unwrap_or_default());
    let common = of(of_all("HEADERS"));
    let mut with_traces = common.clone();
    with_traces.0.extend(of(of_traces("HEADERS")).0);
    vec![Headers::default(), common, with_traces]
}

fn of_all(what: &str) -> String {
    format!("OTEL_EXPORTER_OTLP_{what}")
}

fn of_traces(what: &str) -> String {
    format!("OTEL_EXPORTER_OTLP_TRACES_{what}")
}

/// The address of all signals, of that of traces.
fn base(endpoint: String) -> String {
    let text = endpoint.trim_end_matches('/');
    text.strip_suffix("/v1/traces").unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Facts {
        lanes: Vec<Fact>,
    }

    #[derive(Deserialize)]
    struct Fact {
        endpoint: Option<String>,
        protocol: Option<Transport>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        environment: BTreeMap<String, String>,
        gives: Option<serde_json::Value>,
    }

    /// As the other languages find them: `sdk/conformance`.
    #[test]
    fn lanes_follow_from_arguments_and_environment() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/conformance/identity.json");
        let facts: Facts = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for fact in facts.lanes {
            let own = fact.headers.iter().map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()));
            let (own, variable) = (Headers(own.collect()), |name: &str| fact.environment.get(name).cloned());
            let find = |protocol| Target::find(fact.endpoint.as_deref(), protocol, &own, variable);
            // What cannot be used is an error here, and in languages whose calls do not fail the next best.
            let found = find(fact.protocol).or_else(|_| find(None)).ok().flatten();
            let given = found.map(|Target { to, headers }| {
                serde_json::json!({"endpoint": to.endpoint, "protocol": to.protocol, "lane": to.lane(&headers)})
            });
            assert_eq!(given, fact.gives, "{:?} {:?}", fact.endpoint, fact.environment);
        }
    }
}
