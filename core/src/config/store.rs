//! Where the store is: its keys, and the rules that a schema cannot express.

use std::path::PathBuf;
use std::time::Duration;

use contextcore_model::config::{PostgresConfig, SecretRef, StoreConfig, duration};
use schemars::JsonSchema;
use serde::Deserialize;

use super::problems::Problems;

/// Where the store is unless the file says otherwise.
const USUAL: &str = "./data";
/// PostgreSQL cuts longer names.
const LONGEST_NAME: usize = 63;
/// A shorter lease would be lost while a busy database answers; a longer one would only lengthen the wait for a dead replica.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);
const LONGEST_LEASE: Duration = Duration::from_secs(600);

/// The store: a directory, or a schema of a database.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Store")]
pub(super) struct RawStore {
    /// Directory of the store; a relative one is taken from the directory of this file. Absent: `./data`, unless `postgres` is there.
    pub path: Option<String>,
    /// A PostgreSQL database in place of a directory, so that several replicas share the sources.
    pub postgres: Option<RawPostgres>,
}

/// A PostgreSQL database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Postgres", extend("required" = ["url"]))]
pub(super) struct RawPostgres {
    /// Its address, postgres://USER:PASSWORD@HOST/DATABASE, with `sslmode` and `sslrootcert` as for psql.
    #[schemars(required)]
    pub url: Option<SecretRef>,
    /// The schema that holds the tables.
    #[schemars(regex(pattern = r"^[a-z_][a-z0-9_]{0,62}$"))]
    pub schema: String,
    /// How long a replica keeps the sources it reads without renewing that: how long they wait for another after it died.
    #[schemars(regex(pattern = duration::PATTERN))]
    pub lease_ttl: String,
}

impl Default for RawPostgres {
    fn default() -> Self {
        Self { url: None, schema: "contextcore".to_owned(), lease_ttl: "25s".to_owned() }
    }
}

/// Applies the rules.
pub(super) fn config(raw: RawStore, problems: &mut Problems) -> StoreConfig {
    let RawStore { path, postgres } = raw;
    if path.as_ref().is_some_and(|path| path.trim().is_empty()) {
        problems.add("store.path", "is empty: name a directory");
    }
    if path.is_some() && postgres.is_some() {
        problems
            .add("store.postgres", "cannot be beside `store.path`: the store is in one of them, take the other out");
    }
    let database = postgres.and_then(|raw| database(raw, problems));
    let directory = || StoreConfig::Directory(PathBuf::from(path.unwrap_or_else(|| USUAL.to_owned())));
    database.map_or_else(directory, StoreConfig::Postgres)
}

fn database(raw: RawPostgres, problems: &mut Problems) -> Option<PostgresConfig> {
    if raw.url.is_none() {
        problems.add("store.postgres.url", "is missing: add `url: {env: NAME}`; the address has a password in it");
    }
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name = !raw.schema.starts_with(|first: char| first.is_ascii_digit()) && raw.schema.bytes().all(is_plain);
    if !is_name || !(1..=LONGEST_NAME).contains(&raw.schema.len()) {
        problems
            .add("store.postgres.schema", "must be small letters, digits and `_`, 63 at most, and begin with no digit");
    }
    let lease_ttl = duration::parse(&raw.lease_ttl).and_then(|length| {
        let fits = (SHORTEST_LEASE..=LONGEST_LEASE).contains(&length);
        if fits { Ok(length) } else { Err("must be between 2s and 10m".to_owned()) }
    });
    let lease_ttl = lease_ttl.map_err(|message| problems.add("store.postgres.lease_ttl", message)).ok();
    Some(PostgresConfig { url: raw.url?, schema: raw.schema, lease_ttl: lease_ttl? })
}
