//! Whether Prometheus has the numbers that the rules of a context read: condition `SLIResolved`.

use super::outside::{Outside, Sample};
use super::results::Verdict;
use crate::derive::Probe;
use crate::units;

/// How many names a message lists.
const SHOWN: usize = 10;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The context requires nothing.
    NothingToFind,
    /// The series are there, with words to them.
    SeriesFound(String),
    /// There are none.
    NoSeries(String),
    /// The histograms cannot say how many requests were slower.
    NoBucketAtThreshold(String),
    /// Prometheus did not answer.
    Unknown(String),
}

impl Finding {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::NothingToFind => {
                Verdict::new("Unknown", "NotChecked", "nothing is required, so no series are needed")
            }
            Self::SeriesFound(message) => Verdict::new("True", "SeriesFound", message.clone()),
            Self::NoSeries(message) => Verdict::new("False", "NoSeries", message.clone()),
            Self::NoBucketAtThreshold(message) => Verdict::new("False", "NoBucketAtThreshold", message.clone()),
            Self::Unknown(message) => Verdict::new("Unknown", "NotChecked", message.clone()),
        }
    }
}

/// Asks Prometheus.
pub(crate) async fn find(probe: &Probe, url: &str, outside: &dyn Outside) -> Finding {
    match ask(probe, url, outside).await {
        Ok(finding) => finding,
        Err(message) => Finding::Unknown(format!("Prometheus at {url} was not asked: {message}")),
    }
}

async fn ask(probe: &Probe, url: &str, outside: &dyn Outside) -> Result<Finding, String> {
    let series = outside.query(url, &probe.series).await?;
    if series.iter().all(|sample| sample.value <= 0.0) {
        let others = match &probe.others {
            Some((label, query)) => names(label, &outside.query(url, query).await?),
            None => Vec::new(),
        };
        return Ok(Finding::NoSeries(no_series(probe, &others)));
    }
    let boundaries = match &probe.boundaries {
        Some(query) => finite(&outside.query(url, query).await?),
        None => Vec::new(),
    };
    Ok(within(probe, &boundaries))
}

fn names(label: &str, samples: &[Sample]) -> Vec<String> {
    let mut names: Vec<String> = samples.iter().filter_map(|sample| sample.labels.get(label)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// Finite boundaries, ascending.
fn finite(samples: &[Sample]) -> Vec<f64> {
    let read = |sample: &Sample| sample.labels.get("le")?.parse::<f64>().ok().filter(|at| at.is_finite());
    let mut found: Vec<f64> = samples.iter().filter_map(read).collect();
    found.sort_by(f64::total_cmp);
    found.dedup();
    found
}

fn no_series(probe: &Probe, others: &[String]) -> String {
    let query = probe.series.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((label, _)) = &probe.others else {
        return format!("nothing is found by {query}: correct spec.requirements.sli");
    };
    if others.is_empty() {
        return format!(
            "nothing is found by {query}, and the metric has no series at all: is the service instrumented, and another \
             spec.requirements.sli.profile right?"
        );
    }
    let mut shown = others.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if others.len() > SHOWN {
        shown.push_str(&format!(" and {} more", others.len() - SHOWN));
    }
    format!(
        "nothing is found by {query}. Found with label {label}: {shown}. Set spec.targets[].service, or \
         spec.requirements.sli.matchers"
    )
}

/// Whether the histograms have boundaries on both sides of each time.
fn within(probe: &Probe, boundaries: &[f64]) -> Finding {
    let (Some(first), Some(last)) = (boundaries.first(), boundaries.last()) else {
        return Finding::SeriesFound(String::new());
    };
    let mut notes = Vec::new();
    for limit in &probe.limits {
        let below = boundaries.iter().rev().find(|at| **at <= limit.at);
        let above = boundaries.iter().find(|at| **at >= limit.at);
        let number = |at: &f64| units::number(*at);
        match (below, above) {
            (Some(below), Some(above)) if below == above => {}
            (Some(below), Some(above)) => {
                notes.push(format!(
                    "{}: {} lies between {} and {}, so it is interpolated",
                    limit.slo,
                    limit.text,
                    number(below),
                    number(above)
                ));
            }
            (None, _) => {
                return Finding::NoBucketAtThreshold(format!(
                    "{}: {} is {} here, below the first boundary {}: are the durations in other units, or the boundaries \
                     too wide?",
                    limit.slo,
                    limit.text,
                    number(&limit.at),
                    number(first)
                ));
            }
            (Some(_), None) => {
                return Finding::NoBucketAtThreshold(format!(
                    "{}: {} is {} here, above the last boundary {}, so that every request counts as slow: add a boundary \
                     in the service, or require less",
                    limit.slo,
                    limit.text,
                    number(&limit.at),
                    number(last)
                ));
            }
        }
    }
    Finding::SeriesFound(notes.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::Limit;

    fn probe(at: f64) -> Probe {
        Probe {
            series: "count(x)".into(),
            others: Some(("job", "count by (job) (x)".into())),
            boundaries: Some("count by (le) (x)".into()),
            limits: vec![Limit { slo: "latency_p99", text: "200ms".into(), at }],
        }
    }

    #[test]
    fn a_time_must_lie_within_the_boundaries() {
        let seconds = [0.05, 0.1, 0.25, 1.0];
        assert_eq!(within(&probe(0.1), &seconds), Finding::SeriesFound(String::new()));
        let Finding::SeriesFound(note) = within(&probe(0.2), &seconds) else { panic!() };
        assert!(note.contains("between 0.1 and 0.25"), "{note}");
        let Finding::NoBucketAtThreshold(message) = within(&probe(2.0), &seconds) else { panic!() };
        assert!(message.contains("above the last boundary 1"), "{message}");
        // Boundaries in milliseconds.
        let Finding::NoBucketAtThreshold(message) = within(&probe(0.2), &[5.0, 10.0, 10000.0]) else { panic!() };
        assert!(message.contains("below the first boundary 5"), "{message}");
    }

    #[test]
    fn what_is_not_found_names_what_is_there() {
        let many: Vec<String> = (0..12).map(|at| format!("shop/s{at}")).collect();
        let message = no_series(&probe(1.0), &many);
        assert!(message.contains("shop/s0, shop/s1") && message.contains("and 2 more"), "{message}");
        assert!(no_series(&probe(1.0), &[]).contains("instrumented"));
    }
}
