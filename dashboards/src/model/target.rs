//! The queries of a panel, one type for each kind of data source.

use serde::Serialize;

use super::DataSource;

/// A query.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Target {
    /// PromQL.
    Prometheus(PrometheusTarget),
    /// LogQL.
    Loki(LokiTarget),
    /// TraceQL.
    Tempo(TempoTarget),
    /// Another panel's answer.
    Panel(PanelTarget),
}

impl Target {
    /// The query's text, if it has one.
    pub fn query(&self) -> Option<&str> {
        match self {
            Self::Prometheus(target) => Some(&target.expr),
            Self::Loki(target) => Some(&target.expr),
            Self::Tempo(target) => Some(&target.query),
            Self::Panel(_) => None,
        }
    }

    /// Its letter.
    pub fn ref_id(&self) -> &'static str {
        match self {
            Self::Prometheus(target) => target.ref_id,
            Self::Loki(target) => target.ref_id,
            Self::Tempo(target) => target.ref_id,
            Self::Panel(target) => target.ref_id,
        }
    }
}

/// A PromQL query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusTarget {
    /// Its letter.
    pub ref_id: &'static str,
    /// Always [`PROMETHEUS`](super::PROMETHEUS).
    pub datasource: DataSource,
    /// The query.
    pub expr: String,
    /// Whether it is asked at one moment, the end of the range.
    pub instant: bool,
    /// Whether it is asked over the range.
    pub range: bool,
    /// `time_series`, `table` or `heatmap`.
    pub format: &'static str,
    /// The name of a series.
    pub legend_format: String,
    /// Always `code`.
    pub editor_mode: &'static str,
}

/// A LogQL query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LokiTarget {
    /// Its letter.
    pub ref_id: &'static str,
    /// Always [`LOKI`](super::LOKI).
    pub datasource: DataSource,
    /// The query.
    pub expr: String,
    /// `range` or `instant`.
    pub query_type: &'static str,
    /// The most lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lines: Option<u32>,
    /// The name of a series.
    pub legend_format: String,
    /// Always `code`.
    pub editor_mode: &'static str,
}

/// A TraceQL query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TempoTarget {
    /// Its letter.
    pub ref_id: &'static str,
    /// Always [`TEMPO`](super::TEMPO).
    pub datasource: DataSource,
    /// Always `traceql`.
    pub query_type: &'static str,
    /// The query.
    pub query: String,
    /// The most traces.
    pub limit: u32,
    /// The most spans of a trace.
    pub spss: u32,
    /// `spans`: a row a span.
    pub table_type: &'static str,
}

/// The answer of another panel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PanelTarget {
    /// Its letter.
    pub ref_id: &'static str,
    /// Always [`PANEL`](super::PANEL).
    pub datasource: DataSource,
    /// The other panel.
    pub panel_id: u32,
    /// Whether the other panel's transformations come first.
    pub with_transforms: bool,
}
