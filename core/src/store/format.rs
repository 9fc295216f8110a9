//! How values become bytes: a version byte, then postcard (zstd-compressed for what is large), or JSON.
//!
//! A value written by a newer version is refused with an error that says so. Each version keeps a golden sample in
//! `core/testdata/`.

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zstd::bulk::{Compressor, Decompressor};

use crate::model::error::{Error, ErrorKind, Result};

/// The version this program writes, and the newest it reads.
pub(crate) const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// The fastest level: records are small and repeat themselves.
const LEVEL: i32 = 1;
/// Below this many bytes compression costs more than it saves.
const COMPRESS_FROM: usize = 256;
/// No value we write is larger; a corrupt length must not ask for all memory.
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

/// What is said when a stored value cannot be read.
const BROKEN: &str = "read the store: a value is damaged; run `contextcore store verify`, or move the directory aside and \
                      sync again (the tools hold the truth, and ids stay the same)";

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
    use crate::model::samples::{facts, stored};
    use crate::model::time::Millis;
    use crate::model::timeline::TaskHistory;
    use crate::model::totals;
    use crate::model::*;
    use crate::store::{Item, Position};

    #[test]
    fn small_and_large_values_come_back() {
        for size in [3, 5_000] {
            let value: Vec<String> = (0..size).map(|n| format!("entry {n}")).collect();
            let bytes = encode(&value).unwrap();
            assert_eq!(decode::<Vec<String>>(&bytes).unwrap(), value);
        }
    }

    /// One of everything that is stored, with every kind of fact.
    fn samples() -> Vec<(&'static str, Vec<u8>)> {
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
        let artifact = Artifact {
            kind: "commit".into(),
            reference: "c0ffee".into(),
            url: "https://example.com/c0ffee".into(),
            summary: "PROJ-1 checkout".into(),
        };
        let whats = vec![
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
            Change::Artifact(artifact.clone()),
            Change::Deleted,
            Change::Restored,
            Change::StatusArtifact(artifact.clone()),
        ];
        let task = TaskRecord {
            url: "https://example.com/browse/PROJ-1".into(),
            reporter: Some("Lin".into()),
            updated: Millis(1_795_000_000_000),
            blockers: vec![Blocker { native_id: Some("9".into()), key: "OPS-4".into(), finished: false }],
            absences: 1,
            timeline: (1_000..).zip(whats).map(|(at, change)| stored(at, change)).collect(),
        };
        let sprint = SprintRecord {
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
        };
        let activity = StoredActivity {
            source: "github".into(),
            native_id: "commit:c0ffee".into(),
            at: Millis(1_795_000_000_000),
            actor: Some("Ada".into()),
            artifact,
        };
        let totals = totals::contribution(&TaskHistory::new(&task.timeline).unwrap());
        let position = Position { done: 7, upto: Some(9), after: Some(vec![1, 2]) };
        vec![
            ("task", encode(&task).unwrap()),
            ("sprint", encode(&sprint).unwrap()),
            ("totals", encode(&totals["PROJ"]).unwrap()),
            ("rollup", encode(&totals::Rollup::own(&TaskHistory::new(&task.timeline).unwrap().last().state)).unwrap()),
            ("position", encode(&position).unwrap()),
            ("deed", encode(&activity).unwrap()),
            ("item", encode(&Item::Task(TaskKey::new("jira", "1"))).unwrap()),
        ]
    }

    #[test]
    fn what_was_written_with_this_version_stays_readable() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/store-v1.txt");
        let now: Vec<String> =
            samples().iter().map(|(name, bytes)| format!("{name} {}", BASE64.encode(bytes))).collect();
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(path, now.join("\n") + "\n").unwrap();
        }
        let golden = std::fs::read_to_string(path).unwrap();
        for (line, (name, bytes)) in golden.lines().zip(samples()) {
            let (kind, text) = line.split_once(' ').unwrap();
            let old = BASE64.decode(text).unwrap();
            // Compared after reading: how zstd packs may change, what comes out may not.
            let same = match kind {
                "task" => decode::<TaskRecord>(&old).unwrap() == decode::<TaskRecord>(&bytes).unwrap(),
                "sprint" => decode::<SprintRecord>(&old).unwrap() == decode::<SprintRecord>(&bytes).unwrap(),
                "totals" => decode::<totals::Totals>(&old).unwrap() == decode::<totals::Totals>(&bytes).unwrap(),
                "rollup" => decode::<totals::Rollup>(&old).unwrap() == decode::<totals::Rollup>(&bytes).unwrap(),
                "deed" => decode::<StoredActivity>(&old).unwrap() == decode::<StoredActivity>(&bytes).unwrap(),
                "position" => decode::<Position>(&old).unwrap() == decode::<Position>(&bytes).unwrap(),
                _ => decode::<Item>(&old).unwrap() == decode::<Item>(&bytes).unwrap(),
            };
            assert!(
                kind == name && same,
                "{name}: the stored form changed: raise VERSION and keep reading the old one"
            );
        }
        assert_eq!(golden.lines().count(), samples().len());
    }

    #[test]
    fn damage_and_newer_versions_are_told_apart() {
        let bytes = encode(&"text".to_owned()).unwrap();
        let mut newer = bytes.clone();
        newer[0] = VERSION + 1;
        assert!(decode::<String>(&newer).unwrap_err().to_string().contains("newer"));
        assert!(decode::<String>(&bytes[..3]).unwrap_err().to_string().contains("damaged"));
    }
}
