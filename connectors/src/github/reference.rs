//! What is known of the projects between runs: their fields, the options of their status, and every iteration ever seen.
//!
//! [`Reference`] is stored between runs. GitHub lists status changes by the name an option had then, so old names of an option
//! stand for it. Editing iterations can make all of them anew, with other ids: one of the same title then goes on under the id it
//! had first. An iteration that is not listed any more is kept as gone.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::Millis;
use contextcore_core::model::SprintState;
use contextcore_core::model::time::DAY;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use super::features::Missing;
use super::settings::{ProjectName, Settings};
use super::wire::Rows;

/// Longer iterations end here: their end would leave the calendar.
const MAX_DAYS: u32 = 36_500;
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
    /// Whether the server lacks the features of 2025 and 2026, as earlier versions noted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reduced: Option<bool>,
    /// What the server does not know; `None` before it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing: Option<Missing>,
    /// When the server was asked what it knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<Millis>,
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

/// Iterations by their native ids.
type Iterations = BTreeMap<Box<str>, Iteration>;
/// The native id that an iteration has now, and the one under which it goes on.
type Renewed = BTreeMap<Box<str>, Box<str>>;

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
    /// Iterations by the id of their field and their own (`FIELD:ITERATION`): those that are listed, and those that were.
    #[serde(default)]
    pub(super) iterations: Iterations,
    /// Iterations that were made anew: the id that each has now, and the one under which it goes on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    renewed: Renewed,
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// GitHub does not list it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
}

impl Iteration {
    /// The start of its first day and of the day after its last, by UTC.
    pub(super) fn span(&self) -> Option<(Millis, Millis)> {
        let start = Millis::parse(&format!("{}T00:00:00Z", self.start_date))?;
        Some((start, start.plus(i64::from(self.duration.min(MAX_DAYS)) * DAY)))
    }

    /// Whether another iteration is this one made anew: it has the same title and begins before this one ends.
    fn is_renewed_as(&self, other: &Self) -> bool {
        let spans = self.span().zip(other.span());
        self.title == other.title
            && spans.is_some_and(|((start, end), (begin, finish))| begin < end && start < finish || start == begin)
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
    fields: Rows<OddOr<FieldAnswer>>,
}

/// Something of another list that may have any shape: an odd one counts as absent.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OddOr<T> {
    Read(T),
    Odd(serde::de::IgnoredAny),
}

impl ProjectAnswer {
    fn fields(&self) -> impl Iterator<Item = &FieldAnswer> {
        self.fields.iter().filter_map(|field| match field {
            OddOr::Read(field) => Some(field),
            OddOr::Odd(_) => None,
        })
    }
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
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    iterations: Vec<Value>,
    completed_iterations: Vec<Value>,
}

impl Configuration {
    /// The iterations by their own ids. One that cannot be understood is there all the same.
    fn listed(&self) -> impl Iterator<Item = (&str, Option<Iteration>)> {
        let all = self.completed_iterations.iter().chain(&self.iterations);
        let named = all.filter_map(|iteration| Some((iteration, iteration["id"].as_str()?)));
        named.filter(|(_, id)| !id.is_empty()).map(|(iteration, id)| {
            let read = Iteration::deserialize(iteration);
            (id, read.inspect_err(|error| warn!(id, %error, "an iteration cannot be read")).ok())
        })
    }
}

impl Project {
    /// The project as it is now, with what GitHub has forgotten of it since.
    pub(super) fn new(settings: &Settings, name: ProjectName, answer: &ProjectAnswer, known: Option<&Self>) -> Self {
        let fields = discover(settings, answer);
        let known = known.filter(|known| known.id == answer.id);
        let (iterations, renewed) = iterations(answer, fields.iteration.as_ref(), known);
        Self {
            statuses: statuses(answer, fields.status.as_ref(), known),
            iterations,
            renewed,
            name,
            id: answer.id.clone(),
            title: answer.title.clone(),
            url: answer.url.clone(),
            closed: answer.closed,
            fields,
        }
    }

    /// The native id of an iteration of a field.
    pub(super) fn sprint(&self, field: &str, iteration: &str) -> Box<str> {
        let id = sprint_id(field, iteration);
        self.renewed.get(&id).cloned().unwrap_or(id)
    }

    /// The iterations that GitHub lists, of those that can be read.
    pub(super) fn listed_iterations(&self) -> impl Iterator<Item = (&str, &Iteration)> {
        let field = self.fields.iteration.as_ref().map(|field| format!("{}:", field.id)).unwrap_or_default();
        let ours = move |id: &str| id.starts_with(&field);
        let listed = self.iterations.iter().map(|(id, iteration)| (&**id, iteration));
        listed.filter(move |(id, iteration)| ours(id) && !iteration.gone && !iteration.id.is_empty())
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
        let of_kind = || answer.fields().filter(|field| &*field.data_type == kind);
        let named = |name: &str| of_kind().find(|field| field.name.trim().eq_ignore_ascii_case(name));
        let found = match settings.field(ours) {
            Some(name) => named(name),
            None => usual.iter().find_map(|name| named(name)),
        };
        found.and_then(as_field)
    };
    let iteration = || answer.fields().find(|field| &*field.data_type == "ITERATION").and_then(as_field);
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
    let field = field.and_then(|field| answer.fields().find(|other| other.id.as_ref() == Some(&field.id)));
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

/// The iterations of this field, and which of them were made anew. Without the field nothing is known to have ended.
fn iterations(answer: &ProjectAnswer, field: Option<&Field>, known: Option<&Project>) -> (Iterations, Renewed) {
    let mut all = known.map(|known| known.iterations.clone()).unwrap_or_default();
    let mut renewed = known.map(|known| known.renewed.clone()).unwrap_or_default();
    let shown = field.and_then(|field| answer.fields().find(|other| other.id.as_ref() == Some(&field.id)));
    let Some((field, configuration)) = field.zip(shown.and_then(|field| field.configuration.as_ref())) else {
        return (all, renewed);
    };
    let listed: BTreeMap<Box<str>, Option<Iteration>> =
        configuration.listed().map(|(id, iteration)| (sprint_id(&field.id, id), iteration)).collect();
    let stands_for: BTreeSet<Box<str>> = listed.keys().map(|id| renewed.get(id).unwrap_or(id).clone()).collect();
    let mut vanished: Vec<Box<str>> = all.keys().filter(|id| !stands_for.contains(*id)).cloned().collect();
    for (id, iteration) in listed {
        let fresh = !all.contains_key(&id) && !renewed.contains_key(&id);
        if let Some(iteration) = iteration.as_ref().filter(|_| fresh) {
            let before = vanished.iter().position(|old| all.get(old).is_some_and(|old| old.is_renewed_as(iteration)));
            renewed.extend(before.map(|at| (id.clone(), vanished.swap_remove(at))));
        }
        let id = renewed.get(&id).unwrap_or(&id).clone();
        match iteration {
            Some(iteration) => drop(all.insert(id, iteration)),
            None => all.entry(id).or_default().gone = false,
        }
    }
    for id in vanished {
        all.entry(id).and_modify(|iteration| iteration.gone = true);
    }
    (all, renewed)
}

/// An iteration's id is unique only within its field.
fn sprint_id(field: &str, iteration: &str) -> Box<str> {
    format!("{field}:{iteration}").into()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

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
        let iteration = Iteration { start_date: "2026-06-02".into(), duration: 11, ..Iteration::default() };
        let at = |text: &str| iteration.state(Millis::parse(text).unwrap());
        assert_eq!(at("2026-06-01T23:59:59Z"), SprintState::Future);
        assert_eq!(at("2026-06-02T00:00:00Z"), SprintState::Active);
        assert_eq!(at("2026-06-12T23:59:59Z"), SprintState::Active);
        assert_eq!(at("2026-06-13T00:00:00Z"), SprintState::Closed);
    }

    /// A project with a status option and iterations (id, title, start), all of 14 days.
    fn project(status: &str, iterations: &[(&str, &str, &str)]) -> ProjectAnswer {
        let iterations: Vec<Value> = iterations
            .iter()
            .map(|(id, title, start)| json!({"id": id, "title": title, "startDate": start, "duration": 14}))
            .collect();
        let field = |id: &str, name: &str, iterations: &[Value]| {
            json!({"id": id, "name": name, "dataType": "ITERATION",
                "configuration": {"iterations": iterations, "completedIterations": []}})
        };
        let quarter = [json!({"id": "q1", "title": "Q1", "startDate": "2026-01-01", "duration": 90})];
        serde_json::from_value(json!({"id": "P", "fields": {"nodes": [
            {"id": "F1", "name": "Status", "dataType": "SINGLE_SELECT", "options": [{"id": "o1", "name": status}]},
            field("F2", "Iteration", &iterations),
            field("F3", "Quarter", &quarter),
            {"__typename": "ProjectV2MultiSelectField"},
            {"id": 7, "name": ["odd"]}
        ]}}))
        .unwrap()
    }

    /// The native ids of the iterations that are listed, each with its title.
    fn listed(project: &Project) -> Vec<(&str, &str)> {
        project.listed_iterations().map(|(id, iteration)| (id, &*iteration.title)).collect()
    }

    fn read(answer: &ProjectAnswer, known: Option<&Project>) -> Project {
        let project = Project::new(&plain(), name(), answer, known);
        // What is stored is read again.
        serde_json::from_value(serde_json::to_value(project).unwrap()).unwrap()
    }

    #[test]
    fn names_that_github_forgets_are_kept() {
        let first = read(&project("Doing", &[]), None);
        let next = read(&project("In progress", &[]), Some(&first));
        assert_eq!(next.status_today("Doing"), "In progress");
        assert_eq!(next.status_today("Elsewhere"), "Elsewhere");
        assert_eq!(read(&project("In progress", &[]), Some(&next)), next);
    }

    #[test]
    fn only_the_field_that_is_read_has_iterations() {
        let one = ("a1", "One", "2026-01-05");
        assert_eq!(listed(&read(&project("Todo", &[one]), None)), [("F2:a1", "One")]);
        let settings = plain().with_field("iteration", "Quarter");
        let quarters = Project::new(&settings, name(), &project("Todo", &[one]), None);
        assert_eq!(listed(&quarters), [("F3:q1", "Q1")]);
        // An earlier version kept those of every field.
        let mut before = read(&project("Todo", &[one]), None);
        before.iterations.insert("F3:q1".into(), Iteration { id: "q1".into(), ..Iteration::default() });
        assert_eq!(listed(&read(&project("Todo", &[one]), Some(&before))), [("F2:a1", "One")]);
    }

    #[test]
    fn iterations_made_anew_go_on_and_deleted_ones_are_gone() {
        let (one, two) = (("a1", "One", "2026-01-05"), ("a2", "Two", "2026-01-19"));
        let first = read(&project("Todo", &[one, two]), None);
        let anew = [("b1", "One", "2026-01-05"), ("b2", "Two", "2026-01-26"), ("b3", "Three", "2026-02-09")];
        let next = read(&project("Todo", &anew), Some(&first));
        assert_eq!(listed(&next), [("F2:a1", "One"), ("F2:a2", "Two"), ("F2:b3", "Three")]);
        assert_eq!((&*next.sprint("F2", "b2"), &*next.sprint("F2", "b3")), ("F2:a2", "F2:b3"));
        let again = [("c1", "One", "2026-01-05"), ("c3", "Three", "2026-02-09")];
        let last = read(&project("Todo", &again), Some(&next));
        assert_eq!(listed(&last), [("F2:a1", "One"), ("F2:b3", "Three")], "the second is deleted");
        assert_eq!(&*last.sprint("F2", "c1"), "F2:a1");
        let back = read(&project("Todo", &[one, two]), Some(&last));
        assert_eq!(listed(&back), [("F2:a1", "One"), ("F2:a2", "Two")]);
        // Another sprint of the same name, long after.
        let later = read(&project("Todo", &[("d1", "One", "2026-06-01")]), Some(&first));
        assert_eq!(listed(&later), [("F2:d1", "One")]);
    }

    #[test]
    fn an_odd_iteration_costs_itself_and_does_not_end() {
        let first = read(&project("Todo", &[("a1", "One", "2026-01-05"), ("a2", "Two", "2026-01-19")]), None);
        let mut odd = project("Todo", &[("a1", "One", "2026-01-05"), ("a2", "Two", "2026-01-19")]);
        for field in &mut odd.fields.nodes {
            if let Some(OddOr::Read(FieldAnswer { configuration: Some(configuration), .. })) = field {
                configuration.iterations.iter_mut().for_each(|one| one["duration"] = json!(-1));
                configuration.iterations.push(json!({"id": "a3", "startDate": {}}));
                configuration.iterations.push(json!("odd"));
            }
        }
        assert_eq!(listed(&read(&odd, Some(&first))), listed(&first));
        let without = serde_json::from_value(json!({"id": "P", "fields": {"nodes": []}})).unwrap();
        assert_eq!(
            read(&without, Some(&first)).iterations,
            first.iterations,
            "no field says nothing about its iterations"
        );
    }

    #[test]
    fn dates_outside_the_calendar_give_no_span() {
        let of =
            |start: &str, duration| Iteration { start_date: start.into(), duration, ..Iteration::default() }.span();
        assert_eq!(of("2026-13-01", 14), None);
        assert_eq!(of("+99999-01-01", 14), None);
        assert!(of("2026-01-01", u32::MAX).is_some_and(|(_, end)| end.to_string().starts_with("21")));
    }
}
