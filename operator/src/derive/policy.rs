//! The values in force: what a context says, else what follows from its criticality, within the limits of its namespace.

use std::collections::BTreeSet;

use super::refusal::Refusal;
use super::subject::Subject;
use super::{Row, TABLE};
use crate::resource::{Audit, Criticality, Derived, Observability, Placement, Priority, Source, Sources};
use crate::settings::{Limit, Native, Settings};
use crate::units;

const REVENUE: &str = "revenue-primary";
const EXECUTIVES: &str = "executive-dashboard";
/// Above it, alerts on requirements come hours late.
const SLOW_SECONDS: u64 = 120;

/// The values in force for a context.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) criticality: Criticality,
    pub(crate) derived: Derived,
    /// Severity of pages; `None`: there are none.
    pub(crate) page: Option<String>,
    /// Severity of tickets.
    pub(crate) ticket: String,
    pub(crate) notes: Vec<String>,
}

/// A row of the table with the values that the settings replaced.
struct Defaults {
    trace_sampling: f64,
    metrics_interval: String,
    alert_priority: Priority,
    page: Option<String>,
    ticket: String,
    placement: Placement,
    channels: Option<Vec<String>>,
}

/// # Errors
/// `NotPermitted` when the context uses a project id or a channel that its namespace may not, or includes what is kept for a project.
pub(crate) fn resolve(subject: &Subject, settings: &Settings) -> Result<Policy, Refusal> {
    let limit = settings.limits.of(subject.namespace);
    permitted_project(subject, settings)?;
    permitted_include(subject, settings)?;
    let mut notes = Vec::new();
    let asked = subject.criticality();
    let criticality = limit.max_criticality.map_or(asked, |max| asked.max(max));
    if criticality != asked {
        notes.push(format!(
            "business.criticality is {criticality}, not {asked}: the limit of namespace {}",
            subject.namespace
        ));
    }
    let defaults = defaults(criticality, settings);
    let observability = subject.spec().observability.clone().unwrap_or_default();
    let (trace_sampling, sampling_source) = sampling(&observability, &defaults, limit);
    let (metrics_interval, interval_source) = interval(&observability, &defaults, limit);
    if has_objectives(subject) && units::interval(&metrics_interval).is_some_and(|seconds| seconds > SLOW_SECONDS) {
        notes.push(format!("metricsInterval {metrics_interval} is too slow for requirements: alerts come hours late"));
    }
    let (alert_priority, priority_source) = priority(&observability, &defaults, limit, settings);
    let (alert_channels, channels_source) =
        channels(subject, &observability, &defaults, limit, criticality, &mut notes)?;
    let (dashboard_placement, placement_source) = placement(subject, &observability, &defaults, limit, criticality);
    let (audit_logging, audit_source) = audit(subject, &observability, limit);
    let sources = Sources {
        trace_sampling: sampling_source,
        metrics_interval: interval_source,
        alert_priority: priority_source,
        alert_channels: channels_source,
        dashboard_placement: placement_source,
        audit_logging: audit_source,
    };
    let derived = Derived {
        trace_sampling,
        metrics_interval,
        alert_priority,
        alert_channels,
        dashboard_placement,
        audit_logging,
        sources,
    };
    Ok(Policy { criticality, derived, page: defaults.page, ticket: defaults.ticket, notes })
}

fn permitted_project(subject: &Subject, settings: &Settings) -> Result<(), Refusal> {
    let allowed = settings.projects.get(subject.project());
    if allowed.is_none_or(|limit| limit.namespaces.contains(subject.namespace)) {
        return Ok(());
    }
    Err(Refusal::new(
        "NotPermitted",
        format!(
            "spec.project.id: {} may not be used in namespace {}: choose another id, or ask the platform team to add the \
             namespace to `projects` of the settings",
            subject.project(),
            subject.namespace
        ),
    ))
}

/// What the settings keep for a project, no other project includes.
fn permitted_include(subject: &Subject, settings: &Settings) -> Result<(), Refusal> {
    for include in &subject.spec().project.include {
        let is_it = |kept: &Native| kept.source == include.source && kept.project == include.project;
        let mut others = settings.projects.iter().filter(|(id, _)| *id != subject.project());
        if let Some((id, _)) = others.find(|(_, limit)| limit.include.iter().any(is_it)) {
            return Err(Refusal::new(
                "NotPermitted",
                format!(
                    "spec.project.include: {} of {} is kept for project {id}: remove it, or ask the platform team to change \
                     `projects` of the settings",
                    include.project, include.source
                ),
            ));
        }
    }
    Ok(())
}

fn row(criticality: Criticality) -> &'static Row {
    TABLE.iter().find(|row| row.criticality == criticality).unwrap_or(&TABLE[2])
}

fn defaults(criticality: Criticality, settings: &Settings) -> Defaults {
    let row = row(criticality);
    let instead = settings.derivation.get(&criticality).cloned().unwrap_or_default();
    let page = instead.page_severity.or_else(|| row.page_severity.map(str::to_owned));
    Defaults {
        trace_sampling: instead.trace_sampling.unwrap_or(row.trace_sampling),
        metrics_interval: instead.metrics_interval.unwrap_or_else(|| row.metrics_interval.to_owned()),
        alert_priority: instead.alert_priority.unwrap_or(row.alert_priority),
        page: page.filter(|severity| !severity.is_empty()),
        ticket: instead.ticket_severity.unwrap_or_else(|| row.ticket_severity.to_owned()),
        placement: instead.dashboard_placement.unwrap_or(row.placement),
        channels: instead.alert_channels,
    }
}

/// What the context says, else the default, each with its source.
fn chosen<T>(said: Option<T>, default: T) -> (T, Source) {
    said.map_or((default, Source::Criticality), |value| (value, Source::Spec))
}

fn sampling(observability: &Observability, defaults: &Defaults, limit: &Limit) -> (f64, Source) {
    let (value, source) = chosen(observability.trace_sampling, defaults.trace_sampling);
    match limit.max_trace_sampling {
        Some(max) if value > max => (max, Source::Policy),
        _ => (value.clamp(0.0, 1.0), source),
    }
}

fn interval(observability: &Observability, defaults: &Defaults, limit: &Limit) -> (String, Source) {
    let (value, source) = chosen(observability.metrics_interval.clone(), defaults.metrics_interval.clone());
    match &limit.min_metrics_interval {
        Some(min) if units::interval(&value) < units::interval(min) => (min.clone(), Source::Policy),
        _ => (value, source),
    }
}

/// A namespace that may not be critical may not call its alerts so either.
fn priority(
    observability: &Observability,
    defaults: &Defaults,
    limit: &Limit,
    settings: &Settings,
) -> (Priority, Source) {
    let (value, source) = chosen(observability.alert_priority, defaults.alert_priority);
    match limit.max_criticality.map(|max| self::defaults(max, settings).alert_priority) {
        Some(max) if value < max => (max, Source::Policy),
        _ => (value, source),
    }
}

fn channels(
    subject: &Subject,
    observability: &Observability,
    defaults: &Defaults,
    limit: &Limit,
    criticality: Criticality,
    notes: &mut Vec<String>,
) -> Result<(Vec<String>, Source), Refusal> {
    let allowed = |channel: &String| limit.channels.as_ref().is_none_or(|known| known.contains(channel));
    if let Some(channel) = observability.alert_channels.iter().find(|channel| !allowed(channel)) {
        let known = limit.channels.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
        let message = format!(
            "spec.observability.alertChannels: {channel} may not be used in namespace {}: allowed are {known}",
            subject.namespace
        );
        return Err(Refusal::new("NotPermitted", message));
    }
    if !observability.alert_channels.is_empty() {
        return Ok((unique(observability.alert_channels.iter().cloned()), Source::Spec));
    }
    let derived = defaults.channels.clone().unwrap_or_else(|| named_after(subject, criticality));
    let (kept, dropped): (Vec<_>, Vec<_>) = derived.into_iter().partition(allowed);
    if dropped.is_empty() {
        return Ok((kept, Source::Criticality));
    }
    notes.push(format!("channels {} may not be used in namespace {}", dropped.join(", "), subject.namespace));
    Ok((kept, Source::Policy))
}

/// Channels named after the owner: `commerce-team` has `commerce-oncall` for what is urgent and `commerce` for the rest.
fn named_after(subject: &Subject, criticality: Criticality) -> Vec<String> {
    let plain = |owner: &&str| owner.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let Some(owner) = subject.owner().filter(plain) else { return Vec::new() };
    let base = owner.strip_suffix("-team").unwrap_or(owner);
    let mut channels = match criticality {
        Criticality::Critical | Criticality::High => vec![format!("{base}-oncall")],
        Criticality::Medium | Criticality::Low => vec![base.to_owned()],
    };
    if criticality == Criticality::Critical && subject.value() == Some(REVENUE) {
        channels.push(EXECUTIVES.to_owned());
    }
    channels
}

fn placement(
    subject: &Subject,
    observability: &Observability,
    defaults: &Defaults,
    limit: &Limit,
    criticality: Criticality,
) -> (Placement, Source) {
    let earns = criticality == Criticality::High && subject.value() == Some(REVENUE);
    let default = if earns { Placement::Featured } else { defaults.placement };
    let (value, source) = chosen(observability.dashboard_placement, default);
    let limited = limit.max_criticality.is_some_and(|max| row(max).placement != Placement::Featured);
    if limited && source == Source::Spec && value == Placement::Featured && default != Placement::Featured {
        return (default, Source::Policy);
    }
    (value, source)
}

fn audit(subject: &Subject, observability: &Observability, limit: &Limit) -> (Audit, Source) {
    let is_risky = subject.spec().risks.iter().any(|risk| risk.priority == Priority::P1);
    let (value, source) = match observability.audit_logging {
        Some(said) => (said, Source::Spec),
        None if is_risky => (Audit::Extended, Source::Risk),
        None => (Audit::Standard, Source::Criticality),
    };
    match limit.max_audit {
        Some(Audit::Standard) if value == Audit::Extended => (Audit::Standard, Source::Policy),
        _ => (value, source),
    }
}

fn has_objectives(subject: &Subject) -> bool {
    subject.requirements().is_some()
}

fn unique(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}
