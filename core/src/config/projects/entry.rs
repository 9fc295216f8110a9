//! An entry of the projects file: what is said about a project, and about one service of it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::Value;

use crate::config::json_schema::WithoutNullDefaults;
use crate::config::problems::{ConfigErrors, Problems};
use crate::config::raw::RawInclude;
use crate::config::shape;
use crate::config::values::required;
use crate::model::config::project::{
    Design, Guidance, Origin, Requirements, Risk, ServiceContext, Slo, Target, percent, seconds,
};
use crate::model::config::{Criticality, SourceConfig};
use crate::model::yaml;

/// What is said about projects. `contextcore controller render -o projects` writes such files.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "projects file")]
struct RawEntries {
    /// An entry for each service. Several of one project are united.
    projects: Vec<RawEntry>,
}

/// What is said about a project, and about one service of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Entry", extend("required" = ["id"]))]
struct RawEntry {
    /// Id of the project.
    #[schemars(required)]
    id: Option<String>,
    /// Its name for people.
    name: Option<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// How much hangs on it. The highest of all its entries counts.
    criticality: Option<Criticality>,
    /// What it is worth to the business.
    value: Option<String>,
    /// The epic that its work belongs to.
    epic: Option<String>,
    /// The native projects it is made of.
    include: Vec<RawInclude>,
    /// Its repositories, as `OWNER/NAME`.
    repositories: Vec<String>,
    /// The `ProjectContext` that the entry was made from.
    context: Option<Origin>,
    /// The workloads of the service.
    targets: Vec<Target>,
    /// What the service promises.
    requirements: Requirements,
    /// The objectives that follow.
    slos: Vec<Slo>,
    /// What could go wrong.
    risks: Vec<Risk>,
    /// Where the design is written down.
    design: Design,
    /// What people want agents to know and to obey.
    guidance: Guidance,
}

/// An entry without problems.
#[derive(Debug, Clone)]
pub(in crate::config) struct ProjectEntry {
    /// The file it is in.
    pub(super) file: String,
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) criticality: Option<Criticality>,
    pub(super) value: Option<String>,
    pub(super) epic: Option<String>,
    pub(super) include: Vec<(String, String)>,
    pub(super) repositories: Vec<String>,
    pub(super) context: ServiceContext,
}

impl ProjectEntry {
    /// What messages call it.
    pub(super) fn place(&self) -> String {
        self.context.place().unwrap_or_else(|| self.file.clone())
    }

    /// What distinguishes it from the other entries of its file, as far as one can.
    pub(super) fn name_in_file(&self) -> String {
        self.context.place().unwrap_or_else(|| self.id.clone())
    }

    /// Pairs of source and native project that a source of the configuration polls, and what is wrong with the others.
    pub(super) fn included(&self, sources: &[SourceConfig]) -> (Vec<(String, String)>, Vec<String>) {
        let (mut kept, mut notes) = (Vec::new(), Vec::new());
        for (name, project) in &self.include {
            let Some(source) = sources.iter().find(|source| source.name == *name) else {
                notes.push(format!("{}: includes {project} of {name}, which is no source: left out", self.place()));
                continue;
            };
            if !source.projects.is_empty() && source.scopes().all(|scope| scope != project) {
                notes.push(format!("{}: includes {project} of {name}, which does not poll it", self.place()));
            }
            kept.push((name.clone(), project.clone()));
        }
        (kept, notes)
    }
}

pub(super) fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(WithoutNullDefaults);
    settings.into_generator().into_root_schema_for::<RawEntries>().to_value()
}

/// What is in a text.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The entries without problems.
    pub(super) entries: Vec<ProjectEntry>,
    /// The others.
    pub(super) unusable: Vec<UnusableEntry>,
}

/// An entry with problems. It stops no other: each may be written by somebody else.
#[derive(Debug)]
pub(super) struct UnusableEntry {
    /// The file it is in.
    pub(super) file: String,
    /// What messages call it, where it has a name.
    pub(super) place: Option<String>,
    /// What is wrong, one line each.
    pub(super) lines: Vec<String>,
}

/// # Errors
/// Everything that is wrong with the text besides its entries.
pub(super) fn parse(file: &str, text: &str) -> Result<Parsed, ConfigErrors> {
    let (mut document, lines) =
        yaml::document(text).map_err(|(line, message)| ConfigErrors::whole_file(file, line, message))?;
    let mut problems = Problems::new(lines);
    shape::check(&schema(), &mut document, &mut problems);
    let raw = RawEntries::deserialize(document).map_err(|error| {
        // Cannot be while `shape` and the types agree; what is wrong must not pass if they ever do not.
        ConfigErrors::whole_file(file, None, format!("does not fit the schema: {error}"))
    })?;
    let mut parsed = Parsed::default();
    for (index, raw) in raw.projects.into_iter().enumerate() {
        let path = format!("projects[{index}]");
        let place = raw.context.as_ref().map(Origin::place).or_else(|| raw.id.clone());
        let entry = entry(raw, file, &path, &mut problems);
        let lines = problems.take_under(file, &path);
        match entry {
            Some(entry) if lines.is_empty() => parsed.entries.push(entry),
            _ => parsed.unusable.push(UnusableEntry { file: file.to_owned(), place, lines }),
        }
    }
    problems.into_result(file, parsed)
}

fn entry(raw: RawEntry, file: &str, path: &str, problems: &mut Problems) -> Option<ProjectEntry> {
    let id = required(raw.id, &format!("{path}.id"), "id: my-project", problems);
    check_requirements(&raw.requirements, &format!("{path}.requirements"), problems);
    for (index, risk) in raw.risks.iter().enumerate() {
        let (key, example) = (format!("{path}.risks[{index}].risk"), "risk: what could go wrong");
        required(Some(risk.risk.clone()), &key, example, problems);
    }
    let include = raw.include.into_iter().enumerate().filter_map(|(index, raw)| {
        let at = |key: &str| format!("{path}.include[{index}].{key}");
        let source = required(raw.source, &at("source"), "source: NAME", problems);
        source.zip(required(raw.project, &at("project"), "project: NATIVE_PROJECT", problems))
    });
    let include = include.collect();
    Some(ProjectEntry {
        file: file.to_owned(),
        id: id?,
        name: raw.name,
        owner: raw.owner,
        criticality: raw.criticality,
        value: raw.value,
        epic: raw.epic,
        include,
        repositories: raw.repositories,
        context: ServiceContext {
            origin: raw.context,
            targets: raw.targets,
            requirements: raw.requirements,
            slos: raw.slos,
            risks: raw.risks,
            design: raw.design,
            guidance: raw.guidance,
        },
    })
}

/// What is required is read as numbers later, where nobody could say what is wrong with it.
fn check_requirements(required: &Requirements, path: &str, problems: &mut Problems) {
    for (key, text) in [("availability", &required.availability), ("errorRate", &required.error_rate)] {
        if text.as_deref().is_some_and(|text| percent(text).is_none()) {
            let message = "is not a percentage between 0 and 100, both excluded: write one such as \"99.95\"";
            problems.add(&format!("{path}.{key}"), message);
        }
    }
    if required.availability.is_some() && required.error_rate.is_some() {
        problems.add(&format!("{path}.errorRate"), "says the same as `availability`: keep one of them");
    }
    let mut shorter: Option<(&str, f64)> = None;
    for (key, _, text) in required.latency_texts() {
        let path = format!("{path}.{key}");
        let Some(seconds) = seconds(text) else {
            problems.add(&path, "is not a duration above zero: write one such as 200ms or 1.5s");
            continue;
        };
        // Of two texts of one time, such as 700ms and 0.7s, binary fractions make two numbers.
        let nanoseconds = (seconds * 1e9).round();
        if let Some((lower, _)) = shorter.filter(|(_, known)| *known > nanoseconds) {
            problems.add(&path, format!("is below {lower}, but fewer requests are slower: raise it"));
        }
        shorter = Some((key, nanoseconds));
    }
}
