//! Where the server's programs are, and as whom they run: the server refuses to run as root.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

/// The oldest version that is supported.
const OLDEST: u32 = 15;

/// The folder with `postgres` and `initdb`. None: the test has to return, and what was not tested is said once.
pub(crate) fn folder() -> Option<PathBuf> {
    let found = named().or_else(newest_of_debian).filter(|folder| folder.join("initdb").is_file());
    let is_required = std::env::var_os("CONTEXTCORE_REQUIRE_POSTGRES").is_some_and(|value| value == "1");
    assert!(found.is_some() || !is_required, "PostgreSQL {OLDEST} or newer is missing: apt-get install postgresql");
    if found.is_none() {
        skip();
    }
    found
}

fn named() -> Option<PathBuf> {
    std::env::var_os("CONTEXTCORE_POSTGRES_BIN").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Debian's packages keep each version apart, and none of them in the search path.
fn newest_of_debian() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let versions = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let newest = versions.filter(|version| *version >= OLDEST).max()?;
    Some(Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin"))
}

/// Says once that tests were skipped, past the test harness, which shows what a test prints only when it fails.
fn skip() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let frame = "*".repeat(90);
        let text = "SKIPPED: the tests that run a real PostgreSQL. Install version 15 or newer (Debian: apt-get install\n\
                    postgresql), or name its folder in $CONTEXTCORE_POSTGRES_BIN. With CONTEXTCORE_REQUIRE_POSTGRES=1 this is\n\
                    a failure.";
        std::io::stderr().write_all(format!("\n{frame}\n{text}\n{frame}\n").as_bytes()).ok();
    });
}

/// A command that runs a program as an ordinary user: this one, or another when this one is root.
pub(crate) fn command(program: &Path) -> Command {
    let Some(user) = other_user() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={}", id("-g", Some(user))), "--clear-groups".to_owned()]);
    command.arg(program);
    command
}

/// Gives a folder to the user that the programs run as.
pub(crate) fn give(folder: &Path) {
    let Some(user) = other_user() else { return };
    assert!(Command::new("chown").args(["-R", user]).arg(folder).status().unwrap().success(), "chown {user}");
}

/// The ordinary user to run as, when this one is root.
fn other_user() -> Option<&'static str> {
    let is_known = |user: &&str| Command::new("id").arg(user).output().is_ok_and(|answer| answer.status.success());
    if id("-u", None) == "0" { ["postgres", "nobody"].into_iter().find(is_known) } else { None }
}

fn id(option: &str, user: Option<&str>) -> String {
    let answer = Command::new("id").arg(option).args(user).output().unwrap();
    String::from_utf8(answer.stdout).unwrap().trim().to_owned()
}
