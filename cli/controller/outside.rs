//! What the controller asks of others than the API server: the time, Prometheus, and the OTLP backend for the audit.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contextcore_core::export::otlp::{self, OtlpTarget};
use contextcore_core::http::Auth;
use contextcore_core::http::service::Service;
use contextcore_core::model::semconv::{self as names, CONTEXT_CHANGED as CHANGED};
use contextcore_core::model::signal::Signal;
use contextcore_core::{config, lock};
use contextcore_operator::controller::ContextChange;
use contextcore_operator::controller::outside::{Outside, Sample};
use contextcore_operator::grafana::{Left, ProvisionError, Provisioner, ServiceDashboard};
use contextcore_operator::settings::Settings;
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::{Value, json};

use super::audit::Audit;
use crate::dashboards::services;
use crate::failure::Failure;

/// What sends dashboards, with the settings that it was made from.
type Made = (Settings, Option<Arc<dyn Provisioner>>);

/// All of them.
pub(super) struct Others {
    /// Where changes are recorded. `None`: in the log of the process only.
    audit: Option<Arc<Audit>>,
    /// It remembers what it sent.
    grafana: Mutex<Option<Made>>,
}

impl Others {
    fn grafana(&self, settings: &Settings) -> contextcore_core::Result<Option<Arc<dyn Provisioner>>> {
        let mut known = lock(&self.grafana);
        let same = |made: &Settings| (&made.grafana, &made.instance) == (&settings.grafana, &settings.instance);
        if let Some((_, grafana)) = known.as_ref().filter(|(made, _)| same(made)) {
            return Ok(grafana.clone());
        }
        let grafana: Option<Arc<dyn Provisioner>> = services::provisioner(settings)?.map(Arc::from);
        *known = Some((settings.clone(), grafana.clone()));
        Ok(grafana)
    }

    /// # Errors
    /// What is wrong with the address of the backend.
    pub(super) fn new(endpoint: Option<&str>) -> Result<Self, Failure> {
        let Some(endpoint) = endpoint else { return Ok(Self { audit: None, grafana: Mutex::default() }) };
        // Headers, protocol and certificates come from the variables of OpenTelemetry.
        let text = json!({"export": {"otlp": {"endpoint": endpoint}}}).to_string();
        let config = config::parse(&text, "--otlp-endpoint", &[])?;
        let target = OtlpTarget::of(&config.export.otlp, Signal::Logs)?;
        let sink = target.map(|target| otlp::connect(&target, Signal::Logs)).transpose()?;
        Ok(Self { audit: sink.map(Audit::new), grafana: Mutex::default() })
    }
}

#[async_trait]
impl Outside for Others {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(contextcore_core::clock::now().0).unwrap_or_default()
    }

    async fn query(&self, url: &str, promql: &str) -> Result<Vec<Sample>, String> {
        let prometheus = Service::new("prometheus", url, Auth::None, None).map_err(|error| error.full())?;
        let reply = prometheus.get("/api/v1/query", &[("query", promql)]).await.map_err(|error| error.full())?;
        if !reply.is_success() {
            return Err(format!("it answered {}: {}", reply.status, reply.message()));
        }
        Ok(samples(&reply.json()))
    }

    async fn record(&self, changes: Vec<ContextChange>) {
        for change in &changes {
            tracing::info!(
                context = format!("{}/{}", change.namespace, change.name),
                project = change.project,
                manager = change.manager.as_deref().unwrap_or("unknown"),
                paths = change.paths.join(","),
                "{CHANGED}"
            );
        }
        if let Some(audit) = &self.audit {
            audit.record(changes, self.now());
        }
    }

    fn lost_records(&self) -> u64 {
        self.audit.as_ref().map_or(0, |audit| audit.take_lost())
    }

    async fn provision(
        &self,
        dashboards: &[ServiceDashboard],
        settings: &Settings,
    ) -> Option<Result<Vec<Left>, ProvisionError>> {
        match self.grafana(settings) {
            Ok(grafana) => Some(grafana?.provision(dashboards).await),
            Err(error) => Some(Err(ProvisionError { reason: "GrafanaUnreachable", message: error.full() })),
        }
    }
}

/// The series of an answer to an instant query.
fn samples(answer: &Value) -> Vec<Sample> {
    let sample = |series: &Value| {
        let labels = series["metric"].as_object()?.iter();
        let labels = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let value = series["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        Some(Sample { labels: labels.collect(), value })
    };
    answer["data"]["result"].as_array().into_iter().flatten().filter_map(sample).collect()
}

/// The records, each with its project as the resource, as everything about a project has it.
pub(super) fn request(changes: &[(ContextChange, Timestamp)]) -> ExportLogsServiceRequest {
    let resource_logs = changes.iter().map(|(change, at)| ResourceLogs {
        resource: Some(Resource {
            attributes: vec![text(names::SERVICE_NAME, "contextcore"), text(names::PROJECT_ID, &change.project)],
            ..Resource::default()
        }),
        scope_logs: vec![ScopeLogs {
            scope: Some(InstrumentationScope { name: "contextcore".to_owned(), ..InstrumentationScope::default() }),
            log_records: vec![record(change, *at)],
            ..ScopeLogs::default()
        }],
        ..ResourceLogs::default()
    });
    ExportLogsServiceRequest { resource_logs: resource_logs.collect() }
}

fn record(change: &ContextChange, now: Timestamp) -> LogRecord {
    let at = u64::try_from(now.as_nanosecond()).unwrap_or_default();
    let action = match (&change.before, &change.after) {
        (_, None) => "deleted",
        (None, _) => "created",
        _ => "changed",
    };
    let body = format!("ProjectContext {}/{} was {action}", change.namespace, change.name);
    let mut attributes = vec![
        text(names::EVENT_NAME, CHANGED),
        text(names::K8S_NAMESPACE, &change.namespace),
        text(names::CONTEXT_NAME, &change.name),
        text(names::CONTEXT_ACTION, action),
        list(names::CONTEXT_CHANGED_PATHS, &change.paths),
    ];
    let optional = [
        (names::CONTEXT_FIELD_MANAGER, &change.manager),
        (names::CONTEXT_DIGEST_BEFORE, &change.before),
        (names::CONTEXT_DIGEST_AFTER, &change.after),
    ];
    attributes.extend(optional.into_iter().filter_map(|(key, value)| Some(text(key, value.as_ref()?))));
    if let Some(values) = &change.values {
        let specs = [(names::CONTEXT_SPEC_BEFORE, "before"), (names::CONTEXT_SPEC_AFTER, "after")];
        attributes.extend(specs.map(|(name, key)| text(name, &values[key].to_string())));
    }
    attributes.extend(change.generation.map(|generation| KeyValue {
        key: names::CONTEXT_GENERATION.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::IntValue(generation)) }),
        ..KeyValue::default()
    }));
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: SeverityNumber::Info.into(),
        severity_text: "INFO".to_owned(),
        event_name: CHANGED.to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(body)) }),
        attributes,
        ..LogRecord::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn list(key: &str, values: &[String]) -> KeyValue {
    let text = |value: &String| AnyValue { value: Some(any_value::Value::StringValue(value.clone())) };
    let values = ArrayValue { values: values.iter().map(text).collect() };
    let value = AnyValue { value: Some(any_value::Value::ArrayValue(values)) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn change() -> ContextChange {
        ContextChange {
            namespace: "shop".into(),
            name: "a".into(),
            project: "p".into(),
            generation: Some(2),
            manager: Some("kubectl".into()),
            paths: vec!["spec.business.owner".into()],
            before: Some("1".into()),
            after: Some("2".into()),
            values: None,
        }
    }

    #[test]
    fn a_change_becomes_a_log_record_of_its_project() {
        let request = request(&[(change(), Timestamp::from_second(1_800_000_000).unwrap())]);
        let logs = &request.resource_logs[0];
        let project = logs.resource.as_ref().unwrap().attributes.iter().find(|attribute| attribute.key == "project.id");
        assert_eq!(project, Some(&text("project.id", "p")));
        let record = &logs.scope_logs[0].log_records[0];
        assert_eq!((record.event_name.as_str(), record.time_unix_nano), (CHANGED, 1_800_000_000_000_000_000));
        assert!(record.attributes.contains(&text("context.field_manager", "kubectl")));
        assert!(record.attributes.contains(&list("context.changed_paths", &["spec.business.owner".to_owned()])));
        assert!(!record.attributes.iter().any(|attribute| attribute.key.starts_with("context.spec")));
        let extended = ContextChange { values: Some(json!({"before": null, "after": {"x": 1}})), ..change() };
        let record = record_of(&extended);
        assert!(record.attributes.contains(&text("context.spec.after", "{\"x\":1}")));
    }

    fn record_of(change: &ContextChange) -> LogRecord {
        record(change, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn an_answer_becomes_samples() {
        let answer = json!({"data": {"result": [{"metric": {"job": "a/b"}, "value": [1.0, "3"]}]}});
        let samples = samples(&answer);
        assert_eq!((samples[0].labels["job"].as_str(), samples[0].value), ("a/b", 3.0));
    }
}
