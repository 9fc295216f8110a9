//! Loki: it must accept old records, also after newer ones of their stream, and find them under their project.

use std::time::Duration;

use contextcore_core::Result;
use contextcore_core::export::canary;
use contextcore_core::export::otlp::Signal;
use contextcore_core::http::service::Reply;
use contextcore_core::model::semconv as names;
use contextcore_core::model::time::{DAY, HOUR, Millis};
use contextcore_dashboards::knowledge::{self as known, Backend, Setting};

use super::access::Access;
use super::examination::{Examination, Finding, OLD, Verdict, YEAR, is_not, is_result, is_sent, refuses_range};

const THIS: Backend = Backend::Loki;
const QUERY: &str = "/loki/api/v1/query_range";
/// An accepted record is found within this time.
const SOON: Duration = Duration::from_secs(20);

pub(super) async fn examine(examination: &Examination<'_>, loki: &Access) -> Result<Vec<Finding>> {
    let reply = year(examination, loki).await?;
    if is_stranger(&reply) {
        return Ok(vec![Finding::stranger(THIS, is_not(THIS, QUERY, &reply))]);
    }
    let mut findings = vec![range(&reply)];
    if is_sent(examination.config, Signal::Logs) {
        findings.extend(canaries(examination, loki).await?);
    }
    Ok(findings)
}

fn nanos(at: Millis) -> String {
    at.as_nanos().to_string()
}

/// Asks for a year.
async fn year(examination: &Examination<'_>, loki: &Access) -> Result<Reply> {
    let (start, end) = (nanos(examination.now.plus(-YEAR)), nanos(examination.now));
    let asked = [("query", "{service_name=\"contextcore\"}"), ("start", &start), ("end", &end), ("limit", "1")];
    loki.get(QUERY, &asked).await
}

/// Whether something else than Loki answered.
fn is_stranger(reply: &Reply) -> bool {
    reply.status == 404 || (reply.is_success() && !is_result(reply))
}

/// Whether a year can be queried.
fn range(reply: &Reply) -> Finding {
    match reply.status {
        200 => Finding::ok(THIS, "a year can be queried"),
        _ if refuses_range(reply) => Finding::wrong(&known::LOKI_RANGE),
        status => Finding::unknown(THIS, format!("{QUERY} answered {status}: {}", reply.message())),
    }
}

/// Two records in one stream: an old one, then an even older one.
async fn canaries(examination: &Examination<'_>, loki: &Access) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (at, ok) in [
        (examination.ago(OLD / 2), "a record of 150 days ago is found at its own time"),
        (examination.ago(OLD).plus(-DAY), "a record of 300 days ago, sent after it, is found too"),
    ] {
        if let Err(refusal) = examination.send(&examination.canary.record(examination.config, at)).await {
            findings.push(refused(&refusal));
            continue;
        }
        findings.push(look_up(examination, loki, at, ok).await?);
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

/// Looks up the record at `at`: under its project, else anywhere.
async fn look_up(examination: &Examination<'_>, loki: &Access, at: Millis, ok: &str) -> Result<Finding> {
    let task = examination.canary.task_id();
    let (start, end) = (nanos(at.plus(-HOUR)), nanos(at.plus(HOUR)));
    let found = |stream: String| {
        let query = format!("{{{stream}}} | {}=\"{task}\"", names::TASK_ID.replace('.', "_"));
        let (start, end) = (start.clone(), end.clone());
        async move {
            let asked = [("query", query.as_str()), ("start", &start), ("end", &end), ("limit", "1")];
            let reply = loki.get(QUERY, &asked).await?;
            Ok(reply.json()["data"]["result"].as_array().is_some_and(|streams| !streams.is_empty()))
        }
    };
    let of_project = || found(format!("{}=\"{}\"", names::PROJECT_ID.replace('.', "_"), canary::PROJECT));
    let anywhere = || found("service_name=~\".+\"".to_owned());
    if examination.until(SOON, of_project).await? {
        return Ok(Finding::ok(THIS, ok));
    }
    if anywhere().await? {
        return Ok(Finding::wrong(&known::LOKI_LABELS));
    }
    Ok(Finding::new(
        THIS,
        Verdict::Wrong,
        "a record was accepted and is not found at its own time",
        Some(known::LOKI_OLD.advice()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_at_the_address_is_not_loki() {
        let reply = |status, body: &str| Reply { status, body: body.to_owned(), location: None };
        assert!(!is_stranger(&reply(200, r#"{"data":{"resultType":"streams","result":[]}}"#)));
        assert!(is_stranger(&reply(404, "404 page not found")) && is_stranger(&reply(200, "<html>")));
        assert!(!is_stranger(&reply(503, "")), "an ill Loki is a Loki");
        assert!(!is_stranger(&reply(400, "the query time range exceeds the limit")));
    }

    #[test]
    fn refusals_name_the_setting_that_causes_them() {
        let advice = |text: &str| refused(text).advice.unwrap_or_default();
        assert!(
            advice("400: entry for stream has timestamp too old: 2025-01-01, oldest acceptable")
                .contains("reject_old_samples")
        );
        assert!(advice("400: entry too far behind, oldest acceptable timestamp is").contains("max_chunk_age"));
        assert!(refused("404 page not found").found.contains("404"));
    }
}
