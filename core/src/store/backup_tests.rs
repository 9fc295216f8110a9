//! Exports that are cut, damaged or old.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::tests::{exported, filled};
use super::*;
use crate::model::error::ErrorKind;

fn export() -> Vec<u8> {
    exported(&filled(&(Arc::new(MemoryKv::default()) as _)))
}

#[test]
fn the_key_of_forms_is_in_no_export() {
    let kv = Arc::new(MemoryKv::default()) as _;
    let store = filled(&kv);
    let without = exported(&store);
    store.form_key().unwrap();
    let text = String::from_utf8(exported(&store)).unwrap();
    assert!(!text.contains(&BASE64.encode(forms::place())));
    assert_eq!(text.lines().count(), without.split(|byte| *byte == b'\n').count() - 1);
    let dir = tempfile::tempdir().unwrap();
    let imported = Store::import(&Destination::Directory(&dir.path().join("data")), &mut text.as_bytes()).unwrap();
    assert!(imported.verified && imported.problems.is_empty());
}

/// An export as version 1 wrote it.
fn old_export(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    format!("contextcore-store 1\n{}\n", lines[2..lines.len() - 1].join("\n"))
}

#[test]
fn an_export_that_is_cut_anywhere_is_refused_and_leaves_nothing_behind() {
    let text = export();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    for length in (0..text.len() - 1).step_by(37).chain(text.len() - 90..text.len()) {
        let error = Store::import(&Destination::Directory(&path), &mut &text[..length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store, "{length}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{length}: {error}");
    }
    let half: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let tasks = half.iter().position(|line| line.starts_with(BASE64.encode([b't', b'j', b'i']).as_bytes())).unwrap();
    let error = Store::import(&Destination::Directory(&path), &mut half[..tasks + 2].concat().as_slice()).unwrap_err();
    assert_eq!(error.context("tasks"), Some("2 of 4"), "{error}");
    let error = Store::import(&Destination::Directory(&path), &mut &text[..text.len() - 1]).unwrap_err();
    assert_eq!(error.context("tasks"), Some("4 of 4"), "nothing but the end of the last line is missing: {error}");
}

#[test]
fn an_export_with_any_byte_changed_is_refused() {
    let text = export();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    for place in (0..text.len()).step_by(53) {
        let mut text = text.clone();
        text[place] ^= 0x02;
        assert!(Store::import(&Destination::Directory(&path), &mut text.as_slice()).is_err(), "byte {place}");
    }
    for more in ["x", "end {}", "\n"] {
        assert!(
            Store::import(&Destination::Directory(&path), &mut [&text, more.as_bytes()].concat().as_slice()).is_err(),
            "{more:?}"
        );
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_export_of_version_1_is_imported_unverified_and_refused_when_tasks_are_missing() {
    let text = old_export(&export());
    let dir = tempfile::tempdir().unwrap();
    let import =
        |name: &str, text: &str| Store::import(&Destination::Directory(&dir.path().join(name)), &mut text.as_bytes());
    let imported = import("whole", &text).unwrap();
    assert_eq!((imported.counts.tasks, imported.verified), (4, false));
    let lines: Vec<&str> = text.lines().collect();
    let last_task = lines.iter().rposition(|line| line.starts_with(&BASE64.encode([b't', b'j', b'i']))).unwrap();
    let error = import("cut", &(lines[..last_task].join("\n") + "\n")).unwrap_err();
    assert_eq!(error.context("tasks"), Some("3 of 4"), "{error}");
    for lines in [&lines[..1], &lines[..4]] {
        assert!(import("cut", &(lines.join("\n") + "\n")).unwrap_err().to_string().contains("is cut"));
    }
}

#[test]
fn an_import_never_removes_what_is_not_a_store() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis"), "years of work").unwrap();
    let text = export();
    let error = Store::import(&Destination::Directory(dir.path()), &mut text.as_slice()).unwrap_err();
    assert!(error.to_string().contains("other files"), "{error}");
    assert!(dir.path().join("thesis").exists());
}
