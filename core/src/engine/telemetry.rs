//! The program's own metrics (`contextcore.*`): every value, read from the store. The program pushes them over OTLP and serves
//! them on `/metrics`.
//!
//! Totals live in the store, so counters never fall, not even across restarts.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::export::otlp::{Reason, Signal};
use crate::export::{ExportCounters, backend_status, export_counters, export_lag};
use crate::model::SmolStr;
use crate::model::error::Result;
use crate::model::semconv::{self as names, Instrument, Metric, exposition_name};
use crate::model::time::Millis;
use crate::query::coverage;
use crate::store::{Store, Unit};

/// One value of one of these metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which metric.
    pub metric: Metric,
    /// Its attributes.
    pub attributes: Vec<(&'static str, String)>,
    /// Its value.
    pub value: f64,
}

/// Every value at `now`; of several replicas, each has those of what it works on.
///
/// # Errors
/// [`crate::ErrorKind::Store`] when the store cannot be read.
pub fn readings(store: &Store, config: &Config, now: Millis) -> Result<Vec<Reading>> {
    let mut all = Vec::new();
    for source in config.sources.iter().filter(|source| store.owns(&Unit::source(&source.name))) {
        all.extend(source_readings(store, config, &source.name, now)?);
    }
    all.extend(project_readings(store, config)?);
    if !store.owns(&Unit::Common) {
        return Ok(all);
    }
    for signal in config.export.otlp.targets.keys() {
        let counters = export_counters(store, *signal)?;
        let mut add = |metric, value| all.push(reading(metric, &[(names::SIGNAL, signal.as_str())], value));
        add(names::M_EXPORT_SENT, number(counters.sent));
        add(names::M_EXPORT_RETRIES, number(counters.retries));
        add(names::M_EXPORT_LAG, export_lag(store, config, *signal, now)?);
        let failing = backend_status(store, *signal)?.map_or(0.0, |status| now.seconds_since(status.since).max(0.0));
        add(names::M_EXPORT_FAILING, failing);
        all.extend(refused(*signal, &counters));
    }
    if let Some(file) = &config.projects_file {
        let failing = file.failing_since.map_or(0.0, |since| now.seconds_since(since).max(0.0));
        all.push(reading(names::M_PROJECTS_FAILING, &[], failing));
    }
    all.push(reading(names::M_STORE_SIZE, &[], number(store.size_on_disk()?)));
    Ok(all)
}

/// A counter for every reason, including those that never occurred: a counter that starts with its first count seems not to have
/// moved. Items counted before reasons existed stay a series of their own, so that no series falls or jumps.
fn refused(signal: Signal, counters: &ExportCounters) -> Vec<Reading> {
    let of = |labels: &[_], items| reading(names::M_EXPORT_REJECTED, labels, number(items));
    let signal = (names::SIGNAL, signal.as_str());
    let by_reason = |reason: Reason| of(&[signal, (names::ERROR_TYPE, reason.as_str())], counters.refused(reason));
    let before = Some(counters.refused_before()).filter(|items| *items > 0).map(|items| of(&[signal], items));
    Reason::ALL.into_iter().map(by_reason).chain(before).collect()
}

fn source_readings(store: &Store, config: &Config, source: &str, now: Millis) -> Result<Vec<Reading>> {
    let status = store.source_status(source)?;
    let of_source = [(names::SOURCE_NAME, source)];
    let mut all = Vec::new();
    let mut add = |metric, value| all.push(reading(metric, &of_source, value));
    if let Some(last) = status.last_success {
        add(names::M_SYNC_LAST_SUCCESS, last.seconds_since(Millis(0)));
        add(names::M_SYNC_LAG, now.seconds_since(last).max(0.0));
    }
    if let Some(seconds) = status.last_duration {
        add(names::M_SYNC_DURATION, seconds);
    }
    add(names::M_SYNC_REQUESTS, number(status.counters.requests));
    add(names::M_SYNC_RECORDS, number(status.counters.records));
    add(names::M_SYNC_CHANGES, number(status.counters.changes));
    add(names::M_RATE_WAITS, number(status.counters.waits));
    let quarantined = store.quarantined_records(Some(source))?;
    let coverage = coverage(store, source, &status, &quarantined)?;
    add(names::M_SYNC_TASKS, number(coverage.live));
    add(names::M_SYNC_SET_ASIDE, number(coverage.set_aside));
    add(names::M_SYNC_UNREADABLE, number(coverage.unreadable));
    if let Some(pass) = coverage.listed {
        add(names::M_SYNC_LISTED, number(pass.listed));
        add(names::M_SYNC_OUT_OF_SCOPE, number(pass.out_of_scope));
        add(names::M_SYNC_MISSING, number(pass.missing));
    }
    add(names::M_SYNC_HISTORIES, if coverage.histories_complete { 1.0 } else { 0.0 });
    if let Some(count) = status.tool_count {
        add(names::M_SYNC_TOOL_TASKS, number(count));
    }
    if let Some(left) = status.rate_limit_remaining {
        add(names::M_RATE_REMAINING, number(left));
    }
    for (kind, count) in &status.counters.errors {
        let labels = [(names::SOURCE_NAME, source), (names::ERROR_TYPE, kind.as_str())];
        all.push(reading(names::M_SYNC_ERRORS, &labels, number(*count)));
    }
    for signal in config.export.otlp.targets.keys() {
        let labels = [(names::SOURCE_NAME, source), (names::SIGNAL, signal.as_str())];
        all.push(reading(names::M_JOURNAL_BACKLOG, &labels, number(store.backlog(*signal, source)?)));
    }
    Ok(all)
}

/// How fresh each project is, for each source it has tasks in. The project's own metrics cannot say this, since they unite its
/// sources.
fn project_readings(store: &Store, config: &Config) -> Result<Vec<Reading>> {
    let mut pairs = BTreeSet::new();
    for (source, native, _) in store.totals()? {
        let project = config.project_of(&source, &native).map_or(native, |project| SmolStr::new(&project.id));
        pairs.insert((project, source));
    }
    let mut all = Vec::new();
    for (project, source) in pairs {
        let Some(configured) = config.source(&source).filter(|_| store.owns(&Unit::source(&source))) else { continue };
        let Some(last) = store.source_status(&source)?.last_success else { continue };
        let labels = [
            (names::PROJECT_ID, project.as_str()),
            (names::SOURCE_NAME, source.as_str()),
            (names::SOURCE_TOOL, configured.kind.as_str()),
        ];
        all.push(reading(names::M_PROJECT_LAST_SUCCESS, &labels, last.seconds_since(Millis(0))));
    }
    Ok(all)
}

fn reading(metric: Metric, attributes: &[(&'static str, &str)], value: f64) -> Reading {
    Reading { metric, attributes: attributes.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(), value }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn number(value: u64) -> f64 {
    value as f64
}

/// Everything `/metrics` serves: the metrics of the projects, then those of the program.
///
/// # Errors
/// [`crate::ErrorKind::Store`] when the store cannot be read.
pub fn prometheus(store: &Store, config: &Config, now: Millis) -> Result<String> {
    let mut text = crate::export::scrape(store, config, now)?;
    let mut readings = readings(store, config, now)?;
    readings.sort_by_key(|reading| reading.metric.name);
    let mut last = "";
    for reading in &readings {
        let is_counter = reading.metric.instrument == Instrument::Counter;
        let name = exposition_name(reading.metric.name, reading.metric.unit, is_counter);
        if last != reading.metric.name {
            let kind = if is_counter { "counter" } else { "gauge" };
            text.push_str(&format!("# HELP {name} {}\n# TYPE {name} {kind}\n", reading.metric.about));
            last = reading.metric.name;
        }
        let labels: Vec<String> =
            reading.attributes.iter().map(|(key, value)| format!("{}=\"{value}\"", key.replace('.', "_"))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        text.push_str(&format!("{name}{labels} {}\n", reading.value));
    }
    Ok(text)
}

/// The resources this process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct ProcessUse {
    /// CPU time, user and system, in seconds, to a hundredth of a second.
    pub cpu_seconds: f64,
    /// Peak resident memory, in bytes.
    pub peak_memory_bytes: u64,
}

/// The resources this process has used so far; `None` on systems without `/proc`.
pub fn process_use() -> Option<ProcessUse> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    Some(ProcessUse { cpu_seconds: cpu_seconds(&stat)?, peak_memory_bytes: kib * 1024 })
}

/// Fields 14 and 15 of `/proc/PID/stat`, in ticks of a hundredth of a second; see proc_pid_stat(5). The name in field 2 may
/// contain spaces and brackets, so counting starts after its closing bracket.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks = |place: usize| rest.split_whitespace().nth(place)?.parse::<u64>().ok();
    Some(number(ticks(11)? + ticks(12)?) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::store::{Quarantined, SourceStatus};

    #[test]
    fn items_refused_before_reasons_existed_stay_a_series_of_their_own() {
        let values = |counters: &ExportCounters| {
            let label =
                |reading: &Reading| reading.attributes.get(1).map_or("none".to_owned(), |(_, text)| text.clone());
            let all = refused(Signal::Logs, counters).into_iter().filter(|reading| reading.value > 0.0);
            all.map(|reading| (label(&reading), reading.value)).collect::<Vec<_>>()
        };
        let mut counters: ExportCounters = serde_json::from_str(r#"{"sent":9,"rejected":5,"retries":1}"#).unwrap();
        assert_eq!(values(&counters), [("none".to_owned(), 5.0)]);
        counters.rejected += 3;
        counters.reasons.insert(Reason::TooOld.as_str().to_owned(), 3);
        assert_eq!(values(&counters), [("too_old".to_owned(), 3.0), ("none".to_owned(), 5.0)]);
        assert_eq!(refused(Signal::Logs, &counters).len(), Reason::ALL.len() + 1);
        let back: ExportCounters = serde_json::from_str(&serde_json::to_string(&counters).unwrap()).unwrap();
        assert_eq!(back, counters);
    }

    #[test]
    fn histories_are_complete_after_a_successful_run_while_no_record_is_quarantined() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let source = "{name: acme, kind: jira, url: 'https://a.example', auth: {token: {env: T}}}";
        let config =
            config::parse(&format!("sources: [{source}]"), "x.yaml", &[config::kind::unchecked("jira")]).unwrap();
        let complete = || {
            let all = readings(&store, &config, Millis(60_000)).unwrap();
            let found = all.into_iter().find(|reading| reading.metric.name == names::M_SYNC_HISTORIES.name).unwrap();
            assert_eq!(found.attributes, [(names::SOURCE_NAME, "acme".to_owned())]);
            found.value
        };
        assert_eq!(complete(), 0.0, "nothing was read");
        let mut transaction = store.begin().unwrap();
        let status = SourceStatus { last_success: Some(Millis(1)), ..SourceStatus::default() };
        transaction.put_source_status("acme", &status).unwrap();
        transaction.commit().unwrap();
        assert_eq!(complete(), 1.0);
        let quarantined = Quarantined {
            source: "acme".into(),
            native_id: "1".into(),
            reason: "its history could not be read".into(),
            at: Millis(2),
            json: "{}".into(),
        };
        for (quarantined, whole) in [(Some(quarantined), 0.0), (None, 1.0)] {
            let mut transaction = store.begin().unwrap();
            transaction.put_quarantined("acme", "1", quarantined).unwrap();
            transaction.commit().unwrap();
            assert_eq!(complete(), whole);
        }
    }

    #[test]
    fn cpu_time_is_read_after_a_name_with_brackets() {
        let stat = "42 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert!(process_use().is_none_or(|used| used.peak_memory_bytes > 0));
    }
}
