//! The `sprints` stream: the sprints of the boards that live in our projects.
//!
//! A board is read whole once. After that only its running and future sprints are requested, one request a board. A sprint that
//! was among those and is not any more is requested by itself: it was closed, moved or deleted. So is one whose board is not
//! listed any more. Starting, closing or renaming a
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
use crate::refusal::{LeftOut, is_refused};

/// Boards of one page of records.
const BOARDS: usize = 50;
/// Sprints of unlisted boards that one poll asks for.
const ALONE: usize = 100;

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
    /// Boards that were read and are refused, and since when.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    refused: BTreeMap<u64, Millis>,
    /// Boards that are refused and were never read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    left_out: BTreeMap<u64, LeftOut>,
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
    /// Boards that could not be read this time.
    failed: BTreeSet<u64>,
}

/// What became of a sprint that was asked for by itself.
enum Alone {
    Here(Sprint),
    Deleted,
    /// It could not be asked for.
    Unknown(Error),
}

/// Asks the next boards; after the last one, the first of a new pass.
///
/// # Errors
/// As the session's, except for boards that cannot be read: those are skipped with a warning.
pub(super) async fn poll(jira: &Jira, live: &SiteContext, stored: Option<&Cursor>) -> Result<Page> {
    let mut cursor: SprintCursor = cursor::read(stored, SPRINTS);
    cursor.renew(live.reference.fetched_at);
    let continued = cursor.after.is_some();
    let boards = boards_after(live, cursor.after);
    let mut gathered = Gathered::default();
    for board in boards.iter().take(BOARDS) {
        cursor.ask(jira, live, *board, &mut gathered).await?;
    }
    let more = boards.len() > BOARDS;
    cursor.after = boards.get(BOARDS - 1).copied().filter(|_| more);
    if !more {
        cursor.ask_homeless(jira, live, &mut gathered).await?;
    }
    let mut unreadable = &cursor.skipped | &gathered.failed;
    unreadable.extend(cursor.left_out.keys());
    if continued {
        unreadable.extend(jira.unreadable().iter());
    }
    jira.note_unreadable(unreadable);
    let records = gathered.sprints.iter().map(|(id, sprint)| record(*id, sprint)).collect::<Result<_>>()?;
    let cursor = cursor::write(&cursor, SPRINTS)?;
    Ok(Page { records, cursor, more, warnings: gathered.warnings, ..Page::default() })
}

/// The cursor that reads every board again, and knows which sprints were open: one that was deleted since is listed nowhere.
pub(super) fn restart(stored: &Cursor) -> Option<Cursor> {
    let SprintCursor { open, .. } = cursor::read(Some(stored), SPRINTS);
    let open = Some(open).filter(|open| !open.is_empty())?;
    cursor::write(&SprintCursor { open, ..SprintCursor::default() }, SPRINTS).ok()
}

/// Boards that may have sprints, from the one after this on.
fn boards_after(live: &SiteContext, after: Option<u64>) -> Vec<u64> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let boards = live.reference.boards.range((from, Bound::Unbounded));
    boards.filter(|(_, board)| board.may_have_sprints()).map(|(id, _)| *id).collect()
}

fn record(id: u64, sprint: &SprintRecord) -> Result<RawRecord> {
    let json = serde_json::to_string(sprint).map_err(unwritable)?;
    Ok(RawRecord::new(SPRINTS, id.to_string(), json))
}

/// Asks for sprints that no board of ours lists, and adds them to the page. Those that ended are not asked for again.
///
/// One that is not found may be hidden: only one that was had before was deleted.
///
/// # Errors
/// As the session's, when it is not about a sprint.
pub(super) async fn ask_alone(jira: &Jira, open: &mut BTreeMap<u64, bool>, page: &mut Page) -> Result<()> {
    for (id, had) in open.clone().into_iter().take(ALONE) {
        open.remove(&id);
        match alone(jira, id).await? {
            Alone::Here(sprint) => {
                if !sprint.is_closed() {
                    open.insert(id, true);
                }
                page.records.push(record(id, &SprintRecord::Sprint { sprint, board: None })?);
            }
            Alone::Deleted if had => page.records.push(record(id, &SprintRecord::Deleted { deleted: id })?),
            Alone::Deleted => {}
            Alone::Unknown(error) => {
                page.warnings.push(format!("sprint {id} cannot be read, it is known from its issues only: {error}"));
                if had || !api::is_refusal(error.kind()) {
                    open.insert(id, had);
                }
            }
        }
    }
    Ok(())
}

async fn alone(jira: &Jira, id: u64) -> Result<Alone> {
    match jira.api.sprint(id).await {
        Ok(sprint) => Ok(Alone::Here(sprint)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Alone::Deleted),
        Err(error) if api::is_bearable(error.kind()) => Ok(Alone::Unknown(error)),
        Err(error) => Err(error),
    }
}

/// Whether a board has no sprints because it cannot have any.
pub(super) fn has_none(error: &Error, kind: &str) -> bool {
    let message = error.to_string().to_lowercase();
    let said = message.contains("sprint") && message.contains("support");
    error.kind() == ErrorKind::Rejected && (said || kind == "simple")
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

    async fn ask(&mut self, jira: &Jira, live: &SiteContext, board: u64, gathered: &mut Gathered) -> Result<()> {
        let is_left_out = self.left_out.get(&board).is_some_and(|left_out| !left_out.is_due(jira.run.now));
        if is_left_out || self.skipped.contains(&board) {
            return Ok(());
        }
        let states = self.read.contains(&board).then_some("active,future");
        let error = match jira.api.sprints(board, states).await {
            Ok(sprints) => {
                let lacks = sprints.lacks();
                let listed: BTreeSet<u64> = sprints.rows.iter().map(|sprint| sprint.id).collect();
                sprints.rows.into_iter().for_each(|sprint| self.take(board, sprint, gathered));
                match lacks {
                    // What did not come may be a sprint that is closed, so the board has to be read whole again.
                    Some(lacks) => {
                        let text = format!("the sprints of board {board} are not complete and are read again: {lacks}");
                        gathered.warnings.push(text);
                        gathered.failed.insert(board);
                    }
                    None => _ = self.read.insert(board),
                }
                self.refused.remove(&board);
                self.left_out.remove(&board);
                let missing = self.open.iter().filter(|(id, home)| **home == board && !listed.contains(*id));
                return self.ask_missing(jira, missing.map(|(id, _)| *id).collect(), true, gathered).await;
            }
            Err(error) if api::is_bearable(error.kind()) => error,
            Err(error) => return Err(error),
        };
        if is_refused(&error) && self.read.contains(&board) {
            let (since, now) = (*self.refused.entry(board).or_insert(jira.run.now), jira.run.now);
            let text = format!("the sprints of board {board} cannot be read any more: {error}");
            jira.notes().refused_since(since, now, text);
            gathered.failed.insert(board);
            return Ok(());
        }
        let kind = live.reference.boards.get(&board).map_or("", |board| &board.kind);
        if has_none(&error, kind) {
            tracing::info!(board, error = error.full(), "the board has no sprints");
        } else {
            gathered.warnings.push(format!("board {board} is skipped, its sprints cannot be read: {error}"));
        }
        self.skip(board, &error, jira.run.now, gathered);
        Ok(())
    }

    /// What is refused is refused until somebody changes it; what failed may be there next time. 400: no sprints on this board. 401,
    /// 403: no right to it. 404: private. 422: no column has a status.
    fn skip(&mut self, board: u64, error: &Error, now: Millis, gathered: &mut Gathered) {
        if is_refused(error) {
            let before = self.left_out.get(&board).copied();
            self.left_out.insert(board, LeftOut::note(before, now));
        } else if api::is_refusal(error.kind()) {
            self.skipped.insert(board);
        } else {
            gathered.failed.insert(board);
        }
    }

    /// Requests open sprints whose board is not among ours any more.
    async fn ask_homeless(&mut self, jira: &Jira, live: &SiteContext, gathered: &mut Gathered) -> Result<()> {
        let is_ours = |board: &u64| live.reference.boards.contains_key(board);
        let homeless = self.open.iter().filter(|(_, board)| !is_ours(board));
        self.ask_missing(jira, homeless.map(|(id, _)| *id).take(ALONE).collect(), false, gathered).await
    }

    /// Requests sprints that were open and that their board does not list any more. One that could not be asked for is asked
    /// for again. One that is not found was deleted where its board is `visible`, and may be hidden elsewhere.
    async fn ask_missing(
        &mut self,
        jira: &Jira,
        missing: Vec<u64>,
        visible: bool,
        gathered: &mut Gathered,
    ) -> Result<()> {
        for id in missing {
            match alone(jira, id).await? {
                Alone::Here(sprint) => {
                    let board = self.open.get(&id).copied().unwrap_or_default();
                    self.take(board, sprint, gathered);
                }
                Alone::Deleted => {
                    self.open.remove(&id);
                    if visible {
                        gathered.sprints.insert(id, SprintRecord::Deleted { deleted: id });
                    }
                }
                Alone::Unknown(error) => {
                    tracing::warn!(sprint = id, error = error.full(), "an open sprint could not be asked for");
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, board: u64, sprint: Sprint, gathered: &mut Gathered) {
        if sprint.is_closed() {
            self.open.remove(&sprint.id);
        } else {
            self.open.insert(sprint.id, board);
        }
        gathered.sprints.insert(sprint.id, SprintRecord::Sprint { sprint, board: Some(board) });
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
