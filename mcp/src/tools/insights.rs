//! `find_insights`, `record_insight` and `update_insight`: what agents decided, learned and asked. Each reads with the query of
//! `contextcore insight query` and writes a line to the spool, as `contextcore insight emit` does.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use contextcore_core::model::insight::search::Wanted;
use contextcore_core::model::insight::{
    AuthorKind, InsightAction, InsightEvent, InsightStatus, InsightType, identity, lifecycle, limits,
};
use contextcore_core::model::operation::{InsightEmit, InsightUpdate, Operation, Support};
use contextcore_core::query::{Cursor, FoundInsight, InsightQuery, InsightSelector, InsightView};
use contextcore_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Call, budget_of, insight};
use crate::answer::{Answer, Problem};
use crate::clean;

/// How long an acceptance may take until it is stored, before it is called pending: a service collects reports for two seconds.
const STORED_WITHIN: Duration = Duration::from_secs(4);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(250);
const DEFAULT_LIMIT: usize = 10;
/// How near another insight must be before the caller is asked about it.
const NEAR: f64 = 0.8;
const NEAREST: usize = 3;
/// How many entries of its history an insight is shown with.
const ENTRIES: usize = 10;

#[derive(Deserialize)]
struct Find {
    text: Option<String>,
    #[serde(default)]
    paths: Vec<String>,
    task: Option<String>,
    #[serde(default, rename = "type")]
    types: Vec<InsightType>,
    #[serde(default)]
    tags: Vec<String>,
    agent: Option<String>,
    status: Option<String>,
    since: Option<String>,
    min_confidence: Option<f64>,
    limit: Option<usize>,
    cursor: Option<String>,
    id: Option<String>,
    budget: Option<i64>,
    project: Option<String>,
}

pub(super) fn find(call: &Call<'_>, arguments: &Map<String, Value>) -> Result<Answer, Problem> {
    let mut given: Find = crate::arguments::read(arguments)?;
    call.make_relative(&mut given.paths);
    let budget = budget_of(given.budget);
    if let Some(id) = &given.id {
        let fields = json!({"insight": in_full(&call.insight(id)?)});
        return Ok(Answer { budget: Some(budget), ..Answer::new(fields, &[]) });
    }
    // What is merely on record is listed to who asks for its type.
    let is_noted = |kind: &InsightType| lifecycle::first(*kind) == InsightStatus::Noted;
    let usual = match (given.types.iter().any(is_noted), given.text.is_some()) {
        (true, true) => "open,suggested,answered,noted",
        (true, false) => "open,noted",
        // Who asks in words wants to know what was answered before.
        (false, true) => "open,suggested,answered",
        (false, false) => "open",
    };
    let status: Wanted =
        given.status.as_deref().unwrap_or(usual).parse().map_err(|error| Problem::usage(format!("status: {error}")))?;
    let mut query = InsightQuery {
        project: Some(call.project(given.project.as_deref())?),
        text: given.text,
        paths: given.paths,
        task: given.task,
        types: given.types,
        tags: given.tags,
        agent: given.agent,
        status,
        since: given.since,
        min_confidence: given.min_confidence,
        limit: NonZeroUsize::new(given.limit.unwrap_or(DEFAULT_LIMIT)),
        cursor: given.cursor.map(Cursor::from),
        reader: Some(call.caller.agent.clone()),
        ..InsightQuery::default()
    };
    let rows = |found: &[FoundInsight]| found.iter().map(|found| insight::row(&found.insight)).collect::<Vec<_>>();
    let mut found = call.reads.insights(&query)?;
    let mut shown = rows(&found.insights);
    let fitting = super::fitting(&shown, budget);
    if fitting < shown.len() {
        query.limit = NonZeroUsize::new(fitting.max(1));
        found = call.reads.insights(&query)?;
        shown = rows(&found.insights);
    }
    let next = found.next.map(|next| next.to_string());
    let fields = json!({"insights": shown, "total": found.total, "next": next});
    Ok(Answer { budget: Some(budget), ..Answer::new(fields, &["insights"]) })
}

fn in_full(view: &InsightView) -> Value {
    let mut value = insight::whole(&view.insight);
    let entries = view.entries.iter().rev().take(ENTRIES).rev();
    let entries: Vec<Value> = entries
        .map(|entry| {
            json!({"at": entry.at, "action": entry.action, "by": entry.by, "why": entry.text, "status": entry.status, "refused": entry.refused})
        })
        .collect();
    if let Value::Object(fields) = &mut value {
        fields.insert("history".to_owned(), Value::Array(entries));
    }
    value
}

impl Call<'_> {
    /// The insight whose id begins like this, if the caller may see it.
    pub(super) fn insight(&self, id: &str) -> Result<InsightView, Problem> {
        let view = self.reads.insight(&InsightSelector { id: id.to_owned(), project: None })?;
        if self.caller.sees(&view.insight.project) {
            return Ok(view);
        }
        Err(Error::new(ErrorKind::NotFound, format!("there is no insight `{id}`")).into())
    }
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "type")]
    insight_type: InsightType,
    summary: String,
    rationale: Option<String>,
    confidence: Option<f64>,
    category: Option<String>,
    #[serde(default)]
    applies_to: Vec<String>,
    #[serde(default)]
    evidence: Vec<Support>,
    supersedes: Option<String>,
    expires_at: Option<String>,
    task: Option<String>,
    key: Option<String>,
    project: Option<String>,
}

pub(super) fn record(call: &Call<'_>, arguments: &Map<String, Value>) -> Result<Answer, Problem> {
    let given: Record = crate::arguments::read(arguments)?;
    let project = call.project(given.project.as_deref())?;
    if let Some(until) = &given.expires_at {
        super::moment("expires_at", until)?;
    }
    let kind = given.insight_type;
    let line = |text: Option<String>| text.map(|text| clean::one_line(&text)).filter(|text| !text.is_empty());
    let mut emit = InsightEmit {
        insight_type: kind.as_str().to_owned(),
        summary: clean::one_line(&given.summary),
        rationale: given.rationale.map(|text| clean::lines(&text)),
        confidence: given.confidence,
        category: line(given.category),
        applies_to: given.applies_to.iter().map(|word| clean::one_line(word)).collect(),
        evidence: given.evidence.into_iter().map(cleaned).chain(call.taint()).collect(),
        supersedes: given.supersedes.into_iter().collect(),
        expires_at: given.expires_at,
        task: line(given.task),
        key: line(given.key),
        ..call.said()
    };
    emit.id = identity::id(&project, kind, &emit.summary, &emit.applies_to, emit.key.as_deref())
        .unwrap_or_else(|| call.random_id());
    check_superseded(call, &project, kind, &emit.supersedes)?;
    let known = call.reads.insight(&InsightSelector { id: emit.id.clone(), project: Some(project.clone()) }).ok();
    if let Some(known) = known.as_ref().filter(|known| known.insight.status == InsightStatus::Retracted) {
        // What was taken back does not return by being said again.
        let fields = json!({"id": emit.id, "created": false, "status": known.insight.status});
        return Ok(Answer::new(fields, &[]));
    }
    let similar = similar(call, &project, kind, &emit)?;
    let id = emit.id.clone();
    call.emit(&project, emit)?;
    let recorded = call.recorded(&project, &id, (known.is_some(), lifecycle::first(kind)))?;
    Ok(Answer::new(json!({"id": id, "created": recorded.0, "status": recorded.1, "similar": similar}), &["similar"]))
}

fn cleaned(support: Support) -> Support {
    let Support { kind, reference, description } = support;
    let line = |text: String| clean::one_line(&text);
    Support { kind, reference: line(reference), description: description.map(line) }
}

/// What is superseded must exist, in the same project and of the same type.
fn check_superseded(call: &Call<'_>, project: &str, kind: InsightType, ids: &[String]) -> Result<(), Problem> {
    for id in ids {
        let old = call.insight(id)?.insight;
        if !lifecycle::can_be_superseded(kind) {
            return Err(Problem::usage(format!(
                "supersedes: a {kind} replaces nothing; decisions and recommendations do"
            )));
        }
        if old.insight_type != kind || !old.project.eq_ignore_ascii_case(project) {
            let text = format!(
                "supersedes: `{id}` is a {} of {}, and this is a {kind} of {project}",
                old.insight_type, old.project
            );
            return Err(Problem::usage(text));
        }
    }
    Ok(())
}

/// Open insights that say nearly the same: "supersede or confirm?".
fn similar(call: &Call<'_>, project: &str, kind: InsightType, emit: &InsightEmit) -> Result<Vec<Value>, Problem> {
    let found = call.similar(project, kind, &emit.summary, "open")?;
    let others = found.into_iter().filter(|found| found.insight.id != emit.id);
    let row = |found: FoundInsight| json!({"id": found.insight.id, "summary": found.insight.summary, "by": insight::by(&found.insight)});
    Ok(others.take(NEAREST).map(row).collect())
}

impl Call<'_> {
    /// The insights of a type in these states that say nearly the same.
    pub(super) fn similar(
        &self,
        project: &str,
        kind: InsightType,
        text: &str,
        states: &str,
    ) -> Result<Vec<FoundInsight>, Problem> {
        let query = InsightQuery {
            project: Some(project.to_owned()),
            text: Some(text.to_owned()),
            types: vec![kind],
            status: states.parse().unwrap_or_default(),
            limit: NonZeroUsize::new(20),
            ..InsightQuery::default()
        };
        let mut found = self.insights_or_none(&query)?;
        found.retain(|found| found.relevance.is_some_and(|how| how > NEAR));
        found.truncate(NEAREST + 1);
        Ok(found)
    }

    /// The insights that fit, none for a project of which nothing is known yet.
    pub(super) fn insights_or_none(&self, query: &InsightQuery) -> Result<Vec<FoundInsight>, Problem> {
        match self.reads.insights(query) {
            Ok(found) => Ok(found.insights),
            Err(error) if matches!(error.kind(), ErrorKind::Config | ErrorKind::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether an insight that was just written is new, and its state, as what is stored has it now. Another agent may have recorded
    /// the same, or people have ended it, between the two. What is not stored yet is in its first state.
    fn recorded(
        &self,
        project: &str,
        id: &str,
        (was_known, first): (bool, InsightStatus),
    ) -> Result<(bool, InsightStatus), Problem> {
        let selector = InsightSelector { id: id.to_owned(), project: Some(project.to_owned()) };
        let Ok(now) = self.backend.open()?.insight(&selector) else { return Ok((!was_known, first)) };
        let is_mine = now.insight.author.id.as_deref() == Some(self.caller.agent.as_str());
        Ok((!was_known && is_mine, now.insight.status))
    }

    /// Who says something: set by us, not by the caller.
    pub(super) fn said(&self) -> InsightEmit {
        InsightEmit {
            agent: Some(self.caller.agent.clone()),
            agent_name: self.caller.claimed.clone(),
            on_behalf_of: self.caller.on_behalf_of.clone(),
            ..InsightEmit::default()
        }
    }

    /// What an insight rests on without saying so: untrusted text that was served to the agent lately. With it as evidence, the
    /// insight stays out of contexts until somebody looked at it.
    pub(super) fn taint(&self) -> Option<Support> {
        let reference = self.tainted_by.clone()?;
        let description = Some("untrusted text of it was read within a day".to_owned());
        Some(Support { kind: "task".to_owned(), reference, description })
    }

    /// Checks an insight and writes it.
    pub(super) fn emit(&self, project: &str, emit: InsightEmit) -> Result<(), Problem> {
        limits::check(&emit).map_err(Problem::usage)?;
        self.write(project, Operation::InsightEmit(Box::new(emit)))?;
        Ok(())
    }

    /// Checks what is to become of an insight, writes it, and reads what became of it: the state, or that it is not known yet.
    pub(super) fn update(
        &self,
        view: &InsightView,
        action: InsightAction,
        text: Option<String>,
        evidence: Vec<Support>,
    ) -> Result<After, Problem> {
        let insight = &view.insight;
        let has_it = taker(view).and_then(|entry| entry.by.as_deref()) == Some(self.caller.agent.as_str());
        if action == InsightAction::Accept && insight.status == InsightStatus::Accepted && has_it {
            // Asked again, because it was pending.
            return Ok(After::Is(insight.status));
        }
        let expected = lifecycle::after(insight.insight_type, insight.status, action, false).map_err(Problem::usage)?;
        self.check_taker(view, action)?;
        let evidence: Vec<Support> = evidence.into_iter().map(cleaned).collect();
        limits::check_evidence(&evidence).map_err(Problem::usage)?;
        let update = InsightUpdate {
            id: insight.id.clone(),
            action: action.as_str().to_owned(),
            text: text.map(|text| clean::lines(&text)),
            agent: Some(self.caller.agent.clone()),
            evidence,
            ..InsightUpdate::default()
        };
        self.write(&insight.project, Operation::InsightUpdate(Box::new(update)))?;
        // Several may want a handoff: who has it is what is stored, for which a service that polls needs a moment.
        let is_contested = action == InsightAction::Accept;
        let until = Instant::now() + if is_contested { STORED_WITHIN } else { Duration::ZERO };
        loop {
            match self.after(view, action)? {
                Some(status) => return Ok(After::Is(status)),
                None if Instant::now() < until => std::thread::sleep(LOOK),
                None if is_contested => return Ok(After::Pending),
                None => return Ok(After::Is(expected)),
            }
        }
    }

    /// Only the agent that accepted a handoff completes or rejects it.
    fn check_taker(&self, view: &InsightView, action: InsightAction) -> Result<(), Problem> {
        let taker = taker(view).filter(|entry| entry.kind == AuthorKind::Agent);
        let ends = matches!(action, InsightAction::Complete | InsightAction::Reject);
        match taker.and_then(|entry| entry.by.as_deref()) {
            Some(taker) if ends && taker != self.caller.agent => {
                Err(Problem::refused(format!("`{taker}` accepted this handoff, and only it can {action} it")))
            }
            _ => Ok(()),
        }
    }

    /// What became of a change that was just written, if it is stored. Another agent may have been faster.
    fn after(&self, before: &InsightView, action: InsightAction) -> Result<Option<InsightStatus>, Problem> {
        let selector = InsightSelector { id: before.insight.id.clone(), project: Some(before.insight.project.clone()) };
        // What is read was opened before the change was written.
        let Ok(now) = self.backend.open()?.insight(&selector) else { return Ok(None) };
        let is_new = |entry: &&InsightEvent| !before.entries.contains(entry);
        let is_mine = |entry: &&InsightEvent| {
            entry.action == action.as_str() && entry.by.as_deref() == Some(self.caller.agent.as_str())
        };
        // Of several that say the same, one takes effect and the others are refused.
        let mine: Vec<&InsightEvent> = now.entries.iter().filter(is_new).filter(is_mine).collect();
        match mine.last().and_then(|entry| entry.refused.as_ref()) {
            Some(why) if mine.iter().all(|entry| entry.refused.is_some()) => Err(Problem::refused(why)),
            _ if mine.is_empty() => Ok(None),
            _ => Ok(Some(now.insight.status)),
        }
    }
}

/// The change by which somebody accepted a handoff.
fn taker(view: &InsightView) -> Option<&InsightEvent> {
    view.entries.iter().find(|entry| entry.action == InsightAction::Accept.as_str() && entry.refused.is_none())
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum After {
    /// The state that the insight is in now.
    Is(InsightStatus),
    /// It is written down, and what is stored does not show it yet: ask again.
    #[serde(serialize_with = "pending")]
    Pending,
}

fn pending<S: serde::Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("pending")
}

#[derive(Deserialize)]
struct Update {
    id: String,
    action: InsightAction,
    text: Option<String>,
    #[serde(default)]
    evidence: Vec<Support>,
}

pub(super) fn update(call: &Call<'_>, arguments: &Map<String, Value>) -> Result<Answer, Problem> {
    let given: Update = crate::arguments::read(arguments)?;
    let view = call.insight(&given.id)?;
    let is_own = view.insight.author.kind == AuthorKind::Agent
        && view.insight.author.id.as_deref() == Some(call.caller.agent.as_str());
    if given.action == InsightAction::Confirm && is_own {
        return Err(Problem::refused("an agent does not confirm what it said itself; another agent or a person does"));
    }
    if given.action == InsightAction::Retract && !is_own {
        return Err(Problem::refused(
            "only its author and people retract an insight; `contradict` says that it does not hold",
        ));
    }
    if given.action == InsightAction::SuggestAnswer && given.text.as_deref().is_none_or(|text| text.trim().is_empty()) {
        return Err(Problem::usage("`suggest_answer` needs `text`: the answer"));
    }
    let evidence = given.evidence.into_iter().chain(call.taint()).collect();
    let status = call.update(&view, given.action, given.text, evidence)?;
    Ok(Answer::new(json!({"id": view.insight.id, "status": status}), &[]))
}
