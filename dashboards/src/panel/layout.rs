//! Where panels stand: sections under headings, from left to right, then down.

use serde_json::Value;

use super::{Draft, panel};
use crate::model::{GridPos, Panel};

/// Number of columns in Grafana's grid.
const COLUMNS: u32 = 24;

/// Panels under a heading.
pub(crate) struct Section {
    id: u32,
    title: &'static str,
    folded: bool,
    panels: Vec<Draft>,
}

/// Panels under a heading; none for the first, which is the header.
pub(crate) fn section(id: u32, title: &'static str, panels: Vec<Draft>) -> Section {
    Section { id, title, folded: false, panels }
}

/// The same, folded away at first: its queries are not asked until it is opened.
pub(crate) fn folded(id: u32, title: &'static str, panels: Vec<Draft>) -> Section {
    Section { id, title, folded: true, panels }
}

/// Gives every panel its place: from left to right, then down, each section under its heading.
pub(crate) fn page(sections: Vec<Section>) -> Vec<Panel> {
    let mut all = Vec::new();
    let mut y = 0;
    for Section { id, title, folded, panels } in sections {
        let heading = (!title.is_empty()).then(|| heading(id, title, y));
        let (placed, next) = flow(panels, y + u32::from(heading.is_some()));
        let below = y + 1;
        y = next;
        match heading {
            Some(heading) if folded => {
                all.push(Panel { collapsed: Some(true), panels: Some(placed), ..heading });
                y = below;
            }
            heading => {
                all.extend(heading);
                all.extend(placed);
            }
        }
    }
    all
}

fn heading(id: u32, title: &str, y: u32) -> Panel {
    let Draft(panel) = panel("row", id, title, (COLUMNS, 1), Value::Null);
    Panel {
        grid_pos: GridPos { y, ..panel.grid_pos },
        field_config: None,
        plugin_version: None,
        collapsed: Some(false),
        panels: Some(Vec::new()),
        ..panel
    }
}

/// Places panels from `y` on; says where the next may begin.
fn flow(panels: Vec<Draft>, mut y: u32) -> (Vec<Panel>, u32) {
    let (mut x, mut height) = (0, 0);
    let mut placed = Vec::new();
    for Draft(panel) in panels {
        let GridPos { w, h, .. } = panel.grid_pos;
        if x + w > COLUMNS {
            (x, y, height) = (0, y + height, 0);
        }
        placed.push(Panel { grid_pos: GridPos { h, w, x, y }, ..panel });
        (x, height) = (x + w, height.max(h));
    }
    (placed, y + height)
}

#[cfg(test)]
mod tests {
    use super::super::stat;
    use super::*;

    #[test]
    fn panels_flow_and_never_overlap() {
        let some = || vec![stat(1, "a", 16), stat(2, "b", 8), stat(3, "c", 4)];
        let panels = page(vec![section(0, "", some()), folded(90, "more", some()), section(91, "last", some())]);
        let places: Vec<_> = panels.iter().map(|panel| (panel.kind, panel.grid_pos.x, panel.grid_pos.y)).collect();
        assert_eq!(
            places,
            [
                ("stat", 0, 0),
                ("stat", 16, 0),
                ("stat", 0, 4),
                ("row", 0, 8),
                ("row", 0, 9),
                ("stat", 0, 10),
                ("stat", 16, 10),
                ("stat", 0, 14)
            ]
        );
    }
}
