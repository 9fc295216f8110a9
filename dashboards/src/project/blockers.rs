//! What is blocked, what waits, and what blocked how long.

use contextcore_model::semconv::{self as names};
use serde_json::{Value, json};

use super::board::{LATELY, SNAPSHOT, status_cells};
use crate::links;
use crate::model::Property;
use crate::panel::{
    DAYS, Draft, at_least, bar_gauge, coloured, decimals, hidden, in_days, of_panel, rows, spans, table, to, unit,
    width, wrapped,
};
use crate::query::{self, BLOCKED_TOO_LONG, Selector, Series, label, spans_of};

pub(super) fn blockers() -> Draft {
    let by = [names::TASK_ID, names::TASK_TITLE, names::TASK_ASSIGNEE, names::EVENT_REASON, names::TASK_URL];
    let chosen = Selector::project().like(names::TASK_ASSIGNEE, "$assignee");
    let ages = Series::new(names::M_TASK_BLOCKED_AGE, chosen);
    let mut age = coloured(&[("text", None), ("yellow", Some(1.0)), ("red", Some(3.0))]);
    age.extend([unit(DAYS), decimals(1), width(95)]);
    let waiting = [names::TASK_ID, names::TASK_WAITS_FOR, names::TASK_HOLDS_UP];
    let waiting = format!("{}{} with (most_recent=true)", spans_of("snapshot", &[]), query::select(&waiting));
    let key = label(names::TASK_ID);
    table(30, "Blockers", (24, 9))
        .rule(
            "Tasks blocked at the newest export, longest first, filtered by assignee. Blocked by: the unfinished tasks it waits for. \
Holds up: the open tasks that wait for it. Both come from the tool's links, through the newest snapshot in Tempo. What to do depends on \
the age: on the first day ask who can lift it, until the third day raise it in the team, then escalate it (from then on the project \
is red). The key links to the ticket, the title to its spans.",
        )
        .empty("Nothing is blocked. If you expect blocked tasks, see ContextCore Health")
        .ask(rows("A", format!("sort_desc({})", in_days(&ages.newest(&by)))))
        .ask(rows("B", in_days(&ages.newest(&[names::TASK_ID]))))
        .ask(spans("C", waiting, 1))
        .lately(LATELY)
        .then("renameByRegex", json!({"regex": format!("^{}$", names::TASK_ID.replace('.', "[.]")), "renamePattern": key}))
        .joined(&key)
        .having("Value #A")
        .columns(&[
            (key.as_str(), "Task"),
            ("task_title", "Title"),
            ("Value #A", "Blocked for"),
            ("reason", "Reason"),
            (names::TASK_WAITS_FOR, "Blocked by"),
            (names::TASK_HOLDS_UP, "Holds up"),
            ("Value #B", "What to do"),
            ("task_assignee", "Assignee"),
            ("task_url", "Ticket"),
        ])
        .sorted("Blocked for", true)
        .field("Task", vec![to("Ticket", links::ticket("Ticket")), width(125), wrapped()])
        .field("Title", vec![to("Spans", links::task("Task")), at_least(100), wrapped()])
        .field("Blocked for", age)
        .field("Reason", vec![width(125), wrapped()])
        .field("Blocked by", vec![width(140), wrapped()])
        .field("Holds up", vec![width(140), wrapped()])
        .field("What to do", {
            let words = Property { id: "mappings", value: json!(actions()) };
            vec![words, Property { id: "custom.align", value: json!("left") }, width(155)]
        })
        .field("Assignee", vec![width(102)])
        .field("Ticket", hidden())
}

/// What to do about a block, by how many days it has lasted.
fn actions() -> Vec<Value> {
    let one = |place: u32, from: u32, to: Option<u32>, text: &str| json!({"type": "range", "options": {"from": from, "to": to, "result": {"text": text, "index": place}}});
    vec![
        one(0, 0, Some(1), "ask who can lift it"),
        one(1, 1, Some(BLOCKED_TOO_LONG / 86_400), "raise it in the team"),
        one(2, BLOCKED_TOO_LONG / 86_400, None, "escalate it"),
    ]
}

pub(super) fn waiting() -> Draft {
    table(32, "Waiting for unfinished tasks", (14, 7))
        .rule(
            "Open tasks of any status that link to an unfinished task that blocks them. They may be blocked next. From \
the newest snapshot, filtered by type, assignee and epic.",
        )
        .empty("No open task waits for another one, or there is no snapshot within two hours: see ContextCore Health")
        .lately(LATELY)
        .ask(of_panel("A", SNAPSHOT))
        .having(names::TASK_WAITS_FOR)
        .columns(&[
            (names::TASK_ID, "Task"),
            (names::TASK_TITLE, "Title"),
            (names::TASK_STATUS, "Status"),
            (names::TASK_WAITS_FOR, "Blocked by"),
            (names::TASK_ASSIGNEE, "Assignee"),
            (names::TASK_URL, "Ticket"),
        ])
        .field("Task", vec![to("Ticket", links::ticket("Ticket")), width(125), wrapped()])
        .field("Title", vec![to("Spans", links::task("Task")), at_least(100), wrapped()])
        .field("Status", status_cells())
        .field("Blocked by", vec![width(130)])
        .field("Assignee", vec![width(102)])
        .field("Ticket", hidden())
}

pub(super) fn pareto() -> Draft {
    let of = Series::new(names::M_TASK_BLOCKED_AGE, Selector::project())
        .highest("$__range", &[names::TASK_ID, names::EVENT_REASON]);
    bar_gauge(31, "Hours blocked, by reason", (10, 7), true)
        .rule("Hours that tasks were blocked in this time range, summed by reason, longest first. Each block counts with its greatest age \
in this time range, on the 6-hour grid of history. A task blocked twice for the same reason counts with the longer block.")
        .empty("Nothing was blocked in this time range")
        .option("namePlacement", json!("top"))
        .unit("suffix:h")
        .decimals(0)
        .zero_based()
        .ask(rows("A", format!("sort_desc(sum by ({}) ({of}) / 3600)", label(names::EVENT_REASON))))
        .columns(&[("reason", "Reason"), ("Value", "Value")])
        .named_by_column("Reason")
}
