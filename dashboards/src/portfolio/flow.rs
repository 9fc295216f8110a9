//! How work flows through all projects: sprints, completions and lead times.

use contextcore_model::semconv::{self as names, Metric};
use serde_json::json;

use super::{NO_EPICS, NOTHING, completed};
use crate::links;
use crate::panel::{
    self, DAYS, Draft, NEUTRAL, bar_gauge, buckets, colour, course, decimals, gauge, hidden, in_days, moment, rows,
    stat, table, to, unit, weeks, width, wrapped,
};
use crate::query::{SPRINT, SPRINT_NAMED, Selector, Series, label, named, quantile};

/// What of sprints that were closed in the week before: a velocity is there now and was not a week ago.
fn closed_this_week(metric: Metric) -> String {
    let on = SPRINT.map(label).join(", ");
    let velocity = Series::new(names::M_SPRINT_VELOCITY, Selector::projects()).within("1w");
    let before = velocity.last().replace("[1w])", "[1w] offset 1w)");
    let of = Series::new(metric, Selector::projects()).within("1w");
    format!("sum({} and on ({on}) ({} unless on ({on}) {before}))", of.by(&SPRINT), velocity.by(&SPRINT))
}

pub(super) fn velocity() -> Draft {
    weeks(20, "Velocity of sprints closed, by week", (12, 8))
        .rule("Points committed at the start and points done at the end, of all sprints closed in the seven days before each bar. \
Choose an owner above to see one team's velocity. Project Details shows each sprint.")
        .empty("No sprint was closed in this time range, or none has estimates")
        .field("planned", vec![colour(NEUTRAL)])
        .field("completed", vec![colour("green")])
        .ask(course("A", closed_this_week(names::M_SPRINT_PLANNED), "planned"))
        .ask(course("B", closed_this_week(names::M_SPRINT_VELOCITY), "completed"))
}

pub(super) fn predictability() -> Draft {
    let kept = Series::new(names::M_SPRINT_PREDICTABILITY, Selector::projects()).within("$__range");
    table(21, "Say / do of closed sprints", (12, 8))
        .rule("Points done as a share of points committed, for each sprint closed in this time range. 100 % means the commitment was \
met. A sprint without committed points is left out.")
        .empty("No sprint was closed in this time range, or none has estimates")
        .ask(rows("A", format!("sort_desc({})", named(&kept.by(&SPRINT_NAMED), Selector::projects()))))
        .columns(&[
            ("project_name", "Project"),
            ("sprint_name", "Sprint"),
            ("Value", "Done of committed"),
            ("project_id", "Id"),
        ])
        .field("Project", vec![to("Project Details", links::project("Id")), wrapped()])
        .field("Sprint", vec![width(150), wrapped()])
        .field("Id", hidden())
        .field("Done of committed", {
            let mut bar = gauge(150.0);
            bar.extend([unit("percent"), decimals(0)]);
            bar
        })
}

pub(super) fn created_and_completed() -> Draft {
    let created = Series::new(names::M_TASK_CREATED, Selector::projects().except(names::TASK_TYPE, NO_EPICS));
    weeks(22, "Created against completed, by week", (12, 9))
        .rule(
            "Tasks created and tasks completed in the seven days before each bar, without epics. When more tasks \
are created than completed week after week, the backlog grows.",
        )
        .empty(NOTHING)
        .field("created", vec![colour("orange")])
        .field("completed", vec![colour("green")])
        .ask(course("A", created.gained("1w", &[]), "created"))
        .ask(course("B", completed().gained("1w", &[]), "completed"))
}

/// The buckets of lead times that are shown, in words; shorter ones are within the first, longer ones in the last.
const BUCKETS: [(&str, &str); 10] = [
    ("86400", "≤ 1 d"),
    ("172800", "≤ 2 d"),
    ("259200", "≤ 3 d"),
    ("432000", "≤ 5 d"),
    ("604800", "≤ 7 d"),
    ("1209600", "≤ 14 d"),
    ("2592000", "≤ 30 d"),
    ("5184000", "≤ 60 d"),
    ("7776000", "≤ 90 d"),
    ("[+]Inf", "> 90 d"),
];

pub(super) fn lead_time() -> Draft {
    let bounds = BUCKETS.map(|(bound, _)| format!("{bound}([.]0)?")).join("|");
    let chosen = Selector::projects().except(names::TASK_TYPE, NO_EPICS).like("le", &bounds);
    let of = Series::part(names::M_TASK_LEAD_TIME, "_bucket", chosen);
    let draft = bar_gauge(23, "Lead time of completed tasks", (8, 9), false)
        .rule(
            "Tasks completed in this time range, without epics, by time from creation to completion. Each bar is one \
bucket: `≤ 5 d` counts tasks that took over 3 and up to 5 days.",
        )
        .empty("Nothing was completed in this time range")
        .decimals(0)
        .zero_based()
        .ask(buckets("A", of.gained("$__range", &["le"])));
    BUCKETS.iter().fold(draft, |draft, (bound, words)| {
        let name = panel::display_name(words);
        draft.fields(&format!("^{bound}([.]0)?$"), vec![name])
    })
}

pub(super) fn lead_quantiles() -> Draft {
    let chosen = || Selector::projects().except(names::TASK_TYPE, NO_EPICS);
    let of = |share| in_days(&quantile(share, names::M_TASK_LEAD_TIME, chosen(), "$__range", &[]));
    stat(24, "Lead time", 4)
        .size(4, 9)
        .option("orientation", json!("horizontal"))
        .rule("Time from creation to completion that 50, 85 and 95 % of the tasks completed in this time range did not exceed, at the \
precision of a histogram bucket, without epics.")
        .empty("Nothing was completed in this time range")
        .unit(DAYS)
        .decimals(1)
        .no_course()
        .ask(moment("A", of("0.5"), "p50"))
        .ask(moment("B", of("0.85"), "p85"))
        .ask(moment("C", of("0.95"), "p95"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_in_words_are_among_those_of_the_histograms() {
        let bounds: Vec<String> =
            contextcore_model::totals::BOUNDS.iter().map(|bound| (bound / 1_000).to_string()).collect();
        let (last, named) = BUCKETS.split_last().unwrap();
        assert!(named.iter().all(|(bound, _)| bounds.iter().any(|known| known == bound)), "{named:?} among {bounds:?}");
        assert_eq!(last.0, "[+]Inf");
    }
}
