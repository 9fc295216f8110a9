//! The export of a store. A file that was changed is refused, and one that is whole but holds one damaged value opens as a store
//! in which every other task is as it was.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use contextcore_core::Millis;
use contextcore_core::config::CommentPrivacy;
use contextcore_core::ingest::sync::{Options, Source, sync_source};
use contextcore_core::progress::Quiet;
use contextcore_core::store::{Guard, Kv, MemoryKv, Store};
use serde_json::json;

use super::edit::Input;
use super::source::{self, NOW};

const LINES: &str = r#"{"id": "ENG-1", "title": "Checkout", "status": "done", "created": "2026-11-01T08:00:00Z", "completed": "2026-11-04T08:00:00Z"}
{"id": "ENG-2", "title": "Basket", "status": "in_progress", "project": "ENG", "parent": "ENG-1", "created": "2026-11-01T08:00:00Z"}
{"id": "42", "name": "Sprint 12", "state": "active", "start": "2026-11-01T08:00:00Z", "end": "2026-11-14T16:00:00Z"}
{"id": "ENG-4", "title": "Coupons", "status": "todo", "created": "2026-11-03T08:00:00Z", "sprints": ["42"], "blocked_by": ["ENG-2"]}
"#;

/// A whole export, its pairs, and the tasks in it.
struct Whole {
    text: Vec<u8>,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    tasks: BTreeMap<String, String>,
}

thread_local! {
    static WHOLE: OnceCell<Whole> = const { OnceCell::new() };
}

/// Reads a file that begins like an export as it is; any other input says how a whole export is changed.
pub fn run(input: &[u8]) {
    if input.starts_with(b"contextcore-store") {
        _ = Store::check_export(&mut &*input);
        return;
    }
    WHOLE.with(|whole| {
        let whole = whole.get_or_init(Whole::new);
        let mut input = Input(input);
        match input.byte() % 2 {
            0 => whole.check_file(&mut input),
            _ => whole.check_value(&mut input),
        }
    });
}

impl Whole {
    fn new() -> Self {
        let text = exported();
        let lines = std::str::from_utf8(&text).unwrap().lines();
        let pairs = lines.filter_map(|line| {
            let (key, value) = line.split_once(' ')?;
            Some((BASE64.decode(key).ok()?, BASE64.decode(value).ok()?))
        });
        let pairs: Vec<_> = pairs.collect();
        let tasks = tasks(&store(&pairs).unwrap());
        assert_eq!(tasks.len(), 3);
        Self { text, pairs, tasks }
    }

    /// Bytes of the file are changed, added or cut. It is accepted only if everything before its last line is what it was.
    fn check_file(&self, input: &mut Input<'_>) {
        let mut text = self.text.clone();
        let (at, removed, added) = (input.below(text.len()), usize::from(input.byte()), usize::from(input.byte()));
        text.splice(at..(at + removed).min(self.text.len()), input.take(added).iter().copied());
        let accepted = Store::check_export(&mut text.as_slice());
        assert!(accepted.is_ok() || text != self.text, "{accepted:?}");
        assert!(accepted.is_err() || before_end(&text) == before_end(&self.text), "{accepted:?}");
    }

    /// The value of one key is damaged.
    fn check_value(&self, input: &mut Input<'_>) {
        let mut pairs = self.pairs.clone();
        let which = input.below(pairs.len());
        let (key, value) = &mut pairs[which];
        let at = input.below(value.len() + 1);
        let removed = usize::from(input.byte() % 16);
        let end = (at + removed).min(value.len());
        value.splice(at..end, input.0.iter().copied());
        let damaged = key.clone();
        // A store whose format or head cannot be read is refused as a whole.
        let Ok(store) = store(&pairs) else { return };
        _ = store.verify();
        let found = tasks(&store);
        for (id, whole) in &self.tasks {
            if !damaged.windows(id.len()).any(|window| window == id.as_bytes()) {
                assert_eq!(found.get(id), Some(whole), "{id} suffers from the value of {damaged:?}");
            }
        }
    }
}

/// What the hash in the last line is of.
fn before_end(text: &[u8]) -> &[u8] {
    let end = text.windows(5).rposition(|window| window == b"\nend ");
    &text[..end.unwrap_or(text.len())]
}

fn store(pairs: &[(Vec<u8>, Vec<u8>)]) -> contextcore_core::Result<Store> {
    let kv = MemoryKv::default();
    let batch = pairs.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    kv.write_batch(batch, &Guard::at(0))?;
    Store::over(Arc::new(kv))
}

/// The tasks that can be read, by their native ids.
fn tasks(store: &Store) -> BTreeMap<String, String> {
    let readable = store.tasks(None).filter_map(Result::ok);
    readable.map(|(key, record)| (key.native_id.to_string(), format!("{record:?}"))).collect()
}

/// The export of a store that read a file.
fn exported() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks.jsonl");
    std::fs::write(&path, LINES).unwrap();
    let mut config = source::config("file", "", &directory, "", &[]);
    config.settings = json!({"path": path});
    let connector = source::connect(&config, CommentPrivacy::default());
    let store = Store::over(Arc::<MemoryKv>::default()).unwrap();
    let options = Options { now: Some(Millis(NOW)), ..Options::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let source = Source { config, connector, portfolio: Default::default(), insights: Default::default() };
    let report = runtime.block_on(sync_source(&store, &source, &options, &Quiet, &Default::default()));
    assert!(report.error.is_none(), "{report:?}");
    let mut text = Vec::new();
    store.export(&mut text).unwrap();
    text
}
