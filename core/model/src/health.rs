//! The numbers that decide how a project is: the same ones for dashboards, alerts and what the program itself says.

/// Blocked for longer than this many seconds is red.
pub const BLOCKED_TOO_LONG: u32 = 3 * 86_400;
/// Behind the ideal line by more than this share of the scope is red.
pub const BEHIND_TOO_FAR: f64 = 0.25;
/// Data older than this many seconds is red.
pub const TOO_OLD: u32 = 3_600;
/// More than this share of the commitment added or removed is yellow.
pub const SCOPE_MOVED: f64 = 0.2;
/// More work in progress than this many times the mean of four weeks is yellow.
pub const CROWDED: f64 = 1.5;
