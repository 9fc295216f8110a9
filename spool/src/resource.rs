//! What a process says of itself by the environment of OpenTelemetry: `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`. Pure: the
//! caller passes the variables. The SDKs of other languages find the same, which `sdk/conformance/identity.json` holds them to.

use std::collections::BTreeMap;

use contextcore_model::percent::percent_decode;

/// Attributes of a process by name, as the header of its segments has them.
pub type Resource = BTreeMap<String, String>;

const SERVICE: &str = "service.name";
/// A process says no more attributes of itself.
const MOST: usize = 32;
/// A name or a value has no more characters: longer names are left out, longer values cut.
const LONGEST: usize = 255;

/// The attributes that the environment gives: pairs `name=value` with commas between them, names and values percent-encoded.
/// `OTEL_SERVICE_NAME` goes before a `service.name` in the list. What is no pair is left out. `variable` reads a variable.
pub fn resource(variable: impl Fn(&str) -> Option<String>) -> Resource {
    let mut found = Resource::new();
    let service = variable("OTEL_SERVICE_NAME").map(|name| name.trim().to_owned()).unwrap_or_default();
    add(&mut found, SERVICE.to_owned(), &service);
    for pair in variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default().split(',') {
        let pair = pair.split_once('=');
        let plain = pair.and_then(|(name, value)| Some((percent_decode(name.trim())?, percent_decode(value.trim())?)));
        if let Some((name, value)) = plain.filter(|(name, _)| name != SERVICE || service.is_empty()) {
            add(&mut found, name, &value);
        }
    }
    found
}

fn add(found: &mut Resource, name: String, value: &str) {
    let has_room = found.len() < MOST || found.contains_key(&name);
    if has_room && !name.is_empty() && !value.is_empty() && name.chars().count() <= LONGEST {
        found.insert(name, value.chars().take(LONGEST).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(attributes: &str, service: &str) -> Vec<(String, String)> {
        let variable =
            |name: &str| Some(if name == "OTEL_SERVICE_NAME" { service.to_owned() } else { attributes.to_owned() });
        resource(variable).into_iter().collect()
    }

    #[derive(serde::Deserialize)]
    struct Facts {
        resources: Vec<Fact>,
    }

    #[derive(serde::Deserialize)]
    struct Fact {
        environment: Resource,
        gives: Resource,
    }

    /// As the other languages find them: `sdk/conformance`.
    #[test]
    fn resources_follow_from_the_environment() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/conformance/identity.json");
        let facts: Facts = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for Fact { environment, gives } in facts.resources {
            assert_eq!(resource(|name| environment.get(name).cloned()), gives, "{environment:?}");
        }
    }

    #[test]
    fn a_process_says_no_more_than_fits_a_header() {
        let many: String = (0..100).map(|n| format!("name.{n}={},", "é".repeat(400))).collect();
        let found = of(&many, "shop");
        assert_eq!(found.len(), MOST);
        assert!(found.iter().all(|(_, value)| value.chars().count() <= LONGEST));
        assert_eq!(of(&format!("{}=x", "n".repeat(300)), ""), []);
    }
}
