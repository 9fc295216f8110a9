//! At 1,366 px, with Grafana's menu docked, no title, no header of a column, no age and no first column is cut.
//!
//! Read [`Sheet`]: the columns of a table with the widths that Grafana gives them. Texts are measured with the advance widths of
//! Inter, Grafana's font (`inter.txt`), as the widest browser draws them: on Linux, with hinted fonts. The other numbers are those of
//! Grafana 12.2: `PanelChrome`, `TableNG` and the grid.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod sample;

use std::collections::BTreeMap;

use contextcore_dashboards::model::{Dashboard, Panel, Property};
use serde_json::Value;

/// What is left of 1,366 px beside the docked menu.
const CONTENT: f64 = 1_030.0;
const COLUMNS: f64 = 24.0;
const GAP: f64 = 8.0;
const FONT: f64 = 14.0;
/// Between letters, in px.
const SPACING: f64 = 0.15;
/// Border of a panel, padding of its title, the icon of its description, the button of its menu.
const FRAME: f64 = 2.0;
const TITLE_PADDING: f64 = 16.0;
const INFO: f64 = 32.0;
const MENU: f64 = 26.0;
/// What a table's body has less than its panel: border, padding and scroll bar.
const AROUND_TABLE: f64 = FRAME + 16.0 + 10.0;
/// Padding and border of a cell.
const CELL: f64 = 13.0;
/// An icon in a header, with its gap.
const FUNNEL: f64 = 20.0;
const ARROW: f64 = 22.0;

/// The widths of characters: regular and medium.
struct Font(BTreeMap<char, [f64; 2]>);

#[derive(Clone, Copy)]
enum Weight {
    Regular,
    Medium,
}

impl Font {
    fn inter() -> Self {
        let lines = include_str!("inter.txt").lines().filter(|line| !line.starts_with('#'));
        let widths = lines.map(|line| {
            let mut parts = line.split(' ');
            let code = u32::from_str_radix(parts.next().unwrap(), 16).unwrap();
            let mut width = || parts.next().unwrap().parse::<f64>().unwrap() / 2_048.0;
            (char::from_u32(code).unwrap(), [width(), width()])
        });
        Self(widths.collect())
    }

    fn width(&self, text: &str, weight: Weight) -> f64 {
        let widest = |place: usize| self.0.values().map(|widths| widths[place]).fold(0.0, f64::max);
        let of = |c: char| self.0.get(&c).map_or_else(|| widest(weight as usize), |widths| widths[weight as usize]);
        // Where fonts are hinted, each character takes whole px: "Assignee" is 67 px wide in Chromium on Linux, not 63.
        text.chars().map(|c| (of(c) * FONT).ceil() + SPACING).sum()
    }

    /// The width of the longest part that is never broken.
    fn longest(&self, text: &str, weight: Weight) -> f64 {
        text.split_inclusive([' ', '-']).map(|word| self.width(word.trim(), weight)).fold(0.0, f64::max)
    }
}

/// The width of a panel in px.
fn panel_width(panel: &Panel) -> f64 {
    let column = (CONTENT - GAP * (COLUMNS - 1.0)) / COLUMNS;
    let w = f64::from(panel.grid_pos.w);
    w.mul_add(column, (w - 1.0) * GAP)
}

#[test]
fn no_title_is_cut() {
    let font = Font::inter();
    let mut cut = Vec::new();
    for (name, dashboard) in sample::all() {
        for panel in dashboard.all_panels().filter(|panel| panel.kind != "row") {
            let icons = if panel.description.is_empty() { MENU } else { INFO + MENU };
            let room = panel_width(panel) - FRAME - TITLE_PADDING - icons;
            let needed = font.width(&panel.title, Weight::Medium);
            if needed > room {
                cut.push(format!("{name}: {} needs {needed:.0} px of {room:.0}", panel.title));
            }
        }
    }
    assert!(cut.is_empty(), "{cut:#?}");
}

/// A table as Grafana lays it out.
struct Sheet<'a> {
    panel: &'a Panel,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    is_text: bool,
    /// A length of time.
    is_age: bool,
    wraps: bool,
    sorted: bool,
    /// Digits after the point.
    decimals: u64,
    unit: String,
    width: f64,
}

impl Sheet<'_> {
    fn all(dashboard: &Dashboard) -> Vec<Sheet<'_>> {
        dashboard.all_panels().filter(|panel| panel.kind == "table").map(Sheet::of).collect()
    }

    fn of(panel: &Panel) -> Sheet<'_> {
        let hidden = |name: &str| property(panel, name, false, "custom.hidden").is_some_and(|value| value == true);
        let names: Vec<(String, bool)> = columns(panel).into_iter().filter(|(name, _)| !hidden(name)).collect();
        let fixed =
            |name: &str, is_text| property(panel, name, is_text, "custom.width").and_then(|value| value.as_f64());
        let room = panel_width(panel) - AROUND_TABLE;
        let defined: f64 = names.iter().filter_map(|(name, is_text)| fixed(name, *is_text)).sum();
        let free = names.iter().filter(|(name, is_text)| fixed(name, *is_text).is_none()).count();
        let share = (room - defined) / free.max(1) as f64;
        let columns = names.into_iter().map(|(name, is_text)| {
            let get = |id: &str| property(panel, &name, is_text, id);
            let least = get("custom.minWidth").and_then(|value| value.as_f64()).unwrap_or(60.0);
            let defaults = &panel.field_config.as_ref().unwrap().defaults;
            let unit = get("unit").and_then(|unit| Some(unit.as_str()?.to_owned()));
            let unit = unit.or_else(|| defaults.unit.map(str::to_owned)).unwrap_or_default();
            Column {
                is_age: ["s", "suffix:d", "dateTimeFromNow"].contains(&&*unit),
                wraps: get("custom.wrapText").is_some_and(|value| value == true),
                sorted: panel.options["sortBy"][0]["displayName"] == *name,
                decimals: get("decimals")
                    .and_then(|value| value.as_u64())
                    .or(defaults.decimals.map(u64::from))
                    .unwrap_or(0),
                width: fixed(&name, is_text).unwrap_or(least.max(share)),
                unit,
                is_text,
                name,
            }
        });
        Sheet { panel, columns: columns.collect() }
    }

    fn room(&self) -> f64 {
        panel_width(self.panel) - AROUND_TABLE
    }
}

/// The columns of a table in their order, and whether each holds text.
fn columns(panel: &Panel) -> Vec<(String, bool)> {
    let numbers = serde_json::to_string(&panel.transformations).unwrap();
    let organize = panel.transformations.iter().rfind(|step| step.id == "organize").expect(&panel.title);
    let (order, renamed) = (&organize.options["indexByName"], &organize.options["renameByName"]);
    let mut all: Vec<(&String, u64)> =
        order.as_object().unwrap().iter().map(|(name, place)| (name, place.as_u64().unwrap())).collect();
    all.sort_by_key(|(_, place)| *place);
    let of = |from: &String| {
        let converted = format!("{{\"destinationType\":\"number\",\"targetField\":\"{from}\"}}");
        let computed = format!("\"alias\":\"{from}\"");
        let is_number =
            from.starts_with("Value") || is_hour(from) || numbers.contains(&converted) || numbers.contains(&computed);
        (renamed[from].as_str().unwrap_or(from).to_owned(), !is_number)
    };
    all.into_iter().map(|(from, _)| of(from)).collect()
}

/// A column of the heat map.
fn is_hour(name: &str) -> bool {
    name.len() == 2 && name.chars().all(|c| c.is_ascii_digit())
}

/// A property of a column: of the last override that sets it.
fn property(panel: &Panel, column: &str, is_text: bool, id: &str) -> Option<Value> {
    let config = panel.field_config.as_ref().unwrap();
    let matches = |kind: &str, options: &str| match kind {
        "byName" => options == column,
        "byType" => options == "string" && is_text,
        _ => is_match(options.trim_matches('/'), column),
    };
    let mut found: Vec<&Property> = Vec::new();
    for rule in config.overrides.iter().filter(|rule| matches(rule.matcher.id, &rule.matcher.options)) {
        found.extend(rule.properties.iter().filter(|property| property.id == id));
    }
    found
        .last()
        .map(|property| property.value.clone())
        .or_else(|| config.defaults.custom.get(id.strip_prefix("custom.")?).cloned())
}

/// The patterns of our overrides: everything, one of some names, or an hour.
fn is_match(pattern: &str, name: &str) -> bool {
    let names = pattern.strip_prefix("^(").and_then(|rest| rest.strip_suffix(")$"));
    match names {
        Some(names) => names.split('|').any(|other| other == name),
        None if pattern == ".*" => true,
        None if pattern == "^[0-2][0-9]$" => is_hour(name),
        None => panic!("a pattern that this test does not know: {pattern}"),
    }
}

/// The widest value of a column that is to be seen whole.
fn sample(column: &Column, is_first: bool) -> Option<String> {
    let number = |whole: &str| match column.decimals {
        0 => whole.to_owned(),
        more => format!("{whole}.{}", "8".repeat(usize::try_from(more).unwrap())),
    };
    match &*column.unit {
        "s" => Some(format!("{} weeks", number("48"))),
        "suffix:d" => Some(format!("{}d", number("288"))),
        "percent" => Some(format!("-{}%", number("100"))),
        "dateTimeFromNow" => Some("10 months ago".to_owned()),
        // An hour of the heat map shows by its colour.
        _ if is_hour(&column.name) => Some("88".to_owned()),
        _ if !column.is_text => Some(number("8888")),
        _ if !is_first => None,
        _ => Some(match &*column.name {
            "Task" | "Epic" => "STOREFRONT-1234".to_owned(),
            "Time" => "2026-08-28 08:48:48".to_owned(),
            "Day" => "Wed".to_owned(),
            "Signal" => "metrics".to_owned(),
            _ => "Commerce Platform".to_owned(),
        }),
    }
}

#[test]
fn no_header_no_age_and_no_first_column_is_cut() {
    let font = Font::inter();
    let mut cut = Vec::new();
    for (name, dashboard) in sample::all() {
        for sheet in Sheet::all(&dashboard) {
            for (place, column) in sheet.columns.iter().enumerate() {
                let icons = if column.is_text { FUNNEL } else { 0.0 } + if column.sorted { ARROW } else { 0.0 };
                let header = font.longest(&column.name, Weight::Medium) + icons;
                let value = sample(column, place == 0).map_or(0.0, |text| match column.wraps {
                    true => font.longest(&text, Weight::Regular),
                    false => font.width(&text, Weight::Regular),
                });
                let (needed, room) = (header.max(value) + CELL, column.width);
                if needed > room {
                    let title = &sheet.panel.title;
                    cut.push(format!("{name}: {title}: {} needs {needed:.0} px of {room:.0}", column.name));
                }
            }
        }
    }
    assert!(cut.is_empty(), "{cut:#?}");
}

/// A table may be scrolled, but not to see how old something is.
#[test]
fn ages_are_in_sight() {
    let mut out = Vec::new();
    for (name, dashboard) in sample::all() {
        for sheet in Sheet::all(&dashboard) {
            let last = sheet.columns.iter().rposition(|column| column.is_age).map_or(1, |place| place + 1);
            let needed: f64 = sheet.columns[..last].iter().map(|column| column.width).sum();
            if needed > sheet.room() + 0.5 {
                out.push(format!("{name}: {}: {needed:.0} px of {:.0}", sheet.panel.title, sheet.room()));
            }
        }
    }
    assert!(out.is_empty(), "{out:#?}");
}

/// Only the widest tables may be scrolled, and those keep their first column in sight.
#[test]
fn tables_that_are_scrolled_keep_their_first_column() {
    for (name, dashboard) in sample::all() {
        for sheet in Sheet::all(&dashboard) {
            let needed: f64 = sheet.columns.iter().map(|column| column.width).sum();
            let frozen = sheet.panel.options["frozenColumns"]["left"] == 1;
            let title = &sheet.panel.title;
            assert!(needed <= sheet.room() + 0.5 || frozen, "{name}: {title}: {needed:.0} px of {:.0}", sheet.room());
        }
    }
}

#[test]
fn texts_are_measured_as_grafana_draws_them() {
    let font = Font::inter();
    // What Grafana 12.2 shows in Chromium on Linux.
    assert!((font.width("Assignee", Weight::Medium) - 67.0).abs() < 0.5);
    assert!(font.width("Blocked", Weight::Medium) > font.width("Blocked", Weight::Regular));
    assert!(font.longest("Oldest block", Weight::Medium) < font.width("Oldest block", Weight::Medium));
}
