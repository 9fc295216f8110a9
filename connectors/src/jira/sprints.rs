//! The `sprints` stream: the sprints of the boards that live in our projects.
//!
//! A board is read whole once. After that only its running and future sprints are requested, one request a board. A sprint that
//! was among those and is not any more is requested by itself: it was closed, moved or deleted. Starting, closing or renaming a
//! sprint does not touch its issues, which is why sprints are polled on their own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};

use super::api;
use super::session::{Jira, SPRINTS, SiteContext};
use super::wire::{Sprint, SprintRecord};
use crate::cursor;

/// Boards of one page of records.
const BOARDS: usize = 50;

/// How far the stream has been read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SprintCursor {
    /// Sprints that were running or in the future when their board was last asked, and that board.
    open: BTreeMap<u64, u64>,
    /// Boards that were read whole.
    read: BTreeSet<u64>,
    /// Boards that have no sprints, or none for us.
    skipped: BTreeSet<u64>,
    /// When the reference data that says so was fetched: with new data they are asked again.
    reference: Millis,
    /// The last board asked in the pass under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
}

/// What a page gathers. A sprint that several boards list is taken once.
#[derive(Default)]
struct Gathered {
    sprints: BTreeMap<u64, SprintRecord>,
    warnings: Vec<String>,
}

/// Asks the next boards; after the last one, the first of a new pass.
///
/// # Errors
/// As the session's, except for boards that cannot be read: those are skipped with a warning.
pub(super) async fn poll(jira: &Jira, live: &SiteContext, stored: Option<&Cursor>) -> Result<Page> {
    let mut cursor: SprintCursor = cursor::read(stored, SPRINTS);
    cursor.renew(live.reference.fetched_at);
    let boards = boards_after(live, cursor.after);
    let mut gathered = Gathered::default();
    for board in boards.iter().take(BOARDS) {
        cursor.ask(jira, *board, &mut gathered).await?;
    }
    let more = boards.len() > BOARDS;
    cursor.after = boards.get(BOARDS - 1).copied().filter(|_| more);
    jira.note_unreadable(&cursor.skipped);
    let records = gathered.sprints.values().map(record).collect::<Result<_>>()?;
    let cursor = cursor::write(&cursor, SPRINTS)?;
    Ok(Page { records, cursor, more, warnings: gathered.warnings, ..Page::default() })
}

/// Boards that may have sprints, from the one after this on.
fn boards_after(live: &SiteContext, after: Option<u64>) -> Vec<u64> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let boards = live.reference.boards.range((from, Bound::Unbounded));
    boards.filter(|(_, board)| board.may_have_sprints()).map(|(id, _)| *id).collect()
}

fn record(sprint: &SprintRecord) -> Result<RawRecord> {
    let json = serde_json::to_string(sprint).map_err(unwritable)?;
    Ok(RawRecord { stream: SPRINTS, native_id: sprint.sprint.id.to_string(), json })
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "write a sprint").caused_by(error)
}

impl SprintCursor {
    /// New reference data may know more of the boards that were skipped.
    fn renew(&mut self, reference: Millis) {
        if self.reference != reference {
            self.skipped.clear();
            self.reference = reference;
        }
    }

    async fn ask(&mut self, jira: &Jira, board: u64, gathered: &mut Gathered) -> Result<()> {
        if self.skipped.contains(&board) {
            return Ok(());
        }
        let states = self.read.contains(&board).then_some("active,future");
        match jira.api.sprints(board, states).await {
            Ok(sprints) => {
                let listed: BTreeSet<u64> = sprints.iter().map(|sprint| sprint.id).collect();
                sprints.into_iter().for_each(|sprint| self.take(board, sprint, gathered));
                self.read.insert(board);
                self.ask_missing(jira, board, &listed, gathered).await
            }
            // 400: no sprints on this board. 403, 404: private. 422: no column has a status.
            Err(error) if api::is_refusal(error.kind()) && error.kind() != ErrorKind::Auth => {
                gathered.warnings.push(format!("board {board} is skipped, its sprints cannot be read: {error}"));
                self.skipped.insert(board);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Requests sprints that were open on this board and are not any more.
    async fn ask_missing(
        &mut self,
        jira: &Jira,
        board: u64,
        listed: &BTreeSet<u64>,
        gathered: &mut Gathered,
    ) -> Result<()> {
        let open = self.open.iter().filter(|(id, home)| **home == board && !listed.contains(*id));
        let missing: Vec<u64> = open.map(|(id, _)| *id).collect();
        for id in missing {
            self.open.remove(&id);
            match jira.api.sprint(id).await {
                Ok(sprint) => self.take(board, sprint, gathered),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Permission) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take(&mut self, board: u64, sprint: Sprint, gathered: &mut Gathered) {
        if sprint.state.eq_ignore_ascii_case("closed") {
            self.open.remove(&sprint.id);
        } else {
            self.open.insert(sprint.id, board);
        }
        gathered.sprints.insert(sprint.id, SprintRecord { sprint, board });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<SprintCursor>(include_str!("fixtures/cursors.json"), "sprints");
    }
}
