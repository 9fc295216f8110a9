//! Tempo: an old span must be found by its id and by a search at its own time, and a year must be searchable.
//!
//! It answers "ok" and drops, and what it does not find today may still come: so its own configuration, where it shows it
//! (`/status/config`), decides between "wrong" and "not yet".

use std::collections::BTreeMap;
use std::time::Duration;

use contextcore_core::Result;
use contextcore_core::export::otlp::Signal;
use contextcore_core::model::semconv as names;
use contextcore_core::model::time::HOUR;
use contextcore_dashboards::knowledge::{self as known, Backend};

use super::access::Access;
use super::{Finding, OLD, Practice, YEAR, compare, is_sent, refuses_range, seconds, yaml};

const THIS: Backend = Backend::Tempo;
/// By its id a span is found at once, but for moments.
const BY_ID: Duration = Duration::from_secs(15);
/// A year, and what its settings are compared to.
const LONG: u64 = 365 * 86_400;

pub(super) async fn examine(practice: &Practice<'_>, tempo: &Access) -> Result<Vec<Finding>> {
    let mut findings = ranges(practice, tempo).await?;
    let settings = settings(tempo).await?;
    let wrong = settings.as_ref().map(configured);
    if settings.is_none() {
        findings.push(Finding::unknown(
            THIS,
            "it does not show its configuration (/status/config): only canaries can tell",
        ));
    }
    findings.extend(wrong.iter().flatten().cloned());
    if is_sent(practice.config, Signal::Traces) {
        findings.extend(canary(practice, tempo, wrong).await?);
    }
    findings.extend(discarded(tempo).await?);
    Ok(findings)
}

/// Whether it takes questions about a year.
async fn ranges(practice: &Practice<'_>, tempo: &Access) -> Result<Vec<Finding>> {
    let (start, end) = (seconds(practice.now.plus(-YEAR)), seconds(practice.now));
    let mut findings = Vec::new();
    let asked = [
        ("/api/search", "{}", &known::TEMPO_SEARCH_RANGE, "a year can be searched"),
        ("/api/metrics/query", "{} | count_over_time()", &known::TEMPO_METRICS_RANGE, "TraceQL metrics take a year"),
    ];
    for (path, query, setting, well) in asked {
        let reply = tempo.get(path, &[("q", query), ("start", &start), ("end", &end), ("limit", "1")]).await?;
        findings.push(match reply.status {
            200 => Finding::ok(THIS, well),
            _ if refuses_range(&reply) => Finding::wrong(setting),
            status => Finding::unknown(THIS, format!("{path} answered {status}: {}", reply.message())),
        });
    }
    Ok(findings)
}

async fn settings(tempo: &Access) -> Result<Option<BTreeMap<String, String>>> {
    let reply = tempo.peek("/status/config").await?;
    Ok(reply.is_success().then(|| yaml::flat(&reply.body)).filter(|values| !values.is_empty()))
}

/// What the configuration says that shows only later, or only in large.
fn configured(values: &BTreeMap<String, String>) -> Vec<Finding> {
    let get = |path: &str| values.get(path).map(String::as_str);
    let long = |value: &str| yaml::duration(value).is_none_or(|seconds| seconds >= LONG);
    // 2.9 shows sections of 3.x, too; but only 2.x has ingesters.
    let two = values.keys().any(|path| path.starts_with("ingester."));
    let (slack, retention) = match two {
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
        compare(get(retention), |value| long(value) || yaml::duration(value) == Some(0), &known::TEMPO_RETENTION),
        compare(get("overrides.defaults.ingestion.max_traces_per_user"), unlimited, &known::TEMPO_TRACES),
        compare(bytes, large, &known::TEMPO_BYTES),
    ];
    all.into_iter().flatten().collect()
}

/// Sends a span and looks for it. `configured` is what the configuration was found to be wrong in, if it was shown.
async fn canary(practice: &Practice<'_>, tempo: &Access, configured: Option<Vec<Finding>>) -> Result<Vec<Finding>> {
    let at = practice.ago(OLD);
    if let Err(refusal) = practice.send(&practice.canary.span(practice.config, at)).await {
        return Ok(vec![Finding::new(THIS, super::Verdict::Wrong, format!("the canary was refused: {refusal}"), None)]);
    }
    let trace = format!("/api/traces/{}", practice.canary.trace_id());
    let by_id = || async { Ok(tempo.get(&trace, &[]).await?.status == 200) };
    if !practice.until(BY_ID, by_id).await? {
        return Ok(vec![Finding::wrong(&known::TEMPO_RETENTION)]);
    }
    let (start, end) = (seconds(at.plus(-HOUR)), seconds(at.plus(2 * HOUR)));
    let query = format!("{{ span.{} = \"{}\" }}", names::TASK_ID, practice.canary.task_id());
    let search = || async {
        let reply = tempo.get("/api/search", &[("q", &query), ("start", &start), ("end", &end)]).await?;
        Ok(reply.json()["traces"].as_array().is_some_and(|traces| !traces.is_empty()))
    };
    // Cuts what is in memory into a block at once, where it takes that; otherwise the search takes longer.
    tempo.peek("/flush").await?;
    if practice.until(practice.wait, search).await? {
        return Ok(vec![Finding::ok(THIS, "a span of 300 days ago is found at its own time")]);
    }
    Ok(vec![not_found(configured)])
}

/// A span that its id finds and no search yet.
fn not_found(configured: Option<Vec<Finding>>) -> Finding {
    let not_yet = "an old span is found by its id, and by no search yet";
    match configured {
        Some(wrong) if wrong.iter().all(|finding| finding.advice.as_deref() != Some(&known::TEMPO_SLACK.advice())) => {
            let found = format!(
                "{not_yet}; its slack is right, and it may take up to 10 minutes (max_block_duration, blocklist_poll): \
                 --wait 600 waits for it"
            );
            Finding::unknown(THIS, found)
        }
        Some(_) => Finding::unknown(THIS, not_yet),
        None => Finding {
            found: format!("{not_yet}; --wait 600 rules out that it is just slow"),
            ..Finding::wrong(&known::TEMPO_SLACK)
        },
    }
}

/// What it dropped while it answered "ok", by its own counters.
async fn discarded(tempo: &Access) -> Result<Vec<Finding>> {
    let reply = tempo.peek("/metrics").await?;
    if !reply.is_success() {
        return Ok(Vec::new());
    }
    let lost = reply.body.lines().filter(|line| line.starts_with("tempo_discarded_spans_total{"));
    let lost: Vec<&str> = lost.filter(|line| !line.ends_with(" 0")).collect();
    Ok(match lost.as_slice() {
        [] => vec![Finding::ok(THIS, "it dropped no span since it was started")],
        lost => {
            let found = format!("it dropped spans while it answered \"ok\": {}", lost.join(", "));
            let advice = format!("{} {}", known::TEMPO_TRACES.advice(), known::TEMPO_BYTES.advice());
            vec![Finding::new(THIS, super::Verdict::Wrong, found, Some(advice))]
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_of_both_major_versions_are_recognised() {
        let two = values(&[
            ("ingester.max_block_duration", "30m0s"),
            ("storage.trace.wal.ingestion_time_range_slack", "2m0s"),
            ("compactor.compaction.block_retention", "336h0m0s"),
        ]);
        let three = values(&[("live_store.wal.ingestion_time_range_slack", "2m0s")]);
        assert_eq!((configured(&two).len(), configured(&three).len()), (2, 1));
        assert!(
            configured(&two)[0].found.contains("2m0s")
                && configured(&two)[0].advice.as_ref().unwrap().contains("87600h")
        );
        let right = values(&[
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
    fn what_is_not_found_yet_is_wrong_only_if_nothing_says_otherwise() {
        assert_eq!(not_found(Some(vec![])).verdict, super::super::Verdict::Unknown);
        assert_eq!(not_found(None).verdict, super::super::Verdict::Wrong);
    }
}
