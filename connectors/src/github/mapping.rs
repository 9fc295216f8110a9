//! What GitHub's statuses, types, labels and priorities are in the common model: words in, our words out. All pure.
//!
//! GitHub has no categories of statuses: the options of a project's Status field are names that people made up, so names
//! decide, after the configuration. A closed issue is finished whatever its column says.

use contextcore_core::model::{Status, TaskType};

use super::reference::Project;
use super::settings::Settings;
pub(super) use crate::vocabulary::priority;
use crate::vocabulary::{self, BACKLOG, REVIEW, says};

/// What an issue without a status in its project is shown as.
pub(super) const OPEN: &str = "Open";
/// The same when it is closed.
pub(super) const CLOSED: &str = "Closed";

const TODO: [&str; 9] = ["todo", "to do", "ready", "selected", "planned", "next", "up next", "accepted", "scheduled"];
const NOT_PICKED: [&str; 6] = ["icebox", "triage", "new", "inbox", "ideas", "later"];
const DOING: [&str; 8] =
    ["in progress", "doing", "in development", "development", "working", "started", "wip", "implementing"];
const FINISHED: [&str; 8] = ["done", "closed", "complete", "completed", "shipped", "released", "merged", "deployed"];

/// What a status is for us, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) status: Status,
    /// Where it comes from, for people.
    pub(super) why: &'static str,
}

/// The common status of an option of a project's status field; an empty name is no status.
pub(super) fn map_status(settings: &Settings, project: Option<&Project>, name: &str) -> Mapped {
    let mapped = |status, why| Mapped { status, why };
    let shown = if name.is_empty() { OPEN } else { name };
    if let Some(status) = settings.rules.status(&[shown]) {
        return mapped(status, "configured in statuses");
    }
    if name.is_empty() {
        return mapped(Status::Backlog, "no status");
    }
    if settings.rules.means_blocked(name) {
        return mapped(Status::Blocked, "named like blocked");
    }
    let by_name: [(Status, &[&str]); 7] = [
        (Status::Cancelled, &["cancelled", "canceled", "abandoned", "dropped"]),
        (Status::Backlog, BACKLOG),
        (Status::InReview, REVIEW),
        (Status::Todo, &TODO),
        (Status::Backlog, &NOT_PICKED),
        (Status::Done, &FINISHED),
        (Status::InProgress, &DOING),
    ];
    if let Some((status, _)) = by_name.iter().find(|(_, words)| says(name, words)) {
        return mapped(*status, "by its name");
    }
    if let Some(status) = vocabulary::status(name) {
        return mapped(status, "by its name");
    }
    match project.and_then(|project| project.statuses.first()).is_some_and(|first| &*first.name == name) {
        true => mapped(Status::Todo, UNMAPPED_FIRST),
        false => mapped(Status::InProgress, UNMAPPED),
    }
}

/// Why a status is taken for work: nothing else speaks for any other.
pub(super) const UNMAPPED: &str = "unmapped, taken for work";
/// The first option of all.
pub(super) const UNMAPPED_FIRST: &str = "unmapped, the first one is taken for not begun";

/// The common status of a closed issue by GitHub's reason.
pub(super) fn closed_status(reason: &str) -> Status {
    match reason {
        "NOT_PLANNED" | "DUPLICATE" => Status::Cancelled,
        _ => Status::Done,
    }
}

/// What a task's type is read from, the most specific first.
#[derive(Debug, Clone, Copy)]
pub(super) struct TypeSigns<'a> {
    /// GitHub's issue type.
    pub(super) issue_type: Option<&'a str>,
    /// The value of a project's type field.
    pub(super) field: Option<&'a str>,
    pub(super) has_parent: bool,
    pub(super) has_grandparent: bool,
    pub(super) has_children: bool,
    pub(super) has_grandchildren: bool,
}

/// The common type and the tool's word for it.
pub(super) fn task_type<'a>(
    settings: &Settings,
    signs: &TypeSigns<'a>,
    labels: impl Iterator<Item = &'a String> + Clone,
) -> (TaskType, String) {
    let words = signs.issue_type.into_iter().chain(signs.field);
    if let Some((task_type, word)) = words
        .clone()
        .chain(labels.clone().map(String::as_str))
        .find_map(|word| Some((settings.rules.task_type(word)?, word)))
    {
        return (task_type, word.to_owned());
    }
    if let Some((task_type, word)) = words.clone().find_map(|word| Some((type_named(word)?, word))) {
        return (task_type, word.to_owned());
    }
    let label = labels.into_iter().find_map(|label| Some((type_of_label(label)?, label)));
    if let Some((task_type, label)) = label {
        return (task_type, label.clone());
    }
    let native = words.into_iter().next().unwrap_or("Issue").to_owned();
    let by_place = match signs {
        TypeSigns { has_parent: true, has_grandparent: true, .. } => TaskType::Subtask,
        TypeSigns { has_parent: true, .. } => TaskType::Task,
        TypeSigns { has_grandchildren: true, .. } => TaskType::Epic,
        TypeSigns { has_children: true, .. } => TaskType::Story,
        _ => TaskType::Task,
    };
    (by_place, native)
}

const TYPES: [(TaskType, &[&str]); 7] = [
    (TaskType::Epic, &["epic", "initiative"]),
    (TaskType::Bug, &["bug", "defect"]),
    (TaskType::Spike, &["spike", "research"]),
    (TaskType::Incident, &["incident", "outage"]),
    (TaskType::Story, &["story", "feature"]),
    (TaskType::Subtask, &["subtask", "sub task"]),
    (TaskType::Task, &["task", "chore", "improvement", "enhancement"]),
];

fn type_named(name: &str) -> Option<TaskType> {
    TYPES.iter().find(|(_, words)| says(name, words)).map(|(task_type, _)| *task_type)
}

/// A label says a type only when it says nothing else: `bug`, `type: bug`, `kind/bug`.
fn type_of_label(label: &str) -> Option<TaskType> {
    let word = value_of_label(label, &["type", "kind"])?;
    let exactly = |words: &&[&str]| words.contains(&word.as_str());
    TYPES.iter().find(|(_, words)| exactly(words)).map(|(task_type, _)| *task_type)
}

/// The words of a label without one of these words before them.
fn value_of_label(label: &str, before: &[&str]) -> Option<String> {
    let lower = label.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let value = match words.as_slice() {
        [first, rest @ ..] if before.contains(first) && !rest.is_empty() => rest,
        all => all,
    };
    Some(value.join(" ")).filter(|value| !value.is_empty())
}

/// The priority a label says: `P0`, `priority: high`, `priority/p1`.
pub(super) fn priority_of_label(label: &str) -> Option<String> {
    let value = value_of_label(label, &["priority", "prio"])?;
    let said = value.len() < label.trim().len() && label.to_lowercase().trim_start().starts_with("prio");
    let ranked = value.len() == 2 && value.starts_with('p') && value.ends_with(|c: char| c.is_ascii_digit());
    (said || ranked).then(|| priority(&value)).flatten()
}

/// Points of a T-shirt size.
pub(super) fn points_of_size(size: &str) -> Option<f64> {
    let first = size.split(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty())?.to_uppercase();
    let points = match first.as_str() {
        "XS" => 1.0,
        "S" | "SMALL" => 2.0,
        "M" | "MEDIUM" => 3.0,
        "L" | "LARGE" => 5.0,
        "XL" => 8.0,
        "XXL" => 13.0,
        number => return number.parse().ok().filter(|points: &f64| points.is_finite()),
    };
    Some(points)
}

#[cfg(test)]
mod tests {
    use super::super::reference::tests::scrum_board;
    use super::super::settings::tests::plain;
    use super::*;

    #[test]
    fn columns_go_by_name_and_the_unknown_are_work() {
        let board = scrum_board(&plain());
        let table = [
            ("", Status::Backlog),
            ("📋 Backlog", Status::Backlog),
            ("🆕 New", Status::Backlog),
            ("🔖 Ready", Status::Todo),
            ("Todo", Status::Todo),
            ("🏗 In progress", Status::InProgress),
            ("Ready for review", Status::InReview),
            ("👀 In review", Status::InReview),
            ("QA", Status::InReview),
            ("✅ Done", Status::Done),
            ("Won't do", Status::Cancelled),
            ("Blocked", Status::Blocked),
            ("Legal", Status::InProgress),
            ("Bereit", Status::Todo),
            ("進行中", Status::InProgress),
            ("Terminé", Status::Done),
            ("Готово", Status::Done),
        ];
        for (name, want) in table {
            assert_eq!(map_status(&plain(), Some(&board), name).status, want, "{name}");
        }
        let own = plain().with_status("Ready for review", Status::Todo).with_status("Open", Status::Todo);
        assert_eq!(map_status(&own, None, "ready for REVIEW").status, Status::Todo);
        assert_eq!(map_status(&own, None, "").status, Status::Todo);
    }

    #[test]
    fn types_go_by_the_most_specific_sign_then_by_place() {
        let none = TypeSigns {
            issue_type: None,
            field: None,
            has_parent: false,
            has_grandparent: false,
            has_children: false,
            has_grandchildren: false,
        };
        let of = |signs: &TypeSigns<'_>, labels: &[&str]| {
            let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
            task_type(&plain(), signs, labels.iter()).0
        };
        assert_eq!(of(&TypeSigns { issue_type: Some("Bug"), ..none }, &["epic"]), TaskType::Bug);
        assert_eq!(of(&TypeSigns { field: Some("User Story"), ..none }, &["bug"]), TaskType::Story);
        assert_eq!(of(&none, &["help wanted", "type: bug"]), TaskType::Bug);
        assert_eq!(of(&none, &["bug bash"]), TaskType::Task);
        assert_eq!(of(&TypeSigns { has_children: true, has_grandchildren: true, ..none }, &[]), TaskType::Epic);
        assert_eq!(of(&TypeSigns { has_children: true, ..none }, &[]), TaskType::Story);
        assert_eq!(of(&TypeSigns { has_parent: true, has_children: true, ..none }, &[]), TaskType::Task);
        assert_eq!(of(&TypeSigns { has_parent: true, has_grandparent: true, ..none }, &[]), TaskType::Subtask);
        let settings = plain().with_type("kind/debt", TaskType::Spike);
        let labels = ["kind/debt".to_owned()];
        assert_eq!(task_type(&settings, &none, labels.iter()), (TaskType::Spike, "kind/debt".into()));
    }

    #[test]
    fn labels_may_say_a_priority_and_sizes_are_points() {
        let table = [
            ("P0", Some("p0")),
            ("priority: high", Some("high")),
            ("priority/critical", Some("highest")),
            ("prio:P1", Some("p1")),
            ("performance", None),
            ("priority", None),
            ("high", None),
        ];
        for (label, want) in table {
            assert_eq!(priority_of_label(label).as_deref(), want, "{label}");
        }
        for (size, want) in
            [("XS", Some(1.0)), ("🐂 M", Some(3.0)), ("Large", Some(5.0)), ("8", Some(8.0)), ("?", None)]
        {
            assert_eq!(points_of_size(size), want, "{size}");
        }
    }
}
