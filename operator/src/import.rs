//! Objectives that were written for others, as contexts: Sloth's (`prometheus/v1`, and its resource) and OpenSLO's (`openslo/v1`
//! and `v1alpha`).
//!
//! What a context has no field for is not guessed: an objective that cannot be carried over is an error, and what is left out
//! beside it is a note. Both say on which line.

mod openslo;
mod query;
mod sloth;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::validate::{self, Input, Located};
use crate::yaml::{self, Lines};

/// The longest name of a context.
const LONGEST_NAME: usize = 63;
/// Labels that say who a service belongs to, in this order.
const OWNER_LABELS: [&str; 2] = ["owner", "team"];

/// What files hold, as contexts.
#[derive(Debug, Default)]
pub struct Imported {
    /// The contexts, as [`validate::check_with`] takes them.
    pub contexts: Vec<Located>,
    /// What was left out, each a line `file:line: what`.
    pub notes: Vec<String>,
}

/// Reads files of Sloth and OpenSLO as contexts: one for each objective, and the first of a service is called as the service.
///
/// # Errors
/// One line `file:line: field: what is wrong` for each problem.
pub fn import(inputs: &[Input]) -> Result<Imported, Vec<String>> {
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    for input in inputs {
        match sources_of(input) {
            Ok(found) => sources.extend(found),
            Err(line) => problems.push(line),
        }
    }
    let (mut objectives, mut notes) = (Vec::new(), Vec::new());
    let shared = openslo::Shared::new(&sources);
    for source in &sources {
        let read = if source.is_sloth() { sloth::read(source) } else { openslo::read(source, &shared) };
        problems.extend(read.problems);
        notes.extend(read.notes);
        objectives.extend(read.objectives);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Imported { contexts: contexts(objectives)?, notes })
}

/// A document of a file.
struct Source {
    file: String,
    value: Value,
    lines: Lines,
}

impl Source {
    fn is_sloth(&self) -> bool {
        self.value["version"] == "prometheus/v1" || self.has_api("sloth.slok.dev/")
    }

    fn is_openslo(&self) -> bool {
        self.has_api("openslo/") || self.has_api("openslo.com/")
    }

    fn has_api(&self, start: &str) -> bool {
        self.value["apiVersion"].as_str().is_some_and(|version| version.starts_with(start))
    }

    fn line(&self, path: &str, message: &str) -> String {
        validate::place(&self.file, self.lines.of(path), path, message)
    }
}

fn sources_of(input: &Input) -> Result<Vec<Source>, String> {
    let documents = yaml::documents(&input.text);
    let documents = documents.map_err(|(line, message)| validate::place(&input.file, line, "", &message))?;
    let sources = documents.into_iter().map(|document| {
        let (value, lines) = document;
        Source { file: input.file.clone(), value, lines }
    });
    let sources: Vec<Source> = sources.filter(|source| source.is_sloth() || source.is_openslo()).collect();
    if sources.is_empty() {
        let message = "has no objectives of Sloth (`version: prometheus/v1`) or OpenSLO (`apiVersion: openslo/v1`)";
        return Err(validate::place(&input.file, None, "", message));
    }
    Ok(sources)
}

/// What a document came to.
#[derive(Default)]
struct Read {
    objectives: Vec<Objective>,
    problems: Vec<String>,
    notes: Vec<String>,
}

/// One objective, whoever it was written for.
struct Objective {
    file: String,
    line: Option<u64>,
    namespace: Option<String>,
    service: String,
    /// As people read it.
    title: Option<String>,
    name: String,
    owner: Option<String>,
    /// In percent.
    percent: f64,
    window: &'static str,
    errors: String,
    total: String,
    runbook: Option<String>,
}

fn contexts(objectives: Vec<Objective>) -> Result<Vec<Located>, Vec<String>> {
    let mut of_service: BTreeMap<(Option<String>, String), usize> = BTreeMap::new();
    let (mut contexts, mut problems) = (Vec::new(), Vec::new());
    let checker = validate::Checker::new();
    for objective in objectives {
        let count = of_service.entry((objective.namespace.clone(), objective.service.clone())).or_default();
        *count += 1;
        let lines = Lines::all_at(objective.line);
        match checker.object(object(&objective, *count == 1)) {
            Ok(context) => contexts.push(Located::new(context, &objective.file, lines)),
            Err(found) => problems.extend(
                found.iter().map(|(path, message)| validate::place(&objective.file, objective.line, path, message)),
            ),
        }
    }
    if problems.is_empty() { Ok(contexts) } else { Err(problems) }
}

/// The context of an objective. The first one of a service stands for the service; further ones have names of their own, because a
/// service belongs to one context.
fn object(objective: &Objective, is_first: bool) -> Value {
    let service = slug(&objective.service);
    let name = match slug(&objective.name) {
        _ if is_first => service.clone(),
        name if name.starts_with(&format!("{service}-")) => name,
        name => slug(&format!("{service}-{name}")),
    };
    let mut object = json!({
        "apiVersion": "contextcore.io/v1", "kind": "ProjectContext",
        "metadata": {"name": name},
        "spec": {
            "project": {"id": service},
            "requirements": {
                "availability": percent(objective.percent), "window": objective.window,
                "sli": {"profile": "custom", "total": objective.total, "errors": objective.errors},
            },
        },
    });
    let mut set = |path: &str, text: &Option<String>| {
        if let (Some(text), Some(place)) = (text, object.pointer_mut(path.rsplit_once('/').map_or("", |(to, _)| to))) {
            place[path.rsplit('/').next().unwrap_or_default()] = text.as_str().into();
        }
    };
    set("/metadata/namespace", &objective.namespace);
    set("/spec/project/name", &objective.title);
    if let Some(owner) = &objective.owner {
        object["spec"]["business"] = json!({"owner": owner});
    }
    if let Some(runbook) = &objective.runbook {
        object["spec"]["observability"] = json!({"runbook": runbook});
    }
    object
}

/// A percentage as a context writes it: sums of binary fractions are rounded to its five digits.
fn percent(value: f64) -> String {
    crate::units::number((value * 100_000.0).round() / 100_000.0)
}

/// A name as Kubernetes takes it.
fn slug(text: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let mut slug: String = text.chars().map(kept).collect();
    slug.truncate(LONGEST_NAME);
    slug.trim_matches('-').to_owned()
}

/// Who a service belongs to, by its labels.
fn owner(labels: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().or_else(|| value.get(0)?.as_str()).map(str::to_owned);
    OWNER_LABELS.iter().find_map(|name| text(&labels[*name])).filter(|found| is_owner(found))
}

/// Whether a context takes it as its owner.
fn is_owner(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| ends(c) || "-_./".contains(c);
    text.len() <= 63 && text.starts_with(ends) && text.ends_with(ends) && text.chars().all(inner)
}
