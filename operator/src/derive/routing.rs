//! Routing: one `AlertmanagerConfig` in the namespace of Alertmanager, where the secrets of its receivers are.
//!
//! Its top route takes only alerts for a known channel: one without matchers would take everybody's, and one for any channel would
//! drop alerts for unknown ones. Below it is a route a channel, and an alert goes to each of its channels.

use serde_json::{Value, json};

use super::names::{PAGE, TICKET};
use super::object::Object;
use crate::escape;
use crate::settings::Settings;

/// Of the top route, whose alerts always match a route below it.
const NOBODY: &str = "contextcore-none";
/// What distinguishes one objective from another.
const SAME: [&str; 4] = ["project", "namespace", "service", "slo"];

/// The routes and receivers; `None` without channels.
pub(crate) fn object(settings: &Settings) -> Option<Object> {
    if settings.channels.is_empty() {
        return None;
    }
    let names: Vec<&str> = settings.channels.keys().map(String::as_str).collect();
    let routes =
        names.iter().map(|name| json!({"receiver": name, "matchers": [for_channels(&[name])], "continue": true}));
    let mut receivers = vec![json!({"name": NOBODY})];
    receivers.extend(settings.channels.iter().map(|(name, receiver)| {
        let mut receiver = receiver.clone();
        if let Value::Object(fields) = &mut receiver {
            fields.insert("name".to_owned(), name.as_str().into());
        }
        receiver
    }));
    let spec = json!({
        "route": {
            "receiver": NOBODY,
            "matchers": [for_channels(&names)],
            "groupBy": ["project", "service", "slo"],
            "continue": true,
            "routes": routes.collect::<Vec<_>>(),
        },
        "receivers": receivers,
        "inhibitRules": [{"sourceMatch": [equals(PAGE)], "targetMatch": [equals(TICKET)], "equal": SAME}],
    });
    let object =
        Object::new("monitoring.coreos.com/v1alpha1", "AlertmanagerConfig", &settings.routing.namespace, "contextcore");
    Some(object.monitoring().with("spec", spec))
}

fn for_channels(names: &[&str]) -> Value {
    let any: Vec<String> = names.iter().map(|name| escape::regex(name)).collect();
    let any = match any.as_slice() {
        [one] => one.clone(),
        several => format!("({})", several.join("|")),
    };
    json!({"name": "channels", "matchType": "=~", "value": format!(".*,{any},.*")})
}

fn equals(alert: &str) -> Value {
    json!({"name": "alertname", "matchType": "=", "value": alert})
}
