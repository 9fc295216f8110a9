//! Checks files with contexts, without a cluster: the schema and the rules in CEL that the API server has, PromQL, and what is
//! wrong between contexts. Every problem names file, line and field and says what to do.

use std::collections::BTreeMap;
use std::path::Path;

use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use serde_json::Value;

use crate::crd;
use crate::derive::{Derivation, Sli, derive};
use crate::labels;
use crate::resource::ProjectContext;
use crate::schema;
use crate::settings::Settings;
use crate::yaml::{self, Lines};

const API_VERSION: &str = "contextcore.io/v1";
const KIND: &str = "ProjectContext";

/// A file.
#[derive(Clone, Debug)]
pub struct Input {
    /// As the person named it.
    pub file: String,
    /// What is in it.
    pub text: String,
}

/// A context and where it was written.
#[derive(Debug)]
pub struct Located {
    context: ProjectContext,
    file: String,
    lines: Lines,
    /// Key path of the object in its document: empty, or `items[3].`.
    prefix: String,
}

impl Located {
    pub(crate) fn new(context: ProjectContext, file: &str, lines: Lines) -> Self {
        Self { context, file: file.to_owned(), lines, prefix: String::new() }
    }

    fn line(&self, path: &str, message: &str) -> String {
        let path = format!("{}{path}", self.prefix);
        place(&self.file, self.lines.of(&path), &path, message)
    }
}

/// All contexts of files. Objects of other kinds are passed over.
///
/// # Errors
/// One line `file:line: field: what is wrong` for each problem.
pub fn read(inputs: &[Input]) -> Result<Vec<ProjectContext>, Vec<String>> {
    read_with(inputs, Vec::new())
}

/// All contexts of files, with those that were imported.
///
/// # Errors
/// As [`read`].
pub fn read_with(inputs: &[Input], imported: Vec<Located>) -> Result<Vec<ProjectContext>, Vec<String>> {
    Ok(located(inputs, imported)?.into_iter().map(|located| located.context).collect())
}

/// Reads all contexts of files and derives from them.
///
/// # Errors
/// As [`read`].
pub fn check(inputs: &[Input], settings: &Settings) -> Result<(Derivation, Vec<String>), Vec<String>> {
    check_with(inputs, Vec::new(), settings)
}

/// The same together with contexts that were imported.
///
/// # Errors
/// As [`read`].
pub fn check_with(
    inputs: &[Input],
    imported: Vec<Located>,
    settings: &Settings,
) -> Result<(Derivation, Vec<String>), Vec<String>> {
    let located = located(inputs, imported)?;
    let contexts: Vec<ProjectContext> = located.iter().map(|located| located.context.clone()).collect();
    let derivation = derive(&contexts, settings);
    let refused = refusals(&derivation, &located);
    Ok((derivation, refused))
}

/// Lines for the contexts that nothing is derived from.
fn refusals(derivation: &Derivation, located: &[Located]) -> Vec<String> {
    let mut by_place: BTreeMap<(String, String), &Located> = BTreeMap::new();
    for located in located {
        by_place.insert(identity(&located.context), located);
    }
    let mut lines = Vec::new();
    for outcome in derivation.outcomes.iter() {
        let Some(located) = by_place.get(&(outcome.namespace.clone(), outcome.name.clone())) else { continue };
        for condition in
            outcome.status.conditions.iter().filter(|found| found.status == "False" && found.kind != "Ready")
        {
            let (path, message) = field_of(condition.reason.as_str(), &condition.message);
            lines.push(located.line(path, &format!("{message} ({})", condition.reason)));
        }
    }
    lines
}

/// The field that a message begins with, and the rest of it.
fn field_of<'a>(reason: &str, message: &'a str) -> (&'a str, &'a str) {
    if message.starts_with("spec.") {
        let end = message.find([' ', ':']).unwrap_or(message.len());
        return (&message[..end], message[end..].trim_start_matches([' ', ':']));
    }
    let path = match reason {
        "ConflictingTarget" => "spec.targets",
        _ => "spec.requirements",
    };
    (path, message)
}

fn identity(context: &ProjectContext) -> (String, String) {
    let metadata = &context.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    (namespace, metadata.name.clone().unwrap_or_default())
}

/// A line about a place in a file.
pub(crate) fn place(file: &str, line: Option<u64>, path: &str, message: &str) -> String {
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    let path = if path.is_empty() { String::new() } else { format!(" {path}:") };
    format!("{file}{line}:{path} {message}")
}

fn located(inputs: &[Input], imported: Vec<Located>) -> Result<Vec<Located>, Vec<String>> {
    let checker = Checker::new();
    let (mut contexts, mut lines, mut without) = (imported, Vec::new(), Vec::new());
    for input in inputs {
        match checker.file(input) {
            Ok(found) if found.is_empty() => without.push(input),
            Ok(found) => contexts.extend(found),
            Err(found) => lines.extend(found),
        }
    }
    // A folder has other files too; none that is meant at all is a mistake.
    if contexts.is_empty() && lines.is_empty() {
        let nothing = |input: &Input| place(&input.file, None, "", "has no ProjectContext: is it the right file?");
        lines.extend(without.into_iter().map(nothing));
    }
    lines.extend(defined_twice(&contexts));
    if lines.is_empty() { Ok(contexts) } else { Err(lines) }
}

fn defined_twice(contexts: &[Located]) -> Vec<String> {
    let mut seen: BTreeMap<(String, String), &Located> = BTreeMap::new();
    let mut lines = Vec::new();
    for located in contexts {
        let (namespace, name) = identity(&located.context);
        if let Some(first) = seen.get(&(namespace.clone(), name.clone())) {
            let at = first.line("metadata.name", "");
            let at = at.split(": ").next().unwrap_or_default().to_owned();
            lines.push(located.line("metadata.name", &format!("{namespace}/{name} is also defined in {at}: keep one")));
        } else {
            seen.insert((namespace, name), located);
        }
    }
    lines
}

/// The schema, read and compiled once.
pub(crate) struct Checker {
    schema: Value,
    compiled: CompiledSchema,
    validator: Validator,
}

impl Checker {
    pub(crate) fn new() -> Self {
        let schema = crd::schema();
        let compiled = compile_schema(&schema);
        Self { schema, compiled, validator: Validator::new() }
    }

    fn file(&self, input: &Input) -> Result<Vec<Located>, Vec<String>> {
        let file = &input.file;
        let documents = match yaml::documents(&input.text) {
            Err(_) if is_of_another_format(file) => return Ok(Vec::new()),
            read => read.map_err(|(line, message)| vec![place(file, line, "", &message)])?,
        };
        let (mut contexts, mut problems) = (Vec::new(), Vec::new());
        for document in documents {
            let (value, lines) = document;
            let objects = objects(value);
            let mut found = Vec::new();
            for (prefix, object) in objects.into_iter().filter(|(_, object)| is_ours(object)) {
                match self.object(object) {
                    Ok(context) => found.push((prefix, context)),
                    Err(wrong) => problems.extend(wrong.into_iter().map(|(path, message)| {
                        let path = format!("{prefix}{path}");
                        (lines.of(&path), place(file, lines.of(&path), &path, &message))
                    })),
                }
            }
            contexts.extend(with_lines(found, file, lines));
        }
        problems.sort();
        if problems.is_empty() { Ok(contexts) } else { Err(problems.into_iter().map(|(_, line)| line).collect()) }
    }

    pub(crate) fn object(&self, object: Value) -> Result<ProjectContext, Vec<schema::Problem>> {
        let mut problems = header(&object);
        let object = without_status(object);
        problems.extend(schema::problems(&self.schema, &object, ""));
        // As in the API server: rules only see what fits the schema.
        if problems.is_empty() {
            problems.extend(self.rules(&object, None));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let context: ProjectContext =
            serde_json::from_value(object).map_err(|error| vec![("spec".to_owned(), error.to_string())])?;
        let wrong = labels::problems(&context);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        match context.spec.requirements.as_ref().and_then(|required| required.sli.as_ref()).map(Sli::check) {
            Some(Err(message)) => {
                let (path, message) = field_of("InvalidSLI", &message);
                Err(vec![(path.to_owned(), message.to_owned())])
            }
            _ => Ok(context),
        }
    }

    fn rules(&self, object: &Value, old: Option<&Value>) -> Vec<schema::Problem> {
        let errors = self.validator.validate_compiled(&self.compiled, object, old);
        let errors = errors.err().map(kube::core::cel::ValidationErrors::into_vec).unwrap_or_default();
        errors.into_iter().map(|error| (error.field_path.trim_start_matches('.').to_owned(), error.message)).collect()
    }
}

/// Every line belongs to one document: its objects share it.
fn with_lines(found: Vec<(String, ProjectContext)>, file: &str, lines: Lines) -> Vec<Located> {
    let located = |(prefix, context)| Located { context, file: file.to_owned(), lines: lines.clone(), prefix };
    found.into_iter().map(located).collect()
}

/// The objects of a document, those of a list one by one, each with the start of its key paths.
fn objects(value: Value) -> Vec<(String, Value)> {
    let is_list = value["kind"].as_str().is_some_and(|kind| kind == "List" || kind == "ProjectContextList");
    match value {
        Value::Object(mut map) if is_list => {
            let Some(Value::Array(items)) = map.remove("items") else { return Vec::new() };
            items.into_iter().enumerate().map(|(index, item)| (format!("items[{index}]."), item)).collect()
        }
        value => vec![(String::new(), value)],
    }
}

fn is_ours(object: &Value) -> bool {
    let of_group = object["apiVersion"].as_str().is_some_and(|version| version.starts_with("contextcore.io/"));
    object["kind"] == KIND || of_group
}

/// Whether the name of a file says that it is neither YAML nor JSON.
fn is_of_another_format(file: &str) -> bool {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| !["yaml", "yml", "json"].contains(&extension.to_ascii_lowercase().as_str()))
}

/// What the schema does not say about the top of an object.
fn header(object: &Value) -> Vec<schema::Problem> {
    let mut problems = Vec::new();
    let mut add = |path: &str, message: String| problems.push((path.to_owned(), message));
    if object["apiVersion"] != API_VERSION {
        add("apiVersion", format!("{} is not served: write {API_VERSION}", object["apiVersion"]));
    }
    if object["kind"] != KIND {
        add("kind", format!("{} is unknown: write {KIND}", object["kind"]));
    }
    let dns = |text: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let part =
            |part: &str| !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-');
        text.split('.').all(part)
    };
    match object["metadata"]["name"].as_str() {
        None => add("metadata.name", "is missing: add `name`, such as \"checkout-service\"".to_owned()),
        Some(name) if !dns(name) => add("metadata.name", format!("`{name}` may have only a-z, 0-9, - and .")),
        Some(_) => {}
    }
    match &object["metadata"]["namespace"] {
        Value::Null => {}
        Value::String(name) if dns(name) && !name.contains('.') && name.len() <= 63 => {}
        other => add("metadata.namespace", format!("{other} may have only a-z, 0-9 and -, and at most 63 characters")),
    }
    problems
}

/// What a cluster wrote is not the person's to mend.
fn without_status(mut object: Value) -> Value {
    if let Value::Object(map) = &mut object {
        map.remove("status");
    }
    object
}

/// Checks a change, as the API server does: some fields cannot be changed.
///
/// # Errors
/// One line `field: what is wrong` for each problem.
pub fn check_update(new: &Value, old: &Value) -> Result<(), Vec<String>> {
    let found = Checker::new().rules(new, Some(old));
    let lines: Vec<String> = found.into_iter().map(|(path, message)| format!("{path}: {message}")).collect();
    if lines.is_empty() { Ok(()) } else { Err(lines) }
}
