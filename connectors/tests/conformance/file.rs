//! The file's part: its tool is a file that is written while it is read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use contextcore_core::Millis;

use super::{Adapter, Scenario, Trouble};

pub(super) const ADAPTER: Adapter = Adapter { kind: "file", many: 520, start: || Box::pin(async { start() }) };

/// Lines are made long enough for several pages; nobody reads this key.
const PADDING: usize = 10_000;

struct File {
    dir: tempfile::TempDir,
    /// The newest line of every task.
    tasks: BTreeMap<String, Line>,
    text: String,
}

#[derive(Clone)]
struct Line {
    title: String,
    created: i64,
    updated: i64,
}

fn start() -> Box<dyn Scenario> {
    let file = File { dir: tempfile::tempdir().unwrap(), tasks: BTreeMap::new(), text: String::new() };
    file.write(&file.text);
    Box::new(file)
}

impl File {
    fn path(&self) -> PathBuf {
        self.dir.path().join("tasks.jsonl")
    }

    fn away(&self) -> PathBuf {
        self.dir.path().join("away")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    fn append(&mut self, id: &str) {
        let Line { title, created, updated } = &self.tasks[id];
        let (created, updated) = (Millis(*created), Millis(*updated));
        let padding = "x".repeat(PADDING);
        let line = format!(
            "{{\"id\": \"{id}\", \"title\": \"{title}\", \"status\": \"todo\", \"project\": \"ENG\", \"created\": \
             \"{created}\", \"updated\": \"{updated}\", \"padding\": \"{padding}\"}}\n"
        );
        self.text.push_str(&line);
    }

    fn write_anew(&mut self) {
        self.text.clear();
        for id in self.tasks.keys().cloned().collect::<Vec<_>>() {
            self.append(&id);
        }
        self.write(&self.text);
    }
}

impl Scenario for File {
    fn config(&self) -> String {
        format!("path: {}", self.path().display())
    }

    fn add(&mut self, title: &str, at: i64) -> String {
        let id = format!("ENG-{:04}", self.tasks.len() + 1);
        self.tasks.insert(id.clone(), Line { title: title.to_owned(), created: at, updated: at });
        self.append(&id);
        if self.path().exists() {
            self.write(&self.text);
        }
        id
    }

    fn rename(&mut self, id: &str, title: &str, at: i64) {
        let line = self.tasks.get_mut(id).unwrap();
        (line.title, line.updated) = (title.to_owned(), at);
        self.append(id);
        self.write(&self.text);
    }

    fn delete(&mut self, id: &str) -> bool {
        self.tasks.remove(id);
        self.write_anew();
        true
    }

    fn hide(&mut self, hidden: bool) {
        self.write(if hidden { "" } else { &self.text });
    }

    fn set_clock(&mut self, _now: i64) {
        // A file has no clock of its own.
    }

    fn spoil(&mut self, trouble: Trouble) -> bool {
        match trouble {
            Trouble::Down => std::fs::rename(self.path(), self.away()).unwrap(),
            Trouble::Torn => self.write(&self.text[..self.text.len() - PADDING / 2]),
            Trouble::Unauthorised | Trouble::RateLimited | Trouble::Unwell | Trouble::Partial => return false,
        }
        true
    }

    fn mend(&mut self) {
        self.write(&self.text);
    }
}
