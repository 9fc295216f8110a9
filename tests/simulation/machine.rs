//! A machine on which code and agents report their own work: spools of writers that go on, end, or are killed anywhere in a line.
//!
//! Every line goes to two state directories. The installation that lives removes what it has stored; the one that never saw a
//! fault finds all of it in the other.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use contextcore_core::{Millis, clock};
use contextcore_fakes::faults::Faults;
use contextcore_fakes::otlp::{Attributes, Handle};
use contextcore_spool::StateDir;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

const PROJECT: &str = "shop";

/// The machine.
pub(crate) struct Machine {
    states: [StateDir; 2],
    _directory: tempfile::TempDir,
    /// A spool is no server: nothing happens to it on the way.
    pub(crate) faults: Faults,
    reporting: RefCell<Reporting>,
}

/// Who reports, and what was reported.
struct Reporting {
    chance: StdRng,
    writers: Vec<Writer>,
    /// What was made so far, of everything: names follow from it.
    made: u64,
    /// Tasks, and whether they are open.
    tasks: BTreeMap<String, bool>,
    /// What may become of insights that something may still become of, by id.
    live: BTreeMap<String, &'static [&'static str]>,
    /// Whole lines that report an insight.
    emitted: BTreeSet<String>,
    /// Whole lines that report what became of one.
    changed: BTreeSet<(String, String)>,
}

/// A process that reports, with its file in both directories.
struct Writer {
    id: String,
    segment: u32,
    seq: u64,
    files: Vec<File>,
}

/// What a line reports.
enum Said {
    Task(String, bool),
    Insight(String, &'static [&'static str]),
    Change(String, &'static str),
}

impl Machine {
    /// A machine on which nothing was reported yet.
    pub(crate) fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let states = ["ours", "untouched"].map(|name| StateDir::open(directory.path().join(name)).unwrap());
        let reporting = Reporting {
            chance: StdRng::seed_from_u64(seed ^ 0x0073_646b),
            writers: Vec::new(),
            made: 0,
            tasks: BTreeMap::new(),
            live: BTreeMap::new(),
            emitted: BTreeSet::new(),
            changed: BTreeSet::new(),
        };
        Self { states, _directory: directory, faults: Faults::default(), reporting: RefCell::new(reporting) }
    }

    /// The source that reads one of the two directories.
    pub(crate) fn source(&self, number: usize) -> String {
        format!("{{name: acme, kind: sdk, path: '{}'}}", self.states[number].path().display())
    }

    /// So many lines are written, one after the other, up to now.
    pub(crate) fn work(&self, lines: usize) {
        let mut reporting = self.reporting.borrow_mut();
        for left in (0..lines).rev() {
            let at = clock::now().plus(-i64::try_from(left).unwrap());
            reporting.report(&self.directories(), at);
        }
    }

    fn directories(&self) -> [PathBuf; 2] {
        self.states.each_ref().map(|state| state.lane("none").spool().join(PROJECT))
    }

    /// Everything of which a whole line was written is stored and exported, and nothing else is.
    pub(crate) fn assert_exported(&self, tasks: &[Value], collector: &Handle) {
        let reporting = self.reporting.borrow();
        let text = |attributes: &Attributes, name: &str| attributes[name].as_str().unwrap().to_owned();
        let keys: BTreeSet<&str> = tasks.iter().map(|task| task["id"].as_str().unwrap()).collect();
        assert_eq!(keys, reporting.tasks.keys().map(String::as_str).collect());
        let insights = collector.spans().into_iter().filter(|span| crate::outcome::role(span) == "insight");
        let insights: BTreeSet<String> = insights.map(|span| text(&span.attributes, "agent.insight.id")).collect();
        assert_eq!(insights, reporting.emitted);
        let changes = collector.logs().into_iter().filter(|log| log.event_name == "insight.updated");
        let changes: Vec<_> =
            changes.inspect(|log| assert_eq!(log.attributes.get("agent.insight.refused"), None)).collect();
        let changes = changes.iter().map(|log| &log.attributes);
        let changes = changes.map(|of| (text(of, "agent.insight.id"), text(of, "agent.insight.action")));
        assert_eq!(changes.collect::<BTreeSet<_>>(), reporting.changed);
    }
}

impl Reporting {
    /// One line; the process that writes it may be killed in the middle of it.
    fn report(&mut self, directories: &[PathBuf; 2], at: Millis) {
        if self.writers.is_empty() || self.chance.random_bool(0.2) {
            self.writers.push(Writer::new(self.chance.random(), directories));
        }
        let number = self.chance.random_range(0..self.writers.len());
        if self.chance.random_bool(0.1) {
            self.writers[number].next_segment(directories);
        }
        let (mut line, said) = self.operation();
        let line = self.writers[number].line(&mut line, at);
        let is_killed = self.chance.random_bool(0.15);
        let length = if is_killed { self.chance.random_range(0..line.len()) } else { line.len() };
        self.writers[number].write(&line[..length], at);
        if is_killed {
            self.writers.swap_remove(number);
        }
        // A line that lacks only its end is whole.
        if length + 1 >= line.len() {
            self.note(said);
        }
    }

    fn note(&mut self, said: Said) {
        match said {
            Said::Task(task, is_open) => _ = self.tasks.insert(task, is_open),
            Said::Insight(id, next) => {
                self.emitted.insert(id.clone());
                self.live.insert(id, next);
            }
            Said::Change(id, action) => {
                if action == "accept" {
                    self.live.insert(id.clone(), &["complete", "reject"]);
                } else {
                    self.live.remove(&id);
                }
                self.changed.insert((id, action.to_owned()));
            }
        }
    }

    fn operation(&mut self) -> (Value, Said) {
        self.made += 1;
        let open: Vec<String> =
            self.tasks.iter().filter(|(_, is_open)| **is_open).map(|(task, _)| task.clone()).collect();
        let Some(task) = open.choose(&mut self.chance).cloned() else { return self.start(None) };
        if self.emitted.is_empty() {
            return self.emit(&task);
        }
        match self.chance.random_range(0..12) {
            0 | 1 => self.start(Some(task)),
            2 | 3 => self.emit(&task),
            4..8 => self.change(&task),
            _ => self.progress(task),
        }
    }

    fn start(&self, parent: Option<String>) -> (Value, Said) {
        let task = format!("T-{}", self.made);
        let line = json!({"op": "task.start", "task": task, "title": format!("Task {task}"), "parent": parent});
        (line, Said::Task(task, true))
    }

    fn progress(&mut self, task: String) -> (Value, Said) {
        let (line, is_open) = match self.chance.random_range(0..6) {
            0 => (json!({"op": "task.complete", "task": task}), false),
            1 => (json!({"op": "task.cancel", "task": task, "reason": "not now"}), false),
            2 => (json!({"op": "task.progress", "task": task, "percent": self.made % 100}), true),
            3 => (json!({"op": "task.comment", "task": task, "text": format!("Line {}", self.made)}), true),
            4 => (json!({"op": "task.block", "task": task, "reason": "waits"}), true),
            _ => (json!({"op": "task.status", "task": task, "status": "in_progress"}), true),
        };
        (line, Said::Task(task, is_open))
    }

    fn emit(&mut self, task: &str) -> (Value, Said) {
        let id = format!("ins_{:016x}", self.made);
        let kinds: [(&str, &'static [&'static str]); 4] = [
            ("decision", &["retract"]),
            ("question", &["answer", "withdraw"]),
            ("risk", &["mitigate", "resolve", "occurred"]),
            ("handoff", &["accept", "reject"]),
        ];
        let (kind, next) = *kinds.choose(&mut self.chance).unwrap();
        let mut line = json!({"op": "insight.emit", "id": id, "type": kind, "summary": format!("Insight {}", self.made),
            "confidence": 0.5, "agent": "claude", "applies_to": [format!("task:{task}")]});
        if kind == "handoff" {
            line["to"] = json!("reviewer");
        }
        (line, Said::Insight(id, next))
    }

    /// Something becomes of an insight, if something still can.
    fn change(&mut self, task: &str) -> (Value, Said) {
        let live: Vec<&String> = self.live.keys().collect();
        let Some(id) = live.choose(&mut self.chance).map(|id| (*id).clone()) else { return self.emit(task) };
        let action = *self.live[&id].choose(&mut self.chance).unwrap();
        let line = json!({"op": "insight.update", "id": id, "action": action, "text": "as agreed", "by": "ada"});
        (line, Said::Change(id, action))
    }
}

impl Writer {
    fn new(id: u128, directories: &[PathBuf; 2]) -> Self {
        let mut writer = Self { id: format!("{id:032x}"), segment: 0, seq: 0, files: Vec::new() };
        writer.next_segment(directories);
        writer
    }

    /// The next segment is made before the former one is closed.
    fn next_segment(&mut self, directories: &[PathBuf; 2]) {
        self.segment += 1;
        let files = directories.iter().map(|directory| self.open(directory));
        self.files = files.collect();
    }

    fn open(&self, directory: &Path) -> File {
        fs::create_dir_all(directory).unwrap();
        let name = directory.join(format!("{}.{}.jsonl", self.id, self.segment));
        let mut file = OpenOptions::new().append(true).create_new(true).open(name).unwrap();
        file.try_lock().unwrap();
        let header =
            json!({"v": 1, "writer": self.id, "project": PROJECT, "lang": "x", "sdk": "1", "host": "h", "pid": 1});
        writeln!(file, "{header}").unwrap();
        file
    }

    fn line(&mut self, operation: &mut Value, at: Millis) -> String {
        self.seq += 1;
        let mut line = json!({"v": 1, "seq": self.seq, "t": at.to_string()});
        line.as_object_mut().unwrap().append(operation.as_object_mut().unwrap());
        format!("{line}\n")
    }

    fn write(&self, text: &str, at: Millis) {
        let written = UNIX_EPOCH + Duration::from_millis(at.0.unsigned_abs());
        for mut file in &self.files {
            file.write_all(text.as_bytes()).unwrap();
            file.set_modified(written).unwrap();
        }
    }
}
