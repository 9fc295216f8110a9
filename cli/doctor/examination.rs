//! What every examination of a backend shares: the canary, sending it, waiting until it is found, and [`Finding`]s.

use std::time::{Duration, Instant};

use contextcore_core::config::Config;
use contextcore_core::export::canary::Canary;
use contextcore_core::export::otlp::{self, Batch, OtlpTarget, Outcome, Signal};
use contextcore_core::http::service::Reply;
use contextcore_core::model::time::{DAY, Millis};
use contextcore_core::{Error, Result};
use contextcore_dashboards::knowledge::{Backend, Setting};
use serde::Serialize;

/// The largest age of a canary, within what the shipped configurations accept.
pub(super) const OLD: i64 = 300 * DAY;
/// How far back people query.
pub(super) const YEAR: i64 = 365 * DAY;
/// How often a canary is looked up.
const AGAIN: Duration = Duration::from_millis(500);

/// The result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As required.
    Ok,
    /// Something must be changed.
    Wrong,
    /// The backend does not show it.
    Unknown,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) backend: &'static str,
    pub(crate) verdict: Verdict,
    /// What was checked, and its state.
    pub(crate) found: String,
    /// What to do.
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(super) fn new(backend: Backend, verdict: Verdict, found: impl Into<String>, advice: Option<String>) -> Self {
        Self { backend: backend.as_str(), verdict, found: found.into(), advice }
    }

    pub(super) fn ok(backend: Backend, found: impl Into<String>) -> Self {
        Self::new(backend, Verdict::Ok, found, None)
    }

    pub(super) fn unknown(backend: Backend, found: impl Into<String>) -> Self {
        Self::new(backend, Verdict::Unknown, found, None)
    }

    pub(super) fn wrong(setting: &Setting) -> Self {
        Self::new(setting.backend, Verdict::Wrong, setting.symptom, Some(setting.advice()))
    }

    /// The address leads to something else.
    pub(super) fn stranger(backend: Backend, found: String) -> Self {
        let advice = format!("give the address that Grafana's data source for {} has, with its path", backend.as_str());
        Self::new(backend, Verdict::Wrong, found, Some(advice))
    }

    pub(super) fn failed(backend: Backend, error: &Error) -> Self {
        Self::new(backend, Verdict::Wrong, error.full(), None)
    }
}

/// One run of the doctor.
pub(super) struct Examination<'a> {
    pub(super) config: &'a Config,
    pub(super) canary: Canary,
    pub(super) now: Millis,
    pub(super) wait: Duration,
}

impl Examination<'_> {
    /// A moment at most this long ago, within the exported history.
    pub(super) fn ago(&self, at_most: i64) -> Millis {
        let within = |reach: i64| at_most.min(reach / 10 * 9);
        self.now.plus(-self.config.export.history.map_or(at_most, within))
    }

    /// Sends a batch once. The error is the message of the backend.
    pub(super) async fn send(&self, batch: &Batch) -> Result<(), String> {
        let signal = batch.signal();
        let target = OtlpTarget::of(&self.config.export.otlp, signal).map_err(|error| error.full())?;
        let Some(target) = target else { return Err(format!("{} are not sent (`signals`)", signal.as_str())) };
        let sink = otlp::connect(&target, signal).map_err(|error| error.full())?;
        match sink.export(batch).await.map_err(|error| error.full())? {
            Outcome::Partial { rejected: 1.., reason } => Err(reason),
            _ => Ok(()),
        }
    }

    /// Asks until the answer is yes or `limit` has passed.
    pub(super) async fn until<F: Future<Output = Result<bool>>>(
        &self,
        limit: Duration,
        ask: impl Fn() -> F,
    ) -> Result<bool> {
        let begun = Instant::now();
        loop {
            if ask().await? {
                return Ok(true);
            }
            if begun.elapsed() >= limit {
                return Ok(false);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// A moment in seconds, as the query APIs take it.
pub(super) fn seconds(at: Millis) -> String {
    at.as_seconds().to_string()
}

/// Whether an answer has a query's result, as Prometheus and Loki give it.
pub(super) fn is_result(reply: &Reply) -> bool {
    reply.is_success() && reply.json()["data"]["result"].is_array()
}

/// That another program than the backend answered, and what it answered.
pub(super) fn is_not(backend: Backend, path: &str, reply: &Reply) -> String {
    let answer = match reply.message() {
        message if message.is_empty() => reply.status.to_string(),
        message => format!("{}: {message}", reply.status),
    };
    format!("this is not {}: {path} answered {answer}", backend.as_str())
}

/// Whether an answer refuses a time range because it is too long.
pub(super) fn refuses_range(reply: &Reply) -> bool {
    let text = reply.body.to_ascii_lowercase();
    reply.status == 400 && ["exceed", "limit", "maximum"].iter().any(|word| text.contains(word))
}

/// The finding for a setting whose shown value is not enough; `None` when it is enough or not shown.
pub(super) fn compare(shown: Option<&str>, is_enough: impl Fn(&str) -> bool, setting: &Setting) -> Option<Finding> {
    shown.filter(|value| !is_enough(value)).map(|value| {
        let found = format!("{} (the setting is {value})", setting.symptom);
        Finding { found, ..Finding::wrong(setting) }
    })
}

/// Whether a signal is exported at all.
pub(super) fn is_sent(config: &Config, signal: Signal) -> bool {
    config.export.otlp.targets.contains_key(&signal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contextcore_core::config;

    #[test]
    fn canaries_are_as_old_as_requested_within_the_exported_history() {
        for (history, days) in [("all", 300), ("400d", 300), ("10d", 9)] {
            let config = config::parse(&format!("export: {{history: {history}}}"), "x.yaml", &[]).unwrap();
            let now = Millis(1_795_000_000_000);
            let examination = Examination { config: &config, canary: Canary::new(now), now, wait: Duration::ZERO };
            assert_eq!(examination.ago(OLD), now.plus(-days * DAY), "{history}");
        }
    }
}
