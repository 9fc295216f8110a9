//! The SDK's part: its tool is a spool that processes write to while it is read.

use std::path::PathBuf;

use contextcore_core::Millis;
use contextcore_core::model::operation::{Operation, TaskFields, native_id};
use contextcore_spool::{StateDir, Writer};

use super::{Adapter, NOW, Scenario, Trouble};

pub(super) const ADAPTER: Adapter = Adapter { kind: "sdk", many: 2_100, start: || Box::pin(async { start() }) };

const PROJECT: &str = "ENG";

struct Spool {
    dir: tempfile::TempDir,
    writer: Writer,
    tasks: usize,
    now: i64,
}

fn start() -> Box<dyn Scenario> {
    let dir = tempfile::tempdir().unwrap();
    let lane = StateDir::open(dir.path().join("state")).unwrap().lane_to(None).unwrap();
    let writer = Writer::new(&lane, PROJECT, "rust", "laptop");
    Box::new(Spool { dir, writer, tasks: 0, now: NOW })
}

impl Spool {
    fn path(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn away(&self) -> PathBuf {
        self.dir.path().join("away")
    }

    fn write(&mut self, at: i64, operation: Operation) {
        self.writer.append(Millis(self.now), Some(Millis(at)), operation, None).unwrap();
    }

    fn show(&self) {
        if self.away().exists() {
            std::fs::rename(self.away(), self.path()).unwrap();
        }
    }
}

fn fields(id: &str, title: &str) -> TaskFields {
    TaskFields { task: id.to_owned(), title: Some(title.to_owned()), ..TaskFields::default() }
}

impl Scenario for Spool {
    fn config(&self) -> String {
        format!("path: {}", self.path().display())
    }

    fn add(&mut self, title: &str, at: i64) -> String {
        self.tasks += 1;
        let id = format!("T-{:04}", self.tasks);
        self.write(at, Operation::Start(fields(&id, title)));
        native_id(PROJECT, &id)
    }

    fn rename(&mut self, id: &str, title: &str, at: i64) {
        let id = id.split_once('/').unwrap().1;
        self.write(at, Operation::Update(fields(id, title)));
    }

    fn delete(&mut self, _id: &str) -> bool {
        // What was reported has happened.
        false
    }

    fn hide(&mut self, hidden: bool) {
        if hidden { std::fs::rename(self.path(), self.away()).unwrap() } else { self.show() }
    }

    fn set_clock(&mut self, now: i64) {
        self.now = now;
    }

    fn spoil(&mut self, trouble: Trouble) -> bool {
        if trouble != Trouble::Down {
            return false;
        }
        std::fs::rename(self.path(), self.away()).unwrap();
        true
    }

    fn mend(&mut self) {
        self.show();
    }
}
