//! What the Prometheus operator says of the rules of a context: which Prometheus took them. It says so from version 0.93 on, in the
//! status of the `PrometheusRule`.

use serde_json::Value;

use super::apply;
use super::kinds::{Key, Kind, Place};
use super::means::Passes;
use super::world::World;

const VERSION: &str = "operator.prometheus.io/version";
/// The first minor version of 0 that says it.
const SINCE: u32 = 93;

/// Words for it, read once for each version of the object.
pub(crate) async fn of(passes: &Passes, place: &Place) -> Option<String> {
    let name = format!("contextcore-{}", place.name);
    let key = Key { kind: Kind::PrometheusRule, namespace: place.namespace.clone(), name };
    let version = {
        let world = passes.world.lock();
        if !says_so(&world) {
            return None;
        }
        let version = world.children.get(&key)?.version.clone();
        match world.bindings.get(&key) {
            Some((read, words)) if *read == version => return words.clone(),
            _ => version,
        }
    };
    let object = apply::get(&passes.client, &key).await.ok()??;
    let words = humanize(&object);
    passes.world.lock().bindings.insert(key, (version, words.clone()));
    words
}

fn says_so(world: &World) -> bool {
    let definition = Kind::PrometheusRule.definition().and_then(|name| world.definitions.get(&name));
    definition.and_then(|definition| definition.annotations.get(VERSION)).is_some_and(|version| is_new(version))
}

fn is_new(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    major > 0 || minor >= SINCE
}

/// `accepted by monitoring/k8s`, or why it was not.
fn humanize(object: &Value) -> Option<String> {
    let mut parts = Vec::new();
    for binding in object["status"]["bindings"].as_array()? {
        let text = |field: &str| binding[field].as_str().unwrap_or_default();
        let by = format!("{}/{}", text("namespace"), text("name"));
        for condition in binding["conditions"].as_array().into_iter().flatten().filter(|it| it["type"] == "Accepted") {
            let message = condition["message"].as_str().unwrap_or_default();
            parts.push(match condition["status"].as_str() {
                Some("True") => format!("accepted by {by}"),
                Some("False") => format!("refused by {by}: {message}"),
                _ => format!("not judged yet by {by}"),
            });
        }
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bindings_become_words() {
        let condition = |status: &str| json!([{"type": "Accepted", "status": status, "message": "bad expression"}]);
        let object = json!({"status": {"bindings": [
            {"namespace": "monitoring", "name": "k8s", "conditions": condition("True")},
            {"namespace": "other", "name": "p", "conditions": condition("False")},
        ]}});
        assert_eq!(humanize(&object).unwrap(), "accepted by monitoring/k8s; refused by other/p: bad expression");
        assert_eq!(humanize(&json!({})), None);
        assert!(is_new("0.93.0") && is_new("v1.0.0") && !is_new("0.85.0"));
    }
}
