//! The `sprints` stream: the iterations of our projects, given again when one changed or when its state did. They are reference
//! data, so this stream sends no request. Iterations that GitHub does not list any more end.

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord, Run};
use contextcore_core::model::SprintState;
use contextcore_core::{Millis, Result};
use serde::{Deserialize, Serialize};

use super::fingerprints::Short;
use super::iterations::Iteration;
use super::reference::Project;
use super::session::{SPRINTS, SiteContext};
use crate::cursor;
use crate::rewind::unwritable;

/// An iteration as a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// The native id.
    pub(super) id: Box<str>,
    /// The native project.
    pub(super) project: String,
    pub(super) iteration: Iteration,
    /// By its dates, when it was given.
    pub(super) state: SprintState,
}

/// A hash of what was given last.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SprintCursor {
    #[serde(rename = "told")]
    given: String,
}

/// All iterations, if any of them is not as it was given last.
///
/// # Errors
/// [`contextcore_core::ErrorKind::Internal`] when a record cannot be written.
pub(super) fn poll(live: &SiteContext, stored: Option<&Cursor>, run: &Run) -> Result<Page> {
    let last: SprintCursor = cursor::read(stored, SPRINTS);
    let records = records(live, run.now)?;
    let texts: Vec<_> = records.iter().map(RawRecord::json).collect::<Result<_>>()?;
    let given = format!("{:?}", Short::of(&texts.iter().map(|text| &**text).collect::<Vec<_>>()));
    let records = if given == last.given { Vec::new() } else { records };
    let cursor = cursor::write(&SprintCursor { given }, SPRINTS)?;
    let open_sprints = Some(open(live, run.now));
    Ok(Page { records, open_sprints, cursor, warnings: live.warnings.clone(), ..Page::default() })
}

/// The iterations of our projects as records.
///
/// # Errors
/// [`contextcore_core::ErrorKind::Internal`] when a record cannot be written.
pub(super) fn records(live: &SiteContext, now: Millis) -> Result<Vec<RawRecord>> {
    let records = live.reference.projects.iter().flat_map(|project| {
        project.listed_iterations().map(|(id, iteration)| Record {
            id: id.into(),
            project: project.name.to_string(),
            iteration: iteration.clone(),
            state: iteration.state(now),
        })
    });
    let write = |record: Record| {
        let json = serde_json::to_string(&record).map_err(unwritable)?;
        Ok(RawRecord::new(SPRINTS, record.id, json))
    };
    records.map(write).collect()
}

/// The iterations that are not over. Those of a hidden project are not known to have ended.
fn open(live: &SiteContext, now: Millis) -> Vec<String> {
    let projects = live.reference.projects.iter().chain(&live.reference.lost);
    let listed = projects.flat_map(Project::listed_iterations);
    listed.filter(|(_, iteration)| iteration.state(now) != SprintState::Closed).map(|(id, _)| id.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<SprintCursor>(include_str!("fixtures/cursors.json"), "sprints");
    }
}
