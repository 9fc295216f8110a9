//! Reading what writers wrote, live, dead, torn and of other versions.

use std::io::Write as _;

use contextcore_model::Millis;
use contextcore_model::operation::{Operation, TaskComment, TaskOnly};

use super::*;
use crate::destination::Headers;
use crate::layout::StateDir;
use crate::writer::{Appended, Writer};
use crate::{Destination, LaneDir};

struct Spool {
    dir: tempfile::TempDir,
    lane: LaneDir,
}

fn spool() -> Spool {
    let dir = tempfile::tempdir().unwrap();
    let headers = Headers::default();
    let to = Destination::new("http://tempo:4317", None, None, &headers).unwrap();
    let lane = StateDir::open(dir.path()).unwrap().lane_to(Some((&to, &headers))).unwrap();
    Spool { dir, lane }
}

impl Spool {
    fn writer(&self) -> Writer {
        Writer::new(&self.lane, "shop", "rust", "laptop")
    }

    fn reader(&self) -> Reader {
        Reader::new(vec![self.lane.spool()], 1_000)
    }

    /// The names of the files, without those of writers.
    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.lane.spool().join("shop")).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().to_string_lossy().split_once('.').unwrap().1.to_owned())
            .collect();
        names.sort();
        names
    }

    fn file(&self) -> PathBuf {
        fs::read_dir(self.lane.spool().join("shop")).unwrap().next().unwrap().unwrap().path()
    }

    /// Writes to the newest file as something that is not our writer.
    fn scribble(&self, bytes: &[u8]) {
        File::options().append(true).open(self.file()).unwrap().write_all(bytes).unwrap();
    }
}

fn done(task: &str) -> Operation {
    Operation::Complete(TaskOnly { task: task.to_owned() })
}

fn write(writer: &mut Writer, task: &str) {
    let written = writer.append(Millis(1_000), None, done(task), None).unwrap();
    assert!(matches!(written, Appended::Written(_)));
}

/// The tasks of some lines.
fn tasks(chunk: &Chunk) -> Vec<String> {
    let task = |line: &SpoolLine| match operation::parse(&line.text) {
        Ok(operation::Parsed::Line(line)) => line.operation.task().unwrap().to_owned(),
        _ => "?".to_owned(),
    };
    chunk.lines.iter().map(task).collect()
}

#[test]
fn reading_goes_on_where_it_stood_while_the_writer_lives() {
    let spool = spool();
    let (mut writer, reader) = (spool.writer(), spool.reader());
    write(&mut writer, "a");
    let first = reader.read(&Cursor::new()).unwrap();
    assert_eq!((tasks(&first), first.more), (vec!["a".to_owned()], false));
    assert_eq!((&*first.lines[0].project, &*first.lines[0].writer), ("shop", writer.id()));
    write(&mut writer, "b");
    assert!(reader.has_work(&first.cursor).unwrap());
    let second = reader.read(&first.cursor).unwrap();
    assert_eq!(tasks(&second), ["b"]);
    assert!(second.cursor.has_read(writer.id(), 2) && !second.cursor.has_read(writer.id(), 3));
    reader.finish(&second.cursor).unwrap();
    assert_eq!(spool.files(), ["1.jsonl"], "its writer lives");
    assert!(!reader.has_work(&second.cursor).unwrap());
}

#[test]
fn what_a_dead_writer_left_is_read_marked_and_removed() {
    let spool = spool();
    let (mut writer, reader) = (spool.writer(), spool.reader());
    write(&mut writer, "a");
    drop(writer);
    let chunk = reader.read(&Cursor::new()).unwrap();
    assert_eq!(tasks(&chunk), ["a"]);
    reader.finish(&chunk.cursor).unwrap();
    assert_eq!(spool.files(), ["1.jsonl.done"]);
    assert!(reader.has_work(&chunk.cursor).unwrap());
    reader.finish(&chunk.cursor).unwrap();
    assert!(spool.files().is_empty());
    let last = reader.read(&chunk.cursor).unwrap();
    assert!(last.lines.is_empty() && last.cursor.writers.is_empty());
    assert!(!reader.has_work(&last.cursor).unwrap());
}

#[test]
fn a_torn_line_waits_for_its_writer_and_is_given_up_with_it() {
    let spool = spool();
    let (mut writer, reader) = (spool.writer(), spool.reader());
    write(&mut writer, "a");
    spool.scribble(br#"{"v":1,"seq":2,"t":"2026-"#);
    let first = reader.read(&Cursor::new()).unwrap();
    assert_eq!(tasks(&first), ["a"]);
    assert!(!reader.has_work(&first.cursor).unwrap(), "the writer lives");
    drop(writer);
    let second = reader.read(&first.cursor).unwrap();
    assert!(second.lines.is_empty() && second.warnings.len() == 1, "{:?}", second.warnings);
    assert!(reader.read(&second.cursor).unwrap().warnings.is_empty());
    reader.finish(&second.cursor).unwrap();
    assert_eq!(spool.files(), ["1.jsonl.done"]);
}

#[test]
fn a_last_line_that_lacks_only_its_end_counts() {
    let spool = spool();
    let (mut writer, reader) = (spool.writer(), spool.reader());
    write(&mut writer, "a");
    spool.scribble(br#"{"v":1,"seq":2,"t":"2026-11-26T20:51:06.123Z","op":"task.complete","task":"b"}"#);
    drop(writer);
    let chunk = reader.read(&Cursor::new()).unwrap();
    assert_eq!((tasks(&chunk), chunk.warnings.len()), (vec!["a".to_owned(), "b".to_owned()], 0));
}

#[test]
fn bad_lines_are_given_and_the_next_ones_are_whole() {
    let spool = spool();
    let (mut writer, reader) = (spool.writer(), spool.reader());
    write(&mut writer, "a");
    spool.scribble(b"\n\n{torn\n\xff\xfe\n");
    spool.scribble(&[b'x'; 3 * MAX_LINE]);
    spool.scribble(b"\n");
    write(&mut writer, "b");
    let chunk = reader.read(&Cursor::new()).unwrap();
    assert_eq!(tasks(&chunk), ["a", "?", "?", "?", "b"]);
    for line in &chunk.lines {
        assert_eq!(reader.line_at(&line.name()).unwrap().as_ref(), Some(line));
    }
    assert_eq!(reader.line_at("nonsense").unwrap(), None);
    assert!(chunk.lines.iter().all(|line| line.text.len() <= MAX_LINE));
}

#[test]
fn what_a_newer_program_wrote_stays_for_one() {
    let spool = spool();
    let (mut writer, reader) = (spool.writer(), spool.reader());
    write(&mut writer, "a");
    spool.scribble(b"{\"v\":1,\"seq\":7,\"op\":\"task.teleport\",\"to\":\"mars\"}\n");
    write(&mut writer, "b");
    drop(writer);
    let chunk = reader.read(&Cursor::new()).unwrap();
    assert_eq!((tasks(&chunk), chunk.newer), (vec!["a".to_owned(), "b".to_owned()], 1));
    reader.finish(&chunk.cursor).unwrap();
    assert_eq!(spool.files(), ["1.jsonl"]);
    assert!(!reader.has_work(&chunk.cursor).unwrap());
    // A program that knows more begins at the line that was left.
    let older = Cursor { known: operation::SUPPORTED - 1, ..chunk.cursor.clone() };
    let again = reader.read(&older).unwrap();
    assert_eq!((tasks(&again), again.newer), (vec!["b".to_owned()], 1));
    assert_eq!(again.cursor, chunk.cursor);
}

#[test]
fn a_segment_of_another_version_is_left_alone() {
    let spool = spool();
    fs::create_dir_all(spool.lane.spool().join("shop")).unwrap();
    let name = format!("{}.1.jsonl", "0f".repeat(16));
    fs::write(spool.lane.spool().join("shop").join(name), "{\"v\":2,\"writer\":\"x\",\"project\":\"shop\"}\n{}\n")
        .unwrap();
    let chunk = spool.reader().read(&Cursor::new()).unwrap();
    assert!(chunk.lines.is_empty() && chunk.newer == 1);
    spool.reader().finish(&chunk.cursor).unwrap();
    assert_eq!(spool.files(), ["1.jsonl"]);
    assert!(spool.reader().read(&chunk.cursor).unwrap().warnings.is_empty(), "said once");
}

#[test]
fn a_long_writer_goes_on_in_further_segments() {
    let spool = spool();
    let (mut writer, mut reader) = (spool.writer(), spool.reader());
    let comment = || Operation::Comment(TaskComment { task: "a".into(), text: "x".repeat(60_000), author: None });
    for _ in 0..300 {
        writer.append(Millis(0), None, comment(), None).unwrap();
    }
    assert_eq!(spool.files(), ["1.jsonl", "2.jsonl", "3.jsonl"]);
    reader.most = 70;
    let (mut cursor, mut seen) = (Cursor::new(), Vec::new());
    loop {
        let chunk = reader.read(&cursor).unwrap();
        seen.extend(chunk.lines.iter().map(|line| Envelope::read(&line.text).unwrap().seq));
        cursor = chunk.cursor;
        if !chunk.more {
            break;
        }
    }
    assert_eq!(seen, (1..=300).collect::<Vec<_>>());
    reader.finish(&cursor).unwrap();
    assert_eq!(spool.files(), ["1.jsonl.done", "2.jsonl.done", "3.jsonl"]);
}

#[test]
fn a_full_spool_gives_up_what_was_taken_first() {
    let spool = spool();
    let directory = spool.lane.spool().join("shop");
    fs::create_dir_all(&directory).unwrap();
    let old = directory.join(format!("{}.1.jsonl.done", "0a".repeat(16)));
    File::create(&old).unwrap().set_len(1 << 30).unwrap();
    write(&mut spool.writer(), "a");
    assert!(old.exists(), "exactly the cap is not above it");
    File::options().write(true).open(&old).unwrap().set_len((1 << 30) + 1).unwrap();
    write(&mut spool.writer(), "a");
    assert!(!old.exists());
    let open = directory.join(format!("{}.1.jsonl", "0b".repeat(16)));
    File::create(&open).unwrap().set_len((1 << 30) + 1).unwrap();
    let dropped = spool.writer().append(Millis(0), None, done("b"), None).unwrap();
    assert_eq!(dropped, Appended::Dropped);
    assert!(open.exists() && spool.dir.path().exists());
}

#[test]
fn a_lane_is_drained_by_one_process() {
    let spool = spool();
    let held = spool.lane.lock().unwrap().unwrap();
    assert!(spool.lane.is_drained().unwrap() && spool.lane.lock().unwrap().is_none());
    drop(held);
    assert!(!spool.lane.is_drained().unwrap());
}

#[test]
fn no_line_is_newer_than_its_file() {
    let spool = spool();
    let mut writer = spool.writer();
    const NOW: i64 = 1_700_000_000_000;
    let day = 86_400_000;
    for (t, task) in [(NOW, "a"), (NOW + 4_000, "b"), (NOW + day, "c")] {
        writer.append(Millis(t), None, done(task), None).unwrap();
    }
    let modified = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_000);
    File::options().append(true).open(spool.file()).unwrap().set_modified(modified).unwrap();
    let chunk = spool.reader().read(&Cursor::new()).unwrap();
    let times: Vec<i64> = chunk.lines.iter().map(|line| line_of(&line.text).t.0 - NOW).collect();
    assert_eq!(times, [0, 4_000, 0]);
    assert_eq!(tasks(&chunk), ["a", "b", "c"], "nothing else of the line changes");
}

#[test]
fn what_grew_is_synced() {
    let spool = spool();
    let mut writer = spool.writer();
    let (mut synced, reader) = (BTreeMap::new(), spool.reader());
    write(&mut writer, "a");
    reader.sync(&mut synced).unwrap();
    let length = |spool: &Spool| fs::metadata(spool.file()).unwrap().len();
    assert_eq!(synced, BTreeMap::from([(spool.file(), length(&spool))]));
    write(&mut writer, "b");
    reader.sync(&mut synced).unwrap();
    assert_eq!(synced[&spool.file()], length(&spool));
    fs::remove_file(spool.file()).unwrap();
    reader.sync(&mut synced).unwrap();
    assert!(synced.is_empty());
}

fn line_of(text: &str) -> operation::Line {
    match operation::parse(text).unwrap() {
        operation::Parsed::Line(line) => *line,
        newer => panic!("{newer:?}"),
    }
}
