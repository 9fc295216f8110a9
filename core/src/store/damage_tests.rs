//! Stores on disk whose files are cut, changed, missing, or not what they should be, and disks that are full.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kv::KeyRange;
use super::reopen::{opened, patiently};
use super::*;
use crate::model::error::{Error, Result};

/// Commits this many times to the store in a directory.
fn commit_to(path: &Path, commits: u64) {
    let store = opened(path).unwrap();
    for number in 0..commits {
        let mut transaction = store.begin().unwrap();
        transaction.put_metadata("test", &format!("{number}"), &"x".repeat(100)).unwrap();
        transaction.commit().unwrap();
    }
}

#[test]
fn a_damaged_store_is_refused_or_complete_but_never_silently_shorter() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good"), dir.path().join("bad"));
    commit_to(&good, 50);
    let bytes = fs::read(good.join("db")).unwrap();
    let mut found = 0;
    for place in (0..bytes.len()).step_by(997) {
        fs::create_dir_all(&bad).unwrap();
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x40;
        fs::write(bad.join("db"), bytes).unwrap();
        for name in ["conf", witness::FILE] {
            fs::copy(good.join(name), bad.join(name)).unwrap();
        }
        match opened(&bad) {
            Ok(store) => assert_eq!(store.head().unwrap(), 50, "byte {place}"),
            Err(error) => {
                assert!(error.to_string().contains("move the directory aside"), "byte {place}: {error}");
                found += 1;
            }
        }
        fs::remove_dir_all(&bad).unwrap();
    }
    assert!(found > 10, "{found}");
}

#[test]
fn a_witness_that_is_lost_or_behind_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    commit_to(dir.path(), 3);
    for text in ["", "torn", "00000000000000000001\n"] {
        fs::write(dir.path().join(witness::FILE), text).unwrap();
        commit_to(dir.path(), 1);
    }
    assert_eq!(witness::read(dir.path()).unwrap().head, 6);
}

/// A closed store of several segments, with blobs and a snapshot.
fn large(path: &Path) {
    for round in 0..4_u64 {
        let store = opened(path).unwrap();
        for number in 0..40_u64 {
            let length = if number == 7 { 200_000 } else { 5_000 };
            let text: String = (0..length).map(|place| char::from(b'a' + (place * number % 23) as u8)).collect();
            let mut transaction = store.begin().unwrap();
            transaction.put_metadata("test", &(number * 7 % 29).to_string(), &(round, text)).unwrap();
            transaction.commit().unwrap();
        }
    }
    drop(opened(path).unwrap());
    assert!(files::log_length(path) > 1 << 20 && files::has_blobs(path));
}

/// A large store, where a damaged copy of it goes, and all that it holds. The engine has let go of it.
fn good_and_bad(dir: &Path) -> (PathBuf, PathBuf, Vec<Pair>) {
    let (good, bad) = (dir.join("good"), dir.join("bad"));
    large(&good);
    let truth = contents(&opened(&good).unwrap()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    (good, bad, truth)
}

fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap_or_default();
    fs::create_dir_all(to).unwrap();
    files::copy(from, to).unwrap();
}

/// Every file of a store with its bytes.
fn bytes_of(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = |path: PathBuf| fs::read_dir(path).into_iter().flatten().map(|file| file.unwrap().path());
    let all = files(path.to_owned()).chain(files(path.join("blobs"))).filter(|file| file.is_file());
    all.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

/// Every key and value.
fn contents(store: &Store) -> Result<Vec<Pair>> {
    store.pages(KeyRange::all()).collect()
}

/// What reading and then opening a store gives: all of it, or an error that says what to do. Reading changes nothing.
fn complete_or_refused(path: &Path, truth: &[Pair], what: &str) -> bool {
    let before = bytes_of(path);
    let read = patiently(|| Store::open_to_read(path)).and_then(|store| contents(&store));
    assert!(bytes_of(path) == before, "{what}: reading changed a file");
    let written = opened(path).and_then(|store| contents(&store));
    for result in [&read, &written] {
        match result {
            Ok(found) => assert!(found == truth, "{what}: {} of {} keys", found.len(), truth.len()),
            Err(error) => {
                let text = error.full();
                assert!(text.contains("move the directory aside and keep it"), "{what}: {text}");
            }
        }
    }
    assert_eq!(read.is_ok(), written.is_ok(), "{what}");
    written.is_ok()
}

#[test]
fn a_store_that_is_cut_is_complete_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad, truth) = good_and_bad(dir.path());
    let length = files::log_length(&good);
    let lengths = (0..length).step_by(usize::try_from(length / 37).unwrap());
    let mut refused = 0;
    for length in lengths.chain([1, 19, 20, 21, 524_287, 524_288, 524_289]) {
        for witnessed in [true, false] {
            copy(&good, &bad);
            fs::OpenOptions::new().write(true).open(bad.join("db")).unwrap().set_len(length).unwrap();
            if !witnessed {
                fs::remove_file(bad.join(witness::FILE)).unwrap();
            }
            let before = bytes_of(&bad);
            if !complete_or_refused(&bad, &truth, &format!("cut to {length}, witnessed: {witnessed}")) {
                refused += 1;
                assert!(!witnessed || bytes_of(&bad) == before, "{length}: what is left was changed");
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

/// A log that was cut is one that a crash cut short, for all that the log itself says. What a damaged snapshot is called says more.
#[test]
fn a_log_older_than_its_damaged_snapshot_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad, truth) = good_and_bad(dir.path());
    let length = files::log_length(&good);
    // The engine can need a snapshot for the last segment of a whole log.
    for (length, is_cut) in [(length, false), (length / 2, true), (length / 4, true)] {
        copy(&good, &bad);
        fs::OpenOptions::new().write(true).open(bad.join("db")).unwrap().set_len(length).unwrap();
        fs::remove_file(bad.join(witness::FILE)).unwrap();
        let snapshots = bytes_of(&bad).into_keys().filter(|file| file.to_string_lossy().contains("snap."));
        snapshots.for_each(|snapshot| fs::write(snapshot, [7; 600]).unwrap());
        let is_complete = complete_or_refused(&bad, &truth, &format!("cut to {length}"));
        assert!(!is_cut || !is_complete, "{length}");
    }
}

#[test]
fn a_changed_byte_or_a_zeroed_page_is_found_when_it_matters() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad, truth) = good_and_bad(dir.path());
    let mut refused = 0;
    for (file, bytes) in bytes_of(&good).iter().filter(|(file, _)| !file.ends_with(witness::FILE)) {
        let step = (bytes.len() / 14).max(1);
        for place in (0..bytes.len()).step_by(step) {
            for zeroed in [1, 4_096] {
                let mut bytes = bytes.clone();
                let end = (place + zeroed).min(bytes.len());
                bytes[place..end].iter_mut().for_each(|byte| *byte = if zeroed == 1 { *byte ^ 0x40 } else { 0 });
                copy(&good, &bad);
                fs::write(bad.join(file.strip_prefix(&good).unwrap()), bytes).unwrap();
                let what = format!("{} at {place}, {zeroed} bytes", file.display());
                refused += usize::from(!complete_or_refused(&bad, &truth, &what));
            }
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn files_that_are_missing_or_of_another_kind_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad, truth) = good_and_bad(dir.path());
    let names = fs::read_dir(&good).unwrap().map(|file| file.unwrap().file_name()).collect::<Vec<_>>();
    for name in names {
        for how in ["missing", "a directory", "empty", "garbage"] {
            copy(&good, &bad);
            let file = bad.join(&name);
            fs::remove_file(&file).or_else(|_| fs::remove_dir_all(&file)).unwrap();
            match how {
                "a directory" => fs::create_dir(&file).unwrap(),
                "empty" => fs::write(&file, "").unwrap(),
                "garbage" => fs::write(&file, [7; 600_000]).unwrap(),
                _ => {}
            }
            complete_or_refused(&bad, &truth, &format!("{} {how}", name.display()));
        }
    }
    fs::remove_dir_all(&bad).unwrap();
    fs::write(&bad, "a file").unwrap();
    let error = opened(&bad).unwrap_err().to_string();
    assert!(error.contains("a file is where its directory should be"), "{error}");
}

/// A disk that was full while the engine opened leaves a snapshot that was never finished.
#[test]
fn an_unfinished_snapshot_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    commit_to(dir.path(), 3);
    let unfinished = dir.path().join("snap.FFFFFFFFFFFFFFFF.generating");
    fs::write(&unfinished, [1, 2, 3]).unwrap();
    assert_eq!(patiently(|| Store::open_to_read(dir.path())).unwrap().head().unwrap(), 3);
    assert!(unfinished.exists(), "reading changes nothing");
    commit_to(dir.path(), 1);
    assert!(!unfinished.exists());
}

#[test]
fn a_store_is_for_its_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    commit_to(&path, 1);
    for open in [0o755, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        fs::set_permissions(path.join("db"), fs::Permissions::from_mode(open)).unwrap();
        commit_to(&path, 1);
        assert_eq!((mode(&path), mode(&path.join("blobs"))), (0o700, 0o700));
        for file in bytes_of(&path).keys() {
            assert_eq!(mode(file), 0o600, "{}", file.display());
        }
    }
}

#[test]
fn reading_makes_no_store_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let error = Store::open_to_read(&path).unwrap_err();
    assert_eq!(error.context("missing"), Some("true"));
    assert!(error.to_string().contains("contextcore sync") && !path.exists());
    // An empty directory is no store either.
    fs::create_dir(&path).unwrap();
    assert_eq!(Store::open_to_read(&path).unwrap_err().context("missing"), Some("true"));
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

/// A helper or a service makes its store while commands already read it.
#[test]
fn who_reads_while_a_store_is_made_sees_none_or_a_held_one() {
    for _ in 0..100 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let made = std::thread::spawn({
            let path = path.clone();
            move || opened(&path).map(drop)
        });
        while let Err(error) = Store::open_to_read(&path) {
            let is_expected = error.context("missing").is_some() || error.context("locked").is_some();
            assert!(is_expected, "{}", error.full());
        }
        made.join().unwrap().unwrap();
    }
}

#[test]
fn what_needs_more_room_than_there_is_says_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let error: Error = files::check_room(dir.path(), u64::MAX / 2).unwrap_err();
    assert!(error.to_string().contains("free some space") && error.context("free_bytes").is_some(), "{error}");
    assert!(files::check_room(&dir.path().join("nowhere"), u64::MAX).is_ok(), "a system that cannot say");
}

#[test]
fn two_stores_change_places_and_other_files_survive() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    commit_to(&path, 5);
    fs::write(path.join("notes"), "mine").unwrap();
    opened(&path).unwrap().compact().unwrap();
    assert_eq!(opened(&path).unwrap().head().unwrap(), 5);
    let kept = [path.clone(), path.with_extension("compact"), path.with_extension("old")];
    assert!(kept.iter().any(|place| place.join("notes").exists()), "what is not of the store is not removed");
}
