//! The report of a run: the last lines of `sync`, `replay` and `demo`, or one JSON object, and the exit code.

use std::collections::BTreeMap;

use contextcore_core::engine::telemetry::{ProcessUse, process_use};
use contextcore_core::export::otlp::Signal;
use contextcore_core::export::{DrainReport, Sent};
use contextcore_core::ingest::sync::SourceReport;
use contextcore_core::model::printable;
use contextcore_core::{Error, ErrorKind};
use serde::Serialize;

use crate::failure::Exit;
use crate::humanize;

/// The result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    /// One entry for each source.
    pub(crate) sources: Vec<SourceLine>,
    /// What was exported.
    pub(crate) export: ExportLine,
    /// Nothing was written or exported.
    pub(crate) dry_run: bool,
    /// How long the run took.
    pub(crate) seconds: f64,
    /// History was exported again: what was not sent does not wait in the journal.
    #[serde(skip)]
    is_replay: bool,
    /// The resources the process used, on systems that show them.
    pub(crate) process: Option<ProcessUse>,
}

/// The result for one source.
#[derive(Debug, Default, Serialize)]
pub(crate) struct SourceLine {
    name: String,
    records: u64,
    changes: u64,
    set_aside: u64,
    unreadable: u64,
    spans: u64,
    logs: u64,
    points: u64,
    requests: u64,
    seconds: f64,
    warnings: Vec<String>,
    error: Option<ErrorLine>,
}

/// What was exported.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ExportLine {
    /// Spans that the backend accepted, over all sources.
    spans: u64,
    /// Accepted log records.
    logs: u64,
    /// Accepted metric points.
    points: u64,
    /// Permanently refused items.
    rejected: u64,
    /// Batches sent again.
    retries: u64,
    /// Why the export ended early, by signal. The rest stays in the journal.
    errors: BTreeMap<String, ErrorLine>,
}

/// An error, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorLine {
    #[serde(serialize_with = "kind_name")]
    kind: ErrorKind,
    message: String,
}

fn kind_name<S: serde::Serializer>(kind: &ErrorKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

impl ErrorLine {
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The exit code for this error alone.
    pub(crate) fn exit(&self) -> Exit {
        Exit::of(self.kind)
    }
}

impl From<&Error> for ErrorLine {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind(), message: error.full() }
    }
}

impl RunReport {
    /// Combines what was read and what was exported. What belongs to a whole project (snapshots, metrics) is counted with the
    /// source that `owners` has for it.
    pub(crate) fn new(
        read: Vec<SourceReport>,
        sent: DrainReport,
        owners: &BTreeMap<String, String>,
        dry_run: bool,
        seconds: f64,
    ) -> Self {
        let errors = sent.errors.iter().map(|(signal, error)| (signal.as_str().to_owned(), error.into())).collect();
        let export = ExportLine { rejected: sent.rejected, retries: sent.retries, errors, ..ExportLine::default() };
        let sources = read.into_iter().map(SourceLine::of).collect();
        let mut report = Self { sources, export, dry_run, seconds, is_replay: false, process: process_use() };
        for (source, counts) in &sent.by_source {
            report.count(Some(source), counts);
        }
        for (project, counts) in &sent.by_project {
            report.count(owners.get(project), counts);
        }
        report
    }

    /// The same, of a replay.
    pub(crate) fn of_replay(self) -> Self {
        Self { is_replay: true, ..self }
    }

    /// Whether the backend of `signal` did not accept everything.
    pub(crate) fn failed(&self, signal: Signal) -> bool {
        self.export.errors.contains_key(signal.as_str())
    }

    /// Adds exported items to the line of their source. A source that was not read has a line too when its backlog was exported.
    fn count(&mut self, source: Option<&String>, counts: &Sent) {
        let Sent { spans, logs, points } = *counts;
        self.export.spans += spans;
        self.export.logs += logs;
        self.export.points += points;
        let Some(source) = source.filter(|_| *counts != Sent::default()) else { return };
        let known = self.sources.iter().position(|line| line.name == *source).unwrap_or_else(|| {
            self.sources.push(SourceLine { name: source.clone(), ..SourceLine::default() });
            self.sources.len() - 1
        });
        let line = &mut self.sources[known];
        line.spans += spans;
        line.logs += logs;
        line.points += points;
    }

    /// The exit code of the run. For the export, any failure means that the backend did not accept everything.
    pub(crate) fn exit(&self) -> Exit {
        let sources = self.sources.iter().filter_map(|line| line.error.as_ref()).map(ErrorLine::exit);
        let left = !self.export.errors.is_empty() || self.export.rejected > 0;
        let fatal = self.export.errors.values().map(ErrorLine::exit).filter(|exit| *exit < Exit::Source);
        Exit::worst(sources.chain(left.then_some(Exit::Backend)).chain(fatal))
    }

    /// One line for each source.
    pub(crate) fn lines(&self) -> String {
        self.sources.iter().map(|line| line.text(self.dry_run)).collect()
    }

    /// Warnings, then errors, one on each line.
    pub(crate) fn problems(&self) -> String {
        let mut text = String::new();
        for line in &self.sources {
            let warning = |warning: &String| format!("warning: {}: {}\n", line.name, printable::one_line(warning));
            text.extend(line.warnings.iter().map(warning));
            for (count, what) in [(line.set_aside, "quarantined"), (line.unreadable, "unreadable")] {
                if count > 0 {
                    let records = humanize::plural(count, "record");
                    text.push_str(&format!("warning: {}: {records} {what}: see `contextcore status`\n", line.name));
                }
            }
        }
        if self.export.rejected > 0 {
            let items = humanize::plural(self.export.rejected, "item");
            text.push_str(&format!("error: the backend permanently refused {items}: see `contextcore status`\n"));
        }
        for line in &self.sources {
            line.error.iter().for_each(|error| text.push_str(&format!("error: {}: {}\n", line.name, error.message)));
        }
        let rest = match self.is_replay {
            true => "not all was sent again: run `contextcore replay` once more",
            false => "the rest stays in the journal for the next run",
        };
        let errors = self.export.errors.iter().map(|(signal, error)| (signal.as_str(), error));
        text.extend(
            by_message(errors).iter().map(|(signals, message)| format!("error: {signals}: {message}; {rest}\n")),
        );
        printable::lines(&text).into_owned()
    }
}

/// Errors of signals, one for those that differ in nothing but the signal.
pub(crate) fn by_message<'a>(errors: impl Iterator<Item = (&'a str, &'a ErrorLine)>) -> Vec<(String, String)> {
    // A failed store and a stop concern every signal in the same way, so one line is enough.
    let is_of_all = |error: &ErrorLine| matches!(error.kind, ErrorKind::Store | ErrorKind::Cancelled);
    let mut groups: Vec<(Vec<&str>, String, bool)> = Vec::new();
    for (signal, error) in errors {
        let message = unnamed(signal, &error.message);
        let is_same = |group: &&mut (_, String, bool)| group.1 == message || group.2 && is_of_all(error);
        match groups.iter_mut().find(is_same) {
            Some(group) => group.0.push(signal),
            None => groups.push((vec![signal], message, is_of_all(error))),
        }
    }
    groups.into_iter().map(|(signals, message, _)| (listed(&signals), message)).collect()
}

/// A message without the signal it begins with.
fn unnamed(signal: &str, message: &str) -> String {
    match message.strip_prefix(&format!("export {signal}")) {
        Some(rest) if rest.starts_with(": ") => rest[2..].to_owned(),
        Some(rest) => format!("export{rest}"),
        None => message.to_owned(),
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.concat(),
    }
}

impl SourceLine {
    fn of(report: SourceReport) -> Self {
        Self {
            name: report.name,
            records: report.records,
            changes: report.changes,
            set_aside: report.set_aside,
            unreadable: report.unreadable,
            requests: report.requests,
            seconds: report.seconds,
            warnings: report.warnings,
            error: report.error.as_ref().map(ErrorLine::from),
            ..Self::default()
        }
    }

    fn text(&self, dry_run: bool) -> String {
        let count = |number: u64| humanize::count(number);
        let failed = if self.error.is_some() { ", failed" } else { "" };
        let sent = if dry_run {
            "nothing written or exported".to_owned()
        } else {
            format!("{} spans, {} logs, {} points", count(self.spans), count(self.logs), count(self.points))
        };
        format!(
            "{}: {} records, {} changes, {sent}, {} requests, {:.1} s{failed}\n",
            self.name,
            count(self.records),
            count(self.changes),
            count(self.requests),
            self.seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use contextcore_core::export::otlp::Signal;

    use super::*;

    fn read(name: &str, error: Option<ErrorKind>) -> SourceReport {
        SourceReport {
            name: name.into(),
            records: 1_204,
            changes: 5_310,
            requests: 42,
            seconds: 12.34,
            error: error.map(|kind| Error::new(kind, "log in")),
            ..SourceReport::default()
        }
    }

    fn sent(names: &[&str], errors: Vec<(Signal, Error)>) -> DrainReport {
        let counts = Sent { spans: 10, logs: 20, points: 30 };
        let by_project = BTreeMap::from([("shop".to_owned(), Sent { points: 500, ..Sent::default() })]);
        DrainReport {
            by_project,
            by_source: names.iter().map(|name| ((*name).to_owned(), counts)).collect(),
            errors,
            ..DrainReport::default()
        }
    }

    #[test]
    fn each_source_has_a_line_and_problems_follow() {
        let owners = BTreeMap::from([("shop".to_owned(), "acme".to_owned())]);
        let broken = (Signal::Logs, Error::new(ErrorKind::Export, "reach the backend"));
        let report = RunReport::new(
            vec![read("acme", None), read("ops", Some(ErrorKind::Auth))],
            sent(&["acme", "old"], vec![broken]),
            &owners,
            false,
            13.0,
        );
        insta::assert_snapshot!(report.lines() + &report.problems(), @"
        acme: 1,204 records, 5,310 changes, 10 spans, 20 logs, 530 points, 42 requests, 12.3 s
        ops: 1,204 records, 5,310 changes, 0 spans, 0 logs, 0 points, 42 requests, 12.3 s, failed
        old: 0 records, 0 changes, 10 spans, 20 logs, 30 points, 0 requests, 0.0 s
        error: ops: log in
        error: logs: reach the backend; the rest stays in the journal for the next run
        ");
        assert_eq!(report.exit(), Exit::Source);
    }

    #[test]
    fn signals_that_fail_alike_are_one_line() {
        let failed = |signal: Signal, what: &str, kind| {
            let error = Error::new(kind, format!("export {}{what}", signal.as_str()));
            (signal, error.with("endpoint", "http://127.0.0.1:4318"))
        };
        let problems = |errors| RunReport::new(vec![], sent(&[], errors), &BTreeMap::new(), false, 1.0).problems();
        let all = |what| Vec::from(Signal::ALL.map(|signal| failed(signal, what, ErrorKind::Export)));
        assert_eq!(
            problems(all(": this port speaks HTTP")),
            "error: logs, metrics and traces: this port speaks HTTP (endpoint=http://127.0.0.1:4318); the rest stays in the \
             journal for the next run\n"
        );
        let mut two = all("");
        two[0] = failed(Signal::Traces, ": another", ErrorKind::Export);
        assert_eq!(problems(two).lines().count(), 2);
    }

    #[test]
    fn a_failed_replay_leaves_nothing_in_the_journal() {
        let broken = vec![(Signal::Logs, Error::new(ErrorKind::Export, "reach the backend"))];
        let report = RunReport::new(vec![], sent(&[], broken), &BTreeMap::new(), false, 1.0).of_replay();
        let text = report.problems();
        assert!(text.contains("run `contextcore replay` once more") && !text.contains("journal"), "{text}");
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_failure() {
        let exit = |read, sent| RunReport::new(read, sent, &BTreeMap::new(), false, 1.0).exit();
        let export = || vec![(Signal::Traces, Error::new(ErrorKind::Export, "x"))];
        assert_eq!(exit(vec![read("a", None)], sent(&["a"], vec![])), Exit::Done);
        assert_eq!(exit(vec![read("a", Some(ErrorKind::Unavailable))], sent(&[], vec![])), Exit::Source);
        assert_eq!(exit(vec![read("a", Some(ErrorKind::Config))], sent(&[], vec![])), Exit::Usage);
        assert_eq!(exit(vec![read("a", None)], sent(&[], export())), Exit::Backend);
        assert_eq!(exit(vec![], DrainReport { rejected: 1, ..DrainReport::default() }), Exit::Backend);
        let store = vec![(Signal::Traces, Error::new(ErrorKind::Store, "x"))];
        assert_eq!(exit(vec![], sent(&[], store)), Exit::Internal);
    }

    #[test]
    fn the_json_has_the_names_of_the_contract() {
        let report = RunReport::new(
            vec![read("acme", Some(ErrorKind::Auth))],
            sent(&["acme"], vec![]),
            &BTreeMap::new(),
            false,
            13.0,
        );
        let value = serde_json::to_value(&report).unwrap();
        let source = &value["sources"][0];
        for name in ["records", "changes", "spans", "logs", "points", "requests", "seconds"] {
            assert!(source[name].is_number(), "{name}: {source}");
        }
        assert_eq!(source["error"]["kind"], "auth");
    }
}
