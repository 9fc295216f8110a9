//! How much is left of error budgets, as the rules of the controller record it in a Prometheus. What cannot be asked is left out: an
//! answer to an agent does not fail for it.

use std::time::Duration;

use contextcore_core::config::Resolve;
use contextcore_core::http::Auth;
use contextcore_core::http::service::Service;
use contextcore_core::model::config::PrometheusConfig;
use contextcore_core::{Error, ErrorKind};
use contextcore_mcp::BudgetLeft;
use serde_json::Value;

/// How long an agent waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
const RECORDED: &str = "contextcore:slo_error_budget_remaining:ratio";

/// What is left of the budgets of a project.
pub(super) async fn budgets_left(config: &PrometheusConfig, project: &str) -> Vec<BudgetLeft> {
    let asked = tokio::time::timeout(PATIENCE, ask(config, project)).await;
    let late = || Error::new(ErrorKind::Unavailable, "ask Prometheus: no answer within 2 s");
    asked.unwrap_or_else(|_| Err(late())).unwrap_or_else(|error| {
        tracing::warn!("could not read error budgets: {}", error.full());
        Vec::new()
    })
}

async fn ask(config: &PrometheusConfig, project: &str) -> Result<Vec<BudgetLeft>, Error> {
    let secret = config.token.as_ref().map(Resolve::resolve).transpose()?;
    let auth = secret.map_or(Auth::None, |secret| Auth::of_credential(&secret));
    let service = Service::new("Prometheus", &config.url, auth, None)?;
    let query = format!("{RECORDED}{{project=\"{}\"}}", project.replace('\\', "\\\\").replace('"', "\\\""));
    let reply = service.get("/api/v1/query", &[("query", &query)]).await?;
    if !reply.is_success() {
        let text = format!("ask Prometheus: it answered {}: {}", reply.status, reply.message());
        return Err(Error::new(ErrorKind::Protocol, text));
    }
    Ok(read(&reply.json()))
}

fn read(answer: &Value) -> Vec<BudgetLeft> {
    let series = answer["data"]["result"].as_array().into_iter().flatten();
    let of = |series: &Value| {
        let label = |name: &str| series["metric"][name].as_str().unwrap_or_default().to_owned();
        let left: f64 = series["value"][1].as_str()?.parse().ok()?;
        let found = BudgetLeft { namespace: label("namespace"), service: label("service"), slo: label("slo"), left };
        left.is_finite().then_some(found)
    };
    series.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_series_is_read_and_what_is_no_number_left_out() {
        let series = |slo: &str, value: &str| json!({"metric": {"namespace": "shop", "service": "cart", "slo": slo}, "value": [1, value]});
        let answer = json!({"data": {"result": [series("availability", "0.61"), series("latency_p99", "NaN")]}});
        let left =
            BudgetLeft { namespace: "shop".into(), service: "cart".into(), slo: "availability".into(), left: 0.61 };
        assert_eq!(read(&answer), [left]);
        assert_eq!(read(&json!({"status": "error"})), []);
    }
}
