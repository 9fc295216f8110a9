//! What the doctor found, and how bad it is.

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub level: Level,
    /// What it is, and what to do.
    pub line: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// It cannot be known, or is off by choice.
    Note,
    /// Something must be done.
    Wrong,
}

pub(super) fn good(line: impl Into<String>) -> Finding {
    Finding { level: Level::Good, line: line.into() }
}

pub(super) fn note(line: impl Into<String>) -> Finding {
    Finding { level: Level::Note, line: line.into() }
}

pub(super) fn wrong(line: impl Into<String>) -> Finding {
    Finding { level: Level::Wrong, line: line.into() }
}
