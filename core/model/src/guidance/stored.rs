//! Guidance as the store keeps it: what the command line reported, folded so that the order in which reports arrive does not matter.

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
    /// What it says, by the last line that said something.
    pub says: Option<(Reported, GuidanceAdd)>,
    /// When it was ended last.
    pub ended: Option<Reported>,
}

/// Ids that a project keeps. Those that were ended longest ago go first, then no new ones are taken in.
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
    /// The line.
    pub line: Line,
}

/// Everything that was reported of guidance: by project, then by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AllGuidance(pub BTreeMap<String, BTreeMap<String, StoredGuidance>>);

impl AllGuidance {
    /// Takes in a line. Returns whether it is about guidance, and there was room for it.
    pub fn fold(&mut self, GuidanceReport { project, writer, line }: &GuidanceReport) -> bool {
        let Some(id) = id_of(&line.operation) else { return false };
        let all = self.0.entry(project.clone()).or_default();
        if !all.contains_key(id) && all.len() >= MOST {
            let ended = all.iter().filter_map(|(id, stored)| Some((stored.end()?, id)));
            let Some((_, oldest)) = ended.min() else { return false };
            let oldest = oldest.clone();
            all.remove(&oldest);
        }
        all.entry(id.to_owned()).or_default().fold(writer, line);
        true
    }

    /// Takes in what another store holds. What both hold counts once.
    pub fn merge(&mut self, other: Self) {
        for (project, theirs) in other.0 {
            let ours = self.0.entry(project).or_default();
            for (id, StoredGuidance { says, ended }) in theirs {
                let known = ours.entry(id).or_default();
                let is_later = says.as_ref().map(|(said, _)| said) > known.says.as_ref().map(|(said, _)| said);
                if is_later {
                    known.says = says;
                }
                known.ended = known.ended.take().max(ended);
            }
        }
    }

    /// What was said and not ended, of one project or of all.
    #[must_use]
    pub fn items(&self, project: Option<&str>) -> Vec<GuidanceItem> {
        let wanted = self.0.iter().filter(|(name, _)| project.is_none_or(|project| project == *name));
        wanted.flat_map(|(name, all)| all.values().filter_map(|stored| stored.item(name))).collect()
    }
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
    /// Takes in a line. One that was taken in before changes nothing.
    pub fn fold(&mut self, writer: &str, line: &Line) {
        let reported = |why: Option<&String>| Reported {
            at: line.counts_at(),
            writer: writer.to_owned(),
            seq: line.seq,
            by: line.actor.clone(),
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

    /// Who ended it and when, if nothing was said since.
    #[must_use]
    pub fn end(&self) -> Option<&Reported> {
        let said = self.says.as_ref().map(|(said, _)| said);
        self.ended.as_ref().filter(|ended| said.is_none_or(|said| said < *ended))
    }

    /// The line that holds, unless it was ended.
    #[must_use]
    pub fn item(&self, project: &str) -> Option<GuidanceItem> {
        self.end().is_none().then(|| self.said(project)).flatten()
    }

    /// What was said last, whether or not it was ended.
    #[must_use]
    pub fn said(&self, project: &str) -> Option<GuidanceItem> {
        let (said, add) = self.says.as_ref()?;
        let source = GuidanceSource::Store { by: said.by.clone() };
        let item = GuidanceItem::new(project, source, add.kind(), add.id.trim(), &add.text);
        let item =
            GuidanceItem { scope: add.scope.clone(), reason: add.reason.clone(), until: add.until.clone(), ..item };
        let binds = item.kind == GuidanceKind::Constraint || add.severity.is_some();
        Some(if binds { item.with_severity(Severity::read(add.severity.as_deref())) } else { item })
    }
}
