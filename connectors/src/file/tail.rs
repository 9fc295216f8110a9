//! Reading a file that grows: where we stand in it, whole lines only, and whether it is still the same file.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind as Io, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use contextcore_core::{Error, ErrorKind, Result};
use ring::digest;
use serde::{Deserialize, Serialize};

/// Bytes of lines given at once.
const CHUNK: u64 = 4 << 20;
/// Lines given at once.
const MOST_LINES: u64 = 5_000;
/// A line that is longer is cut off and quarantined.
const MAX_LINE: u64 = 2 << 20;
/// What distinguishes one file from another.
const HEAD: u64 = 1 << 10;

/// A line without its end; bytes that are no UTF-8 are replaced, and what then cannot be read is quarantined.
pub(super) type Text = String;

/// Where reading stands: in which file, behind which byte, after how many lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// A hash of the file's first bytes (as many as were there, and at most [`HEAD`]), and how many those were. A file that
    /// was written anew begins otherwise, while one that was copied or moved back is the same one.
    head: String,
    head_bytes: u64,
    /// The byte behind the last whole line.
    offset: u64,
    /// Lines before it.
    lines: u64,
}

/// What was read.
pub(super) struct Chunk {
    /// Whole lines with their numbers, from 1.
    pub(super) lines: Vec<(u64, Text)>,
    /// Where the next chunk begins.
    pub(super) place: Place,
    /// There are more whole lines.
    pub(super) more: bool,
    /// The file is not the one that the place was in: reading began at its start.
    pub(super) began_anew: bool,
}

/// An open file.
pub(super) struct Tail {
    file: File,
    path: PathBuf,
}

impl Tail {
    /// Opens the file.
    ///
    /// # Errors
    /// [`ErrorKind::Permission`] when it may not be read, [`ErrorKind::NotFound`] when it is not there (whoever writes it
    /// may be putting another in its place, so that may pass).
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| read_error(path, error);
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(
                Error::new(ErrorKind::Config, "read the file: `path` is a directory").with("path", path.display())
            );
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// The whole lines behind `place`, or from the start. A last line without an end waits: it is still being written.
    pub(super) fn chunk(&mut self, place: Option<Place>) -> Result<Chunk> {
        let start = match &place {
            Some(place) if self.is_same(place)? => (place.offset, place.lines),
            _ => (0, 0),
        };
        let began_anew = place.is_some_and(|place| place.offset > 0) && start.0 == 0;
        self.file.seek(SeekFrom::Start(start.0)).map_err(|error| self.failed(error))?;
        let mut reader = BufReader::new(&self.file);
        let (mut offset, mut number) = start;
        let mut lines = Vec::new();
        while offset - start.0 < CHUNK
            && number - start.1 < MOST_LINES
            && let Some((text, length)) = whole_line(&mut reader).map_err(|error| self.failed(error))?
        {
            (offset, number) = (offset + length, number + 1);
            if !text.trim().is_empty() {
                lines.push((number, text));
            }
        }
        let more = offset - start.0 >= CHUNK || number - start.1 >= MOST_LINES;
        let head_bytes = offset.min(HEAD);
        let place = Place { head: self.head(head_bytes)?, head_bytes, offset, lines: number };
        Ok(Chunk { lines, place, more, began_anew })
    }

    /// Whether this is the file that a place is in: as long at least, and with the same beginning.
    fn is_same(&self, place: &Place) -> Result<bool> {
        let size = self.file.metadata().map_err(|error| self.failed(error))?.len();
        Ok(place.offset <= size && self.head(place.head_bytes)? == place.head)
    }

    fn head(&self, bytes: u64) -> Result<String> {
        let (mut file, mut head) = (&self.file, Vec::new());
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(bytes).read_to_end(&mut head));
        read.map_err(|error| self.failed(error))?;
        let hash = digest::digest(&digest::SHA256, &head);
        Ok(hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn failed(&self, error: std::io::Error) -> Error {
        read_error(&self.path, error)
    }
}

/// The next line that has an end, and how many bytes it takes with it.
fn whole_line(reader: &mut impl BufRead) -> std::io::Result<Option<(Text, u64)>> {
    let mut bytes = Vec::new();
    let mut length = reader.take(MAX_LINE).read_until(b'\n', &mut bytes)?;
    let mut ended = bytes.last() == Some(&b'\n');
    while !ended && length > 0 {
        let mut rest = Vec::new();
        let read = reader.take(MAX_LINE).read_until(b'\n', &mut rest)?;
        if read == 0 {
            return Ok(None);
        }
        (length, ended) = (length + read, rest.last() == Some(&b'\n'));
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(ended.then(|| (text.trim_start_matches('\u{feff}').trim_end().to_owned(), length as u64)))
}

fn read_error(path: &Path, error: std::io::Error) -> Error {
    let (kind, text) = match error.kind() {
        Io::PermissionDenied => (ErrorKind::Permission, "read the file: let this user read it"),
        Io::NotFound => (ErrorKind::NotFound, "read the file: it is not there; correct `path`, or let it be written"),
        _ => (ErrorKind::Unavailable, "read the file"),
    };
    Error::new(kind, text).with("path", path.display()).caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    struct Log(tempfile::TempDir);

    impl Log {
        fn new(text: &str) -> Self {
            let log = Self(tempfile::tempdir().unwrap());
            std::fs::write(log.path(), text).unwrap();
            log
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("tasks.jsonl")
        }

        fn append(&self, text: &str) {
            let mut file = File::options().append(true).open(self.path()).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn read(&self, place: Option<Place>) -> (Vec<(u64, String)>, Chunk) {
            let mut chunk = Tail::open(&self.path()).unwrap().chunk(place).unwrap();
            (std::mem::take(&mut chunk.lines), chunk)
        }
    }

    fn lines(texts: &[(u64, &str)]) -> Vec<(u64, String)> {
        texts.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
    }

    #[test]
    fn reading_goes_on_where_it_stood_and_a_torn_line_waits() {
        let log = Log::new("one\n\ntwo\nthr");
        let (read, chunk) = log.read(None);
        assert_eq!(read, lines(&[(1, "one"), (3, "two")]));
        let (read, chunk) = log.read(Some(chunk.place));
        assert!(read.is_empty() && !chunk.began_anew);
        log.append("ee\r\nfour\n");
        let (read, chunk) = log.read(Some(chunk.place));
        assert_eq!(read, lines(&[(4, "three"), (5, "four")]));
        assert!(!chunk.more);
    }

    #[test]
    fn a_file_that_was_cut_or_put_in_its_place_is_read_from_its_start() {
        let log = Log::new("one\ntwo\n");
        let place = log.read(None).1.place;
        std::fs::write(log.path(), "one\n").unwrap();
        let (read, chunk) = log.read(Some(place.clone()));
        assert_eq!((read, chunk.began_anew), (lines(&[(1, "one")]), true));
        std::fs::write(log.path(), "new\nlong\nlonger\n").unwrap();
        let (read, chunk) = log.read(Some(place));
        assert_eq!((read.len(), chunk.began_anew), (3, true));
    }

    #[test]
    fn a_large_file_comes_in_chunks_and_nothing_twice() {
        let line = format!("{}\n", "x".repeat(1_000));
        let log = Log::new(&line.repeat(10_000));
        let (mut place, mut numbers, mut chunks) = (None, Vec::new(), 0);
        loop {
            let (read, chunk) = log.read(place);
            numbers.extend(read.into_iter().map(|(number, _)| number));
            chunks += 1;
            if !chunk.more {
                break;
            }
            place = Some(chunk.place);
        }
        assert_eq!(numbers, (1..=10_000).collect::<Vec<_>>());
        assert_eq!(chunks, 3);
    }

    #[test]
    fn a_chunk_holds_only_so_many_lines_however_short() {
        let log = Log::new(&"{}\n".repeat(12_000));
        let (mut place, mut counts) = (None, Vec::new());
        loop {
            let (read, chunk) = log.read(place);
            counts.push(read.len());
            if !chunk.more {
                break;
            }
            place = Some(chunk.place);
        }
        assert_eq!(counts, [5_000, 5_000, 2_000]);
    }

    #[test]
    fn a_line_without_measure_is_cut_and_the_next_one_is_whole() {
        let limit = usize::try_from(MAX_LINE).unwrap();
        let log = Log::new(&format!("{}\nnext\n", "x".repeat(limit + 7)));
        let (read, _) = log.read(None);
        assert_eq!((read[0].1.len(), read[1].clone()), (limit, (2, "next".to_owned())));
        let torn = Log::new(&"x".repeat(limit + 7));
        assert!(torn.read(None).0.is_empty(), "it has no end yet");
    }

    #[test]
    fn a_missing_file_and_a_directory_say_what_to_do() {
        let log = Log::new("");
        let gone = Tail::open(&log.path().join("none")).err().unwrap();
        assert_eq!(gone.kind(), ErrorKind::Unavailable, "{gone}");
        std::fs::remove_file(log.path()).unwrap();
        assert_eq!(Tail::open(&log.path()).err().unwrap().kind(), ErrorKind::NotFound);
        assert_eq!(Tail::open(log.0.path()).err().unwrap().kind(), ErrorKind::Config);
    }
}
