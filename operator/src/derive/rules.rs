//! Objectives as a `PrometheusRule`: recordings, and alerts on the rate at which the error budget burns.
//!
//! An alert asks three things. The ratio of bad requests over a long window is above a multiple of the budget; so it is over a
//! short window, which lets the alert end soon after the trouble; and enough requests were bad, counted one by one, so that one
//! failure among three requests at night wakes nobody. On windows longer than an hour the ratio is damped while the series is
//! young: the first minutes of a service are not six hours.

use serde_json::{Map, Value, json};

use super::annotations;
use super::names::{
    ABSENT, BAD, BUDGET_LEFT, BURN_RATE, INFO, OBJECTIVE, PAGE, PERIOD_RATIO, RATIO, THROUGHPUT, TICKET, TOTAL,
};
use super::object::Object;
use super::plan::Plan;
use super::sli::Sli;
use super::slo::Slo;
use super::subject::Subject;
use super::tiers::{GROUP_INTERVAL_SECONDS, Tier, tiers};
use crate::escape;
use crate::settings::Settings;
use crate::units;

/// Windows whose ratio is read from the raw series, and those that sum the recordings: cheap, and weighted by traffic.
const RAW_WINDOWS: [&str; 3] = ["5m", "30m", "1h"];
const SUMMED_WINDOWS: [&str; 4] = ["2h", "6h", "1d", "3d"];
/// Label `slo` of what is about how much traffic there is.
const TRAFFIC: &str = "throughput";
/// For how long a service that ended is missed.
const THROUGHPUT_MEMORY: &str = "1d";
const BURN_WINDOWS: [&str; 4] = ["1h", "6h", "1d", "3d"];

/// The `PrometheusRule` of a context; `None`: it requires nothing.
pub(crate) fn object(plan: &Plan, settings: &Settings) -> Option<Object> {
    let sli = plan.objectives.sli.as_ref()?;
    let subject = &plan.subject;
    let prefix = format!("contextcore-slo-{}-{}", subject.namespace, subject.name);
    let mut groups = Vec::new();
    for slo in &plan.objectives.slos {
        let name = format!("{prefix}-{}", slo.name);
        let rules = [recordings(plan, slo, sli), alerts(plan, slo, settings)].concat();
        groups.push(group(&name, "30s", rules));
        groups.push(group(&format!("{name}-period"), "5m", period(plan, slo)));
    }
    let alone = [traffic(plan, sli), throughput(plan, sli, settings), absent(plan, sli, settings)];
    let others: Vec<Value> = alone.into_iter().flatten().collect();
    if !others.is_empty() {
        groups.push(group(&format!("{prefix}-traffic"), "30s", others));
    }
    if groups.is_empty() {
        return None;
    }
    let name = format!("contextcore-{}", subject.name);
    let object = Object::new("monitoring.coreos.com/v1", "PrometheusRule", subject.namespace, &name);
    Some(object.monitoring().with("spec", json!({"groups": groups})))
}

/// Objectives so low that no page can fire for them: so much may be bad that no ratio is a multiple of it. A ticket always can.
pub(crate) fn without_page<'a>(plan: &'a Plan) -> impl Iterator<Item = &'static str> + 'a {
    let is_wanted = plan.policy.page.is_some();
    let pages = |slo: &&Slo| alert_tiers(plan, slo).any(|tier| tier.is_page);
    plan.objectives.slos.iter().filter(move |slo| is_wanted && !pages(slo)).map(|slo| slo.name)
}

/// The pairs of windows that can fire, for those who may be paged.
fn alert_tiers<'a>(plan: &'a Plan, slo: &'a Slo) -> impl Iterator<Item = &'static Tier> + 'a {
    let window = plan.objectives.window;
    let wanted = move |tier: &&Tier| !tier.is_page || plan.policy.page.is_some();
    tiers(window).iter().filter(wanted).filter(move |tier| tier.factor(window) * slo.budget < 1.0)
}

fn group(name: &str, interval: &str, rules: Vec<Value>) -> Value {
    json!({"name": name, "interval": interval, "rules": rules})
}

/// Labels of every rule of an objective.
fn labels(subject: &Subject, slo: &str) -> Map<String, Value> {
    let pairs = [
        ("project", subject.project()),
        ("namespace", subject.namespace),
        ("service", subject.service()),
        ("slo", slo),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// The matchers that find the recordings of an objective.
fn selector(subject: &Subject, slo: &str) -> String {
    let label =
        |(name, value): (String, Value)| format!("{name}=\"{}\"", escape::promql(value.as_str().unwrap_or_default()));
    let mut all: Vec<String> = labels(subject, slo).into_iter().map(label).collect();
    all.sort();
    format!("{{{}}}", all.join(","))
}

fn record(name: &str, expr: String, labels: &Map<String, Value>) -> Value {
    json!({"record": name, "expr": expr, "labels": labels})
}

fn ratio(window: &str) -> String {
    format!("{RATIO}{window}")
}

fn recordings(plan: &Plan, slo: &Slo, sli: &Sli) -> Vec<Value> {
    let (labels, selector) = (labels(&plan.subject, slo.name), selector(&plan.subject, slo.name));
    let mut rules = vec![record(TOTAL, slo.total(sli, "5m"), &labels), record(BAD, slo.bad(sli, "5m"), &labels)];
    for window in RAW_WINDOWS {
        let expr = format!("{} / ({} > 0)", slo.bad(sli, window), slo.total(sli, window));
        rules.push(record(&ratio(window), expr, &labels));
    }
    for window in SUMMED_WINDOWS {
        rules.push(record(&ratio(window), summed_ratio(&selector, window), &labels));
    }
    rules.push(record(OBJECTIVE, format!("vector({})", units::number(1.0 - slo.budget)), &labels));
    for window in BURN_WINDOWS {
        let expr = format!("{}{selector} / {}", ratio(window), units::number(slo.budget));
        rules.push(record(BURN_RATE, expr, &with_window(&labels, window)));
    }
    rules.push(record(INFO, "vector(1)".to_owned(), &info_labels(plan, slo, &labels)));
    rules
}

fn summed_ratio(selector: &str, window: &str) -> String {
    format!("sum_over_time({BAD}{selector}[{window}]) / (sum_over_time({TOTAL}{selector}[{window}]) > 0)")
}

fn period(plan: &Plan, slo: &Slo) -> Vec<Value> {
    let window = plan.objectives.window.as_str();
    let selector = selector(&plan.subject, slo.name);
    let labels = with_window(&labels(&plan.subject, slo.name), window);
    let left = format!("1 - {PERIOD_RATIO}{selector} / {}", units::number(slo.budget));
    vec![record(PERIOD_RATIO, summed_ratio(&selector, window), &labels), record(BUDGET_LEFT, left, &labels)]
}

fn with_window(labels: &Map<String, Value>, window: &str) -> Map<String, Value> {
    let mut labels = labels.clone();
    labels.insert("window".to_owned(), window.into());
    labels
}

fn info_labels(plan: &Plan, slo: &Slo, labels: &Map<String, Value>) -> Map<String, Value> {
    let mut labels = with_window(labels, plan.objectives.window.as_str());
    labels.extend(importance(plan));
    labels.insert("objective".to_owned(), slo.objective.as_str().into());
    labels.insert("sli".to_owned(), plan.subject.sli().profile.as_str().into());
    labels
}

/// Labels that say how much it matters, and to whom.
fn importance(plan: &Plan) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert("criticality".to_owned(), plan.policy.criticality.as_str().into());
    labels.insert("priority".to_owned(), plan.policy.derived.alert_priority.as_str().into());
    labels.extend(plan.subject.owner().map(|owner| ("owner".to_owned(), owner.into())));
    labels
}

/// Labels of an alert. Unlike those of a recording they are templates, so texts of people are escaped.
fn alert_labels(plan: &Plan, slo: &str, severity: &str) -> Map<String, Value> {
    let mut labels = labels(&plan.subject, slo);
    labels.extend(importance(plan));
    labels.insert("severity".to_owned(), severity.into());
    let channels = &plan.policy.derived.alert_channels;
    if !channels.is_empty() {
        labels.insert("channels".to_owned(), format!(",{},", channels.join(",")).into());
    }
    for value in labels.values_mut() {
        *value = escape::template(value.as_str().unwrap_or_default()).into();
    }
    labels
}

fn alerts(plan: &Plan, slo: &Slo, settings: &Settings) -> Vec<Value> {
    alert_tiers(plan, slo).map(|tier| burn_alert(plan, slo, *tier, settings)).collect()
}

fn burn_alert(plan: &Plan, slo: &Slo, tier: Tier, settings: &Settings) -> Value {
    let (alert, severity) = match &plan.policy.page {
        Some(severity) if tier.is_page => (PAGE, severity),
        _ => (TICKET, &plan.policy.ticket),
    };
    let mut labels = alert_labels(plan, slo.name, severity);
    labels.insert("long_window".to_owned(), tier.long.into());
    json!({
        "alert": alert,
        "expr": muted(plan, burns(plan, slo, tier)),
        "for": tier.hold,
        "keep_firing_for": tier.keep,
        "labels": labels,
        "annotations": annotations::of_burn(plan, slo, tier, settings),
    })
}

fn burns(plan: &Plan, slo: &Slo, tier: Tier) -> String {
    let selector = selector(&plan.subject, slo.name);
    let limit = units::number(tier.factor(plan.objectives.window) * slo.budget);
    let mut long = format!("{}{selector}", ratio(tier.long));
    if tier.long_hours > 1 {
        let samples = tier.long_hours * 3600 / GROUP_INTERVAL_SECONDS;
        long = format!("{long} * clamp_max(count_over_time({TOTAL}{selector}[{}]) / {samples}, 1)", tier.long);
    }
    let short = format!("{}{selector}", ratio(tier.short));
    let events = format!("sum_over_time({BAD}{selector}[{}]) * {GROUP_INTERVAL_SECONDS}", tier.long);
    format!("{long} > {limit}\n  and\n{short} > {limit}\n  and\n{events} >= {}", plan.objectives.min_bad_events)
}

/// Nothing fires before the end of `disableAlerts`. The clock is that of Prometheus, so that no one has to remember to end it.
fn muted(plan: &Plan, expr: String) -> String {
    let disabled = plan.subject.spec().observability.as_ref().and_then(|said| said.disable_alerts.as_ref());
    match disabled.and_then(|disabled| units::until(&disabled.until)) {
        Some(until) => format!("({expr})\n  and on ()\nvector(time()) >= {until}"),
        None => expr,
    }
}

/// The recording that the alert on throughput remembers the service by, where no objective has one.
fn traffic(plan: &Plan, sli: &Sli) -> Option<Value> {
    let is_needed = plan.objectives.throughput.is_some() && plan.objectives.slos.is_empty();
    is_needed.then(|| record(TOTAL, sli.total("5m"), &labels(&plan.subject, TRAFFIC)))
}

fn throughput(plan: &Plan, sli: &Sli, settings: &Settings) -> Option<Value> {
    let expected = plan.objectives.throughput?;
    // A service that ended has no series, which is no number to compare: for a day its traffic counts as none.
    let recorded = plan.objectives.slos.first().map_or(TRAFFIC, |slo| slo.name);
    let memory = format!("{TOTAL}{}[{THROUGHPUT_MEMORY}]", selector(&plan.subject, recorded));
    let total = format!("({} or 0 * sum(count_over_time({memory})))", sli.total("5m"));
    let expr = format!("{total} < {}", units::number(expected / 2.0));
    Some(json!({
        "alert": THROUGHPUT,
        "expr": muted(plan, expr),
        "for": "30m",
        "labels": alert_labels(plan, TRAFFIC, &plan.policy.ticket),
        "annotations": annotations::of_throughput(plan, expected, settings),
    }))
}

fn absent(plan: &Plan, sli: &Sli, settings: &Settings) -> Option<Value> {
    let window = settings.alerts.absent.as_deref()?;
    Some(json!({
        "alert": ABSENT,
        "expr": muted(plan, format!("absent({})", sli.total(window))),
        "for": "5m",
        "labels": alert_labels(plan, "traffic", &plan.policy.ticket),
        "annotations": annotations::of_absence(plan, window, settings),
    }))
}
