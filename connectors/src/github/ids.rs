//! The `ids` stream: all tasks there are, so that absence means something. GitHub does not list deletions.

use contextcore_core::ingest::connector::{Cursor, Page};
use contextcore_core::{Error, ErrorKind, Result, Retry};
use serde::{Deserialize, Serialize};

use super::api::Sizes;
use super::session::{GitHub, IDS, SiteContext};
use super::{items, repositories};
use crate::cursor;

/// How far a pass has come. A finished pass leaves the default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct IdCursor {
    /// Lists that were read to their end: projects, then repositories.
    done: usize,
    after: Option<Box<str>>,
    sizes: Sizes,
}

/// Fetches the next page of ids.
///
/// # Errors
/// As the session's; a project that does not exist any more ends the pass, since its absence would look like deletions.
pub(super) async fn poll(github: &GitHub, live: &SiteContext, stored: Option<&Cursor>) -> Result<Page> {
    let mut position: IdCursor = cursor::read(stored, IDS);
    if let Some(left) = github.api.low_for() {
        let text = "few points are left of this hour, the complete pass waits for the next";
        return Err(Error::new(ErrorKind::RateLimited, text).with_retry(Retry::After(left)));
    }
    let projects = &live.reference.projects;
    let mut seen = Vec::new();
    let next = if let Some(project) = projects.get(position.done) {
        let (rows, _) = items::page(&github.api, &project.id, &mut position.after, &mut position.sizes).await?;
        let tasks = rows.iter().filter(|row| !row.is_no_task());
        seen.extend(tasks.map(|row| row.native_id().to_owned()));
        rows.page_info.has_next_page
    } else if let Some(repository) = live.repositories.get(position.done - projects.len()) {
        let (after, sizes) = (&mut position.after, &mut position.sizes);
        let rows = repositories::page(&github.api, &repository.name, None, after, sizes).await?;
        seen.extend(rows.iter().map(|row| row.id.to_string()));
        rows.page_info.has_next_page
    } else {
        false
    };
    if !next {
        (position.done, position.after) = (position.done + 1, None);
    }
    let more = position.done < projects.len() + live.repositories.len();
    if !more {
        position = IdCursor::default();
    }
    let cursor = cursor::write(&position, IDS)?;
    Ok(Page { seen, cursor, more, ..Page::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<IdCursor>(include_str!("fixtures/cursors.json"), "ids");
    }
}
