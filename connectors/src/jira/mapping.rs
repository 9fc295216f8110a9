//! What Jira's statuses, types, priorities and resolutions are in the common model: words and ids in, our words out.
//!
//! All pure. [`Mapping`] is made once from the settings and the site's reference data, so that the thousands of changes of a
//! record cost a look-up each. Statuses go by id (project-local ones share names), refined by name; the category decides, even
//! where the name says otherwise, because it is what Jira's own boards and reports count by.

use std::collections::HashMap;

use contextcore_core::model::{Status, TaskType};

use super::reference::{Category, Reference};
use super::settings::Settings;
use crate::vocabulary::{BACKLOG, REVIEW};
pub(super) use crate::vocabulary::{gives_up, priority, says};

/// What a status is for us, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapped {
    /// The common status, as long as no resolution says otherwise.
    pub(super) status: Status,
    /// The category it was mapped by.
    category: Category,
    /// Said by the configuration: no resolution changes it.
    fixed: bool,
    /// Where it comes from, for people.
    pub(super) why: String,
}

impl Mapped {
    /// The common status, given whether the resolution in force means giving up ([`gives_up`]).
    fn under(&self, given_up: bool) -> Status {
        match self.status {
            Status::Done if given_up && !self.fixed => Status::Cancelled,
            status => status,
        }
    }
}

/// The look-ups a record is translated with.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    statuses: HashMap<Box<str>, Mapped>,
    by_name: HashMap<String, Mapped>,
    types: HashMap<Box<str>, TaskType>,
}

/// A status as a record names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatusName<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    /// The category, where the record has it.
    pub(super) category: Option<Category>,
}

impl Mapping {
    /// The look-ups of a site under these settings.
    pub(super) fn new(settings: &Settings, reference: &Reference) -> Self {
        let mut mapping = Self::default();
        for (id, known) in &reference.statuses {
            let mapped = map_status(settings, id, &known.name, known.category, known.column.as_deref());
            mapping.by_name.entry(known.name.to_lowercase()).or_insert_with(|| mapped.clone());
            mapping.statuses.insert(id.clone(), mapped);
        }
        for (id, known) in reference.types.iter().flatten() {
            let name = known.untranslated_name.as_ref().unwrap_or(&known.name);
            let (task_type, _) = type_of(settings, [id, &known.name, name], known.hierarchy_level, known.subtask);
            mapping.types.insert(id.clone(), task_type);
        }
        for id in &reference.epic_types {
            mapping.types.insert(id.clone(), settings.rules.task_type(id).unwrap_or(TaskType::Epic));
        }
        mapping
    }

    /// How a status of the site is mapped.
    pub(super) fn status_by_id(&self, id: &str) -> Option<&Mapped> {
        self.statuses.get(id)
    }

    /// The common status of a named status, given whether the resolution in force means giving up; and whether the site's
    /// list, the record or the configuration knows it.
    ///
    /// A record has the category of its present status, which is newer than the list. A status deleted since is
    /// only a name: then the last category known for that name counts, else the usual one. If it has none, it is taken for work.
    pub(super) fn status(&self, settings: &Settings, named: StatusName<'_>, given_up: bool) -> (Status, bool) {
        if let Some(configured) = settings.rules.status(&[named.name, named.id]) {
            return (configured, true);
        }
        let listed = self.statuses.get(named.id);
        if let Some(mapped) = listed.filter(|mapped| named.category.is_none_or(|category| category == mapped.category))
        {
            return (mapped.under(given_up), true);
        }
        if let Some(category) = named.category {
            return (map_status(settings, named.id, named.name, category, None).under(given_up), true);
        }
        match self.by_name.get(&named.name.to_lowercase()) {
            Some(mapped) => (mapped.under(given_up), false),
            None => {
                let category = Category::named(named.name).unwrap_or(Category::Indeterminate);
                let guess = map_status(settings, named.id, named.name, category, None);
                (guess.under(given_up), false)
            }
        }
    }

    /// The common type of a type of the site's list.
    pub(super) fn type_by_id(&self, id: &str) -> Option<TaskType> {
        self.types.get(id).copied()
    }
}

/// The common status of a status: the configuration by id or name, then the category refined by name or board column.
pub(super) fn map_status(
    settings: &Settings,
    id: &str,
    name: &str,
    category: Category,
    column: Option<&str>,
) -> Mapped {
    let mapped = |status, why: String| Mapped { status, category, fixed: false, why };
    if let Some(status) = settings.rules.status(&[name, id]) {
        return Mapped { fixed: true, ..mapped(status, "configured in statuses".into()) };
    }
    if category != Category::Done && settings.rules.means_blocked(name) {
        return mapped(Status::Blocked, "named like blocked".into());
    }
    let column = |phrases: &'static [&'static str]| column.is_some_and(|column| says(column, phrases));
    let (plain, refined, by_name, by_column) = match category {
        Category::New => (Status::Todo, Status::Backlog, says(name, BACKLOG), column(BACKLOG)),
        Category::Indeterminate => (Status::InProgress, Status::InReview, says(name, REVIEW), column(REVIEW)),
        Category::Done => (Status::Done, Status::Cancelled, gives_up(name), false),
    };
    match (by_name, by_column) {
        (true, _) => mapped(refined, format!("category {}, by its name", category.as_str())),
        (_, true) => mapped(refined, format!("category {}, by its board column", category.as_str())),
        _ => mapped(plain, format!("category {}", category.as_str())),
    }
}

/// The common type, and whether anything but "it is none of the others" speaks for it. `names` are the id, the name and the
/// untranslated name.
pub(super) fn type_of(settings: &Settings, names: [&str; 3], level: Option<i32>, subtask: bool) -> (TaskType, bool) {
    if let Some(configured) = names.iter().find_map(|name| settings.rules.task_type(name)) {
        return (configured, true);
    }
    match level {
        Some(1..) => return (TaskType::Epic, true),
        Some(..=-1) => return (TaskType::Subtask, true),
        _ if subtask => return (TaskType::Subtask, true),
        _ => {}
    }
    let ranks: &[_] = if level.is_none() { &RANKS } else { &[] };
    let named = |phrases: &'static [&'static str]| names[1..].iter().any(|name| says(name, phrases));
    let by_name = ranks.iter().chain(&TYPES).find(|(_, phrases)| named(phrases));
    by_name.map_or((TaskType::Task, false), |(task_type, _)| (*task_type, true))
}

/// Types that go by level, by words of their names where there is none: in histories and on Data Center.
const RANKS: [(TaskType, &[&str]); 2] =
    [(TaskType::Subtask, &["subtask", "sub task"]), (TaskType::Epic, &["epic", "initiative"])];

/// The other types by words of their names, the most specific first.
const TYPES: [(TaskType, &[&str]); 5] = [
    (TaskType::Bug, &["bug", "defect"]),
    (TaskType::Spike, &["spike", "research"]),
    (TaskType::Incident, &["incident", "problem", "outage"]),
    (TaskType::Story, &["story"]),
    (TaskType::Task, &["task", "improvement", "feature", "chore", "request", "enhancement", "change"]),
];

#[cfg(test)]
mod tests {
    use super::super::settings::tests::plain;
    use super::*;

    #[test]
    fn the_category_decides_and_the_name_refines() {
        use Category::{Done, Indeterminate, New};
        let table = [
            ("To Do", New, None, Status::Todo),
            ("Backlog", New, None, Status::Backlog),
            ("Open", New, Some("Backlog"), Status::Backlog),
            ("Under review", New, None, Status::Todo),
            ("已完成", New, None, Status::Todo),
            ("In Development", Indeterminate, None, Status::InProgress),
            ("Ready for QA", Indeterminate, None, Status::InReview),
            ("Code-Review", Indeterminate, None, Status::InReview),
            ("Contest", Indeterminate, None, Status::InProgress),
            ("Waiting", Indeterminate, Some("In Test"), Status::InReview),
            ("On hold", Indeterminate, None, Status::Blocked),
            ("Blocked", New, None, Status::Blocked),
            ("Unblocked", Indeterminate, None, Status::InProgress),
            ("Closed", Done, None, Status::Done),
            ("Won’t Do", Done, None, Status::Cancelled),
            ("Tests verified", Done, None, Status::Done),
        ];
        for (name, category, column, want) in table {
            assert_eq!(map_status(&plain(), "1", name, category, column).status, want, "{name}");
        }
    }

    #[test]
    fn types_go_by_level_then_by_name() {
        let table = [
            ("Initiative", Some(2), false, TaskType::Epic, true),
            ("Epic", None, false, TaskType::Epic, true),
            ("Epic story", Some(0), false, TaskType::Story, true),
            ("Sub-bug", Some(-1), true, TaskType::Subtask, true),
            ("Technical task", None, true, TaskType::Subtask, true),
            ("Sub-task", None, false, TaskType::Subtask, true),
            ("Defect", Some(0), false, TaskType::Bug, true),
            ("User Story", Some(0), false, TaskType::Story, true),
            ("Vorfall", Some(0), false, TaskType::Task, false),
        ];
        for (name, level, subtask, want, explained) in table {
            assert_eq!(type_of(&plain(), ["1", name, name], level, subtask), (want, explained), "{name}");
        }
    }
}
