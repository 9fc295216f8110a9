//! What the page begins with: health, progress, blocks, the sprint in numbers, and when the open work will be done.

use contextcore_model::semconv::{self as names};
use serde_json::json;

use super::forecast::{FORECAST_RULE, P85, weeks_left};
use super::sprint::{NO_SPRINT, of_sprint_ever, sprint};
use super::{NOTHING, counted, project};
use crate::panel::{Draft, NONE_IS_GOOD, moment, rows, stat};
use crate::portfolio::health_words;
use crate::query::{self, HEALTH_RULE, Health, Selector, label};

pub(super) fn header() -> Vec<Draft> {
    vec![health(), progress(), blocked(), done_of_all(), sprint_points(), days_left(), forecast()]
}

fn health() -> Draft {
    stat(1, "Health", 4)
        .rule(HEALTH_RULE)
        .empty(NOTHING)
        .no_course()
        .option("colorMode", json!("background"))
        .value_mapping(health_words())
        .ask(moment("A", Health::of(Selector::project()).score(), "health"))
}

fn progress() -> Draft {
    stat(2, "Progress", 4)
        .rule("Completed share of all work that is not cancelled, without epics: by points where everything is estimated, otherwise by \
number of tasks.")
        .empty("This project has no work: see ContextCore Health")
        .unit("percent")
        .decimals(0)
        .no_course()
        .ask(moment("A", project(names::M_PROJECT_PERCENT).sum(&[names::PROJECT_ID]), "done"))
}

fn done_of_all() -> Draft {
    let of = |done: bool, kind: &str| {
        let chosen = Selector::project().like(names::TASK_TYPE, kind);
        let chosen = if done {
            chosen.equal(names::TASK_STATUS, "done")
        } else {
            chosen.except(names::TASK_STATUS, "cancelled")
        };
        counted(chosen)
    };
    let (story, task) = ("story", "task|subtask|bug|spike|incident");
    stat(3, "Done / all", 12)
        .rule("Stories done and all stories; tasks of every other type except epics done and all of them. Cancelled work is not counted.")
        .empty("This project has no tasks: see ContextCore Health")
        .decimals(0)
        .no_course()
        .ask(moment("A", of(true, story), "stories done"))
        .ask(moment("B", of(false, story), "of all"))
        .ask(moment("C", of(true, task), "tasks done"))
        .ask(moment("D", of(false, task), "of all "))
}

fn blocked() -> Draft {
    stat(4, "Blocked", 4)
        .rule("Open tasks that are blocked now. The Blockers table lists them.")
        .empty("No data about this project: see ContextCore Health")
        .steps(NONE_IS_GOOD)
        .no_course()
        .ask(moment("A", project(names::M_TASK_BLOCKED).sum(&[names::PROJECT_ID]), "blocked"))
}

fn sprint_points() -> Draft {
    stat(5, "Sprint points", 8)
        .rule("Points done in the sprint, and points committed at its start. For a closed sprint, the points done at its end are its \
velocity.")
        .blank("No sprint points", NO_SPRINT)
        .decimals(0)
        .no_course()
        .ask(moment("A", of_sprint_ever(names::M_SPRINT_COMPLETED), "done"))
        .ask(moment("B", of_sprint_ever(names::M_SPRINT_PLANNED), "committed"))
}

fn days_left() -> Draft {
    let end = label(names::SPRINT_END_DATE);
    let info = sprint(names::M_SPRINT_INFO).newest(&[names::SPRINT_END_DATE]);
    // What was closed before the end of the range is described no more; its last value is of the moment at which it ended.
    let scope = Selector::project().equal(names::SPRINT_ID, "$sprint").text();
    let scope = format!("{}{scope}", query::prometheus_name(names::M_SPRINT_SCOPE));
    let last = format!("1000 * max(max_over_time(timestamp({scope})[$__range:5m])) unless on () {info}");
    stat(6, "Sprint ends", 6)
        .rule("Planned end of the sprint, from the tool. For a sprint that was closed before the end of this time range: when it ended.")
        .blank("No end date", "No sprint chosen, or it has no end date")
        .unit("dateTimeFromNow")
        .no_course()
        .option("textMode", json!("value"))
        .option("reduceOptions", json!({"calcs": ["lastNotNull"], "fields": "/.*/", "values": false}))
        .ask(rows("A", info))
        .ask(moment("B", last, "ended"))
        .then("filterFieldsByName", json!({"include": {"names": [end, "ended"]}}))
        .then(
            "convertFieldType",
            json!({"conversions": [{"targetField": end, "destinationType": "time"}], "fields": {}}),
        )
}

fn forecast() -> Draft {
    let date = |z: &str| format!("1000 * (time() + 604800 * {})", weeks_left(z));
    stat(7, "All open work done by", 10)
        .rule(FORECAST_RULE)
        .empty("No forecast: nothing was completed in the last twelve weeks")
        .unit("time:YYYY-MM-DD")
        .no_course()
        .ask(moment("A", date("0"), "p50"))
        .ask(moment("B", date(P85), "p85"))
}
