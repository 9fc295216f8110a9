//! Metrics in the Prometheus text exposition format, under the names that Prometheus itself gives to OTLP metrics, so
//! that pushed and scraped series are equal.
//!
//! The naming rules are those of the OpenTelemetry specification, "Prometheus and OpenMetrics compatibility".

use crate::model::semconv::exposition_name;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint};

/// The exposition of these metrics.
pub(crate) fn text(metrics: &[Metric]) -> String {
    let mut out = String::new();
    for metric in metrics {
        let (kind, is_counter) = match &metric.data {
            Some(Data::Sum(sum)) if sum.is_monotonic => ("counter", true),
            Some(Data::Histogram(_)) => ("histogram", false),
            _ => ("gauge", false),
        };
        let name = exposition_name(&metric.name, &metric.unit, is_counter);
        line(&mut out, format_args!("# HELP {name} {}", metric.description));
        line(&mut out, format_args!("# TYPE {name} {kind}"));
        match &metric.data {
            Some(Data::Gauge(gauge)) => gauge.data_points.iter().for_each(|point| number(&mut out, &name, point)),
            Some(Data::Sum(sum)) => sum.data_points.iter().for_each(|point| number(&mut out, &name, point)),
            Some(Data::Histogram(all)) => all.data_points.iter().for_each(|point| histogram(&mut out, &name, point)),
            _ => {}
        }
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.push_str(&format!("{text}\n"));
}

fn labels(attributes: &[KeyValue], more: Option<(&str, &str)>) -> String {
    let own = attributes.iter().map(|attribute| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        let value = match value {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::IntValue(number)) => number.to_string(),
            Some(Value::DoubleValue(number)) => number.to_string(),
            Some(Value::BoolValue(flag)) => flag.to_string(),
            _ => String::new(),
        };
        (attribute.key.replace(['.', '-'], "_"), value)
    });
    let more = more.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let pairs: Vec<String> = own.chain(more).map(|(key, value)| format!("{key}=\"{}\"", escape(&value))).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn number(out: &mut String, name: &str, point: &NumberDataPoint) {
    let labels = labels(&point.attributes, None);
    match point.value {
        Some(Number::AsDouble(value)) => line(out, format_args!("{name}{labels} {value}")),
        Some(Number::AsInt(value)) => line(out, format_args!("{name}{labels} {value}")),
        None => {}
    }
}

fn histogram(out: &mut String, name: &str, point: &HistogramDataPoint) {
    let mut sum = 0;
    let bounds = point.explicit_bounds.iter().map(ToString::to_string).chain(std::iter::once("+Inf".to_owned()));
    for (bound, count) in bounds.zip(&point.bucket_counts) {
        sum += count;
        line(out, format_args!("{name}_bucket{} {sum}", labels(&point.attributes, Some(("le", &bound)))));
    }
    let labels = labels(&point.attributes, None);
    line(out, format_args!("{name}_sum{labels} {}", point.sum.unwrap_or(0.0)));
    line(out, format_args!("{name}_count{labels} {}", point.count));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::message::Attributes;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, Sum};

    #[test]
    fn the_exposition_is_what_prometheus_expects() {
        let point = |value| NumberDataPoint {
            attributes: Attributes::new().text("task.title", "say \"hi\"\n").read(),
            value: Some(Number::AsDouble(value)),
            ..NumberDataPoint::default()
        };
        let gauge = Metric {
            name: "task.wip".into(),
            description: "tasks in progress".into(),
            unit: "{task}".into(),
            data: Some(Data::Gauge(Gauge { data_points: vec![point(3.0)] })),
            ..Metric::default()
        };
        let counter = Metric {
            name: "task.created".into(),
            data: Some(Data::Sum(Sum { data_points: vec![point(2.0)], is_monotonic: true, ..Sum::default() })),
            ..Metric::default()
        };
        insta::assert_snapshot!(text(&[gauge, counter]), @r#"
        # HELP task_wip tasks in progress
        # TYPE task_wip gauge
        task_wip{task_title="say \"hi\"\n"} 3
        # HELP task_created_total 
        # TYPE task_created_total counter
        task_created_total{task_title="say \"hi\"\n"} 2
        "#);
    }
}
