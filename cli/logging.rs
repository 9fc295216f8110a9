//! Logs: always on stderr, and never across a progress bar.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::visible;

/// The variable that replaces `-v` with a filter of `tracing` (`contextcore_core=debug,info`).
const VARIABLE: &str = "CONTEXTCORE_LOG";

/// Starts logging. `base` is the verbosity of a command without `-v`: 0 is warnings, 1 info, 2 debug, 3 trace.
pub(crate) fn start(verbose: u8, base: u8, bars: &MultiProgress) {
    // Other crates stay at `info`, since their traces can contain secrets. What fails in the client of Kubernetes is said by whoever
    // asked it.
    let default = match verbose.max(base) {
        // The record of each call of an agent is always written.
        0 => "warn,kube_client=off,rmcp=error,contextcore_mcp=info",
        1 => "info,kube_client=off,rmcp=warn",
        2 => "info,contextcore=debug,contextcore_core=debug,contextcore_connectors=debug,contextcore_operator=debug",
        _ => "info,contextcore=trace,contextcore_core=trace,contextcore_connectors=trace,contextcore_operator=trace",
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
        let line = shown(&String::from_utf8_lossy(bytes), console::colors_enabled_stderr());
        self.0.suspend(|| io::stderr().write_all(line.as_bytes()))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A line of the log in which nothing from outside acts. Only the log's own colours keep their meaning.
fn shown(line: &str, colours: bool) -> String {
    let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
    visible::line(text, colours) + end
}

impl<'a> MakeWriter<'a> for BesideBars {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_ends_where_the_log_ends_it() {
        assert_eq!(
            shown("\u{1b}[32m INFO\u{1b}[0m a\nINFO forged\n", true),
            "\u{1b}[32m INFO\u{1b}[0m a INFO forged\n"
        );
        assert_eq!(shown("title=\u{1b}[32mx\n", false), "title=\\u{1b}[32mx\n");
    }
}
