//! Tempo: it must find an old span by its id and by a search at its own time, and a year must be searchable.
//!
//! Tempo answers "ok" to spans that it drops, and a span that no search finds today may be found later. So its configuration,
//! where it is shown (`/status/config`), decides between "wrong" and "not yet".

use std::collections::BTreeMap;
use std::time::Duration;

use contextcore_core::Result;
use contextcore_core::export::otlp::Signal;
use contextcore_core::http::service::Reply;
use contextcore_core::model::semconv as names;
use contextcore_core::model::time::HOUR;
use contextcore_core::model::yaml;
use contextcore_dashboards::knowledge::{self as known, Backend};
use serde_json::Value;

use super::access::Access;
use super::examination::{Examination, Finding, OLD, Verdict, YEAR, compare, is_not, is_sent, refuses_range, seconds};
use crate::duration;

const THIS: Backend = Backend::Tempo;
/// A span is found by its id within this time.
const BY_ID: Duration = Duration::from_secs(15);
/// A year in seconds, which settings are compared to.
const LONG: u64 = 365 * 86_400;

/// Where a Tempo answers "echo".
pub(super) const ECHO: &str = "/api/echo";

pub(super) async fn examine(examination: &Examination<'_>, tempo: &Access) -> Result<Vec<Finding>> {
    if let Some(stranger) = recognise(tempo).await? {
        return Ok(vec![Finding::stranger(THIS, stranger)]);
    }
    let mut findings = ranges(examination, tempo).await?;
    let settings = settings(tempo).await?;
    let wrong = settings.as_ref().map(configured);
    if settings.is_none() {
        findings.push(Finding::unknown(
            THIS,
            "it does not show its configuration (/status/config), so only canaries are checked",
        ));
    }
    findings.extend(wrong.iter().flatten().cloned());
    if is_sent(examination.config, Signal::Traces) {
        findings.extend(canary(examination, tempo, wrong).await?);
    }
    findings.extend(discarded(tempo).await?);
    Ok(findings)
}

/// Whether an answer is a Tempo's echo.
pub(super) fn is_echo(reply: &Reply) -> bool {
    reply.is_success() && reply.body.trim() == "echo"
}

/// That something else than Tempo answered.
pub(super) fn stranger(reply: &Reply) -> String {
    is_not(THIS, ECHO, reply)
}

/// What is at the address, if it is no Tempo. A gateway may hide the echo, so a search proves it too.
async fn recognise(tempo: &Access) -> Result<Option<String>> {
    let echo = tempo.get(ECHO, &[]).await?;
    if is_echo(&echo) {
        return Ok(None);
    }
    let search = tempo.get("/api/search", &[("limit", "1")]).await?;
    Ok((!is_search(&search)).then(|| stranger(&echo)))
}

/// Whether an answer is that of a search.
fn is_search(reply: &Reply) -> bool {
    let json = reply.json();
    reply.is_success() && (json["traces"].is_array() || json["metrics"].is_object())
}

/// Whether a year can be queried.
async fn ranges(examination: &Examination<'_>, tempo: &Access) -> Result<Vec<Finding>> {
    let (start, end) = (seconds(examination.now.plus(-YEAR)), seconds(examination.now));
    let mut findings = Vec::new();
    let asked = [
        ("/api/search", "{}", &known::TEMPO_SEARCH_RANGE, "a year can be searched"),
        ("/api/metrics/query", "{} | count_over_time()", &known::TEMPO_METRICS_RANGE, "TraceQL metrics accept a year"),
    ];
    for (path, query, setting, ok) in asked {
        let reply = tempo.get(path, &[("q", query), ("start", &start), ("end", &end), ("limit", "1")]).await?;
        findings.push(match reply.status {
            200 => Finding::ok(THIS, ok),
            _ if refuses_range(&reply) => Finding::wrong(setting),
            status => Finding::unknown(THIS, format!("{path} answered {status}: {}", reply.message())),
        });
    }
    Ok(findings)
}

async fn settings(tempo: &Access) -> Result<Option<BTreeMap<String, String>>> {
    let reply = tempo.peek("/status/config").await?;
    Ok(reply.is_success().then(|| values(&reply.body)).filter(|values| !values.is_empty()))
}

/// Every single value of a YAML document by its path, e.g. `storage.trace.backend`. Lists are left out.
fn values(page: &str) -> BTreeMap<String, String> {
    // Tempo writes the request above the document.
    let text = page.split_once("\n---\n").map_or(page, |(_, document)| document);
    let mut values = BTreeMap::new();
    if let Ok((document, _)) = yaml::document(text) {
        flatten("", document, &mut values);
    }
    values
}

fn flatten(path: &str, value: Value, values: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                flatten(&path, value, values);
            }
        }
        Value::String(text) if !text.is_empty() => drop(values.insert(path.to_owned(), text)),
        Value::Number(_) | Value::Bool(_) => drop(values.insert(path.to_owned(), value.to_string())),
        _ => {}
    }
}

/// Settings whose effect shows only later, or only with much data.
fn configured(values: &BTreeMap<String, String>) -> Vec<Finding> {
    let get = |path: &str| values.get(path).map(String::as_str);
    let long = |value: &str| duration::seconds(value).is_none_or(|seconds| seconds >= LONG);
    // 2.9 shows sections of 3.x too, but only 2.x has ingesters.
    let is_v2 = values.keys().any(|path| path.starts_with("ingester."));
    let (slack, retention) = match is_v2 {
        true => ("storage.trace.wal.ingestion_time_range_slack", "compactor.compaction.block_retention"),
        false => (
            "live_store.wal.ingestion_time_range_slack",
            "backend_scheduler.provider.compaction.compaction.block_retention",
        ),
    };
    let unlimited = |value: &str| value.parse::<u64>().is_ok_and(|limit| limit == 0 || limit > 100_000);
    let large = |value: &str| value.parse::<u64>().is_ok_and(|limit| limit == 0 || limit >= 50_000_000);
    let bytes = get("overrides.defaults.global.max_bytes_per_trace");
    let all = [
        compare(get(slack), long, &known::TEMPO_SLACK),
        compare(get(retention), |value| long(value) || duration::seconds(value) == Some(0), &known::TEMPO_RETENTION),
        compare(get("overrides.defaults.ingestion.max_traces_per_user"), unlimited, &known::TEMPO_TRACES),
        compare(bytes, large, &known::TEMPO_BYTES),
    ];
    all.into_iter().flatten().collect()
}

/// Sends a span and looks it up. `configured` is what is wrong with the configuration, if that is shown.
async fn canary(
    examination: &Examination<'_>,
    tempo: &Access,
    configured: Option<Vec<Finding>>,
) -> Result<Vec<Finding>> {
    let at = examination.ago(OLD);
    if let Err(refusal) = examination.send(&examination.canary.span(examination.config, at)).await {
        return Ok(vec![Finding::new(THIS, Verdict::Wrong, format!("the canary was refused: {refusal}"), None)]);
    }
    let trace = format!("/api/traces/{}", examination.canary.trace_id());
    let by_id = || async { Ok(tempo.get(&trace, &[]).await?.status == 200) };
    if !examination.until(BY_ID, by_id).await? {
        return Ok(vec![Finding::wrong(&known::TEMPO_RETENTION)]);
    }
    let (start, end) = (seconds(at.plus(-HOUR)), seconds(at.plus(2 * HOUR)));
    let query = format!("{{ span.{} = \"{}\" }}", names::TASK_ID, examination.canary.task_id());
    let search = || async {
        let reply = tempo.get("/api/search", &[("q", &query), ("start", &start), ("end", &end)]).await?;
        Ok(reply.json()["traces"].as_array().is_some_and(|traces| !traces.is_empty()))
    };
    // Where this is allowed, it cuts what is in memory into a block now; otherwise the search takes longer.
    tempo.peek("/flush").await?;
    if examination.until(examination.wait, search).await? {
        return Ok(vec![Finding::ok(THIS, "a span of 300 days ago is found at its own time")]);
    }
    Ok(vec![not_found(configured)])
}

/// A span that is found by its id and by no search yet.
fn not_found(configured: Option<Vec<Finding>>) -> Finding {
    let not_yet = "an old span is found by its id, but by no search yet";
    match configured {
        Some(wrong) if wrong.iter().all(|finding| finding.advice.as_deref() != Some(&known::TEMPO_SLACK.advice())) => {
            let found = format!(
                "{not_yet}; its slack is right, and a search may take up to 10 minutes (max_block_duration, \
                 blocklist_poll): --wait 600 waits that long"
            );
            Finding::unknown(THIS, found)
        }
        Some(_) => Finding::unknown(THIS, not_yet),
        None => Finding {
            found: format!("{not_yet}; --wait 600 rules out that it is only slow"),
            ..Finding::wrong(&known::TEMPO_SLACK)
        },
    }
}

/// Spans that it dropped while it answered "ok", by its own counters.
async fn discarded(tempo: &Access) -> Result<Vec<Finding>> {
    let reply = tempo.peek("/metrics").await?;
    if !reply.is_success() {
        return Ok(Vec::new());
    }
    let lost = reply.body.lines().filter(|line| line.starts_with("tempo_discarded_spans_total{"));
    let lost: Vec<&str> = lost.filter(|line| !line.ends_with(" 0")).collect();
    Ok(match lost.as_slice() {
        [] => vec![Finding::ok(THIS, "it dropped no span since it started")],
        lost => {
            let found = format!("it dropped spans while it answered \"ok\": {}", lost.join(", "));
            let advice = format!("{} {}", known::TEMPO_TRACES.advice(), known::TEMPO_BYTES.advice());
            vec![Finding::new(THIS, Verdict::Wrong, found, Some(advice))]
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_a_tempo_echoes_or_searches() {
        let reply = |status, body: &str| Reply { status, body: body.to_owned(), location: None };
        assert!(is_echo(&reply(200, "echo\n")) && !is_echo(&reply(200, "<html>echo</html>")));
        assert!(is_search(&reply(200, r#"{"traces":[],"metrics":{}}"#)) && !is_search(&reply(200, "<html>")));
        assert!(!is_search(&reply(404, r#"{"traces":[]}"#)));
        assert_eq!(
            stranger(&reply(404, "404 page not found\n")),
            "this is not Tempo: /api/echo answered 404: 404 page not found"
        );
    }

    #[test]
    fn values_are_found_by_their_path() {
        let yaml = "---
storage:
    trace:
        wal:
            slack: 2m0s
        backend: local
        empty: \"\"
    list:
        - a: 1
limit: 0
bytes: 50000000
other: \"x\"
";
        let want = [
            ("bytes", "50000000"),
            ("limit", "0"),
            ("other", "x"),
            ("storage.trace.backend", "local"),
            ("storage.trace.wal.slack", "2m0s"),
        ];
        assert_eq!(values(yaml), settings(&want));
        // As Tempo 2.9 sends it.
        assert_eq!(values(&format!("GET /status/config\n{yaml}")), settings(&want));
        assert!(values("<html>\n  not: yaml: at all").is_empty());
    }

    #[test]
    fn wrong_defaults_of_both_major_versions_are_found() {
        let v2 = settings(&[
            ("ingester.max_block_duration", "30m0s"),
            ("storage.trace.wal.ingestion_time_range_slack", "2m0s"),
            ("compactor.compaction.block_retention", "336h0m0s"),
        ]);
        let v3 = settings(&[("live_store.wal.ingestion_time_range_slack", "2m0s")]);
        assert_eq!((configured(&v2).len(), configured(&v3).len()), (2, 1));
        assert!(
            configured(&v2)[0].found.contains("2m0s") && configured(&v2)[0].advice.as_ref().unwrap().contains("87600h")
        );
        let right = settings(&[
            ("ingester.max_block_duration", "5m0s"),
            ("backend_scheduler.provider.compaction.compaction.block_retention", "336h0m0s"),
            ("storage.trace.wal.ingestion_time_range_slack", "87600h0m0s"),
            ("compactor.compaction.block_retention", "43800h0m0s"),
            ("overrides.defaults.ingestion.max_traces_per_user", "0"),
            ("overrides.defaults.global.max_bytes_per_trace", "50000000"),
        ]);
        assert_eq!(configured(&right), []);
    }

    #[test]
    fn a_span_not_found_yet_is_wrong_unless_the_configuration_is_right() {
        assert_eq!(not_found(Some(vec![])).verdict, Verdict::Unknown);
        assert_eq!(not_found(None).verdict, Verdict::Wrong);
    }
}
