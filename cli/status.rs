//! `contextcore status`: the state of each source and backend.

use contextcore_core::Millis;
use contextcore_core::engine::placement;
use contextcore_core::model::printable;
use contextcore_core::query::{
    BackendView, Coverage, DeadLetterView, LeaseView, Problem, ProblemPart, QuarantinedView, SourceView, StatusView,
};

use crate::app::Context;
use crate::failure::{Exit, Outcome};
use crate::reader::Reader;
use crate::table::{Cell, Column, Table, wrapped};
use crate::tone::Tone;
use crate::{args, humanize, output, terminal};

pub(crate) async fn run(context: &Context, arguments: &args::Status) -> Outcome {
    let json = context.is_json("status")?;
    let view = Reader::open(context.config()?).await?.status().await?;
    output::print(json, &view, |view| render(view, context.global.verbose > 0, terminal::width()))?;
    Ok(if arguments.exit_code { exit(&view.problems) } else { Exit::Done })
}

/// The exit code that says what is wrong: that of a sync which fails in the same way.
fn exit(problems: &[Problem]) -> Exit {
    Exit::worst(problems.iter().map(|problem| match problem.part {
        ProblemPart::Configuration => Exit::Usage,
        ProblemPart::Source => Exit::Source,
        ProblemPart::Backend => Exit::Backend,
    }))
}

/// One sentence about everything, and what to do about each problem.
fn verdict(view: &StatusView, width: Option<usize>) -> String {
    let problems = &view.problems;
    let (sentence, tone) = match problems.len() {
        0 => (well(view), Tone::Good),
        count => {
            let whats: Vec<&str> = problems.iter().map(|problem| problem.what.as_str()).collect();
            (format!("{}: {}", humanize::plural(count as u64, "problem"), whats.join("; ")), Tone::Bad)
        }
    };
    let sentence = printable::one_line(&sentence);
    let lines = width.map_or_else(|| vec![sentence.to_string()], |width| wrapped(&sentence, width));
    let mut text: String = lines.iter().map(|line| format!("{}\n", tone.paint(line, terminal::has_colour()))).collect();
    let mut steps = Table::new(&[("", Column::Right), ("", Column::Wrapped)]);
    for (place, problem) in problems.iter().enumerate() {
        steps.row([format!("  {}.", place + 1), problem.next.clone()]);
    }
    text.push_str(&steps.render(width));
    text
}

fn well(view: &StatusView) -> String {
    let waiting: u64 = view.backends.iter().map(|backend| backend.backlog).sum();
    let read = humanize::plural(view.sources.len() as u64, "source");
    match (view.sources.len(), waiting, nowhere(&view.backends)) {
        (0, ..) => "no source is configured: add one under `sources`, or run `contextcore init`".to_owned(),
        (_, 0, Some(nowhere)) => format!("{read} read; {nowhere}"),
        (_, 0, None) => match elsewhere(&view.backends) {
            Some(elsewhere) => format!("{read} read; {elsewhere}"),
            None => format!("all is well: {read} read, everything is exported"),
        },
        (_, waiting, _) => {
            format!("all is well: {read} read, {} on the way to the backend", humanize::plural(waiting, "item"))
        }
    }
}

/// What is said where the store was exported elsewhere, or only counted, and nothing to the backend that is configured now.
fn elsewhere(backends: &[BackendView]) -> Option<String> {
    let new: Vec<&str> =
        backends.iter().filter(|backend| backend.is_new).map(|backend| backend.signal.as_str()).collect();
    let of =
        if new.len() == backends.len() { "nothing".to_owned() } else { format!("nothing of {}", new.join(" and ")) };
    (!new.is_empty()).then(|| {
        format!("{of} was exported to the configured backend yet: `contextcore replay` exports what this store holds")
    })
}

/// What is said where no backend is configured: whatever was exported may have gone to nobody.
fn nowhere(backends: &[BackendView]) -> Option<String> {
    let unnamed: Vec<&BackendView> = backends.iter().filter(|backend| backend.is_default).collect();
    let url = &unnamed.first()?.url;
    let signals: Vec<&str> = unnamed.iter().map(|backend| backend.signal.as_str()).collect();
    let of = if unnamed.len() == backends.len() { String::new() } else { format!(" for {}", signals.join(" and ")) };
    Some(format!(
        "no backend is configured{of}: exports go to {url}, where a Collector on this machine would be \
         (`export.otlp.endpoint` names another)"
    ))
}

/// How many quarantined records, or warnings, are shown without `-v`.
const FIRST_FEW: usize = 3;

fn render(view: &StatusView, all: bool, width: Option<usize>) -> String {
    let mut text = verdict(view, width);
    text.push('\n');
    for source in &view.sources {
        text.push_str(&format!("{} ({})\n", source.name, source.tool));
        text.push_str(&source_table(source, view.now, all).render(width));
        text.push('\n');
    }
    if !view.backends.is_empty() {
        text.push_str("backends\n");
        text.push_str(&backend_table(&view.backends, view.now).render(width));
        text.push('\n');
    }
    if !view.dead_letters.is_empty() {
        text.push_str("refused by the backend permanently\n");
        text.push_str(&dead_letter_table(&view.dead_letters, view.now).render(width));
        text.push('\n');
    }
    text.push_str(&format!("store {}, {}\n", view.store.path, humanize::bytes(view.store.bytes)));
    text.push_str(&view.store.lease.as_ref().map(lease).unwrap_or_default());
    if view.store.waiting > 0 {
        let waiting = humanize::plural(view.store.waiting, "report");
        text.push_str(&format!("{waiting} acknowledged, not read by their source yet\n"));
    }
    text
}

fn lease(lease: &LeaseView) -> String {
    match &lease.owner {
        None => "written by nobody now\n".to_owned(),
        Some(owner) => {
            let left = humanize::duration(lease.seconds_left as f64);
            format!("written by {owner}; its lease ends in {left} unless renewed\n")
        }
    }
}

/// Which replica has a source.
pub(crate) fn owner(lease: &LeaseView) -> String {
    let owner = lease.owner.as_deref().unwrap_or("none now");
    match lease
        .wanted
        .as_deref()
        .filter(|wanted| lease.owner.as_deref().map(placement::host) != Some(placement::host(wanted)))
    {
        Some(wanted) => format!("{owner}; {wanted} was chosen"),
        None => owner.to_owned(),
    }
}

fn source_table(source: &SourceView, now: Millis, all: bool) -> Table {
    let mut table = Table::new(&[("", Column::Left), ("", Column::Wrapped)]);
    let failed = if source.last_error.is_some() { Tone::Bad } else { Tone::Plain };
    let mut row = |name: &str, value: String| {
        let tone = if name == "last error" { failed } else { Tone::Plain };
        table.row([Cell::from(format!("  {name}")), Cell::new(&value, tone)]);
    };
    let never = || "never; run `contextcore sync`".to_owned();
    row("last success", source.last_success.map_or_else(never, |at| humanize::ago(at, now)));
    row("cursor age", source.cursor_age.map_or_else(|| "none yet".to_owned(), humanize::duration));
    row(
        "next run",
        source.next_run.map_or_else(|| "none".to_owned(), |at| format!("{} (by `serve`)", humanize::moment(at))),
    );
    let backlog = source.backlog.iter().map(|(signal, items)| format!("{signal} {}", humanize::count(*items)));
    if let Some(lease) = &source.lease {
        row("replica", owner(lease));
    }
    row("backlog", backlog.collect::<Vec<_>>().join(", "));
    row("coverage", coverage(&source.coverage));
    row("last error", last_error(source));
    let lines = |records: &[QuarantinedView]| {
        records.iter().map(|record| format!("{}: {}", record.native_id, record.reason)).collect::<Vec<_>>()
    };
    for (what, unit, lines) in [
        ("quarantined", "record", lines(&source.set_aside)),
        ("unreadable", "record", lines(&source.unreadable)),
        ("last run", "warning", source.warnings.clone()),
    ] {
        first_few(&mut row, what, unit, lines, all);
    }
    table
}

/// How many lines there are, and the first few of them.
fn first_few(row: &mut impl FnMut(&str, String), what: &str, unit: &str, lines: Vec<String>, all: bool) {
    if lines.is_empty() {
        return;
    }
    row(what, humanize::plural(lines.len() as u64, unit));
    let shown = if all { lines.len() } else { FIRST_FEW.min(lines.len()) };
    let rest = lines.len() - shown;
    lines.into_iter().take(shown).for_each(|line| row("", line));
    if rest > 0 {
        row("", format!("and {} more: -v shows all", humanize::count(rest as u64)));
    }
}

fn coverage(coverage: &Coverage) -> String {
    let live = humanize::count(coverage.live);
    let of = match coverage.tool_count {
        Some(count) => format!("{live} tasks held, the tool counts {}", humanize::count(count)),
        None => format!("{live} tasks held"),
    };
    let missing = coverage.listed.map_or(0, |listed| listed.missing);
    let of = match missing {
        0 => of,
        missing => format!("{of}, {} listed and missing", humanize::count(missing)),
    };
    let histories = if coverage.histories_complete { "histories complete" } else { "histories not complete yet" };
    format!("{of}, {} open, {histories}", humanize::count(coverage.open))
}

fn last_error(source: &SourceView) -> String {
    let Some(error) = &source.last_error else { return "none".to_owned() };
    let kind = source.last_error_kind.as_deref().unwrap_or("unknown");
    match source.failures {
        0 => format!("{error} [{kind}]"),
        failures => format!("{error} [{kind}, {} in a row]", humanize::plural(failures, "run")),
    }
}

/// Where each signal goes, and what its backend last answered when it does not accept.
fn backend_table(backends: &[BackendView], now: Millis) -> Table {
    let mut table = Table::new(&[("", Column::Left), ("", Column::Left), ("", Column::Wrapped)]);
    for backend in backends {
        let state = match (&backend.last_error, backend.failing_since) {
            (Some(error), Some(since)) => Cell::new(&failing(error, since, backend.next_try, now), Tone::Bad),
            _ if backend.backlog > 0 => format!("{} waiting", humanize::plural(backend.backlog, "item")).into(),
            _ if backend.is_default => "no backend is configured: this is the default".to_owned().into(),
            _ if backend.is_new => "nothing exported here yet".to_owned().into(),
            _ => Cell::new("ok", Tone::Good),
        };
        table.row([Cell::from(format!("  {}", backend.signal)), Cell::from(backend.url.clone()), state]);
    }
    table
}

fn failing(error: &str, since: Millis, next: Option<Millis>, now: Millis) -> String {
    let since = humanize::duration(now.seconds_since(since));
    let next = next.filter(|next| *next > now).map(|next| humanize::duration(next.seconds_since(now)));
    let next = next.map(|wait| format!("; asked again in {wait}")).unwrap_or_default();
    format!("{error}, for {since}{next}")
}

fn dead_letter_table(letters: &[DeadLetterView], now: Millis) -> Table {
    let mut table =
        Table::new(&[("", Column::Left), ("", Column::Right), ("", Column::Wrapped), ("", Column::Wrapped)]);
    for letter in letters {
        let reason = match &letter.hint {
            Some(hint) => format!("{}: {hint}", letter.reason),
            None => letter.reason.clone(),
        };
        let last = humanize::ago(letter.last, now);
        table.row([format!("  {}", letter.signal), humanize::count(letter.items), reason, last]);
    }
    table
}

#[cfg(test)]
mod tests {
    use contextcore_core::ErrorKind;
    use contextcore_core::query::{StoreView, Viewer};
    use contextcore_core::store::{DeadLetter, Quarantined, SourceStatus, Store};

    use super::*;
    use crate::fixture;

    fn view(bytes: u64, prepare: impl FnOnce(&Store)) -> StatusView {
        let (store, config, _dir) = fixture::world();
        prepare(&store);
        let view = Viewer::new(&store, &config, fixture::NOW).status().unwrap();
        StatusView {
            store: StoreView { path: "./data".into(), bytes, lease: None, replicas: Vec::new(), waiting: 0 },
            ..view
        }
    }

    #[test]
    fn a_source_that_never_ran_says_what_to_do() {
        let view = view(524_288, |_| {});
        insta::assert_snapshot!("status_fresh", render(&view, false, None));
        assert_eq!(serde_json::from_value::<StatusView>(serde_json::to_value(&view).unwrap()).unwrap(), view);
    }

    #[test]
    fn where_no_backend_is_configured_nothing_is_said_to_be_exported() {
        let read = |store: &Store| {
            let mut transaction = store.begin().unwrap();
            let at = Some(fixture::NOW.plus(-60_000));
            let status = SourceStatus { last_attempt: at, last_success: at, ..SourceStatus::default() };
            transaction.put_source_status("acme", &status).unwrap();
            transaction.commit().unwrap();
        };
        let mut view = view(1_000, read);
        view.problems.clear();
        view.backends.iter_mut().for_each(|backend| (backend.backlog, backend.is_default) = (0, true));
        let said = render(&view, false, None);
        assert!(said.starts_with("1 source read; no backend is configured: exports go to http://"), "{said}");
        assert!(!said.contains("everything is exported") && !said.contains(" ok"), "{said}");
        view.backends[0].is_default = false;
        let said = render(&view, false, None);
        assert!(said.contains("no backend is configured for "), "{said}");
        view.backends.iter_mut().for_each(|backend| backend.is_default = false);
        assert!(render(&view, false, None).starts_with("all is well: 1 source read, everything is exported"));
        view.backends.iter_mut().for_each(|backend| backend.is_new = true);
        let said = render(&view, false, None);
        assert!(said.starts_with("1 source read; nothing was exported to the configured backend yet"), "{said}");
        assert!(!said.contains("everything is exported") && !said.contains(" ok"), "{said}");
        view.backends[0].is_new = false;
        assert!(render(&view, false, None).contains("nothing of "));
    }

    fn fail(store: &Store) {
        let mut transaction = store.begin().unwrap();
        let status = SourceStatus {
            last_attempt: Some(fixture::NOW.plus(-60_000)),
            last_success: Some(fixture::NOW.plus(-3_600_000)),
            last_error: Some("log in: the token was refused (401)".into()),
            last_error_kind: Some(ErrorKind::Auth),
            failures: 4,
            tool_count: Some(6),
            warnings: vec!["the server does not know dependencies between issues: nothing waits on an issue".into()],
            ..SourceStatus::default()
        };
        transaction.put_source_status("acme", &status).unwrap();
        for id in 1..=4 {
            let record = Quarantined {
                source: "acme".into(),
                native_id: format!("1000{id}"),
                reason: "its history could not be read".into(),
                at: fixture::NOW,
                json: "{}".into(),
            };
            transaction.put_quarantined("acme", &record.native_id.clone(), Some(record)).unwrap();
        }
        for items in [40, 2] {
            let letter = DeadLetter {
                signal: "metrics".into(),
                reason: "out of bounds".into(),
                hint: Some("raise out_of_order_time_window".into()),
                items,
                at: fixture::NOW.plus(-120_000),
            };
            transaction.put_dead(&letter, b"").unwrap();
        }
        transaction.commit().unwrap();
    }

    #[test]
    fn failures_are_shown_with_their_reasons() {
        let mut view = view(1_000, fail);
        for backend in view.backends.iter_mut().filter(|backend| backend.signal == "logs") {
            backend.last_error = Some("HTTP 503: the ring is not ready".into());
            backend.failing_since = Some(fixture::NOW.plus(-720_000));
            backend.next_try = Some(fixture::NOW.plus(20_000));
        }
        insta::assert_snapshot!(
            "status_troubled",
            format!("{}\n{}", render(&view, false, None), render(&view, false, Some(80)))
        );
        assert_eq!(exit(&view.problems), Exit::Source);
        assert_eq!(exit(&[]), Exit::Done);
        assert!(render(&view, true, None).contains("10004"), "-v shows every quarantined record");
    }
}
