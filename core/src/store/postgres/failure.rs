//! Why a statement failed: what it means for what was to be stored, and what a person can do.

use std::error::Error as _;

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::{DbError, SqlState};

use crate::http::tls::certificate_advice;
use crate::model::error::{Error, ErrorKind, Retry};

/// Why a statement failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was never sent.
    NotSent(Reason),
    /// It was sent, and whether it took effect is unknown.
    Unknown(Reason),
    /// The server refused it. It changed nothing.
    Refused(Box<DbError>),
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum Reason {
    /// The server said why it lets nobody in.
    Server(Box<DbError>),
    /// The connection did.
    Connection(String),
    /// Nobody said anything for as long as is waited.
    Silence(String),
}

impl Failure {
    /// A connection could not be made.
    pub(super) fn of_pool(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::NotSent(reason(&error)),
            PoolError::Timeout(TimeoutType::Wait) => {
                Self::NotSent(Reason::Silence("every connection is busy or being made".to_owned()))
            }
            PoolError::Timeout(_) => {
                Self::NotSent(Reason::Silence("a connection was begun and got no answer".to_owned()))
            }
            error => Self::NotSent(Reason::Connection(error.to_string())),
        }
    }

    /// A statement that was sent has failed.
    pub(super) fn of_statement(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) if !ends_the_connection(db) => Self::Refused(Box::new(db.clone())),
            _ => Self::Unknown(reason(error)),
        }
    }

    /// Whether the next connection may succeed at once. Behind a silence would only be another one.
    pub(super) fn may_end_at_once(&self) -> bool {
        self.is_of_the_connection()
            && !matches!(self, Self::NotSent(Reason::Silence(_)) | Self::Unknown(Reason::Silence(_)))
    }

    /// Whether it is the connection that failed.
    pub(super) fn is_of_the_connection(&self) -> bool {
        match self {
            Self::NotSent(Reason::Connection(_) | Reason::Silence(_)) | Self::Unknown(_) => true,
            Self::NotSent(Reason::Server(db)) => *db.code() == SqlState::CANNOT_CONNECT_NOW,
            // A server that became a standby.
            Self::Refused(db) => *db.code() == SqlState::READ_ONLY_SQL_TRANSACTION,
        }
    }

    /// The error for a person.
    pub(super) fn into_error(self, doing: &str, place: &str) -> Error {
        let (text, cause) = match self {
            Self::Refused(db) | Self::NotSent(Reason::Server(db)) | Self::Unknown(Reason::Server(db)) => {
                (advice(db.code()), said(&db))
            }
            Self::NotSent(Reason::Connection(cause)) | Self::Unknown(Reason::Connection(cause)) => {
                (unreachable(&cause), cause)
            }
            Self::NotSent(Reason::Silence(cause)) | Self::Unknown(Reason::Silence(cause)) => (Some(SILENT), cause),
        };
        let text = text.unwrap_or("PostgreSQL refused it");
        let error = Error::new(ErrorKind::Store, format!("{doing}: {text}")).with("database", place).caused_by(cause);
        error.with_retry(Retry::Backoff)
    }
}

/// The server closes the connection after such a message, and may have done so between the commit and its confirmation.
fn ends_the_connection(db: &DbError) -> bool {
    db.code().code().starts_with("08")
        || db.code().code().starts_with("57P")
        || ["FATAL", "PANIC"].contains(&db.severity())
}

fn reason(error: &tokio_postgres::Error) -> Reason {
    if let Some(db) = error.as_db_error() {
        return Reason::Server(Box::new(db.clone()));
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    Reason::Connection(text)
}

fn said(db: &DbError) -> String {
    let more = db.detail().or(db.hint()).map(|more| format!(" ({more})")).unwrap_or_default();
    format!("{}{more}, SQLSTATE {}", db.message(), db.code().code())
}

/// What can be done about an answer of the server.
fn advice(code: &SqlState) -> Option<&'static str> {
    Some(match *code {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "PostgreSQL does not let this user in; correct user and password in `store.postgres.url`, or pg_hba.conf (which may \
             require TLS: sslmode=require)"
        }
        SqlState::INVALID_CATALOG_NAME => "there is no such database; create it, or correct `store.postgres.url`",
        SqlState::INSUFFICIENT_PRIVILEGE => "the user lacks a privilege; docs/SCALE.md lists what it needs",
        SqlState::DISK_FULL => {
            "the disk of PostgreSQL is full; free some space there (nothing was lost, the next run continues)"
        }
        SqlState::TOO_MANY_CONNECTIONS => {
            "PostgreSQL has no connection left; raise max_connections there, or put a pooler in front (each process uses 8)"
        }
        SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
            "PostgreSQL is starting or stopping (nothing was lost, the next run continues)"
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            "PostgreSQL is a standby here; name the primary in `store.postgres.url`, or all hosts with target_session_attrs=read-write"
        }
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME | SqlState::UNDEFINED_COLUMN => {
            "the tables of this program are not there; `contextcore sync` makes them in an empty schema"
        }
        SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => {
            "PostgreSQL took too long (nothing was lost, the next run continues)"
        }
        _ => return None,
    })
}

/// What can be done where somebody accepts connections, or has.
const SILENT: &str = "PostgreSQL does not answer: it was reached and says nothing; see what it waits for, and what is between here and there \
                      (nothing was lost, the next run continues)";

/// What can be done where no server answers.
fn unreachable(cause: &str) -> Option<&'static str> {
    if cause.contains("does not support TLS") {
        return Some(
            "the server has no TLS; set it up there, or allow plain text with sslmode=disable in `store.postgres.url`",
        );
    }
    if cause.contains("password missing") {
        return Some(
            "PostgreSQL asks for a password, and `store.postgres.url` has none; as in postgres://USER:PASSWORD@HOST/DATABASE",
        );
    }
    Some(certificate_advice(cause).map_or(
        "PostgreSQL does not answer; start it, or correct `store.postgres.url` (nothing was lost, the next run continues)",
        |advice| match advice.contains("ca_file") {
            true => "the server's certificate is not trusted; name its CA with sslrootcert=PATH in `store.postgres.url`",
            false => advice,
        },
    ))
}
