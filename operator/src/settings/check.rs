//! What the types of the settings let through, and what a cluster, a collector or an Alertmanager would refuse later, or drop without a
//! word.

use serde_json::Value;

use super::{Settings, shape};
use crate::{labels, nearest, units};

/// Key path and what to do.
type Problem = (String, String);

/// All problems with names, addresses and numbers.
pub(super) fn problems(settings: &Settings) -> Vec<Problem> {
    [names(settings), channels(settings), addresses(settings), numbers(settings)].concat()
}

fn names(settings: &Settings) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut namespace = |path: String, name: &str| {
        let message = "is not the name of a namespace: write lower-case letters, digits and -";
        found.extend((!labels::is_dns_label(name)).then(|| (path, message.to_owned())));
    };
    namespace("namespace".to_owned(), &settings.namespace);
    namespace("routing.namespace".to_owned(), &settings.routing.namespace);
    if let Some(name) = &settings.collector.namespace {
        namespace("collector.namespace".to_owned(), name);
    }
    for name in settings.limits.namespaces.keys() {
        namespace(format!("limits.namespaces.{name}"), name);
    }
    for (id, limit) in &settings.projects {
        limit.namespaces.iter().for_each(|name| namespace(format!("projects.{id}.namespaces"), name));
    }
    let label = "is not a label value: write up to 63 letters, digits, -, _ and ., from a letter or digit to another";
    if settings.instance.is_empty() || !labels::is_value(&settings.instance) {
        found.push(("instance".to_owned(), label.to_owned()));
    }
    for (key, value) in &settings.object_labels {
        let message = if labels::is_key(key) { label } else { "is not the name of a label: write one such as release" };
        if !labels::is_key(key) || !labels::is_value(value) {
            found.push((format!("objectLabels.{key}"), message.to_owned()));
        }
    }
    found
}

/// The channels, and whoever names one.
fn channels(settings: &Settings) -> Vec<Problem> {
    let mut found: Vec<Problem> = settings
        .channels
        .iter()
        .filter_map(|(name, value)| Some((format!("channels.{name}"), receiver(value)?)))
        .collect();
    let tables = settings.derivation.iter().map(|(criticality, row)| {
        (format!("derivation.{criticality}.alertChannels"), row.alert_channels.iter().flatten().collect::<Vec<_>>())
    });
    let limit = |path: String, limit: &'_ super::Limit| {
        let names: Vec<String> = limit.channels.iter().flatten().cloned().collect();
        (format!("{path}.channels"), names)
    };
    let mut named: Vec<(String, Vec<String>)> =
        tables.map(|(path, names)| (path, names.into_iter().cloned().collect())).collect();
    named.push(limit("limits.default".to_owned(), &settings.limits.default));
    named.extend(settings.limits.namespaces.iter().map(|(name, of)| limit(format!("limits.namespaces.{name}"), of)));
    named.extend(settings.channels.keys().map(|name| (format!("channels.{name}"), vec![name.clone()])));
    for (path, names) in named {
        let wrong = names.iter().find(|name| !is_channel(name));
        found.extend(wrong.map(|name| {
            (
                path,
                format!(
                    "{name} is not the name of a channel: write letters, digits, -, _, . and /, such as commerce-oncall"
                ),
            )
        }));
    }
    found
}

/// What is wrong with a receiver. The API server drops fields that it does not know, and nobody would be alerted.
fn receiver(value: &Value) -> Option<String> {
    let example = "such as {webhookConfigs: [{url: https://example.com/hook}]}";
    let Some(fields) = value.as_object() else {
        return Some(format!("is not a receiver of AlertmanagerConfig: write one {example}"));
    };
    for (name, value) in fields.iter().filter(|(name, _)| *name != "name") {
        if !shape::INTEGRATIONS.contains(&name.as_str()) {
            let hint = nearest::hint(name, &shape::INTEGRATIONS);
            return Some(format!("{name} is not a list of a receiver of AlertmanagerConfig: {hint}"));
        }
        if !value.is_array() {
            return Some(format!("{name} is not a list of a receiver of AlertmanagerConfig: write one {example}"));
        }
    }
    let reaches = fields.values().filter_map(Value::as_array).any(|list| !list.is_empty());
    (!reaches).then(|| format!("reaches nobody: write a receiver of AlertmanagerConfig {example}"))
}

fn addresses(settings: &Settings) -> Vec<Problem> {
    let all = [("prometheus.url", &settings.prometheus.url), ("runbookBaseUrl", &settings.runbook_base_url)];
    let wrong = all.into_iter().filter(|(_, url)| url.as_ref().is_some_and(|url| !is_web_address(url)));
    wrong
        .map(|(path, _)| (path.to_owned(), "is not a web address: write one such as https://host.example".to_owned()))
        .collect()
}

/// Whether it begins as one.
pub(super) fn is_web_address(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|host| !host.is_empty()))
}

fn numbers(settings: &Settings) -> Vec<Problem> {
    let buckets = &settings.prometheus.buckets;
    let ascend = buckets.windows(2).all(|pair| pair[0] < pair[1])
        && buckets.iter().all(|bound| *bound > 0.0 && bound.is_finite());
    let secret = settings.grafana.token_secret.as_ref();
    [
        (
            !is_wait(&settings.sampling.decision_wait),
            "sampling.decisionWait",
            "is not a time above 0: write one such as 10s",
        ),
        (settings.sampling.num_traces == 0, "sampling.numTraces", "must be at least 1"),
        (settings.collector.replicas == 0, "collector.replicas", "must be at least 1"),
        (
            !(2..=3).contains(&settings.prometheus.compat),
            "prometheus.compat",
            "is a major version of Prometheus: write 2 or 3",
        ),
        (
            settings.prometheus.retention.as_ref().is_some_and(|text| units::retention(text).is_none()),
            "prometheus.retention",
            "is not a time above 0: write one such as 15d",
        ),
        (!ascend, "prometheus.buckets", "must be boundaries above 0, each above the one before"),
        (
            secret.is_some_and(|secret| secret.name.is_empty() || secret.key.is_empty()),
            "grafana.tokenSecret",
            "needs the `name` of a secret and the `key` in it",
        ),
    ]
    .into_iter()
    .filter(|(is_wrong, ..)| *is_wrong)
    .map(|(_, path, message)| (path.to_owned(), message.to_owned()))
    .collect()
}

/// A time as the collector reads it.
fn is_wait(text: &str) -> bool {
    let number = ["ms", "s", "m"].into_iter().find_map(|unit| text.strip_suffix(unit)?.parse::<f64>().ok());
    number.is_some_and(|number| number > 0.0 && number.is_finite()) && text.starts_with(|c: char| c.is_ascii_digit())
}

/// As an owner may be called: channels follow from owners.
fn is_channel(name: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    name.starts_with(is_end) && name.ends_with(is_end) && name.chars().all(|c| is_end(c) || "-_./".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_refused_later_is_refused_at_once() {
        for (text, wanted) in [
            ("sampling: {decisionWait: soon}", "sampling.decisionWait: is not a time"),
            ("sampling: {decisionWait: 0s}", "sampling.decisionWait: is not a time"),
            ("sampling: {numTraces: 0}", "sampling.numTraces: must be at least 1"),
            ("collector: {replicas: 0}", "collector.replicas: must be at least 1"),
            ("prometheus: {retention: long}", "prometheus.retention: is not a time"),
            ("prometheus: {retention: 0d}", "prometheus.retention: is not a time"),
            ("prometheus: {compat: 9}", "prometheus.compat: is a major version"),
            ("prometheus: {compat: 2, buckets: [1, 0.5]}", "prometheus.buckets: must be boundaries"),
            ("prometheus: {buckets: [-1]}", "prometheus.buckets: must be boundaries"),
            ("prometheus: {url: prom}", "prometheus.url: is not a web address"),
            ("runbookBaseUrl: https://", "runbookBaseUrl: is not a web address"),
            ("instance: ''", "instance: is not a label value"),
            ("instance: a b", "instance: is not a label value"),
            ("namespace: Not A Namespace", "namespace: is not the name of a namespace"),
            ("routing: {namespace: ''}", "routing.namespace: is not the name of a namespace"),
            ("limits: {namespaces: {A: {}}}", "limits.namespaces.A: is not the name of a namespace"),
            ("limits: {default: {channels: [A B]}}", "limits.default.channels: A B is not the name of a channel"),
            ("projects: {shop: {namespaces: [a/b]}}", "projects.shop.namespaces: is not the name of a namespace"),
            (
                "derivation: {high: {alertChannels: [-a]}}",
                "derivation.high.alertChannels: -a is not the name of a channel",
            ),
            ("objectLabels: {'bad key!': x}", "objectLabels.bad key!: is not the name of a label"),
            ("objectLabels: {release: a b}", "objectLabels.release: is not a label value"),
            ("channels: {'a,b': {}}", "channels.a,b: a,b is not the name of a channel"),
            ("channels: {a: 5}", "channels.a: is not a receiver"),
            (
                "channels: {a: {webhokConfigs: [{url: x}]}}",
                "channels.a: webhokConfigs is not a list of a receiver of AlertmanagerConfig: did you mean webhookConfigs?",
            ),
            ("channels: {a: {webhookConfig: []}}", "channels.a: webhookConfig is not a list of a receiver"),
            ("channels: {a: {}}", "channels.a: reaches nobody"),
            ("channels: {a: {name: a, slackConfigs: []}}", "channels.a: reaches nobody"),
            ("channels: {a: {webhookConfigs: {url: x}}}", "channels.a: webhookConfigs is not a list of a receiver"),
            ("grafana: {tokenSecret: {name: a}}", "grafana.tokenSecret: needs the `name`"),
        ] {
            let error = Settings::parse("s.yaml", text).unwrap_err().join("\n");
            assert!(error.starts_with("s.yaml:1: ") && error.contains(wanted), "{text}: {error}");
        }
        let good = "sampling: {decisionWait: 1.5s}\nobjectLabels: {app.kubernetes.io/part-of: a, release: ''}\n\
                    channels: {a-1: {name: a-1, slackConfigs: [{}]}, Team/B.c-oncall: {emailConfigs: [{}]}}\nprometheus: {buckets: [0.1, 1]}\n";
        Settings::parse("s.yaml", good).unwrap();
    }
}
