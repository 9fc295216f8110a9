//! Black-box tests of the binary: it is run as people run it, against stand-ins of the tools and of an OTLP backend.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod commands;
mod serving;
mod stage;
mod truth;
