//! ContextCore Health: is what I see fresh and complete, and if a panel is empty, why?

use contextcore_model::semconv::{self as names, Metric};

use crate::alerts;
use crate::knowledge::{self, Setting};
use crate::links;
use crate::model::{Annotations, Dashboard, SCHEMA_VERSION, Templating, TimeRange};
use crate::panel::{
    self, Draft, NONE_IS_GOOD, Section, coloured, counts, course, decimals, gauge, lines, moment, rows, section, spans,
    stat, table, text, unit, value_mapping, width, wrapped,
};
use crate::query::{EXPORT_STALLED, Selector, Series, TOO_OLD, label, quoted, span};
use crate::variable;

const NO_SELF_METRICS: &str = "contextcore exported no metrics about itself within the look back. Check that it runs and that `signals` contains `metrics`.";

/// The dashboard.
pub(crate) fn dashboard() -> Dashboard {
    let mut variables = variable::data_sources();
    variables.extend([variable::source(), variable::lookback()]);
    Dashboard {
        uid: links::HEALTH.to_owned(),
        title: "ContextCore Health".to_owned(),
        description: "Is what I see fresh and complete, and if a panel is empty, why?".to_owned(),
        tags: vec!["contextcore".to_owned()],
        timezone: "browser",
        editable: true,
        graph_tooltip: 1,
        refresh: "1m",
        schema_version: SCHEMA_VERSION,
        time: TimeRange { from: "now-24h", to: "now" },
        links: vec![
            links::top("Project Portfolio Overview", links::PORTFOLIO),
            links::top("Project Details", links::PROJECT),
        ],
        annotations: Annotations { list: Vec::new() },
        templating: Templating { list: variables },
        panels: panel::page(sections()),
    }
}

fn sections() -> Vec<Section> {
    vec![
        section(0, "", header()),
        section(100, "Why is a panel empty? Each assumption, tested", assumptions()),
        section(101, "Sources", vec![sources(), coverage(), lag(), work(), rate_limit(), projects_file()]),
        section(102, "Backends", vec![backlog(), sent(), rejected(), export_lag(), store()]),
        section(103, "Runbooks", vec![runbooks()]),
    ]
}

fn of(metric: Metric) -> Series {
    Series::new(metric, Selector::all().like(names::SOURCE_NAME, "$source"))
}

fn all(metric: Metric) -> Series {
    Series::new(metric, Selector::all())
}

const SOURCE: [&str; 1] = [names::SOURCE_NAME];
const SIGNAL: [&str; 1] = [names::SIGNAL];

fn header() -> Vec<Draft> {
    [of_runs(), of_exports(), of_coverage()].concat()
}

fn of_runs() -> Vec<Draft> {
    vec![
        stat(1, "Oldest data", 6)
            .rule("Time since the last successful run of the source that is furthest behind. Red above one hour.")
            .blank("No metrics received", NO_SELF_METRICS)
            .unit("s")
            .decimals(0)
            .no_course()
            .steps(&[("green", None), ("red", Some(f64::from(TOO_OLD)))])
            .ask(moment("A", format!("max(time() - {})", of(names::M_SYNC_LAST_SUCCESS).by(&SOURCE)), "age")),
        stat(2, "Failed runs", 6)
            .rule("Failed runs of the chosen sources in this time range.")
            .empty("No run failed")
            .decimals(0)
            .no_course()
            .steps(NONE_IS_GOOD)
            .ask(moment(
                "A",
                format!("sum({}) or vector(0)", of(names::M_SYNC_ERRORS).gained("$__range", &SOURCE)),
                "failed",
            )),
    ]
}

fn of_exports() -> Vec<Draft> {
    vec![
        stat(3, "Export lag", 6)
            .rule("Age of the oldest change that waits for export to a backend. Red above 15 minutes: a backend accepts nothing, or the export is far behind. Nothing is lost: it catches up by itself once the backend accepts data again.")
            .blank("No metrics received", NO_SELF_METRICS)
            .unit("s")
            .decimals(0)
            .steps(&[("green", None), ("red", Some(f64::from(EXPORT_STALLED)))])
            .step("1m")
            .ask(course("A", format!("max({})", all(names::M_EXPORT_LAG).by(&SIGNAL)), "lag")),
        stat(7, "Export backlog", 6)
            .rule("Changes that still wait for export to a backend. The tile shows the largest backlog of the three signals. A backlog drains by itself once the backend accepts data again.")
            .blank("No metrics received", NO_SELF_METRICS)
            .decimals(0)
            .step("1m")
            .ask(course("A", format!("max(sum by ({}) ({}))", label(names::SIGNAL), backlogs()), "changes")),
        stat(4, "Rejected", 8)
            .rule("Spans, log records and metric points that a backend rejected permanently in this time range. The table below shows the \
reasons. `contextcore status` prints the backend's own message, and `contextcore check` with the backends' addresses names the setting to change.")
            .empty("Nothing was rejected")
            .decimals(0)
            .no_course()
            .steps(NONE_IS_GOOD)
            .ask(moment("A", format!("sum({}) or vector(0)", all(names::M_EXPORT_REJECTED).gained("$__range", &SIGNAL)), "rejected")),
    ]
}

fn of_coverage() -> Vec<Draft> {
    vec![
        stat(5, "Tasks in the store", 8)
            .rule("Tasks in the store as a share of the number that the tools report. Below 100 %: the first sync is still running, or the \
token cannot see everything. Above 100 %: a task deleted or archived in the tool stays in the store until two daily passes in a row \
do not find it. A tool that reports no number is left out.")
            .blank("No count reported", "no tool reports how many tasks it has")
            .unit("percent")
            .decimals(1)
            .no_course()
            .steps(&[("red", None), ("yellow", Some(99.0)), ("green", Some(99.9))])
            .ask(moment("A", format!("100 * sum({}) / sum({})", held(), of(names::M_SYNC_TOOL_TASKS).by(&SOURCE)), "held")),
        stat(6, "Histories complete", 8)
            .rule("Whether the store holds the complete history of every record of the chosen sources: a run succeeded and no record is \
quarantined or unreadable. The Coverage table shows which source is not complete. `contextcore status` shows which record and why.")
            .blank("No metrics received", NO_SELF_METRICS)
            .no_course()
            .value_mapping(complete())
            .steps(&[("yellow", None), ("green", Some(1.0))])
            .ask(moment("A", format!("min({})", of(names::M_SYNC_HISTORIES).by(&SOURCE)), "complete")),
        of_records(8, "Quarantined", names::M_SYNC_SET_ASIDE, SOME_IS_ODD)
            .blank("No metrics received", NO_SELF_METRICS)
            .rule("Records that this version cannot parse. They are read again on every complete pass. `contextcore status` names them."),
        of_records(9, "Unreadable", names::M_SYNC_UNREADABLE, SOME_IS_ODD)
            .blank("No metrics received", NO_SELF_METRICS)
            .rule("Records that the tool lists and could not serve. They are read again on every run. `contextcore status` names them."),
        of_records(17, "Missing", names::M_SYNC_MISSING, NONE_IS_GOOD)
            .blank("Not counted yet", "No complete pass ended since the first sync; one runs every day")
            .rule("Tasks that the tool listed in the last complete pass and gave no record of, even when asked by id. It should always be 0; \
the runbook below says what to do."),
    ]
}

/// Nothing lost, and worth a look.
const SOME_IS_ODD: panel::Steps<'static> = &[("green", None), ("yellow", Some(1.0))];

/// A number of records over the chosen sources.
fn of_records(id: u32, title: &str, metric: Metric, steps: panel::Steps<'_>) -> Draft {
    let draft = stat(id, title, 8).decimals(0).no_course().steps(steps);
    draft.ask(moment("A", format!("sum({})", of(metric).by(&SOURCE)), "records"))
}

/// Words for whether histories are complete.
fn complete() -> serde_json::Value {
    panel::mapping(&[("0", "Not complete", "yellow"), ("1", "Complete", "green")])
}

fn held() -> String {
    let by = label(names::SOURCE_NAME);
    format!("{} and on ({by}) {}", of(names::M_SYNC_TASKS).by(&SOURCE), of(names::M_SYNC_TOOL_TASKS).by(&SOURCE))
}

fn backlogs() -> String {
    of(names::M_JOURNAL_BACKLOG).by(&[names::SOURCE_NAME, names::SIGNAL])
}

/// The description of an assumption, with the settings to change when it does not hold.
fn assumption(what: &str, settings: &[Setting]) -> String {
    let advice: Vec<String> =
        settings.iter().map(|setting| format!("- {}: {}", setting.symptom, setting.advice())).collect();
    format!(
        "{what}\n\nIf it does not hold:\n{}\n\n`contextcore check` with the backends' addresses finds the one that applies.",
        advice.join("\n")
    )
}

fn assumptions() -> Vec<Draft> {
    use knowledge as k;
    let projects = all(names::M_TASK_WIP).by(&[names::PROJECT_ID]);
    let older = format!("count(last_over_time({}[1d] offset 14d))", crate::query::prometheus_name(names::M_TASK_WIP));
    let events = Selector::all().equal(names::SERVICE_NAME, "contextcore");
    let of_last_year = events.clone().equal(names::REPLAY, "backfill");
    vec![
        check(10, "Projects now", "Prometheus has no project within the look back")
            .rule(assumption("Prometheus has values for this many projects within the look back.", &[k::PROMETHEUS_RECEIVER]))
            .ask(moment("A", format!("count({projects})"), "projects")),
        check(11, "History of 14 days ago", "Prometheus rejected the history, or there is no history that old")
            .rule(assumption("Prometheus accepted values that were two weeks old.", &[k::PROMETHEUS_OLD, k::PROMETHEUS_RETENTION]))
            .ask(moment("A", older, "projects")),
        check(12, "Events in this time", "nothing happened in this time range, or Loki accepts no records")
            .rule(assumption("Loki has events that happened in this time range.", &[k::LOKI_OLD, k::LOKI_RANGE]))
            .ask(counts("A", format!("sum(count_over_time({}[$__range]))", events.text()))),
        check(13, "Events sent as history", "choose a longer time range; otherwise Loki rejected the history")
            .rule(assumption(
                "Loki has events of this time range that were more than an hour old when they were sent. Choose a time range before the first sync.",
                &[k::LOKI_OLD, k::LOKI_BEHIND, k::LOKI_LABELS],
            ))
            .ask(counts("A", format!("sum(count_over_time({}[$__range]))", of_last_year.text()))),
        searchable(14, "Newest snapshot", "snapshot", "2h", "there is no snapshot within two hours, or Tempo does not serve it yet")
            .rule(assumption("Tempo finds the newest snapshot, which boards and breakdowns read.", &[k::TEMPO_RETENTION, k::TEMPO_TRACES, k::TEMPO_BYTES])),
        searchable(15, "Newest history", "phase", "365d", "Tempo does not find old spans")
            .rule(assumption(
                "Tempo finds phases within a year. New phases appear up to 10 minutes after a sync.",
                &[k::TEMPO_SLACK, k::TEMPO_SEARCH_RANGE, k::TEMPO_RETENTION],
            )),
        reading(),
    ]
}

/// What a tile shows when its assumption does not hold.
const NO: &str = "No: see the i";

fn check(id: u32, title: &str, otherwise: &str) -> Draft {
    let tested = stat(id, title, 8).nothing_is_bad().blank(NO, otherwise);
    tested.no_course().decimals(0).steps(&[("red", None), ("green", Some(1.0))])
}

fn searchable(id: u32, title: &str, role: &str, range: &'static str, otherwise: &str) -> Draft {
    let query = format!("{{ {} }} with (most_recent=true)", span(names::ROLE, "=", &quoted(role)));
    // Nothing found is no value, which takes the first colour; every moment is after 1970.
    stat(id, title, 8)
        .nothing_is_bad()
        .blank(NO, otherwise)
        .no_course()
        .unit("dateTimeFromNow")
        .steps(&[("red", None), ("green", Some(1.0))])
        .lately(range)
        .ask(spans("A", query, 1))
        .then("filterFieldsByName", serde_json::json!({"include": {"names": ["time"]}}))
        .then("limit", serde_json::json!({"limitField": 1}))
        .option("reduceOptions", serde_json::json!({"calcs": ["firstNotNull"], "fields": "/.*/", "values": false}))
}

fn reading() -> Draft {
    text(
        16,
        "",
        (24, 2),
        "Start with a red tile. Its description (the **i** at its title) lists the settings to change. To test the backends with \
test records: `contextcore check --tempo-url … --loki-url … --prometheus-url … --grafana-url …`",
    )
}

fn sources() -> Draft {
    let draft = table(20, "Sources", (24, 7))
        .rule("State of each source. Last success: time since the last successful run. Duration: length of the last run. Requests, \
records, changes and failures: totals of this time range. Quota left: requests left in the tool's rate limit. Rate limited: how often the \
tool asked to wait in this time range.")
        .empty(NO_SELF_METRICS)
        .decimals(0)
        .ask(rows("A", format!("time() - {}", of(names::M_SYNC_LAST_SUCCESS).by(&SOURCE))))
        .ask(rows("B", of(names::M_SYNC_DURATION).by(&SOURCE)))
        .ask(rows("C", of(names::M_SYNC_REQUESTS).gained("$__range", &SOURCE)))
        .ask(rows("D", of(names::M_SYNC_RECORDS).gained("$__range", &SOURCE)))
        .ask(rows("E", of(names::M_SYNC_CHANGES).gained("$__range", &SOURCE)))
        .ask(rows("F", of(names::M_SYNC_ERRORS).gained("$__range", &SOURCE)))
        .ask(rows("J", of(names::M_RATE_REMAINING).by(&SOURCE)))
        .ask(rows("K", of(names::M_RATE_WAITS).gained("$__range", &SOURCE)));
    let mut age = coloured(&[("green", None), ("red", Some(f64::from(TOO_OLD)))]);
    age.push(unit("s"));
    draft
        .joined(&label(names::SOURCE_NAME))
        .columns(&[
            ("source_name", "Source"),
            ("Value #A", "Last success"),
            ("Value #B", "Duration"),
            ("Value #C", "Requests"),
            ("Value #D", "Records"),
            ("Value #E", "Changes"),
            ("Value #F", "Failures"),
            ("Value #J", "Quota left"),
            ("Value #K", "Rate limited"),
        ])
        .field("Source", vec![width(150), wrapped()])
        .field("Last success", age)
        .field("Duration", vec![unit("s"), decimals(1)])
        .field("Failures", coloured(NONE_IS_GOOD))
}

fn coverage() -> Draft {
    let draft = table(24, "Coverage", (24, 7))
        .rule("What became of everything that each source lists. In store: tasks in the store. In tool: tasks that the tool reports. \
Histories: whether the store has the complete history of every record. Quarantined: records that this version cannot parse. Unreadable: \
records that the tool lists and could not serve. Missing: tasks that it lists and gave no record of. Listed, not ours: ids of the last \
complete pass, and those among them that are no tasks of this source.")
        .empty(NO_SELF_METRICS)
        .decimals(0)
        .ask(rows("G", of(names::M_SYNC_SET_ASIDE).by(&SOURCE)))
        .ask(rows("M", of(names::M_SYNC_UNREADABLE).by(&SOURCE)))
        .ask(rows("N", of(names::M_SYNC_MISSING).by(&SOURCE)))
        .ask(rows("H", of(names::M_SYNC_TASKS).by(&SOURCE)))
        .ask(rows("I", of(names::M_SYNC_TOOL_TASKS).by(&SOURCE)))
        .ask(rows("L", of(names::M_SYNC_HISTORIES).by(&SOURCE)))
        .ask(rows("O", of(names::M_SYNC_LISTED).by(&SOURCE)))
        .ask(rows("P", of(names::M_SYNC_OUT_OF_SCOPE).by(&SOURCE)));
    let mut whole = coloured(&[("yellow", None), ("green", Some(1.0))]);
    whole.push(value_mapping(&complete()));
    draft
        .joined(&label(names::SOURCE_NAME))
        .columns(&[
            ("source_name", "Source"),
            ("Value #H", "In store"),
            ("Value #I", "In tool"),
            ("Value #L", "Histories"),
            ("Value #G", "Quarantined"),
            ("Value #M", "Unreadable"),
            ("Value #N", "Missing"),
            ("Value #O", "Listed"),
            ("Value #P", "Not ours"),
        ])
        .field("Source", vec![width(150), wrapped()])
        .fields("^(Quarantined|Unreadable)$", coloured(SOME_IS_ODD))
        .field("Missing", coloured(NONE_IS_GOOD))
        .field("Histories", whole)
}

fn lag() -> Draft {
    lines(21, "Age of data by source", (8, 8))
        .rule("Seconds since each source's last successful run. Each run resets the line; a line that keeps rising is a source that fails.")
        .empty(NO_SELF_METRICS)
        .unit("s")
        .zero_based()
        .step("1m")
        .ask(course("A", format!("time() - {}", of(names::M_SYNC_LAST_SUCCESS).by(&SOURCE)), "{{source_name}}"))
}

fn work() -> Draft {
    let by = [names::SOURCE_NAME, names::ERROR_TYPE];
    lines(22, "Failures by kind", (8, 8))
        .rule("Failed runs so far, by source and kind of error.")
        .empty("No run has failed")
        .zero_based()
        .decimals(0)
        .step("1m")
        .ask(course("A", of(names::M_SYNC_ERRORS).by(&by), "{{source_name}} {{error_type}}"))
}

fn projects_file() -> Draft {
    stat(25, "Projects file unusable for", 8)
        .rule("For how long the projects file could not be read or understood. Until it can, its last good state is in force: owners, \
criticalities and risks may be old. The log of `serve` names file and line.")
        .blank("None configured", "the configuration has no `projects_file`, or contextcore exported no metrics about itself")
        .unit("s")
        .decimals(0)
        .no_course()
        .steps(NONE_IS_GOOD)
        .ask(moment("A", format!("max({})", all(names::M_PROJECTS_FAILING).last()), "failing"))
}

fn rate_limit() -> Draft {
    lines(23, "Rate limit: requests left", (8, 8))
        .rule("Requests left in each tool's rate limit, as the tool reports them. The table above shows how often it asked to wait.")
        .empty("No tool reports how many requests are left")
        .zero_based()
        .decimals(0)
        .step("1m")
        .ask(course("A", of(names::M_RATE_REMAINING).by(&SOURCE), "{{source_name}}"))
}

fn backlog() -> Draft {
    lines(30, "Export backlog (changes)", (12, 8))
        .rule("Changes in the journal that each backend still waits for. The backlog grows while a backend is down and drains by \
itself afterwards. An alert fires when it grows for half an hour.")
        .empty(NO_SELF_METRICS)
        .zero_based()
        .decimals(0)
        .step("1m")
        .ask(course("A", format!("sum by ({}) ({})", label(names::SIGNAL), backlogs()), "{{signal}}"))
}

fn sent() -> Draft {
    table(31, "Exported in this time range", (12, 8))
        .rule("Spans, log records and metric points that each backend accepted or permanently rejected in this time range, and the \
batches that were retried.")
        .empty(NO_SELF_METRICS)
        .decimals(0)
        .ask(rows("A", all(names::M_EXPORT_SENT).gained("$__range", &SIGNAL)))
        .ask(rows("B", all(names::M_EXPORT_REJECTED).gained("$__range", &SIGNAL)))
        .ask(rows("C", all(names::M_EXPORT_RETRIES).gained("$__range", &SIGNAL)))
        .joined(&label(names::SIGNAL))
        .columns(&[("signal", "Signal"), ("Value #A", "Accepted"), ("Value #B", "Rejected"), ("Value #C", "Retried")])
        .field("Accepted", gauge_of_counts())
        .field("Rejected", coloured(NONE_IS_GOOD))
}

fn rejected() -> Draft {
    let by = [names::SIGNAL, names::ERROR_TYPE];
    table(34, "Rejected, by reason", (24, 6))
        .rule("Spans, log records and metric points that a backend rejected permanently in this time range, by reason. too_old, \
out_of_order: the backend's window is shorter than `export.history`. too_large, limit_reached, rate_limited: a limit of the backend. \
too_new: the clocks differ. duplicate: the backend already has another value for that time. invalid: the feature is off in the backend, \
or contextcore has a bug. No reason: an older version counted it without one. `contextcore status` prints the backend's own message and, \
where known, the setting to change.")
        .empty("Nothing was rejected in this time range")
        .decimals(0)
        .ask(rows("A", format!("{} > 0", all(names::M_EXPORT_REJECTED).gained("$__range", &by))))
        .columns(&[("signal", "Signal"), ("error_type", "Reason"), ("Value", "Rejected")])
        .field("Rejected", coloured(NONE_IS_GOOD))
}

fn gauge_of_counts() -> Vec<crate::model::Property> {
    gauge(1.0).into_iter().filter(|property| property.id != "max").collect()
}

fn export_lag() -> Draft {
    lines(32, "Export lag", (12, 8))
        .rule("Age of the oldest change that still waits for export to each backend. 0 when nothing waits.")
        .empty(NO_SELF_METRICS)
        .unit("s")
        .zero_based()
        .step("1m")
        .ask(course("A", all(names::M_EXPORT_LAG).by(&SIGNAL), "{{signal}}"))
}

/// What to do about each alert, where every alert's runbook link leads.
fn runbooks() -> Draft {
    text(links::RUNBOOKS, "What to do about an alert", (24, 14), &alerts::runbooks())
}

fn store() -> Draft {
    lines(33, "Store on disk", (12, 8))
        .rule("Size of the store in bytes. `contextcore store compact` frees the space of records that were replaced.")
        .empty(NO_SELF_METRICS)
        .unit("bytes")
        .zero_based()
        .step("1m")
        .ask(course("A", format!("max({})", all(names::M_STORE_SIZE).last()), "store"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_setting_is_described_by_a_tile() {
        let described: String = assumptions().into_iter().map(|draft| draft.done().description).collect();
        for setting in knowledge::SETTINGS {
            let described_elsewhere = [knowledge::TEMPO_METRICS_RANGE, knowledge::PROMETHEUS_LABELS];
            assert!(described.contains(setting.line) || described_elsewhere.contains(&setting), "{}", setting.line);
        }
    }
}
