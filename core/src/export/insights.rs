//! Insights as telemetry: a final span when one is reported, a log record for each later change, the waiting ones in snapshots,
//! and numbers without any text. What leaves of their texts, `privacy.insights` says.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{ExportContext, ResourceKey};
use super::lineage::{self, TimelineCache};
use super::message::{Attributes, Link, Span};
use crate::config::InsightPrivacy;
use crate::model::error::Result;
use crate::model::ids::{self, Role, SpanId, TraceId};
use crate::model::insight::{
    AuthorKind, Folded, Insight, InsightEvent, InsightRecord, InsightReport, InsightStatus, InsightType, reading,
};
use crate::model::operation::{self, InsightEmit};
use crate::model::semconv::{self as names, Metric};
use crate::model::time::Millis;
use crate::model::timeline;
use crate::model::{TaskKey, insight};
use crate::store::{ACTIVE_FOR, Store};

/// Tasks that an insight's span is linked to.
const MOST_LINKS: usize = 16;
/// Attributes of the caller's own on a span.
const MOST_OWN: usize = 16;
/// Insights of a type in a snapshot of a project.
const MOST_WAITING: usize = 500;
/// The types that wait for somebody.
const WAITING: [InsightType; 4] =
    [InsightType::Question, InsightType::Blocker, InsightType::Risk, InsightType::Handoff];

/// Renders insights, with the cache and the configuration at hand.
pub(crate) struct InsightRender<'a> {
    pub(crate) cache: &'a TimelineCache<'a>,
    pub(crate) context: &'a ExportContext<'a>,
}

/// A final span of an insight: its trace, its resource, and the span.
pub(crate) type InsightSpan = (TraceId, ResourceKey, Span);

impl InsightRender<'_> {
    /// The final span: what was reported first, as it was reported.
    pub(crate) fn span(&self, record: &InsightRecord) -> Result<Option<InsightSpan>> {
        let (Some((report, emit)), Some(folded)) = (record.shown(), insight::fold(record)) else { return Ok(None) };
        let key = record.key();
        let attributes = self
            .identity(Role::Insight.as_str(), &folded.insight)
            .maybe(names::INSIGHT_SUMMARY, self.text(Some(&emit.summary)))
            .maybe(names::INSIGHT_RATIONALE, self.longer(emit.rationale.as_deref()))
            .maybe_double(names::INSIGHT_CONFIDENCE, emit.confidence)
            .maybe(names::INSIGHT_CATEGORY, self.text(emit.category.as_deref()))
            .texts(names::INSIGHT_SUPERSEDES, &emit.supersedes);
        let attributes = self.own(attributes, emit);
        let name = self.name(folded.insight.insight_type, &emit.summary);
        let span = Span {
            attributes,
            links: self.links(record, report, &folded.insight)?,
            ..Span::new(ids::span(&key, Role::Insight, 1), name, report.at, report.at)
        };
        Ok(Some((ids::insight_trace(&key), self.resource(record), span)))
    }

    /// The resource of its project.
    pub(crate) fn resource(&self, record: &InsightRecord) -> ResourceKey {
        self.context.resource_key(&record.source, &record.project)
    }

    /// A waiting insight in the snapshot of a tick.
    pub(crate) fn snapshot(&self, record: &InsightRecord, tick: Millis, interval: i64) -> Option<(ResourceKey, Span)> {
        let insight = insight::fold(record)?.insight.at(tick);
        let key = record.key();
        let attributes = self
            .identity("insight_snapshot", &insight)
            .maybe(names::INSIGHT_SUMMARY, self.text(Some(&insight.summary)))
            .maybe_double(names::INSIGHT_CONFIDENCE, insight.confidence)
            .maybe(names::INSIGHT_CATEGORY, self.text(insight.category.as_deref()))
            .text(names::INSIGHT_STATUS, insight.status.as_str())
            .double(names::INSIGHT_AGE, tick.seconds_since(insight.created).max(0.0));
        let history =
            Link { trace: ids::insight_trace(&key), span: ids::span(&key, Role::Insight, 1), kind: "history" };
        let id = ids::span(&key, Role::Snapshot, tick.0.cast_unsigned());
        let name = self.name(insight.insight_type, &insight.summary);
        let span = Span { attributes, links: vec![history], ..Span::new(id, name, tick, tick.plus(interval)) };
        Some((self.resource(record), span))
    }

    /// The body and the attributes of the record of a change.
    pub(crate) fn change(&self, insight: &Insight, entry: &InsightEvent) -> (String, Attributes) {
        let by = self.who(entry.by.as_deref(), entry.kind);
        let attributes = Attributes::new()
            .text(names::INSIGHT_ID, &insight.id)
            .text(names::INSIGHT_TYPE, insight.insight_type.as_str())
            .text(names::INSIGHT_STATUS, entry.status.as_str())
            .text(names::INSIGHT_ACTION, &entry.action)
            .maybe(names::EVENT_ACTOR, by.as_deref())
            .maybe(names::EVENT_TEXT, self.longer(entry.text.as_deref()))
            .maybe(names::INSIGHT_REFUSED, entry.refused.as_deref());
        let what = self.name(insight.insight_type, &insight.summary);
        let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
        let body = match &entry.refused {
            Some(why) => format!("{what}: {}{by} was refused: {why}", entry.action),
            None => format!("{what}: {}{by}, now {}", entry.action, entry.status),
        };
        (body, attributes)
    }

    fn identity(&self, role: &str, insight: &Insight) -> Attributes {
        let author = &insight.author;
        let agent =
            Some(author).filter(|author| author.kind == AuthorKind::Agent).and_then(|author| author.id.as_deref());
        let person =
            Some(author).filter(|author| author.kind == AuthorKind::Human).and_then(|author| author.id.as_deref());
        let task = insight.task.as_deref().or_else(|| tasks(insight).next());
        let ours = Attributes::new()
            .text(names::ROLE, role)
            .text(names::INSIGHT_ID, &insight.id)
            .text(names::INSIGHT_TYPE, insight.insight_type.as_str())
            .maybe(names::TASK_ID, task)
            .texts(names::INSIGHT_APPLIES_TO, &insight.applies_to)
            .maybe(names::INSIGHT_TO, insight.to.as_deref())
            .maybe(names::INSIGHT_SEVERITY, self.text(insight.severity.as_deref()))
            .flag(names::INSIGHT_BLOCKING, insight.blocking)
            .maybe(names::AGENT_ID, agent)
            .maybe(names::AGENT_NAME, author.name.as_deref())
            .maybe(names::AGENT_SESSION_ID, author.session.as_deref())
            .maybe(names::AGENT_ON_BEHALF_OF, self.context.person(author.on_behalf_of.as_deref()).as_deref())
            .maybe(names::INSIGHT_AUTHOR, self.context.person(person).as_deref());
        if !self.context.config.semconv.gen_ai.is_written() {
            return ours;
        }
        ours.maybe(names::GEN_AI_AGENT_ID, agent)
            .maybe(names::GEN_AI_AGENT_NAME, author.name.as_deref())
            .maybe(names::GEN_AI_CONVERSATION_ID, author.session.as_deref())
    }

    /// What the caller gave beside the others.
    fn own(&self, attributes: Attributes, emit: &InsightEmit) -> Attributes {
        if self.context.config.privacy.insights != InsightPrivacy::Plain {
            return attributes;
        }
        let given = emit.context.0.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).take(MOST_OWN);
        given.fold(attributes, |all, (name, value)| {
            all.maybe(&format!("{}.{name}", names::INSIGHT_CONTEXT), Some(&value.to_string()))
        })
    }

    /// Links to the anchors of its tasks that were known when it was stored, and to the span that was active in the caller.
    fn links(&self, record: &InsightRecord, report: &InsightReport, insight: &Insight) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        for name in insight.task.as_deref().into_iter().chain(tasks(insight)).take(MOST_LINKS) {
            if let Some(anchor) = self.anchor(record, report, name)?
                && !links.contains(&anchor)
            {
                links.push(anchor);
            }
        }
        links.extend(report.traceparent.as_deref().and_then(parse_traceparent));
        Ok(links)
    }

    /// The anchor of a task: that of the same source, or of the one other source that has the key in the same project.
    fn anchor(&self, record: &InsightRecord, report: &InsightReport, name: &str) -> Result<Option<Link>> {
        let own = TaskKey::new(&*record.source, operation::native_id(&record.project, name));
        let project = self.context.project_id(&record.source, &record.project);
        let mut found = Vec::new();
        for key in std::iter::once(own.clone()).chain(self.cache.store().named(name)?) {
            let Some(task) = self.cache.record(&key)? else { continue };
            let is_known = task.timeline.first().is_some_and(|first| first.seq <= report.journal);
            let state = timeline::last(&task.timeline);
            let is_here =
                state.is_some_and(|state| self.context.project_id(&key.source, &state.facts.project) == project);
            if is_known && is_here && !found.contains(&key) {
                found.push(key);
            }
        }
        let key = match &found[..] {
            [key] => key,
            several if several.contains(&own) => &own,
            _ => return Ok(None),
        };
        let anchor = lineage::anchor(self.cache, key, report.at)?;
        Ok(anchor.map(|anchor| Link { trace: anchor.trace(1), span: anchor.span, kind: "task" }))
    }

    fn who<'n>(&self, by: Option<&'n str>, kind: AuthorKind) -> Option<std::borrow::Cow<'n, str>> {
        match kind {
            AuthorKind::Human => self.context.person(by),
            AuthorKind::Agent => by.map(Into::into),
        }
    }

    /// `decision: Selected event-driven architecture`, or the type alone.
    fn name(&self, insight_type: InsightType, summary: &str) -> String {
        self.text(Some(summary))
            .map_or_else(|| insight_type.to_string(), |summary| format!("{insight_type}: {summary}"))
    }

    /// A short text, or a word of the author's own.
    fn text<'t>(&self, text: Option<&'t str>) -> Option<&'t str> {
        text.filter(|_| self.context.config.privacy.insights != InsightPrivacy::Omit)
    }

    fn longer<'t>(&self, text: Option<&'t str>) -> Option<&'t str> {
        text.filter(|_| self.context.config.privacy.insights == InsightPrivacy::Plain)
    }
}

/// The tasks that an insight applies to.
fn tasks(insight: &Insight) -> impl Iterator<Item = &str> {
    insight.applies_to.iter().filter_map(|scope| scope.strip_prefix("task:"))
}

/// The open questions that the tasks of a project wait for, by the keys of the tasks.
pub(super) fn blocking_questions(open: &[InsightRecord], now: Millis) -> BTreeMap<String, BTreeSet<String>> {
    let mut questions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let folded = open.iter().filter_map(insight::fold).map(|folded| folded.insight.at(now));
    for insight in folded.filter(|insight| insight.insight_type == InsightType::Question && insight.blocking) {
        for task in insight.task.as_deref().into_iter().chain(tasks(&insight)) {
            questions.entry(task.to_owned()).or_default().insert(format!("question {}", insight.id));
        }
    }
    questions
}

/// The span that a `traceparent` names.
fn parse_traceparent(text: &str) -> Option<Link> {
    let mut parts = text.trim().split('-').skip(1);
    let trace = hex::<16>(parts.next()?)?;
    let span = hex::<8>(parts.next()?)?;
    let is_valid = trace != [0; 16] && span != [0; 8];
    is_valid.then_some(Link { trace: TraceId(trace), span: SpanId(span), kind: "runtime" })
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

/// The insights of every project that wait for somebody at a moment, by project id; of each type the newest.
pub(crate) fn waiting(
    store: &Store,
    context: &ExportContext<'_>,
    now: Millis,
) -> Result<BTreeMap<String, Vec<InsightRecord>>> {
    let mut all: BTreeMap<String, Vec<InsightRecord>> = BTreeMap::new();
    for project in store.insight_totals()?.into_keys() {
        for insight_type in WAITING {
            let mut of_type = Vec::new();
            for record in store.waiting_insights(&project, insight_type) {
                let record = record?;
                let insight = insight::fold(&record).map(|folded| folded.insight.at(now));
                if let Some(insight) = insight.filter(Insight::is_waiting) {
                    of_type.push((insight.created, record));
                }
            }
            of_type.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
            for (_, record) in of_type.into_iter().take(MOST_WAITING) {
                all.entry(context.project_id(&record.source, &project)).or_default().push(record);
            }
        }
    }
    Ok(all)
}

/// A number at one moment.
pub(crate) type Number = (Metric, Attributes, f64);

/// The numbers of every project's insights at a moment, by project id.
pub(crate) fn numbers(
    store: &Store,
    context: &ExportContext<'_>,
    now: Millis,
) -> Result<BTreeMap<String, Vec<Number>>> {
    let mut all: BTreeMap<String, Numbers> = BTreeMap::new();
    for (project, totals) in store.insight_totals()? {
        let numbers = all.entry(context.project_id(&sdk_source(context, &project), &project)).or_default();
        for (insight_type, by_status) in totals.count {
            for (status, count) in by_status {
                *numbers.count.entry((insight_type, status)).or_default() += count;
            }
        }
        numbers.active += totals.agents.values().filter(|at| now.0 - at.0 <= ACTIVE_FOR).count();
        for insight_type in InsightType::ALL {
            for record in store.waiting_insights(&project, *insight_type) {
                if let Some(Folded { insight, .. }) = insight::fold(&record?) {
                    numbers.add(&insight, now);
                }
            }
        }
    }
    Ok(all.into_iter().map(|(project, numbers)| (project, numbers.into_points())).collect())
}

/// The source that insights of a project come from, as far as the configuration puts it into a project of the portfolio.
fn sdk_source(context: &ExportContext<'_>, project: &str) -> String {
    let of_kind = context.config.sources.iter().filter(|source| source.takes_reports());
    let mut names = of_kind.map(|source| source.name.as_str());
    let first = names.clone().next().unwrap_or_default();
    names.find(|name| context.config.project_of(name, project).is_some()).unwrap_or(first).to_owned()
}

/// The numbers of a project.
#[derive(Default)]
struct Numbers {
    count: BTreeMap<(InsightType, InsightStatus), i64>,
    /// When the oldest question without an answer was asked: those that block, and the others.
    oldest: [Option<Millis>; 2],
    active: usize,
    now: Millis,
}

impl Numbers {
    /// What time has made of an insight that may have ended.
    fn add(&mut self, insight: &Insight, now: Millis) {
        self.now = now;
        let status = reading::status_at(insight.insight_type, insight.status, insight.expires_at, now);
        if status != insight.status {
            *self.count.entry((insight.insight_type, insight.status)).or_default() -= 1;
            *self.count.entry((insight.insight_type, status)).or_default() += 1;
        }
        if insight.insight_type == InsightType::Question && insight.clone().at(now).is_waiting() {
            let oldest = &mut self.oldest[usize::from(insight.blocking)];
            *oldest = Some(oldest.map_or(insight.created, |oldest| oldest.min(insight.created)));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of insights are far below 2^53")]
    fn into_points(self) -> Vec<Number> {
        let mut points = Vec::new();
        for ((insight_type, status), count) in self.count {
            let attributes = Attributes::new()
                .text(names::INSIGHT_TYPE, insight_type.as_str())
                .text(names::INSIGHT_STATUS, status.as_str());
            points.push((names::M_INSIGHT_COUNT, attributes, count as f64));
        }
        for (blocking, oldest) in ["false", "true"].into_iter().zip(self.oldest) {
            let age = oldest.map_or(0.0, |oldest| self.now.seconds_since(oldest).max(0.0));
            points.push((names::M_QUESTION_AGE, Attributes::new().text(names::BLOCKING, blocking), age));
        }
        points.push((names::M_AGENT_ACTIVE, Attributes::new(), self.active as f64));
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_becomes_a_link() {
        let link = parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(
            (link.trace.to_string().as_str(), link.span.to_string().as_str()),
            ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
        );
        for text in ["", "00-0af7-b7ad-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-ä"] {
            assert_eq!(parse_traceparent(text), None, "{text}");
        }
    }
}
