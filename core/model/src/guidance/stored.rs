//! Guidance as the store keeps it: what the command line reported, folded so that the order in which reports arrive does not matter.

use serde::{Deserialize, Serialize};

use super::item::{GuidanceItem, GuidanceKind, GuidanceSource, Severity};
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

/// The id within the project of what a line reports of guidance; `None` for a line about something else.
#[must_use]
pub fn id_of(operation: &Operation) -> Option<&str> {
    match operation {
        Operation::GuidanceAdd(add) => Some(&add.id),
        Operation::GuidanceEnd(end) => Some(&end.id),
        _ => None,
    }
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
                    self.says = Some((said, (**add).clone()));
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
        let item = GuidanceItem::new(project, source, add.kind(), &add.id, &add.text);
        let item =
            GuidanceItem { scope: add.scope.clone(), reason: add.reason.clone(), until: add.until.clone(), ..item };
        let binds = item.kind == GuidanceKind::Constraint || add.severity.is_some();
        Some(if binds { item.with_severity(Severity::read(add.severity.as_deref())) } else { item })
    }
}
