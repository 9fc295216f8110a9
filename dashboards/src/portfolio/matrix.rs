//! The health matrix: one row a project.

use contextcore_model::semconv as names;

use super::{PROJECT, completed, health_words, projects};
use crate::links;
use crate::panel::{
    DAYS, Draft, NONE_IS_GOOD, background, coloured, decimals, gauge, hidden, in_days, rows, table, to, unit,
    value_mapping, width, wrapped,
};
use crate::query::{BLOCKED_TOO_LONG, HEALTH_RULE, Health, Selector, label, quantile, quantile_before};

pub(super) fn matrix() -> Draft {
    let health = Health::of(Selector::projects());
    let info = projects(names::M_PROJECT_INFO);
    let about = [names::PROJECT_ID, names::PROJECT_NAME, names::BUSINESS_OWNER, names::BUSINESS_CRITICALITY];
    let cycle = |share| quantile(share, names::M_TASK_CYCLE_TIME, Selector::projects(), "30d", &PROJECT);
    let cycle_before = quantile_before("0.85", names::M_TASK_CYCLE_TIME, Selector::projects(), 30, &PROJECT);
    let week = completed().gained("1w", &PROJECT);
    let month = completed().gained("4w", &PROJECT);
    let draft = table(10, "Health matrix", (24, 9))
        .ask(rows("A", info.newest(&about)))
        .ask(rows("B", health.score()))
        .ask(rows("C", projects(names::M_PROJECT_PERCENT).by_project()))
        .ask(rows("D", health.blocked()))
        .ask(rows("E", in_days(&health.oldest_block())))
        .ask(rows("F", projects(names::M_TASK_WIP).by_project()))
        .ask(rows("G", health.crowding()))
        .ask(rows("H", in_days(&cycle("0.5"))))
        .ask(rows("I", in_days(&cycle("0.85"))))
        .ask(rows("J", format!("100 * ({} / ({cycle_before} > 0) - 1)", cycle("0.85"))))
        .ask(rows("K", week.clone()))
        .ask(rows("L", format!("100 * (4 * {week} / ({month} > 0) - 1)")))
        .ask(rows("M", format!("100 * {}", health.behind())))
        .ask(rows("N", format!("100 * {}", health.scope_change())))
        .ask(rows("O", projects(names::M_TASK_STALE).by_project()))
        .ask(rows("P", health.data_age()));
    matrix_columns(matrix_rule(draft).joined(&label(names::PROJECT_ID)))
}

fn matrix_rule(draft: Draft) -> Draft {
    draft
        .rule(format!(
            "One row per project; click it to open Project Details. {HEALTH_RULE} Done: completed share of all work that is not cancelled, by \
points where everything is estimated, otherwise by number of tasks. WIP: tasks started and not finished (in progress, in review, or \
blocked after they were started), with epics. WIP ×: WIP as a multiple of its 4-week mean. Cycle: days from start to completion of tasks \
completed in the last 30 days, at the precision of a histogram bucket. p85 ±: change of the p85 against the 30 days before. 7 d: completions in the last \
seven days. Trend: those against the mean week of the last four. Behind: how far the worst running sprint is behind its ideal line, as a \
share of its scope. Scope ±: points added and removed, as a share of the commitment. Stale: open tasks without activity for longer than \
`stale_after`. Data age: time since the least fresh source of the project was read."
        ))
        .empty("No project matches the filters within the look back: see ContextCore Health")
        .sorted("Health", true)
        .frozen(1)
}

fn matrix_columns(draft: Draft) -> Draft {
    // Ages come first: what does not fit on a narrow screen is scrolled.
    let columns = [
        ("project_name", "Project"),
        ("Value #B", "Health"),
        ("Value #P", "Data age"),
        ("Value #E", "Oldest block"),
        ("Value #D", "Blocked"),
        ("Value #C", "Done"),
        ("Value #F", "WIP"),
        ("Value #G", "WIP ×"),
        ("Value #H", "Cycle p50"),
        ("Value #I", "Cycle p85"),
        ("Value #J", "p85 ±"),
        ("Value #K", "7 d"),
        ("Value #L", "Trend"),
        ("Value #M", "Behind"),
        ("Value #N", "Scope ±"),
        ("Value #O", "Stale"),
        ("business_owner", "Owner"),
        ("business_criticality", "Criticality"),
        ("project_id", "Id"),
    ];
    let change = || vec![unit("percent"), decimals(0), width(70)];
    let days = || vec![unit(DAYS), decimals(1), width(75)];
    let mut health = background(&[("transparent", None)]);
    health.extend([value_mapping(&health_words()), width(85)]);
    let with = |mut properties: Vec<_>, more: Vec<_>| {
        properties.extend(more);
        properties
    };
    let long = f64::from(BLOCKED_TOO_LONG) / 86_400.0;
    draft
        .columns(&columns)
        .field("Project", vec![to("Project Details", links::project("Id")), width(150), wrapped()])
        .field("Health", health)
        .field("Done", with(gauge(100.0), vec![unit("percent"), decimals(0), width(110)]))
        .field("Blocked", with(coloured(NONE_IS_GOOD), vec![width(75)]))
        .field("Oldest block", with(coloured(&[("text", None), ("red", Some(long))]), days()))
        .field("WIP", vec![width(55)])
        .field("WIP ×", with(coloured(&[("text", None), ("yellow", Some(1.5))]), vec![decimals(1), width(65)]))
        .field("Cycle p50", days())
        .field("Cycle p85", days())
        .field("p85 ±", change())
        .field("7 d", vec![width(50)])
        .field("Trend", change())
        .field("Behind", with(coloured(&[("text", None), ("red", Some(25.0))]), change()))
        .field("Scope ±", with(coloured(&[("text", None), ("yellow", Some(20.0))]), change()))
        .field("Stale", vec![width(60)])
        .field(
            "Data age",
            with(coloured(&[("text", None), ("red", Some(3_600.0))]), vec![unit("s"), decimals(0), width(85)]),
        )
        .field("Owner", vec![width(130)])
        .field("Criticality", vec![width(110)])
        .field("Id", with(hidden(), Vec::new()))
}
