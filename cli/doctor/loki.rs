//! Loki: old records must be taken, also behind newer ones of their stream, and be found under their project.

use std::time::Duration;

use contextcore_core::Result;
use contextcore_core::export::canary;
use contextcore_core::export::otlp::Signal;
use contextcore_core::model::semconv as names;
use contextcore_core::model::time::{DAY, HOUR, Millis};
use contextcore_dashboards::knowledge::{self as known, Backend, Setting};

use super::access::Access;
use super::{Finding, OLD, Practice, Verdict, YEAR, is_sent, refuses_range};

const THIS: Backend = Backend::Loki;
/// What was taken is found within this time.
const SOON: Duration = Duration::from_secs(20);

pub(super) async fn examine(practice: &Practice<'_>, loki: &Access) -> Result<Vec<Finding>> {
    let mut findings = vec![range(practice, loki).await?];
    if is_sent(practice.config, Signal::Logs) {
        findings.extend(canaries(practice, loki).await?);
    }
    Ok(findings)
}

fn nanos(at: Millis) -> String {
    at.as_nanos().to_string()
}

async fn range(practice: &Practice<'_>, loki: &Access) -> Result<Finding> {
    let (start, end) = (nanos(practice.now.plus(-YEAR)), nanos(practice.now));
    let asked = [("query", "{service_name=\"contextcore\"}"), ("start", &start), ("end", &end), ("limit", "1")];
    let reply = loki.get("/loki/api/v1/query_range", &asked).await?;
    Ok(match reply.status {
        200 => Finding::ok(THIS, "a year can be asked for"),
        _ if refuses_range(&reply) => Finding::wrong(&known::LOKI_RANGE),
        status => Finding::unknown(THIS, format!("/loki/api/v1/query_range answered {status}: {}", reply.message())),
    })
}

/// Two records into one stream: an old one, then one that is older still.
async fn canaries(practice: &Practice<'_>, loki: &Access) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (at, well) in [
        (practice.ago(OLD / 2), "a record of 150 days ago is found at its own time"),
        (practice.ago(OLD).plus(-DAY), "so is one of 300 days ago, sent behind it"),
    ] {
        if let Err(refusal) = practice.send(&practice.canary.record(practice.config, at)).await {
            findings.push(refused(&refusal));
            continue;
        }
        findings.push(look(practice, loki, at, well).await?);
    }
    Ok(findings)
}

fn refused(refusal: &str) -> Finding {
    let text = refusal.to_ascii_lowercase();
    let setting: Option<&Setting> = match () {
        () if text.contains("too far behind") || text.contains("out of order") => Some(&known::LOKI_BEHIND),
        () if text.contains("too old") => Some(&known::LOKI_OLD),
        () => None,
    };
    setting.map_or_else(
        || Finding::new(THIS, Verdict::Wrong, format!("the canary was refused: {refusal}"), None),
        Finding::wrong,
    )
}

/// Looks for the record at `at`: under its project, else anywhere.
async fn look(practice: &Practice<'_>, loki: &Access, at: Millis, well: &str) -> Result<Finding> {
    let task = practice.canary.task_id();
    let (start, end) = (nanos(at.plus(-HOUR)), nanos(at.plus(HOUR)));
    let found = |stream: String| {
        let query = format!("{{{stream}}} | {}=\"{task}\"", names::TASK_ID.replace('.', "_"));
        let (start, end) = (start.clone(), end.clone());
        async move {
            let asked = [("query", query.as_str()), ("start", &start), ("end", &end), ("limit", "1")];
            let reply = loki.get("/loki/api/v1/query_range", &asked).await?;
            Ok(reply.json()["data"]["result"].as_array().is_some_and(|streams| !streams.is_empty()))
        }
    };
    let of_project = || found(format!("{}=\"{}\"", names::PROJECT_ID.replace('.', "_"), canary::PROJECT));
    let anywhere = || found("service_name=~\".+\"".to_owned());
    if practice.until(SOON, of_project).await? {
        return Ok(Finding::ok(THIS, well));
    }
    if anywhere().await? {
        return Ok(Finding::wrong(&known::LOKI_LABELS));
    }
    Ok(Finding::new(
        THIS,
        Verdict::Wrong,
        "a record was taken, and is not found at its own time",
        Some(known::LOKI_OLD.advice()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_lead_to_the_setting_behind_them() {
        let advice = |text: &str| refused(text).advice.unwrap_or_default();
        assert!(
            advice("400: entry for stream has timestamp too old: 2025-01-01, oldest acceptable")
                .contains("reject_old_samples")
        );
        assert!(advice("400: entry too far behind, oldest acceptable timestamp is").contains("max_chunk_age"));
        assert!(refused("404 page not found").found.contains("404"));
    }
}
