//! Progress for whoever watches: bars on a terminal, a log line now and then otherwise.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use contextcore_core::progress::{Progress, Update};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::{humanize, terminal};

/// How often a source says in the log that it is still at work.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What watches this run.
pub(crate) fn watcher(bars: &MultiProgress) -> Box<dyn Progress> {
    if terminal::is_watched() { Box::new(Bars::new(bars.clone())) } else { lines() }
}

/// Log lines, whoever watches: for a service.
pub(crate) fn lines() -> Box<dyn Progress> {
    Box::<Lines>::default()
}

/// Takes the bars away, before the result is printed where they were. Logs go on as without them.
pub(crate) fn end(bars: &MultiProgress) {
    // Nothing can be done about a terminal that does not obey.
    bars.clear().unwrap_or_default();
    bars.set_draw_target(ProgressDrawTarget::hidden());
}

/// A bar for each source, and one for each project of which something is sent.
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, Bar>>,
}

/// One bar, and what it counts besides its position.
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
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
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
            Update::Done => bar.bar.abandon(),
        }
        bar.bar.set_message(bar.message());
    }
}

impl Bar {
    fn expect(&self, total: u64) {
        // A tool that counts less than it sends must not make a bar that is over 100 %.
        self.bar.set_length(total.max(self.bar.position()));
        self.bar.set_style(style(KNOWN));
    }

    fn message(&self) -> String {
        let parts = [(self.changes, "changes"), (self.sent, "sent")];
        let told =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, of)| format!("{} {of}", humanize::count(*count)));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// Records a second.
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    if write!(out, "{:.0}/s", state.per_sec()).is_err() {
        tracing::trace!("a progress bar could not be drawn");
    }
}

/// When the tool told how many records there are.
const KNOWN: &str = "{prefix:14!} {bar:24.cyan/dim} {human_pos}/{human_len} records {rate} eta {eta} · {msg}";
/// While nobody knows.
const UNKNOWN: &str = "{prefix:14!} {spinner} {human_pos} records {rate} {elapsed} · {msg}";

/// What is sent of a project as a whole.
const SENDING: &str = "{prefix:14!} {spinner} {msg}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("rate", rate)
}

/// A line in the log when a source begins, now and then, and when it is done.
#[derive(Default)]
struct Lines {
    counts: Mutex<HashMap<String, Counts>>,
}

struct Counts {
    began: Instant,
    spoke: Instant,
    records: u64,
    changes: u64,
    sent: u64,
    total: Option<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        let now = Instant::now();
        Self { began: now, spoke: now, records: 0, changes: 0, sent: 0, total: None }
    }
}

impl Counts {
    /// Whether it is time for another line.
    fn is_due(&mut self) -> bool {
        let due = self.spoke.elapsed() >= LOG_EVERY;
        if due {
            self.spoke = Instant::now();
        }
        due
    }
}

impl Progress for Lines {
    fn event(&self, source: &str, event: Update) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
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
                    tracing::info!(source, records, total, changes, "sync goes on");
                }
            }
            Update::Sent { signal, items } => {
                counts.sent += items;
                if counts.is_due() {
                    tracing::info!(source, signal = signal.as_str(), sent = counts.sent, "sending goes on");
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
    use super::*;

    fn hidden() -> Bars {
        Bars::new(MultiProgress::with_draw_target(ProgressDrawTarget::hidden()))
    }

    #[test]
    fn the_templates_are_sound() {
        for template in [KNOWN, UNKNOWN, SENDING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_bar_counts_records_and_tells_changes() {
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
    fn a_count_that_was_too_low_does_not_pass_the_end() {
        let bars = hidden();
        let bar = bars.begin("acme", UNKNOWN);
        bar.bar.inc(50);
        bar.expect(10);
        assert_eq!(bar.bar.length(), Some(50));
    }
}
