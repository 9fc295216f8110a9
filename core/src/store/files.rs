//! The files of a store on disk: what is checked, removed and protected before the engine may touch them.
//!
//! The engine trusts its files. It panics over some that were cut, clears what it cannot read, and takes a snapshot that a full
//! disk cut short for the newest one. So its files are looked at first, while no other process can change them.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::witness;
use crate::model::error::{Error, ErrorKind, Result};

/// The engine's log, which is also what it locks.
const LOG: &str = "db";
/// The engine's settings.
const SETTINGS: &str = "conf";
/// The folder of values too large for the log.
const BLOBS: &str = "blobs";
/// How the names of the engine's snapshots begin.
const SNAPSHOT: &str = "snap.";
/// How the name of a snapshot ends while it is written.
const UNFINISHED: &str = ".generating";
/// Nothing is written when fewer bytes are free.
const FREE_SPACE_FLOOR: u64 = 32 << 20;

/// The engine logs fewer bytes than this for a store that nothing was written to.
const EMPTY_LOG: u64 = 64 << 10;

/// What to do about a disk that takes no write. Batches are atomic, so whatever was stored stays.
pub(super) const FULL: &str =
    "the disk is full or failing; free some space, or check it (nothing was lost, the next run continues)";

/// A file that keeps the engine of every process, this one included, away from a store until it is dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// Locks the files of a store; `None` when it has no log yet.
///
/// # Errors
/// [`ErrorKind::Store`] with the context `locked` when another process holds it, and when the log cannot be read.
pub(super) fn lock(path: &Path) -> Result<Option<Lock>> {
    let log = match File::open(path.join(LOG)) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, error)),
    };
    match rustix::fs::flock(&log, FlockOperation::NonBlockingLockExclusive) {
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => Err(locked(path)),
        // A file system without locks; the engine decides what to do there.
        _ => Ok(Some(Lock(log))),
    }
}

/// The error for a store that another process holds.
pub(super) fn locked(path: &Path) -> Error {
    let text = "open the store: another contextcore holds it; stop it, or query it through its socket";
    Error::new(ErrorKind::Store, text).with("path", path.display()).with("locked", "true")
}

/// Makes the directory of a store, which only this user may enter.
///
/// # Errors
/// [`ErrorKind::Store`] when it cannot be made, or when a file is there.
pub(super) fn make(path: &Path) -> Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_dir()) {
        let text = "open the store: a file is where its directory should be; move the file away, or set store.path";
        return Err(Error::new(ErrorKind::Store, text).with("path", path.display()));
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(|error| unusable(path, error))?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unusable(path, error)),
        _ => Ok(()),
    }
}

/// Says what to do about a store whose files cannot be used.
pub(super) fn unusable(path: &Path, error: io::Error) -> Error {
    let text = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "open the store: the directory cannot be written (or read) by this user; change that, or set store.path"
                .to_owned()
        }
        _ if is_full(&error) => format!("open the store: {FULL}"),
        _ => "open the store: check that store.path is a directory this user can write".to_owned(),
    };
    Error::new(ErrorKind::Store, text).with("path", path.display()).caused_by(error)
}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Fails unless there is room for this many bytes and what every write needs. A system that cannot say counts as roomy.
///
/// # Errors
/// [`ErrorKind::Store`], with what is free and what is needed.
pub(super) fn check_room(path: &Path, bytes: u64) -> Result<()> {
    let needed = bytes.saturating_add(FREE_SPACE_FLOOR);
    match free_space(path) {
        Some(free) if free < needed => Err(Error::new(
            ErrorKind::Store,
            "write to the store: the disk is nearly full; free some space (nothing was lost, the next run continues)",
        )
        .with("path", path.display())
        .with("free_bytes", free)
        .with("needed_bytes", needed)),
        _ => Ok(()),
    }
}

/// Bytes free where a path is, if the system can say.
pub(super) fn free_space(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Checks what can be seen without the engine: that each file is one, and that the log is there. The caller holds the lock.
///
/// # Errors
/// [`ErrorKind::Store`] when something is missing or is not what it should be.
pub(super) fn check(path: &Path) -> Result<()> {
    for (file, metadata) in entries(path).map_err(|error| unusable(path, error))? {
        let right = match file.name() {
            BLOBS => metadata.is_dir(),
            name if is_ours(name) => metadata.is_file(),
            _ => true,
        };
        if !right {
            return Err(witness::damaged().with("path", file.0.display()).with("found", "not a file of the store"));
        }
    }
    if was_used(path) && log_length(path) == 0 {
        return Err(witness::damaged().with("path", path.join(LOG).display()).with("found", "no log, or an empty one"));
    }
    Ok(())
}

/// Whether there are traces of commits beside the log.
pub(super) fn was_used(path: &Path) -> bool {
    witness::read(path).is_some_and(|seen| seen.head > 0) || newest_snapshot(path) > EMPTY_LOG
}

/// How far the log was when the newest snapshot was made, in bytes that the engine ever logged; zero without a snapshot. Their
/// names say it, so it is known of a damaged one too.
pub(super) fn newest_snapshot(path: &Path) -> u64 {
    let logged = |file: StoreFile| u64::from_str_radix(file.name().strip_prefix(SNAPSHOT)?, 16).ok();
    snapshots(path).filter_map(logged).max().unwrap_or_default()
}

/// Whether the log is shorter than at the last commit. The engine cuts it as well, so this is a reason to look closer only.
pub(super) fn is_shorter(path: &Path) -> bool {
    witness::read(path).and_then(|seen| seen.length).is_some_and(|length| log_length(path) < length)
}

/// The length of the log; zero for one that is not there.
pub(super) fn log_length(path: &Path) -> u64 {
    fs::metadata(path.join(LOG)).map_or(0, |log| log.len())
}

/// Removes the snapshots that were never finished. The caller holds the lock, so no process is writing one.
///
/// # Errors
/// [`ErrorKind::Store`] when one cannot be removed.
pub(super) fn remove_unfinished(path: &Path) -> Result<()> {
    let unfinished = names(path).into_iter().filter(|file| file.is_snapshot() && file.name().ends_with(UNFINISHED));
    remove_all(path, unfinished)
}

/// Removes the snapshots, which the engine makes again from its log.
///
/// # Errors
/// [`ErrorKind::Store`] when one cannot be removed.
pub(super) fn remove_snapshots(path: &Path) -> Result<()> {
    remove_all(path, snapshots(path))
}

fn remove_all(path: &Path, mut files: impl Iterator<Item = StoreFile>) -> Result<()> {
    files.try_for_each(|file| fs::remove_file(file.0)).map_err(|error| unusable(path, error))
}

/// Takes the rights of other users away. A directory that belongs to another user stays as it is.
pub(super) fn protect(path: &Path) {
    let set = |path: &Path, metadata: &Metadata, mode: u32| {
        let others = metadata.permissions().mode() & 0o077;
        if others != 0
            && let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode))
        {
            tracing::warn!(path = %path.display(), %error, "other users may read the store");
        }
    };
    if let Ok(directory) = fs::metadata(path) {
        set(path, &directory, 0o700);
    }
    for (file, metadata) in entries(path).unwrap_or_default() {
        match file.name() {
            BLOBS => set(&file.0, &metadata, 0o700),
            name if is_ours(name) => set(&file.0, &metadata, 0o600),
            _ => {}
        }
    }
}

/// Bytes that the files of a store take.
pub(super) fn size(path: &Path) -> io::Result<u64> {
    let of = |entries: Vec<(StoreFile, Metadata)>| entries.iter().map(|(_, metadata)| metadata.len()).sum::<u64>();
    let files = entries(path)?.into_iter().filter(|(file, _)| is_ours(file.name())).collect();
    Ok(of(files) + of(entries(&path.join(BLOBS)).unwrap_or_default()))
}

/// Copies the files of a store, without snapshots that were never finished. The caller holds the lock.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for (file, metadata) in entries(from)? {
        if metadata.is_file() && is_ours(file.name()) && !file.name().ends_with(UNFINISHED) {
            copy_file(&file.0, &to.join(file.name()))?;
        }
    }
    let blobs = entries(&from.join(BLOBS)).unwrap_or_default();
    fs::create_dir(to.join(BLOBS))?;
    blobs.iter().try_for_each(|(blob, _)| copy_file(&blob.0, &to.join(BLOBS).join(blob.name())))
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    // The original may be read-only, and the engine opens the copy for writing.
    fs::set_permissions(to, Permissions::from_mode(0o600))
}

/// Whether a store has values in files of their own, which the engine opens when it reads them.
pub(super) fn has_blobs(path: &Path) -> bool {
    entries(&path.join(BLOBS)).is_ok_and(|blobs| !blobs.is_empty())
}

/// Whether there is a store in a directory.
pub(super) fn is_store(path: &Path) -> bool {
    path.join(LOG).exists() || path.join(SETTINGS).exists() || snapshots(path).next().is_some()
}

/// Removes a store and its directory. Other files that are in the directory stay, and then so does the directory.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    for file in names(path) {
        match file.name() {
            BLOBS => fs::remove_dir_all(&file.0)?,
            name if is_ours(name) || name.ends_with(".sock") => fs::remove_file(&file.0)?,
            _ => {}
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            tracing::warn!(path = %path.display(), "files that are not of the store were left here");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// A file in a directory.
struct StoreFile(PathBuf);

impl StoreFile {
    /// Its name; empty for one that is not text, which no file of ours is.
    fn name(&self) -> &str {
        self.0.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    fn is_snapshot(&self) -> bool {
        self.name().starts_with(SNAPSHOT)
    }
}

fn is_ours(name: &str) -> bool {
    [LOG, SETTINGS, witness::FILE].contains(&name) || name.starts_with(SNAPSHOT)
}

fn snapshots(path: &Path) -> impl Iterator<Item = StoreFile> + use<> {
    names(path).into_iter().filter(|file| file.is_snapshot() && !file.name().ends_with(UNFINISHED))
}

/// The files of a directory; none when it cannot be read.
fn names(path: &Path) -> Vec<StoreFile> {
    entries(path).unwrap_or_default().into_iter().map(|(file, _)| file).collect()
}

/// The files of a directory, with what links lead to.
fn entries(path: &Path) -> io::Result<Vec<(StoreFile, Metadata)>> {
    let found = fs::read_dir(path)?.filter_map(|file| {
        let path = file.ok()?.path();
        let metadata = fs::metadata(&path).ok()?;
        Some((StoreFile(path), metadata))
    });
    Ok(found.collect())
}
