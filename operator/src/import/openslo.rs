//! OpenSLO: `openslo/v1`, and `openslo/v1alpha`, where an objective carries its own metrics.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Objective, Read, Source, owner, query};

/// What documents refer to by name.
pub(super) struct Shared<'a> {
    services: BTreeMap<&'a str, &'a Value>,
    indicators: BTreeMap<&'a str, &'a Value>,
    data_sources: BTreeMap<&'a str, &'a Value>,
}

/// A field, and what is wrong with it.
type Problem = (String, String);

impl<'a> Shared<'a> {
    pub(super) fn new(sources: &'a [Source]) -> Self {
        let of = |kind: &str| {
            let of_kind = sources.iter().map(|source| &source.value).filter(|value| value["kind"] == kind);
            of_kind.filter_map(|value| Some((value["metadata"]["name"].as_str()?, value))).collect()
        };
        Self { services: of("Service"), indicators: of("SLI"), data_sources: of("DataSource") }
    }
}

pub(super) fn read(source: &Source, shared: &Shared) -> Read {
    let mut read = Read::default();
    if source.value["kind"] != "SLO" {
        return read;
    }
    match objectives(source, shared) {
        Ok(objectives) => read.objectives = objectives,
        Err((path, message)) => read.problems.push(source.line(&path, &message)),
    }
    if source.value["spec"]["alertPolicies"].as_array().is_some_and(|policies| !policies.is_empty()) {
        let message = "is not imported: the alerts of a context follow from its criticality";
        read.notes.push(source.line("spec.alertPolicies", message));
    }
    read
}

fn objectives(source: &Source, shared: &Shared) -> Result<Vec<Objective>, Problem> {
    let problem = |path: &str, message: &str| (path.to_owned(), message.to_owned());
    let spec = &source.value["spec"];
    let metadata = &source.value["metadata"];
    let name = metadata["name"].as_str().ok_or_else(|| problem("metadata.name", "is missing: name the objective"))?;
    let service = spec["service"].as_str().ok_or_else(|| problem("spec.service", "is missing: name the service"))?;
    if let Some(method) = spec["budgetingMethod"].as_str().filter(|method| *method != "Occurrences") {
        let message = format!("{method} counts time slices, and a context counts requests: write Occurrences");
        return Err(("spec.budgetingMethod".to_owned(), message));
    }
    let window = window(spec)?;
    let about = shared.services.get(service).copied().unwrap_or(&Value::Null);
    let list = spec["objectives"].as_array().filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| problem("spec.objectives", "is empty: nothing can be imported"))?;
    let one = |(index, objective): (usize, &Value)| {
        let path = format!("spec.objectives[{index}]");
        let percent = percent(objective)
            .ok_or_else(|| problem(&path, "needs a `target` between 0 and 1, or `targetPercent` between 0 and 100"))?;
        let (errors, total) = queries(spec, objective, &path, shared)?;
        Ok(Objective {
            file: source.file.clone(),
            line: source.lines.of(&path),
            namespace: metadata["namespace"].as_str().map(str::to_owned),
            service: service.to_owned(),
            title: about["metadata"]["displayName"].as_str().map(str::to_owned),
            name: if list.len() == 1 { name.to_owned() } else { format!("{name}-{}", index + 1) },
            owner: owner(&metadata["labels"]).or_else(|| owner(&about["metadata"]["labels"])),
            percent,
            window,
            errors,
            total,
            runbook: None,
        })
    };
    list.iter().enumerate().map(one).collect()
}

fn percent(objective: &Value) -> Option<f64> {
    let ratio = objective["target"].as_f64().filter(|target| (0.0..=1.0).contains(target)).map(|target| target * 100.0);
    ratio.or_else(|| objective["targetPercent"].as_f64())
}

/// The period, where contexts have it.
fn window(spec: &Value) -> Result<&'static str, Problem> {
    let (field, window) = if spec["timeWindows"].is_array() {
        ("timeWindows", &spec["timeWindows"][0])
    } else {
        ("timeWindow", &spec["timeWindow"][0])
    };
    if window.is_null() {
        return Ok("30d");
    }
    let wrong = |message: &str| Err((format!("spec.{field}"), message.to_owned()));
    if window["isRolling"] == false || window["calendar"].is_object() {
        return wrong(
            "follows the calendar, and objectives of a context are over the last days: write `isRolling: true`",
        );
    }
    let unit = |unit: &str| unit.chars().next().map(|first| first.to_ascii_lowercase()).unwrap_or_default();
    let duration = match (window["duration"].as_str(), window["count"].as_u64(), window["unit"].as_str()) {
        (Some(duration), _, _) => duration.to_owned(),
        (None, Some(count), Some(name)) => format!("{count}{}", unit(name)),
        _ => String::new(),
    };
    match duration.as_str() {
        "30d" | "1M" | "1m" => Ok("30d"),
        "28d" | "4w" => Ok("28d"),
        "7d" | "1w" => Ok("7d"),
        _ => wrong("is none of 7d, 28d and 30d: write one of them"),
    }
}

/// The queries of failed and of all requests.
fn queries(spec: &Value, objective: &Value, path: &str, shared: &Shared) -> Result<(String, String), Problem> {
    let (at, ratio) = match &objective["ratioMetrics"] {
        Value::Null => ratio_of_indicator(spec, shared)?,
        of_objective => (format!("{path}.ratioMetrics"), of_objective),
    };
    let wrong = |message: String| (at.clone(), message);
    if !ratio["raw"].is_null() {
        let message =
            "has a ratio alone, and alerts need to know how many events were bad: write `bad` (or `good`) and `total`";
        return Err(wrong(message.to_owned()));
    }
    let is_counter = ratio["counter"] != false && ratio["incremental"] != false;
    let query = |name: &str| {
        let metric = &ratio[name];
        if metric.is_null() {
            return Ok::<_, Problem>(None);
        }
        let text = text_of(metric, shared).map_err(|message| wrong(format!("`{name}` {message}")))?;
        let query = query::over_window(text, is_counter).map_err(|message| wrong(format!("`{name}` {message}")))?;
        Ok(Some(query))
    };
    let total = query("total")?.ok_or_else(|| wrong("needs `total`".to_owned()))?;
    let errors = match (query("bad")?, query("good")?) {
        (Some(bad), _) => bad,
        (None, Some(good)) => query::remainder(&total, &good),
        (None, None) => return Err(wrong("needs `bad` or `good`".to_owned())),
    };
    Ok((errors, total))
}

fn ratio_of_indicator<'a>(spec: &'a Value, shared: &'a Shared) -> Result<(String, &'a Value), Problem> {
    let (at, indicator) = match spec["indicatorRef"].as_str() {
        Some(name) => {
            let message = || format!("{name} is in none of the files: add the file with that SLI");
            let found = shared.indicators.get(name).ok_or_else(|| ("spec.indicatorRef".to_owned(), message()))?;
            ("spec.indicatorRef", *found)
        }
        None => ("spec.indicator", &spec["indicator"]),
    };
    let ratio = &indicator["spec"]["ratioMetric"];
    if ratio.is_null() {
        let message = "has no `ratioMetric`: a threshold of one metric does not say how many requests were bad";
        return Err((at.to_owned(), message.to_owned()));
    }
    Ok((at.to_owned(), ratio))
}

/// The query of a metric: `metricSource.spec.query` in v1, `query` in v1alpha.
fn text_of<'a>(metric: &'a Value, shared: &Shared) -> Result<&'a str, String> {
    let source = &metric["metricSource"];
    let referred = source["metricSourceRef"].as_str().and_then(|name| shared.data_sources.get(name));
    let named = [&source["type"], &metric["source"]].into_iter().find_map(Value::as_str);
    let kind = named.or_else(|| referred?["spec"]["type"].as_str());
    if let Some(other) = kind.filter(|kind| !kind.eq_ignore_ascii_case("prometheus")) {
        return Err(format!("is of {other}: only queries of Prometheus can be imported"));
    }
    let text = source["spec"]["query"].as_str().or_else(|| metric["query"].as_str());
    text.ok_or_else(|| "has no `query`".to_owned())
}
