//! Appending operations: one `write` a line, on a descriptor whose lock says that the writer lives.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use contextcore_model::Millis;
use contextcore_model::operation::{Line, Operation, VERSION};

use crate::lane::LaneDir;
use crate::layout::{make_private, project_directory};
use crate::resource::Resource;
use crate::segment::{self, Header};

/// A spool may take so much space.
const MOST_BYTES: u64 = 1 << 30;
/// Milliseconds until it is seen again whether the file is still there.
const LOOK: i64 = 1_000;

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the spool, under this number.
    Written(u64),
    /// It is not: the disk or the spool is full, or the line is too long.
    Dropped,
}

/// Writes the operations of one process, for one destination and one project.
#[derive(Debug)]
pub struct Writer {
    spool: PathBuf,
    header: Header,
    open: Option<Open>,
    number: u32,
    seq: u64,
    last: Millis,
    /// When it was last seen that the file is still there.
    checked: Millis,
}

/// The segment that is written.
#[derive(Debug)]
struct Open {
    /// Locked for as long as it is open.
    file: File,
    size: u64,
    /// The last write broke off in the middle of a line.
    torn: bool,
}

impl Writer {
    /// A new writer; its file is made with its first operation. `host` is for people.
    pub fn new(lane: &LaneDir, project: &str, lang: &str, host: &str) -> Self {
        let header = Header::new(project, lang, host);
        Self { spool: lane.spool(), header, open: None, number: 0, seq: 0, last: Millis(0), checked: Millis(0) }
    }

    /// The same for a process that says this of itself: see [`crate::resource()`].
    #[must_use]
    pub fn with_resource(mut self, resource: Resource) -> Self {
        self.header.resource = resource;
        self
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.header.writer
    }

    /// Appends an operation that happened `at` a time, if that is not now.
    ///
    /// # Errors
    /// When the spool cannot be made. A full disk is [`Appended::Dropped`].
    pub fn append(
        &mut self,
        now: Millis,
        at: Option<Millis>,
        operation: Operation,
        actor: Option<String>,
    ) -> io::Result<Appended> {
        self.append_from(now, at, operation, actor, None)
    }

    /// As [`Self::append`], with the span in which the caller works, as the W3C writes it.
    ///
    /// # Errors
    /// When the spool cannot be made. A full disk is [`Appended::Dropped`].
    pub fn append_from(
        &mut self,
        now: Millis,
        at: Option<Millis>,
        operation: Operation,
        actor: Option<String>,
        traceparent: Option<String>,
    ) -> io::Result<Appended> {
        let t = now.max(self.last);
        let line = Line { v: VERSION, seq: self.seq + 1, t, at, operation, actor, traceparent };
        self.leave_a_removed_file(now);
        let Some(text) = line.text() else { return Ok(Appended::Dropped) };
        if !self.make_room(text.len() as u64)? {
            return Ok(Appended::Dropped);
        }
        // A number that was used is not used again: the line may have come through after all.
        (self.seq, self.last) = (line.seq, t);
        let Some(open) = &mut self.open else { return Ok(Appended::Dropped) };
        Ok(if open.write(&text) { Appended::Written(line.seq) } else { Appended::Dropped })
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// When it cannot be synced.
    pub fn sync(&self) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        open.file.sync_data()?;
        File::open(self.spool.join(project_directory(&self.header.project)))?.sync_all()
    }

    /// Gives up a file that somebody removed, so that what follows is not lost with it. Looks once a second.
    fn leave_a_removed_file(&mut self, now: Millis) {
        if now < self.checked.plus(LOOK) {
            return;
        }
        self.checked = now;
        self.open = self.open.take_if(|open| open.file.metadata().is_ok_and(|meta| meta.nlink() > 0));
    }

    /// Opens a segment with room for a line. `false` when the spool is full.
    fn make_room(&mut self, line: u64) -> io::Result<bool> {
        if self.open.as_ref().is_some_and(|open| open.size + line <= segment::LONGEST) {
            return Ok(true);
        }
        if !make_space(&self.spool)? {
            return Ok(false);
        }
        let directory = self.spool.join(project_directory(&self.header.project));
        make_private(&directory)?;
        let next = Open::create(&directory, &self.header, self.number + 1)?;
        self.number += 1;
        // The former one is closed only now: whoever can lock it sees that there is a next one.
        self.open = Some(next);
        Ok(true)
    }
}

impl Open {
    fn create(directory: &Path, header: &Header, number: u32) -> io::Result<Self> {
        let name = segment::file_name(&header.writer, number);
        let draft = directory.join(format!(".{}.{number}.tmp", header.writer));
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&draft)?;
        file.try_lock()?;
        let line = serde_json::to_string(header)? + "\n";
        let made = file.write_all(line.as_bytes()).and_then(|()| fs::rename(&draft, directory.join(name)));
        if let Err(error) = made {
            let _left_for_the_reader = fs::remove_file(&draft);
            return Err(error);
        }
        Ok(Self { file, size: line.len() as u64, torn: false })
    }

    /// Writes a line, or nothing that counts. What broke off is ended by the next line.
    fn write(&mut self, line: &str) -> bool {
        (0..2).any(|_| {
            let text = if self.torn { format!("\n{line}") } else { line.to_owned() };
            let written = self.file.write(text.as_bytes()).unwrap_or(0);
            self.size += written as u64;
            // Without its end alone it is whole: the next line begins with one.
            let whole = written + 1 >= text.len();
            self.torn = if written == 0 { self.torn } else { written < text.len() };
            whole
        })
    }
}

/// Makes space for another segment, by removing what was taken, the oldest first. `false` when there is none.
fn make_space(spool: &Path) -> io::Result<bool> {
    let listing = segment::list(spool)?;
    let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    let mut used: u64 = listing.open.iter().map(|open| size(&open.path)).sum();
    used += listing.done.iter().map(|done| size(done)).sum::<u64>();
    let age = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    for path in oldest_first(listing.done, age) {
        if used <= MOST_BYTES {
            break;
        }
        used = used.saturating_sub(size(&path));
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(used <= MOST_BYTES)
}

/// Files in the order of their age. Each is looked at once: a helper may remove it meanwhile, and an order that changes while it
/// sorts is a panic.
fn oldest_first(mut files: Vec<PathBuf>, age: impl FnMut(&PathBuf) -> SystemTime) -> Vec<PathBuf> {
    files.sort_by_cached_key(age);
    files
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    #[test]
    fn files_that_a_helper_removes_while_they_are_sorted_are_looked_at_once() {
        let files: Vec<PathBuf> = (0..500).map(|number| PathBuf::from(number.to_string())).collect();
        let mut looks: BTreeMap<PathBuf, u64> = BTreeMap::new();
        let sorted = oldest_first(files.clone(), |file| {
            let looks = looks.entry(file.clone()).or_default();
            *looks += 1;
            let number: u64 = file.display().to_string().parse().unwrap();
            // At a second look it is gone.
            if *looks == 1 {
                SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 - number)
            } else {
                SystemTime::UNIX_EPOCH
            }
        });
        assert!(looks.values().all(|looks| *looks == 1));
        assert_eq!(sorted, files.into_iter().rev().collect::<Vec<_>>());
    }
}
