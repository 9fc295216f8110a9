//! The `sprints` stream: the iterations of our projects, given again when one changed or when its state did. They are reference
//! data, so this stream sends no request.

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord, Run};
use contextcore_core::model::SprintState;
use contextcore_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::fingerprints::Short;
use super::reference::Iteration;
use super::session::{SPRINTS, SiteContext};
use crate::cursor;

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
/// [`ErrorKind::Internal`] when a record cannot be written.
pub(super) fn poll(live: &SiteContext, stored: Option<&Cursor>, run: &Run) -> Result<Page> {
    let last: SprintCursor = cursor::read(stored, SPRINTS);
    let mut records = live.reference.projects.iter().flat_map(|project| {
        project.iterations.iter().map(|(id, iteration)| Record {
            id: id.clone(),
            project: project.name.to_string(),
            iteration: iteration.clone(),
            state: iteration.state(run.now),
        })
    });
    let records = records.try_fold(Vec::new(), |mut records, record| {
        let json = serde_json::to_string(&record).map_err(unwritable)?;
        records.push(RawRecord { stream: SPRINTS, native_id: record.id.into(), json });
        Ok::<_, Error>(records)
    })?;
    let texts: Vec<&str> = records.iter().map(|record| record.json.as_str()).collect();
    let given = format!("{:?}", Short::of(&texts));
    let records = if given == last.given { Vec::new() } else { records };
    let cursor = cursor::write(&SprintCursor { given }, SPRINTS)?;
    Ok(Page { records, cursor, warnings: live.warnings.clone(), ..Page::default() })
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "write an iteration").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<SprintCursor>(include_str!("fixtures/cursors.json"), "sprints");
    }
}
