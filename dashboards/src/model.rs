//! Grafana's dashboard JSON as types: schema 39, which Grafana 11 reads as it is and Grafana 12 brings up to date by itself.
//!
//! Only what we use is here, spelled as Grafana spells it. Read [`Dashboard`], then [`Panel`]. Which panels there are is said
//! in [`crate::portfolio`], [`crate::project`] and [`crate::health`]; how they are put together, in [`crate::panel`].

mod target;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

pub use target::{LokiTarget, PanelTarget, PrometheusTarget, Target, TempoTarget};

/// The schema of the JSON.
pub const SCHEMA_VERSION: u32 = 39;
/// The Grafana that writes this schema.
pub const PLUGIN_VERSION: &str = "11.0.0";

/// A dashboard.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    /// What links name it by; never changes.
    pub uid: String,
    /// Its title.
    pub title: String,
    /// What it answers.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// The time zone: `browser`.
    pub timezone: &'static str,
    /// Whether people may change it.
    pub editable: bool,
    /// 1: the crosshair is shared by all panels.
    pub graph_tooltip: u8,
    /// How often it asks again.
    pub refresh: &'static str,
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The time range at first.
    pub time: TimeRange,
    /// Links at the top.
    pub links: Vec<DashboardLink>,
    /// Marks on all time axes.
    pub annotations: Annotations,
    /// The variables.
    pub templating: Templating,
    /// The panels, rows among them.
    pub panels: Vec<Panel>,
}

/// A time range in Grafana's words, e.g. `now-30d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimeRange {
    /// Its begin.
    pub from: &'static str,
    /// Its end.
    pub to: &'static str,
}

/// A link at the top of a dashboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DashboardLink {
    /// Its text.
    pub title: &'static str,
    /// Always `link`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where it leads.
    pub url: String,
    /// Its icon.
    pub icon: &'static str,
    /// Whether the time range goes along.
    pub keep_time: bool,
    /// Whether the variables go along.
    pub include_vars: bool,
    /// Whether it opens a new tab.
    pub target_blank: bool,
}

/// The marks on time axes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Annotations {
    /// All of them.
    pub list: Vec<Annotation>,
}

/// Marks on time axes, by a LogQL query.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotation {
    /// Its name, beside the switch.
    pub name: &'static str,
    /// Where it comes from.
    pub datasource: DataSource,
    /// Whether it is on.
    pub enable: bool,
    /// Whether its switch is hidden.
    pub hide: bool,
    /// The colour of the marks.
    pub icon_color: &'static str,
    /// The query, once: Grafana asks Loki for annotations by this field alone.
    pub expr: String,
    /// Which panels have the marks.
    pub filter: AnnotationFilter,
    /// A title for each mark.
    pub title_format: &'static str,
    /// A text for each mark.
    pub text_format: &'static str,
}

/// Which panels have the marks of an [`Annotation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnnotationFilter {
    /// Whether all panels but these have them.
    pub exclude: bool,
    /// The panels.
    pub ids: Vec<u32>,
}

/// The variables of a dashboard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Templating {
    /// All of them, those that others depend on first.
    pub list: Vec<Variable>,
}

/// A variable.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// Its name in queries.
    pub name: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// What it chooses.
    pub description: &'static str,
    /// `datasource`, `query` or `custom`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where a `query` asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datasource: Option<DataSource>,
    /// The query: text, or an object for Prometheus.
    pub query: Value,
    /// The query as text, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub definition: String,
    /// Takes values (and texts) out of what the query gives.
    pub regex: String,
    /// 2: asks again when the time range changes.
    pub refresh: u8,
    /// 0: as the query says; 1: by name.
    pub sort: u8,
    /// Whether several can be chosen.
    pub multi: bool,
    /// Whether there is an `All`.
    pub include_all: bool,
    /// What `All` stands for; absent: every option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_value: Option<&'static str>,
    /// What is chosen at first.
    pub current: Value,
    /// The options of a `custom` one.
    pub options: Vec<Value>,
    /// 0: shown; 2: hidden.
    pub hide: u8,
    /// Whether a link may not set it.
    pub skip_url_sync: bool,
}

/// A data source by type and uid; the uid is a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataSource {
    /// E.g. `prometheus`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// E.g. `${prometheus}`.
    pub uid: &'static str,
}

/// The metrics.
pub const PROMETHEUS: DataSource = DataSource { kind: "prometheus", uid: "${prometheus}" };
/// The traces.
pub const TEMPO: DataSource = DataSource { kind: "tempo", uid: "${tempo}" };
/// The events.
pub const LOKI: DataSource = DataSource { kind: "loki", uid: "${loki}" };
/// Several in one panel.
pub const MIXED: DataSource = DataSource { kind: "datasource", uid: "-- Mixed --" };
/// The answer of another panel of the dashboard.
pub const PANEL: DataSource = DataSource { kind: "datasource", uid: "-- Dashboard --" };

/// A panel, or a row that gathers those below it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    /// Its number in the dashboard.
    pub id: u32,
    /// E.g. `stat`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The version its options are written for; without one Grafana takes them for those of version 6, and migrates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_version: Option<&'static str>,
    /// Its title.
    pub title: String,
    /// Which rule its numbers follow.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its place.
    pub grid_pos: GridPos,
    /// Where its queries go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datasource: Option<DataSource>,
    /// Its queries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// How values look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_config: Option<FieldConfig>,
    /// How the panel looks.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub options: Value,
    /// What is done to the answers before they are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transformations: Vec<Transformation>,
    /// The least step of a range query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<&'static str>,
    /// The most points of a range query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_data_points: Option<u32>,
    /// A time range of its own, back from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_from: Option<&'static str>,
    /// Whether that range is left off the title.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hide_time_override: bool,
    /// For a row: whether it is folded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collapsed: Option<bool>,
    /// For a folded row: the panels in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panels: Option<Vec<Panel>>,
}

/// A place on the grid of 24 columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct GridPos {
    /// Height.
    pub h: u32,
    /// Width.
    pub w: u32,
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
}

/// How values look.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FieldConfig {
    /// For all.
    pub defaults: Defaults,
    /// For some.
    pub overrides: Vec<Override>,
}

/// How all values of a panel look.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// The unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// Digits after the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u8>,
    /// The low end of bars and axes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The high end of bars and axes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What values are called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// What is shown when there is nothing: why, and where to look.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_value: String,
    /// Where colours come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<Color>,
    /// Words for values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mappings: Vec<Value>,
    /// Colours by value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// Where a click leads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<DataLink>,
    /// What only this kind of panel knows.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<&'static str, Value>,
}

/// Where colours come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Color {
    /// `thresholds`, `fixed`, `palette-classic`.
    pub mode: &'static str,
    /// The colour when it is `fixed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_color: Option<&'static str>,
}

/// Colours by value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Thresholds {
    /// Always `absolute`.
    pub mode: &'static str,
    /// From which value on which colour; the first begins at nothing.
    pub steps: Vec<Step>,
}

/// A colour from a value on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The colour.
    pub color: &'static str,
    /// The value; none for the first.
    pub value: Option<f64>,
}

/// Where a click on a value leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataLink {
    /// Its text.
    pub title: &'static str,
    /// Where it leads.
    pub url: String,
    /// Whether it opens a new tab.
    pub target_blank: bool,
}

/// How some values look.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Override {
    /// Which.
    pub matcher: Matcher,
    /// How.
    pub properties: Vec<Property>,
}

/// Which fields an [`Override`] is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matcher {
    /// `byName`, `byRegexp` or `byType`.
    pub id: &'static str,
    /// The name or pattern.
    pub options: String,
}

/// One thing an [`Override`] sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Property {
    /// What.
    pub id: &'static str,
    /// To what.
    pub value: Value,
}

/// A step between answer and picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transformation {
    /// Which.
    pub id: &'static str,
    /// How.
    pub options: Value,
}

impl Dashboard {
    /// The JSON, as it is committed.
    pub fn to_json(&self) -> String {
        // Serialising types without maps of non-text keys cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Every panel, those in folded rows too.
    pub fn all_panels(&self) -> impl Iterator<Item = &Panel> {
        self.panels.iter().flat_map(|panel| std::iter::once(panel).chain(panel.panels.iter().flatten()))
    }
}

/// `{"text": …, "value": …}`, as Grafana keeps what is chosen.
pub(crate) fn choice(text: &str, value: &str) -> Value {
    json!({"text": text, "value": value, "selected": true})
}
