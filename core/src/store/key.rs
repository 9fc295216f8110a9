//! Key encoding: everything is in one ordered map, so that one batch is one transaction; a byte at the front is the kind.
//!
//! Parts are separated by a zero byte, which no tool's id holds; numbers are big-endian, so that keys sort as numbers do.

use crate::model::TaskKey;
use crate::model::time::Millis;

/// The kinds of keys. The byte is the format: never reuse one for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// `meta name` -> format version, journal head, …
    Meta = b'm',
    /// `task source native` -> task record
    Task = b't',
    /// `sprint source native` -> sprint record
    Sprint = b's',
    /// `journal number index` -> journal item
    Journal = b'j',
    /// `cursor source stream` -> the connector's cursor (JSON)
    Cursor = b'c',
    /// `open source native` -> nothing: tasks neither finished nor vanished
    Open = b'o',
    /// `ended time source native` -> nothing: tasks finished or vanished, by when
    Ended = b'e',
    /// `key KEY source native` -> nothing: tasks by every key they have or had
    Name = b'k',
    /// `child source parent native` -> nothing
    Child = b'p',
    /// `member source sprint native` -> nothing: tasks that were ever in a sprint
    Member = b'r',
    /// `rollup source native` -> sums over all descendants
    Rollup = b'u',
    /// `totals source project` -> running totals of a native project
    Totals = b'n',
    /// `changed source project` -> the newest journal number of a change in a native project
    Changed = b'h',
    /// `aside source native` -> a record that could not be understood, with the reason
    Quarantined = b'a',
    /// `dead number` -> a dead letter
    DeadLetter = b'd',
    /// `dead-request number` -> the request that a dead letter was in
    DeadRequest = b'b',
    /// `position signal source` -> how much of a source has been exported to a signal's backend
    Position = b'x',
    /// `seen source native` -> the pass number that last saw the id, while a complete pass runs
    Seen = b'y',
    /// `waiting NAME source activity` -> an activity that mentions a task by that name
    Pending = b'w',
    /// `waiter source blocker native` -> nothing: tasks by the key or id of every task that blocks them, or once did
    Dependent = b'z',
    /// `root source native` -> the part of a root task's history trace that is being filled
    Part = b'q',
    /// `exported source native` -> what was exported of a task, which never changes again
    Exported = b'f',
    /// `reported task|sprint source native` -> every report of it, in order
    Reported = b'v',
    /// `insight project id` -> everything that was reported of an insight
    Insight = b'i',
    /// `waiting project type id` -> nothing: insights that wait for somebody, end by themselves, or are kept for some time only
    WaitingInsight = b'g',
    /// `delivered place id` -> what was reported and is not stored yet (JSON), where a copy or an import brought it; after all other kinds
    Delivered = b'{',
}

/// The groups of small named values that only the process that reads a source writes, each under the name of the source.
pub(crate) mod own {
    /// The state of its connector.
    pub(crate) const STATE: &str = "state";
    /// Whether it derives status from artifacts.
    pub(crate) const DERIVES: &str = "derives";
    /// Whether it has changes that its seal does not cover yet.
    pub(crate) const UNSEALED: &str = "open";
    /// When pending activities last expired.
    pub(crate) const EXPIRED: &str = "waiting";
    /// When insights were last forgotten.
    pub(crate) const FORGOTTEN: &str = "insights_forgotten";
    /// The guidance files that it read from its forge.
    pub(crate) const GUIDANCE_FILES: &str = "guidance_files";
    /// The sprints that its tool deleted.
    pub(crate) const DELETED_SPRINTS: &str = "deleted_sprints";
    /// The sprints whose spans were exported.
    pub(crate) const EXPORTED_SPRINTS: &str = "exported_sprints";

    /// All of them.
    pub(super) const ALL: [&str; 8] =
        [STATE, DERIVES, UNSEALED, EXPIRED, FORGOTTEN, GUIDANCE_FILES, DELETED_SPRINTS, EXPORTED_SPRINTS];
}

/// The source whose lease a write of this key needs, where nobody writes it under another one. Tasks are not among these keys: what
/// another source says of a task is written under the lease of that source.
pub(super) fn owner(key: &[u8]) -> Option<String> {
    let is = |kinds: &[Kind]| kinds.iter().any(|kind| key.first() == Some(&(*kind as u8)));
    if is(&[Kind::Cursor, Kind::Quarantined, Kind::Sprint]) {
        return texts(key, 1).into_iter().next();
    }
    if is(&[Kind::Position]) {
        return texts(key, 1).into_iter().nth(1);
    }
    let parts = if is(&[Kind::Meta]) { texts(key, 1) } else { return None };
    match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["source" | "pruned", source] => Some(source.to_owned()),
        ["note", group, source] if own::ALL.contains(&group) => Some(source.to_owned()),
        _ => None,
    }
}

/// The same for all keys that begin with a prefix, where that is a whole kind of one source.
pub(super) fn owner_of_all(prefix: &[u8]) -> Option<String> {
    let is_list = [Kind::Quarantined, Kind::Sprint].iter().any(|kind| prefix.first() == Some(&(*kind as u8)));
    let parts = if is_list && prefix.ends_with(&[0]) { texts(prefix, 1) } else { return None };
    if parts.len() == 1 { parts.into_iter().next() } else { None }
}

/// A key under construction.
pub(crate) struct Key(Vec<u8>);

impl Key {
    pub(crate) fn new(kind: Kind) -> Self {
        Self(vec![kind as u8])
    }

    /// Adds a text part. A zero byte inside (no tool sends one) would break the order of keys: it becomes `\u{1}`.
    pub(crate) fn text(mut self, part: &str) -> Self {
        self.0.extend(part.bytes().map(|byte| if byte == 0 { 1 } else { byte }));
        self.0.push(0);
        self
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// Adds a time, so that earlier ones sort first, those before 1970 included.
    pub(crate) fn time(self, at: Millis) -> Self {
        self.number(at.0.cast_unsigned() ^ (1 << 63))
    }

    pub(crate) fn task(self, key: &TaskKey) -> Self {
        self.text(&key.source).text(&key.native_id)
    }

    pub(crate) fn build(self) -> Vec<u8> {
        self.0
    }
}

/// The key of a small named value.
pub(crate) fn metadata(group: &str, name: &str) -> Vec<u8> {
    Key::new(Kind::Meta).text("note").text(group).text(name).build()
}

/// The key of an activity stored under a name it mentions.
pub(crate) fn pending(name: &str, source: &str, native_id: &str) -> Vec<u8> {
    Key::new(Kind::Pending).text(name).text(source).text(native_id).build()
}

/// The key of what was reported of a task or, with `sprint`, of a sprint.
pub(crate) fn reported(sprint: bool, key: &TaskKey) -> Vec<u8> {
    Key::new(Kind::Reported).text(if sprint { "sprint" } else { "task" }).task(key).build()
}

/// The key of an insight.
pub(crate) fn insight(project: &str, id: &str) -> Vec<u8> {
    Key::new(Kind::Insight).text(project).text(id).build()
}

/// The key of a quarantined record.
pub(crate) fn quarantined(source: &str, native_id: &str) -> Vec<u8> {
    Key::new(Kind::Quarantined).text(source).text(native_id).build()
}

/// The text parts of a key from byte `from` on.
pub(crate) fn texts(key: &[u8], from: usize) -> Vec<String> {
    let body = key.get(from..).unwrap_or_default();
    let body = body.strip_suffix(&[0]).unwrap_or(body);
    body.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// The task that the last two text parts of a key name.
pub(crate) fn task_of(key: &[u8], from: usize) -> Option<TaskKey> {
    let mut parts = texts(key, from);
    let native_id = parts.pop()?;
    let source = parts.pop()?;
    Some(TaskKey::new(source, native_id))
}

/// The big-endian number at byte `from`.
pub(crate) fn number_of(key: &[u8], from: usize) -> Option<u64> {
    key.get(from..from + 8)?.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::error::ErrorKind;

    /// Lists variants: a new one does not compile until it is here.
    macro_rules! every {
        ($type:ident: $($variant:ident),+) => {{
            let _listed = |value: $type| match value { $($type::$variant => ()),+ };
            [$($type::$variant),+]
        }};
    }

    /// The bytes are in every store and every export.
    #[test]
    fn the_bytes_of_the_kinds_do_not_change() {
        let kinds = every!(Kind: Meta, Task, Sprint, Journal, Cursor, Open, Ended, Name, Child, Member, Rollup, Totals,
            Changed, Quarantined, DeadLetter, DeadRequest, Position, Seen, Pending, Dependent, Part, Exported, Reported,
            Insight, WaitingInsight, Delivered);
        assert_eq!(&kinds.map(|kind| kind as u8), b"mtsjcoekprunhadbxywzqfvig{");
    }

    /// The kinds of errors are stored by name, in the status of a source.
    #[test]
    fn the_stored_names_of_errors_do_not_change() {
        let kinds = every!(ErrorKind: Config, Auth, Permission, NotFound, Rejected, Gone, RateLimited, Unavailable,
            Protocol, Store, Export, Coverage, Cancelled, Internal);
        let names = kinds.map(|kind| serde_json::to_value(kind).unwrap());
        let expected = [
            "config",
            "auth",
            "permission",
            "not_found",
            "rejected",
            "gone",
            "rate_limited",
            "unavailable",
            "protocol",
            "store",
            "export",
            "coverage",
            "cancelled",
            "internal",
        ];
        assert_eq!(names, expected);
        assert_eq!(kinds.map(ErrorKind::as_str), expected, "counters use the same names");
    }

    #[test]
    fn what_belongs_to_one_source_alone_is_known_by_its_key() {
        let meta = |name: &str| Key::new(Kind::Meta).text(name).text("a").build();
        let (task, list) = (TaskKey::new("a", "7"), Key::new(Kind::Sprint).text("a").build());
        let own = [
            meta("source"),
            meta("pruned"),
            metadata(own::STATE, "a"),
            Key::new(Kind::Cursor).text("a").text("issues").build(),
            Key::new(Kind::Position).text("logs").text("a").build(),
            Key::new(Kind::Sprint).task(&task).build(),
            quarantined("a", "7"),
        ];
        assert!(own.iter().all(|key| owner(key).as_deref() == Some("a") && owner_of_all(key).is_none()));
        assert_eq!(owner_of_all(&list).as_deref(), Some("a"));
        let shared = [meta("sealed"), metadata("behind", "a"), Key::new(Kind::Task).task(&task).build(), vec![b'm']];
        assert!(shared.iter().all(|key| owner(key).is_none() && owner_of_all(key).is_none()));
    }

    #[test]
    fn keys_sort_by_time_and_their_parts_can_be_read() {
        let task = TaskKey::new("acme-jira", "10042");
        let early = Key::new(Kind::Ended).time(Millis(-5)).task(&task).build();
        let late = Key::new(Kind::Ended).time(Millis(7)).task(&task).build();
        assert!(early < late);
        assert_eq!(task_of(&late, 9), Some(task));
        assert_eq!(number_of(&Key::new(Kind::Journal).number(77).number(2).build(), 1), Some(77));
    }
}
