//! Folds the reports of an insight into what is read of it. Pure: the same reports give the same result, whatever order they
//! arrived in. A change that is not allowed becomes an entry that says why, and changes nothing.

use std::collections::BTreeMap;

use super::lifecycle::{self, InsightAction};
use super::record::{InsightRecord, InsightReport, Said};
use super::{
    ANSWERED_VIA, Answer, Author, AuthorKind, Insight, InsightEvent, InsightStatus, InsightType, Review, reading, scope,
};
use crate::ids::{self, Role};
use crate::operation::{InsightEmit, InsightUpdate, Support};
use crate::time::Millis;

/// An insight and everything that happened to it, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// The insight. Its state is the one that reports led to; [`Insight::at`] says what it is at a moment.
    pub insight: Insight,
    /// What happened.
    pub entries: Vec<InsightEvent>,
}

/// What the reports of an insight come to; `None` while only changes of it were reported.
pub fn fold(record: &InsightRecord) -> Option<Folded> {
    let first = record.reports.iter().position(|report| record.emission(report).is_some())?;
    let mut fold = Fold::begin(record, &record.reports[first])?;
    // A change that was dated before the insight, by another clock, counts after it.
    let rest = record.reports.iter().enumerate().filter(|(place, _)| *place != first);
    rest.for_each(|(_, report)| fold.step(record, report));
    Some(fold.end())
}

struct Fold {
    insight: Insight,
    given: Option<f64>,
    /// Whether the end is the one that handoffs have by themselves.
    ends_by_default: bool,
    /// The principal behind the first report.
    author: String,
    /// The agent that accepted the handoff.
    accepted_by: Option<String>,
    /// Whether each principal said that it held.
    votes: BTreeMap<String, bool>,
    entries: Vec<InsightEvent>,
}

impl Fold {
    fn begin(record: &InsightRecord, first: &InsightReport) -> Option<Self> {
        let emit = record.emission(first)?;
        let insight_type = emit.insight_type.parse().ok()?;
        let key = record.key();
        let trace_id = ids::insight_trace(&key).to_string();
        let span_id = ids::span(&key, Role::Insight, 1).to_string();
        let insight = Insight {
            status: lifecycle::first(insight_type),
            created: first.at,
            updated: first.at,
            seen: 0,
            trace_id,
            span_id,
            served: record.served.as_ref().map(|served| served.count),
            ..new(record, insight_type, author(emit, first))
        };
        let (author, votes, entries) = (principal(first, emit.agent.is_some(), None), BTreeMap::new(), Vec::new());
        let mut fold = Self { insight, given: None, ends_by_default: false, author, accepted_by: None, votes, entries };
        fold.say(emit, first);
        if insight_type == InsightType::Handoff && fold.insight.expires_at.is_none() {
            fold.insight.expires_at = Some(first.at.plus(reading::OFFERED_FOR));
            fold.ends_by_default = true;
        }
        Some(fold)
    }

    fn step(&mut self, record: &InsightRecord, report: &InsightReport) {
        match &report.said {
            Said::Emit(_) | Said::Again { .. } => {
                if let Some(emit) = record.emission(report) {
                    self.repeat(record, emit, report);
                }
            }
            Said::Update(update) => self.update(record, update, report),
            Said::Superseded { by, insight_type, agent } => self.supersede(by, *insight_type, agent.as_ref(), report),
        }
    }

    /// It is said again. Who said it first may say more with it, until a person has confirmed it.
    fn repeat(&mut self, record: &InsightRecord, emit: &InsightEmit, report: &InsightReport) {
        if emit.insight_type != self.insight.insight_type.as_str() {
            let why = format!("{} is a {}, not a {}", self.insight.id, self.insight.insight_type, emit.insight_type);
            return self.enter_emission(emit, report, Some(why));
        }
        if self.is_author(emit, report) && self.insight.review != Review::Confirmed {
            self.say(emit, report);
        } else {
            self.insight.seen += 1;
        }
        if report.origin.is_some() {
            self.agree(record, principal(report, emit.agent.is_some(), None), report);
        }
        self.insight.updated = self.insight.updated.max(report.at);
    }

    /// Whether the same agent, or the same person, said it first. What a person proved to have said, only that person says anew.
    fn is_author(&self, emit: &InsightEmit, report: &InsightReport) -> bool {
        let (one, other) = (&self.insight.author, author(emit, report));
        let is_same = one.kind == other.kind && one.id == other.id;
        let is_proved =
            || !self.author.starts_with(TOKEN) || self.author == principal(report, emit.agent.is_some(), None);
        is_same && (one.kind == AuthorKind::Agent || is_proved())
    }

    /// Another principal that proved who it is says the same, from work of its own.
    fn agree(&mut self, record: &InsightRecord, voter: String, report: &InsightReport) {
        let is_own = voter != self.author && !knew(record, report);
        if is_own {
            self.corroborate();
            self.votes.entry(voter).or_insert(true);
        }
    }

    /// Both the author and who agrees must have proved who they are: two claims could be made by one.
    fn corroborate(&mut self) {
        if self.author.starts_with(TOKEN) && self.insight.review == Review::Unreviewed {
            self.insight.review = Review::Corroborated;
        }
    }

    /// Takes what an emission says.
    fn say(&mut self, emit: &InsightEmit, report: &InsightReport) {
        let before = (self.insight.seen > 0).then(|| self.insight.clone());
        fill(&mut self.insight, emit);
        self.given = emit.confidence.or(self.given);
        self.insight.confidence = self.given;
        let expires_at = emit.expires_at.as_deref().map(|text| Millis::parse_date_or_time(text).ok_or(()));
        let mut refused = report.refused.clone();
        match expires_at {
            Some(Ok(end)) => (self.insight.expires_at, self.ends_by_default) = (Some(end), false),
            Some(Err(())) => refused = Some("expires_at is neither a date nor a time".to_owned()),
            None => {}
        }
        let changed = before.is_none_or(|before| before != self.insight);
        self.insight.seen += 1;
        if changed || refused.is_some() {
            self.enter_emission(emit, report, refused);
        }
    }

    fn update(&mut self, record: &InsightRecord, update: &InsightUpdate, report: &InsightReport) {
        let by_person = is_person(update, report);
        let allowed = update.action.parse::<InsightAction>().and_then(|action| {
            let next = lifecycle::after(self.insight.insight_type, self.status_at(report.at), action, by_person)?;
            self.check_taker(action, update)?;
            self.vote(record, action, update, (report, by_person))?;
            Ok((action, next))
        });
        let refused = match allowed {
            Ok((action, next)) => {
                self.enter_state(action, next, update, report);
                None
            }
            Err(why) => Some(why),
        };
        let by = update.by.clone().filter(|_| by_person).or_else(|| update.agent.clone());
        self.entries.push(InsightEvent {
            at: report.at,
            action: update.action.clone(),
            by: by.or_else(|| update.by.clone()).or_else(|| report.actor.clone()).or_else(|| report.origin.clone()),
            kind: if by_person { AuthorKind::Human } else { AuthorKind::Agent },
            text: update.text.clone(),
            evidence: update.evidence.clone(),
            status: self.insight.status,
            refused,
            origin: report.origin.clone(),
            journal: (report.journal, report.source.clone()),
        });
    }

    /// Among agents, only the one that accepted a handoff completes or rejects it.
    fn check_taker(&self, action: InsightAction, update: &InsightUpdate) -> Result<(), String> {
        let ends = matches!(action, InsightAction::Complete | InsightAction::Reject);
        match (&self.accepted_by, &update.agent) {
            (Some(taker), Some(agent)) if ends && taker != agent => {
                Err(format!("`{taker}` accepted this handoff, and only it can {action} it"))
            }
            _ => Ok(()),
        }
    }

    fn enter_state(
        &mut self,
        action: InsightAction,
        next: InsightStatus,
        update: &InsightUpdate,
        report: &InsightReport,
    ) {
        self.insight.status = next;
        self.insight.updated = self.insight.updated.max(report.at);
        if action == InsightAction::Accept {
            self.accepted_by = update.agent.clone();
        }
        if self.ends_by_default && next == InsightStatus::Accepted {
            self.insight.expires_at = None;
        }
        if matches!(action, InsightAction::Answer | InsightAction::SuggestAnswer) {
            let by = update.by.clone().or_else(|| update.agent.clone()).or_else(|| report.actor.clone());
            let text = update.text.clone().unwrap_or_default();
            let via =
                update.session.as_deref().and_then(|session| session.strip_prefix(ANSWERED_VIA)).map(str::to_owned);
            let from_untrusted = action == InsightAction::SuggestAnswer && rests_on_untrusted(&update.evidence);
            self.insight.answer = Some(Answer { text, by, at: report.at, via, from_untrusted });
        }
    }

    /// Counts a vote: one of each principal. Agents of this machine are one together, because anybody may claim their names.
    fn vote(
        &mut self,
        record: &InsightRecord,
        action: InsightAction,
        update: &InsightUpdate,
        (report, by_person): (&InsightReport, bool),
    ) -> Result<(), String> {
        let held = match action {
            InsightAction::Confirm => true,
            InsightAction::Contradict => false,
            _ => return Ok(()),
        };
        let voter = principal(report, !by_person, update.by.as_ref().or(report.actor.as_ref()));
        let is_author = voter == self.author && (by_person || update.agent == self.insight.author.id);
        if held && is_author {
            return Err("who reported an insight cannot confirm it".to_owned());
        }
        if held && by_person && report.human {
            self.insight.review = Review::Confirmed;
        } else if held && report.origin.is_some() && voter != self.author && !knew(record, report) {
            self.corroborate();
        }
        self.votes.insert(voter, held);
        Ok(())
    }

    fn supersede(&mut self, by: &str, insight_type: InsightType, agent: Option<&String>, report: &InsightReport) {
        if self.insight.superseded_by.as_deref() == Some(by) {
            return;
        }
        let (mine, status) = (self.insight.insight_type, self.status_at(report.at));
        let refused = if report.refused.is_some() {
            report.refused.clone()
        } else if mine != insight_type {
            Some(format!("a {insight_type} cannot replace a {mine}"))
        } else if !lifecycle::can_be_superseded(mine) {
            Some(format!("a {mine} is not replaced: retract it"))
        } else if status != InsightStatus::Active {
            Some(format!("only an active {mine} is replaced; this one is {status}"))
        } else {
            None
        };
        if refused.is_none() {
            self.insight.status = InsightStatus::Superseded;
            self.insight.superseded_by = Some(by.to_owned());
            self.insight.updated = self.insight.updated.max(report.at);
        }
        let kind = if agent.is_some() { AuthorKind::Agent } else { AuthorKind::Human };
        let who = agent.cloned().or_else(|| report.actor.clone());
        self.enter("supersede", (who, kind), Some(format!("replaced by {by}")), report, refused);
    }

    fn status_at(&self, at: Millis) -> InsightStatus {
        reading::status_at(self.insight.insight_type, self.insight.status, self.insight.expires_at, at)
    }

    fn enter_emission(&mut self, emit: &InsightEmit, report: &InsightReport, refused: Option<String>) {
        let author = author(emit, report);
        self.enter("emit", (author.id, author.kind), None, report, refused);
    }

    fn enter(
        &mut self,
        action: &str,
        (by, kind): (Option<String>, AuthorKind),
        text: Option<String>,
        report: &InsightReport,
        refused: Option<String>,
    ) {
        let (status, origin) = (self.insight.status, report.origin.clone());
        let journal = (report.journal, report.source.clone());
        let evidence = Vec::new();
        self.entries.push(InsightEvent {
            at: report.at,
            action: action.to_owned(),
            by,
            kind,
            text,
            evidence,
            status,
            refused,
            origin,
            journal,
        });
    }

    fn end(mut self) -> Folded {
        self.insight.confirmed = self.votes.values().filter(|held| **held).count() as u64;
        self.insight.contradicted = self.votes.len() as u64 - self.insight.confirmed;
        let (confirmed, contradicted) = (self.insight.confirmed, self.insight.contradicted);
        self.insight.confidence = reading::confidence(self.insight.insight_type, self.given, confirmed, contradicted);
        Folded { insight: self.insight, entries: self.entries }
    }
}

/// An insight of which nothing is known but what and whose it is.
fn new(record: &InsightRecord, insight_type: InsightType, author: Author) -> Insight {
    Insight {
        id: record.id.clone(),
        insight_type,
        project: record.project.clone(),
        summary: String::new(),
        rationale: None,
        confidence: None,
        category: None,
        tags: Vec::new(),
        applies_to: Vec::new(),
        evidence: Vec::new(),
        author,
        audience: "both".to_owned(),
        status: lifecycle::first(insight_type),
        review: Review::Unreviewed,
        supersedes: Vec::new(),
        superseded_by: None,
        expires_at: None,
        created: Millis(0),
        updated: Millis(0),
        seen: 0,
        confirmed: 0,
        contradicted: 0,
        served: None,
        trace_id: String::new(),
        span_id: String::new(),
        key: None,
        task: None,
        severity: None,
        options: Vec::new(),
        blocking: false,
        answer: None,
        to: None,
        inputs: crate::operation::Attributes::default(),
        done: Vec::new(),
        remaining: Vec::new(),
        percent: None,
        context: crate::operation::Attributes::default(),
        from_untrusted: false,
    }
}

/// Takes the fields that an emission gives.
fn fill(insight: &mut Insight, emit: &InsightEmit) {
    let emit = emit.clone();
    insight.summary = emit.summary;
    insight.blocking = emit.blocking;
    take(&mut insight.rationale, emit.rationale);
    take(&mut insight.category, emit.category);
    take(&mut insight.severity, emit.severity);
    take(&mut insight.task, emit.task);
    take(&mut insight.key, emit.key);
    take(&mut insight.to, emit.to);
    insight.percent = emit.percent.or(insight.percent);
    if let Some(audience) = emit.audience.filter(|audience| !audience.is_empty()) {
        insight.audience = audience;
    }
    take_list(&mut insight.applies_to, emit.applies_to.iter().map(|word| scope::word(word)).collect());
    take_list(&mut insight.tags, emit.tags);
    take_list(&mut insight.evidence, emit.evidence);
    take_list(&mut insight.supersedes, emit.supersedes);
    take_list(&mut insight.options, emit.options);
    take_list(&mut insight.done, emit.done);
    take_list(&mut insight.remaining, emit.remaining);
    if !emit.inputs.is_empty() {
        insight.inputs = emit.inputs;
    }
    if !emit.context.is_empty() {
        insight.context = emit.context;
    }
    insight.from_untrusted = rests_on_untrusted(&insight.evidence);
}

/// Whether evidence is text that anybody may have written.
fn rests_on_untrusted(evidence: &[Support]) -> bool {
    evidence.iter().any(|support| matches!(support.kind.as_str(), "task" | "url"))
}

fn take(field: &mut Option<String>, given: Option<String>) {
    if let Some(given) = given.filter(|given| !given.trim().is_empty()) {
        *field = Some(given);
    }
}

fn take_list<T: PartialEq>(field: &mut Vec<T>, given: Vec<T>) {
    if given.is_empty() {
        return;
    }
    field.clear();
    for each in given {
        if !field.contains(&each) {
            field.push(each);
        }
    }
}

fn author(emit: &InsightEmit, report: &InsightReport) -> Author {
    let is_person = emit.agent.is_none() && report.actor.is_some() && is_person_possible(report);
    Author {
        kind: if is_person { AuthorKind::Human } else { AuthorKind::Agent },
        id: emit.agent.clone().or_else(|| report.actor.clone()),
        name: emit.agent_name.clone(),
        session: emit.session.clone(),
        on_behalf_of: emit.on_behalf_of.clone(),
    }
}

/// Whether a person made a change, and no agent for one.
fn is_person(update: &InsightUpdate, report: &InsightReport) -> bool {
    let is_named = update.by.is_some() || report.actor.is_some() || report.human;
    update.agent.is_none() && is_named && is_person_possible(report)
}

/// Whether a report may be a person's: on this machine whoever says so, else who brings the token of a person.
fn is_person_possible(report: &InsightReport) -> bool {
    report.origin.is_none() || report.human
}

/// Whether who sent a report had got the insight from us before.
fn knew(record: &InsightRecord, report: &InsightReport) -> bool {
    let who = report.origin.as_deref().unwrap_or_default();
    record.served.as_ref().is_some_and(|served| served.knew(who, report.at))
}

/// What the principal of a token begins with.
const TOKEN: &str = "token:";

/// Who counts as one: a token, a person, or all agents of this machine.
fn principal(report: &InsightReport, is_agent: bool, person: Option<&String>) -> String {
    match (&report.origin, person.or(report.actor.as_ref())) {
        (Some(origin), _) => format!("{TOKEN}{origin}"),
        (None, Some(person)) if !is_agent => format!("person:{person}"),
        _ => "local".to_owned(),
    }
}
