//! What a Grafana 12.2 with real backends showed, as rules over the dashboards: what it does not draw, and what contradicts what
//! stands beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod sample;

use contextcore_dashboards::dashboards;
use contextcore_dashboards::model::{Panel, Target};

/// Every panel with the name of its dashboard and its own.
fn each(mut check: impl FnMut(&str, &Panel)) {
    for (name, dashboard) in sample::all() {
        for panel in dashboard.all_panels().filter(|panel| panel.kind != "row") {
            check(&format!("{name}: {}", panel.title), panel);
        }
    }
}

fn panel(dashboard: usize, id: u32) -> Panel {
    let (_, dashboard) = dashboards().into_iter().nth(dashboard).unwrap();
    dashboard.all_panels().find(|panel| panel.id == id).unwrap().clone()
}

fn text(panel: &Panel) -> String {
    serde_json::to_string(panel).unwrap()
}

/// Without streaming, Grafana asks Tempo for the first target of a panel alone.
#[test]
fn a_panel_asks_tempo_once() {
    each(|name, panel| {
        let asked = panel.targets.iter().filter(|target| matches!(target, Target::Tempo(_))).count();
        assert!(asked <= 1, "{name}: {asked} queries");
    });
}

/// A bar gauge of one row has no name unless the panel gives one.
#[test]
fn a_bar_of_a_row_has_its_name_even_alone() {
    each(|name, panel| {
        let is_by_row = panel.kind == "bargauge" && panel.options["reduceOptions"]["values"] == true;
        assert!(!is_by_row || text(panel).contains("\"displayName\":\"${__data.fields."), "{name}");
    });
}

/// Tiles of several values have their names above them: beside them, a wide screen draws them small.
#[test]
fn tiles_put_names_above_values() {
    each(|name, panel| assert!(panel.kind != "stat" || panel.options["wideLayout"] == false, "{name}"));
}

/// The timeline needs the present too, and has it from a panel that asks for it whatever the board shows.
#[test]
fn the_timeline_takes_the_present_from_a_panel_that_only_epics_filter() {
    let timeline = panel(1, 70);
    let taken = timeline.targets.iter().find_map(|target| match target {
        Target::Panel(target) => Some(target.panel_id),
        _ => None,
    });
    let source = panel(1, taken.unwrap());
    let query = source.targets[0].query().unwrap().to_owned();
    assert!(query.contains("\"snapshot\"") && query.contains("most_recent=true"), "{query}");
    assert!(query.contains("$epic") && !query.contains("$assignee") && !query.contains("$type"), "{query}");
    let past = timeline.targets[0].query().unwrap();
    for role in ["\"phase\"", "\"completion\"", "\"task\""] {
        assert!(past.contains(role), "{past}");
    }
}

/// Grafana's logs panel has no text of ours when it is empty.
#[test]
fn every_panel_can_say_why_it_is_empty() {
    each(|name, panel| assert!(panel.kind != "logs", "{name}"));
    // An empty answer of Loki has columns, which a table would show without a word; replaced by labels it has none.
    for (dashboard, id) in [(0, 41), (1, 80)] {
        let events = panel(dashboard, id);
        assert_eq!(events.transformations[0].id, "extractFields");
        assert_eq!(events.transformations[0].options["replace"], true);
        assert_eq!(events.transformations[0].options["keepTime"], false);
    }
}

#[test]
fn bars_upon_each_other_print_no_numbers() {
    each(|name, panel| {
        let stacked = panel.options["stacking"].as_str().is_some_and(|stacking| stacking != "none");
        assert!(!stacked || panel.options["showValue"] == "never", "{name}");
    });
    assert_eq!(panel(0, 31).options["stacking"], "normal");
}

/// A range query ends at its last whole step.
#[test]
fn courses_of_long_steps_end_now() {
    let mut seen = 0;
    each(|name, panel| {
        // The scatter's lines are over thirty days each, and its points have times of their own.
        let long = panel.interval.is_some_and(|step| ["1h", "6h", "1d"].contains(&step));
        if panel.kind != "timeseries" || !long || panel.title.starts_with("Cycle time") {
            return;
        }
        let count = |instant: bool| {
            let is = |target: &&Target| matches!(target, Target::Prometheus(target) if target.instant == instant);
            panel.targets.iter().filter(is).count()
        };
        assert!(count(true) == count(false) && count(true) > 0, "{name}");
        seen += 1;
    });
    assert_eq!(seen, 7);
}

/// The tile counts with the newest export; so does the last day of the course beside it.
#[test]
fn the_course_of_health_ends_with_what_the_tile_says() {
    let tile = panel(0, 3).targets[0].query().unwrap().to_owned();
    let course = panel(0, 7);
    assert!(course.targets.iter().any(|target| target.query() == Some(&tile)));
}

#[test]
fn projects_and_traces_are_shown_by_name() {
    each(|name, panel| {
        for step in panel.transformations.iter().filter(|step| step.id == "organize") {
            for id in ["project_id", "sprint_id"] {
                let shown = step.options["renameByName"][id].as_str().unwrap_or("Id");
                assert_eq!(shown, "Id", "{name}: {id} is shown");
            }
        }
        if text(panel).contains("traceIdHidden") && panel.kind == "table" {
            assert!(text(panel).contains(r#""pattern":"^.+$""#), "{name}: a trace id is shown");
        }
    });
}

#[test]
fn marks_are_on_the_charts_of_the_sprint_only_and_are_asked_for_once() {
    let mut marks = 0;
    for (_, dashboard) in sample::all() {
        for mark in &dashboard.annotations.list {
            assert!(!mark.filter.exclude && !mark.filter.ids.is_empty(), "{}", mark.name);
            for id in &mark.filter.ids {
                let panel = dashboard.all_panels().find(|panel| panel.id == *id).unwrap();
                assert!(["Burndown", "Burn-up"].contains(&&*panel.title), "{}", panel.title);
            }
            let json = serde_json::to_string(mark).unwrap();
            assert_eq!(json.matches("service_name").count(), 1, "{json}");
            marks += 1;
        }
    }
    assert_eq!(marks, 1);
}

/// The link of a closed sprint leads to its own days, in which it is over.
#[test]
fn tiles_of_a_sprint_look_through_the_whole_range() {
    for id in [5, 6] {
        let tile = panel(1, id);
        assert!(text(&tile).contains("[$__range"), "{}", tile.title);
    }
}

/// A board asks for the last two hours; a task's history is older.
#[test]
fn explore_opens_over_all_history() {
    let mut links = 0;
    each(|name, panel| {
        for link in text(panel).split("/explore?").skip(1) {
            assert!(!link.split('"').next().unwrap().contains("__from"), "{name}");
            links += 1;
        }
    });
    assert!(links > 5, "{links}");
}

/// Of two running sprints the command line takes the one that began last.
#[test]
fn of_two_running_sprints_the_last_to_begin_comes_first() {
    let (_, project) = &dashboards()[1];
    let sprint = project.templating.list.iter().find(|variable| variable.name == "sprint").unwrap();
    assert!(sprint.definition.contains("1e12 * ") && sprint.definition.contains("min_over_time(timestamp("));
}

#[test]
fn the_tile_of_export_lag_turns_red() {
    let (_, health) = &dashboards()[2];
    let tile = health.all_panels().find(|panel| panel.kind == "stat" && panel.title == "Export lag").unwrap();
    let steps = &tile.field_config.as_ref().unwrap().defaults.thresholds.as_ref().unwrap().steps;
    let red = steps.iter().find(|step| step.color == "red").unwrap().value.unwrap();
    assert!(red < 1_800.0, "a Loki that has been dead for half an hour is red: {red}");
}
