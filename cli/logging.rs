//! Logs: always on stderr, and never across a progress bar.

use std::io::{self, Write};

use contextcore_core::model::printable;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

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
        let line = visible(&String::from_utf8_lossy(bytes));
        self.0.suspend(|| io::stderr().write_all(line.as_bytes()))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A line of the log in which nothing from outside moves the terminal. Only the log's own colours keep their meaning.
fn visible(line: &str) -> String {
    let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
    let mut out = String::with_capacity(line.len());
    let mut parts = text.split("\u{1b}[");
    out.push_str(&printable::one_line(parts.next().unwrap_or_default()));
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(part.len());
        let (colour, rest) = match part[digits..].strip_prefix('m') {
            Some(rest) => (&part[..=digits], rest),
            None => ("", part),
        };
        out.push_str(if colour.is_empty() { "\\u{1b}[" } else { "\u{1b}[" });
        out.push_str(colour);
        out.push_str(&printable::one_line(rest));
    }
    out + end
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
    fn a_log_line_keeps_its_colours_and_nothing_else_that_acts() {
        let table = [
            ("\u{1b}[32m INFO\u{1b}[0m sync ended\n", "\u{1b}[32m INFO\u{1b}[0m sync ended\n"),
            ("title=\u{1b}[2Jx\u{1b}]0;y\u{7}\n", "title=\\u{1b}[2Jx\\u{1b}]0;y\\u{7}\n"),
            ("a\u{202e}b\nINFO forged\n", "a\\u{202e}b INFO forged\n"),
            ("\u{1b}[1;31", "\\u{1b}[1;31"),
        ];
        for (line, want) in table {
            assert_eq!(visible(line), want, "{line:?}");
        }
    }
}
