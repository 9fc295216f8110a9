//! A PgBouncer in transaction mode in front of a server: few connections there, which any transaction of any client gets.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use contextcore_guard::{Ending, Guard};

use crate::programs;
use crate::server::{PASSWORD, Postgres};

const START: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// A running pooler, which ends with its handle.
pub struct Bouncer {
    folder: PathBuf,
    port: u16,
    process: Child,
    _guard: Guard,
}

impl Bouncer {
    /// Starts one that opens at most so many connections to the server. None, said loudly, without the program.
    ///
    /// # Panics
    /// When it cannot be started, or is missing where `CONTEXTCORE_REQUIRE_POSTGRES=1` is set.
    #[must_use]
    pub fn start(server: &Postgres, connections: u32) -> Option<Self> {
        let program = program()?;
        let folder = tempfile::Builder::new().prefix("contextcore-bouncer-").tempdir().unwrap().keep();
        let mut guard = Guard::over(&folder, Ending::Kill);
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        fs::write(folder.join("users"), format!("\"postgres\" \"{PASSWORD}\"\n")).unwrap();
        fs::write(folder.join("settings.ini"), settings(&folder, server.port(), port, connections)).unwrap();
        programs::give(&folder);
        let mut command = programs::command(&program);
        command.arg(folder.join("settings.ini")).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        guard.watch(process.id());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let runs = process.try_wait().unwrap().is_none() && began.elapsed() < START;
            assert!(runs, "PgBouncer does not start\n{}", log(&folder));
            std::thread::sleep(PAUSE);
        }
        Some(Self { folder, port, process, _guard: guard })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        log(&self.folder)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn settings(folder: &Path, server: u16, port: u16, connections: u32) -> String {
    let folder = folder.display();
    format!(
        "[databases]
postgres = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
logfile = {folder}/log
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 500
"
    )
}

fn log(folder: &Path) -> String {
    fs::read(folder.join("log")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Where the program is: in the search path, or where Debian has the programs of services.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join("pgbouncer")).find(|program| program.is_file());
    let is_required = std::env::var_os("CONTEXTCORE_REQUIRE_POSTGRES").is_some_and(|value| value == "1");
    assert!(found.is_some() || !is_required, "PgBouncer is missing: apt-get install pgbouncer");
    if found.is_none() {
        skip();
    }
    found
}

fn skip() {
    static SAID: Once = Once::new();
    let text = "\nSKIPPED: the tests behind a pooler. Install PgBouncer (Debian: apt-get install pgbouncer).\n";
    SAID.call_once(|| drop(std::io::stderr().write_all(text.as_bytes())));
}
