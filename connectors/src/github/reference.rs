//! What is known of the projects between runs: their fields, the options of their status, and every iteration ever seen.
//!
//! [`Reference`] is stored between runs. GitHub lists status changes by the name an option had then, so old names of an option
//! stand for it. Editing iterations can make all of them anew, with other ids: one of the same title then goes on under the id it
//! had first. An iteration that is not listed any more is kept as gone.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::Millis;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::connection::Rows;
use super::features::Missing;
use super::iterations::{self, Configuration, Iteration, Iterations, Renewed, sprint_id};
use super::settings::{ProjectName, Settings};
use super::transfers::Transfers;

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
    /// Issues that got another id; also in the cursor of `items`, which learns it.
    #[serde(rename = "identities", skip_serializing_if = "Transfers::is_empty")]
    pub(super) transfers: Transfers,
}

impl Reference {
    /// What GitHub does not report again: former names of statuses, iterations that are gone or were made anew, transfers.
    pub(super) fn past(self) -> Self {
        let Self { projects, lost, transfers, .. } = self;
        Self { projects, lost, transfers, ..Self::default() }
    }
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
    /// Keeps the fields that were known and that did not come.
    fn keep(&mut self, known: &Self, answer: &ProjectAnswer) {
        let Self { status, estimate, size, iteration, priority, kind, due } = self;
        let pairs = [
            (status, &known.status),
            (estimate, &known.estimate),
            (size, &known.size),
            (iteration, &known.iteration),
            (priority, &known.priority),
            (kind, &known.kind),
            (due, &known.due),
        ];
        for (field, known) in pairs {
            if known.is_some() && answer.field(known.as_ref()).is_none() {
                field.clone_from(known);
            }
        }
    }

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
    fields: Option<Rows<OddOr<FieldAnswer>>>,
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
        self.fields.iter().flat_map(Rows::iter).filter_map(|field| match field {
            OddOr::Read(field) => Some(field),
            OddOr::Odd(_) => None,
        })
    }

    /// Whether fields of it did not come: one that is not among those that did may exist all the same.
    pub(super) fn is_torn(&self) -> bool {
        let is_field = |row: &Option<OddOr<FieldAnswer>>| matches!(row, Some(OddOr::Read(_)));
        self.fields.as_ref().is_none_or(|fields| !fields.is_given() || !fields.nodes.iter().all(is_field))
    }

    /// Whether the field of the status may be among those that did not come: without it every status would be a guess.
    pub(super) fn lacks_status(&self, settings: &Settings) -> bool {
        self.is_torn() && discover(settings, self).status.is_none()
    }

    fn field(&self, field: Option<&Field>) -> Option<&FieldAnswer> {
        let id = &field?.id;
        self.fields().find(|other| other.id.as_ref() == Some(id))
    }

    /// The id of the iteration field and what it lists.
    fn listed<'a>(&'a self, field: Option<&'a Field>) -> Option<(&'a str, Configuration<'a>)> {
        Some((&field?.id, Configuration::of(&self.field(field)?.configuration)))
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
    /// Of any shape: one odd option, or none at all, costs no field.
    #[serde(default)]
    options: Value,
    /// The same of iterations.
    #[serde(default)]
    configuration: Value,
}

impl FieldAnswer {
    /// The options that can be read, and whether those are all.
    fn options(&self) -> (Vec<OptionAnswer>, bool) {
        let rows = self.options.as_array();
        let read = |row: &Value| OptionAnswer::deserialize(row).ok();
        let options: Vec<OptionAnswer> = rows.into_iter().flatten().filter_map(read).collect();
        let is_whole = rows.is_some_and(|rows| rows.len() == options.len());
        (options, is_whole)
    }
}

#[derive(Debug, Clone, Deserialize)]
struct OptionAnswer {
    id: Box<str>,
    #[serde(default)]
    name: Box<str>,
}

impl Project {
    /// The project as it is now, with what GitHub has forgotten of it since.
    pub(super) fn new(settings: &Settings, name: ProjectName, answer: &ProjectAnswer, known: Option<&Self>) -> Self {
        let known = known.filter(|known| known.id == answer.id);
        let mut fields = discover(settings, answer);
        if let Some(known) = known.filter(|_| answer.is_torn()) {
            fields.keep(&known.fields, answer);
        }
        let (iterations, renewed) =
            iterations::renewed(answer.listed(fields.iteration.as_ref()), known.map(Self::iterations));
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

    /// What of the answer it was made of did not come, or cannot be read. What was known of that stays.
    pub(super) fn unread(&self, answer: &ProjectAnswer) -> Vec<String> {
        let Fields { status, iteration, .. } = &self.fields;
        let options = answer.field(status.as_ref()).filter(|field| !field.options().1);
        let iterations = answer.listed(iteration.as_ref()).filter(|(_, configuration)| !configuration.is_whole());
        let name = |field: &Option<Field>| field.as_ref().map(|field| field.name.clone()).unwrap_or_default();
        let parts = [
            answer.is_torn().then(|| "fields".to_owned()),
            options.map(|field| format!("options of {}", field.name)),
            iterations.map(|_| format!("iterations of {}", name(iteration))),
        ];
        let say =
            |part: String| format!("not all {part} of project {} can be read, what was known of them stays", self.name);
        parts.into_iter().flatten().map(say).collect()
    }

    /// The iterations it had, and which of them were made anew.
    const fn iterations(&self) -> (&Iterations, &Renewed) {
        (&self.iterations, &self.renewed)
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
    let (options, is_whole) = match answer.field(field) {
        Some(field) => field.options(),
        None => (Vec::new(), !answer.is_torn()),
    };
    let before = |id: &str| known.and_then(|known| known.statuses.iter().find(|option| &*option.id == id));
    let with_past = |option: &OptionAnswer| {
        let mut former = before(&option.id).map(|old| old.former.clone()).unwrap_or_default();
        former.extend(before(&option.id).map(|old| old.name.clone()));
        former.retain(|name| *name != option.name);
        former.dedup();
        StatusOption { id: option.id.clone(), name: option.name.clone(), former }
    };
    let is_listed = |id: &str| options.iter().any(|option| &*option.id == id);
    let unread = known.iter().flat_map(|known| &known.statuses).filter(|old| !is_whole && !is_listed(&old.id));
    options.iter().map(with_past).chain(unread.cloned()).collect()
}

#[cfg(test)]
pub(super) mod tests;
