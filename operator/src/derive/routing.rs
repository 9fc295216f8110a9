//! Routing: one `AlertmanagerConfig` in the namespace of Alertmanager, where the secrets of its receivers are.
//!
//! Its top route takes only alerts for a known channel: one without matchers would take everybody's, and one for any channel would
//! drop alerts for unknown ones. Below it is a route a channel, and an alert goes to each of its channels.
//!
//! Where the settings say so, there is one in each namespace instead, with the channels that its contexts use and for its own alerts
//! only, however Alertmanager is set up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::names::{PAGE, TICKET};
use super::object::Object;
use super::plan::Plan;
use crate::escape;
use crate::settings::Settings;

/// Of the top route, whose alerts always match a route below it.
const NOBODY: &str = "contextcore-none";
/// What distinguishes one objective from another.
const SAME: [&str; 4] = ["project", "namespace", "service", "slo"];

/// The routes and receivers; none without channels.
pub(crate) fn objects(plans: &[&Plan], settings: &Settings) -> Vec<Object> {
    if settings.routing.per_namespace {
        let used = used(plans, settings).into_iter();
        return used.map(|(namespace, names)| object(namespace, &names, true, settings)).collect();
    }
    let all: BTreeSet<&str> = settings.channels.keys().map(String::as_str).collect();
    let namespace = settings.routing.namespace.as_str();
    (!all.is_empty()).then(|| object(namespace, &all, false, settings)).into_iter().collect()
}

/// The known channels of each namespace that has some.
fn used<'a>(plans: &[&'a Plan], settings: &Settings) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for plan in plans {
        let channels = plan.policy.derived.alert_channels.iter().filter(|name| settings.channels.contains_key(*name));
        for name in channels {
            used.entry(plan.subject.namespace).or_default().insert(name);
        }
    }
    used
}

fn object(namespace: &str, names: &BTreeSet<&str>, is_own: bool, settings: &Settings) -> Object {
    let names: Vec<&str> = names.iter().copied().collect();
    let routes =
        names.iter().map(|name| json!({"receiver": name, "matchers": [for_channels(&[name])], "continue": true}));
    let mut receivers = vec![json!({"name": NOBODY})];
    receivers.extend(names.iter().filter_map(|name| {
        let mut receiver = settings.channels.get(*name)?.clone();
        if let Value::Object(fields) = &mut receiver {
            fields.insert("name".to_owned(), (*name).into());
        }
        Some(receiver)
    }));
    let own = is_own.then(|| equals("namespace", namespace));
    let with_own = |matcher: Value| [matcher].into_iter().chain(own.clone()).collect::<Vec<_>>();
    let spec = json!({
        "route": {
            "receiver": NOBODY,
            "matchers": with_own(for_channels(&names)),
            "groupBy": ["project", "service", "slo"],
            "continue": true,
            "routes": routes.collect::<Vec<_>>(),
        },
        "receivers": receivers,
        "inhibitRules": [{
            "sourceMatch": with_own(equals("alertname", PAGE)),
            "targetMatch": with_own(equals("alertname", TICKET)),
            "equal": SAME,
        }],
    });
    let object = Object::new("monitoring.coreos.com/v1alpha1", "AlertmanagerConfig", namespace, "contextcore");
    object.monitoring().with("spec", spec)
}

fn for_channels(names: &[&str]) -> Value {
    let any: Vec<String> = names.iter().map(|name| escape::regex(name)).collect();
    let any = match any.as_slice() {
        [one] => one.clone(),
        several => format!("({})", several.join("|")),
    };
    json!({"name": "channels", "matchType": "=~", "value": format!(".*,{any},.*")})
}

fn equals(label: &str, value: &str) -> Value {
    json!({"name": label, "matchType": "=", "value": value})
}
