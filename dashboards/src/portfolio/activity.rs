//! What happened: events by weekday and hour, and the latest.

use contextcore_model::semconv as names;
use serde_json::json;

use crate::links;
use crate::model::Property;
use crate::panel::{Draft, at_least, counts, events, events_table, mapping, table, to, value_mapping, width, wrapped};
use crate::query::{Selector, with_line};

/// What happened in the projects chosen.
fn happened() -> String {
    Selector::all().equal(names::SERVICE_NAME, "contextcore").like(names::PROJECT_ID, "$project").text()
}

/// A weekday that sorts, in LogQL.
const WEEKDAY: &str = r#"{{ __timestamp__ | date "Mon" | replace "Mon" "1 Mon" | replace "Tue" "2 Tue" | replace "Wed" "3 Wed" | replace "Thu" "4 Thu" | replace "Fri" "5 Fri" | replace "Sat" "6 Sat" | replace "Sun" "7 Sun" }}"#;

pub(super) fn heat_map() -> Draft {
    let expr = format!(
        "sum by (weekday, hour) (count_over_time({} | label_format weekday=`{WEEKDAY}`, hour=`{{{{ __timestamp__ | date \"15\" }}}}` \
         [$__range]))",
        happened()
    );
    let hours: Vec<String> = (0..24).map(|hour| format!("{hour:02}")).collect();
    let mut columns = vec![("weekday\\hour".to_owned(), "Day".to_owned())];
    columns.extend(hours.into_iter().map(|hour| (hour.clone(), hour)));
    let columns: Vec<(&str, &str)> = columns.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let heat = vec![
        Property { id: "color", value: json!({"mode": "continuous-blues"}) },
        Property { id: "custom.cellOptions", value: json!({"type": "color-background", "mode": "basic"}) },
        Property { id: "custom.align", value: json!("center") },
        at_least(39),
    ];
    let days = [("1 Mon", "Mon"), ("2 Tue", "Tue"), ("3 Wed", "Wed"), ("4 Thu", "Thu"), ("5 Fri", "Fri")];
    let days = days.into_iter().chain([("6 Sat", "Sat"), ("7 Sun", "Sun")]);
    let weekdays = mapping(&days.map(|(sorted, shown)| (sorted, shown, "text")).collect::<Vec<_>>());
    table(40, "Activity by weekday and hour (UTC)", (24, 9))
        .rule("Events of this time range by the weekday and hour (UTC) at which they happened: changes of status, assignment, estimate, \
sprint and so on. A darker cell has more events.")
        .empty("No event in this time range. Check that Loki has the history: see ContextCore Health")
        .ask(counts("A", expr))
        .then("labelsToFields", json!({"mode": "columns"}))
        .then("merge", json!({}))
        .then("groupingToMatrix", json!({"columnField": "hour", "rowField": "weekday", "valueField": "Value #A", "emptyValue": "zero"}))
        .columns(&columns)
        .then("sortBy", json!({"fields": {}, "sort": [{"field": "Day", "desc": false}]}))
        .fields("^[0-2][0-9]$", heat)
        .field("Day", vec![value_mapping(&weekdays), width(64)])
        .frozen(1)
}

pub(super) fn latest() -> Draft {
    let columns = [("project_name", "Project"), ("task_id", "Task")];
    events_table(41, "The latest 50 events", (24, 10), &columns)
        .rule("The newest events of these projects. The key links to the task's spans, the trace to the history it is part of.")
        .empty("No event in this time range. Check that Loki has the history: see ContextCore Health")
        .ask(events("A", with_line(&happened()), 50))
        .field("Project", vec![width(150), wrapped()])
        .field("Task", vec![to("Spans", links::task("Task")), width(130), wrapped()])
}
