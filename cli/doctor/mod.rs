//! The doctor of `contextcore check`: sends back-dated canaries the way everything is sent, looks them up at their own time,
//! and names each setting that is wrong, with the line for the backend's configuration.
//!
//! [`examine`] is the whole; each backend has a file of its own. What can be wrong, and the lines, are
//! [`contextcore_dashboards::knowledge`]'s. Where a backend shows its configuration, that is read too: some settings show only
//! weeks later.

mod access;
mod grafana;
mod loki;
mod prometheus;
mod tempo;
mod yaml;

use contextcore_core::clock;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use contextcore_core::config::Config;
use contextcore_core::export::canary::Canary;
use contextcore_core::export::otlp::{self, Batch, OtlpTarget, Outcome, Signal};
use contextcore_core::http::service::Reply;
use contextcore_core::model::time::{DAY, Millis};
use contextcore_core::{Error, Result};
use contextcore_dashboards::knowledge::{Backend, Setting};
use serde::Serialize;

use crate::args::Doctor;

pub(crate) use access::Backends;

/// How old canaries are at most: within the reach of the configurations that are shipped.
const OLD: i64 = 300 * DAY;
/// What people look back over.
const YEAR: i64 = 365 * DAY;
/// How often a canary is looked for.
const AGAIN: Duration = Duration::from_millis(500);

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As it must be.
    Ok,
    /// Something has to be done.
    Wrong,
    /// It could not be told.
    Unknown,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) backend: &'static str,
    pub(crate) verdict: Verdict,
    /// What was looked at, and how it is.
    pub(crate) found: String,
    /// What to do.
    pub(crate) advice: Option<String>,
}

impl Finding {
    fn new(backend: Backend, verdict: Verdict, found: impl Into<String>, advice: Option<String>) -> Self {
        Self { backend: backend.as_str(), verdict, found: found.into(), advice }
    }

    fn ok(backend: Backend, found: impl Into<String>) -> Self {
        Self::new(backend, Verdict::Ok, found, None)
    }

    fn unknown(backend: Backend, found: impl Into<String>) -> Self {
        Self::new(backend, Verdict::Unknown, found, None)
    }

    fn wrong(setting: &Setting) -> Self {
        Self::new(setting.backend, Verdict::Wrong, setting.symptom, Some(setting.advice()))
    }

    fn failed(backend: Backend, error: &Error) -> Self {
        Self::new(backend, Verdict::Wrong, error.full(), None)
    }
}

/// What a doctor works with.
struct Practice<'a> {
    config: &'a Config,
    canary: Canary,
    now: Millis,
    wait: Duration,
}

impl Practice<'_> {
    /// Some time within the history that is sent, this long ago at most.
    fn ago(&self, at_most: i64) -> Millis {
        let within = |reach: i64| at_most.min(reach / 10 * 9);
        self.now.plus(-self.config.export.history.map_or(at_most, within))
    }

    /// Sends a batch, once. A refusal is told in the words of the backend.
    async fn send(&self, batch: &Batch) -> Result<(), String> {
        let signal = batch.signal();
        let target = OtlpTarget::of(&self.config.export.otlp, signal).map_err(|error| error.full())?;
        let Some(target) = target else { return Err(format!("{} are not sent (`signals`)", signal.as_str())) };
        let sink = otlp::connect(&target, signal).map_err(|error| error.full())?;
        match sink.export(batch).await.map_err(|error| error.full())? {
            Outcome::Partial { rejected: 1.., reason } => Err(reason),
            _ => Ok(()),
        }
    }

    /// Asks again and again, until there is something or the patience is at its end.
    async fn until<F: Future<Output = Result<bool>>>(&self, patience: Duration, ask: impl Fn() -> F) -> Result<bool> {
        let begun = Instant::now();
        loop {
            if ask().await? {
                return Ok(true);
            }
            if begun.elapsed() >= patience {
                return Ok(false);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Examines every backend that an address was given for.
pub(crate) async fn examine(config: &Config, doctor: &Doctor, backends: &Backends) -> Vec<Finding> {
    let now = clock::now();
    let practice =
        Practice { config, canary: Canary::new(now), now, wait: Duration::from_secs(doctor.wait.clamp(1, 3_600)) };
    let mut findings = Vec::new();
    if let Some(prometheus) = &backends.prometheus {
        findings.extend(told(prometheus.backend(), prometheus::examine(&practice, prometheus).await));
    }
    if let Some(loki) = &backends.loki {
        findings.extend(told(loki.backend(), loki::examine(&practice, loki).await));
    }
    if let Some(tempo) = &backends.tempo {
        findings.extend(told(tempo.backend(), tempo::examine(&practice, tempo).await));
    }
    if let Some(url) = &doctor.grafana_url {
        let ca_file = doctor.ca_file.as_deref().or(config.export.otlp.ca_file.as_deref());
        let found = grafana::examine(url, doctor.token_file.as_deref(), ca_file).await;
        findings.extend(told(Backend::Grafana, found));
    }
    // One setting may show in several ways.
    let mut known = BTreeSet::new();
    findings.retain(|finding| finding.verdict == Verdict::Ok || known.insert((finding.found.clone(), finding.backend)));
    findings
}

fn told(backend: Backend, findings: Result<Vec<Finding>>) -> Vec<Finding> {
    findings.unwrap_or_else(|error| vec![Finding::failed(backend, &error)])
}

/// Seconds, as the query APIs take a moment.
fn seconds(at: Millis) -> String {
    at.as_seconds().to_string()
}

/// Whether an answer refuses a range for being too long.
fn refuses_range(reply: &Reply) -> bool {
    let text = reply.body.to_ascii_lowercase();
    reply.status == 400 && ["exceed", "limit", "maximum"].iter().any(|word| text.contains(word))
}

/// A `(path, value)` of the configuration that a setting wants another value for.
fn compare(shown: Option<&str>, is_enough: impl Fn(&str) -> bool, setting: &Setting) -> Option<Finding> {
    shown.filter(|value| !is_enough(value)).map(|value| {
        let found = format!("{} (the setting is {value})", setting.symptom);
        Finding { found, ..Finding::wrong(setting) }
    })
}

/// Whether a signal is sent at all.
fn is_sent(config: &Config, signal: Signal) -> bool {
    config.export.otlp.targets.contains_key(&signal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contextcore_core::config;

    #[test]
    fn canaries_are_as_old_as_wished_within_the_history_that_is_sent() {
        for (history, days) in [("all", 300), ("400d", 300), ("10d", 9)] {
            let config = config::parse(&format!("export: {{history: {history}}}"), "x.yaml", &[]).unwrap();
            let now = Millis(1_795_000_000_000);
            let practice = Practice { config: &config, canary: Canary::new(now), now, wait: Duration::ZERO };
            assert_eq!(practice.ago(OLD), now.plus(-days * DAY), "{history}");
        }
    }
}
