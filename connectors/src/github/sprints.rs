//! The `sprints` stream: the iterations of our projects, told anew when one changed or when its state did. `begin` has
//! fetched them, so that this asks for nothing.

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord, Run};
use contextcore_core::model::SprintState;
use contextcore_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::marks::Short;
use super::reference::Iteration;
use super::session::{SPRINTS, SiteContext};

/// An iteration as a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// The native id.
    pub(super) id: Box<str>,
    /// The native project.
    pub(super) project: String,
    pub(super) iteration: Iteration,
    /// By its dates, when it was told.
    pub(super) state: SprintState,
}

/// Where the stream stands: what was told last.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    told: String,
}

/// All iterations, if any of them is not as it was told last.
///
/// # Errors
/// [`ErrorKind::Internal`] when a record cannot be written.
pub(super) fn poll(live: &SiteContext, cursor: Option<&Cursor>, run: &Run) -> Result<Page> {
    let told = cursor.and_then(|cursor| serde_json::from_value::<Position>(cursor.0.clone()).ok()).unwrap_or_default();
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
    let now = format!("{:?}", Short::of(&texts));
    let records = if now == told.told { Vec::new() } else { records };
    let cursor = serde_json::to_value(Position { told: now }).map(Cursor).map_err(unwritable)?;
    Ok(Page { records, seen: Vec::new(), cursor, more: false, total: None, warnings: live.warnings.clone() })
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "write an iteration").caused_by(error)
}
