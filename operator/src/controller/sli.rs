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
    for (what, query) in &probe.further {
        if !outside.query(url, query).await?.iter().any(|sample| sample.value > 0.0) {
            return Ok(Finding::NoSeries(nothing(what, query)));
        }
    }
    let mut notes = Vec::new();
    if let Some(failures) = &probe.failures {
        match find_failures(failures, url, outside).await? {
            Ok(note) => notes.extend(note),
            Err(message) => return Ok(Finding::NoSeries(message)),
        }
    }
    let Some(query) = &probe.boundaries else { return Ok(Finding::SeriesFound(notes.join("; "))) };
    let found = outside.query(url, query).await?;
    if found.is_empty() {
        return Ok(Finding::NoSeries(nothing("the latency", query)));
    }
    Ok(within(probe, &finite(&found), notes))
}

/// Whether the failures can be counted, with a note when there were none; else what is missing. A counter of failures may be there
/// only from the first one on, and a service without failures is well.
async fn find_failures(
    (query, metrics): &(String, Option<String>),
    url: &str,
    outside: &dyn Outside,
) -> Result<Result<Option<String>, String>, String> {
    let is_found = |samples: &[Sample]| samples.iter().any(|sample| sample.value > 0.0);
    if is_found(&outside.query(url, query).await?) {
        return Ok(Ok(None));
    }
    if let Some(metrics) = metrics
        && !is_found(&outside.query(url, metrics).await?)
    {
        return Ok(Err(nothing("spec.requirements.sli.errors", query)));
    }
    Ok(Ok(Some(format!("no failures so far by {}", one_line(query)))))
}

fn one_line(query: &str) -> String {
    query.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn nothing(what: &str, query: &str) -> String {
    format!("{what} has no numbers, nothing is found by {}: correct spec.requirements.sli", one_line(query))
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
    let query = one_line(&probe.series);
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
fn within(probe: &Probe, boundaries: &[f64], mut notes: Vec<String>) -> Finding {
    let (Some(first), Some(last)) = (boundaries.first(), boundaries.last()) else {
        let message =
            "the histograms have no finite boundary, so that every request counts as slow: add some in the service";
        return Finding::NoBucketAtThreshold(message.to_owned());
    };
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
            further: Vec::new(),
            failures: None,
            others: Some(("job", "count by (job) (x)".into())),
            boundaries: Some("count by (le) (x)".into()),
            limits: vec![Limit { slo: "latency_p99", text: "200ms".into(), at }],
        }
    }

    #[test]
    fn a_time_must_lie_within_the_boundaries() {
        let seconds = [0.05, 0.1, 0.25, 1.0];
        assert_eq!(within(&probe(0.1), &seconds, Vec::new()), Finding::SeriesFound(String::new()));
        let Finding::SeriesFound(note) = within(&probe(0.2), &seconds, Vec::new()) else { panic!() };
        assert!(note.contains("between 0.1 and 0.25"), "{note}");
        let Finding::NoBucketAtThreshold(message) = within(&probe(2.0), &seconds, Vec::new()) else { panic!() };
        assert!(message.contains("above the last boundary 1"), "{message}");
        // Boundaries in milliseconds.
        let Finding::NoBucketAtThreshold(message) = within(&probe(0.2), &[5.0, 10.0, 10000.0], Vec::new()) else {
            panic!()
        };
        assert!(message.contains("below the first boundary 5"), "{message}");
    }

    /// A Prometheus that finds these queries, and the boundaries of `le`.
    struct Found(&'static [&'static str], &'static [&'static str]);

    #[async_trait::async_trait]
    impl Outside for Found {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }

        async fn query(&self, _url: &str, promql: &str) -> Result<Vec<Sample>, String> {
            let sample = |le: &str| Sample { labels: [("le".to_owned(), le.to_owned())].into(), value: 1.0 };
            if promql.starts_with("count by (le)") {
                return Ok(self.1.iter().map(|le| sample(le)).collect());
            }
            Ok(self.0.contains(&promql).then(|| sample("")).into_iter().collect())
        }

        async fn record(&self, _changes: Vec<crate::controller::ContextChange>) {}

        async fn provision(
            &self,
            _dashboards: &[crate::grafana::ServiceDashboard],
            _settings: &crate::settings::Settings,
        ) -> Option<Result<Vec<crate::grafana::Left>, crate::grafana::ProvisionError>> {
            None
        }
    }

    async fn message(probe: &Probe, found: Found) -> (&'static str, String) {
        let verdict = find(probe, "http://p", &found).await.verdict();
        (verdict.reason, verdict.message)
    }

    #[tokio::test]
    async fn numbers_of_latencies_that_are_not_there_are_missed() {
        let (reason, text) = message(&probe(0.1), Found(&["count(x)"], &[])).await;
        assert!(reason == "NoSeries" && text.contains("count by (le) (x)"), "{text}");
        let (reason, text) = message(&probe(0.1), Found(&["count(x)"], &["+Inf"])).await;
        assert!(reason == "NoBucketAtThreshold" && text.contains("no finite boundary"), "{text}");
        assert_eq!(message(&probe(0.1), Found(&["count(x)"], &["0.1", "+Inf"])).await.0, "SeriesFound");
        let native = Probe { boundaries: None, further: vec![("the latency", "count(d)".into())], ..probe(0.1) };
        let (reason, text) = message(&native, Found(&["count(x)"], &[])).await;
        assert!(reason == "NoSeries" && text.contains("count(d)"), "{text}");
        assert_eq!(message(&native, Found(&["count(x)", "count(d)"], &[])).await.0, "SeriesFound");
    }

    #[tokio::test]
    async fn failures_are_missed_when_their_metric_is_not_there() {
        let failures = Some(("count(e{r=\"f\"})".to_owned(), Some("count(e)".to_owned())));
        let probe = Probe { boundaries: None, limits: Vec::new(), failures, ..probe(0.1) };
        let (reason, text) = message(&probe, Found(&["count(x)"], &[])).await;
        assert!(reason == "NoSeries" && text.contains("sli.errors") && text.contains("count(e{r="), "{text}");
        let (reason, text) = message(&probe, Found(&["count(x)", "count(e)"], &[])).await;
        assert!(reason == "SeriesFound" && text.contains("no failures so far"), "{text}");
        let all = Found(&["count(x)", "count(e)", "count(e{r=\"f\"})"], &[]);
        assert_eq!(message(&probe, all).await, ("SeriesFound", String::new()));
    }

    #[test]
    fn what_is_not_found_names_what_is_there() {
        let many: Vec<String> = (0..12).map(|at| format!("shop/s{at}")).collect();
        let message = no_series(&probe(1.0), &many);
        assert!(message.contains("shop/s0, shop/s1") && message.contains("and 2 more"), "{message}");
        assert!(no_series(&probe(1.0), &[]).contains("instrumented"));
    }
}
