//! The `ids` stream: all tasks there are, so that absence means something. GitHub does not list deletions.

use contextcore_core::ingest::connector::{Cursor, Page};
use contextcore_core::{Error, ErrorKind, Result, Retry};
use serde::{Deserialize, Serialize};

use super::batch::Sizes;
use super::place::Place;
use super::session::{GitHub, IDS, SiteContext};
use super::{repositories, rows};
use crate::cursor;

/// How far a pass has come. A finished pass leaves the default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct IdCursor {
    /// Lists that were read to their end: projects, then repositories.
    done: usize,
    #[serde(flatten)]
    place: Place,
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
    let mut page = Page::default();
    let next = if let Some(project) = projects.get(position.done) {
        let listed = rows::page(&github.api, &project.id, &mut position.place, &mut position.sizes).await?;
        let (tasks, others): (Vec<_>, Vec<_>) = listed.rows.iter().partition(|row| !row.is_no_task());
        page.seen.extend(tasks.iter().map(|row| row.native_id().to_owned()));
        page.out_of_scope = others.len() as u64;
        page.unreadable.extend(listed.bad.iter().filter_map(rows::BadRow::unreadable));
        page.nameless = listed.gap.is_some();
        page.unreadable.extend(listed.gap.map(|gap| gap.unreadable(&project.id)));
        listed.more
    } else if let Some(repository) = live.repositories.get(position.done - projects.len()) {
        let (place, sizes) = (&mut position.place, &mut position.sizes);
        let listed = repositories::page(&github.api, &repository.name, None, place, sizes).await?;
        page.seen.extend(listed.rows.iter().map(|row| row.id.to_string()));
        page.unreadable.extend(listed.unreadable);
        page.nameless = listed.gap.is_some();
        page.unreadable.extend(listed.gap.map(|gap| gap.unreadable(&repository.name.to_string())));
        listed.more
    } else {
        false
    };
    page.seen.extend(page.unreadable.iter().map(|one| one.native_id.clone()));
    if !next {
        (position.done, position.place) = (position.done + 1, Place::default());
    }
    page.more = position.done < projects.len() + live.repositories.len();
    if !page.more {
        position = IdCursor::default();
    }
    page.cursor = cursor::write(&position, IDS)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<IdCursor>(include_str!("fixtures/cursors.json"), "ids");
    }
}
