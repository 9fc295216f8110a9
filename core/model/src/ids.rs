//! Trace and span ids. Each is a hash of facts that never change, so the same facts give the same ids after a crash, a
//! reinstallation or a replay, and on another machine.
//!
//! A hash covers a version tag, the source's name, the native id, the span's role and an ordinal. A change here changes
//! every id in every backend: raise [`VERSION`] and note it in the changelog.

use std::fmt;

use smol_str::ToSmolStr;

use crate::TaskKey;
use crate::hash;
use crate::time::Millis;

/// The version tag in every hash.
const VERSION: &str = "contextcore/1";

/// A trace id, never zero. Prints as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// A span id, never zero. Prints as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

macro_rules! hex {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}
hex!(TraceId, SpanId);

/// What a span represents. Its name is the attribute `contextcore.role` and part of the span's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The fixed span under which a task's spans are placed.
    Anchor,
    /// An interval of one status.
    Phase,
    /// A finished task, from creation to completion.
    Task,
    /// The moment of completion.
    Completion,
    /// A closed sprint.
    Sprint,
    /// An open task at one tick.
    Snapshot,
    /// An insight.
    Insight,
}

impl Role {
    /// The name in ids and telemetry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anchor => "anchor",
            Self::Phase => "phase",
            Self::Task => "task",
            Self::Completion => "completion",
            Self::Sprint => "sprint",
            Self::Snapshot => "snapshot",
            Self::Insight => "insight",
        }
    }
}

/// The history trace of a root task. Part 1 is its first; further parts continue a root that grew too large for one
/// trace.
pub fn history_trace(root: &TaskKey, part: u32) -> TraceId {
    trace(&[&root.source, &root.native_id, "history", &part.to_smolstr()])
}

/// The trace of a sprint.
pub fn sprint_trace(sprint: &TaskKey) -> TraceId {
    trace(&[&sprint.source, &sprint.native_id, "sprint", "1"])
}

/// The trace of an insight.
pub fn insight_trace(insight: &TaskKey) -> TraceId {
    trace(&[&insight.source, &insight.native_id, "insight", "1"])
}

/// The trace of a project's snapshot at one tick.
pub fn snapshot_trace(project_id: &str, tick: Millis) -> TraceId {
    trace(&[project_id, "", "snapshot", &tick.0.to_smolstr()])
}

/// The id of a task's or sprint's span with this role and ordinal.
pub fn span(key: &TaskKey, role: Role, ordinal: u64) -> SpanId {
    let mut id = [0; 8];
    id.copy_from_slice(&hash(&[&key.source, &key.native_id, role.as_str(), &ordinal.to_smolstr()])[..8]);
    if id == [0; 8] {
        id[7] = 1;
    }
    SpanId(id)
}

fn trace(parts: &[&str]) -> TraceId {
    let mut id = [0; 16];
    id.copy_from_slice(&hash(parts)[..16]);
    if id == [0; 16] {
        id[15] = 1;
    }
    TraceId(id)
}

/// The hash of these parts and the version tag.
fn hash(parts: &[&str]) -> [u8; 32] {
    *hash::of(std::iter::once(VERSION).chain(parts.iter().copied())).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_never_change() {
        let key = TaskKey::new("acme-jira", "10042");
        // A change here changes every id in every backend of every user.
        insta::assert_snapshot!(
            format!("{} {}", history_trace(&key, 1), span(&key, Role::Task, 1)),
            @"ffddf3d5560232262bdf0ca434d7097f 0b845dc4052e2362"
        );
    }

    #[test]
    fn neighbouring_parts_do_not_collide() {
        assert_ne!(history_trace(&TaskKey::new("ab", "c"), 1), history_trace(&TaskKey::new("a", "bc"), 1));
        assert_ne!(span(&TaskKey::new("a", "1"), Role::Task, 1), span(&TaskKey::new("a", "1"), Role::Completion, 1));
    }
}
