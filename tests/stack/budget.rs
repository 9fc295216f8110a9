//! How long the dashboards take over a large portfolio: 200 projects with 20,000 open tasks, with a quarter of history, and samples every
//! minute of the last six hours, as of a `serve` that has been running that long. No query of a panel, an annotation or a variable
//! may take longer than a second.
//!
//! Start with [`large_portfolio`]. The world and all it leads to come from the product; only the last six hours are put into
//! Prometheus here ([`every_minute`]), because waiting for them would take six hours.

use contextcore_core::clock;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use contextcore_fakes::jira::{Jira, Options};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::json;

use crate::ask::Sample;
use crate::dashboards;
use crate::grafana::Dashboard;
use crate::product::Product;
use crate::sample_work;
use crate::servers::{self, Reference, Stack};

const PROJECTS: usize = 200;
const OPEN_EACH: usize = 100;
/// How long a query may take.
const BUDGET: Duration = Duration::from_secs(1);
/// How often each query is put; the median counts.
const TIMES: usize = 3;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// Fills the servers, puts every query of every dashboard, and says which took how long.
pub(crate) async fn large_portfolio(programs: &Reference) -> Result<()> {
    let began = Instant::now();
    let say = |text: &str| println!("{:>6.1} s  {text}", began.elapsed().as_secs_f64());
    let stack = Stack::start(programs).await?;
    let jira = Jira::start(sample_work::portfolio(clock::now().0, PROJECTS, OPEN_EACH), Options::cloud()).await?;
    say("the world is there");
    let product = Product::with_projects("large", jira.url(), "grpc", &stack.endpoints, &projects())?;
    let export = product.sync(&[]).await?;
    say(&format!("synced: {export:?}"));
    let tick = newest(&stack).await?;
    say(&format!("{} series, now with a sample every minute", every_minute(&stack, tick).await?));
    stack.tempo()?.flush().await?;
    let mut timings = Vec::new();
    let all = Dashboard::all(&servers::repository().join("dashboards"))?;
    let now = clock::now().0;
    for dashboard in &all {
        let view = dashboard.view(&stack, now, &[]).await?;
        if view.uid() == dashboards::PORTFOLIO {
            let rows = view.column(10, "A", "project_id").await?.len();
            ensure!(rows == PROJECTS, "the health matrix shows {rows} projects");
        }
        let queries = view.queries()?;
        ensure!(queries.len() == view.asking_targets(), "{}: not every query was found", view.uid());
        for query in queries {
            let took = timed(|| view.ask(&query)).await.with_context(|| query.name())?;
            timings.push((took, format!("{}, {}", view.uid(), query.name())));
        }
        for variable in view.asking_variables() {
            let name = format!("{}, variable {}: {}", view.uid(), variable["name"], variable["query"]["query"]);
            timings.push((timed(|| view.options(variable)).await.with_context(|| name.clone())?, name));
        }
    }
    say(&format!("{} queries", timings.len()));
    verdict(timings)
}

/// The configuration of the portfolio: owners and criticalities to choose by.
fn projects() -> serde_json::Value {
    let criticalities = ["critical", "high", "medium", "low"];
    let project = |n: usize| {
        let include = [json!({"source": "large", "project": sample_work::portfolio_key(n)})];
        let (owner, criticality) = (format!("Team {}", n % 12), criticalities[n % 4]);
        json!({"id": format!("project-{n:03}"), "name": format!("Project {n}"), "owner": owner, "criticality": criticality, "include": include})
    };
    (0..PROJECTS).map(project).collect()
}

/// The moment of the run, once all projects have samples.
async fn newest(stack: &Stack) -> Result<i64> {
    let samples = stack.prometheus.instant("timestamp(task_wip)", clock::now().0).await?;
    ensure!(samples.len() == PROJECTS, "{} projects have samples", samples.len());
    let newest = samples.iter().map(|sample| (sample.value * 1_000.0).round() as i64).max();
    newest.context("no project has a sample")
}

/// Sends every series of now for every minute of six hours; returns their number.
async fn every_minute(stack: &Stack, tick: i64) -> Result<usize> {
    let now = stack.prometheus.instant("{project_id!=\"\", __name__!=\"target_info\"}", tick).await?;
    let mut by_project: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in &now {
        by_project.entry(sample.get("project_id")).or_default().push(sample);
    }
    for series in by_project.values() {
        for hour in (1..=6).rev() {
            let minutes: Vec<i64> = (0..60).map(|minute| tick - hour * HOUR + minute * MINUTE).collect();
            stack.prometheus.send(&request(series, &minutes)).await?;
        }
    }
    let points = stack.prometheus.instant("count_over_time(task_wip[6h])", tick).await?;
    let whole = points.len() == PROJECTS && points.iter().all(|sample| sample.value >= 360.0);
    ensure!(whole, "these are not the series that were there: {points:?}");
    Ok(now.len())
}

/// Samples as they would have been sent at some moments. Prometheus makes labels of these attributes of the resource.
fn request(series: &[&Sample], moments: &[i64]) -> ExportMetricsServiceRequest {
    let promoted =
        [("service_namespace", "service.namespace"), ("project_id", "project.id"), ("project_name", "project.name")];
    let of_resource = |name: &str| name == "job" || promoted.iter().any(|(label, _)| *label == name);
    let first = series.first().map(|sample| &sample.labels);
    let mut attributes = vec![attribute("service.name", "contextcore")];
    attributes.extend(promoted.iter().filter_map(|(label, name)| Some(attribute(name, first?.get(*label)?))));
    let metrics = series.iter().map(|sample| {
        let own = sample.labels.iter().filter(|(name, _)| *name != "__name__" && !of_resource(name));
        let own: Vec<KeyValue> = own.map(|(name, value)| attribute(name, value)).collect();
        let data_points = moments.iter().map(|at| NumberDataPoint {
            attributes: own.clone(),
            time_unix_nano: at.unsigned_abs() * 1_000_000,
            value: Some(Number::AsDouble(sample.value)),
            ..NumberDataPoint::default()
        });
        let data = Some(Data::Gauge(Gauge { data_points: data_points.collect() }));
        Metric { name: sample.get("__name__").to_owned(), data, ..Metric::default() }
    });
    let scope_metrics = vec![ScopeMetrics { metrics: metrics.collect(), ..ScopeMetrics::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }],
    }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Any::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// The median of some tries.
async fn timed<T>(ask: impl AsyncFn() -> Result<T>) -> Result<Duration> {
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        ask().await?;
        took.push(began.elapsed());
    }
    took.sort();
    Ok(took[TIMES / 2])
}

/// Says the slowest, and fails for those over the budget.
fn verdict(mut timings: Vec<(Duration, String)>) -> Result<()> {
    timings.sort();
    timings.reverse();
    for (took, query) in timings.iter().take(20) {
        println!("{:>8.3} s  {}", took.as_secs_f64(), query.chars().take(160).collect::<String>());
    }
    let over: Vec<&str> = timings.iter().filter(|(took, _)| *took > BUDGET).map(|(_, query)| query.as_str()).collect();
    ensure!(over.is_empty(), "{} queries take longer than {BUDGET:?}:\n{}", over.len(), over.join("\n"));
    Ok(())
}
