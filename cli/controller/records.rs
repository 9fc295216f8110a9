//! Changes of contexts as OTLP log records.

use contextcore_core::model::semconv::{self as names, CONTEXT_CHANGED as CHANGED};
use contextcore_operator::controller::ContextChange;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// The records, each with its project as the resource, as everything about a project has it.
pub(super) fn request(changes: &[ContextChange]) -> ExportLogsServiceRequest {
    let resource_logs = changes.iter().map(|change| ResourceLogs {
        resource: Some(Resource {
            attributes: vec![text(names::SERVICE_NAME, "contextcore"), text(names::PROJECT_ID, &change.project)],
            ..Resource::default()
        }),
        scope_logs: vec![ScopeLogs {
            scope: Some(InstrumentationScope { name: "contextcore".to_owned(), ..InstrumentationScope::default() }),
            log_records: vec![record(change)],
            ..ScopeLogs::default()
        }],
        ..ResourceLogs::default()
    });
    ExportLogsServiceRequest { resource_logs: resource_logs.collect() }
}

fn record(change: &ContextChange) -> LogRecord {
    let at = u64::try_from(change.at.as_nanosecond()).unwrap_or_default();
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
        let specs = [(names::CONTEXT_SPEC_BEFORE, &values.before), (names::CONTEXT_SPEC_AFTER, &values.after)];
        attributes.extend(specs.map(|(name, spec)| text(name, spec)));
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
    use contextcore_operator::resource::ChangedValues;
    use jiff::Timestamp;

    use super::*;

    pub(in super::super) fn change() -> ContextChange {
        ContextChange {
            at: Timestamp::from_second(1_800_000_000).unwrap(),
            uid: "u".into(),
            is_kept: false,
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
        let request = request(&[change()]);
        let logs = &request.resource_logs[0];
        let project = logs.resource.as_ref().unwrap().attributes.iter().find(|attribute| attribute.key == "project.id");
        assert_eq!(project, Some(&text("project.id", "p")));
        let record = &logs.scope_logs[0].log_records[0];
        assert_eq!((record.event_name.as_str(), record.time_unix_nano), (CHANGED, 1_800_000_000_000_000_000));
        assert!(record.attributes.contains(&text("context.field_manager", "kubectl")));
        assert!(record.attributes.contains(&list("context.changed_paths", &["spec.business.owner".to_owned()])));
        assert!(!record.attributes.iter().any(|attribute| attribute.key.starts_with("context.spec")));
        let extended = ContextChange {
            values: Some(ChangedValues { before: "null".into(), after: "{\"x\":1}".into() }),
            ..change()
        };
        let record = super::record(&extended);
        assert!(record.attributes.contains(&text("context.spec.after", "{\"x\":1}")));
    }
}
