//! What 100,000 insights cost those who search them: `cargo bench -p contextcore-core --bench insights`. Each row is held to its budget.
//!
//! One process fills a store; another opens it, makes the index and asks 300 questions of six kinds, so that its memory is that of a
//! search alone. Time by the clock is held to its budget only where no more processes run than there are cores.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on shall fail at once")]

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use contextcore_core::config::{self, Config};
use contextcore_core::model::insight::{InsightRecord, InsightReport, Said};
use contextcore_core::model::operation::InsightEmit;
use contextcore_core::query::{InsightQuery, Viewer};
use contextcore_core::store::Store;
use contextcore_core::{Millis, model::time::DAY};

const INSIGHTS: u64 = 100_000;
const QUESTIONS: usize = 300;
/// Insights stored in one transaction.
const AT_ONCE: u64 = 1_000;
/// Names the store for the process that asks.
const STORE: &str = "CONTEXTCORE_BENCH_STORE";
const NOW: Millis = Millis(1_795_000_000_000);

const SUBJECTS: [&str; 20] = [
    "payment gateway",
    "checkout flow",
    "order events",
    "search index",
    "session cache",
    "invoice export",
    "login page",
    "rate limiter",
    "webhook queue",
    "billing report",
    "stock service",
    "mail sender",
    "feature flags",
    "audit trail",
    "image upload",
    "currency rates",
    "fraud rules",
    "address lookup",
    "refund job",
    "pricing engine",
];
const VERBS: [&str; 12] = [
    "mock", "retry", "avoid", "split", "cache", "validate", "batch", "encrypt", "shard", "trace", "version", "replace",
];

fn main() -> ExitCode {
    match std::env::var_os(STORE) {
        Some(store) => ask_all(Path::new(&store)),
        None => {
            let dir = tempfile::tempdir().unwrap();
            fill(&dir.path().join("data"));
            let asked =
                Command::new(std::env::current_exe().unwrap()).env(STORE, dir.path().join("data")).status().unwrap();
            if asked.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn fill(path: &Path) {
    let store = Store::open(path).unwrap();
    for first in (0..INSIGHTS).step_by(AT_ONCE as usize) {
        let mut transaction = store.begin().unwrap();
        for number in first..first + AT_ONCE {
            transaction.put_insight(None, &record(number)).unwrap();
        }
        transaction.commit().unwrap();
    }
}

fn pick<'a>(list: &[&'a str], number: u64) -> &'a str {
    list[usize::try_from(number).unwrap() % list.len()]
}

/// An insight as agents record them: words that many share, and one of its own.
fn record(number: u64) -> InsightRecord {
    let id = format!("ins_{number:016x}");
    let (subject, verb) = (pick(&SUBJECTS, number), pick(&VERBS, number / 20));
    let emit = InsightEmit {
        id: id.clone(),
        insight_type: pick(&["lesson", "decision", "discovery", "risk"], number / 7).to_owned(),
        summary: format!("Always {verb} the {subject} before module{} is touched", number % 5_000),
        rationale: Some(format!("Incident {number} showed that the {subject} fails when nobody will {verb} it")),
        confidence: Some(0.8),
        agent: Some(format!("agent-{}", number % 50)),
        tags: vec![pick(&SUBJECTS, number / 3).replace(' ', "-")],
        applies_to: vec![format!("path:src/module{}/**", number % 5_000), format!("task:PROJ-{}", number % 20_000)],
        ..InsightEmit::default()
    };
    let at = Millis(NOW.0 - i64::try_from(number % 365).unwrap() * DAY);
    let mut record =
        InsightRecord { served: None, ..InsightRecord::new("sdk", pick(&["shop", "bank", "mail"], number), &id) };
    record.add([InsightReport::new(&format!("{:032x}", number / 100), number, at, None, Said::Emit(Box::new(emit)))]);
    record
}

/// Questions as tools ask them.
fn question(number: usize) -> InsightQuery {
    let at = u64::try_from(number).unwrap();
    let text = Some(format!("{} {}", pick(&VERBS, at), pick(&SUBJECTS, at * 7)));
    let paths = vec![format!("src/module{}/lib.rs", at * 13 % 5_000)];
    let base = InsightQuery { limit: std::num::NonZeroUsize::new(10), ..InsightQuery::default() };
    match number % 6 {
        0 => InsightQuery { text, ..base },
        1 => InsightQuery { paths, ..base },
        2 => InsightQuery { text, project: Some("shop".into()), ..base },
        3 => InsightQuery { text, paths, ..base },
        4 => InsightQuery { task: Some(format!("PROJ-{}", at * 17 % 20_000)), ..base },
        _ => InsightQuery { types: vec!["decision".parse().unwrap()], project: Some("bank".into()), ..base },
    }
}

fn ask_all(path: &Path) -> ExitCode {
    let store = Store::open(path).unwrap();
    let config: Config = config::parse("sources: []", "bench.yaml", &[]).unwrap();
    let viewer = Viewer::new(&store, &config, NOW);
    let begun = Instant::now();
    let all = viewer.find_insights(&question(0)).unwrap();
    let first = begun.elapsed().as_secs_f64();
    assert!(all.total > 0, "the questions fit");
    let mut times: Vec<f64> = (0..QUESTIONS)
        .map(|number| {
            let begun = Instant::now();
            let found = viewer.find_insights(&question(number)).unwrap();
            assert!(!found.insights.is_empty(), "question {number} has an answer");
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let p95 = times[QUESTIONS * 95 / 100];
    let budget = |most: f64| if is_busy() { f64::INFINITY } else { most };
    let rows = [
        ("the first question, with making the index", first, budget(10.0), "s"),
        ("p50 of a question", times[QUESTIONS / 2], budget(50.0), "ms"),
        ("p95 of a question", p95, budget(50.0), "ms"),
        ("memory at its peak", peak(), 120.0, "MB"),
    ];
    let mut good = true;
    for (what, found, most, unit) in rows {
        good &= found <= most;
        println!(
            "{what:<44} {found:>10.2} {unit:<3} (at most {most} {unit}) {}",
            if found <= most { "" } else { "TOO MUCH" }
        );
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Megabytes.
fn peak() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// Whether more processes run than there are cores.
fn is_busy() -> bool {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or_default();
    load > std::thread::available_parallelism().map_or(1.0, |cores| f64::from(u32::try_from(cores.get()).unwrap_or(1)))
}
