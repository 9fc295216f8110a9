//! Requirements as objectives: what may be bad, out of what.

use super::refusal::Refusal;
use super::sli::{Sli, Threshold};
use super::subject::Subject;
use crate::resource::{Requirements, SloStatus, Window};
use crate::settings::{Prometheus, Settings};
use crate::units;

/// The objectives of a context and how they are measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objectives {
    /// `None`: the context requires nothing.
    pub(crate) sli: Option<Sli>,
    pub(crate) slos: Vec<Slo>,
    /// Requests per second to expect.
    pub(crate) throughput: Option<f64>,
    pub(crate) window: Window,
    pub(crate) min_bad_events: u32,
    pub(crate) notes: Vec<String>,
}

/// One objective.
#[derive(Clone, Debug)]
pub(crate) struct Slo {
    /// `availability`, `latency_p99`.
    pub(crate) name: &'static str,
    /// As a person writes it, in percent.
    pub(crate) objective: String,
    /// Share of requests that may be bad.
    pub(crate) budget: f64,
    /// Which requests are bad.
    pub(crate) bad: Bad,
}

/// Which requests are bad.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bad {
    /// Those that failed.
    Failed,
    /// Those that took longer.
    Slow {
        /// As the person wrote it.
        limit: String,
        /// Where the query draws the line.
        threshold: Threshold,
    },
}

/// # Errors
/// `InvalidSLI` when a requirement cannot be measured.
pub(crate) fn objectives(subject: &Subject, settings: &Settings) -> Result<Objectives, Refusal> {
    let Some(required) = subject.requirements() else { return Ok(Objectives::default()) };
    let invalid = |message: String| Refusal::new("InvalidSLI", message);
    let sli = Sli::new(subject).map_err(invalid)?;
    let mut found = Objectives {
        window: required.window,
        min_bad_events: required.min_bad_events,
        throughput: throughput(required).map_err(invalid)?,
        ..Objectives::default()
    };
    found.slos.extend(availability(required, &sli).map_err(invalid)?);
    for (name, field, percent, limit) in percentiles(required) {
        let slo = latency(name, percent, limit, &sli, &settings.prometheus, &mut found.notes);
        found.slos.push(slo.map_err(|message| invalid(format!("spec.requirements.{field} {message}")))?);
    }
    found.sli = Some(sli);
    Ok(found)
}

fn availability(required: &Requirements, sli: &Sli) -> Result<Option<Slo>, String> {
    let (field, text) = match (&required.availability, &required.error_rate) {
        (Some(text), _) => ("availability", text),
        (None, Some(text)) => ("errorRate", text),
        (None, None) => return Ok(None),
    };
    let percent = units::percent(text).ok_or_else(|| {
        format!("spec.requirements.{field}: {text} is not a percentage between 0 and 100, both excluded")
    })?;
    if sli.failed("5m").is_none() {
        return Err(format!("spec.requirements.{field} needs spec.requirements.sli.errors in profile custom"));
    }
    let bad = if field == "availability" { 100.0 - percent } else { percent };
    let objective = units::number(100.0 - bad);
    Ok(Some(Slo { name: "availability", objective, budget: bad / 100.0, bad: Bad::Failed }))
}

/// Name of the objective, field, percentile and limit of each that is required.
fn percentiles(required: &Requirements) -> impl Iterator<Item = (&'static str, &'static str, u8, &String)> {
    let all = [
        ("latency_p50", "latencyP50", 50, &required.latency_p50),
        ("latency_p90", "latencyP90", 90, &required.latency_p90),
        ("latency_p95", "latencyP95", 95, &required.latency_p95),
        ("latency_p99", "latencyP99", 99, &required.latency_p99),
    ];
    all.into_iter().filter_map(|(name, field, percent, limit)| Some((name, field, percent, limit.as_ref()?)))
}

fn latency(
    name: &'static str,
    percent: u8,
    limit: &str,
    sli: &Sli,
    prometheus: &Prometheus,
    notes: &mut Vec<String>,
) -> Result<Slo, String> {
    let seconds =
        units::seconds(limit).ok_or_else(|| format!("is not a duration: {limit}: write one such as 200ms"))?;
    let threshold = sli.threshold(seconds, prometheus)?;
    if sli.slow(&threshold, "5m").is_none() {
        return Err("needs spec.requirements.sli.latency in profile custom".to_owned());
    }
    if let Threshold::Boundary(at) = threshold {
        notes.push(format!("{name}: measured at {}s, the boundary below {limit}", units::number(at)));
    }
    let bad = Bad::Slow { limit: limit.to_owned(), threshold };
    Ok(Slo { name, objective: percent.to_string(), budget: f64::from(100 - percent) / 100.0, bad })
}

fn throughput(required: &Requirements) -> Result<Option<f64>, String> {
    let Some(text) = &required.throughput else { return Ok(None) };
    let read = units::per_second(text);
    read.map(Some)
        .ok_or_else(|| format!("spec.requirements.throughput: {text} is no traffic: write one such as 100rps"))
}

impl Slo {
    /// Requests that count, per second.
    pub(crate) fn total(&self, sli: &Sli, window: &str) -> String {
        match self.bad {
            Bad::Failed => sli.total(window),
            Bad::Slow { .. } => sli.timed(window).unwrap_or_default(),
        }
    }

    /// Bad requests, per second.
    pub(crate) fn bad(&self, sli: &Sli, window: &str) -> String {
        let query = match &self.bad {
            Bad::Failed => sli.failed(window),
            Bad::Slow { threshold, .. } => sli.slow(threshold, window),
        };
        query.unwrap_or_default()
    }

    /// As status shows it.
    pub(crate) fn status(&self, window: Window, sli: &str) -> SloStatus {
        SloStatus {
            name: self.name.to_owned(),
            objective: self.objective.clone(),
            window: window.to_string(),
            error_budget: units::number(self.budget * 100.0),
            sli: sli.to_owned(),
        }
    }
}
