//! Black-box tests of the binary: it is run as people run it, against stand-ins of the tools and of an OTLP backend.

mod commands;
mod serving;
mod stage;
mod truth;
