//! Guidance as the store keeps it: what was reported, folded so that the order in which reports arrive does not matter. What people
//! reported with tokens of their own is kept apart from what anybody on this machine said: nobody else replaces or ends it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::item::{GuidanceItem, GuidanceKind, GuidanceSource, Severity};
use crate::insight::limits::cut_text;
use crate::operation::{GuidanceAdd, Line, Operation};
use crate::time::Millis;

/// When something was reported, and by which line: later ones count more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reported {
    /// When it counts.
    pub at: Millis,
    /// The writer of the line.
    pub writer: String,
    /// The number of the line.
    pub seq: u64,
    /// Who it was, as the caller says.
    pub by: Option<String>,
    /// Why, for what was ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What was reported of one id in a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredGuidance {
    /// What anybody said.
    #[serde(flatten)]
    pub local: Statement,
    /// What people said who proved it with a token.
    #[serde(default, skip_serializing_if = "Statement::is_empty")]
    pub proven: Statement,
}

/// What was said of an id, and whether it still holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What it says, by the last line that said something.
    #[serde(default)]
    pub says: Option<(Reported, GuidanceAdd)>,
    /// When it was ended last.
    #[serde(default)]
    pub ended: Option<Reported>,
}

/// Ids that a project keeps of what anybody said, and as many of what people proved. Those that were ended longest ago go first, then
/// no new ones are taken in.
const MOST: usize = 1_000;

/// Characters of a text, as in a `ProjectContext`.
pub const MOST_TEXT: usize = 2_000;
/// Bytes of an id.
const LONGEST_ID: usize = 128;

/// A line that a writer reported of guidance.
#[derive(Debug, Clone, PartialEq)]
pub struct GuidanceReport {
    /// The project.
    pub project: String,
    /// The writer.
    pub writer: String,
    /// The person whose token proved the line; `None` for what anybody may have said.
    pub person: Option<String>,
    /// The line.
    pub line: Line,
}

/// Everything that was reported of guidance: by project, then by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AllGuidance(pub BTreeMap<String, BTreeMap<String, StoredGuidance>>);

impl AllGuidance {
    /// Takes in a line. Returns whether it is about guidance, and there was room for it.
    pub fn fold(&mut self, report: &GuidanceReport) -> bool {
        let Some(id) = id_of(&report.line.operation) else { return false };
        let all = self.0.entry(report.project.clone()).or_default();
        let is_proven = report.person.is_some();
        if all.get(id).is_none_or(|known| known.part(is_proven).is_empty()) && !make_room(all, is_proven) {
            return false;
        }
        all.entry(id.to_owned()).or_default().fold(report);
        true
    }

    /// Takes in what another store holds. What both hold counts once.
    pub fn merge(&mut self, other: Self) {
        for (project, theirs) in other.0 {
            let ours = self.0.entry(project).or_default();
            for (id, StoredGuidance { local, proven }) in theirs {
                let known = ours.entry(id).or_default();
                known.local.merge(local);
                known.proven.merge(proven);
            }
        }
    }

    /// The same without what tokens proved. A store that anybody on this machine can write proves nothing.
    #[must_use]
    pub fn unproven(mut self) -> Self {
        self.0.values_mut().flat_map(BTreeMap::values_mut).for_each(|known| known.proven = Statement::default());
        self
    }

    /// What was said and not ended, of one project or of all.
    #[must_use]
    pub fn items(&self, project: Option<&str>) -> Vec<GuidanceItem> {
        let wanted = self.0.iter().filter(|(name, _)| project.is_none_or(|project| project == *name));
        wanted.flat_map(|(name, all)| all.values().flat_map(|stored| stored.items(name))).collect()
    }
}

/// Whether there is room for one more id, where necessary by forgetting the one that was ended longest ago.
fn make_room(all: &mut BTreeMap<String, StoredGuidance>, is_proven: bool) -> bool {
    if all.values().filter(|known| !known.part(is_proven).is_empty()).count() < MOST {
        return true;
    }
    let ended = all.iter().filter_map(|(id, known)| Some((known.part(is_proven).end()?, id)));
    let Some((_, oldest)) = ended.min() else { return false };
    let oldest = oldest.clone();
    if let Some(known) = all.get_mut(&oldest) {
        *known.part_mut(is_proven) = Statement::default();
    }
    all.retain(|_, known| !(known.local.is_empty() && known.proven.is_empty()));
    true
}

/// The id within the project of what a line reports of guidance; `None` for a line about something else, or without an id that could
/// be one.
#[must_use]
pub fn id_of(operation: &Operation) -> Option<&str> {
    let id = match operation {
        Operation::GuidanceAdd(add) => add.id.trim(),
        Operation::GuidanceEnd(end) => end.id.trim(),
        _ => return None,
    };
    Some(id).filter(|id| (1..=LONGEST_ID).contains(&id.len()))
}

impl StoredGuidance {
    fn part(&self, is_proven: bool) -> &Statement {
        if is_proven { &self.proven } else { &self.local }
    }

    fn part_mut(&mut self, is_proven: bool) -> &mut Statement {
        if is_proven { &mut self.proven } else { &mut self.local }
    }

    /// Takes in a line. One that was taken in before changes nothing.
    pub fn fold(&mut self, GuidanceReport { writer, person, line, .. }: &GuidanceReport) {
        self.part_mut(person.is_some()).fold(writer, person.as_ref().or(line.actor.as_ref()), line);
    }

    /// Who ended what a source said and when, if nothing was said since.
    #[must_use]
    pub fn end_of(&self, source: &GuidanceSource) -> Option<&Reported> {
        match source {
            GuidanceSource::Store { .. } => self.local.end(),
            GuidanceSource::Person { .. } => self.proven.end(),
            _ => None,
        }
    }

    /// What holds: what anybody said, and what a person proved to have said, unless it was ended.
    #[must_use]
    pub fn items(&self, project: &str) -> Vec<GuidanceItem> {
        self.said(project).into_iter().filter(|item| self.end_of(&item.source).is_none()).collect()
    }

    /// What was said last, whether or not it was ended.
    #[must_use]
    pub fn said(&self, project: &str) -> Vec<GuidanceItem> {
        let local = self.local.item(project, |by| GuidanceSource::Store { by });
        let proven = self.proven.item(project, |by| GuidanceSource::Person { who: by.unwrap_or_default() });
        local.into_iter().chain(proven).collect()
    }
}

impl Statement {
    fn is_empty(&self) -> bool {
        self.says.is_none() && self.ended.is_none()
    }

    fn fold(&mut self, writer: &str, by: Option<&String>, line: &Line) {
        let reported = |why: Option<&String>| Reported {
            at: line.counts_at(),
            writer: writer.to_owned(),
            seq: line.seq,
            by: by.cloned(),
            why: why.cloned(),
        };
        match &line.operation {
            Operation::GuidanceAdd(add) => {
                let said = reported(None);
                if self.says.as_ref().is_none_or(|(known, _)| *known < said) {
                    let mut add = (**add).clone();
                    cut_text(&mut add.text, MOST_TEXT);
                    add.reason.iter_mut().for_each(|reason| cut_text(reason, MOST_TEXT));
                    self.says = Some((said, add));
                }
            }
            Operation::GuidanceEnd(end) => {
                let said = reported(end.reason.as_ref());
                self.ended = self.ended.take().max(Some(said));
            }
            _ => {}
        }
    }

    fn merge(&mut self, Self { says, ended }: Self) {
        let is_later = says.as_ref().map(|(said, _)| said) > self.says.as_ref().map(|(said, _)| said);
        if is_later {
            self.says = says;
        }
        self.ended = self.ended.take().max(ended);
    }

    fn end(&self) -> Option<&Reported> {
        let said = self.says.as_ref().map(|(said, _)| said);
        self.ended.as_ref().filter(|ended| said.is_none_or(|said| said < *ended))
    }

    fn item(&self, project: &str, source: impl FnOnce(Option<String>) -> GuidanceSource) -> Option<GuidanceItem> {
        let (said, add) = self.says.as_ref()?;
        let item = GuidanceItem::new(project, source(said.by.clone()), add.kind(), add.id.trim(), &add.text);
        let item =
            GuidanceItem { scope: add.scope.clone(), reason: add.reason.clone(), until: add.until.clone(), ..item };
        let binds = item.kind == GuidanceKind::Constraint || add.severity.is_some();
        Some(if binds { item.with_severity(Severity::read(add.severity.as_deref())) } else { item })
    }
}
