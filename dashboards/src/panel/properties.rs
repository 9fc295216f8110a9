//! How columns, series and values look: the properties of overrides, and words and colours.

use serde_json::{Map, Value, json};

use crate::links;
use crate::model::{DataLink, Property, Step, Thresholds};

use super::Steps;

pub(super) fn link(title: &'static str, url: String) -> DataLink {
    DataLink { title, target_blank: url.starts_with("${__data"), url }
}

pub(super) fn thresholds(steps: Steps<'_>) -> Thresholds {
    Thresholds { mode: "absolute", steps: steps.iter().map(|(color, value)| Step { color, value: *value }).collect() }
}

/// A property of a column: what a cell without a value shows.
pub(crate) fn nothing(text: &str) -> Property {
    Property { id: "noValue", value: json!(text) }
}

/// A property of a column: its unit.
pub(crate) fn unit(unit: &str) -> Property {
    Property { id: "unit", value: json!(unit) }
}

/// A property of a column: digits after the point.
pub(crate) fn decimals(decimals: u8) -> Property {
    Property { id: "decimals", value: json!(decimals) }
}

/// A property of a series: what it is called.
pub(crate) fn display_name(name: &str) -> Property {
    Property { id: "displayName", value: json!(name) }
}

/// A property of a column: its width.
pub(crate) fn width(width: u32) -> Property {
    Property { id: "custom.width", value: json!(width) }
}

/// A property of a column: no narrower than this, and wider where there is room.
pub(crate) fn at_least(width: u32) -> Property {
    Property { id: "custom.minWidth", value: json!(width) }
}

/// A property of a column: its texts take several lines rather than being cut.
pub(crate) fn wrapped() -> Property {
    Property { id: "custom.wrapText", value: json!(true) }
}

/// A property of a column: hidden, because only links use it.
pub(crate) fn hidden() -> Vec<Property> {
    vec![
        Property { id: "custom.hidden", value: json!(true) },
        Property { id: "custom.hideFrom", value: json!({"viz": true, "legend": false, "tooltip": false}) },
    ]
}

/// Properties of a column that Grafana would hide by itself: it is seen.
fn seen() -> Vec<Property> {
    vec![
        Property { id: "custom.hidden", value: json!(false) },
        Property { id: "custom.hideFrom", value: json!({"viz": false, "legend": false, "tooltip": false}) },
    ]
}

/// A property of a column: words and colours for its values.
pub(crate) fn value_mapping(mapping: &Value) -> Property {
    Property { id: "mappings", value: json!([mapping]) }
}

/// Properties of a column: its background is coloured by value.
pub(crate) fn background(steps: Steps<'_>) -> Vec<Property> {
    vec![
        Property { id: "thresholds", value: json!(thresholds(steps)) },
        Property { id: "color", value: json!({"mode": "thresholds"}) },
        Property { id: "custom.cellOptions", value: json!({"type": "color-background", "mode": "basic"}) },
    ]
}

/// Properties of a column: its text is coloured by value.
pub(crate) fn coloured(steps: Steps<'_>) -> Vec<Property> {
    vec![
        Property { id: "thresholds", value: json!(thresholds(steps)) },
        Property { id: "color", value: json!({"mode": "thresholds"}) },
        Property { id: "custom.cellOptions", value: json!({"type": "color-text"}) },
    ]
}

/// Properties of a column: a bar from 0 to `max`.
pub(crate) fn gauge(max: f64) -> Vec<Property> {
    vec![
        Property { id: "min", value: json!(0) },
        Property { id: "max", value: json!(max) },
        Property { id: "color", value: json!({"mode": "fixed", "fixedColor": "blue"}) },
        Property {
            id: "custom.cellOptions",
            value: json!({"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}),
        },
    ]
}

/// A property of a series: its colour.
pub(crate) fn colour(colour: &str) -> Property {
    Property { id: "color", value: json!({"mode": "fixed", "fixedColor": colour}) }
}

/// A property of a series: straight from point to point.
pub(crate) fn straight() -> Property {
    Property { id: "custom.lineInterpolation", value: json!("linear") }
}

/// A property of a series: points, and no line.
pub(crate) fn points_only() -> Property {
    Property { id: "custom.drawStyle", value: json!("points") }
}

/// A property of a series: dashes.
pub(crate) fn dashed() -> Property {
    Property { id: "custom.lineStyle", value: json!({"fill": "dash", "dash": [8, 6]}) }
}

/// A property of a column: the link a click opens.
pub(crate) fn to(title: &'static str, url: impl Into<String>) -> Property {
    Property { id: "links", value: json!([link(title, url.into())]) }
}

/// Properties of a column of trace ids, which Grafana would hide by itself: a word that opens the trace.
pub(crate) fn trace_cells() -> Vec<Property> {
    let word = json!({"type": "regex", "options": {"pattern": "^.+$", "result": {"text": "open", "index": 0}}});
    let mut cells = vec![to("Open the trace", links::trace()), value_mapping(&word), width(78)];
    cells.extend(seen());
    cells
}

/// Words and colours for texts, in order.
pub(crate) fn mapping(words: &[(&str, &str, &str)]) -> Value {
    let options: Map<String, Value> = words
        .iter()
        .enumerate()
        .map(|(index, (value, text, color))| {
            ((*value).to_owned(), json!({"text": text, "color": color, "index": index}))
        })
        .collect();
    json!({"type": "value", "options": options})
}

/// The colour of what is to do: seen on light and dark, and no competition for what is in progress.
pub(crate) const TODO: &str = "#7F8FA9";

/// The colour of areas that neither please nor alarm: the colour of text would be black on light.
pub(crate) const NEUTRAL: &str = "#A7ABB8";

/// The statuses, coloured alike everywhere.
pub(crate) fn statuses() -> Value {
    mapping(&[
        ("backlog", "backlog", NEUTRAL),
        ("todo", "todo", TODO),
        ("in_progress", "in progress", "blue"),
        ("in_review", "in review", "purple"),
        ("blocked", "blocked", "red"),
        ("done", "done", "green"),
        ("cancelled", "cancelled", "semi-dark-orange"),
    ])
}
