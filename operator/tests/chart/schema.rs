//! values.schema.json: made from values.yaml, the configuration's own schema, the controller's settings, and the types of
//! Kubernetes. Nothing in it takes a key that it does not know, so a typo is refused by its name.

use std::fs;

use contextcore_operator::settings::Settings;
use k8s_openapi::api::core::v1::{
    Affinity, Container, EnvFromSource, EnvVar, LocalObjectReference, PodSecurityContext, ResourceRequirements,
    SecurityContext, Toleration, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::values::{ChartValue, entries};
use super::{chart, fresh, repository};

/// How the definitions of the configuration's schema are called here.
const CONFIGURATION: &str = "configuration";

struct Builder {
    types: SchemaGenerator,
}

impl Builder {
    fn one<T: JsonSchema>(&mut self) -> Value {
        self.types.subschema_for::<T>().to_value()
    }

    fn list<T: JsonSchema>(&mut self) -> Value {
        json!({"type": "array", "items": self.one::<T>()})
    }

    fn entry(&mut self, entry: &ChartValue) -> Value {
        let mut schema = if entry.children.is_empty() { self.leaf(entry) } else { self.object(&entry.children) };
        schema["description"] = entry.comment.clone().into();
        schema
    }

    fn object(&mut self, entries: &[ChartValue]) -> Value {
        let property = |entry: &ChartValue| (entry.key().to_owned(), self.entry(entry));
        let properties: Map<String, Value> = entries.iter().map(property).collect();
        json!({"type": "object", "additionalProperties": false, "properties": properties})
    }

    fn leaf(&mut self, entry: &ChartValue) -> Value {
        self.by_name(&entry.name()).or_else(|| self.by_key(entry.key())).unwrap_or_else(|| by_default(entry))
    }

    /// What a default does not show.
    fn by_name(&mut self, name: &str) -> Option<Value> {
        Some(match name {
            "mode" => json!({"enum": ["serve", "sync"]}),
            "config" => json!({"$ref": format!("#/$defs/{CONFIGURATION}")}),
            "controller.settings" => self.one::<Settings>(),
            "controller.podDisruptionBudget.maxUnavailable" | "podDisruptionBudget.maxUnavailable" => {
                json!({"type": ["integer", "string"]})
            }
            "image.digest" => json!({"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}),
            "image.pullPolicy" => json!({"enum": ["Always", "IfNotPresent", "Never"]}),
            "persistence.size" => json!({"type": "string", "pattern": "^[0-9.]+([KMGTPE]i?)?$"}),
            "sync.schedule" => json!({"type": "string", "minLength": 1}),
            "service.type" => json!({"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}),
            "serviceMonitor.interval" => json!({"type": "string", "pattern": "^([0-9]+(ms|[smh]))+$"}),
            _ => return None,
        })
    }

    /// What is the same wherever it is.
    fn by_key(&mut self, key: &str) -> Option<Value> {
        Some(match key {
            "annotations" | "commonLabels" | "labels" | "nodeSelector" | "podAnnotations" | "podLabels" => {
                json!({"type": "object", "additionalProperties": {"type": "string"}})
            }
            "extraArgs" => json!({"type": "array", "items": {"type": "string"}}),
            "watchNamespaces" => {
                json!({"type": "array", "items": {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$"}})
            }
            "extraObjects" => json!({"type": "array", "items": {"type": "object"}}),
            "affinity" => self.one::<Affinity>(),
            "egress" => self.list::<NetworkPolicyEgressRule>(),
            "env" => self.list::<EnvVar>(),
            "envFrom" => self.list::<EnvFromSource>(),
            "extraContainers" => self.list::<Container>(),
            "extraVolumeMounts" => self.list::<VolumeMount>(),
            "extraVolumes" => self.list::<Volume>(),
            "from" => self.list::<NetworkPolicyPeer>(),
            "imagePullSecrets" => self.list::<LocalObjectReference>(),
            "podSecurityContext" => self.one::<PodSecurityContext>(),
            "resources" => self.one::<ResourceRequirements>(),
            "securityContext" => self.one::<SecurityContext>(),
            "tolerations" => self.list::<Toleration>(),
            "topologySpreadConstraints" => self.list::<TopologySpreadConstraint>(),
            _ => return None,
        })
    }

    /// The types of Kubernetes and of the settings that were used.
    fn definitions(mut self) -> Map<String, Value> {
        let mut all = self.types.take_definitions(true);
        for (name, schema) in &mut all {
            match name.rsplit('.').next() {
                // In YAML both are often plain numbers.
                Some("Quantity") => *schema = json!({"type": ["string", "number"]}),
                Some("IntOrString") => *schema = json!({"type": ["string", "integer"]}),
                _ if name.starts_with("io.k8s.") => close(schema),
                _ => {}
            }
        }
        all
    }
}

fn by_default(entry: &ChartValue) -> Value {
    match &entry.default {
        Value::String(_) => json!({"type": "string"}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(_) => json!({"type": "integer", "minimum": 0}),
        other => panic!("{}: the default {other} does not say what may be set: name its type", entry.name()),
    }
}

/// Makes a type of Kubernetes refuse keys that it does not have. The descriptions are in Kubernetes' own reference.
fn close(schema: &mut Value) {
    if let Value::Object(map) = schema {
        map.remove("description");
        if map.contains_key("properties") {
            map.insert("additionalProperties".to_owned(), false.into());
        }
        map.values_mut().for_each(close);
        // A property may be called so, too.
        if let Some(Value::Object(properties)) = map.get_mut("properties") {
            properties.values_mut().for_each(close);
        }
    }
}

/// The configuration's schema as definitions of this one.
fn configuration() -> Map<String, Value> {
    let text = fs::read_to_string(repository().join("config/schema.json")).unwrap();
    let text = text.replace("\"#/$defs/", &format!("\"#/$defs/{CONFIGURATION}."));
    let mut schema: Map<String, Value> = serde_json::from_str(&text).unwrap();
    schema.remove("$schema");
    let Some(Value::Object(parts)) = schema.remove("$defs") else { panic!("no definitions") };
    let parts = parts.into_iter().map(|(name, part)| (format!("{CONFIGURATION}.{name}"), part));
    parts.chain([(CONFIGURATION.to_owned(), Value::Object(schema))]).collect()
}

/// Who sends dashboards to Grafana needs its address; the chart gives it to the controller that provisions.
fn needs_address() -> Value {
    let settings = |grafana: &Value| {
        let settings = json!({"properties": {"grafana": grafana}, "required": ["grafana"]});
        json!({"properties": {"controller": {"properties": {"settings": settings}, "required": ["settings"]}}, "required": ["controller"]})
    };
    let is_set = json!({"type": "string", "minLength": 1});
    let own = json!({"anyOf": [
        {"properties": {"url": is_set}, "required": ["url"]},
        {"properties": {"apiUrl": is_set}, "required": ["apiUrl"]},
    ]});
    let of_chart = json!({"properties": {
        "grafana": {"properties": {"url": is_set}, "required": ["url"]},
        "dashboards": {"properties": {"autoProvision": {"const": true}}, "required": ["autoProvision"]},
    }, "required": ["grafana", "dashboards"]});
    json!({
        "if": settings(&json!({"properties": {"mode": {"const": "url"}}, "required": ["mode"]})),
        "then": {"anyOf": [settings(&own), of_chart]},
    })
}

fn schema() -> Value {
    let mut builder = Builder { types: SchemaSettings::draft2020_12().into_generator() };
    let mut root = builder.object(&entries());
    root["properties"]["global"] = json!({"type": "object", "description": "Of a chart that has this one as a part"});
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "Values of the chart contextcore".into();
    root["allOf"] = json!([needs_address()]);
    let mut definitions = builder.definitions();
    definitions.extend(configuration());
    root["$defs"] = definitions.into();
    root
}

#[test]
fn the_schema_is_fresh() {
    fresh(&chart().join("values.schema.json"), &format!("{:#}\n", schema()));
}

/// Where an object with keys takes any other.
fn open_objects(path: &str, schema: &Value, found: &mut Vec<String>) {
    let Value::Object(map) = schema else { return };
    let is_open =
        map.get("properties").is_some_and(Value::is_object) && map.get("additionalProperties") != Some(&json!(false));
    if is_open && map.get("type").is_some() {
        found.push(path.to_owned());
    }
    for (key, child) in map {
        open_objects(&format!("{path}/{key}"), child, found);
    }
}

#[test]
fn no_object_takes_a_key_that_it_does_not_know() {
    let mut found = Vec::new();
    open_objects("", &schema(), &mut found);
    assert!(found.is_empty(), "{found:#?}");
}
