//! `contextcore status`: where each source and each backend stands.

use std::collections::BTreeMap;
use std::io::{self, Write};

use contextcore_core::config::{Config, SourceConfig};
use contextcore_core::engine::telemetry;
use contextcore_core::export::otlp::Signal;
use contextcore_core::store::Store;
use contextcore_core::{Error, Millis};
use serde::{Deserialize, Serialize};

use crate::app::Context;
use crate::failure::{Exit, Outcome};
use crate::reader::Reader;
use crate::table::{Column, Table};
use crate::{humanize, terminal};

/// Where everything stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatusView {
    /// The moment this is true at.
    pub(crate) now: Millis,
    /// The sources, in the order of the file.
    pub(crate) sources: Vec<SourceStatus>,
    /// What backends refused for good, by signal and reason.
    pub(crate) dead_letters: Vec<DeadLetters>,
    /// The store.
    pub(crate) store: StoreStatus,
}

/// Where one source stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SourceStatus {
    name: String,
    tool: String,
    last_attempt: Option<Millis>,
    last_success: Option<Millis>,
    /// Seconds since the beginning of the run the cursors cover.
    cursor_age: Option<f64>,
    /// When `serve` runs it next.
    next_run: Option<Millis>,
    last_error: Option<String>,
    last_error_kind: Option<String>,
    /// Runs failed in a row.
    failures: u64,
    /// Journal items each backend has not been told.
    backlog: BTreeMap<String, u64>,
    coverage: Coverage,
    /// Records that could not be understood.
    set_aside: Vec<SetAside>,
}

/// How much of a source we hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Coverage {
    /// Tasks held, vanished ones included.
    held: u64,
    /// Tasks held that are neither finished nor vanished.
    open: u64,
    /// Tasks held that are still there.
    live: u64,
    /// What the tool itself counted when it was last asked.
    tool_count: Option<u64>,
    /// Whether the history of every record that was read is held whole.
    histories_complete: bool,
}

/// A record that could not be understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SetAside {
    native_id: String,
    reason: String,
    at: Millis,
}

/// What a backend refused for good, for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeadLetters {
    signal: String,
    /// What to do about it, if we know.
    hint: Option<String>,
    /// The backend's latest words.
    reason: String,
    /// Spans, records or points.
    items: u64,
    last: Millis,
}

/// The store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoreStatus {
    path: String,
    bytes: u64,
}

/// Looks at everything.
pub(crate) fn look(store: &Store, config: &Config, now: Millis) -> Result<StatusView, Error> {
    let live = finished_and_created(store)?;
    let sources = config.sources.iter().map(|source| source_status(store, source, &live, now));
    Ok(StatusView {
        now,
        sources: sources.collect::<Result<_, _>>()?,
        dead_letters: dead_letters(store)?,
        store: StoreStatus { path: store.path().display().to_string(), bytes: store.size_on_disk()? },
    })
}

/// By source: tasks finished and still there, and tasks ever created.
fn finished_and_created(store: &Store) -> Result<BTreeMap<String, (u64, u64)>, Error> {
    let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (source, _, totals) in store.totals()? {
        let sum = sums.entry(source.to_string()).or_default();
        sum.0 += totals.finished.values().map(|weight| weight.tasks).sum::<i64>();
        sum.1 += totals.created.values().sum::<i64>();
    }
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(sums
        .into_iter()
        .map(|(source, (finished, created))| (source, (unsigned(finished), unsigned(created))))
        .collect())
}

fn source_status(
    store: &Store,
    source: &SourceConfig,
    sums: &BTreeMap<String, (u64, u64)>,
    now: Millis,
) -> Result<SourceStatus, Error> {
    let name = source.name.as_str();
    let status = store.source_status(name)?;
    let covered = if status.failures == 0 { status.last_attempt.or(status.last_success) } else { status.last_success };
    let backlog = Signal::ALL.iter().map(|signal| Ok((signal.as_str().to_owned(), store.backlog(*signal, name)?)));
    let asides = store.quarantined_records(Some(name))?;
    let histories_complete = telemetry::histories_complete(&status, &asides);
    let (finished, held) = sums.get(name).copied().unwrap_or_default();
    let mut open = 0;
    for key in store.open_tasks(Some(name)) {
        key?;
        open += 1;
    }
    Ok(SourceStatus {
        name: name.to_owned(),
        tool: source.kind.clone(),
        last_attempt: status.last_attempt,
        last_success: status.last_success,
        cursor_age: status.last_success.and(covered).map(|at| now.seconds_since(at)),
        next_run: source.schedule.next_after(now),
        last_error: status.last_error,
        last_error_kind: status.last_error_kind.map(|kind| kind.as_str().to_owned()),
        failures: status.failures,
        backlog: backlog.collect::<Result<_, Error>>()?,
        coverage: Coverage { held, open, live: open + finished, tool_count: status.tool_count, histories_complete },
        set_aside: asides
            .into_iter()
            .map(|aside| SetAside { native_id: aside.native_id, reason: aside.reason, at: aside.at })
            .collect(),
    })
}

fn dead_letters(store: &Store) -> Result<Vec<DeadLetters>, Error> {
    let mut groups: BTreeMap<(String, String), DeadLetters> = BTreeMap::new();
    for dead in store.dead_letters()? {
        let kind = dead.hint.clone().unwrap_or_else(|| dead.reason.clone());
        let group = groups.entry((dead.signal.clone(), kind)).or_insert_with(|| DeadLetters {
            signal: dead.signal,
            hint: dead.hint,
            reason: String::new(),
            items: 0,
            last: dead.at,
        });
        group.items += dead.items;
        group.last = group.last.max(dead.at);
        group.reason = dead.reason;
    }
    Ok(groups.into_values().collect())
}

pub(crate) async fn run(context: &Context) -> Outcome {
    let json = context.is_json("status")?;
    let view = Reader::open(context.config()?).await?.status().await?;
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &view)?;
        out.write_all(b"\n")?;
    } else {
        out.write_all(render(&view, context.global.verbose > 0, terminal::width()).as_bytes())?;
    }
    Ok(Exit::Done)
}

/// How many set-aside records are shown without `-v`.
const FIRST_FEW: usize = 3;

fn render(view: &StatusView, all: bool, width: Option<usize>) -> String {
    let mut text = String::new();
    for source in &view.sources {
        text.push_str(&format!("{} ({})\n", source.name, source.tool));
        text.push_str(&source_table(source, view.now, all).render(width));
        text.push('\n');
    }
    if view.sources.is_empty() {
        text.push_str("no source is configured\n\n");
    }
    if !view.dead_letters.is_empty() {
        text.push_str("refused by the backend for good\n");
        text.push_str(&dead_table(&view.dead_letters, view.now).render(width));
        text.push('\n');
    }
    text.push_str(&format!("store {}, {}\n", view.store.path, humanize::bytes(view.store.bytes)));
    text
}

fn source_table(source: &SourceStatus, now: Millis, all: bool) -> Table {
    let mut table = Table::new(&[("", Column::Left), ("", Column::Flexible)]);
    let mut row = |name: &str, value: String| table.row([format!("  {name}"), value]);
    let never = || "never; run `contextcore sync`".to_owned();
    row("last success", source.last_success.map_or_else(never, |at| humanize::ago(at, now)));
    row("cursor age", source.cursor_age.map_or_else(|| "none yet".to_owned(), humanize::duration));
    row(
        "next run",
        source.next_run.map_or_else(|| "none".to_owned(), |at| format!("{} (by `serve`)", humanize::moment(at))),
    );
    let backlog = source.backlog.iter().map(|(signal, items)| format!("{signal} {}", humanize::count(*items)));
    row("backlog", backlog.collect::<Vec<_>>().join(", "));
    row("coverage", coverage(&source.coverage));
    row("last error", last_error(source));
    if !source.set_aside.is_empty() {
        row("set aside", humanize::plural(source.set_aside.len() as u64, "record"));
        let shown = if all { usize::MAX } else { FIRST_FEW };
        for aside in source.set_aside.iter().take(shown) {
            row("", format!("{}: {}", aside.native_id, aside.reason));
        }
        let rest = source.set_aside.len().saturating_sub(shown);
        if rest > 0 {
            row("", format!("and {} more: -v shows all", humanize::count(rest as u64)));
        }
    }
    table
}

fn coverage(coverage: &Coverage) -> String {
    let live = humanize::count(coverage.live);
    let of = match coverage.tool_count {
        Some(told) => format!("{live} tasks held, the tool counts {}", humanize::count(told)),
        None => format!("{live} tasks held"),
    };
    let histories = if coverage.histories_complete { "histories complete" } else { "histories not complete yet" };
    format!("{of}, {} open, {histories}", humanize::count(coverage.open))
}

fn last_error(source: &SourceStatus) -> String {
    let Some(error) = &source.last_error else { return "none".to_owned() };
    let kind = source.last_error_kind.as_deref().unwrap_or("unknown");
    format!("{error} [{kind}, {} in a row]", humanize::plural(source.failures, "run"))
}

fn dead_table(letters: &[DeadLetters], now: Millis) -> Table {
    let mut table = Table::new(&[("", Column::Left), ("", Column::Right), ("", Column::Flexible), ("", Column::Left)]);
    for dead in letters {
        let what = match &dead.hint {
            Some(hint) => format!("{} — {hint}", dead.reason),
            None => dead.reason.clone(),
        };
        table.row([format!("  {}", dead.signal), humanize::count(dead.items), what, humanize::ago(dead.last, now)]);
    }
    table
}

#[cfg(test)]
mod tests {
    use contextcore_core::store::{DeadLetter, Quarantined};

    use super::*;
    use crate::fixture;

    #[tokio::test]
    async fn a_fresh_source_says_what_to_do() {
        let (reader, _dir) = fixture::reader();
        let Reader::Here { store, config, .. } = &reader else { panic!("the store is ours") };
        let mut view = look(store, config, fixture::NOW).unwrap();
        view.store = StoreStatus { path: "./data".into(), bytes: 524_288 };
        insta::assert_snapshot!("status_fresh", render(&view, false, None));
        assert_eq!(serde_json::from_value::<StatusView>(serde_json::to_value(&view).unwrap()).unwrap(), view);
    }

    #[tokio::test]
    async fn troubles_are_told_with_their_reasons() {
        let (reader, _dir) = fixture::reader();
        let Reader::Here { store, config, .. } = &reader else { panic!("the store is ours") };
        let mut transaction = store.begin().unwrap();
        let status = contextcore_core::store::SourceStatus {
            last_attempt: Some(fixture::NOW.plus(-60_000)),
            last_success: Some(fixture::NOW.plus(-3_600_000)),
            last_error: Some("log in: the token was refused (401)".into()),
            last_error_kind: Some(contextcore_core::ErrorKind::Auth),
            failures: 4,
            tool_count: Some(6),
            ..Default::default()
        };
        transaction.put_source_status("acme", &status).unwrap();
        for id in 1..=4 {
            let aside = Quarantined {
                source: "acme".into(),
                native_id: format!("1000{id}"),
                reason: "its history could not be read".into(),
                at: fixture::NOW,
                json: "{}".into(),
            };
            transaction.put_quarantined("acme", &aside.native_id.clone(), Some(aside)).unwrap();
        }
        let dead = |items| DeadLetter {
            signal: "metrics".into(),
            reason: "out of bounds".into(),
            hint: Some("raise out_of_order_time_window".into()),
            items,
            at: fixture::NOW.plus(-120_000),
        };
        transaction.put_dead(&dead(40)).unwrap();
        transaction.put_dead(&dead(2)).unwrap();
        transaction.commit().unwrap();
        let mut view = look(store, config, fixture::NOW).unwrap();
        view.store = StoreStatus { path: "./data".into(), bytes: 1_000 };
        insta::assert_snapshot!("status_troubled", render(&view, false, None));
        assert!(render(&view, true, None).contains("10004"), "-v shows all that was set aside");
    }
}
