//! Every statement that goes to PostgreSQL, and the tables.
//!
//! Each statement names its tables with their schema and leaves nothing behind in its session, so that a pooler may give every
//! transaction another connection. What writes is one statement, which is a transaction by itself: no client can pause within it
//! and hold a lock. The one exception is the [turn] of a writer among several, which ends by itself when its process pauses.

use super::super::key::Kind;
use super::super::kv::Guard;

/// The version of the tables that this program makes.
pub(super) const FORMAT: i32 = 2;

/// The first version that has an inbox.
pub(super) const INBOX: i32 = 2;

/// The version that a lease row asks of whoever writes. Raised with a change of the tables that older programs cannot write to.
pub(super) const WRITER: i32 = 2;

/// How the tables of each version follow from those before. A version only adds; what a later version no longer needs is removed
/// two versions later, when no program that needs it may write any more (`min_writer`).
const MIGRATIONS: [&str; FORMAT as usize] = [
    "
CREATE TABLE {lease} (
    name text PRIMARY KEY,
    token bigint NOT NULL,
    nonce bigint NOT NULL,
    owner text NOT NULL,
    expires timestamptz NOT NULL,
    format integer NOT NULL,
    min_writer integer NOT NULL
);
CREATE TABLE {kv} (
    source text COLLATE \"C\" NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (source, key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE {kv} ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE TABLE {wakes} (source text PRIMARY KEY);
INSERT INTO {lease} VALUES ('', 0, 0, '', 'epoch', 1, 1);
",
    "
ALTER TABLE {lease}
    ADD COLUMN committed bigint NOT NULL DEFAULT 0,
    ADD COLUMN units text[] NOT NULL DEFAULT '{}',
    ADD COLUMN wanted text NOT NULL DEFAULT '';
CREATE TABLE {inbox} (
    id uuid PRIMARY KEY,
    source text NOT NULL,
    received timestamptz NOT NULL DEFAULT clock_timestamp(),
    body text NOT NULL
);
UPDATE {lease} SET min_writer = 2 WHERE name = '';
",
];

/// The statements for one schema.
pub(super) struct Sql {
    schema: String,
    pub(super) get_many: String,
    pub(super) range: String,
    pub(super) range_to_the_end: String,
    pub(super) range_many: String,
    pub(super) write: String,
    pub(super) size: String,
    pub(super) exists: String,
    pub(super) has_schema: &'static str,
    pub(super) encoding: &'static str,
    pub(super) lease: String,
    pub(super) committed: String,
    pub(super) line: String,
    pub(super) acquire: String,
    pub(super) is_alone: String,
    pub(super) join: String,
    pub(super) describe: String,
    pub(super) make_head: String,
    pub(super) has_no_owner: String,
    pub(super) survey: String,
    pub(super) take: String,
    pub(super) want: String,
    pub(super) renew: String,
    pub(super) try_to_write: String,
    pub(super) tried_to_write: String,
    pub(super) rotate: String,
    pub(super) release: String,
    pub(super) wake: String,
    pub(super) woken: String,
    pub(super) deliver: String,
    pub(super) delivered: String,
    pub(super) is_delivered: String,
    pub(super) inbox: String,
    pub(super) waiting: String,
    pub(super) taken_in: String,
    pub(super) turn: String,
    pub(super) unheeded: String,
    pub(super) withdraw: String,
    pub(super) snapshot: &'static str,
}

impl Sql {
    /// The statements on the table of the store or, with `beside`, on one that is filled to take its place.
    pub(super) fn new(schema: &str, beside: bool) -> Self {
        let lease = table(schema, "lease");
        let wakes = table(schema, "wakes");
        let kv = table(schema, if beside { BESIDE } else { "kv" });
        let pairs = format!("SELECT key, value FROM {kv} WHERE source = ''");
        let inbox = table(schema, "inbox");
        let now = "clock_timestamp()";
        let until = UNTIL;
        let left = "greatest(0, least(ceil(extract(epoch FROM expires - clock_timestamp()) * 1000), 9e15))::bigint";
        let may_write = format!("(SELECT min_writer FROM {lease} WHERE name = '') <= $4");
        let mine =
            format!("SELECT name FROM {lease} WHERE name = ANY($5) AND nonce IN ($1, $2) {ORDER} FOR NO KEY UPDATE");
        Self {
            schema: schema.to_owned(),
            get_many: format!("{pairs} AND key = ANY($1)"),
            range: format!("{pairs} AND key >= $1 AND key < $2 ORDER BY key LIMIT $3"),
            range_to_the_end: format!("{pairs} AND key >= $1 ORDER BY key LIMIT $2"),
            range_many: format!(
                "SELECT wanted.place, found.key, found.value
                 FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS wanted (low, high, place)
                 CROSS JOIN LATERAL ({pairs} AND key >= wanted.low AND key < wanted.high) AS found
                 ORDER BY wanted.place, found.key"
            ),
            write: write(&lease, &kv),
            size: format!("SELECT pg_total_relation_size('{}'::regclass)", kv.replace('\'', "''")),
            exists: "SELECT to_regclass($1) IS NOT NULL".to_owned(),
            encoding: "SELECT current_setting('server_encoding')",
            has_schema: "SELECT to_regnamespace($1) IS NOT NULL",
            lease: format!("SELECT token, owner, {left}, format, min_writer FROM {lease} WHERE name = ''"),
            committed: format!("SELECT committed FROM {lease} WHERE name = $1"),
            line: line(&lease),
            acquire: acquire(&lease),
            is_alone: format!("SELECT NOT EXISTS (SELECT 1 FROM {lease} WHERE name <> '' AND expires > {now})"),
            join: join(&lease),
            describe: format!(
                "WITH mine AS ({mine}) UPDATE {lease} AS own SET units = $6 FROM mine
                 WHERE own.name = mine.name AND own.nonce IN ($1, $2) AND {may_write} AND $3::bigint > 0 RETURNING own.name"
            ),
            make_head: format!("INSERT INTO {kv} VALUES ('', $1, $2) ON CONFLICT DO NOTHING"),
            has_no_owner: format!("SELECT EXISTS (SELECT 1 FROM {lease} WHERE name = '' AND expires <= {now})"),
            survey: format!("SELECT name, token, owner, {left}, units, wanted FROM {lease} WHERE name <> '' ORDER BY name"),
            // The lease of the replica is locked until what it takes can be seen: whoever takes the whole store locks it too.
            take: format!(
                "WITH me AS MATERIALIZED (
                     SELECT 1 FROM {lease} WHERE name = $5 AND nonce = $1 AND expires > {now} FOR SHARE
                 )
                 INSERT INTO {lease} (name, token, nonce, owner, expires, format, min_writer)
                 SELECT wanted, 1, $1, $2, {until}, 0, 0 FROM unnest($6::text[]) AS wanted
                 WHERE EXISTS (SELECT 1 FROM me) AND {may_write}
                 ORDER BY wanted
                 ON CONFLICT (name) DO UPDATE SET token = {lease}.token + 1, nonce = EXCLUDED.nonce, owner = EXCLUDED.owner,
                     expires = EXCLUDED.expires
                 WHERE {lease}.expires <= {now} RETURNING token, committed, name"
            ),
            want: format!(
                "INSERT INTO {lease} (name, token, nonce, owner, expires, format, min_writer, wanted)
                 VALUES ($1, 0, 0, '', 'epoch', 0, 0, $2) ON CONFLICT (name) DO UPDATE SET wanted = EXCLUDED.wanted"
            ),
            renew: format!(
                "WITH mine AS ({mine}) UPDATE {lease} AS kept SET expires = {until},
                     wanted = CASE WHEN starts_with(kept.name, 'replica/') THEN $6 ELSE kept.wanted END FROM mine
                 WHERE kept.name = mine.name AND kept.nonce IN ($1, $2) AND {may_write} RETURNING kept.name"
            ),
            // No store reads what is under another source than the empty one. It is large enough to need room.
            try_to_write: format!(
                "INSERT INTO {kv} VALUES ('trial', '\\x00', convert_to(repeat('x', 65536), 'UTF8'))
                 ON CONFLICT (source, key) DO UPDATE SET value = EXCLUDED.value"
            ),
            tried_to_write: format!("DELETE FROM {kv} WHERE source = 'trial'"),
            rotate: format!(
                "WITH mine AS ({mine}) UPDATE {lease} AS kept SET nonce = $2 FROM mine
                 WHERE kept.name = mine.name AND kept.nonce IN ($1, $2) AND {may_write} AND $3::bigint > 0 RETURNING kept.name"
            ),
            release: format!(
                "WITH mine AS ({mine}),
                 gone AS (DELETE FROM {lease} AS old USING mine WHERE old.name = mine.name AND starts_with(old.name, 'replica/'))
                 UPDATE {lease} AS kept SET expires = 'epoch', owner = '' FROM mine
                 WHERE kept.name = mine.name AND NOT starts_with(kept.name, 'replica/') AND {may_write} AND $3::bigint > 0"
            ),
            wake: format!("INSERT INTO {wakes} VALUES ($1) ON CONFLICT DO NOTHING"),
            woken: format!("DELETE FROM {wakes} WHERE source = ANY($1) RETURNING source"),
            deliver: format!("INSERT INTO {inbox} (id, source, body) VALUES ($1::text::uuid, $2, $3) ON CONFLICT DO NOTHING"),
            delivered: format!("SELECT id::text, body FROM {inbox} WHERE source = $1 ORDER BY received, id LIMIT $2"),
            is_delivered: format!("SELECT NOT EXISTS (SELECT 1 FROM {inbox} WHERE id = $1::text::uuid)"),
            inbox: format!("SELECT id::text, source, body FROM {inbox} ORDER BY received, id"),
            waiting: format!("SELECT count(*) FROM {inbox}"),
            taken_in: format!("DELETE FROM {inbox} WHERE id = ANY($1::text[]::uuid[])"),
            turn: turn(schema, &kv),
            unheeded: format!("SELECT source FROM {wakes} WHERE source = ANY($1)"),
            withdraw: format!("DELETE FROM {wakes} WHERE source = ANY($1)"),
            snapshot: "SELECT pg_current_snapshot()::text",
        }
    }

    /// The table of leases, by which a store is recognised.
    pub(super) fn lease_table(&self) -> String {
        table(&self.schema, "lease")
    }

    /// The name of the schema, as SQL reads it.
    pub(super) fn schema(&self) -> String {
        quoted(&self.schema)
    }

    /// What brings tables of version `from` to [`FORMAT`], in one transaction. Two programs may try at once.
    pub(super) fn migrate(&self, from: i32, has_schema: bool) -> String {
        let (schema, lease, kv) = (quoted(&self.schema), table(&self.schema, "lease"), table(&self.schema, "kv"));
        let steps = MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(0)).copied().collect::<String>();
        let steps = steps.replace("{lease}", &lease).replace("{kv}", &kv);
        let steps = steps.replace("{wakes}", &table(&self.schema, "wakes"));
        let steps = steps.replace("{inbox}", &table(&self.schema, "inbox"));
        // To say it needs the right to make schemas, even where there is one.
        let make = if has_schema { String::new() } else { format!("CREATE SCHEMA IF NOT EXISTS {schema};") };
        format!("BEGIN; SET LOCAL lock_timeout = '10s'; {make}{steps} UPDATE {lease} SET format = {FORMAT}; COMMIT;")
    }

    /// Makes an empty table beside that of the store.
    pub(super) fn make_beside(&self) -> String {
        let (beside, kv) = (table(&self.schema, BESIDE), table(&self.schema, "kv"));
        format!("BEGIN; DROP TABLE IF EXISTS {beside}; CREATE TABLE {beside} (LIKE {kv} INCLUDING ALL); COMMIT;")
    }

    /// The statements that give that table what `LIKE` leaves out of the store's: its options, such as `fillfactor`, and what is granted
    /// on it.
    pub(super) fn alike(&self) -> String {
        let beside = table(&self.schema, BESIDE).replace('\'', "''").replace('%', "%%");
        let kv = table(&self.schema, "kv").replace('\'', "''");
        format!(
            "SELECT coalesce((SELECT format('ALTER TABLE {beside} SET (%s);', array_to_string(reloptions, ', '))
                 FROM pg_class WHERE oid = '{kv}'::regclass AND reloptions IS NOT NULL), '')
             || coalesce(string_agg(format('GRANT %s ON {beside} TO %s;', granted.privilege_type,
                 CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(role.rolname) END), ' '), '')
             FROM pg_class AS known CROSS JOIN LATERAL aclexplode(known.relacl) AS granted
             LEFT JOIN pg_roles AS role ON role.oid = granted.grantee
             WHERE known.oid = '{kv}'::regclass AND granted.grantee <> known.relowner"
        )
    }

    /// Puts that table in the place of the store's, unless the lease was lost. What was delivered and not stored yet waits again.
    pub(super) fn replace(&self, token: i64, nonce: i64) -> String {
        let [beside, kv, lease, inbox] = [BESIDE, "kv", "lease", "inbox"].map(|name| table(&self.schema, name));
        let delivered = format!("source = '' AND key >= '\\x{0:02x}' AND key < '\\x{1:02x}'", DELIVERED, DELIVERED + 1);
        // A division by zero is what stops it: `DO` blocks need a language that a database may not have.
        format!(
            "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '5s'; SET LOCAL lock_timeout = '10s';
             SELECT 1 / count(*) FROM (SELECT 1 FROM {lease} WHERE name = '' AND token = {token} AND nonce = {nonce} FOR SHARE) held;
             INSERT INTO {inbox} (id, source, body) SELECT (pair.found->>'id')::uuid, pair.found->>'source', pair.found->>'body'
             FROM (SELECT convert_from(value, 'UTF8')::json AS found FROM {beside} WHERE {delivered} ORDER BY key) AS pair
             ON CONFLICT DO NOTHING;
             DELETE FROM {beside} WHERE {delivered};
             DROP TABLE {kv}; ALTER TABLE {beside} RENAME TO kv; COMMIT;"
        )
    }

    /// Removes that table.
    pub(super) fn drop_beside(&self) -> String {
        format!("DROP TABLE IF EXISTS {}", table(&self.schema, BESIDE))
    }
}

/// When a lease ends that is taken or renewed now.
const UNTIL: &str = "clock_timestamp() + $3::bigint * interval '1 millisecond'";

/// The order in which every statement locks rows of leases, so that no two wait for each other: replicas, units, and the one of the
/// whole store last.
const ORDER: &str = "ORDER BY name = '', starts_with(name, 'replica/') DESC, name";

/// Takes the lease of the whole store. What replicas held before proves nothing any more: one that was paused still believes in it.
fn acquire(lease: &str) -> String {
    format!(
        "WITH may AS MATERIALIZED (
             SELECT 1 FROM {lease} WHERE name = '' AND expires <= clock_timestamp() AND min_writer <= $4
               AND NOT EXISTS (SELECT 1 FROM {lease} AS other WHERE other.name <> '' AND other.expires > clock_timestamp())
         ), former AS MATERIALIZED (
             SELECT name FROM {lease} WHERE name <> '' AND expires <= clock_timestamp() AND EXISTS (SELECT 1 FROM may)
             {ORDER} FOR NO KEY UPDATE
         ), fenced AS (
             UPDATE {lease} AS old SET nonce = $1 FROM former WHERE old.name = former.name RETURNING 1
         ), before AS MATERIALIZED (
             SELECT count(*) FROM fenced
         )
         UPDATE {lease} AS whole SET token = token + 1, nonce = $1, owner = $2, expires = {UNTIL} FROM before
         WHERE whole.name = '' AND whole.expires <= clock_timestamp() AND whole.min_writer <= $4 AND EXISTS (SELECT 1 FROM may)
         RETURNING token, committed"
    )
}

/// Joins those that share the store. What the last owner of the whole store held proves nothing any more.
fn join(lease: &str) -> String {
    format!(
        "WITH joined AS (
             INSERT INTO {lease} (name, token, nonce, owner, expires, format, min_writer, units)
             SELECT $5, 1, $1, $2, {UNTIL}, 0, 0, $6 FROM {lease} AS whole
             WHERE whole.name = '' AND whole.expires <= clock_timestamp() AND whole.min_writer <= $4
             ON CONFLICT (name) DO UPDATE SET token = {lease}.token + 1, nonce = EXCLUDED.nonce, owner = EXCLUDED.owner,
                 expires = EXCLUDED.expires, units = EXCLUDED.units, wanted = ''
             WHERE {lease}.expires <= clock_timestamp() RETURNING token, committed
         ), fenced AS (
             UPDATE {lease} AS whole SET nonce = $1 FROM joined WHERE whole.name = '' AND whole.expires <= clock_timestamp()
         )
         SELECT token, committed FROM joined"
    )
}

/// What the keys of deliveries begin with.
const DELIVERED: u8 = Kind::Delivered as u8;

/// The name of a table that is filled to take the place of the store's.
const BESIDE: &str = "kv_incoming";

/// Writes a batch if the lease is still held and the journal head is the expected one; both are locked, and both are returned.
///
/// The lease row is locked, which waits for a takeover that is under way and then sees it; a plain read would see the lease as it
/// was when the statement began. Two writers meet at the head, whatever leases they have. The row also notes the number of its
/// last commit, and names what it was before: after a lost answer, that shows whose commit it was, and a database that has lost commits of
/// this owner is known by it, however many others have committed there since.
fn write(lease: &str, kv: &str) -> String {
    format!(
        "WITH held AS MATERIALIZED (
             SELECT committed FROM {lease} WHERE name = $9 AND token = $1 AND nonce = $2 FOR NO KEY UPDATE
         ), may AS MATERIALIZED (
             SELECT 1 FROM {lease} WHERE name = '' AND min_writer <= $3 FOR SHARE
         ), head AS MATERIALIZED (
             SELECT value FROM {kv} WHERE source = '' AND key = $4 FOR UPDATE
         ), seen AS MATERIALIZED (
             SELECT EXISTS (SELECT 1 FROM held WHERE committed = ANY($11)) AND EXISTS (SELECT 1 FROM may) AS is_held,
                 (SELECT value FROM head) AS head, (SELECT committed FROM held) AS committed
         ), removed AS (
             DELETE FROM {kv} AS old USING seen
             WHERE old.source = '' AND old.key = ANY($8) AND seen.is_held AND seen.head IS NOT DISTINCT FROM $5
         ), put AS (
             INSERT INTO {kv} (source, key, value)
             SELECT '', fresh.key, fresh.value FROM seen, unnest($6::bytea[], $7::bytea[]) AS fresh (key, value)
             WHERE seen.is_held AND seen.head IS NOT DISTINCT FROM $5
             ON CONFLICT (source, key) DO UPDATE SET value = EXCLUDED.value
         ), noted AS (
             UPDATE {lease} AS own SET committed = $10 FROM seen
             WHERE own.name = $9 AND seen.is_held AND seen.head IS NOT DISTINCT FROM $5
         )
         SELECT is_held, head, committed FROM seen"
    )
}

/// Notes in a row of its own which database this is, and returns what was noted before: its number, and its timeline, which begins anew with
/// every promotion and every recovery to an earlier moment.
fn line(lease: &str) -> String {
    format!(
        "INSERT INTO {lease} (name, token, nonce, owner, expires, format, min_writer, wanted)
         SELECT 'database', 0, 0, '', 'epoch', 0, 0, system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
         FROM pg_control_system()
         ON CONFLICT (name) DO UPDATE SET wanted = EXCLUDED.wanted WHERE {lease}.wanted <> EXCLUDED.wanted
         RETURNING (SELECT wanted FROM {lease} WHERE name = 'database'), wanted"
    )
}

/// Begins the transaction of a writer whose turn it is, and reads the journal head. The lock belongs to the transaction, so that a
/// pooler may give the next one another connection. A writer that is paused loses its turn.
fn turn(schema: &str, kv: &str) -> String {
    let head: String = Guard::key().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '5s'; SELECT pg_advisory_xact_lock({});
         SELECT encode(value, 'hex') FROM {kv} WHERE source = '' AND key = '\\x{head}'",
        turn_of(schema)
    )
}

/// The number of the lock of a schema. A lock is of one database.
pub(super) fn turn_of(schema: &str) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(format!("contextcore {schema}").as_bytes()).as_bytes()[..8]);
    i64::from_le_bytes(first)
}

fn table(schema: &str, name: &str) -> String {
    format!("{}.{name}", quoted(schema))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
