//! Reading a spool: whole lines only, each writer from where it stood, and what becomes of segments that were read.
//!
//! A line without its end waits; it is given up only when its writer is dead or has gone on to the next segment. What this
//! program cannot read yet keeps its segment until a newer one has read it. No line is newer than its file: a `t` that is, because
//! the writer's clock was wrong, becomes the time at which the file was last written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use contextcore_model::Millis;
use contextcore_model::operation::{self, Envelope, MAX_LINE};
use serde::{Deserialize, Serialize};

use crate::destination::RECEIVED;
use crate::resource::Resource;
use crate::segment::{self, Header, Origin, Segment};

/// How far every writer has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// How many operations the program knew that read so far.
    #[serde(default)]
    known: u32,
    /// By writer.
    pub writers: BTreeMap<String, Place>,
}

/// How far a writer has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The segment.
    segment: u32,
    /// The byte behind the last line that was read.
    offset: u64,
    /// The greatest number of those lines.
    pub seq: u64,
    /// The writer is dead, and this is the end of its last segment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
    /// The first line that a newer program has to read: its segment, and where it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<(u32, u64)>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolLine {
    /// Its writer.
    pub writer: String,
    /// The project.
    pub project: String,
    /// Who proved to have sent it to this service; `None` for what was written on this machine.
    pub origin: Option<Origin>,
    /// What its process says of itself; shared by its lines.
    pub resource: Arc<Resource>,
    /// Where it begins: the segment, and the byte in it.
    pub place: (u32, u64),
    /// The name of its file: the writer that wrote it, or the file of what another machine sent.
    pub file: String,
    /// Its text, without the end. What is no text or too long is cut, and cannot be understood.
    pub text: String,
}

/// What was read at once.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The lines, each writer's in order.
    pub lines: Vec<SpoolLine>,
    /// How far everything has been read with them.
    pub cursor: Cursor,
    /// There is more to read now.
    pub more: bool,
    /// How many lines were left for a newer program.
    pub newer: u64,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Reads the spools of some lanes.
#[derive(Debug, Clone)]
pub struct Reader {
    spools: Vec<PathBuf>,
    /// Lines given at once.
    most: usize,
}

impl Reader {
    /// A reader of these directories, that gives `most` lines at once.
    pub fn new(spools: Vec<PathBuf>, most: usize) -> Self {
        Self { spools, most }
    }

    /// The lines that follow.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(&self, cursor: &Cursor) -> io::Result<Chunk> {
        let mut chunk = Chunk { cursor: cursor.clone(), ..Chunk::default() };
        if cursor.known < operation::SUPPORTED {
            chunk.cursor.known = operation::SUPPORTED;
            chunk.cursor.writers.values_mut().for_each(Place::read_kept_again);
        }
        let mut present = BTreeSet::new();
        for spool in &self.spools {
            let listing = segment::list(spool)?;
            for segments in listing.open.chunk_by(|one, next| one.writer == next.writer) {
                present.insert(segments[0].writer.clone());
                if chunk.lines.len() >= self.most {
                    chunk.more = true;
                    continue;
                }
                self.read_writer(segments, &mut chunk)?;
            }
        }
        // The files of the others are gone, and no writer comes back.
        chunk.cursor.writers.retain(|writer, _| present.contains(writer));
        Ok(chunk)
    }

    fn read_writer(&self, segments: &[Segment], chunk: &mut Chunk) -> io::Result<()> {
        let writer = &segments[0].writer;
        let mut place = chunk.cursor.writers.get(writer).cloned().unwrap_or_default();
        for (number, segment) in segments.iter().enumerate() {
            if segment.number < place.segment {
                continue;
            }
            if segment.number > place.segment {
                place = Place { segment: segment.number, offset: 0, ..place };
            }
            let last = number + 1 == segments.len();
            let Some(mut source) = Source::open(segment, self.most)? else { break };
            if !source.read(&mut place, last, chunk)? {
                break;
            }
        }
        chunk.cursor.writers.insert(writer.clone(), place);
        Ok(())
    }

    /// The line that begins at a place, if its segment is still there.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn line_at(&self, name: &str) -> io::Result<Option<SpoolLine>> {
        let place = name.split_once('.').and_then(|(writer, rest)| {
            let (segment, offset) = rest.split_once(':')?;
            Some((writer, segment.parse().ok()?, offset.parse().ok()?))
        });
        let Some((writer, number, offset)) = place else { return Ok(None) };
        for spool in &self.spools {
            let open = segment::list(spool)?.open;
            let Some(segment) = open.iter().find(|open| open.writer == writer && open.number == number) else {
                continue;
            };
            let Some(mut source) = Source::open(segment, 1)? else { continue };
            let (mut chunk, mut place) = (Chunk::default(), Place { segment: number, offset, ..Place::default() });
            source.read(&mut place, false, &mut chunk)?;
            return Ok(chunk.lines.pop().filter(|line| line.place == (number, offset)));
        }
        Ok(None)
    }

    /// Whether a call of [`Self::read`] or [`Self::finish`] would do anything.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn has_work(&self, cursor: &Cursor) -> io::Result<bool> {
        for spool in &self.spools {
            let listing = segment::list(spool)?;
            if !listing.done.is_empty() || listing.open.iter().any(|segment| cursor.is_behind(segment)) {
                return Ok(true);
            }
        }
        let first = Self { most: 1, ..self.clone() };
        let chunk = first.read(cursor)?;
        Ok(chunk.more || chunk.cursor != *cursor)
    }

    /// The lengths of the files that are not done. One that grew, or is new, has something new.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn lengths(&self) -> io::Result<BTreeMap<PathBuf, u64>> {
        let mut lengths = BTreeMap::new();
        for spool in &self.spools {
            for segment in segment::list(spool)?.open {
                // One that vanished meanwhile has nothing new.
                let Ok(meta) = fs::metadata(&segment.path) else { continue };
                lengths.insert(segment.path, meta.len());
            }
        }
        Ok(lengths)
    }

    /// Makes durable what writers wrote since the last call, which `synced` remembers by the lengths of their files.
    ///
    /// # Errors
    /// When a file cannot be synced.
    pub fn sync(&self, synced: &mut BTreeMap<PathBuf, u64>) -> io::Result<()> {
        let mut lengths = BTreeMap::new();
        for spool in &self.spools {
            for segment in segment::list(spool)?.open {
                let Ok(file) = File::open(&segment.path) else { continue };
                let length = file.metadata()?.len();
                if synced.get(&segment.path) != Some(&length) {
                    file.sync_data()?;
                }
                lengths.insert(segment.path, length);
            }
        }
        *synced = lengths;
        Ok(())
    }

    /// Marks the segments that `cursor` is behind as done, and removes those that were. `cursor` must be durable.
    ///
    /// # Errors
    /// When a file cannot be renamed or removed.
    pub fn finish(&self, cursor: &Cursor) -> io::Result<()> {
        for spool in &self.spools {
            let listing = segment::list(spool)?;
            listing.done.iter().try_for_each(|path| if_there(fs::remove_file(path)))?;
            for segment in listing.open {
                if cursor.is_behind(&segment) {
                    let mut done = segment.path.clone().into_os_string();
                    done.push(".done");
                    if_there(fs::rename(&segment.path, done))?;
                }
            }
        }
        Ok(())
    }
}

/// What is gone already needs no work.
fn if_there(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

impl SpoolLine {
    /// The name by which [`Reader::line_at`] finds it.
    pub fn name(&self) -> String {
        format!("{}.{}:{}", self.file, self.place.0, self.place.1)
    }
}

impl Cursor {
    /// A cursor that stands nowhere.
    pub fn new() -> Self {
        Self { known: operation::SUPPORTED, writers: BTreeMap::new() }
    }

    /// Whether nothing in a segment is needed any more.
    fn is_behind(&self, segment: &Segment) -> bool {
        self.writers.get(&segment.writer).is_some_and(|place| place.is_behind(segment.number))
    }

    /// Where the writer of a line stands if it is read only up to that line, and the greatest number before it is `seq`.
    pub fn before(&self, line: &SpoolLine, seq: u64) -> Place {
        let (segment, offset) = line.place;
        let kept = self.writers.get(&line.file).and_then(|place| place.kept).filter(|kept| *kept < line.place);
        Place { segment, offset, seq, ended: false, kept }
    }

    /// Whether every line of a writer up to `seq` has been read.
    pub fn has_read(&self, writer: &str, seq: u64) -> bool {
        self.writers.get(writer).is_some_and(|place| place.seq >= seq)
    }
}

impl Place {
    /// Goes back to what was left for a newer program, which this one is.
    fn read_kept_again(&mut self) {
        if let Some((segment, offset)) = self.kept.take() {
            (self.segment, self.offset, self.ended) = (segment, offset, false);
        }
    }

    /// Whether nothing in a segment is needed any more.
    fn is_behind(&self, segment: u32) -> bool {
        let read = segment < self.segment || (segment == self.segment && self.ended);
        read && self.kept.is_none_or(|(kept, _)| kept > segment)
    }

    fn keep(&mut self, offset: u64) {
        self.kept.get_or_insert((self.segment, offset));
    }
}

/// An open segment.
struct Source<'a> {
    segment: &'a Segment,
    file: File,
    header: Option<Header>,
    /// Of the header.
    resource: Arc<Resource>,
    /// The byte behind its first line.
    begin: u64,
    /// When the file was last written, as far as was seen.
    written: Millis,
    most: usize,
}

/// A clock that is ahead by no more is not corrected, in milliseconds.
const SKEW: i64 = 5_000;

impl<'a> Source<'a> {
    /// Opens a segment and reads its first line; `None` when it vanished.
    fn open(segment: &'a Segment, most: usize) -> io::Result<Option<Self>> {
        let file = match File::open(&segment.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut first = Vec::new();
        let length = BufReader::new(&file).take(MAX_LINE as u64).read_until(b'\n', &mut first)?;
        let mut header = serde_json::from_slice::<Header>(&first).ok();
        if !is_received(&segment.path) {
            header.iter_mut().for_each(|header| header.origin = None);
        }
        let resource = Arc::new(header.as_mut().map(|header| std::mem::take(&mut header.resource)).unwrap_or_default());
        Ok(Some(Self { segment, file, header, resource, begin: length as u64, written: Millis(0), most }))
    }

    /// Reads on from `place`. Returns whether this segment was read to its end and the next one follows.
    fn read(&mut self, place: &mut Place, last: bool, chunk: &mut Chunk) -> io::Result<bool> {
        if place.ended {
            return Ok(false);
        }
        let Some(header) = self.header.clone().filter(|header| header.v == operation::VERSION) else {
            if place.kept.is_none() {
                let path = self.segment.path.display();
                chunk
                    .warnings
                    .push(format!("{path}: this program cannot read its first line, so the file stays as it is"));
                chunk.newer += 1;
            }
            place.keep(0);
            return Ok(!last);
        };
        // Nothing can follow what is read after this.
        let dead = last && self.file.try_lock_shared().is_ok();
        place.offset = place.offset.max(self.begin);
        self.file.seek(SeekFrom::Start(place.offset))?;
        let mut reader = BufReader::with_capacity(MAX_LINE, &self.file);
        loop {
            if chunk.lines.len() >= self.most {
                chunk.more = true;
                return Ok(false);
            }
            match next_line(&mut reader)? {
                Next::Line(text, length) => {
                    let text = not_after(&self.file, &mut self.written, text)?;
                    take((&header, &self.resource, &self.segment.writer), text, place, chunk);
                    place.offset += length;
                }
                Next::Torn(text, length) if length > 0 && (dead || !last) => {
                    if operation::parse(&text).is_ok() {
                        // Only its end is missing, which the next line would have brought.
                        take((&header, &self.resource, &self.segment.writer), text, place, chunk);
                    } else {
                        let path = self.segment.path.display();
                        let text = format!("{path}: its writer ended in the middle of the last line, {length} bytes");
                        chunk.warnings.push(text);
                    }
                    place.offset += length;
                }
                Next::Torn(..) => break,
            }
        }
        place.ended = dead;
        Ok(!last)
    }
}

/// Whether a segment is in the lane into which only a service writes: `LANE/spool/PROJECT/FILE`.
fn is_received(segment: &Path) -> bool {
    segment.ancestors().nth(3).and_then(Path::file_name).is_some_and(|lane| lane == RECEIVED)
}

/// The part of a line that says when it was written.
#[derive(Deserialize)]
struct Stamp {
    t: Millis,
}

/// A line whose time is not after its file was last written.
fn not_after(file: &File, written: &mut Millis, text: String) -> io::Result<String> {
    let Ok(Stamp { t }) = serde_json::from_str(&text) else { return Ok(text) };
    if t <= written.plus(SKEW) {
        return Ok(text);
    }
    let modified = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    *written = Millis(i64::try_from(modified.as_millis()).unwrap_or(i64::MAX));
    if t <= written.plus(SKEW) {
        return Ok(text);
    }
    Ok(text.replacen(&format!(r#""t":"{t}""#), &format!(r#""t":"{written}""#), 1))
}

/// Takes a line, unless it is left for a newer program.
fn take((header, resource, file): (&Header, &Arc<Resource>, &str), text: String, place: &mut Place, chunk: &mut Chunk) {
    if text.trim().is_empty() {
        return;
    }
    match Envelope::read(&text) {
        Some(envelope) if !envelope.is_supported() => {
            place.keep(place.offset);
            chunk.newer += 1;
            return;
        }
        Some(envelope) => place.seq = place.seq.max(envelope.seq),
        None => {}
    }
    let Header { writer, project, origin, .. } = header.clone();
    let (file, place) = (file.to_owned(), (place.segment, place.offset));
    chunk.lines.push(SpoolLine { writer, project, origin, resource: Arc::clone(resource), file, place, text });
}

/// What follows in a file.
enum Next {
    /// A line, and how many bytes it takes with its end.
    Line(String, u64),
    /// A beginning without an end, and its length; none at the end of the file.
    Torn(String, u64),
}

/// The next line. One that is longer than [`MAX_LINE`] is cut there.
fn next_line(reader: &mut impl BufRead) -> io::Result<Next> {
    let mut bytes = Vec::new();
    let mut length = reader.take(MAX_LINE as u64).read_until(b'\n', &mut bytes)?;
    let mut ended = bytes.last() == Some(&b'\n');
    while !ended && length > 0 {
        let mut rest = Vec::new();
        let read = reader.take(MAX_LINE as u64).read_until(b'\n', &mut rest)?;
        if read == 0 {
            return Ok(Next::Torn(text(&bytes), length as u64));
        }
        (length, ended) = (length + read, rest.last() == Some(&b'\n'));
    }
    if !ended {
        return Ok(Next::Torn(String::new(), 0));
    }
    Ok(Next::Line(text(&bytes), length as u64))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests;
