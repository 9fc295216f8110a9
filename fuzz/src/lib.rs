//! What the fuzz targets run: one function for each edge where bytes come in from outside.
//!
//! The oracle is that neighbours survive: whatever one record, line, answer or key holds, nothing panics, and everything beside it
//! is read as if it were not there. `fuzz_targets/` drives these functions with libFuzzer; `tests/fuzz.rs` drives the same
//! functions with the committed corpus and random changes of it, in every run of the tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod edit;
pub mod export;
pub mod file;
mod network;
pub mod otlp;
mod rows;
#[allow(unused, reason = "this test harness uses its own part")]
#[path = "../../connectors/tests/common/source.rs"]
mod source;
pub mod webhooks;

/// Jira's issues and their histories.
pub mod jira {
    /// Spoils one row of an answer of Jira.
    pub fn run(input: &[u8]) {
        super::rows::run("jira", input);
    }
}

/// GitHub's items, issues and timelines.
pub mod github {
    /// Spoils one row of an answer of GitHub.
    pub fn run(input: &[u8]) {
        super::rows::run("github", input);
    }
}

/// Linear's issues and their histories.
pub mod linear {
    /// Spoils one row of an answer of Linear.
    pub fn run(input: &[u8]) {
        super::rows::run("linear", input);
    }
}
