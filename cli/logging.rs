//! Logs: always on stderr, and never across a progress bar.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The variable that replaces `-v` with a filter of `tracing` (`contextcore_core=debug,info`).
const VARIABLE: &str = "CONTEXTCORE_LOG";

/// Starts logging. `base` is the verbosity of a command without `-v`: 0 is warnings, 1 info, 2 debug, 3 trace.
pub(crate) fn start(verbose: u8, base: u8, bars: &MultiProgress) {
    // Other crates stay at `info`, since their traces can contain secrets.
    let default = match verbose.max(base) {
        0 => "warn",
        1 => "info",
        2 => "info,contextcore=debug,contextcore_core=debug,contextcore_connectors=debug",
        _ => "info,contextcore=trace,contextcore_core=trace,contextcore_connectors=trace",
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(console::colors_enabled_stderr())
        .with_target(false)
        .with_writer(BesideBars(bars.clone()));
    // A second start, in tests, keeps the first.
    drop(subscriber.try_init());
}

/// Writes to stderr while no bar is drawn there.
#[derive(Clone)]
struct BesideBars(MultiProgress);

impl Write for BesideBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.suspend(|| io::stderr().write_all(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for BesideBars {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
