//! Queries as panels carry them.

use crate::model::{LOKI, LokiTarget, PANEL, PROMETHEUS, PanelTarget, PrometheusTarget, TEMPO, Target, TempoTarget};

/// The most spans of a trace that a table of spans asks for: more than a snapshot of a busy project holds.
const SPANS: u32 = 5_000;

fn prometheus(ref_id: &'static str, expr: String, format: &'static str, instant: bool, legend: &str) -> Target {
    Target::Prometheus(PrometheusTarget {
        ref_id,
        datasource: PROMETHEUS,
        expr,
        instant,
        range: !instant,
        format,
        legend_format: legend.to_owned(),
        editor_mode: "code",
    })
}

/// PromQL over the range.
pub(crate) fn course(ref_id: &'static str, expr: String, legend: &str) -> Target {
    prometheus(ref_id, expr, "time_series", false, legend)
}

/// PromQL at the end of the range.
pub(crate) fn moment(ref_id: &'static str, expr: String, legend: &str) -> Target {
    prometheus(ref_id, expr, "time_series", true, legend)
}

/// PromQL at the end of the range, as a table: a row a series.
pub(crate) fn rows(ref_id: &'static str, expr: String) -> Target {
    prometheus(ref_id, expr, "table", true, "")
}

/// PromQL at the end of the range: buckets of a histogram, each on its own.
pub(crate) fn buckets(ref_id: &'static str, expr: String) -> Target {
    prometheus(ref_id, expr, "heatmap", true, "{{le}}")
}

/// LogQL lines.
pub(crate) fn events(ref_id: &'static str, expr: String, most: u32) -> Target {
    let max_lines = Some(most);
    Target::Loki(LokiTarget {
        ref_id,
        datasource: LOKI,
        expr,
        query_type: "range",
        max_lines,
        legend_format: String::new(),
        editor_mode: "code",
    })
}

/// LogQL numbers at the end of the range.
pub(crate) fn counts(ref_id: &'static str, expr: String) -> Target {
    Target::Loki(LokiTarget {
        ref_id,
        datasource: LOKI,
        expr,
        query_type: "instant",
        max_lines: None,
        legend_format: String::new(),
        editor_mode: "code",
    })
}

/// TraceQL: the spans of at most so many traces.
pub(crate) fn spans(ref_id: &'static str, query: String, limit: u32) -> Target {
    Target::Tempo(TempoTarget {
        ref_id,
        datasource: TEMPO,
        query_type: "traceql",
        query,
        limit,
        spss: SPANS,
        table_type: "spans",
    })
}

/// The answer of another panel, as it came.
pub(crate) fn of_panel(ref_id: &'static str, panel_id: u32) -> Target {
    Target::Panel(PanelTarget { ref_id, datasource: PANEL, panel_id, with_transforms: false })
}
