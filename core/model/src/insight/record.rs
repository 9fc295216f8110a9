//! What is stored of an insight: every report of it, each once, from which [`super::fold()`] makes what is read.
//!
//! Stored as JSON, so that fields can be added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{InsightAction, InsightType, identity, limits};
use crate::operation::{InsightEmit, InsightUpdate};
use crate::time::Millis;
use crate::{SmolStr, TaskKey};

/// Repetitions that an insight counts. More of them say nothing new.
const MOST_REPETITIONS: usize = 1_000;
/// Changes that an insight keeps, the refused ones included.
const MOST_CHANGES: usize = 2_000;
/// Agents that are remembered to have read an insight.
const MOST_READERS: usize = 256;

/// Everything that was reported of one insight.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InsightRecord {
    /// The source that first reported it, which its ids follow from.
    pub source: SmolStr,
    /// The source that exported it, if that was another one: then its ids follow from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exported_by: Option<SmolStr>,
    /// The project.
    pub project: String,
    /// Its id.
    pub id: String,
    /// The report that its span shows: writer and number. It never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<(SmolStr, u64)>,
    /// To whom it was given. `None` for one of a time in which nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Served>,
    /// The reports in the order in which they count.
    pub reports: Vec<InsightReport>,
}

/// How often an insight was given to somebody who asked, and to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// How often.
    pub count: u64,
    /// When each agent first got it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub to: BTreeMap<SmolStr, Millis>,
}

impl Served {
    /// Counts once more.
    pub fn note(&mut self, agent: Option<&str>, at: Millis) {
        self.count += 1;
        let Some(agent) = agent.filter(|agent| !agent.is_empty()) else { return };
        if self.to.len() < MOST_READERS || self.to.contains_key(agent) {
            self.to.entry(agent.into()).or_insert(at);
        }
    }

    /// Whether an agent may know the insight from us at a moment, so that what it says is not its own work. With very many readers
    /// everybody may.
    pub fn knew(&self, agent: &str, at: Millis) -> bool {
        self.to.get(agent).map_or(self.to.len() >= MOST_READERS, |since| *since <= at)
    }
}

/// One report of an insight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InsightReport {
    /// Who wrote it: a process, not a person.
    pub writer: SmolStr,
    /// Its number within the writer.
    pub seq: u64,
    /// When it counts.
    pub at: Millis,
    /// Who did it, by display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The span that was active in the caller, as the W3C writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Whom the token stands for that it was sent with. Without one the report came from this machine, and proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Whether that is a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub human: bool,
    /// The journal number under which it was stored.
    #[serde(default)]
    pub journal: u64,
    /// The source that it came from, if that is not the insight's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SmolStr>,
    /// What is reported.
    pub said: Said,
    /// Why part of it is not allowed, which only the store can know: it would make a circle of insights that replace each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What is reported of an insight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It.
    Emit(Box<InsightEmit>),
    /// It, in the words of another report.
    Again {
        /// The writer of that report.
        writer: SmolStr,
        /// The number of that report.
        seq: u64,
    },
    /// What became of it.
    Update(Box<InsightUpdate>),
    /// Another insight replaces it.
    Superseded {
        /// That insight.
        by: String,
        /// Its type.
        #[serde(rename = "type")]
        insight_type: InsightType,
        /// The id of the agent that reported it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
    },
}

impl Said {
    /// The insight that an operation is about; empty for what follows from other insights.
    pub fn id(&self) -> &str {
        match self {
            Self::Emit(emit) => &emit.id,
            Self::Update(update) => &update.id,
            Self::Again { .. } | Self::Superseded { .. } => "",
        }
    }
}

impl InsightReport {
    /// A report from this machine that is not stored yet.
    pub fn new(writer: &str, seq: u64, at: Millis, actor: Option<String>, said: Said) -> Self {
        let (traceparent, origin, source, refused) = (None, None, None, None);
        Self {
            writer: writer.into(),
            seq,
            at,
            actor,
            traceparent,
            origin,
            human: false,
            journal: 0,
            source,
            said,
            refused,
        }
    }

    /// The order in which reports count.
    pub fn order(&self) -> (Millis, &str, u64) {
        (self.at, &self.writer, self.seq)
    }

    /// An emission of one insight may also replace another: each is a report of its own.
    fn identity(&self) -> (&str, u64, bool) {
        (&self.writer, self.seq, matches!(self.said, Said::Superseded { .. }))
    }
}

/// Cuts what is over a limit, and checks what is left.
///
/// # Errors
/// Why it is no insight.
pub fn accepted(mut insight: InsightEmit) -> Result<InsightEmit, String> {
    insight.insight_type = insight.insight_type.trim().to_owned();
    insight.insight_type.parse::<InsightType>().map_err(|error| format!("type: {error}"))?;
    id_of(&insight.id)?;
    if insight.summary.trim().is_empty() {
        return Err("`summary` is empty".to_owned());
    }
    limits::cut(&mut insight);
    Ok(insight)
}

/// The same for a change of an insight.
///
/// # Errors
/// Why it is none.
pub fn accepted_update(mut update: InsightUpdate) -> Result<InsightUpdate, String> {
    update.action = update.action.trim().to_owned();
    update.action.parse::<InsightAction>().map_err(|error| format!("action: {error}"))?;
    id_of(&update.id)?;
    update.text.iter_mut().for_each(|text| limits::cut_text(text, limits::RATIONALE));
    update.evidence.truncate(limits::SUPPORTS);
    Ok(update)
}

fn id_of(id: &str) -> Result<(), String> {
    if identity::is_id(id) {
        Ok(())
    } else {
        Err(format!("`{id}` is not the id of an insight: `ins_` and 16 hex digits"))
    }
}

impl InsightRecord {
    /// An insight of which nothing was reported yet.
    pub fn new(source: &str, project: &str, id: &str) -> Self {
        let served = Some(Served::default());
        Self { source: source.into(), project: project.to_owned(), id: id.to_owned(), served, ..Self::default() }
    }

    /// What its trace and span ids follow from.
    pub fn key(&self) -> TaskKey {
        let source = self.exported_by.as_ref().unwrap_or(&self.source);
        TaskKey::new(&**source, crate::operation::native_id(&self.project, &self.id))
    }

    /// Adds reports, each once. Returns how many were new.
    pub fn add(&mut self, reports: impl IntoIterator<Item = InsightReport>) -> usize {
        let before = self.reports.len();
        for report in reports {
            if self.reports.iter().any(|known| known.identity() == report.identity()) || self.is_full(&report) {
                continue;
            }
            let report = self.shortened(report);
            let place = self.reports.partition_point(|known| known.order() <= report.order());
            self.reports.insert(place, report);
        }
        if self.shown.is_none() {
            let first = self.reports.iter().find(|report| matches!(report.said, Said::Emit(_)));
            self.shown = first.map(|first| (first.writer.clone(), first.seq));
        }
        self.reports.len() - before
    }

    fn is_full(&self, next: &InsightReport) -> bool {
        let is_emission = |report: &InsightReport| matches!(report.said, Said::Emit(_) | Said::Again { .. });
        let (kind, most) = if is_emission(next) { (true, MOST_REPETITIONS) } else { (false, MOST_CHANGES) };
        self.reports.len() >= most && self.reports.iter().filter(|known| is_emission(known) == kind).count() >= most
    }

    /// An emission that says what another one said refers to it.
    fn shortened(&self, report: InsightReport) -> InsightReport {
        let Said::Emit(emit) = &report.said else { return report };
        let same = self.reports.iter().find(|known| matches!(&known.said, Said::Emit(other) if other == emit));
        match same {
            Some(same) if report.refused.is_none() => {
                InsightReport { said: Said::Again { writer: same.writer.clone(), seq: same.seq }, ..report }
            }
            _ => report,
        }
    }

    /// What a report says of the insight itself, if it does.
    pub fn emission<'a>(&'a self, report: &'a InsightReport) -> Option<&'a InsightEmit> {
        match &report.said {
            Said::Emit(emit) => Some(emit),
            Said::Again { writer, seq } => self.reports.iter().find_map(|other| match &other.said {
                Said::Emit(emit) if (&other.writer, other.seq) == (writer, *seq) => Some(&**emit),
                _ => None,
            }),
            Said::Update(_) | Said::Superseded { .. } => None,
        }
    }

    /// The agent behind a report.
    pub fn agent<'a>(&'a self, report: &'a InsightReport) -> Option<&'a str> {
        match &report.said {
            Said::Update(update) => update.agent.as_deref(),
            Said::Superseded { .. } => None,
            Said::Emit(_) | Said::Again { .. } => self.emission(report)?.agent.as_deref(),
        }
    }

    /// The report that its span shows, and what it says; `None` while only changes of it were reported.
    pub fn shown(&self) -> Option<(&InsightReport, &InsightEmit)> {
        let (writer, seq) = self.shown.as_ref()?;
        let report = self
            .reports
            .iter()
            .find(|report| (&report.writer, report.seq) == (writer, *seq) && matches!(report.said, Said::Emit(_)))?;
        Some((report, self.emission(report)?))
    }
}
