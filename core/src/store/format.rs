//! How values become bytes: a version byte, then postcard (zstd-compressed for what is large), or JSON.
//!
//! A value written by a newer version is refused with an error that says so. `core/testdata/` has a golden sample of every
//! version.

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zstd::bulk::{Compressor, Decompressor};

use crate::model::error::{Error, ErrorKind, Result};

/// The version this program writes, and the newest it reads.
pub(crate) const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// The fastest level: records are small and repetitive.
const LEVEL: i32 = 1;
/// With fewer bytes compression costs more than it saves.
const COMPRESS_FROM: usize = 256;
/// No value is larger. A corrupt length must not make us allocate all memory.
const MAX_VALUE: usize = 64 << 20;

thread_local! {
    // Making a zstd context costs several times as much as packing one record with it.
    static PACKER: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL).ok());
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
}

/// The bytes of a value: version, coding, body.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let body = postcard::to_stdvec(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "encode a value").caused_by(error))?;
    if body.len() < COMPRESS_FROM {
        return Ok([&[VERSION, PLAIN], body.as_slice()].concat());
    }
    let packed = PACKER.with_borrow_mut(|packer| match packer {
        Some(packer) => packer.compress(&body),
        None => zstd::bulk::compress(&body, LEVEL),
    });
    let packed = packed.map_err(|error| Error::new(ErrorKind::Internal, "compress a value").caused_by(error))?;
    Ok([&[VERSION, ZSTD], packed.as_slice()].concat())
}

/// The value of bytes that [`encode`] wrote.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let broken = || Error::new(ErrorKind::Store, BROKEN);
    match bytes {
        [version, ..] if *version > VERSION => Err(newer(*version)),
        [VERSION, PLAIN, body @ ..] => postcard::from_bytes(body).map_err(|error| broken().caused_by(error)),
        [VERSION, ZSTD, body @ ..] => {
            let size = zstd::zstd_safe::get_frame_content_size(body).ok().flatten().unwrap_or(0);
            let size = usize::try_from(size).ok().filter(|size| *size <= MAX_VALUE).ok_or_else(broken)?;
            let unpacked = UNPACKER.with_borrow_mut(|unpacker| match unpacker {
                Some(unpacker) => unpacker.decompress(body, size),
                None => zstd::bulk::decompress(body, size),
            });
            let body = unpacked.map_err(|error| broken().caused_by(error))?;
            postcard::from_bytes(&body).map_err(|error| broken().caused_by(error))
        }
        _ => Err(broken()),
    }
}

/// The value of JSON bytes.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::new(ErrorKind::Store, BROKEN).caused_by(error))
}

/// What to do about a stored value that cannot be read.
const BROKEN: &str = "read the store: a value is damaged; run `contextcore store verify`, which names what is; then import the \
                      last export, and keep the directory: what was only observed is in no tool";

/// The error for something a newer program wrote.
pub(crate) fn newer(version: u8) -> Error {
    Error::new(ErrorKind::Store, "read the store: it was written by a newer contextcore; upgrade this program")
        .with("format", version)
        .with("newest_readable", VERSION)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;
    use crate::model::activity::StoredActivity;
    use crate::model::insight::{InsightRecord, InsightReport, InsightType, Said};
    use crate::model::operation::{InsightEmit, InsightUpdate};
    use crate::model::report::{Fields, Report, Reported, SprintReport};
    use crate::model::samples::{facts, stored};
    use crate::model::time::Millis;
    use crate::model::timeline::TaskHistory;
    use crate::model::totals;
    use crate::model::*;
    use crate::store::records::{DeadLetter, Item, Position, Quarantined};

    #[test]
    fn small_and_large_values_are_read_back() {
        for size in [3, 5_000] {
            let value: Vec<String> = (0..size).map(|n| format!("entry {n}")).collect();
            let bytes = encode(&value).unwrap();
            assert_eq!(decode::<Vec<String>>(&bytes).unwrap(), value);
        }
    }

    struct Sample {
        name: &'static str,
        bytes: Vec<u8>,
        /// Whether two encodings give the same value. Their bytes may differ, because how zstd packs may change.
        same: fn(&[u8], &[u8]) -> bool,
    }

    fn sample<T: Serialize + DeserializeOwned + PartialEq>(name: &'static str, value: &T) -> Sample {
        let same = |old: &[u8], new: &[u8]| decode::<T>(old).unwrap() == decode::<T>(new).unwrap();
        Sample { name, bytes: encode(value).unwrap(), same }
    }

    fn artifact() -> Artifact {
        Artifact {
            kind: "commit".into(),
            reference: "c0ffee".into(),
            url: "https://example.com/c0ffee".into(),
            summary: "PROJ-1 checkout".into(),
        }
    }

    /// Every kind of change. The last two are newer than the first samples.
    fn changes() -> Vec<Change> {
        let facts = Facts {
            flag: Some("vendor".into()),
            priority: Some("high".into()),
            assignee: Some("Ada".into()),
            labels: vec!["frontend".into()],
            estimate: Some(5.0),
            parent: Some(ParentRef { native_id: "7".into(), key: Some("PROJ-7".into()) }),
            sprints: vec!["41".into(), "42".into()],
            due: Some("2026-12-01".into()),
            ..facts(Status::InProgress)
        };
        vec![
            Change::Created(Box::new(facts)),
            Change::Status { status: Status::Done, native: "Done".into() },
            Change::Blocked(Some("vendor".into())),
            Change::Unblocked,
            Change::Assigned(None),
            Change::Estimated(Some(8.0)),
            Change::Sprints(vec!["42".into()]),
            Change::Parent(None),
            Change::Titled("Checkout".into()),
            Change::Typed { task_type: TaskType::Bug, native: "Bug".into() },
            Change::Prioritised(None),
            Change::Labelled(vec![]),
            Change::Due(None),
            Change::Moved { key: "OPS-1".into(), project: "OPS".into() },
            Change::Commented(Some("done?".into())),
            Change::Linked { text: "is blocked by OPS-4".into(), blocker: Some("OPS-4".into()), added: true },
            Change::Artifact(artifact()),
            Change::Deleted,
            Change::Restored,
            Change::StatusArtifact(artifact()),
            Change::BlockedByLinks("waits for OPS-4".into()),
            Change::UnblockedByLinks,
            Change::Progress(62.5),
            Change::Attributes(vec![("team".into(), Some("web".into())), ("host".into(), None)]),
        ]
    }

    /// The place of a change in [`changes`]. A new variant has none, so it does not compile without one.
    fn place(change: &Change) -> usize {
        match change {
            Change::Created(_) => 0,
            Change::Status { .. } => 1,
            Change::Blocked(_) => 2,
            Change::Unblocked => 3,
            Change::Assigned(_) => 4,
            Change::Estimated(_) => 5,
            Change::Sprints(_) => 6,
            Change::Parent(_) => 7,
            Change::Titled(_) => 8,
            Change::Typed { .. } => 9,
            Change::Prioritised(_) => 10,
            Change::Labelled(_) => 11,
            Change::Due(_) => 12,
            Change::Moved { .. } => 13,
            Change::Commented(_) => 14,
            Change::Linked { .. } => 15,
            Change::Artifact(_) => 16,
            Change::Deleted => 17,
            Change::Restored => 18,
            Change::StatusArtifact(_) => 19,
            Change::BlockedByLinks(_) => 20,
            Change::UnblockedByLinks => 21,
            Change::Progress(_) => 22,
            Change::Attributes(_) => 23,
        }
    }

    /// Every kind of journal item, with the same safeguard.
    fn items() -> Vec<Item> {
        let key = TaskKey::new("jira", "1");
        let items = vec![Item::Task(key.clone()), Item::Sprint(key)];
        let place = |item: &Item| match item {
            Item::Task(_) => 0,
            Item::Sprint(_) => 1,
            // It is newer, and has a sample of its own.
            Item::Insight { .. } => 2,
        };
        assert!(items.iter().map(place).eq(0..2));
        items
    }

    fn task(changes: impl IntoIterator<Item = Change>) -> TaskRecord {
        TaskRecord {
            url: "https://example.com/browse/PROJ-1".into(),
            reporter: Some("Lin".into()),
            updated: Millis(1_795_000_000_000),
            blockers: vec![Blocker { native_id: Some("9".into()), key: "OPS-4".into(), finished: false }],
            absences: 1,
            timeline: (1_000..).zip(changes).map(|(at, change)| stored(at, change)).collect(),
        }
    }

    fn sprint() -> SprintRecord {
        SprintRecord {
            facts: SprintFacts {
                name: "Sprint 12".into(),
                goal: Some("checkout".into()),
                project: Some("PROJ".into()),
                state: SprintState::Closed,
                start: Some(Millis(1)),
                end: Some(Millis(2)),
                completed: Some(Millis(3)),
                exact: true,
            },
            started_seq: Some(4),
            closed_seq: None,
        }
    }

    fn refused() -> (Quarantined, DeadLetter) {
        let quarantined = Quarantined {
            source: "jira".into(),
            native_id: "10042".into(),
            reason: "no key".into(),
            at: Millis(5),
            json: "{}".into(),
        };
        let letter = DeadLetter {
            signal: "traces".into(),
            reason: "too old".into(),
            hint: Some("raise the limit".into()),
            items: 3,
            at: Millis(6),
        };
        (quarantined, letter)
    }

    fn reported<T>(report: T) -> Reported<T> {
        Reported { writer: "0f".into(), seq: 7, at: Millis(1), actor: Some("Ada".into()), report }
    }

    /// Every kind of report.
    fn reports() -> Vec<Reported<Report>> {
        let fields = Fields {
            title: Some("Checkout".into()),
            task_type: Some((TaskType::Story, "story".into())),
            status: Some((None, "Waiting".into())),
            parent: Some(Some("EPIC-42".into())),
            priority: Some(None),
            assignee: Some(Some("Ada".into())),
            estimate: Some(Some(5.0)),
            labels: Some(vec!["web".into()]),
            sprint: Some(Some("12".into())),
            due: Some(Some("2026-12-01".into())),
            url: Some(Some("https://example.com".into())),
            depends_on: Some(vec!["OPS-9".into()]),
            attributes: vec![("team".into(), Some("web".into()))],
        };
        let all = vec![
            Report::Started(Box::new(fields)),
            Report::Updated(Box::default()),
            Report::Status { status: Some(Status::Done), native: "done".into(), reason: Some("shipped".into()) },
            Report::Blocked { reason: Some("vendor".into()), by: Some("OPS-9".into()) },
            Report::Unblocked,
            Report::Reopened,
            Report::Progress(50.0),
            Report::Commented(Some("done?".into())),
            Report::Artifact(artifact()),
        ];
        all.into_iter().map(reported).collect()
    }

    fn sprint_reports() -> Vec<Reported<SprintReport>> {
        let (name, goal) = (Some("Sprint 12".into()), Some("checkout".into()));
        vec![reported(SprintReport { ended: true, name, goal, start: Some(Millis(1)), end: Some(Millis(2)) })]
    }

    /// An insight with every kind of report. It is stored as JSON.
    fn insight() -> InsightRecord {
        let emit = InsightEmit {
            id: "ins_00000000000000aa".into(),
            insight_type: "decision".into(),
            summary: "Use an index".into(),
            supersedes: vec!["ins_00000000000000bb".into()],
            ..InsightEmit::default()
        };
        let update = InsightUpdate { id: emit.id.clone(), action: "retract".into(), ..InsightUpdate::default() };
        let by = "ins_00000000000000cc".to_owned();
        let said = [
            Said::Emit(Box::new(emit.clone())),
            Said::Emit(Box::new(emit)),
            Said::Superseded { by, insight_type: InsightType::Decision, agent: Some("one".into()) },
            Said::Update(Box::new(update)),
        ];
        let mut record = InsightRecord { served: None, ..InsightRecord::new("sdk", "shop", "ins_00000000000000aa") };
        record.add(said.into_iter().zip(1..).map(|(said, seq)| InsightReport {
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            origin: Some("ci".into()),
            journal: 7,
            source: Some("other".into()),
            refused: (seq == 1).then(|| "a circle".into()),
            ..InsightReport::new("0f", seq, Millis(1_795_000_000_000), Some("Ada".into()), said)
        }));
        record
    }

    fn read_insight(bytes: &[u8]) -> InsightRecord {
        from_json(decode::<String>(bytes).unwrap().as_bytes()).unwrap()
    }

    /// One of everything that is stored, with every variant. A sample is only ever added, at the end.
    fn samples() -> Vec<Sample> {
        let first = task(changes().into_iter().take(20));
        let activity = StoredActivity {
            source: "github".into(),
            native_id: "commit:c0ffee".into(),
            at: Millis(1_795_000_000_000),
            actor: Some("Ada".into()),
            artifact: artifact(),
        };
        let life = TaskHistory::new(&first.timeline).unwrap();
        let (quarantined, letter) = refused();
        vec![
            sample("task", &first),
            sample("sprint", &sprint()),
            sample("totals", &totals::contribution(&life)["PROJ"]),
            sample("rollup", &totals::Rollup::own(&life.last().state)),
            sample("position", &Position { done: 7, upto: Some(9), after: Some(vec![1, 2]) }),
            sample("deed", &activity),
            sample("item", &items()[0]),
            sample("every_change", &task(changes().into_iter().take(22))),
            sample("every_status", &Status::ALL.to_vec()),
            sample("every_type", &TaskType::ALL.to_vec()),
            sample("every_sprint_state", &SprintState::ALL.to_vec()),
            sample("every_item", &items()),
            sample("quarantined", &quarantined),
            sample("dead_letter", &letter),
            sample("reported_changes", &task(changes().into_iter().skip(22))),
            sample("reports", &reports()),
            sample("sprint_reports", &sprint_reports()),
            sample("insight_item", &Item::Insight { project: "shop".into(), id: "ins_00000000000000aa".into() }),
            Sample {
                name: "insight",
                bytes: encode(&serde_json::to_string(&insight()).unwrap()).unwrap(),
                same: |old, new| read_insight(old) == read_insight(new),
            },
        ]
    }

    #[test]
    fn every_change_has_a_sample() {
        let places: Vec<usize> = changes().iter().map(place).collect();
        assert_eq!(places, (0..24).collect::<Vec<_>>());
    }

    #[test]
    fn values_written_with_this_version_stay_readable() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/store-v1.txt");
        let now: Vec<String> =
            samples().iter().map(|sample| format!("{} {}", sample.name, BASE64.encode(&sample.bytes))).collect();
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(path, now.join("\n") + "\n").unwrap();
        }
        let golden = std::fs::read_to_string(path).unwrap();
        assert_eq!(golden.lines().count(), samples().len());
        for (line, sample) in golden.lines().zip(samples()) {
            let (name, text) = line.split_once(' ').unwrap();
            let old = BASE64.decode(text).unwrap();
            assert!(
                name == sample.name && (sample.same)(&old, &sample.bytes),
                "{name}: the stored form changed: raise VERSION and keep reading the old one"
            );
        }
    }

    #[test]
    fn damaged_values_and_newer_versions_have_errors_of_their_own() {
        let bytes = encode(&"text".to_owned()).unwrap();
        let mut newer = bytes.clone();
        newer[0] = VERSION + 1;
        assert!(decode::<String>(&newer).unwrap_err().to_string().contains("newer"));
        assert!(decode::<String>(&bytes[..3]).unwrap_err().to_string().contains("damaged"));
    }
}
