//! What is known of the projects between runs: their fields, the options of their status, and every iteration ever seen.
//!
//! [`Reference`] is stored between runs. GitHub forgets iterations that are edited away and lists status changes by the name
//! an option had then, so both are kept here: old iterations stay, old names of an option stand for it.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::Millis;
use contextcore_core::model::SprintState;
use contextcore_core::model::time::DAY;
use serde::{Deserialize, Serialize};

use super::settings::{ProjectName, Settings};
use super::wire::Rows;

/// Number fields (or T-shirt sizes) that usually hold the estimate.
pub(super) const ESTIMATE_FIELDS: [&str; 5] = ["Estimate", "Story Points", "Points", "Size", "Effort"];
/// Fields that usually hold the priority.
pub(super) const PRIORITY_FIELDS: [&str; 2] = ["Priority", "Severity"];
/// Fields that usually hold the due date.
pub(super) const DUE_FIELDS: [&str; 6] = ["Due", "Due date", "Deadline", "Target date", "End date", "Target"];

/// What is kept between runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reference {
    /// Whether the server lacks the features of 2025 and 2026; `None` before it was asked.
    pub(super) reduced: Option<bool>,
    /// Who the credential is.
    pub(super) login: String,
    /// The projects, in the order of the configuration.
    pub(super) projects: Vec<Project>,
    /// Projects that are configured and were read once, and are hidden now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) lost: Vec<Project>,
    /// Configured repositories that were ever found.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) repositories: BTreeSet<String>,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Project {
    /// As the configuration names it: the native project of its tasks.
    pub(super) name: ProjectName,
    /// Its node id.
    pub(super) id: Box<str>,
    pub(super) title: Box<str>,
    pub(super) url: Box<str>,
    #[serde(default)]
    pub(super) closed: bool,
    #[serde(default)]
    pub(super) fields: Fields,
    /// The options of the status field.
    #[serde(default)]
    pub(super) statuses: Vec<StatusOption>,
    /// Iterations by the id of their field and their own (`FIELD:ITERATION`).
    #[serde(default)]
    pub(super) iterations: BTreeMap<Box<str>, Iteration>,
}

/// The fields that mean something to us.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    pub(super) status: Option<Field>,
    /// A number.
    pub(super) estimate: Option<Field>,
    /// A single select of T-shirt sizes, when there is no number.
    pub(super) size: Option<Field>,
    pub(super) iteration: Option<Field>,
    pub(super) priority: Option<Field>,
    pub(super) kind: Option<Field>,
    pub(super) due: Option<Field>,
}

impl Fields {
    /// Each with what it means, for people.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &Field)> {
        let all = [
            ("status", &self.status),
            ("estimate", &self.estimate),
            ("estimate", &self.size),
            ("iteration", &self.iteration),
            ("priority", &self.priority),
            ("type", &self.kind),
            ("due", &self.due),
        ];
        all.into_iter().filter_map(|(meaning, field)| Some((meaning, field.as_ref()?)))
    }
}

/// A field of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) id: Box<str>,
    pub(super) name: Box<str>,
}

/// An option of the status field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StatusOption {
    pub(super) id: Box<str>,
    pub(super) name: Box<str>,
    /// Names it had before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former: Vec<Box<str>>,
}

/// An iteration: a sprint of fixed dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Iteration {
    #[serde(default)]
    pub(super) id: Box<str>,
    #[serde(default)]
    pub(super) title: Box<str>,
    /// `YYYY-MM-DD`.
    #[serde(default)]
    pub(super) start_date: Box<str>,
    /// In days.
    #[serde(default)]
    pub(super) duration: u32,
}

impl Iteration {
    /// The start of its first day and of the day after its last, by UTC.
    pub(super) fn span(&self) -> Option<(Millis, Millis)> {
        let start = Millis::parse(&format!("{}T00:00:00Z", self.start_date))?;
        Some((start, start.plus(i64::from(self.duration) * DAY)))
    }

    /// GitHub keeps no state: the dates say it.
    pub(super) fn state(&self, now: Millis) -> SprintState {
        match self.span() {
            Some((start, _)) if now < start => SprintState::Future,
            Some((_, end)) if now >= end => SprintState::Closed,
            Some(_) => SprintState::Active,
            None => SprintState::Future,
        }
    }
}

/// A project as GitHub shows it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ProjectAnswer {
    pub(super) id: Box<str>,
    #[serde(default)]
    title: Box<str>,
    #[serde(default)]
    url: Box<str>,
    #[serde(default)]
    closed: bool,
    #[serde(default)]
    fields: Rows<FieldAnswer>,
}

/// A field as GitHub shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FieldAnswer {
    /// Absent for kinds that are not read.
    id: Option<Box<str>>,
    #[serde(default)]
    name: Box<str>,
    #[serde(default)]
    data_type: Box<str>,
    #[serde(default)]
    options: Vec<OptionAnswer>,
    configuration: Option<Configuration>,
}

#[derive(Debug, Clone, Deserialize)]
struct OptionAnswer {
    id: Box<str>,
    #[serde(default)]
    name: Box<str>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    #[serde(default)]
    iterations: Vec<Iteration>,
    #[serde(default)]
    completed_iterations: Vec<Iteration>,
}

impl Project {
    /// The project as it is now, with what GitHub has forgotten of it since.
    pub(super) fn new(settings: &Settings, name: ProjectName, answer: &ProjectAnswer, known: Option<&Self>) -> Self {
        let fields = discover(settings, answer);
        let known = known.filter(|known| known.id == answer.id);
        Self {
            statuses: statuses(answer, fields.status.as_ref(), known),
            iterations: iterations(answer, known),
            name,
            id: answer.id.clone(),
            title: answer.title.clone(),
            url: answer.url.clone(),
            closed: answer.closed,
            fields,
        }
    }

    /// The name that an option has today, given a name it had once; any other name is its own.
    pub(super) fn status_today<'a>(&'a self, name: &'a str) -> &'a str {
        if self.statuses.iter().any(|option| &*option.name == name) {
            return name;
        }
        let renamed = self.statuses.iter().find(|option| option.former.iter().any(|former| &**former == name));
        renamed.map_or(name, |option| &option.name)
    }
}

/// Finds the fields by their configured names, else by those they usually have.
fn discover(settings: &Settings, answer: &ProjectAnswer) -> Fields {
    let find = |ours: &str, kind: &str, usual: &[&str]| {
        let of_kind = || answer.fields.iter().filter(|field| &*field.data_type == kind);
        let named = |name: &str| of_kind().find(|field| field.name.trim().eq_ignore_ascii_case(name));
        let found = match settings.field(ours) {
            Some(name) => named(name),
            None => usual.iter().find_map(|name| named(name)),
        };
        found.and_then(as_field)
    };
    let iteration = || answer.fields.iter().find(|field| &*field.data_type == "ITERATION").and_then(as_field);
    let named_iteration = find("iteration", "ITERATION", &["Iteration", "Sprint"]);
    let estimate = find("estimate", "NUMBER", &ESTIMATE_FIELDS);
    Fields {
        status: find("status", "SINGLE_SELECT", &["Status"]),
        size: find("estimate", "SINGLE_SELECT", &ESTIMATE_FIELDS).filter(|_| estimate.is_none()),
        estimate,
        iteration: named_iteration.or_else(|| iteration().filter(|_| settings.field("iteration").is_none())),
        priority: find("priority", "SINGLE_SELECT", &PRIORITY_FIELDS),
        kind: find("type", "SINGLE_SELECT", &["Type", "Kind", "Issue type"]),
        due: find("due", "DATE", &DUE_FIELDS),
    }
}

fn as_field(field: &FieldAnswer) -> Option<Field> {
    Some(Field { id: field.id.clone()?, name: field.name.clone() })
}

fn statuses(answer: &ProjectAnswer, field: Option<&Field>, known: Option<&Project>) -> Vec<StatusOption> {
    let field = field.and_then(|field| answer.fields.iter().find(|other| other.id.as_ref() == Some(&field.id)));
    let options = field.map(|field| field.options.as_slice()).unwrap_or_default();
    let before = |id: &str| known.and_then(|known| known.statuses.iter().find(|option| &*option.id == id));
    let with_past = |option: &OptionAnswer| {
        let mut former = before(&option.id).map(|old| old.former.clone()).unwrap_or_default();
        former.extend(before(&option.id).map(|old| old.name.clone()));
        former.retain(|name| *name != option.name);
        former.dedup();
        StatusOption { id: option.id.clone(), name: option.name.clone(), former }
    };
    options.iter().map(with_past).collect()
}

fn iterations(answer: &ProjectAnswer, known: Option<&Project>) -> BTreeMap<Box<str>, Iteration> {
    let mut all = known.map(|known| known.iterations.clone()).unwrap_or_default();
    for field in answer.fields.iter() {
        let (Some(id), Some(configuration)) = (&field.id, &field.configuration) else { continue };
        let listed = configuration.completed_iterations.iter().chain(&configuration.iterations);
        let listed = listed.filter(|iteration| !iteration.id.is_empty());
        all.extend(listed.map(|iteration| (sprint_id(id, &iteration.id), iteration.clone())));
    }
    all
}

/// An iteration's id is unique only within its field.
pub(super) fn sprint_id(field: &str, iteration: &str) -> Box<str> {
    format!("{field}:{iteration}").into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::settings::tests::plain;
    use super::*;

    /// The scrum board captured in 2026.
    pub(in super::super) fn scrum_board(settings: &Settings) -> Project {
        Project::new(settings, name(), &answer(include_str!("fixtures/project_fields_2026.json")), None)
    }

    fn name() -> ProjectName {
        ProjectName { owner: "acme".into(), number: 1 }
    }

    fn answer(json: &str) -> ProjectAnswer {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        serde_json::from_value(value["data"]["user"]["projectV2"].clone()).unwrap()
    }

    #[test]
    fn a_real_scrum_board_is_understood() {
        let board = scrum_board(&plain());
        let found: Vec<_> = board.fields.all().map(|(meaning, field)| (meaning, &*field.name)).collect();
        assert_eq!(
            found,
            [
                ("status", "Status"),
                ("estimate", "Story Points"),
                ("iteration", "Sprint"),
                ("priority", "Priority"),
                ("type", "Type"),
                ("due", "Target date")
            ]
        );
        let names: Vec<_> = board.statuses.iter().map(|option| &*option.name).collect();
        assert_eq!(names, ["Backlog", "Ready", "In Progress", "In Review", "Done", "Blocked"]);
        assert!(board.iterations.len() > 2, "{:?}", board.iterations);
    }

    #[test]
    fn a_project_recorded_in_2023_is_understood_too() {
        let recorded: serde_json::Value =
            serde_json::from_str(include_str!("fixtures/recorded_project_fields_and_items.json")).unwrap();
        let project = &recorded[0]["response"]["body"]["data"]["userOrOrganization"]["projectV2"];
        let answer: ProjectAnswer = serde_json::from_value(project.clone()).unwrap();
        let read = Project::new(&plain(), name(), &answer, None);
        assert_eq!(read.fields.status.map(|field| field.name).as_deref(), Some("Status"));
        assert!(!read.statuses.is_empty());
    }

    #[test]
    fn configured_names_win_and_a_wrong_one_finds_nothing() {
        let settings = plain().with_field("estimate", "Priority").with_field("iteration", "Nope");
        let fields = scrum_board(&settings).fields;
        assert_eq!((fields.estimate, fields.iteration), (None, None));
        assert_eq!(fields.size.map(|field| field.name).as_deref(), Some("Priority"));
    }

    #[test]
    fn an_iteration_ends_before_the_day_it_ends() {
        let iteration = Iteration { id: "a".into(), title: "S".into(), start_date: "2026-06-02".into(), duration: 11 };
        let at = |text: &str| iteration.state(Millis::parse(text).unwrap());
        assert_eq!(at("2026-06-01T23:59:59Z"), SprintState::Future);
        assert_eq!(at("2026-06-02T00:00:00Z"), SprintState::Active);
        assert_eq!(at("2026-06-12T23:59:59Z"), SprintState::Active);
        assert_eq!(at("2026-06-13T00:00:00Z"), SprintState::Closed);
    }

    #[test]
    fn iterations_and_names_that_github_forgets_are_kept() {
        let project = |status: &str, iteration: &str| {
            format!(
                r#"{{"data":{{"user":{{"projectV2":{{"id":"P","fields":{{"nodes":[
                {{"id":"F1","name":"Status","dataType":"SINGLE_SELECT","options":[{{"id":"o1","name":"{status}"}}]}},
                {{"id":"F2","name":"Iteration","dataType":"ITERATION","configuration":{{"iterations":[
                  {{"id":"{iteration}","title":"One","startDate":"2026-01-05","duration":14}}],"completedIterations":[]}}}},
                {{"__typename":"ProjectV2MultiSelectField"}}
                ]}}}}}}}}}}"#
            )
        };
        let first = Project::new(&plain(), name(), &answer(&project("Doing", "i1")), None);
        let next = Project::new(&plain(), name(), &answer(&project("In progress", "i2")), Some(&first));
        assert_eq!(next.iterations.keys().map(|id| &**id).collect::<Vec<_>>(), ["F2:i1", "F2:i2"]);
        assert_eq!(next.status_today("Doing"), "In progress");
        assert_eq!(next.status_today("Elsewhere"), "Elsewhere");
        let again = Project::new(&plain(), name(), &answer(&project("In progress", "i2")), Some(&next));
        assert_eq!(again, next);
    }
}
