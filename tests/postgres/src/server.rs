//! One server, and what tests ask of it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use contextcore_guard::{Ending, Guard};

use crate::programs;

/// How long a server may take to become ready, on a busy machine.
const START: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
/// Ports tried: another process may take one between its choice and the server's start.
const PORTS: u32 = 5;
/// What makes a CA, and a certificate of it.
const TLS: [&str; 3] = [
    "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=tests",
    "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
    "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile server.ext -out server.crt",
];
pub(crate) const PASSWORD: &str = "a-password:of@tests";
const PASSWORD_IN_URLS: &str = "a-password%3Aof%40tests";

/// A running server with a superuser `postgres`.
pub struct Postgres {
    pub(crate) programs: PathBuf,
    pub(crate) folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    process: Mutex<Option<Child>>,
    guard: Mutex<Guard>,
}

impl Postgres {
    /// The server that the tests of this binary share. It writes nothing durably.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["fsync=off", "max_connections=300"])).as_ref()
    }

    /// Starts a server of its own with these settings (`name=value`).
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(settings: &[&str]) -> Option<Self> {
        let programs = programs::folder()?;
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Some(Self::start_on(&programs, settings, |folder| initialise(&programs, folder)))
    }

    /// Starts a server with the same settings on data that `fill` puts into its folder.
    pub(crate) fn start_beside(&self, fill: impl FnOnce(&Path)) -> Self {
        Self::start_on(&self.programs, self.settings.clone(), fill)
    }

    fn start_on(programs: &Path, settings: Vec<String>, fill: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("contextcore-postgres-").tempdir().unwrap().keep();
        let guard = Mutex::new(Guard::over(&folder, Ending::Quit));
        fill(&folder);
        let programs = programs.to_owned();
        let mut server = Self { programs, folder, port: 0, settings, process: Mutex::default(), guard };
        for _ in 0..PORTS {
            server.port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            if server.launch() {
                return server;
            }
        }
        panic!("PostgreSQL does not start\n{}", server.log());
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder, for files that it shall read.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The address of its database, for the superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same through another port, such as that of a [`crate::Proxy`].
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres:{PASSWORD_IN_URLS}@127.0.0.1:{port}/postgres")
    }

    /// The name of a schema that no other test uses. Nothing is made.
    #[must_use]
    pub fn schema(&self, name: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        format!("{name}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs statements and returns what they print, unaligned and without headers.
    ///
    /// # Panics
    /// When one fails.
    #[must_use]
    pub fn sql(&self, statements: &str) -> String {
        let answer = self.psql(statements);
        assert!(answer.status.success(), "{statements}: {}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap().trim().to_owned()
    }

    /// Waits until a query is answered with true.
    ///
    /// # Panics
    /// When it is not in two minutes.
    pub fn until(&self, query: &str) {
        let began = Instant::now();
        while self.sql(query) != "t" {
            assert!(began.elapsed() < START, "never true: {query}");
            std::thread::sleep(PAUSE);
        }
    }

    /// A session of its own that has run a statement, and ends when it is dropped.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn session(&self, statement: &str) -> Session {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", &self.url()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{statement};\n\\echo done").unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        assert!(output.lines().any(|line| line.unwrap() == "done"), "{statement}");
        Session(child)
    }

    fn psql(&self, statements: &str) -> std::process::Output {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statements, &self.url()]);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Lets it take TLS connections with a certificate for localhost; returns the file of the CA. None, said loudly, without openssl.
    ///
    /// # Panics
    /// When the certificate cannot be made.
    pub fn enable_tls(&self) -> Option<PathBuf> {
        let folder = self.folder.join("tls");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("server.ext"), "subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n")
            .unwrap();
        for arguments in TLS {
            let Ok(answer) = Command::new("openssl").args(arguments.split(' ')).current_dir(&folder).output() else {
                eprintln!("SKIPPED: there is no openssl to make a certificate with");
                return None;
            };
            assert!(answer.status.success(), "{arguments}: {}", String::from_utf8_lossy(&answer.stderr));
        }
        programs::give(&folder);
        for (name, file) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
            assert!(self.sql(&format!("ALTER SYSTEM SET {name} = '{}'", folder.join(file).display())).is_empty());
        }
        assert!(self.sql("ALTER SYSTEM SET ssl = on").is_empty());
        assert_eq!(self.sql("SELECT pg_reload_conf()"), "t");
        self.until("SELECT current_setting('ssl')::bool");
        Some(folder.join("ca.pem"))
    }

    /// Stops it at once, without a word to its clients' transactions, and as a crash does.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&self) {
        let mut child = self.process.lock().unwrap().take().unwrap();
        signal("-QUIT", child.id());
        child.wait().unwrap();
    }

    /// Starts it again after [`Postgres::stop`], on the same port and the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        assert!(self.launch(), "PostgreSQL does not start again\n{}", self.log());
    }

    /// Starts it; whether it answers.
    fn launch(&self) -> bool {
        let mut command = programs::command(&self.programs.join("postgres"));
        command.arg("-D").arg(self.folder.join("data")).args(["-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", &format!("port={}", self.port), "-c", "unix_socket_directories="]);
        command.args(self.settings.iter().flat_map(|setting| ["-c", setting.as_str()]));
        let log = File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        self.guard.lock().unwrap().watch(child.id());
        let began = Instant::now();
        while began.elapsed() < START && child.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() && self.psql("select 1").status.success() {
                *self.process.lock().unwrap() = Some(child);
                return true;
            }
            std::thread::sleep(PAUSE);
        }
        child.kill().ok();
        child.wait().ok();
        false
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.folder.join("log")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

/// A session that holds what its statement took.
pub struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Makes the data folder. Password logins, so that tests can use a wrong one.
fn initialise(programs: &Path, folder: &Path) {
    let password = folder.join("password");
    fs::write(&password, PASSWORD).unwrap();
    programs::give(folder);
    let mut command = programs::command(&programs.join("initdb"));
    command.arg("-D").arg(folder.join("data")).arg(format!("--pwfile={}", password.display()));
    command.args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "-N", "--no-instructions"]);
    let answer = command.current_dir(folder).stdin(Stdio::null()).output().unwrap();
    assert!(answer.status.success(), "initdb: {}", String::from_utf8_lossy(&answer.stderr));
}

fn signal(name: &str, id: u32) {
    // Not reaped yet, so the number is still the child's.
    assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
}
