//! What is known of a project besides its work: on resources, as attributes, and as metrics of the present.
//!
//! None of it is history. It may change at any time, so it is on nothing that is sent twice (see [`super::context::ResourceKey`]),
//! and its series are exported for now alone: a change begins another series, and the former one ends.

use std::collections::{BTreeMap, HashSet};

use super::message::{Attributes, cut};
use crate::config::{ProjectConfig, ServiceContext};
use crate::model::semconv::{self as names, Metric};

/// Decision records on a resource. A resource is on every line of some backends.
const MAX_ADRS: usize = 10;
/// Ids of constraints on a resource.
const MAX_CONSTRAINTS: usize = 50;
/// Lines of guidance that are series, for each service.
const MAX_GUIDANCE: usize = 20;
/// Characters of a text that is a label.
const MAX_LABEL: usize = 200;

/// A value of now.
pub(super) type Point = (Metric, Attributes, f64);

/// What a resource says of a project.
pub(super) fn attributes(project: &ProjectConfig) -> Attributes {
    let latencies = project.latencies();
    let latency = |quantile| latencies.iter().find(|(known, _)| *known == quantile).map(|(_, seconds)| *seconds);
    let mut types: Vec<&str> = project.risks().filter_map(|risk| risk.kind.as_deref()).collect();
    types.sort_unstable();
    types.dedup();
    let documents = || project.contexts.iter().flat_map(|context| context.design.documents());
    let adrs: Vec<&str> =
        documents().filter(|(kind, _)| *kind == "adr").map(|(_, place)| place).take(MAX_ADRS).collect();
    let constraints = project.contexts.iter().flat_map(|context| &context.guidance.constraints);
    let constraints: Vec<&str> = constraints.map(|constraint| constraint.id.as_str()).take(MAX_CONSTRAINTS).collect();
    let doc = documents().find(|(kind, _)| *kind == "doc").map(|(_, place)| place);
    Attributes::new()
        .maybe(names::BUSINESS_CRITICALITY, project.criticality.map(|word| word.as_str()))
        .maybe(names::BUSINESS_OWNER, project.owner.as_deref())
        .maybe(names::BUSINESS_VALUE, project.value.as_deref())
        .maybe_double(names::REQUIREMENT_AVAILABILITY, project.availability())
        .maybe_double(names::REQUIREMENT_LATENCY_P50, latency("0.5"))
        .maybe_double(names::REQUIREMENT_LATENCY_P90, latency("0.9"))
        .maybe_double(names::REQUIREMENT_LATENCY_P95, latency("0.95"))
        .maybe_double(names::REQUIREMENT_LATENCY_P99, latency("0.99"))
        .maybe(names::RISK_PRIORITY, project.risks().map(|risk| risk.priority).min().map(|priority| priority.as_str()))
        .texts(names::RISK_TYPE, &types)
        .texts(names::DESIGN_ADR, &adrs)
        .maybe(names::DESIGN_DOC, doc)
        .texts(names::GUIDANCE_CONSTRAINTS, &constraints)
}

/// The metrics of a project that do not come from its work, each series once.
pub(super) fn points(project: &ProjectConfig) -> Vec<Point> {
    let mut points = requirements(project);
    points.extend(risk_counts(project));
    points.extend(project.contexts.iter().flat_map(infos));
    let mut seen = HashSet::new();
    points.retain(|(metric, attributes, _)| seen.insert((metric.name, format!("{:?}", attributes.read()))));
    points
}

/// What each service must reach. Services that nobody named share a series, with the strictest.
fn requirements(project: &ProjectConfig) -> Vec<Point> {
    let mut availability: BTreeMap<Option<String>, f64> = BTreeMap::new();
    let mut latency: BTreeMap<(Option<String>, &str), f64> = BTreeMap::new();
    for context in &project.contexts {
        if let Some(percent) = context.requirements.availability_percent() {
            availability.entry(context.place()).and_modify(|known| *known = known.max(percent)).or_insert(percent);
        }
        for (quantile, seconds) in context.requirements.latencies() {
            let key = (context.place(), quantile);
            latency.entry(key).and_modify(|known| *known = known.min(seconds)).or_insert(seconds);
        }
    }
    let of = |place: &Option<String>| Attributes::new().maybe(names::CONTEXT, place.as_deref());
    let availability = availability.iter().map(|(place, value)| (names::M_REQUIREMENT_AVAILABILITY, of(place), *value));
    let latency = latency.iter().map(|((place, quantile), value)| {
        (names::M_REQUIREMENT_LATENCY, of(place).text(names::QUANTILE, quantile), *value)
    });
    availability.chain(latency).collect()
}

fn risk_counts(project: &ProjectConfig) -> Vec<Point> {
    let mut counts: BTreeMap<(&str, Option<&str>), u32> = BTreeMap::new();
    for risk in project.risks() {
        *counts.entry((risk.priority.as_str(), risk.kind.as_deref())).or_default() += 1;
    }
    let point = |((priority, kind), count)| {
        let attributes = Attributes::new().text(names::PRIORITY, priority).maybe(names::TYPE, kind);
        (names::M_RISK_COUNT, attributes, f64::from(count))
    };
    counts.into_iter().map(point).collect()
}

/// Risks, documents and guidance of a service, one series each.
fn infos(context: &ServiceContext) -> Vec<Point> {
    let place = context.place();
    let of = || Attributes::new().maybe(names::CONTEXT, place.as_deref());
    let risks = context.risks.iter().map(|risk| {
        let attributes = of()
            .maybe(names::RISK_ID, risk.id.as_deref())
            .text(names::RISK_TITLE, &label(&risk.risk))
            .text(names::PRIORITY, risk.priority.as_str())
            .maybe(names::TYPE, risk.kind.as_deref())
            .maybe(names::RISK_OWNER, risk.owner.as_deref())
            .maybe(names::RISK_MITIGATION, risk.mitigation.as_deref().map(label).as_deref());
        (names::M_RISK_INFO, attributes, 1.0)
    });
    let documents = context.design.documents().map(|(kind, place)| {
        let attributes = of().text(names::DESIGN_KIND, kind).text(names::DESIGN_PLACE, &cut(place));
        (names::M_DESIGN_INFO, attributes, 1.0)
    });
    let guidance = context.guidance.lines().take(MAX_GUIDANCE).map(|line| {
        let attributes = of()
            .text(names::GUIDANCE_KIND, line.kind)
            .text(names::GUIDANCE_ID, line.id)
            .text(names::GUIDANCE_TEXT, &label(line.text));
        (names::M_GUIDANCE_INFO, attributes, 1.0)
    });
    risks.chain(documents).chain(guidance).collect()
}

/// A text short enough for a label, visibly cut.
fn label(text: &str) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(MAX_LABEL).collect();
    if chars.next().is_some() {
        short.pop();
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::project::{Design, Guidance, Origin, Requirements, Risk, RiskPriority};

    fn service(name: &str, availability: &str) -> ServiceContext {
        let risk = |priority, text: &str| Risk {
            risk: text.to_owned(),
            kind: Some("security".to_owned()),
            priority,
            ..Risk::default()
        };
        ServiceContext {
            origin: Some(Origin { namespace: "commerce".to_owned(), name: name.to_owned(), criticality: None }),
            requirements: Requirements {
                availability: Some(availability.to_owned()),
                latency_p99: Some("200ms".to_owned()),
                ..Requirements::default()
            },
            risks: vec![risk(RiskPriority::P2, "leak"), risk(RiskPriority::P1, &"x".repeat(300))],
            design: Design { adr: Some("docs/adr/1.md".to_owned()), ..Design::default() },
            guidance: Guidance::default(),
            ..ServiceContext::default()
        }
    }

    fn project() -> ProjectConfig {
        ProjectConfig {
            id: "shop".to_owned(),
            name: "Shop".to_owned(),
            owner: Some("shop-team".to_owned()),
            criticality: None,
            value: None,
            epic: None,
            include: Vec::new(),
            repositories: Vec::new(),
            contexts: vec![service("checkout", "99.95"), service("cart", "99.5")],
        }
    }

    #[test]
    fn a_project_exports_what_its_services_promise_and_risk() {
        let points = points(&project());
        let read = |wanted: Metric| -> Vec<(String, f64)> {
            let of = points.iter().filter(|(metric, ..)| metric.name == wanted.name);
            of.map(|(_, attributes, value)| (format!("{:?}", attributes.read()), *value)).collect()
        };
        let availability = read(names::M_REQUIREMENT_AVAILABILITY);
        assert_eq!(availability.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [99.5, 99.95]);
        assert!(availability[1].0.contains("commerce/checkout"), "{availability:?}");
        let latency = read(names::M_REQUIREMENT_LATENCY);
        assert!(latency.len() == 2 && latency[0].0.contains("0.99") && latency[0].1 == 0.2, "{latency:?}");
        assert_eq!(read(names::M_RISK_COUNT).iter().map(|(_, value)| *value).collect::<Vec<_>>(), [2.0, 2.0]);
        let risks = read(names::M_RISK_INFO);
        assert!(risks.len() == 4 && risks.iter().all(|(text, _)| !text.contains(&"x".repeat(201))), "{risks:?}");
        assert_eq!(read(names::M_DESIGN_INFO).len(), 2);
    }

    #[test]
    fn a_series_comes_once_although_two_services_say_the_same() {
        let mut project = project();
        project.contexts.iter_mut().for_each(|context| context.origin = None);
        let points = points(&project);
        let of = |wanted: Metric| points.iter().filter(|(metric, ..)| metric.name == wanted.name).collect::<Vec<_>>();
        let availability = of(names::M_REQUIREMENT_AVAILABILITY);
        assert!(availability.len() == 1 && availability[0].2 == 99.95);
        assert_eq!((of(names::M_RISK_INFO).len(), of(names::M_DESIGN_INFO).len()), (2, 1));
    }

    #[test]
    fn a_resource_has_the_strictest_and_the_most_urgent() {
        let text = format!("{:?}", attributes(&project()).read());
        for part in ["99.95", "0.2", "\"P1\"", "security", "docs/adr/1.md", "shop-team"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
