//! Servers that follow another one and take its place, and backups that do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::programs;
use crate::server::Postgres;

/// The data of a server at one moment.
pub struct Backup(PathBuf);

impl Postgres {
    /// A server that follows this one under a name, until it is [detached](Self::detach) or [promoted](Self::promote).
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn standby(&self, name: &str) -> Self {
        let url = format!("{}?application_name={name}", self.url());
        let standby = self.start_beside(|folder| {
            programs::give(folder);
            self.copy_to(&folder.join("data"), &["--write-recovery-conf", "--dbname", &url]);
        });
        self.until(&format!("SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = '{name}'"));
        standby
    }

    /// Has every commit wait for the standby of this name.
    ///
    /// # Panics
    /// When it does not follow.
    pub fn commit_on(&self, name: &str) {
        assert!(self.sql(&format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'")).is_empty());
        assert_eq!(self.sql("SELECT pg_reload_conf()"), "t");
        self.until("SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'");
    }

    /// No longer follows the other server, so that it has what that had at this moment.
    ///
    /// # Panics
    /// When it goes on.
    pub fn detach(&self) {
        assert!(self.sql("ALTER SYSTEM SET primary_conninfo = ''").is_empty());
        assert_eq!(self.sql("SELECT pg_reload_conf()"), "t");
        self.until("SELECT count(*) = 0 FROM pg_stat_wal_receiver");
    }

    /// Takes the place of the other server.
    ///
    /// # Panics
    /// When it does not.
    pub fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote(true, 120)"), "t");
    }

    /// The address that finds whichever of the two servers takes writes.
    #[must_use]
    pub fn url_with(&self, other: &Self) -> String {
        let both = format!("127.0.0.1:{},127.0.0.1:{}/", self.port(), other.port());
        let url = self.url().replace(&format!("127.0.0.1:{}/", self.port()), &both);
        format!("{url}?target_session_attrs=read-write")
    }

    /// Copies its data while it runs.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[must_use]
    pub fn backup(&self) -> Backup {
        let folder = self.folder.join("backup");
        self.copy_to(&folder, &["--dbname", &self.url()]);
        Backup(folder)
    }

    /// Stops and goes on from a backup, as after a recovery to that moment.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restore(&self, backup: &Backup) {
        self.stop();
        let data = self.folder.join("data");
        fs::remove_dir_all(&data).unwrap();
        fs::rename(&backup.0, &data).unwrap();
        self.restart();
    }

    fn copy_to(&self, folder: &Path, arguments: &[&str]) {
        let mut command = programs::command(&self.programs.join("pg_basebackup"));
        command.args(["--checkpoint=fast", "--no-sync", "--wal-method=stream", "--pgdata"]).arg(folder);
        let answer = command.args(arguments).current_dir("/").stdin(Stdio::null()).output().unwrap();
        assert!(answer.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&answer.stderr));
    }
}
