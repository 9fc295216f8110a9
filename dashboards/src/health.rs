//! ContextCore Health: is what I see fresh and complete, and if a panel is empty, why?

use contextcore_core::model::semconv::{self as names, Metric};

use crate::knowledge::{self, Setting};
use crate::links;
use crate::model::{Annotations, Dashboard, SCHEMA_VERSION, Templating, TimeRange};
use crate::panel::{
    self, Draft, NONE_IS_GOOD, Section, coloured, counts, course, decimals, gauge, lines, moment, rows, section, spans,
    stat, table, text, unit, words,
};
use crate::query::{Selector, Series, TOO_OLD, label, quoted, span};
use crate::variable;

const NOT_TOLD: &str =
    "contextcore told nothing of itself within the look back: is it running, and does `signals` hold metrics?";

/// The dashboard.
pub(crate) fn dashboard() -> Dashboard {
    let mut variables = variable::data_sources();
    variables.extend([variable::source(), variable::lookback()]);
    Dashboard {
        uid: links::HEALTH,
        title: "ContextCore Health",
        description: "Is what I see fresh and complete, and if a panel is empty, why?",
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
        section(101, "Sources", vec![sources(), lag(), work(), rate_limit()]),
        section(102, "Backends", vec![backlog(), sent(), refused(), export_lag(), store()]),
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
    vec![
        stat(1, "Oldest data", 4)
            .rule("How long ago the source that is furthest behind last ended a run well. Red above one hour.")
            .blank("Nothing told", NOT_TOLD)
            .unit("s")
            .decimals(0)
            .no_course()
            .steps(&[("green", None), ("red", Some(f64::from(TOO_OLD)))])
            .ask(moment("A", format!("max(time() - {})", of(names::M_SYNC_LAST_SUCCESS).by(&SOURCE)), "age")),
        stat(2, "Runs that failed", 4)
            .rule("Runs that failed in this time, of all sources chosen.")
            .empty("No run failed")
            .decimals(0)
            .no_course()
            .steps(NONE_IS_GOOD)
            .ask(moment("A", format!("sum({}) or vector(0)", of(names::M_SYNC_ERRORS).gained("$__range", &SOURCE)), "failed")),
        stat(3, "Not yet told", 4)
            .rule("Changes that some backend has not been told: the greatest of the three. What is behind catches up by itself.")
            .blank("Nothing told", NOT_TOLD)
            .decimals(0)
            .step("1m")
            .ask(course("A", format!("max(sum by ({}) ({}))", label(names::SIGNAL), backlogs()), "changes")),
        stat(4, "Refused for good", 4)
            .rule("Spans, records and points that a backend refused for good in this time. The table further down \
says why, `contextcore status` in the backend's own words, and `contextcore check` with the backends' addresses which setting.")
            .empty("Nothing was refused")
            .decimals(0)
            .no_course()
            .steps(NONE_IS_GOOD)
            .ask(moment("A", format!("sum({}) or vector(0)", all(names::M_EXPORT_REJECTED).gained("$__range", &SIGNAL)), "refused")),
        stat(5, "Held of what the tools count", 4)
            .rule("Tasks held, of those that the tools themselves count. Below 100 %: a first sync is under way, or the token may \
not see everything. Above: what was deleted or put away there is held until two daily passes have missed it. A tool that does not \
count has none.")
            .blank("Nobody counts", "no tool says how many tasks it has")
            .unit("percent")
            .decimals(1)
            .no_course()
            .steps(&[("red", None), ("yellow", Some(99.0)), ("green", Some(99.9))])
            .ask(moment("A", format!("100 * sum({}) / sum({})", held(), of(names::M_SYNC_TOOL_TASKS).by(&SOURCE)), "held")),
        stat(6, "Histories held whole", 4)
            .rule("Whether the history of every record that was read is held whole, of all sources chosen: a run ended well, and \
nothing is set aside. The table of sources says which one is not complete, `contextcore status` which record and why.")
            .blank("Nothing told", NOT_TOLD)
            .no_course()
            // Short: a tile of this width has no room for more.
            .words(panel::mapping(&[("0", "Not all", "yellow"), ("1", "All", "green")]))
            .steps(&[("yellow", None), ("green", Some(1.0))])
            .ask(moment("A", format!("min({})", of(names::M_SYNC_HISTORIES).by(&SOURCE)), "complete")),
    ]
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

/// The rule of an assumption, with what to set when it does not hold.
fn assumption(what: &str, settings: &[Setting]) -> String {
    let advice: Vec<String> =
        settings.iter().map(|setting| format!("- {}: {}", setting.symptom, setting.advice())).collect();
    format!(
        "{what}\n\nIf it does not hold:\n{}\n\n`contextcore check` with the backends' addresses finds out which.",
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
        check(10, "Projects told now", "nothing was told within the look back")
            .rule(assumption("Prometheus has values of this many projects within the look back.", &[k::PROMETHEUS_RECEIVER]))
            .ask(moment("A", format!("count({projects})"), "projects")),
        check(11, "History of 14 days ago", "Prometheus refused the history, or there is none that old")
            .rule(assumption("Prometheus took values that were two weeks old.", &[k::PROMETHEUS_OLD, k::PROMETHEUS_RETENTION]))
            .ask(moment("A", older, "projects")),
        check(12, "Events in this time", "nothing happened in this time, or Loki takes no records")
            .rule(assumption("Loki has events that happened in this time.", &[k::LOKI_OLD, k::LOKI_RANGE]))
            .ask(counts("A", format!("sum(count_over_time({}[$__range]))", events.text()))),
        check(13, "Events sent as history", "choose a longer time, or Loki refused the history")
            .rule(assumption(
                "Loki has events of this time that were more than an hour old when they were sent. Choose a time before the first sync.",
                &[k::LOKI_OLD, k::LOKI_BEHIND, k::LOKI_LABELS],
            ))
            .ask(counts("A", format!("sum(count_over_time({}[$__range]))", of_last_year.text()))),
        searchable(14, "Newest snapshot", "snapshot", "2h", "no snapshot within two hours, or Tempo has not got it yet")
            .rule(assumption("Tempo finds the newest snapshot, from which boards and breakdowns come.", &[k::TEMPO_RETENTION, k::TEMPO_TRACES, k::TEMPO_BYTES])),
        searchable(15, "Newest history", "phase", "365d", "Tempo does not find what is old")
            .rule(assumption(
                "Tempo finds phases within a year. It takes up to 10 minutes after a sync.",
                &[k::TEMPO_SLACK, k::TEMPO_SEARCH_RANGE, k::TEMPO_RETENTION],
            )),
        reading(),
    ]
}

/// What a tile shows whose assumption does not hold.
const NO: &str = "No: see the i";

fn check(id: u32, title: &str, otherwise: &str) -> Draft {
    let tested = stat(id, title, 4).nothing_is_bad().blank(NO, otherwise);
    tested.no_course().decimals(0).steps(&[("red", None), ("green", Some(1.0))])
}

fn searchable(id: u32, title: &str, role: &str, stretch: &'static str, otherwise: &str) -> Draft {
    let query = format!("{{ {} }} with (most_recent=true)", span(names::ROLE, "=", &quoted(role)));
    // Nothing found is no value, which takes the first colour; every moment is after 1970.
    stat(id, title, 4)
        .nothing_is_bad()
        .blank(NO, otherwise)
        .no_course()
        .unit("dateTimeFromNow")
        .steps(&[("red", None), ("green", Some(1.0))])
        .lately(stretch)
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
        "A red tile is the first thing to look at: its description (the **i** at its title) says what to set, line by line. To test \
with records of its own: `contextcore check --tempo-url … --loki-url … --prometheus-url … --grafana-url …`",
    )
}

fn sources() -> Draft {
    let draft = table(20, "Sources", (24, 8))
        .rule("How each source stands. Last success: how long ago a run last ended well. Duration: of the last run. Requests, \
records, changes and failures: in this time. Set aside: records that could not be understood, and wait for a newer version. \
Held and counted: tasks held, and those that the tool itself counts. Histories: whether those of all records are held whole. Left: requests left by the tool's own limit; waits: how often it asked us to wait in this time.")
        .empty(NOT_TOLD)
        .decimals(0)
        .ask(rows("A", format!("time() - {}", of(names::M_SYNC_LAST_SUCCESS).by(&SOURCE))))
        .ask(rows("B", of(names::M_SYNC_DURATION).by(&SOURCE)))
        .ask(rows("C", of(names::M_SYNC_REQUESTS).gained("$__range", &SOURCE)))
        .ask(rows("D", of(names::M_SYNC_RECORDS).gained("$__range", &SOURCE)))
        .ask(rows("E", of(names::M_SYNC_CHANGES).gained("$__range", &SOURCE)))
        .ask(rows("F", of(names::M_SYNC_ERRORS).gained("$__range", &SOURCE)))
        .ask(rows("G", of(names::M_SYNC_SET_ASIDE).by(&SOURCE)))
        .ask(rows("H", of(names::M_SYNC_TASKS).by(&SOURCE)))
        .ask(rows("I", of(names::M_SYNC_TOOL_TASKS).by(&SOURCE)))
        .ask(rows("J", of(names::M_RATE_REMAINING).by(&SOURCE)))
        .ask(rows("K", of(names::M_RATE_WAITS).gained("$__range", &SOURCE)))
        .ask(rows("L", of(names::M_SYNC_HISTORIES).by(&SOURCE)));
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
            ("Value #G", "Set aside"),
            ("Value #H", "Held"),
            ("Value #I", "Counted"),
            ("Value #L", "Histories"),
            ("Value #J", "Left"),
            ("Value #K", "Waits"),
        ])
        .field("Last success", {
            let mut age = coloured(&[("green", None), ("red", Some(f64::from(TOO_OLD)))]);
            age.push(unit("s"));
            age
        })
        .field("Duration", vec![unit("s"), decimals(1)])
        .field("Failures", coloured(NONE_IS_GOOD))
        .field("Set aside", coloured(&[("text", None), ("yellow", Some(1.0))]))
        .field("Histories", {
            let mut whole = coloured(&[("yellow", None), ("green", Some(1.0))]);
            whole.push(words(&complete()));
            whole
        })
}

fn lag() -> Draft {
    lines(21, "Age of data by source", (8, 8))
        .rule("Seconds since each source's last good run. A saw whose teeth grow is a source that fails.")
        .empty(NOT_TOLD)
        .unit("s")
        .zero_based()
        .step("1m")
        .ask(course("A", format!("time() - {}", of(names::M_SYNC_LAST_SUCCESS).by(&SOURCE)), "{{source_name}}"))
}

fn work() -> Draft {
    let by = [names::SOURCE_NAME, names::ERROR_TYPE];
    lines(22, "Failures by kind", (8, 8))
        .rule("Runs that failed so far, by source and kind of error.")
        .empty("No run ever failed")
        .zero_based()
        .decimals(0)
        .step("1m")
        .ask(course("A", of(names::M_SYNC_ERRORS).by(&by), "{{source_name}} {{error_type}}"))
}

fn rate_limit() -> Draft {
    lines(23, "Requests left by the tools' limits", (8, 8))
        .rule("What each tool says is left of its limit. How often it asked us to wait is in the table above.")
        .empty("No tool says what is left of its limit")
        .zero_based()
        .decimals(0)
        .step("1m")
        .ask(course("A", of(names::M_RATE_REMAINING).by(&SOURCE), "{{source_name}}"))
}

fn backlog() -> Draft {
    lines(30, "Journal: changes not yet told", (12, 8))
        .rule("Changes that each backend has not been told. It grows while a backend is down, and falls by itself afterwards; one \
that grows for half an hour is an alert.")
        .empty(NOT_TOLD)
        .zero_based()
        .decimals(0)
        .step("1m")
        .ask(course("A", format!("sum by ({}) ({})", label(names::SIGNAL), backlogs()), "{{signal}}"))
}

fn sent() -> Draft {
    table(31, "Told in this time", (12, 8))
        .rule("Spans, log records and metric points that each backend took and refused for good in this time, and batches that were \
sent again.")
        .empty(NOT_TOLD)
        .decimals(0)
        .ask(rows("A", all(names::M_EXPORT_SENT).gained("$__range", &SIGNAL)))
        .ask(rows("B", all(names::M_EXPORT_REJECTED).gained("$__range", &SIGNAL)))
        .ask(rows("C", all(names::M_EXPORT_RETRIES).gained("$__range", &SIGNAL)))
        .joined(&label(names::SIGNAL))
        .columns(&[("signal", "Signal"), ("Value #A", "Taken"), ("Value #B", "Refused"), ("Value #C", "Sent again")])
        .field("Taken", gauge_of_counts())
        .field("Refused", coloured(NONE_IS_GOOD))
}

fn refused() -> Draft {
    let by = [names::SIGNAL, names::ERROR_TYPE];
    table(34, "Refused for good, by reason", (24, 6))
        .rule("Spans, log records and metric points that were refused for good in this time, and why. too_old, out_of_order: the \
backend's window is smaller than `export.history`. too_large, limit_reached, rate_limited: one of its limits. too_new: the clocks \
disagree. duplicate: another value is stored for that moment. invalid: a feature is off there, or it is a bug. No reason: \
counted by a version that noted none. `contextcore status` has the backend's own words, and the setting where it is known.")
        .empty("Nothing was refused in this time")
        .decimals(0)
        .ask(rows("A", format!("{} > 0", all(names::M_EXPORT_REJECTED).gained("$__range", &by))))
        .columns(&[("signal", "Signal"), ("error_type", "Reason"), ("Value", "Refused")])
        .field("Refused", coloured(NONE_IS_GOOD))
}

fn gauge_of_counts() -> Vec<crate::model::Property> {
    gauge(1.0).into_iter().filter(|property| property.id != "max").collect()
}

fn export_lag() -> Draft {
    lines(32, "How far each backend is behind", (12, 8))
        .rule("Age of the oldest change that each backend has not been told; 0 when it was told everything.")
        .empty(NOT_TOLD)
        .unit("s")
        .zero_based()
        .step("1m")
        .ask(course("A", all(names::M_EXPORT_LAG).by(&SIGNAL), "{{signal}}"))
}

fn store() -> Draft {
    lines(33, "Store on disk", (12, 8))
        .rule("Bytes of the store. `contextcore store compact` gives back what changes left behind.")
        .empty(NOT_TOLD)
        .unit("bytes")
        .zero_based()
        .step("1m")
        .ask(course("A", format!("max({})", all(names::M_STORE_SIZE).last()), "store"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_a_backend_is_told_by_a_tile() {
        let told: String = assumptions().into_iter().map(|draft| draft.done().description).collect();
        for setting in knowledge::SETTINGS {
            let told_elsewhere = [knowledge::TEMPO_METRICS_RANGE, knowledge::PROMETHEUS_LABELS];
            assert!(told.contains(setting.line) || told_elsewhere.contains(&setting), "{}", setting.line);
        }
    }
}
