//! How far a lane was posted: in memory, and in the file `posted.json` beside it.
//!
//! A writer whose lines the service withholds is read on, so that it keeps no other waiting, but stays where it was in the file: the
//! next process posts it again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use contextcore_core::model::operation::Envelope;
use contextcore_spool::{Chunk, Cursor, LaneDir, Place, SpoolLine};

use super::acknowledged::Verdict;

/// The file that says how far a lane was posted.
const POSTED: &str = "posted.json";

/// How far a lane was posted.
pub(super) struct Posted {
    file: PathBuf,
    /// Up to where it was read.
    read: Cursor,
    /// Up to where everything is settled.
    settled: Cursor,
    /// The files of writers whose lines are withheld, and where they stay.
    withheld: BTreeMap<String, Place>,
}

impl Posted {
    /// As the file says; at the beginning where there is none.
    pub(super) fn of(lane: &LaneDir) -> Self {
        let file = lane.path().join(POSTED);
        let known = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let settled: Cursor = known.unwrap_or_default();
        Self { file, read: settled.clone(), settled, withheld: BTreeMap::new() }
    }

    /// From where to read on.
    pub(super) const fn read(&self) -> &Cursor {
        &self.read
    }

    /// Up to where everything is settled, durably.
    pub(super) const fn settled(&self) -> &Cursor {
        &self.settled
    }

    /// Whether lines of a writer are withheld.
    pub(super) fn is_withheld(&self, line: &SpoolLine) -> bool {
        self.withheld.contains_key(&line.file)
    }

    /// Whether lines of any writer are.
    pub(super) fn withholds(&self) -> bool {
        !self.withheld.is_empty()
    }

    /// Moves on behind the lines that are settled, and makes that durable. `lines` are those of the chunk that were to be posted; one
    /// without a verdict was not answered.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn advance(&mut self, chunk: &Chunk, lines: &[SpoolLine], verdicts: &[Verdict]) -> io::Result<()> {
        let (mut next, mut stopped) = (chunk.cursor.clone(), BTreeSet::new());
        let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
        for (index, line) in lines.iter().enumerate() {
            let known = self.read.writers.get(&line.file).map_or(0, |place| place.seq);
            let seq = numbers.entry(&line.file).or_insert(known);
            match verdicts.get(index) {
                _ if stopped.contains(&line.file) => {}
                Some(Verdict::Settled(_)) => *seq = Envelope::read(&line.text).map_or(*seq, |line| line.seq.max(*seq)),
                Some(Verdict::Withheld(_)) => {
                    stopped.insert(line.file.clone());
                    self.withheld.insert(line.file.clone(), chunk.cursor.before(line, *seq));
                }
                Some(Verdict::Unanswered) | None => {
                    stopped.insert(line.file.clone());
                    next.writers.insert(line.file.clone(), chunk.cursor.before(line, *seq));
                }
            }
        }
        self.withheld.retain(|file, _| next.writers.contains_key(file));
        self.read = next.clone();
        next.writers.extend(self.withheld.clone());
        if next != self.settled {
            save(&self.file, &next)?;
            self.settled = next;
        }
        Ok(())
    }
}

/// Makes a position durable before anything behind it is removed.
fn save(file: &Path, cursor: &Cursor) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    let draft = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(draft.as_file(), cursor)?;
    draft.as_file().sync_all()?;
    draft.persist(file)?;
    std::fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use contextcore_core::Millis;
    use contextcore_core::model::operation::{self, Parsed};
    use contextcore_spool::{Reader, StateDir, Writer};

    use super::*;

    fn write(lane: &LaneDir, project: &str, count: usize) {
        let mut writer = Writer::new(lane, project, "test", "here");
        let text = r#"{"v":1,"seq":1,"t":"2026-11-26T20:00:00.000Z","op":"task.complete","task":"a"}"#;
        let Ok(Parsed::Line(line)) = operation::parse(text) else { panic!("no operation") };
        for _ in 0..count {
            writer.append(Millis(0), None, line.operation.clone(), None).unwrap();
        }
    }

    #[test]
    fn only_what_is_settled_is_behind() {
        let dir = tempfile::tempdir().unwrap();
        let lane = StateDir::open(dir.path()).unwrap().lane_to(None).unwrap();
        write(&lane, "a", 3);
        write(&lane, "b", 2);
        let reader = Reader::new(vec![lane.spool()], 100);
        let mut posted = Posted::of(&lane);
        let chunk = reader.read(posted.read()).unwrap();
        let verdicts = chunk.lines.iter().map(|line| match (line.project.as_str(), line.place.1) {
            ("a", _) => Verdict::Withheld("no".into()),
            _ => Verdict::Unanswered,
        });
        posted.advance(&chunk, &chunk.lines, &verdicts.collect::<Vec<_>>()).unwrap();
        reader.finish(posted.settled()).unwrap();
        let again = reader.read(posted.read()).unwrap();
        assert_eq!(again.lines.iter().map(|line| line.project.as_str()).collect::<Vec<_>>(), ["b", "b"]);
        posted.advance(&again, &again.lines, &[Verdict::Settled(None)]).unwrap();
        assert_eq!(reader.read(posted.read()).unwrap().lines.len(), 1, "the second was not answered");
        // The next process posts again what was withheld.
        assert_eq!(reader.read(Posted::of(&lane).read()).unwrap().lines.len(), 4);
        assert_eq!(reader.lengths().unwrap().len(), 2, "nothing was removed");
    }
}
