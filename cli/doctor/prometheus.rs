//! Prometheus: old samples must be taken behind new ones, be found at their own time, carry their project, and be kept.

use std::collections::BTreeMap;
use std::time::Duration;

use contextcore_core::Result;
use contextcore_core::export::canary;
use contextcore_core::export::exposition_name;
use contextcore_core::export::otlp::Signal;
use contextcore_core::model::semconv as names;
use contextcore_core::model::time::{DAY, Millis};
use contextcore_dashboards::knowledge::{self as known, Backend};
use serde_json::Value;

use super::access::Access;
use super::{Finding, OLD, Practice, Verdict, compare, is_sent, seconds, yaml};

const THIS: Backend = Backend::Prometheus;
const QUERY: &str = "/api/v1/query";
const SOON: Duration = Duration::from_secs(10);
const LONG: u64 = 365 * 86_400;

pub(super) async fn examine(practice: &Practice<'_>, prometheus: &Access) -> Result<Vec<Finding>> {
    let reply = prometheus.get(QUERY, &[("query", "vector(1)")]).await?;
    if !reply.is_success() {
        let found = format!("{QUERY} answered {}: {}", reply.status, reply.message());
        let advice = "give the address that is the URL of Grafana's data source, with its path".to_owned();
        return Ok(vec![Finding::new(THIS, Verdict::Wrong, found, Some(advice))]);
    }
    let mut findings = configured(&flags(prometheus).await?);
    if is_sent(practice.config, Signal::Metrics) {
        findings.extend(canaries(practice, prometheus).await?);
    }
    Ok(findings)
}

/// The flags of the command line; none where it does not show them, as in Mimir or Grafana Cloud.
async fn flags(prometheus: &Access) -> Result<BTreeMap<String, String>> {
    let reply = prometheus.peek("/api/v1/status/flags").await?;
    let flags = reply.json()["data"].as_object().cloned().unwrap_or_default();
    Ok(flags.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect())
}

fn configured(flags: &BTreeMap<String, String>) -> Vec<Finding> {
    let get = |name: &str| flags.get(name).map(String::as_str);
    // 0s: the default of 15 days, or what the file says.
    let long = |value: &str| yaml::duration(value).is_none_or(|kept| kept >= LONG || kept == 0);
    let all = [
        compare(get("web.enable-otlp-receiver"), |value| value == "true", &known::PROMETHEUS_RECEIVER),
        compare(get("storage.tsdb.retention.time"), long, &known::PROMETHEUS_RETENTION),
    ];
    all.into_iter().flatten().collect()
}

/// A sample now, then one of last month, then one of last year.
async fn canaries(practice: &Practice<'_>, prometheus: &Access) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (at, what) in [
        (practice.now, "a sample of now"),
        (practice.ago(30 * DAY), "a sample of 30 days ago"),
        (practice.ago(OLD), "a sample of 300 days ago"),
    ] {
        if let Err(refusal) = practice.send(&practice.canary.sample(practice.config, at)).await {
            findings.push(refused(what, &refusal));
            continue;
        }
        findings.push(look(practice, prometheus, at, what).await?);
    }
    Ok(findings)
}

fn refused(what: &str, refusal: &str) -> Finding {
    let text = refusal.to_ascii_lowercase();
    let setting = match () {
        () if ["out of bounds", "too old", "out of order"].iter().any(|told| text.contains(told)) => {
            &known::PROMETHEUS_OLD
        }
        () if text.contains("404") => &known::PROMETHEUS_RECEIVER,
        () => return Finding::new(THIS, Verdict::Wrong, format!("{what} was refused: {refusal}"), None),
    };
    Finding::wrong(setting)
}

/// Looks for the sample at its own time.
async fn look(practice: &Practice<'_>, prometheus: &Access, at: Millis, what: &str) -> Result<Finding> {
    let metric = names::M_CANARY;
    let query = exposition_name(metric.name, metric.unit, false);
    let value = practice.canary.value();
    let series = || async {
        // A second later: a moment is given in whole seconds.
        let time = seconds(at.plus(1_000));
        let reply = prometheus.get(QUERY, &[("query", &query), ("time", &time)]).await?;
        let all = reply.json()["data"]["result"].as_array().cloned().unwrap_or_default();
        Ok::<_, contextcore_core::Error>(all.into_iter().find(|series| of_value(series, value)))
    };
    if !practice.until(SOON, || async { Ok(series().await?.is_some()) }).await? {
        return Ok(Finding::wrong(&known::PROMETHEUS_RETENTION));
    }
    let labels = series().await?.unwrap_or_default();
    let of_project = labels["metric"][names::PROJECT_ID.replace('.', "_")] == canary::PROJECT;
    Ok(if of_project {
        Finding::ok(THIS, format!("{what} is found at its own time"))
    } else {
        Finding::wrong(&known::PROMETHEUS_LABELS)
    })
}

fn of_value(series: &Value, value: f64) -> bool {
    series["value"][1].as_str().and_then(|text| text.parse::<f64>().ok()) == Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_refusals_lead_to_the_setting_behind_them() {
        let flags = |pairs: [(&str, &str); 2]| pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let wrong = configured(&flags([("web.enable-otlp-receiver", "false"), ("storage.tsdb.retention.time", "15d")]));
        assert_eq!(wrong.len(), 2);
        assert_eq!(
            configured(&flags([("web.enable-otlp-receiver", "true"), ("storage.tsdb.retention.time", "5y")])),
            []
        );
        assert!(refused("x", "500: too old sample").advice.unwrap().contains("out_of_order_time_window"));
        assert!(refused("x", "HTTP 404").advice.unwrap().contains("otlp-receiver"));
    }
}
