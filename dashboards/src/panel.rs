//! Builds panels. A [`Draft`] holds a panel's queries, its description and the text for an empty panel; [`page`] places the
//! panels on the grid. The queries themselves come from the callers, as [`targets`]; how columns and series look is in
//! [`properties`].

mod ends;
mod layout;
mod properties;
mod targets;

use serde_json::{Map, Value, json};

use crate::model::{
    Color, Defaults, FieldConfig, GridPos, LOKI, MIXED, Matcher, Override, PANEL, PLUGIN_VERSION, PROMETHEUS, Panel,
    Property, TEMPO, Target, Transformation,
};

use crate::query;
use properties::{link, thresholds};

pub(crate) use ends::AT_END;
pub(crate) use layout::{Section, folded, page, section};
pub(crate) use properties::*;
pub(crate) use targets::*;

/// Colours from a value on; the first begins at nothing.
pub(crate) type Steps<'a> = &'a [(&'static str, Option<f64>)];
/// The longest text, in characters, that is readable in a tile.
const SHORT: usize = 24;
/// What comes before the reason in a tile's description.
pub(crate) const WITHOUT: &str = "\n\nWithout a number: ";
/// What a tile without a number shows.
const NO_DATA: &str = "No data: see Health";
/// Grey, whatever the value.
pub(crate) const PLAIN: Steps<'static> = &[("text", None)];
/// Good when nothing, bad when anything.
pub(crate) const NONE_IS_GOOD: Steps<'static> = &[("green", None), ("red", Some(1.0))];

/// A panel under construction.
#[derive(Debug, Clone)]
pub(crate) struct Draft(Panel);

/// A panel of a kind. Its id must not change, because links contain it.
fn panel(kind: &'static str, id: u32, title: &str, (w, h): (u32, u32), options: Value) -> Draft {
    Draft(Panel {
        id,
        kind,
        plugin_version: Some(PLUGIN_VERSION),
        title: title.to_owned(),
        description: String::new(),
        grid_pos: GridPos { h, w, x: 0, y: 0 },
        datasource: None,
        targets: Vec::new(),
        field_config: Some(FieldConfig::default()),
        options,
        transformations: Vec::new(),
        interval: None,
        max_data_points: None,
        time_from: None,
        hide_time_override: false,
        collapsed: None,
        panels: None,
    })
}

/// One large number, and if its query is one over time, its course and change.
pub(crate) fn stat(id: u32, title: &str, width: u32) -> Draft {
    let options = json!({
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
        "showPercentChange": false,
        "textMode": "auto",
        "wideLayout": false,
    });
    // No number is neither good nor bad, whatever the colour of zero.
    let none = json!({"type": "special", "options": {"match": "null", "result": {"color": "text", "index": 0}}});
    panel("stat", id, title, (width, 4), options).steps(PLAIN).value_mapping(none)
}

/// Rows and columns.
pub(crate) fn table(id: u32, title: &str, size: (u32, u32)) -> Draft {
    let options = json!({
        "cellHeight": "sm",
        "showHeader": true,
        "footer": {"show": false, "reducer": ["sum"], "countRows": false, "fields": ""},
        "sortBy": [],
    });
    // A table without rows says why; a cell without a value must not say it again. Only texts can be filtered: the funnel
    // would take the room of a number's name.
    panel("table", id, title, size, options)
        .steps(PLAIN)
        .custom("align", json!("auto"))
        .custom("cellOptions", json!({"type": "auto"}))
        .custom("wrapHeaderText", json!(true))
        .custom("minWidth", json!(60))
        .fields(".*", vec![nothing("–")])
        .kind("string", vec![Property { id: "custom.filterable", value: json!(true) }])
}

/// Lines over time.
pub(crate) fn lines(id: u32, title: &str, size: (u32, u32)) -> Draft {
    let options = json!({
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    });
    panel("timeseries", id, title, size, options)
        .custom("drawStyle", json!("line"))
        .custom("lineInterpolation", json!("stepAfter"))
        .custom("lineWidth", json!(2))
        .custom("fillOpacity", json!(0))
        .custom("showPoints", json!("never"))
        .custom("spanNulls", json!(false))
        .palette()
}

/// Areas upon each other over time.
pub(crate) fn areas(id: u32, title: &str, size: (u32, u32)) -> Draft {
    lines(id, title, size)
        .custom("fillOpacity", json!(60))
        .custom("lineWidth", json!(1))
        .custom("stacking", json!({"mode": "normal", "group": "A"}))
}

/// A bar a row of a table; `x` names the column with the names.
pub(crate) fn bar_chart(id: u32, title: &str, size: (u32, u32), x: &str) -> Draft {
    let options = json!({
        "xField": x,
        "orientation": "auto",
        "barWidth": 0.9,
        "groupWidth": 0.7,
        "showValue": "auto",
        "stacking": "none",
        "xTickLabelRotation": 0,
        "xTickLabelSpacing": 0,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "none"},
    });
    panel("barchart", id, title, size, options).custom("fillOpacity", json!(80)).palette()
}

/// The same with the bars of a row put upon each other. Grafana would print their numbers upon each other too.
pub(crate) fn stacked_bars(id: u32, title: &str, size: (u32, u32), x: &str) -> Draft {
    bar_chart(id, title, size, x).option("stacking", json!("normal")).option("showValue", json!("never"))
}

/// Bars side by side, a group of them a week: bars of a time series would hide each other.
pub(crate) fn weeks(id: u32, title: &str, size: (u32, u32)) -> Draft {
    bar_chart(id, title, size, "Time")
        .zero_based()
        .decimals(0)
        .step("1w")
        .joined("Time")
        .field("Time", vec![unit("time:D MMM")])
}

/// A horizontal bar a series, or a row of a table.
pub(crate) fn bar_gauge(id: u32, title: &str, size: (u32, u32), every_row: bool) -> Draft {
    let options = json!({
        "displayMode": "basic",
        "orientation": "horizontal",
        "namePlacement": "left",
        "valueMode": "color",
        "showUnfilled": true,
        "sizing": "auto",
        "minVizHeight": 16,
        "minVizWidth": 8,
        "maxVizHeight": 40,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": every_row},
    });
    panel("bargauge", id, title, size, options).steps(&[("blue", None)])
}

/// A band a thing, coloured by its state.
pub(crate) fn states(id: u32, title: &str, size: (u32, u32)) -> Draft {
    let options = json!({
        "mergeValues": true,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.8,
        "perPage": 25,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
        "tooltip": {"mode": "single", "sort": "none"},
    });
    panel("state-timeline", id, title, size, options).custom("fillOpacity", json!(75)).custom("lineWidth", json!(0))
}

/// Events, newest first, out of a query made with [`crate::query::with_line`]. A table, because Grafana's logs panel cannot say why it is
/// empty. `columns` are labels of the events, and what they are called.
pub(crate) fn events_table(id: u32, title: &str, size: (u32, u32), columns: &[(&str, &str)]) -> Draft {
    let mut all = vec![(query::EVENT_AT, "Time"), (query::EVENT_LINE, "Event")];
    all.extend(columns);
    all.push(("trace_id", "Trace"));
    let time = json!({"conversions": [{"targetField": query::EVENT_AT, "destinationType": "time"}], "fields": {}});
    table(id, title, size)
        .then("extractFields", json!({"source": "labels", "format": "json", "replace": true, "keepTime": false}))
        .then("convertFieldType", time)
        .columns(&all)
        .sorted("Time", true)
        .field("Time", vec![width(174)])
        .field("Event", vec![at_least(220), wrapped()])
        .field("Trace", trace_cells())
}

/// Words, in Markdown.
pub(crate) fn text(id: u32, title: &str, size: (u32, u32), content: &str) -> Draft {
    let options =
        json!({"mode": "markdown", "content": content, "code": {"language": "plaintext", "showLineNumbers": false}});
    let mut draft = panel("text", id, title, size, options);
    draft.0.field_config = None;
    draft
}

impl Draft {
    /// How its numbers are computed.
    pub(crate) fn rule(mut self, rule: impl Into<String>) -> Self {
        self.0.description.insert_str(0, &rule.into());
        self
    }

    /// Another size than usual.
    pub(crate) fn size(mut self, w: u32, h: u32) -> Self {
        self.0.grid_pos = GridPos { w, h, ..self.0.grid_pos };
        self
    }

    fn config(&mut self) -> &mut FieldConfig {
        self.0.field_config.get_or_insert_default()
    }

    fn defaults(mut self, set: impl FnOnce(&mut Defaults)) -> Self {
        set(&mut self.config().defaults);
        self
    }

    /// Why it may be empty, and where to look. A stat makes its text as large as fits, so that a sentence would be too small
    /// to read: it shows a few words, and its description says the rest.
    pub(crate) fn empty(self, why: impl Into<String>) -> Self {
        let why = why.into();
        if self.0.kind == "stat" && why.len() > SHORT { self.blank(NO_DATA, &why) } else { self.shown_when_empty(&why) }
    }

    /// The same with words of one's own for the tile.
    pub(crate) fn blank(mut self, shown: &str, why: &str) -> Self {
        let end = if why.ends_with(['.', '?']) { "" } else { "." };
        self.0.description.push_str(&format!("{WITHOUT}{why}{end}"));
        self.shown_when_empty(shown)
    }

    fn shown_when_empty(self, text: &str) -> Self {
        self.defaults(|defaults| defaults.no_value = text.to_owned())
    }

    pub(crate) fn unit(self, unit: &'static str) -> Self {
        self.defaults(|defaults| defaults.unit = Some(unit))
    }

    pub(crate) fn decimals(self, decimals: u8) -> Self {
        self.defaults(|defaults| defaults.decimals = Some(decimals))
    }

    pub(crate) fn zero_based(self) -> Self {
        self.defaults(|defaults| defaults.min = Some(0.0))
    }

    pub(crate) fn up_to(self, max: f64) -> Self {
        self.defaults(|defaults| defaults.max = Some(max))
    }

    /// Colours by value.
    pub(crate) fn steps(self, steps: Steps<'_>) -> Self {
        self.defaults(|defaults| {
            defaults.thresholds = Some(thresholds(steps));
            defaults.color = Some(Color { mode: "thresholds", fixed_color: None });
        })
    }

    fn palette(self) -> Self {
        self.defaults(|defaults| defaults.color = Some(Color { mode: "palette-classic", fixed_color: None }))
    }

    /// Calls every series of texts by one of its labels. An override, because Grafana 12 names the parts of a partition itself.
    pub(crate) fn named_by_label(self, attribute: &str) -> Self {
        self.kind("string", vec![display_name(&format!("${{__field.labels[\"{attribute}\"]}}"))])
    }

    /// Calls every row by one of its columns. Without it, Grafana leaves the name off where there is one row only.
    pub(crate) fn named_by_column(self, column: &str) -> Self {
        self.defaults(|defaults| defaults.display_name = format!("${{__data.fields.{column}}}"))
    }

    /// How all columns or series of a kind look: `string`, `number`, `time`.
    pub(crate) fn kind(mut self, kind: &str, properties: Vec<Property>) -> Self {
        let matcher = Matcher { id: "byType", options: kind.to_owned() };
        self.config().overrides.push(Override { matcher, properties });
        self
    }

    /// Words and colours for values.
    pub(crate) fn value_mapping(self, mapping: Value) -> Self {
        self.defaults(|defaults| defaults.mappings.push(mapping))
    }

    /// The link a click on any value opens.
    pub(crate) fn link(self, title: &'static str, url: impl Into<String>) -> Self {
        let url = url.into();
        self.defaults(|defaults| defaults.links.push(link(title, url)))
    }

    /// A field option that only this kind of panel has.
    pub(crate) fn custom(self, name: &'static str, value: Value) -> Self {
        self.defaults(|defaults| drop(defaults.custom.insert(name, value)))
    }

    /// Sets an option of the panel.
    pub(crate) fn option(mut self, name: &str, value: Value) -> Self {
        if let Some(options) = self.0.options.as_object_mut() {
            options.insert(name.to_owned(), value);
        }
        self
    }

    /// A stat without a course: its query is asked at one moment.
    pub(crate) fn no_course(self) -> Self {
        self.option("graphMode", json!("none"))
    }

    /// Sorts a table by a column as it is shown.
    pub(crate) fn sorted(self, column: &str, descending: bool) -> Self {
        self.option("sortBy", json!([{"displayName": column, "desc": descending}]))
    }

    /// How one column or series looks.
    pub(crate) fn field(mut self, name: &str, properties: Vec<Property>) -> Self {
        let matcher = Matcher { id: "byName", options: name.to_owned() };
        self.config().overrides.push(Override { matcher, properties });
        self
    }

    /// How those look whose names match a pattern.
    pub(crate) fn fields(mut self, pattern: &str, properties: Vec<Property>) -> Self {
        let matcher = Matcher { id: "byRegexp", options: format!("/{pattern}/") };
        self.config().overrides.push(Override { matcher, properties });
        self
    }

    /// One more query.
    pub(crate) fn ask(mut self, target: Target) -> Self {
        let source = match &target {
            Target::Prometheus(_) => PROMETHEUS,
            Target::Loki(_) => LOKI,
            Target::Tempo(_) => TEMPO,
            Target::Panel(_) => PANEL,
        };
        self.0.datasource = match self.0.datasource.take() {
            Some(other) if other != source => Some(MIXED),
            _ => Some(source),
        };
        self.0.targets.push(target);
        self
    }

    pub(crate) fn step(mut self, interval: &'static str) -> Self {
        self.0.interval = Some(interval);
        self
    }

    pub(crate) fn points(mut self, most: u32) -> Self {
        self.0.max_data_points = Some(most);
        self
    }

    /// Queries a time range of its own, back from now.
    pub(crate) fn lately(mut self, range: &'static str) -> Self {
        self.0.time_from = Some(range);
        self.0.hide_time_override = true;
        self
    }

    /// One more step between answer and picture.
    pub(crate) fn then(mut self, id: &'static str, options: Value) -> Self {
        self.0.transformations.push(Transformation { id, options });
        self
    }

    /// Unites the answers of several queries into one table, by a column they share.
    pub(crate) fn joined(self, column: &str) -> Self {
        self.then("joinByField", json!({"byField": column, "mode": "outer"}))
    }

    /// Reads columns of spans as numbers: Grafana takes all attributes for text.
    pub(crate) fn numbers(self, columns: &[&str]) -> Self {
        let conversions: Vec<Value> =
            columns.iter().map(|column| json!({"targetField": column, "destinationType": "number"})).collect();
        self.then("convertFieldType", json!({"conversions": conversions, "fields": {}}))
    }

    /// Keeps these columns, in this order, under these names. A column that keeps its name is not renamed: Grafana calls the
    /// bars of a bar gauge by their row's texts only while nobody has named the numbers.
    pub(crate) fn columns(self, columns: &[(&str, &str)]) -> Self {
        let names: Vec<&str> = columns.iter().map(|(from, _)| *from).collect();
        let order: Map<String, Value> =
            columns.iter().enumerate().map(|(place, (from, _))| ((*from).to_owned(), json!(place))).collect();
        let rename: Map<String, Value> =
            columns.iter().filter(|(from, to)| from != to).map(|(from, to)| ((*from).to_owned(), json!(to))).collect();
        self.then("filterFieldsByName", json!({"include": {"names": names}}))
            .then("organize", json!({"excludeByName": {}, "indexByName": order, "renameByName": rename}))
    }

    /// Keeps the rows whose column equals one of these.
    pub(crate) fn only(self, column: &str, values: &[&str]) -> Self {
        self.filtered("include", column, values)
    }

    /// Removes the rows whose column equals one of these.
    pub(crate) fn without(self, column: &str, values: &[&str]) -> Self {
        self.filtered("exclude", column, values)
    }

    fn filtered(self, kind: &str, column: &str, values: &[&str]) -> Self {
        let filters: Vec<Value> = values
            .iter()
            .map(|value| json!({"fieldName": column, "config": {"id": "equal", "options": {"value": value}}}))
            .collect();
        self.then("filterByValue", json!({"type": kind, "match": "any", "filters": filters}))
    }

    /// Keeps the rows that have a value in a column.
    pub(crate) fn having(self, column: &str) -> Self {
        let filter = json!({"fieldName": column, "config": {"id": "isNotNull", "options": {}}});
        self.then("filterByValue", json!({"type": "include", "match": "any", "filters": [filter]}))
    }

    /// Adds a column: another one in days instead of seconds.
    pub(crate) fn days(self, seconds: &str, days: &str) -> Self {
        let binary = json!({"left": seconds, "operator": "/", "right": DAY.to_string()});
        self.then("calculateField", json!({"mode": "binary", "alias": days, "binary": binary, "replaceFields": false}))
    }

    /// Keeps the first columns in sight while the others are scrolled (Grafana 12; others ignore it).
    pub(crate) fn frozen(self, columns: u8) -> Self {
        self.option("frozenColumns", json!({"left": columns}))
    }

    /// A tile that tests something: nothing is bad.
    pub(crate) fn nothing_is_bad(self) -> Self {
        self.defaults(|defaults| defaults.mappings.clear())
    }

    #[cfg(test)]
    pub(crate) fn done(self) -> Panel {
        self.0
    }
}

/// Seconds of a day.
const DAY: u32 = 86_400;
/// The unit of how long work takes. Grafana's own `s` would say weeks of some and hours of others, which no eye compares.
pub(crate) const DAYS: &str = "suffix:d";

/// PromQL: seconds as days.
pub(crate) fn in_days(seconds: &str) -> String {
    format!("({seconds}) / {DAY}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_that_asks_two_servers_is_mixed() {
        let panel = table(1, "t", (1, 1)).ask(rows("A", "x".into())).ask(spans("B", "{}".into(), 1)).done();
        assert_eq!(panel.datasource, Some(MIXED));
    }
}
