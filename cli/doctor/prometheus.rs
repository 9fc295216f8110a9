//! Prometheus: it must accept old samples after new ones, find them at their own time under their project, and retain them.

use std::collections::BTreeMap;
use std::time::Duration;

use contextcore_core::Result;
use contextcore_core::export::canary;
use contextcore_core::export::otlp::Signal;
use contextcore_core::http::service::Reply;
use contextcore_core::model::semconv as names;
use contextcore_core::model::semconv::exposition_name;
use contextcore_core::model::time::{DAY, Millis};
use contextcore_dashboards::knowledge::{self as known, Backend};
use serde_json::Value;

use super::access::Access;
use super::examination::{Examination, Finding, OLD, Verdict, compare, is_not, is_result, is_sent, seconds};
use crate::duration;

const THIS: Backend = Backend::Prometheus;
const QUERY: &str = "/api/v1/query";
const SOON: Duration = Duration::from_secs(10);
const LONG: u64 = 365 * 86_400;

pub(super) async fn examine(examination: &Examination<'_>, prometheus: &Access) -> Result<Vec<Finding>> {
    let reply = prometheus.get(QUERY, &[("query", "vector(1)")]).await?;
    if !is_result(&reply) {
        return Ok(vec![unusable(&reply)]);
    }
    let mut findings = configured(&flags(prometheus).await?);
    if is_sent(examination.config, Signal::Metrics) {
        findings.extend(canaries(examination, prometheus).await?);
    }
    Ok(findings)
}

/// An answer without a result: of another program, or of a Prometheus that is ill.
fn unusable(reply: &Reply) -> Finding {
    match reply.status {
        404 | 200..=299 => Finding::stranger(THIS, is_not(THIS, QUERY, reply)),
        status => Finding::stranger(THIS, format!("{QUERY} answered {status}: {}", reply.message())),
    }
}

/// The flags of the command line; empty where they are not shown, as in Mimir or Grafana Cloud.
async fn flags(prometheus: &Access) -> Result<BTreeMap<String, String>> {
    let reply = prometheus.peek("/api/v1/status/flags").await?;
    let flags = reply.json()["data"].as_object().cloned().unwrap_or_default();
    Ok(flags.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect())
}

fn configured(flags: &BTreeMap<String, String>) -> Vec<Finding> {
    let get = |name: &str| flags.get(name).map(String::as_str);
    // 0s stands for the default of 15 days, or for what the file says.
    let long = |value: &str| duration::seconds(value).is_none_or(|seconds| seconds >= LONG || seconds == 0);
    let all = [
        compare(get("web.enable-otlp-receiver"), |value| value == "true", &known::PROMETHEUS_RECEIVER),
        compare(get("storage.tsdb.retention.time"), long, &known::PROMETHEUS_RETENTION),
    ];
    all.into_iter().flatten().collect()
}

/// A sample now, then one of last month, then one of last year.
async fn canaries(examination: &Examination<'_>, prometheus: &Access) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (at, sample) in [
        (examination.now, "a sample of now"),
        (examination.ago(30 * DAY), "a sample of 30 days ago"),
        (examination.ago(OLD), "a sample of 300 days ago"),
    ] {
        if let Err(refusal) = examination.send(&examination.canary.sample(examination.config, at)).await {
            findings.push(refused(sample, &refusal));
            continue;
        }
        findings.push(look_up(examination, prometheus, at, sample).await?);
    }
    Ok(findings)
}

fn refused(sample: &str, refusal: &str) -> Finding {
    let text = refusal.to_ascii_lowercase();
    let setting = match () {
        () if ["out of bounds", "too old", "out of order"].iter().any(|word| text.contains(word)) => {
            &known::PROMETHEUS_OLD
        }
        () if text.contains("404") => &known::PROMETHEUS_RECEIVER,
        () => return Finding::new(THIS, Verdict::Wrong, format!("{sample} was refused: {refusal}"), None),
    };
    Finding::wrong(setting)
}

/// Looks up the sample at its own time.
async fn look_up(examination: &Examination<'_>, prometheus: &Access, at: Millis, sample: &str) -> Result<Finding> {
    let metric = names::M_CANARY;
    let query = exposition_name(metric.name, metric.unit, false);
    let value = examination.canary.value();
    let series = || async {
        // A second later, since a moment is given in whole seconds.
        let time = seconds(at.plus(1_000));
        let reply = prometheus.get(QUERY, &[("query", &query), ("time", &time)]).await?;
        let all = reply.json()["data"]["result"].as_array().cloned().unwrap_or_default();
        Ok::<_, contextcore_core::Error>(all.into_iter().find(|series| of_value(series, value)))
    };
    if !examination.until(SOON, || async { Ok(series().await?.is_some()) }).await? {
        return Ok(Finding::wrong(&known::PROMETHEUS_RETENTION));
    }
    let labels = series().await?.unwrap_or_default();
    let of_project = labels["metric"][names::PROJECT_ID.replace('.', "_")] == canary::PROJECT;
    Ok(if of_project {
        Finding::ok(THIS, format!("{sample} is found at its own time"))
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
    fn another_program_at_the_address_is_not_prometheus() {
        let reply = |status, body: &str| Reply { status, body: body.to_owned(), location: None };
        assert!(is_result(&reply(200, r#"{"data":{"resultType":"vector","result":[]}}"#)));
        for stranger in [reply(200, "<html>"), reply(404, "404 page not found")] {
            assert!(!is_result(&stranger) && unusable(&stranger).found.contains("this is not Prometheus"));
        }
        assert!(unusable(&reply(503, "starting")).found.contains("answered 503: starting"));
    }

    #[test]
    fn flags_and_refusals_name_the_setting_that_causes_them() {
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
