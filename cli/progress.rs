//! Progress of a run: bars on a terminal, otherwise a log line now and then.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use contextcore_core::lock;
use contextcore_core::progress::{Progress, Update};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::{humanize, terminal};

/// How often a running source writes a log line.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The progress display of a run.
pub(crate) fn watcher(bars: &MultiProgress) -> Box<dyn Progress> {
    if terminal::is_watched() { Box::new(Bars::new(bars.clone())) } else { lines() }
}

/// Log lines, for a service.
pub(crate) fn lines() -> Box<dyn Progress> {
    Box::<Lines>::default()
}

/// Removes the bars before the result is printed in their place. Logging continues.
pub(crate) fn end(bars: &MultiProgress) {
    // A terminal that cannot be cleared is no reason to fail.
    bars.clear().unwrap_or_default();
    bars.set_draw_target(ProgressDrawTarget::hidden());
}

/// A bar for each source, and one for each project with exported items.
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, Bar>>,
}

/// One bar, and its counts besides its position.
struct Bar {
    bar: ProgressBar,
    changes: u64,
    sent: u64,
}

impl Bars {
    fn new(all: MultiProgress) -> Self {
        Self { all, bars: Mutex::default() }
    }

    fn begin(&self, name: &str, template: &str) -> Bar {
        let bar = self.all.add(ProgressBar::no_length());
        bar.set_style(style(template));
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Bar { bar, changes: 0, sent: 0 }
    }
}

impl Progress for Bars {
    fn event(&self, source: &str, event: Update) {
        let mut bars = lock(&self.bars);
        let template = if matches!(event, Update::Sent { .. }) { SENDING } else { UNKNOWN };
        let bar = bars.entry(source.to_owned()).or_insert_with(|| self.begin(source, template));
        match event {
            Update::Began { total } => total.into_iter().for_each(|total| bar.expect(total)),
            Update::Total(total) => bar.expect(total),
            Update::Page { records, changes } => {
                bar.bar.inc(records);
                if let Some(total) = bar.bar.length() {
                    bar.expect(total);
                }
                bar.changes += changes;
            }
            Update::Sent { items, .. } => bar.sent += items,
            Update::Retrying(retry) => {
                bar.bar.set_message(retry.to_string());
                return;
            }
            Update::Done => bar.bar.abandon(),
        }
        bar.bar.set_message(bar.message());
    }
}

impl Bar {
    fn expect(&self, total: u64) {
        // A tool can count fewer records than it returns; the bar must not exceed 100 %.
        self.bar.set_length(total.max(self.bar.position()));
        self.bar.set_style(style(KNOWN));
    }

    fn message(&self) -> String {
        let parts = [(self.changes, "changes"), (self.sent, "sent")];
        let texts =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, of)| format!("{} {of}", humanize::count(*count)));
        texts.collect::<Vec<_>>().join(", ")
    }
}

/// Records per second.
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    if write!(out, "{:.0}/s", state.per_sec()).is_err() {
        tracing::trace!("a progress bar could not be drawn");
    }
}

/// The template when the number of records is known.
const KNOWN: &str = "{prefix:14!} {bar:24.cyan/dim} {human_pos}/{human_len} records {rate} eta {eta} · {msg}";
/// The template until then.
const UNKNOWN: &str = "{prefix:14!} {spinner} {human_pos} records {rate} {elapsed} · {msg}";

/// The template for the export of a whole project.
const SENDING: &str = "{prefix:14!} {spinner} {msg}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("rate", rate)
}

/// A log line when a source begins, now and then while it runs, and when it ends.
#[derive(Default)]
struct Lines {
    counts: Mutex<HashMap<String, Counts>>,
}

struct Counts {
    began: Instant,
    logged: Instant,
    records: u64,
    changes: u64,
    sent: u64,
    total: Option<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        let now = Instant::now();
        Self { began: now, logged: now, records: 0, changes: 0, sent: 0, total: None }
    }
}

impl Counts {
    /// Whether another line is due.
    fn is_due(&mut self) -> bool {
        let due = self.logged.elapsed() >= LOG_EVERY;
        if due {
            self.logged = Instant::now();
        }
        due
    }
}

impl Progress for Lines {
    fn event(&self, source: &str, event: Update) {
        let mut all = lock(&self.counts);
        let counts = all.entry(source.to_owned()).or_default();
        match event {
            Update::Began { .. } => {
                *counts = Counts::default();
                tracing::info!(source, "sync begins");
            }
            Update::Total(total) => counts.total = Some(total),
            Update::Page { records, changes } => {
                counts.records += records;
                counts.changes += changes;
                if counts.is_due() {
                    let Counts { records, changes, total, .. } = *counts;
                    tracing::info!(source, records, total, changes, "sync continues");
                }
            }
            // The session logs it.
            Update::Retrying(_) => {}
            Update::Sent { signal, items } => {
                counts.sent += items;
                if counts.is_due() {
                    tracing::info!(source, signal = signal.as_str(), sent = counts.sent, "export continues");
                }
            }
            Update::Done => {
                let seconds = counts.began.elapsed().as_secs_f64();
                tracing::info!(source, records = counts.records, changes = counts.changes, seconds, "sync ended");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use contextcore_core::ErrorKind;
    use contextcore_core::http::Retrying;

    use super::*;

    fn hidden() -> Bars {
        Bars::new(MultiProgress::with_draw_target(ProgressDrawTarget::hidden()))
    }

    #[test]
    fn the_templates_are_valid() {
        for template in [KNOWN, UNKNOWN, SENDING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_bar_counts_records_and_shows_changes() {
        let bars = hidden();
        bars.event("acme", Update::Began { total: None });
        bars.event("acme", Update::Total(1_200));
        bars.event("acme", Update::Page { records: 300, changes: 1_500 });
        bars.event("acme", Update::Sent { signal: contextcore_core::export::otlp::Signal::Logs, items: 7 });
        let bars = bars.bars.lock().unwrap();
        let bar = &bars["acme"];
        assert_eq!((bar.bar.position(), bar.bar.length()), (300, Some(1_200)));
        assert_eq!((bar.bar.prefix().as_str(), bar.bar.message().as_str()), ("acme", "1,500 changes, 7 sent"));
    }

    #[test]
    fn a_tool_that_fails_does_not_look_hung() {
        let bars = hidden();
        bars.event("acme", Update::Began { total: None });
        let wait = Duration::from_secs(16);
        bars.event(
            "acme",
            Update::Retrying(Retrying {
                reason: "HTTP 500".into(),
                kind: ErrorKind::Unavailable,
                retry: 3,
                of: 8,
                wait,
            }),
        );
        let message = || bars.bars.lock().unwrap()["acme"].bar.message();
        assert_eq!(message(), "HTTP 500, retry 3 of 8 in 16 s");
        bars.event("acme", Update::Page { records: 1, changes: 2 });
        assert_eq!(message(), "2 changes", "it is over once a page arrives");
    }

    #[test]
    fn a_total_that_is_too_low_does_not_exceed_the_end() {
        let bars = hidden();
        let bar = bars.begin("acme", UNKNOWN);
        bar.bar.inc(50);
        bar.expect(10);
        assert_eq!(bar.bar.length(), Some(50));
    }
}
